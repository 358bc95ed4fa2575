"""A peer from nothing to its first answer, as short a program as it takes: `cold.py ENGINE TASK`."""

import json
import sys

import numpy
from engines import ENGINES, Task


def main() -> None:
    described = json.loads(sys.argv[2])
    (form,) = described.pop("forms")
    picture = numpy.fromfile(described.pop("picture"), "float32").reshape(1, 3, described["size"], -1)
    del described["noise"], described["reference"]
    engine = ENGINES[sys.argv[1]](Task(**described, picture=picture), form)
    engine.feed(picture)
    engine.run()
    print("answer", json.dumps({"first": float(engine.outputs()[0].reshape(-1)[0])}), flush=True)


main()
