"""Where images have their channels unless a layer or a generator says otherwise: ``K.set_image_data_format``."""

from __future__ import annotations

from typing import Any

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


def scale_of_channels(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of a Rescaling whose `scale`, one number for each channel, goes along the channels of the format.

    As in Keras, which has no `data_format` there: with the channels first, numbers (C,) or (C, H) become (C, 1, 1) and
    (C, H, 1); `offset` stays as it is.

    Parameters
    ----------
    args, kwargs :
        As the layer was given them.
    """
    scale = args[0] if args else kwargs.get("scale")
    if current() == FORMATS[0] or np.ndim(scale) not in (1, 2):
        return args, kwargs
    scale = np.expand_dims(scale, tuple(range(np.ndim(scale), 3)))
    return ((scale, *args[1:]), kwargs) if args else (args, kwargs | {"scale": scale})
