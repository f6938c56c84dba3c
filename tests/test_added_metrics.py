"""`add_metric`: what a model measures itself, in logs and histories, against float64 formulas of what it computes."""

import warnings

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.errors import NotBuiltError
from minicnn.keras import backend as K
from minicnn.keras import layers


@pytest.fixture
def x(rng):
    return rng.standard_normal((10, 6)).astype(np.float32)


def hidden_of(model, x):
    """What the first layer gives, in float64."""
    kernel, bias = (np.asarray(w, np.float64) for w in model.get_weights()[:2])
    return x.astype(np.float64) @ kernel + bias


def functional(**compiled):
    inputs = keras.Input((6,))
    hidden = layers.Dense(3)(inputs)
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.add_metric(hidden, name="each", aggregation="mean")
    model.add_metric(K.sum(K.square(hidden)), "sum")
    model.compile("sgd", "mse", **compiled)
    return model


def test_a_model_of_tensors(x):
    """Of a tensor each number counts, of a sum each batch: the last one is smaller."""
    model = functional(metrics=["mae"])
    y = np.zeros((10, 1))
    logs = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    assert list(logs) == ["each", "loss", "mae", "sum"]  # in the order of the alphabet, as in Keras 3
    hidden = hidden_of(model, x)
    assert logs["each"] == pytest.approx(hidden.mean(), rel=1e-5, abs=1e-6)
    assert logs["sum"] == pytest.approx(np.mean([np.square(hidden[i : i + 4]).sum() for i in (0, 4, 8)]), rel=1e-5)
    assert model.metrics_names == ["loss", "mae", "each", "sum"]
    assert len(model.test_on_batch(x, y)) == 4


def test_histories_and_validation(x):
    """With weights that stay, all epochs have the same numbers, whatever was predicted in between."""
    model = functional()
    model.optimizer.learning_rate = 0.0
    data = x, np.zeros((10, 1))
    between = keras.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: model.predict(3 * x[:2], verbose=0))
    history = model.fit(*data, epochs=2, batch_size=5, verbose=0, validation_data=data, callbacks=[between]).history
    expected = hidden_of(model, x)
    for prefix in ("", "val_"):
        assert history[f"{prefix}each"] == pytest.approx([expected.mean()] * 2, rel=1e-4, abs=1e-6)
        assert len(history[f"{prefix}sum"]) == 2


def test_it_changes_nothing_else(x):
    """Loss and gradients are those of the model without it, and only the loss's."""
    model = functional()
    y = np.ones((10, 1))
    assert model.evaluate(x, y, verbose=0)[0] == pytest.approx(np.square(model.predict(x) - y).mean(), rel=1e-5)
    assert mc.gradcheck(model).error <= 1e-6
    assert model.predict(x).shape == (10, 1)


def test_in_the_call_of_a_model(x):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.top = layers.Dense(3), layers.Dense(1)

        def call(self, inputs):
            h = self.hidden(inputs)
            self.add_metric(keras.ops.mean(h), name="h")
            self.add_loss(0.5 * keras.ops.mean(keras.ops.square(h)))
            return self.top(h)

    model = Net()
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((10, 1)), epochs=1, verbose=0)
    logs = model.evaluate(x, np.zeros((10, 1)), batch_size=10, verbose=0, return_dict=True)
    hidden = hidden_of(model, x)
    assert logs["h"] == pytest.approx(hidden.mean(), rel=1e-4, abs=1e-6)
    expected = np.square(model.predict(x)).mean() + 0.5 * np.square(hidden).mean()
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)


def test_without_a_loss_of_targets(x):
    """As variational autoencoders of Keras 2 are trained: by add_loss alone, without targets."""
    inputs = keras.Input((6,))
    hidden = layers.Dense(3)(inputs)
    model = keras.Model(inputs, layers.Dense(6)(hidden))
    model.add_loss(K.mean(K.square(inputs - model.output)))
    model.compile("adam")
    model.add_metric(K.mean(hidden), name="kl", aggregation="mean")
    history = model.fit(x, epochs=2, batch_size=5, verbose=0).history
    assert sorted(history) == ["kl", "loss"]
    assert model.evaluate(x, batch_size=10, verbose=0)[1] == pytest.approx(hidden_of(model, x).mean(), rel=1e-4)


