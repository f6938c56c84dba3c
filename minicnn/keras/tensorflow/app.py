"""``tf.app`` and ``tf.flags`` of TensorFlow 1: options of a script's command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

__all__ = ["flags", "run"]

_KINDS: dict[str, Callable[[str], Any]] = {}  # of the options that were defined


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "t", "1", "false", "f", "0"):
        raise ValueError("expected true or false")
    return text.lower() in ("true", "t", "1")


def _parsed(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The options' values, ``--name=value``, ``--name value``, of a boolean ``--name`` or ``--noname``; the rest."""
    found: dict[str, Any] = {}
    rest: list[str] = []
    pending = list(arguments)
    while pending:
        word = pending.pop(0)
        name, equals, text = word.lstrip("-").partition("=")
        if not word.startswith("-") or name not in _KINDS:
            is_no = word.startswith("-") and name.startswith("no") and _KINDS.get(name[2:]) is _boolean
            rest += [] if is_no else [word]
            found |= {name[2:]: False} if is_no else {}
            continue
        if not equals:
            text = "true" if _KINDS[name] is _boolean else pending.pop(0) if pending else ""
        try:
            found[name] = _KINDS[name](text)
        except ValueError as error:
            raise SystemExit(f"--{name} takes a value of its kind. Received: {text!r} ({error})") from None
    return found, rest


class _Flags:
    """``FLAGS``: the options' values, as the command line says, or their defaults; they may be set, too."""

    def __init__(self) -> None:
        vars(self)["_defaults"] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in _KINDS:
            raise AttributeError(f"no option is called so: flags.DEFINE_string({name!r}, …) first. Received: {name}")
        found, _ = _parsed(sys.argv[1:])
        return found.get(name, vars(self)["_defaults"][name])


FLAGS = _Flags()


def _define(kind: Callable[[str], Any]) -> Callable[..., None]:
    """``DEFINE_string`` and its like; an option that is defined again, as in a cell that runs again, begins anew."""

    def define(name: str, default: Any = None, help: str = "", *args: Any, **kwargs: Any) -> None:
        _KINDS[name] = kind
        vars(FLAGS)["_defaults"][name] = default
        vars(FLAGS).pop(name, None)

    return define


def run(main: Callable[[list[str]], Any] | None = None, argv: Sequence[str] | None = None) -> None:
    """Call `main`, by default that of the script, with what the options have left of the command line, and exit.

    Parameters
    ----------
    main : callable, optional
    argv : list of str, optional
        Default: the command line.
    """
    main = sys.modules["__main__"].main if main is None else main
    program, *arguments = sys.argv if argv is None else argv
    sys.exit(main([program, *_parsed(arguments)[1]]))


flags = SimpleNamespace(
    FLAGS=FLAGS,
    DEFINE_string=_define(str),
    DEFINE_integer=_define(int),
    DEFINE_float=_define(float),
    DEFINE_boolean=_define(_boolean),
    DEFINE_bool=_define(_boolean),
)
