"""`DataParallel`, and which distribution models train with."""

from __future__ import annotations

from minicnn.checks import check_positive_int
from minicnn.distribution.engine import ShardedEngine
from minicnn.distribution.world import world
from minicnn.training import engines

SHARDS = 8


class DataParallel:
    """Every worker has the whole model and computes a part of every batch; the gradients are added.

    A batch is cut into shards that depend on it alone, and sums go along one fixed tree: so training ends with the same
    bits on any number of workers, also on one. Against a training without distribution the sums are rounded otherwise
    (about 1e-7 of a gradient); with ``shards=1`` it is the same to the bit. `BatchNormalization` goes by the samples of
    a shard, unless it is ``synchronized=True``.

    Parameters
    ----------
    shards : int, default 8
        In how many parts a batch is cut, at most: no more workers can compute at once.

    Raises
    ------
    ImportError
        If mpi4py is not there.
    """

    def __init__(self, shards: int = SHARDS) -> None:
        self.shards: int = check_positive_int("shards", shards)
        world()

    def __repr__(self) -> str:
        return f"DataParallel(shards={self.shards})"


def set_distribution(value: DataParallel | None) -> None:
    """Have all models train, evaluate and predict by a distribution from now on; None: each process for itself.

    Parameters
    ----------
    value : DataParallel or None
    """
    if not isinstance(value, DataParallel | None):
        raise TypeError(f"a distribution is a DataParallel, or None. Received: {value!r}")
    _current["value"] = value
    engines.choose(None if value is None else ShardedEngine.of(world(), value.shards))


def distribution() -> DataParallel | None:
    """The distribution that models train with; None without."""
    return _current["value"]


_current: dict[str, DataParallel | None] = {"value": None}
