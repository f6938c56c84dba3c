"""``keras.optimizers.schedules``."""

from typing import Any

from minicnn.keras._eager import eagerly
from minicnn.keras._names import lookup, public_names
from minicnn.keras._translation import translated
from minicnn.keras._whole_configs import complete, keeping_name, of_schedule
from minicnn.keras.saving._objects import reading
from minicnn.optimizers import schedules as _core

_found = lookup(
    __name__,
    ["minicnn.optimizers.schedules"],
    names={"serialize": "minicnn.keras.saving._objects.serialized"},
)
deserialize = reading(_core.get)
_eager: dict[type, Any] = {}


def __getattr__(name: str) -> Any:
    part = _found(name)
    is_schedule = isinstance(part, type) and issubclass(part, _core.LearningRateSchedule)
    if not is_schedule or part is _core.LearningRateSchedule:
        return part
    if part not in _eager:  # ``schedule(step).numpy()``, as scripts that draw a schedule write it
        own = {"__call__": eagerly(part.__call__), "get_config": complete(of_schedule)(part.get_config)}
        own["__init__"] = keeping_name(part.__init__)
        _eager[part] = translated(part, lambda args, kwargs: (args, kwargs), __name__, **own)
    return _eager[part]


__all__ = sorted({*public_names(_core), "deserialize", "serialize"})
