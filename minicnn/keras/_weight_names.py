"""Names of weights, in which scripts for Keras 1 and 2 look for a layer's: ``"dense_1" in weight.name``.

There a name was "dense_1/kernel:0"; today it is "kernel", and ``weight.path`` has the layer's.
"""

from __future__ import annotations

from typing import Any

from minicnn.keras._warning import warn_once
from minicnn.parameters import Weight


class WeightName(str):
    """A weight's name of today, which has in it what the older one had."""

    layer: str

    def __contains__(self, part: str) -> bool:
        if super().__contains__(part):
            return True
        is_older = part in f"{self.layer}/{self}:0"
        if is_older:
            warn_once(
                f"{part!r} in weight.name: names of weights, such as {self.layer}/{self}:0, had their layer's in Keras "
                f"1 and 2; today that is in weight.path"
            )
        return is_older

    def __reduce__(self) -> tuple[type, tuple[str]]:
        """Pickled and copied as text."""
        return str, (str(self),)


def _name(weight: Any) -> str:
    name, layer = vars(weight)["name"], getattr(vars(weight).get("layer"), "name", None)
    if layer is None or layer == name:  # a variable of no layer
        return name
    made = WeightName(name)
    made.layer = layer
    return made


def _set_name(weight: Any, name: str) -> None:
    vars(weight)["name"] = str(name)


Weight.name = property(_name, _set_name)  # type: ignore[assignment]
