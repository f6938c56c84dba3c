"""Names of ``tf`` that TensorFlow 1 had and later ones have not: the functions of today, and updates of variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import import_module
from operator import add, sub
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn.console import say
from minicnn.differentiation import met, value_of
from minicnn.keras._operations import is_symbolic
from minicnn.keras._updates import updated
from minicnn.keras._warning import warn_once
from minicnn.keras.layers._of_keras_1 import Beginning

# TensorFlow 1's name → today's, as a path below ``tf``.
TODAY = {
    **{"mul": "multiply", "sub": "subtract", "neg": "negative", "pack": "stack", "unpack": "unstack"},
    **{"select": "where", "batch_matmul": "matmul", "initialize_all_variables": "global_variables_initializer"},
    "initialize_variables": "variables_initializer",
    **{name: f"math.{name}" for name in ("is_nan", "is_inf", "is_finite", "rsqrt", "log1p", "lgamma", "erf")},
    **{name: f"math.{name}" for name in ("bincount", "confusion_matrix", "count_nonzero", "erfc")},
    **{f"segment_{name}": f"math.segment_{name}" for name in ("max", "mean", "min", "prod", "sum")},
    **{f"unsorted_segment_{name}": f"math.unsorted_segment_{name}" for name in ("max", "mean", "min", "prod", "sum")},
    **{f"matrix_{name}": f"linalg.{name}" for name in ("band_part", "diag", "diag_part")},
    **{
        "matrix_inverse": "linalg.inv",
        "matrix_determinant": "linalg.det",
        "matrix_transpose": "linalg.matrix_transpose",
    },
    **{"global_norm": "linalg.global_norm", "lin_space": "linspace", "multinomial": "random.categorical"},
    **{f"random_{name}": f"random.{name}" for name in ("normal", "uniform", "shuffle")},
    "truncated_normal": "random.truncated_normal",
    "random_crop": "image.random_crop",
    "extract_image_patches": "image.extract_patches",
    **{name: f"nn.{name}" for name in ("depth_to_space", "space_to_depth")},
    **{name: f"io.{name}" for name in ("FixedLenFeature", "VarLenFeature", "parse_example", "parse_single_example")},
    **{name: f"io.{name}" for name in ("decode_raw", "matching_files", "parse_tensor", "read_file", "write_file")},
}
__all__ = ["Graph", "Print", "assign", "assign_add", "assign_sub", "div", "get_default_graph", "list_local_devices"]
__all__ += ["scatter_add", "scatter_sub", "scatter_update", "variables_initializer"]


def of_today(name: str) -> Any:
    """What a name of `TODAY` stands for.

    Parameters
    ----------
    name : str
    """
    warn_once(f"tf.{name} is a name of TensorFlow 1: today it is tf.{TODAY[name]}")
    room, _, own = TODAY[name].rpartition(".")
    return getattr(import_module(f"minicnn.keras.tensorflow{'.' * bool(room)}{room}"), own)


def div(x: Any, y: Any, name: str | None = None) -> Any:
    """x / y; of whole numbers the whole part, rounded down."""
    warn_once("tf.div is a name of TensorFlow 1: today it is tf.divide, and tf.math.floordiv of whole numbers")
    pair = [None if is_symbolic(each) else np.asarray(getattr(each, "value", each)) for each in (x, y)]
    are_whole = all(each is not None and each.dtype.kind in "iu" for each in pair)
    return getattr(import_module("minicnn.keras.tensorflow"), "floordiv" if are_whole else "divide")(x, y)


def Print(
    input_: Any,
    data: Sequence[Any],
    message: str | None = None,
    first_n: int | None = None,
    summarize: int | None = None,
    name: str | None = None,
) -> Any:
    """`input_`, where `data` are printed, if they are numbers.

    Parameters
    ----------
    input_ : object
    data : sequence of arrays
    message : str, optional
    first_n, summarize, name : optional
        Not used.
    """
    if not any(map(is_symbolic, data)):
        say(f"{message or ''}{' '.join(str(np.asarray(getattr(each, 'value', each))) for each in data)}")
    return input_


class Graph:
    """A graph of TensorFlow 1, which holds nothing: layers are in models."""

    def as_default(self) -> Any:
        """A context that changes nothing."""
        return nullcontext(self)

    def finalize(self) -> None:
        """Does nothing."""


def get_default_graph() -> Graph:
    """A `Graph`, for ``with graph.as_default():``."""
    return Graph()


def list_local_devices(*args: Any, **kwargs: Any) -> list[Any]:
    """What computes, as TensorFlow 1's ``device_lib`` lists it: one processor."""
    return [SimpleNamespace(name="/device:CPU:0", device_type="CPU", memory_limit=0)]


def variables_initializer(var_list: Sequence[Any], name: str | None = None) -> Beginning:
    """What draws weights again when a session runs it: ``session.run(tf.variables_initializer(layer.weights))``.

    Parameters
    ----------
    var_list : sequence of Weight
    name : optional
        Not used.
    """
    return Beginning(var_list)


def _update(method: str) -> Callable[..., Any]:
    """``tf.assign(ref, value)`` and its like, which are `updated`."""
    combine: Callable[..., Any] = {"assign": lambda old, new: new, "assign_add": add, "assign_sub": sub}[method]

    def update(ref: Any, value: Any, validate_shape: Any = None, use_locking: Any = None, name: Any = None) -> Any:
        return updated(ref, combine(np.asarray(value_of(met(ref))), value_of(met(value))))

    update.__name__ = update.__qualname__ = method
    update.__doc__ = f"``variable.{method}(value)``."
    return update


def _scatter(method: str) -> Callable[..., Any]:
    """``tf.scatter_sub(ref, indices, updates)`` and its like: updates of rows of a variable."""

    def update(ref: Any, indices: Any, updates: Any, use_locking: Any = None, name: Any = None) -> Any:
        if not hasattr(ref, method):
            raise TypeError(f"tf.{method.replace('_nd', '')} changes a tf.Variable. Received: {type(ref).__name__}")
        return getattr(ref, method)(np.asarray(indices)[..., None], updates)

    update.__name__ = update.__qualname__ = method.replace("_nd", "")
    update.__doc__ = f"``variable.{method}`` of whole rows: ``updates`` (…, the variable's other axes) for ``indices``."
    return update


assign, assign_add, assign_sub = map(_update, ("assign", "assign_add", "assign_sub"))
scatter_add, scatter_sub, scatter_update = map(_scatter, ("scatter_nd_add", "scatter_nd_sub", "scatter_nd_update"))
