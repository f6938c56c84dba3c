"""Keras's rarer options of layers, and layers without a model: right values, from formulas or Keras 3.15."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers
from minicnn.errors import ShapeError

X = np.array([[-2.0, -0.5, 0.0, 0.5, 1.0, 1.5, 3.0, 7.0]], np.float32)


@pytest.mark.parametrize(
    ("options", "expected"),
    [  # keras.layers.ReLU of Keras 3.15.1 on NumPy
        ({}, [0, 0, 0, 0.5, 1, 1.5, 3, 7]),
        ({"threshold": 1.0}, [0, 0, 0, 0, 0, 1.5, 3, 7]),
        ({"threshold": 1.0, "negative_slope": 0.5}, [-1.5, -0.75, -0.5, -0.25, 0, 1.5, 3, 7]),
        ({"max_value": 2.0, "negative_slope": 0.1, "threshold": 0.5}, [-0.25, -0.1, -0.05, 0, 1, 1.5, 2, 2]),
    ],
)
def test_relu_with_every_option(options, expected):
    np.testing.assert_allclose(layers.ReLU(**options)(X)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("axis", [1, 2, -1, -2, (1, 2), [2, 3], 3])
def test_softmax_over_any_axis(axis, rng):
    x = rng.normal(size=(3, 4, 5, 2)).astype(np.float32)
    y = layers.Softmax(axis)(x)
    powers, axes = np.exp(x.astype(np.float64)), tuple(axis) if isinstance(axis, list) else axis
    np.testing.assert_allclose(y, powers / powers.sum(axis=axes, keepdims=True), rtol=1e-5)
    with pytest.raises(ShapeError, match="batch axis"):
        layers.Softmax(0)(x)


def test_a_loss_reads_behind_a_softmax_over_another_axis_along_the_last_one(rng):
    """As in Keras, whose loss takes what stands before the softmax for logits along the last axis."""
    x, y = rng.normal(size=(4, 3, 2)), rng.integers(0, 2, (4, 3))
    model = mc.Sequential([layers.Input((3, 2)), layers.Softmax(axis=1)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    powers = np.exp(x)
    p = powers / powers.sum(axis=-1, keepdims=True)
    picked = np.take_along_axis(p, y[..., None], axis=-1)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(-np.log(picked).mean(), rel=1e-5)


@pytest.mark.parametrize("noise_shape", [(None, 1, 1, None), (None, None, 1, 1), (1, None, None, None)])
def test_dropout_with_a_shared_mask(noise_shape, rng):
    x = rng.uniform(1, 2, (6, 4, 5, 3)).astype(np.float32)
    y = layers.Dropout(0.5, noise_shape, seed=3)(x, training=True)
    factor = y / x
    assert np.isin(factor.round(5), [0, 2]).all()
    assert 0 < (factor == 0).mean() < 1
    for axis, size in enumerate(noise_shape):
        if size == 1:
            assert (np.ptp(factor, axis=axis) < 1e-5).all()
        else:
            assert (np.ptp(factor, axis=axis) > 1).any()
    np.testing.assert_array_equal(layers.Dropout(0.5, noise_shape)(x), x)
    with pytest.raises(ShapeError, match="noise_shape"):
        layers.Dropout(0.5, (None, 2))(x)
    for wrong in (3, "13", (None, 0), (1.5,)):
        with pytest.raises(ValueError, match="positive integers and None"):
            layers.Dropout(0.5, wrong)


def test_penalty_on_outputs_by_formula(rng):
    """Keras divides the penalty of a layer's output by the number of samples."""
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    dense = layers.Dense(2, activity_regularizer=mc.regularizers.L1L2(0.1, 0.2))
    model = mc.Sequential([layers.Input((3,)), dense])
    model.compile(mc.optimizers.SGD(0.5), "mse")
    kernel, bias = (w.astype(np.float64) for w in model.get_weights())
    out = x @ kernel + bias
    penalty = (0.1 * np.abs(out).sum() + 0.2 * np.square(out).sum()) / 8
    assert model.evaluate(x, y, verbose=0) == pytest.approx(np.square(out - y).mean() + penalty, rel=1e-5)
    slope = 2 * (out - y) / out.size + (0.1 * np.sign(out) + 0.4 * out) / 8
    model.train_on_batch(x, y)
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.5 * x.T @ slope, rtol=1e-4, atol=1e-6)
    assert mc.gradcheck(model).error <= 1e-6
    copy = layers.Dense.from_config(dense.get_config())
    assert copy.activity_regularizer.get_config() == {"l1": 0.1, "l2": 0.2}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("frozen", [False, True])
