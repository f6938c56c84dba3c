"""tf.lookup, buckets of texts, tf.string and variables of text: what TensorFlow 2.21 gives."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import tensorflow as tf

PAIRS = tf.lookup.KeyValueTensorInitializer
TEXTS = ["", "a", "hello", "hello world", "x" * 17, "y" * 33, "z" * 65, "w" * 200]  # of each form of the fingerprint


def test_buckets_of_texts():
    buckets = [1699943623, 493484721, 441440317, 1022762667, 760199915, 470090442, 172380598, 1200494991]
    found = tf.strings.to_hash_bucket_fast(TEXTS, 2**31 - 1)
    assert found.dtype == "int64" and found.numpy().tolist() == buckets
    with pytest.raises(ValueError, match="expected a bucket"):
        tf.strings.to_hash_bucket_fast("a", 0)
    with pytest.raises(AttributeError, match="to_hash_bucket_fast"):
        _ = tf.strings.to_hash_bucket_strong


def test_a_table_of_numbers_by_names():
    table = tf.lookup.StaticHashTable(PAIRS(["cat", "dog"], [0, 1]), -1)
    found = table.lookup(tf.constant([["dog", "cow"], ["cat", "dog"]]))
    assert found.dtype == "int32" and found.numpy().tolist() == [[1, -1], [0, 1]]
    assert table[tf.constant("cat")].numpy() == 0 and table.size().numpy() == 2
    assert table.key_dtype == tf.string and table.value_dtype == tf.int32
    names = tf.data.Dataset.from_tensor_slices(["dog", "cow", "cat"])
    assert [n.numpy() for n in names.map(table.lookup)] == [1, -1, 0]
    assert [n.tolist() for n in names.batch(2).map(lambda name: table.lookup(name)).as_numpy_iterator()] == [
        [1, -1],
        [0],
    ]


def test_a_table_of_names_by_numbers():
    table = tf.lookup.StaticHashTable(PAIRS([1, 2], ["one", "longer"], tf.int64), "?")
    found = table.lookup(tf.constant([2, 5], tf.int64))
    assert found.dtype == tf.string and found.numpy().tolist() == [b"longer", b"?"]
    keys, values = table.export()
    assert (keys.numpy().tolist(), values.numpy().tolist()) == ([1, 2], [b"one", b"longer"])
    with pytest.raises(TypeError, match="expected keys of int64"):
        table.lookup(tf.constant([2]))
    with pytest.raises(TypeError, match="default of the kind of the values"):
        tf.lookup.StaticHashTable(PAIRS([1], ["a"]), -1)


def test_what_is_no_table():
    with pytest.raises(ValueError, match="a key has one value"):
        tf.lookup.StaticHashTable(PAIRS(["a", "a"], [1, 2]), -1)
    assert tf.lookup.StaticHashTable(PAIRS(["a", "a"], [1, 1]), -1).size().numpy() == 1
    with pytest.raises(ValueError, match="as many of both"):
        PAIRS(["a"], [1, 2])
    with pytest.raises(TypeError, match="have no values yet"):
        tf.lookup.StaticHashTable(PAIRS(["a"], [1]), -1).lookup(tf.keras.Input((1,)))
    with pytest.raises(AttributeError, match="MutableHashTable"):
        _ = tf.lookup.experimental.DenseHashTable


def test_buckets_behind_a_vocabulary():
    numbers = tf.constant([0, 1], tf.int64)
    table = tf.lookup.StaticVocabularyTable(PAIRS(["a", "b"], numbers), 5)
    assert table.lookup(tf.constant(["b", "z", "hello", ""])).numpy().tolist() == [1, 4, 3, 5]
    assert table.size().numpy() == 7
    alone = tf.lookup.StaticVocabularyTable(None, 3)
    assert alone.lookup(tf.constant(["b", "hello"])).numpy().tolist() == [1, 1]
    whole = tf.lookup.StaticVocabularyTable(PAIRS(tf.constant([10, 20], tf.int64), numbers), 4)
    assert whole.lookup(tf.constant([20, 7], tf.int64)).numpy().tolist() == [1, 2]
    with pytest.raises(TypeError, match="values of int64"):
        tf.lookup.StaticVocabularyTable(PAIRS(["a"], [0]), 1)


def test_tables_of_files(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("cat 3\ndog 5\n")
    whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    parts = tf.lookup.TextFileInitializer(str(path), tf.string, 0, tf.int64, 1, delimiter=" ")
    assert tf.lookup.StaticHashTable(parts, -1).lookup(tf.constant(["dog", "x"])).numpy().tolist() == [5, -1]
    lines = tf.lookup.TextFileInitializer(str(path), tf.string, whole, tf.int64, number, value_index_offset=1)
    assert tf.lookup.StaticHashTable(lines, -1).lookup(tf.constant("dog 5")).numpy() == 2
    with pytest.raises(ValueError, match="expected a part 4 in each line"):
        tf.lookup.TextFileInitializer(str(path), tf.string, 4, tf.int64, number)
    with pytest.raises(ValueError, match="expected 3 lines"):
        tf.lookup.TextFileInitializer(str(path), tf.string, whole, tf.int64, number, vocab_size=3)


def test_a_table_that_grows():
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    table.insert(tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64))
    table.insert(tf.constant(["b"]), tf.constant([3], tf.int64))
    table.remove(tf.constant(["a", "c"]))
    assert table.lookup(tf.constant(["a", "b"])).numpy().tolist() == [-1, 3]


def test_texts_have_one_dtype():
    for text in (tf.constant("a"), tf.constant(["a", "long"]), tf.constant(b"a\0"), tf.strings.join(["a", "b"])):
        assert text.dtype == tf.string and tf.string == text.dtype and text.dtype != tf.int32
        assert (
            text.dtype in (tf.int32, tf.string) and text.dtype.name == "string" and text.dtype.base_dtype == tf.string
        )
    assert tf.constant([1]).dtype != tf.string and tf.constant("a").dtype == "string"
    seen = []
    list(tf.data.Dataset.from_tensor_slices(["a", "bb"]).map(lambda x: seen.append(x.dtype == tf.string) or x))
    assert seen == [True, True]
    assert np.pad(tf.constant(["long"]), 1, constant_values="x").tolist() == ["x", "long", "x"]  # nothing is cut off
    assert np.array(["long"], tf.constant("a").numpy().__class__).tolist() == [b"long"]
    assert tf.pad(["b"], [[1, 1]]).numpy().tolist() == [b"", b"b", b""]


def test_variables_of_text():
    one = tf.Variable("abc")
    assert one.dtype == tf.string and one.numpy() == b"abc"
    one.assign("much longer")
    assert one.numpy() == b"much longer"
    several = tf.Variable(["a", "b"])
    assert several.assign(["long", "er"]).numpy().tolist() == [b"long", b"er"]
    with pytest.raises(ValueError, match="shape"):
        several.assign("a")
    with pytest.raises(ValueError, match="an initializer needs the shape"):
        tf.keras.Variable("ones")


def test_texts_with_numbers():
    assert tf.strings.format("{}", [1e10]).numpy() == b"1e+10"
    assert tf.io.serialize_tensor([1, 2]).numpy() == b'\x08\x03\x12\x04\x12\x02\x08\x02"\x08\x01\0\0\0\x02\0\0\0'
    assert tf.io.parse_tensor(tf.io.serialize_tensor([0.5]), tf.float32).numpy().tolist() == [0.5]


def test_tables_of_buckets_are_asked_by_arrays():
    table = tf.lookup.StaticVocabularyTable(None, 3)
    assert table.size() == 3
    with pytest.raises(TypeError, match="asked by arrays"):
        table.lookup(keras.Input((2,)))
