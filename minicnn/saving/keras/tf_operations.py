"""Functions of TensorFlow in functional models, as Keras 2.4 to 2.15 writes them: each becomes a layer.

``x / 255 - 0.5`` is two entries of the class TFOpLambda, which hold the functions' names, no code; their other
arguments stand in the call, beside the tensor: ``["input_1", 0, 0, {"y": 255.0, "name": null}]``.
"""

from __future__ import annotations

import sys
from numbers import Real
from typing import Any

from minicnn.hints import Config
from minicnn.saving.keras.operations import Made, known_function, of_axes, part, rearranged, with_number
from minicnn.saving.keras.structure import MAX_DEPTH

_BINARY = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.divide": "Divide",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "math.multiply": "Multiply",
    "math.pow": "Power",
    "math.subtract": "Subtract",
    "math.truediv": "TrueDivide",
}
"""TensorFlow's functions of two arguments → Keras 3's names."""

_UNARY = {
    "math.abs": "Abs",
    "math.ceil": "Ceil",
    "math.exp": "Exp",
    "math.floor": "Floor",
    "math.log": "Log",
    "math.negative": "Negative",
    "math.reciprocal": "Reciprocal",
    "math.sigmoid": "Sigmoid",
    "math.sign": "Sign",
    "math.sqrt": "Sqrt",
    "math.square": "Square",
    "math.tanh": "Tanh",
    "nn.relu": "Relu",
    "nn.relu6": "Relu6",
    "nn.selu": "Selu",
    "nn.silu": "Silu",
    "nn.softplus": "Softplus",
    "nn.softsign": "Softsign",
}
_WRAPPING = (
    "__operators__.add",
    "math.add",
    "math.multiply",
    "math.negative",
    "math.pow",
    "math.square",
    "math.subtract",
)
"""What of integers does not always fit, and begins at the other end there."""
_FLOATING = ("float16", "bfloat16", "float32", "float64")

_REDUCING = {"math.reduce_max": "Max", "math.reduce_mean": "Mean", "math.reduce_sum": "Sum"}
_KEEPING = ("Activation", "CenterCrop", "Dropout", "InputLayer", "Normalization", "Rescaling", "Resizing")
_CONSTANT = "_CONSTANT_VALUE"  # in the place of the first tensor's layer, where a number stands there


def without_tf_operations(entry: Config, inputs: dict[str, Config]) -> Config:
    """The entry of a layer; that of a function of TensorFlow as a layer's, where there is one that does the same.

    `inputs` is `inputs_of` all of the model's: of these, shapes are known.
    """
    config, calls = entry.get("config"), entry.get("inbound_nodes")
    if entry.get("class_name") not in ("TFOpLambda", "SlicingOpLambda") or not isinstance(config, dict):
        return entry
    nodes = calls[0] if isinstance(calls, list) and len(calls) == 1 else None
    nodes = [nodes] if isinstance(nodes, list) and nodes and not isinstance(nodes[0], list) else nodes
    if not isinstance(nodes, list) or not nodes or not all(_is_call(node) for node in nodes):
        return entry
    arguments = {name: value for name, value in nodes[0][3].items() if name != "name" and value is not None}
    function, source = config.get("function"), _source(nodes[0], inputs)
    if not isinstance(function, str) or (function in _WRAPPING and source.get("dtype", "float32") not in _FLOATING):
        return entry
    built = entry.get("build_config")
    shape = source.get("batch_input_shape", source.get("batch_shape"))
    shape = built.get("input_shape", shape) if isinstance(built, dict) else shape
    made = _made(function, [node[:3] for node in nodes], arguments, shape)
    if made is None:
        return entry
    (class_name, own), tensors = made
    own = {"name": config.get("name"), **own}
    return {"class_name": class_name, "config": own, "name": entry.get("name")} | {
        "inbound_nodes": [[[*tensor, {}] for tensor in tensors]]
    }


def inputs_of(found: list[Config]) -> dict[str, Config]:
    """Name → what the file says of an input; of layers behind it that change no rank, a shape with that rank alone.

    Nothing of other layers, whose shapes are not in the file.
    """
    known: dict[str, Config] = {}
    for layer in found:
        if not isinstance(layer.get("name"), str) or not isinstance(layer.get("config"), dict):
            continue
        if layer.get("class_name") == "InputLayer":
            known[layer["name"]] = layer["config"]
        elif (rank := _rank_before(layer, known)) and _keeps_rank(layer):
            known[layer["name"]] = {"batch_input_shape": [None] * rank}
    return known


