"""What older Kerases had is said once."""

import sys
import warnings

_warned: set[str] = set()


def warn_once(message: str) -> None:
    """A FutureWarning, once a process, at the user's line."""
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, FutureWarning, stacklevel=_depth_of_user())


def _depth_of_user():
    """How many frames above `warn_once` the first one outside of minicnn and the import system is."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(("minicnn", "importlib", "_frozen")):
            break
        depth += name.startswith("minicnn")  # Python does not count the import system's own frames
        frame = frame.f_back
    return depth
