"""The softmax or sigmoid that the `call` of a layer of one's own ends in, as a step of its own.

Keras, on TensorFlow, has its cross-entropies go on from what stands before such a function
(`keras.src.backend.tensorflow.nn._get_logits`), so that neither they nor their gradients end where probabilities are 0
or 1. It finds it behind what `keras.ops` and `keras.activations` gave, and behind TensorFlow's own softmax and sigmoid,
but there each cross-entropy that of its kind alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded
from minicnn.last_function import Last, behind, note, of_step
from minicnn.on_host import assign, on_host
from minicnn.own_parts import is_of_package
from minicnn.step import Arrays, Shape, Shapes, Step, Workspace


def ending(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of an array, which its result remembers, as long as nothing is computed of that."""

    @wraps(function)
    def noted(x: Any, axis: Any = -1) -> Any:
        return ended(name, function(x) if name == "sigmoid" else function(x, axis), x, axis)

    return noted


def ended(name: str, y: Any, *given: Any, **options: Any) -> Any:
    """The result of a function, which remembers what that was given if it is a softmax or sigmoid."""
    if name not in ("softmax", "sigmoid"):
        return forgotten(y) if type(y) is EagerArray else y  # as np.squeeze may give what it was given
    axis = options.get("axis", given[1] if len(given) > 1 else -1)
    return noting(y, Last(name, axis), given[0]) if axis is None or isinstance(axis, int) else y


def noting(y: Any, last: Last, x: Any) -> Any:
    """A result, recorded or of arrays, which remembers the function and what that was given."""
    if isinstance(y, EagerArray) and not isinstance(x, Recorded):
        return note(y, last, np.array(x, y.dtype))
    return note(y, last, x) if isinstance(y, Recorded) and isinstance(x, Recorded) else y


def is_last_function(step: Step) -> bool:
    """Whether a step is a softmax or sigmoid of the library's."""
    return isinstance(step, layers.Softmax | layers.Sigmoid) and is_of_package(type(step))


def note_step(y: Any, step: Step, x: Any) -> Any:
    """A step's result, which remembers a softmax or sigmoid of the library's."""
    return noting(y, of_step(step), x) if is_last_function(step) else y


def as_operation(y: Any, given: Sequence[Any]) -> Any:
    """What a function of TensorFlow gave: one along another axis than the last is turned there, and not known.

    Nor is any of arrays, or on a tape: Keras looks for it in graphs alone. What such a function was given itself stays
    as it is.
    """
    last, x = last_of(y), before(y)
    if any(y is each for each in given):
        return y
    if last is None:
        return y
    is_known = type(y) is Recorded and last.name in _OPERATIONS and last.axis in (-1, y.ndim - 1)
    return note(y, Last(_OPERATIONS[last.name]), x) if is_known else note(y, None, None)


def same(y: Any, given: Any) -> Any:
    """An array as a conversion to its dtype gives it: what was given, where that remembers what gave it."""
    return given if last_of(given) is not None and y.dtype == given.dtype else y


def forgotten(y: Any) -> Any:
    """The same of itself, as behind TensorFlow's identity."""
    return y if last_of(y) is None else np.positive(y)


def looking_behind(crossentropy: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """A cross-entropy of `keras.ops`, which goes on from before the function that gave the probabilities.

    Parameters
    ----------
    crossentropy : callable
        Of (target, output, from_logits, …).
    kind : str
        "binary" looks behind TensorFlow's own sigmoid, others behind its softmax.
    """
    known = ("softmax", "sigmoid", "sigmoidoperation" if kind == "binary" else "softmaxoperation")

    @wraps(crossentropy)
    def looked(target: Any, output: Any, from_logits: bool = False, *axis: int, **options: Any) -> Any:
        last = last_of(output)
        if last is not None and last.name in known:
            output, from_logits = before(output), True
        return crossentropy(target, output, from_logits, *axis, **options)

    return looked


_OPERATIONS = {"softmax": "softmaxoperation", "sigmoid": "sigmoidoperation"}


def last_of(y: Any) -> Last | None:
    """The function that gave an array; None if it was another one."""
    return behind(y)[0]


def before(y: Any) -> Any:
    """What that function was given."""
    return behind(y)[1]


class _LastStep(Step):
    """Base of the steps: the numbers are those that `call` gave."""

    uses_input = False
    uses_output = True

    def __init__(self, last: Last) -> None:
        self.last: Last = last

    def build(self, input_shapes: Shapes) -> Shape:
        return input_shapes[0]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        assign(ws.y, self.of(on_host(xs[0])))

    def of(self, x: Any) -> Any:
        """The function of an array, maybe recorded."""
        raise NotImplementedError


class Softmax(_LastStep):
    """exp(x) / Σ exp(x); cross-entropies go on from x along the last axis, whichever it is taken over, as in Keras."""

    def of(self, x: Any) -> Any:
        powers = np.exp(x - np.max(_plain(x), axis=self.last.axis, keepdims=True))
        return powers / np.sum(powers, axis=self.last.axis, keepdims=True)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        y, dy = on_host(ws.y), on_host(dy)
        assign(ws.dxs[0], y * (dy - np.sum(dy * y, axis=self.last.axis, keepdims=True)))


class Sigmoid(_LastStep):
    """1 / (1 + exp(-x))."""

    def of(self, x: Any) -> Any:
        return (1 + np.tanh(x * 0.5)) * 0.5

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        y = on_host(ws.y)
        assign(ws.dxs[0], on_host(dy) * y * (1 - y))


class SoftmaxOperation(Softmax):
    """TensorFlow's own."""


class SigmoidOperation(Sigmoid):
    """TensorFlow's own."""


def _plain(x):
    return x.value if isinstance(x, Recorded) else x


_STEPS = {cls.__name__.lower(): cls for cls in (Softmax, Sigmoid, SoftmaxOperation, SigmoidOperation)}


def step_of(last: Last) -> Step:
    """A step that computes the function."""
    return _STEPS[last.name](last) if last.step is None else last.step
