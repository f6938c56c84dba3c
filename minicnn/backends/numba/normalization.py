"""Batch normalization, alone or with the addition and the ReLU behind it.

Forward, x is read twice: for the sums, and for the result. Backward too: for the sums of the gradients, and for dx.
Where ReLU was at work, x tells as well as y, which would be one more array to read, unless something was added before.
All sums are kept in double precision, chunk by chunk, around a number that is not far from the mean; so neither many
pixels nor a large mean cost any digit.
"""

import math
from typing import NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.bfloat16 import all_bfloat16, as_words, taking_bfloat16
from minicnn.backends.numba.machine.channels import over_channels, periods_of, repeat
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.fetching import load_ahead, written_ahead
from minicnn.backends.numba.machine.half import emitter_of
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.memory import fill, filled
from minicnn.backends.numba.machine.offsets import flat
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.wide import Wide, rows_of, store_sums
from minicnn.backends.reference.normalization import Affine, Moments, MovingAverages

_NANOSECONDS = 0.4  # that one core needs for an element, about


@taking_bfloat16(lambda x, y, *_, added=None: all_bfloat16(x, y, added))
def batch_norm(
    x: np.ndarray,
    y: np.ndarray,
    affine: Affine,
    moments: Moments,
    moving: MovingAverages,
    epsilon: float,
    training: bool,
    added: np.ndarray | None = None,
) -> None:
    """See `minicnn.backends.reference.normalization.batch_norm`."""
    state = _State(*_scale(affine, moments), moving.mean, moving.variance)
    rule = _Rule(float(moving.momentum), float(epsilon), bool(training), bool(affine.relu))
    p, (x, added, y) = periods_of(x.size, x.shape[-1], moments.mean.itemsize), as_words(x, added, y)
    arrays = x.reshape(-1), flat(added, x.dtype), y.reshape(-1)
    _batch_norm.launch(_NANOSECONDS * x.size, *arrays, state, rule, p, chunks=p.chunks)


@taking_bfloat16(lambda x, y, dy, affine, moments, *out: all_bfloat16(x, y, dy, *out[:2]))
def batch_norm_backward(
    x: np.ndarray,
    y: np.ndarray | None,
    dy: np.ndarray,
    affine: Affine,
    moments: Moments,
    dx: np.ndarray | None,
    dadded: np.ndarray | None,
    dgamma: np.ndarray | None,
    dbeta: np.ndarray | None,
    training: bool,
) -> None:
    """See `minicnn.backends.reference.normalization.batch_norm_backward`."""
    numbers = moments.mean.dtype
    p, rule = periods_of(x.size, x.shape[-1], numbers.itemsize), (bool(affine.relu), bool(training))
    x, y, dy, dx, dadded = as_words(x, y, dy, dx, dadded)
    incoming = _Incoming(x.reshape(-1), flat(y, x.dtype), dy.reshape(-1))
    out = _Gradients(flat(dx, x.dtype), flat(dadded, x.dtype), flat(dgamma, numbers), flat(dbeta, numbers))
    arguments = *incoming, out, _scale(affine, moments), *rule, p
    _batch_norm_backward.launch(_NANOSECONDS * x.size, *arguments, chunks=p.chunks)


def _scale(affine, moments):
    dtype = moments.mean.dtype
    return _Scale(flat(affine.gamma, dtype), flat(affine.beta, dtype), *moments)


class _State(NamedTuple):
    """Numbers of the channels."""

    gamma: np.ndarray  # empty: ones
    beta: np.ndarray  # empty: zeros
    mean: np.ndarray
    inverse_std: np.ndarray
    moving_mean: np.ndarray
    moving_variance: np.ndarray


class _Rule(NamedTuple):
    """How they are used."""

    momentum: float
    epsilon: float
    training: bool
    relu: bool


class _Scale(NamedTuple):
    """What the gradient needs of them."""

    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    inverse_std: np.ndarray


class _Incoming(NamedTuple):
    """What the gradient is computed from."""

    x: np.ndarray
    y: np.ndarray  # empty unless it tells where a ReLU was at work
    dy: np.ndarray


class _Gradients(NamedTuple):
    """What it is written to; empty where nobody wants it."""

    dx: np.ndarray
    dadded: np.ndarray
    dgamma: np.ndarray
    dbeta: np.ndarray


