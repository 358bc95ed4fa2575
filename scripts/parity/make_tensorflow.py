#!/usr/bin/env python3
"""Writes checkpoints and outputs of TensorFlow's own EfficientNet and EfficientDet code.

    python scripts/parity/make_tensorflow.py OUT --automl CHECKOUT --tpu CHECKOUT [--network NAME ...]

For every network OUT/NAME gets `model.ckpt.*` as its training code saves them (random trained weights,
other random moving averages, optimiser slots, a global step) and `expected.safetensors`: `input`, then
`averaged.K` and `raw.K`, the K-th output from either kind of weights: logits, or the class and the box map
of level 3, of level 4, and so on. Maps are NHWC. `crates/effigy/tests/parity_tensorflow.rs` compares
effigy with them. OUT/tensorflow.tsv has one line a network: its name, how many tensors the network has,
and 64-bit FNV-1a over the sorted lines `name AxBxC`; crates/weights/tests/golden/tensorflow
keeps a copy.

The checkouts are google/automl and tensorflow/tpu. Needs: tensorflow 2.15 (Keras 2), safetensors, pyyaml.
"""

import argparse
import os
import subprocess
import sys
import types
import zlib
from pathlib import Path

# Network: where its code is, and the side of a small input.
NETWORKS = {
    "efficientnet-b0": ("tpu", 64),
    "efficientnet-lite0": ("tpu", 64),
    "efficientnet-edgetpu-S": ("tpu", 64),
    "efficientnetv2-s": ("automl", 64),
    "efficientnetv2-b0": ("automl", 64),
    "efficientdet-d0": ("automl", 128),
    "efficientdet-d6": ("automl", 128),
    "efficientdet-d7x": ("automl", 256),
    "efficientdet-lite0": ("automl", 128),
}
FOLDERS = {
    "efficientdet": "efficientdet",
    "efficientnetv2": "efficientnetv2",
    "efficientnet": "models/official/efficientnet",
}


def forward(name, images, tf):
    """The network's outputs, by the authors' code."""
    if name.startswith("efficientdet"):
        import efficientdet_arch
        import hparams_config

        config = hparams_config.get_efficientdet_config(name)
        config.image_size = int(images.shape[1])
        config.is_training_bn = False
        classes, boxes = efficientdet_arch.efficientdet(images, config=config)
        return [maps[level] for level in sorted(classes) for maps in (classes, boxes)]
    if name.startswith("efficientnetv2"):
        # Only its group normalisation is used, and that by no published network.
        addons = types.ModuleType("tensorflow_addons")
        addons.layers = types.ModuleType("tensorflow_addons.layers")
        addons.layers.GroupNormalization = object
        sys.modules.update({"tensorflow_addons": addons, "tensorflow_addons.layers": addons.layers})
        import effnetv2_model

        return [effnetv2_model.EffNetV2Model(name)(images, training=False)]
    import model_builder_factory

    builder = model_builder_factory.get_model_builder(name)
    return [builder.build_model(images, name, training=False)[0]]


def values(kind, variable, numpy):
    """Random values that keep activations within reach of f32, the same in every run."""
    name, shape = variable.op.name, variable.shape.as_list()
    random = numpy.random.default_rng(zlib.crc32(f"{kind} {name}".encode()))
    last = name.rsplit("/", 1)[-1]
    if last in ("gamma", "moving_variance") or last.startswith("WSM"):
        return random.uniform(0.5, 1.5, shape).astype("f4")
    fan = 1 if len(shape) < 2 else numpy.prod(shape[:-2] if last == "depthwise_kernel" else shape[:-1])
    # Activations of V2's unbranched blocks would saturate every gate, and rounding then decides.
    gain = 0.5 if last == "depthwise_kernel" or name.startswith("efficientnetv2") else 2.0
    deviation = (gain / fan) ** 0.5 if len(shape) > 1 else 0.2
    return (random.standard_normal(shape) * deviation).astype("f4")


def load(session, drawn):
    """Sets all variables in one run; a run each takes a minute."""
    given = {variable.initializer.inputs[1]: value for variable, value in drawn.items()}
    session.run([variable.initializer for variable in drawn], given)


def fnv1a(text):
    digest = 0xCBF29CE484222325
    for byte in text.encode():
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    return f"{digest:016x}"


def make(name, out):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import numpy
    import tensorflow.compat.v1 as tf
    from safetensors.numpy import save_file

    tf.disable_v2_behavior()
    side = NETWORKS[name][1]
    picture = numpy.random.default_rng(1).standard_normal((1, side, side, 3)).astype("f4")
    images = tf.placeholder(tf.float32, picture.shape)
    outputs = forward(name, images, tf)
    network = tf.global_variables()
    step = tf.train.get_or_create_global_step()
    averages = tf.train.ExponentialMovingAverage(0.9998, num_updates=step)
    averages.apply(network)
    loss = tf.add_n([tf.reduce_mean(tf.square(x)) for x in outputs])
    slots = tf.train.RMSPropOptimizer(0.1, momentum=0.9)
    slots.minimize(loss, global_step=step)

    tensors = {"input": picture}
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(step.assign(12345))
        for kind in ("averaged", "raw"):
            drawn = {v: values(kind, v, numpy) for v in network}
            kept = {averages.average(v): value for v, value in drawn.items()} if kind == "averaged" else {}
            load(session, drawn | kept)
            for k, x in enumerate(session.run(outputs, {images: picture})):
                tensors[f"{kind}.{k}"] = numpy.ascontiguousarray(x)
        tf.train.Saver(tf.global_variables()).save(session, str(out / "model.ckpt"), write_meta_graph=False)
    save_file(tensors, str(out / "expected.safetensors"))
    for key, value in tensors.items():
        print(f"{name} {key} {value.shape} deviation {value.std():.3g}")
    lines = sorted(f"{v.op.name} {'x'.join(map(str, v.shape.as_list()))}\n" for v in network)
    (out / "names.txt").write_text("".join(lines))
    (out / "names.tsv").write_text(f"{name}\t{len(lines)}\t{fnv1a(''.join(lines))}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", choices=NETWORKS, action="append", help="only this one")
    parser.add_argument("--automl", type=Path, required=True)
    parser.add_argument("--tpu", type=Path, required=True)
    parser.add_argument("--here", action="store_true", help="in this process, with sys.path as it is")
    args = parser.parse_args()
    if args.here:
        (name,) = args.network
        return make(name, args.out / name)
    for name in args.network or NETWORKS:
        (args.out / name).mkdir(parents=True, exist_ok=True)
        # The projects call different modules by the same names, so every network gets its own process.
        folder = vars(args)[NETWORKS[name][0]] / FOLDERS[name.split("-")[0]]
        command = [sys.executable, __file__, args.out, "--automl", args.automl, "--tpu", args.tpu]
        command += ["--network", name, "--here"]
        subprocess.run(command, env=os.environ | {"PYTHONPATH": str(folder.resolve())}, check=True)
    rows = [path.read_text() for path in sorted(args.out.glob("*/names.tsv"))]
    (args.out / "tensorflow.tsv").write_text("".join(rows))


if __name__ == "__main__":
    main()
