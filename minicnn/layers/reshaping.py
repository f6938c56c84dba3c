"""Layers that only change the shape."""

import math

import numpy as np

from minicnn.checks import check_pair, is_integer
from minicnn.errors import ShapeError
from minicnn.layers.base import Layer
from minicnn.layers.shapes import check_data_format, check_rank

__all__ = ["Flatten", "Reshape", "ZeroPadding2D"]


class _View(Layer):
    """A layer whose output is its input's memory: nothing to compute.

    The gradient is the output gradient's memory too, unless the input has other readers whose gradients are added.
    """

    uses_input = False
    is_view = True

    def forward(self, xs, ws):
        pass

    def backward(self, dy, ws):
        ws.dxs[0][...] = dy.reshape(ws.dxs[0].shape)


class Flatten(_View):
    """Every sample as a vector, in (height, width, channels) order.

    Parameters
    ----------
    data_format : {None, "channels_last"}
    """

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = check_data_format(data_format)

    def build(self, input_shapes):
        return (math.prod(input_shapes[0]),)

    def to_onnx(self, xs, graph):
        return graph.add("Flatten", [graph.channels_last(xs[0])])

    @classmethod
    def examples(cls):
        yield cls(), [(4, 3, 2)]


class Reshape(_View):
    """Every sample in another shape.

    Parameters
    ----------
    target_shape : tuple of int
        Without the batch axis; one entry may be -1 and is computed.
    """

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        self.target_shape = (target_shape,) if is_integer(target_shape) else tuple(target_shape)
        is_valid = all(is_integer(n) and (n > 0 or n == -1) for n in self.target_shape)
        if not is_valid or self.target_shape.count(-1) > 1:
            raise ValueError(
                f"target_shape holds positive integers and at most one -1. Received: target_shape={target_shape}"
            )

    def build(self, input_shapes):
        size, known = math.prod(input_shapes[0]), math.prod(n for n in self.target_shape if n > 0)
        shape = tuple(size // known if n == -1 else n for n in self.target_shape)
        if math.prod(shape) != size:
            raise ShapeError(
                f"target_shape={self.target_shape} does not fit samples of {size} elements. Received: {input_shapes[0]}"
            )
        return shape

    def to_onnx(self, xs, graph):
        x = graph.channels_last(xs[0])
        shape = graph.constant(np.array([0, *self.build([x.shape])]))  # 0: the batch axis as it is
        return graph.add("Reshape", [x, shape])

    @classmethod
    def examples(cls):
        yield cls((6, -1)), [(4, 3, 2)]


class ZeroPadding2D(Layer):
    """Rows and columns of zeros around every image.

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int)), default 1
        One number for all sides; (rows above and below, columns left and right); or ((top, bottom), (left, right)).
    data_format : {None, "channels_last"}
    """

    uses_input = False

    def __init__(self, padding=(1, 1), data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.padding = _four_sides(padding)
        self.data_format = check_data_format(data_format)

    def build(self, input_shapes):
        (shape,) = input_shapes
        check_rank(self, shape, 3, "(height, width, channels)")
        return shape[0] + sum(self.padding[0]), shape[1] + sum(self.padding[1]), shape[2]

    def bind(self, ws):
        (top, _), (left, _) = self.padding
        height, width, _ = ws.input_shapes[0]
        ws.inner = (slice(None), slice(top, top + height), slice(left, left + width))

    def forward(self, xs, ws):
        ws.y.fill(0)
        ws.y[ws.inner] = xs[0]

    def backward(self, dy, ws):
        ws.dxs[0][...] = dy[ws.inner]

    def to_onnx(self, xs, graph):
        pads = np.zeros((2, 4), np.int64)  # before and after, on every axis
        pads[:, graph.axis(xs[0], 1)], pads[:, graph.axis(xs[0], 2)] = self.padding
        return graph.add("Pad", [*xs, graph.constant(pads.ravel())])

    @classmethod
    def examples(cls):
        yield cls(), [(3, 4, 2)]
        yield cls(((0, 1), (2, 3))), [(3, 4, 2)]


def _four_sides(padding):
    """((top, bottom), (left, right)) from any of the accepted forms."""
    if is_integer(padding):
        padding = (padding, padding)
    if not isinstance(padding, list | tuple) or len(padding) != 2:
        raise ValueError(f"padding is an int, a pair, or a pair of pairs. Received: padding={padding!r}")
    sides = [(side, side) if is_integer(side) else side for side in padding]
    return tuple(check_pair("padding", side, minimum=0) for side in sides)
