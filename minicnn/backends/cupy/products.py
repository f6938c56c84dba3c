"""Matrix products whose left side is an image seen through a window: convolutions, their gradients, dense layers."""

from typing import NamedTuple

import cupy
import numpy as np

from minicnn.backends.cupy.gradient_parts import Parts, give
from minicnn.backends.cupy.launch import Array, Maybe, launch
from minicnn.backends.cupy.left_moments import are_wanted, moments_to_leave
from minicnn.backends.cupy.partial_sums import add_parts
from minicnn.backends.cupy.structures import Matrix, Pool, Positions, Span, Taps

SLICE = 8  # terms that a block multiplies at a time: BK in products.cu
THREADS = 128  # of a block of any size

# The sum of a product with few blocks is cut into parts, so that all multiprocessors of a large GPU have work. These
# are constants, not properties of the GPU at hand: results do not depend on it.
BLOCKS_WANTED = 528
LEAST_SLICES = 8  # of a part
LEAST_WORK_FOR_WIDE_BLOCKS = 4096  # blocks × slices

# Rows and columns of the result that a block of threads computes: what products.cu has kernels for.
BLOCKS: dict[str, tuple[str, ...]] = {"float32": ("128x64", "64x32", "128x16"), "float64": ("64x32", "128x16")}


class Left(NamedTuple):
    """left[m, k]: elements of images (N, H, W, C)."""

    array: Array
    layout: Positions | Taps


class Right(NamedTuple):
    """right[k, n] of a group: array[group · layout.group + k · layout.row + n]."""

    array: Array
    layout: Matrix


class Out(NamedTuple):
    """out[m, group · columns + n], and what happens to it on the way: + bias, pooling, ReLU.

    Attributes
    ----------
    array : (…, columns of all groups), written
    bias : (columns of all groups,) or None
    relu : bool
    winner : like `array`, uint8, or None, written
        Only for pooled products.
    pool : Pool
    """

    array: Array
    bias: Maybe = None
    relu: bool = False
    winner: Maybe = None
    pool: Pool = Pool()


def product(left: Left, right: Right, out: Out, span: Span) -> None:
    """out[m, n] = sum over k of left[m, k] · right[k, n], where `left.layout` are `Positions`; and wanted moments."""
    block = choose_block(span, left.array.dtype)
    span = cut(span, block, most_parts=1 if out.pool.height else None)
    vector = _vector(left, right, span, (left.array, right.array, out.array))
    target, in_parts = _target(out, span)
    row = np.int32(out.array.shape[-1])
    bias, relu = (None, np.int32(0)) if in_parts else (out.bias, np.int32(out.relu))
    stretches = -(-span.rows // block[0])
    if not (in_parts or out.pool.height) and are_wanted(out.array, stretches):
        arguments = *left, *right, bias, target, row, relu, span, *moments_to_leave(out.array, stretches)
        _launch("product_and_moments", block, vector, target.dtype, span, arguments)
        return
    arguments = *left, *right, bias, target, out.winner, row, relu, out.pool, span
    _launch("product", block, vector, target.dtype, span, arguments)
    if in_parts:
        add_parts(target, out.array, out.bias, out.relu)


def gradient(left: Left, mask: Maybe, right: Right, out: Out, span: Span) -> None:
    """As `product` without bias and ReLU, where `right` is a kernel (taps, columns, F) whose filters are terms.

    Parameters
    ----------
    left : Left
        Of the gradient of a convolution's output.
    mask : array like `left.array`, or None
        The output: what is not above 0 there passes no gradient, but for NaN.
    right : Right
        Elements from column to column of the result, and from group to group.
    out, span :
        As for `product`.
    """
    block = choose_block(span, left.array.dtype)
    span = cut(span, block)
    arrays = left.array, right.array, out.array, *(() if mask is None else (mask,))
    vector = _vector(left, right, span, arrays)
    target, in_parts = _target(out, span)
    arguments = left.array, mask, left.layout, *right, target, np.int32(out.array.shape[-1]), span
    _launch("gradient", block, vector, target.dtype, span, arguments)
    if in_parts:
        add_parts(target, out.array)


def correlation(left: Left, mask: Maybe, right: Right, dkernel: Array, dbias: Maybe, span: Span) -> None:
    """dkernel[m, n] = sum over k of left[m, k] · right[k, n], where `left.layout` are `Taps`; dbias: of right[k, n].

    Parameters
    ----------
    left, right : Left, Right
    mask : array like `right.array`, or None
        As for `gradient`.
    dkernel, dbias : written
        Maybe later: see `minicnn.backends.cupy.gradient_parts`.
    span : Span
    """
    block = choose_block(span, left.array.dtype)
    rows = span.rows if dbias is None else span.rows + 1
    span = cut(span._replace(rows=rows), block)
    arrays = left.array, right.array, *(() if mask is None else (mask,))
    vector = _vector(left, right, span, arrays)
    is_whole = span.parts == 1 and dbias is None
    size, row = rows * right.array.shape[-1], right.array.shape[-1]
    target = dkernel if is_whole else cupy.empty(span.parts * size, dkernel.dtype)
    arguments = *left, right.array, mask, right.layout, target, np.int32(row), span
    _launch("correlation", block, vector, target.dtype, span, arguments)
    if is_whole:
        return
    give(dkernel, Parts(target, span.parts, size))
    if dbias is not None:
        give(dbias, Parts(target[dkernel.size :], span.parts, size))


def _target(out, span):
    """(array that the kernel writes, whether it holds parts that are still to be added)."""
    if span.parts == 1:
        return out.array, False
    return cupy.empty((span.parts, out.array.size), out.array.dtype), True


def _launch(name, block, vector, dtype, span, arguments):
    rows, columns = block
    grid = -(-span.rows // rows), -(-span.columns // columns), span.groups * span.parts
    launch("products", f"{name}_{rows}x{columns}_v{vector}", dtype, grid, THREADS, *arguments)


def choose_block(span: Span, dtype: np.dtype) -> tuple[int, int]:
    """Rows and columns of the result that a block of threads computes."""
    if span.columns <= 16:
        return 128, 16
    wide = -(-span.rows // 128) * -(-span.columns // 64) * span.groups
    if dtype == np.float32 and span.columns > 32 and wide * -(-span.depth // SLICE) >= LEAST_WORK_FOR_WIDE_BLOCKS:
        return 128, 64
    return 64, 32


def cut(span: Span, block: tuple[int, int], most_parts: int | None = None) -> Span:
    """The span with its sums cut into parts."""
    blocks = -(-span.rows // block[0]) * -(-span.columns // block[1]) * span.groups
    slices = -(-span.depth // SLICE)
    wanted = -(-BLOCKS_WANTED // blocks) if blocks < BLOCKS_WANTED // 2 else 1
    parts = most_parts or max(1, min(wanted, slices // LEAST_SLICES))
    of_a_part = max(1, -(-slices // parts))
    return span._replace(parts=max(1, -(-slices // of_a_part)), slices=of_a_part)


def _vector(left, right, span, arrays) -> int:
    """4 if kernels can move four elements at a time, else 1."""
    counts = left.layout.channels, left.layout.group_channels, span.columns, *right.layout
    aligned = all(a.data.ptr % 16 == 0 for a in arrays)
    return 4 if aligned and all(count % 4 == 0 for count in counts) else 1
