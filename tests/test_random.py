"""Random numbers: the published test vectors of Philox, statistics, and what repeats with a seed."""

import subprocess
import sys

import numpy as np
import pytest

import minicnn as mc
from minicnn import backends, random


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # from Random123's kat_vectors, philox4x32 10
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    assert [int(w) for w in random.philox4x32(counter, key)] == expected


def test_uniform_is_made_of_philox_words():
    """Element i: word i mod 4 of the block with counter (i // 4, stream, step low, step high), key (seed low, high)."""
    seed, stream, step = 0x0123456789ABCDEF, 7, (5 << 32) | 3
    values = random.uniform(seed, stream, step, 11)
    assert values.dtype == np.float32
    for i, value in enumerate(values):
        words = random.philox4x32((i // 4, stream, 3, 5), (0x89ABCDEF, 0x01234567))
        assert value == np.float32((int(words[i % 4]) >> 8) * 2.0**-24)


def test_uniform_is_uniform():
    x = random.uniform(11, 2, 3, 200_000).astype(np.float64)
    assert x.min() >= 0
    assert x.max() < 1
    assert abs(x.mean() - 0.5) < 5 * np.sqrt(1 / 12 / x.size)
    counts, _ = np.histogram(x, 64, (0, 1))
    chi_squared = ((counts - x.size / 64) ** 2 / (x.size / 64)).sum()
    assert chi_squared < 63 + 5 * np.sqrt(2 * 63)
    for lag in (1, 2, 3, 4, 8):
        assert abs(np.corrcoef(x[:-lag], x[lag:])[0, 1]) < 5 / np.sqrt(x.size)


def test_streams_steps_and_seeds_do_not_meet():
    keys = [
        (1, 0, 0),
        (2, 0, 0),
        (1 << 33, 0, 0),
        (1, 1, 0),
        (1, 2, 0),
        (1, 0, 1),
        (1, 0, 1 << 32),
        (2**63 - 1, 2**32 - 1, 2**63),
    ]
    draws = [tuple(random.uniform(*key, 16)) for key in keys]
    assert len(set(draws)) == len(keys)
    np.testing.assert_array_equal(random.uniform(1, 0, 0, 16)[:5], random.uniform(1, 0, 0, 5))
    assert len(random.uniform(1, 0, 0, 0)) == 0


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 3, 16, 1000, 70_001])
def test_dropout_kernels_draw_these_numbers(name, dtype, count):
    backend = backends.get(name)
    x, y = backend.empty((count,), dtype), backend.empty((count,), dtype)
    x[...] = np.linspace(1, 2, count)
    for seed, stream, step in ((5, 0, 0), (2**63 - 1, 9, 2**32 + 4)):
        backend.ops.dropout(x, y, 0.3, seed, stream, step)
        keep = random.uniform(seed, stream, step, count) >= 0.3
        np.testing.assert_array_equal(y != 0, keep)
        np.testing.assert_allclose(y[keep], x[keep] / 0.7, rtol=1e-6)


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("shape, first", [((5, 3), 4), ((40, 7, 5), 20), ((1030, 31), 1024), ((3,), 8)])
def test_a_part_of_a_batch_has_the_numbers_of_the_whole(name, shape, first):
    backend = backends.get(name)
    whole = random.uniform(7, 1, 2**33 + 5, (first + shape[0]) * int(np.prod(shape[1:]))).reshape(-1, *shape[1:])
    numbers, x, y = backend.empty(shape, "float32"), backend.empty(shape, "float32"), backend.empty(shape, "float32")
    backend.ops.uniform(numbers, 7, 1, 2**33 + 5, first)
    np.testing.assert_array_equal(numbers, whole[first:])
    x.fill(1)
    backend.ops.dropout(x, y, 0.3, 7, 1, 2**33 + 5, first)
    np.testing.assert_array_equal(y != 0, whole[first:] >= 0.3)


def test_generators_depend_on_all_their_arguments():
    arguments = [(1, "a", 0, 0), (2, "a", 0, 0), (1, "b", 0, 0), (1, "a", 0, 1), (1, "a", 1, 0), (2**62, "a", 0, 0)]
    assert len({random.generator(*a).integers(2**60) for a in arguments}) == len(arguments)
    assert random.generator(1, "a", 3).integers(2**60) == random.generator(1, "a", 3).integers(2**60)


def test_seeds_are_drawn_in_order():
    random.set_seed(4)
    first = [random.next_seed() for _ in range(5)]
    random.set_seed(4)
    assert [random.next_seed() for _ in range(5)] == first
    assert len(set(first)) == 5
    assert all(0 <= s < 2**63 for s in first)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", None, True])
def test_bad_seeds(seed):
    before = dict(random._state)
    with pytest.raises(ValueError, match="a seed is an integer"):
        random.set_seed(seed)
    assert random._state == before


def test_numpy_integers_are_seeds_and_numpys_own_state_is_left_alone():
    random.set_seed(np.int64(3))
    np.random.seed(0)
    expected = np.random.RandomState(0).uniform(size=3)
    model = mc.Sequential([mc.Input((4,)), mc.layers.Dropout(0.5), mc.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    np.testing.assert_array_equal(np.random.uniform(size=3), expected)


def test_without_a_seed_processes_differ():
    code = "import minicnn as mc; print(mc.random.next_seed())"
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 2
