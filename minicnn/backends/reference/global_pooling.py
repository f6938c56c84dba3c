"""The maximum over whole images."""

import numpy as np

from minicnn.backends.memory import Array

__all__ = ["global_max", "global_max_backward"]


def global_max(x: Array, y: Array) -> None:
    """y = the largest pixel of each channel.

    Parameters
    ----------
    x : (N, P, C)
    y : (N, C), written
    """
    y[...] = x.max(axis=1)


def global_max_backward(x: Array, y: Array, dy: Array, dx: Array) -> None:
    """dx = dy at the first pixel that holds the maximum, else 0.

    Parameters
    ----------
    x : (N, P, C)
    y : (N, C)
        What `global_max` left there.
    dy : (N, C)
    dx : like x, written
    """
    winner = x.argmax(axis=1)[:, None]  # (N, 1, C)
    dx.fill(0)
    np.put_along_axis(dx, winner, dy[:, None], axis=1)
