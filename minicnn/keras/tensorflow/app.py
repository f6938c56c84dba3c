"""``tf.app`` and ``tf.flags``, also of ``tf.compat.v1``: the flags of a script's command line, and what runs it."""

from __future__ import annotations

import sys
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

from minicnn.keras._names import Lookup, lookup

__all__ = ["flags", "run"]


class _Anew(Action):
    """Collects what a flag was given each time; what was there at first does not count."""

    def __call__(self, parser: Any, namespace: Namespace, values: Any, option_string: str | None = None) -> None:
        given = vars(namespace).setdefault(f" {self.dest}", [])
        given.append(values)
        setattr(namespace, self.dest, given)


class _Flags:
    """The values of the flags: those of the command line, ``--name=value``, else the first ones."""

    def __init__(self) -> None:
        self._parser = ArgumentParser(allow_abbrev=False)
        self._alone: set[str] = set()  # of what is true or false: the word alone says true
        self._required: set[str] = set()
        self._values: Namespace | None = None

    def define(
        self, name: str, default: Any, kind: Callable[[str], Any], help: str | None, action: Any = "store"
    ) -> None:
        """Add a flag; one that is defined again, as in a cell that runs again, begins anew."""
        self._values = None
        self._required.discard(name)
        for before in [action for action in self._parser._actions if action.dest == name]:
            self._parser._remove_action(before)
            self._parser._optionals._group_actions.remove(before)
            for word in before.option_strings:
                del self._parser._option_string_actions[word]
                self._alone.discard(word)
        if kind is _truth:
            self._parser.add_argument(f"--no{name}", dest=name, action="store_false")
            self._alone.add(f"--{name}")
        text = (help or "").replace("%", "%%")
        self._parser.add_argument(f"--{name}", dest=name, default=default, type=kind, help=text, action=action)

    def parsed(self, words: Sequence[str]) -> tuple[Namespace, list[str]]:
        """The flags' values in a command line, and what of it are no flags."""
        words = [self._with_two_dashes(word) for word in words]
        words = [f"{word}=true" if word in self._alone else word for word in words]
        values, rest = self._parser.parse_known_args(words)
        for name in sorted(self._required):
            if getattr(values, name, None) is None:
                self._parser.error(f"the flag --{name}=… has to be given")
        return values, rest

    def require(self, names: str | Sequence[str]) -> None:
        """Have these flags be given: what has no value ends the program."""
        self._required |= {names} if isinstance(names, str) else set(names)

    def __call__(self, argv: Sequence[str], known_only: bool = False) -> list[str]:
        """Read a command line, which begins with the program's name; what of it are no flags."""
        self._values, rest = self.parsed(argv[1:])
        return [*argv[:1], *rest]

    def flag_values_dict(self) -> dict[str, Any]:
        """The flags' values by name."""
        if self._values is None:
            self(sys.argv)
        return {name: value for name, value in vars(self._values).items() if not name.startswith(" ")}

    def _with_two_dashes(self, word: str) -> str:
        """A flag that was given with a single dash, which counts as two."""
        name = word.partition("=")[0]
        is_flag = name[:1] == "-" and name[:2] != "--" and f"-{name}" in self._parser._option_string_actions
        return f"-{word}" if is_flag else word

    def __getitem__(self, name: str) -> Any:
        """A flag, also of a name that is no word of Python: its number or text is its ``value``."""
        return SimpleNamespace(name=name, value=getattr(self, name))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._values is None:
            self._values = self.parsed(sys.argv[1:])[0]
        if not hasattr(self._values, name):
            raise AttributeError(f"no flag is called so: flags.DEFINE_string({name!r}, …) first. Received: {name}")
        return getattr(self._values, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            getattr(self, name)  # there is such a flag
            setattr(self._values, name, value)
        else:
            super().__setattr__(name, value)


def _truth(text):
    if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise ValueError(f"a flag is true or false. Received: {text!r}")
    return text.lower() in ("true", "1", "yes")


def _parts(text):
    return text.split(",")


FLAGS = _Flags()


def _definer(kind: Callable[[str], Any]) -> Callable[..., None]:
    def define(name: str, default: Any = None, help: str | None = None, *args: Any, **options: Any) -> None:
        FLAGS.define(name, default, kind, help)

    return define


def _several(kind: Callable[[str], Any]) -> Callable[..., None]:
    """What defines flags that may be given several times; their value is a list."""

    def define(name: str, default: Any = None, help: str | None = None, *args: Any, **options: Any) -> None:
        single = default is None or isinstance(default, list | tuple)
        FLAGS.define(name, default if single else [default], kind, help, _Anew)

    return define


def _one_of(name, values):
    def one_of(text: str) -> str:
        if text not in values:
            raise ValueError(f"{name} is one of {list(values)}. Received: {text!r}")
        return text

    return one_of


def _enum(name: str, default: Any, enum_values: Sequence[str], help: str | None = None, **options: Any) -> None:
    FLAGS.define(name, default, _one_of(name, enum_values), help)


def _multi_enum(name: str, default: Any, enum_values: Sequence[str], help: str | None = None, **options: Any) -> None:
    _several(_one_of(name, enum_values))(name, default, help)


_KINDS = {"string": str, "integer": int, "float": float, "bool": _truth, "boolean": _truth, "list": _parts}
_KINDS |= {"spaceseplist": str.split}
_OF_SEVERAL = {"string": str, "integer": int, "float": float}
flags = SimpleNamespace(
    FLAGS=FLAGS,
    DEFINE_enum=_enum,
    DEFINE_multi_enum=_multi_enum,
    mark_flag_as_required=lambda name, flag_values=None: FLAGS.require(name),
    mark_flags_as_required=lambda names, flag_values=None: FLAGS.require(names),
    **{f"DEFINE_{name}": _definer(kind) for name, kind in _KINDS.items()},
    **{f"DEFINE_multi_{name}": _several(kind) for name, kind in _OF_SEVERAL.items()},
)


def run(main: Callable[[list[str]], Any] | None = None, argv: Sequence[str] | None = None) -> NoReturn:
    """Call `main`, of the script unless told, with what flags leave of the command line, and end the program."""
    main = main or sys.modules["__main__"].main  # type: ignore[attr-defined]
    program, *arguments = sys.argv if argv is None else argv
    sys.exit(main([program, *FLAGS.parsed(arguments)[1]]))


__getattr__: Lookup = lookup(__name__)
