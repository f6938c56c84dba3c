"""Training loops of people's scripts in Keras 3 with TensorFlow and in minicnn, from the same weights: same numbers.

Each is written once, with `keras` and `tf` handed to it, as the tutorials write it. Nothing in it is random.
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
LABELS = np.arange(24) % 3
NOISE = RNG.normal(size=(24, 5)).astype("float32")


@pytest.fixture(autouse=True, params=["numpy", "numba"])
def backend(request):
    mc.set_backend(request.param)
    yield
    mc.set_backend("numba")


def classifier(k, end=None):
    L = k.layers
    inner = [L.Conv2D(4, 3, activation="relu", name="conv"), L.BatchNormalization(), L.Flatten()]
    return known(k.Sequential([k.Input((8, 8, 1)), *inner, L.Dense(3, activation=end)]))


def generator(k):
    L = k.layers
    inner = [L.Dense(4 * 4 * 2, use_bias=False), L.BatchNormalization(), L.LeakyReLU(negative_slope=0.3)]
    end = [L.Reshape((4, 4, 2)), L.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh")]
    return known(k.Sequential([k.Input((5,)), *inner, *end]))


def discriminator(k):
    L = k.layers
    inner = [L.Conv2D(3, 4, strides=2, padding="same"), L.LeakyReLU(negative_slope=0.3), L.Flatten(), L.Dense(1)]
    return known(k.Sequential([k.Input((8, 8, 1)), *inner]))


def from_scratch(k, tf):
    """The guide on loops from scratch: metrics, validation, penalties of weights and outputs."""
    L = k.layers
    x = k.Input((8, 8, 1))
    t = L.Conv2D(4, 3, activation="relu", kernel_regularizer=k.regularizers.L2(0.01))(x)
    t = L.Flatten()(L.MaxPooling2D()(t))
    out = L.Dense(3, activity_regularizer=k.regularizers.L2(0.02))(t)
    model = known(k.Model(x, out))
    optimizer = k.optimizers.SGD(learning_rate=0.1, momentum=0.9)
    loss_fn = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    train, val = k.metrics.SparseCategoricalAccuracy(), k.metrics.SparseCategoricalAccuracy()
    losses = []

    @tf.function
    def train_step(x, y):
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss_value = loss_fn(y, logits)
            loss_value += sum(model.losses)
        grads = tape.gradient(loss_value, model.trainable_weights)
        optimizer.apply_gradients(zip(grads, model.trainable_weights, strict=True))
        train.update_state(y, logits)
        return loss_value

    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8)
    for _epoch in range(2):
        for x_batch, y_batch in dataset:
            losses.append(float(train_step(x_batch, y_batch)))
        for x_batch, y_batch in dataset:
            val.update_state(y_batch, model(x_batch, training=False))
        losses += [float(train.result()), float(val.result())]
        train.reset_state()
    return [losses, *model.get_weights()]


def quickstart(k, tf):
    """A subclass with call, a tape, metrics that are called."""
    L = k.layers

    class MyModel(k.Model):
        def __init__(self):
            super().__init__()
            self.conv1 = L.Conv2D(4, 3, activation="relu")
            self.flatten = L.Flatten()
            self.d1 = L.Dense(6, activation="relu")
            self.d2 = L.Dense(3)

        def call(self, x):
            return self.d2(self.d1(self.flatten(self.conv1(x))))

    model = MyModel()
    model(IMAGES[:1])
    known(model)
    loss_object = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = k.optimizers.Adam()
    train_loss, accuracy = k.metrics.Mean(name="train_loss"), k.metrics.SparseCategoricalAccuracy(name="a")
    for _ in range(4):
        with tf.GradientTape() as tape:
            predictions = model(IMAGES, training=True)
            loss = loss_object(LABELS, predictions)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        train_loss(loss)
        accuracy(LABELS, predictions)
    return [[float(train_loss.result()), float(accuracy.result())], *model.get_weights()]


def dcgan(k, tf):
    """Two tapes and two models in one step; the discriminator runs twice."""
    make, judge = generator(k), discriminator(k)
    cross_entropy = k.losses.BinaryCrossentropy(from_logits=True)
    first, second = k.optimizers.Adam(1e-3), k.optimizers.Adam(1e-3)
    losses = []
    for start in (0, 8, 16):
        with tf.GradientTape() as gen_tape, tf.GradientTape() as disc_tape:
            generated_images = make(NOISE[start : start + 8], training=True)
            real_output = judge(IMAGES[start : start + 8], training=True)
            fake_output = judge(generated_images, training=True)
            gen_loss = cross_entropy(tf.ones_like(fake_output), fake_output)
            real_loss = cross_entropy(tf.ones_like(real_output), real_output)
            disc_loss = real_loss + cross_entropy(tf.zeros_like(fake_output), fake_output)
        of_generator = gen_tape.gradient(gen_loss, make.trainable_variables)
        of_discriminator = disc_tape.gradient(disc_loss, judge.trainable_variables)
        first.apply_gradients(zip(of_generator, make.trainable_variables, strict=True))
        second.apply_gradients(zip(of_discriminator, judge.trainable_variables, strict=True))
        losses += [float(gen_loss), float(disc_loss)]
    return [losses, *make.get_weights(), *judge.get_weights()]


def gan_in_fit(k, tf):
    """A model without a call, whose train_step trains two others."""

    class GAN(k.Model):
        def __init__(self, discriminator, generator):
            super().__init__()
            self.discriminator, self.generator = discriminator, generator
            self.d_loss_tracker, self.g_loss_tracker = k.metrics.Mean(name="d_loss"), k.metrics.Mean(name="g_loss")

        @property
        def metrics(self):
            return [self.d_loss_tracker, self.g_loss_tracker]

        def compile(self, d_optimizer, g_optimizer, loss_fn):
            super().compile()
            self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn

        def train_step(self, data):
            noise, real = data
            combined = tf.concat([self.generator(noise), real], axis=0)
            ones, zeros = tf.ones((tf.shape(real)[0], 1)), tf.zeros((tf.shape(real)[0], 1))
            with tf.GradientTape() as tape:
                d_loss = self.loss_fn(tf.concat([ones, zeros], axis=0), self.discriminator(combined))
            grads = tape.gradient(d_loss, self.discriminator.trainable_weights)
            self.d_optimizer.apply_gradients(zip(grads, self.discriminator.trainable_weights, strict=True))
            with tf.GradientTape() as tape:
                g_loss = self.loss_fn(zeros, self.discriminator(self.generator(noise)))
            grads = tape.gradient(g_loss, self.generator.trainable_weights)
            self.g_optimizer.apply_gradients(zip(grads, self.generator.trainable_weights, strict=True))
            self.d_loss_tracker.update_state(d_loss)
            self.g_loss_tracker.update_state(g_loss)
            return {"d_loss": self.d_loss_tracker.result(), "g_loss": self.g_loss_tracker.result()}

    gan = GAN(discriminator(k), generator(k))
    loss = k.losses.BinaryCrossentropy(from_logits=True)
    gan.compile(k.optimizers.Adam(1e-3), k.optimizers.Adam(1e-3), loss)
    history = gan.fit(NOISE, IMAGES, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    return [history["d_loss"] + history["g_loss"], *gan.generator.get_weights(), *gan.discriminator.get_weights()]


def vae(k, tf):
    """An encoder of three outputs with a layer of one's own, a decoder, a train_step; the noise is a constant."""
    L = k.layers

    class Sampling(L.Layer):
        def call(self, inputs):
            z_mean, z_log_var = inputs
            return z_mean + k.ops.exp(0.5 * z_log_var) * 0.7

    x = k.Input((8, 8, 1))
    t = L.Flatten()(L.Conv2D(3, 3, strides=2, activation="relu")(x))
    z_mean, z_log_var = L.Dense(2, name="z_mean")(t), L.Dense(2, name="z_log_var")(t)
    encoder = known(k.Model(x, [z_mean, z_log_var, Sampling()([z_mean, z_log_var])]))
    z = k.Input((2,))
    end = L.Conv2DTranspose(1, 3, strides=2, activation="sigmoid", padding="same")
    decoder = known(k.Model(z, end(L.Reshape((4, 4, 1))(L.Dense(16, activation="relu")(z)))))

    class VAE(k.Model):
        def __init__(self, encoder, decoder, **kwargs):
            super().__init__(**kwargs)
            self.encoder, self.decoder = encoder, decoder
            self.total_loss_tracker = k.metrics.Mean(name="total_loss")
            self.kl_loss_tracker = k.metrics.Mean(name="kl_loss")

        @property
        def metrics(self):
            return [self.total_loss_tracker, self.kl_loss_tracker]

        def train_step(self, data):
            with tf.GradientTape() as tape:
                z_mean, z_log_var, z = self.encoder(data)
                reconstruction = self.decoder(z)
                entropy = k.losses.binary_crossentropy(data, reconstruction)
                reconstruction_loss = tf.reduce_mean(tf.reduce_sum(entropy, axis=(1, 2)))
                kl_loss = -0.5 * (1 + z_log_var - tf.square(z_mean) - tf.exp(z_log_var))
                kl_loss = tf.reduce_mean(tf.reduce_sum(kl_loss, axis=1))
                total_loss = reconstruction_loss + kl_loss
            grads = tape.gradient(total_loss, self.trainable_weights)
            self.optimizer.apply_gradients(zip(grads, self.trainable_weights, strict=True))
            self.total_loss_tracker.update_state(total_loss)
            self.kl_loss_tracker.update_state(kl_loss)
            return {"loss": self.total_loss_tracker.result(), "kl_loss": self.kl_loss_tracker.result()}

    model = VAE(encoder, decoder)
    model.compile(optimizer=k.optimizers.Adam(1e-3))
    history = model.fit(IMAGES, epochs=2, batch_size=8, shuffle=False, verbose=0).history
    return [history["loss"] + history["kl_loss"], *encoder.get_weights(), *decoder.get_weights()]