def test_penalty_on_outputs_that_later_layers_follow(backend, frozen, rng):
    """What is penalized is there when all layers have run, outside training and below frozen layers, too."""
    x, y = rng.normal(size=(10, 6, 6, 2)), rng.integers(0, 3, 10)
    stack = [layers.Conv2D(4, 3, activity_regularizer="l2"), layers.MaxPooling2D(), layers.Flatten()]
    stack += [layers.Dense(16, activation="relu", activity_regularizer="l1"), layers.Dense(16, activation="relu")]
    model = mc.Sequential([layers.Input((6, 6, 2)), *stack, layers.Dense(3, activation="softmax")])
    first, hidden = (mc.Model(model.inputs, model.layers[i].output).predict(x).astype(np.float64) for i in (0, 3))
    probabilities = model.predict(x).astype(np.float64)
    for layer in model.layers[:-1]:
        layer.trainable = not frozen
    model.compile(mc.optimizers.SGD(0.0), "sparse_categorical_crossentropy", backend=backend)
    losses = -np.log(probabilities[np.arange(10), y]).mean()
    expected = losses + (0.01 * np.square(first).sum() + 0.01 * np.abs(hidden).sum()) / 10
    assert model.evaluate(x, y, batch_size=4, verbose=0) == pytest.approx(expected, rel=1e-5)
    history = model.fit(x, y, validation_data=(x, y), batch_size=3, verbose=0).history
    assert history == {"loss": [pytest.approx(expected, rel=1e-5)], "val_loss": [pytest.approx(expected, rel=1e-5)]}


def test_penalty_on_what_a_lambda_gives(rng):
    """A function that is made of layers, and one on arrays: both are penalized."""
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 3))
    for function in (lambda v: v * 2.0, lambda v: 2 * np.asarray(v)):
        model = mc.Sequential([layers.Input((3,)), layers.Lambda(function, activity_regularizer="l2")])
        model.compile("sgd", "mse")
        expected = np.square(2 * x - y).mean() + 0.01 * np.square(2 * x).sum() / 8
        assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_weights_obey_their_constraints(rng):
    """What a layer holds is what its constraint made of the updated weights, which were outside."""
    x, y = rng.normal(size=(16, 4)), rng.normal(size=(16, 3)) + 3
    x[:, 0] = 0  # so these weights have no gradient at first
    kernels, biases = [], []  # before they are constrained
    options = {
        "kernel_initializer": mc.initializers.Constant(-1),
        "kernel_constraint": lambda w: (kernels.append(np.array(w)), np.maximum(w, 0))[1],
        "bias_constraint": lambda w: (biases.append(np.array(w)), np.clip(w, -0.01, 0.01))[1],
    }
    norm = layers.BatchNormalization(gamma_constraint=lambda w: np.minimum(w, 0.9), beta_regularizer="l2")
    model = mc.Sequential([layers.Input((4,)), norm, layers.Dense(3, **options)])
    model.compile(mc.optimizers.SGD(0.5), "mse")
    for _ in range(3):
        model.fit(x, y, verbose=0)
        kernel, bias = model.layers[-1].get_weights()
        np.testing.assert_array_equal(kernel, np.maximum(kernels[-1], 0))
        np.testing.assert_array_equal(bias, np.clip(biases[-1], -0.01, 0.01))
    assert (kernels[0][0] == -1).all()
    assert biases[0].min() > 0.01  # the first update is a third of the targets' mean, of about 3
    assert norm.gamma.numpy().max() <= 0.9
    assert norm.beta.regularizer.l2 == 0.01
    with pytest.raises(TypeError, match="constraint is a function"):
        layers.Dense(3, kernel_constraint=3)
    with pytest.raises(TypeError, match="kernel_constraint"):
        layers.Dense(3, kernal_constraint=None)


