"""What `ReLU` and `Softmax` compute with arguments that few give them.

Beside the core: the documents' networks use the plain forms, which stand with the layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from minicnn.checks import is_integer
from minicnn.errors import ShapeError
from minicnn.step import Arrays, Shape, Step, Workspace

if TYPE_CHECKING:
    from minicnn.layers.activations import ReLU
    from minicnn.onnx.writer import GraphWriter, Value


def check_axis_argument(axis: object) -> int | list[int]:
    """`axis` as an int or a list of them.

    Raises
    ------
    TypeError
        If it is neither an integer nor a sequence of integers.
    """
    given = list(axis) if isinstance(axis, list | tuple) else [axis]
    if not all(is_integer(n) for n in given):
        raise TypeError(f"axis is an integer or a sequence of integers. Received: axis={axis!r}")
    return [int(n) for n in given] if isinstance(axis, list | tuple) else int(axis)


def check_axes(layer: Step, axes: int | Iterable[int], shape: Shape) -> tuple[int, ...]:
    """The sample's axes, counted from 0 without the batch axis, from numbers that count it.

    Raises
    ------
    ShapeError
        If one is the batch axis, does not exist, or is given twice.
    """
    given, rank = (axes,) if isinstance(axes, int | str | np.integer) else tuple(axes), len(shape) + 1
    counted = tuple(int(axis) % rank for axis in given if is_integer(axis) and -rank <= axis < rank)
    if len(set(counted) - {0}) != len(given):
        raise ShapeError(
            f"layer '{layer.name}' ({type(layer).__name__}): an axis is counted with the batch axis, which is 0 and "
            f"cannot be chosen: it is an integer from 1 to {rank - 1} here, or negative from the end. "
            f"Received: axis={axes!r} for {(None, *shape)}"
        )
    return tuple(axis - 1 for axis in counted)


def relu(layer: ReLU, xs: Arrays, ws: Workspace) -> None:
    """y = min(x, max_value) where x > threshold, else negative_slope · (x - threshold)."""
    name, numbers = _function_of(layer)
    if name is not None:
        ws.ops.pointwise(ws.y, xs, name, numbers)
        return
    (x,), y = xs, ws.y
    np.copyto(y, x if layer.max_value is None else np.minimum(x, layer.max_value))
    slope = layer.negative_slope
    np.copyto(y, slope * (x - layer.threshold) if slope else 0, where=x <= layer.threshold)  # not 0 · ∞


def relu_backward(layer: ReLU, dy: np.ndarray, ws: Workspace) -> None:
    """The gradient of `relu`, as of Keras's formulas: 0 at the threshold and above max_value, and at 6, of a ReLU6."""
    name, numbers = _function_of(layer)
    x, dx = ws.xs[0], ws.dxs[0]
    if name is not None:
        ws.ops.pointwise(dx, (x, dy), f"{name}_gradient", numbers)
        return
    np.copyto(dx, dy)  # behind NaN too, where comparisons are False
    np.copyto(dx, dy * layer.negative_slope if layer.negative_slope else 0, where=x < layer.threshold)
    np.copyto(dx, 0, where=x == layer.threshold)
    if layer.max_value is not None:
        is_relu6 = layer.max_value == 6 and not layer.threshold
        np.copyto(dx, 0, where=x >= layer.max_value if is_relu6 else x > layer.max_value)


def _function_of(layer):
    """(name, numbers) of the function that `pointwise` knows for these arguments; (None, ()) if there is none."""
    if layer.threshold or (layer.negative_slope and layer.max_value is not None):
        return None, ()
    if layer.negative_slope:
        return "leaky_relu", (layer.negative_slope,)
    return ("relu", ()) if layer.max_value is None else ("capped_relu", (layer.max_value,))


def relu_to_onnx(layer: ReLU, x: Value, graph: GraphWriter) -> Value:
    """`relu` as operators."""
    if layer.threshold:
        y = graph.add("ThresholdedRelu", [x], alpha=layer.threshold)
        below = graph.add("Sub", [x, graph.constant(np.float32(layer.threshold))])
        below = graph.add("Min", [below, graph.constant(np.float32(0))])
        y = graph.add("Add", [y, graph.add("Mul", [below, graph.constant(np.float32(layer.negative_slope))])])
    else:
        y = graph.add("LeakyRelu", [x], alpha=layer.negative_slope) if layer.negative_slope else graph.add("Relu", [x])
    return y if layer.max_value is None else graph.add("Min", [y, graph.constant(np.float32(layer.max_value))])


def softmax_to_onnx(x: Value, graph: GraphWriter, axes: Iterable[int]) -> Value:
    """exp(x) / Σ exp(x) over several axes, which the operator Softmax does not know."""
    axes = [graph.axis(x, axis) for axis in axes]
    powers = graph.add("Exp", [graph.add("Sub", [x, graph.add("ReduceMax", [x], axes=axes)])])
    return graph.add("Div", [powers, graph.add("ReduceSum", [powers, graph.constant(np.array(axes))])])
