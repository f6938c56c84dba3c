"""Models of `minicnn.keras` where graphs end: weights that wait for a model, and calls that run on arrays."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.errors import ShapeError
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf

pytestmark = pytest.mark.filterwarnings("ignore:call of model")


class Graph(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)
        self.norm = layers.BatchNormalization(momentum=0.5)

    def call(self, x):
        return self.norm(self.dense(x))


class AtOnce(Graph):
    def call(self, x):
        return self.norm(self.dense(x)) * (2.0 if ops.mean(x) > 100 else 1.0)


@pytest.fixture
def x(rng):
    return rng.normal(size=(8, 3)).astype("float32")


# --------------------------------------------------------------------------------------------- weights that wait


@pytest.mark.parametrize("cls", [Graph, AtOnce])
@pytest.mark.parametrize("use", ["predict", "evaluate", "call"])
def test_weights_wait_for_the_first_use(tmp_path, x, cls, use):
    trained = cls()
    expected = np.array(trained(x))
    tf.train.Checkpoint(model=trained).write(tmp_path / "c")
    fresh = cls()
    fresh.compile("sgd", "mse")
    tf.train.Checkpoint(model=fresh).restore(tmp_path / "c")
    if use == "evaluate":
        assert fresh.evaluate(x, expected, verbose=0) == pytest.approx(0, abs=1e-9)
    else:
        np.testing.assert_allclose(fresh(x) if use == "call" else fresh.predict(x, verbose=0), expected, atol=1e-6)
    assert len(fresh.get_weights()) == len(trained.get_weights())


@pytest.mark.parametrize("cls", [Graph, AtOnce])
def test_training_goes_on_from_weights_that_waited(tmp_path, x, cls):
    trained, fresh = cls(), cls()
    y = np.array(trained(x))
    tf.train.Checkpoint(model=trained).write(tmp_path / "c")
    tf.train.Checkpoint(model=fresh).restore(tmp_path / "c")
    fresh.compile(keras.optimizers.SGD(0.0), "mse")
    fresh.fit(x, y, verbose=0)
    np.testing.assert_array_equal(fresh.dense.get_weights()[0], trained.dense.get_weights()[0])
    before = fresh.get_weights()
    fresh(x)
    for a, b in zip(before, fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_stack_takes_what_waits(tmp_path, x):
    trained, fresh = (keras.Sequential([layers.Dense(2)]) for _ in range(2))
    expected = np.array(trained(x))
    tf.train.Checkpoint(model=trained).write(tmp_path / "c")
    tf.train.Checkpoint(model=fresh).restore(tmp_path / "c")
    np.testing.assert_allclose(fresh.predict(x, verbose=0), expected, atol=1e-6)


def test_a_module_is_kept(tmp_path):
    def module(value):
        made = tf.Module()
        made.scale = tf.Variable([value, 2.0])
        return made

    tf.train.Checkpoint(net=module(1.0)).write(tmp_path / "c")
    other = module(5.0)
    tf.train.Checkpoint(net=other).restore(tmp_path / "c")
    np.testing.assert_array_equal(other.scale.numpy(), [1, 2])


# --------------------------------------------------------------------------------------- calls that run on arrays


@pytest.mark.parametrize("cls", [Graph, AtOnce])
def test_layers_train_where_call_has_no_training(x, cls):
    keras.utils.set_random_seed(3)
    model = cls()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(x, np.zeros((8, 2)), batch_size=8, verbose=0)
    expected = 0.5 * np.mean(x @ model.dense.get_weights()[0], axis=0)
    np.testing.assert_allclose(model.norm.get_weights()[2], expected, atol=1e-5)
    model(x), model.predict(x, verbose=0)
    np.testing.assert_allclose(model.norm.get_weights()[2], expected, atol=1e-5)


@pytest.mark.parametrize(
    "use",
    [
        lambda model, x: model.predict(x, verbose=0),
        lambda model, x: model.evaluate(x, np.zeros((8, 2)), verbose=0),
        lambda model, x: model.train_on_batch(x, np.zeros((8, 2))),
        lambda model, x: model.test_on_batch(x, np.zeros((8, 2))),
        lambda model, x: model.predict_on_batch(x),
    ],
)
def test_any_method_may_come_first(x, use):
    model = AtOnce()
    model.compile("sgd", "mse")
    assert np.isfinite(use(model, x)).all()


def test_a_model_at_once_has_no_file(tmp_path, x):
    model = AtOnce()
    model(x)
    with pytest.raises(NotImplementedError, match="save_weights"):
        model.save(tmp_path / "m.keras")


def test_pictures_are_not_changed_where_training_is_false(rng):
    model = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomFlip("vertical")])
    picture = rng.random((4, 4, 3)).astype("float32")
    for _ in range(8):
        np.testing.assert_array_equal(model(picture, False), picture)


# ------------------------------------------------------------------------------------------- layers of one's own


class Two(layers.Layer):
    def call(self, x):
        return x * 2, ops.mean(x, axis=1, keepdims=True)


def test_several_arrays_of_open_sizes_are_refused():
    with pytest.raises(ShapeError, match="gives several arrays"):
        Two()(keras.Input((None,)))
    doubled, mean = Two()(keras.Input((4,)))
    assert (tuple(doubled.shape), tuple(mean.shape)) == ((None, 4), (None, 1))


def test_random_functions_of_a_models_tensor(x):
    inputs = keras.Input((3,))
    outputs = [
        keras.random.dropout(inputs, 0.5),
        keras.random.shuffle(inputs, axis=1),
        keras.random.categorical(inputs, 5),
    ]
    dropped, shuffled, drawn = keras.Model(inputs, outputs).predict(x, verbose=0)
    assert np.all((dropped == 0) | np.isclose(dropped, 2 * x))
    np.testing.assert_array_equal(np.sort(shuffled, 1), np.sort(x, 1))
    assert drawn.shape == (8, 5) and set(np.unique(drawn)) <= {0, 1, 2}


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size", "none"])
def test_a_loss_of_ones_own_weighs_what_is_on_a_tape(rng, reduction):
    class Squared(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)

    y, weights = rng.normal(size=(4, 3)).astype("float32"), np.array([1.0, 0, 2, 3], "float32")
    target = tf.Variable(rng.normal(size=(4, 3)).astype("float32"))
    with tf.GradientTape() as tape:
        made = Squared(reduction=reduction)(target * 1.0, y, sample_weight=weights)
    gradient = tape.gradient(made, target)
    each = np.square(target.numpy() - y).mean(-1) * weights
    expected = {"sum": each.sum(), "sum_over_batch_size": each.mean(), "none": each}[reduction]
    np.testing.assert_allclose(made, expected, rtol=1e-5)
    scale = 4 if reduction == "sum_over_batch_size" else 1
    np.testing.assert_allclose(gradient, 2 / 3 * (target.numpy() - y) * weights[:, None] / scale, rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------------------ what was frozen when it was compiled


@pytest.mark.filterwarnings("ignore:layer .* was frozen", "ignore:a model that was frozen:FutureWarning")
def test_each_half_of_a_gan_is_trained_by_the_model_that_was_compiled_for_it():
    """WGAN's scripts: the critic's model is compiled with the generator frozen, then the generator's the other way."""
    generator = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    critic = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    noise, real, further = (keras.Input((n,)) for n in (4, 3, 4))
    generator.trainable = False
    of_critic = keras.Model([real, noise], [critic(real), critic(generator(noise))])
    of_critic.compile("sgd", ["mse", "mse"])
    critic.trainable, generator.trainable = False, True
    of_generator = keras.Model(further, critic(generator(further)))
    of_generator.compile("sgd", "mse")

    def kept(model, before):
        return all(np.array_equal(w, b) for w, b in zip(model.get_weights(), before, strict=True))

    z, images, y = np.ones((8, 4)), np.ones((8, 3)), np.full((8, 1), 3.0)
    before = generator.get_weights(), critic.get_weights()
    of_critic.train_on_batch([images, z], [y, -y])
    assert kept(generator, before[0]) and not kept(critic, before[1])
    before = generator.get_weights(), critic.get_weights()
    of_generator.train_on_batch(z, y)
    assert kept(critic, before[1]) and not kept(generator, before[0])
    assert (generator.trainable, critic.trainable) == (True, False)


# ------------------------------------------------------------------------------- losses that use a model's tensors


def test_functions_that_a_loss_calls_may_use_tensors_and_be_metrics(x):
    inputs = layers.Input((3,))
    mean = layers.Dense(2)(inputs)
    model = keras.Model(inputs, layers.Dense(3)(mean))

    def rebuilt(y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred), axis=1)

    def far(y_true, y_pred):
        return -0.5 * ops.sum(1 - ops.square(mean), axis=1)

    model.compile(
        "sgd", lambda y_true, y_pred: 5 * rebuilt(y_true, y_pred) + far(y_true, y_pred), metrics=[rebuilt, far]
    )
    means = keras.Model(inputs, mean).predict(x, verbose=0).astype("float64")
    errors = ((x - model.predict(x, verbose=0).astype("float64")) ** 2).mean()
    distance = (-0.5 * (1 - means**2).sum(axis=1)).mean()
    np.testing.assert_allclose(
        model.evaluate(x, x, verbose=0), [5 * errors + distance, errors, distance], rtol=1e-4, atol=1e-5
    )
