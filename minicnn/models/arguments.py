"""Arguments that are models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minicnn.foreign import shown
from minicnn.layers.base import Layer
from minicnn.models.network import Network

if TYPE_CHECKING:
    from minicnn.models.model import Model


def check_model(model: Any, caller: str) -> Model:
    """`model` itself.

    Parameters
    ----------
    model : object
    caller : str
        The function that was given it, for the message.

    Raises
    ------
    TypeError
        If it is none.
    """
    return _checked(model, caller, Network, "a model")


def check_layer(layer: Any, caller: str) -> Layer:
    """`layer` itself, which may be a model; see `check_model`."""
    return _checked(layer, caller, Layer, "a layer or a model")


def _checked(value: Any, caller: str, kind: type, what: str) -> Any:
    if isinstance(value, kind):
        return value
    advice = ""
    if isinstance(value, type) and issubclass(value, kind):
        advice = f"; make one: {value.__name__}(…)"
    elif isinstance(value, str):
        advice = "; load a file first: load_model(path)"
    raise TypeError(f"{caller} takes {what}{advice}. Received: {shown(value)}")
