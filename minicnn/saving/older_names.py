"""Files from before users' classes were told from the library's: there a name is one class, the given one if any."""

from typing import Any

from minicnn.library_names import is_taken
from minicnn.own_parts import is_of_package
from minicnn.registry import custom_object

MARKED = "minicnn_names"
"""What newer files have besides."""


def told_apart(described: Any) -> Any:
    """An older file's description as newer ones have it: it says which classes are users', and which the package's.

    A given class stands for all of its name, as it did when the file was written; a registered one does not, since the
    file may well be older than that class.

    Parameters
    ----------
    described : object
        As JSON holds it.
    """
    if isinstance(described, list):
        return [told_apart(part) for part in described]
    if not isinstance(described, dict):
        return described
    read, name = {key: told_apart(part) for key, part in described.items()}, described.get("class_name")
    if not isinstance(name, str) or not is_taken(name):
        return read
    given = custom_object(name)
    if isinstance(given, type) and not is_of_package(given):
        return read | {"class_name": f">{name}"}
    is_of_package_alone = described.get("registered_name") == name  # Keras has it not, so it was written as a user's
    return read | {"module": "minicnn"} if is_of_package_alone else read
