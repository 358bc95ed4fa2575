"""Writes preprocess.tsv: which bytes timm's evaluation transform keeps of seeded pictures.

Run where timm and torchvision are installed: python make_preprocess.py > preprocess.tsv
The source picture of a row is `noise(width, height, seed)` of make_resize.py.
"""

import contextlib
import io
import random
import zlib

import numpy as np
import PIL
import timm
import torchvision
from timm.data.transforms_factory import transforms_imagenet_eval

with contextlib.redirect_stdout(io.StringIO()):
    from make_resize import noise

PICTURES = [(50, 37), (37, 50), (40, 40), (16, 16), (1, 1), (300, 9), (9, 300), (64, 61), (33, 90), (201, 7)]
INPUTS = [
    ((28, 28), 0.875), ((32, 32), 1.0), ((24, 24), 0.8), ((27, 27), 0.882), ((30, 30), 0.95), ((57, 57), 0.934),
    ((20, 36), 0.875), ((37, 21), 0.9), ((24, 25), 1.0), ((20, 20), 1.3), ((20, 31), 1.25),
]  # fmt: skip
rng = random.Random(3)

print(f"# Pillow {PIL.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}:", end=" ")
print("width height seed in_height in_width crop_pct filter crc32")
seed = 1
for width, height in PICTURES:
    for size, crop_pct in INPUTS:
        seed += 6151
        name = rng.choice(["bilinear", "bicubic"])
        transform = transforms_imagenet_eval(size, crop_pct, interpolation=name, use_prefetcher=True)
        kept = transform(noise(width, height, seed))  # u8, C H W
        print(width, height, seed, *size, crop_pct, name, zlib.crc32(np.asarray(kept).transpose(1, 2, 0).tobytes()), sep="\t")
