"""``keras.datasets.boston_housing``: prices of 506 houses, 13 numbers about each (D. Harrison, D. Rubinfeld, 1978)."""

from __future__ import annotations

from minicnn.hints import FilePath, Split
from minicnn.keras.datasets._keras_files import houses

__all__ = ["load_data"]

_HASH = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"


def load_data(path: FilePath = "boston_housing.npz", test_split: float = 0.2, seed: int = 113) -> tuple[Split, Split]:
    """The houses, and their prices in thousands of dollars.

    Parameters
    ----------
    path : str, default "boston_housing.npz"
        What the file is called in ``~/.keras/datasets``. It is downloaded if it is not there.
    test_split : float, default 0.2
        The part that is for tests.
    seed : int, default 113
        Of the order.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of two tuples of ndarray, float64
        (N, 13) and (N,).

    Raises
    ------
    DataError
        If the file cannot be downloaded, or is another one.
    """
    return houses("boston_housing.npz", _HASH, path, test_split, seed)
