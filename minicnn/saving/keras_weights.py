"""Keras's weights files (.weights.h5, and the one inside .keras): groups that mirror the model.

A layer's weights are ``layers/<class_snake_case>[_n]/vars/0``, ``1``, …, in the order of its weights; the layer's own
name is the attribute "name" of ``vars``. In a model used as a layer, ``layers`` occurs again. tf.keras up to 2.14 calls
it ``_layer_checkpoint_dependencies``. The optimizer is ``optimizer/vars/0`` (iterations), ``1`` (learning rate, unless
that is a schedule; not in tf.keras), then each trainable weight's state vectors, weight by weight.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import FileFormatError
from minicnn.hints import Config, Shape
from minicnn.layers.names import snake_case
from minicnn.saving import hdf5, keras_hdf5, kinds
from minicnn.saving.formats import Format
from minicnn.saving.keras.layers import keras_class_name
from minicnn.saving.keras.state import names_by_layer, optimizer_arrays, optimizer_state
from minicnn.saving.keras.structure import is_model, layers_of
from minicnn.saving.snapshot import Reader as BaseReader
from minicnn.saving.snapshot import Snapshot, Stored

if TYPE_CHECKING:
    import h5py

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")


# ------------------------------------------------------------------------------------------------------- writing


def write(path: Path, snapshot: Snapshot) -> None:
    """Write the weights alone to a new file."""
    with hdf5.new_file(path, ".weights.h5") as file:
        write_layers(file, snapshot.config, snapshot.weights)
        file.create_group("vars")


def write_layers(group: h5py.Group, config: Config, weights: dict[str, np.ndarray], prefix: str = "") -> None:
    """Write a model's layers into an open file's group."""
    container = group.create_group(CONTAINERS[0])
    counts, grouped = Counter(), names_by_layer(weights, prefix)
    for entry in layers_of(config):
        own = {name: weights[name] for name in grouped.get(entry["name"], ())}
        layer = container.create_group(_numbered(entry, counts))
        layer.create_group("vars").attrs["name"] = entry["name"]
        if is_model(entry):
            write_layers(layer, entry, own, f"{prefix}{entry['name']}/")
            continue
        for index, array in enumerate(own.values()):
            layer["vars"][str(index)] = array


def write_optimizer(group: h5py.Group, snapshot: Snapshot) -> None:
    """Write ``optimizer/vars``, for a model that has not been trained too."""
    variables = group.create_group("optimizer").create_group("vars")
    variables.attrs["name"] = snake_case(snapshot.compile["optimizer"]["class_name"])
    for index, (_, array) in enumerate(optimizer_arrays(snapshot)):
        variables[str(index)] = array


def _numbered(entry, counts) -> str:
    """The group of a layer: its class, numbered from the second on."""
    name = snake_case(keras_class_name(entry["class_name"]))
    counts[name] += 1
    return name if counts[name] == 1 else f"{name}_{counts[name] - 1}"


# ------------------------------------------------------------------------------------------------------- reading


class Reader(BaseReader):
    """A weights file; also one of the old layout, which tf.keras wrote under any name ending in .h5."""

    def __init__(self, path: Path) -> None:
        self.root: hdf5.Group = hdf5.with_slashes(hdf5.read(hdf5.file_content(path)))
        self.numbers: int = hdf5.count_numbers(self.root)

    def find(self, expected: dict[str, Shape], config: Config, by_name: bool = False) -> dict[str, Stored]:
        if "layer_names" in self.root.attributes:
            return keras_hdf5.find_weights(self.root, expected, config, by_name)
        return find_layers(self.root, expected, config, by_name)


def find_layers(
    root: hdf5.Group, expected: dict[str, Shape], config: Config, by_name: bool = False
) -> dict[str, Stored]:
    """The weights of a file with ``layers``; see `minicnn.saving.snapshot.Reader.find`."""
    if by_name:
        raise ValueError("these files go by structure; by_name=True is for .safetensors and old .h5 files")
    found = {}
    _find_layers(root, expected, config, "", found)
    return {name: Stored(dataset.shape, partial(hdf5.read_finite, dataset)) for name, dataset in found.items()}


def _find_layers(group, expected, config, prefix, found):
    """Fill `found`: the weight's name, or the path of what is left over → dataset."""
    container = next((group.members[name] for name in CONTAINERS if name in group.members), None)
    if not isinstance(container, hdf5.Group):
        raise FileFormatError(f"the weights are not where Keras writes them: no group 'layers' in '/{group.path}'")
    grouped, used = names_by_layer(expected, prefix), set()
    by_name = _groups_by_name(container)
    go_by_name = all(name in by_name for name in grouped)
    counts = Counter()
    for entry in layers_of(config):
        path = _numbered(entry, counts)
        own = grouped.pop(entry["name"], None)  # a layer that occurs in several models has its weights in the first
        if own is None:
            continue
        layer = by_name[entry["name"]] if go_by_name else container.members.get(path)
        if not isinstance(layer, hdf5.Group):
            continue  # reported as missing
        used.add(layer.path)
        if is_model(entry):
            _find_layers(layer, own, entry, f"{prefix}{entry['name']}/", found)
            continue
        variables = layer.find("vars")
        members = variables.members if isinstance(variables, hdf5.Group) else {}
        by_index = {str(index): name for index, name in enumerate(own)}
        found |= {by_index.get(n, d.path): d for n, d in members.items() if isinstance(d, hdf5.Dataset)}
    for member in container.members.values():
        if isinstance(member, hdf5.Group) and member.path not in used and isinstance(member.find("vars"), hdf5.Group):
            found |= {d.path: d for d in member.find("vars").members.values() if isinstance(d, hdf5.Dataset)}


def _groups_by_name(container) -> dict:
    """Layer name → group, where every name occurs once."""
    named = {}
    for group in container.members.values():
        variables = group.find("vars") if isinstance(group, hdf5.Group) else None
        name = variables.attributes.get("name") if isinstance(variables, hdf5.Group) else None
        if isinstance(name, str):
            named.setdefault(name, []).append(group)
    return {name: groups[0] for name, groups in named.items() if len(groups) == 1}


def read_optimizer(
    root: hdf5.Group,
    slots: tuple[str, ...],
    expected: dict[str, Shape],
    config: Config,
    compiled: dict[str, Any],
) -> dict[str, Any] | None:
    """The optimizer's state from ``optimizer/vars``; see `minicnn.saving.snapshot.Reader.optimizer`."""
    variables = root.find("optimizer/vars")
    if not isinstance(variables, hdf5.Group):
        return None
    count = len(variables.members)
    datasets = [variables.members.get(str(index)) for index in range(count)]
    if not all(isinstance(dataset, hdf5.Dataset) for dataset in datasets):
        names = list(variables.members)[:9]
        raise FileFormatError(f"an optimizer's variables are called 0 … {count - 1}. Received: {names}")
    return optimizer_state(datasets, slots, expected, config, compiled)


FORMAT: Format = Format(
    (".weights.h5",), write, Reader, weights_only=True, check_writable=hdf5.check_writable, kind=kinds.HDF5
)
