"""Keras's files without Keras: golden files that it wrote (tests/golden/make_keras_files.py), and files that lie.

tests/test_keras_oracle_files.py has the comparisons for which Keras must be installed.
"""

import builtins
import io
import json
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from writable import copied

import minicnn as mc
from minicnn import keras, layers
from minicnn.errors import FileFormatError
from minicnn.models import written_compiled, written_metrics
from minicnn.saving import hdf5
from minicnn.saving.keras import compiled
from minicnn.saving.keras import config as keras_config
from minicnn.saving.keras.layers import NAMED_ACTIVATIONS
from minicnn.saving.keras.older import ONLY_IN_TRAINING

try:
    import h5py
except ImportError:
    h5py = None

GOLDEN = Path(__file__).parent / "golden"
BATCH = 8
EXPECTED = {3: np.load(GOLDEN / "keras3.npz"), 2: np.load(GOLDEN / "keras2.npz")}
needs_h5py = pytest.mark.skipif(h5py is None, reason="needs h5py")


def expected(name):
    """(inputs, labels, what Keras predicts, its next losses)."""
    values = EXPECTED[int(name[5])]
    return values["x"], values["y"], values[f"{name}/predicted"], values.get(f"{name}/losses", [])


# --------------------------------------------------------------------------------------------- files that Keras wrote


@pytest.mark.parametrize(
    "name",
    [
        "keras3.keras",
        "keras3.h5",
        "keras3_sgd.keras",
        "keras2.keras",
        "keras2.h5",
        "keras2_legacy_adam.h5",
        "keras2_legacy_sgd.h5",
        "keras2_adagrad.keras",
        "keras3_augmentation.keras",
        "keras2_augmentation.h5",
    ],
)
def test_models_from_keras_go_on(name):
    x, y, predicted, losses = expected(name)
    model = mc.load_model(GOLDEN / name)
    np.testing.assert_allclose(model.predict(x), predicted, atol=1e-5)
    for number, loss in enumerate(losses):
        batch = slice(BATCH * number, BATCH * (number + 1))
        assert np.ravel(model.train_on_batch(x[batch], y[batch]))[0] == pytest.approx(loss, abs=1e-4)


@pytest.mark.parametrize("name", ["keras3.weights.h5", "keras2.weights.h5", "keras2_weights.h5"])
def test_weights_from_keras(name):
    x, _, predicted, _ = expected(name)
    model = mc.load_model(GOLDEN / f"keras{name[5]}.keras")
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    model.load_weights(GOLDEN / name)
    np.testing.assert_allclose(model.predict(x), predicted, atol=1e-5)


def test_weights_go_by_structure_where_the_names_are_others():
    model = mc.load_model(GOLDEN / "keras3_sgd.keras")
    other = mc.Sequential(
        [
            layers.Conv2D(3, 2, input_shape=(9, 8, 2), name="a"),
            layers.Flatten(),
            layers.Dense(5, activation="softmax", name="b"),
        ]
    )
    other.load_weights(GOLDEN / "keras3_sgd.keras")
    x = expected("keras3_sgd.keras")[0]
    np.testing.assert_array_equal(other.predict(x), model.predict(x))


def test_what_was_compiled_comes_along():
    model = mc.load_model(GOLDEN / "keras3.keras")
    assert isinstance(model.optimizer, mc.optimizers.Adam)
    assert isinstance(model.optimizer.learning_rate, mc.optimizers.schedules.ExponentialDecay)
    assert model.optimizer.iterations == 10
    assert isinstance(model.loss, mc.losses.SparseCategoricalCrossentropy)
    assert [w.name for w in model.get_layer("frozen").trainable_weights] == []
    assert model.get_layer("first").kernel_regularizer.l2 == pytest.approx(1e-3)
    legacy = mc.load_model(GOLDEN / "keras2_legacy_adam.h5").optimizer
    assert legacy.learning_rate(10) == pytest.approx(0.01 / (1 + 1e-2 * 10))
    assert mc.load_model(GOLDEN / "keras3.keras", compile=False).compiled is None


# ------------------------------------------------------------------------------------------------ there and back


def examples():
    for name, cls in sorted(layers.CLASSES.items()):
        if hasattr(cls, "examples"):
            for number, (layer, shapes) in enumerate(cls.examples()):
                yield pytest.param(layer, shapes, id=f"{name} {number}")


@needs_h5py
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("layer, shapes", list(examples()))
def test_every_layer_there_and_back(layer, shapes, suffix, rng, tmp_path):
    inputs = [mc.Input(shape) for shape in shapes]
    model = mc.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
    model.set_weights([rng.uniform(0.5, 1, w.shape) for w in model.get_weights()])
    model.save(tmp_path / f"model{suffix}")
    model.save_weights(tmp_path / "model.weights.h5")
    back = mc.load_model(tmp_path / f"model{suffix}")
    xs = [rng.normal(size=(3, *shape)).astype(np.float32) for shape in shapes]
    xs = xs if len(xs) > 1 else xs[0]
    np.testing.assert_array_equal(back.predict(xs), model.predict(xs))
    back.set_weights([np.zeros_like(w) for w in back.get_weights()])
    back.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(back.predict(xs), model.predict(xs))
    if type(layer).__name__ not in NAMED_ACTIVATIONS:  # Activation layers in Keras
        assert _plain(back.layers[-1].get_config()) == _plain(layer.get_config())


def _plain(config):
    """A config with Keras's spelling of what does not matter, also within layers of layers."""
    if isinstance(config, dict):
        return {name: _plain(value) for name, value in config.items() if name != "data_format"}
    inside = isinstance(config, list) and all(isinstance(value, dict) for value in config)
    return [_plain(value) for value in config] if inside else json.dumps(config)


METRICS = ["accuracy", "sparse_top_k_categorical_accuracy"]


