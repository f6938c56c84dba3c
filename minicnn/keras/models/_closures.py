"""Losses that use tensors of the model beside (y_true, y_pred), as variational autoencoders of Keras 1 and 2 do.

Such a loss is a part of a graph: the model that trains has the target for one more input, and the loss added to it.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import signature
from types import CellType, CodeType, FunctionType
from typing import Any

import numpy as np

from minicnn import models as core
from minicnn.callbacks import Callback, ModelCheckpoint
from minicnn.callbacks.base import listed
from minicnn.data import Dataset
from minicnn.graph import Tensor
from minicnn.keras import ops
from minicnn.keras._deferred import Deferred
from minicnn.layers import Flatten, Input, Reshape
from minicnn.layers.added_loss import BatchScalar
from minicnn.layers.base import Layer
from minicnn.models.forms import layers_within
from minicnn.nested import leaves
from minicnn.own_parts import is_of_package
from minicnn.settings import floatx
from minicnn.training.arrays import sample_weights
from minicnn.training.class_weights import with_class_weight
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
        codes = _codes(function.__code__)
        names = {name for code in codes for name in code.co_names}
        loaded = {x.argval for code in codes for x in dis.get_instructions(code) if x.opname == "LOAD_GLOBAL"}
        outside = [*cells, *(function.__globals__.get(name) for name in loaded)]  # not attributes: K.mean is no `mean`
        if any(isinstance(x, Tensor) or (names & _ATTRIBUTES and _is_part(x, model)) for x in outside):
            return True
        waiting.extend(outside)
    return False


def _codes(code):
    """That of a function, and of the functions in it."""
    return [code, *(each for part in code.co_consts if isinstance(part, CodeType) for each in _codes(part))]


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
    _weighs: bool = False  # whether it takes weights of samples
    _of_tensors: Sequence[str | None] = ()  # of each metric, its name if it uses tensors of the model
    functional: Callable[[list[Tensor], Tensor], Any]  # inputs and output → a model

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, *args: Any, **kwargs: Any) -> None:
        """Say how to train; metrics beside a loss that uses tensors of the model may do so, too."""
        self._trainer = None
        named = {**dict(zip(("metrics", *_OF_TARGETS), args, strict=False)), **kwargs}
        if not uses_tensors(loss, self):
            self._refuse_tensors(named.get("metrics"))
            super().compile(optimizer, loss, *args, **kwargs)  # type: ignore[misc]
            return
        kwargs, more = named, args[1 + len(_OF_TARGETS) :]
        metrics = kwargs.pop("metrics", None) or []
        metrics = list(metrics) if isinstance(metrics, list | tuple) else [metrics]
        others = {name: kwargs[name] for name in _OF_TARGETS if kwargs.get(name)}
        if others or more or any(isinstance(metric, list | tuple | dict) for metric in metrics):
            raise ValueError(
                "a loss that uses tensors of the model is a part of it, beside which metrics stand in one list, and "
                f"neither losses nor metrics have weights. Received: {others or more or f'metrics={metrics}'}"
            )
        self._of_tensors = [metric.__name__ if uses_tensors(metric, self) else None for metric in metrics]
        self._trainer = _trainer(self, loss, [metric for metric in metrics if uses_tensors(metric, self)])
        self._weighs = len(self._trainer.inputs) == len(self.inputs) + 2
        plain = [metric for metric in metrics if not uses_tensors(metric, self)]
        self._trainer.compile(optimizer, metrics=plain, **kwargs)

    def _refuse_tensors(self, metrics):
        """Raise ValueError for a metric that uses tensors of the model, beside a loss that does not."""
        for metric in leaves(metrics or []):
            if uses_tensors(metric, self):
                raise ValueError(
                    "a metric that uses tensors of the model stands beside a loss that does; beside another one, write "
                    "model.add_metric(value, name='…') before compile, with the value that the function would return. "
                    f"Received: metrics=[…, {metric.__name__}]"
                )

    @property
    def _trained(self) -> Any:
        return self if self._trainer is None else self._trainer

    @property
    def metrics_names(self) -> list[str]:
        """What `evaluate` returns."""
        if self._trainer is None:
            return super().metrics_names  # type: ignore[misc]
        return self._sorted({name: name for name in self._trainer.metrics_names})

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
            joined = self._joined(*(data if is_tuple else (data,)))
            kwargs["validation_data"] = joined if is_tuple else joined[0]
        x, y = self._joined(x, y, kwargs.pop("sample_weight", None), kwargs.pop("class_weight", None))
        callbacks = listed(leaves(kwargs.get("callbacks") or []))
        kwargs["callbacks"] = [*callbacks, _Facing(self, callbacks, data)]
        self.history = self._trainer.fit(x, y, **kwargs)
        return self.history

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The loss of data."""
        if self._trainer is None:
            return super().evaluate(x, y, *args, **kwargs)  # type: ignore[misc]
        kwargs = _named("evaluate", args, kwargs)
        return self._in_order("evaluate", *self._joined(x, y, kwargs.pop("sample_weight", None)), kwargs)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """One iteration."""
        if self._trainer is None:
            return super().train_on_batch(x, y, *args, **kwargs)  # type: ignore[misc]
        kwargs = _named("train_on_batch", args, kwargs)
        x, y = self._joined(x, y, kwargs.pop("sample_weight", None), kwargs.pop("class_weight", None))
        return self._in_order("train_on_batch", x, y, kwargs)

    def _in_order(self, method, x, y, kwargs):
        """What a method gives, with the metrics in the order that `compile` was given them in."""
        if kwargs.get("return_dict") or None not in self._of_tensors:
            return getattr(self._trainer, method)(x, y, **kwargs)
        return self._sorted(getattr(self._trainer, method)(x, y, **kwargs | {"return_dict": True}))

    def _sorted(self, logs):
        """The values of a dict of the loss and metrics, in that order; the dict's is that of the alphabet."""
        own = (name for name in self._trainer.metrics_names if name not in ("loss", *self._of_tensors))
        return [logs["loss"], *(logs[next(own) if name is None else name] for name in self._of_tensors)]

    def _joined(self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None) -> tuple[Any, Any]:
        """(the data with targets and weights as inputs, the targets if they are measured), or (a stream, None)."""
        measures, of_batch = None in self._of_tensors, self._of_batch
        is_one_by_one = isinstance(x, Dataset) or is_stream(x)
        if is_one_by_one and (sample_weight is not None or class_weight is not None):
            raise ValueError(
                "beside a loss that uses tensors of the model, what gives batches gives the weights of samples, too: "
                f"(x, y, sample_weight). Received: weights beside a {type(x).__name__}"
            )
        if isinstance(x, Dataset):
            return x.map(lambda *batch: of_batch(batch)[: 1 + measures]), None
        if is_one_by_one:
            if hasattr(x, "__getitem__"):
                return _Sequence(x, of_batch), None
            return map(of_batch, x) if hasattr(x, "__next__") else _Batches(x, of_batch), None
        if y is None:
            raise ValueError(
                "a loss that uses tensors of the model is a part of it: it takes (x, y), and maybe weights of samples. "
                "Received: y=None"
            )
        more = [y, *self._weights_for(y, sample_weight, class_weight)]
        if isinstance(x, Mapping):
            names = [tensor.name for tensor in self._trainer.inputs[-len(more) :]]
            return {**x, **dict(zip(names, more, strict=True))}, y if measures else None
        x = (*(x if isinstance(x, list | tuple) else [x]), *more)  # no list, which data sets make an array of
        return x, y if measures else None

    def _weights_for(self, y, sample_weight, class_weight) -> list[np.ndarray]:
        """The weights of samples as an input of the model that trains, (N, 1); none if it has no such input."""
        given = sample_weights(sample_weight, len(y))
        given = with_class_weight(given, class_weight, [np.asarray(y)], (None, *self.output_shape[1:]))
        if not self._weighs and given is None:
            return []
        if not self._weighs:
            raise ValueError(
                "a loss that uses tensors of the model takes weights of samples if it gives a number for each of "
                "them, and not one for the batch, as K.mean(…) is. Received: weights, beside such a number"
            )
        return [np.ones((len(y), 1), floatx()) if given is None else given.reshape(-1, 1).astype(floatx())]

    def _of_batch(self, item: Any) -> tuple[Any, Any]:
        return self._joined(*unpacked(item))


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
    """The model with its target, and weights of samples if the loss gives a number for each, for more inputs.

    The loss, and metrics that use tensors, are in its graph.
    """
    target, weight = Input(tuple(model.output.shape)[1:]), Input((1,))
    made = loss(target, model.output)
    if isinstance(made, Deferred):
        raise NotImplementedError(
            "a loss in compile has no gradients by tensors of the model: write the penalty in a train_step, "
            "with tf.GradientTape() as tape: tape.watch(x); y = self(x), and tape.gradient(y, x), as docs/keras.md "
            f"says. Received: {getattr(loss, '__name__', type(loss).__name__)}, which uses K.gradients"
        )
    is_of_samples = isinstance(made, Tensor)
    trainer = model.functional([*model.inputs, target, *([weight] if is_of_samples else [])], model.output)
    if is_of_samples:
        made = (Flatten()(made) if made.ndim > 2 else Reshape((-1,))(made)) * weight  # (N, losses of a sample)
    trainer.add_loss(made if isinstance(made, BatchScalar) else ops.mean(made))
    for metric in metrics:
        trainer.add_metric(metric(target, model.output), name=metric.__name__)
    return trainer


def _named(method, args, kwargs):
    """The arguments of a method behind x and y, by their names."""
    names = [*signature(getattr(core.Model, method)).parameters][3:]
    return {**dict(zip(names, args, strict=False)), **kwargs}
