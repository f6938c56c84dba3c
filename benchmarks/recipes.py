"""How the records of ``records.py`` are trained: data that the runs of all libraries read."""

import os
from dataclasses import dataclass, replace

import numpy as np

import minicnn.datasets

TEST_BATCH = 500
LAST_STEP_SIZE = 0.226  # of Lookahead; it starts from 1, where slow weights follow at once
START, END, RISE = (
    10,
    100,
    0.2,
)  # the first rate is the highest / 10, the last one the first / 100; a fifth of the way up


@dataclass(frozen=True)
class Recipe:
    """A training.

    Attributes
    ----------
    title, dataset : str
    accuracy : float
        Of the test set, to be reached.
    network : tuple
        ("conv", filters, size, padding, bias), ("dense", units, bias), or "pool" (2 × 2), "pool3", "norm", "relu",
        "gelu", "flatten"; ("scale", number).
    epochs, batch_size : int
    rate : float
        The highest learning rate, of one cycle over the whole training.
    optimizer : {"adam", "sgd"}
        Adam with β 0.7 and 0.9, or Nesterov's momentum.
    momentum, decay : float
        For "sgd"; the decay is decoupled and spares biases.
    bias_rate : float
        How many times as fast biases move; Keras has no such rates.
    margin : int
        Pixels that are cut off at all four edges.
    shift, turn, zoom : float
        Largest moves of images while training: pixels, turns, parts of the size.
    flip : bool
        Whether images are mirrored at random.
    alternates : bool
        Whether each is rather mirrored in every second epoch.
    cutout : int
        Side of the squares that are hidden.
    smoothing : float
        Of labels.
    views : bool
        Whether mirror images count when the test set is classified.
    view_shift : int
        Pixels by which they are moved then, too: up left, and down right.
    whitens : bool
        Whether the first convolution's kernel is that of `minicnn.utils.whitening_kernel`, and stays.
    standardizes : bool
        Whether images have mean 0 and deviation 1; otherwise they go from 0 to 1.
    dirac : bool
        Whether convolutions behind the first one start by passing channels on.
    lookahead : int
        After so many steps weights go back towards the slow ones; 0: never.
    norm_momentum : float
        Of moving averages.
    """

    title: str
    dataset: str
    accuracy: float
    network: tuple
    epochs: int
    batch_size: int
    rate: float
    optimizer: str = "adam"
    momentum: float = 0.85
    decay: float = 0.0
    bias_rate: float = 1.0
    margin: int = 0
    shift: float = 0.0
    turn: float = 0.0
    zoom: float = 0.0
    flip: bool = False
    alternates: bool = False
    cutout: int = 0
    smoothing: float = 0.0
    views: bool = False
    view_shift: int = 0
    whitens: bool = False
    standardizes: bool = False
    dirac: bool = False
    lookahead: int = 0
    norm_momentum: float = 0.9


def conv(filters, size=3, padding="valid", bias=False):
    """A convolution."""
    return ("conv", filters, size, padding, bias)


def group(filters, activation):
    """Two convolutions, the first one pooled: a block of Jordan's network for CIFAR-10."""
    return (
        *(conv(filters, padding="same"), "pool", "norm", activation),
        *(conv(filters, padding="same"), "norm", activation),
    )


