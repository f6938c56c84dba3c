"""Small things that scripts take from ``keras.utils``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import wraps
from typing import Any

import numpy as np

from minicnn import images, library_names, own_parts
from minicnn import layers as core_layers
from minicnn import utils as core
from minicnn.checks import check_choice
from minicnn.graph import Tensor
from minicnn.keras._translation import renamed
from minicnn.keras._warning import warn_once
from minicnn.layers.base import register as register_layer
from minicnn.named_functions import FunctionName, function_named
from minicnn.registry import custom_object
from minicnn.saving.keras import names
from minicnn.user_warnings import warn_user


def to_categorical(
    y: Any, num_classes: int | None = None, dtype: Any = None, nb_classes: int | None = None
) -> np.ndarray:
    """`minicnn.utils.to_categorical`; numbers with a fraction are cut off, as Keras does, with a warning.

    Parameters
    ----------
    y : array-like of numbers, or of whole numbers as text, such as parts of names of files, (N,) or (N, 1)
    num_classes : int, optional
    dtype : optional
        Default: float32.
    nb_classes : int, optional
        Keras 1's name for `num_classes`.
    """
    numbers, num_classes = np.asarray(y), num_classes if nb_classes is None else nb_classes
    numbers = np.array(numbers.tolist()) if numbers.dtype == object and numbers.size else numbers  # of a table's column
    numbers = _of_text(numbers) if numbers.dtype.kind in "US" else numbers
    if numbers.dtype.kind == "f" and np.isfinite(numbers).all() and (numbers != np.trunc(numbers)).any():
        place = np.flatnonzero(numbers != np.trunc(numbers))[0]
        warn_user(f"to_categorical cuts class numbers off to integers. Received: {numbers.reshape(-1)[place]}")
        numbers = np.trunc(numbers)
    rows = core.to_categorical(numbers, num_classes or None)  # 0 means as many as there are, as in Keras
    return rows if dtype is None else rows.astype(dtype)


def _of_text(texts):
    try:
        return texts.astype(np.int64)
    except ValueError as error:
        raise ValueError(
            "class numbers that are text are whole numbers: np.unique(y, return_inverse=True)[1] makes numbers of "
            f"names. Received: {', '.join(map(repr, texts.reshape(-1)[:3].tolist()))}"
        ) from error


def probas_to_classes(y_pred: Any) -> np.ndarray:
    """Class numbers (N,) of probabilities (N, C), or (N, 1) of the second of two classes: Keras 1's function."""
    y_pred = np.asarray(y_pred)
    return categorical_probas_to_classes(y_pred) if y_pred[0].size > 1 else (y_pred.reshape(-1) > 0.5).astype(int)


def categorical_probas_to_classes(p: Any) -> np.ndarray:
    """Class numbers (N,) of probabilities or one-hot rows (N, C): Keras 1's function."""
    return np.argmax(p, axis=1)


