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
    names = [layer.get_config()["activation"] for layer in model.layers]
    assert names == ["relu", "softmax"] and tf.keras.models.model_from_json(model.to_json()).count_params() == 14


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


def test_devices_and_sessions_change_nothing(monkeypatch):
    monkeypatch.setattr("minicnn.keras._warning._warned", set())  # a sentence is said once in a process
    from minicnn.keras.tensorflow.compat.v1 import ConfigProto, InteractiveSession

    config = ConfigProto(device_count={"GPU": 0})
    config.gpu_options.allow_growth = True
    with pytest.warns(FutureWarning, match="sessions were dropped"):
        InteractiveSession(config=config)
    with tf.Session(config=tf.ConfigProto()) as session, pytest.raises(ImportError, match="has no Session"):
        session.run("accuracy:0")
    with tf.device("/gpu:0"):
        assert [d.device_type for d in tf.config.list_physical_devices("CPU")] == ["CPU"]
    for device in tf.config.experimental.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    tf.get_logger().setLevel("ERROR")


@pytest.mark.parametrize("name", ["saved_model", "lite"])
def test_what_is_not_there_says_so_in_one_sentence(name):
    assert not hasattr(tf, name)
    with pytest.raises(AttributeError, match=f"^minicnn has no (tf.)?{name}: "):
        getattr(tf, name)


# ------------------------------------------------------------------------------------------ arrays and pictures


A = np.arange(24, dtype="float32").reshape(4, 6) - 9


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: tf.pad([[1, 2, 3], [4, 5, 6]], tf.constant([[1, 1], [2, 2]])).sum(0), [0, 0, 5, 7, 9, 0, 0]),
        (lambda: tf.pad([[1, 2, 3], [4, 5, 6]], [[1, 1], [2, 2]], "REFLECT")[0], [6, 5, 4, 5, 6, 5, 4]),
        (lambda: tf.pad([[1, 2, 3], [4, 5, 6]], [[1, 1], [2, 2]], "SYMMETRIC")[0], [2, 1, 1, 2, 3, 3, 2]),
        (lambda: tf.pad([1], [[1, 0]], constant_values=9), [9, 1]),
        (lambda: tf.norm(A), np.sqrt((A**2).sum())),
        (lambda: tf.linalg.norm(A, axis=[1], keepdims=True), np.sqrt((A**2).sum(1, keepdims=True))),
        (lambda: tf.norm(A, ord=1), np.abs(A).sum()),
        (lambda: tf.norm(A, ord=np.inf, axis=0), np.abs(A).max(0)),
        (lambda: tf.split(A, 3, axis=1)[1], A[:, 2:4]),
        (lambda: tf.split(A, [1, 3], 0)[1], A[1:]),
        (lambda: tf.split(A, num_or_size_splits=2, axis=-1)[1], A[:, 3:]),
        (lambda: tf.unstack(A, axis=1)[2], A[:, 2]),
        (lambda: tf.gather(["a", "b", "c"], indices=[2, 0]) == ["c", "a"], [True, True]),
        (lambda: tf.gather(A, [3, 0], axis=1), A[:, [3, 0]]),
        (lambda: tf.boolean_mask(A, A > 0), A[A > 0]),
        (lambda: tf.boolean_mask(A, [True, False, False, True]), A[[0, 3]]),
        (lambda: tf.boolean_mask(A, [1, 0, 0, 0, 0, 1], axis=1), A[:, [0, 5]]),
        (lambda: tf.linspace(0.0, 1.0, 3), [0, 0.5, 1]),
        (lambda: tf.eye(2, 3), [[1, 0, 0], [0, 1, 0]]),
        (lambda: tf.rank(A), 2),
        (lambda: tf.size(A), 24),
        (lambda: tf.math.confusion_matrix([1, 2, 4], [2, 2, 4])[1:3], [[0, 0, 1, 0, 0], [0, 0, 1, 0, 0]]),
        (lambda: tf.math.confusion_matrix([0, 1], [1, 1], 2, weights=[3, 2]), [[0, 3], [0, 2]]),
    ],
)
def test_arrays(made, expected):
    np.testing.assert_allclose(made(), expected, rtol=1e-6)


