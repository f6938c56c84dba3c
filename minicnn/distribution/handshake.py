"""Whether the workers do the same: each says, in short, what it trains with, before a pass over data begins."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.distribution.problems import DistributionError, by_all
from minicnn.distribution.shares import check_losses
from minicnn.training.sources import ArraySource

if TYPE_CHECKING:
    from minicnn.distribution.engine import ShardedEngine
    from minicnn.distribution.wire import Wire
    from minicnn.training.batches import Batch
    from minicnn.training.sources import Source

ROWS = 64  # of each array of data that are looked at


def compare(wire: Wire, found: dict[str, Any]) -> None:
    """Raise `DistributionError`, on all workers, unless all have found the same.

    Parameters
    ----------
    wire : Wire
    found : dict
        What is compared, in the order in which differences are told → a short description.
    """
    demand_equal(wire, wire.gather(found, "compared"))


def demand_equal(wire: Wire, everybody: Sequence[dict[str, Any]]) -> None:
    """The same, of what all workers have found."""
    for what in dict.fromkeys(name for theirs in everybody for name in theirs):  # in their order
        for worker, theirs in zip(wire.workers, everybody, strict=True):
            if theirs.get(what) != everybody[0].get(what):
                raise by_all(
                    DistributionError(
                        f"{worker} has another {what} than {wire.workers[0]}; all workers need the same. "
                        f"Received: {theirs.get(what)} and {everybody[0].get(what)}"
                    )
                )


def of_pass(engine: ShardedEngine, source: Source, shuffles: bool, first: int) -> dict[str, Any]:
    """What has to agree before a pass over data.

    Parameters
    ----------
    engine : ShardedEngine
    source : Source
    shuffles : bool
        Whether the samples come in another order.
    first : int
        Number of the first batch.
    """
    found = {**_program(engine), **_model(engine.model.weights, engine), "data": _data(source)}
    return found if engine.model.compiled is None else found | _training(engine, shuffles, first) | _state(engine)


def compare_batch(engine: ShardedEngine, batch: Batch) -> None:
    """Raise `DistributionError`, on all workers, unless all are about to train the same batch that belongs to no pass.

    The model, its weights and the optimizer's state take a message more, and longer than a message to be hashed: they
    are compared where a worker does not know them, before the first batch, after an update that was not made together,
    and where its engine is a new one or was given a state. Whether to is said by all, in the first message.
    """
    kinds = [f"{x.dtype} {x.shape}" for x in (*batch.inputs, *batch.targets)]
    found = {
        **_program(engine),
        "dtype": str(engine.store.dtype),
        "batch": f"{batch.count} of {', '.join(kinds)}",
        **_training(engine, False, 0),
    }
    is_known = engine.updates == int(engine.optimizer.iterations)
    everybody = engine.wire.gather((is_known, found), "compared")
    demand_equal(engine.wire, [theirs for _, theirs in everybody])
    if not all(known for known, _ in everybody):
        compare(engine.wire, _model(engine.model.weights, engine) | _state(engine))


def _training(engine, shuffles, first):
    """Of what `compile` was told, and how far the training is."""
    check_losses(engine.model.compiled, engine.model.layers)
    optimizer = engine.optimizer
    return {
        "loss": digest([[type(x).__name__, x.get_config()] for x in engine.model.compiled.losses]),
        "optimizer": f"{type(optimizer).__name__} {digest(optimizer.get_config())}",
        "position": f"update {int(optimizer.iterations)}, batch {first}, epoch {engine.model.epochs_trained}",
        "seed": digest(engine.model.seed, shuffles),
    }


def _state(engine):
    """Of what the optimizer keeps: as large as the weights, or larger."""
    vectors = (engine.optimizer_state or {}).values()
    return {"optimizer state": digest(*map(engine.backend.to_host, vectors))}


def _program(engine):
    """Of what computes."""
    return {
        "version of minicnn": sys.modules["minicnn"].__version__,
        "version of NumPy": np.__version__,
        "processor": f"{platform.machine()} {engine.backend.instructions()}",
        "backend": engine.backend.name,
        "number of shards": engine.shards,
    }


def _model(weights, engine):
    """Of the model."""
    shapes = [(w.path, w.shape) for w in weights]
    return {
        "dtype": str(weights[0].value.dtype) if weights else "none",
        "model": f"{len(weights)} weights, {digest(shapes, [type(layer).__name__ for layer in engine.model.layers])}",
        "BatchNormalization": digest([getattr(w.layer, "synchronized", None) for w in weights]),
        "weights": digest(*(w.numpy() for w in weights)),
    }


def _data(source) -> str:
    """What the data is, by shapes and a few rows; of a stream, what is known before it is read."""
    if not isinstance(source, ArraySource):
        return f"stream of {source.available} batches of {source.batch_size}"
    rows = np.unique(np.linspace(0, len(source.inputs[0]) - 1, ROWS).astype(np.int64))
    shapes = ", ".join(f"{np.dtype(array.dtype)} {tuple(array.shape)}" for array in source.arrays)
    return f"{shapes}, batches of {source.batch_size}, {digest(*(np.asarray(a[rows]) for a in source.arrays))}"


def digest(*values: Any) -> str:
    """Some characters that differ where values do."""
    found = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            found.update(np.ascontiguousarray(value))
        else:
            found.update(json.dumps(value, default=lambda other: type(other).__name__, sort_keys=True).encode())
    return found.hexdigest()[:12]