class Progbar:
    """A progress bar that is moved by hand.

    Parameters
    ----------
    target : int or None
        How many steps there are.
    width, interval, unit_name :
        Accepted for Keras's sake, but for `width`, the number of characters.
    verbose : {0, 1, 2}
        0: nothing is shown.
    stateful_metrics : iterable of str, optional
        Names of values that are shown as they are instead of averaged.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        self.target, self.width, self.verbose = target, width, verbose
        self.stateful_metrics: set[str] = set(stateful_metrics or ())
        self._seen, self._sums = 0, {}

    def update(
        self, current: int, values: Iterable[tuple[str, Any]] | None = None, finalize: bool | None = None
    ) -> None:
        """Show that `current` steps are done; of `values`, pairs of name and number, the averages."""
        steps = max(current - self._seen, 1)
        for name, value in values or ():
            total, count = self._sums.get(name, (0.0, 0))
            new = (float(value), 1) if name in self.stateful_metrics else (total + float(value) * steps, count + steps)
            self._sums[name] = new
        self._seen = current
        if not self.verbose:
            return
        done = finalize or (self.target is not None and current >= self.target)
        part = self.width if self.target is None else int(self.width * current / max(self.target, 1))
        shown = " - ".join(f"{name}: {total / max(count, 1):.4f}" for name, (total, count) in self._sums.items())
        line = f"\r{current}/{self.target or '?'} [{'=' * part}{'.' * (self.width - part)}]{' - ' * bool(shown)}{shown}"
        sys.stdout.write(line + ("\n" if done else ""))
        sys.stdout.flush()

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None) -> None:
        """Go `n` steps on."""
        self.update(self._seen + n, values)


def function_called(name: str, role: str) -> Any:
    """The function of a file's part, of which the file has the name alone: from ``custom_objects=``.

    Parameters
    ----------
    name : str
    role : str
        "an activation", …: what the model has it as, for the message.

    Raises
    ------
    ValueError
        If it is not there.
    """
    known = function_named(name) if isinstance(name, FunctionName) else custom_object(name)
    function = known or get_custom_objects().get(name) or function_named(name)
    if function is None:
        raise ValueError(
            f"the model has a function as {role}, which no file holds: load_model(…, custom_objects={{'{name}': "
            f"{name}}}). Received: no function of this name"
        )
    return function


@wraps(images.image_dataset_from_directory)
def image_dataset_from_directory(*args: Any, format: str = "tf", **kwargs: Any) -> Any:
    """`minicnn.images.image_dataset_from_directory`; its format is Keras's "tf", whose methods a `Dataset` has."""
    check_choice("format", format, ("tf",))
    kwargs = renamed("image_dataset_from_directory", kwargs, {"smart_resize": "crop_to_aspect_ratio"})
    return images.image_dataset_from_directory(*args, **kwargs)


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """(x, y, sample_weight) without those that are None at the end."""
    return (x, y, sample_weight) if sample_weight is not None else (x, y) if y is not None else x


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight), None for what is not there.

    Raises
    ------
    ValueError
        For more than three parts, or none.
    """
    parts = tuple(data) if isinstance(data, list | tuple) else (data,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"a batch is x, (x,), (x, y) or (x, y, sample_weight). Received: {len(parts)} parts")
    return (*parts, None, None)[:3]


class _CustomObjects(MutableMapping):
    """What files may name besides: adding a class registers it."""

    def __init__(self):
        self._own: dict[str, Any] = {}

    def __getitem__(self, name):
        return self._own[name]

    def __setitem__(self, name, value):
        self._own[name] = value
        if isinstance(value, type) and hasattr(value, "from_config"):
            register_keras_serializable(name=name)(value)

    def __delitem__(self, name):
        del self._own[name]

    def __iter__(self):
        return iter(self._own)

    def __len__(self):
        return len(self._own)


_OBJECTS = _CustomObjects()


def get_custom_objects() -> MutableMapping[str, Any]:
    """The classes and functions that files may name."""
    return _OBJECTS


def named_by_user(name: str, default: Any = None) -> Any:
    """What a script means by a name beside the library: as Keras, nothing registered that is called as one of its own.

    Parameters
    ----------
    name : str
    default : object
        What it means where there is nothing; a name in `get_custom_objects` that somebody has set there is meant.
    """
    found = _OBJECTS.get(name, default)
    is_registered = any(thing is found for thing in own_parts.REGISTERED.values())
    return default if is_registered and library_names.is_taken(name) else found


def with_registered(custom_objects: Mapping[str, Any] | None) -> Any:
    """`custom_objects`, and what is registered beside them."""
    own = {} if custom_objects is None else custom_objects
    return {**_OBJECTS, **own} if isinstance(own, Mapping) else own  # whatever takes it says what is wrong


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Any], Any]:
    """Class decorator: let files name the class, as ``minicnn.layers.register`` does."""

    def decorate(thing: Any) -> Any:
        key = f"{package}>{name or thing.__name__}"
        own_parts.REGISTERED.pop(key, None)  # the last one of a name is what the name alone means
        own_parts.REGISTERED[key] = thing
        module = sys.modules["minicnn"]
        for kind in ("layers", "losses", "metrics", "optimizers", "regularizers", "initializers", "constraints"):
            home = getattr(module, kind)
            base = getattr(home, kind.capitalize()[:-1] if kind != "losses" else "Loss", None)
            if isinstance(thing, type) and isinstance(base, type) and issubclass(thing, base):
                getattr(home, "register", register_layer)(thing)
        bare = name or thing.__name__  # alone, one of the library's names is the library's
        _OBJECTS._own[key if library_names.is_taken(bare) else bare] = thing
        names.REGISTERED[getattr(thing, "__name__", bare)] = key
        return thing

    return decorate


def get_registered_name(obj: Any) -> str:
    """ "package>name" of a class or function that was registered; its own name otherwise."""
    return next((name for name, thing in own_parts.REGISTERED.items() if thing is obj), obj.__name__)


def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """What a scope knows, was registered as "package>name", or is in these dicts; None where there is nothing."""
    if (in_scope := custom_object(name)) is not None:
        return in_scope
    places = (get_custom_objects(), custom_objects or {}, module_objects or {}, own_parts.REGISTERED)
    return next((place[name] for place in places if name in place), None)


def convert_kernel(kernel: Any) -> np.ndarray:
    """A kernel (…, channels, filters) turned round in all spatial axes, as Theano's convolutions had it."""
    kernel = np.asarray(kernel)
    if not 3 <= kernel.ndim <= 5:
        raise ValueError(f"a kernel has 3 to 5 axes. Received: shape {kernel.shape}")
    return np.copy(np.flip(kernel, tuple(range(kernel.ndim - 2))))


_TURNED = core_layers.Conv1D, core_layers.Conv2D, core_layers.Conv2DTranspose, core_layers.Conv3D


def convert_all_kernels_in_model(model: Any) -> None:
    """Turn round the kernels of all convolutions over images, as `convert_kernel` does: between Theano's and others."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            convert_all_kernels_in_model(layer)
        elif isinstance(layer, _TURNED):
            layer.set_weights([convert_kernel(layer.get_weights()[0]), *layer.get_weights()[1:]])


def multi_gpu_model(model: Any, gpus: Any = None, cpu_merge: bool = True, cpu_relocation: bool = False) -> Any:
    """The model: on one device it computes the same."""
    warn_once(
        "multi_gpu_model was dropped by Keras: the model trains on one device, and several processes train one with "
        "keras.distribution.DataParallel()"
    )
    return model


def print_summary(model: Any, line_length: int | None = None, positions: Any = None, print_fn: Any = None) -> None:
    """``model.summary()``."""
    warn_once("print_summary was dropped by Keras: today it is model.summary()")
    model.summary(line_length=line_length, positions=positions, print_fn=print_fn)


def get_source_inputs(tensor: Tensor) -> list[Tensor]:
    """The inputs that a model's tensor is made from, in the order in which its layers take them."""
    found, seen, todo = [], set[int](), [tensor]
    while todo:
        made = todo.pop()
        if id(made) in seen:
            continue
        seen.add(id(made))
        todo += reversed(made.node.inputs)
        if not made.node.inputs:
            found.append(made)
    return found
