"""Where images have their channels unless a layer or a generator says otherwise: ``K.set_image_data_format``."""

from __future__ import annotations

import numpy as np

from minicnn.checks import check_choice
from minicnn.hints import Split

FORMATS = ("channels_last", "channels_first")
OLD = {"tf": "channels_last", "th": "channels_first"}
_current = [FORMATS[0]]


def current() -> str:
    """ "channels_last", unless it was set."""
    return _current[0]


def set_current(data_format: str) -> None:
    """Set what `current` returns.

    Raises
    ------
    ValueError
        If it is neither "channels_last" nor "channels_first".
    """
    _current[0] = check_choice("data_format", data_format, FORMATS)


def or_current(data_format: str | None) -> str:
    """A format, in the spelling of today's Keras; the current one for None and Keras 1's "default"."""
    if data_format in (None, "default"):
        return current()
    return OLD.get(data_format, data_format)


def arranged(*splits: Split) -> tuple[Split, ...]:
    """Pairs (images (N, H, W, C), labels), with the images' channels where the current format has them."""
    axis = -1 if current() == FORMATS[0] else 1
    return tuple((np.moveaxis(images, -1, axis), labels) for images, labels in splits)
