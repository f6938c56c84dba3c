"""Where numbers are computed: ``numpy`` (the reference), ``numba`` (fast, the default), or ``cupy`` (NVIDIA GPUs)."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from minicnn.backends import loading
from minicnn.console import say
from minicnn.errors import BackendError, unknown_name

if TYPE_CHECKING:
    from minicnn.backends.base import Backend


NAMES: tuple[str, ...] = ("numba", "numpy", "cupy")

_chosen: dict[str, str | None] = {"name": None}


def get(name: str | None = None) -> Backend:
    """The backend of that name; without one, the current backend.

    Parameters
    ----------
    name : str, optional
        "numba", "numpy", "cupy"; "cupy:1" for the device of that number.

    Raises
    ------
    ValueError
        If there is no such backend.
    BackendError
        If it cannot be used on this machine; says why.
    """
    if name is None:
        return current()
    if name in NAMES:
        return _load(name, 0)
    device = re.fullmatch(r"cupy:(\d+)", str(name))
    if not device:
        raise unknown_name("backend", name, NAMES)
    return _load("cupy", int(device[1]))


def set_backend(name: str) -> None:
    """Choose the backend that models use from now on. A model that exists follows, with its weights and optimizer.

    Parameters
    ----------
    name : {"numba", "numpy", "cupy"}
        Or "cupy:1" for the GPU of that number.
    """
    get(name)
    _chosen["name"] = name


def current() -> Backend:
    """The backend chosen by `set_backend`, else by MINICNN_BACKEND, else numba (numpy under NUMBA_DISABLE_JIT)."""
    return get(_current_name())


def _current_name() -> str:
    return _chosen["name"] or loading.default(NAMES)


def info() -> None:
    """Print which backends can be used, and why the others cannot."""
    for name in NAMES:
        try:
            state = get(name).describe()
        except BackendError as error:
            state = f"not available: {error}"
        mark = "*" if _current_name().partition(":")[0] == name else " "
        say(f"{mark} {name:<6} {state}")


@cache
def _load(name, index):
    """Import a backend when it is first needed: numba takes half a second."""
    from minicnn.backends.base import Backend

    if name == "numpy":
        return Backend("numpy")
    return loading.load_cupy(index) if name == "cupy" else loading.load_numba()
