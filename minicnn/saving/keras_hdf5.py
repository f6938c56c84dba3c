"""Keras's old whole-model files (.h5): JSON in attributes, weights in a group for each layer.

Root attributes ``model_config`` and ``training_config``; the group ``model_weights`` has the attribute ``layer_names``,
each layer's group the attribute ``weight_names``: paths inside it. The group ``optimizer_weights`` has ``weight_names``
too. Names are followed, not fixed paths: they differ from Keras to Keras. A file of weights alone has the content of
``model_weights`` at its root.

Trainable weights come before the others, also in a nested model.
"""

import json
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import optimizers
from minicnn.errors import FileFormatError
from minicnn.hints import Config, Shape
from minicnn.saving import hdf5, kinds
from minicnn.saving.files import read_json
from minicnn.saving.formats import Format
from minicnn.saving.keras.absent import warn_of_absent
from minicnn.saving.keras.attributes import find_in_groups
from minicnn.saving.keras.compiled import compile_from_keras, compile_to_keras
from minicnn.saving.keras.config import model_from_keras, model_to_keras, output_names, without_modules
from minicnn.saving.keras.groups import has_layers
from minicnn.saving.keras.older import modernized, without_slashes
from minicnn.saving.keras.state import frozen_names, optimizer_arrays, optimizer_state
from minicnn.saving.keras.structure import (
    is_functional,
    is_model,
    layers_of,
    occurrences,
    parts_of,
    trained_first,
)
from minicnn.saving.older_names import MARKED, told_apart, users_of_keras_3
from minicnn.saving.snapshot import Reader as BaseReader
from minicnn.saving.snapshot import Snapshot, Stored, training_text

KERAS_VERSION = "3.0.0"  # whose format is written
OWN_OPTIMIZER = "minicnn_optimizer_weights"
ORDER = "minicnn_order"  # says of a file of minicnn's that layers in users' classes are in Keras's order
TOP_LEVEL = "top_level_model_weights"
RESERVED = (".", "..", TOP_LEVEL)  # groups that are there without a layer
ATTRIBUTE_LIMIT = 64_512  # bytes of a list in one attribute; Keras numbers the parts of a longer one


# ------------------------------------------------------------------------------------------------------- writing


def write(path: Path, snapshot: Snapshot) -> None:
    """Write a model, or its weights alone, to a new file."""
    with hdf5.new_file(path, ".h5") as file:
        if snapshot.weights_only:
            _write_weights(file, snapshot)
            return
        file.attrs["keras_version"], file.attrs["backend"], file.attrs[MARKED] = KERAS_VERSION, "tensorflow", 1
        config = model_to_keras(snapshot.config, keeps_sharing=False)
        warn_of_absent(config)
        file.attrs["model_config"] = json.dumps(without_modules(config))
        if snapshot.training:
            file.attrs["minicnn_training"] = training_text(snapshot.training)
        _write_weights(file.create_group("model_weights"), snapshot)
        if snapshot.compile is not None:
            training = compile_to_keras(snapshot.compile)
            optimizer = training.pop("optimizer")
            name = optimizer["registered_name"] or optimizer["class_name"]
            training["optimizer_config"] = {"class_name": name, "config": optimizer["config"]}
            file.attrs["training_config"] = json.dumps(training)
            # Not "optimizer_weights": Keras 3 (3.15.1) cannot train a model from a file that has this group.
            _write_arrays(file.create_group(OWN_OPTIMIZER), dict(optimizer_arrays(snapshot)))


def _write_weights(group, snapshot):
    node = parts_of(snapshot.config, by_class=snapshot.weights_only)
    named = [entry["name"] for entry in layers_of(snapshot.config) if _is_a_layer(entry, snapshot.config)]
    layers = list(dict.fromkeys(named))  # one may stand in a Sequential several times
    layers = [layer["name"] for layer in node["layers"]] if _is_users(node) else layers
    for layer in layers:
        hdf5.check_name(layer, RESERVED)
    _write_names(group, "layer_names", layers)
    group.attrs["backend"], group.attrs["keras_version"], group.attrs[ORDER] = "tensorflow", KERAS_VERSION, "attributes"
    grouped = _places_by_layer(snapshot.config, snapshot.weights, node)
    for layer in [*layers, TOP_LEVEL]:
        own = group.create_group(layer.encode())  # bytes: another layout for letters outside ASCII is avoided
        _write_arrays(own, {path: snapshot.weights[name] for path, name in grouped.get(layer, ())})


def _is_users(node) -> bool:
    """Whether layers go by the attributes of a user's model."""
    return node is not None and node["form"] == "model"


