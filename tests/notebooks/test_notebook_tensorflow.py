"""What scripts take from TensorFlow itself: ``from minicnn.keras import tensorflow as tf``.

The oracle is what TensorFlow documents: its examples, and the formulas in NumPy.
"""

import numpy as np
import pytest

from minicnn.graph import Tensor
from minicnn.keras import tensorflow as tf

X = np.arange(24, dtype="float32").reshape(2, 3, 4) - 7


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: tf.reduce_mean(X), X.mean()),
        (lambda: tf.reduce_sum(X, axis=[0, 2], keepdims=True), X.sum((0, 2), keepdims=True)),
        (lambda: tf.reduce_max(input_tensor=X, axis=-1), X.max(-1)),
        (lambda: tf.math.reduce_variance(X, 1), X.var(1)),
        (lambda: tf.reduce_logsumexp(X, axis=-1), np.log(np.exp(X.astype("float64")).sum(-1))),
        (lambda: tf.concat([X, X], axis=1), np.concatenate([X, X], 1)),
        (lambda: tf.concat(values=[X, X], axis=-1, name="both"), np.concatenate([X, X], -1)),
        (lambda: tf.stack([X, X], axis=1), np.stack([X, X], 1)),
        (lambda: tf.expand_dims(X, axis=0), X[None]),
        (lambda: tf.squeeze(X[:1], axis=[0]), X[0]),
        (lambda: tf.reshape(X, [4, -1]), X.reshape(4, 6)),
        (lambda: tf.transpose(X, perm=[2, 0, 1]), X.transpose(2, 0, 1)),
        (lambda: tf.tile(X, [1, 2, 1]), np.tile(X, (1, 2, 1))),
        (lambda: tf.where(X > 0, X, 0.0), np.maximum(X, 0)),
        (lambda: tf.clip_by_value(X, -1, clip_value_max=2), X.clip(-1, 2)),
        (lambda: tf.cast(X > 0, tf.float32), (X > 0).astype("float32")),
        (lambda: tf.math.log(tf.exp(X)), X),
        (lambda: tf.pow(tf.abs(X), 2), X * X),
        (lambda: tf.argmax([[1, 9], [5, 0]]), [1, 0]),  # along the first axis, unless told
        (lambda: tf.argmax([[1, 9], [5, 0]], axis=1), [1, 0]),
        (lambda: tf.range(5), [0, 1, 2, 3, 4]),
        (lambda: tf.range(3, 18, 3), [3, 6, 9, 12, 15]),
        (lambda: tf.one_hot(tf.range(4) % 3, depth=3), np.eye(3)[[0, 1, 2, 0]]),
        (lambda: tf.one_hot([0, 2, -1, 1], 3, on_value=5.0, off_value=0.0), 5 * np.eye(4)[[0, 2, 3, 1], :3]),
        (lambda: tf.constant([[0.0]] * 2 + [[1.0]] * 2), [[0], [0], [1], [1]]),
        (lambda: tf.constant(-1.0, shape=[2, 3]), np.full((2, 3), -1)),
        (lambda: tf.fill([2, 3], 9), np.full((2, 3), 9)),
        (lambda: tf.nn.relu(X), np.maximum(X, 0)),
        (lambda: tf.nn.leaky_relu(X, alpha=0.1), np.where(X > 0, X, 0.1 * X)),
        (lambda: tf.nn.softmax([[1.0, 2.0, 3.0]]), np.exp([[1, 2, 3]]) / np.exp([1, 2, 3]).sum()),
        (lambda: tf.nn.l2_normalize(X, axis=-1), X / np.sqrt((X * X).sum(-1, keepdims=True))),
        (lambda: tf.nn.sigmoid_cross_entropy_with_logits(labels=1.0, logits=np.float32(2)), np.log1p(np.exp(-2))),
    ],
)
def test_functions_of_arrays(made, expected):
    result = made()
    np.testing.assert_allclose(result.numpy(), expected, rtol=2e-6, atol=1e-6)
    assert tf.is_tensor(result)


def test_numbers_are_of_the_dtypes_that_tensorflow_gives_them():
    assert tf.constant([1.0]).dtype == tf.float32 and tf.constant([1]).dtype == tf.int32 == tf.range(3).dtype
    assert tf.zeros([2]).dtype == tf.ones([2]).dtype == tf.one_hot([0], 2).dtype == tf.random.normal([2]).dtype
    assert tf.convert_to_tensor(np.zeros(2)).dtype == tf.float64 and tf.argmax([1, 2]).dtype == tf.int64


def test_misspelt_arguments_are_named():
    with pytest.raises(TypeError, match=r"tf.reduce_mean takes the arguments input_tensor, axis, keepdims"):
        tf.reduce_mean(X, axes=1)


def test_functions_of_a_models_tensors():
    image = tf.keras.Input((8, 6, 3))
    made = tf.nn.leaky_relu(tf.concat([image, tf.square(image)], axis=-1), alpha=0.1)
    made = tf.reduce_mean(tf.transpose(tf.image.resize(made, (4, 4), method="nearest"), perm=[0, 3, 1, 2]), axis=[2, 3])
    assert isinstance(made, Tensor) and tf.shape(image)[1:] == (8, 6, 3)
    x = np.random.default_rng(0).normal(size=(2, 8, 6, 3)).astype("float32")
    both = np.concatenate([x, x * x], -1)
    both = np.where(both > 0, both, 0.1 * both)[:, 1::2][:, :, [0, 2, 3, 5]]  # pixel centres at (i + ½) · 6 / 4
    np.testing.assert_allclose(tf.keras.Model(image, made).predict(x, verbose=0), both.mean((1, 2)), rtol=1e-5)


