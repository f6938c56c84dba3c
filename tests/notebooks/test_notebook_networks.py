"""Networks as scripts of 2016 to 2025 write them: their calls, arguments and order."""

import json
import zipfile

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import layers, models, regularizers

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def needs(*names):
    """Skip where a layer is not there."""
    missing = [name for name in names if name not in mc.layers.__all__]
    return pytest.mark.skipif(bool(missing), reason=f"no {missing}")


def trains(model, x, y, loss="sparse_categorical_crossentropy", epochs=2):
    """Fit, and check what comes out; returns the history."""
    if not model.compiled:
        model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    history = model.fit(x, y, epochs=epochs, batch_size=16, verbose=0)
    assert len(history.history["loss"]) == epochs
    assert np.isfinite(history.history["loss"]).all()
    assert len(model.predict(x, verbose=0)) == len(x)
    return history


def test_mnist_cnn_of_keras_1(grey):
    x, y = grey
    from minicnn.keras.layers.convolutional import Convolution2D, MaxPooling2D
    from minicnn.keras.layers.core import Activation, Dense, Dropout, Flatten

    from minicnn.keras.utils import np_utils

    if K.image_dim_ordering() == "th":
        raise AssertionError
    target = np_utils.to_categorical(y, 10)
    model = models.Sequential()
    model.add(Convolution2D(4, 3, 3, border_mode="valid", input_shape=(28, 28, 1)))
    model.add(Activation("relu"))
    model.add(Convolution2D(4, 3, 3))
    model.add(Activation("relu"))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Dropout(0.25))
    model.add(Flatten())
    model.add(Dense(16, init="uniform"))
    model.add(Activation("relu"))
    model.add(Dense(10))
    model.add(Activation("softmax"))
    model.compile(loss="categorical_crossentropy", optimizer="adadelta", metrics=["accuracy"])
    history = model.fit(x, target, batch_size=16, nb_epoch=1, verbose=1, validation_data=(x, target))
    score = model.evaluate(x, target, verbose=0)
    assert model.output_shape == (None, 10)
    assert model.count_params() == 4 * 9 + 4 + 4 * 4 * 9 + 4 + 12 * 12 * 4 * 16 + 16 + 170
    assert score[1] == pytest.approx(history.history["val_acc"][-1])


def test_mnist_cnn_of_keras_2(grey):
    x, y = grey
    input_shape = (1, 28, 28) if K.image_data_format() == "channels_first" else (28, 28, 1)
    model = keras.models.Sequential()
    model.add(layers.Conv2D(4, kernel_size=(3, 3), activation="relu", input_shape=input_shape))
    model.add(layers.Conv2D(4, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D(pool_size=(2, 2)))
    model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(
        loss=keras.losses.categorical_crossentropy, optimizer=keras.optimizers.Adadelta(), metrics=["accuracy"]
    )
    target = keras.utils.to_categorical(y, 10)
    model.fit(x, target, batch_size=32, epochs=1, verbose=0, validation_data=(x, target))
    loss, accuracy = model.evaluate(x, target, verbose=0)
    assert 0 <= accuracy <= 1
    assert loss > 0


def test_mnist_mlp_of_keras_3(grey):
    x, y = grey
    model = keras.Sequential(
        [
            keras.Input(shape=(28, 28, 1)),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="acc")],
    )
    history = model.fit(x, y, epochs=2, batch_size=16, validation_split=0.25, verbose=0)
    assert set(history.history) == {"loss", "acc", "val_loss", "val_acc"}


