"""Subclasses of the library's layers with a `build` or a `call` of their own, as scripts of Keras 1 and 2 have them."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import layers, models
from minicnn.keras import tensorflow as tf
from minicnn.keras._called import Called

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def rng():
    seed = np.random.SeedSequence().entropy
    print("seed", seed)
    return np.random.default_rng(seed)


class Plain(layers.Dense):
    """A `build` that returns nothing, a `call` that uses weights, the phase and the activation."""

    def __init__(self, units, rate=0.0, **kwargs):
        self.rate = rate
        super().__init__(units, **kwargs)

    def build(self, input_shape):
        shape = (input_shape[-1], self.units)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="ones")
        self.built = True

    def call(self, x):
        x = K.in_train_phase(K.dropout(x, self.rate), x)
        return self.activation(K.bias_add(K.dot(x, self.kernel), self.bias))


class Noisy(layers.Conv2D):
    """Something in training alone."""

    def call(self, inputs, training=None):
        y = super().call(inputs)
        if training:
            y = 3 * y
        return y


class Doubled(layers.BatchNormalization):
    """The layer's `build` and formula."""

    def build(self, input_shape):
        super().build(input_shape)

    def call(self, inputs, training=None):
        return 2 * super().call(inputs, training=training) + K.sum(self.gamma)


class Standardized(layers.SeparableConv2D):
    """A weight is replaced while `super().call` runs."""

    def call(self, inputs):
        self.pointwise_kernel = K.square(self.pointwise_kernel)
        return super().call(inputs)


class DropConnect(layers.Dense):
    """Weights that lose numbers in training; no arguments of its own by name."""

    def __init__(self, *args, **kwargs):
        self.prob = kwargs.pop("prob", 0.5)
        super().__init__(*args, **kwargs)

    def call(self, x, mask=None):
        self.kernel = K.in_train_phase(K.dropout(self.kernel, self.prob), self.kernel)
        return self.activation(K.dot(x, self.kernel) + self.b)

    def get_config(self):
        return {**layers.Dense.get_config(self), "prob": self.prob}


class Partial(layers.Conv2D):
    """Two inputs, two outputs (Liu et al.: "Image inpainting for irregular holes using partial convolutions", 2018)."""

    def build(self, input_shape):
        shape = (*self.kernel_size, input_shape[0][-1], self.filters)
        self.kernel = self.add_weight(name="img_kernel", shape=shape, initializer=self.kernel_initializer)
        self.window = np.ones(shape, np.float32)

    def call(self, inputs, mask=None):
        image, mask = inputs
        covered = K.conv2d(mask, self.window, strides=self.strides, padding=self.padding)
        y = K.conv2d(image * mask, self.kernel, strides=self.strides, padding=self.padding)
        return [self.activation(y / (covered + 1e-8)), K.clip(covered, 0, 1)]


# ----------------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Plain(3, activation="tanh"), (5,)),
        (Noisy(2, 3, strides=2, padding="same", activation="sigmoid"), (5, 4, 3)),
        (Noisy(2, 3, data_format="channels_first"), (3, 5, 4)),
        (Doubled(), (4, 3)),
        (Standardized(2, 3, activation="softplus"), (5, 4, 3)),
        (DropConnect(3, prob=0.0, activation="tanh"), (4,)),
        (Partial(2, 3, activation="tanh"), [(5, 4, 1), (5, 4, 1)]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else "",
)
def test_gradients_are_those_of_finite_differences(layer, shape):
    mc.gradcheck(layer, input_shape=shape)
    assert isinstance(layer.lower()[0], Called)


def test_a_step_of_training_by_a_formula(rng):
    x, y = rng.normal(size=(8, 5)).astype(np.float32), rng.normal(size=(8, 3)).astype(np.float32)
    model = models.Sequential([Plain(3, input_shape=(5,), activation="tanh")])
    kernel, bias = model.get_weights()
    assert np.array_equal(bias, np.ones(3))
    model.compile("sgd", "mse")
    model.fit(x, y, batch_size=8, verbose=0)
    given = np.tanh(x @ kernel + bias)  # (8, 3)
    by_sum = 2 * (given - y) / y.size * (1 - given**2)
    assert np.allclose(model.get_weights()[0], kernel - 0.01 * x.T @ by_sum, atol=1e-6)
    assert np.allclose(model.get_weights()[1], bias - 0.01 * by_sum.sum(0), atol=1e-6)


# ------------------------------------------------------------------------------------------------------------- phases


