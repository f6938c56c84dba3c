"""The perceptron of mlp_mnist.py on CIFAR-10: 646,260 parameters, and half of the pictures are taken for others.

Is it the colour, or the size? ``--gray`` makes the pictures grey and 28x28 as MNIST's are (188,660 parameters): it gets
worse. The document prints neither optimizer nor epochs; they are those of mlp_mnist.py.
"""

import common
from mlp_mnist import BATCH_SIZE, EPOCHS, LEARNING_RATE, build_model

import minicnn as mc

NAME = "mlp_cifar10"
PUBLISHED = {"test_loss": 1.4736, "test_accuracy": 0.4788}
PUBLISHED_GRAY = {"test_loss": 1.6452, "test_accuracy": 0.4127}


def like_mnist(images):
    """Colour pictures (N, 32, 32, 3) as grey ones (N, 28, 28, 1)."""
    return mc.utils.resize_images(mc.utils.to_grayscale(images), (28, 28))


def main():
    """Train, and write the result and the pictures."""
    parser = common.make_parser(NAME, __doc__, EPOCHS, BATCH_SIZE)
    parser.add_argument("--gray", action="store_true", help="grey pictures of 28x28 pixels")
    options = common.parse(parser)
    images = common.cifar10(options).scaled()
    if options.gray:
        images = images.with_pixels(like_mnist)

    model = build_model(images.x_train.shape[1:])
    model.compile(
        optimizer=mc.optimizers.Adam(learning_rate=LEARNING_RATE),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.summary()
    outcome = common.train(model, images, options, PUBLISHED_GRAY if options.gray else PUBLISHED)

    common.save_result(options, NAME, images, outcome)
    figures = {
        common.CURVES: lambda: mc.visualization.plot_history(outcome["history"]),
        "predictions.png": lambda: common.draw_predictions(options, model, images),
    }
    common.save_figures(options, figures)


if __name__ == "__main__":
    common.run(main)
