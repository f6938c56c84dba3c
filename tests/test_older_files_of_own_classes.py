"""Users' classes that are called as the library's: files of before they were told apart, and names of another kind."""

import json
import zipfile

import h5py
import numpy as np
import pytest
from named_alike import Dropout

import minicnn as mc
from minicnn import keras

X = np.arange(8, dtype="float32").reshape(2, 4) / 8  # (2, 4)
FORMATS = (".keras", ".h5", ".safetensors")


class Huber(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.mean(y_pred * 0 + 5.0, axis=-1)


class Poisson(mc.layers.Layer):
    """Of the name of a loss."""

    def build(self, input_shapes):
        return input_shapes[0]

    def forward(self, xs, ws):
        np.multiply(xs[0], 3.0, out=ws.y)

    def backward(self, dy, ws):
        np.multiply(dy, 3.0, out=ws.dxs[0])


def as_once(text):
    """A description, in which users' classes are called as the library's, as minicnn wrote them."""

    def bare(entry):
        if entry.get("registered_name") in ("Dropout", "Huber"):
            return entry | {"module": "keras.of_a_kind", "registered_name": None}
        if entry.get("module") == "minicnn":  # what Keras has not
            return entry | {"module": None}
        return entry

    return json.dumps(json.loads(text.replace('">', '"').replace('\\">', '\\"'), object_hook=bare))


def aged(path):
    """Make a new file one of before users' classes were told from the library's."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        metadata = json.loads(members["metadata.json"])
        del metadata["minicnn_names"]
        members |= {"metadata.json": json.dumps(metadata), "config.json": as_once(members["config.json"].decode())}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    elif path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            del file.attrs["minicnn_names"]
            for name in {"model_config", "training_config"} & {*file.attrs}:
                file.attrs[name] = as_once(file.attrs[name])
    else:
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        del header["__metadata__"]["minicnn_names"]
        header["__metadata__"] = {n: text.replace('">', '"') for n, text in header["__metadata__"].items()}
        written = json.dumps(header).encode()
        path.write_bytes(len(written).to_bytes(8, "little") + written + content[8 + length :])


@pytest.mark.parametrize("suffix", FORMATS)
def test_in_older_files_a_given_class_stands_for_its_name(suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    model = keras.Sequential([keras.Input((4,)), Dropout(0.5)])
    model.compile("sgd", Huber())
    model.save(path)
    aged(path)
    assert b">Dropout" not in path.read_bytes()
    back = keras.models.load_model(path, custom_objects={"Dropout": Dropout, "Huber": Huber})
    np.testing.assert_allclose(back.predict(X, verbose=0), X * 0.5)
    assert back.evaluate(X, X, verbose=0) == pytest.approx(5.0)
    np.testing.assert_allclose(keras.models.load_model(path, compile=False).predict(X, verbose=0), X)  # the library's


@pytest.mark.parametrize("suffix", FORMATS)
def test_newer_files_tell_the_librarys_class_from_a_given_one(suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), Dropout(0.25)])
    model.save(path)
    back = keras.models.load_model(path, custom_objects={"Dropout": Dropout})
    np.testing.assert_allclose(back.predict(X, verbose=0), X * 0.25)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("registers", ["before", "afterwards"])
def test_a_registered_layer_may_have_the_name_of_a_loss(registers, suffix, tmp_path):
    kind = type("Poisson", (Poisson,), {"__module__": __name__})  # each test registers its own: the last one counts
    if registers == "before":
        mc.layers.register(kind)
    model = mc.Sequential([mc.Input((4,)), kind()])
    model.save(tmp_path / f"model{suffix}")
    mc.layers.register(kind)
    back = mc.load_model(tmp_path / f"model{suffix}")
    assert type(back.layers[0]) is kind
    np.testing.assert_allclose(back.predict(X), X * 3.0)
    assert type(mc.layers.get("Poisson")) is kind
    assert type(mc.losses.get("Poisson")) is mc.losses.Poisson


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_librarys_short_names_stay_the_librarys(suffix, tmp_path):
    @keras.saving.register_keras_serializable("Short")
    class MSE(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(y_pred * 0 + 7.0, axis=-1)

    model = keras.Sequential([keras.Input((4,)), Dropout(0.0)])
    for loss, expected in (("mse", 4.0), ("MSE", 4.0), (MSE(), 7.0)):  # as in Keras 3.15.1; (0 - 2)² = 4
        model.compile("sgd", loss)
        assert model.evaluate(X, X * 0 + 2, verbose=0) == pytest.approx(expected)
    model.save(tmp_path / f"model{suffix}")
    back = keras.models.load_model(tmp_path / f"model{suffix}", custom_objects={"Dropout": Dropout})
    assert back.evaluate(X, X * 0 + 2, verbose=0) == pytest.approx(7.0)


@pytest.mark.parametrize("suffix", FORMATS)
def test_layers_of_keras_1_come_back_as_the_librarys(suffix, tmp_path):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Highway(activation="relu"), keras.layers.MaxoutDense(3, nb_feature=2)]
    )
    model.save(tmp_path / f"model{suffix}")
    back = keras.models.load_model(tmp_path / f"model{suffix}")
    assert [type(layer) for layer in back.layers] == [keras.layers.Highway, keras.layers.MaxoutDense]
    np.testing.assert_allclose(back.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize("suffix", FORMATS)
def test_older_files_have_layers_that_keras_has_not(suffix, tmp_path):
    path, inputs = tmp_path / f"model{suffix}", keras.Input((4,))
    model = keras.Model(inputs, keras.ops.max(keras.layers.Highway()(inputs), axis=-1, keepdims=True))
    model.save(path)
    aged(path)
    np.testing.assert_allclose(keras.models.load_model(path).predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_class_that_is_called_as_one_that_keras_has_not(suffix, tmp_path):
    """It is asked for, where the package's would take its place without a word."""

    class Highway(keras.layers.Layer):
        """Weights and arguments are as those of the package's."""

        def __init__(self, activation="relu", **kwargs):
            super().__init__(**kwargs)
            self.activation = activation

        def build(self, shape):
            for name, axes in (("kernel", 2), ("gate", 2), ("bias", 1), ("gate_bias", 1)):
                self.add_weight(shape=(4,) * axes, name=name)

        def call(self, inputs):
            return inputs * 0.5

    model, path = keras.Sequential([keras.Input((4,)), Highway()]), tmp_path / f"model{suffix}"
    model.save(path)
    with pytest.raises(ValueError, match=r"Highway.*custom_objects"):
        keras.models.load_model(path)
    back = keras.models.load_model(path, custom_objects={"Highway": Highway})
    np.testing.assert_allclose(back.predict(X, verbose=0), X * 0.5)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_stack_of_ones_own_class_that_is_called_as_the_librarys(suffix, tmp_path):
    kind = type("Sequential", (keras.Sequential,), {"__module__": __name__})
    model = kind([keras.Input((4,)), Dropout(0.5)])
    model.save(tmp_path / f"model{suffix}")
    back = keras.models.load_model(tmp_path / f"model{suffix}", custom_objects={"Dropout": Dropout, "Sequential": kind})
    assert type(back) is kind
    np.testing.assert_allclose(back.predict(X, verbose=0), X * 0.5)


def of_keras_3(name, path):
    """Write what Keras 3.15.1 wrote of a Sequential with one layer of a user's class, which has no weights."""
    entries = [
        {"class_name": "InputLayer", "config": {"batch_shape": [None, 4], "dtype": "float32", "name": "inputs"}},
        {"class_name": name, "config": {"name": "own", "trainable": True, "dtype": "float32"}},
    ]
    described = {"class_name": "Sequential", "config": {"name": "sequential", "trainable": True, "layers": entries}}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "3.15.1", "tensorflow"
        file.attrs["model_config"] = json.dumps(described)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.array([b"own"])
        weights.create_group("own").attrs["weight_names"] = np.zeros(0)
        weights.create_group("top_level_model_weights").attrs["weight_names"] = np.zeros(0)


@pytest.mark.parametrize("name", ["ThresholdedReLU", "RandomHeight", "Clip", "Sigmoid", "Highway", "Convolution2D"])
@pytest.mark.parametrize("load", [keras.models.load_model, mc.load_model], ids=["keras", "mc"])
def test_a_class_called_as_a_layer_that_keras_3_has_not(load, name, tmp_path):
    """Keras 3 refuses its own .h5 file without the class, too."""
    path, kind = tmp_path / "model.h5", type(name, (keras.layers.Layer,), {"call": lambda self, x: x * 3.0})
    of_keras_3(name, path)
    with pytest.raises(ValueError, match=rf"\({name}\): Unknown layer.*custom_objects"):
        load(path)
    back = load(path, custom_objects={name: kind})
    assert type(back.layers[0]) is kind
    np.testing.assert_array_equal(back.predict(X, verbose=0), X * 3.0)


@pytest.mark.parametrize("name", ["ThresholdedReLU", "RandomWidth", "Convolution2D"])
def test_a_text_of_keras_3_names_the_class_that_it_has(name):
    """Not today's name of the old layer that is called so."""
    kind = type(name, (keras.layers.Layer,), {"call": lambda self, x: x * 3.0})
    text = keras.Sequential([keras.Input((4,)), kind()]).to_json()
    with pytest.raises(ValueError, match=rf"\({name}\): Unknown layer"):
        keras.models.model_from_json(text)
