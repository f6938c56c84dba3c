"""Keras's default names for layers."""

import re
from collections import Counter

_names = Counter()


def unique_name(class_name: str) -> str:
    """Keras's default names: the class in snake case, numbered from the second on."""
    name = snake_case(class_name)
    _names[name] += 1
    return name if _names[name] == 1 else f"{name}_{_names[name] - 1}"


def snake_case(class_name: str) -> str:
    """Keras's way: MaxPooling2D → max_pooling2d."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def reset_names() -> None:
    """Start numbering from the beginning, as after a restart."""
    _names.clear()
