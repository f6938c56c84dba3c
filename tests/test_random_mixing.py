"""MixUp and CutMix as layers, and dicts of images and labels."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers
from minicnn.layers import random_mixing

COUNT = 24
LABELS = np.eye(COUNT, dtype="float32")


def numbered(height=8, width=10, first=False):
    """(N, H, W, 1) images, each full of its number."""
    shape = (1, height, width) if first else (height, width, 1)
    return np.broadcast_to(np.arange(COUNT, dtype="float32").reshape(-1, 1, 1, 1), (COUNT, *shape))


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 4.0])
def test_beta_variates(alpha):
    rng = np.random.default_rng(5)
    numbers = rng.random((40_000, random_mixing.NUMBERS)).astype("float32").astype("float64")
    made = random_mixing.beta(numbers, alpha)
    expected = rng.beta(alpha, alpha, 40_000)
    for part in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        assert abs(np.mean(made < part) - np.mean(expected < part)) < 0.02
    assert made.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


def test_permutations():
    rng = np.random.default_rng(6)
    seen = set()
    for _ in range(200):
        order = random_mixing.permutation(rng.random(3))
        seen.add(tuple(order.tolist()))
        np.testing.assert_array_equal(order[random_mixing.inverse(order)], np.arange(3))
    assert len(seen) == 6
    np.testing.assert_array_equal(random_mixing.permutation(np.array([0.5, 0.1, 0.5, 0.5])), [1, 0, 2, 3])


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("first", [False, True])
def test_mixup_in_a_model(backend, first):
    images = numbered(first=first)
    mc.set_backend(backend)
    order = "channels_first" if first else None
    mixed = layers.MixUp(0.5, data_format=order, seed=2)(images)
    assert mixed.shape == images.shape
    value = mixed.reshape(COUNT, -1)
    assert (value == value[:, :1]).all()  # one share for all of an image
    assert np.sum(np.abs(value[:, 0] - np.arange(COUNT)) > 1e-3) > 12
    assert abs(value.mean() - np.arange(COUNT).mean()) > 1e-6  # shares differ
    model = mc.Sequential([mc.Input(images.shape[1:]), layers.MixUp(data_format=order), layers.Flatten()])
    np.testing.assert_array_equal(model(images), images.reshape(COUNT, -1))


def test_cutmix_puts_rectangles():
    images = numbered(40, 50)
    mixed = layers.CutMix(seed=3)(images)[..., 0]
    cut = 0
    for n, image in enumerate(mixed):
        assert len(np.unique(image)) <= 2
        rows, columns = np.nonzero(image != n)
        if len(rows):
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            assert np.ptp(rows) / 40 == pytest.approx(np.ptp(columns) / 50, abs=0.05)
            cut += 1
    assert cut > 12


@pytest.mark.parametrize("number", [0.0, 0.5])
def test_a_batch_has_one_alpha_of_the_range(number):
    """0.25 + 0.5 · number, whose first one counts, beside a range of that alone."""
    numbers = np.random.default_rng(7).random((6, random_mixing.NUMBERS))
    numbers[0, random_mixing.ALPHA] = number
    made = layers.CutMix((0.25, 0.75)).drawn(numbers, 40, 50)["batch_masks"]
    alpha, other = (0.25, 0.5) if number == 0 else (0.5, 0.25)
    np.testing.assert_array_equal(made, layers.CutMix((alpha, alpha)).drawn(numbers, 40, 50)["batch_masks"])
    assert (made != layers.CutMix((other, other)).drawn(numbers, 40, 50)["batch_masks"]).any()


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("make", [layers.MixUp, layers.CutMix])
def test_labels_follow_their_images(make, first):
    images = numbered(60, 60, first)
    layer = make(data_format="channels_first" if first else None, seed=4)
    before = LABELS.copy()
    mixed = layer({"images": images, "labels": LABELS})
    assert mixed["images"].shape == images.shape
    np.testing.assert_allclose(mixed["labels"].sum(1), 1, rtol=1e-6)
    found = mixed["images"].mean((1, 2, 3))  # of numbered images: the labels' mean
    np.testing.assert_allclose(found, mixed["labels"] @ np.arange(COUNT), atol=1e-4 if make is layers.MixUp else 1.2)
    assert np.sum(np.abs(found - np.arange(COUNT)) > 0.1) > 12
    np.testing.assert_array_equal(LABELS, before)
    unchanged = layer({"images": images, "labels": LABELS}, training=False)
    np.testing.assert_array_equal(unchanged["images"], images)
    np.testing.assert_array_equal(unchanged["labels"], LABELS)
    with pytest.raises(ValueError, match="one-hot"):
        layer({"images": images, "labels": np.arange(COUNT)})


def test_given_transformations():
    images, labels = numbered(2, 2)[:3], LABELS[:3]
    order, share = np.array([2, 0, 1]), np.array([0.25, 1.0, 0.5])
    by = {"mix_weight": share, "permutation_order": order, "batch_masks": np.zeros((3, 2, 2, 1), bool)}
    by["batch_masks"][0, 1, 0] = True
    mixed = layers.MixUp().transform_images(images, by)
    assert [i[0, 0, 0] for i in mixed] == [0.25 * 0 + 0.75 * 2, 1, 0.5 * 2 + 0.5 * 1]
    made = layers.MixUp().transform_labels(labels, by)[:, :3]
    np.testing.assert_allclose(made, [[0.25, 0, 0.75], [0, 1, 0], [0, 0.5, 0.5]])
    cut = layers.CutMix().transform_images(images, by)
    assert cut[0, ..., 0].tolist() == [[0, 0], [2, 0]]
    assert (cut[1:] == images[1:]).all()
    erase = {"apply_erasing": np.array([True, False, True]), "batch_masks": by["batch_masks"], "fill_value": 7}
    assert layers.RandomErasing().transform_images(images, erase)[..., 0].tolist()[0] == [[0, 0], [7, 0]]
    assert (layers.RandomErasing().transform_images(images, erase, training=False) == images).all()


def test_dicts_of_images():
    images = np.random.default_rng(0).random((4, 5, 6, 3)).astype("float32")
    flipped = layers.RandomFlip("horizontal", seed=1)({"images": images, "labels": [1, 2, 3, 4]})
    np.testing.assert_array_equal(flipped["images"], layers.RandomFlip("horizontal", seed=1)(images))
    assert flipped["labels"] == [1, 2, 3, 4]
    kept = layers.RandomFlip()({"images": images}, training=False)
    np.testing.assert_array_equal(kept["images"], images)
    with pytest.raises(ValueError, match="segmentation_masks"):
        layers.RandomFlip()({"images": images, "segmentation_masks": images})


def test_single_images():
    image = np.random.default_rng(1).random((5, 6, 3)).astype("float32")
    for make in (layers.MixUp, layers.CutMix):
        np.testing.assert_allclose(make(seed=1)(image), image, rtol=1e-6)
    assert layers.MixUp().get_random_transformation(image) is None
