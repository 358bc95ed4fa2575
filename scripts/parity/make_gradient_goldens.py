#!/usr/bin/env python3
"""Writes the goldens that `crates/train/tests/gradients.rs` compares effigy's training with, one JSON per network.

    python scripts/parity/make_gradient_goldens.py [NAME ...] [--whole FOLDER]

Weights, pictures and targets are made by `generator.py`, as the Rust test makes them again for itself: parameter p
of a classifier is stream p + 1, one of a detector is stream fnv1a(name), and all BatchNorms are taken to read values
of mean 0 and deviation 1, since training normalises by the batch. A detector's last layers begin as trainings let
them: their weights are a tenth of the generator's, and 4.6 is taken from the biases of classes, so that nearly nothing
is thought to be an object. Nothing is dropped.

The loss of a classifier is the cross-entropy with label 7 i mod classes for picture i. That of a detector is effdet's
own, of `OBJECTS`.

Each file holds `made_with`, `model`, `classes`, `batch`, `height`, `width`; of the first step the `loss`, and for every
parameter, in the order of the graph for classifiers and of effigy's names for detectors, the `gradients`: norm and two
sums with random signs (bit 0 of the streams 2^34 + p and 2^35 + p); of moving statistics the same of their values after
the step, in `statistics`; and `curve`: the loss of 20 steps of SGD with momentum .9 and `rate`. All computed in double
precision, so that a golden has no rounding of its own.

With --whole, no golden is written, but the gradients themselves: NAME.f32 in the folder, one after the other as
32-bit floats. `scripts/parity/run.py` has the test compare these, too.

Needs: torch, numpy, efficientnet_pytorch, timm, effdet.
"""

import argparse
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import torch

import detectors
import generator

FOLDER = Path(__file__).parents[2] / "crates/train/tests/goldens"
SIGNS = [1 << 34, 1 << 35]
STEPS = 20
# Of each picture: top, left, bottom and right in pixels, and the class slot.
OBJECTS = [
    [([20, 30, 120, 150], 0), ([100, 90, 140, 121], 2)],
    [([60, 10, 220, 200], 1), ([5, 150, 40, 180], 0)],
]


@dataclass(frozen=True)
class Training:
    model: str
    classes: int
    shape: tuple[int, int, int]
    rate: float
    build: Callable[["Training"], torch.nn.Module]
    packages: tuple[str, ...]
    detects: bool = False


def classifier(training: Training) -> torch.nn.Module:
    from efficientnet_pytorch import EfficientNet

    options = {"num_classes": training.classes, "dropout_rate": 0.0, "drop_connect_rate": 0.0}
    return EfficientNet.from_name(training.model, image_size=None, **options)


def detector(training: Training) -> torch.nn.Module:
    from effdet import EfficientDet

    config = detectors._effdet_config(training.model, training.classes, *training.shape[1:])
    config.backbone_args.drop_path_rate = 0.0
    net = EfficientDet(config, pretrained_backbone=False)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # As the official code has it; effdet leaves the backbone's at PyTorch's default.
            module.momentum = 0.01
    return net


TRAININGS = [
    Training("efficientnet-b0", 10, (4, 97, 128), 0.01, classifier, ("torch", "efficientnet_pytorch")),
    Training("tf_efficientdet_d0", 3, (2, 256, 224), 0.002, detector, ("torch", "timm", "effdet"), detects=True),
]


def ordered(training: Training, net: torch.nn.Module) -> dict[str, int]:
    """Every parameter in the golden's order, with its stream."""
    if not training.detects:
        return {name: p + 1 for p, name in enumerate(generator.names(net))}
    ours = detectors.effdet_canonical(net)
    return {name: generator.fnv1a(ours[name]) for name in sorted(ours, key=ours.get)}


