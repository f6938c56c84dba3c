"""Functions on arrays, as NumPy computes them, and on a model's tensors, as layers: so that they are differentiated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn import activations, layers
from minicnn.differentiation import Recorded, value_of
from minicnn.graph import Tensor
from minicnn.keras._names import NotInMinicnn
from minicnn.settings import floatx

NUMPY = (
    *("abs", "absolute", "all", "any", "arange", "argmax", "argmin", "argsort", "array", "ceil", "clip", "concatenate"),
    *(
        "cos",
        "cumsum",
        "diag",
        "divide",
        "dot",
        "equal",
        "exp",
        "expand_dims",
        "eye",
        "flip",
        "floor",
        "full",
        "greater",
    ),
    *(
        "greater_equal",
        "isfinite",
        "isinf",
        "isnan",
        "less",
        "less_equal",
        "linspace",
        "log",
        "log1p",
        "log10",
        "matmul",
    ),
    *("maximum", "mean", "median", "minimum", "moveaxis", "multiply", "not_equal", "ones", "ones_like", "pad", "power"),
    *("prod", "repeat", "reshape", "round", "sign", "sin", "sort", "sqrt", "square", "squeeze", "stack", "std"),
    *("subtract", "sum", "swapaxes", "tan", "tanh", "tile", "transpose", "var", "where", "zeros", "zeros_like"),
    *("logical_and", "logical_or", "logical_not", "max", "min", "add", "negative", "unique", "reciprocal", "outer"),
)
_RENAMED = {"max": "max", "min": "min", "abs": "absolute"}
ACTIVATIONS = (
    *("relu", "sigmoid", "softmax", "tanh", "elu", "selu", "gelu", "silu", "softplus", "softsign", "leaky_relu", "exp"),
    *("relu6", "hard_sigmoid", "hard_swish", "hard_silu", "mish", "log_softmax", "square", "sqrt", "abs", "log", "sin"),
    *("cos", "log_sigmoid", "exponential", "reciprocal", "negative", "sign"),
)
_MERGES = {
    "add": "Add",
    "subtract": "Subtract",
    "multiply": "Multiply",
    "maximum": "Maximum",
    "minimum": "Minimum",
}
_WITH_OPTIONS = {  # function → layer, and what it calls the arguments behind x
    "relu": ("ReLU", "negative_slope", "max_value", "threshold"),
    "leaky_relu": ("LeakyReLU", "negative_slope"),
    "elu": ("ELU", "alpha"),
}
_POOLINGS = {"mean": "GlobalAveragePooling", "max": "GlobalMaxPooling"}
_REDUCTIONS = ("mean", "max", "min", "sum", "var", "std")


def is_symbolic(x: object) -> bool:
    """Whether `x` is, or holds, a tensor of a model."""
    return isinstance(x, Tensor) or (isinstance(x, list | tuple) and any(isinstance(part, Tensor) for part in x))


is_keras_tensor = is_symbolic


def either(name: str) -> Callable[..., Any]:
    """The function `name`, of arrays or of tensors."""
    on_arrays = getattr(np, _RENAMED.get(name, name), None) or _activation_of_arrays(name)

    def function(*args: Any, **kwargs: Any) -> Any:
        if any(is_symbolic(a) for a in (*args, *kwargs.values())):
            return _of_tensors(name, *args, **kwargs)
        if "keepdims" in kwargs and kwargs["keepdims"] is None:
            del kwargs["keepdims"]
        return on_arrays(*args, **kwargs)

    def function_(*args: Any, **kwargs: Any) -> Any:
        if name in _FORMULAS and args and isinstance(args[0], Recorded):
            return _FORMULAS[name](*args, **kwargs)
        return function(*args, **kwargs)

    function_.__name__ = function.__name__ = name
    function_.__doc__ = function.__doc__ = f"``{name}`` of arrays, as NumPy computes it, or of a model's tensors."
    return function_


def _activation_of_arrays(name):
    return lambda x, *args, **kwargs: getattr(activations, name)(np.asarray(x), *args, **kwargs)


def _of_tensors(name, *args, **kwargs):
    if name in _MERGES and len(args) == 2:
        return _merged(name, *args)
    if name == "divide" and not is_symbolic(args[1]):
        return args[0] / args[1]
    if name == "concatenate":
        return layers.Concatenate(axis=kwargs.get("axis", args[1] if len(args) > 1 else 0))(list(args[0]))
    if name == "reshape":
        shape = args[1] if len(args) > 1 else kwargs["newshape" if "newshape" in kwargs else "shape"]
        return layers.Reshape(tuple(shape)[1:])(args[0])
    if name == "transpose":
        axes = args[1] if len(args) > 1 else kwargs.get("axes")
        if not axes or axes[0] != 0:
            raise ValueError(f"a model's tensor keeps its batch axis in front. Received: axes={axes}")
        return layers.Permute(tuple(axes[1:]))(args[0])
    if name in _REDUCTIONS:
        return _reduced(name, *args, **kwargs)
    if name in _WITH_OPTIONS and len(args) + len(kwargs) > 1:
        class_name, *order = _WITH_OPTIONS[name]
        config = {**dict(zip(order, args[1:], strict=False)), **kwargs}
        return layers.get({"class_name": class_name, "config": config})(args[0])
    if name == "softmax":
        axis = kwargs.get("axis", args[1] if len(args) > 1 else -1)
        return layers.Softmax(axis=axis)(args[0])
    if name in ACTIVATIONS:
        if len(args) + len(kwargs) > 1 and kwargs not in ({"approximate": False}, {"axis": -1}):
            raise NotInMinicnn(
                f"keras.ops.{name} of a model's tensor takes no options. Received: {args[1:]}, {kwargs}", name=name
            )
        return layers.Activation({"exp": "exponential"}.get(name, name))(args[0])
    raise NotInMinicnn(
        f"keras.ops.{name} works on arrays here, not on a model's tensors: write a layer of your own, see "
        "docs/adding_a_layer.md",
        name=name,
    )


def _merged(name, first, second):
    if is_symbolic(first) and is_symbolic(second):
        return getattr(layers, _MERGES[name])()([first, second])
    operations = {"add": "__add__", "subtract": "__sub__", "multiply": "__mul__"}
    if name in operations and isinstance(first, Tensor):
        return getattr(first, operations[name])(second)
    if name in operations:
        return {"add": second.__radd__, "subtract": second.__rsub__, "multiply": second.__rmul__}[name](first)
    raise NotInMinicnn(f"keras.ops.{name} of a model's tensor and a number is not there: use two tensors", name=name)


def _reduced(name, x, axis=None, keepdims=False):
    """A mean, sum or extreme over axes of a model's tensor; over all places of an image it is a pooling."""
    axes = tuple(sorted(a % len(x.shape) for a in ((axis,) if isinstance(axis, int) else axis or ())))
    if not axes or axes[0] == 0:
        raise NotInMinicnn(
            f"keras.ops.{name} of a model's tensor keeps the samples apart: axis=-1, axis=(1, 2) and the like. "
            f"Received: {axis}",
            name=name,
        )
    if name in _POOLINGS and axes == tuple(range(1, len(x.shape) - 1)):
        return getattr(layers, f"{_POOLINGS[name]}{len(axes)}D")(keepdims=keepdims)(x)
    on_arrays = getattr(np, _RENAMED.get(name, name))
    return layers.Lambda(lambda t: on_arrays(t, axis=axes, keepdims=bool(keepdims)))(x)


