"""Augmentation against loops over single pixels in float64, written from Keras's definitions alone."""

import hashlib
import inspect
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import BACKENDS, assert_close, run

import minicnn as mc
from minicnn import backends, layers, random
from minicnn.errors import ShapeError
from minicnn.graph import Graph
from minicnn.layers import (
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
    RandomFlip,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
    Rescaling,
    ZeroPadding2D,
)

MODES = ["constant", "nearest", "reflect", "wrap"]
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_mode = pytest.mark.parametrize("mode", MODES)
interpolations = pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])

# --------------------------------------------------------------------------------------------- the oracle: one pixel


def standing_for(index, size, mode):
    """The pixel of a row that stands for pixel number `index`; None is the fill value."""
    while not 0 <= index < size:
        if mode == "constant":
            return None
        if mode == "nearest":
            index += 1 if index < 0 else -1
        elif mode == "wrap":
            index += size if index < 0 else -size
        else:
            index = -1 - index if index < 0 else 2 * size - 1 - index
    return index


def taps_of(x, y, height, width, bilinear, mode):
    """(row, column, weight) of the pixels that the place (x, y) reads; row None is the fill value."""
    if bilinear:
        left, top = int(np.floor(x)), int(np.floor(y))
        fx, fy = x - left, y - top
        near = [(top, left, (1 - fy) * (1 - fx)), (top, left + 1, (1 - fy) * fx)]
        near += [(top + 1, left, fy * (1 - fx)), (top + 1, left + 1, fy * fx)]
    else:
        near = [(int(np.sign(y) * np.floor(abs(y) + 0.5)), int(np.sign(x) * np.floor(abs(x) + 0.5)), 1.0)]
    for row, column, weight in near:
        r, c = standing_for(row, height, mode), standing_for(column, width, mode)
        yield (None, None, weight) if r is None or c is None else (r, c, weight)


def naive_warp(x, matrix, bilinear, mode, fill_value=0.0):
    y = np.zeros(x.shape)
    for (n, i, j), _ in np.ndenumerate(y[..., 0]):
        place = matrix[n] @ [j, i, 1]
        for row, column, weight in taps_of(*place, *x.shape[1:3], bilinear, mode):
            y[n, i, j] += weight * (fill_value if row is None else x[n, row, column].astype(np.float64))
    return y


def naive_gradient(dy, matrix, bilinear, mode):
    dx = np.zeros(dy.shape)
    for (n, i, j), _ in np.ndenumerate(dx[..., 0]):
        for row, column, weight in taps_of(*(matrix[n] @ [j, i, 1]), *dy.shape[1:3], bilinear, mode):
            if row is not None:
                dx[n, row, column] += weight * dy[n, i, j]
    return dx


def aligned(values, dtype, backend="numba"):
    return backends.get(backend).asarray(np.asarray(values), np.dtype(dtype))


