"""`MultiHeadAttention` as the base of users' classes that write a part of what it computes, as `_compute_attention`.

It is a layer whose `call` is made of layers, with the methods and attributes of Keras's that such classes use.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np

from minicnn import layers as core
from minicnn.graph import Tensor
from minicnn.keras._own_parts import Layer
from minicnn.layers.attention_parts import AttentionWeights, WeightedSum
from minicnn.layers.base import Layer as LayerOfCore

METHODS = ("build", "call", "_build_attention", "_compute_attention", "_compute_attention_mask", "_masked_softmax")
"""What a class writes that begins with this one."""


def refuse_parts(namespace: Mapping[str, Any]) -> None:
    """Raise NotImplementedError where a class that begins with `GroupQueryAttention` writes a part of it.

    Parameters
    ----------
    namespace : mapping
        Of the class.
    """
    if written := [name for name in METHODS if name in namespace]:
        raise NotImplementedError(
            "GroupQueryAttention computes its parts by itself: write the class as a layer of your own, with dense "
            "layers of heads (EinsumDense) and keras.ops.dot_product_attention, or a subclass of MultiHeadAttention. "
            f"Received: a class that writes {', '.join(written)}"
        )


class WrittenAttention(Layer):
    """The base; arguments as for `minicnn.layers.MultiHeadAttention`.

    Attributes
    ----------
    names_of_keras : tuple of str
        Which names here are Keras's, so that what a class gives to them is meant for this one.
    """

    names_of_keras: tuple[str, ...] = METHODS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        like = core.MultiHeadAttention(*args, **{n: v for n, v in kwargs.items() if n not in _OF_ANY})
        super().__init__(**{n: v for n, v in kwargs.items() if n in _OF_ANY})
        self._like = (like,)  # not one of the layers that it is made of, which are there once it is built
        self._num_heads, self._key_dim, self._value_dim = like.num_heads, like.key_dim, like.value_dim
        self._dropout, self._use_bias, self._output_shape = like.dropout, like.use_bias, like.units
        self._attention_axes: Any = like.attention_axes
        self._inverse_sqrt_key_dim = 1 / np.sqrt(like.key_dim)
        self._fixed_mask: Any = None

    num_heads = property(lambda self: self._num_heads)
    key_dim = property(lambda self: self._key_dim)
    value_dim = property(lambda self: self._value_dim)
    dropout = property(lambda self: self._dropout)
    use_bias = property(lambda self: self._use_bias)
    attention_axes = property(lambda self: self._attention_axes)
    query_dense = property(lambda self: self._query_dense)
    key_dense = property(lambda self: self._key_dense)
    value_dense = property(lambda self: self._value_dense)
    output_dense = property(lambda self: self._output_dense)

    def parts(self) -> list[LayerOfCore]:
        """The layers that it is made of."""
        return [part for part in super().parts() if part is not self._like[0]]

    def __call__(self, query: Any, value: Any = None, key: Any = None, **kwargs: Any) -> Any:
        """As Keras's; a mask that is an array, beside tensors, is the same for all samples."""
        mask = kwargs.get("attention_mask")
        if isinstance(query, Tensor) and mask is not None and not isinstance(mask, Tensor):
            self._fixed_mask = np.asarray(kwargs.pop("attention_mask"))
        value = query if value is None else value
        keys = {} if key is None else {"key": key}
        return super().__call__(query, value, **keys, **kwargs)

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> Any:
        """Make the dense layers, the softmax and the dropout."""
        like, of_keras = self._like[0], import_module("minicnn.keras.layers")
        sizes = {"query": self._key_dim, "key": self._key_dim, "value": self._value_dim}
        for role, size in sizes.items():
            setattr(self, f"_{role}_dense", self._dense(role, 1, (self._num_heads, size)))
        rank = len(query_shape)
        places = like.places(rank)
        self._attention_axes = places.axes
        self._build_attention(rank + 1)
        self._softmax = of_keras.Softmax(axis=-1 if len(places.axes) == 1 else tuple(range(-len(places.axes), 0)))
        self._dropout_layer = of_keras.Dropout(self._dropout, seed=like.seed)
        self._output_dense = self._dense("attention_output", 2, self._output_shape or (query_shape[-1],))
        return super().build(query_shape)

    def _dense(self, role, bound, units):
        made = self._like[0].projection(bound, units)(dtype=self.dtype_policy)
        made.name = f"{self.name}/{role}"
        return made

    def _build_attention(self, rank: int) -> None:
        """The sums of products that users' methods ask `einsum` for."""
        letters = string.ascii_lowercase
        axes = self._attention_axes
        target, source, later = letters[:rank], "", iter(letters[rank:])
        kept = [i for i in range(rank - 1) if i not in axes]
        for i in range(rank):
            source += next(later) if i in axes else target[i]
        product = "".join([target[i] for i in kept] + [target[i] for i in axes] + [source[i] for i in axes])
        self._dot_product_equation = f"{source},{target}->{product}"
        self._combine_equation = f"{product},{source}->{target}"

    def _masked_softmax(self, attention_scores: Any, attention_mask: Any = None) -> Any:
        """The softmax over what a mask (N, T, S) lets through."""
        if attention_mask is None:
            return self._softmax(attention_scores)
        ops, count = import_module("minicnn.keras.ops"), 2 * len(self._attention_axes)
        for _ in range(len(attention_scores.shape) - len(attention_mask.shape)):
            attention_mask = ops.expand_dims(attention_mask, axis=-count - 1)
        return self._softmax(attention_scores, mask=attention_mask)

    def _compute_attention_mask(self, query: Any, value: Any, attention_mask: Any = None, **options: Any) -> Any:
        """The mask of a call; with `use_causal_mask`, also of what comes later."""
        if not options.get("use_causal_mask"):
            return attention_mask
        later = np.tril(np.ones((1, query.shape[1], value.shape[1])))
        return later if attention_mask is None else attention_mask * later

    def _compute_attention(
        self,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any = None,
        training: Any = None,
        return_attention_scores: bool = False,
    ) -> tuple[Any, Any]:
        """(what the heads give, the weights) of projected queries, keys and values (N, T, heads, size)."""
        places, is_tensor = self._like[0].places(len(query.shape) - 1), isinstance(attention_mask, Tensor)
        fixed = None if is_tensor or attention_mask is None else np.asarray(attention_mask).tolist()
        options = {"mask": fixed, "clears": bool(self._dropout or return_attention_scores), "dtype": self.dtype_policy}
        find = AttentionWeights(places, self._inverse_sqrt_key_dim, name=f"{self.name}_weights", **options)
        weights = find([query, key, *([attention_mask] if is_tensor else [])])
        dropped = self._dropout_layer(weights, training=training) if self._dropout else weights
        return WeightedSum(places, name=f"{self.name}_heads", dtype=self.dtype_policy)([dropped, value]), weights

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attention, of the methods above."""
        mask = self._fixed_mask if attention_mask is None else attention_mask
        mask = self._compute_attention_mask(query, value, attention_mask=mask, use_causal_mask=use_causal_mask)
        key = value if key is None else key
        queries, keys, values = self._query_dense(query), self._key_dense(key), self._value_dense(value)
        options = [mask, training, return_attention_scores]
        taken = len(signature(self._compute_attention).parameters) - 3  # in Keras 2 one fewer
        output, weights = self._compute_attention(queries, keys, values, *options[:taken])
        output = self._output_dense(output)
        return (output, weights) if return_attention_scores else output

    def get_config(self) -> dict[str, Any]:
        """Arguments."""
        own = {n: v for n, v in self._like[0].get_config().items() if n not in ("flash_attention", "name", "trainable")}
        return own | super().get_config()


_OF_ANY = ("name", "trainable", "dtype", "input_shape", "input_dim", "batch_input_shape")
