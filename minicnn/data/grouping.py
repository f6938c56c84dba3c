"""Data sets in groups by a key, in a file, and without elements that fail: steps that few scripts take."""

from __future__ import annotations

import itertools
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import GeneratorType
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import numpy_archive
from minicnn import random as seeds
from minicnn.checks import check_positive_int
from minicnn.data.counting import INFINITE_CARDINALITY, UNKNOWN_CARDINALITY
from minicnn.data.elements import EagerArray, Element, applied, eager, is_dataset, leaves
from minicnn.data.pass_counts import PassCounter
from minicnn.errors import DataError, FileFormatError
from minicnn.hints import FilePath
from minicnn.own_parts import function_of
from minicnn.user_warnings import warn_user

if TYPE_CHECKING:
    from minicnn.data.dataset import Dataset

_FILE = "elements.zip"
_STRUCTURE = "structure.json"
_OF_BYTES = ".bytes"  # in names of arrays of bytes
_MOST = 1 << 20  # bytes of it


class Grouping:
    """Methods of `Dataset` that group elements by a key, keep them in a file, and make some of nothing."""

    _cardinality: int
    _stream: Callable[[], Iterator[Any]]
    _making: Any

    def _elements(self) -> Iterator[Element]:
        raise NotImplementedError

    @staticmethod
    def _of(elements: Callable[[], Iterator[Element]], cardinality: int = UNKNOWN_CARDINALITY) -> Dataset:
        raise NotImplementedError

    def group_by_window(
        self,
        key_func: Callable[..., Any],
        reduce_func: Callable[[Any, Dataset], Dataset],
        window_size: int | None = None,
        window_size_func: Callable[[Any], int] | None = None,
        name: str | None = None,
    ) -> Dataset:
        """The data sets that a function makes of groups of elements with one key, such as batches of one size.

        Parameters
        ----------
        key_func : callable
            Element → a whole number, its key.
        reduce_func : callable
            ``reduce_func(key, group)``, `group` a data set of `window_size` elements or, at the end, fewer.
        window_size : int, optional
        window_size_func : callable, optional
            Key → window size; one of the two is given.

        Raises
        ------
        ValueError
            If not one of the two is given.
        """
        function_of("reduce_func", reduce_func, "key", "group")
        if (window_size is None) == (window_size_func is None):
            raise ValueError(
                "group_by_window takes a window_size, or a window_size_func. Received: "
                f"window_size={window_size}, window_size_func={window_size_func}"
            )

        def reduced(key, group):
            made = reduce_func(np.int64(key), self._of(lambda: iter(group), len(group)))
            if not is_dataset(made):
                raise DataError(f"reduce_func gives a data set, such as group.batch(8). Received: {type(made)}")
            return made._elements()

        def elements():
            groups: dict[int, list[Element]] = {}
            for element in self._elements():
                key = int(applied(key_func, element))
                group = groups.setdefault(key, [])
                group.append(element)
                size = window_size if window_size_func is None else int(window_size_func(np.int64(key)))
                if len(group) >= check_positive_int("window_size", size):
                    yield from reduced(key, groups.pop(key))
            for key in sorted(groups):
                yield from reduced(key, groups[key])

        return self._of(elements)

    def ignore_errors(self, log_warning: bool = False, name: str | None = None) -> Dataset:
        """The elements without those that a function of `map` fails for; with `log_warning`, each is a warning.

        It stands right behind `map`, and makes elements one by one, in no threads.

        Raises
        ------
        DataError
            In a pass, for an error behind which nothing more comes: that of a generator, or of a step before others. A
            warning says that the last element failed, behind which there may be more as well.
        """

        def elements():
            stream, error = self._stream(), None
            while True:
                try:
                    item = next(stream)
                    made = [item] if self._making is None else list(self._making.elements(iter([item])))
                except StopIteration:
                    break
                except Exception as reason:
                    error = reason
                    if isinstance(stream, GeneratorType) and stream.gi_frame is None:  # it has ended
                        raise DataError(f"ignore_errors stands right behind map: {reason}") from reason
                    if log_warning:
                        warn_user(f"an element is left out: {error}")
                    continue
                error = None
                yield from made
            if error is not None:
                warn_user(f"ignore_errors: nothing came behind an element that failed: {error}")

        return self._of(elements)

    def get_single_element(self, name: str | None = None) -> Element:
        """The element of a data set of one.

        Raises
        ------
        DataError
            If there are none, or several.
        """
        found = list(itertools.islice(self._elements(), 2))
        if len(found) != 1:
            raise DataError(f"the data set has one element. Received: {'several' if found else 'none'}")
        return eager(found[0])

    @classmethod
    def counter(cls, start: int = 0, step: int = 1, dtype: Any = np.int64, name: str | None = None) -> Dataset:
        """Numbers from `start` on, by `step`, without an end."""
        return cls._of(lambda: (np.asarray(n, dtype) for n in itertools.count(start, step)), INFINITE_CARDINALITY)

    @classmethod
    def random(
        cls, seed: int | None = None, rerandomize_each_iteration: bool | None = None, name: str | None = None
    ) -> Dataset:
        """Whole numbers from 0 to 2³², int64, drawn at random, without an end: others in each pass unless told.

        Parameters
        ----------
        seed : int, optional
            With one, all passes give the same numbers unless told.
        rerandomize_each_iteration : bool, optional
            Whether passes differ.
        """
        first, passes = seeds.next_seed() if seed is None else int(seed), PassCounter()
        varies = seed is None if rerandomize_each_iteration is None else rerandomize_each_iteration

        def numbers():
            source = np.random.default_rng((first, next(passes) if varies else 0))
            while True:
                yield np.asarray(source.integers(2**32))

        return cls._of(numbers, INFINITE_CARDINALITY)

    def save(self, path: FilePath, compression: str | None = None, name: str | None = None, **options: Any) -> None:
        """Write all elements into a folder, which `load` reads: a file of minicnn's own, not TensorFlow's.

        Parameters
        ----------
        path : str or Path
            The folder, which is made; what `save` wrote there before is replaced.
        compression : {"GZIP"}, optional

        Raises
        ------
        DataError
            If there are no elements, or what is no array of numbers or text.
        TypeError
            For TensorFlow's further options.
        """
        if options:
            raise TypeError(f"save takes a path and a compression. Received: {', '.join(options)}")
        os.makedirs(path, exist_ok=True)
        target, structure, count = Path(path, _FILE), None, 0
        unfinished = target.with_suffix(f".{os.getpid()}")
        try:
            kind = zipfile.ZIP_STORED if compression is None else zipfile.ZIP_DEFLATED
            with zipfile.ZipFile(unfinished, "w", kind) as file:
                for count, element in enumerate(self._elements(), 1):
                    structure = _written(file, element, count - 1)
                if structure is None:
                    raise DataError("a data set without elements has nothing to save. Received: no elements")
                file.writestr(_STRUCTURE, json.dumps({"structure": structure, "count": count}))
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: FilePath, element_spec: Any = None, compression: str | None = None, **options: Any) -> Dataset:
        """The elements that `save` has written; each pass reads the file.

        Parameters
        ----------
        path : str or Path
            The folder.
        element_spec, compression :
            Not needed: the file says both.

        Raises
        ------
        FileNotFoundError
            If there is none.
        FileFormatError
            For a file that `save` has not written.
        """
        source = Path(path, _FILE)
        if not source.exists():
            raise FileNotFoundError(f"a folder that Dataset.save has written has {_FILE} in it. Received: {source}")
        with numpy_archive.opened(source, f"{source} is no file that Dataset.save has written") as file:
            structure, count = _described(file)

        def elements():
            with numpy_archive.opened(source, f"{source} cannot be read") as file:
                for number in range(count):
                    yield _read(file, structure, number)

        return cls._of(elements, count)


