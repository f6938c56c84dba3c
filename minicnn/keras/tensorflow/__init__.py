"""What Keras scripts take from TensorFlow itself: ``from minicnn.keras import tensorflow as tf``.

``tf.keras`` and ``tf.data`` are `minicnn.keras` and `minicnn.data`; the functions are those of `keras.ops` under
TensorFlow's names, so that they take arrays, what a layer or a loss computes, and a model's tensors. Of arrays they
give arrays with ``.numpy()``. Names without a meaning here, as ``tf.saved_model``, are refused with one sentence.
"""

from __future__ import annotations

import logging as _logging
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import numpy as np

from minicnn.keras._dtypes import TextDtype
from minicnn.keras._missing import reason
from minicnn.keras._names import NoAttribute
from minicnn.keras.tensorflow import _arrays, _functions, _gradients

_KERAS = ("initializers", "losses", "optimizers")
_ELSEWHERE = {"keras": "minicnn.keras"} | {n: f"minicnn.keras.{n}" for n in _KERAS}
_MODULES = (
    *("app", "compat", "config", "distribute", "gfile", "image", "io", "linalg", "math", "metrics", "nn", "random"),
    *("audio", "bitwise", "data", "lookup", "quantization", "signal", "sparse", "strings", "summary", "test", "train"),
)
_OF_MODULES = {"add_n": "math", "ceil": "math", "SparseTensor": "sparse", "flags": "app"}  # that ``tf`` has too
_SESSIONS = ("ConfigProto", "GPUOptions", "InteractiveSession", "Session")  # of TensorFlow 1

_LITE = (
    'it writes no TensorFlow Lite. model.export("model.onnx", format="onnx") writes what runs on phones and boards, by '
    "onnxruntime, and what others turn into .tflite (onnx2tf)"
)
_INSTEAD = {  # names of TensorFlow that scripts end with
    "lite": _LITE,
    "saved_model": (
        'it writes and reads no SavedModel: model.save("model.keras") and keras.models.load_model, or for other '
        'programs model.export("model.onnx", format="onnx")'
    ),
    "bfloat16": (
        "arrays are float32, which tf.float32 says; keras.mixed_precision.set_global_policy('mixed_bfloat16') has "
        "models compute with it"
    ),
    "estimator": "a compiled model, and its fit and evaluate, are what an estimator was",
    **dict.fromkeys(
        ("RaggedTensor", "ragged"),
        "arrays have rows of one length: Dataset.padded_batch fills rows up, and pictures are resized to one size",
    ),
    "sets": "np.intersect1d, np.setdiff1d and np.union1d are those functions for one row of numbers",
    "feature_column": "columns of a table are arrays, which keras.Input and Concatenate take",
}
__version__ = "2.21.0"  # of the TensorFlow whose names these are
newaxis = None
bool = np.dtype("bool")
_NUMBERS = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
globals().update({name: np.dtype(name) for name in (*_NUMBERS, "complex64", "complex128")})
string, double, half = TextDtype(np.dtype(str)), np.dtype("float64"), np.dtype("float16")
globals().update(
    {name: getattr(module, name) for module in (_functions, _arrays, _gradients) for name in module.__all__}
)


def device(device_name: Any) -> Any:
    """A context that changes nothing: the backend says where a model computes."""
    return nullcontext()


def get_logger() -> _logging.Logger:
    """A logger, for scripts that make TensorFlow quiet."""
    return _logging.getLogger("tensorflow")


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        return import_module(_ELSEWHERE[name])
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    for module in ("_elements", "_settings", "_flow", "_of_1", "_complex"):
        if name in (found := import_module(f"{__name__}.{module}")).__all__:
            return getattr(found, name)
    if name == "reverse_sequence":
        return import_module(f"{__name__}._further_math").reverse_sequence
    for module in ("_further", "_added"):
        if name in (further := import_module(f"{__name__}.{module}").TOP):
            return further[name]
    if name in (of_1 := import_module(f"{__name__}._of_1")).TODAY:
        return of_1.of_today(name)
    if name in _OF_MODULES:
        return getattr(import_module(f"{__name__}.{_OF_MODULES[name]}"), name)
    if name in _SESSIONS:
        return getattr(import_module(f"{__name__}.compat"), name)
    if name.startswith("__"):
        raise AttributeError(name)
    raise NoAttribute(
        reason(name)
        or (name in _INSTEAD and f"minicnn has no tf.{name}: {_INSTEAD[name]}")
        or f"minicnn has no tf.{name}: of TensorFlow it has what Keras scripts ask for most; for other "
        "functions write NumPy's, or those of keras.ops",
        name=name,
    )


__all__ = [*_ELSEWHERE, *_MODULES, *_SESSIONS, *_functions.__all__, *_gradients.__all__, "device", "get_logger"]
__all__ += [*_NUMBERS, "bool", "newaxis", "string"]


def __dir__():
    return sorted(__all__)
