"""``model.layers`` of a script: what Keras 3.15 lists there, which has operations and no layers for ``x * 2``."""

from __future__ import annotations

import copy
import io
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf

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
