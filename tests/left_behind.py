"""What a test leaves changed meets those after it, which fail by chance of their order: here it is told at once."""

from __future__ import annotations

import gc
import locale
import logging
import os
import signal
import sys
import tempfile
import threading
from contextvars import copy_context

import numpy as np

from minicnn.own_parts import is_of_package

PYTESTS_OWN = os.environ.encodekey("PYTEST_CURRENT_TEST")
READ = tuple(  # of variables that were not there before, those that count: libraries set others when they are imported
    os.environ.encodekey(name)
    for name in ("MINICNN_", "PYTHON", "OMP_", "OPENBLAS_", "MKL_", "MPLBACKEND", "CUDA_VIS", "XDG_", "HOME", "TZ")
)
tempfile.gettempdir()  # is chosen once, when it is first asked for


def of_process() -> dict[str, object]:
    """Name → value, of what every test finds and may not leave changed. It takes some µs: each test is asked."""
    return {
        "os.environ": {name: value for name, value in os.environ._data.items() if name != PYTESTS_OWN},  # not decoded
        "the working directory": os.getcwd(),
        "sys.path": sys.path[:],
        "sys.argv": sys.argv[:],
        "context variables": {v.name: value for v, value in copy_context().items() if v.name != "decimal_context"},
        "NumPy's error states": np.geterr(),
        "NumPy's print options": np.get_printoptions(),
        "handlers of signals": (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)),
        "hooks": [*map(_not_pytests, (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook))],
        "garbage collection": (gc.isenabled(), gc.get_threshold()),
        "the recursion limit": sys.getrecursionlimit(),
        "tempfile.tempdir": tempfile.tempdir and os.fspath(tempfile.tempdir),
        "the locale": locale.setlocale(locale.LC_ALL),
        "logging": (logging.root.manager.disable, logging.root.level),
    }


def _not_pytests(hook):
    """A hook; None for those that pytest before 8.4 sets anew for each phase of a test."""
    return None if str(getattr(hook, "__module__", "")).startswith("_pytest.") else hook


def of_modules() -> dict[str, object]:
    """Name → value, of what every file of tests may not leave changed. It takes some ms: each file is asked."""
    values: dict[str, object] = {"sys.modules": dict(sys.modules)}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "minicnn":
            values[name] = dict(vars(module))
            classes = [v for v in values[name].values() if isinstance(v, type) and v.__module__ == name]
            values.update((f"{name}.{c.__qualname__}", dict(vars(c))) for c in classes)
    if "matplotlib.pyplot" in sys.modules:
        values["open figures"] = sys.modules["matplotlib.pyplot"].get_fignums()
        values["matplotlib.rcParams"] = dict.copy(sys.modules["matplotlib"].rcParams)
        backend = values["matplotlib.rcParams"].pop("backend")
        values["matplotlib.rcParams"].pop("backend_fallback", None)  # whether it was chosen, or asked for
        if isinstance(backend, str):  # else it is chosen with the first figure
            values["matplotlib's backend"] = backend.lower()  # "agg" where it was chosen, "Agg" where asked for
    return values


def changes(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """A line for each value that was there before and is another one now."""
    lines = []
    for name, value in before.items():
        if name == "sys.modules" or name.partition(".")[0] == "minicnn":
            lines += _replaced(name, value, after.get(name, {}))
        elif name in after:
            now = _without_news(value, after[name]) if name == "os.environ" else after[name]
            lines += [f"{name} was {_short(value, now)}"] if value != now else []
    return lines


def _without_news(before, after):
    return {name: value for name, value in after.items() if name in before or name.startswith(READ)}


def _replaced(owner, before, after):
    """What is called, by another than the package: its rooms for Keras replace some of it when they are imported."""
    things = {name: thing for name, thing in before.items() if after.get(name) is not thing}
    if owner != "sys.modules":
        things = {n: t for n, t in things.items() if callable(t) and not is_of_package(after.get(n))}
    return [f"{name} of {owner} was {thing!r:.200}, is {after.get(name)!r:.200}" for name, thing in things.items()]


def _short(before, after):
    """Both values; of dicts and lists, where they differ."""
    if isinstance(before, dict):
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        before, after = ({key: values.get(key) for key in keys} for values in (before, after))
    elif isinstance(before, list):
        before, after = ([x for x in a if x not in b] for a, b in ((before, after), (after, before)))
    return f"{before!r:.300}, is {after!r:.300}"
