"""A Sequential that begins with a model of several inputs, as Keras 1 built them, of a ``Merge``."""

from __future__ import annotations

from typing import Any

from minicnn.models import Model as CoreModel
from minicnn.models import config as configs
from minicnn.models.forms import layers_within
from minicnn.nested import leaves


class WithBranches:
    """Mixin of Keras's Sequential: on such a model it has its inputs, and files hold it as a functional model."""

    _stack: list[Any]
    graph: Any

    @property
    def _has_branches(self) -> bool:
        return self.graph is not None and len(self.graph.inputs) > 1

    def add(self, layer: Any) -> None:
        several = isinstance(layer, CoreModel) and layer.built and len(layer.inputs) > 1
        if not several:
            super().add(layer)  # type: ignore[misc]
        elif self._stack or self.graph is not None:
            raise ValueError(
                f"a Merge or another model of several inputs is the first of a Sequential: add it before the others. "
                f"Received: '{layer.name}' on top of '{self.name}'"  # type: ignore[attr-defined]
            )
        else:
            inputs = list(layer.inputs)
            node = layer.call_symbolically(inputs)
            if len(node.outputs) != 1:
                raise ValueError(
                    f"a layer of a Sequential has one output. Received: '{layer.name}' with {len(node.outputs)}"
                )
            self._stack = [layer]
            self._set_graph(inputs, node.outputs[0])

    def _set_graph(self, inputs: Any, last: Any) -> None:
        super()._set_graph(inputs, last)  # type: ignore[misc]
        if len(inputs) > 1:
            self._structures = list(inputs), last
            self.input_count, self.saved_as = len(inputs), CoreModel.saved_as

    def pop(self) -> Any:
        if self._has_branches and len(self._stack) == 1:
            raise ValueError("the model that a Sequential's inputs belong to does not come off. Received: pop()")
        return super().pop()  # type: ignore[misc]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        within = layers_within(self) if self._has_branches and name is not None and index is None else ()
        found = [layer for layer in within if layer.name == name]
        return found[0] if found else super().get_layer(name, index)  # type: ignore[misc]

    def structure(self) -> dict[str, Any]:
        return CoreModel.structure(self) if self._has_branches else super().structure()  # type: ignore[misc, arg-type]

    @classmethod
    def _made_from(cls, config):
        if "input_layers" not in config:  # of one input
            return super()._made_from(config)  # type: ignore[misc]
        inputs, outputs = map(leaves, configs.graph_from_config(config)[:2])
        top = outputs[0]
        stack = [top.node.layer]
        while len(top.node.inputs) == 1:
            top = top.node.inputs[0]
            stack.insert(0, top.node.layer)
        if len(outputs) > 1 or list(top.node.inputs) != inputs:
            raise ValueError(
                f"Sequential.from_config takes the config of a stack: Model.from_config takes any. Received: that of "
                f"'{config.get('name')}', whose layers have several inputs or outputs"
            )
        model = cls(**configs.own_arguments(cls, config))
        model._stack = stack
        model._set_graph(inputs, outputs[0])
        return model
