"""Functions, losses and penalties on a tape; the gradients are those of TensorFlow 2.21."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

layers, losses, activations = keras.layers, keras.losses, keras.activations


@pytest.fixture(params=["variable", "watched"])
def kind(request):
    return request.param


def gradient(function, start, kind="variable"):
    """The gradient of the sum of a function's values."""
    x = tf.Variable(start) if kind == "variable" else tf.constant(start)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(function(x))
    return tape.gradient(value, x)


NUMBERS = [[1.0, -2.0], [3.0, 0.25]]
# name → (function, its gradient at NUMBERS)
FUNCTIONS = {
    "relu by name": (lambda v: ops.relu(x=v), [[1, 0], [1, 1]]),
    "mean by name": (lambda v: ops.mean(x=v, axis=0), [[0.5, 0.5], [0.5, 0.5]]),
    "sum with its axis": (lambda v: ops.sum(v, 1, True) * v, [[-2, -2], [6.5, 6.5]]),
    "sum by name": (lambda v: ops.sum(x=v * v), [[2, -4], [6, 0.5]]),
    "multiply by name": (lambda v: ops.multiply(x1=v, x2=v), [[2, -4], [6, 0.5]]),
    "arctan2 by name": (lambda v: ops.arctan2(x1=v, x2=1.0), [[0.5, 0.2], [0.1, 0.941176]]),
    "clip by name": (lambda v: ops.clip(x=v, x_min=-1.0, x_max=2.0), [[1, 0], [0, 1]]),
    "where by name": (lambda v: ops.where(condition=v > 0, x1=v * v, x2=v), [[2, 1], [6, 0.5]]),
    "convert_to_tensor": (lambda v: tf.convert_to_tensor(v, dtype=tf.float32) ** 2, [[2, -4], [6, 0.5]]),
    "convert_to_tensor, computed": (lambda v: tf.convert_to_tensor(v * 2, tf.float32) ** 2, [[8, -16], [24, 2]]),
    "ops.convert_to_tensor": (lambda v: ops.convert_to_tensor(v, "float64") ** 2, [[2, -4], [6, 0.5]]),
    "list of two": (lambda v: tf.reduce_sum([v * v, v]), [[3, -3], [7, 1.5]]),
    "list with a number": (lambda v: tf.reduce_mean([tf.reduce_sum(v * v), 1.0]), [[1, -2], [3, 0.25]]),
    "list as a tensor": (lambda v: tf.convert_to_tensor([v, v]) ** 2, [[4, -8], [12, 1]]),
    "add_n": (lambda v: tf.add_n([v, v * v, v]), [[4, -2], [8, 2.5]]),
    "matmul": (lambda v: tf.matmul(v, v, transpose_b=True)[0], [[5, -3.75], [1, -2]]),
    "matmul, transposed": (lambda v: tf.linalg.matmul(v, v * 2.0, transpose_a=True)[0], [[0, 2], [12.5, 6]]),
    "einsum": (lambda v: tf.einsum("ij,kj->ik", v, v), [[8, -3.5], [8, -3.5]]),
    "einsum, one index alone": (lambda v: tf.einsum("ij,i->i", v, tf.constant([2.0, 3.0])), [[2, 2], [3, 3]]),
    "einsum, to a number": (lambda v: ops.einsum("ij,ij->", v, v), [[2, -4], [6, 0.5]]),
    "einsum, implicit": (lambda v: ops.einsum("ij,jk", v, v), [[3, 7.25], [-2.75, 1.5]]),
    "reverse": (lambda v: tf.reverse(v, axis=[0])[0] * v[0], [[3, 0.25], [1, -2]]),
    "repeat": (lambda v: tf.repeat(v, 3, axis=1) ** 2, [[6, -12], [18, 1.5]]),
    "slice": (lambda v: tf.slice(v, [0, 1], [-1, 1]) ** 2, [[0, -4], [0, 0.5]]),
    "broadcast_to": (lambda v: tf.broadcast_to(v, [3, 2, 2]) * v, [[6, -12], [18, 1.5]]),
    "moments": (
        lambda v: tf.nn.moments(v, [0])[1] + tf.nn.moments(v, axes=[0, 1])[0],
        [[-0.5, -0.625], [1.5, 1.625]],
    ),
    "reciprocal": (tf.math.reciprocal, [[-1, -0.25], [-0.111111, -16]]),
    "divide_no_nan": (lambda v: tf.math.divide_no_nan(v, tf.constant([0.0, 2.0])), [[0, 0.5], [0, 0.5]]),
    "total_variation": (lambda v: tf.image.total_variation(tf.reshape(v, (2, 2, 1))), [[0, -2], [2, 0]]),
    "gelu by tanh": (lambda v: tf.nn.gelu(v, approximate=True), [[1.082964, -0.086099], [1.011584, 0.695354]]),
    "gelu": (tf.nn.gelu, [[1.083316, -0.085232], [1.011946, 0.695372]]),
    "ops.gelu": (ops.gelu, [[1.082964, -0.086099], [1.011584, 0.695354]]),
    "activations.gelu": (activations.gelu, [[1.083316, -0.085232], [1.011946, 0.695372]]),
    "sign": (lambda v: tf.sign(v), [[0, 0], [0, 0]]),
    "sign times": (lambda v: tf.sign(v) * v, [[1, -1], [1, 1]]),
    "take": (lambda v: ops.take(v, [1, 1], axis=0) ** 2, [[0, 0], [12, 1]]),
    "split": (lambda v: ops.split(v, 2, axis=1)[1] ** 2, [[0, -4], [0, 0.5]]),
    "normalize": (lambda v: ops.normalize(v)[:, 0], [[0.357771, 0.178885], [0.002291, -0.027491]]),
    "stop_gradient": (lambda v: ops.stop_gradient(v) * v, [[1, -2], [3, 0.25]]),
    "top_k": (lambda v: tf.math.top_k(v, 1).values ** 2, [[2, 0], [6, 0]]),
    "gather_nd": (lambda v: tf.gather_nd(v, [[1, 0], [1, 0]]), [[0, 0], [2, 0]]),
    "roll": (lambda v: tf.roll(v, 1, axis=0)[0] ** 2, [[0, 0], [6, 0.5]]),
    "cast_to_floatx": (lambda v: keras.backend.cast_to_floatx(v) ** 2, [[2, -4], [6, 0.5]]),
    "map_fn": (lambda v: tf.map_fn(lambda row: row * row[0], v), [[0, 1], [6.25, 3]]),
    "scaled by the norm": (
        lambda v: tf.clip_by_global_norm([v], 1.0)[0][0],
        [[0.224, 0.352], [0.1386667, 0.256]],
    ),
    "penalty": (keras.regularizers.L2(0.1), [[0.2, -0.4], [0.6, 0.05]]),
    "penalties": (keras.regularizers.L1L2(0.01, 0.01), [[0.03, -0.05], [0.07, 0.015]]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, kind):
    function, expected = FUNCTIONS[name]
    np.testing.assert_allclose(gradient(function, NUMBERS, kind), expected, rtol=1e-5, atol=2e-6)


ACTIVATIONS = sorted({*activations.__all__} - {"get", "serialize", "deserialize", "threshold"})


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_on_the_tape(name, kind):
    function, start = getattr(activations, name), np.array([[0.3, -0.7, 1.4, 0.1], [-2.1, 0.4, 0.8, 3.2]])
    factors = np.array([[1.0, 2.0, -1.0, 0.5], [0.3, 1.5, -2.0, 1.0]])[:, : function(start).shape[1]]
    found = gradient(lambda v: function(v) * factors, start, kind)
    step, expected = 1e-6, np.zeros_like(start)
    for place in np.ndindex(start.shape):
        ends = []
        for sign in (1, -1):
            moved = start.copy()
            moved[place] += sign * step
            ends.append(np.sum(function(moved) * factors))
        expected[place] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_a_threshold_is_on_the_tape(kind):
    found = gradient(lambda v: activations.threshold(v, 0.5, -1.0) * v, NUMBERS, kind)
    np.testing.assert_allclose(found, [[2, -1], [6, -1]])


def test_gelu_is_the_approximation_where_keras_has_it():
    x = np.array([[-1.0, 0.5, 2.0]], "float32")
    by_tanh, exact = [[-0.15880801, 0.34571400, 1.9545977]], [[-0.15865526, 0.34573123, 1.9544997]]
    inputs = keras.Input((3,))
    of_ops = keras.Model(inputs, [ops.gelu(inputs), ops.gelu(inputs, False), activations.gelu(inputs)])
    for found, expected in zip(of_ops.predict(x, verbose=0), (by_tanh, exact, exact), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-6)
    for found, expected in ((ops.gelu(x), by_tanh), (ops.gelu(x, approximate=False), exact), (tf.nn.gelu(x), exact)):
        np.testing.assert_allclose(found, expected, rtol=2e-6)


@pytest.mark.parametrize(
    "name",
    [
        *("MeanSquaredError", "MeanAbsoluteError", "BinaryCrossentropy", "CategoricalCrossentropy", "Huber", "Poisson"),
        *("LogCosh", "KLDivergence", "CosineSimilarity", "Hinge", "Dice", "MeanSquaredLogarithmicError"),
    ],
)
def test_losses_take_their_arguments_by_name(name):
    target, start = np.array([[0.0, 1.0], [1.0, 0.0]], "float32"), np.array([[0.3, 0.7], [0.6, 0.4]], "float32")
    loss = getattr(losses, name)()
    expected = gradient(lambda v: loss(target, v), start)
    np.testing.assert_allclose(gradient(lambda v: loss(y_true=target, y_pred=v), start), expected)
    assert np.abs(expected).min() > 0


def test_loss_functions_take_their_arguments_by_name():
    target, start = np.array([[0.0, 1.0], [1.0, 0.0]], "float32"), np.array([[0.5, 0.75], [0.5, 3.0]], "float32")
    found = gradient(lambda v: losses.huber(y_true=target, y_pred=v), start)
    np.testing.assert_allclose(found, [[0.25, -0.125], [-0.25, 0.5]])


@pytest.mark.parametrize(
    ("reduction", "value", "expected"),
    [
        ("sum_over_batch_size", 6.5, [1.5, 8.0]),
        ("sum", 13.0, [3.0, 16.0]),
        ("mean_with_sample_weight", 3.25, [-0.0625, 3.1875]),
        (None, [1.0, 12.0], [3.0, 16.0]),
    ],
)
def test_weights_of_samples_are_on_the_tape(reduction, value, expected):
    w = tf.Variable([1.0, 3.0])
    for options in (lambda w: ((), {"sample_weight": w}), lambda w: ((w,), {})):
        loss = losses.MeanSquaredError(reduction=reduction)
        with tf.GradientTape() as tape:
            args, kwargs = options(w)
            made = loss([[0.0], [1.0]], tf.reshape(w, [2, 1]), *args, **kwargs)
            total = tf.reduce_sum(made)
        np.testing.assert_allclose(made.numpy(), value)
        np.testing.assert_allclose(tape.gradient(total, w), expected)


@pytest.mark.parametrize("taped", ["targets", "predictions", "weights"])
def test_a_weighted_mean_without_weights_is_0_on_the_tape_too(taped):
    """TensorFlow's `divide_no_nan`, whose gradients are 0."""
    given = {"targets": tf.Variable([[0.25], [0.5]]), "predictions": tf.Variable([[0.5], [0.75]])}
    given["weights"] = tf.Variable([0.0, 0.0])
    values = [v if name == taped else v.numpy() for name, v in given.items()]
    for cls in (losses.MeanSquaredError, losses.BinaryCrossentropy):
        with tf.GradientTape() as tape:
            made = cls(reduction="mean_with_sample_weight")(*values[:2], sample_weight=values[2])
        assert made.numpy() == 0
        np.testing.assert_array_equal(tape.gradient(made, given[taped]), np.zeros(given[taped].shape))


class _OfBatch(losses.Loss):
    def call(self, y_true, y_pred):
        return tf.reduce_mean((y_true - y_pred) ** 2)


def test_one_loss_of_a_batch_counts_for_each_weight_on_the_tape():
    """It is (¼² + ½²) / 2 = 5/32; the mean of the weights is 2."""
    start = {"targets": [[0.25], [0.5]], "predictions": [[0.5], [1.0]], "weights": [3.0, 1.0]}
    expected = {"targets": [[-0.5], [-1.0]], "predictions": [[0.5], [1.0]], "weights": [5 / 64, 5 / 64]}
    for taped, gradients in expected.items():
        given = {name: np.array(value, np.float32) for name, value in start.items()}
        given[taped] = v = tf.Variable(given[taped])
        with tf.GradientTape() as tape:
            made = _OfBatch()(given["targets"], given["predictions"], sample_weight=given["weights"])
        assert float(made) == 5 / 16
        np.testing.assert_allclose(tape.gradient(made, v), gradients)


def test_the_overlap_of_a_batch_is_differentiated_beside_weights():
    """Dice of 1 and ½: 1 − 2 · ½ / 1.5, whose derivative by ½ is −2 · 1 / 1.5²; the mean of the weights is 1.5."""
    v = tf.Variable([[0.5]])
    with tf.GradientTape() as tape:
        made = losses.Dice()([[1.0]], v, sample_weight=[[1.0], [2.0]])
    np.testing.assert_allclose(float(made), 0.5, rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(made, v), [[-4 / 3]], rtol=1e-6)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", None])
def test_no_gradient_comes_from_nan_where_a_class_is_ignored(reduction):
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255, reduction=reduction)
    made = gradient(lambda v: loss([0, 255], v), [[0.0, 0.0], [np.nan, 1.0]])
    np.testing.assert_allclose(made, [[-0.5, 0.5], [0, 0]], rtol=1e-6)  # softmax − target, as TensorFlow


