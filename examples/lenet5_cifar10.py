"""LeNet-5 on the colour pictures of CIFAR-10: the same network as in lenet5_mnist.py, a much harder task.

The document sets it as an exercise and prints no result. 62,006 parameters.
"""

import common
import numpy as np

import minicnn as mc
from minicnn import layers, visualization


def main():
    """Train, and write the result and the pictures."""
    options = common.Parser(__doc__, "CIFAR-10", epochs=20, batch_size=128).parse_args()
    (x_train, y_train), (x_test, y_test) = mc.datasets.cifar10.load_data(options.data_dir)
    x_train, y_train = x_train[: options.limit], y_train[: options.limit]
    x_train, x_test = mc.utils.normalize_images(x_train), mc.utils.normalize_images(x_test)

    model = mc.Sequential(
        [
            mc.Input(shape=(32, 32, 3)),
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
    model.summary()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
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

    common.save_result(options, y_train, y_test, common.outcome(options, model, clock, scores))
    names = mc.datasets.cifar10.CLASS_NAMES
    with common.figures(options) as figures:
        figures["curves.png"] = visualization.plot_history(history)
        figures["model.png"] = visualization.plot_model(model, show_details=True)
        figures["filters.png"] = visualization.show_filters(model.layers[0])
        figures["feature_maps.png"] = visualization.show_feature_maps(model, x_test[0])
        predictions = model.predict(x_test, batch_size=500)
        figures["confusion.png"] = visualization.plot_confusion_matrix(y_test, predictions, names)
        ten = np.random.default_rng(options.seed).choice(len(x_test), 10, replace=False)
        figures["predictions.png"] = visualization.show_images(x_test[ten], y_test[ten], names, predictions[ten])


if __name__ == "__main__":
    common.run(main)
