"""A function of the user's as a loss: ``compile(loss=my_loss)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from minicnn.foreign import shown
from minicnn.hints import Config
from minicnn.losses.base import Loss, register, registry
from minicnn.mistaken_names import thing_advice
from minicnn.named_functions import function_named
from minicnn.own_parts import check_takes, is_of_package

__all__ = ["FunctionLoss"]


@register
class FunctionLoss(Loss):
    """A function ``fn(y_true, y_pred)`` as a loss; a function in ``loss=`` becomes one.

    Parameters
    ----------
    fn : callable
        Of arrays (N, …); it returns the loss of each sample, (N, …), one number for the batch, or others, whose
        mean counts, where samples have no weights. Written with operators and NumPy's functions, or those of
        `minicnn.keras.ops`, it is differentiated.
    reduction, name :
        As for `Loss`.
    """

    def __init__(self, fn: Callable[..., Any], reduction: str | None = "sum_over_batch_size", name: str | None = None):
        if not isinstance(fn, type) and "Metric" in (base.__name__ for base in type(fn).__mro__ if is_of_package(base)):
            raise TypeError(
                f"a loss is a function, or an instance of losses.Loss, and {type(fn).__name__} is a metric, without a "
                f"gradient: metrics=[…] takes it. Received: loss={shown(fn)}"
            )
        if advice := thing_advice("loss", fn):
            raise TypeError(
                f"a loss is a name, an instance of losses.Loss, or a function{advice}. Received: loss={shown(fn)}"
            )
        super().__init__(reduction, getattr(fn, "__name__", None) if name is None else name)
        check_takes(fn, "a loss function", "y_true", "y_pred")
        self.fn: Callable[..., Any] = fn

    def call(self, y_true: np.ndarray, y_pred: Any) -> Any:
        """What the function returns."""
        return self.fn(y_true, y_pred)

    def get_config(self) -> Config:
        """The function by its name alone: files hold no code."""
        return super().get_config() | {"fn": getattr(self.fn, "__name__", repr(self.fn))}

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """A loss from what `get_config` returned; the function comes from ``custom_objects=``.

        Raises
        ------
        ValueError
            If it is not there.
        """
        name = config.get("fn", config.get("name"))  # Keras's files have a name alone
        fn = name if callable(name) else function_named(name)
        if fn is None:
            raise ValueError(
                f"the model was compiled with a function as loss, which no file holds: load_model(…, custom_objects="
                f"{{'{name}': {name}}}), or compile=False. Received: no function of this name"
            )
        return cls(**{**config, "fn": fn})


def get(identifier: Any) -> Loss:
    """A loss from a name, an instance, a class, a config, or a function, which becomes a `FunctionLoss`.

    Parameters
    ----------
    identifier : str, Loss, class, dict or function
        A name, an object, its class, or a configuration.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, for anything else.
    """
    is_function = callable(identifier) and not isinstance(identifier, type | Loss)
    if is_function and not hasattr(identifier, "stands_for"):
        return FunctionLoss(identifier)
    return registry.get(identifier)
