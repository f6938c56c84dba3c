"""``keras.config``."""

from minicnn.keras.backend import (
    backend,
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from minicnn.keras.config._accepted import *  # noqa: F403
from minicnn.keras.config._accepted import __all__ as _accepted
from minicnn.keras.mixed_precision import dtype_policy, set_dtype_policy

__all__ = [
    "backend",
    "dtype_policy",
    "epsilon",
    "floatx",
    "image_data_format",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
]
__all__ += _accepted
