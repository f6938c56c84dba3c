"""Parts of the loss that a model computes itself: `add_loss`, sampling, and variational autoencoders."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.errors import NotBuiltError
from minicnn.keras import backend as K
from minicnn.keras import layers
from minicnn.keras import tensorflow as tf


@pytest.fixture
def x(rng):
    return rng.random((40, 6)).astype(np.float32)


def encoder():
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, activation="tanh")(inputs)
    return inputs, layers.Dense(2, name="mean")(hidden), layers.Dense(2, name="log_variance")(hidden)


def decoder(z):
    return layers.Dense(6, activation="sigmoid", name="decoded")(layers.Dense(5, activation="relu")(z))


def sampling(arguments, stddev=1.0):
    mean, log_variance = arguments
    epsilon = K.random_normal(shape=(K.shape(mean)[0], K.int_shape(mean)[1]), stddev=stddev)
    return mean + K.exp(0.5 * log_variance) * epsilon


class Sampling(layers.Layer):
    """As in Keras 3's example."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        mean, log_variance = inputs
        batch, size = keras.ops.shape(mean)[0], keras.ops.shape(mean)[1]
        epsilon = keras.random.normal(shape=(batch, size), seed=self.seed_generator)
        return mean + keras.ops.exp(0.5 * log_variance) * epsilon


def divergence(mean, log_variance):
    return -0.5 * K.sum(1 + log_variance - K.square(mean) - K.exp(log_variance), axis=-1)


def expected_loss(x, mean, log_variance, decoded):
    """6 · binary cross-entropy + KL divergence in float64, from what the model computes."""
    x, mean, log_variance, p = (np.asarray(a, np.float64) for a in (x, mean, log_variance, decoded))
    rebuilt = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)
    return (rebuilt - 0.5 * (1 + log_variance - mean**2 - np.exp(log_variance)).sum(axis=1)).mean()


def functional(stddev=0.0):
    """As in Keras 2's examples; without noise its loss is a function of what it computes."""
    inputs, mean, log_variance = encoder()
    z = layers.Lambda(sampling, output_shape=(2,), arguments={"stddev": stddev})([mean, log_variance])
    decoded = decoder(z)
    vae = keras.Model(inputs, decoded)
    vae.add_loss(K.mean(6 * keras.losses.binary_crossentropy(inputs, decoded) + divergence(mean, log_variance)))
    return vae, keras.Model(inputs, [mean, log_variance])


class Chollets(layers.Layer):
    """The layer of "Deep learning with Python", whose loss reads tensors of the model that are not its inputs."""

    def __init__(self, mean, log_variance, **kwargs):
        super().__init__(**kwargs)
        self.moments = lambda: (mean, log_variance)

    def vae_loss(self, x, decoded):
        x, decoded = K.flatten(x), K.flatten(decoded)
        return K.mean(6 * keras.metrics.binary_crossentropy(x, decoded) + divergence(*self.moments()))

    def call(self, inputs):
        x, decoded = inputs
        self.add_loss(self.vae_loss(x, decoded), inputs=inputs)
        return x


def by_a_layer(stddev=0.0):
    inputs, mean, log_variance = encoder()
    decoded = decoder(layers.Lambda(sampling, arguments={"stddev": stddev})([mean, log_variance]))
    vae = keras.Model(inputs, Chollets(mean, log_variance)([inputs, decoded]))
    return vae, keras.Model(inputs, [mean, log_variance])


