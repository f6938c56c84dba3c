"""K.gradients and K.function of Keras 1 and 2: Grad-CAM, saliency maps, dropout in use; and a layer of Keras 1."""

import sys

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import layers, models
from minicnn.keras import tensorflow as tf

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def dense():
    """A softmax regression on 4 numbers, whose gradients have formulas."""
    model = models.Sequential([layers.Dense(3, activation="softmax", input_shape=(4,), name="scores")])
    return model, np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def convolutional():
    """A network with dropout and batch normalization behind its convolution."""
    model = models.Sequential()
    model.add(layers.Conv2D(4, (3, 3), activation="relu", input_shape=(8, 8, 1), name="features"))
    model.add(layers.BatchNormalization())
    model.add(layers.Dropout(0.5))
    model.add(layers.Flatten())
    model.add(layers.Dense(3, activation="softmax"))
    return model


def softmax_gradient(model, x, which):
    """d p_c / d x = p_c (w_c - Σ p_k w_k), (N, 4)."""
    kernel, bias = (w.astype(np.float64) for w in model.get_weights())
    p = np.exp(x @ kernel + bias)
    p /= p.sum(axis=1, keepdims=True)
    return p[:, which, None] * (kernel[:, which] - p @ kernel.T)


def test_the_gradient_by_the_input(dense):
    model, x = dense
    gradient = K.gradients(model.output[:, 1], model.input)[0]
    get = K.function([model.input], [gradient, model.output])
    made, probabilities = get([x])
    assert np.allclose(made, softmax_gradient(model, x, 1), atol=1e-6)
    assert np.allclose(probabilities, model.predict(x))


def test_what_is_computed_of_gradients(dense):
    model, x = dense
    loss = K.mean(model.output[:, 0])
    gradient = K.gradients(loss, [model.input])[0]
    gradient /= K.sqrt(K.mean(K.square(gradient))) + 1e-5
    iterate = K.function([model.input, K.learning_phase()], [loss, gradient, K.relu(-gradient)])
    value, made, below = iterate([x, 0])
    expected = softmax_gradient(model, x, 0) / len(x)
    expected /= np.sqrt(np.mean(expected**2)) + 1e-5
    assert np.ndim(value) == 0 and np.allclose(value, model.predict(x)[:, 0].mean())
    assert np.allclose(made, expected, atol=1e-4)
    assert np.allclose(below, np.maximum(-expected, 0), atol=1e-4)


def test_gradients_by_weights(dense):
    model, x = dense
    found = K.function([model.input], K.gradients(K.sum(model.output[:, 2]), model.trainable_weights))([x])
    kernel, bias = model.get_weights()
    p = model.predict(x).astype(np.float64)
    by_scores = p[:, 2, None] * (np.eye(3)[2] - p)  # (N, 3)
    assert np.allclose(found[0], x.T @ by_scores, atol=1e-6)
    assert np.allclose(found[1], by_scores.sum(axis=0), atol=1e-6)
    assert found[0].shape == kernel.shape and found[1].shape == bias.shape


def test_a_class_activation_map(small):
    x, _ = small
    model = convolutional()
    features = model.get_layer("features").output
    gradient = K.gradients(model.output[:, 2], features)[0]
    pooled = K.mean(gradient, axis=(0, 1, 2))
    iterate = K.function([model.input], [pooled, features[0], K.sum(features * pooled, axis=-1)])
    weights, first, heat = iterate([x])
    maps = models.Model(model.input, features).predict(x)
    assert weights.shape == (4,) and first.shape == (6, 6, 4)
    assert np.allclose(heat, maps @ weights, atol=1e-6)
    step = np.zeros_like(maps)
    step[:, 2, 3, 1] = 1e-2
    head = models.Sequential(model.layers[1:])
    slope = (head.predict(maps + step) - head.predict(maps - step))[:, 2] / 2e-2
    by_place = K.function([model.input], [gradient])([x])[0]
    assert np.allclose(by_place[:, 2, 3, 1], slope, atol=1e-4)


