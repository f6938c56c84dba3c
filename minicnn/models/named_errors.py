"""What is wrong with a layer of a file, with the layer's name: a file has hundreds of them."""

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
    config = entry.get("config") or {}
    if "layers" not in config and not f"{error}".startswith("layer "):
        error.args = (f"{_label(entry)}: {error}",)


def unknown_layer(entry: dict[str, Any]) -> ValueError:
    """The error for a layer of a class that nobody has told of; the caller raises it."""
    return ValueError(
        f"{_label(entry)}: Unknown layer. minicnn has none of this name; for one's own, give "
        f"{for_own(entry['class_name'])} "
        "or decorate the class with layers.register"
    )


def for_own(class_name: str) -> str:
    """The argument that tells of a class."""
    return f"custom_objects={{{class_name.removeprefix('>')!r}: its class}}"


def _label(entry) -> str:
    name = (entry.get("config") or {}).get("name", entry.get("name"))
    return f"layer {'' if name is None else brief(name) + ' '}({entry['class_name'].rpartition('>')[2]})"
