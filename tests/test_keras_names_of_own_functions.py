"""Functions that are registered under a name of the library's: the name alone is the library's, as in Keras 3.15."""

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
