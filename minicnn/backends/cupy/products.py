"""Matrix products whose left side is an image seen through a window: convolutions, their gradients, dense layers."""

import cupy
import numpy as np

from minicnn.backends.cupy.launch import grid_for_parts, integers, launch, structure

SLICE = 8  # BK in convolution.cu

# The sum of a product with few tiles is cut into parts, so that all multiprocessors of a large GPU have work. These are
# constants, not properties of the GPU at hand: results do not depend on it.
BLOCKS_WANTED = 528
LEAST_SLICES = 8  # of a part
LEAST_WORK_FOR_WIDE_TILES = 4096  # tiles × slices

TILES = {"float32": ("128x64", "64x32", "128x16"), "float64": ("64x32", "128x16")}  # in convolution.cu

PRODUCT = integers(
    "rows columns depth row_height row_width height width channels group_channels kernel_width step_y step_x scale_y "
    "scale_x divide_y divide_x offset_y offset_x matrix_row matrix_group out_channels splits slices_per_split relu "
    "pool_height pool_width pool_stride_y pool_stride_x"
)
CORRELATION = integers(
    "rows columns depth out_height out_width height width channels group_channels kernel_width stride_y stride_x "
    "dilation_y dilation_x pad_top pad_left out_channels splits slices_per_split"
)


def product(source, matrix, bias, out, winner, fields, groups=1, relu=False) -> None:
    """out[m, n] = sum over k of source[m, k] · matrix[k, n], + bias, ReLU; `fields` says where row m and term k lie.

    Parameters
    ----------
    source : (N, H, W, C)
    matrix : (…)
        Rows of `fields["matrix_row"]` elements.
    bias : (out channels,) or None
    out : (…, out channels), written
    winner : like `out`, uint8, or None
        Only for pooled products: ``fields["pool_height"] > 0``.
    fields : dict
        Members of the structure ``Product`` in convolution.cu.
    """
    rows, columns, depth = fields["rows"], fields["columns"], fields["depth"]
    tile, threads = choose_tile(rows, columns, depth, groups, source.dtype)
    pooled = fields.get("pool_height", 0) > 0
    splits, slices = (1, -(-depth // SLICE)) if pooled else cut(rows, columns, depth, groups, tile)
    counts = fields["group_channels"], columns, fields["matrix_row"], fields["matrix_group"], fields["channels"]
    vector = _vector((source, matrix, out), counts)
    channels = fields["out_channels"]
    p = structure(PRODUCT, fields | {"splits": splits, "slices_per_split": slices, "relu": relu and splits == 1})
    target = out if splits == 1 else cupy.empty((splits, rows, channels), out.dtype)
    launch(
        "convolution",
        f"product_{tile[0]}x{tile[1]}_v{vector}",
        source.dtype,
        (-(-rows // tile[0]), -(-columns // tile[1]), groups * splits),
        threads,
        source,
        matrix,
        bias if splits == 1 else None,
        target,
        winner,
        p,
    )
    if splits > 1:
        add_parts(target, out, bias, relu)


def correlation(source, dy, out, fields, groups=1) -> None:
    """out[m, n] = sum over positions k of source[k, m] · dy[k, n]; m is a tap and a channel.

    Parameters
    ----------
    source : (N, H, W, C)
    dy : (N, OH, OW, F)
    out : (KH, KW, C / groups, F), written
    fields : dict
        Members of the structure ``Correlation`` in convolution.cu.
    """
    rows, columns, depth = fields["rows"], fields["columns"], fields["depth"]
    tile, threads = choose_tile(rows, columns, depth, groups, source.dtype)
    splits, slices = cut(rows, columns, depth, groups, tile)
    vector = _vector((source, dy), (fields["group_channels"], columns, fields["channels"], fields["out_channels"]))
    p = structure(CORRELATION, fields | {"splits": splits, "slices_per_split": slices})
    target = out if splits == 1 else cupy.empty((splits, out.size), out.dtype)
    launch(
        "convolution",
        f"correlation_{tile[0]}x{tile[1]}_v{vector}",
        source.dtype,
        (-(-rows // tile[0]), -(-columns // tile[1]), groups * splits),
        threads,
        source,
        dy,
        target,
        p,
    )
    if splits > 1:
        add_parts(target, out, None, False)


def add_parts(parts, out, bias, relu) -> None:
    """out = the sum of the parts, in their order, + bias, ReLU."""
    channels = 1 if bias is None else bias.size
    arguments = parts, np.int32(len(parts)), np.int64(out.size), bias, np.int32(channels), np.int32(relu), out
    grid, threads = grid_for_parts(len(parts), out.size)
    launch("convolution", "add_parts", out.dtype, grid, threads, *arguments)


def choose_tile(rows, columns, depth, groups, dtype):
    """((rows, columns) of the tile that a block computes, its threads)."""
    if columns <= 16:
        return (128, 16), 128
    tiles = -(-rows // 128) * -(-columns // 64) * groups
    if dtype == np.float32 and columns > 32 and tiles * -(-depth // SLICE) >= LEAST_WORK_FOR_WIDE_TILES:
        return (128, 64), 128
    return (64, 32), 128


def cut(rows, columns, depth, groups, tile):
    """(parts of the sum, slices in a part)."""
    blocks = -(-rows // tile[0]) * -(-columns // tile[1]) * groups
    slices = -(-depth // SLICE)
    parts = max(1, min(-(-BLOCKS_WANTED // blocks) if blocks < BLOCKS_WANTED // 2 else 1, slices // LEAST_SLICES))
    slices_per_part = max(1, -(-slices // parts))
    return max(1, -(-slices // slices_per_part)), slices_per_part


def _vector(arrays, counts) -> int:
    """4 if kernels can move four elements at a time, else 1."""
    aligned = all(a.data.ptr % 16 == 0 for a in arrays)
    return 4 if aligned and all(count % 4 == 0 for count in counts) else 1
