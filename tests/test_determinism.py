"""The same seed gives bit-identical weights, whatever the number of threads, run after run."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from oracles import BACKENDS, every_backend
from writable import copied

import minicnn as mc
from minicnn.backends.numba.machine.disk_cache import kernel_folder
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
    RandomRotation,
    ReLU,
)


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


def in_a_process(call, **environment):
    """What a call of a function of this file (`t`) prints, in a process of its own."""
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_determinism as t; print({call})"
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, env=os.environ | environment, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()[-1]


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
    names = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    call = f"t.train({backend!r})"
    assert {in_a_process(call, **dict.fromkeys(names, count)) for count in "12"} == {str(train(backend))}


def train_augmented():
    """SHA-256 of the weights of a small network that rotates its images."""
    rng = np.random.default_rng(5)
    x, y = rng.random((24, 9, 9, 3), np.float32), rng.integers(0, 4, 24)
    mc.utils.set_random_seed(1)
    model = mc.Sequential(
        [Input((9, 9, 3)), RandomRotation(0.2), Conv2D(4, 3), Flatten(), Dropout(0.3), Dense(4, activation="softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", backend="numba")
    model.fit(x, y, batch_size=8, verbose=0)
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()


def test_the_process_that_compiles_and_those_that_read_its_machine_code(tmp_path):
    """Of the warp alone: to compile the other kernels here would take a minute, if they are on disk already."""
    folder = kernel_folder()
    if folder is not None:
        copied(folder, tmp_path / folder.name, "warp.*")
    assert not list(tmp_path.rglob("*warp*.nbc"))
    first, second = (in_a_process("t.train_augmented()", MINICNN_CACHE=str(tmp_path)) for _ in range(2))
    assert list(tmp_path.rglob("*warp*.nbc"))
    assert first == second


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
