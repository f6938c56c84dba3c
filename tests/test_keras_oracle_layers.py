"""Layers that change images, beside Keras's: what is not drawn at random, and what both draw when told to."""

import numpy as np
import pytest
from real_keras import keras

import minicnn.keras as ours

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("options", [{}, {"bins": 16}, {"value_range": (-1, 1)}, {"data_format": "channels_first"}])
def test_equalization(options):
    """Of single images: of a batch, Keras makes one histogram."""
    low, high = options.get("value_range", (0, 255))
    image = np.round(RNG.uniform(20, 160, (1, 12, 9, 3))).astype("float32") / 255 * (high - low) + low
    image[..., 1] = image[0, 0, 0, 1]
    if options.get("data_format") == "channels_first":
        image = np.moveaxis(image, -1, 1)
    expected = np.asarray(keras.layers.Equalization(**options)(image))
    np.testing.assert_allclose(ours.layers.Equalization(**options)(image), expected, atol=1e-4)


def test_gaussian_blur():
    """Of square kernels: Keras on TensorFlow mixes up the weights of others."""
    images = RNG.uniform(0, 255, (2, 9, 8, 3)).astype("float32")
    transformation = {"should_apply_blur": np.array([True, False]), "blur_factor": np.array([0.4, 0.9], "float32")}
    theirs = keras.layers.RandomGaussianBlur(kernel_size=5)
    expected = np.asarray(theirs.transform_images(images, transformation))
    made = ours.layers.RandomGaussianBlur(kernel_size=5).transform_images(images, transformation)
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-3)


def test_a_pipeline_goes_both_ways(tmp_path):
    def model(keras):
        layers = keras.layers
        parts = [layers.RandomFlip("horizontal", seed=3), layers.CenterCrop(4, 4), layers.Rescaling(0.5)]
        inside = [layers.Pipeline(parts), layers.RandomGaussianBlur(0.3, 5)]
        return keras.Sequential([keras.Input((6, 5, 1)), *inside, layers.Flatten(), layers.Dense(2)])

    images = RNG.random((3, 6, 5, 1)).astype("float32")
    for writer, reader in ((keras, ours), (ours, keras)):
        made = model(writer)
        path = tmp_path / f"of_{writer.__name__}.keras"
        made.save(path)
        loaded = reader.models.load_model(path)
        assert [type(part).__name__ for part in loaded.layers[0].layers] == ["RandomFlip", "CenterCrop", "Rescaling"]
        np.testing.assert_allclose(loaded.predict(images, verbose=0), made.predict(images, verbose=0), atol=1e-5)


def test_efficientnet_v2_s():
    """With the statistics that it begins with: other ones let its numbers grow beyond comparison, it is so deep."""
    options = {"include_top": False, "input_shape": (40, 44, 3), "weights": None, "pooling": "avg"}
    theirs, mine = (each.applications.EfficientNetV2S(**options) for each in (keras, ours))
    assert [layer.name for layer in mine.layers if layer.weights] == [
        layer.name for layer in theirs.layers if layer.weights
    ]
    mine.set_weights(theirs.get_weights())
    images = RNG.uniform(0, 255, (2, 40, 44, 3)).astype("float32")
    expected = np.asarray(theirs(images, training=False))
    np.testing.assert_allclose(mine(images, training=False), expected, atol=1e-4 * np.abs(expected).max())


def spectral(keras, **options):
    """A discriminator as GANs with spectral normalization have it."""
    wrap, layers = keras.layers.SpectralNormalization, keras.layers
    inside = [wrap(layers.Conv2D(4, 3, strides=2, padding="same"), name="first"), layers.LeakyReLU(negative_slope=0.2)]
    inside += [wrap(layers.DepthwiseConv2D(3), power_iterations=2), layers.Flatten(), wrap(layers.Dense(2))]
    model = keras.Sequential([keras.Input((8, 8, 1)), *inside])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("is_ours", [False, True])
