"""Pictures as notebooks have them, in Keras's names: numbers that Keras 3.15.1 and TensorFlow 2.21 gave."""

import numpy as np
import pytest

from minicnn.keras import layers

PIXELS = np.random.default_rng(3).integers(0, 256, (2, 9, 11, 3)).astype("float32")  # (N, H, W, C)

SEEDED = {
    "rotation": lambda: layers.RandomRotation(0.3, seed=3),
    "contrast": lambda: layers.RandomContrast(0.4, seed=3),
    "crop": lambda: layers.RandomCrop(4, 5, seed=3),
    "erasing": lambda: layers.RandomErasing(seed=3),
    "mixing": lambda: layers.MixUp(seed=3),
    "perspective": lambda: layers.RandomPerspective(1.0, seed=3),
    "blur": lambda: layers.RandomGaussianBlur(seed=3),
    "policy": lambda: layers.RandAugment(seed=3),
    "dropout": lambda: layers.Dropout(0.5, seed=3),
    "noise": lambda: layers.GaussianNoise(0.5, seed=3),
}


@pytest.mark.parametrize("name", SEEDED)
def test_a_layer_with_a_seed_draws_others_in_each_call(name):
    def three(layer):
        return [np.asarray(layer(PIXELS, training=True)) for _ in range(3)]

    first, again = three(SEEDED[name]()), three(SEEDED[name]())
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[1], first[2])
    np.testing.assert_array_equal(first, again)
