"""Operators that are several others, which depends on the shapes of what they read: `fused.py` has the rest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minicnn.onnx.arguments import axes_of, operator
from minicnn.onnx.fused import Parts
from minicnn.onnx.reader import FileGraph

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode


@operator("Attention")
def _attention(node, graph):
    """softmax(q · kᵀ · scale + mask) · v for each head: of (N, heads, length, size), or (N, length, heads · size)."""
    _check_attention(node)
    values, parts = [graph.value(node, index) for index in range(3)], Parts(node)
    heads = [node.get(name, 0) for name in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
    shapes, names = [value.shape for value in values], list(node.inputs[:3])
    are_joined = [len(shape) for shape in shapes] == [2, 2, 2]
    if are_joined and all(n > 0 and shape[1] % n == 0 for n, shape in zip(heads, shapes, strict=True)):
        names = [_heads_apart(parts, name, n) for name, n in zip(names, heads, strict=True)]
        shapes = [(n, shape[0], shape[1] // n) for n, shape in zip(heads, shapes, strict=True)]
    if [len(shape) for shape in shapes] != [3, 3, 3] or len({shape[0] for shape in shapes}) > 1:
        raise node.error(
            "queries, keys and values have as many heads each, (N, heads, length, size), or (N, length, heads · size) "
            "with q_num_heads and kv_num_heads: repeat the keys' and values' heads before it. "
            f"Received: samples of {shapes}"
        )
    scale = node.get("scale", 0.0, float) or 1 / math.sqrt(shapes[0][2])
    query = parts.add("Mul", [names[0], parts.array(scale)])
    scores = parts.add("MatMul", [query, parts.add("Transpose", [names[1]], {"perm": [0, 1, 3, 2]})])
    mask = _mask(node, graph, shapes[0][1], shapes[1][1])
    is_left = True if mask is None else ~np.isneginf(mask).all(-1, keepdims=True)
    if mask is not None:  # of a row of the least numbers, Softmax makes numbers
        mask = mask if np.all(is_left) else np.maximum(mask, np.finfo(np.float32).min)
        scores = parts.add("Add", [scores, parts.array(mask)])
    weights = parts.add("Softmax", [scores], {"axis": -1})
    if not np.all(is_left):  # nothing is looked at: zeros
        weights = parts.add("Mul", [weights, parts.array(is_left)])
    y = parts.add("MatMul", [weights, names[2]])
    if are_joined:
        y = parts.add("Transpose", [y], {"perm": [0, 2, 1, 3]})
        y = parts.add("Reshape", [y, parts.array([0, 0, -1], np.int64)])
    run_parts(parts, graph, y)


def _check_attention(node: FileNode) -> None:
    """Raise `FileFormatError` for what language models use alone."""
    for name in ("qk_matmul_output_mode", "softmax_precision"):
        node.get(name, 0)
    if any(node.inputs[4:]) or any(node.outputs[1:]) or node.get("softcap", 0.0, float):
        raise node.error(
            "keys and values of a call before, lengths, further outputs and softcap are not read: write the file "
            f"without a cache. Received: {len(node.inputs)} inputs, {len(node.outputs)} outputs"
        )


def _heads_apart(parts: Parts, name: str, heads: int) -> str:
    """(N, length, heads · size) → (N, heads, length, size)"""
    apart = parts.add("Reshape", [name, parts.array([0, 0, heads, -1], np.int64)])
    return parts.add("Transpose", [apart], {"perm": [0, 2, 1, 3]})


def _mask(node: FileNode, graph: Importer, rows: int, columns: int) -> np.ndarray | None:
    """What is added to scores (…, rows, columns): -inf where nothing is looked at; None for nothing."""
    given = graph.constant(node, 3)
    if given is not None and given.shape[-1:] != (columns,):
        raise node.error(f"its mask has a number for each of {columns} keys. Received: shape {given.shape}")
    if given is not None:
        given = np.where(given, 0, -np.inf) if given.dtype == bool else given
        given = given.astype(np.float32)
    if not node.get("is_causal", 0):
        return given
    later = np.triu(np.full((rows, columns), -np.inf, np.float32), 1)
    return later if given is None else given + later


@operator("ReduceLogSum", "ReduceLogSumExp")
def _log_of_sum(node, graph):
    """log Σ x, and log Σ exp(x) with the greatest number taken out, whose exponential may be infinite."""
    rank, parts, x = graph.value(node, 0, True, True).rank, Parts(node), node.inputs[0]
    axes, keeps = axes_of(node, graph, rank) or [], node.get("keepdims", 1)
    if node.get("noop_with_empty_axes", 0) and not axes:
        raise node.error("it names the axes that it goes over")
    axes = sorted(axes or range(rank))

    def reduced(operator, name):
        given = {"axes": axes} if graph.opset < (13 if operator == "ReduceSum" else 18) else {}
        names = [name] if given else [name, parts.array(axes, np.int64)]
        return parts.add(operator, names, given | {"keepdims": 1})

    if node.operator == "ReduceLogSum":
        y = parts.add("Log", [reduced("ReduceSum", x)])
    else:
        largest = float(np.finfo(np.float32).max)
        bounds = {"min": -largest, "max": largest} if graph.opset < 11 else {}
        numbers = [] if bounds else [parts.array(-largest), parts.array(largest)]
        greatest = parts.add("Clip", [reduced("ReduceMax", x), *numbers], bounds)  # of nothing, -inf
        powers = parts.add("Exp", [parts.add("Sub", [x, greatest])])
        y = parts.add("Add", [parts.add("Log", [reduced("ReduceSum", powers)]), greatest])
    if not keeps and graph.opset < 13:
        y = parts.add("Squeeze", [y], {"axes": axes})
    elif not keeps:
        y = parts.add("Squeeze", [y, parts.array(axes, np.int64)])
    run_parts(parts, graph, y)


@operator("FusedMatMul")
def _fused_product(node, graph):
    """alpha · a · b, of matrices in the last two axes, and all axes may change places (onnxruntime's files)."""
    parts, names = Parts(node), []
    for index, letter in enumerate("AB"):
        if graph.is_constant(node, index):
            rank = graph.constant(node, index).ndim
        else:
            rank = graph.value(node, index, any_batch_axis=True, may_be_folded=True).rank
        *lead, rows, columns = range(rank)
        if node.get(f"transBatch{letter}", 0) and lead:  # the first axis becomes the rows
            *lead, rows, columns = [*range(1, rank - 1), 0, rank - 1]
        if node.get(f"trans{letter}", 0):
            rows, columns = columns, rows
        order, name = [*lead, rows, columns], node.inputs[index]
        names.append(name if order == [*range(rank)] else parts.add("Transpose", [name], {"perm": order}))
    alpha = node.get("alpha", 1.0, float)
    y = parts.add("MatMul", names)
    run_parts(parts, graph, y if alpha == 1 else parts.add("Mul", [y, parts.array(alpha)]))


def run_parts(parts: Parts, graph: Importer, *outputs: str) -> None:
    """Translate the parts in the place of their node, whose outputs they give."""
    graph.run_branch(parts.node, FileGraph("", graph.opset, {}, [*outputs], None, {}, parts.made))