def test_a_class_activation_map_through_a_model_on_top(small):
    """A stack of a model and a layer that leaves the score of one class; the map is asked for inside of the model."""
    x, _ = small
    inner = convolutional()
    score = K.one_hot([1], 3)
    model = models.Sequential()
    model.add(inner)
    model.add(layers.Lambda(lambda x: x * score, output_shape=lambda shape: shape))
    features = next(layer for layer in model.layers[0].layers if layer.name == "features").output
    gradient = K.gradients(K.sum(model.layers[-1].output), features)[0]
    get = K.function([model.layers[0].input, K.learning_phase()], [features, gradient])
    alone = K.gradients(inner.output[:, 1], features)[0]
    assert np.allclose(get([x, 0])[1], K.function([inner.input], [alone])([x])[0], atol=1e-7)
    assert np.abs(get([x, 0])[1]).max() > 0


def test_dropout_in_use(small):
    x, _ = small
    model = convolutional()
    before = model.get_weights()
    get = K.function([model.layers[0].input, K.learning_phase()], [model.layers[-1].output])
    assert not np.allclose(get([x, 1])[0], get([x, 1])[0])
    assert np.allclose(get([x, 0])[0], model.predict(x), atol=1e-6)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    K.set_learning_phase(1)
    plain = K.function([model.input], [model.output])
    assert K.learning_phase() == 1 and not np.allclose(plain([x])[0], plain([x])[0])
    K.set_learning_phase(0)
    assert np.allclose(plain([x])[0], model.predict(x), atol=1e-6)


def test_what_is_behind_the_inputs_is_not_looked_at(dense):
    model, x = dense
    assert np.allclose(K.function([model.input], [model.output])([x, 0])[0], model.predict(x))


def test_gradients_that_are_not_there(dense):
    model, _ = dense
    with pytest.raises(TypeError, match=r"for add_loss and K\.function alone"):
        layers.Dense(2)(model.output[0])
    with pytest.raises(ImportError, match="gradients of gradients"):
        K.function([model.input], K.gradients(K.gradients(model.output, model.input)[0], model.input))(
            [np.ones((1, 4))]
        )
    with pytest.raises(ImportError, match=r"GradientTape.*Received: ndarray"):
        K.gradients(np.ones(3), model.input)


def test_maxout_of_keras_1():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 5)).astype(np.float32)
    model = models.Sequential([layers.MaxoutDense(output_dim=3, nb_feature=2, init="normal", input_dim=5)])
    kernel, bias = (rng.normal(size=w.shape).astype(np.float32) for w in model.get_weights())
    model.set_weights([kernel, bias])
    by_hand = np.max([x @ kernel[i] + bias[i] for i in range(2)], axis=0)
    assert kernel.shape == (2, 5, 3) and np.allclose(model.predict(x), by_hand, atol=1e-5)
    model.compile("sgd", "mse")
    history = model.fit(x, rng.normal(size=(16, 3)), nb_epoch=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_functions_of_networks_deeper_than_pythons_stack():
    tensor = first = layers.Input((2,))
    for _ in range(sys.getrecursionlimit()):
        tensor = -tensor
    found = K.function([first], [tensor])([np.ones((1, 2))])[0]
    assert np.array_equal(found, np.full((1, 2), (-1.0) ** sys.getrecursionlimit()))


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_weights_of_samples_beside_targets_on_a_tape(shape):
    class Squared(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return np.mean(np.square(y_pred - y_true), axis=-1)

    y, target, weight = np.arange(6.0).reshape(3, 2), np.ones((3, 2)), np.array([1.0, 2, 4]).reshape(shape)
    with tf.GradientTape() as tape:
        watched = tf.constant(target)
        tape.watch(watched)
        loss = Squared()(watched, y, sample_weight=weight)
    assert np.isclose(float(loss), np.mean([1, 2, 4] * np.mean((y - 1) ** 2, -1)))
    assert np.allclose(tape.gradient(loss, watched), 2 * np.array([[1], [2], [4]]) * (1 - y) / 6, atol=1e-6)


def test_gradients_have_no_length():
    x = layers.Input((2,))
    (gradient,) = K.gradients(K.mean(layers.Dense(1)(x)), [x])
    with pytest.raises(TypeError, match="not iterable"):
        list(gradient)
