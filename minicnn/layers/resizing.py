"""Images of another size: upsampling, resizing, and the crop in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, Unpack

import numpy as np

from minicnn.backends.memory import constant
from minicnn.checks import check_choice, check_number, check_pair, check_positive_int
from minicnn.hints import DataFormat, LayerOptions, Pair
from minicnn.layers.augmentation import ImageLayer
from minicnn.layers.base import Examples, Layer
from minicnn.layers.open_sizes import has_open, shape_behind
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.resampling import METHODS, Taps, taps_between
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["CenterCrop", "Resizing", "UpSampling2D"]

Method: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]

_OF_MANY = METHODS[2:]  # which take more than the pixels beside the point


class Resampled(Layer):
    """Base: a subclass says which pixels its rows and columns are made of."""

    uses_input = False
    fill_value: float = 0.0

    def taps(self, height: int, width: int) -> tuple[Taps, Taps]:
        """Those of rows and of columns, for images of a size. What their weights lack of 1 is `fill_value`."""
        raise NotImplementedError

    def taps_of(self, input_shapes: Shapes) -> tuple[Taps, Taps]:
        """`taps`, for the shapes of samples."""
        height, width, _ = input_shapes[0]
        return self.taps(height, width)

    def build(self, input_shapes: Shapes) -> Shape:
        check_rank(self, input_shapes[0], 3, "(height, width, channels)")
        rows, columns = self.taps_of(input_shapes)
        return rows.index.shape[1], columns.index.shape[1], input_shapes[0][2]

    def bind(self, ws: Workspace) -> None:
        sizes = ws.input_shapes[0][:2]
        taps = self.taps_of(ws.input_shapes)
        ws.taps = [_on_backend(t, ws.y) for t in taps]
        ws.back = [_on_backend(t.transposed(size), ws.y) for t, size in zip(taps, sizes, strict=True)]
        outside = 1 - taps[0].totals()[:, None] * taps[1].totals()  # (OH, OW)
        ws.filling = None
        if self.fill_value and np.abs(outside).max() > 1e-6:
            ws.filling = constant(np.repeat(self.fill_value * outside[:, :, None], ws.y.shape[-1], axis=2), ws.y)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.resample(xs[0], ws.y, *ws.taps)
        if ws.filling is not None:
            ws.ops.pointwise(ws.y, (ws.y, ws.filling), "add")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.resample(dy, ws.dxs[0], *ws.back)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        """Two products with matrices, which are exact for whatever taps there are; of single pixels, these."""
        sizes = xs[0].shape[:2]
        taps = self.taps_of([x.shape for x in xs])
        if all(t.weight is None and len(t.index) == 1 for t in taps):  # 0 · ∞ would be NaN
            y = graph.channels_first(xs[0])
            for axis, part in enumerate(taps, 2):
                y = graph.add("Gather", [y, graph.constant(part.index[0])], axis=axis)
            return y
        rows, columns = (t.matrix(size) for t, size in zip(taps, sizes, strict=True))  # (H, OH), (W, OW)
        y = graph.add("MatMul", [graph.constant(rows.T.astype(np.float32)), graph.channels_first(xs[0])], True)
        y = graph.add("MatMul", [y, graph.constant(columns.astype(np.float32))])
        if not self.fill_value:
            return y
        outside = 1 - taps[0].totals()[:, None] * taps[1].totals()  # (OH, OW)
        return graph.add("Add", [y, graph.constant((self.fill_value * outside).astype(np.float32))])


def _on_backend(taps, like):
    """The arrays where those like `like` are."""
    weight = None if taps.weight is None else np.asarray(taps.weight, like.dtype, like=like)
    return Taps(np.asarray(taps.index, like=like), weight)


def resize_to_onnx(
    x: Value, graph: GraphWriter, method: str, size: tuple[int | None, int | None], factors: Sequence[float] = ()
) -> Value:
    """The operator Resize, which computes the new size from a factor and rounds it down.

    Where a size is open, it takes `factors`, or without them the new size.
    """
    if method.startswith("lanczos"):
        raise ValueError(
            f"ONNX has no {method} for images of any size: give the Input sizes, or take 'bicubic'. Received: {x.shape}"
        )
    options = {
        "nearest": {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
        "bilinear": {"mode": "linear"},
        "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
    }[method]
    image, nothing = graph.channels_first(x), graph.constant(np.zeros(0, np.float32))
    if not has_open([x.shape]):
        factors = [_factor(*sizes) for sizes in zip(size, x.shape[:2], strict=True)]
    if factors:
        inputs = [image, nothing, graph.constant(np.array([1, 1, *factors], np.float32))]
    else:
        begin = graph.add("Shape", [image], end=2)  # (N, C)
        sizes = graph.add("Concat", [begin, graph.constant(np.array(size, np.int64))], axis=0)
        inputs = [image, nothing, nothing, sizes]
    return graph.add("Resize", inputs, coordinate_transformation_mode="half_pixel", **options)


def _factor(new, old):
    """The least float32 with which a size, rounded down, becomes the new one."""
    factor = np.float32(new / old)
    return factor if float(factor) * old >= new else np.nextafter(factor, np.float32(np.inf))


class UpSampling2D(Resampled):
    """Images whose height and width are a multiple of the input's.

    Parameters
    ----------
    size : int or (int, int), default 2
        Factors of height and width.
    data_format : {None, "channels_last", "channels_first"}
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"}, default "nearest"
        "nearest" repeats every row and column; the others take pixels for squares whose values are those of their
        centres (`minicnn.resampling.taps_between` has the formulas).

    Notes
    -----
    Input (N, H, W, C), output (N, H · size[0], W · size[1], C).
    """

    def __init__(
        self,
        size: Pair = (2, 2),
        data_format: DataFormat = None,
        interpolation: Method = "nearest",
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.size: tuple[int, int] = check_pair("size", size)
        self.data_format: DataFormat = check_data_format(data_format)
        self.interpolation: Method = check_choice("interpolation", interpolation, METHODS)

    def taps(self, height: int, width: int) -> tuple[Taps, Taps]:
        sizes = zip((height, width), self.size, strict=True)
        rows, columns = (taps_between(n, n * factor, self.interpolation) for n, factor in sizes)
        return rows, columns

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        if self.interpolation in _OF_MANY and not has_open([xs[0].shape]):  # runtimes differ at borders, or refuse it
            return super().to_onnx(xs, graph)
        height, width, _ = shape_behind(self.build, (xs[0].shape,))
        return resize_to_onnx(xs[0], graph, self.interpolation, (height, width), self.size)

    @classmethod
    def examples(cls) -> Examples:
        yield cls((2, 3)), [(3, 4, 2)]
        yield cls(2, interpolation="bilinear"), [(3, 5, 1)]


class Resizing(Resampled, ImageLayer):
    """Images of a given size, in training and otherwise.

    Parameters
    ----------
    height, width : int
    interpolation : {"bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"}, default "bilinear"
    crop_to_aspect_ratio : bool, default False
        Whether the largest part in the middle that has the new aspect ratio is resized, rather than all of the image.
    pad_to_aspect_ratio : bool, default False
        Whether rows or columns of `fill_value` are put around the image until it has the new aspect ratio.
    fill_mode : {"constant"}, default "constant"
    fill_value : float, default 0
    antialias : bool, default False
        Whether an image that becomes smaller is made of all its pixels, rather than of those nearest to the new ones.
    data_format : {None, "channels_last", "channels_first"}
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: Method = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.height: int = check_positive_int("height", height)
        self.width: int = check_positive_int("width", width)
        self.interpolation: Method = check_choice("interpolation", interpolation, METHODS)
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError(
                "an image is cropped or padded to its new aspect ratio, not both. "
                "Received: crop_to_aspect_ratio=True, pad_to_aspect_ratio=True"
            )
        self.crop_to_aspect_ratio: bool = bool(crop_to_aspect_ratio)
        self.pad_to_aspect_ratio: bool = bool(pad_to_aspect_ratio)
        self.fill_mode: str = check_choice("fill_mode", fill_mode, ("constant",))
        self.fill_value: float = check_number("fill_value", fill_value, minimum=-np.inf)
        self.antialias: bool = bool(antialias)
        self.data_format: DataFormat = check_data_format(data_format)

    def taps(self, height: int, width: int) -> tuple[Taps, Taps]:
        tall, wide = height, width
        if self.crop_to_aspect_ratio:
            tall, wide = cropped_size(height, width, self.height, self.width)
        elif self.pad_to_aspect_ratio:
            tall, wide = int(width * self.height / self.width), int(height * self.width / self.height)
            tall = height + 2 * max((tall - height) // 2, 0)  # as many rows above as below
            wide = width + 2 * max((wide - width) // 2, 0)
        sizes = ((height, tall, self.height), (width, wide, self.width))
        rows, columns = (self._along(*size) for size in sizes)
        return rows, columns

    def _along(self, size, used, new_size) -> Taps:
        """The taps of one axis, of which `used` pixels around the middle count."""
        taps = taps_between(used, new_size, self.interpolation, self.antialias).shifted(_half(size - used))
        inside = (taps.index >= 0) & (taps.index < size)
        if inside.all():
            return taps
        weight = np.ones(taps.index.shape) if taps.weight is None else taps.weight
        return Taps(np.clip(taps.index, 0, size - 1), weight * inside)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        size = self.height, self.width
        changes_ratio = self.crop_to_aspect_ratio or self.pad_to_aspect_ratio
        is_of_many = self.interpolation in _OF_MANY and not has_open([xs[0].shape])  # see UpSampling2D
        if changes_ratio or is_of_many or (self.antialias and (size[0] < xs[0].shape[0] or size[1] < xs[0].shape[1])):
            return super().to_onnx(xs, graph)
        return resize_to_onnx(xs[0], graph, self.interpolation, size)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(5, 3), [(3, 7, 2)]
        yield cls(4, 4, "bicubic", pad_to_aspect_ratio=True, fill_value=0.5), [(3, 6, 1)]
        yield cls(3, 2, "bilinear", crop_to_aspect_ratio=True, antialias=True), [(7, 7, 1)]


def cropped_size(height: int, width: int, new_height: int, new_width: int) -> tuple[int, int]:
    """The largest size inside an image that has the aspect ratio of another, as Keras rounds it."""
    tall = min(height, int(width * new_height / new_width))
    wide = min(width, int(height * new_width / new_height))
    return max(tall, 1), max(wide, 1)


def _half(difference):
    """Half of a difference of sizes, towards 0."""
    return int(difference / 2)


class CenterCrop(Resampled, ImageLayer):
    """The middle of each image; a smaller image is resized, cropped to the new aspect ratio.

    Parameters
    ----------
    height, width : int
    data_format : {None, "channels_last", "channels_first"}
    """

    def __init__(self, height: int, width: int, data_format: DataFormat = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.height: int = check_positive_int("height", height)
        self.width: int = check_positive_int("width", width)
        self.data_format: DataFormat = check_data_format(data_format)

    def taps(self, height: int, width: int) -> tuple[Taps, Taps]:
        if height < self.height or width < self.width:
            return Resizing(self.height, self.width, crop_to_aspect_ratio=True, name="resizing").taps(height, width)
        rows, columns = (
            Taps(np.arange(new)[None] + (old - new) // 2, None)
            for old, new in ((height, self.height), (width, self.width))
        )
        return rows, columns

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        height, width, _ = xs[0].shape
        if height < self.height or width < self.width:
            return super().to_onnx(xs, graph)
        start = [(height - self.height) // 2, (width - self.width) // 2]
        end, axes = [start[0] + self.height, start[1] + self.width], [graph.axis(xs[0], 1), graph.axis(xs[0], 2)]
        return graph.add("Slice", [xs[0], *(graph.constant(np.array(a)) for a in (start, end, axes))])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(3, 2), [(4, 5, 2)]
        yield cls(4, 3), [(3, 5, 1)]
