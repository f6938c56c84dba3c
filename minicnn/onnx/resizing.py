"""Images of another size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.layers.placed_resizing import COORDINATES, COORDINATES_NEAREST, ROUNDINGS
from minicnn.onnx import volumes
from minicnn.onnx.arguments import CHANNEL_OPERATORS, checked_axis, integers, operator
from minicnn.onnx.values import Value, channels_first
from minicnn.resampling import taps_between

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

SMALL = (5, 7)  # rows and columns
LONGEST = 2**20  # of which a layer notes for each pixel where it comes from


@operator("Resize", "Upsample", kind=CHANNEL_OPERATORS)
def _resize(node, graph):
    of_rank = volumes.resize if volumes.are_volumes(node, graph) else _resize_images
    of_rank(node, graph)


def _resize_images(node, graph):
    """Keras's layers where they find the same pixels, else `PlacedResizing`."""
    x = graph.images(node)
    old = x.shape[1:3]
    new, factors = _new_size(node, graph, old)
    graph.check_size(node, (*new, x.shape[3]))
    if max(*old, *new) > LONGEST:
        raise node.error(f"rows and columns of at most {LONGEST} pixels are resized. Received: {old} → {new}")
    mode, is_old = node.get("mode", "nearest", str), node.operator == "Upsample" or graph.opset < 11
    where = node.get("coordinate_transformation_mode", "asymmetric" if is_old else "half_pixel", str)
    rounding = node.get("nearest_mode", "floor" if is_old else "round_prefer_floor", str)
    method = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}.get(mode)
    cubic = {"coefficient": node.get("cubic_coeff_a", -0.75, float)}
    cubic["exclude_outside"] = bool(node.get("exclude_outside", 0))
    node.get("extrapolation_value", 0.0, float)
    is_known = where in (*COORDINATES, COORDINATES_NEAREST) and rounding in ROUNDINGS
    _check_antialias(node, f"mode={mode!r}, {old} → {new}")
    if method is None or not is_known or (cubic["exclude_outside"] and mode == "linear"):
        raise node.error(f"no layer finds pixels in this way. Received: mode={mode!r}, {where!r}, {old} → {new}")
    keras = {"interpolation": method, "height": new[0], "width": new[1]}
    placed = keras | {"coordinates": where, "rounding": rounding, "factors": factors}
    placed |= cubic if mode == "cubic" else {}
    y, is_kerass = None, _are_kerass(layers.PlacedResizing(**placed), old, new, method)
    like = graph.origins.images_of_size(node.inputs[-1], new) if graph.has_open_sizes and factors is None else None
    if like is not None:
        y = graph.call(node, layers.PlacedResizing, [x, like], **placed | {"height": None, "width": None})
    elif graph.has_open_sizes and factors and not _upsamples(layers.PlacedResizing(**placed), factors, method):
        y = graph.call(node, layers.PlacedResizing, x, **placed | {"height": None, "width": None})
    elif not is_kerass and not (graph.has_open_sizes and factors):
        y = graph.call(node, layers.PlacedResizing, x, **placed)
    if y is None and all(n % o == 0 for o, n in zip(old, new, strict=True)):
        size = tuple(n // o for o, n in zip(old, new, strict=True))
        y = graph.call(node, layers.UpSampling2D, x, size=size, interpolation=method)
    elif y is None:
        y = graph.call(node, layers.Resizing, x, **keras)
    graph.give_images(node, y, graph.value(node, 0).is_nonnegative and method != "bicubic")


def _check_antialias(node, received):
    if node.get("antialias", 0):
        raise node.error(
            "antialias=1 takes means of many pixels, which no layer does: write the file with antialias=False, or make "
            f"images smaller before the network. Received: {received}"
        )


NEAREST = {"round_prefer_ceil": 1, "floor": 0}
"""How PyTorch takes nearest pixels, "nearest-exact" and "nearest" → what is added to twice the place."""


def give_pixels(node: FileNode, graph: Importer, x: Value, indices: np.ndarray) -> bool:
    """Whether GatherND of (H, W, N, C) takes the nearest pixels; if so, its output is given."""
    if len(x.shape) != 3 or indices.ndim != 3 or indices.shape[2] != 2 or x.led or x.folded or graph.has_open_sizes:
        return False
    images = graph.arranged(node, Value(x.tensor, np.moveaxis(x.positions, 2, 0)), channels_first)  # (N, H, W, C)
    old, new = images.shape[1:3], indices.shape[:2]
    places = {
        rounding: [(2 * np.arange(n) + more) * size // (2 * n) for n, size in zip(new, old, strict=True)]
        for rounding, more in NEAREST.items()
    }
    grids = {rounding: np.stack(np.meshgrid(*each, indexing="ij"), -1) for rounding, each in places.items()}
    rounding = next((name for name, grid in grids.items() if np.array_equal(grid, indices)), None)
    if rounding is None:
        return False
    graph.check_size(node, (*new, images.shape[3]))
    options = {"interpolation": "nearest", "height": new[0], "width": new[1], "rounding": rounding}
    if all(n % size == 0 for n, size in zip(new, old, strict=True)):
        size = tuple(n // size for n, size in zip(new, old, strict=True))
        y = graph.call(node, layers.UpSampling2D, images, size=size)
    else:
        where = "half_pixel" if rounding == "round_prefer_ceil" else "asymmetric"
        y = graph.call(node, layers.PlacedResizing, images, coordinates=where, **options)
    positions = np.moveaxis(channels_first(y.shape[1:]), 0, 2)  # (H, W, C)
    graph.give(node, Value(y, positions, x.is_nonnegative, batch_axis=2))
    return True


def _upsamples(placed: layers.PlacedResizing, factors: Sequence[float], method: str) -> bool:
    """Whether UpSampling2D does the same, which is as for small images: in large ones, places are rounded."""
    new = [int(n * factor) for n, factor in zip(SMALL, factors, strict=True)]
    placed.height, placed.width = new
    return all(float(f).is_integer() for f in factors) and _are_kerass(placed, SMALL, new, method)


def _are_kerass(placed: layers.PlacedResizing, old: Sequence[int], new: Sequence[int], method: str) -> bool:
    """Whether Keras's layers take the same pixels."""
    pairs = zip(placed.taps(old[0], old[1]), old, new, strict=True)
    return all(taps.is_like(taps_between(size, new_size, method)) for taps, size, new_size in pairs)


def _new_size(node: FileNode, graph: Importer, old: Sequence[int]) -> tuple[list[int], tuple[float, float] | None]:
    """((height, width), their factors where those are given), from factors or sizes."""
    at = 1 if node.operator == "Upsample" or graph.opset < 11 else 2
    factors = graph.constant(node, at) if len(node.inputs) > at else None
    if node.operator == "Upsample" and graph.opset < 9:
        factors = np.asarray(node.get("scales", None, object), np.float32)
    if node.get("keep_aspect_ratio_policy", "stretch", str) != "stretch":
        raise node.error("rows and columns are resized to the sizes that are given, keep_aspect_ratio_policy='stretch'")
    axes = [checked_axis(node, axis, 4) for axis in node.get("axes", list(range(4)), list)]
    if factors is not None and factors.size:
        given = _for_axes(node, axes, factors.astype(np.float32).ravel().tolist(), 1.0)
        if given[:2] != [1, 1] or not min(given) > 0:
            raise node.error(f"only rows and columns are resized. Received: factors {given}")
        return [int(np.floor(np.float32(n) * np.float32(f))) for n, f in zip(old, given[2:], strict=True)], (
            given[2],
            given[3],
        )
    sizes = integers(node, graph.constant(node, 3)) if len(node.inputs) > 3 else None
    if not sizes:
        raise node.error(f"factors or sizes are given, one for each axis. Received: {sizes}")
    return _for_axes(node, axes, sizes, 0)[2:], None


def _for_axes(node, axes, given, otherwise):
    """What is given for `axes`, for all four axes."""
    if len(given) != len(axes) or len(set(axes)) != len(axes) or not {2, 3} <= set(axes):
        raise node.error(f"factors or sizes are given, one for each of the axes {axes}. Received: {given}")
    result = [otherwise] * 4
    for axis, value in zip(axes, given, strict=True):
        result[axis] = value
    return result
