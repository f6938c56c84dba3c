"""Functions of TensorFlow's name at their edges: its numbers, and one sentence where there are none.

The numbers were computed by hand, by NumPy's formulas, or with TensorFlow 2.21.
"""

import numpy as np
import pytest

from minicnn import keras
from minicnn.errors import ShapeError
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

ROWS = np.arange(24, dtype="float32").reshape(2, 4, 3)
IMAGES = np.arange(96, dtype="float32").reshape(2, 4, 4, 3)


# -------------------------------------------------------------------------------------------- windows over images


@pytest.mark.parametrize("call", [lambda k: tf.nn.conv2d(IMAGES, k), lambda k: ops.conv(IMAGES, k)])
def test_filters_are_a_multiple_of_the_groups(call):
    with pytest.raises(ShapeError, match="3 groups, each with as many filters"):
        call(np.ones((2, 2, 1, 4), "float32"))


def test_each_group_has_its_filters():
    kernel = np.arange(6, dtype="float32").reshape(1, 1, 1, 6)
    expected = np.repeat(IMAGES, 2, axis=-1) * np.arange(6)
    np.testing.assert_array_equal(tf.nn.conv2d(IMAGES, kernel), expected)


@pytest.mark.parametrize(
    "call",
    [
        lambda padding: tf.nn.conv2d(IMAGES, np.ones((2, 2, 3, 1), "float32"), padding=padding),
        lambda padding: ops.conv(IMAGES, np.ones((2, 2, 3, 1), "float32"), padding=padding),
        lambda padding: ops.max_pool(IMAGES, 2, padding=padding),
        lambda padding: tf.nn.avg_pool(IMAGES, 2, 2, padding),
        lambda padding: tf.image.extract_patches(IMAGES, (1, 2, 2, 1), (1, 1, 1, 1), padding=padding),
        lambda padding: ops.conv_transpose(IMAGES, np.ones((2, 2, 1, 3), "float32"), padding=padding),
    ],
)
def test_padding_of_another_name_is_refused(call):
    call("VALID"), call("SAME")
    with pytest.raises(ValueError, match="padding"):
        call("FULL")


def test_windows_of_rows_take_three_numbers():
    expected = ROWS.reshape(2, 2, 2, 3).max(2)
    np.testing.assert_array_equal(tf.nn.max_pool(ROWS, [1, 2, 1], [1, 2, 1], "SAME"), expected)
    np.testing.assert_array_equal(tf.nn.pool(ROWS, [2], "AVG", [2]), ROWS.reshape(2, 2, 2, 3).mean(2))


@pytest.mark.parametrize("strides", [[1, 2], [2, 1, 1, 2], [1, 1, 1, 1, 1]])
def test_numbers_for_other_axes_are_refused(strides):
    with pytest.raises(ValueError, match="Received"):
        tf.nn.max_pool(ROWS if len(strides) == 2 else IMAGES, strides, strides, "SAME")


def test_other_poolings_are_refused():
    with pytest.raises(ValueError, match="Received"):
        tf.nn.pool(IMAGES, [2, 2], pooling_type="MEAN")


def test_padding_by_number_of_a_mean_is_refused():
    """As in TensorFlow, whose maxima alone take it."""
    with pytest.raises(ValueError, match=r"'VALID' or 'SAME'.*Received"):
        tf.nn.avg_pool(IMAGES, 2, 2, [[0, 0], [1, 1], [1, 1], [0, 0]])


def test_a_transposed_convolution_has_holes():
    x, kernel = np.array([[[[1.0], [2.0]]]], "float32"), np.array([3.0, 5.0], "float32").reshape(1, 2, 1, 1)
    made = tf.nn.conv2d_transpose(x, kernel, [1, 1, 4, 1], 1, "VALID", dilations=[1, 1, 2, 1])
    np.testing.assert_array_equal(np.ravel(made), [3, 6, 5, 10])
    np.testing.assert_array_equal(np.ravel(ops.conv_transpose(x, kernel, dilation_rate=(1, 2))), [3, 6, 5, 10])


@pytest.mark.parametrize("shape", [[3, 8, 8, 5], [2, 8, 8, 4], [8, 8]])
def test_the_shape_of_a_transposed_convolution_fits(shape):
    with pytest.raises(ShapeError, match="output_shape"):
        tf.nn.conv2d_transpose(IMAGES, np.ones((2, 2, 5, 3), "float32"), shape, 2)


def test_windows_go_by_the_format_that_is_set():
    first = np.moveaxis(IMAGES, -1, 1)
    kernel = np.ones((2, 2, 3, 1), "float32")
    expected = np.moveaxis(np.asarray(ops.max_pool(IMAGES, 2)), -1, 1), np.moveaxis(ops.conv(IMAGES, kernel), -1, 1)
    keras.backend.set_image_data_format("channels_first")
    try:
        made = ops.max_pool(first, 2), ops.conv(first, kernel)
        of_tensorflow = tf.nn.max_pool(IMAGES, 2, 2, "VALID")
    finally:
        keras.backend.set_image_data_format("channels_last")
    np.testing.assert_array_equal(made[0], expected[0])
    np.testing.assert_array_equal(made[1], expected[1])
    np.testing.assert_array_equal(of_tensorflow, ops.max_pool(IMAGES, 2))


@pytest.mark.parametrize("by_name", [True, False])
def test_a_rescaling_of_channels_goes_by_the_format_that_is_set(by_name):
    """Where rows are as long as there are channels, too: no number may go along the wrong axis."""
    x, scale = np.random.default_rng(0).normal(size=(2, 3, 4, 3)).astype("float32"), [0.5, 2.0, 3.0]
    keras.backend.set_image_data_format("channels_first")
    try:
        layer = keras.layers.Rescaling(scale=scale, offset=1) if by_name else keras.layers.Rescaling(scale, 1)
    finally:
        keras.backend.set_image_data_format("channels_last")
    np.testing.assert_allclose(layer(x), x * np.reshape(scale, (3, 1, 1)) + 1, rtol=1e-6)
    again = keras.layers.Rescaling.from_config(layer.get_config())
    np.testing.assert_array_equal(again(x), layer(x))
    np.testing.assert_allclose(keras.layers.Rescaling(scale)(x), x * scale, rtol=1e-6)


def test_whole_numbers_stay_so():
    whole = IMAGES.astype("int32")
    assert tf.nn.max_pool(whole, 2, 2, "VALID").dtype == np.int32
    assert tf.nn.conv2d(whole, np.ones((2, 2, 3, 1), "int32")).dtype == np.int32


def test_blocks_of_channels_first():
    first = np.moveaxis(IMAGES, -1, 1)
    made = tf.nn.space_to_depth(first, 2, data_format="NCHW")
    np.testing.assert_array_equal(made, np.moveaxis(np.asarray(tf.nn.space_to_depth(IMAGES, 2)), -1, 1))
    np.testing.assert_array_equal(tf.nn.depth_to_space(made, 2, data_format="NCHW"), first)


