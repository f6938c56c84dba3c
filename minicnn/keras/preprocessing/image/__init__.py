"""``keras.preprocessing.image``."""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np

from minicnn import images as _core
from minicnn.keras import _data_format
from minicnn.keras._names import lookup
from minicnn.keras._translation import renamed, translated
from minicnn.keras.preprocessing.image import _functions
from minicnn.keras.preprocessing.image._functions import *  # noqa: F403
from minicnn.keras.preprocessing.image._generators import EXTENSIONS, augmented, is_fitted, list_classes
from minicnn.keras.preprocessing.image._iterators import (
    DataFrameIterator,
    DirectoryIterator,
    Iterator,
    NumpyArrayIterator,
    flow_from_dataframe,
    flow_from_directory,
)


def _translate(args, kwargs):
    kwargs = renamed("ImageDataGenerator", kwargs, {"dim_ordering": "data_format"})
    for name in ("zoom_range", "brightness_range"):  # Keras takes the higher number first, too
        if np.shape(kwargs.get(name)) == (2,):
            kwargs[name] = sorted(kwargs[name])
    return args, {**kwargs, "data_format": _data_format.or_current(kwargs.get("data_format"))}


def _in_current_format(function):
    @wraps(function)
    def in_format(x: Any, data_format: str | None = None, *args: Any, **kwargs: Any) -> Any:
        kwargs = renamed(function.__name__, kwargs, {"dim_ordering": "data_format"})
        return function(x, _data_format.or_current(kwargs.pop("data_format", data_format)), *args, **kwargs)

    return in_format


_OWN = {"augmented": augmented, "_is_fitted": is_fitted, "_list_classes": staticmethod(list_classes)}
_OWN |= {"flow_from_dataframe": flow_from_dataframe, "flow_from_directory": flow_from_directory}
_OWN |= {"_extensions": EXTENSIONS}
ImageDataGenerator = translated(_core.ImageDataGenerator, _translate, __name__, **_OWN)
img_to_array, array_to_img = map(_in_current_format, (_core.img_to_array, _core.array_to_img))


def save_img(path: Any, x: Any, data_format: str | None = None, *args: Any, **kwargs: Any) -> None:
    """`minicnn.images.save_img`, of an image whose channels are where `image_data_format` says."""
    _core.save_img(path, x, _data_format.or_current(data_format), *args, **kwargs)


__getattr__ = lookup(__name__, ["minicnn.images"])
_ITERATORS = (DataFrameIterator, DirectoryIterator, Iterator, NumpyArrayIterator)
__all__ = sorted({*_core.__all__, *_functions.__all__, *(each.__name__ for each in _ITERATORS)})
