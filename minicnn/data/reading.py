"""Working ahead in threads, with bounded memory."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from minicnn.turns import prepares_data

_CHECK_SECONDS = 0.1  # how often a thread that cannot go on looks whether anybody still wants its work


def mapped(function: Callable[[Any], Any], items: Iterable[Any], threads: int) -> Iterator[Any]:
    """function(item) for all items, in their order, computed by several threads; two for each are ahead at most."""
    with ThreadPoolExecutor(threads, "minicnn-data", prepares_data) as pool:
        pending = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def read_ahead(items: Callable[[], Iterator[Any]], count: int) -> Iterator[Any]:
    """The items, read by a thread that is up to `count` of them ahead.

    An error of the reader is raised when its turn comes. The thread ends when nobody reads on.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(count)
    abandoned = threading.Event()

    def deliver(entry):
        while not abandoned.is_set():
            try:
                ready.put(entry, timeout=_CHECK_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def read():
        prepares_data()
        try:
            for item in items():
                if not deliver(("item", item)):
                    return
        except BaseException as error:
            deliver(("error", error))
        else:
            deliver(("end", None))

    threading.Thread(target=read, name="minicnn-data", daemon=True).start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                try:
                    raise value
                finally:
                    del value  # or it would hold, by its traceback, all that is being read
            yield value
    finally:
        abandoned.set()


class EagerIterator:
    """An iterator that has ``get_next`` too, as TensorFlow's has."""

    def __init__(self, elements: Iterator[Any]) -> None:
        self._elements = elements

    def __iter__(self) -> EagerIterator:
        return self

    def __next__(self) -> Any:
        return next(self._elements)

    def get_next(self, name: str | None = None) -> Any:
        """The next element; StopIteration behind the last one."""
        return next(self._elements)


class NumpyIterator:
    """An iterator that has TensorFlow's method ``next`` too."""

    def __init__(self, elements: Iterator[Any]) -> None:
        self._elements = elements

    def __iter__(self) -> NumpyIterator:
        return self

    def __next__(self) -> Any:
        return next(self._elements)

    next = __next__