def test_parts_of_a_models_tensor():
    tensor = tf.keras.Input((6, 8))
    first, second = tf.split(tensor, 2, axis=-1)
    model = tf.keras.Model(tensor, tf.concat([second, first], axis=-1))
    x = np.random.default_rng(0).random((3, 6, 8)).astype("float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), np.concatenate([x[..., 4:], x[..., :4]], -1))
    with pytest.raises(ValueError, match="3 equal parts do not make 8"):
        tf.split(tensor, 3, axis=-1)


def test_functions_that_tensorflow_would_compile(capsys):
    @tf.function
    def twice(x):
        return tf.reduce_sum(x * 2)

    @tf.function(jit_compile=True)
    def thrice(x):
        return x * 3

    assert float(twice(np.ones(3))) == 6
    assert thrice(2) == 6
    tf.print("loss", tf.constant(2))
    assert capsys.readouterr().out == "loss 2\n"


def test_strategies_and_devices():
    strategy = tf.distribute.MirroredStrategy(devices=["/gpu:0"])
    with strategy.scope():
        model = tf.keras.Sequential([tf.keras.layers.Input((3,)), tf.keras.layers.Dense(2)])
    assert (strategy.num_replicas_in_sync, tf.distribute.get_strategy().num_replicas_in_sync) == (1, 1)
    assert model.output_shape == (None, 2)
    assert tf.test.is_gpu_available() == bool(tf.config.list_physical_devices("GPU"))
    assert bool(tf.test.gpu_device_name()) == tf.test.is_built_with_cuda()


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        (lambda: tf.train.AdamOptimizer(0.01, beta1=0.8), "Adam", {"learning_rate": 0.01, "beta_1": 0.8}),
        (lambda: tf.train.GradientDescentOptimizer(0.5), "SGD", {"learning_rate": 0.5}),
        (lambda: tf.train.MomentumOptimizer(0.5, 0.9, use_nesterov=True), "SGD", {"momentum": 0.9, "nesterov": True}),
        (lambda: tf.train.RMSPropOptimizer(0.1, decay=0.7), "RMSprop", {"learning_rate": 0.1, "rho": 0.7}),
        (lambda: tf.train.AdagradOptimizer(0.1), "Adagrad", {"learning_rate": 0.1}),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_optimizers_of_tensorflow_1(make, name, expected):
    optimizer = make()
    assert isinstance(optimizer, getattr(tf.keras.optimizers, name))
    config = optimizer.get_config()
    assert {key: config[key] for key in expected} == expected


def test_generators_with_a_signature():
    signature = (tf.TensorSpec(shape=(None, 2), dtype=tf.float32), tf.TensorSpec((None,), tf.int32))
    batches = [(np.ones((3, 2), "float32"), np.zeros(3, "int32"))] * 2
    dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    assert [x.shape for x, _ in dataset] == [(3, 2), (3, 2)]


PICTURE = np.random.default_rng(2).integers(0, 256, (9, 12, 3), dtype=np.uint8)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_colours(dtype):
    """By the formulas, in float64, of numbers from 0 to 1."""
    picture = PICTURE if dtype == "uint8" else PICTURE.astype("float32") / 255
    x, near = PICTURE / 255, {"atol": 1 / 255 if dtype == "uint8" else 1e-6}
    mean = x.mean((0, 1))
    made = {
        "brightness": (tf.image.adjust_brightness(picture, 0.2), x + 0.2),
        "contrast": (tf.image.adjust_contrast(picture, 1.4), (x - mean) * 1.4 + mean),
        "grey": (tf.image.rgb_to_grayscale(picture), (x * [0.2989, 0.587, 0.114]).sum(-1, keepdims=True)),
    }
    for name, (found, expected) in made.items():
        assert found.dtype == dtype, name
        found = found / 255 if dtype == "uint8" else found
        np.testing.assert_allclose(found, expected.clip(0, 1) if dtype == "uint8" else expected, **near, err_msg=name)


def test_saturation():
    import colorsys

    picture = PICTURE.astype("float32") / 255
    for factor in (0.0, 0.5, 1.7):
        expected = []
        for pixel in picture.reshape(-1, 3).tolist():
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            expected.append(colorsys.hsv_to_rgb(hue, min(factor * saturation, 1), value))
        found = tf.image.adjust_saturation(picture, factor)
        np.testing.assert_allclose(found, np.reshape(expected, picture.shape), atol=1e-6)
    grey = np.full((2, 2, 3), 0.5, "float32")
    np.testing.assert_array_equal(tf.image.adjust_saturation(grey, 3.0), grey)


def test_parts_of_pictures():
    np.testing.assert_array_equal(tf.image.rot90(PICTURE), np.rot90(PICTURE))
    np.testing.assert_array_equal(tf.image.rot90(PICTURE[None], k=3)[0], np.rot90(PICTURE, 3))
    np.testing.assert_array_equal(tf.image.central_crop(PICTURE, 0.5), PICTURE[2:7, 3:9])
    np.testing.assert_array_equal(tf.image.crop_to_bounding_box(PICTURE, 1, 2, 4, 5), PICTURE[1:5, 2:7])
    wide = tf.image.resize_with_crop_or_pad(PICTURE, 5, 16)
    np.testing.assert_array_equal(wide[:, 2:14], PICTURE[2:7])
    assert not wide[:, :2].any()
    assert not wide[:, 14:].any()
    with pytest.raises(ValueError, match="rows"):
        tf.image.crop_to_bounding_box(PICTURE, 6, 0, 4, 4)
    with pytest.raises(ValueError, match="does not fit"):
        tf.image.pad_to_bounding_box(PICTURE, 0, 0, 8, 20)
    even = tf.image.per_image_standardization(PICTURE)
    np.testing.assert_allclose([even.mean(), even.std()], [0, 1], atol=1e-5)


def test_random_pictures():
    tf.random.set_seed(4)
    places = {tf.image.random_crop(np.arange(12).reshape(3, 4), [2, 3]).item(0) for _ in range(60)}
    assert places == {0, 1, 4, 5}
    with pytest.raises(ValueError, match="at most as large"):
        tf.image.random_crop(PICTURE, [10, 3, 3])
    flipped = [np.array_equal(tf.image.random_flip_up_down(PICTURE), PICTURE) for _ in range(40)]
    assert 5 < sum(flipped) < 35
    x = np.full((2, 2, 3), 0.5, "float32")
    shifts = [float(tf.image.random_brightness(x, 0.2)[0, 0, 0]) - 0.5 for _ in range(40)]
    assert -0.2 <= min(shifts) < -0.05
    assert 0.05 < max(shifts) <= 0.2
    for change in (tf.image.random_contrast, tf.image.random_saturation):
        spreads = [float(change(PICTURE / np.float32(255), 0.5, 0.6).std()) for _ in range(5)]
        assert len(set(spreads)) == 5


def test_pictures_of_keras_ops():
    image = tf.keras.ops.image
    x = PICTURE.astype("float32")
    np.testing.assert_allclose(image.resize(x, (4, 5)), tf.image.resize(x, (4, 5)), atol=1e-4)
    first = np.moveaxis(x, -1, 0)
    found = image.resize(first[None], (4, 5), data_format="channels_first")
    np.testing.assert_allclose(np.moveaxis(found[0], 0, -1), tf.image.resize(x, (4, 5)), atol=1e-4)
    grey = image.rgb_to_grayscale(first, data_format="channels_first")
    np.testing.assert_array_equal(grey[0], tf.image.rgb_to_grayscale(x)[..., 0])
    np.testing.assert_array_equal(image.crop_images(x, 1, 2, 3, 4), x[1:6, 2:8])
    np.testing.assert_array_equal(
        image.crop_images(x, top_cropping=1, target_height=4, right_cropping=2, target_width=5), x[1:5, 5:10]
    )
    padded = image.pad_images(first, 1, 2, target_height=12, target_width=20, data_format="channels_first")
    assert padded.shape == (3, 12, 20)
    np.testing.assert_array_equal(padded[:, 1:10, 2:14], first)
    with pytest.raises(ValueError, match="two are given"):
        image.crop_images(x, 1, 2, 3, 4, 5, 6)
    tensor = tf.keras.Input((9, 12, 3))
    assert image.resize(tensor, (4, 5)).shape == (None, 4, 5, 3)


def test_mixup_of_a_data_set():
    rows = np.eye(4, dtype="float32")[np.arange(8) % 4]
    mix = tf.keras.layers.MixUp(alpha=0.4, seed=1)
    dataset = tf.data.Dataset.from_tensor_slices((np.zeros((8, 3, 3, 1), "float32"), rows)).batch(8)
    dataset = dataset.map(lambda images, labels: mix({"images": images, "labels": labels}))
    ((images, labels),) = [(batch["images"], batch["labels"]) for batch in dataset]
    assert images.shape == (8, 3, 3, 1)
    assert ((labels > 0).sum(1) == 2).any()
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)


