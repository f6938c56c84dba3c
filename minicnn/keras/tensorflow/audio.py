"""``tf.audio``: sounds in files of the form WAV, 16 bits a number."""

from __future__ import annotations

import io
import wave
from typing import Any, NamedTuple

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.data.elements import EagerArray
from minicnn.differentiation import met, value_of
from minicnn.errors import FileFormatError, ShapeError
from minicnn.keras._names import Lookup, lookup
from minicnn.keras.tensorflow._examples import as_bytes, text_of
from minicnn.keras.tensorflow._functions import of_tensorflow

__all__ = ["decode_wav", "encode_wav"]


class DecodeWav(NamedTuple):
    """What `decode_wav` gives."""

    audio: Any
    sample_rate: Any


def decode_wav(
    contents: Any, desired_channels: int = -1, desired_samples: int = -1, name: str | None = None
) -> DecodeWav:
    """The numbers of a WAV file, and how many of them are a second.

    Parameters
    ----------
    contents : bytes
        As ``tf.io.read_file`` gives them.
    desired_channels : int, optional
        How many channels there are: the others are left out, or the last one is repeated.
    desired_samples : int, optional
        How many numbers of each channel there are: the others are left out, or zeros added behind.

    Returns
    -------
    audio : array (samples, channels) float32
        From -1 to 1.
    sample_rate : array () int32

    Raises
    ------
    FileFormatError
        If it is no WAV file of 16 bits a number.
    """
    try:
        with wave.open(io.BytesIO(as_bytes(contents)), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError, RuntimeError) as error:  # RuntimeError: a chunk that ends behind the file
        received = str(error) or "too few bytes"
        raise FileFormatError(f"expected the bytes of a WAV file. Received: {received}") from error
    if rate >= 1 << 31:
        raise FileFormatError(f"expected a WAV file of less than 2**31 numbers a second. Received: {rate}")
    if width != 2:
        raise FileFormatError(f"expected a WAV file of 16 bits a number. Received: one of {8 * width}")
    numbers = np.frombuffer(data[: len(data) // (2 * channels) * 2 * channels], "<i2").reshape(-1, channels)
    audio = numbers.astype("float32") / 32768  # (samples, channels)
    if desired_channels > 0:
        audio = audio[:, np.minimum(np.arange(desired_channels), channels - 1)]
    if desired_samples > 0:
        audio = np.pad(audio[:desired_samples], [(0, max(0, desired_samples - len(audio))), (0, 0)])
    return DecodeWav(of_tensorflow(audio), of_tensorflow(np.asarray(rate, "int32")))


def encode_wav(audio: Any, sample_rate: Any, name: str | None = None) -> EagerArray:
    """The bytes of a WAV file, as ``tf.io.write_file`` takes them.

    Parameters
    ----------
    audio : array (samples, channels)
        From -1 to 1; what lies outside becomes the nearest number inside.
    sample_rate : int
        Numbers a second.

    Raises
    ------
    ShapeError
        If `audio` has other axes.
    """
    sound = np.asarray(value_of(met(audio)), "float32")
    if sound.ndim != 2 or not sound.shape[1]:
        raise ShapeError(
            f"encode_wav takes sound (samples, channels): audio[:, None] is one channel's. Received: {sound.shape}"
        )
    check_positive_int("sample_rate", int(sample_rate))
    scaled = sound * 32768
    numbers = np.trunc(scaled + np.copysign(0.5, scaled))  # halves go away from zero, as C's roundf has them
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(numbers.shape[1])
        file.setsampwidth(2)
        file.setframerate(int(sample_rate))
        file.writeframes(np.clip(numbers, -32768, 32767).astype("<i2").tobytes())
    return text_of(written.getvalue())


__getattr__: Lookup = lookup(__name__)
