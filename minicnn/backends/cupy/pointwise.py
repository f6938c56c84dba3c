"""Functions of single numbers: those that NumPy has too write y themselves, where others are computed, then copied."""

import cupy
import numpy as np

from minicnn.backends.cupy.launch import Array
from minicnn.backends.reference.pointwise import FUNCTIONS
from minicnn.backends.reference.pointwise import pointwise as by_numpy

OF_TWO = {"add": np.add, "multiply": np.multiply, "scale": np.multiply, "maximum": np.maximum, "minimum": np.minimum}


def pointwise(y: Array, inputs: tuple[Array, ...], name: str, numbers: tuple[float, ...] = ()) -> None:
    """See `minicnn.backends.reference.pointwise.pointwise`."""
    function = OF_TWO.get(name, FUNCTIONS[name])
    if isinstance(function, np.ufunc) and function.nin == len(inputs) + len(numbers):
        function(*(cupy.broadcast_to(x, y.shape) for x in inputs), *numbers, out=y)
    else:
        by_numpy(y, inputs, name, numbers)
