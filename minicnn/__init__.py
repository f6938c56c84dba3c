"""minicnn: small convolutional networks, with Keras's names, that train fast on a CPU.

``import minicnn as mc`` is light: NumPy is all it needs; every other part is imported when it is first used.
"""

from importlib import import_module

__version__ = "0.1.0"

_NAMES = {
    "Input": "minicnn.layers",
    "Model": "minicnn.models",
    "Sequential": "minicnn.models",
    "export_html": "minicnn.page",
    "export_onnx": "minicnn.onnx",
    "get_float32_precision": "minicnn.precision",
    "get_num_threads": "minicnn.threads",
    "gradcheck": "minicnn.gradient_check",
    "help": "minicnn.documentation",
    "import_onnx": "minicnn.onnx",
    "load_model": "minicnn.models",
    "set_backend": "minicnn.backends",
    "set_float32_precision": "minicnn.precision",
    "set_num_threads": "minicnn.threads",
    "warmup": "minicnn.models",
}
_MODULES = (
    "activations",
    "backends",
    "callbacks",
    "constraints",
    "data",
    "datasets",
    "distribution",
    "errors",
    "functional",
    "geometry",
    "images",
    "initializers",
    "keras",
    "layers",
    "losses",
    "metrics",
    "models",
    "networks",
    "optimizers",
    "random",
    "regularizers",
    "sklearn",
    "testing",
    "utils",
    "visualization",
)
_OF_TENSORFLOW = (  # what scripts with ``import minicnn as tf`` ask for besides
    *("Variable", "argmax", "cast", "compat", "concat", "config", "constant", "convert_to_tensor", "device", "exp"),
    *("expand_dims", "float32", "function", "GradientTape", "image", "io", "linalg", "math", "nn", "one_hot", "range"),
    *("reduce_max", "reduce_mean", "reduce_sum", "reshape", "Session", "shape", "sqrt", "square", "stack", "train"),
    *("ConfigProto", "tensor", "transpose", "where", "zeros", "ones", "saved_model", "lite", "get_logger", "is_tensor"),
)

__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name):
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    if name in _MODULES:
        return import_module(f"minicnn.{name}")
    hint = ": of TensorFlow it has keras and data; more is in: from minicnn.keras import tensorflow as tf"
    hint = hint if name in _OF_TENSORFLOW else ""
    raise AttributeError(f"module 'minicnn' has no attribute {name!r}{hint}{_of_pytorch(name)}")


def _of_pytorch(name):
    """What to take in the place of a name of PyTorch, to end a message with."""
    return import_module("minicnn.pytorch_names").package_advice(name)


def __dir__():
    return sorted(__all__)
