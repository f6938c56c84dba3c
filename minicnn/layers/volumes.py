"""Layers for volumes (N, D, H, W, C), as of CT scans and videos: 2-D ones for each slice, then along the depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

import numpy as np

from minicnn.checks import check_choice, is_integer, plain
from minicnn.foreign import shown
from minicnn.geometry import Window, effective_size, make_window
from minicnn.hints import DataFormat, LayerOptions, Padding
from minicnn.layers.base import Examples, Layer
from minicnn.layers.flatten import View
from minicnn.layers.global_pooling import GlobalAveragePooling2D, GlobalMaxPooling2D
from minicnn.layers.pooling import AveragePooling2D, MaxPooling2D
from minicnn.layers.resizing import UpSampling2D
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.layers.time_distributed import PerFrame
from minicnn.step import Buffer, Shape, Shapes, Step, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = [
    "AveragePooling3D",
    "AvgPool3D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool3D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling3D",
    "MaxPool3D",
    "MaxPooling3D",
    "UpSampling3D",
]

Triple: TypeAlias = int | Sequence[int]
"""Depth, height and width, or one number for all."""

AXES = "(depth, height, width, channels)"


def check_triple(name: str, value: object, minimum: int = 1) -> tuple[int, int, int]:
    """`value`, an integer or three integers of at least `minimum`, as (depth, height, width).

    Raises
    ------
    ValueError
        If it is neither.
    """
    value = plain(value)
    three = (value,) * 3 if is_integer(value) else value
    is_triple = isinstance(three, Sequence) and not isinstance(three, str) and len(three) == 3
    if not is_triple or not all(is_integer(n) and n >= minimum for n in three):
        raise ValueError(
            f"`{name}` must be an integer of at least {minimum}, for depth, height and width, or three of them "
            f"(depth, height, width); write for example {name}=2 or {name}=(2, 2, 2). Received: {name}={shown(value)}"
        )
    return int(three[0]), int(three[1]), int(three[2])


def volume_windows(
    size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], padding: str, gaps: Sequence[int] = (1, 1, 1)
) -> tuple[Window, Window]:
    """The window of three axes as two: over the depth of an image (D, 1), and over slices (H, W).

    Parameters
    ----------
    size, kernel, strides, gaps : sequence of three int
        (depth, height, width) each.
    padding : {"valid", "same"}

    Raises
    ------
    ValueError
        If the window is larger than the volume it slides over.
    """
    spans = [effective_size(*axis) for axis in zip(kernel, gaps, strict=True)]
    if padding == "valid" and any(span > n for span, n in zip(spans, size, strict=True)):
        raise ValueError(
            f"the window of {tuple(kernel)} with dilation {tuple(gaps)} is larger than its input of {tuple(size)} "
            "(depth, height, width); use a smaller window, padding='same', or a larger input"
        )
    depth = make_window((size[0], 1), (kernel[0], 1), (strides[0], 1), padding, (gaps[0], 1))
    return depth, make_window(size[1:], kernel[1:], strides[1:], padding, gaps[1:])


def onnx_window(graph: GraphWriter, layer: Any, shape: Shape) -> dict[str, Any]:
    """A layer's windows, for samples of this shape, as attributes of a node; sizes may be None."""
    tall = (shape[0], 1, 1)

    def depth_of(some: Shape) -> Window:
        return layer.windows((some[0], *_large(shape[1:])))[0]

    def slices_of(some: Shape) -> Window:
        return layer.windows((*_large(shape[:1]), *some))[1]

    deep, flat = graph.window(depth_of, tall), graph.window(slices_of, shape[1:])
    joined = {name: [deep[name][0], *flat[name]] for name in ("kernel_shape", "strides")}
    gaps = [deep.get("dilations", [1])[0], *flat.get("dilations", [1, 1])]
    joined |= {"dilations": gaps} if gaps != [1, 1, 1] else {}
    if "auto_pad" in deep or "auto_pad" in flat:
        return joined | {"auto_pad": "SAME_UPPER"}
    (front, _, back, _), (top, left, bottom, right) = deep["pads"], flat["pads"]
    return joined | {"pads": [front, top, left, back, bottom, right]}


def _large(shape):
    """Sizes that any window fits into, where they are open."""
    return tuple(1 << 20 if size is None else size for size in shape)


# ------------------------------------------------------------------------------------- what is done to images


class AlongDepth(PerFrame):
    """A step for images that takes volumes (N, D, H, W, C) as images (N, D, H · W, C), whose width it keeps.

    Parameters
    ----------
    step : Step
    """

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        return self.step.build((_upright(shape),))[0], *shape[1:]

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return self.step.buffers(tuple(map(_upright, input_shapes)), _upright(output_shape), training)

    def bind(self, ws: Workspace) -> None:
        (x, y), dy, dxs = map(_as_image, (ws.xs[0], ws.y)), ws.dy, ws.dxs
        dy = None if dy is None else _as_image(dy)
        dxs = tuple(None if dx is None else _as_image(dx) for dx in dxs)
        ws.of_frames = replace(ws, xs=(x,), y=y, dy=dy, dxs=dxs)
        self.step.bind(ws.of_frames)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        shape = _upright(xs[0].shape)
        x = graph.add("Reshape", [graph.channels_last(xs[0]), graph.constant([-1, *shape])])
        y = self.step.to_onnx((replace(x, shape=shape),), graph)
        y = graph.channels_last(replace(y, shape=self.step.build((shape,))))
        return graph.add("Reshape", [y, graph.constant([-1, y.shape[0], *xs[0].shape[1:]])])


