"""Arguments of `compile` that go output by output: one for all, a list, a dict by name, or the form of the outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minicnn import losses
from minicnn.checks import for_outputs
from minicnn.losses.no_loss import NoLoss
from minicnn.nested import form, is_plain, leaves, matched
from minicnn.plan.program import lower
from minicnn.registry import is_config

if TYPE_CHECKING:
    from minicnn.models.compilable import CompilableNetwork


def per_output(argument: str, value: object, model: CompilableNetwork, default: object = None) -> list[Any]:
    """One entry for each output; a dict may leave some out, which get `default`.

    Parameters
    ----------
    argument : str
        For messages.
    value : object
        One entry for all, or a list, dict or nested structure of entries; entries are no lists.
    model : CompilableNetwork
    default : object

    Raises
    ------
    ValueError
        If it has another form than the outputs.
    """
    if not model.built:
        return for_outputs(argument, value, None, model.foreseen_output_names())
    names = model.output_names
    if not isinstance(value, list | tuple | dict) or is_config(value):
        return [value] * len(names)
    if not is_plain(model.output_structure):
        return matched(model.output_structure, value, argument, default)
    if isinstance(value, dict):
        return _by_name(argument, value, names, default)
    return for_outputs(argument, value, len(names), names)


def _by_name(argument, value, names, default):
    unknown = sorted(str(name) for name in value if name not in names)
    if unknown or not value:
        raise ValueError(
            f"{argument} as a dict has an entry for each output, by its name, {names}. Received: {unknown}"
        )
    return [value.get(name, default) for name in names]


def losses_of(model: CompilableNetwork, loss: object) -> list[losses.Loss]:
    """The loss of each output from `compile`'s argument, alone or in a list: where it is None or left out, `NoLoss`."""
    entries = (e[0] if isinstance(e, list | tuple) and len(e) == 1 else e for e in per_output("loss", loss, model))
    return [NoLoss() if entry is None else losses.get(entry) for entry in entries]


def check_there_is_a_loss(model: CompilableNetwork, or_metrics: bool) -> None:
    """Raise `ValueError` if no output has a loss and no layer a penalty, so that there is nothing to make small.

    Parameters
    ----------
    model : CompilableNetwork
        Compiled and built.
    or_metrics : bool
        Whether metrics are enough.
    """
    compiled = model.compiled
    measured = or_metrics and any(compiled.metrics + compiled.weighted_metrics)
    if measured or any(not isinstance(loss, NoLoss) for loss in compiled.losses):
        return
    if not any(w.regularizer for w in model.weights) and not any(p.step.has_penalty for p in lower(model.graph).places):
        raise ValueError(
            f"there is no loss to compute: give compile a loss, e.g. loss='sparse_categorical_crossentropy'. "
            f"Received: model '{model.name}' compiled with loss=None"
        )


def shown(entries: list[losses.Loss]) -> Any:
    """The losses as users see them: one, or a list; None where there is none."""
    if any(isinstance(loss, NoLoss) for loss in entries):
        entries = [None if isinstance(loss, NoLoss) else loss for loss in entries]
    return entries[0] if len(entries) == 1 else entries


def metrics_of(model: CompilableNetwork, argument: str, value: object, count: int) -> list[list[Any]]:
    """A list of metrics for each of `count` outputs, as Keras 3 reads the argument.

    For one output, all there are are its own. For several: a list with one entry for each, a name, a metric, a list of
    them or None; or a dict by name; or the form of the outputs.

    Raises
    ------
    TypeError, ValueError
        If it is no list or dict, or does not fit the outputs.
    """
    if not value:
        return [[] for _ in range(count)]
    if not isinstance(value, list | tuple | dict) or is_config(value):
        raise TypeError(f"{argument} is a list such as ['accuracy']. Received: {value!r}")
    if isinstance(value, list | tuple) and count == 1 and any(entry is None for entry in value):
        raise TypeError(f"{argument} is a list of names and metrics. Received: None in {value!r}")
    if count > 1 or isinstance(value, dict):
        value = _entries(model, argument, value, count)
    return [_listed(entry) for entry in value] if count > 1 else [_listed(value)]


def _entries(model, argument, value, count):
    """One entry for each output."""
    names = model.output_names if model.built else model.foreseen_output_names()
    if names is None and isinstance(value, dict):  # whose keys are looked at when the model is built
        return list(value.values())
    by_position = not model.built or is_plain(model.output_structure)
    if by_position and isinstance(value, dict):
        return _by_name(argument, value, names, None)
    if by_position and len(value) != count:
        every = form([_NAMES] * count).replace("…", repr(value[0]) if isinstance(value[0], str) else "…")
        raise ValueError(
            f"{argument} as a list has one entry for each of {count} outputs{f', {names}' if names else ''}: a name, a "
            f"metric, or a list of them, as in {argument}={every}; a dict goes by those names. "
            f"Received: {len(value)} entries"
        )
    return list(value) if by_position else matched(model.output_structure, value, argument)


_NAMES = ["…"]


def _listed(entry) -> list[Any]:
    """The metrics in an entry, which may be one, a list, or None; configs are whole."""
    if is_config(entry):
        return [entry]
    if isinstance(entry, list | tuple):
        return [metric for part in entry for metric in _listed(part)]
    return [metric for metric in leaves(entry) if metric is not None]
