"""What a data set consists of: arrays, and tuples and dictionaries of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minicnn.errors import DataError
from minicnn.foreign import check_open, to_numpy
from minicnn.own_parts import check_takes

Element = Any
"""An array, a number, or a tuple or dictionary of elements."""


class EagerArray(np.ndarray):
    """A NumPy array with ``.numpy()``, so that code for TensorFlow's eager tensors runs; its items have it too."""

    def numpy(self) -> Any:
        """A copy as an array of NumPy's own class, (…), as TensorFlow's is; text is Python's bytes."""
        plain = _bytes_of(self) if self.dtype.kind in "SU" else self.view(np.ndarray).copy()
        return plain[()]  # a number, or bytes, for shape ()

    def __hash__(self) -> int:  # type: ignore[override]
        """Of a single value, which stands in sets and dicts as the number does; of an array a TypeError, as NumPy's."""
        if self.ndim:
            raise TypeError(f"unhashable type: {type(self).__name__!r}")
        return hash(self.item())

    def set_shape(self, shape: Any) -> None:
        """Does nothing: an array knows its shape."""

    def get_shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.shape

    def __eq__(self, other: object) -> Any:
        """Number by number; texts are compared as bytes, with zeros at their ends, which NumPy's comparison loses."""
        if self.dtype.kind not in "SUO":
            return super().__eq__(other)
        return np.asarray(_bytes_of(self) == _bytes_of(other)).view(EagerArray)

    def __ne__(self, other: object) -> Any:
        return np.logical_not(self == other) if self.dtype.kind in "SUO" else super().__ne__(other)

    def __add__(self, other: Any) -> Any:
        return _joined(self, other) if _is_of_bytes(self, other) else super().__add__(other)

    def __radd__(self, other: Any) -> Any:
        return _joined(other, self) if _is_of_bytes(self, other) else super().__radd__(other)

    def __iadd__(self, other: Any) -> Any:  # as of a tensor: whatever else has this array keeps it
        return self + other

    def __isub__(self, other: Any) -> Any:
        return self - other

    def __imul__(self, other: Any) -> Any:
        return self * other

    def __itruediv__(self, other: Any) -> Any:
        return self / other

    def __truediv__(self, other: Any) -> Any:
        made, kinds = super().__truediv__(other), {getattr(each, "dtype", self.dtype) for each in (self, other)}
        is_small = all(kind.kind in "iu" and kind.itemsize < 4 for kind in kinds)
        return made.astype(np.float32) if is_small else made  # as in TensorFlow: NumPy's pixels / 255 are float64

    def __getitem__(self, key: Any) -> Any:
        item = super().__getitem__(key)
        return item if isinstance(item, np.ndarray) else as_array(item).view(EagerArray)


class EagerText(np.str_):
    """One text that a function of the user's gets: Python's own, as for ``Path(path)``, with what `EagerArray` has."""

    numpy, set_shape, get_shape = str.encode, EagerArray.set_shape, EagerArray.get_shape  # bytes, as in TensorFlow
    __hash__, __array_priority__ = np.str_.__hash__, 1.0  # which is before arrays in `array == text`

    def __eq__(self, other: object) -> Any:
        return as_array(self).view(EagerArray) == other

    def __ne__(self, other: object) -> Any:
        return as_array(self).view(EagerArray) != other

    def __add__(self, other: Any) -> Any:
        return _handed_over(as_array(self).view(EagerArray) + other)

    def __radd__(self, other: Any) -> Any:
        return _handed_over(other + as_array(self).view(EagerArray))


def as_array(value: Any) -> np.ndarray:
    """As ``np.asarray``; bytes, and text that ends in zeros, are bytes as objects: NumPy's text loses these zeros."""
    array = np.asarray(value)
    if array.dtype.kind not in "SU" or isinstance(value, np.ndarray | np.generic):
        return array
    entries = np.array(value, object)
    if array.dtype.kind == "U":
        texts = [str(each) for each in entries.flat]
        if not any(text.endswith("\0") for text in texts):
            return array
        entries.flat = [text.encode() for text in texts]
    return entries.view(EagerArray)


def _is_of_bytes(array, other):
    """Whether texts are to be joined of which some are bytes, which NumPy does not."""
    kind = array.dtype.kind
    return kind in "SO" or (kind == "U" and np.asarray(other).dtype.kind in "SO")


def _joined(first, second):
    return as_array(_bytes_of(first) + _bytes_of(second)).view(EagerArray)


def _bytes_of(value):
    """Texts, (…), as objects, bytes."""
    array = as_array(value)
    entries = np.empty(array.size, object)
    entries[:] = [each.encode() if isinstance(each, str) else each for each in array.ravel().tolist()]
    return entries.reshape(array.shape)


def lent(array: Any, dtype: DTypeLike = None) -> EagerArray:
    """A copy for a function of the user's, in which ``y_true /= 255`` changes nobody else's numbers, as in Keras.

    Parameters
    ----------
    array : array-like
    dtype : dtype, optional
        Another one than its own.
    """
    return np.array(array, dtype).view(EagerArray)