def test_cifar10_cnn():
    (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
    assert x_train.shape[1:] == (32, 32, 3)
    y_train, y_test = keras.utils.to_categorical(y_train, 10), keras.utils.to_categorical(y_test, 10)
    model = keras.models.Sequential()
    model.add(layers.Conv2D(4, (3, 3), padding="same", input_shape=x_train.shape[1:]))
    model.add(layers.Activation("relu"))
    model.add(layers.MaxPooling2D(pool_size=(2, 2)))
    model.add(layers.BatchNormalization())
    model.add(layers.Conv2D(4, (3, 3), padding="same", kernel_regularizer=regularizers.l2(1e-4)))
    model.add(layers.ELU() if "ELU" in mc.layers.CLASSES else layers.LeakyReLU(alpha=0.1))
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    opt = keras.optimizers.RMSprop(lr=0.0001, decay=1e-6)
    model.compile(loss="categorical_crossentropy", optimizer=opt, metrics=["accuracy"])
    x_train = x_train.astype("float32")
    x_train /= 255
    model.fit(x_train, y_train, batch_size=32, epochs=1, validation_data=(x_test / 255, y_test), shuffle=True)
    assert opt.iterations == 2
    scores = model.evaluate(x_test / 255, y_test, verbose=1)
    assert len(scores) == 2


def resnet_block(x, filters, strides=1):
    """A residual block as `cifar10_resnet` writes it."""
    y = layers.Conv2D(
        filters,
        kernel_size=3,
        strides=strides,
        padding="same",
        kernel_initializer="he_normal",
        kernel_regularizer=regularizers.l2(1e-4),
    )(x)
    y = layers.BatchNormalization()(y)
    y = layers.Activation("relu")(y)
    y = layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal")(y)
    y = layers.BatchNormalization()(y)
    if strides != 1:
        x = layers.Conv2D(filters, 1, strides=strides, padding="same")(x)
    return layers.Activation("relu")(keras.layers.add([x, y]))


def test_cifar10_resnet(small):
    x, y = small
    inputs = layers.Input(shape=(8, 8, 1))
    t = resnet_block(layers.Conv2D(4, 3, padding="same")(inputs), 4)
    t = resnet_block(t, 8, 2)
    t = layers.AveragePooling2D(pool_size=4)(t)
    t = layers.Flatten()(t)
    outputs = layers.Dense(3, activation="softmax", kernel_initializer="he_normal")(t)
    model = models.Model(inputs=inputs, outputs=outputs)
    trains(model, x, y)
    assert model.output_shape == (None, 3)


def test_operators_between_tensors(small):
    x, _ = small
    inputs = keras.Input((8, 8, 1))
    a = layers.Conv2D(4, 3, padding="same", kernel_initializer="ones")(inputs)
    b = 1 - inputs / 255.0
    outputs = (a + a * 0.5 - 1.0) * b
    model = models.Model(inputs, outputs)
    shortcut = models.Model(inputs, a)
    expected = (1.5 * shortcut.predict(x) - 1) * (1 - x / 255)
    np.testing.assert_allclose(model.predict(x), expected, rtol=2e-5, atol=1e-5)
    with pytest.raises(TypeError, match="keeps the samples"):
        a[1:]


def test_normalization_inside_the_model(small):
    x, y = small
    inputs = keras.Input(shape=(8, 8, 1))
    t = inputs * 255.0
    t = layers.Rescaling(1.0 / 255)(t)
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(t)))
    trains(model, x, y, keras.losses.SparseCategoricalCrossentropy(from_logits=True))


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "softmax", "linear"])
def test_activations_by_name(name):
    layer = layers.Dense(2, activation=name, input_dim=3)
    assert models.Sequential([layer]).predict(np.ones((1, 3)), verbose=0).shape == (1, 2)


def test_activations_as_layers_functions_and_objects(small):
    x, y = small
    model = models.Sequential(
        [
            layers.InputLayer(input_shape=(8, 8, 1)),
            layers.Conv2D(2, 3, activation=layers.LeakyReLU(alpha=0.1)),
            layers.Conv2D(2, 3, activation=layers.ReLU()),
            layers.Conv2D(2, 3, activation=keras.activations.relu),
            layers.Flatten(),
            layers.Dense(3),
            layers.Softmax(),
        ]
    )
    trains(model, x, y)
    assert model.layers[0].activation.negative_slope == 0.1


