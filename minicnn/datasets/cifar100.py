"""CIFAR-100: 60,000 colour pictures of 32x32 pixels in a hundred classes (A. Krizhevsky, 2009); the *binary* form."""

import gzip
import tarfile
import zlib
from pathlib import Path

import numpy as np

from minicnn.datasets._files import DataError, RemoteFile, bad_file, check_labels, find_dataset
from minicnn.datasets.cifar10 import ARCHIVE_OVERHEAD, CHANNELS, SIZE, _LimitedStream
from minicnn.hints import FilePath, Split

ARCHIVE = RemoteFile(
    "cifar-100-binary.tar.gz",
    168_513_733,
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ("https://www.cs.toronto.edu/~kriz/",),
)
SUBFOLDERS = (".", "cifar-100", "cifar100")
FOLDER = "cifar-100-binary"
COUNTS = {"train.bin": 50_000, "test.bin": 10_000}  # records in each file
RECORD = 2 + CHANNELS * SIZE * SIZE  # coarse label, fine label, then the red, the green and the blue plane
CLASSES = {"coarse": 20, "fine": 100}


def load_data(label_mode: str = "fine", data_dir: FilePath | None = None) -> tuple[Split, Split]:
    """Load CIFAR-100.

    Parameters
    ----------
    label_mode : {"fine", "coarse"}
        A hundred classes, or twenty groups of them.
    data_dir : str or path-like, optional
        As for `minicnn.datasets.cifar10.load_data`, with the files train.bin and test.bin of `cifar-100-binary/` or the
        archive `cifar-100-binary.tar.gz`.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of two tuples of ndarray, uint8
        Images (50000, 32, 32, 3) and (10000, 32, 32, 3), red-green-blue, 0 to 255; labels (50000, 1) and (10000, 1).

    Raises
    ------
    DataNotFoundError
        Found nowhere and not downloaded.
    DataError
        A file is damaged.
    ValueError
        For another `label_mode`.
    """
    if label_mode not in CLASSES:
        raise ValueError(f"label_mode is 'fine' or 'coarse'. Received: label_mode={label_mode!r}")
    source = find_dataset("CIFAR-100", locate, (ARCHIVE,), data_dir, lambda folder: "")
    files = _read_folder(source) if source.is_dir() else _read_archive(source)
    return tuple(_to_images(files[name], label_mode, source) for name in COUNTS)


def locate(folder: Path) -> Path | None:
    """The folder with both files, else the archive, else None.

    Parameters
    ----------
    folder : Path
    """
    homes = [folder / subfolder for subfolder in SUBFOLDERS]
    for candidate in (place for home in homes for place in (home / FOLDER, home)):
        if all((candidate / name).is_file() for name in COUNTS):
            return candidate
    return next((home / ARCHIVE.name for home in homes if (home / ARCHIVE.name).is_file()), None)


def _read_folder(folder):
    files = {}
    for name, count in COUNTS.items():
        size = (folder / name).stat().st_size
        if size != count * RECORD:
            raise bad_file(folder / name, f"{count * RECORD} bytes", f"{size} bytes")
        files[name] = (folder / name).read_bytes()
    return files


def _read_archive(path):
    """Both files from the archive as streams, in one pass; nothing is extracted to a path."""
    most, files = sum(COUNTS.values()) * RECORD + ARCHIVE_OVERHEAD, {}
    try:
        with gzip.open(path, "rb") as stream:
            limited = _LimitedStream(stream, most, path)
            with tarfile.open(fileobj=limited, mode="r|") as archive:
                for member in archive:
                    name = member.name.removeprefix(f"{FOLDER}/")
                    if name in COUNTS and member.isreg() and member.size == COUNTS[name] * RECORD:
                        files[name] = archive.extractfile(member).read(member.size)
            limited.drain()
    except DataError:
        raise
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise bad_file(path, "the published tar.gz archive", f"{type(error).__name__}: {error}") from error
    if files.keys() != COUNTS.keys():
        raise bad_file(path, f"{FOLDER}/train.bin and test.bin in the archive", f"{sorted(files)}")
    return files


def _to_images(content, label_mode, source):
    """Images (N, 32, 32, 3) and labels (N, 1) of a file."""
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    labels = records[:, 1 if label_mode == "fine" else 0 :][:, :1].copy()
    check_labels(labels, source, CLASSES[label_mode])
    images = records[:, 2:].reshape(-1, CHANNELS, SIZE, SIZE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels
