"""Blurring, equalizing, and layers one after the other, beside loops over pixels."""

from fractions import Fraction

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers
from minicnn.errors import FileFormatError, ShapeError


@pytest.fixture
def rng():
    seed = np.random.SeedSequence().entropy
    print("seed", seed)
    return np.random.default_rng(seed)


def number(*values):
    return np.array(values, float).reshape(1, 1, 1, len(values))


# ---------------------------------------------------------------------------------------------------------------- blur


def test_blur_beside_loops(rng):
    image = rng.random((1, 6, 7, 2))
    along_width, along_height = 0.4, 0.9
    weights = np.array(
        [
            [np.exp(-0.5 * (j / along_width) ** 2 - 0.5 * (i / along_height) ** 2) for j in (-1, 0, 1)]
            for i in (-2, -1, 0, 1, 2)
        ]
    )
    weights /= weights.sum()
    expected = np.zeros_like(image)
    for i in range(6):
        for j in range(7):
            for down in range(-2, 3):
                for right in range(-1, 2):
                    if 0 <= i + down < 6 and 0 <= j + right < 7:
                        expected[0, i, j] += weights[down + 2, right + 1] * image[0, i + down, j + right]
    layer = layers.RandomGaussianBlur(kernel_size=(3, 5))
    np.testing.assert_allclose(layer.change(image, number(1, along_width, along_height)), expected, atol=1e-12)
    drawn = {"should_apply_blur": np.array([True]), "blur_factor": np.array([along_width, along_height])}
    np.testing.assert_allclose(layer.transform_images(image, drawn), expected, rtol=1e-5)
    assert (layer.transform_images(image, drawn, training=False) == image.astype("float32")).all()
    np.testing.assert_array_equal(layer.change(image, number(0, along_width, along_height)), image)


def test_what_a_blur_draws():
    numbers = np.array([[0.5, 0.3, 0.25, 0.75], [0.5, 0.5, 0, 1]])
    drawn = layers.RandomGaussianBlur((0.3, 0.5), sigma=(0.2, 0.6)).drawn(numbers)
    np.testing.assert_allclose(drawn, [[1, 0.3, 0.5], [0, 0.2, 0.6]], atol=1e-5)


def test_pairs_reach_beyond_one_as_in_keras():
    numbers = np.array([[0.5, 0.3, 0, 1]])
    drawn = layers.RandomGaussianBlur(sigma=(0.3, 3.0), kernel_size=(5, 5)).drawn(numbers)
    np.testing.assert_allclose(drawn, [[1, 0.3, 3.0]], atol=1e-5)
    cos, sin = np.cos(np.pi * 3), np.sin(np.pi * 3)  # 1.5 turns
    turned = layers.RandomRotation((1.5, 1.5)).matrix(np.zeros((1, 1)), 4, 4)[0]
    np.testing.assert_allclose(turned[:, :2], [[cos, -sin], [sin, cos]], atol=1e-9)
    assert layers.RandomBrightness((-3, 2)).limits() == (-3, 2)
    for refused in ({"factor": 1.5}, {"factor": (0, np.inf)}):
        with pytest.raises(ValueError, match="from -1 to 1"):
            layers.RandomRotation(**refused)


@pytest.mark.parametrize(
    ("kind", "factor", "limits"),
    [
        (layers.RandomContrast, (0.6, 0.2), (0.8, 1.6)),  # of Keras 3.15: RandomContrast(factor).factor is sorted
        (layers.RandomContrast, (0.2, 3.0), (0.8, 4.0)),
        (layers.RandomContrast, (-2.0, 0.5), (3.0, 1.5)),
        (layers.RandomHue, (0.2, 3.0), (0.2, 3.0)),
        (layers.RandomHue, (-0.5, 0.5), (-0.5, 0.5)),
        (layers.RandomSaturation, (0.5, 1.5), (0.5, 1.5)),
        (layers.RandomSharpness, (-2.0, 0.5), (-2.0, 0.5)),
        (layers.RandomColorDegeneration, (8, 0), (0, 8)),
        (layers.RandomInvert, (0.5, 1.5), (0.5, 1.5)),
        (layers.RandomInvert, np.float32(0.5), (0, 0.5)),
    ],
)
def test_the_limits_of_a_pair_are_kerass(kind, factor, limits):
    assert kind(factor)._limits == limits


@pytest.mark.parametrize("factor", [(1.5, 2.0), (-0.5, -0.2), (0.1,), (0.1, 0.2, 0.3), -0.3, 1.5, True, "a", None])
@pytest.mark.parametrize("kind", [layers.RandomInvert, layers.RandomErasing, layers.RandomHue, layers.RandomSharpness])
def test_what_no_share_is(kind, factor):
    with pytest.raises(ValueError, match=r"`factor` .*Received: factor="):
        kind(factor)


