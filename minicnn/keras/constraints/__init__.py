"""``keras.constraints``."""

from minicnn import constraints as _core
from minicnn.keras._names import lookup

__getattr__ = lookup(__name__, ["minicnn.constraints"], names={"deserialize": "minicnn.constraints.get"})
__all__ = sorted(_core.__all__)
