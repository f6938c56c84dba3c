"""``keras.datasets.fashion_mnist``."""

from minicnn.datasets.fashion_mnist import load_data

__all__ = ["load_data"]
