"""``tf.distribute``: strategies of one device, which change nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np

from minicnn.checks import check_choice
from minicnn.keras import ops
from minicnn.keras._names import Lookup, lookup
from minicnn.keras._operations import entering
from minicnn.keras.tensorflow._functions import of_tensorflow

__all__ = ["MirroredStrategy", "MultiWorkerMirroredStrategy", "OneDeviceStrategy", "ReduceOp", "Strategy"]
__all__ += ["TPUStrategy", "cluster_resolver", "experimental", "get_strategy"]


class ReduceOp(Enum):
    """How the values of several devices become one."""

    SUM, MEAN = "SUM", "MEAN"


class Strategy:
    """One device: the backend says which.

    Attributes
    ----------
    num_replicas_in_sync : int
    """

    num_replicas_in_sync: int = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes what TensorFlow's take, and does nothing with it."""

    def scope(self) -> AbstractContextManager[None]:
        """A context that changes nothing."""
        return nullcontext()

    def run(self, fn: Callable[..., Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """What the function gives."""
        return fn(*args, **(kwargs or {}))

    experimental_run_v2 = run  # its name in TensorFlow 2.1

    def reduce(self, reduce_op: Any, value: Any, axis: int | None = None) -> Any:
        """The value of the one device; along an axis, the sum or mean of it."""
        kind = check_choice("reduce_op", getattr(reduce_op, "value", reduce_op), ("SUM", "MEAN", "sum", "mean"))
        if axis is None:
            return value
        function = ops.mean if kind.upper() == "MEAN" else ops.sum
        return of_tensorflow(entering(function)(value, axis=axis))

    def experimental_distribute_dataset(self, dataset: Any, options: Any = None) -> Any:
        """The data set."""
        return dataset

    def distribute_datasets_from_function(self, dataset_fn: Callable[[Any], Any], options: Any = None) -> Any:
        """The data set that the function gives."""
        context = SimpleNamespace(
            num_input_pipelines=1, input_pipeline_id=0, num_replicas_in_sync=1, get_per_replica_batch_size=int
        )
        return dataset_fn(context)

    def experimental_local_results(self, value: Any) -> tuple[Any, ...]:
        """The value, as that of the first device."""
        return (value,)

    def gather(self, value: Any, axis: int) -> Any:
        """The value."""
        return of_tensorflow(np.asarray(value))


MirroredStrategy = OneDeviceStrategy = MultiWorkerMirroredStrategy = TPUStrategy = Strategy
experimental = SimpleNamespace(
    CentralStorageStrategy=Strategy, MultiWorkerMirroredStrategy=Strategy, TPUStrategy=Strategy
)


def _no_tpu(*args: Any, **kwargs: Any) -> NoReturn:
    raise ValueError("expected a TPU. Received: none, as minicnn computes on processors and NVIDIA GPUs")


_no_tpu.connect = _no_tpu  # type: ignore[attr-defined]
cluster_resolver = SimpleNamespace(TPUClusterResolver=_no_tpu)


def get_strategy() -> Strategy:
    """The only one."""
    return Strategy()


def get_replica_context() -> SimpleNamespace:
    """What a step of the only replica asks for: its number, the strategy, and sums over all replicas, as they are."""
    return SimpleNamespace(
        num_replicas_in_sync=1,
        replica_id_in_sync_group=0,
        strategy=Strategy(),
        all_reduce=lambda reduce_op, value, options=None: Strategy().reduce(reduce_op, value),
    )


__getattr__: Lookup = lookup(__name__)