def test_spectral_normalization_trains_as_keras_does_and_files_go_both_ways(is_ours, suffix, tmp_path):
    writer, reader = (ours, keras) if is_ours else (keras, ours)
    model, other = spectral(writer), spectral(reader)
    other.set_weights(model.get_weights())
    x, y = RNG.random((8, 8, 8, 1)).astype("float32"), RNG.random((8, 2)).astype("float32")
    for each in (model, other):
        each.fit(x, y, epochs=3, batch_size=4, shuffle=False, verbose=0)
    for mine, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(mine, expected, atol=2e-4)
    model.save(tmp_path / f"model{suffix}")
    loaded = reader.models.load_model(tmp_path / f"model{suffix}", compile=suffix == ".keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)
    model.save_weights(tmp_path / "of.weights.h5")
    other.load_weights(tmp_path / "of.weights.h5")
    for mine, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_a_frozen_kernel_is_divided_as_in_keras():
    weights = None
    for each in (keras, ours):
        inner = spectral(each)
        weights = inner.get_weights() if weights is None else weights
        inner.set_weights(weights)
        inner.trainable = False
        head = each.layers.Dense(1, kernel_initializer="ones")
        whole = each.Sequential([inner, head])
        whole.compile("sgd", "mse")
        whole.fit(np.ones((4, 8, 8, 1), "float32"), np.ones((4, 1), "float32"), verbose=0)
        found = inner.get_weights() if each is keras else found  # noqa: F821
    for mine, expected in zip(inner.get_weights(), found, strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"interpolation": "nearest"}, {"fill_value": 7.0, "scale": 0.4}])
def test_perspective(options):
    images = RNG.uniform(0, 255, (3, 9, 8, 3)).astype("float32")
    mine = ours.layers.RandomPerspective(**options)
    transformation = mine.get_random_transformation(images, seed=3) | {
        "apply_perspective": np.array([True, False, True])
    }
    of_keras = {n: v.astype("float32") if "points" in n else v for n, v in transformation.items()}
    expected = keras.layers.RandomPerspective(**options).transform_images(images, of_keras)
    made = mine.transform_images(images, transformation)
    differs = np.abs(made - np.asarray(expected)) > 0.05  # a pixel on the border between two may be either
    assert differs.mean() < 0.02


OFF = (0.0, 0.0)  # strengths with which nothing is drawn but the change itself


def changed_images():
    """An image, and what each of our layers makes of it that is no identity for a strength of 0."""
    layers, image = ours.layers, np.round(RNG.uniform(20, 200, (1, 6, 5, 3))).astype("float32")
    changes = [layers.RandomPosterization(1), layers.Solarization(OFF, OFF), layers.AutoContrast()]
    changes += [layers.Equalization(), layers.RandomSharpness(OFF)]
    return image, [image, *(np.asarray(change(image, training=True)) for change in changes)]


def test_what_keras_makes_at_random_is_one_of_ours():
    image, candidates = changed_images()
    for seed in range(40):
        made = np.asarray(keras.layers.RandAugment(num_ops=1, factor=OFF, seed=seed)(image, training=True))
        assert min(np.abs(made - each).max() for each in candidates) < 1e-2


def test_what_keras_mixes_is_a_mixture_of_ours():
    """With one weight from 0 to 1 for all pixels."""
    image, candidates = changed_images()
    for seed in range(20):
        layer = keras.layers.AugMix(num_chains=1, chain_depth=1, factor=OFF, all_ops=False, seed=seed)
        made, errors = np.asarray(layer(image, training=True)), []
        for each in candidates:
            moved = np.square(image - each).sum()
            weight = ((made - each) * (image - each)).sum() / moved if moved else 1.0
            errors.append(np.abs(weight * image + (1 - weight) * each - made).max() + 9 * (not -1e-4 < weight < 1.0001))
        assert min(errors) < 2e-2
