"""Gradients of gradients as people's scripts have them, in Keras 3 with TensorFlow and in minicnn: same numbers.

Each script is written once, with `keras` and `tf` handed to it. Noise and weights depend on shapes alone.
"""

import numpy as np
import pytest
from real_keras import keras, known, tf

import minicnn as mc
from minicnn import keras as our_keras
from minicnn.keras import tensorflow as our_tf

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(0)
IMAGES = RNG.random((24, 8, 8, 1)).astype("float32")
NOISE = RNG.normal(size=(8, 5)).astype("float32")
POINTS = np.linspace(-1, 1, 20).reshape(-1, 1).astype("float32")


@pytest.fixture(autouse=True, params=["numpy", "numba"])
def backend(request):
    mc.set_backend(request.param)
    yield
    mc.set_backend("numba")


def critic(k, *inner):
    L = k.layers
    begin = [L.ZeroPadding2D(1), L.Conv2D(4, 3, strides=2, padding="same"), L.LeakyReLU(negative_slope=0.2)]
    return known(k.Sequential([k.Input((8, 8, 1)), *begin, *inner, L.Flatten(), L.Dense(1)]))


def generator(k):
    L = k.layers
    begin = [L.Dense(4 * 4 * 2, use_bias=False), L.BatchNormalization(), L.LeakyReLU(negative_slope=0.2)]
    end = [L.Reshape((4, 4, 2)), L.UpSampling2D(), L.Conv2D(1, 3, padding="same", activation="tanh")]
    return known(k.Sequential([k.Input((5,)), *begin, *end]))


def wgan_gp(k, tf):
    """Keras's example: a train_step of three critics' steps with their penalty, and one of the generator's."""

    class WGAN(k.Model):
        def __init__(self, discriminator, generator, latent_dim, discriminator_extra_steps=3, gp_weight=10.0):
            super().__init__()
            self.discriminator, self.generator, self.latent_dim = discriminator, generator, latent_dim
            self.d_steps, self.gp_weight = discriminator_extra_steps, gp_weight

        def compile(self, d_optimizer, g_optimizer, d_loss_fn, g_loss_fn):
            super().compile()
            self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
            self.d_loss_fn, self.g_loss_fn = d_loss_fn, g_loss_fn

        def gradient_penalty(self, batch_size, real_images, fake_images):
            alpha = tf.reshape(tf.linspace(0.0, 1.0, batch_size), (batch_size, 1, 1, 1))
            interpolated = real_images + alpha * (fake_images - real_images)
            with tf.GradientTape() as gp_tape:
                gp_tape.watch(interpolated)
                pred = self.discriminator(interpolated, training=True)
            grads = gp_tape.gradient(pred, [interpolated])[0]
            norm = tf.sqrt(tf.reduce_sum(tf.square(grads), axis=[1, 2, 3]))
            return tf.reduce_mean((norm - 1.0) ** 2)

        def train_step(self, real_images):
            for _ in range(self.d_steps):
                with tf.GradientTape() as tape:
                    fake_images = self.generator(NOISE, training=True)
                    fake_logits = self.discriminator(fake_images, training=True)
                    real_logits = self.discriminator(real_images, training=True)
                    d_cost = self.d_loss_fn(real_img=real_logits, fake_img=fake_logits)
                    gp = self.gradient_penalty(8, real_images, fake_images)
                    d_loss = d_cost + gp * self.gp_weight
                d_gradient = tape.gradient(d_loss, self.discriminator.trainable_variables)
                self.d_optimizer.apply_gradients(zip(d_gradient, self.discriminator.trainable_variables, strict=True))
            with tf.GradientTape() as tape:
                g_loss = self.g_loss_fn(self.discriminator(self.generator(NOISE, training=True), training=True))
            gen_gradient = tape.gradient(g_loss, self.generator.trainable_variables)
            self.g_optimizer.apply_gradients(zip(gen_gradient, self.generator.trainable_variables, strict=True))
            return {"d_loss": d_loss, "g_loss": g_loss}

    gan = WGAN(critic(k), generator(k), 5)
    gan.compile(
        k.optimizers.Adam(1e-3, beta_1=0.5, beta_2=0.9),
        k.optimizers.Adam(1e-3, beta_1=0.5, beta_2=0.9),
        d_loss_fn=lambda real_img, fake_img: tf.reduce_mean(fake_img) - tf.reduce_mean(real_img),
        g_loss_fn=lambda fake_img: -tf.reduce_mean(fake_img),
    )
    history = gan.fit(IMAGES, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    return [history["d_loss"] + history["g_loss"], *gan.discriminator.get_weights(), *gan.generator.get_weights()]


def _penalized(k, tf, *inner):
    """R1: the squared gradient of a critic by real images, of which the gradient by its weights is taken."""
    judge, images = critic(k, *inner), tf.constant(IMAGES[:8])
    with tf.GradientTape() as tape:
        with tf.GradientTape() as r1_tape:
            r1_tape.watch(images)
            logits = judge(images, training=True)
            score = tf.reduce_sum(tf.math.sin(logits))
        gradient = r1_tape.gradient(score, images)
        penalty = tf.reduce_mean(tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3]))
        loss = tf.reduce_mean(tf.nn.softplus(-logits)) + 5.0 * penalty
    found = tape.gradient(loss, judge.trainable_variables, unconnected_gradients="zero")
    return [float(loss), float(penalty), *(np.asarray(g) for g in found)]