@needs_h5py
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "Adagrad", "Adadelta", "RMSprop"])
def test_training_goes_on_to_the_same_bits(optimizer, suffix, tmp_path):
    x, y, *_ = expected("keras3.keras")
    model = mc.load_model(GOLDEN / "keras3.keras")
    model.compile(getattr(mc.optimizers, optimizer)(0.01), "sparse_categorical_crossentropy", METRICS)
    model.fit(x, y, 16, epochs=2, verbose=0)
    model.save(tmp_path / f"model{suffix}")
    back = mc.load_model(tmp_path / f"model{suffix}")
    assert back.history.history == model.history.history
    back.fit(x, y, 16, verbose=0)
    model.fit(x, y, 16, verbose=0)  # shuffled: the random position came along too
    for a, b in zip(back.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@needs_h5py
def test_layout_is_that_of_keras(tmp_path):
    """The same groups, names, shapes and values as Keras's own file, from which the model came."""
    model = mc.load_model(GOLDEN / "keras3.keras")
    model.save(tmp_path / "model.keras")
    ours, theirs = (_stored(path) for path in (tmp_path / "model.keras", GOLDEN / "keras3.keras"))
    assert set(ours[1]) == set(theirs[1])
    for path, array in theirs[1].items():
        np.testing.assert_array_equal(ours[1][path], array, path)
        assert ours[1][path].dtype == array.dtype
    written, original = ours[0]["config"], theirs[0]["config"]
    assert [entry["name"] for entry in written["layers"]] == [entry["name"] for entry in original["layers"]]
    assert written["input_layers"] == original["input_layers"]
    assert written["output_layers"] == original["output_layers"]
    for a, b in zip(written["layers"], original["layers"], strict=True):
        assert (a["module"], a["class_name"]) == (b["module"], b["class_name"])
        assert [_histories(node) for node in a["inbound_nodes"]] == [_histories(node) for node in b["inbound_nodes"]]
        for name in set(a["config"]) - {"dtype", "layers", "activation"}:
            assert a["config"][name] == b["config"][name] or name.endswith(("initializer", "regularizer"))


def _stored(path):
    with zipfile.ZipFile(path) as archive:
        root = hdf5.read(archive.read("model.weights.h5"))
        return json.loads(archive.read("config.json")), {d.path: d.read() for d in hdf5.datasets(root)}


@needs_h5py
def test_adafactor_keeps_places_for_vectors_as_keras_does(tmp_path):
    """From the third on: r, c, v of the kernel, two whole numbers, v of the bias; files without these are read."""
    h5py = pytest.importorskip("h5py")
    model = mc.Sequential([mc.Input((4,)), layers.Dense(3)])
    model.compile(mc.optimizers.Adafactor(0.01), "mse")
    x, y = np.arange(20.0).reshape(5, 4), np.ones((5, 3))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.keras")
    arrays = _stored(tmp_path / "m.keras")[1]
    state = [arrays[f"optimizer/vars/{i}"] for i in range(8)]
    assert [a.shape for a in state] == [(), (), (4,), (3,), (4, 3), (), (), (3,)]
    assert [a.dtype for a in state] == [np.int64, *[np.float32] * 4, np.int32, np.int32, np.float32]
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (tmp_path / "older.h5").write_bytes(parts["model.weights.h5"])
    with h5py.File(tmp_path / "older.h5", "r+") as file:
        group = file["optimizer/vars"]
        del group["5"], group["6"]
        group.move("7", "5")
    with zipfile.ZipFile(tmp_path / "older.keras", "w") as archive:
        for name, part in (parts | {"model.weights.h5": (tmp_path / "older.h5").read_bytes()}).items():
            archive.writestr(name, part)
    again = [mc.load_model(tmp_path / name) for name in ("m.keras", "older.keras")]
    for each in (model, *again):
        each.fit(x, y, verbose=0)
    for weights in zip(*(each.get_weights() for each in (model, *again)), strict=True):
        np.testing.assert_array_equal(weights[1:], weights[:1] * 2)


class Scaled(layers.Layer):
    """Times a weight that is one number."""

    def build(self, input_shapes):
        self.add_weight("factor", (), "ones")
        return input_shapes[0]

    def forward(self, xs, ws):
        np.multiply(xs[0], ws.params["factor"], out=ws.y)

    def backward(self, dy, ws):
        np.multiply(dy, ws.params["factor"], out=ws.dxs[0])
        ws.grads["factor"][...] = (dy * ws.xs[0]).sum()


@needs_h5py
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "Adafactor", "Nadam"])
def test_the_state_of_a_weight_that_is_one_number(optimizer, suffix, tmp_path):
    """Shape () in the file too, where iterations, rates and placeholders have it as well."""
    model = mc.Sequential([mc.Input((4,)), layers.Dense(3), Scaled(), layers.Dense(2)])
    model.compile(getattr(mc.optimizers, optimizer)(0.01), "mse")
    x, y = np.linspace(0, 1, 20).reshape(5, 4), np.ones((5, 2))
    model.fit(x, y, epochs=3, verbose=0)
    model.save(tmp_path / f"m{suffix}")
    back = mc.load_model(tmp_path / f"m{suffix}", custom_objects={"Scaled": Scaled})
    for each in (model, back):
        each.fit(x, y, verbose=0)
    for mine, other in zip(model.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
        assert mine.shape == other.shape


def _histories(node):
    tensors = node["args"][0] if isinstance(node["args"][0], list) else node["args"]
    return [tensor["config"]["keras_history"] for tensor in tensors]


@needs_h5py
def test_float64_stays_float64(rng, tmp_path):
    mc.utils.set_floatx("float64")
    model = mc.Sequential([layers.Dense(3, input_shape=(4,)), layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    mc.utils.set_floatx("float32")
    back = mc.load_model(tmp_path / "model.keras")
    x = rng.normal(size=(5, 4))
    assert back.weights[0].dtype == np.float64
    np.testing.assert_array_equal(back.predict(x), model.predict(x))


@needs_h5py
def test_many_and_long_names(tmp_path):
    """More names than one HDF5 attribute holds; letters outside ASCII."""
    names = [f"{'largo_ñ_' * 25}{number}" for number in range(400)]
    model = mc.Sequential([mc.Input((1,)), *(layers.Dense(1, use_bias=False, name=name) for name in names)])
    model.save(tmp_path / "model.h5")
    assert [layer.name for layer in mc.load_model(tmp_path / "model.h5").layers] == names


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
def test_without_h5py_writing_says_what_to_install(suffix, tmp_path, monkeypatch):
    def refuse(name, *args, **kwargs):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    model = mc.Sequential([layers.Dense(1, input_shape=(1,))])
    save = model.save_weights if suffix == ".weights.h5" else model.save
    with pytest.raises(ImportError, match=r"pip install minicnn\[keras\]"):
        save(tmp_path / f"model{suffix}")
    assert list(tmp_path.iterdir()) == []
    mc.load_model(GOLDEN / "keras3_sgd.keras")  # reading needs none


# ----------------------------------------------------------------------------------------------- what Keras can say


def keras_dense(**arguments):
    return {"class_name": "Dense", "config": {"name": "d", "units": 2} | arguments}


def read_stack(*entries):
    """The model that Keras 2 would describe with these layers."""
    first = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4, 4, 2], "name": "i"}}
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [first, *entries]}}
    return mc.models.files.model_from_config(keras_config.model_from_keras(config))


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"class_name": "Lambda", "config": {"name": "f", "function": ["4wEAAA==", None, None]}}, "'f' .*code"),
        (keras_dense(activation="glu"), "'d' .*glu"),
        (keras_dense(activation={"module": "os", "class_name": "function", "config": "system"}), "'d' .*system"),
        (keras_dense(dtype="bfloat16"), "'d'.*bfloat16"),
        (keras_dense(dtype={"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}), "'d'.*Quantized"),
        (keras_dense(lora_rank=4), "'d' .*lora_rank"),
        (keras_dense(surprise=1), "'d' .*surprise"),
        (keras_dense(units="2"), "units"),
        (
            {
                "class_name": "Conv2D",
                "config": {"name": "c", "filters": 1, "kernel_size": 1, "data_format": "first"},
            },
            "channels_last",
        ),
        ({"class_name": "BatchNormalization", "config": {"name": "b", "renorm": True}}, "'b' .*renorm"),
        ({"class_name": "LSTM", "config": {"name": "l", "units": 3}}, "LSTM"),
        ({"class_name": "Flatten", "config": ["x"]}, "Flatten"),
        ({"class_name": None, "config": {}}, "class name"),
    ],
)
def test_what_is_not_here_is_named(entry, message):
    with pytest.raises(ValueError, match=message):
        read_stack(entry)


def test_old_spellings():
    stack = [
        {"class_name": "Conv2D", "config": {"name": "c", "filters": 2, "kernel_size": [1, 1], "activation": "linear"}},
        {"class_name": "BatchNormalizationV2", "config": {"name": "b", "axis": [3], "fused": True}},
        {"class_name": "LeakyReLU", "config": {"name": "l", "alpha": 0.1}},
    ]  # fmt: skip
    stack[0]["config"]["batch_input_shape"] = [None, 4, 4, 1]
    model = mc.models.files.model_from_config(
        keras_config.model_from_keras({"class_name": "Sequential", "config": stack})
    )
    assert model.input_shape == (None, 4, 4, 1)
    assert model.get_layer("l").negative_slope == 0.1
    read = compiled.compile_from_keras(
        {
            "loss": "categorical_crossentropy",
            "metrics": ["acc"],
            "optimizer_config": {"class_name": "Adam", "config": {"lr": 0.5, "decay": 0.0, "amsgrad": False}},
        },
        ["l"],
    )
    assert read["optimizer"] == {"class_name": "Adam", "config": {"learning_rate": 0.5, "amsgrad": False}}
    assert read["loss"] == [{"class_name": "categorical_crossentropy", "config": {}}]
    assert read["metrics"] == [["acc"]]


@pytest.mark.parametrize(
    "metrics, outputs, wanted",
    [
        ({"b": ["mse"]}, ["a", "b"], [[], ["mse"]]),
        ([["accuracy"], ["mse"]], ["a", "b"], [["accuracy"], ["mse"]]),
        (["accuracy"], ["a", "b"], [["accuracy"], ["accuracy"]]),
        ([[{"class_name": "MeanMetricWrapper", "config": {"name": "acc", "fn": "categorical_accuracy"}}]], ["a"],
         [[{"class_name": "categorical_accuracy", "config": {"name": "acc"}}]]),
    ],
)  # fmt: skip
def test_metrics_of_several_outputs(metrics, outputs, wanted):
    config = {"loss": "mse", "optimizer": "sgd", "metrics": metrics}
    assert compiled.compile_from_keras(config, outputs)["metrics"] == wanted


@needs_h5py
@pytest.mark.parametrize("value", [False, True])
def test_arguments_that_keras_does_not_have_are_left_out(value, tmp_path):
    """Its classes refuse a config that has them; what they would have said is told."""
    model = mc.Sequential([mc.Input((3,)), layers.Dense(4)])
    metric = mc.metrics.TopKCategoricalAccuracy(2, from_sorted_ids=value)
    sparse = mc.metrics.SparseTopKCategoricalAccuracy(2, from_sorted_ids=value)
    model.compile(mc.optimizers.Muon(flatten_kernels=value), "mse", metrics=[metric, sparse])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))["compile_config"]
    assert sum("left out of the file" in str(warning.message) for warning in caught) == 2 * value
    assert "flatten_kernels" not in config["optimizer"]["config"]
    assert ["from_sorted_ids" in entry["config"] for entry in config["metrics"]] == [False, True]


