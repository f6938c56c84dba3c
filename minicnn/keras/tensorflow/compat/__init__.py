"""``tf.compat.v1``: the sessions with which scripts of TensorFlow 1 choose devices; they change nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from minicnn.differentiation import met, value_of
from minicnn.keras._names import NotInMinicnn
from minicnn.keras._variables import Variable
from minicnn.keras._warning import warn_once
from minicnn.keras.layers._of_keras_1 import Beginning
from minicnn.nested import mapped
from minicnn.parameters import Weight

__all__ = [
    "ConfigProto",
    "GPUOptions",
    "InteractiveSession",
    "Session",
    "as_bytes",
    "as_str",
    "as_str_any",
    "as_text",
    "v1",
]


class _Settings:
    """Takes settings of any name, and of their parts."""

    def __init__(self, **kwargs: Any) -> None:
        vars(self).update(kwargs)

    def __getattr__(self, name: str) -> _Settings:
        if name.startswith("__"):
            raise AttributeError(name)
        return vars(self).setdefault(name, _Settings())


class ConfigProto(_Settings):
    """Settings of a session, which change nothing: ``config.gpu_options.allow_growth = True``."""


class GPUOptions(_Settings):
    """Settings of a session, which change nothing."""


class Session:
    """A session that computes nothing: models of Keras need none.

    Parameters
    ----------
    target, graph, config : optional
        Not used.
    """

    def __init__(self, target: str = "", graph: Any = None, config: Any = None) -> None:
        warn_once("sessions were dropped by TensorFlow 2: minicnn needs none, and their settings change nothing")

    def run(self, fetches: Any = None, *args: Any, **kwargs: Any) -> Any:
        """What has numbers, as arrays, and what is to be done, done; in lists and dicts, too.

        Parameters
        ----------
        fetches : None, Weight, Variable, array, ``tf.variables_initializer(…)``, or lists of them
            None is what gives nothing, such as ``tf.global_variables_initializer()``.

        Raises
        ------
        NotInMinicnn
            For a model's tensor, or another thing that has no numbers.
        """
        return mapped(_fetched, fetches)

    def close(self) -> None:
        """Does nothing."""

    def list_devices(self) -> list[Any]:
        """What computes: one processor."""
        return import_module("minicnn.keras.tensorflow._of_1").list_local_devices()

    def as_default(self) -> Session:
        """The session, for ``with``."""
        return self

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def _fetched(leaf):
    if leaf is None or isinstance(leaf, Beginning):
        return None if leaf is None else leaf.run()
    if isinstance(leaf, Weight | Variable | np.ndarray | np.generic | float | int):
        return np.asarray(value_of(met(leaf)))
    raise NotInMinicnn(
        "minicnn has no Session.run for what has no numbers: of a model's tensors, K.function([model.input], "
        f"[tensor])([x]) gives them. Received: {type(leaf).__name__}"
    )


class InteractiveSession(Session):
    """A session that computes nothing."""


def as_text(bytes_or_text: Any, encoding: str = "utf-8") -> str:
    """Bytes, or text, as text."""
    return bytes_or_text.decode(encoding) if isinstance(bytes_or_text, bytes) else str(bytes_or_text)


def as_bytes(bytes_or_text: Any, encoding: str = "utf-8") -> bytes:
    """Bytes, or text, as bytes."""
    return bytes(bytes_or_text) if isinstance(bytes_or_text, bytes | bytearray) else str(bytes_or_text).encode(encoding)


as_str = as_text
as_str_any: Callable[..., str] = as_text


def __getattr__(name: str) -> Any:
    if name in ("v1", "v2"):
        return import_module(f"{__name__}.v1" if name == "v1" else "minicnn.keras.tensorflow")
    raise AttributeError(f"minicnn has no tf.compat.{name}: tf.compat.v1 is there")
