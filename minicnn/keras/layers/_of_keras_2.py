"""Layers that Keras 3 dropped."""

from __future__ import annotations

import warnings as warnings
from typing import Any

import numpy as np

from minicnn import layers as core
from minicnn.checks import check_range
from minicnn.keras import activations as activations
from minicnn.keras import backend as K
from minicnn.keras import constraints as constraints
from minicnn.keras import initializers as initializers
from minicnn.keras import regularizers as regularizers
from minicnn.keras._warning import warn_once
from minicnn.keras.layers import RandomZoom, ReLU
from minicnn.keras.utils import conv_utils as conv_utils
from minicnn.user_warnings import warn_user

__all__ = ["K", "RandomHeight", "RandomWidth", "ThresholdedReLU", "np"]

Factor = float | tuple[float, float]


def ThresholdedReLU(theta: float = 1.0, **kwargs: Any) -> core.Layer:
    """Keras 2's layer: numbers above theta, else 0; today it is ``ReLU(threshold=theta)``."""
    warn_once("keras.layers.ThresholdedReLU is a name of an older Keras: today it is ReLU(threshold=theta)")
    return ReLU(threshold=float(theta), **kwargs)


def RandomHeight(factor: Factor, interpolation: str = "bilinear", seed: int | None = None, **kwargs: Any) -> core.Layer:
    """Keras 2's layer: images stretched or squeezed in height; here a `RandomZoom`, as an image keeps its size.

    Parameters
    ----------
    factor : float or (float, float)
        Limits of the change, above -1: 0.2 is up to 1.2 times the height; a number f means (-f, f).
    interpolation : {"bilinear", "nearest"}, default "bilinear"
    seed : int, optional
    **kwargs
        name, …, of any layer.
    """
    return _stretched("RandomHeight", factor, lambda zoom: (zoom, 0.0), interpolation, seed, kwargs)


def RandomWidth(factor: Factor, interpolation: str = "bilinear", seed: int | None = None, **kwargs: Any) -> core.Layer:
    """Keras 2's layer: images stretched or squeezed in width; arguments as of `RandomHeight`."""
    return _stretched("RandomWidth", factor, lambda zoom: (0.0, zoom), interpolation, seed, kwargs)


def _stretched(name, factor, sides, interpolation, seed, kwargs):
    warn_user(
        f"{name} changed the size of images, which Keras 3 dropped: here they keep it, and what is in them is "
        "stretched or squeezed as far, by RandomZoom"
    )
    lower, upper = check_range("factor", factor, above=-1)
    height, width = sides((1 / (1 + upper) - 1, min(1 / (1 + lower) - 1, 1.0)))  # of a zoom, above 0 is further away
    return RandomZoom(height, width, interpolation=interpolation, seed=seed, **kwargs)
