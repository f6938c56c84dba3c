"""Models of `minicnn.keras` where graphs end: weights that wait for a model, and calls that run on arrays."""

import itertools
import warnings

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.errors import ShapeError
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf
from minicnn.keras.preprocessing.image import ImageDataGenerator

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


@pytest.mark.parametrize("by_layer", [False, True])
def test_a_discriminator_is_trained_however_it_was_frozen_for_the_generator(by_layer):
    """As in tf_keras 2.21; Keras 3.15 trains no weight of the discriminator, and warns of it."""
    discriminator = keras.Sequential([keras.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(1, "sigmoid")])
    discriminator.compile("sgd", "binary_crossentropy")
    for part in discriminator.layers if by_layer else [discriminator]:
        part.trainable = False
    noise = keras.Input((2,))
    gan = keras.Model(noise, discriminator(layers.Dense(3)(noise)))
    gan.compile("sgd", "binary_crossentropy")
    z, images, y = np.ones((8, 2)), np.ones((8, 3)), np.zeros((8, 1))
    for _ in range(2):
        before = discriminator.get_weights()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # which says it, in a process once
            warnings.filterwarnings("error", "the model does not have any trainable")
            discriminator.train_on_batch(images, y)
        after = discriminator.get_weights()
        assert not any(np.array_equal(w, b) for w, b in zip(after[2:], before[2:], strict=True))
        gan.train_on_batch(z, y + 1)
        assert all(np.array_equal(w, b) for w, b in zip(discriminator.get_weights(), after, strict=True))


def test_a_discriminator_that_is_frozen_but_for_its_normalizations_is_trained():
    """Pix2pix, ACGAN and WGAN of many scripts: in tf_keras 2.21 its own `train_on_batch` moves all of its weights."""
    discriminator = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(1)])
    discriminator.compile("sgd", "mse")
    for part in discriminator.layers:
        if not isinstance(part, layers.BatchNormalization):
            part.trainable = False
    noise = keras.Input((2,))
    gan = keras.Model(noise, discriminator(layers.Dense(3)(noise)))
    gan.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    images, z, y = rng.random((8, 3)), rng.random((8, 2)), np.ones((8, 1))
    first, last = discriminator.layers[0], discriminator.layers[-1]
    before = first.get_weights()[:1] + last.get_weights()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # which says it, in a process once
        discriminator.train_on_batch(images, y)
    after = first.get_weights()[:1] + last.get_weights()
    assert not any(np.array_equal(w, b) for w, b in zip(after, before, strict=True))
    gamma = discriminator.layers[1].get_weights()[0]
    gan.train_on_batch(z, y)
    assert all(np.array_equal(w, b) for w, b in zip(first.get_weights()[:1] + last.get_weights(), after, strict=True))
    assert not np.array_equal(discriminator.layers[1].get_weights()[0], gamma)


def test_a_normalization_that_is_frozen_after_compile_is_frozen_at_once_beside_one_that_is_trained():
    """As in Keras 3, also where nothing else is trained, as behind a frozen backbone."""
    parts = [layers.BatchNormalization(), layers.Dense(3, trainable=False), layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((3,)), *parts])
    model.compile("sgd", "mse")
    parts[0].trainable = False
    x = np.random.default_rng(0).random((8, 3))
    model.fit(x, x, verbose=0)
    assert parts[0].get_weights()[0].tolist() == [1, 1, 1]
    assert parts[2].get_weights()[0].tolist() != [1, 1, 1]


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


@pytest.fixture
def bound(x):
    """A model, a loss that uses a tensor of it, and what the loss is of the data."""
    inputs = layers.Input((3,))
    mean = layers.Dense(2)(inputs)
    model = keras.Model(inputs, layers.Dense(3)(mean))
    inner = keras.Model(inputs, mean)

    def loss(y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred), axis=-1) + (lambda: ops.mean(ops.square(mean), axis=-1))()

    def expected():
        made, inside = (m.predict(x, verbose=0).astype("float64") for m in (model, inner))
        return ((x - made) ** 2).mean() + (inside**2).mean()

    return model, loss, expected


