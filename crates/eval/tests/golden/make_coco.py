"""Writes a COCO data set, detections made for it, and the figures that pycocotools gives them.

Run where pycocotools is installed:
    python make_coco.py coco                                     the made-up data set of the tests
    python make_coco.py FOLDER --truth instances_val2017.json    a real one, for EFFIGY_COCO_GOLDEN=FOLDER

The folder gets instances.json, detections.json (COCO's result format) and expected.json. The detections
include ties, more than 100 boxes of a picture and class, boxes in crowds, boxes in pictures and of classes
without truth, and boxes that overlap a true one by exactly a threshold.
"""

import argparse
import contextlib
import importlib.metadata
import io
import json
import pathlib
import random

import numpy
import pycocotools.coco
import pycocotools.cocoeval

SIZE = 400


def made_up(rng):
    """Pictures with gaps in every number, some without objects; a class without objects; crowds; areas on the
    borders between small, medium and large."""
    categories = [{"id": id, "name": f"class {id}"} for id in (1, 3, 4, 9, 90)]
    images = [{"id": 5 + 7 * i, "file_name": f"{i:03}.jpg", "width": SIZE, "height": SIZE} for i in range(14)]
    annotations = []
    for image in images[3:]:
        for _ in range(rng.randint(1, 7)):
            width, height = rng.choice([(32, 32), (96, 96), (8, 20), (150, 90), (64, 40), (200, 210), (20, 30)])
            box = [rng.randint(0, 2 * (SIZE - width)) / 2, rng.randint(0, SIZE - height), width, height]
            outline = rng.choice([1, 1, 0.75])
            annotations.append({
                "id": 100 + 3 * len(annotations), "image_id": image["id"], "category_id": rng.choice([1, 3, 4, 9]),
                "bbox": box, "area": width * height * outline, "iscrowd": int(rng.random() < 0.15),
            })  # fmt: skip
    return {"images": rng.sample(images, len(images)), "annotations": annotations, "categories": categories}


def detections(rng, truth):
    categories = [category["id"] for category in truth["categories"]]
    found = []

    def add(image, category, box, score):
        box = [round(number, 2) for number in box]
        found.append({"image_id": image, "category_id": category, "bbox": box, "score": round(score, 2)})

    for annotation in truth["annotations"]:
        x, y, width, height = annotation["bbox"]
        image, category = annotation["image_id"], annotation["category_id"]
        if rng.random() < 0.15:
            continue
        for _ in range(rng.choice([1, 1, 2, 3])):
            wrong = rng.random() < 0.1
            shift = [rng.gauss(0, 0.08) for _ in range(4)]
            box = [x + shift[0] * width, y + shift[1] * height, width * (1 + shift[2]), height * (1 + shift[3])]
            add(image, rng.choice(categories) if wrong else category, box, rng.betavariate(4, 2))
        if rng.random() < 0.4:
            add(image, category, [x, y, width * rng.choice([0.5, 0.75]), height], rng.random())
        if annotation["iscrowd"]:
            for _ in range(4):
                part = [x + width * rng.random() / 2, y + height * rng.random() / 2, width / 3, height / 3]
                add(image, category, part, rng.random())
    for index, image in enumerate(truth["images"]):
        category = rng.choice(categories)
        for _ in range(130 if index % 6 == 0 else 5):
            width, height = rng.uniform(4, 120), rng.uniform(4, 120)
            box = [rng.uniform(0, image["width"]), rng.uniform(0, image["height"]), width, height]
            add(image["id"], category if index % 6 == 0 else rng.choice(categories), box, rng.random())
    rng.shuffle(found)
    return found


def figures(precision, recall):
    """COCO's twelve figures, None for its -1, of arrays [threshold, recall, class, area, most] and
    [threshold, class, area, most]."""
    def mean(values):
        values = values[values > -1]
        return float(values.mean()) if values.size else None

    return [
        mean(precision[..., 0, 2]), mean(precision[0, ..., 0, 2]), mean(precision[5, ..., 0, 2]),
        *[mean(precision[..., area, 2]) for area in (1, 2, 3)],
        *[mean(recall[..., 0, most]) for most in (0, 1, 2)],
        *[mean(recall[..., area, 2]) for area in (1, 2, 3)],
    ]  # fmt: skip


def expected(folder):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = pycocotools.coco.COCO(folder / "instances.json")
        judge = pycocotools.cocoeval.COCOeval(truth, truth.loadRes(str(folder / "detections.json")), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    precision, recall = judge.eval["precision"], judge.eval["recall"]
    overall = [None if figure == -1 else float(figure) for figure in judge.stats]
    assert overall == figures(precision, recall)
    classes = [figures(precision[:, :, [k]], recall[:, [k]]) for k in range(len(judge.params.catIds))]
    made_with = f"pycocotools {importlib.metadata.version('pycocotools')}, numpy {numpy.__version__}"
    return {"made_with": made_with, "overall": overall, "classes": classes}


def write(path, value):
    """One object a line, so that a difference can be read."""
    text = json.dumps(value)
    path.write_text(text.replace("}, {", "},\n{").replace("], [", "],\n["))


arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("folder", type=pathlib.Path)
arguments.add_argument("--truth", type=pathlib.Path)
arguments = arguments.parse_args()
arguments.folder.mkdir(parents=True, exist_ok=True)
rng = random.Random(11)
truth = json.loads(arguments.truth.read_text()) if arguments.truth else made_up(rng)
write(arguments.folder / "instances.json", truth)
write(arguments.folder / "detections.json", detections(rng, truth))
write(arguments.folder / "expected.json", expected(arguments.folder))
