"""``keras.tree``: functions of nested lists, tuples and dicts, whose leaves stand in Keras's order."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = [
    "MAP_TO_NONE",
    "assert_same_paths",
    "assert_same_structure",
    "flatten",
    "flatten_with_path",
    "is_nested",
    "lists_to_tuples",
]
__all__ += ["map_shape_structure", "map_structure", "map_structure_up_to", "pack_sequence_as", "traverse"]


class MAP_TO_NONE:
    """What a function of `traverse` gives, the class itself, where None is to stand for a part."""


def is_nested(structure: Any) -> bool:
    """Whether it is a list, a tuple or a dict."""
    return isinstance(structure, list | tuple | dict)


def flatten(structure: Any) -> list[Any]:
    """The leaves in order, those of dicts by their keys in order, of an OrderedDict as it stands."""
    return [leaf for _, leaf in _walk(structure)]


def _entries(part):
    """(key or place, entry): dicts by their keys in order, an OrderedDict, which has one of its own, in that."""
    if not isinstance(part, dict):
        return list(enumerate(part))
    return [(key, part[key]) for key in (part if isinstance(part, OrderedDict) else sorted(part, key=str))]


def _walk(part, path=()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """(path, leaf) of every leaf."""
    if not is_nested(part):
        yield path, part
        return
    for key, entry in _entries(part):
        yield from _walk(entry, (*path, key))


def _filled(part, values):
    """A part of a structure with the next leaves."""
    if not is_nested(part):
        return next(values)
    parts = {key: _filled(entry, values) for key, entry in _entries(part)}
    if isinstance(part, dict):
        made = copy.copy(part)  # of its class: an OrderedDict, a defaultdict
        made.update(parts)
        return made
    return type(part)(*parts.values()) if hasattr(part, "_fields") else type(part)(parts.values())


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Each leaf behind the keys and places that lead to it."""
    return list(_walk(structure))


def assert_same_structure(a: Any, b: Any) -> None:
    """Nothing where two structures are of the same lists, tuples and dicts.

    Raises
    ------
    ValueError
        Where they are not.
    """
    if _form(a) != _form(b):
        raise ValueError(
            f"two structures need the same lists, tuples and dicts, with the same keys. Received: {_form(a)} and "
            f"{_form(b)}"
        )


def _form(structure):
    if isinstance(structure, dict):
        return {key: _form(structure[key]) for key in sorted(structure, key=str)}
    if hasattr(structure, "_fields"):
        return type(structure)(*map(_form, structure))
    return type(structure)(map(_form, structure)) if isinstance(structure, list | tuple) else "…"


def assert_same_paths(a: Any, b: Any) -> None:
    """Nothing where leaves stand at the same places of two structures; lists and tuples count as one.

    Raises
    ------
    ValueError
        Where they do not.
    """
    of_a, of_b = ([path for path, _ in _walk(structure)] for structure in (a, b))
    if of_a != of_b:
        raise ValueError(f"two structures need leaves at the same places. Received: {of_a} and {of_b}")


def map_structure(func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """The first structure, with what a function makes of the leaves of all of them.

    Parameters
    ----------
    func : callable
    *structures
        Of the same lists, tuples and dicts.
    none_is_leaf : bool, default True
        Whether the function is called for None; otherwise it stays None where all have it.

    Raises
    ------
    ValueError
        Where there are none, or they have other forms.
    """
    if not structures:
        raise ValueError("a function is mapped over one structure or several. Received: none")
    for other in structures[1:]:
        assert_same_structure(structures[0], other)
    columns = zip(*map(flatten, structures), strict=True)
    is_kept = (lambda column: False) if none_is_leaf else (lambda column: all(leaf is None for leaf in column))
    return _filled(structures[0], iter([None if is_kept(column) else func(*column) for column in columns]))


def map_structure_up_to(shallow_structure: Any, func: Callable[..., Any], *structures: Any) -> Any:
    """The first structure, with what a function makes of the parts that others have where its leaves stand.

    Raises
    ------
    ValueError
        Where there are no others, or one ends above a leaf, or is of other lists, tuples and dicts.
    """
    if not structures:
        raise ValueError("a function is mapped over one structure or several. Received: none")
    columns = zip(*(_up_to(shallow_structure, deep) for deep in structures), strict=True)
    return _filled(shallow_structure, iter([func(*column) for column in columns]))


def _up_to(shallow, deep):
    """The parts of a structure at the places of another one's leaves."""
    if not is_nested(shallow):
        yield deep
        return
    are_dicts = isinstance(shallow, dict) and isinstance(deep, dict)
    keys = [key for key, _ in _entries(shallow)]
    if not (are_dicts or type(deep) is type(shallow)) or {*keys} != {key for key, _ in _entries(deep)}:
        raise ValueError(
            f"a structure needs the lists, tuples and dicts of the shallow one. Received: {_form(deep)} and "
            f"{_form(shallow)}"
        )
    for key in keys:
        yield from _up_to(shallow[key], deep[key])


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """The structure, with what a function makes of each shape, a tuple or list of sizes."""
    if isinstance(structure, list | tuple) and all(n is None or isinstance(n, int) for n in structure):
        return func(structure)
    if isinstance(structure, dict):
        return {key: map_shape_structure(func, part) for key, part in structure.items()}
    return type(structure)(map_shape_structure(func, part) for part in structure)


def pack_sequence_as(structure: Any, flat_sequence: Sequence[Any]) -> Any:
    """The structure with other leaves, given in order.

    Raises
    ------
    ValueError
        Where they are not as many.
    """
    if len(flat_sequence) != len(flatten(structure)):
        raise ValueError(f"{len(flatten(structure))} leaves are needed. Received: {len(flat_sequence)}")
    return _filled(structure, iter(flat_sequence))


def lists_to_tuples(structure: Any) -> Any:
    """The structure with a tuple for each list."""
    if isinstance(structure, dict):
        return {key: lists_to_tuples(part) for key, part in structure.items()}
    return tuple(map(lists_to_tuples, structure)) if isinstance(structure, list | tuple) else structure


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """The structure, with what a function gives for its parts instead of them, where that is not None.

    Parameters
    ----------
    func : callable
        Of the structure, its parts and their leaves.
    structure : nested
    top_down : bool, default True
        Whether it is asked before it is asked for the parts, of which then only those of what it left are visited.
    """
    if top_down and (made := func(structure)) is not None:
        return _unless_none(made)
    if isinstance(structure, dict):
        parts = {key: traverse(func, part, top_down) for key, part in _entries(structure)}
        structure = copy.copy(structure)
        structure.update(parts)
    elif is_nested(structure):
        parts = [traverse(func, part, top_down) for part in structure]
        structure = type(structure)(*parts) if hasattr(structure, "_fields") else type(structure)(parts)
    if not top_down and (made := func(structure)) is not None:
        return _unless_none(made)
    return structure


def _unless_none(made):
    return None if made is MAP_TO_NONE else made
