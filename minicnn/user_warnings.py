"""Warnings that point at the user's line."""

import sys
import warnings


def warn_user(text: str) -> None:
    """A `UserWarning` at the line outside this library that led here, where Python's filters show it once."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "minicnn":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)