class Subclass(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.mean, self.log_variance = layers.Dense(5, activation="tanh"), layers.Dense(2), layers.Dense(2)
        self.back, self.top = layers.Dense(5, activation="relu"), layers.Dense(6, activation="sigmoid")

    def call(self, inputs, training=None):
        hidden = self.hidden(inputs)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        decoded = self.top(self.back(mean))
        self.add_loss(6 * keras.ops.mean(keras.losses.binary_crossentropy(inputs, decoded)))
        self.add_loss(keras.ops.mean(divergence(mean, log_variance)))
        return decoded


def moments_of(vae, x):
    if isinstance(vae, Subclass):
        hidden = vae.hidden(x)
        return vae.mean(hidden), vae.log_variance(hidden)
    return None


def rebuilt(vae, x, mean):
    """What the decoder's layers give for the mean."""
    back, top = [layer for layer in vae.layers if isinstance(layer, mc.layers.Dense)][-2:]
    return top(back(mean))


@pytest.mark.parametrize("make", [functional, by_a_layer, lambda: (Subclass(), None)], ids=["model", "layer", "call"])
def test_a_variational_autoencoder(make, x):
    vae, moments = make()
    vae.compile(optimizer=mc.optimizers.Adam(0.01))
    if moments is None:
        vae(x[:2])
    mean, log_variance = moments.predict(x) if moments is not None else moments_of(vae, x)
    expected = expected_loss(x, mean, log_variance, rebuilt(vae, x, mean))
    assert vae.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert vae.evaluate(x, batch_size=9, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert mc.gradcheck(vae).error <= 1e-6
    losses = vae.fit(x, epochs=20, batch_size=10, verbose=0, validation_data=(x, None)).history
    assert losses["loss"][-1] < losses["loss"][0]
    assert losses["val_loss"][-1] == pytest.approx(vae.evaluate(x, verbose=0))
    assert len(vae.output_names) == 1


def test_names_stay():
    vae, _ = functional()
    assert vae.output_names == ["decoded"]
    assert [type(layer).__name__ for layer in vae.layers].count("AddLoss") == 1


def test_a_loss_and_parts_of_it(x):
    """compile's loss, several calls of add_loss, means and sums, a tensor whose numbers are added up, a regularizer."""
    inputs = mc.Input((6,))
    hidden = mc.layers.Dense(3, kernel_regularizer="l2")(inputs)
    outputs = mc.layers.Dense(2, name="top")(hidden)
    model = keras.Model(inputs, outputs)
    model.add_loss(0.1 * K.sum(K.square(hidden)))
    model.add_loss([K.square(outputs), K.mean(hidden) * 2 - K.mean(outputs)])
    model.compile("sgd", {"top": "mse"}, metrics=["mae"])
    y = np.zeros((len(x), 2))
    h, o = (np.asarray(a, np.float64) for a in keras.Model(inputs, [hidden, outputs]).predict(x))
    penalty = 0.01 * np.square(model.get_weights()[0].astype(np.float64)).sum()
    expected = np.square(o).mean() + np.square(o).sum() + 0.1 * np.square(h).sum() + 2 * h.mean() - o.mean() + penalty
    loss, mae = model.evaluate(x, y, batch_size=len(x), verbose=0)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert mae == pytest.approx(np.abs(o).mean(), rel=1e-5)
    assert mc.gradcheck(model).error <= 1e-6
    assert model.train_on_batch(x, y)[0] == pytest.approx(expected, rel=1e-5)


def test_a_layer_that_computes_with_arrays(x):
    """add_loss in the call of a layer with weights; with two losses, one of which is an array."""

    class Pulled(layers.Layer):
        def build(self, input_shape):
            self.centre = self.add_weight(name="centre", shape=input_shape[-1:], initializer="ones")

        def call(self, inputs):
            away = inputs - self.centre
            self.add_loss(0.5 * keras.ops.sum(keras.ops.square(away)))
            self.add_loss([keras.ops.abs(away)])
            return away

    model = mc.Sequential([mc.Input((6,)), layers.Dense(4), Pulled(), mc.layers.Dense(3), mc.layers.Dense(1)])
    model.compile("sgd", "mse")
    away = (x @ model.get_weights()[0] - 1).astype(np.float64)
    y = np.zeros((len(x), 1))
    expected = 0.5 * np.square(away).sum() + np.abs(away).sum() + np.square(model.predict(x)).mean(dtype=np.float64)
    assert model.evaluate(x, y, batch_size=len(x), verbose=0) == pytest.approx(expected, rel=1e-5)
    assert mc.gradcheck(model).error <= 1e-6
    assert model.train_on_batch(x, y) == pytest.approx(expected, rel=1e-5)


def test_a_layer_of_layers_that_adds_a_loss(x):
    class Sparse(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4, activation="relu")

        def call(self, inputs):
            y = self.dense(inputs)
            self.add_loss(0.01 * keras.ops.mean(y))
            return y

    model = mc.Sequential([mc.Input((6,)), Sparse(), mc.layers.Dense(1)])
    model.compile("sgd", "mse")
    h = mc.Model(model.inputs, model.layers[0].output).predict(x)
    expected = 0.01 * h.mean() + np.square(model.predict(x)).mean()
    assert model.evaluate(x, np.zeros((len(x), 1)), verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["layer", "lambda", "operators"])
def test_sampling(kind, rng):
    """The numbers are normal, other ones in every iteration, and the same for the same seed; gradients pass."""
    mean, log_variance = mc.Input((3,)), mc.Input((3,))
    if kind == "operators":
        z = sampling([mean, log_variance])
    else:
        z = (Sampling() if kind == "layer" else layers.Lambda(sampling))([mean, log_variance])
    top = mc.layers.Dense(1, kernel_initializer="ones")
    model = mc.Model([mean, log_variance], [z, top(z)])
    model.seed = 4
    xs = [np.full((20_000, 3), 2.0), np.full((20_000, 3), np.log(9.0))]
    numbers = (model.predict(xs, batch_size=20_000)[0] - 2) / 3
    assert abs(numbers.mean()) < 0.02
    assert abs(numbers.std() - 1) < 0.02
    assert abs(np.mean(numbers**4) - 3) < 0.15
    model.compile("sgd", [None, "mse"])
    few = [a[:8] for a in xs]
    state = model.get_weights()
    seen = []
    for _ in range(2):
        model.set_weights(state)
        model.compile("sgd", [None, "mse"])
        seen.append([model.train_on_batch(few, [None, np.zeros((8, 1))]) for _ in range(2)])
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[0][1]
    assert mc.gradcheck(model).error <= 1e-6


def test_copies_and_files(x, tmp_path):
    """Losses that are layers are in the file; without those that are functions, it has the model alone, and says so."""
    inputs = mc.Input((6,))
    hidden = mc.layers.Dense(3)(inputs)
    model = mc.Model(inputs, mc.layers.Dense(1)(hidden))
    model.add_loss(K.mean(K.square(hidden)))
    model.compile("sgd")
    expected = model.evaluate(x, verbose=0)
    model.save(tmp_path / "model.safetensors")
    assert mc.load_model(tmp_path / "model.safetensors").evaluate(x, verbose=0) == expected
    vae, _ = functional()
    vae.compile("sgd")
    with pytest.warns(UserWarning, match="are code, which no file holds"):
        vae.save(tmp_path / "vae.safetensors")
    bare = mc.load_model(tmp_path / "vae.safetensors", custom_objects={"sampling": sampling})
    assert bare.count_params() == vae.count_params()
    assert not bare.compiled
    for name in ("vae.weights.h5", "vae.safetensors"):
        vae.save_weights(tmp_path / name)
        other, _ = functional()
        other.compile("sgd")
        other.load_weights(tmp_path / name)
        assert other.evaluate(x, verbose=0) == vae.evaluate(x, verbose=0)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_variable_that_weighs_a_part(is_first, x, tmp_path):
    """The warm-up of a variational autoencoder: the part follows what the variable is assigned."""

    class Weighing(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.share = layers.Dense(6), keras.Variable(2.0, trainable=False)

        def call(self, inputs):
            y = self.dense(inputs)
            part = keras.ops.mean(keras.ops.square(y))
            self.add_loss(self.share * part + keras.ops.mean(y) if is_first else keras.ops.mean(y) + part * self.share)
            return y

    model = Weighing()
    model.compile("sgd", "mse")
    y = model.predict(x, verbose=0)
    for share in (2.0, 0.0, 0.5):
        model.share.assign(share)
        total = np.mean((y - x) ** 2) + share * np.mean(y**2) + np.mean(y)
        assert model.evaluate(x, x, verbose=0) == pytest.approx(total, rel=1e-4)
    with pytest.warns(UserWarning, match="are code, which no file holds"):
        model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(mc.load_model(tmp_path / "model.keras").predict(x, verbose=0), y)
    model.save_weights(tmp_path / "model.weights.h5")


def test_what_is_refused(x):
    vae, _ = functional()
    with pytest.raises(TypeError, match=r"add_loss takes what is computed of the model's tensors.*Received: 1.0"):
        vae.add_loss(1.0)
    with pytest.raises(NotBuiltError):
        Subclass().add_loss(1.0)
    with pytest.raises(RuntimeError, match="add_loss of layer 'mine' belongs into its call"):
        Sampling(name="mine").add_loss(1.0)
    mean = K.mean(mc.Input((3,)))
    for wrong in (lambda: mean**2, lambda: mean * mean, lambda: mean + K.sum(mc.Input((3,))), lambda: 1 / mean):
        with pytest.raises(ValueError, match=r"depend on the input 'input_layer.*not among the model's inputs"):
            vae.add_loss(wrong())
    with pytest.raises(TypeError, match="computed over the samples"):
        layers.Dense(2)(K.mean(mc.Input((3,)), axis=0, keepdims=True))
    with pytest.raises(ValueError, match="there is no loss to compute"):
        model = mc.Sequential([mc.Input((6,)), mc.layers.Dense(2)])
        model.compile("sgd")
        model.fit(x, verbose=0)


@pytest.mark.parametrize(
    ("base", "method"),
    [(mc.Model, "train_step"), (mc.Model, "compute_loss"), (keras.Model, "make_train_function")],
)
def test_iterations_of_ones_own_say_what_to_do_instead(base, method):
    with pytest.raises(NotImplementedError, match=rf"{method} of a model .*GradientTape.*add_loss.*class Vae"):
        type("Vae", (base,), {method: lambda self, data: None})


@pytest.mark.parametrize(
    "name", ["square", "sqrt", "abs", "log", "sin", "cos", "sign", "reciprocal", "negative", "floor"]
)
def test_functions_of_tensors(name, rng):
    """As NumPy computes them."""
    inputs = mc.Input((4,))
    x = rng.uniform(0.5, 2, (5, 4)).astype(np.float32)
    model = mc.Model(inputs, getattr(keras.ops, name)(inputs))
    np.testing.assert_allclose(model.predict(x), getattr(np, name)(x), rtol=1e-6)


def of_tensors(reduce=lambda each: each):
    """A model whose loss, and one metric, use its tensors beside (y_true, y_pred), as in Keras 1's examples."""
    inputs, mean, log_variance = encoder()
    vae = keras.Model(inputs, decoder(mean))

    def loss(y_true, y_pred):
        return reduce(6 * keras.losses.binary_crossentropy(y_true, y_pred) + divergence(mean, log_variance))

    def spread(y_true, y_pred):
        return divergence(mean, log_variance)

    return vae, keras.Model(inputs, [mean, log_variance]), loss, spread


@pytest.mark.parametrize("reduce", [lambda each: each, K.mean, lambda each: each - 1 + K.mean(1 + 0 * each)])
def test_metrics_beside_a_loss_that_uses_tensors(reduce, x):
    """By name, of the model's tensors, and plain functions, in the order in which they were given."""
    vae, moments, loss, spread = of_tensors(reduce)

    def worst(y_true, y_pred):
        return K.max(K.abs(y_true - y_pred), axis=-1)

    vae.compile("sgd", loss, metrics=["accuracy", spread, worst, "mae"])
    history = vae.fit(x, x, batch_size=8, epochs=2, verbose=0, validation_data=(x[:8], x[:8])).history
    names = ["loss", "accuracy", "spread", "worst", "mae"]
    assert set(history) == {*names, *(f"val_{name}" for name in names)}
    assert history["loss"][1] < history["loss"][0]
    p, (mean, log_variance) = vae.predict(x, verbose=0).astype(float), moments.predict(x, verbose=0)
    expected = [
        expected_loss(x, mean, log_variance, p),
        np.mean(x.argmax(axis=1) == p.argmax(axis=1)),
        np.mean(-0.5 * (1 + log_variance - mean**2 - np.exp(log_variance)).sum(axis=1)),
        np.abs(x - p).max(axis=1).mean(),
        np.abs(x - p).mean(),
    ]
    np.testing.assert_allclose(vae.evaluate(x, x, verbose=0), expected, rtol=1e-4)
    np.testing.assert_allclose(vae.train_on_batch(x, x), expected, rtol=1e-4)
    batches = mc.data.Dataset.from_tensor_slices((x, x)).batch(8)
    np.testing.assert_allclose(
        vae.evaluate(batches, verbose=0, return_dict=True)["loss"],
        vae.evaluate(x, x, verbose=0)[0],
        rtol=1e-4,
    )
    assert set(vae.fit(batches, verbose=0).history) == set(names)


def test_what_a_loss_that_uses_tensors_does_not_go_with(x):
    vae, _, loss, spread = of_tensors()
    with pytest.raises(ValueError, match=r"write model\.add_metric\(value, name='…'\) before compile.*spread"):
        vae.compile("sgd", "mse", metrics=["mae", spread])
    with pytest.raises(ValueError, match=r"metrics stand in one list.*Received: metrics="):
        vae.compile("sgd", loss, metrics=[["mae"]])
    vae.compile("sgd", lambda y_true, y_pred: K.mean(loss(y_true, y_pred)))
    for option in ({"sample_weight": np.ones(len(x))}, {"validation_data": (x, x, np.ones(len(x)))}):
        with pytest.raises(ValueError, match=r"takes weights of samples if it gives a number for each.*Received: w"):
            vae.fit(x, x, verbose=0, **option)
    vae.compile("sgd", loss)
    batches = mc.data.Dataset.from_tensor_slices((x, x)).batch(8)
    with pytest.raises(ValueError, match=r"gives the weights of samples, too: \(x, y, sample_weight\)"):
        vae.fit(batches, class_weight={0: 2.0}, verbose=0)


def test_samples_have_weights_in_a_loss_that_uses_tensors(x, rng):
    """A loss for each sample, times its weight, over the number of samples; classes likewise; pixels are averaged."""
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(3)(inputs)
    weights, classes = rng.uniform(0, 2, len(x)), rng.integers(0, 2, len(x))

    def of_samples(y_true, y_pred):
        return K.mean(K.square(y_true - y_pred), axis=-1) + K.sum(K.square(hidden), axis=-1)

    def of_rows(y_true, y_pred):
        return K.square(y_true - y_pred) + K.sum(K.square(hidden), axis=-1, keepdims=True)

    for loss in of_samples, of_rows:
        model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
        model.compile(keras.optimizers.SGD(0.01), loss, metrics=["mae"])
        y = np.eye(2)[classes]
        h = keras.Model(inputs, hidden).predict(x, verbose=0).astype(float)
        p = model.predict(x, verbose=0).astype(float)
        each = ((y - p) ** 2).mean(axis=1) + (h**2).sum(axis=1)  # (N,)
        batches = mc.data.Dataset.from_tensor_slices((x, y, weights)).batch(8)
        for found, factor in (
            (model.evaluate(x, y, verbose=0), 1),
            (model.evaluate(x, y, verbose=0, sample_weight=weights), weights),
            (model.evaluate(batches, verbose=0), weights),
            (model.test_on_batch(x, y, sample_weight=weights[:, None]), weights),
            (model.train_on_batch(x, y, weights, {1: 3.0}), weights * np.where(classes == 1, 3, 1)),
        ):
            np.testing.assert_allclose(found, [(each * factor).mean(), np.abs(y - p).mean()], rtol=1e-4)
        p_after = model.predict(x, verbose=0).astype(float)
        by_bias = (2 * (p - y) / 2 * (weights * np.where(classes == 1, 3, 1))[:, None]).mean(axis=0)
        np.testing.assert_allclose(model.layers[-1].bias.numpy(), -0.01 * by_bias, rtol=1e-3, atol=1e-6)
        history = model.fit(x, y, sample_weight=weights, validation_data=(x, y, weights), verbose=0).history
        assert set(history) == {"loss", "mae", "val_loss", "val_mae"} and not np.allclose(p, p_after)


mean = keras.Input((3,))  # what a name of an attribute is not


def test_an_attribute_is_no_tensor_of_its_name(x):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(6)])

    def error(y_true, y_pred):
        return K.mean(K.abs(y_true - y_pred), axis=-1)

    model.compile("sgd", error, metrics=[error])
    found = model.evaluate(x, x, verbose=0)
    np.testing.assert_allclose(found, np.abs(x - model.predict(x, verbose=0)).mean(), rtol=1e-5)


def test_compile_loses_no_argument_by_position(x):
    vae, _, loss, _ = of_tensors()
    with pytest.raises(TypeError, match="metrics"):
        vae.compile("sgd", "mse", ["mae"], metrics=["mse"])
    for what in ("mse", loss):
        with pytest.raises((TypeError, ValueError), match="nowhere"):
            vae.compile("sgd", what, ["mae"], None, None, "nowhere")


# ---------------------------------------------------------------------------------- arrays, and numbers of Keras 3.15.1


OURS = np.random.default_rng(0)
X, Y = OURS.normal(size=(12, 5)).astype("float32"), OURS.normal(size=(12, 2)).astype("float32")
KERNEL = OURS.normal(size=(5, 2)).astype("float32") * 0.5
FORMS = {
    "mean of samples": lambda z: keras.ops.mean(z, 0),
    "sum of samples": lambda z: keras.ops.sum(z, axis=0),
    "of each sample": lambda z: keras.ops.mean(keras.ops.square(z), axis=1),
    "root": lambda z: keras.ops.sqrt(keras.ops.mean(keras.ops.square(z))),
    "logarithm": lambda z: keras.ops.log(keras.ops.mean(keras.ops.square(z))),
}


class AddsInItsCall(layers.Layer):
    def __init__(self, form):
        super().__init__()
        self.form = form

    def call(self, x):
        self.add_loss(self.form(x))
        return x


class ModelThatAdds(keras.Model):
    def __init__(self, form):
        super().__init__()
        self.form, self.dense = form, layers.Dense(2)

    def call(self, x):
        z = self.dense(x)
        self.add_loss(self.form(z))
        return z


@pytest.mark.filterwarnings("ignore:call of model:UserWarning")
@pytest.mark.parametrize("kind", ["layer", "model"])
@pytest.mark.parametrize(
    ("form", "losses", "kernel"),
    [
        ("mean of samples", [2.5608, 1.9615], [-0.5666, 0.3173, 0.2176, 0.4319]),
        ("sum of samples", [7.4253, -25.0042], [-0.1703, 0.7135, -0.2043, 0.0099]),
        ("of each sample", [18.3014, 28.9315], [-0.1727, -0.1543, -0.1802, 1.1883]),
        ("root", [3.2799, 2.6625], [-0.5816, 0.2869, 0.2423, 0.3919]),
        ("logarithm", [2.4177, 1.4199], [-0.5590, 0.2912, 0.2271, 0.3155]),
    ],
)
def test_what_is_no_number_is_added_up(kind, form, losses, kernel):
    inputs = keras.Input((5,))
    model = ModelThatAdds(FORMS[form])
    if kind == "layer":
        model = keras.Model(inputs, AddsInItsCall(FORMS[form])(layers.Dense(2)(inputs)))
    model(X)
    model.set_weights([KERNEL, np.zeros(2)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(X, Y, batch_size=12, epochs=2, shuffle=False, verbose=0).history
    assert history["loss"] == pytest.approx(losses, abs=1e-4)
    assert model.get_weights()[0].ravel()[:4] == pytest.approx(kernel, abs=1e-4)


class Inner(layers.Layer):
    def __init__(self):
        super().__init__()
        self.seen = keras.metrics.Mean(name="inner")

    def call(self, z):
        self.seen.update_state(keras.ops.mean(z))
        self.add_loss(0.1 * keras.ops.mean(keras.ops.square(z)))
        return z


class Measuring(keras.Model):
    """On arrays, as the root of a mean over samples is no layer."""

    def __init__(self, kind):
        super().__init__()
        self.dense, self.kind = layers.Dense(2, kernel_initializer="ones"), kind
        if kind == "layer":
            self.inner = Inner()
        if kind == "attribute":
            self.seen = keras.metrics.Mean(name="inner")

    def call(self, x):
        z = self.dense(x)
        if self.kind == "attribute":
            self.seen.update_state(keras.ops.mean(z))
        z = self.inner(z) if self.kind == "layer" else z
        root = keras.ops.sqrt(keras.ops.mean(keras.ops.square(z)))
        self.add_loss(root)
        if self.kind == "add_metric":
            self.add_metric(root, name="inner")
        return z


@pytest.mark.filterwarnings("ignore:call of model:UserWarning")
@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("attribute", 12, {"loss": [9.335, 6.6734], "mae": [2.0587, 1.7358], "inner": [0.3865, 0.2515]}),
        ("attribute", 4, {"loss": [7.743, 3.3075], "mae": [1.853, 1.1775], "inner": [0.3552, 0.0552]}),
        ("layer", 12, {"loss": [9.9852, 6.8649], "inner": [0.3865, 0.2382], "val_loss": [6.8649, 4.9158]}),
        ("layer", 4, {"loss": [8.1178, 3.1908], "inner": [0.3508, 0.0296], "val_loss": [3.4851, 2.1065]}),
        ("add_metric", 12, {"loss": [9.335, 6.6734], "val_loss": [6.6734, 4.9292]}),
        ("add_metric", 4, {"loss": [7.743, 3.3075], "val_loss": [3.607, 2.1712]}),
    ],
)
def test_the_first_batch_and_the_validation_of_a_model_on_arrays(kind, size, expected):
    model = Measuring(kind)
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    data = {"validation_data": (X, Y), "batch_size": size, "epochs": 2, "shuffle": False, "verbose": 0}
    history = model.fit(X, Y, **data).history
    for name, values in expected.items():
        assert history[name] == pytest.approx(values, abs=1e-4), name
    if (kind, size) == ("add_metric", 12):
        assert history["inner"][0] == pytest.approx(np.sqrt(np.square(X.sum(axis=1, dtype=np.float64)).mean()))


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_a_model_that_was_compiled_without_a_loss_trains_on_from_its_file(suffix, tmp_path):
    inputs = keras.Input((5,))
    model = keras.Model(inputs, layers.Dense(2)(inputs))
    model.add_loss(K.mean(K.square(model.output)))
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(X, batch_size=12, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / f"m{suffix}")
    again = keras.models.load_model(tmp_path / f"m{suffix}")
    assert again.loss is None
    assert again.optimizer.iterations == 2
    losses = [m.fit(X, batch_size=12, epochs=2, shuffle=False, verbose=0).history["loss"] for m in (model, again)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_function_is_the_loss_of_a_model_from_a_file(suffix, tmp_path):
    def squared(y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    model = keras.Sequential([keras.Input((5,)), layers.Dense(2)])
    model.compile("sgd", squared)
    model.save(tmp_path / f"m{suffix}")
    again = keras.models.load_model(tmp_path / f"m{suffix}", custom_objects={"squared": squared})
    assert again.loss is squared
    assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


FEW, ONES = np.arange(24, dtype="float32").reshape(8, 3) / 10, np.ones((8, 1), "float32")
OF_THE_BATCH = {  # with a dense layer of ones, and its losses in two steps of "sgd", in tf_keras 2.21
    "root": (lambda y: K.sqrt(K.mean(y)), [12.1124, 9.6841]),
    "root of a sum": (lambda y: K.sqrt(K.sum(K.square(y))), [21.6234, 16.8791]),
    "exponential": (lambda y: K.exp(K.mean(y) * 0.1), [11.667, 9.3267]),
    "logarithm": (lambda y: K.log(K.mean(y)), [11.4934, 9.0481]),
    "square": (lambda y: K.square(K.mean(y)), [22.1575, 13.7201]),
    "power": (lambda y: K.mean(y) ** 2, [22.1575, 13.7201]),
    "inverse": (lambda y: 1 / K.mean(y), [10.5449, 8.352]),
    "quotient": (lambda y: K.mean(y) / K.sum(y), [10.38, 8.1305]),
    "product": (lambda y: K.mean(y) * K.sum(y), [105.475, 1.7575]),
    "relu": (lambda y: K.relu(K.mean(y)), [13.705, 10.7667]),
    "sigmoid": (lambda y: K.sigmoid(K.mean(y)), [11.2242, 8.9537]),
    "clipped": (lambda y: K.clip(K.mean(y), 0, 1), [11.255, 9.0055]),
    "distance": (lambda y: K.abs(K.mean(y) - 1), [12.705, 9.7667]),
    "at least 0": (lambda y: tf.maximum(0.0, K.mean(y)), [13.705, 10.7667]),
    "a choice": (lambda y: tf.where(K.mean(y) > 1.0, K.mean(y), 0.0), [13.705, 10.7667]),
    "deviation": (lambda y: K.std(y), [12.3172, 9.7261]),
    "largest": (lambda y: K.max(y), [16.855, 13.3163]),
    "smallest": (lambda y: K.min(y), [10.555, 8.1544]),
    "variance": (lambda y: K.var(y), [14.5075, 10.7308]),
    "several": (lambda y: 0.5 * K.sqrt(K.mean(y)) + K.sum(y) * 0.01, [11.4597, 9.069]),
}


@pytest.mark.parametrize("name", OF_THE_BATCH)
def test_losses_computed_of_means_of_the_batch(name):
    function, expected = OF_THE_BATCH[name]
    inputs = keras.Input((3,))
    outputs = layers.Dense(1, kernel_initializer="ones")(inputs)
    model = keras.Model(inputs, outputs)
    model.add_loss(function(outputs))
    model.compile("sgd", "mse")
    history = model.fit(FEW, ONES, batch_size=8, epochs=2, verbose=0).history
    np.testing.assert_allclose(history["loss"], expected, atol=1e-4)


def test_gradients_in_a_loss_are_refused():
    inputs = keras.Input((3,))
    outputs = layers.Dense(1)(inputs)
    gradient = K.gradients(outputs, inputs)[0]
    with pytest.raises(ImportError, match="gradients of gradients is not there"):
        keras.Model(inputs, outputs).add_loss(K.sum(K.square(gradient)))


def test_what_decides_an_if_is_refused():
    inputs = keras.Input((3,))
    for number in (K.mean(inputs) > 0, K.max(inputs), K.mean(inputs) ** 2):
        with pytest.raises(TypeError, match="decides no if"):
            bool(number)


class Scaled(keras.layers.Layer):
    """Made of a layer, with a weight of its own; penalties on both are added in its call."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3, kernel_initializer=keras.initializers.Constant(0.3))

    def build(self, input_shape):
        self.rho = self.add_weight(name="rho", shape=(2,), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        y = self.dense(x)
        self.add_loss(0.1 * K.square(self.rho))  # of an array its sum
        self.add_loss(0.01 * keras.ops.sum(keras.ops.abs(self.dense.kernel)))
        return y * self.rho[0]


def test_a_call_made_of_layers_adds_penalties_on_weights() -> None:
    """The numbers of Keras 2.21 (tf_keras)."""
    x = np.random.RandomState(0).rand(12, 4).astype("float32")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(Scaled()(inputs)))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(x, x[:, :1], batch_size=5, epochs=2, shuffle=False, verbose=0, validation_data=(x, x[:, :1]))
    np.testing.assert_allclose(history.history["loss"], [1.74235, 0.33653], atol=2e-5)
    np.testing.assert_allclose(history.history["val_loss"], [0.40998, 0.20101], atol=2e-5)
    np.testing.assert_allclose(model.layers[1].rho.numpy(), [0.27966, 0.88584], atol=2e-5)
    np.testing.assert_allclose(model.layers[1].dense.kernel.numpy().ravel()[:4], [*[0.22145] * 3, 0.14259], atol=2e-5)
