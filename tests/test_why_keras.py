"""Saliency and Grad-CAM as Keras's recipes compute them, on a model that both have."""

import numpy as np
import pytest
from oracles import every_backend
from real_keras import keras, tf

import minicnn as mc
from minicnn.visualization.grad_cam import grad_cam

pytestmark = pytest.mark.peers


def network(k):
    """A residual network with what acts otherwise in training."""
    L = k.layers
    image = k.Input(shape=(12, 11, 3))
    a = L.Conv2D(6, 3, activation="relu", name="first")(image)
    b = L.BatchNormalization(name="norm")(L.Conv2D(6, 3, padding="same", name="second")(a))
    a = L.MaxPooling2D()(L.Activation("relu")(L.Add()([a, b])))
    a = L.Conv2D(8, 3, activation="relu", name="last")(L.Dropout(0.4)(a))
    return k.Model(image, L.Dense(5, activation="softmax", name="scores")(L.GlobalAveragePooling2D()(a)))


@pytest.fixture
def twins(rng):
    theirs, ours = network(keras), network(mc)
    weights = [w + rng.normal(scale=0.1, size=w.shape) for w in theirs.get_weights()]
    names = [w.path for w in theirs.weights]
    weights = [np.abs(w) if "variance" in name else w for w, name in zip(weights, names, strict=True)]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    return theirs, ours, rng.normal(size=(4, 12, 11, 3)).astype(np.float32)


@every_backend
@pytest.mark.parametrize("before_activation", [False, True])
def test_gradients_by_inputs(twins, backend, before_activation):
    mc.set_backend(backend)
    theirs, ours, x = twins
    if before_activation:
        theirs.layers[-1].activation = keras.activations.linear
    images = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = tf.gather(theirs(images, training=False), [1, 0, 4, 2], batch_dims=1)
    expected = tape.gradient(scores, images).numpy()
    found = ours.input_gradients(x, [1, 0, 4, 2], before_activation=before_activation)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@every_backend
def test_gradients_of_the_loss(twins, backend):
    mc.set_backend(backend)
    theirs, ours, x = twins
    images, y = tf.constant(x), np.array([1, 0, 4, 2])
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, theirs(images, training=False)))
    expected = tape.gradient(loss, images).numpy()
    ours.compile("sgd", "sparse_categorical_crossentropy")
    np.testing.assert_allclose(ours.input_gradients(x, y=y), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@every_backend
@pytest.mark.parametrize("layer", ["first", "second", "last"])
def test_grad_cam(twins, backend, layer):
    """The recipe of Keras's example "Grad-CAM class activation visualization"."""
    mc.set_backend(backend)
    theirs, ours, x = twins
    theirs.layers[-1].activation = None
    inside = keras.models.Model(theirs.inputs, [theirs.get_layer(layer).output, theirs.output])
    found = grad_cam(ours, x, layer, target=3)
    for number in range(len(x)):
        with tf.GradientTape() as tape:
            maps, scores = inside(x[number : number + 1], training=False)
            score = scores[:, 3]
        pooled = tf.reduce_mean(tape.gradient(score, maps), axis=(0, 1, 2))
        heat = np.maximum(np.squeeze(maps[0] @ pooled[..., tf.newaxis]), 0)
        np.testing.assert_allclose(found[number], heat, rtol=0, atol=1e-4 * max(heat.max(), 1e-3))
