"""What the command line of the examples is made of: numbers in a range, and the switch ``--workers``."""

import argparse
import atexit
import contextlib
import tempfile
from pathlib import Path

import minicnn as mc


def number(minimum, maximum=float("inf"), kind=int):
    """A type for argparse: an integer, or with ``kind=float`` a number, in a range, ends included."""
    words = f"an integer of at least {minimum}" + (f" and at most {maximum}" if maximum < float("inf") else "")
    words = words if kind is int else f"a number from {minimum} to {maximum}"

    def checked(text):
        with contextlib.suppress(ValueError):
            if minimum <= (value := kind(text)) <= maximum:
                return value
        raise argparse.ArgumentTypeError(f"must be {words}, not {text!r}")

    return checked


def join_workers(options, report):
    """Have models train on all workers, see docs/distributed.md.

    What the others than the first write is thrown away. `report` is called with the reason why there are none.
    """
    try:
        mc.distribution.initialize()
        mc.distribution.set_distribution(mc.distribution.DataParallel())
    except ImportError as error:
        report(f"argument --workers: {error}")
    if mc.distribution.rank() > 0:
        folder = tempfile.TemporaryDirectory()
        atexit.register(folder.cleanup)
        options.out, options.show = Path(folder.name), False
