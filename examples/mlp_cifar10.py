"""The perceptron of mlp_mnist.py on CIFAR-10: 646,260 parameters, and half of the pictures are taken for others.

Is it the colour, or the size? ``--gray`` makes the pictures grey and 28x28 as MNIST's are (188,660 parameters): it gets
worse. The document prints neither optimizer nor epochs; they are those of mlp_mnist.py.
"""

import common
import numpy as np

import minicnn as mc
from minicnn import layers, visualization

PUBLISHED = {"test_loss": 1.4736, "test_accuracy": 0.4788}
PUBLISHED_GRAY = {"test_loss": 1.6452, "test_accuracy": 0.4127}


def main():
    """Train, and write the result and the pictures."""
    parser = common.Parser(__doc__, "CIFAR-10", epochs=10, batch_size=32)
    parser.add_argument("--gray", action="store_true", help="grey pictures of 28x28 pixels")
    options = parser.parse_args()

    (x_train, y_train), (x_test, y_test) = mc.datasets.cifar10.load_data(options.data_dir)
    x_train, y_train = x_train[: options.limit], y_train[: options.limit]
    x_train, x_test = mc.utils.normalize_images(x_train), mc.utils.normalize_images(x_test)
    if options.gray:
        x_train, x_test = (mc.utils.resize_images(mc.utils.to_grayscale(x), (28, 28)) for x in (x_train, x_test))

    model = mc.Sequential(
        [
            mc.Input(shape=x_train.shape[1:]),
            layers.Flatten(),
            layers.Dense(200, activation="relu"),
            layers.Dense(150, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ],
        name="mlp",
    )
    model.summary()
    model.compile(optimizer=mc.optimizers.Adam(5e-4), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    clock = common.EpochClock()  # a callback that measures the time
    history = model.fit(
        x_train,
        y_train,
        batch_size=options.batch_size,
        epochs=options.epochs,
        validation_data=(x_test, y_test),
        callbacks=[clock],
    )
    scores = model.evaluate(x_test, y_test, batch_size=options.batch_size, verbose=0)

    outcome = common.outcome(options, model, clock, scores, PUBLISHED_GRAY if options.gray else PUBLISHED)
    common.save_result(options, y_train, y_test, outcome)
    with common.figures(options) as figures:
        figures["curves.png"] = visualization.plot_history(history)
        ten = np.random.default_rng(options.seed).choice(len(x_test), 10, replace=False)
        names, predictions = mc.datasets.cifar10.CLASS_NAMES, model.predict(x_test[ten])
        figures["predictions.png"] = visualization.show_images(x_test[ten], y_test[ten], names, predictions)


if __name__ == "__main__":
    common.run(main)
