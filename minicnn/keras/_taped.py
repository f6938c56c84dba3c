"""Values on tapes: what is computed while a `GradientTape` records, of what it watches."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, met
from minicnn.keras._last_function import forgotten
from minicnn.nested import mapped
from minicnn.parameters import Weight
from minicnn.reverse_mode import product


class _Recording(threading.local):
    """The tapes that record in this thread, the innermost last; around a layer's call, those that have it as one."""

    def __init__(self):
        self.tapes = []
        self.around = []
        self.moment = None  # the serial number of what is computed again
        self.standing_in = None  # while a `call` makes a graph: what a weight is there
        self.trained = None  # the model that `fit` trains


recording = _Recording()
serials = itertools.count()


def is_recording() -> bool:
    """Whether a tape records."""
    return bool(recording.tapes)


@contextmanager
def nothing_recorded() -> Iterator[None]:
    """Inside, no tape records."""
    before, recording.tapes = recording.tapes, []
    try:
        yield
    finally:
        recording.tapes = before


@contextmanager
def training_of(model: Any) -> Iterator[None]:
    """Inside, this model is trained, by data: what is recorded of the caller's has no part in it."""
    before, recording.trained = recording.trained, model
    try:
        with nothing_recorded():
            yield
    finally:
        recording.trained = before


def as_numbers(nested: Any) -> Any:
    """Lists and dicts of data with arrays in place of what is on a tape that records."""
    if not is_recording():
        return nested
    return mapped(lambda part: np.asarray(part.value) if isinstance(part, Taped) else part, nested)


@contextmanager
def weights_as(standing_in: Callable[[Weight], Any] | None) -> Iterator[None]:
    """Inside, computations with weights are with what this gives for them; None: with their values."""
    before, recording.standing_in = recording.standing_in, standing_in
    try:
        yield
    finally:
        recording.standing_in = before


@contextmanager
def inside_a_layer() -> Iterator[None]:
    """Inside, no tape records, since a call is one value on those that do: they keep what else it reads of theirs."""
    around, recording.around = recording.around, recording.tapes or recording.around
    try:
        with nothing_recorded():
            yield
    finally:
        recording.around = around


@contextmanager
def at_moment(serial: int, tape: Any) -> Iterator[None]:
    """Inside, what is computed counts as if it had been when a value of this number was made, on this tape too."""
    before = recording.tapes, recording.moment
    recording.tapes, recording.moment = [*before[0], *([] if tape in before[0] else [tape])], serial
    try:
        yield
    finally:
        recording.tapes, recording.moment = before


def _read_inside(leaf):
    """Keep that a layer's call reads something which it was not given."""
    for tape in recording.around:
        tape.read_inside(leaf)


class Taped(Recorded):
    """A value that was computed while a tape recorded; otherwise as an array with ``.numpy()``.

    Attributes
    ----------
    serial : int
        When it was made.
    again : callable or None
        Computes it by recorded functions, which gradients of gradients go through, where its own ways back are none.
    """

    again: Callable[[], Any] | None = None

    def __init__(self, value: Any, parents: Any = ()) -> None:
        super().__init__(value, [part for part in parents if _matters(part[0])])
        self.serial: int = next(serials) if recording.moment is None else recording.moment

    def open(self, tape: Any) -> None:
        """Have it computed by recorded functions, so that its gradients have gradients."""
        if self.again is not None:
            with at_moment(self.serial, tape):
                made = self.again()
            self.parents = [(made, lambda g: g)] if isinstance(made, Recorded) else []
            self.again = None

    def result(self, value: Any) -> Any:
        """A value computed of this one: on the tapes, or an array where none records."""
        if recording.around and not is_recording():
            raise TypeError(
                "the call of a layer reads a value that was computed on a tape, beside its inputs, so that its "
                "gradient would be lost: give it to the call as another input, or tf.stop_gradient(value) if it is "
                f"meant as a number. Received: a value of shape {self.shape}"
            )
        return object.__new__(Taped) if is_recording() else np.asarray(value).view(EagerArray)

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        if is_recording():
            raise TypeError(
                "an array would leave the tape that records, and its gradient be lost: write operators, functions of "
                "tf or keras.ops, or NumPy's that minicnn.differentiation lists; t.numpy() or tf.stop_gradient(t) "
                f"where no gradient is meant. Received: a value of shape {self.shape}"
            )
        return np.asarray(self.value, *args, **kwargs)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        made = super().__array_ufunc__(ufunc, method, *inputs, **kwargs)
        return np.asarray(made).view(EagerArray) if isinstance(made, np.ndarray | np.generic) else made

    def numpy(self) -> Any:
        """A copy of the numbers, without their history; one number for shape ()."""
        return np.array(self.value)[()]

    def item(self) -> Any:
        """The only number."""
        return self.value.item()

    def tolist(self) -> Any:
        """The numbers in nested lists."""
        return self.value.tolist()

    def astype(self, dtype: Any, **options: Any) -> Any:
        """Another dtype; numbers that are whole have no gradient."""
        dtype = np.dtype(dtype)
        if dtype.kind not in "fc":
            return self.value.astype(dtype).view(EagerArray)
        if dtype == self.dtype:
            return self
        return Recorded(self.value.astype(dtype), [(self, lambda g: product(g, 1, self))])

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return self.value.__index__()


