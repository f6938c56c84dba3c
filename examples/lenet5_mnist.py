"""LeNet-5 learns to read handwritten digits (MNIST, or the digits of the package where MNIST cannot be had).

LeCun, Bottou, Bengio, Haffner: "Gradient-Based Learning Applied to Document Recognition", 1998; here with ReLU and
max pooling, with ``--classic`` with tanh and average pooling as then. The pictures show what the network has learned:
its filters, and what each layer makes of one digit.
"""

import common
import numpy as np

import minicnn as mc
from minicnn import layers, visualization

PUBLISHED = {"train_loss": 0.0052, "train_accuracy": 0.9986}  # as the progress bar shows them


def main():
    """Train, and write the result and the pictures."""
    parser = common.Parser(__doc__, "MNIST", epochs=20, batch_size="128, for the embedded digits 32")
    parser.add_argument("--classic", action="store_true", help="tanh and average pooling, as in 1998")
    options = parser.parse_args()

    try:
        data = mc.datasets.mnist.load_data(options.data_dir)
    except mc.datasets.DataNotFoundError as error:
        data = common.digits_instead(options, error)
    (x_train, y_train), (x_test, y_test) = data
    options.batch_size = options.batch_size or (128 if options.dataset == "MNIST" else 32)  # 1,442 digits: few steps
    x_train, y_train = x_train[: options.limit], y_train[: options.limit]
    x_train, x_test = (mc.utils.normalize_images(x)[..., np.newaxis] for x in (x_train, x_test))  # (N, 28, 28, 1)

    activation, pooling = ("tanh", layers.AveragePooling2D) if options.classic else ("relu", layers.MaxPooling2D)
    model = mc.Sequential(
        [
            mc.Input(shape=(28, 28, 1)),
            layers.Conv2D(6, 5, activation=activation),
            pooling(2),
            layers.Conv2D(16, 5, activation=activation),
            pooling(2),
            layers.Flatten(),
            layers.Dense(120, activation=activation),
            layers.Dense(84, activation=activation),
            layers.Dense(10, activation="softmax"),
        ],
        name="lenet5",
    )
    model.summary()  # 44,426 parameters
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

    outcome = common.outcome(options, model, clock, scores, {} if options.classic else PUBLISHED)
    common.save_result(options, y_train, y_test, outcome)
    with common.figures(options) as figures:
        figures["curves.png"] = visualization.plot_history(history)
        figures["model.png"] = visualization.plot_model(model, show_details=True)
        figures["filters.png"] = visualization.show_filters(model.layers[0])
        figures["feature_maps.png"] = visualization.show_feature_maps(model, x_test[0])
        predictions = model.predict(x_test, batch_size=500)
        figures["confusion.png"] = visualization.plot_confusion_matrix(y_test, predictions)
        ten = np.random.default_rng(options.seed).choice(len(x_test), 10, replace=False)
        figures["predictions.png"] = visualization.show_images(x_test[ten], y_test[ten], predictions=predictions[ten])


if __name__ == "__main__":
    common.run(main)