def test_autoencoder_of_dense_layers(grey):
    x, _ = grey
    x = x.reshape((len(x), np.prod(x.shape[1:])))
    input_img = keras.Input(shape=(784,))
    encoded = layers.Dense(8, activation="relu")(input_img)
    decoded = layers.Dense(784, activation="sigmoid")(encoded)
    autoencoder = keras.Model(input_img, decoded)
    encoder = keras.Model(input_img, encoded)
    encoded_input = keras.Input(shape=(8,))
    decoder = keras.Model(encoded_input, autoencoder.layers[-1](encoded_input))
    autoencoder.compile(optimizer="adam", loss="binary_crossentropy")
    history = autoencoder.fit(x, x, epochs=3, batch_size=16, shuffle=True, validation_data=(x, x), verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    codes = encoder.predict(x)
    np.testing.assert_allclose(decoder.predict(codes), autoencoder.predict(x), rtol=1e-5, atol=1e-6)


@needs("UpSampling2D")
def test_convolutional_autoencoder(grey):
    x, _ = grey
    noisy = np.clip(x + 0.5 * np.random.normal(loc=0.0, scale=1.0, size=x.shape), 0.0, 1.0)
    inputs = layers.Input(shape=(28, 28, 1))
    t = layers.Conv2D(4, (3, 3), activation="relu", padding="same")(inputs)
    t = layers.MaxPooling2D((2, 2), padding="same")(t)
    t = layers.Conv2D(4, (3, 3), activation="relu", padding="same")(t)
    encoded = layers.MaxPooling2D((2, 2), padding="same")(t)
    t = layers.UpSampling2D((2, 2))(layers.Conv2D(4, (3, 3), activation="relu", padding="same")(encoded))
    t = layers.UpSampling2D((2, 2))(t)
    decoded = layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same")(t)
    autoencoder = models.Model(inputs, decoded)
    autoencoder.compile(optimizer="adadelta", loss="binary_crossentropy")
    autoencoder.fit(noisy, x, epochs=1, batch_size=32, verbose=0)
    assert autoencoder.predict(noisy, verbose=0).shape == x.shape


@needs("Conv2DTranspose", "UpSampling2D")
def test_dcgan(grey):
    x, _ = grey
    generator = models.Sequential(
        [
            layers.Dense(7 * 7 * 4, use_bias=False, input_shape=(10,)),
            layers.BatchNormalization(momentum=0.8),
            layers.LeakyReLU(alpha=0.2),
            layers.Reshape((7, 7, 4)),
            layers.Conv2DTranspose(4, (5, 5), strides=(2, 2), padding="same", use_bias=False),
            layers.UpSampling2D(),
            layers.Conv2D(1, 3, padding="same", activation="tanh"),
        ]
    )
    discriminator = models.Sequential(
        [
            layers.Conv2D(4, 5, strides=2, padding="same", input_shape=[28, 28, 1]),
            layers.LeakyReLU(0.2),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    optimizer = keras.optimizers.Adam(0.0002, 0.5)
    discriminator.compile(loss="binary_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    z = keras.Input(shape=(10,))
    discriminator.trainable = False
    combined = keras.Model(z, discriminator(generator(z)))
    combined.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(0.0002, 0.5))
    noise = np.random.normal(0, 1, (16, 10))
    fake = generator.predict(noise)
    assert fake.shape == (16, 28, 28, 1)
    before = [w.copy() for w in discriminator.get_weights()]
    loss = combined.train_on_batch(noise, np.ones((16, 1)))
    assert np.isscalar(loss)
    assert all(np.array_equal(a, b) for a, b in zip(before, discriminator.get_weights(), strict=True))
    discriminator.trainable = True
    discriminator.train_on_batch(x[:16], np.ones((16, 1)))


def test_gan_of_dense_layers(small):
    x, _ = small
    generator = models.Sequential([layers.Dense(64, input_dim=5, activation="tanh"), layers.Reshape((8, 8, 1))])
    discriminator = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(1, activation="sigmoid")])
    discriminator.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(lr=0.0002, beta_1=0.5))
    discriminator.trainable = False
    gan_input = layers.Input(shape=(5,))
    gan = models.Model(inputs=gan_input, outputs=discriminator(generator(gan_input)))
    gan.compile(loss="binary_crossentropy", optimizer="adam")
    before = discriminator.get_weights()
    real = discriminator.train_on_batch(x, np.full(32, 0.9))
    fake = discriminator.train_on_batch(generator.predict(np.random.normal(size=(32, 5))), np.zeros(32))
    assert all(not np.array_equal(a, b) for a, b in zip(before, discriminator.get_weights(), strict=True))
    assert [layer.trainable for layer in discriminator.layers] == [False, False]
    before, kept = generator.get_weights()[0], discriminator.get_weights()
    gan.train_on_batch(np.random.normal(size=(32, 5)), np.ones(32))
    assert real > 0
    assert fake > 0
    assert not np.array_equal(before, generator.get_weights()[0])
    assert all(np.array_equal(a, b) for a, b in zip(kept, discriminator.get_weights(), strict=True))


