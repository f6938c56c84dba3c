"""``keras.activations``."""

from minicnn import activations as _core
from minicnn.keras._names import lookup

__getattr__ = lookup(__name__, ["minicnn.activations"], names={"deserialize": "minicnn.activations.get"})
__all__ = sorted(_core.__all__)
