"""``keras.utils.split_dataset``, `normalize` and `to_categorical`: what Keras 3.15.1 gives on TensorFlow."""

import random

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import tensorflow as tf

X, Y = np.arange(12.0, dtype="float32").reshape(6, 2), np.arange(6)
split = keras.utils.split_dataset


def numbers(parts):
    return tuple([np.asarray(each).tolist() for each in part.as_numpy_iterator()] for part in parts)


def labels(parts):
    return tuple([np.asarray(y).tolist() for _, y in part.as_numpy_iterator()] for part in parts)


def pairs():
    return tf.data.Dataset.from_tensor_slices((X, Y))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (0.5, None, ([0, 1, 2], [3, 4, 5])),
        (None, 0.75, ([0, 1], [2, 3, 4, 5])),  # round(4.5) is 4
        (0.25, None, ([0, 1], [2, 3, 4, 5])),  # and round(1.5) is 2
        (0.1, None, ([0], [1, 2, 3, 4, 5])),
        (0.3, 0.3, ([0, 1], [4, 5])),
        (2, 3, ([0, 1], [3, 4, 5])),
        (1, 0.5, ([0], [3, 4, 5])),
        (0.58, 0.42, ([0, 1, 2], [3, 4, 5])),
    ],
)
def test_sizes(left, right, expected):
    assert numbers(split(Y, left, right)) == expected


@pytest.mark.parametrize(
    ("left", "right"),
    [
        *((None, None), (0, None), (6, None), (-1, None), (1.0, None), (0.05, None), (0.95, None), (0.9, 0.9), (4, 4)),
        *(("a", None), (True, None), (0.5, 0.51)),
    ],
)
def test_what_no_sizes_are(left, right):
    with pytest.raises(ValueError, match="Received: left_size="):
        split(Y, left, right)


def test_the_order_is_that_of_kerass_seeds():
    assert numbers(split(Y, 0.5, shuffle=True, seed=7)) == ([4, 0, 5], [3, 1, 2])
    assert labels(split((X, Y), 0.5, shuffle=True, seed=0)) == ([4, 2, 1], [0, 5, 3])
    assert labels(split(pairs(), right_size=2, shuffle=True, seed=3)) == ([0, 2, 3, 5], [4, 1])
    random.seed(5)
    assert numbers(split(Y, 0.5, shuffle=True)) == ([1, 4, 0], [5, 2, 3])
    assert numbers(split(Y, 0.5, seed=7)) == ([0, 1, 2], [3, 4, 5])


def test_batches_are_divided_by_samples_and_made_again():
    assert labels(split(pairs().batch(2), 0.5)) == ([[0, 1], [2]], [[3, 4], [5]])
    assert labels(split(pairs().batch(4), 0.4)) == ([[0, 1]], [[2, 3, 4, 5]])
    by_batches = split(pairs().batch(2).map(lambda x, y: (x, y)), 0.34)  # whose last step is another one
    assert labels(by_batches) == ([[0, 1]], [[2, 3], [4, 5]])


def test_elements_keep_their_structure():
    left, right = split(tf.data.Dataset.from_tensor_slices({"b": X, "a": (Y, Y)}), 4)
    assert len(left) == 4
    (first, *_), last = left, list(right)[-1]
    assert first["b"].tolist() == [0, 1]
    assert [part.tolist() for part in last["a"]] == [5, 5]
    assert list(split(np.array(["a", "b", "c"]), 1)[0].as_numpy_iterator()) == [b"a"]
    (only,) = next(iter(split([X], 1)[0]))
    assert only.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        *((Y, "int32"), (Y.astype("uint8"), "int32"), (Y + 2**40, "int64"), (Y.reshape(3, 2), "int64")),
        *((Y.astype("float64"), "float64"), (Y.astype("float16"), "float16"), (Y > 2, "bool")),
    ],
)
def test_dtypes(array, dtype):
    assert next(iter(split(array, 2)[0])).dtype == dtype


def test_normalized_rows():
    made = keras.utils.normalize(np.array([3.0, 4.0]))
    assert made.shape == (1, 2)
    np.testing.assert_allclose(made, [[0.6, 0.8]])
    of_list = keras.utils.normalize([[3.0, 4.0], [0.0, 0.0]])
    assert of_list.dtype == "float32"
    np.testing.assert_allclose(of_list, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    for dtype, expected in (
        ("float16", "float16"),
        ("float32", "float32"),
        ("float64", "float64"),
        ("uint8", "float64"),
    ):
        assert keras.utils.normalize(np.array([[3, 4]], dtype)).dtype == expected
    np.testing.assert_allclose(keras.utils.normalize(np.array([[3, 4]]), order=1), [[3 / 7, 4 / 7]])
    np.testing.assert_allclose(keras.utils.normalize(np.array([[3, 4]]), order=np.inf), [[0.75, 1]])


def test_rows_of_classes():
    for given in ([0, 2, 1], [[0], [2], [1]], np.float64([0, 2, 1]), ["0", "2", "1"], np.array([0, 2, 1], object)):
        assert keras.utils.to_categorical(given).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
        assert keras.utils.to_categorical(given, 0).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert keras.utils.to_categorical(3).tolist() == [0, 0, 0, 1]
    assert keras.utils.to_categorical(np.zeros((2, 2, 1), int)).shape == (2, 2, 1)
    with pytest.warns(UserWarning, match="cuts class numbers off"):
        assert keras.utils.to_categorical([0.0, 1.7, 2.2]).tolist() == np.eye(3).tolist()