def test_what_is_trained_is_said_by_compile(small):
    x, y = small
    base = models.Sequential([layers.Conv2D(2, 3, input_shape=(8, 8, 1)), layers.Flatten()])
    model = models.Sequential([base, layers.Dense(3, activation="softmax")])
    base.trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=1, verbose=0)
    base.trainable = True
    first, last = base.get_weights()[0], model.get_weights()[-1]
    with pytest.warns(UserWarning, match="'conv2d.*' was frozen .* call compile again") as told:
        model.fit(x, y, epochs=1, verbose=0)
    assert told[0].filename == __file__
    assert np.array_equal(first, base.get_weights()[0])
    assert not np.array_equal(last, model.get_weights()[-1])
    assert base.trainable
    assert base.layers[0].trainable
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=1, verbose=0)
    assert not np.array_equal(first, base.get_weights()[0])
    first, last = base.get_weights()[0], model.get_weights()[-1]
    base.trainable = False  # some of it: counts at once
    model.train_on_batch(x, y)
    assert np.array_equal(first, base.get_weights()[0])
    assert not np.array_equal(last, model.get_weights()[-1])


def test_siamese_twins(small):
    x, y = small
    base = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(4, activation="relu")])
    a, b = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    distance = (base(a) - base(b)) ** 2
    model = models.Model([a, b], layers.Dense(1, activation="sigmoid")(distance))
    model.compile(loss="binary_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
    same = (y == np.roll(y, 1)).astype(int)
    model.fit([x, np.roll(x, 1, 0)], same, epochs=1, verbose=0)
    assert model.predict([x, x]).std() < 1e-6  # no distance


def test_several_inputs_and_outputs(small):
    x, y = small
    image, extra = keras.Input((8, 8, 1), name="image"), keras.Input((3,), name="extra")
    t = layers.concatenate([layers.Flatten()(image), extra])
    model = keras.Model([image, extra], [layers.Dense(3, name="kind")(t), layers.Dense(1, name="size")(t)])
    model.compile(
        optimizer="rmsprop",
        loss={"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"},
        loss_weights={"kind": 1.0, "size": 0.2},
        metrics={"kind": ["accuracy"]},
    )
    history = model.fit(
        {"image": x, "extra": np.ones((32, 3))}, {"kind": y, "size": np.ones(32)}, epochs=1, batch_size=16, verbose=0
    )
    assert {"loss", "kind_loss", "size_loss", "kind_accuracy"} <= set(history.history)


def test_vgg_like_with_frozen_layers(small):
    x, y = small
    base = models.Sequential(name="base")
    base.add(layers.ZeroPadding2D((1, 1), input_shape=(8, 8, 1)))
    base.add(layers.Conv2D(4, (3, 3), activation="relu", name="block1_conv1"))
    base.add(layers.MaxPooling2D((2, 2), strides=(2, 2), name="block1_pool"))
    base.add(layers.GlobalAveragePooling2D())
    for layer in base.layers[:-1]:
        layer.trainable = False
    model = models.Sequential([base, layers.Dense(3, activation="softmax", kernel_regularizer="l2")])
    before = base.get_weights()[0]
    trains(model, x, y)
    assert np.array_equal(before, base.get_weights()[0])
    features = models.Model(inputs=base.input, outputs=base.get_layer("block1_pool").output)
    assert features.predict(x).shape == (32, 4, 4, 4)
    activations = models.Model(base.input, [layer.output for layer in base.layers]).predict(x[:1])
    assert len(activations) == 4


def test_lenet_5(grey):
    x, y = grey
    model = keras.Sequential()
    model.add(layers.Conv2D(6, kernel_size=5, strides=1, activation="tanh", input_shape=x[0].shape, padding="same"))
    model.add(layers.AveragePooling2D(pool_size=2, strides=2, padding="valid"))
    model.add(layers.Conv2D(16, kernel_size=(5, 5), strides=(1, 1), activation="tanh", padding="valid"))
    model.add(layers.AveragePooling2D(2, 2))
    model.add(layers.Flatten())
    model.add(layers.Dense(units=120, activation="tanh"))
    model.add(layers.Dense(units=84, activation="tanh"))
    model.add(layers.Dense(units=10, activation="softmax"))
    assert model.count_params() == 61_706  # LeCun et al., 1998, with the convolution C3 connected to all
    model.compile(loss=keras.losses.sparse_categorical_crossentropy, optimizer="SGD", metrics=["accuracy"])
    trains(model, x, y, epochs=1)


def test_build_by_hand(capsys):
    model = models.Sequential([layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)])
    model.build((None, 28, 28, 1))
    model.summary()
    assert "Total params: 4,079" in capsys.readouterr().out  # 20 + 26 · 26 · 2 · 3 + 3
    assert keras.Input(batch_shape=(None, 8, 8, 1)).shape == (None, 8, 8, 1)
    assert models.Sequential([layers.InputLayer(shape=(4,)), layers.Dense(2)]).output_shape == (None, 2)
    assert models.Sequential([layers.InputLayer(input_shape=(4,)), layers.Dense(2)]).output_shape == (None, 2)


