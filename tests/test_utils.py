"""The helpers of `minicnn.utils`."""

import inspect
import random

import numpy as np
import pytest
from hypothesis import assume, given
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
        (["a"], None, r"integers from 0 on; .*numpy.unique.*\. Received: dtype <U1"),
        ([], None, r"integers from 0 on. Received: dtype float64, 0 values"),
        ([np.inf], None, r"integers from 0 on. Received: dtype float64, 1 values"),
        ([np.nan], 3, r"integers from 0 on. Received: dtype float64, 1 values"),
        (np.array([2**63], "uint64"), 3, r"must lie in 0 … 2. Received: 9223372036854775808 … 9223372036854775808"),
        (np.array([2**63], "uint64"), None, r"must lie in 0 … 16777215. Received: 9223372036854775808"),
        ([1e30], None, r"must lie in 0 … 16777215. Received: 1000"),
        ([-2], None, r"must lie in 0 … 0. Received: -2 … -2"),
        ([0], 0, r"`num_classes` must be an integer of at least 1. Received: num_classes=0"),
    ],
)
def test_labels_that_are_none(labels, classes, message):
    with pytest.raises(ValueError, match=message):
        utils.to_categorical(labels, classes)


def test_one_hot_rows_take_no_more_memory_than_they_have():
    """A matrix of all classes would have 10**12 entries here."""
    rows = utils.to_categorical([999_999, 3])
    assert rows.shape == (2, 1_000_000)
    assert [np.flatnonzero(row).tolist() for row in rows] == [[999_999], [3]]


def test_one_hot_of_truth_values_and_of_more_axes():
    assert utils.to_categorical([True, False]).tolist() == [[0, 1], [1, 0]]
    assert utils.to_categorical([[0, 1], [1, 1]]).tolist() == [[[1, 0], [0, 1]], [[0, 1], [0, 1]]]


KERAS_ARGUMENTS = {  # of Keras 3, as facts of its API
    utils.to_categorical: "x num_classes=None",
    utils.normalize: "x axis=-1 order=2",
    utils.plot_model: "model to_file show_shapes=False show_dtype=False show_layer_names=False rankdir='TB' "
    "expand_nested=False dpi=200 show_layer_activations=False show_trainable=False splines='ortho' "
    "show_details=False",  # the last one is ours
    mc.callbacks.EarlyStopping: "monitor='val_loss' min_delta=0 patience=0 verbose=0 mode='auto' baseline=None "
    "restore_best_weights=False start_from_epoch=0",
    mc.callbacks.ModelCheckpoint: "filepath monitor='val_loss' verbose=0 save_best_only=False save_weights_only=False "
    "mode='auto' save_freq='epoch' initial_value_threshold=None",
    mc.callbacks.ReduceLROnPlateau: "monitor='val_loss' factor=0.1 patience=10 verbose=0 mode='auto' min_delta=0.0001 "
    "cooldown=0 min_lr=0.0",
    mc.callbacks.BackupAndRestore: "backup_dir save_freq='epoch' double_checkpoint=False delete_checkpoint=True",
    mc.callbacks.CSVLogger: "filename separator=',' append=False",
    mc.callbacks.LearningRateScheduler: "schedule verbose=0",
    mc.callbacks.TerminateOnNaN: "raise_error=False",
    mc.callbacks.LambdaCallback: "on_epoch_begin=None on_epoch_end=None on_train_begin=None on_train_end=None "
    "on_train_batch_begin=None on_train_batch_end=None functions",
}


@pytest.mark.parametrize("function", KERAS_ARGUMENTS, ids=lambda function: function.__name__)
def test_arguments_have_the_names_order_and_defaults_of_keras(function):
    """But for `to_file`: a figure is written where a file is named."""
    parameters = inspect.signature(function).parameters.values()
    ours = [p.name if p.default is p.empty or p.name == "to_file" else f"{p.name}={p.default!r}" for p in parameters]
    assert " ".join(ours) == KERAS_ARGUMENTS[function]


