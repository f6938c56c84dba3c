"""The groups of Keras 3's weights files, which mirror the model: whose weights are where."""

from collections import Counter
from collections.abc import Iterable
from functools import partial

from minicnn.errors import FileFormatError
from minicnn.hints import Config, Shape
from minicnn.layers.names import snake_case
from minicnn.saving import hdf5
from minicnn.saving.keras.layers import keras_class_name
from minicnn.saving.keras.names import INSIDE
from minicnn.saving.keras.state import names_by_layer
from minicnn.saving.keras.structure import is_model, layers_of
from minicnn.saving.snapshot import Stored

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")

_PARTS = {"query": "query_dense", "key": "key_dense", "value": "value_dense", "attention_output": "output_dense"}
_PARTS |= {"gate": "_gate_dense"}  # of MultiHeadAttention: role → group
_PARTS_OF_GROUPS = {role: f"_{group.removeprefix('_')}" for role, group in _PARTS.items()}

WITHIN = ("vars", "layer/vars", *(f"{part.removeprefix('_')}/vars" for part in _PARTS.values()))
"""Of a layer's group, where each may have a "_" before it; the second is a wrapped layer's."""


def places_in(entry: Config, names: Iterable[str]) -> dict[str, str]:
    """Where a layer's group has which weight: place → name.

    A layer around another one has the kernel twice: as its own, beside its state, and among the wrapped layer's.

    Parameters
    ----------
    entry : dict
    names : iterable of str
        Of the layer's weights, in order.
    """
    names = list(names)
    if entry["class_name"] in ("MultiHeadAttention", "GroupQueryAttention"):
        roles = [name.split("/")[-2] for name in names]
        parts = _PARTS if entry["class_name"] == "MultiHeadAttention" else _PARTS_OF_GROUPS
        return {f"{parts[role]}/vars/{roles[:i].count(role)}": names[i] for i, role in enumerate(roles)}
    if entry["class_name"] != "SpectralNormalization" or not names:  # without weights it is not built
        return {f"vars/{index}": name for index, name in enumerate(names)}
    kernel, state, *others = names
    own = {f"vars/{index}": name for index, name in enumerate((kernel, state))}
    return own | {f"layer/vars/{index}": name for index, name in enumerate((kernel, *others))}


def unwrapped(entry: Config) -> tuple[Config, str]:
    """The entry of what is within a TimeDistributed, under its name, and where the group of that is in the layer's."""
    path = ""
    while entry["class_name"] == "TimeDistributed":
        entry, path = entry["config"]["layer"] | {"name": entry["name"]}, f"{path}layer/"
    return entry, path


def numbered(entry: Config, counts: Counter[str]) -> str:
    """The group of a layer: its class, numbered from the second on."""
    name = snake_case(INSIDE.get(entry["class_name"], keras_class_name(entry["class_name"])))
    counts[name] += 1
    return name if counts[name] == 1 else f"{name}_{counts[name] - 1}"


def has_layers(root: hdf5.Group) -> bool:
    """Whether a file has this layout, and not the old one, where a layer may be called "layers"."""
    is_old = "model_weights" in root.members or any(name.startswith("layer_names") for name in root.attributes)
    return not is_old and any(isinstance(root.members.get(name), hdf5.Group) for name in CONTAINERS)


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
    counts = Counter()
    entries = [(entry, numbered(entry, counts)) for entry in layers_of(config)]
    by_name = named_groups(container, [(entry["name"], path) for entry, path in entries if entry["name"] in grouped])
    for entry, path in entries:
        own = grouped.pop(entry["name"], None)  # a layer that occurs in several models has its weights in the first
        if own is None:
            continue
        layer = by_name[entry["name"]] if by_name else container.members.get(path)
        if not isinstance(layer, hdf5.Group):
            continue  # reported as missing
        used.add(layer.path)
        entry, place = unwrapped(entry)
        layer = layer.find(place.removesuffix("/")) if place else layer
        if not isinstance(layer, hdf5.Group):
            continue
        if is_model(entry):
            _find_layers(layer, own, entry, f"{prefix}{entry['name']}/", found)
            continue
        names = {place.removeprefix("_"): name for place, name in places_in(entry, own).items()}
        for where in WITHIN:
            variables = layer.find(where) or layer.find(f"_{where}")  # of tf.keras
            members = variables.members if isinstance(variables, hdf5.Group) else {}
            arrays = {f"{where}/{n}": d for n, d in members.items() if isinstance(d, hdf5.Dataset)}
            found |= {names.get(place) or left_over(place, names) or d.path: d for place, d in arrays.items()}
    for member in container.members.values():
        if isinstance(member, hdf5.Group) and member.path not in used and isinstance(member.find("vars"), hdf5.Group):
            found |= {d.path: d for d in member.find("vars").members.values() if isinstance(d, hdf5.Dataset)}


def left_over(place: str, names: dict[str, str]) -> str | None:
    """A name for an array that no weight asks for: among those of the layer whose others stand beside it.

    So a file with too many arrays for a layer does not fit it, and none of them is taken for another one.

    Parameters
    ----------
    place : str
        Of the array.
    names : dict
        Place → weight's name, of those that are asked for.
    """
    group, _, number = place.rpartition("/")
    layer = next((n.rpartition("/")[0] for p, n in names.items() if p.rpartition("/")[0] == group), "")
    return f"{layer}/{group.rpartition('/')[2]} {number} (left over)" if layer else None


def named_groups(container: hdf5.Group, wanted: list[tuple[str, str]]) -> dict[str, hdf5.Group]:
    """The layers' groups by the names in them, where their places are not those of the model; {}: the places count.

    Keras goes by places alone, whatever the names are: its own file of a model whose layers stand in another order
    gives each the weights of its place. Where a place is missing, which Keras refuses, names count if each is there
    once; else what is missing is an error of the reader's.

    Parameters
    ----------
    container : Group
    wanted : list of (str, str)
        (name, place) of the layers with weights.
    """
    if all(isinstance(container.members.get(place), hdf5.Group) for _, place in wanted):
        return {}
    named = groups_by_name(container)
    return named if all(name in named for name, _ in wanted) else {}


def groups_by_name(container: hdf5.Group) -> dict[str, hdf5.Group]:
    """Layer name → group, where every name occurs once."""
    named = {}
    for group in container.members.values():
        variables = group.find("vars") if isinstance(group, hdf5.Group) else None
        name = variables.attributes.get("name") if isinstance(variables, hdf5.Group) else None
        if isinstance(name, str):
            named.setdefault(name, []).append(group)
    return {name: groups[0] for name, groups in named.items() if len(groups) == 1}