@st.composite
def warps(draw):
    """Images, a matrix for each, and how to read them."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7), st.sampled_from([1, 2, 3])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reach = draw(st.sampled_from([0.0, 0.3, 1.0, 5.0]))
    matrix = rng.uniform(-1, 1, (shape[0], 2, 3)) * [reach, reach, 3 * reach] + np.eye(2, 3)
    return rng.uniform(-1, 1, shape), matrix, draw(st.booleans()), draw(st.sampled_from(MODES))


# ------------------------------------------------------------------------------------------------------- the kernels


@every_backend
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(case=warps(), fill_value=st.sampled_from([0.0, 0.75]))
def test_warp_kernel(backend, dtype, case, fill_value):
    x, matrix, bilinear, mode = case
    kernels = backends.get(backend).ops
    x, y = aligned(x, dtype), aligned(np.full_like(x, np.nan), dtype)
    before, matrix_before = x.copy(), matrix.copy()
    kernels.warp(x, matrix, y, bilinear, mode, fill_value)
    np.testing.assert_allclose(y, naive_warp(x, matrix, bilinear, mode, fill_value), atol=3e-7)
    dx = aligned(np.full_like(x, np.nan), dtype)
    kernels.warp_backward(x, matrix, dx, bilinear, mode)
    expected = naive_gradient(x, matrix, bilinear, mode)
    np.testing.assert_allclose(dx, expected, atol=3e-6 * max(1, np.abs(expected).max()))
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(matrix, matrix_before)


@every_backend
@every_mode
@pytest.mark.parametrize("bilinear", [True, False])
def test_places_far_away_and_on_the_edges(backend, mode, bilinear):
    """Whole and half pixels, up to both edges and beyond; places that would overflow stay inside the memory."""
    x = aligned(np.arange(1.0, 5).reshape(1, 1, 4, 1), "float64")
    y = np.empty_like(x)
    kernels = backends.get(backend).ops
    for shift in np.arange(-11, 11.5, 0.5):
        matrix = np.array([[[1.0, 0, shift], [0, 1, 0]]])
        kernels.warp(x, matrix, y, bilinear, mode, 9.0)
        np.testing.assert_allclose(y, naive_warp(x, matrix, bilinear, mode, 9.0), atol=1e-12)
    for huge in (1e8, 1e300, -1e300):
        matrix = np.array([[[huge, -huge, huge], [1.0, huge, -huge]]])
        kernels.warp(x, matrix, y, bilinear, mode, 9.0)
        nearer = np.clip(matrix, -(2**16), 2**16)
        np.testing.assert_allclose(y, naive_warp(x, nearer, bilinear, mode, 9.0), atol=1e-12)
        kernels.warp_backward(x, matrix, y, bilinear, mode)
        np.testing.assert_allclose(y, naive_gradient(x, nearer, bilinear, mode), atol=1e-12)


@every_backend
@pytest.mark.parametrize("count", [1, 3, 4, 1001])
def test_uniform_kernel(backend, count):
    for seed, stream, step in ((5, 0, 0), (2**63 - 1, 9, 2**32 + 4)):
        numbers = aligned(np.full(count, np.nan), "float32")
        backends.get(backend).ops.uniform(numbers, seed, stream, step)
        np.testing.assert_array_equal(numbers, random.uniform(seed, stream, step, count))


# -------------------------------------------------------------------------------------------- what each layer draws


def place_read(layer, numbers, x, y, height, width):
    """Keras's formulas: where the output pixel (x, y) comes from, given the layer's random numbers."""

    def drawn(limits, number):
        low, high = sorted(limits) if isinstance(limits, tuple) else (-abs(limits), abs(limits))
        return low + (high - low) * number

    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    if isinstance(layer, RandomTranslation):
        return (
            x - width * drawn(layer.width_factor, numbers[1]),
            y - height * drawn(layer.height_factor, numbers[0]),
        )
    if isinstance(layer, RandomRotation):
        angle = np.deg2rad(360 * drawn(layer.factor, numbers[0]))
        dx, dy = x - middle_x, y - middle_y
        return middle_x + dx * np.cos(angle) - dy * np.sin(angle), middle_y + dx * np.sin(angle) + dy * np.cos(angle)
    if isinstance(layer, RandomZoom):
        tall = 1 + drawn(layer.height_factor, numbers[0])
        wide = tall if layer.width_factor is None else 1 + drawn(layer.width_factor, numbers[1])
        return middle_x + (x - middle_x) * wide, middle_y + (y - middle_y) * tall
    if isinstance(layer, RandomShear):
        sign = -1 if numbers[0] > 0.5 else 1
        return x + sign * drawn(layer.x_factor, numbers[2]) * y, y + sign * drawn(layer.y_factor, numbers[1]) * x
    flips = numbers[0] < 0.5
    return (
        width - 1 - x if flips and layer.mode != "vertical" else x,
        height - 1 - y if flips and layer.mode != "horizontal" else y,
    )


ALL = [
    lambda: RandomTranslation(0.3, 0.2),
    lambda: RandomTranslation((-0.2, 0.7), (0.1, -0.4), fill_mode="constant", fill_value=0.4),
    lambda: RandomTranslation(-0.6, 0.0, fill_mode="wrap"),
    lambda: RandomRotation(0.2),
    lambda: RandomRotation((-0.5, 0.25), fill_mode="nearest"),
    lambda: RandomZoom(0.3),
    lambda: RandomZoom((-0.5, -0.1), (0.2, 1.0), fill_mode="constant"),
    lambda: RandomShear(0.4),
    lambda: RandomShear((0.1, 0.3), (0.5, 0.2), fill_mode="wrap"),
    lambda: RandomFlip(),
    lambda: RandomFlip("horizontal"),
    lambda: RandomFlip("vertical"),
    lambda: RandomRotation(1.0, interpolation="nearest", fill_mode="constant"),
]
every_layer = pytest.mark.parametrize("make", ALL)


def oracle(layer, x, numbers):
    """The layer applied to images, from its formula and naive loops; numbers (N, 4)."""
    height, width = x.shape[1:3]
    y = np.zeros(x.shape)
    for (n, i, j), _ in np.ndenumerate(y[..., 0]):
        place = place_read(layer, numbers[n].astype(np.float64), j, i, height, width)
        bilinear, mode = layer.interpolation == "bilinear", layer.fill_mode
        if isinstance(layer, RandomFlip):
            place = np.round(place)
        for row, column, weight in taps_of(*place, height, width, bilinear, mode):
            y[n, i, j] += weight * (layer.fill_value if row is None else x[n, row, column])
    return y


@every_backend
@every_layer
@pytest.mark.parametrize("size", [(6, 7), (5, 4), (1, 1), (1, 6), (7, 1)])
def test_layer_against_the_formula(make, size, backend, rng):
    """In a plan: the numbers are those of the seed, the place and the step, four for each image."""
    layer = make()
    source = Input((*size, 3))
    graph = Graph([source], [layer(source)])
    x = rng.uniform(-1, 1, (5, *size, 3))
    result = run(graph, [x], [x], backend, dtype="float64")
    numbers = random.uniform(7, 0, 3, 4 * len(x)).reshape(-1, 4)  # seed and step as `run` sets them
    np.testing.assert_allclose(result.outputs[0], oracle(layer, x, numbers), atol=3e-7)


def test_directions():
    """Fixed amounts, by what a person sees: down and right, counter-clockwise, zooming out, halves of a turn."""
    x = np.arange(1, 37, dtype=np.float32).reshape(1, 6, 6, 1)
    moved = RandomTranslation((1 / 3, 1 / 3), (0.5, 0.5), fill_mode="constant")(x)[0, :, :, 0]
    expected = np.zeros((6, 6))
    expected[2:, 3:] = x[0, :4, :3, 0]
    np.testing.assert_allclose(moved, expected, atol=1e-5)
    turned = RandomRotation((0.25, 0.25), interpolation="nearest")(x)
    np.testing.assert_array_equal(turned[0], np.rot90(x[0]))
    smaller = RandomZoom((0.5, 0.5), (1.0, 1.0), fill_mode="constant")(np.ones((1, 9, 9, 1)))
    np.testing.assert_allclose(smaller[0, 4, :, 0], [0, 0, 1, 1, 1, 1, 1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(smaller[0, :, 4, 0], [0, 0.5, 1, 1, 1, 1, 1, 0.5, 0], atol=1e-6)
    larger = RandomZoom((-0.5, -0.5))(x)
    near = 2.5 + (np.arange(6) - 2.5) / 2
    np.testing.assert_allclose(larger[0, :, :, 0], 1 + 6 * near[:, None] + near, atol=1e-5)
    sheared = RandomShear((1.0, 1.0), interpolation="nearest", fill_mode="constant")
    rows = {tuple(sheared(x)[0, 1, :, 0]) for _ in range(40)}
    assert rows == {(8, 9, 10, 11, 12, 0), (0, 7, 8, 9, 10, 11)}  # both signs
    both = {RandomFlip()(x).tobytes() for _ in range(40)}
    assert both == {x.tobytes(), x[:, ::-1, ::-1].tobytes()}
    for mode, flipped in (("horizontal", x[:, :, ::-1]), ("vertical", x[:, ::-1])):
        assert {RandomFlip(mode)(x).tobytes() for _ in range(40)} == {x.tobytes(), flipped.tobytes()}


@every_mode
def test_what_lies_beyond_the_edges(mode):
    """The four pictures of the docstring."""
    x = np.array([1.0, 2, 3, 4]).reshape(1, 1, 4, 1)
    rows = [RandomTranslation(0, (s, s), fill_mode=mode, fill_value=7)(x).ravel().tolist() for s in (1, 0.5, -0.5, -1)]
    a, b, c, d = 1, 2, 3, 4
    expected = {
        "constant": [[7] * 4, [7, 7, a, b], [c, d, 7, 7], [7] * 4],
        "nearest": [[a] * 4, [a, a, a, b], [c, d, d, d], [d] * 4],
        "reflect": [[d, c, b, a], [b, a, a, b], [c, d, d, c], [d, c, b, a]],
        "wrap": [[a, b, c, d], [c, d, a, b], [c, d, a, b], [a, b, c, d]],
    }
    assert rows == expected[mode]


def test_statistics_of_what_is_drawn(seed):
    count, height, width = 20_000, 10, 20
    numbers = random.uniform(seed, 3, 0, 4 * count).reshape(-1, 4).T.astype(np.float64)

    def check(values, low, high):
        """Uniform between the limits."""
        assert low <= values.min()
        assert values.max() <= high
        quantiles = np.quantile((values - low) / (high - low), np.linspace(0.1, 0.9, 9))
        np.testing.assert_allclose(quantiles, np.linspace(0.1, 0.9, 9), atol=5 * 0.5 / np.sqrt(count))

    matrix = RandomTranslation(0.1, (0.2, -0.4)).matrix(numbers, height, width)
    check(-matrix[:, 1, 2] / height, -0.1, 0.1)
    check(-matrix[:, 0, 2] / width, -0.4, 0.2)
    assert abs(np.corrcoef(matrix[:, 1, 2], matrix[:, 0, 2])[0, 1]) < 5 / np.sqrt(count)
    matrix = RandomRotation((0.05, 0.2)).matrix(numbers, height, width)
    check(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]) / (2 * np.pi), 0.05, 0.2)
    matrix = RandomZoom(0.3).matrix(numbers, height, width)
    check(matrix[:, 0, 0], 0.7, 1.3)
    np.testing.assert_array_equal(matrix[:, 0, 0], matrix[:, 1, 1])
    matrix = RandomZoom((-0.5, 0), (0, 1)).matrix(numbers, height, width)
    check(matrix[:, 1, 1], 0.5, 1)
    check(matrix[:, 0, 0], 1, 2)
    matrix = RandomShear(0.3, (0.1, 0.2)).matrix(numbers, height, width)
    check(matrix[:, 0, 1], -0.3, 0.3)
    check(np.abs(matrix[:, 1, 0]), 0.1, 0.2)
    assert abs((matrix[:, 1, 0] > 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(count)
    matrix = RandomFlip("vertical").matrix(numbers, height, width)
    assert abs((matrix[:, 1, 1] < 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(count)
    assert (matrix[:, 0] == [1, 0, 0]).all()


# ------------------------------------------------------------------------------------------------------------- fusion


def chain(*stack, size=(7, 6), channels=3, expose=False):
    """The graph of layers in a row; `expose` makes every value an output, which keeps them apart."""
    values = [Input((*size, channels))]
    for layer in stack:
        values.append(layer(values[-1]))
    return Graph(values[:1], values[1:] if expose else values[-1:])


def steps_of(result):
    return [type(place.step).__name__ for place in result.plan.places]


def d4_augmentation(**options):
    options = {"fill_mode": "constant", "fill_value": 0} | options
    return [
        RandomTranslation(0.08, 0.08, **options),
        RandomRotation(0.1, **options),
        RandomZoom(0.1, **options),
        RandomShear(0.1, **options),
    ]


@every_backend
@every_mode
@interpolations
@pytest.mark.parametrize("fuses", [False, True])
def test_neighbours_become_one_warp_with_the_product_matrix(mode, interpolation, backend, fuses, rng):
    stack = [*d4_augmentation(fill_mode=mode, interpolation=interpolation), RandomFlip("horizontal")]
    x = rng.uniform(-1, 1, (5, 7, 6, 3))
    result = run(chain(*stack), [x], [x], backend, fuses=fuses, dtype="float64")
    assert steps_of(result) == ["Warp"]
    product = np.broadcast_to(np.eye(3), (5, 3, 3))
    for stream, layer in enumerate(stack):
        numbers = random.uniform(7, stream, 3, 20).reshape(5, 4).astype(np.float64)
        # columns: the places that the pixels (0, 0), (1, 0) and (0, 1) read
        places = np.array([[place_read(layer, u, *p, 7, 6) for p in ((0, 0), (1, 0), (0, 1))] for u in numbers])
        matrix = np.zeros((5, 3, 3))
        matrix[:, :2, 2], matrix[:, 2, 2] = places[:, 0], 1
        matrix[:, :2, 0], matrix[:, :2, 1] = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
        product = product @ matrix
    bilinear = interpolation == "bilinear"
    np.testing.assert_allclose(result.outputs[0], naive_warp(x, product[:, :2], bilinear, mode), atol=3e-7)
    np.testing.assert_allclose(result.dxs[0], naive_gradient(x, product[:, :2], bilinear, mode), atol=3e-6)


@every_backend
@every_mode
def test_flips_and_whole_pixels_are_the_sequence_exactly(mode, backend, rng):
    """Where nothing is interpolated and nothing comes back from beyond the edges, one pass is bitwise four passes."""
    shifts = [
        RandomFlip(),
        RandomTranslation((0.25, 0.25), (0.5, 0.5), fill_mode=mode, fill_value=3),
        RandomFlip("vertical"),
    ]
    x = rng.uniform(-1, 1, (9, 8, 8, 2)).astype(np.float32)
    once = run(chain(*shifts, size=(8, 8), channels=2), [x], [x], backend)
    apart = run(chain(*shifts, size=(8, 8), channels=2, expose=True), [x], [0 * x, 0 * x, x], backend)
    assert (steps_of(once), steps_of(apart)) == (["Warp"], ["Warp"] * 3)
    np.testing.assert_array_equal(once.outputs[0], apart.outputs[-1])
    assert_close(once.dxs[0], apart.dxs[0], 1e-6)


def test_one_pass_is_near_four_passes_inside(rng):
    """A smooth image, away from the edges: the sequence blurs a little more, nothing else differs."""
    i, j = np.mgrid[:40, :40]
    x = np.sin(i / 7 + np.arange(4)[:, None, None]) * np.cos(j / 9)
    once, apart = (
        run(chain(*d4_augmentation(), size=(40, 40), channels=1, expose=expose), [x[..., None]])
        for expose in (False, True)
    )
    inner = (slice(None), slice(14, 26), slice(14, 26))
    np.testing.assert_allclose(once.outputs[0][inner], apart.outputs[-1][inner], atol=0.02)
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(once.outputs[0][inner], apart.outputs[-1][inner])


@every_backend
def test_what_does_not_merge(backend, rng):
    x = rng.uniform(-1, 1, (2, 7, 6, 3))

    def count(*stack):
        return steps_of(run(chain(*stack), [x], backend=backend)).count("Warp")

    def move(**options):
        return RandomTranslation(0.2, 0.2, **options)

    assert count(move(), RandomRotation(0.1)) == 1
    assert count(move(), RandomRotation(0.1, fill_mode="wrap")) == 2
    assert count(move(), RandomRotation(0.1, interpolation="nearest")) == 2
    assert count(move(fill_mode="constant"), RandomZoom(0.1, fill_mode="constant", fill_value=1)) == 2
    assert count(move(fill_value=5), RandomZoom(0.1)) == 1  # of no meaning where edges are mirrored
    assert count(move(), RandomFlip(), RandomZoom(0.1), RandomFlip(), RandomFlip("vertical")) == 1
    assert count(RandomFlip(), move(fill_mode="wrap"), move()) == 2
    assert count(move(), Conv2D(3, 1), move()) == 2
    assert count(move(), Dropout(0.2), move()) == 2
    source = Input((7, 6, 3))
    first = move()(source)
    branches = Graph([source], [layers.Add()([move()(first), RandomFlip()(first)])])
    assert steps_of(run(branches, [x], backend=backend)).count("Warp") == 3
    first = move()(source, training=True)
    mixed = Graph([source], [RandomFlip()(first)])
    assert steps_of(run(mixed, [x], backend=backend)) == ["Warp", "Warp"]
    assert steps_of(run(mixed, [x], backend=backend, training=False)) == ["Warp", "Warp"]  # the second is the output


# ----------------------------------------------------------------------------------------------------- in a model


def small_model(*augmentation, seed=1):
    mc.utils.set_random_seed(seed)
    stack = [Conv2D(4, 3, activation="relu"), MaxPooling2D(), Flatten(), Dense(3, activation="softmax")]
    return mc.Sequential([Input((12, 11, 1)), *augmentation, *stack])


def data(count=70):
    rng = np.random.default_rng(4)
    return rng.random((count, 12, 11, 1), dtype=np.float32), rng.integers(0, 3, count)


def trained(backend, threads=None, seed=1, epochs=2, batch_size=32):
    if threads:
        mc.set_num_threads(threads)
    model = small_model(*d4_augmentation(), RandomFlip(), seed=seed)
    model.compile("sgd", "sparse_categorical_crossentropy", backend=backend)
    history = model.fit(*data(), batch_size=batch_size, epochs=epochs, verbose=0).history
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest(), history["loss"]


@every_backend
def test_training_repeats_with_the_seed_and_any_number_of_threads(backend):
    assert trained(backend, 1) == trained(backend, 2) == trained(backend)
    assert trained(backend, epochs=1) != trained(backend, epochs=1, seed=2)


def test_backends_train_on_the_same_images():
    np.testing.assert_allclose(trained("numpy")[1], trained("numba")[1], rtol=1e-4)


@every_backend
def test_only_training_augments(backend):
    """Prediction and evaluation are those of the model without the layers, and their plans do not even hold them."""
    mc.set_backend(backend)
    plain, augmented = small_model(), small_model(*d4_augmentation(), RandomFlip(), Dropout(0.5))
    augmented.set_weights(plain.get_weights())
    x, y = data()
    np.testing.assert_array_equal(augmented.predict(x), plain.predict(x))
    np.testing.assert_array_equal(augmented(x), plain(x))
    for model in (plain, augmented):
        model.compile("sgd", "sparse_categorical_crossentropy")
    assert augmented.evaluate(x, y, verbose=0) == plain.evaluate(x, y, verbose=0)
    assert (augmented(x, training=True) != plain(x)).any()
    steps = steps_of(run(augmented.graph, [x], backend=backend, training=False))
    assert "Warp" not in steps
    assert "Dropout" not in steps


def test_every_step_and_every_image_gets_transforms_of_its_own():
    layer = RandomRotation(0.5)
    source = Input((6, 6, 1))
    twice = mc.Model(source, [layer(source), layer(source)])
    x = np.tile(np.random.default_rng(0).random((1, 6, 6, 1)), (8, 1, 1, 1))
    images = [y for _ in range(3) for output in twice(x, training=True) for y in output]
    assert len({image.tobytes() for image in images}) == len(images)


def test_a_seed_of_the_layer():
    x = np.random.default_rng(0).random((4, 9, 9, 1))
    same = [RandomTranslation(0.4, 0.4, seed=seed)(x) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(same[0], same[1])
    assert (same[0] != same[2]).any()


def test_calls_on_arrays(rng):
    """As in Keras: a call of the layer, or of a model of nothing else, augments; any other model does not."""
    x = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    for augment in (RandomTranslation(0.4, 0.4), mc.Sequential([RandomFlip(), RandomRotation(0.2)])):
        y = augment(x)
        assert y.dtype == np.float32
        assert (y != x).any()
        assert (augment(x) != y).any()
        np.testing.assert_array_equal(augment(x, training=False), x)
    np.testing.assert_array_equal(augment.predict(x), x)
    model = mc.Sequential([RandomFlip(), Flatten()])
    np.testing.assert_array_equal(model(x), x.reshape(6, -1))
    nested = mc.Sequential([mc.Sequential([RandomTranslation(0.4, 0.4)])])
    assert (nested(x) != x).any()


def test_the_document_s_network():
    """D4: an unbuilt Sequential of augmentation is called on a tensor, is one row, and one warp in the plan."""
    source = Input((28, 28, 1))
    augment = mc.Sequential(d4_augmentation(), name="aug")
    x = augment(ZeroPadding2D(2)(source))
    for filters in (16, 32, 64):
        x = MaxPooling2D()(Conv2D(filters, 5, padding="same", activation="relu")(x))
    x = Flatten()(x)
    for units in (120, 84):
        x = Dense(units, activation="relu")(x)
    model = mc.Model(source, Dense(10, activation="softmax")(x))
    assert model.count_params() == 198_526
    lines = []
    model.summary(print_fn=lines.append)
    text = "\n".join(map(str, lines))
    assert text.count("aug (Sequential)") == 1
    assert "random_" not in text
    images = np.random.default_rng(0).random((4, 28, 28, 1))
    assert steps_of(run(model.graph, [images], training=True)).count("Warp") == 1


# --------------------------------------------------------------------------------------------- arguments and errors


@every_layer
def test_saved_configurations_make_equal_layers(make):
    layer = make()
    config = json.loads(json.dumps(layer.get_config()))
    copy = type(layer).from_config(config)
    numbers = random.uniform(1, 0, 0, 40).reshape(4, 10).astype(np.float64)
    np.testing.assert_array_equal(copy.matrix(numbers, 8, 9), layer.matrix(numbers, 8, 9))
    assert copy.sampling == layer.sampling


def test_positions_of_the_arguments_are_keras_s():
    tail = ["fill_mode", "interpolation", "seed", "fill_value", "data_format", "kwargs"]
    expected = {
        RandomTranslation: ["height_factor", "width_factor", *tail],
        RandomRotation: ["factor", *tail],
        RandomZoom: ["height_factor", "width_factor", *tail],
        RandomShear: [
            "x_factor",
            "y_factor",
            "interpolation",
            "fill_mode",
            "fill_value",
            "data_format",
            "seed",
            "kwargs",
        ],
        RandomFlip: ["mode", "seed", "data_format", "kwargs"],
    }
    for cls, names in expected.items():
        assert list(inspect.signature(cls).parameters) == names


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: RandomTranslation(1.5, 0),
            "`height_factor` must be a number from -1 to 1.*Received: height_factor=1.5",
        ),
        (lambda: RandomTranslation(0, (0.1, 0.2, 0.3)), "`width_factor` must be"),
        (lambda: RandomTranslation("0.1", 0), "`height_factor` must be"),
        (lambda: RandomTranslation(True, 0), "`height_factor` must be"),
        (lambda: RandomTranslation(float("nan"), 0), "`height_factor` must be"),
        (lambda: RandomTranslation((0, None), 0), "`height_factor` must be"),
        (lambda: RandomRotation(36), "`factor` must be a number from -1 to 1"),
        (lambda: RandomRotation(None), "`factor` must be a number"),
        (lambda: RandomRotation((2, "a")), "`factor` must be a number from -1 to 1.*a pair of finite numbers"),
        (lambda: RandomZoom(-1), "`height_factor` must be a number above -1 and up to 1"),
        (lambda: RandomZoom(0.1, (-1, 0)), "`width_factor` must be a number above -1"),
        (lambda: RandomShear(-0.1), "`x_factor` must be a number from 0 to 1"),
        (lambda: RandomShear(0, 2), "`y_factor` must be a number from 0 to 1"),
        (lambda: RandomFlip("sideways"), "`mode` must be one of 'horizontal_and_vertical'"),
        (lambda: RandomRotation(0.1, fill_mode="mirror"), "`fill_mode` must be one of 'constant'"),
        (lambda: RandomRotation(0.1, interpolation="cubic"), "`interpolation` must be one of 'bilinear'"),
        (lambda: RandomRotation(0.1, fill_value="black"), "`fill_value` must be a finite number"),
        (lambda: RandomRotation(0.1, seed=-1), "`seed` must be None or an integer"),
        (lambda: RandomRotation(0.1, data_format="first"), "channels_last"),
        (lambda: Rescaling("1/255"), "`scale` must be a number"),
        (lambda: Rescaling([[1.0], [2.0, 3.0]]), "`scale` must be a number"),
        (lambda: Rescaling(1, [[1.0, float("nan")]]), "`offset` must be a number.*finite"),
        (lambda: Rescaling(1, float("inf")), "`offset` must be a finite number"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_shapes():
    with pytest.raises(ShapeError, match=r"expected samples of 3 axes.*Received: \(None, 8, 8, 1, 1\)"):
        RandomFlip()(np.zeros((2, 8, 8, 1, 1)))
    with pytest.raises(
        ShapeError, match=r"scale needs one number, 3 numbers, one for each channel, or .*Received: .*\(2,\)"
    ):
        Rescaling([1, 2])(np.zeros((2, 8, 8, 3)))
    with pytest.raises(ShapeError, match="scale needs one number"):
        Rescaling([1, 2])(mc.Input(()))
    with pytest.raises(ShapeError, match=r"offset needs .* fits samples of shape \(3,\)\. Received: .*\(2, 3\)"):
        Rescaling(1, np.ones((2, 3)))(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"fits samples of shape \(\)\. Received: .*\(2,\)"):
        Rescaling([1, 2])(np.zeros(2))


def test_equal_ways_to_write_a_factor():
    """Limits in any order, NumPy's numbers, lists; Keras's own saved shears have a negative limit."""
    numbers = np.linspace(0, 1, 8).reshape(4, 2)
    for a, b in (
        (RandomRotation((0.3, -0.1)), RandomRotation([-0.1, 0.3])),
        (RandomRotation(np.float32(0.25)), RandomRotation(-0.25)),
        (RandomShear((-0.1, 0.1)), RandomShear(0.1)),
        (RandomZoom(1), RandomZoom((-1 + 1e-16, 1))),
    ):
        np.testing.assert_allclose(a.matrix(numbers, 5, 6), b.matrix(numbers, 5, 6), atol=1e-12)


# ---------------------------------------------------------------------------------------------------------- rescaling


@every_backend
def test_rescaling(backend, rng):
    mc.set_backend(backend)
    x = rng.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    assert_close(Rescaling(1 / 255)(x), x / 255, 1e-6)
    assert_close(Rescaling(1 / 127.5, offset=-1)(x, training=True), x / 127.5 - 1, 1e-6)
    assert_close(Rescaling([1, 2, 3], np.array([0, -1, 1]))(x), x * [1.0, 2, 3] + [0, -1, 1], 1e-6)
    model = mc.Sequential([Input((4, 5, 3)), Rescaling(2, 1)])
    assert_close(model.predict(x), x * 2.0 + 1, 1e-6)
