"""What scripts found in public did that stopped here, or did something else: in the shortest form that shows it."""

import warnings

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import callbacks, layers, metrics

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


class Seen(callbacks.Callback):
    """Counts how often it is called."""

    def __init__(self):
        super().__init__()
        self.ends, self.validated = [], None

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(epoch)
        self.validated = self.validation_data

    def on_test_end(self, logs=None):
        self.ends.append("test")

    def on_predict_end(self, logs=None):
        self.ends.append("predict")


def line():
    """A compiled model of one layer, and data for it."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    return model, np.ones((4, 3), "float32"), np.ones((4, 2), "float32")


def test_lists_of_callbacks_in_a_list():
    model, x, y = line()
    seen, stopping = Seen(), callbacks.EarlyStopping("loss", patience=0, min_delta=100.0)
    model.fit(x, y, epochs=5, verbose=0, callbacks=[[seen], [[stopping]]], validation_data=(x, y))
    assert seen.ends == ["test", 0, "test", 1]
    assert stopping.stopped_epoch == 1
    assert seen.validated[0].shape == (4, 3)
    model.evaluate(x, y, verbose=0, callbacks=([seen],))
    model.predict(x, verbose=0, callbacks=[(seen,)])
    assert seen.ends[4:] == ["test", "predict"]
    with pytest.raises(TypeError, match=r"instance of callbacks.Callback; they have no names.*Received: 'x'"):
        model.fit(x, y, callbacks=[["x"]])


def test_a_division_that_is_by_zero_only_where_sizes_are_asked_for():
    x = keras.Input((8,))
    rebuilt = layers.Dense(8, activation="sigmoid")(x)
    model = keras.Model(x, rebuilt)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model.add_loss(K.mean(8 * metrics.categorical_crossentropy(x, rebuilt)))
        model.compile("adam")
        history = model.fit(np.random.default_rng(0).random((32, 8), np.float32), verbose=0).history
    assert np.isfinite(history["loss"][0])
