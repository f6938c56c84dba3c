"""``keras.backend``, often imported as ``K``: settings, and functions on arrays and on a model's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from importlib import import_module
from typing import Any

import numpy as np

from minicnn import utils
from minicnn.console import say
from minicnn.data.elements import EagerArray
from minicnn.differentiation import met, value_of
from minicnn.keras import _data_format, ops
from minicnn.keras._deferred import applied
from minicnn.keras._epsilon import epsilon as epsilon
from minicnn.keras._epsilon import set_epsilon as set_epsilon
from minicnn.keras._last_function import forgotten
from minicnn.keras._names import lookup
from minicnn.keras._operations import is_symbolic
from minicnn.keras._starred import starred
from minicnn.keras._warning import warn_once
from minicnn.keras.backend._functions import Later as _Later
from minicnn.keras.backend._functions import function as function
from minicnn.keras.backend._functions import gradients as gradients
from minicnn.keras.backend._functions import learning_phase as learning_phase
from minicnn.keras.backend._functions import placeholder as placeholder
from minicnn.keras.backend._functions import set_phase, stacked_input
from minicnn.layers.activations import stands_for

_OPS_OF_OTHER_NAMES = {"pow": "power", "permute_dimensions": "transpose"}


_BACKEND = "tensorflow"  # Keras 1's name for what `backend` gives


def backend() -> str:
    """\"tensorflow\", whose branch of older scripts, ``if K.backend() == "tensorflow"``, is the one that fits here."""
    return _BACKEND


def image_data_format() -> str:
    """What layers, generators and data sets of `minicnn.keras` take images to be that are not told."""
    return _data_format.current()


def set_image_data_format(data_format: str) -> None:
    """Where images have their channels, for all layers and generators that are made after it and are not told.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}

    Raises
    ------
    ValueError
        For anything else.
    """
    _data_format.set_current(data_format)


def image_dim_ordering() -> str:
    """Keras 1's name for `image_data_format`: "tf" for channels_last, "th" for channels_first."""
    warn_once("image_dim_ordering is a name of Keras 1: today it is image_data_format, with channels_last for tf")
    return next(old for old, today in _data_format.OLD.items() if today == _data_format.current())


def set_image_dim_ordering(dim_ordering: str) -> None:
    """Keras 1's name for `set_image_data_format`."""
    warn_once("set_image_dim_ordering is a name of Keras 1: today it is set_image_data_format")
    set_image_data_format(_data_format.or_current(dim_ordering))


def hard_sigmoid(x: Any) -> Any:
    """0.2 x + 0.5, cut off at 0 and 1, as in Keras 1 and 2; that of `keras.activations` is relu6(x + 3) / 6."""
    return ops.clip(0.2 * ops.convert_to_tensor(x) + 0.5, 0.0, 1.0)


floatx, clear_session = utils.floatx, utils.clear_session


def set_floatx(value: str) -> None:
    """Set the dtype that models compute in."""
    utils.set_floatx(value)


def cast_to_floatx(x: Any) -> Any:
    """x in the dtype that models compute in."""
    return ops.cast(x, floatx())


def get_value(x: Any) -> Any:
    """The value of a variable: an array, or a number."""
    return x.numpy() if hasattr(x, "numpy") else x


eval = get_value


def set_value(x: Any, value: Any) -> None:
    """Set a variable, such as ``model.optimizer.lr``; what `zeros` or `ones` made, too.

    Raises
    ------
    TypeError
        For anything else.
    """
    if isinstance(x, EagerArray) and np.ndim(x):
        x[...] = value_of(met(value))
        return
    if not hasattr(x, "assign"):
        raise TypeError(f"set_value takes a variable, such as model.optimizer.lr. Received: {type(x).__name__}")
    x.assign(value)


def batch_set_value(tuples: Sequence[tuple[Any, Any]]) -> None:
    """Set several variables."""
    for x, value in tuples:
        set_value(x, value)


def batch_get_value(tensors: Sequence[Any]) -> list[Any]:
    """The values of several variables."""
    return [get_value(tensor) for tensor in tensors]


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape; of a model's tensor with None for the batch."""
    return x.shape if isinstance(x, _Later) else ops.shape(x)


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(int_shape(x))


def set_learning_phase(value: int) -> None:
    """Have functions of `function` compute as in training (1) or use (0); layers and models are told by ``training=``.

    Parameters
    ----------
    value : {0, 1}
    """
    warn_once("set_learning_phase was dropped by Keras 3, and is for K.function alone here: pass training= to a model")
    set_phase(value)


def set_session(session: Any) -> None:
    """Does nothing."""
    warn_once("set_session was dropped by Keras 3, as there are no sessions any more")


def _get_available_gpus() -> list[str]:
    """The names of GPUs that can be used, by which scripts of Keras 2 ask whether there are any."""
    devices = import_module("minicnn.keras.tensorflow.config").list_physical_devices("GPU")
    return [device.name.replace("physical_device", "device") for device in devices]


def get_session() -> Any:
    """A session that computes nothing, as Keras 1 and 2 give."""
    return import_module("minicnn.keras.tensorflow.compat").Session()


def identity(x: Any, name: str | None = None) -> Any:
    """x, of which nothing is known any more."""
    return forgotten(x)


def print_tensor(x: Any, message: str = "", summarize: int = 3) -> Any:
    """x, which is printed where it has numbers."""
    if not is_symbolic(x):
        say(f"{message}{value_of(x)}")
    return x


