"""Operators that no layer does: the file is refused before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterable

from minicnn.errors import FileFormatError
from minicnn.onnx.arguments import OPERATORS
from minicnn.onnx.folding import FOLDED
from minicnn.onnx.fused import WITHOUT_INTEGERS
from minicnn.onnx.reader import FileNode

RECURRENT = {"GRU", "LSTM", "RNN"}
SUBGRAPHS = {"Loop", "Scan"}
INTEGER = {"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
BEHIND = "cut the file before it (onnx.utils.extract_model), and compute that from the model's outputs"
BEFORE = "compute that before the network, and give the network what comes out"
ADVICE = {
    **dict.fromkeys(("NonMaxSuppression", "NonZero", "RoiAlign", "MaxRoiPool", "Unique", "Compress"), BEHIND),
    **dict.fromkeys(("DFT", "STFT", "MelWeightMatrix", "ImageDecoder", "StringNormalizer", "TfIdfVectorizer"), BEFORE),
    "AffineGrid": f"no layer moves pixels to computed places; {BEFORE}",
    "Col2Im": "no layer puts columns together: write Fold as a transposed convolution (ConvTranspose)",
    "GridSample": f"no layer takes pixels from computed places; {BEFORE}, or resize with Resize",
    "MaxUnpool": "no layer puts numbers back where a maximum was: train the network with Resize or ConvTranspose there",
    **dict.fromkeys(
        ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
        "networks that draw numbers are written in evaluation mode, or take the numbers as an input",
    ),
    **dict.fromkeys(
        ("StatefulPartitionedCall", "PartitionedCall"),
        "it is a function of TensorFlow's that tf2onnx left out: save the model as .keras instead",
    ),
    **dict.fromkeys(
        ("ScatterElements", "ScatterND"),
        "no layer writes into a tensor: write assignments to parts (y[:, a:b] = x) as torch.cat of the parts",
    ),
}
"""What can be done instead."""


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
        return node.error(WITHOUT_INTEGERS)
    if node.operator in ADVICE:
        return node.error(f"this operator is not supported: {ADVICE[node.operator]}")
    return node.error(f"this operator is not supported. Supported: {', '.join(sorted(OPERATORS))}")
