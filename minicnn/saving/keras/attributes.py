"""The groups of Keras 3's weights files where they go by attributes: of users' models, and layers made of layers.

Keras visits an object's attributes in the order of their names, private ones last, and has a group for each layer where
it meets it first: ``conv1/vars/0``, ``blocks/block_1/bn/vars/0``. A model has an attribute ``layers`` as well, before
those that come after that in the alphabet. In a functional model or a Sequential, ``layers`` comes first.

Who calls says in ``config["parts"]`` what there is: "by_class" goes by the attributes of all users' classes, and
"by_graph" by those of layers alone, as files have it that hold models as functional ones. Either is a node: a dict of
"class_name", "name", "form" ("model", "graph", "made" of layers, or "layer"), "weights": [(name, whether it is
trained)], "layers": nodes in Keras's order, and "attributes": [(name, node or nested list of nodes)]. A layer that is
met twice is the same dict. "layers_of_tf_keras" are the layers in its order, where a dict's go by their keys.
"has_other_order", of the model's node, says whether tf.keras lists its weights otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.hints import Config, Shape
from minicnn.saving import hdf5
from minicnn.saving.keras.groups import (
    CONTAINERS,
    find_layers,
    groups_by_name,
    left_over,
    named_groups,
    numbered,
    places_in,
)
from minicnn.saving.keras.structure import parts_of, weights_in_order
from minicnn.saving.snapshot import Stored

if TYPE_CHECKING:
    import h5py

MAX_DEPTH = 50  # of lists in lists, of which one may contain itself
_OTHERS = ("optimizer", "metrics")  # what a file has beside layers; the last one in tf.keras


# ------------------------------------------------------------------------------------------------------- the places


def places(node: Config, root: hdf5.Group | None = None) -> list[tuple[str, Config, dict[str, str]]]:
    """(group, node, place in the file → weight) of every object that has a group.

    Parameters
    ----------
    node : dict
    root : Group, optional
        Of a file that is read: of the layouts of Keras's, its is taken.
    """
    found = list(_Walk(root).visited(node, ""))
    if root is None or name_in(root) is not None or _are_there(found, root):
        return found
    of_tf_keras = list(_Walk(root, is_tf_keras=True).visited(node, ""))
    return of_tf_keras if _are_there(of_tf_keras, root) else found


def _are_there(found, root):
    return all(root.find(place) is not None for _, _, own in found for place in own)


def name_in(root: hdf5.Group) -> str | None:
    """The name of the model: Keras 3 writes it, tf.keras does not."""
    variables = root.find("vars")
    return variables.attributes.get("name") if isinstance(variables, hdf5.Group) else None


class _Walk:
    """A way through a model.

    Parameters
    ----------
    root : Group or None
        Of a file that is read.
    is_tf_keras : bool
        Whether attributes come in the reverse order, and what was met before is not counted.
    """

    def __init__(self, root: hdf5.Group | None, is_tf_keras: bool = False) -> None:
        self._root, self._is_tf_keras, self._seen = root, is_tf_keras, set()

    def visited(self, node: Config, path: str) -> Iterator[tuple[str, Config, dict[str, str]]]:
        """What `places` gives, of a node and what is in it."""
        if id(node) in self._seen:
            return
        self._seen.add(id(node))
        names = [name for name, _ in node["weights"]]
        own = places_in(node, names) if node["form"] == "layer" else {f"vars/{i}": name for i, name in enumerate(names)}
        yield path, node, {path + place: name for place, name in own.items()}
        if node["form"] == "graph":
            yield from self._listed(node["layers"], self._container(path), by_name=True)
            return
        listed = node["layers_of_tf_keras" if self._is_tf_keras and "layers_of_tf_keras" in node else "layers"]
        attributes = [*node["attributes"], *([("layers", listed)] if node["form"] == "model" else [])]
        for name, value in sorted(attributes, key=self._rank, reverse=self._is_tf_keras):
            yield from (self.visited if isinstance(value, dict) else self._listed)(value, f"{path}{name}/")

    def _rank(self, attribute):
        name = attribute[0]
        return f"~{name}" if name.startswith("_") and not self._is_tf_keras else name

    def _container(self, path):
        """Where the layers of a functional model are."""
        names = [name for name in CONTAINERS if self._root is not None and self._root.find(path + name) is not None]
        return f"{path}{(names or CONTAINERS)[0]}/"

    def _listed(self, values, path, by_name=False, depth=0):
        """The objects in a list."""
        counts, container = Counter(), None if self._root is None else self._root.find(path.rstrip("/"))
        named = _named(container, values) if by_name and isinstance(container, hdf5.Group) else {}
        for value in values:
            if isinstance(value, dict) and not (self._is_tf_keras and id(value) in self._seen):
                group = numbered(value, counts)
                if value["name"] in named:
                    group = named[value["name"]].path.rpartition("/")[2]
                yield from self.visited(value, f"{path}{group}/")
            elif isinstance(value, list) and depth < MAX_DEPTH:
                counts["container"] += 1
                group = "container" if counts["container"] == 1 else f"container_{counts['container'] - 1}"
                if self._root is None or self._root.find(path + group) is not None:  # else among "layers", before 3.13
                    yield from self._listed(value, f"{path}{group}/", depth=depth + 1)


def _named(container, values):
    """`named_groups` of the layers of a functional model."""
    counts = Counter()
    places = [(value, numbered(value, counts)) for value in values if isinstance(value, dict)]
    return named_groups(container, [(value["name"], place) for value, place in places if weights_in_order(value)])


# ------------------------------------------------------------------------------------------------------- files


def write_parts(file: h5py.Group, node: Config, weights: dict[str, np.ndarray]) -> None:
    """Write a model's weights into an open file."""
    for path, part, own in places(node):
        file.require_group(f"{path}vars").attrs["name"] = part["name"]
        for place, name in own.items():
            file[place] = weights[name]