def distance(y_true, y_pred):
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


class Rows(keras.utils.Sequence):
    def __init__(self, x, *rest):
        super().__init__()
        self.parts = x, *rest

    def __len__(self):
        return 2

    def __getitem__(self, index):
        half = len(self.parts[0]) // 2
        return tuple(part[index * half : (index + 1) * half] for part in self.parts)


STREAMS = {
    "arrays": lambda x: (x, x),
    "dict": lambda x: ({"given": x}, x),
    "sequence": lambda x: (Rows(x, x),),
    "generator": lambda x: ((x[i::2], x[i::2]) for i in itertools.cycle(range(2))),
    "data set": lambda x: (mc.data.Dataset.from_tensor_slices((x, x)).batch(4),),
    "iterator": lambda x: (ImageDataGenerator().flow(x, x, batch_size=4),),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_a_loss_that_uses_tensors_takes_every_kind_of_data(kind, rng):
    """Without their length, Sequences and iterators over pictures would have no end."""
    x = rng.normal(size=(8, 1, 1, 3)).astype("float32")
    inputs = layers.Input((1, 1, 3), name="given")
    mean = layers.Dense(2)(inputs)
    model = keras.Model(inputs, layers.Dense(3)(mean))
    model.compile(keras.optimizers.SGD(0.0), lambda y, p: ops.mean(ops.square(y - p)) + ops.mean(ops.square(mean)))
    made, inside = (m.predict(x, verbose=0).astype("float64") for m in (model, keras.Model(inputs, mean)))
    expected = ((x - made) ** 2).mean() + (inside**2).mean()
    data, steps = STREAMS[kind](x), 2 if kind == "generator" else None
    data = data if isinstance(data, tuple) else (data,)
    assert model.evaluate(*data, verbose=0, steps=steps) == pytest.approx(expected, rel=1e-4)
    history = model.fit(*data, epochs=2, verbose=0, steps_per_epoch=steps, validation_data=STREAMS["data set"](x)[0])
    np.testing.assert_allclose([*history.history["loss"], *history.history["val_loss"]], expected, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:fit_generator:FutureWarning")
def test_iterators_that_go_on_take_a_loss_that_uses_tensors(x):
    """`fit_generator` with more steps than there are batches."""
    inputs = layers.Input((1, 1, 3))
    mean = layers.Dense(2)(layers.Flatten()(inputs))
    model = keras.Model(inputs, layers.Dense(3)(mean))
    model.compile("sgd", lambda y, p: ops.mean(ops.square(y - p)) + ops.mean(ops.square(mean)))
    model.fit_generator(ImageDataGenerator().flow(x[:, None, None], x, batch_size=len(x)), 3, 2, 0)
    assert model.optimizer.iterations == 6


def test_beside_a_loss_that_uses_tensors(bound, x):
    """Metrics by position, and what is asked of a model that is compiled."""
    model, loss, expected = bound
    model.compile("sgd", loss, [distance])
    value, far = model.evaluate(x, x, None, 0)
    assert value == pytest.approx(expected(), rel=1e-4)
    assert far == pytest.approx(np.abs(x - model.predict(x, verbose=0)).mean(), rel=1e-4)
    keras.backend.set_value(model.optimizer.learning_rate, 0.0)
    before = model.get_weights()
    assert model.train_on_batch(x, x) == model.test_on_batch(x, x) == pytest.approx([value, far], rel=1e-5)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.metrics_names == ["loss", "distance"]
    assert model.fit(x, x, 4, 2, 0) is model.history and len(model.history.history["loss"]) == 2
    with pytest.raises(TypeError, match="did you mean 'metrics'"):
        model.compile("sgd", loss, metric=[distance])
    model.compile("sgd", loss, ["mae", distance])
    assert model.metrics_names == ["loss", "mae", "distance"]
    assert model.test_on_batch(x, x) == pytest.approx([value, far, far], rel=1e-4)
    with pytest.raises(ValueError, match=r"Received: {'loss_weights'"):
        model.compile("sgd", loss, loss_weights=[2.0])


def test_samples_have_no_weights_in_a_loss_that_is_one_number(bound, x):
    model, loss, _ = bound
    model.compile("sgd", lambda y_true, y_pred: keras.backend.mean(loss(y_true, y_pred)))
    weights = np.ones(len(x))
    for use in (
        lambda: model.fit(x, x, sample_weight=weights, verbose=0),
        lambda: model.fit(x, x, class_weight={0: 2.0}, verbose=0),
        lambda: model.fit(x, x, verbose=0, validation_data=(x, x, weights)),
        lambda: model.fit(Rows(x, x, weights), verbose=0),
        lambda: model.evaluate(x, x, None, 0, weights),
        lambda: model.train_on_batch(x, x, weights),
        lambda: model.train_on_batch(x, x, None, {0: 2.0}),
        lambda: model.test_on_batch(x, x, weights),
    ):
        with pytest.raises(ValueError, match=r"if it gives a number for each.*Received: weights"):
            use()
    with pytest.raises(ValueError, match=r"takes \(x, y\).*Received: y=None"):
        model.fit(x, verbose=0)


def test_callbacks_get_the_model_that_was_compiled(bound, x, tmp_path):
    """Not the one that trains, which has the target for one more input."""
    pytest.importorskip("h5py")
    model, loss, _ = bound
    model.compile("sgd", loss)
    seen = []

    class Watching(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((self.model, self.model.predict(x, verbose=0).shape, len(self.validation_data)))
            self.model.stop_training = epoch == 1

    saving = keras.callbacks.ModelCheckpoint(str(tmp_path / "m.h5"))
    model.fit(x, x, epochs=5, verbose=0, validation_data=(x, x), callbacks=[Watching(), saving])
    assert seen == [(model, x.shape, 2)] * 2 and model.stop_training
    loaded = keras.models.load_model(tmp_path / "m.h5", compile=False)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)


def test_losses_by_another_network_take_all_metrics(x):
    """As those that compare what a trained network sees: its tensors are none of the model's."""
    inputs = layers.Input((3,))
    judge = keras.Sequential([layers.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(2)])
    model = keras.Model(inputs, layers.Dense(3)(inputs))

    def seen(y_true, y_pred):
        part = keras.Model(judge.input, judge.layers[0].output)
        return ops.mean(ops.square(part(y_true) - part(y_pred)))

    model.compile("sgd", seen, metrics=["mae"])
    made, inside = model.predict(x, verbose=0), keras.Model(judge.inputs, judge.layers[0].output)
    expected = np.square(inside.predict(x, verbose=0) - inside.predict(made, verbose=0)).mean()
    assert model.evaluate(x, x, verbose=0) == pytest.approx([expected, np.abs(x - made).mean()], rel=1e-3, abs=1e-5)


def test_a_call_without_training_is_one_of_training_in_fit():
    """Numbers of tf.keras 2.21; Keras 3 would leave the averages as they are."""

    class Normed(keras.Model):
        def __init__(self):
            super().__init__()
            self.normed, self.last = layers.BatchNormalization(momentum=0.5), layers.Dense(1)

        def call(self, x):
            return self.last(self.normed(x))

    model = Normed()
    model.compile("sgd", "mse")
    model.fit(np.arange(12.0).reshape(4, 3), np.ones((4, 1)), epochs=2, verbose=0)
    mean, variance = model.normed.get_weights()[2:]
    np.testing.assert_allclose(mean, [3.375, 4.125, 4.875])
    np.testing.assert_allclose(variance, [8.6875] * 3)


class BuiltLate(keras.Model):
    """Keras 3.15 runs `build` once, of whoever asks first, and gives the shapes in the inputs' own form."""

    def __init__(self):
        super().__init__()
        self.blocks, self.shapes = [], []

    def build(self, input_shape):
        self.shapes.append({k: tuple(s)[1:] for k, s in input_shape.items()})
        self.blocks.append(layers.Dense(2, name="late"))
        self.scale = self.add_weight(shape=(input_shape["a"][-1],), initializer="ones", name="scale")
        super().build(input_shape)

    def call(self, inputs):
        x = inputs["a"] * self.scale + inputs["b"]
        for block in self.blocks:
            x = block(x)
        return x


class BuiltLateAtOnce(BuiltLate):
    def call(self, inputs):
        return super().call(inputs) * (2.0 if ops.mean(inputs["a"]) > 100 else 1.0)


@pytest.mark.parametrize(
    ("cls", "first"),
    [(BuiltLate, "symbolic"), *itertools.product([BuiltLate, BuiltLateAtOnce], ["call", "fit", "predict"])],
)
def test_the_build_of_a_model_runs_once_before_its_first_call(cls, first):
    model, x = cls(), {"a": np.ones((4, 3), np.float32), "b": np.zeros((4, 3), np.float32)}
    model.compile("sgd", "mse")
    if first == "symbolic":
        model({name: keras.Input((3,)) for name in x})
    else:
        {"call": model, "fit": lambda x: model.fit(x, np.ones((4, 2)), verbose=0), "predict": model.predict}[first](x)
    model(x)
    model.predict(x, verbose=0)
    assert model.shapes == [{"a": (3,), "b": (3,)}]
    assert [w.shape for w in model.weights] == [(3,), (3, 2), (2,)]


class BuiltByShape(keras.Model):
    made, fails = 0, False

    def build(self, input_shape):
        if self.fails:
            raise RuntimeError("not yet")
        self.made += 1
        self.last = layers.Dense(input_shape[-1])

    def call(self, x):
        return self.last(x)


def test_a_build_that_was_called_or_has_failed():
    x = np.ones((2, 3), np.float32)
    model = BuiltByShape()
    model.build((None, 3))
    model(x)
    assert model.made == 1
    model = BuiltByShape()
    model.fails = True
    with pytest.raises(RuntimeError, match="not yet"):
        model(x)
    model.fails = False
    assert model(x).shape == (2, 3) and model.made == 1


def test_a_build_of_another_meaning_is_left_alone():
    class Made(keras.Model):
        def __init__(self):
            super().__init__()
            self.build()
            self.more = layers.Dense(2)

        def build(self):
            self.first = layers.Dense(3)

        def call(self, x):
            return self.more(self.first(x))

    assert Made()(np.ones((2, 3), np.float32)).shape == (2, 2)


def test_whether_a_model_is_compiled():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    assert model.compiled is False and model.jit_compile is False and not hasattr(model, "optimizer")
    model.compile("sgd", "mse")
    assert model.compiled is True
    model.fit(np.ones((4, 3)), np.ones(4), verbose=0)
    assert model.compiled is True


@pytest.mark.parametrize("begin", ["call", "fit", "tape"])
def test_a_sequential_of_models_with_a_call_that_is_used_before_it_is_built(begin):
    """Each gives the sum of its numbers, twice: of 1, 2 and 3 it is 6 in three units, and 18 in two."""

    class Sums(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.dense = keras.layers.Dense(units, kernel_initializer="ones", use_bias=False)

        def call(self, x):
            return self.dense(x)

    model = keras.Sequential([Sums(3), keras.Sequential([Sums(2), keras.layers.ReLU()])])
    x = np.array([[1.0, 2.0, 3.0]], "float32")
    if begin == "fit":
        model.compile(keras.optimizers.SGD(0.0), "mse")
        history = model.fit(x, np.zeros((1, 2)), verbose=0).history
        np.testing.assert_allclose(history["loss"], [18.0**2])
    elif begin == "tape":
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model(x))
        np.testing.assert_allclose(tape.gradient(total, model.trainable_variables)[1], np.full((3, 2), 6.0))
    np.testing.assert_allclose(model(x), [[18.0, 18.0]])
