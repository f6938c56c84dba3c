"""How operators get into their table, and how they read their attributes and their constant inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from minicnn.checks import is_integer
from minicnn.onnx.tensors import MAX_AXES
from minicnn.onnx.values import Value

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

BATCH = -(2**40)  # stands for the number of samples in an array that holds a shape, and multiples for its multiples
MOST_SAMPLES = 2**20  # times the number of samples
NUMBER = 2**40  # stands for the number of a sample, 0 for the first one, in what indices are calculated from
MAX_SHAPE_ARRAY = 100  # numbers in an array that holds a shape

Translate: TypeAlias = "Callable[[FileNode, Importer], None]"
"""Says with `Importer.give` what a node's output is."""


OPERATORS: dict[str, Translate] = {}
"""Name of an operator → function that translates a node; the files that `operators` names fill it."""


def operator(*names: str, kind: set[str] | None = None) -> Callable[[Translate], Translate]:
    """A decorator, used as ``@operator("Relu", …)``, that enters a function under names of operators.

    `kind` is one of the sets below, which the names enter too.
    """

    def enter(function: Translate) -> Translate:
        OPERATORS.update(dict.fromkeys(names, function))
        if kind is not None:
            kind.update(names)
        return function

    return enter


def samples_in(number: int) -> int:
    """How many times the number of samples a number of a shape stands for; 0 if it is a size."""
    count, rest = divmod(number, BATCH)
    return 0 if rest or not 0 < count <= MOST_SAMPLES else count


CHANNEL_OPERATORS: set[str] = set()
"""Those that take axis 1 for the channels, as they are supported here."""

ELEMENTWISE_OPERATORS: set[str] = set()
"""Those that leave the axes in their order."""


AXES_KEPT = {
    "ArgMax",
    "ArgMin",
    "CumSum",
    "LayerNormalization",
    "LogSoftmax",
    "LpNormalization",
    "PRelu",
    "Slice",
    "Softmax",
    "Split",
}
AXES_KEPT |= {
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "ReduceSumSquare",
}
"""Those that leave the axes in their order too, but for what keepdims says."""


def takes_a_list(node: FileNode, arrays: dict[str, np.ndarray]) -> bool:
    """Whether a node takes a list, say of channels, from one axis, and leaves the axes in their order.

    `arrays` has those of the file, by name.
    """
    indices = arrays.get(node.inputs[1]) if len(node.inputs) == 2 else None
    if indices is None:
        return False
    return (node.operator, indices.ndim) == ("Gather", 1) or (node.operator == "GatherND" and indices.shape[1:] == (1,))


def channel_axis(node: FileNode, axes: dict[str, int], arrays: dict[str, np.ndarray]) -> int | None:
    """Which axis of a node's outputs is the channels of images: 1 for images, another one where they were transposed.

    Parameters
    ----------
    axes : dict
        The same for the nodes before and the inputs of the graph, by name; without those that it is None for.
    arrays : dict
        As `takes_a_list` needs them.

    Returns
    -------
    int or None
        0 if what comes from images is none any more; None if it does not come from images.
    """
    known = [axes[name] for name in node.inputs if name in axes]
    if node.operator in ELEMENTWISE_OPERATORS or node.operator in AXES_KEPT or takes_a_list(node, arrays):
        is_kept = node.attributes.get("keepdims", 1) == 1
        return min((axis for axis in known if axis and is_kept), default=0) if known else None
    if node.operator in CHANNEL_OPERATORS:
        return 1
    if node.operator == "Transpose" and known[:1] > [0]:
        perm = list(node.attributes.get("perm", ()))
        return perm.index(known[0]) if known[0] in perm else 0
    return 0 if known else None


def are_read_as_images(name: str, rank: int, readers: dict[str, list[FileNode]], arrays: dict[str, np.ndarray]) -> bool:
    """Whether the first operator that cares takes axis 1 of an input of the graph for the channels.

    Parameters
    ----------
    name : str
        Of the input.
    rank : int
        Its axes, with the batch axis.
    readers : dict
        The nodes that read each name.
    arrays : dict
        As `takes_a_list` needs them.
    """
    seen, waiting = {name}, [(name, list(range(rank)))]  # the input's axes in the order that they have there
    of_reduced: list[bool] = []  # of sums, means and maxima, which files with channels last have, too
    while waiting:
        name, axes = waiting.pop()
        for node in readers.get(name, ()):
            keeps_axes = node.operator in (*ELEMENTWISE_OPERATORS, "Slice", "Split", "Transpose")
            if node.operator.startswith("Reduce"):
                keeps_axes = node.get("keepdims", 1) == 1
                of_reduced.append(_is_of_channels_first(node, axes, arrays))
            elif node.operator in CHANNEL_OPERATORS:
                return axes[1] == 1
            perm = list(range(rank))
            if node.operator == "Transpose":
                perm = node.get("perm", perm[::-1], list)
            if (keeps_axes or takes_a_list(node, arrays)) and sorted(perm) == list(range(rank)):
                new = [output for output in node.outputs if output not in seen]
                seen.update(new)
                waiting += [(output, [axes[axis] for axis in perm]) for output in new]
    return any(of_reduced[:1])


