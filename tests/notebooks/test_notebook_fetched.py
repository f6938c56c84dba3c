"""What scripts found in public did that stopped here, or did something else: in the shortest form that shows it."""

import warnings

import numpy as np
import pytest
from minicnn.keras.applications.imagenet_utils import correct_pad, obtain_input_shape

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import callbacks, layers, metrics
from minicnn.keras import tensorflow as tf

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


class Column:
    """As a frame's column is seen: it gives NumPy an array of objects."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=object)


@pytest.mark.parametrize("made", [Column, lambda names: np.array(names, dtype=object)])
def test_names_of_files_in_a_frame(made):
    names = ["one.jpg", "zwölf.png", "three.jpg"]
    data = tf.data.Dataset.from_tensor_slices((made(names), {"age": np.array([1.0, 2.0, 3.0])})).batch(2)
    batches = list(data)
    assert [x.tolist() for x, _ in batches] == [names[:2], names[2:]]
    assert batches[0][0].numpy().tolist() == [b"one.jpg", "zwölf.png".encode()]
    assert [y["age"].tolist() for _, y in batches] == [[1.0, 2.0], [3.0]]
    assert tf.constant(made(names)).numpy().tolist() == [name.encode() for name in names]
    assert tf.convert_to_tensor(made([b"a", b"bc"])).numpy().tolist() == [b"a", b"bc"]


def test_other_objects_in_a_frame():
    numbers = tf.data.Dataset.from_tensor_slices(np.array([1, 2, 3], dtype=object))
    assert [int(n) for n in numbers] == [1, 2, 3]
    with pytest.raises(ValueError, match=r"no array of numbers or text\. Received: Column of NoneType, str"):
        tf.data.Dataset.from_tensor_slices(Column(["a.jpg", None]))


def weighted_crossentropy(weights):
    """A loss as copies of Keras 2's own have it: with the dtype of a tensor."""
    weights = K.variable(weights)

    def loss(target, output):
        output /= tf.reduce_sum(output, len(output.get_shape()) - 1, True)
        epsilon = tf.convert_to_tensor(K.epsilon(), dtype=output.dtype.base_dtype)
        output = tf.clip_by_value(output, epsilon, 1.0 - epsilon)
        assert output.dtype.is_floating
        assert output.dtype == np.float32
        assert np.result_type(output.dtype, np.float64) == np.float64
        assert {output.dtype: output.dtype.name} == {np.dtype("float32"): "float32"}
        return -tf.reduce_sum(K.cast(target, output.dtype) * tf.log(output) * weights, len(output.get_shape()) - 1)

    return loss


def test_the_base_dtype_in_a_loss():
    rng = np.random.default_rng(0)
    x, y, weights = rng.random((6, 4)), np.eye(3)[[0, 1, 2, 2, 1, 0]], np.array([1.0, 5.0, 2.0])
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    kernel = rng.normal(size=(4, 3))
    model.set_weights([kernel, np.zeros(3)])
    model.compile(keras.optimizers.SGD(0.1), weighted_crossentropy(weights))
    p = np.exp(x @ kernel) / np.exp(x @ kernel).sum(1, keepdims=True)  # (6, 3)
    expected = -(y * np.log(p) * weights).sum(1).mean()
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), expected, rtol=1e-5)
    model.fit(x, y, batch_size=6, verbose=0)
    scale = (y * weights).sum(1, keepdims=True)  # (6, 1)
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.1 * x.T @ (scale * (p - y)) / 6, rtol=1e-4, atol=1e-6)


def test_zeros_around_a_tensor_before_strides():
    sizes = [(32, 32, 3), (33, 32, 3), (None, None, 3)]
    assert [correct_pad(keras.Input(size), 3) for size in sizes] == [
        ((0, 1), (0, 1)),
        ((1, 1), (0, 1)),
        ((0, 1), (0, 1)),
    ]
    assert correct_pad(keras.Input(sizes[1]), (5, 3)) == ((2, 2), (0, 1))
    assert obtain_input_shape(None, 224, 32, "channels_last", True) == (224, 224, 3)


def test_a_normalization_with_what_tensorflow_2_asked_it():
    options = {"renorm": False, "renorm_momentum": 0.9, "virtual_batch_size": None, "fused": True, "adjustment": None}
    assert layers.BatchNormalization(momentum=0.9, **options).momentum == 0.9
    with pytest.raises(ValueError, match=r"whole batch, as in Keras 3; leave out .* Received: renorm=True"):
        layers.BatchNormalization(renorm=True)
