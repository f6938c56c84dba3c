"""An ONNX file as plain Python: nodes in an order in which they can run, and arrays. All that is believed is checked.

The file may come from anywhere. Nothing is opened but it and files of numbers beside it (`external.py`), no array is
made before its size is known to be in a file, and whatever is wrong ends in a `FileFormatError`.
"""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import FileFormatError
from minicnn.hints import FilePath, Shape
from minicnn.onnx.external import External
from minicnn.onnx.fused import taken_apart
from minicnn.onnx.number_types import as_they_are, kinds_of_input
from minicnn.onnx.package import import_package
from minicnn.onnx.tensors import MAX_AXES, to_array
from minicnn.saving.files import check_readable
from minicnn.saving.kinds import ONNX, check_kind

if TYPE_CHECKING:
    pass

MAX_BYTES = 2**30  # of a file; memory takes a few times as much while it is read
MAX_NODES = 5000
MAX_ENDS = 100  # inputs and outputs of the graph, or of a node
OPSETS = range(1, 29)
"""Versions of ONNX's operators that the table of operators has been written for."""

_BRANCHES = itertools.count()  # tells the names in one branch from those in another
GRAPH = 5
"""AttributeProto.AttributeType of a graph that a node holds."""
_ATTRIBUTES = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints"}  # AttributeProto.AttributeType → field


@dataclass
class FileNode:
    """One node of the file.

    Attributes
    ----------
    operator, name : str
    index : int
        Its position in the file.
    inputs, outputs : list of str
        "" stands for one that is left out.
    attributes : dict
        Name → number, bytes, array or list of numbers; a FileGraph, of If; None for what no supported operator has.
    """

    operator: str
    name: str
    index: int
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    _read: set[str] = field(default_factory=set)

    def error(self, message: str) -> FileFormatError:
        """The error that names this node; the caller raises it."""
        which = f"'{self.name[:100]}'" if self.name else f"number {self.index}"
        return FileFormatError(f"node {which} ({self.operator[:100]}): {message[:2000]}")

    def part(self, operator: str, inputs: list[str], outputs: list[str], attributes: dict[str, Any]) -> FileNode:
        """A node that does a part of what this one does, under its name and number."""
        return FileNode(operator, self.name, self.index, inputs, outputs, attributes)

    def get(self, attribute: str, default: Any = None, kind: type = int) -> Any:
        """The value of an attribute: an int, float, str, ndarray, or for ``kind=list`` a list of int.

        Raises
        ------
        FileFormatError
            If it is of another type.
        """
        self._read.add(attribute)
        value = self.attributes.get(attribute, default)
        if isinstance(value, bytes) and kind is str:
            value = value.decode("utf-8", "replace")
        is_wrong = not isinstance(value, kind) or (kind is list and not all(isinstance(n, int) for n in value))
        if value is not default and is_wrong:
            raise self.error(f"attribute {attribute} should be of type {kind.__name__}. Received: {value!r}")
        return value

    def check_all_read(self) -> None:
        """Raise `FileFormatError` for an attribute that nobody asked for: it might change what the node means."""
        for attribute in self.attributes.keys() - self._read:
            raise self.error(f"attribute '{attribute}' is not supported. Received: {self.attributes[attribute]!r}")


@dataclass
class FileGraph:
    """What a file holds.

    Attributes
    ----------
    name : str
    opset : int
    inputs : dict
        Name → shape of one sample; an open size is its name in the file.
    outputs : list of str
    batch_size : int or None
        The number of samples that the file is made for, None for any.
    constants : dict
        Name → array.
    nodes : list of FileNode
    open_sizes : tuple of str
        The names of the open sizes.
    properties : dict
        Name → text, of whoever wrote the file.
    producer : str
        The program that wrote it.
    decisions : list of dict
        Filled in when a model is made: for each If, the arrays of sizes that decided it, by their names.
    """

    name: str
    opset: int
    inputs: dict[str, Shape]
    outputs: list[str]
    batch_size: int | None
    constants: dict[str, np.ndarray]
    nodes: list[FileNode]
    open_sizes: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    producer: str = ""
    decisions: list[dict[str, np.ndarray]] = field(default_factory=list)

    def count_numbers(self) -> int:
        """How many numbers all arrays of the file hold."""
        numbers = sum(array.size for array in self.constants.values())
        for value in (value for node in self.nodes for value in node.attributes.values()):
            if isinstance(value, FileGraph):
                numbers += value.count_numbers()
            elif isinstance(value, np.ndarray):
                numbers += value.size
        return numbers


