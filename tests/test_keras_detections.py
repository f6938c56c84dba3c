"""Layers that turn a detector's numbers into boxes, in models of one size and of open sizes; named tuples."""

from collections import namedtuple

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import tensorflow as tf
from minicnn.keras.layers import Conv2D, Dense, Layer

# Three boxes in the same corner, and one elsewhere: of the three the best is kept.
BOXES = np.array([[[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.55], [0.05, 0, 0.5, 0.5], [0.6, 0.6, 0.9, 1.2]]], "float32")
SCORES = np.array([[[0.6], [0.9], [0.7], [0.3]]], "float32")
KEPT = [[0, 0, 0.5, 0.55], [0.6, 0.6, 0.9, 1.2], [0, 0, 0, 0]]


class Decode(Layer):
    """What keras.io's RetinaNet ends with."""

    def call(self, images, predictions):
        boxes, scores = predictions[:, :, :4], predictions[:, :, 4:]
        return tf.image.combined_non_max_suppression(tf.expand_dims(boxes, 2), scores, 5, 3, 0.5, 0.2, clip_boxes=False)


def _decoder(sizes):
    image, predictions = keras.Input(sizes), keras.Input((None, 5))
    return keras.Model([image, predictions], Decode()(image, predictions))


@pytest.mark.parametrize("sizes", [(8, 8, 3), (None, None, 3)])
@pytest.mark.parametrize("count", [1, 3])
def test_boxes_are_kept_in_each_image(sizes, count):
    given = np.concatenate([BOXES, SCORES], axis=-1)
    given = np.concatenate([given * [1, 1, 1, 1, k == 0] for k in range(count)])  # of the others none is found
    boxes, scores, classes, found = _decoder(sizes).predict([np.zeros((count, 8, 8, 3)), given], verbose=0)
    np.testing.assert_allclose(boxes[0], KEPT)
    np.testing.assert_allclose(scores[0], [0.9, 0.3, 0], rtol=1e-6)
    np.testing.assert_array_equal(classes, np.zeros((count, 3)))
    np.testing.assert_array_equal(found, [2, 0, 0][:count])
    assert not boxes[1:].any()


class Head(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = Conv2D(5, 3, strides=4, padding="same", activation="sigmoid")

    def call(self, image):
        return tf.reshape(self.conv(image), (tf.shape(image)[0], -1, 5))


def test_a_detector_takes_images_of_any_size():
    image = keras.Input((None, None, 3))
    predictions = Head()(image)
    model = keras.Model(image, [predictions, *Decode()(image, predictions)])
    for size in (8, 16):
        x = np.sin(np.arange(2 * size * size * 3)).reshape(2, size, size, 3).astype("float32")
        numbers, *made = model.predict(x, verbose=0)
        expected = tf.image.combined_non_max_suppression(
            numbers[:, :, None, :4], numbers[:, :, 4:], 5, 3, 0.5, 0.2, clip_boxes=False
        )
        assert numbers.shape == (2, (size // 4) ** 2, 5)
        for one, other in zip(made, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_what_has_no_gradient_says_so_when_it_is_trained():
    boxes, scores = keras.Input((4, 4)), keras.Input((4, 1))

    class Kept(Layer):
        def call(self, x):
            return tf.image.combined_non_max_suppression(tf.expand_dims(x[0], 2), x[1], 5, 3).nmsed_boxes

    model = keras.Model([boxes, scores], Kept()([Dense(4)(boxes), scores]))
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="combined_non_max_suppression has no gradient"):
        model.fit([BOXES, SCORES], np.zeros((1, 3, 4)), verbose=0)


Two = namedtuple("Two", "doubled total")


class Plain(Layer):
    def call(self, x):
        return Two(x * 2.0, tf.reduce_sum(x, -1))


class OfLayers(Layer):
    def __init__(self):
        super().__init__()
        self.dense = Dense(2, use_bias=False, kernel_initializer="ones")

    def call(self, x):
        y = self.dense(x)
        return Two(y, y + 1.0)


class OfModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = Dense(2, use_bias=False, kernel_initializer="ones")

    def call(self, x):
        y = self.dense(x)
        return Two(y, y + 1.0)


@pytest.mark.parametrize("kind", [Plain, OfLayers, OfModel])
def test_results_in_a_named_tuple(kind):
    x = np.array([[1.0, 2, 3], [4, 5, 6]], "float32")
    total = x.sum(-1)
    expected = [2 * x, total] if kind is Plain else [total[:, None] + [0, 0], total[:, None] + [1, 1]]
    on_arrays = kind()(x)
    assert isinstance(on_arrays, Two)
    i = keras.Input((3,))
    made = kind()(i)
    assert isinstance(made, Two)
    model = keras.Model(i, [made.doubled, made.total])
    for result in (on_arrays, model.predict(x, verbose=0)):
        for one, other in zip(result, expected, strict=True):
            np.testing.assert_array_equal(one, other)


class Joined(keras.Model):
    """Sizes that `tf.stack` joins, among which is the number of samples."""

    def __init__(self):
        super().__init__()
        self.dense = Dense(2, use_bias=False, kernel_initializer="ones")

    def call(self, x):
        n, rows, columns = tf.unstack(tf.shape(x))
        ones = tf.ones(tf.stack([n, rows, 1]))
        x = tf.concat([x, ones], -1)
        return self.dense(tf.reshape(x, tf.stack([n, -1, columns + 1])))


def test_sizes_that_are_stacked_make_a_graph(recwarn):
    x = np.arange(24, dtype="float32").reshape(2, 4, 3)
    model = Joined()
    np.testing.assert_array_equal(model(x), (x.sum(-1) + 1)[..., None] + [0, 0])
    np.testing.assert_array_equal(model.predict(x, verbose=0), (x.sum(-1) + 1)[..., None] + [0, 0])
    assert not [str(w.message) for w in recwarn if "runs on arrays" in str(w.message)]
