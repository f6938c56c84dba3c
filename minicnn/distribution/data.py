"""Batches for several workers: each reads what its shards need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from minicnn.data.making import Part
from minicnn.data.reading import mapped
from minicnn.distribution import handshake
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

    Arrays lie before every worker, and each reads its samples only, also from files; so it does of data sets that can
    be made in parts. The batches of a Sequence are read by the workers in turn. A generator, and a Sequence that does
    not give all the same, is read by worker 0. Who has read a batch hands the others their shards.
    """
    if isinstance(source, ArraySource) and source.is_lazy:
        yield from _of_files(source, generator, first, engine.shards)
    elif isinstance(source, ArraySource) or engine.wire.size == 1:
        for batch in source.batches(generator, first):
            yield whole(batch, engine.shards)
    elif source.is_sequence and source.available is not None:
        yield from _of_sequence(engine, source, generator, first)
    elif source.divides():
        yield from _divided(engine, source, first)
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


# ------------------------------------------------------------------------------------------------- read in parts


def _divided(engine, source, first):
    """The batches of a data set, of which each worker makes its own samples, in a thread, ahead of time."""
    source.reads_parts = True
    for (part, found), taken in mapped(partial(_own_of, engine, source), _numbered(source, first), 1):
        source.taken = taken
        if part is None:  # left of a pass that was begun otherwise: here as a whole
            yield whole(found, engine.shards)
        else:
            _compare_parts(engine, part, found)
            yield _of_part(engine, part, found)


def _numbered(source, first):
    """(item, how many batches are taken with it) of an epoch, whatever `source.taken` is set to meanwhile."""
    items, taken = source.items(first), source.taken
    while True:
        source.taken = taken
        try:
            item = next(items)
        except StopIteration:
            return
        taken = source.taken
        yield item, taken


def _own_of(engine, source, numbered):
    """((a part, this worker's samples of it as a `Batch`, or the error), how many are taken)."""
    part, taken = numbered
    if not isinstance(part, Part):
        return (None, source.converted(part)), taken
    samples = _own_samples(engine, len(part.numbers))
    try:
        return (part, source.converted(part.read(part.numbers[samples]))), taken
    except Exception as error:
        return (part, error), taken


def _own_samples(engine, count):
    """The samples of this worker's shards; one, for shapes, if it has none."""
    parts = cut(count, engine.shards)
    own = own_part(len(parts), engine.wire.rank, engine.wire.size)
    return slice(parts[own[0]].start, parts[own[-1]].stop) if own else slice(1)


def _compare_parts(engine, part, found):
    """Raise on all workers where one could not read its part, or is at other samples."""
    is_error = isinstance(found, Exception)
    error = f"{type(found).__name__}: {found}" if is_error else None
    here = {"order of samples": hashlib.sha256(repr(list(part.numbers)).encode()).hexdigest()[:12]}
    everybody = engine.wire.gather((here, error))
    if is_error:
        raise by_all(found)
    for worker, (_, error) in zip(engine.wire.workers, everybody, strict=True):
        if error is not None:
            raise by_all(_unread(worker, error))
    handshake.demand_equal(engine.wire, [order for order, _ in everybody])


def _of_part(engine, part, found) -> Cut:
    """A batch of which this worker's samples are here."""
    count, start = len(part.numbers), _own_samples(engine, len(part.numbers)).start or 0
    parts = cut(count, engine.shards)
    targets = [_like(count, target.shape[1:], target.dtype) for target in found.targets]

    def shard(number):
        samples = parts[number]
        own = _part(found, slice(samples.start - start, samples.stop - start))
        return replace(own, first=samples.start)

    return Cut(count, targets, parts, shard)


# --------------------------------------------------------------------------------------------- from worker to worker


def _of_sequence(engine, source, generator, first):
    """The batches of a Sequence: read by the workers in turn, if it gives all of them the same; else by worker 0."""
    source.begin_epoch()
    order = None if generator is None else generator.permutation(source.available)
    numbered = [(i, partial(source.read, i if order is None else int(order[i]))) for i in source.epoch(first)]
    begun = None
    if numbered and (source.is_pure is not False or engine.wire.rank == 0):
        begun = _tried(numbered[0][1])
    if not numbered or (source.is_pure is not False and _gives_all_the_same(engine, source, numbered[0][1], begun)):
        yield from _in_turn(engine, source, numbered, begun)
    elif engine.wire.rank == 0:
        yield from _feeding(engine, _alone(source, numbered, begun))
    else:
        yield from _fed(engine, source)
    source.end_epoch()


def _tried(read):
    """A function that gives what `read` gives now, or raises its error."""
    try:
        batch = read()
    except Exception as error:
        return partial(_raised, error)
    return lambda: batch


def _raised(error):
    raise error


def _gives_all_the_same(engine, source, read, begun) -> bool:
    """Whether workers may share the reading of a Sequence: whether a batch is the same on all of them, and twice.

    One that draws random numbers when it is asked for a batch, or an order of its own on each worker, is not.
    """
    wire = engine.wire
    if source.is_pure is None and wire.rank:  # worker 0 reads each batch once, whoever else reads
        source.is_pure = _digest(begun) == _digest(_tried(read))
    found = wire.gather((_digest(begun), source.is_pure is not False))
    source.is_pure = all(pure and digest == found[0][0] for digest, pure in found)
    return source.is_pure


def _digest(begun):
    """Characters that differ where batches do; those of errors are alike."""
    try:
        batch = begun()
    except Exception:
        return None
    arrays = [*batch.inputs, *batch.targets, *([] if batch.weight is None else [batch.weight])]
    return handshake.digest(*([str(a.dtype), a.shape] for a in arrays), *arrays)


def _alone(source, numbered, begun):
    """The batches of a Sequence, of which the first one is read."""
    for position, (number, read) in enumerate(numbered):
        source.taken = number + 1
        yield read() if position else begun()


def _in_turn(engine, source, numbered, begun):
    """The batches of a Sequence: each worker reads one of the next few, all at once, and hands it on in its turn."""
    rank, size = engine.wire.rank, engine.wire.size
    for start in range(0, len(numbered), size):
        group = numbered[start : start + size]
        own = None
        if rank < len(group):
            own = begun if start == rank == 0 else _tried(group[rank][1])
        for reader, (number, _) in enumerate(group):
            source.taken = number + 1
            if reader == rank:
                yield from _feeding(engine, (call() for call in (own,)), ends=False)
            else:
                yield _received(engine, engine.wire.fed(reader), reader)


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
        raise by_all(_unread(engine.wire.workers[reader], message))
    count, targets, shards = message
    return Cut(count, [_like(count, *t) for t in targets], cut(count, engine.shards), shards.__getitem__)


def _unread(worker, error):
    return DataError(f"{worker} could not read a batch: {error}")
