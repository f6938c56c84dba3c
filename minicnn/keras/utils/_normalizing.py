"""``keras.utils.normalize``, also of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import utils as core
from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded
from minicnn.graph import Tensor
from minicnn.keras import ops
from minicnn.keras._operations import entering
from minicnn.keras.backend import epsilon
from minicnn.settings import floatx


@entering
def normalize(x: Any, axis: int = -1, order: float | str = 2) -> Any:
    """`minicnn.utils.normalize`, which in a loss or a layer takes what is differentiated, or symbolic, too.

    Parameters
    ----------
    x : array-like of real numbers, or tensor
        A list becomes an array of ``floatx()``; one row of NumPy's (n,) becomes (1, n), as in Keras.
    axis : int, default -1
    order : default 2
        Which norm; of tensors 1, 2, or a larger whole number.

    Raises
    ------
    ValueError
        For another norm of a tensor.
    """
    if not isinstance(x, Recorded | Tensor):
        made = core.normalize(np.asarray(x, floatx()) if isinstance(x, list | tuple) else x, axis, order)
        made = made[None] if type(x) is np.ndarray and x.ndim == 1 else made
        return made.view(EagerArray) if isinstance(x, EagerArray) else made
    if not np.isscalar(order) or isinstance(order, str) or order < 1 or order != order // 1:
        raise ValueError(f"normalize of a tensor takes order=1, 2, … Received: order={order!r}")
    total = ops.sum(ops.power(ops.abs(x), order), axis=axis, keepdims=True)
    return x / ops.maximum(ops.power(total, 1 / order), epsilon())
