"""The input and the output of a model that has a `call` of its own: the tensors of its first call in a graph."""

from __future__ import annotations

from typing import Any

from minicnn.models.forms import in_form


class WithOuterEnds:
    """Mixin of models: one with a `call` of its own is a layer to those around it, so that a graph can be cut there.

    A functional model has the ends of its own graph, wherever it is called. So has one with a `call` that has met no
    tensors, for which Keras has none.
    """

    @property
    def input(self) -> Any:
        """The input tensor; several, and those in a dict, in the form that the model was given."""
        node = self._first_place()
        return super().input if node is None else in_form(self.input_structure, node.inputs)  # type: ignore[misc]

    @property
    def output(self) -> Any:
        """The output tensor; several, and those in a dict, in the form that the model was given."""
        node = self._first_place()
        return super().output if node is None else self.outputs_in_form(node.outputs)  # type: ignore[misc]

    def _first_place(self):
        """The node of the first call in a graph, where the model's ends are those."""
        return self.nodes[0] if self.nodes and getattr(self, "goes_by_attributes", False) else None