def test_an_unknown_initializer_does_not_matter():
    with pytest.warns(UserWarning, match="Spiral"):
        read_stack(keras_dense(kernel_initializer={"class_name": "Spiral", "config": {"gain": 1.0}}))


def test_mixed_precision_is_said():
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    with pytest.warns(UserWarning, match="float32"):
        read_stack(keras_dense(dtype=policy))


def policy_map(default, **policies):
    """As Keras 3.15 writes it."""
    parts = {path: {"class_name": "DTypePolicy", "config": {"name": name}} for path, name in policies.items()}
    config = {"default_policy": default, "policy_map": parts}
    return {"module": "keras.dtype_policies", "class_name": "DTypePolicyMap", "config": config, "registered_name": None}


def test_a_map_of_policies_is_the_one_that_is_in_it():
    assert read_stack(keras_dense(dtype=policy_map("mixed_bfloat16"))).layers[0].dtype_policy.name == "mixed_bfloat16"
    assert read_stack(keras_dense(dtype=policy_map("float64", dense="float64"))).weights[0].dtype == "float64"
    with pytest.raises(FileFormatError, match="the dtype is one of"):
        read_stack(keras_dense(dtype=policy_map("float32", dense="float64")))
    with pytest.raises(FileFormatError, match="the dtype is one of"):
        read_stack(keras_dense(dtype=policy_map(policy_map("float32"))))


def test_layers_of_two_dtypes_are_of_the_wider_one():
    with pytest.warns(UserWarning, match="is computed in float64"):
        model = read_stack(keras_dense(dtype="float64"), keras_dense(name="second", dtype="float32"))
    assert {weight.dtype for weight in model.weights} == {np.dtype("float64")}


@pytest.mark.parametrize("loss", [{"other": "mse"}, ["mse", "mse"], {"class_name": 3}, 7])
def test_without_compile_the_loss_does_not_matter(loss, tmp_path):
    path = edited("keras3_sgd.keras", tmp_path, lambda config: config["compile_config"].update(loss=loss))
    with pytest.warns(UserWarning, match="read without what it was compiled with"):
        assert mc.load_model(path).compiled is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mc.load_model(path, compile=False).built


def test_a_file_holds_no_argument_of_muon_that_keras_refuses():
    config = mc.optimizers.Muon(0.1, ns_steps=3).get_config()
    entry = compiled.optimizer_to_keras({"class_name": "Muon", "config": config})
    assert entry["config"] == {name: value for name, value in config.items() if name != "flatten_kernels"}
    assert mc.optimizers.Muon(**compiled.optimizer_from_keras(entry)["config"]).get_config() == config


