"""``keras.datasets.california_housing``: prices in 20,640 quarters, 8 numbers about each (R. Pace, R. Barry, 1997)."""

from __future__ import annotations

from typing import Literal

from minicnn.checks import check_choice
from minicnn.hints import FilePath, Split
from minicnn.keras.datasets._keras_files import houses

__all__ = ["load_data"]

_HASH = "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"
_SMALL = 600  # quarters


def load_data(
    version: Literal["large", "small"] = "large",
    path: FilePath = "california_housing.npz",
    test_split: float = 0.2,
    seed: int = 113,
) -> tuple[Split, Split]:
    """The quarters, and the median of their prices in dollars.

    Parameters
    ----------
    version : {"large", "small"}, default "large"
        "small" has the first 600.
    path : str, default "california_housing.npz"
        What the file is called in ``~/.keras/datasets``. It is downloaded if it is not there.
    test_split : float, default 0.2
        The part that is for tests.
    seed : int, default 113
        Of the order.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of two tuples of ndarray, float32
        (N, 8) and (N,).

    Raises
    ------
    DataError
        If the file cannot be downloaded, or is another one.
    """
    check_choice("version", version, ("large", "small"))
    return houses("california_housing.npz", _HASH, path, test_split, seed, _SMALL if version == "small" else None)
