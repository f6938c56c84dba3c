"""What a layer of layers computes over all samples, as the moments of a batch, in the graph that its `call` makes.

A tensor of a graph has its samples along the first axis, and such numbers have none. So they stay what is to be done,
until they meet a tensor: that is a layer, which computes both of arrays.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

import numpy as np

from minicnn.graph import Tensor
from minicnn.held import holding
from minicnn.keras._deferred import Deferred, parts_of, tensors_in, with_parts
from minicnn.keras._names import NotInMinicnn
from minicnn.keras._shapes import TensorShape

AsLayer = Callable[[Callable[[Any], Any], Any], Tensor]

_in_a_layer: ContextVar[tuple[Tensor, AsLayer] | None] = ContextVar("in_a_layer", default=None)


def kept_for_tensors(first: Tensor, as_layer: AsLayer) -> AbstractContextManager[None]:
    """Inside, a layer's `call` makes a graph, in which numbers over all samples wait for a tensor.

    Parameters
    ----------
    first : Tensor
        What the `call` is given first.
    as_layer : callable
        ``as_layer(function, tensors)`` makes the layer that calls a function on arrays.
    """
    return holding(_in_a_layer, (first, as_layer))


def may_wait() -> bool:
    """Whether numbers over all samples wait for a tensor here."""
    return _in_a_layer.get() is not None


def of_sample_count(make: Callable[[int], Any]) -> OverSamples | None:
    """``make(count)`` of the number of samples that the `call` of a layer will have; None outside of one.

    Parameters
    ----------
    make : callable
        Of a number, an array.
    """
    if (here := _in_a_layer.get()) is None:
        return None
    first, as_layer = here
    return OverSamples(lambda values: make(len(values[first])), [first], as_layer)


class OverSamples(Deferred):
    """Numbers that are computed over all samples of tensors of a model.

    Parameters
    ----------
    compute : callable
        Gives them for a dict of arrays in place of the tensors.
    tensors : sequence of Tensor
        Of which they are computed.
    as_layer : callable
        ``as_layer(function, tensors)`` makes the layer that calls a function on arrays.
    """

    def __init__(
        self,
        compute: Callable[[Mapping[Tensor, np.ndarray]], Any],
        tensors: Sequence[Tensor],
        as_layer: AsLayer,
    ) -> None:
        self.compute, self.tensors, self._as_layer = compute, list(tensors), as_layer

    @property
    def shape(self) -> TensorShape:
        """Their sizes, with None where these go by how many samples there are."""
        if any(None in tensor.shape[1:] for tensor in self.tensors):
            self.refuse("its shape, where sizes of a sample are open")
        of_two, of_three = (
            np.shape(self.compute({t: np.zeros((count, *t.shape[1:]), np.float32) for t in self.tensors}))
            for count in (2, 3)
        )
        return TensorShape(a if a == b else None for a, b in zip(of_two, of_three, strict=True))

    @property
    def ndim(self) -> int:
        """The number of their axes."""
        return len(self.shape)

    def apply(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """function(*args, **kwargs): a tensor if one is among them, which has its samples; else such numbers."""
        deferred = [part for part in parts_of((*args, *kwargs.values())) if isinstance(part, Deferred)]
        if not all(isinstance(part, OverSamples) for part in deferred):
            self.refuse("a weight, which meets a tensor first")
        met = tensors_in(args, kwargs)
        tensors = list(dict.fromkeys([*met, *(tensor for part in deferred for tensor in part.tensors)]))

        def compute(values):
            def put(part):
                if isinstance(part, OverSamples):
                    return part.compute(values)
                return values[part] if isinstance(part, Tensor) else part

            return with_parts(function, *counted(function, args, kwargs, len(values[tensors[0]])), put)

        if not met:
            return OverSamples(compute, tensors, self._as_layer)
        if len(tensors) == 1:
            return self._as_layer(lambda array: compute({tensors[0]: array}), tensors[0])
        return self._as_layer(lambda arrays: compute(dict(zip(tensors, arrays, strict=True))), tensors)

    def refuse(self, received: str) -> None:
        """Raise the error for what these numbers are no part of.

        Parameters
        ----------
        received : str
        """
        raise NotInMinicnn(
            "numbers over all samples (a mean along axis 0) meet a tensor by operators and functions in the call of a "
            f"layer that is made of layers: x - mean. Received: {received}"
        )


def counted(function: Callable[..., Any], args: Any, kwargs: Any, count: int) -> tuple[Any, Any]:
    """Arguments with the number of samples in place of None at the head of a shape, as in ``reshape(t, (None, 1))``.

    Parameters
    ----------
    function : callable
    args : sequence
    kwargs : dict
    count : int
    """
    if function is operator.getitem:  # None is a further axis there
        return args, kwargs

    def told(value):
        is_open = isinstance(value, list | tuple) and len(value) > 0 and value[0] is None
        return [count, *value[1:]] if is_open else value

    return [told(value) for value in args], {name: told(value) for name, value in kwargs.items()}
