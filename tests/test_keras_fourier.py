"""Fourier transforms of ``keras.ops``: sums in float64 that are written down, finite differences, an FNet of Keras."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import keras
from minicnn.errors import ShapeError
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf


def wave(*shape, step=0.7, scale=1.0):
    """Numbers that are no pattern."""
    return (np.sin(np.arange(np.prod(shape)) * step) * scale).reshape(shape).astype("float32")


def summed(x, axis, sign=-1):
    """Σ x[j] · exp(sign · 2πijk/n) along an axis, term by term."""
    x = np.moveaxis(np.asarray(x, complex), axis, -1)
    n = x.shape[-1]
    made = np.zeros_like(x)
    for k in range(n):
        for j in range(n):
            made[..., k] += x[..., j] * np.exp(sign * 2j * np.pi * j * k / n)
    return np.moveaxis(made, -1, axis)


EXPECTED = {
    "fft": lambda z: summed(z, -1),
    "fft2": lambda z: summed(summed(z, -1), -2),
    "ifft2": lambda z: summed(summed(z, -1, 1), -2, 1) / (z.shape[-1] * z.shape[-2]),
}
LAYOUTS = {
    "plain": lambda x: x,
    "reversed": lambda x: x[:, ::-1],
    "fortran": np.asfortranarray,
    "views": lambda x: np.repeat(x, 2, -1)[..., ::2],
}


def _in_a_model(function, *arrays):
    """The parts that a model of tensors gives."""
    inputs = [keras.Input(x.shape[1:]) for x in arrays]
    made = keras.Model(inputs, list(function(*inputs))).predict(list(arrays), verbose=0)
    return made if isinstance(made, list) else [made]


def _on_a_tape(function, *arrays):
    variables = [tf.Variable(x) for x in arrays]
    with tf.GradientTape():
        made = list(function(*variables))
    return [np.asarray(part) for part in made]


HOW = {"arrays": lambda function, *arrays: function(*arrays), "tensors": _in_a_model, "tape": _on_a_tape}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", EXPECTED)
@given(rows=st.integers(1, 4), columns=st.integers(1, 7), layout=st.sampled_from(sorted(LAYOUTS)))
def test_transforms_are_sums(how, name, rows, columns, layout):
    real, imag = (LAYOUTS[layout](wave(2, rows, columns, step=step)) for step in (0.7, 0.31))
    made = HOW[how](lambda *pair: getattr(ops, name)(pair), real, imag)
    expected = EXPECTED[name](real.astype(float) + 1j * imag.astype(float))
    np.testing.assert_allclose(made[0], expected.real, atol=2e-5)
    np.testing.assert_allclose(made[1], expected.imag, atol=2e-5)
    assert all(part.dtype == np.float32 for part in made)


@pytest.mark.parametrize("how", HOW)
@given(count=st.integers(2, 8), length=st.none() | st.integers(2, 11))
def test_transforms_of_real_numbers(how, count, length):
    x, n = wave(2, 3, count), length or count
    padded = np.zeros((2, 3, n))
    padded[..., : min(n, count)] = x[..., :n]
    expected = summed(padded, -1)[..., : n // 2 + 1]
    made = HOW[how](lambda a: ops.rfft(a, fft_length=length), x)
    np.testing.assert_allclose(made[0], expected.real, atol=2e-5)
    np.testing.assert_allclose(made[1], expected.imag, atol=2e-5)
    back = HOW[how](lambda *pair: [ops.irfft(pair, fft_length=n)], *map(np.asarray, made))
    np.testing.assert_allclose(back[0], padded, atol=2e-5)


@pytest.mark.parametrize("name", [*EXPECTED, "rfft", "irfft"])
def test_gradients_are_those_of_finite_steps(name):
    pair = [wave(2, 3, 5, step=step).astype(float) for step in (0.7, 0.31)]

    def loss(real, imag):
        made = getattr(ops, name)(real * imag if name == "rfft" else (real, imag))
        return sum(
            tf.reduce_sum(tf.sin(part) * (k + 1.0)) for k, part in enumerate(made if name != "irfft" else [made])
        )

    variables = [tf.Variable(part) for part in pair]
    with tf.GradientTape() as tape:
        value = loss(*variables)
    assert value.dtype == np.float64
    for number, gradient in enumerate(tape.gradient(value, variables)):
        step = wave(2, 3, 5, step=0.9).astype(float)
        ends = [[part + sign * 1e-5 * step * (k == number) for k, part in enumerate(pair)] for sign in (1, -1)]
        up, down = (float(loss(*map(tf.convert_to_tensor, end))) for end in ends)
        assert gradient.dtype == np.float64
        np.testing.assert_allclose(np.sum(gradient * step), (up - down) / 2e-5, rtol=1e-8, atol=1e-8)


def _tensors(function, *arrays):
    return function(*map(tf.convert_to_tensor, arrays))


def _variables(function, *arrays):
    return function(*map(tf.Variable, arrays))


WIDE = {"arrays": HOW["arrays"], "tensors": _tensors, "variables": _variables, "tape": _on_a_tape}


@pytest.mark.parametrize("how", WIDE)
@given(rows=st.integers(1, 3), columns=st.integers(2, 6), layout=st.sampled_from(sorted(LAYOUTS)))
def test_float64_is_transformed_in_float64(how, rows, columns, layout):
    """As Keras 3.15.1 on TensorFlow has it, whose `rfft` alone takes NumPy's arrays as float32."""
    real, imag = (LAYOUTS[layout](wave(2, rows, columns, step=step).astype(float)) for step in (0.7, 0.31))
    for name, expected in EXPECTED.items():
        made = WIDE[how](lambda *pair, name=name: getattr(ops, name)(pair), real, imag)
        assert [part.dtype for part in made] == [np.float64] * 2
        np.testing.assert_allclose(made[0] + 1j * made[1], expected(real + 1j * imag), atol=1e-13)
    made = WIDE[how](ops.rfft, real)
    assert [part.dtype for part in made] == ["float32" if how == "arrays" else "float64"] * 2
    whole = summed(real, -1)[..., : columns // 2 + 1]
    np.testing.assert_allclose(made[0] + 1j * made[1], whole, atol=2e-5 if how == "arrays" else 1e-13)
    back = WIDE[how](lambda *pair: [ops.irfft(pair, fft_length=columns)], whole.real, whole.imag)[0]
    assert back.dtype == np.float64
    np.testing.assert_allclose(back, real, atol=1e-13)


def test_lists_are_transformed():
    """Numbers of Keras 3.15.1: ``ops.rfft([1.0, 2.0, 3.0])``, ``ops.fft(([1.0, 2.0], [1.0, 2.0]))``."""
    for made, expected in (
        (ops.rfft([1.0, 2.0, 3.0]), [[6.0, -1.5], [0.0, 0.8660254]]),
        (ops.fft(([1.0, 2.0], [1.0, 2.0])), [[3.0, -1.0], [3.0, -1.0]]),
    ):
        assert made[0].dtype == made[1].dtype == np.float32
        np.testing.assert_allclose(made, expected, rtol=1e-6)


class Filter(keras.Model):
    """A layer's weight is transformed where it meets a tensor."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)
        self.kernel = self.add_weight(shape=(6,), initializer="ones", name="kernel")

    def call(self, x):
        return self.dense(x) * ops.rfft(self.kernel)[0]


def test_weights_of_a_layer_of_layers_are_transformed():
    model, x = Filter(), wave(8, 3)
    model(x)
    model.kernel.assign(wave(6))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    expected = model.dense(x).numpy() * summed(wave(6), -1).real[:4]
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)
    slopes = (expected * model.dense(x).numpy() * 2 / expected.size).sum(0)  # (4,), by the transform
    back = np.cos(2 * np.pi / 6 * np.outer(np.arange(6), np.arange(4))) @ slopes
    model.fit(x, np.zeros((8, 4), "float32"), batch_size=8, verbose=0)
    np.testing.assert_allclose(model.kernel.numpy(), wave(6) - 0.1 * back, atol=1e-5)


@pytest.mark.parametrize("length", [0, -2, 4.5, "4", np.float32(4), [4]])
def test_lengths_are_whole_numbers_of_one_or_more(length):
    for function, x in ((ops.rfft, wave(2, 5)), (ops.irfft, (wave(2, 5), wave(2, 5))), (ops.rfft, keras.Input((5,)))):
        with pytest.raises(ValueError, match=r"a whole number fft_length of 1 or more. Received: fft_length="):
            function(x, fft_length=length)
    assert ops.rfft(wave(2, 5), fft_length=np.int64(4))[0].shape == (2, 3)


def test_axes_without_numbers_and_of_open_sizes_are_said():
    none = wave(2, 0)
    for function, x in ((ops.rfft, none), (ops.fft, (none, none)), (ops.irfft, (none, none))):
        with pytest.raises(ShapeError, match=r"one number or more along an axis. Received: shape \(2, 0\)"):
            function(x)
    with pytest.raises(ShapeError, match="whose sizes are known"):
        ops.rfft(keras.Input((None,)), fft_length=8)
    with pytest.raises(ShapeError, match=r"give it fft_length. Received: m=1"):
        ops.irfft((wave(2, 1), wave(2, 1)))
    with pytest.raises(ShapeError, match="whose sizes are known"):
        ops.rfft(2.5)


class FNetLayer(layers.Layer):
    """A layer of FNet, which mixes places and channels by a Fourier transform."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.behind = keras.Sequential([layers.Dense(size, activation="gelu"), layers.Dense(size)])
        self.first, self.second = layers.LayerNormalization(epsilon=1e-6), layers.LayerNormalization(epsilon=1e-6)

    def call(self, inputs):
        x = self.first(ops.fft2((inputs, ops.zeros_like(inputs)))[0] + inputs)
        return self.second(x + self.behind(x))


def test_fnet_trains_as_in_keras(tmp_path):
    """Numbers of this model in Keras 3.15.1 on TensorFlow 2.21."""
    picture = keras.Input((8, 8, 3))
    x = layers.Dense(16)(layers.Reshape((64, 3))(picture))
    x = layers.GlobalAveragePooling1D()(FNetLayer(16)(FNetLayer(16)(x)))
    model = keras.Model(picture, layers.Dense(4)(x))
    for number, weight in enumerate(model.weights):
        is_one = len(weight.shape) == 1 and np.all(weight.numpy() == 1)
        value = wave(*weight.shape, step=0.37 + 0.11 * (number % 17), scale=0.1)
        weight.assign(np.abs(value) + 0.5 if is_one else value)
    x = wave(16, 8, 8, 3)
    np.testing.assert_allclose(model.predict(x, verbose=0)[0], [0.0993837, 0.1279126, 0.1212946, 0.0768972], atol=1e-5)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(x, np.arange(16) % 4, epochs=3, batch_size=4, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], [1.3856461, 1.3832192, 1.3813868], rtol=1e-4)
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "fnet.keras")
    read = keras.models.load_model(tmp_path / "fnet.keras", custom_objects={"FNetLayer": FNetLayer})
    np.testing.assert_array_equal(read.predict(x, verbose=0), expected)


def test_what_is_no_pair_or_of_open_sizes_is_said():
    with pytest.raises(ValueError, match="real part, imaginary part"):
        ops.fft(wave(3, 4))
    with pytest.raises(ShapeError, match="two parts of one shape"):
        ops.fft((wave(3, 4), wave(3, 5)))
    image = keras.Input((None, 4))
    with pytest.raises(ShapeError, match="whose sizes are known"):
        ops.fft2((image, image))
    row = keras.Input((4,))
    with pytest.raises(ShapeError, match="none of a model's samples"):
        ops.fft2((row, row))
