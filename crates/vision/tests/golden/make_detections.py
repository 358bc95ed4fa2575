"""Writes detections.tsv: what effdet's, zylo117's and google/automl's post-processing makes of made-up outputs.

Run where effdet and torchvision are installed:
    python make_detections.py <Yet-Another-EfficientDet-Pytorch> > detections.tsv
and, as TensorFlow hardly lives with them, once more where it is:
    python make_detections.py official >> detections.tsv

A picture's outputs are `outputs(seed, …)`; the test has the same generator. A row of `case` is followed by its
detections: x1 y1 x2 y2 score class, in pixels of the picture, at most 100.
"""

import ast
import pathlib
import sys

import numpy as np

# code, classes, input's side, picture's width and height, seed
CASES = [
    ("effdet", 5, 128, 200, 150, 1), ("effdet", 90, 64, 61, 80, 2), ("effdet", 1, 256, 300, 300, 3),
    ("effdet_soft", 3, 128, 200, 150, 4), ("effdet_soft", 2, 128, 90, 128, 5),
    ("zylo117", 5, 128, 200, 150, 6), ("zylo117", 90, 64, 77, 130, 7), ("zylo117", 1, 256, 300, 280, 8),
    ("official", 5, 128, 200, 150, 9), ("official", 90, 64, 61, 80, 10), ("official", 2, 128, 200, 150, 11),
    ("official_hard", 5, 128, 200, 150, 12), ("official_global", 5, 128, 200, 150, 13),
]  # fmt: skip


def uniform(seed, count):
    """0 to 1 from xorshift32, in f64."""
    values, state = np.empty(count), seed * 7919
    for index in range(count):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        values[index] = state
    return values / 2**32


def outputs(seed, anchors, classes):
    """Logits and offsets in f32: most classes unlikely, a few likely; boxes somewhat moved and stretched."""
    u = uniform(seed, anchors * (classes + 4))
    u2 = u * u
    logits = (u2 * u2 * 9.0 - 7.0)[: anchors * classes].reshape(anchors, classes)
    offsets = (u * 1.2 - 0.6)[anchors * classes :].reshape(anchors, 4)
    return logits.astype(np.float32), offsets.astype(np.float32)


