"""Adam, Adagrad and Adadelta train the same network on CIFAR-10, each with its default rate of 0.001.

net_1 of pooling_vs_stride.py, 2,117,962 parameters; the last fifth of the training images is held back for validation.
Adam learns the training images by heart while its validation loss rises; Adagrad and Adadelta have not finished after
30 epochs.
"""

import common
from pooling_vs_stride import net_1

import minicnn as mc

NAME = "optimizers_cifar10"
EPOCHS = 30
BATCH_SIZE = 128
VALIDATION_SPLIT = 0.2
PUBLISHED = {
    "Adam": {"test_loss": 2.8947, "test_accuracy": 0.6597},
    "Adagrad": {"test_loss": 1.4304, "test_accuracy": 0.4914},
    "Adadelta": {"test_loss": 1.9030, "test_accuracy": 0.3556},
}


def main():
    """Train with each optimizer, and write the result and the curves."""
    parser = common.make_parser(NAME, __doc__, EPOCHS, BATCH_SIZE, least_images=2)  # one is for validation
    parser.add_argument("--optimizers", nargs="+", choices=PUBLISHED, default=list(PUBLISHED), help="default: all")
    options = common.parse(parser)
    images = common.cifar10(options).scaled().one_hot()

    networks = {}
    for optimizer in options.optimizers:
        mc.utils.set_random_seed(options.seed)  # the same first weights for each
        model = net_1(images.x_train[0].shape, 10)
        model.summary()
        model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
        outcome = common.train(model, images, options, PUBLISHED[optimizer], validation_split=VALIDATION_SPLIT)
        networks[optimizer] = outcome

    common.save_result(options, NAME, images, networks=networks)
    histories = {name: outcome["history"] for name, outcome in networks.items()}
    common.save_figures(options, {common.CURVES: lambda: mc.visualization.plot_history(histories)})


if __name__ == "__main__":
    common.run(main)
