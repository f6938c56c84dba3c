"""Adam, Adagrad and Adadelta train the same network on CIFAR-10, each with its default rate of 0.001.

net_1 of pooling_vs_stride.py, 2,117,962 parameters; the last fifth of the training images is held back for validation.
Adam learns the training images by heart while its validation loss rises; Adagrad and Adadelta have not finished after
30 epochs.
"""

import common

import minicnn as mc
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from minicnn.models import Model

PUBLISHED = {
    "Adam": {"test_loss": 2.8947, "test_accuracy": 0.6597},
    "Adagrad": {"test_loss": 1.4304, "test_accuracy": 0.4914},
    "Adadelta": {"test_loss": 1.9030, "test_accuracy": 0.3556},
}


def build_model():
    """Two convolutions, one pooling, two dense layers."""
    inputs = Input(shape=(32, 32, 3))
    x = Conv2D(32, (3, 3), padding="same", activation="relu")(inputs)
    x = Conv2D(64, (3, 3), padding="same", activation="relu")(x)
    x = MaxPooling2D(pool_size=(2, 2))(x)
    x = Flatten()(x)
    x = Dense(128, activation="relu")(x)
    return Model(inputs=inputs, outputs=Dense(10, activation="softmax")(x), name="net_1")


def main():
    """Train with each optimizer, and write the result and the curves."""
    parser = common.Parser(__doc__, "CIFAR-10", epochs=30, batch_size=128, least_images=2)  # one is for validation
    parser.add_argument("--optimizers", nargs="+", choices=PUBLISHED, default=list(PUBLISHED), help="default: all")
    options = parser.parse_args()

    (x_train, y_train), (x_test, y_test) = mc.datasets.cifar10.load_data(options.data_dir)
    x_train, y_train = x_train[: options.limit], y_train[: options.limit]
    x_train, x_test = mc.utils.normalize_images(x_train), mc.utils.normalize_images(x_test)
    y_train, y_test = mc.utils.one_hot(y_train, 10), mc.utils.one_hot(y_test, 10)

    histories, networks = {}, {}
    for optimizer in options.optimizers:
        mc.utils.set_random_seed(options.seed)  # the same first weights for each
        model = build_model()
        model.summary()
        model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
        clock = common.EpochClock()  # a callback that measures the time
        histories[optimizer] = model.fit(
            x_train,
            y_train,
            batch_size=options.batch_size,
            epochs=options.epochs,
            validation_split=0.2,
            callbacks=[clock],
        )
        scores = model.evaluate(x_test, y_test, batch_size=options.batch_size, verbose=0)
        networks[optimizer] = common.outcome(options, model, clock, scores, PUBLISHED[optimizer])

    common.save_result(options, y_train, y_test, {"networks": networks})
    with common.figures(options) as figures:
        figures["curves.png"] = mc.visualization.plot_history(histories)


if __name__ == "__main__":
    common.run(main)
