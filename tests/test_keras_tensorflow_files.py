"""Files of records and examples at their edges: what TensorFlow writes, and what no one has written.

The bytes were compared with those of TensorFlow 2.21 and its Protocol Buffers.
"""

import gzip
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest

from minicnn.errors import FileFormatError
from minicnn.keras import tensorflow as tf
from minicnn.keras.tensorflow._checksums import crc32c

RECORDS = [b"", b"abc\0", b"longer" * 30]


def written(folder, records=RECORDS, kind=""):
    path = folder / f"records{kind}"
    with tf.io.TFRecordWriter(path, kind) as writer:
        for record in records:
            writer.write(record)
    return path


def record_of(**lists):
    return tf.train.Example(tf.train.Features(feature={"a": tf.train.Feature(**lists)})).SerializeToString()


# ------------------------------------------------------------------------------------------------ files of records


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
)
def test_checksums_are_those_of_rfc_3720(data, expected):
    assert crc32c(data) == expected


def test_checksums_of_long_data(rng):
    for size in (63, 64, 65, 1023, 1024, 1025, 1028, 5000, 2**20 - 3, 2**20, 2**20 + 1):
        data = rng.bytes(size)
        entries = []
        for byte in range(256):
            for _ in range(8):
                byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
            entries.append(byte)
        crc = 0xFFFFFFFF
        for byte in data:
            crc = crc >> 8 ^ entries[(crc ^ byte) & 255]
        assert crc32c(data) == crc ^ 0xFFFFFFFF, size


@pytest.mark.parametrize("kind", ["", "GZIP", "ZLIB"])
def test_records_come_back(tmp_path, kind):
    made = [each.numpy() for each in tf.data.TFRecordDataset(written(tmp_path, kind=kind), kind)]
    assert made == RECORDS


def test_a_byte_that_has_changed_is_noticed(tmp_path):
    path = written(tmp_path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        with pytest.raises(FileFormatError):
            list(tf.data.TFRecordDataset(path))


@pytest.mark.parametrize("kind", ["", "GZIP", "ZLIB"])
def test_files_that_end_too_early(tmp_path, kind):
    path = written(tmp_path, kind=kind)
    whole = path.read_bytes()
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        try:
            made = [each.numpy() for each in tf.data.TFRecordDataset(path, kind)]
        except FileFormatError:
            continue
        assert made == RECORDS[: len(made)] and not kind


@pytest.mark.parametrize("kind", ["GZIP", "ZLIB"])
def test_files_that_are_not_compressed_so(tmp_path, kind):
    with pytest.raises(FileFormatError, match=kind):
        list(tf.data.TFRecordDataset(written(tmp_path), kind))


def test_a_record_without_end_takes_no_memory(tmp_path):
    from minicnn.keras.tensorflow._checksums import checksum

    length = struct.pack("<Q", 2**60)
    path = tmp_path / "records"
    path.write_bytes(length + checksum(length) + b"abc")
    with pytest.raises(FileFormatError, match="ends within"):
        list(tf.data.TFRecordDataset(path))


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_files_are_unpacked_as_far_as_they_are_read(tmp_path, pack):
    path = written(tmp_path)
    kind = "GZIP" if pack is gzip.compress else "ZLIB"
    path.write_bytes(pack(path.read_bytes() + bytes(1 << 25)))
    assert next(iter(tf.data.TFRecordDataset(path, kind))).numpy() == RECORDS[0]


def test_other_compressions_are_refused(tmp_path):
    for call in (tf.io.TFRecordOptions, lambda kind: tf.data.TFRecordDataset("x", kind)):
        with pytest.raises(ValueError, match="compression_type"):
            call("gzip")
    with pytest.raises(ValueError, match="compression_type"):
        tf.io.TFRecordWriter(tmp_path / "x", "zip")


def test_a_record_is_bytes(tmp_path):
    with tf.io.TFRecordWriter(tmp_path / "x") as writer, pytest.raises(TypeError, match="encode"):
        writer.write("abc")


# ---------------------------------------------------------------------------------------------- elements that are text


def test_text_that_ends_with_zeros_stands_beside_others(tmp_path):
    records = [record_of(bytes_list=tf.train.BytesList(value=[text])) for text in (b"a\0", b"", b"longer")]
    dataset = tf.data.TFRecordDataset(written(tmp_path, records)).batch(4)
    features = {"a": tf.io.FixedLenFeature([], tf.string)}
    (batch,) = dataset.map(lambda rows: tf.io.parse_example(rows, features))
    assert batch["a"].numpy().tolist() == [b"a\0", b"", b"longer"]
    parsed = tf.data.TFRecordDataset(written(tmp_path, records)).map(
        lambda row: tf.io.parse_single_example(row, features)
    )
    (batch,) = parsed.batch(3)
    assert batch["a"].numpy().tolist() == [b"a\0", b"", b"longer"]


def test_text_of_records_goes_into_functions_of_text():
    text = tf.io.parse_single_example(
        record_of(bytes_list=tf.train.BytesList(value=[b"caf\xc3\xa9"])), {"a": tf.io.FixedLenFeature([], tf.string)}
    )["a"]
    assert str(tf.strings.upper(text, encoding="utf-8")) == "CAFÉ"


def test_pictures_in_records(tmp_path):
    picture = np.arange(48, dtype="uint8").reshape(4, 4, 3)
    record = record_of(bytes_list=tf.train.BytesList(value=[tf.io.encode_png(picture)]))
    features = {"a": tf.io.FixedLenFeature([], tf.string)}
    dataset = tf.data.TFRecordDataset(written(tmp_path, [record]))
    (made,) = dataset.map(lambda row: tf.io.decode_png(tf.io.parse_single_example(row, features)["a"]))
    np.testing.assert_array_equal(made, picture)


@pytest.mark.parametrize(
    ("given", "options", "expected"),
    [
        (np.array("abc"), {}, [97, 98, 99]),
        (b"", {}, []),
        ([b"ab", b"cd"], {}, [[97, 98], [99, 100]]),
        ([b"ab", b"cdef"], {"fixed_length": 3}, [[97, 98, 0], [99, 100, 101]]),
    ],
)
def test_numbers_that_bytes_are(given, options, expected):
    made = tf.io.decode_raw(given, tf.uint8, **options)
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, np.array(expected, "uint8"))


