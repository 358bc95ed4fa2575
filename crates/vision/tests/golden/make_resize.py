"""Writes resize.tsv: what Pillow's Image.resize makes of seeded pictures.

Run where Pillow is installed: python make_resize.py > resize.tsv
The source picture of a row is `noise(width, height, seed)`; the test has the same generator.
"""

import random
import zlib

import PIL
from PIL import Image


def noise(width, height, seed):
    """Bytes from xorshift32: each step's top byte; every other picture is hard black and white."""
    state, data = seed, bytearray()
    for _ in range(width * height * 3):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        byte = state >> 24
        data.append(byte if seed % 2 else 255 * (byte > 127))
    return Image.frombytes("RGB", (width, height), bytes(data))


CASES = [
    (1, 1, 1, 1), (1, 1, 7, 5), (7, 5, 1, 1), (1, 50, 20, 3), (50, 1, 3, 20), (2, 2, 2, 9),
    (20, 90, 18, 30), (20, 90, 40, 80), (40, 60, 33, 47), (40, 60, 34, 47), (40, 60, 34, 48),
    (16, 8, 16, 4), (16, 8, 8, 8), (17, 9, 34, 18), (33, 47, 32, 46), (32, 46, 33, 47),
    (100, 75, 56, 42), (64, 64, 13, 201), (300, 2, 2, 300), (2000, 3, 5, 3), (3, 2000, 3, 5),
    (160, 120, 85, 64), (31, 29, 224, 224), (255, 257, 256, 256), (4000, 10, 7, 11),
]  # fmt: skip
rng = random.Random(2)
CASES += [tuple(rng.randint(1, 130) for _ in range(4)) for _ in range(60)]

print(f"# Pillow {PIL.__version__}: width height seed filter out_width out_height crc32 first-bytes")
for index, (width, height, out_width, out_height) in enumerate(CASES):
    seed = 1 + index * 7919
    for name in ("bilinear", "bicubic"):
        filter = getattr(Image.Resampling, name.upper())
        result = noise(width, height, seed).resize((out_width, out_height), filter).tobytes()
        fields = width, height, seed, name, out_width, out_height, zlib.crc32(result), result[:24].hex()
        print(*fields, sep="\t")
