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
from minicnn.backends.numba.machine.vectors import I64, Emitter
from minicnn.backends.reference.random import elements_before, normal_deviate

_FOURS_PER_TASK = 1024
_FOURS_TOGETHER = 8  # drawn by one vector of 64-bit numbers a word
_DROPOUT_NANOSECONDS, _NORMAL_NANOSECONDS = 0.5, 2  # per number
_NORMAL_PER_TASK = 4096

_MULTIPLIERS, _WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def dropout(x: np.ndarray, y: np.ndarray, rate: float, seed: int, stream: int, iteration: int, first: int = 0) -> None:
    """See `minicnn.backends.reference.random.dropout`."""
    time, key = _DROPOUT_NANOSECONDS * x.size, _key(seed, stream, iteration, elements_before(first, x))
    _dropout.launch(time, x.reshape(-1), y.reshape(-1), float(np.float32(rate)), 1 / (1 - rate), key)


def uniform(numbers: np.ndarray, seed: int, stream: int, iteration: int, first: int = 0) -> None:
    """See `minicnn.backends.reference.random.uniform`."""
    key = _key(seed, stream, iteration, elements_before(first, numbers))
    _uniform.launch(_DROPOUT_NANOSECONDS * numbers.size, numbers.reshape(-1), key)


def normal(pairs: np.ndarray, numbers: np.ndarray) -> None:
    """See `minicnn.backends.reference.random.normal`."""
    _normal.launch(_NORMAL_NANOSECONDS * numbers.size, pairs.reshape(-1), numbers.reshape(-1))


def _key(seed, stream, iteration, first):
    """Counter and key of the generator but for the index of the four numbers, in 32-bit words; the first index."""
    words = stream, iteration, iteration >> 32, seed, seed >> 32, first // 4
    return np.array([number & 0xFFFFFFFF for number in words], np.uint64)


@inline
def _philox4x32(c0, c1, c2, c3, k0, k1):
    """Four random words, as `minicnn.random.philox4x32` defines them."""
    for _ in range(10):
        product_0, product_1 = np.uint64(_MULTIPLIERS[0]) * c0, np.uint64(_MULTIPLIERS[1]) * c2
        c0, c1, c2, c3 = (
            (product_1 >> _HALF) ^ c1 ^ k0,
            product_1 & _LOW,
            (product_0 >> _HALF) ^ c3 ^ k1,
            product_0 & _LOW,
        )
        k0, k1 = (k0 + np.uint64(_WEYL[0])) & _LOW, (k1 + np.uint64(_WEYL[1])) & _LOW
    return c0, c1, c2, c3


@inline
def _kept(word, threshold, scale):
    """`scale` if the number that the word stands for is at least the rate, else 0."""
    return scale if (word >> np.uint64(8)) >= threshold else scale * 0


@intrinsic
def _drop_together(typingctx, x, y, four, threshold, scale, key):
    """y = x, kept or dropped, for the numbers of `_FOURS_TOGETHER` fours."""
    return types.void(x, y, types.int64, types.uint64, x.dtype, key), _emit_drop_together


