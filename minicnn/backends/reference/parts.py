"""Parts of arrays along an axis; and gradients that are left in parts."""

from minicnn.backends.memory import Array

__all__ = ["make_whole", "put_part", "take_part"]


def put_part(x: Array, y: Array, axis: int, start: int) -> None:
    """y[…, start : start + n, …] = x, where n is the size of x along the axis.

    Parameters
    ----------
    x : any shape
    y : like x but for its size along the axis, written in part
    axis, start : int
    """
    y[(slice(None),) * axis + (slice(start, start + x.shape[axis]),)] = x


def make_whole(gradient: Array) -> None:
    """Add up the gradient of a weight now, which an op may have left in parts, to be added by who reads it last.

    For steps that read what an op has computed for them.

    Parameters
    ----------
    gradient : as an op was given it
    """


def take_part(x: Array, y: Array, axis: int, start: int) -> None:
    """y = x[…, start : start + n, …], where n is the size of y along the axis.

    Parameters
    ----------
    x : any shape
    y : like x but for its size along the axis, written
    axis, start : int
    """
    y[...] = x[(slice(None),) * axis + (slice(start, start + y.shape[axis]),)]
