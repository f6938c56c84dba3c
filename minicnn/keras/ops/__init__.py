"""``keras.ops``: functions on arrays, and on a model's tensors."""

from importlib import import_module
from typing import Any

from minicnn import activations
from minicnn.keras import _operations
from minicnn.keras._names import lookup
from minicnn.keras._numbered_samples import numbering, with_open_sizes
from minicnn.keras._operations import convert_to_numpy, gelu, is_keras_tensor, shape
from minicnn.keras._result_dtypes import KEPT, in_kerass_dtype
from minicnn.keras._result_types import of_eager_arrays
from minicnn.keras._starred import starred
from minicnn.keras.ops._of_lists import of_lists
from minicnn.layers.activations import stands_for

_FUNCTIONS = {name: _operations.either(name) for name in (*_operations.NUMPY, *_operations.ACTIVATIONS)}
_FUNCTIONS |= {name: in_kerass_dtype(_FUNCTIONS[name], name) for name in {*_FUNCTIONS} - KEPT}
_FUNCTIONS["gelu"] = in_kerass_dtype(gelu, "gelu")  # whose default is another one than the layer's
_FUNCTIONS |= {name: getattr(_operations, name) for name in ("cast", "convert_to_tensor", "logsumexp", "pad", "rsqrt")}
_FUNCTIONS["empty"] = _FUNCTIONS["zeros"]  # as Keras has it on TensorFlow
_FUNCTIONS = {name: of_lists(name, of_eager_arrays(function)) for name, function in _FUNCTIONS.items()}
_FUNCTIONS["arange"] = numbering(_FUNCTIONS["arange"])
_FUNCTIONS |= {name: with_open_sizes(_FUNCTIONS[name]) for name in ("empty", "full", "ones", "zeros")}
globals().update(_FUNCTIONS)
stands_for(*(_FUNCTIONS[n] for n in _operations.ACTIVATIONS if n in activations.__all__ and n != "gelu"))

_find = lookup(__name__)
_WINDOWS = (
    "adaptive_average_pool",
    "adaptive_max_pool",
    "average_pool",
    "conv",
    "conv_transpose",
    "depthwise_conv",
    "max_pool",
    "separable_conv",
)
_SAME = {"amax": "max", "amin": "min", "empty_like": "zeros_like", "conj": "array", "conjugate": "array"}
_SAME |= {"swish": "silu", "real": "array"}
_PARTS = ("core", "linalg", "math", "nn", "numpy")  # modules of Keras's, whose names are all here


def __getattr__(name: str) -> Any:
    for further in ("_further.FURTHER", "_rare.RARE", "_arranged.ARRANGED", "_attention.ATTENTION"):
        place, _, table = further.partition(".")
        if name in (found := getattr(import_module(f"{__name__}.{place}"), table)):
            return globals().setdefault(name, of_lists(name, of_eager_arrays(found[name])))
    if name in ("fft", "fft2", "ifft2", "irfft", "rfft"):
        return globals().setdefault(name, of_eager_arrays(import_module(f"{__name__}._fourier").FOURIER[name]))
    if name == "custom_gradient":
        return import_module("minicnn.keras._custom_gradient").custom_gradient
    if name in _SAME:
        found = _operations.entering(globals()[_SAME[name]], name)
        if _SAME[name] == "array":
            found = import_module(f"{__name__}._rare").of_complex(name, found)
        return of_lists(name, of_eager_arrays(found))
    if name in _WINDOWS:
        window = _operations.entering(getattr(import_module(f"{__name__}._windows"), name))
        return globals().setdefault(name, of_eager_arrays(window))
    if name in _PARTS:
        return import_module(__name__)
    return import_module(f"{__name__}.image") if name == "image" else _find(name)


__all__ = ["convert_to_numpy", "is_keras_tensor", "one_hot", "shape"]
__all__ += ["binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"]
__all__ += sorted(_FUNCTIONS)
__all__ += starred(__name__)