def r1_with_batch_normalization(k, tf):
    return _penalized(k, tf, k.layers.BatchNormalization(), k.layers.Conv2D(3, 3, activation="elu"))


def r1_with_layer_normalization_and_pooling(k, tf):
    L = k.layers
    return _penalized(k, tf, L.LayerNormalization(), L.MaxPooling2D(), L.Conv2D(4, 2, activation="gelu"))


def r1_with_further_layers(k, tf):
    L = k.layers
    inner = [L.DepthwiseConv2D(3, activation="silu"), L.AveragePooling2D(2, padding="same"), L.UnitNormalization()]
    return _penalized(k, tf, *inner, L.Conv2DTranspose(2, 3, strides=2, activation="softplus"), L.Softmax())


def dragan(k, tf):
    """A penalty on a persistent tape, with the losses of the library."""
    judge = critic(k)
    noisy = tf.constant(IMAGES[:8] + 0.1 * IMAGES[8:16])
    cross_entropy = k.losses.BinaryCrossentropy(from_logits=True)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(noisy)
        real = judge(IMAGES[:8])
        logits = judge(noisy)
        gradient = tape.gradient(cross_entropy(tf.ones_like(logits), logits), noisy)
        slopes = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3]) + 1e-12)
        loss = cross_entropy(tf.ones_like(real), real) + tf.reduce_mean(tf.square(slopes - 1.0))
    return [float(loss), *(np.asarray(g) for g in tape.gradient(loss, judge.trainable_variables))]


