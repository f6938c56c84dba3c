"""Functions of single numbers, without a copy of the result where NumPy has the function too; and their sums."""

import cupy
import numpy as np

from minicnn.backends.cupy.launch import Array, launch, launch_over
from minicnn.backends.cupy.partial_sums import LANES, grid_for_parts
from minicnn.backends.cupy.sources import REALS
from minicnn.backends.reference.pointwise import FUNCTIONS
from minicnn.backends.reference.pointwise import pointwise as by_numpy
from minicnn.backends.reference.pointwise import pointwise_sum as sum_by_numpy

MOST_PIXELS = 4096  # of an image that one block adds
OF_TWO = {"add": np.add, "multiply": np.multiply, "scale": np.multiply, "maximum": np.maximum, "minimum": np.minimum}


def pointwise(y: Array, inputs: tuple[Array, ...], name: str, numbers: tuple[float, ...] = ()) -> None:
    """See `minicnn.backends.reference.pointwise.pointwise`."""
    if name == "relu":
        name, numbers = "maximum", (0,)
    if name == "relu_gradient" and inputs[0].shape == inputs[1].shape == y.shape and _are_plain(*inputs, y):
        x, dy = inputs
        launch_over(y.size, "convolution", "relu_gradient", y.dtype, dy, x, y, np.int64(y.size))
        return
    function = OF_TWO.get(name, FUNCTIONS[name])
    if isinstance(function, np.ufunc) and function.nin == len(inputs) + len(numbers):
        # An input that shares memory with y, but for y itself, is copied by CuPy first.
        full = (x if x.shape == y.shape else cupy.broadcast_to(x, y.shape) for x in inputs)
        function(*full, *numbers, out=y)
    else:
        by_numpy(y, inputs, name, numbers)


def _are_plain(*arrays):
    """Whether a kernel may take them as vectors."""
    (dtype, *others) = {a.dtype for a in arrays}
    return not others and dtype.name in REALS and all(a.flags.c_contiguous for a in arrays)


def pointwise_sum(
    y: Array, inputs: tuple[Array, ...], name: str, numbers: tuple[float, ...] = (), factor: float = 1.0
) -> None:
    """See `minicnn.backends.reference.pointwise.pointwise_sum`; sums over images, the global average, in one launch."""
    x = inputs[0]
    if name != "copy" or not _are_sums_of_images(x, y):
        sum_by_numpy(y, inputs, name, numbers, factor)
        return
    images, channels = x.shape[0], x.shape[-1]
    rows = x.size // (images * channels)
    _, threads = grid_for_parts(rows, channels)
    arguments = x, np.int32(rows), np.int32(channels), x.dtype.type(factor), y
    launch("partial_sums", "image_sums", x.dtype, (images, -(-channels // LANES)), threads, *arguments)


def _are_sums_of_images(x, y):
    """Whether y (N, 1, …, 1, C) is to hold the sums of small images x (N, …, C), and they lie as kernels need them."""
    if x.size == 0 or x.ndim < 3 or x.size // (x.shape[0] * x.shape[-1]) > MOST_PIXELS:
        return False
    sums = x.shape[0], *[1] * (x.ndim - 2), x.shape[-1]
    return y.shape == sums and _are_plain(x, y)
