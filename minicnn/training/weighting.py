"""Weights of samples and pixels in losses and metrics."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from inspect import unwrap
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from minicnn import metrics
from minicnn.data.elements import lent
from minicnn.losses.no_loss import NoLoss
from minicnn.metrics import Metric
from minicnn.own_parts import is_of_package
from minicnn.training import told_metrics
from minicnn.training.added_metrics import Added, measured_in, numbers_of_places
from minicnn.training.columns import had_columns
from minicnn.training.measured_ends import is_own_function, seen_by

if TYPE_CHECKING:
    from minicnn.last_function import Last
    from minicnn.models.compilable import CompilableNetwork
    from minicnn.training.totals import Totals


def by_row(
    prediction: np.ndarray, target: np.ndarray, weight: np.ndarray, gradient: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Each row of the last axis as a sample of its own: a loss is the mean of theirs, so that it stays the same.

    Parameters
    ----------
    prediction : array (N, …, C)
    target : array (N, …) or (N, …, C)
    weight : array (N, …)
    gradient : array like `prediction`, or None

    Returns
    -------
    tuple
        The same with a single axis in place of (N, …); `gradient` in the same memory.
    """
    rows, axes = weight.size, weight.ndim
    return (
        prediction.reshape(rows, *prediction.shape[axes:]),
        target.reshape(rows, *target.shape[axes:]),
        weight.reshape(rows),
        None if gradient is None else gradient.reshape(rows, *gradient.shape[axes:]),
    )


class Weighted:
    """A metric in which samples count by their weights.

    Parameters
    ----------
    metric : Metric
        A mean, of which `measure` gives sum and number.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def __getattr__(self, name: str) -> Any:
        if name == "_metric":  # of a copy that is being made
            raise AttributeError(name)
        return getattr(self._metric, name)

    def __repr__(self) -> str:
        return f"Weighted({self._metric!r})"


def update(
    metric: Metric | Weighted,
    target: np.ndarray,
    output: np.ndarray,
    weight: np.ndarray | None,
    measured: tuple[Last, np.ndarray] | None,
) -> None:
    """Take a batch into account; `weight`, (N,) or (N, …) like rows of the output, counts where it should.

    Parameters
    ----------
    metric : Metric or Weighted
    target, output, weight : array
    measured : (Last, array) or None
        What gave the output, of what, where a metric looks for that.
    """
    metric, weight = (metric._metric, weight) if isinstance(metric, Weighted) else (metric, None)
    target = target[..., None] if vars(metric).get("gets_column") else target  # (N, …, 1), as they were given
    if isinstance(output, np.ndarray) and not is_of_package(type(metric).update_state):
        target, output = lent(target), lent(output)
    named = naming(metric, f", of targets {target.shape} and outputs {output.shape}")
    with named, seen_by(metric, output, measured) as seen:
        metric.update_state(target, seen, *([] if weight is None else [weight]))


@contextmanager
def naming(metric: Metric, given: str = "") -> Iterator[None]:
    """Have what goes wrong in a user's metric begin with its name, as a model may have many.

    Parameters
    ----------
    metric : Metric
    given : str
        What is said behind the name.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if is_own_function(metric) and len(error.args) == 1 and f"'{metric.name}'" not in str(error.args[0]):
            error.args = (f"metric '{metric.name}'{given}: {error.args[0]}",)
        raise


def value_in_logs(metric: Metric | Weighted) -> float | np.ndarray:
    """A metric's result: a float, or an array of one for each class."""
    with naming(metric._metric if isinstance(metric, Weighted) else metric):
        value = metric.result()
    return np.array(value) if np.ndim(value) else float(value)


def is_own_mean(metric: Metric | Weighted) -> bool:
    """Whether a metric is an unweighted mean of the library's, whose sum can add up on a device."""
    cls = type(metric)
    if isinstance(metric, Weighted) or not cls.__module__.startswith("minicnn."):
        return False
    return (
        unwrap(cls.update_state) is unwrap(Metric.update_state)
        and unwrap(cls.result) is Metric.result
        and metric.on_device
    )


def names_of_losses(model: CompilableNetwork) -> list[tuple[int, str]]:
    """(index of the output, name in the logs) of each output's own loss; none if there is only one."""
    learnt = [i for i, loss in enumerate(model.compiled.losses) if not isinstance(loss, NoLoss)]
    names = model.log_names()
    return [(i, f"{names[i][0]}_loss") for i in learnt] if len(learnt) > 1 else []


