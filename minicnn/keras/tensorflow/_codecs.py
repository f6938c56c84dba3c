"""Pictures of a file's bytes, and the reverse, as ``tf.io`` has them."""

from __future__ import annotations

from importlib import import_module
from io import BytesIO
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.data.elements import EagerArray
from minicnn.errors import DataError, ShapeError
from minicnn.images.files import brightness, decoded, pillow
from minicnn.keras.tensorflow._examples import as_bytes, text_of
from minicnn.keras.tensorflow._functions import of_tensorflow

__all__ = ["decode_and_crop_jpeg", "decode_bmp", "decode_gif", "decode_image", "decode_jpeg", "decode_png"]
__all__ += ["decode_webp", "encode_jpeg", "encode_png", "extract_jpeg_shape"]

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by the number of channels
_OWN = {"1": 1, "L": 1, "F": 1, "LA": 2, "PA": 4, "RGBA": 4, "La": 2, "RGBa": 4}  # all others have 3
_DEEP = ("I;16", "I;16B", "I;16L", "I")  # grey of 16 bits


def decode_image(
    contents: Any, channels: int = 0, dtype: Any = "uint8", name: str | None = None, expand_animations: bool = True
) -> EagerArray:
    """The pixels of a picture, (H, W, C).

    Parameters
    ----------
    contents : bytes
        Of a file.
    channels : {0, 1, 3, 4}, default 0
        0 means as many as the picture has: 2 and 4 with transparency.
    dtype : {"uint8", "uint16", "float32", …}
        Floats lie from 0 to 1, those of other kinds than float32 up to 256 / 257 where the file is no PNG, as there.
    expand_animations : bool, default True
        Whether GIF and WebP give all their pictures, (N, H, W, C), also if there is one, rather than the first.
    """
    check_choice("channels", channels, (0, 1, 3, 4))

    def pixels(image: Any) -> np.ndarray:
        if not expand_animations or image.format not in ("GIF", "WEBP"):
            return _frame(_opaque(image, None), channels)
        frames, own = [], None
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            own = _opaque(image, own)
            frames.append(_frame(own, channels))
        return np.stack(frames)  # (N, H, W, C)

    contents = as_bytes(contents)
    made, dtype = decoded(BytesIO(contents), pixels), np.dtype(dtype)
    if dtype == np.uint16 and made.dtype == np.uint8 and contents[:4] == b"\x89PNG" and contents[24] == 16:
        raise DataError("colours of 16 bits are read as 8: dtype=tf.uint8. Received: a PNG file of such, dtype=uint16")
    if dtype.name in ("uint8", "uint16", "float32"):
        return _of_range(made, dtype, contents[:4] == b"\x89PNG").view(EagerArray)
    deep = _of_range(made, np.dtype(np.uint16), contents[:4] == b"\x89PNG")
    if dtype.kind == "f":
        return _of_range(deep, np.dtype(np.float32), True).astype(dtype).view(EagerArray)
    return import_module("minicnn.keras.tensorflow.image").convert_image_dtype(deep, dtype)


def _opaque(image, before):
    """A picture; of a GIF file in colours, with those of the picture before it, or black, where it is transparent."""
    if image.format != "GIF":
        return image
    made = pillow().new("RGB", image.size) if before is None else before.copy()
    own = image.convert("RGBA")
    made.paste(own.convert("RGB"), mask=own.getchannel("A"))
    return made


def _frame(image, channels):
    """The pixels (H, W, C) of a picture: uint8, or uint16 of grey ones of 16 bits."""
    if image.mode in _DEEP:
        grey = np.asarray(image).astype(np.uint16)[..., None]
        opaque = [np.full_like(grey, 65535)] if channels == 4 else []
        return np.concatenate([grey] * (3 if channels > 2 else 1) + opaque, axis=-1)
    if channels == 1:
        image = brightness(image)
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    count = channels or _OWN.get(image.mode, 3)
    pixels = np.array(image.convert(_MODES[count]))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _of_range(pixels, dtype, is_png):
    """Whole numbers of 8 or 16 bits as those of a dtype, or as floats from 0 to 1; 255 is 65535 of PNG files alone."""
    if dtype.kind == "f":
        return (pixels / np.float32(np.iinfo(pixels.dtype).max)).astype(dtype)
    if dtype.itemsize > pixels.dtype.itemsize:
        return pixels.astype(dtype) * dtype.type(257 if is_png else 256)
    return pixels if dtype.itemsize == pixels.dtype.itemsize else (pixels >> 8).astype(dtype)


def decode_png(contents: Any, channels: int = 0, dtype: Any = "uint8", name: str | None = None) -> EagerArray:
    """The pixels of a picture, (H, W, C), also of another format; arguments as for `decode_image`."""
    return decode_image(contents, channels, dtype, expand_animations=False)


