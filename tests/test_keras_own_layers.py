"""Layers that users write for Keras: in which forms they are called, what they keep, and what files know of them."""

import json
import zipfile

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import _of_keras_3, layers
from minicnn.keras import tensorflow as tf


@pytest.fixture
def rng():
    seed = np.random.SeedSequence().entropy
    print("seed", seed)
    return np.random.default_rng(seed)


class Sum(layers.Layer):
    """The example of Keras's guide "Making new layers": the running sum of what it was called with."""

    def __init__(self, size):
        super().__init__()
        self.total = self.add_weight(shape=(size,), initializer="zeros", trainable=False)

    def call(self, inputs):
        self.total.assign_add(keras.ops.sum(inputs, axis=0))
        return self.total


class Centered(layers.Layer):
    """x minus a moving mean, which is state; scaled by a weight."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
        self.mean = self.add_weight(shape=(input_shape[-1],), initializer="zeros", trainable=False, name="mean")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def call(self, x, training=None):
        if training:
            self.mean.assign(0.5 * self.mean + 0.5 * keras.ops.mean(x, axis=0))
            self.count.assign_add(1)
        return (x - self.mean) * self.scale


class Skip(layers.Layer):
    """Two inputs, as arguments of their own."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, first_shape, second_shape):
        self.shapes = first_shape, second_shape
        self.kernel = self.add_weight(shape=(first_shape[-1], self.units), name="kernel")
        self.other = self.add_weight(shape=(second_shape[-1], self.units), name="other")

    def call(self, first, second):
        return keras.ops.matmul(first, self.kernel) + keras.ops.matmul(second, self.other)


class Branches(layers.Layer):
    """Layers inside; inputs in a dict, and an option."""

    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Dense(2), layers.Dense(2)

    def call(self, inputs, negative=False):
        y = self.first(inputs["a"]) + self.second(inputs["b"])
        return -1 * y if negative else y


# --------------------------------------------------------------------------------------------------------------- state


def test_state_on_arrays():
    layer, x = Sum(2), np.ones((3, 2), "float32")
    assert np.array_equal(layer(x), [3, 3])
    assert np.array_equal(layer(x).numpy(), [6, 6])
    assert np.array_equal(layer.total.numpy(), [6, 6]) and layer.non_trainable_weights == [layer.total]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_state_changes_while_the_model_trains_and_is_not_trained(rng, backend):
    x, y = rng.normal(size=(8, 3)).astype("float32"), rng.normal(size=(8, 3)).astype("float32")
    layer = Centered()
    model = keras.Sequential([keras.Input((3,)), layer])
    assert (
        np.array_equal(layer.mean.numpy(), np.zeros(3)) and layer.count.numpy() == 0
    )  # asking for the shape is no call
    model.compile("sgd", "mse", backend=backend)
    model.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    mean = 0.5 * (0.5 * x[:4].mean(0)) + 0.5 * x[4:].mean(0)
    assert np.allclose(layer.mean.numpy(), mean, atol=1e-6)
    assert layer.count.numpy() == 2
    assert np.allclose(model.predict(x), (x - layer.mean.numpy()) * layer.scale.numpy(), atol=1e-6)
    assert layer.count.numpy() == 2


def test_the_gradient_takes_state_for_a_constant(rng):
    x, y = rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(4, 3)).astype("float32")
    dense = layers.Dense(3, use_bias=False, name="dense")
    model = keras.Sequential([keras.Input((3,)), dense, Centered()])
    model.compile("sgd", "mse")
    gradient = model.gradients(x, y)["dense/kernel"]
    z = x @ dense.kernel.numpy()
    assert np.allclose(gradient, x.T @ (2 * (z - 0.5 * z.mean(0) - y)) / y.size, atol=1e-5)


@pytest.mark.parametrize("in_fit", [True, False])
def test_the_gradient_goes_by_the_state_that_was_used_and_not_by_what_it_is_assigned_afterwards(in_fit):
    """As in spectral normalization, whose vector is new after each step: L = Σ (s w x)², with s = 3, and then 0.5."""

    class Moved(keras.layers.Layer):
        def build(self, input_shape):
            self.w = self.add_weight(shape=input_shape[-1:], initializer="ones", name="w")
            self.s = self.add_weight(shape=(1, 2), initializer=keras.initializers.Constant(3.0), trainable=False)

        def call(self, x):
            y = self.s * self.w * x
            self.s.assign(self.s * 0.0 + 0.5)
            return y

    entry, layer, x = keras.Input((2,)), Moved(), np.array([[1.0, 2.0]], np.float32)
    model = keras.Model(entry, layer(entry))
    if in_fit:
        model.compile(keras.optimizers.SGD(0.01), lambda y, p: keras.ops.sum(keras.ops.square(p)))
        model.train_on_batch(x, x)
        slopes = (1 - layer.w.numpy()) / 0.01
    else:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(x, training=True)))
        slopes = tape.gradient(loss, layer.w)
    np.testing.assert_allclose(slopes, [2 * 9, 2 * 9 * 4], rtol=1e-4)  # 2 s² x² w
    np.testing.assert_array_equal(layer.s.numpy(), [[0.5, 0.5]])


