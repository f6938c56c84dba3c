"""Settings of TensorFlow that scripts make at their beginning: accepted, and without an effect here."""

from __future__ import annotations

import logging as _logging
import time
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn.keras import ops
from minicnn.keras._updates import after
from minicnn.keras._warning import warn_once

__all__ = [
    "assert_equal",
    "timestamp",
    *("autograph", "control_dependencies", "debugging", "disable_eager_execution", "disable_v2_behavior"),
    *(
        "enable_eager_execution",
        "enable_v2_behavior",
        "executing_eagerly",
        "experimental",
        "global_variables_initializer",
        "local_variables_initializer",
        "tables_initializer",
    ),
    *("logging", "name_scope", "no_op", "reset_default_graph", "sysconfig", "variable_scope", "version"),
]


def nothing(*args: Any, **kwargs: Any) -> None:
    """Does nothing."""


def global_variables_initializer(name: str | None = None) -> None:
    """Nothing that a session could run: weights have their first numbers as soon as they are there."""
    warn_once(
        "tf.global_variables_initializer does nothing: weights have numbers from the start, and keep what they have; "
        "session.run(tf.variables_initializer(model.weights)) draws them again"
    )


def executing_eagerly() -> bool:
    """True: functions of arrays give arrays at once."""
    return True


def name_scope(name: Any, *args: Any, **kwargs: Any) -> Any:
    """A context that changes nothing, as names of layers are theirs."""
    return nullcontext(name)


def timestamp(name: str | None = None) -> float:
    """Seconds since 1970."""
    return time.time()


variable_scope = name_scope
control_dependencies = after
enable_eager_execution = disable_eager_execution = enable_v2_behavior = disable_v2_behavior = nothing
reset_default_graph = no_op = local_variables_initializer = tables_initializer = nothing
_LEVELS = {name: getattr(_logging, name) for name in ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL")}
logging = SimpleNamespace(set_verbosity=nothing, get_verbosity=lambda: _logging.WARNING, **_LEVELS)
autograph = SimpleNamespace(set_verbosity=nothing, experimental=SimpleNamespace(do_not_convert=lambda func: func))


def _asserted(holds: Any, what: str) -> Any:
    def check(x: Any, y: Any, message: str | None = None, summarize: Any = None, name: str | None = None) -> None:
        if not holds(np.asarray(x), np.asarray(y)).all():
            raise ValueError(f"expected numbers {what}{'' if message is None else ': ' + message}. Received: {x}, {y}")

    return check


assert_equal = _asserted(np.equal, "that are equal")
debugging = SimpleNamespace(
    assert_equal=assert_equal,
    assert_greater=_asserted(np.greater, "the first of which are greater"),
    assert_greater_equal=_asserted(np.greater_equal, "the first of which are not less"),
    assert_less=_asserted(np.less, "the first of which are less"),
    assert_less_equal=_asserted(np.less_equal, "the first of which are not greater"),
    check_numerics=lambda tensor, message, name=None: tensor,
    assert_shapes=nothing,
    assert_rank=nothing,
    assert_all_finite=nothing,
    set_log_device_placement=nothing,
    enable_check_numerics=nothing,
    disable_traceback_filtering=nothing,
)


class _Numpy:
    """``tf.experimental.numpy``: NumPy's functions, which are those of ``keras.ops``, also on a tape."""

    experimental_enable_numpy_behavior = staticmethod(nothing)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(ops, name):
            raise AttributeError(f"minicnn has no tf.experimental.numpy.{name}: what keras.ops has is there")
        return getattr(ops, name)


experimental = SimpleNamespace(numpy=_Numpy())
sysconfig = SimpleNamespace(get_build_info=dict)
version = SimpleNamespace(VERSION="2.21.0")