@pytest.mark.parametrize("kind", ["arrays", "layers"])
def test_in_the_call_of_a_layer(kind, x):
    """Of one that computes with a weight, and of one that is made of a layer."""

    class Scaled(layers.Layer):
        def __init__(self):
            super().__init__()
            if kind == "layers":
                self.inner = layers.Dense(6, use_bias=False)

        def build(self, input_shape):
            if kind == "arrays":
                self.factor = self.add_weight(name="factor", shape=input_shape[-1:], initializer="ones")

        def call(self, inputs):
            made = inputs * self.factor if kind == "arrays" else self.inner(inputs)
            self.add_metric(made, name="scaled")
            self.add_metric(keras.ops.mean(keras.ops.abs(made)), name="size", aggregation="mean")
            return made

    inputs = keras.Input((6,))
    layer = Scaled()
    model = keras.Model(inputs, layers.Dense(1)(layer(inputs)))
    model.compile("sgd", "mse")
    y = np.zeros((10, 1))
    assert sorted(model.fit(x, y, verbose=0).history) == ["loss", "scaled", "size"]
    logs = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    weight = np.asarray(layer.get_weights()[0], np.float64)
    made = x * weight if kind == "arrays" else x @ weight
    assert logs["scaled"] == pytest.approx(made.mean(), rel=1e-4, abs=1e-6)
    assert logs["size"] == pytest.approx(np.mean([np.abs(made[i : i + 4]).mean() for i in (0, 4, 8)]), rel=1e-4)
    assert mc.gradcheck(model).error <= 1e-6


