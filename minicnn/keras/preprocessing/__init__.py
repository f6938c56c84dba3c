"""``keras.preprocessing``."""

from minicnn.keras._names import lookup
from minicnn.keras._starred import starred

_MODULES = ("image",)

__getattr__ = lookup(__name__, modules=_MODULES, names={"image_dataset_from_directory": "minicnn.keras.utils"})
__all__ = sorted(_MODULES)
__all__ += starred(__name__)
