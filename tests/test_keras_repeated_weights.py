"""Weights that a `call` repeats for each sample, as class tokens and queries, handed to layers beside tensors.

The numbers are those of these classes in Keras 3.15.1 on TensorFlow 2.21.
"""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf


def wave(*shape, step=0.7, scale=1.0):
    """Numbers that are no pattern."""
    return (np.sin(np.arange(np.prod(shape)) * step) * scale).reshape(shape).astype("float32")


class Perceiver(keras.Model):
    """Its latent array asks the picture."""

    def __init__(self):
        super().__init__()
        self.projection, self.rows = layers.Conv2D(4, 3, strides=3), layers.Reshape((-1, 4))
        self.latent = self.add_weight(shape=(3, 4), initializer="random_normal", name="latent")
        self.attention, self.normalize = layers.MultiHeadAttention(2, 2), layers.LayerNormalization()
        self.head = layers.Dense(4, "softmax")

    def call(self, x):
        x = self.rows(self.projection(x))  # (N, 16, 4)
        latent = ops.broadcast_to(self.latent, (ops.shape(x)[0], 3, 4))
        asked = self.attention(query=self.normalize(latent), value=x, key=x)
        return self.head(ops.mean(asked + latent, axis=1))


class ClassAttention(keras.Model):
    """CaiT: a model between tensors is given the class token and the patches, in a list."""

    def __init__(self):
        super().__init__()
        self.projection = keras.Sequential([layers.Conv2D(4, 3, strides=3), layers.Reshape((-1, 4))])
        self.token = self.add_weight(shape=(1, 1, 4), initializer="ones")
        patches, token = keras.Input((None, 4)), keras.Input((None, 4))
        asked = layers.MultiHeadAttention(2, 2)(token, ops.concatenate([token, patches], 1))
        self.block = keras.Model([patches, token], asked + token)
        self.head = layers.Dense(4, "softmax")

    def call(self, x):
        x = self.projection(x)
        return self.head(self.block([x, ops.tile(self.token, (ops.shape(x)[0], 1, 1))])[:, 0])


class Queries(layers.Layer):
    """DETR's queries, rows of an Embedding, with operations in the layers around."""

    def __init__(self):
        super().__init__()
        self.queries, self.attention = layers.Embedding(3, 4), layers.MultiHeadAttention(2, 2)
        self.add, self.join = layers.Add(), layers.Concatenate(1)

    def call(self, x):
        queries = tf.tile(self.queries(tf.range(3))[None], [tf.shape(x)[0], 1, 1])
        queries = self.add([queries, self.attention(queries, x, x)])
        return self.join([queries, x])


def detector():
    picture = keras.Input((12, 12, 3))
    x = Queries()(layers.Reshape((-1, 4))(layers.Conv2D(4, 3, strides=3)(picture)))
    return keras.Model(picture, layers.Dense(4, "softmax")(layers.Flatten()(x)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("make", "losses", "first"),
    [
        (Perceiver, [1.4023517, 1.4021219], [0.2644195, 0.3158565, 0.1998261, 0.2198978]),
        (ClassAttention, [1.4073811, 1.4069949], [0.2484191, 0.3295517, 0.2345429, 0.1874863]),
        (detector, [2.3589513, 1.6330180], [0.2929022, 0.2875704, 0.1987287, 0.2207989]),
    ],
)
def test_it_is_a_tensor_beside_tensors_and_trained(make, losses, first):
    model, x = make(), wave(8, 12, 12, 3) * 0.5 + 0.5
    model(x[:2])
    for number, weight in enumerate(model.trainable_weights):
        weight.assign(wave(*weight.shape, step=0.37 + 0.11 * number, scale=0.2))
    assert model.graph is not None
    model.compile("sgd", "sparse_categorical_crossentropy")
    history = model.fit(x, np.arange(8) % 4, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-5)
    np.testing.assert_allclose(model.predict(x, verbose=0)[0], first, rtol=1e-4)
