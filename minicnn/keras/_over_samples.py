"""What a layer of layers computes over all samples, as the moments of a batch, in the graph that its `call` makes.

A tensor of a graph has its samples along the first axis, and such numbers have none. So they stay what is to be done,
until they meet a tensor: that is a layer, which computes both of arrays.
"""

from __future__ import annotations

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

_in_a_layer: ContextVar[bool] = ContextVar("in_a_layer", default=False)


def kept_for_tensors() -> AbstractContextManager[None]:
    """Inside, a layer's `call` makes a graph, in which numbers over all samples wait for a tensor."""
    return holding(_in_a_layer, True)


def may_wait() -> bool:
    """Whether numbers over all samples wait for a tensor here."""
    return _in_a_layer.get()


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
        as_layer: Callable[[Callable[[Any], Any], Any], Tensor],
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

            return with_parts(function, args, kwargs, put)

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
