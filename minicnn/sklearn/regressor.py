"""The regressor."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin

from minicnn import random
from minicnn.sklearn.base import CNN


class CNNRegressor(RegressorMixin, CNN):
    """A convolutional network that estimates one number for each image, or several, as an estimator of scikit-learn.

    Parameters
    ----------
    model, epochs, batch_size, image_shape, optimizer, learning_rate, early_stopping, validation_fraction, \
n_iter_no_change, random_state, verbose :
        As for `CNNClassifier`. A function `model` gets the number of targets as `units`, and targets as they are; the
        networks that go by names learn targets with mean 0 and standard deviation 1. Early stopping holds back samples
        at random.

    Attributes
    ----------
    model_, image_shape_, n_features_in_, n_iter_, history_ :
        As those of `CNNClassifier`; the losses are those of scaled targets.
    """

    task = "number of targets"
    activation: str | None = None
    loss = "mean_squared_error"

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train a new network to make the mean squared error small.

        Parameters
        ----------
        X : array (N, H, W), (N, H, W, C) or (N, numbers)
        y : array (N,) or (N, targets)
        sample_weight : array (N,) or float, optional
            How much each sample counts in the loss.

        Raises
        ------
        ValueError, TypeError
            For data or parameters that do not fit.
        """
        images, y = self._images(X, reset=True, y=_numbers(y), multi_output=True, y_numeric=True)
        self._begin_targets(images, y)
        self._train(images, self._scaled(y), self.epochs, sample_weight)
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """One epoch on these samples; the first call's decide how numbers and targets are scaled."""
        is_first = not hasattr(self, "model_")
        images, y = self._images(X, reset=is_first, y=_numbers(y), multi_output=True, y_numeric=True)
        if is_first:
            self._begin_targets(images, y)
        elif y.shape[1:] != self._target_shape:
            expected = "(N,)" if not self._target_shape else f"(N, {self._target_shape[0]})"
            raise ValueError(f"expected targets {expected}, as in the first call. Received: y {y.shape}")
        self._train(images, self._scaled(y), 1, sample_weight)
        return self

    def _begin_targets(self, images, y):
        self._target_shape = y.shape[1:]
        rows = y.reshape(len(y), -1).astype(np.float64)  # (N, targets)
        scales = not callable(self.model)
        self._mean = rows.mean(axis=0) if scales else np.zeros(rows.shape[1])
        deviation = rows.std(axis=0)
        self._deviation = np.where(scales & (deviation > 0), deviation, 1.0)
        self._begin(images, rows.shape[1])

    def _scaled(self, y):
        return (y.reshape(len(y), -1) - self._mean) / self._deviation

    def _split(self, targets):
        order = random.generator(self._seed, "split").permutation(len(targets))
        count = min(max(1, round(self.validation_fraction * len(order))), len(order) - 1)
        return order[count:], order[:count]

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The estimates, of the shape that `y` had: (N,) or (N, targets)."""
        outputs = self._outputs(X)
        return (outputs * self._deviation + self._mean).reshape(-1, *self._target_shape)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _numbers(y):
    """Targets that are numbers written as text as numbers: scikit-learn reads those in arrays of objects only."""
    if type(y) not in (list, tuple, np.ndarray) or np.asarray(y).dtype.kind not in "US":
        return y
    try:
        return np.asarray(y, np.float64)
    except ValueError as error:
        raise ValueError(f"targets are numbers, and classes are for CNNClassifier. Received: {error}") from None
