"""Writes operations.tsv: what Pillow makes of a small picture, for tests/augment.rs.

Run with Pillow 13.0.0: python3 make_operations.py > operations.tsv
"""

from PIL import Image, ImageEnhance, ImageOps

WIDTH, HEIGHT = 9, 7


def picture():
    """The same as in tests/augment.rs: no channel reaches both 0 and 255."""
    pixels = bytes(20 + (i * i * 7 + i * 31) % 211 for i in range(WIDTH * HEIGHT * 3))
    return Image.frombytes("RGB", (WIDTH, HEIGHT), pixels)


def moved(image, matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=(128,) * 3)


def operations(image):
    for factor in (0.0, 0.1, 0.73, 1.0, 1.27, 1.9):
        yield "brightness", factor, ImageEnhance.Brightness(image).enhance(factor)
        yield "contrast", factor, ImageEnhance.Contrast(image).enhance(factor)
        yield "saturation", factor, ImageEnhance.Color(image).enhance(factor)
        yield "sharpness", factor, ImageEnhance.Sharpness(image).enhance(factor)
    yield "autocontrast", 0, ImageOps.autocontrast(image)
    yield "equalize", 0, ImageOps.equalize(image)
    yield "equalize_large", 0, ImageOps.equalize(image.resize((90, 70), Image.Resampling.NEAREST))
    yield "invert", 0, ImageOps.invert(image)
    for threshold in (0, 100, 256):
        yield "solarize", threshold, ImageOps.solarize(image, threshold)
    for bits in (1, 3, 4, 8):
        yield "posterize", bits, ImageOps.posterize(image, bits)
    for degrees in (0, 17, -30, 90):
        yield "rotate", degrees, image.rotate(degrees, Image.Resampling.NEAREST, fillcolor=(128,) * 3)
    for share in (0.3, -0.11):
        yield "shear_x", share, moved(image, (1, share, 0, 0, 1, 0))
        yield "shear_y", share, moved(image, (1, 0, 0, share, 1, 0))
    for pixels in (2.4, -3):
        yield "translate_x", pixels, moved(image, (1, 0, pixels, 0, 1, 0))
        yield "translate_y", pixels, moved(image, (1, 0, 0, 0, 1, pixels))


for name, amount, result in operations(picture()):
    print(name, amount, result.tobytes().hex(), sep="\t")
