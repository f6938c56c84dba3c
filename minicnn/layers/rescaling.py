"""`Rescaling`: pixels as the network wants them."""

from __future__ import annotations

from contextlib import suppress
from numbers import Real
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from minicnn.backends.memory import constant
from minicnn.checks import check_number, plain
from minicnn.errors import ShapeError
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.given import OfImages
from minicnn.layers.merge import give
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Rescaling"]


class Rescaling(OfImages, Layer):
    """y = x · scale + offset, in training and otherwise: ``Rescaling(1 / 255)`` for pixels from 0 to 255.

    Parameters
    ----------
    scale : float or nested sequence of float
        One number for all, one for each channel (of the last axis), or an array for all numbers of a sample: of its
        last axes, in which a size of 1 counts for all, on either side.
    offset : float or nested sequence of float, default 0
    """

    uses_input = False

    def __init__(self, scale: ArrayLike, offset: ArrayLike = 0.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.scale: float | list[Any] = number_or_numbers("scale", scale)
        self.offset: float | list[Any] = number_or_numbers("offset", offset)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        made = shape
        for name, sizes in (("scale", np.shape(self.scale)), ("offset", np.shape(self.offset))):
            try:
                made = tuple(int(n) for n in np.broadcast_shapes(made, sizes)) if sizes else made
            except ValueError:
                sizes = (*shape, 0)
            if len(sizes) > len(shape):
                fitting = f"{shape[-1]} numbers, one for each channel, or " if shape else ""
                raise ShapeError(
                    f"{name} needs one number, {fitting}an array that fits samples of shape {shape}. "
                    f"Received: numbers of shape {np.shape(getattr(self, name))}"
                )
        return made

    def bind(self, ws: Workspace) -> None:
        both, sizes = (self.scale, self.offset), ws.output_shape
        ws.numbers, ws.factors = both, ()
        if any(isinstance(value, list) for value in both):
            ws.numbers, is_of_channels = (), all(np.ndim(value) < 2 for value in both)
            sizes = sizes[-1:] if is_of_channels else sizes
            ws.factors = tuple([constant(np.broadcast_to(v, sizes), ws.y) for v in both])  # (C,), or as a sample of y

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, (*xs, *ws.factors), "scale_and_shift", ws.numbers)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        give(ws, 0, (dy, *ws.factors[:1]), "scale", ws.numbers[:1])

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x = graph.channels_last(xs[0])
        scaled = graph.add("Mul", [x, graph.constant(np.asarray(self.scale, np.float32))])
        return graph.add("Add", [scaled, graph.constant(np.asarray(self.offset, np.float32))])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.5, -1), [(4, 3, 2)]
        yield cls([0.5, 2.0, -1.0], (1, 2, 3)), [(4, 3)]
        yield cls(0.5, [[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]]), [(4, 3, 2)]
        yield cls([[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]], [[1.0], [2.0], [3.0]]), [(1, 2)]


def number_or_numbers(name: str, value: Any) -> float | list[Any]:
    """A float, or nested lists of finite floats.

    Raises
    ------
    ValueError
        If it is neither; `name` is what the message calls it.
    """
    value = plain(value)
    if isinstance(value, Real):
        return check_number(name, value, minimum=-np.inf)
    with suppress(ValueError):  # lists of unequal lengths
        array = np.asarray(value if isinstance(value, list | tuple | np.ndarray) else None)
        if array.dtype.kind in "fiu" and array.size and np.isfinite(array).all():
            return array.astype(np.float64).tolist()
    raise ValueError(
        f"`{name}` must be a number, one for each channel, or an array of finite numbers for each sample. "
        f"Received: {name}={value!r}"
    )
