"""``tf.signal``: spectrograms of sounds and other series, for data on its way into a model.

The formulas are those of TensorFlow's documentation of `tf.signal`, computed by NumPy's Fourier transforms. They take
arrays alone: what a layer computes inside of a model is refused, and what a tape or a loss records, but by `stft`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.differentiation import Recorded, met, value_of
from minicnn.errors import ShapeError
from minicnn.keras._missing import NotInMinicnn
from minicnn.keras._names import Lookup, lookup
from minicnn.keras._operations import is_symbolic
from minicnn.keras.tensorflow._cosines import dct, idct
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow

__all__ = ["dct", "fft", "fft2d", "fftshift", "frame", "hamming_window", "hann_window", "ifft", "ifft2d", "ifftshift"]
__all__ += ["idct", "inverse_stft", "inverse_stft_window_fn", "irfft", "linear_to_mel_weight_matrix"]
__all__ += ["mfccs_from_log_mel_spectrograms", "overlap_and_add", "rfft", "stft"]


def _of_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose first argument becomes an array, and whose result has ``.numpy()``."""

    @wraps(function)
    def call(signals: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("name", None)
        given = met(signals)
        if is_symbolic(given) or (isinstance(given, Recorded) and given.has_gradient):
            raise NotInMinicnn(
                f"minicnn has no gradient of tf.signal.{function.__name__}: it is for data, as in Dataset.map, before "
                f"a model gets it. Received: {type(given).__name__}"
            )
        return of_tensorflow(function(np.asarray(value_of(as_tensor(given))), *args, **kwargs))

    return call


def _kept(x):
    """TensorFlow's transforms keep complex128; all else becomes complex64."""
    return "complex128" if x.dtype == "complex128" else "complex64"


def _length(fft_length):
    """The only number of a list, or the number: TensorFlow takes ``[512]``."""
    return None if fft_length is None else int(np.ravel(fft_length)[0])


@_of_arrays
def fft(input: Any) -> Any:
    """The Fourier transform of the last axis, complex."""
    return np.fft.fft(input).astype(_kept(input))


@_of_arrays
def ifft(input: Any) -> Any:
    """The inverse of `fft`."""
    return np.fft.ifft(input).astype(_kept(input))


@_of_arrays
def fft2d(input: Any) -> Any:
    """The Fourier transform of the last two axes, complex."""
    return np.fft.fft2(input).astype(_kept(input))


@_of_arrays
def ifft2d(input: Any) -> Any:
    """The inverse of `fft2d`."""
    return np.fft.ifft2(input).astype(_kept(input))


@_of_arrays
def fftshift(x: Any, axes: Any = None) -> Any:
    """The halves of the axes swapped, so that the frequency 0 is in the middle."""
    return np.fft.fftshift(x, axes)


@_of_arrays
def ifftshift(x: Any, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return np.fft.ifftshift(x, axes)


@_of_arrays
def rfft(input: Any, fft_length: Any = None) -> Any:
    """The frequencies from 0 to the half of the last axis's length, of real numbers.

    Parameters
    ----------
    input : array (…, n)
    fft_length : int or [int], optional
        The axis is cut, or filled with zeros, to this length; default n.

    Returns
    -------
    array (…, fft_length // 2 + 1) complex
    """
    made = np.fft.rfft(input, _length(fft_length))
    return made.astype("complex128" if input.dtype == "float64" else "complex64")


@_of_arrays
def irfft(input: Any, fft_length: Any = None) -> Any:
    """The inverse of `rfft`: (…, fft_length); default 2 · (n - 1)."""
    return np.fft.irfft(input, _length(fft_length)).astype("float64" if input.dtype == "complex128" else "float32")


@_of_arrays
def frame(
    signal: Any, frame_length: int, frame_step: int, pad_end: bool = False, pad_value: float = 0, axis: int = -1
) -> Any:
    """Parts of an axis, each `frame_step` behind the one before: (…, n, …) becomes (…, frames, frame_length, …).

    Parameters
    ----------
    signal : array
    frame_length, frame_step : int
    pad_end : bool, default False
        Whether a part may reach beyond the end, where there is `pad_value`; else such parts are left out.
    pad_value : float, default 0
    axis : int, default -1
    """
    length, step = check_positive_int("frame_length", frame_length), check_positive_int("frame_step", frame_step)
    moved = np.moveaxis(signal, axis, -1)  # (…, n)
    n = moved.shape[-1]
    count = -(-n // step) if pad_end else max(0, 1 + (n - length) // step)
    missing = max(0, (count - 1) * step + length - n) if count else 0
    moved = np.pad(moved, [(0, 0)] * (moved.ndim - 1) + [(0, missing)], constant_values=pad_value)
    parts = moved[..., np.arange(count)[:, None] * step + np.arange(length)]  # (…, frames, frame_length)
    at = axis % signal.ndim
    return np.moveaxis(parts, (-2, -1), (at, at + 1))


def _window(share: float, length: Any, periodic: bool, dtype: Any) -> Any:
    length = check_positive_int("window_length", int(length))
    if dtype.kind != "f":
        raise ValueError(f"windows are floats: tf.cast the sound to float32, or leave dtype= out. Received: {dtype}")
    if length == 1:
        return of_tensorflow(np.ones(1, dtype))
    period = length - 1 + (periodic and length % 2 == 0)  # TensorFlow's windows of odd lengths are symmetric
    return of_tensorflow((share - (1 - share) * np.cos(2 * np.pi * np.arange(length) / period)).astype(dtype))


def hann_window(window_length: Any, periodic: bool = True, dtype: Any = "float32", name: str | None = None) -> Any:
    """Hann's window, 0.5 - 0.5 · cos(2πk / period): (window_length,)."""
    return _window(0.5, window_length, periodic, np.dtype(dtype))


def hamming_window(window_length: Any, periodic: bool = True, dtype: Any = "float32", name: str | None = None) -> Any:
    """Hamming's window, 0.54 - 0.46 · cos(2πk / period): (window_length,)."""
    return _window(0.54, window_length, periodic, np.dtype(dtype))


def _power_of_two(length: int) -> int:
    return 1 << (length - 1).bit_length()


def stft(
    signals: Any,
    frame_length: int,
    frame_step: int,
    fft_length: int | None = None,
    window_fn: Callable[..., Any] | None = hann_window,
    pad_end: bool = False,
    name: str | None = None,
) -> Any:
    """Frequencies over time: the transforms of parts, each times a window.

    Its magnitude ``tf.abs(…)``, and ``tf.math.real`` and ``imag``, have gradients, on a tape and in a loss.

    Parameters
    ----------
    signals : array (…, n)
    frame_length, frame_step : int
        Numbers in a part, and from the start of one to that of the next.
    fft_length : int, optional
        Default: the power of two that is not below `frame_length`.
    window_fn : callable or None
        (frame_length, dtype=…) → (frame_length,).
    pad_end : bool, default False
        Whether there are zeros behind the end, so that no number is left out.

    Returns
    -------
    array (…, frames, fft_length // 2 + 1) complex
    """
    length, step = int(frame_length), int(frame_step)
    whole = _power_of_two(length) if fft_length is None else int(fft_length)
    given = met(signals)
    dtype = np.dtype(getattr(given, "dtype", "float32"))
    window = np.ones(length, dtype) if window_fn is None else np.asarray(window_fn(length, dtype=dtype))
    if not (isinstance(given, Recorded) and given.has_gradient):
        return _spectra(signals, window, step, whole, pad_end)
    made = np.asarray(_spectra(given.value, window, step, whole, pad_end))
    return Recorded(made, [(given, lambda g: _back(g, window, step, whole, given.shape))])


def _transforms(signals, window, step, whole, pad_end):
    parts = np.asarray(frame(signals, len(window), step, pad_end))  # (…, frames, frame_length)
    return np.asarray(rfft(parts * window, whole))


_transforms.__name__ = "stft"  # which is in its errors
_spectra = _of_arrays(_transforms)


def _back(g, window, step, whole, shape):
    """The gradient to signals of `shape`; dL = Re(ḡ · dz) is how a complex gradient is meant."""
    used = min(len(window), whole)
    parts = whole * np.fft.ifft(g, whole)[..., :used].real * window[:used]  # (…, frames, used)
    made = np.zeros((*shape[:-1], (parts.shape[-2] - 1) * step + used if parts.size else 0))
    for i in range(parts.shape[-2]):
        made[..., i * step : i * step + used] += parts[..., i, :]
    made = made[..., : shape[-1]]  # without the zeros behind the end
    return np.pad(made, [(0, 0)] * (made.ndim - 1) + [(0, shape[-1] - made.shape[-1])]).astype(window.dtype)


@_of_arrays
def overlap_and_add(signal: Any, frame_step: int) -> Any:
    """The sum of parts (…, frames, n), each `frame_step` behind the one before: (…, (frames - 1) · frame_step + n)."""
    step, (count, length) = int(frame_step), signal.shape[-2:]
    made = np.zeros((*signal.shape[:-2], (count - 1) * step + length), signal.dtype)
    for i in range(count):
        made[..., i * step : i * step + length] += signal[..., i, :]
    return made


@_of_arrays
def inverse_stft(
    stfts: Any,
    frame_length: int,
    frame_step: int,
    fft_length: int | None = None,
    window_fn: Callable[..., Any] | None = hann_window,
) -> Any:
    """The sum of parts whose transforms are given, each times a window: that of `inverse_stft_window_fn` undoes `stft`.

    Parameters
    ----------
    stfts : array (…, frames, fft_length // 2 + 1) complex
    frame_length, frame_step, fft_length, window_fn
        As of `stft`.
    """
    length = int(frame_length)
    whole = _power_of_two(length) if fft_length is None else int(fft_length)
    parts = np.asarray(irfft(stfts, whole))[..., :length]  # (…, frames, ≤ frame_length)
    parts = np.pad(parts, [(0, 0)] * (parts.ndim - 1) + [(0, length - parts.shape[-1])])
    if window_fn is not None:
        parts = parts * np.asarray(window_fn(length, dtype=parts.dtype))
    return np.asarray(overlap_and_add(parts, int(frame_step)))


def inverse_stft_window_fn(
    frame_step: int, forward_window_fn: Callable[..., Any] = hann_window, name: str | None = None
) -> Callable[..., Any]:
    """A window for `inverse_stft` with which it undoes an `stft` with `forward_window_fn`."""

    def window(frame_length: int, dtype: Any = "float32") -> Any:
        length, step = int(frame_length), int(frame_step)
        forward = np.asarray(forward_window_fn(length, dtype=dtype))
        overlaps = -(-length // step)
        squares = np.pad(np.square(forward), (0, overlaps * step - length)).reshape(overlaps, step).sum(0)
        return of_tensorflow((forward / np.tile(squares, overlaps)[:length]).astype(dtype))

    return window


def _check_floats(name, numbers):
    if numbers.dtype not in ("float32", "float64"):
        raise TypeError(
            f"tf.signal.{name} takes float32 or float64: tf.cast(x, tf.float32). Received: numbers of {numbers.dtype}"
        )


def _mel(hertz):
    return 1127 * np.log1p(np.asarray(hertz, "float64") / 700)


def linear_to_mel_weight_matrix(
    num_mel_bins: int = 20,
    num_spectrogram_bins: int = 129,
    sample_rate: float = 8000,
    lower_edge_hertz: float = 125.0,
    upper_edge_hertz: float = 3800.0,
    dtype: Any = "float32",
    name: str | None = None,
) -> Any:
    """What makes mel frequencies of the frequencies of `stft`: ``tf.tensordot(spectrogram, matrix, 1)``.

    Parameters
    ----------
    num_mel_bins, num_spectrogram_bins : int
    sample_rate : float
        Numbers a second.
    lower_edge_hertz, upper_edge_hertz : float
        Between which frequencies the triangles of mel frequencies lie.
    dtype : dtype

    Returns
    -------
    array (num_spectrogram_bins, num_mel_bins)

    Raises
    ------
    ValueError
        If the edges are not in order, or the upper one lies above the half of the rate.
    """
    if not 0 <= lower_edge_hertz < upper_edge_hertz <= sample_rate / 2:
        raise ValueError(
            f"expected 0 <= lower_edge_hertz < upper_edge_hertz <= sample_rate / 2. Received: {lower_edge_hertz}, "
            f"{upper_edge_hertz} and a rate of {sample_rate}"
        )
    check_positive_int("num_mel_bins", num_mel_bins)
    bins = check_positive_int("num_spectrogram_bins", num_spectrogram_bins)
    if np.dtype(dtype).kind != "f":
        raise ValueError(f"the matrix is of floats: leave dtype= out, or give float64. Received: dtype={dtype!r}")
    at = _mel(np.linspace(0, sample_rate / 2, bins))[1:, None]  # (bins - 1, 1): the frequency 0 counts for none
    edges = np.linspace(_mel(lower_edge_hertz), _mel(upper_edge_hertz), int(num_mel_bins) + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((at - lower) / (centre - lower), (upper - at) / (upper - centre))
    return of_tensorflow(np.pad(np.maximum(0, triangles), [(1, 0), (0, 0)]).astype(np.dtype(dtype)))


@_of_arrays
def mfccs_from_log_mel_spectrograms(log_mel_spectrograms: Any) -> Any:
    """The cosine transform of logarithms of mel frequencies, over √(2n): (…, frames, n)."""
    if not log_mel_spectrograms.ndim or not log_mel_spectrograms.shape[-1]:
        raise ShapeError(f"expected (…, mel frequencies). Received: shape {log_mel_spectrograms.shape}")
    transformed = np.asarray(dct(log_mel_spectrograms))
    return (transformed / np.sqrt(2 * log_mel_spectrograms.shape[-1])).astype(log_mel_spectrograms.dtype)


__getattr__: Lookup = lookup(__name__)
