"""Rows of a table by number: `Embedding`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import initializers, regularizers
from minicnn.checks import check_positive_int
from minicnn.hints import InitializerLike, RegularizerLike
from minicnn.initializers import Initializer
from minicnn.layers.base import Layer
from minicnn.parameters import Weight
from minicnn.registry import ANY
from minicnn.regularizers import Regularizer
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Embedding"]

MOST_ROWS = 2**24  # numbers of rows come as float32, which holds all integers up to here
BLOCK = 2**22  # numbers of a part of the product that stands for sums on a device


class Embedding(Layer):
    """A vector for each number: y[n,…,:] = embeddings[x[n,…], :], a class's or a word's.

    Parameters
    ----------
    input_dim : int
        How many rows the table has: inputs are 0 … input_dim - 1. At most 16,777,216.
    output_dim : int
        Length of a row.
    embeddings_initializer : str or Initializer, default "uniform"
        Between -0.05 and 0.05.
    embeddings_regularizer : str or Regularizer, optional
    **kwargs
        As of all layers, and ``embeddings_constraint``. Keras's ``mask_zero`` is False here, as no layer heeds masks.

    Raises
    ------
    ValueError
        On a processor, when a batch has a number outside of the table. On a GPU, where nobody waits for what a batch
        holds, its row is NaN.

    Notes
    -----
    Input (N, …), whole numbers in any dtype; a fraction is cut off, as Keras does. Output (N, …, output_dim),
    embeddings (input_dim, output_dim). The inputs get no gradient: zeros. In a model of a mixed policy the layer is one
    of float32, as bfloat16 holds no more than 257 whole numbers in a row.
    """

    rare_options: tuple[str, ...] = (*Layer.rare_options, "embeddings_constraint")
    keras_only: Mapping[str, object] = MappingProxyType(
        {"mask_zero": (False,), "lora_rank": (None,), "lora_alpha": ANY, "quantization_config": (None,)}
    )
    shape_for_any: Any = (None, 1)
    embeddings: Weight

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: InitializerLike = "uniform",
        embeddings_regularizer: RegularizerLike = None,
        **kwargs: Any,
    ) -> None:
        options = {name: kwargs.pop(name) for name in self.keras_only if name in kwargs}
        super().__init__(**kwargs)
        self.check_options(options)
        self.input_dim: int = check_positive_int("input_dim", input_dim)
        if self.input_dim > MOST_ROWS:
            raise ValueError(f"input_dim is at most {MOST_ROWS:,}. Received: input_dim={self.input_dim:,}")
        self.output_dim: int = check_positive_int("output_dim", output_dim)
        self.embeddings_initializer: Initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer: Regularizer | None = regularizers.get(embeddings_regularizer)
        if self.dtype_policy.is_mixed:
            self.dtype_policy = self.variable_dtype

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        rules = self.embeddings_regularizer, self.embeddings_constraint
        table = self.input_dim, self.output_dim
        self.embeddings = self.add_weight("embeddings", table, self.embeddings_initializer, True, *rules)
        return *shape, self.output_dim

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        with np.errstate(invalid="ignore"):  # NaN and infinity become numbers outside
            numbers = xs[0].astype(np.int64)  # (N, …)
        is_outside = (numbers < 0) | (numbers >= self.input_dim)
        on_host = isinstance(numbers, np.ndarray)
        if on_host and is_outside.any():
            raise ValueError(
                f"layer '{self.name}' (Embedding) has the rows 0 … {self.input_dim - 1} (input_dim={self.input_dim}). "
                f"Received: {float(xs[0][is_outside][0]):.10g} in its input"
            )
        ws.y[...] = ws.params["embeddings"][numbers.clip(0, self.input_dim - 1)]  # (N, …, output_dim)
        if not on_host:
            np.copyto(ws.y, np.nan, where=is_outside[..., None])

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.dxs[0] is not None:
            ws.dxs[0].fill(0)
        gradient = ws.grads["embeddings"]
        if gradient is None:
            return
        numbers, dy = ws.xs[0].astype(np.int64).ravel(), dy.reshape(-1, self.output_dim)  # (M,), (M, output_dim)
        if isinstance(dy, np.ndarray):
            gradient.fill(0)
            np.add.at(gradient, numbers, dy)
            return
        size = max(1, BLOCK // max(1, len(numbers)))
        for start in range(0, self.input_dim, size):  # a product, as sums by number would come in any order
            part = gradient[start : start + size]  # (rows, output_dim)
            rows = np.arange(start, start + len(part), like=dy)[:, None]  # (rows, 1)
            np.matmul((rows == numbers).astype(dy.dtype), dy, out=part)

    def flops(self, input_shapes: Shapes, output_shape: Shape) -> int:
        """None: rows are copied."""
        return 0

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        numbers = graph.add("Cast", [graph.channels_last(xs[0])], to=7)  # INT64
        return graph.add("Gather", [graph.weight(self.embeddings), numbers], axis=0)
