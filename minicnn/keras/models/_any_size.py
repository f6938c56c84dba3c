"""A Sequential takes data of other sizes than its Input's, or than the first batch's, if its layers can, as Keras's."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from minicnn.errors import ShapeError
from minicnn.layers.input import Input
from minicnn.layers.open_sizes import fits
from minicnn.models.forms import input_like
from minicnn.training.streams import peek


class AnySize:
    """Mixin of Keras's Sequential."""

    _stack: list[Any]
    _engine: Any
    graph: Any

    def _build_from_data(self, x: Any) -> Any:
        if self.graph is not None:
            if isinstance(getattr(x, "shape", None), tuple):  # of a data set, a pass would tell
                self._open_for(tuple(x.shape)[1:])
            return x
        if self._stack and hasattr(x, "__next__"):  # its batches may have other sizes than the first
            x, shape = peek(x)
            for last in ((None,), shape[-1:]):
                with suppress(ShapeError):
                    self._start(Input((*[None] * (len(shape) - 1), *last)))  # type: ignore[attr-defined]
                    return x
        return super()._build_from_data(x)  # type: ignore[misc]

    def _open_for(self, shape):
        """Leave those sizes open in which samples of this shape differ, if the layers can do with any."""
        graph, engine = self.graph, self._engine
        known = graph.inputs[0].shape[1:]
        if len(shape) != len(known) or fits(shape, known):
            return
        calls = [list(layer.nodes) for layer in self._stack]
        self.graph = None
        try:
            sizes = tuple(size if size == new else None for size, new in zip(known, shape, strict=True))
            self._start(input_like(graph.inputs[0], sizes, graph.inputs[0].node.layer.name))
        except ShapeError:  # the data is refused, in the words of a model of known sizes
            self.graph = graph
            for layer, nodes in zip(self._stack, calls, strict=True):
                layer.nodes = nodes
        else:
            self._engine = None if engine is None else engine.renewed(keeps_state=True)
