"""What a model's entry holds: which of its layers are models, which occur several times, and how Keras counts calls."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from minicnn.errors import FileFormatError
from minicnn.hints import Config

MODELS = ("Functional", "Sequential")
MAX_DEPTH = 20  # of models in models, and of nested inputs and outputs


def structure_of(entry: Config) -> Config:
    """A model's layers and calls; beside the config where that of a subclass holds its own arguments alone."""
    return entry.get("structure", entry["config"])


def layers_of(entry: Config) -> list[Config]:
    """The entries of a model's layers."""
    return structure_of(entry)["layers"]


def is_model(entry: Config) -> bool:
    """Whether an entry, in minicnn's form, is a model's; a subclass is under its own name."""
    if entry["class_name"] in MODELS or "structure" in entry:
        return True
    inner = entry["config"].get("layers")  # the entries of an own layer's layers are without "name"
    return isinstance(inner, list) and bool(inner) and all(isinstance(e, dict) and "name" in e for e in inner)


def parts_of(config: Config, by_class: bool) -> Config | None:
    """The node of a model that has such parts; None for any other."""
    parts = config.get("parts")
    return None if parts is None else parts["by_class" if by_class else "by_graph"]


def weights_in_order(node: Config) -> dict[str, bool]:
    """Weight → whether it is trained, as Keras lists them: an object's own ones, then those of its layers."""
    found = dict(node["weights"])
    for layer in node["layers"]:
        found |= {name: flag for name, flag in weights_in_order(layer).items() if name not in found}
    return found


def in_order(names: Iterable[str], node: Config | None) -> list[str]:
    """The weights in the order of a node, if there is one."""
    names = list(names)
    known = {} if node is None else weights_in_order(node)
    return [name for name in known if name in set(names)] + [name for name in names if name not in known]


def untrained(node: Config) -> set[str]:
    """The weights of a node that no optimizer changes."""
    return {name for name, flag in weights_in_order(node).items() if not flag}


def trained_first(node: Config) -> list[str]:
    """The weights of a layer as Keras's old files list them."""
    weights = weights_in_order(node)
    return sorted(weights, key=lambda name: not weights[name])


def is_functional(entry: Config) -> bool:
    """Whether a model's entry has calls; otherwise it is a stack."""
    return "input_layers" in structure_of(entry)


def is_one(histories: Any) -> bool:
    """Whether this is the history of one tensor, ``[layer, call, output]``, not a list or dict of them."""
    if isinstance(histories, dict):
        return False
    return not isinstance(histories, list | tuple) or (bool(histories) and isinstance(histories[0], str))


def each_history(function: Callable[[Any], Any], histories: Any, depth: int = 0) -> Any:
    """Histories in the form of a model's inputs or outputs, with `function` applied to each.

    Raises
    ------
    FileFormatError
        If they are nested too deep.
    """
    if depth > MAX_DEPTH:
        raise FileFormatError(f"inputs or outputs are nested more than {MAX_DEPTH} deep")
    if is_one(histories):
        return function(histories)
    if isinstance(histories, dict):
        return {key: each_history(function, part, depth + 1) for key, part in histories.items()}
    return type(histories)(each_history(function, part, depth + 1) for part in histories)


def histories_of(ends: Any) -> list[Any]:
    """All histories in a model's inputs or outputs, dicts in the order of their keys: that of the tensors."""
    if is_one(ends):
        return [ends]
    parts = [ends[key] for key in sorted(ends)] if isinstance(ends, dict) else ends
    return [history for part in parts for history in histories_of(part)]


def paths(entry: Config, prefix: str = "") -> Iterator[str]:
    """The layers of a model, "layer" or "model/layer"."""
    for layer in layers_of(entry) if is_model(entry) else ():
        yield f"{prefix}{layer['name']}"  # Keras leaves out those of users' layers without a get_config
        yield from paths(layer, f"{prefix}{layer['name']}/")


def occurrences(entry: Config, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(path, name) of every place where a model has a weight.

    Parameters
    ----------
    entry : dict
        The model's, where a layer or model that occurs several times has a "shared_object_id".
    names : iterable of str
        Of the weights, each once: the path of its first place.
    """
    grouped, homes = defaultdict(list), {}
    for name in names:
        grouped[name.rpartition("/")[0] + "/"].append(name)

    def walk(entry, path, home):
        for layer in layers_of(entry):
            here, own = f"{path}{layer['name']}/", f"{home}{layer['name']}/"
            if (identity := layer.get("shared_object_id")) is not None:
                own = homes.setdefault(identity, own)
            if is_model(layer):
                yield from walk(layer, here, own)
            else:  # its own weights, and those of the layers that a layer of the user's is made of
                parents = [parent for parent in grouped if parent.startswith(own)]
                yield from ((here + name.removeprefix(own), name) for parent in parents for name in grouped[parent])

    return walk(entry, "", "")


def earlier_calls(entry: Config) -> dict[int, dict[str, int]]:
    """How often Keras 3 has called each layer of a model that it reads, before it comes to the model's own calls.

    It takes a tensor's number among all calls of the layer, while what it writes counts the calls in the model at hand:
    with a layer that occurs in an inner model too, it cannot read its own files (3.15.1). A Sequential calls all its
    layers anew with every one that is put on it, before the next one is read.

    Returns
    -------
    dict
        ``id`` of a functional model's entry → layer name → number of calls.
    """
    counts, earlier, known = Counter(), {}, {}

    def read(entry):
        identity = entry.get("shared_object_id", (id(entry),))
        if identity in known or not is_model(entry):
            return identity
        known[identity] = entry
        found = []
        for layer in layers_of(entry):
            found.append((layer, read(layer)))
            if not is_functional(entry):
                counts.update(key for below, key in found if below["class_name"] != "InputLayer")
        if is_functional(entry):
            earlier[id(entry)] = {layer["name"]: counts[key] for layer, key in found}
            for layer, key in found:
                counts[key] += len(layer["inbound_nodes"])
        return identity

    read(entry)
    return earlier


def without_earlier_calls(structure: Config) -> None:
    """Count the calls of a functional model, in minicnn's form, in that model alone, whoever wrote it: in place.

    Each of its calls leads to an output, so that the last one is referred to.
    """
    histories = [t["config"]["keras_history"] for e in structure["layers"] for t in _tensors(e["inbound_nodes"])]
    histories += histories_of(structure["output_layers"])
    highest = defaultdict(int)
    for name, call, _ in histories:
        highest[name] = max(highest[name], call)
    for entry in structure["layers"]:
        highest[entry["name"]] -= max(len(entry["inbound_nodes"]) - 1, 0)
    for history in histories:
        history[1] -= max(highest[history[0]], 0)


def _tensors(calls):
    for call in calls:
        for value in call["args"]:
            yield from value if isinstance(value, list) else [value]
