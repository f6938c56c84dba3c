"""Arguments that are NumPy's scalars, strings and arrays: they mean what Python's do, and can be saved."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers, losses, metrics, optimizers, regularizers
from minicnn.optimizers import schedules

X = np.random.default_rng(0).normal(size=(8, 6, 6, 1)).astype(np.float32)


def network(text, integer, number, flag, array):
    """A network whose arguments are made by these functions."""
    return mc.Sequential(
        [
            mc.Input(array([6, 6, 1]), name=text("start")),
            layers.ZeroPadding2D(array([[1, 1], [0, 2]]), name=text("pad")),
            layers.Rescaling(number(0.5), offset=array([0.25]), name=text("scale")),
            layers.Conv2D(
                integer(4),
                array([3, 3]),
                strides=array([1, 1]),
                padding=text("same"),
                activation=text("relu"),
                use_bias=flag(True),
                kernel_regularizer=regularizers.L2(number(0.5)),
                name=text("conv"),
            ),
            layers.BatchNormalization(momentum=number(0.5), axis=integer(-1), name=text("norm")),
            layers.MaxPooling2D(array([2, 2]), strides=integer(2), name=text("pool")),
            layers.RandomRotation(array([-0.25, 0.25]), fill_mode=text("nearest"), seed=integer(3), name=text("turn")),
            layers.Reshape(array([64]), name=text("flat")),
            layers.Dropout(number(0.25), seed=integer(1), name=text("drop")),
            layers.Dense(integer(2), trainable=flag(False), name=text("last")),
        ],
        name=text("whole"),
    )


def numpy_network():
    return network(np.str_, np.int64, np.float32, np.bool_, np.array)


def python_network():
    return network(str, int, float, bool, list)


def compiled(model, number=np.float32, array=np.array):
    rate = schedules.PiecewiseConstantDecay(array([1, 2]), array([0.5, 0.25, 0.125]))
    model.compile(
        optimizers.SGD(rate, momentum=number(0.5), clipnorm=array(2.0)),
        losses.MeanSquaredError(),
        [np.str_("mae"), metrics.MeanSquaredError(name=np.str_("second"))],
        loss_weights=[number(2)],
        backend="numpy",
    )
    return model


def test_configs_are_those_of_python_s_values():
    assert numpy_network().to_json() == python_network().to_json()


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_models_are_saved(suffix, tmp_path):
    model = compiled(numpy_network())
    model.fit(X, np.zeros((8, 2)), batch_size=np.int64(4), epochs=np.int32(1), verbose=0)
    model.save(tmp_path / f"m{suffix}")
    again = mc.load_model(tmp_path / f"m{suffix}")
    again.compiled.backend_name = "numpy"
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert mc.models.model_from_json(model.to_json()).to_json() == model.to_json()


@pytest.mark.parametrize("make", [lambda: layers.Dense(np.array(4)), lambda: optimizers.Adam(np.array(0.5))])
def test_arrays_without_axes_are_numbers(make):
    assert "array" not in repr(make().get_config())
