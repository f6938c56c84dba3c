"""Recipes of what takes samples apart and puts them together: parts, stacks, paddings, products, images."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from minicnn.checks import is_integer
from minicnn.saving.keras.axis_recipes import MOST_PARTS
from minicnn.saving.keras.operations import array_in
from minicnn.saving.keras.recipe import (
    Made,
    Operation,
    axes_in,
    is_finite,
    is_floating,
    is_tensor,
    rank_of,
    recipe,
    shape_of,
)


@recipe("ExpandDims")
def _expand(operation: Operation) -> Made:
    x, axis = _of_one(operation)
    axes = None if x is None else axes_in(axis, rank_of(x) + (len(axis) if isinstance(axis, list) else 1))
    if x is None or axes is None:
        return None
    for each in axes:
        x = operation.expanded(x, each)
    return x


@recipe("Squeeze")
def _squeeze(operation: Operation) -> Made:
    x, axis = _of_one(operation)
    if x is None:
        return None
    if axis is None and None not in shape_of(x)[1:]:
        axes = [n for n, size in enumerate(shape_of(x)) if size == 1]
    else:
        axes = axes_in(axis, rank_of(x))
    if axes is None or any(shape_of(x)[n] != 1 for n in axes):
        return None
    return operation.squeezed(x, rank_of(x), axes) if 0 not in axes else None


@recipe("Split", "ArraySplit")
def _split(operation: Operation) -> Made:
    x, axis, size = _along(operation, 0)
    given = operation.options.get("indices_or_sections")
    if x is None:
        return None
    if is_integer(given) and size and given > 0 and size % given == 0:
        bounds = [*range(0, size + 1, size // given)]
    elif isinstance(given, list) and all(map(is_integer, given)) and min(given, default=0) >= 0:
        bounds = [0, *given, None]
    else:
        return None
    return [operation.part(x, rank_of(x), axis, [start, stop, None]) for start, stop in pairwise(bounds)]


@recipe("Unstack")
def _unstack(operation: Operation) -> Made:
    x, axis, size = _along(operation, 0)
    count = operation.options.get("num") or size
    if x is None or not is_integer(count) or not 0 < count <= MOST_PARTS:
        return None
    return [operation.part(x, rank_of(x), axis, index) for index in range(count)]


@recipe("Stack")
def _stack(operation: Operation) -> Made:
    tensors = operation.args[0] if len(operation.args) == 1 else None
    if not isinstance(tensors, list) or not tensors or not all(map(is_tensor, tensors)):
        return None
    axes = axes_in(operation.options.get("axis", 0), rank_of(tensors[0]) + 1)
    if axes is None or len(axes) != 1:
        return None
    return _joined(operation, [operation.expanded(x, axes[0]) for x in tensors], axes[0])


@recipe("Repeat")
def _repeat(operation: Operation) -> Made:
    x, axis, _ = _along(operation, None)
    count = operation.options.get("repeats")
    if x is None or not is_integer(count) or not 0 < count <= MOST_PARTS or None in shape_of(x)[1:]:
        return None
    stacked = _joined(operation, [operation.expanded(x, axis + 1)] * count, axis + 1)
    sizes = [size * count if n == axis else size for n, size in enumerate(shape_of(x))]
    return operation.add("Reshape", stacked, target_shape=sizes[1:])


@recipe("Tile")
def _tile(operation: Operation) -> Made:
    x, counts = _of_one(operation, "repeats")
    if x is None or not isinstance(counts, list) or not all(map(is_integer, counts)):
        return None
    counts = [*[1] * (rank_of(x) - len(counts)), *counts]
    if len(counts) != rank_of(x) or counts[0] != 1 or not all(0 < n <= MOST_PARTS for n in counts):
        return None
    for axis, count in enumerate(counts):
        x = _joined(operation, [x] * count, axis)
    return x


@recipe("Flip")
def _flip(operation: Operation) -> Made:
    x, axis = _of_one(operation)
    axes = None if x is None else axes_in(axis, rank_of(x))
    if x is None or axes is None:
        return None
    return operation.add("GetItem", x, key=operation.key(rank_of(x), {n: [None, None, -1] for n in axes}))


@recipe("Roll")
def _roll(operation: Operation) -> Made:
    x, axis, size = _along(operation, None)
    shift = operation.options.get("shift")
    if x is None or not size or not is_integer(shift):
        return None
    start = -shift % size
    bounds = [[start, None, None], [None, start, None]] if start else [[None, None, None]]
    halves = [operation.part(x, rank_of(x), axis, each) for each in bounds]
    return _joined(operation, halves, axis)


@recipe("Swapaxes", "Moveaxis")
def _permute(operation: Operation) -> Made:
    x = operation.args[0] if len(operation.args) == 1 else None
    if not is_tensor(x):
        return None
    names = ("axis1", "axis2") if operation.kind == "Swapaxes" else ("source", "destination")
    given = [operation.options.get(name) for name in names]
    old, new = ([axis % rank_of(x) for axis in (a if isinstance(a, list) else [a]) if is_integer(axis)] for a in given)
    if not old or len(old) != len(new):
        return None
    order = list(range(rank_of(x)))
    if operation.kind == "Swapaxes":
        order[old[0]], order[new[0]] = order[new[0]], order[old[0]]
    else:
        order = [axis for axis in order if axis not in old]
        for place, axis in sorted(zip(new, old, strict=True)):
            order.insert(place, axis)
    return operation.permuted(x, order) if order[0] == 0 else None


@recipe("Take")
def _take(operation: Operation) -> Made:
    x = operation.args[0] if len(operation.args) == 2 else None
    axes = axes_in(operation.options.get("axis"), rank_of(x)) if is_tensor(x) else None
    if axes is None or len(axes) != 1:
        return None
    indices = operation.args[1]
    if is_integer(indices):
        return operation.part(x, rank_of(x), axes[0], int(indices))
    numbers, size = array_in(indices), shape_of(x)[axes[0]]
    if numbers is None or numbers.ndim != 1 or len(numbers) > MOST_PARTS or not size:
        return None
    if (numbers != np.floor(numbers)).any() or (numbers < -size).any() or (numbers >= size).any():
        return None
    places = [int(n) % size for n in numbers]
    return _joined(operation, [operation.part(x, rank_of(x), axes[0], [n, n + 1, None]) for n in places], axes[0])


@recipe("Pad")
def _pad(operation: Operation) -> Made:
    x, width = _of_one(operation, "pad_width")
    mode, value = operation.options.get("mode", "constant"), operation.options.get("constant_values", 0)
    if x is None or not isinstance(width, list) or mode not in ("constant", "reflect", "symmetric"):
        return None
    sides = width * rank_of(x) if len(width) == 1 else width
    is_pair = [isinstance(s, list) and len(s) == 2 and all(is_integer(n) and n >= 0 for n in s) for s in sides]
    if len(sides) != rank_of(x) or not all(is_pair) or sides[0] != [0, 0] or not is_finite(value):
        return None
    if not is_floating(x) and value != int(value):
        return None
    if mode == "constant" and value == 0 and rank_of(x) == 4 and sides[3] == [0, 0]:
        return operation.add("ZeroPadding2D", x, padding=sides[1:3])
    for axis, (before, after) in enumerate(sides):
        x = _padded(operation, x, len(sides), axis, before, after, mode, float(value)) if before or after else x
    return x


def _padded(operation, x, rank, axis, before, after, mode, value):
    """x with numbers before and behind it along one axis."""
    if mode == "constant":
        slab = operation.constant(operation.part(x, rank, axis, [0, 1, None]), value)
        return _joined(operation, [*[slab] * before, x, *[slab] * after], axis)
    start, end = (1, -2) if mode == "reflect" else (0, -1)
    first = [start + before - 1, start - 1 if start else None, -1]
    parts = [operation.part(x, rank, axis, first)] if before else []
    last = [operation.part(x, rank, axis, [end, end - after, -1])] if after else []
    return _joined(operation, [*parts, x, *last], axis)


@recipe("Matmul", "Dot")
def _product(operation: Operation) -> Made:
    """Of matrices of each sample, or with an array of two axes; Keras's dot of two tensors mixes samples."""
    a, b = operation.args if len(operation.args) == 2 else (None, None)
    if not is_tensor(a):
        return None
    if is_tensor(b):
        is_each = operation.kind == "Matmul" and rank_of(a) == rank_of(b) >= 3
        return operation.add("MatrixProduct", [a, b]) if is_each else None
    matrix, rank = array_in(b), rank_of(a)
    if matrix is None or matrix.ndim != 2 or rank < 2 or not np.isfinite(matrix).all():
        return None
    rows = a if rank > 2 else operation.expanded(a, 1)
    one = operation.add("GetItem", rows, key=[[0, 1, None]] * (max(rank, 3) - 1))
    y = operation.add("MatrixProduct", [rows, operation.constant(one, matrix)])
    return y if rank > 2 else operation.squeezed(y, 3, [1])


