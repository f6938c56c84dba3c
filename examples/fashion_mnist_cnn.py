"""Clothes instead of digits: Fashion-MNIST with three convolutions and a dense part that is added later.

55,744 parameters before and 87,452 after it. The last layer is a sigmoid and the loss has ``from_logits=True``: as in
tf.keras, the loss is computed from the values before the sigmoid (softmax cross-entropy), while `predict` gives the
sigmoids.
"""

import common

import minicnn as mc
from minicnn import layers, models

NAME = "fashion_mnist_cnn"
EPOCHS = 10
BATCH_SIZE = 32
SHOWN = 169  # number of the test image
PUBLISHED = {"train_loss": 0.1452, "train_accuracy": 0.9459, "test_loss": 0.2803, "test_accuracy": 0.9065}
PUBLISHED_PROBABILITY = 0.9978  # of the class predicted for that image


def build_model():
    """The convolutions (55,744 parameters), a summary, the dense part (87,452 in all), a summary."""
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
    return model


def main():
    """Train, predict one image, and write the result and the pictures."""
    options = common.parse(common.make_parser(NAME, __doc__, EPOCHS, BATCH_SIZE))
    images = common.fashion_mnist(options).scaled()

    model = build_model()
    model.compile(
        optimizer="adam",
        loss=mc.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    outcome = common.train(model, images, options, PUBLISHED)

    common.save_result(options, NAME, images, outcome)
    names = images.class_names
    shown = min(SHOWN, len(images.x_test) - 1)
    predictions = model.predict(images.x_test)
    print(f"Test image {shown}, the ten sigmoids: {predictions[shown].round(4).tolist()}")
    best = predictions[shown].argmax()
    print(
        f"Predicted: {names[best]}, {100 * predictions[shown, best]:.2f} % "
        f"(published: {100 * PUBLISHED_PROBABILITY:.2f} %); true: {names[images.y_test[shown]]}"
    )
    visualization = mc.visualization
    figures = {
        common.CURVES: lambda: visualization.plot_history(outcome["history"]),
        "clothes.png": lambda: visualization.show_images(images.x_train[:25], images.y_train[:25], names),
        "prediction.png": lambda: visualization.show_prediction(
            images.x_test[shown], predictions[shown], names, images.y_test[shown]
        ),
        "confusion.png": lambda: common.draw_confusion(model, images),
    }
    common.save_figures(options, figures)


if __name__ == "__main__":
    common.run(main)
