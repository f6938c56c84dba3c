"""What scripts do before and beside training: settings of TensorFlow, its names of the first version, files, functions.

The oracle is NumPy, and what TensorFlow and Keras document.
"""

import numpy as np
import pytest

from minicnn.differentiation import Recorded, gradients
from minicnn.keras import backend as K
from minicnn.keras import layers, models, ops, utils
from minicnn.keras import tensorflow as tf

X = np.arange(24, dtype="float32").reshape(2, 3, 4) - 7


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_settings_change_nothing():
    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    tf.autograph.set_verbosity(0)
    tf.enable_eager_execution()
    tf.compat.v1.disable_v2_behavior()
    tf.compat.v1.reset_default_graph()
    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.optimizer.set_jit(True)
    tf.config.run_functions_eagerly(True)
    for gpu in tf.config.experimental.list_physical_devices("GPU"):
        limit = tf.config.experimental.VirtualDeviceConfiguration(memory_limit=1024)
        tf.config.experimental.set_virtual_device_configuration(gpu, [limit])
    assert tf.executing_eagerly() and tf.__version__ == tf.version.VERSION and tf.config.get_visible_devices("CPU")
    with tf.name_scope("block"), tf.compat.v1.Session() as session:
        session.run(tf.global_variables_initializer())
    K.set_session(K.get_session())
    with pytest.raises(ImportError, match=r"K\.function"):
        K.get_session().run(layers.Input((3,)))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_names_of_tensorflow_1(tmp_path):
    assert np.allclose(tf.log(np.exp(X)), X, atol=1e-5) and tf.to_float([1, 2]).dtype == tf.float32
    assert tf.to_int32(np.array([1.7])).numpy().tolist() == [1]
    tf.set_random_seed(3)
    first = tf.random.normal((3,)).numpy()
    tf.compat.v1.set_random_seed(3)
    assert (tf.random.normal((3,)).numpy() == first).all()
    from minicnn.keras.backend import tf as ktf

    assert ktf.image.resize_images(X, (2, 2)).shape == (2, 2, 4)
    with pytest.raises(NotImplementedError, match=r"keras\.Input"):
        tf.placeholder(tf.float32, [None, 4])
    tf.gfile.MakeDirs(str(tmp_path / "a" / "b"))
    assert tf.gfile.Exists(str(tmp_path / "a"))


def test_files_and_bytes(tmp_path):
    pytest.importorskip("PIL")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype("uint8")
    tf.io.write_file(str(tmp_path / "new" / "a.png"), tf.io.encode_png(pixels))
    assert tf.io.gfile.glob(str(tmp_path / "new" / "*.png")) == [str(tmp_path / "new" / "a.png")]
    back = tf.io.decode_png(tf.io.read_file(str(tmp_path / "new" / "a.png")))
    np.testing.assert_array_equal(back, pixels)
    assert tf.io.decode_jpeg(tf.io.encode_jpeg(pixels, quality=100)).shape == (6, 5, 3)
    tf.io.gfile.copy(tmp_path / "new" / "a.png", tmp_path / "b.png")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        tf.io.gfile.copy(tmp_path / "new" / "a.png", tmp_path / "b.png")


def test_functions_of_numpy_in_a_data_set(tmp_path):
    """As scripts of U-Nets read masks: paths come as bytes, shapes are said afterwards."""
    np.save(tmp_path / "0.npy", np.full((4, 4), 2.0))
    np.save(tmp_path / "1.npy", np.full((4, 4), 5.0))

    def read(path):
        image = np.load(path.decode())[..., None]
        return image.astype(np.float32), (image > 3).astype(np.float32)

    def parse(path):
        image, mask = tf.numpy_function(read, [path], [tf.float32, tf.float32])
        image.set_shape([4, 4, 1])
        return tf.ensure_shape(image, (4, None, 1)), mask

    data = tf.data.Dataset.from_tensor_slices([str(tmp_path / f"{i}.npy") for i in range(2)]).map(parse).batch(2)
    images, masks = next(iter(data))
    assert images.numpy().mean(axis=(1, 2, 3)).tolist() == [2, 5] and masks.numpy().mean(axis=(1, 2, 3)).tolist() == [
        0,
        1,
    ]
    assert images.get_shape() == (2, 4, 4, 1)
    assert tf.py_function(lambda x: x.numpy() * 2, [np.ones(3)], tf.float64).tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="expected the shape"):
        tf.ensure_shape(images, (2, 5, 4, 1))


def test_further_functions_of_arrays():
    assert np.allclose(tf.map_fn(lambda row: row * 2, X), 2 * X)
    assert np.allclose(tf.einsum("nij,nkj->nik", X, X), X @ X.transpose(0, 2, 1), rtol=1e-5)
    assert tf.gather_nd(X, [[0, 1], [1, 2]]).numpy().tolist() == [X[0, 1].tolist(), X[1, 2].tolist()]
    numbers, places = tf.unique([4, 7, 4, 1])
    assert numbers.numpy().tolist() == [4, 7, 1] and places.numpy().tolist() == [0, 1, 0, 2]
    assert tf.random_normal_initializer(0.0, 0.02)((2000,)).std() < 0.03
    assert tf.zeros([2], tf.int8).dtype == tf.int8 and isinstance(tf.constant(1.0), tf.Tensor)


