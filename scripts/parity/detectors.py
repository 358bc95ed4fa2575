"""The reference detectors: who makes them, and what effigy calls their parts.

effdet comes from PyPI. zylo117's is no package: the environment variable ZYLO117 names a checkout of
github.com/zylo117/Yet-Another-EfficientDet-Pytorch.
"""

import re
from dataclasses import dataclass
from typing import Callable

import torch

import generator
import photos

FIRST_LEVEL = 3


@dataclass(frozen=True)
class Detector:
    """A detector of another project under the name by which effigy knows it."""

    name: str
    build: Callable[[int, int, int], torch.nn.Module]
    """From classes, height and width of the input."""
    canonical: Callable[[torch.nn.Module], dict[str, str]]
    """What effigy calls each parameter."""
    raw: Callable[[torch.nn.Module, torch.Tensor], list[torch.Tensor]]
    """Class and box outputs of level 3, then of level 4 and so on, [N, C, H, W]."""
    anchors: Callable[[torch.nn.Module, int, int], torch.Tensor]
    inputs: list[tuple[int, int, int]]
    """Batch, height and width. Inner maps of the first are compared too."""
    classes: int
    photo: tuple[int, int]
    """Height and width of the input that the photo is put into."""
    prepare: Callable[[torch.nn.Module], torch.Tensor]
    """The photo as the network's input."""
    detect: Callable[[torch.nn.Module], photos.Found]
    blocks: str
    """Where its backbone's blocks are: a pattern of modules' names."""

    @property
    def file(self) -> str:
        return self.name.replace("/", "_")


# --- effdet ---------------------------------------------------------------------------------------


def _effdet_config(name, classes, height, width):
    from effdet import get_efficientdet_config

    config = get_efficientdet_config(name)
    config.num_classes, config.image_size = classes, (height, width)
    return config


def effdet_build(name):
    def build(classes, height, width):
        from effdet import EfficientDet

        return EfficientDet(_effdet_config(name, classes, height, width), pretrained_backbone=False).eval()

    return build


def _timm_backbone(names):
    """timm's names without `backbone.` by effigy's."""
    inverted = {".".join(name.split(".")[:3]) for name in names if ".conv_pwl." in name}
    order = list(dict.fromkeys(".".join(name.split(".")[:3]) for name in names if name.startswith("blocks.")))
    whole = {"conv_stem": "stem.conv", "bn1": "stem.bn"}
    squeeze = {"se.conv_reduce": "se.reduce", "se.conv_expand": "se.expand"}
    separable = {"conv_dw": "depthwise.conv", "bn1": "depthwise.bn", "conv_pw": "project.conv", "bn2": "project.bn"}
    bottleneck = {
        "conv_pw": "expand.conv", "bn1": "expand.bn", "conv_dw": "depthwise.conv", "bn2": "depthwise.bn",
        "conv_pwl": "project.conv", "bn3": "project.bn",
    }  # fmt: skip
    for name in names:
        owner, _, role = name.rpartition(".")
        if owner in whole:
            yield name, f"{whole[owner]}.{role}"
            continue
        block, part = ".".join(owner.split(".")[:3]), ".".join(owner.split(".")[3:])
        parts = {**squeeze, **(bottleneck if block in inverted else separable)}
        yield name, f"blocks.{order.index(block)}.{parts[part]}.{role}"


def effdet_canonical(net):
    names = generator.names(net)
    backbone = [name.removeprefix("backbone.") for name in names if name.startswith("backbone.")]
    found = {f"backbone.{theirs}": ours for theirs, ours in _timm_backbone(backbone)}
    # Of heads whose norms are ordered by level, and of those ordered by repeat.
    level_first = net.class_net.bn_level_first
    for name in names:
        if name in found:
            continue
        short = name.replace("conv_dw", "depthwise").replace("conv_pw", "pointwise")
        if m := re.fullmatch(r"fpn\.resample\.(\d)\.conv\.((?:conv|bn)\..*)", name):
            found[name] = f"resample.p{int(m[1]) + FIRST_LEVEL}.{m[2]}"
        elif m := re.fullmatch(r"fpn\.cell\.(\d+)\.fnode\.(\d+)\.combine\.edge_weights", name):
            found[name] = f"bifpn.{m[1]}.{m[2]}.combine.weight"
        elif m := re.fullmatch(r"fpn\.cell\.(\d+)\.fnode\.(\d+)\.combine\.resample\.(\d+)\.conv\.(.*)", name):
            inputs = list(net.fpn.cell[int(m[1])].fnode[int(m[2])].combine.inputs_offsets)
            found[name] = f"bifpn.{m[1]}.{m[2]}.resample.{inputs.index(int(m[3]))}.{m[4]}"
        elif m := re.fullmatch(r"fpn\.cell\.(\d+)\.fnode\.(\d+)\.after_combine\.conv\.(.*)", short):
            found[name] = f"bifpn.{m[1]}.{m[2]}.{m[3]}"
        elif m := re.fullmatch(r"(class|box)_net\.bn_rep\.(\d+)\.(\d+)\.(?:bn\.)?(.*)", name):
            level, repeat = (m[2], m[3]) if level_first else (m[3], m[2])
            found[name] = f"{m[1]}.{repeat}.p{int(level) + FIRST_LEVEL}.bn.{m[4]}"
        else:
            m = re.fullmatch(r"(class|box)_net\.(?:conv_rep\.)?((?:predict|\d+)\..*)", short)
            found[name] = f"{m[1]}.{m[2]}"
    return found


