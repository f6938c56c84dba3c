"""``model.layers`` of a script: what Keras 3.15 lists there, which has operations and no layers for ``x * 2``."""

from __future__ import annotations

import copy
import io
import json
import math
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import _named_function, layers, ops
from minicnn.keras import tensorflow as tf
from minicnn.keras._named_function import NamedFunction

START = keras.Input((8, 8, 3))


def conv(x):
    return layers.Conv2D(4, 3, padding="same")(x)


def listed(model):
    return [type(layer).__name__ for layer in model.layers]


def network():
    x = conv(START) + conv(START)
    x = ops.relu((x * 2)[:, 1:])
    return keras.Model(START, layers.Dense(2)(layers.Flatten()(x)))


OF_NETWORK = ["InputLayer", "Conv2D", "Conv2D", "Flatten", "Dense"]  # of Keras 3.15.1
ONE = ["InputLayer", "Conv2D"]
MADE = {
    "1 - x": (lambda: 1 - conv(START), ONE),
    "x / 2 - x ** 2": (lambda: conv(START) / 2.0 - conv(START) ** 2, [*ONE, "Conv2D"]),
    "array * x": (lambda: np.ones((8, 8, 4), "float32") * conv(START), ONE),
    "ops.mean": (lambda: ops.mean(conv(START), axis=(1, 2)), ONE),
    "ops.concatenate": (lambda: ops.concatenate([conv(START), conv(START)], axis=-1), [*ONE, "Conv2D"]),
    "layers.add": (lambda: layers.add([conv(START), conv(START)]), [*ONE, "Conv2D", "Add"]),
    "activations.relu": (lambda: keras.activations.relu(conv(START)), ONE),
    "ops.gelu": (lambda: ops.gelu(conv(START)), ONE),
    "ops.image.resize": (lambda: ops.image.resize(conv(START), (4, 4)), ONE),
    "ops.where": (lambda: ops.where(conv(START) > 0, conv(START), 0.0), [*ONE, "Conv2D"]),
    "ops.max": (lambda: ops.max(conv(START), axis=-1), ONE),
}


@pytest.mark.parametrize("name", MADE)
def test_operators_and_functions_are_no_layers(name):
    made, expected = MADE[name]
    assert listed(keras.Model(START, made())) == expected


@pytest.mark.parametrize(
    "way",
    [
        lambda m, path: m,
        lambda m, path: keras.models.clone_model(m),
        lambda m, path: keras.models.clone_model(m, clone_function=lambda layer: layer.from_config(layer.get_config())),
        lambda m, path: keras.Model.from_config(m.get_config()),
        lambda m, path: keras.models.model_from_json(m.to_json()),
        lambda m, path: copy.deepcopy(m),
        lambda m, path: [m.save(path / "m.keras"), keras.models.load_model(path / "m.keras")][1],
        lambda m, path: [m.save(path / "m.h5"), keras.models.load_model(path / "m.h5")][1],
    ],
)
def test_copies_and_files_have_the_same_layers(way, tmp_path):
    model = network()
    other = way(model, tmp_path)
    assert listed(other) == OF_NETWORK
    assert other.get_layer(index=1).name == model.layers[1].name
    assert type(other.get_layer(index=4)).__name__ == "Dense"
    with pytest.raises(ValueError, match="5 layers"):
        other.get_layer(index=5)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(other.predict(x), model.predict(x), rtol=1e-6)


def test_a_summary_shows_operations():
    out = io.StringIO()
    with redirect_stdout(out):
        network().summary()
    assert "GetItem" in out.getvalue()


def test_a_lambda_is_one_layer():
    for function in (lambda t: t * 2, lambda t: t * 2 + t, lambda t: ops.sum(t, axis=-1, keepdims=True), lambda t: t):
        model = keras.Model(START, layers.Lambda(function, name="mine")(conv(START)))
        assert len(model.layers) == 3
        assert model.layers[-1] is model.get_layer("mine")
    twice = layers.Lambda(lambda t: t * 2)
    assert len(keras.Model(START, twice(conv(twice(START)))).layers) == 3


def test_a_layer_whose_call_adds_to_the_librarys_is_one_layer():
    class Doubled(layers.Conv2D):
        def call(self, x):
            return super().call(x) * 2 + 1

    class Replaced(layers.Rescaling):
        def call(self, x):
            return x * 2 + 1

    model = keras.Model(START, Doubled(4, 3)(Replaced(1.0)(START)))
    assert len(model.layers) == 3
    assert type(model.layers[2]) is Doubled


def test_its_output_is_what_its_call_gives():
    class Tripled(layers.Dense):
        def call(self, x):
            return super().call(x) * 3

    start = keras.Input((2,))
    whole = keras.Model(start, layers.ReLU()(Tripled(1, use_bias=False, kernel_initializer="ones")(start)))
    for other in (whole, copy.deepcopy(whole), keras.models.clone_model(whole)):
        other.set_weights(whole.get_weights())
        cut = keras.Model(other.inputs, other.layers[-2].output) if other is whole else other
        np.testing.assert_allclose(cut.predict(np.ones((4, 2), "float32")), np.full((4, 1), 6.0))


def test_a_call_that_is_not_used_is_warned_of():
    class Stack(keras.Sequential):
        def call(self, x, training=None):
            return super().call(x) * 3

    class Functional(keras.Model):
        def call(self, x, training=None):
            return super().call(x) * 3

    with pytest.warns(UserWarning, match="the call of Stack is not used"):
        Stack([keras.Input((2,)), layers.Dense(1)])
    start = keras.Input((2,))
    with pytest.warns(UserWarning, match="the call of Functional is not used"):
        Functional(start, layers.Dense(1)(start))