def test_state_is_saved_and_goes_on(tmp_path, rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), Centered(name="centered")])
    model.compile("sgd", "mse")
    model.fit(x, x, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Centered": Centered})
    assert np.array_equal(again.layers[0].mean.numpy(), model.layers[0].mean.numpy())
    again.fit(x, x, verbose=0)
    assert again.layers[0].count.numpy() == 2


def test_what_is_trained_is_not_assigned_to_in_call():
    class Wrong(layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(), name="kernel")

        def call(self, x):
            self.kernel.assign(1.0)
            return x * self.kernel

    with pytest.raises(TypeError, match="trainable=False"):
        keras.Sequential([keras.Input((3,)), Wrong()])


def test_assign_add_outside_of_call():
    layer = Sum(2)
    layer.total.assign_add([1.0, 2.0])
    layer.total.assign_sub([0.5, 0.5])
    assert np.array_equal(layer.total.numpy(), [0.5, 1.5])


# --------------------------------------------------------------------------------------------------------------- forms


def test_several_arguments_are_inputs(tmp_path, rng):
    a, b = rng.normal(size=(5, 3)).astype("float32"), rng.normal(size=(5, 4)).astype("float32")
    first, second = keras.Input((3,)), keras.Input((4,))
    layer = Skip(2, name="skip")
    model = keras.Model([first, second], layer(first, second=second))
    assert layer.shapes == ((None, 3), (None, 4)) and len(layer.weights) == 2
    expected = a @ layer.kernel.numpy() + b @ layer.other.numpy()
    assert np.allclose(model.predict([a, b]), expected, atol=1e-5)
    assert np.allclose(layer(a, b), expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Skip": Skip})
    assert np.allclose(again.predict([a, b]), expected, atol=1e-5)
    model.compile("sgd", "mse")
    before = layer.other.numpy()
    model.fit([a, b], np.zeros((5, 2)), verbose=0)
    assert not np.array_equal(before, layer.other.numpy())


def test_dicts_and_options(rng):
    a, b = rng.normal(size=(5, 3)).astype("float32"), rng.normal(size=(5, 4)).astype("float32")
    layer = Branches()
    inputs = {"a": keras.Input((3,)), "b": keras.Input((4,))}
    model = keras.Model(inputs, layer(inputs, negative=True))
    (first, first_bias), (second, second_bias) = layer.first.get_weights(), layer.second.get_weights()
    expected = -(a @ first + first_bias + b @ second + second_bias)
    assert np.allclose(model.predict({"a": a, "b": b}), expected, atol=1e-5)
    assert len(layer.weights) == 4
    with pytest.raises(ValueError, match=r"use a layer of its own here. Received"):
        layer(inputs)
    with pytest.raises(TypeError, match=r"which no file holds.*Received: .*negative"):
        model.to_json()


def test_options_are_given_by_name():
    with pytest.raises(ValueError, match=r"options are given by name.*Received: True"):
        Branches()({"a": keras.Input((3,)), "b": keras.Input((4,))}, True)


def test_a_build_of_several_shapes_names_arguments_of_call():
    class Wrong(layers.Layer):
        def build(self, a_shape, c_shape):
            pass

        def call(self, a, b):
            return a + b

    with pytest.raises(ValueError, match=r"Received: 'c_shape', for call\(a, b\)"):
        Wrong()(np.ones((2, 3)), np.ones((2, 3)))


def test_a_layer_of_layers_may_be_called_activation(rng):
    class Own(layers.Layer):
        def build(self, input_shape):
            self.activation = layers.Dense(2, activation="relu")

        def call(self, x):
            return self.activation(x)

    layer, x = Own(), rng.normal(size=(4, 3)).astype("float32")
    y = layer(x, training=True)
    kernel, bias = layer.activation.get_weights()
    assert np.allclose(y, np.maximum(x @ kernel + bias, 0), atol=1e-6) and len(layer.weights) == 2


def test_a_layer_without_call_says_so():
    with pytest.raises(NotImplementedError, match=r"write call\(self, inputs\)"):
        layers.Layer().call(np.ones(3))


# ---------------------------------------------------------------------------------------------- optimizers, callbacks


def network(optimizer):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.compile(optimizer, "mse")
    return model


def test_the_rate_is_a_number_of_32_bits_as_in_keras():
    model = network(keras.optimizers.SGD(0.1))
    model.optimizer.learning_rate = 0.1 * 0.1
    assert model.optimizer.learning_rate.value == np.float32(0.01)
    assert str(model.optimizer.learning_rate.numpy()) == "0.01" and model.optimizer.lr.value() == np.float32(0.01)


def test_a_function_as_learning_rate():
    rates = iter([0.5, 0.25])
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(lambda: next(rates)), "mse")
    x, y = np.ones((1, 1)), np.ones((1, 1))
    for expected in (1, 0.5):  # the gradient is 2 · (w − 1)
        model.set_weights([np.zeros((1, 1))])
        model.train_on_batch(x, y)
        assert model.get_weights()[0] == expected
    with pytest.raises(TypeError, match="include_optimizer=False"):
        model.to_json() and model.save("never.keras")


def test_optimizers_are_named_and_numbered():
    keras.backend.clear_session()
    names = [getattr(keras.optimizers, name)().name for name in ("Adam", "Adam", "SGD", "AdamW")]
    assert names == ["adam", "adam_1", "sgd", "adam_w"]
    config = keras.optimizers.serialize(keras.optimizers.Adam(name="mine"))
    assert keras.optimizers.deserialize(config).name == "mine"


@pytest.mark.parametrize("name", ["SGD", "Adam", "Nadam", "Adamax"])
def test_the_state_of_an_optimizer_goes_over_to_another(name, rng):
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    options = {"momentum": 0.9} if name == "SGD" else {}
    first = network("sgd").get_weights()

    def trained(steps, weights=first, state=None):
        model = network(getattr(keras.optimizers, name)(0.01, **options))
        if state is not None:
            model.train_on_batch(x, y)
            model.optimizer.set_weights(state)
        model.set_weights(weights)
        for _ in range(steps):
            model.train_on_batch(x, y)
        return model

    model = trained(3)
    state = model.optimizer.get_weights()
    assert state[0] == 3
    again = trained(2, model.get_weights(), state)
    for a, b in zip(again.get_weights(), trained(5).get_weights(), strict=True):
        assert np.array_equal(a, b)
    with pytest.raises(ValueError, match=r"call model.train_on_batch once before"):
        getattr(keras.optimizers, name)().set_weights(state)


class Scaled(layers.Layer):
    """x · scale + shift: an option and a second input, both of which may be left out."""

    def call(self, x, shift=None, scale=1.0):
        return x * scale if shift is None else x * scale + shift


def test_each_call_on_arrays_has_its_own_form():
    """What a layer was called with before is no default of the next call."""
    layer, x = Scaled(), np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(layer(x, scale=3.0), 3 * x)
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer(x, x), 2 * x)
    np.testing.assert_array_equal(layer(x), x)


@pytest.mark.parametrize("second", ["x", "x, shift=None", "x=x", "x, scale=1.0"])
def test_calls_that_say_the_same_in_other_words(second):
    layer, start = Scaled(), keras.Input((2,))
    x = layer(start)
    model = keras.Model(start, eval(f"layer({second})", {"layer": layer, "x": x}))
    np.testing.assert_array_equal(model.predict(np.ones((1, 2)), verbose=0), np.ones((1, 2)))


@pytest.mark.parametrize("options", [{"scale": 3.0}, {"shift": True}])
def test_a_layer_of_a_model_has_one_form(options):
    """Its second place would else be called as the first one is."""
    layer, start = Scaled(), keras.Input((2,))
    x = layer(start, **({"shift": start} if "shift" in options else options))
    with pytest.raises(ValueError, match="use a layer of its own here"):
        layer(x)


def test_the_state_of_an_optimizer_is_there_while_another_model_has_the_weights(rng):
    """A layer of two models: the one that trained last holds its weights, and each optimizer its own state."""
    shared, x = layers.Dense(3), rng.random((8, 4), np.float32)

    def trained():
        start = keras.Input((4,))
        model = keras.Model(start, layers.Dense(1)(shared(start)))
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
        model.train_on_batch(x, x[:, :1])
        return model

    first = trained()
    optimizer = first.optimizer
    before = optimizer.get_weights()
    trained()
    state = optimizer.get_weights()
    assert [a.shape for a in state] == [(), (), (4, 3), (3,), (3, 1), (1,)]
    for ours, expected in zip(state, before, strict=True):
        np.testing.assert_array_equal(ours, expected)
    optimizer.set_weights([2 * a for a in state])
    np.testing.assert_array_equal(optimizer.get_weights()[2], 2 * state[2])


def test_lambda_callback_keeps_what_is_no_method():
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None, limit=3)
    assert callback.limit == 3
    with pytest.raises(ValueError, match="on_epoch_ends"):
        keras.callbacks.LambdaCallback(on_epoch_ends=print)


def test_variables_of_metrics_have_names():
    assert [v.name for v in keras.metrics.Precision().variables] == ["true_positives", "false_positives"]
    assert [v.name for v in keras.metrics.Mean().variables] == ["total", "count"]


def test_a_call_made_of_layers_assigns_nothing():
    class Wrong(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)
            self.count = self.add_variable(shape=(), initializer="zeros", trainable=False, name="count")

        def call(self, x):
            self.count.assign_add(1)
            return self.dense(x)

    with pytest.raises(TypeError, match=r"put the state \['count'\] into a layer of its own"):
        Wrong()(keras.Input((3,)))


class WithFirstWeights(keras.layers.Layer):
    """An argument called as what every layer has, as the layers of Keras 1 had it."""

    def __init__(self, units, weights=None, **kwargs):
        self.units, self.initial_weights = units, weights
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")

    def call(self, x):
        return keras.backend.dot(x, self.kernel)


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_an_argument_called_weights_in_a_file(tmp_path, suffix, rng):
    model = keras.Sequential([keras.Input((3,)), WithFirstWeights(2)])
    x, path = rng.normal(size=(4, 3)).astype("float32"), tmp_path / f"model.{suffix}"
    model.save(path)
    loaded = keras.models.load_model(path, custom_objects={"WithFirstWeights": WithFirstWeights})
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.layers[-1].get_config().get("weights") is None


# --------------------------------------------------------------------------------------------------------------- masks


def test_which_layers_hand_masks_on():
    assert layers.Dense(2).supports_masking and layers.Add().supports_masking and layers.Dropout(0.5).supports_masking
    assert not layers.Conv2D(2, 3).supports_masking and not layers.Flatten().supports_masking
    assert not Sum(2).supports_masking

    class Masking(layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, x):
            return 2 * x

    assert Masking().supports_masking
    assert np.array_equal(Masking()(np.ones((1, 2))), [[2, 2]])


