"""A peer from nothing to its first answer, as short a program as it takes: `cold.py ENGINE TASK`."""

import json
import sys

import numpy
from engines import ENGINES, Task


def main() -> None:
    described = json.loads(sys.argv[2])
    (form,) = described.pop("forms")
    picture = numpy.fromfile(described.pop("picture"), "float32")
    del described["noise"], described["reference"]
    task = Task(**described)
    engine = ENGINES[sys.argv[1]](task, form)
    engine.feed(picture.reshape(1, 3, task.size, task.size))
    engine.run()
    print("answer", json.dumps({"first": float(engine.outputs()[0].reshape(-1)[0])}), flush=True)


main()
