"""Layers that change colours, beside Python's `colorsys` and formulas written pixel by pixel."""

import colorsys

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras, layers
from minicnn.errors import ShapeError


@pytest.fixture
def rng():
    seed = np.random.SeedSequence().entropy
    print("seed", seed)
    return np.random.default_rng(seed)


def of_pixels(images, function):
    return np.apply_along_axis(lambda pixel: function(*pixel), -1, images)


def number(*values):
    return np.array(values, float).reshape(len(values), 1, 1, 1)


def test_hue_turns_as_in_colorsys(rng):
    images = rng.random((3, 4, 5, 3))
    images[0, 0] = images[0, 0, :, :1]  # grey pixels
    layer = layers.RandomHue(0.5, (0, 1))
    for i, turn in enumerate((0.3, -0.45, 0.0)):

        def turned(*pixel, turn=turn):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            return colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)

        expected = of_pixels(images[i : i + 1], turned)
        np.testing.assert_allclose(layer.change(images[i : i + 1], number(turn)), expected, atol=1e-12)
        in_bytes = layers.RandomHue(0.5).change(255 * images[i : i + 1], number(turn))
        np.testing.assert_allclose(in_bytes, 255 * expected, atol=1e-9)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 5.0])
def test_saturation_as_in_colorsys(rng, factor):
    images = rng.random((2, 4, 5, 3))
    images[0, 0] = images[0, 0, :, :1]

    def expected(*pixel):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        return colorsys.hsv_to_rgb(hue, min(1.0, saturation * factor), value)

    made = layers.RandomSaturation(0.5, (0, 1)).change(images, number(factor, factor))
    np.testing.assert_allclose(made, of_pixels(images, expected), atol=1e-12)


def test_what_is_drawn():
    numbers = np.array([[0.25, 0.7, 0, 0], [0.75, 0.2, 0, 0]])
    np.testing.assert_allclose(layers.RandomHue((0.2, 0.6)).drawn(numbers), [-0.15, 0.25])
    np.testing.assert_allclose(layers.RandomSaturation((0.2, 0.6)).drawn(numbers), [0.3 / 0.7, 1.0], rtol=1e-5)
    np.testing.assert_allclose(layers.RandomGrayscale(0.5).drawn(numbers), [1, 0])
    np.testing.assert_allclose(layers.RandomInvert(1.0).drawn(numbers), [0, 1])  # the probability is drawn too
    np.testing.assert_allclose(layers.RandomPosterization((2, 4)).drawn(numbers), [64, 32])
    np.testing.assert_allclose(layers.Solarization(0.2, 0.5).drawn(numbers), [[12.75, 89.25], [38.25, 25.5]])


def test_posterization_keeps_bits():
    pixels = np.arange(256).reshape(1, 16, 16, 1)
    made = layers.RandomPosterization(3).change(pixels.astype(float), number(2**5))
    np.testing.assert_array_equal(made, pixels >> 5 << 5)


