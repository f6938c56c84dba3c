"""What users are told: warnings that point at their line, and what files hold in a message."""

import sys
import warnings


def warn_user(text: str, category: type[Warning] = UserWarning) -> None:
    """A warning at the line outside this library that led here, where Python's filters show it once."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in ("minicnn", "contextlib", "importlib"):
            break
        level += package != "importlib"  # Python does not count the import system's own frames
        frame = frame.f_back
    warnings.warn(text, category, stacklevel=level)


def brief(value: object) -> str:
    """`value` for a message; a file's content may be long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"