class EagerCount(np.int64):
    """A whole number with ``.numpy()``."""

    def numpy(self) -> np.int64:
        """The number as NumPy has it."""
        return np.int64(self)


def map_leaves(function: Callable[..., Any], *elements: Element) -> Element:
    """The structure of `elements`, which all have the same, with function(leaf, …) in place of their leaves.

    Parameters
    ----------
    function : callable
        Takes one leaf of each element.
    *elements : array, or tuple or dictionary of elements

    Raises
    ------
    DataError
        If their structures differ.
    """
    first = elements[0]
    if isinstance(first, dict):
        _same_keys(elements)
        return {key: map_leaves(function, *(e[key] for e in elements)) for key in first}
    if isinstance(first, tuple):
        if any(not isinstance(e, tuple) or len(e) != len(first) for e in elements[1:]):
            raise DataError(f"elements of a data set have the same structure. Received: {_described(elements)}")
        return tuple(map_leaves(function, *parts) for parts in zip(*elements, strict=True))
    if any(isinstance(e, dict | tuple) for e in elements[1:]):
        raise DataError(f"elements of a data set have the same structure. Received: {_described(elements)}")
    return function(*elements)


def leaves(element: Element) -> list[Any]:
    """All leaves, in order."""
    if isinstance(element, dict):
        return [leaf for part in element.values() for leaf in leaves(part)]
    if isinstance(element, tuple):
        return [leaf for part in element for leaf in leaves(part)]
    return [element]


def arrays_of(element: Element) -> Element:
    """The element with arrays for leaves; a list is an array, unless it holds arrays of different shapes.

    Raises
    ------
    DataError
        If a leaf cannot be an array.
    """
    return map_leaves(_array, _without_lists(element))


def without_second(tensors: Any, name: Any) -> Any:
    """`tensors`; a `TypeError` if a second array was given in the place of a name."""
    if not isinstance(name, str | None):
        raise TypeError(
            "from_tensor_slices takes one argument: several arrays stand in a tuple, from_tensor_slices((x, y)). "
            f"Received: a {type(name).__name__} as the second argument"
        )
    return tensors


def applied(function: Callable[..., Any], element: Element) -> Any:
    """function(element), of arrays and texts that have ``.numpy()``; a tuple's parts are its arguments.

    Raises
    ------
    TypeError
        If the function takes more or fewer of them.
    """
    element = map_leaves(_handed_over, element)
    arguments = element if isinstance(element, tuple) else (element,)
    try:
        return function(*arguments)
    except TypeError:
        names = [f"element[{i}]" for i in range(len(element))] if isinstance(element, tuple) else ["element"]
        check_takes(function, "a function of a data set's elements", *names)
        raise


def _handed_over(leaf):
    """What has ``.numpy()``, and text that is compared as TensorFlow's is: NumPy's own is not its bytes."""
    made = leaf if is_dataset(leaf) else as_array(leaf).view(EagerArray)
    is_text = isinstance(made, EagerArray) and made.dtype.kind == "U" and not made.ndim
    return EagerText(made.item()) if is_text else made


def is_true(predicate: Callable[..., Any], element: Element) -> bool:
    """Whether a predicate holds for an element.

    Raises
    ------
    DataError
        If it gives several values.
    """
    answer = np.asarray(applied(predicate, element))
    if answer.size != 1:
        raise DataError(
            "a predicate gives one true or false for an element: reduce an array by .all() or .any(). "
            f"Received: an array of shape {answer.shape}"
        )
    return bool(answer.item())


def arrays_from(function: Callable[..., Any], element: Element) -> Element:
    """What a user's function makes of an element.

    Raises
    ------
    DataError
        If that is no array.
    """
    return arrays_of(_with_tuple(applied(function, element)))


def read_only(array: np.ndarray) -> np.ndarray:
    """The same numbers; writing to them is an error, so that a function given to `map` cannot change its source."""
    view = array.view()
    view.flags.writeable = False
    return view


def unwritable(element: Element) -> Element:
    """The element with `read_only` leaves; those that are data sets stay."""
    return map_leaves(lambda leaf: leaf if is_dataset(leaf) else read_only(as_array(leaf)), element)


def stacked(elements: Sequence[Element]) -> Element:
    """One element whose leaves are those of all `elements` along a new first axis.

    Raises
    ------
    DataError
        If their structures or shapes differ.
    """
    return map_leaves(_stack, *elements)


def eager(element: Element) -> Element:
    """The element with `EagerArray` leaves."""
    return map_leaves(lambda leaf: leaf if is_dataset(leaf) else as_array(leaf).view(EagerArray), element)


def numbers_of(element: Element) -> Element:
    """The element with numbers for arrays without axes; text is bytes, as in tf.data."""
    return map_leaves(_plain, element)


def _plain(leaf):
    if isinstance(leaf, str):
        return leaf.encode()
    return leaf.view(EagerArray).numpy() if isinstance(leaf, np.ndarray) else leaf


