"""What a diagram writes about a layer: the sizes of its windows, its weights, its work."""

from __future__ import annotations

from typing import Any

from minicnn.graph import Node
from minicnn.models.flops import node_flops


def geometry_lines(layer: Any) -> list[str]:
    """Sizes of kernels and windows, with strides, padding and the like where they are not the usual ones."""
    size = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
    if size is None or layer.graph is not None:
        rate = getattr(layer, "rate", None)
        return [f"rate: {rate:g}"] if isinstance(rate, float) else []
    is_pooling = not hasattr(layer, "kernel_size")
    parts = [f"{_by(size)} window" if is_pooling else f"{_by(size)} kernel"]
    strides = getattr(layer, "strides", None)
    if strides is not None and _pair(strides) != _pair(size if is_pooling else 1):
        parts.append(f"strides {_by(strides)}")
    if getattr(layer, "padding", "valid") != "valid":
        parts.append(f"padding {layer.padding}")
    if _pair(getattr(layer, "dilation_rate", 1)) != (1, 1):
        parts.append(f"dilation {_by(layer.dilation_rate)}")
    if getattr(layer, "groups", 1) != 1:
        parts.append(f"{layer.groups} groups")
    return [", ".join(parts)]


def _pair(size) -> tuple:
    size = tuple(size) if isinstance(size, tuple | list) else (size,)
    return size * 2 if len(size) == 1 else size


def _by(size) -> str:
    """ "3×3", of one axis "3"."""
    return "×".join(map(str, size)) if isinstance(size, tuple | list) else str(size)


def work_lines(node: Node) -> list[str]:
    """Numbers of parameters and of operations, where there are any."""
    lines, count, work = [], node.layer.count_params(), node_flops(node)
    if count:
        lines.append(f"{count:,} parameters")
    if work:
        lines.append(f"{in_short(work)} FLOPs")
    return lines


def in_short(number: int) -> str:
    """Three digits and a unit: 1,234,567 is "1.23 M"."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
