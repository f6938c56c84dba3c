"""Steps of data sets beside TensorFlow's: the same elements."""

import numpy as np
import pytest
from real_keras import tf

from minicnn.keras import tensorflow as our_tf

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

STEPS = {
    "rebatch": lambda tf, of: of.range(7).batch(3).rebatch(2),
    "unique": lambda tf, of: of.from_tensor_slices([3, 1, 3, 2]).unique(),
    "scan": lambda tf, of: of.range(5).scan(np.int64(1), lambda state, n: (state + n, state * n)),
    "take_while": lambda tf, of: of.range(9).take_while(lambda n: n < 4),
    "windows of batches": lambda tf, of: of.range(9).window(4, 2, 2).flat_map(lambda window: window.batch(4)),
    "windows of pairs": lambda tf, of: (
        of.zip((of.range(6), of.range(6, 12)))
        .window(3, shift=1, drop_remainder=True)
        .flat_map(lambda a, b: of.zip((a.batch(3), b.batch(3))))
    ),
    "padded": lambda tf, of: of.range(1, 6).map(lambda n: tf.ones([n], tf.int64) * n).padded_batch(2),
    "padded to a shape": lambda tf, of: (
        of.range(1, 4).map(lambda n: (tf.ones([n]), n)).padded_batch(2, ([5], []), (7.0, np.int64(0)))
    ),
    "choices": lambda tf, of: of.choose_from_datasets(
        [of.range(3), of.range(5, 9)], of.from_tensor_slices(np.array([1, 0, 1, 0, 0, 0, 1, 1, 1])), False
    ),
    "choices to the first end": lambda tf, of: of.choose_from_datasets(
        [of.range(2), of.range(5, 9)], of.from_tensor_slices(np.array([1, 0, 1, 0, 0, 1]))
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_elements_are_those_of_tensorflow(step):
    theirs = list(STEPS[step](tf, tf.data.Dataset).as_numpy_iterator())
    mine = list(STEPS[step](our_tf, our_tf.data.Dataset).as_numpy_iterator())
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        pairs = zip(a, b, strict=True) if isinstance(b, tuple) else [(a, b)]
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)


def test_groups_by_windows():
    def groups(tf):
        numbers = tf.data.Dataset.range(17)
        made = numbers.group_by_window(
            lambda n: (n * 7) % 4, lambda key, group: group.batch(3), window_size_func=lambda key: key + 2
        )
        return [batch.numpy().tolist() for batch in made]

    assert groups(our_tf) == groups(tf)


def test_features_of_any_length():
    def sparse(tf):
        features = [tf.train.Feature(int64_list=tf.train.Int64List(value=v)) for v in ([3], [0, 2], [])]
        records = [tf.train.Example(features=tf.train.Features(feature={"a": f})).SerializeToString() for f in features]
        made = tf.io.parse_example(records, {"a": tf.io.VarLenFeature(tf.int64)})["a"]
        return [x.numpy() for x in (made.values, made.indices, made.dense_shape, tf.sparse.to_dense(made, -1))]

    for ours, theirs in zip(sparse(our_tf), sparse(tf), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