def _upright(shape):
    """(D, H, W, C) as (D, H · W, C)."""
    return shape[0], shape[1] * shape[2], shape[3]


def _as_image(array):
    """(N, D, H, W, C) as (N, D, H · W, C), without a copy."""
    return array.reshape(len(array), *_upright(array.shape[1:]))


class Volumes(Layer):
    """Base of layers without weights: a subclass says what is done to each slice, and what along the depth then.

    Attributes
    ----------
    has_onnx : bool
        Whether ONNX has an operator for all of it.
    """

    has_onnx: bool = True

    def of_slices(self) -> list[Step]:
        """Steps for images (H, W, C)."""
        raise NotImplementedError

    def along_depth(self) -> list[Step]:
        """Steps for images (D, width, C), which keep the width; none where nothing is to be done."""
        raise NotImplementedError

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_rank(self, shape, 4, AXES)
        for step in self.lower():
            shape = step.build((shape,))
        return shape

    def lower(self) -> list[Step]:
        steps: list[Step] = [*map(PerFrame, self.of_slices()), *map(AlongDepth, self.along_depth())]
        return written_as_one(self, steps) if self.has_onnx else steps


def written_as_one(layer: Layer, steps: list[Step]) -> list[Step]:
    """Steps of a layer of which the first one gives ONNX's nodes for all."""
    vars(steps[0]).update(to_onnx=layer.to_onnx)
    for step in steps[1:]:
        vars(step).update(to_onnx=_as_it_is)
    return steps


def _as_it_is(xs: tuple[Value, ...], graph: GraphWriter) -> Value:
    return xs[0]


# ------------------------------------------------------------------------------------------------------ the layers


class _Pooling3D(Volumes):
    """What max and average pooling have in common."""

    pooling: type[MaxPooling2D | AveragePooling2D]

    def __init__(
        self,
        pool_size: Triple = (2, 2, 2),
        strides: Triple | None = None,
        padding: Padding = "valid",
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size: tuple[int, int, int] = check_triple("pool_size", pool_size)
        self.strides: tuple[int, int, int] = self.pool_size if strides is None else check_triple("strides", strides)
        self.padding: Padding = check_choice("padding", str(padding).lower(), ("valid", "same"))
        self.data_format: DataFormat = check_data_format(data_format)

    def windows(self, shape: Shape) -> tuple[Window, Window]:
        """The geometry for samples of this shape: over the depth, and over slices."""
        return volume_windows(shape[:3], self.pool_size, self.strides, self.padding)

    def build(self, input_shapes: Shapes) -> Shape:
        check_rank(self, input_shapes[0], 4, AXES)
        self.windows(input_shapes[0])  # whose error names all three axes
        return super().build(input_shapes)

    def of_slices(self) -> list[Step]:
        if self.pool_size[0] > 1 and self.pool_size[1:] == self.strides[1:] == (1, 1):
            return []
        return self.pooling(self.pool_size[1:], self.strides[1:], self.padding, name=self.name).lower()

    def along_depth(self) -> list[Step]:
        if self.pool_size[0] == self.strides[0] == 1:
            return []
        return self.pooling((self.pool_size[0], 1), (self.strides[0], 1), self.padding, name=self.name).lower()

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        attributes = onnx_window(graph, self, xs[0].shape)
        return graph.add(self.pooling.onnx_name, [graph.channels_first(xs[0])], **attributes)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 4, 6, 2)]
        yield cls((3, 2, 1), strides=(1, 2, 2), padding="same"), [(4, 5, 3, 3)]
        yield cls((1, 2, 2), strides=(1, 1, 2)), [(2, 3, 4, 1)]
        yield cls((2, 1, 1)), [(4, 2, 3, 2)]


class MaxPooling3D(_Pooling3D):
    """The maximum of each window of a volume; its gradient goes to the first voxel that holds the maximum.

    Parameters
    ----------
    pool_size : int or (int, int, int), default 2
        Depth, height and width of the window.
    strides : int or (int, int, int), optional
        Default: the pool size.
    padding : {"valid", "same"}, default "valid"
        Padding never wins.
    data_format : {None, "channels_last", "channels_first"}
        Volumes are (N, D, H, W, C), or (N, C, D, H, W).

    Notes
    -----
    Input (N, D, H, W, C), output (N, OD, OH, OW, C). The maxima of slices, and of these along the depth, are those of
    the windows, and of equal ones the first in the order (depth, height, width) wins, as in PyTorch. TensorFlow's
    gradient on a processor goes to all of them in full.
    """

    pooling: type[MaxPooling2D | AveragePooling2D] = MaxPooling2D


