"""Convolution and pooling by hand: kernels on a picture, padding, stride, stacking. Nothing is trained.

Every number that the documents print, or that follows from what they say, is computed and checked
(convolution_checks.py); the script ends with an error if one differs. The picture is the first test digit of MNIST, or
of the package.
"""

import sys

import common
import numpy as np
from convolution_checks import check_all

import minicnn as mc
from minicnn.functional import avg_pool2d, conv2d, max_pool2d, relu

KERNELS = {
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "blur": [[1 / 9, 1 / 9, 1 / 9]] * 3,
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "horizontal gradient": [[-1, -1, -1], [0, 1, 0], [1, 1, 1]],
    "vertical gradient": [[-1, 0, 1]] * 3,
    "diagonal Laplacian": [[1, 0, -1], [0, 0, 1], [-1, 0, 1]],
}
LETTER_A = 0.6 * np.array([[*map(int, row)] for row in ("000000", "001100", "010010", "011110", "010010", "000000")])
EDGES = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])  # Sobel's kernel for vertical edges
POOLED = [[12, 5, 3, 9, 1, 23], [8, 6, 55, 6, 13, 62], [41, 8, 3, 51, 22, 27]]
POOLED += [[32, 67, 53, 12, 26, 17], [9, 22, 15, 8, 57, 62], [23, 53, 25, 75, 12, 9]]


def draw_matrices(matrices, window):
    """Matrices side by side in one scale of colours, numbers in the cells.

    Of the first one, the `window` (rows, columns) from its corner is marked, and the cell in the third that it gives.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(3.2 * len(matrices) + 0.7, 3.7), layout="constrained")
    places = figure.subplots(1, len(matrices))
    low, high = min(np.min(m) for m in matrices.values()), max(np.max(m) for m in matrices.values())
    span = max(-low, high) * 1.6  # pale: black numbers stay readable
    for axes, (title, matrix) in zip(places, matrices.items(), strict=True):
        picture = axes.imshow(matrix, cmap="PuOr_r" if low < 0 else "Blues", vmin=-span if low < 0 else 0, vmax=span)
        for (row, column), value in np.ndenumerate(matrix):
            axes.text(column, row, f"{value:.4g}", ha="center", va="center")
        axes.set(title=title, xticks=[], yticks=[])
    figure.colorbar(picture, ax=list(places), shrink=0.8)
    for axes, (rows, columns) in ((places[0], window), (places[2], (1, 1))):
        axes.add_patch(Rectangle((-0.5, -0.5), columns, rows, fill=False, color="#D55E00", lw=4, clip_on=False))
    return figure


def main():
    """Check all numbers, and write the result and the pictures."""
    nothing = "none: nothing is trained"
    options = common.Parser(__doc__, "MNIST", nothing, nothing).parse_args()
    try:
        data = mc.datasets.mnist.load_data(options.data_dir)
    except mc.datasets.DataNotFoundError as error:
        data = common.digits_instead(options, error)
    _, (x_test, _) = data
    picture = mc.utils.normalize_images(x_test[0])  # (28, 28)

    filtered = {name: conv2d(picture, kernel, padding="same") for name, kernel in KERNELS.items()}
    letter = {"image: the letter A": LETTER_A, "kernel": EDGES, "convolved": conv2d(LETTER_A, EDGES)}
    letter["after ReLU"] = relu(letter["convolved"])
    pooled = {"image": POOLED, "max pooling": max_pool2d(POOLED, 2), "average pooling": avg_pool2d(POOLED, 2)}
    checks = check_all(LETTER_A, EDGES, POOLED, picture, filtered, np.random.default_rng(options.seed))
    common.write_result(options, {"checks": checks})
    with common.figures(options) as figures:
        pictures, titles = [picture, *filtered.values()], ["original", *filtered]  # in one scale, 0 is white
        figures["kernels.png"] = mc.visualization.show_images(pictures, titles=titles, columns=4, cmap="PuOr_r")
        figures["letter.png"] = draw_matrices(letter, EDGES.shape)
        figures["pooling.png"] = draw_matrices(pooled, (2, 2))
    if not all(checks.values()):
        sys.exit(f"{list(checks.values()).count(False)} of {len(checks)} numbers are wrong: see above")
    print(f"All {len(checks)} numbers are right.")


if __name__ == "__main__":
    common.run(main)
