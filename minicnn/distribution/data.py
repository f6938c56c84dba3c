"""Batches for several workers: each reads what its shards need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from minicnn.distribution.problems import by_all
from minicnn.distribution.shards import cut, own_part
from minicnn.errors import DataError
from minicnn.training.batches import Batch
from minicnn.training.device_data import device_dtype
from minicnn.training.sources import ArraySource, Source

if TYPE_CHECKING:
    from minicnn.backends.base import Backend
    from minicnn.distribution.engine import ShardedEngine


@dataclass
class Cut:
    """A batch that is computed in parts.

    Attributes
    ----------
    count : int
        Samples.
    targets : list of array
        Their shapes are those of the whole batch's; the values may be missing.
    parts : list of slice
        The samples of each shard.
    part : callable
        The `Batch` of a shard, one of this worker's, by its number.
    """

    count: int
    targets: list[np.ndarray]
    parts: list[slice]
    part: Callable[[int], Batch]


def whole(batch: Batch | Cut, shards: int) -> Cut:
    """A batch that is here as a whole."""
    if isinstance(batch, Cut):
        return batch
    parts = cut(batch.count, shards)
    return Cut(batch.count, batch.targets, parts, lambda shard: _part(batch, parts[shard]))


def _part(batch, samples):
    """Some samples of a batch; nothing is copied."""
    count = samples.stop - samples.start
    if batch.indices is not None:
        indices = batch.indices[samples]
        return Batch(batch.inputs, batch.targets, batch.weight, indices, count, samples.start)
    inputs, targets = ([array[samples] for array in arrays] for arrays in (batch.inputs, batch.targets))
    weight = None if batch.weight is None else batch.weight[samples]
    return Batch(inputs, targets, weight, None, count, samples.start)


def uploaded(batch: Batch, backend: Backend) -> Batch:
    """A batch whose targets and weights lie where a GPU computes; its inputs go there when they are loaded."""
    inputs, targets = ([batch.pick(array) for array in arrays] for arrays in (batch.inputs, batch.targets))
    targets = [backend.asarray(target, device_dtype(target.dtype)) for target in targets]
    weight = None if batch.weight is None else backend.asarray(batch.pick(batch.weight), np.float64)
    return Batch(inputs, targets, weight, None, batch.count, batch.first)


def batches_of(
    engine: ShardedEngine, source: Source, generator: np.random.Generator | None, first: int
) -> Iterator[Cut]:
    """The batches of one pass over a source; arguments as for `Source.batches`.

    Arrays lie before every worker, and each reads its samples only, also from files. The batches of a Sequence are read
    by the workers in turn. A generator is read by worker 0. Who has read a batch hands the others their shards.
    """
    if isinstance(source, ArraySource) and source.is_lazy:
        yield from _of_files(source, generator, first, engine.shards)
    elif isinstance(source, ArraySource) or engine.wire.size == 1:
        for batch in source.batches(generator, first):
            yield whole(batch, engine.shards)
    elif source.is_sequence and source.available is not None:
        yield from _in_turn(engine, source, generator, first)
    elif engine.wire.rank == 0:
        yield from _feeding(engine, source.batches(generator, first))
    else:
        yield from _fed(engine, source)


def _of_files(source, generator, first, shards):
    """Batches of arrays that lie in files: the rows of a shard are read when it is computed."""
    samples = len(source.inputs[0])
    order = None if generator is None else generator.permutation(samples)
    for number in source.epoch(first):
        source.taken, start = number + 1, number * source.batch_size
        parts = cut(min(source.batch_size, samples - start), shards)
        count = parts[-1].stop
        targets = [_like(count, target.shape[1:], target.dtype) for target in source.targets]
        yield Cut(count, targets, parts, partial(_read, source, order, start, parts))


def _read(source, order, start, parts, shard):
    """A shard of the batch that begins with sample `start` of the order."""
    part = slice(start + parts[shard].start, start + parts[shard].stop)
    rows = part if order is None else order[part]
    inputs, targets = ([np.asarray(a[rows]) for a in arrays] for arrays in (source.inputs, source.targets))
    weight = None if source.weight is None else source.weight[rows]
    return Batch(inputs, targets, weight, None, len(inputs[0]), parts[shard].start)


def _like(count, shape, dtype):
    """An array that has a shape and no memory."""
    return np.broadcast_to(np.zeros((), dtype), (count, *shape))


# --------------------------------------------------------------------------------------------- from worker to worker


def _in_turn(engine, source, generator, first):
    """The batches of a Sequence: each worker reads one of the next few, and hands it on when its turn comes."""
    source.begin_epoch()
    order = None if generator is None else generator.permutation(source.available)
    numbers, size = source.epoch(first), engine.wire.size
    for start in range(0, len(numbers), size):
        group = numbers[start : start + size]
        own = iter(())
        if engine.wire.rank < len(group):
            number = group[engine.wire.rank]
            own = iter([partial(source.read, number if order is None else int(order[number]))])
        for reader, number in enumerate(group):
            source.taken = number + 1
            if reader == engine.wire.rank:
                yield from _feeding(engine, (read() for read in own), ends=False)
            else:
                yield _received(engine, engine.wire.fed(reader), reader)
    source.end_epoch()


def _feeding(engine, batches, ends=True):
    """The batches, of which the other workers get their shards."""
    wire = engine.wire
    try:
        for batch in batches:
            found = whole(batch, engine.shards)
            wire.feed([_parcel(found, rank, wire.size) for rank in range(wire.size)])
            yield found
    except Exception as error:
        wire.feed([f"{type(error).__name__}: {error}"] * wire.size)
        raise by_all(error) from None
    if ends:
        wire.feed([None] * wire.size)


def _parcel(found, rank, size):
    """What a worker gets of a batch: its shards, and what it has to know of the others."""
    shards = {shard: found.part(shard) for shard in own_part(len(found.parts), rank, size)}
    return found.count, [(target.shape[1:], target.dtype) for target in found.targets], shards


def _fed(engine, source):
    """The batches that worker 0 reads."""
    while (message := engine.wire.fed(0)) is not None:
        source.taken += 1
        yield _received(engine, message, 0)


def _received(engine, message, reader) -> Cut:
    """A batch that another worker has read."""
    if isinstance(message, str):
        raise by_all(DataError(f"{engine.wire.workers[reader]} could not read a batch: {message}"))
    count, targets, shards = message
    return Cut(count, [_like(count, *t) for t in targets], cut(count, engine.shards), shards.__getitem__)
