"""Estimators for scikit-learn (the extra ``sklearn``): networks in pipelines, grid searches and cross-validation.

scikit-learn is imported when an estimator is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicnn.sklearn.classifier import CNNClassifier as CNNClassifier
    from minicnn.sklearn.regressor import CNNRegressor as CNNRegressor

__all__ = ["CNNClassifier", "CNNRegressor"]

_HOMES = {"CNNClassifier": "classifier", "CNNRegressor": "regressor"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minicnn.sklearn' has no attribute {name!r}: it has {', '.join(__all__)}")
    try:
        import_module("sklearn")
    except ImportError as error:
        raise ImportError(f"estimators need scikit-learn: pip install 'minicnn[sklearn]' ({error})") from None
    return getattr(import_module(f"minicnn.sklearn.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
