"""Variables of whole numbers, bools and other floats in layers of layers: the weights that they are in Keras.

The numbers are those of these classes in Keras 3.15.1 on TensorFlow 2.21.
"""

import copy

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops

X = np.ones((2, 3), "float32")


class Scaled(layers.Layer):
    def __init__(self, dtype, kind, **options):
        super().__init__(**options)
        self.dtype_of_scale, self.kind, self.dense = dtype, kind, layers.Dense(3, kernel_initializer="ones")
        self.scale = kind(np.array([1, 0, 1], dtype), dtype=dtype, trainable=False)

    def call(self, x):
        return self.dense(x) * ops.cast(self.scale, "float32")


class Taken(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(3, kernel_initializer="ones")
        self.index = keras.Variable(np.array([0, 2]), dtype="int32", trainable=False)

    def call(self, x):
        return ops.take(self.dense(x), self.index, axis=1)


class Written(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, kernel_initializer="ones")
        self.scale = keras.Variable(np.array([1, 0, 1]), dtype="int32", trainable=False)

    def call(self, x):
        return self.dense(x) * ops.cast(self.scale, "float32")


def model_of(layer):
    image = keras.Input((3,))
    return keras.Model(image, layer(image))


def first(model):
    return model.predict(X, verbose=0)[0].tolist()


@pytest.mark.parametrize("kind", [keras.Variable, keras.tensorflow.Variable])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "float16", "float64"])
def test_what_is_assigned_counts_and_files_hold_it(dtype, kind, tmp_path):
    layer = Scaled(dtype, kind)
    model = model_of(layer)
    assert first(model) == [3.0, 0.0, 3.0]
    layer.scale.assign([0, 1, 1])
    assert first(model) == [0.0, 3.0, 3.0]
    weights = model.get_weights()
    assert [weight.shape for weight in weights] == [(3,), (3, 3), (3,)]
    assert weights[0].dtype == (dtype if np.dtype(dtype).kind in "biu" else "float32")
    model.set_weights([np.array([1, 1, 0], dtype), *weights[1:]])
    assert first(model) == [3.0, 3.0, 0.0]
    model.save_weights(tmp_path / "model.weights.h5")
    layer.scale.assign([0, 0, 0])
    model.load_weights(tmp_path / "model.weights.h5")
    assert first(model) == [3.0, 3.0, 0.0]
    assert len(model.trainable_weights) == 2
    assert copy.deepcopy(layer.scale).dtype == layer.scale.dtype


def test_indices_that_are_assigned_take_other_places(tmp_path):
    layer = Taken()
    model = model_of(layer)
    assert first(model) == [3.0, 3.0]
    layer.index.assign([2, 1])
    layer.dense.set_weights([np.arange(9.0).reshape(3, 3), np.zeros(3)])
    assert first(model) == [15.0, 12.0]
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Taken": Taken})
    assert first(read) == [15.0, 12.0]


def test_a_variable_of_a_model_with_a_call():
    model = Written()
    assert first(model) == [3.0, 0.0, 3.0]
    model.scale.assign([0, 2, 1])
    assert first(model) == [0.0, 6.0, 3.0]
    assert model.scale.dtype == "int32"


class Holding(layers.Layer):
    def __init__(self, make):
        super().__init__()
        self.scale = make(self)
        self.built = True

    def call(self, x):
        return x


class Reading(layers.Layer):
    """Computes with a weight of a layer within."""

    def __init__(self, make):
        super().__init__()
        self.inner, self.dense = Holding(make), layers.Dense(3, kernel_initializer="ones")

    def call(self, x):
        return self.dense(self.inner(x)) * ops.cast(self.inner.scale, "float32")


@pytest.mark.parametrize(
    "make",
    [
        lambda layer: keras.Variable(np.ones(3), dtype="int32", trainable=False),
        lambda layer: keras.Variable(np.ones(3), trainable=False),
        lambda layer: layer.add_weight(shape=(3,), dtype="int32", initializer="ones", trainable=False),
        lambda layer: layer.add_weight(shape=(3,), initializer="ones", trainable=False),
        lambda layer: layer.add_weight(shape=(3,), initializer="ones"),
    ],
)
def test_what_is_assigned_to_a_weight_of_a_layer_within_counts(make):
    layer = Reading(make)
    model = model_of(layer)
    assert first(model) == [3.0, 3.0, 3.0]
    layer.inner.scale.assign([0, 2, 1])
    assert first(model) == [0.0, 6.0, 3.0]
