"""Metrics of Keras 2.1 and 2.2 that keep something: layers with ``stateful = True``."""

import numpy as np
import pytest

from minicnn import keras

K = keras.backend


class Hits(keras.layers.Layer):
    """How many of the ones were found, over all batches since `reset_states`."""

    def __init__(self, name="hits", **kwargs):
        super().__init__(name=name, **kwargs)
        self.stateful = True
        self.count = K.variable(0, dtype="int32")

    def reset_states(self):
        K.set_value(self.count, 0)

    def __call__(self, y_true, y_pred):
        found = K.sum(K.cast(y_true, "int32") * K.cast(K.round(y_pred), "int32"))
        before = self.count * 1
        self.add_update(K.update_add(self.count, found), inputs=[y_true, y_pred])
        return before + found


class Share(keras.layers.Layer):
    """Of two others: their updates are this one's, too."""

    stateful = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hits = Hits()

    def reset_states(self):
        self.hits.reset_states()

    def __call__(self, y_true, y_pred):
        hits = self.hits(y_true, y_pred)
        self.add_update(self.hits.updates)
        return hits / 64


@pytest.fixture
def case():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(64, 6)).astype("float32"), rng.integers(0, 2, (64, 1))
    model = keras.Sequential([keras.layers.Dense(1, activation="sigmoid", input_shape=(6,))])
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy", metrics=["accuracy", Hits(), Share(name="share")])
    kernel, bias = model.get_weights()
    return model, x, y, int((((x @ kernel + bias) > 0) * y).sum())


def test_the_last_batch_s_number_counts_all_batches(case):
    model, x, y, hits = case
    assert hits > 8
    for _ in range(2):  # from 0 each time
        assert model.evaluate(x, y, batch_size=16, verbose=0)[2:] == [hits, hits / 64]
    assert model.metrics_names == ["loss", "accuracy", "hits", "share"]


def test_each_epoch_and_each_validation_begins_anew(case):
    model, x, y, hits = case
    data = x[:32], y[:32]
    expected = model.evaluate(*data, batch_size=16, verbose=0)[2]
    history = model.fit(x, y, batch_size=16, epochs=2, verbose=0, validation_data=data).history
    assert history["hits"] == [hits, hits] and history["val_hits"] == [expected, expected] and expected < hits
    assert history["share"] == [hits / 64] * 2
