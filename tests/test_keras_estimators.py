"""Keras 3's estimators for scikit-learn; the numbers are those of Keras 3.15."""

import pickle

import numpy as np
import pytest

from minicnn import keras

linear_model = pytest.importorskip("sklearn.linear_model")
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minicnn.keras.wrappers import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer

X = np.sin(np.arange(72) * 0.7).reshape(24, 3)
LABELS = np.array(["ant", "bee", "cat"])[np.digitize(X[:, 0], [-0.4, 0.5])]
PREDICTED = "bba" * 8
QUIET = {"shuffle": False, "verbose": 0}


def network(X, y, units=4):
    last = "softmax" if y.shape[1] > 1 else None
    model = keras.Sequential(
        [
            keras.Input(X.shape[1:]),
            keras.layers.Flatten(),
            keras.layers.Dense(units, "tanh", kernel_initializer="ones"),
            keras.layers.Dense(y.shape[1], last, kernel_initializer="zeros"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy" if last else "mse")
    return model


def test_a_classifier_of_labels_of_any_kind():
    made = SKLearnClassifier(network, model_kwargs={"units": 5}, fit_kwargs={"epochs": 3, "batch_size": 8, **QUIET})
    assert made.fit(X, LABELS, epochs=2) is made  # which comes before fit_kwargs
    assert "".join(label[0] for label in made.predict(X)) == PREDICTED
    assert made.score(X, LABELS) == pytest.approx(2 / 3)
    np.testing.assert_allclose(made.history_.history["loss"], [0.78973, 0.52827], atol=1e-5)
    np.testing.assert_allclose(made.decision_function(X)[0], [0.0224, 0.5649, 0.4126], atol=1e-4)
    assert list(made.classes_) == ["ant", "bee", "cat"]
    assert made.fit_kwargs == {"epochs": 3, "batch_size": 8, **QUIET}
    assert list(pickle.loads(pickle.dumps(made)).predict(X)) == list(made.predict(X))


def test_scikit_learn_makes_copies_of_them():
    made = SKLearnClassifier(network, fit_kwargs=QUIET)
    labels = cross_val_predict(make_pipeline(StandardScaler(), made), X, LABELS, cv=KFold(3))
    assert "".join(label[0] for label in labels) == PREDICTED
    grid = GridSearchCV(made, {"model_kwargs": [{"units": 2}, {"units": 3}]}, cv=2).fit(X, LABELS)
    assert grid.best_params_["model_kwargs"] == {"units": 2}
    assert clone(made).fit_kwargs == QUIET  # which Keras 3.15 leaves out


def test_regressors_and_transformers():
    made = SKLearnRegressor(network, fit_kwargs={"epochs": 2, **QUIET}).fit(X, X[:, 1])
    np.testing.assert_allclose(made.predict(X)[:4], [-2.4702, -1.5617, 1.8023, -2.4834], atol=1e-4)
    assert made.score(X, X[:, 1]) == pytest.approx(-12.716738, rel=1e-5)
    features = SKLearnTransformer(network, fit_kwargs={"epochs": 2, **QUIET})
    np.testing.assert_allclose(features.fit_transform(X, X[:, 1])[:2], [[-2.4702], [-1.5617]], atol=1e-4)
    positive = X[:, 0] > 0
    assert make_pipeline(features, linear_model.LogisticRegression()).fit(X, positive).score(X, positive) == 23 / 24


def test_a_given_model_is_cloned_and_images_are_samples():
    model = network(X, np.zeros((1, 3)))
    before = model.get_weights()
    made = SKLearnClassifier(model).fit(X, LABELS, **QUIET)
    assert "".join(label[0] for label in made.predict(X)) == PREDICTED
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    images = np.repeat(X, 12, axis=1).reshape(24, 3, 4, 3)
    assert SKLearnClassifier(network, fit_kwargs=QUIET).fit(images, LABELS).predict(images).shape == (24,)


def test_warm_start_goes_on():
    made = SKLearnClassifier(network, warm_start=True, fit_kwargs=QUIET).fit(X, LABELS)
    first = made.model_
    assert made.fit(X, LABELS).model_ is first


@pytest.mark.parametrize(
    ("model", "y", "error", "match"),
    [
        (network, np.zeros(24, int), ValueError, "two or more classes"),
        (network, X[:, 0], ValueError, "Received: continuous"),
        (keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)]), LABELS, RuntimeError, "needs a loss"),
    ],
)
def test_what_cannot_be_trained_says_so(model, y, error, match):
    with pytest.raises(error, match=match):
        SKLearnClassifier(model).fit(X, y)
