"""``tf.custom_gradient`` and ``keras.ops.custom_gradient``: functions that say themselves what their gradient is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial, wraps
from typing import Any

import numpy as np

from minicnn.differentiation import Recorded, met, value_of
from minicnn.keras._as_tensor import of_tensorflow
from minicnn.keras._of_tensors import Computed
from minicnn.keras._operations import is_symbolic
from minicnn.keras._tape import GradientTape
from minicnn.keras._taped import is_recording, leaf_of
from minicnn.nested import leaves, packed
from minicnn.parameters import Weight


class _Backward:
    """The function of a gradient, which is asked once for all that its gradient is by.

    Parameters
    ----------
    name : str
        Of the function whose gradient it is.
    back : callable
        Takes the gradient of each result, and `variables` where there are any.
    results : sequence of array
    variables : sequence of Weight
        That the function reads beside its arguments.
    """

    def __init__(
        self, name: str, back: Callable[..., Any], results: Sequence[np.ndarray], variables: Sequence[Weight]
    ) -> None:
        self._name, self._back, self._results, self._variables = name, back, results, variables
        self._of: Any = None
        self._parts: tuple[Any, Any] = (None, None)

    def part(self, at: int, shape: tuple[int, ...], is_variable: bool, gradient: Any) -> Any:
        """The gradient by an argument, or by a variable, from that of all results, one behind the other: (numbers,)."""
        if isinstance(gradient, Recorded):
            raise NotImplementedError(
                f"gradients of gradients do not go through tf.custom_gradient. Received: one of {self._name}"
            )
        if self._of is not gradient:
            self._of, self._parts = gradient, self._asked(gradient)
        parts = self._parts[is_variable]
        found = parts[at] if isinstance(parts, list | tuple) else parts
        made = np.zeros(shape, gradient.dtype) if found is None else np.asarray(value_of(met(found)))
        if made.size != math.prod(shape):
            kind = "variable" if is_variable else "argument"
            raise ValueError(
                f"custom_gradient: the gradient of {self._name} by {kind} {at} has its shape, {shape}: sum over the "
                f"axes along which it was broadcast. Received: one of shape {made.shape}"
            )
        return made

    def _asked(self, gradient: np.ndarray) -> tuple[Any, Any]:
        """(the gradients by the arguments, those by the variables)."""
        ends = np.cumsum([np.size(y) for y in self._results])
        parts = np.split(gradient, ends[:-1])
        given = [of_tensorflow(g.reshape(y.shape).astype(y.dtype)) for g, y in zip(parts, self._results, strict=True)]
        if not self._variables:
            return self._back(*given), None
        try:
            of_arguments, of_variables = self._back(*given, variables=list(self._variables))
        except TypeError as error:
            raise TypeError(
                f"tf.custom_gradient: {self._name} uses variables that are no arguments, so that its gradient is "
                "called with variables=… and returns (gradients of the arguments, gradients of the variables). "
                f"Received: {[v.path for v in self._variables]}, and {error}"
            ) from error
        return of_arguments, of_variables


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a function that returns its value and the function of its gradient, which is not differentiated.

    Parameters
    ----------
    f : callable
        Of arrays; returns (y, function). The latter takes the gradient of y, or of each y of several, to that by each
        argument: one, or a list. Where `f` reads trainable variables that are no arguments, it takes `variables` too,
        and returns (gradients by the arguments, gradients by these).

    Raises
    ------
    ValueError
        If the gradient by an argument has not as many numbers as that.
    NotImplementedError
        When a gradient of its gradient is asked for.
    TypeError
        If it reads variables, and the function of its gradient takes none.
    """

    @wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(map(is_symbolic, args)):
            return Computed(partial(call, **kwargs))(list(args) if len(args) > 1 else args[0])
        given = [met(x) for x in args]
        with (tape := GradientTape()) if is_recording() else nullcontext():
            made, back = f(*(of_tensorflow(np.asarray(value_of(x))) for x in given), **kwargs)
        results = [np.asarray(value_of(met(y))) for y in leaves(made)]
        variables = tape.watched_variables() if is_recording() else ()
        backward = _Backward(f.__name__, back, results, variables)
        parents: list[Any] = [
            (x, partial(backward.part, at, x.shape, False)) for at, x in enumerate(given) if isinstance(x, Recorded)
        ]
        parents += [(leaf_of(v), partial(backward.part, at, v.shape, True)) for at, v in enumerate(variables)]
        return packed(made, _joined(results, parents) if parents else list(map(of_tensorflow, results)))

    return call


def _joined(results: Sequence[np.ndarray], parents: Sequence[Any]) -> list[Any]:
    """The results as parts of one value, whose parents have one gradient for all of them."""
    joined = Recorded(np.concatenate([np.ravel(y) for y in results]), parents)
    ends = np.cumsum([y.size for y in results]).tolist()
    parts = [np.reshape(joined[end - y.size : end], y.shape) for end, y in zip(ends, results, strict=True)]
    return [part.astype(y.dtype) if part.dtype != y.dtype else part for part, y in zip(parts, results, strict=True)]
