"""RandAugment and AugMix with strengths of 0, for which other layers make each change alone; RandomPerspective."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras, layers
from minicnn.data import Dataset

OFF = (0.0, 0.0)
CHANGES = (  # in which nothing is drawn; the six others, of moves and colours, are the identity for 0
    layers.RandomPosterization(1),
    layers.Solarization(OFF, OFF),
    layers.AutoContrast(),
    layers.Equalization(),
    layers.RandomSharpness(OFF),
)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(20, 200, (2, 6, 5, 3)).astype(np.float32)


def alone(x, changes=CHANGES):
    """What each change makes of images, and the images."""
    return [x, *(np.asarray(change(x, training=True)) for change in changes)]


def nearest(y, candidates):
    distances = [np.abs(y - c).max() for c in candidates]
    assert min(distances) < 1e-2
    return int(np.argmin(distances))


def test_a_way_is_one_of_eleven(images):
    """Each is found among 120 seeds; the images themselves, which six of eleven leave, most often."""
    candidates = alone(images)
    found = [
        nearest(np.asarray(layers.RandAugment(num_ops=1, factor=OFF, seed=s)(images)), candidates) for s in range(120)
    ]
    counts = np.bincount(found, minlength=len(candidates))
    assert counts.min() >= 1
    assert counts.argmax() == 0


def test_two_ways_follow_each_other(images):
    candidates = [second for first in alone(images) for second in alone(first)]
    for seed in range(20):
        nearest(np.asarray(layers.RandAugment(factor=OFF, seed=seed)(images)), candidates)


def test_a_chain_is_mixed_with_the_image(images):
    """y = w · x + (1 - w) · c(x) with one w in [0, 1] for all pixels, which is uniform for alpha = 1."""
    x, weights = images.astype(np.float64), []
    candidates = [c.astype(np.float64) for c in alone(images, CHANGES[:4])]
    for seed in range(80):
        y = np.asarray(
            layers.AugMix(num_chains=1, chain_depth=1, factor=OFF, all_ops=False, seed=seed)(images), np.float64
        )
        fits = []
        for c in candidates:
            moved = np.square(x - c).sum()
            w = 1.0 if moved == 0 else ((y - c) * (x - c)).sum() / moved
            fits.append((np.abs(w * x + (1 - w) * c - y).max(), w, moved))
        error, w, moved = min(fits)
        assert error < 2e-2
        assert -1e-3 <= w <= 1 + 1e-3
        weights += [w] if moved else []
    assert len(weights) > 15
    assert 0.25 < np.mean(weights) < 0.75


def test_shares_of_chains_add_up(images):
    """Of an image that no change changes, the mixture is the image."""
    grey = np.full((2, 6, 5, 3), 0.0, np.float32)
    for seed in range(5):
        made = layers.AugMix((0, 255), factor=OFF, seed=seed, all_ops=False)(grey)
        assert np.unique(np.asarray(made)).size <= 2**6  # one number for each mixture of negatives
        assert np.asarray(made).min() >= 0
        assert np.asarray(made).max() <= 255.01


def test_perspective_by_hand(rng):
    """Each pixel is read where the transform from the new corners to the old ones leads, in loops of float64."""
    images = rng.uniform(0, 255, (2, 6, 7, 1)).astype(np.float32)
    layer = layers.RandomPerspective(fill_value=-5)
    drawn = layer.get_random_transformation(images, seed=4) | {"apply_perspective": np.array([True, False])}
    made = layer.transform_images(images, drawn)
    np.testing.assert_array_equal(made[1], images[1])
    ends, starts = drawn["end_points"][0], drawn["start_points"][0]
    rows, values = [], []
    for (x, y), (u, v) in zip(ends, starts, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    matrix = np.append(np.linalg.solve(np.array(rows), np.array(values)), 1.0).reshape(3, 3)

    def pixel(row, column):
        inside = 0 <= row < 6 and 0 <= column < 7
        return float(images[0, row, column, 0]) if inside else -5.0

    for i in range(6):
        for j in range(7):
            a, b, k = matrix @ [j, i, 1]
            column, row = a / k, b / k
            left, top = int(np.floor(column)), int(np.floor(row))
            right, down = column - left, row - top
            above = (1 - right) * pixel(top, left) + right * pixel(top, left + 1)
            below = (1 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1)
            assert made[0, i, j, 0] == pytest.approx((1 - down) * above + down * below, abs=0.6)
    assert layer.get_random_transformation(images, training=False) is None
    alone = layer.get_random_transformation(images[0], seed=4)
    np.testing.assert_array_equal(layer.transform_images(images[0], alone), made[0])


def test_how_often_the_perspective_changes():
    images = np.random.default_rng(3).uniform(0, 255, (400, 3, 3, 1)).astype(np.float32)
    changed = np.asarray(layers.RandomPerspective(0.5, seed=2)(images)) != images
    assert 0.15 < changed.any(axis=(1, 2, 3)).mean() < 0.35  # a probability from 0 to 0.5


@pytest.mark.parametrize("make", [layers.RandAugment, layers.AugMix, layers.RandomPerspective])
def test_models_and_data_sets(make, images):
    """Other changes in each iteration, none outside of training; a data set maps it; channels may come first."""
    np.testing.assert_array_equal(make()(images, training=False), images)
    seen = {np.asarray(make(seed=seed)(images)).tobytes() for seed in range(8)}
    assert len(seen) > 4
    mapped = next(iter(Dataset.from_tensor_slices(images).batch(2).map(make(seed=3))))
    np.testing.assert_array_equal(mapped, make(seed=3)(images))
    first = make(seed=3, data_format="channels_first")(np.moveaxis(images, -1, 1))
    np.testing.assert_allclose(np.moveaxis(np.asarray(first), 1, -1), make(seed=3)(images), atol=1e-3)
    model = keras.Sequential([keras.Input((6, 5, 3)), make(), layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", "mse")
    model.optimizer.learning_rate = 0.0
    losses = [float(model.train_on_batch(images, np.zeros((2, 2)))) for _ in range(6)]
    assert len(set(losses)) > 1
    copy = mc.models.clone_model(model)
    assert copy.layers[1].get_config() | {"name": ""} == model.layers[1].get_config() | {"name": ""}


def test_what_is_refused():
    for make, wrong in (
        (layers.RandAugment, {"num_ops": -1}),
        (layers.RandAugment, {"factor": 2}),
        (layers.RandAugment, {"value_range": 3}),
        (layers.RandAugment, {"interpolation": "cubic"}),
        (layers.AugMix, {"chain_depth": 0}),
        (layers.AugMix, {"num_chains": 0}),
        (layers.AugMix, {"alpha": 0}),
        (layers.RandomPerspective, {"scale": 2}),
        (layers.RandomPerspective, {"factor": -1}),
    ):
        (name,) = wrong
        with pytest.raises((ValueError, TypeError), match=f"{name}.*Received"):
            make(**wrong)
