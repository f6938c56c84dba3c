"""Layers that a `call` calls, and of whose results it makes nothing: averages move and penalties count, as in Keras.

Losses are those of Keras 3.15.1 on TensorFlow.
"""

import copy
import pickle

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf

X = np.linspace(0, 1, 24, dtype="float32").reshape(6, 4)  # (6, 4)
Y = np.zeros((6, 1), "float32")  # (6, 1)


class Penalty(layers.Layer):
    def call(self, inputs):
        self.add_loss(ops.mean(ops.square(inputs)))
        return inputs


class OfLayers(layers.Layer):
    def __init__(self, returns_it, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.returns_it = layers.Dense(2, kernel_initializer="ones"), returns_it

    def call(self, inputs):
        made = self.inner(inputs)
        self.add_loss(ops.mean(ops.square(made)))
        return made if self.returns_it else inputs


def ones(**options):
    return layers.Dense(2, kernel_initializer="ones", **options)


def inner_model():
    start = keras.Input((4,))
    return keras.Model(start, ones(activity_regularizer="l2")(start))


LOSSES = {  # of two epochs
    "added": (Penalty, [0.3406, 0.3406]),
    "added in a layer of layers": (lambda: OfLayers(True), [5.4115, 5.1868]),
    "beside what it returns": (lambda: OfLayers(False), [5.4115, 5.1868]),
    "of weights": (lambda: ones(kernel_regularizer="l2"), [0.08, 0.08]),
    "of outputs": (lambda: ones(activity_regularizer="l2"), [0.1082, 0.1081]),
    "a layer of penalties": (lambda: layers.ActivityRegularization(l2=0.5), [0.6812, 0.6812]),
    "in a model": (inner_model, [0.1082, 0.1081]),
}


class Drops:
    """Of a model's or a layer's class: calls a layer whose result it does not use."""

    def __init__(self, layer):
        super().__init__()
        self.dropped, self.dense = layer, layers.Dense(1, kernel_initializer="zeros")

    def call(self, inputs, training=None):
        self.dropped(inputs)
        return self.dense(inputs)


class Dropping(Drops, keras.Model):
    pass


class DroppingLayer(Drops, layers.Layer):
    pass


@pytest.mark.parametrize("base", [Dropping, DroppingLayer])
@pytest.mark.parametrize("kind", LOSSES)
def test_penalties_count(kind, base):
    make, expected = LOSSES[kind]
    model = base(make()) if base is Dropping else keras.Sequential([keras.Input((4,)), base(make())])
    model.compile("sgd", "mse")
    losses = model.fit(X, Y, batch_size=6, epochs=2, verbose=0).history["loss"]
    np.testing.assert_allclose(losses, expected, atol=6e-5)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(losses[-1], rel=0.1)


HOW = {"dropped": None, "in inference": False, "frozen": None, "behind another layer": None, "adapted": None}


class Normalizing(keras.Model):
    def __init__(self, how):
        super().__init__()
        self.how, self.dense = how, layers.Dense(1)
        self.norm = layers.BatchNormalization(momentum=0.5, trainable=how != "frozen")
        self.before = layers.Dense(4, kernel_initializer=keras.initializers.Identity(2.0))

    def call(self, inputs, training=None):
        made = self.before(inputs) if self.how == "behind another layer" else inputs
        ops.relu(self.norm(made, training=HOW[self.how] if HOW[self.how] is False else training))
        return self.dense(inputs)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("how", HOW)
def test_averages_move(how, backend):
    """m ← (m + mean) / 2 and v ← (v + variance) / 2 in each of two batches, of x or of 2 x."""
    if how == "adapted":
        norm = layers.Normalization()
        norm.adapt(X)
        model = Dropping(norm)
        model.compile("sgd", "mse")
        model.fit(X, Y, verbose=0)
        assert norm not in [node.layer for node in model.graph.nodes]  # it computes nothing that anybody has
        return
    model = Normalizing(how)
    model.compile("sgd", "mse", backend=backend)
    model.fit(X, Y, batch_size=3, verbose=0, shuffle=False)
    mean, variance = np.zeros(4), np.ones(4)
    for batch in (X[:3], X[3:]) if how not in ("in inference", "frozen") else ():
        batch = batch * (2.0 if how == "behind another layer" else 1.0)
        mean, variance = (mean + batch.mean(0)) / 2, (variance + batch.var(0)) / 2
    np.testing.assert_allclose(model.norm.moving_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(model.norm.moving_variance.numpy(), variance, rtol=1e-5)
    runs = model.norm in [node.layer for node in model.graph.nodes]
    assert runs == (how != "in inference")  # where it computes nothing that anybody has
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    np.testing.assert_allclose(model.norm.moving_mean.numpy(), mean, rtol=1e-5)


def test_a_call_at_another_input_is_none_of_the_models():
    """That of a stack, which begins there when the model's call builds it."""

    class Stacked(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = ones(kernel_regularizer="l2")
            self.stack = keras.Sequential([self.first, layers.Dense(1, kernel_initializer="zeros")])

        def call(self, inputs):
            return self.stack(inputs)

    model = Stacked()
    model.compile("sgd", "mse")
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(0.01 * 8)
    assert [node.layer for node in model.graph.nodes if node.inputs] == [model.stack]


def test_on_a_tape_they_count_too():
    model = Dropping(ones(kernel_regularizer="l2", activity_regularizer="l2"))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(X, training=True)) + sum(model.losses)
    gradient = tape.gradient(loss, model.dropped.kernel)
    # 0.01 Σ w² + 0.01 / N Σ (x w)²: 0.02 w + 0.02 / N xᵀ x w, with w all ones
    np.testing.assert_allclose(gradient, 0.02 + 0.02 / 6 * X.T @ (X @ np.ones((4, 2))), rtol=1e-5)


def test_the_loss_still_goes_on_from_what_stands_before_a_softmax():
    """Logits 200 apart: -log(0) would be cut off at 16.1."""

    class Sure(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm = layers.BatchNormalization()
            self.dense = layers.Dense(
                2, activation="softmax", kernel_initializer=keras.initializers.Constant([[0, 200]])
            )

        def call(self, inputs):
            self.norm(inputs)
            return self.dense(inputs)

    model = Sure()
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.evaluate(np.ones((2, 1), "float32"), np.zeros(2), verbose=0) == pytest.approx(200.0)


SUFFIXES = (".keras", ".h5", ".safetensors")


def trained():
    model = Normalizing("dropped")
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=3, verbose=0, shuffle=False)
    return model


WAYS = {  # of a model and a folder
    "copied": lambda model, _: copy.deepcopy(model),
    "pickled": lambda model, _: pickle.loads(pickle.dumps(model)),
    "with a loss that is added then": lambda model, _: model.add_loss(ops.mean(model.output)) or model,
    "cloned": lambda model, _: cloned(model),
    "cloned by a function": lambda model, _: cloned(model, lambda layer: type(layer).from_config(layer.get_config())),
    **{suffix: lambda model, folder, suffix=suffix: read(model, folder / f"model{suffix}") for suffix in SUFFIXES},
}


def read(model, path):
    model.save(path)
    return keras.models.load_model(path)


def cloned(model, function=None):
    clone = keras.models.clone_model(model, clone_function=function)
    clone.set_weights(model.get_weights())
    return clone


@pytest.mark.parametrize("way", WAYS)
def test_they_run_in_what_is_made_of_the_model_too(way, tmp_path):
    model = trained()
    kept = model.norm.moving_mean.numpy()
    other = WAYS[way](model, tmp_path)
    other.compile("sgd", "mse")
    other.fit(X, Y, batch_size=6, verbose=0)
    norm = next(layer for layer in other.layers if isinstance(layer, layers.BatchNormalization))
    np.testing.assert_allclose(norm.moving_mean.numpy(), (kept + X.mean(0)) / 2, rtol=1e-5)


def test_sizes_may_be_open():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm, self.top = layers.BatchNormalization(momentum=0.5), layers.Dense(1)
            self.pool = layers.GlobalAveragePooling2D()

        def call(self, inputs, training=None):
            self.norm(inputs, training=training)
            return self.top(self.pool(inputs))

    model = Net()
    model.build((None, None, None, 2))
    model.compile("sgd", "mse")
    mean = np.zeros(2)
    for size in (3, 5):
        x = np.random.default_rng(size).random((4, size, size, 2)).astype("float32")
        model.fit(x, np.zeros((4, 1)), batch_size=4, verbose=0)
        mean = (mean + x.mean((0, 1, 2))) / 2
    np.testing.assert_allclose(model.norm.moving_mean.numpy(), mean, rtol=1e-5)


def test_an_onnx_file_leaves_them_out(tmp_path):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model = Dropping(Penalty())
    model(X)
    model.export(path := tmp_path / "model.onnx", format="onnx")
    assert [node.op_type for node in onnx.load(path).graph.node] == ["Gemm"]
    session = onnxruntime.InferenceSession(path)
    (made,) = session.run(None, {session.get_inputs()[0].name: X})
    np.testing.assert_allclose(made, model.predict(X, verbose=0), atol=1e-6)