def read_graph(path: FilePath) -> FileGraph:
    """Read and check a file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    FileFormatError
        If it is not an ONNX file, damaged, too large, or refers to files that are not beside it.
    ImportError
        If the package `onnx` is not installed.
    """
    model = _parse(path)
    opset = _opset(model)
    graph = model.graph
    _check_sizes(graph)
    external = External(path, MAX_BYTES)
    constants = _initializers(graph, external)
    inputs, batch_sizes, readers = {}, set(), {}
    for node in _nodes(graph):
        for name in {*node.input, *(end.name for a in node.attribute for end in a.g.output)}:  # what branches give
            readers.setdefault(name, []).append(node)
    for value in graph.input:
        if value.name in constants:  # in old files, initializers are listed as inputs too
            continue
        if not value.name or value.name in inputs:
            raise FileFormatError(f"inputs have names of their own. Received: {value.name!r}")
        batch, inputs[value.name] = _input_shape(value, readers, constants)
        batch_sizes.add(batch)
    if not inputs or len(batch_sizes) != 1:
        raise FileFormatError(
            "a graph has one or more inputs with the same number of samples; arrays that the exporter made inputs of "
            "(tf2onnx those of Keras's Normalization: save the model as .keras instead) are to be initializers. "
            f"Received: {_counted(graph, inputs)}"
        )
    nodes = [
        part
        for index, node in enumerate(graph.node)
        for part in taken_apart(_file_node(node, index, external, opset), node.domain, opset)
    ]
    outputs = [value.name for value in graph.output]
    nodes = _in_order(nodes, {*constants, *inputs}, outputs)
    unknown = dict.fromkeys(n for shape in inputs.values() for n in shape if isinstance(n, str))
    known = graph.name, opset, inputs, outputs, batch_sizes.pop(), constants, nodes, tuple(unknown)
    return FileGraph(*known, {entry.key: entry.value for entry in model.metadata_props}, model.producer_name)


def _parse(path):
    """The ModelProto; protobuf itself bounds how deep messages are nested."""
    import_package()
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    check_readable(path)
    check_kind(path, ONNX)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise FileFormatError(f"an ONNX file has at most {MAX_BYTES} bytes. Received: {size}")
        data = file.read(size)
    try:
        return ModelProto.FromString(data)
    except DecodeError as error:
        raise FileFormatError(f"it is not an ONNX file, or damaged: {error}") from None


