#!/usr/bin/env python3
"""Writes crates/train/tests/golden/losses.json: losses and gradients of PyTorch's cross_entropy and of effdet's
DetectionLoss with its AnchorLabeler, for small made-up outputs that the test makes again by the same formula.

Needs torch and effdet."""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from effdet.anchors import AnchorLabeler, Anchors
from effdet.config import get_efficientdet_config
from effdet.loss import DetectionLoss

OUT = Path(__file__).resolve().parents[2] / "crates/train/tests/golden/losses.json"


def wave(count, seed, scale, shift):
    """Values that Rust makes alike: sin in f64, rounded to f32."""
    return torch.tensor([scale * math.sin(seed + 0.7 * i) + shift for i in range(count)], dtype=torch.float32)


def cross_entropy():
    cases = []
    logits = wave(20, 1, 3, 0).reshape(4, 5)
    indices = [2, 0, 4, 4]
    soft = torch.tensor([[0.25, 0, 0.75, 0, 0], [1, 0, 0, 0, 0], [0, 0.5, 0, 0.5, 0], [0.1, 0.2, 0.3, 0.4, 0]])
    weights = [0.5, 1.0, 2.0, 3.0, 0.25]
    for smoothing in (0.0, 0.1):
        for name, target, weight in (
            ("indices", torch.tensor(indices), None),
            ("indices", torch.tensor(indices), torch.tensor(weights)),
            ("soft", soft, None),
        ):
            x = logits.clone().requires_grad_()
            loss = F.cross_entropy(x, target, weight=weight, label_smoothing=smoothing)
            loss.backward()
            cases.append({
                "targets": soft.flatten().tolist() if name == "soft" else None,
                "indices": indices if name == "indices" else None,
                "weights": None if weight is None else weights,
                "smoothing": smoothing,
                "loss": loss.item(),
                "gradient": x.grad.flatten().tolist(),
            })
    return cases


def detection():
    size, classes = 128, 3
    config = get_efficientdet_config("tf_efficientdet_d0")
    config.num_classes = classes
    config.legacy_focal = False
    config.jit_loss = False
    config.label_smoothing = 0.0
    config.image_size = (size, size)
    anchors = Anchors.from_config(config)
    labeler = AnchorLabeler(anchors, classes, match_threshold=0.5)
    # Top, left, bottom, right; class slots from 0. Large, small, thin, half outside, and two alike.
    objects = [
        [([10, 12, 60, 70], 0), ([30, 30, 38, 37], 2), ([5, 60, 125, 75], 1), ([12, 14, 61, 70], 1)],
        [],
        [([90, 90, 150, 140], 2), ([64, 64, 65, 66], 0)],
    ]
    boxes = [torch.tensor([b for b, _ in o], dtype=torch.float32).reshape(-1, 4) for o in objects]
    labels = [torch.tensor([c + 1 for _, c in o], dtype=torch.int64) for o in objects]
    filled = [i for i, o in enumerate(objects) if o]
    class_targets, box_targets, positives = [], [], []
    for i in range(len(objects)):
        if i in filled:
            c, b, n = labeler.label_anchors(boxes[i], labels[i])
        else:
            c, b, n = labeler.label_anchors(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
        class_targets.append(c)
        box_targets.append(b)
        positives.append(n)
    class_targets = [torch.stack(level) for level in zip(*class_targets)]
    box_targets = [torch.stack(level) for level in zip(*box_targets)]
    class_outputs, box_outputs = [], []
    for level in range(5):
        side = size >> (level + 3)
        make = lambda seed, depth, scale, shift: (
            wave(3 * side * side * depth, seed, scale, shift).reshape(3, side, side, depth)
            .permute(0, 3, 1, 2).contiguous().requires_grad_())
        class_outputs.append(make(level, 9 * classes, 2.5, -2))
        box_outputs.append(make(10 + level, 36, 0.4, 0))
    total, class_loss, box_loss = DetectionLoss(config)(
        class_outputs, box_outputs, class_targets, box_targets, torch.stack(positives))
    total.backward()
    flat = lambda tensors: [t.grad.permute(0, 2, 3, 1).flatten() for t in tensors]
    class_gradients, box_gradients = flat(class_outputs), flat(box_outputs)
    return {
        "size": size,
        "classes": classes,
        "objects": [[{"yxyx": b, "class": c} for b, c in o] for o in objects],
        "positives": [int(n) for n in positives],
        "total": total.item(),
        "class_loss": class_loss.item(),
        "box_loss": box_loss.item(),
        # Per level: the sum of squares, and every 97th value (every one that is not zero, of boxes).
        "class_gradient_squares": [float((g.double() ** 2).sum()) for g in class_gradients],
        "class_gradient_samples": [g[::97].tolist() for g in class_gradients],
        "box_gradient": [[[int(i), float(g[i])] for i in g.nonzero().flatten()] for g in box_gradients],
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    OUT.write_text(json.dumps({"cross_entropy": cross_entropy(), "detection": detection()}) + "\n")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")
