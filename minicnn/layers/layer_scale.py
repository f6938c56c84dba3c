"""`LayerScale`: a factor for each channel, which Keras's ConvNeXt has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn import initializers
from minicnn.errors import ShapeError
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["LayerScale"]


class LayerScale(Layer):
    """x · γ, a factor for each channel that begins near 0: Touvron et al., 2021, arXiv 2103.17239.

    Parameters
    ----------
    init_values : float
        γ at first.
    projection_dim : int
        Number of channels.
    """

    def __init__(self, init_values: float, projection_dim: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.init_values: float = float(init_values)
        self.projection_dim: int = int(projection_dim)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        if shape[-1] != self.projection_dim:
            raise ShapeError(f"expected {self.projection_dim} channels. Received: {shape[-1]}")
        self.add_weight("gamma", shape[-1:], initializers.Constant(self.init_values))
        return shape

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        np.multiply(xs[0], ws.params["gamma"], out=ws.y)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.grads["gamma"] is not None:
            by_sample = dy * ws.xs[0]  # (N, …, C)
            ws.grads["gamma"][...] = by_sample.reshape(-1, by_sample.shape[-1]).sum(axis=0)  # (C,)
        if ws.dxs[0] is not None:
            np.multiply(dy, ws.params["gamma"], out=ws.dxs[0])

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Mul", [graph.channels_last(xs[0]), graph.constant(self.gamma.numpy())])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.5, 3), [(4, 5, 3)]
