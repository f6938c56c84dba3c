"""Epochs that are shorter or longer than the data: what Keras's ``steps_per_epoch`` and its siblings mean."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.checks import check_positive_int, is_integer
from minicnn.errors import DataError, FileFormatError, ShapeError
from minicnn.user_warnings import warn_user

if TYPE_CHECKING:
    from minicnn.data.pass_counts import PassCounter
    from minicnn.training.sources import Source

    Counts = tuple[list[int] | None, list[int]]


def check_steps(argument: str, value: object) -> int | None:
    """`value`, a number of batches, as an int; None stays None. A float may be whole, as ``len(x) / 32`` often is.

    Raises
    ------
    ValueError
        If it is not whole, or not at least 1.
    """
    if value is None:
        return None
    if isinstance(value, Real) and not isinstance(value, int) and float(value).is_integer():
        value = int(value)
    elif isinstance(value, Real) and not isinstance(value, int) and value > 0:
        raise ValueError(
            f"`{argument}` counts batches, so it must be whole: write math.ceil(…), or len(x) // batch_size. "
            f"Received: {argument}={value!r}"
        )
    return check_positive_int(argument, value)


def check_counts(epochs: int, initial_epoch: int, validation_freq: int | Container[int], shuffle: object) -> None:
    """Raise `ValueError` unless these arguments of `Model.fit` are integers that are large enough, and a flag."""
    check_positive_int("epochs", epochs, minimum=0)
    check_positive_int("initial_epoch", initial_epoch, minimum=0)
    if isinstance(shuffle, str) and shuffle != "batch":  # which Keras 2 knows
        raise ValueError(f"`shuffle` must be True or False. Received: shuffle={shuffle!r}")
    if initial_epoch >= epochs:
        warn_user(
            f"epochs counts from the first epoch of all, not from initial_epoch: nothing is trained. "
            f"Received: epochs={epochs}, initial_epoch={initial_epoch}"
        )
    if isinstance(validation_freq, Container) and not isinstance(validation_freq, str):
        return
    try:
        check_positive_int("validation_freq", validation_freq)
    except ValueError as error:
        raise ValueError(f"{error}; or a list of the epochs to validate after, the first being 1") from None


class Passes:
    """Where in its data a source stands; base of the sources.

    Without `wanted`, an epoch is a pass over the data. With it, an epoch takes so many batches, and the next one goes
    on behind them; an epoch in which the data ends is shorter, and the next one begins a new pass, as in Keras.

    Parameters
    ----------
    wanted : int or None
        Batches an epoch.

    Attributes
    ----------
    taken : int
        Batches taken so far, of the current pass.
    number : int
        Of the epoch, from 0: for data that changes from epoch to epoch.
    losses : sequence
        What checks the targets, see `minicnn.training.columns`.
    counters : sequence of PassCounter
        Those of the data, see `minicnn.data.pass_counts`.
    begun : list of int or None
        What they were before the current pass; None: there is none.
    """

    number: int = 0
    losses: Sequence[object] = ()
    counters: Sequence[PassCounter] = ()
    begun: list[int] | None = None

    def __init__(self, wanted: int | None) -> None:
        self.wanted: int | None = wanted
        self.taken: int = 0

    @property
    def available(self) -> int | None:
        """Batches in a pass, now; None if not known."""
        raise NotImplementedError

    def rewind(self) -> None:
        """Begin with a new pass."""
        self.taken = 0

    def skip(self, count: int, number: int = 0, counts: Counts | None = None) -> None:
        """Go to where `taken` was `count`, for a training that goes on.

        Parameters
        ----------
        count : int
        number : int, default 0
            Of the last epoch that began.
        counts : (list of int or None, list of int), optional
            What the `counters` were when the pass began, None where it is over, and what they were in the end. None:
            nobody has written them down.
        """
        self.taken = count

    def goes_on(self, first: int = 0) -> bool:
        """Whether the epoch, of which `first` batches are done, began in the middle of a pass."""
        return self.wanted is not None and 0 < self.taken - first < (self.available or 0)

    def epoch(self, first: int = 0) -> range:
        """The numbers of the batches that an epoch takes after its first `first` ones; whoever takes sets `taken`."""
        if self.wanted is None:
            return range(first, self.available)
        if first == 0 and self.available is not None and self.taken >= self.available:
            self.taken = 0
        end = self.taken - first + self.wanted
        return range(self.taken, end if self.available is None else min(end, self.available))

    def warn_if_short(self, done: int) -> None:
        """Warn if an epoch is over after `done` batches, though more were wanted."""
        if self.wanted is not None and done < self.wanted:
            warn_user(
                f"the input ran out of data after {done} of {self.wanted} batches, and the epoch is over; the number "
                "of batches an epoch should divide what there is, or a generator go on for all epochs"
            )


def standing(source: Source, validation: Source | None, batch: int) -> dict[str, Any]:
    """Where a training stands in its data, for `go_on`.

    Parameters
    ----------
    source, validation : ArraySource or StreamSource
    batch : int
        How many batches of the epoch are done; 0: it has ended.
    """
    is_over = batch == 0 and (source.wanted is None or source.taken == source.available)
    sources = (source, source if validation is None else validation)
    counts = [[counter.count for counter in each.counters] for each in sources]
    return {"begun": None if is_over else source.begun, "training": counts[0], "validation": counts[1]}


def go_on(source: Source, validation: Source | None, state: Mapping[str, Any]) -> None:
    """Go to where a training stood, in data that may have been read since, or less often.

    Validation begins with a new pass each time. It may read the same data as the training, whose counters have the
    last word where its own pass is still to begin, and the first one where it is begun here.

    Parameters
    ----------
    source, validation : ArraySource or StreamSource
    state : dict
        "epoch" to go on with, how many of its batches are done, "batch", what each source had "taken", and "passes":
        what `standing` gave, which old checkpoints do not have.
    """
    kept, taken = _checked(state.get("passes")), state["taken"]
    number, counts = state["epoch"] - (not state["batch"]), (None, None)
    if kept is not None:
        counts = (kept["begun"], kept["training"]), (None, kept["validation"])
    both = [(source, taken[0], counts[0]), (validation, taken[1], counts[1])]
    for each, count, passes in both if source.wanted is not None else reversed(both):
        if each is not None:
            each.skip(count, number, passes)


def _checked(kept):
    """What `standing` gave; None of an old checkpoint."""
    if kept is None:
        return None
    parts = [kept.get(name) for name in ("begun", "training", "validation")] if isinstance(kept, dict) else [0]
    for counts in parts if parts[0] is not None else parts[1:]:
        if not isinstance(counts, list) or not all(is_integer(n) and n >= 0 for n in counts):
            raise FileFormatError(f"'passes' of a checkpoint are lists of numbers. Received: {str(kept)[:100]}")
    return kept


def set_counts(counters: Sequence[PassCounter], counts: Sequence[int]) -> None:
    """Set what the counters of data were; warn if the data had others."""
    if len(counters) != len(counts):
        warn_user(
            "a training goes on in the order that was to come only with the same data: its data had "
            f"{len(counts)} step(s) that may shuffle. Received: {len(counters)}"
        )
        return
    for counter, count in zip(counters, counts, strict=True):
        counter.count = count


def joined(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """The outputs (N, …) of batches as one array.

    Raises
    ------
    ShapeError
        If batches of other sizes have outputs of other sizes.
    """
    shapes = {output.shape[1:] for output in outputs}
    if len(shapes) > 1:
        raise ShapeError(
            "predict returns one array, so all batches need outputs of one size: use predict_on_batch for each of "
            f"them. Received: outputs of shapes {', '.join(str((None, *shape)) for shape in sorted(shapes))}"
        )
    return np.concatenate(outputs)


def demand_batches(source: Source, done: int) -> None:
    """Raise `DataError` if there was none, warn if there were too few."""
    if not done:
        raise DataError(
            "the generator gave no batch: one that ends can be read once only; give validation_steps= (steps=) and "
            "one that goes on, or a Sequence. Received: no batch"
        )
    source.warn_if_short(done)


def explain_end(epochs: int) -> None:
    """Raise `DataError` if there was no data at all; warn if it has run out after some epochs."""
    if not epochs:
        raise DataError(
            "the data gave no batch: expected at least one; a generator that ends can be read once only, so that each "
            "fit needs a new one, or a Sequence. Received: no batch"
        )
    warn_user(
        f"the input ran out of data after {epochs} epoch(s), training stops: give steps_per_epoch= and "
        "a generator that goes on, or a Sequence, which can be read again"
    )
