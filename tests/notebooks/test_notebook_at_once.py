"""Models whose `call` depends on numbers or takes options of its own, and models without a `call`.

The oracle is the same network, written so that it has a graph, or the formula in NumPy.
"""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers
from minicnn.keras import tensorflow as tf


class Depends(keras.Model):
    """Its features are doubled where their mean is above a limit, which no graph says."""

    def __init__(self, limit=-1e9):
        super().__init__()
        self.conv = layers.Conv2D(3, 3)
        self.norm = layers.BatchNormalization()
        self.flat, self.out = layers.Flatten(), layers.Dense(3)
        self.limit = limit

    def call(self, x, training=False):
        x = self.norm(self.conv(x), training=training)
        if tf.reduce_mean(x) > self.limit:
            x = x * 2.0
        return self.out(self.flat(x))


def with_graph():
    L = layers
    inner = [L.Conv2D(3, 3), L.BatchNormalization(), L.Rescaling(2.0), L.Flatten(), L.Dense(3)]
    return keras.Sequential([keras.Input((8, 8, 1)), *inner])


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return model


@pytest.mark.filterwarnings("ignore:call of model")
def test_a_call_that_depends_on_numbers_trains_as_its_graph_does(small):
    x, y = small
    ours, other = compiled(Depends()), compiled(with_graph())
    ours(x[:2])
    other.set_weights(ours.get_weights())
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "validation_split": 0.25, "verbose": 0}
    logs, expected = ours.fit(x, y, **options).history, other.fit(x, y, **options).history
    assert logs.keys() == expected.keys()
    for name in logs:
        np.testing.assert_allclose(logs[name], expected[name], rtol=1e-4)
    np.testing.assert_allclose(ours.predict(x, verbose=0), other.predict(x, verbose=0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours.evaluate(x, y, verbose=0), other.evaluate(x, y, verbose=0), rtol=1e-4)


def test_what_is_slower_is_said_once_and_mistakes_are_those_of_the_graph(small, capsys):
    x, _ = small
    with pytest.warns(UserWarning, match="runs on arrays, layer by layer"):
        model = Depends()
        model(x[:2])
    model.summary()
    assert "Total params: 369" in capsys.readouterr().out  # 30 + 4 * 3 + 6 * 6 * 3 * 3 + 3

    class Wrong(keras.Model):
        def __init__(self):
            super().__init__()
            self.out = layers.Conv2D(3, 9)

        def call(self, x):
            return self.out(x)

    with pytest.raises(ValueError, match="conv2d"):
        Wrong()(x[:2])


@pytest.mark.filterwarnings("ignore:call of model")
def test_augmentation_as_a_model_in_map():
    class Augment(keras.Model):
        def call(self, x):
            if tf.random.uniform([]) < 2.0:
                x = tf.image.random_crop(x, (5, 4, 3))
            return x / 2.0

    data = tf.data.Dataset.from_tensor_slices(np.ones((6, 8, 8, 3), "float32")).map(Augment()).batch(3)
    batches = [batch.numpy() for batch in data]
    assert [batch.shape for batch in batches] == [(3, 5, 4, 3)] * 2
    assert all((batch == 0.5).all() for batch in batches)


def test_options_of_a_call_by_name(small):
    class Discriminator(keras.Model):
        def __init__(self):
            super().__init__()
            self.flat, self.out, self.norm = layers.Flatten(), layers.Dense(4), layers.BatchNormalization()

        def call(self, x, is_training=False, scale=1.0):
            x = self.norm(self.out(self.flat(x)), training=is_training)
            return x * scale if is_training else tf.nn.softmax(x)

    x, model = small[0], Discriminator()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x, is_training=True, scale=3.0) - 1.0))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert [g.shape for g in gradients] == [(64, 4), (4,), (4,), (4,)]
    kernel, bias = model.out.get_weights()
    values = x.reshape(32, 64) @ kernel + bias
    scaled = 3 * (values - values.mean(0)) / np.sqrt(values.var(0) + 1e-3)
    assert float(loss) == pytest.approx(np.mean((scaled - 1) ** 2), rel=1e-4)
    np.testing.assert_allclose(model(x, is_training=False).numpy().sum(-1), 1, rtol=1e-5)


class Autoencoder(keras.Model):
    """As the tutorial on variational autoencoders: there is no `call`, but an `encode` and a `decode`."""

    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4)])
        self.decoder = keras.Sequential([keras.Input((2,)), layers.Dense(64), layers.Reshape((8, 8, 1))])

    def encode(self, x):
        return tf.split(self.encoder(x), num_or_size_splits=2, axis=1)

    def decode(self, z):
        return self.decoder(z)


