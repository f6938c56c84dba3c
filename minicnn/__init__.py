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
    "get_num_threads": "minicnn.threads",
    "gradcheck": "minicnn.gradient_check",
    "import_onnx": "minicnn.onnx",
    "load_model": "minicnn.models",
    "set_backend": "minicnn.backends",
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
    "optimizers",
    "random",
    "regularizers",
    "testing",
    "utils",
    "visualization",
)

__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name):
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    if name in _MODULES:
        return import_module(f"minicnn.{name}")
    raise AttributeError(f"module 'minicnn' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
