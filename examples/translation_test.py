"""Digits moved 4 pixels down and to the right: what a perceptron and LeNet-5 still recognise of them.

Both learn MNIST (or the digits of the package) as in mlp_mnist.py and lenet5_mnist.py, and both fail on the moved test
set: the perceptron because each pixel has weights of its own, LeNet-5 because its dense part has them too.
"""

from dataclasses import replace

import common
import lenet5_mnist
import mlp_mnist

import minicnn as mc

NAME = "translation_test"
PIXELS = 4
EPOCHS = {"MLP": mlp_mnist.EPOCHS, "LeNet-5": lenet5_mnist.EPOCHS}
BATCH_SIZE = {"MLP": {"MNIST": 32, "digits": 32}, "LeNet-5": lenet5_mnist.BATCH_SIZE}
LEARNING_RATE = {"MLP": mlp_mnist.LEARNING_RATE, "LeNet-5": 1e-3}
BUILD = {"MLP": mlp_mnist.build_model, "LeNet-5": lenet5_mnist.build_model}
PUBLISHED = {
    "MLP": {**mlp_mnist.PUBLISHED, "moved_loss": 14.5560, "moved_accuracy": 0.0761},
    "LeNet-5": {**lenet5_mnist.PUBLISHED, "moved_loss": 8.9618, "moved_accuracy": 0.1392},
}


def move_test(images):
    """The data set with its test images moved down and to the right; zeros move in."""
    return replace(images, x_test=mc.utils.translate_images(images.x_test, PIXELS, PIXELS))


def score_moved(model, moved):
    """Entries of the outcome: loss and accuracy on the moved test images."""
    loss, accuracy = model.evaluate(*moved.test, batch_size=500, verbose=0)
    return {"moved_loss": loss, "moved_accuracy": accuracy}


def draw_before_and_after(images, moved, models, index=0):
    """One digit before and after, with the class and the probability that each network gives it."""
    pictures, titles = [], []
    for name, model in models.items():
        for place, image in (("original", images.x_test[index]), ("moved", moved.x_test[index])):
            probabilities = model.predict(image[None])[0]
            pictures.append(image)
            titles.append(f"{name}, {place}\npred = {probabilities.argmax()} (p = {probabilities.max():.2f})")
    return mc.visualization.show_images(pictures, titles=titles, columns=2)


def main():
    """Train both networks, score them, and write the result and the pictures."""
    parser = common.make_parser(NAME, __doc__, "10 for the MLP, 20 for LeNet-5", "32 for the MLP, 128 for LeNet-5")
    options = common.parse(parser)
    epochs, batch_size = options.epochs, options.batch_size
    images = common.mnist_or_digits(options).scaled()
    moved = move_test(images)

    models, networks = {}, {}
    for name in BUILD:
        options.epochs = epochs or EPOCHS[name]
        options.batch_size = batch_size or BATCH_SIZE[name][images.name]
        mc.utils.set_random_seed(options.seed)  # as if each network were trained alone
        model = models[name] = BUILD[name]()
        model.compile(
            optimizer=mc.optimizers.Adam(learning_rate=LEARNING_RATE[name]),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        model.summary()
        networks[name] = common.train(model, images, options, PUBLISHED[name])
        networks[name] |= score_moved(model, moved)

    common.save_result(options, NAME, images, networks=networks)
    figures = {
        common.CURVES: lambda: mc.visualization.plot_history({n: o["history"] for n, o in networks.items()}),
        "moved.png": lambda: draw_before_and_after(images, moved, models),
    }
    common.save_figures(options, figures)


if __name__ == "__main__":
    common.run(main)