@pytest.mark.parametrize(("given", "kind"), [([b"ab", b"cdef"], "uint8"), (b"abc", "uint16")])
def test_bytes_that_are_no_numbers(given, kind):
    with pytest.raises(ValueError, match="texts of one length"):
        tf.io.decode_raw(given, kind)


# ------------------------------------------------------------------------------------------------------- examples


@pytest.mark.parametrize(
    ("lists", "dtype"),
    [
        ({"float_list": tf.train.FloatList(value=[1.7])}, tf.int64),
        ({"bytes_list": tf.train.BytesList(value=[b"1.7"])}, tf.float32),
        ({"int64_list": tf.train.Int64List(value=[1])}, tf.string),
        ({"int64_list": tf.train.Int64List(value=[1])}, tf.int32),
    ],
)
@pytest.mark.parametrize("kind", [lambda dtype: tf.io.FixedLenFeature([], dtype), tf.io.VarLenFeature])
def test_a_feature_is_of_the_list_that_is_asked_for(lists, dtype, kind):
    with pytest.raises(ValueError, match="feature"):
        tf.io.parse_single_example(record_of(**lists), {"a": kind(dtype)})


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: tf.train.Int64List(value=[1.7]), TypeError),
        (lambda: tf.train.Int64List(value=[2**70]), ValueError),
        (lambda: tf.train.BytesList(value=b"abc"), TypeError),
        (lambda: tf.train.BytesList(value=[3]), TypeError),
        (lambda: tf.train.FloatList(value=["1.7"]), TypeError),
    ],
)
def test_lists_hold_what_they_are_called_by(make, error):
    with pytest.raises(error):
        make()


def test_lists_are_filled_later():
    feature = tf.train.Feature()
    feature.int64_list.value.append(3)
    assert feature.SerializeToString() == b"\x1a\x03\n\x01\x03"
    feature.int64_list.value.append(1.5)
    with pytest.raises(TypeError):
        feature.SerializeToString()
    example = tf.train.Example()
    example.features.feature["a"].int64_list.value.extend([1, 2])
    assert example.SerializeToString() == b"\n\r\n\x0b\n\x01a\x12\x06\x1a\x04\n\x02\x01\x02"


def test_records_of_unequal_lengths():
    records = [record_of(int64_list=tf.train.Int64List(value=value)) for value in ([1], [1, 2], [])]
    made = tf.io.parse_example(records, {"a": tf.io.VarLenFeature(tf.int64)})["a"]
    np.testing.assert_array_equal(made, [[1, 0], [1, 2], [0, 0]])


def test_features_of_any_length_are_read_as_sparse_tensors():
    records = [record_of(int64_list=tf.train.Int64List(value=value)) for value in ([3], [0, 2], [])]
    made = tf.io.parse_example(records, {"a": tf.io.VarLenFeature(tf.int64)})["a"]
    np.testing.assert_array_equal(made.values, [3, 0, 2])
    np.testing.assert_array_equal(made.indices, [[0, 0], [1, 0], [1, 1]])
    np.testing.assert_array_equal(made.dense_shape, [3, 2])
    np.testing.assert_array_equal(tf.sparse.to_dense(made, default_value=-1), [[3, -1], [0, 2], [-1, -1]])
    np.testing.assert_array_equal(tf.sparse.to_dense(made), made)
    one = tf.io.parse_single_example(records[1], {"a": tf.io.VarLenFeature(tf.int64)})["a"]
    np.testing.assert_array_equal(one.values, [0, 2])
    np.testing.assert_array_equal(tf.sparse.to_dense(one, default_value=7), [0, 2])
    words = record_of(bytes_list=tf.train.BytesList(value=[b"a", b"bc"]))
    text = tf.io.parse_single_example(words, {"a": tf.io.VarLenFeature(tf.string)})["a"]
    assert tf.sparse.to_dense(text, default_value="").numpy().tolist() == [b"a", b"bc"] == text.values.numpy().tolist()
    with pytest.raises(ValueError, match="in the function that calls it"):
        tf.sparse.to_dense(np.asarray(made), default_value=-1)
    for other in (made + 1, made[0]):
        with pytest.raises(AttributeError, match="which numbers were given"):
            _ = other.values