# ------------------------------------------------------------------------------------------------------- forward


class _Sums(NamedTuple):
    """A chunk's sums of what is around a centre."""

    x: np.ndarray
    table: np.ndarray  # float64; rows of `padded` numbers: the centre, then two rows of sums for each chunk
    padded: int
    own: int  # first of the chunk's sums


@intrinsic
def _add_squares(typingctx, operands, start, rows, stride, column, count):
    """sums += x - centre and squares += (x - centre)², for one vector of every row, `stride` apart."""
    index = types.int64
    return types.void(operands, index, index, index, index, index), _emit_add_squares


def _emit_add_squares(context, builder, signature, args):
    emit = emitter_of(context, builder, signature.args[0])
    operands, start, rows, stride, column, count = emit.plain(signature.args, args)
    x, wide = emit.moved(operands.x, start), Wide(emit)
    centre = wide.load(emit.moved(operands.table, column))
    rows_of_sums = rows_of(emit, operands.table, operands.own, operands.padded, column, 2)
    sums, squares = emit.registers([wide.load(row) for row in rows_of_sums])
    with cgutils.for_range(builder, rows) as loop:
        value = builder.fsub(wide.of(load_ahead(emit, emit.moved(x, builder.mul(loop.index, stride)))), centre)
        builder.store(builder.fadd(builder.load(sums), value), sums)
        builder.store(wide.multiply_add(value, value, builder.load(squares)), squares)
    store_sums(emit, (sums, squares), rows_of_sums, count)
    return context.get_dummy_value()


_sum_squares = over_channels(_add_squares)


@inline
def _sum_chunk(chunk, x, table, p):
    _sum_squares(_Sums(x, table, p.padded, (1 + 2 * chunk) * p.padded), p, chunk)


@inline
def _total(table, p, which, c):
    """A channel's sums of all chunks, in their order."""
    total = 0.0
    for chunk in range(p.chunks):
        start = (1 + 2 * chunk + which) * p.padded
        for first in range(start, start + p.period, p.channels):
            total += table[first + c]
    return total


@inline
def _take_moments(table, state, p, variance):
    """mean and variance from the sums; the centre of the next sums is the mean."""
    share = p.channels / p.size
    for c in range(p.channels):
        mean = _total(table, p, 0, c) * share
        variance[c] = _total(table, p, 1, c) * share - mean * mean
        if variance[c] < 0:
            variance[c] = 0
        for i in range(c, p.period, p.channels):
            table[i] += mean
        state.mean[c] = table[c]
    fill(table, p.padded, 2 * p.chunks * p.padded, 0)


@inline
def _follow(rule, state, variance):
    """Let the moving averages follow the batch's moments; or take them instead."""
    number = state.mean.dtype.type
    follow = number(1 - rule.momentum)
    for c in range(len(variance)):
        if rule.training:
            state.moving_mean[c] += follow * (state.mean[c] - state.moving_mean[c])
            state.moving_variance[c] += follow * (number(variance[c]) - state.moving_variance[c])
        else:
            state.mean[c], variance[c] = state.moving_mean[c], state.moving_variance[c]
        state.inverse_std[c] = number(1 / math.sqrt(variance[c] + rule.epsilon))


@inline
def _affine(state, p, rows, like):
    """Rows of numbers for a period: mean, scale, shift; and further ones, still zero."""
    table = filled(rows * p.padded, 0, like)
    for i in range(p.period):
        c = i % p.channels
        table[i], table[p.padded + i] = state.mean[c], state.inverse_std[c]
        if len(state.gamma) > 0:
            table[p.padded + i] *= state.gamma[c]
        if len(state.beta) > 0:
            table[2 * p.padded + i] = state.beta[c]
    return table


class _Normalized(NamedTuple):
    """y = (x - mean) · scale + shift, plus what is added, at least floor."""

    x: np.ndarray
    y: np.ndarray
    added: np.ndarray
    table: np.ndarray  # rows of `padded` numbers: mean, scale, shift
    padded: int
    has_added: bool
    relu: bool


@intrinsic
def _normalize(typingctx, operands, start, rows, stride, column, count):
    """y of one vector of every row."""
    index = types.int64
    return types.void(operands, index, index, index, index, index), _emit_normalize


