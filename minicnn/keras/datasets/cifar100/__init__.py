"""``keras.datasets.cifar100``."""

from minicnn import datasets as _core
from minicnn.hints import FilePath, Split
from minicnn.keras._data_format import arranged

__all__ = ["load_data"]


def load_data(label_mode: str = "fine", data_dir: FilePath | None = None) -> tuple[Split, ...]:
    """`minicnn.datasets.cifar100.load_data`, with the channels where `image_data_format` says."""
    return arranged(*_core.cifar100.load_data(label_mode, data_dir))
