"""Attention with several heads: `MultiHeadAttention`, of which vision transformers are made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minicnn import initializers, regularizers
from minicnn.checks import check_number, check_positive_int, check_seed, is_integer
from minicnn.errors import DataError, ShapeError
from minicnn.graph import Tensor
from minicnn.hints import InitializerLike, RegularizerLike
from minicnn.initializers import Initializer
from minicnn.layers.activations import Sigmoid
from minicnn.layers.attention_parts import AttentionWeights, Projection, WeightedSum
from minicnn.layers.attention_places import Places, fits_places
from minicnn.layers.base import Examples, Layer
from minicnn.layers.composed import Composed, Form
from minicnn.layers.dropout import Dropout
from minicnn.layers.merging import Multiply
from minicnn.layers.names import unique_name
from minicnn.layers.reshape import Reshape
from minicnn.regularizers import Regularizer
from minicnn.step import Shape

__all__ = ["MultiHeadAttention"]

MASKS = ("value_mask", "key_mask", "attention_mask")
"""Inputs of a call that say which places are left out."""

OPTIONS = ("return_attention_scores", "use_causal_mask")
"""Of a call; besides, masks that are the same for all samples."""


class OfHeads(Composed):
    """Base of attention with several heads; parameters as of `MultiHeadAttention`."""

    rare_options: tuple[str, ...] = ("activity_regularizer", "kernel_constraint", "bias_constraint")
    usual_roles: Mapping[int, tuple[str, ...]] = {2: ("query", "value"), 3: ("query", "value", "key")}
    masks: tuple[str, ...] = MASKS

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads: int = check_positive_int("num_heads", num_heads)
        self.key_dim: int = check_positive_int("key_dim", key_dim)
        self.value_dim: int = check_positive_int("value_dim", self.key_dim if value_dim is None else value_dim)
        self.dropout: float = check_number("dropout", dropout, below=1)
        self.use_bias: bool = bool(use_bias)
        self.use_gate: bool = bool(use_gate)
        units = _integers("output_shape", output_shape) or ()
        self.units: tuple[int, ...] | None = tuple(check_positive_int("output_shape", n) for n in units) or None
        self.attention_axes: tuple[int, ...] | None = _integers("attention_axes", attention_axes)
        self.sliding_window: int | None = _positive_or_none("sliding_window", sliding_window)
        self.kernel_initializer: Initializer = initializers.get(kernel_initializer)
        self.bias_initializer: Initializer = initializers.get(bias_initializer)
        self.kernel_regularizer: Regularizer | None = regularizers.get(kernel_regularizer)
        self.bias_regularizer: Regularizer | None = regularizers.get(bias_regularizer)
        self.seed: int | None = check_seed("seed", seed)

    # The dense layers, as Keras calls them, once they are made.
    query_dense: property = property(lambda self: self.parts["query"])
    key_dense: property = property(lambda self: self.parts["key"])
    value_dense: property = property(lambda self: self.parts["value"])
    output_dense: property = property(lambda self: self.parts["attention_output"])

    # -------------------------------------------------------------------------------------------------------- calls

    def called(
        self, inputs: dict[str, Any], masks: Mapping[str, Any], options: dict[str, Any], training: bool | None
    ) -> Any:
        """`__call__`, of arguments by their names.

        Parameters
        ----------
        inputs : dict
            "query", "value" and "key".
        masks : dict
            Tensors or arrays; None where there is none.
        options : dict
        training : bool or None
        """
        query = inputs["query"]
        if isinstance(query, list | tuple):
            self._check_alone({"key": inputs["key"], **masks, **{name: x or None for name, x in options.items()}})
            return self.call_in_form(list(query), None, inputs["value"] if training is None else training)
        if inputs["value"] is None:
            raise TypeError(
                f"layer '{self.name}' ({type(self).__name__}) is called on a query and a value, which are the same "
                "tensor in self-attention: layer(x, x). Received: value=None"
            )
        given = {role: x for role, x in inputs.items() if x is not None}
        is_graph = any(isinstance(x, Tensor) for x in given.values())
        for role in self.masks:
            mask = masks.get(role)
            if isinstance(mask, Tensor):
                given[role] = mask
            elif mask is not None and is_graph:
                options[role] = self._numbers(role, mask).astype(int).tolist()
            elif mask is not None:
                given[role] = self._for_samples(role, self._numbers(role, mask), np.shape(query))
        return self.call_in_form(list(given.values()), self.form_of(tuple(given), options), training)

    def _check_alone(self, others):
        """That there is nothing beside a list of all inputs, which is called as before or without options."""
        if given := [name for name, x in others.items() if x is not None]:
            raise TypeError(
                f"layer '{self.name}' ({type(self).__name__}) is called on a list alone; with more, the query and the "
                f"value are arguments of their own: layer(query, value, …). Received: a list, and {', '.join(given)}"
            )

    def _numbers(self, role, mask):
        """A mask that is no tensor, as True and False."""
        try:
            numbers = np.asarray(mask).astype(float) != 0
        except (TypeError, ValueError):
            raise DataError(
                f"{role} of layer '{self.name}' ({type(self).__name__}) is a tensor or an array of numbers, 0 "
                f"where a place is left out. Received: {mask!r}"
            ) from None
        return numbers[None] if role != "attention_mask" and numbers.ndim == 1 else numbers

    def _for_samples(self, role, mask, query):
        """The same with an axis of the samples, as that of the query."""
        if role == "attention_mask":
            count = len(query) - 2 if self.attention_axes is None else len(self.attention_axes)
            mask = mask[None] if mask.ndim <= 2 * count else mask
        return np.broadcast_to(mask, (query[0], *mask.shape[1:])) if mask.shape[:1] == (1,) else mask

    def build(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> Shape:
        """Make the weights; shapes with the batch axis one by one, as in Keras, or those of samples in a tuple."""
        if value_shape is None:
            return super().build(query_shape)
        given = (query_shape, value_shape, key_shape)
        return self.build_for(tuple(tuple(shape)[1:] for shape in given if shape is not None))[0]

    def form_of(self, roles: tuple[str, ...], options: Mapping[str, Any]) -> Form:
        known, others = ("query", "value", "key", *self.masks), (*self.masks, *OPTIONS)
        if set(options) - set(others) or roles[:2] != known[:2] or not set(roles) <= set(known):
            raise ValueError(
                f"a call of layer '{self.name}' ({type(self).__name__}) has the inputs {', '.join(known)} "
                f"and the options {', '.join(OPTIONS)}. Received: {roles}, {sorted(options)}"
            )
        return Form(roles, tuple((name, _fixed(options[name])) for name in others if options.get(name)))

    # -------------------------------------------------------------------------------------------------------- graph

    def places(self, rank: int) -> Places:
        """Along which axes places attend to each other, of inputs of so many axes.

        Raises
        ------
        ShapeError
            If there are no such axes.
        """
        axes = range(1, rank - 1) if self.attention_axes is None else self.attention_axes
        axes = tuple(axis + rank if axis < 0 else axis for axis in axes)
        if not axes or not all(0 < axis < rank - 1 for axis in axes) or len(set(axes)) != len(axes):
            raise ShapeError(
                f"attention goes along axes between that of the samples and the last, 1 … {rank - 2} here. "
                f"Received: attention_axes={self.attention_axes} for an input of {rank} axes"
            )
        return Places(rank - 2, axes)

    def shapes_behind(self, shapes: Mapping[str, Shape]) -> list[Shape]:
        query, value = shapes["query"], shapes["value"]
        key = shapes.get("key", value)
        others = self.places(len(query) + 1).others if len(query) > 1 else ()
        fits = len(query) == len(value) == len(key) > 1 and value[:-1] == key[:-1]
        if not fits or any(query[axis - 1] != key[axis - 1] for axis in others):
            raise ShapeError(
                "attention takes a query (N, T, D) and values and keys (N, S, D), with as many axes, of which keys and "
                "values have the same, and the query those along which there is no attention. "
                f"Received: {[(None, *shape) for shape in shapes.values()]}"
            )
        output, places = (*query[:-1], *(self.units or query[-1:])), self.places(len(query) + 1)
        weights = places.shape_of_weights(*((*shape[:-1], self.num_heads, self.key_dim) for shape in (query, key)))
        self._check_masks(shapes, places, weights)
        return [output, weights] if self.form.option("return_attention_scores") else [output]

    def _check_masks(self, shapes, places, weights):
        """That masks fit the places, as tensors of samples or as arrays for all of them."""
        key = shapes.get("key", shapes["value"])
        fixed = {role: np.shape(mask) for role in self.masks if (mask := self.form.option(role)) is not None}
        for role in (role for role in self.masks if role != "attention_mask"):
            kind, like = ("queries", shapes["query"]) if role == "query_mask" else ("keys", key)
            own = tuple(like[axis - 1] for axis in places.axes)
            mask = fixed[role][1:] if role in fixed else shapes.get(role)
            if mask is not None and (len(own) > 1 or not fits_places(mask, own)):
                raise ShapeError(
                    f"{role} says of each place of the {kind}, along one axis, whether it counts, "
                    f"{(None, *own)}. Received: {(None, *mask)}"
                )
            if role in fixed and fixed[role][0] != 1:
                raise ShapeError(
                    f"{role} is a tensor where it differs from sample to sample, as an Input gives it, and an array "
                    f"beside tensors is the same for all: {(1, *own)}. Received: {fixed[role]}"
                )
        if "attention_mask" in fixed:
            places.check_mask(fixed["attention_mask"], weights, fixed=True)
        if "attention_mask" in shapes:
            places.check_mask((None, *shapes["attention_mask"]), weights)

    def _mask_of_all(self):
        """What masks that are arrays beside tensors let through together, nested lists (…, T, S); None without any."""
        together = None
        for role in self.masks:
            mask = self.form.option(role)
            if mask is not None:
                own = np.asarray(mask) != 0
                own = {"attention_mask": own, "query_mask": own[..., None]}.get(role, own[..., None, :])
                together = own if together is None else together & own
        return None if together is None else together.astype(int).tolist()

    def connect(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        query, value = tensors["query"], tensors["value"]
        key, masks = tensors.get("key", value), [self._mask(r, tensors[r]) for r in self.masks if r in tensors]
        for part in () if self.parts else ("Softmax", "Dropout"):
            unique_name(part)  # which Keras makes too, so that names of later layers are counted on
        queries = self._projected("query", query, self.key_dim)
        keys = self._projected("key", key, self.key_dim)
        gate = (
            Sigmoid(name="sigmoid", dtype=self.dtype_policy)(self._projected("gate", query, self.value_dim))
            if self.use_gate
            else None
        )
        values = self._projected("value", value, self.value_dim)
        places = self.places(query.ndim)
        weights = self._weights_part(places)([queries, keys, *masks])
        dropped = self.part("dropout", self._make_dropout)(weights) if self.dropout else weights
        heads = WeightedSum(places, dtype=self.dtype_policy, name="heads")([dropped, values])
        heads = heads if gate is None else Multiply(name="gated", dtype=self.dtype_policy)([heads, gate])
        output = self.part("attention_output", self.projection(2, self.units or query.shape[-1:]))(heads)
        return [output, weights] if self.form.option("return_attention_scores") else [output]

    def _mask(self, role, mask):
        """A mask of samples as `AttentionWeights` takes it."""
        return Reshape((-1, 1), name=role, dtype=self.dtype_policy)(mask) if role == "query_mask" else mask

    def _projected(self, role, x, size):
        """The queries, keys or values of all heads."""
        return self.part(role, self.projection(1, (self.num_heads, size)))(x)

    def projection(self, bound: int, units: Shape) -> Callable[..., Layer]:
        """What makes one of the dense layers, given a dtype.

        Parameters
        ----------
        bound : int
            How many axes of its input, the last ones, are summed over.
        units : tuple of int
        """
        first, penalties = (
            (self.kernel_initializer, self.bias_initializer),
            (self.kernel_regularizer, self.bias_regularizer),
        )
        rare = {name: getattr(self, name) for name in self.rare_options}
        return lambda **kwargs: Projection(bound, units, self.use_bias, *first, *penalties, **rare, **kwargs)

    def _weights_part(self, places):
        is_causal, mask = self.form.option("use_causal_mask"), self._mask_of_all()
        if (is_causal or self.sliding_window) and len(places.axes) > 1:
            raise ShapeError(
                "use_causal_mask and sliding_window go by the order of places along one axis. Received: attention "
                f"along the axes {places.axes}"
            )
        clears = bool(self.dropout or self.form.option("return_attention_scores") or places.rank > 1)
        options = {"is_causal": bool(is_causal), "window": self.sliding_window, "mask": mask, "clears": clears}
        scale = 1 / math.sqrt(self.key_dim)
        return AttentionWeights(places, scale, **options, dtype=self.dtype_policy, name="weights")

    def _make_dropout(self, **kwargs) -> Layer:
        return Dropout(self.dropout, seed=self.seed, name="dropout", **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"output_shape": self.units, "flash_attention": None}


class MultiHeadAttention(OfHeads):
    """Each place of the queries gets a mean of the values, weighted by how well their keys fit its query; in each head.

    softmax(Q·Kᵀ / √key_dim)·V, where Q, K and V are dense layers of the inputs for each head, and another one puts the
    heads together. (Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin: "Attention is all you need",
    2017; for images: Dosovitskiy et al.: "An image is worth 16x16 words", 2020.)

    Parameters
    ----------
    num_heads, key_dim : int
        How many heads there are, and the size of a query and a key in each.
    value_dim : int, optional
        Size of a value; default: `key_dim`.
    dropout : float, default 0
        In [0, 1): how many of the weights are left out in training.
    use_bias : bool, default True
    output_shape : int or tuple of int, optional
        What takes the place of the last axis of the query; default: as many numbers as there.
    attention_axes : int or sequence of int, optional
        Along which places attend to each other, counted with the batch axis; default: all between it and the last.
    sliding_window : int, optional
        Places attend to those less than so many steps away.
    flash_attention : bool, optional
        Accepted for Keras's sake: it changes no number.
    kernel_initializer, bias_initializer : str or Initializer
        Of all four dense layers; defaults "glorot_uniform" and "zeros".
    kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint : optional
        Of each of them.
    use_gate : bool, default False
        Whether what the heads give is multiplied by the sigmoid of a further dense layer of the query.
    seed : int, optional
        Of the dropout.

    Notes
    -----
    Called as ``layer(query, value, key=None, attention_mask=None, return_attention_scores=False,
    use_causal_mask=False)``: query (N, T, D), value and key (N, S, D); with one tensor three times it is
    self-attention. `attention_mask`, (T, S), (N, T, S), (N, H, T, S) or (1, H, T, S), any axis also 1 for all, is 0
    where a place of the query does not attend to one of the keys; an array beside tensors is the same for all samples,
    and one of each sample is a tensor then. The output is (N, T, D), and with `return_attention_scores` the weights
    (N, H, T, S), before dropout, are a second one. Inputs may have further axes, as images. A graph calls a layer in
    one such form wherever it is; arrays may be given to it in any.
    """

    def __call__(
        self,
        query: Any,
        value: Any = None,
        key: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
        **masks: Any,
    ) -> Any:
        """Call on tensors or arrays; see the class. A list holds all inputs, in the order of the arguments.

        Parameters
        ----------
        query, value, key : Tensor or array
            `key` is `value` where it is not given.
        attention_mask : Tensor or array, optional
        return_attention_scores : bool, default False
        training : bool, optional
            As for every layer.
        use_causal_mask : bool, default False
            Whether a place attends to none that comes after it.
        **masks : Tensor or array, optional
            `value_mask` and `key_mask`, (N, S), 0 where a place is attended to by none. `query_mask`, (N, T), changes
            nothing, as in Keras 3.15.

        Returns
        -------
        Tensor or array, or (output, weights)
        """
        masks |= {"attention_mask": attention_mask}
        if unknown := set(masks) - {"query_mask", *MASKS}:
            raise TypeError(
                f"layer '{self.name}' is called with masks query_mask, {', '.join(MASKS)}. Received: {unknown}"
            )
        options = {"return_attention_scores": return_attention_scores, "use_causal_mask": use_causal_mask}
        return self.called({"query": query, "value": value, "key": key}, masks, options, training)

    @classmethod
    def examples(cls) -> Examples:
        # Without biases, as that of the keys has a gradient of 0: it adds the same to all products of a query.
        yield cls(2, 3, use_bias=False), [(5, 6), (5, 6)]
        yield cls(3, 2, value_dim=4, use_bias=False, output_shape=7, kernel_regularizer="l2"), [(3, 5), (4, 2), (4, 6)]
        yield cls(2, 3, dropout=0.3, seed=1, use_bias=False), [(3, 4), (3, 4)]
        yield cls(2, 2, attention_axes=2, use_gate=True, use_bias=False), [(2, 3, 4), (2, 5, 3)]
        yield cls(2, 2, output_shape=(2, 3), sliding_window=2, use_bias=False), [(4, 3), (4, 3)]


def _positive_or_none(name, value) -> int | None:
    return None if value is None else check_positive_int(name, value)


def _fixed(mask):
    """Nested lists as tuples; anything else as it is."""
    return tuple(map(_fixed, mask)) if isinstance(mask, list | tuple) else mask


def _integers(name, value) -> tuple[int, ...] | None:
    """One integer or several; None for None."""
    several = [value] if is_integer(value) else value
    if several is None:
        return None
    if not isinstance(several, list | tuple | np.ndarray) or not all(map(is_integer, several)):
        raise ValueError(f"{name} is an int, a tuple of int or None. Received: {name}={value!r}")
    return tuple(map(int, several))
