"""Products of stacks of matrices that are both computed, as in attention."""

import numpy as np

from minicnn.backends.memory import Array

__all__ = ["matrix_products"]


def matrix_products(a: Array, b: Array, y: Array, factor: float = 1.0) -> None:
    """y = factor · a · b, matrix by matrix.

    Parameters
    ----------
    a : (…, P, K)
    b : (…, K, Q)
    y : (…, P, Q), written
    factor : float, default 1

    Notes
    -----
    The arrays are views with any strides, transposed or of one head among others, in which a step along one of b's two
    last axes, and along y's last, is one number. All have the same axes before the last two.
    """
    product = np.matmul(a, b, out=y) if y.flags.c_contiguous else np.matmul(a, b)
    if product is not y or factor != 1:
        np.multiply(product, y.dtype.type(factor), out=y)
