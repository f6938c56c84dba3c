"""``tf.config``: which devices there are; minicnn needs no settings for them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from minicnn.backends import get
from minicnn.errors import BackendError
from minicnn.keras._names import Lookup, Room, lookup

__all__ = ["experimental", "get_visible_devices", "list_logical_devices", "list_physical_devices", "optimizer"]
__all__ += ["run_functions_eagerly", "set_logical_device_configuration", "set_soft_device_placement"]
__all__ += ["experimental_run_functions_eagerly", "functions_run_eagerly", "set_visible_devices", "threading"]


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


def get_device_details(device: PhysicalDevice) -> dict[str, Any]:
    """{"device_name": …} of a GPU; of the processor, as in TensorFlow, nothing."""
    return {"device_name": get("cupy").describe().split(",")[0]} if device.device_type == "GPU" else {}


get_visible_devices: Callable[..., list[PhysicalDevice]] = list_physical_devices
list_logical_devices: Callable[..., list[PhysicalDevice]] = list_physical_devices


def functions_run_eagerly() -> bool:
    """True: a function computes when it is called."""
    return True


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Does nothing: the backend says where a model computes, a plan takes what memory it needs."""


set_visible_devices: Callable[..., None] = _nothing
run_functions_eagerly: Callable[..., None] = _nothing
experimental_run_functions_eagerly: Callable[..., None] = _nothing
set_soft_device_placement: Callable[..., None] = _nothing
set_logical_device_configuration: Callable[..., None] = _nothing
optimizer: Any = Room("tf.config.optimizer", set_jit=_nothing, set_experimental_options=_nothing)
threading: Any = Room(
    "tf.config.threading",
    set_intra_op_parallelism_threads=_nothing,
    set_inter_op_parallelism_threads=_nothing,  # minicnn.set_num_threads does
    get_intra_op_parallelism_threads=lambda: 0,  # TensorFlow's number where nobody has set one
    get_inter_op_parallelism_threads=lambda: 0,
)
LogicalDeviceConfiguration = SimpleNamespace
experimental: Any = Room(
    "tf.config.experimental",
    list_physical_devices=list_physical_devices,
    list_logical_devices=list_logical_devices,
    get_visible_devices=get_visible_devices,
    set_visible_devices=_nothing,
    get_device_details=get_device_details,
    set_memory_growth=_nothing,
    set_virtual_device_configuration=_nothing,
    VirtualDeviceConfiguration=SimpleNamespace,
    enable_op_determinism=_nothing,
)

__getattr__: Lookup = lookup(__name__)
