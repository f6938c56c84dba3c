"""``tf.distribute``: strategies of one device, which change nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

__all__ = ["MirroredStrategy", "OneDeviceStrategy", "Strategy", "get_strategy"]


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


MirroredStrategy = OneDeviceStrategy = Strategy


def get_strategy() -> Strategy:
    """The only one."""
    return Strategy()
