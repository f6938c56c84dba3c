"""What metrics do with arrays besides adding up: check them, weight them, give the values of single samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_choice
from minicnn.foreign import check_open, to_numpy
from minicnn.hints import Config, Shape
from minicnn.losses.reductions import mean_of_samples, weighted_sum

_DTYPES = (None, "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8")


def check_dtype(dtype: object) -> str | None:
    """The name of a metric's dtype, of that, of a dtype or its class; Python's ``float`` is float32, as in Keras.

    Raises
    ------
    ValueError
        If it is not.
    """
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or getattr(dtype, "__name__", dtype)
    return check_choice("dtype", "float32" if dtype is float else name, _DTYPES)


class OfArrays:
    """Base of `minicnn.metrics.Metric`.

    Attributes
    ----------
    dtype : str or None
    on_device : bool
        Whether `values` computes on a GPU's arrays too.
    """

    dtype: str | None = None
    on_device: bool = True
    name: str

    if TYPE_CHECKING:

        def check(self, output_shape: Shape, target_shape: Shape) -> None: ...
        def get_state(self) -> Config: ...
        def update_state(self, *arrays: Any) -> None: ...
        def result(self) -> Any: ...

    @property
    def variables(self) -> list[np.ndarray]:
        """Copies of the sums so far, as Keras counts them: of a mean, the sum and how many there were."""
        return [np.array(value) for value in self.get_state().values()]

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        """What the mean is of: an array (N, …) for a batch."""
        raise NotImplementedError(f"{type(self).__name__} writes no `values`, which weights are for")

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """`update_state`, and what `result` is then."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def pair(self, y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Any, Any]:
        """Both as arrays, if they fit each other."""
        y_true, y_pred = _as_array(y_true, "y_true"), _as_array(y_pred, "y_pred")
        self.check(y_pred.shape[1:], y_true.shape)
        is_of_classes = self.sibling is not None and self.direction == "max"
        if is_of_classes and y_pred.ndim < 2 and not getattr(self, "from_sorted_ids", False):
            raise ValueError(
                f"metric '{self.name}' ({type(self).__name__}) takes scores, a row of one value for each class, and "
                "asks which is the largest; of class numbers Accuracy() says how many are right. "
                f"Received: y_pred of shape {y_pred.shape}"
            )
        if len(y_true) != len(y_pred):
            raise ValueError(
                f"metric '{self.name}' needs one target for each output. Received: {len(y_true)} and {len(y_pred)}"
            )
        return y_true, y_pred

    @staticmethod
    def by_samples(total: Any, values: np.ndarray) -> tuple[Any, Any]:
        """A batch's (sum, number of summands): each sample counts once, with the mean of its values, as in Keras."""
        return mean_of_samples(total, values.size, values.shape)

    @np.errstate(under="ignore")
    def weighted(
        self, measure: Callable[..., tuple[Any, Any]], y_true: Any, y_pred: Any, weight: ArrayLike | None
    ) -> tuple[Any, Any]:
        """A batch's (Σ weight · value, Σ weight); without weights what `measure` says."""
        return measure(y_true, y_pred) if weight is None else weighted_sum(self.values(y_true, y_pred), weight)

    @np.errstate(under="ignore")
    def of_arrays(self, y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
        """`values` of arrays, which are checked; nothing is added up."""
        return self.values(*self.pair(y_true, y_pred))

    def get_config(self) -> Config:
        """The constructor's arguments; `dtype` where it was given."""
        config = super().get_config() | {"name": self.name}
        return config if self.dtype is None else config | {"dtype": self.dtype}


def _as_array(value, name):
    """An array of a GPU as it is; no masked values, which would count as they were before."""
    check_open(value)
    return value if hasattr(value, "shape") and not isinstance(value, np.ma.MaskedArray) else to_numpy(value, name)