# ------------------------------------------------------------------------------------------------- confusion matrix


@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_confusion_counts_pairs(pairs):
    true, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    expected = np.zeros((5, 5), int)
    for t, p in pairs:
        expected[t, p] += 1
    forms = ((true, predicted), (true[:, None], np.eye(5)[predicted]), (np.eye(5)[true], predicted.astype(float)))
    for y_true, y_pred in forms:
        matrix = mc.metrics.confusion_matrix(y_true, y_pred, classes=5)
        assert matrix.dtype == np.int64
        assert matrix.tolist() == expected.tolist()
    highest = max(true.max(), predicted.max()) + 1
    assert mc.metrics.confusion_matrix(true, predicted).tolist() == expected[:highest, :highest].tolist()
    assert mc.metrics.confusion_matrix(true, np.eye(5)[predicted]).shape == (5, 5)


@pytest.mark.parametrize(
    ("true", "predicted", "classes", "message"),
    [
        ([0, 1], [0], None, "2 in y_true, 1 in y_pred"),
        ([], [], None, "0 in y_true, 0 in y_pred"),
        ([0, 3], [0, 1], 3, r"must lie in 0 … 2. Received: 3"),
        ([0, -1], [0, 1], None, r"y_true holds class numbers.*from -1 to 0"),
        ([0, 1], [0.2, 0.7], None, r"y_pred holds class numbers.*\(p > 0.5\).astype\(int\).*from 0.2 to 0.7"),
        ([0, 1], [[0.5, np.nan], [0, 1]], None, "y_pred holds class numbers"),
        (["a", "b"], [0, 1], None, "y_true holds class numbers.*numpy.unique.*dtype <U1"),
        ([0], [0], 0, "`classes` must be an integer of at least 1"),
    ],
)
def test_classes_that_cannot_be_counted(true, predicted, classes, message):
    with pytest.raises(ValueError, match=message):
        mc.metrics.confusion_matrix(true, predicted, classes)


# ------------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int64", "bool"])
def test_pixels_become_floats(rng, dtype):
    pixels = rng.integers(0, 256, (2, 3, 4)).astype(dtype)
    pixels.flags.writeable = False
    scaled = utils.normalize_images(pixels[:, ::-1])
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, pixels[:, ::-1].astype(float) / 255, rtol=1e-6)
    with pytest.raises(TypeError, match=r"real numbers\..*Received: dtype <U1"):
        utils.normalize_images(["a"])


@pytest.mark.parametrize("shape", [(5, 4, 3), (2, 5, 4, 3), (0, 5, 4, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_grey(rng, shape, dtype):
    images = np.asfortranarray(rng.integers(0, 256, shape).astype(dtype))
    grey = utils.to_grayscale(images)
    assert grey.dtype == np.float32
    assert grey.shape == (*shape[:-1], 1)
    red, green, blue = np.moveaxis(images.astype(float), -1, 0)
    np.testing.assert_allclose(grey[..., 0], 0.299 * red + 0.587 * green + 0.114 * blue, rtol=1e-6)
    np.testing.assert_allclose(
        utils.to_grayscale(np.full((1, 1, 3), 255, "uint8")), 255, rtol=1e-6
    )  # white stays white


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 4, 1), (2, 5, 4, 4)])
def test_what_has_no_colours(shape):
    with pytest.raises(mc.errors.ShapeError, match=r"to_grayscale takes colour images.*Received: shape"):
        utils.to_grayscale(np.zeros(shape))


def is_one_image(shape):
    """(N, H, W) with a width of 1 or 3 is read as (H, W, 1) or (H, W, 3)."""
    return len(shape) == 3 and shape[-1] in (1, 3)


