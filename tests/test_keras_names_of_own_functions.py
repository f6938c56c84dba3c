"""Functions of users as parts of layers: what files say of them, and names that the library has too."""

import copy
import json
import pickle

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras.saving import register_keras_serializable

X = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")


@register_keras_serializable(package="names_of_own_functions", name="softplus")
def softplus(t):
    return ops.square(t)


@register_keras_serializable(package="names_of_own_functions", name="zeros")
def zeros(shape, dtype=None, **options):
    return ops.ones(shape) * 2


@register_keras_serializable(package="names_of_own_functions", name="l2")
def l2(w):
    return ops.sum(ops.abs(w))


@register_keras_serializable(package="names_of_own_functions", name="mse")
def mse(a, b):
    return ops.mean(ops.abs(a - b), axis=-1) * 10


def both():
    """Own squares, and the library's log(1 + exp) behind them."""
    return keras.Sequential(
        [keras.Input((5,)), layers.Dense(3, activation=softplus), layers.Dense(2, activation="softplus")]
    )


def expected(model):
    k, b, m, c = (w.astype(float) for w in model.get_weights())
    return np.log1p(np.exp((X @ k + b) ** 2 @ m + c))


def test_a_name_means_the_library_s():
    model = both()
    np.testing.assert_allclose(model.predict(X, verbose=0), expected(model), rtol=1e-5)
    np.testing.assert_allclose(keras.activations.get("softplus")(X), np.log1p(np.exp(X)), rtol=1e-5)
    assert type(keras.regularizers.get("l2")).__name__ == "L2"
    assert not layers.Dense(2, kernel_initializer="zeros")(X).any()


@pytest.mark.parametrize("ending", ["keras", "h5", "safetensors"])
def test_files_keep_both(tmp_path, ending):
    model = both()
    model.save(tmp_path / f"m.{ending}")
    loaded = keras.models.load_model(tmp_path / f"m.{ending}")
    np.testing.assert_allclose(loaded.predict(X, verbose=0), expected(model), rtol=1e-5)


def test_so_do_text_and_clones():
    model = both()
    for other in (keras.models.clone_model(model), keras.models.model_from_json(model.to_json())):
        other.set_weights(model.get_weights())
        np.testing.assert_allclose(other.predict(X, verbose=0), expected(model), rtol=1e-5)


def test_initializers_are_in_clones_and_text():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3, kernel_initializer=zeros)])
    for other in (model, keras.models.clone_model(model), keras.models.model_from_json(model.to_json())):
        np.testing.assert_array_equal(other.get_weights()[0], np.full((5, 3), 2))


def test_losses():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3)])
    difference = model.predict(X, verbose=0) - 1
    for loss, value in ((mse, 10 * np.abs(difference).mean()), ("mse", np.square(difference).mean())):
        model.compile("sgd", loss)
        assert model.evaluate(X, np.ones((4, 3)), verbose=0) == pytest.approx(value, rel=1e-5)


def test_a_name_that_a_user_has_set_is_meant():
    keras.saving.get_custom_objects()["softplus"] = lambda t: t * 3
    try:
        made = layers.Dense(2, activation="softplus", kernel_initializer="ones")(X)
    finally:
        keras.saving.get_custom_objects()["softplus"] = softplus
    np.testing.assert_allclose(made[:, 0], 3 * X.sum(axis=1), rtol=1e-5)


def eighths(shape, dtype=None):
    return np.full(shape, 0.125, "float32")


def at_least_a_tenth(w):
    return np.maximum(w, 0.1)


def absolute(w):
    return ops.sum(ops.abs(w)) * 0.01


def bent(x):
    return ops.tanh(x) * 2 + x


PARTS = {
    "activation": bent,
    "kernel_initializer": eighths,
    "kernel_constraint": at_least_a_tenth,
    "kernel_regularizer": absolute,
}


def with_part(argument):
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3, **{argument: PARTS[argument]})])
    model.compile("sgd", "mse")
    return model


def trained(model):
    """The loss, and what is left of the kernel after one step."""
    losses = model.fit(X, np.zeros((4, 3)), verbose=0).history["loss"]
    return [*losses, *model.layers[0].kernel.numpy().ravel()]


@pytest.mark.parametrize("ending", ["keras", "h5", "safetensors"])
@pytest.mark.parametrize("argument", PARTS)
def test_functions_as_parts_of_layers_in_files(tmp_path, argument, ending):
    model = with_part(argument)
    model.save(tmp_path / f"m.{ending}")
    known = {function.__name__: function for function in PARTS.values()}
    loaded = keras.models.load_model(tmp_path / f"m.{ending}", custom_objects=known)
    assert trained(loaded) == pytest.approx(trained(model))
    part = getattr(loaded.layers[0], argument)
    assert part.function is PARTS[argument]