def effdet_raw(net, picture):
    return [output for level in zip(*net(picture)) for output in level]


def effdet_anchors(net, height, width):
    from effdet.anchors import Anchors

    assert tuple(net.config.image_size) == (height, width)
    return Anchors.from_config(net.config).boxes


def effdet(name, inputs, classes=90):
    return Detector(
        name, effdet_build(name), effdet_canonical, effdet_raw, effdet_anchors, inputs, classes,
        (192, 288), photos.effdet_input, photos.effdet, r"backbone\.blocks\.\d+\.\d+",
    )  # fmt: skip


# --- zylo117 --------------------------------------------------------------------------------------


def zylo117_build(coefficient):
    def build(classes, _height, _width):
        photos.zylo117_modules()
        from backbone import EfficientDetBackbone

        return EfficientDetBackbone(num_classes=classes, compound_coef=coefficient).eval()

    return build


def zylo117_canonical(net):
    top = FIRST_LEVEL - 1 + len(net.regressor.bn_list)

    def row(level, way):
        """BiFPN's rows: down from the level below the top, then up again."""
        return top - 1 - level if way in ("up", "1") else top - 2 * FIRST_LEVEL - 1 + level

    whole = {"_conv_stem": "stem.conv", "_bn0": "stem.bn"}
    parts = {
        "_expand_conv": "expand.conv", "_bn0": "expand.bn", "_depthwise_conv": "depthwise.conv",
        "_bn1": "depthwise.bn", "_se_reduce": "se.reduce", "_se_expand": "se.expand",
        "_project_conv": "project.conv", "_bn2": "project.bn",
    }  # fmt: skip
    inner = {"0.conv": "conv", "1": "bn"}
    found = {}
    for name in generator.names(net):
        owner, _, role = name.rpartition(".")
        short = re.sub(r"(depthwise|pointwise)_conv\.conv", r"\1", name)
        if m := re.fullmatch(r"backbone_net\.model\._blocks\.(\d+)\.(\w+)(?:\.conv)?", owner):
            found[name] = f"blocks.{m[1]}.{parts[m[2]]}.{role}"
        elif m := re.fullmatch(r"backbone_net\.model\.(\w+)(?:\.conv)?", owner):
            found[name] = f"{whole[m[1]]}.{role}"
        elif m := re.fullmatch(r"bifpn\.(\d+)\.conv(\d)_(up|down)\.(.*)", short):
            found[name] = f"bifpn.{m[1]}.{row(int(m[2]), m[3])}.{m[4]}"
        elif m := re.fullmatch(r"bifpn\.(\d+)\.p(\d)_w(\d)", name):
            found[name] = f"bifpn.{m[1]}.{row(int(m[2]), m[3])}.combine.weight"
        elif m := re.fullmatch(r"bifpn\.0\.p(\d)_down_channel(_2)?\.(.*)", owner):
            found[name] = f"bifpn.0.{row(int(m[1]), '2' if m[2] else '1')}.resample.0.{inner[m[3]]}.{role}"
        elif m := re.fullmatch(r"bifpn\.0\.p5_to_p6\.(.*)", owner):
            found[name] = f"resample.p6.{inner[m[1]]}.{role}"
        else:
            m = re.fullmatch(r"(classifier|regressor)\.(.*)", short)
            head = {"classifier": "class", "regressor": "box"}[m[1]]
            if norm := re.fullmatch(r"bn_list\.(\d)\.(\d)\.(.*)", m[2]):
                found[name] = f"{head}.{norm[2]}.p{int(norm[1]) + FIRST_LEVEL}.bn.{norm[3]}"
            else:
                found[name] = f"{head}.{m[2].replace('header', 'predict').removeprefix('conv_list.')}"
    return found


