"""``keras.optimizers.schedules``."""

from minicnn.keras._names import lookup, public_names
from minicnn.optimizers import schedules as _core

__getattr__ = lookup(
    __name__,
    ["minicnn.optimizers.schedules"],
    names={"serialize": "minicnn.registry.to_plain", "deserialize": "minicnn.optimizers.schedules.get"},
)
__all__ = sorted(public_names(_core))
