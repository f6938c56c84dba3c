"""Numbers that are reported during training and evaluation, without influence on it.

A metric adds up over the batches of an epoch. Its sums stay where the predictions are (on a GPU nothing waits for them)
until `result` is asked for. Classes have names in lower case too, as in Keras: ``metrics=[metrics.binary_accuracy]``.
"""

from types import MappingProxyType

import numpy as np

from minicnn.checks import check_number, check_positive_int
from minicnn.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    element_shapes,
    label_shapes,
    with_batch,
)
from minicnn.registry import Configurable, Registry


class Metric(Configurable):
    """Base class: a mean over all batches since `reset_state`; a subclass writes `measure` and maybe `target_shapes`.

    Parameters
    ----------
    name : str
        Key in the history.
    **options
        Keras's further arguments (`keras_only`) are accepted with the values that change nothing.
    """

    keras_only = MappingProxyType({"dtype": (None,)})
    direction = None  # "max" or "min": which values are better, for callbacks; None: not known
    sibling = None  # for messages: the name of the metric that takes class numbers where this takes columns, or reverse

    def __init__(self, name, **options):
        self.check_options(options)
        if not isinstance(name, str):
            raise TypeError(
                f"the name of a {type(self).__name__} is a string. Received: an object of type {type(name).__name__}"
            )
        self.name = name
        self.reset_state()

    def reset_state(self) -> None:
        """Forget all batches."""
        self._sum, self._count = 0, 0

    def target_shapes(self, output_shape):
        """The shapes, without the batch axis, that a sample's target may have; the usual one first. None: any."""
        return None

    def check(self, output_shape, target_shape) -> None:
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

    def update_state(self, y_true, y_pred) -> None:
        """Take a batch into account.

        Parameters
        ----------
        y_true : array-like (N, …)
            Targets; see `check`.
        y_pred : array-like (N, …)
            The model's output (after its activation).

        Raises
        ------
        ValueError
            If their shapes do not fit.
        """
        y_true, y_pred = (a if hasattr(a, "shape") else np.asarray(a) for a in (y_true, y_pred))
        self.check(y_pred.shape[1:], y_true.shape)
        if len(y_true) != len(y_pred):
            raise ValueError(
                f"metric '{self.name}' needs one target for each output. Received: {len(y_true)} and {len(y_pred)}"
            )
        total, count = self.measure(y_true, y_pred)
        self._sum = self._sum + total
        self._count += count

    def measure(self, target, prediction):
        """The batch's (sum, number of summands); the sum may be a 0-d array."""
        raise NotImplementedError

    def result(self) -> float:
        """The mean so far; 0 before the first batch."""
        return float(self._sum) / self._count if self._count else 0.0

    def get_state(self) -> dict:
        """The sums so far, for a checkpoint in the middle of an epoch: every attribute that begins with "_"."""
        return {name: value for name, value in vars(self).items() if name.startswith("_")}

    def set_state(self, state) -> None:
        """Go on from what `get_state` returned."""
        vars(self).update(state)


_registry = Registry("metric", Metric)
register = _registry.register
__getattr__ = _registry.module_getattr(__name__)


def get(identifier, loss=None, output_shape=None, target_shape=None) -> Metric:
    """A metric from a name, an instance, a class or a config.

    A metric given by its name is called by that name in the history, as in Keras: 'mse' stays 'mse'.

    Parameters
    ----------
    identifier : str, Metric, type or dict
        'accuracy' and 'acc' stand for the accuracy that fits the shapes.
    loss : Loss, optional
        Decides about 'accuracy' if `target_shape` is not known.
    output_shape : tuple of int, optional
        The model's, without the batch axis; needed for 'accuracy'.
    target_shape : tuple of int, optional
        That of the array of all targets, (N, …).

    Raises
    ------
    ValueError
        For an unknown name, or if 'accuracy' is asked for without shapes.
    TypeError
        For anything else, functions included.
    """
    if not isinstance(identifier, str):
        return _registry.get(identifier)
    if identifier.lower() in ("accuracy", "acc"):
        return accuracy_class(loss, output_shape, target_shape)(name=identifier)
    return _registry.lookup(identifier, also_known=("accuracy",))(name=identifier)


