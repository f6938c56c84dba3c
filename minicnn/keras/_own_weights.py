"""Weights of a layer made of layers, in its `call`, where they meet tensors of a model, which have no values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from minicnn.graph import Tensor
from minicnn.parameters import Weight


class OfWeights:
    """What is computed of a layer's weights: where it meets a model's tensor, it becomes a layer with these weights.

    Parameters
    ----------
    weights : dict of Weight
        By name.
    function : callable
        Gives the value for a dict of arrays in place of the weights.
    using : callable
        ``using(weights, function)`` makes the layer; `function` takes that dict and the tensors' arrays.
    """

    def __init__(
        self, weights: Mapping[str, Weight], function: Callable[..., Any], using: Callable[..., Callable[..., Any]]
    ) -> None:
        self._weights, self._function, self._using = weights, function, using
        example = function({name: w.numpy() for name, w in weights.items()})
        self.shape: tuple[int, ...] = np.shape(example)
        self.ndim: int = len(self.shape)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self._apply(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return self._apply(function, args, kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self._apply(operator.getitem, (self, key), {})

    def assign(self, value: Any) -> NoReturn:
        """Refused: a graph has no state but that of its layers."""
        raise TypeError(
            "a call that is made of layers is run once, for their graph, so that it assigns nothing: put the state "
            f"{list(self._weights)} into a layer of its own, whose call computes with arrays and may assign. "
            f"Received: assign({value!r})"
        )

    assign_add = assign_sub = assign

    def _apply(self, function, args, kwargs):
        """function(*args, **kwargs), of tensors among them if there are any, else of weights alone."""
        found = list(_parts((*args, *kwargs.values())))
        weights = {name: w for part in found if isinstance(part, OfWeights) for name, w in part._weights.items()}
        tensors = tensors_in(args, kwargs)

        def value(own, arrays=()):
            given = dict(zip(tensors, arrays, strict=True))

            def put(part):
                if isinstance(part, OfWeights):
                    return part._function(own)
                return given[part] if isinstance(part, Tensor) else part

            return with_parts(function, args, kwargs, put)

        if not tensors:
            return OfWeights(weights, value, self._using)
        return self._using(weights, value)(tensors if len(tensors) > 1 else tensors[0])


def tensors_in(args: Any, kwargs: Any) -> list[Tensor]:
    """The tensors of a model among arguments, and in lists of them, each once."""
    return list(dict.fromkeys(part for part in _parts((*args, *kwargs.values())) if isinstance(part, Tensor)))


def with_parts(function: Callable[..., Any], args: Any, kwargs: Any, put: Callable[[Any], Any]) -> Any:
    """``function(*args, **kwargs)`` with ``put(part)`` in the place of each argument and of each in lists of them."""

    def within(part):
        return type(part)(map(within, part)) if isinstance(part, list | tuple) else put(part)

    return function(*map(within, args), **{name: within(part) for name, part in kwargs.items()})


def _parts(values):
    """What is in lists, and in lists of them."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _parts(value)
        else:
            yield value


def _binary(function, reflected):
    if reflected:
        return lambda own, other: own._apply(function, (other, own), {})
    return lambda own, other: own._apply(function, (own, other), {})


for _name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
    setattr(OfWeights, f"__{_name}__", _binary(getattr(operator, _name), False))
    setattr(OfWeights, f"__r{_name}__", _binary(getattr(operator, _name), True))
OfWeights.__neg__ = lambda own: own._apply(operator.neg, (own,), {})  # type: ignore[attr-defined]


def applied(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The function of these arguments, if what is computed of weights is among them; None otherwise.

    Parameters
    ----------
    function : callable
        Of arrays.
    args : sequence
    kwargs : dict
    """
    found = next((part for part in _parts((*args, *kwargs.values())) if isinstance(part, OfWeights)), None)
    return None if found is None else found._apply(function, args, kwargs)


def standing_in(value: Any, using: Callable[..., Callable[..., Any]]) -> Any:
    """An attribute of a layer with `OfWeights` in place of weights."""
    if isinstance(value, Weight):
        return OfWeights({value.name: value}, lambda own: own[value.name], using)
    if type(value) in (list, tuple):
        return type(value)(standing_in(part, using) for part in value)
    if type(value) is dict:
        return {key: standing_in(part, using) for key, part in value.items()}
    return value