def test_activations_of_layers_are_layers_that_files_hold():
    dense = tf.keras.layers.Dense(2, activation=tf.nn.relu, input_shape=(3,))
    model = tf.keras.Sequential([dense, tf.keras.layers.Dense(2, activation=tf.nn.softmax)])
    names = [layer.get_config()["activation"]["class_name"] for layer in model.layers]
    assert names == ["ReLU", "Softmax"] and tf.keras.models.model_from_json(model.to_json()).count_params() == 14


def test_losses_and_layers_are_differentiated():
    class Sampling(tf.keras.layers.Layer):
        def call(self, inputs):
            mean, log_var = inputs
            noise = tf.random.normal(shape=(tf.shape(mean)[0], tf.shape(mean)[1]))
            return mean + tf.exp(0.5 * log_var) * noise

    def loss(y_true, y_pred):
        return tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)

    x = tf.keras.Input((4,))
    mean, log_var = tf.keras.layers.Dense(2)(x), tf.keras.layers.Dense(2)(x)
    model = tf.keras.Model(x, tf.keras.layers.Dense(4)(Sampling()([mean, log_var])))
    model.compile(tf.keras.optimizers.Adam(0.01), loss)
    data = tf.random.uniform((64, 4))
    history = model.fit(data, data, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]


def test_random_numbers():
    tf.random.set_seed(5)
    first = tf.random.normal([1000], mean=3.0, stddev=2.0).numpy()
    tf.random.set_seed(5)
    assert (tf.random.normal([1000], mean=3.0, stddev=2.0).numpy() == first).all()
    assert abs(first.mean() - 3) < 0.3 and abs(first.std() - 2) < 0.2
    whole = tf.random.uniform((500,), minval=2, maxval=5, dtype=tf.int32).numpy()
    assert set(whole.tolist()) == {2, 3, 4}
    assert sorted(tf.random.shuffle(tf.range(20)).tolist()) == list(range(20))
    with pytest.raises(ValueError, match="maxval"):
        tf.random.uniform((2,), dtype="int32")


def test_pictures_from_files(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(1).integers(0, 256, (6, 4, 3), dtype="uint8")
    image.fromarray(pixels).save(tmp_path / "a.png")
    image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    read = tf.io.decode_image(tf.io.read_file(str(tmp_path / "a.png")), channels=3)
    assert read.dtype == tf.uint8 and (read.numpy() == pixels).all()
    assert tf.io.decode_png(tf.io.read_file(str(tmp_path / "grey.png"))).shape == (6, 4, 1)
    paths = tf.data.Dataset.from_tensor_slices([str(tmp_path / "a.png")] * 3)
    batch = next(iter(paths.map(lambda p: tf.image.decode_jpeg(tf.io.read_file(p), channels=3) / 255).batch(3)))
    np.testing.assert_allclose(batch, np.stack([pixels / 255] * 3), rtol=1e-6)


def test_pictures():
    pixels = np.random.default_rng(2).integers(0, 256, (2, 4, 6, 3), dtype="uint8")
    small = tf.image.resize(pixels, [2, 3])
    np.testing.assert_allclose(small, pixels.reshape(2, 2, 2, 3, 2, 3).mean((2, 4)), rtol=1e-6)  # of 2 x 2 pixels
    assert small.dtype == tf.float32 and tf.image.resize(pixels[0], (2, 3), method="nearest").dtype == tf.uint8
    np.testing.assert_allclose(tf.image.convert_image_dtype(pixels, tf.float32), pixels / 255, rtol=1e-6)
    assert (tf.image.convert_image_dtype(pixels / np.float32(255), tf.uint8) == pixels).all()
    assert (tf.image.flip_left_right(pixels) == pixels[:, :, ::-1]).all()
    assert (tf.image.flip_up_down(pixels[0]) == pixels[0, ::-1]).all()
    assert tf.image.rgb_to_grayscale(pixels).shape == (2, 4, 6, 1)
    flipped = tf.image.random_flip_left_right(pixels)
    assert all((a == b).all() or (a == b[:, ::-1]).all() for a, b in zip(flipped, pixels, strict=True))
    with pytest.raises(ValueError, match="shape"):
        tf.image.resize(pixels[0, 0], (2, 3))


def test_devices_and_sessions_change_nothing():
    from minicnn.keras.tensorflow.compat.v1 import ConfigProto, InteractiveSession

    config = ConfigProto(device_count={"GPU": 0})
    config.gpu_options.allow_growth = True
    with pytest.warns(FutureWarning, match="sessions were dropped"):
        InteractiveSession(config=config)
    with tf.Session(config=tf.ConfigProto()) as session, pytest.raises(ImportError, match="has no Session"):
        session.run(None)
    with tf.device("/gpu:0"):
        assert [d.device_type for d in tf.config.list_physical_devices("CPU")] == ["CPU"]
    for device in tf.config.experimental.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    tf.get_logger().setLevel("ERROR")


@pytest.mark.parametrize("name", ["GradientTape", "function", "Variable", "saved_model"])
def test_what_is_not_there_says_so_in_one_sentence(name):
    assert not hasattr(tf, name)
    with pytest.raises(AttributeError, match=f"^minicnn has no (tf.)?{name}: "):
        getattr(tf, name)
