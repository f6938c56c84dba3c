"""LeNet-5 learns to read handwritten digits (MNIST, or the digits of the package where MNIST cannot be had).

LeCun, Bottou, Bengio, Haffner: "Gradient-Based Learning Applied to Document Recognition", 1998; here with ReLU and
max pooling. 20 epochs of batches of 128 reach about 99 % on the test set.
"""

import common

import minicnn as mc
from minicnn import layers

NAME = "lenet5_mnist"
EPOCHS = 20
BATCH_SIZE = {"MNIST": 128, "digits": 32}  # 1,442 digits would make few steps of 128


def build_model():
    """LeNet-5 for images (28, 28, 1) of ten classes: 44,426 parameters."""
    return mc.Sequential(
        [
            mc.Input(shape=(28, 28, 1)),
            layers.Conv2D(6, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ],
        name="lenet5",
    )


def main():
    """Train, and write the result and the curves."""
    options = common.parse(common.make_parser(NAME, __doc__, EPOCHS, "128, for the embedded digits 32"))
    images = common.mnist_or_digits(options)
    epochs = options.epochs or EPOCHS
    batch_size = options.batch_size or BATCH_SIZE[images.name]

    model = build_model()
    model.compile(
        optimizer=mc.optimizers.Adam(learning_rate=1e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.summary()
    history, seconds = common.train(model, images, epochs, batch_size)

    common.save_result(options, NAME, images, model, history, seconds, batch_size)
    common.save_figures(options, {common.CURVES: lambda: mc.visualization.plot_history(history)})


if __name__ == "__main__":
    common.run(main)
