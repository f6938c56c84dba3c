"""What opsets 1 to 6 wrote, in the form of opset 7: applied to a node before it is translated."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from minicnn.onnx.arguments import checked_axis

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

BROADCASTING = {"Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub"}
"""Operators whose second input begins at an axis that an attribute names."""
DROPPED = ("broadcast", "consumed_inputs", "is_test")
"""Attributes that say how a program is to run a node, or no more than what later opsets do by themselves."""
TYPES = {b"FLOAT": 1, b"UINT8": 2, b"INT8": 3, b"INT32": 6, b"INT64": 7, b"BOOL": 9, b"FLOAT16": 10, b"DOUBLE": 11}
"""What Cast names by a word before opset 6."""


def modernized(node: FileNode, graph: Importer) -> FileNode:
    """A node in today's form.

    Raises
    ------
    FileFormatError
        If an input is spread in a way that no later opset has.
    """
    attributes = {name: value for name, value in node.attributes.items() if name not in DROPPED}
    is_test = node.attributes.get("is_test")
    node = replace(node, attributes=attributes, inputs=list(node.inputs))
    if node.operator == "Pad" and "paddings" in attributes:
        attributes["pads"] = attributes.pop("paddings")
    if node.operator == "Concat" and graph.opset < 4:
        attributes.setdefault("axis", 1)
    if node.operator == "Cast" and attributes.get("to") in TYPES:
        attributes["to"] = TYPES[attributes["to"]]
    if node.operator == "BatchNormalization" and is_test:
        node = replace(node, outputs=node.outputs[:1])  # further ones are for training
    if node.operator == "Tile" and len(node.inputs) == 3 and graph.opset < 6:
        raise node.error("opset 6 or newer is needed: before that, it repeats one axis")
    if node.operator == "Upsample" and {"height_scale", "width_scale"} <= attributes.keys():
        attributes["scales"] = [1.0, 1.0, attributes.pop("height_scale"), attributes.pop("width_scale")]
    if node.operator == "Reshape" and "shape" in attributes:
        node.inputs[1:] = [graph.give_name(np.array(node.get("shape", None, list), np.int64))]
    if node.operator in BROADCASTING and "axis" in attributes:
        _spread(node, graph, node.get("axis"))
    elif node.operator == "PRelu" and graph.is_constant(node, 1) and graph.constant(node, 1).shape[1:] == ():
        _spread(node, graph, 1 if graph.constant(node, 1).size > 1 else -1)
    return node


def _spread(node, graph, axis):
    """The second input begins at an axis of the first one: axes of size 1 follow."""
    rank = graph.constant(node, 0).ndim if graph.is_constant(node, 0) else len(graph.value(node, 0).shape) + 1
    axis, is_constant = checked_axis(node, axis, rank), graph.is_constant(node, 1)
    second = graph.constant(node, 1) if is_constant else graph.value(node, 1)
    missing = rank - axis - len(second.shape) - (not is_constant)
    if missing < 0 or not (is_constant or axis == 0):
        raise node.error(f"its second input begins at an axis of the first one, and fits. Received: axis={axis}")
    shape = second.shape + (1,) * missing
    spread = second.reshape(shape) if is_constant else replace(second, positions=second.positions.reshape(shape))
    node.inputs[1] = graph.give_name(spread)
