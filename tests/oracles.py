"""Naive loops in float64, written from the formulas alone, and what tests of layers share. No tests here."""

from importlib import import_module

import numpy as np
import pytest

from minicnn.backends.base import kernels_of
from minicnn.testing.running import graph_of, run, tie_free

__all__ = ["BACKENDS", "graph_of", "run", "tie_free"]  # and all below

BACKENDS = ["numpy", "numba"]  # of the processor

every_backend = pytest.mark.parametrize("backend", [*BACKENDS, pytest.param("cupy", marks=pytest.mark.gpu)])


def ran_where_it_should(kernel, backend) -> bool:
    """Whether a kernel that `gradcheck` lists is the backend's own, if it has one, else the reference's."""
    module, name = kernel.rsplit(".", 1)
    own = () if backend == "numpy" else kernels_of(import_module(f"minicnn.backends.{backend}"))
    return module.split(".")[0] == (backend if name in own else "reference")


# ---------------------------------------------------------------------------------------------------------- geometry


def positions(size, kernel, stride, dilation, padding):
    """For every position of a window on one axis: the pixels that its taps meet, None for padding."""
    span = (kernel - 1) * dilation + 1
    if padding == "valid":
        count, before = 0, 0
        while count * stride + span <= size:
            count += 1
    else:
        count = -(-size // stride)
        before = max((count - 1) * stride + span - size, 0) // 2
    taps = [[p * stride + t * dilation - before for t in range(kernel)] for p in range(count)]
    return [[i if 0 <= i < size else None for i in row] for row in taps]


def pair(value):
    return (value, value) if isinstance(value, int) else value


def windows(shape, kernel, strides=1, padding="valid", dilation=1):
    """(rows, columns): `positions` of both axes of an image (N, H, W, C)."""
    arguments = zip(shape[1:3], pair(kernel), pair(strides), pair(dilation), strict=True)
    return [positions(size, k, s, d, padding) for size, k, s, d in arguments]


# ------------------------------------------------------------------------------------------------------------ layers


def conv2d(x, kernel, bias=None, strides=1, padding="valid", dilation=1, groups=1):
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    rows, columns = windows(x.shape, kernel.shape[:2], strides, padding, dilation)
    channels, filters = x.shape[3] // groups, kernel.shape[3] // groups
    y = np.zeros((len(x), len(rows), len(columns), kernel.shape[3]))
    for (n, i, j, f), _ in np.ndenumerate(y):
        group = f // filters
        pixels = slice(group * channels, (group + 1) * channels)
        y[n, i, j, f] = 0 if bias is None else bias[f]
        for p, r in enumerate(rows[i]):
            for q, c in enumerate(columns[j]):
                if r is not None and c is not None:
                    y[n, i, j, f] += x[n, r, c, pixels] @ kernel[p, q, :, f]
    return y


def conv2d_gradients(x, kernel, dy, strides=1, padding="valid", dilation=1, groups=1):
    """(dx, dkernel, dbias)"""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    rows, columns = windows(x.shape, kernel.shape[:2], strides, padding, dilation)
    channels, filters = x.shape[3] // groups, kernel.shape[3] // groups
    dx, dkernel, dbias = np.zeros(x.shape), np.zeros(kernel.shape), np.zeros(kernel.shape[3])
    for (n, i, j, f), d in np.ndenumerate(dy):
        group = f // filters
        pixels = slice(group * channels, (group + 1) * channels)
        dbias[f] += d
        for p, r in enumerate(rows[i]):
            for q, c in enumerate(columns[j]):
                if r is not None and c is not None:
                    dkernel[p, q, :, f] += d * x[n, r, c, pixels]
                    dx[n, r, c, pixels] += d * kernel[p, q, :, f]
    return dx, dkernel, dbias


def pool2d(x, dy, kind, size=2, strides=None, padding="valid"):
    """(y, dx) of max (first maximum wins) or average (padding does not count) pooling."""
    x = np.asarray(x, np.float64)
    rows, columns = windows(x.shape, size, size if strides is None else strides, padding)
    y, dx = np.zeros((len(x), len(rows), len(columns), x.shape[3])), np.zeros(x.shape)
    for (n, i, j, c), _ in np.ndenumerate(y):
        pixels = [(r, s) for r in rows[i] if r is not None for s in columns[j] if s is not None]
        values = [x[n, r, s, c] for r, s in pixels]
        if kind == "max":
            best = values.index(max(values))
            y[n, i, j, c] = values[best]
            dx[n, *pixels[best], c] += dy[n, i, j, c]
        else:
            y[n, i, j, c] = sum(values) / len(values)
            for r, s in pixels:
                dx[n, r, s, c] += dy[n, i, j, c] / len(values)
    return y, dx


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ------------------------------------------------------------------------------------------- running and comparing


def randomize(layers, rng):
    """Give every weight a random value: also those that start as zeros or ones hide mistakes.

    Half of the factors of normalizations are negative, which turn what is largest into what is smallest.
    """
    for layer in layers:
        for w in layer.weights:
            value = rng.uniform(0.5, 1.5, w.shape) if "variance" in w.name else rng.normal(0, 0.5, w.shape)
            w.assign((value + 1) * rng.choice([-1, 1], w.shape) if w.name == "gamma" else value)


def assert_close(actual, expected, tolerance, what=""):
    """max|a − b| ≤ tolerance · max|b|."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: {actual.shape} is not {expected.shape}"
    scale = max(np.abs(expected).max(initial=0), 1e-30)
    error = np.abs(actual - expected).max(initial=0)
    assert error <= tolerance * scale, f"{what}: {error / scale:.2e} is above {tolerance:.0e}"
