"""What is wrong with a layer of a file, with the layer's name: a file has hundreds of them."""

from collections.abc import Sequence
from typing import Any

from minicnn.user_warnings import brief


def put_name(error: Exception, entry: dict[str, Any]) -> None:
    """Begin an error's words with the layer that could not be made; those of a model name their own.

    Parameters
    ----------
    error : Exception
        Changed in place: it stays of its class.
    entry : dict
        The layer's, as `config.layer_config` gives it.
    """
    config = entry.get("config")
    is_model = isinstance(config, dict) and "layers" in config
    if not is_model and not f"{error}".startswith("layer "):
        error.args = (f"{_label(entry)}: {error}",)


def unknown_layer(entry: dict[str, Any]) -> ValueError:
    """The error for a layer of a class that nobody has told of; the caller raises it."""
    return ValueError(
        f"{_label(entry)}: Unknown layer. minicnn has none of this name; for one's own, give "
        f"{for_own(entry['class_name'])} "
        "or decorate the class with layers.register"
    )


def shared_number(entry: dict[str, Any]) -> Any:
    """What tells a layer that is there several times from others, or None.

    Raises
    ------
    ValueError
        If nothing can be found by it.
    """
    number = entry.get("shared_object_id")
    if isinstance(number, list | dict):
        raise ValueError(f"{_label(entry)}: shared_object_id is a number. Received: {brief(number)}")
    return number


def checked_calls(entry: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """The calls of a layer in a graph's config.

    Raises
    ------
    ValueError
        If they have not the form of calls, or the layer's name is no text.
    """
    calls, name = entry.get("inbound_nodes", []), entry.get("name", "")
    if not (isinstance(name, str) and isinstance(calls, list | tuple) and all(map(_is_call, calls))):
        raise ValueError(
            f"{_label(entry)}: a layer of a graph has a name, a text, and inbound_nodes, a list of calls, each "
            f"with args, a list, and kwargs, a dict. Received: name={brief(name)}, inbound_nodes={brief(calls)}"
        )
    return calls


def _is_call(call) -> bool:
    return isinstance(call, dict) and (type(call.get("args")), type(call.get("kwargs", {}))) in _OF_A_CALL


_OF_A_CALL = (list, dict), (tuple, dict)


def for_own(class_name: str) -> str:
    """The argument that tells of a class."""
    return f"custom_objects={{{class_name.removeprefix('>')!r}: its class}}"


def _label(entry) -> str:
    config = entry.get("config")
    name = config.get("name", entry.get("name")) if isinstance(config, dict) else entry.get("name")
    return f"layer {'' if name is None else brief(name) + ' '}({entry['class_name'].rpartition('>')[2]})"
