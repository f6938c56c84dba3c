"""Where numbers are computed: ``numpy`` (the reference) or ``numba`` (fast, the default)."""

import os
from functools import cache

from minicnn.errors import unknown_name

DEFAULT = "numba"
NAMES = ("numba", "numpy")

_chosen = {"name": None}


def get(name=None):
    """The backend of that name; without one, the current backend.

    Raises
    ------
    ValueError
        If there is no such backend.
    """
    if name is None:
        return current()
    if name not in NAMES:
        raise unknown_name("backend", name, NAMES)
    return _load(name)


def set_backend(name: str) -> None:
    """Choose the backend that models use from now on.

    Parameters
    ----------
    name : {"numba", "numpy"}
    """
    get(name)
    _chosen["name"] = name


def current():
    """The backend chosen by `set_backend`, else by the environment variable MINICNN_BACKEND, else numba."""
    return get(_chosen["name"] or os.environ.get("MINICNN_BACKEND") or DEFAULT)


@cache
def _load(name: str):
    """Import a backend when it is first needed: numba takes half a second."""
    from minicnn.backends.base import Backend

    if name == "numpy":
        return Backend("numpy")
    from minicnn.backends.numba.backend import NumbaBackend

    return NumbaBackend()
