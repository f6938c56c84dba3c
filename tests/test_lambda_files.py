"""`Lambda` layers in files: what they hold of a function, and which one is taken when they are read."""

import json
from functools import partial

import numpy as np
import pytest
from oracles import assert_close

import minicnn as mc
from minicnn import keras, layers
from minicnn.errors import FileFormatError
from minicnn.keras import tensorflow as tf
from minicnn.layers.lambda_layer import with_names


def scaled(x, by=1.0, **more):
    return np.sort(x) * by


def factory(by):
    def inner(x):
        return np.sort(x) * by

    return inner


class Scale:
    def __call__(self, x):
        return np.sort(x) * 3


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_what_files_hold_of_lambda_layers(suffix, tmp_path, rng):
    """Functions of one name, or without one, by the layers' names; penalties, policies and arguments as they are."""
    x, path = rng.normal(size=(3, 4)).astype(np.float32), tmp_path / f"model{suffix}"
    two, three, thing = factory(2.0), factory(3.0), Scale()
    model = mc.Sequential([layers.Input((4,))])
    for name, function in (("a", two), ("b", three), ("c", two), ("d", thing), ("e", partial(scaled, by=5))):
        model.add(layers.Lambda(function, name=name))
    with pytest.warns(UserWarning) as warned:
        model.save(path)
    said = " ".join(str(w.message) for w in warned)
    for name in "abc":
        assert f"'{name}' (Lambda) has one of several functions 'inner', of which" in said
    assert "'d' (Lambda) has a function without a name" in said and "'e' (Lambda) has a function without" in said
    own = {"a": two, "b": three, "c": two, "d": thing, "e": partial(scaled, by=5)}
    assert_close(mc.load_model(path, own).predict(x), model.predict(x), 0)
    options = {"activity_regularizer": "l2", "dtype": "mixed_bfloat16", "trainable": False}
    arguments = {"by": 2, "words": ["a", None, True], "more": {"class_name": 1.5}}
    layer = layers.Lambda(scaled, arguments=arguments, name="l", **options)
    model = mc.Sequential([layers.Input((4,)), layer, layers.Dense(2)])
    model.save(path)
    again = mc.load_model(path, {"scaled": scaled}).layers[0]
    for one in (again, mc.models.clone_model(model).layers[0]):
        assert one.get_config() == layer.get_config()
        assert one.activity_regularizer.l2 == layer.activity_regularizer.l2
        assert one.dtype_policy.name == "mixed_bfloat16" and not one.trainable
    assert again.arguments == arguments


@pytest.mark.parametrize(
    "wrong",
    [scaled, layers.ReLU(), keras.ops.sort(layers.Input((3,))).node.layer, np.ones(2), {"n": [np.ones(1)]}, {1: 2}, 1j],
)
def test_arguments_that_no_file_holds(wrong, tmp_path, recwarn, rng):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Lambda(scaled, arguments={"fn": wrong}, name="l"), keras.layers.Dense(1)]
    )
    assert model.layers[0].get_config()["arguments"]["fn"] is wrong  # in memory
    with pytest.raises(TypeError, match=r"'l' \(Lambda\) has arguments that no file holds.*Received: arguments="):
        model.save(tmp_path / "model.keras")
    model.compile("sgd", "mse")
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.h5", monitor="loss")
    model.fit(rng.normal(size=(4, 4)), np.ones((4, 1)), verbose=0, callbacks=[checkpoint])
    assert any("no file holds, ['l']" in str(w.message) for w in recwarn)
    model.load_weights(tmp_path / "best.h5")


@pytest.mark.parametrize(
    "function", [keras.ops.abs, keras.backend.argmax, keras.activations.relu, tf.math.tanh, tf.nn.elu]
)
def test_functions_of_the_library_are_named_in_files(function):
    config = {"class_name": "Lambda", "config": {"name": "l", "function": function}}
    assert with_names(config)["config"]["function"]["config"] == function.__name__
    assert not layers.Lambda(function).holds_code
    inner = layers.Lambda(keras.ops.sort(layers.Input((3,))).node.layer.function)
    assert inner.holds_code


