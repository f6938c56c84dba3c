"""Gradients of gradients: every layer against central differences, in float64, of its first-order gradients."""

import gc
import inspect

import numpy as np
import pytest
from test_gradient_tape_functions import ACTIVATIONS, FUNCTIONS

import minicnn as mc
from minicnn import keras
from minicnn import layers as core_layers
from minicnn.differentiation import Recorded, value_of
from minicnn.keras import tensorflow as tf
from minicnn.keras._taped import Taped

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
    return sum(parts[1:], parts[0]) if parts else tf.constant(0.0)  # nothing depends on them


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
REFUSED = {*(f"AdaptiveMaxPooling{rank}D" for rank in (1, 2, 3)), "ArgMax", "AutoContrast", "RandomCrop"}
REFUSED_IN_TRAINING = REFUSED | {"AugMix", "CutMix", "Equalization", "MixUp", "Pipeline", "RandAugment", "Solarization"}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "number"), list(examples()))
def test_every_layer(name, number, training):
    if training and name == "SpectralNormalization":
        pytest.skip("finite differences do not see what a call does to the kernel: test_spectral_normalization.py")
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
    with pytest.raises(NotImplementedError, match=r"'kl_divergence'.*second order.*BinaryCrossentropy"):
        check(lambda t: keras.losses.KLDivergence()(CHANCES, tf.nn.softmax(t[0])), [numbers((4, 3), 3)], [])


def penalty(model, x, **options):
    """The mean squared gradient of a model by its input, and the tape that has it."""
    with tf.GradientTape(**options) as outer:
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = model(x, training=True)
        value = tf.reduce_mean(tf.square(inner.gradient(y, x)))
    return value, outer


def dense(*inner):
    return keras.Sequential([keras.Input((4,)), layers.Dense(5), *inner, layers.Dense(1)])


def rows():
    return tf.constant(numbers((3, 4), 0))


@pytest.mark.parametrize("inner", [layers.ReLU(), layers.LeakyReLU(), layers.Activation(keras.ops.abs)])
def test_what_counts_by_zero_has_zero_and_not_none_as_in_tensorflow(inner):
    model = dense(inner)
    value, tape = penalty(model, rows())
    kernel, bias, last, none = tape.gradient(value, model.weights)
    assert np.abs(kernel).max() > 0 and np.abs(last).max() > 0 and none is None
    assert bias is not None and (bias == 0).all()


def test_weights_are_those_of_the_call():
    model, x = dense(layers.Activation("tanh")), rows()
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = model(x)
        before = model.get_weights()
        model.set_weights([np.zeros_like(w) for w in before])
        value = tf.reduce_sum(tf.square(inner.gradient(y, x)))
    found = outer.gradient(value, model.trainable_weights[0])
    model.set_weights(before)
    other, tape = penalty(model, x)
    np.testing.assert_allclose(value, other * 12)
    np.testing.assert_allclose(found, tape.gradient(other, model.trainable_weights[0]) * 12)


def test_averages_of_batch_normalization_move_once():
    model = dense(layers.BatchNormalization())
    once = keras.models.clone_model(model)
    once.set_weights(model.get_weights())
    x = rows()
    once(x, training=True)
    penalty(model, x)
    np.testing.assert_allclose(model.layers[1].moving_mean.numpy(), once.layers[1].moving_mean.numpy())


def test_dropout_has_the_mask_of_the_call():
    model, x = (
        keras.Sequential([keras.Input((40,)), layers.Dropout(0.5), layers.Rescaling(2.0)]),
        tf.constant(np.ones((2, 40))),
    )
    with tf.GradientTape():
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = model(x, training=True)
        gradient = inner.gradient(y, x)
    np.testing.assert_array_equal(gradient.numpy(), y.numpy())
    assert 10 < np.count_nonzero(y.numpy()) < 70


class Squared(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs):
        self.count.assign_add(1.0)
        return keras.ops.square(inputs) * self.scale


class Chosen(keras.Model):
    """Its call depends on numbers, so that it runs layer by layer."""

    def __init__(self):
        super().__init__()
        self.first, self.last = layers.Dense(5, activation="tanh"), layers.Dense(1)

    def call(self, inputs):
        return self.last(self.first(inputs * 2.0 if float(tf.reduce_mean(inputs)) > -100 else inputs))


def several_outputs():
    inputs = keras.Input((4,))
    inner = layers.Dense(5, activation="tanh")(inputs)
    model = keras.Model(inputs, [layers.Dense(1)(inner), inner])
    return model, lambda t: tf.reduce_sum(model(t)[0]) + tf.reduce_sum(model(t)[1] ** 2)


def penalized():
    options = {"activity_regularizer": "l2", "kernel_regularizer": "l1_l2"}
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="tanh", **options), layers.Dense(1)])
    return model, lambda t: tf.reduce_sum(model(t)) ** 2 + tf.add_n(model.losses)


def of_a_function(model):
    return model, lambda t: tf.reduce_sum(tf.sin(model(t)))


