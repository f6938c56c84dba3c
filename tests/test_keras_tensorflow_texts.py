"""Texts as TensorFlow has them: bytes, whatever they are; what its 2.21 gave for the same calls."""

import operator

import numpy as np
import pytest

from minicnn.keras import tensorflow as tf

RAW = b"\xff\xd8\xff\x00"  # the beginning of a JPEG file, which is no text, and ends in a zero


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"ab", "ab", True),
        ("ab", b"ab", True),
        ("ab", "abc", False),
        (b"a\0", b"a\0", True),
        ("a\0", "a\0", True),
        (b"a\0", b"a", False),
        (b"a", b"a\0", False),
        (RAW, RAW, True),
        ([b"a", b"b\0"], [b"a", b"b\0"], [True, True]),
        (["a", "b"], [b"a", b"c"], [True, False]),
        ([b"a", b"b"], "a", [True, False]),
    ],
    ids=str,
)
def test_texts_are_equal_where_their_bytes_are(one, other, same):
    arrays = [] if "x00" in repr(other) else [np.array(other)]  # which lose zeros
    for second in (other, tf.constant(other), *arrays):
        for equal, unequal in (
            (operator.eq, operator.ne),
            (tf.equal, tf.not_equal),
            (tf.math.equal, tf.math.not_equal),
        ):
            assert equal(tf.constant(one), second).tolist() == same
            assert unequal(tf.constant(one), second).tolist() == np.logical_not(same).tolist()
    assert (tf.constant(one) == tf.constant(other)).dtype == bool


def test_elements_of_bytes_are_compared():
    records = tf.data.Dataset.from_tensor_slices([b"bc", b"d\0", b"d"])
    assert [e.numpy() for e in records.filter(lambda e: e == "bc")] == [b"bc"]
    assert [e.numpy() for e in records.filter(lambda e: tf.equal(e, b"d\0"))] == [b"d\0"]
    paths = tf.data.Dataset.from_tensor_slices([b"a/cat/1.png", b"a/dog/2.png"])
    labels = paths.map(lambda p: tf.strings.split(p, "/")[-2] == np.array(["cat", "dog"]))
    assert [label.tolist() for label in labels] == [[True, False], [False, True]]


def test_numbers_are_compared_as_before():
    assert (tf.constant([1, 2]) == 2).tolist() == [False, True]
    assert (tf.constant([1.5, 2]) != 1.5).tolist() == [False, True]
    assert {tf.constant(3): "three"}[3] == "three"


def test_functions_of_what_is_no_text_and_of_zeros_at_ends():
    strings = tf.strings
    assert strings.substr(RAW, 0, 2).numpy() == RAW[:2]
    assert strings.substr([RAW, b"abc"], [2, 0], 2).numpy().tolist() == [RAW[2:], b"ab"]
    assert strings.substr("a\0b", 0, 2).numpy() == b"a\0"
    assert strings.length([RAW, b"b\0"]).tolist() == [4, 2]
    assert strings.join([RAW, b"a"]).numpy() == RAW + b"a"
    assert strings.reduce_join([RAW, b"a\0"]).numpy() == RAW + b"a\0"
    assert strings.split(b"a b\0 c").numpy().tolist() == [b"a", b"b\0", b"c"]
    assert strings.upper(RAW).numpy() == RAW
    assert tf.constant(b"a\0", tf.string).numpy() == b"a\0"


def test_parts_to_the_end_and_places_that_there_are_not():
    assert tf.strings.substr(["hello", "hé"], [1, -2], -2).numpy().tolist() == [b"ello", b"\xc3\xa9"]
    assert tf.strings.substr("abc", 3, 2).numpy() == b""
    for place in (4, -4):
        with pytest.raises(ValueError, match=rf"begins within each text, -3 … 3 here. Received: pos={place}"):
            tf.strings.substr("abc", place, 2)


def test_letters_beyond_ascii_are_turned_with_an_encoding_alone():
    assert [tf.strings.upper("aé").numpy(), tf.strings.lower("AÉ").numpy()] == ["Aé".encode(), "aÉ".encode()]
    assert tf.strings.upper("aé", encoding="utf-8").numpy() == "AÉ".encode()
    assert tf.strings.lower(["AÉ"], encoding="utf-8").numpy().tolist() == ["aé".encode()]


