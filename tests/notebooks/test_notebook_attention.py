"""Vision transformers and their like, as scripts write them; the numbers are Keras 3.15's, of the same weights."""

import math

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf

PICTURES = np.sin(np.arange(6 * 8 * 8 * 3)).reshape(6, 8, 8, 3).astype("float32")
TOKENS = np.sin(np.arange(5 * 4 * 8)).reshape(5, 4, 8).astype("float32")
CLASSES = np.arange(6) % 3


def given_weights(model):
    """Weights that are small cosines."""
    start, values = 0, []
    for w in model.weights:
        size = math.prod(w.shape)
        values.append(0.3 * np.cos(np.arange(start, start + size)).reshape(w.shape))
        start += size
    model.set_weights(values)


def numbers_of(model, x, y=None, loss="mse"):
    """[a sum over predictions, the loss of an epoch with SGD, the sum of all weights then]."""
    given_weights(model)
    p = np.asarray(model.predict(x, verbose=0))
    model.compile("sgd", loss)
    history = model.fit(x, np.zeros_like(p) if y is None else y, batch_size=3, shuffle=False, verbose=0).history
    total = sum(float(np.asarray(w).sum()) for w in model.weights)
    weighted = p.reshape(len(p), -1) @ np.arange(1, 1 + p[0].size)
    return [float(weighted @ np.arange(1, 1 + len(p))), history["loss"][0], total]


class Patches(layers.Layer):
    def __init__(self, patch_size):
        super().__init__()
        self.patch_size = patch_size

    def call(self, images):
        n, height, width, channels = ops.shape(images)
        rows, columns = height // self.patch_size, width // self.patch_size
        patches = ops.image.extract_patches(images, size=self.patch_size)
        return ops.reshape(patches, (n, rows * columns, self.patch_size**2 * channels))


class PatchEncoder(layers.Layer):
    def __init__(self, num_patches, projection_dim):
        super().__init__()
        self.num_patches = num_patches
        self.projection = layers.Dense(units=projection_dim)
        self.position_embedding = layers.Embedding(input_dim=num_patches, output_dim=projection_dim)

    def call(self, patch):
        positions = ops.expand_dims(ops.arange(start=0, stop=self.num_patches, step=1), axis=0)
        return self.projection(patch) + self.position_embedding(positions)


def transformer(attend):
    """A vision transformer of one block, whose attention `attend` makes of tokens."""
    inputs = keras.Input(shape=(8, 8, 3))
    encoded = PatchEncoder(4, 8)(Patches(4)(inputs))
    normalized = layers.LayerNormalization(epsilon=1e-6)(encoded)
    added = layers.Add()([attend(normalized), encoded])
    x = layers.LayerNormalization(epsilon=1e-6)(added)
    x = layers.Dense(8, activation=keras.activations.gelu)(x)
    x = layers.Flatten()(layers.Add()([x, added]))
    return keras.Model(inputs=inputs, outputs=layers.Dense(3)(x))


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_image_classification_with_a_vision_transformer():
    model = transformer(lambda x: layers.MultiHeadAttention(num_heads=2, key_dim=8, dropout=0.0)(x, x))
    np.testing.assert_allclose(numbers_of(model, PICTURES, CLASSES, LOSS), OF_KERAS["vit"], rtol=2e-5)


class LocalityAttention(layers.MultiHeadAttention):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.tau = keras.Variable(math.sqrt(float(self._key_dim)), trainable=True)

    def _compute_attention(self, query, key, value, attention_mask=None, training=None, return_attention_scores=False):
        query = ops.multiply(query, 1.0 / self.tau)
        scores = ops.einsum(self._dot_product_equation, key, query)
        scores = self._masked_softmax(scores, attention_mask)
        scores = self._dropout_layer(scores, training=training)
        return ops.einsum(self._combine_equation, scores, value), scores


def test_attention_with_a_temperature_of_its_own():
    mask = ops.cast([1 - ops.eye(4)], dtype="int8")
    model = transformer(lambda x: LocalityAttention(num_heads=2, key_dim=8, dropout=0.0)(x, x, attention_mask=mask))
    assert isinstance(model.layers[4], layers.Layer) and model.layers[4].num_heads == 2
    np.testing.assert_allclose(numbers_of(model, PICTURES, CLASSES, LOSS), OF_KERAS["temperature"], rtol=2e-5)


class Overridden(layers.MultiHeadAttention):
    def call(self, query, value, key=None, attention_mask=None, **kwargs):
        return 2.0 * super().call(query, value, key=key, attention_mask=attention_mask, **kwargs)


