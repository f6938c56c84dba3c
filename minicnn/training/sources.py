"""The path of a user's data: what is handed over to a model → a source of checked batches → batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.training.arrays import check_targets, match_inputs, sample_weights, split_validation, with_class_weight
from minicnn.training.batches import Batch
from minicnn.training.streams import StreamSource, is_stream

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from minicnn.graph import Tensor
    from minicnn.losses import Loss
    from minicnn.training.arrays import Arrays
    from minicnn.training.streams import Data

BATCH_SIZE = 32  # where none is given, as in Keras


class ArraySource:
    """Batches from arrays.

    Parameters
    ----------
    inputs, targets : list of array (N, …)
    weight : array (N,) or None
    batch_size : int
    steps : int, optional
        Batches to take in a pass; default: all.
    """

    taken: int = 0  # nothing is used up

    def __init__(
        self,
        inputs: list[np.ndarray],
        targets: list[np.ndarray],
        weight: np.ndarray | None,
        batch_size: int,
        steps: int | None = None,
    ) -> None:
        self.inputs: list[np.ndarray] = inputs
        self.targets: list[np.ndarray] = targets
        self.weight: np.ndarray | None = weight
        self.batch_size: int = batch_size
        self._available = len(inputs[0])
        self.samples: int = self._available if steps is None else min(steps * batch_size, self._available)
        self.steps: int = -(-self.samples // batch_size)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All there are: inputs, targets, and weights if there are any."""
        return [*self.inputs, *self.targets, *([] if self.weight is None else [self.weight])]

    def skip(self, count: int) -> None:
        """As for `StreamSource`."""

    def batches(self, generator: np.random.Generator | None = None, first: int = 0) -> Iterator[Batch]:
        """One pass over the samples: in an order drawn from `generator`, or in their own. The last is short.

        Parameters
        ----------
        generator : numpy.random.Generator, optional
        first : int
            The batch to begin with.
        """
        starts = range(first * self.batch_size, self.samples, self.batch_size)
        if generator is None:
            for start in starts:
                part = slice(start, min(start + self.batch_size, self.samples))
                weight = None if self.weight is None else self.weight[part]
                inputs = [a[part] for a in self.inputs]
                yield Batch(inputs, [a[part] for a in self.targets], weight, None, len(inputs[0]))
            return
        order = generator.permutation(self._available)[: self.samples]
        for start in starts:
            indices = order[start : start + self.batch_size]
            yield Batch(self.inputs, self.targets, self.weight, indices, len(indices))


Source = ArraySource | StreamSource


@dataclass(frozen=True)
class Intake:
    """Makes sources and batches from what users hand over to a model."""

    model_name: str
    inputs: tuple[Tensor, ...]  # the model's
    outputs: Mapping[str, Tensor]  # name → output of the model; not needed where there are no targets
    losses: Sequence[Loss]  # one for each output

    def training(
        self,
        x: Data,
        y: Arrays | None,
        weights: ArrayLike | None,
        class_weight: Mapping[int, float] | None,
        batch_size: int | None,
        steps: int | None,
        fraction: float,
        validation: tuple[object, int | None, int | None],
    ) -> tuple[Source, Source | None]:
        """(source for training, source for validation or None); class weights are for training only.

        Parameters
        ----------
        x, y, weights, class_weight, batch_size, steps, fraction :
            As for `Model.fit`, where some have longer names.
        validation : (data or None, batch size, steps)
            Where there is no such data, `fraction` of `x` is held back.

        Raises
        ------
        ShapeError, DataError, ValueError, TypeError
            If the data does not fit the model.
        """
        held_back = None
        if is_stream(x):
            if fraction or y is not None or weights is not None:
                raise ValueError("a generator or Sequence gives targets and weights itself, and cannot be split")
            source = StreamSource(x, lambda *item: self.batch(*item, class_weight), steps, batch_size or BATCH_SIZE)
        else:
            arrays, size = self._arrays(x, y, weights), _checked_size(batch_size)
            if fraction and validation[0] is None:
                arrays, rest = _split(*arrays, fraction)
                held_back = ArraySource(*rest, size)
            inputs, targets, weights = arrays
            source = ArraySource(inputs, targets, with_class_weight(weights, class_weight, targets), size, steps)
        if validation[0] is None:
            return source, held_back
        return source, self.evaluation(*_unpacked(validation[0]), *validation[1:], "validation y")

    def evaluation(
        self,
        x: Data,
        y: Arrays | None,
        weights: ArrayLike | None,
        batch_size: int | None,
        steps: int | None,
        argument: str = "y",
    ) -> Source:
        """A source of inputs, targets and weights in their own order; errors as for `training`."""
        if is_stream(x):
            return StreamSource(x, self.batch, steps, batch_size or BATCH_SIZE)
        batch_size = _checked_size(batch_size)
        return ArraySource(*self._arrays(x, y, weights, argument), batch_size, steps)

    def prediction(self, x: Data, batch_size: int | None, steps: int | None) -> Source:
        """A source of inputs alone; errors as for `training`."""
        if is_stream(x):
            return StreamSource(x, lambda x, y, weights: self.inputs_only(x), steps, batch_size or BATCH_SIZE)
        inputs = match_inputs(x, self.inputs, self.model_name)
        return ArraySource(inputs, [], None, _checked_size(batch_size), steps)

    def batch(
        self,
        x: Arrays,
        y: Arrays | None,
        weights: ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> Batch:
        """One batch of these arrays; errors as for `training`."""
        inputs, targets, weights = self._arrays(x, y, weights)
        return Batch(inputs, targets, with_class_weight(weights, class_weight, targets), None, len(inputs[0]))

    def inputs_only(self, x: Arrays) -> Batch:
        """One batch without targets; errors as for `training`."""
        inputs = match_inputs(x, self.inputs, self.model_name)
        return Batch(inputs, [], None, None, len(inputs[0]))

    def _arrays(self, x, y, weights, argument="y"):
        """(inputs, targets, weights), checked against the model."""
        inputs = match_inputs(x, self.inputs, self.model_name)
        samples = len(inputs[0])
        targets = check_targets(y, samples, self.outputs, self.losses, argument)
        return inputs, targets, sample_weights(weights, samples)


def _split(inputs, targets, weights, fraction):
    """((inputs, targets, weights) of the first part, those of the last)."""
    count = len(inputs)
    return [
        (arrays[:count], arrays[count:-1], arrays[-1])
        for arrays in split_validation([*inputs, *targets, weights], fraction)
    ]


def _checked_size(batch_size):
    return BATCH_SIZE if batch_size is None else check_positive_int("batch_size", batch_size)


def _unpacked(validation_data):
    """(x, y, sample_weight) from Keras's forms of validation data."""
    if is_stream(validation_data):
        return validation_data, None, None
    if not isinstance(validation_data, list | tuple) or len(validation_data) not in (2, 3):
        raise ValueError(
            "validation_data is (x, y), (x, y, sample_weight), a generator or a Sequence. "
            f"Received: {type(validation_data).__name__}"
        )
    return (*validation_data, None)[:3]