def test_the_mask_of_an_output(rng):
    x, masks = rng.normal(size=(4, 3, 2)), rng.random((2, 4, 3)) < 0.5
    assert np.array_equal(layers.ReLU().compute_mask(x, masks[0]), masks[0]) and layers.ReLU().compute_mask(x) is None
    for merging in layers.Add(), layers.Maximum():
        assert np.array_equal(merging.compute_mask([x, x], list(masks)), masks[0] | masks[1])
        assert merging.compute_mask([x, x], [masks[0], None]) is None
    joined = layers.Concatenate(axis=1)
    full = np.concatenate([masks[0], np.ones((4, 3), bool)], axis=1)
    assert np.array_equal(joined.compute_mask([x, x], [masks[0], None]), full)
    assert joined.compute_mask([x, x], [None, None]) is None
    assert layers.Dot(axes=1).compute_mask([x, x], list(masks)) is None


@pytest.mark.parametrize(
    ("inputs", "mask", "match"), [(2, [0, 0], "`inputs`"), ([1, 2], 3, "`mask`"), ([1, 2], [3], "same length")]
)
@pytest.mark.parametrize("merging", [layers.Add(), layers.Concatenate()])
def test_masks_that_do_not_fit_are_refused(merging, inputs, mask, match):
    with pytest.raises(ValueError, match=match):
        merging.compute_mask(inputs, mask)


def test_a_transposed_convolution_is_built_by_hand(rng):
    x = rng.normal(size=(2, 5, 5, 3))
    for build in (lambda layer: layer.build(input_shape=(None, 5, 5, 3)), lambda layer: layer.build((2, 5, 5, 3))):
        layer = layers.Conv2DTranspose(4, 3, strides=2)
        build(layer)
        assert layer.built and layer.kernel.shape == (3, 3, 4, 3)
        assert layer(x).shape == (2, 11, 11, 4)


# ------------------------------------------------------------------------------------------------------------- configs


class Rated(layers.Layer):
    def __init__(self, units, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.units, self.rate = units, rate
        self.inner = layers.Dense(units)

    def call(self, x):
        return self.rate * self.inner(x)

    def get_config(self):
        return dict(units=self.units, rate=self.rate, **super().get_config())


class Shifted(Rated):
    def __init__(self, units, by=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.by = by

    def call(self, x):
        return super().call(x) + self.by

    def get_config(self):
        return dict(by=self.by, **super().get_config())


class Forgetful(Rated):
    def get_config(self):
        return layers.Layer.get_config(self) | {"rate": self.rate}


@pytest.mark.parametrize("layer", [Rated(3, 0.25), Shifted(3, 0.125, rate=2.0), Forgetful(3, 0.75)])
def test_a_config_may_name_arguments_beside_those_of_the_base(layer, tmp_path, rng):
    """``dict(units=…, **super().get_config())``: of Keras's base none of them is among the latter."""
    config = layer.get_config()
    assert config["units"] == 3 and config["rate"] == layer.rate and config["name"] == layer.name
    assert type(layer).from_config(config).get_config() == config == layer.get_config()
    model, x = keras.Sequential([keras.Input((4,)), layer]), rng.normal(size=(2, 4)).astype("float32")
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras", custom_objects={type(layer).__name__: type(layer)})
    assert type(again.layers[-1]) is type(layer)
    np.testing.assert_allclose(again.predict(x), model.predict(x), rtol=1e-6)


class Penalized(keras.layers.Layer):
    def call(self, inputs):
        self.add_loss(0.1 * keras.ops.sum(inputs))
        return inputs


class AroundPenalized(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.inner = Penalized()

    def call(self, inputs):
        return self.inner(inputs)


@pytest.mark.parametrize("kind", [Penalized, AroundPenalized])
def test_a_layer_by_itself_tells_what_its_last_call_added_to_the_loss(kind):
    """As in Keras's guide to layers of one's own: 0.1 · Σx of the last call alone."""
    layer = kind()
    assert layer.losses == []
    layer(np.ones((2, 3), np.float32))
    made = layer(np.full((2, 3), 2, np.float32))
    assert layer.losses == pytest.approx([1.2])
    np.testing.assert_array_equal(made, np.full((2, 3), 2))
    with tf.GradientTape() as tape:
        x = tf.ones((2, 3))
        tape.watch(x)
        layer(x)
        loss = sum(layer.losses)
    np.testing.assert_allclose(tape.gradient(loss, x), np.full((2, 3), 0.1), rtol=1e-6)
    assert layer(np.zeros((1, 3), np.float32)).shape == (1, 3) and layer.losses == [0.0]


def test_a_model_of_methods_may_call_itself_built():
    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)
            self.built = True

        def train_step(self, data):
            return {"mean": keras.ops.mean(self.dense(data))}

    pair = Pair()
    pair.compile()
    assert set(pair.fit(np.ones((4, 2), np.float32), verbose=0).history) == {"mean"}


def test_methods_for_files_that_nobody_asks_are_told_of(tmp_path):
    """What Keras would write by `save_own_variables` is not in the file, which a warning says."""

    class Counting(keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

        def save_own_variables(self, store):
            store["seen"] = np.array(7.0)

    model = keras.Sequential([keras.Input((3,)), Counting()])
    for save, name in ((model.save, "m.keras"), (model.save_weights, "m.weights.h5")):
        with pytest.warns(UserWarning, match="save_own_variables.*add_weight"):
            save(tmp_path / name)


@pytest.mark.parametrize("method", ["save_own_variables", "load_own_variables", "save_assets", "build_from_config"])
@pytest.mark.parametrize("base", [keras.Sequential, keras.Model])
def test_methods_of_whole_models_that_nobody_asks_are_told_of(base, method, tmp_path):
    own = type("Own", (base,), {method: lambda self, *arguments: None})
    tensor = keras.Input((3,))
    outputs = keras.layers.Dense(2)(tensor)
    model = own(tensor, outputs) if base is keras.Model else own([tensor, keras.layers.Dense(2)])
    for save, name in ((model.save, "m.keras"), (model.save_weights, "m.weights.h5")):
        with pytest.warns(UserWarning, match=rf"model '.*' \(Own\) has {method}, which minicnn does not call"):
            save(tmp_path / name)


class _Frozen(keras.layers.Layer):
    """A layer of layers, one of which was frozen in the constructor."""

    def __init__(self, kind):
        super().__init__()
        inputs = keras.Input((6,))
        layer = keras.layers.Dense(6)
        networks = {"network": keras.Model(inputs, layer(inputs)), "stack": keras.Sequential([keras.layers.Dense(6)])}
        self.inner = [layer] if kind == "list" else {"layer": layer, **networks}[kind]
        (layer if kind == "list" else self.inner).trainable = False
        self.outer = keras.layers.Dense(2)

    def call(self, inputs):
        return self.outer((self.inner[0] if isinstance(self.inner, list) else self.inner)(inputs))


@pytest.mark.parametrize("kind", ["layer", "list", "network", "stack"])
def test_what_a_layers_constructor_froze_stays_frozen(kind):
    own, x = _Frozen(kind), np.ones((4, 6), np.float32)
    model = keras.Sequential([keras.Input((6,)), own])
    assert len(own.trainable_weights) == len(model.trainable_weights) == len(model.non_trainable_weights) == 2
    assert [w.shape for w in own.trainable_weights] == [(6, 2), (2,)]
    model.compile("sgd", "mse")
    before = own.get_weights()
    model.fit(x, np.ones((4, 2)), verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, own.get_weights(), strict=True)]
    assert changed == [b.shape[-1] == 2 for b in before]


@keras.saving.register_keras_serializable("tests")
class _OfTwo(keras.layers.Layer):
    """A layer of layers, the first of which may be frozen by the constructor."""

    def __init__(self, frozen=False, **kwargs):
        super().__init__(**kwargs)
        self.one, self.two = keras.layers.Dense(6), [keras.layers.Dense(2)]
        self.one.trainable = not frozen

    def call(self, inputs):
        return self.two[0](self.one(inputs))


@pytest.mark.parametrize("built", [False, True])
def test_a_layer_of_layers_freezes_its_parts(built):
    own, x = _OfTwo(), np.ones((4, 6), np.float32)
    own(x) if built else None
    own.trainable = False
    model = keras.Sequential([keras.Input((6,)), own, keras.layers.Dense(1)])
    assert not own.trainable_weights and len(own.non_trainable_weights) == 4 and len(model.trainable_weights) == 2
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(x, np.ones((4, 1)), verbose=0)
    assert [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)] == [True] * 4 + [False] * 2
    own.two[0].trainable = True
    assert [w.shape for w in own.trainable_weights] == [(6, 2), (2,)]
    own.trainable = True
    assert len(own.trainable_weights) == 4


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_what_a_constructor_froze_is_frozen_in_a_model_of_a_file(tmp_path, suffix):
    model = keras.Sequential([keras.Input((6,)), _OfTwo(frozen=True), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 6)), np.ones((4, 1)), verbose=0)
    model.save(tmp_path / f"m{suffix}")
    for again in (keras.models.load_model(tmp_path / f"m{suffix}"), keras.models.clone_model(model)):
        shapes = [[w.shape for w in m.trainable_weights] for m in (model, again)]
        assert shapes[0] == shapes[1] == [(6, 2), (2,), (2, 1), (1,)]


