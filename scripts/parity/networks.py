"""The reference networks: who makes them, and what their blocks are."""

from dataclasses import dataclass
from typing import Callable

import torch


@dataclass(frozen=True)
class Reference:
    """A network of another project under the name by which effigy knows it."""

    name: str
    size: int
    """Height and width of the pictures it is evaluated on."""
    build: Callable[[], torch.nn.Module]
    classes: int = 1000
    in_channels: int = 3
    label: str = ""
    """What its files are called, where that is not its name."""

    @property
    def file(self) -> str:
        return (self.label or self.name).replace("/", "_")


def _lukemelas(name, **options):
    from efficientnet_pytorch import EfficientNet

    # Without an image size it pads for the size of the picture it is given, as effigy does.
    return EfficientNet.from_name(name, image_size=None, **options)


def _lite(name):
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name(name, image_size=None)


def _timm(name):
    import timm

    return timm.create_model(name, pretrained=False)


def _torchvision(name):
    import torchvision

    return torchvision.models.get_model(name, weights=None)


_B_SIZES = [224, 240, 260, 300, 380, 456, 528, 600]

REFERENCES = [
    *(
        Reference(f"efficientnet-b{i}", size, lambda i=i: _lukemelas(f"efficientnet-b{i}"))
        for i, size in enumerate(_B_SIZES)
    ),
    Reference(
        "efficientnet-b0",
        224,
        lambda: _lukemelas("efficientnet-b0", in_channels=1, num_classes=10),
        classes=10,
        in_channels=1,
        label="efficientnet-b0-grey-10",
    ),
    *(
        Reference(f"efficientnet-lite{i}", size, lambda i=i: _lite(f"efficientnet-lite{i}"))
        for i, size in enumerate([224, 240, 260])
    ),
    *(
        Reference(name, size, lambda name=name: _timm(name))
        for name, size in [
            ("tf_efficientnet_b0", 224),
            ("efficientnet_b0", 224),
            ("tf_efficientnet_es", 224),
            ("tf_efficientnetv2_b0", 224),
            ("tf_efficientnetv2_s", 384),
        ]
    ),
    Reference("efficientnet_v2_s", 384, lambda: _torchvision("efficientnet_v2_s")),
]


def inputs(reference: Reference) -> list[tuple[int, int, int]]:
    """Batch, height and width: the nominal size, an odd rectangle, three pictures at once."""
    return [(1, reference.size, reference.size), (1, 193, 257), (3, 128, 128)]


def watched(net: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """The modules whose outputs are compared: every block's last one, and the pooled features."""
    if hasattr(net, "_blocks"):
        blocks, pool = list(net._blocks), net._avg_pooling
    elif hasattr(net, "blocks"):
        blocks, pool = [block for stage in net.blocks for block in stage], net.global_pool
    else:
        blocks, pool = [block for stage in net.features[1:-1] for block in stage], net.avgpool
    return [(f"blocks.{i}", block) for i, block in enumerate(blocks)] + [("head.pool", pool)]


def forward(net: torch.nn.Module, picture: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the watched modules and the whole network give, by name; the last one is `logits`."""
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: seen.update({name: output}))
        for name, module in watched(net)
    ]
    with torch.inference_mode():
        logits = net(picture)
    for hook in hooks:
        hook.remove()
    return {**seen, "logits": logits}