def kept_one_by_one(boxes, scores, most, threshold):
    """The definition: the best box that covers none of those kept by more than a threshold, again and again."""

    def share(a, b):
        height, width = (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1))
        common = max(height, 0) * max(width, 0)
        return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)

    chosen = []
    for at in np.argsort(-scores, kind="stable"):
        if len(chosen) < most and all(share(boxes[at], boxes[other]) <= threshold for other in chosen):
            chosen.append(at)
    return chosen


def test_boxes_that_cover_better_ones_are_left_out():
    rng = np.random.default_rng(5)
    low = rng.uniform(0, 0.6, (30, 2))
    boxes, scores = np.concatenate([low, low + rng.uniform(0.1, 0.4, (30, 2))], axis=1), rng.random(30)
    for most, threshold in ((30, 0.5), (5, 0.2), (30, 0.0)):
        kept = tf.image.non_max_suppression(boxes, scores, max_output_size=most, iou_threshold=threshold)
        assert kept.numpy().tolist() == kept_one_by_one(boxes, scores, most, threshold)
    assert kept.dtype == np.int32
    turned = boxes[:, [2, 1, 0, 3]]  # any two opposite corners
    assert tf.image.non_max_suppression(turned, scores, 30, 0.0).numpy().tolist() == kept.numpy().tolist()
    few = tf.image.non_max_suppression(boxes, scores, 30, 1.0, score_threshold=0.5)
    assert (scores[few] > 0.5).all() and len(few) == (scores > 0.5).sum()
    padded, count = tf.image.non_max_suppression_padded(boxes, scores, 9, 0.0, pad_to_max_output_size=True)
    assert padded.shape == (9,) and not padded[int(count) :].any()
    _, lowered = tf.image.non_max_suppression_with_scores(boxes[[0, 0]], [0.9, 0.8], 2, soft_nms_sigma=0.5)
    np.testing.assert_allclose(lowered, [0.9, 0.8 * np.exp(-1)], rtol=1e-6)  # the same box twice
    found = tf.image.combined_non_max_suppression(boxes[None, :, None], scores[None, :, None], 9, 12, 0.2)
    expected = kept_one_by_one(boxes, scores, 9, 0.2)
    assert found.valid_detections == [len(expected)]
    np.testing.assert_allclose(found.nmsed_boxes[0, : len(expected)], boxes[expected].clip(0, 1), rtol=1e-6)
    with pytest.raises(ValueError, match=r"boxes \(n, 4\)"):
        tf.image.non_max_suppression(boxes, scores[:3], 3)


