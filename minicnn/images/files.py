"""Pictures in files, as arrays."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.checks import check_choice, check_pair
from minicnn.errors import DataError, ShapeError
from minicnn.images.memory import pixels_of
from minicnn.images.resizing import INTERPOLATIONS, cropped_to_ratio, resized

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike
    from PIL.Image import Image

MOST_PIXELS = 100_000_000  # of a picture: more is a mistake, or an attack on the computer's memory
EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
_DEEP = ("I;16", "I;16B", "I;16L", "I", "F")  # Pillow's modes of more than 8 bits
_GREY = np.array([9797, 19234, 3737])  # of 2 ** 15: what libpng makes of red, green and blue, cut off


def pillow() -> Any:
    """Pillow's module `Image`.

    Raises
    ------
    ImportError
        If Pillow is not installed; the message says how to.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("reading and writing pictures needs Pillow: pip install 'minicnn[images]'") from None
    return Image


def load_img(
    path: str | os.PathLike[str] | io.BytesIO,
    color_mode: str = "rgb",
    target_size: Sequence[int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
    grayscale: bool = False,
) -> Image:
    """A picture from a file.

    Parameters
    ----------
    path : str, path-like or BytesIO
    color_mode : {"rgb", "rgba", "grayscale"}, default "rgb"
    target_size : (int, int), optional
        Height and width to resize to.
    interpolation : str, default "nearest"
        One of Pillow's: "nearest", "bilinear", "bicubic", "lanczos", "box", "hamming".
    keep_aspect_ratio : bool, default False
        Whether the picture is cropped in the middle to the target's proportions first.
    grayscale : bool, default False
        Keras 1's way to say color_mode="grayscale".

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    DataError
        If the file is no picture, is damaged, or has more than 100 million pixels; the message names it.
    FileNotFoundError
        If there is none.
    """
    image = _opened(path, "grayscale" if grayscale else color_mode)
    if target_size is None:
        return image
    height, width = check_pair("target_size", target_size)
    resampling = pillow().Resampling
    known = {name.lower(): value for name, value in resampling.__members__.items()}
    check_choice("interpolation", interpolation, known)
    box = _middle(image.size, (width, height)) if keep_aspect_ratio else None
    if image.size == (width, height):
        return image
    return image.resize((width, height), known[interpolation], box=box)


def _middle(size, target):
    """The box in the middle of a picture that has the target's proportions."""
    (width, height), (target_width, target_height) = size, target
    box_width = min(width, height * target_width // target_height) or 1
    box_height = min(height, width * target_height // target_width) or 1
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def _opened(path, color_mode):
    """The decoded picture, in the mode that was asked for."""
    check_choice("color_mode", color_mode, _MODES)

    def convert(image):
        image.load()
        return _converted(image, color_mode)

    return decoded(path, convert)


def decoded(path: str | os.PathLike[str] | io.BytesIO, read: Callable[[Any], Any]) -> Any:
    """What a function makes of Pillow's picture in a file.

    Parameters
    ----------
    path : str, path-like or BytesIO
    read : callable
        Takes the picture, whose pixels are not read yet.

    Raises
    ------
    DataError
        If the file is no picture, is damaged, or has more than 100 million pixels; the message names it.
    FileNotFoundError
        If there is none.
    """
    name = os.fspath(path) if isinstance(path, str | os.PathLike) else type(path).__name__
    if (
        isinstance(path, str | os.PathLike)
        and os.path.exists(path)
        and not (os.path.isfile(path) or os.path.isdir(path))
    ):
        raise DataError(f"a pipe or a device is no picture, and would be waited for without end. Received: {name}")
    try:
        with pillow().open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(
                    f"the picture has {image.width} x {image.height} pixels: more than {MOST_PIXELS}. Received: {name}"
                )
            if image.format == "EPS":  # a program in PostScript, which Pillow would let Ghostscript run
                raise DataError(f"EPS files are not read. Received: {name}")
            return read(image)
    except (FileNotFoundError, IsADirectoryError, PermissionError, DataError):
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        why = "it is empty" if isinstance(path, str | os.PathLike) and not os.stat(path).st_size else error
        raise DataError(f"the file is no picture, or is damaged ({why}). Received: {name}") from None


def _turned(image):
    """The picture as the camera was held, which cameras only note (EXIF's orientation)."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def brightness(image: Image) -> Image:
    """A picture in colours as a grey one, as TensorFlow decodes it: JPEG's own brightness, and that of libpng.

    Parameters
    ----------
    image : PIL.Image.Image
        Of a file, whose pixels are not read yet; a grey one stays.
    """
    if image.format in ("JPEG", "MPO"):  # the second of cameras that keep several pictures
        image.draft("L", image.size)
    if image.mode in ("1", "L", "LA", "La", *_DEEP):
        return image
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    grey = pillow().fromarray((np.asarray(image.convert("RGB")) @ _GREY >> 15).astype(np.uint8))
    grey.info |= image.info  # how the camera was held
    return grey


def _converted(image, color_mode):
    if image.mode in _DEEP and color_mode != "grayscale":  # Pillow would cut everything above 255 off
        image = pillow().fromarray(_eight_bits(np.asarray(image)))
    if color_mode == "grayscale" and image.mode in _DEEP:
        return image
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == _MODES[color_mode] else image.convert(_MODES[color_mode])


def _eight_bits(pixels):
    """Pixels of 16 bits as 8 bits; what is within 8 bits already stays."""
    pixels = np.asarray(pixels, np.float64)
    return np.clip(pixels / 257 if pixels.max(initial=0) > 255 else pixels, 0, 255).round().astype(np.uint8)


def read_image(
    path: str | os.PathLike[str],
    color_mode: str,
    size: tuple[int, int] | None,
    interpolation: str = "bilinear",
    crop: bool = False,
    pad: bool = False,
    upright: bool = False,
) -> np.ndarray:
    """A picture as float32 pixels from 0 to 255, (H, W, C); arguments as for `image_dataset_from_directory`.

    Parameters
    ----------
    upright : bool, default False
        Whether it is turned as the camera was held, which `load_img` and data sets leave, as Keras does.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    check_choice("color_mode", color_mode, _MODES)

    def read(image):
        if color_mode == "grayscale":
            image = brightness(image)
        image.load()
        return _converted(_turned(image) if upright else image, color_mode)

    image = decoded(path, read)
    pixels = pixels_of(image)
    if image.mode in _DEEP:
        pixels = _eight_bits(pixels)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels  # (H, W, C)
    if size is None:
        return pixels.astype(np.float32)
    if crop:
        pixels = cropped_to_ratio(pixels, size)
    return resized(pixels, size, interpolation, pad)


def img_to_array(img: Any, data_format: str | None = None, dtype: DTypeLike | None = None) -> np.ndarray:
    """The pixels of a picture.

    Parameters
    ----------
    img : PIL.Image.Image or array
    data_format : {"channels_last", "channels_first"}, optional
    dtype : optional
        Default: float32.

    Returns
    -------
    array (H, W, C), or (C, H, W)

    Raises
    ------
    ShapeError
        If there are not two or three axes.
    """
    if img is None or isinstance(img, str | bytes | os.PathLike):
        raise TypeError(f"img_to_array takes a picture, and load_img(path) reads one. Received: {img!r}")
    pixels = np.array(img, dtype or np.float32)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3:
        raise ShapeError(f"a picture has two or three axes. Received: shape {pixels.shape}")
    return np.moveaxis(pixels, -1, 0) if data_format == "channels_first" else pixels


def array_to_img(
    x: ArrayLike, data_format: str | None = None, scale: bool = True, dtype: DTypeLike | None = None
) -> Image:
    """A picture of an array.

    Parameters
    ----------
    x : array (H, W, C), with 1, 3 or 4 channels
    data_format : {"channels_last", "channels_first"}, optional
    scale : bool, default True
        Whether the smallest number becomes 0 and the largest 255; else they are pixels from 0 to 255, or grey ones up
        to any number.
    dtype : optional
        Not used.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    ShapeError
        If x has another shape.
    """
    pixels = np.asarray(x, np.float64)
    if data_format == "channels_first" and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4):
        raise ShapeError(f"a picture is (H, W, C) with 1, 3 or 4 channels. Received: shape {np.shape(x)}")
    if scale:
        pixels = pixels - pixels.min()
        pixels = pixels * (255 / (pixels.max() or 1))
    if pixels.shape[-1] == 1 and pixels.max(initial=0) > 255:  # as of 16 bits: a picture of such numbers
        return pillow().fromarray(pixels[..., 0].astype(np.int32))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    return pillow().fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def save_img(
    path: str | os.PathLike[str],
    x: ArrayLike,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array as a picture; arguments as for `array_to_img`.

    Parameters
    ----------
    path : str or path-like
    file_format : str, optional
        Default: what the path's suffix says.
    **kwargs
        For Pillow: quality=90.
    x : array (H, W), (H, W, 1) or (H, W, 3)
    data_format : {None, "channels_last", "channels_first"}
    scale : bool, default True
        Whether the smallest number becomes black and the largest white.
    """
    image = array_to_img(x, data_format, scale)
    kind = file_format or Path(path).suffix[1:]
    if image.mode == "RGBA" and kind.lower() in ("jpg", "jpeg"):
        image = image.convert("RGB")
    image.save(path, {"jpg": "jpeg"}.get((file_format or "").lower(), file_format), **kwargs)


def smart_resize(
    x: ArrayLike,
    size: Sequence[int],
    interpolation: str = "bilinear",
    data_format: str | None = None,
    backend_module: object = None,
) -> np.ndarray:
    """Images of another size without distortion: the middle with the target's proportions is cut out first.

    Parameters
    ----------
    x : array (H, W, C) or (N, H, W, C)
    size : (int, int)
    interpolation : {"bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5"}, default "bilinear"
    data_format : {None, "channels_last", "channels_first"}
        "channels_first": of images (C, H, W) or (N, C, H, W), which stay that.
    backend_module : optional
        Keras's; not used.

    Returns
    -------
    array (height, width, C) or (N, height, width, C), float32; with "nearest" of the dtype of `x`

    Raises
    ------
    ShapeError
        If x is not one image or several.
    """
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    images = np.asarray(x)
    if images.ndim not in (3, 4):
        raise ShapeError(f"smart_resize takes images (H, W, C) or (N, H, W, C). Received: shape {images.shape}")
    size = check_pair("size", size)
    check_choice("data_format", data_format, (None, "channels_last", "channels_first"))
    if data_format == "channels_first":
        return np.moveaxis(smart_resize(np.moveaxis(images, -3, -1), size, interpolation), -1, -3)
    several = images if images.ndim == 4 else images[None]
    made = np.stack([resized(cropped_to_ratio(image, size), size, interpolation) for image in several])
    made = made if interpolation != "nearest" else made.astype(images.dtype)  # whose numbers they are
    return made if images.ndim == 4 else made[0]
