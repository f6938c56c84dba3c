"""`mc.data.Dataset` against plain Python."""

import itertools
import queue
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn as mc
from minicnn.data import AUTOTUNE, INFINITE_CARDINALITY, UNKNOWN_CARDINALITY, Dataset

counts = st.integers(0, 9)


def numbers(dataset):
    return [np.asarray(element).tolist() for element in dataset]


def test_slices_are_samples_of_all_parts():
    x, y = np.arange(12.0).reshape(3, 2, 2), np.array([5, 6, 7])
    for i, (image, label) in enumerate(Dataset.from_tensor_slices((x, y))):
        assert np.array_equal(image, x[i])
        assert label == y[i]
    named = list(Dataset.from_tensor_slices(({"a": x, "b": y}, y[:, None])))
    assert np.array_equal(named[2][0]["a"], x[2])
    assert named[2][1].shape == (1,)


def test_views_and_lists_are_sources():
    x = np.arange(10)
    assert numbers(Dataset.from_tensor_slices(x[::-2])) == [9, 7, 5, 3, 1]
    assert numbers(Dataset.from_tensor_slices([3, 1, 2])) == [3, 1, 2]
    assert numbers(Dataset.from_tensors([1, 2])) == [[1, 2]]


def test_a_generator_starts_anew_for_each_pass():
    dataset = Dataset.from_generator(lambda n: ((i, [i, i]) for i in range(n)), args=(3,))
    for _ in range(2):
        assert [(int(a), b.tolist()) for a, b in dataset] == [(0, [0, 0]), (1, [1, 1]), (2, [2, 2])]


@given(st.integers(0, 30), st.integers(1, 9), st.booleans(), st.booleans())
def test_batches(count, size, drop, slices):
    source = Dataset.from_tensor_slices(np.arange(count)) if slices else Dataset.range(count)
    batches = source.batch(size, drop_remainder=drop)
    expected = [list(range(i, min(i + size, count))) for i in range(0, count, size)]
    expected = [b for b in expected if len(b) == size or not drop]
    assert numbers(batches) == expected
    assert len(batches) == len(expected)
    assert numbers(batches.unbatch()) == list(itertools.chain(*expected))


@given(counts, counts, st.integers(1, 4), counts)
def test_take_skip_shard_repeat_concatenate(count, some, shards, more):
    dataset = Dataset.range(count)
    for made, expected in (
        (dataset.take(some), list(range(count))[:some]),
        (dataset.skip(some), list(range(count))[some:]),
        (dataset.take(-1), list(range(count))),
        (dataset.skip(-1), []),
        (dataset.shard(shards, shards - 1), list(range(count))[shards - 1 :: shards]),
        (dataset.repeat(some), list(range(count)) * some),
        (dataset.concatenate(Dataset.range(more)), [*range(count), *range(more)]),
        (dataset.cache(), list(range(count))),
        (dataset.prefetch(AUTOTUNE), list(range(count))),
    ):
        assert numbers(made) == expected
        assert len(made) == len(expected)
        assert numbers(made) == expected  # a second pass


def test_an_endless_data_set_has_no_length():
    endless = Dataset.range(3).repeat()
    assert endless.cardinality() == INFINITE_CARDINALITY
    with pytest.raises(TypeError, match=r"infinite; .*take\(n\)"):
        len(endless)
    assert numbers(endless.take(7)) == [0, 1, 2, 0, 1, 2, 0]
    assert numbers(Dataset.range(0).repeat()) == []
    beside = Dataset.zip(endless, Dataset.range(5), Dataset.range(4))
    assert beside.cardinality() == len(list(beside)) == 4
    assert len(Dataset.range(5).take(np.floor(3.7))) == 3  # as in TensorFlow
    for wrong in (3.0, 2.5, np.float64(np.inf)):
        with pytest.raises(TypeError, match=r"expected an integer\. Received: "):
            Dataset.range(5).take(wrong)
    assert Dataset.zip(endless, endless).cardinality() == INFINITE_CARDINALITY