def test_a_metric_of_the_layers(rng):
    """As in Keras's guide: the layer at the end of a model gets targets, and its metric keeps the value itself."""

    class LogisticEndpoint(layers.Layer):
        def __init__(self, name=None):
            super().__init__(name=name)
            self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)
            self.accuracy_fn = keras.metrics.BinaryAccuracy()

        def call(self, targets, logits):
            self.add_loss(self.loss_fn(targets, logits))
            self.add_metric(self.accuracy_fn(targets, logits), name="accuracy")
            return keras.ops.sigmoid(logits)

    inputs, targets = keras.Input((3,), name="inputs"), keras.Input((10,), name="targets")
    dense, end = layers.Dense(10), LogisticEndpoint(name="predictions")
    model = keras.Model([inputs, targets], end(targets, dense(inputs)))
    model.compile("adam")
    data = {"inputs": rng.standard_normal((7, 3)), "targets": rng.integers(0, 2, (7, 10)).astype(float)}
    history = model.fit(data, batch_size=3, epochs=2, verbose=0, validation_data=(data, None)).history
    assert sorted(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    kernel, bias = (np.asarray(w, np.float64) for w in dense.get_weights())
    right = (data["inputs"] @ kernel + bias > 0.5) == (data["targets"] > 0.5)
    shown = model.evaluate(data, batch_size=3, verbose=0, return_dict=True)["accuracy"]
    assert shown == pytest.approx(right.mean()) == history["val_accuracy"][-1]
    assert float(end.accuracy_fn.result()) == pytest.approx(shown)


def test_steps_of_ones_own_and_calls_on_arrays(x):
    """Of a model with a train_step, and of one whose call depends on numbers."""

    class Stepping(keras.Model):
        def __init__(self, at_once):
            super().__init__()
            self.hidden, self.at_once = layers.Dense(3), at_once

        def call(self, inputs):
            h = self.hidden(inputs)
            if self.at_once and float(keras.ops.mean(h)) > 1e9:
                h = h + 1
            self.add_metric(h, name="h")
            return h

        def train_step(self, data):
            return super().train_step(data)

    for at_once in (False, True):
        model = Stepping(at_once)
        model.compile("sgd", "mse")
        y = np.zeros((10, 3))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it runs on arrays
            assert {"loss", "h"} <= set(model.fit(x, y, batch_size=4, verbose=0).history)
            logs = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
        assert logs["h"] == pytest.approx(hidden_of(model, x).mean(), rel=1e-4, abs=1e-6)


def test_files_hold_it(x, tmp_path):
    model = functional()
    expected = model.evaluate(x, np.zeros((10, 1)), batch_size=4, verbose=0, return_dict=True)
    for name in ("model.keras", "model.safetensors", "model.h5"):
        model.save(tmp_path / name)
        loaded = keras.models.load_model(tmp_path / name)
        assert loaded.evaluate(x, np.zeros((10, 1)), batch_size=4, verbose=0, return_dict=True) == expected


def test_what_is_refused(x):
    inputs = keras.Input((6,))
    hidden = layers.Dense(3)(inputs)
    model = keras.Model(inputs, hidden)
    with pytest.raises(ValueError, match=r"needs a name for the logs.*Received: name=None"):
        model.add_metric(hidden)
    with pytest.raises(ValueError, match="aggregation"):
        model.add_metric(hidden, name="h", aggregation="max")
    with pytest.raises(TypeError, match=r"takes value, name and aggregation. Received: \['nam'\]"):
        model.add_metric(hidden, "h", nam=3)
    with pytest.raises(TypeError, match=r"add_metric takes what is computed of the model's tensors.*Received: 1.0"):
        model.add_metric(1.0, name="h")
    with pytest.raises(NotBuiltError):
        keras.Sequential([layers.Dense(2)]).add_metric(hidden, name="h")
    with pytest.raises(RuntimeError, match="add_metric of layer 'mine' belongs into its call"):
        layers.Layer(name="mine").add_metric(hidden, name="h")
    model.add_metric(hidden, "mean", "mae")  # the order of TensorFlow 1
    model.compile("sgd", "mse", metrics=["mae"])
    with pytest.raises(
        ValueError, match=r"add_metric needs a name that no loss and no other metric has. Received: 'mae'"
    ):
        model.evaluate(x, np.zeros((10, 3)), verbose=0)


def test_what_another_model_leaves_is_not_counted(x):
    """A layer that measures may be part of two models: what it finds in the other one stays out of this one's logs."""
    a = mc.Input((6,))
    base = keras.Model(a, mc.layers.Dense(3, kernel_initializer="ones")(a))
    base.add_metric(base.output, name="z")
    b, c = mc.Input((6,)), mc.Input((6,))
    shallow = keras.Model(b, mc.layers.Dense(1)(base(b)))
    deep = keras.Model(c, mc.layers.Dense(1)(base(mc.layers.Dense(6)(c))))
    shallow.compile("sgd", "mse")
    y = np.zeros((len(x), 1))
    expected = shallow.evaluate(x, y, verbose=0, return_dict=True)["z"]
    assert expected == pytest.approx(np.repeat(x.sum(axis=1), 3).mean(), rel=1e-5, abs=1e-6)
    deep.predict(np.full_like(x, 1e4), verbose=0)
    assert shallow.evaluate(x, y, verbose=0, return_dict=True)["z"] == expected


def test_what_another_model_leaves_between_two_batches_is_not_counted(x):
    """Only what the places of this model have measured counts: another one's have other numbers."""
    a = mc.Input((6,))
    base = keras.Model(a, mc.layers.Dense(3, kernel_initializer="ones", trainable=False)(a))
    base.add_metric(base.output, name="z")
    b, c = mc.Input((6,)), mc.Input((6,))
    shallow = keras.Model(b, mc.layers.Dense(1)(base(b)))
    deep = keras.Model(c, mc.layers.Dense(1)(base(mc.layers.Dense(6)(mc.layers.Dense(6)(c)))))
    for model, other in ((shallow, deep), (deep, shallow)):

        class Others(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None, other=other):
                other.predict(np.full_like(x, 1e4), verbose=0)

            on_test_batch_begin = on_train_batch_end = on_train_batch_begin

        model.compile(mc.optimizers.SGD(0.0), "mse")
        y = np.zeros((len(x), 1))
        expected = model.evaluate(x, y, verbose=0, return_dict=True)["z"]
        logs = model.evaluate(x, y, verbose=0, return_dict=True, batch_size=4, callbacks=[Others()])
        assert logs["z"] == pytest.approx(expected, rel=1e-5)
        history = model.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[Others()]).history
        assert history["z"] == pytest.approx([expected] * 2, rel=1e-5)
