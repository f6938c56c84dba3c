"""``keras.metrics``."""

from minicnn import metrics as _core
from minicnn.keras import _own_parts
from minicnn.keras._names import lookup, public_names
from minicnn.keras._of_tensors import FORMULAS, of_anything

Metric = _own_parts.Metric

_NAMES = {
    "serialize": "minicnn.registry.to_plain",
    "get": "minicnn.metrics",
    "deserialize": "minicnn.metrics.get",
    **dict.fromkeys(
        ("binary_focal_crossentropy", "categorical_focal_crossentropy", "huber", "log_cosh"), "minicnn.losses"
    ),
}
__getattr__ = lookup(__name__, ["minicnn.metrics"], names=_NAMES)
globals().update({name: of_anything(name, getattr(_core, name)) for name in FORMULAS})
__all__ = sorted(public_names(_core))
