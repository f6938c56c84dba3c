"""Convolution and pooling by hand: kernels on a picture, padding, stride, stacking. Nothing is trained.

Every number that the documents print, or that follows from what they say, is computed here and checked; the script
ends with an error if one differs. The picture is the first test digit of MNIST, or of the package.
"""

import json
import sys

import common
import numpy as np

import minicnn as mc
from minicnn import layers
from minicnn.functional import avg_pool2d, conv2d, max_pool2d, relu

NAME = "convolution_basics"

KERNELS = {
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "blur": [[1 / 9, 1 / 9, 1 / 9]] * 3,
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "horizontal gradient": [[-1, -1, -1], [0, 1, 0], [1, 1, 1]],
    "vertical gradient": [[-1, 0, 1]] * 3,
    "diagonal Laplacian": [[1, 0, -1], [0, 0, 1], [-1, 0, 1]],
}

LETTER_A = 0.6 * np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]
)
EDGES = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])  # Sobel's kernel for vertical edges
EDGES_OF_A = [[-1.2, -0.6, 0.6, 1.2], [-1.2, 0.6, -0.6, 1.2], [-1.2, 1.2, -1.2, 1.2], [-0.6, 1.2, -1.2, 0.6]]

POOLED = [
    [12, 5, 3, 9, 1, 23],
    [8, 6, 55, 6, 13, 62],
    [41, 8, 3, 51, 22, 27],
    [32, 67, 53, 12, 26, 17],
    [9, 22, 15, 8, 57, 62],
    [23, 53, 25, 75, 12, 9],
]
MAXIMA = [[12, 55, 62], [67, 53, 27], [53, 75, 62]]
MEANS = [[7.75, 18.25, 24.75], [37, 29.75, 23], [26.75, 30.75, 35]]


def check(checks, title, computed, expected):
    """Compare, print a line and remember whether it is right."""
    computed, expected = np.asarray(computed), np.asarray(expected)
    right = computed.shape == expected.shape and bool(np.allclose(computed, expected, rtol=0, atol=1e-5))
    checks[title] = right
    print(f"{'right' if right else 'WRONG'}  {title}")
    if not right:
        print(f"computed:\n{computed}\nexpected:\n{expected}")


def check_sliding(checks):
    """A kernel slides over the letter A: at each place, products are added up."""
    letter = conv2d(LETTER_A, EDGES)
    check(checks, "kernel on the letter A: 6x6 gives 4x4", letter, EDGES_OF_A)
    check(checks, "its first value is the sum of products", letter[0, 0], (LETTER_A[:3, :3] * EDGES).sum())
    check(checks, "ReLU keeps what is above zero", relu(letter), np.where(np.array(EDGES_OF_A) > 0, EDGES_OF_A, 0))


def check_colour(checks, rng):
    """A filter for colours has a kernel for each channel; the three results are added."""
    image, kernel = rng.random((6, 6, 3)), rng.normal(size=(3, 3, 3))
    channels = sum(conv2d(image[..., c], kernel[..., c]) for c in range(3))
    check(checks, "colour: the channels' results are added", conv2d(image, kernel[..., None])[..., 0], channels)


def check_sizes(checks):
    """What padding, stride and stacking do to the size; `output_shape` begins with the batch axis."""

    def shape(size, layer, channels=1):
        return mc.Sequential([mc.Input(shape=(size, size, channels)), layer]).output_shape[1:]

    conv = layers.Conv2D
    check(checks, "a grey 28x28 image has 784 inputs", shape(28, layers.Flatten()), (784,))
    check(checks, "a colour one has 2352", shape(28, layers.Flatten(), 3), (2_352,))
    check(checks, "28x28 without padding gives 26x26", shape(28, conv(1, 3)), (26, 26, 1))
    check(checks, "padding='same' keeps 28x28", shape(28, conv(1, 3, padding="same")), (28, 28, 1))
    check(checks, "two filters on 64x64", shape(64, conv(filters=2, kernel_size=(3, 3), padding="same")), (64, 64, 2))
    check(checks, "6x6 padded by 1 (8x8), stride 2: 3x3", shape(8, conv(1, 3, strides=2)), (3, 3, 1))
    check(checks, "ten stacked kernels on 6x6: 4x4x10", shape(6, conv(10, 3)), (4, 4, 10))
    maps = np.prod(shape(28, conv(32, 3, padding="same")))
    check(checks, "32 feature maps of 28x28: 25088 activations", maps, 25_088)
    pooled = np.prod(shape(28, layers.MaxPooling2D(2), 32))
    check(checks, "2x2 pooling leaves 6272 of them", pooled, 6_272)


