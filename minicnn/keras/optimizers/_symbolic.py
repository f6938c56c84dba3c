"""``get_updates`` and ``get_gradients`` of Keras 1's and 2's optimizers, for the functions of ``K.function``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from minicnn.keras._update_lists import Minimization
from minicnn.keras._warning import warn_once


def get_updates(self: Any, *args: Any, **kwargs: Any) -> list[Minimization]:
    """What ``K.function(…, updates=…)`` takes to move weights down a loss in each of its calls.

    Parameters
    ----------
    *args, **kwargs
        ``(loss, params)``, or, as in Keras 1 and 2.0, ``(params, constraints, loss)``; weights know their constraints.

    Raises
    ------
    TypeError
        Without a loss or a list of weights.
    """
    warn_once("get_updates is a method of Keras 1 and 2: today it is compile and fit, or a GradientTape")
    losses = [arg for arg in args if not isinstance(arg, list | tuple | dict)]
    lists = [arg for arg in args if isinstance(arg, list | tuple)]
    loss = kwargs.get("loss", losses[0] if losses else None)
    params = kwargs.get("params", lists[0] if lists else None)
    if loss is None or not params:
        raise TypeError(
            "get_updates takes a loss and a list of weights, get_updates(loss, model.trainable_weights). Received: "
            f"{[type(arg).__name__ for arg in (*args, *kwargs.values())]}"
        )
    return [Minimization(self, get_gradients(self, loss, params), params)]


def get_gradients(self: Any, loss: Any, params: Any) -> list[Any]:
    """The gradients of a loss by weights, or by tensors, as ``keras.backend.gradients`` gives them."""
    return import_module("minicnn.keras.backend").gradients(loss, params)
