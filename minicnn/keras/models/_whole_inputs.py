"""Inputs of whole numbers or bools, ``Input(shape, dtype="int32")``: what comes in is cast, as Keras does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.graph import Node, Tensor
from minicnn.keras._new_arrays import in_named_dtype
from minicnn.keras._whole_numbers import as_whole, whole_dtype
from minicnn.models import Sequential
from minicnn.models.forms import input_like


class WholeInputs:
    """Mixin of Keras's models: arrays are cast before they are computed with, an outer model's tensors in its graph."""

    graph: Any

    def call_symbolically(self, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
        """See `minicnn.layers.Layer.call_symbolically`."""
        return super().call_symbolically(self.cast_first(tensors), training)  # type: ignore[misc]

    def cast_first(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """The tensors that it is called on, cast; of several frames for `TimeDistributed`."""
        kinds = self._kinds()
        if any(kinds) and len(kinds) == len(tensors) and all(isinstance(t, Tensor) for t in tensors):
            return [as_whole(t, kind) if kind else t for t, kind in zip(tensors, kinds, strict=True)]
        return tensors

    def inputs_in_order(self, inputs: Any) -> Any:
        """As of all models; of arrays, and of each batch of generators and data sets, those of whole numbers."""
        x = super().inputs_in_order(inputs)  # type: ignore[misc]
        kinds = self._kinds()
        if not any(kinds) or x is None:
            return x
        if isinstance(x, list | tuple) and any(isinstance(part, Tensor) for part in x):  # cast in their graph
            return x
        if isinstance(x, list | tuple) and len(x) == len(kinds) and (len(kinds) > 1 or isinstance(x[0], np.ndarray)):
            return [_whole(value, kind) for value, kind in zip(x, kinds, strict=True)]
        return _whole(x, kinds[0]) if len(kinds) == 1 else x

    def _kinds(self) -> list[str | None]:
        """The dtype of each input of whole numbers or bools; None for others."""
        return [whole_dtype(tensor) for tensor in self.graph.inputs] if self.graph is not None else []


def cast_within(stack: Any) -> None:
    """Begin a Sequential anew, which a config made, if a model in it casts what it is given: its graph says nothing."""
    if not isinstance(stack, Sequential) or stack.graph is None:
        return
    graph, engine = stack.graph, stack._engine
    casting = [layer for layer in stack._stack if isinstance(layer, WholeInputs) and any(layer._kinds())]
    if not casting or any(node.inputs and node.layer not in stack._stack for node in graph.nodes):
        return
    for layer in stack._stack:
        layer.nodes = [node for node in layer.nodes if node not in graph.nodes]
    stack.graph = None
    stack._start(input_like(graph.inputs[0], name=graph.inputs[0].name))
    stack._engine = None if engine is None else engine.renewed(keeps_state=True)


def _whole(x, kind):
    """An array in the dtype, as TensorFlow casts it: without what is behind the point, and modulo 2ⁿ."""
    found = np.asarray(x) if isinstance(x, list | tuple) else x
    if kind is None or not isinstance(found, np.ndarray) or found.dtype.kind not in "fiub":
        return x
    with np.errstate(invalid="ignore"):
        return found if found.dtype == kind else in_named_dtype(found, kind)