def _rank_before(layer, known) -> int:
    """Of the tensor that a layer is called with first; 0 if that is not known."""
    node = layer.get("inbound_nodes")
    while isinstance(node, list) and node and isinstance(node[0], list):
        node = node[0]
    source = known.get(node[0], {}) if isinstance(node, list) and node and isinstance(node[0], str) else {}
    shape = source.get("batch_input_shape", source.get("batch_shape"))
    return len(shape) if isinstance(shape, list) else 0


def _keeps_rank(layer, depth=0) -> bool:
    """Whether a layer is one of those that stand between images and a network: augmentation, rescaling, casts."""
    class_name, config = layer.get("class_name"), layer.get("config")
    if not isinstance(class_name, str) or not isinstance(config, dict):
        return False
    if class_name == "TFOpLambda":
        return config.get("function") in (*_UNARY, "cast")
    if class_name == "Sequential" and depth < MAX_DEPTH:
        inner = config.get("layers")
        return isinstance(inner, list) and all(isinstance(e, dict) and _keeps_rank(e, depth + 1) for e in inner)
    return class_name.startswith("Random") or class_name in _KEEPING


def _source(call, inputs) -> Config:
    """What is known of a call's first tensor, which stands behind a number, if there is one before it."""
    tensor = call[3].get("y") if call[0] == _CONSTANT else call
    name = tensor[0] if isinstance(tensor, list) and tensor else None
    return inputs.get(name, {}) if isinstance(name, str) else {}


def _is_call(node) -> bool:
    return isinstance(node, list) and len(node) == 4 and isinstance(node[3], dict)


def _is_tensor(value) -> bool:
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str) and value[0] != _CONSTANT


def _made(
    function: Any, tensors: list[Any], arguments: Config, shape: Any
) -> tuple[tuple[str, Config], list[Any]] | None:
    """((class, arguments) of the layer, its tensors); None if there is none that does the same."""
    first = tensors[0]
    if function in _BINARY and len(tensors) == 1 and arguments.keys() == {"y"}:
        other = arguments["y"]
        if _is_tensor(first) and _is_tensor(other):
            merging = {"Add": "Add", "Multiply": "Multiply", "Subtract": "Subtract", "Maximum": "Maximum"}
            merging |= {"Minimum": "Minimum"}
            class_name = merging.get(_BINARY[function])
            return None if class_name is None else ((class_name, {}), [first, other])
        comes_first = first[0] == _CONSTANT
        made = _with_numbers(_BINARY[function], first[2] if comes_first else other, comes_first)
        tensors = [other] if comes_first else [first]
    elif function == "concat":
        made = ("Concatenate", {"axis": arguments.get("axis")}) if arguments.keys() == {"axis"} else None
    else:
        made = _of_one(function, arguments, shape) if len(tensors) == 1 else None
    return None if made is None or not all(map(_is_tensor, tensors)) else (made, tensors)


def _with_numbers(name, numbers, comes_first) -> Made:
    """An operation with a number, or one for each channel."""
    if _is_number(numbers):
        return with_number(name, float(numbers), comes_first)
    if not isinstance(numbers, list) or not numbers or not all(map(_is_number, numbers)):
        return None
    each = [with_number(name, float(n), comes_first) for n in numbers]
    if not all(made is not None and made[0] == "Rescaling" for made in each):
        return None
    return "Rescaling", {key: [made[1][key] for made in each] for key in ("scale", "offset")}


def _is_number(value) -> bool:
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    return is_real and abs(value) <= sys.float_info.max  # JSON has integers of any length


def _of_one(function, arguments, shape) -> Made:
    """A function of one tensor."""
    if function in _UNARY and not arguments:
        return known_function(_UNARY[function])
    if function == "nn.bias_add" and isinstance(arguments.get("bias"), list):
        is_last = arguments.get("data_format", "channels_last") in ("channels_last", "NHWC")
        return _with_numbers("Add", arguments["bias"], False) if is_last else None
    if function == "cast":
        return ("Activation", {"activation": "linear"}) if arguments == {"dtype": "float32"} else None
    if function == "clip_by_value" and arguments.keys() == {"clip_value_min", "clip_value_max"}:
        return "Clip", {"minimum": arguments["clip_value_min"], "maximum": arguments["clip_value_max"]}
    if function == "nn.softmax" and arguments.keys() <= {"axis"}:
        return "Softmax", {"axis": arguments.get("axis", -1)}
    if function in _REDUCING and arguments.keys() <= {"axis", "keepdims"}:
        return of_axes(_REDUCING[function], arguments, shape)
    if function == "reshape" and arguments.keys() == {"shape"}:
        return rearranged("Reshape", {"newshape": arguments["shape"]})
    if function == "transpose" and arguments.keys() <= {"perm", "conjugate"} and not arguments.get("conjugate"):
        return rearranged("Transpose", {"axes": arguments.get("perm")})
    return part(arguments.get("slice_spec"), shape) if function == "__operators__.getitem" else None
