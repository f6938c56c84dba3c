"""A digit reader from the first look at the data to a saved model: MNIST, or the digits of the package.

The network of mnist_cnn.py with batches of 100. The document's cells load MNIST again after scaling it, so its network
was trained on raw pixels from 0 to 255; so is ours, unless ``--scaled`` is given. ``--mlp`` takes the perceptron that
the document has as the alternative. The model is saved, loaded again and evaluated, and reads one random digit.
"""

import common
import numpy as np
from mnist_cnn import build_model

import minicnn as mc
from minicnn.layers import Dense
from minicnn.models import Sequential, load_model

NAME = "digit_recognition"
EPOCHS = 10
BATCH_SIZE = 100
PUBLISHED = {"train_loss": 0.0164, "train_accuracy": 0.9943, "test_loss": 0.0631, "test_accuracy": 0.9866}


def build_mlp():
    """For scaled pixels in a row: 27,882 parameters."""
    model = Sequential(name="mlp")
    model.add(Dense(32, input_dim=28 * 28, activation="relu"))
    model.add(Dense(64, activation="relu"))
    model.add(Dense(10, activation="softmax"))
    return model


def in_rows(images):
    """Images (N, 28, 28, 1) as rows (N, 784)."""
    return images.reshape(len(images), 28 * 28)


def draw_ten_digits(images):
    """The first example of each digit."""
    first = [np.flatnonzero(images.y_train == digit)[0] for digit in range(10) if digit in images.y_train]
    return mc.visualization.show_images(images.x_train[first], titles=[f"Digit {images.y_train[i]}" for i in first])


def main():
    """Train, save, load, evaluate, predict, and write the result and the pictures."""
    parser = common.make_parser(NAME, __doc__, EPOCHS, BATCH_SIZE)
    parser.add_argument("--scaled", action="store_true", help="pixels from 0 to 1 instead of 0 to 255")
    parser.add_argument("--mlp", action="store_true", help="a perceptron, on scaled pixels")
    options = common.parse(parser)
    raw = common.mnist_or_digits(options)
    print(f"Training images: {raw.x_train.shape}")
    images = raw.scaled() if options.scaled or options.mlp else raw
    if options.mlp:
        images = images.with_pixels(in_rows)

    model = build_mlp() if options.mlp else build_model()
    model.summary()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    outcome = common.train(model, images, options, {} if options.scaled or options.mlp else PUBLISHED)

    loaded = load_model(common.save_model(options, model, "cnn_digit_recognition.keras"))
    outcome["test_loss"], outcome["test_accuracy"] = loaded.evaluate(*images.test)  # as in the document: of the copy
    common.save_result(options, NAME, images, outcome)

    index = np.random.default_rng(options.seed).integers(len(images.x_test))
    image, label = images.x_test[index], images.y_test[index]
    probabilities = loaded.predict(image[None])[0]
    print(f"Test image {index}: a {label}, read as {probabilities.argmax()} with confidence {probabilities.max():.4f}")
    visualization = mc.visualization
    figures = {
        common.CURVES: lambda: visualization.plot_history(outcome["history"]),
        "digits.png": lambda: draw_ten_digits(raw),
        "model.png": lambda: visualization.plot_model(model, show_shapes=True, show_layer_names=True),
        "prediction.png": lambda: visualization.show_prediction(
            image.reshape(28, 28), probabilities, images.class_names, label
        ),
    }
    common.save_figures(options, figures)


if __name__ == "__main__":
    common.run(main)
