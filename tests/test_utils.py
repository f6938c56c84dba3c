"""The helpers of `minicnn.utils`."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn as mc
from minicnn import utils


@pytest.fixture
def global_generators():
    """Python's and NumPy's own generators, which are afterwards as they were."""
    states = random.getstate(), np.random.get_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])


# ------------------------------------------------------------------------------------------------- random numbers


def draws():
    """One number from each source."""
    return random.random(), np.random.uniform(), mc.initializers.HeNormal()((2, 2)).tolist()


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**63 - 1, np.int64(7)])
def test_a_seed_decides_all_three_generators(global_generators, seed):
    utils.set_random_seed(seed)
    first = draws()
    utils.set_random_seed(seed)
    assert draws() == first
    others = draws()
    assert all(a != b for a, b in zip(first, others, strict=True))


def test_the_users_draws_are_those_of_keras(global_generators):
    utils.set_random_seed(5)
    assert np.random.randint(1000) == np.random.RandomState(5).randint(1000)
    assert random.random() == random.Random(5).random()


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", None, True])
def test_a_bad_seed_seeds_nothing(global_generators, seed):
    before = random.getstate(), np.random.get_state()[1].tolist()
    with pytest.raises(ValueError, match="a seed is an integer"):
        utils.set_random_seed(seed)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


# ------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("order", [1, 2, np.inf])
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), axis=st.integers(-1, 2), seed=st.integers(0, 2**31))
def test_normalized_arrays_have_norm_one(order, shape, axis, seed):
    axis = min(axis, len(shape) - 1)
    x = np.random.default_rng(seed).normal(0, 5, shape)
    result = utils.normalize(x, axis, order)
    sizes = np.abs(result)
    norm = {1: sizes.sum(axis), 2: np.sqrt((sizes**2).sum(axis)), np.inf: sizes.max(axis)}[order]
    assert np.allclose(norm, 1, rtol=1e-12)
    assert np.allclose(result * np.linalg.norm(x, order, axis, keepdims=True), x, rtol=1e-12)


def test_normalize_keeps_zeros_and_takes_pixels():
    pixels = np.array([[3, 0], [4, 0]], "uint8")
    assert np.allclose(utils.normalize(pixels, axis=0), [[0.6, 0], [0.8, 0]])
    assert np.allclose(utils.normalize(pixels), [[1, 0], [1, 0]])
    assert utils.normalize(pixels).dtype == np.float64
    assert utils.normalize(pixels.astype("float32")).dtype == np.float32
    assert pixels.tolist() == [[3, 0], [4, 0]]


def test_normalize_images():
    scaled = utils.normalize_images(np.array([0, 51, 255], "uint8"))
    assert scaled.dtype == np.float32
    assert np.allclose(scaled, [0, 0.2, 1])


@pytest.mark.parametrize("labels", [[2, 0], [[2], [0]], np.array([2.0, 0.0]), np.array([2, 0], "uint8")])
def test_one_hot_rows(labels):
    expected = [[0, 0, 1], [1, 0, 0]]
    for result in (utils.to_categorical(labels), utils.to_categorical(labels, 3), utils.one_hot(labels, 3)):
        assert result.dtype == np.float32
        assert result.tolist() == expected
    assert utils.to_categorical(labels, 5).shape == (2, 5)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 3], 3, r"must lie in 0 … 2. Received: 0 … 3"),
        ([-1, 1], None, r"must lie in 0 … 1. Received: -1 … 1"),
        ([0.5], None, r"integers from 0 on. Received: dtype float64, 1 values"),
        (["a"], None, r"integers from 0 on. Received: dtype <U1"),
        ([], None, r"integers from 0 on. Received: dtype float64, 0 values"),
        ([0], 0, r"`num_classes` must be an integer of at least 1. Received: num_classes=0"),
    ],
)
def test_labels_that_are_none(labels, classes, message):
    with pytest.raises(ValueError, match=message):
        utils.to_categorical(labels, classes)


# ------------------------------------------------------------------------------------------------- the rest


def test_clear_session_numbers_layers_anew():
    assert [mc.layers.Dense(1).name, mc.layers.Dense(1).name] == ["dense", "dense_1"]
    utils.clear_session()
    assert mc.layers.Dense(1).name == "dense"


def test_a_sequence_is_written_by_its_user():
    sequence = utils.Sequence()
    for call in (lambda: len(sequence), lambda: sequence[0]):
        with pytest.raises(NotImplementedError):
            call()
    assert sequence.on_epoch_end() is None
