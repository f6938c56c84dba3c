"""Arguments of TensorFlow 1, which later ones call otherwise."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from minicnn.keras._translation import renamed

__all__ = ["today"]


def today(**names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function that takes TensorFlow 1's names of arguments, old=today's, beside those of today."""

    def taking(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **renamed(f"tf.{function.__name__}", kwargs, names))

        return call

    return taking
