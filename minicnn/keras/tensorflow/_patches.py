"""``tf.image``'s windows: patches, boxes cut out and resized, edges; and colours as brightness and two differences."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.differentiation import value_of
from minicnn.errors import ShapeError
from minicnn.keras import ops
from minicnn.keras import random as numbers
from minicnn.keras._windows import window_of
from minicnn.keras.ops._further import of_tensors_too
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow
from minicnn.settings import floatx

__all__ = ["adjust_jpeg_quality", "crop_and_resize", "extract_patches", "image_gradients", "random_jpeg_quality"]
__all__ += ["rgb_to_yiq", "rgb_to_yuv", "sobel_edges", "yiq_to_rgb", "yuv_to_rgb"]


def patches_of(x: Any, size: Any, strides: Any, rates: Any, padding: str) -> Any:
    """The windows of images (N, H, W, C), each as one row of its pixels: (N, OH, OW, KH · KW · C)."""
    count, height, width, channels = np.shape(value_of(x))
    window = window_of((height, width), size, strides, padding, rates)
    around = ((window.pad_top, window.pad_bottom), (window.pad_left, window.pad_right))
    x = np.pad(x, ((0, 0), *around, (0, 0)))
    rows = np.arange(window.out_height)[:, None] * window.stride_y + np.arange(size[0]) * window.dilation_y  # (OH, KH)
    columns = np.arange(window.out_width)[:, None] * window.stride_x + np.arange(size[1]) * window.dilation_x
    cut = x[:, rows[:, None, :, None], columns[None, :, None, :]]  # (N, OH, OW, KH, KW, C)
    return np.reshape(cut, (count, window.out_height, window.out_width, size[0] * size[1] * channels))


_patches = of_tensors_too(patches_of)


def extract_patches(
    images: Any,
    sizes: Sequence[int],
    strides: Sequence[int],
    rates: Sequence[int] = (1, 1, 1, 1),
    padding: str = "VALID",
    name: str | None = None,
) -> Any:
    """The windows of images, each as one row of its pixels.

    Parameters
    ----------
    images : array (N, H, W, C), or a model's tensor
    sizes, strides, rates : (1, rows, columns, 1)
    padding : {"VALID", "SAME"}

    Returns
    -------
    array (N, OH, OW, rows · columns · C)
    """
    inner = [tuple(int(n) for n in given[1:3]) for given in (sizes, strides, rates)]
    return of_tensorflow(_patches(images, *inner, padding))


def crop_and_resize(
    image: Any,
    boxes: Any,
    box_indices: Any,
    crop_size: Sequence[int],
    method: str = "bilinear",
    extrapolation_value: float = 0.0,
    name: str | None = None,
) -> Any:
    """Parts of images, each brought to one size: corners meet corners.

    Parameters
    ----------
    image : array (N, H, W, C)
    boxes : array (B, 4)
        Top, left, bottom and right, where 0 and 1 are the middles of the first and the last pixel.
    box_indices : array (B,)
        Of which image each is a part.
    crop_size : (int, int)
    method : {"bilinear", "nearest"}
    extrapolation_value : float, default 0
        Where a box lies outside.

    Returns
    -------
    array (B, *crop_size, C), float32
    """
    check_choice("method", method, ("bilinear", "nearest"))
    x = as_tensor(image)
    height, width = x.shape[1:3]
    corners = np.asarray(value_of(as_tensor(boxes)), np.float32)
    which = np.asarray(value_of(box_indices)).astype(int)[:, None, None]
    if ((which < 0) | (which >= len(x))).any():
        raise ValueError(f"each box is a part of one of the {len(x)} image(s). Received: box_indices={box_indices}")
    y, is_row = _places(corners[:, 0], corners[:, 2], height, int(crop_size[0]))  # (B, OH)
    x_places, is_column = _places(corners[:, 1], corners[:, 3], width, int(crop_size[1]))  # (B, OW)
    y, x_places = y[:, :, None], x_places[:, None, :]
    inside = (is_row[:, :, None] & is_column[:, None, :])[..., None]
    if method == "nearest":
        made = x[which, np.floor(y + 0.5).astype(int), np.floor(x_places + 0.5).astype(int)]
    else:
        top, left = np.floor(y).astype(int), np.floor(x_places).astype(int)
        bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
        down, along = (y - top)[..., None], (x_places - left)[..., None]
        upper = x[which, top, left] * (1 - along) + x[which, top, right] * along
        lower = x[which, bottom, left] * (1 - along) + x[which, bottom, right] * along
        made = upper * (1 - down) + lower * down
    return of_tensorflow(ops.cast(np.where(inside, made, np.float32(extrapolation_value)), "float32"))


def _places(first, last, length, count):
    """(where the samples lie, pulled inside; whether they lie inside), (B, count)."""
    step = (last - first) * (length - 1) / max(count - 1, 1)
    if count == 1:
        at = (first + last)[:, None] / 2 * (length - 1)
    else:
        at = first[:, None] * (length - 1) + np.arange(count, dtype=np.float32) * step[:, None]
    return np.clip(at, 0, length - 1), (at >= 0) & (at <= length - 1)


def image_gradients(image: Any) -> tuple[Any, Any]:
    """(differences to the next row, to the next column) of images (N, H, W, C), 0 at the last."""
    x = as_tensor(image)
    down = np.pad(x[:, 1:] - x[:, :-1], ((0, 0), (0, 1), (0, 0), (0, 0)))
    along = np.pad(x[:, :, 1:] - x[:, :, :-1], ((0, 0), (0, 0), (0, 1), (0, 0)))
    return of_tensorflow(down), of_tensorflow(along)


def signed(images: Any, axes: int | None = None) -> Any:
    """Pictures whose numbers have differences, which whole ones without a sign have not.

    Raises
    ------
    TypeError
        For uint8 and the like, which would wrap around.
    ShapeError
        For another number of axes than `axes`, if that is given.
    """
    x = as_tensor(images)
    if x.dtype.kind == "u":
        raise TypeError(f"differences are of floats: tf.image.convert_image_dtype or tf.cast. Received: {x.dtype}")
    if axes is not None and x.ndim != axes:
        raise ShapeError(f"expected a batch of pictures (N, H, W, C), one as x[None]. Received: shape {x.shape}")
    return x


def sobel_edges(image: Any) -> Any:
    """How steep images are downwards and to the right, by Sobel's filters: (N, H, W, C, 2)."""
    x = np.pad(signed(image, 4), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    height, width = (n - 2 for n in x.shape[1:3])

    def smoothed(along: int) -> Any:  # 1, 2, 1 across, and the difference of the neighbours on both sides
        def part(row: int, column: int) -> Any:
            return x[:, row : row + height, column : column + width]

        at = (lambda one, other: part(one, other)) if along == 0 else (lambda one, other: part(other, one))
        return sum(weight * (at(2, k) - at(0, k)) for k, weight in enumerate((1, 2, 1)))

    return of_tensorflow(np.stack([smoothed(0), smoothed(1)], axis=-1))


_YUV = np.array(  # how brightness and the two differences are made of red, green and blue (ITU-R BT.601)
    [[0.299, -0.14714119, 0.61497538], [0.587, -0.28886916, -0.51496512], [0.114, 0.43601035, -0.10001026]]
)


_YIQ = np.array(  # the same of NTSC's colour differences (FCC's standard), and TensorFlow's rounded inverse
    [[0.299, 0.59590059, 0.2115], [0.587, -0.27455667, -0.52273617], [0.114, -0.32134392, 0.31119955]]
)
_OF_YIQ = np.array([[1, 1, 1], [0.95598634, -0.27201283, -1.10674021], [0.6208248, -0.64720424, 1.70423049]])


def _mixed(images: Any, matrix: np.ndarray) -> Any:
    """Three numbers of each pixel's three, (…, 3)."""
    x = as_tensor(images)
    return of_tensorflow(ops.matmul(x, matrix.astype(x.dtype if x.dtype.kind == "f" else floatx())))


def rgb_to_yuv(images: Any) -> Any:
    """Brightness and two colour differences of (…, 3)."""
    return _mixed(images, _YUV)


def yuv_to_rgb(images: Any) -> Any:
    """Red, green and blue of brightness and two colour differences, (…, 3)."""
    return _mixed(images, np.linalg.inv(_YUV))


def rgb_to_yiq(images: Any) -> Any:
    """Brightness and two colour differences as NTSC has them, of (…, 3)."""
    return _mixed(images, _YIQ)


def yiq_to_rgb(images: Any) -> Any:
    """Red, green and blue of NTSC's brightness and two colour differences, (…, 3)."""
    return _mixed(images, _OF_YIQ)


def adjust_jpeg_quality(image: Any, jpeg_quality: Any, dct_method: str = "", name: str | None = None) -> Any:
    """A picture (H, W, C) as it is once it was a JPEG file of this quality, from 0 to 100."""
    from PIL import Image

    pixels = np.asarray(value_of(image))
    is_float = pixels.dtype.kind == "f"
    whole = np.clip(pixels * 255.5, 0, 255).astype(np.uint8) if is_float else pixels.astype(np.uint8)
    into = BytesIO()
    Image.fromarray(whole[..., 0] if whole.shape[-1] == 1 else whole).save(into, "JPEG", quality=int(jpeg_quality))
    made = np.asarray(Image.open(into)).reshape(whole.shape)
    return of_tensorflow(made.astype(pixels.dtype) / 255 if is_float else made.astype(pixels.dtype))


def random_jpeg_quality(image: Any, min_jpeg_quality: int, max_jpeg_quality: int, seed: int | None = None) -> Any:
    """`adjust_jpeg_quality` by a random quality."""
    quality = numbers.randint((), min_jpeg_quality, max_jpeg_quality, seed=seed)
    return adjust_jpeg_quality(image, int(np.asarray(quality)))
