"""The softmax or sigmoid that the `call` of a layer of one's own ends in, as a step of its own.

Keras, on TensorFlow, has its cross-entropies go on from what stands before such a function
(`keras.src.backend.tensorflow.nn._get_logits`), so that neither they nor their gradients end where probabilities are 0
or 1. It finds it behind what `keras.ops` and `keras.activations` gave, and behind TensorFlow's own softmax and sigmoid,
but there each cross-entropy that of its kind alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.differentiation import Recorded
from minicnn.keras._taped import Taped
from minicnn.on_host import assign, on_host
from minicnn.step import Arrays, Shape, Shapes, Step, Workspace


@dataclass(frozen=True)
class Last:
    """Which function it is.

    Attributes
    ----------
    name : str
        As losses know it, see `minicnn.losses.base.Loss`.
    axis : int or None
        Of a softmax, as it was given.
    step : Step, optional
        The library's, where that was called.
    """

    name: str
    axis: int | None = -1
    step: Step | None = None


def ending(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a recorded array, which its result remembers, as long as nothing is computed of that."""

    @wraps(function)
    def noted(x: Any, axis: Any = -1) -> Any:
        y = function(x) if name == "sigmoid" else function(x, axis)
        if isinstance(y, Recorded) and isinstance(x, Recorded) and (axis is None or isinstance(axis, int)):
            vars(y)["before"] = Last(name, axis), x
        return y

    return noted


def is_last_function(step: Step) -> bool:
    """Whether a step is a softmax or sigmoid of the library's."""
    return type(step) in (layers.Softmax, layers.Sigmoid)


def note_step(y: Any, step: Step, x: Any) -> Any:
    """A step's result, which remembers a softmax or sigmoid of the library's."""
    if isinstance(y, Recorded) and isinstance(x, Recorded) and is_last_function(step):
        vars(y)["before"] = Last(type(step).__name__.lower(), step=step), x
    return y


def note(y: Any, last: Last | None, x: Any) -> Any:
    """A value, which remembers the function that gave it of `x`."""
    vars(y)["before"] = last, x
    return y


def of_step(step: Step) -> Last:
    """The function that a step computes, without the step itself."""
    return Last(type(step).__name__.lower(), step.last.axis if isinstance(step, _LastStep) else -1)


def as_operation(y: Any, given: Sequence[Any]) -> Any:
    """What a function of TensorFlow gave: one along another axis than the last is turned there, and not known.

    Nor is any on a tape: Keras looks for it in graphs alone. What such a function was given itself stays as it is.
    """
    last, x = last_of(y), before(y)
    if any(y is each for each in given):
        return y
    if last is not None and isinstance(y, Taped):
        return note(y, None, None)
    if last is not None and last.name in _OPERATIONS:
        is_last = last.axis in (-1, y.ndim - 1)
        vars(y)["before"] = (Last(_OPERATIONS[last.name]), x) if is_last else (None, None)
    return y


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
    """The function that gave a recorded array; None if it was another one."""
    return vars(y).get("before", (None, None))[0] if isinstance(y, Recorded) else None


def before(y: Any) -> Any:
    """What that function was given."""
    return vars(y).get("before", (None, None))[1] if isinstance(y, Recorded) else None


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
