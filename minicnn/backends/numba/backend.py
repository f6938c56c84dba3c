"""The numba backend: NumPy arrays, compiled kernels, and the number of threads they use."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
from numba.core.registry import cpu_target
from numba.np import linalg
from numpy.typing import ArrayLike

from minicnn.backends import freed
from minicnn.backends import numba as package
from minicnn.backends.base import Backend
from minicnn.backends.numba.gather import copy_samples
from minicnn.backends.numba.machine import pool
from minicnn.backends.numba.machine.recording import reference
from minicnn.backends.numba.machine.second_compiler import compile_beside
from minicnn.backends.numba.machine.walking import Repeated


class NumbaBackend(Backend):
    """Kernels compiled by Numba for the processor at hand; plans fuse steps for it."""

    reference = reference
    remembers = True

    def __init__(self):
        # Numba loads its compiler's modules with the first kernel, compiled or from the cache: not in the first step.
        with _without_scipy():
            cpu_target.typing_context.refresh()
            cpu_target.target_context.refresh()
        freed.keep_freed()
        super().__init__("numba", package, fuses=True)

    def repeated(self, works: Sequence[Callable[[], None]]) -> list[Repeated]:
        """`works`, by the calls of their first time, see `Repeated`."""
        return [Repeated(works)]

    def expect(self, works: Iterable[Callable[[], None]]) -> None:
        """Have missing kernels compiled by a second process, see `second_compiler`."""
        compile_beside(works)

    def load(self, array: np.ndarray, source: ArrayLike) -> None:
        if not copy_samples(source, array):
            super().load(array, source)

    def instructions(self) -> str:
        _, processor, features = cpu_target.target_context.codegen().magic_tuple()
        return f"{processor} with instructions {zlib.crc32(features.encode()):08x}"

    @contextmanager
    def use_threads(self, count: int) -> Iterator[None]:
        """Inside, kernels use `count` threads."""
        before = pool.use_threads(count)
        try:
            yield
        finally:
            pool.use_threads(before)


@contextmanager
def _without_scipy():
    """Inside, Numba does not import SciPy to see whether it has a BLAS, which takes nearly as long as Numba itself.

    No kernel here calls one. A function of the user's that does has SciPy imported when it is compiled.
    """
    asked = linalg.ensure_blas
    if find_spec("scipy") is not None:
        linalg.ensure_blas = lambda: None
    try:
        yield
    finally:
        linalg.ensure_blas = asked
