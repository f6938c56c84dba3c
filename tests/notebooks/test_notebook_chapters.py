"""Lines of textbooks on Keras that were refused, or gave something else."""

import re

import numpy as np
import pytest
from oracles import assert_close

from minicnn import keras
from minicnn.keras import layers
from minicnn.keras import tensorflow as tf


def test_random_numbers_are_shown_as_numbers():
    drawn = tf.random.uniform((2, 1))
    assert re.fullmatch(r"\[\[0\.\d+ *\]\n \[0\.\d+ *\]\]", str(drawn))
    assert re.fullmatch(r"<\w+ \(2, 1\) float32: \[\[0.*\]\]>", repr(drawn), re.S)
    assert re.fullmatch(r"0\.\d\d", f"{tf.random.uniform(()):.2f}")


def test_rows_of_a_variable():
    v = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    v.scatter_update(tf.IndexedSlices(values=[[7.0, 8.0], [9.0, 10.0]], indices=[2, 0]))
    assert v.numpy().tolist() == [[9, 10], [3, 4], [7, 8]]
    v.scatter_add(tf.IndexedSlices([[1.0, 1.0], [1.0, 1.0]], [1, 1]))
    v.scatter_sub(tf.IndexedSlices([[9.0, 10.0]], [0]))
    assert v.numpy().tolist() == [[0, 0], [5, 6], [7, 8]]
    with pytest.raises(TypeError, match=r"expected tf.IndexedSlices\(values, indices\)"):
        v.scatter_update([1.0])


def test_a_concrete_function_is_the_function():
    cube = tf.function(lambda x: x**3)
    concrete = cube.get_concrete_function(tf.TensorSpec([None], tf.float32))
    assert concrete(tf.constant([2.0])).numpy() == 8
    with pytest.raises(ImportError, match=r"no graph.*Received: \.graph"):
        concrete.graph.get_operations()


def test_a_condition_with_what_tensorflow_1_asked_for():
    assert tf.cond(tf.equal(1, 1), lambda: 2, lambda: 3, strict=True, name="chosen") == 2


def test_a_loss_of_one_argument_is_called_by_its_model():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile(optimizer="adam", loss=lambda fake: -tf.reduce_mean(fake))
    assert model.loss(tf.constant([1.0, 3.0])).numpy() == -2
    with pytest.raises(TypeError, match="loss function"):
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)


def test_one_photo_before_a_function():
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    scaled = keras.applications.xception.preprocess_input
    prepare = keras.Sequential([layers.Resizing(16, 16, crop_to_aspect_ratio=True), layers.Lambda(scaled)])
    assert prepare(photo).shape == (16, 16, 3)
    assert_close(prepare(photo), np.asarray(prepare(photo[None]))[0], 1e-5)
    assert prepare(photo[:20, :30]).shape == (16, 16, 3)
    rows = keras.Sequential([layers.Rescaling(1 / 255), layers.Lambda(lambda x: tf.reduce_sum(x, axis=1))])
    assert rows(np.ones((5, 28, 4))).shape == (5, 4)  # samples, and no photo


class Residual(layers.Layer):
    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.hidden = [layers.Dense(4, activation="relu") for _ in range(count)]

    def call(self, x):
        y = x
        for layer in self.hidden:
            y = layer(y)
        return x + y


class Regressor(keras.Model):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first, self.block, self.out = layers.Dense(4), Residual(2), layers.Dense(units)

    def call(self, x):
        return self.out(self.block(self.first(x)))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_a_model_is_loaded_by_its_class_alone(tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 4))
    model = Regressor(1)
    model.compile("nadam", "mse")
    model.fit(x, x[:, :1], verbose=0)
    model.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"custom_objects=\{'Residual'"):
        keras.models.load_model(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects={"Regressor": Regressor})
    assert type(loaded) is Regressor
    assert_close(loaded.predict(x, verbose=0), model.predict(x, verbose=0), 1e-6)
    assert loaded.fit(x, x[:, :1], verbose=0).history.keys() == {"loss"}
