"""``K.function(…, updates=…)`` and ``get_updates`` of optimizers, as scripts of Keras 1 and 2 train by them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.keras import backend as K
from minicnn.keras import optimizers
from minicnn.keras._names import NotInMinicnn
from minicnn.keras.callbacks import Callback
from minicnn.keras.layers import Activation, BatchNormalization, Dense, GlobalAveragePooling2D, Input, Layer
from minicnn.keras.models import Model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def _model(inputs, units, activation=None):
    x = Input((inputs,))
    return Model(x, Dense(units, activation=activation)(x))


def _arguments(order, loss, params):
    """The arguments as each age of Keras took them."""
    return {
        "1": ((params, [], loss), {}),
        "1 named": ((), {"params": params, "constraints": {}, "loss": loss}),
        "2": ((loss, params), {}),
        "2 named": ((), {"params": params, "loss": loss}),
    }[order]


@pytest.mark.parametrize("order", ["1", "1 named", "2", "2 named"])
@settings(max_examples=5, deadline=None)
@given(samples=st.integers(1, 5), inputs=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_function_with_updates_moves_the_weights_down_its_loss(order, samples, inputs, seed):
    random = np.random.default_rng(seed)
    model, rate = _model(inputs, 3), 0.05
    x, target = random.normal(size=(samples, inputs)), random.normal(size=(samples, 3))
    goal = K.placeholder(shape=(None, 3))
    loss = K.mean(K.square(goal - model.output))
    args, named = _arguments(order, loss, model.trainable_weights)
    updates = optimizers.SGD(learning_rate=rate).get_updates(*args, **named)
    train = K.function([model.input, goal], [loss], updates=updates)
    w, b = (array.astype(np.float64) for array in model.get_weights())
    for _ in range(3):
        error = x @ w + b - target
        np.testing.assert_allclose(train([x, target])[0], np.mean(error**2), rtol=1e-4)  # of before the step
        slope = 2 * error / error.size
        w, b = w - rate * x.T @ slope, b - rate * slope.sum(0)
    for found, expected in zip(model.get_weights(), (w, b), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_optimizer_has_its_state_in_such_functions():
    x, y = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    model, other = _model(4, 4), _model(4, 4)
    other.set_weights(model.get_weights())
    other.compile(optimizers.Adam(learning_rate=0.01), "mse")
    goal = K.placeholder(shape=(None, 4))
    updates = optimizers.Adam(lr=0.01).get_updates(K.mean(K.square(model.output - goal)), model.trainable_weights)
    train = K.function([model.input, goal], [], updates=updates)
    for _ in range(5):
        assert train([x, y]) == []
        other.train_on_batch(x, y)
    for found, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_policy_gradient_of_actions_and_rewards():
    random = np.random.default_rng(1)
    model = _model(5, 3, "softmax")
    action, reward = K.placeholder(shape=[None, 3]), K.placeholder(shape=[None])
    chosen = K.sum(action * model.output, axis=1)
    loss = -K.sum(K.log(chosen + 1e-10) * reward) + 0.01 * K.sum(model.output * K.log(model.output + 1e-10))
    train = K.function(
        [model.input, action, reward],
        [loss],
        updates=optimizers.RMSprop(lr=0.01, rho=0.99, epsilon=0.01).get_updates(model.trainable_weights, [], loss),
    )
    x, actions, rewards = random.normal(size=(8, 5)), np.eye(3)[random.integers(0, 3, 8)], random.normal(size=8)
    p = model.predict(x, verbose=0).astype(np.float64)
    expected = -np.sum(np.log((p * actions).sum(1)) * rewards) + 0.01 * np.sum(p * np.log(p))
    losses = [train([x, actions, rewards])[0] for _ in range(20)]
    assert losses[0] == pytest.approx(expected, rel=1e-4)
    assert losses[-1] < losses[0]


def test_get_gradients_are_those_of_the_backend():
    model = _model(2, 2)
    x, loss = np.ones((3, 2)), K.mean(K.square(model.output))
    own = optimizers.SGD().get_gradients(loss, model.trainable_weights)
    for a, b in zip(K.function([model.input], own)([x]), _slopes(model, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def _slopes(model, x):
    w, b = model.get_weights()
    slope = 2 * (x @ w + b) / (len(x) * len(b))
    return x.T @ slope, slope.sum(0)


def test_a_pair_is_assigned_in_each_call():
    model, total = _model(2, 2), K.variable(0.0)
    sum_of = K.function(
        [model.input], [model.output], updates=[(total, K.gradients(model.output, model.input)[0][0, 0])]
    )
    kernel = model.get_weights()[0]
    sum_of([np.ones((1, 2))])
    np.testing.assert_allclose(K.get_value(total), kernel[0].sum(), rtol=1e-5)


@pytest.mark.parametrize("by", [lambda v: v + 1, lambda v: K.square(v), lambda v: 0.0])
@pytest.mark.parametrize("start", [0.0, np.zeros(2)])
def test_a_pair_of_what_is_a_number_already_is_refused(start, by):
    model, variable = _model(4, 2), K.variable(start)
    with pytest.raises(TypeError, match="is a number before the first call"):
        K.function([model.input], [model.output], updates=[(variable, by(variable))])


def test_a_variable_grows_by_what_is_computed_of_tensors():
    model, total = _model(4, 2), K.variable(0.0)
    count = K.function([model.input], [model.output], updates=[(total, total + K.mean(model.output))])
    x = np.ones((3, 4), np.float32)
    mean = count([x])[0].mean()
    count([x])
    np.testing.assert_allclose(K.get_value(total), 2 * mean, rtol=1e-5)


def test_what_is_no_update_is_refused():
    model, counter = _model(2, 2), K.variable(0.0)
    with pytest.raises(TypeError, match="assigns at once"):
        K.function([model.input], [model.output], updates=[K.update(counter, counter + 1)])
    with pytest.raises(TypeError, match=r"get_updates\(loss, model.trainable_weights\)"):
        optimizers.SGD().get_updates(model.trainable_weights)


@settings(max_examples=5, deadline=None)
@given(samples=st.integers(2, 5), size=st.integers(1, 3), channels=st.integers(1, 3), seed=st.integers(0, 99))
def test_batches_are_normalized_along_any_axes(samples, size, channels, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(samples, channels, size, size)).astype(np.float32)
    gamma, beta = random.normal(size=(2, channels)).astype(np.float32)
    made, mean, var = K.normalize_batch_in_training(x, gamma, beta, [0, 2, -1], epsilon=0.01)
    for c in range(channels):
        part = x[:, c].astype(np.float64)
        np.testing.assert_allclose(mean[c], part.mean(), atol=1e-5)
        np.testing.assert_allclose(var[c], part.var(), atol=1e-5)
        expected = (part - part.mean()) / np.sqrt(part.var() + 0.01) * gamma[c] + beta[c]
        np.testing.assert_allclose(made[:, c], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(K.batch_normalization(x, mean, var, beta, gamma, axis=1, epsilon=0.01), made, atol=1e-4)
    plain = K.batch_normalization(x, mean[:, None, None][None], var[:, None, None][None], None, None, epsilon=0.01)
    np.testing.assert_allclose(plain * gamma[:, None, None] + beta[:, None, None], made, rtol=1e-4, atol=1e-4)


def test_a_layer_normalizes_with_the_backends_functions_in_training_and_with_its_averages_in_use():
    class Normalization(Layer):
        def build(self, shape):
            self.mean = self.add_weight(shape=shape[-1:], name="mean", initializer="zeros", trainable=False)
            self.var = self.add_weight(shape=shape[-1:], name="var", initializer="ones", trainable=False)
            self.gamma = self.add_weight(shape=shape[-1:], name="gamma", initializer="ones")

        def call(self, inputs, training=None):
            def in_use():
                return K.batch_normalization(inputs, self.mean, self.var, None, self.gamma)

            if training in {0}:
                return in_use()
            normed, mean, var = K.normalize_batch_in_training(inputs, self.gamma, None, [0, 1, 2])
            averages = [K.moving_average_update(a, b, 0.9) for a, b in ((self.mean, mean), (self.var, var))]
            self.add_update(averages, inputs)
            return K.in_train_phase(normed, in_use, training=training)

    x = np.random.default_rng(0).normal(2, 3, size=(8, 4, 4, 2)).astype(np.float32)
    y = np.eye(3)[np.arange(8) % 3]
    models = []
    for layer in (Normalization(), BatchNormalization(momentum=0.9, center=False)):
        inputs = Input((4, 4, 2))
        model = Model(
            inputs, Dense(3, activation="softmax")(GlobalAveragePooling2D()(Activation("tanh")(layer(inputs))))
        )
        model.compile("sgd", "categorical_crossentropy")
        model.layers[-1].set_weights([np.ones((2, 3)) * [[1, 2, 3], [-1, 0, 1]], np.zeros(3)])
        models.append((model, model.fit(x, y, epochs=3, batch_size=4, shuffle=False, verbose=0).history["loss"]))
    (own, losses), (library, expected) = models
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    np.testing.assert_allclose(own.predict(x, verbose=0), library.predict(x, verbose=0), rtol=1e-3, atol=1e-4)


def test_a_loss_may_be_a_sum_over_the_samples_of_one_unit():
    x, y = np.ones((6, 2)), np.zeros((6, 1))
    losses = []
    for loss in (lambda t, p: 0.5 * K.sum(p, axis=0), lambda t, p: 0.5 * K.sum(p)):  # (1,) and ()
        model = _model(2, 1)
        model.set_weights([np.array([[1.0], [2.0]]), np.array([0.5])])
        model.compile("sgd", loss)
        losses.append([model.train_on_batch(x, y), *(w.tolist() for w in model.get_weights())])
    assert losses[0] == losses[1]
    assert losses[0][0] == pytest.approx(0.5 * 6 * 3.5)


def test_callbacks_find_the_numbers_that_keras_1_told_them():
    class Samples(Callback):
        def on_batch_end(self, batch, logs={}):  # noqa: B006
            told.append((self.params["nb_sample"], self.params["nb_epoch"]))

    told = []
    model = _model(2, 1)
    model.compile("sgd", "mse")
    model.fit(np.ones((6, 2)), np.zeros((6, 1)), batch_size=6, epochs=2, verbose=0, callbacks=[Samples()])
    assert told == [(6, 2), (6, 2)]


@pytest.mark.parametrize("axis", [1, -1, (1, 2), [1, 2, 3]])
def test_a_models_tensor_is_divided_by_its_length(axis):
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    x[0] = 0
    inputs = Input((4, 5, 2))
    axes = tuple(axis) if isinstance(axis, list) else axis
    length = np.sqrt(np.maximum((x.astype(np.float64) ** 2).sum(axes, keepdims=True), 1e-12))
    found = Model(inputs, K.l2_normalize(inputs, axis)).predict(x, verbose=0)
    np.testing.assert_allclose(found, x / length, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(K.l2_normalize(x, axis), x / length, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axis", [None, 0, (0, 1)])
def test_a_length_over_all_samples_is_no_tensor(axis):
    with pytest.raises(NotInMinicnn, match="along axes of each sample"):
        K.l2_normalize(Input((4, 3)), axis)


@pytest.mark.parametrize(
    ("name", "instead"),
    [("metrics_tensors", "add_metric"), ("total_loss", "K.placeholder"), ("train_function", "get_updates")],
)
def test_what_keras_2_compiled_into_a_graph_is_refused_with_what_stands_for_it(name, instead):
    model = _model(2, 1)
    model.compile("sgd", "mse")
    with pytest.raises(AttributeError, match=instead):
        getattr(model, name)
    assert not hasattr(model, name)
    with pytest.raises(AttributeError, match="no attribute 'no_such'"):
        _ = model.no_such
    setattr(model, name, 3)  # a script's own
    assert getattr(model, name) == 3