def fill(net: torch.nn.Module, streams: dict[str, int]) -> None:
    norms = {name for name, m in net.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    tensors = net.state_dict()
    for name, stream in streams.items():
        owner, _, role = name.rpartition(".")
        shape = tuple(tensors[name].shape)
        bound = np.float32(np.sqrt(6 / np.prod(shape[1:])))
        spans = {"bias": (-0.5, 0.5), "running_mean": (-0.5, 0.5), "running_var": (0.5, 1.5)}
        weight = (-bound, bound) if len(shape) > 1 else (0.5, 1.5) if owner in norms else (-0.25, 1.75)
        tensors[name].copy_(torch.from_numpy(generator.uniform(stream, shape, *spans.get(role, weight))))
        if ".predict." in name and role == "weight":
            tensors[name].mul_(0.1)
        if name == "class_net.predict.conv_pw.bias":
            tensors[name].sub_(4.6)


def loss_of(training: Training, net: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """From pictures to the loss."""
    if not training.detects:
        labels = torch.arange(training.shape[0]) * 7 % training.classes
        return lambda picture: torch.nn.functional.cross_entropy(net(picture), labels)
    from effdet.anchors import AnchorLabeler, Anchors
    from effdet.loss import DetectionLoss
    from omegaconf import OmegaConf

    OmegaConf.set_readonly(net.config, False)
    net.config.legacy_focal, net.config.jit_loss, net.config.label_smoothing = False, False, 0.0
    labeler = AnchorLabeler(Anchors.from_config(net.config), training.classes, match_threshold=0.5)
    targets = []
    for objects in OBJECTS:
        boxes = torch.tensor([box for box, _ in objects], dtype=torch.float32)
        targets.append(labeler.label_anchors(boxes, torch.tensor([slot + 1 for _, slot in objects])))
    classes, boxes, positives = zip(*targets)
    classes = [torch.stack(level) for level in zip(*classes)]
    boxes = [torch.stack(level).double() for level in zip(*boxes)]
    positives = torch.stack(positives).double()
    loss = DetectionLoss(net.config)
    return lambda picture: loss(*net(picture), classes, boxes, positives)[0]


def fingerprint(place: int, tensor: torch.Tensor) -> list[float]:
    values = tensor.detach().double().reshape(-1).numpy()
    signs = [1.0 - 2.0 * (generator.bits(stream + place, values.size) & np.uint64(1)).astype(float) for stream in SIGNS]
    return [float(f"{value:.7g}") for value in [np.linalg.norm(values), *(values @ sign for sign in signs)]]


def golden(training: Training, whole: Path | None) -> dict:
    net = training.build(training)
    streams = ordered(training, net)
    fill(net, streams)
    net = net.double().train()
    picture = generator.picture(*training.shape, 3).double()
    loss_at = loss_of(training, net)
    optimiser = torch.optim.SGD(net.parameters(), lr=training.rate, momentum=0.9)
    curve, first = [], {}
    for step in range(STEPS):
        optimiser.zero_grad()
        loss = loss_at(picture)
        loss.backward()
        if step == 0:
            trained = dict(net.named_parameters())
            tensors = net.state_dict()
            both = [(p, name, name in trained) for p, name in enumerate(streams)]
            if whole:
                gradients = [trained[name].grad.reshape(-1) for _, name, is_trained in both if is_trained]
                torch.cat(gradients).float().numpy().tofile(whole / f"{training.model}.f32")
                return {}
            first["gradients"] = [fingerprint(p, trained[name].grad) for p, name, is_trained in both if is_trained]
            first["statistics"] = [fingerprint(p, tensors[name]) for p, name, is_trained in both if not is_trained]
        optimiser.step()
        curve.append(float(f"{loss.item():.9g}"))
        print(training.model, step, curve[-1], flush=True)
    batch, height, width = training.shape
    return {
        "made_with": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in training.packages),
        "model": training.model, "classes": training.classes, "batch": batch, "height": height, "width": width,
        "rate": training.rate, "loss": curve[0], "curve": curve, **first,
    }  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("names", nargs="*", metavar="NAME", choices=[*(t.model for t in TRAININGS), []])
    arguments.add_argument("--whole", type=Path, metavar="FOLDER")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for training in TRAININGS:
        if given.names and training.model not in given.names:
            continue
        made = golden(training, given.whole)
        if given.whole:
            continue
        path = FOLDER / f"{training.model}.json"
        path.write_text(json.dumps(made, separators=(",", ":")) + "\n")
        print(f"{path.name}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
