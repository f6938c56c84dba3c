"""Model files: configurations and arrays in, configurations and arrays out. Nothing here knows a model.

A format is a file in this folder with a `FORMAT`, see `minicnn.saving.formats`. What Keras's formats share is in
``keras/`` and ``hdf5/``.
"""

from minicnn.console import speaks
from minicnn.errors import FileFormatError
from minicnn.hints import FilePath
from minicnn.saving import files, kinds
from minicnn.saving.formats import Format, formats
from minicnn.saving.others import check_not_foreign
from minicnn.saving.snapshot import Reader, Snapshot


def write(path: FilePath, snapshot: Snapshot) -> None:
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
    form = formats()[check_suffix(path, snapshot.weights_only)]
    if not speaks():  # another process writes it
        return
    with files.replacing(path) as temporary:
        form.write(temporary, snapshot)


def open_file(path: FilePath, is_model: bool = False) -> Reader:
    """The `Reader` of a file's format; a context manager.

    Parameters
    ----------
    path : str or path-like
    is_model : bool, default False
        Whether a model is wanted, which Keras also writes under a name that ends in .weights.h5.

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
    check_not_foreign(path)
    found = kinds.RENAMED.get(kinds.kind_of(path)) if path.is_file() else None
    try:
        form = formats()[check_suffix(path, weights_only=True)]
    except ValueError:
        if found not in formats():
            files.check_readable(path)  # where there is nothing, that is what to say first
            raise
        form = formats()[found]
    files.check_readable(path)
    here = formats().get(found, form)
    if {form.kind, here.kind} == {kinds.ARCHIVE, kinds.HDF5}:  # Keras 2 wrote either under any name
        form = here
    if is_model and form.weights_only and here.kind == form.kind:
        form = here
    with files.named_in_errors(path):
        if form.kind is not None:
            kinds.check_kind(path, form.kind)
        return form.reader(path)


def check_suffix(path: FilePath, weights_only: bool) -> str:
    """The suffix, of those in `formats`, that `path` ends in.

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
    suffix = next((suffix for suffix in formats() if name.endswith(suffix)), None)
    if suffix is None and name.endswith(".onnx"):
        raise ValueError(
            "an ONNX file is read with mc.import_onnx(path) and written with mc.export_onnx(model, path). "
            f"Received: {str(path)!r}"
        )
    if suffix is None:
        raise ValueError(
            f"a model file's name ends in {', '.join(formats())}; '.safetensors' is minicnn's own format. "
            f"Received: {str(path)!r}"
        )
    if formats()[suffix].weights_only and not weights_only:
        raise ValueError(f"a '{suffix}' file holds weights alone: call save_weights. Received: {str(path)!r}")
    return suffix


def check_writable(path: FilePath, weights_only: bool) -> None:
    """`check_suffix`, and whether what writes such files is installed: for callbacks, which write much later.

    Raises
    ------
    ValueError
        As `check_suffix`.
    ImportError
        If something that the format needs is not there.
    """
    suffix = check_suffix(path, weights_only)
    check = formats()[suffix].check_writable
    if check is not None:
        check(suffix)


__all__ = [
    "FileFormatError",
    "Format",
    "Reader",
    "Snapshot",
    "check_suffix",
    "check_writable",
    "formats",
    "open_file",
    "write",
]
