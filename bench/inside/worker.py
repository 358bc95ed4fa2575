"""A peer that stays warm: `worker.py ENGINE TASK`, TASK being a JSON object as `front/contenders.py` makes it.

Reads requests from stdin, a JSON object a line, and answers each; first it tells whether it can do the task at all:

                                ->  {"note": "u8s8"}  or  {"unable": "why"}
    {"warmup": 5, "runs": 30}   ->  {"times_ms": […]}
      with "boxes": true             a detector with post-processing
    {"output": "x.f32"}         ->  {}   the answer to the task's picture, all outputs one after the other
    {"objects": "x.json"}       ->  {}   what is found in it
    {"photos": "folder"}        ->  {"top1": 75.0, "top5": 92.0, "pictures": 500}   as labels.tsv there has it

Measured is the task's noise, the input of `effigy bench`.
"""

import json
import sys
import time
from pathlib import Path
from typing import Callable

import numpy
import photos
from engines import ENGINES, Task, Unable
from front.models import MODELS

# Runs of each form, where the fastest of several is looked for.
TRIAL = 7
# Largest difference of an output, as a share of their range: some forms overflow on some processors.
ABOUT_RIGHT = 0.1


def main() -> None:
    engine, described = sys.argv[1], json.loads(sys.argv[2])
    forms = described.pop("forms")
    values = {name: numpy.fromfile(described.pop(name), "float32") for name in ["picture", "noise", "reference"]}
    shape = (1, 3, described["size"], described["size"])
    picture, noise, reference = values["picture"].reshape(shape), values["noise"].reshape(shape), values["reference"]
    task = Task(**described, picture=picture)
    picture, noise = (numpy.repeat(values, task.batch, 0) for values in (picture, noise))
    try:
        run, form = fastest(ENGINES[engine], task, forms, picture, reference)
    except Exception as error:  # Whatever a library raises is its reason.
        tell({"unable": f"{error}" if isinstance(error, Unable) else f"{type(error).__name__}: {error}"})
        return
    tell({"note": form if len(forms) > 1 else ""})
    boxes = None
    for line in sys.stdin:
        request = json.loads(line)
        if boxes is None and ("objects" in request or request.get("boxes")):
            from boxes import Boxes

            boxes = Boxes(task.size)
        if "photos" in request:
            tell(photos.accuracy(Path(request["photos"]), MODELS[task.network], run))
        else:
            tell(answer(request, run, boxes, picture, noise))


def answer(request: dict, run, boxes, picture: numpy.ndarray, noise: numpy.ndarray) -> dict:
    if "output" in request or "objects" in request:
        run.feed(picture)
        run.run()
        outputs = run.outputs()
        if "output" in request:
            # A picture's outputs lie together.
            rows = [numpy.concatenate([output[i].reshape(-1) for output in outputs]) for i in range(len(picture))]
            numpy.concatenate(rows).astype("float32").tofile(request["output"])
        else:
            found = boxes([output[0] for output in outputs])
            with open(request["objects"], "w") as file:
                json.dump([part.tolist() for part in found], file)
        return {}
    run.feed(noise)

    def once() -> None:
        run.run()
        if request.get("boxes"):
            boxes([output[0] for output in run.outputs()])

    for _ in range(request["warmup"]):
        once()
    return {"times_ms": [timed(once) for _ in range(request["runs"])]}


def fastest(build: Callable, task: Task, forms: list[str], picture: numpy.ndarray, reference: numpy.ndarray) -> tuple:
    """The engine in that form of the network which takes the least time, and is about right."""
    built = [(build(task, form), form) for form in forms]
    if len(built) == 1:
        return built[0]
    times, errors = [], []
    for engine, _ in built:
        engine.feed(picture)
        engine.run()
        answer = numpy.concatenate([output[0].reshape(-1) for output in engine.outputs()])
        errors.append(float(abs(answer - reference).max() / (reference.max() - reference.min())))
        times.append(min(timed(engine.run) for _ in range(TRIAL)))
    right = [time for time, error in zip(times, errors) if error <= ABOUT_RIGHT]
    if not right:
        raise Unable(f"differs by at least {min(errors):.2f} of the range in every form")
    return built[times.index(min(right))]


def timed(once: Callable[[], None]) -> float:
    start = time.perf_counter()
    once()
    return (time.perf_counter() - start) * 1e3


def tell(what: dict) -> None:
    # Libraries may print; an answer is a line that begins with this mark.
    print("answer", json.dumps(what), flush=True)


main()
