"""Clothes instead of digits: Fashion-MNIST with three convolutions and a dense part that is added later.

55,744 parameters before and 87,452 after it. The last layer is a sigmoid and the loss has ``from_logits=True``: as in
tf.keras, the loss is computed from the values before the sigmoid (softmax cross-entropy), while `predict` gives the
sigmoids.
"""

import common
import numpy as np

import minicnn as mc
from minicnn import layers, models, visualization

PUBLISHED = {"train_loss": 0.1452, "train_accuracy": 0.9459, "test_loss": 0.2803, "test_accuracy": 0.9065}
PUBLISHED_PROBABILITY = 0.9978  # of the class predicted for test image 169


def main():
    """Train, predict one image, and write the result and the pictures."""
    options = common.Parser(__doc__, "Fashion-MNIST", epochs=10, batch_size=32).parse_args()
    (x_train, y_train), (x_test, y_test) = mc.datasets.fashion_mnist.load_data(options.data_dir)
    x_train, y_train = x_train[: options.limit], y_train[: options.limit]
    x_train, x_test = (mc.utils.normalize_images(x)[..., np.newaxis] for x in (x_train, x_test))  # (N, 28, 28, 1)

    model = models.Sequential(name="fashion_mnist_cnn")
    model.add(layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(64, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(64, (3, 3), activation="relu"))
    model.summary()
    model.add(layers.Flatten())
    model.add(layers.Dense(54, activation="relu"))
    model.add(layers.Dense(10, activation="sigmoid"))
    model.summary()
    loss = mc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
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
    predictions, names = model.predict(x_test), mc.datasets.fashion_mnist.CLASS_NAMES
    shown = min(169, len(x_test) - 1)
    image, label, sigmoids = x_test[shown], y_test[shown], predictions[shown]
    print(f"Test image {shown}, the ten sigmoids: {sigmoids.round(4).tolist()}")
    print(f"Predicted: {names[sigmoids.argmax()]}, {sigmoids.max():.2%}; true: {names[label]}")
    print(f"Published: {PUBLISHED_PROBABILITY:.2%}")
    with common.figures(options) as figures:
        figures["curves.png"] = visualization.plot_history(history)
        figures["clothes.png"] = visualization.show_images(x_train[:25], y_train[:25], names)
        figures["prediction.png"] = visualization.show_prediction(image, sigmoids, names, label)
        figures["confusion.png"] = visualization.plot_confusion_matrix(y_test, predictions, names)


if __name__ == "__main__":
    common.run(main)
