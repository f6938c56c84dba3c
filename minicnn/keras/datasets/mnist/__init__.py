"""``keras.datasets.mnist``."""

import os

from minicnn import datasets as _core
from minicnn import numpy_archive
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
        with numpy_archive.opened(path, f"{path} cannot be read as Keras's file of MNIST") as archive:
            arrays = numpy_archive.arrays_of(archive, ("x_train", "y_train", "x_test", "y_test"))
        return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
    return _core.mnist.load_data(*() if data_dir is None else (data_dir,))
