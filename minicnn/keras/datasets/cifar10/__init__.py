"""``keras.datasets.cifar10``."""

from minicnn import datasets as _core
from minicnn.hints import FilePath, Split
from minicnn.keras._data_format import arranged

__all__ = ["load_data"]


def load_data(*data_dir: FilePath | None) -> tuple[Split, ...]:
    """`minicnn.datasets.cifar10.load_data`, with the channels where `image_data_format` says."""
    return arranged(*_core.cifar10.load_data(*data_dir))
