"""``tf.data``: `minicnn.data`, and TensorFlow's files of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import minicnn.data
from minicnn.keras._names import lookup
from minicnn.keras.tensorflow._records import TFRecordDataset

__all__ = ["Options", "TFRecordDataset", *minicnn.data.__all__]

if TYPE_CHECKING:  # for checkers, which do not see what is found at run time
    from minicnn.data import *  # noqa: F403


class Options:
    """Settings of a data set, which change nothing: any attribute may be read and set."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        inner = self.__dict__[name] = Options()
        return inner


__getattr__ = lookup(__name__, sources=("minicnn.data",))