def anchor_boxes(side, ratios):
    """Every level's anchors, y1 x1 y2 x2; the sides are multiples of the strides or one cell."""
    boxes = []
    for level in range(3, 8):
        cells = -(-side // 2**level)
        stride = side / cells
        shapes = [(2 ** (third / 3), ratio) for third in range(3) for ratio in ratios]
        for row in range(cells):
            for column in range(cells):
                y, x = stride / 2 + row * stride, stride / 2 + column * stride
                for scale, (wide, high) in shapes:
                    h, w = 4 * stride * scale * high / 2, 4 * stride * scale * wide / 2
                    boxes.append((y - h, x - w, y + h, x + w))
    return np.array(boxes).astype(np.float32)


ROUNDED = [(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)]
EXACT = [(1.0, 1.0), (2**0.5, 0.5**0.5), (0.5**0.5, 2**0.5)]


def effdet(classes, side, width, height, seed, soft=False):
    import torch
    from effdet.bench import _batch_detection, _post_process

    anchors = torch.from_numpy(anchor_boxes(side, ROUNDED))
    logits, offsets = (torch.from_numpy(x) for x in outputs(seed, len(anchors), classes))
    # As one level of one row, which is flattened at once.
    as_map = lambda x: x.reshape(1, 1, 1, -1).permute(0, 3, 1, 2)
    found = _post_process([as_map(logits)], [as_map(offsets)], 1, classes)
    scale = torch.tensor([1 / min(side / width, side / height)])
    size = torch.tensor([[width, height]], dtype=torch.float32)
    result = _batch_detection(1, found[0], found[1], anchors, found[2], found[3], scale, size, 100, soft)[0].numpy()
    result[:, 5] -= 1
    return result[result[:, 4] > 0]


def effdet_soft(*case):
    return effdet(*case, soft=True)


def zylo117(classes, side, width, height, seed):
    import torch
    from torchvision.ops.boxes import batched_nms
    from typing import Union

    names = dict(torch=torch, nn=torch.nn, np=np, batched_nms=batched_nms, Union=Union)
    for path, wanted in [
        ("utils/utils.py", ["postprocess", "invert_affine"]),
        ("efficientdet/utils.py", ["BBoxTransform", "ClipBoxes"]),
    ]:
        body = ast.parse(pathlib.Path(sys.argv[1], path).read_text()).body
        body = [node for node in body if getattr(node, "name", "") in wanted]
        exec(compile(ast.Module(body, []), path, "exec"), names)
    anchors = torch.from_numpy(anchor_boxes(side, ROUNDED))
    logits, offsets = (torch.from_numpy(x) for x in outputs(seed, len(anchors), classes))
    regress, clip = names["BBoxTransform"](), names["ClipBoxes"]()
    x = torch.zeros(1, 3, side, side)
    found = names["postprocess"](x, anchors[None], offsets[None], logits.sigmoid()[None], regress, clip, 0.05, 0.5)
    new = (side, int(side / width * height)) if width > height else (int(side / height * width), side)
    found = names["invert_affine"]([(*new, width, height, 0, 0)], found)[0]
    result = np.concatenate([found["rois"], found["scores"][:, None], found["class_ids"][:, None]], 1)
    return result[:100]


def official(classes, side, width, height, seed, hard=False, all_classes=False):
    """tf2/postprocess.py's postprocess_per_class, or postprocess_global, with max_nms_inputs 5000."""
    import tensorflow as tf

    anchors = anchor_boxes(side, EXACT)
    logits, offsets = outputs(seed, len(anchors), classes)
    _, top = tf.math.top_k(logits.reshape(-1), k=min(5000, logits.size))
    anchor, class_index = top.numpy() // classes, top.numpy() % classes
    y1, x1, y2, x2 = anchors[anchor].T
    ty, tx, th, tw = offsets[anchor].T
    h, w = y2 - y1, x2 - x1
    y, x = ty * h + (y1 + y2) / 2, tx * w + (x1 + x2) / 2
    h, w = np.exp(th) * h, np.exp(tw) * w
    boxes = np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], 1).astype(np.float32)
    scores = tf.math.sigmoid(tf.gather(logits.reshape(-1), top)).numpy()
    results = []
    for members in [scores > 0] if all_classes else [class_index == index for index in range(classes)]:
        kept, lowered, _ = tf.raw_ops.NonMaxSuppressionV5(
            boxes=boxes[members],
            scores=scores[members],
            max_output_size=100,
            iou_threshold=0.5,
            score_threshold=float("-inf") if hard else 0.001,
            soft_nms_sigma=0.0 if hard else 0.25,
        )
        kept = np.flatnonzero(members)[kept.numpy()]
        results.append(np.concatenate([boxes[kept][:, [1, 0, 3, 2]], lowered.numpy()[:, None], class_index[kept, None]], 1))
    result = np.concatenate(results)
    result = result[np.argsort(-result[:, 4], kind="stable")][:100]
    result[:, :4] *= np.float32(1) / min(np.float32(side) / np.float32(height), np.float32(side) / np.float32(width))
    return result


def official_hard(*case):
    return official(*case, hard=True)


def official_global(*case):
    return official(*case, all_classes=True)


if __name__ == "__main__":
    only_official = sys.argv[1] == "official"
    if only_official:
        import tensorflow

        print(f"# TensorFlow {tensorflow.__version__}, NumPy {np.__version__}")
    else:
        from effdet.version import __version__ as version
        import torch
        import torchvision

        versions = version, torch.__version__, torchvision.__version__
        print("# effdet {}, torch {}, torchvision {}".format(*versions))
    for code, *case in CASES:
        if code.startswith("official") == only_official:
            print("case", code, *case, sep="\t")
            result = globals()[code](*case)
            # Nobody says how the codes order equal scores. Take another seed.
            assert len(set(result[:, 4].astype(np.float32).tolist())) == len(result), (code, case)
            for x1, y1, x2, y2, score, class_index in result:
                print(*(f"{edge:.4f}" for edge in (x1, y1, x2, y2)), f"{score:.7f}", int(class_index), sep="\t")
