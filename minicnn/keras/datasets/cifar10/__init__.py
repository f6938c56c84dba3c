"""``keras.datasets.cifar10``."""

from minicnn import datasets as _core
from minicnn.hints import FilePath, Split

__all__ = ["load_data"]


def load_data(*data_dir: FilePath | None) -> tuple[Split, Split]:
    """`minicnn.datasets.cifar10.load_data`."""
    return _core.cifar10.load_data(*data_dir)
