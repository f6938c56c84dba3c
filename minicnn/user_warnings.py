"""Warnings that point at the user's line."""

import sys
import warnings


def warn_user(text: str, category: type[Warning] = UserWarning) -> None:
    """A warning at the line outside this library that led here, where Python's filters show it once."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in ("minicnn", "importlib"):
            break
        level += package == "minicnn"  # Python does not count the import system's own frames
        frame = frame.f_back
    warnings.warn(text, category, stacklevel=level)
