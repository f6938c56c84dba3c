"""What a model file holds, whatever its format."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from minicnn.checks import is_real
from minicnn.hints import Config, Shape
from minicnn.saving.files import MAX_JSON, check_arrays

MAX_TEXT = 1000  # characters of an object that is saved as text
MAX_DEPTH = 50  # of lists and dicts in a training's state; what is deeper may contain itself


@dataclass
class Snapshot:
    """A model at one moment, as plain data and arrays.

    Attributes
    ----------
    weights : dict
        "layer/weight", for layers of a model used as a layer "model/layer/weight" → array; in Keras's order, each once.
    config : dict
        ``{"class_name": "Sequential" or "Functional", "config": …}``, see `minicnn.models.config`.
    compile : dict or None
        "optimizer" and "loss" (list), each ``{"class_name", "config"}``, "loss_weights" (list of float), "metrics" (for
        each output a list of names and of ``{"class_name", "config"}``).
    optimizer : dict or None
        "iterations": int, "slots": name of a state vector → "layer/weight" → array like the weight.
    training : dict
        "seed", "epochs_trained", "calls": position of the random numbers; "history": the state of a `History`, or None;
        "compile_config": what a user's `get_compile_config` gave; in a checkpoint "run" besides. Plain values, and
        arrays anywhere in it.
    weights_only : bool
        Whether the file is to hold the weights alone; the config then only says which layers they belong to.
    """

    weights: dict[str, np.ndarray]
    config: Config
    compile: dict[str, Any] | None = None
    optimizer: dict[str, Any] | None = None
    training: dict[str, Any] = field(default_factory=dict)
    weights_only: bool = False


class Stored(NamedTuple):
    """A weight in a file that has not been read yet.

    Attributes
    ----------
    shape : tuple of int
    read : callable
        Returns the array, or raises `FileFormatError` if it holds anything but finite numbers.
    """

    shape: Shape
    read: Callable[[], np.ndarray]


class Reader:
    """A file that was opened; the base of every format's reader, and a context manager.

    `__init__(path)` reads what is needed to know the model, without arrays. The arrays are read later, when the model
    is there to say which ones it expects.

    Attributes
    ----------
    config, compile, training
        As in `Snapshot`.
    numbers : int
        How many numbers the file's arrays hold: a model that needs more is refused before it takes memory.
    input_shapes
        Of a model that is a user's class without a structure: what it was built for, as the file has it.
    compile_config
        What a user's class said of how it was compiled, as the file has it, if it does.
    """

    config: Config | None = None
    compile: dict[str, Any] | None = None
    training: dict[str, Any] = {}  # noqa: RUF012
    numbers: int = 0
    input_shapes: Any = None
    compile_config: Any = None

    def __init__(self, path: Path) -> None:
        raise NotImplementedError

    def weights(self, expected: dict[str, Shape], config: Config) -> dict[str, np.ndarray]:
        """All weights.

        Parameters
        ----------
        expected : dict
            "layer/weight" → shape, in Keras's order.
        config : dict
            The model's, in the form of `Snapshot.config`; its layers' classes decide where Keras's formats keep
            weights.

        Returns
        -------
        dict
            "layer/weight" → array of that shape, of real numbers.

        Raises
        ------
        FileFormatError
            If a weight is missing, left over, or of another shape or dtype: before any is read.
        """
        found = self.find(expected, config)
        check_arrays({name: stored.shape for name, stored in found.items()}, expected)
        return {name: found[name].read() for name in expected}

    def find(self, expected: dict[str, Shape], config: Config, by_name: bool = False) -> dict[str, Stored]:
        """What the file has in the place of each weight, of whatever shape; and under other names, what is left over.

        Parameters
        ----------
        expected, config :
            As for `weights`.
        by_name : bool, default False
            Whether layers go by their names alone, never by their order.

        Raises
        ------
        ValueError
            For ``by_name=True``, if the format goes by structure.
        """
        raise NotImplementedError

    def optimizer(self, slots: tuple[str, ...], expected: dict[str, Shape], config: Config) -> dict[str, Any] | None:
        """The optimizer's state, or None if the file has none.

        Parameters
        ----------
        slots : tuple of str
            Names of its state vectors.
        expected : dict
            "layer/weight" → shape of the weights with gradients, in Keras's order.
        config : dict
            As for `weights`.

        Returns
        -------
        dict or None
            As `Snapshot.optimizer`.
        """
        return None

    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def split_arrays(tree: Any, prefix: str) -> tuple[Any, dict[str, np.ndarray]]:
    """(plain values, arrays) of nested dicts and lists.

    An array becomes ``{"__array__": name}``; its name is its place in the tree, after `prefix`. What a file cannot hold
    (a date, a path, an object that a callback has put into the logs) becomes text, with a warning: a training is not
    lost for it. Sets become lists, and keys of dicts text.
    """
    arrays, texts = {}, {}

    def split(value, name, depth=0):
        if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, np.inexact)):
            return _plain_scalar(value)
        if isinstance(value, np.ndarray | np.generic) and is_real(value):
            while name in arrays:  # a key may hold a "/"
                name += "'"
            arrays[name] = np.asarray(value, np.float64 if value.dtype.itemsize > 8 else None)
            return {"__array__": name}
        if depth < MAX_DEPTH and isinstance(value, Mapping):
            return {_key(key): split(entry, f"{name}/{key}", depth + 1) for key, entry in value.items()}
        if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
            return [split(entry, f"{name}/{index}", depth + 1) for index, entry in enumerate(value)]
        texts.setdefault(type(value).__name__, name)
        return as_text(value)

    plain = split(tree, prefix)
    if texts:
        places = ", ".join(f"{kind} (at {name!r})" for kind, name in texts.items())
        warnings.warn(f"a file holds numbers, text, lists, dicts and arrays; saved as text: {places}", stacklevel=2)
    return plain, arrays


def as_text(value: object) -> str:
    """The first `MAX_TEXT` characters of a value, of whatever class."""
    try:
        return str(value)[:MAX_TEXT]
    except Exception:
        return f"<{type(value).__name__}>"


def _key(key) -> str:
    return as_text(key) if key != "__array__" else "array"


def _plain_scalar(value):
    """A value without the subclass that it may be of, such as an enumeration's."""
    kind = next((kind for kind in (bool, int, float, str) if isinstance(value, kind)), None)
    return value if kind is None or type(value) is kind else kind.__new__(kind, value)


def training_text(training: dict[str, Any]) -> str:
    """The training state as JSON, for formats that keep no arrays beside it; a history that is too long is left out."""
    plain, arrays = split_arrays(training, "")
    text = json.dumps(join_arrays(plain, lambda name: arrays[name].tolist()))
    if len(text) <= MAX_JSON // 2:
        return text
    warnings.warn(f"the history is not saved: it would take {len(text)} bytes", stacklevel=2)
    return training_text(training | {"history": None}) if training.get("history") else "{}"


def join_arrays(tree: Any, read: Callable[[str], np.ndarray]) -> Any:
    """The inverse of `split_arrays`; ``read(name)`` returns an array. A 0-d array comes back as a NumPy scalar."""
    if isinstance(tree, dict):
        if set(tree) == {"__array__"}:
            found = read(tree["__array__"])
            return found[()] if isinstance(found, np.ndarray) else found
        return {key: join_arrays(value, read) for key, value in tree.items()}
    return [join_arrays(value, read) for value in tree] if isinstance(tree, list) else tree
