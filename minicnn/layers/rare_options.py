"""Keras's options that few layers are given: penalties on outputs, constraints on weights, an input's dtype.

They are not among the arguments of the constructors but in ``rare_options``, the names that a class takes; the layer
has them as attributes, None by default.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from minicnn import regularizers
from minicnn.registry import Configurable, is_config, to_plain


def take_rare_options(names: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The values of `names` as objects; what `options` has of them is taken out of it.

    Parameters
    ----------
    names : tuple of str
        Each ends with "_regularizer" or "_constraint", or is "input_dtype".
    options : dict
        What a constructor was given beside its own arguments.
    """
    return {name: _object(name, options.pop(name, None)) for name in names}


WHOLE: tuple[str, ...] = ("bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))
"""The dtypes of whole numbers and bools."""


def _object(name, value):
    """A regularizer, a constraint: a function w → w, or the name of a dtype."""
    if name == "input_dtype":
        if value not in (None, *WHOLE):
            raise ValueError(f"input_dtype is None or one of {', '.join(WHOLE)}. Received: input_dtype={value!r}")
        return value
    if name.endswith("_regularizer"):
        return regularizers.get(value)
    return get_constraint(value)


def get_constraint(value: Any) -> Any:
    """A function w → w from what a user may write: a name or config of `minicnn.constraints`, a function, None."""
    if value is None or not (isinstance(value, str | type) or is_config(value)):
        if value is not None and not callable(value):
            raise TypeError(f"a constraint is a function of a weight, or a name such as 'non_neg'. Received: {value!r}")
        return value
    return import_module("minicnn.constraints").get(value)


def written(value: Any) -> Any:
    """What configs say of a rare option: of a function as a constraint, its name.

    Parameters
    ----------
    value : Regularizer, Constraint, function or str
    """
    if isinstance(value, str):
        return value
    is_part = isinstance(value, Configurable)
    return to_plain(value if is_part else import_module("minicnn.constraints").get(value))


def check_trainable(trainable: object) -> bool:
    """`trainable`, if it is True or False; ValueError otherwise."""
    if not isinstance(trainable, bool | np.bool_):
        raise ValueError(f"`trainable` is True or False. Received: trainable={trainable!r}")
    return bool(trainable)
