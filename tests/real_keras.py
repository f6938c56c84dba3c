"""Real Keras 3 on TensorFlow, on the processor, for the tests that compare with it; without it they are skipped.

`pip install "keras>=3.15" tensorflow-cpu`. GPUs are hidden from TensorFlow alone: the environment variable
CUDA_VISIBLE_DEVICES would hide them from CuPy, and so from every test of this process.
"""

import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

tf = pytest.importorskip("tensorflow")
tf.config.set_visible_devices([], "GPU")
keras = pytest.importorskip("keras")
