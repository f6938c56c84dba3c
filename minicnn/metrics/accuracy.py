"""How often a model is right, and which of the accuracies 'accuracy' means.

Every constructor takes **options: see `Metric`.
"""

import numpy as np

from minicnn.checks import check_number
from minicnn.hints import Config, Shape
from minicnn.losses.base import Loss
from minicnn.losses.targets import element_shapes, label_shapes
from minicnn.metrics.base import Metric, register, registry
from minicnn.metrics.means import wrapped

__all__ = ["BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy", "accuracy_class"]


class _ClassAccuracy(Metric):
    """Base of accuracies of one class out of several; a subclass writes `_classes`."""

    direction: str | None = "max"

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        predicted = prediction.argmax(axis=-1)  # (N, …)
        return predicted == self._classes(target, predicted.shape)

    def _classes(self, target, shape):
        """The class numbers in a target, of that shape."""
        raise NotImplementedError


@register
class SparseCategoricalAccuracy(_ClassAccuracy):
    """How often the largest output is the target's class number (N,), (N, 1) or (N, H, W)."""

    name: str = "sparse_categorical_accuracy"
    sibling: str | None = "CategoricalAccuracy"

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return label_shapes(output_shape)

    def _classes(self, target, shape):
        return target.reshape(shape)


@register
class CategoricalAccuracy(_ClassAccuracy):
    """How often the largest output is where the largest target is; both are (N, …, C)."""

    name: str = "categorical_accuracy"
    sibling: str | None = "SparseCategoricalAccuracy"

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return (output_shape,)

    def _classes(self, target, shape):
        return target.argmax(axis=-1)


@register
class BinaryAccuracy(Metric):
    """How often an output lies above the threshold exactly if its target is 1.

    Parameters
    ----------
    name : str
    threshold : float, default 0.5
        An output equal to it counts as 0.
    """

    name: str = "binary_accuracy"
    direction: str | None = "max"

    def __init__(self, name: str | None = None, threshold: float = 0.5, **options: object):
        super().__init__(name, **options)
        self.threshold: float = check_number("threshold", threshold, minimum=-np.inf)

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return element_shapes(output_shape)

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        return (prediction > self.threshold) == target.reshape(prediction.shape)


# ------------------------------------------------------------------------------------------------------------- by name


def get(
    identifier: str | Metric | type[Metric] | Config,
    loss: Loss | None = None,
    output_shape: Shape | None = None,
    target_shape: Shape | None = None,
) -> Metric:
    """A metric from a name, an instance, a class or a config.

    A metric given by its name is called by that name in the history, as in Keras: 'mse' stays 'mse'.

    Parameters
    ----------
    identifier : str, Metric, type, dict or function of (y_true, y_pred)
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
        For anything else.
    """
    if not isinstance(identifier, str):
        return wrapped(identifier)
    if identifier.lower() in ("accuracy", "acc"):
        return accuracy_class(loss, output_shape, target_shape)(name=identifier)
    return registry.lookup(identifier, also_known=("accuracy",))(name=identifier)


def accuracy_class(loss: Loss | None, output_shape: Shape | None, target_shape: Shape | None) -> type[Metric]:
    """Which accuracy Keras means by 'accuracy': it depends on the shapes, not on the loss. See `get`.

    Parameters
    ----------
    loss : Loss or None
    output_shape : tuple of int or None
        The model's, without the batch axis.
    target_shape : tuple of int or None
        That of the array of all targets, (N, …); None: it is not known.
    """
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


def _accuracy_of_loss(loss) -> type[Metric]:
    """The accuracy that takes the same targets as a loss."""
    if loss is not None and loss.accuracy is not None:
        return registry.lookup(loss.accuracy)
    raise ValueError(
        "metric 'accuracy' is chosen by the targets' shape or by a cross-entropy loss; name one instead: "
        f"'sparse_categorical_accuracy' or 'categorical_accuracy'. Received: target_shape=None, loss={loss!r}"
    )
