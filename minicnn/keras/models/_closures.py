"""Losses that use tensors of the model beside (y_true, y_pred), as variational autoencoders of Keras 1 and 2 do.

Such a loss is a part of a graph: the model that trains has the target for one more input, and the loss added to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CellType, FunctionType
from typing import Any

from minicnn.data import Dataset
from minicnn.graph import Tensor
from minicnn.keras import ops
from minicnn.layers import Input
from minicnn.layers.added_loss import BatchScalar
from minicnn.layers.base import Layer
from minicnn.own_parts import is_of_package

_ATTRIBUTES = {"output", "outputs", "input", "inputs"}
_OF_TARGETS = ("loss_weights", "weighted_metrics")


def uses_tensors(loss: Any) -> bool:
    """Whether a function, or one that it calls, has a model's tensor, or a model whose tensors it asks for, outside."""
    waiting, seen = [loss], set()
    while waiting:
        function = waiting.pop()
        if not isinstance(function, FunctionType) or is_of_package(function) or function in seen:
            continue
        seen.add(function)
        cells = [cell.cell_contents for cell in function.__closure__ or () if cell != CellType()]  # not empty ones
        names = set(function.__code__.co_names)
        outside = [*cells, *(function.__globals__.get(name) for name in names)]
        if any(isinstance(x, Tensor) or (isinstance(x, Layer) and names & _ATTRIBUTES) for x in outside):
            return True
        waiting.extend(outside)
    return False


class WithClosures:
    """Methods of a model whose loss may use its tensors."""

    _trainer: Any = None
    functional: Callable[[list[Tensor], Tensor], Any]  # inputs and output → a model

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, *args: Any, **kwargs: Any) -> None:
        """Say how to train; beside a loss that uses tensors of the model, metrics are functions of (y_true, y_pred)."""
        self._trainer = None
        if not uses_tensors(loss):
            super().compile(optimizer, loss, *args, **kwargs)  # type: ignore[misc]
            return
        metrics = kwargs.pop("metrics", None) or []
        metrics = metrics if isinstance(metrics, list | tuple) else [metrics]
        others = {name: value for name, value in kwargs.items() if name in _OF_TARGETS and value}
        if any(args) or others or not all(isinstance(metric, FunctionType) for metric in metrics):
            raise ValueError(
                "a loss that uses tensors of the model is a part of it, beside which metrics have no target but as "
                f"functions of (y_true, y_pred). Received: {others or args or f'metrics={metrics}'}"
            )
        self._trainer = _trainer(self, loss, metrics)
        self._trainer.compile(optimizer)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train."""
        if self._trainer is None:
            return super().fit(x, y, *args, **kwargs)  # type: ignore[misc]
        if (data := kwargs.get("validation_data")) is not None:
            is_pair = isinstance(data, tuple | list)
            kwargs["validation_data"] = (_joined(*data), None) if is_pair else _joined(data, None)
        return self._trainer.fit(_joined(x, y), None, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The loss of data."""
        if self._trainer is None:
            return super().evaluate(x, y, *args, **kwargs)  # type: ignore[misc]
        return self._trainer.evaluate(_joined(x, y), None, *args, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """One iteration."""
        if self._trainer is None:
            return super().train_on_batch(x, y, *args, **kwargs)  # type: ignore[misc]
        return self._trainer.train_on_batch(_joined(x, y), None, *args, **kwargs)


def _trainer(model, loss, metrics):
    """The model with its target for one more input, and the loss in its graph."""
    target = Input(tuple(model.output.shape)[1:])
    trainer = model.functional([*model.inputs, target], model.output)
    made = loss(target, model.output)
    trainer.add_loss(made if isinstance(made, BatchScalar) else ops.mean(made))
    for metric in metrics:
        trainer.add_metric(metric(target, model.output), name=metric.__name__)
    return trainer


def _joined(x, y):
    """The data with targets for one more input."""
    if isinstance(x, Dataset):
        return x.map(lambda inputs, target: ((inputs, target),))
    if isinstance(x, Iterator):
        return (([*_listed(inputs), target], None) for inputs, target in x)
    return [*_listed(x), y]


def _listed(x):
    return list(x) if isinstance(x, list | tuple) else [x]