class Gain(layers.Layer):
    def build(self, input_shape):
        self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gain")

    def call(self, x):
        return x * self.gain


class Patches(layers.Layer):
    """The encoder of Keras's example of a Vision Transformer (Salama, 2021), and what others make of its positions."""

    def __init__(self, form="row", **kwargs):
        super().__init__(**kwargs)
        self.form, self.projection, self.positions = form, layers.Dense(4), layers.Embedding(6, 4)
        self.further = {"dense": layers.Dense(4), "dropped": layers.Dropout(0.0), "own": Gain()}.get(form)

    def call(self, patches):
        numbers = keras.ops.arange(start=0, stop=6, step=1)
        if self.form == "row":
            return self.projection(patches) + self.positions(keras.ops.expand_dims(numbers, axis=0))
        found = self.positions(numbers)
        if self.form == "times":
            return self.projection(patches) * keras.ops.reshape(found, (1, 6, 4))
        return self.projection(patches) + (found if self.further is None else self.further(found))

    def by_hand(self, x, weights):
        kernel, bias, table, *others = weights
        if self.form == "dense":
            table = table @ others[0] + others[1]
        if self.form == "own":
            table = table * others[0]
        projected = x @ kernel + bias
        return projected * table if self.form == "times" else projected + table


@pytest.mark.parametrize("form", ["row", "plain", "times", "dense", "dropped", "own"])
def test_an_embedding_of_numbers_is_trained_and_saved(form, tmp_path, rng):
    """Its gradient is that of the table, and every file has it."""
    layer, inputs = Patches(form), keras.Input((6, 5))
    model = keras.Model(inputs, layer(inputs))
    x, y = rng.normal(size=(3, 6, 5)).astype("f"), rng.normal(size=(3, 6, 4)).astype("f")
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    before = [w.astype(float) for w in model.get_weights()]
    table = next(i for i, w in enumerate(before) if w.shape == (6, 4))
    own = [w for w in model.weights if w.trainable]
    order = [next(i for i, w in enumerate(model.weights) if w is each) for each in own]
    np.testing.assert_allclose(model.predict(x, verbose=0), layer.by_hand(x, [before[i] for i in order]), atol=1e-4)
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(x, y, verbose=0)

    def loss(values):
        weights = [values if i == table else before[i] for i in order]
        return np.mean((layer.by_hand(x.astype(float), weights) - y) ** 2)

    slope = np.zeros((6, 4))
    for place in np.ndindex(6, 4):
        step = np.zeros((6, 4))
        step[place] = 1e-5
        slope[place] = (loss(before[table] + step) - loss(before[table] - step)) / 2e-5
    np.testing.assert_allclose(before[table] - model.get_weights()[table], slope, rtol=1e-3, atol=1e-4)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects={"Patches": Patches})
    assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize("suffix", [".weights.h5", ".safetensors"])
def test_a_model_with_a_call_keeps_the_embedding_of_numbers_in_files(suffix, tmp_path, rng):
    class Positioned(keras.Model):
        def __init__(self):
            super().__init__()
            self.projection, self.positions = layers.Dense(4), layers.Embedding(6, 4)

        def call(self, x):
            return self.projection(x) + self.positions(np.arange(6))

    x = rng.normal(size=(3, 6, 5)).astype("f")
    models = [Positioned(), Positioned()]
    for model in models:
        model(x)
        model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    models[0].save_weights(tmp_path / f"w{suffix}")
    models[1].load_weights(tmp_path / f"w{suffix}")
    assert np.array_equal(models[0].predict(x, verbose=0), models[1].predict(x, verbose=0))


def test_a_frozen_embedding_of_numbers_is_a_part_of_the_model_and_may_be_trained_later(rng):
    """No constant of the graph: its numbers are set and loaded, and train when it is frozen no more."""

    class Positioned(layers.Layer):
        def __init__(self):
            super().__init__()
            self.positions = layers.Embedding(6, 4, trainable=False)

        def call(self, x):
            return x + self.positions(np.arange(6))

    layer, numbers = Positioned(), rng.normal(size=(6, 4)).astype("f")
    model = keras.Sequential([keras.Input((6, 4)), layer])
    assert [w.shape for w in model.non_trainable_weights] == [(6, 4)] and not model.trainable_weights
    model.set_weights([numbers])
    assert np.array_equal(model.predict(np.zeros((1, 6, 4), "f"), verbose=0)[0], numbers)
    layer.positions.trainable = True
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(np.zeros((1, 6, 4), "f"), np.zeros((1, 6, 4), "f"), verbose=0)
    np.testing.assert_allclose(layer.positions.get_weights()[0], numbers - 2 * numbers / 24, rtol=1e-5)


def test_what_would_be_a_constant_and_not_be_trained_is_refused():
    class Stacked(layers.Layer):
        def __init__(self):
            super().__init__()
            self.stack = keras.Sequential([layers.Embedding(6, 4), layers.Dense(4)])

        def call(self, x):
            return x + self.stack(np.arange(6)[None])

    layer = Stacked()
    for trainable in (True, False):  # of a frozen one they are the model's, too, and in its file
        layer.stack.trainable = trainable
        with pytest.raises(TypeError, match="is made of layers, and called on numbers in a call that makes a graph"):
            layer(keras.Input((6, 4)))


class Around(layers.Layer):
    """A layer around another one, and a dense one."""

    def __init__(self, part):
        super().__init__()
        self.part, self.last = part, layers.Dense(2)

    def call(self, x):
        return self.last(self.part(x))


@pytest.mark.parametrize("make", [lambda: layers.Dense(4), lambda: keras.Sequential([layers.Dense(4)])])
def test_a_frozen_part_of_a_layer_stays_frozen(make):
    part = make()
    part(np.ones((2, 3), "f"))
    part.trainable = False
    inputs = keras.Input((3,))
    model = keras.Model(inputs, Around(part)(inputs))
    before = model.get_weights()
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.zeros((4, 2)), verbose=0)
    assert len(model.trainable_weights) == 2
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert sum(changed) == 2 and not part.trainable_weights


def test_a_layer_of_layers_is_frozen_as_a_whole():
    """By itself, before and after it is built, and with a model that has it, in which it may stand within another."""
    inputs, layer = keras.Input((3,)), Around(Around(layers.Dense(4)))
    layer.trainable = False
    model = keras.Model(inputs, layer(inputs))
    assert not model.trainable_weights
    for each in (layer, model):
        each.trainable = True
        assert len(model.trainable_weights) == 6
        each.trainable = False
        assert not model.trainable_weights
    layer.part.trainable = True
    assert len(model.trainable_weights) == 4