def test_map_and_filter_unpack_tuples():
    pairs = Dataset.zip((Dataset.range(6), Dataset.range(10, 20)))
    assert len(pairs) == 6
    assert numbers(pairs.map(lambda a, b: a + b)) == [10, 12, 14, 16, 18, 20]
    odd = pairs.filter(lambda a, b: a % 2 == 1).map(lambda a, b: b)
    assert numbers(odd) == [11, 13, 15]
    assert odd.cardinality() == UNKNOWN_CARDINALITY
    assert odd.take(1).cardinality() == UNKNOWN_CARDINALITY  # these two as in TensorFlow
    assert Dataset.zip(odd, Dataset.range(3)).cardinality() == UNKNOWN_CARDINALITY
    assert [(int(i), int(e)) for i, e in Dataset.range(5, 7).enumerate(start=3)] == [(3, 5), (4, 6)]
    assert numbers(Dataset.range(4).map(lambda n: {"n": n}).map(lambda d: d["n"])) == [0, 1, 2, 3]


@pytest.mark.parametrize("threads", [1, 3, AUTOTUNE])
def test_map_in_threads_keeps_the_order_and_its_errors(threads):
    assert numbers(Dataset.range(50).map(lambda n: n * n, num_parallel_calls=threads)) == [n * n for n in range(50)]

    def fails(n):
        if n == 7:
            raise RuntimeError("seven")
        return n

    with pytest.raises(RuntimeError, match="seven"):
        list(Dataset.range(50).map(fails, num_parallel_calls=threads).prefetch(2))


def test_work_ahead_is_bounded():
    made, go_on = [], threading.Event()
    dataset = Dataset.from_generator(lambda: (made.append(i) or i for i in itertools.count())).prefetch(3)
    iterator = iter(dataset)
    assert next(iterator) == 0
    go_on.wait(0.05)
    assert len(made) <= 6  # one is used, three are ready, one is in the reader's hand, and one has been asked for
    iterator = None
    threads = Dataset.range(10**9).map(lambda n: made.append(int(n)) or n, num_parallel_calls=2)
    made.clear()
    assert numbers(threads.take(3)) == [0, 1, 2]
    assert len(made) < 20


@pytest.mark.parametrize("count", [1, 3, AUTOTUNE])
def test_prefetch_before_batch_makes_ahead_and_leaves_batches_in_parts(count):
    threads = set()

    def squared(number):
        threads.add(threading.current_thread().name)
        return number * number

    for source in (Dataset.range(10), Dataset.from_tensor_slices(np.arange(10))):
        dataset = source.map(squared, num_parallel_calls=2).prefetch(count).take(7).prefetch(count).batch(3)
        assert [batch.tolist() for batch in dataset] == [[0, 1, 4], [9, 16, 25], [36]]
        parts = list(dataset.in_parts())
        assert [part.read(part.numbers[1:]).tolist() for part in parts[:2]] == [[1, 4], [16, 25]]
    assert threading.current_thread().name not in threads
    assert list(Dataset.from_tensor_slices(np.arange(5)).prefetch(2).batch(2).in_parts())[1].numbers == [2, 3]


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("count", [1, 5])
def test_prefetch_behind_a_map_has_elements_ready_before_they_are_asked_for(count, later):
    """One is used, `count` are ready, one is in the reader's hand, and two are the thread's that maps."""
    made = queue.Queue()
    dataset = Dataset.range(100).map(lambda n: made.put(int(n)) or n * n, num_parallel_calls=1).prefetch(count)
    if later:
        dataset = dataset.map(lambda n: n + 1, num_parallel_calls=1)
    iterator = iter(dataset)
    assert next(iterator) == int(later)
    assert [made.get(timeout=20) for _ in range(count + 3)] == list(range(count + 3))
    assert made.empty()


def test_an_error_while_elements_are_made_ahead_comes_in_its_turn():
    def fails(n):
        if n == 7:
            raise RuntimeError("seven")
        return n

    batches = iter(Dataset.range(50).map(fails, num_parallel_calls=2).prefetch(9).batch(3))
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(RuntimeError, match="seven"):
        next(batches)


