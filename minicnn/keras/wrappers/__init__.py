"""``keras.wrappers``: models as estimators of scikit-learn, which has to be installed."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np

from minicnn.keras._missing import Missing
from minicnn.keras._names import lookup
from minicnn.keras._old_logs import OldLogs
from minicnn.keras._translation import renamed
from minicnn.keras.utils import to_categorical
from minicnn.losses import CategoricalCrossentropy


def _estimator(name):
    """A class with scikit-learn's base classes, which are imported when it is asked for."""
    try:
        from sklearn import base
    except ImportError:
        return Missing(name, f"keras.wrappers.{name} is an estimator of scikit-learn: pip install scikit-learn")
    if name not in _ESTIMATORS:
        kind, methods = import_module(f"{__name__}._of_keras_3").ESTIMATORS[name]
        bases = (methods, getattr(base, kind), base.BaseEstimator)
        return type(name, bases, {"__doc__": methods.__doc__, "__module__": __name__})
    kind, methods = _ESTIMATORS[name]
    doc = f"""A model as scikit-learn's {kind.removesuffix("Mixin").lower()}, as Keras 2 had it.

    Parameters
    ----------
    build_fn : callable
        Makes a compiled model; it may take arguments.
    **sk_params
        Arguments of `build_fn`, and of `fit`: epochs, batch_size, verbose, callbacks, …
    """
    body = {**vars(_Wrapper), **vars(methods), "__doc__": doc, "__module__": __name__}
    body = {n: v for n, v in body.items() if n not in ("__dict__", "__weakref__")}
    return type(name, (getattr(base, kind), base.BaseEstimator), body)


class _Logs(OldLogs):
    """The logs of an estimator's training, as ``fit(x, y).history["loss"]`` of Keras 2 reads them, and as a History."""

    def __init__(self, history: Any) -> None:
        super().__init__(history.history)
        self.history, self.epoch, self.params, self.model = self, history.epoch, history.params, history.model


class _Wrapper:
    """What both have: Keras 2's ``keras.wrappers.scikit_learn``."""

    def __init__(self, build_fn: Any = None, **sk_params: Any) -> None:
        self.build_fn = sk_params.pop("model", build_fn)  # scikeras calls it model
        self.sk_params: dict[str, Any] = sk_params

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What `set_params` takes."""
        return {"build_fn": self.build_fn, **self.sk_params}

    def set_params(self, **params: Any) -> Any:
        """Change arguments of `build_fn`, `fit`, `predict` and `evaluate`."""
        self.build_fn = params.pop("build_fn", self.build_fn)
        self.sk_params.update(params)
        return self

    def _arguments(self, function, given=()):
        """Those of the parameters that a function takes, and what was given."""
        known = signature(function).parameters
        params = renamed("KerasClassifier", self.sk_params, {"nb_epoch": "epochs"})
        return {n: v for n, v in params.items() if n in known} | dict(given)

    def _made(self):
        """A new model."""
        build = self.build_fn if self.build_fn is not None else self.__call__
        self.model = self.model_ = build(**self._arguments(build))
        return self.model

    def _trained(self, x, y, given):
        self.history = _Logs(self.model.fit(x, y, **self._arguments(_fit, given)))
        return self

    def _predicted(self, x, given):
        return self.model.predict(x, **self._arguments(_predict, {"verbose": 0} | dict(given)))


def _fit(epochs, batch_size, verbose, callbacks, validation_split, validation_data, shuffle, class_weight):
    """The arguments of `fit` that such an estimator passes on."""


def _predict(batch_size, verbose, steps):
    """The arguments of `predict` that such an estimator passes on."""


def _evaluate(batch_size, verbose, sample_weight, steps):
    """The arguments of `evaluate` that such an estimator passes on."""


class _Classifier:
    def fit(self, x: Any, y: Any, **kwargs: Any) -> Any:
        """Train on labels (N,) of any kind, or one-hot rows (N, classes)."""
        y = np.asarray(y)
        rows = y.ndim == 2 and y.shape[1] > 1
        self.classes_ = np.arange(y.shape[1]) if rows else np.unique(y)
        self.n_classes_ = len(self.classes_)
        target = y if rows else np.searchsorted(self.classes_, y.reshape(-1))
        model = self._made()
        if not rows and isinstance(model.compiled.losses[0], CategoricalCrossentropy):
            target = to_categorical(target, self.n_classes_)
        return self._trained(x, target, kwargs)

    def predict(self, x: Any, **kwargs: Any) -> np.ndarray:
        """The label of each sample, (N,)."""
        p = self._predicted(x, kwargs)
        return self.classes_[np.argmax(p, axis=-1) if p.shape[-1] > 1 else (p[:, 0] > 0.5).astype(int)]

    def predict_proba(self, x: Any, **kwargs: Any) -> np.ndarray:
        """Probabilities (N, classes)."""
        p = self._predicted(x, kwargs)
        return p if p.shape[-1] > 1 else np.hstack([1 - p, p])

    def score(self, x: Any, y: Any, **kwargs: Any) -> float:
        """The part of the labels that are right, with ``sample_weight=``, (N,), of the samples' weights."""
        y, weights = np.asarray(y), kwargs.pop("sample_weight", None)
        labels = np.argmax(y, axis=-1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1)
        return float(np.average(self.predict(x, **kwargs) == labels, weights=weights))


class _Regressor:
    def fit(self, x: Any, y: Any, **kwargs: Any) -> Any:
        """Train on numbers."""
        self._made()
        return self._trained(x, y, kwargs)

    def predict(self, x: Any, **kwargs: Any) -> np.ndarray:
        """A number for each sample, (N,), or several, (N, outputs)."""
        p = self._predicted(x, kwargs)
        return p[:, 0] if p.shape[1:] == (1,) else p

    def score(self, x: Any, y: Any, **kwargs: Any) -> float:
        """Minus the model's loss, as of Keras 2; with ``sample_weight=``, (N,), that of weighted samples."""
        loss = self.model.evaluate(x, y, **self._arguments(_evaluate, {"verbose": 0} | kwargs))
        return -float(loss[0] if isinstance(loss, list) else loss)


_ESTIMATORS = {
    "KerasClassifier": ("ClassifierMixin", _Classifier),
    "KerasRegressor": ("RegressorMixin", _Regressor),
}
_found = lookup(__name__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        return _found(name)
    globals()[name] = _estimator(name)
    return globals()[name]


__all__ = [*_ESTIMATORS, "SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]
