"""Steps of data sets that group elements anew, or choose among data sets, beside lists."""

import copy
import pickle
from collections import Counter

import numpy as np
import pytest

from minicnn.data import Dataset
from minicnn.data.elements import EagerArray
from minicnn.data.pass_counts import PassCounter
from minicnn.errors import DataError


def listed(dataset):
    return [element.tolist() for element in dataset]


@pytest.mark.parametrize("shift", [None, 1, 2, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("drop", [True, False])
def test_windows_are_slices(shift, stride, drop):
    for count in range(9):
        for size in (1, 3, 4):
            numbers = list(range(count))
            expected = [numbers[i : i + size * stride : stride] for i in range(0, count, shift or size)]
            expected = [part for part in expected if len(part) == size or not drop]
            windows = Dataset.range(count).window(size, shift, stride, drop)
            assert [listed(window) for window in windows] == expected and len(windows) == len(expected)


def test_filling_up_dictionaries():
    """With sizes and values for each part, in whatever order they are told; 0 axes have no size."""
    parts = Dataset.range(1, 3).map(lambda n: {"row": np.full(n, n), "pair": (n, np.full((1, n), -n))})
    sizes = {"pair": ((), (None, 3)), "row": [4]}
    (made,) = parts.padded_batch(2, sizes, {"pair": (0, 7), "row": 9})
    assert made["row"].tolist() == [[1, 9, 9, 9], [2, 2, 9, 9]]
    assert made["pair"][0].tolist() == [1, 2]
    assert made["pair"][1].tolist() == [[[-1, 7, 7]], [[-2, -2, 7]]]
    (made,) = parts.padded_batch(2)
    assert made["row"].tolist() == [[1, 0], [2, 2]]
    assert made["pair"][1].tolist() == [[[-1, 0]], [[-2, -2]]]


def test_nothing_to_draw_from():
    for datasets, weights in (([], None), ([Dataset.range(2)], [0.0]), ([Dataset.range(2)], [1, 1])):
        with pytest.raises(ValueError, match="takes data sets and a weight for each"):
            Dataset.sample_from_datasets(datasets, weights)


def test_windows_of_pairs_become_batches():
    pairs = Dataset.from_tensor_slices((np.arange(5), {"a": np.arange(5) * 10})).window(3, shift=2)
    numbers, tens = next(iter(pairs))
    assert listed(numbers) == [0, 1, 2] and listed(tens["a"]) == [0, 10, 20]
    batches = Dataset.range(6).window(4, shift=2, drop_remainder=True).flat_map(lambda window: window.batch(4))
    assert listed(batches) == [[0, 1, 2, 3], [2, 3, 4, 5]]


def rows(*lengths):
    return Dataset.range(len(lengths)).map(lambda n: np.full(lengths[int(n)], int(n) + 1))


def test_padded_batches():
    batches = rows(2, 1, 3).padded_batch(2)
    assert listed(batches) == [[[1, 1], [2, 0]], [[3, 3, 3]]] and len(batches) == 2
    assert listed(rows(2, 1, 3).padded_batch(2, [4], -1, drop_remainder=True)) == [[[1, 1, -1, -1], [2, -1, -1, -1]]]
    pairs = Dataset.zip(rows(2, 1), Dataset.range(2)).padded_batch(2, ([None], []), (9, 0))
    made, labels = next(iter(pairs))
    assert made.tolist() == [[1, 1], [2, 9]] and labels.tolist() == [0, 1]
    with pytest.raises(DataError, match="or larger"):
        listed(rows(2, 1).padded_batch(2, [1]))
    with pytest.raises(DataError, match="number of axes"):
        listed(rows(2, 1).padded_batch(2, [None, None]))


def test_rebatch_unique_scan_and_take_while():
    assert listed(Dataset.range(7).batch(3).rebatch(2)) == [[0, 1], [2, 3], [4, 5], [6]]
    assert listed(Dataset.from_tensor_slices([3, 1, 3, 2, 1]).unique()) == [3, 1, 2]
    sums = Dataset.range(1, 5).scan(np.int64(0), lambda state, n: (state + n, state + n))
    assert listed(sums) == [1, 3, 6, 10] == listed(sums)
    assert listed(Dataset.range(9).take_while(lambda n: n < 3)) == [0, 1, 2]


def test_choices():
    sets = [Dataset.range(3), Dataset.range(10, 12)]
    choice = Dataset.from_tensor_slices([1, 0, 1, 1, 0, 0])
    assert listed(Dataset.choose_from_datasets(sets, choice)) == [10, 0, 11]
    assert listed(Dataset.choose_from_datasets(sets, choice, stop_on_empty_dataset=False)) == [10, 0, 11, 1, 2]
    with pytest.raises(DataError, match="from 0 to 1"):
        listed(Dataset.choose_from_datasets(sets, Dataset.range(3)))


def test_samples_of_several_data_sets():
    sets = [Dataset.range(100), Dataset.range(100, 103)]
    both = Dataset.sample_from_datasets(sets, [0.5, 0.5], seed=3)
    made = listed(both)
    assert Counter(made) == Counter(range(103)) and made == listed(both)
    assert [n for n in made if n < 100] == list(range(100))  # each keeps its order
    first = listed(Dataset.sample_from_datasets(sets, [0.5, 0.5], seed=3, stop_on_empty_dataset=True))
    assert first == made[: len(first)] and len(first) < 103
    anew = Dataset.sample_from_datasets(sets, seed=3, rerandomize_each_iteration=True)
    assert len({str(listed(anew)) for _ in range(4)}) > 1
    endless = [Dataset.range(1).repeat(), Dataset.range(1, 2).repeat()]
    shares = np.mean(listed(Dataset.sample_from_datasets(endless, [0.2, 0.8], seed=1).take(2000)))
    assert abs(shares - 0.8) < 0.05
    with pytest.raises(ValueError, match="a weight for each"):
        Dataset.sample_from_datasets(sets, [1.0])


def test_snapshot_says_that_it_keeps_nothing():
    with pytest.warns(UserWarning, match="cache"):
        kept = Dataset.range(3).snapshot("somewhere")
    assert listed(kept) == [0, 1, 2] and len(kept) == 3


def records(*texts):
    """Text as parsed records hold it: objects, each made anew."""
    return Dataset.from_generator(
        lambda: (np.array(b"" + bytes(text, "ascii"), object).view(EagerArray) for text in texts)
    )


def test_equal_text_is_met_once():
    assert listed(records(*"abacab" * 5).unique()) == [b"a", b"b", b"c"]
    wide = Dataset.from_generator(lambda: iter([np.array(["a"]), np.array(["a"], "U9"), np.array(["b"])]))
    assert listed(wide.unique()) == [["a"], ["b"]]
    windows = Dataset.from_tensor_slices([1, 2, 1, 2, 2, 1]).window(2).unique()
    assert [listed(window) for window in windows] == [[1, 2], [2, 1]]


def test_columns_go_by_their_names():
    mixed = Dataset.range(4).map(lambda n: {"x": n, "y": n + 10} if n % 2 else {"y": n + 10, "x": n})
    (made,) = mixed.padded_batch(4)
    assert made["x"].tolist() == [0, 1, 2, 3] and made["y"].tolist() == [10, 11, 12, 13]
    (window,) = mixed.window(4)
    assert listed(window["x"]) == [0, 1, 2, 3] and len(window["x"]) == 4
    same = Dataset.from_generator(lambda: iter([{"x": 1, "y": 2}, {"y": 2, "x": 1}, {"x": 2, "y": 1}]))
    assert len(list(same.unique())) == 2
    others = Dataset.from_generator(lambda: iter([((1, 2), 3), (1, (2, 3))]))
    for step in (others.window(2), others.padded_batch(2)):
        with pytest.raises(DataError, match="same structure"):
            list(step)


def test_windows_are_no_arrays():
    with pytest.raises(DataError, match="window"):
        list(Dataset.range(6).window(3).batch(2))


def test_padding_is_what_was_told():
    texts = [np.array(["one"]), np.array(["two", "six"])]
    words = Dataset.from_generator(lambda: iter(texts))
    assert listed(words.padded_batch(2, padding_values="[PAD]")) == [[["one", "[PAD]"], ["two", "six"]]]
    assert listed(words.padded_batch(2)) == [[["one", ""], ["two", "six"]]]
    encoded = Dataset.from_generator(lambda: (np.strings.encode(t).astype(object).view(EagerArray) for t in texts))
    assert listed(encoded.padded_batch(2)) == [[[b"one", b""], [b"two", b"six"]]]
    assert listed(encoded.padded_batch(2, padding_values="-")) == [[[b"one", b"-"], [b"two", b"six"]]]
    assert listed(rows(1, 2).padded_batch(2, padding_values=9.0)) == [[[1, 9], [2, 2]]]
    floats = rows(1, 2).map(lambda row: row.astype("float32"))
    assert listed(floats.padded_batch(2, padding_values=0.1)) == [[[1, np.float32(0.1)], [2, 2]]]
    for dataset, value in ((rows(1, 2), 0.5), (rows(1, 2), np.nan), (rows(1, 2), "a"), (words, 0), (floats, [[1, 2]])):
        with pytest.raises(DataError, match="padding_values"):
            list(dataset.padded_batch(2, padding_values=value))
    small = rows(1, 2).map(lambda row: row.astype("uint8"))
    with pytest.raises(DataError, match="uint8"):
        list(small.padded_batch(2, padding_values=-1))


def test_a_scan_cannot_write_to_its_state():
    start = np.zeros(3)

    def counts(state, n):
        state[int(n)] += 1
        return state, state

    with pytest.raises(ValueError, match="read-only"):
        list(Dataset.range(3).scan(start, counts))
    assert not start.any() and len(Dataset.range(3).scan(start, counts)) == 3


def test_take_while_asks_one_question():
    with pytest.raises(DataError, match="one true or false"):
        list(rows(2, 3).take_while(lambda row: row > 0))


def test_choices_end_with_the_last_data_set():
    sets = [Dataset.range(2), Dataset.range(10, 11)]
    endless = Dataset.range(2).repeat()
    assert listed(Dataset.choose_from_datasets(sets, endless, stop_on_empty_dataset=False)) == [0, 10, 1]
    with pytest.raises(ValueError, match="one data set or more"):
        Dataset.choose_from_datasets([], endless)


def test_how_many_elements_several_data_sets_give():
    few, endless = Dataset.range(3), Dataset.range(2).repeat()
    sample, choose = Dataset.sample_from_datasets, Dataset.choose_from_datasets
    assert sample([few, endless]).cardinality() == sample([endless] * 2, stop_on_empty_dataset=True).cardinality() == -1
    assert sample([few, endless], [1, 0]).cardinality() == len(list(sample([few, endless], [1, 0]))) == 3
    assert sample([few, endless], stop_on_empty_dataset=True).cardinality() == -2
    assert choose([endless] * 2, endless).cardinality() == -1
    assert choose([few, endless], endless).cardinality() == choose([endless] * 2, few).cardinality() == -2
    assert choose([few, endless], endless, stop_on_empty_dataset=False).cardinality() == -1
    with pytest.raises(TypeError, match="list of numbers"):
        sample([few, few], few)


@pytest.mark.parametrize("told", [{}, {"output_types": (np.float32, np.int64)}])
@pytest.mark.parametrize("kind", [tuple, list])
def test_a_generator_may_fill_one_array_again_and_again(kind, told):
    def elements():
        image = np.zeros((2, 3), np.float32)
        for number in range(4):
            image[:] = number
            yield kind((image, number))

    ((images, numbers),) = Dataset.from_generator(elements, **told).cache().batch(4)
    assert images[:, 0, 0].tolist() == np.asarray(numbers).tolist() == [0, 1, 2, 3]


def test_a_generator_that_gives_more_than_it_was_said_to():
    dataset = Dataset.from_generator(lambda: iter([(np.zeros((2, 2)), 1)]), np.float32)
    with pytest.raises(DataError, match=r"gives one array, as it was told. Received: an element of type tuple"):
        list(dataset)


def test_lists_inside_what_map_returns_are_arrays():
    first, second = next(iter(Dataset.from_tensor_slices(np.arange(4.0)).map(lambda x: [x, [x, x]])))
    assert np.shape(first) == ()
    assert np.asarray(second).tolist() == [0.0, 0.0]


def test_a_data_set_without_end_is_not_shuffled_whole():
    with pytest.raises(ValueError, match=r"does not fit into memory: shuffle\(buffer_size\)"):
        Dataset.from_tensor_slices(np.arange(4)).repeat().shuffle(
            Dataset.from_tensor_slices([1]).filter(bool).cardinality()
        )


def test_counters_of_passes_can_be_copied():
    counter = PassCounter()
    assert [next(counter), next(counter)] == [0, 1]
    for copied in (copy.deepcopy(counter), pickle.loads(pickle.dumps(counter))):
        assert next(copied) == 2
    assert counter.count == 2