def test_sparse_tensors():
    sparse = tf.sparse.from_dense([[0, 5, 0], [7, 0, 0]])
    np.testing.assert_array_equal(sparse.indices, [[0, 1], [1, 0]])
    np.testing.assert_array_equal(tf.sparse.to_dense(sparse, -1), [[-1, 5, -1], [7, -1, -1]])
    np.testing.assert_array_equal(tf.sparse.to_dense(tf.SparseTensor([[2]], [1.5], [4])), [0, 0, 1.5, 0])
    for places in ([[4]], [[-1]]):
        with pytest.raises(ValueError, match="places lie in"):
            tf.sparse.to_dense(tf.sparse.SparseTensor(places, [1.5], [4]))
    with pytest.raises(ValueError, match="expected indices"):
        tf.sparse.SparseTensor([[0], [1]], [1.5], [4])


def test_a_default_is_text():
    features = {"b": tf.io.FixedLenFeature([], tf.string, default_value="x")}
    assert tf.io.parse_single_example(record_of(), features)["b"].numpy() == b"x"


HOSTILE = [
    b"\x0a\x07\x0a\x05\x08\xff\xff\xff\x7f",  # a name that is a number
    b"\x0a\x06\x0a\x04\x0a\x02\xff\xfe",  # a name that is no text
    b"\x0a\x0d\x0a\x0b\x0a\x01a\x12\x06\x12\x04\x0a\x02ab",  # floats of two bytes
    b"\x0a\x0b\x0a\x09\x0a\x01a\x12\x04\x08\x80\x80\x01",  # a feature that is a number
    b"\xff" * 12,
    b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
]


@pytest.mark.parametrize("data", HOSTILE)
def test_bytes_that_are_no_example(data):
    try:
        made = tf.train.Example.FromString(data)
    except FileFormatError:
        return
    assert sum(len(each.SerializeToString()) for each in made.features.feature.values()) < 100


def test_random_bytes_are_no_example(rng):
    whole = record_of(int64_list=tf.train.Int64List(value=[1, -5])) + record_of(
        float_list=tf.train.FloatList(value=[1.0])
    )
    for _ in range(500):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(256)
        for read in (tf.train.Example.FromString, lambda data: tf.io.parse_tensor(data, "float32")):
            with suppress(FileFormatError, ValueError):
                read(bytes(data))


def test_tensors_without_numbers():
    assert tf.io.parse_tensor(b"\x08\x01\x12\x04\x12\x02\x08\x00", tf.float32).shape == (0,)
    for array in (np.zeros((0, 3), "float32"), np.float32(2), np.arange(6).reshape(2, 3)):
        made = tf.io.parse_tensor(tf.io.serialize_tensor(array), array.dtype)
        assert made.shape == array.shape
        np.testing.assert_array_equal(made, array)


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\x01\x12\x04\x12\x02\x08\x03",  # three numbers, of which there are none
        b"\x08\x01\x12\x0d\x12\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a size that is not known
        b"\x12\x00",
        b"\x08\x01\x12\x00\x22\x03abc",
    ],
)
def test_bytes_that_are_no_tensor(data):
    with pytest.raises(FileFormatError):
        tf.io.parse_tensor(data, tf.float32)


@pytest.mark.parametrize("call", [lambda: tf.io.FixedLenSequenceFeature([], tf.int64), tf.train.SequenceExample])
def test_records_of_sequences_are_refused(call):
    with pytest.raises(NotImplementedError, match="sequences are not there"):
        call()


def test_jpegs_take_tensorflows_arguments_and_are_cropped(tmp_path):
    picture = np.kron(np.arange(48).reshape(4, 4, 3) * 5, np.ones((8, 8, 1))).astype(np.uint8)  # (32, 32, 3)
    whole = tf.io.decode_jpeg(tf.io.encode_jpeg(picture), channels=3, dct_method="INTEGER_ACCURATE")
    assert whole.shape == (32, 32, 3) and np.abs(whole.astype(int) - picture).max() < 30
    part = tf.image.decode_and_crop_jpeg(tf.io.encode_jpeg(picture), [8, 4, 10, 20], channels=3)
    np.testing.assert_array_equal(part, whole[8:18, 4:24])
    assert tf.io.decode_jpeg(tf.io.encode_jpeg(picture), 1, 1, True, False, 1, "INTEGER_FAST").shape == (32, 32, 1)
    for call in (lambda c: tf.io.decode_jpeg(c, 3, 3), lambda c: tf.io.decode_and_crop_jpeg(c, [30, 0, 5, 5])):
        with pytest.raises(ValueError, match="Received"):
            call(tf.io.encode_jpeg(picture))
