"""How a layer of one's own is called: ``layer(x)``, ``layer(a, b)``, ``layer({"a": a})``, ``layer(x, flag=True)``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import BoundArguments, Parameter, signature
from typing import Any

import numpy as np

from minicnn.graph import Tensor
from minicnn.keras._in_order import GrowingList
from minicnn.nested import leaves, mapped


@dataclass(frozen=True)
class _Place:
    """In a form: where the input of this number stands."""

    index: int


class Form:
    """How `call` gets a layer's inputs.

    Parameters
    ----------
    call : callable
    arguments : dict
        Name of an argument of `call` → its value, nested, with a `_Place` for every input.
    is_lasting : bool, default True
        Whether the number of inputs and the signature of `call` say as much, so that files need not.
    """

    def __init__(self, call: Callable[..., Any], arguments: dict[str, Any], is_lasting: bool = True) -> None:
        self._signature = signature(call)
        self.arguments: dict[str, Any] = arguments
        self.is_lasting: bool = is_lasting

    def is_like(self, other: Form | None) -> bool:
        """Whether it says the same, in its options too."""
        return other is not None and repr(self.arguments) == repr(other.arguments)

    @property
    def takes_apart(self) -> bool:
        """Whether there are several inputs, and each is an argument."""
        return len(self.arguments) > 1 and all(isinstance(part, _Place) for part in self.arguments.values())

    @property
    def is_list_of_one(self) -> bool:
        """Whether the one input stands in a list."""
        return repr(list(self.arguments.values())) == repr([[_Place(0)]])

    def filled(self, values: Sequence[Any]) -> dict[str, Any]:
        """The arguments of `call` by name, with `values` in the places of the inputs."""
        return {name: _filled(part, values) for name, part in self.arguments.items()}

    def applied(self, call: Callable[..., Any], values: Sequence[Any], **options: Any) -> Any:
        """`call` with `values` in the places of the inputs."""
        bound = BoundArguments(self._signature, self.filled(values))  # type: ignore[arg-type]
        return call(*bound.args, **bound.kwargs, **options)

    def shapes_for(self, build: Callable[..., Any], shapes: Sequence[Any]) -> list[Any]:
        """What `build` is called with, of the inputs' shapes: by name, ``a_shape`` for the argument ``a`` of `call`.

        Raises
        ------
        ValueError
            If `build` takes several shapes whose names are not those of arguments of `call`.
        """
        filled = self.filled(shapes)
        kinds = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        parameters = [p for p in signature(build).parameters.values() if p.kind not in kinds]
        if len(parameters) < 2:
            return [next(iter(filled.values()))]
        while (
            parameters[-1].default is not Parameter.empty and parameters[-1].name.removesuffix("_shape") not in filled
        ):
            parameters.pop()  # key_shape=None, of a call without a key
        names = [p.name for p in parameters]
        how = "a build of several shapes names them after the arguments of call, as in build(self, a_shape, b_shape)"
        for name in names:
            if not name.endswith("_shape") or name.removesuffix("_shape") not in filled:
                raise ValueError(f"{how} for call(self, a, b). Received: {name!r}, for call({', '.join(filled)})")
        return [filled[name.removesuffix("_shape")] for name in names]


def is_input(value: object) -> bool:
    """Whether a value among the arguments of a call is an input, and no option."""
    return isinstance(value, Tensor) or (hasattr(value, "__array_ufunc__") and not isinstance(value, np.bool_))


def form_of(call: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Form, list[Any]]:
    """(the form of a call, its inputs).

    Raises
    ------
    TypeError
        If `call` does not take these arguments.
    ValueError
        If an option is positional, or nothing is an input.
    """
    for value in args[1:]:
        is_size = isinstance(value, int) and not isinstance(value, bool)  # as tf.shape(x)[1] is one, a tensor in Keras
        if value is not None and not is_size and not any(map(is_input, leaves(value))):
            raise ValueError(
                f"inputs alone may be positional; options are given by name: layer(x, option=True). Received: {value!r}"
            )
    parameters, inputs = signature(call).parameters, []

    def place(value):
        if not is_input(value):
            return value
        inputs.append(value)
        return _Place(len(inputs) - 1)

    bound = signature(call).bind(*args, **kwargs).arguments
    given = {name: value for name, value in bound.items() if not _is_same(value, parameters[name].default)}
    arguments = {name: mapped(place, value) for name, value in given.items()}
    if not inputs:
        raise ValueError(f"a layer is called with tensors or arrays. Received: {args}, {kwargs}")
    form = Form(call, arguments)
    form.is_lasting = form.is_like(usual_form(call, len(inputs))) or form.is_list_of_one
    return form, inputs


def usual_form(call: Callable[..., Any], count: int, is_list: bool = False) -> Form:
    """The form of a call with `count` inputs: one after the other if `call` needs as many, else as a list.

    One input is that alone, or, where it `is_list`, a list of one.
    """
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    positional = [p for p in signature(call).parameters.values() if p.kind in kinds and p.name != "training"]
    needed = [p.name for p in positional if p.default is Parameter.empty]
    if count > 1 and len(needed) == count:
        return Form(call, {name: _Place(i) for i, name in enumerate(needed)})
    first = positional[0].name if positional else next(iter(signature(call).parameters), "inputs")
    places = _Place(0) if count == 1 and not is_list else [_Place(i) for i in range(count)]
    return Form(call, {first: places if positional else (places,)})


def is_usual(args: Any, kwargs: Any) -> bool:
    """Whether a call is ``layer(x)`` or ``layer([a, b])``."""
    if len(args) != 1 or kwargs or isinstance(args[0], dict):
        return False
    found = [is_input(part) for part in args[0]] if isinstance(args[0], list | tuple) else []
    return all(found) or not any(map(is_input, leaves(args[0])))


def _is_same(value, default):
    """Whether an argument is its default, as object or as a plain value."""
    is_plain = isinstance(value, bool | int | float | str) and type(value) is type(default)
    return value is default or (is_plain and value == default)


def _filled(part, values):
    if isinstance(part, _Place):
        return values[part.index]
    if isinstance(part, dict):
        return {key: _filled(entry, values) for key, entry in part.items()}
    return type(part)(_filled(entry, values) for entry in part) if type(part) in (list, tuple, GrowingList) else part


def _is_shape(form):
    return isinstance(form, tuple) and all(isinstance(n, int) for n in form)


def shapes_in(form: Any) -> list[tuple[int, ...]]:
    """The shapes in a form, in the order of `minicnn.nested.leaves`, without what is None there."""
    if form is None or _is_shape(form):
        return [] if form is None else [form]
    entries = [form[key] for key in sorted(form)] if isinstance(form, dict) else form
    return [shape for entry in entries for shape in shapes_in(entry)]


def with_parts(form: Any, parts: Iterator[Any]) -> Any:
    """The form with the next of `parts` in the place of each shape."""
    if form is None or _is_shape(form):
        return None if form is None else next(parts)
    if isinstance(form, dict):
        made = {key: with_parts(form[key], parts) for key in sorted(form)}
        return {key: made[key] for key in form}
    entries = [with_parts(entry, parts) for entry in form]
    return type(form)(*entries) if hasattr(form, "_fields") else type(form)(entries)