MODELS = {
    "a layer of one's own": lambda: of_a_function(dense(Squared())),
    "a lambda": lambda: of_a_function(dense(layers.Lambda(lambda t: keras.ops.sin(t) * 2.0))),
    "a call that depends on numbers": lambda: of_a_function(Chosen()),
    "models in models": lambda: of_a_function(dense(keras.Sequential([layers.Dense(3, activation="gelu")]))),
    "a frozen layer": lambda: of_a_function(dense(layers.Dense(4, activation="tanh", trainable=False))),
    "several outputs": several_outputs,
    "penalties": penalized,
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    model, function = MODELS[name]()
    function(rows())  # which builds it
    check(lambda t: function(t[0]), [numbers((3, 4), 5)], model.trainable_weights)


def test_state_moves_once():
    model = dense(Squared())
    penalty(model, rows())
    assert float(model.layers[1].count.numpy()) == 1


def test_gradients_that_are_not_asked_for_again_cost_no_error():
    class Own(mc.layers.Layer):
        def build(self, input_shapes):
            return input_shapes[0]

        def forward(self, xs, ws):
            ws.y[...] = xs[0] ** 2

        def backward(self, dy, ws):
            ws.dxs[0][...] = 2 * ws.xs[0] * dy

    model, x = dense(Own()), rows()
    with tf.GradientTape() as alone:
        alone.watch(x)
        y = model(x)
    expected = alone.gradient(y, x)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = model(x)
        gradient = inner.gradient(y, x)
        total = tf.reduce_sum(y) + tf.reduce_sum(gradient)
    np.testing.assert_array_equal(gradient.numpy(), expected)
    with pytest.raises(
        NotImplementedError,
        match=r"second order\) do not go through layer 'own.*\(Own, in float",
    ):
        outer.gradient(total, model.trainable_weights)


@pytest.mark.parametrize("back", [lambda g: np.asarray(g) * 2, lambda g: value_of(g) * 2, np.cumsum])
def test_a_way_back_that_is_not_recorded_is_no_silent_end(back):
    v = tf.Variable([3.0, 1.0])
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            node = v * 2.0
            y = Recorded(node.value * 2, [(node, back)])
        total = inner.gradient(y, v) * v
    assert np.isfinite(total.numpy()).all()
    with pytest.raises(NotImplementedError, match="second order"):
        outer.gradient(total, v)


def test_a_persistent_tape_and_one_that_gives_its_gradient_inside():
    v = tf.Variable(2.0)
    with tf.GradientTape(persistent=True) as tape:
        y = v**4
        first = tape.gradient(y, v)
        second = tape.gradient(first, v)
        third = tape.gradient(second, v)
    assert [float(x) for x in (first, second, third, tape.gradient(third, v))] == [32, 48, 48, 24]
    with tf.GradientTape() as tape:
        first = tape.gradient(v**3, v)
        assert isinstance(first, np.ndarray) and first == 12
    with tf.GradientTape() as outer, tf.GradientTape() as inner:
        z = inner.gradient(v * v * v, v, output_gradients=v * 2.0)
    assert float(outer.gradient(z, v)) == 3 * 2 * 3 * 4


def test_values_are_let_go_of():
    model, x = dense(layers.Activation("tanh"), layers.BatchNormalization()), rows()

    def count():
        value, tape = penalty(model, x)
        tape.gradient(value, model.trainable_weights)
        return sum(issubclass(type(each), Taped) for each in gc.get_objects())  # asked of no dead proxy

    count()
    gc.collect()
    gc.disable()
    try:
        assert count() == count()
    finally:
        gc.enable()


def test_a_weight_is_not_replaced_by_what_a_call_would_not_see():
    layer = dense().layers[0]
    with tf.GradientTape(), pytest.raises(AttributeError, match=r"layer.kernel.assign.*tf.matmul"):
        layer.kernel = layer.kernel * 2.0


def test_layers_in_bfloat16_are_refused():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model, x = dense(layers.Activation("tanh")), rows()
        value, tape = penalty(model, x)
        with pytest.raises(NotImplementedError, match=r"second order.*in bfloat16"):
            tape.gradient(value, model.trainable_weights)
        model = dense(layers.Activation("tanh"))
        model.layers[0].trainable = False
        with tf.GradientTape(persistent=True) as tape:
            y = tf.reduce_sum(tf.cast(model(x), "float32"))
        with pytest.raises(NotImplementedError, match=r"in bfloat16.*by model.trainable_weights.*trainable=False"):
            tape.gradient(y, model.weights)
        assert all(g is not None for g in tape.gradient(y, model.trainable_weights))
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_where_the_way_of_keras_2_ends():
    model = dense()

    def gradient_penalty_loss(y_true, y_pred):
        return keras.backend.mean(keras.backend.square(keras.backend.gradients(y_pred, model.input)[0]))

    model.compile("sgd", gradient_penalty_loss)
    with pytest.raises(ImportError, match=r"gradients of gradients.*GradientTape.*train_step"):
        model.fit(numbers((3, 4), 1), np.ones((3, 1)), verbose=0)