def test_a_layer_without_a_model():
    dense = layers.Dense(3, use_bias=False)
    assert dense.bias is None
    assert dense.get_weights() == []
    assert dense.compute_output_shape((None, 8)) == (None, 3)
    assert not dense.built
    dense.build(input_shape=(None, 8))
    assert dense.kernel.shape == (8, 3)
    assert layers.Conv2D(4, 3).compute_output_shape((2, 8, 9, 3)) == (2, 6, 7, 4)
    assert layers.Add().compute_output_shape([(None, 3), (None, 3)]) == (None, 3)
    model = mc.Sequential([layers.Input((4,)), layers.Dense(2)])
    assert model.compute_output_shape((7, 4)) == (7, 2)
    with pytest.raises(ShapeError, match=r"takes inputs of shapes \(\(4,\),\). Received: \(\(None,\),\)"):
        model.compute_output_shape((None, None))


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [  # compute_output_shape of Keras 3.15.1
        (layers.Conv2D(4, 3), (2, None, None, 3), (2, None, None, 4)),
        (layers.Conv2D(4, 3, strides=2), (None, 9, None, 3), (None, 4, None, 4)),
        (layers.Conv1D(4, 3, dilation_rate=40), (None, None, 3), (None, None, 4)),  # a window of 81
        (layers.Conv2DTranspose(2, 3, data_format="channels_first"), (1, 3, None, 4), (1, 2, None, 6)),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (None, None, 5, 3), (None, None, 3, 6)),
        (layers.SeparableConv1D(4, 3), (None, 5, 3), (None, 3, 4)),
        (layers.GlobalAveragePooling2D(), (None, None, None, 3), (None, 3)),
        (layers.Resizing(5, 6), (None, None, None, 3), (None, 5, 6, 3)),
        (layers.Flatten(), (None, None, 3), (None, None)),
        (layers.Reshape((7, -1)), (None, None, 2), (None, 7, None)),
        (layers.Reshape((7, 2)), (None, None), (None, 7, 2)),
        (layers.Concatenate(), [(None, None, 2), (None, None, 3)], (None, None, 5)),
    ],
)
def test_sizes_that_are_not_known(layer, shape, expected):
    assert layer.compute_output_shape(shape) == expected
    assert not layer.built


def test_losses_of_a_layer():
    layer = layers.Dense(3, kernel_initializer="ones", kernel_regularizer="l2", bias_regularizer="l1")
    assert layer.losses == []
    model = mc.Sequential([layers.Input((2,)), layer, layers.Dense(1)])
    np.testing.assert_allclose(layer.losses, [0.06, 0])  # 0.01 · 6 ones
    np.testing.assert_allclose(model.losses, [0.06, 0])
    layer.trainable = False
    assert layer.losses == []


def test_add_weight_as_in_keras():
    class Scale(layers.Layer):
        def build(self, input_shapes):
            self.add_weight(name="factor", shape=input_shapes[0][-1:], initializer="ones", constraint=np.abs)
            return input_shapes[0]

        def forward(self, xs, ws):
            np.multiply(xs[0], ws.params["factor"], out=ws.y)

        def backward(self, dy, ws):
            raise NotImplementedError

    layer = Scale()
    layer.build((None, 5))
    assert layer.factor.shape == (5,)
    assert layer.factor.constraint is np.abs


@pytest.mark.parametrize("make", [lambda: layers.RandomFlip(seed=1), lambda: layers.RandomRotation(0.2, seed=1)])
def test_a_single_image(make, rng):
    image = rng.uniform(size=(5, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(make()(image), make()(image[None])[0])  # each call of one layer draws others
