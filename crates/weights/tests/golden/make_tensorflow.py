#!/usr/bin/env python3
"""Makes the small TensorFlow checkpoints in `tensorflow/`, which `tests/tensorflow.rs` reads.

    python crates/weights/tests/golden/make_tensorflow.py

tiny    every type that effigy reads and one it does not, in two shards
sliced  a variable that a partitioner divided
keras   what Keras saves: tensors named by objects

Made with TensorFlow 2.15.1. Needs: tensorflow.
"""

import os
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import numpy as np
import tensorflow as tf2

tf = tf2.compat.v1
HERE = Path(__file__).parent / "tensorflow"


def save(name, build, sharded=False):
    with tf.Graph().as_default():
        build()
        config = tf.ConfigProto(device_count={"CPU": 2})
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            saver = tf.train.Saver(sharded=sharded)
            saver.save(session, str(HERE / name), write_meta_graph=False, write_state=False)


def tiny():
    numbers = np.arange(6).reshape(2, 3) - 2.5
    for dtype in (tf.float32, tf.float64, tf.float16, tf.bfloat16):
        with tf.device("cpu:0"):
            tf.get_variable(f"net/{dtype.name}", initializer=tf.constant(numbers, dtype))
    with tf.device("cpu:1"):
        for dtype in (tf.int64, tf.int32, tf.int16, tf.int8, tf.uint8):
            tf.get_variable(f"net/{dtype.name}", initializer=tf.constant([7, 0, 100], dtype))
        tf.get_variable("net/bool", initializer=tf.constant([True, False]))
        tf.get_variable("net/nothing", initializer=tf.zeros([0, 4]))
        tf.get_variable("text", initializer=tf.constant(["a string"]))
        tf.get_variable("global_step", initializer=tf.constant(12345, tf.int64))


def sliced():
    halves = tf.fixed_size_partitioner(2)
    tf.get_variable("kernel", initializer=tf.zeros([4, 2]), partitioner=halves)


def main():
    HERE.mkdir(exist_ok=True)
    save("tiny", tiny, sharded=True)
    # As if it had been made elsewhere: TensorFlow writes absolute paths.
    (HERE / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/tiny"\n')
    save("sliced", sliced)
    model = tf2.keras.Sequential([tf2.keras.layers.Dense(1, input_shape=(2,))])
    tf2.train.Checkpoint(model=model).write(str(HERE / "keras"))


if __name__ == "__main__":
    main()
