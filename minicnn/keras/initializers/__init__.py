"""``keras.initializers``."""

from minicnn import initializers as _core
from minicnn.keras._names import lookup, public_names

__getattr__ = lookup(__name__, ["minicnn.initializers"], names={"deserialize": "minicnn.initializers.get"})
__all__ = sorted(public_names(_core))