def distillation(k, tf):
    """compute_loss of one's own, with the default train_step; the teacher runs inside of the tape."""

    class Distiller(k.Model):
        def __init__(self, student, teacher):
            super().__init__()
            self.student, self.teacher = student, teacher

        def compile(self, optimizer, metrics, student_loss_fn, distillation_loss_fn, alpha=0.1, temperature=3):
            super().compile(optimizer=optimizer, metrics=metrics)
            self.student_loss_fn, self.distillation_loss_fn = student_loss_fn, distillation_loss_fn
            self.alpha, self.temperature = alpha, temperature

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False):
            teacher_pred = self.teacher(x, training=False)
            student_loss = self.student_loss_fn(y, y_pred)
            soft = k.ops.softmax(teacher_pred / self.temperature, axis=1)
            own = k.ops.softmax(y_pred / self.temperature, axis=1)
            distillation_loss = self.distillation_loss_fn(soft, own) * (self.temperature**2)
            return self.alpha * student_loss + (1 - self.alpha) * distillation_loss

        def call(self, x):
            return self.student(x)

    L = k.layers
    student = known(k.Sequential([k.Input((8, 8, 1)), L.Flatten(), L.Dense(3)]))
    teacher = classifier(k)
    teacher.trainable = False
    model = Distiller(student, teacher)
    model.compile(
        k.optimizers.Adam(1e-2),
        [k.metrics.SparseCategoricalAccuracy(name="accuracy")],
        k.losses.SparseCategoricalCrossentropy(from_logits=True),
        k.losses.KLDivergence(),
    )
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8)
    history = model.fit(data, epochs=2, verbose=0, validation_data=data).history
    evaluated = model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return [[*np.ravel([history[n] for n in names]), evaluated["loss"], evaluated["accuracy"]], *student.get_weights()]


