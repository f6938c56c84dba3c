"""What attention is made of: projections to heads, weights by products of queries and keys, and weighted sums."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from minicnn.hints import LayerOptions
from minicnn.initializers import Initializer, VarianceScaling
from minicnn.layers.attention_places import Places
from minicnn.layers.base import Layer
from minicnn.layers.kernel import WithKernel
from minicnn.layers.open_sizes import has_open
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

LOW = -0.7 * 3.38953e38  # in the place of a product that a mask leaves out, as in Keras
BLOCK = 1 << 20  # numbers of gradients of products that are there at once


class _OfMatrix(Initializer):
    """What an initializer draws for a matrix of all inputs and all units: its fans, as in Keras, are of all axes."""

    def __init__(self, of: VarianceScaling, bound: int) -> None:
        self.of: VarianceScaling = of
        self.bound: int = bound
        self.seed: int | None = of.seed

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return self.of.draw((prod(shape[: self.bound]), prod(shape[self.bound :])), rng).reshape(shape)


class Projection(WithKernel):
    """y[…, units] = Σ over the last axes of x · kernel, + bias: a dense layer whose units may have several axes.

    Parameters
    ----------
    bound : int
        How many axes of x, the last ones, the sum goes over.
    units : tuple of int
        The axes that take their place.
    use_bias, kernel_initializer, … :
        As for `Conv2D`.
    """

    only_ops = True
    rare_options: tuple[str, ...] = (*Layer.rare_options, "kernel_constraint", "bias_constraint")

    def __init__(self, bound: int, units: Shape, *options: Any, **kwargs: Any) -> None:
        super().__init__(None, *options, name="projection", **kwargs)
        self.bound: int = bound
        self.units: Shape = units

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        kernel = *shape[-self.bound :], *self.units
        rules = self.kernel_regularizer, self.kernel_constraint
        first = self.kernel_initializer
        first = _OfMatrix(first, self.bound) if isinstance(first, VarianceScaling) else first
        self.add_weight("kernel", kernel, first, True, *rules)
        if self.use_bias:
            rules = self.bias_regularizer, self.bias_constraint
            self.add_weight("bias", self.units, self.bias_initializer, True, *rules)
        return *shape[: -self.bound], *self.units

    def _matrices(self, x, arrays):
        """(x, kernel, bias) as rows, a matrix and a row; None for what there is not."""
        inputs, units = prod(self.kernel.shape[: self.bound]), prod(self.units)
        kernel, bias = arrays.get("kernel"), arrays.get("bias")
        return (
            None if x is None else x.reshape(-1, inputs),
            None if kernel is None else kernel.reshape(inputs, units),
            None if bias is None else bias.reshape(units),
        )

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.dense(*self._matrices(xs[0], ws.params), ws.y.reshape(-1, prod(self.units)))

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        x, kernel, _ = self._matrices(ws.xs[0], ws.params)
        ws.ops.dense_backward(x, kernel, None, dy.reshape(-1, prod(self.units)), *self._matrices(ws.dxs[0], ws.grads))

    def flops(self, input_shapes: Shapes, output_shape: Shape) -> int:
        """Operations for one sample."""
        return (2 * prod(self.kernel.shape[: self.bound]) + self.use_bias) * prod(output_shape)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x, inputs, units = graph.channels_last(xs[0]), prod(self.kernel.shape[: self.bound]), prod(self.units)
        kept = [0] * (len(x.shape) + 1 - self.bound)  # axes that stay as they are
        x = x if self.bound == 1 else graph.add("Reshape", [x, graph.constant(np.array([*kept, inputs]))])
        y = graph.add("MatMul", [x, graph.weight(self.kernel, shape=(inputs, units))])
        y = graph.add("Add", [y, graph.weight(self.bias, shape=(units,))]) if self.use_bias else y
        many = len(self.units) > 1
        return graph.add("Reshape", [y, graph.constant(np.array([*kept, *self.units]))]) if many else y


class AttentionWeights(Layer):
    """How much each place of the queries attends to each of the keys: a softmax of their products, head by head.

    Parameters
    ----------
    places : Places
    scale : float
        Of the products.
    is_causal : bool
        Whether a place attends to none behind it.
    window : int or None
        Places attend to those less than so many steps away.
    mask : nested lists of bool or None
        Which place may attend to which, (…, T, S), the same for all samples.
    clears : bool
        Whether a place that may attend to none has weights of 0; otherwise it attends to all alike, as Keras's two ways
        have it.

    Notes
    -----
    Inputs: queries (N, …, H, K), keys (N, …, H, K), and maybe a mask of each sample (N, …, T, S), numbers that are 0
    where a place is left out, or (N, S), of keys. Output (N, others…, H, T…, S…).
    """

    uses_output = True
    input_count: int | None = None

    def __init__(
        self,
        places: Places,
        scale: float,
        is_causal: bool = False,
        window: int | None = None,
        mask: Any = None,
        clears: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.places: Places = places
        self.scale: float = scale
        self.is_causal: bool = is_causal
        self.window: int | None = window
        self.mask: Any = mask
        self.clears: bool = clears

    def build(self, input_shapes: Shapes) -> Shape:
        shape = self.places.shape_of_weights(*input_shapes[:2])
        for mask in input_shapes[2:]:
            self.places.check_mask((None, *([1] if len(mask) == 1 else []), *mask), shape)
        if self.mask is not None:
            self.places.check_mask(np.shape(self.mask), shape, fixed=True)
        return shape

    @property
    def is_masked(self) -> bool:
        """Whether a mask that is the same for all samples leaves something out."""
        return self.is_causal or self.window is not None or self.mask is not None

    def _same_for_all(self, shape, like=None):
        """That mask for weights (…, T, S), True where a place counts, on the backend of `like`."""
        options = {} if like is None else {"like": like}
        steps = np.arange(shape[-2], **options)[:, None] - np.arange(shape[-1], **options)  # (T, S)
        allowed = steps >= 0 if self.is_causal else steps == steps
        if self.window is not None:
            allowed = allowed & (abs(steps) < self.window)
        if self.mask is not None:
            allowed = allowed & self._expanded(np.asarray(self.mask, **options) != 0)
        return allowed

    def _expanded(self, mask):
        """A mask with axes of size 1 before its last ones, as many as weights have; places along one axis each."""
        count = 2 * len(self.places.axes)
        lead, missing = max(mask.ndim - count, 0), len(self.places.others) + 2 + count - mask.ndim
        mask = mask.reshape(*mask.shape[:lead], *[1] * missing, *mask.shape[lead:])
        return mask if count == 2 else self.places.flat(mask)

    def bind(self, ws: Workspace) -> None:
        ws.allowed = self._same_for_all(self.places.flat(ws.y).shape, ws.y) if self.is_masked else None

    def _allowed(self, ws):
        """True where a place counts, broadcast with (N, others…, H, T, S); None where all do."""
        return self._with_own(ws.allowed, ws.xs[2:])

    def _with_own(self, allowed, masks):
        """The mask that is the same for all samples, or None, and what masks of samples leave of it."""
        for mask in masks:
            own = mask != 0
            own = self._expanded(own[:, None] if own.ndim == 2 else own)
            allowed = own if allowed is None else own & allowed
        return allowed

    def allowed(self, shape: Shape, masks: Arrays) -> np.ndarray | None:
        """True where a place counts, of weights (N, others…, H, T, S) with masks of samples; None where all do."""
        return self._with_own(self._same_for_all(shape) if self.is_masked else None, masks)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        queries, keys = self.places.stacked(xs[0]), self.places.stacked(xs[1])  # (N, others…, H, T or S, K)
        y, allowed = self.places.flat(ws.y), self._allowed(ws)
        ws.ops.matrix_products(queries, turned(keys), y, self.scale)
        if allowed is not None:
            np.copyto(y, LOW, where=~allowed)
        ws.ops.softmax(y, y)
        if allowed is not None and self.clears:
            np.copyto(y, 0, where=~allowed)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        places, allowed, y = self.places, self._allowed(ws), self.places.flat(ws.y)
        queries, keys = places.stacked(ws.xs[0]), places.stacked(ws.xs[1])
        dy, (dqueries, dkeys, *others) = places.flat(dy), ws.dxs
        for dmask in others:
            if dmask is not None:
                dmask.fill(0)
        size = max(1, BLOCK // max(1, y[0].size))
        for first in range(0, len(y), size):  # in parts, as no array has room for all of it
            part = slice(first, first + size)
            gradient = np.empty_like(y[part])
            ws.ops.softmax_backward(y[part], dy[part], gradient)
            if allowed is not None:
                own = allowed[part] if allowed.ndim == y.ndim and len(allowed) > 1 else allowed
                np.copyto(gradient, 0, where=~own)
            if dqueries is not None:
                places.multiply(ws.ops, gradient, keys[part], dqueries[part], self.scale)
            if dkeys is not None:
                places.multiply(ws.ops, turned(gradient), queries[part], dkeys[part], self.scale)

    def flops(self, input_shapes: Shapes, output_shape: Shape) -> int:
        """Operations for one sample: products, and a softmax as one function of a number."""
        return (2 * input_shapes[0][-1] + 1) * prod(output_shape)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        shape = self.places.shape_of_weights(*(x.shape for x in xs[:2]))
        lead, count = len(self.places.others) + 1, len(self.places.axes)
        queries, keys = (self.places.to_onnx(x, graph) for x in xs[:2])
        rank = lead + 3
        keys = graph.add("Transpose", [keys], False, perm=[*range(rank - 2), rank - 1, rank - 2])
        queries = graph.add("Mul", [queries, graph.constant(np.float32(self.scale))], False)
        y = graph.add("MatMul", [queries, keys], False)
        y = self._masked_to_onnx(y, xs, graph, shape)  # (N, others…, H, T, S)
        return y if count == 1 else graph.add("Reshape", [y, graph.constant(np.array([0, *shape]))], False)

    def _masked_to_onnx(self, y, xs, graph, shape):
        """The softmax of what masks leave."""
        masks = [*self._fixed_to_onnx(y, graph, shape), *(self._own_to_onnx(x, graph) for x in xs[2:])]
        for mask in masks:
            y = graph.add("Where", [mask, y, graph.constant(np.float32(LOW))], False)
        y = graph.add("Softmax", [y], False, axis=-1)
        for mask in masks if self.clears else ():
            y = graph.add("Where", [mask, y, graph.constant(np.float32(0))], False)
        return y

    def _fixed_to_onnx(self, y, graph, shape):
        """The masks that are the same for all samples."""
        lead, count = len(self.places.others) + 1, len(self.places.axes)
        if self.is_masked and not has_open([shape]):
            flat = *shape[:lead], prod(shape[lead : lead + count]), prod(shape[lead + count :])
            return [graph.constant(self._same_for_all(flat))]
        masks = [] if self.mask is None else [graph.constant(self._expanded(np.asarray(self.mask) != 0))]
        if self.is_causal or self.window is not None:
            steps = steps_to_onnx(y, graph)
            masks += [graph.add("GreaterOrEqual", [steps, graph.constant(0)])] if self.is_causal else []
            near = None if self.window is None else [graph.add("Abs", [steps]), graph.constant(self.window)]
            masks += [graph.add("Less", near)] if near else []
        return masks

    def _own_to_onnx(self, x, graph):
        """A mask of samples as (N, others…, H, T, S)."""
        rank, count = len(x.shape) + 1, 2 * len(self.places.axes)
        mask = graph.add("Cast", [graph.channels_last(x)], False, to=9)  # BOOL
        if rank == 2:  # of keys
            mask, rank = graph.add("Unsqueeze", [mask, graph.constant(np.array([1]))], False), 3
        missing = len(self.places.others) + 2 + count - rank
        axes = graph.constant(np.arange(rank - count, rank - count + missing))
        mask = graph.add("Unsqueeze", [mask, axes], False) if missing else mask
        if count == 2:
            return mask
        flat = [0] * (rank + missing - count) + [prod(x.shape[-count : -count // 2]), prod(x.shape[-count // 2 :])]
        return graph.add("Reshape", [mask, graph.constant(np.array(flat))], False)


class WeightedSum(Layer):
    """The values of all places, each as much as the weights say, head by head.

    Parameters
    ----------
    places : Places

    Notes
    -----
    Inputs: weights (N, others…, H, T…, S…), and values (N, …, H, V). Output (N, …, H, V).
    """

    input_count: int | None = 2

    def __init__(self, places: Places, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.places: Places = places

    def build(self, input_shapes: Shapes) -> Shape:
        weights, values = input_shapes
        shape, lead = list(values), len(self.places.others) + 1
        for axis, size in zip(self.places.axes, weights[lead:], strict=False):
            shape[axis - 1] = size
        return tuple(shape)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        places = self.places
        places.multiply(ws.ops, places.flat(xs[0]), places.stacked(xs[1]), ws.y)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        places, (dweights, dvalues) = self.places, ws.dxs
        dy = places.stacked(dy)  # (N, others…, H, T, V)
        if dweights is not None:
            ws.ops.matrix_products(dy, turned(places.stacked(ws.xs[1])), places.flat(dweights))
        if dvalues is not None:
            places.multiply(ws.ops, turned(places.flat(ws.xs[0])), dy, dvalues)

    def flops(self, input_shapes: Shapes, output_shape: Shape) -> int:
        """Operations for one sample."""
        return 2 * prod(input_shapes[0]) * input_shapes[1][-1]

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        places, weights = self.places, graph.channels_last(xs[0])
        lead, count, shape = len(places.others) + 1, len(places.axes), xs[0].shape
        if count > 1:
            flat = [0] * (lead + 1) + [prod(shape[lead : lead + count]), prod(shape[lead + count :])]
            weights = graph.add("Reshape", [weights, graph.constant(np.array(flat))], False)
        y = graph.add("MatMul", [weights, places.to_onnx(xs[1], graph)], False)
        if count > 1:
            apart = [0] * (lead + 1) + [*shape[lead : lead + count], xs[1].shape[-1]]
            y = graph.add("Reshape", [y, graph.constant(np.array(apart))], False)
        back = np.argsort(places.order).tolist()
        return graph.add("Transpose", [y], False, perm=back)


def steps_to_onnx(weights: Value, graph: GraphWriter) -> Value:
    """How many places each of the queries is behind each of the keys, (T, S), where their number is not known."""
    sizes = graph.add("Shape", [weights])
    places = []
    for axis, new in ((-2, 1), (-1, 0)):  # (T, 1) and (1, S)
        size = graph.add("Gather", [sizes, graph.constant(axis)])
        steps = graph.add("Range", [graph.constant(0), size, graph.constant(1)])
        places.append(graph.add("Unsqueeze", [steps, graph.constant(np.array([new]))]))
    return graph.add("Sub", places)


def turned(x: np.ndarray) -> np.ndarray:
    """The transposed matrices."""
    return x.transpose(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
