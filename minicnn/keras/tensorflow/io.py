"""``tf.io``: pictures from files, in two steps: ``tf.io.decode_image(tf.io.read_file(path))``."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.data.elements import EagerArray
from minicnn.images.files import read_image
from minicnn.keras.tensorflow import gfile

__all__ = ["decode_bmp", "decode_gif", "decode_image", "decode_jpeg", "decode_png", "encode_jpeg", "encode_png"]
__all__ += ["gfile", "read_file", "write_file"]

_MODES = {0: "rgb", 1: "grayscale", 3: "rgb", 4: "rgba"}


def read_file(filename: Any, name: str | None = None) -> bytes:
    """The bytes of a file; the path may be an element of a data set."""
    return _path(filename).read_bytes()


def _path(filename):
    given = filename if isinstance(filename, str | bytes | os.PathLike) else np.asarray(filename).item()
    return Path(os.fsdecode(given))


def write_file(filename: Any, contents: Any, name: str | None = None) -> None:
    """Write bytes to a file; its folder is made."""
    path = Path(
        os.fsdecode(filename if isinstance(filename, str | bytes | os.PathLike) else np.asarray(filename).item())
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(contents))


def _encoded(image, kind, **options):
    from PIL import Image

    pixels = np.asarray(image)
    into = BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(into, kind, **options)
    return into.getvalue()


def encode_jpeg(image: Any, format: str = "", quality: int = 95, **options: Any) -> bytes:
    """A file's bytes of a picture (H, W, C) of uint8."""
    return _encoded(image, "JPEG", quality=int(quality))


def encode_png(image: Any, compression: int = -1, name: str | None = None) -> bytes:
    """A file's bytes of a picture (H, W, C) of uint8."""
    return _encoded(image, "PNG")


def decode_image(
    contents: bytes, channels: int = 0, dtype: Any = "uint8", name: str | None = None, expand_animations: bool = True
) -> EagerArray:
    """Pixels from 0 to 255 of a picture, (H, W, C).

    Parameters
    ----------
    contents : bytes
        Of a file.
    channels : {0, 1, 3, 4}, default 0
        0 means as many as the picture has, transparency excepted.
    dtype : default uint8
        Floats lie from 0 to 1.
    """
    check_choice("channels", channels, tuple(_MODES))
    contents = bytes(contents)
    mode = "grayscale" if channels == 0 and _is_grey(contents) else _MODES[channels]
    pixels = read_image(BytesIO(contents), mode, None)  # (H, W, C)
    if np.dtype(dtype).kind == "f":
        pixels = pixels / np.float32(255)
    return pixels.astype(dtype).view(EagerArray)


def _is_grey(contents):
    from PIL import Image

    with Image.open(BytesIO(contents)) as image:
        return image.mode in ("1", "L", "LA", "I;16", "I", "F")


decode_jpeg = decode_png = decode_bmp = decode_gif = decode_image
