"""Max pooling whose windows have more pixels than a winner's number can tell apart, as several steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from minicnn.geometry import MAX_TAPS, make_window
from minicnn.layers.twins import twin_of
from minicnn.step import Step

_WIDE = 1 << 20  # an image that any window fits into


def in_parts(layer: Any) -> list[Step]:
    """Max pooling by windows one row high, then by windows one column wide: the same maxima and winners.

    Rows come first, so that of equal maxima the first one wins, as in one window. A row longer than 255 pixels is the
    maximum of overlapping ones.

    Parameters
    ----------
    layer : MaxPooling2D
    """
    return [*_along(1, layer), *_along(0, layer)]


def _along(axis, layer):
    """The steps for one axis: from one place to the next until what is left of the window is short."""
    left, steps = layer.pool_size[axis], []
    while left > MAX_TAPS:
        steps.append(_step(axis, layer, MAX_TAPS, 1, not steps))
        left -= MAX_TAPS - 1
    return [*steps, _step(axis, layer, left, layer.strides[axis], not steps)]


def _step(axis, layer, size, stride, is_first):
    """The layer with windows of `size` pixels along one axis; the first one has the padding."""

    def along(value):
        return tuple(value if k == axis else 1 for k in (0, 1))

    def window(input_shape):
        sides = ("pad_top", "pad_bottom") if axis == 0 else ("pad_left", "pad_right")
        padding = dict.fromkeys(sides, 0)
        if is_first:  # of the layer's own input; later ones are shorter already
            whole = layer.window(tuple(input_shape[k] if k == axis else _WIDE for k in (0, 1)))
            padding = {side: getattr(whole, side) for side in sides}
        around = [n + (sum(padding.values()) if k == axis else 0) for k, n in enumerate(input_shape[:2])]
        made = make_window(around, along(size), along(stride), "valid")
        return replace(made, in_height=input_shape[0], in_width=input_shape[1], **padding)

    step = twin_of(layer)
    vars(step).update(pool_size=along(size), strides=along(stride), window=window)
    return step
