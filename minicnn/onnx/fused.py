"""Operators of onnxruntime's optimized files, and a few others, taken apart into ONNX's simple ones.

onnxruntime can write a file as it has optimized it (`SessionOptions.optimized_model_filepath`). On the level
"extended", neighbours are one operator there, of the domain com.microsoft, whose meaning
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md says. Files of scikit-learn's pipelines
have operators of the domain ai.onnx.ml (https://onnx.ai/onnx/operators), of which Scaler is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from minicnn.onnx.reader import FileNode

DOMAIN = "com.microsoft"
OF_SKLEARN = "ai.onnx.ml"

IN_INTEGERS = "QLinear", "QGemm", "QAttention", "QEmbed", "DynamicQuantize", "MatMulInteger"
"""How the names of onnxruntime's operators begin that compute in integers."""
WITHOUT_INTEGERS = (
    "it computes in integers of 8 bits, and layers compute in floating point: write the file before that, "
    "or with QuantizeLinear and DequantizeLinear around operators of floating point (QDQ)"
)

ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "Clip": ("min", "max"),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
}
"""Activations that are part of another operator → the attributes that its numbers are."""


class Parts:
    """The nodes that do together what one node does, the last of which gives its output."""

    def __init__(self, node: FileNode):
        self.node = node
        self.made: list[FileNode] = []

    def add(self, operator: str, inputs: list[str], attributes: dict[str, Any] | None = None) -> str:
        """A node more; returns the name of its output."""
        given = f"{self.node.outputs[0]}\0{len(self.made)}"  # which no file has by accident
        made = self.node.part(operator, inputs, [given], attributes or {})
        self.made.append(made)
        return given

    def array(self, numbers: Any, dtype: Any = np.float32) -> str:
        """A node more, which gives a number or several."""
        return self.add("Constant", [], {"value": np.array(numbers, dtype)})

    def finished(self) -> list[FileNode]:
        self.made[-1].outputs = self.node.outputs
        return self.made


def taken_apart(node: FileNode, domain: str, opset: int) -> list[FileNode]:
    """The nodes of ONNX's own operators that do what a node does: itself, or several for one that is fused.

    Parameters
    ----------
    node : FileNode
    domain : str
        Whose operator it is.
    opset : int
        The version of ONNX's operators that the file uses.

    Raises
    ------
    FileFormatError
        Naming the node, if its operator is of another domain, or none of those known here.
    """
    known_here = OWN if domain in ("", "ai.onnx") else {OF_SKLEARN: SKLEARN, DOMAIN: FUSED}.get(domain, {})
    if node.operator not in known_here:
        if known_here is OWN:
            return [node]
        if domain == OF_SKLEARN:
            raise node.error(
                "of scikit-learn's operators Scaler alone is read: write the file without labels, of outputs that are "
                f"numbers (onnx.utils.extract_model cuts it). Received: domain {domain!r}"
            )
        if domain == DOMAIN and node.operator.startswith(IN_INTEGERS):
            raise node.error(WITHOUT_INTEGERS)
        known = ", ".join(sorted(FUSED))
        raise node.error(
            f"only ONNX's own operators are supported, and of onnxruntime's {known}: write the file without "
            f"optimizations for one machine. Received: domain {domain!r}"
        )
    if len(node.outputs) > (4 if node.operator == "SkipLayerNormalization" else 1) or not node.outputs[0]:
        raise node.error(f"it has one output. Received: {len(node.outputs)}")
    parts = Parts(node)
    known_here[node.operator](parts, opset)
    node.check_all_read()
    return parts.finished()


def _fused_conv(parts, opset):
    """Conv, with a fourth input that is added, and an activation behind."""
    node = parts.node
    name, numbers = node.get("activation", "", str), node.get("activation_params", [], object)
    others = ("activation", "activation_params")
    y = parts.add("Conv", node.inputs[:3], _others(node, others))
    if len(node.inputs) > 3 and node.inputs[3]:
        y = parts.add("Add", [y, node.inputs[3]])
    _activation(parts, y, name, numbers, opset)


def _fused_gemm(parts, opset):
    """Gemm with an activation behind."""
    node = parts.node
    name = node.get("activation", "", str)
    others = ("activation_alpha", "activation_beta", "activation_gamma")
    numbers = [node.get(other, 0.0, float) for other in others if other in node.attributes]
    y = parts.add("Gemm", node.inputs, _others(node, ("activation", *others)))
    _activation(parts, y, name, numbers, opset)


def _others(node, names) -> dict:
    """The attributes but these, as those of a part."""
    attributes = {name: value for name, value in node.attributes.items() if name not in names}
    for name in attributes:
        node.get(name, kind=object)  # the part's own translation looks at them
    return attributes


