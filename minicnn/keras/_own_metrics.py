"""Metrics as users write them for Keras: `update_state` with variables of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from minicnn import initializers, metrics
from minicnn.graph import Tensor
from minicnn.keras._translation import Translated
from minicnn.keras._whole_configs import complete, of_metric


class Variable(NDArrayOperatorsMixin):
    """A number or an array that a metric keeps.

    Parameters
    ----------
    value : array-like
    dtype : default float64
        In which it is kept.
    """

    name: str  # of those of metrics

    def __init__(self, value: Any, dtype: Any = np.float64) -> None:
        self.value: np.ndarray = np.array(value, dtype)
        self._followers: list[Callable[[np.ndarray], object]] = []

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)

    def assign(self, value: Any) -> None:
        """Set it."""
        self.value = np.broadcast_to(np.asarray(value, self.dtype), self.shape).copy()
        for take_over in self._followers:
            take_over(self.value)

    def follow(self, take_over: Callable[[np.ndarray], object]) -> None:
        """Have `take_over` called with the array whenever it is assigned to: by what computes with it in a model."""
        self._followers.append(take_over)

    def assign_add(self, value: Any) -> None:
        """Add to it."""
        self.assign(self.value + value)

    def assign_sub(self, value: Any) -> None:
        """Subtract from it."""
        self.assign(self.value - value)

    def numpy(self) -> np.ndarray:
        """A copy of the array; one number for shape ()."""
        return np.array(self.value)[()]

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return np.asarray(self.value, *args, **kwargs)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented  # a model's tensor makes a layer of it
        return getattr(ufunc, method)(*(x.value if isinstance(x, Variable) else x for x in inputs), **kwargs)

    def __getitem__(self, key: Any) -> np.ndarray:
        """The numbers at some places now, which later assignments do not change."""
        return self.value[key].copy()

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.value.copy())  # by __getitem__ alone, a single number would be an empty sequence

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)


for _operator in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    # `rate *= factor`, or `loss += K.sum(tensor)`, gives what `*` gives, and leaves the variable as it is, as in Keras.
    setattr(Variable, f"__i{_operator}__", getattr(Variable, f"__{_operator}__"))


def new_variable(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Variable:
    """What `add_weight` of a metric makes of its arguments."""
    order = ("name", "shape", "initializer") if not args or isinstance(args[0], str) else ("shape", "initializer")
    given = {**dict(zip(order, args, strict=False)), **kwargs}
    shape, initializer = tuple(given.get("shape", ())), given.get("initializer") or "zeros"
    variable = Variable(np.ones(shape) if initializer == "ones" else np.zeros(shape))
    if initializer not in ("zeros", "ones"):
        variable.assign(initializers.get(initializer)(shape))
    variable.name = given.get("name") or "variable"
    return variable


class Metric(metrics.Metric, metaclass=Translated):
    """Base of metrics of one's own: minicnn's `Metric`, or Keras's with `add_weight`, `update_state` and `result`."""

    core_class = metrics.Metric
    on_device = False
    get_config = complete(of_metric)(metrics.Metric.get_config)
    variables: list[Variable] = []  # noqa: RUF012 (in the place of a property; every metric gets a list of its own)

    def __init__(self, name: str | None = None, dtype: str | None = None, **options: Any) -> None:
        self.variables = []
        self._is_new = True  # a `reset_state` that is written for variables comes too early now
        super().__init__(name, dtype, **options)
        self._is_new = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "reset_states" in vars(cls) and "reset_state" not in vars(cls):  # its name in Keras 2
            cls.reset_state = vars(cls)["reset_states"]
        if "reset_state" in vars(cls):
            own = vars(cls)["reset_state"]
            cls.reset_state = lambda self: None if self._is_new else own(self)

    def add_weight(self, *args: Any, **kwargs: Any) -> Variable:
        """A variable that `reset_state` sets back to 0; arguments in the order of Keras 2 (name first) or 3."""
        variable = new_variable(args, kwargs)
        self.variables.append(variable)
        return variable

    add_variable = add_weight

    def reset_state(self) -> None:
        """Forget all batches."""
        super().reset_state()
        for variable in self.variables:
            variable.assign(0)
