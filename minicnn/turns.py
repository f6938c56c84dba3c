"""Whose turn it is to compute: calls of models share arrays."""

import threading

import numpy as np

from minicnn import locks

_computing, _preparing = locks.Lock(), locks.Lock()
_role = threading.local()

weights_at_rest: locks.Lock = locks.Lock()
"""For ``with``: no iteration of a training in another thread changes weights meanwhile, so that what is read of them
belongs together. A training holds it during an iteration, and gives it back between two of them."""


def prepares_data() -> None:
    """Said by a thread whose results a training waits for: it need not wait for the training when it computes."""
    _role.prepares = True


def prepares() -> bool:
    """Whether this thread has said so."""
    return getattr(_role, "prepares", False)


def turn_of_kernels() -> locks.Lock:
    """For ``with``: as `Turn`, for what nothing of NumPy's is done in."""
    return _preparing if prepares() else _computing


class Turn:
    """For ``with``: one Python thread at a time gets in, others wait.

    Beside it one that prepares data. Numbers too small for float32 become 0, whatever `numpy.seterr` says: softmax
    makes them.
    """

    def __enter__(self) -> None:
        self._lock = turn_of_kernels()
        self._lock.__enter__()
        self._errors = np.errstate(under="ignore")
        self._errors.__enter__()

    def __exit__(self, *error: object) -> None:
        self._errors.__exit__(*error)
        self._lock.__exit__(*error)