def test_blocks_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="multiple of 3 rows and columns"):
        tf.nn.space_to_depth(IMAGES, 3)


@pytest.mark.parametrize("bias", [np.ones((1, 3), "float32"), np.ones(1, "float32"), 1.0])
def test_a_bias_is_one_number_for_each_channel(bias):
    with pytest.raises(ShapeError, match="3 channel"):
        tf.nn.bias_add(IMAGES, bias)


def test_a_batch_may_be_empty():
    none, kernel = IMAGES[:0], tf.Variable(np.ones((2, 2, 3, 5), "float32"))
    with tf.GradientTape() as tape:
        made = tf.nn.conv2d(none, kernel, padding="SAME")
        total = tf.reduce_sum(made)
    assert made.shape == (0, 4, 4, 5)
    np.testing.assert_array_equal(tape.gradient(total, kernel), np.zeros((2, 2, 3, 5)))
    assert ops.conv_transpose(none, np.ones((2, 2, 1, 3), "float32"), 2).shape == (0, 8, 8, 1)
    assert ops.max_pool(none, 2).shape == ops.average_pool(none, 2).shape == (0, 2, 2, 3)


@pytest.mark.parametrize(
    ("losses", "weights", "expected"),
    [
        (np.arange(4, dtype="float32"), np.ones((4, 1), "float32"), 1.5),
        (np.arange(12, dtype="float32").reshape(4, 3), [0.0, 1, 0, 0], 3.0),
        ([1.0, 2.0], None, 1.5),
    ],
)
def test_average_losses_have_weights_of_other_ranks(losses, weights, expected):
    made = tf.nn.compute_average_loss(losses, weights)
    assert made.dtype == np.float32 and float(made) == expected


def test_crops_of_the_nearest_pixels():
    x = np.arange(4, dtype="float32").reshape(1, 1, 4, 1)
    made = tf.image.crop_and_resize(x, [[0, 0.5 / 3, 0, 2.5 / 3]], [0], (1, 3), method="nearest")
    np.testing.assert_array_equal(np.ravel(made), [1, 2, 3])  # of 0.5, 1.5, 2.5
    with pytest.raises(ValueError, match="method"):
        tf.image.crop_and_resize(x, [[0, 0, 1, 1]], [0], (1, 3), method="bicubic")
    with pytest.raises(ValueError, match="box_indices"):
        tf.image.crop_and_resize(x, [[0, 0, 1, 1]], [-1], (1, 3))


# ------------------------------------------------------------------------------------------------- parts of arrays


def test_gather_shares_axes_at_the_front():
    x, at = np.arange(24).reshape(2, 3, 4), np.array([[0, 2], [1, 1]])
    expected = np.stack([x[0][at[0]], x[1][at[1]]])
    np.testing.assert_array_equal(tf.gather(x, at, batch_dims=1), expected)
    np.testing.assert_array_equal(tf.gather(x, at, axis=-1, batch_dims=1), [x[0][:, at[0]], x[1][:, at[1]]])
    np.testing.assert_array_equal(tf.gather(x, at[:, 0], batch_dims=1), [x[0, 0], x[1, 1]])
    each = np.array([[0, 1, 2], [3, 2, 1]])
    np.testing.assert_array_equal(tf.gather(x, each, batch_dims=2), np.take_along_axis(x, each[..., None], 2)[..., 0])


@pytest.mark.parametrize("options", [{}, {"axis": 2, "batch_dims": 1}])
def test_gather_has_gradients(options):
    x = tf.Variable(np.arange(24, dtype="float32").reshape(2, 3, 4))
    at = np.array([[0, 2], [1, 1]]) if options else np.array([1, 1])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.gather(x, at, **options))
    expected = np.zeros((2, 3, 4))
    if options:
        expected[0, :, [0, 2]] += 1
        expected[1, :, 1] += 2
    else:
        expected[1] += 2
    np.testing.assert_array_equal(tape.gradient(total, x), expected)


@pytest.mark.parametrize(("at", "options"), [([-1], {}), ([2], {}), ([[-1], [0]], {"batch_dims": 1})])
def test_gather_refuses_places_that_are_not_there(at, options):
    with pytest.raises(IndexError, match="places lie from 0"):
        tf.gather(np.arange(24).reshape(2, 3, 4), at, **options)


@pytest.mark.parametrize(
    "call",
    [
        lambda at: tf.scatter_nd(at, [1.0], [3]),
        lambda at: tf.tensor_scatter_nd_add(np.zeros(3, "float32"), at, [1.0]),
        lambda at: tf.tensor_scatter_nd_update(np.zeros(3, "float32"), at, [1.0]),
    ],
)
@pytest.mark.parametrize("at", [-1, 3])
def test_scattering_refuses_places_that_are_not_there(call, at):
    assert np.count_nonzero(call([[2]])) == 1
    with pytest.raises(IndexError, match="places lie from 0"):
        call([[at]])


def test_scattered_updates_fit_what_they_change():
    whole = np.array([1, 2, 3], "int32")
    with pytest.raises(TypeError, match="dtype"):
        tf.tensor_scatter_nd_add(whole, [[0], [1]], [5.5, 1.0])
    with pytest.raises(ShapeError, match="updates of shape"):
        tf.tensor_scatter_nd_update(whole, [[0], [1]], 5)
    np.testing.assert_array_equal(tf.tensor_scatter_nd_update(whole, [[0], [1]], [5, 6]), [5, 6, 3])
    assert tf.scatter_nd([[0]], [1.5], [3]).dtype == np.float32


def test_places_in_several_rows():
    rows = [[1, 3, 5], [2, 4, 6]]
    np.testing.assert_array_equal(tf.searchsorted(rows, [[3, 9], [4, 1]]), [[1, 3], [1, 0]])
    with pytest.raises(ShapeError, match="values of its own"):
        tf.searchsorted(rows, [3, 4])


def test_matrices_hold_numbers_that_are_not_finite():
    made = tf.linalg.band_part(tf.fill((2, 2), -np.inf), 0, -1)
    np.testing.assert_array_equal(made, [[-np.inf, -np.inf], [0, -np.inf]])
    np.testing.assert_array_equal(tf.linalg.diag([np.inf, 1.0]), [[np.inf, 0], [0, 1]])


@pytest.mark.parametrize("k", [-2, -1, 0, 1])
def test_diagonals_beside_the_middle_one(k):
    np.testing.assert_array_equal(tf.linalg.diag([1.0, 2.0], k=k), np.diag([1.0, 2.0], k))
    np.testing.assert_array_equal(
        tf.linalg.diag_part(np.arange(16.0).reshape(4, 4), k=k), np.diag(np.arange(16.0).reshape(4, 4), k)
    )


def test_the_inverse_of_the_adjoint():
    x = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        made = tf.linalg.inv(x, adjoint=True)
        total = tf.reduce_sum(made * [[1.0, 0], [0, 0]])
    np.testing.assert_allclose(made, np.linalg.inv([[1, 2], [3, 4]]).T, rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(total, x), -np.outer([-2, 1], [-2, 1.5]), rtol=1e-5)
    np.testing.assert_allclose(tf.linalg.inv(np.float32([[1, 2], [3, 4]]), adjoint=True), made)


