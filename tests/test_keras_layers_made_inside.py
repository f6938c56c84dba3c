"""Layers that the `call` of a layer of one's own makes while it runs."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers

X = np.random.default_rng(0).normal(size=(16, 8, 8, 2)).astype("float32")


class Inside(layers.Layer):
    def call(self, x):
        return layers.Dense(3, name="inner")(layers.Flatten()(x))


class Kept(layers.Layer):
    """Has them in an attribute from the first call on."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def call(self, x):
        if not hasattr(self, "part"):
            self.part = self.make()
        return layers.Flatten()(self.part(x))


def test_their_weights_are_the_model_s_and_are_trained():
    model = keras.Sequential([keras.Input((8, 8, 2)), Inside()])
    assert [w.shape for w in model.weights] == [(128, 3), (3,)]
    before = model.get_weights()[0]
    model.compile("sgd", "mse")
    model.fit(X, np.ones((16, 3), "float32"), verbose=0)
    assert not np.array_equal(before, model.get_weights()[0])
    np.testing.assert_allclose(model.predict(X, verbose=0), model.predict(X, verbose=0))


def test_those_without_weights_may_be_kept():
    model = keras.Sequential([keras.Input((8, 8, 2)), Kept(layers.MaxPooling2D)])
    expected = X.reshape(16, 4, 2, 4, 2, 2).max(axis=(2, 4)).reshape(16, -1)
    np.testing.assert_array_equal(model.predict(X, verbose=0), expected)


def test_weights_that_nobody_would_train_are_refused():
    with pytest.raises(TypeError, match=r"makes a layer with weights, 'late' \(Conv2D\), while it runs"):
        keras.Sequential([keras.Input((8, 8, 2)), Kept(lambda: layers.Conv2D(2, 3, name="late"))])