def differential_equation(k, tf):
    """u'''' on four tapes, and the gradient of a loss of it by the weights on a fifth."""
    L = k.layers
    model = known(k.Sequential([k.Input((1,)), L.Dense(8, activation="tanh"), L.Dense(6, "tanh"), L.Dense(1)]))
    optimizer, losses = k.optimizers.Adam(1e-2), []
    x = tf.constant(POINTS)

    def derivative(order):
        if order == 0:
            return model(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            below = derivative(order - 1)
        return tape.gradient(below, x)

    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(derivative(4) + derivative(2) + 1.0)) + tf.reduce_mean(model(x) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        pairs = [(g, w) for g, w in zip(gradients, model.trainable_variables, strict=True) if g is not None]
        optimizer.apply_gradients(pairs)
        losses.append(float(loss))
    return [losses, *model.get_weights()]


def learning_inside_of_a_loss(k, tf):
    """MAML with two steps inside, the second of weights that are computed."""
    L = k.layers
    model = known(k.Sequential([k.Input((1,)), L.Dense(8, activation="relu"), L.Dense(1)]))
    target, mse = np.sin(POINTS), k.losses.MeanSquaredError()

    def forward(x, w):
        return tf.matmul(tf.nn.relu(tf.matmul(x, w[0]) + w[1]), w[2]) + w[3]

    with tf.GradientTape() as test_tape:
        with tf.GradientTape() as train_tape:
            train_loss = mse(target, model(POINTS))
        gradients = train_tape.gradient(train_loss, model.trainable_variables)
        fast = [w - 0.1 * g for w, g in zip(model.trainable_variables, gradients, strict=True)]
        with tf.GradientTape() as second_tape:
            second_tape.watch(fast)
            second = tf.reduce_mean(tf.square(forward(POINTS, fast) - target))
        fast = [w - 0.1 * g for w, g in zip(fast, second_tape.gradient(second, fast), strict=True)]
        test_loss = tf.reduce_mean(tf.square(forward(POINTS[::-1], fast) - target))
    found = test_tape.gradient(test_loss, model.trainable_variables)
    return [float(train_loss), float(test_loss), *(np.asarray(g) for g in found)]


def product_with_the_hessian(k, tf):
    """Of a classifier's loss; and the Hessian of a function."""
    L = k.layers
    model = known(k.Sequential([k.Input((8, 8, 1)), L.Conv2D(3, 3, activation="tanh"), L.Flatten(), L.Dense(4)]))
    loss_fn, labels = k.losses.SparseCategoricalCrossentropy(from_logits=True), np.arange(8) % 4
    weights = model.trainable_variables
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            loss = loss_fn(labels, model(IMAGES[:8]))
        gradients = inner.gradient(loss, weights)
        product = tf.add_n([tf.reduce_sum(g * 0.3) for g in gradients])
    found = outer.gradient(product, weights)
    x = tf.Variable([0.3, -0.5, 1.2])
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            y = tf.reduce_sum(x**3 * tf.sin(x)) * x[0]
        gradient = inner.gradient(y, x)
    return [float(loss), *(np.asarray(g) for g in found), np.asarray(outer.jacobian(gradient, x))]


def derivatives_of_each_sample(k, tf):
    """First and second, by `batch_jacobian`, and what a loss of them has for a gradient."""
    L = k.layers
    model = known(k.Sequential([k.Input((3,)), L.Dense(8, activation="tanh"), L.Dense(2)]))
    x = tf.constant(np.random.default_rng(1).normal(size=(5, 3)).astype("float32"))
    with tf.GradientTape() as tape:
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = model(x)
            first = inner.batch_jacobian(y, x)
        second = outer.batch_jacobian(first, x)
        loss = tf.reduce_sum(tf.square(second)) + tf.reduce_sum(first[:, 0, 1])
    found = tape.gradient(loss, model.trainable_variables[:3])
    return [np.asarray(first.numpy()), np.asarray(second.numpy()), *(np.asarray(g) for g in found)]


SCENARIOS = [
    *(wgan_gp, r1_with_batch_normalization, r1_with_layer_normalization_and_pooling, r1_with_further_layers, dragan),
    *(differential_equation, learning_inside_of_a_loss, product_with_the_hessian, derivatives_of_each_sample),
]


def _exact_moments(x, axes, shift=None, keepdims=False, name=None):
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(x - mean), axes, keepdims=keepdims)
    return mean if keepdims else tf.squeeze(mean, axes), variance


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_second_order_gives_what_keras_gives(scenario, monkeypatch):
    # TensorFlow's stops the gradient at the mean inside of the variance: exact for gradients, but not for theirs.
    monkeypatch.setattr(tf.nn, "moments", _exact_moments)
    expected, found = scenario(keras, tf), scenario(our_keras, our_tf)
    assert len(found) == len(expected)
    for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_allclose(ours, theirs, rtol=5e-4, atol=5e-5, err_msg=f"value {i}")
