"""Where the library keeps files of its own: downloads and compiled kernels."""

import os
from pathlib import Path

CACHE_VARIABLE = "MINICNN_CACHE"


def cache_folder() -> Path:
    """`$MINICNN_CACHE`, else `$XDG_CACHE_HOME/minicnn`, else `~/.cache/minicnn`; it need not exist.

    From the root on, so that who keeps it finds it again when the program has changed its folder.

    Raises
    ------
    RuntimeError
        If there is no home folder.
    """
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE]).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "minicnn"