def own_fit(k, tf):
    """The guide on fit: compute_loss in a train_step, metrics by loops, sample weights, validation, test_step."""

    class CustomModel(k.Model):
        def train_step(self, data):
            x, y, sample_weight = data
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=sample_weight)
            trainable_vars = self.trainable_variables
            gradients = tape.gradient(loss, trainable_vars)
            self.optimizer.apply(gradients, trainable_vars)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

        def test_step(self, data):
            x, y = data
            y_pred = self(x, training=False)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            for metric in self.metrics:
                if metric.name != "loss":
                    metric.update_state(y, y_pred)
                else:
                    metric.update_state(loss)
            return {m.name: m.result() for m in self.metrics}

    L = k.layers
    x = k.Input((8, 8, 1))
    t = L.Flatten()(L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(x)))
    model = known(CustomModel(x, L.Dense(3, activation="softmax", kernel_regularizer="l2")(t)))
    model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    weights = (1 + LABELS).astype("float32")
    options = {"batch_size": 6, "epochs": 3, "shuffle": False, "verbose": 0}
    history = model.fit(IMAGES, LABELS, sample_weight=weights, validation_data=(IMAGES, LABELS), **options).history
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return [np.ravel([history[n] for n in names]), *model.get_weights()]


def fgsm(k, tf):
    """The gradient by an image that is watched."""
    model = classifier(k, "softmax")
    image, label = tf.convert_to_tensor(IMAGES[:2]), tf.one_hot([0, 2], 3)
    loss_object = k.losses.CategoricalCrossentropy()
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = loss_object(label, model(image))
    gradient = tape.gradient(loss, image)
    signed_grad = tf.sign(gradient)
    changed = tf.clip_by_value(image + 0.1 * signed_grad, -1, 1)
    return [np.asarray(gradient) * 10, np.asarray(model(changed))]