def _emit_drop_together(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    x, y, four, threshold, scale, key = emit.plain(signature.args, args)
    fours = Fours(builder)
    *key, start = (builder.load(emit.moved(key, emit.index(i))) for i in range(6))
    words = fours.philox4x32(builder.add(four, start), key)
    words = builder.lshr(words, ir.Constant(words.type, [8] * words.type.count))
    is_kept = builder.icmp_unsigned(">=", words, fours.splat(builder.trunc(threshold, words.type.element), words.type))
    numbers = ir.VectorType(scale.type, words.type.count)
    factor = builder.select(is_kept, fours.splat(scale, numbers), ir.Constant(numbers, [0.0] * numbers.count))
    at = builder.mul(four, emit.index(4))
    source, target = (builder.bitcast(emit.moved(a, at), numbers.as_pointer()) for a in (x, y))
    builder.store(builder.fmul(builder.load(source, align=emit.size), factor), target, align=emit.size)
    return context.get_dummy_value()


class Fours:
    """Phrases for the words of several fours at once: a vector of 64-bit numbers for each word.

    Only the lower halves count, so nothing is masked: a product takes no more than these.
    """

    def __init__(self, builder):
        self._builder = builder
        self._vector = ir.VectorType(I64, _FOURS_TOGETHER)

    def full(self, value):
        """A vector of one constant number."""
        return ir.Constant(self._vector, [value] * _FOURS_TOGETHER)

    def splat(self, scalar, vector):
        """The scalar in every lane of a vector of this type."""
        undefined = ir.Constant(vector, ir.Undefined)
        first = self._builder.insert_element(undefined, scalar, ir.Constant(I64, 0))
        return self._shuffle(first, undefined, [0] * vector.count)

    def philox4x32(self, four, key):
        """The words of the fours from this one on, as `minicnn.random.philox4x32` defines them: 32 bits, in order."""
        builder = self._builder
        indices = ir.Constant(self._vector, list(range(_FOURS_TOGETHER)))
        stream, iteration_low, iteration_high, *seed = (self.splat(word, self._vector) for word in key)
        c = [builder.add(self.splat(four, self._vector), indices), stream, iteration_low, iteration_high]
        for _ in range(10):
            product_0, product_1 = (self._product(m, word) for m, word in zip(_MULTIPLIERS, c[::2], strict=True))
            upper_0, upper_1 = (builder.lshr(product, self.full(32)) for product in (product_0, product_1))
            c = [self._mixed(upper_1, c[1], seed[0]), product_1, self._mixed(upper_0, c[3], seed[1]), product_0]
            seed = [builder.add(word, self.full(step)) for word, step in zip(seed, _WEYL, strict=True)]
        halves = [builder.trunc(word, ir.VectorType(ir.IntType(32), _FOURS_TOGETHER)) for word in c]
        pairs = [self._shuffle(x, y, range(2 * _FOURS_TOGETHER)) for x, y in (halves[:2], halves[2:])]
        order = [_FOURS_TOGETHER * word + four for four in range(_FOURS_TOGETHER) for word in range(4)]
        return self._shuffle(*pairs, order)

    def _product(self, multiplier, word):
        return self._builder.mul(self.full(multiplier), self._builder.and_(word, self.full(0xFFFFFFFF)))

    def _mixed(self, x, y, z):
        return self._builder.xor(self._builder.xor(x, y), z)

    def _shuffle(self, x, y, indices):
        vector = ir.VectorType(ir.IntType(32), len(indices))
        return self._builder.shuffle_vector(x, y, ir.Constant(vector, list(indices)))


@inline
def _drop_some(task, x, y, threshold, scale, key):
    stream, iteration_low, iteration_high, seed_low, seed_high, start = key
    first, last = task * _FOURS_PER_TASK, min((task + 1) * _FOURS_PER_TASK, len(x) // 4)
    whole = first + (last - first) // _FOURS_TOGETHER * _FOURS_TOGETHER
    for four in range(first, whole, _FOURS_TOGETHER):
        _drop_together(x, y, four, threshold, scale, key)
    for four in range(whole, last):
        words = _philox4x32(start + np.uint64(four), stream, iteration_low, iteration_high, seed_low, seed_high)
        for i in range(4):
            y[4 * four + i] = x[4 * four + i] * _kept(words[i], threshold, scale)


@parallel_kernel
def _dropout(pool, x, y, rate, factor, key):
    stream, iteration_low, iteration_high, seed_low, seed_high, start = key
    scale = x.dtype.type(factor)
    threshold = np.uint64(math.ceil(rate * 2.0**24))  # number·2**-24 >= rate, in whole numbers
    fours = len(x) // 4
    tasks = (fours + _FOURS_PER_TASK) // _FOURS_PER_TASK
    in_parallel(pool, tasks, _drop_some, (x, y, threshold, scale, key))
    words = _philox4x32(start + np.uint64(fours), stream, iteration_low, iteration_high, seed_low, seed_high)
    for i in range(len(x) - 4 * fours):
        y[4 * fours + i] = x[4 * fours + i] * _kept(words[i], threshold, scale)


@inline
def _some_uniform(task, numbers, key):
    stream, iteration_low, iteration_high, seed_low, seed_high, start = key
    first, last = 4 * task * _FOURS_PER_TASK, min(4 * (task + 1) * _FOURS_PER_TASK, len(numbers))
    for at in range(first, last, 4):
        words = _philox4x32(start + np.uint64(at // 4), stream, iteration_low, iteration_high, seed_low, seed_high)
        for i in range(min(4, last - at)):
            numbers[at + i] = (words[i] >> np.uint64(8)) * 2.0**-24


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
