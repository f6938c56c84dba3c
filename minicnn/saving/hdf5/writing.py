"""Writing HDF5 files, with h5py."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import h5py

MISSING = "writing '{suffix}' files needs h5py: pip install minicnn[keras]"


def check_writable(suffix: str) -> None:
    """Raise `ImportError` if h5py, which writes files of that suffix, is not installed."""
    try:
        is_installed = find_spec("h5py") is not None
    except ValueError:  # it was blocked: `sys.modules` holds None
        is_installed = False
    if not is_installed:
        raise ImportError(MISSING.format(suffix=suffix))


def check_name(name: str, reserved: Collection[str] = ()) -> None:
    """Check that a layer can be found again in an HDF5 file under its name.

    Parameters
    ----------
    name : str
    reserved : collection of str
        Names that mean something else in the file.

    Raises
    ------
    ValueError
        If it cannot.
    """
    is_text = not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in name)
    if name in reserved or not is_text:
        raise ValueError(
            "a file of Keras's formats cannot hold a layer of this name: give it another one, or save the model as "
            f".safetensors. Received: {name!r}"
        )


@contextmanager
def new_file(path: Path | io.BytesIO, suffix: str) -> Iterator[h5py.File]:
    """A new file, open for writing with h5py, in the layout that every HDF5 library reads.

    It reaches the disk at the end, and not by libhdf5, which can crash when the disk is full (2.0.0).

    Parameters
    ----------
    path : Path or io.BytesIO
    suffix : str
        Of the format, for the message.

    Raises
    ------
    ImportError
        If h5py is not installed.
    OSError
        If the file cannot be written.
    """
    try:
        import h5py
    except ImportError:
        raise ImportError(MISSING.format(suffix=suffix)) from None
    content = io.BytesIO() if isinstance(path, Path) else path
    with h5py.File(content, "w", libver=("earliest", "v110")) as file:
        yield file
    if isinstance(path, Path):
        path.write_bytes(content.getbuffer())
