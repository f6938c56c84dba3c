"""How much work a network does for one sample: floating-point operations, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minicnn.graph import Node
from minicnn.layers.conv_transpose import Conv1DTranspose, Conv2DTranspose
from minicnn.layers.conv_volumes import Conv3DTranspose
from minicnn.layers.cropping import Cropping2D
from minicnn.layers.flatten import Flatten
from minicnn.layers.global_pooling import GlobalAveragePooling2D, GlobalMaxPooling2D
from minicnn.layers.merge import Concatenate
from minicnn.layers.normalization import BatchNormalization
from minicnn.layers.one_dimensional import (
    AveragePooling1D,
    Cropping1D,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    MaxPooling1D,
    ZeroPadding1D,
)
from minicnn.layers.open_sizes import has_open, of_sizes
from minicnn.layers.pooling import AveragePooling2D, MaxPooling2D
from minicnn.layers.rearranging import Identity, Permute, RepeatVector
from minicnn.layers.reshape import Reshape
from minicnn.layers.slicing import GetItem
from minicnn.layers.time_distributed import OfFrames
from minicnn.layers.volume_borders import Cropping3D, ZeroPadding3D
from minicnn.layers.volumes import AveragePooling3D, GlobalAveragePooling3D, GlobalMaxPooling3D, MaxPooling3D
from minicnn.layers.zero_padding import ZeroPadding2D

if TYPE_CHECKING:
    from minicnn.graph import Graph

_MOVES = (Concatenate, Cropping1D, Cropping2D, Flatten, GetItem, Identity, Permute, RepeatVector, Reshape)
_MOVES = (*_MOVES, Cropping3D, ZeroPadding1D, ZeroPadding2D, ZeroPadding3D)
_POOLING = AveragePooling1D, AveragePooling2D, AveragePooling3D, MaxPooling1D, MaxPooling2D, MaxPooling3D
_GLOBAL = GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalMaxPooling1D, GlobalMaxPooling2D
_GLOBAL = (*_GLOBAL, GlobalAveragePooling3D, GlobalMaxPooling3D)
_TRANSPOSED = Conv1DTranspose, Conv2DTranspose, Conv3DTranspose


def node_flops(node: Node) -> int | None:
    """The operations of one call of a layer for one sample, in use; of a model, those of its layers.

    A multiplication and its addition count as two, a bias, an activation, a comparison or any other function of a
    number as one. Taps that lie in the padding count. A layer of one's own says it in a method
    ``flops(input_shapes, output_shape)``, shapes without the batch axis.

    Returns
    -------
    int or None
        None where a size is open, or a layer does not say it.
    """
    shapes = [tensor.shape[1:] for tensor in node.inputs]
    outputs = [tensor.shape[1:] for tensor in node.outputs]
    if has_open([*shapes, *outputs]):
        return None
    if (inner := of_sizes(node.layer.graph, shapes)) is not None:
        return graph_flops(inner)
    return _layer_flops(node.layer, shapes, outputs[0])


def graph_flops(graph: Graph) -> int | None:
    """The operations of all calls in a graph; None where one is not known."""
    entries = {tensor.node for tensor in graph.inputs}
    counts = [node_flops(node) for node in graph.nodes if node not in entries]
    return None if None in counts else sum(counts)


def _layer_flops(layer: Any, input_shapes: Sequence[Any], output_shape: Any) -> int | None:
    """Of one layer that is no model."""
    if isinstance(layer, OfFrames):
        own = _layer_flops(layer.layer, [shape[1:] for shape in input_shapes], output_shape[1:])
        return None if own is None else output_shape[0] * own
    own = getattr(layer, "flops", None)
    if callable(own):
        return int(own(tuple(input_shapes), output_shape))
    outputs, inputs = math.prod(output_shape), sum(math.prod(shape) for shape in input_shapes)
    steps = layer.lower()
    if isinstance(layer, _MOVES) or all(step.is_view or step.only_in_training for step in steps):
        return 0
    if not type(layer).__module__.startswith("minicnn.") or type(layer).__name__ in ("Dot", "Lambda"):
        return None
    kernels = [weight for weight in layer.weights if weight.name.endswith("kernel")]
    if kernels:
        return _of_kernels(layer, kernels, inputs, outputs)
    if isinstance(layer, _POOLING):
        return outputs * math.prod(layer.pool_size if isinstance(layer.pool_size, tuple) else (layer.pool_size,))
    if isinstance(layer, _GLOBAL):
        return inputs
    return outputs * (2 if isinstance(layer, BatchNormalization) else max(len(input_shapes) - 1, 1))


def _of_kernels(layer, kernels, inputs, outputs):
    """Of a dense layer or a convolution: each number of a kernel is used once at every place."""
    total = 0
    for kernel in kernels:
        if isinstance(layer, _TRANSPOSED):
            places = inputs // kernel.shape[-1]  # its kernel stands on every input
        else:  # without `filters` it is depthwise: (…, C, m) gives C · m channels
            depthwise = kernel.shape[-2] * kernel.shape[-1]
            places = outputs // getattr(layer, "filters", getattr(layer, "units", depthwise))
        total += 2 * kernel.size * places
    total += outputs if any(weight.name == "bias" for weight in layer.weights) else 0
    activation = getattr(layer, "activation", None)
    return total + (outputs if activation not in (None, "linear") else 0)
