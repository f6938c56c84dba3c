"""Random numbers, and dropout."""

import math

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.memory import scratch
from minicnn.backends.numba.machine.numbers import Numbers
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.target import TARGET
from minicnn.backends.numba.machine.vectors import Emitter
from minicnn.backends.reference.random import normal_deviate

_FOURS_PER_TASK = 1024
_DROPOUT_NANOSECONDS, _NORMAL_NANOSECONDS = 3, 2  # per number
_NORMAL_PER_TASK = 4096

_LOW, _INDEX = 0xFFFFFFFF, ir.IntType(64)


def dropout(x: np.ndarray, y: np.ndarray, rate: float, seed: int, stream: int, iteration: int) -> None:
    """See `minicnn.backends.reference.random.dropout`."""
    time, key = _DROPOUT_NANOSECONDS * x.size, _key(seed, stream, iteration)
    _dropout.launch(time, x.reshape(-1), y.reshape(-1), float(np.float32(rate)), 1 / (1 - rate), key)


def uniform(numbers: np.ndarray, seed: int, stream: int, iteration: int) -> None:
    """See `minicnn.backends.reference.random.uniform`."""
    _uniform.launch(_DROPOUT_NANOSECONDS * numbers.size, numbers.reshape(-1), _key(seed, stream, iteration))


def normal(pairs: np.ndarray, numbers: np.ndarray) -> None:
    """See `minicnn.backends.reference.random.normal`."""
    _normal.launch(_NORMAL_NANOSECONDS * numbers.size, pairs.reshape(-1), numbers.reshape(-1))


def _key(seed, stream, iteration):
    """Counter and key of the generator but for the index of the four numbers, in 32-bit words."""
    return np.array(
        [number & 0xFFFFFFFF for number in (stream, iteration, iteration >> 32, seed, seed >> 32)], np.uint64
    )


@intrinsic
def _draw(typingctx, first, count, key, words):
    """words[k, i] = word k of the generator for index first + i, for i < count and up to a whole vector.

    As `minicnn.random.philox4x32` defines them; `words` has rows of `_FOURS_PER_TASK`.
    """
    index = types.int64
    return types.void(index, index, key, words), _emit_draw


def _emit_draw(context, builder, signature, args):
    first, count, *arrays = args
    kinds = signature.args[2:]
    key, words = (context.make_array(k)(context, builder, a).data for k, a in zip(kinds, arrays, strict=True))
    lanes = TARGET.vector_bytes // 8
    wide, narrow = ir.VectorType(ir.IntType(64), lanes), ir.VectorType(ir.IntType(32), lanes)
    numbers = [builder.load(builder.gep(key, [ir.Constant(_INDEX, i)])) for i in range(5)]
    stream, iteration_low, iteration_high, seed_low, seed_high = (_everywhere(builder, n, wide) for n in numbers)
    counting = ir.Constant(wide, list(range(lanes)))
    with cgutils.for_range_slice(builder, _INDEX(0), count, _INDEX(lanes), inc=True) as (i, _):
        indices = builder.add(_everywhere(builder, builder.add(first, i), wide), counting)
        counter = indices, stream, iteration_low, iteration_high
        for k, word in enumerate(_philox(builder, counter, seed_low, seed_high)):
            place = builder.gep(words, [builder.add(i, _INDEX(k * _FOURS_PER_TASK))])
            builder.store(builder.trunc(word, narrow), builder.bitcast(place, narrow.as_pointer()), align=4)
    return context.get_dummy_value()


def _philox(builder, counter, k0, k1):
    """The four words, in vectors of 64 bits of which the upper half is 0."""
    c0, c1, c2, c3 = counter

    def every(number):
        return ir.Constant(c0.type, [number] * c0.type.count)

    for _ in range(10):
        product_0, product_1 = builder.mul(every(0xD2511F53), c0), builder.mul(every(0xCD9E8D57), c2)
        c0, c1, c2, c3 = (
            builder.xor(builder.xor(builder.lshr(product_1, every(32)), c1), k0),
            builder.and_(product_1, every(_LOW)),
            builder.xor(builder.xor(builder.lshr(product_0, every(32)), c3), k1),
            builder.and_(product_0, every(_LOW)),
        )
        k0 = builder.and_(builder.add(k0, every(0x9E3779B9)), every(_LOW))
        k1 = builder.and_(builder.add(k1, every(0xBB67AE85)), every(_LOW))
    return c0, c1, c2, c3


