"""`Normalization`: data brought to mean 0 and variance 1, by moments that are known or found in data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from minicnn.backends.memory import constant
from minicnn.checks import is_integer, real_array
from minicnn.errors import ShapeError
from minicnn.hints import Config, LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Normalization"]

EPSILON = 1e-7  # the least standard deviation, Keras's


class Normalization(Layer):
    """y = (x - mean) / √variance, in training and otherwise.

    Parameters
    ----------
    axis : int, sequence of int or None, default -1
        Along which mean and variance differ, counted with the batch axis; None: they are one number each.
    mean, variance : float or array, optional
        Default: `adapt` finds them.
    invert : bool, default False
        Whether y = x · √variance + mean instead.
    """

    uses_input = False
    mean: np.ndarray
    variance: np.ndarray

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: ArrayLike | None = None,
        variance: ArrayLike | None = None,
        invert: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.axis: tuple[int, ...] = () if axis is None else (axis,) if is_integer(axis) else tuple(axis)
        if (mean is None) != (variance is None) or np.shape(mean) != np.shape(variance):
            raise ValueError(
                "mean and variance are given together, in one shape, or neither. "
                f"Received: shapes {np.shape(mean)} and {np.shape(variance)}"
            )
        self.input_mean: np.ndarray | None = None if mean is None else real_array(mean, "mean").astype(np.float64)
        self.input_variance: np.ndarray | None = None
        if variance is not None:
            self.input_variance = real_array(variance, "variance").astype(np.float64)
        self.invert: bool = bool(invert)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        kept = self._kept(shape)
        self.spread_shape: Shape = (1, *(size if axis in kept else 1 for axis, size in enumerate(shape)))  # (1, …, C)
        if self.input_mean is None:
            sizes = tuple(shape[axis] for axis in kept)
            self.add_weight("mean", sizes, "zeros", has_gradient=False)
            self.add_weight("variance", sizes, "ones", has_gradient=False)
            self.add_weight("count", (), "zeros", has_gradient=False)
        else:
            self.mean, self.variance = (  # as Keras's users read them
                np.broadcast_to(self.spread(moment, shape), self.spread_shape).astype(np.float32)
                for moment in (self.input_mean, self.input_variance)
            )
        return shape

    def _kept(self, shape) -> tuple[int, ...]:
        """The sample's axes along which the moments differ, counted without the batch axis."""
        rank = len(shape) + 1
        kept = sorted(axis % rank for axis in self.axis if -rank <= axis < rank)
        if len(kept) != len(self.axis) or 0 in kept:
            raise ShapeError(f"axis is counted with the batch axis, 0. Received: axis={self.axis} for {(None, *shape)}")
        return tuple(axis - 1 for axis in kept)

    def spread(self, moment: np.ndarray, shape: Shape) -> np.ndarray:
        """A moment in the shape in which it meets samples."""
        kept = self._kept(shape)
        sizes = (1,) * (len(kept) - moment.ndim) + moment.shape
        return moment.reshape([sizes[kept.index(axis)] if axis in kept else 1 for axis in range(len(shape))])

    def _moments(self, ws):
        """(mean, standard deviation), which may have been changed by `adapt`."""
        shape = ws.output_shape
        if self.input_mean is None:
            mean, variance = (ws.params[name] for name in ("mean", "variance"))
        else:
            mean, variance = (
                np.asarray(moment, ws.y.dtype, like=ws.y) for moment in (self.input_mean, self.input_variance)
            )
        mean, variance = self.spread(mean, shape), self.spread(variance, shape)
        return constant(mean, ws.y), constant(np.maximum(np.sqrt(variance), EPSILON), ws.y)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        mean, deviation = self._moments(ws)
        if self.invert:
            ws.ops.pointwise(ws.y, (xs[0], deviation, mean), "scale_and_shift")
        else:
            ws.ops.pointwise(ws.y, (xs[0], mean, deviation), "standard_score")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        _, deviation = self._moments(ws)
        ws.ops.pointwise(ws.dxs[0], (dy, deviation), "multiply" if self.invert else "divide")

    def adapt(self, data: Any) -> None:
        """Find mean and variance in data.

        Parameters
        ----------
        data : array (N, …), or an iterable of such
            A batch may be a tuple whose first entry counts, (images, labels). The moments of all batches are combined
            (Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for computing sample variances", 1979).
        """
        if self.input_mean is not None:
            raise ValueError(f"layer '{self.name}' was given mean and variance: there is nothing to find in data")
        count, mean, spread, shape = 0, 0.0, 0.0, None
        for batch in _batches(data):
            if count == 0:
                self.build_for((batch.shape[1:],))
            if count and batch.shape[1:] != shape:
                raise ShapeError(f"all batches have samples of one shape. Received: {batch.shape[1:]} after {shape}")
            shape = batch.shape[1:]
            axes = (0, *(axis + 1 for axis in range(len(shape)) if axis not in self._kept(shape)))
            more = math.prod(batch.shape[axis] for axis in axes)
            own = batch.mean(axis=axes, dtype=np.float64)
            spread = spread + batch.var(axis=axes, dtype=np.float64) * more
            spread = spread + np.square(own - mean) * (count * more / (count + more))
            mean, count = mean + (own - mean) * (more / (count + more)), count + more
        if count == 0:
            raise ValueError(f"layer '{self.name}' adapts to at least one batch. Received: none")
        for name, value in (("mean", mean), ("variance", spread / count), ("count", count)):
            self._weights[name].assign(np.asarray(value))

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x = graph.channels_last(xs[0])
        moments = (self.input_mean, self.input_variance)
        if self.input_mean is None:
            moments = (self._weights[name].numpy() for name in ("mean", "variance"))
        mean, variance = (self.spread(moment, x.shape).astype(np.float32) for moment in moments)
        mean, deviation = graph.constant(mean), graph.constant(np.maximum(np.sqrt(variance), np.float32(EPSILON)))
        if self.invert:
            return graph.add("Add", [graph.add("Mul", [x, deviation]), mean])
        return graph.add("Div", [graph.add("Sub", [x, mean]), deviation])

    def get_config(self) -> Config:
        moments = {"mean": self.input_mean, "variance": self.input_variance}
        config = {name: None if value is None else value.tolist() for name, value in moments.items()}
        return {"axis": list(self.axis), **config, "invert": self.invert, **super().get_config()} | config

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3)]
        yield cls(mean=[1.0, 2.0], variance=[0.5, 3.0], invert=True), [(2, 2, 2)]


def _batches(data: Any) -> Iterable[np.ndarray]:
    """The batches in data, as arrays."""
    if data is None or isinstance(data, str):
        raise TypeError(f"adapt takes an array, or what gives batches of them. Received: {data!r}")
    if hasattr(data, "shape"):
        data = [data]
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__"):  # a Sequence goes on behind its end
        sequence = data
        data = (sequence[index] for index in range(len(sequence)))
    for batch in data:
        yield real_array(batch[0] if isinstance(batch, tuple) else batch, "data")
