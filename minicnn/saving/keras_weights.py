"""Keras's weights files (.weights.h5, and the one inside .keras): groups that mirror the model.

A layer's weights are ``layers/<class_snake_case>[_n]/vars/0``, ``1``, …, in the order of its weights; the layer's own
name is the attribute "name" of ``vars``. In a model used as a layer, ``layers`` occurs again. tf.keras up to 2.14 calls
it ``_layer_checkpoint_dependencies``. The optimizer is ``optimizer/vars/0`` (iterations), ``1`` (learning rate, unless
that is a schedule; not in tf.keras), then each trainable weight's state vectors, weight by weight.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import optimizers
from minicnn.errors import FileFormatError
from minicnn.hints import Config, Shape
from minicnn.layers.names import snake_case
from minicnn.own_parts import is_of_package
from minicnn.saving import hdf5, keras_hdf5, kinds
from minicnn.saving.formats import Format
from minicnn.saving.keras.attributes import find_in_groups, write_parts
from minicnn.saving.keras.groups import CONTAINERS, numbered, places_in, unwrapped
from minicnn.saving.keras.state import names_by_layer, optimizer_arrays, optimizer_state
from minicnn.saving.keras.structure import is_model, layers_of, parts_of
from minicnn.saving.snapshot import Reader as BaseReader
from minicnn.saving.snapshot import Snapshot, Stored
from minicnn.user_warnings import warn_user

if TYPE_CHECKING:
    import h5py

# ------------------------------------------------------------------------------------------------------- writing


def write(path: Path, snapshot: Snapshot) -> None:
    """Write the weights alone to a new file."""
    with hdf5.new_file(path, ".weights.h5") as file:
        if (parts := parts_of(snapshot.config, by_class=True)) is not None:
            write_parts(file, parts, snapshot.weights)
            return
        write_layers(file, snapshot.config, snapshot.weights)
        file.create_group("vars")


def write_layers(group: h5py.Group, config: Config, weights: dict[str, np.ndarray], prefix: str = "") -> None:
    """Write a model's layers into an open file's group."""
    container = group.create_group(CONTAINERS[0])
    counts, grouped, written = Counter(), names_by_layer(weights, prefix), set()
    for entry in layers_of(config):
        path = numbered(entry, counts)
        if entry["name"] in written:  # a layer that stands in a Sequential again: it counts, as in Keras
            continue
        hdf5.check_name(entry["name"])
        written.add(entry["name"])
        own = {name: weights[name] for name in grouped.get(entry["name"], ())}
        layer = container.create_group(path)
        layer.create_group("vars").attrs["name"] = entry["name"]
        entry, place = unwrapped(entry)
        layer = layer.create_group(place) if place else layer
        if is_model(entry):
            write_layers(layer, entry, own, f"{prefix}{entry['name']}/")
            continue
        for place, name in places_in(entry, own).items():
            layer[place] = own[name]


def write_optimizer(group: h5py.Group, snapshot: Snapshot) -> None:
    """Write ``optimizer/vars``, for a model that has not been trained too."""
    variables = group.create_group("optimizer").create_group("vars")
    variables.attrs["name"] = snake_case(snapshot.compile["optimizer"]["class_name"])
    for index, (_, array) in enumerate(optimizer_arrays(snapshot)):
        variables[str(index)] = array


# ------------------------------------------------------------------------------------------------------- reading


class Reader(BaseReader):
    """A weights file; also one of the old layout, which tf.keras wrote under any name ending in .h5, or a model's."""

    def __init__(self, path: Path) -> None:
        self.root: hdf5.Group = hdf5.with_slashes(hdf5.read(hdf5.file_content(path)))
        self.numbers: int = hdf5.count_numbers(self.root)

    def find(self, expected: dict[str, Shape], config: Config, by_name: bool = False) -> dict[str, Stored]:
        if "model_weights" in self.root.members or any(name.startswith("layer_names") for name in self.root.attributes):
            return keras_hdf5.find_weights(self.root, expected, config, by_name)
        return find_in_groups(self.root, expected, config, by_name)


def read_optimizer(
    root: hdf5.Group,
    slots: tuple[str, ...],
    expected: dict[str, Shape],
    config: Config,
    compiled: dict[str, Any],
    node: Config | None,
    name: Any,
) -> dict[str, Any] | None:
    """The optimizer's state from ``optimizer/vars``; arguments as for `optimizer_state`, and the optimizer's name."""
    variables = root.find("optimizer/vars")
    if not isinstance(variables, hdf5.Group):
        warn_user("the file has no state of its optimizer, which begins anew: tf.keras's older optimizers leave it out")
        return None
    owner = variables.attributes.get("name")
    said, own = _library_class(owner), _library_class(compiled["optimizer"]["class_name"])
    if said != own and said and own and owner != name:  # a script may have called an Adam "sgd"
        warn_user(f"the optimizer begins anew: the file has the state of {said}, and the model is compiled with {own}")
        return None
    count = len(variables.members)
    datasets = [variables.members.get(str(index)) for index in range(count)]
    if not all(isinstance(dataset, hdf5.Dataset) for dataset in datasets):
        names = list(variables.members)[:9]
        raise FileFormatError(f"an optimizer's variables are called 0 … {count - 1}. Received: {names}")
    return optimizer_state(datasets, slots, expected, config, compiled, node=node)


def _library_class(name: object) -> str | None:
    """The library's optimizer that a name means, "sgd_1" as Keras names them, or its class's; None of others."""
    found = getattr(optimizers, re.sub(r"_\d+$", "", str(name)), None)
    return found.__name__ if isinstance(found, type) and is_of_package(found) else None


FORMAT: Format = Format(
    (".weights.h5",), write, Reader, weights_only=True, check_writable=hdf5.check_writable, kind=kinds.HDF5
)
