"""Misspelt names of callbacks' methods, which nobody would call, and methods that cannot be called."""

import difflib
import inspect
import weakref
from typing import Any

from minicnn.foreign import shown
from minicnn.own_parts import check_takes, is_of_package
from minicnn.user_warnings import warn_user

_SYNONYMS = {
    "start": "begin",
    "started": "begin",
    "finish": "end",
    "finished": "end",
    "ends": "end",
    "done": "end",
    "step": "batch",
    "valid": "test",
    "val": "test",
    "validation": "test",
    "eval": "test",
    "evaluate": "test",
    "training": "train",
}
_warned: weakref.WeakSet[type] = weakref.WeakSet()


def check_callback(callback: Any, base: type) -> None:
    """Raise `TypeError` unless `callback` is one of `base`; then `warn_about_hooks`."""
    if not isinstance(callback, base):
        raise TypeError(f"a callback is an instance of callbacks.Callback{_advice(callback)}. Received: {callback!r}")
    warn_about_hooks(type(callback), base)


def explain_no_list(callbacks: Any) -> str:
    """What to say of ``callbacks=`` that is neither a callback nor a list of them."""
    return f"callbacks is a list of callbacks.Callback{_advice(callbacks)}. Received: callbacks={shown(callbacks)}"


def explain_item(history: Any, name: Any) -> None:
    """The ``__getitem__`` of what `fit` returns: a `TypeError` that says where the values are."""
    raise TypeError(
        f"fit returns a History, and its values are in a dict of it: history.history[{name!r}]. Received: "
        f"history[{name!r}]"
    )


def _advice(given):
    """How to make a callback of something else."""
    if isinstance(given, type):
        return f"; a class is called first: {given.__name__}(…)"
    if isinstance(given, str):
        return "; they have no names: write callbacks.EarlyStopping(…), for example"
    return "; a function is given to one: callbacks.LambdaCallback(on_epoch_end=…)" if callable(given) else ""


def warn_about_hooks(cls: type, base: type) -> None:
    """Warn, once for a class, about a method "on_…" that is nearly the name of one of `base`, but not quite.

    What has a name of `base` must take its arguments too: a `TypeError` says which.

    Parameters
    ----------
    cls : type
        A subclass of `base`.
    base : type
        `Callback`, whose methods "on_…" are those that are called.
    """
    if cls in _warned or cls.__module__.partition(".")[0] == "minicnn":
        return
    _warned.add(cls)
    known = [name for name in dir(base) if name.startswith("on_")]
    own = [name for name in dir(cls) if name.startswith("on_") and name not in known and callable(getattr(cls, name))]
    for name in known:
        method = inspect.getattr_static(cls, name)
        if inspect.isfunction(method) and not is_of_package(method):
            check_takes(method, f"a callback's {name}", *inspect.signature(getattr(base, name)).parameters)
    for name in own:
        words = "_".join(_SYNONYMS.get(word, word) for word in name.lower().split("_"))
        close = difflib.get_close_matches(words, known, n=1, cutoff=0.85)
        if close and getattr(cls, close[0]) is getattr(base, close[0]):  # otherwise it may be a helper of that method
            warn_user(
                f"{cls.__name__}.{name} is never called: no method of callbacks has that name; did you mean "
                f"'{close[0]}'?"
            )
