"""What an engine computed last: for arrays of the same kind, all that was checked and looked up then is known."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.backends.memory import SLACK
from minicnn.nested import is_plain
from minicnn.step import Changes
from minicnn.threads import kernel_threads
from minicnn.turns import Turn, turn_of_kernels

if TYPE_CHECKING:
    from minicnn.backends.base import Backend
    from minicnn.parameters import BorrowedWeights, ParameterStore
    from minicnn.plan.plan import BoundPlan
    from minicnn.training.batches import Batch
    from minicnn.training.engine import Engine

_PAGE = 4096  # bytes that can all be read if one of them can
_LEAST_BYTES = 1 << 14  # of inputs: fewer are copied in less time than it takes to look where they are


class LastCall:
    """What an engine computed for a batch, to be computed for another one of the same shapes and types.

    Parameters
    ----------
    batch : Batch
    bound : BoundPlan
        It has run forward; not kept alive.
    store : ParameterStore or BorrowedWeights
    """

    def __init__(self, batch: Batch, bound: BoundPlan, store: ParameterStore | BorrowedWeights) -> None:
        self._kinds = [(x.shape, x.dtype) for x in batch.inputs]
        self._bound, self._store, self._changes = weakref.ref(bound), weakref.ref(store), bound.changes
        self._count = 0  # of calls that have begun
        self._casts = any(x.dtype != array.dtype for x, array in zip(batch.inputs, bound.inputs, strict=True))
        self._gives_inputs = not bound.works or any(
            np.may_share_memory(x, read) for x in bound.inputs for read in (*bound.outputs, *bound.heads)
        )

    @classmethod
    def of(cls, engine: Engine, batch: Batch, bound: BoundPlan) -> LastCall | None:
        """The call, if the backend remembers what was done, the next one does the same, and inputs go by position."""
        is_known = all(hasattr(work, "again") for work in bound.works) and not bound.plan.acts_as_in_training
        return cls(batch, bound, engine.store) if is_known and is_plain(engine.model.input_structure) else None

    def outputs(
        self,
        arrays: Sequence[Any],
        store: ParameterStore | BorrowedWeights,
        backend: Backend,
        read: Callable[[BoundPlan], list[np.ndarray]],
    ) -> list[np.ndarray] | None:
        """The outputs for other arrays, as `read` takes them from the plan; None if something is not as it was."""
        bound = self._fitting(arrays, store)
        if bound is None:
            return None
        with self._turn(bound.works, backend):
            if self._computed_again(bound, arrays, backend):
                return read(bound)
        return None

    def again(
        self, arrays: Sequence[Any], store: ParameterStore | BorrowedWeights, backend: Backend
    ) -> BoundPlan | None:
        """The same for whose turn it is: the plan, whose arrays the next call overwrites."""
        bound = self._fitting(arrays, store)
        return bound if bound is not None and self._computed_again(bound, arrays, backend) else None

    def _turn(self, works, backend):
        """To be entered while they run: what only kernels do on one thread needs nothing but the turn."""
        are_kernels = not self._casts
        for work in works:
            if work.is_shared:
                return kernel_threads(backend)
            are_kernels = are_kernels and work.can_move()
        return turn_of_kernels() if are_kernels else Turn()

    def _fitting(self, arrays, store):
        """The plan's arrays, if all is as it was."""
        bound = self._bound()
        if bound is None or self._changes != Changes.count or self._store() is not store:
            return None
        if len(arrays) != len(self._kinds):
            return None
        for x, (shape, dtype) in zip(arrays, self._kinds, strict=True):
            if type(x) is not np.ndarray or x.shape != shape or x.dtype != dtype:
                return None
        return bound

    def _computed_again(self, bound, arrays, backend):
        """Run the plan on arrays, which are read where they are, if they need no cast and kernels alone read them.

        Returns False if some other way is to be taken: also after a call of the same plan in between, by a handler of
        signals, which has written to the same arrays.
        """
        self._count = number = self._count + 1
        works, can_move = bound.works, not self._gives_inputs
        try:
            for work in works:
                work.move_back()  # Ctrl-C may have come before the last call did
                can_move = can_move and work.can_move()
            for x, array in zip(arrays, bound.inputs, strict=True):
                if not (can_move and _is_readable(x, array)):
                    backend.load(array, x)
                    continue
                for work in works:
                    work.move(array, _address(x) - _address(array))
            for work in works:
                if not work.again():
                    return False
            return self._count == number
        finally:
            for work in works:
                work.move_back()


def _is_readable(x, array):
    """Whether kernels can read x in the place of a plan's array: a vector's load may run over its end."""
    if x.nbytes < _LEAST_BYTES:
        return False
    is_alike = x.dtype == array.dtype and x.shape == array.shape and x.flags.c_contiguous and x.flags.aligned
    return is_alike and 0 < (_address(x) + x.nbytes) % _PAGE <= _PAGE - SLACK


def _address(array):
    return array.__array_interface__["data"][0]