def accuracy_class(loss, output_shape, target_shape) -> type:
    """Which accuracy Keras means by 'accuracy': it depends on the shapes, not on the loss. See `get`."""
    if output_shape is None:
        raise ValueError(
            "metric 'accuracy' is chosen by the model's output shape; where there is no model, name one: "
            "'sparse_categorical_accuracy', 'categorical_accuracy' or 'binary_accuracy'. Received: output_shape=None"
        )
    if output_shape[-1:] == (1,):
        return BinaryAccuracy
    if target_shape is None:
        return _accuracy_of_loss(loss)
    is_sparse = len(target_shape) <= len(output_shape) or target_shape[-1] == 1
    return SparseCategoricalAccuracy if is_sparse else CategoricalAccuracy


def _accuracy_of_loss(loss) -> type:
    """The accuracy that takes the same targets as a loss."""
    by_loss = {
        SparseCategoricalCrossentropy: SparseCategoricalAccuracy,
        CategoricalCrossentropy: CategoricalAccuracy,
        BinaryCrossentropy: CategoricalAccuracy,
    }
    for loss_class, accuracy in by_loss.items():
        if isinstance(loss, loss_class):
            return accuracy
    raise ValueError(
        "metric 'accuracy' is chosen by the targets' shape or by a cross-entropy loss; name one instead: "
        f"'sparse_categorical_accuracy' or 'categorical_accuracy'. Received: target_shape=None, loss={loss!r}"
    )


# ------------------------------------------------------------------------------------------------------ accuracy
# Every constructor takes **options: see `Metric`.


@register
class SparseCategoricalAccuracy(Metric):
    """How often the largest output is the target's class number (N,), (N, 1) or (N, H, W)."""

    direction = "max"
    sibling = "CategoricalAccuracy"

    def __init__(self, name="sparse_categorical_accuracy", **options):
        super().__init__(name, **options)

    def target_shapes(self, output_shape):
        return label_shapes(output_shape)

    def measure(self, target, prediction):
        classes = prediction.argmax(axis=-1)
        return np.count_nonzero(classes == target.reshape(classes.shape)), classes.size


@register
class CategoricalAccuracy(Metric):
    """How often the largest output is where the largest target is; both are (N, …, C)."""

    direction = "max"
    sibling = "SparseCategoricalAccuracy"

    def __init__(self, name="categorical_accuracy", **options):
        super().__init__(name, **options)

    def target_shapes(self, output_shape):
        return (output_shape,)

    def measure(self, target, prediction):
        classes = prediction.argmax(axis=-1)
        return np.count_nonzero(classes == target.argmax(axis=-1)), classes.size


@register
class BinaryAccuracy(Metric):
    """How often an output lies above the threshold exactly if its target is 1.

    Parameters
    ----------
    name : str
    threshold : float, default 0.5
        An output equal to it counts as 0.
    """

    direction = "max"

    def __init__(self, name="binary_accuracy", threshold=0.5, **options):
        super().__init__(name, **options)
        self.threshold = check_number("threshold", threshold, minimum=-np.inf)

    def target_shapes(self, output_shape):
        return element_shapes(output_shape)

    def measure(self, target, prediction):
        hits = (prediction > self.threshold) == target.reshape(prediction.shape)
        return np.count_nonzero(hits), hits.size


@register
class SparseTopKCategoricalAccuracy(Metric):
    """How often the target's class is among the k largest outputs; outputs that tie with the k-th count.

    Parameters
    ----------
    k : int, default 5
    name : str
    """

    direction = "max"
    sibling = "TopKCategoricalAccuracy"

    def __init__(self, k=5, name="sparse_top_k_categorical_accuracy", **options):
        super().__init__(name, **options)
        self.k = check_positive_int("k", k)

    def target_shapes(self, output_shape):
        return label_shapes(output_shape)

    def measure(self, target, prediction):
        labels = target.reshape(prediction.shape[:-1]).astype(np.int64, copy=False)
        score = np.take_along_axis(prediction, labels[..., None], axis=-1)  # (N, …, 1)
        larger = (prediction > score).sum(axis=-1)  # (N, …)
        hits = (larger < self.k) & np.isfinite(score[..., 0])
        return np.count_nonzero(hits), hits.size


