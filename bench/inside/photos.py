"""Pictures: one to compare answers on, a folder of them to calibrate quantisation."""

from pathlib import Path

import numpy
from front.models import Model
from PIL import Image

# Photos that scikit-image ships, all free: what calibration uses where no folder is given.
SHIPPED = ["astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "motorcycle_left", "retina", "ihc"]
# Pictures that are cut out of each.
CUTS = 8
# Pictures that calibration looks at.
MOST = 64
# Share of a resized photo's side that its crop keeps, as effigy and timm have it.
CROP = 0.875


def ship(folder: Path) -> None:
    """Fills a folder with cuts of scikit-image's photos, mirrored every second one."""
    import skimage

    folder.mkdir(parents=True, exist_ok=True)
    random = numpy.random.default_rng(0)
    for name in SHIPPED:
        (path,) = (Path(skimage.__file__).parent / "data").glob(f"{name}.*")
        photo = Image.open(path).convert("RGB")
        for cut in range(CUTS):
            side = int(min(photo.size) * random.uniform(0.6, 1.0))
            left, top = (int(random.integers(0, length - side + 1)) for length in photo.size)
            piece = photo.crop((left, top, left + side, top + side))
            piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if cut % 2 else piece
            piece.save(folder / f"{name}-{cut}.png")


def calibration(folder: Path, network: Model) -> list[numpy.ndarray]:
    """At most MOST pictures of a folder, spread over it, as inputs."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not paths:
        raise SystemExit(f"{folder} holds no .jpg, .jpeg or .png file")
    chosen = [paths[i * len(paths) // MOST] for i in range(MOST)] if len(paths) > MOST else paths
    return [normalised(path, network) for path in chosen]


def accuracy(folder: Path, network: Model, engine) -> dict:
    """Top-1 and top-5 in percent on the photos that labels.tsv names, one at a time."""
    lines = (folder / "labels.tsv").read_text().splitlines()[1:]
    ranks = []
    for line in lines:
        name, kind = line.split("\t")[:2]
        engine.feed(normalised(folder / name, network))
        engine.run()
        logits = engine.outputs()[0][0]
        ranks.append(int((logits > logits[int(kind)]).sum()))
    share = lambda most: 100 * sum(rank < most for rank in ranks) / len(ranks)
    return {"top1": share(1), "top5": share(5), "pictures": len(ranks)}


def normalised(path: Path, network: Model) -> numpy.ndarray:
    """A picture as the network's input, [1, 3, size, size]; one that is as large as the input is not resized."""
    picture = Image.open(path).convert("RGB")
    size = (network.size, network.size)
    if picture.size != size and network.detector:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    elif picture.size != size:
        side = min(picture.size) * CROP
        left, top = (length / 2 - side / 2 for length in picture.size)
        box = (left, top, left + side, top + side)
        picture = picture.resize(size, Image.Resampling.BICUBIC, box)
    values = (numpy.asarray(picture, "float64") / 255 - network.mean) / network.std
    return numpy.ascontiguousarray(values.transpose(2, 0, 1)[None], "float32")


def example(size: int) -> Image.Image:
    """The cat of `effigy classify`'s example."""
    path = Path(__file__).resolve().parents[2] / "crates/effigy/assets/chelsea.jpg"
    return Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)


def noise(size: int) -> numpy.ndarray:
    """The input that `effigy bench` makes up: [1, 3, size, size] of values between −1 and 1."""
    index = numpy.arange(size * size * 3, dtype="uint32")
    values = ((index * numpy.uint32(2654435761)) >> 8).astype("float32") / numpy.float32(1 << 23) - 1
    return numpy.ascontiguousarray(values.reshape(1, size, size, 3).transpose(0, 3, 1, 2))