def file_of_a_lambda(function="scaled", name="l", **config):
    entry = {"module": "builtins", "class_name": "function", "config": function, "registered_name": "function"}
    own = {"function": entry, "name": name, "trainable": True, "dtype": "float32", **config}
    layer = {"module": "keras.layers", "class_name": "Lambda", "config": own}
    start = {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [None, 4], "name": "i"}}
    return json.dumps(
        {"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": [start, layer]}}
    )


def test_which_function_a_file_may_name(rng):
    x = rng.normal(size=(2, 4)).astype(np.float32)
    read = mc.models.model_from_json
    for known in ({"scaled": scaled}, {"l": scaled}, {"scaled": scaled, "l": np.cos}, {"pkg>scaled": scaled}):
        text = file_of_a_lambda("pkg>scaled" if "pkg>scaled" in known else "scaled")
        assert_close(read(text, known).predict(x), np.sort(x), 0)
    assert_close(read(file_of_a_lambda("pkg>scaled"), {"scaled": scaled}).predict(x), np.sort(x), 0)
    for thing in (layers.Dense, mc.losses.MeanSquaredError, mc.losses.MeanSquaredError(), layers.ReLU(), 3):
        for known in ({"scaled": thing}, {"l": thing}, {"scaled": thing, "l": scaled}):
            with pytest.raises(FileFormatError, match="no function"):
                read(file_of_a_lambda(), known)
    with pytest.raises(FileFormatError, match=r"as texts\. Received: name='l'"):
        read(file_of_a_lambda(["scaled"]), {"scaled": scaled})
    with pytest.raises(FileFormatError, match=r"text|name is a string"):
        read(file_of_a_lambda(name=["l"]), {"scaled": scaled})
    with pytest.raises(FileFormatError, match=r"holds|is of") as error:
        read(file_of_a_lambda("x" * 5000))
    assert len(str(error.value)) < 600
    with pytest.raises(FileFormatError, match="only mask=None is supported"):
        read(file_of_a_lambda(mask=[1]), {"scaled": scaled})
    with pytest.raises(ValueError, match="supports mask=None only"):
        layers.Lambda(scaled, mask=np.ones(4))
    with pytest.raises(FileFormatError, match="no argument 'colour'"):
        read(file_of_a_lambda(colour=1), {"scaled": scaled})
    penalty = {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.5}, "registered_name": None}
    model = read(file_of_a_lambda(activity_regularizer=penalty), {"scaled": scaled})
    assert model.layers[-1].activity_regularizer.l2 == 0.5


def test_a_registered_function_is_found(rng):
    x = rng.normal(size=(2, 4)).astype(np.float32)
    keras.saving.register_keras_serializable("pkg")(scaled)
    try:
        text = file_of_a_lambda("pkg>scaled")
        for model in (keras.models.model_from_json(text), keras.models.model_from_config(json.loads(text))):
            assert_close(model.predict(x), np.sort(x), 0)
    finally:
        del keras.saving.get_custom_objects()["scaled"]


def test_the_last_of_a_lambdas_operations_has_its_name(rng):
    x = rng.normal(size=(3, 4)).astype(np.float32)
    inputs = keras.Input((4,))
    mine, twice = keras.layers.ReLU(name="mine"), keras.layers.Lambda(lambda z: z * 2 + 1, name="twice")
    y = keras.layers.Lambda(lambda z: (z**2 - 1) / 3, name="several")(inputs)
    y = keras.layers.Lambda(mine, name="other")(twice(twice(y)))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Lambda(lambda z: z[:, 1:])(y)))
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names) and "mine" in names and "other" not in names
    for name, expected in (("several", (x**2 - 1) / 3), ("twice", 2 * (x**2 - 1) / 3 + 1)):
        assert_close(keras.Model(inputs, model.get_layer(name).output)(x), expected, 1e-5)
    assert type(model.layers[-2]).__name__ == "GetItem" and model.layers[-2].name.startswith("lambda")
    assert [layer.name for layer in keras.models.clone_model(model).layers][1:] == names[1:]
