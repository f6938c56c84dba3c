"""The arguments of all commands."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from minicnn import __version__
from minicnn.command_line.problems import Problem

NETWORKS = ("simple", "lenet5")
DEFAULT = "default: %(default)s"
OUT = "the model: a name that ends in .safetensors, .keras or .h5 (default: %(default)s)"
PATIENCE = "stop after so many epochs without a better loss on the held-back photos (default: %(default)s)"
VALIDATION = "of every class that is held back to measure with (default: %(default)s)"
MOST_PIXELS = 512  # of a side: more would take days on a processor


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, with the command that explains more."""

    def error(self, message: str) -> NoReturn:
        raise Problem(f"{message}; '{self.prog} --help' explains")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As of any parser; a command says itself what it does not know, and which of its options is meant."""
        found, rest = super().parse_known_args(args, namespace)
        unknown = next((word.partition("=")[0] for word in rest if word.startswith("-")), None)
        if unknown is not None:
            close = difflib.get_close_matches(unknown, self._option_string_actions, n=1, cutoff=0.6)
            hint = f": did you mean '{close[0]}'?" if close else ""
            raise Problem(f"there is no option '{unknown}'{hint}; '{self.prog} --help' explains")
        return found, rest


def parser() -> Parser:
    """The parser of all commands; `command` of its result is the command's name."""
    top = Parser(
        prog="minicnn",
        description="Small convolutional networks on one's own photos. A folder has one folder of pictures for each "
        "class: photos/cats, photos/dogs, …",
        epilog="minicnn COMMAND --help explains a command. 'python -m minicnn' and 'minicnn' are the same.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"minicnn {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
    for add in (_train, _predict, _evaluate, _export, _info, _devices, _benchmark, _launch):
        add(commands)
    return top


def check_command(arguments: list[str], known: list[str]) -> None:
    """Raise `Problem` for a command that does not exist; argparse would list them all."""
    if not arguments:
        raise Problem(f"say what to do: minicnn {' | '.join(known)}; 'minicnn --help' explains")
    first = arguments[0]
    if not first.startswith("-") and first not in known:
        close = difflib.get_close_matches(first, known, n=1, cutoff=0.6)
        hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"
        if Path(first).exists():
            hint = f"did you mean 'minicnn train {first}'?"
        raise Problem(f"there is no command '{first}': {hint}")


def _command(commands, name, text, **options) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=text, allow_abbrev=False, **options)


def _train(commands):
    made = _command(commands, "train", "train a network on a folder of photos; writes a model and a report")
    add = made.add_argument
    add("folder", type=Path, metavar="FOLDER", help="one folder of pictures for each class")
    add("--out", type=Path, default=Path("model.safetensors"), metavar="FILE", help=OUT)
    add("--report", type=Path, metavar="FILE", help="default: report.html beside the model")
    add("--no-report", action="store_true", help="write no report, which needs matplotlib")
    add("--network", choices=NETWORKS, default="simple", help=DEFAULT)
    add("--size", type=_number(8, MOST_PIXELS), metavar="PIXELS", help="side of the pictures (default: 32 or 64)")
    add("--color", choices=("rgb", "grayscale"), help="default: by the pictures")
    add("--epochs", type=_number(1), default=40, metavar="N", help=f"at most ({DEFAULT})")
    add("--patience", type=_number(1), default=8, metavar="EPOCHS", help=PATIENCE)
    add("--batch-size", type=_number(1), default=32, metavar="N", help=DEFAULT)
    add("--validation", type=_fraction, default=0.2, metavar="PART", help=VALIDATION)
    add("--no-augment", action="store_true", help="do not move, turn, zoom and mirror photos in training")
    add("--seed", type=_number(0), default=0, metavar="N", help=f"of the split and the training ({DEFAULT})")


def _predict(commands):
    made = _command(commands, "predict", "say what photos show")
    made.add_argument("model", type=Path, metavar="MODEL")
    made.add_argument("files", type=Path, nargs="+", metavar="FILE|FOLDER", help="pictures, or folders of them")
    made.add_argument("--json", action="store_true", help="a line of JSON for each picture instead of a table")


def _evaluate(commands):
    made = _command(commands, "evaluate", "measure a model on a folder of photos with one folder for each class")
    made.add_argument("model", type=Path, metavar="MODEL")
    made.add_argument("folder", type=Path, metavar="FOLDER")
    made.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def _export(commands):
    made = _command(commands, "export", "write a model in other formats; the names of classes go with it")
    made.add_argument("model", type=Path, metavar="MODEL")
    for name, text in (
        ("html", "a page to try the network in (images of at most 64×64 pixels)"),
        ("onnx", "for ONNX Runtime and other programs"),
        ("keras", "a .keras file"),
        ("h5", "a .h5 file of older Kerases"),
        ("safetensors", "minicnn's own format"),
    ):
        made.add_argument(f"--{name}", type=Path, nargs="?", const=Path(), metavar="FILE", help=text)


def _info(commands):
    made = _command(commands, "info", "say what is in a model file")
    made.add_argument("file", type=Path, metavar="FILE")


def _devices(commands):
    _command(commands, "devices", "say what this machine can compute with")


def _benchmark(commands):
    made = _command(commands, "benchmark", "measure how many images a second are trained and recognised")
    made.add_argument("model", type=Path, nargs="?", metavar="MODEL", help="default: LeNet-5 on 28×28 pixels")
    made.add_argument("--batch-size", type=_number(1), default=64, metavar="N", help="default: %(default)s")
    made.add_argument("--seconds", type=_number(1, 3600), default=3, help="of each measurement (default: %(default)s)")


def _launch(commands):
    made = _command(commands, "launch", "start a script as several processes that train together, with mpiexec")
    made.add_argument("-n", dest="workers", type=_number(1), required=True, metavar="N", help="how many")
    made.add_argument("--hosts", metavar="HOST,…", help="machines, handed to mpiexec; default: this one")
    made.add_argument("script", type=Path, metavar="SCRIPT", help="a Python file")
    made.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…", help="what the script gets")


def _number(least: int, most: int | None = None) -> Callable[[str], int]:
    """An integer from `least` to `most`."""
    limits = f"an integer of {least} or more" if most is None else f"an integer from {least} to {most}"

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f"expected {limits}. Received: {text!r}")
        return int(text)

    return read


def _fraction(text: str) -> float:
    """A number between 0 and 1."""
    value = math.nan
    with contextlib.suppress(ValueError):
        value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, such as 0.2. Received: {text!r}")
    return value
