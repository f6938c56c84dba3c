"""What data sets are told of their elements, and what they share with ``tf.data``, against values from TensorFlow."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import Dataset, TensorSpec, experimental
from minicnn.data.dataset import UNKNOWN_CARDINALITY
from minicnn.errors import DataError, FileFormatError
from minicnn.keras import tensorflow as tf


def generated(elements, **told):
    return Dataset.from_generator(lambda: iter(elements), **told)


@pytest.mark.parametrize(
    "told",
    [
        {"output_signature": (TensorSpec((2,), "float32"), {"n": TensorSpec((), "int32")})},
        {"output_types": ("float32", {"n": "int32"}), "output_shapes": ([None], {"n": ()})},
        {"output_types": (np.float32, {"n": np.int32})},
    ],
)
def test_elements_are_as_they_were_told(told):
    ((image, rest),) = generated([([1.5, 2], {"n": 3.0})], **told)
    assert image.dtype == np.float32
    assert rest["n"].dtype == np.int32
    assert image.tolist() == [1.5, 2]
    assert int(rest["n"]) == 3
    spec = generated([([1.5, 2], {"n": 3})], **told).element_spec
    assert spec[0].dtype == np.float32


def test_text_and_lists_in_the_place_of_tuples():
    ((name, number),) = generated([["a", 1]], output_types=(tf.string, tf.int64))
    assert name.numpy() == b"a"
    assert int(number) == 1


@pytest.mark.parametrize(
    ("element", "spec", "match"),
    [
        ([1, 2], TensorSpec((3,), "int32"), r"arrays of shape \(3,\), as it was told. Received: shape \(2,\)"),
        ([[1, 2]], TensorSpec((None,), "int32"), r"Received: shape \(1, 2\)"),
        (1, (TensorSpec(()), TensorSpec(())), "a tuple of 2. Received: an element of type int"),
        ((1,), (TensorSpec(()), TensorSpec(())), "a tuple of 2. Received: an element of type tuple of 1"),
        ({"a": 1}, {"b": TensorSpec(())}, r"\['b'\]. Received: an element of type dict of 1"),
        ("x", TensorSpec((), "float32"), "numbers of float32, as it was told. Received: dtype <U1"),
    ],
)
def test_elements_that_are_not(element, spec, match):
    with pytest.raises(DataError, match=match):
        list(generated([element], output_signature=spec))


def test_a_signature_of_no_specs():
    with pytest.raises(TypeError, match="output_signature is made of TensorSpec"):
        generated([1], output_signature="int32")


def test_lists_of_arrays_that_map_returns_are_tuples():
    """As in TensorFlow; of one shape, too, such as an image and its mask. Numbers of Python's are an array."""
    images = Dataset.from_tensor_slices(np.ones((2, 3, 3)))
    ((image, mask), label) = next(iter(images.map(lambda x: ([x, 2 * x], 1))))
    assert image.shape == mask.shape == (3, 3)
    assert mask[0, 0] == 2
    assert int(label) == 1
    assert isinstance(next(iter(images.map(lambda x: [x, x]))), tuple)
    assert next(iter(images.map(lambda x: [1, 2]))).tolist() == [1, 2]


def test_zip_of_any_structure():
    a, b = Dataset.range(2), Dataset.range(5, 9)
    assert [{k: int(v) for k, v in e.items()} for e in Dataset.zip({"a": a, "b": b})] == [
        {"a": 0, "b": 5},
        {"a": 1, "b": 6},
    ]
    assert [(int(x), int(y["c"])) for x, y in Dataset.zip(datasets=(a, {"c": b}))] == [(0, 5), (1, 6)]
    assert len(Dataset.zip(a, b)) == 2
    for wrong in ({"a": 3}, (a, [1]), ()):
        with pytest.raises(TypeError, match="zip takes data sets"):
            Dataset.zip(wrong)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 12), st.booleans())
def test_rebatch_with_several_sizes(sizes, count, drop):
    batches = [b.tolist() for b in Dataset.range(count).batch(3).rebatch(sizes, drop_remainder=drop)]
    expected, start, turn = [], 0, 0
    while start < count:
        size = sizes[turn % len(sizes)]
        part = list(range(start, min(start + size, count)))
        expected += [part] if len(part) == size or not drop else []
        start, turn = start + size, turn + 1
    assert batches == expected


