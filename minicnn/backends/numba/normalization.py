"""Batch normalization, alone or with the addition and the ReLU behind it.

Forward, x is read twice: for the sums, and for the result. Backward too: for the sums of the gradients, and for dx. All
sums are kept in double precision, chunk by chunk, around a number that is not far from the mean; so neither many pixels
nor a large mean cost any digit.
"""

import math
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import prange
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.channels import Periods, over_channels, periods_of, repeat, repeated
from minicnn.backends.numba.machine.launch import inline, parallel_kernel
from minicnn.backends.numba.machine.memory import filled
from minicnn.backends.numba.machine.offsets import flat
from minicnn.backends.numba.machine.vectors import Emitter
from minicnn.backends.reference.normalization import Moments, MovingAverages

_NANOSECONDS = 0.4  # that one core needs for an element, about


def batch_norm(
    x: np.ndarray,
    y: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    moments: Moments,
    moving: MovingAverages,
    epsilon: float,
    training: bool,
    added: np.ndarray | None = None,
    relu: bool = False,
) -> None:
    """See `minicnn.backends.reference.normalization.batch_norm`."""
    state = _State(flat(gamma, x.dtype), flat(beta, x.dtype), *moments, moving.mean, moving.variance)
    rule = _Rule(float(moving.momentum), float(epsilon), bool(training), bool(relu))
    p = periods_of(x.size, x.shape[-1], x.itemsize)
    arrays = x.reshape(-1), flat(added, x.dtype), y.reshape(-1)
    _batch_norm.launch(_NANOSECONDS * x.size, *arrays, state, rule, p, chunks=p.chunks)


def batch_norm_backward(
    x: np.ndarray,
    y: np.ndarray | None,
    dy: np.ndarray,
    gamma: np.ndarray | None,
    moments: Moments,
    dx: np.ndarray | None,
    dadded: np.ndarray | None,
    dgamma: np.ndarray | None,
    dbeta: np.ndarray | None,
    training: bool,
) -> None:
    """See `minicnn.backends.reference.normalization.batch_norm_backward`."""
    incoming = _Incoming(x.reshape(-1), flat(y, x.dtype), dy.reshape(-1))
    out = _Gradients(flat(dx, x.dtype), flat(dadded, x.dtype), flat(dgamma, x.dtype), flat(dbeta, x.dtype))
    p, state = periods_of(x.size, x.shape[-1], x.itemsize), _Scale(flat(gamma, x.dtype), *moments)
    _batch_norm_backward.launch(_NANOSECONDS * x.size, *incoming, out, state, bool(training), p, chunks=p.chunks)


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
    mean: np.ndarray
    inverse_std: np.ndarray


class _Incoming(NamedTuple):
    """What the gradient is computed from."""

    x: np.ndarray
    y: np.ndarray  # empty without ReLU
    dy: np.ndarray


class _Gradients(NamedTuple):
    """What it is written to; empty where nobody wants it."""

    dx: np.ndarray
    dadded: np.ndarray
    dgamma: np.ndarray
    dbeta: np.ndarray


# ------------------------------------------------------------------------------------------------------- forward


class _Sums(NamedTuple):
    """A chunk's sums of what is around `centre`."""

    x: np.ndarray
    centre: np.ndarray  # float64
    sums: np.ndarray  # float64
    squares: np.ndarray  # float64


@intrinsic
def _add_squares(typingctx, operands, start, rows, stride, column, count):
    """sums += x - centre and squares += (x - centre)², for one vector of every row, `stride` apart."""
    index = types.int64
    return types.void(operands, index, index, index, index, index), _emit_add_squares


