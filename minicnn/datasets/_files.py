"""Where data files are found: a given folder, `MINICNN_DATA`, the cache folder, or a download into the cache folder."""

import gzip
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import urlsplit

import numpy as np

from minicnn.cache_folder import CACHE_VARIABLE, cache_folder
from minicnn.console import is_terminal
from minicnn.errors import DataError
from minicnn.hints import FilePath

_T = TypeVar("_T")

DATA_VARIABLE = "MINICNN_DATA"

CONNECT_TIMEOUT = 10  # seconds for one mirror: without a network, loading should fail while the user still watches
READ_TIMEOUT = 30  # seconds without a single byte
CHUNK = 1 << 16  # bytes

GZIP_MAGIC = b"\x1f\x8b"


class DataNotFoundError(DataError, FileNotFoundError):
    """No folder holds the data set, and no mirror could be reached."""


@dataclass(frozen=True)
class RemoteFile:
    """One published file.

    Attributes
    ----------
    name : str
        File name; the address is mirror + name.
    size : int
        Size in bytes; a download stops soon after a server has sent more.
    sha256 : str
        Expected SHA-256, in hex.
    mirrors : tuple of str
        Folders that serve the file, ending in "/", tried in this order.
    """

    name: str
    size: int
    sha256: str
    mirrors: tuple[str, ...]


def find_dataset(
    name: str,
    locate: Callable[[Path], _T | None],
    files: Sequence[RemoteFile],
    data_dir: FilePath | None = None,
    hint: Callable[[Path], str] | None = None,
) -> _T:
    """Find all files of a data set in one place, or download them.

    All files come from the same place, so that a half-filled folder is never completed with another version's files.

    Parameters
    ----------
    name : str
        Name for messages and, in lower case, for the cache's sub-folder.
    locate : callable
        locate(folder) returns the data set's files below `folder` in any form, or None if one is missing.
    files : sequence of RemoteFile
        What to download into the cache.
    data_dir : str or path-like, optional
        The only folder to look in. Without it: the folder named by `MINICNN_DATA`, the cache, a download.
    hint : callable, optional
        hint(folder) returns a sentence on what was found there instead, or "".

    Returns
    -------
    object
        What `locate` returned.

    Raises
    ------
    DataNotFoundError
        Found nowhere, and (without `data_dir`) not downloaded.
    DataError
        A download has the wrong checksum, or the cache folder cannot be written.
    """
    folders = [Path(data_dir).expanduser()] if data_dir is not None else default_folders()
    for folder in folders:
        found = locate(folder)
        if found is not None:
            return found
    remarks = [hint(folder) for folder in folders] if hint else []
    if data_dir is not None:
        raise _not_found(name, folders, remarks)
    problem = _download_all(files, download_folder() / name.lower())
    if problem:
        raise _not_found(name, folders, [problem, *remarks])
    return locate(download_folder())


def default_folders() -> list[Path]:
    """The folders to look in when none is given: `MINICNN_DATA` (if set), then the cache."""
    data_folder = os.environ.get(DATA_VARIABLE)
    return ([Path(data_folder).expanduser()] if data_folder else []) + [download_folder()]


def download_folder() -> Path:
    """Where downloads go: `datasets/` in the cache folder."""
    return cache_folder() / "datasets"


def first_file(folder: Path, subfolders: Iterable[str], names: Iterable[str]) -> Path | None:
    """The first regular file `folder/subfolder/name`, sub-folders first, or None."""
    for subfolder in subfolders:
        for name in names:
            path = folder / subfolder / name
            if path.is_file():
                return path
    return None


def open_stream(path: FilePath) -> IO[bytes]:
    """Open a file for reading bytes, gzip-compressed or not.

    The content decides, not the name: some browsers unpack a .gz while downloading and keep the name.
    """
    with open(path, "rb") as file:
        is_compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return gzip.open(path, "rb") if is_compressed else open(path, "rb")


def bad_file(path: FilePath, expected: object, received: object) -> DataError:
    """The error for a file that is not what it should be."""
    return DataError(
        f"{path} is damaged or is not the right file: delete it to download it again, or set {DATA_VARIABLE} "
        f"(or data_dir) to a folder with a good copy. Expected: {expected}. Received: {received}"
    )


def check_labels(labels: np.ndarray, path: FilePath, classes: int = 10) -> None:
    """Raise `DataError` unless all labels are below `classes`."""
    highest = int(labels.max())
    if highest >= classes:
        raise bad_file(path, f"labels 0 to {classes - 1}", f"label {highest}")


