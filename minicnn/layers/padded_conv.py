"""Zeros around images that only a convolution reads: it pads by itself, and they are never written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from minicnn.geometry import Window, effective_size
from minicnn.layers.conv import FusedConv2D
from minicnn.layers.zero_padding import ZeroPadding2D
from minicnn.step import Shape, Shapes, Step


@dataclass(eq=False)
class Padded:
    """What `FusedConv2D` asks a `Conv2D`, of one that reads images with zeros around them.

    Attributes
    ----------
    layer : Conv2D or Part
        The convolution, which adds nothing itself.
    padding : ((top, bottom), (left, right))
    """

    layer: Any
    padding: tuple[tuple[int, int], ...]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.layer, name)

    def window(self, shape: Shape) -> Window:
        """The geometry for images (H, W, C) without the zeros."""
        (top, bottom), (left, right) = self.padding
        height, width, channels = shape
        window = self.layer.window((height + top + bottom, width + left + right, channels))
        pads = {"pad_top": top, "pad_bottom": bottom, "pad_left": left, "pad_right": right}
        return replace(window, in_height=height, in_width=width, **pads)

    def build(self, input_shapes: Shapes) -> Shape:
        """The output's shape."""
        window = self.window(input_shapes[0])
        return window.out_height, window.out_width, self.layer.kernel.shape[-1]


def padded_conv(first: Step, then: Step, shape: Shape) -> FusedConv2D | None:
    """The step that pads images and convolves them; None if these steps do not, or if kernels do not pad so much.

    Parameters
    ----------
    first, then : Step
        The second one reads the first one's output, of this shape.
    shape : (int, int, int)
    """
    if not (isinstance(first, ZeroPadding2D) and isinstance(then := then.fused(), FusedConv2D)):
        return None
    window, (rows, columns) = then.layer.window(shape), first.padding
    reach = (
        effective_size(window.kernel_height, window.dilation_y),
        effective_size(window.kernel_width, window.dilation_x),
    )
    if window.is_padded or max(rows) >= reach[0] or max(columns) >= reach[1]:
        return None
    return replace(then, layer=Padded(then.layer, first.padding))
