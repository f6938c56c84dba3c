"""Making a model from an ONNX file."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minicnn.errors import FileFormatError
from minicnn.graph import Tensor
from minicnn.hints import Shape
from minicnn.layers import Flatten, GetItem, Input, Reshape
from minicnn.layers.base import Layer
from minicnn.models import Model
from minicnn.onnx import naming, operators  # noqa: F401, fills the table
from minicnn.onnx.arguments import OPERATORS, are_read_as_images, channel_axis
from minicnn.onnx.budget import MAX_NUMBERS, Budget
from minicnn.onnx.folding import fold
from minicnn.onnx.frames import CountsFramesError, per_frame
from minicnn.onnx.older import modernized
from minicnn.onnx.origins import Origins
from minicnn.onnx.properties import PRODUCER
from minicnn.onnx.reader import FileGraph, FileNode, read_in_place
from minicnn.onnx.reordering import reordered
from minicnn.onnx.unsupported import unknown
from minicnn.onnx.values import (
    Layout,
    Value,
    are_same,
    channels_first,
    is_last_axis,
    key_between,
    layout_of,
    likely_channel_axis,
    same_order,
)
from minicnn.onnx.windows import Sides
from minicnn.saving.files import reason_of

MAX_MOVED = 2**23  # numbers of a tensor that a layer brings into another order
MAX_SPARE = 2**24  # numbers in arrays that become tensors


class Importer:
    """What the table of operators works with: the names of the file, and what they stand for.

    Parameters
    ----------
    graph : FileGraph

    Attributes
    ----------
    opset : int
    batch_size : int or None
    has_open_sizes : bool
        Whether the sizes are no more than numbers in the place of open ones.
    borders : dict
        Name in the file → ((top, bottom), (left, right)), pixels of -inf around what the name stands for, which the
        MaxPool that reads it adds.
    budget : Budget
    origins : Origins
    stacks : dict
        Name → values that a Concat puts side by side before the batch axis, over which its reader goes.
    spare : int
        How many numbers further arrays may have that become tensors, which may be computed, not in the file.
    """

    def __init__(self, graph: FileGraph):
        self.opset: int = graph.opset
        self.batch_size: int | None = graph.batch_size
        self.has_open_sizes: bool = bool(graph.open_sizes)
        self.borders: dict[str, Sides] = {}
        self.budget: Budget = Budget()
        self.stacks: dict[str, list[Value]] = {}
        self.spare: int = MAX_SPARE
        self.origins: Origins = Origins(graph.decisions)
        self._graph = graph
        self._known = dict(graph.constants)  # name in the file → Value or array
        self._readers, self._arrays = {}, dict(graph.constants)
        self._channel_axes = {}  # name of what comes from images → which axis is their channels, 0 if none any more
        for node in graph.nodes:
            self._note_array(node)
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)
        self._done, self._layers, self._views, self._layer_names = set(), {}, {}, set()
        self._further, self._packed = itertools.count(), graph.count_numbers()

    def run(self) -> Model:
        """The model."""
        inputs = [self._input(name, shape) for name, shape in self._graph.inputs.items()]
        for node in self._graph.nodes:
            self._run_node(node)
        outputs = [self._output(name) for name in self._graph.outputs]
        return Model(inputs, outputs, name=self.layer_name(self._graph.name or "onnx"))

    def _note_array(self, node):
        if node.operator == "Constant":
            self._arrays[node.outputs[0]] = np.asarray(next(iter(node.attributes.values()), 0))

    def _run_node(self, node):
        self._find_channels(node.inputs[0] if node.operator == "Transpose" else "")
        found = channel_axis(node, self._channel_axes, self._arrays)
        for name in () if found is None or node.operator == "If" else node.outputs:
            self._channel_axes.setdefault(name, found)
        if id(node) not in self._done:
            self._translate(node)
        self.origins.follow(node, self._known)
        self._forget_inputs(node)

    def _find_channels(self, name):
        """Of what may be images again, say a Reshape's output, see whether the model has it as images."""
        value = self._known.get(name)
        if self._channel_axes.get(name) == 0 and isinstance(value, Value) and len(value.shape) == 3 and value.is_plain:
            self._channel_axes[name] = likely_channel_axis(value)

    def run_branch(self, node: FileNode, branch: FileGraph) -> None:
        """Translate the nodes of a graph that a node holds, in the node's place; its outputs are the node's."""
        ends = zip(branch.outputs, node.outputs, strict=True)
        nodes = [*branch.nodes, *(node.part("Identity", [own], [name], {}) for own, name in ends if name)]
        self._known.update(branch.constants)
        self._arrays.update(branch.constants)
        read_in_place(self._readers, node, nodes)
        for inner in nodes:
            self._note_array(inner)
        for inner in nodes:
            self._run_node(inner)

    def takes_images(self, name: str) -> bool:
        """Whether the file reads an input as channels-first images; those that minicnn wrote have channels last."""
        rank = len(self._graph.inputs[name]) + 1
        is_ours = self._graph.producer == PRODUCER
        return rank > 2 and not is_ours and are_read_as_images(name, rank, self._readers, self._arrays)

    def _input(self, name, shape):
        """The model's input, its channels last if the file reads it as channels-first images."""
        if math.prod(shape) > MAX_NUMBERS:
            raise FileFormatError(f"the input '{name}' is too large, above {MAX_NUMBERS} numbers. Received: {shape}")
        if self.takes_images(name):
            shape = (*shape[1:], shape[0])
            order = channels_first(shape)
            self._channel_axes[name] = 1
        else:
            order = same_order(shape)
        tensor = Input(shape, name=self.layer_name(name))
        self._known[name] = Value(tensor, order)
        self.budget.hold(self._known[name], FileFormatError)
        return tensor

    def _forget_inputs(self, node):
        """Let go of what no later node reads."""
        for name in set(node.inputs):
            if self._readers[name][-1] is node and name not in self._graph.outputs:
                value = self._known.pop(name, None)
                if isinstance(value, Value):
                    self.budget.let_go(value)

    def _translate(self, node):
        self._charge(node)
        try:
            node = modernized(node, self) if self.opset < 7 else node
            if not fold(node, self):
                translate = OPERATORS.get(node.operator)
                if translate is None:  # of what is computed, while constants are
                    raise unknown(node)
                translate(node, self)
        except CountsFramesError:
            if not per_frame(node, self):
                raise
        except FileFormatError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise node.error(f"it cannot be a layer here: {reason_of(error)}") from error
        node.check_all_read()

    def _output(self, name):
        """The model's tensor for an output of the graph."""
        value = self._known.get(name)
        if not isinstance(value, Value):
            raise FileFormatError(f"the output '{name}' does not depend on the graph's inputs in a way known here")
        if not value.is_plain:
            raise FileFormatError(
                f"samples stay apart: the first axis of the output '{name}' counts them, nothing else"
            )
        self._find_channels(name)
        axis = None if self._graph.producer == PRODUCER else self._channel_axes.get(name)
        found = self._common_layout([value], (channels_first if axis == 1 else same_order,))
        if found is None and axis == 0:  # no images any more: the file's axes, if a layer gives them
            found = self._common_layout([value], (channels_first,))
        if found is None:
            raise FileFormatError(f"the numbers of the output '{name}' are in an order that no layer here can give")
        return found[0][0]

    # --------------------------------------------------------------------------------------- for the operators

    def value(self, node: FileNode, index: int, any_batch_axis: bool = False, may_be_folded: bool = False) -> Value:
        """Input `index` of a node, which is to be a tensor that depends on the graph's inputs, its batch axis first."""
        value = self._get(node, index)
        if not isinstance(value, Value):
            raise node.error(f"input {index} is a constant or missing; here it depends on the graph's inputs")
        if (value.batch_axis and not any_batch_axis) or ((value.led or value.folded) and not may_be_folded):
            refusal = node.error(f"samples stay apart: the first axis of input {index} counts them, and nothing else")
            raise CountsFramesError(str(refusal)) if value.folded else refusal
        return value

    def constant(self, node: FileNode, index: int, default: np.ndarray | None = None) -> np.ndarray | None:
        """Input `index` of a node, which is to be an array known from the file; `default` if it is left out."""
        if index >= len(node.inputs) or not node.inputs[index]:
            return default
        array = self._get(node, index)
        if isinstance(array, Value):
            raise node.error(f"input {index} is computed; here it is an array in the file")
        return array

    def weight(self, node: FileNode, index: int, rank: int) -> np.ndarray:
        """Input `index` of a node, which is to be an array of floating-point numbers with `rank` axes."""
        array = self.constant(node, index)
        if array is None or array.ndim != rank or array.dtype.kind != "f" or array.size == 0:
            received = None if array is None else (array.shape, array.dtype.name)
            raise node.error(f"input {index} is an array of floating-point numbers, {rank} axes. Received: {received}")
        return array

    def known_arrays(self, node: FileNode) -> list[np.ndarray | None] | None:
        """All inputs of a node, None where one is left out; None if one of them depends on the graph's inputs."""
        arrays = [self._known.get(name) if name else None for name in node.inputs]
        is_known = all(isinstance(a, np.ndarray) or not name for a, name in zip(arrays, node.inputs, strict=True))
        return arrays if is_known and arrays else None

    def is_constant(self, node: FileNode, index: int) -> bool:
        """Whether an input is an array known from the file."""
        return index < len(node.inputs) and isinstance(self._known.get(node.inputs[index]), np.ndarray)

    def _get(self, node, index):
        if index >= len(node.inputs) or not node.inputs[index]:
            raise node.error(f"input {index} is missing")
        name = node.inputs[index]
        if name not in self._known:
            raise node.error(f"it reads an output that is not supported here. Received: {name!r}")
        return self._known[name]

    def give(self, node: FileNode, result: Value | np.ndarray, output: int = 0) -> None:
        """Say what a node's output is, the first one unless told: a `Value` or an array."""
        if isinstance(result, Value):
            self.budget.hold(result, node.error)
        elif node.operator == "DequantizeLinear" and result.size <= self._packed:
            self._packed -= result.size  # numbers of the file, each once: as many as it holds
        else:
            self.budget.count(result.size if len(node.inputs) else 0, node.error)
        self._known[node.outputs[output]] = result

    def give_images(self, node: FileNode, tensor: Tensor, is_nonnegative: bool = False, axes: int = 2) -> None:
        """Say that a node's output is a tensor (H, W, C) of the model, whose channels come first in the file.

        With one axis beside the channels it is (L, C), of images of height 1.
        """
        self.check_size(node, tensor.shape[1:])
        self._channel_axes[node.outputs[0]] = 1
        tensor = self.view(tensor, Reshape, tensor.shape[2:]) if axes == 1 else tensor
        self.give(node, Value(tensor, channels_first(tensor.shape[1:]), is_nonnegative))

    def give_name(self, known: Value | np.ndarray) -> str:
        """The name under which a node may read what the file has no name for."""
        name = f"\0{next(self._further)}"  # which no file has by accident
        self._known[name] = known
        if isinstance(known, Value):
            self.budget.hold(known, FileFormatError)
        return name

    def readers(self, node: FileNode) -> list[FileNode]:
        """The nodes that read a node's output; none if the graph gives it out."""
        name = node.outputs[0]
        return [] if name in self._graph.outputs else self._readers.get(name, [])

    def only_reader(self, node: FileNode) -> FileNode | None:
        """The only node that reads a node's output; None if there are others, or the graph gives it out."""
        readers = self.readers(node)
        return readers[0] if len(readers) == 1 else None

    def skip(self, node: FileNode) -> None:
        """Do not translate a later node: another one has."""
        self._done.add(id(node))

    def check_size(self, node: FileNode, shape: Shape) -> None:
        """Raise `FileFormatError` if a tensor is too large, before a layer gives it."""
        if any(n <= 0 for n in shape) or math.prod(shape) > MAX_NUMBERS:
            raise node.error(f"its output would have a shape that is empty or too large. Received: {shape}")

    def call(
        self,
        node: FileNode,
        layer_class: type[Layer],
        tensors: Tensor | Sequence[Tensor],
        suffix: str = "",
        **arguments: object,
    ) -> Tensor:
        """The tensor that a new layer gives; `suffix` is for the names of further layers of one node."""
        name = self.layer_name(node.name.removesuffix(f"/{node.operator}") + suffix, node.operator)
        return layer_class(name=name, **arguments)(tensors)

    def call_with_weights(
        self,
        node: FileNode,
        layer_class: type[Layer],
        tensor: Tensor,
        weights: list[np.ndarray],
        constants: Sequence[str],
        order: np.ndarray | None = None,
        **arguments: object,
    ) -> Tensor:
        """As `call`, with a layer that has weights; a layer that the file uses twice is one layer here.

        Parameters
        ----------
        weights : list of array
            As `set_weights` takes them.
        constants : sequence of str
            The file's names of the arrays behind them.
        order : array, optional
            What else the weights depend on.
        """
        attributes = sorted(node.attributes.items())
        key = (layer_class, tuple(constants), str(attributes), tensor.shape, arguments.get("activation"))
        for known_order, layer in self._layers.get(key, ()):
            if order is None or np.array_equal(order, known_order):
                return layer(tensor)
        result = self.call(node, layer_class, tensor, **arguments)
        layer = result.node.layer
        with np.errstate(over="ignore"):  # of float64 in float32
            layer.set_weights(weights)
        if not all(np.isfinite(weight).all() for weight in layer.get_weights()):
            raise node.error("its weights hold numbers that are not finite")
        self._layers.setdefault(key, []).append((order, layer))
        return result

    def images(self, node: FileNode, index: int = 0) -> Tensor:
        """Input `index` as a tensor (H, W, C), whose channels come first in the file; rows (L, C) have height 1."""
        value = self.value(node, index)
        if len(value.shape) not in (2, 3):
            raise node.error(f"it works on (N, C, H, W) or (N, C, L). Received: a sample of shape {value.shape}")
        tensor = self.arranged(node, value, channels_first)
        return tensor if len(value.shape) == 3 else self.view(tensor, Reshape, (1, *tensor.shape[1:]))

    def vector(self, value: Value) -> tuple[Tensor, np.ndarray]:
        """(tensor, positions): a value whose samples are vectors, as such a tensor, and where its numbers are."""
        if len(value.tensor.shape) != 2:
            return self.view(value.tensor, Flatten), value.positions
        return value.tensor, value.positions

    def arranged(self, node: FileNode, value: Value, layout: Layout) -> Tensor:
        """The tensor that has a value's numbers in a layout of the file."""
        tensor = self._arranged(value, layout)
        if tensor is None:
            raise node.error(
                "it needs its input's axes in another order, and there is no layer for that. "
                f"Received: a sample of shape {value.shape}"
            )
        return tensor

    def with_axis_last(self, node: FileNode, value: Value, axis: int) -> tuple[Tensor, Value]:
        """(tensor, value): a tensor whose last axis is the sample's `axis`, and the value as its numbers."""
        self.budget.charge(value, node.error)
        if is_last_axis(value, axis):
            return value.tensor, value
        rows = np.moveaxis(value.positions, axis, -1)
        tensor = self.arranged(node, Value(value.tensor, rows), same_order)
        return tensor, replace(value, tensor=tensor, positions=np.moveaxis(same_order(rows.shape), -1, axis))

    def aligned(self, node: FileNode, values: list[Value]) -> tuple[list[Tensor], Layout]:
        """(tensors, layout): values brought into one layout."""
        found = self._common_layout(values)
        if found is None:
            raise node.error("its inputs have their axes in different orders, and there is no layer that reorders them")
        return found

    def _common_layout(self, values, layouts=(same_order, channels_first)):
        """(tensors, layout) of values in one layout, the one that they are in where possible; None if there is none."""
        for how in ("as it is", "reshaped", "reordered"):
            is_moved = how == "reordered" and len(values[0].shape) == 3  # into the order that most layers want
            for layout in layouts[::-1] if is_moved else layouts:
                tensors = [self._arranged(value, layout, how) for value in values]
                if all(tensor is not None for tensor in tensors):
                    return tensors, layout
        return None

    def _arranged(self, value, layout, how="reordered"):
        """The tensor with a value's numbers in a layout; None if that needs more than `how` allows."""
        shape = value.shape
        if layout is channels_first and shape:
            shape = (*shape[1:], shape[0])
        positions = layout(shape) if shape else same_order(shape)
        if are_same(value.positions, positions):
            if value.tensor.shape[1:] == shape:
                return value.tensor
            if how == "as it is":
                return None
            key = key_between(value.tensor.shape[1:], shape) if self.has_open_sizes else None
            return self.view(value.tensor, *((GetItem, key) if key else (Reshape, shape)))
        if how != "reordered" or positions.size > MAX_MOVED:
            return None
        return reordered(self, value, positions, shape)

    def view(self, tensor: Tensor, layer_class: type[Layer], *shape: object) -> Tensor:
        """The tensor in another shape, the same one for all who ask."""
        if (tensor, shape) not in self._views:
            layer = layer_class(*shape, name=self.layer_name(f"{tensor.name}_{layer_class.__name__.lower()}"))
            self._views[tensor, shape] = layer(tensor)
        return self._views[tensor, shape]

    def layer_name(self, wanted: str, otherwise: str = "layer") -> str:
        """A name that no layer has yet."""
        return naming.layer_name(wanted, otherwise, self._layer_names)

    def _charge(self, node):
        """Count what a node goes through; the few arrays that most tensors share are recognized at once."""
        for value in map(self._known.get, node.inputs):
            if isinstance(value, Value) and layout_of(value.positions) is None:
                self.budget.charge(value, node.error)
