"""``keras.preprocessing``."""

from minicnn.keras._names import lookup
from minicnn.keras._starred import starred

_MODULES = ("image", "sequence", "text")

_NAMES = {
    "image_dataset_from_directory": "minicnn.keras.utils",
    "timeseries_dataset_from_array": "minicnn.keras.utils._timeseries",
}

__getattr__ = lookup(__name__, modules=_MODULES, names=_NAMES)
__all__ = sorted(_MODULES)
__all__ += starred(__name__)
