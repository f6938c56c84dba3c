"""Models and files: what is taken from a model to be written, what is put into one that was read.

The formats are `minicnn.saving`'s; between them and the models stands its `Snapshot`.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Mapping
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import saving
from minicnn.callbacks import History
from minicnn.checks import is_integer
from minicnn.errors import FileFormatError, NonFiniteError
from minicnn.models import config as configs
from minicnn.models.config import written_config
from minicnn.models.forms import layers_within
from minicnn.models.network import Network
from minicnn.models.pictures import describe_pictures, put_pictures
from minicnn.models.written_compiled import compile_config, compiles_itself, hint, is_compiled, own_compile_config
from minicnn.models.written_files import (
    as_subclass,
    built_for,
    classes_of_parts,
    describe_subclass,
    described,
    flags_within,
    set_flags_within,
    weights_by_name,
)
from minicnn.own_parts import is_of_package
from minicnn.parameters import no_more_numbers, weights_from_file
from minicnn.registry import custom_object_scope
from minicnn.saving.files import check_arrays, named_in_errors, read_json
from minicnn.saving.keras.compiled import names_no_optimizer
from minicnn.saving.keras.config import model_from_keras
from minicnn.saving.keras.older import modernized
from minicnn.saving.snapshot import Reader, Snapshot
from minicnn.turns import weights_at_rest
from minicnn.user_warnings import brief, warn_user

if TYPE_CHECKING:
    from minicnn.models.model import Model

MOST_NUMBERS = 2**31  # of the weights that a model's text may ask for, which holds none

# ------------------------------------------------------------------------------------------------- from a model


def take(model: Model) -> Snapshot:
    """The model between two iterations; the arrays are copies.

    Raises
    ------
    NotBuiltError
        If the model has no weights yet.
    NonFiniteError
        If a weight holds NaN or infinite values.
    """
    with weights_at_rest:
        return _taken(model)


def _taken(model):
    weights, config = _finite_weights(model), described(model) | written_config(model)
    history = None if model.history is None else model.history.get_state()
    for values in [] if history is None else history["history"].values():  # many small arrays would fill the header
        values[:] = [value.item() if isinstance(value, np.generic) else value for value in values]
    training = {"seed": model.seed, "epochs_trained": model.epochs_trained, "history": history}
    if pictures := describe_pictures(model):
        training["pictures"] = pictures
    if subclass := describe_subclass(model):
        training["subclass"] = subclass
    if (flags := flags_within(model)) is not None:
        training["trainable_within"] = flags
    if (own := own_compile_config(model)) is not None:
        training["compile_config"] = own
    if model.compiled is None:
        return Snapshot(weights, config, training=training)
    training |= {"calls": model.engine.calls, "trainable": [layer.trainable for layer in layers_within(model)]}
    return Snapshot(weights, config, compile_config(model.compiled), _optimizer_state(model), training)


def take_weights(model: Model) -> Snapshot:
    """The weights alone; errors as for `take`."""
    return Snapshot(_finite_weights(model), described(model), weights_only=True)


def write(filepath: str | PathLike[str], snapshot: Snapshot, overwrite: bool) -> None:
    """Write a file in the format of its suffix; errors as for `Model.save`."""
    path = saving.files.checked_path(filepath)
    if not overwrite and path.exists():
        raise FileExistsError(f"there is a file already, and overwrite=False. Received: {str(path)!r}")
    saving.write(path, snapshot)


def _finite_weights(model):
    with weights_at_rest:
        arrays = {name: w.numpy() for name, w in weights_by_name(model).items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise NonFiniteError(f"weight '{name}' holds NaN or infinite values: a file of them would be of no use")
    return arrays


def _optimizer_state(model):
    state = model.engine.state_by_weight()
    if state is None:
        return None
    names = {w: name for name, w in weights_by_name(model).items()}
    slots = {slot: {names[w]: array for w, array in arrays.items()} for slot, arrays in state.items()}
    return {"iterations": model.optimizer.iterations, "slots": slots}


# ------------------------------------------------------------------------------------------------- into a model


def put(model: Model, file: Reader) -> None:
    """Let a model go on where it was when `file`, of a model like it, was written; errors as for `Model.restore`."""
    saved, own = file.compile["optimizer"], type(model.optimizer).__name__
    if saved["class_name"] != own:
        raise ValueError(
            f"the file's optimizer is {saved['class_name']}: compile the model as it was then. Received: {own}"
        )
    arrays = _read_weights(model, file)
    with _frozen_as(model, file.training):  # as Keras's formats list the state of what was trained, without names
        state = _read_optimizer(model, file)
    _assign(model, arrays)
    _set_optimizer(model, state)
    rate = saved["config"]["learning_rate"]
    if isinstance(rate, float) or isinstance(model.optimizer.learning_rate, float):  # a callback may have changed it
        model.optimizer.learning_rate = rate
    _set_position(model, file.training)


@contextmanager
def _frozen_as(model, training):
    """Freeze, and let be trained, what was so in a file; an error inside puts that back."""
    before = {"trainable": [layer.trainable for layer in layers_within(model)], "trainable_within": flags_within(model)}
    flags = training.get("trainable")
    if not isinstance(flags, list) or len(flags) != len(before["trainable"]):
        raise FileFormatError(
            f"a file to go on from has a list 'trainable' of {len(before['trainable'])} flags, one for each layer, as "
            f"minicnn writes it; load_model makes a new model of files of Keras. Received: {str(flags)[:100]}"
        )
    try:
        _set_flags(model, training)
        yield
    except Exception:
        _set_flags(model, before)
        raise


def _set_flags(model, training):
    for layer, flag in zip(layers_within(model), training["trainable"], strict=True):
        if layer.trainable is not bool(flag):  # what is made of layers sets the flags of these
            layer.trainable = bool(flag)
    set_flags_within(model, training)


def put_weights(model: Model, filepath: str | PathLike[str], skip_mismatch: bool, by_name: bool) -> None:
    """Read weights from a file; arguments and errors as for `Model.load_weights`."""
    kinds = dict.fromkeys(map(type, (model, *(layers_within(model) if model.built else ()))))
    own = {kind.__name__: kind for kind in kinds if not is_of_package(kind)}  # known, as they are here
    with custom_object_scope(own), saving.open_file(filepath) as file, named_in_errors(filepath):
        if not skip_mismatch and not by_name:
            with hint(FileFormatError, "the weights are not", "skip_mismatch=True leaves such layers as they are"):
                _assign(model, _read_weights(model, file))
            return
        expected = {name: w.shape for name, w in weights_by_name(model).items()}
        found = file.find(expected, described(model), by_name)
        fitting = _fitting(expected, {name: s.shape for name, s in found.items()}, skip_mismatch, by_name)
        _assign(model, {name: found[name].read() for name in fitting})


def _fitting(expected, found, skip_mismatch, by_name) -> list[str]:
    """The weights of those layers for which a file has just what is expected."""
    layers, stored, fitting = defaultdict(dict), defaultdict(dict), []
    for grouped, shapes in ((layers, expected), (stored, found)):
        for name, shape in shapes.items():
            grouped[name.rpartition("/")[0]][name] = shape
    for layer, own in layers.items():
        if by_name and layer not in stored:
            continue
        try:
            check_arrays(stored[layer], own)
            fitting += own
        except FileFormatError as error:
            if not skip_mismatch:
                raise
            warn_user(f"layer '{layer}' stays as it is: {error}")
    return fitting


def _read_weights(model, file):
    shapes = {name: w.shape for name, w in weights_by_name(model).items()}
    return file.weights(shapes, described(model))


def _read_optimizer(model, file):
    """The optimizer's state by weights' names, or None."""
    shapes = {name: w.shape for name, w in weights_by_name(model).items() if w.has_gradient}
    return file.optimizer(model.optimizer.all_slots, shapes, described(model, whole=True))


def _state_to_load(model, file):
    """The optimizer's state; None, with a warning as in Keras, if it is not that of what is trained here.

    Parts of layers were frozen in a file of Keras's, or a model's own `compile_from_config` makes another optimizer.
    """
    own, saved = type(model.optimizer).__name__, file.compile["optimizer"]["class_name"]
    if compiles_itself(model) and file.training and "calls" not in file.training:  # written before it was compiled
        return None
    if compiles_itself(model) and saved != own:
        warn_user(f"the optimizer begins anew: the file's is {saved}, and compile_from_config made one of class {own}")
        return None
    if not compiles_itself(model) and names_no_optimizer(file.compile_config):
        warn_user(
            "the file does not say which optimizer the model has, as Keras leaves it out once it has written the model "
            f"as .h5: it is compiled with Keras's default, {own}, whose state begins anew; compile it with another one"
        )
        return None
    try:
        return _read_optimizer(model, file)
    except FileFormatError as error:
        may_differ = compiles_itself(model) or (not file.training and flags_within(model) is not None)
        if not may_differ or "state does not fit" not in str(error):
            raise
        warn_user(f"the optimizer begins anew, maybe as parts of layers were frozen when the file was written: {error}")
        return None


def _assign(model, arrays):
    weights = {name: weight for name, weight in weights_by_name(model).items() if name in arrays}
    for name, weight in weights.items():
        weight.check(arrays[name])
        if arrays[name].dtype.kind != "f" == weight.dtype.kind and weight.shape:  # a count may be a whole number
            raise FileFormatError(f"weights are floating-point numbers. Received: '{name}' of {arrays[name].dtype}")
        if arrays[name].dtype.itemsize > weight.dtype.itemsize:
            with np.errstate(over="ignore"):
                arrays[name] = arrays[name].astype(weight.dtype)
            if not np.isfinite(arrays[name]).all():
                raise FileFormatError(f"weight '{name}' holds numbers that are too large for {weight.dtype}")
    with weights_at_rest:
        for name, weight in weights.items():
            weight.assign(arrays[name])


def _set_optimizer(model, state):
    if state is not None:
        weights = weights_by_name(model)
        slots = {slot: {weights[n]: a for n, a in arrays.items()} for slot, arrays in state["slots"].items()}
        model.engine.set_state(slots)
        model.optimizer.iterations, model.optimizer.owner = state["iterations"], weakref.ref(model)


def _set_position(model, training):
    """Take over the random numbers' position."""
    names = ("seed", "epochs_trained", "calls")
    numbers = {name: training[name] for name in names if training.get(name) is not None}
    for name, value in numbers.items():
        if not is_integer(value) or not 0 <= value < 2**63:
            raise FileFormatError(f"'{name}' is a number from 0 to 2**63 - 1. Received: {str(value)[:100]}")
    model.seed = numbers.get("seed", model.seed)
    model.epochs_trained = numbers.get("epochs_trained", model.epochs_trained)
    if model.compiled is not None:
        model.engine.calls = numbers.get("calls", 0)