def test_dropout_is_for_training_alone():
    model = models.Sequential([Plain(1, rate=0.5, input_shape=(1000,), kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = np.ones((4, 1000), np.float32)
    assert np.array_equal(model.predict(x), np.full((4, 1), 1001.0))
    losses = [model.train_on_batch(x, np.full((4, 1), 1001.0)) for _ in range(2)]
    assert 0 < losses[0] != losses[1] > 0  # other numbers each time


def test_what_training_alone_does_is_not_lost(rng):
    x = rng.normal(size=(4, 5, 5, 1)).astype(np.float32)
    model = models.Sequential([Noisy(2, 3, input_shape=(5, 5, 1))])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    y = model.predict(x)
    assert np.isclose(model.train_on_batch(x, np.zeros_like(y)), np.mean((3 * y) ** 2), rtol=1e-4)
    assert np.allclose(model(x, training=True), 3 * y, atol=1e-5)
    assert np.allclose(model.layers[0](x), y, atol=1e-5)


def test_state_is_kept(rng):
    x = rng.normal(2, 3, size=(16, 4)).astype(np.float32)
    model = models.Sequential([Doubled(momentum=0.5, input_shape=(4,))])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(x, x, batch_size=16, epochs=1, verbose=0)
    _, _, mean, variance = model.get_weights()
    assert np.allclose(mean, 0.5 * x.mean(0), atol=1e-5)
    assert np.allclose(variance, 0.5 + 0.5 * x.var(0), atol=1e-4)
    assert np.allclose(model.predict(x), 2 * (x - mean) / np.sqrt(variance + 1e-3) + 4, atol=1e-4)


# -------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_with_custom_objects(suffix, tmp_path, rng):
    x = rng.normal(size=(4, 6)).astype(np.float32)
    parts = [Plain(5, rate=0.25, activation="relu", input_shape=(6,)), Doubled(), DropConnect(2, prob=0.125)]
    model = models.Sequential(parts)
    model.compile("sgd", "mse")
    model.fit(x, np.ones((4, 2)), epochs=2, verbose=0)
    model.save(tmp_path / f"model{suffix}")
    objects = {cls.__name__: cls for cls in (Plain, Doubled, DropConnect)}
    copy = models.load_model(tmp_path / f"model{suffix}", custom_objects=objects)
    assert [type(layer) for layer in copy.layers] == [Plain, Doubled, DropConnect]
    assert (copy.layers[0].rate, copy.layers[2].prob, copy.layers[2].units) == (0.25, 0.125, 2)
    assert np.array_equal(copy.predict(x), model.predict(x))
    assert set(layers.Dense(2).get_config()) <= {"input_shape", *copy.layers[2].get_config()}


# -------------------------------------------------------------------------------------------------------------- forms


def test_two_inputs_and_two_outputs(rng):
    image, hole = layers.Input((5, 5, 1)), layers.Input((5, 5, 1))
    y, rest = Partial(2, 3)([image, hole])
    model = models.Model([image, hole], [y, rest])
    x = rng.normal(size=(2, 5, 5, 1)).astype(np.float32)
    mask = np.ones_like(x)
    mask[:, :, :3] = 0
    first, second = model.predict([x, mask])
    (kernel,) = model.get_weights()
    windows = np.lib.stride_tricks.sliding_window_view((x * mask)[..., 0], (3, 3), (1, 2))  # (2, 3, 3, 3, 3)
    counts = np.array([0, 3, 6])  # pixels of a window that are there
    expected = np.einsum("nijab,abf->nijf", windows, kernel[:, :, 0]) / (counts + 1e-8)[:, None]
    assert np.allclose(first[:, :, 1:], expected[:, :, 1:], atol=1e-5)
    assert np.array_equal(second, np.broadcast_to(np.minimum(counts, 1)[:, None], (2, 3, 3, 2)))


def test_old_arguments_of_the_constructor():
    class Old(layers.Convolution2D):
        def __init__(self, nb_filter, **kwargs):
            super().__init__(nb_filter, 3, 3, border_mode="same", subsample=(2, 2), **kwargs)

        def call(self, x):
            return K.relu(super().call(x))

    assert Old(2)(layers.Input((6, 6, 1))).shape == (None, 3, 3, 2)


def test_what_can_be_a_graph_is_one():
    class Frozen(layers.BatchNormalization):
        def call(self, inputs, training=None):
            return super().call(inputs, training=False)

    model = models.Sequential([Frozen(input_shape=(4,))])
    assert not any(isinstance(step, Called) for layer in model.layers for step in layer.lower())


def test_a_build_alone(rng):
    class Built(layers.Dense):
        def build(self, input_shape):
            self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 2), initializer="ones")

    x = rng.normal(size=(3, 4)).astype(np.float32)
    layer = Built(2)
    assert np.allclose(layer(x), np.repeat(x.sum(1, keepdims=True), 2, 1), atol=1e-5)
    assert [w.name for w in layer.weights] == ["kernel", "bias"]


@pytest.mark.parametrize(("base", "arguments"), [(layers.Layer, ()), (layers.Dense, (2,))])
def test_a_build_may_name_its_argument_as_the_librarys_own_do(base, arguments, rng):
    class Product(base):
        def build(self, input_shapes):
            self.w = self.add_weight(name="w", shape=(input_shapes[-1], 2))

        def call(self, x):
            return K.dot(x, self.w)

    model = models.Sequential([layers.Input((3,)), Product(*arguments)])
    x = rng.normal(size=(4, 3)).astype("float32")
    np.testing.assert_allclose(model.predict(x, verbose=0), x @ model.get_weights()[0], rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------- at edges


class Scaled(layers.Conv2D):
    """A weight beside those of the formula."""

    def build(self, input_shape):
        super().build(input_shape)
        self.scale = self.add_weight("scale", (), initializer="ones")

    def call(self, inputs):
        return self.scale * super().call(inputs)


class He(layers.Conv2D):
    """A weight that becomes float64."""

    def call(self, inputs):
        self.kernel = self.kernel * np.sqrt(2 / 7)
        return super().call(inputs)


class Normalized(layers.Conv2D):
    """A layer within, told the phase."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.bn = layers.BatchNormalization()

    def call(self, inputs, training=None):
        return self.bn(super().call(inputs), training=training)


def test_gradients_of_weights_beside_the_formulas():
    mc.gradcheck(Scaled(2, 3), input_shape=(5, 4, 3))


def test_a_weight_that_is_computed_in_float64(rng):
    x = rng.normal(size=(4, 6, 6, 3)).astype(np.float32)
    model = models.Sequential([He(2, 3, input_shape=(6, 6, 3))])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))  # (4, 4, 4, 3, 3, 3)
    expected = np.einsum("nijcab,abcf->nijf", windows, model.get_weights()[0]) * np.sqrt(2 / 7)
    assert np.allclose(model.predict(x, verbose=0), expected, atol=1e-5)
    assert np.isclose(model.train_on_batch(x, np.zeros((4, 4, 4, 2))), np.mean(expected**2), rtol=1e-4)
    assert np.allclose(model.layers[0](x), expected, atol=1e-5)


def test_weights_are_there_after_a_call_on_arrays(rng):
    class Doubling(layers.BatchNormalization):
        def call(self, inputs, training=None):
            return 2 * super().call(inputs, training=training)

    x = rng.normal(size=(4, 3)).astype(np.float32)
    model = models.Sequential([Doubling(input_shape=(3,))])
    (layer,) = model.layers
    assert np.allclose(layer(x), 2 * x / np.sqrt(1.001), atol=1e-5)
    layer.gamma.assign(3 * np.ones(3))
    assert np.allclose(layer(x), 6 * x / np.sqrt(1.001), atol=1e-5)


def test_the_phase_passed_on_to_layers_within(rng):
    x = rng.normal(2, 3, size=(8, 5, 5, 1)).astype(np.float32)
    model = models.Sequential([Normalized(2, 3, input_shape=(5, 5, 1))])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    assert model.predict(x, verbose=0).shape == (8, 3, 3, 2)
    model.fit(x, np.zeros((8, 3, 3, 2)), verbose=0)
    assert np.all(model.layers[0].bn.moving_mean.numpy() != 0)


def test_the_phase_of_a_written_model_is_passed_on(rng):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = Normalized(2, 3)

        def call(self, inputs, training=None):
            return self.first(inputs, training=training)

    model = Net()
    assert model.predict(rng.normal(size=(2, 5, 5, 1)), verbose=0).shape == (2, 3, 3, 2)
    assert not model.runs_at_once


def test_layers_within_in_a_first_call_on_arrays(rng):
    x = rng.normal(size=(2, 5, 5, 1)).astype(np.float32)
    layer = Normalized(2, 3)
    y = layer(x)
    windows = np.lib.stride_tricks.sliding_window_view(x[..., 0], (3, 3), (1, 2))  # (2, 3, 3, 3, 3)
    expected = np.einsum("nijab,abf->nijf", windows, layer.kernel.numpy()[:, :, 0]) / np.sqrt(1.001)
    assert np.allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("base", [layers.Conv2D, layers.Dense, layers.BatchNormalization])
@pytest.mark.parametrize("calls", [True, False])
def test_open_sizes(base, calls, rng):
    class Own(base):
        def build(self, input_shape):
            super().build(input_shape)

        if calls:

            def call(self, inputs):
                return K.relu(super().call(inputs))

    arguments = {"Conv2D": (2, 3), "Dense": (2,)}.get(base.__name__, ())
    x = layers.Input((None, None, 3))
    model = models.Model(x, Own(*arguments)(x))
    first, second = (model.predict(rng.normal(size=(2, n, n, 3)), verbose=0).shape for n in (6, 7))
    assert second[1] == first[1] + 1


def test_a_build_alone_may_name_its_argument_as_the_librarys_own_do(rng):
    class Built(layers.Dense):
        def build(self, input_shapes):
            super().build(input_shapes)
            self.kernel.assign(np.ones((3, 2)))

    x = rng.normal(size=(3, 3)).astype(np.float32)
    assert np.allclose(Built(2)(x), np.repeat(x.sum(1, keepdims=True), 2, 1), atol=1e-5)


def test_the_phase_outside_of_tapes():
    class Dropped(layers.Dense):
        def call(self, x):
            return K.in_train_phase(0 * super().call(x), super().call(x))

    class Asked(layers.Dense):
        def call(self, x):
            return 0 * super().call(x) if K.learning_phase() else super().call(x)

    x = np.ones((2, 3), np.float32)
    for layer in (Dropped(2, bias_initializer="ones"), Asked(2, bias_initializer="ones")):
        assert np.all(layer(x) != 0)
        assert np.all(layer(x, training=True) == 0)
        model = models.Sequential([layers.Input((3,)), type(layer)(2, bias_initializer="ones")])
        model.compile(keras.optimizers.SGD(0.0), "mse")
        assert model.train_on_batch(x, np.zeros((2, 2))) == 0 < model.test_on_batch(x, np.zeros((2, 2)))


def test_mixins():
    class Counting:
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.counted = 0

    class Doubling:
        def call(self, inputs):
            return 2 * super().call(inputs)

    class Both(Counting, layers.Dense):
        def call(self, inputs):
            return 3 * super().call(inputs)

    class Inherited(Doubling, layers.Dense):
        pass

    x = np.ones((1, 2), np.float32)
    assert Both(2).counted == 0
    assert np.allclose(Both(2, kernel_initializer="ones")(x), 6)
    assert np.allclose(Inherited(2, kernel_initializer="ones")(x), 4)
    assert np.allclose(type("Made", (layers.Dense,), {})(2, kernel_initializer="ones")(x), 2)


def test_arguments_of_a_class_between():
    class Dilated(layers.Conv2D):
        def __init__(self, filters, size, dilation):
            super().__init__(filters, size, dilation_rate=dilation)

    class Own(Dilated):
        def __init__(self):
            super().__init__(8, 3, 2)

        def call(self, inputs):
            return 2 * super().call(inputs)

    assert (Own().kernel_size, Own().dilation_rate) == ((3, 3), (2, 2))


@pytest.mark.parametrize("calls", [True, False])
def test_weights_of_names_of_ones_own(calls, rng):
    class Named(layers.Dense):
        def build(self, input_shape):
            self.kernel = self.add_weight(name=self.name + "_W", shape=(input_shape[-1], 2), initializer="ones")

        if calls:

            def call(self, inputs):
                return 2 * super().call(inputs)

    x = rng.normal(size=(3, 4)).astype(np.float32)
    model = models.Sequential([Named(2, input_shape=(4,))])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    factor = 1 + calls
    expected = factor * np.repeat(x.sum(1, keepdims=True), 2, 1)
    assert np.allclose(model.predict(x, verbose=0), expected, atol=1e-5)
    assert [w.shape for w in model.get_weights()] == [(4, 2), (2,)]
    model.train_on_batch(x, np.zeros((3, 2)))
    by_kernel = factor * x.T @ (2 * expected / 6)  # (4, 2)
    assert np.allclose(model.get_weights()[0], 1 - 0.5 * by_kernel, atol=1e-4)
    assert np.allclose(Named(2)(x), expected, atol=1e-5)


def test_state_that_the_formula_has_changed(rng):
    class Counted(layers.BatchNormalization):
        def call(self, inputs, training=None):
            y = super().call(inputs, training=training)
            self.moving_mean.assign_add(np.ones(2))
            return y

    x = rng.normal(2, 3, size=(8, 2)).astype(np.float32)
    model = models.Sequential([Counted(momentum=0.5, input_shape=(2,))])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    before = model.get_weights()[2]
    model.train_on_batch(x, x)
    assert np.allclose(model.get_weights()[2], 0.5 * before + 0.5 * x.mean(0) + 1, atol=1e-5)


def test_an_activation_that_is_the_classs_stays_so(rng):
    class Own(layers.BatchNormalization):
        def call(self, inputs):
            return super().call(inputs) + 0 * K.sum(self.gamma)

    layer = Own()
    layer(rng.normal(size=(4, 2)))
    assert not hasattr(layer, "activation")  # as in Keras


def test_a_tuple_of_inputs_and_an_option(rng):
    class Summed(layers.Add):
        def build(self, input_shape):
            self.shapes = [tuple(s) for s in input_shape]
            super().build(input_shape)

        def call(self, inputs, flag=0):
            return super().call(inputs) + flag

    x = rng.normal(size=(4, 2)).astype(np.float32)
    layer = Summed()
    assert np.allclose(layer((x, x), flag=1), 2 * x + 1)
    assert layer.shapes == [(None, 2), (None, 2)]


# ------------------------------------------------------------------------------------------ weights of other layers


class TiedByItsBuild(layers.Dense):
    def __init__(self, tied_to, **options):
        self.tied_to = tied_to
        super().__init__(units=tied_to.input_shape[-1], **options)

    def build(self, input_shape):
        self.kernel = K.transpose(self.tied_to.kernel)
        self.bias = self.add_weight((self.units,), initializer=self.bias_initializer, name="bias")
        self.built = True


class TiedByItsCall(layers.Dense):
    def __init__(self, tied_to, **options):
        super().__init__(units=tied_to.input_shape[-1], **options)
        self.tied_to = tied_to

    def build(self, input_shape):
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs):
        return self.activation(K.bias_add(K.dot(inputs, K.transpose(self.tied_to.kernel)), self.bias))


class DenseTranspose(layers.Layer):
    def __init__(self, dense, activation=None, **options):
        self.dense = dense
        self.activation = keras.activations.get(activation)
        super().__init__(**options)

    def build(self, input_shape):
        self.biases = self.add_weight(name="bias", shape=[self.dense.input_shape[-1]], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs):
        return self.activation(tf.matmul(inputs, self.dense.weights[0], transpose_b=True) + self.biases)


def in_a_lambda(dense, activation):
    return layers.Lambda(lambda t: K.sigmoid(K.dot(t, K.transpose(dense.kernel))))


def by_operations(dense, activation):
    return lambda code: tf.sigmoid(tf.matmul(code, dense.weights[0], transpose_b=True))


@pytest.mark.parametrize("tied", [TiedByItsBuild, TiedByItsCall, DenseTranspose, in_a_lambda, by_operations])
def test_an_autoencoder_with_tied_weights(tied, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.random((16, 6), np.float32)
    dense, inputs = layers.Dense(3), layers.Input((6,))
    code = dense(inputs)
    model = models.Model(inputs, tied(dense, activation="sigmoid")(code))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    assert model.count_params() == 6 * 3 + 3 + (6 if isinstance(tied, type) else 0)

    def outcome(kernel):
        return 1 / (1 + np.exp(-(x.astype("float64") @ kernel @ kernel.T)))

    kernel = dense.get_weights()[0].astype("float64")
    np.testing.assert_allclose(model.predict(x, verbose=0), outcome(kernel), atol=1e-6)
    slopes = np.zeros_like(kernel)  # by both places of the kernel
    for index in np.ndindex(*kernel.shape):
        step = np.zeros_like(kernel)
        step[index] = 1e-5
        ahead, behind = (np.mean((outcome(kernel + sign * step) - x) ** 2) for sign in (1, -1))
        slopes[index] = (ahead - behind) / 2e-5
    model.train_on_batch(x, x)
    np.testing.assert_allclose((kernel - dense.get_weights()[0]) / 0.5, slopes, atol=2e-6)
    model.save_weights(tmp_path / "tied.h5")
    expected = model.predict(x, verbose=0)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    model.load_weights(tmp_path / "tied.h5")
    assert np.array_equal(model.predict(x, verbose=0), expected)


def test_weights_of_two_layers_of_one_name_are_refused_before_they_meet_a_tensor():
    first, second = layers.Dense(2), layers.Dense(2)

    class Both(layers.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second = first, second

        def call(self, inputs):
            return K.dot(inputs, self.first.kernel + self.second.kernel)

    image = layers.Input((3,))
    first(image)
    second(image)
    with pytest.raises(TypeError, match="two names: add each of them to the tensor"):
        Both()(image)
