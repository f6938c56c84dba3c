"""``keras.utils.get_file``: files of other people's, downloaded once and unpacked."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from minicnn.checks import check_choice
from minicnn.console import is_terminal, say
from minicnn.errors import DataError
from minicnn.hints import FilePath
from minicnn.user_warnings import warn_user

_SCHEMES = "https", "http", "file"
_TIMEOUTS = 10, 60  # seconds, to connect and without a byte
_LENGTHS = {64: "sha256", 32: "md5"}  # of a hash, in hexadecimal digits


def get_file(
    fname: FilePath | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: FilePath = "datasets",
    hash_algorithm: Literal["auto", "md5", "sha256"] = "auto",
    extract: bool = False,
    archive_format: str | Sequence[str] | None = "auto",
    cache_dir: FilePath | None = None,
    force_download: bool = False,
) -> str:
    """Where a file is, which is downloaded if it is not there; Keras's folder is looked in, and used.

    Parameters
    ----------
    fname : str or path-like, optional
        Its name, or an absolute path, as in Keras 2. Default: the last part of `origin`.
    origin : str
        Its address: ``https:``, ``http:`` or ``file:``.
    untar : bool, default False
        Unpack it as Keras 2 did: beside the archive, and the result is the folder `fname` that was in it, or a new one
        of that name where none was.
    md5_hash, file_hash : str, optional
        Its MD5 or SHA-256 in hexadecimal digits: another file that is there is downloaded again, and another one that
        is downloaded is refused. Without it anybody between here and `origin` may exchange it.
    cache_subdir : str or path-like, default "datasets"
        The folder in `cache_dir`, or an absolute one.
    hash_algorithm : {"auto", "md5", "sha256"}, default "auto"
        "auto" tells them by the number of digits.
    extract : bool, default False
        Unpack a tar or zip archive; nothing in it leaves the folder, and none of its files is run.
    archive_format : {"auto", "tar", "zip"}, sequence of them, or None, default "auto"
        What it may be.
    cache_dir : str or path-like, optional
        Default: ``$KERAS_HOME``, else ``~/.keras``, or a temporary folder where that cannot be written.
    force_download : bool, default False
        Download it though it is there.

    Returns
    -------
    str
        The file; of an archive that is unpacked, the folder of its contents as in Keras 3. What lies in it can be
        found beside the archive, too, where Keras 2 put it, if nothing but another archive's contents has the name.

    Raises
    ------
    ValueError
        If an argument is no such thing.
    DataError
        If the file cannot be downloaded or is another one: what was there stays. If an archive is damaged or would
        write elsewhere: nothing of it is unpacked.
    """
    folder, name = _folder_of(cache_dir, cache_subdir), _name_of(fname, origin)
    check_hash = _hash_of(file_hash or md5_hash, "md5" if md5_hash and not file_hash else hash_algorithm)
    target, unpacked = _places(folder, name, fname is not None, untar, extract)
    _demand_place(target)
    if force_download or not (target.exists() and check_hash(target)):
        _download(origin, target, check_hash)
    if unpacked is None:
        return str(target)
    formats = ("tar",) if untar else ("tar", "zip") if archive_format == "auto" else archive_format or ()
    _unpack(target, unpacked, (formats,) if isinstance(formats, str) else tuple(formats), untar)
    return str(unpacked)


# ------------------------------------------------------------------------------------------------ what is asked for


def keras_home() -> Path:
    """Where Keras keeps its files: `$KERAS_HOME`, else `~/.keras`."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()


def _folder_of(cache_dir, subfolder):
    home = Path(keras_home() if cache_dir is None else cache_dir).expanduser()
    with suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
    if not os.access(home, os.W_OK):
        home = Path(tempfile.gettempdir()) / ".keras"
    return home / subfolder


def _name_of(fname, origin):
    if not isinstance(origin, str) or not origin:
        raise ValueError(f"get_file needs origin=, the address of the file. Received: origin={origin!r}")
    name = os.fspath(fname) if fname else os.path.basename(urlsplit(origin).path)
    if urlsplit(origin).scheme not in _SCHEMES:
        raise ValueError(f"an address begins with {', '.join(_SCHEMES)} and ://. Received: origin={origin!r}")
    if name in ("", ".", ".."):
        raise ValueError(f"the address has no name of a file in it: give fname=. Received: origin={origin!r}")
    if os.path.dirname(name) and not os.path.isabs(name):
        raise ValueError(
            f"`fname` is a name, or an absolute path; a folder goes into cache_subdir=. Received: fname={name!r}"
        )
    return name


