"""``keras.datasets.fashion_mnist``."""

from minicnn import datasets as _core
from minicnn.hints import FilePath, Split

__all__ = ["load_data"]


def load_data(*data_dir: FilePath | None) -> tuple[Split, Split]:
    """`minicnn.datasets.fashion_mnist.load_data`."""
    return _core.fashion_mnist.load_data(*data_dir)
