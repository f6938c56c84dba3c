"""What weights are brought to after every update. Classes have names in lower case too: ``max_norm(2)``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_number, is_integer, plain, real_array
from minicnn.errors import ShapeError
from minicnn.hints import Config
from minicnn.named_functions import FunctionName, entry_of, function_named
from minicnn.registry import Configurable, Register, Registry

EPSILON = 1e-7  # added to lengths that are divided by, as in Keras


class Constraint(Configurable):
    """Base class; a subclass writes `project`. This one leaves weights as they are."""

    def __call__(self, w: ArrayLike) -> np.ndarray:
        """The nearest allowed weight, an array like `w`, which is not changed."""
        w = w if hasattr(w, "astype") and hasattr(w, "copy") else real_array(w, "a weight")  # a GPU's array stays there
        w = w.copy() if w.dtype.kind == "f" else w.astype(np.float64)
        self.project(w.view(np.ndarray) if isinstance(w, np.ndarray) else w)  # as arrays that are changed in place
        return w

    def project(self, w: np.ndarray) -> None:
        """Bring a weight, an array of any shape, to what is allowed, in place."""


registry: Registry[Constraint] = Registry("constraint", Constraint)
register: Register = registry.register
__getattr__: Callable[[str], type[Constraint]] = registry.module_getattr(__name__)


def get(identifier: str | Constraint | type[Constraint] | Config | Callable[..., object] | None) -> Constraint | None:
    """A constraint from 'max_norm', an instance, a class, a config, or a function of the weight; None stays None.

    Parameters
    ----------
    identifier : str, Constraint, class, dict, function or None
        A name, an object, its class, or a configuration.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, for anything else.
    """
    if identifier is None:
        return None
    if callable(identifier) and not isinstance(identifier, type | Constraint):
        return FunctionConstraint(identifier)
    return registry.get(entry_of(identifier, "FunctionConstraint"))


@register
class FunctionConstraint(Constraint):
    """A function of the weight that returns the allowed one; files hold its name alone.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., object]):
        self.function: Callable[..., object] = function

    def project(self, w: np.ndarray) -> None:
        w[...] = self.function(w)

    def get_config(self) -> Config:
        """The function by its name."""
        return {"function": FunctionName(self.function)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A constraint from what `get_config` returned; the function comes from ``custom_objects=``.

        Raises
        ------
        ValueError
            If it is not there.
        """
        name = config["function"]
        if (function := function_named(name)) is None:
            raise ValueError(
                f"no file can hold a function, which the model has as a constraint: load_model(…, custom_objects="
                f"{{'{name}': {name}}}). Received: no function of this name"
            )
        return cls(function)


@register("non_neg", "nonneg")
class NonNeg(Constraint):
    """max(w, 0)."""

    def project(self, w: np.ndarray) -> None:
        np.maximum(w, 0, out=w)


class _Norm(Constraint):
    """Base of constraints on the lengths of a weight's rows.

    Parameters
    ----------
    axis : int or list of int, default 0
        The axes that a length goes over: 0 for dense kernels (inputs, units), (0, 1, 2) for those of convolutions.
    """

    axis: int | list[int]

    def _set_axis(self, axis):
        axis = plain(axis)
        axes = list(axis) if isinstance(axis, list | tuple) else [axis]
        if not all(map(is_integer, axes)):
            raise ValueError(
                "`axis` must be an integer or a list of them: 0 for dense kernels, [0, 1, 2] for those of "
                f"convolutions. Received: axis={axis!r}"
            )
        self.axis = [int(a) for a in axes] if isinstance(axis, list | tuple) else int(axis)

    def _lengths(self, w):
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        try:
            return np.sqrt((w * w).sum(axis=axis, keepdims=True))
        except ValueError as error:  # an AxisError, or an axis twice
            raise ShapeError(
                f"{type(self).__name__} takes lengths along axes that the weight has: {error}. "
                f"Received: axis={self.axis} for a weight of shape {w.shape}"
            ) from None


@register("max_norm", "maxnorm")
class MaxNorm(_Norm):
    """Rows longer than `max_value` are shortened to it (Srivastava et al.: "Dropout", 2014).

    Parameters
    ----------
    max_value : float, default 2
    axis : int or list of int, default 0
        The axes that a length goes over: 0 for dense kernels, (0, 1, 2) for those of convolutions.
    """

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0):
        self.max_value: float = check_number("max_value", max_value)
        self._set_axis(axis)

    def project(self, w: np.ndarray) -> None:
        lengths = self._lengths(w)
        w *= np.clip(lengths, 0, self.max_value) / (lengths + EPSILON)


@register("unit_norm", "unitnorm")
class UnitNorm(_Norm):
    """Rows have length 1.

    Parameters
    ----------
    axis : int or list of int, default 0
        The axes that a length goes over: 0 for dense kernels, (0, 1, 2) for those of convolutions.
    """

    def __init__(self, axis: int | Sequence[int] = 0):
        self._set_axis(axis)

    def project(self, w: np.ndarray) -> None:
        w /= self._lengths(w) + EPSILON


@register("min_max_norm", "minmax_norm")
class MinMaxNorm(_Norm):
    """Lengths of rows are moved, by the part `rate` of the way, to between `min_value` and `max_value`.

    Parameters
    ----------
    min_value, max_value : float, default 0 and 1
    rate : float from 0 to 1, default 1
    axis : int or list of int, default 0
        The axes that a length goes over: 0 for dense kernels, (0, 1, 2) for those of convolutions.
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: int | Sequence[int] = 0
    ):
        self.min_value: float = check_number("min_value", min_value)
        self.max_value: float = check_number("max_value", max_value, minimum=self.min_value)
        self.rate: float = check_number("rate", rate)
        self._set_axis(axis)

    def project(self, w: np.ndarray) -> None:
        lengths = self._lengths(w)
        wanted = self.rate * np.clip(lengths, self.min_value, self.max_value) + (1 - self.rate) * lengths
        w *= wanted / (lengths + EPSILON)