class Frozen(Around):
    def __init__(self, **kwargs):
        super().__init__(layers.Dense(4))
        self.part.trainable = False


def test_what_a_layer_freezes_itself_is_frozen_in_a_loaded_model(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, Frozen()(inputs))
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects={"Frozen": Frozen})
    assert len(model.trainable_weights) == len(loaded.trainable_weights) == 2


@pytest.mark.parametrize("trainable", [True, False])
def test_a_model_declares_weights_as_a_layer_does(trainable, rng):
    class Scaled(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)
            self.scale = self.add_weight(shape=(2,), initializer="ones", trainable=trainable, name="scale")

        def call(self, x):
            return self.dense(x) * self.scale

    model, x = Scaled(), rng.normal(size=(8, 3)).astype("f")
    plain = model(x).numpy()
    model.scale.assign([2.0, -3.0])
    np.testing.assert_allclose(model.predict(x, verbose=0), plain * [2, -3], rtol=1e-5, atol=1e-6)
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((8, 2)), verbose=0)
    assert np.array_equal(model.scale.numpy(), [2, -3]) != trainable
    assert len(model.trainable_weights) == 2 + trainable and len(model.weights) == 3
    assert model.add_weight("count", (), trainable=False, initializer="zeros").shape == ()  # as in Keras 2


@pytest.mark.parametrize("shape", [(5,), (1, 3, 5), (8, 1, 1)])
@pytest.mark.parametrize("base", [layers.Layer, layers.Add])
def test_numbers_that_a_call_draws_are_no_constant(base, shape):
    """On the left of a tensor, too, and for a batch of their author's size: RandomWeightedAverage of WGAN-GP."""

    class Average(base):
        def call(self, inputs):
            share = keras.backend.random_uniform(shape)
            return share * inputs[0] + (1 - share) * inputs[1]

    first, second = keras.Input((3, 5)), keras.Input((3, 5))
    model = keras.Model([first, second], Average()([first, second]))
    x = [np.zeros((8, 3, 5)), np.ones((8, 3, 5))]
    made = [model.predict(x, verbose=0) for _ in range(2)]
    assert not np.array_equal(*made) and all(each.min() >= 0 and each.max() <= 1 for each in made)


def test_metrics_of_layers_are_those_of_the_model(rng):
    class Inner(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seen = [keras.metrics.Mean(name="a"), keras.metrics.Mean(name="b")]

        def call(self, x):
            return x

    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner, self.dense, self.own = Inner(), keras.layers.Dense(1), keras.metrics.Mean(name="c")

        def call(self, x):
            return self.dense(self.inner(x))

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), Outer()])
    assert {metric.name for metric in model.layers[1].metrics} == {"a", "b", "c"} and model.layers[0].metrics == []
    assert {metric.name for metric in model.metrics} == {"a", "b", "c"}
    model.compile("sgd", "mse", metrics=["mae"])
    for _ in range(2):
        names = [metric.name for metric in model.metrics]
        assert names[:2] == ["loss", "compile_metrics"] and set(names[2:]) == {"a", "b", "c"} and len(names) == 5
        model.fit(rng.normal(size=(4, 3)), np.ones((4, 1)), verbose=0)


def test_metrics_are_not_looked_for_in_all_that_layers_of_the_package_have(monkeypatch):
    """A loop of one's own asks for `model.metrics` in every batch."""

    def counted(values):
        looked_at.append(len(list(values)))
        return found(values)

    looked_at, found = [], _of_keras_3.metrics_in
    monkeypatch.setattr(_of_keras_3, "metrics_in", counted)
    model = keras.Sequential([keras.Input((9, 9, 1)), *(layers.Conv2D(2, 3) for _ in range(3))])
    held = keras.Sequential([layers.SpectralNormalization(layers.Dense(2))])
    held.layers[0].layer.seen = [keras.metrics.Mean(name="a")]  # a metric in an attribute of any layer is one
    assert model.metrics == [] and [metric.name for metric in held.metrics] == ["a"]
    assert 0 < sum(looked_at) < 20


def test_a_call_without_state(rng):
    x = rng.normal(size=(5, 3)).astype(np.float32)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()])
    before = model.get_weights()
    doubled = [2 * w.numpy() for w in model.trainable_variables]
    made, state = model.stateless_call(doubled, model.non_trainable_variables, x, training=True)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    z = x @ doubled[0] + doubled[1]
    expected = doubled[2] * (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-3) + doubled[3]
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(state[0], 0.01 * z.mean(0), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"4 trainable and 2 other variables"):
        model.stateless_call(doubled[:1], model.non_trainable_variables, x)
    with tf.GradientTape(), pytest.raises(TypeError, match="by its trainable_variables"):
        w = tf.Variable(doubled[0]) * 2.0
        model.stateless_call([w, *doubled[1:]], model.non_trainable_variables, x)
    with pytest.raises(NotImplementedError, match=r"metric.update_state"):
        keras.metrics.Mean().stateless_update_state([], 1.0)
    with pytest.raises(NotImplementedError, match=r"apply_gradients"):
        keras.optimizers.Adam().stateless_apply([], [], [])


def test_own_variables_and_what_compile_was_told(rng):
    first, second = (keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]) for _ in range(2))
    first.layers[0].save_own_variables(store := {})
    assert {name: array.shape for name, array in store.items()} == {"0": (3, 2), "1": (2,)}
    second.layers[0].load_own_variables(store)
    with pytest.raises(ValueError, match="weights"):
        second.layers[0].load_own_variables({"0": store["0"]})
    assert first.get_compile_config() == {}
    first.compile(keras.optimizers.SGD(0.1, momentum=0.5), keras.losses.Huber(0.3), ["mae"])
    second.compile_from_config(json.loads(json.dumps(first.get_compile_config())))
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    assert first.fit(x, y, shuffle=False, verbose=0).history == second.fit(x, y, shuffle=False, verbose=0).history
    np.testing.assert_array_equal(first.get_weights()[0], second.get_weights()[0])
    with pytest.raises(ValueError, match="get_compile_config of a compiled model"):
        second.compile_from_config({})


class _CompilesItself(keras.Model):
    """As scripts of Keras 3 write it, whose files hold what compile takes besides."""

    def compile(self, optimizer, loss, alpha=0.0):
        super().compile(optimizer=optimizer, loss=loss)
        self.alpha = alpha

    def get_compile_config(self):
        return {"optimizer": self.optimizer, "loss": "mae", "alpha": self.alpha}

    def compile_from_config(self, config):
        optimizer = keras.saving.deserialize_keras_object(config["optimizer"])
        self.compile(optimizer, config["loss"], config["alpha"])


class _CompilesItselfByCall(_CompilesItself):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(2)

    def call(self, x):
        return self.dense(x)


@pytest.mark.parametrize("suffix", ["keras", "h5", "safetensors"])
@pytest.mark.parametrize("cls", [_CompilesItself, _CompilesItselfByCall])
def test_files_go_by_what_a_class_says_of_how_it_is_compiled(cls, suffix, rng, tmp_path):
    inputs = keras.Input((3,))
    model = cls() if cls is _CompilesItselfByCall else cls(inputs, keras.layers.Dense(2)(inputs))
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    model(x)
    model.compile(keras.optimizers.Adam(0.125), "mae", alpha=3.0)
    model.fit(x, y, verbose=0)
    model.save(path := tmp_path / f"model.{suffix}")
    read = keras.models.load_model(path, custom_objects={cls.__name__: cls})
    assert (type(read), read.alpha, float(read.optimizer.learning_rate)) == (cls, 3.0, 0.125)
    assert model.fit(x, y, shuffle=False, verbose=0).history == read.fit(x, y, shuffle=False, verbose=0).history


