"""Steps of attention as several operations of the page, which knows products of matrices and softmax."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from minicnn.layers.attention_masks import KeptPlaces, MaskedScores
from minicnn.layers.attention_parts import LOW, AttentionWeights, Projection, WeightedSum
from minicnn.layers.attention_places import Places
from minicnn.layers.dot_attention import Causal, Scores
from minicnn.layers.einsum_dense import EinsumDense
from minicnn.layers.einsum_letters import as_matrices, letters_of
from minicnn.layers.selecting import EarlierPlaces
from minicnn.page.weights import Numbers
from minicnn.step import Shape, Shapes, Step

Operation = dict[str, Any]


class Apart:
    """Operations one after the other, in the place of a step.

    Attributes
    ----------
    made : list of (operation, list of int, shape)
        What each reads: the step's inputs by their numbers, then the results of those before.
    """

    def __init__(self, shapes: Shapes) -> None:
        self.shapes: list[Shape] = list(shapes)
        self._count = len(shapes)
        self.made: list[tuple[Operation, list[int], Shape]] = []

    def add(self, operation: Operation, sources: list[int], shape: Shape) -> int:
        """The number of the result of a further operation."""
        self.made.append((operation, sources, tuple(shape)))
        self.shapes.append(tuple(shape))
        return len(self.shapes) - 1

    def view(self, source: int, shape: Shape) -> int:
        """The same numbers in another shape."""
        return self.add({"op": "view"}, [source], shape)

    def permuted(self, source: int, order: list[int]) -> int:
        """With the axes in another order."""
        return self.add({"op": "permute", "order": order}, [source], tuple(self.shapes[source][n] for n in order))

    def turned(self, source: int) -> int:
        """Transposed matrices."""
        *lead, last, first = range(len(self.shapes[source]))
        return self.permuted(source, [*lead, first, last])

    def product(self, a: int, b: int) -> int:
        """Products of matrices."""
        return self.add({"op": "product"}, [a, b], (*self.shapes[a][:-1], self.shapes[b][-1]))

    def affine(self, numbers: Numbers, source: int, scale: Any, shift: Any = None) -> int:
        """source · scale + shift, arrays that are broadcast with it."""
        sizes = np.broadcast_shapes(np.shape(scale), np.shape(shift) if shift is not None else ())
        own = {"centre": None, "scale": numbers.add(np.broadcast_to(scale, sizes))}
        own["shift"] = None if shift is None else numbers.add(np.broadcast_to(shift, sizes))
        return self.add({"op": "affine", "sizes": list(sizes), **own}, [source], self.shapes[source])

    def stacked(self, places: Places, source: int) -> int:
        """`Places.stacked`."""
        moved = self.permuted(source, [axis - 1 for axis in places.order[1:]])
        lead, shape = len(places.others) + 1, self.shapes[moved]
        return moved if len(places.axes) == 1 else self.view(moved, (*shape[:lead], prod(shape[lead:-1]), shape[-1]))


def _projection(step: Any, apart: Apart, numbers: Numbers) -> None:
    inputs, units = prod(step.kernel.shape[: step.bound]), prod(step.units)
    operation = {"op": "dense", "kernel": numbers.add(step.kernel), "kernelShape": [inputs, units]}
    operation["bias"] = numbers.add(step.bias if step.use_bias else None)
    apart.add(operation, [0], step.build(tuple(apart.shapes)))


def _weights(step: Any, apart: Apart, numbers: Numbers) -> None:
    shape = step.build(tuple(apart.shapes))
    queries, keys = (apart.stacked(step.places, n) for n in (0, 1))
    y = apart.affine(numbers, apart.product(queries, apart.turned(keys)), np.float64(step.scale))
    allowed = step.allowed((1, *apart.shapes[y]), ())
    if allowed is not None:
        allowed = allowed.reshape(allowed.shape[-2:]) if allowed.size == prod(allowed.shape[-2:]) else allowed[0]
        y = apart.affine(numbers, y, np.ones(1), np.where(allowed, 0, LOW))
    y = apart.add({"op": "softmax", "axes": [len(apart.shapes[y]) - 1], "log": False}, [y], apart.shapes[y])
    if allowed is not None and step.clears:
        y = apart.affine(numbers, y, allowed.astype(float))
    apart.view(y, shape)


def _sum(step: Any, apart: Apart, numbers: Numbers) -> None:
    places, shape = step.places, apart.shapes[0]
    lead, count = len(places.others) + 1, len(places.axes)
    weights = apart.view(0, (*shape[:lead], prod(shape[lead : lead + count]), prod(shape[lead + count :])))
    y = apart.product(weights, apart.stacked(places, 1))
    y = apart.view(y, (*shape[: lead + count], apart.shapes[y][-1]))
    apart.permuted(y, np.argsort([axis - 1 for axis in places.order[1:]]).tolist())


def _scores(step: Any, apart: Apart, numbers: Numbers) -> None:
    scale = step.scale.numpy() if step.use_scale else np.ones(())
    if step.mode == "dot":
        apart.affine(numbers, apart.product(0, apart.turned(1)), scale)
        return
    queries, keys = apart.shapes[:2]
    inner, outer = (1.0, scale) if step.mode == "additive" else (scale, step.concat_score_weight.numpy())
    pair = apart.view(0, (*queries[:-1], 1, queries[-1])), apart.view(1, (*keys[:-2], 1, *keys[-2:]))
    y = apart.add({"op": "combine", "how": "add"}, list(pair), (*queries[:-1], *keys[-2:]))
    y = apart.affine(numbers, y, np.asarray(inner, float))
    y = apart.add({"op": "function", "name": "tanh"}, [y], apart.shapes[y])
    factors = np.broadcast_to(outer, (*apart.shapes[y][:-2], queries[-1]))[..., None]  # (…, T, D, 1)
    ones = apart.add({"op": "constant", "filling": numbers.add(factors)}, [y], factors.shape)
    apart.view(apart.product(y, ones), apart.shapes[y][:-1])


def _causal(step: Any, apart: Apart, numbers: Numbers) -> None:
    apart.affine(numbers, 0, np.ones(1), -step.below(apart.shapes[0]))


def _earlier(step: Any, apart: Apart, numbers: Numbers) -> None:
    mask = np.broadcast_to(step.mask(apart.shapes[0]), apart.shapes[0])
    apart.add({"op": "constant", "filling": numbers.add(mask)}, [0], mask.shape)


def _masked(step: Any, apart: Apart, numbers: Numbers) -> None:
    below = step.below((1, *apart.shapes[0]), np.asarray(step.mask))[0]
    apart.affine(numbers, 0, np.ones(1), -below)


def _kept(step: Any, apart: Apart, numbers: Numbers) -> None:
    apart.affine(numbers, 0, step.kept((1, *apart.shapes[0]), np.asarray(step.mask))[0].astype(float))


def _einsum(step: Any, apart: Apart, numbers: Numbers) -> None:
    """One product of matrices for all, or of a kernel that stands for each place it is shared by."""
    letters = letters_of(step.equation, len(apart.shapes[0]) + 1)
    rows = tuple(name for name in letters.rows if name != letters.x[0])
    sizes = letters.sizes((1, *apart.shapes[0]), step.kernel.shape)
    inputs, own = letters.alone + letters.summed, letters.shared + rows
    order = [letters.x.index(name) - 1 for name in own + inputs]
    x, kernel = apart.permuted(0, order), step.kernel.numpy()
    matrices = as_matrices(kernel, letters.kernel, letters.shared, letters.summed, letters.units)
    many = prod(sizes[name] for name in letters.alone)
    kernel = np.tile(matrices, (1, many, 1))  # (shared, inputs, units)
    lengths = [prod(sizes[name] for name in group) for group in (letters.shared, rows, inputs)]
    x = apart.view(x, tuple(lengths))
    filled = apart.add({"op": "constant", "filling": numbers.add(kernel)}, [x], kernel.shape)
    y = apart.view(apart.product(x, filled), tuple(sizes[name] for name in own + letters.units))
    y = apart.permuted(y, [(own + letters.units).index(name) for name in letters.y[1:]])
    if step.bias is not None:
        apart.affine(numbers, y, np.ones(1), step.bias.numpy())


_FORMS: dict[type, Callable[[Any, Apart, Numbers], None]] = {
    AttentionWeights: _weights,
    Causal: _causal,
    EarlierPlaces: _earlier,
    EinsumDense: _einsum,
    KeptPlaces: _kept,
    MaskedScores: _masked,
    Projection: _projection,
    Scores: _scores,
    WeightedSum: _sum,
}


def taken_apart(step: Step, shapes: Shapes, numbers: Numbers) -> list[tuple[Operation, list[int], Shape]]:
    """The operations in the place of a step of attention; none for any other step, and for what has no such form.

    Parameters
    ----------
    step : Step
    shapes : tuple of tuple of int
        Of its inputs, without the batch axis.
    numbers : Numbers
        Gets the weights.
    """
    form = _FORMS.get(type(step))
    with_mask = (isinstance(step, AttentionWeights) and len(shapes) > 2) or (
        isinstance(step, KeptPlaces | MaskedScores) and len(shapes) > 1
    )
    if form is None or with_mask:
        return []
    apart = Apart(shapes)
    form(step, apart, numbers)
    return apart.made
