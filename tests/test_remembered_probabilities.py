"""What a softmax or sigmoid gave remembers what it was given, wherever Keras on TensorFlow looks for that.

The numbers are Keras 3.15's on TensorFlow 2.21, for the same weights and data, or of formulas in float64.
"""

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.gradient_check import gradcheck
from minicnn.keras import layers, losses, ops
from minicnn.keras import tensorflow as tf

W = np.array([[40.0, -40, 0], [0, 30, -30]], "float32")
X = np.array([[1, 0], [1, 0], [0, 1], [0.1, 0.2]], "float32")
Y = np.array([1, 0, 2, 0])
T = np.eye(3, dtype="float32")[Y]
CATEGORICAL, BINARY = 35.03174, 12.01887  # from before the function
CLIPPED = 8.0908  # of the probabilities of a softmax, which begin at 1e-7
AFTER = np.array([[39.97532, -39.97532, 0], [0.0006, 29.9744, -29.975]])  # a step of SGD(0.1), categorical


def model_of(kind="softmax", cls=keras.Model):
    x = keras.Input((2,))
    model = cls(x, layers.Dense(3, activation=kind, use_bias=False)(x))
    model.set_weights([W])
    return model


METRICS = {
    "categorical": (keras.metrics.CategoricalCrossentropy, T, CATEGORICAL),
    "sparse": (keras.metrics.SparseCategoricalCrossentropy, Y, CATEGORICAL),
    "binary": (keras.metrics.BinaryCrossentropy, T, BINARY),
    "function": (lambda: keras.metrics.MeanMetricWrapper(losses.binary_crossentropy), T, BINARY),
}


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
@pytest.mark.parametrize("metric", METRICS)
def test_metrics(metric, kind):
    make, y, expected = METRICS[metric]
    model, measured, on_tape = model_of(kind), make(), make()
    measured.update_state(y, model(X))
    with tf.GradientTape():
        on_tape.update_state(y, model(X))
    np.testing.assert_allclose([measured.result(), on_tape.result()], expected, rtol=1e-5)


@pytest.mark.parametrize("function", [keras.metrics.categorical_crossentropy, losses.categorical_crossentropy])
def test_functions(function):
    np.testing.assert_allclose(function(T, model_of()(X)), [80, 0, 60, 0.127], atol=1e-4)


CHANGES = {
    "one number": lambda p: p.__setitem__((0, 1), 0.5),
    "a part": lambda p: p[:2].fill(0.25),
    "out": lambda p: np.clip(p, 1e-3, 1, out=p),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_array_that_was_written_to_counts_as_it_is(change):
    p = model_of()(X)
    CHANGES[change](p)
    plain = losses.CategoricalCrossentropy()(T, np.array(p))
    assert losses.CategoricalCrossentropy()(T, p) == plain < 8


def test_what_was_given_and_the_weights_may_change_afterwards():
    model, z = model_of(), (X @ W).astype("float32")
    p, q = model(X), ops.softmax(z)
    model.set_weights([0 * W])
    z[:] = 0
    model(X)  # into the same arrays
    for each in (p, q):
        np.testing.assert_allclose(losses.CategoricalCrossentropy()(T, each), CATEGORICAL, rtol=1e-5)


def test_predict_gives_plain_numbers():
    model = model_of()
    for p in (model.predict_on_batch(X), model.predict_on_batch(X), model.predict(X, verbose=0)):
        assert type(p) is np.ndarray
        np.testing.assert_allclose(losses.CategoricalCrossentropy()(T, p), CLIPPED, rtol=1e-4)


def test_calls_again_and_a_model_that_is_a_softmax():
    model = keras.Sequential([keras.Input((3,)), layers.Softmax()])
    for factor in (1, 0.5, 0.25):  # from the second on, the inputs may be read where they are
        z = np.repeat(X @ W * np.float32(factor), 400, axis=0)
        q = np.exp(z - z.max(-1, keepdims=True).astype(np.float64))
        expected = np.mean(np.log(q.sum(-1)) + z.max(-1) - (z * np.repeat(T, 400, axis=0)).sum(-1))
        loss = losses.CategoricalCrossentropy()(np.repeat(T, 400, axis=0), model(z))
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


class Stepping(keras.Model):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        self.optimizer.apply_gradients(
            zip(tape.gradient(loss, self.trainable_weights), self.trainable_weights, strict=True)
        )
        return {"loss": loss}

    def test_step(self, data):
        x, y = data
        p = self(x, training=False)
        return {**self.compute_metrics(x, y, p), "loss": self.compute_loss(y=y, y_pred=p)}


@pytest.mark.parametrize("eagerly", [False, True])
def test_loss_and_val_loss_of_steps_agree(eagerly):
    model = model_of(cls=Stepping)
    model.compile(
        keras.optimizers.SGD(0.0),
        "categorical_crossentropy",
        metrics=["categorical_crossentropy"],
        run_eagerly=eagerly,
    )
    logs = model.fit(X, T, validation_data=(X, T), verbose=0).history
    found = [logs["loss"][0], logs["val_loss"][0], logs["val_categorical_crossentropy"][0]]
    np.testing.assert_allclose(found, CATEGORICAL, rtol=1e-5)


class Own(losses.Loss):
    def call(self, y_true, y_pred):
        return losses.categorical_crossentropy(y_true, y_pred)


OWN = {
    "function": lambda y, p: losses.categorical_crossentropy(y, p),
    "class": Own(),
    "object": lambda y, p: losses.CategoricalCrossentropy()(y, tf.cast(p, "float32")),
    "ops": lambda y, p: ops.categorical_crossentropy(y, tf.convert_to_tensor(p)),
    "subclass": type("Own", (losses.CategoricalCrossentropy,), {"call": lambda self, y, p: Own().call(y, p)})(),
}


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
@pytest.mark.parametrize("loss", OWN)
def test_compiled_losses_of_ones_own(loss, kind):
    model = model_of(kind)
    model.compile(keras.optimizers.SGD(0.1), OWN[loss])
    np.testing.assert_allclose(model.fit(X, T, verbose=0).history["loss"], CATEGORICAL, rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], AFTER, atol=1e-4)


