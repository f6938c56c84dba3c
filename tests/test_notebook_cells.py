"""The cells of the five documents with their imports changed: the same calls, arguments and order, on few images.

What is taken from the documents are the facts of their calls; the tables of their summaries are compared to the digit.
"""

import re

import numpy as np
import pytest

import minicnn as mc
from minicnn.datasets import cifar10, digits, fashion_mnist, mnist

TRAIN, TEST = 96, 32
CURVES = {"loss", "accuracy", "val_loss", "val_accuracy"}


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    """`load_data` of every data set gives a few images in the published shapes and dtypes."""
    (x_train, y_train), (x_test, y_test) = digits.load_data(upscale=True)
    grey = (x_train[:TRAIN], y_train[:TRAIN]), (x_test[:TEST], y_test[:TEST])
    colour = tuple((np.pad(x, ((0, 0), (2, 2), (2, 2)))[..., None].repeat(3, -1), y[:, None]) for x, y in grey)
    for source, data in ((mnist, grey), (fashion_mnist, grey), (cifar10, colour)):
        monkeypatch.setattr(source, "load_data", lambda data=data: data)


# ------------------------------------------------------------------------------------------------------------ networks


def d0(keras):
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)),
            layers.MaxPooling2D(2, 2),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.MaxPooling2D(2, 2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def d1_convolutions(keras):
    layers, model = keras.layers, keras.models.Sequential()
    model.add(layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(64, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(64, (3, 3), activation="relu"))
    return model


def d1_dense_part(keras, model):
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(54, activation="relu"))
    model.add(keras.layers.Dense(10, activation="sigmoid"))
    return model


def d1(keras):
    return d1_dense_part(keras, d1_convolutions(keras))


def d2_net_1(keras, sample_shape=(28, 28, 1)):
    layers = keras.layers
    input_x = layers.Input(shape=sample_shape)
    x = layers.Conv2D(32, (3, 3), padding="same", activation="relu")(input_x)
    x = layers.Conv2D(64, (3, 3), padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(pool_size=(2, 2))(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu")(x)
    return keras.models.Model(inputs=input_x, outputs=layers.Dense(10, activation="softmax")(x))


def d2_net_1_colour(keras):
    return d2_net_1(keras, (32, 32, 3))


def d2_net_2(keras):
    layers = keras.layers
    input_x = layers.Input(shape=(28, 28, 1))
    x = layers.Conv2D(32, (3, 3), padding="same", activation="relu")(input_x)
    x = layers.Conv2D(64, (3, 3), padding="same", activation="relu", strides=2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu")(x)
    return keras.models.Model(inputs=input_x, outputs=layers.Dense(10, activation="softmax")(x))


def d3(keras):
    layers, model = keras.layers, keras.models.Sequential()
    model.add(layers.Conv2D(32, kernel_size=(3, 3), activation="relu", input_shape=(28, 28, 1)))
    model.add(layers.MaxPooling2D(pool_size=(2, 2)))
    model.add(layers.Conv2D(64, kernel_size=(3, 3), activation="relu"))
    model.add(layers.MaxPooling2D(pool_size=(2, 2)))
    model.add(layers.Flatten())
    model.add(layers.Dense(128, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    return model


def d3_mlp(keras):
    layers, model = keras.layers, keras.models.Sequential()
    model.add(layers.Dense(32, input_dim=28 * 28, activation="relu"))
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    return model


def d4_mlp(keras, shape=(28, 28, 1)):
    layers = keras.layers
    input_layer = layers.Input(shape=shape)
    x = layers.Flatten()(input_layer)
    x = layers.Dense(200, activation="relu")(x)
    x = layers.Dense(150, activation="relu")(x)
    return keras.models.Model(input_layer, layers.Dense(10, activation="softmax")(x))


def d4_mlp_colour(keras):
    return d4_mlp(keras, (32, 32, 3))


def d4_lenet5(keras, shape=(28, 28, 1)):
    layers = keras.layers
    input_layer = layers.Input(shape=shape)
    x = layers.Conv2D(filters=6, kernel_size=(5, 5), activation="relu")(input_layer)
    x = layers.MaxPooling2D(pool_size=(2, 2))(x)
    x = layers.Conv2D(filters=16, kernel_size=(5, 5), activation="relu")(x)
    x = layers.MaxPooling2D(pool_size=(2, 2))(x)
    x = layers.Flatten()(x)
    x = layers.Dense(120, activation="relu")(x)
    x = layers.Dense(84, activation="relu")(x)
    return keras.models.Model(input_layer, layers.Dense(10, activation="softmax")(x))


def d4_lenet5_colour(keras):
    return d4_lenet5(keras, (32, 32, 3))


def d4_better_lenet5(keras):
    layers = keras.layers
    zeros = {"fill_mode": "constant", "fill_value": 0.0}
    data_aug = keras.Sequential(
        [
            layers.RandomTranslation(0.08, 0.08, **zeros),
            layers.RandomRotation(0.1, **zeros),
            layers.RandomZoom(0.1, **zeros),
            layers.RandomShear(0.1, **zeros),
        ],
        name="aug",
    )
    input_layer = layers.Input(shape=(28, 28, 1))
    x = layers.ZeroPadding2D(padding=2)(input_layer)
    x = data_aug(x)
    x = layers.Conv2D(filters=16, kernel_size=(5, 5), padding="same", strides=(1, 1), activation="relu")(x)
    x = layers.MaxPooling2D(pool_size=(2, 2))(x)
    x = layers.Conv2D(filters=32, kernel_size=(5, 5), padding="same", strides=(1, 1), activation="relu")(x)
    x = layers.MaxPooling2D(pool_size=(2, 2))(x)
    x = layers.Conv2D(64, kernel_size=(5, 5), padding="same", strides=(1, 1), activation="relu")(x)
    x = layers.MaxPooling2D(pool_size=(2, 2))(x)
    x = layers.Flatten()(x)
    x = layers.Dense(120, activation="relu")(x)
    x = layers.Dense(84, activation="relu")(x)
    return keras.models.Model(input_layer, layers.Dense(10, activation="softmax")(x))


# ----------------------------------------------------------------------------------------------------------- summaries

D0_ROWS = [
    ("conv2d (Conv2D)", "(None, 26, 26, 32)", 320),
    ("max_pooling2d (MaxPooling2D)", "(None, 13, 13, 32)", 0),
    ("conv2d_1 (Conv2D)", "(None, 11, 11, 64)", 18_496),
    ("max_pooling2d_1 (MaxPooling2D)", "(None, 5, 5, 64)", 0),
    ("flatten (Flatten)", "(None, 1600)", 0),
    ("dense (Dense)", "(None, 128)", 204_928),
    ("dense_1 (Dense)", "(None, 10)", 1_290),
]
D1_ROWS = [*D0_ROWS[:4], ("conv2d_2 (Conv2D)", "(None, 3, 3, 64)", 36_928)]

PUBLISHED = {  # network: (rows, total)
    d0: (D0_ROWS, "225,034 (879.04 KB)"),
    d1_convolutions: (D1_ROWS, "55,744 (217.75 KB)"),
    d1: (
        [
            *D1_ROWS,
            ("flatten (Flatten)", "(None, 576)", 0),
            ("dense (Dense)", "(None, 54)", 31_158),
            ("dense_1 (Dense)", "(None, 10)", 550),
        ],
        "87,452 (341.61 KB)",
    ),
    d2_net_1: (
        [
            ("input_layer (InputLayer)", "(None, 28, 28, 1)", 0),
            ("conv2d (Conv2D)", "(None, 28, 28, 32)", 320),
            ("conv2d_1 (Conv2D)", "(None, 28, 28, 64)", 18_496),
            ("max_pooling2d (MaxPooling2D)", "(None, 14, 14, 64)", 0),
            ("flatten (Flatten)", "(None, 12544)", 0),
            ("dense (Dense)", "(None, 128)", 1_605_760),
            ("dense_1 (Dense)", "(None, 10)", 1_290),
        ],
        "1,625,866 (6.20 MB)",
    ),
    d2_net_2: (
        [
            ("input_layer (InputLayer)", "(None, 28, 28, 1)", 0),
            ("conv2d (Conv2D)", "(None, 28, 28, 32)", 320),
            ("conv2d_1 (Conv2D)", "(None, 14, 14, 64)", 18_496),
            ("flatten (Flatten)", "(None, 12544)", 0),
            ("dense (Dense)", "(None, 128)", 1_605_760),
            ("dense_1 (Dense)", "(None, 10)", 1_290),
        ],
        "1,625,866 (6.20 MB)",
    ),
    d2_net_1_colour: (
        [
            ("input_layer (InputLayer)", "(None, 32, 32, 3)", 0),
            ("conv2d (Conv2D)", "(None, 32, 32, 32)", 896),
            ("conv2d_1 (Conv2D)", "(None, 32, 32, 64)", 18_496),
            ("max_pooling2d (MaxPooling2D)", "(None, 16, 16, 64)", 0),
            ("flatten (Flatten)", "(None, 16384)", 0),
            ("dense (Dense)", "(None, 128)", 2_097_280),
            ("dense_1 (Dense)", "(None, 10)", 1_290),
        ],
        "2,117,962 (8.08 MB)",
    ),
    d3: (D0_ROWS, "225,034 (879.04 KB)"),
    d4_mlp: (
        [
            ("input_layer (InputLayer)", "(None, 28, 28, 1)", 0),
            ("flatten (Flatten)", "(None, 784)", 0),
            ("dense (Dense)", "(None, 200)", 157_000),
            ("dense_1 (Dense)", "(None, 150)", 30_150),
            ("dense_2 (Dense)", "(None, 10)", 1_510),
        ],
        "188,660 (736.95 KB)",
    ),
    d4_lenet5: (
        [
            ("input_layer (InputLayer)", "(None, 28, 28, 1)", 0),
            ("conv2d (Conv2D)", "(None, 24, 24, 6)", 156),
            ("max_pooling2d (MaxPooling2D)", "(None, 12, 12, 6)", 0),
            ("conv2d_1 (Conv2D)", "(None, 8, 8, 16)", 2_416),
            ("max_pooling2d_1 (MaxPooling2D)", "(None, 4, 4, 16)", 0),
            ("flatten (Flatten)", "(None, 256)", 0),
            ("dense (Dense)", "(None, 120)", 30_840),
            ("dense_1 (Dense)", "(None, 84)", 10_164),
            ("dense_2 (Dense)", "(None, 10)", 850),
        ],
        "44,426 (173.54 KB)",
    ),
}

NETWORKS = [
    *PUBLISHED,
    d3_mlp,
    d4_mlp_colour,
    d4_lenet5_colour,
    d4_better_lenet5,
]


def table(model):
    """The rows of a summary, and the numbers below it; the same for Keras 3 and minicnn."""
    lines = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    rows = [(layer, shape, int(count.replace(",", ""))) for layer, shape, count in cells]
    totals = re.findall(r"^ *(Total|Trainable|Non-trainable) params: (.*)$", text, re.MULTILINE)
    assert re.search(r"┃ Layer \(type\) +┃ Output Shape +┃ +Param # ┃", text)
    return rows, dict(totals)


@pytest.mark.parametrize("network", PUBLISHED)
def test_summaries_are_the_documents(network):
    rows, total = PUBLISHED[network]
    assert table(network(mc.keras)) == (rows, {"Total": total, "Trainable": total, "Non-trainable": "0 (0.00 B)"})


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (d3_mlp, 27_882),
        (d4_mlp_colour, 646_260),
        (d4_lenet5_colour, 62_006),
        (d4_better_lenet5, 198_526),
    ],
)
def test_parameters_of_the_networks_without_a_printed_summary(network, count):
    assert network(mc.keras).count_params() == count


@pytest.mark.peers
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.filterwarnings("ignore:Do not pass an `input_")
def test_summaries_are_those_of_keras(network):
    from real_keras import keras

    keras.utils.clear_session()
    assert table(network(mc.keras)) == table(network(keras))


# --------------------------------------------------------------------------------------------------------------- cells


def check_history(history, epochs, names=CURVES):
    assert set(history.history) == names
    assert all(len(values) == epochs and np.isfinite(values).all() for values in history.history.values())


def test_d0_cells():
    import minicnn as tf

    images = tf.keras.datasets.mnist
    (training_images, training_labels), (test_images, test_labels) = images.load_data()
    training_images = training_images.reshape(TRAIN, 28, 28, 1)
    training_images = training_images / 255.0
    test_images = test_images.reshape(TEST, 28, 28, 1)
    test_images = test_images / 255.0
    model = d0(tf.keras)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        training_images, training_labels, validation_data=(test_images, test_labels), epochs=2, verbose=1
    )
    check_history(history, 2)
    assert history.history["val_accuracy"][-1] == pytest.approx(model.evaluate(test_images, test_labels)[1])


@pytest.mark.parametrize(
    ("network", "file", "needs"),
    [
        (d0, "model_1.h5", ("h5py",)),
        (d3, "cnn_digit_recognition.keras", ("h5py",)),
        (d0, "model.safetensors", ()),
    ],
)
def test_a_saved_model_is_loaded_and_evaluated(network, file, needs, tmp_path):
    for module in needs:
        pytest.importorskip(module)
    from minicnn.keras.models import load_model

    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    model = network(mc.keras)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=1, batch_size=32, verbose=0)
    model.save(str(tmp_path / file))
    loaded = load_model(str(tmp_path / file))
    assert loaded.evaluate(x_test, y_test) == model.evaluate(x_test, y_test)
    np.testing.assert_array_equal(loaded.predict(x_test), model.predict(x_test))


def test_d1_cells(recwarn, capsys):
    import minicnn as tf
    from minicnn.keras import datasets, layers, models

    assert issubclass(layers.Conv2D, mc.layers.Conv2D)
    assert issubclass(models.Sequential, mc.Sequential)
    (train_images, train_labels), (test_images, test_labels) = datasets.fashion_mnist.load_data()
    train_images, test_images = train_images / 255.0, test_images / 255.0
    model = d1_convolutions(tf.keras)
    model.summary()
    d1_dense_part(tf.keras, model)
    model.summary()
    printed = capsys.readouterr().out
    assert "Total params: 55,744 (217.75 KB)" in printed
    assert "Total params: 87,452 (341.61 KB)" in printed
    model.compile(
        optimizer="adam",
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(train_images, train_labels, epochs=2, validation_data=(test_images, test_labels))
    check_history(history, 2)
    assert [str(w.message) for w in recwarn if "from_logits" in str(w.message)]
    predictions = model.predict(test_images)
    assert predictions.shape == (TEST, 10)
    assert ((predictions > 0) & (predictions < 1)).all()
    assert not np.allclose(predictions.sum(axis=1), 1)  # sigmoids
    n = 16
    assert 0 <= np.argmax(predictions[n]) < len(fashion_mnist.CLASS_NAMES)


def test_d2_helpers():
    from minicnn.utils import normalize_images, one_hot

    np.testing.assert_allclose(normalize_images(np.array([0, 127, 255])), [0, 127 / 255, 1], rtol=1e-6)
    expected = [[0, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_array_equal(one_hot(np.array([3, 0, 4]), 5), expected)
    (x_train, _), _ = mnist.load_data()
    assert np.expand_dims(normalize_images(x_train), axis=-1).shape == (TRAIN, 28, 28, 1)


@pytest.mark.parametrize("network", [d2_net_1, d2_net_2])
def test_d2_mnist_cells(network):
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    x_train, x_test = (np.expand_dims(mc.utils.normalize_images(x), axis=-1) for x in (x_train, x_test))
    y_train, y_test = (mc.utils.one_hot(y, 10) for y in (y_train, y_test))
    model = network(mc.keras)
    model.compile(loss="categorical_crossentropy", optimizer="Adadelta", metrics=["accuracy"])
    history = model.fit(x_train, y_train, batch_size=128, epochs=1, validation_data=(x_test, y_test))
    check_history(history, 1)
    score = model.evaluate(x_test, y_test, verbose=0)
    assert len(score) == 2


@pytest.mark.parametrize("optimizer", ["Adam", "adam", "ADAM", "Adagrad", "Adadelta", "adadelta"])
def test_d2_cifar10_cells(optimizer):
    (x_train, y_train), (x_test, y_test) = cifar10.load_data()
    y_train, y_test = (mc.utils.one_hot(np.squeeze(y), 10) for y in (y_train, y_test))
    x_train, x_test = mc.utils.normalize_images(x_train), mc.utils.normalize_images(x_test)
    model = d2_net_1(mc.keras, x_train[0].shape)
    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    assert type(model.optimizer).__name__.lower() == optimizer.lower()
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    history = model.fit(x_train, y_train, batch_size=128, epochs=1, validation_split=0.2)
    check_history(history, 1)
    assert len(model.evaluate(x_test, y_test)) == 2


def test_d3_cells():
    import minicnn as tf
    from minicnn.keras.datasets import mnist
    from minicnn.keras.layers import Conv2D, Dense, Flatten, MaxPooling2D
    from minicnn.keras.models import Sequential

    assert issubclass(Sequential, mc.Sequential)
    assert issubclass(Dense, mc.layers.Dense)
    assert all(issubclass(cls, mc.layers.Layer) for cls in (Conv2D, Flatten, MaxPooling2D))
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    model = d3(tf.keras)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x_train, y_train, epochs=2, batch_size=100)  # raw bytes (N, 28, 28)
    check_history(history, 2, {"loss", "accuracy"})
    scores = model.evaluate(x_test, y_test)
    assert 0 <= scores[1] <= 1
    predictions = model.predict(x_test[7].reshape(1, 28, 28, 1))
    assert predictions.shape == (1, 10)
    assert predictions.sum() == pytest.approx(1, abs=1e-5)
    assert 0.1 <= predictions[0, np.argmax(predictions)] <= 1


def test_d3_diagram(tmp_path):
    pytest.importorskip("matplotlib")
    import minicnn as tf

    file = tmp_path / "model.png"
    tf.keras.utils.plot_model(d3(tf.keras), to_file=file, show_shapes=True, show_layer_names=True)
    assert file.read_bytes().startswith(b"\x89PNG")


def test_d3_mlp_cells():
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    x_train, x_test = (x.reshape((x.shape[0], 28 * 28)).astype("float32") / 255 for x in (x_train, x_test))
    model = d3_mlp(mc.keras)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    check_history(model.fit(x_train, y_train, epochs=2, batch_size=100), 2, {"loss", "accuracy"})
    assert len(model.evaluate(x_test, y_test)) == 2


@pytest.mark.parametrize(
    ("source", "network"),
    [(mnist, d4_mlp), (mnist, d4_lenet5), (cifar10, d4_mlp_colour), (cifar10, d4_lenet5_colour)],
)
def test_d4_cells(source, network):
    (x_train, y_train), (x_test, y_test) = source.load_data()
    x_train, x_test = (x.astype("float32") / 255.0 for x in (x_train, x_test))
    y_train, y_test = (mc.keras.utils.to_categorical(y, 10) for y in (y_train, y_test))
    model = network(mc.keras)
    opt = mc.keras.optimizers.Adam(learning_rate=0.0005)
    model.compile(loss="categorical_crossentropy", optimizer=opt, metrics=["accuracy"])
    check_history(model.fit(x_train, y_train, batch_size=32, epochs=1, shuffle=True), 1, {"loss", "accuracy"})
    loss, accuracy = model.evaluate(x_test, y_test)
    assert np.isfinite(loss)
    predictions = model.predict(x_test)
    assert np.mean(predictions.argmax(axis=1) == y_test.argmax(axis=1)) == pytest.approx(accuracy)


def test_d4_better_lenet5_cells(capsys):
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    x_train, x_test = (mc.utils.normalize_images(x)[..., None] for x in (x_train, x_test))
    y_train, y_test = (mc.utils.to_categorical(y, 10) for y in (y_train, y_test))
    model = d4_better_lenet5(mc.keras)
    model.summary()
    assert re.search(r"│ aug \(Sequential\) +│ \(None, 32, 32, 1\) +│ +0 │", capsys.readouterr().out)
    opt = mc.optimizers.SGD(learning_rate=0.1)
    model.compile(loss="categorical_crossentropy", optimizer=opt, metrics=["accuracy"])
    check_history(model.fit(x_train, y_train, batch_size=32, epochs=1, validation_data=(x_test, y_test)), 1)
    np.testing.assert_array_equal(model.predict(x_test), model.predict(x_test))  # nothing random in use


def test_d4_convolution_layer():
    from minicnn.keras import layers

    input_layer = layers.Input(shape=(64, 64, 1))
    conv_layer_1 = layers.Conv2D(filters=2, kernel_size=(3, 3), strides=1, padding="same")(input_layer)
    assert conv_layer_1.shape == (None, 64, 64, 2)
