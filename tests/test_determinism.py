"""The same seed gives bit-identical weights, whatever the number of threads, run after run."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from oracles import BACKENDS, every_backend

import minicnn as mc
from minicnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D, ReLU


def train(backend, seed=1, epochs=2, threads=None, optimizer="adam"):
    """The weights' bytes and the losses of a small LeNet with dropout and batch normalization."""
    if threads is not None:
        mc.set_num_threads(threads)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(203, 14, 14, 1)).astype(np.float32)
    y = rng.integers(0, 4, 203)
    mc.utils.set_random_seed(seed)
    model = mc.Sequential(
        [
            Input((14, 14, 1)),
            Conv2D(6, 5, padding="same", activation="relu"),
            MaxPooling2D(),
            Conv2D(16, 3, use_bias=False),
            BatchNormalization(),
            ReLU(),
            MaxPooling2D(3, 2, "same"),
            Dropout(0.3),
            Flatten(),
            Dense(40, activation="tanh", kernel_regularizer="l2"),
            Dropout(0.3),
            Dense(4, activation="softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], backend=backend)
    history = model.fit(x, y, batch_size=32, epochs=epochs, validation_split=0.1, verbose=0).history
    weights = b"".join(w.tobytes() for w in model.get_weights())
    return hashlib.sha256(weights + model.predict(x).tobytes()).hexdigest(), history


@every_backend
def test_twice_the_same(backend):
    assert train(backend) == train(backend)


@every_backend
def test_any_number_of_threads(backend):
    assert train(backend, threads=1) == train(backend, threads=2)


@every_backend
def test_seeds_matter(backend):
    digests = {train(backend, seed, epochs=1)[0] for seed in range(3)}
    assert len(digests) == 3


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adagrad", "adadelta", "adamw"])
def test_every_optimizer_on_any_number_of_threads(optimizer):
    assert train("numba", epochs=1, threads=1, optimizer=optimizer) == train(
        "numba", epochs=1, threads=2, optimizer=optimizer
    )


def test_backends_agree_on_the_losses():
    """Same masks, same order, same start: the first epochs' losses agree; later, near-ties may diverge."""
    _, a = train("numpy", epochs=1)
    _, b = train("numba", epochs=1)
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
    assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_processes_with_other_thread_settings(backend):
    """In processes of their own, with 1 and 2 threads set through the environment before anything is loaded."""
    results = set()
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
    code += f"import test_determinism as t; print(t.train({backend!r}))"
    for count in "12":
        names = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, count)
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        results.add(run.stdout.splitlines()[-1])
    assert len(results) == 1
    assert results == {str(train(backend))}


@every_backend
def test_prediction_between_batches_changes_nothing(backend):
    """Neither predictions nor gradients nor other models draw from the random numbers of a training."""

    def run(disturb):
        mc.utils.set_random_seed(2)
        model = mc.Sequential([Input((6,)), Dense(8, activation="relu"), Dropout(0.5), Dense(2)])
        model.compile("sgd", "mse", backend=backend)
        x = np.linspace(-1, 1, 60).reshape(10, 6)
        for _ in range(3):
            model.fit(x, x[:, :2], batch_size=4, verbose=0)
            if disturb:
                model.predict(x)
                model.gradients(x, x[:, :2])
                model(x, training=True)
                mc.Sequential([Input((3,)), Dropout(0.5), Dense(3)])(np.ones((2, 3)), training=True)
        return model.get_weights()

    for a, b in zip(run(False), run(True), strict=True):
        np.testing.assert_array_equal(a, b)