def test_weights_beside_classes_that_are_ignored_are_refused():
    w, logits = tf.Variable([1.0, 3.0]), tf.constant([[0.2, 0.8], [0.6, 0.4]])
    loss = losses.SparseCategoricalCrossentropy(ignore_class=0)
    with (
        tf.GradientTape(),
        pytest.raises(NotImplementedError, match="by sample_weight beside ignore_class"),
    ):
        loss([0, 1], logits, w)


def test_a_layers_own_penalty_is_on_the_tape():
    layer = layers.Dense(2, kernel_regularizer="l2", use_bias=False)
    layer.build((None, 2))
    layer.kernel.assign(NUMBERS)
    with tf.GradientTape() as tape:
        value = layer.kernel_regularizer(layer.kernel)
    assert value.numpy() == pytest.approx(0.01 * 14.0625)
    np.testing.assert_allclose(tape.gradient(value, layer.kernel), 0.02 * np.array(NUMBERS), rtol=1e-6)
    assert keras.regularizers.L1(0.5)(np.array([1.0, -3.0])) == 2.0


def test_dropout_has_the_mask_of_the_recorded_call():
    x = tf.Variable(np.full((20, 20), 3.0, "float32"))
    with tf.GradientTape() as tape:
        y = tf.nn.dropout(x, 0.5, seed=1)
    found = tape.gradient(y, x)
    np.testing.assert_allclose(found * 3.0, y.numpy())
    assert {*found.numpy().ravel()} == {0.0, 2.0} and 100 < np.count_nonzero(found) < 300