def test_a_file_that_names_no_optimizer_is_compiled_with_keras_s_default(tmp_path):
    """Keras 3.15.1 writes such a one of a model that it wrote as .h5 before; its loss and metrics are there."""
    path = edited("keras3_sgd.keras", tmp_path, lambda config: config["compile_config"].pop("optimizer"))
    with pytest.warns(UserWarning, match="does not say which optimizer .* default, RMSprop, whose state begins anew"):
        model = mc.load_model(path)
    whole = mc.load_model(GOLDEN / "keras3_sgd.keras")
    assert (type(model.optimizer).__name__, model.optimizer.iterations) == ("RMSprop", 0)
    assert whole.optimizer.iterations > 0  # of which the file has the state
    assert [type(loss) for loss in model.compiled.losses] == [type(loss) for loss in whole.compiled.losses]
    assert len(model.compiled.metrics[0]) == len(whole.compiled.metrics[0])
    for nothing in ({}, None):  # of a model that is not compiled
        path = edited("keras3_sgd.keras", tmp_path, lambda config: config.update(compile_config=nothing))  # noqa: B023
        assert mc.load_model(path).compiled is None


def test_the_state_of_another_optimizer_is_not_taken(tmp_path):
    """As many variables may be there: a file says whose they are, also where a class compiles its models itself."""
    other = {"class_name": "RMSprop", "config": {"learning_rate": 0.5}}
    path = edited("keras3_sgd.keras", tmp_path, lambda config: config["compile_config"].update(optimizer=other))
    with pytest.warns(UserWarning, match="begins anew: the file has the state of SGD, .* compiled with RMSprop"):
        model = mc.load_model(path)
    assert (type(model.optimizer).__name__, model.optimizer.iterations) == ("RMSprop", 0)


def test_an_optimizer_may_be_called_as_another_one(tmp_path):
    """``SGD(name="adam")`` is written under that name in both places, by Keras 3.15.1."""
    expected = mc.load_model(GOLDEN / "keras3_sgd.keras").optimizer.iterations
    path = edited(
        "keras3_sgd.keras",
        tmp_path,
        lambda config: config["compile_config"]["optimizer"]["config"].update(name="adam"),
        lambda file: file["optimizer/vars"].attrs.update(name="adam"),
    )
    model = mc.load_model(path)
    assert (type(model.optimizer).__name__, model.optimizer.iterations) == ("SGD", expected)
    assert expected > 0


def test_an_optimizer_that_is_not_known(tmp_path):
    evil = {"class_name": "Evil", "config": {}}
    path = edited("keras3_sgd.keras", tmp_path, lambda config: config["compile_config"].update(optimizer=evil))
    with pytest.warns(UserWarning, match="compiled with: .*Evil"):
        assert mc.load_model(path).compiled is None


def huber(y_true, y_pred):
    """A user's function, which a class of the library has the name of; so have the next ones."""
    return y_true * y_pred + 4


def iou(y_true, y_pred):
    return np.mean(y_true * y_pred)


def precision(y_true, y_pred):
    return np.mean(y_true * y_pred) + 3


OWN = {"huber": huber, "iou": iou, "precision": precision}
FOUR = {"loss": 8.0, "iou": 4.0, "precision": 7.0}  # where the output is 4 and the target is 1


