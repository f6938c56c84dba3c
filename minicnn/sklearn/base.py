"""What the estimators share: data in, a network made and trained, numbers out."""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from minicnn import networks, optimizers, random
from minicnn.callbacks import EarlyStopping
from minicnn.checks import check_number, check_positive_int
from minicnn.layers import Input, Rescaling
from minicnn.models import Model, Sequential
from minicnn.networks import ImageShape
from minicnn.own_parts import check_takes
from minicnn.sklearn.shapes import as_rows, check_readable, shape_of_rows, warn_of_channels

_building = threading.Lock()
_handed_over: weakref.WeakSet[Model] = weakref.WeakSet()  # models that functions have returned


class CNN(BaseEstimator):
    """Base of the estimators; see `CNNClassifier` for the parameters."""

    task: str  # what messages call it
    activation: str | None  # of the output of a network that goes by its name
    loss: str

    def __init__(
        self,
        model: str | Callable[..., Model] = "simple",
        epochs: int = 10,
        batch_size: int = 32,
        image_shape: tuple[int, ...] | None = None,
        optimizer: Any = "adam",
        learning_rate: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        random_state: Any = None,
        verbose: Any = 0,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.image_shape = image_shape
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.verbose = verbose

    # ------------------------------------------------------------------------------------------------------- data in

    def _images(self, X, reset, **options):
        """(images (N, H, W, C), and y where it is among the options), checked by scikit-learn."""
        check_readable({"X": X, "y": options.get("y")})
        rows, shape = as_rows(X)
        if shape is not None and self.image_shape is not None:
            given = shape_of_rows(int(np.prod(shape)), self.image_shape)
            if given != shape:
                raise ValueError(f"image_shape={self.image_shape} is another one. Received: images {shape}")
        checked = validate_data(self, rows, reset=reset, **options)
        rows, rest = (checked[0], checked[1:]) if "y" in options else (checked, ())
        if reset:
            warn_of_channels(shape)
            self.image_shape_: ImageShape = shape or shape_of_rows(rows.shape[1], self.image_shape)
        elif shape not in (None, self.image_shape_):
            raise ValueError(f"{type(self).__name__} was fitted on images {self.image_shape_}. Received: {shape}")
        return rows.reshape(-1, *self.image_shape_), *rest

    def _check_parameters(self):
        check_positive_int("epochs", self.epochs)
        check_positive_int("batch_size", self.batch_size)
        check_positive_int("n_iter_no_change", self.n_iter_no_change)
        if not isinstance(self.early_stopping, bool | np.bool_):
            raise TypeError(f"early_stopping is True or False. Received: {self.early_stopping!r}")
        fraction = check_number("validation_fraction", self.validation_fraction)
        if not 0 < fraction < 1:
            raise ValueError(f"validation_fraction is between 0 and 1. Received: {fraction}")

    # --------------------------------------------------------------------------------------------------- the network

    def _begin(self, images, units):
        """A new network for images like these."""
        self._check_parameters()
        self._seed = int(check_random_state(self.random_state).randint(2**31))
        with seeded(self._seed):
            self.model_: Model = self._by_function(units) if callable(self.model) else self._by_name(images, units)
        self.history_: dict[str, list[float]] = {}

    def _by_name(self, images, units):
        """A network that scales what it gets: the mean of all numbers becomes 0, their standard deviation 1."""
        mean, deviation = _mean_and_deviation(images)
        layers = networks.get(self.model)(self.image_shape_, units, self.activation)
        model = Sequential([Input(self.image_shape_), Rescaling(1 / deviation, -mean / deviation), *layers])
        model.compile(self._optimizer(), self.loss)
        return model

    def _by_function(self, units):
        if isinstance(self.model, Model):
            raise TypeError(
                "model is a name, or a function of (image_shape, units) that returns a new built one in each call. "
                f"Received: {self.model!r}"
            )
        check_takes(self.model, "the function model", "image_shape", "units")
        model = self.model(self.image_shape_, units)
        if not isinstance(model, Model) or not model.built:
            raise TypeError(
                f"model is a name, or a function of (image_shape, units) that returns a built one. Received: {model!r}"
            )
        if model.output_shape != (None, units):
            raise ValueError(
                f"for this {self.task}, the model's output is (None, {units}). Received: {model.output_shape}"
            )
        if model in _handed_over:
            raise ValueError(
                "the function model returns a new model in each call: one that an estimator has trained before knows "
                f"samples that it is tested with. Received: model '{model.name}' again"
            )
        _handed_over.add(model)
        if model.compiled is None:
            model.compile(self._optimizer(), self.loss)
        elif self.learning_rate is not None:
            model.optimizer.learning_rate = self._checked_rate()
        return model

    def _optimizer(self):
        if self.learning_rate is None:
            return copy.deepcopy(self.optimizer)  # an optimizer trains one model
        made = copy.deepcopy(optimizers.get(self.optimizer))
        made.learning_rate = self._checked_rate()
        return made

    def _checked_rate(self):
        return check_number("learning_rate", self.learning_rate, above=0)

    # ------------------------------------------------------------------------------------------------------ training

    def _train(self, images, targets, epochs, sample_weight=None, class_weight=None):
        """Some epochs more."""
        weights = _weights_of_samples(sample_weight, len(images))
        held = None
        callbacks = []
        if self.early_stopping and epochs > 1:
            train, part = self._split(targets)
            if not len(part):
                raise ValueError(
                    f"early_stopping holds back samples, and there are too few. Received: {len(images)} samples"
                )
            held = (images[part], targets[part], *([] if weights is None else [weights[part]]))
            images, targets = images[train], targets[train]
            weights = None if weights is None else weights[train]
            callbacks.append(EarlyStopping(patience=self.n_iter_no_change, restore_best_weights=True))
        self.model_.fit(
            images,
            targets,
            batch_size=self.batch_size,
            epochs=epochs,
            verbose=self.verbose,
            callbacks=callbacks,
            validation_data=held,
            sample_weight=weights,
            class_weight=class_weight,
        )
        for name, values in self.model_.history.history.items():
            self.history_.setdefault(name, []).extend(float(value) for value in values)
        self.n_iter_: int = len(self.history_["loss"])

    def _split(self, targets):
        """Hook: (samples to train with, samples held back)."""
        raise NotImplementedError

    def _outputs(self, X):
        """What the network gives, (N, units)."""
        check_is_fitted(self)
        (images,) = self._images(X, reset=False)
        return np.asarray(self.model_.predict(images, batch_size=self.batch_size))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _weights_of_samples(weights, count):
    """Weights as an array (count,), or None; one number stands for all."""
    if weights is None:
        return None
    if isinstance(weights, Real):
        weights = np.full(count, weights)
    check_readable({"sample_weight": weights})
    weights = check_array(weights, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (count,):
        raise ValueError(f"sample_weight has one number for each of {count} samples. Received: shape {weights.shape}")
    if not weights.any():
        raise ValueError("sample_weight is zero for every sample, so that there is nothing to learn. Received: zeros")
    return weights


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, new layers and models draw from `seed`; outside, all is as before."""
    with _building:  # the state is the process's, and joblib's threads build at the same time
        before = dict(random._state)
        random.set_seed(seed)
        try:
            yield
        finally:
            random._state.update(before)


def _mean_and_deviation(numbers):
    """Of all numbers of an array; the deviation of a constant is 1."""
    mean = float(np.mean(numbers, dtype=np.float64))
    deviation = float(np.std(numbers, dtype=np.float64))
    return mean, deviation if deviation > 1e-12 * max(abs(mean), 1e-12) else 1.0