# --------------------------------------------------------------------------------------------- choices and loops


def test_scan_goes_backwards():
    made = tf.scan(lambda before, x: before + x, tf.constant([1.0, 2.0, 3.0]), reverse=True)
    np.testing.assert_array_equal(made, [6, 5, 3])


def test_scan_goes_through_several_arrays():
    x = tf.constant([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(tf.scan(lambda s, parts: s + parts[0] * parts[1], (x, x), 0.0), [1, 5, 14])
    np.testing.assert_array_equal(tf.scan(lambda s, parts: s + parts["a"], {"a": x}, 0.0), [1, 3, 6])


@pytest.mark.parametrize(
    "call",
    [
        lambda: tf.scan(lambda a, b: a, [1.0], backwards=True),
        lambda: tf.while_loop(lambda i: i < 1, lambda i: [i + 1], [0], limit=3),
        lambda: tf.case([(True, lambda: 1)], otherwise=3),
        lambda: tf.TensorArray("float32", 1, grows=True),
    ],
)
def test_options_that_are_not_known_are_refused(call):
    with pytest.raises(TypeError, match="unexpected keyword"):
        call()


def test_while_loops_give_arrays():
    (made,) = tf.while_loop(lambda i: i < 3, lambda i: [i + 1], [0])
    assert made.numpy() == 3 and made.dtype == np.int32
    (made,) = tf.while_loop(lambda i: i < 9, lambda i: (i + 1,), (tf.constant(0),), maximum_iterations=2)
    assert made.numpy() == 2


def test_branches_have_numbers():
    assert tf.switch_case(tf.constant(1), [(1, lambda: "one"), (0, lambda: "zero")]) == "one"
    assert tf.switch_case(tf.constant(1), [lambda: "zero", lambda: "one"]) == "one"


def test_places_of_a_tensor_array_that_were_not_written_to():
    array = tf.TensorArray(tf.float32, 3).write(1, [1.0, 2.0])
    np.testing.assert_array_equal(array.stack(), [[0, 0], [1, 2], [0, 0]])
    with pytest.raises(IndexError, match="written to"):
        array.read(0)
    with pytest.raises(IndexError, match="from 0"):
        array.write(-1, [0.0, 0.0])


def test_values_of_devices_are_added_or_averaged():
    strategy = tf.distribute.get_strategy()
    assert strategy.reduce("SUM", tf.constant([1.0, 2.0]), axis=0) == 3
    assert strategy.reduce(tf.distribute.ReduceOp.MEAN, tf.constant([1.0, 2.0]), axis=0) == 1.5
    with pytest.raises(ValueError, match="reduce_op"):
        strategy.reduce("PROD", tf.constant([1.0, 2.0]), axis=0)


def test_writers_have_a_step(monkeypatch):
    from minicnn.keras.tensorflow import summary

    calls, flushed = [], []

    class Files:
        def add_scalar(self, *args):
            calls.append(args)

        def flush(self):
            flushed.append(self)

    writer = summary.create_noop_writer()
    monkeypatch.setattr(writer, "_files", Files())
    with writer.as_default(step=5):
        summary.scalar("a", 1.0)
        summary.scalar("a", 2.0, step=7)
    summary.flush(writer)
    assert calls == [("a", 1.0, 5), ("a", 2.0, 7)] and len(flushed) == 1


def test_a_gradient_that_a_function_says_itself():
    """The slopes of guided backpropagation, on a tape and in an activation."""

    @tf.custom_gradient
    def guided(x):
        return tf.nn.relu(x), lambda dy: dy * tf.cast(x > 0, dy.dtype) * tf.cast(dy > 0, dy.dtype)

    @tf.custom_gradient
    def product(a, b):
        return a * b, lambda dy: (10 * dy * b, None)

    x = tf.constant([-1.0, 2.0, 3.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        total = tf.reduce_sum(guided(x) * tf.constant([1.0, -1.0, 2.0]))
        both = product(x, x * 2.0)
    assert tape.gradient(total, x).tolist() == [0, 0, 2] and guided(x).numpy().tolist() == [0, 2, 3]
    assert tape.gradient(both, x).tolist() == [-20, 40, 60]
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Activation(guided)(inputs))
    assert model.predict(np.float32([[-1, 2, 3]]), verbose=0).tolist() == [[0, 2, 3]]
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = guided(x)
        slopes = tape.gradient(y, x)
    with pytest.raises(NotImplementedError, match=r"gradients of gradients do not go through.*guided"):
        outer.gradient(slopes, x)


def test_keras_ops_custom_gradient_is_tensorflows():
    """With the arguments that Keras's documentation gives the gradient, and numbers of Keras 3.15 for this training."""

    @keras.ops.custom_gradient
    def straight(x):
        def grad(*args, upstream=None):
            (upstream,) = args if upstream is None else (upstream,)
            return upstream

        return keras.ops.floor(x), grad

    class Quantized(keras.layers.Layer):
        def call(self, x):
            return straight(4 * x) / 4

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), Quantized(), keras.layers.Dense(1)])
    model.set_weights([np.full(w.shape, 0.3) for w in model.get_weights()])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    x = np.float32([[1, 2], [-1, 0.5]])
    losses = model.fit(x, np.float32([[1], [2]]), epochs=2, verbose=0, shuffle=False).history["loss"]
    np.testing.assert_allclose(losses, [1.465, 0.53125], rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], [-0.13, 0.24], rtol=1e-4)


def test_a_gradient_of_another_size_than_the_argument_is_said():
    scale = tf.constant(2.0)
    scaled = keras.ops.custom_gradient(lambda x, a: (x * a, lambda dy: (dy * 2.0, dy)))
    with tf.GradientTape() as tape:
        tape.watch(scale)
        y = scaled(tf.constant([1.0, 2.0, 3.0]), scale)
    with pytest.raises(ValueError, match=r"by argument 1 has its shape, \(\): sum over.*Received: one of shape \(3,\)"):
        tape.gradient(y, scale)


def test_a_gradient_that_a_function_says_of_several_results_is_asked_once():
    asked = []

    @tf.custom_gradient
    def both(x, y):
        def back(of_product, of_sum):
            asked.append((of_product.tolist(), of_sum.tolist()))
            return of_product * 2.0 + of_sum * 5.0, None

        return {"product": x * y, "sum": tf.reduce_sum(x)}, back

    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        made = both(x, x)
        y = tf.reduce_sum(made["product"] * made["sum"])  # (1 + 4) * 3
    assert float(y) == 15 and tape.gradient(y, x).tolist() == [2 * 3 + 5 * 5] * 2
    assert asked == [([3, 3], 5)]
    assert [part.tolist() for part in both(x, x).values()] == [[1, 4], 3]