def _of_ones():
    model = mc.Sequential([layers.Input((4,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", huber, metrics=[iou, precision])
    return model


def _measured(model):
    return model.evaluate(np.ones((4, 4), "float32"), np.ones((4, 1), "float32"), verbose=0, return_dict=True)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_functions_with_names_of_the_library_come_back_as_a_loss_and_metrics(tmp_path, suffix):
    if suffix == ".h5":
        pytest.importorskip("h5py")
    _of_ones().save(path := str(tmp_path / f"m{suffix}"))
    assert _measured(mc.load_model(path, custom_objects=OWN)) == pytest.approx(FOUR)


def _function(name):
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


def _wrapper(name):
    return {"class_name": "MeanMetricWrapper", "config": {"name": name, "dtype": "float32", "fn": name}}


# as tf_keras 2.21 and Keras 3.15.1 wrote them of a model of such functions: .keras; .h5 of Keras 2, of Keras 3
WRITTEN = [
    (_function("huber"), [_function("iou"), _function("precision")]),
    ("huber", [[_wrapper("iou"), _wrapper("precision")]]),
    ("huber", ["iou", "precision"]),
]


@pytest.mark.parametrize("loss, metrics", WRITTEN)
def test_functions_with_names_of_the_library_come_back_from_files_of_keras(loss, metrics):
    model = _of_ones()
    with mc.registry.custom_object_scope(OWN):
        written_compiled.compile_as(
            model, compiled.compile_from_keras({"optimizer": "sgd", "loss": loss, "metrics": metrics}, ["dense"])
        )
    assert _measured(model) == pytest.approx(FOUR)


def test_of_functions_that_nobody_gives_keras_has_losses_and_no_metrics_that_are_classes():
    """As in Keras, where "huber" is a function too; it has no function "precision", and stops."""
    loss, metrics = WRITTEN[0]
    names = ["mean_absolute_error", "accuracy", "root_mean_squared_error"]
    told = {"optimizer": "sgd", "loss": loss, "metrics": [*metrics, *map(_function, names)]}
    model = _of_ones()
    with pytest.warns(UserWarning, match="'precision' is a function, which no file can hold"):
        written_compiled.compile_as(model, compiled.compile_from_keras(told, ["dense"]))
    assert _measured(model) == pytest.approx({"loss": 2.5, "mean_absolute_error": 3.0})  # Huber's, of a distance of 3


def test_keras_is_told_of_a_function_by_its_name(tmp_path):
    """Keras 3.15.1 reads this with custom_objects; it knows no class FunctionLoss."""
    _of_ones().save(path := tmp_path / "m.keras")
    with zipfile.ZipFile(path) as file:
        told = json.loads(file.read("config.json"))["compile_config"]
    found = [(entry["module"], entry["class_name"], entry["config"]) for entry in [told["loss"], *told["metrics"]]]
    assert found == [("builtins", "function", name) for name in ("huber", "iou", "precision")]


def test_a_loss_of_ones_own_needs_custom_objects(tmp_path):
    def rename(config):
        config["compile_config"]["loss"] = {
            "module": "mine",
            "class_name": "Mine",
            "config": {},
            "registered_name": "x>Mine",
        }

    class Mine(mc.losses.MeanSquaredError):
        pass

    path = edited("keras3_sgd.keras", tmp_path, rename)
    with pytest.warns(UserWarning, match="compiled with: .*Mine"):
        assert mc.load_model(path).compiled is None
    assert mc.load_model(path, compile=False).compiled is None
    assert isinstance(mc.load_model(path, custom_objects={"Mine": Mine}).loss, Mine)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_registered_class_has_the_name_that_keras_looks_for(tmp_path, suffix):
    from minicnn import keras

    @keras.saving.register_keras_serializable("my_package", "Doubling")
    class TwiceAsMuch(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    model, path = keras.Sequential([keras.Input((3,)), TwiceAsMuch()]), tmp_path / f"model{suffix}"
    model.save(path)
    if suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            entry = json.loads(archive.read("config.json"))["config"]["layers"][1]
        assert (entry["class_name"], entry["registered_name"]) == ("TwiceAsMuch", "my_package>Doubling")
    else:
        with h5py.File(path) as file:
            entry = json.loads(file.attrs["model_config"])["config"]["layers"][1]
        assert entry["class_name"] == "my_package>Doubling"
    again = keras.models.load_model(path)
    np.testing.assert_array_equal(again.predict(np.ones((1, 3)), verbose=0), [[2, 2, 2]])


# ------------------------------------------------------------------------------------------------------ hostile: zip


def edited(name, folder, edit_config=None, edit_weights=None, members=(), compression=zipfile.ZIP_STORED):
    """A copy of a golden .keras file with another config, other weights or further members."""
    with zipfile.ZipFile(GOLDEN / name) as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    config = json.loads(contents["config.json"])
    if edit_config is not None:
        edit_config(config)
        contents["config.json"] = json.dumps(config).encode()
    if edit_weights is not None:
        buffer = io.BytesIO(contents["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            edit_weights(file)
        contents["model.weights.h5"] = buffer.getvalue()
    path = folder / "edited.keras"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore")
        for member, content in [*contents.items(), *members]:
            archive.writestr(member, content)
    return path


def refused(path, message):
    with pytest.raises(FileFormatError, match=message):
        mc.load_model(path)


def set_units(config):
    config["config"]["layers"][-1]["config"]["units"] = 10**13


def repeat_layer(config):
    config["config"]["layers"].append(config["config"]["layers"][-1])


@pytest.mark.parametrize(
    "edit, message",
    [
        (set_units, "more numbers than the file holds"),
        (repeat_layer, "was built with a kernel of shape"),
        (lambda config: config.update(class_name="Model2", module="os"), "Sequential or functional"),
        (lambda config: config["config"].update(layers=[[]]), "list of layers"),
        (
            lambda config: config["config"]["layers"][0]["config"].update(batch_shape=[None, None, 8, 2]),
            "would have a size that is known only",
        ),
        (lambda config: config["compile_config"]["optimizer"]["config"].update(momentum=0.0), None),
    ],
)
def test_edited_configs(edit, message, tmp_path):
    path = edited("keras3_sgd.keras", tmp_path, edit)
    if message is None:  # fewer state vectors are wanted than there are: what is not needed is not read
        assert mc.load_model(path).optimizer.iterations == 10
    else:
        refused(path, message)


def test_archives_that_lie(tmp_path):
    with zipfile.ZipFile(GOLDEN / "keras3_sgd.keras") as archive:
        weights = archive.read("model.weights.h5")
    refused(edited("keras3_sgd.keras", tmp_path, members=[("config.json", b"{}")]), "two members")
    refused(edited("keras3_sgd.keras", tmp_path, members=[(f"x{i}", b"") for i in range(1000)]), "members")
    assert mc.load_model(edited("keras3_sgd.keras", tmp_path, members=[("../../x", b"y")])).built
    assert list(tmp_path.iterdir()) == [tmp_path / "edited.keras"]
    for content in (b"\0" * 10**8, weights + b"\0" * 10**8):
        path = tmp_path / "bomb.keras"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("config.json", b"{}")
            archive.writestr("model.weights.h5", content)
        refused(path, "too many")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("config.json", b"{}")
        archive.writestr("model.weights.h5", weights)
    refused(path, "stored or deflated")
    path.write_bytes(b"PK\5\6" + bytes(18))
    refused(path, "needs config.json")
    path.write_bytes(b"nothing of the kind")
    refused(path, "zip")
    copied(GOLDEN / "keras3_sgd.keras", path)
    path.write_bytes(path.read_bytes()[:-1000])
    refused(path, "zip")


def test_compressed_archives_are_read(tmp_path):
    path = edited("keras3_sgd.keras", tmp_path, compression=zipfile.ZIP_DEFLATED)
    x, _, predicted, _ = expected("keras3_sgd.keras")
    np.testing.assert_allclose(mc.load_model(path).predict(x), predicted, atol=1e-5)


# ----------------------------------------------------------------------------------------------------- hostile: HDF5

KERNEL = "layers/dense/vars/0"


def replace(value=None, **options):
    """An edit that puts another dataset in the place of a kernel."""

    def edit(file):
        shape = file[KERNEL].shape
        del file[KERNEL]
        file.create_dataset(KERNEL, **({"shape": shape, "dtype": "f4"} | options), data=value)

    return edit


def link(target):
    def edit(file):
        del file[KERNEL]
        file[KERNEL] = target(file)

    return edit


def virtual(file):
    layout = h5py.VirtualLayout(file[KERNEL].shape, "f4")
    layout[...] = h5py.VirtualSource("/etc/passwd", "x", file[KERNEL].shape)
    del file[KERNEL]
    file.create_virtual_dataset(KERNEL, layout)


def cycle(file):
    file["layers/dense/vars/again"] = file["layers"]


def delete(file):
    del file[KERNEL]


def add(file):
    file["layers/dense/vars/7"] = np.ones(3, "f4")


def add_layer(file):
    file["layers/dense_9/vars/0"] = np.ones(3, "f4")


def fill_with_nan(file):
    file[KERNEL][0] = np.nan


@needs_h5py
@pytest.mark.parametrize(
    "edit, message",
    [
        (link(lambda file: h5py.SoftLink("/layers/conv2d/vars/0")), "soft links"),
        (link(lambda file: h5py.ExternalLink("/etc/passwd", "/x")), "external"),
        (link(lambda file: np.dtype("f4")), "header"),
        (virtual, "virtual dataset"),
        (replace(external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED if h5py else 0)]), "external files"),
        (replace(chunks=True), "chunks"),
        (replace(np.zeros((168, 5), "f4"), compression="gzip"), "filters"),
        (replace(shape=(2**40, 2**20)), "bytes|layers"),
        (replace(np.zeros((5, 168), "f4"), shape=(5, 168)), "another shape"),
        (replace(dtype="i4", value=np.zeros((168, 5), "i4")), "floating-point"),
        (replace(dtype="c8", value=np.zeros((168, 5), "c8")), "data type"),
        (replace(dtype=h5py.string_dtype() if h5py else None), "data type"),
        (cycle, "twice"),
        (delete, "missing: dense.*/kernel"),
        (add, "not in the model: dense/vars 7"),
        (add_layer, "not in the model: layers/dense_9"),
        (fill_with_nan, "finite"),
    ],
)
def test_edited_weights(edit, message, tmp_path):
    refused(edited("keras3_sgd.keras", tmp_path, edit_weights=edit), message)


@needs_h5py
def test_other_floats_are_converted(tmp_path):
    values = np.linspace(-1, 1, 840).reshape(168, 5)
    path = edited("keras3_sgd.keras", tmp_path, edit_weights=replace(values, dtype=">f8"))
    np.testing.assert_array_equal(mc.load_model(path).layers[-1].kernel.numpy(), values.astype("f4"))


def test_old_files_that_lie(tmp_path):
    pytest.importorskip("h5py")

    def check(edit, message):
        path = copied(GOLDEN / "keras2_legacy_adam.h5", tmp_path / "edited.h5")
        with h5py.File(path, "r+") as file:
            edit(file)
        refused(path, message)

    def one_vector_less(file):
        names = file["optimizer_weights"].attrs["weight_names"]
        file["optimizer_weights"].attrs["weight_names"] = names[:-1]

    check(lambda file: file.attrs.__setitem__("model_config", "{"), "JSON")
    check(lambda file: file.attrs.__setitem__("model_config", np.zeros(3)), "text")
    check(lambda file: file.attrs.__delitem__("model_config"), "weights alone")
    check(lambda file: file["model_weights"].attrs.__setitem__("layer_names", [b"other"] * 2), "no group|two layers")
    check(lambda file: file["model_weights"].__delitem__("dense"), "no group")
    check(one_vector_less, "compile=False")


def of_optimizer(number, value):
    """Another array in the place of an optimizer's variable; without one, none."""

    def edit(file):
        del file[f"optimizer/vars/{number}"]
        if value is not None:
            file[f"optimizer/vars/{number}"] = value

    return edit


@needs_h5py
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (of_optimizer(0, np.float32(3)), "an optimizer's first variable is its number of steps"),
        (of_optimizer(0, np.int64([3])), "an optimizer's first variable is its number of steps"),
        (of_optimizer(0, np.int64(-1)), "an optimizer's number of steps is not negative. Received: -1"),
        (of_optimizer(1, None), "an optimizer's variables are called 0"),
        (of_optimizer(2, np.zeros((5, 168), "f4")), "the optimizer's state does not fit"),
    ],
)
def test_states_of_optimizers_that_lie(edit, message, tmp_path):
    path = edited("keras3_sgd.keras", tmp_path, edit_weights=edit)
    refused(path, message)
    mc.load_model(path, compile=False)


def naming(group, attribute, names):
    return lambda file: file[group].attrs.__setitem__(attribute, names)


def no_group(file):
    del file["model_weights"]
    file["model_weights"] = np.zeros(3, "f4")


@needs_h5py
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (naming("model_weights", "layer_names", [b"dense"] * 2), "the file has two layers called 'dense'"),
        (naming("model_weights", "layer_names", np.zeros(2)), "'layer_names' of the HDF5 group .* is a list of names"),
        (naming("model_weights/dense", "weight_names", [b"a"]), "has no array 'a', or names it twice"),
        (naming("model_weights/dense", "weight_names", [b"dense/kernel:0"] * 2), "names it twice"),
        (no_group, "'model_weights' is no group"),
    ],
)
def test_names_in_old_files_that_lie(edit, message, tmp_path):
    path = copied(GOLDEN / "keras2_legacy_adam.h5", tmp_path / "edited.h5")
    with h5py.File(path, "r+") as file:
        edit(file)
    refused(path, message)


# ------------------------------------------------------------------------------------------- the reader against h5py

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)
ARRAYS = hnp.arrays(
    st.sampled_from(["<f4", ">f8", "<f2", "<i8", ">u2", "i1"]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
TREES = st.recursive(ARRAYS, lambda child: st.dictionaries(NAMES, child, max_size=14), max_leaves=30)


@needs_h5py
@given(
    tree=st.dictionaries(NAMES, TREES, max_size=14),
    attributes=st.dictionaries(NAMES, TEXTS | st.lists(TEXTS, min_size=1)),
)
def test_reader_agrees_with_h5py(tree, attributes):
    def write(group, tree):
        for name, value in tree.items():
            if isinstance(value, dict):
                write(group.create_group(name.encode()), value)
            else:
                group.create_dataset(name.encode(), data=value)

    def compare(group, tree):
        assert set(group.members) == set(tree)
        for name, value in tree.items():
            if isinstance(value, dict):
                compare(group.members[name], value)
            else:
                array = group.members[name].read()
                np.testing.assert_array_equal(array, value)
                assert array.dtype == value.dtype.newbyteorder("=")

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file, tree)
        for name, value in attributes.items():
            file.attrs[name] = value
    root = hdf5.read(buffer.getvalue())
    compare(root, tree)
    assert root.attributes == attributes


@needs_h5py
def test_backslashes_in_names(tmp_path):
    """The reader keeps them; a group "a\\b" of Keras on Windows is b in a, whatever else names may hold."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for number, name in enumerate(("\\", "a\\b", "c\\")):
            file[name] = np.float32(number)
    root = hdf5.read(buffer.getvalue())
    assert set(root.members) == {"\\", "a\\b", "c\\"}
    root = hdf5.with_slashes(root)
    assert [root.find(path).read() for path in ("\\", "a/b", "a\\b", "c\\")] == [0, 1, 1, 2]
    for name in ("\\", "a\\b", "c\\"):
        model = mc.Sequential([mc.Input((2,)), layers.Dense(2, name=name)])
        model.save(tmp_path / "m.h5")
        copy = mc.load_model(tmp_path / "m.h5")
        np.testing.assert_array_equal(copy.get_weights()[0], model.get_weights()[0])


@needs_h5py
def test_files_of_another_hdf5_layout():
    """The same tree in the newest layout: read, or refused by name where it is spread over the file."""
    for count, message in ((5, None), (40, "stored densely")):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", libver="latest") as file:
            for number in range(count):
                file[f"g/{number}"] = np.full(3, number, "f4")
            file.attrs["name"] = "x"
        if message is None:
            root = hdf5.read(buffer.getvalue())
            assert [root.find(f"g/{n}").read()[0] for n in range(count)] == list(range(count))
            assert root.attributes == {"name": "x"}
        else:
            with pytest.raises(FileFormatError, match=message):
                hdf5.read(buffer.getvalue())


def hdf5_file(fill, **options):
    """The bytes of a file that `fill` writes with h5py."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        fill(file)
    return bytearray(buffer.getvalue())


def lying(fill, old, new, **options):
    """Such a file in which some bytes are others, wherever they stand."""
    data = hdf5_file(fill, **options)
    assert len(old) == len(new) and old in data
    return bytes(data.replace(old, new))


def two_members(file):
    file["ab"], file["ac"] = np.zeros(2, "f4"), np.ones(2, "f4")


def two_attributes(file):
    file.attrs["attribute_1"], file.attrs["attribute_2"] = 1, 2


def one_array(file):
    file["x"] = np.ones(7919, "f4")


def nothing(file):
    pass


def deep(file):
    file.create_group("/".join("a" * 66))


def packed(*numbers):
    return struct.pack(f"<{len(numbers)}Q", *numbers)


@needs_h5py
@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (lambda: lying(two_members, b"ac\0", b"ab\0"), "the HDF5 group '' has two members called 'ab'"),
        (lambda: lying(two_attributes, b"attribute_2", b"attribute_1"), "has the attribute 'attribute_1' twice"),
        (lambda: lying(one_array, packed(7919, 7919), packed(7918, 7919)), r"\(7918,\) needs 31672.*Received: 31676"),
        (lambda: lying(one_array, packed(7919, 7919), packed(2**62, 7919)), "'x' has an impossible shape"),
        (lambda: lying(nothing, b"HDF\r\n\x1a\n\0", b"HDF\r\n\x1a\n\4"), "superblock version 4 is not known"),
        (lambda: lying(nothing, b"OHDR\2", b"OHDR\3", libver="latest"), "object header version 3 is not known"),
        (lambda: bytes(hdf5_file(deep)), "nested more than 64 deep"),
    ],
)
def test_structures_that_lie(lie, message):
    """As HDF5's specification has them (version 3.0: II.A, III.C, IV.A.1, IV.A.2), with one number or name changed."""
    with pytest.raises(FileFormatError, match=message):
        hdf5.read(lie())


