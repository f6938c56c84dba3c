"""Integers of 8 bits in the place of numbers: a number is scale · (integer - zero point)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.onnx.arguments import ELEMENTWISE_OPERATORS, number_at, operator
from minicnn.onnx.computed import integer_type

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode


@operator("QuantizeLinear", kind=ELEMENTWISE_OPERATORS)
def _quantize(node, graph):
    """The nearest integers, the even ones of two, no further than the type reaches: as floating-point numbers."""
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    scale, zero, dtype = _scale_and_zero(node, graph)
    y = graph.call(node, layers.Rescaling, x.tensor, "_scaled", scale=1 / scale)
    y = graph.call(node, layers.Elementary, y, "_rounded", function="round")
    y = graph.call(node, layers.Rescaling, y, "_moved", scale=1.0, offset=zero) if zero else y
    bounds = np.iinfo(dtype)
    y = graph.call(node, layers.Clip, y, minimum=float(bounds.min), maximum=float(bounds.max))
    graph.give(node, replace(x, tensor=y, is_nonnegative=bounds.min == 0, is_whole=True))


@operator("DequantizeLinear", kind=ELEMENTWISE_OPERATORS)
def _dequantize(node, graph):
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    scale, zero, _ = _scale_and_zero(node, graph)
    y = graph.call(node, layers.Rescaling, x.tensor, scale=scale, offset=-zero * scale)
    graph.give(node, replace(x, tensor=y, is_nonnegative=x.is_nonnegative and zero <= 0, is_whole=False))


def _scale_and_zero(node: FileNode, graph: Importer) -> tuple[float, float, np.dtype]:
    """(scale, zero point, type of the integers) of a tensor, which are one for all its numbers."""
    for name in ("axis", "block_size", "output_dtype", "saturate", "precision"):
        node.get(name, 0)
    scale, zero = number_at(node, graph, 1, 0.0), graph.constant(node, 2)
    if zero is not None:
        dtype = zero.dtype
    else:
        dtype = integer_type(node) if node.operator == "QuantizeLinear" else np.dtype(np.uint8)
    if not 0 < scale < np.inf or dtype.kind not in "iu":
        raise node.error(f"its scale is a positive number, its zero point an integer. Received: {scale}, {dtype}")
    return scale, number_at(node, graph, 2, 0.0), dtype