def test_a_gradient_that_a_function_says_by_variables():
    """Those that it reads beside its arguments: as TensorFlow, by `variables`."""
    scale = tf.Variable(2.0)

    def scaled(x):
        def back(dy, variables=None):
            assert len(variables) == 1 and variables[0] is scale
            return dy * 7.0, [tf.reduce_sum(dy) * 3.0]

        return x * scale, back

    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.custom_gradient(scaled)(x)
    of_x, of_scale = tape.gradient(y, [x, scale])
    assert y.numpy().tolist() == [2, 4] and of_x.tolist() == [7, 7] and float(of_scale) == 6
    assert tf.custom_gradient(scaled)(x).numpy().tolist() == [2, 4]
    with tf.GradientTape() as tape:
        y = tf.custom_gradient(lambda x: (x * scale, lambda dy: dy))(x)
    with pytest.raises(TypeError, match=r"variables that are no arguments.*variables=…"):
        tape.gradient(y, scale)


def test_activations_are_told_by_their_functions_and_replaced():
    """As guided backpropagation does: not to see that one is relu would leave it as it was, in silence."""
    relu, softmax = keras.activations.relu, keras.activations.softmax
    dense, plain = keras.layers.Dense(2, activation="relu"), keras.layers.Dense(2)
    assert dense.activation == relu and relu == dense.activation and dense.activation != softmax
    assert dense.activation.__name__ == "relu" and plain.activation != relu
    assert keras.layers.Activation("softmax").activation == softmax
    assert keras.layers.Dense(2, activation=keras.layers.ReLU(max_value=6)).activation != relu
    assert len({dense.activation, keras.layers.Dense(2, activation="relu").activation}) == 2
    inputs = keras.Input((3,))
    model = keras.Model(inputs, dense(inputs))
    x = np.float32([[1, -2, 3]])
    before = x @ dense.kernel.numpy()
    assert np.allclose(model.predict(x, verbose=0), np.maximum(before, 0), atol=1e-6)
    dense.activation = lambda z: z * 2.0
    assert np.allclose(model.predict(x, verbose=0), before * 2, rtol=1e-5, atol=1e-6)
    dense.activation = keras.activations.linear
    assert dense.activation is keras.activations.linear and np.allclose(
        model.predict(x, verbose=0), before, rtol=1e-5, atol=1e-6
    )
    dense.activation = relu
    assert np.allclose(model.predict(x, verbose=0), np.maximum(before, 0), atol=1e-6)


def test_a_folder_of_tensorflows_checkpoints(tmp_path):
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-2"\nall_model_checkpoint_paths: "ckpt-2"\n')
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(step=tf.Variable(1)), tmp_path, max_to_keep=3)
    for asked in (lambda: manager.latest_checkpoint, lambda: tf.train.latest_checkpoint(tmp_path)):
        with pytest.raises(ValueError, match="TensorFlow's checkpoints are not read: choose another folder"):
            asked()


def test_smaller_things_of_scripts():
    assert (
        tf.eye(2, batch_shape=[3, 1]).shape == (3, 1, 2, 2) and tf.eye(2, 3).numpy().tolist() == np.eye(2, 3).tolist()
    )
    assert tf.as_dtype("float32") == tf.float32
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    y = np.float32([[0.5, -2.0], [0.25, 3.0]])
    for target in (1.0, -1.0, 1):
        assert keras.losses.Hinge()(target, y) == pytest.approx(np.maximum(1 - target * y, 0).mean())
    assert keras.layers.RandomZoom((tf.constant(-0.5), 0.0)).height_factor is not None

    @keras.saving.register_keras_serializable("mine")
    class Registered:
        pass

    assert keras.saving.get_registered_name(Registered) == "mine>Registered"
    assert keras.saving.get_registered_object("mine>Registered") is Registered
    assert keras.saving.get_registered_object("nothing") is None and keras.saving.get_registered_name(dict) == "dict"


def test_flags_of_the_command_line(monkeypatch):
    flags = tf.compat.v1.app.flags
    assert flags is tf.app.flags
    monkeypatch.setattr("sys.argv", ["script.py", "--rows=7", "--norich", "--kind", "b", "--unknown=1"])
    flags.DEFINE_integer("rows", 3, "How many.")
    flags.DEFINE_float("rate", 0.5, "How fast.")
    flags.DEFINE_bool("rich", True, "Whether.")
    flags.DEFINE_enum("kind", "a", ["a", "b"], "Which.")
    flags.DEFINE_list("names", ["x"], "Which ones.")
    found = flags.FLAGS
    assert (found.rows, found.rate, found.rich, found.kind, found.names) == (7, 0.5, False, "b", ["x"])
    found.rate = 2.0
    assert flags.FLAGS.rate == 2.0
    with pytest.raises(AttributeError, match="nothing"):
        _ = found.nothing
    with pytest.raises(SystemExit) as ending:
        tf.app.run(main=lambda argv: len(argv), argv=["script.py"])
    assert ending.value.code == 1


def test_one_tensor_is_joined_to_nothing():
    rows = np.arange(6.0).reshape(2, 3)
    for values in (rows, tf.constant(rows), [rows], (rows,)):
        assert np.array_equal(tf.concat(values, axis=0), rows)
    assert np.array_equal(tf.concat([rows, rows], 1), np.hstack([rows, rows]))


@pytest.mark.parametrize("made_by", [tf.py_function, tf.numpy_function])
def test_a_single_result_of_a_function_whose_types_are_a_list(made_by):
    (image,) = made_by(lambda x: np.asarray(x) * 2, [np.ones((4, 5))], [tf.float32])
    assert image.shape == (4, 5) and image.dtype == np.float32 and np.all(image == 2)
    (image,) = made_by(lambda x: [np.asarray(x) * 2], [np.ones((4, 5))], [tf.float32])
    assert image.shape == (4, 5)
    with pytest.raises(ValueError, match="each of Tout"):
        made_by(lambda x: np.ones((2, 3)), [1.0], [tf.float32, tf.float32])


def test_the_name_of_an_operation_may_stand_in_its_place():
    assert tf.round(1.6, 2) == 2 and tf.add(1.0, 2.0, "sum") == 3
    with pytest.raises(TypeError, match=r"tf\.add takes the arguments x, y"):
        tf.add(1.0, 2.0, "sum", 3)


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("flip_left_right", ()),
        ("flip_up_down", ()),
        ("random_flip_left_right", ()),
        ("random_flip_up_down", ()),
        ("rot90", ()),
        ("transpose", ()),
        ("central_crop", (0.5,)),
        ("crop_to_bounding_box", (0, 0, 2, 2)),
        ("pad_to_bounding_box", (0, 0, 9, 9)),
        ("resize_with_crop_or_pad", (3, 3)),
    ],
)
def test_pictures_without_an_axis_of_channels_are_refused(name, arguments):
    """The last axis would be taken for channels, and the first one for columns."""
    with pytest.raises(ShapeError, match=r"\(H, W, C\) or \(N, H, W, C\); .*x\[\.\.\., None\].*shape \(4, 5\)"):
        getattr(tf.image, name)(np.zeros((4, 5), np.float32), *arguments)