def test_a_call_that_is_used_is_not():
    class Written(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Written()(np.ones((1, 2)))
        keras.Sequential([layers.Dense(1)])
        keras.Model(START, conv(START))


def test_freezing_by_number():
    model = network()
    for layer in model.layers[:-1]:
        layer.trainable = False
    assert [w.shape for w in model.trainable_weights] == [(7 * 8 * 4, 2), (2,)]


def test_networks_of_applications_have_keras_numbers_of_layers():
    assert len(keras.applications.ConvNeXtTiny(weights=None).layers) == 135
    assert len(keras.applications.MobileNetV3Small(weights=None).layers) == 164


def test_the_activations_of_mobilenet_have_kerass_names():
    """Numbers of a fresh session: Keras's squeezing has a ReLU, whose further steps are operations."""
    model = keras.applications.MobileNetV3Small(weights=None, include_top=False, input_shape=(96, 96, 3))
    names = [layer.name for layer in model.layers]
    unnamed = [name for name in names if name.startswith(("activation", "re_lu"))]
    assert unnamed[-4:] == ["activation_15", "activation_16", "re_lu_13", "activation_17"]


@pytest.mark.parametrize(
    ("function", "of_numpy"),
    [
        (lambda x: keras.ops.expand_dims(x, -1), lambda x: x[..., None]),
        (lambda x: keras.ops.expand_dims(x, 1), lambda x: x[:, None]),
        (lambda x: keras.ops.expand_dims(x, axis=(1, -1)), lambda x: x[:, None, :, :, None]),
        (lambda x: keras.backend.expand_dims(x, 2), lambda x: x[:, :, None]),
        (lambda x: tf.expand_dims(x, axis=1), lambda x: x[:, None]),
        (lambda x: keras.ops.squeeze(x[:, :1], 1), lambda x: x[:, 0]),
        (lambda x: keras.ops.squeeze(x[:, :1]), lambda x: x[:, 0]),
        (lambda x: tf.squeeze(x[..., :1], axis=[-1]), lambda x: x[..., 0]),
        (lambda x: keras.ops.squeeze(keras.ops.squeeze(x[:, :1, :1], 2), 1), lambda x: x[:, 0, 0]),
    ],
)
@pytest.mark.parametrize("shape", [(4, 3), (None, 3), (None, None)])
def test_axes_of_one_are_layers_that_files_hold(rng, tmp_path, function, of_numpy, shape):
    x, inputs = rng.normal(size=(2, 4, 3)).astype(np.float32), keras.Input(shape)
    model = keras.Model(inputs, function(inputs))
    assert len(model.output_shape) == of_numpy(x).ndim
    np.testing.assert_array_equal(model.predict(x, verbose=0), of_numpy(x))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras").predict(x, verbose=0), of_numpy(x))


def test_axes_that_are_not_there_or_not_one_are_refused():
    x = keras.Input((4, 3))
    with pytest.raises(ValueError, match=r"size 1.*axis=1"):
        keras.ops.squeeze(x, 1)
    with pytest.raises(ValueError, match="from -4 to 3"):
        keras.ops.expand_dims(x, 4)


BESIDE = np.float32([0.1, -0.2, 0.3])
ONES = np.ones((4, 3), np.float32)
OF_LAYERS = {  # of (N, 4, 3) and (N, 4, 3): what keras.ops makes, and NumPy; such models are ONNX, too
    "clip": (lambda x, y: ops.clip(x, -0.5, 0.5), lambda x, y: np.clip(x, -0.5, 0.5)),
    "maximum of a number": (lambda x, y: ops.maximum(x, 0.1), lambda x, y: np.maximum(x, np.float32(0.1))),
    "minimum of a number": (lambda x, y: ops.minimum(0.1, x), lambda x, y: np.minimum(x, np.float32(0.1))),
    "maximum of an array": (lambda x, y: ops.maximum(x, BESIDE), lambda x, y: np.maximum(x, BESIDE)),
    "power": (lambda x, y: ops.power(x, 2), lambda x, y: x**2),
    "divide": (lambda x, y: ops.divide(x, ops.abs(y) + 1), lambda x, y: x / (np.abs(y) + 1)),
    "rsqrt": (lambda x, y: ops.rsqrt(ops.abs(x) + 1), lambda x, y: (np.abs(x) + 1) ** -0.5),
    "tan": (lambda x, y: ops.tan(x / 4), lambda x, y: np.tan(x / 4)),
    "where": (lambda x, y: ops.where(x > 0, x, 0.1 * y), lambda x, y: np.where(x > 0, x, 0.1 * y)),
    "where of numbers": (lambda x, y: ops.where(ops.less(x, y), 2.0, -1.0), lambda x, y: np.where(x < y, 2.0, -1.0)),
    "where of any numbers": (lambda x, y: ops.where(ops.round(x), x, y), lambda x, y: np.where(np.rint(x), x, y)),
    "less_equal": (lambda x, y: ops.where(ops.less_equal(x, 0.2), y, x), lambda x, y: np.where(x <= 0.2, y, x)),
    "greater_equal": (lambda x, y: x * ops.greater_equal(x, BESIDE), lambda x, y: x * (x >= BESIDE)),
    "equal": (lambda x, y: y * ops.equal(ops.round(x), 1), lambda x, y: y * (np.rint(x) == 1)),
    "not_equal": (lambda x, y: y * ops.not_equal(ops.round(x), 1), lambda x, y: y * (np.rint(x) != 1)),
    "logical_and": (lambda x, y: y * ops.logical_and(x > 0, y > 0), lambda x, y: y * ((x > 0) & (y > 0))),
    "logical_or": (lambda x, y: y * ops.logical_or(x > 0, y > 0), lambda x, y: y * ((x > 0) | (y > 0))),
    "logical_not": (lambda x, y: y * ops.logical_not(x > 0), lambda x, y: y * ~(x > 0)),
    "stack": (lambda x, y: ops.stack([x, y, x], axis=1), lambda x, y: np.stack([x, y, x], axis=1)),
    "stack behind": (lambda x, y: ops.stack([x, y], axis=-1), lambda x, y: np.stack([x, y], axis=-1)),
    "matmul": (lambda x, y: ops.matmul(x, ops.swapaxes(y, 1, 2)), lambda x, y: x @ y.swapaxes(1, 2)),
    "moveaxis": (lambda x, y: ops.moveaxis(x, -1, 1), lambda x, y: np.moveaxis(x, -1, 1)),
    "norm": (lambda x, y: ops.norm(x, axis=-1), lambda x, y: np.linalg.norm(x, axis=-1)),
    "norm of order 1": (lambda x, y: ops.norm(x, 1, axis=1), lambda x, y: np.linalg.norm(x, 1, axis=1)),
    "norm of matrices": (lambda x, y: ops.norm(x, axis=(1, 2)), lambda x, y: np.linalg.norm(x, axis=(1, 2))),
    "normalize": (lambda x, y: ops.normalize(x, axis=1), lambda x, y: x / np.linalg.norm(x, axis=1, keepdims=True)),
    "repeat": (lambda x, y: ops.repeat(x, 3, axis=1), lambda x, y: np.repeat(x, 3, axis=1)),
    "repeat of the last axis": (lambda x, y: ops.repeat(x, 2, axis=-1), lambda x, y: np.repeat(x, 2, axis=-1)),
    "tile": (lambda x, y: ops.tile(x, (1, 2, 3)), lambda x, y: np.tile(x, (1, 2, 3))),
    "flip": (lambda x, y: ops.flip(x, axis=(1, -1)), lambda x, y: np.flip(x, axis=(1, -1))),
    "roll": (lambda x, y: ops.roll(x, -1, axis=1), lambda x, y: np.roll(x, -1, axis=1)),
    "take": (lambda x, y: ops.take(x, [2, -3], axis=-1), lambda x, y: x[..., [2, -3]]),
    "take of one": (lambda x, y: ops.take(x, -1, axis=1), lambda x, y: x[:, -1]),
    "tf.roll": (lambda x, y: tf.roll(x, 1, axis=1), lambda x, y: np.roll(x, 1, axis=1)),
    "tf.gather": (lambda x, y: tf.gather(x, [2, 0], axis=1), lambda x, y: x[:, [2, 0]]),
    "tf.linalg.trace": (lambda x, y: tf.linalg.trace(x), lambda x, y: np.trace(x, axis1=1, axis2=2)),
    "tf.image.flip_left_right": (
        lambda x, y: tf.image.flip_left_right(ops.stack([x, y], axis=-1)),
        lambda x, y: np.stack([x, y], axis=-1)[:, :, ::-1],
    ),
    "tf.image.flip_up_down": (
        lambda x, y: tf.image.flip_up_down(ops.stack([x, y], axis=-1)),
        lambda x, y: np.stack([x, y], axis=-1)[:, ::-1],
    ),
    "argmax": (lambda x, y: ops.argmax(x, axis=-1), lambda x, y: np.argmax(x, axis=-1)),
    "argmin": (lambda x, y: ops.argmin(x, axis=1), lambda x, y: np.argmin(x, axis=1)),
    "argmin, kept": (
        lambda x, y: ops.argmin(x, axis=1, keepdims=True),
        lambda x, y: np.argmin(x, axis=1, keepdims=True),
    ),
    "argmin of images": (
        lambda x, y: ops.argmin(ops.stack([x, y], axis=-1), axis=1),
        lambda x, y: np.argmin(np.stack([x, y], axis=-1), axis=1),
    ),
    "count_nonzero": (lambda x, y: ops.count_nonzero(ops.round(x), axis=-1), lambda x, y: (np.rint(x) != 0).sum(-1)),
    "any": (lambda x, y: ops.any(x > 1, axis=-1), lambda x, y: np.any(x > 1, axis=-1)),
    "all": (lambda x, y: ops.all(x > -1, axis=1), lambda x, y: np.all(x > -1, axis=1)),
    "zeros_like": (lambda x, y: y + ops.zeros_like(x), lambda x, y: y),
    "ones_like": (lambda x, y: y + ops.ones_like(x), lambda x, y: y + 1),
    "triu": (lambda x, y: ops.triu(x, 1), lambda x, y: np.triu(x, 1)),
    "tril": (lambda x, y: ops.tril(x), lambda x, y: np.tril(x)),
    "trace": (lambda x, y: ops.trace(x, axis1=1, axis2=2), lambda x, y: np.trace(x, axis1=1, axis2=2)),
    "cross": (lambda x, y: ops.cross(x, y), lambda x, y: np.cross(x, y)),
    "floor_divide": (lambda x, y: ops.floor_divide(x, 0.5), lambda x, y: np.floor(x / 0.5)),
    "glu": (lambda x, y: ops.glu(x, axis=1), lambda x, y: x[:, :2] / (1 + np.exp(-x[:, 2:]))),
    "erf": (lambda x, y: ops.erf(x), lambda x, y: np.vectorize(math.erf)(x)),
    "isnan": (lambda x, y: ops.isnan(ops.log(x)), lambda x, y: x < 0),
    "rgb_to_grayscale": (lambda x, y: ops.image.rgb_to_grayscale(x), lambda x, y: x @ [[0.2989], [0.5870], [0.1140]]),
    "max": (lambda x, y: ops.max(x, axis=-1), lambda x, y: np.max(x, axis=-1)),
    "min": (lambda x, y: ops.min(x, axis=(1, 2), keepdims=True), lambda x, y: np.min(x, axis=(1, 2), keepdims=True)),
    "prod": (lambda x, y: ops.prod(x, axis=-1), lambda x, y: np.prod(x, axis=-1)),
    "var": (lambda x, y: ops.var(x, axis=-1, keepdims=True), lambda x, y: np.var(x, axis=-1, keepdims=True)),
    "std": (lambda x, y: ops.std(x, axis=(1, 2)), lambda x, y: np.std(x, axis=(1, 2))),
    "logsumexp": (lambda x, y: ops.logsumexp(x, axis=1), lambda x, y: np.log(np.exp(x).sum(axis=1))),
}
OF_FUNCTIONS = {  # files hold the function's name and arguments
    "top_k": (lambda x, y: ops.top_k(x, 2)[0], lambda x, y: -np.sort(-x, axis=-1)[..., :2]),
    "places of top_k": (lambda x, y: ops.top_k(x, 2).indices, lambda x, y: np.argsort(-x, axis=-1)[..., :2]),
    "sort": (lambda x, y: ops.sort(x, axis=-1), lambda x, y: np.sort(x, axis=-1)),
    "cumsum": (lambda x, y: ops.cumsum(x, axis=1), lambda x, y: np.cumsum(x, axis=1)),
    "median": (lambda x, y: ops.median(x, axis=-1), lambda x, y: np.median(x, axis=-1)),
    "einsum": (lambda x, y: ops.einsum("bij,bik->bjk", x, y), lambda x, y: np.einsum("bij,bik->bjk", x, y)),
    "tensordot": (lambda x, y: ops.tensordot(x, ONES.T, axes=1), lambda x, y: np.tensordot(x, ONES.T, axes=1)),
    "arctan": (lambda x, y: ops.arctan(x), lambda x, y: np.arctan(x)),
    "sinh": (lambda x, y: ops.sinh(x), lambda x, y: np.sinh(x)),
    "arctan2": (lambda x, y: ops.arctan2(x, y), lambda x, y: np.arctan2(x, y)),
    "log1p": (lambda x, y: ops.log1p(ops.abs(x) / 1e6), lambda x, y: np.log1p(np.abs(x) / 1e6)),
    "expm1": (lambda x, y: ops.expm1(x / 1e6), lambda x, y: np.expm1(x / 1e6)),
    "mod": (lambda x, y: ops.mod(x, 0.3), lambda x, y: np.mod(x, np.float32(0.3))),
    "floor_divide by 3": (
        lambda x, y: ops.floor_divide(ops.round(3 * x), 3),
        lambda x, y: np.floor(np.rint(3 * x) / 3),
    ),
    "pad": (
        lambda x, y: ops.pad(x, [[0, 0], [1, 1], [2, 0]], mode="reflect"),
        lambda x, y: np.pad(x, [[0, 0], [1, 1], [2, 0]], mode="reflect"),
    ),
    "nan_to_num": (lambda x, y: ops.nan_to_num(ops.log(x) * 0), lambda x, y: 0 * x),
    "equal of infinite ones": (lambda x, y: ops.equal(ops.log(0 * x), ops.log(0 * y)), lambda x, y: ONES + 0 * x),
}


KERAS_LAYERS = {"Activation", "Add", "Concatenate", "GlobalAveragePooling1D", "GlobalMaxPooling1D", "InputLayer"}
KERAS_LAYERS |= {"Maximum", "Minimum", "Multiply", "Permute", "Rescaling", "Reshape", "Subtract", "ZeroPadding1D"}


def _both(rng, functions):
    x, y = (rng.normal(size=(5, 4, 3)).astype(np.float32) for _ in range(2))
    a, b = keras.Input((4, 3)), keras.Input((4, 3))
    with np.errstate(all="ignore"):
        return x, y, keras.Model([a, b], functions[0](a, b)), functions[1](x, y)


@pytest.mark.parametrize("name", [*OF_LAYERS, *OF_FUNCTIONS])
def test_functions_are_layers_that_files_hold(rng, tmp_path, name):
    x, y, model, expected = _both(rng, (OF_LAYERS | OF_FUNCTIONS)[name])
    assert listed(model) == ["InputLayer", "InputLayer"]
    model.save(tmp_path / "model.keras")
    for each in (model, keras.models.load_model(tmp_path / "model.keras"), keras.models.clone_model(model)):
        given = each.predict([x, y], verbose=0)
        assert given.shape == expected.shape
        np.testing.assert_allclose(given, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", [*OF_LAYERS, *OF_FUNCTIONS])
def test_files_hold_them_as_operations_of_keras(rng, name):
    """Read without what minicnn adds for itself, as where Keras has read the file and written it again."""
    x, y, model, expected = _both(rng, (OF_LAYERS | OF_FUNCTIONS)[name])
    written = json.loads(model.to_json())
    bare = [{k: v for k, v in entry.items() if "minicnn" not in k} for entry in written["config"]["layers"]]
    classes = [(entry["module"], entry["class_name"]) for entry in bare]
    assert {cls for module, cls in classes if module == "keras.layers"} <= KERAS_LAYERS
    assert all(module == "keras.layers" or module.startswith("keras.src.ops.") for module, _ in classes)
    written["config"]["layers"] = bare
    given = keras.models.model_from_json(json.dumps(written)).predict([x, y], verbose=0)
    assert given.shape == expected.shape
    np.testing.assert_allclose(given, expected, rtol=2e-5, atol=2e-6)


def _kinds(model):
    return [(layer.name, type(layer), layer.get_config()) for layer in model.layers]


@pytest.mark.parametrize("ending", [".keras", ".h5", ".json"])
@pytest.mark.parametrize("name", [*OF_LAYERS, *OF_FUNCTIONS])
def test_what_was_written_is_read_as_the_layers_it_was(rng, tmp_path, name, ending):
    *_, model, _ = _both(rng, (OF_LAYERS | OF_FUNCTIONS)[name])
    if ending == ".json":
        read = keras.models.model_from_json(model.to_json())
    else:
        model.save(tmp_path / f"model{ending}")
        read = keras.models.load_model(tmp_path / f"model{ending}")
    assert json.dumps(_kinds(read), default=str) == json.dumps(_kinds(model), default=str)


def _windows(x, config, function):
    """A pooling with padding="valid" of (N, H, W, C), by a loop over its windows."""
    (rows, columns), (down, right) = config["pool_size"], config["strides"]
    places = [
        [(i, j) for j in range(0, x.shape[2] - columns + 1, right)] for i in range(0, x.shape[1] - rows + 1, down)
    ]
    parts = [[function(x[:, i : i + rows, j : j + columns], axis=(1, 2)) for i, j in line] for line in places]
    return np.stack([np.stack(line, axis=1) for line in parts], axis=1)


OF_NUMPY = {
    "Pad": lambda config, x, constant_values: np.pad(x, config["pad_width"], constant_values=constant_values),
    "MaxPool": lambda config, x: _windows(x, config, np.max),
    "AveragePool": lambda config, x: _windows(x, config, np.mean),
    "OnesLike": lambda config, x: np.ones_like(x),
    "Divide": lambda config, x, y: x / y,
}


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("size", [(7, 8), (None, None)])
@pytest.mark.parametrize(
    "options",
    [{"pool_size": 3, "strides": 2, "padding": 1}, {"pool_size": (2, 3), "padding": ((1, 0), (0, 2))}],
    ids=str,
)
@pytest.mark.parametrize("kind", ["PaddedMaxPooling2D", "PaddedAveragePooling2D"])
def test_poolings_with_padding_in_numbers_are_operations_of_keras(rng, tmp_path, kind, options, size, ending):
    """Keras 3.15 read these files, and its numbers were minicnn's to 1e-6."""
    image = keras.Input((*size, 3), name="image")
    model = keras.Model(image, getattr(mc.layers, kind)(**options, name="pool")(image))
    x = rng.normal(size=(2, 7, 8, 3)).astype(np.float32) - 3  # below the zeros of a padding
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save(path := tmp_path / f"model{ending}")
    back = keras.models.load_model(path)
    assert listed(back) == ["InputLayer", kind]
    np.testing.assert_array_equal(back.predict(x), model.predict(x))

    entries, values = json.loads(model.to_json())["config"]["layers"], {"image": x}
    for entry in entries[1:]:
        (call,) = entry["inbound_nodes"]
        inputs = [values[tensor["config"]["keras_history"][0]] for tensor in call["args"]]
        values[entry["name"]] = y = OF_NUMPY[entry["class_name"]](entry["config"], *inputs, **call["kwargs"])
        later = [tensor["config"] for other in entries for node in other["inbound_nodes"] for tensor in node["args"]]
        shapes = [config["shape"] for config in later if config["keras_history"][0] == entry["name"]]
        assert all(shape in ([None, *y.shape[1:]], [None, None, None, 3]) for shape in shapes)
    np.testing.assert_allclose(model.predict(x), values["pool"], rtol=2e-6)


def test_what_keras_does_not_read_is_said_when_it_is_written(tmp_path):
    """As Keras 3.15 refused each of them: "it is not a KerasSaveable subclass"."""
    clip, image = mc.layers.Clip(0, 1, name="clip"), keras.Input((4, 8, 3))
    models = {
        r"'clip' \(Clip\); a functional model": keras.Sequential([keras.Input((8, 3)), clip, layers.Dense(2)]),
        r"'clip' \(Clip\)": keras.Sequential([keras.Sequential([keras.Input((8, 3)), clip]), layers.Dense(2)]),
        r"'\w+' \(Clip\)": keras.Model(image, layers.TimeDistributed(mc.layers.Clip(0, 1))(image)),
        r"'resize' \(PlacedResizing\)$": keras.Model(image, mc.layers.PlacedResizing(8, 8, name="resize")(image)),
    }
    for said, model in models.items():
        for ending in (".keras", ".h5"):
            with pytest.warns(UserWarning, match=f"Keras does not, as it has no such layers: {said}"):
                model.save(tmp_path / f"model{ending}")
            keras.models.load_model(tmp_path / f"model{ending}")
    with warnings.catch_warnings():  # where it is an operation, and weights alone
        warnings.simplefilter("error")
        keras.Model(image, clip(image)).save(tmp_path / "model.keras")
        next(iter(models.values())).save_weights(tmp_path / "model.weights.h5")


def _sorted_model():
    x = keras.Input((4, 3), name="x")
    return json.loads(keras.Model(x, ops.sort(x, axis=-1)).to_json())


def test_operations_that_were_changed_are_what_counts(rng):
    """Keras computes the operations; the layer beside them is minicnn's own."""
    written = _sorted_model()
    (entry,) = (each for each in written["config"]["layers"] if each["class_name"] == "Sort")
    entry["config"]["axis"] = 1
    x = rng.normal(size=(5, 4, 3)).astype(np.float32)
    given = keras.models.model_from_json(json.dumps(written)).predict(x, verbose=0)
    np.testing.assert_array_equal(given, np.sort(x, axis=1))


@pytest.mark.parametrize(
    "layer",
    [
        {"class_name": "ReLU", "config": {"name": "other"}},
        {"class_name": "NamedFunction", "config": {"operation": "zeros", "args": [[10**12]], "options": {}}},
        {
            "class_name": "NamedFunction",
            "config": {"operation": "flip", "args": [{"input": 0}], "options": {"axis": 1}},
        },
        {"class_name": "NamedFunction", "config": {}},
        {"class_name": "Power", "config": {"exponent": None}},
    ],
)
def test_another_layer_beside_an_operation_is_none_of_minicnn(rng, layer):
    written = _sorted_model()
    (entry,) = (each for each in written["config"]["layers"] if each["class_name"] == "Sort")
    entry["minicnn_layer"] = entry["minicnn_layer"] | layer
    x = rng.normal(size=(5, 4, 3)).astype(np.float32)
    given = keras.models.model_from_json(json.dumps(written)).predict(x, verbose=0)
    np.testing.assert_array_equal(given, np.sort(x, axis=-1))


@pytest.mark.parametrize("divisor", [0.1, 0.3, 3, 6.0, -0.7])
def test_floor_divide_is_exact(divisor):
    """Beside whole multiples, where x · (1 / divisor) is the next whole number, or the one before."""
    x = (np.arange(-300, 300) * np.float32(divisor)).astype(np.float32).reshape(1, -1)
    x = np.concatenate([x, np.nextafter(x, np.float32(-np.inf)), np.nextafter(x, np.float32(np.inf))])
    tensor = keras.Input((x.shape[1],))
    given = keras.Model(tensor, ops.floor_divide(tensor, divisor)).predict(x, verbose=0)
    np.testing.assert_array_equal(given, np.floor(x / np.float32(divisor)))


@pytest.mark.parametrize("dtype", ["S3", "U3", "O", "complex64", "M8[s]"])
def test_arrays_of_no_numbers_are_in_no_file(dtype):
    """As lists they would be read as others."""
    with pytest.raises(TypeError, match="no file holds this argument"):
        _named_function._written(np.zeros(2, dtype), [])


def test_a_function_of_ones_own_is_none_of_keras():
    """Not even one that is called as one of keras.ops is."""

    def normalize(x, axis=-1, order=2, epsilon=None):
        return -ops.normalize(-x, axis, order, epsilon)

    assert _named_function.is_of_ops("normalize", ops.normalize)
    assert not _named_function.is_of_ops("normalize", normalize)
    assert not _named_function.is_of_ops("norm", ops.normalize)
    assert not _named_function.is_of_ops("own", ops.normalize)


OF_ONNX = (
    "arctan",
    "arctan2",
    "cumsum",
    "einsum",
    "equal of infinite ones",
    "median",
    "mod",
    "nan_to_num",
    "places of top_k",
)
OF_ONNX += ("sinh", "sort", "tensordot", "top_k")


@pytest.mark.parametrize("name", [*OF_LAYERS, *OF_ONNX])
def test_functions_that_layers_compute_are_onnx(rng, tmp_path, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    x, y, model, expected = _both(rng, (OF_LAYERS | OF_FUNCTIONS)[name])
    model.export(tmp_path / "model.onnx", format="onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (given,) = session.run(None, dict(zip([each.name for each in session.get_inputs()], [x, y], strict=True)))
    np.testing.assert_allclose(given, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", [n for n in OF_LAYERS if "arg" not in n and n != "isnan"])
def test_functions_that_layers_compute_have_their_gradients(rng, name):
    """Of Σ y · w for weights in front, against differences of the NumPy function in 64 bits."""
    function, of_numpy = OF_LAYERS[name]
    x, y = (rng.normal(size=(5, 4, 3)).astype(np.float32) for _ in range(2))
    a, b = keras.Input((4, 3)), keras.Input((4, 3))
    scaled = layers.Dense(3, use_bias=False, kernel_initializer="identity")
    model = keras.Model([a, b], function(scaled(a), b))
    weights = rng.normal(size=of_numpy(x, y).shape)
    model.compile(keras.optimizers.SGD(1.0), loss=lambda t, p: ops.sum(t * p))
    before = np.asarray(model.get_weights()[0], np.float64)
    model.train_on_batch([x, y], weights.astype(np.float32))
    got, step = before - model.get_weights()[0], 1e-6
    wide, beside = x.astype(np.float64), y.astype(np.float64)
    for i, j in np.ndindex(3, 3):
        moved = np.zeros((3, 3))
        moved[i, j] = step
        values = [(of_numpy(wide @ (before + s * moved), beside) * weights).sum() for s in (1, -1)]
        np.testing.assert_allclose(got[i, j], (values[0] - values[1]) / (2 * step), rtol=1e-3, atol=1e-3)


SIGNED = np.array([0.0, -0.0, 2.0, -3.0, np.inf, -np.inf], np.float32)
OF_NODES = {  # several operators, or some of what one gives
    "argsort": (lambda x, y: ops.argsort(x, axis=1), lambda x, y: np.argsort(x, axis=1)),
    "median of an even number": (
        lambda x, y: ops.median(x, axis=1, keepdims=True),
        lambda x, y: np.median(x, axis=1, keepdims=True),
    ),
    "mod of two": (lambda x, y: ops.mod(x, y), np.mod),
    "mod of a number": (lambda x, y: ops.mod(-3.0, y), lambda x, y: np.mod(np.float32(-3), y)),
    "fmod": (lambda x, y: ops.fmod(x, y), np.fmod),
    "one_hot": (lambda x, y: ops.one_hot(ops.round(x), 3), lambda x, y: np.rint(x)[..., None] == np.arange(3)),
    "one_hot in front": (
        lambda x, y: ops.one_hot(ops.argmax(x, axis=-1), 3, axis=1),
        lambda x, y: np.argmax(x, axis=-1)[:, None] == np.arange(3)[:, None],
    ),
    "tensordot of two axes": (
        lambda x, y: ops.tensordot(x, np.arange(24.0).reshape(4, 3, 2), axes=2),
        lambda x, y: np.tensordot(x, np.arange(24.0).reshape(4, 3, 2), axes=2),
    ),
    "dot": (lambda x, y: ops.dot(x, np.eye(3)[:, :2]), lambda x, y: x[..., :2]),
    "pad by what lies inside": (
        lambda x, y: ops.pad(x, [[0, 0], [1, 2], [2, 0]], mode="reflect"),
        lambda x, y: np.pad(x, [[0, 0], [1, 2], [2, 0]], mode="reflect"),
    ),
    "prod": (lambda x, y: ops.prod(x, axis=(1, 2), keepdims=True), lambda x, y: x.prod((1, 2), keepdims=True)),
    "logical_xor": (lambda x, y: ops.logical_xor(x > 0, y > 0), lambda x, y: (x > 0) ^ (y > 0)),
    "log2": (lambda x, y: ops.log2(x * x), lambda x, y: np.log2(x * x)),
    "log10": (lambda x, y: ops.log10(x * x), lambda x, y: np.log10(x * x)),
    "exp2": (lambda x, y: ops.exp2(x), lambda x, y: np.exp2(x)),
    "hypot of large numbers": (lambda x, y: ops.hypot(x * 1e30, y * 1e30), lambda x, y: np.hypot(x * 1e30, y * 1e30)),
    "trunc": (lambda x, y: ops.trunc(3 * x), lambda x, y: np.trunc(3 * x)),
    "cbrt": (lambda x, y: ops.cbrt(x), lambda x, y: np.cbrt(x)),
    "diff": (lambda x, y: ops.diff(x, axis=1), lambda x, y: np.diff(x, axis=1)),
    "ptp": (lambda x, y: ops.ptp(x, axis=-1), lambda x, y: np.ptp(x, axis=-1)),
    "deg2rad": (lambda x, y: ops.deg2rad(x), lambda x, y: np.deg2rad(x)),
    "rad2deg": (lambda x, y: ops.rad2deg(x), lambda x, y: np.rad2deg(x)),
}
OF_SIGNED = {  # of a number that may be infinite or -0
    "arctan2": np.arctan2,
    "divide_no_nan": lambda a, b: np.where(b == 0, 0, a / b),
    "fmax": np.fmax,
    "fmin": np.fmin,
    "isfinite": lambda a, b: np.isfinite(a),
    "isinf": lambda a, b: np.isinf(a),
    "isneginf": lambda a, b: np.isneginf(a),
    "isposinf": lambda a, b: np.isposinf(a),
    "nan_to_num": lambda a, b: np.nan_to_num(a),
    "signbit": lambda a, b: np.signbit(a),
}


@pytest.mark.parametrize("name", OF_NODES)
def test_functions_that_are_several_operators(rng, tmp_path, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    x, y, model, expected = _both(rng, OF_NODES[name])
    model.export(tmp_path / "model.onnx", format="onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (given,) = session.run(None, dict(zip([i.name for i in session.get_inputs()], [x, y], strict=False)))
    assert given.shape == expected.shape
    np.testing.assert_allclose(
        given, expected, rtol=1e-5, atol=1e-6 * max(1, np.abs(expected).max())
    )  # sums that cancel


@pytest.mark.parametrize("name", OF_SIGNED)
def test_functions_of_infinite_numbers_and_of_less_than_nothing(tmp_path, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    a, b = (part.reshape(-1, 1) for part in np.meshgrid(np.append(SIGNED, np.float32(np.nan)), SIGNED[:4]))
    if name in ("divide_no_nan", "arctan2"):
        a, b = a[np.isfinite(a)][:, None], b[np.isfinite(a)][:, None]
    function, of_numpy = getattr(ops, name), OF_SIGNED[name]
    is_pair = name in ("arctan2", "divide_no_nan", "fmax", "fmin")
    with np.errstate(all="ignore"):
        inputs = [keras.Input((1,)) for _ in range(1 + is_pair)]
        keras.Model(inputs, function(*inputs)).export(tmp_path / "model.onnx", format="onnx")
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        (given,) = session.run(None, dict(zip([i.name for i in session.get_inputs()], [a, b], strict=False)))
        np.testing.assert_allclose(given, of_numpy(a, b).astype(np.float32), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("quantile", lambda x: ops.quantile(x, 0.3, axis=-1)),
        ("einsum", lambda x: ops.einsum("bij,bij->bi", x, x)),
        ("cumsum", lambda x: ops.cumsum(x, axis=1, dtype="float32")),
        ("equal", lambda x: ops.equal(x, x[:, :1])),
        ("pad", lambda x: ops.pad(x, [[0, 0], [1, 1], [1, 1]], mode="symmetric")),
    ],
)
def test_functions_that_onnx_has_no_operator_for_are_refused(name, function, tmp_path):
    x = keras.Input((4, 3))
    with pytest.raises(ValueError, match=rf"keras\.ops\.{name} with these arguments cannot be written as ONNX"):
        keras.Model(x, function(x)).export(tmp_path / "model.onnx", format="onnx")


def test_clip_to_limits_in_the_wrong_order_gives_the_lower_one():
    x = keras.Input((4, 3))
    model = keras.Model(x, ops.clip(x, 0.5, -0.5))  # as TensorFlow does
    np.testing.assert_array_equal(model.predict(np.ones((2, 4, 3), "float32")), np.full((2, 4, 3), 0.5, "float32"))


@pytest.mark.parametrize(
    ("function", "of_numpy"),
    [
        (lambda x: ops.tile(x, np.array([1, 2, 1])), lambda x: np.tile(x, (1, 2, 1))),
        (lambda x: ops.repeat(x, np.array([1, 0, 2]), axis=1), lambda x: np.repeat(x, [1, 0, 2], axis=1)),
        (lambda x: ops.repeat(x, np.array(2), axis=1), lambda x: np.repeat(x, 2, axis=1)),
        (lambda x: ops.roll(x, np.array([1]), axis=1), lambda x: np.roll(x, 1, axis=1)),
        (lambda x: ops.stack([x, x], np.array(2)), lambda x: np.stack([x, x], 2)),
        (lambda x: ops.flip(x, np.int64(2)), lambda x: np.flip(x, 2)),
    ],
    ids=["tile", "repeat each", "repeat", "roll", "stack", "flip"],
)
def test_whole_numbers_in_arrays_are_arguments(rng, function, of_numpy):
    values = rng.standard_normal((2, 3, 4)).astype("float32")
    x = keras.Input((3, 4))
    model = keras.Model(x, function(x))
    np.testing.assert_array_equal(model.predict(values, verbose=0), of_numpy(values))


def test_the_greatest_is_a_number(backend):
    """As in Keras 3.15.1, where NaN is the greatest of none, nor the least."""
    nan = np.nan
    values = np.array([[1, nan, 3], [nan, 2, 1], [nan, 1, 2], [1, 2, nan]], "float32")
    x = keras.Input((3,))
    for function, places in ((ops.argmax, [2, 1, 2, 1]), (ops.argmin, [0, 2, 1, 0])):
        np.testing.assert_array_equal(keras.Model(x, function(x, axis=1)).predict(values, verbose=0), places)
        np.testing.assert_array_equal(function(values, axis=1), places)


def test_what_a_file_names_is_a_function_of_arrays():
    made = NamedFunction("sort", [{"input": 0}], {"axis": -1})
    with pytest.raises(ValueError, match=r"function of keras\.ops that gives one array"):
        NamedFunction.from_config({**made.get_config(), "operation": "svd"})
    with pytest.raises(ValueError, match=r"Received: 'eval'"):
        NamedFunction.from_config({**made.get_config(), "operation": "eval"})
    for args in ([[10**12]], [{"tuple": [1, [{"array": [1], "dtype": "int32"}]]}], []):
        with pytest.raises(ValueError, match="name the layer's inputs"):
            NamedFunction.from_config({**made.get_config(), "operation": "zeros", "args": args, "options": {}})
    for place in (3, -1, "a"):
        stranger = NamedFunction.from_config({**made.get_config(), "args": [[{"input": place}]]})
        with pytest.raises(ValueError, match="they name inputs from 0 to 0"):
            stranger(keras.Input((4,)))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.einsum("ab,bc->ac", x, np.ones((4, 2), "float32")),
        lambda x: ops.median(x, axis=[1], keepdims=True),
        lambda x: ops.std(x, axis=[1], keepdims=True),
    ],
    ids=["einsum", "median", "std"],
)
def test_who_changes_a_config_changes_no_layer(function):
    x, ones = keras.Input((4,)), np.ones((1, 4), "float32")
    model = keras.Model(x, function(x))
    layer = next(node.layer for node in model.graph.nodes if node.layer is not model.layers[0])
    usual, expected = copy.deepcopy(layer.get_config()), model.predict(ones, verbose=0)
    config = layer.get_config()
    for part in [config.get("args"), config.get("options"), config.get("axis")]:
        for key in range(len(part)) if isinstance(part, list) else list(part or {}):
            if isinstance(part[key], dict):
                part[key].clear()
            part[key] = 0
    assert config != usual and layer.get_config() == usual
    np.testing.assert_array_equal(model.predict(ones, verbose=0), expected)
    again = type(layer).from_config(given := copy.deepcopy(usual))
    given.get("args", []).clear()
    assert again.get_config() == usual


def test_infinite_numbers_are_compared(backend):
    values = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 3e38], "float32")
    a, b = (x.reshape(1, -1) for x in np.meshgrid(values, values))
    x, y = keras.Input((64,)), keras.Input((64,))
    for made, expected in ((x >= y, a >= b), (x <= y, a <= b), (x > y, a > b), (x < y, a < b)):
        np.testing.assert_array_equal(keras.Model([x, y], made).predict([a, b], verbose=0), expected)
