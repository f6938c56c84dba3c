"""``keras.datasets.mnist``."""

import os

import numpy as np

from minicnn import datasets as _core
from minicnn.hints import FilePath, Split

__all__ = ["load_data"]


def load_data(path: FilePath = "mnist.npz", data_dir: FilePath | None = None) -> tuple[Split, Split]:
    """MNIST, as `minicnn.datasets.mnist.load_data` finds it; or from a file `mnist.npz` of Keras's that is there.

    Parameters
    ----------
    path : str or path-like, default "mnist.npz"
        A file that is read if it is there; otherwise the name does not matter.
    data_dir : str or path-like, optional
        As for `minicnn.datasets.mnist.load_data`.
    """
    if data_dir is None and os.path.isfile(path):
        with np.load(path, allow_pickle=False) as file:
            return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
    return _core.mnist.load_data(*() if data_dir is None else (data_dir,))