def test_what_is_not_there_says_so():
    for module in (tf.nn, tf.math, tf.image, tf.linalg, tf.random):
        with pytest.raises(AttributeError, match=r"Unknown name in tf\.\w+.*Received: 'momentos'"):
            module.momentos  # noqa: B018


IMAGES = {
    "rgb_to_grayscale": lambda x: tf.image.rgb_to_grayscale(x),
    "grayscale_to_rgb": lambda x: tf.image.grayscale_to_rgb(x[..., :1]),
    "flip_left_right": lambda x: tf.image.flip_left_right(x),
    "flip_up_down": lambda x: tf.image.flip_up_down(x),
    "rot90": lambda x: tf.image.rot90(x),
    "convert_image_dtype": lambda x: tf.image.convert_image_dtype(x, tf.float32),
    "adjust_brightness": lambda x: tf.image.adjust_brightness(x, 0.1),
    "adjust_contrast": lambda x: tf.image.adjust_contrast(x, 1.3),
    "per_image_standardization": lambda x: tf.image.per_image_standardization(x),
    "central_crop": lambda x: tf.image.central_crop(x, 0.5),
    "crop_to_bounding_box": lambda x: tf.image.crop_to_bounding_box(x, 1, 2, 3, 4),
    "pad_to_bounding_box": lambda x: tf.image.pad_to_bounding_box(x, 1, 2, 9, 9),
    "resize_with_crop_or_pad": lambda x: tf.image.resize_with_crop_or_pad(x, 4, 9),
    "resize_with_pad": lambda x: tf.image.resize_with_pad(x, 9, 5),
    "psnr": lambda x: tf.image.psnr(x, x[::-1] * 0.5, 1.0),
    "antialias": lambda x: tf.image.resize(x, (3, 4), antialias=True),
    **{
        method: (lambda x, method=method: tf.image.resize(x, (9, 5), method=method))
        for method in ("bilinear", "nearest", "bicubic", "area", "lanczos3")
    },
    "ops grey": lambda x: keras.ops.image.rgb_to_grayscale(x),
    "ops crop": lambda x: keras.ops.image.crop_images(x, 1, 2, target_height=3, target_width=4),
    "ops crop, channels first": lambda x: keras.ops.image.crop_images(x, 1, 2, 3, 0, data_format="channels_first"),
    "ops pad": lambda x: keras.ops.image.pad_images(x, 1, 2, 3, 0),
    "ops resize": lambda x: keras.ops.image.resize(x, (9, 5)),
    "ops resize, channels first": lambda x: keras.ops.image.resize(x, (9, 5), data_format="channels_first"),
    "ops resize of one picture": lambda x: keras.ops.image.resize(x[0], (9, 5)),
    "ops resize, padded": lambda x: keras.ops.image.resize(x, (9, 5), "nearest", pad_to_aspect_ratio=True),
}


