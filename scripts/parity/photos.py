"""What the reference detectors find on a real photo, each prepared and judged by its own project's code."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

EFFIGY = Path(__file__).parents[2] / "crates/effigy"
# Without loss: decoders of JPEG differ by a step of brightness here and there, which moves boxes.
PHOTO = EFFIGY / "tests/goldens/detectors/chelsea.png"
ZYLO117_SIDE = 256


@dataclass(frozen=True)
class Found:
    detections: list[list[float]]
    """Each x1, y1, x2, y2 in the photo's pixels, score and class slot from 0; the best first."""
    score: float
    """What a score must exceed."""
    iou: float
    """What the overlap with a better box of the class must not exceed."""


def cut_photo() -> None:
    """Writes the photo: a part of the crate's example picture."""
    from PIL import Image

    Image.open(EFFIGY / "assets/chelsea.jpg").crop((60, 20, 390, 230)).save(PHOTO, optimize=True)


def _effdet_input(net: torch.nn.Module) -> tuple[torch.Tensor, dict]:
    """The network's input, [1, 3, H, W], and what effdet must know to map boxes back."""
    from effdet.data.transforms import ImageToTensor, ResizePad, resolve_fill_color
    from PIL import Image

    photo = Image.open(PHOTO).convert("RGB")
    info = {"img_size": torch.tensor([[photo.width, photo.height]]).float()}
    mean = net.config.get("mean", (0.485, 0.456, 0.406))
    std = net.config.get("std", (0.229, 0.224, 0.225))
    resize = ResizePad(tuple(net.config.image_size), "bilinear", resolve_fill_color("mean", mean))
    photo, notes = resize(photo, {})
    info["img_scale"] = torch.tensor([notes["img_scale"]])
    picture, _ = ImageToTensor()(photo, notes)
    mean, std = (torch.tensor([value * 255 for value in values]).view(3, 1, 1) for values in (mean, std))
    return ((picture - mean) / std)[None], info


def effdet_input(net: torch.nn.Module) -> torch.Tensor:
    return _effdet_input(net)[0]


def effdet(net: torch.nn.Module) -> Found:
    from effdet import DetBenchPredict

    picture, info = _effdet_input(net)
    found = DetBenchPredict(net)(picture, info)[0]
    found = found[found[:, 4] > 0]
    found[:, 5] -= 1
    return Found(found.tolist(), 0.0, 0.5)


def zylo117_modules() -> None:
    """Puts zylo117's checkout on the path of Python's modules."""
    if os.environ["ZYLO117"] not in sys.path:
        sys.path.insert(0, os.environ["ZYLO117"])


def _zylo117_input() -> tuple[torch.Tensor, list]:
    """The network's input, [1, 3, H, W], and what zylo117 must know to map boxes back."""
    zylo117_modules()
    from utils.utils import preprocess

    _, (picture,), metas = preprocess(str(PHOTO), max_size=ZYLO117_SIDE)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float().contiguous(), metas


def zylo117_input(_net: torch.nn.Module) -> torch.Tensor:
    return _zylo117_input()[0]


def zylo117(net: torch.nn.Module) -> Found:
    """With the IoU of its `efficientdet_test.py`, and the score that some hundred anchors reach."""
    picture, metas = _zylo117_input()
    from efficientdet.utils import BBoxTransform, ClipBoxes
    from utils.utils import invert_affine, postprocess

    _, offsets, scores, anchors = net(picture)
    best = scores.max(dim=2)[0][0].sort(descending=True)[0]
    least = 100 + int((best[100:300] - best[101:301]).argmax())
    score, iou = float(f"{(best[least] + best[least + 1]) / 2:.7g}"), 0.2
    found = postprocess(picture, anchors, offsets, scores, BBoxTransform(), ClipBoxes(), score, iou)
    (found,) = invert_affine(metas, found)
    together = np.concatenate([found["rois"], found["scores"][:, None], found["class_ids"][:, None]], axis=1)
    return Found(together.tolist(), score, iou)