# ---------------------------------------------------------------------------------------------------- new models


def model_from_config(config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The model, with new weights, that `minicnn.models.config.model_config` described.

    Raises
    ------
    ValueError, TypeError
        If it is not a model's.
    """
    with custom_object_scope(custom_objects), configs.sharing():
        model = configs.layer_from_config(config)
    if not isinstance(model, Network):
        raise ValueError(f"expected the config of a model. Received: that of a {type(model).__name__}")
    configs.check_calls(model)
    return model


def model_from_json(json_string: str | bytes | bytearray, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The model, with new weights, that `Model.to_json`, or that of Keras 1, 2 or 3, described.

    Parameters
    ----------
    json_string : str
    custom_objects : dict, optional
        Name → class: layers, initializers, … of one's own, unless they are registered (`layers.register`); name, its
        own or the layer's, → function of a Lambda layer.

    Raises
    ------
    FileFormatError
        If the text does not describe a model, or one of more than 2³¹ numbers.
    """
    if not isinstance(json_string, str | bytes | bytearray):
        raise TypeError(
            "model_from_json takes the text that to_json gives, and from_config of a model's class a dict. "
            f"Received: {json_string!r}"
        )
    with custom_object_scope(custom_objects), named_in_errors("the JSON text"):
        described = read_json(json_string)
        if not isinstance(described.get("class_name"), str):
            raise ValueError(f"a model's text has a 'class_name' and a 'config'. Received: {brief(described)}")
        if "keras_version" in described or "module" in described or isinstance(described.get("config"), list):
            described = model_from_keras(modernized(described, described.get("keras_version")))
        with no_more_numbers(MOST_NUMBERS, "a text of a model may ask for"):
            return model_from_config(described)


def _model_of(file):
    """The model of a file's config, also where only the class is known that makes its parts."""
    try:
        return model_from_config(file.config)
    except ValueError:
        classes = classes_of_parts(file.training.get("subclass"))
        if not classes:
            raise
        with custom_object_scope(classes):
            return model_from_config(file.config)


def load_model(
    filepath: str | PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Model:
    """The model that a file holds, ready to go on training where it was.

    Classes are looked up by name among the library's own, those registered with `layers.register` and its like, and
    `custom_objects`; nothing is imported or executed from a file. See docs/files.md.

    Parameters
    ----------
    filepath : str or path-like
        A file that `Model.save` or Keras has written; the suffix decides the format.
    custom_objects : dict, optional
        Name → class of layers, losses, metrics, … of one's own; and function of a Lambda layer, by its own name or the
        layer's.
    compile : bool, default True
        Whether to compile the model as it was, and to take over the optimizer's state.
    safe_mode : bool
        Only True, Keras's default.

    Raises
    ------
    FileFormatError
        If the file is damaged, not what its suffix says, from a newer version, or names a class that is not known.
    ValueError
        For an unknown suffix.
    OSError
        If the file cannot be read.
    """
    if not isinstance(compile, bool | np.bool_ | int | None):
        raise TypeError(f"compile is True or False. Received: compile={compile!r}")
    if safe_mode is not True:
        raise ValueError(f"files are never trusted: safe_mode=True. Received: safe_mode={safe_mode!r}")
    with custom_object_scope(custom_objects), saving.open_file(filepath, True) as file, named_in_errors(filepath):
        if file.config is None:
            raise FileFormatError("the file holds weights alone: build the model and call load_weights")
        with weights_from_file(file.numbers):
            model = built_for(_model_of(file), file.input_shapes)
        if "subclass" in file.training:
            with weights_from_file(file.numbers):
                model = as_subclass(model, file.training["subclass"])
        if model.built:
            _assign(model, _read_weights(model, file))
        set_flags_within(model, file.training)
        if not model.built and file.numbers:
            raise FileFormatError(
                "the file does not say for inputs of which shape its weights are: make the model, call it on data, and "
                f"call load_weights with this file. Received: a model of class {type(model).__name__}"
            )
        if compile and is_compiled(model, file) and model.built:
            _set_optimizer(model, _state_to_load(model, file))
        _set_position(model, file.training)
        if file.training.get("history") is not None:
            model.history = History()
            model.history.set_state(file.training["history"])
        if "pictures" in file.training:
            put_pictures(model, file.training["pictures"])
    return model
