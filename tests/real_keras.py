"""Real Keras 3 on TensorFlow, on the processor, for the tests that compare with it; without it they are skipped.

`pip install "keras>=3.15" tensorflow-cpu`. GPUs are hidden from TensorFlow alone: the environment variable
CUDA_VISIBLE_DEVICES would hide them from CuPy, and so from every test of this process.
"""

import os

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

tf = pytest.importorskip("tensorflow")
tf.config.set_visible_devices([], "GPU")
keras = pytest.importorskip("keras")


def known(model):
    """The model with weights that depend on their shapes alone."""
    model.set_weights([_numbers(i, w.shape) for i, w in enumerate(model.get_weights())])
    return model


def _numbers(seed, shape):
    values = np.random.default_rng(seed).normal(size=shape) * 0.3
    return (np.abs(values) + 0.5 if len(shape) == 1 else values).astype("float32")
