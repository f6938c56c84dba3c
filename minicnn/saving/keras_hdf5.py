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
from minicnn.saving.keras.compiled import compile_from_keras, compile_to_keras
from minicnn.saving.keras.config import model_from_keras, model_to_keras, output_names, without_modules
from minicnn.saving.keras.groups import find_layers, has_layers
from minicnn.saving.keras.older import modernized, without_slashes
from minicnn.saving.keras.state import frozen_names, optimizer_arrays, optimizer_state
from minicnn.saving.keras.structure import is_functional, layers_of, occurrences
from minicnn.saving.snapshot import Reader as BaseReader
from minicnn.saving.snapshot import Snapshot, Stored, training_text

KERAS_VERSION = "3.0.0"  # whose format is written
OWN_OPTIMIZER = "minicnn_optimizer_weights"
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
        file.attrs["keras_version"], file.attrs["backend"] = KERAS_VERSION, "tensorflow"
        file.attrs["model_config"] = json.dumps(without_modules(model_to_keras(snapshot.config, keeps_sharing=False)))
        if snapshot.training:
            file.attrs["minicnn_training"] = training_text(snapshot.training)
        _write_weights(file.create_group("model_weights"), snapshot)
        if snapshot.compile is not None:
            training = compile_to_keras(snapshot.compile)
            optimizer = training.pop("optimizer")
            training["optimizer_config"] = {key: optimizer[key] for key in ("class_name", "config")}
            file.attrs["training_config"] = json.dumps(training)
            # Not "optimizer_weights": Keras 3 (3.15.1) cannot train a model from a file that has this group.
            _write_arrays(file.create_group(OWN_OPTIMIZER), dict(optimizer_arrays(snapshot)))


def _write_weights(group, snapshot):
    entries = [entry for entry in layers_of(snapshot.config) if _is_a_layer(entry, snapshot.config)]
    for entry in entries:
        hdf5.check_name(entry["name"], RESERVED)
    _write_names(group, "layer_names", [entry["name"] for entry in entries])
    group.attrs["backend"], group.attrs["keras_version"] = "tensorflow", KERAS_VERSION
    grouped = _places_by_layer(snapshot.config, snapshot.weights)
    for entry in entries:
        layer = group.create_group(entry["name"].encode())  # bytes: another layout for letters outside ASCII is avoided
        _write_arrays(layer, {path: snapshot.weights[name] for path, name in grouped.get(entry["name"], ())})
    _write_arrays(group.create_group(TOP_LEVEL), {})


def _places_by_layer(config, names) -> dict:
    """Layer → (path, name) of its weights in the order of these files, where they stand wherever they occur."""
    frozen, grouped = frozen_names(config, names), {}
    for path, name in occurrences(config, names):
        grouped.setdefault(path.partition("/")[0], []).append((path, name))
    return {layer: sorted(places, key=lambda place: place[1] in frozen) for layer, places in grouped.items()}


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
        self.config: Config | None = model_from_keras(
            modernized(read_json(_text(described, "model_config")), self.root.attributes.get("keras_version"))
        )
        if "minicnn_training" in self.root.attributes:
            self.training: dict[str, Any] = read_json(
                _text(self.root.attributes["minicnn_training"], "minicnn_training")
            )

    @cached_property
    def compile(self) -> dict[str, Any] | None:
        """As in `Snapshot`; read when it is wanted, since a model can do without."""
        training = self.root.attributes.get("training_config")
        if training is None or self.config is None:
            return None
        return compile_from_keras(read_json(_text(training, "training_config")), output_names(self.config))

    def find(self, expected: dict[str, Shape], config: Config, by_name: bool = False) -> dict[str, Stored]:
        if has_layers(self.root):  # a .weights.h5 under another name
            return find_layers(self.root, expected, config, by_name)
        return find_weights(self.root.members.get("model_weights", self.root), expected, config, by_name)

    def optimizer(self, slots: tuple[str, ...], expected: dict[str, Shape], config: Config) -> dict[str, Any] | None:
        group = self.root.members.get(OWN_OPTIMIZER, self.root.members.get("optimizer_weights"))
        if not isinstance(group, hdf5.Group):
            return None
        found = _arrays(group)
        endings = [name.removesuffix(":0").rpartition("/")[2] for name, array in found.items() if array.shape != ()]
        old_names = optimizers.get(self.compile["optimizer"]).keras_slots  # of variables that go slot by slot
        by_slot = bool(slots) and bool(old_names) and set(endings).issuperset(old_names)
        by_slot = by_slot and endings[:1] == endings[1:2]  # Ftrl went weight by weight
        return optimizer_state(list(found.values()), slots, expected, config, self.compile, by_slot)


def find_weights(
    group: hdf5.Group, expected: dict[str, Shape], config: Config, by_name: bool = False
) -> dict[str, Stored]:
    """The weights of a group with ``layer_names``; see `minicnn.saving.snapshot.Reader.find`."""
    if not isinstance(group, hdf5.Group):
        raise FileFormatError("the weights are not where Keras writes them: 'model_weights' is no group")
    places = _places_by_layer(config, expected)
    layers = {layer: [name for _, name in own] for layer, own in places.items()}
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
    if (
        len(stored) == len(layers) and set(stored) != set(layers) and not by_name
    ):  # a model made again in the same session: by order
        stored = dict(zip(layers, stored.values(), strict=True))
    found = {}
    for name, named in stored.items():
        own, arrays = layers.get(name, []), _in_order(named, places.get(name, []), expected)
        own = list(dict.fromkeys(own)) if len(arrays) < len(own) else own  # as Keras has it: once within a layer
        left_over = {f"{name}/{array.path.rpartition('/')[2]} (left over)": array for array in arrays[len(own) :]}
        found |= dict(zip(own, arrays, strict=False)) | left_over
    return {name: Stored(dataset.shape, partial(hdf5.read_finite, dataset)) for name, dataset in found.items()}


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
