"""Random numbers for functions that users write: in a layer they go by the model's seed, place and iteration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cached_property

import numpy as np

from minicnn import random
from minicnn.held import holding
from minicnn.step import Workspace

_current: ContextVar[_Place | None] = ContextVar("place of the layer that runs", default=None)

_training: ContextVar[bool] = ContextVar("the layer that runs is trained", default=False)

_counts: ContextVar[set[int] | None] = ContextVar("numbers of samples that are drawn for", default=None)


class _Place:
    """Where a layer draws: its generator is made when it is asked for, as a GPU has to be asked for the iteration."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws

    @cached_property
    def generator(self) -> np.random.Generator:
        """Of the model's seed, the place and the iteration."""
        ws, part = self._ws, (self._ws.first,) if self._ws.first else ()
        return random.generator(ws.seed, "function", ws.stream, int(ws.iteration), *part)


@contextmanager
def numbers_of(ws: Workspace) -> Iterator[None]:
    """Inside, `generator` is that of a place in an iteration; parts of a batch have others than its beginning.

    `training` says there whether that place is trained.
    """
    with holding(_current, _Place(ws)), in_phase(ws.training):
        yield


def in_phase(is_trained: bool) -> AbstractContextManager[None]:
    """Inside, `training` says this."""
    return holding(_training, bool(is_trained))


def training() -> bool:
    """Whether the layer that runs is trained; False outside of layers."""
    return _training.get()


@contextmanager
def noting_counts() -> Iterator[set[int]]:
    """Inside, the set gets how many samples numbers are drawn for, where a function says that itself."""
    counts: set[int] = set()
    with holding(_counts, counts):
        yield counts


def note_count(shape: tuple[int, ...]) -> None:
    """Numbers of this shape are drawn."""
    counts = _counts.get()
    if shape and counts is not None:
        counts.add(shape[0])


def is_inside() -> bool:
    """Whether a layer runs, whose place `generator` goes by."""
    return _current.get() is not None


def generator() -> np.random.Generator:
    """Where numbers come from: the layer that runs; outside of layers a new one, from the seed of all."""
    current = _current.get()
    return random.generator(random.next_seed("call"), "function") if current is None else current.generator
