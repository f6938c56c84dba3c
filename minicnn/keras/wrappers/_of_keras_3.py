"""Keras 3's estimators for scikit-learn: SKLearnClassifier, SKLearnRegressor and SKLearnTransformer.

Their base classes are scikit-learn's, which `minicnn.keras.wrappers` puts behind these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from minicnn.keras.models import Model, clone_model


class Estimator:
    """What the three have.

    Parameters
    ----------
    model : Model or callable
        A compiled model, of which each `fit` trains a clone, or a function of ``X``, ``y`` and `model_kwargs` that
        makes one. A classifier's function gets one-hot rows for y, and so does the model.
    warm_start : bool, default False
        Whether `fit` goes on with the model of the `fit` before, or with the given one itself.
    model_kwargs, fit_kwargs : dict, optional
        Further arguments of the function, and of the model's `fit`.

    Attributes
    ----------
    model_ : Model
        What was trained.
    history_ : History
        Of the last `fit`.
    """

    def __init__(
        self,
        model: Model | Callable[..., Model],
        warm_start: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        fit_kwargs: Mapping[str, Any] | None = None,
    ) -> None:  # scikit-learn asks for attributes that are the arguments themselves
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    def __sklearn_clone__(self) -> Any:
        return type(self)(**self.get_params(deep=False))  # type: ignore[attr-defined]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.non_deterministic = True
        for kind in (tags.classifier_tags, tags.regressor_tags):
            if kind is not None:
                kind.poor_score = True
        return tags

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Train on samples and their targets.

        Parameters
        ----------
        X : array (N, …)
        y : array (N,)
        **kwargs
            Arguments of the model's `fit`, which come before those of `fit_kwargs`.

        Returns
        -------
        Estimator
            This one.

        Raises
        ------
        RuntimeError
            If the model is not compiled with a loss.
        """
        X, y = _checked(self, X, y)
        model = self._model_for(X, target := self._target(y))
        if model.compiled is None or not model.loss:
            raise RuntimeError(
                f"the model of {type(self).__name__} needs a loss and an optimizer: compile it before it is given or "
                f"returned, model.compile('adam', loss=…). Received: model '{model.name}' without a loss"
            )
        self.history_ = model.fit(X, target, **{**(self.fit_kwargs or {}), **kwargs})
        self.model_ = model
        return self

    def predict(self, X: Any) -> np.ndarray:
        """What is said of each sample, (N,): its label, or a number."""
        return self._said(self._outputs(X))

    def _model_for(self, x, y):
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if isinstance(self.model, Model):
            return self.model if self.warm_start else clone_model(self.model)
        return self.model(X=x, y=y, **(self.model_kwargs or {}))

    def _target(self, y):
        """What the model is trained to give, (N, …)."""
        self.ndim_ = y.ndim
        return y.reshape(-1, 1) if y.ndim == 1 else y

    def _said(self, outputs):
        return np.squeeze(outputs, axis=1) if self.ndim_ == 1 and outputs.ndim == 2 else outputs

    def _outputs(self, x):
        import_module("sklearn.utils.validation").check_is_fitted(self)
        return self.model_.predict(_checked(self, x, reset=False))


class Classifier(Estimator):
    """Of labels of any kind."""

    def decision_function(self, X: Any) -> np.ndarray:
        """What the model gives, (N, classes)."""
        return self._outputs(X)

    def _target(self, y):
        kind = import_module("sklearn.utils.multiclass").type_of_target(y)
        if kind not in ("binary", "multiclass"):
            raise ValueError(f"labels are of two or more classes, one for each sample, (N,). Received: {kind}")
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(f"a classifier needs labels of two or more classes. Received: {self.classes_[0]!r} alone")
        return np.eye(len(self.classes_))[numbers]  # one-hot rows also of two classes

    def _said(self, outputs):
        return self.classes_[np.argmax(outputs, axis=1)]


class Transformer(Estimator):
    """What gives, in a pipeline, the model's outputs for features."""

    def transform(self, X: Any) -> np.ndarray:
        """What the model gives, (N, …)."""
        return self._outputs(X)


def _checked(estimator, *arrays, **options):
    """The arrays, as scikit-learn wants them; samples may be images."""
    validation = import_module("sklearn.utils.validation")
    if hasattr(validation, "validate_data"):  # from 1.6 on
        return validation.validate_data(estimator, *arrays, allow_nd=True, **options)
    return estimator._validate_data(*arrays, allow_nd=True, **options)


ESTIMATORS: dict[str, tuple[str, type]] = {
    "SKLearnClassifier": ("ClassifierMixin", Classifier),
    "SKLearnRegressor": ("RegressorMixin", Estimator),
    "SKLearnTransformer": ("TransformerMixin", Transformer),
}
"""Name → (scikit-learn's base class, what it has)."""
