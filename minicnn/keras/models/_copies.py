"""What ``copy.copy`` makes of a model: another one, with weights and an optimizer of its own, as in Keras."""

from __future__ import annotations

from copy import deepcopy
from traceback import walk_tb
from typing import Any

from minicnn.layers.base import Layer


def copied(model: Any) -> Any:
    """A copy that shares nothing with the model but what cannot be copied, such as locks and open files.

    A ``__deepcopy__`` of the model's class is not asked, as it may be what calls ``copy.copy(self)``.

    Parameters
    ----------
    model : Model

    Returns
    -------
    Model
        Of the same class, without a call of its constructor.

    Raises
    ------
    Exception
        What copying a layer in the model raises: shared, it would be trained by both.
    """
    shared: dict[int, Any] = {}
    while True:
        made = type(model).__new__(type(model))
        memo = {id(model): made, **shared}
        try:
            made.__setstate__(deepcopy(model.__getstate__(), memo))
        except RecursionError:
            raise
        except Exception as error:
            culprit = _not_copied(error)
            if culprit is None or isinstance(culprit, Layer) or id(culprit) in shared:
                raise
            shared[id(culprit)] = culprit
        else:
            return made


def _not_copied(error):
    """What `deepcopy` failed at: what it was given in the last of its calls."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__) if frame.f_code is deepcopy.__code__]
    return frames[-1].f_locals.get("x") if frames else None
