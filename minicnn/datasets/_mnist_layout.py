"""What MNIST and the data sets in its layout share: four IDX files, 28x28 pixels, ten classes."""

from dataclasses import dataclass
from pathlib import Path

from minicnn.datasets._files import DataError, RemoteFile, bad_file, check_labels, find_dataset, first_file
from minicnn.datasets._idx import read_idx
from minicnn.hints import FilePath, Split

IMAGE_SHAPE = (28, 28)
MAX_TRAIN = 60_000
MAX_TEST = 10_000

FILE_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)

# MNIST and Fashion-MNIST have the same file names and sizes; the first training labels tell them apart.
FIRST_LABELS = {
    "MNIST": (5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7),
    "Fashion-MNIST": (9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9),
}


@dataclass(frozen=True)
class IdxDataset:
    """A data set of four IDX files."""

    name: str
    subfolders: tuple[str, ...]  # where the files may lie below a data folder, in order
    files: tuple[RemoteFile, ...]  # training images, training labels, test images, test labels

    def load(self, data_dir: FilePath | None = None) -> tuple[Split, Split]:
        """Find, read and check the files; returns ((x_train, y_train), (x_test, y_test))."""
        paths = find_dataset(self.name, self.locate, self.files, data_dir)
        train = _read_split(*paths[:2], MAX_TRAIN)
        test = _read_split(*paths[2:], MAX_TEST)
        self._refuse_other_dataset(train[1], paths[1])
        return train, test

    def locate(self, folder: Path) -> list[Path] | None:
        """The paths of the four files below `folder`, or None if one is missing."""
        paths = [first_file(folder, self.subfolders, _spellings(file.name)) for file in self.files]
        return None if None in paths else paths

    def _refuse_other_dataset(self, labels, path):
        received = tuple(labels[:16].tolist())
        for name, first in FIRST_LABELS.items():
            if name != self.name and received == first:
                raise DataError(f"{path} holds {name}. Expected: {self.name}. Give a folder that has {self.name}.")


def idx_files(mirrors: tuple[str, ...], *published: tuple[int, str]) -> tuple[RemoteFile, ...]:
    """The files of a data set, from the size in bytes and the SHA-256 of each, in the order of `FILE_NAMES`."""
    return tuple(RemoteFile(name, *entry, mirrors) for name, entry in zip(FILE_NAMES, published, strict=True))


def _read_split(images_path, labels_path, max_items):
    images = read_idx(images_path, IMAGE_SHAPE, max_items)
    labels = read_idx(labels_path, (), max_items)
    if len(images) != len(labels):
        raise bad_file(labels_path, f"{len(images)} labels, as {images_path} has images", f"{len(labels)} labels")
    check_labels(labels, labels_path)
    return images, labels


def _spellings(name):
    """The published name and its usual variants: unpacked, and with a dot as some tools write it."""
    plain = name.removesuffix(".gz")
    dotted = plain.replace("-idx", ".idx")
    return name, plain, f"{dotted}.gz", dotted
