"""Activation functions on arrays: Keras 3.15.1's numbers."""

import math

import numpy as np
import pytest

from minicnn import activations

X = np.array([-3.0, -0.5, 0.0, 0.25, 2.0])
# Function, what it is of one number.
FORMULAS = {
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)),
    "celu": lambda x: x if x > 0 else math.exp(x) - 1,
    "gelu": lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2)),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "swish": lambda x: x / (1 + math.exp(-x)),
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "mish": lambda x: x * math.tanh(math.log(1 + math.exp(x))),
    "exponential": math.exp,
    "relu6": lambda x: min(max(x, 0), 6),
    "hard_sigmoid": lambda x: min(max(x / 6 + 0.5, 0), 1),
    "hard_silu": lambda x: x * min(max(x / 6 + 0.5, 0), 1),
    "hard_swish": lambda x: x * min(max(x / 6 + 0.5, 0), 1),
    "hard_tanh": lambda x: min(max(x, -1), 1),
    "tanh_shrink": lambda x: x - math.tanh(x),
    "hard_shrink": lambda x: x if abs(x) > 0.5 else 0,
    "soft_shrink": lambda x: math.copysign(max(abs(x) - 0.5, 0), x),
    "squareplus": lambda x: (x + math.sqrt(x * x + 4)) / 2,
    "sparse_plus": lambda x: 0 if x <= -1 else (x + 1) ** 2 / 4 if x < 1 else x,
    "sparse_sigmoid": lambda x: min(max((x + 1) / 2, 0), 1),
    "log_sigmoid": lambda x: -math.log(1 + math.exp(-x)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_one_number_at_a_time(name):
    function, expected = getattr(activations, name), [FORMULAS[name](x) for x in X.tolist()]
    np.testing.assert_allclose(function(X), expected, rtol=1e-12, atol=1e-14)
    for layout in (X[::-1].copy()[::-1], X.astype(">f8"), X[:, None, None]):
        np.testing.assert_allclose(np.ravel(function(layout)), expected, rtol=1e-6, atol=1e-7)
    assert function(X.astype("float32")).dtype == np.float32
    assert function([1, 2]).dtype == np.float32


@pytest.mark.parametrize(
    ("options", "expected"),
    [  # Keras's own tests of relu
        ({"threshold": 5.0}, [0, 0, 0, 0, 10]),
        ({"threshold": 5.0, "max_value": 5.0}, [0, 0, 0, 0, 5]),
        ({"negative_slope": 0.5, "max_value": 5.0, "threshold": 5.0}, [-7.5, -5, -2.5, 0, 5]),
        ({"negative_slope": 0.1}, [-1, -0.5, 0, 5, 10]),
        ({"max_value": 6}, [0, 0, 0, 5, 6]),
    ],
)
def test_relu_with_options(options, expected):
    np.testing.assert_allclose(activations.relu([-10, -5, 0, 5, 10], **options), expected, rtol=1e-6)


def test_softmax_over_other_axes():
    x = np.random.default_rng(1).normal(size=(3, 4, 2))
    e = np.exp(x)
    for axis in (0, 1, 2, -1, -2, (1, 2)):
        np.testing.assert_allclose(activations.softmax(x, axis=axis), e / e.sum(axis, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(activations.log_softmax(x, 1), np.log(e / e.sum(1, keepdims=True)), rtol=1e-10)


def test_others():
    x = np.array([[0.5, -1.0, 0.75, 2.0]])
    np.testing.assert_allclose(activations.glu(x), [[0.5 / (1 + math.exp(-0.75)), -1 / (1 + math.exp(-2.0))]])
    np.testing.assert_allclose(activations.threshold(x, 0.6, -9), [[-9, -9, 0.75, 2]])
    np.testing.assert_allclose(
        activations.sparsemax([[0.1, 0.2, 3.0], [0.2, 0.4, 0.3]]), [[0, 0, 1], [7 / 30, 13 / 30, 1 / 3]], atol=1e-6
    )
    np.testing.assert_allclose(
        activations.sparsemax(np.float32([[1e8, 0, 0], [3e7, 3e7, -1]])), [[1, 0, 0], [0.5, 0.5, 0]]
    )
    np.testing.assert_allclose(activations.leaky_relu([-1.0, 1.0], negative_slope=0.5), [-0.5, 1])
    np.testing.assert_allclose(activations.gelu([1.0], approximate=True), [0.841192], rtol=1e-5)
    with pytest.raises(ValueError, match=r"halves an axis of even length"):
        activations.glu([1.0, 2.0, 3.0])
