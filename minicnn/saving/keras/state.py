"""Which weights are whose in Keras's files, and an optimizer's state as Keras lists it.

Keras 3's order of an optimizer's variables: iterations, learning rate (unless that is a schedule), then the state
vectors of each weight that is trained, weight by weight; some come before or after the others
(`Optimizer.keras_groups`). tf.keras has no learning rate there, and before 2.11 it went state vector by state vector.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minicnn import optimizers
from minicnn.errors import FileFormatError
from minicnn.hints import Config, Shape
from minicnn.saving import hdf5
from minicnn.saving.files import check_arrays
from minicnn.saving.keras.compiled import NOT_IN_KERAS
from minicnn.saving.keras.structure import in_order, is_model, layers_of, parts_of, untrained
from minicnn.saving.snapshot import Snapshot

STATE = ("moving_mean", "moving_variance", "mean", "variance", "count", "vector_u")  # what has no gradient


# ------------------------------------------------------------------------------------------- which weights are whose


def names_by_layer(names: Iterable[str], prefix: str = "") -> dict[str, list[str]]:
    """Layer → names of its weights, in order; of a model used as a layer, of all in it.

    Parameters
    ----------
    names : iterable of str
        "layer/weight" or "model/layer/weight".
    prefix : str
        "model/" for the layers of a model inside another: all names start with it.
    """
    grouped = {}
    for name in names:
        grouped.setdefault(name[len(prefix) :].partition("/")[0], []).append(name)
    return grouped


def frozen_names(config: Config, names: Iterable[str], node: Config | None) -> set[str]:
    """The weights that no optimizer changes: those of frozen layers, and moving averages.

    Where there is a node, it says so of each; configs do not know of the layers that a layer is made of.
    """
    return _frozen_by_config(config, names) if node is None else untrained(node)


def _frozen_by_config(config, names, prefix="", trainable=True) -> set[str]:
    frozen, grouped = set(), names_by_layer(names, prefix)
    for entry in layers_of(config):
        own = grouped.get(entry["name"], [])
        changes = trainable and entry["config"].get("trainable", True)
        while entry["class_name"] == "TimeDistributed":
            entry = entry["config"]["layer"] | {"name": entry["name"]}
            changes = changes and entry["config"].get("trainable", True)
        if is_model(entry):
            frozen |= _frozen_by_config(entry, own, f"{prefix}{entry['name']}/", changes)
        else:
            frozen |= {name for name in own if not changes or name.rpartition("/")[2] in STATE}
    return frozen


# ---------------------------------------------------------------------------------------------- an optimizer's state


def optimizer_arrays(snapshot: Snapshot) -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) of all of an optimizer's variables, in Keras 3's order."""
    config, state = snapshot.compile["optimizer"]["config"], snapshot.optimizer
    kept = {name: value for name, value in config.items() if name not in NOT_IN_KERAS}
    told = snapshot.compile["optimizer"] | {"config": kept}  # what the file's reader makes: its state, not another's
    try:
        optimizer = optimizers.get(told)
    except ValueError:  # of a schedule's class, which is the user's: only whoever reads the file has to be told of it
        optimizer = optimizers.get({**told, "config": {**kept, "learning_rate": 0.001}})
    yield "iteration", np.int64(0 if state is None else state["iterations"])
    if not isinstance(rate := config.get("learning_rate"), dict | None):
        yield "learning_rate", np.float32(rate)
    node = parts_of(snapshot.config, by_class=False)
    frozen = frozen_names(snapshot.config, snapshot.weights, node)
    for slot, name in _in_groups(optimizer, [name for name in in_order(snapshot.weights, node) if name not in frozen]):
        weight = snapshot.weights[name]
        vector = state["slots"][slot][name] if state else np.full_like(weight, optimizer.initial(slot))
        part = optimizer.keras_part(slot, vector, name)
        if part is not None:
            yield f"{name}_{slot}", np.asarray(part, order="C")  # which leaves () as it is
    for name, value in optimizer.keras_scalars(state["iterations"] if state else 0).items():
        yield name, np.float32(value)


def _in_groups(optimizer, names):
    """(state vector, weight) in Keras 3's order."""
    return [(slot, name) for group in optimizer.keras_groups for name in names for slot in group]