def _demand_place(target):
    """A folder for a file."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"there is no place for {target}: give another cache_dir=. Received: {error}") from None
    if target.is_dir():
        raise DataError(f"the file goes to {target}: give another fname=. Received: a folder of this name")


def _places(folder, name, is_named, untar, extract):
    """Where the file is kept, and where its contents, if it is unpacked: Keras 3's, for `untar` Keras 2's."""
    target = folder / name
    if untar:
        stem = name.removesuffix(".tar.gz")
        return folder / f"{stem}.tar.gz", folder / stem
    if not extract:
        return target, None
    if is_named and "." in target.name:
        return target, target.with_name(f"{target.name.partition('.')[0]}_extracted")
    return target.with_name(f"{target.name}_archive"), target


def _hash_of(digits, algorithm) -> Callable[[Path], bool]:
    """Whether a file has a hash; any has where none is given."""
    check_choice("hash_algorithm", algorithm, ("auto", "md5", "sha256"))
    if digits is None:
        return lambda path: True
    known = _LENGTHS.get(len(str(digits))) if algorithm == "auto" else algorithm
    if known is None or not isinstance(digits, str):
        raise ValueError(
            f"`file_hash` has the 64 hexadecimal digits of SHA-256, or the 32 of MD5. Received: file_hash={digits!r}"
        )

    def has(path):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, known).hexdigest() == digits.lower()

    return has


# ------------------------------------------------------------------------------------------------------- the network


def _download(origin, target, check_hash):
    """The file, whole and checked, or not at all."""
    again = ", as what is there has another hash" if target.exists() else ""
    say(f"Downloading data from {origin}{again}")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as folder:
        path = Path(folder) / target.name
        _fetch(origin, path)
        if not check_hash(path):
            raise DataError(
                f"{origin} is not the file whose hash was given, and was not kept: try again later, or look for the "
                "file's hash of today. Received: a file with another hash"
            )
        os.replace(path, target)


def _fetch(origin, path):
    address = urlsplit(origin)
    try:
        if address.scheme == "file":
            shutil.copyfile(url2pathname(address.path), path)
            return
        import pooch

        pooch.get_logger().setLevel("WARNING")
        downloader = pooch.HTTPDownloader(progressbar=is_terminal(sys.stderr), timeout=_TIMEOUTS)
        pooch.retrieve(origin, None, path.name, path.parent, downloader=downloader)
    except OSError as error:  # of requests, too
        raise DataError(
            f"{origin} cannot be downloaded ({_reason(error)}): try again later, or put the file where it is kept, "
            f"as {path.parent.parent / path.name}"
        ) from None


def _reason(error):
    response = getattr(error, "response", None)
    return f"HTTP {response.status_code}" if response is not None else error.strerror or type(error).__name__


# ---------------------------------------------------------------------------------------------------------- archives


def _unpack(archive, target, formats, untar):
    """Its contents as the folder `target`, once; and beside the archive, as Keras 2 had them."""
    mark = archive.with_name(f".{archive.name}.unpacked")
    stamp = f"{archive.stat().st_size} {archive.stat().st_mtime_ns}"
    if not (target.is_dir() and mark.exists() and mark.read_text(encoding="utf-8") == stamp):
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".unpack-") as folder:
            contents = Path(folder) / "contents"
            contents.mkdir()
            if not _extract(archive, contents, formats):
                warn_user(f"{archive} is no archive of {' or '.join(formats) or 'any kind'}: it is not unpacked")
                return
            is_inside = untar and (contents / target.name).is_dir()
            _add(contents, archive.parent if is_inside else target)
        mark.write_text(stamp, encoding="utf-8")
    if not untar:
        _link(target, archive.parent)


def _add(contents, target):
    """Put a folder's contents into another, where files of the same names are replaced and all others stay."""
    if target.is_symlink() or target.is_file():
        target.unlink()
    target.mkdir(parents=True, exist_ok=True)
    for entry in contents.iterdir():
        place = target / entry.name
        if entry.is_dir() and not entry.is_symlink():
            _add(entry, place)
        elif place.is_dir() and not place.is_symlink():
            raise DataError(f"an archive has a file where a folder is: move {place}. Received: a folder of this name")
        else:
            os.replace(entry, place)


def _link(folder, beside):
    """Names for a folder's entries elsewhere: those that nothing has, or another archive's entry."""
    folder, beside = folder.resolve(), beside.resolve()
    for entry in folder.iterdir():
        place = beside / entry.name
        if place.is_symlink() and Path(os.readlink(place)).parent.parent in (beside, Path()):
            place.unlink()
        if not os.path.lexists(place):
            with suppress(OSError, NotImplementedError):  # not everybody may make links on Windows
                place.symlink_to(entry, target_is_directory=entry.is_dir())


def _demand_inside(names):
    """Of a tar, its filter asks."""
    for name in names:
        if ".." in PurePath(name).parts or os.path.isabs(name):
            raise zipfile.BadZipFile(f"{name} would be outside of the folder")


def _extract(archive, folder, formats):
    """Unpack a file if it is one of such archives; returns whether it is."""
    try:
        for kind in formats:
            check_choice("archive_format", kind, ("tar", "zip"))
            if kind == "tar" and tarfile.is_tarfile(archive):
                with tarfile.open(archive) as opened:
                    opened.extractall(folder, filter="data")
                return True
            if kind == "zip" and zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as opened:
                    _demand_inside(opened.namelist())
                    opened.extractall(folder)
                return True
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError) as error:
        raise DataError(
            f"{archive} cannot be unpacked, and nothing of it was kept: delete it to download it again. Received: "
            f"{type(error).__name__}: {error}"
        ) from None
    return False