def zylo117_raw(net, picture):
    """Before the classes' sigmoid and before levels are put one after another."""
    seen = []
    hooks = [
        head.header.register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))
        for head in (net.classifier, net.regressor)
    ]
    net(picture)
    for hook in hooks:
        hook.remove()
    boxes, classes = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert boxes[0].shape[1] == net.regressor.header.pointwise_conv.conv.out_channels
    return [output for level in zip(classes, boxes) for output in level]


def zylo117_anchors(net, height, width):
    return net.anchors(torch.zeros(1, 3, height, width), torch.float32)[0]


def zylo117(coefficient, inputs, classes=90):
    return Detector(
        f"zylo117/efficientdet-d{coefficient}", zylo117_build(coefficient), zylo117_canonical, zylo117_raw,
        zylo117_anchors, inputs, classes, (photos.ZYLO117_SIDE, photos.ZYLO117_SIDE),
        photos.zylo117_input, photos.zylo117, r"backbone_net\.model\._blocks\.\d+",
    )  # fmt: skip


# --- all of them ----------------------------------------------------------------------------------

DETECTORS = [
    effdet("tf_efficientdet_d0", [(1, 131, 197), (2, 128, 160)]),
    effdet("tf_efficientdet_d1", [(1, 129, 160), (2, 99, 131)], classes=5),
    effdet("tf_efficientdet_d7x", [(1, 161, 259)], classes=3),
    effdet("tf_efficientdet_lite0", [(1, 133, 197), (2, 128, 160)], classes=3),
    effdet("efficientdet_d0", [(1, 131, 197), (2, 128, 160)]),
    zylo117(0, [(1, 128, 256), (2, 128, 128), (1, 384, 128)]),
    zylo117(3, [(1, 128, 256), (2, 128, 128)], classes=5),
    zylo117(7, [(1, 128, 256), (2, 128, 128)], classes=3),
]


def build(detector: Detector) -> tuple[torch.nn.Module, dict[str, tuple[float, float]]]:
    """The detector for the photo's size with the generator's parameters, and its BatchNorms' statistics by
    effigy's names. They are measured on the photo and on noise.

    The heads' last convolutions are a quarter of the generator's, so that scores differ from 1 and boxes
    lie near their anchors.
    """
    net = detector.build(detector.classes, *detector.photo)
    canonical = detector.canonical(net)
    streams = {theirs: generator.fnv1a(ours) for theirs, ours in canonical.items()}
    measured = torch.cat([generator.picture(1, *detector.photo, 3), detector.prepare(net)])
    statistics = generator.fill(net, measured, streams)
    for theirs, parameter in net.named_parameters():
        if canonical[theirs].endswith(".predict.pointwise.weight"):
            parameter.data *= 0.25
    norms = [name for name, m in net.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
    owners = [canonical[f"{norm}.weight"].removesuffix(".weight") for norm in norms]
    return net, dict(zip(owners, statistics))


def resized(detector: Detector, net: torch.nn.Module, height: int, width: int) -> torch.nn.Module:
    """The same for another input; effdet's are built for one size."""
    other = detector.build(detector.classes, height, width)
    other.load_state_dict(net.state_dict())
    return other


def watched(detector: Detector, net: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """By the names of effigy's nodes: every block of the backbone, every BatchNorm after it."""
    canonical, modules = detector.canonical(net), dict(net.named_modules())
    blocks = [module for name, module in modules.items() if re.fullmatch(detector.blocks, name)]
    found = {f"blocks.{i}": block for i, block in enumerate(blocks)}
    for name, module in modules.items():
        ours = canonical.get(f"{name}.running_mean", "").removesuffix(".running_mean")
        if ours and not ours.startswith(("stem.", "blocks.")):
            found[ours] = module
    return found


@torch.inference_mode()
def forward(detector: Detector, net: torch.nn.Module, picture: torch.Tensor, inner: bool) -> dict[str, torch.Tensor]:
    """The outputs by effigy's names (`class.p3`, `box.p3`), after the watched modules' if `inner`."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name):
        return lambda _module, _inputs, output: seen.update({name: output.clone()})

    modules = watched(detector, net) if inner else {}
    hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    outputs = detector.raw(net, picture)
    for hook in hooks:
        hook.remove()
    names = [f"{head}.p{level + FIRST_LEVEL}" for level in range(len(outputs) // 2) for head in ("class", "box")]
    return {**seen, **dict(zip(names, outputs))}
