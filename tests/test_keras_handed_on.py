"""What subclasses of the library's layers hand on to its constructors, and what is assigned to their attributes."""

from __future__ import annotations

import json
import warnings
import zipfile

import numpy as np
import pytest

from minicnn import keras


class Wide(keras.layers.Conv2D):
    def __init__(self, filters, **options):
        super().__init__(filters, 3, **options)


class Sized(keras.layers.Conv2D):
    def __init__(self, filters, kernel_size=3, **options):
        super().__init__(filters, kernel_size, **options)


class Pool(keras.layers.MaxPooling2D):
    pass


class Itself(keras.layers.Dense):
    def call(self, x):
        return self.activation(keras.ops.matmul(x, self.kernel))


class Around(keras.layers.Dense):
    def call(self, x):
        return super().call(x)


KNOWN = {"Wide": Wide, "Sized": Sized, "Pool": Pool}


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
@pytest.mark.parametrize("kind", [Wide, Sized])
def test_what_a_constructor_hands_on_is_in_files_and_clones(tmp_path, kind: type, suffix: str) -> None:
    options = {"strides": 2, "padding": "same", "activation": "relu", "use_bias": False}
    first = {"data_format": "channels_first", "dilation_rate": 2}
    x, y = np.random.default_rng(0).normal(size=(2, 2, 4, 8, 8)).astype("float32")[:, 0], None
    for given, shape in ((options, (4, 8, 8)), (first, (4, 8, 8))):
        inputs = keras.Input(shape)
        model = keras.Model(inputs, kind(4, **given)(inputs))
        y = model.predict(x, verbose=0)
        model.save(tmp_path / f"model{suffix}")
        again = keras.models.load_model(tmp_path / f"model{suffix}", custom_objects=KNOWN)
        np.testing.assert_array_equal(again.predict(x, verbose=0), y)
        clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        np.testing.assert_array_equal(clone.predict(x, verbose=0), y)


def test_files_say_where_the_channels_are_as_keras_ones_do(tmp_path) -> None:
    model = keras.Sequential([keras.Input((8, 8, 2)), Pool(2), Sized(3, data_format=None)])
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        entries = json.loads(file.read("config.json"))["config"]["layers"][1:]
    assert [entry["config"]["data_format"] for entry in entries] == ["channels_last", "channels_last"]
    assert Pool(2, data_format="channels_first").get_config()["data_format"] == "channels_first"


@pytest.mark.parametrize("value", [np.float32(2), 2.0, np.ones((1, 3)), [1.0, 2.0], "relu", None], ids=repr)
@pytest.mark.parametrize("kind", [keras.layers.Dense, Itself, Around])
def test_what_is_no_weight_takes_no_weights_place(kind: type, value: object) -> None:
    layer = kind(3)
    layer(np.ones((1, 3), "float32"))
    with pytest.raises(TypeError, match=r"'kernel' is a weight of layer .*layer\.kernel\.assign\(array\)"):
        layer.kernel = value
    assert layer.kernel.shape == (3, 3)


@pytest.mark.parametrize("kind", [keras.layers.Dense, Itself, Around])
@pytest.mark.parametrize("is_built", [False, True])
def test_a_name_assigned_as_an_activation_is_one(kind: type, is_built: bool) -> None:
    x, layer = np.array([[-1.0, 2.0, -3.0]], "float32"), kind(3, kernel_initializer="identity")
    if is_built:
        layer(x)
    layer.activation = "relu"
    np.testing.assert_array_equal(layer(x), [[0, 2, 0]])


class Marked(keras.layers.Layer):
    def compute_mask(self, inputs, mask=None):
        return keras.ops.any(keras.ops.not_equal(inputs, 0.0), axis=-1)

    def call(self, x):
        return x * 1.0


class MarkedDense(keras.layers.Dense):
    def compute_mask(self, inputs, mask=None):
        return keras.ops.not_equal(inputs, 0.0)


class PassesOn(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.supports_masking = True

    def compute_mask(self, inputs, mask=None):
        return mask

    def call(self, x, mask=None):
        return x if mask is None else x * keras.ops.cast(mask, "float32")[:, :, None]


@pytest.mark.parametrize("layer", [Marked, lambda: MarkedDense(2)])
def test_a_mask_that_a_layer_makes_is_refused_as_none_would_see_it(layer) -> None:
    for x in (keras.Input((4, 1)), np.ones((1, 4, 1), "float32")):
        with pytest.raises(NotImplementedError, match=r"hand no masks on.*Received: layer '.*compute_mask makes one"):
            layer()(x)
    with pytest.raises(NotImplementedError, match="hand no masks on"):
        keras.Sequential([keras.Input((4, 1)), layer()])


class Halves(keras.layers.Layer):
    """Two outputs, and a mask of None for each, as SegNet's pooling with its argmax has it."""

    def compute_mask(self, inputs, mask=None):
        return 2 * [None]

    def call(self, inputs):
        return [inputs[:, :2], inputs[:, 2:]]


class FirstMask(keras.layers.Layer):
    def compute_mask(self, inputs, mask=None):
        return mask[0]  # of several inputs Keras 2.3 gave a list of masks

    def call(self, inputs):
        return inputs[0] + inputs[1]


def test_no_mask_for_several_outputs_is_none() -> None:
    inputs = keras.Input((4,))
    outputs = FirstMask()(Halves()(inputs))
    given = np.arange(8.0, dtype="float32").reshape(2, 4)
    np.testing.assert_array_equal(keras.Model(inputs, outputs)(given), given[:, :2] + given[:, 2:])


def test_a_mask_that_is_given_counts() -> None:
    x, mask = np.ones((1, 4, 2), "float32"), np.array([[True, True, False, False]])
    np.testing.assert_array_equal(PassesOn()(x, mask=mask), x * mask[:, :, None])
    inputs = keras.Input((4, 2))
    np.testing.assert_array_equal(keras.Model(inputs, PassesOn()(inputs))(x), x)


class Trebled(keras.layers.Dense):
    def call(self, x):
        return super().call(x) * 3


def test_a_file_that_keras_would_compute_twice_is_warned_of(tmp_path) -> None:
    inputs = keras.Input((3,))
    with pytest.warns(UserWarning, match=r"adds to super\(\)\.call .*computes it twice: save the weights"):
        keras.Model(inputs, Trebled(2)(inputs)).save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keras.Model(inputs, Around(2)(inputs)).save(tmp_path / "model.keras")
        keras.Sequential([inputs, Trebled(2)]).save(tmp_path / "model.keras")