def test_iterators():
    iterator = iter(Dataset.range(2))
    assert int(iterator.get_next()) == 0
    assert int(next(iterator)) == 1
    with pytest.raises(StopIteration):
        iterator.get_next()
    assert int(tf.data.make_one_shot_iterator(Dataset.range(1)).get_next()) == 0
    assert list(Dataset.range(2).as_numpy_iterator()) == [0, 1]


def test_options_that_change_nothing(tmp_path):
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    assert len(Dataset.range(3).with_options(options)) == 3
    assert isinstance(Dataset.range(3).options(), tf.data.Options)
    with pytest.warns(UserWarning, match="cache keeps elements in memory, and no file"):
        assert len(Dataset.range(3).cache(str(tmp_path / "file"))) == 3
    assert sorted(map(int, Dataset.range(9).shuffle(UNKNOWN_CARDINALITY, seed=1))) == list(range(9))


def test_transformations_for_apply(tmp_path):
    """Each as the method of its name."""
    numbers = Dataset.range(6)
    applied = {
        "unbatch": numbers.batch(4).apply(experimental.unbatch()),
        "unique": numbers.map(lambda n: n % 3).apply(experimental.unique()),
        "take_while": numbers.apply(experimental.take_while(lambda n: n < 2)),
        "scan": numbers.apply(experimental.scan(np.int64(0), lambda state, n: (state + n, state))),
        "ignore_errors": numbers.apply(experimental.ignore_errors()),
        "parallel_interleave": numbers.take(2).apply(experimental.parallel_interleave(lambda n: Dataset.range(2))),
        "prefetch_to_device": numbers.apply(experimental.prefetch_to_device("/gpu:0")),
        "copy_to_device": numbers.apply(experimental.copy_to_device("/gpu:0")),
        "sample": experimental.sample_from_datasets([numbers, numbers], [1.0, 0.0]),
        "choose": experimental.choose_from_datasets([numbers, numbers], Dataset.range(2)),
    }
    everything = list(range(6))
    expected = {
        "unique": [0, 1, 2],
        "take_while": [0, 1],
        "scan": [0, 0, 1, 3, 6, 10],
        "parallel_interleave": [0, 1, 0, 1],
        "choose": [0, 0],
    }
    for name, dataset in applied.items():
        assert list(map(int, dataset)) == expected.get(name, everything), name
    assert [int(i) for i, _ in numbers.apply(experimental.enumerate_dataset())] == everything
    groups = numbers.apply(experimental.group_by_window(lambda n: n % 2, lambda key, group: group.batch(3), 3))
    assert [g.tolist() for g in groups] == [[0, 2, 4], [1, 3, 5]]
    experimental.save(numbers, tmp_path / "kept")
    assert list(map(int, experimental.load(tmp_path / "kept"))) == everything
    assert int(experimental.get_single_element(numbers.take(1))) == 0
    assert len(list(experimental.RandomDataset(3).take(2))) == 2


def test_bytes_are_kept_in_files(tmp_path):
    """With zeros at their ends, as records have them, which NumPy's arrays of bytes lose."""
    records, names = [b"a\0\0", b"", b"bc\0d"], np.array([["x"], ["yz"], [""]])
    kept = Dataset.from_tensor_slices({"record": records, "name": names})
    for dataset in (kept, kept.batch(2)):
        dataset.save(tmp_path)
        loaded = Dataset.load(tmp_path)
        for _ in range(2):
            elements = list(loaded)
            assert [e["record"].tolist() for e in elements] == [e["record"].tolist() for e in dataset]
            assert [e["name"].tolist() for e in elements] == [e["name"].tolist() for e in dataset]
    assert [e["record"].tolist() for e in kept.batch(2)] == [records[:2], records[2:]]


def test_what_is_said_to_be_bytes_is_read_as_bytes_alone(tmp_path):
    Dataset.from_tensor_slices([b"a"]).save(tmp_path)
    numbers = io.BytesIO()
    np.save(numbers, np.array(1 << 40))
    with zipfile.ZipFile(tmp_path / "elements.zip", "w") as file:
        file.writestr("structure.json", '{"structure": 0, "count": 1}')
        file.writestr("0/0.bytes.npy", numbers.getvalue())
    with pytest.raises(FileFormatError, match=r"0/0.bytes.npy holds bytes. Received: an array of int64"):
        list(Dataset.load(tmp_path))
