"""``keras.tree``: functions of nested lists, tuples and dicts, whose leaves stand in Keras's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minicnn.nested import leaves, packed, paths

__all__ = ["assert_same_paths", "assert_same_structure", "flatten", "flatten_with_path", "is_nested", "lists_to_tuples"]
__all__ += ["map_shape_structure", "map_structure", "pack_sequence_as", "traverse"]


def is_nested(structure: Any) -> bool:
    """Whether it is a list, a tuple or a dict."""
    return isinstance(structure, list | tuple | dict)


def flatten(structure: Any) -> list[Any]:
    """The leaves in order, those of dicts by their keys in order."""
    return leaves(structure)


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Each leaf behind the keys and places that lead to it."""
    return list(zip(paths(structure), leaves(structure), strict=True))


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
    return type(structure)(map(_form, structure)) if type(structure) in (list, tuple) else is_nested(structure)


def assert_same_paths(a: Any, b: Any) -> None:
    """Nothing where leaves stand at the same places of two structures; lists and tuples count as one.

    Raises
    ------
    ValueError
        Where they do not.
    """
    if paths(a) != paths(b):
        raise ValueError(f"two structures need leaves at the same places. Received: {paths(a)} and {paths(b)}")


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
    columns = zip(*map(leaves, structures), strict=True)
    is_kept = (lambda column: False) if none_is_leaf else (lambda column: all(leaf is None for leaf in column))
    return packed(structures[0], [None if is_kept(column) else func(*column) for column in columns])


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """The structure, with what a function makes of each shape, a tuple or list of sizes."""
    if isinstance(structure, list | tuple) and all(n is None or isinstance(n, int) for n in structure):
        return func(tuple(structure))
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
    if len(flat_sequence) != len(leaves(structure)):
        raise ValueError(f"{len(leaves(structure))} leaves are needed. Received: {len(flat_sequence)}")
    return packed(structure, flat_sequence)


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
        return made
    if isinstance(structure, dict):
        structure = {key: traverse(func, part, top_down) for key, part in structure.items()}
    elif is_nested(structure):
        parts = [traverse(func, part, top_down) for part in structure]
        structure = type(structure)(*parts) if hasattr(structure, "_fields") else type(structure)(parts)
    if not top_down and (made := func(structure)) is not None:
        return made
    return structure
