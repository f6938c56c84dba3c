"""Attention with fewer keys and values than queries: `GroupQueryAttention`."""

from __future__ import annotations

from typing import Any

from minicnn.checks import check_positive_int
from minicnn.errors import ShapeError
from minicnn.graph import Tensor
from minicnn.hints import InitializerLike, RegularizerLike
from minicnn.layers.attention import MASKS, OfHeads
from minicnn.layers.attention_places import Places
from minicnn.layers.base import Examples
from minicnn.layers.names import unique_name
from minicnn.layers.resizing import UpSampling2D

__all__ = ["GroupQueryAttention"]


class GroupQueryAttention(OfHeads):
    """As `MultiHeadAttention`, where several heads of queries share the keys and the values of one head.

    (Ainslie, Lee-Thorp, de Jong, Zemlyanskiy, Lebrón, Sanghai: "GQA: training generalized multi-query transformer
    models from multi-head checkpoints", 2023.)

    Parameters
    ----------
    head_dim : int
        The size of a query, of a key and of a value in each head.
    num_query_heads, num_key_value_heads : int
        How many heads there are of queries, and of keys and values; the first is a multiple of the second.
    dropout, use_bias, sliding_window, flash_attention, use_gate, seed :
        As for `MultiHeadAttention`.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer :
        As there, and so are ``activity_regularizer``, ``kernel_constraint`` and ``bias_constraint``.

    Notes
    -----
    Called as `MultiHeadAttention` is, on query (N, T, D), value and key (N, S, D). `query_mask`, (N, T), counts here:
    a place of the query that it leaves out has weights of 0 where there is a dropout or `return_attention_scores`, and
    attends to all alike elsewhere, as in Keras.
    """

    masks: tuple[str, ...] = ("query_mask", *MASKS)

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
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
        if kwargs.get("name") is None:
            kwargs["name"] = unique_name("GroupedQueryAttention")  # as Keras's class is called inside of it
        self.head_dim: int = check_positive_int("head_dim", head_dim)
        self.num_query_heads: int = check_positive_int("num_query_heads", num_query_heads)
        self.num_key_value_heads: int = check_positive_int("num_key_value_heads", num_key_value_heads)
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                "`num_query_heads` must be divisible by `num_key_value_heads`, as each head of keys and values is that "
                f"of as many heads of queries. Received: {num_query_heads} and {num_key_value_heads}"
            )
        first, penalties = (kernel_initializer, bias_initializer), (kernel_regularizer, bias_regularizer)
        options = (None, None, sliding_window, flash_attention)
        super().__init__(
            num_query_heads, head_dim, None, dropout, use_bias, *options, *first, *penalties, use_gate, seed, **kwargs
        )

    def __call__(
        self,
        query: Any,
        value: Any = None,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """Call on tensors or arrays, as `MultiHeadAttention.__call__` says it.

        Parameters
        ----------
        query, value, key : Tensor or array
        query_mask, value_mask, key_mask, attention_mask : Tensor or array, optional
        return_attention_scores : bool, default False
        training : bool, optional
        use_causal_mask : bool, default False

        Returns
        -------
        Tensor or array, or (output, weights)
        """
        masks = {"query_mask": query_mask, "value_mask": value_mask, "key_mask": key_mask}
        options = {"return_attention_scores": return_attention_scores, "use_causal_mask": use_causal_mask}
        inputs = {"query": query, "value": value, "key": key}
        if isinstance(query, Tensor) and isinstance(value, Tensor):
            self._check_features(query.shape, value.shape)
        return self.called(inputs, masks | {"attention_mask": attention_mask}, options, training)

    def compute_output_shape(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> Any:
        """That of the query; shapes with the batch axis."""
        self._check_features(query_shape, value_shape)
        if key_shape is not None and tuple(value_shape)[1:-1] != tuple(key_shape)[1:-1]:
            raise ShapeError(
                "All dimensions of `value` and `key`, except the last one, must be equal. "
                f"Received: value_shape={value_shape} and key_shape={key_shape}"
            )
        return tuple(query_shape)

    def _check_features(self, query, value):
        """As Keras has it where shapes alone are known."""
        if query[-1] != value[-1]:
            raise ShapeError(
                f"The last dimension of the query and of the value of layer '{self.name}' (GroupQueryAttention) must "
                f"be equal. Received: shapes {tuple(query)} and {tuple(value)}"
            )

    def places(self, rank: int) -> Places:
        if rank != 3:
            raise ShapeError(
                "attention of groups of queries takes (N, T, D) and (N, S, D): make images sequences of places first, "
                f"Reshape((-1, channels)). Received: an input of {rank} axes"
            )
        return super().places(rank)

    def _projected(self, role, x, size):
        """The queries, keys or values, those of a head for each of its heads of queries."""
        if role not in ("key", "value"):
            return super()._projected(role, x, size)
        y = self.part(role, self.projection(1, (self.num_key_value_heads, size)))(x)  # (N, S, heads, size)
        repeats = self.num_query_heads // self.num_key_value_heads
        name = f"{role}_of_each"
        return y if repeats == 1 else UpSampling2D((1, repeats), name=name, dtype=self.dtype_policy)(y)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {name: value for name, value in super().get_config().items() if name != "output_shape"}

    @classmethod
    def examples(cls) -> Examples:
        yield cls(3, 4, 2, use_bias=False), [(5, 6), (5, 6)]
        yield cls(2, 3, 1, dropout=0.3, seed=1, use_gate=True, use_bias=False), [(3, 5), (4, 5), (4, 6)]
        yield cls(2, 2, 2, sliding_window=2, use_bias=False, kernel_regularizer="l2"), [(4, 3), (4, 3)]
