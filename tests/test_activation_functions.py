"""Activation functions on arrays: Keras 3.15.1's numbers."""

import math

import numpy as np
import pytest

import minicnn as mc
from minicnn import activations, keras, layers
from minicnn.step import Changes

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


FORMULAS_BY_GIVEN = [
    ("relu", lambda x: np.maximum(x, 0)),
    (activations.tanh, np.tanh),
    (layers.LeakyReLU(0.5), lambda x: np.where(x > 0, x, x / 2)),
    (layers.ReLU, lambda x: np.maximum(x, 0)),
    ({"class_name": "Sigmoid", "config": {}}, lambda x: 1 / (1 + np.exp(-x))),
    ("linear", lambda x: x),
    (None, lambda x: x),
]


@pytest.mark.parametrize(("given", "formula"), FORMULAS_BY_GIVEN)
@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
def test_an_activation_assigned_to_a_layer_that_was_compiled_counts(given, formula, suffix, tmp_path):
    """In predict, in evaluate, in a clone and in a file."""
    pytest.importorskip("h5py")
    model = mc.Sequential([mc.Input((3,)), layers.Dense(4), layers.Dense(2, activation="softmax")])
    model.compile("sgd", "mse")
    x = np.float32([[1, -2, 3], [0.5, 2, -1]])
    model.predict(x)
    model.layers[-1].activation = given
    hidden = x @ model.layers[0].kernel.numpy()
    expected = formula(hidden @ model.layers[1].kernel.numpy())
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.evaluate(x, np.zeros((2, 2)), verbose=0), (expected**2).mean(), rtol=1e-4)
    clone = mc.models.clone_model(model)
    clone.set_weights(model.get_weights())
    model.save(tmp_path / f"m{suffix}")
    for other in (clone, mc.load_model(tmp_path / f"m{suffix}")):
        np.testing.assert_allclose(other.predict(x), expected, rtol=1e-4, atol=1e-6)


class OwnDense(layers.Dense):
    """A user's class, whose formulas are the library's."""


def test_an_activation_assigned_to_a_users_subclass_counts_once_plans_exist():
    model = mc.Sequential([mc.Input((3,)), OwnDense(4)])
    x = np.float32([[1, -2, 3], [0.5, 2, -1]])
    before = model.predict(x)
    model.layers[0].activation = "relu"
    np.testing.assert_allclose(model.predict(x), np.maximum(before, 0), rtol=1e-6)


def test_plans_outlast_a_users_layer_that_is_made():
    class Own(layers.Dense):
        def __init__(self):
            super().__init__(4)
            self.activation = "relu"

    before = Changes.replaced
    Own()
    assert Changes.replaced == before


class OwnNetwork(mc.Model):
    """A model that keeps what it was told."""

    def __init__(self, activation):
        self.activation = activation
        x = mc.Input((3,))
        super().__init__(x, layers.Dense(2, activation["first"])(x))
        self.activation = activation


class OwnStack(mc.Sequential):
    """The same, layer by layer."""

    def __init__(self, activation):
        super().__init__()
        self.activation = activation
        self.add(layers.Dense(2, activation=activation["first"]))


@pytest.mark.parametrize("kind", [OwnNetwork, OwnStack])
def test_what_a_users_model_has_under_the_name_of_activation_is_its_own(kind):
    given = {"first": "relu"}
    part = kind(given)
    assert part.activation is given
    assert (np.asarray(part(np.float32([[1, -2, 3], [-1, 2, -3]]))) >= 0).all()
    part.activation = "anything"
    assert part.activation == "anything"


class Half(layers.Layer):
    """The first half of the features: no activation of another layer."""

    def build(self, input_shapes):
        return (input_shapes[0][0] // 2,)

    def forward(self, xs, ws):
        ws.y[...] = xs[0][:, : ws.y.shape[1]]

    def backward(self, dy, ws):
        ws.dxs[0][...] = np.pad(dy, ((0, 0), (0, dy.shape[1])))


class Scaled(layers.Layer):
    """Keeps the shape, and has a weight: a layer of its own."""

    def build(self, input_shapes):
        self.add_weight("kernel", input_shapes[0], "ones")
        return input_shapes[0]

    def forward(self, xs, ws):
        ws.y[...] = xs[0] * ws.params["kernel"]

    def backward(self, dy, ws):
        ws.dxs[0][...] = dy * ws.params["kernel"]


def test_what_is_no_activation_is_refused_when_it_is_assigned():
    model = mc.Sequential([mc.Input((3,)), layers.Dense(4), layers.BatchNormalization(), layers.Activation("relu")])
    dense, normalization, relu = model.layers
    for given, error, message in (
        ("rleu", ValueError, "Did you mean 'ReLU'"),
        (np.tanh, TypeError, "a function is not enough"),
        (3, TypeError, "an activation is given as a name"),
        (layers.Dense(4), TypeError, "an activation is one of"),
        (Half(), mc.errors.ShapeError, "must keep the shape"),
        (Scaled(), mc.errors.ContractError, "has weights, which belong to no layer"),
    ):
        with pytest.raises(error, match=message):
            dense.activation = given
    for given in ("relu", layers.ReLU()):
        with pytest.raises(AttributeError, match=r"BatchNormalization has no activation: put layers.Activation\(…\)"):
            normalization.activation = given
    assert dense.activation is None
    relu.activation = "tanh"
    dense.set_weights([np.ones((3, 4)), np.zeros(4)])
    np.testing.assert_allclose(model.predict(np.ones((1, 3))), np.tanh(3 / np.sqrt(1.001)) * np.ones((1, 4)), rtol=1e-5)


def sparsemax_of_one(z):
    """Algorithm 1 of Martins and Astudillo, "From softmax to sparsemax" (2016)."""
    largest = np.sort(z)[::-1]
    k = np.arange(1, len(z) + 1)
    count = k[1 + k * largest > np.cumsum(largest)].max()
    return np.maximum(z - (largest[:count].sum() - 1) / count, 0)


@pytest.mark.parametrize("axis", [-3, -2, -1, 0, 1, 2])
def test_sparsemax_along_every_axis(axis, rng):
    x = rng.normal(size=(3, 4, 6)) * 2
    expected = np.apply_along_axis(sparsemax_of_one, axis, x)
    np.testing.assert_allclose(activations.sparsemax(x, axis=axis), expected, atol=1e-12)
    np.testing.assert_allclose(keras.activations.sparsemax(x, axis=axis), expected, atol=1e-6)
    i = keras.Input((4, 6))
    if axis % 3:
        model = keras.Model(i, keras.activations.sparsemax(i, axis=axis))
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-6)
