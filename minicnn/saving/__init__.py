"""Model files: configurations and arrays in, configurations and arrays out. Nothing here knows a model.

A format is a module with two names: ``write(path, snapshot)`` and ``Reader(path)``, see `minicnn.saving.snapshot`.
"""

from importlib import import_module
from importlib.util import find_spec

from minicnn.errors import FileFormatError
from minicnn.saving import files, hdf5
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
    module = import_module(FORMATS[check_suffix(path, snapshot.weights_only)])
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
    module = import_module(FORMATS[check_suffix(path, weights_only=True)])
    files.check_readable(path)
    with files.named_in_errors(path):
        return module.Reader(path)


def check_suffix(path, weights_only) -> str:
    """The suffix, of those in `FORMATS`, that `path` ends in.

    Parameters
    ----------
    path : str or path-like
    weights_only : bool
        Whether weights alone are written; otherwise the format must hold a whole model.

    Raises
    ------
    ValueError
        If there is none.
    """
    name = str(path).lower()
    suffix = next((suffix for suffix in FORMATS if name.endswith(suffix)), None)
    if suffix is None and name.endswith(".onnx"):
        raise ValueError(
            "an ONNX file is read with mc.import_onnx(path) and written with mc.export_onnx(model, path). "
            f"Received: {str(path)!r}"
        )
    if suffix is None:
        raise ValueError(
            f"a model file's name ends in {', '.join(FORMATS)}; '.safetensors' is minicnn's own format. "
            f"Received: {str(path)!r}"
        )
    if suffix in WEIGHTS_ONLY and not weights_only:
        raise ValueError(f"a '{suffix}' file holds weights alone: call save_weights. Received: {str(path)!r}")
    return suffix


def check_writable(path, weights_only) -> None:
    """`check_suffix`, and whether what writes such files is installed: for callbacks, which write much later.

    Raises
    ------
    ValueError
        As `check_suffix`.
    ImportError
        If h5py is needed and not there.
    """
    suffix = check_suffix(path, weights_only)
    if suffix != ".safetensors" and not _is_installed("h5py"):
        raise ImportError(hdf5.MISSING.format(suffix=suffix))


def _is_installed(package) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # it was blocked: `sys.modules` holds None
        return False


__all__ = ["FORMATS", "FileFormatError", "Snapshot", "check_suffix", "check_writable", "open_file", "write"]