def _places_by_layer(config, names, node) -> dict:
    """Layer → (path, name) of its weights in the order of these files, where they stand wherever they occur.

    What a model has itself is under `TOP_LEVEL`. Of the node's layers, where there is one, the order is Keras's.
    """
    in_node = {layer["name"]: trained_first(layer) for layer in node["layers"]} if node is not None else {}
    if _is_users(node):
        grouped = in_node | {TOP_LEVEL: [name for name, _ in node["weights"]]}
        return {layer: [(name, name) for name in own if name in names] for layer, own in grouped.items() if own}
    frozen, grouped = frozen_names(config, names, node), {}
    for path, name in occurrences(config, names):
        grouped.setdefault(path.partition("/")[0], []).append((path, name))
    for layer, places in grouped.items():
        order = {name: number for number, name in enumerate(in_node.get(layer, ()))}
        places.sort(key=lambda place: (place[1] in frozen, order.get(place[1], 0)))
    return grouped


def _is_a_layer(entry, config) -> bool:
    """Keras counts the input among a functional model's layers, not among a Sequential's."""
    return entry["class_name"] != "InputLayer" or is_functional(config)


def _write_arrays(group, arrays):
    for part in {part for name in arrays for part in name.split("/")}:  # layers of models in the model
        hdf5.check_name(part, RESERVED[:2])
    _write_names(group, "weight_names", list(arrays))
    for name, array in arrays.items():
        group[name.encode()] = array


