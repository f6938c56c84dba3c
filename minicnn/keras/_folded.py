"""Windows of images that a layer's `call` makes samples of, as Swin's attention does, and takes out of them again.

A graph keeps samples apart. So the first reshape gives the beginning of a graph of its own, for one window, and the one
that takes windows out of the samples puts that graph's layers into the graph around, for all windows at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from minicnn import layers
from minicnn.errors import ShapeError
from minicnn.graph import Graph, Node, Tensor
from minicnn.keras._own_weights import is_making_graph
from minicnn.keras._shapes import of_samples
from minicnn.keras._window_starts import MovesSamples, is_of_windows, nodes_before, starts_of, windows_at, windows_of
from minicnn.layers.activity import with_penalty
from minicnn.layers.added_loss import BatchScalar, ToMeasure
from minicnn.layers.input import InputLayer
from minicnn.layers.time_distributed import OfFrames, of_all_frames


def reshaped(tensor: Tensor, shape: tuple[Any, ...]) -> Tensor:
    """``reshape(tensor, shape)``, in which samples may become several, and several one.

    Raises
    ------
    ShapeError
        If they do outside of a `call` that makes a graph, or several become one that were made of no sample.
    """
    own, rest = tuple(tensor.shape)[1:], shape[1:]
    if is_making_graph() and all(isinstance(n, int) and n > 0 for n in (*own, *rest)):
        old, new = math.prod(own), math.prod(rest)
        if new < old and old % new == 0 and shape[0] == -1:
            return _folded(layers.Reshape((old // new, *rest))(tensor))
        if new > old and new % old == 0 and is_of_windows(tensor) and _are_all(tensor, shape[0], new // old):
            return _unfolded(tensor, list(starts_of(tensor)), new // old, rest)
    try:
        return layers.Reshape(of_samples(shape, tensor.shape))(tensor)
    except ShapeError as problem:
        raise (MovesSamples(str(problem)) if is_making_graph() else problem) from None


def _are_all(tensor, count, factor):
    """Whether samples of `factor` windows each are as many as the first size of a shape says: -1, or those around."""
    windows = [windows_of(start) for start in starts_of(tensor)]
    is_of_image = all(each.shape[1] == factor and not is_of_windows(each) for each in windows)
    return count == -1 or (count is None and is_of_image)


def check_no_windows(outputs: Sequence[Tensor], losses: Sequence[Any]) -> None:
    """Raise `MovesSamples` for windows that are still samples where a `call` ends, or adds to the loss.

    Also for a layer that it calls on windows and on what is none, which would have two places of one name.
    """
    for loss in map(_tensor_of, losses):
        if loss is not None and windows_at(loss) is not None:
            raise MovesSamples(
                "add_loss and add_metric take what is computed of a call's samples, and not of windows that are "
                "samples in it: take them out of the samples before, or have the call in that of a keras.Model, "
                f"which runs on arrays then. Received: what is computed of a tensor {loss.shape}"
            )
    for tensor in outputs:
        if (windows := windows_at(tensor)) is not None:
            raise MovesSamples(
                "a call gives as many samples as it gets: one that makes samples of the parts of images takes "
                f"them out again, as by reshape(x, (-1, {windows.shape[1]}, …)), or stands in the call of a "
                f"keras.Model, which runs on arrays then. Received: {tensor.shape} of {windows.shape}"
            )
    layers = {node.layer for node in nodes_before(outputs)}
    for twice in (part.layer for part in layers if isinstance(part, OfFrames) and part.layer in layers):
        raise MovesSamples(
            "a call that makes samples of the windows of images has a layer of its own for these, beside those of "
            "images, or stands in the call of a keras.Model, which runs on arrays then. "
            f"Received: layer '{twice.name}' for both"
        )


def _tensor_of(loss):
    """The tensor of which a part of the loss, or a metric's value, is computed; None if it is another value."""
    value = loss.value if isinstance(loss, ToMeasure) else loss
    value = value.tensor if isinstance(value, BatchScalar) else value
    return value if isinstance(value, Tensor) else None


def _folded(windows):
    """The beginning of a graph for one of the windows (N, count, …)."""
    layer = InputLayer(windows.shape[2:], name="windows")
    vars(layer)["windows"] = windows
    return Node(layer, (), [windows.shape[2:]]).outputs[0]


def _unfolded(tensor: Tensor, starts: Sequence[Tensor], factor: int, rest: tuple[int, ...]) -> Tensor:
    """Samples that are made of `factor` windows each, of the shape `rest`."""
    windows = [windows_of(start) for start in starts]
    counts = {each.shape[1] for each in windows}
    count = counts.pop()
    if counts or count % factor:
        raise MovesSamples(
            "what is computed of windows is of as many in each sample, and they are taken out of the samples together, "
            f"or a part of them that divides their number. Received: {factor} of {sorted({count, *counts})} windows"
        )
    graph = Graph(starts, [tensor])
    _check_without_losses(graph)
    wrap = partial(_wrapped, _kept(windows[0]))
    (made,) = of_all_frames(SimpleNamespace(graph=graph), windows, wrap=wrap)  # (N, count, …)
    _take_places(graph, Graph(windows, [made]))
    if factor == count:
        return layers.Reshape(rest)(made)
    return _folded(layers.Reshape((count // factor, *rest))(made))


def _kept(tensor) -> dict[Any, OfFrames]:
    """Layer → what stands for it in the graph that a tensor belongs to, the same wherever it is called."""
    start = next(starts_of(tensor))
    windows = windows_of(start)
    return vars(start.node.layer).setdefault("for_windows", {}) if windows is None else _kept(windows)


def _wrapped(kept, layer):
    """What stands for a layer."""
    if layer not in kept:
        kept[layer] = OfFrames(layer)
        vars(kept[layer])["name"] = layer.name  # with the "/" of a part of attention, by which files know it
    return kept[layer]


def _take_places(graph, around):
    """Have the layers of the graph around know their places; those in the graph of a window have none of their own."""
    for node in graph.nodes:
        if node in node.layer.nodes:
            node.layer.nodes.remove(node)
    for node in around.nodes:
        if node.inputs and node.outputs[0] not in around.inputs:
            node.layer.nodes.append(node)


def _check_without_losses(graph):
    """Raise `MovesSamples` for a layer that adds to the loss, which is one for all windows of a batch."""
    for layer in graph.layers:
        inside = layer.graph.layers if layer.graph is not None else [layer]
        if any(step.has_penalty for each in inside for step in with_penalty(each)):
            raise MovesSamples(
                f"layer '{layer.name}' adds to the loss, and is called on windows that are samples in a call: make "
                "that part of the loss of what stands behind the windows. Received: a layer with an added loss, or "
                "an activity_regularizer"
            )
