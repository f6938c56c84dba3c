"""What a metric is."""

import numpy as np
from numpy.typing import ArrayLike

from minicnn.hints import Config, Shape
from minicnn.layers.names import snake_case
from minicnn.losses.targets import with_batch
from minicnn.metrics.of_arrays import OfArrays, check_dtype
from minicnn.own_parts import unwritten
from minicnn.registry import Configurable, Register, Registry


class Metric(OfArrays, Configurable):
    """Base class: a mean over the samples since `reset_state`; a subclass writes `values` and maybe `target_shapes`.

    One that is no mean writes `reset_state`, `update_state` and `result`; attributes that begin with "_" are its state.

    Parameters
    ----------
    name : str, optional
        Key in the history; default: the class's own, such as "binary_accuracy", or the class's name in snake case.
    dtype : str, optional
        As in Keras; sums are float64 in any case.
    **options
        Keras's further arguments (`keras_only`) are accepted with the values that change nothing.
    """

    direction: str | None = None  # "max" or "min": which values are better, for callbacks; None: not known
    sibling: str | None = (
        None  # for messages: the name of the metric that takes class numbers where this takes columns, or reverse
    )

    def __init__(self, name: str | None = None, dtype: str | None = None, **options: object):
        self.check_options(options)
        self.dtype: str | None = check_dtype(dtype)
        name = getattr(self, "name", snake_case(type(self).__name__)) if name is None else name
        if not isinstance(name, str):
            raise TypeError(
                f"the name of a {type(self).__name__} is a string. Received: an object of type {type(name).__name__}"
            )
        self.name: str = name
        self.reset_state()

    def reset_state(self) -> None:
        """Forget all batches."""
        self._sum, self._count = 0, 0

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...] | None:
        """The shapes, without the batch axis, that a sample's target may have; the usual one first. None: any."""
        return None

    def check(self, output_shape: Shape, target_shape: Shape) -> None:
        """Check that outputs and targets fit each other, before the first batch.

        Parameters
        ----------
        output_shape : tuple of int
            The model's, without the batch axis.
        target_shape : tuple of int
            That of the array of all targets, (N, …).

        Raises
        ------
        ValueError
            If they do not.
        """
        shapes = self.target_shapes(tuple(output_shape))
        if shapes is not None and tuple(target_shape[1:]) not in shapes:
            hint = f"; {self.sibling} takes the other form of targets" if self.sibling else ""
            raise ValueError(
                f"metric '{self.name}' ({type(self).__name__}) expected a target of shape {with_batch(shapes[0])} for "
                f"an output of shape {with_batch(output_shape)}{hint}. Received: a target of shape "
                f"{tuple(target_shape)}"
            )

    @np.errstate(under="ignore")
    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Take a batch into account.

        Parameters
        ----------
        y_true : array-like (N, …)
            Targets; see `check`.
        y_pred : array-like (N, …)
            The model's output (after its activation).
        sample_weight : array-like (N,), (N, 1), one for each value, or float, optional

        Raises
        ------
        ValueError
            If their shapes do not fit.
        """
        y_true, y_pred = self.pair(y_true, y_pred)
        total, count = self.weighted(self.measure, y_true, y_pred, sample_weight)
        self._sum = self._sum + total
        self._count += count

    def measure(self, target: np.ndarray, prediction: np.ndarray) -> tuple[float | np.ndarray, int]:
        """The batch's (sum, number of summands); the sum may be a 0-d array."""
        if type(self).values is OfArrays.values:
            raise unwritten(self, "measure")
        values = self.values(target, prediction)
        total = np.count_nonzero(values) if values.dtype == bool else values.sum(dtype=np.float64)
        return self.by_samples(total, values)

    def result(self) -> float:
        """The mean so far; 0 before the first batch."""
        return float(self._sum) / self._count if self._count else 0.0

    def get_state(self) -> Config:
        """The sums so far, for a checkpoint in the middle of an epoch: every attribute that begins with "_"."""
        return {name: value for name, value in vars(self).items() if name.startswith("_")}

    def set_state(self, state: Config) -> None:
        """Go on from what `get_state` returned."""
        vars(self).update(state)


registry: Registry[Metric] = Registry("metric", Metric)
register: Register = registry.register