def check_pooling(checks):
    """The largest value, or the mean, of each 2x2 region."""
    check(checks, "max pooling of the 6x6 example", max_pool2d(POOLED, 2), MAXIMA)
    check(checks, "average pooling of it", avg_pool2d(POOLED, 2), MEANS)


def check_parameters(checks):
    """(kernel size + 1 bias) for each filter: LeNet-5's convolutions."""
    model = mc.Sequential(
        [mc.Input(shape=(28, 28, 1)), layers.Conv2D(6, 5), layers.MaxPooling2D(), layers.Conv2D(16, 5)]
    )
    counts = [model.layers[0].count_params(), model.layers[2].count_params()]
    check(checks, "LeNet-5's filters: 156 and 2416 parameters", counts, [156, 2_416])


def check_linearity(checks, rng):
    """Without an activation between them, two convolutions are one with a larger kernel."""
    image, first, second = rng.random((9, 9)), rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    together = conv2d(np.pad(first, 2), second[::-1, ::-1])  # 5x5: each tap of one times each of the other
    check(checks, "two convolutions are one of 5x5", conv2d(conv2d(image, first), second), conv2d(image, together))


def filter_picture(checks, picture):
    """The picture after each kernel, with its size kept."""
    filtered = {name: conv2d(picture, kernel, padding="same") for name, kernel in KERNELS.items()}
    check(checks, "the identity kernel changes nothing", filtered["identity"], picture)
    check(checks, "blur is the mean of 3x3 pixels", filtered["blur"][13, 13], picture[12:15, 12:15].mean())
    return filtered


def draw_kernels(picture, filtered):
    """The picture and what each kernel makes of it, each from black (lowest) to white (highest)."""
    pictures = [picture, *filtered.values()]
    scaled = [(p - p.min()) / (p.max() - p.min()) for p in pictures]
    return mc.visualization.show_images(scaled, titles=["original", *filtered], columns=4)


def draw_matrices(matrices, regions=None):
    """Matrices side by side, their numbers written into the cells; lines every `regions` cells in the first."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(matrices), 3.7), layout="constrained")
    places = figure.subplots(1, len(matrices))
    for axes, (title, matrix) in zip(places, matrices.items(), strict=True):
        matrix = np.asarray(matrix)
        axes.imshow(matrix, cmap="Blues", vmax=matrix.max() + np.ptp(matrix))  # pale: black numbers stay readable
        for (row, column), value in np.ndenumerate(matrix):
            axes.text(column, row, f"{value:.4g}", ha="center", va="center")
        axes.set(title=title, xticks=[], yticks=[])
    if regions:
        for border in range(regions, len(next(iter(matrices.values()))), regions):
            places[0].axhline(border - 0.5, color="black")
            places[0].axvline(border - 0.5, color="black")
    return figure


def main():
    """Check all numbers, and write the result and the pictures."""
    nothing = "none: nothing is trained"
    options = common.parse(common.make_parser(NAME, __doc__, nothing, nothing))
    images = common.mnist_or_digits(options).scaled()
    rng = np.random.default_rng(options.seed)

    checks = {}
    check_sliding(checks)
    check_colour(checks, rng)
    check_sizes(checks)
    check_pooling(checks)
    check_parameters(checks)
    check_linearity(checks, rng)
    picture = images.x_test[0, :, :, 0]
    filtered = filter_picture(checks, picture)

    result = {
        "name": NAME,
        "dataset": images.name,
        "versions": common.versions(),
        "seed": options.seed,
        "checks": checks,
    }
    (options.out / common.RESULT).write_text(json.dumps(result, indent=2) + "\n")
    letter = {"image: the letter A": LETTER_A, "kernel": EDGES, "convolved": conv2d(LETTER_A, EDGES)}
    letter["after ReLU"] = relu(letter["convolved"])
    pooled = {"image": POOLED, "max pooling": max_pool2d(POOLED, 2), "average pooling": avg_pool2d(POOLED, 2)}
    figures = {
        "kernels.png": lambda: draw_kernels(picture, filtered),
        "letter.png": lambda: draw_matrices(letter),
        "pooling.png": lambda: draw_matrices(pooled, regions=2),
    }
    common.save_figures(options, figures)
    if not all(checks.values()):
        sys.exit(f"{list(checks.values()).count(False)} of {len(checks)} numbers are wrong: see above")
    print(f"All {len(checks)} numbers are right.")


if __name__ == "__main__":
    common.run(main)