def zipped(structure: Any) -> tuple[Callable[[], Iterator[Element]], list[int]]:
    """What begins a pass over the elements of data sets in tuples and dictionaries, and how many each has.

    Raises
    ------
    TypeError
        If there is anything else.
    """
    structure = tuple(structure) if isinstance(structure, list) else structure
    parts = [] if is_dataset(structure) else leaves(structure)
    if not parts or not all(map(is_dataset, parts)):
        found = [type(part).__name__ for part in parts or [structure]]
        raise TypeError(f"zip takes data sets, in a tuple or a dictionary. Received: {found}")

    def elements():
        for found in zip(*(part._elements() for part in parts), strict=False):
            each = iter(found)
            yield map_leaves(lambda _, each=each: next(each), structure)

    return elements, [part._cardinality for part in parts]


def is_dataset(leaf: Any) -> bool:
    """Whether it is a data set itself, as of a window."""
    return hasattr(leaf, "as_numpy_iterator")


def common_length(element: Element) -> int:
    """The length of the first axis of all leaves.

    Raises
    ------
    DataError
        If there is none, or if it differs.
    """
    lengths = {len(leaf) if np.ndim(leaf) else None for leaf in leaves(element)}
    if len(lengths) != 1 or None in lengths:
        shapes = [np.shape(leaf) for leaf in leaves(element)]
        raise DataError(f"slices need arrays with the same number of samples along axis 0. Received: shapes {shapes}")
    return lengths.pop()


def _array(leaf):
    if is_dataset(leaf):
        return leaf
    check_open(leaf)
    if isinstance(leaf, np.ma.MaskedArray):  # whose masked values slices, batches and functions would see
        leaf = to_numpy(leaf, "an element of a data set")
    array = leaf if isinstance(leaf, np.ndarray) else _of_numbers(leaf)
    return _of_objects(leaf) if array.dtype == object and not isinstance(array, EagerArray) else array  # of bytes


def _of_objects(leaf):
    """What came as Python's objects, as frames have names of files, (N,), as an array of text or numbers."""
    array = text_of(to_numpy(leaf, "an element of a data set"))
    if array.dtype == object and not isinstance(array, EagerArray):
        kinds = sorted({type(entry).__name__ for entry in array.flat})
        raise DataError(
            f"a part of a data set's element is no array of numbers or text. Received: {type(leaf).__name__} of "
            f"{', '.join(kinds[:5])}"
        )
    return array


def _of_numbers(leaf):
    """A number of Python's, or lists of such, as float32 or int32, as in tf.data; int64 for those that need it."""
    array, first = as_array(leaf), leaf
    while isinstance(first, list | tuple) and first:
        first = first[0]
    if hasattr(first, "dtype") or array.dtype.name not in ("float64", "int64"):
        return array
    narrow = array.astype("float32" if array.dtype.kind == "f" else "int32")
    return narrow if array.dtype.kind == "f" or (narrow == array).all() else array


def text_of(array: np.ndarray) -> np.ndarray:
    """An array of text, (…), where each of its objects is text or bytes; otherwise the array itself."""
    kinds = {type(entry) for entry in array.flat} if array.dtype == object else {int}
    if all(issubclass(kind, str) for kind in kinds):
        return array.astype(np.str_)
    return array.view(EagerArray) if all(issubclass(kind, bytes) for kind in kinds) else array


def _without_lists(element):
    if isinstance(element, dict):
        return {key: _without_lists(part) for key, part in element.items()}
    if isinstance(element, tuple):
        return tuple(_without_lists(part) for part in element)
    if isinstance(element, list) and len({np.shape(part) for part in element}) > 1:
        return tuple(element)  # what a function returned as ``return [image, label]``
    return element


def _with_tuple(element):
    """What a function returned: a list of arrays, ``return [image, mask]``, is a tuple; one inside is an array."""
    is_list = isinstance(element, list) and any(isinstance(part, np.ndarray | dict | tuple) for part in element)
    return tuple(element) if is_list else element


def _stack(*arrays):
    if any(map(is_dataset, arrays)):
        raise DataError(
            "data sets, as of windows, are no arrays to be stacked: make each window a batch first, "
            "flat_map(lambda window: window.batch(size))"
        )
    shapes = {np.shape(a) for a in arrays}
    if len(shapes) > 1:
        raise DataError(
            f"samples of a batch have one shape: resize or pad them first. Received: {sorted(shapes, key=str)[:4]}"
        )
    return np.stack(arrays)


def _same_keys(elements: Iterable[Element]) -> None:
    keys = [set(e) if isinstance(e, dict) else None for e in elements]
    if any(k != keys[0] for k in keys):
        raise DataError(f"elements of a data set have the same structure. Received: {_described(elements)}")


def _described(elements):
    return [sorted(e) if isinstance(e, dict) else f"{type(e).__name__} of {len(leaves(e))}" for e in elements][:2]
