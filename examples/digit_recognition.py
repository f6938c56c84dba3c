"""A digit reader from the first look at the data to a saved model: MNIST, or the digits of the package.

The network of mnist_cnn.py with batches of 100. The document's cells load MNIST again after scaling it, so its network
was trained on raw pixels from 0 to 255; so is ours, unless ``--scaled`` is given. ``--mlp`` takes the perceptron that
the document has as the alternative. The model is saved, loaded again and evaluated, and reads one random digit.
"""

import common
import numpy as np

import minicnn as mc
from minicnn import visualization
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D
from minicnn.models import Sequential, load_model

PUBLISHED = {"train_loss": 0.0164, "train_accuracy": 0.9943, "test_loss": 0.0631, "test_accuracy": 0.9866}


def main():
    """Train, save, load, evaluate, predict, and write the result and the pictures."""
    parser = common.Parser(__doc__, "MNIST", epochs=10, batch_size=100)
    parser.add_argument("--scaled", action="store_true", help="pixels from 0 to 1 instead of 0 to 255")
    parser.add_argument("--mlp", action="store_true", help="a perceptron, on scaled pixels")
    options = parser.parse_args()

    try:
        data = mc.datasets.mnist.load_data(options.data_dir)
    except mc.datasets.DataNotFoundError as error:
        data = common.digits_instead(options, error)
    (x_train, y_train), (x_test, y_test) = data
    x_train, y_train = x_train[: options.limit], y_train[: options.limit]
    print(f"Training images: {x_train.shape}")
    if options.scaled or options.mlp:
        x_train, x_test = mc.utils.normalize_images(x_train), mc.utils.normalize_images(x_test)

    if options.mlp:  # 27,882 parameters
        x_train, x_test = x_train.reshape(-1, 28 * 28), x_test.reshape(-1, 28 * 28)
        hidden = [Dense(32, input_dim=28 * 28, activation="relu"), Dense(64, activation="relu")]
    else:  # 225,034
        hidden = [Conv2D(32, 3, activation="relu", input_shape=(28, 28, 1)), MaxPooling2D(2)]
        hidden += [Conv2D(64, 3, activation="relu"), MaxPooling2D(2)]
        hidden += [Flatten(), Dense(128, activation="relu")]
    model = Sequential([*hidden, Dense(10, activation="softmax")], name="mlp" if options.mlp else "mnist_cnn")
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

    file = common.model_file(options, "cnn_digit_recognition.keras")
    model.save(file)
    loaded = load_model(file) if file.exists() else model  # of several workers, the first one alone writes
    scores = loaded.evaluate(x_test, y_test)  # as in the document: of the copy
    published = {} if options.scaled or options.mlp else PUBLISHED
    common.save_result(options, y_train, y_test, common.outcome(options, model, clock, scores, published))

    index = np.random.default_rng(options.seed).integers(len(x_test))
    image, label, probabilities = x_test[index], y_test[index], loaded.predict(x_test[index : index + 1])[0]
    print(f"Test image {index}: a {label}, read as {probabilities.argmax()} with confidence {probabilities.max():.4f}")
    with common.figures(options) as figures:
        figures["curves.png"] = visualization.plot_history(history)
        first = [np.flatnonzero(y_train == digit)[0] for digit in range(10) if digit in y_train]
        digits, titles = x_train[first].reshape(-1, 28, 28), [f"Digit {digit}" for digit in y_train[first]]
        figures["digits.png"] = visualization.show_images(digits, titles=titles)
        figures["model.png"] = visualization.plot_model(model, show_shapes=True, show_layer_names=True)
        figures["prediction.png"] = visualization.show_prediction(image.reshape(28, 28), probabilities, label=label)


if __name__ == "__main__":
    common.run(main)
