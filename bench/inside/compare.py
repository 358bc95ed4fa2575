"""How far an answer is from PyTorch's: `compare.py REFERENCE ANSWER SIZE` prints a number.

Of outputs (.f32, .npy), the largest difference of a value as a share of the reference's range; of several pictures all
are compared, each is the same one. Of a detector's objects (.json: boxes, scores, classes), the share that the
reference's outputs do not have or that only they have.
"""

import json
import sys
from pathlib import Path

import numpy
from boxes import Boxes

# Two objects are the same where their class is, their boxes overlap so much, and their scores differ so little.
OVERLAP = 0.9
SCORE = 0.01


def difference(answer: numpy.ndarray, reference: numpy.ndarray) -> float:
    if answer.size == 0 or answer.size % reference.size:
        raise SystemExit(f"{answer.size} values instead of {reference.size}")
    span = float(reference.max() - reference.min())
    return float(numpy.abs(answer.reshape(-1, reference.size) - reference).max()) / span


def maps(outputs: numpy.ndarray, size: int) -> list[numpy.ndarray]:
    """A detector's outputs as maps [C, H, W]: classes of P3 to P7, then boxes."""
    sides = [-(-size // stride) for stride in (8, 16, 32, 64, 128)]
    shapes = [(channels, side, side) for channels in (810, 36) for side in sides]
    ends = numpy.cumsum([numpy.prod(shape) for shape in shapes])
    parts = numpy.split(outputs, ends[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes)]


def unlike(found: list, expected: list) -> float:
    """The share of the larger one of two lists of objects that has no counterpart in the other."""
    left = list(zip(*expected))
    alike = 0
    for one in zip(*found):
        counterpart = next((other for other in left if same(one, other)), None)
        if counterpart is not None:
            left.remove(counterpart)
            alike += 1
    return 1 - alike / max(1, len(found[1]), len(expected[1]))


def same(one: tuple, other: tuple) -> bool:
    (a, score, kind), (b, other_score, other_kind) = one, other
    if kind != other_kind or abs(score - other_score) > SCORE:
        return False
    shared = area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])
    return shared >= OVERLAP * (area(a) + area(b) - shared)


def area(box: list[float]) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def main() -> None:
    reference, answer, size = sys.argv[1:]
    expected = numpy.fromfile(reference, "float32")
    if answer.endswith(".json"):
        objects = [part.tolist() for part in Boxes(int(size))(maps(expected, int(size)))]
        print(unlike(json.loads(Path(answer).read_text()), objects))
    else:
        values = numpy.load(answer) if answer.endswith(".npy") else numpy.fromfile(answer, "float32")
        print(difference(values.reshape(-1), expected))


main()
