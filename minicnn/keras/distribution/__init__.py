"""``keras.distribution``: a training on several processes, each of which computes a part of every batch.

`minicnn.distribution` is what does it, with mpi4py and MPI; layouts of weights over several devices are not there.
"""

from __future__ import annotations

from typing import Any

from minicnn import distribution as _core
from minicnn.distribution import distribution, initialize, list_devices, set_distribution
from minicnn.keras._names import Lookup, lookup

__all__ = ["DataParallel", "distribution", "get_device_count", "initialize", "list_devices", "set_distribution"]
__getattr__: Lookup = lookup(__name__)


class DataParallel(_core.DataParallel):
    """`minicnn.distribution.DataParallel` with Keras's arguments.

    Parameters
    ----------
    device_mesh : None
        Keras's; the devices are the processes that MPI has started.
    devices : list of str, optional
        Keras's; if given, what `list_devices` returns.
    auto_shard_dataset : True
        Keras's: each worker gets its own part of the data.
    shards : int, default 8
        See `minicnn.distribution.DataParallel`.

    Attributes
    ----------
    num_model_replicas : int
        Workers.

    Raises
    ------
    ValueError
        For devices that MPI has not started, or data that is divided already.
    """

    def __init__(
        self,
        device_mesh: None = None,
        devices: list[str] | None = None,
        auto_shard_dataset: bool = True,
        *,
        shards: int = 8,
    ) -> None:
        super().__init__(shards)
        if device_mesh is not None or (devices is not None and len(devices) != len(list_devices())):
            raise ValueError(
                "the devices are the processes that mpiexec has started, all of them: DataParallel() without "
                f"device_mesh= and devices=. Received: {device_mesh=}, {devices=}"
            )
        if not auto_shard_dataset:
            raise ValueError(
                "every worker gets the same data, or a part of it by itself, so that the batches are those of one "
                "training: auto_shard_dataset=True. Received: auto_shard_dataset=False"
            )

    @property
    def num_model_replicas(self) -> int:
        return _core.size()


def get_device_count(device_type: str | None = None) -> int:
    """How many entries `list_devices` has.

    Parameters
    ----------
    device_type : {"cpu", "gpu"}, optional
    """
    return len(list_devices(device_type))


def __dir__() -> list[Any]:
    return __all__
