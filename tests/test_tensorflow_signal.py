"""``tf.signal`` and ``tf.audio``: against sums written out, numbers that TensorFlow 2.21 gave, and differences.

The formulas are those of its documentation; nothing of its code is here.
"""

import cmath
import contextlib
import math

import numpy as np
import pytest

from minicnn import keras
from minicnn.errors import FileFormatError, ShapeError
from minicnn.keras import tensorflow as tf
from minicnn.keras._missing import NotInMinicnn


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Sounds are written where the test is."""
    monkeypatch.chdir(tmp_path)


def wave_of(n, rate=0.3):
    return np.sin(rate * np.arange(n)) + 0.2 * np.cos(1.7 * np.arange(n))


def test_frames_over_an_axis():
    x = np.arange(7.0)
    np.testing.assert_array_equal(tf.signal.frame(x, 3, 2), [[0, 1, 2], [2, 3, 4], [4, 5, 6]])
    np.testing.assert_array_equal(tf.signal.frame(x, 3, 3), [[0, 1, 2], [3, 4, 5]])
    padded = tf.signal.frame(x, 3, 3, pad_end=True, pad_value=-1)
    np.testing.assert_array_equal(padded, [[0, 1, 2], [3, 4, 5], [6, -1, -1]])
    rows = tf.signal.frame(np.stack([x, -x], axis=1), 3, 2, axis=0)  # (frames, 3, 2)
    np.testing.assert_array_equal(rows[1], [[2, -2], [3, -3], [4, -4]])
    assert tf.signal.frame(x, 8, 2).shape == (0, 8)


def test_windows_of_even_and_odd_lengths():
    np.testing.assert_allclose(tf.signal.hann_window(4), [0, 0.5, 1, 0.5], atol=1e-7)
    np.testing.assert_allclose(tf.signal.hann_window(5), [0, 0.5, 1, 0.5, 0], atol=1e-7)  # symmetric, though periodic
    np.testing.assert_allclose(tf.signal.hann_window(4, periodic=False), [0, 0.75, 0.75, 0], atol=1e-7)
    np.testing.assert_allclose(tf.signal.hamming_window(4), [0.08, 0.54, 1, 0.54], atol=1e-7)
    assert tf.signal.hann_window(1).numpy().tolist() == [1]


@pytest.mark.parametrize(("length", "step", "whole"), [(8, 4, None), (6, 3, None), (6, 4, 16), (8, 3, 5)])
def test_spectra_are_sums_of_waves(length, step, whole):
    x = wave_of(23)
    made = tf.signal.stft(x.astype("float32"), length, step, whole)
    n = whole or 8
    window = [0.5 - 0.5 * math.cos(2 * math.pi * k / length) for k in range(length)]
    assert made.shape == (1 + (23 - length) // step, n // 2 + 1)
    assert made.dtype == "complex64"
    for t in range(made.shape[0]):
        for f in range(made.shape[1]):
            parts = (x[t * step + k] * window[k] * cmath.exp(-2j * math.pi * f * k / n) for k in range(min(length, n)))
            assert made.numpy()[t, f] == pytest.approx(sum(parts), abs=1e-5)


@pytest.mark.parametrize("window", [tf.signal.hamming_window, None])
def test_spectra_of_other_windows_with_an_end_of_zeros(window):
    x = np.stack([wave_of(10), wave_of(10, 0.7)])
    made = tf.signal.stft(x, 4, 4, window_fn=window, pad_end=True)
    assert made.shape == (2, 3, 3)
    assert made.dtype == "complex128"
    factors = np.array([0.08, 0.54, 1, 0.54] if window else [1, 1, 1, 1])
    last = np.concatenate([x[1, 8:], [0, 0]]) * factors
    np.testing.assert_allclose(made[1, 2], [last.sum(), last @ [1, -1j, -1, 1j], last @ [1, -1, 1, -1]], atol=1e-6)


def test_sounds_come_back_from_their_spectra():
    x = wave_of(96).astype("float32")
    spectra = tf.signal.stft(x, 16, 4)
    back = tf.signal.inverse_stft(spectra, 16, 4, window_fn=tf.signal.inverse_stft_window_fn(4))
    np.testing.assert_allclose(back[16:-16], x[16:-16], atol=1e-5)
    added = tf.signal.overlap_and_add(np.array([[1.0, 2, 3], [10, 20, 30]]), 2)
    np.testing.assert_array_equal(added, [1, 2, 13, 20, 30])
    np.testing.assert_allclose(tf.signal.irfft(tf.signal.rfft(x)), x, atol=1e-5)
    np.testing.assert_allclose(tf.math.real(tf.signal.ifft(tf.signal.fft(tf.cast(x, tf.complex64)))), x, atol=1e-5)


def test_mel_frequencies_as_tensorflow_computes_them():
    theirs = [  # of TensorFlow 2.21
        [0, 0, 0],
        [0.6091516, 0.3908484, 0],
        [0, 0.3965528, 0.6034472],
        [0, 0, 0.5706828],
        [0, 0, 0],
    ]
    made = tf.signal.linear_to_mel_weight_matrix(3, 5, 8000, 300.0, 3900.0)
    assert made.shape == (5, 3)
    np.testing.assert_allclose(made, theirs, atol=1e-6)
    with pytest.raises(ValueError, match="sample_rate / 2"):
        tf.signal.linear_to_mel_weight_matrix(sample_rate=4000)


def test_cepstra_are_cosine_transforms():
    x = np.array([[1.0, 2, 0.5, -1]], "float32")
    sums = [2 * sum(x[0, k] * math.cos(math.pi * j * (2 * k + 1) / 8) for k in range(4)) for j in range(4)]
    np.testing.assert_allclose(tf.signal.dct(x)[0], sums, atol=1e-5)
    np.testing.assert_allclose(
        tf.signal.mfccs_from_log_mel_spectrograms(x)[0], np.array(sums) / math.sqrt(8), atol=1e-5
    )
    ortho = tf.signal.dct(x, norm="ortho")
    assert np.sum(np.square(ortho)) == pytest.approx(np.sum(np.square(x)))  # it is a rotation
    assert tf.signal.dct(x, n=6).shape == (1, 6)
    with pytest.raises(NotImplementedError, match="axis=-1"):
        tf.signal.dct(x, axis=0)
    with pytest.raises(ValueError, match="norm"):
        tf.signal.dct(x, type=1, norm="ortho")
    with pytest.raises(ValueError, match="at least two"):
        tf.signal.dct(x, type=1, n=1)


WAVES = {  # of the k-th of n numbers, in the j-th sum
    1: lambda j, k, n: (1 if k in (0, n - 1) else 2) * math.cos(math.pi * j * k / (n - 1)),
    2: lambda j, k, n: 2 * math.cos(math.pi * j * (2 * k + 1) / (2 * n)),
    3: lambda j, k, n: (1 if k == 0 else 2) * math.cos(math.pi * k * (2 * j + 1) / (2 * n)),
    4: lambda j, k, n: 2 * math.cos(math.pi * (2 * j + 1) * (2 * k + 1) / (4 * n)),
}


@pytest.mark.parametrize("kind", WAVES)
def test_cosine_transforms_and_their_inverses(kind):
    x = np.random.default_rng(kind).normal(size=(3, 5))
    for n in (3, 5, 7):
        kept = np.pad(x[:, :n], [(0, 0), (0, max(0, n - 5))])
        sums = [[sum(row[k] * WAVES[kind](j, k, n) for k in range(n)) for j in range(n)] for row in kept]
        np.testing.assert_allclose(tf.signal.dct(x, kind, n), sums, atol=1e-12)
        factor = 2 * (n - 1) if kind == 1 else 2 * n
        np.testing.assert_allclose(tf.signal.idct(tf.signal.dct(x, kind, n), kind) / factor, kept, atol=1e-12)
        if kind != 1:
            turned = tf.signal.dct(x, kind, n, norm="ortho")
            np.testing.assert_allclose(np.square(turned).sum(1), np.square(kept).sum(1))
            np.testing.assert_allclose(tf.signal.idct(turned, kind, norm="ortho"), kept, atol=1e-12)


@pytest.mark.parametrize("kind", WAVES)
def test_cosine_transforms_have_gradients_and_are_in_models(kind):
    x = np.random.default_rng(kind).normal(size=(2, 4)).astype("float32")
    v, slopes = tf.constant(x), np.arange(8, dtype="float32").reshape(2, 4)
    with tf.GradientTape() as outer:
        outer.watch(v)
        with tf.GradientTape() as tape:
            tape.watch(v)
            y = tf.reduce_sum(tf.signal.dct(v, kind) ** 2 * slopes)
        gradient = tape.gradient(y, v)
    table = np.array([[WAVES[kind](j, k, 4) for j in range(4)] for k in range(4)])
    np.testing.assert_allclose(gradient, 2 * (x @ table) * slopes @ table.T, rtol=1e-4, atol=1e-4)
    again = outer.gradient(gradient, v)
    np.testing.assert_allclose(again, 2 * (np.ones((2, 4)) @ table) * slopes @ table.T, rtol=1e-4, atol=1e-3)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, tf.signal.dct(inputs, kind))
    np.testing.assert_allclose(model.predict(x, verbose=0), x @ table, rtol=1e-5, atol=1e-5)


def loss_of(x, options):
    spectra = tf.signal.stft(x, 6, 4, **options)
    magnitudes = tf.abs(spectra)
    others = tf.reduce_sum(tf.math.real(spectra)) + tf.reduce_sum(tf.square(tf.math.imag(spectra)))
    return tf.reduce_sum(tf.math.log(magnitudes + 0.1)) + others


def loss_in_numbers(x, options):
    spectra = np.asarray(tf.signal.stft(x, 6, 4, **options))
    return np.log(np.abs(spectra) + 0.1).sum() + spectra.real.sum() + np.square(spectra.imag).sum()


@pytest.mark.parametrize("options", [{}, {"pad_end": True}, {"fft_length": 5}, {"fft_length": 16, "window_fn": None}])
def test_gradients_of_spectra_are_differences(options):
    x = np.stack([wave_of(17), wave_of(17, 0.9)])
    variable = tf.Variable(x, dtype="float64")
    with tf.GradientTape() as tape:
        loss = loss_of(variable, options)
    made = np.asarray(tape.gradient(loss, variable))
    for at in [(0, 0), (0, 7), (1, 11), (1, 16)]:
        moved = [x + s * 1e-6 * (np.indices(x.shape) == np.reshape(at, (2, 1, 1))).all(0) for s in (1, -1)]
        difference = (loss_in_numbers(moved[0], options) - loss_in_numbers(moved[1], options)) / 2e-6
        assert made[at] == pytest.approx(difference, rel=1e-4, abs=1e-5)


OF_SPECTRA = {
    "power": lambda z: tf.math.real(z * tf.math.conj(z)),
    "another phase": lambda z: tf.math.imag(z * (1 + 2j)),
    "quotient": lambda z: tf.math.real((z - 1j) / (z * z + (3 + 1j))),
    "conjugate": lambda z: tf.math.imag(tf.math.conj(z) * 2),
    "angle": lambda z: tf.math.angle(z + (5 + 1j)),
    "of parts": lambda z: tf.abs(tf.complex(tf.math.real(z) + 1, tf.math.imag(z) * 3)),
    "of a real part": lambda z: tf.math.imag(tf.complex(tf.zeros_like(tf.math.real(z)), tf.math.real(z))),
    "cast": lambda z: tf.math.imag(tf.cast(tf.square(tf.math.real(z)), tf.complex128) * (1 - 2j)),
    "real times complex": lambda z: tf.math.imag(tf.math.real(z) * (1 + 2j)),
    "product of matrices": lambda z: tf.math.imag(tf.matmul(z, np.arange(25).reshape(5, 5) * (2 + 1j))),
    "exponential": lambda z: tf.math.real(tf.exp(z * 0.1j)),
}


@pytest.mark.parametrize("case", OF_SPECTRA)
def test_gradients_of_complex_numbers_are_differences(case):
    function, x = OF_SPECTRA[case], wave_of(9)
    weights = np.cos(np.arange(10)).reshape(2, 5)
    variable = tf.Variable(x, dtype="float64")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(function(tf.signal.stft(variable, 6, 3, window_fn=None)) * weights)
    made = np.asarray(tape.gradient(loss, variable))
    assert made.dtype == "float64"
    moved = [x + s * 1e-6 * np.eye(9) for s in (1, -1)]  # (9, 9): each number by itself
    results = [np.asarray(function(tf.signal.stft(each, 6, 3, window_fn=None))) * weights for each in moved]
    differences = (results[0] - results[1]).sum((1, 2)) / 2e-6
    np.testing.assert_allclose(made, differences, rtol=1e-5, atol=1e-6)


OF_MATRICES = {
    "transposed": tf.transpose,
    "a row": lambda z: z[0],
    "stacked": lambda z: tf.stack([z, z * 1j]),
    "gathered": lambda z: tf.gather(z, [0, 0]),
    "product of a row": lambda z: tf.reduce_prod(z, 1),
    "einsum": lambda z: tf.einsum("ij,jk->ik", z, z),
    "tensordot": lambda z: tf.tensordot(z, z, 1),
    "adjoint times": lambda z: tf.matmul(z, z, adjoint_a=True),
    "solved": lambda z: tf.linalg.solve(z, z * 2 + 1j),
    "inverse": tf.linalg.inv,
    "adjoint of the inverse": lambda z: tf.linalg.inv(z, adjoint=True),
}


@pytest.mark.parametrize("case", OF_MATRICES)
def test_gradients_of_complex_matrices_are_differences(case):
    parts = np.array([[[0.0, 1], [2, 3]], [[1, 0.5], [0, 1]]])  # real and imaginary, (2, 2, 2)

    def loss_by(real, imaginary):
        made = OF_MATRICES[case](tf.complex(real, imaginary))
        return tf.reduce_sum(tf.math.real(made * (1 + 2j)) * np.cos(np.arange(2)))

    variables = [tf.Variable(part, dtype="float64") for part in parts]
    with tf.GradientTape() as tape:
        loss = loss_by(*variables)
    made = np.stack(tape.gradient(loss, variables))
    for at in np.ndindex(2, 2, 2):
        step = np.zeros_like(parts)
        step[at] = 1e-6
        difference = (loss_by(*(parts + step)) - loss_by(*(parts - step))) / 2e-6
        assert made[at] == pytest.approx(float(difference), rel=1e-5, abs=1e-6)


def test_a_loss_of_spectra_trains():
    layers = keras.layers
    model = keras.Sequential([layers.Input((64, 1)), layers.Conv1D(1, 3, padding="same", kernel_initializer="ones")])

    def spectral(y_true, y_pred):
        theirs, ours = (tf.abs(tf.signal.stft(tf.squeeze(each, -1), 16, 8)) for each in (y_true, y_pred))
        return tf.reduce_mean(tf.abs(theirs - ours))

    model.compile(keras.optimizers.Adam(0.05), loss=spectral)
    x = np.random.default_rng(0).normal(size=(16, 64, 1)).astype("float32")
    history = model.fit(x, 0.5 * x, epochs=8, batch_size=8, verbose=0).history["loss"]
    assert history[-1] < 0.6 * history[0]


def test_a_model_s_tensors_and_tapes_are_refused_by_name():
    with pytest.raises(NotInMinicnn, match=r"tf\.signal\.stft"):
        tf.signal.stft(keras.Input((64,)), 8, 4)
    with tf.GradientTape(), pytest.raises(NotInMinicnn, match=r"tf\.signal\.rfft"):
        tf.signal.rfft(tf.Variable([1.0, 2.0]) * 2)


@pytest.mark.parametrize(("kind", "of_parts"), [("complex64", "float32"), ("complex128", "float64")])
def test_moduli_are_as_exact_as_their_numbers(kind, of_parts):
    for function in (tf.abs, tf.math.angle, tf.math.real):
        assert function(np.array([3 + 4j, 1j], kind)).dtype == of_parts


def test_infinity_stays_in_its_part():
    made = np.asarray(tf.complex([1.0, np.inf], [np.inf, 2.0]))
    assert made.real.tolist() == [1, np.inf] and made.imag.tolist() == [np.inf, 2]


def test_parts_of_complex_numbers():
    z = tf.complex([3.0, -1.0, 0.0], [4.0, 0.0, 2.0])
    assert z.dtype == tf.complex64
    np.testing.assert_array_equal(tf.math.real(z), [3, -1, 0])
    np.testing.assert_array_equal(tf.math.imag(z), [4, 0, 2])
    np.testing.assert_array_equal(tf.abs(z), [5, 1, 2])
    np.testing.assert_array_equal(tf.math.conj(z), [3 - 4j, -1, -2j])
    np.testing.assert_allclose(tf.math.angle(z), [math.atan2(4, 3), math.pi, math.pi / 2], rtol=1e-6)
    with pytest.raises(TypeError, match="float32"):
        tf.complex([1], [2])


def test_sounds_in_files():
    samples = np.array([[0.5, -0.5], [1.5, -1.5], [1.5 / 32768, -1.5 / 32768], [0, 0.25]], "float32")
    tf.io.write_file("sounds/a.wav", tf.audio.encode_wav(samples, 16000))
    audio, rate = tf.audio.decode_wav(tf.io.read_file("sounds/a.wav"))
    assert (int(rate), rate.dtype, audio.dtype) == (16000, "int32", "float32")
    expected = [[16384, -16384], [32767, -32768], [2, -2], [0, 8192]]  # halves away from zero
    np.testing.assert_array_equal(audio.numpy() * 32768, expected)
    contents = tf.io.read_file("sounds/a.wav")
    assert tf.audio.decode_wav(contents, desired_channels=1).audio.shape == (4, 1)
    longer = tf.audio.decode_wav(contents, desired_channels=3, desired_samples=6).audio * 32768
    np.testing.assert_array_equal(longer[1:], [[32767, -32768, -32768], [2, -2, -2], [0, 8192, 8192], [0] * 3, [0] * 3])
    with pytest.raises(FileFormatError, match="WAV"):
        tf.audio.decode_wav(b"no sound")


def test_a_data_set_of_spectrograms():
    for word in ("no", "yes"):
        for i in range(3):
            sound = wave_of(900 + 80 * i, 0.1 + (word == "yes"))[:, None] / 2
            tf.io.write_file(f"words/{word}/{i}.wav", tf.audio.encode_wav(sound, 8000))

    def spectrogram(path):
        audio, _ = tf.audio.decode_wav(tf.io.read_file(path), desired_channels=1, desired_samples=1000)
        magnitudes = tf.abs(tf.signal.stft(tf.squeeze(audio, axis=-1), frame_length=100, frame_step=50))
        return magnitudes[..., tf.newaxis], tf.strings.split(path, "/")[-2] == "yes"

    data = tf.data.Dataset.list_files("words/*/*.wav", shuffle=False).map(spectrogram).batch(6)
    for x, y in data:
        assert x.shape == (6, 19, 65, 1)
        loudest = x.numpy().sum(axis=(1, 3)).argmax(-1)  # the frequencies 0.1 and 1.1 of 2π, of 128
        np.testing.assert_array_equal(loudest, np.where(y, 22, 2))


@pytest.mark.parametrize("sound", [np.arange(64, dtype="int16"), tf.constant(list(range(64)))])
def test_spectra_of_whole_numbers_are_refused(sound):
    """A window of whole numbers is 0 almost everywhere; TensorFlow refuses them, too."""
    with pytest.raises(ValueError, match="windows are floats"):
        tf.signal.stft(sound, 16, 8)
    with pytest.raises(ValueError, match="windows are floats"):
        tf.signal.hann_window(8, dtype="int32")


def test_damaged_sounds_are_refused_by_what_they_are():
    good = tf.audio.encode_wav(np.zeros((8, 1), "float32"), 8000).numpy()
    fast = good[:24] + (1 << 31).to_bytes(4, "little") + good[28:]
    with pytest.raises(FileFormatError, match="numbers a second"):
        tf.audio.decode_wav(fast)
    for at in range(4, len(good)):
        for byte in (0, 127, 255):
            with contextlib.suppress(FileFormatError):
                tf.audio.decode_wav(good[:at] + bytes([byte]) + good[at + 1 :])
    with pytest.raises(ShapeError, match="one channel"):
        tf.audio.encode_wav(np.zeros(8, "float32"), 8000)
    with pytest.raises(ValueError, match="sample_rate"):
        tf.audio.encode_wav(np.zeros((8, 1), "float32"), 0)
