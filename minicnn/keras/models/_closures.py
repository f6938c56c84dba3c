"""Losses that use tensors of the model beside (y_true, y_pred), as variational autoencoders of Keras 1 and 2 do.

Such a loss is a part of a graph: the model that trains has the target for one more input, and the loss added to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from types import CellType, CodeType, FunctionType
from typing import Any

from minicnn import models as core
from minicnn.callbacks import Callback, ModelCheckpoint
from minicnn.callbacks.base import listed
from minicnn.data import Dataset
from minicnn.graph import Tensor
from minicnn.keras import ops
from minicnn.layers import Input
from minicnn.layers.added_loss import BatchScalar
from minicnn.layers.base import Layer
from minicnn.models.forms import layers_within
from minicnn.own_parts import is_of_package
from minicnn.training.streams import is_stream, unpacked

_ATTRIBUTES = {"output", "outputs", "input", "inputs"}
_OF_TARGETS = ("loss_weights", "weighted_metrics")


def uses_tensors(loss: Any, model: Any) -> bool:
    """Whether a function, or one that it calls, has a tensor outside, or a part of the model whose tensors it takes."""
    waiting, seen = [loss], set()
    while waiting:
        function = waiting.pop()
        if not isinstance(function, FunctionType) or is_of_package(function) or function in seen:
            continue
        seen.add(function)
        cells = [cell.cell_contents for cell in function.__closure__ or () if cell != CellType()]  # not empty ones
        names = _names(function.__code__)
        outside = [*cells, *(function.__globals__.get(name) for name in names)]
        if any(isinstance(x, Tensor) or (names & _ATTRIBUTES and _is_part(x, model)) for x in outside):
            return True
        waiting.extend(outside)
    return False


def _names(code):
    """The names that a function asks for, and the functions in it."""
    inner = (_names(part) for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*inner)


def _is_part(x, model):
    """Whether it is the model, one of its layers, or a model of its inputs; the tensors of others are not its own."""
    if not isinstance(x, Layer) or not model.built:
        return False
    graph = getattr(x, "graph", None)
    inputs = () if graph is None else graph.inputs
    return any(x is layer for layer in (model, *layers_within(model))) or any(
        a is b for a in inputs for b in model.inputs
    )


class WithClosures:
    """Methods of a model whose loss may use its tensors."""

    _trainer: Any = None
    functional: Callable[[list[Tensor], Tensor], Any]  # inputs and output → a model

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, *args: Any, **kwargs: Any) -> None:
        """Say how to train; beside a loss that uses tensors of the model, metrics are functions of (y_true, y_pred)."""
        self._trainer = None
        if not uses_tensors(loss, self):
            super().compile(optimizer, loss, *args, **kwargs)  # type: ignore[misc]
            return
        kwargs = {**dict(zip(("metrics", *_OF_TARGETS), args, strict=False)), **kwargs}
        metrics = kwargs.pop("metrics", None) or []
        metrics = metrics if isinstance(metrics, list | tuple) else [metrics]
        others = {name: kwargs[name] for name in _OF_TARGETS if kwargs.get(name)}
        if others or not all(isinstance(metric, FunctionType) for metric in metrics):
            raise ValueError(
                "a loss that uses tensors of the model is a part of it, beside which metrics have no target but as "
                f"functions of (y_true, y_pred). Received: {others or f'metrics={metrics}'}"
            )
        self._trainer = _trainer(self, loss, metrics)
        self._trainer.compile(optimizer, **kwargs)

    @property
    def _trained(self) -> Any:
        return self if self._trainer is None else self._trainer

    @property
    def optimizer(self) -> Any:
        """The optimizer that `compile` was given."""
        return super().optimizer if self._trainer is None else self._trainer.optimizer  # type: ignore[misc]

    @property
    def metrics_names(self) -> list[str]:
        """What `evaluate` returns."""
        return super().metrics_names if self._trainer is None else self._trainer.metrics_names  # type: ignore[misc]

    @property
    def stop_training(self) -> bool:
        """Whether a callback wants the training to end."""
        return vars(self._trained).get("stop_training", False)

    @stop_training.setter
    def stop_training(self, value: bool) -> None:
        vars(self._trained)["stop_training"] = value

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train."""
        if self._trainer is None:
            return super().fit(x, y, *args, **kwargs)  # type: ignore[misc]
        kwargs = _named("fit", args, kwargs)
        if (data := kwargs.get("validation_data")) is not None:
            is_tuple = isinstance(data, tuple | list)
            kwargs["validation_data"] = (self._joined(*data), None) if is_tuple else self._joined(data)
        x = self._joined(x, y, kwargs.pop("sample_weight", None), kwargs.pop("class_weight", None))
        callbacks = listed(kwargs.get("callbacks"))
        kwargs["callbacks"] = [*callbacks, _Facing(self, callbacks, data)]
        self.history = self._trainer.fit(x, None, **kwargs)
        return self.history

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The loss of data."""
        if self._trainer is None:
            return super().evaluate(x, y, *args, **kwargs)  # type: ignore[misc]
        kwargs = _named("evaluate", args, kwargs)
        return self._trainer.evaluate(self._joined(x, y, kwargs.pop("sample_weight", None)), None, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """One iteration."""
        if self._trainer is None:
            return super().train_on_batch(x, y, *args, **kwargs)  # type: ignore[misc]
        kwargs = _named("train_on_batch", args, kwargs)
        x = self._joined(x, y, kwargs.pop("sample_weight", None), kwargs.pop("class_weight", None))
        return self._trainer.train_on_batch(x, None, **kwargs)

    def _joined(self, x: Any, y: Any = None, *weights: Any) -> Any:
        """The data with targets for one more input: arrays, or a stream of batches."""
        if isinstance(x, Dataset):
            return x.map(lambda *batch: self._of_batch(batch)[:1])
        if is_stream(x):
            of_batch = self._of_batch
            if hasattr(x, "__getitem__"):
                return _Sequence(x, of_batch)
            return map(of_batch, x) if hasattr(x, "__next__") else _Batches(x, of_batch)
        if y is None or any(weight is not None for weight in weights):
            raise ValueError(
                "a loss that uses tensors of the model is a part of it: it takes (x, y), and neither sample_weight nor "
                f"class_weight. Received: {'y=None' if y is None else 'weights'}"
            )
        if isinstance(x, Mapping):
            return {**x, self._trainer.inputs[-1].name: y}
        return (*(x if isinstance(x, list | tuple) else [x]), y)  # no list, which data sets make an array of

    def _of_batch(self, item: Any) -> tuple[Any, None]:
        return self._joined(*unpacked(item)), None


class _Batches:
    """What gives batches, with another form of each."""

    def __init__(self, stream: Any, of_batch: Callable[[Any], Any]) -> None:
        self._stream, self._of_batch = stream, of_batch

    def __iter__(self) -> Iterator[Any]:
        return map(self._of_batch, self._stream)

    def __len__(self) -> int:
        return len(self._stream)

    def __getattr__(self, name: str) -> Any:  # what it wants to be told
        if name in ("_stream", "_of_batch"):
            raise AttributeError(name)
        return getattr(self._stream, name)


class _Sequence(_Batches):
    """The same of what has numbers for its batches."""

    def __getitem__(self, index: int) -> Any:
        return self._of_batch(self._stream[index])


class _Facing(Callback):
    """Behind the others: those of users, and those that save, get the model that was compiled, not the one that trains.

    Parameters
    ----------
    model : Model
    callbacks : list of Callback
    data : object
        To validate with, as `fit` was given it.
    """

    def __init__(self, model: Any, callbacks: Any, data: Any) -> None:
        self.compiled, self.callbacks, self.data = model, callbacks, data

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        for callback in self.callbacks:
            if isinstance(self.data, tuple | list):
                callback.validation_data = list(self.data)  # as Keras had it before 2.4
            if not is_of_package(type(callback)) or isinstance(callback, ModelCheckpoint):
                callback.set_model(self.compiled)


def _trainer(model, loss, metrics):
    """The model with its target for one more input, and the loss in its graph."""
    target = Input(tuple(model.output.shape)[1:])
    trainer = model.functional([*model.inputs, target], model.output)
    made = loss(target, model.output)
    trainer.add_loss(made if isinstance(made, BatchScalar) else ops.mean(made))
    for metric in metrics:
        trainer.add_metric(metric(target, model.output), name=metric.__name__)
    return trainer


def _named(method, args, kwargs):
    """The arguments of a method behind x and y, by their names."""
    names = [*signature(getattr(core.Model, method)).parameters][3:]
    return {**dict(zip(names, args, strict=False)), **kwargs}
