"""``keras.activations``."""

from minicnn import activations as _core
from minicnn.keras._names import lookup, public_names

__getattr__ = lookup(__name__, ["minicnn.activations"], names={"deserialize": "minicnn.activations.get"})
__all__ = sorted(public_names(_core))