def decode_bmp(contents: Any, channels: int = 0, name: str | None = None) -> EagerArray:
    """The pixels of a picture, (H, W, C); arguments as for `decode_image`."""
    return decode_image(contents, channels, expand_animations=False)


def decode_gif(contents: Any, name: str | None = None) -> EagerArray:
    """The pictures of an animation, (N, H, W, 3)."""
    made = decode_image(contents, 3)
    return made if made.ndim == 4 else made[None]


def decode_webp(contents: Any, channels: int = 0, dtype: Any = "uint8", name: str | None = None) -> EagerArray:
    """The pictures of a file, (N, H, W, C); arguments as for `decode_image`."""
    made = decode_image(contents, channels, dtype)
    return made if made.ndim == 4 else made[None]


def decode_jpeg(
    contents: Any,
    channels: int = 0,
    ratio: int = 1,
    fancy_upscaling: bool = True,
    try_recover_truncated: bool = False,
    acceptable_fraction: float = 1,
    dct_method: str = "",
    name: str | None = None,
) -> EagerArray:
    """Pixels from 0 to 255 of a picture, (H, W, C), those of TensorFlow with ``dct_method="INTEGER_ACCURATE"``.

    TensorFlow's own choice is the fast one, whose pixels differ by some levels.

    Parameters
    ----------
    contents : bytes
        Of a file.
    channels : {0, 1, 3}, default 0
    ratio : {1, 2, 4, 8}, default 1
        How many times smaller the picture is read.
    fancy_upscaling, try_recover_truncated, acceptable_fraction, dct_method : optional
        Not used.

    Raises
    ------
    DataError
        For another ratio than 1, if the file is no JPEG, or the picture smaller than that.
    """
    check_choice("ratio", ratio, (1, 2, 4, 8))
    check_choice("dct_method", dct_method, ("", "INTEGER_FAST", "INTEGER_ACCURATE"))
    if ratio == 1:
        return decode_image(contents, channels, expand_animations=False)
    check_choice("channels", channels, (0, 1, 3))

    def smaller(image: Any) -> np.ndarray:
        least = [n // ratio for n in image.size]
        if image.format != "JPEG" or not all(least):
            raise DataError(
                f"a JPEG file of {ratio} pixels or more along each side is read smaller; others with ratio=1. "
                f"Received: {ratio=}, {image.format} of {image.size}"
            )
        image.draft("L" if channels == 1 else None, least)
        return _frame(image, channels)

    return decoded(BytesIO(as_bytes(contents)), smaller).view(EagerArray)


def decode_and_crop_jpeg(contents: Any, crop_window: Any, channels: int = 0, **options: Any) -> EagerArray:
    """A part of a picture, (rows, columns, C): `crop_window` is its first row and column, and how many there are.

    Raises
    ------
    ValueError
        For a part that is not within the picture.
    """
    pixels = decode_jpeg(contents, channels, **options)
    top, left, rows, columns = (int(n) for n in crop_window)
    if min(top, left) < 0 or min(rows, columns) < 1 or top + rows > len(pixels) or left + columns > pixels.shape[1]:
        raise ValueError(f"a part lies within its picture, {pixels.shape[:2]}. Received: crop_window={crop_window}")
    return pixels[top : top + rows, left : left + columns]


def extract_jpeg_shape(contents: Any, output_type: Any = "int32", name: str | None = None) -> Any:
    """(height, width, channels) of a JPEG file, whose pixels are not read."""
    size = decoded(BytesIO(as_bytes(contents)), lambda image: (image.height, image.width, len(image.getbands())))
    return of_tensorflow(np.asarray(size, output_type or "int32"))


def _encoded(image, kind, **options):
    pixels = np.asarray(image)
    if pixels.ndim != 3 or not 1 <= pixels.shape[-1] <= 4:
        raise ShapeError(f"a picture is (H, W, C) with 1 to 4 channels. Received: shape {pixels.shape}")
    if pixels.dtype != np.uint8 and (pixels.dtype != np.uint16 or kind != "PNG" or pixels.shape[-1] != 1):
        raise DataError(
            "a picture that is encoded is of uint8, or of uint16, grey, as PNG: tf.image.convert_image_dtype(x, "
            f"tf.uint8) makes it of floats. Received: dtype {pixels.dtype}, shape {pixels.shape}"
        )
    into = BytesIO()
    pillow().fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(into, kind, **options)
    return text_of(into.getvalue())


def encode_jpeg(image: Any, format: str = "", quality: int = 95, **options: Any) -> EagerArray:
    """A file's bytes of a picture (H, W, C) of uint8."""
    return _encoded(image, "JPEG", quality=int(quality))


def encode_png(image: Any, compression: int = -1, name: str | None = None) -> EagerArray:
    """A file's bytes of a picture (H, W, C) of uint8; of uint16, grey."""
    return _encoded(image, "PNG")