def test_attention_whose_call_goes_on():
    model = transformer(lambda x: Overridden(num_heads=2, key_dim=8)(x, x))
    np.testing.assert_allclose(numbers_of(model, PICTURES, CLASSES, LOSS), OF_KERAS["twice"], rtol=2e-5)


class WithToken(layers.Layer):
    """Tokens with one for the class before them, which is repeated by `how`."""

    def __init__(self, how, **kwargs):
        super().__init__(**kwargs)
        self.how, self.projection = how, layers.Dense(6)

    def build(self, input_shape):
        self.token = self.add_weight(name="token", shape=(1, 1, 6), initializer="random_normal")

    def call(self, x):
        x = self.projection(x)
        return self.how(self.token, x)


def tiled(token, x):
    return ops.concatenate([ops.tile(token, (ops.shape(x)[0], 1, 1)), x], axis=1)


def spread(token, x):
    return ops.concatenate([ops.broadcast_to(token, (ops.shape(x)[0], 1, 6)), x], axis=1)


def repeated(token, x):
    return ops.concatenate([ops.repeat(token, ops.shape(x)[0], axis=0), x], axis=1)


def of_tensorflow(token, x):
    token = tf.cast(tf.broadcast_to(token, [tf.shape(x)[0], 1, x.shape[-1]]), dtype=x.dtype)
    return tf.concat([token, x], axis=1)


def tiled_by_tensorflow(token, x):
    return tf.concat([tf.tile(token, [tf.shape(x)[0], 1, 1]), x], axis=1)


@pytest.mark.parametrize("how", [tiled, spread, repeated, of_tensorflow, tiled_by_tensorflow])
def test_a_class_token_for_each_sample(how):
    model = keras.Sequential([keras.Input((4, 8)), WithToken(how), layers.LayerNormalization()])
    np.testing.assert_allclose(numbers_of(model, TOKENS), OF_KERAS["token"], rtol=2e-5)


class OneDense(layers.Layer):
    """Attention whose queries, keys and values one dense layer makes; `take` takes them apart."""

    def __init__(self, take, **kwargs):
        super().__init__(**kwargs)
        self.take, self.qkv, self.projection = take, layers.Dense(24), layers.Dense(8)

    def call(self, x):
        qkv = ops.transpose(ops.reshape(self.qkv(x), (-1, 4, 3, 2, 4)), (2, 0, 3, 1, 4))
        q, k, v = self.take(qkv)
        weights = ops.softmax(ops.matmul(q * 0.5, ops.transpose(k, (0, 1, 3, 2))), axis=-1)
        y = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))
        return self.projection(ops.reshape(y, (-1, 4, 8)))


@pytest.mark.parametrize(
    "take", [lambda z: (z[0], z[1], z[2]), lambda z: ops.unstack(z, 3, axis=0), lambda z: z, tf.unstack]
)
def test_queries_keys_and_values_of_one_dense_layer(take):
    x = keras.Input((4, 8))
    model = keras.Model(x, OneDense(take)(x))
    np.testing.assert_allclose(numbers_of(model, TOKENS), OF_KERAS["one dense"], rtol=2e-5)


def test_what_stays_turned_is_refused():
    x = keras.Input((4, 8))
    turned = ops.transpose(x, (1, 0, 2))
    assert turned.shape == (4, None, 8)
    assert ops.transpose(turned * 2.0, (1, 0, 2)).shape == (None, 4, 8)
    with pytest.raises(NotImplementedError, match=r"\(4, None, 8\).*Received: exp"):
        ops.exp(turned)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_shares_that_are_divided_by_their_sum():
    """As external attention does; what a quotient's shape is, zeros say without a word."""
    x = keras.Input((4, 8))
    shares = layers.Lambda(lambda t: ops.divide(t, 1e-9 + ops.sum(t, axis=-1, keepdims=True)))(
        layers.Softmax(axis=1)(x)
    )
    y = keras.Model(x, shares).predict(TOKENS, verbose=0)
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-5)


def test_products_of_queries_and_keys_as_a_function():
    q, k, v = (np.cos(np.arange(24) + n).reshape(1, 3, 2, 4) for n in (0, 5, 9))
    mask = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 0]], bool)[None, None]
    y = ops.dot_product_attention(q, k, v, mask=mask, scale=0.2, bias=np.ones((1, 1, 3, 3)))
    np.testing.assert_allclose(np.asarray(y).reshape(3, -1) @ np.arange(8), OF_KERAS["function"], rtol=2e-5)


