"""What masks of places leave out in attention without heads: keys from its scores, queries from its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from minicnn.hints import LayerOptions
from minicnn.layers.attention_parts import steps_to_onnx
from minicnn.layers.base import Layer
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

FAR_BELOW = 1e9
"""Is subtracted where a place does not attend, as in Keras."""


class OfPlaces(Layer):
    """Base: inputs are x (N, …, T, D) and a mask (N, P), 0 where a place is left out; gradients are of x alone.

    Parameters
    ----------
    mask : nested lists of bool, optional
        (1, P), the same for all samples, in the place of the second input.
    """

    uses_input = False
    input_count: int | None = None

    def __init__(self, mask: Any = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.mask: Any = mask

    def mask_of(self, xs: Arrays) -> np.ndarray:
        """The mask for these inputs, (N, P) or (1, P)."""
        return np.asarray(self.mask, like=xs[0]) if len(xs) == 1 else xs[1]

    def build(self, input_shapes: Shapes) -> Shape:
        return input_shapes[0]

    def _clear(self, ws):
        for dmask in ws.dxs[1:]:
            if dmask is not None:
                dmask.fill(0)

    def _mask_to_onnx(self, xs, graph, places):
        """The mask as True and False, with axes for those of x; `places` counts that of the places from the end."""
        rank = len(xs[0].shape) + 1
        axes = [axis for axis in range(1, rank) if axis != rank - places]
        if self.mask is not None:
            return graph.constant(np.expand_dims(np.asarray(self.mask) != 0, axes))
        mask = graph.add("Cast", [graph.channels_last(xs[1])], False, to=9)  # BOOL
        return graph.add("Unsqueeze", [mask, graph.constant(np.array(axes))], False)


class MaskedScores(OfPlaces):
    """Scores (N, …, T, S), far lower where the mask of the keys (N, S), or the order of places, leaves one out.

    Parameters
    ----------
    is_causal : bool
        Whether also a place of the keys behind that of the query is left out.
    mask : nested lists of bool, optional
    """

    def __init__(self, is_causal: bool, mask: Any = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(mask, **kwargs)
        self.is_causal: bool = is_causal

    def below(self, shape: Shape, mask: np.ndarray) -> np.ndarray:
        """What is subtracted from scores (N, …, T, S)."""
        out = mask.reshape(len(mask), *[1] * (len(shape) - 2), -1) == 0  # (N, …, 1, S)
        if self.is_causal:
            steps = np.arange(shape[-2], like=mask)[:, None] - np.arange(shape[-1], like=mask)
            out = out | (steps < 0)
        return out * FAR_BELOW

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        below = self.below(xs[0].shape, self.mask_of(xs))
        np.subtract(xs[0], below.astype(ws.y.dtype), out=ws.y)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.dxs[0] is not None:
            ws.dxs[0][...] = dy
        self._clear(ws)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        scores, kept = graph.channels_last(xs[0]), self._mask_to_onnx(xs, graph, 1)
        if self.is_causal:
            before = graph.add("GreaterOrEqual", [steps_to_onnx(scores, graph), graph.constant(0)], False)
            kept = graph.add("And", [kept, before], False)
        below = graph.add("Where", [kept, *(graph.constant(np.float32(x)) for x in (0, FAR_BELOW))], False)
        return graph.add("Sub", [scores, below])


class KeptPlaces(OfPlaces):
    """y (N, …, T, V) where a mask of the queries (N, T) is not 0; zeros elsewhere."""

    uses_input = True

    def kept(self, shape: Shape, mask: np.ndarray) -> np.ndarray:
        """True where something is left of y of this shape."""
        return mask.reshape(len(mask), *[1] * (len(shape) - 3), -1, 1) != 0  # (N, …, T, 1)

    def _kept(self, xs):
        return self.kept(xs[0].shape, self.mask_of(xs))

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = np.where(self._kept(xs), xs[0], 0)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.dxs[0] is not None:
            ws.dxs[0][...] = np.where(self._kept(ws.xs), dy, 0)
        self._clear(ws)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        kept = self._mask_to_onnx(xs, graph, 2)
        return graph.add("Where", [kept, graph.channels_last(xs[0]), graph.constant(np.float32(0))], False)
