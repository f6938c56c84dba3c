"""Locks and forks: a child has only the thread that forked."""

import os
import threading
import weakref
from typing import Any


class Lock:
    """A reentrant lock, for ``with``. In a forked child it is free, unless the thread that forked holds it.

    A child has only the thread that forked: a lock that another one held would stay locked there for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def _forget_other_threads(self):
        if self._lock.acquire(blocking=False):  # nobody's, or this thread's
            self._lock.release()
        else:
            self._lock = threading.RLock()


def forks_wait_for(lock: Any) -> None:
    """From now on a fork waits until no other thread holds a lock, whose work a child could not finish.

    Parameters
    ----------
    lock : object
        Reentrant, with `acquire` and `release`.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


_all = weakref.WeakSet()


def _forget_other_threads():
    for lock in list(_all):
        lock._forget_other_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