@pytest.mark.parametrize("name", IMAGES)
def test_functions_of_pictures(name, rng):
    """Against differences, on a tape and in a loss; the values are those without one."""
    x, direction = rng.random((2, 6, 7, 3)).astype(np.float32), rng.normal(size=(2, 6, 7, 3)).astype(np.float32)
    watched, function = tf.constant(x), IMAGES[name]
    plain = np.asarray(function(tf.constant(x)), np.float64)
    weights = rng.normal(size=plain.shape)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        made = function(watched)
        total = tf.reduce_sum(made * weights.astype(np.float32))
    gradient = tape.gradient(total, watched)
    np.testing.assert_allclose(made, plain, rtol=1e-5, atol=1e-5)
    ends = [np.sum(np.asarray(function(tf.constant(x + h * direction)), np.float64) * weights) for h in (1e-2, -1e-2)]
    assert np.sum(gradient * direction) == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=2e-2, abs=1e-2)
    model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Conv2D(3, 1)])
    model.compile("sgd", lambda y_true, y_pred: tf.reduce_mean(function(y_pred)))
    model.fit(x, x, verbose=0)


TARGETS = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]
OUTPUTS = [[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]
LOSSES = keras.losses
BY_BOTH = [  # the loss, its number and its gradients by targets and outputs of Keras 3.15, samples weighted 1 and 3
    (
        LOSSES.KLDivergence(),
        0.1281236,
        [[0.66824, 0.38843, 0.04185], [0.46028, 2.1082, 1.5]],
        [[-0.7, -0.4, -0.2], [-0.75, -2.25, -1.5]],
    ),
    (
        LOSSES.CategoricalCrossentropy(label_smoothing=0.1),
        1.9326037,
        [[0.31192, 0.62383, 0.62383], [2.17274, 2.17274, 0.68961]],
        [[-0.16333, 0.07333, 0.25333], [0.575, -0.775, 0.06667]],
    ),
    (
        LOSSES.CategoricalCrossentropy(from_logits=True, reduction="sum"),
        4.0453429,
        [[0.93907, 1.18907, 1.18907], [3.75127, 3.75127, 2.55127]],
        [[-0.30901, 0.1045, 0.2045], [0.55915, -0.04085, -0.5183]],
    ),
    (
        LOSSES.BinaryCrossentropy(label_smoothing=0.2),
        1.2161241,
        [[0, 0.14648, 0.14648], [0.55452, 0.55452, -0.16219]],
        [[-0.10667, -0.00889, 0.06222], [0.0625, -0.4375, 0.04167]],
    ),
    (
        LOSSES.BinaryCrossentropy(from_logits=True),
        1.4637088,
        [[-0.08333, -0.04167, -0.04167], [-0.1, -0.1, -0.3]],
        [[-0.01292, 0.06036, 0.07703], [0.22492, 0.12492, 0.02283]],
    ),
    (
        LOSSES.Poisson(),
        1.2919836,
        [[0.11552, 0.23105, 0.23105], [0.80472, 0.80472, 0.25541]],
        [[-0.06667, 0.03333, 0.1], [0.25, -0.25, 0]],
    ),
]


@pytest.mark.parametrize(("loss", "number", "by_targets", "by_outputs"), BY_BOTH)
def test_losses_whose_targets_are_on_the_tape(loss, number, by_targets, by_outputs):
    """As in Keras's example of distillation, whose teacher is called in `compute_loss`."""
    targets, outputs = tf.Variable(TARGETS), tf.Variable(OUTPUTS)
    with tf.GradientTape() as tape:
        value = loss(targets, outputs, sample_weight=np.array([1, 3], np.float32))
    gradients = tape.gradient(value, [targets, outputs])
    np.testing.assert_allclose(value, number, rtol=1e-5)
    np.testing.assert_allclose(gradients[0], by_targets, atol=2e-5)
    np.testing.assert_allclose(gradients[1], by_outputs, atol=2e-5)


@pytest.mark.parametrize(
    ("loss", "numbers", "by_outputs"),
    [
        (
            lambda t, p: LOSSES.categorical_crossentropy(t, p, False, 0.1),
            [0.92651, 0.97957],
            [[-0.32667, 0.14667, 0.50667], [0.38333, -0.51667, 0.04444]],
        ),
        (
            lambda t, p: LOSSES.binary_crossentropy(t, p, label_smoothing=0.2, axis=-1),
            [0.58397, 0.61609],
            [[-0.21333, -0.01778, 0.12444], [0.04167, -0.29167, 0.02778]],
        ),
    ],
)
def test_functions_of_crossentropies_take_kerass_arguments_on_a_tape(loss, numbers, by_outputs):
    outputs = tf.Variable(OUTPUTS)
    with tf.GradientTape() as tape:
        values = loss(np.array(TARGETS, np.float32), outputs)
    np.testing.assert_allclose(values, numbers, atol=2e-5)
    np.testing.assert_allclose(tape.gradient(values, outputs), by_outputs, atol=2e-5)


def test_the_slope_of_a_decision_at_0():
    """sigmoid(0) − t: of weights that begin as zeros, all logits are 0."""
    target = np.array([0, 1, 0.5], "float32")
    for loss in (
        tf.nn.sigmoid_cross_entropy_with_logits,
        lambda labels, logits: ops.binary_crossentropy(labels, logits, True),
    ):
        z = tf.constant(np.zeros(3, "float32"))
        with tf.GradientTape() as tape:
            tape.watch(z)
            total = tf.reduce_sum(loss(labels=target, logits=z))
        assert np.allclose(total.numpy(), 3 * np.log(2))
        assert np.allclose(tape.gradient(total, z), 0.5 - target)


class _TargetsLast(keras.losses.Loss):
    """GauGAN's loss of a discriminator, which gets what it decided first."""

    def __init__(self):
        super().__init__()
        self.hinge = keras.losses.Hinge()

    def call(self, decided, is_real):
        return self.hinge(is_real, decided)


@pytest.mark.parametrize("number", [-1.0, 1, np.float32(0.5), tf.constant(-1.0), np.array(0.5)], ids=str)
@pytest.mark.parametrize("loss", [_TargetsLast(), keras.losses.MeanSquaredError()], ids=lambda x: type(x).__name__)
def test_a_single_number_in_either_place_of_a_loss_is_one_for_all(loss, number):
    w = np.array([[0.3, -0.7], [0.4, 1.1], [-0.2, 0.6]], "float32")
    x = np.array([[1.0, 2.0, -1.0], [0.5, -0.3, 2.0]], "float32")
    y, t = x.astype(float) @ w, float(number)
    hinge = isinstance(loss, _TargetsLast)
    expected = np.maximum(1 - t * y, 0) if hinge else (y - t) ** 2  # (N, 2)
    slope = np.where(1 - t * y > 0, -t, 0.0) if hinge else 2 * (y - t)
    places = ((lambda p: (p, number)),) if hinge else ((lambda p: (p, number)), (lambda p: (number, p)))
    for order in places:
        weight = tf.Variable(w)
        with tf.GradientTape() as tape:
            value = loss(*order(tf.matmul(x, weight)))
        np.testing.assert_allclose(value, expected.mean(), rtol=1e-5)
        np.testing.assert_allclose(tape.gradient(value, weight), x.T @ slope / y.size, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(loss(*order(np.asarray(y, "float32"))), expected.mean(), rtol=1e-5)


class _Matching(keras.losses.Loss):
    """GauGAN's loss of features: how far those of two pictures are from each other, layer by layer."""

    def __init__(self):
        super().__init__()
        self.mae = keras.losses.MeanAbsoluteError()

    def call(self, y_true, y_pred):
        loss = 0
        for i in range(len(y_true) - 1):
            loss += self.mae(y_true[i], y_pred[i])
        return loss


class _OfADict(keras.losses.Loss):
    def call(self, y_true, y_pred):
        squared = ops.mean(ops.square(y_true["a"] - y_pred["a"]), axis=-1)
        return squared + ops.mean(ops.abs(y_true["b"] - y_pred["b"]), axis=-1)


def test_a_loss_of_one_s_own_gets_lists_and_dicts_of_arrays_as_they_are():
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="tanh")(inputs)
    outputs = keras.layers.Dense(2)(hidden)
    model = keras.Model(inputs, [hidden, outputs, keras.layers.Dense(1)(outputs)])
    model.set_weights([np.random.RandomState(k).randn(*w.shape) for k, w in enumerate(model.get_weights())])
    x, z = (np.random.RandomState(seed).randn(4, 3).astype("float32") for seed in (9, 8))
    weights, targets = np.array([1, 2, 3, 4], "float32"), model(z)

    def in_dicts(one, other):
        return [{"a": each[0], "b": each[1]} for each in (one, other)]

    cases = (  # with what Keras 3.15 gives, and the sums of its gradients' amounts
        (lambda made: _Matching()(targets, made), 3.09597, [1.2825, 1.2164, 1.6761, 0.5]),
        (lambda made: _Matching()(made, tuple(targets)), 3.09597, [1.2825, 1.2164, 1.6761, 0.5]),
        (lambda made: _Matching()(model(z), made), 3.09597, [2.145, 0.8705, 2.532, 0.0]),
        (lambda made: _OfADict()(*in_dicts(targets, made)), 3.56642, [1.1991, 1.4237, 1.6761, 0.5]),
        (lambda made: _OfADict()(*in_dicts(targets, made), weights), 9.85374, [5.8146, 3.7842, 4.0562, 1.5]),
    )
    for loss, number, amounts in cases:
        with tf.GradientTape() as tape:
            value = loss(model(x))
        gradients = tape.gradient(value, model.trainable_variables)
        np.testing.assert_allclose(value, number, rtol=1e-5)
        np.testing.assert_allclose(loss(model(x)), number, rtol=1e-5)
        np.testing.assert_allclose([np.abs(g).sum() for g in gradients[:4]], amounts, atol=2e-4)
    grey = [np.array([[200], [3]], "uint8"), np.zeros((2, 1), "uint8")]
    assert _Matching()([255 - part for part in grey], grey) == np.mean([abs(55 - 200), abs(252 - 3)])
