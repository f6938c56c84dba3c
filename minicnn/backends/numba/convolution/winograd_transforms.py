"""The transforms of Winograd's convolution, as vector code over channels.

A tile of 4 x 4 outputs of a 3 x 3 convolution is a product of polynomials in disguise: transform the 6 x 6 inputs and
the 3 x 3 kernel, multiply number by number, transform back. That is 36 products in place of 144. (Winograd: "Arithmetic
Complexity of Computations", 1980; Lavin and Gray: "Fast Algorithms for Convolutional Neural Networks", 2016.) So is a
tile of 2 x 2 outputs of a 5 x 5 convolution, with the same transform of the 6 x 6 inputs: 36 products in place of 100.

How many taps there are along an axis is the length of a tuple, `taps`: numba knows it when it compiles.

Along one axis the transforms evaluate polynomials at 0, ±a, ±b and infinity. With a = 3/4 and b = 3/2 all constants of
`_inputs` are exact, and rounding errors are about half of those at the usual 1 and 2 (bounds are in
`tests/test_convolution_kernels.py`).
"""

from functools import lru_cache, partial
from typing import NamedTuple

from numba.core import types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.finite import emit_all_finite
from minicnn.backends.numba.machine.vectors import Emitter
from minicnn.backends.numba.pooling import emit_cell

TILE_OUTPUTS, TILE_KERNEL = 4, 3  # along each axis of a tile
TILE_INPUTS = TILE_OUTPUTS + TILE_KERNEL - 1
TILE_NUMBERS = TILE_INPUTS * TILE_INPUTS  # of a transformed tile


def tile_outputs(taps: int) -> int:
    """Outputs along each axis of a tile, for so many taps along it: `TILE_OUTPUTS` for `TILE_KERNEL`."""
    return TILE_INPUTS - taps + 1