def test_what_a_class_says_of_how_it_is_compiled_stands_where_keras_has_it(tmp_path):
    """And is read there, as in a file that Keras wrote; another optimizer than the file's begins anew."""

    class Own(keras.Model):
        def get_compile_config(self):
            return {"rate": 0.25}

        def compile_from_config(self, config):
            self.compile(keras.optimizers.RMSprop(config["rate"]), "mae")

    inputs = keras.Input((3,))
    model = Own(inputs, keras.layers.Dense(2)(inputs))
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    model.save(written := tmp_path / "written.keras")
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(as_keras := tmp_path / "keras.keras", "w") as new:
        parts = {name: old.read(name) for name in old.namelist()}
        assert json.loads(parts["config.json"])["compile_config"] == {"rate": 0.25}
        parts["metadata.json"] = b'{"keras_version": "3.15.1"}'
        for name, content in parts.items():
            new.writestr(name, content)
    for path in (written, as_keras):
        with pytest.warns(UserWarning, match="optimizer begins anew"):
            read = keras.models.load_model(path, custom_objects={"Own": Own})
        assert (type(read.optimizer).__name__, float(read.optimizer.learning_rate)) == ("RMSprop", 0.25)
        assert int(read.optimizer.iterations) == 0
    assert keras.models.load_model(written, custom_objects={"Own": Own}, compile=False).compiled is False


