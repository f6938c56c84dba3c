"""Idioms of scripts of 2015 to 2020 that had not run, or had run with other numbers than in Keras."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import layers
from minicnn.keras import tensorflow as tf

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


# ------------------------------------------------------------------------------------------ names of older versions


def test_resizing_of_tensorflow_1():
    """What TensorFlow 2.21's `tf.compat.v1.image` gives for 0, 1, 2, 3 (rows) made five rows."""
    column = np.arange(4, dtype=np.float32).reshape(4, 1, 1)
    bilinear = tf.image.resize_bilinear(column, (5, 1)).ravel()
    assert np.allclose(bilinear, [0, 0.8, 1.6, 2.4, 3])
    assert np.allclose(tf.image.resize_images(column, (5, 1)).ravel(), bilinear)
    assert np.allclose(tf.image.resize_bilinear(column, (5, 1), align_corners=True).ravel(), [0, 0.75, 1.5, 2.25, 3])
    halves = tf.image.resize_bilinear(column, (5, 1), half_pixel_centers=True)
    assert np.allclose(halves, tf.image.resize(column, (5, 1)))
    assert tf.image.resize_nearest_neighbor(column, (5, 1)).ravel().tolist() == [0, 0, 1, 2, 3]
    with pytest.raises(ValueError, match="method"):
        tf.image.resize_images(column, (5, 1), method=2)


def test_resizing_of_tensorflow_1_keeps_what_it_takes():
    """The nearest pixels as they are, whatever the others hold; mixed ones are float32, also where nothing changes."""
    odd = np.array([2**24 + 1, 2**31 - 1, 3], np.int32).reshape(3, 1, 1)
    assert tf.image.resize_nearest_neighbor(odd, (6, 2))[::2, 1, 0].tolist() == odd.ravel().tolist()
    hole = np.array([1, np.nan, np.inf, 4], np.float32).reshape(4, 1, 1)
    np.testing.assert_array_equal(tf.image.resize_nearest_neighbor(hole, (8, 1))[::2], hole)
    for size in ((3, 1), (5, 1)):
        assert tf.image.resize_bilinear(odd, size).dtype == np.float32
        assert tf.image.resize_nearest_neighbor(odd, size).dtype == np.int32
    assert tf.image.resize_images(odd, (3, 1)).dtype == np.int32
    assert tf.image.resize_images(odd, (5, 1)).dtype == np.float32


@pytest.mark.parametrize("size", [(9, 12), (8, 8), (3, 5)])
def test_nearest_pixels_in_a_model(small, size):
    x, _ = small
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, layers.Lambda(lambda t: tf.image.resize_nearest_neighbor(t, size))(inputs))
    np.testing.assert_array_equal(model.predict(x, verbose=0), tf.image.resize_nearest_neighbor(x, size))


def test_map_fn_gives_the_dtype_that_is_asked_for():
    x = np.arange(6).reshape(3, 2)
    for mapped in (tf.map_fn, keras.backend.map_fn):
        assert mapped(lambda row: row[0] / 2, x, dtype="float32").dtype == np.float32
        assert mapped(lambda row: 1, x, dtype=tf.float32).tolist() == [1, 1, 1]
    one, two = tf.map_fn(lambda row: (row, row[0] > 1), x, dtype=(tf.int64, tf.float32))
    assert (one.dtype, two.dtype) == (np.int64, np.float32)
    np.testing.assert_array_equal(two, [0, 1, 1])
    assert tf.map_fn(lambda row: row, x, fn_output_signature=tf.TensorSpec((2,), tf.float32)).dtype == np.float32
    for wanted in (tf.float32, (tf.float32,) * 3):
        with pytest.raises(ValueError, match="as many as fn gives"):
            tf.map_fn(lambda row: (row, row), x, dtype=wanted)
    with pytest.raises(ValueError, match=r"as many as fn gives.* for a tuple of 2$"):
        tf.map_fn(lambda row: (row, row[0]), x, dtype=tf.float32)
    with pytest.raises(ValueError, match=r"for a EagerArray$"):
        tf.map_fn(lambda row: row, x, dtype=(tf.float32, tf.float32))
    with pytest.raises(ValueError, match=r"at least one part.* Received: no elems"):
        tf.map_fn(lambda row: row, x[:0])


