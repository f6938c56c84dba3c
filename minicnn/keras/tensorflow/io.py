"""``tf.io``: pictures from files, in two steps: ``tf.io.decode_image(tf.io.read_file(path))``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.differentiation import met, value_of
from minicnn.dtype_policies import of_python
from minicnn.keras._names import Lookup, lookup
from minicnn.keras.tensorflow import gfile
from minicnn.keras.tensorflow._codecs import *  # noqa: F403
from minicnn.keras.tensorflow._codecs import __all__ as _CODECS
from minicnn.keras.tensorflow._csv import decode_csv as decode_csv
from minicnn.keras.tensorflow._examples import FixedLenFeature as FixedLenFeature
from minicnn.keras.tensorflow._examples import VarLenFeature as VarLenFeature
from minicnn.keras.tensorflow._examples import as_bytes, text_of
from minicnn.keras.tensorflow._examples import parse_example as parse_example
from minicnn.keras.tensorflow._examples import parse_single_example as parse_single_example
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow
from minicnn.keras.tensorflow._records import TFRecordOptions as TFRecordOptions
from minicnn.keras.tensorflow._records import TFRecordWriter as TFRecordWriter
from minicnn.keras.tensorflow._tensor_bytes import tensor_message, tensor_of

__all__ = [*_CODECS]
__all__ += [
    "FixedLenFeature",
    "FixedLenSequenceFeature",
    "TFRecordOptions",
    "TFRecordWriter",
    "VarLenFeature",
    "decode_csv",
    "decode_raw",
    "gfile",
    "is_jpeg",
]
__all__ += ["matching_files", "parse_example", "parse_single_example", "parse_tensor", "read_file", "serialize_tensor"]
__all__ += ["write_file"]


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


def is_jpeg(contents: Any, name: str | None = None) -> Any:
    """Whether a file's bytes begin as those of a JPEG file do."""
    return of_tensorflow(np.asarray(as_bytes(contents)[:3] == b"\xff\xd8\xff"))


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
    kind = np.dtype(out_type := of_python(out_type)).newbyteorder("<" if little_endian else ">")
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
    return text_of(tensor_message(np.asarray(value_of(as_tensor(tensor)))))


def parse_tensor(serialized: Any, out_type: Any, name: str | None = None) -> Any:
    """The array that `serialize_tensor` has written.

    Raises
    ------
    ValueError
        If it is of another dtype.
    """
    made = tensor_of(as_bytes(serialized))
    if made.dtype != np.dtype(of_python(out_type)):
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


__getattr__: Lookup = lookup(__name__)