def test_contrast_refuses_what_is_no_pair():
    for factor in (-0.3, 1.5, (0.1, 0.2, 0.3), "a"):
        with pytest.raises(ValueError, match="Received: factor="):
            layers.RandomContrast(factor)


def test_a_pair_beyond_one_erases_more_often(rng):
    images = rng.uniform(20, 200, (400, 4, 4, 3)).astype("float32")
    for pair, part in (((0.5, 1.5), 0.875), ((-0.5, 0.5), 0.125)):  # the mean of a probability that is cut off
        erased = np.asarray(layers.RandomErasing(pair, (1, 1), 0.0, seed=1)(images, training=True)) == 0
        assert abs(erased.all(axis=(1, 2, 3)).mean() - part) < 0.06


@pytest.mark.parametrize("options", [{"kernel_size": 4}, {"kernel_size": (3, 2)}, {"sigma": 2.0}, {"factor": -0.1}])
def test_a_blur_says_what_it_takes(options):
    with pytest.raises(ValueError, match="Received"):
        layers.RandomGaussianBlur(**options)


def test_blur_of_images_of_channels_first(rng):
    images = rng.uniform(0, 255, (3, 6, 7, 2))
    last = layers.RandomGaussianBlur(0.5, 3, (0.4, 0.9), seed=4)
    first = layers.RandomGaussianBlur(0.5, 3, (0.4, 0.9), data_format="channels_first", seed=4)
    drawn, moved = last.get_random_transformation(images), np.moveaxis(images, -1, 1)
    for name, value in first.get_random_transformation({"images": moved}).items():
        np.testing.assert_array_equal(value, drawn[name])
    assert drawn["should_apply_blur"].shape == (3,) and drawn["blur_factor"].shape == (3, 2)
    assert ((drawn["blur_factor"] > 0.4) & (drawn["blur_factor"] < 0.9)).all()
    made = last.transform_images(images, drawn)
    np.testing.assert_array_equal(np.moveaxis(first.transform_images(moved, drawn), 1, -1), made)
    assert last.get_random_transformation(images, training=False) is None


# -------------------------------------------------------------------------------------------------------- equalization


def test_equalization_beside_loops(rng):
    images = rng.integers(20, 120, (2, 5, 6, 2)).astype(float)
    images[1, ..., 1] = 77.0
    expected = images.copy()
    for n in range(2):
        for c in range(2):
            pixels = images[n, ..., c].ravel()
            others = np.count_nonzero(pixels > pixels.min())
            for place, pixel in np.ndenumerate(images[n, ..., c]):
                if others:
                    darker = np.count_nonzero(pixels <= pixel) - np.count_nonzero(pixels == pixels.min())
                    expected[(n, *place, c)] = np.round(255 * darker / others)
    np.testing.assert_allclose(layers.Equalization()(images), expected, rtol=1e-6)
    low, high = layers.Equalization((-1, 1)), images / 127.5 - 1
    np.testing.assert_allclose(low(high.astype("float32")), expected / 127.5 - 1, atol=1e-5)
    np.testing.assert_array_equal(layers.Equalization()(images, training=False), images)


def test_equalization_in_few_degrees():
    image = np.array([0, 10, 100, 120, 250, 255.0]).reshape(1, 2, 3, 1)
    made = layers.Equalization(bins=3)(image)  # four pixels are of the first degree, one of the second, one of the last
    np.testing.assert_allclose(np.ravel(made), [0, 0, 0, 0, 128, 255])


def test_equalization_rounds_the_middle_to_the_even_one():
    for count in range(2, 140):
        image = np.arange(count + 1.0).reshape(1, 1, -1, 1)
        expected = [round(Fraction(255 * n, count)) for n in range(count + 1)]
        np.testing.assert_allclose(np.ravel(layers.Equalization()(image)), expected, rtol=1e-6)


def test_equalization_of_what_is_no_number():
    image = np.array([0, 10, np.nan, 120, np.inf, -np.inf]).reshape(1, 2, 3, 1)
    made = np.ravel(layers.Equalization()(image))  # (6,)
    assert np.isnan(made[2]) and np.isfinite(np.delete(made, 2)).all() and made[4] == 255 and made[5] == made[0] == 0


# ------------------------------------------------------------------------------------------------------------ pipeline


