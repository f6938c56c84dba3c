"""Rows of words and of times, which one-dimensional convolutions take, and Keras's data sets of them."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn as mc
from minicnn import keras
from minicnn.errors import DataError
from minicnn.keras.datasets import _keras_files, boston_housing, california_housing, imdb, reuters
from minicnn.keras.preprocessing import sequence, text
from minicnn.keras.utils import pad_sequences, timeseries_dataset_from_array

# ---------------------------------------------------------------------------------------------------------- padding


@given(
    st.lists(st.lists(st.integers(0, 99), max_size=7), max_size=5),
    st.none() | st.integers(0, 9),
    st.sampled_from(["pre", "post"]),
    st.sampled_from(["pre", "post"]),
    st.sampled_from([0, -1, 2.5]),
)
def test_pad_sequences(rows, maxlen, padding, truncating, value):
    padded = pad_sequences(rows, maxlen, "float32", padding, truncating, value)
    length = max(map(len, rows), default=0) if maxlen is None else maxlen
    assert padded.shape == (len(rows), length) and padded.dtype == "float32"
    for row, found in zip(rows, padded.tolist(), strict=True):
        while len(row) > length:
            row = row[1:] if truncating == "pre" else row[:-1]
        while len(row) < length:
            row = [value, *row] if padding == "pre" else [*row, value]
        assert found == row


def test_pad_sequences_of_others():
    """Numbers of Keras 3.15."""
    assert pad_sequences([[1], [2, 3]], value=2.7).tolist() == [[2, 1], [2, 3]]
    frames = pad_sequences([[[1, 2], [3, 4]], [], np.array([[5, 6]])], 3, padding="post")
    assert frames.tolist() == [[[1, 2], [3, 4], [0, 0]], [[0, 0]] * 3, [[5, 6], [0, 0], [0, 0]]]
    words = pad_sequences([["a", "bcd"], ["e"]], dtype=object, value="x", padding="post")
    assert words.tolist() == [["a", "bcd"], ["e", "x"]]
    assert sequence.pad_sequences is pad_sequences


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((i for i in [[1]]),), TypeError, r"list\(…\) makes one of a generator"),
        (([1, 2],), ValueError, r"as \[\[1, 2\], \[3\]\]. Received: sequences\[0\]=1"),
        ((["abc"],), ValueError, r"Received: sequences\[0\]='abc'"),
        (([[1], [[2]]],), ValueError, r"of one shape, \(\) as the first has.*shape \(1,\) in sequences\[1\]"),
        (([[1]], 2, "int32", "both"), ValueError, "`padding` must be one of 'pre', 'post'"),
        (([[1]], 2, "int32", "pre", "end"), ValueError, "`truncating` must be one of"),
        (([[1]], 2, "int32", "pre", "pre", "x"), ValueError, "must be a number for dtype int32"),
        (([[1]], -1), ValueError, "`maxlen` must be an integer of at least 0"),
    ],
)
def test_what_cannot_be_padded(arguments, error, message):
    with pytest.raises(error, match=message):
        pad_sequences(*arguments)


# ------------------------------------------------------------------------------------------------------------ times


def windows_of(data, targets, length, stride, rate, first, last):
    """(window, target) one after the other, with loops."""
    for begin in range(first, last, stride):
        steps = [begin + k * rate for k in range(length)]
        if steps[-1] >= last or (targets is not None and begin >= len(targets)):
            return
        yield [data[i].tolist() for i in steps], None if targets is None else targets[begin].tolist()


@given(st.data())
def test_timeseries(drawn):
    count = drawn.draw(st.integers(8, 30))
    series = np.arange(60.0).reshape(30, 2)[:count][:: drawn.draw(st.sampled_from([1, -1]))]
    targets = drawn.draw(st.none() | st.just(np.arange(100, 100 + count)[: drawn.draw(st.integers(count - 2, count))]))
    length, stride, rate = (drawn.draw(st.integers(1, n)) for n in (3, 4, 2))
    first, last = drawn.draw(st.sampled_from([None, 2])), drawn.draw(st.sampled_from([None, count - 1]))
    batch = drawn.draw(st.sampled_from([None, 3, 128]))
    found = timeseries_dataset_from_array(
        series, targets, length, stride, rate, batch, start_index=first, end_index=last
    )
    expected = list(windows_of(series, targets, length, stride, rate, first or 0, last or count))
    elements = list(found if batch is None else found.unbatch())
    if targets is None:
        assert [window.tolist() for window in elements] == [window for window, _ in expected]
    else:
        assert [(window.tolist(), target.tolist()) for window, target in elements] == expected
    if batch is not None:
        assert len(found) == -(-len(expected) // batch)


def test_timeseries_in_another_order():
    found = timeseries_dataset_from_array(np.arange(300), np.arange(300), 4, batch_size=16, shuffle=True, seed=3)
    passes = [[int(t) for _, targets in found for t in targets] for _ in range(2)]
    assert passes[0] != passes[1] and all(sorted(each) == list(range(297)) for each in passes)
    for windows, targets in found:
        np.testing.assert_array_equal(windows, targets[:, None] + np.arange(4))
    again = timeseries_dataset_from_array(np.arange(300), None, 4, shuffle=True, seed=3)
    assert [w[0] for batch in again for w in batch] == passes[0]
    assert keras.preprocessing.timeseries_dataset_from_array is timeseries_dataset_from_array


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequence_length": 11}, "reaches over 11 steps of data. Received: 10 steps"),
        ({"sequence_length": 4, "sampling_rate": 4}, "reaches over 13 steps"),
        ({"sequence_length": 2, "sampling_rate": 10}, "`sampling_rate` must be lower than the 10 steps"),
        ({"sequence_length": 2, "sequence_stride": 12}, "`sequence_stride` must be lower than the 10 steps"),
        ({"sequence_length": 2, "start_index": 5, "end_index": 5}, "Received: start_index=5, end_index=5"),
        ({"sequence_length": 2, "end_index": 11}, "Received: start_index=None, end_index=11"),
        ({"sequence_length": 0}, "`sequence_length` must be an integer of at least 1"),
        ({"sequence_length": 2, "format": "torch"}, "`format` must be one of 'tf', 'grain'"),
    ],
)
def test_times_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        timeseries_dataset_from_array(np.arange(10), None, **options)


def test_times_without_targets_or_steps():
    with pytest.raises(ValueError, match=r"Received: 3 targets, and start_index=4"):
        timeseries_dataset_from_array(np.arange(10), np.arange(3), 2, start_index=4)
    with pytest.raises(ValueError, match="Received: data without steps"):
        timeseries_dataset_from_array(np.zeros((0, 2)), None, 2)


def test_times_of_keras_2():
    """Numbers of tf_keras 2.21, and that a model learns from them."""
    series = np.arange(20.0)
    batches = sequence.TimeseriesGenerator(series[:, None], series, 4, sampling_rate=2, stride=3, batch_size=2)
    assert len(batches) == 3 and [b[1].tolist() for b in batches] == [[4, 7], [10, 13], [16, 19]]
    assert batches[0][0][..., 0].tolist() == [[0, 2], [3, 5]]
    turned = sequence.TimeseriesGenerator(series, series, 4, reverse=True, start_index=2, end_index=7)
    assert turned[0][0].tolist() == [[5, 4, 3, 2], [6, 5, 4, 3]] and turned[0][1].tolist() == [6, 7]
    mixed = sequence.TimeseriesGenerator(series, series, 4, shuffle=True, batch_size=50)
    windows, targets = mixed[0]
    np.testing.assert_array_equal(windows, targets[:, None] - [4, 3, 2, 1])
    assert windows.shape == (50, 4) and {*targets} <= {*range(4, 20)} and len({*targets}) > 5
    model = mc.Sequential([mc.Input((2, 1)), mc.layers.Conv1D(2, 2), mc.layers.Flatten(), mc.layers.Dense(1)])
    model.compile("adam", "mse")
    assert len(model.fit(batches, epochs=2, verbose=0).history["loss"]) == 2
    with pytest.raises(ValueError, match=r"as many steps\. Received: 20 and 19"):
        sequence.TimeseriesGenerator(series, series[:19], 5)
    for options in ({"length": 20}, {"length": 3, "start_index": -2}, {"length": 3, "end_index": 20}):
        with pytest.raises(ValueError, match="between start_index, 0 or more, and end_index"):
            sequence.TimeseriesGenerator(series, series, **options)
    for index in (-1, 3):
        with pytest.raises(IndexError, match="there are 3 batches"):
            batches[index]


# ------------------------------------------------------------------------------------------------------------ words

TEXTS = ["The cat sat on the mat.", "A dog, a CAT; and the dog's mat!", "", "on\tand on"]
# Of tf_keras 2.21: Tokenizer(**arguments).fit_on_texts(TEXTS[:3]); texts_to_sequences(TEXTS), the text of the second
# one's, and of it texts_to_matrix(…, mode)[:6] for all modes.
TOKENIZERS = [
    (
        {},
        [[1, 2, 5, 6, 1, 3], [4, 7, 4, 2, 8, 1, 9, 3], [], [6, 8, 6]],
        "a dog a cat and the dog's mat",
        {
            "binary": [0.0, 1.0, 1.0, 1.0, 1.0, 0.0],
            "count": [0.0, 1.0, 1.0, 1.0, 2.0, 0.0],
            "freq": [0.0, 0.125, 0.125, 0.125, 0.25, 0.0],
            "tfidf": [0.0, 0.693147, 0.693147, 0.693147, 1.551415, 0.0],
        },
    ),
    (
        {"num_words": 4},
        [[1, 2, 1, 3], [2, 1, 3], [], []],
        "cat the mat",
        {"count": [0.0, 1.0, 1.0, 1.0], "freq": [0.0, 0.333333, 0.333333, 0.333333]},
    ),
    (
        {"num_words": 4, "oov_token": "<unk>"},
        [[2, 3, 1, 1, 2, 1], [1, 1, 1, 3, 1, 2, 1, 1], [], [1, 1, 1]],
        "<unk> <unk> <unk> cat <unk> the <unk> <unk>",
        {"count": [0.0, 6.0, 1.0, 1.0], "tfidf": [0.0, 3.8702, 0.693147, 0.693147]},
    ),
    (
        {"oov_token": "<unk>", "lower": False},
        [[4, 5, 6, 7, 2, 3], [8, 9, 10, 11, 12, 2, 13, 3], [], [7, 12, 7]],
        "A dog a CAT and the dog's mat",
        {"freq": [0.0, 0.0, 0.125, 0.125, 0.0, 0.0]},
    ),
    (
        {"char_level": True, "num_words": 6},
        None,
        "a     a   a t   a   t h e     a t",
        {"count": [0.0, 7.0, 3.0, 5.0, 1.0, 1.0], "tfidf": [0.0, 2.041949, 1.454647, 1.808725, 0.693147, 0.693147]},
    ),
]


@pytest.mark.parametrize(("arguments", "rows", "second", "matrices"), TOKENIZERS)
def test_tokenizer(arguments, rows, second, matrices):
    tokenizer = text.Tokenizer(**arguments)
    tokenizer.fit_on_texts(TEXTS[:3])
    found = tokenizer.texts_to_sequences(TEXTS)
    assert rows is None or found == rows
    assert tokenizer.sequences_to_texts(found)[1] == second
    for mode, row in matrices.items():
        np.testing.assert_allclose(tokenizer.texts_to_matrix(TEXTS[1:2], mode)[0, :6], row, atol=1e-6)
    again = text.tokenizer_from_json(tokenizer.to_json())
    assert again.texts_to_sequences(TEXTS) == found and again.get_config() == tokenizer.get_config()
    np.testing.assert_array_equal(again.texts_to_matrix(TEXTS, "tfidf"), tokenizer.texts_to_matrix(TEXTS, "tfidf"))


def test_a_tokenizer_counts_on():
    """Numbers of tf_keras 2.21."""
    tokenizer = text.Tokenizer(nb_words=7, document_count=2)
    tokenizer.fit_on_texts(TEXTS)
    tokenizer.fit_on_texts([["On", "rows", "of", "words"]])
    assert list(tokenizer.word_index)[:4] == ["on", "the", "cat", "mat"] and tokenizer.document_count == 7
    assert tokenizer.word_counts["on"] == 4 and tokenizer.word_docs["on"] == 3 and tokenizer.index_docs[1] == 3
    tokenizer.fit_on_sequences([[1, 1, 2], [2]])
    assert (tokenizer.index_docs[1], tokenizer.index_docs[2], tokenizer.document_count) == (4, 4, 9)
    own = text.Tokenizer(analyzer=lambda words: words.split("-"))
    own.fit_on_texts(["a-b-a"])
    assert own.word_index == {"a": 1, "b": 2}


def test_a_tokenizer_of_tf_keras():
    """A file that tf_keras 2.21 wrote."""
    config = {
        **{"num_words": None, "filters": "!.", "lower": True, "split": " ", "char_level": False, "oov_token": None},
        **{"document_count": 1, "word_counts": '{"a": 2, "b": 1}', "word_docs": '{"a": 1, "b": 1}'},
        **{"index_docs": '{"1": 1, "2": 1}', "index_word": '{"1": "a", "2": "b"}', "word_index": '{"a": 1, "b": 2}'},
    }
    written = json.dumps({"class_name": "Tokenizer", "config": config})
    assert text.tokenizer_from_json(written).texts_to_sequences(["b a c"]) == [[2, 1]]
    for wrong in ("{", "{}", "[]", json.dumps({"config": config | {"own": 1}}), json.dumps({"config": {}})):
        with pytest.raises(ValueError, match=r"takes what Tokenizer.to_json wrote. Received: "):
            text.tokenizer_from_json(wrong)


def test_words_by_hashes():
    """Numbers of tf_keras 2.21."""
    assert text.hashing_trick("a dog, a Cat", 7, "md5") == [2, 6, 2, 3]
    assert text.one_hot("a b", 5) == [hash("a") % 4 + 1, hash("b") % 4 + 1]
    assert text.text_to_word_sequence("a--b c", filters="c", split="-") == ["a", "b "]
    with pytest.raises(ValueError, match="`n` must be an integer of at least 2"):
        text.hashing_trick("a", 1)


def test_mistakes_with_words():
    tokenizer = text.Tokenizer()
    with pytest.raises(TypeError, match=r"\[text\] for a single one. Received: 'a text'"):
        tokenizer.fit_on_texts("a text")
    with pytest.raises(TypeError, match=r"Received: a float, nan; str\(text\) makes a text of it"):
        tokenizer.fit_on_texts(["a", float("nan")])
    with pytest.raises(TypeError, match=r"Received: a int, 1; str\(text\)"):
        tokenizer.fit_on_texts([["a", 1]])
    with pytest.raises(AttributeError, match="minicnn has no skipgrams"):
        sequence.skipgrams  # noqa: B018
    with pytest.raises(ValueError, match=r"give num_words, or call fit_on_texts\(texts\) first"):
        text.Tokenizer().texts_to_matrix(["a"])
    with pytest.raises(ValueError, match=r"call fit_on_texts\(texts\) first"):
        text.Tokenizer(3).texts_to_matrix(["a"], "tfidf")
    with pytest.raises(ValueError, match="`mode` must be one of"):
        text.Tokenizer(3).texts_to_matrix(["a"], "tf")


def test_a_network_of_words():
    """Reviews as Keras's example imdb_cnn has them."""
    rng = np.random.default_rng(0)
    words = rng.integers(1, 20, (64, 9))
    labels = (words == 7).any(1).astype(int)
    x = pad_sequences([row[: rng.integers(5, 10)] for row in words.tolist()], maxlen=12)
    model = keras.Sequential(
        [
            keras.layers.Embedding(20, 8),
            keras.layers.Conv1D(8, 3, activation="relu"),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    losses = model.fit(x, labels, epochs=30, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


# -------------------------------------------------------------------------------------------------------- data sets


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Small files of the form of Keras's, where they are kept; their hashes are not asked for."""
    rng = np.random.default_rng(1)

    def rows(count):
        found = np.empty(count, object)
        found[:] = [rng.integers(1, 40, rng.integers(1, 12)).tolist() for _ in range(count)]
        return found

    np.savez(tmp_path / "imdb.npz", x_train=rows(9), y_train=np.arange(9), x_test=rows(6), y_test=np.arange(6))
    np.savez(tmp_path / "reuters.npz", x=rows(10), y=np.arange(10))
    np.savez(tmp_path / "boston_housing.npz", x=rng.random((17, 13)), y=np.arange(17.0))
    np.savez(tmp_path / "california_housing.npz", x=rng.random((700, 8), "f4"), y=np.arange(700, dtype="f4"))
    for name in ("imdb", "reuters"):
        (tmp_path / f"{name}_word_index.json").write_text('{"the": 1}')
    asked = []
    monkeypatch.setattr(
        _keras_files,
        "get_file",
        lambda name, origin, file_hash: asked.append((origin, file_hash)) or str(tmp_path / origin.rpartition("/")[2]),
    )
    return tmp_path, asked


def test_reviews(files):
    folder, asked = files
    raw = np.load(folder / "imdb.npz", allow_pickle=True)
    stream = np.random.RandomState(113)
    orders = [stream.permutation(n) for n in (9, 6)]
    for options, word, first in (
        ({}, lambda n: n + 3 if n + 3 < 42 else 2, [1]),
        ({"num_words": 20, "skip_top": 5}, lambda n: n + 3 if 5 <= n + 3 < 20 else 2, [2]),
        ({"start_char": None, "index_from": 0, "num_words": 50}, lambda n: n, []),
    ):
        largest = max(max(row) for row in [*raw["x_train"], *raw["x_test"]])
        assert largest == 39
        found = imdb.load_data(**options)
        for (x, y), order, which in zip(found, orders, ("train", "test"), strict=True):
            assert x.dtype == object and y.tolist() == order.tolist()
            assert [*x] == [first + [word(n) for n in raw[f"x_{which}"][i]] for i in order]
    (x, y), _ = imdb.load_data(maxlen=6, oov_char=None, num_words=30)
    assert len(x) == len(y) == sum(len(row) < 5 for row in raw["x_train"])
    assert all(1 <= n < 30 for row in x for n in row)
    with pytest.raises(ValueError, match="no row is shorter than maxlen"):
        imdb.load_data(maxlen=1)
    assert imdb.get_word_index() == reuters.get_word_index() == {"the": 1}
    origin = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/imdb.npz"
    assert asked[0] == (origin, "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f")


def test_others(files):
    order = np.random.RandomState(113).permutation(10).tolist()
    (_, y_train), (x_test, y_test) = reuters.load_data(test_split=0.3)
    assert [*y_train, *y_test] == order and len(y_test) == 3 and x_test[0][0] == 1
    names = reuters.get_label_names()
    assert len(names) == 46 and (names[0], names[3], names[45]) == ("cocoa", "earn", "lead")
    for (x, y), columns in ((boston_housing.load_data()[0], 13), (california_housing.load_data()[0], 8)):
        assert x.shape == (len(y), columns)
    (_, y_train), (_, y_test) = boston_housing.load_data(test_split=0.25, seed=4)
    assert [*y_train, *y_test] == np.random.RandomState(4).permutation(17).tolist() and len(y_test) == 5
    (x, y), _ = california_housing.load_data("small", test_split=0)
    assert len(x) == 600 and y.max() == 599
    with pytest.raises(ValueError, match="Received: test_split=1"):
        boston_housing.load_data(test_split=1)
    with pytest.raises(ValueError, match="`version` must be one of 'large', 'small'"):
        california_housing.load_data("medium")


def _written_header():
    """Of an array of three objects."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (3,)})
    yield buffer.getvalue()[8:]


def test_arrays_run_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "evil"), "w"))

    entries = np.empty(1, object)
    entries[0] = Evil()
    np.savez(tmp_path / "evil.npz", x=entries)
    with pytest.raises(DataError, match=r"is not the right file.*UnpicklingError: it names (_?io|builtins).open"):
        _keras_files.read_arrays(tmp_path / "evil.npz", "x")
    assert not (tmp_path / "evil").exists()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00")
    for content in (b"no zip", buffer.getvalue(), (tmp_path / "evil.npz").read_bytes()[:200]):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(DataError, match="delete it to download it again"):
            _keras_files.read_arrays(tmp_path / "bad.npz", "x")
    pickled = np.lib.format.magic(1, 0) + b"".join(_written_header())
    with zipfile.ZipFile(tmp_path / "list.npz", "w") as archive:
        archive.writestr("x.npy", pickled + pickle.dumps([1]))
    with pytest.raises(DataError, match="its array is not what its header says"):
        _keras_files.read_arrays(tmp_path / "list.npz", "x")
    np.savez(tmp_path / "other.npz", y=np.arange(3))
    with pytest.raises(DataError, match="KeyError"):
        _keras_files.read_arrays(tmp_path / "other.npz", "x")