class AveragePooling3D(_Pooling3D):
    """The mean of each window of a volume; with "same" padding only the voxels of the volume count.

    Parameters
    ----------
    pool_size : int or (int, int, int), default 2
        Depth, height and width of the window.
    strides : int or (int, int, int), optional
        Default: the pool size.
    padding : {"valid", "same"}, default "valid"
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    Input (N, D, H, W, C), output (N, OD, OH, OW, C). Every slice of a window has as many voxels, so that the mean of
    their means is the window's.
    """

    pooling: type[MaxPooling2D | AveragePooling2D] = AveragePooling2D


class UpSampling3D(Volumes):
    """Every voxel `size` times: volumes whose depth, height and width are a multiple of the input's.

    Parameters
    ----------
    size : int or (int, int, int), default 2
        Factors of depth, height and width.
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    Input (N, D, H, W, C), output (N, D · size[0], H · size[1], W · size[2], C).
    """

    def __init__(
        self, size: Triple = (2, 2, 2), data_format: DataFormat = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.size: tuple[int, int, int] = check_triple("size", size)
        self.data_format: DataFormat = check_data_format(data_format)

    def of_slices(self) -> list[Step]:
        return [UpSampling2D(self.size[1:], name=self.name)]

    def along_depth(self) -> list[Step]:
        return [] if self.size[0] == 1 else [UpSampling2D((self.size[0], 1), name=self.name)]

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        nothing, factors = np.zeros(0, np.float32), np.array([1, 1, *self.size], np.float32)
        inputs = [graph.channels_first(xs[0]), graph.constant(nothing), graph.constant(factors)]
        options = {"mode": "nearest", "nearest_mode": "round_prefer_ceil"}
        return graph.add("Resize", inputs, coordinate_transformation_mode="half_pixel", **options)

    @classmethod
    def examples(cls) -> Examples:
        yield cls((3, 1, 2)), [(2, 3, 2, 2)]
        yield cls((1, 2, 1)), [(2, 2, 3, 1)]


# ------------------------------------------------------------------------------------------------- whole volumes


class _AsImage(View):
    """Samples (D, H, W, C) as images (D, H · W, C)."""

    def build(self, input_shapes: Shapes) -> Shape:
        return _upright(input_shapes[0])

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        shape = self.build((xs[0].shape,))
        return graph.add("Reshape", [graph.channels_last(xs[0]), graph.constant([-1, *shape])])


class _Deepened(_AsImage):
    """Samples (1, 1, C) as volumes (1, 1, 1, C)."""

    def build(self, input_shapes: Shapes) -> Shape:
        return 1, *input_shapes[0]


class _GlobalPooling3D(Layer):
    """What the global poolings have in common."""

    pooling: type[GlobalAveragePooling2D | GlobalMaxPooling2D]

    def __init__(self, data_format: DataFormat = None, keepdims: bool = False, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.data_format: DataFormat = check_data_format(data_format)
        self.keepdims: bool = keepdims

    def build(self, input_shapes: Shapes) -> Shape:
        check_rank(self, input_shapes[0], 4, AXES)
        return (1, 1, 1, input_shapes[0][3]) if self.keepdims else (input_shapes[0][3],)

    def lower(self) -> list[Step]:
        steps: list[Step] = [_AsImage(name=self.name), self.pooling(keepdims=self.keepdims, name=self.name)]
        return written_as_one(self, [*steps, _Deepened(name=self.name)] if self.keepdims else steps)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        y = graph.add(self.pooling.onnx_name, [graph.channels_first(xs[0])])  # (N, C, 1, 1, 1)
        return y if self.keepdims else graph.add("Flatten", [y], channels_first=False)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(3, 2, 4, 3)]
        yield cls(keepdims=True), [(2, 3, 2, 2)]


class GlobalAveragePooling3D(_GlobalPooling3D):
    """The mean of each channel over the whole volume: (N, D, H, W, C) becomes (N, C).

    Parameters
    ----------
    data_format : {None, "channels_last", "channels_first"}
        Volumes are (N, D, H, W, C), or (N, C, D, H, W).
    keepdims : bool, default False
        Whether the output is (N, 1, 1, 1, C) rather than (N, C).
    """

    pooling: type[GlobalAveragePooling2D | GlobalMaxPooling2D] = GlobalAveragePooling2D


class GlobalMaxPooling3D(_GlobalPooling3D):
    """The maximum of each channel over the whole volume: (N, D, H, W, C) becomes (N, C).

    Its gradient goes to the first voxel that holds the maximum.

    Parameters
    ----------
    data_format : {None, "channels_last", "channels_first"}
        Volumes are (N, D, H, W, C), or (N, C, D, H, W).
    keepdims : bool, default False
        Whether the output is (N, 1, 1, 1, C) rather than (N, C).
    """

    pooling: type[GlobalAveragePooling2D | GlobalMaxPooling2D] = GlobalMaxPooling2D


MaxPool3D = MaxPooling3D
AvgPool3D = AveragePooling3D
GlobalMaxPool3D = GlobalMaxPooling3D
GlobalAvgPool3D = GlobalAveragePooling3D