@pytest.mark.parametrize("argument", PARTS)
def test_clones_and_copies_of_configs_keep_such_functions(argument):
    model = with_part(argument)
    clone = keras.models.clone_model(model)
    copied = type(model.layers[0]).from_config(copy.deepcopy(model.layers[0].get_config()))
    for layer in (clone.layers[0], copied):
        assert getattr(layer, argument).function is PARTS[argument]
    clone.set_weights(model.get_weights())
    clone.compile("sgd", "mse")
    assert trained(clone) == pytest.approx(trained(model))


@pytest.mark.parametrize("argument", PARTS)
def test_keras_writes_such_functions_like_this(argument):
    """Noted down from Keras 3.15.1 and tf_keras 2.21; Keras 2.2 wrote the name alone."""
    name = PARTS[argument].__name__
    noted = {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}
    assert json.loads(with_part(argument).to_json())["config"]["layers"][1]["config"][argument] == noted
    for written in (noted, name):
        text = with_part(argument).to_json().replace(json.dumps(noted), json.dumps(written))
        assert json.dumps(written) in text
        model = keras.models.model_from_json(text, custom_objects={name: PARTS[argument]})
        assert getattr(model.layers[0], argument).function is PARTS[argument]


def test_keras_writes_a_registered_activation_like_this(monkeypatch):
    """Noted down from Keras 3.15.1; custom_objects may have the function by its name alone."""
    noted = {"module": "builtins", "class_name": "function", "registered_name": "function"}
    noted["config"] = "names_of_own_functions>softplus"
    text = both().to_json()
    assert [entry["config"]["activation"] for entry in json.loads(text)["config"]["layers"][1:]] == [noted, "softplus"]
    other = text.replace(noted["config"], "another>bent")
    model = keras.models.model_from_json(other, custom_objects={"bent": bent})
    assert model.layers[0].activation.function is bent
    monkeypatch.setattr("minicnn.saving.keras.functions.ACTIVATION", "AClassThatIsNotImported")
    with pytest.raises(ValueError, match="a function as an activation is run by minicnn"):
        keras.models.model_from_json(other, custom_objects={"bent": bent})


def test_a_function_that_nobody_names():
    messages = {"kernel_constraint": "as a constraint", "kernel_regularizer": "as a regularizer"}
    messages["activation"] = r"'dense_\d' \(Dense\)"
    for argument, message in messages.items():
        text = with_part(argument).to_json()
        with pytest.raises(ValueError, match=f"{message}.*custom_objects=.'{PARTS[argument].__name__}'"):
            keras.models.model_from_json(text)


def test_an_activation_called_as_one_of_the_librarys_is_none_of_keras_in_files():
    """Keras would take its own tanh for it, in silence."""

    def tanh(x):
        return x * 3.0

    model = keras.Sequential([keras.Input((5,)), layers.Dense(3, activation=tanh)])
    text = model.to_json()
    assert json.loads(text)["config"]["layers"][1]["config"]["activation"]["class_name"] == "FunctionActivation"
    again = keras.models.model_from_json(text, custom_objects={"tanh": tanh})
    assert again.layers[-1].activation.function is tanh


def test_an_activation_that_nobody_names_in_a_layers_config():
    """It was the name of no activation, with the nearest ones: what mends it is another thing."""
    config = json.loads(json.dumps(with_part("activation").layers[0].get_config()))
    with pytest.raises(ValueError, match=r"as an activation.*custom_objects=.'bent': bent"):
        layers.Dense.from_config(config)
    with keras.utils.custom_object_scope({"bent": bent}):
        assert layers.Dense.from_config(config).activation.function is bent


def test_what_is_said_of_an_activation_without_a_name_of_its_own(tmp_path):
    class Doubled:
        def __call__(self, x):
            return x * 2.0

    model = keras.Sequential([keras.Input((5,)), layers.Dense(3, activation=Doubled())])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"custom_objects=.'<.* object at .*>': ….\)"):
        keras.models.load_model(tmp_path / "model.keras")


def test_constraints_of_lambdas_are_in_pickles_and_clones():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3, kernel_constraint=lambda w: np.maximum(w, 0.2))])
    clone = keras.models.clone_model(model)
    clone.compile("sgd", "mse")
    clone.fit(X, np.zeros((4, 3)), verbose=0)
    assert clone.layers[0].kernel.numpy().min() >= np.float32(0.2)
    assert pickle.loads(pickle.dumps(model.layers[0].get_config()))["kernel_constraint"]["config"] == "<lambda>"
