"""Idioms of scripts of 2015 to 2020 that had not run, or had run with other numbers than in Keras."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def dense(inputs=3, units=1):
    return keras.Sequential([keras.layers.Dense(units, input_shape=(inputs,))])


# --------------------------------------------------------------------------------------------- operators in place


class InPlace(keras.losses.Loss):
    def call(self, y_true, y_pred):
        y_true /= 255.0
        return K.mean(K.square(y_true - y_pred), axis=-1)


class Seen(keras.metrics.Metric):
    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true -= 1.0
        y_pred *= 0.0
        y_true[...] = 7.0
        self.total = y_true

    def result(self):
        return 0.0


def scaled_loss(y_true, y_pred):
    y_true /= 255.0
    return K.mean(K.square(y_true - y_pred))


def scaled_metric(y_true, y_pred):
    y_true /= 255.0
    y_pred /= K.max(y_pred) + 1.0
    return K.mean(y_true)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("loss", [scaled_loss, InPlace()])
def test_operators_in_place_change_no_array_of_the_users(dtype, loss):
    x, y = np.ones((8, 3), dtype), np.full((8, 1), 255, dtype)
    model = dense()
    model.compile("sgd", loss, metrics=[scaled_metric, Seen(), "mae"])
    once = model.evaluate(x, y, verbose=0)
    assert once == model.evaluate(x, y, verbose=0)
    assert once[1] == 1.0
    assert once[3] == pytest.approx(np.abs(255 - model.predict(x, verbose=0)).mean(), rel=1e-6)
    model.train_on_batch(x, y)
    model.fit(x, y, validation_data=(x, y), epochs=2, batch_size=3, verbose=0)
    scaled = InPlace()(y.astype("float32"), y.astype("float32"))
    assert scaled == pytest.approx(254.0**2)
    assert (x == 1).all()
    assert (y == 255).all()