def _is_of_channels_first(node, axes, arrays):
    """Whether a sum, mean or maximum goes over what it may if channels come first in the graph's input.

    Not over the last axis alone, which normalizes pixels or entries of a series, nor over all but the last one, which
    pools what has channels last. `axes` are the input's, in the order in which the node sees them.
    """
    over = node.get("axes", None, list)
    if over is None and len(node.inputs) > 1:
        over = integers(node, arrays.get(node.inputs[1]))
    over, last = sorted(axes[axis % len(axes)] for axis in over or ()), len(axes) - 1
    is_normalizing = over == [last] and (last > 2 or node.get("keepdims", 1) == 1)
    return axes[1] == 1 and over != [*range(1, last)] and not is_normalizing


def pair(node: FileNode, attribute: str, default: tuple[int, int] | None = (1, 1)) -> tuple[int, int]:
    """An attribute that holds two positive integers, for height and width, or one: for rows."""
    value = node.get(attribute, default, list)
    value = [1, *value] if value is not None and len(value) == 1 else value
    if value is None or len(value) != 2 or not all(0 < n < 2**31 for n in value):
        raise node.error(f"{attribute} holds two positive numbers, for images. Received: {attribute}={value}")
    return tuple(value)


def number_at(node: FileNode, graph: Importer, index: int, default: float) -> float:
    """A constant input that holds one number, as a float."""
    array = graph.constant(node, index)
    if array is None:
        return default
    if array.size != 1 or array.dtype.kind not in "fiub":
        raise node.error(f"input {index} is one number. Received: an array of {array.dtype} of shape {array.shape}")
    return float(array.item())


def integers(node: FileNode, array: np.ndarray | None) -> list[int] | None:
    """The list of int in a constant; None if there is none."""
    if array is None:
        return None
    if array.dtype.kind != "i" or array.ndim > 1 or array.size > MAX_SHAPE_ARRAY:
        raise node.error(f"expected a few integers. Received: an array of {array.dtype} of shape {array.shape}")
    return [int(n) for n in array.ravel()]


def axes_of(node: FileNode, graph: Importer, rank: int, grows: bool = False) -> list[int] | None:
    """The axes that a node names, in an attribute or, in later opsets, an input; None if it names none."""
    axes = node.get("axes", None, list)
    if axes is None:
        axes = integers(node, graph.constant(node, 1))
    if axes is None:
        return None
    if len(axes) > MAX_AXES:
        raise node.error(f"a tensor has at most {MAX_AXES} axes. Received: {len(axes)}")
    rank += len(axes) if grows else 0
    axes = [checked_axis(node, axis, rank) for axis in axes]
    if len(set(axes)) != len(axes):
        raise node.error(f"every axis is named once. Received: axes={axes}")
    return axes


def checked_axis(node: FileNode, axis: object, rank: int) -> int:
    """An axis, counted from 0."""
    if not is_integer(axis) or not -rank <= axis < rank:
        raise node.error(f"an axis is a number from {-rank} to {rank - 1} here. Received: axis={axis!r}")
    return axis % rank


def part_of(size: int, start: int, end: int, step: int) -> slice:
    """The part of an axis of so many that a Slice takes: going back from before the first one, that is the first."""
    if step > 0:
        return slice(start, end, step)
    return slice(max(start, -size), None if end < -size else end, step)


def along_axis(node: FileNode, graph: Importer, axis: object) -> tuple[Value, int, Value]:
    """(value, axis, input 0) of what goes along an axis of its first input, alone.

    The value has the samples in its first axis, alone, and the axis is one of its. Where the samples are elsewhere in
    the input, or counted with others, that is as good for the last axis, and for no other: `placed_like` puts the
    result back.
    """
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    axis = checked_axis(node, axis, x.rank)
    if x.is_plain:
        return x, axis, x
    if axis != x.rank - 1 or axis == x.batch_axis:
        raise node.error(
            "samples stay apart: where another axis than the first counts them, or counts more, it goes over the last "
            f"axis. Received: axis={axis} of {x.rank}"
        )
    return Value(x.tensor, x.positions, x.is_nonnegative, x.is_whole), len(x.shape), x
