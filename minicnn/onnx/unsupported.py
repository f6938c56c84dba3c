"""Operators that no layer does: the file is refused before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterable

from minicnn.errors import FileFormatError
from minicnn.onnx.arguments import OPERATORS
from minicnn.onnx.folding import FOLDED
from minicnn.onnx.reader import FileNode

RECURRENT = {"GRU", "LSTM", "RNN"}
SUBGRAPHS = {"Loop", "Scan"}
INTEGER = {"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"}


def check_operators(nodes: Iterable[FileNode]) -> None:
    """Raise `FileFormatError` for the first node whose operator is not supported."""
    for node in nodes:
        if node.operator not in OPERATORS and node.operator not in FOLDED:
            raise unknown(node)


def unknown(node: FileNode) -> FileFormatError:
    """The error for an operator that is not in the table."""
    if node.operator in RECURRENT:
        return node.error("there are no recurrent layers here: this library is for networks of convolutions")
    if node.operator in SUBGRAPHS:
        return node.error("it runs a graph of its own, which no layer does: write the file without loops")
    if node.operator in INTEGER:
        return node.error(
            "it computes in integers of 8 bits, and layers compute in floating point: write the file before "
            "that, or with QuantizeLinear and DequantizeLinear around operators of floating point (QDQ)"
        )
    return node.error(f"this operator is not supported. Supported: {', '.join(sorted(OPERATORS))}")
