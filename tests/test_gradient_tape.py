"""`tf.GradientTape` against finite differences in float64, and the rules of tapes, variables and `apply_gradients`."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf
from minicnn.plan.runs import in_stages

layers = keras.layers


@pytest.fixture(autouse=True, params=["numpy", "numba", pytest.param("cupy", marks=pytest.mark.gpu)])
def double(request):
    """float64, on every backend."""
    mc.set_backend(request.param)
    mc.utils.set_floatx("float64")
    mc.utils.set_random_seed(3)
    yield
    mc.utils.set_floatx("float32")
    mc.set_backend("numba")


def network(*inner, shape=(6, 6, 2), units=3):
    return keras.Sequential([keras.Input(shape), *inner, layers.Flatten(), layers.Dense(units, activation="tanh")])


def images(count=4, shape=(6, 6, 2), seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape))


def slope(function, array, step=1e-6):
    """(a direction, the derivative of `function` along it by central differences), of an array or a weight."""
    direction = np.random.default_rng(array.size).normal(size=array.shape)
    assign = array.assign if hasattr(array, "assign") else lambda value: array.__setitem__(..., value)
    start, values = np.array(array), []
    for sign in (1, -1):
        assign(start + sign * step * direction)
        values.append(float(function()))
    assign(start)
    return direction, (values[0] - values[1]) / (2 * step)


def check_weights(loss, weights):
    """Gradients of `loss`, a function that is run again, by weights, each along a direction."""
    with tf.GradientTape() as tape:
        value = loss()
    for weight, gradient in zip(weights, tape.gradient(value, weights), strict=True):
        direction, expected = slope(loss, weight)
        np.testing.assert_allclose((gradient * direction).sum(), expected, rtol=1e-6, atol=1e-9, err_msg=weight.path)


# ------------------------------------------------------------------------------------------------- against differences


@pytest.mark.parametrize("training", [False, True])
def test_gradients_of_a_model_by_its_weights(training):
    normalized = layers.BatchNormalization()
    model = network(layers.Conv2D(3, 3, activation="elu"), normalized, layers.AveragePooling2D())
    x, target = images(), tf.constant(np.random.default_rng(1).normal(size=(4, 3)))
    check_weights(
        lambda: tf.reduce_mean(tf.square(model(x, training=training) - target) * 3.0), model.trainable_weights
    )


def test_a_model_that_is_called_twice_in_one_tape():
    model = network(layers.Conv2D(3, 3, activation="elu"))
    a, b = images(4), images(3, seed=1)  # other numbers of samples, too
    check_weights(
        lambda: tf.reduce_sum(model(a)) * 2.0 - tf.reduce_sum(tf.exp(model(b))) + tf.reduce_sum(model(a) ** 3),
        model.trainable_weights,
    )


def test_two_models_one_behind_the_other():
    make = keras.Sequential([keras.Input((5,)), layers.Dense(72), layers.Reshape((6, 6, 2))])
    judge = network(layers.Conv2D(3, 3, strides=2, activation="elu"), units=1)
    noise = np.random.default_rng(2).normal(size=(4, 5))
    check_weights(lambda: tf.reduce_mean(judge(make(noise))), [*make.weights, *judge.weights])


def test_gradients_by_inputs():
    model = network(layers.Conv2D(3, 3, activation="elu"))
    x = tf.constant(images())

    def loss():
        return tf.reduce_sum(model(x * 2.0) * 3.0 + model(x[:, ::-1])) + tf.reduce_mean(x**2)

    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss()
    gradient = tape.gradient(value, x)
    direction, expected = slope(loss, x.view(np.ndarray))
    np.testing.assert_allclose((gradient * direction).sum(), expected, rtol=1e-6)


def test_gradients_by_a_value_inside_of_a_model():
    """Of a model of three outputs, two of which are computed of the first, around which a path leads as well."""
    x = keras.Input((6, 6, 2))
    shortcut = layers.Conv2D(3, 3, padding="same", activation="elu")(x)
    inner = layers.Conv2D(3, 3, padding="same", name="inner")(shortcut)
    end = layers.Dense(2)(layers.Flatten()(layers.Add()([layers.Activation("tanh")(inner), shortcut])))
    model = keras.Model(x, [inner, end, layers.GlobalAveragePooling2D()(inner)])
    rest = keras.Model([inner, shortcut], end)
    assert len(in_stages(model.graph)) == 2
    data = images()
    with tf.GradientTape(persistent=True) as tape:
        found, last, mean = model(data)
        total = tf.reduce_sum(last**2)
    gradient = tape.gradient(total, found)
    values = keras.Model(x, [inner, shortcut]).predict(data)
    direction, expected = slope(lambda: (rest.predict(values) ** 2).sum(), values[0])
    np.testing.assert_allclose((gradient * direction).sum(), expected, rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(mean, found), np.full(found.shape, 1 / 36), rtol=1e-12)
    np.testing.assert_allclose(last.numpy(), model.predict(data)[1], rtol=1e-12)
    check_weights(lambda: tf.reduce_sum(model(data)[1] ** 2), model.weights)


def test_penalties_are_on_the_tape():
    class Penalized(layers.Layer):
        def call(self, inputs):
            self.add_loss(0.3 * ops.mean(ops.square(inputs)))
            return inputs * 1.5

    options = {"kernel_regularizer": keras.regularizers.L2(0.1), "activity_regularizer": keras.regularizers.L2(0.2)}
    own = [] if mc.backends.current().on_device else [Penalized()]  # functions on arrays run on processors
    model = network(layers.Conv2D(3, 3, **options), *own)
    x = images()

    def loss(factor):
        outputs = model(x)
        return tf.reduce_sum(outputs**2) + factor * sum(model.losses)

    def alone():
        with tf.GradientTape():
            return loss(1.0) - loss(0.0)

    conv = model.layers[0]
    kernel, bias = conv.get_weights()
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))  # (N, 4, 4, 2, 3, 3)
    y = np.einsum("nhwcij,ijcf->nhwf", windows, kernel) + bias
    expected = 0.1 * (kernel**2).sum() + 0.2 * (y**2).sum() / len(x) + 0.3 * (y**2).mean() * len(own)
    np.testing.assert_allclose(float(alone()), expected, rtol=1e-10)
    model(x)  # outside of a tape, too
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-10)
    assert all(isinstance(loss, float) for loss in copy.deepcopy(model).losses)
    for factor in (0.0, 1.0, 2.5):
        with tf.GradientTape() as tape:
            value = loss(factor)
        for weight, gradient in zip(model.weights, tape.gradient(value, model.weights), strict=True):
            direction, expected = slope(lambda factor=factor: _value(loss, factor), weight)
            np.testing.assert_allclose((gradient * direction).sum(), expected, rtol=1e-6, err_msg=weight.path)


def _value(loss, factor):
    with tf.GradientTape():
        return float(loss(factor))


def test_layers_by_themselves():
    """As in models of layers that are called one by one, own ones and compositions among them."""

    class Scale(layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones")

        def call(self, inputs):
            return inputs * self.scale

    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            on_device = mc.backends.current().on_device  # where functions on arrays do not run
            self.conv, self.scale = layers.Conv2D(2, 3, padding="same"), layers.PReLU() if on_device else Scale()

        def call(self, inputs):
            return self.scale(self.conv(inputs)) + inputs

    block, dense, x = Block(), layers.Dense(2), images()

    def loss():
        return tf.reduce_sum(tf.sin(dense(layers.Flatten()(tf.nn.elu(block(x))))))

    loss()
    assert len(block.weights) == 3
    check_weights(loss, [*block.weights, *dense.weights])


@pytest.mark.parametrize(
    "name",
    [
        *("CategoricalCrossentropy", "MeanSquaredError", "Huber", "KLDivergence", "CosineSimilarity"),
        *("BinaryCrossentropy", "BinaryFocalCrossentropy", "Poisson", "LogCosh", "Dice", "Hinge"),
    ],
)
def test_losses_of_the_library(name):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    x, target = images(5, (4,)), np.eye(3)[[0, 1, 2, 1, 0]]
    loss = getattr(keras.losses, name)()

    def taped():  # since off tapes cross-entropies are of the probabilities
        with tf.GradientTape():
            return loss(target, model(x))

    check_weights(taped, model.weights)


@pytest.mark.parametrize("name", ["MeanSquaredError", "MeanAbsoluteError", "Huber", "CosineSimilarity", "LogCosh"])
def test_losses_of_two_networks(name):
    """Both of which are trained."""
    first, second = (keras.Sequential([keras.Input((4,)), layers.Dense(3)]) for _ in range(2))
    x, loss = images(5, (4,)), getattr(keras.losses, name)()
    check_weights(lambda: loss(first(x), second(x)), [*first.weights, *second.weights])


FUNCTIONS = {
    "selu": ops.selu,
    "gelu": ops.gelu,
    "hard_sigmoid": ops.hard_sigmoid,
    "hard_silu": ops.hard_silu,
    "softmax": lambda t: ops.softmax(t, axis=-1),
    "log_softmax": tf.nn.log_softmax,
    "l2_normalize": lambda t: tf.nn.l2_normalize(t, axis=1),
    "norm": lambda t: tf.norm(t, axis=1),
    "gather": lambda t: tf.gather(t, [2, 0, 0], axis=1),
    "boolean_mask": lambda t: tf.boolean_mask(t, [True, False, True]),
    "unstack": lambda t: tf.unstack(t, axis=1)[1] * 2.0,
    "split": lambda t: tf.split(t, 2, axis=1)[1],
    "pad": lambda t: tf.pad(t, [[0, 0], [1, 2]], "REFLECT"),
    "logsumexp": lambda t: tf.reduce_logsumexp(t, axis=1),
    "variance": lambda t: tf.math.reduce_variance(t, axis=0),
    "concat": lambda t: tf.concat([t, t * 2.0], axis=0),
    "clip": lambda t: tf.clip_by_value(t, -0.5, 0.7),
    "clip_by_norm": lambda t: tf.clip_by_norm(t, 0.5),
    "l2_loss": tf.nn.l2_loss,
    "squared_difference": lambda t: tf.math.squared_difference(t, t[::-1] * 2.0),
    "rsqrt": lambda t: tf.math.rsqrt(t**2 + 1.0),
    "cast": lambda t: tf.cast(t, tf.float64) ** 2,
    "reshape": lambda t: tf.transpose(tf.reshape(t, (4, 3))) @ tf.ones((4, 1), "float64"),
}


@pytest.mark.parametrize("kind", ["variable", "watched"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_variables_and_of_what_is_watched(name, kind):
    """None of them leaves the tape without a word."""
    start = np.random.default_rng(5).normal(size=(3, 4))
    x = tf.Variable(start) if kind == "variable" else tf.constant(start)
    factors = np.random.default_rng(6).normal(size=np.shape(FUNCTIONS[name](x)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(FUNCTIONS[name](x) * factors)
    gradient = tape.gradient(value, x)
    plain = start.copy()
    direction, expected = slope(lambda: np.sum(np.asarray(FUNCTIONS[name](tf.constant(plain))) * factors), plain)
    np.testing.assert_allclose((gradient * direction).sum(), expected, rtol=1e-5, atol=1e-8)


# --------------------------------------------------------------------------------------------------- the rules of tapes


def test_the_examples_of_the_guide():
    x = tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x * x
    assert tape.gradient(y, x).numpy() == 6.0
    with pytest.raises(RuntimeError, match="gives gradients once"):
        tape.gradient(y, x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x**2
        z = y * y
    assert tape.gradient(z, x) == 108.0 and tape.gradient(y, x) == 6.0 and tape.gradient(z, y) == 18.0
    v, other = tf.Variable(2.0), tf.Variable(5.0)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(v)
        y = v * other
    found = tape.gradient(y, {"v": v, "other": other})
    assert found["v"] == 5.0 and found["other"] is None
    with tf.GradientTape() as tape:
        y = v * 2.0
    assert [w.name for w in tape.watched_variables()] == [v.name]
    assert tape.gradient(y, [other], unconnected_gradients=tf.UnconnectedGradients.ZERO)[0] == 0.0
    with tf.GradientTape() as outer:
        y = v * 2.0
        with tf.GradientTape() as inner:
            z = y * v
    assert inner.gradient(z, v) == 4.0 and outer.gradient(z, v) == 8.0  # the inner one has not seen how y came about
    with tf.GradientTape() as tape, tape.stop_recording():
        y = v * 2.0
    assert tape.gradient(tf.constant(y), v) is None


def test_values_are_those_of_the_moment_in_which_they_were_recorded():
    model = network(layers.Conv2D(4, 3, padding="same", activation="relu"), layers.BatchNormalization())
    x = images()
    with tf.GradientTape(persistent=True) as tape:
        y = tf.reduce_sum(model(x, training=True) ** 2)
    before = tape.gradient(y, model.trainable_weights)
    v = tf.Variable(3.0)
    with tf.GradientTape() as other:
        z = v * v
    model.set_weights([w * 0 for w in model.get_weights()])
    v.assign(7.0)
    for a, b in zip(before, tape.gradient(y, model.trainable_weights), strict=True):
        np.testing.assert_array_equal(a, b)
    assert other.gradient(z, v) == 6.0


def test_dropout_is_that_of_the_recorded_call():
    model = keras.Sequential([keras.Input((200,)), layers.Dropout(0.5), layers.Dense(1, use_bias=False)])
    x = np.ones((2, 200))
    with tf.GradientTape(persistent=True) as tape:
        first, second = model(x, training=True), model(x, training=True)
        calm = model(x, training=False)
    kernel = model.weights[0].numpy()
    masks = []
    for y in (first, second, calm):
        gradient = tape.gradient(y, model.weights)[0]  # Σ of the masks of both samples
        np.testing.assert_allclose((gradient * kernel).sum(), y.numpy().sum(), rtol=1e-10)
        masks.append(gradient)
    assert (masks[0] != masks[1]).any() and (masks[2] == 2).all()


def test_moving_averages_go_on_with_each_call_in_training():
    model = network(layers.BatchNormalization(momentum=0.9, name="bn"))
    averages, x, expected = model.get_layer("bn").moving_mean, images(), 0.0
    with tf.GradientTape(persistent=True) as tape:
        for _ in range(3):
            y = model(x, training=True)
            expected = 0.9 * expected + 0.1 * x.mean((0, 1, 2))
        model(x, training=False)
    np.testing.assert_allclose(averages.numpy(), expected, rtol=1e-10)
    tape.gradient(y, model.trainable_weights)
    tape.gradient(y, model.trainable_weights)
    np.testing.assert_allclose(averages.numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("again", [False, True])
def test_frozen_weights_have_gradients_if_they_are_asked_for(again):
    """As in TensorFlow, whose variables stay watched: those of the same model while it is trainable."""
    model = network(layers.Conv2D(2, 3, activation="tanh"), layers.BatchNormalization(), layers.Dropout(0.5, seed=1))
    x = images()

    def gradients():
        with tf.GradientTape(persistent=True) as tape:
            y = model(x, training=False)
            target = tf.reduce_sum(y**2)
            if again:
                by_kernel = tape.gradient(target, model.layers[0].kernel)
                target = tf.reduce_sum(by_kernel**2)
            tripled = 3.0 * target
        assert len(tape.watched_variables()) == len([w for w in model.weights if "moving" not in w.name])
        return tape.gradient(target, model.weights), tape.gradient(tripled, model.layers[0].kernel)

    expected, tripled = gradients()
    assert sum(g is None for g in expected) == 2  # moving averages, which TensorFlow does not watch either
    for index in 0, 1:
        model.layers[index].trainable = False
        found, by_kernel = gradients()
        for g, e in zip(found, expected, strict=True):
            assert (g is None) == (e is None)
            np.testing.assert_allclose(0 if g is None else g, 0 if e is None else e, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(by_kernel, tripled, rtol=1e-4, atol=1e-5)


def test_what_is_frozen_as_a_whole_is_recorded_where_it_is_watched():
    model = network(layers.Conv2D(2, 3))
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(model(images()) ** 2)
    expected = tape.gradient(y, model.weights)
    model.trainable = False
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(model(images()) ** 2)
    with pytest.raises(NotImplementedError, match=r"tape.watch\(model.weights\).*trainable=False"):
        tape.gradient(y, model.weights)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(model.weights)
        y = tf.reduce_sum(model(images()) ** 2)
    for g, e in zip(tape.gradient(y, model.weights), expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-4, atol=1e-5)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        y = tf.reduce_sum(model(images()) ** 2) * tf.Variable(1.0)
    assert tape.gradient(y, model.weights[0]) is None


def test_what_leaves_the_tape_is_refused():
    v = tf.Variable([1.0, 2.0])
    with tf.GradientTape(), pytest.raises(TypeError, match=r"leave the tape.*stop_gradient"):
        np.asarray(v * 2.0)
    with tf.GradientTape(), pytest.raises(TypeError, match=r"np.cumsum cannot be differentiated"):
        np.cumsum(v * 2.0)
    with tf.GradientTape() as tape:
        y = tf.stop_gradient(v * 2.0) * v
        assert (np.asarray((v * 2.0).numpy()) == [2, 4]).all()
        z = v * 3.0
    assert tape.gradient(y, v).tolist() == [2, 4]
    assert np.asarray(z).tolist() == [3, 6] and type(z + 1) is not type(z) and f"{z[0]:.2f}" == "3.00"


def test_gradients_of_gradients():
    x = tf.Variable(3.0)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            y = x**3
        gradient = inner.gradient(y, x)
        penalty = (gradient - 1.0) ** 2
    assert float(gradient) == 27.0
    assert float(outer.gradient(penalty, x)) == 2 * 26 * 18
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            y = x**2
        z = x * tf.stop_gradient(inner.gradient(y, x))
    assert outer.gradient(z, x) == 6.0


def test_wrong_arguments():
    with tf.GradientTape() as tape, pytest.raises(ValueError, match=r"tf.convert_to_tensor.*Received: ndarray"):
        tape.watch(np.ones(3))
    with tape, pytest.raises(ValueError, match="entered twice"), tape:
        pass
    first, second = (keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")]) for _ in range(2))
    with tf.GradientTape() as tape:
        loss = keras.losses.Hinge()(first(np.ones((2, 4))), second(np.ones((2, 4))))
    with pytest.raises(NotImplementedError, match=r"Hinge has no gradient by its targets.*stop_gradient"):
        tape.gradient(loss, first.weights)


def test_the_jacobian():
    x = tf.constant([1.0, 2.0, 3.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.stack([tf.reduce_sum(x**2), x[0] * x[1]])
    np.testing.assert_allclose(tape.jacobian(y, x), [[2, 4, 6], [2, 1, 0]])


def test_plans_serve_again_and_models_go_when_nobody_has_them():
    model = network(layers.Conv2D(2, 3))
    for _ in range(5):
        with tf.GradientTape() as tape:
            y = tf.reduce_sum(model(images())) + tf.reduce_sum(model(images(2)))
        tape.gradient(y, model.weights)
    assert len(vars(model)["_runs"]._free) == 2
    gone = weakref.ref(model)
    copied, pickled = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.get_weights()[0], pickled.get_weights()[0])
    del model, tape, y
    gc.collect()
    assert gone() is None


# --------------------------------------------------------------------------------------------- variables and optimizers


def test_variables():
    v = tf.Variable([1, 2, 3])
    assert v.dtype == "int32" and v.assign_add([1, 1, 1]).numpy().tolist() == [2, 3, 4] and len(v) == 3
    w = tf.Variable(tf.ones((2, 2)), trainable=False, name="w")
    assert not w.trainable and w.name == "w" and w.value().shape == w.value.shape == (2, 2)
    assert ((2 * w - 1) @ np.eye(2)).tolist() == [[1, 1], [1, 1]] and (w[0] > 0.5).all() and (-w).numpy().sum() == -4
    assert np.sum(w) == 4 and tf.reduce_mean(w) == 1 and keras.ops.sum(w, axis=0).tolist() == [2, 2]
    w.assign_sub(0.5 * w)
    assert (w.numpy() == 0.5).all() and float(tf.Variable(2.5)) == 2.5
    with pytest.raises(ValueError, match=r"shape \(2, 2\). Received: shape \(3,\)"):
        w.assign([1, 2, 3])
    with pytest.raises(ValueError, match="needs its first numbers"):
        tf.Variable()
    assert keras.Variable("ones", shape=(2,)).numpy().tolist() == [1, 1]
    dense = layers.Dense(1)
    dense.build((None, 2))
    kernel = dense.kernel.numpy()
    np.testing.assert_array_equal(0.9 * dense.kernel + 0.1 * dense.kernel * 2, 0.9 * kernel + 0.1 * kernel * 2)
    source = np.ones(2)
    v = tf.Variable(source)
    v.assign_add([1.0, 1.0])
    assert (source == 1).all()


@pytest.mark.parametrize("options", [{}, {"clipnorm": 0.01}, {"weight_decay": 0.1}, {"use_ema": True}])
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad", "Lion", "Adafactor"])
def test_apply_gradients_does_what_fit_does(name, options):
    """With an optimizer of its own, and with that of `compile`, whose state is then the model's."""
    x, y = images(8), np.random.default_rng(1).normal(size=(8, 3))
    fitted = network(layers.Conv2D(2, 3))
    models = [keras.models.clone_model(fitted) for _ in range(2)]
    optimizers = [getattr(keras.optimizers, name)(0.05, **options) for _ in range(3)]
    for model, optimizer in zip([fitted, *models], optimizers, strict=True):
        model.set_weights(fitted.get_weights())
        if model is not models[0]:
            model.compile(optimizer, "mse")
    for _ in range(3):
        fitted.train_on_batch(x, y)
        for model, optimizer in zip(models, optimizers[1:], strict=True):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(keras.losses.mse(y, model(x, training=True)))
            optimizer.apply_gradients(zip(tape.gradient(loss, model.weights), model.weights, strict=True))
    for model, optimizer in zip(models, optimizers[1:], strict=True):
        for a, b in zip(model.get_weights(), fitted.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        assert optimizer.iterations == 3
        for a, b in zip(optimizer.variables, fitted.optimizer.variables, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)


def test_gradients_that_are_missing(recwarn):
    a, b = tf.Variable([1.0, 2.0]), tf.Variable(4.0, name="lonely")
    optimizer = keras.optimizers.Adam(0.1, weight_decay=0.1)
    optimizer.apply_gradients([(np.ones(2), a), (None, b)])
    assert any("Gradients do not exist for variables ['lonely']" in str(w.message) for w in recwarn)
    assert b == 4.0 and (a.numpy() != [1, 2]).all()
    steady, moved = tf.Variable(0.0), tf.Variable(0.0)
    optimizer = keras.optimizers.SGD(1.0, momentum=0.5)
    for gradient in (1.0, None, 1.0):  # without one, the momentum waits
        optimizer.apply_gradients([(np.ones(()), steady), (gradient and np.ones(()), moved)])
    assert moved.numpy() == -1 - (0.5 + 1) and steady.numpy() == -1 - 1.5 - 1.75
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.apply_gradients([(np.ones(2), a)])
    with pytest.raises(ValueError, match="No gradients provided for any variable"):
        optimizer.apply_gradients([(None, a)])
    with pytest.raises(ValueError, match=r"shape of its variable, \(2,\).*Received: shape \(3,\)"):
        optimizer.apply_gradients([(np.ones(3), a)])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply_gradients([(np.ones(()), tf.Variable(1.0))])
    with pytest.raises(TypeError, match="updates variables"):
        optimizer.apply_gradients([(np.ones(2), np.ones(2))])


def test_minimize():
    v = tf.Variable([3.0, -2.0])
    optimizer = keras.optimizers.SGD(0.5)
    for _ in range(30):
        optimizer.minimize(lambda: tf.reduce_sum((v - 1.0) ** 2) * 0.5, [v])
    np.testing.assert_allclose(v.numpy(), [1, 1], atol=1e-6)
    with pytest.raises(ValueError, match="needs the tape"):
        optimizer.minimize(3.0, [v])


def test_constraints_hold():
    dense = layers.Dense(2, kernel_constraint="non_neg")
    model = keras.Sequential([keras.Input((3,)), dense])
    keras.optimizers.SGD(10.0).apply_gradients([(np.ones((3, 2)), dense.kernel)])
    assert (dense.kernel.numpy() == 0).all() and len(model.weights) == 2


def test_clipping_gradients():
    found, norm = tf.clip_by_global_norm([np.array([3.0]), None, np.array([[4.0]])], 1.0)
    assert norm == 5 == tf.linalg.global_norm([np.array([3.0, 4.0])])
    assert found[1] is None
    np.testing.assert_allclose([found[0].item(), found[2].item()], [0.6, 0.8])


def test_the_jacobian_of_each_sample():
    model, x = network(layers.Conv2D(2, 3)), tf.constant(images(3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x)
    each = tape.batch_jacobian(y, x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x)
    every = tape.jacobian(y, x)  # (N, 3, N, …)
    assert each.shape == (3, 3, *x.shape[1:]) and every.shape == (3, 3, *x.shape)
    np.testing.assert_allclose(each, np.stack([every[n, :, n] for n in range(3)]), rtol=1e-12)
