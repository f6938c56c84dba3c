"""LeNet-5 learns to read handwritten digits (MNIST, or the digits of the package where MNIST cannot be had).

LeCun, Bottou, Bengio, Haffner: "Gradient-Based Learning Applied to Document Recognition", 1998; here with ReLU and
max pooling, with ``--classic`` with tanh and average pooling as then. The pictures show what the network has learned:
its filters, and what each layer makes of one digit.
"""

import common

import minicnn as mc
from minicnn import layers

NAME = "lenet5_mnist"
EPOCHS = 20
BATCH_SIZE = {"MNIST": 128, "digits": 32}  # 1,442 digits would make few steps of 128
PUBLISHED = {"train_loss": 0.0052, "train_accuracy": 0.9986}  # as the progress bar shows them


def build_model(classic=False, input_shape=(28, 28, 1)):
    """LeNet-5 for ten classes: 44,426 parameters on images (28, 28, 1), 62,006 on (32, 32, 3)."""
    activation = "tanh" if classic else "relu"
    pooling = layers.AveragePooling2D if classic else layers.MaxPooling2D
    return mc.Sequential(
        [
            mc.Input(shape=input_shape),
            layers.Conv2D(6, 5, activation=activation),
            pooling(2),
            layers.Conv2D(16, 5, activation=activation),
            pooling(2),
            layers.Flatten(),
            layers.Dense(120, activation=activation),
            layers.Dense(84, activation=activation),
            layers.Dense(10, activation="softmax"),
        ],
        name="lenet5",
    )


def figures(options, model, images, outcome):
    """File name → what draws it, for `common.save_figures`."""
    visualization = mc.visualization
    return {
        common.CURVES: lambda: visualization.plot_history(outcome["history"]),
        "model.png": lambda: visualization.plot_model(model, show_shapes=True, show_layer_names=True),
        "filters.png": lambda: visualization.show_filters(model.layers[0]),
        "feature_maps.png": lambda: visualization.show_feature_maps(model, images.x_test[0]),
        "predictions.png": lambda: common.draw_predictions(options, model, images),
        "confusion.png": lambda: common.draw_confusion(model, images),
    }


def main():
    """Train, and write the result and the pictures."""
    parser = common.make_parser(NAME, __doc__, EPOCHS, "128, for the embedded digits 32")
    parser.add_argument("--classic", action="store_true", help="tanh and average pooling, as in 1998")
    options = common.parse(parser)
    images = common.mnist_or_digits(options).scaled()
    options.batch_size = options.batch_size or BATCH_SIZE[images.name]

    model = build_model(options.classic)
    model.compile(
        optimizer=mc.optimizers.Adam(learning_rate=1e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.summary()
    outcome = common.train(model, images, options, {} if options.classic else PUBLISHED)

    common.save_result(options, NAME, images, outcome)
    common.save_figures(options, figures(options, model, images, outcome))


if __name__ == "__main__":
    common.run(main)
