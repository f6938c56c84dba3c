"""Penalties on outputs: `activity_regularizer=` of every layer, and a layer that is nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_number
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.regularizers import L1L2, Regularizer
from minicnn.step import Arrays, Shape, Shapes, Step, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["ActivityRegularization"]


class ActivityPenalty(Step):
    """Adds R(x) / N to the loss of N samples, and its derivative to their gradient; the output is the input.

    Parameters
    ----------
    regularizer : Regularizer
    """

    uses_input = False
    uses_output = True
    has_penalty = True

    def __init__(self, regularizer: Regularizer) -> None:
        self.regularizer: Regularizer = regularizer

    def build(self, input_shapes: Shapes) -> Shape:
        return input_shapes[0]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = xs[0]
        ws.added = self.regularizer.penalty(ws.y) / len(ws.y)  # now: others may use its memory later

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        gradient = np.zeros_like(dy)
        self.regularizer.add_gradient(ws.y, gradient)
        np.add(dy, gradient / len(dy), out=ws.dxs[0])

    def penalty(self, ws: Workspace) -> float | np.ndarray:
        return ws.added

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return xs[0]


class ActivityRegularization(Layer):
    """Passes its input on, and adds l1 · Σ|x| + l2 · Σx², divided by the number of samples, to the loss.

    Parameters
    ----------
    l1, l2 : float, default 0
    """

    rare_options: tuple[str, ...] = ()

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.l1: float = check_number("l1", l1)
        self.l2: float = check_number("l2", l2)
        self.activity_regularizer: Regularizer = L1L2(self.l1, self.l2)

    def build(self, input_shapes: Shapes) -> Shape:
        return input_shapes[0]

    def lower(self) -> list[Step]:
        return []

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.1, 0.2), [(4, 3, 2)]


def with_penalty(layer: Layer) -> list[Step]:
    """A layer's steps, and the penalty on what they give, if it has one."""
    regularizer = getattr(layer, "activity_regularizer", None)
    return layer.lower() if regularizer is None else [*layer.lower(), ActivityPenalty(regularizer)]
