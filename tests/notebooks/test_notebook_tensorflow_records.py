"""TensorFlow's files of records, numbers for TensorBoard and random distributions, as scripts of images use them.

The oracle is the format as TensorFlow documents it, and the moments of the distributions.
"""

import struct

import numpy as np
import pytest

from minicnn import keras
from minicnn.errors import FileFormatError
from minicnn.keras import tensorflow as tf


def record_of(label, picture=b"pixels\x00"):
    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[picture])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "box": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, -1])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_a_pipeline_of_records(compression):
    for part in range(2):
        with tf.io.TFRecordWriter(f"train-{part}.tfrec", options=tf.io.TFRecordOptions(compression)) as writer:
            for i in range(3):
                writer.write(record_of(3 * part + i))
    kinds = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "box": tf.io.FixedLenFeature([2], tf.float32),
        "others": tf.io.VarLenFeature(tf.int64),
        "weight": tf.io.FixedLenFeature([], tf.float32, default_value=1.0),
    }
    options = tf.data.Options()
    options.experimental_deterministic = False
    files = sorted(tf.io.gfile.glob("train-*.tfrec"))
    data = tf.data.TFRecordDataset(files, compression_type=compression).with_options(options)
    found = list(data.map(lambda record: tf.io.parse_single_example(record, kinds)))
    assert [int(each["label"]) for each in found] == list(range(6))
    assert found[0]["image"].numpy() == b"pixels\x00" and found[0]["others"].shape == (0,)
    np.testing.assert_array_equal(found[5]["box"], np.array([0.5, -1], "float32"))
    example = tf.train.Example()
    example.ParseFromString(next(iter(data)).numpy())
    assert example.features.feature["label"].int64_list.value == [0]


def test_the_bytes_are_those_of_the_format():
    with tf.io.TFRecordWriter("one.tfrec") as writer:
        writer.write(b"123456789")
    with open("one.tfrec", "rb") as file:
        data = file.read()
    assert data[:8] == struct.pack("<Q", 9) and data[12:21] == b"123456789"
    crc = 0xE3069283  # of "123456789", as RFC 3720 has CRC-32C
    assert struct.unpack("<I", data[21:])[0] == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_damaged_records_say_so():
    with tf.io.TFRecordWriter("whole.tfrec") as writer:
        writer.write(record_of(1))
    with open("whole.tfrec", "rb") as file:
        data = file.read()
    for name, content, said in (("cut", data[:-9], "ends within"), ("other", b"PNG" + data, "compression_type")):
        with open(f"{name}.tfrec", "wb") as file:
            file.write(content)
        with pytest.raises(FileFormatError, match=said):
            list(tf.data.TFRecordDataset(f"{name}.tfrec"))
    with pytest.raises(ValueError, match="'label' has 2 value"):
        tf.io.parse_single_example(record_of(1), {"label": tf.io.FixedLenFeature([2], tf.int64)})


def test_distributions_have_their_moments():
    keras.utils.set_random_seed(3)
    gamma = tf.random.gamma([20000], alpha=[0.5, 4.0], beta=2.0)  # mean alpha / beta, variance alpha / beta²
    assert gamma.shape == (20000, 2)
    np.testing.assert_allclose(np.mean(gamma, axis=0), [0.25, 2], rtol=0.05)
    np.testing.assert_allclose(np.var(gamma, axis=0), [0.125, 1], rtol=0.15)
    assert np.mean(tf.random.poisson([20000], 3.0)) == pytest.approx(3, rel=0.05)
    beta = np.asarray(keras.random.beta((20000,), 2.0, 6.0))
    assert beta.mean() == pytest.approx(0.25, rel=0.05) and 0 <= beta.min() <= beta.max() <= 1
    drawn = tf.random.categorical(np.log([[0.1, 0.2, 0.7]]), 20000).numpy()
    np.testing.assert_allclose(np.bincount(drawn[0]) / 20000, [0.1, 0.2, 0.7], atol=0.03)
    assert sorted(keras.random.shuffle(np.arange(10)).tolist()) == list(range(10))
    kept = np.asarray(keras.random.dropout(np.ones(20000, "float32"), 0.25, seed=1))
    assert set(np.unique(kept)) == {0, np.float32(1 / 0.75)} and kept.mean() == pytest.approx(1, rel=0.03)


def test_summaries_without_tensorboardx(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.warns(UserWarning, match="tensorboardX"):
        writer = tf.summary.create_file_writer("logs")
    with writer.as_default():
        assert tf.summary.scalar("loss", 0.5, step=1)
    assert not tf.summary.scalar("loss", 0.5, step=1)


def test_strategies_run_what_they_are_given():
    strategy = tf.distribute.MirroredStrategy()
    with strategy.scope():
        mean = keras.losses.MeanSquaredError(reduction=keras.losses.Reduction.NONE)
    per_replica = strategy.run(
        lambda a, b: tf.nn.compute_average_loss(mean(a, b)), args=(np.ones((4, 2)), np.zeros((4, 2)))
    )
    assert float(strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)) == 1
    with pytest.raises(ValueError, match="TPU"):
        tf.distribute.cluster_resolver.TPUClusterResolver()
    metric = keras.metrics.BinaryAccuracy()
    metric.update_state(1.0, np.array([[0.9], [0.2]], "float32"))  # one target for all
    assert float(metric.result()) == 0.5
    metric.reset_states()
    assert float(metric.result()) == 0