def test_whole_numbers_are_read_as_such():
    made = tf.strings.to_number(["9007199254740993", " -3 "], tf.int64)
    assert made.dtype == "int64"
    assert made.tolist() == [9007199254740993, -3]
    assert tf.strings.to_number("1e3").numpy() == 1000
    for wrong, dtype in (
        ("3.7", tf.int32),
        ("1_0", tf.int32),
        ("1_0", tf.float32),
        ("x", tf.float32),
        ("3000000000", tf.int32),
    ):
        with pytest.raises(ValueError, match=r"takes texts that write numbers of .*Received"):
            tf.strings.to_number(wrong, dtype)


def test_the_letters_of_one_text():
    label = "h\u00e9llo"  # as a captcha's, whose letters a table numbers
    assert tf.strings.unicode_split(label, "UTF-8").numpy().tolist() == [b"h", b"\xc3\xa9", b"l", b"l", b"o"]
    assert tf.strings.bytes_split(label).numpy().tolist() == [b"h", b"\xc3", b"\xa9", b"l", b"l", b"o"]
    numbers = tf.strings.unicode_decode(label, "UTF-8")
    assert numbers.tolist() == [104, 233, 108, 108, 111] and numbers.dtype == tf.int32
    assert tf.strings.unicode_encode([[104, 233], [97, 98]], "UTF-8").numpy().tolist() == [b"h\xc3\xa9", b"ab"]
    assert tf.strings.unicode_split("", "UTF-8").shape == (0,)
    letters = tf.data.Dataset.from_tensor_slices(["ab", "cd"]).map(lambda text: tf.strings.unicode_split(text, "UTF-8"))
    assert [each.numpy().tolist() for each in letters] == [[b"a", b"b"], [b"c", b"d"]]


def test_texts_without_letters_and_numbers_that_are_no_character_s():
    def encoded(*args, **options):
        return tf.strings.unicode_encode(*args, **options).numpy()

    assert encoded(tf.strings.unicode_decode("", "UTF-8"), "UTF-8") == b""
    assert encoded(np.zeros((2, 0), "int32")).tolist() == [b"", b""]
    assert encoded(np.zeros((0, 3), "int32")).shape == (0,)
    none = [97, 0xD800, 0x110000, -1, 98]
    assert encoded(none) == "a\ufffd\ufffd\ufffdb".encode()
    assert encoded(none, "UTF-8", "replace", 63) == b"a???b" and encoded(none, errors="ignore") == b"ab"
    with pytest.raises(ValueError, match=r"no character has the number\. Received: 55296"):
        encoded(none, errors="strict")
    for wrong in (65, [65.7], ["A"]):
        with pytest.raises(ValueError, match="whole numbers along an axis"):
            encoded(wrong)
    kept = tf.strings.unicode_decode(b"a\xef\xbf\xbd\xffb", "UTF-8", replacement_char=63)  # U+FFFD is written there
    assert kept.tolist() == [97, 0xFFFD, 63, 98]


@pytest.mark.parametrize("broken", [b"a\xffb", b"a\xe2\x82b"], ids=str)
def test_what_is_no_text_is_replaced_left_out_or_an_error(broken):
    assert tf.strings.unicode_decode(broken, "UTF-8").tolist() == [97, 65533, 98]
    assert tf.strings.unicode_decode(broken, "UTF-8", replacement_char=63).tolist() == [97, 63, 98]
    assert tf.strings.unicode_split(broken, "UTF-8", errors="ignore").numpy().tolist() == [b"a", b"b"]
    with pytest.raises(ValueError, match="can't decode byte"):
        tf.strings.unicode_split(broken, "UTF-8", errors="strict")
    with pytest.raises(ValueError, match="unicode_split takes one text; map splits each"):
        tf.strings.unicode_split(["ab", "c"], "UTF-8")
    with pytest.raises(ValueError, match="UTF-16"):
        tf.strings.unicode_split("ab", "UTF-16")
