"""What training makes small: losses and their gradients.

A loss is averaged over the samples of a batch, and over all other axes but the classes', which is Keras's
'sum_over_batch_size'. Sample weights multiply the samples' losses; the sum is still divided by the number of samples.

Formulas are derived in ``docs/formulas.md``; p is a probability, z a logit (the value before softmax or sigmoid), t the
target. Classes have names in lower case too, as in Keras: ``loss=losses.categorical_crossentropy``.
"""

from types import MappingProxyType

import numpy as np

from minicnn.backends.reference import ops as reference
from minicnn.checks import check_number
from minicnn.registry import ANY, Configurable, Registry

EPSILON = 1e-7  # probabilities are kept this far from 0 and 1 before their logarithm is taken, as in Keras


class Loss(Configurable):
    """Base class; a subclass writes `check_target` and `compute`.

    Parameters
    ----------
    **options
        Keras's further arguments (`keras_only`) are accepted with the values that change nothing.

    Attributes
    ----------
    takes_logits_of : tuple of str
        If the model ends in one of these activations, `compute` wants the values before it, with ``from_logits=True``.
    """

    takes_logits_of = ()
    keras_only = MappingProxyType(
        {"name": ANY, "reduction": ("sum_over_batch_size", "auto"), "dtype": (None,)}  # "auto": Keras 2's default
    )

    def __init__(self, **options):
        self.check_options(options)

    def __call__(self, y_true, y_pred, sample_weight=None) -> float:
        """The mean loss of arrays, computed in float64.

        Parameters
        ----------
        y_true : array-like (N, …)
            As `check_target` accepts it.
        y_pred : array-like (N, …)
            What a model would predict: logits only with ``from_logits=True``.
        sample_weight : array-like (N,) or float, optional

        Returns
        -------
        float

        Raises
        ------
        ValueError, TypeError
            If shapes or values do not fit.
        """
        prediction = np.ascontiguousarray(_real_array(y_pred, "y_pred"), np.float64)
        target = self.check_target(y_true, prediction.shape[1:])
        if len(target) != len(prediction) or not prediction.size:
            raise ValueError(
                "y_true and y_pred need the same number of samples, at least one. "
                f"Received: {len(target)} and {len(prediction)}"
            )
        weight = None if sample_weight is None else _weight_vector(sample_weight, len(prediction))
        return float(self.compute(prediction, target, weight, None, reference))

    def check_target(self, target, output_shape):
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
        target, output_shape = _real_array(target), tuple(output_shape)
        if target.shape[1:] not in element_shapes(output_shape):
            raise ValueError(
                f"{type(self).__name__} compares target and output element by element; expected a target of shape "
                f"{with_batch(output_shape)}{_flatten_hint(target, output_shape, 1 + len(output_shape))}. "
                f"Received: a target of shape {target.shape}"
            )
        target = target.reshape(len(target), *output_shape)
        _check_finite(target)
        return target

    def placeholder_target(self, count, output_shape):
        """Some valid targets for `count` samples, checked already: what a rehearsal needs.

        Returns
        -------
        numpy array
        """
        return np.zeros((count, *output_shape), np.float32)

    def compute(self, prediction, target, weight, gradient, kernels, from_logits=None) -> float:
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
        kernels : namespace
            A backend's kernels.
        from_logits : bool, optional
            Whether `prediction` holds logits; default: the loss's own option.

        Returns
        -------
        float
            Σ weight · loss / N, added up in float64 (on a GPU: a 0-d array, so that nothing waits for it).
        """
        raise NotImplementedError


_registry = Registry("loss", Loss)
register = _registry.register
__getattr__ = _registry.module_getattr(__name__, "ElementwiseLoss")


def get(identifier) -> Loss:
    """A loss from a name such as 'mse', an instance, a class or a config.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, for anything else.
    """
    return _registry.get(identifier)


# ---------------------------------------------------------------------------------------------------- regression


class ElementwiseLoss(Loss):
    """Base of losses that compare prediction and target element by element; a subclass writes `elements`."""

    def compute(self, prediction, target, weight, gradient, kernels, from_logits=None):
        elements = self.elements(prediction, target, gradient, from_logits)  # shape of prediction
        per_sample = elements.reshape(len(prediction), -1).sum(axis=1, dtype=np.float64)  # (N,)
        if weight is not None:
            per_sample *= weight
        if gradient is not None:
            gradient *= 1 / prediction.size
            if weight is not None:
                gradient *= weight.reshape(-1, *[1] * (prediction.ndim - 1))
        return per_sample.sum() / prediction.size

    def elements(self, prediction, target, gradient, from_logits):
        """The loss of each element, an array like `prediction`; assigns the derivatives to `gradient`, if given."""
        raise NotImplementedError


@register("mse")
class MeanSquaredError(ElementwiseLoss):
    """(p − t)², derivative 2 · (p − t)."""

    def elements(self, prediction, target, gradient, from_logits):
        difference = np.subtract(prediction, _cast(target, prediction), out=gradient)
        squares = difference * difference
        if gradient is not None:
            gradient *= 2
        return squares


@register("mae")
class MeanAbsoluteError(ElementwiseLoss):
    """|p − t|, derivative sign(p − t), 0 where they are equal."""

    def elements(self, prediction, target, gradient, from_logits):
        difference = np.subtract(prediction, _cast(target, prediction), out=gradient)
        distances = np.abs(difference)
        if gradient is not None:
            np.sign(difference, out=gradient)
        return distances


# ------------------------------------------------------------------------------------------------- cross-entropy


@register("bce")
class BinaryCrossentropy(ElementwiseLoss):
    """−t · log p − (1 − t) · log(1 − p) for each output on its own.

    Parameters
    ----------
    from_logits : bool, default False
        Whether predictions are logits. A model that ends in a sigmoid or softmax is computed from its logits anyway.
    label_smoothing : float in [0, 1), default 0
        Move the targets by this part of the way to 1/2.
    **options
        See `Loss`.
    """

    takes_logits_of = ("softmax", "sigmoid")
    keras_only = Loss.keras_only | {"axis": (-1,)}

    def __init__(self, from_logits=False, label_smoothing=0.0, **options):
        super().__init__(**options)
        self.from_logits = _check_from_logits(self, from_logits)
        self.label_smoothing = check_number("label_smoothing", label_smoothing, below=1)

    def check_target(self, target, output_shape):
        target = super().check_target(target, output_shape)
        outside = (target < 0) | (target > 1)
        if outside.any():
            position = _first(outside)
            raise ValueError(
                "binary_crossentropy needs targets from 0 to 1; map other labels to these first, e.g. -1 and 1 by "
                f"(y + 1) / 2. Received: {target[position]} at position {_show(position)}"
            )
        return target

    def elements(self, prediction, target, gradient, from_logits):
        target = _cast(target, prediction)
        if self.label_smoothing:
            target = target * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        from_logits = self.from_logits if from_logits is None else from_logits
        formula = self._from_logits if from_logits else self._from_probabilities
        return formula(prediction, target, gradient)

    @staticmethod
    def _from_logits(z, t, gradient):
        """max(z, 0) − z · t + log(1 + exp(−|z|)), which cannot overflow; derivative sigmoid(z) − t."""
        e = np.exp(-np.abs(z))
        if gradient is not None:
            np.divide(np.where(z >= 0, np.ones_like(e), e), 1 + e, out=gradient)  # sigmoid(z)
            gradient -= t
        return np.maximum(z, 0) - z * t + np.log1p(e)

    @staticmethod
    def _from_probabilities(p, t, gradient):
        """The formula itself on clipped probabilities; no gradient where clipping changed something."""
        clipped = p.clip(EPSILON, 1 - EPSILON)
        if gradient is not None:
            np.divide(clipped - t, clipped * (1 - clipped), out=gradient)
            gradient *= clipped == p
        return -(t * np.log(clipped) + (1 - t) * np.log1p(-clipped))


class _ClassLoss(Loss):
    """Base of losses on (…, C) outputs with one row for each decision; a subclass writes `rows`."""

    takes_logits_of = ("softmax", "sigmoid")
    keras_only = Loss.keras_only | {"axis": (-1,)}

    def compute(self, prediction, target, weight, gradient, kernels, from_logits=None):
        from_logits = self.from_logits if from_logits is None else from_logits
        rows = prediction.reshape(-1, prediction.shape[-1])  # (rows, C)
        row_weight = _row_weights(prediction, len(rows), weight)
        loss = np.empty_like(row_weight)
        target = target.reshape(len(rows), *target.shape[prediction.ndim - 1 :])  # (rows,) or (rows, C)
        self.rows(rows, target, row_weight, loss, _as_rows(gradient), kernels, from_logits)
        loss *= row_weight
        return loss.sum(dtype=np.float64)

    def rows(self, prediction, target, weight, loss, gradient, kernels, from_logits):
        """Assign each row's loss to `loss`, unweighted, and the derivative of weight · loss to `gradient`, if given.

        Parameters
        ----------
        prediction : (rows, C)
        target : (rows,) or (rows, C)
        weight, loss : (rows,)
        gradient : (rows, C) or None
        kernels, from_logits
            As in `compute`.
        """
        raise NotImplementedError


@register
class SparseCategoricalCrossentropy(_ClassLoss):
    """−log p[t] for a class number t.

    Parameters
    ----------
    from_logits : bool, default False
        Whether predictions are logits. A model that ends in a sigmoid or softmax is computed from its logits anyway.
    **options
        See `Loss`.
    """

    keras_only = _ClassLoss.keras_only | {"ignore_class": (None,)}

    def __init__(self, from_logits=False, **options):
        super().__init__(**options)
        self.from_logits = _check_from_logits(self, from_logits)

    def placeholder_target(self, count, output_shape):
        return np.zeros((count, *output_shape[:-1]), np.int64)

    def check_target(self, target, output_shape):
        """As `Loss.check_target`: class numbers of shape (N,) or (N, 1), for images (N, H, W); returned as int64."""
        target, output_shape = _real_array(target), _class_shape(output_shape)
        if target.shape[1:] == output_shape and output_shape[-1] > 1:
            raise ValueError(
                "sparse_categorical_crossentropy takes class numbers, and these targets have one column per class: use "
                "loss='categorical_crossentropy', or convert them with y.argmax(axis=-1). "
                f"Received: a target of shape {target.shape}"
            )
        if target.shape[1:] not in label_shapes(output_shape):
            raise ValueError(
                "sparse_categorical_crossentropy takes one class number for each row of the output; expected a target "
                f"of shape {with_batch(output_shape[:-1])} for an output of shape {with_batch(output_shape)}"
                f"{_flatten_hint(target, output_shape, len(output_shape))}. Received: a target of shape {target.shape}"
            )
        _check_labels(target, output_shape[-1])
        return target.reshape(len(target), *output_shape[:-1]).astype(np.int64, copy=False)

    def rows(self, prediction, target, weight, loss, gradient, kernels, from_logits):
        if from_logits:
            kernels.softmax_cross_entropy(prediction, target, weight, loss, gradient)
            return
        # As Keras: softmax of the logarithm, which divides the clipped probabilities by their sum.
        clipped = prediction.clip(EPSILON, 1 - EPSILON)
        kernels.softmax_cross_entropy(np.log(clipped), target, weight, loss, gradient)
        if gradient is not None:
            gradient /= clipped  # d log(p) / dp
            gradient *= clipped == prediction


@register
class CategoricalCrossentropy(_ClassLoss):
    """−Σ t · log p over the classes, for targets with one column per class (one-hot or probabilities).

    Parameters
    ----------
    from_logits : bool, default False
        Whether predictions are logits. A model that ends in a sigmoid or softmax is computed from its logits anyway.
    label_smoothing : float in [0, 1), default 0
        Move the targets by this part of the way to 1 / C (Szegedy et al.: "Rethinking the Inception architecture for
        computer vision", 2016).
    **options
        See `Loss`.
    """

    def __init__(self, from_logits=False, label_smoothing=0.0, **options):
        super().__init__(**options)
        self.from_logits = _check_from_logits(self, from_logits)
        self.label_smoothing = check_number("label_smoothing", label_smoothing, below=1)

    def check_target(self, target, output_shape):
        """As `Loss.check_target`: real numbers of the output's shape (N, C) or (N, H, W, C)."""
        target, output_shape = _real_array(target), _class_shape(output_shape)
        if target.shape[1:] != output_shape and target.shape[1:] in label_shapes(output_shape):
            raise ValueError(
                "categorical_crossentropy takes targets with one column per class, and these look like class numbers: "
                "use loss='sparse_categorical_crossentropy', or convert them with "
                f"utils.to_categorical(y, {output_shape[-1]}). "
                f"Received: a target of shape {target.shape}"
            )
        if target.shape[1:] != output_shape:
            raise ValueError(
                f"categorical_crossentropy expected a target of the output's shape {with_batch(output_shape)}"
                f"{_flatten_hint(target, output_shape, 1 + len(output_shape))}. "
                f"Received: a target of shape {target.shape}"
            )
        _check_finite(target)
        return target

    def rows(self, prediction, target, weight, loss, gradient, kernels, from_logits):
        target = _cast(target, prediction)
        if self.label_smoothing:
            target = target * (1 - self.label_smoothing) + self.label_smoothing / target.shape[-1]
        if from_logits:
            kernels.softmax_cross_entropy(prediction, target, weight, loss, gradient)
        else:
            self._from_probabilities(prediction, target, weight, loss, gradient)

    @staticmethod
    def _from_probabilities(prediction, target, weight, loss, gradient):
        """With p = prediction / Σ prediction, clipped: d loss / d prediction = (slope − Σ slope · p) / Σ prediction."""
        total = prediction.sum(axis=1, keepdims=True)  # (rows, 1)
        p = prediction / total
        clipped = p.clip(EPSILON, 1 - EPSILON)
        loss[...] = -(target * np.log(clipped)).sum(axis=1)
        if gradient is None:
            return
        slope = -target / clipped * (clipped == p)  # d loss / dp
        np.subtract(slope, (slope * p).sum(axis=1, keepdims=True), out=gradient)
        gradient *= weight[:, None] / total


# ----------------------------------------------------------------------------------------------- arrays of a batch


def _row_weights(prediction, rows, weight):
    """What each of the (rows,) decisions counts: sample weight / rows."""
    if weight is None:
        return np.full_like(prediction, 1 / rows, shape=rows)
    per_sample = np.multiply(weight, 1 / rows).astype(prediction.dtype, copy=False)
    return per_sample if rows == len(per_sample) else np.repeat(per_sample, rows // len(per_sample))


def _as_rows(gradient):
    """`gradient` as (rows, C), the same memory."""
    if gradient is None or gradient.ndim == 2:
        return gradient
    if not gradient.flags.c_contiguous:  # reshape would make a copy, and the gradient would be lost
        raise ValueError("`gradient` must be C-contiguous. Received: an array with other strides")
    return gradient.reshape(-1, gradient.shape[-1])


def _cast(target, prediction):
    """`target` in the dtype of `prediction`."""
    return target.astype(prediction.dtype, copy=False)


# ------------------------------------------------- shapes of targets, without the batch axis; metrics use them too


def element_shapes(output_shape) -> tuple:
    """What a sample's target may look like that is compared with the output element by element: (…) or, for 1, none."""
    return (output_shape, output_shape[:-1]) if output_shape[-1:] == (1,) else (output_shape,)


def label_shapes(output_shape) -> tuple:
    """What a sample's class numbers may look like for an output (…, C): (…) or (…, 1)."""
    return output_shape[:-1], (*output_shape[:-1], 1)


def with_batch(shape) -> str:
    """A shape with the batch axis, as text: '(N, 10)'."""
    return f"({', '.join(['N', *map(str, shape)])}{',' if not shape else ''})"


def _class_shape(output_shape):
    """`output_shape` as a tuple, if it has an axis for the classes."""
    if not output_shape:
        raise ValueError("predictions need a last axis with one column per class. Received: the shape (N,)")
    return tuple(output_shape)


def _flatten_hint(target, output_shape, needed) -> str:
    """A guess at why an output (…, C) needs targets of `needed` axes where the user has fewer, for a message."""
    axes = target.ndim - (target.ndim > 1 and target.shape[-1] == 1)  # a column counts as a vector
    return " (is a Flatten missing before the last Dense?)" if len(output_shape) > 1 and axes < needed else ""


# -------------------------------------------------------------------------------------------- checks of values


def _check_from_logits(loss, value) -> bool:
    """`value`, if it is True or False: an array means that the class was called as if it were a loss function."""
    if not isinstance(value, bool | np.bool_):
        name = type(loss).__name__
        raise TypeError(
            f"`from_logits` of {name} is True or False; the loss of arrays is {name}()(y_true, y_pred). "
            f"Received: an object of type {type(value).__name__}"
        )
    return bool(value)


def _weight_vector(weight, count):
    """Sample weights as a float64 vector (count,)."""
    weight = np.asarray(weight)
    if weight.dtype.kind not in "biuf" or weight.shape not in ((), (count,)):
        raise ValueError(
            f"sample_weight is a number or has one for each of {count} samples. "
            f"Received: an array of shape {weight.shape}, dtype {weight.dtype}"
        )
    return np.broadcast_to(weight.astype(np.float64), count)


def _real_array(array, name="targets"):
    """`array` as a NumPy array of real numbers with a batch axis."""
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be real numbers. Received: an array of dtype {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"{name} need a first axis for the samples. Received: the single number {array}")
    return array


def _check_finite(target):
    """Raise unless all targets are finite."""
    if target.dtype.kind == "f" and not np.isfinite(target).all():
        position = _first(~np.isfinite(target))
        raise ValueError(f"targets must be finite. Received: {target[position]} at position {_show(position)}")


def _check_labels(target, classes):
    """Raise unless all targets are whole numbers from 0 to classes − 1."""
    if target.dtype.kind == "f" and not np.array_equal(target, np.floor(target)):
        position = _first(target != np.floor(target))
        raise ValueError(f"class numbers must be whole. Received: {target[position]} at position {_show(position)}")
    outside = (target < 0) | (target >= classes)
    if outside.any():
        position = _first(outside)
        hint = "; for two classes and one output use binary_crossentropy" if classes == 1 else ""
        raise ValueError(
            f"class numbers must be from 0 to {classes - 1}, since the output has {classes} column(s){hint}. "
            f"Received: {target[position]} at position {_show(position)}"
        )


def _first(mask):
    """Index tuple of the first True."""
    return tuple(int(i) for i in np.unravel_index(mask.argmax(), mask.shape))


def _show(position):
    """An index tuple as a user writes it."""
    return str(position[0]) if len(position) == 1 else str(position)
