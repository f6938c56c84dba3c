"""Gradients of gradients: every layer against central differences, in float64, of its first-order gradients."""

import inspect

import numpy as np
import pytest
from test_gradient_tape_functions import ACTIVATIONS, FUNCTIONS

import minicnn as mc
from minicnn import keras
from minicnn import layers as core_layers
from minicnn.keras import tensorflow as tf

layers = keras.layers
STEP = 1e-6


@pytest.fixture(autouse=True, params=["numpy", "numba"])
def double(request):
    """float64, on both backends of processors."""
    mc.set_backend(request.param)
    mc.utils.set_floatx("float64")
    mc.utils.set_random_seed(3)
    yield
    mc.utils.set_floatx("float32")
    mc.set_backend("numba")


def numbers(shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def along(gradients, directions):
    """Σ gradient · direction over all."""
    parts = [tf.reduce_sum(g * d) for g, d in zip(gradients, directions, strict=True) if g is not None]
    return sum(parts[1:], parts[0])


def first_order(function, arrays, weights, directions):
    """The derivative along `directions` of a function of tensors, on one tape."""
    tensors = [tf.constant(a) for a in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(tensors)
    return float(along(tape.gradient(value, [*tensors, *weights]), directions))


def check(function, arrays, weights, rtol=2e-5):
    """Hessian times a vector of a function of tensors, along another one, against differences of gradients."""
    shapes = [a.shape for a in arrays] + [w.shape for w in weights]
    one, two = ([numbers(s, 10 * seed + i) for i, s in enumerate(shapes)] for seed in (1, 2))
    tensors = [tf.constant(a) for a in arrays]
    with tf.GradientTape() as outer:
        outer.watch(tensors)
        with tf.GradientTape() as inner:
            inner.watch(tensors)
            value = function(tensors)
        slope = along(inner.gradient(value, [*tensors, *weights]), one)
    found = float(along(outer.gradient(slope, [*tensors, *weights], unconnected_gradients="zero"), two))
    start, values = [np.array(w) for w in weights], []
    for sign in (STEP, -STEP):
        for weight, before, way in zip(weights, start, two[len(arrays) :], strict=True):
            weight.assign(before + sign * way)
        moved = [a + sign * way for a, way in zip(arrays, two, strict=False)]
        values.append(first_order(function, moved, weights, one))
    for weight, before in zip(weights, start, strict=True):
        weight.assign(before)
    expected = (values[0] - values[1]) / (2 * STEP)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-6)
    return found


def model_of(layer, shapes):
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs if len(inputs) > 1 else inputs[0], layer(inputs if len(inputs) > 1 else inputs[0]))
    for i, weight in enumerate(model.weights):
        values = numbers(weight.shape, 40 + i) * 0.5
        weight.assign(np.abs(values) + 0.5 if weight.name in ("moving_variance", "gamma", "variance") else values)
    return model


def examples():
    for name in core_layers.__all__:
        cls = getattr(core_layers, name)
        is_random = name.startswith("Random") and name != "RandomCrop"
        if inspect.isclass(cls) and hasattr(cls, "examples") and not is_random:
            for number in range(len(list(cls.examples()))):
                yield pytest.param(name, number, id=f"{name}-{number}")


# Whose gradients have none here, but for those that change images at random, and need no gradient.
REFUSED = {"AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "ArgMax", "AutoContrast", "RandomCrop"}
REFUSED_IN_TRAINING = REFUSED | {"CutMix", "Equalization", "MixUp", "Pipeline", "Solarization"}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "number"), list(examples()))
def test_every_layer(name, number, training):
    layer, shapes = list(getattr(core_layers, name).examples())[number]
    model = model_of(layer, shapes)
    arrays = [np.abs(numbers((3, *shape), 7 + i)) + 0.1 for i, shape in enumerate(shapes)]

    def function(tensors):
        mc.utils.set_random_seed(3)  # the same dropout each time
        vars(model).pop("_runs", None)
        y = model(tensors if len(tensors) > 1 else tensors[0], training=training)
        return tf.reduce_sum(tf.sin(y * 1.3))

    if name in (REFUSED_IN_TRAINING if training else REFUSED):
        with pytest.raises(NotImplementedError, match=rf"second order.*{model.layers[-1].name}"):
            check(function, arrays, model.trainable_weights)
    else:
        check(function, arrays, model.trainable_weights)


UNSEEN_BY_DIFFERENCES = {"convert_to_tensor", "convert_to_tensor, computed", "stop_gradient"}  # the first in float32


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in UNSEEN_BY_DIFFERENCES])
def test_functions(name):
    function = FUNCTIONS[name][0]
    check(lambda t: tf.reduce_sum(tf.sin(function(t[0] * t[0]) * 1.7)), [np.array([[1.0, -2.0], [3.0, 0.5]])], [])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    function = getattr(keras.activations, name)
    options = (0.5, -1.0) if name == "threshold" else ()
    check(lambda t: tf.reduce_sum(tf.sin(function(t[0] * 1.5, *options))), [numbers((3, 4), 5)], [])


