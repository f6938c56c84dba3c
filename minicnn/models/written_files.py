"""Subclasses with a `call` and files: a file holds the graph that was traced, and beside it which class traced it."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

from minicnn import layers
from minicnn.errors import FileFormatError
from minicnn.layers.input import Input
from minicnn.models.config import MAX_LAYERS, STRUCTURE, class_name_of, made, model_config, own_arguments
from minicnn.models.forms import layers_within
from minicnn.nested import leaves, mapped
from minicnn.own_parts import is_of_package
from minicnn.registry import custom_object, to_plain
from minicnn.user_warnings import warn_user

if TYPE_CHECKING:
    from minicnn.models.model import Model
    from minicnn.models.network import Network
    from minicnn.parameters import Weight

MAX_NAME = 200


def describe_subclass(model: Model) -> dict[str, Any] | None:
    """The class that wrote `call`, and its arguments, as plain data; None for any other model.

    The arguments are those of its `get_config`, where it has written one, else the attributes by their names.
    """
    cls = type(model)
    if not hasattr(model, "call"):
        return None
    plain = next(base for base in cls.__mro__ if not hasattr(base, "call"))
    if cls.get_config is not plain.get_config:
        own = {name: value for name, value in model.get_config().items() if name not in STRUCTURE}
    else:
        named = {p.name for p in signature(cls).parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        own = {name: vars(model)[name] for name in named - {"name"} if name in vars(model)}
    if any(isinstance(value, layers.Layer) for value in own.values()):
        return None
    try:
        return {"class_name": cls.__name__, "config": {name: to_plain(value) for name, value in own.items()}}
    except TypeError:  # an argument that no file holds, as a layer is one
        return None


def weights_by_name(model: Network) -> dict[str, Weight]:
    """As `Network.named_weights`, each weight once: a layer may be reached in several ways.

    Raises
    ------
    ValueError
        For weights beside the graph, as those of a teacher, which has no place in it.
    """
    _ = model.inputs  # NotBuiltError where there are none; no assert, which python -O leaves out
    names = {}
    for name, weight in model.named_weights().items():
        names.setdefault(weight, name)
    if others := [w.path for w in model.weights if w not in names]:
        raise ValueError(
            f"a file holds the weights that the outputs of a model come from, and model '{model.name}' has others in "
            "attributes, which no call reaches, but its own training steps do: write the parts that are its attributes "
            f"into files of their own, model.part.save(…). Received: {', '.join(others[:4])}"
            + (", …" if len(others) > 4 else "")
        )
    return {names[w]: w for w in model.weights}


def flags_within(model: Network) -> list[bool] | None:
    """Of each weight of the layers that other layers are made of, whether these are trainable: no config says so.

    None where there are no such layers. In order, as layers without a name of their own have another one in each
    session. Keras's files hold nothing of this: all are trained again there.
    """
    within = _weights_within(model)
    return [bool(w.layer.trainable) for w in within] if within else None


def set_flags_within(model: Network, training: Mapping[str, Any]) -> None:
    """Freeze, and let be trained, the layers that other layers are made of, as a file has it, if it does.

    Parameters
    ----------
    model : Network
    training : dict
        As `Snapshot.training`, with what `flags_within` gave as "trainable_within"; it may come from a stranger.

    Raises
    ------
    FileFormatError
        If it is anything else.
    """
    flags = training.get("trainable_within")
    if flags is None or not model.built:
        return
    within = _weights_within(model)
    if not isinstance(flags, list) or len(flags) != len(within):
        raise FileFormatError(
            f"'trainable_within' is a list of {len(within)} flags, one for each weight of the layers that others are "
            f"made of. Received: {str(flags)[:100]}"
        )
    owners = {weight.layer: bool(flag) for weight, flag in zip(within, flags, strict=True)}
    for layer in sorted(owners, key=lambda layer: -len(layer.weights)):  # what is made of layers sets theirs, too
        if layer.trainable is not owners[layer]:
            layer.trainable = owners[layer]


def _weights_within(model):
    """The weights whose layers are no model's own, but parts of layers."""
    listed = {*layers_within(model), *model.graph.layers}  # a script may have taken some off the list alone
    return [weight for weight in weights_by_name(model).values() if weight.layer not in listed]


def described(model: Network, whole: bool = False) -> dict[str, Any]:
    """`model_config`, and beside it, as "parts", what formats have to know that go by more than the graph."""
    within = (model, *layers_within(model))
    describe = next((part.parts_for_files for part in within if hasattr(part, "parts_for_files")), None)
    parts = None if describe is None else describe(model, {w: name for name, w in weights_by_name(model).items()})
    return model_config(model, whole) | ({} if parts is None else {"parts": parts})


