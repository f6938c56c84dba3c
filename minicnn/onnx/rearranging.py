"""The operators that compute nothing, or only shapes: they become no layers, but for Dropout.

They rearrange a value's positions, pass it on, or compute arrays that hold a shape.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from minicnn import layers
from minicnn.onnx import arguments
from minicnn.onnx.adaptive import adaptive_pooling
from minicnn.onnx.arguments import ELEMENTWISE_OPERATORS, operator
from minicnn.onnx.folding import as_type
from minicnn.onnx.number_types import BOOL, FLOAT, FLOAT16, FLOATS, INTEGERS
from minicnn.onnx.reader import FileGraph
from minicnn.onnx.reshaping import reshaped, shape_in_file, sizes_of_array
from minicnn.onnx.tensors import DTYPES
from minicnn.onnx.values import Value, are_same, channels_first


@operator("Identity", kind=ELEMENTWISE_OPERATORS)
def _identity(node, graph):
    is_known = graph.is_constant(node, 0)
    graph.give(node, graph.constant(node, 0) if is_known else graph.value(node, 0, True, may_be_folded=True))


@operator("If")
def _if(node, graph):
    """One of two graphs, which what is known of the file decides: PyTorch asks so whether a size is 1."""
    condition = graph.constant(node, 0)
    if node.inputs[0] in graph.origins.counted:
        raise node.error("it depends on the number of samples, which may be any: write the file without conditions")
    branches = [node.get(name, None, FileGraph) for name in ("else_branch", "then_branch")]
    if condition.size != 1 or condition.dtype != bool or None in branches:
        raise node.error(f"it has two branches, and a condition. Received: {condition.dtype}, {condition.shape}")
    graph.origins.decide(node.inputs[0])
    branch = branches[condition.item()]
    if len(branch.outputs) != len(node.outputs):
        raise node.error(f"its branches have its outputs. Received: {len(branch.outputs)} of {len(node.outputs)}")
    graph.run_branch(node, branch)


@operator("Dropout", kind=ELEMENTWISE_OPERATORS)
def _dropout(node, graph):
    node.get("seed", 0)
    if arguments.number_at(node, graph, 2, 0.0):
        raise node.error("only its form for inference is supported: export the model in evaluation mode")
    rate = node.get("ratio", 0.5, float) if graph.opset < 12 else arguments.number_at(node, graph, 1, 0.5)
    x = graph.value(node, 0)
    graph.give(node, Value(graph.call(node, layers.Dropout, x.tensor, rate=rate), x.positions, x.is_nonnegative))


@operator("Cast", "CastLike", kind=ELEMENTWISE_OPERATORS)
def _cast(node, graph):
    to = node.get("to", None) if node.operator == "Cast" else _type_of(node, graph)
    node.get("saturate", 1), node.get("round_mode", "up", str)  # of floating-point numbers of 8 bits
    if graph.is_constant(node, 0):
        if to not in DTYPES:
            raise node.error(f"constants become numbers of 8 to 64 bits only. Received: to={to}")
        graph.give(node, as_type(graph.constant(node, 0), DTYPES[to][0]))
    elif to == BOOL:
        x = graph.value(node, 0)
        y = graph.call(node, layers.Elementary, x.tensor, "_zero", function="zero")
        y = graph.call(node, layers.Rescaling, y, scale=-1.0, offset=1.0)
        graph.give(node, replace(x, tensor=y, is_nonnegative=True, is_whole=True))
    elif to == FLOAT16:
        x = graph.value(node, 0)
        y = graph.call(node, layers.Elementary, x.tensor, function="float16")
        graph.give(node, replace(x, tensor=y, is_whole=False))
    elif (graph.value(node, 0).is_whole and to in DTYPES) or (to in INTEGERS and _is_index(node, graph)):
        x = graph.value(node, 0)  # Embedding cuts off fractions as Cast does
        graph.give(node, replace(x, is_whole=x.is_whole and to not in FLOATS))
    elif to not in FLOATS:
        raise node.error(f"numbers stay floating-point numbers. Received: to={to}")
    else:
        graph.give(node, graph.value(node, 0))


def _type_of(node, graph):
    """The type of what CastLike makes its numbers like; a tensor of the model is one of floating-point numbers."""
    if not graph.is_constant(node, 1):
        graph.value(node, 1, any_batch_axis=True, may_be_folded=True)
        return FLOAT
    array = graph.constant(node, 1)
    return next((kind for kind, (dtype, _) in DTYPES.items() if np.dtype(dtype) == array.dtype), None)


def _is_index(node, graph):
    """Whether a node's output is read as the numbers of rows of tables, and as nothing else."""
    readers, (name,) = graph.readers(node), node.outputs
    return bool(readers) and all(r.operator == "Gather" and r.inputs.index(name) == 1 for r in readers)


