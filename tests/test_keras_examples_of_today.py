"""What examples of today's Keras do beyond the usual; the numbers are those of Keras 3.15 on TensorFlow 2.21."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf


def wave(*shape):
    """Numbers that are no pattern, the same in Keras."""
    return np.sin(np.arange(np.prod(shape)) * 0.7).reshape(shape).astype("float32")


def small_network():
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    net.set_weights([wave(*w.shape) for w in net.weights])
    return net


class OwnCompile(keras.Model):
    """Its `compile` gives `super().compile()` nothing, and assigns the optimizer."""

    def __init__(self):
        super().__init__()
        self.net = small_network()
        self.seen = keras.metrics.Mean(name="seen")

    def compile(self, optimizer):
        super().compile()
        self.optimizer = optimizer

    @property
    def metrics(self):
        return [self.seen]

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self.net(x) - y))
        weights = self.net.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.seen.update_state(loss)
        return {"seen": self.seen.result()}


def test_an_assigned_optimizer_keeps_its_state_from_epoch_to_epoch():
    model = OwnCompile()
    model.compile(keras.optimizers.Adam(0.1))
    logs = model.fit(wave(8, 4), wave(8, 2)[::-1], batch_size=4, epochs=4, shuffle=False, verbose=0).history
    np.testing.assert_allclose(logs["seen"], [1.0902857, 0.5223826, 0.5884647, 0.549796], rtol=1e-5)


CUMULATIVE = {  # gradients of the sum of squares; and of the sum of their squares
    "cumsum": (
        lambda v: ops.cumsum(v, axis=1),
        [[29.5335, 27.5335, 22.2451, 12.9858], [15.124, 12.454, 8.4856, 4.2604]],
        [[1032.842, 914.708, 686.44, 369.192], [476.359, 415.863, 305.55, 161.296]],
    ),
    "cumprod": (
        lambda v: ops.cumprod(v, axis=1),
        [[102.7138, 61.2533, 48.0027, 39.7126], [3.8139, 2.3522, 0.193, 0.0004]],
        [[51633.531, 39172.512, 32373.727, 27767.336], [38.482, 44.155, 5.583, 0.014]],
    ),
    "exclusive": (
        lambda v: tf.math.cumprod(v, axis=1, exclusive=True),
        [[28.721, 16.2515, 10.7351, 0], [3.8139, 2.3522, 0.1929, 0]],
        [[3167.205, 2468.654, 1773.808, 0], [38.481, 44.154, 5.581, 0]],
    ),
    "reverse": (
        lambda v: tf.cumsum(v, axis=0, reverse=True),
        [[4.67, 4.5869, 4.2277, 3.7615], [7.34, 5.8853, 4.4846, 3.7966]],
        [[48.04, 41.889, 34.849, 30.232], [77.4, 65.43, 52.788, 45.419]],
    ),
}


@pytest.mark.parametrize("name", CUMULATIVE)
def test_gradients_of_sums_and_products_up_to_each_number(name):
    function, first, second = CUMULATIVE[name]
    v = tf.constant(wave(2, 4) + 1)
    with tf.GradientTape() as outer:
        outer.watch(v)
        with tf.GradientTape() as tape:
            tape.watch(v)
            value = tf.reduce_sum(function(v) ** 2)
        gradient = tape.gradient(value, v)
        squares = tf.reduce_sum(gradient**2)
    np.testing.assert_allclose(gradient, first, atol=1e-3)
    np.testing.assert_allclose(outer.gradient(squares, v), second, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("zeros", [1, 2])
def test_the_gradient_of_products_with_zeros_is_theirs(zeros):
    """TensorFlow divides by them, and gives NaN."""
    x, g = wave(6).astype("float64") + 2, wave(6)[::-1].astype("float64")
    x[[1, 4][:zeros]] = 0
    v = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(v)
        value = tf.reduce_sum(K.cumprod(v) * g)
    steps = np.eye(6) * 1e-6
    slopes = [(np.cumprod(x + d) @ g - np.cumprod(x - d) @ g) / 2e-6 for d in steps]
    np.testing.assert_allclose(tape.gradient(value, v), slopes, atol=1e-6)


def test_sizes_may_stand_behind_the_inputs():
    """Those of ``tf.shape`` are tensors in TensorFlow, which may."""

    class Image(layers.Layer):
        def __init__(self):
            super().__init__()
            self.scale = layers.Rescaling(2.0)

        def call(self, x, height=None, width=None):
            return self.scale(tf.reshape(x, (-1, height, width, 3)))

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.image = Image()

        def call(self, x):
            return self.image(layers.Reshape((-1, 3))(x), tf.shape(x)[1], tf.shape(x)[2])

    x = wave(2, 4, 5, 3)
    model = Net()
    np.testing.assert_allclose(model(x), 2 * x)
    assert not model.runs_at_once


def test_a_layer_of_layers_may_add_up_over_the_samples():
    class Share(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3, activation="softmax", kernel_initializer="ones")

        def call(self, x):
            given = self.dense(x)
            return given / K.sum(given, axis=0)

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.share = Share()

        def call(self, x):
            return self.share(x)

    model = Net()
    shares = model(wave(5, 4))
    assert not model.runs_at_once  # it is a model of tensors, with a layer that goes by the batch
    np.testing.assert_allclose(shares, np.full((5, 3), 0.2), rtol=1e-5)


def test_moments_of_a_models_tensor():
    i = keras.Input((4, 5, 3))
    model = keras.Model(i, ops.moments(i, axes=[1, 2], keepdims=True))
    x = wave(2, 4, 5, 3)
    mean, variance = model.predict(x, verbose=0)
    np.testing.assert_allclose(mean, x.mean((1, 2), keepdims=True), atol=1e-6)
    np.testing.assert_allclose(variance, x.var((1, 2), keepdims=True), atol=1e-6)


class HalfApply(keras.optimizers.SGD):
    def apply(self, grads, trainable_variables=None):
        return super().apply([g / 2 for g in grads], trainable_variables)


class HalfGradients(keras.optimizers.SGD):
    def apply_gradients(self, grads_and_vars, **options):
        return super().apply_gradients([(g / 2, v) for g, v in grads_and_vars], **options)


@pytest.mark.parametrize("cls", [HalfApply, HalfGradients])
@pytest.mark.parametrize("assigned", [False, True])
def test_fit_applies_gradients_as_the_optimizers_class_does(cls, assigned):
    """They were applied by the library's rule alone, in silence."""
    models = [small_network(), small_network()]
    optimizers = [cls(0.2, momentum=0.9), keras.optimizers.SGD(0.1, momentum=0.9)]
    for model, optimizer in zip(models, optimizers, strict=True):
        model.compile("sgd" if assigned else optimizer, "mse", metrics=["mae"])
        model.optimizer = optimizer
    logs = [m.fit(wave(8, 4), wave(8, 2)[::-1], 4, 3, shuffle=False, verbose=0).history for m in models]
    assert list(logs[0]) == list(logs[1])
    np.testing.assert_allclose(logs[0]["loss"], logs[1]["loss"], rtol=1e-5)
    for a, b in zip(*[m.get_weights() for m in models], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_what_a_test_step_gives_is_in_the_order_of_its_names():
    """Behind metrics, whose order is that of `metrics`; it was the order in which the step wrote them."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.net, self.seen = small_network(), keras.metrics.Mean(name="z")

        def test_step(self, data):
            self.seen.update_state(3.0)
            return {"b": 1.0, "a": 2.0, "z": self.seen.result()}

    model = Own()
    model.compile()
    assert model.evaluate(wave(4, 4), wave(4, 2), verbose=0) == [3.0, 2.0, 1.0]
    assert model.test_on_batch(wave(4, 4), wave(4, 2)) == [3.0, 2.0, 1.0]


def test_an_optimizer_of_another_model_keeps_its_state_as_well():
    """It was compiled into one model, and is assigned to another one, whose weights it moves."""
    logs = []
    for is_of_another in (False, True):
        optimizer, other = keras.optimizers.Adam(0.1), small_network()
        if is_of_another:
            other.compile(optimizer, "mse")
        model = OwnCompile()
        model.compile(optimizer)
        logs.append(model.fit(wave(8, 4), wave(8, 2)[::-1], 4, 3, shuffle=False, verbose=0).history["seen"])
    np.testing.assert_array_equal(*logs)


def test_one_sample_beside_others_stands_for_as_many():
    """As a latent array that is a weight, of which each sample gets the same; its gradients add up."""
    a, b = keras.Input((2,)), keras.Input((2,))
    model = keras.Model({"a": a, "b": b}, layers.Add()([layers.Dense(2)(a), b]))
    model.set_weights([wave(2, 2), wave(2)])
    start, x = tf.Variable(wave(1, 2)), wave(3, 2)
    with tf.GradientTape() as tape:
        made = model({"a": start, "b": x})
        value = tf.reduce_sum(made)
    np.testing.assert_allclose(made, wave(1, 2) @ wave(2, 2) + wave(2) + x, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(value, start), 3 * wave(2, 2).sum(1)[None], rtol=1e-5)


def test_the_only_input_of_a_list_is_found_in_it():
    """Keras 3 keeps ``inputs=[x]`` a list in ``model.input``."""
    i = keras.Input((4,))
    base = keras.Model(inputs=[i], outputs=[layers.Dense(3, name="a")(i), layers.Dense(2, name="b")(i)])
    rest = keras.Model(inputs=base.input[0], outputs=layers.Rescaling(2.0)(base.output[0]))
    np.testing.assert_allclose(rest(wave(5, 4)), 2 * base(wave(5, 4))[0], rtol=1e-6)

    class Own(keras.Model):
        def __init__(self):
            super().__init__(inputs=base.input[0], outputs=base.output[1])

    np.testing.assert_allclose(Own()(wave(5, 4)), base(wave(5, 4))[1], rtol=1e-6)


def test_compute_loss_is_given_what_it_takes_in_order():
    class Own(keras.Model):
        def compute_loss(self, x, y_true, predicted, weights=None, training=True):
            return ops.mean(ops.square(y_true - predicted)) * 2

    net = small_network()
    model = Own(net.inputs, net.outputs)
    model.compile("sgd")
    expected = 2 * np.mean((wave(8, 2) - net.predict(wave(8, 4), verbose=0)) ** 2)
    np.testing.assert_allclose(model.evaluate(wave(8, 4), wave(8, 2), verbose=0), expected, rtol=1e-5)


def test_logs_of_a_function_are_found_by_keras_3s_name_as_well():
    def MeanError(y, p):
        return ops.mean(ops.abs(y - p), axis=-1)

    model = small_network()
    model.compile("sgd", "mse", metrics=[MeanError])
    stop = keras.callbacks.EarlyStopping("val_mean_error", mode="max", patience=0)
    data = wave(8, 4), wave(8, 2)
    with pytest.warns(FutureWarning, match="mean_error"):
        history = model.fit(*data, validation_data=data, epochs=5, callbacks=[stop], verbose=0).history
        assert history["mean_error"] == history["MeanError"]
        assert history["val_mean_error"] == history["val_MeanError"]
    assert len(history["MeanError"]) == 2  # it falls
    assert "nothing" not in history and history.get("mean_errors") is None


FEW = {"Concatenate": keras.layers.Concatenate, "Dot": lambda: keras.layers.Dot(axes=-1)}


@pytest.mark.parametrize("sizes", [(4, 1), (1, 4)])
@pytest.mark.parametrize("name", FEW)
def test_layers_that_put_samples_side_by_side_take_no_single_one(name, sizes):
    """As in Keras 3.15.1, where they stop."""
    a, b = keras.Input((3,)), keras.Input((3,))
    inner = keras.Model([a, b], FEW[name]()([a, b]))
    x = [np.ones((n, 3), "float32") for n in sizes]
    for model in (inner, keras.Model([a, b], inner([a, b]))):
        for call in (model, model.predict_on_batch):
            with pytest.raises(ValueError, match=r"as many samples of each of its inputs.*one sample beside several"):
                call(x)


@pytest.mark.parametrize("name", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", *FEW])
def test_called_on_arrays_merging_layers_take_as_many_samples_of_each(name):
    layer = FEW.get(name, getattr(keras.layers, name))()
    for sizes in ((4, 1), (1, 4), (4, 2)):
        with pytest.raises(ValueError, match=rf"as many samples of each.*Received: \[{sizes[0]}, {sizes[1]}\]"):
            layer([np.ones((n, 3), "float32") for n in sizes])


def test_an_output_of_the_single_sample_alone_has_one():
    """As in Keras 3.15.1: shapes (4, 1) and (1, 2), also behind a model inside."""
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], [keras.layers.Dense(1)(a), keras.layers.Dense(2)(b), keras.layers.Add()([a, b])])
    outer = keras.Model([a, b], {"all": model([a, b]), "one": keras.layers.ReLU()(b)})
    x = [np.ones((4, 3), "float32"), np.full((1, 3), 2.0, "float32")]
    for found in (model(x), model({"a": x[0], "b": x[1]}), model.predict_on_batch(x), outer(x)["all"]):
        assert [y.shape for y in found] == [(4, 1), (1, 2), (4, 3)]
        np.testing.assert_array_equal(found[2], np.full((4, 3), 3.0))
    assert outer(x)["one"].shape == (1, 3)
    with tf.GradientTape() as tape:
        found = model(x)
        loss = tf.reduce_sum(found[1])
    assert found[1].shape == (1, 2)
    kernel = model.trainable_weights[2]
    np.testing.assert_array_equal(tape.gradient(loss, kernel), np.full((3, 2), 2.0))  # not four times that


class Halved(keras.Model):
    """A block of a network that is a model with a `call`."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x) / 2


def test_a_network_may_be_cut_at_a_block_with_a_call_of_its_own():
    x = keras.Input((4,))
    first = Halved()
    network = keras.Model(x, Halved()(first(x)))
    network.set_weights([wave(*w.shape) for w in network.weights])
    last = network.layers[-1]
    assert first.input is x and last.input is first.output and last.output is network.output
    doubled = keras.Model(network.input, last.output * 2)  # as of tf.keras.applications: a head on the last layer
    values = wave(3, 4)
    (a, b), (c, d) = first.get_weights(), last.get_weights()
    expected = ((values @ a + b) / 2) @ c + d
    np.testing.assert_allclose(doubled.predict(values, verbose=0), expected, rtol=1e-5)
    np.testing.assert_allclose(keras.Model(x, first.output).predict(values, verbose=0), (values @ a + b) / 2, rtol=1e-5)


def test_a_block_that_no_graph_has_called_has_the_ends_of_its_own_graph():
    block = Halved()
    made = block(wave(3, 4))
    np.testing.assert_allclose(keras.Model(block.input, block.output).predict(wave(3, 4), verbose=0), made, rtol=1e-5)