@lru_cache
def tiles_along(size: int, dilation: int, outputs: int = TILE_OUTPUTS) -> list[tuple[int, int]]:
    """(first output, outputs inside) of every tile along an axis.

    Dilated taps meet every `dilation`-th pixel: each of these sets of pixels is an image by itself, with tiles of its
    own, whose pixels lie `dilation` apart.
    """
    ends = [(phase, -(-(size - phase) // dilation)) for phase in range(min(dilation, size))]
    return [(p + k * dilation, min(outputs, n - k)) for p, n in ends for k in range(0, n, outputs)]


_A, _B = 0.75, 1.5
_A2, _B2 = _A * _A, _B * _B
# The derivative of x (x² - a²) (x² - b²) at its zeros: what Lagrange's interpolation divides by.
_AT_ZERO, _AT_A, _AT_B = _A2 * _B2, 2 * _A2 * (_A2 - _B2), 2 * _B2 * (_B2 - _A2)


# ------------------------------------------------------------------------------------------- along one axis


def _sum_of(emit, *terms):
    """The sum of (factor, vector) pairs."""
    factor, vector = terms[0]
    total = vector if factor == 1 else emit.builder.fmul(emit.full(factor), vector)
    for factor, vector in terms[1:]:
        total = emit.multiply_add(emit.full(factor), vector, total)
    return total


def _plus_minus(emit, x, y):
    return [emit.builder.fadd(x, y), emit.builder.fsub(x, y)]


def _inputs(emit, d):
    """6 inputs to 6 numbers."""
    return [
        _sum_of(emit, (1, d[4]), (-(_A2 + _B2), d[2]), (_AT_ZERO, d[0])),
        *_plus_minus(emit, _sum_of(emit, (1, d[4]), (-_B2, d[2])), _sum_of(emit, (_A, d[3]), (-_A * _B2, d[1]))),
        *_plus_minus(emit, _sum_of(emit, (1, d[4]), (-_A2, d[2])), _sum_of(emit, (_B, d[3]), (-_B * _A2, d[1]))),
        _sum_of(emit, (1, d[5]), (-(_A2 + _B2), d[3]), (_AT_ZERO, d[1])),
    ]


def _factors(emit, g):
    """The taps of a kernel to 6 numbers."""

    def at(point, divisor, first):
        terms = [(point**power / divisor, g[power]) for power in range(first, len(g), 2)]
        return _sum_of(emit, *terms)

    return [
        _sum_of(emit, (1 / _AT_ZERO, g[0])),
        *_plus_minus(emit, at(_A, _AT_A, 0), at(_A, _AT_A, 1)),
        *_plus_minus(emit, at(_B, _AT_B, 0), at(_B, _AT_B, 1)),
        g[-1],
    ]


def _outputs(emit, m, count):
    """6 numbers to so many outputs."""
    at_a, at_b = _plus_minus(emit, m[1], m[2]), _plus_minus(emit, m[3], m[4])
    results = []
    for power in range(count):
        terms = [(_A**power, at_a[power % 2]), (_B**power, at_b[power % 2])]
        if power == 0:
            terms.append((1, m[0]))
        if power == count - 1:
            terms.append((1, m[5]))
        results.append(_sum_of(emit, *terms))
    return results


def _along_both(emit, transform, size, load):
    """A transform along the columns, then the rows, of size · size vectors; load(i, j) gives one."""
    rows = [transform(emit, [load(i, j) for j in range(size)]) for i in range(size)]
    columns = [transform(emit, list(column)) for column in zip(*rows, strict=True)]
    return list(zip(*columns, strict=True))


# ------------------------------------------------------------------------------------------------ intrinsics


class Extent(NamedTuple):
    """What of a tile is inside the outputs, or cells, and how these lie in memory."""

    row_stride: int  # elements from row to row
    stride: int  # from pixel to pixel
    height: int  # pixels
    width: int
    count: int  # filters from here on
    taps: tuple[int, ...]  # of the kernel, along an axis


def _offset(emit, row_stride, stride, i, j):
    """Of the pixel in row i, column j."""
    builder = emit.builder
    return builder.add(builder.mul(row_stride, emit.index(i)), builder.mul(stride, emit.index(j)))


def _tile_loader(emit, pointer, row_stride, stride):
    """load(i, j) for the vectors of an image."""
    return lambda i, j: emit.load(emit.moved(pointer, _offset(emit, row_stride, stride, i, j)))


def _number_loader(emit, pointer, stride):
    """load(i, j) for the 6 · 6 transformed numbers."""
    return lambda i, j: emit.load(emit.moved(pointer, emit.builder.mul(stride, emit.index(i * TILE_INPUTS + j))))


def _store_numbers(emit, grid, pointer, stride):
    for i, vector in enumerate(vector for row in grid for vector in row):
        emit.store(vector, emit.moved(pointer, emit.builder.mul(stride, emit.index(i))))


def _transforms(transform, size):
    """The body of an intrinsic that transforms size · size vectors of one array into 36 of another."""

    def emit_body(context, builder, signature, args):
        emit = Emitter(context, builder, signature.args[0])
        source, start, row_stride, stride, numbers, at, number_stride, *_ = emit.plain(signature.args, args)
        grid = _along_both(emit, transform, size, _tile_loader(emit, emit.moved(source, start), row_stride, stride))
        _store_numbers(emit, grid, emit.moved(numbers, at), number_stride)
        return context.get_dummy_value()

    return emit_body


def _transform_type(source, target, *further):
    index = types.int64
    return types.void(source, index, index, index, target, index, index, *further)


@intrinsic
def transform_inputs(typingctx, x, start, row_stride, stride, numbers, at, number_stride):
    """numbers[at + number_stride · (6 i + j)] = the transform of 6 x 6 pixels of x."""
    return _transform_type(x, numbers), _transforms(_inputs, TILE_INPUTS)


@intrinsic
def transform_kernel(typingctx, kernel, start, row_stride, stride, numbers, at, number_stride, taps):
    """numbers[at + number_stride · (6 i + j)] = the transform of the taps."""
    return _transform_type(kernel, numbers, taps), _transforms(_factors, len(taps))


def _output_grid(emit, numbers, stride, taps):
    """Rows of a tile's outputs, from its numbers."""
    transform = partial(_outputs, count=tile_outputs(taps))
    return _along_both(emit, transform, TILE_INPUTS, _number_loader(emit, numbers, stride))


@intrinsic
def outputs_of(typingctx, numbers, start, stride, bias, column, floor, y, at, extent):
    """y = max(floor, bias + outputs): up to a tile of them, from one vector of filters of transformed numbers.

    Returns whether all outputs are finite: if not, whatever was not has spread over the tile.
    """
    index = types.int64
    return types.boolean(numbers, index, index, bias, index, numbers.dtype, y, index, extent), _emit_outputs


def _emit_outputs(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    numbers, start, stride, bias, column, floor, y, at, extent = emit.plain(signature.args, args)
    grid = _output_grid(emit, emit.moved(numbers, start), stride, len(extent.taps))
    biases, floors, y = emit.load(emit.moved(bias, column)), emit.splat(floor), emit.moved(y, at)
    for i, row in enumerate(grid):
        with builder.if_then(builder.icmp_signed(">", extent.height, emit.index(i))):
            for j, vector in enumerate(row):
                with builder.if_then(builder.icmp_signed(">", extent.width, emit.index(j))):
                    pixel = emit.moved(y, _offset(emit, extent.row_stride, extent.stride, i, j))
                    emit.store_counted(emit.at_least(floors, builder.fadd(vector, biases)), pixel, extent.count)
    return emit_all_finite(emit, [vector for row in grid for vector in row], extent.count)


@intrinsic
def cells_of(typingctx, numbers, start, stride, bias, column, relu, out, at, extent):
    """out = bias + the maximum of each 2 x 2 outputs: up to a tile's cells of a `Pooled`.

    Returns what `outputs_of` does.
    """
    index = types.int64
    return types.boolean(numbers, index, index, bias, index, types.boolean, out, index, extent), _emit_cells


def _emit_cells(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    numbers, start, stride, bias, column, relu, out, at, extent = emit.plain(signature.args, args)
    grid = _output_grid(emit, emit.moved(numbers, start), stride, len(extent.taps))
    biases = emit.load(emit.moved(bias, column))
    for i in range(len(grid) // 2):
        with builder.if_then(builder.icmp_signed(">", extent.height, emit.index(i))):
            for j in range(len(grid) // 2):
                with builder.if_then(builder.icmp_signed(">", extent.width, emit.index(j))):
                    taps = [grid[2 * i + k // 2][2 * j + k % 2] for k in range(4)]
                    cell = builder.add(at, _offset(emit, extent.row_stride, extent.stride, i, j))
                    emit_cell(emit, taps, biases, relu, out, cell, extent.count)
    return emit_all_finite(emit, [vector for row in grid for vector in row], extent.count)
