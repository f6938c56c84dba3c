"""When ops use tiles: with arrays of bfloat16, at a lower precision of float32; and what happens to rare numbers."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from kernel_checks import aligned, normal

import minicnn as mc
from minicnn import backends
from minicnn.backends import memory
from minicnn.backends.numba.convolution import choice
from minicnn.backends.numba.tiles import serving
from minicnn.backends.numba.tiles.dense import pieces_on_tiles as dense_pieces
from minicnn.backends.numba.tiles.path import EMULATED, NONE, TILES, VECTORS, path
from minicnn.backends.reference import ops as reference
from minicnn.bfloat16 import BFLOAT16, bits, round_to_bfloat16, rounded, widen
from minicnn.geometry import make_window

fast = backends.get("numba").ops
WINDOW = make_window((8, 8), (3, 3), (1, 1), "same")
POOL = make_window((8, 8), (2, 2), (2, 2), "valid")
OVERLAPPING = make_window((8, 8), (3, 3), (2, 2), "valid")


@pytest.fixture(autouse=True)
def with_tiles(monkeypatch):
    """Ops believe that there are tiles: emulated ones, where there are none."""
    monkeypatch.setattr(serving, "path", lambda: TILES if path() == TILES else EMULATED)


@pytest.fixture
def precision():
    """`set_float32_precision`, put back at the end."""
    before = mc.get_float32_precision()
    yield mc.set_float32_precision
    mc.set_float32_precision(before)


def kept(values):
    """A copy as plans keep bfloat16."""
    array = memory.empty(values.shape, BFLOAT16)
    bits(array)[...] = round_to_bfloat16(values)
    return array


def exact(array):
    return (widen(array) if array.dtype == BFLOAT16 else array).astype(np.float64)


def error(found, expected):
    return np.abs(exact(found) - expected).max() / np.abs(expected).max()


# ------------------------------------------------------------------------------------------------------- choice


def test_without_tiles_nothing_is_chosen():
    assert choice.pieces_on_tiles(None, WINDOW, None, 32, 64) == 0
    assert dense_pieces(None, 128, 128, 128) == 0


@pytest.mark.parametrize(
    ("precision", "pool", "is_gradient", "pieces"),
    [
        ("bfloat16", None, False, 1),
        ("bfloat16", POOL, True, 1),
        ("bfloat16", OVERLAPPING, False, 1),
        ("bfloat16", OVERLAPPING, True, 0),  # several cells may have one winner
        ("medium", None, False, 1),
        ("high", POOL, False, 2),
        ("high", POOL, True, 0),  # a small image: live winners are few
        ("highest", None, False, 0),  # Winograd's
    ],
)
def test_choice_of_a_convolution(precision, pool, is_gradient, pieces):
    assert choice.pieces_on_tiles(precision, WINDOW, pool, 32, 64, is_gradient) == pieces


def test_choice_at_highest_precision():
    strided = make_window((28, 28), (3, 3), (2, 2), "same")
    assert choice.pieces_on_tiles("highest", strided, None, 32, 64) == 3
    assert choice.pieces_on_tiles("highest", strided, None, 32, 64, is_gradient=True) == 0
    assert choice.pieces_on_tiles("highest", strided, None, 3, 64) == 0
    assert dense_pieces("highest", 128, 1152, 128) == 0
    assert dense_pieces("high", 128, 1152, 128) == 2


def test_few_channels_are_left_to_float32():
    assert choice.pieces_on_tiles("high", WINDOW, None, 3, 64) == 0
    assert choice.pieces_on_tiles("bfloat16", WINDOW, None, 3, 64) == 1
    assert dense_pieces("medium", 128, 128, 10) == 0
    assert dense_pieces("bfloat16", 128, 128, 10) == 1


@pytest.mark.parametrize(
    ("sizes", "pool", "is_gradient", "gains"),
    [
        ((3, 2, 32, 64), None, False, True),
        ((3, 2, 32, 64), None, True, True),
        ((1, 1, 64, 64), None, False, True),
        ((3, 1, 32, 64), None, False, False),  # Winograd's
        ((3, 1, 32, 64), POOL, False, False),
        ((5, 1, 32, 64), POOL, False, False),
        ((7, 1, 32, 64), POOL, False, True),
        ((5, 1, 32, 64), POOL, True, True),
        ((5, 1, 16, 64), POOL, True, False),  # live winners are few
        ((5, 1, 3, 64), None, False, False),  # patches of few numbers
        ((5, 1, 32, 10), None, False, False),
    ],
)
def test_choice_by_vectors(sizes, pool, is_gradient, gains):
    size, strides, channels, filters = sizes
    window = make_window((8, 8) if pool else (28, 28), (size, size), (strides, strides), "same")
    arguments = window, pool, channels, filters, is_gradient
    assert choice.gains_by_vectors(*arguments) == gains
    behind_pooling = pool is not None and is_gradient  # sums over winners: of float32, which nothing has to convert
    assert choice.medium_gains_by_vectors(*arguments) == (gains and not behind_pooling)


def test_vectors_serve_medium_and_bfloat16_alone(monkeypatch, precision):
    monkeypatch.setattr(serving, "path", lambda: VECTORS)
    x, wide = normal(np.random.default_rng(0), 64, 128), np.ones((128, 64), np.float32)
    for chosen, expected in (("highest", None), ("high", None), ("medium", "medium")):
        precision(chosen)
        assert serving.precision_of(x, x) == expected
    assert serving.precision_of(kept(x)) == "bfloat16"
    takes, y = fast.dense.takes_bfloat16, kept(np.ones((64, 64), np.float32))
    assert takes(kept(x), wide, None, y)
    assert not takes(kept(x[:8]), wide, None, y[:8])
    assert not takes(kept(x), wide[:, :10], None, y[:, :10])


def test_ops_say_which_arrays_they_take(monkeypatch):
    x, kernel, y = (
        normal(np.random.default_rng(0), 2, 8, 8, 4),
        np.ones((3, 3, 4, 5), np.float32),
        kept(np.ones((2, 8, 8, 5))),
    )
    takes = fast.conv2d.takes_bfloat16
    assert takes(x, kernel, None, y, WINDOW)  # a model's first layer
    assert takes(kept(x), kernel, None, y, WINDOW)
    assert not takes(x, kernel, None, widen(y), WINDOW)
    assert not takes(kept(x), kernel, None, y, WINDOW, groups=2)
    takes = fast.conv2d_pool_backward.takes_bfloat16
    arguments = kept(x), kernel, None, kept(np.ones((2, 4, 4, 5))), kept(x), None, None, WINDOW
    assert takes(*arguments, POOL)
    assert not takes(*arguments, OVERLAPPING)
    assert not takes(*arguments[:4], x, *arguments[5:], POOL)
    monkeypatch.setattr(serving, "path", lambda: NONE)
    assert not takes(*arguments, POOL)


# ------------------------------------------------------------------------------------------------- what ops compute


@pytest.mark.parametrize("first", [True, False])
def test_convolution_of_bfloat16(rng, first):
    """A first layer gets float32 and nobody wants its dx; further ones get bfloat16."""
    x = normal(rng, 3, 8, 8, 20)
    x = x if first else kept(x)
    kernel, bias, y = normal(rng, 3, 3, 20, 33), normal(rng, 33), kept(np.zeros((3, 8, 8, 33)))
    fast.conv2d(x, kernel, bias, y, WINDOW, relu=True)
    operands, expected = (exact(kept(exact(x))), exact(rounded(kernel))), np.empty(y.shape)
    reference.conv2d(*operands, bias.astype(np.float64), expected, WINDOW, relu=True)
    assert error(y, expected) < 5e-3
    dy, dx = kept(normal(rng, *y.shape)), None if first else kept(np.zeros(x.shape))
    dkernel, dbias = np.empty_like(kernel), np.empty_like(bias)
    fast.conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, WINDOW, relu=True)
    wanted = [np.empty(x.shape), np.empty(kernel.shape), np.empty(33)]
    reference.conv2d_backward(*operands, exact(y), exact(dy), *wanted, WINDOW, relu=True)
    for found, right in zip((dx, dkernel, dbias), wanted, strict=True):
        assert found is None or error(found, right) < 5e-3


@pytest.mark.parametrize("last", [True, False])
def test_dense_of_bfloat16(rng, last):
    """A last layer writes float32, for the loss."""
    x, kernel, bias = kept(normal(rng, 5, 40)), normal(rng, 40, 10), normal(rng, 10)
    y = np.zeros((5, 10), np.float32)
    y, dy = (aligned(y), normal(rng, 5, 10)) if last else (kept(y), kept(normal(rng, 5, 10)))
    fast.dense(x, kernel, bias, y)
    assert error(y, exact(x) @ exact(rounded(kernel)) + bias) < (1e-5 if last else 5e-3)
    dx, dkernel, dbias = kept(np.zeros((5, 40))), np.empty_like(kernel), np.empty_like(bias)
    fast.dense_backward(x, kernel, None, dy, dx, dkernel, dbias)
    assert error(dx, exact(dy) @ exact(kernel).T) < 1e-2
    assert error(dkernel, exact(x).T @ exact(dy)) < 1e-2


def test_precision_of_float32(rng, precision):
    x, kernel = normal(rng, 32, 256), normal(rng, 256, 64)
    expected, y = exact(x) @ exact(kernel), np.empty((32, 64), np.float32)
    errors = {}
    for name in ("highest", "high", "medium"):
        precision(name)
        fast.dense(x, kernel, None, y)
        errors[name] = error(y, expected)
    assert errors["highest"] < 2e-6 < errors["high"] < 1e-5 < 1e-4 < errors["medium"] < 5e-3


def test_precision_does_not_concern_float64(rng, precision):
    precision("medium")
    x, kernel = normal(rng, 32, 64, dtype=np.float64), normal(rng, 64, 64, dtype=np.float64)
    y = np.empty((32, 64))
    fast.dense(x, kernel, None, y)
    assert error(y, x @ kernel) < 1e-12


def test_gradients_are_adjoint(rng, precision):
    """<y(x), dy> = <x, dx> = <kernel, dkernel>: no formula of ours is asked."""
    precision("high")
    window = make_window((17, 19), (3, 3), (1, 1), "same")
    x, kernel, dy = normal(rng, 2, 17, 19, 20), normal(rng, 3, 3, 20, 33), normal(rng, 2, 17, 19, 33)
    y, dx, dkernel = np.empty_like(dy), np.empty_like(x), np.empty_like(kernel)
    fast.conv2d(x, kernel, None, y, window)
    fast.conv2d_backward(x, kernel, y, dy, dx, dkernel, None, window)
    pairs = [(y, dy), (x, dx), (kernel, dkernel)]
    products = [float(np.vdot(exact(a), exact(b))) for a, b in pairs]
    size = max(np.linalg.norm(a) * np.linalg.norm(b) for a, b in pairs)
    assert np.ptp(products) < 1e-5 * size


# ----------------------------------------------------------------------------------------------------- rare numbers


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3.4e38])
def test_what_is_not_finite_is_as_in_float32(rng, precision, bad):
    """The same outputs are NaN, infinite and finite: tiles alone would spread them further."""
    x, kernel = normal(rng, 2, 8, 8, 33), 1e-3 * normal(rng, 3, 3, 33, 40)
    x[1, 4, 4, 32] = bad
    y, dy, dkernel = np.empty((2, 8, 8, 40), np.float32), normal(rng, 2, 8, 8, 40), np.empty_like(kernel)
    results = []
    for name in ("highest", "high", "medium"):
        precision(name)
        fast.conv2d(x, kernel, None, y, WINDOW)
        fast.conv2d_backward(x, kernel, None, dy, None, dkernel, None, WINDOW)
        results.append((y.copy(), dkernel.copy()))
    for others in results[1:]:
        for a, b in zip(results[0], others, strict=True):
            assert np.array_equal(np.isnan(a), np.isnan(b))
            assert np.array_equal(a[~np.isfinite(a)], b[~np.isfinite(a)], equal_nan=True)
            assert np.allclose(
                a[np.isfinite(a)], b[np.isfinite(a)], rtol=0.05, atol=0.05 * abs(bad if abs(bad) < 1e39 else 1)
            )


def test_relu_hides_no_sum_that_only_rounded_factors_make_infinite(precision):
    """-3.4e38 is -infinity as bfloat16, and zero behind ReLU; in float32, with what is added, the sum is positive."""
    precision("medium")
    x, weights = np.zeros((32, 64), np.float32), np.zeros((64, 40), np.float32)
    x[3, :3], weights[:3] = (-3.4e38, 2e38, 2e38), 1
    y = np.empty((32, 40), np.float32)
    fast.dense(x, weights, None, y, relu=True)
    assert np.allclose(y[3], 0.6e38, rtol=1e-5)
    images, kernel = np.zeros((2, 8, 8, 64), np.float32), np.zeros((3, 3, 64, 40), np.float32)
    images[1, 4, 5], kernel[:] = x[3], weights
    y = np.empty((2, 8, 8, 40), np.float32)
    fast.conv2d(images, kernel, None, y, WINDOW, relu=True)
    assert np.allclose(y[1, 3:6, 4:7], 0.6e38, rtol=1e-5)


def test_bfloat16_that_is_not_finite(rng):
    x, kernel, y = normal(rng, 2, 8, 8, 33), normal(rng, 3, 3, 33, 5), kept(np.zeros((2, 8, 8, 5)))
    x[0, 0, 0, 32] = np.inf
    x = kept(x)
    before = bits(x).copy()
    fast.conv2d(x, kernel, None, y, WINDOW)
    expected = np.empty(y.shape)
    with np.errstate(invalid="ignore"):
        reference.conv2d(exact(x), exact(rounded(kernel)), None, expected, WINDOW)
    assert np.array_equal(np.isfinite(widen(y)), np.isfinite(expected))
    assert np.array_equal(bits(x), before)


# ------------------------------------------------------------------------------------------------------ whole models

TRAIN = """
import numpy as np, minicnn as mc
mc.utils.set_random_seed(3)
mc.keras.mixed_precision.set_global_policy("mixed_bfloat16")
layers = mc.layers
model = mc.Sequential([
    layers.Input((12, 12, 1)), layers.Conv2D(16, 3, activation="relu"), layers.Conv2D(20, 3, activation="relu"),
    layers.Conv2D(32, 3, 2, activation="relu"), layers.Flatten(), layers.Dense(40, activation="relu"),
    layers.Dense(4, activation="softmax", dtype="float32"),
])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
rng = np.random.default_rng(1)
labels = rng.integers(0, 4, 120)
images = (rng.standard_normal((120, 12, 12, 1)) + labels[:, None, None, None]).astype(np.float32)
history = model.fit(images, labels, epochs=6, batch_size=32, verbose=0)
print(*history.history["loss"])
print(np.round(model.predict(images[:5], verbose=0), 2).tolist())
"""


def trained(tiles, threads):
    """What a fresh process prints."""
    environment = os.environ | {"MINICNN_TILES": tiles, "NUMBA_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", TRAIN]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[1])
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("way", [EMULATED, *({path()} & {TILES, VECTORS})])
def test_a_model_learns_alike_with_and_without_tiles(way):
    """And the same, to the last digit, on one and on two threads."""
    way = "1" if way == TILES else way
    on_tiles = trained(way, 1)
    assert on_tiles == trained(way, 2)
    losses, others = (np.array(text.splitlines()[0].split(), float) for text in (on_tiles, trained("0", 1)))
    assert losses[-1] < 0.7 * losses[0]
    assert np.allclose(losses, others, rtol=0.03)
    assert way == VECTORS or not np.array_equal(
        losses, others
    )  # or tiles were not used; vectors add up as float32 does