def test_sharpness_beside_loops(rng):
    image = rng.random((1, 4, 5, 2))
    blurred = np.zeros_like(image)
    for row in range(4):
        for column in range(5):
            around = image[:, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            blurred[:, row, column] = (around.sum((1, 2)) + 4 * image[:, row, column]) / 13
    layer = layers.RandomSharpness(1.0, (-9, 9))
    np.testing.assert_allclose(layer.change(image, number(0.0)), blurred, atol=1e-12)
    np.testing.assert_allclose(layer.change(image, number(0.5)), image)
    np.testing.assert_allclose(layer.change(image, number(1.0)), 2 * image - blurred, atol=1e-12)


def test_the_others_pixel_by_pixel(rng):
    images = rng.uniform(0, 255, (1, 3, 4, 3))
    grey = images @ [0.2989, 0.5870, 0.1140]
    np.testing.assert_allclose(
        layers.RandomColorDegeneration(1.0).change(images, number(0.3)), 0.7 * images + 0.3 * grey[..., None]
    )
    np.testing.assert_allclose(layers.RandomInvert().change(images, number(1)), 255 - images)
    made = layers.Solarization().change(images, np.array([20.0, 100.0]).reshape(1, 1, 1, 2))
    added = np.minimum(images + 20, 255)
    np.testing.assert_allclose(made, np.where(added < 100, added, 255 - added), atol=1e-9)
    flat = images.copy()
    flat[..., 1] = 7
    for training in (True, False):  # as in Keras
        made = np.asarray(layers.AutoContrast()(flat, training=training))
        assert (made[..., 1] == 7).all() and made[..., 0].min() == 0 and np.isclose(made[..., 2].max(), 255)


def test_jitter_in_a_model_and_outside(rng):
    images = rng.uniform(0, 255, (8, 6, 5, 3)).astype("float32")
    jitter = layers.RandomColorJitter((0, 255), 0.2, 0.2, (0.3, 0.6), 0.1, seed=3)
    made = np.asarray(jitter(images))
    assert made.shape == images.shape and not np.allclose(made, images) and made.min() >= 0 and made.max() <= 255
    np.testing.assert_array_equal(jitter(images, training=False), images)
    assert type(jitter).from_config(jitter.get_config()).get_config() == jitter.get_config()


def test_colours_need_three_channels():
    for name in ("RandomHue", "RandomSaturation"):
        with pytest.raises(ShapeError, match="3 channels"):
            getattr(layers, name)(0.5)(np.zeros((1, 4, 4, 1)))
    for factor in ("hue_factor", "saturation_factor"):
        with pytest.raises(ShapeError, match="3 channels"):
            mc.Sequential([mc.Input((4, 4, 1)), layers.RandomColorJitter(**{factor: 0.5})])
    with pytest.raises(ValueError, match="1 to 8"):
        layers.RandomPosterization(9)


# ------------------------------------------------------------------------------------------------ seeds, configs, ops


@pytest.mark.parametrize(
    "factor, kind",
    [
        ("brightness_factor", layers.RandomBrightness),
        ("contrast_factor", layers.RandomContrast),
        ("saturation_factor", layers.RandomSaturation),
        ("hue_factor", layers.RandomHue),
    ],
)
def test_a_jitter_of_one_factor_draws_what_that_layer_draws(factor, kind, rng):
    x = rng.uniform(0, 255, (5, 4, 6, 3)).astype(np.float32)
    expected = kind(0.5, seed=3)(x, training=True)
    np.testing.assert_array_equal(layers.RandomColorJitter(seed=3, **{factor: 0.5})(x, training=True), expected)


def test_data_format_stays_in_configs():
    """Of every layer that has one: a file would change what the axes mean."""
    found = 0
    for cls in layers.CLASSES.values():
        for layer, _ in list(getattr(cls, "examples", list)())[:1]:
            if hasattr(layer, "data_format"):
                found += 1
                copy = cls.from_config(layer.get_config() | {"data_format": "channels_first"})
                assert copy.data_format == copy.get_config()["data_format"] == "channels_first", cls.__name__
    assert found > 20


def test_hue_saturation_value(rng):
    x = np.concatenate([rng.uniform(0, 1, (4, 6, 3)), np.full((1, 6, 3), 0.3), np.zeros((1, 6, 3))]).astype(np.float32)
    expected = np.array([[colorsys.rgb_to_hsv(*pixel) for pixel in row] for row in x.tolist()])
    hsv = keras.ops.image.rgb_to_hsv(x)
    np.testing.assert_allclose(hsv, expected, atol=1e-5)
    np.testing.assert_allclose(keras.ops.image.hsv_to_rgb(hsv), x, atol=1e-5)
    first = keras.ops.image.rgb_to_hsv(np.moveaxis(x, -1, 0), data_format="channels_first")
    np.testing.assert_array_equal(np.moveaxis(first, 0, -1), hsv)