def test_colours_that_are_none_are_refused():
    with pytest.raises(ShapeError, match=r"grey pictures.*Received: shape \(4, 5, 3\)"):
        tf.image.grayscale_to_rgb(np.zeros((4, 5, 3)))
    for convert in (tf.image.rgb_to_hsv, tf.image.hsv_to_rgb):
        with pytest.raises(TypeError, match=r"convert_image_dtype.*Received: uint8"):
            convert(np.zeros((4, 5, 3), np.uint8))
        with pytest.raises(ShapeError, match=r"three channels.*shape \(4, 5, 1\)"):
            convert(np.zeros((4, 5, 1)))


@pytest.mark.parametrize(
    "pixels, dtype, expected",
    [
        (np.array([0, 3, 255], "uint8"), "uint16", [0, 768, 65280]),
        (np.array([0, 300, 65535], "uint16"), "uint8", [0, 1, 255]),
        (np.array([0, 127, 255], "uint8"), "int8", [0, 63, 127]),
    ],
)
def test_whole_numbers_become_others_of_another_range(pixels, dtype, expected):
    made = tf.image.convert_image_dtype(pixels, dtype)
    assert made.dtype == dtype
    np.testing.assert_array_equal(made, expected)


def test_ssim_at_several_scales(rng):
    x = rng.random((2, 45, 50, 3)).astype("float32")
    one = tf.image.ssim_multiscale(x, x * 0.8 + 0.1, 1.0, power_factors=(1.0,))
    np.testing.assert_allclose(one, tf.image.ssim(x, x * 0.8 + 0.1, 1.0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(tf.image.ssim_multiscale(x, x, 1.0, (0.5, 0.3, 0.2)), [1, 1], rtol=1e-5)
    with pytest.raises(ValueError, match=r"at least 176 high and wide for 5 scales.*fewer power_factors"):
        tf.image.ssim_multiscale(x, x, 1.0)


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda image, x: image.random_hue(x, 0.9), "max_delta=0.9"),
        (lambda image, x: image.random_brightness(x, -0.1), "max_delta=-0.1"),
        (lambda image, x: image.random_contrast(x, 0.9, 0.2), "lower=0.9, upper=0.2"),
        (lambda image, x: image.stateless_random_saturation(x, -1.0, 0.2, (1, 2)), "0 <= lower.*lower=-1.0"),
        (lambda image, x: image.adjust_hue(x, 3.0), "delta=3.0"),
        (lambda image, x: image.adjust_gamma(x, -1.0), "gamma=-1.0"),
        (lambda image, x: image.central_crop(x, 1.5), "central_fraction.*1.5"),
        (lambda image, x: image.adjust_contrast(x[..., 0], 0.5), r"x\[\.\.\., None\].*\(6, 5\)"),
        (lambda image, x: image.per_image_standardization(x[..., 0]), r"x\[\.\.\., None\].*\(6, 5\)"),
        (lambda image, x: image.sobel_edges(x), r"x\[None\].*\(6, 5, 3\)"),
    ],
)
def test_changes_of_pictures_that_make_no_sense(call, match, rng):
    with pytest.raises(ValueError, match=match):
        call(tf.image, rng.random((6, 5, 3)).astype("float32"))


