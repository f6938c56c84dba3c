"""Axes of size 1 of a model's tensors, which `expand_dims` and `squeeze` put in and take away, as layers."""

from __future__ import annotations

from typing import Any

from minicnn import layers
from minicnn.graph import Tensor


def expand_dims(x: Tensor, axis: Any) -> Tensor | None:
    """The tensor with axes of size 1 at these places of the result; None where one is before the samples'."""
    axes = _places(axis, lambda count: x.ndim + count)
    sizes = iter(x.shape[1:])
    if 0 in axes:
        return None
    return _with_sizes(x, [1 if at in axes else next(sizes) for at in range(1, x.ndim + len(axes))], axes)


def squeeze(x: Tensor, axis: Any = None) -> Tensor | None:
    """The tensor without these axes, by default all of size 1; None where one is the samples', or of an open size.

    Raises
    ------
    ValueError
        If one of them has another size.
    """
    is_any = axis is None
    axes = {at for at in range(1, x.ndim) if x.shape[at] == 1} if is_any else _places(axis, lambda count: x.ndim)
    if 0 in axes or any(x.shape[at] is None for at in axes):
        return None
    if any(x.shape[at] != 1 for at in axes):
        raise ValueError(f"squeeze takes away axes of size 1. Received: axis={axis} of a tensor of shape {x.shape}")
    return _with_sizes(x, [size for at, size in enumerate(x.shape) if at and at not in axes], axes, 0)


def _places(axis: Any, axes_of: Any) -> set[int]:
    """The axes, counted from 0, of a tensor that has as many as `axes_of` says of their number."""
    given = [int(axis)] if hasattr(axis, "__index__") else [int(each) for each in axis]
    ndim = axes_of(len(given))
    if not all(-ndim <= each < ndim for each in given) or len({each % ndim for each in given}) < len(given):
        raise ValueError(f"each axis is one from {-ndim} to {ndim - 1}, once. Received: axis={axis}")
    return {each % ndim for each in given}


def _with_sizes(x, sizes, axes, index=None):
    """The tensor in a shape that differs by axes of size 1; where several sizes are open, by the places of these."""
    if sizes.count(None) < 2 and sizes:
        return layers.Reshape(tuple(-1 if size is None else size for size in sizes))(x)
    whole, count = [None, None, None], max(x.ndim - 1, len(sizes))
    return layers.GetItem([index if at in axes else whole for at in range(1, count + 1)])(x)
