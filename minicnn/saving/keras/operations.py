"""Functions of ``keras.ops`` in functional models, as Keras 3 writes them: each becomes a layer.

``x / 255 - 0.5`` is two entries in the list of layers, of the module ``keras.src.ops.numpy``, in whose calls numbers
stand beside tensors.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from minicnn.checks import is_integer
from minicnn.errors import FileFormatError
from minicnn.hints import Config
from minicnn.saving.keras.names import is_own
from minicnn.user_warnings import brief

Made: TypeAlias = "tuple[str, Config] | None"
"""(class, arguments) of a layer; None where there is none that does the same."""

_FUNCTIONS: dict[str, tuple[str, Config]] = {
    "Abs": ("Elementary", {"function": "abs"}),
    "Absolute": ("Elementary", {"function": "abs"}),
    "Ceil": ("Elementary", {"function": "ceil"}),
    "Cos": ("Elementary", {"function": "cos"}),
    "Exp": ("Activation", {"activation": "exponential"}),
    "Floor": ("Elementary", {"function": "floor"}),
    "Log": ("Elementary", {"function": "log"}),
    "Negative": ("Rescaling", {"scale": -1.0}),
    "Reciprocal": ("Elementary", {"function": "power", "exponent": -1.0}),
    "Relu": ("Activation", {"activation": "relu"}),
    "Relu6": ("Activation", {"activation": "relu6"}),
    "Selu": ("Activation", {"activation": "selu"}),
    "Sigmoid": ("Activation", {"activation": "sigmoid"}),
    "Sign": ("Elementary", {"function": "sign"}),
    "Silu": ("Activation", {"activation": "silu"}),
    "Sin": ("Elementary", {"function": "sin"}),
    "Softplus": ("Activation", {"activation": "softplus"}),
    "Softsign": ("Activation", {"activation": "softsign"}),
    "Sqrt": ("Elementary", {"function": "power", "exponent": 0.5}),
    "Square": ("Elementary", {"function": "power", "exponent": 2.0}),
    "Tanh": ("Activation", {"activation": "tanh"}),
}
"""Functions of one tensor without arguments → the layer that each one is."""

_WITH_ARGUMENTS: dict[str, tuple[str, dict[str, str]]] = {
    "Clip": ("Clip", {"x_min": "minimum", "x_max": "maximum"}),
    "Elu": ("ELU", {"alpha": "alpha"}),
    "LeakyRelu": ("LeakyReLU", {"negative_slope": "negative_slope"}),
    "Softmax": ("Softmax", {"axis": "axis"}),
}
"""Those with arguments → the layer, and Keras's name of each argument → the layer's."""

_DEFAULTS: dict[str, Config] = {"LeakyRelu": {"negative_slope": 0.2}}
"""Arguments of the layer that a function leaves out, where those of the layer alone have another default."""

_WRAPPING = ("Add", "Multiply", "Negative", "Power", "Prod", "Square", "Subtract")
_NARROW = ("int8", "int16", "uint8", "uint16", "uint32")
"""What these functions of such numbers, among themselves or with an integer, leave does not always fit."""


def without_operations(entry: Config) -> Config:
    """The entry of a layer; that of a function of ``keras.ops`` as a layer's, where there is one that does the same."""
    calls, config = entry.get("inbound_nodes"), entry.get("config")
    if not isinstance(config, dict) or not is_operation(entry, config):
        return entry
    if not isinstance(calls, list) or len(calls) != 1 or not isinstance(calls[0], dict):
        return entry
    args = calls[0].get("args")
    if not isinstance(args, list) or calls[0].get("kwargs"):
        return entry
    check_wraps_nothing(entry["class_name"], args)
    made = _layer(entry["class_name"], config, args)
    if made is None:
        return entry
    class_name, arguments = made
    tensors = [value for value in args if not isinstance(value, Real | list) and array_in(value) is None]
    own = {"class_name": class_name, "config": {"name": config.get("name")} | arguments, "is_operation": True}
    return entry | own | {"module": "keras.layers", "inbound_nodes": [{"args": tensors, "kwargs": {}}]}


