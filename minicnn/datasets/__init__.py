"""Data sets: `load_data()` of each module returns `(x_train, y_train), (x_test, y_test)` as uint8 arrays.

`mnist`, `fashion_mnist`, `cifar10` and `cifar100` are found in `data_dir`, in the folder named by the environment
variable `MINICNN_DATA`, in the cache folder, or downloaded into it. `digits` is part of the package and needs no files.
"""

from minicnn.datasets import cifar10, cifar100, digits, fashion_mnist, mnist
from minicnn.datasets._files import DataError, DataNotFoundError

__all__ = ["DataError", "DataNotFoundError", "cifar10", "cifar100", "digits", "fashion_mnist", "mnist"]
