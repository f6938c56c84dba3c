"""Einsum of two tensors: products of matrices, whose axes have letters; of a tensor and a kernel: a dense layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from minicnn import layers
from minicnn.layers.einsum_letters import check_equation, letters_of, shapes_of
from minicnn.onnx.arguments import operator
from minicnn.onnx.values import Value, same_order

if TYPE_CHECKING:
    from minicnn.errors import FileFormatError
    from minicnn.onnx.reader import FileNode


@operator("Einsum")
def _einsum(node, graph):
    """(shared…, rows, summed) · (shared…, summed, columns), where any number of axes may be rows, and so on."""
    if any(graph.is_constant(node, index) for index in range(len(node.inputs))):
        _dense(node, graph)
        return
    *terms, result = _terms(node)
    values, sizes = [graph.value(node, index) for index in range(2)], {}
    for value, term in zip(values, terms, strict=True):
        if len(value.shape) != len(term) or any(
            sizes.get(n, size) != size for n, size in zip(term, value.shape, strict=True)
        ):
            raise _refused(node, f"letters are axes, and equal ones have equal sizes, {[v.shape for v in values]}")
        sizes |= dict(zip(term, value.shape, strict=True))
    both = [letter for letter in terms[0] if letter in terms[1]]
    shared, summed = ([n for n in both if (n in result) == is_kept] for is_kept in (True, False))
    rows, columns = ([n for n in term if n not in both] for term in terms)
    if sorted([*shared, *rows, *columns]) != sorted(result):
        raise _refused(node, "it sums over letters that both inputs have")
    groups = (rows, summed), (summed, columns)
    factors = [
        _as_matrices(value, term, shared, pair, sizes) for value, term, pair in zip(values, terms, groups, strict=True)
    ]
    graph.check_size(node, (*factors[0].shape[:-1], factors[1].shape[-1]))
    y = graph.call(node, layers.MatrixProduct, [graph.arranged(node, value, same_order) for value in factors])
    found = [*shared, *rows, *columns]
    positions = same_order(y.shape[1:]).reshape([sizes[letter] for letter in found])
    positions = positions.transpose([found.index(letter) for letter in result])
    graph.give(node, Value(y, positions, all(value.is_nonnegative for value in values)))


def _dense(node, graph):
    """A tensor and an array of the file, in either order."""
    equation = node.get("equation", "", str).replace(" ", "")
    terms, result = equation.partition("->")[0].split(","), equation.partition("->")[2]
    of_kernel = 0 if graph.is_constant(node, 0) else 1
    if len(terms) != 2 or len(node.inputs) != 2 or not result:
        raise _refused(node, "it has two inputs and says what comes out")
    kernel, value = graph.weight(node, of_kernel, rank=len(terms[of_kernel])), graph.value(node, 1 - of_kernel)
    equation = f"{terms[1 - of_kernel]},{terms[of_kernel]}->{result}"
    try:
        letters = letters_of(check_equation(equation), len(value.shape) + 1)
        sizes = letters.sizes((1, *value.shape), kernel.shape)
        own = [None if n in letters.x else sizes[n] for n in letters.y[1:] if n.isalpha()]
        found, output = shapes_of(equation, letters, value.shape, own)
    except ValueError as error:
        raise _refused(node, f"samples stay apart, and each letter is an axis: {error}") from None
    if found != kernel.shape or any(sizes[n] != size for n, size in zip(letters.x[1:], value.shape, strict=True)):
        raise _refused(node, f"letters are axes, and equal ones have equal sizes, {[value.shape, kernel.shape]}")
    graph.check_size(node, output)
    x, own_name = graph.arranged(node, value, same_order), [node.inputs[of_kernel]]
    options = {"equation": equation, "output_shape": own}
    y = graph.call_with_weights(node, layers.EinsumDense, x, [kernel], own_name, **options)
    graph.give(node, Value(y, same_order(y.shape[1:])))


def _terms(node: FileNode) -> list[list[str]]:
    """The letters of both inputs and of the output, without the one that counts samples, which is first in all."""
    inputs, _, result = node.get("equation", "", str).replace(" ", "").partition("->")
    terms = [*inputs.split(","), result]
    is_plain = all(term.isalpha() and len(set(term)) == len(term) for term in terms)
    if len(terms) != 3 or len(node.inputs) != 2 or not is_plain:
        raise _refused(node, "it has two inputs and says what comes out, with letters of which each is once in a term")
    if len({term[0] for term in terms}) > 1:
        raise _refused(node, "samples stay apart: their letter comes first in both inputs and the output")
    return [list(term[1:]) for term in terms]


def _as_matrices(x: Value, term: list[str], shared: list[str], groups, sizes: dict[str, int]) -> Value:
    """A value (shared…, rows, columns): the axes of each of the two groups are one."""
    order = [term.index(letter) for letter in (*shared, *groups[0], *groups[1])]
    shape = [sizes[letter] for letter in shared] + [math.prod(sizes[n] for n in group) for group in groups]
    return Value(x.tensor, x.positions.transpose(order).reshape(shape), x.is_nonnegative)


def _refused(node: FileNode, reason: str) -> FileFormatError:
    return node.error(f"{reason}. Received: equation={node.get('equation', '', str)!r}")