def test_weights_of_attention_are_shown_of_a_trained_model():
    model = transformer(lambda x: layers.MultiHeadAttention(num_heads=2, key_dim=8, name="seen")(x, x))
    given_weights(model)
    tokens = keras.Model(model.inputs, model.layers[3].output).predict(PICTURES, verbose=0)
    y, weights = model.get_layer("seen")(tokens, tokens, return_attention_scores=True)
    np.testing.assert_allclose(weights.numpy().sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(weights)[:, :, 0] @ np.arange(4) @ [1, 2], OF_KERAS["shown"], rtol=2e-5)
    assert y.shape == (6, 4, 8)


class Bag(layers.Layer):
    """Weights of the members of a bag, each for itself, that sum to 1."""

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[0][1], 1))

    def call(self, inputs):
        shares = ops.softmax(ops.stack([ops.tensordot(x, self.kernel, axes=1) for x in inputs]), axis=0)
        return [shares[i] for i in range(shares.shape[0])]


def test_the_outputs_of_a_layer_that_gives_several():
    """As in multiple instance learning, where another model shows them."""
    bags = [keras.Input((4,)) for _ in range(3)]
    shares = Bag(name="shares")(bags)
    scaled = [layers.multiply([a, b]) for a, b in zip(shares, bags, strict=True)]
    model = keras.Model(bags, layers.Dense(2)(layers.concatenate(scaled)))
    given_weights(model)
    shown = keras.Model(model.input, model.get_layer("shares").output)
    found = shown.predict([TOKENS[:, n, :4] for n in range(3)], verbose=0)
    assert [part.shape for part in found] == [(5, 1)] * 3
    np.testing.assert_allclose(np.concatenate(found, 1) @ [1, 2, 3], OF_KERAS["bag"], rtol=2e-5)


OF_KERAS = {
    "vit": [20.272935, 1.1286902, 0.35088958],
    "temperature": [12.128138, 1.1465067, 0.46321042],
    "twice": [15.025546, 1.1290253, 0.3508151],
    "token": [830.16229, 0.095183715, 0.36046256],
    "one dense": [-474.21225, 0.070621789, -0.16380754],
    "function": [-5.2469288, -0.840518, -4.6021512],
    "shown": [4.5350714, 4.5011193, 4.5186967, 4.5114301, 4.5079085, 4.5355687],
    "bag": [1.9596077, 1.7635097, 1.5994539, 1.5425027, 1.6522627],
}


class TalkingHeads(layers.Layer):
    """Attention of CaiT's example, whose sizes are read of the tensor."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.mix = layers.Dense(dim * 3), layers.Dense(heads)

    def call(self, x):
        batch, places, size = ops.shape(x)[0], ops.shape(x)[1], ops.shape(x)[2]
        qkv = ops.reshape(self.qkv(x), (batch, places, 3, self.heads, size // self.heads))
        q, k, v = ops.transpose(qkv, (2, 0, 3, 1, 4))
        scores = ops.transpose(
            self.mix(ops.transpose(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))), (0, 2, 3, 1))), (0, 3, 1, 2)
        )
        mixed = ops.transpose(ops.matmul(ops.softmax(scores, axis=-1), v), (0, 2, 1, 3))
        return ops.reshape(mixed, (batch, places, size))


@pytest.mark.parametrize("places", [3, 5])
def test_an_open_number_of_places_is_a_size_of_reshape(places):
    inputs = keras.Input((None, 8))
    layer = TalkingHeads(8, 2)
    model = keras.Model(inputs, layer(inputs))
    x = np.random.default_rng(0).normal(size=(2, places, 8)).astype("float32")
    kernel, mixing = layer.qkv.get_weights()[0], layer.mix.get_weights()[0]
    q, k, v = np.moveaxis((x @ kernel).reshape(2, places, 3, 2, 4), 2, 0)
    scores = np.exp(np.einsum("nqhc,nkhc,hg->nqkg", q, k, mixing))
    expected = np.einsum("nqkg,nkgc->nqgc", scores / scores.sum(2, keepdims=True), v).reshape(2, places, 8)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_an_open_size_that_is_another_one_is_refused_by_reshape():
    inputs = keras.Input((None, 8))
    with pytest.raises(ValueError, match="target_shape"):
        ops.reshape(inputs, (-1, ops.shape(inputs)[1], 16))