RECIPES = {
    "mnist99": Recipe(
        title="99.0 % MNIST",
        dataset="mnist",
        accuracy=0.99,
        network=(
            *(conv(16, 5, bias=True), "pool", "relu", conv(32, bias=True), "pool", "relu"),
            *("flatten", ("dense", 128, True), "relu", ("dense", 10, True)),
        ),
        epochs=1,
        batch_size=128,
        rate=0.012,
        margin=2,
    ),
    "mnist995": Recipe(
        title="99.5 % MNIST",
        dataset="mnist",
        accuracy=0.995,
        network=(
            *(conv(16, 5), "pool", "norm", "relu", conv(48), "pool", "norm", "relu", conv(96), "norm", "relu"),
            *("flatten", ("dense", 10, True)),
        ),
        epochs=5,
        batch_size=128,
        rate=0.01,
        shift=2.24,
        turn=0.03,
        zoom=0.08,
        view_shift=1,
    ),
    "fashion94": Recipe(
        title="94.0 % Fashion-MNIST",
        dataset="fashion_mnist",
        accuracy=0.94,
        network=(
            *(conv(8, 2, "same", bias=True), "relu", *group(32, "relu"), *group(64, "relu"), *group(128, "relu")),
            *("pool3", "flatten", ("dense", 10, False), ("scale", 1 / 4)),
        ),
        epochs=15,
        batch_size=256,
        rate=0.375,
        optimizer="sgd",
        decay=0.009,
        bias_rate=64.0,
        shift=2.0,
        flip=True,
        smoothing=0.1,
        views=True,
        view_shift=1,
        whitens=True,
        standardizes=True,
        dirac=True,
        norm_momentum=0.8,
    ),
    "cifar94": Recipe(
        title="94.0 % CIFAR-10",
        dataset="cifar10",
        accuracy=0.94,
        network=(
            *(conv(24, 2, bias=True), "gelu", *group(64, "gelu"), *group(256, "gelu"), *group(256, "gelu")),
            *("pool3", "flatten", ("dense", 10, False), ("scale", 1 / 9)),
        ),
        epochs=13,
        batch_size=1000,
        rate=1.5,
        optimizer="sgd",
        decay=0.009,
        bias_rate=64.0,
        shift=2.0,
        flip=True,
        alternates=True,
        smoothing=0.2,
        views=True,
        view_shift=1,
        whitens=True,
        standardizes=True,
        dirac=True,
        lookahead=5,
        norm_momentum=0.6,
    ),
}
"""The records, by name."""

TRICKS = {
    "moved images": {"shift": 0.0, "turn": 0.0, "zoom": 0.0},
    "mirror images": {"flip": False, "alternates": False},
    "mirror images in turns": {"alternates": False},
    "label smoothing": {"smoothing": 0.0},
    "faster biases": {"bias_rate": 1.0},
    "whitened patches": {"whitens": False},
    "Dirac kernels": {"dirac": False},
    "weight decay": {"decay": 0.0},
    "Lookahead": {"lookahead": 0},
    "several views": {"views": False, "view_shift": 0},
    "narrower images": {"margin": 0},
}
"""What a recipe is made of → the values that leave it out."""


def tricks_of(recipe):
    """Those that a recipe has."""
    return [name for name, without in TRICKS.items() if replace(recipe, **without) != recipe]


def without(recipe, trick):
    """The recipe without a trick; None: the whole recipe."""
    return recipe if trick is None else replace(recipe, **TRICKS[trick])


def load(recipe):
    """((x, y), (x_test, y_test)) as bytes: (N, H, W, C) and (N,), from the usual files."""
    limit = int(os.environ.get("MINICNN_RECORDS_LIMIT", 0)) or None  # for trying out, and to fill caches
    splits = getattr(minicnn.datasets, recipe.dataset).load_data()
    return [(np.ascontiguousarray(cut(x, recipe.margin)[:limit]), y.reshape(-1)[:limit]) for x, y in splits]


def cut(images, margin):
    """Without the outermost pixels, with an axis of channels."""
    images = images if images.ndim == 4 else images[..., None]
    return images[:, margin : images.shape[1] - margin, margin : images.shape[2] - margin]


def steps_of(recipe, count):
    """How many updates the training has."""
    return recipe.epochs * -(-count // recipe.batch_size)


def moments(x):
    """(mean, deviation) of each channel, of every 10th image: enough, and quick."""
    some = x[::10].astype("float32") / 255
    return some.mean((0, 1, 2)), some.std((0, 1, 2))


def views_of(recipe, images):
    """The test images in every way in which the recipe looks at them: arrays like `images`, (N, H, W, C)."""
    shift, (height, width) = recipe.view_shift, images.shape[1:3]
    padded = np.pad(images, [(0, 0), (shift, shift), (shift, shift), (0, 0)], mode="reflect")
    places = {shift, 0, 2 * shift}  # of the images themselves, and moved
    views = [padded[:, place : place + height, place : place + width] for place in places]
    return views + [view[:, :, ::-1] for view in views if recipe.views]