def taken_apart(entry: Config) -> list[Config]:
    """The entry of a layer, or those of layers that do what one of Keras's applications alone does.

    StochasticDepth of ConvNeXt leaves out whole samples; CustomScaleLayer of InceptionResNetV2 is x + scale · y.
    """
    class_name, calls, config = entry.get("class_name"), entry.get("inbound_nodes"), entry.get("config")
    if class_name not in ("CustomScaleLayer", "StochasticDepth") or not isinstance(config, dict) or is_own(class_name):
        return [entry]
    own = {name: config[name] for name in ("name", "trainable", "dtype") if name in config}
    if class_name == "StochasticDepth":
        if "drop_path_rate" not in config:  # another package's layer of this name
            return [entry]
        dropout = own | {"rate": config.get("drop_path_rate"), "noise_shape": [None, 1, 1, 1]}
        return [entry | {"class_name": "Dropout", "config": dropout}]
    call = calls[0] if isinstance(calls, list) and len(calls) == 1 else None
    tensors = (call.get("args") or [None])[0] if isinstance(call, dict) else call
    if not isinstance(tensors, list) or len(tensors) != 2:
        return [entry]
    name = f"{entry.get('name')}_scaled"
    if isinstance(call, dict):  # of Keras 3
        scaled = {"class_name": "__keras_tensor__", "config": _config(tensors[1]) | {"keras_history": [name, 0, 0]}}
        nodes = [{"args": [tensors[1]], "kwargs": {}}], [{"args": [[tensors[0], scaled]], "kwargs": {}}]
    else:
        nodes = [[tensors[1]]], [[tensors[0], [name, 0, 0, {}]]]
    scaling = {"class_name": "Rescaling", "config": own | {"name": name, "scale": config.get("scale"), "offset": 0.0}}
    adding = {"class_name": "Add", "config": own, "inbound_nodes": nodes[1]}
    return [scaling | {"name": name, "inbound_nodes": nodes[0], "is_operation": True}, entry | adding]


def is_operation(entry: Config, config: Config) -> bool:
    """Whether an entry is a function's; .h5 files do not say the module, but every layer whether it is trainable.

    A user's layer need not: what is known under the name comes first.
    """
    module, name = entry.get("module"), entry.get("class_name")
    if not isinstance(name, str):
        return False
    if isinstance(module, str):
        return module.startswith("keras.src.ops.")
    is_bare = module is None and "trainable" not in config and "dtype" not in config
    return is_bare and entry.get("registered_name") in (None, name) and not is_own(name)


def check_wraps_nothing(name: str, args: list[Any]) -> None:
    """Raise `FileFormatError` where Keras computes in few bits, and what does not fit begins at the other end."""
    dtypes = [_config(value).get("dtype") for value in args]
    narrow = [dtype for dtype in dtypes if isinstance(dtype, str) and dtype in _NARROW]
    if narrow and name in _WRAPPING and not any(isinstance(value, float) for value in args):
        raise FileFormatError(
            f"'{name}' of integers wraps around in Keras, and numbers of a model are floating-point here: give the "
            f"model an Input of dtype float32, or cast before it. Received: {name} of {narrow[0]}"
        )


def _config(tensor) -> Config:
    """What a call says of a tensor."""
    found = tensor.get("config") if isinstance(tensor, dict) else None
    return found if isinstance(found, dict) else {}


def _layer(name, config, args) -> Made:
    if name == "GetItem":
        return part(args[1], _config(args[0]).get("shape")) if len(args) == 2 else None
    numbers = [value for value in args if isinstance(value, Real)]
    if any(abs(value) > sys.float_info.max for value in numbers):  # JSON has integers of any length
        return None
    if len(args) == 2 and len(numbers) == 1:
        return with_number(name, float(numbers[0]), comes_first=isinstance(args[0], Real))
    arrays = [array_in(value) for value in args]
    if len(args) == 2 and (arrays[0] is None) != (arrays[1] is None):
        return _with_array(name, arrays, _config(args[arrays[0] is not None]).get("shape"))
    if len(args) != 1 or numbers:
        return None
    if name in _FUNCTIONS:
        return known_function(name)
    if name in _WITH_ARGUMENTS:
        class_name, names = _WITH_ARGUMENTS[name]
        given = {new: config[old] for old, new in names.items() if old in config}
        if name != "Clip" and None in given.values():  # as of a softmax over all numbers of all samples
            raise FileFormatError(
                f"function {brief(config.get('name'))} ({name}): there is no layer that does the same without the "
                f"arguments that are null. Received: {given}"
            )
        return class_name, _DEFAULTS.get(name, {}) | given
    return rearranged(name, config) or of_axes(name, config, _config(args[0]).get("shape"))


