"""The classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from minicnn.data.splitting import stratified_split
from minicnn.models import Model
from minicnn.models.pictures import class_probabilities
from minicnn.sklearn.base import CNN


class CNNClassifier(ClassifierMixin, CNN):
    """A convolutional network that tells classes apart, as an estimator of scikit-learn.

    Parameters
    ----------
    model : {"simple", "lenet5"} or callable, default "simple"
        "simple" fits images of any size, "lenet5" from 12×12 pixels; both scale what they get. Or a function of
        (image_shape, units), with image_shape (height, width, channels) and units the number of classes, that returns a
        built `Model` with an output (None, units), a new one in each call, and gets the numbers as they are; it need
        not be compiled.
    epochs : int, default 10
    batch_size : int, default 32
    image_shape : (int, int) or (int, int, int), optional
        Height, width and channels of images that come as rows. Default: square grey images, where a row's length is a
        square; else images of one row.
    optimizer : str or Optimizer, default "adam"
        A model that is compiled keeps its own.
    learning_rate : float, optional
        Default: the optimizer's.
    early_stopping : bool, default False
        Whether to hold back a part of the samples, of all classes, to stop when the loss on it has not become better
        for `n_iter_no_change` epochs, and to keep the best weights.
    validation_fraction : float in (0, 1), default 0.1
    n_iter_no_change : int, default 5
    class_weight : dict, "balanced" or None
        Class → weight in the loss; "balanced": all classes count alike.
    random_state : int, RandomState or None
    verbose : {0, 1, 2, "auto"}, default 0
        As for `Model.fit`.

    Attributes
    ----------
    classes_ : array (classes,)
    model_ : Model
    image_shape_ : (int, int, int)
    n_features_in_ : int
        Numbers of an image.
    n_iter_ : int
        Epochs trained.
    history_ : dict
        Name → its value in each epoch.

    Notes
    -----
    `X` is images (N, H, W) or (N, H, W, C), or rows (N, numbers). Computes with as many threads as minicnn does; in
    joblib's processes (``n_jobs`` of a grid search) with the share that joblib gives them. See docs/sklearn.md.
    """

    task = "number of classes"
    activation: str | None = "softmax"
    loss = "sparse_categorical_crossentropy"

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
        class_weight: Mapping[Any, float] | str | None = None,
        random_state: Any = None,
        verbose: Any = 0,
    ) -> None:
        super().__init__(
            model=model,
            epochs=epochs,
            batch_size=batch_size,
            image_shape=image_shape,
            optimizer=optimizer,
            learning_rate=learning_rate,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array (N, H, W), (N, H, W, C) or (N, numbers)
        y : array (N,) of classes: numbers or strings
        sample_weight : array (N,) or float, optional
            How much each sample counts in the loss.

        Raises
        ------
        ValueError, TypeError
            For data or parameters that do not fit.
        """
        images, y = self._images(X, reset=True, y=y)
        self._begin_classes(images, y, _distinct(y))
        numbers = np.searchsorted(self.classes_, y)
        self._train(images, numbers, self.epochs, sample_weight, self._weights(y))
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """One epoch on these samples.

        Parameters
        ----------
        X, y :
            As for `fit`.
        classes : array, optional
            All classes there will be: needed in the first call.
        sample_weight : array (N,) or float, optional

        Raises
        ------
        ValueError
            If `classes` is missing or another one, or `y` has a class that is not in it.
        """
        is_first = not hasattr(self, "model_")
        if self.class_weight == "balanced":
            raise ValueError("partial_fit cannot know how to balance classes: give class_weight a dict")
        if is_first and classes is None:
            raise ValueError("the first call of partial_fit needs classes=, all classes there will be")
        images, y = self._images(X, reset=is_first, y=y)
        here = _distinct(y)
        if is_first:
            self._begin_classes(images, y, _distinct(classes))
        elif classes is not None and not np.array_equal(self.classes_, _distinct(classes)):
            raise ValueError(f"classes= is not what it was in the first call. Received: {classes!r}")
        unknown = sorted(set(here.tolist()) - set(self.classes_.tolist()))
        if unknown:
            raise ValueError(f"y has classes that are not among classes={self.classes_}. Received: {unknown}")
        self._train(images, np.searchsorted(self.classes_, y), 1, sample_weight, self._weights(y))
        return self

    def _begin_classes(self, images, y, classes):
        check_classification_targets(y)
        if len(classes) < 2:
            raise ValueError(f"a classifier needs samples of at least 2 classes. Received: 1 class, {classes.tolist()}")
        self.classes_: np.ndarray = classes
        self._begin(images, len(classes))
        self.model_.class_names = [str(name) for name in classes]

    def _weights(self, y):
        """Class number → weight."""
        if self.class_weight is None:
            return None
        here = self.classes_ if self.class_weight != "balanced" else np.unique(y)
        weights = compute_class_weight(self.class_weight, classes=here, y=y)
        return dict(zip(np.searchsorted(self.classes_, here).tolist(), weights.tolist(), strict=True))

    def _split(self, targets):
        return stratified_split(targets, self.validation_fraction, self._seed)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """The probability of each class, (N, classes), in the order of `classes_`; each row sums to 1.

        Sigmoids, one for each class, are divided by their sum, as `sklearn.multiclass.OneVsRestClassifier` does.
        """
        outputs = self._outputs(X)
        probabilities = class_probabilities(self.model_, outputs)
        sums = probabilities.sum(axis=1, keepdims=True)  # (N, 1), 1 but for the rounding of float32, or of sigmoids
        probabilities[sums[:, 0] == 0] = 1  # none of the sigmoids fires: all alike
        return probabilities / np.where(sums == 0, len(self.classes_), sums)

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """The logarithm of `predict_proba`, (N, classes); -inf where a probability is 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The most probable class of each sample, (N,)."""
        highest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[highest]


def _distinct(classes):
    """Each class once, sorted; a `ValueError` where they are of kinds that have no order."""
    try:
        return np.unique(classes)
    except TypeError:  # of which NumPy's own, for numbers beside text, is one
        kinds = sorted({type(entry).__name__ for entry in np.asarray(classes, object).flat})
        raise ValueError(
            "classes are all numbers or all strings: leave out samples without a class, and write the others alike, "
            f"e.g. y.astype(str). Received: {', '.join(kinds)}"
        ) from None