@recipe("Cross")
def _cross(operation: Operation) -> Made:
    """Of vectors of three numbers along the last axis."""
    tensors, options = operation.args, operation.options
    if len(tensors) != 2 or not all(map(is_tensor, tensors)) or rank_of(tensors[0]) != rank_of(tensors[1]):
        return None
    rank = rank_of(tensors[0])
    axes = {options.get(name, -1) for name in ("axisa", "axisb", "axisc")} | {options.get("axis") or -1}
    if not axes <= {-1, rank - 1} or {shape_of(x)[-1] for x in tensors} != {3} or rank < 2:
        return None
    a, b = ([operation.part(x, rank, rank - 1, [n, n + 1, None]) for n in range(3)] for x in tensors)
    products = [
        [operation.add("Multiply", [a[n - 2], b[n - 1]]), operation.add("Multiply", [a[n - 1], b[n - 2]])]
        for n in range(3)
    ]
    return _joined(operation, [operation.add("Subtract", pair) for pair in products], rank - 1)


@recipe("Triu", "Tril")
def _triangle(operation: Operation) -> Made:
    x, offset = _of_one(operation, "k")
    sizes = [] if x is None else shape_of(x)[1:][-2:]
    if x is None or len(sizes) < 2 or None in sizes or not is_integer(offset) or abs(offset) > sum(sizes):
        return None
    kept = (np.triu if operation.kind == "Triu" else np.tril)(np.ones(sizes), offset)
    return operation.add("Select", [operation.constant(x, kept), x], otherwise=0.0)


