"""benchmarks/roofline.py: what its bounds are made of, counted by hand."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

import minicnn as mc

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COUNT = 3  # images

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="not a checkout")


@pytest.fixture
def roofline(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import roofline

    return roofline


@pytest.fixture
def bound(roofline):
    """The plan of a convolution, a strided one, pooling, normalization and a dense layer."""
    inner = [mc.layers.Conv2D(5, 3, padding="same"), mc.layers.Conv2D(6, 2, strides=2), mc.layers.BatchNormalization()]
    inner += [mc.layers.GlobalAveragePooling2D(), mc.layers.Dense(10, activation="softmax")]
    model = mc.Sequential([mc.Input((8, 8, 2)), *inner])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.ones((COUNT, 8, 8, 2), np.float32)
    return roofline.bound_plan(model, x, np.random.default_rng(0))


def test_products_are_counted_as_in_the_textbook(roofline, bound):
    first, second, dense = 64 * 9 * 2 * 5, 16 * 4 * 5 * 6, 6 * 10  # multiplications of an image
    forward = [roofline.products(step, False) for step in bound.forward_steps]
    assert [n for n in forward if n] == [2 * COUNT * n for n in (first, second, dense)]
    backward = [roofline.products(step, True) for step in bound.backward_steps]
    assert [n for n in backward if n] == [2 * COUNT * n for n in (2 * dense, 2 * second, first)]  # no dx of the images


def test_arrays_are_counted_once(roofline, bound):
    images, maps, strided = (4 * COUNT * n for n in (64 * 2, 64 * 5, 16 * 6))  # bytes
    assert roofline.forward_traffic(bound.forward_steps[0]) == images + maps
    step = bound.backward_steps[-2]
    assert roofline.backward_traffic(step) == strided + maps + maps  # dy, dx, x


def test_kinds_of_kernels(roofline, bound):
    expected = ["3×3 convolution", "other convolution", "normalization", "pooling", "dense", "others"]
    assert [roofline.kind_of(step) for step in bound.forward_steps] == expected
    assert [roofline.saved(step) for step in bound.forward_steps] == [1 / 4, 1, 1, 1, 1, 1]


def test_the_tables_say_what_was_measured(roofline):
    parts = [
        {"kind": "3×3 convolution", "seconds": 3e-3, "bounds": [3.9e-3, 1e-3]},
        {"kind": "pooling", "seconds": 1e-3, "bounds": [5e-4, 5e-4]},
    ]
    assert roofline.of_bounds(parts) == ["4.00", "4.40", "110 %", "1.50", "38 %"]
    assert roofline.shares(parts) == ["75 % (33 %)", "–", "–", "–", "25 % (50 %)", "–"]
