"""Where files go that have no suffix, and those that Keras 2 wrote as folders."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

from minicnn.keras._in_order import answering
from minicnn.keras._warning import warn_once
from minicnn.own_parts import is_of_package
from minicnn.saving.files import checked_path, replacing
from minicnn.saving.formats import formats
from minicnn.user_warnings import warn_user

_NAMES = {"save": "saved_model", "save_weights": "checkpoint"}  # of files in a folder that is there already


def with_suffix(filepath: Any) -> str:
    """The path, with .h5 where its name is of no format: such a name was one of an HDF5 file in Keras 2."""
    path = os.fspath(filepath).rstrip("/")
    return path if path.lower().endswith((*formats(), ".onnx")) else f"{path}.h5"


def file_at(filepath: Any, written_by: str) -> Any:
    """The file in a folder that `write_to` was told to write to; a path that is no such folder as it is.

    Of a model's file and one of weights, that of the method `written_by` comes first.
    """
    is_folder = isinstance(filepath, str | os.PathLike) and os.path.isdir(filepath)
    names = sorted(_NAMES, key=written_by.__ne__) if is_folder else ()
    inside = [os.path.join(filepath, f"{_NAMES[name]}.h5") for name in names]
    return next(filter(os.path.isfile, inside), filepath)


def write_to(write: Callable[..., Any], filepath: Any, save_format: Any, args: Any, kwargs: Any) -> None:
    """Call `write`; an HDF5 file may have any name, as in Keras 2, and a folder gets one inside."""
    path = os.fspath(checked_path(filepath)).rstrip("/")
    folder = os.path.dirname(path)
    if write.__name__ == "save" and folder and path.endswith((".h5", ".hdf5")):
        os.makedirs(folder, exist_ok=True)  # as Keras does for these
    if os.path.isdir(path):
        path = filepath = os.path.join(path, f"{_NAMES[write.__name__]}.h5")
        warn_once(f"{write.__name__}: a folder that is there gets a file of HDF5, which is {path!r}")
    is_nameless = with_suffix(path) != path
    if save_format in ("tf", "tensorflow"):
        warn_user(f"save({path!r}, save_format={save_format!r}): minicnn reads this file, and TensorFlow does not")
    elif is_nameless:
        warn_once(f"save({path!r}): a name without .keras, .h5 or .safetensors is written as HDF5, as Keras 2 did")
    is_of_h5 = save_format in ("h5", "hdf5") and not path.endswith((".h5", ".hdf5"))
    if is_nameless or is_of_h5 or (write.__name__ == "save" and path.endswith(".weights.h5")):
        folder, name = os.path.split(path)
        if is_nameless and folder:  # which TensorFlow made for a SavedModel or a checkpoint
            os.makedirs(folder, exist_ok=True)
        _check_overwrite(path, *args[:1], **kwargs)
        with replacing(path) as temporary, _folder_beside(temporary) as own:
            write(os.path.join(own, f"{name}.h5"), *args, **kwargs)
            os.replace(os.path.join(own, f"{name}.h5"), temporary)
    else:
        write(filepath, *args, **kwargs)


def _check_overwrite(path, overwrite=True, **others):
    """What `write` asks of the path that it is given, which is another one here."""
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"there is a file already, and overwrite=False. Received: {path!r}")


def _folder_beside(path):
    """A temporary folder on the disk of a file, which may be another one than that of a link to it."""
    try:
        return tempfile.TemporaryDirectory(prefix=".minicnn-", dir=path.parent)
    except OSError as error:  # of a folder that may not be written to, for one: said of the file
        error.filename = str(path)
        raise


_OWN = ("save_own_variables", "load_own_variables", "save_assets", "load_assets", "build_from_config")


def warn_of_own_files(model: Any) -> None:
    """Warn where layers have methods of Keras's for what a file holds of them, which are not asked.

    And where the optimizer, one of the user's own, has variables, which no file holds, or no call reaches weights.
    """
    _warn_of_unreached(model)
    optimizer = None if model.compiled is None else model.optimizer
    if optimizer is not None and (vars(optimizer).get("_added") or vars(optimizer).get("_made")):
        warn_user(
            f"no file holds the variables of {type(optimizer).__name__}, so that a training that goes on after "
            "load_model begins them anew: np.savez(path, *optimizer.get_weights()) keeps those of an update_step, "
            "which optimizer.set_weights takes over once the model has trained a batch"
        )
    for layer in model.layers:
        if vars(layer).get("_adds_places") and model.saved_as != "Sequential":
            warn_user(
                f"what the call of layer '{layer.name}' ({type(layer).__name__}) adds to super().call has layers of "
                "its own in files of this model, as minicnn knows; Keras, which reads a .keras or .h5 file by that "
                "class, computes it twice: save the weights for it, save_weights, or put the layer into a Sequential"
            )
    for kind, part in [("model", model), *(("layer", layer) for layer in model.layers)]:
        if asked := [name for name in _OWN if not is_of_package(getattr(type(part), name, is_of_package))]:
            warn_user(
                f"{kind} '{part.name}' ({type(part).__name__}) has {asked[0]}, which minicnn does not call: files "
                f"hold weights, and the arguments of constructors; what else a {kind} keeps is a weight of it, "
                "add_weight(…, trainable=False)"
            )


def _warn_of_unreached(model):
    if model.graph is None or model.has_own_steps:  # which is refused
        return
    with answering(by_user=True):
        listed = model.weights
    if others := [w.path for w in listed if w not in set(model.named_weights().values())]:
        warn_user(
            f"no call of model '{model.name}' reaches some of its weights, which are in no file: np.savez(path, "
            "*model.get_weights()) keeps all of them, in Keras's order, and model.set_weights takes them. "
            f"Received: {', '.join(others[:4])}" + (", …" if len(others) > 4 else "")
        )
