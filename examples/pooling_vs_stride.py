"""Pooling, or a convolution that takes steps of two? Both halve the image, and both networks have 1,625,866 parameters.

On MNIST (or the digits of the package), with the helpers of the document: pixels from 0 to 1, a new last axis, one-hot
labels. The document does not name its optimizer; Adadelta with its default rate of 0.001 is as slow to learn as what
it prints.
"""

import common
import numpy as np

import minicnn as mc
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from minicnn.models import Model

NAME = "pooling_vs_stride"
EPOCHS = 10
BATCH_SIZE = 128
PUBLISHED = {
    "net_1": {"test_loss": 0.4901, "test_accuracy": 0.8736},
    "net_2": {"test_loss": 0.5062, "test_accuracy": 0.8735},
}


def net_1(sample_shape, classes):
    """With max pooling: 1,625,866 parameters on images (28, 28, 1), 2,117,962 on (32, 32, 3)."""
    inputs = Input(shape=sample_shape)
    x = Conv2D(32, (3, 3), padding="same", activation="relu")(inputs)
    x = Conv2D(64, (3, 3), padding="same", activation="relu")(x)
    x = MaxPooling2D(pool_size=(2, 2))(x)
    x = Flatten()(x)
    x = Dense(128, activation="relu")(x)
    return Model(inputs=inputs, outputs=Dense(classes, activation="softmax")(x), name="net_1")


def net_2(sample_shape, classes):
    """With a stride of two in the second convolution instead."""
    inputs = Input(shape=sample_shape)
    x = Conv2D(32, (3, 3), padding="same", activation="relu")(inputs)
    x = Conv2D(64, (3, 3), padding="same", activation="relu", strides=2)(x)
    x = Flatten()(x)
    x = Dense(128, activation="relu")(x)
    return Model(inputs=inputs, outputs=Dense(classes, activation="softmax")(x), name="net_2")


def prepare(images):
    """Pixels from 0 to 1, a last axis for the channel, one-hot labels; each step shown on a few numbers first."""
    numbers, labels = np.array([0, 127, 255]), np.array([3, 0, 9])
    print(f"normalize_images({numbers.tolist()}) = {mc.utils.normalize_images(numbers).round(3).tolist()}")
    print(f"one_hot({labels.tolist()}, 10) =\n{mc.utils.one_hot(labels, 10).astype(int)}")
    prepared = images.scaled().one_hot()
    print(f"images {images.x_train.shape} -> {prepared.x_train.shape}, labels -> {prepared.y_train.shape}")
    return prepared


def main():
    """Train both networks, and write the result and the curves."""
    options = common.parse(common.make_parser(NAME, __doc__, EPOCHS, BATCH_SIZE))
    images = prepare(common.mnist_or_digits(options))

    networks = {}
    for build in (net_1, net_2):
        mc.utils.set_random_seed(options.seed)  # as if each network were trained alone
        model = build(images.x_train[0].shape, 10)
        model.summary()
        model.compile(loss="categorical_crossentropy", optimizer="Adadelta", metrics=["accuracy"])
        networks[model.name] = common.train(model, images, options, PUBLISHED[model.name])

    common.save_result(options, NAME, images, networks=networks)
    histories = {name: outcome["history"] for name, outcome in networks.items()}
    common.save_figures(options, {common.CURVES: lambda: mc.visualization.plot_history(histories)})


if __name__ == "__main__":
    common.run(main)
