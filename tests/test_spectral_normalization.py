"""`SpectralNormalization`: a kernel that is divided before each pass in training, and what keeps it.

That files go both ways, and that training gives Keras's numbers: `tests/test_keras_oracle_layers.py`.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_close, every_backend

import minicnn as mc
from minicnn import keras, layers
from minicnn.keras import tensorflow as tf
from minicnn.layers import SpectralNormalization


def divided(kernel, u, iterations=1):
    """(kernel / σ, u) in float64."""
    matrix, u = kernel.astype(float).reshape(-1, kernel.shape[-1]), u.astype(float)
    for _ in range(iterations):
        v = u @ matrix.T
        v = v / np.linalg.norm(v)
        u = v @ matrix
        u = u / np.linalg.norm(u)
    return kernel / (v @ matrix @ u.T)[0, 0], u


def dense(rng, iterations=1, **options):
    """A model of one Dense(3) for 5 numbers, and its weights: kernel, vector_u, bias."""
    wrapped = SpectralNormalization(layers.Dense(3, **options), power_iterations=iterations)
    model = mc.Sequential([mc.Input((5,)), wrapped])
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model, wrapped


@every_backend
@pytest.mark.parametrize("iterations", [1, 3])
def test_training_goes_by_the_divided_kernel_and_changes_it(rng, backend, iterations):
    """The gradient is that by the quotient, which takes the kernel's place."""
    model, _ = dense(rng, iterations)
    kernel, u, bias = (w.astype(float) for w in model.get_weights())
    model.compile(mc.optimizers.SGD(0.5), "mse", backend=backend)
    for _ in range(3):
        x, y = rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
        kernel, u = divided(kernel, u, iterations)
        slope = 2 * (x @ kernel + bias - y) / y.size  # (4, 3)
        assert_close(model.train_on_batch(x, y), np.square(x @ kernel + bias - y).mean(), 1e-5)
        kernel, bias = kernel - 0.5 * x.T @ slope, bias - 0.5 * slope.sum(axis=0)
        for array, expected in zip(model.get_weights(), (kernel, u, bias), strict=True):
            assert_close(array, expected, 1e-4)
    before = model.get_weights()
    assert_close(model.predict(x, verbose=0), x @ kernel + bias, 1e-4)
    model.evaluate(x, y, verbose=0)
    for array, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("uses", [1, 2])
@every_backend
def test_what_is_no_step_of_a_training_divides_nothing_for_good(backend, uses, frozen, rng):
    """Gradients that are only asked for, and steps whose loss is not finite: all weights are as before, to the bit."""
    wrapped, inputs = SpectralNormalization(layers.Dense(5)), layers.Input((5,))
    y = inputs
    for _ in range(uses):
        y = wrapped(y)
    model = mc.Model(inputs, layers.Dense(2)(y))
    wrapped.trainable = not frozen
    model.compile(mc.optimizers.SGD(0.5), "mse", backend=backend)
    before = model.get_weights()
    x, targets = rng.normal(size=(4, 5)), rng.normal(size=(4, 2))
    model.gradients(x, targets)
    for array, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, expected)
    with pytest.raises(mc.errors.NonFiniteError):
        model.fit(x, targets * 1e30, verbose=0)
    for array, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, expected)


