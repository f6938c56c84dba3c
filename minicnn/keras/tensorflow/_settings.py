"""Settings of TensorFlow that scripts make at their beginning: accepted, and without an effect here."""

from __future__ import annotations

import logging as _logging
import time
from contextlib import nullcontext
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn.differentiation import value_of
from minicnn.keras import ops
from minicnn.keras._called import is_trial
from minicnn.keras._names import Room
from minicnn.keras._operations import is_symbolic
from minicnn.keras._updates import after
from minicnn.keras._warning import warn_once
from minicnn.keras.tensorflow._functions import as_tensor
from minicnn.user_warnings import warn_user

__all__ = [
    "Assert",
    "VariableAggregation",
    "VariableSynchronization",
    "assert_equal",
    "init_scope",
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


def init_scope() -> Any:
    """A context that changes nothing, as there is no graph to leave."""
    return nullcontext()


VariableAggregation = Enum("VariableAggregation", "NONE SUM MEAN ONLY_FIRST_REPLICA", start=0)
VariableSynchronization = Enum("VariableSynchronization", "AUTO NONE ON_WRITE ON_READ", start=0)
variable_scope = name_scope
control_dependencies = after
enable_eager_execution = disable_eager_execution = enable_v2_behavior = disable_v2_behavior = nothing
reset_default_graph = no_op = local_variables_initializer = tables_initializer = nothing
_LEVELS = {name: getattr(_logging, name) for name in ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL")}
logging = Room("tf.logging", set_verbosity=nothing, get_verbosity=lambda: _logging.WARNING, **_LEVELS)
autograph = Room("tf.autograph", set_verbosity=nothing, experimental=SimpleNamespace(do_not_convert=lambda func: func))


def _has_numbers(*values: Any) -> bool:
    """Whether there is something to check: a model's tensors have no numbers, and those of a trial are zeros."""
    if is_trial.get():
        return False
    if any(map(is_symbolic, values)):
        warn_user("the assertions of tf.debugging check arrays: of a model's tensors, in its graph, they check nothing")
        return False
    return True


def _said(message: Any) -> str:
    return "" if message is None else f": {message}"


def _asserted(holds: Any, what: str) -> Any:
    def check(x: Any, y: Any, message: str | None = None, summarize: Any = None, name: str | None = None) -> None:
        if _has_numbers(x, y) and not holds(np.asarray(value_of(x)), np.asarray(value_of(y))).all():
            raise ValueError(f"expected numbers {what}{_said(message)}. Received: {value_of(x)}, {value_of(y)}")

    return check


def _of_each(holds: Any, what: str) -> Any:
    def check(x: Any, message: str | None = None, summarize: Any = None, name: str | None = None) -> None:
        if _has_numbers(x) and not holds(np.asarray(value_of(x))).all():
            raise ValueError(f"expected {what} numbers{_said(message)}. Received: {value_of(x)}")

    return check


def assert_near(
    x: Any, y: Any, rtol: Any = None, atol: Any = None, message: Any = None, summarize: Any = None, name: Any = None
) -> None:
    """|x - y| is at most atol + rtol · |y|, each ten times the least difference from 1 of the dtype unless told."""
    if not _has_numbers(x, y):
        return
    x, y = (np.asarray(as_tensor(value_of(each))) for each in (x, y))
    least = 10 * np.finfo(np.float64 if x.dtype == y.dtype == np.float64 else np.float32).eps
    rtol, atol = (least if each is None else each for each in (rtol, atol))
    if not (np.abs(x - y) <= atol + rtol * np.abs(y)).all():
        raise ValueError(f"expected numbers that are near{_said(message)}. Received: {x}, {y}")


def Assert(condition: Any, data: Any, summarize: Any = None, name: str | None = None) -> None:
    """An error that shows `data` where the condition is not true."""
    if _has_numbers(condition) and not np.asarray(value_of(condition)).all():
        raise ValueError(f"expected a condition that is true. Received: {condition}, with {data}")


def check_numerics(tensor: Any, message: str, name: str | None = None) -> Any:
    """The tensor, of which every number is finite; a model's as it is."""
    if _has_numbers(tensor) and not np.isfinite(np.asarray(value_of(tensor))).all():
        shape = np.shape(value_of(tensor))
        raise ValueError(f"{message}: expected finite numbers. Received: inf or nan in a tensor of shape {shape}")
    return tensor


def _assert_rank(x: Any, rank: Any, message: str | None = None, name: str | None = None) -> None:
    found = len(x.shape) if hasattr(x, "shape") else np.ndim(x)
    if found not in np.ravel(rank):
        raise ValueError(f"expected {rank} axes{_said(message)}. Received: {found}")


def _assert_type(tensor: Any, tf_type: Any, message: str | None = None, name: str | None = None) -> None:
    if np.dtype(tensor.dtype) != np.dtype(tf_type):
        raise TypeError(f"expected a tensor of {tf_type}{_said(message)}. Received: {tensor.dtype}")


def _assert_shapes(
    shapes: Any, data: Any = None, summarize: Any = None, message: str | None = None, name: str | None = None
) -> None:
    """Each tensor has its shape, in which None and "." are any size, and another text one size wherever it stands.

    Behind ``...`` or "*" at its beginning are the last sizes alone; what has no axes has one of size 1.
    """
    known: dict[Any, int] = {}
    for x, sizes in shapes.items() if isinstance(shapes, dict) else shapes:
        found, wanted = tuple(x.shape if hasattr(x, "shape") else np.shape(x)) or (1,), tuple(sizes) or (1,)
        if wanted[0] in (..., "*"):
            wanted = wanted[1:]
            found = found[max(len(found) - len(wanted), 0) :]
        pairs = zip(found, wanted, strict=False)
        if len(found) != len(wanted) or not all(_is_size(n, size, known) for n, size in pairs):
            raise ValueError(
                f"expected the shape {tuple(sizes)}{f', where {known}' if known else ''}"
                f"{_said(message)}. Received: {found}"
            )


def _is_size(n, wanted, known):
    """Whether n, which is None while that is open, is the size; what a name was first it is afterwards."""
    if n is None or wanted in (None, "."):
        return True
    if isinstance(wanted, str) and not wanted.isdecimal():
        return known.setdefault(wanted, n) == n
    return int(wanted) == n


assert_equal = _asserted(np.equal, "that are equal")
debugging = Room(
    "tf.debugging",
    assert_equal=assert_equal,
    assert_greater=_asserted(np.greater, "the first of which are greater"),
    assert_greater_equal=_asserted(np.greater_equal, "the first of which are not less"),
    assert_less=_asserted(np.less, "the first of which are less"),
    assert_less_equal=_asserted(np.less_equal, "the first of which are not greater"),
    Assert=Assert,
    assert_all_finite=check_numerics,
    assert_near=assert_near,
    assert_negative=_of_each(lambda x: x < 0, "negative"),
    assert_none_equal=_asserted(np.not_equal, "that are not equal"),
    assert_non_negative=_of_each(lambda x: x >= 0, "non-negative"),
    assert_positive=_of_each(lambda x: x > 0, "positive"),
    assert_rank=_assert_rank,
    assert_rank_in=_assert_rank,
    assert_shapes=_assert_shapes,
    assert_type=_assert_type,
    check_numerics=check_numerics,
    disable_check_numerics=nothing,
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


experimental = Room("tf.experimental", numpy=_Numpy())
sysconfig = Room("tf.sysconfig", get_build_info=lambda: {"is_cuda_build": False, "is_rocm_build": False})
version = Room("tf.version", VERSION="2.21.0")
