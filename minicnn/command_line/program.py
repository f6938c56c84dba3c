"""The program: reads the arguments, runs a command, and says in one sentence what went wrong."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from minicnn.command_line.arguments import check_command, parser
from minicnn.command_line.problems import Problem, sentence, tell

WRONG_USE, INTERRUPTED = 2, 130  # exit codes; the second is what shells give for Ctrl-C
COMMANDS = {
    "train": "training",
    "predict": "predicting",
    "evaluate": "evaluating",
    "export": "exporting",
    "info": "about",
    "devices": "about",
    "benchmark": "measuring",
    "launch": "launching",
}
"""Name → the module, of this room, that has the function of that name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        The exit code: 0; 2 where the user can mend it; 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        check_command(arguments, list(COMMANDS))
        options = parser().parse_args(arguments)
        command = getattr(import_module(f"minicnn.command_line.{COMMANDS[options.command]}"), options.command)
        with warnings.catch_warnings():
            warnings.showwarning = _one_line
            return command(options) or 0
    except SystemExit as end:  # of --help and --version
        return end.code if isinstance(end.code, int) else WRONG_USE
    except KeyboardInterrupt:
        tell("minicnn: interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output, such as head, has enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, the interpreter flushes it at the end
        return 0
    except MemoryError as error:
        tell(f"minicnn: too little memory for this: make --size or --batch-size smaller ({sentence(error)})")
        return WRONG_USE
    except (Problem, ImportError, ArithmeticError, OSError, ValueError, TypeError) as error:
        tell(f"minicnn: {sentence(error)}")
        return WRONG_USE


def _one_line(message: Any, category: Any, *place: Any, **rest: Any) -> None:
    """A warning without the line of the program that it came from."""
    tell(f"minicnn: note: {' '.join(str(message).split())}")