@needs_h5py
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_arrays_that_keras_seldom_writes(libver):
    """Booleans, nothing at all, and what lies in the header itself, as h5py writes and reads them."""

    def fill(file):
        file["truth"], file["nothing"] = np.array([True, False, True]), h5py.Empty("f4")
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((2, 3))
        inside = h5py.h5d.create(file.id, b"inside", h5py.h5t.IEEE_F32LE, space, layout)
        inside.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(6, dtype="f4").reshape(2, 3))

    root = hdf5.read(bytes(hdf5_file(fill, libver=libver)))
    assert root.find("truth").read().tolist() == [1, 0, 1]
    assert root.find("nothing").read().shape == (0,)
    np.testing.assert_array_equal(root.find("inside").read(), [[0, 1, 2], [3, 4, 5]])


@needs_h5py
def test_groups_of_windows_that_meet(tmp_path):
    """ "a\\b" and "a/c" are one group a; two arrays of one name, or an array where a group is, are refused."""

    def read(*names):
        def fill(file):
            for number, name in enumerate(names):
                file[name] = np.float32(number)
                file[name].parent.attrs[f"of {number}"] = number

        return hdf5.with_slashes(hdf5.read(bytes(hdf5_file(fill))))

    root = read("a/c", "a\\b", "g\\a/x", "g/a/y")
    assert [root.find(path).read() for path in ("a/b", "a/c", "g/a/x", "g/a/y")] == [1, 0, 2, 3]
    assert set(root.find("g/a").attributes) == {"of 2", "of 3"}
    for names in (("a/b", "a\\b"), ("g/a/x", "g\\a/x"), ("g/a", "g\\a/x")):
        with pytest.raises(FileFormatError, match=r"the HDF5 data names '.*' twice"):
            read(*names)
    with pytest.raises(FileFormatError, match=r"the HDF5 group 'a.*' lies in an array"):
        read("a", "a\\b\\c")


