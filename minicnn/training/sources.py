"""The path of a user's data: what is handed over to a model → a source of checked batches → batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.training.arrays import check_targets, match_inputs, sample_weights, split_validation
from minicnn.training.batches import Batch
from minicnn.training.class_weights import check_of_stream, with_class_weight
from minicnn.training.data_advice import naming
from minicnn.training.lazy import LazyArray
from minicnn.training.passes import Passes, check_steps
from minicnn.training.streams import StreamSource, is_stream

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from minicnn.graph import Tensor
    from minicnn.losses import Loss
    from minicnn.training.arrays import Arrays
    from minicnn.training.streams import Data

BATCH_SIZE = 32  # where none is given, as in Keras


class ArraySource(Passes):
    """Batches from arrays.

    Parameters
    ----------
    inputs, targets : list of array (N, …)
        May be lazy.
    weight : array (N,) or None
    batch_size : int or None
        Default: 32, or what makes `steps` batches of the samples, as in Keras.
    steps : int, optional
        Batches an epoch; default: all.
    """

    def __init__(
        self,
        inputs: list[np.ndarray],
        targets: list[np.ndarray],
        weight: np.ndarray | None,
        batch_size: int | None,
        steps: int | None = None,
    ) -> None:
        super().__init__(steps)
        self.inputs: list[np.ndarray] = inputs
        self.targets: list[np.ndarray] = targets
        self.weight: np.ndarray | None = weight
        count = len(inputs[0])
        default = BATCH_SIZE if steps is None else -(-count // steps)
        self.batch_size: int = default if batch_size is None else check_positive_int("batch_size", batch_size)
        self.samples: int = count if steps is None else min(steps * self.batch_size, count)
        self.steps: int = self.available if steps is None else steps
        self.is_lazy: bool = any(isinstance(array, LazyArray) for array in (*inputs, *targets))

    @property
    def arrays(self) -> list[np.ndarray]:
        """All there are: inputs, targets, and weights if there are any."""
        return [*self.inputs, *self.targets, *([] if self.weight is None else [self.weight])]

    @property
    def available(self) -> int:
        return -(-len(self.inputs[0]) // self.batch_size)

    def batches(self, generator: np.random.Generator | None = None, first: int = 0) -> Iterator[Batch]:
        """An epoch's batches: in an order drawn from `generator`, or in the samples' own. A pass's last is short.

        Parameters
        ----------
        generator : numpy.random.Generator, optional
        first : int
            How many of the epoch's batches are done.
        """
        count = len(self.inputs[0])
        order = None if generator is None else generator.permutation(count)
        for number in self.epoch(first):
            self.taken: int = number + 1
            samples = slice(number * self.batch_size, min(self.taken * self.batch_size, count))
            if order is None or self.is_lazy:
                part = samples if order is None else order[samples]
                weight = None if self.weight is None else self.weight[part]
                inputs, targets = ([np.asarray(a[part]) for a in arrays] for arrays in (self.inputs, self.targets))
                yield Batch(inputs, targets, weight, None, len(inputs[0]))
            else:
                yield Batch(self.inputs, self.targets, self.weight, order[samples], samples.stop - samples.start)


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
        held_back, steps = None, check_steps("steps_per_epoch", steps)
        validation = *validation[:2], check_steps("validation_steps", validation[2])
        if is_stream(x):
            if fraction or y is not None or weights is not None:
                raise ValueError(
                    "a generator, Sequence or Dataset gives targets and weights itself, and cannot be split: leave y, "
                    f"sample_weight and validation_split out. Received: x of type {type(x).__name__} and one of these"
                )
            check_of_stream(class_weight)
            source = StreamSource(x, lambda *item: self.batch(*item, class_weight), steps, batch_size or BATCH_SIZE)
        else:
            arrays = self._arrays(x, y, weights)
            if fraction and validation[0] is None:
                arrays, rest = _split(*arrays, fraction)
                held_back = ArraySource(*rest, *validation[1:])
            inputs, targets, weights = arrays
            source = ArraySource(inputs, targets, self._by_class(weights, class_weight, targets), batch_size, steps)
        if validation[0] is None:
            return source, held_back
        unpacked = _unpacked(validation[0])
        with naming("validation_data"):
            return source, self.evaluation(*unpacked, *validation[1:], "validation_data")

    def evaluation(
        self,
        x: Data,
        y: Arrays | None,
        weights: ArrayLike | None,
        batch_size: int | None,
        steps: int | None,
        argument: str = "",
    ) -> Source:
        """A source of inputs, targets and weights in their own order; errors as for `training`.

        Parameters
        ----------
        x, y, weights, batch_size, steps :
            As for `training`.
        argument : str
            What messages about batches begin with; "": nothing.
        """
        steps = check_steps("steps", steps)
        if is_stream(x):
            if y is not None or weights is not None:
                raise ValueError("a generator or Sequence gives targets and weights itself. Received: y beside it")
            return StreamSource(x, self.batch, steps, batch_size or BATCH_SIZE, argument)
        return ArraySource(*self._arrays(x, y, weights), batch_size, steps)

    def prediction(self, x: Data, batch_size: int | None, steps: int | None) -> Source:
        """A source of inputs alone; errors as for `training`."""
        steps = check_steps("steps", steps)
        if is_stream(x):
            return StreamSource(x, lambda x, y, weights: self.inputs_only(x), steps, batch_size or BATCH_SIZE)
        return ArraySource(match_inputs(x, self.inputs, self.model_name), [], None, batch_size, steps)

    def batch(
        self,
        x: Arrays,
        y: Arrays | None,
        weights: ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> Batch:
        """One batch of these arrays; errors as for `training`."""
        *arrays, weights = self._arrays(x, y, weights)
        inputs, targets = ([np.asarray(a) for a in part] for part in arrays)
        return Batch(inputs, targets, self._by_class(weights, class_weight, targets), None, len(inputs[0]))

    def inputs_only(self, x: Arrays) -> Batch:
        """One batch without targets; errors as for `training`."""
        inputs = [np.asarray(a) for a in match_inputs(x, self.inputs, self.model_name)]
        return Batch(inputs, [], None, None, len(inputs[0]))

    def _arrays(self, x, y, weights):
        """(inputs, targets, weights), checked against the model."""
        inputs = match_inputs(x, self.inputs, self.model_name)
        samples = len(inputs[0])
        return inputs, check_targets(y, samples, self.outputs, self.losses), sample_weights(weights, samples)

    def _by_class(self, weights, class_weight, targets):
        """`weights` with those of the classes."""
        return with_class_weight(weights, class_weight, targets, next(iter(self.outputs.values())).shape)


def _split(inputs, targets, weights, fraction):
    """((inputs, targets, weights) of the first part, those of the last)."""
    count = len(inputs)
    return [
        (arrays[:count], arrays[count:-1], arrays[-1])
        for arrays in split_validation([*inputs, *targets, weights], fraction)
    ]


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
