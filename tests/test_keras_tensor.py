"""``keras.KerasTensor``, made by hand; facts of Keras 3.15."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops


def test_it_says_shape_dtype_and_name():
    made = keras.KerasTensor((None, 3), dtype="int32", name="a")
    assert (tuple(made.shape), made.dtype, made.name, made.ndim) == ((None, 3), "int32", "a", 2)
    assert tuple(keras.KerasTensor((2, 3)).shape) == (2, 3)
    assert keras.KerasTensor((2, 3)).dtype == "float32"


def test_tensors_of_a_model_are_of_the_class():
    assert isinstance(keras.Input((3,)), keras.KerasTensor)
    assert isinstance(layers.Dense(2)(keras.Input((3,))), keras.KerasTensor)
    assert not isinstance(np.ones(3), keras.KerasTensor)
    assert keras.utils.is_keras_tensor(keras.KerasTensor((None, 3)))
    assert tuple(ops.add(keras.KerasTensor((None, 3)), 1).shape) == (None, 3)


class Halved(layers.Layer):
    def call(self, x):
        return x[:, ::2]

    def compute_output_spec(self, x):
        return keras.KerasTensor((x.shape[0], x.shape[1] // 2), x.dtype)


def test_it_is_the_shape_that_a_layer_gives():
    assert tuple(Halved()(keras.Input((6,))).shape) == (None, 3)
    x = np.arange(12.0).reshape(2, 6)
    model = keras.Sequential([keras.Input((6,)), Halved()])
    np.testing.assert_array_equal(model.predict(x, verbose=0), x[:, ::2])


def test_what_it_does_not_take():
    for wrong in (lambda: keras.KerasTensor(()), lambda: keras.KerasTensor((2, 3), sparse=True)):
        with pytest.raises(ValueError, match="a shape with the batch axis"):
            wrong()


def test_layers_are_numbered_as_without_it():
    keras.backend.clear_session()
    keras.KerasTensor((None, 3))
    assert keras.Input((3,)).node.layer.name == "input_layer"


def test_its_dtype_is_one():
    assert keras.KerasTensor((None, 2), np.int32).dtype == "int32"
    with pytest.raises((TypeError, ValueError), match="floaty"):
        keras.KerasTensor((None, 2), "floaty")
