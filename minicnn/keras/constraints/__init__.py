"""``keras.constraints``."""

from minicnn import constraints as _core
from minicnn.keras._names import lookup, public_names

__getattr__ = lookup(__name__, ["minicnn.constraints"], names={"deserialize": "minicnn.constraints.get"})
__all__ = sorted(public_names(_core))