def test_what_a_compile_takes_besides_is_warned_of(tmp_path):
    class Own(keras.Sequential):
        def compile(self, optimizer, loss, alpha=0.0, **kwargs):
            super().compile(optimizer=optimizer, loss=loss, **kwargs)
            self.alpha = alpha

    model = Own([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", alpha=3.0)
    model.save(path := tmp_path / "model.keras")
    with pytest.warns(UserWarning, match="takes besides, alpha: compile it again"):
        keras.models.load_model(path, custom_objects={"Own": Own})
    with pytest.raises(ValueError, match=r"has a compile_from_config of its own. Received: \['alpha'\]"):
        model.compile_from_config({"optimizer": "sgd", "loss": "mse", "alpha": 3.0})


def test_the_state_of_an_own_optimizer_is_carried_by_hand(rng, tmp_path):
    class Own(keras.optimizers.Optimizer):
        def build(self, variables):
            super().build(variables)
            self.moments = [self.add_variable_from_reference(v, name="m") for v in variables]

        def update_step(self, gradient, variable, learning_rate):
            moment = self.moments[self._get_variable_index(variable)]
            self.assign(moment, 0.9 * moment + gradient)
            self.assign_sub(variable, learning_rate * moment)

    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(Own(0.1), "mse")
    model.train_on_batch(x, y)
    with pytest.warns(UserWarning, match="no file holds the variables of Own"):
        model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Own": Own})
    with pytest.raises(ValueError, match="trained a batch"):
        again.optimizer.set_weights(model.optimizer.get_weights())
    weights = again.get_weights()
    again.train_on_batch(x, y)
    again.set_weights(weights)
    again.optimizer.set_weights(model.optimizer.get_weights())
    for each in model, again:
        each.train_on_batch(x, y)
    np.testing.assert_allclose(again.get_weights()[0], model.get_weights()[0], rtol=1e-6)


@pytest.mark.parametrize("measured", [lambda y: y, keras.backend.mean])
def test_a_metric_that_is_told_a_tensor_says_what_counts_it(measured):
    class Inner(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense, self.mean = keras.layers.Dense(2), keras.metrics.Mean(name="mean")

        def call(self, x):
            y = self.dense(x)
            self.mean.update_state(measured(y))
            return y

    with pytest.raises(TypeError, match=r"metric 'mean' counts numbers.*self.add_metric\(value, name='mean'\)"):
        keras.Sequential([keras.Input((3,)), Inner()])
    with pytest.raises(TypeError, match=r"self.add_metric.*train_step"):
        keras.metrics.BinaryAccuracy()(keras.Input((3,)), keras.Input((3,)))


@pytest.mark.parametrize("base", [keras.layers.Layer, keras.layers.Dense])
def test_a_number_may_take_the_place_of_a_weight_that_a_call_reads(base):
    """As in Keras; what the package's own formulas use is set by assign."""

    class Scale(base):
        def build(self, input_shape):
            super().build(input_shape)
            self.factor = self.add_weight(shape=(), initializer="ones", name="factor", trainable=False)

        def call(self, x):
            return x * self.factor

    layer = Scale(2) if base is keras.layers.Dense else Scale()
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(layer(x), x)
    layer.factor = 3.0
    np.testing.assert_array_equal(layer(x), 3 * x)


class Gained(keras.layers.Dense):
    def __init__(self, units, gain=2.0, **kwargs):
        super().__init__(units, **kwargs)
        self.gain = gain

    def call(self, inputs):
        return super().call(inputs) * self.gain + 1.0


def written(path, model):
    model.save(path)
    return keras.models.load_model(path, custom_objects={"Gained": Gained})


COPIES = {
    "from_config": lambda m, _: keras.Model.from_config(m.get_config(), custom_objects={"Gained": Gained}),
    "from_json": lambda m, _: keras.models.model_from_json(m.to_json(), custom_objects={"Gained": Gained}),
    "clone": lambda m, _: keras.models.clone_model(m),
    "clone_by": lambda m, _: keras.models.clone_model(m, clone_function=lambda c: type(c).from_config(c.get_config())),
    ".keras": lambda m, path: written(path / "m.keras", m),
    ".h5": lambda m, path: written(path / "m.h5", m),
    ".safetensors": lambda m, path: written(path / "m.safetensors", m),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_what_a_call_adds_to_the_librarys_layer_is_there_once_in_a_copy(copied, tmp_path, rng):
    """(x · W + b) · gain + 1, of two such layers, one of which is called twice; not with the gain squared."""
    inputs, twice = keras.Input((3,)), Gained(3, 0.5, name="twice")
    model = keras.Model(inputs, Gained(2, 3.0, name="once")(twice(twice(inputs))))
    again, x = copied(model, tmp_path), rng.normal(size=(4, 3)).astype("float32")
    again.set_weights(model.get_weights())
    (w, b), (v, c) = (again.get_layer(name).get_weights() for name in ("twice", "once"))
    y = x
    for _ in range(2):
        y = (y @ w + b) * 0.5 + 1
    np.testing.assert_allclose(again.predict(x, verbose=0), (y @ v + c) * 3 + 1, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(again.get_layer("once")(y), (y @ v + c) * 3 + 1, rtol=1e-5, atol=1e-6)


def test_a_class_given_by_a_clone_function_is_called_and_one_of_a_file_of_keras(rng):
    """A `Dense` that becomes a `Gained`; Keras's config has one place for all that a call does."""
    inputs, x = keras.Input((3,)), rng.normal(size=(4, 3)).astype("float32")
    plain = keras.Model(inputs, keras.layers.Dense(2, name="d")(inputs))
    cloned = keras.models.clone_model(plain, clone_function=lambda c: Gained(2, 3.0))
    config = plain.get_config()
    config["layers"][1] |= {"module": None, "class_name": "Gained", "registered_name": "Gained"}
    config["layers"][1]["config"]["gain"] = 3.0
    for made in (cloned, keras.Model.from_config(config, custom_objects={"Gained": Gained})):
        kernel, bias = made.get_weights()
        np.testing.assert_allclose(made.predict(x, verbose=0), (x @ kernel + bias) * 3 + 1, rtol=1e-5, atol=1e-6)


OF_KERAS = {"kernel_initializer": {"class_name": "HeNormal", "config": dict.fromkeys(("seed", "input_axes"))}}
KERAS_CONFIGS = {  # what Keras 3.15's get_config has beside what the classes here have
    "Dense": {"units": 2, "quantization_config": None, **OF_KERAS},
    "Conv2D": {"filters": 2, "kernel_size": [3, 3], **OF_KERAS},
    "BatchNormalization": {"momentum": 0.5, "renorm": False, "renorm_clipping": None, "renorm_momentum": 0.99},
    "LayerNormalization": {"epsilon": 0.5, "rms_scaling": False},
}


@pytest.mark.parametrize("kind", ["library", "subclass", "with_call"])
@pytest.mark.parametrize("name", KERAS_CONFIGS)
def test_configs_of_keras_are_read_by_the_librarys_layers_and_by_subclasses(name, kind):
    cls, config = getattr(layers, name), KERAS_CONFIGS[name]
    if kind != "library":
        own = {"call": lambda self, x: cls.call(self, x)} if kind == "with_call" else {}
        cls = type(f"Own{name}", (cls,), own)
    before, layer = json.dumps(config), cls.from_config(config)
    assert type(layer) is cls and json.dumps(config) == before
    assert {"units": 2, "filters": 2, "momentum": 0.5, "epsilon": 0.5}.items() & vars(layer).items()
    if "kernel_initializer" in config:
        assert type(layer.kernel_initializer).__name__ == "HeNormal"
    with pytest.raises((TypeError, ValueError), match=r"renorm|quantization_config|input_axes"):
        cls.from_config({**config, "renorm": True})


def test_an_argument_of_keras_that_a_class_takes_itself_is_its_own():
    class Renormed(layers.BatchNormalization):
        def __init__(self, renorm=True, **kwargs):
            super().__init__(**kwargs)
            self.renorm = renorm

    assert Renormed.from_config({"renorm": False}).renorm is False


class Three(layers.Conv2D):
    def __init__(self, filters, **kwargs):
        super().__init__(filters, 3, **kwargs)


def test_a_subclass_hands_on_what_the_librarys_class_takes(rng):
    """Channels in front where `keras.backend` says so, functions as activations, names of Keras 1."""
    x = rng.normal(size=(2, 3, 8, 9)).astype("float32")
    before = keras.backend.image_data_format()
    keras.backend.set_image_data_format("channels_first")
    try:
        cases = [Three(4), type("Plain", (layers.Conv2D,), {})(4, 3), type("Called", (Three,), {"call": Three.call})(4)]
        pool = type("Pool", (layers.MaxPooling2D,), {})(2)
        for layer in cases:
            assert layer(x).shape == (2, 4, 6, 7) and layer.data_format == "channels_first"
        np.testing.assert_array_equal(pool(x), layers.MaxPooling2D(2)(x))
    finally:
        keras.backend.set_image_data_format(before)
    images = x.transpose(0, 2, 3, 1)
    twice, plain = Three(4, activation=lambda y: 2 * y, border_mode="same"), Three(4, padding="same")
    twice.build((None, 8, 9, 3))
    plain.build((None, 8, 9, 3))
    plain.set_weights(twice.get_weights())
    np.testing.assert_allclose(twice(images), 2 * plain(images), rtol=1e-6)
    assert type("Leaky", (layers.LeakyReLU,), {})(0.25).negative_slope == 0.25


def test_weights_of_a_build_that_is_called_by_hand_may_be_set():
    class Scaled(layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(shape[-1], 2), initializer="random_normal", name="w")

        def call(self, x):
            return keras.ops.matmul(x, self.w)

    layer = Scaled()
    layer.build((None, 3))
    layer.set_weights([np.full((3, 2), 2.0)])
    assert layer.count_params() == 6
    model = keras.Sequential([keras.Input((3,)), layer])
    assert model.predict(np.ones((1, 3)), verbose=0).tolist() == [[6, 6]]


class Listed(layers.Layer):
    """A layer that takes a list of inputs, as several feature maps, of which there may be one."""

    def build(self, shapes):
        self.shapes_seen = [tuple(shape) for shape in shapes]
        self.scale = self.add_weight(shape=(shapes[0][-1],), initializer="ones", name="scale")

    def call(self, inputs):
        assert isinstance(inputs, list), inputs
        return inputs[0] * self.scale * len(inputs)


class ListedLayers(layers.Layer):
    """The same, made of a layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, inputs):
        assert isinstance(inputs, list), inputs
        return self.dense(inputs[0])


def test_a_list_of_one_input_is_a_list_in_call_and_in_build(rng):
    x = rng.normal(size=(2, 3)).astype(np.float32)
    on_arrays, on_tensors = Listed(), Listed()
    np.testing.assert_array_equal(on_arrays([x]), x)  # and not its first sample
    inputs = keras.Input((3,))
    model = keras.Model(inputs, on_tensors([inputs]))
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)
    assert on_arrays.shapes_seen == on_tensors.shapes_seen == [(None, 3)]
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.fit(x, np.zeros_like(x), verbose=0)
    np.testing.assert_allclose(on_tensors.get_weights()[0], 1 - 0.5 * 2 * (x**2).mean(0) / 3, rtol=1e-5)
    with pytest.raises(ValueError, match="same form of inputs"):
        on_tensors(inputs)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
@pytest.mark.parametrize("cls", [Listed, ListedLayers])
def test_a_list_of_one_input_is_a_list_in_files_and_clones(rng, tmp_path, cls, suffix):
    x, inputs = rng.normal(size=(2, 3)).astype(np.float32), keras.Input((3,))
    model = keras.Model(inputs, cls()([inputs]))
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / f"model{suffix}")
    loaded = keras.models.load_model(tmp_path / f"model{suffix}", custom_objects={cls.__name__: cls})
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for other in (loaded, clone):
        np.testing.assert_array_equal(other.predict(x, verbose=0), expected)


def test_a_list_of_one_input_in_a_config_of_keras():
    tensor = {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 3], "dtype": "float32", "keras_history": ["a", 0, 0]},
    }
    own = {"module": None, "class_name": "Listed", "config": {"name": "b"}, "registered_name": "Listed", "name": "b"}
    begin = {"module": "keras.layers", "class_name": "InputLayer", "registered_name": None, "name": "a"}
    begin |= {"config": {"batch_shape": [None, 3], "dtype": "float32", "name": "a"}, "inbound_nodes": []}
    config = {
        "name": "model",
        "trainable": True,
        "layers": [begin, own | {"inbound_nodes": [{"args": [[tensor]], "kwargs": {}}]}],
        "input_layers": [["a", 0, 0]],
        "output_layers": [["b", 0, 0]],
    }
    model = keras.Model.from_config(config, custom_objects={"Listed": Listed})
    np.testing.assert_array_equal(model.predict(np.ones((2, 3)), verbose=0), np.ones((2, 3)))


def test_the_function_of_a_lambda_gets_a_list_of_one_as_a_list(rng, tmp_path):
    def first_doubled(inputs):
        assert isinstance(inputs, list), inputs
        return np.maximum(inputs[0], 0) + inputs[0] * 2

    x, inputs = rng.normal(size=(2, 3)).astype(np.float32), keras.Input((3,))
    layer = layers.Lambda(first_doubled, name="twice")
    model = keras.Model(inputs, layer([inputs]))
    expected = np.maximum(x, 0) + 2 * x
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-6)
    np.testing.assert_allclose(layers.Lambda(first_doubled)([x]), expected, rtol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={"first_doubled": first_doubled})
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="in a list wherever"):
        model.layers[-1](inputs)


class Called(layers.Layer):
    """Raschka's NoisyLinear calls a weight "weights"; no name of a weight is an attribute in Keras."""

    def build(self, input_shape):
        self.w = self.add_weight(name="weights", shape=(input_shape[1], 2), initializer="ones")
        self.c = self.add_weight(name="call", shape=(2,), initializer="zeros")
        self.q = self.add_weight(name="block/scale", shape=(2,), initializer="ones")
        self.n = self.add_weight(name="name", shape=(2,), initializer="ones", trainable=False)

    def call(self, x):
        return tf.matmul(x, self.w) + self.c + self.q * self.n


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_weights_may_be_called_as_what_layers_have(suffix, tmp_path):
    """Losses and outputs of tf_keras 2.21."""
    x = np.arange(6.0).reshape(2, 3) / 6
    model = keras.Sequential([keras.Input((3,)), Called()])
    model.compile("sgd", "mse")
    losses = model.fit(x, np.ones((2, 2)), epochs=3, verbose=0).history["loss"]
    np.testing.assert_allclose(losses, [2.125, 2.031881332397461, 1.9435232877731323], rtol=1e-5)
    layer = model.layers[0]
    assert layer.name == "called" and callable(layer.call) and len(layer.weights) == 4
    assert [w.shape for w in layer.trainable_weights] == [(3, 2), (2,), (2,)]
    model.save(path := tmp_path / f"model{suffix}")
    again = keras.models.load_model(path, custom_objects={"Called": Called})
    np.testing.assert_allclose(again.predict(x, verbose=0).ravel(), [1.4146373] * 2 + [2.8834639] * 2, rtol=1e-5)


@pytest.mark.parametrize("names", [["w", "w", "w"], ["a/b", "a_b", "a_b"], ["weights_", "weights", "weights"]])
def test_weights_of_one_name_are_several(names, tmp_path):
    """Of a loop, for one; the second was the first, silently. 2 · 3 · 4 as in Keras."""

    class Scaled(layers.Layer):
        def build(self, input_shape):
            self.scales = [
                self.add_weight(name=n, initializer=keras.initializers.Constant(k)) for k, n in enumerate(names, 2)
            ]
            self.built = True

        def call(self, x):
            for scale in self.scales:
                x = x * scale
            return x

    a, b = keras.Input((1,)), keras.Input((1,))
    layer = Scaled()
    model = keras.Model([a, b], [layer(a), layer(b)])
    assert [y.item() for y in model.predict([np.ones((1, 1)), np.ones((1, 1))], verbose=0)] == [24, 24]
    assert len({w.name for w in layer.weights}) == 3
    model.save_weights(path := tmp_path / "model.weights.h5")
    layer.set_weights([np.float32(1)] * 3)
    model.load_weights(path)
    assert [float(w.numpy()) for w in layer.weights] == [2, 3, 4]


def test_weights_of_one_name_in_a_constructor_are_several():
    class Line(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.slope = self.add_weight(name="w", initializer=keras.initializers.Constant(2))
            self.offset = self.add_weight(name="w", initializer=keras.initializers.Constant(3))

        def call(self, x):
            return x * self.slope + self.offset

    model = keras.Sequential([keras.Input((1,)), Line()])
    assert model.predict(np.full((1, 1), 5.0), verbose=0).tolist() == [[13]]
    assert [float(w.numpy()) for w in model.weights] == [2, 3]


def test_a_weight_called_as_one_of_the_librarys_layer():
    """Its formula has the one that it declares: 0 · x + 1."""

    class Scaled(layers.Dense):
        def build(self, input_shape):
            super().build(input_shape)
            self.scale = self.add_weight(name="kernel", shape=(3, 3), initializer="ones")

        def call(self, x):
            return super().call(x)

    model = keras.Sequential([keras.Input((3,)), Scaled(3, kernel_initializer="zeros", bias_initializer="ones")])
    assert model.predict(np.ones((1, 3)), verbose=0).tolist() == [[1, 1, 1]]
    assert [w.numpy().sum() for w in model.weights] == [0, 3, 9]


def test_a_weight_called_as_one_that_the_librarys_build_declares_then_is_another_one(tmp_path):
    class Shifted(keras.layers.Dense):
        def build(self, input_shape):
            self.shift = self.add_weight(name="kernel", shape=(input_shape[-1], self.units), initializer="zeros")
            super().build(input_shape)

        def call(self, inputs):
            return super().call(inputs) + keras.ops.matmul(inputs, self.shift)

    x = np.arange(8, dtype="float32").reshape(2, 4)  # (2, 4)
    model = keras.Sequential([keras.Input((4,)), Shifted(2, kernel_initializer="ones")])
    layer = model.layers[0]
    assert [w.shape for w in layer.weights] == [(4, 2), (4, 2), (2,)]  # in Keras's order: the one, kernel and bias
    np.testing.assert_array_equal(model.predict(x, verbose=0), np.repeat(x.sum(1, keepdims=True), 2, 1))
    layer.shift.assign(np.full((4, 2), 2.0))
    np.testing.assert_array_equal(model.predict(x, verbose=0), np.repeat(3 * x.sum(1, keepdims=True), 2, 1))
    model.save_weights(tmp_path / "model.weights.h5")
    again = keras.Sequential([keras.Input((4,)), Shifted(2)])
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize("where", ["constructor", "build"])
def test_weights_of_one_name_of_a_model_are_several(where):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1, kernel_initializer="ones")
            if where == "constructor":
                self.declare()

        def build(self, input_shape):
            if where == "build":
                self.declare()
            super().build(input_shape)

        def declare(self):
            self.factor = self.add_weight(name="w", shape=(4,), initializer="ones")
            self.offset = self.add_weight(name="w", shape=(4,), initializer="zeros")

        def call(self, inputs):
            return self.dense(inputs * self.factor + self.offset)

    x = np.arange(8, dtype="float32").reshape(2, 4)  # (2, 4)
    model = Model()
    np.testing.assert_array_equal(model(x), x.sum(1, keepdims=True))
    assert len(model.trainable_weights) == 4
    model.compile(keras.optimizers.SGD(0.125), "mse")
    model.train_on_batch(x, np.zeros((2, 1), "float32"))
    # dL/doffset = 2/N · Σ y · kernel, dL/dfactor = 2/N · Σ y · x · kernel, with y = (6, 22), N = 2
    np.testing.assert_allclose(model.offset.numpy(), -0.125 * 28 * np.ones(4))
    np.testing.assert_allclose(model.factor.numpy(), 1 - 0.125 * (6 * x[0] + 22 * x[1]))


C = np.array([[[1.0, 2.0]]], "float32")  # (1, 1, 2)
REPEATED = {  # how a constant is repeated for n samples: losses of two epochs in Keras 3.15.1 on TensorFlow
    "tile": (lambda n: tf.tile(tf.constant(C), [n, 1, 1]), [5.2703, 4.6384]),
    "ops.tile": (lambda n: keras.ops.tile(C, (n, 1, 1)), [5.2703, 4.6384]),
    "broadcast_to": (lambda n: tf.broadcast_to(tf.constant(C), [n, 1, 2]), [5.2703, 4.6384]),
    "of fewer axes": (lambda n: tf.broadcast_to(tf.constant(C[0]), [n, 1, 2]), [5.2703, 4.6384]),
    "ops.broadcast_to": (lambda n: keras.ops.broadcast_to(C, (n, 1, 2)), [5.2703, 4.6384]),
    "repeat": (lambda n: tf.repeat(tf.constant(C), n, axis=0), [5.2703, 4.6384]),
    "computed with": (lambda n: tf.tile(tf.constant(C) * 2.0 + 1.0, [n, 1, 1]) * 2.0, [78.9659, 78.334]),
    "zeros": (lambda n: tf.zeros([n, 1, 2]), [2.5405, 1.9086]),
    "ones": (lambda n: tf.ones((n, 1, 2)), [3.7936, 3.1617]),
    "fill": (lambda n: tf.fill([n, 1, 2], 3.0), [13.0498, 12.4179]),
}


@pytest.mark.parametrize("how", REPEATED)
def test_a_constant_for_each_sample_beside_layers(how, tmp_path):
    repeat, losses = REPEATED[how]

    class Own(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(2, kernel_initializer="ones")

        def call(self, x):
            return tf.concat([repeat(tf.shape(x)[0]), tf.expand_dims(self.dense(x), 1)], 1) * 1.5

    rng, inputs = np.random.default_rng(0), keras.Input((2,))
    x, y = rng.normal(size=(6, 2)).astype("float32"), rng.normal(size=(6, 2, 2)).astype("float32")
    model = keras.Model(inputs, Own(name="own")(inputs))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    assert history["loss"] == pytest.approx(losses, abs=6e-5)
    model.save(tmp_path / "own.keras")
    back = keras.models.load_model(tmp_path / "own.keras", custom_objects={"Own": Own})
    np.testing.assert_array_equal(back.predict(x, verbose=0), model.predict(x, verbose=0))
