"""``K.variable(…)``, and what is computed of it: beside a model's tensors both follow what it is assigned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.keras._own_metrics import Variable

_NUMBERS = (bool, int, float, np.number, np.bool_, np.ndarray)


class Computed(EagerArray):
    """Numbers that operators made of variables: of their values now, and anew for what follows them."""

    again: Callable[[], Any] | None = None  # of what is made of this array otherwise, as a copy, None: it stays
    sources: tuple[Any, ...] = ()

    def follow(self, take_over: Callable[[np.ndarray], object]) -> None:
        """Have `take_over` called with the array whenever one of the variables is assigned to."""
        for source in self.sources:
            source.follow(lambda _: take_over(_now(self)))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _computed(ufunc, method, inputs, kwargs)


class Settable(Variable):
    """What ``K.variable(…)`` makes."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _computed(ufunc, method, inputs, kwargs)

    def __getitem__(self, key: Any) -> Any:
        return _followed(self.value[key].copy(), lambda: self.value[key].copy(), [self])


def _computed(ufunc, method, inputs, kwargs):
    """What one of NumPy's functions gives; arrays of other kinds, as a model's tensors, have their own."""
    if not all(isinstance(x, (*_NUMBERS, Settable)) for x in inputs):
        return NotImplemented
    if method == "__call__" and not kwargs and ufunc.nout == 1:
        sources = [x for x in inputs if isinstance(x, Settable | Computed)]
        return _followed(ufunc(*map(_plain, inputs)), lambda: ufunc(*map(_now, inputs)), sources)
    results = {name: tuple(map(_plain, value)) if name == "out" else value for name, value in kwargs.items()}
    return getattr(ufunc, method)(*map(_plain, inputs), **results)


def _followed(value, again, sources):
    made = np.asarray(value).view(Computed)
    made.again, made.sources = again, tuple(sources)
    return made


def _now(x):
    """What it is made of the values that the variables have by now."""
    again = getattr(x, "again", None)
    return again() if again is not None else _plain(x)


def _plain(x):
    """An array of NumPy's own class, or a number."""
    if isinstance(x, Settable):
        return x.value
    return x.view(np.ndarray) if isinstance(x, Computed) else x
