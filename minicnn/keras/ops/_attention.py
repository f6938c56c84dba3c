"""``keras.ops.dot_product_attention``: of arrays, recorded arrays and a model's tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from minicnn.layers.attention_parts import LOW


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    **options: Any,
) -> Any:
    """Means of the values, weighted by softmax(query · key · scale + bias) over what the mask leaves.

    Parameters
    ----------
    query, key, value : array or Tensor (N, T, heads, size), (N, S, heads, size) twice
    bias, mask : optional
        (N or 1, heads or 1, T, S); the mask is 0 where a place of the query does not attend to one of the keys.
    scale : float, optional
        Default: 1 / √size.
    is_causal : bool
        Whether a place attends to none behind it.
    **options
        Of Keras's kernels, which change no number.

    Raises
    ------
    ValueError
        If there are other than four axes.
    """
    ops = import_module("minicnn.keras.ops")
    shapes = [tuple(x.shape) for x in (query, key, value)]
    if any(len(shape) != 4 for shape in shapes):
        raise ValueError(f"query, key and value have the axes (N, T, heads, size). Received: {shapes}")
    scale = 1 / math.sqrt(shapes[0][-1]) if scale is None else scale
    scores = ops.matmul(ops.transpose(query, (0, 2, 1, 3)), ops.transpose(key, (0, 2, 3, 1))) * scale  # (N, H, T, S)
    scores = scores if bias is None else scores + bias
    masks = [] if mask is None else [mask]
    masks += [np.tril(np.ones((1, 1, shapes[0][1], shapes[1][1]), "float32"))] if is_causal else []
    for each in masks:
        scores = ops.where(ops.cast(each, "float32") != 0, scores, LOW)
    return ops.transpose(ops.matmul(ops.softmax(scores), ops.transpose(value, (0, 2, 1, 3))), (0, 2, 1, 3))


ATTENTION: dict[str, Callable[..., Any]] = {"dot_product_attention": dot_product_attention}
"""Name of ``keras.ops`` → function."""