def _opset(model):
    """Version of the standard operators."""
    versions = [
        *{entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")}
    ]  # some say it twice
    if len(versions) != 1 or versions[0] not in OPSETS:
        raise FileFormatError(
            f"the file should use one version of ONNX's operators, {OPSETS[0]} to {OPSETS[-1]}. Received: {versions}"
        )
    return versions[0]


def _check_sizes(graph):
    """Counts that bound the time that everything else takes."""
    if graph.sparse_initializer:
        raise FileFormatError("sparse initializers are not supported: save the model with dense ones")
    count = len(_nodes(graph))
    if count > MAX_NODES:
        raise FileFormatError(f"a graph has at most {MAX_NODES} nodes. Received: {count}")
    if not 0 < len(graph.output) <= MAX_ENDS or len(graph.input) > MAX_ENDS + len(graph.initializer):
        raise FileFormatError(
            f"a graph has 1 to {MAX_ENDS} inputs and outputs. Received: {len(graph.input)} and {len(graph.output)}"
        )


def _nodes(graph):
    """The nodes of a graph, with those of the graphs that nodes hold."""
    held = [attribute.g for node in graph.node for attribute in node.attribute if attribute.type == GRAPH]
    return [*graph.node, *(node for part in held for node in _nodes(part))]


def _initializers(graph, external):
    """A graph's arrays by their names."""
    constants = {}
    for tensor in graph.initializer:
        if not tensor.name or tensor.name in constants:
            raise FileFormatError(f"initializers have names of their own. Received: {tensor.name!r}")
        constants[tensor.name] = to_array(tensor, external)
    return constants


def _input_shape(value, readers, constants):
    """(batch size or None, shape of one sample) of a graph's input, whose type is one that its readers can do with."""
    tensor = value.type.tensor_type
    dims, kind = tensor.shape.dim, tensor.elem_type
    if kind not in kinds_of_input(value.name, readers, constants) or not dims:
        reader = as_they_are(value.name, readers) if dims else None
        where = f", as node '{reader.name[:100]}' ({reader.op_type[:100]}) computes with it" if reader else ""
        raise FileFormatError(
            f"input '{value.name}' should be a tensor of floating-point numbers with a batch axis{where}, or be cast "
            f"to float32 first. Received: {len(dims)} axes, {_type_name(kind)}"
        )
    batch, *shape = (dim.dim_value if dim.HasField("dim_value") else None for dim in dims)
    if len(shape) >= MAX_AXES or not all(n is None or n > 0 for n in shape):
        raise FileFormatError(
            f"input '{value.name}' should have sizes of at least 1, or open ones. Received: {[batch, *shape]}"
        )
    names = [dim.dim_param or f"axis {axis}" for axis, dim in enumerate(dims)]
    shape = [name if n is None else n for n, name in zip(shape, names[1:], strict=True)]
    return batch if batch and batch > 0 else None, tuple(shape)


def _counted(graph, inputs):
    """The inputs of a graph, and the sizes that each has, by name."""
    dims = {value.name: value.type.tensor_type.shape.dim for value in graph.input if value.name in inputs}
    return {name: [dim.dim_value or dim.dim_param or "?" for dim in found] for name, found in dims.items()}


def _type_name(kind):
    """The name of a TensorProto.DataType, "INT64"."""
    from onnx import TensorProto

    return TensorProto.DataType.Name(kind) if kind in TensorProto.DataType.values() else f"type {kind}"


def _file_node(node, index, external, opset, names=MappingProxyType({})):
    """A `FileNode` from a NodeProto; `names` has those that its inputs and outputs have in the file → here."""
    inputs, outputs = ([names.get(name, name) for name in given] for given in (node.input, node.output))
    result = FileNode(node.op_type, node.name, index, inputs, outputs, {})
    if len(result.inputs) > MAX_ENDS or not 0 < len(result.outputs) <= MAX_ENDS:
        raise result.error(f"a node has 1 to {MAX_ENDS} inputs and outputs. Received: {len(result.inputs)} inputs")
    for attribute in node.attribute:
        if attribute.name in result.attributes:
            raise result.error(f"attribute {attribute.name!r} is given twice")
        value = getattr(attribute, _ATTRIBUTES[attribute.type]) if attribute.type in _ATTRIBUTES else None
        if attribute.type == 4:
            value = to_array(value, external)
        elif attribute.type in (6, 7):
            value = list(value)
        elif attribute.type == GRAPH and node.op_type == "If":
            value = _branch(result, attribute, external, opset, names)
        result.attributes[attribute.name] = value
    return result


def _branch(node, attribute, external, opset, names):
    """The graph of one of an If's branches, whose own names no other graph has; what it reads, `node` reads then."""
    graph, begin = attribute.g, f"\0branch {next(_BRANCHES)}\0"
    if graph.input or graph.sparse_initializer:
        raise node.error(f"its branches have no inputs and no sparse initializers. Received: {attribute.name}")
    constants = _initializers(graph, external)
    own = {name: begin + name for name in (*constants, *(name for n in graph.node for name in n.output if name))}
    constants = {own[name]: array for name, array in constants.items()}
    names = {**names, **own}
    parts = [_file_node(inner, node.index, external, opset, names) for inner in graph.node]
    nodes = [n for part, inner in zip(parts, graph.node, strict=True) for n in taken_apart(part, inner.domain, opset)]
    outputs = [names.get(value.name, value.name) for value in graph.output]
    given = {*constants, *(name for n in nodes for name in n.outputs)}
    free = dict.fromkeys(name for n in nodes for name in n.inputs if name and name not in given)
    free |= dict.fromkeys(name for name in outputs if name not in given)
    node.inputs = [*dict.fromkeys([*node.inputs, *free])]
    nodes = _in_order(nodes, {*constants, *free}, outputs)
    return FileGraph(graph.name, opset, {}, outputs, None, constants, nodes)


def read_in_place(readers: dict[str, list[FileNode]], node: FileNode, parts: Sequence[FileNode]) -> None:
    """Put the nodes that take a node's place, as far as they read a name, before it among those that do."""
    further = {}
    for part in parts:
        for name in part.inputs:
            further.setdefault(name, []).append(part)
    for name, new in further.items():
        places = [id(reader) for reader in readers.setdefault(name, [])]
        place = places.index(id(node)) if id(node) in places else len(places)
        readers[name][place:place] = new


def _in_order(nodes, known, outputs):
    """The nodes in an order in which they can run, their own where that is one; every name is given once."""
    writers = {}
    for place, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            if name in known or name in writers:
                raise node.error(f"its output has a name that is taken. Received: {name!r}")
            writers[name] = place
    missing = {place: len({n for n in node.inputs if n in writers}) for place, node in enumerate(nodes)}
    readers = {}
    for place, node in enumerate(nodes):
        for name in {name for name in node.inputs if name}:
            if name not in known and name not in writers:
                raise node.error(f"nothing gives its input. Received: {name!r}")
            readers.setdefault(name, []).append(place)
    waiting = [place for place, count in missing.items() if not count]  # a heap: the file's order where possible
    ordered = []
    while waiting:
        node = nodes[heapq.heappop(waiting)]
        ordered.append(node)
        for name in filter(None, node.outputs):
            for place in readers.get(name, ()):
                missing[place] -= 1
                if not missing[place]:
                    heapq.heappush(waiting, place)
    if len(ordered) < len(nodes):
        done = {id(node) for node in ordered}
        raise next(n for n in nodes if id(n) not in done).error("it reads, through other nodes, what it gives itself")
    for name in outputs:
        if name not in known and name not in writers:
            raise FileFormatError(f"no node gives the graph's output. Received: {name!r}")
    return ordered