@register
class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """`SparseTopKCategoricalAccuracy` for targets with one column per class.

    Parameters
    ----------
    k : int, default 5
    name : str
    """

    sibling = "SparseTopKCategoricalAccuracy"

    def __init__(self, k=5, name="top_k_categorical_accuracy", **options):
        super().__init__(k, name, **options)

    def target_shapes(self, output_shape):
        return (output_shape,)

    def measure(self, target, prediction):
        return super().measure(target.argmax(axis=-1), prediction)


# ---------------------------------------------------------------------------------------------------- regression


@register("mse")
class MeanSquaredError(Metric):
    """Mean of (prediction − target)²."""

    direction = "min"

    def __init__(self, name="mean_squared_error", **options):
        super().__init__(name, **options)

    def target_shapes(self, output_shape):
        return element_shapes(output_shape)

    def measure(self, target, prediction):
        difference = prediction - target.reshape(prediction.shape)
        return np.square(difference).sum(dtype=np.float64), difference.size


@register("mae")
class MeanAbsoluteError(Metric):
    """Mean of |prediction − target|."""

    direction = "min"

    def __init__(self, name="mean_absolute_error", **options):
        super().__init__(name, **options)

    def target_shapes(self, output_shape):
        return element_shapes(output_shape)

    def measure(self, target, prediction):
        difference = prediction - target.reshape(prediction.shape)
        return np.abs(difference).sum(dtype=np.float64), difference.size


# ------------------------------------------------------------------------------------------------ confusion matrix


def class_numbers(values, argument="values"):
    """Classes from numbers, one-hot rows or probabilities.

    Parameters
    ----------
    values : array (N,) or (N, 1) of integers, or (N, C) of one-hot rows or probabilities
        Of a row, the first largest entry counts.
    argument : str
        The name that messages use.

    Returns
    -------
    array (N,), int64

    Raises
    ------
    ValueError
        If it is none of these, or a number is negative.
    """
    values = np.asarray(values)
    if values.dtype.kind in "biuf" and values.ndim == 2 and values.shape[1] > 1 and not np.isnan(values).any():
        return values.argmax(axis=1)
    column = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if column.ndim != 1 or column.dtype.kind not in "biuf" or not ((column >= 0) & (column == np.floor(column))).all():
        raise ValueError(
            f"{argument} holds class numbers from 0 on, (N,) or (N, 1), or a row of probabilities for each sample, "
            "(N, C); for one sigmoid output p, write (p > 0.5).astype(int). "
            f"Received: shape {values.shape}, dtype {values.dtype}{_range(values)}"
        )
    return column.astype(np.int64)


def _range(values) -> str:
    """The values of an array of numbers, for a message."""
    return f", values from {values.min()} to {values.max()}" if values.dtype.kind in "biuf" and values.size else ""


def confusion_matrix(y_true, y_pred, classes=None):
    """How many samples of each class were taken for which class.

    Parameters
    ----------
    y_true : array (N,) or (N, 1) of class numbers, or one-hot rows (N, C)
    y_pred : array like `y_true`, or of probabilities (N, C)
        What ``model.predict`` returns.
    classes : int, optional
        How many classes there are; default: the largest number plus one, or the C of `y_pred` or `y_true`.

    Returns
    -------
    array (classes, classes), int64
        Entry [t, p] counts the samples of class t that were predicted as p.

    Raises
    ------
    ValueError
        If lengths differ, there is no sample, or a number is not below `classes`.
    """
    true, predicted = class_numbers(y_true, "y_true"), class_numbers(y_pred, "y_pred")
    if len(true) != len(predicted) or not len(true):
        raise ValueError(
            "confusion_matrix needs a prediction for each of one or more samples. "
            f"Received: {len(true)} in y_true, {len(predicted)} in y_pred"
        )
    highest = max(true.max(), predicted.max())
    if classes is None:
        columns = (np.shape(values)[1] if np.ndim(values) == 2 else 0 for values in (y_true, y_pred))
        classes = max(int(highest) + 1, *columns)
    elif highest >= check_positive_int("classes", classes):
        raise ValueError(f"class numbers must lie in 0 … {classes - 1}. Received: {highest}")
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)
