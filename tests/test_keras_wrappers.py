"""`keras.layers.Wrapper`, and files of users' layers whose configs hold layers: they go both ways, as in Keras 3.15."""

import json
import zipfile

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers

X = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
CONV = {
    "module": "keras.layers",
    "class_name": "Conv2D",
    "config": {
        "name": "inside",
        "trainable": True,
        "dtype": POLICY,
        "filters": 4,
        "kernel_size": [3, 3],
        "strides": [1, 1],
        "padding": "same",
        "data_format": "channels_last",
        "dilation_rate": [1, 1],
        "groups": 1,
        "activation": "tanh",
        "use_bias": True,
        "kernel_initializer": {
            "module": "keras.initializers",
            "class_name": "GlorotUniform",
            "config": {"seed": None, "input_axes": None, "output_axes": None},
            "registered_name": None,
        },
        "bias_initializer": {
            "module": "keras.initializers",
            "class_name": "Zeros",
            "config": {},
            "registered_name": None,
        },
        "kernel_regularizer": None,
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
    },
    "registered_name": None,
    "build_config": {"input_shape": [None, 6, 6, 4]},
}
"""As Keras 3.15.1 writes a layer into the config of another one."""


class Scaled(layers.Wrapper):
    def __init__(self, layer, scale=0.5, **options):
        super().__init__(layer, **options)
        self.scale = scale

    def call(self, x):
        return x + self.scale * self.layer(x)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


class Weighted(layers.Wrapper):
    """Its `build` makes a weight of its own beside the layer's."""

    def build(self, input_shape):
        super().build(input_shape)
        self.gain = self.add_weight(name="gain", shape=(self.layer.kernel.shape[-1],), initializer="ones")

    def call(self, x):
        return self.layer(x) * self.gain


OBJECTS = {"Scaled": Scaled, "Weighted": Weighted}


def wrapped():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            Weighted(layers.Conv2D(4, 3), name="weighted"),
            Scaled(layers.Conv2D(4, 3, padding="same", activation="tanh", name="inside"), 0.25, name="scaled"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    rng = np.random.default_rng(1)
    model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


def members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_a_wrapper_computes_with_its_layer_and_its_own_weights():
    model = wrapped()
    gain, kernel, bias = model.get_weights()[:3]  # Keras lists a layer's own weights before those of layers in it
    assert [w.shape for w in model.weights[:3]] == [(4,), (3, 3, 3, 4), (4,)]
    windows = np.lib.stride_tricks.sliding_window_view(X.astype(np.float64), (3, 3), axis=(1, 2))  # (N, 6, 6, C, 3, 3)
    expected = (np.einsum("nhwcij,ijcf->nhwf", windows, kernel.astype(np.float64)) + bias) * gain
    np.testing.assert_allclose(model.layers[0](X), expected, rtol=1e-4, atol=1e-5)
    model.layers[0].trainable = False
    assert len(model.trainable_weights) == 4


def test_a_wrapper_is_around_a_layer():
    with pytest.raises(ValueError, match=r"a Scaled is around a layer\. Received: 3"):
        Scaled(3)


def test_a_config_holds_the_layer_inside():
    layer = wrapped().layers[1]
    config = layer.get_config()
    assert config["layer"]["class_name"] == "Conv2D"
    again = Scaled.from_config(config)
    assert (type(again.layer), again.layer.filters, again.scale) == (layers.Conv2D, 4, 0.25)
    assert config["layer"]["class_name"] == "Conv2D"  # which from_config leaves as it is


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_files_bring_wrappers_back(suffix, tmp_path):
    model = wrapped()
    model.save(path := tmp_path / f"own{suffix}")
    loaded = keras.models.load_model(path, custom_objects=OBJECTS)
    assert [type(layer) for layer in loaded.layers[:2]] == [Weighted, Scaled]
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_a_layer_in_a_config_is_written_as_keras_reads_it(tmp_path):
    wrapped().save(path := tmp_path / "own.keras")
    inside = json.loads(members(path)["config.json"])["config"]["layers"][2]["config"]["layer"]
    assert (inside["module"], inside["class_name"], inside["registered_name"]) == ("keras.layers", "Conv2D", None)
    assert inside["config"]["activation"] == "tanh"
    assert inside["config"]["data_format"] == "channels_last"
    assert inside["config"]["kernel_initializer"]["module"] == "keras.initializers"


def test_a_layer_in_a_config_that_keras_has_written_is_read(tmp_path):
    model = wrapped()
    model.save(path := tmp_path / "own.keras")
    parts = members(path)
    config = json.loads(parts["config.json"])
    config["config"]["layers"][2]["config"] |= {"layer": CONV, "dtype": POLICY}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in (parts | {"config.json": json.dumps(config)}).items():
            file.writestr(name, data)
    loaded = keras.models.load_model(path, custom_objects=OBJECTS)
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_an_initializer_in_a_config_that_keras_has_written_is_read(tmp_path):
    class Own(layers.Layer):
        def __init__(self, first="ones", **options):
            super().__init__(**options)
            self.first = keras.initializers.get(first)

        def build(self, input_shape):
            self.w = self.add_weight(shape=(input_shape[-1],), initializer=self.first)

        def call(self, x):
            return x * self.w

        def get_config(self):
            return {**super().get_config(), "first": keras.initializers.serialize(self.first)}

    model = keras.Sequential([keras.Input((3,)), Own("glorot_uniform")])
    model.save(path := tmp_path / "own.keras")
    parts = members(path)
    config = json.loads(parts["config.json"])
    config["config"]["layers"][1]["config"]["first"] = CONV["config"]["kernel_initializer"]
    with zipfile.ZipFile(path, "w") as file:
        for name, data in (parts | {"config.json": json.dumps(config)}).items():
            file.writestr(name, data)
    loaded = keras.models.load_model(path, custom_objects={"Own": Own})
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])
    assert type(loaded.layers[0].first).__name__ == "GlorotUniform"


def test_what_a_config_holds_under_the_name_dtype_stays_unless_it_is_a_policy(tmp_path):
    class Own(layers.Layer):
        def __init__(self, table=None, **options):
            super().__init__(**options)
            self.table = table

        def call(self, x):
            return x * self.table["dtype"]["scale"]

        def get_config(self):
            return {**super().get_config(), "table": self.table}

    table = {"dtype": {"scale": 2.0}, "inner": [{"dtype": {"class_name": "Mine", "config": {}}}, {"dtype": "float16"}]}
    model = keras.Sequential([keras.Input((3,)), Own(table)])
    model.save(path := tmp_path / "own.keras")
    loaded = keras.models.load_model(path, custom_objects={"Own": Own})
    assert loaded.layers[0].table == table
    assert loaded.predict(np.ones((1, 3)), verbose=0).tolist() == [[2, 2, 2]]
