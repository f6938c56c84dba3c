"""``keras.metrics``."""

from minicnn import metrics as _core
from minicnn.keras import _own_parts
from minicnn.keras._names import lookup, public_names

Metric = _own_parts.Metric

__getattr__ = lookup(__name__, ["minicnn.metrics"], names={"deserialize": "minicnn.metrics.get"})
__all__ = sorted(public_names(_core))
