"""What a loss is."""

from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace

import numpy as np
from numpy.typing import ArrayLike

from minicnn.hints import Shape
from minicnn.losses import of_calls, reductions
from minicnn.losses.label_advice import columns_advice
from minicnn.losses.targets import check_finite, element_shapes, flatten_hint, real_targets, with_batch
from minicnn.registry import Configurable, Register, Registry


class Loss(reductions.Reduced, Configurable):
    """Base class; a subclass writes `check_target` and `compute`.

    Parameters
    ----------
    reduction : {'sum_over_batch_size', 'sum', 'mean_with_sample_weight', None}, default 'sum_over_batch_size'
        How the losses of all decisions become one number: their mean; their sum; their weighted sum, divided by the sum
        of the weights; None: not at all; a model then shows their mean and is trained by their sum, as in Keras. 'mean'
        is the mean too.
    name : str, optional
    **options
        Keras's further arguments (`keras_only`) are accepted with the values that change nothing.

    Attributes
    ----------
    takes_logits_of : tuple of str
        If the model ends in one of these activations, `compute` wants the values before it, with ``from_logits=True``.
    from_logits : bool
        Whether predictions are logits, unless `compute` is told otherwise.
    accuracy : str or None
        What the metric 'accuracy' stands for where the targets' shape is not known.
    """

    takes_logits_of: tuple[str, ...] = ()
    accuracy: str | None = None
    from_logits: bool = False
    keras_only: Mapping[str, object] = MappingProxyType({"dtype": (None, "float32", "float64")})

    def __init__(self, reduction: str | None = reductions.MEAN, name: str | None = None, **options: object) -> None:
        self.check_options(options)
        self.reduction: str | None = reductions.check_reduction(reduction)
        self.name: str | None = name

    def check_target(self, target: ArrayLike, output_shape: Shape) -> np.ndarray:
        """Check the targets of a whole data set, once, before training or evaluation starts.

        Parameters
        ----------
        target : array-like (N, …)
            Never changed.
        output_shape : tuple of int
            The model's, without the batch axis.

        Returns
        -------
        numpy array
            What `compute` takes batches of; `target` itself where nothing had to be converted.

        Raises
        ------
        ValueError
            If shape or values do not fit.
        TypeError
            If it does not hold real numbers.
        """
        if of_calls.has_call(self):
            return of_calls.check_target(target)
        target, output_shape = real_targets(target), tuple(output_shape)
        if target.shape[1:] not in element_shapes(output_shape):
            raise ValueError(
                f"{type(self).__name__} compares target and output element by element; expected a target of shape "
                f"{with_batch(output_shape)}{flatten_hint(target, output_shape, 1 + len(output_shape))}"
                f"{columns_advice(target, output_shape)}. Received: a target of shape {target.shape}"
            )
        target = target.reshape(len(target), *output_shape)
        check_finite(target)
        return target

    def placeholder_target(self, count: int, output_shape: Shape) -> np.ndarray:
        """Some valid targets for `count` samples, checked already: what a rehearsal needs.

        Returns
        -------
        numpy array
        """
        return np.zeros((count, *output_shape), np.float32)

    def compute(
        self,
        prediction: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray | None,
        gradient: np.ndarray | None,
        ops: SimpleNamespace,
        from_logits: object = None,
    ) -> float:
        """The loss of a batch, and its gradient.

        Parameters
        ----------
        prediction : array (N, …), float32 or float64
        target : array
            A batch of what `check_target` returned.
        weight : vector (N,) or None
            Sample weights.
        gradient : array like `prediction`, or None
            C-contiguous; is assigned the derivative of the loss by the prediction.
        ops : namespace
            A backend's ops.
        from_logits : bool or Last, optional
            Whether `prediction` holds logits, and of which function; default: the loss's own option.

        Returns
        -------
        float
            Σ weight · loss / N, or what `reduction` says, added up in float64 (on a GPU: a 0-d array, so that nothing
            waits for it).
        """
        if of_calls.has_call(self):
            return of_calls.compute(self, prediction, target, weight, gradient, ops, from_logits)
        is_logits = self.from_logits if from_logits is None else from_logits
        mean = self._compute(prediction, target, weight, gradient, ops, is_logits)
        return self.reduced(mean, prediction, target, weight, gradient)


registry: Registry[Loss] = Registry("loss", Loss)
register: Register = registry.register
