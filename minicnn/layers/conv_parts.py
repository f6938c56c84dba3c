"""Convolutions as steps of other layers: their kernel has another name or shape there, and samples may be rows.

A depthwise convolution is one with as many groups as channels; a 1-D convolution is one over images of height 1. So
they run the kernels of `Conv2D`, and merge with what follows as it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

from minicnn.checks import is_integer
from minicnn.geometry import Window
from minicnn.layers.conv import FusedConv2D
from minicnn.layers.flatten import View
from minicnn.parameters import Weight
from minicnn.step import Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value


@dataclass(eq=False)
class Part:
    """What `FusedConv2D` asks a `Conv2D`: one convolution of a layer.

    Attributes
    ----------
    name : str
        The layer's.
    weight, bias : Weight
        The bias may be None.
    shape : tuple of int
        (KH, KW, C / groups, F): how the weight's numbers are read.
    groups : int
    window : function
        From the shape of a sample (H, W, C) to a `Window`.
    """

    name: str
    weight: Weight
    bias: Weight | None
    shape: Shape
    groups: int
    window: Callable[[Shape], Window]

    @property
    def weights(self) -> list[Weight]:
        """The kernel, and the bias if there is one."""
        return [self.weight] if self.bias is None else [self.weight, self.bias]

    @property
    def kernel(self) -> SimpleNamespace:
        """What stands for the kernel where its shape and size are asked for."""
        return SimpleNamespace(shape=self.shape, size=math.prod(self.shape))

    def build(self, input_shapes: Shapes) -> Shape:
        """The output's shape."""
        window = self.window(input_shapes[0])
        return window.out_height, window.out_width, self.shape[-1]


class PartConv2D(FusedConv2D):
    """The convolution of a `Part`."""

    layer: Part

    def bind(self, ws: Workspace) -> None:
        super().bind(ws)
        name, shape = self.layer.weight.name, self.layer.shape
        kernel, gradient = ws.params[name], ws.grads.get(name)
        ws.params = {**ws.params, "kernel": kernel.reshape(shape)}
        ws.grads = {**ws.grads, "kernel": None if gradient is None else gradient.reshape(shape)}

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x, part = graph.channels_first(xs[0]), self.layer
        weights = [graph.weight(part.weight, axes=(3, 2, 0, 1), shape=part.shape)]  # (F, C / groups, KH, KW)
        weights += [] if part.bias is None else [graph.weight(part.bias)]
        return graph.add("Conv", [x, *weights], group=part.groups, **graph.window(part.window, x.shape))


class Widen(View):
    """Samples (L, C) as images (1, L, C)."""

    def build(self, input_shapes: Shapes) -> Shape:
        return 1, *input_shapes[0]

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        axes = graph.constant([1])
        return graph.add("Unsqueeze", [graph.channels_last(xs[0]), axes])


class Narrow(View):
    """Images (1, L, C) as samples (L, C)."""

    def build(self, input_shapes: Shapes) -> Shape:
        return input_shapes[0][1:]

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        axes = graph.constant([1])
        return graph.add("Squeeze", [graph.channels_last(xs[0]), axes])


def one_number(name: str, value: int | Sequence[int], minimum: int = 1) -> int:
    """An integer of at least `minimum`, from itself or a sequence that holds it alone.

    Raises
    ------
    ValueError
        If it is neither.
    """
    number = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    if not is_integer(number) or number < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}. Received: {name}={value!r}")
    return int(number)
