"""A callback made of functions."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature

from minicnn.callbacks.base import Callback
from minicnn.hints import Logs
from minicnn.own_parts import check_takes


class LambdaCallback(Callback):
    """A callback from functions, which get what the methods of `Callback` get: ``lambda epoch, logs: …``.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end, on_train_begin, on_train_end, on_train_batch_begin, on_train_batch_end : callable,
    optional
    **functions
        The same for the other methods of `Callback`: on_test_begin, on_predict_end, ….
    """

    def __init__(
        self,
        on_epoch_begin: Callable[[int, Logs], object] | None = None,
        on_epoch_end: Callable[[int, Logs], object] | None = None,
        on_train_begin: Callable[[Logs], object] | None = None,
        on_train_end: Callable[[Logs], object] | None = None,
        on_train_batch_begin: Callable[[int, Logs], object] | None = None,
        on_train_batch_end: Callable[[int, Logs], object] | None = None,
        **functions: Callable[..., object] | None,
    ) -> None:
        functions |= {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        known = [name for name in vars(Callback) if name.startswith("on_")]
        unknown = sorted(set(functions) - set(known))
        if unknown:
            raise ValueError(f"LambdaCallback takes {', '.join(known)}. Received: {unknown}")
        for name, function in functions.items():
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name} is a function. Received: {function!r}")
            arguments = list(signature(getattr(Callback, name)).parameters)[1:]
            check_takes(function, name, *arguments)
            setattr(self, name, function)
