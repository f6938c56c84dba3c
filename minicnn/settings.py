"""The dtype of new weights."""

from minicnn.checks import check_choice

_settings = {"floatx": "float32"}


def floatx() -> str:
    """The dtype of new weights: "float32" unless changed by `set_floatx`."""
    return _settings["floatx"]


def set_floatx(dtype: str) -> None:
    """Set the dtype of all weights that are made from now on: "float32" or "float64".

    Parameters
    ----------
    dtype : {"float32", "float64"}
    """
    _settings["floatx"] = check_choice("dtype", dtype, ("float32", "float64"))
