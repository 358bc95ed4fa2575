"""effdet's post-processing on a detector's outputs, for peers that have none: the same objects, as fast as NumPy can.

What effdet does (bench.py, anchors.py): the 5000 highest logits of all anchors and classes, their boxes, suppression
within a class at an overlap of 0.5, the best 100. Two short cuts change nothing of the result: candidates are found by
a threshold that a sample suggests, without ever bringing the maps into another order; and suppression ends as soon as
100 boxes are kept.
"""

import numpy

CANDIDATES = 5000
OVERLAP = 0.5
MOST = 100
CLASSES = 90
SHAPES = numpy.array([(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)])
OCTAVES = 2 ** (numpy.arange(3) / 3)
# One logit of so many is looked at to guess the threshold.
STRIDE = 61
# Boxes that are suppressed at a time.
CHUNK = 400


class Boxes:
    """Finds objects in class maps [810, H, W] and box maps [36, H, W] of P3 to P7."""

    def __init__(self, size: int):
        self.size = size
        self.strides = [8, 16, 32, 64, 128]
        sizes = OCTAVES[:, None, None] * SHAPES[None]
        self.anchors = sizes.reshape(-1, 2) * 4

    def __call__(self, outputs: list[numpy.ndarray]) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """Boxes as rows of left, top, right, bottom; scores; classes. Best first."""
        maps = [output.reshape(-1) for output in outputs[:5]]
        logits, places, levels = self._candidates(maps)
        boxes, classes = numpy.empty((len(logits), 4), "float32"), numpy.empty(len(logits), "int64")
        for level, stride in enumerate(self.strides):
            of_level = levels == level
            boxes[of_level], classes[of_level] = self._decode(outputs[5 + level], places[of_level], stride)
        kept = suppress(boxes, classes)
        return boxes[kept], 1 / (1 + numpy.exp(-logits[kept])), classes[kept]

    def _candidates(self, maps: list[numpy.ndarray]) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """The highest logits, in falling order, with their places and levels."""
        sample = numpy.concatenate([values[::STRIDE] for values in maps])
        # Half as many again, so that too few are rare.
        rank = min(len(sample), CANDIDATES * 3 // 2 // STRIDE + 8)
        threshold = numpy.partition(sample, len(sample) - rank)[len(sample) - rank]
        found = [numpy.flatnonzero(values >= threshold) for values in maps]
        if sum(map(len, found)) < CANDIDATES:
            found = [numpy.arange(len(values)) for values in maps]
        logits = numpy.concatenate([values[places] for values, places in zip(maps, found)])
        levels = numpy.repeat(numpy.arange(5), [len(places) for places in found])
        places = numpy.concatenate(found)
        if len(logits) > CANDIDATES:
            best = numpy.argpartition(logits, len(logits) - CANDIDATES)[len(logits) - CANDIDATES :]
            logits, places, levels = logits[best], places[best], levels[best]
        order = numpy.argsort(-logits, kind="stable")
        return logits[order], places[order], levels[order]

    def _decode(self, offsets: numpy.ndarray, places: numpy.ndarray, stride: int) -> tuple:
        """Boxes and classes of places in a level's class map."""
        height, width = offsets.shape[-2:]
        channels, pixels = numpy.divmod(places, height * width)
        anchors, classes = numpy.divmod(channels, CLASSES)
        rows, columns = numpy.divmod(pixels, width)
        codes = offsets.reshape(9, 4, -1)[anchors, :, pixels]
        widths, heights = (self.anchors[anchors] * stride).T
        y = codes[:, 0] * heights + (rows + 0.5) * stride
        x = codes[:, 1] * widths + (columns + 0.5) * stride
        half_height, half_width = numpy.exp(codes[:, 2]) * heights / 2, numpy.exp(codes[:, 3]) * widths / 2
        corners = numpy.stack([x - half_width, y - half_height, x + half_width, y + half_height], 1)
        return corners.clip(0, self.size), classes


def suppress(boxes: numpy.ndarray, classes: numpy.ndarray) -> list[int]:
    """Indices of the best MOST boxes of which none overlaps a better kept one of its class."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    for start in range(0, len(boxes), CHUNK):
        chunk = numpy.arange(start, min(start + CHUNK, len(boxes)))
        if kept:
            chunk = chunk[~_overlap(boxes, areas, classes, chunk, numpy.array(kept)).any(1)]
        overlap = _overlap(boxes, areas, classes, chunk, chunk)
        alive = numpy.ones(len(chunk), bool)
        for i in range(len(chunk)):
            if alive[i]:
                kept.append(int(chunk[i]))
                if len(kept) == MOST:
                    return kept
                alive &= ~overlap[i]
    return kept


def _overlap(boxes, areas, classes, some: numpy.ndarray, others: numpy.ndarray) -> numpy.ndarray:
    """Whether each of some boxes overlaps each of others."""
    a, b = boxes[some][:, None], boxes[others][None]
    width = (numpy.minimum(a[..., 2], b[..., 2]) - numpy.maximum(a[..., 0], b[..., 0])).clip(0)
    height = (numpy.minimum(a[..., 3], b[..., 3]) - numpy.maximum(a[..., 1], b[..., 1])).clip(0)
    shared = width * height
    union = areas[some][:, None] + areas[others][None] - shared
    return (shared > OVERLAP * union) & (classes[some][:, None] == classes[others][None])