def test_outlines_of_boxes():
    black = np.zeros((1, 5, 6, 3), "float32")
    made = tf.image.draw_bounding_boxes(black, [[[0.25, 0.2, 0.75, 0.8]]], [[1.0, 0.5, 0.0]]).numpy()
    expected = np.zeros((5, 6))
    expected[1, 1:5] = expected[3, 1:5] = expected[1:4, 1] = expected[1:4, 4] = 1
    np.testing.assert_array_equal(made[0, ..., 0], expected)
    np.testing.assert_array_equal(made[0, ..., 1], expected / 2)
    assert not black.any()
    outside = tf.image.draw_bounding_boxes(black, [[[-0.5, 0.2, 2.0, 0.8], [2.0, 0, 3.0, 1]]], None).numpy()
    assert outside[0, :, [1, 4], :2].all() and outside.sum() == 2 * 5 * 2
    with pytest.raises(TypeError, match="convert_image_dtype"):
        tf.image.draw_bounding_boxes(black.astype("uint8"), [[[0, 0, 1, 1]]], None)


def test_where_the_largest_numbers_of_windows_stand():
    images = np.random.default_rng(6).normal(size=(2, 5, 6, 3)).astype("float32")
    largest, places = tf.nn.max_pool_with_argmax(images, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")
    for n, i, j, c in np.ndindex(2, 3, 3, 3):
        window = images[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        row, column = np.unravel_index(window.argmax(), window.shape)
        assert places[n, i, j, c] == ((2 * i + row) * 6 + 2 * j + column) * 3 + c
        assert largest[n, i, j, c] == window.max()
    again = np.zeros((2, 90), "float32")
    np.put_along_axis(again, places.numpy().reshape(2, -1), largest.numpy().reshape(2, -1), axis=1)  # SegNet's way back
    assert ((again.reshape(images.shape) == images) | (again.reshape(images.shape) == 0)).all()
    with pytest.raises(ValueError, match="data_format"):
        tf.nn.max_pool_with_argmax(images, 2, 2, "SAME", data_format="NCHW")


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: tf.math.erf([0.0, 10.0]), [0, 1]),
        (lambda: tf.math.xlogy([0.0, 2.0], [0.0, np.e]), [0, 2]),
        (lambda: tf.math.multiply_no_nan([2.0, 3.0], [0.0, 2.0]), [0, 6]),
        (lambda: tf.math.segment_mean([[1.0], [3.0], [5.0]], [0, 0, 2]), [[2], [0], [5]]),
        (lambda: tf.math.unsorted_segment_sum([1, 2, 4], [1, -1, 1], 2), [0, 5]),
        (lambda: tf.math.polyval([1, 0, -1], 3), 8),
        (lambda: tf.nn.weighted_cross_entropy_with_logits([1.0, 0.0], [0.0, 0.0], 3.0), np.log(2) * np.array([3, 1])),
        (lambda: tf.nn.crelu([-1.0, 2.0]), [0, 2, 1, 0]),
        (lambda: tf.nn.top_k([1.0, 3.0, 2.0], 2).indices, [1, 2]),
        (lambda: tf.sequence_mask([1, 3]), [[1, 0, 0], [1, 1, 1]]),
        (lambda: tf.dynamic_partition([5, 6, 7], [1, 0, 1], 2)[1], [5, 7]),
        (lambda: tf.unique_with_counts([4, 4, 2])[2], [2, 1]),
        (lambda: tf.tensor_scatter_nd_max([1, 2, 3], [[0], [1]], [9, 0]), [9, 2, 3]),
        (lambda: tf.foldl(lambda a, b: 2 * a + b, [1, 2, 3]), 11),
        (lambda: tf.linalg.solve([[2.0, 0.0], [0.0, 4.0]], [[2.0], [2.0]]), [[1], [0.5]]),
        (lambda: tf.linalg.svd([[3.0, 0.0], [0.0, 4.0]])[0], [4, 3]),
    ],
)
def test_functions_that_are_called_less_often(made, expected):
    np.testing.assert_allclose(made(), expected, rtol=1e-5)
    assert tf.as_string([1, 2]).numpy().tolist() == [b"1", b"2"]
