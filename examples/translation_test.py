"""Digits moved 4 pixels down and to the right: what a perceptron and LeNet-5 still recognise of them.

Both learn MNIST (or the digits of the package) as in mlp_mnist.py and lenet5_mnist.py, and both fail on the moved test
set: the perceptron because each pixel has weights of its own, LeNet-5 because its dense part has them too.
"""

import common
import numpy as np

import minicnn as mc
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D

SETTINGS = {"MLP": (10, 32, 5e-4), "LeNet-5": (20, 128, 1e-3)}  # epochs, batch size, learning rate
PUBLISHED = {
    "MLP": {"test_loss": 0.0990, "test_accuracy": 0.9754, "moved_loss": 14.5560, "moved_accuracy": 0.0761},
    "LeNet-5": {"train_loss": 0.0052, "train_accuracy": 0.9986, "moved_loss": 8.9618, "moved_accuracy": 0.1392},
}


def build_model(name):
    """The MLP has 188,660 parameters, LeNet-5 44,426."""
    if name == "MLP":
        hidden = [Flatten(), Dense(200, activation="relu"), Dense(150, activation="relu")]
    else:
        hidden = [Conv2D(6, 5, activation="relu"), MaxPooling2D(2), Conv2D(16, 5, activation="relu"), MaxPooling2D(2)]
        hidden += [Flatten(), Dense(120, activation="relu"), Dense(84, activation="relu")]
    return mc.Sequential([mc.Input(shape=(28, 28, 1)), *hidden, Dense(10, activation="softmax")], name=name)


def main():
    """Train both networks, score them, and write the result and the pictures."""
    defaults = "10 for the MLP, 20 for LeNet-5", "32 for the MLP, 128 for LeNet-5"
    options = common.Parser(__doc__, "MNIST", *defaults).parse_args()
    given = options.epochs, options.batch_size

    try:
        data = mc.datasets.mnist.load_data(options.data_dir)
    except mc.datasets.DataNotFoundError as error:
        data = common.digits_instead(options, error)
    (x_train, y_train), (x_test, y_test) = data
    x_train, y_train = x_train[: options.limit], y_train[: options.limit]
    x_train, x_test = (mc.utils.normalize_images(x)[..., np.newaxis] for x in (x_train, x_test))  # (N, 28, 28, 1)
    moved = mc.utils.translate_images(x_test, dx=4, dy=4)  # zeros move in

    models, networks = {}, {}
    for name, (epochs, batch_size, rate) in SETTINGS.items():
        options.epochs = given[0] or epochs
        options.batch_size = given[1] or (batch_size if options.dataset == "MNIST" else 32)
        mc.utils.set_random_seed(options.seed)  # as if each network were trained alone
        model = models[name] = build_model(name)
        model.summary()
        model.compile(optimizer=mc.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        clock = common.EpochClock()  # a callback that measures the time
        sizes = {"batch_size": options.batch_size, "epochs": options.epochs}
        model.fit(x_train, y_train, **sizes, validation_data=(x_test, y_test), callbacks=[clock])
        scores = model.evaluate(x_test, y_test, batch_size=options.batch_size, verbose=0)
        moved_loss, moved_accuracy = model.evaluate(moved, y_test, batch_size=500, verbose=0)
        networks[name] = common.outcome(options, model, clock, scores, PUBLISHED[name])
        networks[name] |= {"moved_loss": moved_loss, "moved_accuracy": moved_accuracy}

    common.save_result(options, y_train, y_test, {"networks": networks})
    with common.figures(options) as figures:
        figures["curves.png"] = mc.visualization.plot_history({n: m.history for n, m in models.items()})
        pictures, titles, are_right = np.stack([x_test[0], moved[0]]), [], []
        for name, model in models.items():
            for place, p in zip(("original", "moved"), model.predict(pictures), strict=True):
                titles.append(f"{name}, {place}\npred = {p.argmax()} (p = {p.max():.2f})")
                are_right.append(p.argmax() == y_test[0])
        figures["moved.png"] = mc.visualization.show_images([*pictures, *pictures], titles=titles, columns=2)
        for axes, is_right in zip(figures["moved.png"].axes, are_right, strict=True):
            axes.title.set_color("black" if is_right else "#D55E00")  # as wherever a prediction is wrong


if __name__ == "__main__":
    common.run(main)
