"""``np.seterr(all="raise")``, as scientific programs set it: numbers that become 0 are no error of anybody's."""

import inspect
import itertools

import numpy as np
import pytest

import minicnn as mc
from minicnn import initializers, layers, losses, metrics
from minicnn.initializers import Initializer

SCALES = (1e-300, 1e-40, 1e-20, 1.0, 1e3, 1e15)  # the first two are too small for float32


@pytest.fixture(autouse=True)
def raises():
    with np.errstate(all="raise"):
        yield


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax", "leaky_relu"])
def test_activations(name, scale):
    x = np.array([[-1000.0, 0.5, 1], [2, -3, 90]]) * scale
    assert np.isfinite(getattr(mc.activations, name)(x)).all()


PRODUCTS = {"Multiply", "Dot", "Arithmetic", "Power", "Elementary"}


@pytest.mark.parametrize("name", [n for n in layers.__all__ if hasattr(getattr(layers, n), "examples")])
def test_layers(name, rng):
    for (layer, shapes), scale in itertools.product(getattr(layers, name).examples(), SCALES):
        xs = [rng.standard_normal((3, *shape)) * scale for shape in shapes]
        if name in PRODUCTS and scale > 1:  # 1e15 · 1e15 · 1e15 is too large for float32
            continue
        if getattr(layer, "operation", None) == "divide" and scale < 1e-40:  # 0 / 0 in float32
            continue
        for training in (False, True):
            assert np.isfinite(layer(xs[0] if len(xs) == 1 else xs, training=training)).all()


@pytest.mark.parametrize("scale", SCALES)
def test_losses_and_metrics(scale, rng):
    logits, labels = rng.standard_normal((5, 4)) * scale, np.array([0, 1, 2, 3, 0])
    one_hot, mean = np.eye(4)[labels], np.abs(logits) / np.abs(logits).sum(axis=1, keepdims=True)
    values = [
        losses.CategoricalCrossentropy(from_logits=True)(one_hot, logits),
        losses.CategoricalCrossentropy()(one_hot, mean),
        losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits),
        losses.SparseCategoricalCrossentropy()(labels, mean),
        losses.BinaryCrossentropy(from_logits=True)(one_hot, logits),
        losses.BinaryCrossentropy()(one_hot, mean),
        losses.MeanSquaredError()(one_hot, logits),
        losses.MeanSquaredError()(logits * 0, logits),
        losses.MeanAbsoluteError()(one_hot, logits),
    ]
    for metric in (metrics.MeanSquaredError(), metrics.MeanAbsoluteError(), metrics.CategoricalAccuracy()):
        assert metric.result() == 0
        metric.update_state(logits * 0, logits)
        values.append(metric.result())
    assert np.isfinite(values).all()


def test_initializers():
    classes = [c for _, c in inspect.getmembers(initializers, inspect.isclass) if issubclass(c, Initializer)]
    for initializer in classes:
        if initializer.draw is not Initializer.draw and not initializer.__name__.startswith("_"):
            assert np.isfinite(initializer()((3, 3, 4, 5))).all()
    assert not initializers.RandomNormal(stddev=1e-200)((4, 4)).any()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(("loss", "units"), [("sparse_categorical_crossentropy", 3), ("binary_crossentropy", 1)])
def test_fit(loss, units, backend, rng):
    for optimizer, scale in itertools.product(["sgd", "adam", "adadelta"], (1e-300, 1e-30, 255.0)):
        model = mc.Sequential(
            [
                mc.Input((6, 6, 1)),
                layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
                layers.BatchNormalization(),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dense(units, activation="softmax" if units > 1 else "sigmoid"),
            ]
        )
        model.compile(optimizer, loss, metrics=["accuracy"], backend=backend)
        x, y = rng.standard_normal((12, 6, 6, 1)) * scale, np.arange(12) % max(units, 2)
        model.fit(x, y, epochs=2, batch_size=5, verbose=0)
        model.layers[0].kernel.assign(model.layers[0].kernel.numpy().astype(float) * 1e-50)
        assert np.isfinite(model.evaluate(x, y, verbose=0)).all()
        assert np.isfinite(model.predict(x, verbose=0)).all()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_the_user_s_setting_stays(backend):
    model = mc.Sequential([mc.Input((3,)), layers.Dense(2, activation="softmax")])
    model.compile("sgd", "mse", backend=backend)
    model.predict(np.ones((2, 3)), verbose=0)
    assert np.geterr()["under"] == "raise"
