"""Losses that use tensors of the model beside (y_true, y_pred), as variational autoencoders of Keras 1 and 2 do.

Such a loss is a part of a graph: the model that trains has the target for one more input, and the loss added to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from minicnn.data import Dataset
from minicnn.graph import Tensor
from minicnn.keras import ops
from minicnn.layers import Input
from minicnn.layers.added_loss import BatchScalar


def uses_tensors(loss: Any) -> bool:
    """Whether a function has a model's tensor for a variable from outside."""
    if not isinstance(loss, FunctionType):
        return False
    cells = [cell.cell_contents for cell in loss.__closure__ or ()]
    names = (loss.__globals__.get(name) for name in loss.__code__.co_names)
    return any(isinstance(value, Tensor) for value in (*cells, *names))


class WithClosures:
    """Methods of a model whose loss may use its tensors."""

    _trainer: Any = None
    functional: Callable[[list[Tensor], Tensor], Any]  # inputs and output → a model

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, *args: Any, **kwargs: Any) -> None:
        """Say how to train; a loss that uses tensors of the model takes no metrics beside it."""
        self._trainer = None
        if not uses_tensors(loss):
            super().compile(optimizer, loss, *args, **kwargs)  # type: ignore[misc]
            return
        if any(args) or kwargs.get("metrics"):
            raise ValueError(
                "a loss that uses tensors of the model is a part of it, beside which metrics have no target. "
                f"Received: {kwargs or args}"
            )
        self._trainer = _trainer(self, loss)
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


def _trainer(model, loss):
    """The model with its target for one more input, and the loss in its graph."""
    target = Input(tuple(model.output.shape)[1:])
    trainer = model.functional([*model.inputs, target], model.output)
    made = loss(target, model.output)
    trainer.add_loss(made if isinstance(made, BatchScalar) else ops.mean(made))
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
