"""Tensors of the model whose numbers are brought into another order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minicnn.graph import Tensor
from minicnn.hints import Shape
from minicnn.layers import Conv2D, Permute, Reshape
from minicnn.onnx.values import Value, channel_order, permutation, transposition

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer


def reordered(graph: Importer, value: Value, positions: np.ndarray, shape: Shape) -> Tensor | None:
    """The tensor of samples of `shape` whose numbers are a value's, at `positions`; None if no layers do that."""
    order = np.empty_like(value.positions).ravel()
    order[positions.ravel()] = value.positions.ravel()  # for each number in the layout: where it is
    axes = permutation(order.reshape(shape), value.tensor.shape[1:])
    if axes is not None:
        return graph.view(value.tensor, Permute, axes)
    channels = channel_order(order.reshape(shape)) if graph.has_open_sizes else None
    if channels is not None and value.tensor.shape[1:] == shape:
        return _with_channels(graph, value.tensor, channels)
    found = transposition(order)
    if found is None or order.size != math.prod(value.tensor.shape[1:]):
        return None
    sizes, axes = found
    tensor = graph.view(value.tensor, Reshape, sizes) if value.tensor.shape[1:] != sizes else value.tensor
    tensor = graph.view(tensor, Permute, axes)
    return tensor if tensor.shape[1:] == shape else graph.view(tensor, Reshape, shape)


def _with_channels(graph, tensor, order):
    """Images with their channels in another order, whatever their sizes: a convolution with ones and zeros."""
    graph.spare -= len(order) ** 2
    if graph.spare < 0:
        return None
    name = graph.layer_name(f"{tensor.name}_channels")
    layer = Conv2D(len(order), 1, use_bias=False, trainable=False, name=name)
    y = layer(tensor)
    layer.set_weights([np.eye(len(order), dtype=np.float32)[None, None, :, order]])
    return y
