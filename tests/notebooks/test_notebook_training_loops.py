"""Loops and steps as scripts write them: guides on `fit` and on loops from scratch, GANs, autoencoders, teachers.

That they compute what Keras does is `tests/test_keras_oracle_loops.py`; that their gradients are right,
`tests/test_gradient_tape.py`. Here: what of the API they use, what `fit` makes of it, and what is said where it fails.
"""

import copy

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.errors import NotCompiledError
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf


def small_network(units=3, end=None, **options):
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(units, activation=end, **options)])


class Plain(keras.Model):
    """What the base class does, written out."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compiled_loss(y, y_pred, regularization_losses=self.losses)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.compiled_metrics.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


def plain(kernel_regularizer=None, cls=Plain):
    x = keras.Input((8, 8, 1))
    t = layers.Flatten()(layers.Conv2D(2, 3, activation="relu", kernel_regularizer=kernel_regularizer)(x))
    return cls(x, layers.Dense(3, activation="softmax")(t))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("cls", [Plain, "default"])
def test_a_step_that_is_written_out_does_what_fit_does(small, backend, cls):
    """Also the base class's own, which a model with a `compute_loss` has."""
    mc.set_backend(backend)
    x, y = small

    class Default(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)

    fitted = plain("l2", keras.Model)
    model = plain("l2", Plain if cls is Plain else Default)
    model.set_weights(fitted.get_weights())
    histories = []
    for each in (fitted, model):
        each.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        histories.append(each.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0).history)
    assert set(histories[1]) == {"loss", "accuracy"}
    np.testing.assert_allclose(histories[1]["loss"], histories[0]["loss"], rtol=1e-4)
    np.testing.assert_allclose(histories[1]["accuracy"], histories[0]["accuracy"], rtol=1e-6)
    for a, b in zip(model.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    for a, b in zip(model.optimizer.variables, fitted.optimizer.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-6)


def test_the_optimizers_state_is_in_the_file(small, tmp_path):
    x, y = small
    model = plain()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects={"Plain": Plain})
    assert loaded.optimizer.iterations == model.optimizer.iterations == 2
    np.testing.assert_allclose(loaded.predict(x), model.predict(x), rtol=1e-6)


