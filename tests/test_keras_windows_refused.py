"""Windows that are samples in a layer's `call`, where it is no graph: errors, arrays in a keras.Model, or Keras's way.

What Keras refuses, and its numbers, are those of Keras 3.15.1 on TensorFlow 2.21.
"""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops

X = np.arange(2 * 4 * 4 * 2, dtype="float32").reshape(2, 4, 4, 2)


def rows_of(x):
    return ops.reshape(x, (-1, 2))


def images_of(rows):
    return ops.reshape(rows, (-1, 4, 4, 2))


def layer_of(function):
    """A layer with this `call`, and parts."""

    class Own(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.dense, self.dropout = layers.Dense(2, kernel_initializer="identity"), layers.Dropout(0.5)

        def call(self, x, training=None):
            return function(self, x, training)

    return Own()


def model_of(function):
    image = keras.Input((4, 4, 2))
    return keras.Model(image, layer_of(function)(image))


class Around(keras.Model):
    """A model with a `call` of its own, which may run on arrays."""

    def __init__(self, function):
        super().__init__()
        self.own = layer_of(function)

    def call(self, x, training=None):
        return self.own(x, training=training)


WRONG = {
    "as many rows as images": lambda s, x, t: images_of(s.dense(ops.reshape(x, (ops.shape(x)[0], 2)))),
    "seven rows": lambda s, x, t: images_of(s.dense(ops.reshape(x, (7, 2)))),
    "one row": lambda s, x, t: images_of(s.dense(ops.reshape(x, (1, 2)))),
    "seven images": lambda s, x, t: ops.reshape(s.dense(rows_of(x)), (7, 4, 4, 2)),
    "as many columns": lambda s, x, t: images_of(ops.reshape(s.dense(rows_of(x)), (ops.shape(x)[0], 4, 2))),
}


@pytest.mark.parametrize("make", [model_of, lambda function: Around(function).predict(X, verbose=0)])
@pytest.mark.parametrize("name", WRONG)
def test_another_number_of_samples_than_the_rest_makes_is_refused(name, make):
    with pytest.raises(ValueError, match="with -1 as their number"):
        make(WRONG[name])


def test_the_number_of_images_may_be_said():
    model = model_of(lambda s, x, t: ops.reshape(s.dense(rows_of(x)), (ops.shape(x)[0], 4, 4, 2)))
    np.testing.assert_array_equal(model.predict(X, verbose=0), X)


REFUSED = {
    "a layer for both": (lambda s, x, t: s.dense(x) + images_of(s.dense(rows_of(x))), "for both", 4032.0, 1333.5),
    "a loss": (
        lambda s, x, t: (s.add_loss(ops.mean(rows_of(x) ** 2)), s.dense(x))[1],
        "add_loss and add_metric take",
        2016.0,
        1333.5,
    ),
    "a norm over all rows": (
        lambda s, x, t: (lambda rows: images_of(s.dense(rows / ops.norm(rows, axis=0))))(rows_of(x)),
        "as many samples as it gets",
        9.7595215,
        1320.62134,
    ),
    "a product over all rows": (
        lambda s, x, t: (lambda rows: images_of(s.dense(rows @ ops.einsum("ni,nj->ij", rows, rows) / 1e5)))(rows_of(x)),
        "as many samples as it gets",
        1720.535,
        28.721914,
    ),
}


@pytest.mark.filterwarnings("ignore:call of model")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_graph_is_said_and_a_keras_model_runs_on_arrays(name):
    function, message, total, loss = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        model_of(function)
    model = Around(function)
    np.testing.assert_allclose(model.predict(X, verbose=0).sum(), total, rtol=1e-6)
    model.compile("sgd", "mse")
    np.testing.assert_allclose(model.evaluate(X, X, verbose=0), loss, rtol=1e-5)


def test_a_token_for_each_image_joins_no_windows():
    def call(layer, x, training):
        return images_of(layer.dense(rows_of(x) + ops.tile(np.ones((1, 2), "float32"), (ops.shape(x)[0], 1))))

    with pytest.raises(ValueError, match="repeats for each sample"):
        model_of(call)
    with pytest.raises(ValueError, match=r"repeats for each sample|broadcast"):  # as Keras
        Around(call).predict(X, verbose=0)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_an_axis_as_long_as_the_batch_of_the_trial_is_none_of_samples(size):
    class OverAll(layers.Layer):
        def call(self, x):
            return ops.sum(x * 2.0, axis=0)

    rows = keras.Input((size,))
    with pytest.raises(ValueError, match="as many samples as it gets"):
        layers.Lambda(lambda x: ops.norm(x, axis=0))(rows)
    with pytest.raises(ValueError, match="as many samples as it gets"):
        OverAll()(rows)


def test_dropout_of_windows_if_training():
    def call(layer, x, training):
        rows = rows_of(x)
        if training:
            rows = layer.dropout(rows)
        return images_of(layer.dense(rows))

    model = model_of(call)
    np.testing.assert_array_equal(model.predict(X, verbose=0), X)
    dropped = np.asarray(model(X + 1.0, training=True))
    zeros = dropped == 0
    assert 0.1 < zeros.mean() < 0.9
    np.testing.assert_allclose(dropped[~zeros], 2.0 * (X + 1.0)[~zeros])