@operator("Flatten")
def _flatten(node, graph):
    x = graph.value(node, 0)
    axis = node.get("axis", 1)
    first = axis if axis == len(x.shape) + 1 else arguments.checked_axis(node, axis, len(x.shape) + 1)
    if math.prod(x.shape[: first - 1]) != 1 or (first == 0 and graph.batch_size != 1):
        raise node.error(f"samples stay apart: axis=1. Received: axis={axis}")
    graph.give(node, Value(x.tensor, x.positions.reshape(-1), x.is_nonnegative, x.is_whole))


@operator("Reshape")
def _reshape(node, graph):
    target = arguments.integers(node, graph.constant(node, 1))
    keeps_zeros = node.get("allowzero", 0)
    if graph.is_constant(node, 0):
        array = graph.constant(node, 0)
        graph.give(node, array.reshape(sizes_of_array(node, array, target, bool(keeps_zeros))))
        return
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    found = reshaped(x, target, graph.batch_size, bool(keeps_zeros))
    if found is None:
        raise node.error(f"it should keep the samples of shape {x.shape} apart. Received: shape={target}")
    graph.give(node, found)


@operator("Transpose")
def _transpose(node, graph):
    if graph.is_constant(node, 0):
        graph.give(node, graph.constant(node, 0).transpose(node.get("perm", None, list)))
        return
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    perm = node.get("perm", list(range(x.rank))[::-1], list)
    if perm[0] != 0 and x.is_plain and adaptive_pooling(node, graph, x):
        return
    if sorted(perm) != list(range(x.rank)):
        raise node.error(f"it should reorder the axes 0 to {x.rank - 1}. Received: perm={perm}")
    counted = range(x.batch_axis, x.batch_axis + x.led + x.folded)
    order = [own for axis in perm for own in (counted if axis == x.batch_axis else [x.sample_axis(axis)])]
    graph.give(node, replace(x, positions=x.positions.transpose(order), batch_axis=perm.index(x.batch_axis)))


@operator("Squeeze", "Unsqueeze")
def _squeeze(node, graph):
    is_constant = graph.is_constant(node, 0)
    x = graph.constant(node, 0) if is_constant else graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    shape = list(x.shape)
    if not is_constant:
        counted = slice(x.batch_axis, x.batch_axis + x.led + x.folded)
        shape[counted] = [None]
    squeezes = node.operator == "Squeeze"
    given = arguments.axes_of(node, graph, len(shape), grows=not squeezes)
    if given is None and squeezes:
        given = [axis for axis, n in enumerate(shape) if n == 1]
        if not is_constant and graph.batch_size == 1 and len(shape) - len(given) > 2:
            raise node.error("it would take the batch axis away too, for one sample: name the axes")
    if given is None or (squeezes and any(shape[axis] != 1 for axis in given)):
        raise node.error(f"it should name axes of size 1. Received: axes={given} of {shape}")
    if squeezes:
        shape = [n for axis, n in enumerate(shape) if axis not in given]
    else:
        for axis in sorted(given):
            shape.insert(axis, 1)
    if is_constant:
        graph.give(node, x.reshape(shape))
    else:
        batch_axis = shape.index(None)
        shape[batch_axis : batch_axis + 1] = x.shape[counted]
        graph.give(node, replace(x, positions=x.positions.reshape(shape), batch_axis=batch_axis))


# ---------------------------------------------------------------------------- constants, and arrays that hold a shape


@operator("Constant")
def _constant(node, graph):
    names = ("value", "value_float", "value_floats", "value_int", "value_ints")
    values = [node.attributes[name] for name in names if name in node.attributes]
    if len(values) != 1 or values[0] is None:
        raise node.error(f"it holds numbers, in one of the attributes {', '.join(names)}")
    for name in names:
        node.get(name, None, object)
    array = np.asarray(values[0])
    if array.dtype.kind not in "fib":
        raise node.error(f"it holds numbers. Received: {values[0]!r}")
    graph.give(node, array)


@operator("Shape")
def _shape(node, graph):
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    own = (*x.shape[1:], *x.shape[:1])
    if x.tensor.shape[1:] == own and are_same(x.positions, channels_first(own)):
        graph.origins.measure(node.outputs[0], x.tensor)
    shape = shape_in_file(x)
    graph.give(node, np.array(shape[node.get("start", 0) : node.get("end", len(shape))], np.int64))


@operator("Size")
def _size(node, graph):
    raise node.error("it counts the numbers of all samples, of which there may be any number here")
