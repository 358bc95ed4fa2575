#!/usr/bin/env python3
"""Writes the goldens that `crates/effigy/tests/detectors.rs` compares effigy with, one JSON per detector.

    ZYLO117=CHECKOUT python scripts/parity/make_detector_goldens.py [NAME ...]

Weights and pictures are those of `generator.py`, which the Rust test makes again for itself. Each file
holds `made_with`, `model` (the name by which effigy builds the detector), `classes`, `statistics` (mean
and deviation of every BatchNorm, by effigy's name of it), `cases`: per input `batch`, `height`,
`width`, `tensors` as `make_goldens.py` describes them, and `anchors`: how many, and the four values of
some of them; and `photo`: what is found on `chelsea.png` beside the goldens, as `photos.py` has it. All in f32,
PyTorch on the CPU.

Needs: torch, torchvision, numpy, pillow, timm, effdet; zylo117's code (`detectors.py` tells how) and, for
that, opencv-python-headless and webcolors.
"""

import importlib.metadata
import json
import os
import subprocess
import sys

import torch

import detectors
import generator
import photos
from make_goldens import GOLDENS, short

FOLDER = GOLDENS / "detectors"
ANCHORS = 24


def made_with(detector: detectors.Detector) -> str:
    def versions(*packages: str) -> str:
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)

    if not detector.name.startswith("zylo117"):
        return versions("effdet", "timm", "torch", "torchvision", "pillow")
    command = ["git", "-C", os.environ["ZYLO117"], "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.check_output(command, text=True).strip()
    return f"zylo117 {commit}, {versions('torch', 'torchvision', 'opencv-python-headless')}"


def fingerprint(name: str, tensor: torch.Tensor) -> dict:
    is_output = name.split(".")[-1].startswith("p")
    return {
        "name": name,
        "min": short(tensor.min()),
        "max": short(tensor.max()),
        "values": [short(value) for value in generator.samples(tensor, 48 if is_output else 6)],
    }


def anchors(boxes: torch.Tensor) -> dict:
    at = [generator.bits(generator.SAMPLES, ANCHORS)[j] % len(boxes) for j in range(ANCHORS)]
    return {"count": len(boxes), "boxes": [[float(f"{value:.9g}") for value in boxes[int(i)]] for i in at]}


@torch.inference_mode()
def on_photo(detector: detectors.Detector, net: torch.nn.Module) -> dict:
    found = detector.detect(net)
    height, width = detector.photo
    rows = [[short(value) for value in row] for row in found.detections]
    return {"height": height, "width": width, "score": found.score, "iou": found.iou, "detections": rows}


def golden(detector: detectors.Detector) -> dict:
    net, statistics = detectors.build(detector)
    cases = []
    for batch, height, width in detector.inputs:
        sized = detectors.resized(detector, net, height, width)
        picture = generator.picture(batch, height, width, 3)
        tensors = detectors.forward(detector, sized, picture, inner=not cases)
        cases.append({
            "batch": batch,
            "height": height,
            "width": width,
            "tensors": [fingerprint(name, tensor) for name, tensor in tensors.items()],
            "anchors": anchors(detector.anchors(sized, height, width)),
        })  # fmt: skip
    return {
        "made_with": made_with(detector),
        "model": detector.name,
        "classes": detector.classes,
        "statistics": statistics,
        "cases": cases,
        "photo": on_photo(detector, net),
    }


def main() -> None:
    torch.set_num_threads(1)
    asked = sys.argv[1:]
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not photos.PHOTO.exists():
        photos.cut_photo()
    for detector in detectors.DETECTORS:
        if asked and detector.file not in asked:
            continue
        path = FOLDER / f"{detector.file}.json"
        path.write_text(json.dumps(golden(detector), separators=(",", ":")) + "\n")
        print(f"{path.name}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