def test_resizing_of_tensorflow_1_in_a_model(small):
    x, y = small
    model = keras.Sequential([layers.Conv2D(2, 3, input_shape=(8, 8, 1))])
    model.add(layers.Lambda(lambda t: tf.image.resize_bilinear(t, (9, 12))))
    assert model.output_shape == (None, 9, 12, 2)
    expected = tf.image.resize_bilinear(model.layers[0](x), (9, 12))
    assert np.allclose(model.predict(x, verbose=0), expected, atol=1e-6)
    model.add(layers.Flatten())
    model.add(layers.Dense(3, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.layers[0].get_weights()[0]
    model.fit(x, y, verbose=0, callbacks=[keras.callbacks.ProgbarLogger(count_mode="steps")])
    assert not np.allclose(before, model.layers[0].get_weights()[0])


def test_paths_of_tensorflow_python():
    from minicnn.keras.tensorflow.python.client import device_lib
    from minicnn.keras.tensorflow.python.keras.layers import Dense
    from minicnn.keras.tensorflow.python.ops import array_ops, math_ops

    assert Dense is layers.Dense
    assert array_ops.where is tf.where
    assert math_ops.reduce_sum([[1.0, 2.0]], reduction_indices=1, keep_dims=True).tolist() == [[3.0]]
    assert [device.device_type for device in device_lib.list_local_devices()] == ["CPU"]


def test_names_of_tensorflow_1():
    assert tf.mul(2.0, 3.0) == 6
    assert tf.div(7, 2) == 3 and tf.div(7.0, 2.0) == 3.5
    assert [float(part) for part in tf.unpack([1.0, 2.0])] == [1, 2]
    variable = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    assert tf.scatter_sub(variable, [1], [[1.0, 1.0]]).numpy().tolist() == [[1, 2], [2, 3]]
    assert tf.assign_add(variable, [[1.0, 1.0], [0.0, 0.0]]).numpy().tolist() == [[2, 3], [2, 3]]
    assert np.allclose(tf.nn.softmax(np.zeros((1, 4)), dim=1), 0.25)
    assert tf.zeros_like([1.0, 2.0], dtype=tf.int32).eval(session=tf.Session()).dtype == np.int32
    with tf.get_default_graph().as_default():
        assert tf.Print(variable, [variable], "now: ") is variable


def test_helpers_of_layers():
    from minicnn.keras.utils import conv_utils

    assert conv_utils.normalize_data_format(None) == K.normalize_data_format("channels_last") == "channels_last"
    assert conv_utils.normalize_tuple(2, 2, "strides") == (2, 2)
    with pytest.raises(ValueError, match="strides is a whole number from 1, or 2 of them"):
        conv_utils.normalize_tuple((1, 2, 3), 2, "strides")
    image = layers.Input((11, 11, 2))
    for padding in ("valid", "same"):
        down = layers.Conv2D(1, 3, strides=2, padding=padding)(image).shape[1]
        assert conv_utils.conv_output_length(11, 3, padding, 2) == down
        up = layers.Conv2DTranspose(1, 3, strides=2, padding=padding)(image).shape[1]
        assert conv_utils.deconv_length(11, 2, 3, padding) == up
    assert (K.backend(), K._BACKEND) == ("tensorflow", "tensorflow")


def test_convolutions_of_the_backend(small):
    x, _ = small
    kernel = np.random.default_rng(0).random((3, 3, 1, 2), np.float32)
    layer = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)
    layer.build((None, 8, 8, 1))
    layer.set_weights([kernel])
    assert np.allclose(K.depthwise_conv2d(x, kernel), layer(x), atol=1e-5)
    back = layers.Conv2DTranspose(1, 3, strides=2, padding="same", use_bias=False)
    back.build((None, 4, 4, 2))
    back.set_weights([kernel])
    small_ones = np.ones((2, 4, 4, 2), np.float32)
    assert np.allclose(
        K.conv2d_transpose(small_ones, kernel, (2, 8, 8, 1), (2, 2), "same"), back(small_ones), atol=1e-5
    )


def test_files_of_keras_2_0():
    from minicnn.keras.applications import mobilenet

    dense(units=2).save("dense.h5")
    scope = {"relu6": mobilenet.relu6, "DepthwiseConv2D": mobilenet.DepthwiseConv2D, "tf": tf}
    with keras.utils.CustomObjectScope(scope):
        assert keras.models.load_model("dense.h5").output_shape == (None, 2)
    model = keras.Sequential([layers.Conv2D(2, 3, input_shape=(8, 8, 1))])
    kernel = model.get_weights()[0]
    keras.utils.convert_all_kernels_in_model(model)
    assert (model.get_weights()[0] == kernel[::-1, ::-1]).all()


class Routing(layers.Layer):
    """A `call` that gives the name of a weight to something else, as capsules of Keras 2 do."""

    def build(self, input_shape):
        self.bias = self.add_weight(shape=(1, 3), initializer="zeros", trainable=False, name="bias")

    def call(self, inputs):
        self.bias += inputs
        return self.bias * 2.0


def test_a_weight_plus_something_of_another_shape():
    model = keras.Sequential([Routing(input_shape=(3,))])
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    for _ in range(2):
        assert np.allclose(model.predict(x, verbose=0), 2 * x)
    assert (model.get_weights()[0] == 0).all()


def test_losses_of_a_gan_that_tapes_train_by():
    """Parts are compiled with functions of other arguments, which say so once a model is fitted with them."""

    def generator_loss(fake):
        return keras.losses.binary_crossentropy(tf.ones_like(fake), fake)

    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile(loss=generator_loss, optimizer="adam")
    assert model.predict(np.zeros((2, 3)), verbose=0).shape == (2, 1)
    with pytest.raises(TypeError, match=r"called with \(y_true, y_pred\).*generator_loss\(fake\)"):
        model.fit(np.zeros((4, 3)), np.zeros((4, 1)), verbose=0)


def test_predictions_of_a_batch_with_its_targets():
    """As a generator gives it: Keras leaves the targets out."""
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    x = np.arange(12.0).reshape(4, 3)
    with pytest.warns(UserWarning, match="targets of the batch"):
        made = model.predict((x, np.zeros(4)), verbose=0)
    np.testing.assert_array_equal(made, model.predict(x, verbose=0))


def test_counts_of_elements_are_floats_of_numpy():
    """``np.floor(0.3 * len(data))`` of a data set's length, cut off as in TensorFlow."""
    data = tf.data.Dataset.range(10)
    assert len(list(data.take(np.floor(0.3 * len(data))))) == 3
    assert len(list(data.skip(np.float64(3.7)))) == 7
    assert len(list(data.repeat(np.float32(2)))) == 20
    assert len(data.take(np.ceil(2.5))) == 3
    for refused in (3.0, np.float64("nan")):
        with pytest.raises(TypeError, match="integer"):
            data.take(refused)


def test_records_by_the_names_of_tensorflow_1():
    with tf.io.TFRecordWriter("images.tfrecords") as writer:
        for i in range(6):
            picture = tf.train.Feature(bytes_list=tf.train.BytesList(value=[np.full(4, i, "float32").tobytes()]))
            feature = tf.train.Features(feature={"images": picture})
            writer.write(tf.train.Example(features=feature).SerializeToString())

    def parse(serialized):
        parsed = tf.parse_single_example(serialized=serialized, features={"images": tf.FixedLenFeature([], tf.string)})
        return tf.reshape(tf.decode_raw(parsed["images"], tf.float32), [2, 2, 1])

    data = tf.data.TFRecordDataset(filenames=["images.tfrecords"]).map(parse).batch(4, drop_remainder=True)
    images = data.make_one_shot_iterator().get_next()
    np.testing.assert_array_equal(images[:, 0, 1, 0], [0, 1, 2, 3])


def test_bfloat16_is_no_dtype_of_arrays():
    with pytest.raises(AttributeError, match="mixed_bfloat16"):
        tf.cast([1.0], tf.bfloat16)
    assert getattr(tf, "bfloat16", tf.float32) == tf.float32


def test_devices_of_a_session():
    with tf.compat.v1.Session(config=tf.compat.v1.ConfigProto()) as session:
        assert [device.device_type for device in session.list_devices()] == ["CPU"]
