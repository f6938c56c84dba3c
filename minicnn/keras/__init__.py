"""Keras's names, those of today and those that older versions had: a notebook is ported by its imports.

``from tensorflow.keras import layers`` becomes ``from minicnn.keras import layers``. The classes are minicnn's own, or
subclasses that translate what Keras 1 and 2 called their arguments; what is dropped in today's Keras says so once, with
the name of today. Nothing else in minicnn imports this package, and files carry the names of minicnn's own classes.
"""

from minicnn.keras import _names, _paths

__version__ = "3.15.1"  # of the Keras whose names these are

_MODULES = (
    *("activations", "applications", "backend", "callbacks", "config", "constraints", "datasets", "distillation"),
    *(
        "distribution",
        "dtype_policies",
        "experimental",
        "initializers",
        "layers",
        "losses",
        "metrics",
        "mixed_precision",
        "models",
    ),
    *(
        "ops",
        "optimizers",
        "preprocessing",
        "random",
        "regularizers",
        "saving",
        "tensorflow",
        "tree",
        "utils",
        "wrappers",
    ),
)
_FROM = {
    "DTypePolicy": "minicnn.dtype_policies",
    "Input": "minicnn.keras.layers",
    "InputSpec": "minicnn.keras.layers",
    "KerasTensor": "minicnn.keras._keras_tensor.KerasTensor",
    "Layer": "minicnn.keras.layers",
    "Model": "minicnn.keras.models",
    "Sequential": "minicnn.keras.models",
    "Initializer": "minicnn.initializers",
    "Loss": "minicnn.keras.losses",
    "Metric": "minicnn.keras.metrics",
    "Optimizer": "minicnn.optimizers",
    "Regularizer": "minicnn.keras.regularizers",
    "Variable": "minicnn.keras._variables.KerasVariable",
    "device": "minicnn.keras.tensorflow",
    "name_scope": "minicnn.keras.backend",
    "version": "minicnn.keras.config._accepted",
}

_paths.install()
__getattr__ = _names.lookup(__name__, modules=_MODULES, names=_FROM)
__all__ = sorted({*_MODULES, *_FROM})


def __dir__():
    return __all__
