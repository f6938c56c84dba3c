"""What a model file holds, whatever its format."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from minicnn.checks import is_real
from minicnn.hints import Config, Shape


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
        in a checkpoint "run" besides. Plain values, and arrays anywhere in it.
    weights_only : bool
        Whether the file is to hold the weights alone; the config then only says which layers they belong to.
    """

    weights: dict[str, np.ndarray]
    config: Config
    compile: dict[str, Any] | None = None
    optimizer: dict[str, Any] | None = None
    training: dict[str, Any] = field(default_factory=dict)
    weights_only: bool = False


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
    """

    config: Config | None = None
    compile: dict[str, Any] | None = None
    training: dict[str, Any] = {}  # noqa: RUF012
    numbers: int = 0

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

    An array becomes ``{"__array__": name}``; its name is its place in the tree, after `prefix`.

    Raises
    ------
    TypeError
        If it holds anything else than None, bool, int, float, str, lists, dicts with string keys, and real arrays.
    """
    arrays = {}

    def split(value, name):
        if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, np.generic)):
            return value
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {key: split(entry, f"{name}/{key}") for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [split(entry, f"{name}/{index}") for index, entry in enumerate(value)]
        if isinstance(value, np.ndarray | np.generic) and is_real(value):
            arrays[name] = np.asarray(value)
            return {"__array__": name}
        raise TypeError(f"a saved state is made of plain values and arrays. Received: {type(value)} at {name!r}")

    return split(tree, prefix), arrays


def join_arrays(tree: Any, read: Callable[[str], np.ndarray]) -> Any:
    """The inverse of `split_arrays`; ``read(name)`` returns an array. A 0-d array comes back as a NumPy scalar."""
    if isinstance(tree, dict):
        if set(tree) == {"__array__"}:
            return read(tree["__array__"])[()]
        return {key: join_arrays(value, read) for key, value in tree.items()}
    return [join_arrays(value, read) for value in tree] if isinstance(tree, list) else tree