def cast(x: Any, dtype: Any) -> Any:
    """x in another dtype; a model's tensors have its dtype already."""
    if is_symbolic(x):
        return x
    return (x if isinstance(x, Recorded) else np.asarray(x)).astype(_dtype(dtype))


def convert_to_tensor(x: Any, dtype: Any = None, sparse: None = None) -> Any:
    """x as an array."""
    if is_symbolic(x) or isinstance(x, Recorded):
        return x
    return np.asarray(x, None if dtype is None else _dtype(dtype))


def convert_to_numpy(x: Any) -> np.ndarray:
    """x as an array."""
    return np.asarray(x)


def shape(x: Any) -> tuple[int | None, ...]:
    """The shape; of a model's tensor with None for the batch."""
    return tuple(x.shape) if isinstance(x, Tensor) else np.shape(x)


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None) -> np.ndarray:
    """Rows with a 1 at the place of each class; all 0 for a class that is outside."""
    rows = np.asarray(x)[..., None] == np.arange(num_classes)
    return np.moveaxis(rows.astype(_dtype(dtype or floatx())), -1, axis)


def logsumexp(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> np.ndarray:
    """log of the sum of exp(x), without overflow."""
    x = x if isinstance(x, Recorded) else np.asarray(x)
    greatest = np.max(value_of(x), axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(x - greatest), axis=axis, keepdims=True)) + greatest
    return total if keepdims else np.squeeze(total, tuple(range(x.ndim)) if axis is None else axis)


def _recorded_softmax(x, axis=-1):
    powers = np.exp(x - np.max(value_of(x), axis=axis, keepdims=True))
    return powers / np.sum(powers, axis=axis, keepdims=True)


def _recorded_relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    y = np.where(value_of(x) > threshold, x, (x - threshold) * negative_slope)
    return y if max_value is None else np.minimum(y, max_value)


_FORMULAS: dict[str, Callable[..., Any]] = {  # of recorded arrays, whose gradient is asked for
    "relu": _recorded_relu,
    "leaky_relu": lambda x, negative_slope=0.2: _recorded_relu(x, negative_slope),
    "relu6": lambda x: _recorded_relu(x, max_value=6.0),
    "sigmoid": lambda x: (1 + np.tanh(x * 0.5)) * 0.5,
    "softmax": _recorded_softmax,
    "log_softmax": lambda x, axis=-1: x - logsumexp(x, axis, keepdims=True),
    "elu": lambda x, alpha=1.0: np.where(value_of(x) > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x * (1 + np.tanh(x * 0.5)) * 0.5,
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "log_sigmoid": lambda x: -np.logaddexp(-x, 0.0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "exponential": np.exp,
    "mish": lambda x: x * np.tanh(np.logaddexp(x, 0.0)),
    "gelu": lambda x, approximate=True: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """−t · log p − (1 − t) · log (1 − p), number by number; p is clipped to [1e-7, 1 − 1e-7]."""
    if from_logits:
        return np.maximum(output, 0) - output * target + np.log1p(np.exp(-np.abs(output)))
    p = np.clip(output, 1e-7, 1 - 1e-7)
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """−Σ t · log p over the classes; probabilities are divided by their sum, and clipped to [1e-7, 1 − 1e-7]."""
    if from_logits:
        return -np.sum(target * (output - logsumexp(output, axis, keepdims=True)), axis=axis)
    p = np.clip(output / np.sum(output, axis=axis, keepdims=True), 1e-7, 1 - 1e-7)
    return -np.sum(target * np.log(p), axis=axis)


def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """−log p of the class."""
    numbers = np.asarray(target).astype(int)
    numbers = numbers[..., 0] if numbers.ndim == output.ndim else numbers
    return categorical_crossentropy(one_hot(numbers, output.shape[axis], axis), output, from_logits, axis)


def _dtype(dtype):
    return {"bfloat16": "float32"}.get(dtype, dtype) if isinstance(dtype, str) else dtype
