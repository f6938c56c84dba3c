"""Digits: 1,797 handwritten digits of 8x8 pixels, part of the package, for first steps without a download.

E. Alpaydin, C. Kaynak: "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998 (CC BY 4.0).
See digits_LICENSE.txt.
"""

from importlib.resources import files

import numpy as np

from minicnn.hints import Split

SMALL = 8
LARGE = 28
BOX = 20  # as in MNIST, a digit fills 20x20 pixels of 28x28
INK = 16  # the darkest stored pixel
STEPS = 10  # from 8 to 20 pixels, all weights of the interpolation are multiples of 1/10


def load_data(upscale: bool = False, test_split: float = 0.2) -> tuple[Split, Split]:
    """Load the digits.

    The held-out part is fixed and spread evenly: of the images of each class, in the published order, number 4, 9,
    14, ... (counted from 0, for the default `test_split`). LeNet-5 reads about 98 % of it. The data does not say who
    wrote which digit, so the same hand is probably in both parts. The end of the published order is harder, probably
    because other people wrote it: LeNet-5 trained on the first four fifths reads 93 % of the last.

    Parameters
    ----------
    upscale : bool, default False
        Give 28x28 images like MNIST's: each digit is scaled to 20x20 pixels (bilinear) with a margin of 4 pixels.
    test_split : float, default 0.2
        Fraction of the images held out, above 0 and below 1.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of two tuples of ndarray, uint8
        Images (1442, 8, 8) and (355, 8, 8), or (..., 28, 28), 0 (paper) to 255 (ink); labels (1442,) and (355,),
        0 to 9, in the published order.

    Raises
    ------
    ValueError
        If `test_split` is not between 0 and 1.
    """
    if not 0 < test_split < 1:
        raise ValueError(f"test_split must lie between 0 and 1. Received: {test_split!r}")
    pixels, labels = _read()
    images = _upscale(pixels) if upscale else _to_bytes(pixels, INK)
    held_out = _held_out(labels, test_split)
    return (images[~held_out], labels[~held_out]), (images[held_out], labels[held_out])


def _read():
    """The stored arrays: pixels (1797, 8, 8) of 0..16 and labels (1797,), uint8."""
    with (files(__package__) / "digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays["images"], arrays["labels"]


def _held_out(labels, test_split: float):
    """Mark, class by class, each image that brings the count of held-out images up to the wanted fraction."""
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        (places,) = np.nonzero(labels == label)
        wanted = np.floor(np.arange(len(places) + 1) * test_split)
        held_out[places] = np.diff(wanted) > 0
    return held_out


def _to_bytes(values, highest: int) -> np.ndarray:
    """Scale 0..highest to 0..255, rounded; uint8."""
    return ((values.astype(np.int32) * 255 + highest // 2) // highest).astype(np.uint8)


def _upscale(pixels) -> np.ndarray:
    """Images (N, 8, 8) of 0..16 as (N, 28, 28) of 0..255."""
    weights = _bilinear_steps(SMALL, BOX)
    scaled = weights @ pixels.astype(np.int32) @ weights.T  # (N, 20, 20): rows, then columns
    margin = (LARGE - BOX) // 2
    images = np.zeros((len(pixels), LARGE, LARGE), np.uint8)
    images[:, margin:-margin, margin:-margin] = _to_bytes(scaled, INK * STEPS**2)
    return images


def _bilinear_steps(size: int, new_size: int) -> np.ndarray:
    """Matrix (new_size, size) that interpolates linearly between pixel centres; edge pixels are repeated.

    Its weights are integers, in steps of 1/10: so rounding, and the images, are the same on every machine.
    """
    centres = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    centres = np.clip(centres, 0, size - 1)
    distance = np.abs(centres[:, None] - np.arange(size))
    return np.rint(STEPS * np.maximum(0, 1 - distance)).astype(np.int32)
