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

PUBLISHED = {
    "net_1": {"test_loss": 0.4901, "test_accuracy": 0.8736},  # pooling
    "net_2": {"test_loss": 0.5062, "test_accuracy": 0.8735},  # a stride of two
}


def build_model(name):
    """net_1 has max pooling, net_2 a stride of two in the second convolution instead."""
    inputs = Input(shape=(28, 28, 1))
    x = Conv2D(32, (3, 3), padding="same", activation="relu")(inputs)
    if name == "net_1":
        x = Conv2D(64, (3, 3), padding="same", activation="relu")(x)
        x = MaxPooling2D(pool_size=(2, 2))(x)
    else:
        x = Conv2D(64, (3, 3), padding="same", activation="relu", strides=2)(x)
    x = Flatten()(x)
    x = Dense(128, activation="relu")(x)
    return Model(inputs=inputs, outputs=Dense(10, activation="softmax")(x), name=name)


def main():
    """Train both networks, and write the result and the curves."""
    options = common.Parser(__doc__, "MNIST", epochs=10, batch_size=128).parse_args()

    try:
        data = mc.datasets.mnist.load_data(options.data_dir)
    except mc.datasets.DataNotFoundError as error:
        data = common.digits_instead(options, error)
    (x_train, y_train), (x_test, y_test) = data
    x_train, y_train = x_train[: options.limit], y_train[: options.limit]
    x_train, x_test = (mc.utils.normalize_images(x)[..., np.newaxis] for x in (x_train, x_test))  # (N, 28, 28, 1)
    y_train, y_test = mc.utils.one_hot(y_train, 10), mc.utils.one_hot(y_test, 10)
    print(f"normalize_images([0, 127, 255]) = {mc.utils.normalize_images([0, 127, 255]).round(3).tolist()}")
    print(f"one_hot([3, 0, 9], 10) =\n{mc.utils.one_hot([3, 0, 9], 10).astype(int)}")

    histories, networks = {}, {}
    for name, published in PUBLISHED.items():
        mc.utils.set_random_seed(options.seed)  # as if each network were trained alone
        model = build_model(name)
        model.summary()
        model.compile(loss="categorical_crossentropy", optimizer="Adadelta", metrics=["accuracy"])
        clock = common.EpochClock()  # a callback that measures the time
        histories[name] = model.fit(
            x_train,
            y_train,
            batch_size=options.batch_size,
            epochs=options.epochs,
            validation_data=(x_test, y_test),
            callbacks=[clock],
        )
        scores = model.evaluate(x_test, y_test, batch_size=options.batch_size, verbose=0)
        networks[name] = common.outcome(options, model, clock, scores, published)

    common.save_result(options, y_train, y_test, {"networks": networks})
    with common.figures(options) as figures:
        figures["curves.png"] = mc.visualization.plot_history(histories)


if __name__ == "__main__":
    common.run(main)
