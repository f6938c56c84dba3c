"""Extremes, deviations and the like over axes of each sample of a model's tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from minicnn import layers
from minicnn.checks import check_choice
from minicnn.hints import Config
from minicnn.keras._formulas import OF_RECORDED
from minicnn.layers.base import register

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value


_ONNX = {"max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd", "logsumexp": "ReduceLogSumExp"}


@register
class Reduction(layers.Lambda):
    """What ``keras.ops.max(x, axis=-1)`` of a model's tensor is: a function that files hold by what it does.

    Parameters
    ----------
    operation : {"max", "min", "var", "std", "prod", "logsumexp"}
    axis : sequence of int
        Counted with the batch axis, which is not among them.
    keepdims : bool, default False
        Whether the axes stay, with size 1.
    **kwargs
        name, …, of any layer.
    """

    holds_code = False

    def __init__(self, operation: str, axis: Sequence[int], keepdims: bool = False, **kwargs: Any) -> None:
        check_choice("operation", operation, ("max", "min", "var", "std", "prod", "logsumexp"))
        on_arrays, axes = OF_RECORDED.get(operation) or getattr(np, operation), tuple(axis)
        super().__init__(lambda x: on_arrays(x, axis=axes, keepdims=bool(keepdims)), **kwargs)
        self.operation, self.axis, self.keepdims = operation, list(axes), bool(keepdims)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x, options = graph.channels_last(xs[0]), {"axes": self.axis, "keepdims": int(self.keepdims)}
        if self.operation in _ONNX:
            return graph.add(_ONNX[self.operation], [x], **options)
        centred = graph.add("Sub", [x, graph.add("ReduceMean", [x], axes=self.axis, keepdims=1)])
        variance = graph.add("ReduceMean", [graph.add("Mul", [centred, centred])], **options)
        return graph.add("Sqrt", [variance]) if self.operation == "std" else variance

    def get_config(self) -> Config:
        """The constructor's arguments."""
        config = {name: value for name, value in super().get_config().items() if name not in ("function", "arguments")}
        return {**config, "operation": self.operation, "axis": list(self.axis), "keepdims": self.keepdims}

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """A layer from what `get_config` returned."""
        return cls(**config)