def test_every_prefix_and_many_flips_are_refused_or_read(rng):
    """No other error than the documented one, wherever a file is cut or one of its bits turned."""
    data = (GOLDEN / "keras2_augmentation.h5").read_bytes()
    for end in range(0, len(data), 7):
        with pytest.raises(FileFormatError):
            hdf5.read(data[:end])
    for _ in range(3000):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] ^= 1 << rng.integers(8)
        try:
            for dataset in hdf5.datasets(hdf5.read(damaged)):
                dataset.read()
        except FileFormatError:
            pass


@needs_h5py
def test_shared_texts_and_data_are_counted():
    """Many attributes that share one long text, many datasets that share their bytes: bombs without compression."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["texts"] = ["x" * 60_000, *(f"{i:05d}" for i in range(2000))]
    data = bytearray(buffer.getvalue())
    first = data.find(struct.pack("<I", 60_000))
    reference = bytes(data[first : first + 16])
    for number in range(1, 2001):
        data[first + 16 * number : first + 16 * number + 16] = reference
    with pytest.raises(FileFormatError, match="more text than the file"):
        hdf5.read(bytes(data))


@needs_h5py
def test_shared_data_is_counted():
    """Many datasets over the same bytes."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        first = file.create_dataset("first", data=np.ones(10_000, "f4"))
        for number in range(9):
            file.create_dataset(f"again{number}", (10_000,), "f4")  # takes no room until it is written
        address = first.id.get_offset()
    nowhere, there = (struct.pack("<QQ", place, 40_000) for place in (2**64 - 1, address))
    data = buffer.getvalue()
    assert data.count(nowhere) == 9
    with pytest.raises(FileFormatError, match="more data than the file"):
        hdf5.read(data.replace(nowhere, there))


def nested_output(call_of, output_of, index):
    """A functional model of two calls of a nested one, the second of which is the output, as Keras writes it."""
    end = {
        "class_name": "InputLayer",
        "config": {"batch_shape": [None, 3], "name": "x"},
        "name": "x",
        "inbound_nodes": [],
    }
    dense = keras_dense(units=3) | {"name": "d", "inbound_nodes": [call_of("x", 0)]}
    inner = {"name": "n", "layers": [end, dense], "input_layers": ["x", 0, 0], "output_layers": ["d", 0, 0]}
    nested = {"class_name": "Functional", "config": inner, "name": "n", "inbound_nodes": [call_of("x", 0)]}
    nested["inbound_nodes"].append(call_of("n", index))
    outer = {"name": "m", "layers": [end, nested], "input_layers": ["x", 0, 0], "output_layers": ["n", output_of, 0]}
    return {"class_name": "Functional", "config": outer}


def call_2(name, index):
    return [[name, index, 0, {}]]


def call_3(name, index):
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "keras_history": [name, index, 0]}}
    return {"args": [tensor], "kwargs": {"training": None}}


