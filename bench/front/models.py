"""The networks that are compared, as far as that can be said without PyTorch; `inside/networks.py` builds them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """A network. `mean` and `std` are on values in 0..1, as effigy assumes them."""

    name: str
    title: str
    size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    detector: bool = False
    # Whether its weights are trained ones; otherwise they are random.
    trained: bool = False


MINUS_127 = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}

MODELS = {
    model.name: model
    for model in [
        Model("efficientnet_b0", "EfficientNet-B0", 224),
        Model("efficientnet-lite0", "EfficientNet-Lite0", 224, **MINUS_127, trained=True),
        Model("efficientnet_b4", "EfficientNet-B4", 380),
        Model("efficientnet_b7", "EfficientNet-B7", 600),
        Model("efficientdet_d0", "EfficientDet-D0", 512, detector=True),
        Model("efficientdet_d2", "EfficientDet-D2", 768, detector=True),
    ]
}