def test_differences_of_bytes_are_refused_and_a_delta_of_zero_changes_nothing(rng):
    x = rng.integers(0, 256, (2, 6, 5, 3)).astype("uint8")
    for function in (tf.image.sobel_edges, tf.image.total_variation):
        with pytest.raises(TypeError, match=r"convert_image_dtype.*Received: uint8"):
            function(x)
    np.testing.assert_array_equal(tf.image.random_brightness(x, 0.0), x)
    once, again = (tf.image.stateless_random_jpeg_quality(x[0], 20, 90, (3, 4)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert once.dtype == "uint8" and once.shape == (6, 5, 3)


@pytest.mark.parametrize(("size", "inner", "first"), [((9, 9), (6, 9), (1, 0)), ((20, 30), (20, 26), (0, 1))])
def test_pictures_with_margins_are_rounded_down_and_lie_where_tensorflow_lays_them(size, inner, first):
    picture = np.random.default_rng(0).uniform(1, 2, (13, 17, 3)).astype(np.float32)
    made = np.asarray(tf.image.resize_with_pad(picture, *size, antialias=True))
    rows, columns = (slice(start, start + n) for start, n in zip(first, inner, strict=True))
    np.testing.assert_array_equal(made[rows, columns], np.asarray(tf.image.resize(picture, inner, antialias=True)))
    assert np.count_nonzero(made) == 3 * inner[0] * inner[1]
    np.testing.assert_array_equal(np.asarray(tf.image.resize_with_pad(picture[None], *size, antialias=True))[0], made)


@pytest.mark.parametrize(
    ("sizes", "targets", "inner", "first"),
    [
        ((1, 2), (20, 30), (14, 29), (2, 0)),
        ((15, 3), (50, 41), (49, 10), (0, 15)),
        ((34, 20), (50, 41), (50, 29), (0, 5)),
        ((58, 38), (7, 5), (7, 4), (0, 0)),
        ((11, 44), (20, 30), (7, 30), (6, 0)),
    ],
)
def test_sizes_of_pictures_with_margins_are_those_of_float32(sizes, targets, inner, first):
    """What TensorFlow 2.21 makes of them; in float64 four of them would be a row or column larger, or smaller."""
    made = np.asarray(tf.image.resize_with_pad(np.ones((*sizes, 1), np.float32), *targets))[..., 0]
    lit = [np.flatnonzero(made.any(axis)) for axis in (1, 0)]
    assert [(index[0], len(index)) for index in lit] == [*zip(first, inner, strict=True)]


@pytest.mark.parametrize(
    ("sizes", "targets", "made"),
    [((11, 44), (20, 30), (8, 30)), ((46, 23), (7, 5), (7, 3)), ((44, 11), (50, 41), (50, 12))],
)
def test_proportions_are_kept_as_float32_rounds_them(sizes, targets, made):
    """As TensorFlow 2.21, for arrays and for a model's tensor."""
    for x in (np.ones((1, *sizes, 1), np.float32), keras.Input((*sizes, 1))):
        assert tf.image.resize(x, targets, preserve_aspect_ratio=True).shape[1:3] == made


def test_a_long_picture_keeps_a_row_where_it_becomes_small():
    made = np.asarray(tf.image.resize_with_pad(np.ones((2, 40, 1), np.float32), 4, 4))
    np.testing.assert_array_equal(made[..., 0], [[0] * 4, [1] * 4, [0] * 4, [0] * 4])


@pytest.mark.parametrize("method", ["bilinear", "area", "bicubic", "lanczos5"])
@pytest.mark.parametrize("dtype", ["float64", "int32", "uint8"])
def test_resized_pictures_are_float32(method, dtype):
    assert tf.image.resize(np.ones((5, 7, 3), dtype), (3, 9), method=method).dtype == np.float32


def test_sums_keep_whole_numbers_and_signed_pictures_keep_their_signs():
    numbers = np.arange(-9, 9, dtype=np.int16).reshape(3, 6, 1)
    for name in ("cumsum", "cumprod"):
        assert getattr(tf, name)(np.ones((2, 3), np.int32), exclusive=True).dtype == np.int32
    contrast = np.asarray(tf.image.adjust_contrast(numbers, 2.0))
    np.testing.assert_allclose(contrast, 2.0 * numbers + 0.5, atol=1)
    np.testing.assert_array_equal(tf.image.convert_image_dtype(np.float32([-0.5, 0.5]), "int16"), [-16383, 16383])


def test_a_models_tensor_keeps_its_proportions_where_that_is_asked_for():
    x = keras.Input((13, 17, 3))
    assert tf.image.resize(x, (9, 9), preserve_aspect_ratio=True).shape == (None, 7, 9, 3)
    with pytest.raises(ValueError, match="pictures of a known size"):
        tf.image.resize(keras.Input((None, 17, 3)), (9, 9), preserve_aspect_ratio=True)


# Of tf.image.resize with TensorFlow 2.21, of the columns 0, 1, 4, 9, 16, 25 of one row.
_BY_KERNEL = {
    ("gaussian", 4, False): [0.2689414, 3.397105, 10.64088, 22.57952],
    ("mitchellcubic", 4, False): [0.1925357, 3.173611, 10.67361, 22.9788],
    ("mitchellcubic", 3, True): [0.7627854, 6.866126, 19.22601],
    ("bicubic", 4, False): [0.1240876, 3.0625, 10.5625, 23.44526],
    ("bicubic", 9, False): [-0.06588884, 0.2941177, 1.361871, 3.359918, 6.25, 10.02984, 14.69195, 21.17647, 25.59300],
    ("gaussian", 9, True): [0.06496917, 0.5, 1.541084, 3.667407, 6.5, 10.12354, 15.08496, 20.5, 24.41527],
}


@pytest.mark.parametrize("case", _BY_KERNEL)
def test_pictures_are_resized_by_tensorflows_further_kernels(case):
    method, size, antialias = case
    picture = np.broadcast_to(np.arange(6.0) ** 2, (2, 6))[..., None].astype(np.float32)
    made = tf.image.resize(picture, (2, size), method, antialias=antialias)
    assert made.dtype == "float32"
    np.testing.assert_allclose(np.asarray(made)[0, :, 0], _BY_KERNEL[case], rtol=1e-5)
    for dtype in ("uint8", "float64"):
        again = tf.image.resize(picture.astype(dtype), (2, size), method, antialias=antialias)
        assert again.dtype == "float32"
        np.testing.assert_allclose(again, made, rtol=1e-5)
    layer = keras.layers.Lambda(lambda x: tf.image.resize(x, (2, size), method, antialias=antialias))
    model = keras.Sequential([keras.Input((2, 6, 1)), layer])
    of_layers = 5e-3 if method == "bicubic" else 1e-6  # whose kernel has no steps
    np.testing.assert_allclose(np.asarray(model(picture[None]))[0], np.asarray(made), rtol=of_layers, atol=of_layers)
    with tf.GradientTape() as tape:
        x = tf.constant(picture)
        tape.watch(x)
        total = tf.reduce_sum(tf.image.resize(x, (2, size), method, antialias=antialias))
    np.testing.assert_allclose(np.sum(tape.gradient(total, x)), 2 * size, rtol=1e-5)


def test_the_end_of_a_kernel_is_where_tensorflows_rounding_puts_it():
    row = np.broadcast_to(np.arange(23.0) ** 2, (2, 23))[..., None].astype(np.float32)
    made = np.asarray(tf.image.resize(row, (2, 20), "gaussian", antialias=True))[0, :, 0]
    expected = [0.216625, 22.23777, 86.25649, 193.0763, 341.6347]  # of TensorFlow 2.21
    np.testing.assert_allclose(made[::4], expected, rtol=1e-5)


def test_glimpses_lie_where_tensorflow_lays_them():
    """(0, 0) is a picture's middle, and (1, 1) its corner below right; what is outside is noise, here 0."""
    picture = np.arange(72, dtype=np.float32).reshape(2, 6, 6, 1)
    glimpses = np.asarray(tf.image.extract_glimpse(picture, (3, 3), [[0, 0], [0.3, -0.4]], noise="zero"))[..., 0]
    np.testing.assert_array_equal(glimpses, [picture[0, 1:4, 1:4, 0], picture[1, 2:5, :3, 0]])
    cut = tf.image.extract_glimpse(picture, (3, 3), [[1, 1], [4, 2]], centered=False, normalized=False, noise="zero")
    np.testing.assert_array_equal(cut[0, ..., 0], picture[0, 1:4, 1:4, 0])
    np.testing.assert_array_equal(cut[1, ..., 0], [*picture[1, 4:, 2:5, 0], [0, 0, 0]])
    noisy = np.asarray(tf.image.extract_glimpse(picture, (3, 3), [[9, 9], [9, 9]]))
    assert (noisy >= 0).all() and (noisy < 1).all() and len(np.unique(noisy)) > 9


def test_a_box_is_drawn_around_enough_of_what_was_found():
    given = np.array([[[0.2, 0.3, 0.7, 0.9]]], np.float32)
    sizes = []
    for _ in range(50):
        begin, size, box = tf.image.sample_distorted_bounding_box(
            (40, 60, 3), given, min_object_covered=0.5, aspect_ratio_range=(0.5, 2), area_range=(0.1, 0.9)
        )
        (top, left, channel), (height, width, rest) = np.asarray(begin), np.asarray(size)
        assert channel == 0 and rest == -1 and 0 <= top <= 40 - height and 0 <= left <= 60 - width
        np.testing.assert_allclose(
            np.asarray(box)[0, 0], [top / 40, left / 60, (top + height) / 40, (left + width) / 60], rtol=1e-6
        )
        inside = max(min(top + height, 28) - max(top, 8), 0) * max(min(left + width, 54) - max(left, 18), 0)
        assert inside >= 0.5 * 20 * 36 - 1e-3
        assert (height, width) == (40, 60) or 0.1 <= height * width / 2400 <= 0.9
        sizes.append((height, width))
    assert len(set(sizes)) > 10
    with pytest.raises(ValueError, match="no box"):
        tf.image.sample_distorted_bounding_box((4, 4, 3), np.zeros((1, 0, 4)))


def test_whether_bytes_are_those_of_a_jpeg_file():
    picture = np.zeros((4, 4, 3), np.uint8)
    assert tf.image.is_jpeg(tf.io.encode_jpeg(picture)) and not tf.io.is_jpeg(tf.io.encode_png(picture))


def test_a_layer_without_an_activation_has_the_function_linear(tmp_path):
    """As in Keras 3.15.1, which has it as a function; layers that take none have no such attribute."""
    linear = keras.activations.linear
    made = [keras.layers.Dense(2), keras.layers.Conv2D(2, 1, activation=None), keras.layers.Activation("linear")]
    assert all(layer.activation is linear and layer.activation.__name__ == "linear" for layer in made)
    assert [layer.get_config()["activation"] for layer in made] == ["linear"] * 3
    assert keras.activations.serialize(made[0].activation) == "linear"
    assert not any(hasattr(each, "activation") for each in (keras.layers.Flatten(), keras.layers.BatchNormalization()))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.layers[-1].activation = linear  # as saliency maps have it
    x = np.float32([[1, -2, 3]])
    assert np.allclose(model.predict(x, verbose=0), x @ model.layers[-1].kernel.numpy(), rtol=1e-5)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras").layers[-1]
    assert loaded.activation is linear and loaded.activation == keras.activations.get("linear")
    assert keras.models.clone_model(model).layers[-1].activation is linear


def test_a_subclass_of_a_layer_calls_its_linear_activation():
    class Own(keras.layers.Dense):
        def call(self, inputs):
            return self.activation(super().call(inputs)) * 2.0

    layer = Own(2)
    x = np.float32([[1, -2, 3]])
    assert np.allclose(layer(x), x @ layer.kernel.numpy() * 2, rtol=1e-5)
    assert layer.activation is keras.activations.linear


def test_layers_and_models_of_ones_own_have_the_activation_that_they_set():
    class Own(keras.layers.Layer):
        def __init__(self, activation):
            super().__init__()
            self.activation = activation

        def call(self, x):
            return x

    class Bare(keras.layers.Layer):
        def call(self, x):
            return x

    assert Own(None).activation is None and Own(keras.activations.relu).activation == keras.activations.relu
    inputs = keras.Input((2,))
    model = keras.Model(inputs, Bare()(keras.layers.Dense(2)(inputs)))
    assert not hasattr(Bare(), "activation") and not hasattr(model, "activation")
    assert [hasattr(layer, "activation") for layer in model.layers] == [False, True, False]


# ------------------------------------------------------------------------------------------------- bytes and texts


RAW = [b"\x01\x00", b"\x02\x00"]  # NumPy's text ends with the last byte that is not zero


@pytest.mark.parametrize(
    "dataset",
    [
        lambda: tf.data.Dataset.from_tensor_slices(RAW),
        lambda: tf.data.Dataset.from_tensor_slices(np.array(RAW, object)),
        lambda: tf.data.Dataset.from_tensor_slices((RAW, [0, 1])).map(lambda raw, _: raw),
        lambda: tf.data.Dataset.from_tensor_slices(RAW).batch(2).unbatch(),
        lambda: tf.data.Dataset.range(2).map(lambda n: RAW[int(n)]),
        lambda: tf.data.Dataset.from_generator(lambda: iter(RAW), output_signature=tf.TensorSpec((), tf.string)),
    ],
)
def test_zeros_at_the_end_of_bytes_are_kept_in_data_sets(dataset):
    assert [raw.numpy() for raw in dataset()] == RAW
    assert [list(n) for n in dataset().map(lambda raw: tf.io.decode_raw(raw, tf.uint8))] == [[1, 0], [2, 0]]


def test_zeros_at_the_end_of_bytes_are_kept_in_tensors():
    assert tf.constant(RAW[0]).numpy() == RAW[0] and tf.constant(RAW).numpy().tolist() == RAW
    np.testing.assert_array_equal(tf.io.decode_raw(tf.constant(RAW), tf.uint8), [[1, 0], [2, 0]])


def test_records_in_a_list_are_parsed_whole():
    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[0]))
    record = tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString()
    assert record.endswith(b"\0")
    parsed = tf.data.Dataset.from_tensor_slices([record]).map(
        lambda one: tf.io.parse_single_example(one, {"x": tf.io.FixedLenFeature([], tf.int64)})["x"]
    )
    assert list(parsed) == [0]