def repeat(x: Any, n: int) -> Any:
    """Each row n times, (N, n, D) of (N, D), as `RepeatVector`; keras.ops.repeat is another function.

    Raises
    ------
    ValueError
        If x has another number of axes.
    """
    if (later := applied(repeat, (x, n), {})) is not None:
        return later
    if len(ops.shape(x)) != 2:
        raise ValueError(
            "K.repeat takes rows (N, D), and K.repeat_elements(x, n, axis) repeats along any axis. Received: shape "
            f"{tuple(ops.shape(x))}"
        )
    return ops.repeat(ops.expand_dims(x, 1), n, axis=1)


def flatten(x: Any) -> Any:
    """All numbers in one axis; of a model's tensor in one of each sample: means and sums over all are the same."""
    return batch_flatten(x) if is_symbolic(x) else np.reshape(x, -1)


def batch_flatten(x: Any) -> Any:
    """All numbers of each sample in one axis."""
    if (later := applied(batch_flatten, (x,), {})) is not None:
        return later
    return ops.reshape(x, (ops.shape(x)[0], -1))


def _along(name, default):
    """The function `name` of keras.ops, with the axis that it took in keras.backend."""
    of_ops = getattr(ops, name)

    def along(x: Any, axis: int | None = default, **kwargs: Any) -> Any:
        if name == "concatenate" and (stacked := stacked_input(x, axis)) is not None:
            return stacked
        if name in ("argmax", "argmin"):
            made = of_ops(x, axis=0 if axis is None else axis, **kwargs)  # in 64 bits, as in TensorFlow
            return made.astype("int64") if isinstance(made, np.ndarray) else made
        return of_ops(x, axis=axis, **kwargs)

    along.__name__, along.__doc__ = name, f"``{name}``, along axis {default} unless told."
    return along


# Functions whose arguments Keras 2 called otherwise than keras.ops, and what it called them.
_PAIRS = dict.fromkeys(
    ["equal", "not_equal", "greater", "greater_equal", "less", "less_equal", "maximum", "minimum", "dot"], ("x", "y")
)
_ARGUMENTS = _PAIRS | {
    **dict.fromkeys(("all", "any"), ("x", "axis")),
    "clip": ("x", "min_value", "max_value"),
    "concatenate": ("tensors", "axis"),
    "one_hot": ("indices", "num_classes"),
    "permute_dimensions": ("x", "pattern"),
    "pow": ("x", "a"),
    "tile": ("x", "n"),
}


def _with_arguments(function, names):
    """The function, which takes these names, too; those of keras.ops stand for the same places."""

    @wraps(function)
    def named(*args: Any, **kwargs: Any) -> Any:
        for name in names[len(args) :]:
            if name not in kwargs:
                break
            args = (*args, kwargs.pop(name))
        return function(*args, **kwargs)

    return named


for _name, _axis in {"argmax": -1, "argmin": -1, "concatenate": -1, "expand_dims": -1, "cumsum": 0}.items():
    globals()[_name] = _along(_name, _axis)
concatenate = _with_arguments(globals()["concatenate"], _ARGUMENTS["concatenate"])


def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """max(x, 0), with a slope `alpha` below 0."""
    if not alpha and max_value is None and not threshold:
        return ops.relu(x)
    return ops.relu(x, negative_slope=alpha, max_value=max_value, threshold=threshold)


stands_for(relu)


def _max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest along axes; of a metric's class numbers (N,) along the last those themselves, which were (N, 1)."""
    if getattr(x, "are_classes", False) and np.array_equal(axis, -1):
        return ops.expand_dims(x, -1) if keepdims else x
    return ops.max(x, axis=axis, keepdims=keepdims)


globals()["max"] = _max  # whose name is Python's own here


_find = lookup(
    __name__,
    [
        *("minicnn.keras.backend._numbers", "minicnn.keras._older_functions"),
        *("minicnn.keras.backend._choices", "minicnn.keras.backend._windows", "minicnn.keras.backend._volumes"),
        "minicnn.keras.ops",
    ],
    names={name: f"minicnn.keras.ops.{other}" for name, other in _OPS_OF_OTHER_NAMES.items()}
    | dict.fromkeys(("is_float_dtype", "is_int_dtype", "standardize_dtype"), "minicnn.keras._new_arrays"),
)


def __getattr__(name: str) -> Any:
    if name == "common":  # where Keras 2 has floatx, epsilon, normalize_data_format
        return import_module(__name__)
    if name in _ARGUMENTS:
        return globals().setdefault(name, _with_arguments(_find(name), _ARGUMENTS[name]))
    return import_module("minicnn.keras.tensorflow") if name in _IMPORTED else _find(name)


_IMPORTED = ("tf", "control_flow_ops", "functional_ops", "tensor_array_ops", "array_ops", "math_ops")  # as Keras 2 had
_NOT_ITS_OWN = ("Any", "EagerArray", "Sequence", "applied", "forgotten", "import_module", "is_symbolic", "lookup")
_NOT_ITS_OWN += ("met", "say", "set_phase", "stacked_input", "value_of", "warn_once", "wraps")
__all__ = [n for n in globals() if not n.startswith("_") and callable(globals()[n]) and n not in _NOT_ITS_OWN]
__all__ += starred(__name__)
