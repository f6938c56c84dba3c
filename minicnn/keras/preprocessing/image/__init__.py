"""``keras.preprocessing.image``."""

from minicnn import images as _core
from minicnn.keras._names import lookup

__getattr__ = lookup(__name__, ["minicnn.images"], names={"DirectoryIterator": "minicnn.images.FileIterator"})
__all__ = sorted({*_core.__all__, "DirectoryIterator"})
