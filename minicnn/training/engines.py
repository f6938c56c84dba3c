"""Which engine runs models."""

from __future__ import annotations

from minicnn.backends.base import Backend
from minicnn.training.device_engine import DeviceEngine
from minicnn.training.engine import Engine

_chosen: dict[str, type[Engine] | None] = {"class": None}


def engine_for(backend: Backend) -> type[Engine]:
    """The class of engines for a backend, unless `choose` has named another one."""
    return _chosen["class"] or (DeviceEngine if backend.on_device else Engine)


def choose(engine_class: type[Engine] | None) -> None:
    """Have all models run by engines of this class from now on; None: by those for their backends.

    Parameters
    ----------
    engine_class : type or None
    """
    _chosen["class"] = engine_class
