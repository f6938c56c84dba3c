"""How long this process has waited for kernels: for compiling them, or for reading them from the disk.

Backends measure it, and what tells a training's speed leaves it out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_total = 0.0


@contextmanager
def waiting_for_kernels() -> Iterator[None]:
    """Inside, a backend compiles or reads kernels; not to be nested."""
    global _total
    start = time.perf_counter()
    try:
        yield
    finally:
        with _lock:
            _total += time.perf_counter() - start


def compile_seconds() -> float:
    """How long it has been in all, in seconds."""
    return _total