def test_callbacks_validation_and_data_sets(small, tmp_path):
    x, y = small
    seen = []

    class Watching(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((batch, sorted(logs)))

        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, sorted(logs)))
            self.model.stop_training = True

    model = plain()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    history = model.fit(data, epochs=5, validation_data=data, callbacks=[Watching()], verbose=0)
    assert len(history.history["loss"]) == 1
    assert seen == [
        (0, ["accuracy", "loss"]),
        (1, ["accuracy", "loss"]),
        (0, ["accuracy", "loss", "val_accuracy", "val_loss"]),
    ]
    history = model.fit(x, y, validation_split=0.25, epochs=2, batch_size=8, verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    generator = ((x[:8], y[:8]) for _ in range(10))
    assert len(model.fit(generator, steps_per_epoch=2, epochs=3, verbose=0).history["loss"]) == 3
    checkpoint = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    model.fit(x, y, epochs=1, verbose=0, callbacks=[checkpoint])


def test_evaluate_and_single_batches(small):
    x, y = small

    class Tested(Plain):
        def test_step(self, data):
            x, y = data
            return {"mine": tf.reduce_mean(self(x, training=False)), "n": len(y)}

        def predict_step(self, data):
            return super().predict_step(data) * 2.0

    model = plain(cls=Tested)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert model.evaluate(x, y, batch_size=20, verbose=0, return_dict=True) == pytest.approx({"mine": 1 / 3, "n": 12})
    np.testing.assert_allclose(model.predict(x, batch_size=5, verbose=0).sum(-1), np.full(32, 2), rtol=1e-5)
    before = model.get_weights()[0]
    loss, accuracy = model.train_on_batch(x, y)
    assert loss > 0 and 0 <= accuracy <= 1 and (model.get_weights()[0] != before).any()
    assert set(model.train_on_batch(x, y, return_dict=True)) == {"loss", "accuracy"}
    assert set(model.test_on_batch(x, y, return_dict=True)) == {"mine", "n"}


def test_a_step_gets_what_fit_was_given(small):
    """Arrays alone, pairs, weights, dicts, lists; floats in the dtype of models, whole numbers as they are."""
    x, y = small
    seen = []

    class Looking(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def train_step(self, data):
            seen.append(data)
            return {"loss": 0.0}

    model = Looking()
    model.compile()
    fits = {"batch_size": 16, "verbose": 0}
    model.fit(x.astype("float64"), **fits)
    assert seen[-1].shape == (16, 8, 8, 1) and seen[-1].dtype == "float32" and hasattr(seen[-1], "numpy")
    model.fit(x, y, shuffle=False, **fits)
    assert type(seen[-1]) is tuple and seen[-1][1].dtype.kind == "i" and (seen[-1][1] == y[16:]).all()
    model.fit(x, y, sample_weight=np.arange(32), shuffle=False, **fits)
    assert len(seen[-1]) == 3 and (seen[-1][2] == np.arange(16, 32)).all()
    model.fit({"a": x, "b": x * 2}, [y, y + 1], shuffle=False, **fits)
    assert (seen[-1][0]["b"] == x[16:] * 2).all() and (seen[-1][1][1] == y[16:] + 1).all()
    model.fit(x, y, class_weight={0: 1.0, 1: 5.0, 2: 1.0}, shuffle=False, **fits)
    assert (seen[-1][2] == np.where(y[16:] == 1, 5, 1)).all()
    model.fit(tf.data.Dataset.zip((tf.data.Dataset.from_tensor_slices(x),) * 4).batch(8), verbose=0)
    assert len(seen[-1]) == 4 and seen[-1][3].shape == (8, 8, 8, 1)
    model.fit(x, y, **fits)
    first, second = (data[1] for data in seen[-2:])
    assert not (np.concatenate([first, second]) == y).all()  # shuffled


def test_a_gan_trains_two_models(small):
    """Without a call, with a compile of its own, a data set of pictures, and a sampler as callback."""
    x, _ = small

    class GAN(keras.Model):
        def __init__(self, discriminator, generator, latent_dim):
            super().__init__()
            self.discriminator, self.generator, self.latent_dim = discriminator, generator, latent_dim
            self.seed_generator = keras.random.SeedGenerator(1337)

        def compile(self, d_optimizer, g_optimizer, loss_fn):
            super().compile()
            self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn
            self.d_loss_metric = keras.metrics.Mean(name="d_loss")

        @property
        def metrics(self):
            return [self.d_loss_metric]

        def train_step(self, real_images):
            batch_size = ops.shape(real_images)[0]
            noise = keras.random.normal(shape=(batch_size, self.latent_dim), seed=self.seed_generator)
            labels = ops.concatenate([ops.ones((batch_size, 1)), ops.zeros((batch_size, 1))], axis=0)
            labels += 0.05 * tf.random.uniform(tf.shape(labels))
            combined_images = ops.concatenate([self.generator(noise), real_images], axis=0)
            with tf.GradientTape() as tape:
                d_loss = self.loss_fn(labels, self.discriminator(combined_images))
            grads = tape.gradient(d_loss, self.discriminator.trainable_weights)
            self.d_optimizer.apply_gradients(zip(grads, self.discriminator.trainable_weights, strict=True))
            with tf.GradientTape() as tape:
                fake = self.discriminator(self.generator(noise))
                g_loss = self.loss_fn(ops.zeros((batch_size, 1)), fake)
            grads = tape.gradient(g_loss, self.generator.trainable_weights)
            self.g_optimizer.apply_gradients(zip(grads, self.generator.trainable_weights, strict=True))
            self.d_loss_metric.update_state(d_loss)
            return {"d_loss": self.d_loss_metric.result()}

    class Monitor(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            pictures = self.model.generator(tf.random.normal(shape=(3, self.model.latent_dim)))
            assert (pictures * 255).numpy().shape == (3, 8, 8, 1)

    parts = [layers.Dense(16), layers.Reshape((4, 4, 1)), layers.UpSampling2D(), layers.Conv2D(1, 3, padding="same")]
    generator = keras.Sequential([keras.Input((6,)), *parts])
    discriminator = small_network(1)
    gan = GAN(discriminator=discriminator, generator=generator, latent_dim=6)
    optimizers = [keras.optimizers.Adam(learning_rate=0.01) for _ in range(2)]
    gan.compile(*optimizers, loss_fn=keras.losses.BinaryCrossentropy(from_logits=True))
    before = [w.copy() for w in gan.get_weights()] if gan.built else [w.numpy() for w in gan.weights]
    history = gan.fit(tf.data.Dataset.from_tensor_slices(x).batch(16), epochs=3, verbose=0, callbacks=[Monitor()])
    assert len(history.history["d_loss"]) == 3 and np.isfinite(history.history["d_loss"]).all()
    assert all((w.numpy() != b).any() for w, b in zip(gan.weights, before, strict=True)) and len(before) == 6
    assert optimizers[0].iterations == 6


def test_a_frozen_model_in_a_constructor_stays_frozen():
    class Holder(keras.Model):
        def __init__(self, teacher):
            super().__init__()
            self.teacher = teacher

        def train_step(self, data):
            return {}

    teacher = small_network()
    teacher.trainable = False
    assert not Holder(teacher).teacher.trainable and teacher.trainable_weights == []


def test_an_autoencoder_with_noise(small):
    x, _ = small

    class Sampling(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.seed_generator = keras.random.SeedGenerator(1337)

        def call(self, inputs):
            z_mean, z_log_var = inputs
            shape = (ops.shape(z_mean)[0], ops.shape(z_mean)[1])
            return z_mean + ops.exp(0.5 * z_log_var) * keras.random.normal(shape=shape, seed=self.seed_generator)

    class VAE(keras.Model):
        def __init__(self, encoder, decoder, **kwargs):
            super().__init__(**kwargs)
            self.encoder, self.decoder = encoder, decoder
            self.total_loss_tracker = keras.metrics.Mean(name="total_loss")

        @property
        def metrics(self):
            return [self.total_loss_tracker]

        def call(self, inputs):
            return self.decoder(self.encoder(inputs)[2])

        def train_step(self, data):
            with tf.GradientTape() as tape:
                z_mean, z_log_var, z = self.encoder(data)
                entropy = keras.losses.binary_crossentropy(data, self.decoder(z))
                reconstruction_loss = ops.mean(ops.sum(entropy, axis=(1, 2)))
                kl_loss = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
                total_loss = reconstruction_loss + ops.mean(ops.sum(kl_loss, axis=1))
            grads = tape.gradient(total_loss, self.trainable_weights)
            self.optimizer.apply_gradients(zip(grads, self.trainable_weights, strict=True))
            self.total_loss_tracker.update_state(total_loss)
            return {"loss": self.total_loss_tracker.result()}

    inputs = keras.Input((8, 8, 1))
    t = layers.Flatten()(inputs)
    mean, log_var = layers.Dense(2)(t), layers.Dense(2)(t)
    encoder = keras.Model(inputs, [mean, log_var, Sampling()([mean, log_var])], name="encoder")
    latent = keras.Input((2,))
    decoder = keras.Model(latent, layers.Reshape((8, 8, 1))(layers.Dense(64, activation="sigmoid")(latent)))
    vae = VAE(encoder, decoder)
    vae.compile(optimizer=keras.optimizers.Adam(0.02))
    losses = vae.fit(x, epochs=8, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert vae.decoder.predict(np.zeros((1, 2)), verbose=0).shape == (1, 8, 8, 1)
    assert vae.predict(x, verbose=0).shape == x.shape and len(vae.trainable_variables) == 6


def test_a_loop_from_scratch_with_a_subclass(grey):
    """The beginners' guide of TensorFlow."""
    x, y = grey

    class MyModel(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv1, self.flatten = layers.Conv2D(4, 3, activation="relu"), layers.Flatten()
            self.d2, self.dropout = layers.Dense(10), layers.Dropout(0.1)

        def call(self, x, training=False):
            return self.d2(self.dropout(self.flatten(self.conv1(x)), training=training))

    train_ds = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(10000).batch(16)
    model, optimizer = MyModel(), keras.optimizers.Adam(0.005)
    loss_object = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    train_loss = keras.metrics.Mean(name="train_loss")
    test_accuracy = keras.metrics.SparseCategoricalAccuracy(name="test_accuracy")

    @tf.function
    def train_step(images, labels):
        with tf.GradientTape() as tape:
            predictions = model(images, training=True)
            loss = loss_object(labels, predictions)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        train_loss(loss)

    means = []
    for _ in range(6):
        train_loss.reset_state()
        test_accuracy.reset_state()
        for images, labels in train_ds:
            train_step(images, labels)
        test_accuracy(y, model(x, training=False))
        assert f"Loss: {train_loss.result():0.2f}".startswith("Loss: ")
        means.append(float(train_loss.result()))
    assert means[-1] < 0.7 * means[0] and test_accuracy.result() > 0.7


def test_several_outputs_and_losses_by_name(small):
    x, y = small

    class Two(keras.Model):
        def train_step(self, data):
            return super().train_step(data)

    start = keras.Input((8, 8, 1))
    t = layers.Flatten()(start)
    model = Two(start, {"class": layers.Dense(3, name="class")(t), "size": layers.Dense(1, name="size")(t)})
    losses = {"class": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"}
    model.compile("adam", losses, metrics={"class": ["accuracy"], "size": ["mae"]}, loss_weights={"size": 0.5})
    logs = model.fit(x, {"class": y, "size": y[:, None] * 1.0}, epochs=1, batch_size=32, verbose=0).history
    assert set(logs) == {"loss", "class_accuracy", "size_mae"}
    outputs = model.predict(x, verbose=0)
    scores = outputs["class"] - outputs["class"].max(-1, keepdims=True)
    entropy = np.log(np.exp(scores).sum(-1)) - scores[np.arange(32), y]
    expected = entropy.mean() + 0.5 * ((outputs["size"][:, 0] - y) ** 2).mean()
    found = model.evaluate(x, {"class": y, "size": y[:, None] * 1.0}, verbose=0, return_dict=True)
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-4)


def test_adversarial_pictures_and_heat_maps(small):
    x, y = small
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu", name="last_conv"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    image = tf.convert_to_tensor(x[:1])
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = keras.losses.CategoricalCrossentropy()(tf.one_hot(y[:1], 3), model(image))
    signed_grad = tf.sign(tape.gradient(loss, image))
    attacked = tf.clip_by_value(image + 0.05 * signed_grad, -1, 1)
    after = keras.losses.CategoricalCrossentropy()(tf.one_hot(y[:1], 3), model(attacked))
    assert after > float(loss) and (x[:1] == image).all()
    grad_model = keras.Model(model.inputs, [model.get_layer("last_conv").output, model.output])
    with tf.GradientTape() as tape:
        last_conv_layer_output, preds = grad_model(x[:1])
        class_channel = preds[:, tf.argmax(preds[0])]
    grads = tape.gradient(class_channel, last_conv_layer_output)
    heatmap = last_conv_layer_output[0] @ tf.reduce_mean(grads, axis=(0, 1, 2))[..., tf.newaxis]
    heatmap = tf.maximum(tf.squeeze(heatmap), 0) / tf.math.reduce_max(heatmap)
    assert heatmap.numpy().shape == (6, 6) and float(tf.reduce_max(heatmap)) <= 1.0


def test_what_fails_says_so(small):
    x, y = small
    with pytest.raises(NotCompiledError, match="is not compiled"):
        plain().fit(x, y)
    model = plain()
    model.compile("adam")
    with pytest.raises(ValueError, match="No loss to compute"):
        Plain.__bases__[0].train_step(model, (x, y))
    with pytest.raises(ValueError, match=r"x, \(x, y\) or .*tuple of 4"):
        keras.Model.train_step(model, (x, y, y, y))
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"same number of samples.*\[31, 32\]"):
        model.fit(x, y[:31])
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    with pytest.raises(ValueError, match="weights of classes belong into the train_step"):
        model.fit(data, class_weight={0: 2.0})
    with pytest.raises(TypeError, match="neither"):
        keras.Model()
    with pytest.raises(NotImplementedError, match="make_train_function of a model cannot be written here"):
        type("Mine", (keras.Model,), {"make_train_function": lambda self: None})


def test_variables_as_weights_of_layers_and_models(small):
    """As the guides of TensorFlow 2 write layers; `fit` trains them, loops do, copies and files have them."""
    x, y = small

    class Linear(layers.Layer):
        def __init__(self, units=3):
            super().__init__()
            self.units = units
            self.calls = tf.Variable(tf.zeros(()), trainable=False, name="calls")

        def build(self, input_shape):
            start = tf.random_normal_initializer()
            self.w = tf.Variable(initial_value=start(shape=(input_shape[-1], self.units), dtype="float32"))
            self.b = tf.Variable(tf.zeros((self.units,)), trainable=True)

        def call(self, inputs):
            self.calls.assign_add(1.0)
            return tf.matmul(inputs, self.w) + self.b

    class Scaled(keras.Model):
        def __init__(self):
            super().__init__()
            self.scale = tf.Variable(2.0, name="scale")
            self.flatten, self.linear = layers.Flatten(), Linear()

        def call(self, inputs):
            return self.linear(self.flatten(inputs)) * self.scale

    layer = Linear()
    values = layer(np.ones((2, 4), "float32"))
    assert values.shape == (2, 3) and len(layer.trainable_variables) == 2 and layer.calls.numpy() >= 1
    model = Scaled()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05), loss)
    before = model.evaluate(x, y, verbose=0)
    start = [w.numpy() for w in model.trainable_weights]
    model.fit(x, y, epochs=4, verbose=0)
    assert len(start) == 3 and model.evaluate(x, y, verbose=0) < before
    assert all((w.numpy() != b).any() for w, b in zip(model.trainable_weights, start, strict=True))
    with tf.GradientTape() as tape:
        value = loss(y, model(x, training=True))
    assert all(g is not None for g in tape.gradient(value, model.trainable_weights))
    copied = copy.deepcopy(layer)
    copied.b.assign([1.0, 2.0, 3.0])
    assert (layer.b.numpy() == 0).all() and (copied(np.ones((2, 4), "float32")) != values).all()


@pytest.mark.parametrize("is_compiled", [False, True])
def test_checkpoints_of_a_loop(tmp_path, is_compiled):
    """A script that stops and begins again, with new objects, goes on as one that did not."""
    x = np.random.default_rng(0).random((8, 8, 8, 1)).astype("float32")

    def begin():
        mc.utils.set_random_seed(4)
        model, optimizer = small_network(1), keras.optimizers.Adam(0.01)
        if is_compiled:
            model.compile(optimizer, "mse")
        return model, optimizer, tf.Variable(1)

    def go_on(model, optimizer, step, count):
        for _ in range(count):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(x, training=True) - 1.0))
            variables = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            step.assign_add(1)
        return model.get_weights()

    expected = go_on(*begin(), 7)
    first, second = begin(), begin()
    for model, optimizer, step in (first, second):
        checkpoint = tf.train.Checkpoint(step=step, optimizer=optimizer, net=model)
        manager = tf.train.CheckpointManager(checkpoint, str(tmp_path / "ckpts"), max_to_keep=2)
        checkpoint.restore(manager.latest_checkpoint).expect_partial()
        assert checkpoint.step == (1 if model is first[0] else 4)
        if model is first[0]:
            for _ in range(3):
                go_on(*first, 1)
                manager.save()
    found = go_on(*second, 4)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert [path.rpartition("-")[2] for path in manager.checkpoints] == ["2", "3"] and second[1].iterations == 7
    assert sorted(path.name for path in (tmp_path / "ckpts").iterdir()) == ["checkpoint", "ckpt-2.npz", "ckpt-3.npz"]
    prefix = str(tmp_path / "other" / "ckpt")
    saved = tf.train.Checkpoint(generator=second[0]).save(file_prefix=prefix)
    assert tf.train.latest_checkpoint(tmp_path / "other") == saved == f"{prefix}-1"
    assert tf.train.latest_checkpoint(tmp_path) is None
    assert tf.train.latest_checkpoint(f"{tmp_path}/./other") == f"{tmp_path}/./other/ckpt-1"  # as it was given
    again = tf.train.CheckpointManager(checkpoint, f"{tmp_path}/./other", checkpoint_name="saved")
    assert again.save(7) == again.latest_checkpoint == again.checkpoints[-1] == f"{tmp_path}/./other/saved-7"
    with pytest.raises(ValueError, match="another number now"):
        tf.train.Checkpoint(generator=keras.Sequential([keras.Input((64,)), layers.Dense(1), layers.Dense(1)])).restore(
            saved
        )
    with pytest.raises(FileNotFoundError):
        tf.train.Checkpoint(generator=second[0]).restore(f"{prefix}-9")


def test_what_a_tape_records_is_data_for_other_methods(small):
    """GANs that call train_on_batch inside of a tape: no gradient goes through it, and the numbers are the same."""
    x, y = small
    model = small_network(end="softmax")
    model.compile("sgd", "sparse_categorical_crossentropy")
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    factor = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        made = factor * tf.constant(x)
        losses = [model.train_on_batch(made, y), model.evaluate(made, y, verbose=0), model.test_on_batch(made, y)]
        found = [model.predict(made, verbose=0), model.predict_on_batch(made)]
        model.fit(made, y, verbose=0)
        total = tf.reduce_sum(made)
    assert tape.gradient(total, factor) == pytest.approx(x.sum(), rel=1e-4)
    x = 2 * x
    assert losses == [other.train_on_batch(x, y), other.evaluate(x, y, verbose=0), other.test_on_batch(x, y)]
    np.testing.assert_array_equal(found, [other.predict(x, verbose=0), other.predict_on_batch(x)])
    other.fit(x, y, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], other.get_weights()[0], rtol=1e-5, atol=1e-6)


def test_weights_are_assigned_what_a_tape_has_recorded():
    """Newton's method inside of the tape; as in TensorFlow, no gradient goes through what is assigned."""
    layer = layers.Dense(2, use_bias=False)
    layer.build((None, 3))
    before = layer.kernel.numpy()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer.kernel * layer.kernel)
        for assign, value in ((layer.kernel.assign_sub, 0.5), (layer.kernel.assign_add, 0.25)):
            assign(value * tf.convert_to_tensor(layer.kernel))
        layer.kernel.assign(2 * tf.convert_to_tensor(layer.kernel))
    np.testing.assert_allclose(layer.kernel.numpy(), before * 0.5 * 1.25 * 2, rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(total, layer.kernel), 2 * before, rtol=1e-6)