def _everywhere(builder, number, kind):
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        first, first, ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    )


@inline
def _fours_of(task, size):
    """First index of a task and how many there are, for so many numbers; the last index may give too many."""
    first = task * _FOURS_PER_TASK
    return first, min(_FOURS_PER_TASK, (size + 3) // 4 - first)


@inline
def _drop_some(task, x, y, threshold, scale, key):
    words = np.empty(4 * _FOURS_PER_TASK, np.uint32)
    first, count = _fours_of(task, len(x))
    _draw(first, count, key, words)
    source, target = x[4 * first :], y[4 * first :]
    whole = min(count, len(source) // 4)
    for i in range(whole):
        for k in range(4):
            factor = scale if (words[k * _FOURS_PER_TASK + i] >> np.uint32(8)) >= threshold else scale * 0
            target[4 * i + k] = source[4 * i + k] * factor
    for k in range(min(4, len(source) - 4 * whole) if whole < count else 0):
        factor = scale if (words[k * _FOURS_PER_TASK + whole] >> np.uint32(8)) >= threshold else scale * 0
        target[4 * whole + k] = source[4 * whole + k] * factor


@parallel_kernel
def _dropout(pool, x, y, rate, factor, key):
    threshold = np.uint32(math.ceil(rate * 2.0**24))  # number·2**-24 >= rate, in whole numbers
    tasks = (len(x) + 4 * _FOURS_PER_TASK - 1) // (4 * _FOURS_PER_TASK)
    in_parallel(pool, tasks, _drop_some, (x, y, threshold, x.dtype.type(factor), key))


@inline
def _some_uniform(task, numbers, key):
    words = np.empty(4 * _FOURS_PER_TASK, np.uint32)
    first, count = _fours_of(task, len(numbers))
    _draw(first, count, key, words)
    target = numbers[4 * first :]
    whole = min(count, len(target) // 4)
    for i in range(whole):
        for k in range(4):
            target[4 * i + k] = (words[k * _FOURS_PER_TASK + i] >> np.uint32(8)) * np.float32(2.0**-24)
    for k in range(min(4, len(target) - 4 * whole) if whole < count else 0):
        target[4 * whole + k] = (words[k * _FOURS_PER_TASK + whole] >> np.uint32(8)) * np.float32(2.0**-24)


@parallel_kernel
def _uniform(pool, numbers, key):
    tasks = (len(numbers) + 4 * _FOURS_PER_TASK - 1) // (4 * _FOURS_PER_TASK)
    in_parallel(pool, tasks, _some_uniform, (numbers, key))


# ------------------------------------------------------------------------------------------------- normal numbers


@intrinsic
def _emit_normal(typingctx, pairs, start, count, target):
    """target[i] = the normal number of pair start + i, for i < count; pairs and target are float32."""
    index = types.int64
    return types.void(pairs, index, index, target), _emit_normal_numbers


def _emit_normal_numbers(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    pairs, start, count, target = emit.plain(signature.args, args)
    pairs, evens = emit.moved(pairs, builder.mul(start, emit.index(2))), [2 * i for i in range(emit.lanes)]
    with cgutils.for_range_slice(builder, emit.index(0), count, emit.index(emit.lanes), inc=True) as (i, _):
        here, inside = emit.moved(pairs, builder.mul(i, emit.index(2))), builder.sub(count, i)
        both = emit.load(here), emit.load(here, 1)
        u, v = (Numbers(emit, emit.shuffle(*both, [lane + odd for lane in evens])) for odd in (0, 1))
        emit.store_counted(normal_deviate(u, v).value, emit.moved(target, i), inside)
    return context.get_dummy_value()


@inline
def _some_normal(task, pairs, numbers):
    first = task * _NORMAL_PER_TASK
    count = min(_NORMAL_PER_TASK, len(numbers) - first)
    own, target = scratch(count, pairs), numbers[first : first + count]
    _emit_normal(pairs, first, count, own)
    for i in range(count):
        target[i] = own[i]


@parallel_kernel(typed=2)
def _normal(pool, pairs, numbers):
    tasks = (len(numbers) + _NORMAL_PER_TASK - 1) // _NORMAL_PER_TASK
    in_parallel(pool, tasks, _some_normal, (pairs, numbers))