def _written(file, element, number) -> Any:
    """Write an element's arrays; its structure, in which their places in the file stand for them."""
    for place, leaf in enumerate(leaves(element)):
        array, ending = np.asarray(leaf), ""
        if array.dtype.kind == "O":
            array, ending = _ended(array), _OF_BYTES
        with file.open(f"{number}/{place}{ending}.npy", "w", force_zip64=True) as part:
            np.lib.format.write_array(part, array, allow_pickle=False)
    places = itertools.count()

    def described(part):
        if isinstance(part, dict):
            return {"dict": {key: described(value) for key, value in part.items()}}
        return {"tuple": [described(each) for each in part]} if isinstance(part, tuple) else next(places)

    return described(element)


def _ended(array):
    """Bytes, the only objects of elements, as NumPy's, each with one more behind it: those lose zeros at the end."""
    return np.array([each + b"." for each in array.flat], "S").reshape(array.shape)


def _described(file) -> tuple[Any, int]:
    """The structure of elements, and how many there are."""
    info = file.getinfo(_STRUCTURE)
    if info.file_size > _MOST:
        raise FileFormatError(f"{_STRUCTURE} may have {_MOST} bytes. Received: {info.file_size}")
    with file.open(info) as member:
        try:
            kept = json.loads(member.read(_MOST))
        except ValueError as error:
            raise FileFormatError(f"{_STRUCTURE} is no JSON: {error}") from None
    if not isinstance(kept, dict) or not isinstance(kept.get("count"), int) or not _is_structure(kept.get("structure")):
        raise FileFormatError(f"{_STRUCTURE} says no structure and number of elements. Received: {str(kept)[:80]}")
    return kept["structure"], kept["count"]


def _is_structure(part) -> bool:
    """Whether it is what `_written` gives."""
    if not isinstance(part, dict):
        return isinstance(part, int)
    parts = part.get("dict", part.get("tuple"))
    return isinstance(parts, dict if "dict" in part else list) and all(
        map(_is_structure, parts.values() if "dict" in part else parts)
    )


def _read(file, structure, number) -> Element:
    """One element of a file."""
    if isinstance(structure, int):
        name = f"{number}/{structure}"
        if f"{name}{_OF_BYTES}.npy" not in file.NameToInfo:
            return numpy_archive.read_array(file, f"{name}.npy")
        ended = numpy_archive.read_array(file, f"{name}{_OF_BYTES}.npy")
        if ended.dtype.kind != "S":
            raise FileFormatError(f"{name}{_OF_BYTES}.npy holds bytes. Received: an array of {ended.dtype}")
        entries = np.array([bytes(each)[:-1] for each in ended.flat], object)
        return entries.reshape(ended.shape).view(EagerArray)
    if "dict" in structure:
        return {key: _read(file, each, number) for key, each in structure["dict"].items()}
    return tuple(_read(file, each, number) for each in structure["tuple"])
