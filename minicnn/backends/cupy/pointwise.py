"""Functions of single numbers, without a copy of the result where NumPy has the function too; and their sums."""

import cupy
import numpy as np

from minicnn.backends.cupy.launch import Array, launch, launch_over, overlap
from minicnn.backends.cupy.partial_sums import LANES, grid_for_parts
from minicnn.backends.cupy.sources import REALS
from minicnn.backends.reference.pointwise import FUNCTIONS
from minicnn.backends.reference.pointwise import pointwise as by_numpy
from minicnn.backends.reference.pointwise import pointwise_sum as sum_by_numpy

MOST_PIXELS = 4096  # of an image that one block adds
ACCESS, AT_ONCE = 16, 2  # bytes; accesses of a thread: as in pointwise.cu
PLAIN = {"relu": 1, "relu_gradient": 2, "add": 2, "multiply": 2, "added_relu": 2}  # its kernels: of so many arrays
OF_TWO = {"add": np.add, "multiply": np.multiply, "scale": np.multiply, "maximum": np.maximum, "minimum": np.minimum}


def pointwise(y: Array, inputs: tuple[Array, ...], name: str, numbers: tuple[float, ...] = ()) -> None:
    """See `minicnn.backends.reference.pointwise.pointwise`."""
    if _are_alike(y, inputs, name):
        over_plain(name, y, *inputs)
        return
    if name == "relu":
        name, numbers = "maximum", (0,)
    function = OF_TWO.get(name, FUNCTIONS[name])
    if isinstance(function, np.ufunc) and function.nin == len(inputs) + len(numbers):
        # An input that shares memory with y, but for y itself, is copied by CuPy first.
        full = (x if x.shape == y.shape else cupy.broadcast_to(x, y.shape) for x in inputs)
        function(*full, *numbers, out=y)
    else:
        by_numpy(y, inputs, name, numbers)


def over_plain(name: str, y: Array, *inputs: Array) -> None:
    """y = one of the functions of `PLAIN`, of arrays that lie alike, without gaps; y may be one of them."""
    width = ACCESS // y.itemsize
    packs = 0 if any(a.data.ptr % ACCESS for a in (y, *inputs)) else y.size // width
    threads = -(-y.size // (AT_ONCE * width)) if packs else y.size
    launch_over(threads, "pointwise", f"plain_{name}", y.dtype, *inputs, y, np.int64(packs), np.int64(y.size))


def _are_alike(y, inputs, name):
    """Whether `over_plain` serves."""
    if PLAIN.get(name) != len(inputs) or any(x.shape != y.shape for x in inputs) or not _are_plain(*inputs, y):
        return False
    return all(x.data.ptr == y.data.ptr or not overlap(x, y) for x in inputs)


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
