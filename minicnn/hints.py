"""Names for types that recur in signatures; the lowest room, so that all others may use it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from minicnn.dtype_policies import DTypePolicy
    from minicnn.initializers import Initializer
    from minicnn.layers.base import Layer
    from minicnn.regularizers import Regularizer

Config: TypeAlias = dict[str, Any]
"""Arguments of a constructor by name; or ``{"class_name": …, "config": …}``, for an object inside another's."""

Shape: TypeAlias = tuple[int, ...]
"""Of an array; usually of one sample, without the batch axis."""

OpenShape: TypeAlias = Sequence[int | None]
"""As `Shape`; None is a size that is known when data comes."""

Pair: TypeAlias = int | Sequence[int]
"""Height and width, or one number for both."""

Padding: TypeAlias = Literal["valid", "same"]
DataFormat: TypeAlias = Literal["channels_last", "channels_first"] | None
FilePath: TypeAlias = str | os.PathLike[str]

Logs: TypeAlias = dict[str, float]
"""Name of a loss or metric → its value."""

Split: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Images and their labels."""

ActivationLike: TypeAlias = "str | Layer | type[Layer] | Callable[..., Any] | Config | None"
InitializerLike: TypeAlias = "str | Initializer | type[Initializer] | Config"
RegularizerLike: TypeAlias = "str | Regularizer | type[Regularizer] | Config | None"
ConstraintLike: TypeAlias = "str | Callable[..., Any] | Config | None"


class LayerOptions(TypedDict, total=False):
    """What the constructor of every layer takes beside arguments of its own, see `Layer`."""

    name: str | None
    trainable: bool
    input_shape: int | OpenShape | None
    input_dim: int | None
    batch_input_shape: OpenShape | None
    dtype: str | DTypePolicy | None
    activity_regularizer: RegularizerLike
    kernel_constraint: ConstraintLike
    bias_constraint: ConstraintLike
