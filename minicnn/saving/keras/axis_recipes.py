"""Recipes of what goes over axes: maxima, variances, norms, places of maxima."""

from __future__ import annotations

from minicnn.hints import Config
from minicnn.saving.keras.recipe import (
    Made,
    Operation,
    axes_in,
    dtype_of,
    is_tensor,
    rank_of,
    recipe,
    shape_of,
)

MOST_PARTS = 64
"""Of a tensor that is taken apart, number by number."""
LARGEST = 3.4028234663852886e38  # of float32


@recipe("Mean", "Sum")
def _reduced(operation: Operation) -> Made:
    x, axes = _of_one(operation)
    if axes is None:
        return None
    return _reduce(operation, x, axes, operation.kind.lower(), bool(operation.options.get("keepdims")))


@recipe("Max", "Min", "Amax", "Amin", "Any", "All")
def _greatest(operation: Operation) -> Made:
    x, axes = _of_one(operation)
    if axes is None or operation.options.get("initial") is not None:
        return None
    is_least = operation.kind in ("Min", "Amin", "All")
    values = truth(operation, x) if operation.kind in ("Any", "All") else x
    values = operation.scaled(values, -1.0) if is_least else values
    y = greatest(operation, values, shape_of(x), axes)
    if y is None:
        return None
    y = operation.scaled(y, -1.0) if is_least else y
    return y if operation.options.get("keepdims") else operation.squeezed(y, rank_of(x), axes)


@recipe("Prod")
def _product(operation: Operation) -> Made:
    x, axes = _of_one(operation)
    count = 1
    for axis in axes or []:
        count *= shape_of(x)[axis] or MOST_PARTS + 1
    if axes is None or count > MOST_PARTS:
        return None
    folded = _folded(operation, x, shape_of(x), axes)
    if folded is None:
        return None
    parts = [operation.part(folded, 3, 1, index) for index in range(count)]
    y = operation.add("Multiply", parts) if count > 1 else parts[0]
    y = operation.add("Reshape", y, target_shape=_kept(shape_of(x), axes))
    return y if operation.options.get("keepdims") else operation.squeezed(y, rank_of(x), axes)


@recipe("Std", "Var")
def _variance(operation: Operation) -> Made:
    x, axes = _of_one(operation)
    if axes is None:
        return None
    centered = operation.add("Subtract", [x, _reduce(operation, x, axes, "mean", True)])
    keepdims = bool(operation.options.get("keepdims"))
    y = _reduce(operation, operation.power(centered, 2.0), axes, "mean", keepdims)
    return operation.power(y, 0.5) if operation.kind == "Std" else y


@recipe("CountNonzero")
def _count(operation: Operation) -> Made:
    x, axes = _of_one(operation)
    return None if axes is None else _reduce(operation, truth(operation, x), axes, "sum", False)


@recipe("Logsumexp")
def _log_of_sum(operation: Operation) -> Made:
    x, axes = _of_one(operation)
    top = None if axes is None else greatest(operation, x, shape_of(x), axes)
    if axes is None or top is None:
        return None
    top = operation.add("Clip", top, minimum=-LARGEST, maximum=LARGEST)  # of infinite ones, not ∞ - ∞
    powers = operation.add("Activation", operation.add("Subtract", [x, top]), activation="exponential")
    logarithm = operation.apply("log", _reduce(operation, powers, axes, "sum", True))
    y = operation.add("Add", [logarithm, top])
    return y if operation.options.get("keepdims") else operation.squeezed(y, rank_of(x), axes)


@recipe("Norm")
def _norm(operation: Operation) -> Made:
    x, axes = _of_one(operation)
    if axes is None or isinstance(operation.options.get("ord"), bool):
        return None
    y = _length(operation, x, axes, operation.options.get("ord"))
    if y is None:
        return None
    return y if operation.options.get("keepdims") else operation.squeezed(y, rank_of(x), axes)


@recipe("Normalize")
def _normalized(operation: Operation) -> Made:
    x, axes = _of_one(operation)
    epsilon, order = operation.options.get("epsilon"), operation.options.get("order", 2)
    y = None if axes is None else _length(operation, x, axes, None if order == 2 else order)
    if y is None:
        return None
    bounded = operation.add("Clip", y, minimum=1e-7 if epsilon is None else epsilon)
    return operation.divided(x, bounded)


@recipe("Argmax", "Argmin")
def _place(operation: Operation) -> Made:
    x, axes = _of_one(operation)
    if axes is None or len(axes) != 1:
        return None
    axis, rank = axes[0], rank_of(x)
    order = [*(n for n in range(rank) if n != axis), axis]
    values = operation.scaled(x, -1.0) if operation.kind == "Argmin" else x
    y = operation.add("ArgMax", operation.permuted(values, order))
    if not operation.options.get("keepdims"):
        return operation.squeezed(y, rank, [rank - 1])
    return operation.permuted(y, [order.index(n) for n in range(rank)])


@recipe("LogSoftmax")
def _log_softmax(operation: Operation) -> Made:
    x, axes = _of_one(operation)
    if axes is None or len(axes) != 1:
        return None
    axis, last = axes[0], rank_of(x) - 1
    order = [*(n for n in range(last + 1) if n != axis), axis]
    y = operation.add("LogSoftmax", operation.permuted(x, order))
    return operation.permuted(y, [order.index(n) for n in range(last + 1)])


def truth(operation: Operation, x: Config) -> Config:
    """1 where a number is not 0."""
    if dtype_of(x) == "bool":
        return x
    return operation.scaled(operation.apply("zero", x), -1.0, 1.0)


def greatest(operation: Operation, x: Config, shape: list, axes: list[int]) -> Config | None:
    """The maxima over axes, which stay with size 1; `shape` is x's."""
    folded = _folded(operation, x, shape, axes)
    if folded is None:
        return None
    pooled = operation.add("GlobalMaxPooling1D", folded)
    return operation.add("Reshape", pooled, target_shape=_kept(shape, axes))


def _of_one(operation):
    """(the tensor, the axes) of an operation on one tensor; no axes where samples are among them."""
    if len(operation.args) != 1 or not is_tensor(operation.args[0]):
        return {}, None
    x = operation.args[0]
    axis = operation.options.get("axis")
    return x, axes_in(axis, rank_of(x))


def _reduce(operation, x, axes, name, keepdims):
    return operation.add("Reduce", x, operation=name, axis=axes, keepdims=keepdims)


def _folded(operation, x, shape, axes):
    """x as (N, numbers of the axes, numbers of the others); None where sizes are not known."""
    if None in shape[1:]:
        return None
    others = [axis for axis in range(1, len(shape)) if axis not in axes]
    moved = operation.permuted(x, [0, *axes, *others])
    inner = outer = 1
    for axis in range(1, len(shape)):
        inner, outer = (inner * shape[axis], outer) if axis in axes else (inner, outer * shape[axis])
    return operation.add("Reshape", moved, target_shape=[inner, outer])


def _kept(shape, axes):
    return [1 if axis in axes else shape[axis] for axis in range(1, len(shape))]


def _length(operation, x, axes, order) -> Config | None:
    """|x| along axes, which stay with size 1."""
    if order in (None, "fro", "euclidean") or (order == 2 and len(axes) == 1):
        return operation.power(_reduce(operation, operation.power(x, 2.0), axes, "sum", True), 0.5)
    if len(axes) != 1:
        return None
    if order == 1:
        return _reduce(operation, operation.apply("abs", x), axes, "sum", True)
    is_infinite = order in ("inf", float("inf"))
    return greatest(operation, operation.apply("abs", x), shape_of(x), axes) if is_infinite else None
