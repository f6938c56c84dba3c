"""``tf.io``: pictures from files, in two steps: ``tf.io.decode_image(tf.io.read_file(path))``."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minicnn.checks import check_choice
from minicnn.data.elements import EagerArray
from minicnn.differentiation import met, value_of
from minicnn.images.files import read_image
from minicnn.keras.tensorflow import gfile
from minicnn.keras.tensorflow._examples import FixedLenFeature as FixedLenFeature
from minicnn.keras.tensorflow._examples import VarLenFeature as VarLenFeature
from minicnn.keras.tensorflow._examples import as_bytes, text_of
from minicnn.keras.tensorflow._examples import parse_example as parse_example
from minicnn.keras.tensorflow._examples import parse_single_example as parse_single_example
from minicnn.keras.tensorflow._functions import of_tensorflow
from minicnn.keras.tensorflow._records import TFRecordOptions as TFRecordOptions
from minicnn.keras.tensorflow._records import TFRecordWriter as TFRecordWriter
from minicnn.keras.tensorflow._tensor_bytes import tensor_message, tensor_of

__all__ = [
    "decode_and_crop_jpeg",
    "decode_bmp",
    "decode_gif",
    "decode_image",
    "decode_jpeg",
    "decode_png",
    "encode_jpeg",
    "encode_png",
]
__all__ += [
    "FixedLenFeature",
    "FixedLenSequenceFeature",
    "TFRecordOptions",
    "TFRecordWriter",
    "VarLenFeature",
    "decode_raw",
    "gfile",
    "is_jpeg",
]
__all__ += ["matching_files", "parse_example", "parse_single_example", "parse_tensor", "read_file", "serialize_tensor"]
__all__ += ["write_file"]

_MODES = {0: "rgb", 1: "grayscale", 3: "rgb", 4: "rgba"}


def read_file(filename: Any, name: str | None = None) -> EagerArray:
    """The bytes of a file, as ``.numpy()`` gives them; the path may be an element of a data set."""
    return text_of(_path(filename).read_bytes())


def _path(filename):
    given = filename if isinstance(filename, str | bytes | os.PathLike) else np.asarray(filename).item()
    return Path(os.fsdecode(given))


def write_file(filename: Any, contents: Any, name: str | None = None) -> None:
    """Write bytes to a file; its folder is made."""
    path = Path(
        os.fsdecode(filename if isinstance(filename, str | bytes | os.PathLike) else np.asarray(filename).item())
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_bytes(contents))


def _encoded(image, kind, **options):
    from PIL import Image

    pixels = np.asarray(image)
    into = BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(into, kind, **options)
    return text_of(into.getvalue())


def encode_jpeg(image: Any, format: str = "", quality: int = 95, **options: Any) -> EagerArray:
    """A file's bytes of a picture (H, W, C) of uint8."""
    return _encoded(image, "JPEG", quality=int(quality))


def is_jpeg(contents: Any, name: str | None = None) -> Any:
    """Whether a file's bytes begin as those of a JPEG file do."""
    return of_tensorflow(np.asarray(as_bytes(contents)[:3] == b"\xff\xd8\xff"))


def encode_png(image: Any, compression: int = -1, name: str | None = None) -> EagerArray:
    """A file's bytes of a picture (H, W, C) of uint8."""
    return _encoded(image, "PNG")


def decode_image(
    contents: Any, channels: int = 0, dtype: Any = "uint8", name: str | None = None, expand_animations: bool = True
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
    contents = as_bytes(contents)
    mode = "grayscale" if channels == 0 and _is_grey(contents) else _MODES[channels]
    pixels = read_image(BytesIO(contents), mode, None)  # (H, W, C)
    if np.dtype(dtype).kind == "f":
        pixels = pixels / np.float32(255)
    return pixels.astype(dtype).view(EagerArray)


def _is_grey(contents):
    from PIL import Image

    with Image.open(BytesIO(contents)) as image:
        return image.mode in ("1", "L", "LA", "I;16", "I", "F")


decode_png: Callable[..., EagerArray] = decode_image
decode_bmp: Callable[..., EagerArray] = decode_image
decode_gif: Callable[..., EagerArray] = decode_image


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

    TensorFlow's own choice is the fast one, whose pixels differ by some levels. Pictures are read in full size alone.
    """
    check_choice("ratio", ratio, (1,))
    check_choice("dct_method", dct_method, ("", "INTEGER_FAST", "INTEGER_ACCURATE"))
    return decode_image(contents, channels)


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


def decode_raw(
    input_bytes: Any, out_type: Any, little_endian: bool = True, fixed_length: Any = None, name: str | None = None
) -> EagerArray:
    """The numbers that bytes are, (n,); of several texts of one length, (…, n).

    Parameters
    ----------
    input_bytes : bytes, or array of them
    out_type : dtype
    little_endian : bool, default True
        Whether the smallest byte of a number comes first.
    fixed_length : int, optional
        How many bytes of each text there are: others are cut off, or zeros added.

    Raises
    ------
    ValueError
        If the texts are of different lengths, or make no whole numbers.
    """
    kind = np.dtype(out_type).newbyteorder("<" if little_endian else ">")
    given = input_bytes if isinstance(input_bytes, bytes) else np.asarray(value_of(met(input_bytes)), object)
    texts = [as_bytes(each) for each in np.ravel(given)] if np.ndim(given) else [as_bytes(given)]
    if fixed_length is not None:
        texts = [text[: int(fixed_length)].ljust(int(fixed_length), b"\0") for text in texts]
    lengths = sorted(set(map(len, texts)))
    if len(lengths) > 1 or (lengths and lengths[0] % kind.itemsize):
        raise ValueError(
            f"expected texts of one length, a multiple of {kind.itemsize} bytes for {out_type}. Received: {lengths[:5]}"
        )
    numbers = np.frombuffer(b"".join(texts), kind).astype(out_type)
    return of_tensorflow(numbers.reshape(*np.shape(given), sum(lengths) // kind.itemsize))


def serialize_tensor(tensor: Any, name: str | None = None) -> EagerArray:
    """An array of numbers as the bytes of a TensorProto, which `parse_tensor` reads, and TensorFlow too."""
    return text_of(tensor_message(np.asarray(value_of(met(tensor)))))


def parse_tensor(serialized: Any, out_type: Any, name: str | None = None) -> Any:
    """The array that `serialize_tensor` has written.

    Raises
    ------
    ValueError
        If it is of another dtype.
    """
    made = tensor_of(as_bytes(serialized))
    if made.dtype != np.dtype(out_type):
        raise ValueError(f"the tensor is of {made.dtype}. Received: out_type={out_type!r}")
    return of_tensorflow(made)


def FixedLenSequenceFeature(*args: Any, **kwargs: Any) -> NoReturn:
    """Is not there."""
    raise NotImplementedError(
        "features of sequences are not there: FixedLenFeature has a shape, VarLenFeature any length. "
        "Received: FixedLenSequenceFeature"
    )


def matching_files(pattern: Any, name: str | None = None) -> EagerArray:
    """The paths of files, in order."""
    return np.asarray(gfile.glob(str(pattern))).view(EagerArray)