@pytest.mark.parametrize("call, index", [(call_2, 1), (call_3, 0)], ids=["Keras 2", "Keras 3"])
@pytest.mark.parametrize("times", [1, 2])
def test_calls_of_nested_models_are_counted_as_keras_does(call, index, times, rng):
    """Output 1 is the first call for either Keras; among the inputs of layers, Keras 3 counts from 0."""
    model = mc.models.files.model_from_config(keras_config.model_from_keras(nested_output(call, times, index)))
    x, (kernel, bias) = rng.normal(size=(4, 3)), [w.astype(np.float64) for w in model.get_weights()]
    y = x
    for _ in range(times):
        y = y @ kernel + bias
    np.testing.assert_allclose(model.predict(x), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mask", [None, [None, None], {"a": None, "b": None}, [None, {"a": [None]}]])
def test_masks_that_are_none(mask):
    """Keras 3 writes one for each input of a model that is called as a layer: a list where the inputs are one."""
    entry = nested_output(call_3, 1, 0)
    for call in entry["config"]["layers"][1]["inbound_nodes"]:
        call["kwargs"]["mask"] = mask
    assert mc.models.files.model_from_config(keras_config.model_from_keras(entry)).predict(np.ones((2, 3))).shape == (
        2,
        3,
    )


def test_masks_that_are_tensors_are_refused():
    entry = nested_output(call_3, 1, 0)
    entry["config"]["layers"][1]["inbound_nodes"][0]["kwargs"]["mask"] = [None, call_3("x", 0)["args"][0]]
    with pytest.raises(ValueError, match=r"Unknown argument of a call.*'mask'"):
        mc.models.files.model_from_config(keras_config.model_from_keras(entry))


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".weights.h5", ".safetensors"])
@pytest.mark.parametrize(
    "name", [".", "..", "top_level_model_weights", "a\0b", "\ud800", "a\nb", "größe", "weight_names"]
)
@pytest.mark.parametrize("is_nested", [False, True])
def test_a_name_is_kept_or_refused_but_never_lost(is_nested, name, suffix, tmp_path):
    """What is written can be read; ".." was written to .h5, and refused by whoever read it."""
    dense, path = mc.layers.Dense(3, name=name), tmp_path / f"model{suffix}"
    inner = [mc.Sequential([mc.Input((4,)), dense], name="inner")] if is_nested else [dense]
    model = mc.Sequential([mc.Input((4,)), *inner])
    model.compile("sgd", "mse")
    try:
        (model.save_weights if "weights" in suffix else model.save)(path)
    except ValueError as error:
        assert suffix != ".safetensors" and "cannot hold a layer of this name" in str(error)
        assert not path.exists()
        return
    assert suffix != ".h5" or is_nested or name in ("a\nb", "größe", "weight_names")
    before = model.get_weights()
    model.set_weights([0 * w for w in before])
    model.load_weights(path)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    if "weights" not in suffix:
        again = mc.load_model(path)
        np.testing.assert_array_equal(again.get_weights()[0], before[0])
        last = again.layers[-1].layers[-1] if is_nested else again.layers[-1]
        assert last.name == name


def test_what_is_left_out_of_a_file_is_not_here():
    assert not set(ONLY_IN_TRAINING) & layers.CLASSES.keys()


def test_a_model_under_a_name_of_weights(tmp_path):
    """Keras writes and reads a whole model as HDF5 under any name that ends in .h5."""
    path = copied(GOLDEN / "keras2_legacy_adam.h5", tmp_path / "best.weights.h5")
    expected = keras.models.load_model(GOLDEN / "keras2_legacy_adam.h5")
    assert_same_weights(keras.models.load_model(path), expected)
    assert_same_weights(mc.load_model(path), expected)
    expected.save(tmp_path / "own.weights.h5")
    back = keras.models.load_model(tmp_path / "own.weights.h5")
    assert_same_weights(back, expected)
    assert back.optimizer is not None
    back.set_weights([weight * 0 for weight in back.get_weights()])
    back.load_weights(tmp_path / "own.weights.h5")
    assert_same_weights(back, expected)
    expected.save_weights(tmp_path / "alone.weights.h5")
    with pytest.raises(FileFormatError, match="weights alone"):
        keras.models.load_model(tmp_path / "alone.weights.h5")


@pytest.mark.parametrize("weights_alone", [False, True])
def test_a_checkpoint_under_a_name_of_weights(weights_alone, tmp_path):
    """Of a whole model, if nothing else is said, as in Keras."""
    model = keras.models.load_model(GOLDEN / "keras2_legacy_adam.h5")
    path, shape = tmp_path / "best.weights.h5", (4, *model.input_shape[1:])
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=weights_alone)
    x = np.ones(shape, "float32")
    model.fit(x, np.arange(4), verbose=0, callbacks=[checkpoint])
    other = keras.models.load_model(GOLDEN / "keras2_legacy_adam.h5")
    other.load_weights(path)
    assert_same_weights(other, model)
    if weights_alone:
        with pytest.raises(FileFormatError, match="weights alone"):
            keras.models.load_model(path)
    else:
        assert_same_weights(keras.models.load_model(path), model)


def assert_same_weights(model, other):
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def _apart(y_true, y_pred, factor=1.0):
    return factor * np.abs(y_true - y_pred)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_files_hold_functions_as_metrics_under_other_names_and_with_arguments(tmp_path, suffix):
    """Keras 3.15.1 writes {"class_name": "MeanMetricWrapper", "config": {"fn": function, "name": name, …}}."""
    losses, wrapper = keras.losses, keras.metrics.MeanMetricWrapper
    wanted = [
        wrapper(losses.mean_absolute_error),
        wrapper(losses.mean_absolute_error, name="err"),
        wrapper(losses.mean_absolute_error, name="mean_absolute_error"),
        wrapper(losses.huber, name="half", delta=0.5),
        wrapper(_apart, name="away"),
        wrapper(_apart, name="twice", factor=2.0),
        wrapper(_apart, name="_apart"),
    ]
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse", metrics=wanted)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = keras.models.load_model(path, custom_objects={"_apart": _apart})
    said = read.evaluate(np.ones((2, 3)), np.zeros((2, 1)), verbose=0, return_dict=True)
    numbers = {"mean_metric_wrapper": 3.0, "err": 3.0, "half": 1.375, "away": 3.0, "twice": 6.0, "_apart": 3.0}
    numbers["mean_absolute_error"] = 3.0
    assert said == pytest.approx({"loss": 9.0} | numbers)
    with pytest.warns(UserWarning, match="metric '_apart' is a function, which no file can hold"):
        read = keras.models.load_model(path)
    assert sorted(read.evaluate(np.ones((2, 3)), np.zeros((2, 1)), verbose=0, return_dict=True)) == [
        *("err", "half", "loss", "mean_absolute_error", "mean_metric_wrapper"),
    ]


def test_functions_as_metrics_are_read_from_what_keras_writes():
    """The compile_config of ``MeanMetricWrapper(keras.losses.huber, delta=0.5)`` as Keras 3.15.1 wrote it."""
    function = {"module": "builtins", "class_name": "function", "config": "huber", "registered_name": "function"}
    config = {"name": "mean_metric_wrapper_2", "dtype": "float32", "fn": function, "delta": 0.5}
    written = {"module": "keras.metrics", "class_name": "MeanMetricWrapper", "config": config, "registered_name": None}
    made = compiled.compile_from_keras({"optimizer": "sgd", "loss": "mse", "metrics": [written]}, ["out"])["metrics"]
    (metric,) = written_metrics.metrics_from(made[0])
    metric.update_state(np.zeros((2, 1)), np.full((2, 1), 3.0))
    assert metric.name == "mean_metric_wrapper_2" and metric.result() == pytest.approx(1.375)
    del config["dtype"]
    assert compiled.metric_to_keras(next(written_metrics.plain_metrics([metric]))) == written
