"""Types of numbers in an ONNX file (TensorProto.DataType), and which of them an input may have."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import NodeProto

FLOAT, BOOL, FLOAT16 = 1, 9, 10
FLOATS = {FLOAT, FLOAT16, 11}
"""Numbers of the floating-point types."""
SMALL_INTEGERS = {2, 3, 4, 5}
"""Those of integers of 8 and 16 bits, which float32 holds exactly."""
INTEGERS = SMALL_INTEGERS | {6, 7}
"""These and those of 32 and 64 bits, which number the rows of a table."""
REARRANGE = {"Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
"""Operators whose numbers are those of their first input."""


def kinds_of_input(name: str, nodes: Mapping[str, Sequence[NodeProto]], constants: Container[str]) -> set[int]:
    """The types that an input may have, by the nodes that read it, maybe rearranged.

    Integers where all make floating-point numbers of them, large ones float32, as the model's are; any where all look
    up rows of a table by them.

    Parameters
    ----------
    name : str
    nodes : dict
        Name of a tensor → the nodes that read it.
    constants : container of str
    """
    readers = list(_readers(name, nodes))
    types = [a.i for node in readers for a in node.attribute if node.op_type == "Cast" and a.name == "to"]
    types += [FLOAT for node in readers if node.op_type == "Scaler"]  # which gives float32 of whatever it reads
    if 0 < len(types) == len(readers) and set(types) <= FLOATS:
        return FLOATS | (INTEGERS if set(types) == {FLOAT} else SMALL_INTEGERS)
    if readers and all(n.op_type == "Gather" and n.input[0] in constants and n.input[1] == name for n in readers):
        return FLOATS | INTEGERS
    return FLOATS


def as_they_are(name: str, nodes: Mapping[str, Sequence[NodeProto]]) -> NodeProto | None:
    """A node that reads an input, maybe rearranged, and makes no float32 of it; None if there is none."""
    casts = ("Cast", [FLOAT]), ("Scaler", [])
    readers = (
        (node, (node.op_type, [a.i for a in node.attribute if a.name == "to"])) for node in _readers(name, nodes)
    )
    return next((node for node, kind in readers if kind not in casts), None)


def _readers(name, nodes):
    """The nodes that read a tensor; of those that only rearrange it, the nodes that read what they give."""
    waiting, seen = [name], {name}
    while waiting:
        name = waiting.pop()
        for node in nodes.get(name, ()):
            if node.op_type not in REARRANGE or node.input[0] != name or len(node.output) != 1:
                yield node
            elif node.output[0] not in seen:
                seen.add(node.output[0])
                waiting.append(node.output[0])
