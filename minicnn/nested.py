"""Nested lists, tuples and dicts of a model's inputs or outputs, and data in the same form.

The order of the leaves is Keras's: that of lists, and of dicts by sorted keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


def leaves(structure: Any) -> list[Any]:
    """What is in a structure, in order; of what is no list, tuple or dict, the thing itself."""
    return [leaf for _, leaf in _walk(structure, ())]


def paths(structure: Any) -> list[tuple[Any, ...]]:
    """The keys and places that lead to each leaf, in order."""
    return [path for path, _ in _walk(structure, ())]


def is_plain(structure: object) -> bool:
    """Whether a structure is a single thing, or a list or tuple of such: what goes by position."""
    return not isinstance(structure, dict) and all(not _is_nested(entry) for _, entry in _entries(structure))


def mapped(function: Callable[[Any], Any], structure: Any) -> Any:
    """The structure with `function` applied to each leaf."""
    return packed(structure, [function(leaf) for leaf in leaves(structure)])


def packed(structure: Any, values: Sequence[Any]) -> Any:
    """The structure with other leaves, given in order."""
    rest = iter(values)
    return _filled(structure, (), {path: next(rest) for path, _ in _walk(structure, ())})


def _filled(part, path, values):
    """A part of a structure with the values of its paths."""
    if not _is_nested(part):
        return values[path]
    parts = {key: _filled(entry, (*path, key), values) for key, entry in _entries(part)}
    if isinstance(part, dict):
        return {key: parts[key] for key in part}
    return type(part)(*parts.values()) if hasattr(part, "_fields") else type(part)(parts.values())


def path_names(structure: Any, names: Sequence[str]) -> list[str]:
    """The names of the leaves in Keras's logs: keys of dicts joined by "/"; what stands in a list at last has its own.

    Parameters
    ----------
    structure : nested
    names : list of str
        The leaves' own names, in order.
    """
    ends = [
        (*path[:-1], name) if not path or isinstance(path[-1], int) else path
        for path, name in zip(paths(structure), names, strict=True)
    ]
    return ["/".join(map(str, path)) for path in ends]


def matched(structure: Any, value: Any, argument: str, default: Any = None) -> list[Any]:
    """One entry for each leaf of `structure` from a value of the same form, or a flat list of as many entries.

    Parameters
    ----------
    structure : nested
    value : object
        As `structure`, with lists and tuples alike; a dict in it may lack keys.
    argument : str
        For messages.
    default : object
        For what is missing.

    Raises
    ------
    ValueError
        If it has another form; the message shows the right one.
    """
    many = len(leaves(structure))
    if isinstance(value, list | tuple) and not isinstance(structure, list | tuple) and len(value) == many:
        return list(value)
    if many == 1 and not _is_nested(value):
        return [value]
    try:
        return list(_match(structure, value, default))
    except _OtherForm:
        if isinstance(value, list | tuple) and len(value) == many:
            return list(value)
    received = form(value) if _is_nested(value) else type(value).__name__
    raise ValueError(f"{argument} needs the form of the model's: {form(structure)}. Received: {received}")


def form(structure: Any) -> str:
    """A structure for a message: {'a': …, 'b': […, …]}."""
    if isinstance(structure, dict):
        return "{" + ", ".join(f"{key!r}: {form(entry)}" for key, entry in structure.items()) + "}"
    return "[" + ", ".join(map(form, structure)) + "]" if _is_nested(structure) else "…"


def same_form(a: Any, b: Any) -> bool:
    """Whether two structures are nested alike, with the same keys; lists and tuples count as one."""
    return paths(a) == paths(b)


class _OtherForm(Exception):
    """A value has not the structure's form."""


def _match(structure, value, default) -> Iterator[Any]:
    if not _is_nested(structure):
        yield value
        return
    if value is None or value is default:
        yield from [default] * len(leaves(structure))
        return
    if isinstance(structure, dict):
        if not isinstance(value, Mapping) or not set(value) <= set(structure) or not value:
            raise _OtherForm
    elif not isinstance(value, list | tuple) or len(value) != len(structure):
        raise _OtherForm
    for key, entry in _entries(structure):
        yield from _match(entry, value.get(key, default) if isinstance(structure, dict) else value[key], default)


def _is_nested(structure) -> bool:
    return isinstance(structure, list | tuple | dict)


def _entries(structure):
    """(key or index, entry) of what a structure holds directly."""
    if isinstance(structure, dict):
        return [(key, structure[key]) for key in sorted(structure, key=str)]
    return list(enumerate(structure)) if _is_nested(structure) else []


def _walk(structure, path):
    """(path, leaf) of every leaf."""
    if not _is_nested(structure):
        yield path, structure
    for key, entry in _entries(structure):
        yield from _walk(entry, (*path, key))
