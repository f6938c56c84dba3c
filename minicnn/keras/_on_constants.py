"""Layers that are called on numbers in a `call` which makes a graph, such as an Embedding on positions.

What they give would be a constant there, and their weights not be trained: it becomes a function of these weights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np

from minicnn.graph import Tensor
from minicnn.keras._of_tensors import Noise
from minicnn.keras._own_weights import OfWeights, is_making_graph, standing_in
from minicnn.keras._stepwise import through_steps
from minicnn.nested import leaves, mapped


def with_weights(call: Callable[..., Any]) -> Callable[..., Any]:
    """The ``__call__`` of a layer, which on numbers gives an `OfWeights` while a graph is made."""

    @wraps(call)
    def on_numbers(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = leaves([*args[:1], *(kwargs[name] for name in ("inputs", "query") if name in kwargs)])
        if (tensor := _tensor_beside_repeated(args, kwargs)) is not None:
            spread = partial(mapped, lambda x: x.beside(tensor) if isinstance(x, OfWeights) and x.for_each else x)
            return call(self, *spread(list(args)), **spread(kwargs))
        noise = [x for x in given if isinstance(x, Noise)]
        if noise and any(isinstance(x, Tensor) for x in given):
            return noise[0].apply(partial(call, self), args, kwargs)
        deferred = [x for x in given if isinstance(x, OfWeights)]
        if not is_making_graph() or not all(isinstance(x, OfWeights) or _is_array(x) for x in given):
            return call(self, *args, **kwargs)
        if deferred:
            self.build_for(tuple(tuple(x.shape[1:]) for x in given))
        made = None if deferred else call(self, *args, **kwargs)  # which makes the weights, and checks the numbers
        weights = {w.name: w for w in self.weights if w.has_gradient}
        if not deferred and not weights:
            return made  # of frozen ones it would not do: they are loaded, and may be trained one day
        if self.graph is not None:
            raise TypeError(
                f"'{self.name}' is made of layers, and called on numbers in a call that makes a graph, where its "
                "weights would be no part of the model: call its layers one by one, or it on a tensor. "
                f"Received: {', '.join(map(str, map(np.shape, given)))}"
            )
        state = {w.name: w.numpy() for w in self.weights if not w.has_gradient}
        names, own = [*weights], [standing_in(w) for w in weights.values()]

        def formula(arrays, *values):
            return through_steps(self.lower(), arrays, {**state, **dict(zip(names, values, strict=True))})

        return (deferred + own)[0].apply(formula, (given, *own), {})

    return on_numbers


def _tensor_beside_repeated(args, kwargs):
    """The first tensor, if beside it there is something that was repeated for each sample, as a class token."""
    given = leaves([*args, kwargs])
    is_repeated = any(isinstance(x, OfWeights) and x.for_each for x in given)
    return next((x for x in given if isinstance(x, Tensor)), None) if is_repeated else None


def _is_array(x):
    return isinstance(x, np.ndarray | np.generic | int | float)
