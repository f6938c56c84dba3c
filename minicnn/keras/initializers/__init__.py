"""``keras.initializers``."""

from minicnn import initializers as _core
from minicnn.keras._names import lookup

__getattr__ = lookup(__name__, ["minicnn.initializers"], names={"deserialize": "minicnn.initializers.get"})
__all__ = sorted(_core.__all__)
