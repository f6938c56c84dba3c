"""What goes wrong at the command line, in one sentence."""

from __future__ import annotations

import sys

from minicnn.console import say


class Problem(Exception):
    """What a user can mend; its text is the sentence that is printed."""


def sentence(error: BaseException) -> str:
    """An error's text in one line; that of the system with the file's name."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def tell(text: str) -> None:
    """A line for the user that is not the result: on stderr."""
    say(text, file=sys.stderr)
