"""Images of another size whose pixels lie where other programs put them: `PlacedResizing`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_choice, check_number, check_positive_int
from minicnn.errors import ShapeError
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples
from minicnn.layers.open_sizes import has_open
from minicnn.layers.resizing import Resampled
from minicnn.resampling import METHODS, Taps, cubic, without_ones
from minicnn.step import Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["PlacedResizing"]

COORDINATES = ("align_corners", "asymmetric", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
COORDINATES_NEAREST = "tf_half_pixel_for_nn"
# those of opset 17
COORDINATES_WRITTEN = ("align_corners", "asymmetric", "half_pixel", "pytorch_half_pixel")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
HALFWAY = 1e-6  # what onnxruntime takes for halfway between two pixels, as found out from 1.32


class PlacedResizing(Resampled):
    """As `Resizing`, with the places of pixels that ONNX's operator Resize knows.

    Parameters
    ----------
    height, width : int, optional
        Of the output. None: what `factors` make of the input's, rounded down, or without them the size of a second
        input, of which nothing else counts.
    interpolation : {"nearest", "bilinear", "bicubic"}, default "bilinear"
    coordinates : str, default "align_corners"
        Where pixel i of n' new ones lies among the n old ones: "align_corners" i · (n - 1) / (n' - 1), "asymmetric"
        i · n / n', "half_pixel" (i + 1/2) · n / n' - 1/2, "pytorch_half_pixel" the same but 0 for one pixel,
        "half_pixel_symmetric" (i + 1/2) · n / n' - 1/2 with the middle of the image where it was,
        "tf_half_pixel_for_nn" (i + 1/2) · n / n'.
    rounding : {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}, default "round_prefer_floor"
        Which pixel is the nearest.
    factors : sequence of two float, optional
        n' / n where they are not just that, for rows and columns; "align_corners" takes no notice of them.
    coefficient : float, default -0.75
        Of "bicubic": the a of R. Keys's cubic ("Cubic convolution interpolation for digital image processing", 1981).
    exclude_outside : bool, default False
        Of "bicubic": whether pixels beyond the edge do not count, and the weights of the others are divided by their
        sum; otherwise the edge's pixels stand for them.

    Notes
    -----
    Input (N, H, W, C), and (N, height, width, …) where a second one says the size; output (N, height, width, C). https://onnx.ai/onnx/operators/onnx__Resize.html
    """

    input_count: int | None = None

    def __init__(
        self,
        height: int | None = None,
        width: int | None = None,
        interpolation: str = "bilinear",
        coordinates: str = "align_corners",
        rounding: str = "round_prefer_floor",
        factors: tuple[float, float] | None = None,
        coefficient: float = -0.75,
        exclude_outside: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if (height is None) != (width is None):
            raise ValueError(f"height and width are both numbers or both None. Received: {height}, {width}")
        self.height: int | None = None if height is None else check_positive_int("height", height)
        self.width: int | None = None if width is None else check_positive_int("width", width)
        self.interpolation: str = check_choice("interpolation", interpolation, METHODS[:3])
        self.coordinates: str = check_choice("coordinates", coordinates, (*COORDINATES, COORDINATES_NEAREST))
        self.rounding: str = check_choice("rounding", rounding, ROUNDINGS)
        self.factors: list[float] | None = None if factors is None else [float(f) for f in factors]
        self.coefficient: float = check_number("coefficient", coefficient, minimum=-np.inf)
        self.exclude_outside: bool = bool(exclude_outside)

    def taps(self, height: int, width: int, size: Sequence[int | None] = ()) -> tuple[Taps, Taps]:
        old, given = (height, width), self.factors or (None, None)
        new = [
            _multiple(n, factor) if size is None else size
            for n, size, factor in zip(old, size or (self.height, self.width), given, strict=True)
        ]
        if list(old) == new:  # which onnxruntime copies, whatever the factors
            return Taps(np.arange(height)[None], None), Taps(np.arange(width)[None], None)
        rows, columns = (self._along(*along) for along in zip(old, new, given, strict=True))
        return rows, columns

    def taps_of(self, input_shapes: Shapes) -> tuple[Taps, Taps]:
        height, width, _ = input_shapes[0]
        needs_size = self.height is None and self.factors is None
        if len(input_shapes) != 1 + needs_size or (needs_size and len(input_shapes[1]) < 2):
            raise ShapeError(
                "PlacedResizing needs images, and where neither height and width nor factors are given, a second input "
                f"(height, width, …) that says the size. Received: {list(input_shapes)}"
            )
        return self.taps(height, width, input_shapes[1][:2] if needs_size else ())

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.dxs[0] is not None:
            super().backward(dy, ws)
        for dx in ws.dxs[1:]:
            if dx is not None:
                dx[...] = 0

    def _along(self, old, new, factor) -> Taps:
        places = _places(self.coordinates, old, new, new / old if factor is None else factor)
        if self.interpolation == "nearest":
            index = {
                "round_prefer_floor": np.ceil(_with_halves(places) - 0.5),
                "round_prefer_ceil": np.floor(_with_halves(places) + 0.5),
                "floor": np.floor(places),
                "ceil": np.ceil(places),
            }[self.rounding]
            return Taps(np.clip(index, 0, old - 1).astype(np.int64)[None], None)
        if self.interpolation == "bicubic":
            return self._cubic_along(old, places)
        places = np.clip(places, 0, old - 1)
        first = np.floor(places).astype(np.int64)
        share = places - first  # of the later pixel
        return without_ones(np.stack([first, np.minimum(first + 1, old - 1)]), np.stack([1 - share, share]))

    def _cubic_along(self, old, places) -> Taps:
        index = np.floor(places).astype(np.int64) + np.arange(-1, 3)[:, None]  # (4, new)
        weight = cubic(np.abs(index - places.astype(np.float64)), self.coefficient)
        if self.exclude_outside:
            weight[(index < 0) | (index >= old)] = 0
            weight /= weight.sum(axis=0)
        return without_ones(np.clip(index, 0, old - 1), weight)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        is_one_operator = self.coordinates in COORDINATES_WRITTEN and not (self.factors and self.height)
        if self.interpolation == "bicubic":  # by which onnxruntime makes nothing smaller
            is_one_operator &= self.factors is not None and min(self.factors) >= 1
        if not is_one_operator or not has_open([x.shape for x in xs]):
            return super().to_onnx(xs, graph)
        image, nothing = graph.channels_first(xs[0]), graph.constant(np.zeros(0, np.float32))
        options = {
            "nearest": {"mode": "nearest", "nearest_mode": self.rounding},
            "bilinear": {"mode": "linear"},
            "bicubic": {
                "mode": "cubic",
                "cubic_coeff_a": self.coefficient,
                "exclude_outside": int(self.exclude_outside),
            },
        }[self.interpolation]
        if self.factors:
            inputs = [image, nothing, graph.constant(np.array([1, 1, *self.factors], np.float32))]
        else:
            given = graph.constant(np.array([self.height, self.width], np.int64)) if self.height else None
            new = given or graph.add("Shape", [graph.channels_first(xs[1])], start=2, end=4)  # (height, width)
            begin = graph.add("Shape", [image], end=2)  # (N, C)
            inputs = [image, nothing, nothing, graph.add("Concat", [begin, new], axis=0)]
        return graph.add("Resize", inputs, coordinate_transformation_mode=self.coordinates, **options)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(6, 5), [(3, 4, 2)]
        yield cls(2, 7, "nearest", "asymmetric", "floor"), [(3, 4, 1)]
        yield cls(6, 5, "bicubic", "half_pixel"), [(3, 4, 2)]
        yield cls(None, None, factors=(1.5, 2)), [(3, 4, 2)]
        yield cls(None, None, "bilinear", "half_pixel"), [(3, 4, 2), (5, 7, 1)]


def _multiple(size, factor) -> int:
    """A size by a factor, rounded down, and in float32 as elsewhere."""
    new = int(np.floor(np.float32(int(size)) * np.float32(float(factor))))
    if new < 1:
        raise ShapeError(f"PlacedResizing leaves nothing of a size by a factor. Received: {size} by {factor}")
    return new


def _with_halves(places) -> np.ndarray:
    """Places that float32 has moved a little from halfway are halfway: 3.5 / 0.70000005 - 0.5 is 4.5 elsewhere, too."""
    halves = np.floor(places) + np.float32(0.5)
    return np.where(np.abs(places - halves) < HALFWAY, halves, places)


def _places(coordinates, old, new, factor) -> np.ndarray:
    """Where the new pixels lie among the old ones; in float32, as elsewhere: 1.5 / 0.6 is no less than 2.5 there."""
    at, factor = np.arange(new, dtype=np.float32), np.float32(factor)
    if factor == 1:
        return at
    if coordinates == "align_corners":
        return at * (old - 1) / (new - 1) if new > 1 else at * 0
    if coordinates == "asymmetric":
        return at / factor
    if coordinates == "tf_half_pixel_for_nn":
        return (at + 0.5) / factor
    if coordinates == "half_pixel_symmetric":
        offset = old / 2 * (1 - new / (old * factor))
        return (np.float64(offset) + (at + np.float64(0.5)) / np.float64(factor) - 0.5).astype(np.float32)  # as there
    return at * 0 if coordinates == "pytorch_half_pixel" and new == 1 else (at + 0.5) / factor - 0.5
