"""Exceptions with a name of their own, and helpers that word the common messages.

Every message says what was expected, how to get there, and ends with what was received. Wrong arguments raise plain
``ValueError`` or ``TypeError``; the classes below exist where a caller may want to catch one case alone.
"""

import difflib
from collections.abc import Iterable

from minicnn.mistaken_names import other_meaning


class ShapeError(ValueError):
    """An array or a layer's input has a shape that does not fit."""


class ContractError(ValueError):
    """A layer from outside of the package does not write what it must, or changes what it must not."""


class NonFiniteError(ArithmeticError, RuntimeError):
    """The loss or a parameter became NaN or infinite."""


class NotBuiltError(RuntimeError, AttributeError):  # so that hasattr(model, "inputs") is False
    """A model or layer has no parameters yet, because its input shape is not known."""


class NotCompiledError(RuntimeError, AttributeError):  # so that hasattr(model, "optimizer") is False
    """A model is asked to train or evaluate before `compile` named a loss."""


class DataError(ValueError):
    """A data set is missing, damaged or not what it claims to be."""


class FileFormatError(ValueError):
    """A model file, or a model's configuration, is damaged, not what its name says, or asks for something refused."""


class BackendError(RuntimeError):
    """A backend cannot be used on this machine."""


class DeviceMemoryError(MemoryError):
    """A GPU has too little free memory."""


def fold_name(name: str) -> str:
    """`name` without case and underscores: 'glorot_uniform' and 'GlorotUniform' are the same name."""
    return name.replace("_", "").lower()


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that does not exist; the caller raises it.

    Parameters
    ----------
    kind : str
        What the name should have named, e.g. 'optimizer'.
    name : str
        What the user wrote.
    known : iterable of str
        All valid names.
    """
    if meant := other_meaning(kind, name):
        return ValueError(f"Unknown {kind}.{meant} Received: {name!r}")
    by_folded = {fold_name(k): k for k in known}
    close = difflib.get_close_matches(fold_name(str(name)), by_folded, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(by_folded[c]) for c in close)}?" if close else ""
    return ValueError(f"Unknown {kind}.{hint} Known names: {', '.join(sorted(by_folded.values()))}. Received: {name!r}")
