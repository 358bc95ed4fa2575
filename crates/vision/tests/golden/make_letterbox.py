"""Writes letterbox.tsv: what effdet's, zylo117's and google/automl's code make of pictures.

Run where effdet and OpenCV are installed: python make_letterbox.py <Yet-Another-EfficientDet-Pytorch> > letterbox.tsv
A picture is `noise(width, height, seed)` of make_resize.py, or seed 0: pictures/rgb.png. google/automl's code is
TensorFlow's, whose formulas are computed with NumPy, step by step in f32: equal to the bit to TensorFlow 2.15.1.
A row ends with samples of the input, 36 numbers of [height, width, 3], number i at i · 7919 modulo its length, as bytes of f32.
"""

import ast
import contextlib
import io
import pathlib
import sys

import cv2
import numpy as np
import PIL
import torch
from effdet.data.transforms import ResizePad, resolve_fill_color
from PIL import Image

with contextlib.redirect_stdout(io.StringIO()):
    from make_resize import noise

HERE = pathlib.Path(__file__).parent
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

source = pathlib.Path(sys.argv[1], "utils", "utils.py").read_text()
wanted = [node for node in ast.parse(source).body if getattr(node, "name", "") == "aspectaware_resize_padding"]
exec(compile(ast.Module(wanted, []), "zylo117", "exec"))


def effdet(picture, height, width):
    resized, _ = ResizePad((height, width), "bilinear", resolve_fill_color("mean", MEAN))(picture, {})
    x = torch.from_numpy(np.array(resized, dtype=np.uint8)).float()
    # As PrefetchLoader has it, which needs a GPU.
    return x.sub_(torch.tensor([m * 255 for m in MEAN])).div_(torch.tensor([s * 255 for s in STD])).numpy()


def zylo117(picture, height, width):
    assert height == width
    return aspectaware_resize_padding((np.array(picture) / 255 - MEAN) / STD, width, width, means=None)[0]


def axis(size, output):
    """Half-pixel centres, as TensorFlow's ResizeBilinear has them."""
    f32 = np.float32
    place = (np.arange(output, dtype=f32) + f32(0.5)) * (f32(size) / f32(output)) - f32(0.5)
    low = np.floor(place)
    share = (place - low).astype(f32)
    return np.maximum(low, 0).astype(int), np.minimum(low + 1, size - 1).astype(int), share


def official(picture, height, width):
    f32 = np.float32
    image = np.array(picture).astype(f32)
    image = (image - np.array([m * 255 for m in MEAN], f32)) / np.array([s * 255 for s in STD], f32)
    rows, columns = image.shape[:2]
    scale = min(f32(height) / f32(rows), f32(width) / f32(columns))
    scaled = int(f32(rows) * scale), int(f32(columns) * scale)
    low, high, share = axis(columns, scaled[1])
    image = image[:, low] + (image[:, high] - image[:, low]) * share[None, :, None]
    low, high, share = axis(rows, scaled[0])
    image = image[low] + (image[high] - image[low]) * share[:, None, None]
    output = np.zeros((height, width, 3), f32)
    output[: scaled[0], : scaled[1]] = image
    return output


PICTURES = [(64, 48), (48, 64), (37, 37), (101, 67), (30, 200), (7, 5), (640, 480), (333, 500), (49, 49)]
SIZES = [(64, 64), (96, 96), (128, 128), (49, 49), (64, 96), (77, 50)]

print(f"# Pillow {PIL.__version__}, OpenCV {cv2.__version__}, NumPy {np.__version__}:", end=" ")
print("code width height seed in_height in_width samples")
pictures = [(*size, 7 + 7919 * index, None) for index, size in enumerate(PICTURES)]
real = Image.open(HERE / "pictures" / "rgb.png").convert("RGB")
for width, height, seed, _ in [*pictures, (*real.size, 0, None)]:
    picture = noise(width, height, seed) if seed else real
    for code in (effdet, zylo117, official):
        for size in SIZES:
            if code is zylo117 and size[0] != size[1]:
                continue
            flat = code(picture, *size).astype(np.float32).reshape(-1)
            samples = flat[np.arange(36) * 7919 % len(flat)]
            print(code.__name__, width, height, seed, *size, samples.tobytes().hex(), sep="\t")