def test_how_alike_pictures_are():
    rng = np.random.default_rng(1)
    first = rng.random((2, 16, 14, 3)).astype("float32")
    second = (first + 0.1 * rng.normal(size=first.shape)).astype("float32")
    mse = ((first - second) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(tf.image.psnr(first, second, max_val=1.0), -10 * np.log10(mse), rtol=1e-4)
    np.testing.assert_allclose(tf.image.ssim(first, first, max_val=1.0), [1, 1], rtol=1e-6)
    assert (tf.image.ssim(first, second, max_val=1.0).numpy() < 1).all()
    steps = np.abs(np.diff(first, axis=1)).sum((1, 2, 3)) + np.abs(np.diff(first, axis=2)).sum((1, 2, 3))
    np.testing.assert_allclose(tf.image.total_variation(first), steps, rtol=1e-5)
    with pytest.raises(ValueError, match="at least 11"):
        tf.image.ssim(first[:, :8], first[:, :8], 1.0)


def test_similarity_place_by_place():
    """Naive sums over each window of 11 × 11, weighted by a normal function of standard deviation 1.5."""
    rng = np.random.default_rng(2)
    a, b = rng.random((12, 13)), rng.random((12, 13))
    window = np.array([[np.exp(-((i - 5) ** 2 + (j - 5) ** 2) / 4.5) for j in range(11)] for i in range(11)])
    window /= window.sum()
    expected = []
    for top in range(2):
        for left in range(3):
            x, y = a[top : top + 11, left : left + 11], b[top : top + 11, left : left + 11]
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            expected.append((2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    found = tf.image.ssim(a[..., None], b[..., None], 1.0, return_index_map=True)
    np.testing.assert_allclose(found.numpy().reshape(-1), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda x: ops.norm(x, axis=-1), np.sqrt((X**2).sum(-1))),
        (lambda x: ops.normalize(x, axis=-1), X / np.sqrt((X**2).sum(-1, keepdims=True))),
        (lambda x: ops.split(x, 2, axis=-1)[1], X[..., 2:]),
        (lambda x: ops.split(x, [1, 3], axis=2)[1], X[..., 1:3]),
        (lambda x: ops.unstack(x, axis=1)[2], X[:, 2]),
        (lambda x: ops.take(x, [2, 0], axis=1), X[:, [2, 0]]),
        (lambda x: ops.roll(x, 1, axis=2), np.roll(X, 1, 2)),
        (lambda x: ops.einsum("nij,nkj->nik", x, x), X @ X.transpose(0, 2, 1)),
        (lambda x: ops.mod(x, 3), X % 3),
        (lambda x: ops.stop_gradient(x) + ops.identity(x), 2 * X),
    ],
)
def test_further_functions_of_ops(made, expected):
    np.testing.assert_allclose(made(X), expected, rtol=1e-4, atol=1e-5)
    image = layers.Input((3, 4))
    np.testing.assert_allclose(models.Model(image, made(image)).predict(X, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_sums_of_products_are_differentiated():
    """The gradient of a product of matrices, by hand."""
    rng = np.random.default_rng(3)
    a, b, seed = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    first, second = Recorded(a), Recorded(b)
    made = ops.einsum("ij,jk->ik", first, second)
    of_first, of_second = gradients(made, seed, [first, second])
    np.testing.assert_allclose(of_first, seed @ b.T)
    np.testing.assert_allclose(of_second, a.T @ seed)
    of_first, of_second = gradients(ops.einsum("ij,kl->ik", first, second), seed[:, :3], [first, second])
    np.testing.assert_allclose(of_first, np.outer(seed[:, :3] @ b.sum(axis=1), np.ones(3)))
    np.testing.assert_allclose(of_second, np.outer(a.sum(axis=1) @ seed[:, :3], np.ones(4)))
    with pytest.raises(TypeError, match="different indices"):
        ops.einsum("ii,kl->kl", Recorded(np.eye(3)), second)


def test_ops_of_classes():
    values, indices = ops.top_k(np.array([[1.0, 5, 3]]), 2)
    assert values.tolist() == [[5, 3]] and indices.tolist() == [[1, 2]]
    assert ops.in_top_k([0, 2], np.array([[0.1, 0.5, 0.4], [0.2, 0.1, 0.7]]), 2).tolist() == [False, True]
    assert ops.multi_hot([[0, 2], [1, 1]], 3).tolist() == [[1, 0, 1], [0, 1, 0]]


def test_a_loss_with_a_constant_part_learns():
    def loss(y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred)) + 0 * ops.mean(ops.stop_gradient(y_pred))

    model = models.Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile("sgd", loss)
    history = model.fit(np.ones((8, 4)), np.ones((8, 1)), epochs=3, verbose=0).history["loss"]
    assert history[2] < history[0]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_keras_has_dropped(capsys):
    model = models.Sequential([layers.Input((4,)), layers.Dense(2)])
    assert utils.multi_gpu_model(model, gpus=2) is model
    utils.print_summary(model)
    assert "Total params" in capsys.readouterr().out
    assert K.identity(X) is X and K.print_tensor(X, "x: ") is X and "x: " in capsys.readouterr().out
    from minicnn.keras.experimental import CosineDecay

    assert CosineDecay(0.1, 10)(0) == pytest.approx(0.1)

    class Own(layers.Layer):
        def __init__(self):
            super().__init__()
            self.input_spec = layers.InputSpec(ndim=2)

        def call(self, x):
            return 2 * x

    assert np.allclose(Own()(np.ones((2, 2))), 2)
