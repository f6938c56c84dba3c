"""Data for models whose iterations are written by users: batch by batch as it was given, in any form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.errors import DataError
from minicnn.nested import leaves, mapped, packed
from minicnn.settings import floatx
from minicnn.training.arrays import split_validation
from minicnn.training.class_weights import check_of_stream, with_class_weight
from minicnn.training.formed import FormedIntake
from minicnn.training.passes import check_steps
from minicnn.training.sources import BATCH_SIZE, ArraySource, Source
from minicnn.training.streams import StreamSource, is_stream


class RawBatch(NamedTuple):
    """A batch as `train_step` gets it.

    Attributes
    ----------
    data : nested tuples, lists and dicts of arrays
    count : int
    inputs, targets : list
        Empty: which part of the data is what, only the step knows.
    """

    data: Any
    count: int
    inputs: list[np.ndarray] = []  # noqa: RUF012 (never changed)
    targets: list[np.ndarray] = []  # noqa: RUF012


def packed_data(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """x, (x, y) or (x, y, sample_weight), as Keras hands them to a step."""
    if y is None:
        return (x,) if isinstance(x, list | tuple) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpacked_data(data: Any) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) of what a step gets; None for what is not there.

    Raises
    ------
    ValueError
        If it is a tuple of more than three.
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(f"a batch is x, (x, y) or (x, y, sample_weight). Received: a tuple of {len(data)}")
    return (*data, None, None)[:3]


def as_data(structure: Any) -> Any:
    """The structure with eager arrays; floats in the dtype of models."""
    return mapped(lambda part: part if part is None else _eager(np.asarray(part)), structure)


def _eager(array):
    dtype = floatx() if array.dtype.kind == "f" else array.dtype
    return array.astype(dtype, copy=False).view(EagerArray)


class _Arrays(ArraySource):
    """Batches of a structure of arrays."""

    def __init__(self, structure: Any, batch_size: int | None, steps: int | None) -> None:
        super().__init__([part for part in leaves(structure) if part is not None], [], None, batch_size, steps)
        self._structure = structure

    def batches(self, generator: np.random.Generator | None = None, first: int = 0) -> Iterator[Any]:
        for batch in super().batches(generator, first):
            arrays = iter([batch.pick(array) for array in batch.inputs])
            parts = [None if part is None else next(arrays) for part in leaves(self._structure)]
            yield RawBatch(as_data(packed(self._structure, parts)), batch.count)


class _Stream(StreamSource):
    """Batches of a generator, a Sequence or a data set, as they come."""

    def converted(self, item: Any) -> Any:
        """A batch of what the stream gave."""
        item = tuple(item) if isinstance(item, list) else item
        if isinstance(item, tuple):  # a generator for older Kerases may give None for what is not there
            item = item[:2] if len(item) == 3 and item[2] is None else item
        arrays = [part for part in leaves(item) if np.ndim(part)]
        return RawBatch(as_data(item), len(arrays[0]) if arrays else 1)


class RawIntake:
    """Makes sources of what users hand over to a model with steps of its own.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def training(
        self,
        x: Any,
        y: Any,
        weights: Any,
        class_weight: Mapping[int, float] | None,
        batch_size: int | None,
        steps: int | None,
        fraction: float,
        validation: tuple[Any, int | None, int | None],
    ) -> tuple[Source, Source | None]:
        """(source for training, source for validation or None); arguments as for `Intake.training`."""
        held_back, rest = None, (validation[1], check_steps("validation_steps", validation[2]))
        if is_stream(x):
            _refuse_beside(x, y, weights, class_weight, fraction)
            source = self.evaluation(x, None, None, batch_size, steps)
        else:
            structure = _structure(x, y, weights)
            if fraction and validation[0] is None:
                structure, last = _split(structure, fraction)
                held_back = _Arrays(last, *rest)
            structure = _weighted(structure, class_weight)
            source = _Arrays(structure, batch_size, check_steps("steps_per_epoch", steps))
        if validation[0] is None:
            return source, held_back
        data = validation[0]
        return source, self.evaluation(*((data, None, None) if is_stream(data) else unpacked_data(data)), *rest)

    def evaluation(
        self, x: Any, y: Any, weights: Any, batch_size: int | None, steps: int | None, argument: str = ""
    ) -> Source:
        """A source in the data's own order; arguments as for `Intake.evaluation`."""
        steps = check_steps("steps", steps)
        if is_stream(x):
            return _Stream(x, lambda *item: item, steps, batch_size or BATCH_SIZE, argument)
        return _Arrays(_structure(x, y, weights), batch_size, steps)

    def __getattr__(self, name):
        """What does not concern a step is as of any model."""
        return getattr(FormedIntake.of(self._model), name)


def _structure(x, y, weights):
    """The data in one structure, of arrays of the same length.

    Raises
    ------
    DataError
        If their lengths differ, or there is none.
    """
    structure = mapped(lambda part: part, packed_data(*map(_arrays, (x, y, weights))))
    lengths = {len(part) if np.ndim(part) else 0 for part in leaves(structure) if part is not None}
    if len(lengths) != 1 or 0 in lengths:
        raise DataError(f"arrays of data need the same number of samples, at least one. Received: {sorted(lengths)}")
    return structure


def _refuse_beside(x, y, weights, class_weight, fraction):
    """Raise `ValueError` for what a stream has itself."""
    check_of_stream(class_weight)
    if class_weight is not None or fraction or y is not None or weights is not None:
        raise ValueError(
            "a generator or data set gives targets and weights itself, and is not split; weights of classes belong "
            f"into the train_step of the model. Received: {type(x).__name__}, and beside it y, sample_weight, "
            "class_weight or validation_split"
        )


def _weighted(structure, class_weight):
    """The data with the weights of classes."""
    if class_weight is None:
        return structure
    x, y, weights = unpacked_data(structure)
    classes = y.shape[-1] if np.ndim(y) == 2 else 1 + int(np.max(y))
    return packed_data(x, y, with_class_weight(weights, class_weight, [y], (None, classes)))


def _arrays(part):
    """A part of the data with arrays for leaves; a list of numbers is an array."""
    if part is None:
        return None
    if all(hasattr(leaf, "shape") for leaf in leaves(part)):
        return mapped(np.asarray, part)
    return np.asarray(part)


def _split(structure, fraction):
    """(the first part of all arrays, the last)."""
    (first, last) = split_validation(leaves(structure), fraction)
    return packed(structure, first), packed(structure, last)
