"""Model files: configurations and arrays in, configurations and arrays out. Nothing here knows a model.

A format is a module with two names: ``write(path, snapshot)`` and ``Reader(path)``, see `minicnn.saving.snapshot`.
"""

from importlib import import_module
from pathlib import Path

from minicnn.errors import FileFormatError
from minicnn.saving import files
from minicnn.saving.snapshot import Snapshot

FORMATS = {
    ".weights.h5": "minicnn.saving.keras_weights",
    ".safetensors": "minicnn.saving.native",
    ".keras": "minicnn.saving.keras_archive",
    ".h5": "minicnn.saving.keras_hdf5",
    ".hdf5": "minicnn.saving.keras_hdf5",
}
"""Suffix → module; a longer suffix comes before one that it ends in."""

WEIGHTS_ONLY = (".weights.h5",)


def write(path, snapshot) -> None:
    """Write a file in the format of its suffix: whole, or not at all.

    Parameters
    ----------
    path : str or path-like
    snapshot : Snapshot

    Raises
    ------
    ValueError
        If no format has that suffix, or it cannot hold what the snapshot holds.
    OSError
        If the file cannot be written; a previous one is still there.
    """
    path = files.checked_path(path)
    suffix = _suffix(path)
    if suffix in WEIGHTS_ONLY and not snapshot.weights_only:
        raise ValueError(f"a '{suffix}' file holds weights alone: call save_weights. Received: {str(path)!r}")
    module = import_module(FORMATS[suffix])
    with files.replacing(path) as temporary:
        module.write(temporary, snapshot)


def open_file(path):
    """The `Reader` of a file's format; a context manager.

    Raises
    ------
    FileFormatError
        If the file is damaged, not what its suffix says, or of a newer version.
    ValueError
        If no format has that suffix.
    OSError
        If it cannot be read.
    """
    path = files.checked_path(path)
    module = import_module(FORMATS[_suffix(path)])
    files.check_readable(path)
    with files.named_in_errors(path):
        return module.Reader(path)


def _suffix(path: Path) -> str:
    """The suffix of a format."""
    name = path.name.lower()
    for suffix in FORMATS:
        if name.endswith(suffix):
            return suffix
    if name.endswith(".onnx"):
        raise ValueError(
            "an ONNX file is read with mc.import_onnx(path) and written with mc.export_onnx(model, path). "
            f"Received: {str(path)!r}"
        )
    raise ValueError(
        f"a model file's name ends in {', '.join(FORMATS)}; '.safetensors' is minicnn's own format. "
        f"Received: {str(path)!r}"
    )


__all__ = ["FORMATS", "FileFormatError", "Snapshot", "open_file", "write"]
