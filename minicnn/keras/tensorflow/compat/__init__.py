"""``tf.compat.v1``: the sessions with which scripts of TensorFlow 1 choose devices; they change nothing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from minicnn.keras._names import NotInMinicnn
from minicnn.keras._warning import warn_once

__all__ = ["ConfigProto", "GPUOptions", "InteractiveSession", "Session", "v1"]


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

    def run(self, fetches: Any = None, *args: Any, **kwargs: Any) -> None:
        """Nothing, of what gives nothing, such as ``tf.global_variables_initializer()``; else raise an error."""
        if fetches is None:
            return
        raise NotInMinicnn("minicnn has no Session.run: it computes without TensorFlow's sessions and graphs")

    def close(self) -> None:
        """Does nothing."""

    def as_default(self) -> Session:
        """The session, for ``with``."""
        return self

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class InteractiveSession(Session):
    """A session that computes nothing."""


def __getattr__(name: str) -> Any:
    if name == "v1":
        return import_module(f"{__name__}.v1")
    raise AttributeError(f"minicnn has no tf.compat.{name}: tf.compat.v1 is there")