def test_a_model_without_a_call(small, tmp_path):
    x, model, optimizer = small[0], Autoencoder(), keras.optimizers.Adam(0.05)
    losses = []
    for _ in range(8):
        with tf.GradientTape() as tape:
            mean, logvar = model.encode(x)
            z = tf.random.normal(shape=mean.shape) * tf.exp(logvar * 0.5) + mean
            loss = tf.reduce_mean(tf.square(model.decode(z) - x))
        gradients = tape.gradient(loss, model.trainable_variables)
        assert all(g is not None for g in gradients)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert model.count_params() == 64 * 4 + 4 + 2 * 64 + 64
    before = model.get_weights()
    model.save_weights(tmp_path / "checkpoints" / "last")
    model.set_weights([w * 0 for w in before])
    model.load_weights(tmp_path / "checkpoints" / "last")
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_callbacks_of_a_model_that_trains_another(small, tmp_path):
    class Trainer(keras.Model):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = self.inner.compute_loss(x, y, self.inner(x, training=True))
            weights = self.inner.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

        def test_step(self, data):
            return {"accuracy": tf.reduce_mean(self.inner(data[0]))}

    x, y = small
    trainer = Trainer(compiled(with_graph()))
    trainer.compile("adam", metrics=["accuracy"])
    callbacks = [
        keras.callbacks.EarlyStopping(monitor="val_accuracy", patience=1, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(monitor="val_accuracy"),
        keras.callbacks.ModelCheckpoint(tmp_path / "best", save_weights_only=True, monitor="val_accuracy"),
    ]
    trainer.fit(x, y, epochs=2, validation_data=(x, y), callbacks=callbacks, verbose=0)
    assert trainer.metrics_names == ["loss", "accuracy"]
    trainer.load_weights(tmp_path / "best")


def test_a_layer_with_several_outputs(small):
    class Distances(layers.Layer):
        def call(self, a, b, c):
            near, far = tf.reduce_sum(tf.square(a - b), -1), tf.reduce_sum(tf.square(a - c), -1)
            return near, {"far": far, "both": tf.stack([near, far], axis=1)[:, :, None]}

    inputs = [keras.Input((3,)) for _ in range(3)]
    dense = layers.Dense(2)
    model = keras.Model(inputs, Distances()(*map(dense, inputs)))
    data = [np.random.default_rng(i).normal(size=(5, 3)).astype("float32") for i in range(3)]
    with tf.GradientTape() as tape:
        near, others = model(data)
        loss = tf.reduce_mean(tf.maximum(near - others["far"] + 0.5, 0.0))
    kernel, bias = dense.get_weights()
    a, b, c = (x @ kernel + bias for x in data)
    np.testing.assert_allclose(near.numpy(), ((a - b) ** 2).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(others["both"].numpy()[:, 1, 0], ((a - c) ** 2).sum(-1), rtol=1e-4)
    is_on = (((a - b) ** 2).sum(-1) - ((a - c) ** 2).sum(-1) + 0.5 > 0)[:, None] / 5
    expected = 2 * ((data[0] - data[1]).T @ ((a - b) * is_on) - (data[0] - data[2]).T @ ((a - c) * is_on))
    np.testing.assert_allclose(tape.gradient(loss, dense.kernel), expected, rtol=1e-3, atol=1e-5)


def test_losses_of_ones_own_have_gradients_by_their_targets():
    class Agreement(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return tf.reduce_sum(y_true * tf.math.log(y_pred), axis=-1)

    a, b = tf.Variable([[0.2, 0.8]]), tf.Variable([[0.6, 0.4]])
    with tf.GradientTape() as tape:
        loss = Agreement()(a * 1.0, b * 1.0)
    by_a, by_b = tape.gradient(loss, [a, b])
    np.testing.assert_allclose(by_a, np.log([[0.6, 0.4]]), rtol=1e-5)
    np.testing.assert_allclose(by_b, [[0.2 / 0.6, 0.8 / 0.4]], rtol=1e-5)


def test_one_picture_without_a_batch():
    preparing = keras.Sequential([layers.Resizing(4, 5), layers.Rescaling(1 / 255)])
    picture = np.random.default_rng(0).integers(0, 256, (8, 10, 3)).astype("uint8")
    np.testing.assert_allclose(preparing(picture), preparing(picture[None])[0], rtol=1e-6)
    assert preparing(picture).shape == (4, 5, 3)
    other = np.ones((2, 6, 6, 3), "float32") * 255  # of another size than those before
    np.testing.assert_allclose(preparing(other), np.ones((2, 4, 5, 3)), rtol=1e-6)


@pytest.mark.parametrize("form", [list, tuple])
@pytest.mark.parametrize("count", [1, 2])
def test_a_list_of_pictures_is_a_batch_of_them(form, count):
    """As scikit-learn's `load_sample_images` gives them; a list of one is a batch of one, as in Keras 2 and 3."""
    pictures = np.random.default_rng(0).integers(0, 256, (count, 8, 9, 3)).astype("uint8")
    given, expected = form(pictures), pictures.astype("float32")
    cropped, stack = layers.CenterCrop(4, 5), keras.Sequential([layers.Rescaling(2.0), layers.CenterCrop(4, 5)])
    np.testing.assert_array_equal(layers.Rescaling(0.5)(given), expected / 2)
    np.testing.assert_array_equal(layers.RandomFlip()(given, training=False), expected)
    for _ in range(2):  # before a stack is built, and after
        np.testing.assert_array_equal(cropped(given), expected[:, 2:6, 2:7])
        np.testing.assert_array_equal(stack(given), 2 * expected[:, 2:6, 2:7])
        stack(pictures)
    with pytest.raises(ValueError, match=r"takes 1 input\(s\)\. Received: 2"):
        cropped([pictures[0], pictures[0][:6]])


def test_checkpoints_wait_for_weights(small, tmp_path):
    x = small[0]
    first, second = (keras.Sequential([layers.Flatten(), layers.Dense(2)]) for _ in range(2))
    first(x)
    tf.train.Checkpoint(model=first).save(tmp_path / "ckpt")
    tf.train.Checkpoint(model=second).restore(tf.train.latest_checkpoint(tmp_path))
    np.testing.assert_array_equal(second(x), first(x))
    dense = layers.Dense(2)
    dense.build((None, 2))
    taller, third = keras.Sequential([*first.layers, layers.Dense(2)]), keras.Sequential([layers.Dense(2), dense])
    taller(x)
    tf.train.Checkpoint(model=keras.Sequential(taller.layers[1:])).save(tmp_path / "other")
    flat = np.asarray(first.layers[0](x))
    tf.train.Checkpoint(model=third).restore(tf.train.latest_checkpoint(tmp_path))  # of which half has weights
    np.testing.assert_allclose(third(flat), taller(x), rtol=1e-6)


def test_losses_that_call_layers_and_frozen_networks(small):
    """As dice losses flatten by a layer, and perceptual losses compare what another network makes of two pictures."""
    x = small[0]
    features = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(3, 3, activation="relu")])
    features.trainable = False

    def perceptual(y_true, y_pred):
        flat = layers.Flatten()(y_pred)
        return tf.reduce_mean(tf.square(features(y_true) - features(y_pred))) + tf.reduce_mean(tf.square(flat)) * 0.1

    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(1, 1, use_bias=False)])
    model.compile(keras.optimizers.SGD(1.0), perceptual)
    kernel = model.get_weights()[0]

    def value(k):  # of a 1 × 1 convolution
        seen = np.asarray(features(x)), np.asarray(features((x * k).astype("float32")))
        return np.mean(np.square(seen[0] - seen[1]), dtype="float64") + np.mean(np.square(x * k), dtype="float64") * 0.1

    slope = (value(kernel.item() + 1e-2) - value(kernel.item() - 1e-2)) / 2e-2
    model.fit(x, x, batch_size=32, epochs=1, verbose=0)
    assert kernel.item() - model.get_weights()[0].item() == pytest.approx(slope, rel=2e-2, abs=1e-4)


def test_weights_that_wait_for_a_model_wait_until_they_fit():
    class Branching(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = layers.Dense(2), layers.Dense(1)

        def call(self, x, far=False):
            return self.second(self.first(x)) if far else self.first(x)

    model, x = Branching(), np.ones((1, 3), np.float32)
    model.waiting_weights = [np.ones((3, 2)), np.zeros(2), np.ones((2, 1)), np.zeros(1)]
    for _ in range(2):
        with pytest.raises(ValueError, match="Received: 4"):
            model(x, far=False)
    assert np.allclose(model(x, far=True), 6)


def test_a_call_lists_no_weights_where_no_checkpoint_waits_for_them():
    listed = []

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs) if float(np.sum(np.asarray(inputs))) else inputs

        @property
        def weights(self):
            listed.append(self)
            return super().weights

    model, x = Net(), np.ones((3, 4), "float32")
    model(x)
    listed.clear()
    model(x)
    assert not listed