IMAGES, KERNEL = numbers((2, 6, 5, 4), 1), numbers((3, 2, 4, 3), 2)
OF_IMAGES = {
    "conv2d": (lambda x, k: tf.nn.conv2d(x, k, strides=2, padding="SAME"), KERNEL),
    "conv2d, dilated": (lambda x, k: tf.nn.conv2d(x, k, strides=1, padding="VALID", dilations=2), KERNEL),
    "grouped": (lambda x, k: keras.ops.conv(x, k, padding="same"), numbers((3, 3, 2, 6), 2)),
    "depthwise": (lambda x, k: keras.ops.depthwise_conv(x, k, padding="same"), numbers((3, 3, 4, 2), 2)),
    "transposed": (lambda x, k: keras.ops.conv_transpose(x, k, strides=2, padding="same"), numbers((3, 3, 5, 4), 2)),
    "max_pool": (lambda x, k: tf.nn.max_pool2d(x * k, 3, 2, "SAME"), numbers((4,), 2)),
    "avg_pool": (lambda x, k: tf.nn.avg_pool2d(x * k, 3, 2, "SAME"), numbers((4,), 2)),
    "matmul": (lambda x, k: tf.matmul(tf.reshape(x, (2, -1)), k), numbers((120, 3), 2)),
    "inverse": (lambda x, k: tf.linalg.inv(k) * tf.reduce_sum(x), numbers((3, 3), 2)),
    "batch_normalization": (
        lambda x, k: tf.nn.batch_normalization(x, *tf.nn.moments(x, [0, 1, 2]), k, k, 1e-3),
        KERNEL[0, 0, :, 0],
    ),
    "l2_normalize": (lambda x, k: tf.math.l2_normalize(x * k, axis=[1, 2, 3]), numbers((4,), 2)),
    "softmax": (lambda x, k: tf.nn.softmax(x * k), numbers((4,), 2)),
    "norm": (lambda x, k: tf.norm(x * k, axis=-1), numbers((4,), 2)),
    "powers": (lambda x, k: tf.exp(-((x * k) ** 4)) + (tf.abs(x) + 1.0) ** k, numbers((4,), 2)),
    "padded": (lambda x, k: tf.pad(x * k, [[0, 0], [1, 2], [0, 1], [0, 0]]) ** 2, numbers((4,), 2)),
    "std": (lambda x, k: tf.math.reduce_std(x * k, axis=[1, 2]), numbers((4,), 2)),
    "logsumexp": (lambda x, k: tf.reduce_logsumexp(x * k, axis=-1), numbers((4,), 2)),
}


@pytest.mark.parametrize("name", OF_IMAGES)
def test_functions_of_images(name):
    function, other = OF_IMAGES[name]
    check(lambda t: tf.reduce_sum(tf.sin(function(*t))), [IMAGES, other], [])


CLASSES, CHANCES = np.eye(3)[[0, 2, 1, 1]], np.random.default_rng(0).dirichlet(np.ones(3), 4)
LOSSES = {
    "mean_squared_error": (keras.losses.MeanSquaredError(), CHANCES),
    "mean_absolute_error": (keras.losses.MeanAbsoluteError(), CHANCES),
    "binary": (keras.losses.BinaryCrossentropy(label_smoothing=0.1), CLASSES),
    "binary, logits": (keras.losses.BinaryCrossentropy(from_logits=True), CLASSES),
    "categorical": (keras.losses.CategoricalCrossentropy(), CLASSES),
    "categorical, logits": (keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2), CHANCES),
    "sparse": (keras.losses.SparseCategoricalCrossentropy(), np.array([0, 2, 1, 1])),
    "sparse, logits, sum": (keras.losses.SparseCategoricalCrossentropy(True, reduction="sum"), np.array([0, 2, 1, 1])),
    "a function": (keras.losses.binary_crossentropy, CLASSES),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    loss, target = LOSSES[name]
    check(lambda t: tf.reduce_sum(loss(target, tf.sigmoid(t[0] * 2.0) ** 2)), [numbers((4, 3), 3)], [])


def test_losses_without_a_formula_are_refused():
    with pytest.raises(NotImplementedError, match=r"'KLDivergence'.*second order.*BinaryCrossentropy"):
        check(lambda t: keras.losses.KLDivergence()(CHANCES, tf.nn.softmax(t[0])), [numbers((4, 3), 3)], [])
