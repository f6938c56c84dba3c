"""`InputSpec`, which layers of users write down; a layer of minicnn checks shapes in its build."""

from __future__ import annotations

from typing import Any, NamedTuple


class InputSpec(NamedTuple):
    """What a layer says of its input; nothing is checked by it.

    Attributes
    ----------
    dtype, shape, ndim, max_ndim, min_ndim, axes, allow_last_axis_squeeze, name, optional : optional
        As in Keras.
    """

    dtype: Any = None
    shape: tuple[int | None, ...] | None = None
    ndim: int | None = None
    max_ndim: int | None = None
    min_ndim: int | None = None
    axes: dict[int, int | None] | None = None
    allow_last_axis_squeeze: bool = False
    name: str | None = None
    optional: bool = False
