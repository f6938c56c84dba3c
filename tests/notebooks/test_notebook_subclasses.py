"""Models and layers as subclasses, as the guides of Keras 2 and 3 write them."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import layers, models

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


class Classifier(keras.Model):
    """Convolutions, with dropout in training alone."""

    def __init__(self, classes=3, **kwargs):
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(4, 3, activation="relu")
        self.flatten = layers.Flatten()
        self.hidden = [layers.Dense(8, activation="relu") for _ in range(2)]
        self.dropout = layers.Dropout(0.5)
        self.out = layers.Dense(classes, activation="softmax")

    def call(self, x, training=False):
        x = self.flatten(self.conv(x))
        for layer in self.hidden:
            x = layer(x)
        if training:
            x = self.dropout(x, training=training)
        return self.out(x)


class Residual(keras.Model):
    """A block of the ResNet of the guides."""

    def __init__(self, filters):
        super().__init__()
        self.conv = layers.Conv2D(filters, 3, padding="same")
        self.bn = layers.BatchNormalization()

    def call(self, inputs, training=None):
        x = keras.activations.relu(self.bn(self.conv(inputs), training=training))
        return x + inputs


def test_a_subclass_trains(small, capsys):
    x, y = small
    model = Classifier()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=2, verbose=0, validation_data=(x, y))
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(model.trainable_variables) == 8
    model.summary()
    assert "Dropout" in capsys.readouterr().out
    np.testing.assert_allclose(model(x), model.predict(x, verbose=0), rtol=1e-5)
    dropped = model(x, training=True)
    assert not np.allclose(dropped, model.predict(x, verbose=0))


def test_a_subclass_computes_what_its_layers_do(small):
    x, _ = small
    model = Classifier()
    model.build((None, 8, 8, 1))
    kernel, bias = model.conv.get_weights()
    windows = np.lib.stride_tricks.sliding_window_view(x[..., 0], (3, 3), axis=(1, 2))  # (N, 6, 6, 3, 3)
    t = np.maximum(np.einsum("nhwij,ijf->nhwf", windows, kernel[:, :, 0]) + bias, 0).reshape(32, -1)
    for layer in model.hidden:
        t = np.maximum(t @ layer.get_weights()[0] + layer.get_weights()[1], 0)
    t = t @ model.out.get_weights()[0] + model.out.get_weights()[1]
    expected = np.exp(t) / np.exp(t).sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.safetensors"])
def test_a_subclass_in_files(small, name):
    x, y = small
    pytest.importorskip("h5py")
    model = Classifier()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)
    model.save(name)
    np.testing.assert_array_equal(models.load_model(name).predict(x), model.predict(x))
    model.save_weights("w.weights.h5")
    other = Classifier()
    other(x[:1])
    other.load_weights("w.weights.h5")
    np.testing.assert_array_equal(other.predict(x), model.predict(x))
    np.testing.assert_array_equal(models.clone_model(model).get_config()["layers"][1]["config"]["filters"], 4)


def test_subclasses_in_models(small):
    x, y = small
    inputs = keras.Input((8, 8, 1))
    t = layers.Conv2D(2, 3, padding="same")(inputs)
    first, second = Residual(2), Residual(2)
    t = second(first(t))
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(t)))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = first.bn.get_weights()[2]
    model.fit(x, y, verbose=0)
    assert not np.array_equal(before, first.bn.get_weights()[2])  # the moving mean moves in training alone
    after = first.bn.get_weights()[2]
    model.predict(x)
    assert np.array_equal(after, first.bn.get_weights()[2])


def test_an_autoencoder_of_two_stacks(small):
    x, _ = small

    class Autoencoder(models.Model):
        def __init__(self, latent_dim):
            super().__init__()
            self.latent_dim = latent_dim
            self.encoder = keras.Sequential([layers.Flatten(), layers.Dense(latent_dim, activation="relu")])
            self.decoder = keras.Sequential([layers.Dense(64, activation="sigmoid"), layers.Reshape((8, 8, 1))])

        def call(self, x):
            encoded = self.encoder(x)
            return self.decoder(encoded)

    autoencoder = Autoencoder(6)
    autoencoder.compile(optimizer="adam", loss=keras.losses.MeanSquaredError())
    autoencoder.fit(x, x, epochs=2, shuffle=True, validation_data=(x, x), verbose=0)
    codes = autoencoder.encoder(x)
    assert codes.shape == (32, 6)
    np.testing.assert_allclose(autoencoder.decoder(codes), autoencoder.predict(x), rtol=1e-5)


def test_several_inputs_of_a_subclass():
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, inputs):
            a, b = inputs
            return self.dense(layers.concatenate([a, b]) * 2.0)

    model = Two()
    model.compile("sgd", "mse")
    a = np.ones((6, 3), np.float32)
    model.fit([a, a], np.ones((6, 2)), verbose=0)
    kernel, bias = model.dense.get_weights()
    np.testing.assert_allclose(model.predict([a, 2 * a]), 2 * np.hstack([a, 2 * a]) @ kernel + bias, rtol=1e-5)


def test_what_a_subclass_cannot_do(small):
    x, _ = small

    class ByValue(keras.Model):
        def call(self, x):
            return x if x > 0 else -x

    class OnlyInTraining(keras.Model):
        def call(self, x, training=None):
            return x * 2.0 if training else x

    class WithNumpy(keras.Model):
        def call(self, x):
            return np.sqrt(x)

    with pytest.raises(TypeError, match="a symbolic tensor has a shape but no values"):
        ByValue()(x)
    only = OnlyInTraining()
    with pytest.warns(UserWarning, match="something else in training.*runs on arrays"):
        np.testing.assert_array_equal(only(x), x)
    np.testing.assert_array_equal(only(x, training=True), x * 2)
    with pytest.warns(UserWarning, match="runs on arrays"):
        np.testing.assert_allclose(WithNumpy()(np.abs(x)), np.sqrt(np.abs(x)), rtol=1e-6)
    with pytest.raises(TypeError, match="call"):
        keras.Model()
    with pytest.raises(mc.errors.NotBuiltError, match="is not built"):
        Classifier().add_loss(1.0)


def test_layers_of_ones_own(small):
    x, y = small

    class Linear(layers.Layer):
        def __init__(self, units=32, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def build(self, input_shape):
            self.w = self.add_weight(
                name="w", shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True
            )
            self.b = self.add_weight(name="b", shape=(self.units,), initializer="zeros", trainable=True)
            super().build(input_shape)

        def call(self, inputs):
            return keras.ops.matmul(inputs, self.w) + self.b

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    class Antirectifier(layers.Layer):
        def call(self, inputs):
            inputs -= keras.backend.mean(inputs, axis=-1, keepdims=True)
            return keras.ops.concatenate([keras.ops.relu(inputs), keras.ops.relu(-inputs)], axis=-1)

    layer = Linear(5)
    array = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_allclose(layer(array), array @ layer.w.numpy(), rtol=1e-5)
    model = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), Linear(6), Antirectifier(), layers.Dense(3)])
    assert model.output_shape == (None, 3)
    assert model.layers[2].output.shape == (None, 12)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.layers[1].w.numpy().copy()
    model.fit(x, y, epochs=2, verbose=0)
    assert not np.array_equal(before, model.layers[1].w.numpy())
    assert mc.gradcheck(model, x[:4], y[:4]).error < 1e-5


def test_layers_made_of_layers(small):
    x, y = small

    class Block(keras.layers.Layer):
        def __init__(self, filters, **kwargs):
            super().__init__(**kwargs)
            self.conv = layers.Conv2D(filters, 3, padding="same")
            self.bn = layers.BatchNormalization()

        def call(self, inputs, training=None):
            return layers.ReLU()(self.bn(self.conv(inputs), training=training)) + inputs

    model = models.Sequential(
        [layers.Conv2D(2, 3, input_shape=(8, 8, 1)), Block(2), Block(2), layers.Flatten(), layers.Dense(3)]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, verbose=0)
    assert len(model.trainable_weights) == 2 + 2 * 4 + 2


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_files_of_layers_made_of_layers(suffix, rng, tmp_path):
    class Block(keras.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units, self.first, self.second = units, layers.Dense(units), layers.Dense(2)

        def call(self, inputs):
            return self.second(self.first(inputs))

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    x = rng.normal(size=(5, 4)).astype("float32")
    model = models.Sequential([keras.Input((4,)), Block(3), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, x[:, :1], verbose=0)
    model.save(tmp_path / f"model{suffix}")
    copy = models.load_model(tmp_path / f"model{suffix}", custom_objects={"Block": Block})
    assert np.array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))
    kernels = [w for w in model.get_weights() if w.ndim == 2]
    assert [k.shape for k in kernels] == [(4, 3), (3, 2), (2, 1)]
    model.save_weights(tmp_path / f"weights{'.weights.h5' if suffix == '.keras' else suffix}")
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    model.load_weights(tmp_path / f"weights{'.weights.h5' if suffix == '.keras' else suffix}")
    assert np.array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_layer_of_keras_with_a_call_of_its_own(small):
    x, _ = small

    class Frozen(layers.BatchNormalization):
        def call(self, inputs, training=None):
            return super().call(inputs, training=False)

    class Doubled(layers.Dense):
        def call(self, inputs):
            return 2 * super().call(inputs) + 1

    model = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), Frozen(), Doubled(3)])
    model.compile("sgd", "mse")
    frozen, doubled = model.layers[1], next(layer for layer in model.layers if isinstance(layer, Doubled))
    model.fit(x, np.ones((32, 3)), verbose=0)
    assert np.array_equal(frozen.get_weights()[2], np.zeros(64))  # no moving mean is made
    gamma, beta, mean, variance = frozen.get_weights()
    normalized = gamma * (x.reshape(32, -1) - mean) / np.sqrt(variance + 1e-3) + beta
    kernel, bias = doubled.get_weights()
    assert np.allclose(model.predict(x), 2 * (normalized @ kernel + bias) + 1, atol=1e-4)
    assert np.allclose(doubled(np.ones((2, 64), np.float32)), 2 * (kernel.sum(0) + bias) + 1, atol=1e-4)

    class Named(layers.Dense):
        def __init__(self, units, **kwargs):
            super().__init__(units, activation="relu", **kwargs)

    assert Named(2)(layers.Input((4,))).shape == (None, 2)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
def test_losses_of_the_library_whose_call_a_subclass_writes(reduction):
    class Weighted(keras.losses.MeanSquaredError):
        def __init__(self, factor, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def call(self, y_true, y_pred):
            return self.factor * super().call(y_true, y_pred)

    class Doubled(keras.losses.MeanSquaredError):
        def __call__(self, y_true, y_pred, sample_weight=None):
            return 2 * super().__call__(y_true, y_pred, sample_weight)

    x, y = np.random.default_rng(0).standard_normal((2, 12, 3)).astype(np.float32)
    errors = ((x @ np.ones((3, 3)) - y).astype(np.float64) ** 2).mean(axis=1)  # (N,)
    expected = {Weighted(3.0, reduction=reduction): 3, Doubled(reduction=reduction): 2}
    for loss, factor in expected.items():
        whole = factor * (errors.mean() if reduction == "sum_over_batch_size" else errors.sum())
        assert np.isclose(loss(y, x @ np.ones((3, 3), np.float32)), whole, rtol=1e-5)
        model = keras.Sequential([keras.Input((3,)), layers.Dense(3, use_bias=False, kernel_initializer="ones")])
        model.compile(keras.optimizers.SGD(1e-3), loss)
        assert np.isclose(model.fit(x, y, batch_size=12, verbose=0).history["loss"][0], whole, rtol=1e-5)
        slope = factor * 2 / 3 * x.T @ (x @ np.ones((3, 3)) - y)  # (3, 3), of the sum
        slope = slope / (12 if reduction == "sum_over_batch_size" else 1)
        np.testing.assert_allclose(model.get_weights()[0], 1 - 1e-3 * slope, rtol=1e-5)


def test_call_of_a_loss_is_the_librarys_with_its_options():
    class Focal(keras.losses.SparseCategoricalCrossentropy):
        def call(self, y_true, y_pred):
            entropy = super().call(y_true, y_pred)  # (N,)
            return (1 - keras.ops.exp(-entropy)) ** 2 * entropy

    scores = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    labels = np.arange(6) % 4
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    right = chances[np.arange(6), labels]
    for target in (labels, labels[:, None]):
        found = Focal(from_logits=True)(target, scores)
        np.testing.assert_allclose(found, np.mean((1 - right) ** 2 * -np.log(right)), rtol=1e-5)


def test_layer_gives_the_loss_that_it_adds():
    class Triplet(layers.Layer):
        def call(self, inputs):
            anchor, positive, negative = inputs
            near = keras.ops.sum((anchor - positive) ** 2, axis=-1)
            far = keras.ops.sum((anchor - negative) ** 2, axis=-1)
            loss = keras.ops.sum(keras.ops.maximum(near - far + 1.0, 0.0), axis=0)
            self.add_loss(loss)
            return loss

    places = [keras.Input((3,)) for _ in range(3)]
    dense = layers.Dense(2, use_bias=False, kernel_initializer="ones")
    model = models.Model(places, Triplet()([dense(place) for place in places]))
    model.compile(keras.optimizers.SGD(1e-3))
    batch = np.random.default_rng(2).standard_normal((3, 8, 3)).astype(np.float32)
    a, p, n = (each.astype(np.float64) @ np.ones((3, 2)) for each in batch)
    whole = np.maximum(((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) + 1, 0).sum()
    assert np.isclose(model.fit(list(batch), batch_size=8, verbose=0).history["loss"][0], whole, rtol=1e-5)
    assert not np.allclose(model.get_weights()[0], 1)
    assert model.predict(list(batch), verbose=0).shape == (8, 1)
