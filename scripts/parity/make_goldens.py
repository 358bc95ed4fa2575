#!/usr/bin/env python3
"""Writes the goldens that `crates/effigy/tests/parity.rs` compares effigy with, one JSON per network.

    python scripts/parity/make_goldens.py [NAME ...]

Weights and pictures are those of `generator.py`, which the Rust test makes again for itself. Each
file holds `model` (the name by which effigy builds the network), `classes`, `in_channels`,
`statistics` (mean and deviation of every BatchNorm) and `cases`: per input `batch`, `height`, `width`, and per watched tensor its name (`blocks.3` is the
block's output, `head.pool`, `logits`), its `min` and `max`, and `values`, sampled as the generator
says. All in f32, PyTorch on the CPU.

Needs: torch, numpy, efficientnet_pytorch, efficientnet-lite-pytorch, timm, torchvision.
"""

import json
import sys
from pathlib import Path

import torch

import generator
import networks

GOLDENS = Path(__file__).parents[2] / "crates/effigy/tests/goldens"


def short(value: float) -> float:
    return float(f"{value:.7g}")


def fingerprint(name: str, tensor: torch.Tensor) -> dict:
    count = 64 if name == "logits" else 12
    return {
        "name": name,
        "min": short(tensor.min()),
        "max": short(tensor.max()),
        "values": [short(value) for value in generator.samples(tensor, count)],
    }


def golden(reference: networks.Reference) -> dict:
    net = reference.build().eval()
    statistics = generator.fill(net, generator.picture(2, 128, 128, reference.in_channels))
    cases = []
    for batch, height, width in networks.inputs(reference):
        picture = generator.picture(batch, height, width, reference.in_channels)
        tensors = networks.forward(net, picture)
        case = {"batch": batch, "height": height, "width": width}
        case["tensors"] = [fingerprint(name, tensor) for name, tensor in tensors.items()]
        cases.append(case)
    return {
        "model": reference.name,
        "classes": reference.classes,
        "in_channels": reference.in_channels,
        "statistics": statistics,
        "cases": cases,
    }


def main() -> None:
    torch.set_num_threads(1)
    asked = sys.argv[1:]
    GOLDENS.mkdir(parents=True, exist_ok=True)
    for reference in networks.REFERENCES:
        if asked and reference.file not in asked:
            continue
        path = GOLDENS / f"{reference.file}.json"
        path.write_text(json.dumps(golden(reference), separators=(",", ":")) + "\n")
        print(f"{path.name}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