def _emit_normalize(context, builder, signature, args):
    emit = emitter_of(context, builder, signature.args[0])
    operands, start, rows, stride, column, count = emit.plain(signature.args, args)
    mean, scale, shift = _rows_of_numbers(emit, operands, column, 3)
    floor = builder.select(operands.relu, emit.full(0.0), emit.full(-np.inf))
    added = builder.select(operands.has_added, operands.added, operands.x)
    counts, zero = emit.splat(operands.has_added), emit.full(0.0)
    with cgutils.for_range(builder, rows) as loop:
        offset = builder.add(start, builder.mul(loop.index, stride))
        centred = builder.fsub(load_ahead(emit, emit.moved(operands.x, offset)), mean)
        value = emit.multiply_add(centred, scale, shift)
        value = builder.fadd(value, builder.select(counts, load_ahead(emit, emit.moved(added, offset)), zero))
        emit.store_counted(emit.at_least(floor, value), written_ahead(emit, emit.moved(operands.y, offset)), count)
    return context.get_dummy_value()


_normalize_rows = over_channels(_normalize)


@inline
def _normalize_chunk(chunk, x, added, y, table, relu, p):
    _normalize_rows(_Normalized(x, y, added, table, p.padded, len(added) > 0, relu), p, chunk)


@parallel_kernel
def _batch_norm(pool, x, added, y, state, rule, p):
    variance = np.empty(p.channels, np.float64)
    if rule.training:
        sums = filled((1 + 2 * p.chunks) * p.padded, 0, variance)
        repeat(x, p, sums)  # the first pixel is not far from the mean, as a rule
        for _ in range(state.mean.itemsize // 4):  # float64: once more, now around the mean
            in_parallel(pool, p.chunks, _sum_chunk, (x, sums, p))
            _take_moments(sums, state, p, variance)
    _follow(rule, state, variance)
    table = _affine(state, p, 3, state.mean)
    in_parallel(pool, p.chunks, _normalize_chunk, (x, added, y, table, rule.relu, p))


# ------------------------------------------------------------------------------------------------------ backward


class _GradientSums(NamedTuple):
    """A chunk's sums of dy, where y is positive, and of dy · (x - mean); that dy is kept in `dadded`."""

    x: np.ndarray
    y: np.ndarray
    dy: np.ndarray
    dadded: np.ndarray
    table: np.ndarray  # as in `_Normalized`
    sums: np.ndarray  # the table of `_Sums`
    padded: int
    own: int
    relu: bool
    has_y: bool
    has_added: bool


@intrinsic
def _add_products(typingctx, operands, start, rows, stride, column, count):
    """The sums of one vector of every row."""
    index = types.int64
    return types.void(operands, index, index, index, index, index), _emit_add_products


def _emit_add_products(context, builder, signature, args):
    emit = emitter_of(context, builder, signature.args[0])
    operands, start, rows, stride, column, count = emit.plain(signature.args, args)
    wide = Wide(emit)
    mean, *affine = _rows_of_numbers(emit, operands, column, 3)
    rows_of_sums = rows_of(emit, operands.sums, operands.own, operands.padded, column, 2)
    sums, products = emit.registers([wide.load(row) for row in rows_of_sums])
    with cgutils.for_range(builder, rows) as loop:
        offset = builder.add(start, builder.mul(loop.index, stride))
        centred = builder.fsub(load_ahead(emit, emit.moved(operands.x, offset)), mean)
        gradient = _emit_masked(emit, operands, offset, centred, *affine)
        with builder.if_then(operands.has_added):
            emit.store_counted(gradient, written_ahead(emit, emit.moved(operands.dadded, offset)), count)
        gradient, centred = wide.of(gradient), wide.of(centred)
        builder.store(builder.fadd(builder.load(sums), gradient), sums)
        builder.store(wide.multiply_add(gradient, centred, builder.load(products)), products)
    store_sums(emit, (sums, products), rows_of_sums, count)
    return context.get_dummy_value()


def _rows_of_numbers(emit, operands, column, count):
    return [emit.load(row) for row in rows_of(emit, operands.table, emit.index(0), operands.padded, column, count)]


def _emit_masked(emit, operands, offset, centred, scale, shift):
    """One vector of dy; with a ReLU where its input is positive or NaN.

    That is y, or the same as `_emit_normalize` computed, to the bit: reading y would take longer.
    """
    builder = emit.builder
    gradient = load_ahead(emit, emit.moved(operands.dy, offset))
    y = load_ahead(emit, emit.moved(builder.select(operands.has_y, operands.y, operands.dy), offset))
    y = builder.select(emit.splat(operands.has_y), y, emit.multiply_add(centred, scale, shift))
    passes = builder.fcmp_unordered(">", y, emit.least_passing(operands.relu))
    return builder.select(passes, gradient, emit.full(0.0))


_sum_products = over_channels(_add_products)


@inline
def _gradient_sums_chunk(chunk, x, y, dy, dadded, table, sums, relu, p):
    tables = table, sums, p.padded, (1 + 2 * chunk) * p.padded
    _sum_products(_GradientSums(x, y, dy, dadded, *tables, relu, len(y) > 0, len(dadded) > 0), p, chunk)


class _InputGradient(NamedTuple):
    """dx = dy · scale + (x - mean) · slope + shift."""

    x: np.ndarray
    y: np.ndarray
    dy: np.ndarray
    dx: np.ndarray
    table: np.ndarray  # rows of `padded` numbers: as in `_Normalized`, then slope and shift of the gradient
    padded: int
    relu: bool
    has_y: bool


@intrinsic
def _normalize_gradient(typingctx, operands, start, rows, stride, column, count):
    """dx of one vector of every row."""
    index = types.int64
    return types.void(operands, index, index, index, index, index), _emit_normalize_gradient


def _emit_normalize_gradient(context, builder, signature, args):
    emit = emitter_of(context, builder, signature.args[0])
    operands, start, rows, stride, column, count = emit.plain(signature.args, args)
    mean, *affine, slope, shift = _rows_of_numbers(emit, operands, column, 5)
    with cgutils.for_range(builder, rows) as loop:
        offset = builder.add(start, builder.mul(loop.index, stride))
        centred = builder.fsub(load_ahead(emit, emit.moved(operands.x, offset)), mean)
        value = emit.multiply_add(centred, slope, shift)
        value = emit.multiply_add(_emit_masked(emit, operands, offset, centred, *affine), affine[0], value)
        emit.store_counted(value, written_ahead(emit, emit.moved(operands.dx, offset)), count)
    return context.get_dummy_value()


_normalize_gradient_rows = over_channels(_normalize_gradient)


@inline
def _input_gradient_chunk(chunk, x, y, dy, out, table, relu, p):
    is_masked = len(out.dadded) > 0  # by the first pass
    gradient = out.dadded if is_masked else dy
    own = relu and not is_masked, len(y) > 0 and not is_masked
    _normalize_gradient_rows(_InputGradient(x, y, gradient, out.dx, table, p.padded, *own), p, chunk)


@inline
def _close_gradients(sums, out, state, training, p, table):
    """dbeta and dgamma from the sums; slope and shift of dx."""
    for c in range(p.channels):
        dbeta, dgamma = _total(sums, p, 0, c), _total(sums, p, 1, c) * state.inverse_std[c]
        scale = np.float64(state.inverse_std[c])
        if len(state.gamma) > 0:
            scale *= state.gamma[c]
        share = -scale * p.channels / p.size if training else 0.0
        for i in range(c, p.period, p.channels):
            table[3 * p.padded + i] = share * dgamma * state.inverse_std[c]
            table[4 * p.padded + i] = share * dbeta
        if len(out.dbeta) > 0:
            out.dbeta[c] = dbeta
        if len(out.dgamma) > 0:
            out.dgamma[c] = dgamma


@parallel_kernel
def _batch_norm_backward(pool, x, y, dy, out, state, relu, training, p):
    sums, table = filled((1 + 2 * p.chunks) * p.padded, 0, np.float64), _affine(state, p, 5, state.mean)
    in_parallel(pool, p.chunks, _gradient_sums_chunk, (x, y, dy, out.dadded, table, sums, relu, p))
    _close_gradients(sums, out, state, training, p, table)
    in_parallel(pool, p.chunks if len(out.dx) > 0 else 0, _input_gradient_chunk, (x, y, dy, out, table, relu, p))