def optimizer_state(
    datasets: list[hdf5.Dataset],
    slots: tuple[str, ...],
    expected: dict[str, Shape],
    config: Config,
    compiled: dict[str, Any],
    by_slot: bool = False,
    node: Config | None = None,
) -> dict[str, Any] | None:
    """The state from the optimizer's variables in Keras's order.

    Parameters
    ----------
    datasets : list of Dataset
        Iterations, learning rate or not, then the state vectors.
    slots, expected, config :
        As for `minicnn.saving.snapshot.Reader.optimizer`.
    compiled : dict
        As `Snapshot.compile`.
    by_slot : bool
        Whether all weights' first state vector comes before all weights' second.
    node : dict, optional
        Of the model, where weights go by attributes; see `minicnn.saving.keras.attributes`.

    Returns
    -------
    dict or None
        None if the optimizer has done no iteration.
    """
    iterations = _iterations(datasets)
    vectors = [dataset for dataset in datasets[1:] if dataset.shape != ()]
    if not vectors and iterations == 0:
        return None
    frozen = frozen_names(config, expected, node)
    trained = [name for name in in_order(expected, node) if name not in frozen]
    if not slots:  # Keras 2 keeps momentum vectors without momentum
        return {"iterations": iterations, "slots": {}}
    optimizer = optimizers.get(compiled["optimizer"])
    wanted = [(slot, name) for slot in slots for name in trained] if by_slot else _in_groups(optimizer, trained)
    parts = _parts_in_file(optimizer, wanted, expected)
    if any(expected[name] == () for _, name in parts):  # which shapes do not tell from rates and placeholders
        end = len(datasets) - len(optimizer.keras_scalars(iterations))
        vectors = [
            d for d, part in zip(datasets[end - len(parts) : end], parts.values(), strict=False) if _is_state(part)
        ]
    found = _matched(vectors, {pair: part.shape for pair, part in parts.items() if _is_state(part)})
    state = {slot: {} for slot in slots}
    for slot, name in wanted:
        state[slot][name] = _vector(optimizer, slot, found.get((slot, name)), expected[name])
    for slot in slots:
        for name in frozen & set(expected):
            state[slot][name] = np.full(expected[name], optimizer.initial(slot), np.float32)
    return {"iterations": iterations, "slots": {s: {n: state[s][n] for n in expected} for s in slots}}


def _iterations(datasets) -> int:
    """How many iterations an optimizer has done: its first variable."""
    if not datasets or datasets[0].shape != () or datasets[0].dtype.kind not in "iu":
        raise FileFormatError("an optimizer's first variable is its number of steps")
    iterations = int(datasets[0].read())
    if not 0 <= iterations < 2**63:
        raise FileFormatError(f"an optimizer's number of steps is not negative. Received: {iterations}")
    return iterations


def _vector(optimizer, slot, dataset, shape) -> np.ndarray:
    """A weight's state vector, from what the file holds of it; its first value where that is nothing."""
    if dataset is None:
        return np.full(shape, optimizer.initial(slot), np.float32)
    part = hdf5.read_finite(dataset)
    return part if part.shape == shape else np.broadcast_to(optimizer.from_keras_part(slot, part), shape).copy()


def _parts_in_file(optimizer, wanted, expected) -> dict:
    """(slot, weight) → an array like what Keras's files hold of it, for those that they have."""
    parts = {
        (slot, name): optimizer.keras_part(slot, np.broadcast_to(np.float32(0), expected[name]), name)
        for slot, name in wanted
    }
    return {pair: part for pair, part in parts.items() if part is not None}


def _is_state(part) -> bool:
    """Whether it is more than the whole number that only holds a place."""
    return part.dtype.kind == "f"


def _matched(vectors, wanted) -> dict:
    """(slot, weight) → dataset, of the `wanted` ones, with their shapes, in that order, if `vectors` are just these."""
    labels = {pair: "{1} ({0})".format(*pair) for pair in wanted}
    found = dict(zip(wanted, vectors, strict=False))
    shapes = {labels[pair]: dataset.shape for pair, dataset in found.items()}
    shapes |= {dataset.path: dataset.shape for dataset in vectors[len(wanted) :]}
    try:
        check_arrays(shapes, {labels[pair]: shape for pair, shape in wanted.items()})
    except FileFormatError as error:
        raise FileFormatError(
            f"the optimizer's state does not fit; load_model(…, compile=False) leaves it out: {error}"
        ) from None
    return found
