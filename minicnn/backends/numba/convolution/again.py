"""Computing again what a fast kernel has made of numbers that are not finite.

Winograd's transforms mix the pixels of a tile, pairs of pixels multiply with zeros that the formula has not, and the
gradients behind pooling leave out products with zeros that it has: 0 · ∞ is NaN. Those kernels notice when that
matters, and the reference computes those images again, one at a time, so that no other image's numbers change.
Compiled kernels never complain of what is not finite, whatever `numpy.seterr` says; nor does this.
"""

from collections.abc import Callable, Iterator

import numpy as np

from minicnn.backends.numba.machine.recording import reference

_quiet = np.errstate(all="ignore")
conv2d, conv2d_pool = _quiet(reference.conv2d), _quiet(reference.conv2d_pool)
conv2d_backward, conv2d_pool_backward = _quiet(reference.conv2d_backward), _quiet(reference.conv2d_pool_backward)


def images(count: int) -> Iterator[slice]:
    """The slice of every image of a batch."""
    return (slice(image, image + 1) for image in range(count))


def part(array: np.ndarray | None, image: slice) -> np.ndarray | None:
    """An image of an array, if there is one."""
    return None if array is None else array[image]


def backward(
    op: Callable[..., None],
    x: np.ndarray,
    kernel: np.ndarray,
    y: np.ndarray | None,
    dy: np.ndarray,
    out: tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None],
    *geometry: object,
) -> None:
    """Call a gradient's op image by image, and add up.

    Parameters
    ----------
    op : function
        `conv2d_backward` or `conv2d_pool_backward`.
    x, kernel, y, dy : arrays
        As `op` gets them; y may be `winner`.
    out : tuple
        dx, dkernel and dbias, or None, written.
    *geometry
        What else `op` gets.
    """
    dx, *sums = out
    totals = [array for array in sums if array is not None]
    for total in totals:
        total.fill(0)
    for image in images(len(x)):
        own = [None if array is None else np.empty_like(array) for array in sums]
        op(x[image], kernel, part(y, image), dy[image], part(dx, image), *own, *geometry)
        for total, term in zip(totals, [array for array in own if array is not None], strict=True):
            total += term