def _write_names(group, attribute, names):
    """A list of texts; in numbered parts if it is too long for one attribute."""
    texts = [name.encode() for name in names]
    width = max((len(text) for text in texts), default=1)
    size = max(1, ATTRIBUTE_LIMIT // width)
    parts = [np.array(texts[i : i + size], f"S{width}") for i in range(0, len(texts), size)] or [np.zeros(0)]
    for index, part in enumerate(parts):
        group.attrs[attribute if len(parts) == 1 else f"{attribute}{index}"] = part


# ------------------------------------------------------------------------------------------------------- reading


class Reader(BaseReader):
    """A file of a model, or of weights alone."""

    def __init__(self, path: Path) -> None:
        self.root: hdf5.Group = hdf5.with_slashes(hdf5.read(hdf5.file_content(path)))
        self.numbers: int = hdf5.count_numbers(self.root)
        described = self.root.attributes.get("model_config")
        if described is None:
            return
        model = self._told_apart(read_json(_text(described, "model_config")))
        self.config: Config | None = model_from_keras(modernized(model, self.root.attributes.get("keras_version")))
        if "minicnn_training" in self.root.attributes:
            self.training: dict[str, Any] = read_json(
                _text(self.root.attributes["minicnn_training"], "minicnn_training")
            )

    def _told_apart(self, described):
        """A part of the file, with users' classes called as such, as newer files do it."""
        if "minicnn_training" not in self.root.attributes:
            is_keras_3 = str(self.root.attributes.get("keras_version")).startswith("3")
            return users_of_keras_3(described) if is_keras_3 else described
        return described if MARKED in self.root.attributes else told_apart(described)

    @cached_property
    def compile(self) -> dict[str, Any] | None:
        """As in `Snapshot`; read when it is wanted, since a model can do without."""
        training = self.root.attributes.get("training_config")
        if training is None or self.config is None:
            return None
        training = self._told_apart(read_json(_text(training, "training_config")))
        return compile_from_keras(training, output_names(self.config, training))

    def find(self, expected: dict[str, Shape], config: Config, by_name: bool = False) -> dict[str, Stored]:
        if has_layers(self.root):  # a .weights.h5 under another name
            return find_in_groups(self.root, expected, config, by_name)
        return find_weights(self.root, expected, config, by_name, self.config)

    def optimizer(self, slots: tuple[str, ...], expected: dict[str, Shape], config: Config) -> dict[str, Any] | None:
        group = self.root.members.get(OWN_OPTIMIZER, self.root.members.get("optimizer_weights"))
        if not isinstance(group, hdf5.Group):
            return None
        found = _arrays(group)
        endings = [name.removesuffix(":0").rpartition("/")[2] for name, array in found.items() if array.shape != ()]
        old_names = optimizers.get(self.compile["optimizer"]).keras_slots  # of variables that go slot by slot
        by_slot = bool(slots) and bool(old_names) and set(endings).issuperset(old_names)
        by_slot = by_slot and endings[:1] == endings[1:2]  # Ftrl went weight by weight
        node = _node_in(self.root, config, self.config)
        return optimizer_state(list(found.values()), slots, expected, config, self.compile, by_slot, node)


def _node_in(root, config, described):
    """The node of a model by which a file goes, if there is one: those of older versions of minicnn go by the graph."""
    is_own = "minicnn_training" in root.attributes or (
        "model_config" not in root.attributes and root.attributes.get("keras_version") == KERAS_VERSION
    )
    if "parts" not in config or (is_own and ORDER not in root.members.get("model_weights", root).attributes):
        return None
    by_class = described is None or not is_model(described)
    return parts_of(config, by_class or (not is_own and config["parts"]["by_class"]["form"] == "graph"))


def find_weights(
    root: hdf5.Group,
    expected: dict[str, Shape],
    config: Config,
    by_name: bool = False,
    described: Config | None = None,
) -> dict[str, Stored]:
    """The weights of a file with ``layer_names``; see `minicnn.saving.snapshot.Reader.find`.

    The model that the file itself describes, if it does, is `described`.
    """
    group = root.members.get("model_weights", root)
    if not isinstance(group, hdf5.Group):
        raise FileFormatError("the weights are not where Keras writes them: 'model_weights' is no group")
    places = _places_by_layer(config, expected, _node_in(root, config, described))
    layers = {layer: [name for _, name in own] for layer, own in places.items()}
    stored = _stored_layers(group, layers)
    top = group.members.get(TOP_LEVEL)
    arrays = _arrays(top) if isinstance(top, hdf5.Group) else {}
    given, wanted = [name for name in layers if name != TOP_LEVEL], list(stored)
    if len(wanted) == len(given) and set(wanted) != set(given) and not by_name:  # made again in the session: by order
        stored = dict(zip(given, stored.values(), strict=True))
    found = {}
    for name, named in (stored | ({TOP_LEVEL: arrays} if arrays else {})).items():
        own, arrays = layers.get(name, []), _in_order(named, places.get(name, []), expected)
        own = list(dict.fromkeys(own)) if len(arrays) < len(own) else own  # as Keras has it: once within a layer
        found |= _paired(name, own, arrays)
    return {name: Stored(dataset.shape, partial(hdf5.read_finite, dataset)) for name, dataset in found.items()}


def _paired(name, own, arrays) -> dict:
    """A layer's arrays under its weights' names, and those that are left over.

    Of what is made of several layers, one array more or less says of none of them which arrays are its own.
    """
    inside = dict.fromkeys(weight.rpartition("/")[0] for weight in own)
    if len(inside) > 1 and len(arrays) != len(own):
        said = f"all of '{name}', {len(arrays)} arrays in the file and {len(own)} here"
        return {f"{layer}/{said}": arrays[0] for layer in inside}
    left_over = {f"{name}/{array.path.rpartition('/')[2]} (left over)": array for array in arrays[len(own) :]}
    return dict(zip(own, arrays, strict=False)) | left_over


def _stored_layers(group, layers) -> dict:
    """Layer → the arrays of its group, of those that have any."""
    stored, names = {}, _names(group, "layer_names")
    renamed = without_slashes(names)
    for name in names:
        layer = group.find(name)
        if not isinstance(layer, hdf5.Group):
            raise FileFormatError(f"there is no group for the layer {name!r} in the file")
        name = name if name in layers else renamed.get(name, name)
        if name in stored:
            raise FileFormatError(f"the file has two layers called {name!r}")
        arrays = _arrays(layer)
        if arrays:
            stored[name] = arrays
    return stored


def _in_order(arrays, places, expected) -> list:
    """The arrays as the places are; those of a layer made of layers are by attributes in Keras: there names decide."""
    for length in (1, 2) if any(path.count("/") > 1 for path, _ in places) else ():
        by_end = {_end(name, length): array for name, array in arrays.items()}
        found = [by_end.get(_end(path, length)) for path, _ in places]
        fits = all(
            array is not None and array.shape == expected[own] for array, (_, own) in zip(found, places, strict=True)
        )
        if fits and len(by_end) == len(arrays) == len({array.path for array in found}) == len(places):
            return found
    return list(arrays.values())


def _end(name, length):
    return tuple(name.removesuffix(":0").split("/")[-length:])


def _arrays(group) -> dict:
    """Name → dataset, in the order of the group's ``weight_names``."""
    found = {}
    for name in _names(group, "weight_names"):
        dataset = group.find(name)
        if not isinstance(dataset, hdf5.Dataset) or name in found:
            raise FileFormatError(f"the HDF5 group '{group.path}' has no array {name!r}, or names it twice")
        found[name] = dataset
    return found


def _names(group, attribute) -> list:
    """A list of texts from an attribute, or from its numbered parts."""
    names, index = group.attributes.get(attribute), 0
    if names is None:
        names = []
        while f"{attribute}{index}" in group.attributes:
            names += list(group.attributes[f"{attribute}{index}"])
            index += 1
    names = list(names)
    if not all(isinstance(name, str) for name in names):
        raise FileFormatError(f"'{attribute}' of the HDF5 group '{group.path}' is a list of names")
    return names


def _text(value, attribute) -> str:
    if not isinstance(value, str):
        raise FileFormatError(f"the HDF5 attribute '{attribute}' is a text. Received: {type(value).__name__}")
    return value


FORMAT: Format = Format((".h5", ".hdf5"), write, Reader, check_writable=hdf5.check_writable, kind=kinds.HDF5)