@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    channels=st.sampled_from([(), (1,), (3,)]),
    dx=st.integers(-8, 8),
    dy=st.integers(-8, 8),
    fill=st.integers(0, 9),
    dtype=st.sampled_from(["uint8", "float32", "float64"]),
    seed=st.integers(0, 2**31),
)
def test_moved_pixels(size, channels, dx, dy, fill, dtype, seed):
    assume(not is_one_image((2, *size, *channels)))
    images = np.random.default_rng(seed).integers(0, 256, (2, *size, *channels)).astype(dtype)
    images.flags.writeable = False
    moved = utils.translate_images(images, dx, dy, fill)
    assert (moved.dtype, moved.shape) == (images.dtype, images.shape)
    for row in range(size[0]):
        for column in range(size[1]):
            comes_from = row - dy, column - dx  # + is down and right
            inside = 0 <= comes_from[0] < size[0] and 0 <= comes_from[1] < size[1]
            expected = images[:, comes_from[0], comes_from[1]] if inside else fill
            assert np.array_equal(moved[:, row, column], np.broadcast_to(expected, moved[:, row, column].shape))


def test_fill_may_be_any_value_that_pixels_have():
    assert utils.translate_images(np.zeros((1, 1, 1, 1), "float32"), 1, 0, fill=0.1).item() == np.float32(0.1)
    for fill in (300, -1, 0.5):
        with pytest.raises(ValueError, match="`fill` must be a value that uint8 pixels can have"):
            utils.translate_images(np.zeros((1, 1, 2), "uint8"), 1, 0, fill)


@pytest.mark.parametrize(("dx", "dy", "name"), [(0.5, 0, "dx"), (0, None, "dy"), (True, 0, "dx")])
def test_images_move_by_whole_pixels(dx, dy, name):
    with pytest.raises(ValueError, match=f"`{name}` is a whole number of pixels"):
        utils.translate_images(np.zeros((1, 2, 2)), dx, dy)


@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    new_size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.sampled_from([(), (1,), (3,)]),
    seed=st.integers(0, 2**31),
)
def test_resized_images(size, new_size, channels, seed):
    """Pixel by pixel: the new pixel's centre on the old grid, between the four pixels around it."""
    assume(not is_one_image((2, *size, *channels)))
    images = np.random.default_rng(seed).integers(0, 256, (2, *size, *channels)).astype("uint8")
    resized = utils.resize_images(images, new_size)
    assert resized.dtype == np.float32
    assert resized.shape == (2, *new_size, *channels)
    for row in range(new_size[0]):
        for column in range(new_size[1]):
            y, x = (row + 0.5) * size[0] / new_size[0] - 0.5, (column + 0.5) * size[1] / new_size[1] - 0.5
            top, left = int(np.floor(y)), int(np.floor(x))
            expected = 0
            for i, wy in ((top, 1 - (y - top)), (top + 1, y - top)):
                for j, wx in ((left, 1 - (x - left)), (left + 1, x - left)):
                    i_inside, j_inside = min(max(i, 0), size[0] - 1), min(max(j, 0), size[1] - 1)
                    expected = expected + wy * wx * images[:, i_inside, j_inside].astype(float)
            np.testing.assert_allclose(resized[:, row, column], expected, atol=1e-3)


def test_many_images_are_resized_in_parts(rng, monkeypatch):
    images = rng.random((7, 4, 4))
    whole = utils.resize_images(images, 6)
    monkeypatch.setattr(utils, "IMAGES_AT_ONCE", 3)
    np.testing.assert_array_equal(utils.resize_images(images, (6, 6)), whole)
    assert utils.resize_images(images[:0], 6).shape == (0, 6, 6)


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4, 3, 1), (1, 0, 4), (32, 32, 3), (28, 28, 1)])
def test_what_are_no_images(shape):
    message = r"takes images .*write image\[None\] for one. .*Received: shape"
    for change in (lambda x: utils.resize_images(x, 2), lambda x: utils.translate_images(x, 1, 1)):
        with pytest.raises(mc.errors.ShapeError, match=message):
            change(np.zeros(shape))


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