def test_a_pipeline_is_its_layers(rng):
    x = rng.uniform(0, 255, (4, 6, 5, 3)).astype("float32")

    def parts():  # anew: each call of a layer with a seed draws other numbers
        return [layers.RandomFlip(seed=1), layers.RandomBrightness(0.3, seed=2), layers.Rescaling(1 / 255)]

    pipeline, expected = layers.Pipeline(parts()), x
    for part in parts():
        expected = part(expected, training=True)
    np.testing.assert_allclose(pipeline(x), expected, rtol=1e-6)
    np.testing.assert_allclose(pipeline(x, training=False), x / 255, rtol=1e-6)
    assert np.asarray(pipeline(x[0])).shape == x[0].shape
    made = layers.Pipeline(parts())({"images": x, "labels": np.eye(4)})
    np.testing.assert_allclose(made["images"], expected, rtol=1e-6)
    mapped = mc.data.Dataset.from_tensor_slices(x).map(pipeline).batch(4)
    assert next(iter(mapped)).shape == x.shape


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_a_pipeline_in_files(suffix, tmp_path, rng):
    augment = layers.Pipeline([layers.RandomFlip("horizontal", seed=3), layers.CenterCrop(4, 4), layers.Rescaling(0.5)])
    model = mc.Sequential([mc.Input((6, 5, 1)), augment, layers.Flatten(), layers.Dense(2)])
    model.summary(print_fn=lambda _: None, expand_nested=True)
    model.save(tmp_path / f"model{suffix}")
    loaded = mc.load_model(tmp_path / f"model{suffix}")
    assert [type(part).__name__ for part in loaded.layers[0].layers] == ["RandomFlip", "CenterCrop", "Rescaling"]
    flip = loaded.layers[0].layers[0]
    assert (flip.mode, flip.seed, flip.name) == ("horizontal", 3, augment.layers[0].name)
    x = rng.random((2, 6, 5, 1))
    np.testing.assert_allclose(loaded.predict(x), model.predict(x), rtol=1e-6)


@pytest.mark.parametrize("depth", [200, 100_000])  # Python 3.13 builds 120
def test_pipelines_in_pipelines_without_end_are_refused(depth):
    start = '{"class_name": "InputLayer", "config": {"batch_shape": [null, 4, 4, 1], "name": "x"}}'
    nested = '{"class_name": "Pipeline", "config": {"layers": [' * depth + "]}}" * depth
    with pytest.raises(FileFormatError, match=r"nested more than|recursion"):
        mc.models.model_from_json(f'{{"class_name": "Sequential", "config": {{"layers": [{start}, {nested}]}}}}')


def test_a_pipeline_says_what_it_takes():
    with pytest.raises(TypeError, match="one input"):
        layers.Pipeline([mc.Sequential([layers.Flatten()])])
    with pytest.raises(TypeError, match="list of layers"):
        layers.Pipeline(layers.Flatten())
    with pytest.raises(ShapeError, match="without weights"):
        layers.Pipeline([layers.Flatten(), layers.Dense(3)])(np.zeros((2, 3, 3, 1)))


def test_a_pipeline_of_what_is_no_image(rng):
    x = rng.random((32, 5, 4)).astype("float32")
    assert np.asarray(layers.Pipeline([layers.Rescaling(0.5), layers.Flatten()])(x)).shape == (32, 20)
    assert np.asarray(layers.Pipeline([layers.CenterCrop(3, 2), layers.Rescaling(0.5)])(x)).shape == (3, 2, 4)
    assert np.asarray(layers.Pipeline([layers.Rescaling(0.5), layers.RandomFlip()])(x)).shape == x.shape


def test_a_pipeline_with_a_penalty(rng):
    x, y = rng.random((4, 3, 3, 1)), np.zeros((4, 9))
    penalized = layers.Activation("linear", activity_regularizer=mc.regularizers.L2(0.3))
    losses = []
    for part in (penalized, layers.Pipeline([penalized])):
        model = mc.Sequential([mc.Input((3, 3, 1)), part, layers.Flatten()])
        model.compile("sgd", "mse", backend="numpy")
        losses.append(model.evaluate(x, y, verbose=0))
    assert losses[0] == pytest.approx(losses[1]) and losses[0] > np.mean(x**2) * 1.01


def test_a_pipeline_that_holds_code(tmp_path, rng):
    augment = layers.Pipeline([layers.Rescaling(2.0), layers.Lambda(lambda x: x[:, ::-1])])
    model = mc.Sequential([mc.Input((4, 3, 1)), augment, layers.Flatten(), layers.Dense(2)])
    x = rng.random((2, 4, 3, 1)).astype("float32")
    with pytest.warns(UserWarning, match="of which the file holds nothing"):
        model.save(tmp_path / "model.keras")
    whole = mc.load_model(tmp_path / "model.keras", {augment.layers[1].name: lambda x: x[:, ::-1]})
    assert np.array_equal(whole.predict(x), model.predict(x))
    model.save_weights(tmp_path / "model.weights.h5")
    assert augment.compute_output_shape((None, 4, 3, 1)) == (None, 4, 3, 1)
    other = mc.models.clone_model(model)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(other.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)
    same = layers.Pipeline.from_config(augment.get_config())
    np.testing.assert_allclose(same(x), 2 * x[:, ::-1])
