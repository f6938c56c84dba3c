"""`mean` and `variance` of a Normalization, whose shapes are those of Keras 3.15.1 on TensorFlow."""

import numpy as np
import pytest

from minicnn import keras


@pytest.mark.parametrize(
    ("axis", "shape", "of_weights"),
    [(-1, (1, 1, 1, 3), (3,)), (None, (1, 1, 1, 1), ()), ((1, 3), (1, 5, 1, 3), (5, 3)), (2, (1, 1, 4, 1), (4,))],
)
def test_moments_meet_a_batch(axis, shape, of_weights, rng):
    x = rng.normal(2, 3, (10, 5, 4, 3)).astype(np.float32)
    layer = keras.layers.Normalization(axis=axis)
    layer.adapt(x)
    assert layer.mean.shape == layer.variance.shape == shape
    assert [w.shape for w in layer.weights] == [of_weights, of_weights, ()]
    assert layer.adapt_mean is layer.weights[0] and layer.adapt_variance is layer.weights[1]
    kept = tuple(a for a in range(4) if shape[a] == 1)
    np.testing.assert_allclose(layer.mean.numpy(), x.mean(kept, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(layer.variance.numpy(), x.var(kept, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(layer(x), (x - layer.mean) / np.sqrt(layer.variance), atol=1e-5)


def test_moments_that_are_given():
    layer = keras.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 1.0, 2.0])
    layer.build((None, 4, 4, 3))
    assert layer.mean.shape == layer.variance.shape == (1, 1, 1, 3) and layer.weights == []
    assert layer.mean.numpy().ravel().tolist() == [1.0, 2.0, 3.0]


def test_the_model_of_a_file_and_of_onnx(tmp_path, rng):
    x = rng.normal(2, 3, (10, 5, 4, 3)).astype(np.float32)
    layer = keras.layers.Normalization()
    layer.adapt(x)
    model = keras.Sequential([keras.Input((5, 4, 3)), layer])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.layers[0].mean, layer.mean)
    model.export(tmp_path / "m.onnx", format="onnx")
    session = pytest.importorskip("onnxruntime").InferenceSession(tmp_path / "m.onnx")
    (made,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(made, (x - x.mean((0, 1, 2))) / x.std((0, 1, 2)), atol=1e-4)
