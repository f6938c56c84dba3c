"""Attention without heads and without dense layers: `Attention` and `AdditiveAttention`."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from minicnn.checks import check_choice, check_number, check_seed
from minicnn.errors import ShapeError
from minicnn.graph import Tensor
from minicnn.hints import LayerOptions
from minicnn.layers.activations import Softmax
from minicnn.layers.attention_masks import FAR_BELOW, KeptPlaces, MaskedScores
from minicnn.layers.attention_parts import BLOCK, steps_to_onnx, turned
from minicnn.layers.attention_places import fits_places
from minicnn.layers.base import Examples, Layer
from minicnn.layers.composed import Composed, Form
from minicnn.layers.dropout import Dropout
from minicnn.layers.matrix_product import MatrixProduct
from minicnn.layers.open_sizes import has_open
from minicnn.parameters import Weight
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["AdditiveAttention", "Attention"]

MASKS = ("query_mask", "value_mask")
OPTIONS = ("return_attention_scores", "use_causal_mask")


class Scores(Layer):
    """How well queries (N, …, T, D) fit keys (N, …, S, D), by number (N, …, T, S), before a softmax.

    Parameters
    ----------
    mode : {"dot", "concat", "additive"}
        Scalar products, times `scale`; concat_score_weight · Σ tanh(scale · (query + key)); or
        Σ scale · tanh(query + key).
    use_scale : bool
        Whether there is a weight `scale`: a number, or for "additive" one for each of D.
    """

    input_count: int | None = 2

    def __init__(self, mode: str, use_scale: bool, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.mode: str = mode
        self.use_scale: bool = use_scale

    def build(self, input_shapes: Shapes) -> Shape:
        queries, keys = input_shapes
        if self.use_scale and self.mode == "additive":
            self.add_weight("scale", queries[-1:], "glorot_uniform")
        elif self.use_scale:
            self.add_weight("scale", (), "ones")
        if self.mode == "concat":
            self.add_weight("concat_score_weight", (), "ones")
        return *queries[:-1], keys[-2]

    def _factors(self, ws):
        """(what query + key are multiplied by, what the tanh of that is); 1 where there is no weight."""
        scale = ws.params.get("scale", 1)
        return (1, scale) if self.mode == "additive" else (scale, ws.params.get("concat_score_weight", 1))

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        queries, keys = xs
        if self.mode == "dot":
            ws.ops.matrix_products(queries, turned(keys), ws.y)
            if self.use_scale:
                np.multiply(ws.y, ws.params["scale"], out=ws.y)
        else:
            inner, outer = self._factors(ws)
            for part in self._parts(xs):
                sums = np.tanh(inner * _sums(queries[part], keys[part]))  # (n, …, T, S, D)
                ws.y[part] = (outer * sums).sum(axis=-1)

    def _parts(self, xs):
        """Slices of the samples, as no array has room for all of their sums at once."""
        queries, keys = xs
        size = max(1, BLOCK // max(1, queries[0].size * keys.shape[-2]))
        return [slice(first, first + size) for first in range(0, len(queries), size)]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        (self._backward_of_products if self.mode == "dot" else self._backward_of_sums)(dy, ws)

    def _backward_of_products(self, dy, ws):
        (queries, keys), (dqueries, dkeys), scale = ws.xs, ws.dxs, ws.params.get("scale", 1)
        dscale = ws.grads.get("scale")
        if dqueries is not None or dscale is not None:
            by_scale = np.empty_like(queries)
            ws.ops.matrix_products(dy, keys, by_scale)
            if dscale is not None:
                dscale[...] = (by_scale * queries).sum()
            if dqueries is not None:
                np.multiply(by_scale, scale, out=dqueries)
        if dkeys is not None:
            ws.ops.matrix_products(turned(dy), queries, dkeys)
            np.multiply(dkeys, scale, out=dkeys)

    def _backward_of_sums(self, dy, ws):
        (queries, keys), (inner, outer) = ws.xs, self._factors(ws)
        names = ("concat_score_weight", "scale") if self.mode == "concat" else ("scale", "")
        douter, dinner = (ws.grads.get(name) for name in names)
        for gradient in (douter, dinner):
            if gradient is not None:
                gradient.fill(0)
        for part in self._parts(ws.xs):
            sums = _sums(queries[part], keys[part])  # (n, …, T, S, D)
            curved = np.tanh(inner * sums)
            own = dy[part][..., None] * (1 - curved * curved) * outer
            if douter is not None:
                products = (dy[part][..., None] * curved).reshape(-1, curved.shape[-1]).sum(axis=0)  # (D,)
                douter += products if douter.ndim else products.sum()
            if dinner is not None:
                dinner += (own * sums).sum()
            for dx, axis in zip(ws.dxs, (-2, -3), strict=True):
                if dx is not None:
                    dx[part] = inner * own.sum(axis=axis)

    def flops(self, input_shapes: Shapes, output_shape: Shape) -> int:
        """Operations for one sample."""
        return (2 if self.mode == "dot" else 3) * input_shapes[0][-1] * prod(output_shape)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        queries, keys = (graph.channels_last(x) for x in xs)
        rank, weights = len(xs[0].shape) + 1, {name: graph.weight(w) for name, w in self._weights.items()}
        scale = [weights["scale"]] if self.use_scale else []
        if self.mode == "dot":
            keys = graph.add("Transpose", [keys], False, perm=[*range(rank - 2), rank - 1, rank - 2])
            y = graph.add("MatMul", [queries, keys], False)
            y = graph.add("Mul", [y, *scale], False) if scale else y
        else:
            pair = zip((queries, keys), (rank - 1, rank - 2), strict=True)
            y = graph.add(
                "Add", [graph.add("Unsqueeze", [x, graph.constant(np.array([n]))], False) for x, n in pair], False
            )
            y = graph.add("Mul", [y, *scale], False) if scale and self.mode == "concat" else y
            y = graph.add("Tanh", [y], False)
            outer = scale if self.mode == "additive" else [weights["concat_score_weight"]]
            y = graph.add("Mul", [y, *outer], False) if outer else y
            y = graph.add("ReduceSum", [y, graph.constant(np.array([-1]))], False, keepdims=0)
        return y


class Causal(Layer):
    """Scores (N, …, T, S), far lower where a place of the keys is behind that of the query."""

    uses_input = False

    def build(self, input_shapes: Shapes) -> Shape:
        return input_shapes[0]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        np.subtract(xs[0], self.below(ws.y.shape, ws.y), out=ws.y)

    def below(self, shape: Shape, like: np.ndarray | None = None) -> np.ndarray:
        """What is subtracted, (T, S): nothing where a place of the keys is not behind that of the query."""
        options = {} if like is None else {"like": like}
        steps = np.arange(shape[-2], **options)[:, None] - np.arange(shape[-1], **options)
        return (steps < 0).astype(np.float32 if like is None else like.dtype) * FAR_BELOW

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0][...] = dy

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        scores, shape = graph.channels_last(xs[0]), xs[0].shape
        if has_open([shape[-2:]]):
            behind = graph.add("Less", [steps_to_onnx(scores, graph), graph.constant(0)])
            far = graph.constant(np.float32(FAR_BELOW)), graph.constant(np.float32(0))
            below = graph.add("Where", [behind, *far])
        else:
            below = graph.constant(self.below(shape).astype(np.float32))
        return graph.add("Sub", [scores, below])


def _rows(mask, count):
    """A mask beside arrays with a row for each of so many samples, of which one row or none stands for all."""
    mask = np.asarray(mask)[None] if np.ndim(mask) == 1 else mask
    return np.broadcast_to(mask, (count, *np.shape(mask)[1:])) if np.shape(mask)[:1] == (1,) else mask


def _sums(queries, keys):
    """query + key for each pair of places, (n, …, T, S, D)."""
    return queries[..., :, None, :] + keys[..., None, :, :]


class Attention(Composed):
    """Each place of the queries gets a mean of the values, weighted by a softmax of how well their keys fit it.

    (Luong, Pham, Manning: "Effective approaches to attention-based neural machine translation", 2015.)

    Parameters
    ----------
    use_scale : bool, default False
        Whether there is a factor that is learned, which begins as 1.
    score_mode : {"dot", "concat"}, default "dot"
        Scalar products of query and key, or w · Σ tanh(query + key) with a number w that is learned.
    dropout : float, default 0
        In [0, 1): how many of the weights are left out in training.
    seed : int, optional
        Of the dropout.

    Notes
    -----
    Called as ``layer([query, value])`` or ``layer([query, value, key], return_attention_scores=False,
    use_causal_mask=False, mask=[query_mask, value_mask])``: query (N, T, D), value (N, S, V), key (N, S, D), by default
    the value. The output is (N, T, V), and with `return_attention_scores` the weights (N, T, S) are a second one. Where
    the mask of the queries (N, T) is 0, so is the output; where that of the values (N, S) is, no place attends.
    """

    usual_roles: Mapping[int, tuple[str, ...]] = {2: ("query", "value"), 3: ("query", "value", "key")}
    mode: str | None = None  # of `Scores`; None: `score_mode` says it

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.use_scale: bool = bool(use_scale)
        self.score_mode: str = check_choice("score_mode", score_mode, ("dot", "concat"))
        self.dropout: float = check_number("dropout", dropout, below=1)
        self.seed: int | None = check_seed("seed", seed)

    def __call__(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Call on a list of two or three tensors or arrays; see the class.

        Parameters
        ----------
        inputs : list of Tensor or array
        mask : list of Tensor, array or None, optional
            Of the queries and of the values, 0 where a place is left out; a third one, of the keys, is not looked at.
        training : bool, optional
            As for every layer.
        return_attention_scores, use_causal_mask : bool, default False

        Returns
        -------
        Tensor or array, or (output, weights)
        """
        if isinstance(mask, bool) and training is None:  # as other layers take it
            mask, training = None, mask
        if not isinstance(inputs, list | tuple):
            raise ShapeError(
                f"layer '{self.name}' ({type(self).__name__}) is called on a list, [query, value] or [query, value, "
                f"key]. Received: a {type(inputs).__name__}"
            )
        options = {"return_attention_scores": return_attention_scores, "use_causal_mask": use_causal_mask}
        masks, is_graph = self._masks(mask), any(isinstance(x, Tensor) for x in inputs)
        fixed = {role: m for role, m in masks.items() if is_graph and not isinstance(m, Tensor)}
        masks = {role: m for role, m in masks.items() if role not in fixed}
        options |= {role: self._same_for_all(role, m) for role, m in fixed.items()}
        form = self.form_of((*self.usual_roles.get(len(inputs), ()), *masks), options)
        masks = masks if is_graph else {role: _rows(m, np.shape(inputs[0])[0]) for role, m in masks.items()}
        return self.call_in_form([*inputs, *masks.values()], form, training)

    def _same_for_all(self, role, mask):
        """A mask beside tensors that is no tensor itself, nested lists (1, places)."""
        try:
            numbers = np.asarray(mask).astype(float) != 0
        except (TypeError, ValueError):
            numbers = np.ones(0)
        numbers = numbers[None] if numbers.ndim == 1 else numbers
        if numbers.ndim != 2 or len(numbers) != 1 or not numbers.size:
            raise ShapeError(
                f"{role} of layer '{self.name}' ({type(self).__name__}) is a tensor where it differs from sample to "
                "sample, as an Input gives it, and an array beside tensors is the same for all: (1, places). "
                f"Received: {f'shape {np.shape(mask)}' if np.size(numbers) else repr(mask)}"
            )
        return numbers.astype(int).tolist()

    def _masks(self, mask):
        """Role → mask, of those that there are."""
        if mask is None:
            return {}
        if not isinstance(mask, list | tuple) or len(mask) not in (2, 3):
            raise ValueError(
                f"mask of layer '{self.name}' ({type(self).__name__}) is a list, [query_mask, value_mask], of which "
                f"one may be None. Received: {f'{len(mask)} masks' if isinstance(mask, list | tuple) else type(mask)}"
            )
        return {role: m for role, m in zip(MASKS, mask, strict=False) if m is not None}

    @property
    def scale(self) -> Weight | None:
        """The factors that are learned; None without them, and before the layer is built."""
        return self.named_weights().get("scale")

    def form_of(self, roles: tuple[str, ...], options: Mapping[str, Any]) -> Form:
        known = tuple(role for role in roles if role not in MASKS) in self.usual_roles.values()
        others = (*MASKS, *OPTIONS)
        if set(options) - set(others) or not known:
            raise ValueError(
                f"a call of layer '{self.name}' ({type(self).__name__}) has the inputs query, value and key, masks "
                f"of queries and values, and the options {', '.join(OPTIONS)}. Received: {roles}, {sorted(options)}"
            )
        given = [(name, options[name]) for name in others if options.get(name)]
        return Form(roles, tuple((n, tuple(map(tuple, v)) if n in MASKS else True) for n, v in given))

    def shapes_behind(self, shapes: Mapping[str, Shape]) -> list[Shape]:
        query, value = shapes["query"], shapes["value"]
        key = shapes.get("key", value)
        fits = len(query) == len(value) == len(key) > 1 and query[:-2] == value[:-2] == key[:-2]
        if not fits or value[-2] != key[-2] or query[-1] != key[-1]:
            raise ShapeError(
                "attention takes a query (N, T, D), a value (N, S, V) and a key (N, S, D), which is the value where "
                f"none is given. Received: {[(None, *shape) for shape in shapes.values()]}"
            )
        for role, shape in (("query_mask", query), ("value_mask", value)):
            fixed = self.form.option(role)
            mask = shapes.get(role) if fixed is None else np.shape(fixed)[1:]
            if mask is not None and not fits_places(mask, shape[-2:-1]):
                raise ShapeError(
                    f"mask is [query_mask, value_mask], and {role} has the places of its input, "
                    f"{(None, *shape[-2:-1])}. Received: {(None, *mask)}"
                )
        output, weights = (*query[:-1], value[-1]), (*query[:-1], key[-2])
        return [output, weights] if self.form.option("return_attention_scores") else [output]

    def connect(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        query, value, options = tensors["query"], tensors["value"], {"dtype": self.dtype_policy}
        scores = self.part("", self._make_scores)([query, tensors.get("key", value)])
        is_causal = bool(self.form.option("use_causal_mask"))
        if (masked := self._masked("value_mask", tensors)) is not None:
            scores = MaskedScores(is_causal, masked[0], name="masked", **options)([scores, *masked[1]])
        elif is_causal:
            scores = Causal(name="causal", **options)(scores)
        weights = Softmax(name="weights", **options)(scores)
        weights = self.part("dropout", self._make_dropout)(weights) if self.dropout else weights
        output = MatrixProduct(name="mean", **options)([weights, value])
        if (masked := self._masked("query_mask", tensors)) is not None:
            output = KeptPlaces(masked[0], name="kept", **options)([output, *masked[1]])
        return [output, weights] if self.form.option("return_attention_scores") else [output]

    def _masked(self, role, tensors):
        """(a mask that is the same for all samples or None, [one of each sample]); None without a mask."""
        fixed, own = self.form.option(role), [tensors[role]] if role in tensors else []
        return (fixed, own) if own or fixed is not None else None

    def _make_scores(self, **kwargs) -> Layer:
        return Scores(self.mode or self.score_mode, self.use_scale, name="scores", **kwargs)

    def _make_dropout(self, **kwargs) -> Layer:
        return Dropout(self.dropout, seed=self.seed, name="dropout", **kwargs)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(use_scale=True, dropout=0.3, seed=1), [(3, 5), (4, 2), (4, 5)]
        yield cls(), [(3, 5), (4, 5)]


class AdditiveAttention(Attention):
    """As `Attention`, with the scores Σ scale · tanh(query + key).

    (Bahdanau, Cho, Bengio: "Neural machine translation by jointly learning to align and translate", 2014.)

    Parameters
    ----------
    use_scale : bool, default True
        Whether there are factors that are learned, one for each number of a query.
    dropout, seed :
        As for `Attention`.
    """

    mode: str | None = "additive"

    def __init__(
        self, use_scale: bool = True, dropout: float = 0.0, seed: int | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(use_scale, "dot", dropout, seed, **kwargs)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(3, 5), (4, 5)]
        yield cls(use_scale=False, dropout=0.3, seed=1), [(3, 4), (4, 2), (4, 4)]