@recipe("Tensordot")
def _tensordot(operation: Operation) -> Made:
    return _product(operation) if operation.options.get("axes") == 1 else None


@recipe("MaxPool", "AveragePool")
def _pool(operation: Operation) -> Made:
    x, size = _of_one(operation, "pool_size")
    rank = 0 if x is None else rank_of(x)
    if x is None or rank not in (3, 4):
        return None
    options = {name: operation.options.get(name) for name in ("strides", "padding", "data_format")}
    class_name = f"{operation.kind.removesuffix('Pool')}Pooling{rank - 2}D"
    given = {name: value for name, value in options.items() if value is not None}
    return operation.add(class_name, x, pool_size=size, **given)


_RESIZING = ("interpolation", "antialias", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "fill_mode", "fill_value")


@recipe("Resize")
def _resize(operation: Operation) -> Made:
    x, size = _of_one(operation, "size")
    if x is None or rank_of(x) != 4 or not isinstance(size, list) or len(size) != 2 or not _is_last(operation):
        return None
    if operation.options.get("interpolation") != "nearest" and not is_floating(x):  # Keras makes whole numbers of them
        return None
    options = {name: operation.options[name] for name in _RESIZING if name in operation.options}
    return operation.add("Resizing", x, height=size[0], width=size[1], **options)


@recipe("CropImages")
def _crop(operation: Operation) -> Made:
    x, _ = _of_one(operation)
    if x is None or rank_of(x) != 4 or not _is_last(operation):
        return None
    key: list[Any] = []
    for axis, names in ((1, ("top", "bottom", "height")), (2, ("left", "right", "width"))):
        key.append(_kept(operation.options, shape_of(x)[axis], *names))
    return None if None in key else operation.add("GetItem", x, key=key)


def _kept(options, size, first, last, along):
    """[start, stop, None] of an axis from two of what is cropped before, what behind, and what is left."""
    before, behind, length = (options.get(n) for n in (f"{first}_cropping", f"{last}_cropping", f"target_{along}"))
    if not is_integer(before):
        known = all(map(is_integer, (size, behind, length)))
        before = size - behind - length if known else None
    if is_integer(before) and not is_integer(length):
        length = size - behind - before if is_integer(size) and is_integer(behind) else None
    if not is_integer(before) or not is_integer(length) or before < 0 or length < 1:
        return None
    return [before, before + length, None]


@recipe("RGBToGrayscale")
def _gray(operation: Operation) -> Made:
    x, _ = _of_one(operation)
    if x is None or rank_of(x) != 4 or shape_of(x)[3] != 3 or not _is_last(operation) or not is_floating(x):
        return None
    weighed = operation.scaled(x, np.array([0.2989, 0.5870, 0.1140]))
    return operation.add("Reduce", weighed, operation="sum", axis=[3], keepdims=True)


def _is_last(operation):
    return operation.options.get("data_format") in (None, "channels_last")


def _of_one(operation, name="axis"):
    """(the tensor, an option) of an operation on one tensor."""
    is_alone = len(operation.args) == 1 and is_tensor(operation.args[0])
    return (operation.args[0], operation.options.get(name)) if is_alone else (None, None)


def _along(operation, default):
    """(the tensor, the one axis, its size or None); no tensor where that axis is the samples', or none."""
    x, axis = _of_one(operation)
    axes = None if x is None else axes_in(default if axis is None else axis, rank_of(x))
    if x is None or axes is None or len(axes) != 1:
        return None, 0, None
    return x, axes[0], shape_of(x)[axes[0]]


def _joined(operation, tensors, axis):
    return operation.add("Concatenate", tensors, axis=axis) if len(tensors) > 1 else tensors[0]
