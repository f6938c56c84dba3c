"""Activation functions that the documents' networks do not use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_number
from minicnn.hints import LayerOptions
from minicnn.layers import replacing
from minicnn.layers.activations import Elementwise, get, name_options, register
from minicnn.step import Arrays, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["LeakyReLU", "Tanh"]

replacing.MAKERS["activation"] = get  # ``layer.activation = "relu"``, of a layer that may have been built


class _LeakyOptions(LayerOptions, total=False):
    alpha: float


@register
class LeakyReLU(Elementwise):
    """x where x > 0, else negative_slope · x (Maas, Hannun, Ng, 2013). The name "leaky_relu" means a slope of 0.2.

    Parameters
    ----------
    negative_slope : float, default 0.3
    """

    only_ops = True

    def __init__(self, negative_slope: float = 0.3, **kwargs: Unpack[_LeakyOptions]) -> None:
        negative_slope = kwargs.pop("alpha", negative_slope)  # its name in Keras 2
        super().__init__(**kwargs)
        self.negative_slope: float = check_number("negative_slope", negative_slope)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, xs, "leaky_relu", (self.negative_slope,))

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.pointwise(ws.dxs[0], (ws.xs[0], dy), "leaky_relu_gradient", (self.negative_slope,))

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("LeakyRelu", xs, alpha=self.negative_slope)


@register
class Tanh(Elementwise):
    """The hyperbolic tangent."""

    only_ops = True
    uses_input = False
    uses_output = True

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, xs, "tanh")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.pointwise(ws.dxs[0], (ws.y, dy), "tanh_gradient_of_output")

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Tanh", xs)


name_options("leaky_relu", LeakyReLU, negative_slope=0.2)  # Keras's function is steeper than its layer's default, 0.3
