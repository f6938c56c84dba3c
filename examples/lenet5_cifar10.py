"""LeNet-5 on the colour pictures of CIFAR-10: the same network, a much harder task.

The document sets it as an exercise and prints no result. 62,006 parameters.
"""

import common
from lenet5_mnist import build_model, figures

import minicnn as mc

NAME = "lenet5_cifar10"
EPOCHS = 20
BATCH_SIZE = 128


def main():
    """Train, and write the result and the pictures."""
    options = common.parse(common.make_parser(NAME, __doc__, EPOCHS, BATCH_SIZE))
    images = common.cifar10(options).scaled()

    model = build_model(input_shape=(32, 32, 3))
    model.compile(
        optimizer=mc.optimizers.Adam(learning_rate=1e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.summary()
    outcome = common.train(model, images, options)

    common.save_result(options, NAME, images, outcome)
    common.save_figures(options, figures(options, model, images, outcome))


if __name__ == "__main__":
    common.run(main)
