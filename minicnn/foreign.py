"""Objects of other libraries as NumPy arrays: frames, tensors, sparse matrices, images, masked arrays, lists of them.

Nothing is imported for it: an object is known by what it can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from inspect import isroutine
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np

from minicnn.errors import DataError

LABELS_ADVICE = "Names of classes become numbers by: names, y = numpy.unique(y, return_inverse=True)"
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_PICTURE_ADVICE = " A picture in a file is read first: model.predict_image(path), or images.load_img and img_to_array."
_MOST_SHOWN = 300  # characters of what was received
_FILL = "fill them, e.g. x.fillna(0), or drop their rows"


def check_open(value: Any) -> None:
    """Raise `DataError` for what h5py shows of a file that was closed: false, where open data sets are true."""
    if _is_of_h5py(type(value)) and not value:
        raise DataError(
            "the data are in an HDF5 file that was closed: call this inside `with h5py.File(…) as file:`, or read them "
            f"before, file['x'][:]. Received: {value!r}"
        )


def _is_of_h5py(cls):
    return str(cls.__module__).startswith("h5py.")  # of ctypes' arrays it is None


def to_numpy(value: Any, what: str) -> np.ndarray:
    """`value` as a NumPy array, of whatever dtype; one of real numbers where `value` holds nothing else.

    Parameters
    ----------
    value : array-like
        Arrays of any library, frames, series, images, and lists of them.
    what : str
        The name that messages use.

    Raises
    ------
    DataError
        For lists of unequal lengths or sizes, and where values are masked or missing.
    """
    entries = value if isinstance(value, list | tuple) else (value,)
    if any(map(_is_of_h5py, set(map(type, entries)))):  # lists may be long
        for entry in entries:
            check_open(entry)
    if isinstance(value, list | tuple) and any(map(_needs_care, value)):
        value = [to_numpy(entry, f"{what}[{i}]") for i, entry in enumerate(value)]
    elif _needs_care(value):
        value = _on_host(value, what)
    _demand_complete(value, what)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(
            _explain_unequal(value, what)
            or f"{what} must be an array or nested lists of equal lengths: {error}. Received: {type(value)}"
        ) from None
    if array.dtype.kind == "O" and array.ndim:
        return _from_objects(array, what)
    if array.dtype.kind == "V" and not array.dtype.names:  # bfloat16 and its like
        try:
            return array.astype(np.float32)
        except (TypeError, ValueError):
            return array
    return array


def _needs_care(value) -> bool:
    """Whether `numpy.asarray` would refuse an object, or lose something of it."""
    if isinstance(value, np.ndarray):
        return isinstance(value, np.ma.MaskedArray)
    return (
        hasattr(value, "detach")  # PyTorch: part of a graph, or on a GPU
        or hasattr(value, "toarray")  # SciPy: sparse
        or hasattr(value, "__cuda_array_interface__")  # CuPy
        or (hasattr(value, "__dlpack__") and not hasattr(value, "__array__"))
    )


def _on_host(value, what):
    """What `_needs_care` found, as something that NumPy takes."""
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.getmaskarray(value).any():
            raise DataError(
                f"{what} holds masked values, which have no number: fill them, e.g. x.filled(0), or leave their "
                f"samples out. Received: {int(np.ma.getmaskarray(value).sum())} masked of {value.size}"
            )
        return value.data
    if hasattr(value, "toarray"):
        return value.toarray()
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        return value.float() if str(value.dtype) == "torch.bfloat16" else value
    if hasattr(value, "get"):
        return value.get()
    return np.from_dlpack(value)


def _demand_complete(value, what):
    """Raise `DataError` if a frame or series lacks values, of which NumPy would make NaN without a word."""
    missing = None
    if hasattr(value, "null_count"):  # polars: of each column
        counts = np.asarray(value.null_count() if callable(value.null_count) else value.null_count)
        missing = f"{int(counts.sum())} of them" if counts.any() else None
    elif hasattr(value, "isna") and hasattr(value, "iloc"):  # pandas: those types that tell missing from NaN
        columns = value.items() if hasattr(value, "columns") else [(value.name, value)]
        gaps = [name for name, column in columns if hasattr(column.dtype, "na_value") and column.isna().any()]
        missing = f"some in {gaps[:5]}" if gaps != [None] else "some of them"
        missing = missing if gaps else None
    if missing:
        raise DataError(f"{what} has missing values: {_FILL}. Received: {missing}")


def _from_objects(array, what):
    """An array of Python objects as one of numbers, if all are; unchanged if they are something else."""
    kinds = {type(entry) for entry in array.flat}
    if all(issubclass(kind, bool | np.bool_) for kind in kinds):
        return array.astype(np.bool_)
    if all(issubclass(kind, Integral | np.bool_) for kind in kinds):
        try:
            return array.astype(np.int64)
        except OverflowError:
            return array.astype(np.float64)
    if all(issubclass(kind, Real | Decimal | np.bool_) for kind in kinds):
        return array.astype(np.float64)
    if all(hasattr(kind, "shape") or hasattr(kind, "__array_interface__") for kind in kinds):  # a column of images
        entries = [to_numpy(entry, f"{what}[{i}]") for i, entry in enumerate(array.flat)]
        if len({entry.shape for entry in entries}) > 1:
            raise DataError(_explain_unequal(entries, what))
        return np.stack(entries).reshape(*array.shape, *entries[0].shape)
    missing = {kind for kind in kinds if kind.__name__ in ("NoneType", "NAType", "NaTType")}
    if missing < kinds and all(issubclass(kind, Real | np.bool_) for kind in kinds - missing):
        position = next(p for p, entry in np.ndenumerate(array) if type(entry) in missing)
        raise DataError(f"{what} has missing values: {_FILL}. Received: {array[position]} at position {position}")
    return array


def _explain_unequal(value, what) -> str:
    """Which entries of a list have different shapes; empty where they cannot be compared."""
    try:
        shapes = [np.shape(entry) for entry in value]
    except (TypeError, ValueError):
        return ""
    index = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    if index is None:
        return ""
    if len(shapes) == 2 and shapes[0] and shapes[0][:1] == shapes[1][:1] and len(shapes[0]) > len(shapes[1]):
        return (
            f"{what} must be an array or nested lists of equal lengths; samples and targets are two arguments: (x, y), "
            f"not ((x, y)). "
            f"Received: a {type(value).__name__} of arrays of shapes {shapes[0]} and {shapes[1]}"
        )
    resize = "; resize or crop the images first" if len(shapes[0]) in (2, 3) else ""
    return (
        f"{what} must be an array or nested lists of equal lengths: all entries need one shape{resize}. "
        f"Received: entry 0 of shape {shapes[0]} and entry {index} of shape {shapes[index]}"
    )


def explain_not_real(array: np.ndarray, what: str, otherwise: str, value: Any = None) -> str:
    """The message for an array that does not hold real numbers.

    Parameters
    ----------
    array : numpy array
    what : str
    otherwise : str
        What to say of most dtypes, with a gap for ``{dtype}``.
    value : object
        What the array was made of: a frame has columns with names.
    """
    message = f"{what} {otherwise.format(dtype=array.dtype)}"
    fault, received, rest = message.partition(" Received:")
    if not array.ndim and array.dtype.kind in "OSU":  # no array at all
        return f"{fault}{_advice_on(array.item(), what)}{received} {repr(array.item())[:100]}"
    if not any(isinstance(entry, str | bytes | PathLike) for entry in array.flat):
        return f"{fault}{_advice_on_type(array)}{received}{rest.partition(';')[0]}{_first_of_objects(array)}"
    texts = [str(entry) for entry in array.flat if isinstance(entry, str | bytes | PathLike)]
    if any(text.lower().strip("'").endswith(_PICTURES) for text in texts):
        return f"{fault}{_PICTURE_ADVICE}{received}{rest.partition(';')[0]}, with {texts[0]!r}"
    columns = _columns_of_text(array, value)
    advice = f"Leave columns of text out, or make numbers of them, e.g. by pandas.get_dummies(x, columns={columns})"
    if all(map(_is_number, texts)):
        advice = "Numbers that are written as text are read by numpy.asarray(x, dtype='float32')"
    elif not columns:
        advice = "" if what == "sample_weight" else LABELS_ADVICE
    return f"{fault}{' ' if advice else ''}{advice}{'.' if advice else ''}{received}{rest.partition(';')[0]}"


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _advice_on_type(array):
    """What to do with an array of another type, to stand in a message."""
    if array.dtype.names:
        return f" Take one of its fields, for example x[{array.dtype.names[0]!r}]."
    if array.dtype.kind == "c":
        return " Of complex numbers take .real, .imag or numpy.abs."
    if array.dtype.kind in "mM":
        return " Dates and times become numbers by astype('int64')."
    return ""


def _first_of_objects(array):
    """Where the first object is that is no number."""
    if array.dtype.kind != "O":
        return ""
    place = next(place for place, entry in np.ndenumerate(array) if not isinstance(entry, Real | np.bool_))
    return f", with {repr(array[place])[:60]} at position {place[0] if len(place) == 1 else place}"


def _advice_on(value, what):
    """What to do with an object that is no array, to stand in a message about `what`."""
    if isinstance(value, str | bytes | PathLike):
        is_picture = what.startswith("the input") or str(value).lower().strip("'").endswith(_PICTURES)
        return _PICTURE_ADVICE if is_picture else ""
    if isinstance(value, type):
        return f" A class is called first: write {value.__name__}(…)."
    if isroutine(value):
        return " A function that yields batches is called first: write batches(), not batches."
    return ""


def _columns_of_text(array, value):
    """The names of a frame's columns that hold text, where others do not; at most five."""
    if array.ndim != 2 or len(getattr(value, "columns", ())) != array.shape[1]:
        return []
    is_text = [any(isinstance(entry, str | bytes) for entry in column) for column in array.T]
    names = [name for name, found in zip(value.columns, is_text, strict=True) if found]
    return [] if len(names) == len(is_text) else names[:5]


def items_of(value: Any) -> tuple[Any, ...] | None:
    """What stands in a list, a tuple, an array, a range or another library's shape; an array's numbers as Python's own.

    None for a text, a dict, and what holds nothing one after the other.
    """
    if isinstance(value, str | bytes | Mapping):
        return None
    try:
        return tuple(value.tolist() if isinstance(value, np.ndarray) else value)
    except TypeError:
        return None


def shown(value: Any) -> str:
    """What a message shows of what it received: of an array that fills lines its type and shape, else one line."""
    text = repr(value)
    if len(text) <= _MOST_SHOWN and "\n" not in text:
        return text
    if hasattr(value, "shape"):
        return f"a {type(value).__name__} of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        text = f"{', '.join(map(shown, value[:3]))}{', …' if len(value) > 3 else ''}"
        text = f"({text})" if isinstance(value, tuple) else f"[{text}]"
    text = " ".join(text.split())
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
