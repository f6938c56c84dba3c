"""``tf.train.Checkpoint``: the numbers of models, optimizers and variables in files, for a script that goes on."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from minicnn import numpy_archive
from minicnn.errors import FileFormatError
from minicnn.keras import _applied, _optimizer_variables
from minicnn.optimizers import Optimizer
from minicnn.parameters import Weight
from minicnn.user_warnings import warn_user

__all__ = ["Checkpoint", "CheckpointManager", "latest_checkpoint"]

_INDEX = "checkpoint"  # names the files of a folder, the newest last


class Checkpoint:
    """Some objects whose numbers go into one file, ``prefix-1.npz``.

    Parameters
    ----------
    root : Model or Layer, optional
    **objects
        Models, layers, optimizers and variables, by names that the file has.
    """

    def __init__(self, root: Any = None, **objects: Any) -> None:
        self._objects = objects if root is None else {"root": root, **objects}
        self._count = 0
        vars(self).update(objects)

    def write(self, file_prefix: Any) -> str:
        """Write the file of this name, with ``.npz``; it appears whole or not at all."""
        path = os.fspath(file_prefix)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        parts = {key: array for name, thing in self._objects.items() for key, array in _numbers(name, thing)}
        with open(f"{path}.npz.part", "wb") as file:
            np.savez(file, **parts)
        os.replace(f"{path}.npz.part", f"{path}.npz")
        return path

    def save(self, file_prefix: Any) -> str:
        """Write the next file, ``prefix-1``, ``prefix-2``, …, which `latest_checkpoint` finds; returns its name."""
        self._count += 1
        path = self.write(f"{os.fspath(file_prefix)}-{self._count}")
        names = [name for name in _listed(Path(path).parent) if name != Path(path).name]
        _list(Path(path).parent, [*names, Path(path).name])
        return path

    def restore(self, save_path: Any) -> Self:
        """Take the numbers of a file; nothing happens for None, as `latest_checkpoint` gives where there is none.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        FileFormatError
            If it is damaged, or not what `write` has written; nothing has changed then.
        ValueError
            If it is of other objects, or of weights of other shapes.
        """
        if save_path is None:
            return self
        arrays = _read(f"{os.fspath(save_path)}.npz")
        parts = {name: [arrays[k] for k in sorted(arrays) if k.split(":")[0] == name] for name in self._objects}
        taking = [_taking(name, thing, parts[name]) for name, thing in self._objects.items()]
        for take in taking:  # all fit, so all of them change or none does
            take()
        number = re.search(r"-(\d+)$", os.fspath(save_path))
        self._count = int(number[1]) if number else self._count
        return self

    read = restore

    def expect_partial(self) -> Self:
        """Itself: `restore` has taken everything."""
        return self

    assert_consumed: Callable[..., Any] = expect_partial
    assert_existing_objects_matched: Callable[..., Any] = expect_partial


class CheckpointManager:
    """Keeps the last checkpoints in a folder.

    Parameters
    ----------
    checkpoint : Checkpoint
    directory : path-like
    max_to_keep : int or None
        None: all.
    checkpoint_name : str, default "ckpt"
    """

    def __init__(
        self, checkpoint: Checkpoint, directory: Any, max_to_keep: int | None = None, checkpoint_name: str = "ckpt"
    ) -> None:
        self._checkpoint, self._directory, self._folder = checkpoint, os.fspath(directory), Path(directory)
        self._most, self._name = max_to_keep, checkpoint_name

    @property
    def checkpoints(self) -> list[str]:
        """The files that there are, the newest last."""
        return [os.path.join(self._directory, name) for name in _listed(self._folder)]

    @property
    def latest_checkpoint(self) -> str | None:
        """The newest file; None if there is none."""
        return latest_checkpoint(self._directory)

    def save(self, checkpoint_number: Any = None) -> str:
        """Write the next file, and remove those that are too many; returns its name."""
        if checkpoint_number is not None:
            self._checkpoint._count = int(checkpoint_number) - 1
        path = self._checkpoint.save(os.path.join(self._directory, self._name))
        names = _listed(self._folder)
        for name in names[: -self._most] if self._most else ():
            (self._folder / f"{name}.npz").unlink(missing_ok=True)
        _list(self._folder, names[-self._most :] if self._most else names)
        return path


def latest_checkpoint(checkpoint_dir: Any, latest_filename: str | None = None) -> str | None:
    """The file that was saved last in a folder; None if there is none."""
    names = _listed(Path(checkpoint_dir))
    return os.path.join(os.fspath(checkpoint_dir), names[-1]) if names else None


def _listed(folder) -> list[str]:
    index = folder / _INDEX
    names = index.read_text(encoding="utf-8").split("\n")[:-1] if index.exists() else []
    if names and names[0].startswith("model_checkpoint_path:"):
        raise ValueError(
            f"TensorFlow's checkpoints are not read: choose another folder for minicnn's. Received: {str(folder)!r}"
        )
    return names


def _list(folder, names):
    part = folder / f"{_INDEX}.part"
    part.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    os.replace(part, folder / _INDEX)


def _read(path) -> dict[str, np.ndarray]:
    """The arrays of a file."""
    with numpy_archive.opened(path, f"the checkpoint {path} cannot be read") as archive:
        arrays = numpy_archive.arrays_of(archive)
        if odd := [key for key, array in arrays.items() if array.dtype.kind not in "biuf"]:
            raise FileFormatError(f"expected arrays of numbers. Received: {odd[0]!r} of {arrays[odd[0]].dtype}")
        return arrays


def _numbers(name, thing) -> Iterator[tuple[str, np.ndarray]]:
    """(key in the file, array) of an object."""
    if isinstance(thing, Weight):
        arrays = [thing.numpy()]
    elif isinstance(thing, Optimizer):
        arrays = _optimizer_variables.variables(thing)
    elif hasattr(thing, "get_weights"):
        arrays = thing.get_weights()
    elif hasattr(thing, "variables"):
        arrays = [variable.numpy() for variable in thing.variables]
    else:
        warn_user(f"tf.train.Checkpoint keeps models, layers, optimizers and variables. Received: {name}={thing!r}")
        arrays = []
    return ((f"{name}:{number:06}", array) for number, array in enumerate(arrays))


def _taking(name, thing, arrays) -> Callable[[], object]:
    """What gives an object the arrays of `_numbers`; `ValueError` if they are of another one."""
    own = [array.shape for _, array in _numbers(name, thing)]
    if isinstance(thing, Optimizer) and len(own) != len(arrays):
        return partial(_applied.set_when_built, thing, arrays)
    if hasattr(thing, "takes_what_waits") and len(own) < len(arrays) and not (own and thing.knows_its_weights):
        return partial(vars(thing).__setitem__, "waiting_weights", arrays)  # until it is built
    if len(own) != len(arrays):
        raise ValueError(
            f"the checkpoint has {len(arrays)} arrays for '{name}', which has another number now: it was "
            f"saved from another network. Received: {thing!r}"
        )
    if odd := [pair for pair in zip(own, (array.shape for array in arrays), strict=True) if pair[0] != pair[1]]:
        raise ValueError(f"the checkpoint's '{name}' is another network's: expected {odd[0][0]}. Received: {odd[0][1]}")
    if isinstance(thing, Optimizer):
        return partial(_applied.set_when_built, thing, arrays)
    if isinstance(thing, Weight):
        return partial(Weight.assign, thing, arrays[0])
    if hasattr(thing, "set_weights"):
        return partial(thing.set_weights, arrays)
    return partial(_assign_all, getattr(thing, "variables", ()), arrays)


def _assign_all(variables, arrays):
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