def goes_by_attributes(root: hdf5.Group, node: Config) -> bool:
    """Whether a file has this layout, and not that of minicnn before it had it.

    Then all of a layer's weights were in one group, whatever it was made of, and a model's root had no name.
    """
    layers = root.find(CONTAINERS[0])
    if isinstance(layers, hdf5.Group) and groups_by_name(layers) and name_in(root) is None:
        return False
    for path, part, own in places(node, root):
        variables = root.find(f"{path}vars")
        count = len(variables.members) if isinstance(variables, hdf5.Group) else 0
        if part["form"] == "made" and count > len(own) and count == len(weights_in_order(part)):
            return False
    return True


def find_in_groups(
    root: hdf5.Group, expected: dict[str, Shape], config: Config, by_name: bool, by_class: bool = True
) -> dict[str, Stored]:
    """The weights of a file with groups that mirror the model; see `minicnn.saving.snapshot.Reader.find`."""
    node = parts_of(config, by_class)
    if node is None or by_name or not goes_by_attributes(root, node):
        return find_layers(root, expected, config, by_name)
    wanted = {place: name for _, _, own in places(node, root) for place, name in own.items()}
    arrays = {path: data for path, data in _datasets(root) if path in wanted or _is_weight(path, data)}
    found = {wanted.get(path) or left_over(path, wanted) or path: data for path, data in arrays.items()}
    return {name: Stored(data.shape, partial(hdf5.read_finite, data)) for name, data in found.items()}


def _is_weight(path, data) -> bool:
    """Whether an array that no layer asks for is a layer's all the same, and left over."""
    first, *parts = path.split("/")
    return first not in _OTHERS and "seed_generator" not in parts and data.dtype.kind != "u"


def _datasets(group, path="") -> Iterator[tuple[str, Any]]:
    for name, member in group.members.items():
        if isinstance(member, hdf5.Group):
            yield from _datasets(member, f"{path}{name}/")
        elif isinstance(member, hdf5.Dataset):
            yield path + name, member
