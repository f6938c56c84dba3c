"""``K.variable(…)``, and what is computed of it: beside a model's tensors both follow what it is assigned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.keras._own_metrics import Variable

_LONGEST = 100  # operations: formulas have fewer, and a sum that a loop adds up, which stays, would keep all its parts


class Computed(EagerArray):
    """Numbers that operators made of variables: of their values now, and anew for what follows them."""

    again: Callable[[], Any] | None = None  # of what is made of this array otherwise, as a copy, None: it stays
    sources: tuple[Any, ...] = ()
    length: int = 0  # how many operations `again` comes down to, or would

    def follow(self, take_over: Callable[[np.ndarray], object]) -> None:
        """Have `take_over` called with the array whenever one of the variables is assigned to."""
        for source in self.sources:
            source.follow(lambda _: take_over(_now(self)))

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.again, self.sources = None, ()  # what is written into an array is made of no variable

    def __round__(self, digits: int | None = None) -> Any:  # as of NumPy's numbers
        return round(self.view(np.ndarray)[()], digits)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _computed(ufunc, method, inputs, kwargs)


class Settable(Variable):
    """What ``K.variable(…)`` makes."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _computed(ufunc, method, inputs, kwargs)

    def __getitem__(self, key: Any) -> Any:
        return _followed(lambda _: self.value[key].copy(), [self])


_KEPT = (bool, int, float, complex, np.generic, Settable, Computed)  # whose own types NumPy goes by


def _computed(ufunc, method, inputs, kwargs):
    """What one of NumPy's functions gives; what has rules of its own for these, as a model's tensors, is asked."""
    if any(map(_has_rules, inputs)):
        return NotImplemented
    if method == "__call__" and not kwargs and ufunc.nout == 1:
        kept = [x if isinstance(x, _KEPT) else np.array(x) for x in inputs]  # a user's array may change
        return _followed(lambda value_of: ufunc(*map(value_of, kept)), kept)
    results = {name: tuple(map(_plain, value)) if name == "out" else value for name, value in kwargs.items()}
    return getattr(ufunc, method)(*map(_plain, inputs), **results)


def _has_rules(x):
    return hasattr(type(x), "__array_ufunc__") and not isinstance(x, np.ndarray | np.generic | Settable)


def _followed(make, inputs):
    """What `make` gives with the inputs' values now, and anew with those that they have by then."""
    made, sources = np.asarray(make(_plain)).view(Computed), [x for x in inputs if isinstance(x, Settable | Computed)]
    made.length = min(1 + sum(getattr(source, "length", 0) for source in sources), _LONGEST + 1)
    if made.length <= _LONGEST:
        made.again, made.sources = (lambda: make(_now)), tuple(sources)
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
