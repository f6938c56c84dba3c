"""Operations of ``keras.ops`` that are several layers: the recipes' layers in the place of the file's entry."""

from __future__ import annotations

from typing import Any

from minicnn import layers
from minicnn.errors import FileFormatError
from minicnn.hints import Config
from minicnn.saving.keras import axis_recipes, number_recipes, part_recipes
from minicnn.saving.keras.named_recipes import by_name, has_name
from minicnn.saving.keras.names import is_own
from minicnn.saving.keras.operation_table import BY_CLASS
from minicnn.saving.keras.operations import check_wraps_nothing, is_operation, without_operations
from minicnn.saving.keras.recipe import RECIPES, Operation, is_tensor
from minicnn.user_warnings import brief

RECIPE_MODULES = (axis_recipes, number_recipes, part_recipes)
"""Those that note their recipes as they are imported."""


def layers_of_operations(entries: list[Config], ends: Any) -> tuple[list[Config], Any]:
    """(entries, ends) in which layers stand in the place of operations; outputs of an operation may be several layers'.

    Parameters
    ----------
    entries : list of dict
        Of a model's layers.
    ends : list or dict
        The model's outputs.
    """
    found, outputs = [], {}
    for entry in entries:
        parts, names = _made(entry)
        found += parts
        outputs |= {(entry["name"], index): name for index, name in enumerate(names)}
    if not outputs:
        return found, ends
    for entry in found:
        if entry.get("inbound_nodes"):
            entry["inbound_nodes"] = _renamed(entry["inbound_nodes"], outputs)
    return found, _renamed(ends, outputs)


def _made(entry) -> tuple[list[Config], list[str]]:
    """(the entries in an entry's place, the layers that give its outputs if these are several)."""
    calls = entry.get("inbound_nodes")
    if not isinstance(calls, list) or len(calls) < 2 or not _is_of_keras(entry | {"inbound_nodes": calls[:1]}):
        return _made_of_call(entry)
    made = [_made_of_call(entry | {"inbound_nodes": [call]}) for call in calls]
    parts, names = made[0]
    kinds = [[_uncalled(part) for part in others] for others, _ in made]
    if any(kind != kinds[0] for kind in kinds):
        raise FileFormatError(
            f"operation {brief(entry['name'])} ({entry['class_name']}) is called several times, with arguments "
            "for which it is different layers here; use one operation for each call"
        )
    inside = {(part["name"], 0): part["name"] for part in parts}
    for number, (others, _) in enumerate(made[1:], 1):
        for part, other in zip(parts, others, strict=True):
            part["inbound_nodes"] += _renamed(other["inbound_nodes"], inside, number)
    return parts, names


def _uncalled(part):
    """An entry without its calls."""
    return {key: value for key, value in part.items() if key != "inbound_nodes"}


def _made_of_call(entry) -> tuple[list[Config], list[str]]:
    """The same of an entry with one call."""
    alone = without_operations(entry)
    if alone is not entry or not _is_of_keras(entry) or is_own(entry["class_name"]):
        return [alone], []
    if entry["class_name"] not in BY_CLASS and entry["class_name"] not in RECIPES:
        if entry["class_name"] in layers.CLASSES:
            return [alone], []
        raise _no_layers(entry["name"], entry["class_name"], entry["config"])
    operation = Operation(entry)
    check_wraps_nothing(operation.kind, operation.args)
    made = RECIPES[operation.kind](operation) if operation.kind in RECIPES else None
    if made is None:
        operation.made.clear()
        made = by_name(operation)
    if made is None and operation.kind in layers.CLASSES and operation.kind not in RECIPES:
        return [alone], []  # such as Concatenate, of tensors in a list as the layer's
    if made is None:
        others = [value for value in operation.args if not is_tensor(value)]
        raise _no_layers(
            operation.name, operation.kind, operation.options, f", beside tensors {brief(others)}", has_name(operation)
        )
    outputs = made if isinstance(made, list) else [made]
    names = [output["config"]["keras_history"][0] for output in outputs]
    if isinstance(made, dict):
        if not operation.made or names[0] != operation.made[-1]["name"]:
            operation.add("Identity", made)
        last = operation.made[-1]
        last["name"] = last["config"]["name"] = operation.name
        return operation.made, []
    return operation.made, names


def _no_layers(name, kind, options, beside="", has_name=False):
    advice = "make it a layer of your own, and read the file with custom_objects"
    return FileFormatError(
        f"operation {brief(name)} ({kind}): there are no layers that do the same, sample by sample, with these "
        f"arguments; {'import minicnn.keras, which calls it by its name' if has_name else advice}. "
        f"Received: {brief(options)}{beside}"
    )


def _is_of_keras(entry) -> bool:
    """Whether an entry is an operation's, with one call."""
    config, calls = entry.get("config"), entry.get("inbound_nodes")
    if not isinstance(config, dict) or not is_operation(entry, config):
        return False
    if entry["class_name"] not in RECIPES and not isinstance(entry.get("module"), str):
        return False  # of an .h5 file, which does not tell it from a layer that is not known
    has_call = isinstance(calls, list) and len(calls) == 1 and isinstance(calls[0], dict)
    return has_call and isinstance(calls[0].get("args"), list) and isinstance(entry.get("name"), str)


def _renamed(value, outputs, call=None):
    """Calls or ends with the layers that give an operation's outputs; in these layers' own call of that number."""
    if isinstance(value, dict):
        return {key: _renamed(part, outputs, call) for key, part in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) == 3 and isinstance(value[0], str) and (value[0], value[2]) in outputs:
        return [outputs[value[0], value[2]], value[1] if call is None else call, 0]
    return [_renamed(part, outputs, call) for part in value]