def _matters(node) -> bool:
    """Whether a tape that records may go back beyond a node: not if it is older than all of them, or was drawn."""
    tapes = recording.tapes
    return node.has_gradient and (
        not isinstance(node, Taped) or not node.parents or any(tape.knows(node) for tape in tapes)
    )


class Watched(EagerArray):
    """An array that a tape was told to watch."""

    leaf: Taped | None = None

    def on_tape(self) -> Any:
        """What stands for it where a tape records."""
        if not is_recording() or self.dtype.kind not in "fc":
            _read_inside(self.leaf)
            return self.view(EagerArray)
        if self.leaf is None:  # made of the one that was watched by what no tape sees
            raise TypeError(
                "an array left the tape, and its gradient is lost: write operators, functions of tf or keras.ops, or "
                f"NumPy's that minicnn.differentiation lists. Received: a view or copy of shape {self.shape} of a "
                "tensor that is watched"
            )
        return self.leaf

    @property
    def T(self) -> Any:
        """As of an array."""
        return np.transpose(self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            kwargs["out"] = tuple(x.view(np.ndarray) if isinstance(x, Watched) else x for x in kwargs["out"])
        made = getattr(ufunc, method)(*met(inputs), **kwargs)
        return made.view(EagerArray) if type(made) is np.ndarray else made

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return function(*met(args), **{name: met(value) for name, value in kwargs.items()})

    def __getitem__(self, key: Any) -> Any:
        return self.on_tape()[key]


def _on_tape(name: str) -> Callable[..., Any]:
    """A method of arrays for what is watched: that of its value on the tape, or NumPy's function of it."""

    def method(watched: Watched, *args: Any, **options: Any) -> Any:
        value = watched.on_tape()
        own = getattr(value, name, None)
        return getattr(np, name)(value, *args, **options) if own is None else own(*args, **options)

    method.__name__ = name
    method.__doc__ = "As of an array."
    return method


def _itself(watched: Watched, *args: Any) -> Any:
    """As of an array; on a tape, whose values do not change, the value."""
    return watched.on_tape() if is_recording() else np.array(watched).view(EagerArray)


for _name in (
    "reshape",
    "transpose",
    "flatten",
    "ravel",
    "swapaxes",
    "squeeze",
    "repeat",
    "take",
    "diagonal",
    "astype",
):
    setattr(Watched, _name, _on_tape(_name))
for _name in ("diagonal", "sum", "mean", "max", "min", "std", "var", "prod", "cumsum", "clip", "dot", "trace", "sort"):
    setattr(Watched, _name, _on_tape(_name))
Watched.copy = _itself  # type: ignore[method-assign]


_leaves: WeakKeyDictionary[Weight, Taped] = WeakKeyDictionary()


def leaf_of(weight: Weight) -> Taped:
    """What gradients by a weight add up at, whatever its values are."""
    if weight not in _leaves:
        _leaves[weight] = Taped(np.empty(weight.shape, weight.dtype))
    return _leaves[weight]


def reads(weight: Weight) -> bool:
    """Whether a value computed of the weight now belongs on a tape; the tapes keep that it was read."""
    wanted = False
    for tape in recording.tapes:
        wanted |= tape.notices(weight)
    return wanted


def is_weight_in_graph(weight: Weight) -> bool:
    """Whether it is one of a layer, while a `call` makes a graph, in which it may become another one."""
    return recording.standing_in is not None and hasattr(weight.layer, "weights")


def weight_on_tape(weight: Weight) -> Any:
    """What stands for a weight in a computation: its values now."""
    if is_weight_in_graph(weight):
        return recording.standing_in(weight)
    value = weight.numpy()
    if recording.around:
        _read_inside(leaf_of(weight))
    return Taped(value, [(leaf_of(weight), lambda g: g)]) if is_recording() and reads(weight) else value


def keep(run: Any) -> None:
    """Have the tapes that record keep what they go back through; the last that ends calls ``run.end()``."""
    for tape in recording.tapes:
        tape.keep(run)


def watched_leaf(x: Any) -> Taped:
    """Where gradients by a tensor or a variable add up, which is watched from now on.

    Raises
    ------
    ValueError
        For what is neither.
    """
    if isinstance(x, Weight):
        return leaf_of(x)
    if type(x) is Recorded:  # numbers that were drawn, or computed of such alone, on no tape
        vars(x).update(has_gradient=True, serial=next(serials), parents=[])
        x.__class__ = Taped
    if isinstance(x, Taped):
        return x
    if not isinstance(x, EagerArray):
        raise ValueError(
            f"a tape watches tensors and variables: x = tf.convert_to_tensor(x) makes a tensor, also of an array. "
            f"Received: {type(x).__name__}"
        )
    if not isinstance(x, Watched):
        x.__class__ = Watched
    if x.leaf is None:
        x.leaf = Taped(x.view(np.ndarray))
    return x.leaf


def stop_gradient(variables: Any, name: str | None = None) -> Any:
    """The same numbers, of which no gradient goes back."""

    def stopped(x):
        x = met(x)
        return np.asarray(x.value).view(EagerArray) if isinstance(x, Recorded) else forgotten(x)

    return mapped(stopped, variables)
