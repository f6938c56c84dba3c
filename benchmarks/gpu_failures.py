"""What could not be measured, for gpu.py: the others go on."""

import time
import traceback
from contextlib import contextmanager

from harness import Missing

failures = []  # of the part that runs: what, and why


@contextmanager
def go_on_after(what):
    """An error inside is printed and kept in `failures`; the program goes on. `Missing` is none."""
    try:
        yield
    except Missing:
        raise
    except Exception as error:
        traceback.print_exc()
        failures.append(f"{what}: {type(error).__name__}: {error}")


def check_time(end):
    """Raise an error after that time: ``--resume`` measures what is missing."""
    if time.monotonic() > end:
        raise TimeoutError("no time was left (--minutes); --resume measures it")
