"""A perceptron with two hidden layers reads MNIST's digits (or those of the package): 188,660 parameters.

The document prints neither optimizer nor epochs; Adam(5e-4) with 10 epochs of batches of 32 gives its numbers.
"""

import common
import numpy as np

import minicnn as mc
from minicnn import layers, visualization

PUBLISHED = {"test_loss": 0.0990, "test_accuracy": 0.9754}


def main():
    """Train, and write the result and the pictures."""
    options = common.Parser(__doc__, "MNIST", epochs=10, batch_size=32).parse_args()

    try:
        data = mc.datasets.mnist.load_data(options.data_dir)
    except mc.datasets.DataNotFoundError as error:
        data = common.digits_instead(options, error)
    (x_train, y_train), (x_test, y_test) = data
    x_train, y_train = x_train[: options.limit], y_train[: options.limit]
    x_train, x_test = (mc.utils.normalize_images(x)[..., np.newaxis] for x in (x_train, x_test))  # (N, 28, 28, 1)

    model = mc.Sequential(
        [
            mc.Input(shape=(28, 28, 1)),
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

    common.save_result(options, y_train, y_test, common.outcome(options, model, clock, scores, PUBLISHED))
    with common.figures(options) as figures:
        figures["curves.png"] = visualization.plot_history(history)
        ten = np.random.default_rng(options.seed).choice(len(x_test), 10, replace=False)
        predictions = model.predict(x_test[ten])
        figures["predictions.png"] = visualization.show_images(x_test[ten], y_test[ten], predictions=predictions)


if __name__ == "__main__":
    common.run(main)