def grad_cam(k, tf):
    """A model of two outputs, one computed of the other: the gradient by an inner value."""
    model = classifier(k)
    grad_model = k.Model(model.inputs, [model.get_layer("conv").output, model.outputs[0]])
    with tf.GradientTape() as tape:
        last_conv_layer_output, preds = grad_model(IMAGES[:1])
        pred_index = tf.argmax(preds[0])
        class_channel = preds[:, int(pred_index)]
    grads = tape.gradient(class_channel, last_conv_layer_output)
    pooled_grads = tf.reduce_mean(grads, axis=(0, 1, 2))
    heatmap = tf.squeeze(last_conv_layer_output[0] @ pooled_grads[..., tf.newaxis])
    heatmap = tf.maximum(heatmap, 0) / tf.math.reduce_max(heatmap)
    return [np.asarray(grads), heatmap.numpy()]


def siamese(k, tf):
    """A triplet loss: one network three times in a tape, a data set of tuples, a call that gives distances."""
    L = k.layers
    x = k.Input((8, 8, 1))
    embedding = known(k.Model(x, L.Dense(4)(L.Flatten()(L.Conv2D(3, 3, activation="relu")(x)))))

    class DistanceLayer(L.Layer):
        def call(self, anchor, positive, negative):
            ap = k.ops.sum(k.ops.square(anchor - positive), -1)
            return ap, k.ops.sum(k.ops.square(anchor - negative), -1)

    class SiameseModel(k.Model):
        def __init__(self, network, margin=0.5):
            super().__init__()
            self.network, self.margin = network, margin
            self.loss_tracker = k.metrics.Mean(name="loss")

        def train_step(self, data):
            with tf.GradientTape() as tape:
                loss = self._compute_loss(data)
            gradients = tape.gradient(loss, self.network.trainable_weights)
            self.optimizer.apply_gradients(zip(gradients, self.network.trainable_weights, strict=True))
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}

        def test_step(self, data):
            self.loss_tracker.update_state(self._compute_loss(data))
            return {"loss": self.loss_tracker.result()}

        def _compute_loss(self, data):
            anchor, positive, negative = (self.network(part) for part in data)
            ap, an = tf.reduce_sum(tf.square(anchor - positive), -1), tf.reduce_sum(tf.square(anchor - negative), -1)
            return tf.maximum(ap - an + self.margin, 0.0)

        @property
        def metrics(self):
            return [self.loss_tracker]

    sets = [tf.data.Dataset.from_tensor_slices(IMAGES[i::3]) for i in range(3)]
    data = tf.data.Dataset.zip(tuple(sets)).batch(4)
    model = SiameseModel(embedding)
    model.compile(optimizer=k.optimizers.SGD(0.05), weighted_metrics=[])  # Adam would enlarge rounding: biases cancel
    history = model.fit(data, epochs=2, validation_data=data, verbose=0).history
    return [history["loss"] + history["val_loss"], *embedding.get_weights()]


