"""What data sets can do beside the steps of `minicnn.data.dataset`, made of these."""

from __future__ import annotations

import copy
import copyreg
import glob
import os
import pickle
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.data.elements import Element, applied, eager, map_leaves
from minicnn.data.grouping import Grouping
from minicnn.data.rearranging import Rearranging
from minicnn.errors import DataError
from minicnn.own_parts import function_of

if TYPE_CHECKING:
    from minicnn.data.dataset import Dataset


class TensorSpec(NamedTuple):
    """Shape and dtype of an array of elements.

    Attributes
    ----------
    shape : tuple of int, optional
    dtype : dtype, default "float32"
    name : str, optional
    """

    shape: Any = None
    dtype: Any = "float32"
    name: str | None = None


class _State:
    """The attributes of a data set that is copied; pickled they may be if its functions may."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def __deepcopy__(self, memo: dict[int, Any]) -> _State:
        return _State(copy.deepcopy(self.values, memo))

    def __reduce__(self) -> Any:
        try:
            pickle.dumps(self.values)
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise TypeError(
                "a Dataset is made of functions, which pickle does not take: let the other process make it, or hand "
                f"over its arrays, list(dataset.as_numpy_iterator()). Received: {error}"
            ) from None
        return _State, (self.values,)


class FurtherSteps(Grouping, Rearranging):
    """Methods of `Dataset` that few scripts call."""

    def __reduce__(self) -> Any:
        return copyreg.__newobj__, (type(self),), _State(dict(vars(self)))

    def __setstate__(self, state: _State) -> None:
        vars(self).update(state.values)

    @staticmethod
    def from_tensor_slices(tensors: Element, name: str | None = None) -> Dataset:
        """One element for each sample of arrays."""
        raise NotImplementedError

    @classmethod
    def list_files(
        cls, file_pattern: Any, shuffle: bool | None = None, seed: int | None = None, name: str | None = None
    ) -> Dataset:
        """The paths of files, in a random order unless told, another one in each pass.

        Parameters
        ----------
        file_pattern : str or sequence of str
            With ``*``, ``?`` and ``[…]``, as `glob` has them.
        shuffle : bool, default True
        seed : int, optional
            Of the order.

        Raises
        ------
        DataError
            If there is no such file.
        """
        given = np.asarray(file_pattern)
        patterns = [os.fsdecode(each) for each in (given.reshape(-1) if given.dtype.kind in "SU" else [file_pattern])]
        paths = sorted(path for pattern in patterns for path in glob.glob(pattern))
        if not paths:
            raise DataError(f"expected a pattern of files that are there. Received: {', '.join(patterns)}")
        files = cls.from_tensor_slices(np.array(paths))
        return files if shuffle is False else files.shuffle(len(paths), seed=seed)

    @property
    def element_spec(self) -> Element:
        """Shape and dtype of each array of the first element, which is made for it."""
        for element in self._elements():
            return map_leaves(lambda leaf: TensorSpec(np.shape(leaf), np.asarray(leaf).dtype), element)
        raise DataError("the elements of an empty data set have no shapes. Received: a data set without elements")

    def flat_map(self, map_func: Callable[..., Dataset], name: str | None = None) -> Dataset:
        """The elements of the data sets that a function makes of the elements, one data set after the other."""
        return self.interleave(map_func, cycle_length=1)

    def interleave(
        self,
        map_func: Callable[..., Dataset],
        cycle_length: int | None = None,
        block_length: int = 1,
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
        name: str | None = None,
    ) -> Dataset:
        """The elements of the data sets that a function makes of the elements, in turns.

        Parameters
        ----------
        map_func : callable
            Element → Dataset.
        cycle_length : int, default 4
            How many data sets take turns.
        block_length : int, default 1
            How many elements each gives in its turn.
        num_parallel_calls, deterministic : optional
            Not used: the order is always the same.
        """
        turns = cycle_length if cycle_length is not None and cycle_length > 0 else 4

        def elements():
            streams = (iter(applied(map_func, element)._elements()) for element in self._elements())
            waiting = deque(islice(streams, turns))
            while waiting:
                stream = waiting.popleft()
                block = list(islice(stream, block_length))
                yield from block
                waiting.extend([stream] if len(block) == block_length else islice(streams, 1))

        return self._of(elements)

    def apply(self, transformation_func: Callable[[Any], Any]) -> Any:
        """transformation_func of this data set."""
        return function_of("transformation_func", transformation_func)(self)

    def with_options(self, options: object, name: str | None = None) -> Any:
        """The data set as it is: options of TensorFlow's change no element."""
        return self

    def reduce(self, initial_state: Any, reduce_func: Callable[[Any, Element], Any], name: str | None = None) -> Any:
        """``state = reduce_func(state, element)`` for all elements; returns the last state, of arrays.

        Anything else than a function of two arguments is a TypeError.
        """
        function_of("reduce_func", reduce_func, "state", "element")
        for element in self._elements():
            initial_state = applied(partial(reduce_func, initial_state), (element,))
        numbers = (int, float, str, np.generic, np.ndarray)
        return map_leaves(lambda part: eager(part) if isinstance(part, numbers) else part, initial_state)
