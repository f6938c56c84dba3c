"""Which learning rate: a short training in which it grows, on a copy of the model."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.checks import check_number, check_positive_int
from minicnn.errors import NonFiniteError
from minicnn.models import Model
from minicnn.models.arguments import check_model
from minicnn.optimizers.schedules import LearningRateSchedule
from minicnn.training.sources import BATCH_SIZE
from minicnn.visualization.figures import BLUE, VERMILION, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTHING = 0.9  # of the loss: the weight of what came before
TOO_HIGH = 4.0  # times the lowest smoothed loss: training has diverged
LEAST_STEPS = 8  # before it may


@dataclass(frozen=True)
class LearningRates:
    """What a range test measured.

    Attributes
    ----------
    rates : array (K,)
        Learning rates, growing.
    losses : array (K,)
        The loss of the batch that was trained with each, smoothed.
    suggestion : float
        A tenth of the rate with the lowest loss.
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float


def find_learning_rate(
    model: Model,
    x: Any,
    y: Any,
    batch_size: int = BATCH_SIZE,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
) -> LearningRates:
    """Train a copy of the model, each batch with a higher rate, until the loss grows; the model stays as it is.

    The range test of Smith: "Cyclical Learning Rates for Training Neural Networks", 2017, with rates that grow by a
    factor, and a loss that is an exponential mean (0.9) of those of the batches. A tenth of the rate with the lowest
    loss is suggested (Howard, Gugger: "Deep Learning for Coders with fastai and PyTorch", 2020, chapter 5).

    Parameters
    ----------
    model : Model
        Compiled, with an optimizer that has a number as its rate.
    x, y :
        Training data as arrays, as for `fit`. Batches follow each other in the data's order, which is shuffled once.
    batch_size : int, default 32
    lowest, highest : float, default 1e-6 and 1
        The first rate and the last.
    steps : int, default 100
        How many batches at most.

    Returns
    -------
    LearningRates

    Raises
    ------
    NotCompiledError, ShapeError, ValueError, TypeError
        If the model cannot be trained on the data, or the rates are no range.
    """
    check_model(model, "find_learning_rate")._need_compiled()
    check_positive_int("steps", steps, minimum=LEAST_STEPS)
    lowest, highest = check_number("lowest", lowest, above=0), check_number("highest", highest, above=0)
    if not lowest < highest:
        raise ValueError(f"lowest is below highest. Received: lowest={lowest}, highest={highest}")
    _check_rate(model)
    trained = copy.deepcopy(model)
    x, y = np.asarray(x), np.asarray(y)
    if not (x.ndim and y.ndim and len(x) == len(y)):
        raise ValueError(f"x and y need as many samples. Received: x of shape {x.shape}, y of shape {y.shape}")
    order = np.random.default_rng(trained.seed).permutation(len(x))
    size = min(check_positive_int("batch_size", batch_size), len(x))
    rates, losses, mean = np.geomspace(lowest, highest, steps), [], 0.0
    for step, rate in enumerate(rates):
        rows = np.take(order, np.arange(step * size, (step + 1) * size), mode="wrap")
        trained.optimizer.learning_rate = float(rate)
        rates[step] = trained.optimizer.current_learning_rate  # less, where the optimizer's decay= goes on
        try:
            loss = trained.train_on_batch(x[rows], y[rows], return_dict=True)["loss"]
        except NonFiniteError:
            break
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        losses.append(mean / (1 - SMOOTHING ** (step + 1)))
        if losses[-1] > TOO_HIGH * min(losses):
            break
    return _suggested(rates[: len(losses)], np.array(losses))


def _check_rate(model):
    """Refuse an optimizer whose rate is a schedule."""
    if isinstance(model.optimizer.learning_rate, LearningRateSchedule):
        raise TypeError(
            "a range test sets the learning rate: compile with a number, e.g. Adam(0.001), and with the schedule "
            f"afterwards. Received: learning_rate={model.optimizer.learning_rate!r}"
        )


def _suggested(rates, losses):
    """The rates, with a tenth of that with the lowest loss."""
    if len(losses) < LEAST_STEPS:
        raise ValueError(
            "the loss grew from the first rates on: begin with a lower one, lowest=, or scale the data. "
            f"Received: {len(losses)} steps from a rate of {rates[0] if len(rates) else math.nan:.1e}"
        )
    return LearningRates(rates, losses, float(rates[losses.argmin()]) / 10)


def plot_learning_rate_finder(
    model: Model,
    x: Any,
    y: Any,
    batch_size: int = BATCH_SIZE,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
) -> Figure:
    """The loss by the learning rate, and a rate that suits; the model stays as it is.

    Parameters
    ----------
    model, x, y, batch_size, lowest, highest, steps :
        As for `find_learning_rate`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    NotCompiledError, ShapeError, ValueError, TypeError
        As for `find_learning_rate`.
    ImportError
        If matplotlib is not installed.
    """
    figure = new_figure(5.4, 3.6)
    found = find_learning_rate(model, x, y, batch_size, lowest, highest, steps)
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, color=BLUE)
    axes.axvline(found.suggestion, color=VERMILION, linestyle="--", label=f"suggested: {found.suggestion:.1e}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss (smoothed)")
    axes.set_title(f"{len(found.rates)} batches of {min(batch_size, len(x)):,}, each with a higher rate", size=9.5)
    start, least = found.losses[0], found.losses.min()
    axes.set_ylim(least - 0.1 * max(start - least, 1e-3), start + 0.6 * max(start - least, 1e-3))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
    return figure