@given(
    channels=st.integers(1, 4),
    filters=st.integers(1, 5),
    size=st.integers(1, 3),
    kind=st.sampled_from(["Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "Conv1D"]),
    seed=st.integers(0, 99),
)
def test_kernels_of_any_shape(channels, filters, size, kind, seed):
    """Also where a plan takes the kernel in another shape; many passes bring the norm to 1."""
    rng = np.random.default_rng(seed)
    inner = getattr(layers, kind)(*([] if kind == "DepthwiseConv2D" else [filters]), size, use_bias=False)
    wrapped = SpectralNormalization(inner)
    shape = (2, 5, channels) if kind == "Conv1D" else (2, 5, 6, channels)
    x = rng.normal(size=shape).astype(np.float32)
    wrapped(x)
    kernel, u = wrapped.get_weights()
    wrapped(x)
    np.testing.assert_array_equal(wrapped.get_weights()[1], u)  # a further place, or call, has the same weights
    assert u.shape == (1, kernel.shape[-1])
    y = wrapped(x, training=True)
    expected, next_u = divided(kernel, u)
    assert_close(wrapped.kernel.numpy(), expected, 1e-4)
    assert_close(wrapped.vector_u.numpy(), next_u, 1e-4)
    np.testing.assert_array_equal(y, inner(x))
    for _ in range(60):
        wrapped(x, training=True)
    norm = np.linalg.svd(wrapped.kernel.numpy().reshape(-1, kernel.shape[-1]))[1].max()
    assert norm == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_a_layer_inside_two_models_is_kept(ending, rng, tmp_path):
    """In a file it has its weights in the first of them."""

    def made():
        inputs, wrapped = layers.Input((5,)), SpectralNormalization(layers.Dense(5))
        inner = mc.Model(inputs, wrapped(inputs))
        return mc.Model(inputs, wrapped(inner(inputs)))

    model, other = made(), made()
    if ending == ".keras":
        model.save(tmp_path / "model.keras")
        other = mc.load_model(tmp_path / "model.keras", compile=False)
    else:
        model.save_weights(tmp_path / "model.weights.h5")
        other.load_weights(tmp_path / "model.weights.h5")
    x = rng.normal(size=(3, 5)).astype(np.float32)
    np.testing.assert_array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_kernel_of_zeros_stays(rng):
    model, wrapped = dense(rng, kernel_initializer="zeros")
    u = rng.normal(size=(1, 3)).astype(np.float32)
    model.set_weights([np.zeros((5, 3)), u, np.ones(3)])
    np.testing.assert_array_equal(model(np.ones((2, 5)), training=True), np.ones((2, 3)))
    np.testing.assert_array_equal(wrapped.kernel.numpy(), 0)
    np.testing.assert_array_equal(wrapped.vector_u.numpy(), u)


def test_calls_on_a_tape_divide_one_after_the_other(rng):
    """A discriminator on real and made pictures: each call has the kernel as it was divided for it."""
    layer = keras.layers.SpectralNormalization(keras.layers.Dense(3))
    model = keras.Sequential([keras.Input((5,)), layer])
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    kernel, u, bias = model.get_weights()
    a, b = rng.normal(size=(2, 4, 5)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(a, training=True))) + tf.reduce_sum(tf.square(model(b, training=True)))
    by_kernel, by_bias = tape.gradient(loss, model.trainable_variables)
    first, u = divided(kernel, u)
    second, u = divided(first, u)
    slopes = 2 * (a @ first + bias), 2 * (b @ second + bias)
    assert_close(by_kernel, a.T @ slopes[0] + b.T @ slopes[1], 1e-4)
    assert_close(by_bias, sum(slopes).sum(axis=0), 1e-4)
    for array, expected in zip(model.get_weights(), (second, u, bias), strict=True):
        assert_close(array, expected, 1e-4)


def test_a_gradient_penalty_goes_through_it(rng):
    """The norm of the gradient by the input is that of the divided kernel's row sums."""
    layer = keras.layers.SpectralNormalization(keras.layers.Dense(3))
    model = keras.Sequential([keras.Input((5,)), layer])
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    kernel, u, _ = model.get_weights()
    x = tf.constant(rng.normal(size=(4, 5)).astype(np.float32))
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(x)
            total = tf.reduce_sum(model(x, training=True))
        penalty = tf.reduce_sum(tf.square(inner.gradient(total, x)))
    (by_kernel,) = outer.gradient(penalty, model.trainable_variables[:1])
    rows = divided(kernel, u)[0].sum(axis=1)  # (5,)
    assert_close(by_kernel, np.repeat(2 * 4 * rows[:, None], 3, axis=1), 1e-4)


def test_a_frozen_kernel_is_divided_too(rng):
    """As in Keras, where a GAN's discriminator is frozen while the generator trains."""
    model, wrapped = dense(rng)
    kernel, u, bias = model.get_weights()
    wrapped.trainable = False
    assert (wrapped.layer.trainable, wrapped.trainable_weights) == (False, [])
    end = layers.Dense(1)
    whole = mc.Sequential([model, end])
    whole.compile("sgd", "mse")
    whole.train_on_batch(rng.normal(size=(4, 5)), np.zeros((4, 1)))
    expected, next_u = divided(kernel, u)
    for array, value in zip(model.get_weights(), (expected, next_u, bias), strict=True):
        assert_close(array, value, 1e-4)
    wrapped.layer.trainable = True
    assert wrapped.trainable_weights == []
    wrapped.trainable = True
    assert [w.name for w in wrapped.trainable_weights] == ["kernel", "bias"]
    assert not SpectralNormalization(layers.Dense(2, trainable=False)).trainable
    assert not SpectralNormalization(layers.Dense(2), trainable=False).layer.trainable


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors", ".weights.h5"])
def test_files_keep_it(rng, tmp_path, suffix):
    model = mc.Sequential(
        [
            mc.Input((6, 6, 2)),
            SpectralNormalization(layers.Conv2D(3, 3, activation="relu", kernel_regularizer="l2"), 2, name="first"),
            layers.Flatten(),
            SpectralNormalization(layers.Dense(2)),
        ]
    )
    model.compile("adam", "mse")
    x, y = rng.normal(size=(4, 6, 6, 2)), rng.normal(size=(4, 2))
    model.fit(x, y, verbose=0)
    path = tmp_path / f"model{suffix}"
    if suffix == ".weights.h5":
        model.save_weights(path)
        loaded = mc.models.clone_model(model)
        loaded.load_weights(path)
        loaded.compile("adam", "mse")
    else:
        model.save(path)
        loaded = mc.load_model(path)
        assert (loaded.layers[0].power_iterations, loaded.layers[0].layer.filters) == (2, 3)
        assert loaded.train_on_batch(x, y) == model.train_on_batch(x, y)
    for array, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_weights_files_have_keras_3s_places(rng, tmp_path):
    """The kernel is there twice: the wrapper's own, and the wrapped layer's."""
    h5py = pytest.importorskip("h5py")
    model, _ = dense(rng)
    model.save_weights(tmp_path / "of.weights.h5")
    with h5py.File(tmp_path / "of.weights.h5") as file:
        group = file["layers/spectral_normalization"]
        shapes = {f"{part}/{n}": d.shape for part in ("vars", "layer/vars") for n, d in group[part].items()}
    assert shapes == {"vars/0": (5, 3), "vars/1": (1, 3), "layer/vars/0": (5, 3), "layer/vars/1": (3,)}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SpectralNormalization("dense"), TypeError, "wraps a layer: give it one"),
        (lambda: SpectralNormalization(layers.Add()), TypeError, "of one input, and no model"),
        (lambda: SpectralNormalization(mc.Sequential([layers.Dense(2)])), TypeError, "of one input, and no model"),
        (lambda: SpectralNormalization(layers.Dense(2), 0), ValueError, "power_iterations"),
        (lambda: SpectralNormalization(layers.Flatten())(np.ones((2, 3))), ValueError, "a layer with a kernel"),
        (
            lambda: SpectralNormalization(layers.Dense(2, dtype="mixed_bfloat16"))(np.ones((2, 3))),
            ValueError,
            "dtype='float32'",
        ),
    ],
)
def test_what_it_cannot_wrap_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_onnx_has_the_kernel_as_it_is(rng, tmp_path):
    """Outside of training it is the layer that it wraps."""
    runtime = pytest.importorskip("onnxruntime")
    model, _ = dense(rng, activation="relu")
    x = rng.normal(size=(4, 5)).astype(np.float32)
    mc.export_onnx(model, tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    (made,) = session.run(None, {session.get_inputs()[0].name: x})
    assert_close(made, model.predict(x, verbose=0), 1e-5)


@every_backend
def test_a_call_on_any_backend_changes_the_kernel(rng, backend):
    """Also where the weights live in another memory than the backend's."""
    wrapped = SpectralNormalization(layers.Dense(3))
    x = rng.normal(size=(4, 5)).astype(np.float32)
    wrapped(x)
    kernel, u = wrapped.get_weights()[:2]
    mc.set_backend(backend)
    try:
        wrapped(x, training=True)
    finally:
        mc.set_backend("numba")
    expected, next_u = divided(kernel, u)
    assert_close(wrapped.kernel.numpy(), expected, 1e-4)
    assert_close(wrapped.vector_u.numpy(), next_u, 1e-4)


def test_a_single_unit_on_a_tape_is_divided_each_time(rng):
    """Its vector_u is 1 from the first time on, so that the kernel alone changes."""
    wrapped, x = SpectralNormalization(layers.Dense(1)), tf.constant(rng.normal(size=(4, 5)).astype(np.float32))
    wrapped(x)
    for _ in range(4):
        wrapped.kernel.assign(np.full((5, 1), 2.0))
        with tf.GradientTape():
            wrapped(x, training=True)
        assert np.linalg.norm(wrapped.kernel.numpy()) == pytest.approx(1, abs=1e-5)


class Twice(keras.layers.Layer):
    """Of users: 2 · x · W + b."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3), initializer="ones", name="kernel")
        self.bias = self.add_weight(shape=(3,), initializer="zeros", name="bias")

    def call(self, x):
        return keras.ops.matmul(x, self.kernel) * 2 + self.bias


class Doubled(keras.layers.Dense):
    def call(self, x):
        return super().call(x) * 2


@pytest.mark.parametrize(
    ("make", "losses", "kernel", "u"),
    [
        (Twice, [2.118030, 1.312991], [-1.01429, 3.0632], 1.50293),
        (lambda: Doubled(3), [1.979520, 1.007426], [-0.82834, 2.99851], 1.48439),
    ],
)
def test_layers_of_ones_own_train_as_in_keras(make, losses, kernel, u):
    numbers = np.random.default_rng(0)
    numbers.normal(size=(16, 8, 8, 2)), numbers.integers(0, 3, 16)
    x, first = (numbers.normal(size=size).astype("float32") for size in ((16, 5), (5, 3)))
    wrapped = keras.layers.SpectralNormalization(make())
    model = keras.Sequential([keras.Input((5,)), wrapped])
    wrapped.layer.kernel.assign(first)
    wrapped.vector_u.assign(np.arange(1, 4, dtype="float32")[None])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(x, np.ones((16, 3), "float32"), batch_size=8, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-4)
    found = wrapped.layer.kernel.numpy()
    np.testing.assert_allclose([found.sum(), np.abs(found).sum()], kernel, rtol=1e-3)
    np.testing.assert_allclose(wrapped.vector_u.numpy().sum(), u, rtol=1e-4)


class OfLayers(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return self.dense(x)


def test_a_layer_that_is_made_of_layers_is_refused():
    with pytest.raises(ValueError, match="not one that is made of layers: wrap those that have the kernels"):
        keras.layers.SpectralNormalization(OfLayers())(np.ones((2, 5), "float32"))