def download(file: RemoteFile, folder: Path) -> Path:
    """Download one file from the first mirror that has it; it appears in `folder` complete and checked, or not at all.

    Parameters
    ----------
    file : RemoteFile
        What to get, and from where.
    folder : pathlib.Path
        Where to put it; created if missing.

    Returns
    -------
    pathlib.Path
        The file in `folder`.

    Raises
    ------
    DataNotFoundError
        No mirror could be reached, or pooch is not installed.
    DataError
        A mirror sent something else, or `folder` cannot be written.
    """
    pooch = _import_pooch()
    _check_writable(folder)
    failures = []
    for mirror in file.mirrors:
        get = _downloader(pooch, file)
        try:
            # pooch writes to a temporary file beside the target and renames it only when the checksum is right.
            return Path(pooch.retrieve(mirror + file.name, f"sha256:{file.sha256}", file.name, folder, downloader=get))
        except (OSError, ValueError) as error:  # requests raises OSErrors, pooch a ValueError for a wrong checksum
            failures.append((mirror, error))
            get.progressbar.close()
    raise _download_error(file, failures)


class _Meter:
    """Called by pooch for every chunk: draws a progress bar, and stops a server that sends too much."""

    def __init__(self, size: int, bar):
        self.size = size
        self.bar = bar
        self.received = 0
        self.total = 0  # pooch writes the announced length here; the known one is used instead

    def update(self, count: int) -> None:
        """Count a chunk; pooch reports whole chunks, so the last one may be up to a chunk too long."""
        self.received += count
        if self.received > self.size + CHUNK:
            raise ValueError(f"expected {self.size} bytes but got more")
        if self.bar is not None:
            self.bar.update(min(count, self.size - self.bar.n))

    def reset(self) -> None:
        """Called at the end, before a last `update` with the announced length."""
        self.received = 0

    def close(self) -> None:
        """End the progress bar's line."""
        if self.bar is not None:
            self.bar.close()


def _import_pooch():
    try:
        import pooch
    except ImportError:
        raise DataNotFoundError("downloading needs the package pooch (pip install pooch)") from None
    pooch.get_logger().setLevel("WARNING")  # its lines for every file would hide the one that matters
    return pooch


def _downloader(pooch, file: RemoteFile):
    meter = _Meter(file.size, _progress_bar(file))
    # "identity": the bytes as published; otherwise a server may unpack the .gz on the way, and the checksum would fail.
    return pooch.HTTPDownloader(
        progressbar=meter,
        chunk_size=CHUNK,
        timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
        headers={"Accept-Encoding": "identity"},
    )


def _progress_bar(file: RemoteFile):
    """A tqdm bar where somebody can see it, else None."""
    if not is_terminal(sys.stderr):
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=file.size, unit="B", unit_scale=True, desc=file.name)


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(
            f"The cache folder {folder} cannot be written ({error.strerror}). "
            f"Set {CACHE_VARIABLE} to a folder that can, or {DATA_VARIABLE} to a folder that has the data."
        ) from None


def _download_all(files, folder: Path) -> str:
    """Download all files; returns "" or why the network did not deliver."""
    try:
        for file in files:
            download(file, folder)
    except DataNotFoundError as error:
        return str(error)
    return ""


def _download_error(file: RemoteFile, failures) -> DataError:
    """One error for all mirrors: a wrong file deserves more attention than a mirror that cannot be reached."""
    for mirror, error in failures:
        if not isinstance(error, OSError):
            return DataError(
                f"{mirror}{file.name} is not the published file and was not kept: try again later, or set "
                f"{DATA_VARIABLE} (or data_dir) to a folder with a good copy. Expected: SHA-256 {file.sha256}. "
                f"Received: {' '.join(str(error).split())}"
            )
    reasons = "; ".join(f"{urlsplit(mirror).netloc}: {_reason(error)}" for mirror, error in failures)
    return DataNotFoundError(f"download of {file.name} failed ({reasons})")


def _reason(error: OSError) -> str:
    """A few words: the messages of requests fill a screen."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return getattr(error, "strerror", None) or type(error).__name__


def _not_found(name: str, folders, remarks) -> DataNotFoundError:
    looked = ", ".join(str(folder) if folder.is_dir() else f"{folder} (no such folder)" for folder in folders)
    remarks = "".join(f"; {remark}" for remark in remarks if remark)
    return DataNotFoundError(
        f"{name} not found: set {DATA_VARIABLE} (or data_dir) to a folder that has it. Looked in {looked}{remarks}"
    )
