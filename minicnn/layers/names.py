"""Keras's default names for layers."""

import re
from collections import Counter
from contextvars import ContextVar

_names = Counter()
ending: ContextVar[str] = ContextVar("ending", default="")  # of the names that are given now, which are counted apart


def unique_name(class_name: str) -> str:
    """Keras's default names: the class in snake case, numbered from the second on."""
    _names[name := snake_case(class_name + ending.get())] += 1
    return name if _names[name] == 1 else f"{name}_{_names[name] - 1}"


def snake_case(class_name: str) -> str:
    """Keras's way: MaxPooling2D → max_pooling2d."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)).lower()


def reset_names() -> None:
    """Start numbering from the beginning, as after a restart."""
    _names.clear()