def _known(shape, target):
    """The output's shape, in which the target, which is checked already, gives the sizes that are open."""
    return tuple(target[i] if size is None and i < len(target) else size for i, size in enumerate(shape))


def keep_columns(measured: Sequence[tuple[str, int, Metric | Weighted]], checks: Sequence[object]) -> None:
    """Have users' metrics get class numbers in a column, (N, 1), where these were given as that.

    Parameters
    ----------
    measured : list
        What `named_metrics` returned.
    checks : sequence
        What has checked the targets of each output.
    """
    had = had_columns(checks)
    for _, index, metric in measured:
        if is_own_function(metric):
            vars(metric._metric if isinstance(metric, Weighted) else metric)["gets_column"] = had.get(index, False)


def label_of(prefix: str, name: str, is_weighted: bool, taken: Collection[str]) -> str:
    """What a metric is called in the logs, where some names are taken, as in Keras."""
    label = f"{prefix}weighted_{name}" if is_weighted and prefix + name in taken else prefix + name
    numbered = (f"{label}_{number}" for number in itertools.count(1))
    return next(each for each in itertools.chain([label], numbered) if each not in taken)


class NamedMetrics(list[tuple[str, int, "Metric | Weighted"]]):
    """(name in the logs, index of the output, metric) of each, none of which another pass over data counts with.

    Parameters
    ----------
    model : CompilableNetwork
        Whose they are; not kept alive.
    found : iterable
        Of these.
    told : sequence of (Metric or None)
        What `compile` was given, where a metric is a twin of that.
    """

    def __init__(
        self,
        model: CompilableNetwork,
        found: Iterable[tuple[str, int, Metric | Weighted]],
        told: Sequence[Metric | None],
    ) -> None:
        super().__init__(found)
        self._model, self._told = ref(model), told

    def begin(self, totals: Totals) -> None:
        """Forget all batches; `totals`, whose they are, are the last that the model counts with."""
        forgets = True
        if (model := self._model()) is not None:
            forgets = told_metrics.have_counted(model)
            vars(model)["_last_totals"] = totals
        for (_, _, metric), told in zip(self, self._told, strict=True):
            told_metrics.begin(metric._metric if isinstance(metric, Weighted) else metric, told, forgets)


def named_metrics(model: CompilableNetwork, targets: Sequence[np.ndarray]) -> NamedMetrics:
    """(name in the logs, index of the output, metric) of all that `compile` and `add_metric` were told.

    Parameters
    ----------
    model : CompilableNetwork
    targets : list of array
        Checked targets: their shapes decide what "accuracy" means.

    Raises
    ------
    ValueError
        If one is called as the loss.
    """
    compiled, names, found, told = model.compiled, model.log_names(), {}, []
    of_losses = [f"{own}_loss" for _, own in names] if len(names) > 1 else []
    for wanted, is_weighted in ((compiled.metrics, False), (compiled.weighted_metrics, True)):
        for index, entries in enumerate(wanted):
            for entry in entries:
                target_shape = targets[index].shape
                shape = _known(model.outputs[index].shape[1:], target_shape[1:])
                metric = metrics.get(entry, loss=compiled.losses[index], output_shape=shape, target_shape=target_shape)
                metric.check(shape, target_shape)
                prefix = f"{names[index][1]}_" if len(names) > 1 else ""
                label = label_of(prefix, metric.name, is_weighted, [*found, *of_losses])
                if label == "loss":
                    raise ValueError("a metric needs another name than 'loss'. Received: 'loss'")
                told.append(metric if metric is entry else None)
                made = copy.copy(metric) if metric is entry else metric
                found[label] = (label, index, Weighted(made) if is_weighted else made)
    for name, places in measured_in(model.graph).items():
        if name == "loss" or name in found or name in (f"{own}_loss" for _, own in names):
            raise ValueError(f"add_metric needs a name that no loss and no other metric has. Received: {name!r}")
        found[name] = (name, 0, Added(name, places, numbers_of_places(model.graph)))
    return NamedMetrics(model, found.values(), told + [None] * (len(found) - len(told)))
