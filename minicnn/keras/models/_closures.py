"""Losses that use tensors of the model beside (y_true, y_pred), as variational autoencoders of Keras 1 and 2 do.

Such a loss is a part of a graph: the model that trains has the target for one more input, and the loss added to it.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator, Sequence
from types import CellType, FunctionType
from typing import Any

from minicnn.data import Dataset
from minicnn.graph import Tensor
from minicnn.keras import ops
from minicnn.layers import Input
from minicnn.layers.added_loss import BatchScalar
from minicnn.layers.base import Layer
from minicnn.nested import leaves
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
        loaded = {each.argval for each in dis.get_instructions(function) if each.opname == "LOAD_GLOBAL"}
        outside = [*cells, *(function.__globals__.get(name) for name in loaded)]  # not attributes: K.mean is no `mean`
        if any(isinstance(x, Tensor) or (isinstance(x, Layer) and names & _ATTRIBUTES) for x in outside):
            return True
        waiting.extend(outside)
    return False


class WithClosures:
    """Methods of a model whose loss may use its tensors."""

    _trainer: Any = None
    _of_tensors: Sequence[str | None] = ()  # of each metric, its name if it uses tensors of the model
    functional: Callable[[list[Tensor], Tensor], Any]  # inputs and output → a model

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, *args: Any, **kwargs: Any) -> None:
        """Say how to train; metrics beside a loss that uses tensors of the model may do so, too."""
        self._trainer = None
        if not uses_tensors(loss):
            _refuse_tensors(kwargs.get("metrics"))
            super().compile(optimizer, loss, *args, **kwargs)  # type: ignore[misc]
            return
        metrics = kwargs.pop("metrics", None) or []
        metrics = list(metrics) if isinstance(metrics, list | tuple) else [metrics]
        others = {name: value for name, value in kwargs.items() if name in _OF_TARGETS and value}
        if any(args) or others or any(isinstance(metric, list | tuple | dict) for metric in metrics):
            raise ValueError(
                "a loss that uses tensors of the model is a part of it, beside which metrics stand in one list, and "
                f"nothing has weights. Received: {others or args or f'metrics={metrics}'}"
            )
        self._of_tensors = [metric.__name__ if uses_tensors(metric) else None for metric in metrics]
        self._trainer = _trainer(self, loss, [metric for metric in metrics if uses_tensors(metric)])
        self._trainer.compile(optimizer, metrics=[metric for metric in metrics if not uses_tensors(metric)])

    def _data(self, x, y, options):
        """The data as the model that trains takes it, with targets for one more input, and for metrics."""
        if weights := [name for name in ("sample_weight", "class_weight") if options.get(name) is not None]:
            raise ValueError(
                "a loss that uses tensors of the model is a part of it, which has no weights of samples: multiply "
                f"with them in the loss. Received: {weights[0]}"
            )
        return _joined(x, y, None in self._of_tensors)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train."""
        if self._trainer is None:
            return super().fit(x, y, *args, **kwargs)  # type: ignore[misc]
        if (data := kwargs.get("validation_data")) is not None:
            given = data if isinstance(data, tuple | list) else (data, None)
            names = dict(zip(("sample_weight",), given[2:], strict=False))
            joined, target = self._data(*given[:2], names)
            kwargs["validation_data"] = joined if target is None and given is not data else (joined, target)
        return self._trainer.fit(*self._data(x, y, kwargs), *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The loss of data."""
        if self._trainer is None:
            return super().evaluate(x, y, *args, **kwargs)  # type: ignore[misc]
        return self._in_order(self._trainer.evaluate, *self._data(x, y, kwargs), *args, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """One iteration."""
        if self._trainer is None:
            return super().train_on_batch(x, y, *args, **kwargs)  # type: ignore[misc]
        return self._in_order(self._trainer.train_on_batch, *self._data(x, y, kwargs), *args, **kwargs)

    def _in_order(self, method, *args, **kwargs):
        """What a method gives, with the metrics in the order that `compile` was given them in."""
        if kwargs.get("return_dict") or None not in self._of_tensors:
            return method(*args, **kwargs)
        logs = method(*args, **kwargs | {"return_dict": True})
        own = (name for name in logs if name not in ("loss", *self._of_tensors))
        return [logs["loss"], *(logs[next(own) if name is None else name] for name in self._of_tensors)]


def _refuse_tensors(metrics):
    """Raise ValueError for a metric that uses tensors of the model, beside a loss that does not."""
    for metric in leaves(metrics or []):
        if uses_tensors(metric):
            raise ValueError(
                "a metric that uses tensors of the model stands beside a loss that does; beside another one, write "
                "model.add_metric(value, name='…') before compile, with the value that the function would return. "
                f"Received: metrics=[…, {metric.__name__}]"
            )


def _trainer(model, loss, metrics):
    """The model with its target for one more input, and the loss, and metrics that use tensors, in its graph."""
    target = Input(tuple(model.output.shape)[1:])
    trainer = model.functional([*model.inputs, target], model.output)
    made = loss(target, model.output)
    trainer.add_loss(made if isinstance(made, BatchScalar) else ops.mean(made))
    for metric in metrics:
        trainer.add_metric(metric(target, model.output), name=metric.__name__)
    return trainer


def _joined(x, y, measures):
    """(the data with targets for one more input, the targets if they are measured)."""
    if isinstance(x, Dataset):
        return x.map(lambda a, target: ((a, target), target) if measures else ((a, target),)), None
    if isinstance(x, Iterator):
        return (([*_listed(inputs), target], target if measures else None) for inputs, target in x), None
    return [*_listed(x), y], y if measures else None


def _listed(x):
    return list(x) if isinstance(x, list | tuple) else [x]