@given(st.integers(1, 40), st.integers(1, 50), st.booleans())
def test_shuffle_draws_each_element_once_and_from_its_buffer(count, buffer, slices):
    source = Dataset.from_tensor_slices(np.arange(count)) if slices else Dataset.range(count)
    order = numbers(source.shuffle(buffer, seed=3))
    assert sorted(order) == list(range(count))
    assert all(element < place + buffer for place, element in enumerate(order))


def test_orders_of_passes_and_seeds():
    dataset = Dataset.range(100).shuffle(100, seed=1)
    first, second = numbers(dataset), numbers(dataset)
    assert first != second
    assert first == numbers(Dataset.range(100).shuffle(100, seed=1))
    fixed = Dataset.range(100).shuffle(100, seed=1, reshuffle_each_iteration=False)
    assert numbers(fixed) == numbers(fixed)
    orders = []
    for _ in range(2):
        mc.utils.set_random_seed(4)
        orders.append(numbers(Dataset.range(100).shuffle(100)))
    assert orders[0] == orders[1] != list(range(100))


def test_cache_computes_once_and_only_complete_passes_count():
    calls = []
    dataset = Dataset.range(3).map(lambda n: calls.append(int(n)) or n).cache()
    next(iter(dataset))
    assert calls == [0]
    for _ in range(3):
        assert numbers(dataset) == [0, 1, 2]
    assert calls == [0, 0, 1, 2]


def test_arrays_have_numpy_and_so_have_their_items():
    (images, labels) = next(iter(Dataset.from_tensor_slices((np.ones((2, 3, 3)), np.array([4, 5]))).batch(2)))
    assert type(images[0].numpy()) is np.ndarray
    assert ["a"] * 4 + ["b", "c"][int(labels[0]) - 4 :]
    assert list("abcdef")[labels[1]] == "f"
    assert labels[1].numpy() == 5
    assert type(next(Dataset.range(1).as_numpy_iterator())) is np.int64  # as in TensorFlow


@pytest.mark.parametrize("seed", [None, 5])
def test_a_model_trains_on_it_as_on_arrays(seed):
    rng = np.random.default_rng(0)
    x, y = rng.random((50, 6), np.float32), rng.integers(0, 3, 50)
    dataset = Dataset.from_tensor_slices((x, y)).batch(16)

    def model():
        mc.utils.set_random_seed(2)
        made = mc.Sequential([mc.Input((6,)), mc.layers.Dense(3, activation="softmax")])
        made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], backend="numpy")
        return made

    a, b = model(), model()
    expected = a.fit(x, y, batch_size=16, epochs=3, shuffle=False, validation_data=(x, y), verbose=0)
    received = b.fit(dataset.prefetch(AUTOTUNE), epochs=3, validation_data=dataset, verbose=0)
    assert received.history == expected.history
    assert b.evaluate(dataset, verbose=0) == a.evaluate(x, y, batch_size=16, verbose=0)
    assert np.array_equal(b.predict(dataset.map(lambda x, y: x), verbose=0), a.predict(x, batch_size=16, verbose=0))


def test_an_endless_data_set_trains_with_steps():
    x, y = np.random.default_rng(0).random((20, 6), np.float32), np.arange(20) % 3
    model = mc.Sequential([mc.Input((6,)), mc.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", backend="numpy")
    endless = Dataset.from_tensor_slices((x, y)).repeat().batch(8)
    assert len(model.fit(endless, steps_per_epoch=4, epochs=2, verbose=0).history["loss"]) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dataset.from_tensor_slices((np.ones(3), np.ones(4))), r"same number of samples.*\(3,\), \(4,\)"),
        (lambda: Dataset.from_generator(iter([1])), "takes a function that makes a generator"),
        (lambda: Dataset.range(3).batch(0), "batch_size"),
        (lambda: Dataset.range(3).map(abs, num_parallel_calls=0), "`num_parallel_calls` must be"),
        (lambda: list(Dataset.from_generator(lambda: iter([np.ones(2), np.ones(3)])).batch(2)), "one shape"),
        (lambda: list(Dataset.from_generator(lambda: iter([(1, 2), 3])).batch(2)), "same structure"),
        (lambda: Dataset.zip((Dataset.range(3), [1])), "zip takes data sets"),
        (lambda: Dataset.range(3).shard(2, 2), "index is from 0"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
