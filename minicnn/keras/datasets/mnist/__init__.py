"""``keras.datasets.mnist``."""

from minicnn.datasets.mnist import load_data

__all__ = ["load_data"]