def test_layers_of_a_model():
    model = models.Sequential([layers.Dense(4, input_shape=(3,), name="first"), layers.Dense(2)])
    for layer in model.layers:
        weights, biases = layer.get_weights()
        assert weights.shape[-1] == biases.shape[0] == layer.units
        assert layer.output_shape[-1] == layer.units
        assert layer.get_config()["name"] == layer.name
    assert model.layers[0].input_shape == (None, 3)
    assert model.get_layer("first").kernel.numpy().shape == (3, 4)
    assert len(model.trainable_variables) == len(model.trainable_weights) == 4
    assert model.inputs[0].shape == (None, 3)


@needs("SeparableConv2D", "DepthwiseConv2D")
def test_image_classification_from_scratch(small):
    x, y = small
    inputs = keras.Input(shape=(8, 8, 1))
    t = layers.Rescaling(1.0 / 255)(inputs)
    t = layers.Conv2D(4, 3, strides=2, padding="same")(t)
    t = layers.BatchNormalization()(t)
    t = layers.Activation("relu")(t)
    residual = layers.Conv2D(8, 1, strides=2, padding="same")(t)
    t = layers.SeparableConv2D(8, 3, padding="same")(t)
    t = layers.MaxPooling2D(3, strides=2, padding="same")(t)
    t = layers.add([t, residual])
    t = layers.GlobalAveragePooling2D()(t)
    outputs = layers.Dense(3, activation=None)(layers.Dropout(0.25)(t))
    trains(keras.Model(inputs, outputs), x, y, keras.losses.SparseCategoricalCrossentropy(from_logits=True))


@needs("Lambda")
def test_lambda_layers(small):
    x, y = small
    inputs = keras.Input((8, 8, 1))
    t = layers.Lambda(lambda t: t / 127.5 - 1.0, input_shape=(8, 8, 1))(inputs)
    trains(models.Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(t))), x, y)