def array_in(value: object) -> np.ndarray | None:
    """The array that stands in the place of a tensor; None for anything else."""
    if not isinstance(value, dict) or value.get("class_name") not in ("__numpy__", "__tensor__"):
        return None
    with suppress(ValueError):  # lists of unequal lengths
        array = np.asarray(_config(value).get("value"))
        if array.dtype.kind in "fiub" and array.size:
            return array.astype(np.float64)
    return None


def _with_array(name, arrays, shape) -> Made:
    """An operation on a tensor of this shape and an array, which has no axis of samples, or one of size 1."""
    comes_first = arrays[1] is None
    array = arrays[0] if comes_first else arrays[1]
    if isinstance(shape, list) and array.ndim == len(shape) and len(array) == 1:
        array = array[0]
    if not isinstance(shape, list) or array.ndim >= len(shape):
        return None
    made = with_number(name, array, comes_first) if name not in ("Maximum", "Minimum", "Power") else None
    if made is None or made[0] != "Rescaling":
        return None
    return "Rescaling", {key: np.asarray(value).tolist() for key, value in made[1].items()}


def known_function(name: str) -> Made:
    """A function of one tensor without arguments."""
    return _FUNCTIONS.get(name)


def with_number(name: str, number: Any, comes_first: bool) -> Made:
    """An operation on a tensor and a number, or an array of them."""
    scaled = {
        "Add": (1.0, number),
        "Subtract": (-1.0, number) if comes_first else (1.0, -number),
        "Multiply": (number, 0.0),
    }
    if name in ("Divide", "TrueDivide") and not comes_first and np.all(number):
        scaled[name] = (1 / number, 0.0)
    if name in scaled:
        return "Rescaling", {"scale": scaled[name][0], "offset": scaled[name][1]}
    if name == "Power" and not comes_first:
        return "Elementary", {"function": "power", "exponent": number}
    if name in ("Divide", "TrueDivide") and np.ndim(number) == 0 and number == 1:
        return "Elementary", {"function": "power", "exponent": -1.0}
    return {"Maximum": ("Clip", {"minimum": number}), "Minimum": ("Clip", {"maximum": number})}.get(name)


def rearranged(name: str, config: Config) -> Made:
    """What moves numbers, and keeps samples apart."""
    shape = config.get("newshape" if name == "Reshape" else "axes")
    if not isinstance(shape, list) or len(shape) < 2 or not all(map(is_integer, shape[1:])):
        return None
    if name == "Reshape" and shape[0] in (-1, None) and -1 not in shape[1:]:
        return "Reshape", {"target_shape": shape[1:]}
    return ("Permute", {"dims": shape[1:]}) if name == "Transpose" and shape[0] == 0 else None


def of_axes(name: str, config: Config, shape: object) -> Made:
    """Sums, means and maxima over axes of each sample; `shape` is the tensor's, with the batch axis, if it is known."""
    axis, keepdims = config.get("axis"), bool(config.get("keepdims", False))
    axes = axis if isinstance(axis, list) else [axis]
    if not all(map(is_integer, axes)):
        return None
    if name in ("Mean", "Sum"):
        return "Reduce", {"operation": name.lower(), "axis": axis, "keepdims": keepdims}
    if name != "Max" or config.get("initial") is not None or not isinstance(shape, list):
        return None
    whole = {3: ([1], "GlobalMaxPooling1D"), 4: ([1, 2], "GlobalMaxPooling2D")}.get(len(shape))
    return (whole[1], {"keepdims": keepdims}) if whole is not None and axes == whole[0] else None


def part(spec: object, shape: object) -> Made:
    """A part by indices, as Keras 2 and 3 write them; one ellipsis may stand for axes that are taken whole."""
    if not isinstance(spec, list):
        return None
    keys: list[Any] = []
    has_ellipsis = False
    for index in spec:
        class_name, bounds = (index.get("class_name"), _config(index) or index) if isinstance(index, dict) else ("", {})
        if index is None or is_integer(index):  # None is a new axis
            keys.append(index)
        elif class_name == "__ellipsis__" and isinstance(shape, list) and not has_ellipsis:
            has_ellipsis = True
            keys += [[None, None, None]] * (len(shape) + 1 - sum(other is not None for other in spec))
        elif {"start", "stop", "step"} <= bounds.keys():
            keys.append([bounds["start"], bounds["stop"], bounds["step"]])
        else:
            return None
    return ("GetItem", {"key": keys[1:]}) if keys and keys[0] == [None, None, None] else None
