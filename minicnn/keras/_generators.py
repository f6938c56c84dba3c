"""How older Kerases told `fit_generator` and its like how much there is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from minicnn.images.iterators import BatchIterator
from minicnn.keras._warning import warn_once

LOADING: dict[str, str] = dict.fromkeys(
    ("workers", "use_multiprocessing", "max_queue_size", "max_q_size", "nb_worker", "pickle_safe"), ""
)
"""Arguments on how data is loaded, which change nothing."""


def steps_of(old: str, generator: Any, steps: int | None, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The data, and keyword arguments with `steps`; `old` is the argument of Keras 1, which counted samples."""
    kwargs = {name: value for name, value in kwargs.items() if name not in LOADING}
    samples = kwargs.pop(old, None)
    if steps is None and samples is not None:
        generator, steps = _counted(generator, samples)
    return going_on(generator, steps), {**kwargs, "steps": steps}


def of_epochs(generator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The data of `fit_generator`, with iterators that go on, as `going_on` says, and its arguments as `fit` has them.

    Parameters
    ----------
    generator : iterable of batches
    args : tuple
        In the order of Keras 2, or of Keras 1, where an argument is one of its own.
    kwargs : dict
    """
    is_keras_1 = bool(kwargs.keys() & {"samples_per_epoch", "nb_epoch", "nb_val_samples"})
    steps, validated = (
        ("samples_per_epoch", "nb_val_samples") if is_keras_1 else ("steps_per_epoch", "validation_steps")
    )
    order = (steps, "epochs", "verbose", "callbacks", "validation_data", validated)
    order += ("validation_freq", "class_weight") if len(args) > 6 and not is_keras_1 else ("class_weight",)
    kwargs = {**dict(zip(order, args, strict=False)), **kwargs}
    if is_keras_1:
        generator, kwargs = _steps_for_samples(generator, kwargs)
    validation = going_on(kwargs.get("validation_data"), kwargs.get("validation_steps"))
    validation = _OnePass(validation) if is_read_once(validation) else validation
    kwargs = kwargs | ({} if validation is None else {"validation_data": validation})
    return going_on(generator, kwargs.get("steps_per_epoch"), passes=True), kwargs


def _steps_for_samples(generator, kwargs):
    """Keras 1 counted samples where today's Keras counts batches."""
    kwargs = dict(kwargs)
    samples, validated = kwargs.pop("samples_per_epoch", None), kwargs.pop("nb_val_samples", None)
    if samples is not None:
        warn_once("fit_generator(samples_per_epoch=…) counted samples: today steps_per_epoch counts batches")
        generator, kwargs["steps_per_epoch"] = _counted(generator, samples)
    validation = kwargs.get("validation_data")
    if validated is not None and not isinstance(validation, tuple | list):  # of arrays Keras 1 took all
        kwargs["validation_data"], kwargs["validation_steps"] = _counted(validation, validated)
    return generator, kwargs


def _counted(data, samples):
    """The data, and how many of its batches have so many samples, by the first one where it does not say its size."""
    size = getattr(data, "batch_size", None)
    if size is None and hasattr(data, "__next__"):
        if first := [*islice(data, 1)]:  # a batch that was looked at is the first that is taken
            size, data = _samples_in(first[0]), chain(first, data)
    elif size is None and hasattr(data, "__getitem__"):
        size = _samples_in(data[0])
    elif size is None:  # a data set, which begins anew
        size = next((_samples_in(first) for first in data), None)
    return data, -(-int(samples) // int(size or 32))


def _samples_in(batch):
    """How many samples a batch has: (inputs, targets), or inputs alone, which may be lists or dicts."""
    while isinstance(batch, tuple | list | dict):
        batch = next(iter(batch.values() if isinstance(batch, dict) else batch))
    return len(batch)


class GoingOn:
    """The batches of an iterator over pictures, pass after pass without end, from the first one on.

    Parameters
    ----------
    pictures : BatchIterator
    """

    def __init__(self, pictures: BatchIterator) -> None:
        self.pictures: BatchIterator = pictures
        self.batch_size: int = pictures.batch_size

    def __iter__(self) -> Iterator[Any]:
        while True:
            for index in range(len(self.pictures) or 1):  # without any, the iterator says so
                yield self.pictures[index]
            self.pictures.on_epoch_end()


def is_read_once(data: Any) -> bool:
    """Whether it is a generator, or another iterator, which cannot begin anew."""
    return hasattr(data, "__next__") and not hasattr(data, "__getitem__")


class _OnePass:
    """A generator, behind whose last batch every pass goes on, as validations did in Keras 1 and 2."""

    def __init__(self, generator: Iterator[Any]) -> None:
        self.generator: Iterator[Any] = generator

    def __iter__(self) -> Iterator[Any]:
        return self.generator


class FirstAgain(_OnePass):
    """A generator whose first two batches begin every pass; the others follow where it stands.

    So validations read one in Keras 3, which looks at two batches for their shapes and keeps them.
    """

    def __init__(self, generator: Iterator[Any]) -> None:
        super().__init__(generator)
        self._first = None

    def __iter__(self) -> Iterator[Any]:
        self._first = [*islice(self.generator, 2)] if self._first is None else self._first
        return chain(self._first, self.generator)


def going_on(data: Any, steps: float | None, passes: bool = False) -> Any:
    """The data; an iterator over pictures goes on where it ends, as in Keras 1 and 2, if so many batches need it to.

    Parameters
    ----------
    data : iterator, or anything else, which is returned
    steps : number or None
        Batches that are taken.
    passes : bool, default False
        Whether they are taken again and again, each time behind the last ones.
    """
    if not isinstance(data, BatchIterator) or steps is None or steps <= 0:
        return data
    steps, there = math.ceil(steps), len(data)
    return GoingOn(data) if steps > there or (passes and there % steps) else data


def whole_steps(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with the next whole number for steps such as ``len(x) / 128``, as Keras 2 counted them."""
    for name in _STEPS & kwargs.keys():
        if isinstance(kwargs[name], float) and 0 < kwargs[name] < math.inf and not kwargs[name].is_integer():
            whole = math.ceil(kwargs[name])
            warn_once(
                f"{name}={kwargs[name]} is how an older Keras could be told: today it is {whole}, math.ceil of it"
            )
            kwargs = {**kwargs, name: whole}
    return kwargs


_STEPS = {"steps", "steps_per_epoch", "validation_steps"}
