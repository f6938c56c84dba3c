"""``tf.image``: sizes, colours and mirrors of pictures (H, W, C), or of a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.checks import check_choice
from minicnn.differentiation import Recorded
from minicnn.dtype_policies import of_python
from minicnn.errors import ShapeError
from minicnn.graph import Tensor
from minicnn.images.resizing import INTERPOLATIONS, fitting, resized
from minicnn.keras import ops
from minicnn.keras import random as numbers
from minicnn.keras._names import Lookup, lookup
from minicnn.keras._operation_marks import operated
from minicnn.keras._operations import entering, in_a_lambda, is_symbolic
from minicnn.keras._sizes_of_data import meeting_sizes
from minicnn.keras.tensorflow import _boxes, _glimpses, _likeness, _patches, _pictures, _resizing, _stateless
from minicnn.keras.tensorflow._boxes import *  # noqa: F403
from minicnn.keras.tensorflow._functions import of_tensorflow, pictures_of, pixels_of
from minicnn.keras.tensorflow._glimpses import *  # noqa: F403
from minicnn.keras.tensorflow._kernels import BY_KERNELS, kernel_weights, table_weights
from minicnn.keras.tensorflow._likeness import *  # noqa: F403
from minicnn.keras.tensorflow._patches import *  # noqa: F403
from minicnn.keras.tensorflow._pictures import *  # noqa: F403
from minicnn.keras.tensorflow._pictures import resize_image_with_crop_or_pad as resize_image_with_crop_or_pad
from minicnn.keras.tensorflow._resizing import *  # noqa: F403
from minicnn.keras.tensorflow._stateless import *  # noqa: F403
from minicnn.keras.tensorflow.io import (
    decode_and_crop_jpeg,
    decode_bmp,
    decode_gif,
    decode_image,
    decode_jpeg,
    decode_png,
    decode_webp,
    encode_jpeg,
    encode_png,
    extract_jpeg_shape,
    is_jpeg,
)

__all__ = ["convert_image_dtype", "decode_bmp", "decode_gif", "decode_image", "decode_jpeg", "decode_png"]
__all__ += ["decode_and_crop_jpeg", "decode_webp", "extract_jpeg_shape"]
__all__ += ["encode_jpeg", "encode_png", "is_jpeg"]
__all__ += ["flip_left_right", "flip_up_down", "grayscale_to_rgb", "random_flip_left_right", "resize"]
__all__ += ["resize_with_pad"]
__all__ += ["rgb_to_grayscale"]
__all__ += _pictures.__all__
__all__ += _stateless.__all__
__all__ += _patches.__all__
__all__ += _resizing.__all__
__all__ += _boxes.__all__
__all__ += _glimpses.__all__
__all__ += _likeness.__all__  # all of which take what a tape watches, or refuse it: see the end

_GREY = np.array([[0.2989], [0.5870], [0.1140]], np.float32)  # how much of red, green and blue is light (ITU-R BT.601)


class ResizeMethod:
    """Names of the methods of `resize`."""

    BILINEAR, NEAREST_NEIGHBOR, BICUBIC, AREA = "bilinear", "nearest", "bicubic", "area"
    LANCZOS3, LANCZOS5, GAUSSIAN, MITCHELLCUBIC = "lanczos3", "lanczos5", "gaussian", "mitchellcubic"


@meeting_sizes
def resize(
    images: Any,
    size: Sequence[int],
    method: str = "bilinear",
    preserve_aspect_ratio: bool = False,
    antialias: bool = False,
    name: str | None = None,
) -> Any:
    """Pictures of another size, float32; "nearest" keeps the dtype.

    Parameters
    ----------
    images : array (H, W, C) or (N, H, W, C), or a model's tensor
    size : (int, int)
        Height and width.
    method : {"bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic"}
    preserve_aspect_ratio : bool, default False
        Whether the pictures become only as large as fits into the size.
    antialias : bool, default False
        Whether pictures are smoothed that become smaller.

    Raises
    ------
    ValueError
        For another method, or another number of axes.
    """
    check_choice("method", method, (*INTERPOLATIONS, *BY_KERNELS))
    height, width = (int(n) for n in size)
    pixels = images if is_symbolic(images) else pixels_of(images)
    if len(pixels.shape) not in (3, 4):
        raise ValueError(f"tf.image.resize takes (H, W, C) or (N, H, W, C). Received: shape {pixels.shape}")
    if preserve_aspect_ratio:
        sizes = pixels.shape[-3:-1]
        if None in sizes:
            raise ValueError(f"`preserve_aspect_ratio` needs pictures of a known size. Received: shape {pixels.shape}")
        share = np.min(np.float32((height, width)) / np.float32(sizes))
        height, width = (max(1, int(n)) for n in np.round(share * np.float32(sizes)))  # in float32, as TensorFlow
    if is_symbolic(images) and method in BY_KERNELS:
        return in_a_lambda(lambda x: resize(x, (height, width), method, antialias=antialias), images)
    if is_symbolic(images):
        return layers.Resizing(height, width, interpolation=method, antialias=antialias)(images)
    batch = pixels if pixels.ndim == 4 else pixels[None]  # (N, H, W, C)
    if isinstance(batch, Recorded) or method in BY_KERNELS or (method == "bicubic" and not antialias):
        floats = batch if isinstance(batch, Recorded) else batch.astype(np.float32)
        made = _resized_by_products(floats, (height, width), method, antialias)
        made = made if isinstance(batch, Recorded) else of_tensorflow(made)
        return made if pixels.ndim == 4 else made[0]
    if antialias and method != "area":
        made = np.asarray(layers.Resizing(height, width, interpolation=method, antialias=True)(batch))
    else:
        made = np.stack([resized(picture, (height, width), method) for picture in batch])
    made = made.astype(pixels.dtype) if method == "nearest" else made
    return of_tensorflow(made if pixels.ndim == 4 else made[0])


def _resized_by_products(batch, sizes, method, antialias):
    """The same for recorded pictures (N, H, W, C): a product with the weights of pixels, along each axis."""
    for axis, size in zip((1, 2), sizes, strict=True):
        batch = np.moveaxis(
            np.moveaxis(batch, axis, -1) @ _weights(batch.shape[axis], size, method, antialias), -1, axis
        )
    return batch


def _weights(count, size, method, antialias):
    """How much of each of `count` pixels is in each of `size` ones: (count, size), float32."""
    if method in BY_KERNELS or (method == "bicubic" and not antialias):
        return kernel_weights(count, size, method, antialias) if method in BY_KERNELS else table_weights(count, size)
    ones = np.eye(count, dtype=np.float32)[:, None]  # (n, 1, n): a picture for each pixel, as a channel
    return np.asarray(resize(ones, (size, 1), method, antialias=antialias))[:, 0].T


def resize_with_pad(
    image: Any, target_height: int, target_width: int, method: str = "bilinear", antialias: bool = False
) -> Any:
    """Each picture as large as fits, its proportions kept and sizes rounded down, in the middle of black."""
    pixels, targets = pictures_of(image), (int(target_height), int(target_width))
    size, before = fitting(pixels.shape[-3:-1], targets)
    return _pictures.pad_to_bounding_box(resize(pixels, size, method, antialias=antialias), *before, *targets)


def convert_image_dtype(image: Any, dtype: Any, saturate: bool = False) -> Any:
    """Whole numbers as floats from 0 to 1, and the reverse; whole numbers as others of a larger or smaller range."""
    pixels, dtype = pixels_of(image), np.dtype(of_python(dtype))
    if pixels.dtype.kind in "iu" and dtype.kind in "iu":
        most, largest = int(np.iinfo(pixels.dtype).max), int(np.iinfo(dtype).max)
        if most > largest:
            pixels = pixels // ((most + 1) // (largest + 1))
            return of_tensorflow((np.clip(pixels, np.iinfo(dtype).min, largest) if saturate else pixels).astype(dtype))
        pixels = np.maximum(pixels, 0) if saturate and dtype.kind == "u" else pixels
        return of_tensorflow(pixels.astype(dtype) * dtype.type((largest + 1) // (most + 1)))
    if pixels.dtype.kind in "iu" and dtype.kind == "f":
        return of_tensorflow(pixels.astype(dtype) * dtype.type(1 / np.iinfo(pixels.dtype).max))
    if pixels.dtype.kind == "f" and dtype.kind in "iu":
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        if most > float(np.finfo(pixels.dtype).max):  # of float16
            pixels = pixels.astype(np.float32)
        largest = pixels.dtype.type(most)
        if int(largest) > most:  # floats have no 2 ** 31 - 1, and 2 ** 31 is no int32
            largest = np.nextafter(largest, pixels.dtype.type(0))
        return of_tensorflow(np.clip(pixels * (most + 0.5), least, largest).astype(dtype))
    return of_tensorflow(pixels.astype(dtype))


def rgb_to_grayscale(images: Any, name: str | None = None) -> Any:
    """0.2989 · red + 0.5870 · green + 0.1140 · blue, (…, 1)."""
    if isinstance(images, Tensor):
        return operated("rgb_to_grayscale", lambda x: layers.Reduce("sum", -1, True)(x * _GREY[:, 0]), [images], {})
    pixels, back = _pictures.as_floats(images)
    return back(pixels.astype(np.float32) @ _GREY)


def grayscale_to_rgb(images: Any, name: str | None = None) -> Any:
    """The one channel three times.

    Raises
    ------
    ShapeError
        For another number of channels.
    """
    pixels = pixels_of(images)
    if pixels.shape[-1:] != (1,):
        raise ShapeError(
            "expected grey pictures (…, H, W, 1); x[..., None] adds the axis where it is missing. "
            f"Received: shape {pixels.shape}"
        )
    return of_tensorflow(np.repeat(pixels, 3, axis=-1))


def flip_left_right(image: Any) -> Any:
    """Mirrored, right to left."""
    return ops.flip(image, -2) if isinstance(image, Tensor) else of_tensorflow(np.flip(pictures_of(image), axis=-2))


def flip_up_down(image: Any) -> Any:
    """Upside down."""
    return ops.flip(image, -3) if isinstance(image, Tensor) else of_tensorflow(np.flip(pictures_of(image), axis=-3))


def random_flip_left_right(image: Any, seed: int | None = None) -> Any:
    """Mirrored, half of the times; each picture of a batch by itself."""
    pixels = pictures_of(image)
    drawn = np.asarray(numbers.uniform(pixels.shape[:-3], seed=seed)) < 0.5
    return of_tensorflow(np.where(drawn[..., None, None, None], np.flip(pixels, axis=-2), pixels))


globals().update({name: entering(globals()[name]) for name in __all__})
__getattr__: Lookup = lookup(__name__)
