"""A part of the samples that is held back, with all classes in it."""

from __future__ import annotations

import numpy as np

from minicnn import random


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(samples to train with, samples held back), in random order: of every class about the same part.

    Parameters
    ----------
    labels : array (N,) of class numbers
    fraction : float in (0, 1)
        Of every class, so much is held back: rounded, but one sample at least, and never all; the only sample of a
        class is trained with.
    seed : int
        Of the choice and the order.

    Returns
    -------
    two arrays of int, which are positions in `labels`
    """
    generator = random.generator(seed, "split")
    train, held = [], []
    for number in np.unique(labels):
        of_class = generator.permutation(np.flatnonzero(labels == number))
        count = min(max(1, round(fraction * len(of_class))), len(of_class) - 1)
        held.append(of_class[:count])
        train.append(of_class[count:])
    return generator.permutation(np.concatenate(train)), generator.permutation(np.concatenate(held))