def test_augmentation_as_a_part_of_the_model(small):
    x, y = small
    augmentation = keras.Sequential(
        [layers.RandomFlip("horizontal", input_shape=(8, 8, 1)), layers.RandomRotation(0.1), layers.RandomZoom(0.1)]
    )
    model = models.Sequential([augmentation, layers.Flatten(), layers.Dense(3, activation="softmax")])
    trains(model, x, y)
    assert augmentation(x, training=True).shape == x.shape


def test_weights_that_are_held_back(small):
    x, y = small
    try:
        layer = layers.Dense(
            3, activation="softmax", kernel_constraint=keras.constraints.max_norm(0.1), input_shape=(64,)
        )
    except TypeError:
        pytest.skip("no kernel_constraint")
    trains(models.Sequential([layer]), x.reshape(32, 64), y)
    assert np.linalg.norm(layer.get_weights()[0], axis=0).max() <= 0.1 + 1e-6


def test_numbers_drawn_outside_of_layers():
    generator = models.Sequential([layers.Input((4,)), layers.Dense(3)])
    generator.compile("sgd", "mse")
    keras.utils.set_random_seed(3)
    noise = keras.random.normal((6, 4))
    keras.utils.set_random_seed(3)
    expected = keras.random.normal((6, 4)).numpy()
    images = generator(noise)
    assert np.array_equal(images, generator(expected))
    assert np.array_equal(generator(noise * 2 - 1), generator(expected * 2 - 1))
    assert np.array_equal(generator.predict(keras.ops.concatenate([noise, expected])), np.concatenate([images] * 2))
    assert keras.ops.concatenate([images, np.ones((2, 3))], axis=0).shape == (8, 3)
    generator.train_on_batch(noise, images)
    generator.fit(noise, images, verbose=0)
    assert keras.random.randint((5,), 0, 3).numpy().max() < 3
    start = layers.Input((4,))
    with pytest.raises(TypeError, match="are drawn in a Lambda layer"):
        start + keras.random.normal((4,))  # would be the same numbers for ever


def test_numbers_drawn_in_a_layer_do_not_hide_a_gradient():
    start = layers.Input((4,))
    hidden = layers.Lambda(lambda t: np.asarray(t * keras.random.normal(t.shape)))
    model = models.Model(start, hidden(layers.Dense(3)(start)))
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"np\.asarray cannot be differentiated"):
        model.fit(np.ones((2, 4)), np.ones((2, 3)), verbose=0)


def test_a_loss_of_other_tensors_than_the_output():
    start = layers.Input((4,))
    mean = layers.Dense(2)(start)
    model = models.Model(start, layers.Dense(4)(mean))
    model.compile("sgd", lambda y_true, y_pred: K.mean(K.square(y_true - y_pred), axis=-1) + K.sum(mean, axis=-1))
    x = np.linspace(-1, 1, 12).reshape(3, 4)
    y_pred, inner = model.predict(x, verbose=0), models.Model(start, mean).predict(x, verbose=0)
    expected = np.mean((1 - y_pred) ** 2) + inner.sum(axis=-1).mean()
    history = model.fit(x, np.ones((3, 4)), verbose=0)
    np.testing.assert_allclose(history.history["loss"], [expected], rtol=1e-5)


def test_files_name_the_classes_that_keras_has(tmp_path):
    inputs = keras.Input((8,))
    functional = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    stack = keras.Sequential([inputs, keras.layers.Dense(2)])
    for model, expected in ((functional, "Functional"), (stack, "Sequential")):
        model.save(tmp_path / "model.keras")
        with zipfile.ZipFile(tmp_path / "model.keras") as archive:
            entry = json.loads(archive.read("config.json"))
        assert entry["class_name"] == expected
        assert entry["module"].partition(".")[0] == "keras"
        assert type(keras.models.load_model(tmp_path / "model.keras")) is type(model)