def variables(k, tf):
    """A regression with variables alone, a persistent tape, gradients of several things."""
    w, b = tf.Variable(tf.ones((5, 1))), tf.Variable(0.5, name="b")
    steps = tf.Variable(0, trainable=False, dtype=tf.int32)
    optimizer, seen = k.optimizers.SGD(0.05, momentum=0.9), []
    for _ in range(5):
        with tf.GradientTape(persistent=True) as tape:
            y = tf.matmul(NOISE, w) + b
            loss = tf.reduce_mean(tf.square(y - 1.0))
            penalty = tf.reduce_sum(tf.abs(w)) + 3 * b**2
        grads = tape.gradient(loss, [w, b])
        more = tape.gradient(penalty, {"w": w, "b": b})
        seen += [float(loss), float(more["b"])]
        optimizer.apply_gradients([(grads[0], w), (grads[1], b)])
        b.assign_sub(0.01 * more["b"])
        steps.assign_add(1)
        del tape
    clipped, norm = tf.clip_by_global_norm([grads[0], grads[1]], 0.1)
    return [seen, w.numpy(), b.numpy(), steps.numpy(), np.asarray(clipped[0]), np.asarray(norm)]


def on_built_in(k, tf):
    """Subclasses of the library's layers, whose `call` uses weights, the phase, and the layer itself."""

    class Scaled(k.layers.Conv2D):
        def call(self, inputs, training=None):
            y = super().call(inputs)
            if training:
                y = 2.0 * y + k.ops.mean(k.ops.square(self.kernel))
            return y

    class Own(k.layers.Dense):
        def build(self, input_shape):
            self.weight = self.add_weight(name="weight", shape=(input_shape[-1], self.units))
            self.offset = self.add_weight(name="offset", shape=(self.units,))
            self.built = True

        def call(self, inputs):
            return self.activation(k.ops.matmul(inputs, k.ops.square(self.weight)) + self.offset)

    class Shifted(k.layers.BatchNormalization):
        def call(self, inputs, training=None):
            return super().call(inputs, training=training) + self.gamma

    inner = [Scaled(2, 3, activation="tanh"), Shifted(), k.layers.Flatten(), Own(3, activation="softmax")]
    model = known(k.Sequential([k.Input((8, 8, 1)), *inner]))
    model.compile(k.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    seen = model.fit(IMAGES, LABELS, batch_size=8, epochs=3, shuffle=False, verbose=0).history["loss"]
    return [seen, model.predict(IMAGES, verbose=0), *model.get_weights()]


SCENARIOS = [from_scratch, quickstart, dcgan, gan_in_fit, vae, distillation, own_fit, fgsm, grad_cam, siamese]
SCENARIOS += [variables, on_built_in]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_loops_of_scripts_give_what_keras_gives(scenario):
    expected = scenario(keras, tf)
    found = scenario(our_keras, our_tf)
    assert len(found) == len(expected)
    # RMSprop divides small gradients by their own size, rounding errors with them: after three epochs Keras's float32
    # is 1.1e-4 away from float64, and minicnn's up to 2.4e-4
    rtol, atol = (1e-3, 1e-4) if scenario is own_fit else (2e-4, 2e-5)
    for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol, err_msg=f"value {i}")
