#!/usr/bin/env python3
"""Writes crates/train/tests/golden/optimisers.json: what PyTorch's SGD and AdamW and timm's RMSpropTF make of 40
values in 5 steps, whose gradients the test makes again by the same formula.

Needs torch and timm."""

import json
import math
from pathlib import Path

import torch
from timm.optim import RMSpropTF

OUT = Path(__file__).resolve().parents[2] / "crates/train/tests/golden/optimisers.json"
COUNT, STEPS = 40, 5

CASES = {
    "sgd": lambda p, wd: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=wd),
    "nesterov": lambda p, wd: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=wd),
    "rmsprop": lambda p, wd: RMSpropTF(p, lr=0.01, alpha=0.9, momentum=0.9, eps=1e-3, weight_decay=wd),
    "adamw": lambda p, wd: torch.optim.AdamW(p, lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=wd),
}


def run(make, decay):
    parameter = torch.tensor([math.sin(i) for i in range(COUNT)], dtype=torch.float32, requires_grad=True)
    optimiser = make([parameter], decay)
    for step in range(STEPS):
        gradient = [math.cos(0.3 * i + step) for i in range(COUNT)]
        parameter.grad = torch.tensor(gradient, dtype=torch.float32)
        optimiser.step()
    return parameter.tolist()


if __name__ == "__main__":
    # Values that decay, and values that do not.
    results = {name: {str(decay): run(make, decay) for decay in (0.05, 0.0)} for name, make in CASES.items()}
    OUT.write_text(json.dumps(results) + "\n")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")
