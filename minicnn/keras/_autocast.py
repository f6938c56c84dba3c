"""Keras's `autocast` of a layer: whether its inputs are cast to what it computes in."""

from typing import Any


class Autocast:
    """A base of layers that may be told to leave their inputs as they are."""

    dtype_policy: Any
    variable_dtype: str

    @property
    def autocast(self) -> bool:
        """Whether inputs are cast to `compute_dtype`; False has a layer of a mixed policy compute in float32."""
        return not vars(self).get("_keeps_inputs", False)

    @autocast.setter
    def autocast(self, is_cast: bool) -> None:
        vars(self)["_keeps_inputs"] = not is_cast
        if not is_cast and self.dtype_policy.is_mixed:
            vars(self)["_casting"], self.dtype_policy = self.dtype_policy, self.variable_dtype
        elif is_cast and "_casting" in vars(self):
            self.dtype_policy = vars(self).pop("_casting")