def built_for(model: Network, shapes: Any) -> Network:
    """The model, built for inputs of shapes that a file names, whose first axis is that of the batch.

    Raises
    ------
    FileFormatError
        If these are no shapes, or its `call` cannot be run with symbolic tensors of them.
    """
    name = type(model).__name__
    if shapes is not None and hasattr(model, "call"):
        try:
            model._trace(_inputs_of(shapes, iter(range(MAX_LAYERS))))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise FileFormatError(
                f"the model of class {name} cannot be built for inputs of shape {str(shapes)[:100]} ({error}): make "
                "it, call it on data, and call load_weights with this file"
            ) from error
    return model


def _inputs_of(shapes, free):
    """The inputs of nested shapes, which may come from a stranger: as many as `free` gives numbers."""
    if isinstance(shapes, dict):
        return {key: _inputs_of(part, free) for key, part in shapes.items()}
    if not isinstance(shapes, list | tuple):
        raise TypeError(f"a shape is a list of numbers. Received: {str(shapes)[:100]}")
    if any(isinstance(part, list | tuple | dict) for part in shapes):
        return [_inputs_of(part, free) for part in shapes]
    if next(free, None) is None:
        raise ValueError(f"a model has at most {MAX_LAYERS} inputs")
    return Input(tuple(shapes[1:]))


def as_subclass(model: Model, described: Any) -> Model:
    """A model of the class that a file names, if it is known and traces the network of `model`; else `model`.

    Parameters
    ----------
    model : Model
        Of the file's graph, without its weights.
    described : dict
        What `describe_subclass` wrote; it may come from a stranger.

    Raises
    ------
    FileFormatError
        If it is anything else.
    """
    name, config = (described.get(key) if isinstance(described, dict) else None for key in ("class_name", "config"))
    if not isinstance(name, str) or len(name) > MAX_NAME or not isinstance(config, dict):
        raise FileFormatError(f"a subclass is described by its name and config. Received: {str(described)[:100]}")
    cls = _known(name)
    if cls is None:
        return model
    expected = list(layers_within(model))
    try:
        own = _made_again(cls, config | {"name": model.name})
        if own.graph is None:
            own._trace(mapped(lambda tensor: Input(tensor.shape[1:]), model.input_structure))
        found = list(layers_within(own))
        if [_kind(layer) for layer in found] != [_kind(layer) for layer in expected]:
            raise ValueError("its layers are others")
    except (TypeError, ValueError) as error:
        warn_user(
            f"the class {name}, with the arguments {str(config)[:100]}, does not make the file's network ({error}): a "
            "plain model takes its place; let get_config return all arguments of its __init__"
        )
        return model
    for mine, theirs in zip(found, expected, strict=True):
        mine.name = theirs.name
        if mine.trainable is not theirs.trainable:  # what is made of layers sets the flags of these
            mine.trainable = theirs.trainable
    return own


def classes_of_parts(described: Any) -> dict[str, type]:
    """The classes of one's own whose layers the class makes that a file names, by name; none if that is not known.

    Keras makes a subclass by its constructor, so that what its constructor calls needs not be given.
    """
    name, config = (described.get(key) if isinstance(described, dict) else None for key in ("class_name", "config"))
    cls = _known(name) if isinstance(name, str) and isinstance(config, dict) else None
    if cls is None:
        return {}
    try:
        model = _made_again(cls, config | {"name": None})
    except (TypeError, ValueError):  # which `as_subclass` tells of
        return {}
    found, waiting = dict[str, type](), [model]
    for part in waiting:
        if not is_of_package(type(part)):
            found[type(part).__name__] = type(part)
        inside = [each for each in leaves(list(vars(part).values())) if isinstance(each, layers.Layer)]
        waiting += [each for each in inside if each not in waiting]
    return found


def _made_again(cls, config):
    """The model of a config, by the class's own `from_config` if a user wrote one, as where a part is described."""
    writer = next(base for base in cls.__mro__ if "from_config" in vars(base))
    if is_of_package(writer):
        return made(cls, config)
    model = cls.from_config(own_arguments(cls, config))
    model.name = config["name"]
    return model


def _known(name) -> Any:
    """The class of a model with a `call` that is given or registered under a name; None if there is none."""
    cls = custom_object(name)
    if cls is None:
        try:
            cls = layers.base._registry.lookup(name)
        except ValueError:
            return None
    return cls if hasattr(cls, "call") and hasattr(cls, "structure") else None


def _kind(layer):
    """What the layers of two equal networks have in common: their classes, and the shapes of their weights."""
    return class_name_of(layer), [weight.shape for weight in layer.weights]
