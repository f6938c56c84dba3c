"""What detectors in Keras are made of: parts of pictures that boxes tell of, boxes that are kept, several results."""

import numpy as np
import pytest
from oracles import assert_close

import minicnn as mc
from minicnn import keras, layers
from minicnn.errors import ShapeError
from minicnn.keras import tensorflow as tf


class RegionPooling(keras.layers.Layer):
    """The largest numbers of quarters of what boxes (y, x, height, width), in pixels, tell of."""

    def compute_output_shape(self, shapes):
        return shapes[0][0], shapes[1][1], 2, 2, shapes[0][-1]

    def call(self, inputs):
        return tf.map_fn(self.of_one, inputs, fn_output_signature=tf.float32)

    @staticmethod
    def largest(part, ends, i, j):
        (top, bottom), (left, right) = ends[0][i : i + 2], ends[1][j : j + 2]
        return tf.reduce_max(part[top:bottom, left:right], axis=(0, 1))

    def of_one(self, inputs):
        picture, boxes = inputs
        made = []
        for box in range(boxes.shape[0]):
            y, x, height, width = (tf.cast(boxes[box, part], tf.int32) for part in range(4))
            part = picture[y : y + height, x : x + width]
            ends = (0, height // 2, height), (0, width // 2, width)
            made.append(tf.stack([[self.largest(part, ends, i, j) for j in range(2)] for i in range(2)]))
        return tf.stack(made)


def by_loops(pictures, boxes):
    """(N, boxes, 2, 2, C), one number after the other."""
    made = np.empty((*boxes.shape[:2], 2, 2, pictures.shape[-1]))
    for (n, b, i, j), _ in np.ndenumerate(made[..., 0]):
        y, x, height, width = boxes[n, b].astype(int)
        rows = (y, y + height // 2) if i == 0 else (y + height // 2, y + height)
        columns = (x, x + width // 2) if j == 0 else (x + width // 2, x + width)
        made[n, b, i, j] = pictures[n, slice(*rows), slice(*columns)].max((0, 1))
    return made


def test_parts_of_pictures_that_boxes_in_the_data_tell_of(rng):
    pictures, boxes = rng.normal(size=(3, 12, 10, 2)), np.array([[[0, 0, 4, 6], [2, 1, 9, 5]]] * 3)
    boxes[2] = [[5, 5, 5, 5], [0, 3, 2, 2]]
    expected = by_loops(np.float32(pictures), boxes)
    assert_close(RegionPooling()([np.float32(pictures), np.float32(boxes)]), expected, 1e-6)
    ends = keras.Input((12, 10, 2)), keras.Input((2, 4))
    pooled = RegionPooling()(ends)  # of zeros, no part has a size
    assert pooled.shape == (None, 2, 2, 2, 2)
    assert_close(keras.Model(ends, pooled).predict([pictures, boxes], verbose=0), expected, 1e-6)
    made = layers.Dense(1, use_bias=False)(layers.Flatten()(pooled))
    model = keras.Model(ends, made)
    model.compile("sgd", "mse")
    model.fit([pictures, boxes], np.zeros((3, 1)), verbose=0, epochs=2)


class Padded(keras.layers.Layer):
    """The boxes that are kept of each picture, in as many rows, and what the shape says in the words of Keras 1."""

    def compute_output_shape(self, shape):
        return (*shape[:1], 4, 5)

    def call(self, found):
        assert found._keras_shape[2] == 5

        def of_one(rows):
            kept = tf.image.non_max_suppression(rows[:, :4], rows[:, 4], 4, 0.5)
            return tf.pad(tf.gather(rows, kept), [[0, 4 - tf.shape(kept)[0]], [0, 0]])

        return tf.map_fn(of_one, found)


def test_boxes_that_are_kept_in_a_layer_of_ones_own(rng):
    corners = rng.random((2, 6, 2))
    found = np.concatenate([corners, corners + 0.3, rng.random((2, 6, 1))], -1).astype(np.float32)
    inputs = keras.Input((6, 5))
    made = keras.Model(inputs, Padded()(inputs)).predict(found, verbose=0)
    for rows, own in zip(found, made, strict=True):
        kept = []
        for at in np.argsort(-rows[:, 4]):
            sides = [
                np.maximum(0, np.minimum(rows[at, 2:4], rows[k, 2:4]) - np.maximum(rows[at, :2], rows[k, :2]))
                for k in kept
            ]
            if all(common.prod() / (2 * 0.09 - common.prod()) <= 0.5 for common in sides):
                kept.append(at)
        expected = np.zeros((4, 5))
        expected[: len(kept[:4])] = rows[kept[:4]]
        assert_close(own, expected, 1e-6)


def test_as_many_boxes_as_a_large_picture_has(rng):
    count = 60_000  # of which every two would be 28 GB of numbers
    corners = rng.random((count, 2)) * 1000
    boxes = np.concatenate([corners, corners + 1], -1)
    scores = rng.random(count)
    kept = tf.image.non_max_suppression(boxes, scores, 5).numpy()
    assert kept[0] == scores.argmax() and len(kept) == 5
    made = tf.image.combined_non_max_suppression(boxes[None, :, None], scores[None, :, None], 5, 5, clip_boxes=False)
    assert_close(made.nmsed_scores.numpy()[0], np.float32(scores[kept]), 1e-6)


@pytest.mark.parametrize("halves", [lambda t: tf.split(t, 2, axis=-1), lambda t: (t[:, :2], t[:, 2:])])
def test_a_function_in_a_layer_gives_several_tensors(halves, rng, tmp_path):
    x = np.float32(rng.normal(size=(2, 4)))  # as many samples as results, which once were one array
    a, b = keras.layers.Lambda(halves)(x)
    assert_close(a, x[:, :2], 0)
    assert_close(b, x[:, 2:], 0)
    inputs = keras.Input((4,))
    first, second = keras.layers.Lambda(halves)(inputs)
    assert first.shape == second.shape == (None, 2)
    model = keras.Model(inputs, first * second)
    assert_close(model.predict(x, verbose=0), x[:, :2] * x[:, 2:], 1e-6)
    model.save(tmp_path / "m.keras")
    assert_close(keras.models.load_model(tmp_path / "m.keras").predict(x, verbose=0), x[:, :2] * x[:, 2:], 1e-6)


@pytest.mark.parametrize("cls", [mc.layers.Lambda, keras.layers.Lambda])
@pytest.mark.parametrize("parts", [2, 4])
def test_a_list_with_an_entry_for_each_sample_is_one_array(cls, parts):
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    inputs, twice = mc.Input((4,)), cls(lambda t: [np.asarray(row) * 2 for row in np.asarray(t)])
    assert_close(twice(x), x * 2, 0)
    assert_close(mc.Sequential([inputs, twice])(x), x * 2, 0)
    cut = cls(lambda t: np.split(np.asarray(t), parts, axis=-1))  # of two samples, two halves
    assert [np.shape(part) for part in cut(x)] == [(2, 4 // parts)] * parts
    with pytest.raises(ShapeError, match=f"gives {parts} arrays"):
        mc.Sequential([inputs, cut])


def test_several_results_by_name_and_where_there_can_be_none():
    inputs = keras.Input((4,))
    found = keras.layers.Lambda(lambda t: {"twice": t * 2, "more": t + 1})(inputs)
    assert_close(keras.Model(inputs, found)(np.ones((3, 4)))["twice"], np.full((3, 4), 2), 0)
    with pytest.raises(ShapeError, match=r"gives 2 arrays.*needs numbers"):
        keras.layers.Lambda(lambda t: np.split(np.asarray(t), 2, axis=-1))(inputs)
    with pytest.raises(ShapeError, match=r"gives one tensor.*that gives 2"):
        keras.Sequential([inputs, keras.layers.Lambda(lambda t: (t, t)), layers.Dense(1)])


def test_lists_of_lists_on_a_tape_are_one_tensor():
    x = tf.Variable([1.0, 2.0, 3.0])
    with tf.GradientTape() as tape:
        made = tf.stack([[x[0], x[1]], [x[1] * 2, x[2]]])
        loss = tf.reduce_sum(made * made)
    assert made.numpy().tolist() == [[1, 2], [4, 3]]
    assert tape.gradient(loss, x).numpy().tolist() == [2, 20, 6]
