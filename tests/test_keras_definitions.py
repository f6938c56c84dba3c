"""What definitions of networks of Keras 1 and 2 import and ask layers for, beside layers; values are Keras 3.15's."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
from minicnn.keras.applications.imagenet_utils import _obtain_input_shape
from minicnn.keras.engine.topology import get_source_inputs

from minicnn import keras
from minicnn.keras import tensorflow as tf


@pytest.mark.parametrize(
    "given, order, flat, weights, shape",
    [
        (None, "channels_last", True, "imagenet", (224, 224, 3)),
        (None, "channels_last", False, None, (None, None, 3)),
        (None, "channels_first", True, None, (3, 224, 224)),
        (None, "channels_first", False, "imagenet", (3, None, None)),
        ((64, 48, 3), "channels_last", True, None, (64, 48, 3)),
        ((64, 48, 1), "channels_last", False, None, (64, 48, 1)),
        ((None, 48, 3), "channels_last", False, "imagenet", (None, 48, 3)),
        ((224, 224, 3), "channels_last", True, "imagenet", (224, 224, 3)),
        ((1, 64, 48), "channels_first", True, None, (1, 64, 48)),
    ],
)
def test_the_shape_that_a_network_begins_with_is_keras_s(given, order, flat, weights, shape):
    assert _obtain_input_shape(given, 224, 32, order, flat, weights) == shape
    assert _obtain_input_shape(given, 224, 32, data_format=order, include_top=flat, weights=weights) == shape  # of 2.0


@pytest.mark.parametrize(
    "given, flat, weights, said",
    [
        ((64, 64, 3), True, "imagenet", r"input_shape=\(224, 224, 3\). Received: \(64, 64, 3\)"),
        ((64, 64, 1), False, "imagenet", r"input_shape=\(None, None, 3\). Received: \(64, 64, 1\)"),
        ((16, 64, 3), False, None, r"32 or more. Received: input_shape=\(16, 64, 3\)"),
        ((None, 64, 3), True, None, r"without None. Received: \(None, 64, 3\)"),
        ((64, 64), True, None, r"three integers. Received: \(64, 64\)"),
    ],
)
def test_a_shape_that_a_network_cannot_begin_with_is_refused(given, flat, weights, said):
    with pytest.raises(ValueError, match=said):
        _obtain_input_shape(given, 224, 32, "channels_last", flat, weights)


def test_channels_that_are_neither_grey_nor_rgb_are_told():
    with pytest.warns(UserWarning, match=r"1 or 3 input channels. Received: input_shape=\(64, 64, 5\)"):
        assert _obtain_input_shape((64, 64, 5), 224, 32, "channels_last", True, None) == (64, 64, 5)


def test_the_inputs_that_a_tensor_is_made_from_are_found_in_their_order():
    layers = keras.layers
    first, second = layers.Input((4,)), layers.Input((4,))
    shared = layers.Dense(4)
    made = layers.add([layers.concatenate([shared(second), shared(first)]), layers.concatenate([second, second])])
    assert list(map(id, get_source_inputs(made))) == [id(second), id(first)]
    assert get_source_inputs(first) == [first] == keras.utils.get_source_inputs(first)
    model = keras.Model(get_source_inputs(made), made)
    assert model.predict([np.ones((2, 4)), np.zeros((2, 4))], verbose=0).shape == (2, 8)


def test_an_activation_has_its_function_s_name_whatever_was_imported_before():
    """In a process of its own, as other tests import ``keras.activations``, on which it depended."""
    code = (
        "from minicnn.keras.layers import Activation, Conv2D, Dense\n"
        "def own(x): return x * 2.0\n"
        "for layer in (Dense(2, activation='selu'), Conv2D(2, 3, activation='relu'), Activation('softmax'),\n"
        "              Dense(2, activation=own), Dense(2, activation='exponential')):\n"
        "    print(layer.activation.__name__, hasattr(layer.activation, '__nothing__'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[::2] == ["selu", "relu", "softmax", "own", "exponential"]
    assert set(done.stdout.split()[1::2]) == {"False"}


@pytest.mark.parametrize(
    "path, name",
    [
        ("optimizers.gradient_descent_v2", "SGD"),
        ("optimizers.adam_v2", "Adam"),
        ("optimizer_v2.rmsprop", "RMSprop"),
        ("optimizers.optimizer_v2.adagrad", "Adagrad"),
        ("optimizers.optimizer_experimental.nadam", "Nadam"),
        ("layers.core.dropout", "Dropout"),
        ("layers.convolutional.conv2d", "Conv2D"),
        ("layers.normalization.batch_normalization_v1", "BatchNormalization"),
        ("layers.pooling.global_average_pooling2d", "GlobalAveragePooling2D"),
        ("engine.input_spec", "InputSpec"),
        ("engine.training_v1", "Model"),
        ("utils.training_utils", "multi_gpu_model"),
        ("utils.all_utils", "to_categorical"),
        ("callbacks.callbacks", "EarlyStopping"),
        ("callbacks.tensorboard_v1", "TensorBoard"),
        ("initializers.initializers_v2", "HeNormal"),
        ("metrics.metrics", "Mean"),
        ("saving.save", "load_model"),
    ],
)
def test_files_of_keras_2_have_the_names_of_today(path, name):
    today = "models" if path.startswith(("saving", "engine.training")) else path.partition(".")[0]
    today = {"engine": "layers", "optimizer_v2": "optimizers"}.get(today, today)
    module = importlib.import_module(f"minicnn.keras.{path}")
    assert getattr(module, name) is getattr(importlib.import_module(f"minicnn.keras.{today}"), name)


def test_files_of_keras_2_are_attributes_and_schedules_have_theirs():
    assert keras.optimizers.adam_v2.Adam(lr=0.5, decay=0.25).decay == 0.25
    rates = importlib.import_module("minicnn.keras.optimizer_v2.learning_rate_schedule")
    assert rates.ExponentialDecay is keras.optimizers.schedules.ExponentialDecay
    merge = importlib.import_module("minicnn.keras.layers.merge")
    assert merge.concatenate is keras.layers.concatenate  # a function there, no file
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("minicnn.keras.layers.nonsense")


REDUCTIONS = {
    "max": lambda t: keras.ops.max(t, axis=-1, keepdims=True),
    "min": lambda t: keras.backend.min(t, axis=(1, 3)),
    "var": lambda t: keras.backend.var(t, axis=2),
    "std": lambda t: keras.ops.std(t, axis=-1),
}


@pytest.mark.parametrize("suffix", ["h5", "keras", "json"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_models_with_an_extreme_over_channels_are_saved(name, suffix, tmp_path):
    """As in attention over places, whose maximum over channels a checkpoint at an epoch's end could not hold."""
    axes, keepdims = {"max": (3, True), "min": ((1, 3), False), "var": (2, False), "std": (3, False)}[name]
    x = np.random.default_rng(0).random((3, 5, 4, 6), np.float32)
    inputs = keras.Input((5, 4, 6))
    model = keras.Model(inputs, REDUCTIONS[name](inputs))
    if suffix == "json":
        again = keras.models.model_from_json(model.to_json())
    else:
        model.save(tmp_path / f"model.{suffix}")
        again = keras.models.load_model(tmp_path / f"model.{suffix}")
    expected = getattr(np, name)(x.astype(np.float64), axis=axes, keepdims=keepdims)
    for made in (model, again, keras.models.clone_model(model)):
        np.testing.assert_allclose(made.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-7)


def test_a_slope_of_a_maximum_over_channels_is_shared_by_equal_ones():
    """TensorFlow's: 0.5 for each of two, and so is Keras's on it."""
    inputs = keras.Input((2, 3))
    model = keras.Model(inputs, keras.ops.max(inputs, axis=-1))
    x = tf.constant(np.float32([[[1, 2, 2], [5, 1, 4]]]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x)
    np.testing.assert_array_equal(tape.gradient(y, x), [[[0, 0.5, 0.5], [1, 0, 0]]])
