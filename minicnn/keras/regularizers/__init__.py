"""``keras.regularizers``."""

from minicnn import regularizers as _core
from minicnn.keras._names import lookup, public_names

__getattr__ = lookup(__name__, ["minicnn.regularizers"], names={"deserialize": "minicnn.regularizers.get"})
__all__ = sorted(public_names(_core))
