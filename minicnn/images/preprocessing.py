"""What a model wants done to a picture before it sees it, as data that a model file holds."""

from __future__ import annotations

import io
import os
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_choice, check_number, check_pair
from minicnn.errors import DataError, ShapeError
from minicnn.images.files import CHANNELS, read_image
from minicnn.images.resizing import INTERPOLATIONS, cropped_to_ratio, resized
from minicnn.user_warnings import warn_user


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the pixels that a model takes; arguments as for `image_dataset_from_directory`.

    Parameters
    ----------
    image_size : (int, int), optional
        Height and width. Default: those of the model's input.
    color_mode : {"grayscale", "rgb", "rgba"}, optional
        Default: by the number of channels of the model's input.
    interpolation : {"bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5"}, default "bilinear"
    crop_to_aspect_ratio, pad_to_aspect_ratio : bool, default False
        Whether pictures are cut, or get black margins, rather than being distorted.
    upright : bool, default False
        Whether files are turned as the camera was held, which Keras does not.
    rescale : float, default 1.0
        What the pixels, from 0 to 255, are multiplied by: 1/255 for a model that was trained on numbers from 0 to 1; 1
        for one that scales them itself.

    Raises
    ------
    ValueError, TypeError
        For arguments that are not among these.
    """

    image_size: tuple[int, int] | None = None
    color_mode: str | None = None
    interpolation: str = "bilinear"
    crop_to_aspect_ratio: bool = False
    pad_to_aspect_ratio: bool = False
    upright: bool = False
    rescale: float = 1.0

    def __post_init__(self) -> None:
        if self.image_size is not None:
            object.__setattr__(self, "image_size", check_pair("image_size", self.image_size))
        check_choice("color_mode", self.color_mode, (None, *CHANNELS))
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        for name in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "upright"):
            check_choice(name, getattr(self, name), (True, False))
        check_number("rescale", self.rescale, above=0)

    def get_config(self) -> dict[str, Any]:
        """The arguments, as plain data."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Preprocessing:
        """What `get_config` returned; ValueError or TypeError if it is anything else."""
        known = {field.name for field in fields(cls)}
        if not isinstance(config, dict) or not set(config) <= known:
            raise ValueError(f"preprocessing is a dict of {', '.join(sorted(known))}. Received: {str(config)[:100]}")
        return cls(**config)

    def for_shape(self, shape: tuple[int | None, ...]) -> Preprocessing:
        """The same with size and colours of a model's input (H, W) or (H, W, C), where none are given.

        Raises
        ------
        ShapeError
            If such an input is no picture, or has other sizes or channels than are given.
        """
        by_channels = {count: mode for mode, count in CHANNELS.items()}
        channels = shape[2] if len(shape) == 3 else 1
        if len(shape) not in (2, 3) or channels not in by_channels:
            raise ShapeError(f"a model for pictures takes (H, W) or (H, W, 1, 3 or 4). Received: an input {shape}")
        size = self.image_size or (None if None in shape[:2] else (int(shape[0] or 0), int(shape[1] or 0)))
        mode = self.color_mode or by_channels[channels]
        fits = size is None or all(own in (None, given) for own, given in zip(shape[:2], size, strict=True))
        if CHANNELS[mode] != channels or not fits:
            raise ShapeError(
                f"preprocessing gives pictures of the model's input {shape}. Received: image_size={size}, "
                f"color_mode={mode!r}"
            )
        return Preprocessing(**(self.get_config() | {"image_size": size, "color_mode": mode}))

    def __call__(self, picture: str | os.PathLike[str] | bytes | ArrayLike) -> np.ndarray:
        """One picture as a model takes it.

        Parameters
        ----------
        picture : str, path-like, file object, bytes of a file, or array (H, W) or (H, W, C) of pixels from 0 to 255
            Pictures of Pillow are such arrays. Numbers from 0 to 1 are warned of.

        Returns
        -------
        array (height, width, C), float32

        Raises
        ------
        DataError
            If the file is no picture or is damaged, or the array has other channels; the message names it.
        FileNotFoundError
            If there is no such file.
        """
        mode = self.color_mode or "rgb"
        picture = io.BytesIO(picture) if isinstance(picture, bytes | bytearray) else picture
        if isinstance(picture, str | os.PathLike) or hasattr(picture, "read"):
            crop, pad = self.crop_to_aspect_ratio, self.pad_to_aspect_ratio
            pixels = read_image(picture, mode, self.image_size, self.interpolation, crop, pad, self.upright)
        else:
            pixels = self._of_array(np.asarray(picture), CHANNELS[mode])
        return pixels * np.float32(self.rescale) if self.rescale != 1 else pixels

    def _of_array(self, pixels, channels):
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        if pixels.ndim != 3 or pixels.shape[2] != channels or pixels.dtype.kind not in "uifb":
            raise DataError(
                f"a picture is a file, or an array (H, W, {channels}) of pixels from 0 to 255, one at a time. "
                f"Received: shape {pixels.shape}, dtype {pixels.dtype}"
            )
        if pixels.dtype.kind == "f" and 0 < pixels.max(initial=0) <= 1 and (pixels != np.round(pixels)).any():
            warn_user("a picture has pixels from 0 to 255: give x * 255. Received: an array of numbers up to 1")
        if self.image_size is None:
            return pixels.astype(np.float32)
        pixels = cropped_to_ratio(pixels, self.image_size) if self.crop_to_aspect_ratio else pixels
        return resized(pixels, self.image_size, self.interpolation, self.pad_to_aspect_ratio)
