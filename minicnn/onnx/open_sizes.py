"""Files whose inputs have open sizes: they are read for two sizes, and what agrees is the model for all.

What an operator becomes may depend on sizes, which a file may even compute with. So the model is made for numbers in
their place, twice, and what differs between the two is open: sizes of inputs, and one axis of a `Reshape`. Anything
else that differs is refused. A third, odd size is tried too, since padding may hide between even ones.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.errors import FileFormatError
from minicnn.models import Model
from minicnn.onnx.reader import FileGraph
from minicnn.parameters import weights_from_file

STEPS = (32, 64, 512)
"""Numbers in the place of open sizes are multiples of one of these, from three times it on."""


def import_for_all_sizes(graph: FileGraph, make: Callable[[FileGraph], Model]) -> Model:
    """The model of a graph some of whose inputs' sizes are None.

    Parameters
    ----------
    graph : FileGraph
    make : function
        The model of a graph whose sizes are all known.

    Raises
    ------
    FileFormatError
        Naming a layer that depends on the sizes; or what `make` raises for all sizes that were tried.
    """
    first, second, third = _made(graph, make)
    config = _merged_configs(first, second)
    if third is not None:
        _merged_configs(first, third)
    with weights_from_file(first.count_params()):
        model = Model.from_config(config)
    model.set_weights(first.get_weights())
    return model


def _made(graph, make):
    """The models for three sizes, the last one None if there is none of odd size."""
    error = None
    for step in STEPS:
        try:
            graphs = [_with_numbers(graph, step, base) for base in (3, 3 + len(graph.open_sizes))]
            first, second = map(make, graphs)
        except FileFormatError as refused:
            error = error or refused
        else:
            _check_decisions(*graphs)
            try:
                return first, second, make(_with_numbers(graph, step, 3, more=1))
            except FileFormatError:  # many networks take multiples of a size
                return first, second, None
    if not _may_depend_on_sizes(graph, make):
        raise error
    raise FileFormatError(
        f"{error}. The file leaves sizes open, of which some were tried; if it is for certain sizes, say which: "
        "import_onnx(path, input_shape=(48, None, 3))"
    )


def _may_depend_on_sizes(graph, make) -> bool:
    """Whether a graph that is refused is so for some of the sizes alone, or for reasons that change with them."""
    reasons = set()
    for step in STEPS:
        try:
            make(replace(_with_numbers(graph, step, 3), open_sizes=()))
        except FileFormatError as refused:
            reasons.add(str(refused))
        else:
            return True
    return len(reasons) > 1


def _with_numbers(graph, step, base, more=0):
    """The graph with other numbers for other open sizes."""
    numbers = {name: step * (base + index) + more for index, name in enumerate(graph.open_sizes)}
    shapes = {name: tuple(numbers.get(n, n) for n in shape) for name, shape in graph.inputs.items()}
    return replace(graph, inputs=shapes, decisions=[])


def _check_decisions(first, second):
    """Raise `FileFormatError` if an If asks for an open size: another one than those tried may decide otherwise."""
    for own, other in zip(first.decisions, second.decisions, strict=False):
        for name in own.keys() & other.keys():
            if not np.array_equal(own[name], other[name]):
                sizes = f"{own[name].tolist()} for one size and {other[name].tolist()} for another"
                raise _refused(name.rpartition("\0")[2], f"a condition (If) on {sizes}")


def _merged_configs(first, second) -> dict[str, Any]:
    """The config of two models of which only sizes differ."""
    configs = first.get_config(), second.get_config()
    layers = [config["layers"] for config in configs]
    names = [[layer["name"] for layer in entries] for entries in layers]
    if names[0] != names[1]:
        odd = next((pair for pair in zip(*names, strict=False) if pair[0] != pair[1]), (names[0][-1], names[1][-1]))
        raise _refused(odd[0], f"layer '{odd[0]}' for one size and '{odd[1]}' for another")
    for own, other in zip(first.weights, second.weights, strict=False):
        if own.shape != other.shape or not np.array_equal(own.numpy(), other.numpy()):
            raise _refused(own.path, f"weights of shapes {own.shape} and {other.shape}")
    merged = []
    for entry, other in zip(*layers, strict=True):
        for path, a, b in _differences(entry, other):
            if path[-1] not in ("shape", "target_shape") or not _is_one_shape(a, b, path[-1]):
                raise _refused(entry["name"], f"{path[-1]}={a!r} for one size and {b!r} for another")
        merged.append(_merged(entry, other))
    return configs[0] | {"layers": merged}


def _refused(name, received):
    return FileFormatError(
        f"'{name}' depends on a size that the file leaves open, and no layer here does: say which sizes "
        "the inputs have, import_onnx(path, input_shape=(320, 320, 3)), or write the file for them. "
        f"Received: {received}"
    )


def _differences(a: Any, b: Any, path: tuple[Any, ...] = ("layer",)) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """(keys that lead there, value of one, value of the other) of what differs between two configs."""
    if isinstance(a, Mapping) and isinstance(b, Mapping) and a.keys() == b.keys():
        for key in a:
            yield from _differences(a[key], b[key], (*path, key))
    elif path[-1] not in ("shape", "target_shape") and _are_lists(a, b):
        for index, pair in enumerate(zip(a, b, strict=True)):
            yield from _differences(*pair, (*path[:-1], f"{path[-1]}[{index}]"))
    elif a != b:
        yield path, a, b


def _are_lists(a, b):
    return isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b)


def _is_one_shape(a, b, name) -> bool:
    """Whether two shapes are one with open sizes; a `Reshape` can compute one size."""
    return _are_lists(a, b) and (name == "shape" or sum(m != n for m, n in zip(a, b, strict=True)) == 1)


def _merged(a: Any, b: Any, key: Any = None) -> Any:
    """The config with open sizes."""
    if isinstance(a, Mapping):
        return {name: _merged(a[name], b[name], name) for name in a}
    if isinstance(a, list | tuple):
        unknown = {"shape": None, "target_shape": -1}.get(key)
        if key in ("shape", "target_shape"):
            return [m if m == n else unknown for m, n in zip(a, b, strict=True)]
        return [_merged(m, n) for m, n in zip(a, b, strict=True)]
    return a