def test_a_cast_hides_the_function():
    """As in Keras, whose losses cast what a layer gives in 16 bits, and those with such a dtype themselves."""
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(3, activation="softmax", use_bias=False, dtype="mixed_bfloat16")]
    )
    model.set_weights([W])
    model.compile(keras.optimizers.SGD(0.1), OWN["function"])
    found = [model.evaluate(X, T, verbose=0), losses.CategoricalCrossentropy()(T, model(X))]
    np.testing.assert_allclose(found, CLIPPED, rtol=1e-3)
    half = losses.CategoricalCrossentropy(dtype="bfloat16")(T, model_of()(X))
    np.testing.assert_allclose(half, CLIPPED, rtol=1e-2)


def test_a_loss_of_ones_own_on_arrays():
    np.testing.assert_allclose(Own()(T, model_of()(X)), CATEGORICAL, rtol=1e-5)


def test_a_loss_of_both_kinds():
    """The cross-entropy from before the sigmoid, an overlap of what it gave."""
    model = model_of("sigmoid")
    binary = losses.BinaryCrossentropy()
    model.compile(keras.optimizers.SGD(0.1), lambda y, p: binary(y, p) + 0.5 * (1 - ops.sum(y * p) / ops.sum(y + p)))
    np.testing.assert_allclose(model.fit(X, T, verbose=0).history["loss"], 12.4233, rtol=1e-5)
    expected = [[39.9917, -39.9924, -0.0088], [-0.0044, 29.9902, -29.9917]]  # Keras's
    np.testing.assert_allclose(model.get_weights()[0], expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", None])
def test_losses_that_look_behind_nothing_train_as_the_plan_does(kind):
    """By the function's own kernels."""
    rng = np.random.default_rng(3)
    x, y = rng.random((64, 2), np.float32), rng.random((64, 3), np.float32)
    found = []
    for loss in ("mse", lambda y, p: ops.mean(ops.square(p - y), axis=-1)):
        model = model_of(kind)
        model.set_weights([W / 30])
        model.compile(keras.optimizers.SGD(0.5), loss)
        model.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
        found.append(model.get_weights()[0])
    np.testing.assert_allclose(*found, rtol=2e-6, atol=1e-7)


FOCAL = {"sigmoid": 11.8475, "softmax": 11.6692}  # Keras's


@pytest.mark.parametrize("kind", FOCAL)
def test_focal_loss(kind):
    model = model_of(kind)
    np.testing.assert_allclose(losses.BinaryFocalCrossentropy()(T, model(X)), FOCAL[kind], rtol=1e-5)
    model.compile(keras.optimizers.SGD(0.1), losses.BinaryFocalCrossentropy())
    np.testing.assert_allclose(model.fit(X, T, verbose=0).history["loss"], FOCAL[kind], rtol=1e-5)
    if kind == "sigmoid":
        expected = [[39.9917, -39.9926, -0.005], [-0.0025, 29.9899, -29.9917]]  # Keras's
        np.testing.assert_allclose(model.get_weights()[0], expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", None])
def test_gradient_of_the_focal_loss(kind):
    x = mc.Input((4,))
    model = mc.Model(x, mc.layers.Dense(3, activation=kind)(x))
    loss = mc.losses.BinaryFocalCrossentropy(True, 0.3, 1.5, from_logits=kind is None, label_smoothing=0.1)
    t = np.eye(3)[[0, 2, 1, 1]]
    found = gradcheck(model, x=np.random.default_rng(1).normal(size=(4, 4)), loss=loss, y=t)
    assert found.error < 1e-6


@pytest.mark.parametrize("name", ["BinaryFocalCrossentropy", "CategoricalFocalCrossentropy"])
def test_a_focal_loss_has_no_second_order_of_its_base(name):
    p = tf.constant([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
    with tf.GradientTape() as outer:
        outer.watch(p)
        with tf.GradientTape() as inner:
            inner.watch(p)
            loss = getattr(losses, name)()(T[:2], p)
        total = tf.reduce_sum(inner.gradient(loss, p) ** 2)
    with pytest.raises(NotImplementedError, match="no gradients of gradients"):
        outer.gradient(total, p)


def test_a_layer_of_layers_called_on_arrays_remembers():
    class Own(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1, activation="sigmoid", kernel_initializer="ones")

        def call(self, x):
            return self.dense(x)

    loss = losses.BinaryCrossentropy()(np.zeros((1, 1), "float32"), Own()(np.full((1, 1), 60, "float32")))
    assert float(loss) == pytest.approx(60, rel=1e-5)


@pytest.mark.parametrize(("told", "given"), [("float64", "float32"), (None, "float64")])
def test_a_cast_of_the_loss_hides_the_function(told, given):
    p = ops.sigmoid(np.full((1, 1), 60, given))
    assert float(losses.BinaryCrossentropy(dtype=told)(np.zeros((1, 1)), p)) == pytest.approx(15.94, abs=0.2)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_focal_gradients_behind_a_softmax_along_any_axis(axis):
    """Against differences, in float64 formulas."""
    rng = np.random.default_rng(0)
    z, t = rng.normal(size=(2, 3, 4)), rng.integers(0, 2, (2, 3, 4)).astype("float64")

    def value(z):
        p = np.exp(z) / np.exp(z).sum(axis, keepdims=True)
        right, sigmoid = t * p + (1 - t) * (1 - p), 1 / (1 + np.exp(-z))
        return ((1 - right) ** 2 * -(t * np.log(sigmoid) + (1 - t) * np.log(1 - sigmoid))).mean()

    steps = np.eye(z.size).reshape(-1, *z.shape) * 1e-6
    slopes = np.reshape([(value(z + d) - value(z - d)) / 2e-6 for d in steps], z.shape)
    v = tf.constant(z.astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(v)
        loss = losses.BinaryFocalCrossentropy()(t.astype("float32"), ops.softmax(v, axis=axis))
    assert float(loss) == pytest.approx(value(z), rel=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, v), slopes, atol=1e-6)


def test_focal_loss_of_weighted_places_behind_a_softmax_along_the_last_axis():
    x = keras.Input((3, 3, 2))
    model = keras.Model(x, layers.Softmax(axis=3)(layers.Dense(3)(x)))
    model.compile("sgd", losses.BinaryFocalCrossentropy())
    other = keras.Model(x, layers.Softmax()(model.layers[1].output))
    other.compile("sgd", losses.BinaryFocalCrossentropy())
    images, y = np.ones((2, 3, 3, 2), "float32"), np.eye(3, dtype="float32")[np.zeros((2, 3, 3), int)]
    made = [m.evaluate(images, y, sample_weight=np.ones((2, 3, 3)), verbose=0) for m in (model, other)]
    assert made[0] == pytest.approx(made[1])


def test_a_class_that_calls_a_crossentropy_takes_logits_as_a_function_does():
    class Own(mc.losses.Loss):
        def call(self, y_true, y_pred):
            return losses.categorical_crossentropy(y_true, y_pred)

    model, found = model_of(), []
    for loss in (Own(), lambda t, p: losses.categorical_crossentropy(t, p)):
        model.compile("sgd", loss)
        found.append(model.evaluate(X, T, verbose=0))
    assert found == pytest.approx([CATEGORICAL] * 2, rel=1e-5)


def test_a_function_as_loss_computes_of_what_is_said_to_be_logits():
    loss, gradient = mc.losses.get(lambda t, p: ops.mean((t - p) ** 2, axis=-1)), np.empty_like(T)
    made = loss.compute(X[:, :1] * T, T, None, gradient, mc.backends.current().ops, from_logits=True)
    assert made == pytest.approx(((X[:, :1] * T - T) ** 2).mean(), rel=1e-5)


# What `compile` measures and trains; logits far apart, where clipped probabilities say something else.

FAR = np.array([[90.0, 0, 0], [0, 60, 0], [-30, 0, 30], [50, -20, 0]], "float32")
OF_FAR = np.eye(3, dtype="float32")[[1, 1, 0, 2]]
LOG_P = FAR - np.log(np.exp(FAR.astype("float64") - FAR.max(1, keepdims=True)).sum(1, keepdims=True))
LOG_P -= FAR.max(1, keepdims=True)
FROM_LOGITS = -(OF_FAR * LOG_P).sum(1)  # of each sample
FROM_SIGMOIDS = np.mean(np.logaddexp(0, FAR.astype("float64")) - FAR * OF_FAR, axis=1)


def evaluated(last, loss="mse", targets=OF_FAR, weights=None, **options):
    """What `evaluate` says of a model that gives `last(FAR)`."""
    x = keras.Input((3,))
    model = keras.Model(x, last(layers.Dense(3, use_bias=False, kernel_initializer="identity")(x)))
    model.compile("sgd", loss, **options)
    return model.evaluate(FAR, targets, sample_weight=weights, batch_size=3, verbose=0, return_dict=True)


def of_ops(y_true, y_pred):
    return ops.categorical_crossentropy(y_true, y_pred)


MEASURED = {
    "metric": (keras.metrics.CategoricalCrossentropy(), FROM_LOGITS),
    "name": ("categorical_crossentropy", FROM_LOGITS),
    "function": (losses.categorical_crossentropy, FROM_LOGITS),
    "of one's own": (of_ops, FROM_LOGITS),
    "binary": (keras.metrics.BinaryCrossentropy(), FROM_SIGMOIDS),
    "told logits": (keras.metrics.CategoricalCrossentropy(from_logits=True), FROM_LOGITS),
}


@pytest.mark.parametrize("loss", ["mse", "categorical_crossentropy"])
@pytest.mark.parametrize("metric", MEASURED)
def test_metrics_of_compile_go_on_from_logits(metric, loss):
    metric, expected = MEASURED[metric]
    found = evaluated(layers.Softmax(), loss, metrics=[metric, "accuracy"])
    assert found.pop("accuracy") == 0.25
    assert found.pop("loss") > 0
    np.testing.assert_allclose([*found.values()], [expected.mean()], rtol=1e-5)


def test_weighted_metrics_of_compile_go_on_from_logits():
    w = np.array([1.0, 2, 0, 3])
    found = evaluated(layers.Softmax(), weighted_metrics=[keras.metrics.CategoricalCrossentropy(name="m")], weights=w)
    np.testing.assert_allclose(found["m"], (FROM_LOGITS * w).sum() / 6, rtol=1e-5)


def test_metrics_in_training_go_on_from_logits_of_their_batch():
    x = keras.Input((3,))
    model = keras.Model(x, layers.Dense(3, "softmax", use_bias=False, kernel_initializer="identity")(x))
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[of_ops, keras.metrics.CategoricalCrossentropy(name="m")])
    logs = model.fit(FAR, OF_FAR, batch_size=2, epochs=1, verbose=0).history
    np.testing.assert_allclose([logs["of_ops"], logs["m"]], FROM_LOGITS.mean(), rtol=1e-5)


def test_metrics_of_probabilities_stay_so():
    p = np.exp(LOG_P)
    expected = np.mean(np.sum(OF_FAR.clip(1e-7, 1) * np.log(OF_FAR.clip(1e-7, 1) / p.clip(1e-7, 1)), axis=1))
    np.testing.assert_allclose(evaluated(layers.Softmax(), metrics=["kl_divergence"])["kl_divergence"], expected, 1e-5)


def test_what_a_metric_keeps_of_a_batch_stays_what_it_was():
    kept = []

    def keeping(y_true, y_pred):
        kept.append((y_true, y_pred))
        return of_ops(y_true, y_pred)

    evaluated(layers.Softmax(), metrics=[keeping])
    expected = [FROM_LOGITS[:3], FROM_LOGITS[3:]]
    for (t, p), each in zip([pair for pair in kept if len(pair[0]) in (1, 3)][-2:], expected, strict=True):
        np.testing.assert_allclose(of_ops(t, p), each, rtol=1e-5)


HANDED_ON = {
    "identity": lambda z: layers.Identity()(layers.Softmax()(z)),
    "dropout": lambda z: layers.Dropout(0.5)(layers.Softmax()(z)),
    "noise": lambda z: layers.GaussianNoise(1.0)(layers.Softmax()(z)),
    "lambda": lambda z: layers.Activation(lambda t: keras.activations.softmax(t))(z),
    "lambda of half": lambda z: layers.Activation(lambda t: ops.softmax(t * 0.5))(layers.Rescaling(2.0)(z)),
    "axis": lambda z: layers.Softmax(axis=1)(z),
}


@pytest.mark.parametrize("last", HANDED_ON)
def test_losses_look_behind_what_hands_on(last):
    np.testing.assert_allclose(
        evaluated(HANDED_ON[last], "categorical_crossentropy")["loss"], FROM_LOGITS.mean(), rtol=1e-5
    )


def test_dropout_in_training_hides_the_softmax():
    x = keras.Input((3,))
    p = layers.Dropout(0.5, seed=1)(layers.Dense(3, "softmax", use_bias=False, kernel_initializer="identity")(x))
    model = keras.Model(x, p)
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    assert model.fit(FAR, OF_FAR, verbose=0).history["loss"][0] < -np.log(1e-7) < FROM_SIGMOIDS.mean()


@pytest.mark.parametrize("nothing", [layers.Dropout(0.0), layers.SpatialDropout1D(0.0), layers.GaussianNoise(0.0)])
def test_what_does_nothing_in_training_either_hides_no_softmax(nothing):
    x = keras.Input((1, 3))
    p = nothing(layers.Softmax()(layers.Dense(3, use_bias=False, kernel_initializer="identity")(x)))
    model = keras.Model(x, p)
    model.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy")
    found = model.fit(FAR[:, None], OF_FAR[:, None], verbose=0).history["loss"][0]
    assert found == pytest.approx(FROM_LOGITS.mean(), rel=1e-5)


def test_a_layer_of_ones_own_called_identity_hides_the_softmax():
    class Identity(mc.layers.Layer):
        def build(self, input_shapes):
            return input_shapes[0]

        def forward(self, xs, ws):
            ws.y[...] = xs[0] ** 2

    x = mc.Input((3,))
    model = mc.Model(x, Identity()(mc.layers.Softmax()(x)))
    model.compile("sgd", "categorical_crossentropy")
    squares = (np.exp([0.0, 0.0, 2.0]) / np.exp([0.0, 0.0, 2.0]).sum()) ** 2
    found = model.evaluate(np.array([[0.0, 0.0, 2.0]]), np.array([[1.0, 0.0, 0.0]]), verbose=0)
    assert found == pytest.approx(-np.log(squares[0] / squares.sum()), rel=1e-5)


def test_a_layer_of_ones_own_called_sigmoid_is_no_sigmoid():
    class Sigmoid(mc.layers.Layer):
        def build(self, input_shapes):
            return input_shapes[0]

        def forward(self, xs, ws):
            ws.y[...] = xs[0] / 4

    x = mc.Input((1,))
    model = mc.Model(x, Sigmoid()(x))
    model.compile("sgd", "binary_crossentropy", metrics=[mc.metrics.BinaryCrossentropy(name="m")])
    found = model.evaluate(np.array([[3.0]]), np.array([[1.0]]), verbose=0)
    assert found == pytest.approx([-np.log(0.75)] * 2, rel=1e-5)


def test_a_softmax_over_two_axes_hides_what_is_before_it():
    x = keras.Input((2, 2))
    model = keras.Model(x, layers.Softmax(axis=(1, 2))(x))
    model.compile("sgd", "categorical_crossentropy")
    z, t = np.array([[[60.0, 0], [59, 61]]]), np.array([[[0.0, 1], [1, 0]]])
    expected = (-np.log(1e-7) + np.log(1 + np.exp(2))) / 2  # the first row's is clipped; from logits it is 60
    assert model.evaluate(z, t, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_a_metric_that_ignores_a_class_stays_with_probabilities():
    ignoring = keras.metrics.SparseCategoricalCrossentropy(ignore_class=5, name="m")
    found = evaluated(layers.Softmax(), "sparse_categorical_crossentropy", OF_FAR.argmax(1), metrics=[ignoring])["m"]
    expected = -np.log(np.exp(LOG_P).clip(1e-7, 1 - 1e-7)[OF_FAR == 1]).mean()
    assert found == pytest.approx(expected, rel=1e-4) != pytest.approx(FROM_LOGITS.mean(), rel=1e-2)


def test_gradients_behind_an_activation_that_is_a_lambda():
    for function in (lambda t: keras.activations.softmax(t), lambda t: ops.softmax(t * 1.0)):
        x = keras.Input((2,))
        model = keras.Model(x, layers.Dense(3, activation=function, use_bias=False)(x))
        model.set_weights([W])
        model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
        model.fit(X, T, epochs=1, verbose=0)
        np.testing.assert_allclose(model.get_weights()[0], AFTER, atol=2e-5)


def test_a_softmax_along_another_axis():
    """As Keras: the cross-entropies of sigmoids of what is before it, the focal one's factors from the softmax."""
    z = np.random.default_rng(3).normal(size=(4, 3, 2)) * 20
    t = np.random.default_rng(4).integers(0, 2, (4, 3, 2)).astype("float32")
    w = np.random.default_rng(5).uniform(size=(4, 3))
    e = np.exp(z - z.max(1, keepdims=True))
    p, crossentropy = e / e.sum(1, keepdims=True), np.logaddexp(0, z) - z * t
    focal = np.abs(t - p) ** 2 * crossentropy
    x = keras.Input((3, 2))
    model = keras.Model(x, layers.Softmax(axis=1)(x))
    for loss, expected in (("binary_crossentropy", crossentropy), ("binary_focal_crossentropy", focal)):
        model.compile("sgd", loss)
        of_places = expected.mean(-1)
        found = [model.evaluate(z, t, sample_weight=each, verbose=0) for each in (None, w)]
        np.testing.assert_allclose(found, [of_places.mean(), (of_places * w).mean()], rtol=1e-5)


def test_losses_are_metrics_by_their_names():
    given = [losses.binary_focal_crossentropy, losses.Huber(), losses.MeanSquaredError(name="squares"), losses.huber]
    found = evaluated(layers.Softmax(), metrics=given)
    p = np.exp(LOG_P)
    distance = np.abs(p - OF_FAR)  # at most 1, where Huber's loss is a square
    focal = (distance**2 * (np.logaddexp(0, FAR) - FAR * OF_FAR)).mean()
    batch = np.mean([(distance[part] ** 2).mean() for part in (slice(3), slice(3, 4))])  # one number for each
    squares = (distance**2).mean()
    expected = {"loss": squares, "binary_focal_crossentropy": focal, "huber_loss": batch / 2, "squares": batch}
    expected["huber"] = squares / 2
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("last", HANDED_ON)
def test_calls_of_models_that_hand_on(last):
    x = keras.Input((3,))
    model = keras.Model(x, HANDED_ON[last](layers.Dense(3, use_bias=False, kernel_initializer="identity")(x)))
    loss, given = losses.CategoricalCrossentropy(), tf.constant(FAR)
    with tf.GradientTape() as tape:
        tape.watch(given)
        taped = loss(OF_FAR, model(given))
    np.testing.assert_allclose([loss(OF_FAR, model(FAR)), taped], FROM_LOGITS.mean(), rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(taped, given), (np.exp(LOG_P) - OF_FAR) / 4, atol=1e-6)


@pytest.mark.parametrize("axis", [1, (1, 2), (1, 2, 3)])
def test_binary_crossentropy_over_other_axes(axis):
    """Of arrays as on a tape, ``axis=(1, 2, 3)`` gives one number for each picture; behind a sigmoid by its logits."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 3, 4, 2)).astype("float32") * 40
    t = (rng.random(x.shape) > 0.5).astype("float32")
    p = keras.layers.Activation("sigmoid")(x)
    by_logits = np.logaddexp(0, x.astype(float)) - t * x.astype(float)
    p_of_numbers = np.clip(np.asarray(p, float), 1e-7, np.float32(1 - 1e-7))
    clipped = -(t * np.log(p_of_numbers) + (1 - t) * np.log(1 - p_of_numbers))
    function = keras.losses.binary_crossentropy
    np.testing.assert_allclose(function(t, p, axis=axis), by_logits.mean(axis), rtol=1e-5)
    np.testing.assert_allclose(function(t.astype(int), np.asarray(p), axis=axis), clipped.mean(axis), rtol=1e-3)
    np.testing.assert_allclose(function(t, x, True, 0.0, axis).numpy(), by_logits.mean(axis), rtol=1e-5)
    assert function(t, p, axis=axis).dtype == "float32"


@pytest.mark.parametrize("taped", [False, True])
@pytest.mark.parametrize("axis", [1, -2])
def test_categorical_crossentropy_over_another_axis_goes_by_what_is_before_its_softmax(axis, taped):
    """Probabilities of e⁻⁴⁰ and less are clipped: by them alone the loss of a place would be 16 at most."""
    rng = np.random.default_rng(5)
    z = (rng.normal(size=(2, 3, 4)) * 40).astype("float32")
    t = np.moveaxis(np.eye(3, dtype="float32")[rng.integers(0, 3, (2, 4))], -1, 1)  # (2, 3, 4), classes in the middle
    of_places = np.log(np.exp(z - z.max(1, keepdims=True)).sum(1)) + z.max(1) - (t * z).sum(1)
    assert of_places.max() > 17
    loss, given = losses.CategoricalCrossentropy(axis=axis), tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = loss(t, layers.Softmax(axis=axis)(given if taped else z))
    np.testing.assert_allclose(found, of_places.mean(), rtol=1e-5)
    if taped:
        p = np.exp(z - z.max(1, keepdims=True))
        np.testing.assert_allclose(tape.gradient(found, given), (p / p.sum(1, keepdims=True) - t) / 8, atol=1e-6)


def test_categorical_crossentropy_over_another_axis():
    p = np.random.default_rng(4).random((2, 3, 4)).astype("float32") + 0.1
    t = np.eye(3, dtype="float32")[[[0, 1, 2, 0], [2, 2, 1, 0]]].transpose(0, 2, 1)  # (2, 3, 4), classes in the middle
    expected = -np.log((t * p).sum(1) / p.sum(1))
    np.testing.assert_allclose(keras.losses.categorical_crossentropy(t, p, axis=1), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "formula"),
    [
        (keras.losses.kl_divergence, lambda t, p: tf.reduce_sum(t * (tf.math.log(t) - tf.math.log(p)), axis=-1)),
        (keras.losses.poisson, lambda t, p: tf.reduce_mean(p - t * tf.math.log(p), axis=-1)),
    ],
)
def test_functions_whose_targets_are_on_the_tape_take_probabilities_for_what_they_are(function, formula):
    """As R-Drop and its like compare two networks' outputs, in both directions."""
    nets = [keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")]) for _ in range(2)]
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    slopes = []
    for compute in (function, formula):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(compute(nets[0](x), nets[1](x)))
        slopes.append(tape.gradient(loss, nets[0].trainable_weights + nets[1].trainable_weights))
    for made, expected in zip(*slopes, strict=True):
        np.testing.assert_allclose(made, expected, rtol=1e-3, atol=1e-5)
