"""LeNet-5 becomes a web page: draw a digit, see every layer, point at a cell and read how it was computed.

The network learns MNIST (or the digits of the package) as in lenet5_mnist.py, a few epochs only; then one file, which
needs no network and no server, holds it with its weights. Open it in a browser: ``draw_a_digit.html``.
"""

import common
import numpy as np

import minicnn as mc
from minicnn import layers, visualization


def main():
    """Train, and write the result, the curves and the page."""
    options = common.Parser(__doc__, "MNIST", epochs=5, batch_size="128, for the embedded digits 32").parse_args()

    try:
        data = mc.datasets.mnist.load_data(options.data_dir)
    except mc.datasets.DataNotFoundError as error:
        data = common.digits_instead(options, error)
    (x_train, y_train), (x_test, y_test) = data
    options.batch_size = options.batch_size or (128 if options.dataset == "MNIST" else 32)  # 1,442 digits: few steps
    x_train, y_train = x_train[: options.limit], y_train[: options.limit]
    x_train, x_test = (mc.utils.normalize_images(x)[..., np.newaxis] for x in (x_train, x_test))  # (N, 28, 28, 1)

    model = mc.Sequential(
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
    scores = model.evaluate(x_test, y_test, batch_size=500, verbose=0)

    first = [int(np.argmax(y_test == digit)) for digit in range(10)]  # a test image of each digit, to begin with
    page = options.out / "draw_a_digit.html"
    mc.export_html(model, page, examples=x_test[first], title="LeNet-5")
    print(f"Page: {page} ({page.stat().st_size:,} bytes; open it in a browser)")
    model.save(options.out / "lenet5.safetensors", include_optimizer=False)
    common.save_result(options, y_train, y_test, common.outcome(options, model, clock, scores))
    with common.figures(options) as figures:
        figures["curves.png"] = visualization.plot_history(history)


if __name__ == "__main__":
    common.run(main)
