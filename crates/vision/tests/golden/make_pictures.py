"""Writes pictures/ and pictures.tsv: tiny pictures of every supported kind, and what Pillow makes of them.

Run where Pillow is installed: python make_pictures.py
A row of pictures.tsv is: file, width, height, tolerance (largest difference of a sample allowed),
pixels (R G B, hexadecimal). The pixels are `ImageOps.exif_transpose(image).convert("RGB")`, except
for 16-bit grey, where they are the high bytes (Pillow versions disagree).
"""

import io
import math
from pathlib import Path

import PIL
from PIL import Image, ImageOps

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"
WIDTH, HEIGHT = 19, 13
# JPEG's inverse transform and lossy WebP's chroma may round otherwise than libjpeg and libwebp do.
LOSSY = 3


def smooth():
    """A coloured gradient with a dark corner, so that every orientation differs."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            wave = int(30 * math.sin(x * 0.7 + y * 0.4))
            corner = 0.25 if x < 6 and y < 4 else 1
            pixel = (40 + 11 * x, 200 - 12 * y + wave, 90 + 5 * x + 4 * y - wave)
            image.putpixel((x, y), tuple(int(min(255, max(0, v)) * corner) for v in pixel))
    return image


def with_alpha(image):
    alpha = Image.new("L", image.size)
    alpha.putdata([(x * 29 + y * 17) % 256 for y in range(HEIGHT) for x in range(WIDTH)])
    image = image.copy()
    image.putalpha(alpha)
    return image


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


rows = []


def add(file, data, tolerance=0, pixels=None):
    (PICTURES / file).write_bytes(data)
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    pixels = image.tobytes() if pixels is None else pixels
    rows.append((file, *image.size, tolerance, pixels.hex()))


def save(file, image, tolerance=0, pixels=None, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    add(file, buffer.getvalue(), tolerance, pixels)


def png16(mode, samples):
    """A 16-bit PNG of colour type `mode`, which Pillow itself does not write for RGB."""
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    line = len(samples) // HEIGHT
    lines = b"".join(
        b"\0" + struct.pack(f">{line}H", *samples[y * line : (y + 1) * line]) for y in range(HEIGHT)
    )
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, mode, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def sixteen(count):
    return [(i * 2654435761 >> 7) & 0xFFFF for i in range(count)]


PICTURES.mkdir(exist_ok=True)
rgb = smooth()
grey = rgb.convert("L")
la = with_alpha(grey)
rgba = with_alpha(rgb)
palette = rgb.quantize(16)
cmyk = rgb.convert("CMYK")
cmyk.putdata([(c, m, y, (c * 3 + m) % 120) for c, m, y, _ in cmyk.getdata()])
bilevel = grey.convert("1")
area = WIDTH * HEIGHT

for orientation in range(1, 9):
    save(f"exif{orientation}.jpg", rgb, LOSSY, format="JPEG", quality=90, exif=exif(orientation))
save("exif6.png", rgb, format="PNG", exif=exif(6))
save("exif8.webp", rgb, format="WEBP", lossless=True, exif=exif(8))
save("exif3.tif", rgb, format="TIFF", tiffinfo={0x0112: 3})

for name, sampling in (("444", 0), ("422", 1), ("420", 2)):
    save(f"{name}.jpg", rgb, LOSSY, format="JPEG", quality=85, subsampling=sampling)
save("progressive.jpg", rgb, LOSSY, format="JPEG", quality=85, progressive=True)
save("restart.jpg", rgb, LOSSY, format="JPEG", quality=85, restart_marker_blocks=1)
save("grey.jpg", grey, LOSSY, format="JPEG", quality=85)
save("rgb.jpg", rgb, LOSSY, format="JPEG", quality=95, keep_rgb=True)
save("cmyk.jpg", cmyk, LOSSY, format="JPEG", quality=95)
# The same data declared as YCCK: the Adobe segment's last byte is the transform.
buffer = io.BytesIO()
cmyk.save(buffer, format="JPEG", quality=95)
ycck = bytearray(buffer.getvalue())
ycck[ycck.index(b"Adobe") + 11] = 2
add("ycck.jpg", bytes(ycck), LOSSY)

save("rgb.png", rgb, format="PNG")
save("rgba.png", rgba, format="PNG")
save("grey.png", grey, format="PNG")
save("grey-alpha.png", la, format="PNG")
save("palette.png", palette, format="PNG")
save("palette-alpha.png", palette, format="PNG", transparency=bytes(range(0, 240, 15)))
save("bilevel.png", bilevel, format="PNG")
grey16 = sixteen(area)
add("grey16.png", png16(0, grey16), pixels=bytes(v >> 8 for v in grey16 for _ in range(3)))
add("grey16-alpha.png", png16(4, sixteen(area * 2)), pixels=bytes(v >> 8 for v in sixteen(area * 2)[::2] for _ in range(3)))  # fmt: skip
add("rgb16.png", png16(2, sixteen(area * 3)))
add("rgba16.png", png16(6, sixteen(area * 4)))
save("one.png", rgb.crop((3, 8, 4, 9)), format="PNG")

save("lossy.webp", rgb, LOSSY, format="WEBP", quality=80)
save("lossless.webp", rgb, format="WEBP", lossless=True)
save("lossy-alpha.webp", rgba, LOSSY, format="WEBP", quality=80, exact=True)
save("lossless-alpha.webp", rgba, format="WEBP", lossless=True, exact=True)
save("animated.webp", rgb, format="WEBP", lossless=True, save_all=True, append_images=[ImageOps.invert(rgb)])

save("rgb.bmp", rgb, format="BMP")
save("grey.bmp", grey, format="BMP")
save("palette.bmp", palette, format="BMP")
save("bilevel.bmp", bilevel, format="BMP")
save("rgba.bmp", rgba, format="BMP")

save("palette.gif", palette, format="GIF")
save("interlaced.gif", palette, format="GIF", interlace=True)
save("animated.gif", palette, format="GIF", save_all=True, append_images=[ImageOps.invert(rgb).quantize(8)])
save("transparent.gif", palette, format="GIF", transparency=5)

save("rgb.tif", rgb, format="TIFF")
save("lzw.tif", rgb, format="TIFF", compression="tiff_lzw")
save("deflate.tif", rgb, format="TIFF", compression="tiff_adobe_deflate")
save("packbits.tif", rgb, format="TIFF", compression="packbits")
save("rgba.tif", rgba, format="TIFF")
save("grey.tif", grey, format="TIFF")
save("bilevel.tif", bilevel, format="TIFF")
save("cmyk.tif", cmyk, 1, format="TIFF")
# Not in the table: a test expects the error that names it.
palette.save(PICTURES / "palette.tif")
high = Image.frombytes("I;16", (WIDTH, HEIGHT), b"".join(v.to_bytes(2, "little") for v in grey16))
save("grey16.tif", high, pixels=bytes(v >> 8 for v in grey16 for _ in range(3)), format="TIFF")

# A JPEG by content, a PNG by name.
add("mislabelled.png", (PICTURES / "444.jpg").read_bytes(), LOSSY)

with open(HERE / "pictures.tsv", "w") as table:
    print(f"# Pillow {PIL.__version__}: file width height tolerance pixels", file=table)
    for row in rows:
        print(*row, sep="\t", file=table)