def _activation(parts, x, name, numbers, opset):
    """An activation with its numbers, none for no activation; numbers that are left out are those of the operator."""
    if not name:
        return
    if name not in ACTIVATIONS or not isinstance(numbers, list) or len(numbers) not in (0, len(ACTIVATIONS[name])):
        known = ", ".join(ACTIVATIONS)
        raise parts.node.error(f"its activation is one of {known}, with its numbers. Received: {name!r}, {numbers}")
    if name == "Clip" and opset >= 11 and numbers:
        parts.add("Clip", [x, *map(parts.array, numbers)])
    else:
        parts.add(name, [x], dict(zip(ACTIVATIONS[name], map(float, numbers), strict=False)))


def _gelu(parts, _opset):
    parts.add("Gelu", parts.node.inputs)


def _bias_gelu(parts, _opset):
    """Gelu of a sum."""
    parts.add("Gelu", [parts.add("Add", parts.node.inputs)])


def _fast_gelu(parts, _opset):
    """Gelu of a sum, or of a tensor, by its approximation with tanh."""
    names = [name for name in parts.node.inputs if name]
    parts.add("Gelu", [parts.add("Add", names)] if len(names) > 1 else names, {"approximate": b"tanh"})


def _left_as_it_is(parts, _opset):
    """FusedMatMul's shapes are looked at in `composed.py`; rounding to integers is ONNX's own under another domain."""
    parts.add(parts.node.operator, parts.node.inputs, _others(parts.node, ()))


def _skip_layer_normalization(parts, opset):
    """LayerNormalization of a sum, over the last axis; the fourth output is the sum."""
    node = parts.node
    x, skip, scale, shift, bias = (*node.inputs, "", "")[:5]
    total = parts.add("Add", [x, skip])
    total = parts.add("Add", [total, bias]) if bias else total
    if any(node.outputs[1:3]):
        raise node.error("its mean and deviation are not given out: take its first output, and the sum")
    if any(node.outputs[3:]):
        parts.made[-1].outputs = node.outputs[3:]
        total = node.outputs[3]
    options = {"axis": -1, "epsilon": node.get("epsilon", 1e-12, float)}
    node.outputs = node.outputs[:1]
    parts.add("LayerNormalization", [total, scale, *([shift] if shift else [])], options)


def _quick_gelu(parts, _opset):
    """x · sigmoid(alpha · x), what ONNX's Swish is from opset 24 on."""
    parts.add("Swish", parts.node.inputs, {"alpha": parts.node.get("alpha", 1.702, float)})


def _rms_normalization(parts, opset):
    """x · scale / √(mean(x²) + epsilon), over the last axis."""
    node = parts.node
    epsilon, axis, _ = node.get("epsilon", 1e-5, float), node.get("axis", -1, int), node.get("stash_type", 1, int)
    if axis != -1 or len(node.inputs) != 2:
        raise node.error(
            f"it normalizes the last axis, axis=-1, with a scale. Received: {axis}, {len(node.inputs)} inputs"
        )
    squares = parts.add("Mul", [node.inputs[0], node.inputs[0]])
    axes = {"axes": [-1]} if opset < 18 else {}
    mean = parts.add("ReduceMean", [squares] if axes else [squares, parts.array([-1], np.int64)], axes)
    root = parts.add("Sqrt", [parts.add("Add", [mean, parts.array(epsilon)])])
    parts.add("Mul", [parts.add("Div", [node.inputs[0], root]), node.inputs[1]])


def _erfc(parts, _opset):
    """1 - erf(x), which tf2onnx leaves in the GELU of Keras, and which is no operator of ONNX's."""
    parts.add("Sub", [parts.array(1.0), parts.add("Erf", parts.node.inputs)])


def _scaler(parts, _opset):
    """(x - offset) · scale."""
    node = parts.node
    offset, scale = node.get("offset", [0.0], object), node.get("scale", [1.0], object)
    if not all(isinstance(numbers, list) and numbers and isinstance(numbers[0], float) for numbers in (offset, scale)):
        raise node.error(f"offset and scale are lists of numbers. Received: {offset}, {scale}")
    parts.add("Mul", [parts.add("Sub", [node.inputs[0], parts.array(offset)]), parts.array(scale)])


FUSED: dict[str, Callable[[Parts, int], None]] = {
    "BiasGelu": _bias_gelu,
    "FastGelu": _fast_gelu,
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _left_as_it_is,
    "Gelu": _gelu,
    "DequantizeLinear": _left_as_it_is,
    "QuantizeLinear": _left_as_it_is,
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_layer_normalization,
}
"""Operator of onnxruntime's → what adds the nodes that it stands for."""

OWN: dict[str, Callable[[Parts, int], None]] = {
    "Erfc": _erfc,
    "RMSNormalization": _rms_normalization,
    "SimplifiedLayerNormalization": _rms_normalization,  # onnxruntime's, which says that it is ONNX's
}
"""The same of ONNX's own."""

SKLEARN: dict[str, Callable[[Parts, int], None]] = {"Scaler": _scaler}
"""The same of scikit-learn's."""