def _emit_add_squares(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    operands, start, rows, stride, column, count = emit.plain(signature.args, args)
    x, wide = emit.moved(operands.x, start), _Wide(emit)
    centre, inside = wide.load(operands.centre, column), emit.below(count)
    sums, squares = emit.registers([wide.load(a, column) for a in (operands.sums, operands.squares)])
    with cgutils.for_range(builder, rows) as loop:
        value = wide.of(emit.load(emit.moved(x, builder.mul(loop.index, stride))))
        value = builder.select(inside, builder.fsub(value, centre), wide.zero)
        builder.store(builder.fadd(builder.load(sums), value), sums)
        builder.store(wide.multiply_add(value, value, builder.load(squares)), squares)
    wide.store(builder.load(sums), operands.sums, column)
    wide.store(builder.load(squares), operands.squares, column)
    return context.get_dummy_value()


class _Wide:
    """Phrases for vectors of as many float64 numbers as the emitter's vectors have lanes."""

    def __init__(self, emit):
        self._emit, self._builder = emit, emit.builder
        self._vector = ir.VectorType(ir.DoubleType(), emit.lanes)
        self.zero = ir.Constant(self._vector, [0.0] * emit.lanes)

    def of(self, vector):
        return vector if self._emit.size == 8 else self._builder.fpext(vector, self._vector)

    def multiply_add(self, x, y, z):
        return self._builder.fadd(self._builder.fmul(x, y, flags=["contract"]), z, flags=["contract"])

    def load(self, pointer, column):
        return self._builder.load(self._pointer(pointer, column), align=8)

    def store(self, value, pointer, column):
        """Of scratch memory: all lanes."""
        self._builder.store(value, self._pointer(pointer, column), align=8)

    def _pointer(self, pointer, column):
        return self._builder.bitcast(self._emit.moved(pointer, column), self._vector.as_pointer())


_sum_squares = over_channels(_add_squares)


@inline
def _sum_chunk(x, centre, sums, squares, p, chunk):
    first, last = chunk * p.padded, (chunk + 1) * p.padded
    _sum_squares(_Sums(x, centre, sums[first:last], squares[first:last]), p, chunk)


@inline
def _totals(parts, p, scale, totals):
    """totals[c] = scale · the sum of all chunks' parts (chunks, padded), in their order."""
    for c in range(p.channels):
        total = 0.0
        for chunk in range(p.chunks):
            for first in range(chunk * p.padded, chunk * p.padded + p.period, p.channels):
                total += parts[first + c]
        totals[c] = total * scale


@inline
def _close_variance(rule, state, variance):
    """Take the batch's moments, and let the moving averages follow them."""
    number = state.mean.dtype.type
    follow = number(1 - rule.momentum)
    for c in range(len(variance)):
        state.inverse_std[c] = number(1 / math.sqrt(variance[c] + rule.epsilon))
        state.moving_mean[c] += follow * (state.mean[c] - state.moving_mean[c])
        state.moving_variance[c] += follow * (number(variance[c]) - state.moving_variance[c])


class _Normalized(NamedTuple):
    """y = (x - mean) · scale + shift, plus what is added, at least floor."""

    x: np.ndarray
    y: np.ndarray
    added: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    has_added: bool
    relu: bool


@intrinsic
def _normalize(typingctx, operands, start, rows, stride, column, count):
    """y of one vector of every row."""
    index = types.int64
    return types.void(operands, index, index, index, index, index), _emit_normalize


def _emit_normalize(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    operands, start, rows, stride, column, count = emit.plain(signature.args, args)
    mean, scale, shift = (emit.load(emit.moved(a, column)) for a in operands[3:6])
    floor = builder.select(operands.relu, emit.full(0.0), emit.full(-np.inf))
    with builder.if_else(operands.has_added) as (with_added, alone):
        for branch, adds in ((with_added, True), (alone, False)):
            with branch, cgutils.for_range(builder, rows) as loop:
                offset = builder.add(start, builder.mul(loop.index, stride))
                centred = builder.fsub(emit.load(emit.moved(operands.x, offset)), mean)
                value = emit.multiply_add(centred, scale, shift)
                if adds:
                    value = builder.fadd(value, emit.load(emit.moved(operands.added, offset)))
                emit.store_counted(emit.at_least(floor, value), emit.moved(operands.y, offset), count)
    return context.get_dummy_value()


_normalize_rows = over_channels(_normalize)


@inline
def _normalize_chunk(x, added, y, mean, scale, shift, relu, p, chunk):
    _normalize_rows(_Normalized(x, y, added, mean, scale, shift, len(added) > 0, relu), p, chunk)


@parallel_kernel
def _batch_norm(x, added, y, state, rule, p):
    wide = np.empty(0, np.float64)
    variance = np.empty(p.channels, np.float64)
    if rule.training:
        centres, means = np.empty(p.channels, np.float64), np.empty(p.channels, np.float64)
        for c in range(p.channels):
            centres[c] = x[c]
        for _ in range(x.itemsize // 4):  # float64: once more, now around the mean
            centre = repeated(centres, p, wide)
            sums, squares = filled(p.chunks * p.padded, 0, wide), filled(p.chunks * p.padded, 0, wide)
            for chunk in prange(p.chunks):
                _sum_chunk(x, centre, sums, squares, p, chunk)
            count = p.size // p.channels
            _totals(sums, p, 1 / count, means)
            _totals(squares, p, 1 / count, variance)
            for c in range(p.channels):
                variance[c] -= means[c] * means[c]
                if variance[c] < 0:
                    variance[c] = 0
                centres[c] += means[c]
                state.mean[c] = centres[c]
        _close_variance(rule, state, variance)
    else:
        for c in range(p.channels):
            state.mean[c] = state.moving_mean[c]
            state.inverse_std[c] = 1 / math.sqrt(state.moving_variance[c] + rule.epsilon)
    mean, scale = repeated(state.mean, p, x), repeated(state.inverse_std, p, x)
    shift = filled(p.padded, 0, x)
    if len(state.beta) > 0:
        repeat(state.beta, p, shift)
    if len(state.gamma) > 0:
        for i in range(p.period):
            scale[i] *= state.gamma[i % p.channels]
    for chunk in prange(p.chunks):
        _normalize_chunk(x, added, y, mean, scale, shift, rule.relu, p, chunk)


# ------------------------------------------------------------------------------------------------------ backward


class _GradientSums(NamedTuple):
    """A chunk's sums of dy, where y is positive, and of dy · (x - mean); that dy is kept in `dadded`."""

    x: np.ndarray
    y: np.ndarray
    dy: np.ndarray
    dadded: np.ndarray
    mean: np.ndarray
    sums: np.ndarray  # float64
    products: np.ndarray  # float64
    has_relu: bool
    has_added: bool


@intrinsic
def _add_products(typingctx, operands, start, rows, stride, column, count):
    """The sums of one vector of every row."""
    index = types.int64
    return types.void(operands, index, index, index, index, index), _emit_add_products


def _emit_add_products(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    operands, start, rows, stride, column, count = emit.plain(signature.args, args)
    wide, inside, mean = _Wide(emit), emit.below(count), emit.load(emit.moved(operands.mean, column))
    sums, products = emit.registers([wide.load(a, column) for a in (operands.sums, operands.products)])
    with cgutils.for_range(builder, rows) as loop:
        offset = builder.add(start, builder.mul(loop.index, stride))
        gradient = _emit_masked(emit, operands, offset, inside)
        with builder.if_then(operands.has_added):
            emit.store_counted(gradient, emit.moved(operands.dadded, offset), count)
        centred = builder.fsub(emit.load(emit.moved(operands.x, offset)), mean)
        centred = builder.select(inside, centred, emit.full(0.0))
        gradient, centred = wide.of(gradient), wide.of(centred)
        builder.store(builder.fadd(builder.load(sums), gradient), sums)
        builder.store(wide.multiply_add(gradient, centred, builder.load(products)), products)
    wide.store(builder.load(sums), operands.sums, column)
    wide.store(builder.load(products), operands.products, column)
    return context.get_dummy_value()


def _emit_masked(emit, operands, offset, inside=None):
    """One vector of dy, where y is positive if there is a ReLU."""
    builder, zero = emit.builder, emit.full(0.0)
    gradient = emit.load(emit.moved(operands.dy, offset))
    y = emit.load(emit.moved(builder.select(operands.has_relu, operands.y, operands.dy), offset))
    counts = builder.or_(emit.splat(builder.not_(operands.has_relu)), builder.fcmp_ordered(">", y, zero))
    return builder.select(counts if inside is None else builder.and_(counts, inside), gradient, zero)


_sum_products = over_channels(_add_products)


@inline
def _gradient_sums_chunk(x, y, dy, dadded, mean, sums, products, p, chunk):
    first, last = chunk * p.padded, (chunk + 1) * p.padded
    flags = len(y) > 0, len(dadded) > 0
    _sum_products(_GradientSums(x, y, dy, dadded, mean, sums[first:last], products[first:last], *flags), p, chunk)


class _InputGradient(NamedTuple):
    """dx = dy · scale - (x - mean) · slope - shift."""

    x: np.ndarray
    y: np.ndarray
    dy: np.ndarray
    dx: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    slope: np.ndarray
    shift: np.ndarray
    has_relu: bool


@intrinsic
def _normalize_gradient(typingctx, operands, start, rows, stride, column, count):
    """dx of one vector of every row."""
    index = types.int64
    return types.void(operands, index, index, index, index, index), _emit_normalize_gradient


def _emit_normalize_gradient(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    operands, start, rows, stride, column, count = emit.plain(signature.args, args)
    mean, scale, slope, shift = (emit.load(emit.moved(a, column)) for a in operands[4:8])
    with cgutils.for_range(builder, rows) as loop:
        offset = builder.add(start, builder.mul(loop.index, stride))
        centred = builder.fsub(emit.load(emit.moved(operands.x, offset)), mean)
        value = emit.multiply_add(centred, slope, shift)
        value = emit.multiply_add(_emit_masked(emit, operands, offset), scale, value)
        emit.store_counted(value, emit.moved(operands.dx, offset), count)
    return context.get_dummy_value()


_normalize_gradient_rows = over_channels(_normalize_gradient)


@inline
def _input_gradient_chunk(x, y, dy, out, mean, scale, slope, shift, p, chunk):
    is_masked = len(out.dadded) > 0  # by the first pass
    gradient = out.dadded if is_masked else dy
    has_relu = len(y) > 0 and not is_masked
    _normalize_gradient_rows(_InputGradient(x, y, gradient, out.dx, mean, scale, slope, shift, has_relu), p, chunk)


@parallel_kernel
def _batch_norm_backward(x, y, dy, out, state, training, p):
    wide = np.empty(0, np.float64)
    mean = repeated(state.mean, p, x)
    sums, products = filled(p.chunks * p.padded, 0, wide), filled(p.chunks * p.padded, 0, wide)
    for chunk in prange(p.chunks):
        _gradient_sums_chunk(x, y, dy, out.dadded, mean, sums, products, p, chunk)
    dbeta, dgamma = np.empty(p.channels, np.float64), np.empty(p.channels, np.float64)
    _totals(sums, p, 1.0, dbeta)
    _totals(products, p, 1.0, dgamma)
    scales, slopes, shifts = np.empty(p.channels, np.float64), np.zeros(p.channels), np.zeros(p.channels)
    for c in range(p.channels):
        dgamma[c] *= state.inverse_std[c]
        scales[c] = state.inverse_std[c] * (np.float64(state.gamma[c]) if len(state.gamma) > 0 else 1.0)
        if training:
            share = -scales[c] * p.channels / p.size
            slopes[c], shifts[c] = share * dgamma[c] * state.inverse_std[c], share * dbeta[c]
        if len(out.dbeta) > 0:
            out.dbeta[c] = dbeta[c]
        if len(out.dgamma) > 0:
            out.dgamma[c] = dgamma[c]
    if len(out.dx) > 0:
        scale, slope, shift = repeated(scales, p, x), repeated(slopes, p, x), repeated(shifts, p, x)
        for chunk in prange(p.chunks):
            _input_gradient_chunk(x, y, dy, out, mean, scale, slope, shift, p, chunk)
