"""A Sequential of Keras's room on data of other sizes than the first; numbers of Keras 3.15.1 on TensorFlow."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.errors import ShapeError

L = keras.layers


def numbers(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 1000


@pytest.mark.parametrize("known", [None, (8, 8, 1)])
def test_training_goes_on_with_other_sizes(known):
    """Momentum is kept, and so are the weights."""
    begin = [] if known is None else [keras.Input(known)]
    convolution = L.Conv2D(2, 3, kernel_initializer="ones")
    model = keras.Sequential([*begin, convolution, L.GlobalAveragePooling2D(), L.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    losses = model.fit(numbers(2, 8, 8, 1), np.ones((2, 1)), epochs=2, verbose=0).history["loss"]
    losses += model.fit(numbers(2, 10, 9, 1), np.ones((2, 1)), epochs=2, verbose=0).history["loss"]
    np.testing.assert_allclose(losses, [0.35223, 0.34456, 0.95142, 0.82705], atol=2e-5)
    np.testing.assert_allclose(model.predict(numbers(1, 12, 8, 1), verbose=0), [[0.651713]], atol=2e-5)
    np.testing.assert_allclose(model.evaluate(numbers(2, 8, 8, 1), np.ones((2, 1)), verbose=0), 0.287612, atol=2e-5)
    np.testing.assert_allclose(model.train_on_batch(numbers(2, 7, 8, 1), np.ones((2, 1))), 0.261466, atol=2e-5)


def test_a_call_and_the_layers_afterwards():
    model = keras.Sequential([L.Conv2D(2, 3, padding="same"), L.UpSampling2D()])
    assert model(numbers(2, 8, 8, 3)).shape == (2, 16, 16, 2)
    assert model(numbers(2, 10, 8, 3)).shape == (2, 20, 16, 2)
    model.add(L.ReLU())
    assert model(numbers(1, 12, 6, 3)).shape == (1, 24, 12, 2)
    model.pop()
    assert model(numbers(1, 6, 8, 3)).shape == (1, 12, 16, 2) and len(model.layers) == 2


@pytest.mark.parametrize(("shape", "layers"), [((2, 9, 9, 1), [L.Flatten, L.Dense]), ((2, 8, 8, 2), [L.ReLU])])
def test_sizes_that_a_weight_depends_on_are_refused(shape, layers):
    """And the model is as it was."""
    model = keras.Sequential([L.Conv2D(2, 3), *(layer(*[1] * (layer is L.Dense)) for layer in layers)])
    before = model(numbers(2, 8, 8, 1))
    with pytest.raises(ShapeError, match=r"expected data of shape \(None, 8, 8, 1\)"):
        model(numbers(*shape))
    np.testing.assert_array_equal(model(numbers(2, 8, 8, 1)), before)
    assert model.input_shape == (None, 8, 8, 1)
    model.pop()
    assert len(model.layers) == len(layers)
