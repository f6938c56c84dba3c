"""Text in data sets, as paths and labels: what TensorFlow 2.21 gives for the same lines."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from minicnn.data import Dataset
from minicnn.keras import tensorflow as tf

NAMES = ["cat", "dog", "ühm"]
CLASSES = np.array(["cat", "dog"])


def texts():
    return tf.data.Dataset.from_tensor_slices(NAMES)


def listed(dataset):
    return [np.asarray(each).tolist() for each in dataset.as_numpy_iterator()]


@pytest.mark.parametrize("first", ["cat", b"cat", np.array("cat"), np.array(b"cat"), np.bytes_(b"cat")])
def test_a_text_is_its_bytes_in_a_function(first):
    assert listed(texts().map(lambda x: x == first)) == [True, False, False]
    assert listed(texts().map(lambda x: first == x)) == [True, False, False]
    assert listed(texts().map(lambda x: x != first)) == [False, True, True]
    assert listed(texts().map(lambda x: tf.equal(x, first))) == [True, False, False]
    assert listed(texts().map(lambda x: x == first, num_parallel_calls=2).batch(3)) == [[True, False, False]]
    assert listed(texts().filter(lambda x: x == first)) == [b"cat"]
    assert listed(texts().batch(3).map(lambda x: x == first)) == [[True, False, False]]
    assert [bool(x == first) for x in texts()] == [True, False, False]


@pytest.mark.parametrize("classes", [CLASSES, CLASSES.astype("S"), ["cat", "dog"], [b"cat", b"dog"]])
def test_a_text_is_compared_with_each_class(classes):
    expected = [[True, False], [False, True], [False, False]]
    assert listed(texts().map(lambda x: x == classes)) == expected
    assert listed(texts().map(lambda x: tf.equal(classes, x))) == expected
    assert listed(texts().map(lambda x: tf.argmax(x == classes))) == [0, 1, 0]
    assert (
        listed(tf.data.Dataset.from_tensor_slices(np.array(NAMES[:2], "S")).map(lambda x: x == classes)) == expected[:2]
    )


@pytest.mark.parametrize(
    "arrays",
    [np.array(NAMES[:2]), np.array([b"cat", b"dog"]), np.array(NAMES[:2], object), tf.constant(NAMES[:2])],
    ids=["str", "bytes", "objects", "constant"],
)
def test_text_of_any_kind(arrays):
    dataset = tf.data.Dataset.from_tensor_slices((arrays, {"name": arrays}))
    assert list(dataset.as_numpy_iterator()) == [(b"cat", {"name": b"cat"}), (b"dog", {"name": b"dog"})]
    assert listed(dataset.map(lambda x, more: tf.stack([x == b"dog", more["name"] == "dog"]))) == [
        [False] * 2,
        [True] * 2,
    ]


def test_what_numpy_gives_is_pythons_bytes():
    made = [x.numpy() for x in texts().map(tf.identity)]
    assert made == [b"cat", b"dog", "ühm".encode()]
    assert {type(each) for each in made} == {bytes}
    batch = next(iter(texts().batch(2))).numpy()
    assert batch.dtype == object
    assert batch.tolist() == [b"cat", b"dog"]
    assert list(texts().as_numpy_iterator()) == [b"cat", b"dog", "ühm".encode()]
    assert type(next(texts().as_numpy_iterator())) is bytes


@pytest.fixture
def folder(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.txt").write_text(f"{name} one\n\n{name} two\n", encoding="utf-8")
    return tmp_path


def test_paths_and_their_labels(folder):
    paths = tf.data.Dataset.list_files(str(folder / "*" / "*.txt"), shuffle=False)

    def read(path):
        label = tf.strings.split(path, os.sep)[-2] == CLASSES
        size = tf.py_function(lambda x: os.path.getsize(os.fspath(x.numpy())), [path], tf.int32)
        kind = tf.numpy_function(lambda x: type(x).__name__ + os.path.basename(x).decode(), [path], tf.string)
        return tf.strings.length(tf.io.read_file(path)), label, size, kind

    size = len("cat one\n\ncat two\n")
    made = [(int(a), b.tolist(), int(c), d) for a, b, c, d in paths.map(read).as_numpy_iterator()]
    assert made == [(size, [True, False], size, b"bytes0.txt"), (size, [False, True], size, b"bytes0.txt")]
    assert (
        listed(paths.filter(lambda x: tf.strings.regex_full_match(x, ".*dog.*")).map(lambda x: x + "!"))[0][-5:]
        == b".txt!"
    )
    lines = paths.interleave(tf.data.TextLineDataset, cycle_length=2).filter(lambda line: line != "")
    assert listed(lines) == [b"cat one", b"dog one", b"cat two", b"dog two"]


def test_text_that_goes_from_step_to_step():
    generated = tf.data.Dataset.from_generator(lambda: iter(NAMES), output_types=tf.string)
    assert listed(generated.map(lambda x: x == b"dog")) == [False, True, False]
    told = tf.data.Dataset.from_generator(
        lambda name: iter([name, type(name).__name__]), args=("cat",), output_types=tf.string
    )
    assert listed(told) == [b"cat", b"bytes"]
    assert listed(texts().batch(2).unbatch().map(lambda x: x == b"dog")) == [False, True, False]
    assert listed(texts().cache().shuffle(1).map(lambda x: x == b"dog")) == [False, True, False]
    assert listed(texts().scan("", lambda state, x: (state + x, state + x))) == [
        b"cat",
        b"catdog",
        "catdogühm".encode(),
    ]
    assert listed(texts().flat_map(lambda x: tf.data.Dataset.from_tensors(x).repeat(2)))[:3] == [b"cat", b"cat", b"dog"]
    assert listed(texts().enumerate().map(lambda i, x: x == b"dog")) == [False, True, False]
    assert listed(texts().map(tf.is_tensor)) == [True] * 3
    assert int(texts().reduce(0, lambda count, x: count + tf.cast(x == b"dog", tf.int32))) == 1
    assert texts().take(2).reduce("", lambda state, x: state + x).numpy() == b"catdog"
    pairs = tf.data.Dataset.zip((texts(), tf.data.Dataset.range(3)))
    assert int(pairs.reduce(0, lambda total, pair: total + pair[1] * tf.cast(pair[0] != b"dog", tf.int64))) == 2


@pytest.mark.parametrize("more", ["/é", "/é".encode(), np.array("/é"), tf.constant("/é".encode())])
def test_texts_are_joined_with_text_and_bytes(more):
    for names in (["a", "ü"], [b"a", "ü".encode()], np.array([b"a", "ü".encode()], object)):
        dataset = tf.data.Dataset.from_tensor_slices(names)
        assert listed(dataset.map(lambda x: x + more)) == ["a/é".encode(), "ü/é".encode()]
        assert listed(dataset.map(lambda x: more + x)) == ["/éa".encode(), "/éü".encode()]
        assert listed(dataset.batch(2).map(lambda x: x + more)) == [["a/é".encode(), "ü/é".encode()]]


def test_a_function_gets_arrays_that_change_nobody_elses():
    x = np.array([[2.0, 4.0]], "float32")

    def halved(row):
        row /= 2
        row.set_shape((2,))
        return row

    dataset = tf.data.Dataset.from_tensor_slices(x)
    assert [row.tolist() for row in dataset.map(halved)] == [[1, 2]]
    assert x.tolist() == [[2, 4]]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda path: path.split("/")[-1], b"dog.1.png"),
        (os.path.basename, b"dog.1.png"),
        (lambda path: Path(path).stem, b"dog.1"),
        (lambda path: "dog" in path, True),
        (lambda path: path[-3:], b"png"),
        (lambda path: int(re.findall(r"\d", path)[0]), 1),
        (lambda path: len(path), 11),
        (lambda path: ("x/" + path + b"?").numpy(), b"x/a/dog.1.png?"),
        (lambda path: (path + ".gz").endswith(".gz"), True),
        (lambda path: {"a/dog.1.png": 5}[path], 5),
        (lambda path: path == b"a/dog.1.png", True),
        (lambda path: path != "a/dog.1.png", False),
        (lambda path: path.get_shape() == (), True),
    ],
)
def test_a_text_of_ones_own_is_pythons(function, expected):
    paths = Dataset.from_tensor_slices(["a/dog.1.png"])
    assert listed(paths.map(function)) == [expected]
    assert listed(paths.map(function, num_parallel_calls=2)) == [expected]
    assert listed(paths.filter(lambda path: path.startswith("b"))) == []
