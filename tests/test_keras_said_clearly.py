"""What older scripts ask for and is not there, and what is not as it was written: one sentence says so."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import backend as K


def test_a_gradient_by_a_tensor_of_the_model_in_a_loss() -> None:
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))

    def penalty(y_true, y_pred):
        gradient = K.gradients(y_pred, inputs)[0]
        return K.mean(K.square(K.sqrt(K.sum(K.square(gradient), axis=[1])) - 1))

    with pytest.raises(NotImplementedError, match=r"in a train_step, with tf\.GradientTape.*Received: penalty, which"):
        model.compile("sgd", penalty)


@pytest.mark.parametrize("name", ["updates", "state_updates", "get_updates_for", "_nodes_by_depth", "test_function"])
def test_parts_of_the_graphs_of_keras_2(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"model\.{name} belongs to the graphs of Keras 1 and 2"):
        getattr(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), name)


@pytest.mark.parametrize(
    "dataset",
    [
        mc.data.Dataset.from_tensor_slices(np.arange(4)).map(lambda x: x + 1),
        mc.data.Dataset.from_generator(lambda: iter([np.arange(3)])),
    ],
)
def test_a_data_set_is_copied_and_not_pickled(dataset) -> None:
    with pytest.raises(TypeError, match="a Dataset is made of functions, which pickle does not take"):
        pickle.dumps(dataset)
    copied = copy.deepcopy(dataset)
    np.testing.assert_array_equal([*copied.as_numpy_iterator()], [*dataset.as_numpy_iterator()])


@pytest.mark.parametrize("ignored", [-1, 255])
def test_classes_that_the_loss_ignores_are_wrong_among_the_first_k(ignored: int) -> None:  # numbers of Keras 3.15.1
    rng = np.random.RandomState(0)
    rng.rand(6, 4)
    scores, weights = rng.rand(6, 4).astype("float32"), rng.rand(6).astype("float32")
    targets = np.array([0, 1, 2, 3, ignored, 1])
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=ignored)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Softmax()])
    first = keras.metrics.SparseTopKCategoricalAccuracy(k=2)
    model.compile("sgd", loss, metrics=[first])
    np.testing.assert_allclose(model.evaluate(scores, targets, verbose=0), [1.53525, 0.33333], rtol=2e-5)
    model.compile("sgd", loss, weighted_metrics=[keras.metrics.SparseTopKCategoricalAccuracy(k=2)])
    found = model.evaluate(scores, targets, sample_weight=weights, verbose=0)
    np.testing.assert_allclose(found, [0.57614, 0.19459], rtol=2e-5)
