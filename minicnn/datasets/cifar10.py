"""CIFAR-10: 60,000 colour pictures of 32x32 pixels in ten classes (A. Krizhevsky, 2009).

Only the published *binary* form is read, never the pickled "python" form: unpickling runs whatever code a file holds.
"""

import gzip
import tarfile
import zlib
from pathlib import Path

import numpy as np

from minicnn.datasets._files import DataError, RemoteFile, bad_file, check_labels, find_dataset
from minicnn.hints import FilePath, Split

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

ARCHIVE = RemoteFile(
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ("https://www.cs.toronto.edu/~kriz/",),
)

SUBFOLDERS = (".", "cifar-10", "cifar10")
BATCH_FOLDER = "cifar-10-batches-bin"
BATCHES = ("data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin")
TEST_BATCH = "test_batch.bin"

SIZE, CHANNELS = 32, 3
RECORD = 1 + CHANNELS * SIZE * SIZE  # label, then the red, the green and the blue plane
RECORDS = 10_000  # in each file
ARCHIVE_OVERHEAD = 1 << 20  # bytes: tar headers, padding, readme; the published archive has less

MOST_NAMED = 8  # files found instead of the expected ones, in a message


def load_data(data_dir: FilePath | None = None) -> tuple[Split, Split]:
    """Load CIFAR-10.

    Parameters
    ----------
    data_dir : str or path-like, optional
        The only folder to look in, itself or its sub-folder `cifar-10/`: for the six files of
        `cifar-10-batches-bin/`, or for the archive `cifar-10-binary.tar.gz`, which is read without extracting it.
        Without it: the folder named by the environment variable `MINICNN_DATA`, the cache folder, and at last a
        download (170 MB) into the cache folder.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of two tuples of ndarray, uint8
        Images (50000, 32, 32, 3) and (10000, 32, 32, 3), red-green-blue, 0 to 255; labels (50000, 1) and (10000, 1),
        0 to 9, named by `CLASS_NAMES`.

    Raises
    ------
    DataNotFoundError
        Found nowhere and not downloaded; the message says where it was looked for, and what was found instead.
    DataError
        A file is damaged, is something else or has the wrong checksum after a download.
    """
    source = find_dataset("CIFAR-10", locate, (ARCHIVE,), data_dir, hint)
    batches = _read_folder(source) if source.is_dir() else _read_archive(source)
    return _to_images(batches, BATCHES, source), _to_images(batches, (TEST_BATCH,), source)


def locate(folder: Path) -> Path | None:
    """The folder with the six binary files, else the archive, else None.

    Parameters
    ----------
    folder : Path
    """
    homes = [folder / subfolder for subfolder in SUBFOLDERS]
    for home in homes:
        for candidate in (home / BATCH_FOLDER, home):
            if all((candidate / name).is_file() for name in (*BATCHES, TEST_BATCH)):
                return candidate
    archives = [home / ARCHIVE.name for home in homes]
    return next((archive for archive in archives if archive.is_file()), None)


def hint(folder: Path) -> str:
    """What lies in `folder` instead of the binary form: a sentence, or ""."""
    homes = [folder / subfolder for subfolder in SUBFOLDERS]
    for home in homes:
        if (home / "cifar-10-batches-py").is_dir() or (home / "cifar-10-python.tar.gz").is_file():
            return f"{home} has only the pickled form, which is never read: get {ARCHIVE.name}"
    for place in (*(home / BATCH_FOLDER for home in homes), *reversed(homes)):
        found = sorted(path.name for path in place.iterdir() if path.is_file()) if place.is_dir() else []
        if found:
            more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
            return (
                f"{place} holds {', '.join(found[:MOST_NAMED])}{more}; expected are {', '.join(BATCHES)} and "
                f"{TEST_BATCH}, or {ARCHIVE.name}"
            )
    return ""


def _batch_bytes() -> int:
    return RECORDS * RECORD


def _archive_bytes() -> int:
    """Most bytes that the unpacked archive may have."""
    return 6 * _batch_bytes() + ARCHIVE_OVERHEAD


def _read_folder(folder: Path) -> dict[str, bytes]:
    """Read the six files; returns {name: bytes}."""
    batches = {}
    for name in (*BATCHES, TEST_BATCH):
        size = (folder / name).stat().st_size
        if size != _batch_bytes():
            raise bad_file(folder / name, f"{_batch_bytes()} bytes", f"{size} bytes")
        batches[name] = (folder / name).read_bytes()
    return batches


def _read_archive(path: Path) -> dict[str, bytes]:
    """Read the six files from the archive as streams, in one pass; returns {name: bytes}."""
    try:
        with gzip.open(path, "rb") as stream:
            limited = _LimitedStream(stream, _archive_bytes(), path)
            batches = _read_members(limited, path)
            limited.drain()  # at its end, gzip compares the checksum
    except DataError:
        raise
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise bad_file(path, "the published tar.gz archive", f"{type(error).__name__}: {error}") from error
    missing = [name for name in (*BATCHES, TEST_BATCH) if name not in batches]
    if missing:
        raise bad_file(path, f"{BATCH_FOLDER}/{missing[0]} in the archive", "no such member")
    return batches


def _read_members(stream, path: Path) -> dict[str, bytes]:
    """Read the members with the six exact names; nothing else is looked at, and nothing is extracted to a path."""
    wanted = {f"{BATCH_FOLDER}/{name}": name for name in (*BATCHES, TEST_BATCH)}
    batches = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if member.size > _archive_bytes():  # tarfile would look for its end block by block, for minutes
                raise bad_file(path, "the published tar.gz archive", "an archive that unpacks to more")
            if member.name not in wanted:
                continue
            if not member.isreg() or member.size != _batch_bytes():
                raise bad_file(path, f"{member.name} as a file of {_batch_bytes()} bytes", f"{member.size} bytes")
            batches[wanted[member.name]] = archive.extractfile(member).read(_batch_bytes())
    return batches


class _LimitedStream:
    """A stream that refuses to give more than `limit` bytes, so that no archive unpacks to more than it should.

    tarfile asks for a few kilobytes at a time, even where a header announces gigabytes.
    """

    def __init__(self, stream, limit: int, path: Path):
        self.stream = stream
        self.left = limit
        self.path = path

    def read(self, count: int) -> bytes:
        """Read up to `count` bytes."""
        data = self.stream.read(count)
        self.left -= len(data)
        if self.left < 0:
            raise bad_file(self.path, "the published tar.gz archive", "an archive that unpacks to more")
        return data

    def drain(self) -> None:
        """Read to the end."""
        while self.read(1 << 16):
            pass


def _to_images(batches, names, source: Path):
    """Cut records into images and labels; returns images (N, 32, 32, 3) and labels (N, 1)."""
    images = np.empty((len(names) * RECORDS, SIZE, SIZE, CHANNELS), np.uint8)
    labels = np.empty((len(names) * RECORDS, 1), np.uint8)
    for i, name in enumerate(names):
        part = slice(i * RECORDS, (i + 1) * RECORDS)
        records = np.frombuffer(batches[name], np.uint8).reshape(RECORDS, RECORD)
        labels[part, 0] = records[:, 0]
        check_labels(labels[part], source / name if source.is_dir() else source)
        planes = records[:, 1:].reshape(RECORDS, CHANNELS, SIZE, SIZE)
        images[part] = planes.transpose(0, 2, 3, 1)
    return images, labels