def dense(units):
    """A model of one layer, for three numbers."""
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])


def adam(units):
    """An optimizer that has made a step for two variables."""
    optimizer = keras.optimizers.Adam()
    variables = [tf.Variable(np.ones((3, units), "float32")), tf.Variable(np.ones(units, "float32"))]
    optimizer.apply_gradients((tf.ones_like(variable), variable) for variable in variables)
    return optimizer


@pytest.mark.parametrize(
    ("kept", "other"),
    [
        (lambda: dense(2), lambda: dense(5)),
        (lambda: dense(2), lambda: keras.Sequential([dense(2), keras.layers.Dense(2)])),
        (lambda: adam(2), lambda: adam(5)),
        (lambda: tf.Variable([1.0, 2.0]), lambda: tf.Variable(1.0)),
        (lambda: tf.Variable(1.0), lambda: dense(1)),
    ],
    ids=["shapes", "layers", "optimizer", "variable", "kind"],
)
def test_a_checkpoint_of_another_network_changes_nothing(kept, other, tmp_path):
    tf.train.Checkpoint(first=dense(2), second=kept()).write(tmp_path / "kept")
    first = dense(2)
    before = first.get_weights()
    with pytest.raises(ValueError, match="'second'"):
        tf.train.Checkpoint(first=first, second=other()).restore(tmp_path / "kept")
    for own, expected in zip(first.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_a_damaged_checkpoint_is_named(content, tmp_path):
    (tmp_path / "kept.npz").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read: expected an archive that is whole"):
        tf.train.Checkpoint(model=dense(2)).restore(tmp_path / "kept")


def test_a_checkpoint_runs_nothing(tmp_path):
    np.savez(tmp_path / "kept.npz", **{"model:000000": np.array([print], object)}, allow_pickle=True)
    with pytest.raises(ValueError, match="numbers and text"):
        tf.train.Checkpoint(model=dense(2)).restore(tmp_path / "kept")


@pytest.mark.parametrize("at", ([[-1, 0]], [[0, 3]], [[0, 0], [2, 0]]))
def test_gather_nd_refuses_places_that_are_not_there(at):
    """TensorFlow raises InvalidArgumentError; NumPy would count negative ones from the end."""
    with pytest.raises(IndexError, match="places lie from 0 on"):
        tf.gather_nd(tf.zeros((2, 3)), at)


@pytest.mark.parametrize("regularizer", (0.0, 0.1))
def test_least_squares_of_more_unknowns_than_rows(regularizer):
    """Without a regularizer the shortest of those that fit; with one the only minimum: its slope is 0."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 5)), rng.normal(size=(4, 2))
    x = np.asarray(tf.linalg.lstsq(a, b, l2_regularizer=regularizer))
    expected = np.linalg.pinv(a) @ b
    if regularizer:
        wide = np.vstack([a, np.sqrt(regularizer) * np.eye(5)])  # ‖a·x − b‖² + λ‖x‖² as one sum of squares
        expected = np.linalg.pinv(wide) @ np.vstack([b, np.zeros((5, 2))])
    np.testing.assert_allclose(x, expected, rtol=1e-9)


@pytest.mark.parametrize("dtype", ("int32", "int64"))
def test_moments_of_whole_numbers_are_cut_off(dtype):
    """Noted down from Keras 3.15 with TensorFlow 2.21."""
    mean, variance = ops.moments(np.array([[1, 2], [3, 5]], dtype), axes=0)
    assert (mean.dtype, variance.dtype) == (dtype, dtype)
    assert (mean.tolist(), variance.tolist()) == ([2, 3], [1, 2])


@pytest.mark.parametrize("clip", (ops.clip, tf.clip_by_value))
@pytest.mark.parametrize(
    ("least", "most", "expected"),
    ((4.0, 2.0, [4, 4, 4]), ([4.0, 1.0, 7.0], [2.0, 3.0, 6.0], [4, 3, 7]), (2, 4.0, [2, 4, 4])),
)
def test_of_limits_that_are_crossed_the_first_counts(clip, least, most, expected):
    """Noted down from TensorFlow 2.21: the greater of `least` and (the smaller of x and `most`)."""
    x = tf.Variable([0.0, 5.0, 9.0])
    with tf.GradientTape() as tape:
        y = clip(x, np.float32(least) if isinstance(least, list) else least, np.float32(most))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(y), expected)
    np.testing.assert_array_equal(np.asarray(tape.gradient(y, x)), [0, 0, 0])
    np.testing.assert_array_equal(
        np.asarray(clip(np.float32([0, 5, 9]), np.float32(least), np.float32(most))), expected
    )


@pytest.mark.parametrize("call", (tf.constant, tf.convert_to_tensor))
@pytest.mark.parametrize(
    "value, dtype", ((2.5, "int32"), ([1, 2.0], "int32"), ([np.float32(2.5)], "int32"), (1, "bool"), ([1, 0], "bool"))
)
def test_numbers_of_python_keep_their_kind(call, value, dtype):
    """TensorFlow 2.21 raises TypeError; what is an array of NumPy, or a number, it casts, as tf.cast does anything."""
    with pytest.raises(TypeError, match="keep their kind"):
        call(value, dtype=dtype)
    cast = np.asarray(call(np.array(value), dtype=dtype))
    np.testing.assert_array_equal(cast, np.array(value).astype(dtype))
    np.testing.assert_array_equal(np.asarray(ops.convert_to_tensor(value, dtype=dtype)), cast)
    np.testing.assert_array_equal(np.asarray(call([True], dtype="int32")), [1])


def test_whole_numbers_bit_by_bit():
    x = tf.constant([5, 3, 250, 0], tf.uint8)
    assert tf.bitwise.bitwise_and(x, 6).tolist() == [4, 2, 250 & 6, 0]
    assert tf.bitwise.bitwise_or(x, [8, 8, 1, 1]).tolist() == [13, 11, 251, 1]
    assert tf.bitwise.bitwise_xor(7, x).tolist() == [2, 4, 250 ^ 7, 7]
    assert tf.bitwise.left_shift(x, 1).tolist() == [10, 6, 244, 0] and tf.bitwise.right_shift(x, 1).dtype == tf.uint8
    assert tf.bitwise.invert(x).tolist() == [250, 252, 5, 255] and tf.bitwise.invert(0) == -1
    with pytest.raises(TypeError, match="takes whole numbers"):
        tf.bitwise.invert(tf.constant([0.5]))
    with pytest.raises(TypeError, match="of one dtype"):
        tf.bitwise.bitwise_and(x, tf.constant([1]))


@pytest.mark.parametrize(("name", "match"), [("ragged", "padded_batch"), ("RaggedTensor", "rows of one length")])
def test_what_is_ragged_is_refused_by_name(name, match):
    with pytest.raises(AttributeError, match=match):
        getattr(tf, name)


@pytest.mark.parametrize(("low", "high", "bits", "is_narrow"), [(-6, 6, 8, False), (-1, 3, 4, True), (0, 5, 3, False)])
def test_numbers_as_they_are_behind_a_quantization(low, high, bits, is_narrow):
    """At the nearest of levels of which one is 0; the ends get the gradients of what lies beyond."""
    x = np.linspace(low - 1, high + 1, 57).astype("float32")
    first, step = int(is_narrow), (high - low) / (2**bits - 1 - is_narrow)
    zero = int(first - low / step + 0.5)
    levels = np.array([(level - zero) * step for level in range(first, 2**bits)])
    nearest = np.array([levels[np.abs(levels - number).argmin()] for number in x])
    ends, v = (tf.Variable(float(low)), tf.Variable(float(high))), tf.constant(x)
    slopes = np.arange(57, dtype="float32")
    with tf.GradientTape() as tape:
        tape.watch(v)
        made = tf.quantization.fake_quant_with_min_max_vars(v, *ends, num_bits=bits, narrow_range=is_narrow)
        y = tf.reduce_sum(made * slopes)
    is_half = np.isclose(np.abs(np.sort(np.abs(levels - x[:, None]), axis=1)[:, :2] @ [1, -1]), 0, atol=1e-5)
    np.testing.assert_allclose(np.asarray(made)[~is_half], nearest[~is_half], atol=1e-5)
    of_x, of_low, of_high = tape.gradient(y, [v, *ends])
    below, above = x < levels[0] - 1e-6, x > levels[-1] + 1e-6
    np.testing.assert_array_equal(of_x, slopes * ~(below | above))
    assert float(of_low) == slopes[below].sum() and float(of_high) == slopes[above].sum()
    options = {"num_bits": bits, "narrow_range": is_narrow}
    inputs = keras.Input((57,))
    model = keras.Model(inputs, tf.quantization.fake_quant_with_min_max_args(inputs, low, high, **options))
    np.testing.assert_allclose(model.predict(x[None], verbose=0)[0], made, atol=1e-6)


@pytest.mark.parametrize(("bits", "end"), [(4, 0.9333333), (8, 0.99607843)])
def test_ends_at_equal_distances_lose_the_level_below(bits, end):
    """TensorFlow's numbers: 0 is half a level off, which float32 rounds so that the upper end is the farther one."""
    step = 2 / (2**bits - 1)
    made = tf.quantization.fake_quant_with_min_max_vars(np.array([-2, 2], "float32"), -1.0, 1.0, num_bits=bits)
    np.testing.assert_allclose(made, [-end, end + step], rtol=1e-6)


@pytest.mark.parametrize(("bits", "end", "near"), [(5, 2, 1.9354838), (7, 3.7, 3.670866), (9, 6, 5.9882584)])
def test_the_end_itself_lies_half_way_between_levels(bits, end, near):
    """TensorFlow's numbers, which multiplies by the levels in one, and counts from 0: other sums give the next ones."""
    far = near + 2 * (end - near)
    x = np.array([-end, end, -2 * end, 2 * end], "float32")
    made = tf.quantization.fake_quant_with_min_max_vars(x, -float(end), float(end), num_bits=bits)
    np.testing.assert_allclose(made, [-near, near, -far, near], rtol=1e-6)


def test_a_quantization_has_0_between_its_ends():
    with pytest.raises(ValueError, match="min <= 0 <= max"):
        tf.quantization.fake_quant_with_min_max_args([1.0], 1.0, 2.0)
    assert tf.quantization.fake_quant_with_min_max_vars([1.0], 0.0, 0.0).tolist() == [0]
