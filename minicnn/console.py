"""What is printed: in characters that the stream has, and never at the cost of what is being computed.

A program without a console has no streams at all (pythonw, services, packaged programs), others put an object with a
`write` and nothing else in their place, and many a stream knows few characters (cp1252 and cp932 on Windows, ASCII in
the C locale).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("━─", "-"),
        **dict.fromkeys("┃│", "|"),
        **dict.fromkeys("┏┳┓┡╇┩├┼┤└┴┘", "+"),
        "…": "...",
        "·": "*",
        "×": "x",
        "−": "-",
        "→": "->",
    }
)


_state = {"speaks": True}


def leave_to_another() -> None:
    """Said in a process beside which another one, of the same training, prints and writes."""
    _state["speaks"] = False


def speaks() -> bool:
    """Whether this process prints and writes files."""
    return _state["speaks"]


def say(text: str, file: Any = None) -> None:
    """Print a line, to stdout unless a file is given; a progress bar that is on the terminal moves down.

    Where the stream is missing, closed or cannot be written, nothing is printed.

    Parameters
    ----------
    text : str
    file : object with a `write`, optional
    """
    stream = sys.stdout if file is None else file
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):  # closed, full, gone: no reason to lose a training
        _write_line(printable(text, stream), stream)
        getattr(stream, "flush", lambda: None)()


def _write_line(text, stream):
    """Through tqdm, if it is there and may have drawn a bar."""
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    if tqdm is None:
        stream.write(f"{text}\n")
    else:
        tqdm.write(text, file=stream)


def printable(text: str, stream: Any) -> str:
    """`text` in characters that a stream has: lines of tables as ASCII, anything else escaped, where it must be."""
    encoding = getattr(stream, "encoding", None)
    if not isinstance(encoding, str):
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:  # no such encoding: the stream will know what it means
        pass
    return text


def hand_over(text: str, print_fn: Callable[[str], object] | None) -> None:
    """Call a user's function with a text, again in ASCII if it cannot encode the text; None prints.

    A file that was opened without ``encoding="utf-8"`` is such a function's usual place on Windows.
    """
    if print_fn is None:
        say(text)
        return
    if not callable(print_fn):
        raise TypeError(f"print_fn is a function of a text. Received: print_fn={print_fn!r}")
    try:
        print_fn(text)
    except UnicodeEncodeError:
        print_fn(text.translate(_PLAIN).encode("ascii", "backslashreplace").decode("ascii"))


def is_terminal(stream: Any) -> bool:
    """Whether a stream is there, open, and a terminal."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError, OSError):  # None, write only; closed; gone
        return False
