"""``tf.config``: which devices there are; minicnn needs no settings for them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

from minicnn.backends import get
from minicnn.errors import BackendError

__all__ = ["experimental", "list_logical_devices", "list_physical_devices", "set_visible_devices"]


class PhysicalDevice(NamedTuple):
    """A device that the backends can compute on."""

    name: str
    device_type: str


def list_physical_devices(device_type: str | None = None) -> list[PhysicalDevice]:
    """The processor, and a GPU if the backend "cupy" can be used; `minicnn.set_backend` chooses.

    Parameters
    ----------
    device_type : {"CPU", "GPU"}, optional
        Default: both.
    """
    kinds = ["CPU", "GPU"] if device_type is None else [device_type]
    return [PhysicalDevice(f"/physical_device:{kind}:0", kind) for kind in kinds if _is_there(kind)]


def _is_there(kind):
    if kind != "GPU":
        return kind == "CPU"
    try:
        return bool(get("cupy"))
    except BackendError:
        return False


list_logical_devices = list_physical_devices


def set_visible_devices(devices: Any, device_type: str | None = None) -> None:
    """Does nothing: the backend says where a model computes."""


def _set_memory_growth(device: Any, enable: bool) -> None:
    """Does nothing: a plan takes what it needs."""


experimental = SimpleNamespace(list_physical_devices=list_physical_devices, set_memory_growth=_set_memory_growth)
