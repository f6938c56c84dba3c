"""The backends that need more than NumPy: imported, or the error that says why they cannot be used."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from minicnn import locks
from minicnn.errors import BackendError, unknown_name

if TYPE_CHECKING:
    from minicnn.backends.base import Backend


_importing = threading.RLock()
locks.forks_wait_for(_importing)  # of modules that another thread was importing, a child would wait for ever


def default(names: Sequence[str]) -> str:
    """The name of the backend where no program chooses one: MINICNN_BACKEND, else numba, or numpy if it cannot be.

    Raises
    ------
    ValueError
        If the variable names none of `names`, nor one of CuPy's devices.
    """
    name = os.environ.get("MINICNN_BACKEND")
    if name and name not in names and not re.fullmatch(r"cupy:\d+", name):
        raise unknown_name("backend in the environment variable MINICNN_BACKEND", name, names)
    return name or ("numpy" if _compiles_nothing() else "numba")


def _compiles_nothing() -> bool:
    """Whether Numba was told to leave functions as they are, as for a debugger: its setting, or what will be it."""
    config = sys.modules.get("numba.core.config")
    return bool(config.DISABLE_JIT if config else os.environ.get("NUMBA_DISABLE_JIT", "0").strip("0 "))


def load_numba() -> Backend:
    """The backend with compiled kernels.

    Raises
    ------
    BackendError
        If Numba may not compile.
    """
    with _importing:
        from minicnn.backends.numba.backend import NumbaBackend

    if _compiles_nothing():
        raise BackendError(
            "backend 'numba' is made of kernels that Numba compiles, which NUMBA_DISABLE_JIT forbids: unset it, or use "
            "the backend 'numpy', the default where it is set. Received: NUMBA_DISABLE_JIT="
            f"{os.environ.get('NUMBA_DISABLE_JIT')!r}"
        )
    with _importing:
        return NumbaBackend()


def load_cupy(index: int) -> Backend:
    """The backend for the GPU of that number.

    Raises
    ------
    BackendError
        If CuPy cannot be imported, or has no device.
    """
    try:
        from minicnn.backends.cupy.backend import CupyBackend
    except (ImportError, AttributeError) as error:  # a folder called cupy is imported too, and is empty
        raise BackendError(
            "backend 'cupy' needs CuPy and an NVIDIA GPU: pip install 'minicnn[gpu]' (CUDA 13) or 'minicnn[gpu12]' "
            f"(CUDA 12). Received: {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
        ) from error
    return CupyBackend(index)
