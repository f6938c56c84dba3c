"""Functions of tf, keras.ops and keras.backend at their edges: what TensorFlow 2.21, Keras 3.15 and tf_keras give."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

NAN, INF, T = float("nan"), float("inf"), tf.constant
PICTURE = np.arange(4.0, dtype="float32").reshape(1, 2, 2, 1)


def f32(*numbers):
    return np.array(numbers, "float32")


@pytest.mark.parametrize(
    ("function", "dtype", "expected"),
    [
        (lambda: tf.constant(2**40), "int64", 2**40),
        (lambda: tf.constant([2**31 - 1, -(2**31)]), "int32", [2**31 - 1, -(2**31)]),
        (lambda: tf.Variable([2**40]), "int64", [2**40]),
        (lambda: tf.constant([np.float32(1), 2]), "float32", [1, 2]),
        (lambda: tf.constant([np.uint8(200), 300]), "int32", [200, 300]),
        (lambda: tf.constant([np.int32(1), 2**40]), "int64", [1, 2**40]),
        (lambda: tf.constant([np.uint8(2), -1]), "int32", [2, -1]),
        (lambda: tf.stack([T(1), 2]), "int32", [1, 2]),
        (lambda: tf.range(np.int64(3)), "int64", [0, 1, 2]),
        (lambda: tf.linspace(0, 1, 3), "float64", [0, 0.5, 1]),
        (lambda: tf.unstack([1.5, 2.5])[1], "float32", 2.5),
        (lambda: tf.split([1, 2], 2)[1], "int32", [2]),
        (lambda: tf.boolean_mask([1, 2], [True, False]), "int32", [1]),
        (lambda: 1 / T(np.array([1, 4], "uint8")), "float32", [1, 0.25]),
        (lambda: 1 / T(np.array([1, 4], "int32")), "float64", [1, 0.25]),
        (lambda: K.constant(np.array([1, 4], "int32"), "uint8") / 2, "float32", [0.5, 2]),
    ],
)
def test_numbers_of_lists(function, dtype, expected):
    made = function()
    assert made.dtype == dtype and made.numpy().tolist() == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: tf.argmax([[1.0, NAN], [NAN, 2.0]], axis=None), [0, 1]),
        (lambda: tf.argmin([2.0, NAN, 1.0]), 2),
        (lambda: ops.argmax(f32(NAN, 2.0, 3.0)), 2),
        (lambda: ops.argmin(np.array([[NAN, 2.0], [3.0, NAN]], "float32"), axis=1), [1, 0]),
        (lambda: tf.math.in_top_k([0, -1, 2, 9], np.ones((4, 3), "float32"), 1), [True, False, True, False]),
        (lambda: ops.in_top_k(np.array([0, 1]), np.array([[3.0, NAN], [1.0, 2.0]], "float32"), 2), [False, True]),
        (lambda: K.in_top_k(T([[3.0, INF], [1.0, 2.0]]), T([0, 1]), 2), [False, True]),
        (lambda: tf.nn.silu([1.0, -2.0], 2.0), [0.8807971, -0.03597242]),
        (lambda: tf.nn.softmax([[1.0, 2.0], [0.5, 0.0]], axis=None), [[0.26894143, 0.7310585], [0.6224594, 0.3775406]]),
        (lambda: tf.saturate_cast(T([1e10, -1e10]), tf.int32), [2147483520, -2147483648]),
        (lambda: tf.saturate_cast(T([300.0, -5.0]), tf.uint8), [255, 0]),
        (lambda: tf.saturate_cast(T([1e10]), tf.uint32), [4294967040]),
        (lambda: ops.saturate_cast(f32(2.5, -0.5, 0.5), "bool"), [True, False, True]),
        (lambda: tf.math.segment_max([[1.0], [3.0], [2.0]], [0, 0, 2]), [[3], [0], [2]]),
        (lambda: tf.math.segment_min([1, 3, 2], [0, 0, 2]), [1, 0, 2]),
        (lambda: tf.math.unsorted_segment_max([1.0, 3.0], [2, 0], 3), [3, np.finfo("float32").min, 1]),
        (lambda: tf.math.segment_mean([1, 2, 5], [0, 0, 1]), [1, 5]),
        (lambda: tf.math.scalar_mul(2, np.array([200], "uint8")), [144]),
        (lambda: tf.math.is_non_decreasing(np.array([3, 2], "uint8")), False),
        (lambda: tf.math.is_strictly_increasing(np.array([2, 3], "uint8")), True),
        (lambda: tf.math.add_n([1.5, 2.0]), 3.5),
        (lambda: tf.math.zero_fraction([0, 1, 0, 3]), 0.5),
        (lambda: tf.norm([3.0, 4.0, 5.0], 3), 6.0),
        (lambda: tf.nn.moments(T([[1.0, 3.0]]), None)[1], 1.0),
        (lambda: ops.nan_to_num(f32(NAN, INF, -INF), 1.0, 2.0, 3.0), [1, 2, 3]),
        (lambda: ops.einsum("ij,jk->ik", np.full((1, 2), 100, "int8"), np.full((2, 1), 3, "int8")), [[600]]),
        (lambda: ops.norm(np.array([200, 100], "uint8")), 223.60679626),
        (lambda: ops.nanmax(np.arange(8.0, dtype="float32").reshape(2, 2, 2), axis=[0, 2]), [5, 7]),
        (
            lambda: ops.sparse_categorical_crossentropy(np.array([0]), np.array([[2.0, 1.0, 0.5]], "float32")),
            [0.91629076],
        ),
        (lambda: ops.image.rgb_to_grayscale(np.array([[[3, 4, 9], [250, 9, 77]]], "uint8")), [[[4], [88]]]),
        (
            lambda: tf.compat.v1.image.resize(PICTURE, (3, 3))[0, :, :, 0],
            [[0, 0.6666667, 1], [1.3333334, 2, 2.3333333], [2, 2.6666667, 3]],
        ),
        (
            lambda: tf.compat.v1.image.resize(PICTURE, (3, 3), align_corners=True)[0, :, :, 0],
            [[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]],
        ),
    ],
)
def test_functions_at_their_edges(function, expected):
    np.testing.assert_allclose(function(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: K.sqrt(T([-4.0, 4.0, NAN])), [0, 2, NAN]),
        (lambda: K.clip(T([0.0, 5.0]), 2.0, 1.0), [2, 2]),
        (lambda: K.argmin(T([[2.0, 1.0], [1.0, 2.0]]), axis=None), [1, 0]),
        (lambda: K.reverse(T([[1, 2], [3, 4]]), -1), [[2, 1], [4, 3]]),
        (lambda: K.reverse(T([[1, 2], [3, 4]]), [-1, 0]), [[4, 3], [2, 1]]),
        (lambda: K.shape(T([[1.0, 2.0]])) * 2, [2, 4]),
    ],
)
def test_functions_of_the_backend(function, expected):
    np.testing.assert_array_equal(function(), expected)


def test_roots_in_layers_are_of_no_negative_numbers():
    x = keras.Input((3,))
    model = keras.Model(x, K.sqrt(x))
    np.testing.assert_array_equal(model.predict(np.array([[-4.0, 4.0, 0.0]]), verbose=0), [[0, 2, 0]])
    weight = tf.Variable([-4.0, 4.0])
    with tf.GradientTape() as tape:
        y = K.sqrt(weight * 1)
    np.testing.assert_array_equal(tape.gradient(y, weight), [0, 0.25])


def test_places_of_the_backend_have_64_bits():
    assert K.argmax(T([[1.0, 3.0]])).dtype == "int64" and ops.argmax(T([[1.0, 3.0]])).dtype == "int32"


def test_numbers_of_names_are_counted_for_each():
    K.reset_uids()
    assert [K.get_uid("some"), K.get_uid("some"), K.get_uid("other")] == [1, 2, 1]
    K.reset_uids()
    assert K.get_uid("some") == 1


def test_a_phase_for_a_block():
    with K.learning_phase_scope(1):
        assert K.learning_phase() == 1
    assert K.learning_phase() == 0


def test_metrics_compute_with_narrow_targets():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def negative(y_true, y_pred):
        return K.mean(-y_true * 200)

    model.compile("sgd", "mse", metrics=[negative])
    x, y = np.ones((3, 1)), np.array([0, 1, 2], "uint8")
    assert model.evaluate(x, y, verbose=0, return_dict=True)["negative"] == -200  # as in tf_keras


def test_logarithms_of_gamma():
    x = [0.5, -1.5, 100.0, 0.001, -0.25, 3.0]
    expected = [0.57236493, 0.86004704, 359.13422, 6.907179, 1.5895753, 0.6931472]
    np.testing.assert_allclose(tf.math.lgamma(x), expected, rtol=2e-6)
    assert tf.math.lgamma([0.0, -1.0]).numpy().tolist() == [INF, INF]
    slopes = [-1.9635107, 0.7031568, 4.600162, -1000.57556, 2.914139, 0.9227842]
    np.testing.assert_allclose(tf.math.digamma(x), slopes, rtol=2e-6)
    assert np.isnan(tf.math.digamma([0.0, -1.0])).all()
    with tf.GradientTape() as tape:
        tape.watch(given := tf.constant(x))
        y = tf.math.lgamma(given)
    np.testing.assert_allclose(tape.gradient(y, given), slopes, rtol=2e-6)
    with pytest.raises(TypeError, match="takes floats"):
        tf.math.lgamma([1, 2])
    with pytest.warns(FutureWarning, match="tf.math.lgamma"):
        assert tf.lgamma([1.0]).numpy().tolist() == [0]


def test_sequences_are_turned_round():
    found = tf.reverse_sequence([[1, 2, 3], [4, 5, 6]], [2, 3], seq_axis=1, batch_axis=0)
    assert found.numpy().tolist() == [[2, 1, 3], [6, 5, 4]]
    found = tf.reverse_sequence(np.arange(12).reshape(3, 2, 2), [1, 3], 0, 2)
    assert found.numpy().tolist() == [[[0, 9], [2, 11]], [[4, 5], [6, 7]], [[8, 1], [10, 3]]]
    given = tf.constant([[1.0, 2.0, 3.0]])
    with tf.GradientTape() as tape:
        tape.watch(given)
        y = tf.reverse_sequence(given, [2], 1) * [[1.0, 10.0, 100.0]]
    assert tape.gradient(y, given).numpy().tolist() == [[10, 1, 100]]
    for wrong in ([2], [4, 1], [-1, 1]):
        with pytest.raises(ValueError, match="one number up to 3 for each of the 2 parts"):
            tf.reverse_sequence([[1, 2, 3], [4, 5, 6]], wrong, 1)


def test_names_in_messages_are_those_of_scripts():
    rooms = {"tf.math": tf.math, "tf.io": tf.io, "tf.signal": tf.signal, "keras.ops.image": ops.image}
    for room, module in rooms.items():
        with pytest.raises(AttributeError, match=rf"name in {room}"):
            _ = module.no_such_name
    with pytest.raises(AttributeError, match=r"minicnn has no tf\.data\.experimental\.get_structure"):
        _ = tf.data.experimental.get_structure
    assert not {"Any", "TYPE_CHECKING"} & {*tf.math.__all__}


@pytest.mark.parametrize("in_lambda", [False, True])
def test_a_root_of_nothing_behind_which_nothing_comes(in_lambda):
    """The distance of equal pictures, squared again, as siamese networks have it: NaN without TensorFlow's rule."""
    first, second = keras.Input((4,)), keras.Input((4,))
    dense = keras.layers.Dense(3, use_bias=False, kernel_initializer=keras.initializers.Constant(0.1))

    def distance(pair):
        return K.sqrt(K.sum(K.square(pair[0] - pair[1]), axis=1, keepdims=True))

    pair = [dense(first), dense(second)]
    model = keras.Model([first, second], keras.layers.Lambda(distance)(pair) if in_lambda else distance(pair))
    model.compile(keras.optimizers.SGD(0.1), lambda y_true, y_pred: K.mean(K.square(y_pred)))
    x = np.arange(8.0).reshape(2, 4)
    y = x + np.array([[0.0], [1.0]])
    history = model.fit([x, y], np.ones((2, 1)), epochs=2, batch_size=2, verbose=0).history
    np.testing.assert_allclose(history["loss"], [0.24, 0.0864], rtol=1e-5)  # tf_keras's
    np.testing.assert_allclose(dense.get_weights()[0], np.full((4, 3), 0.036), rtol=1e-5)


def test_slopes_at_edges():
    x = tf.constant([0.0, 1.0, -1.0, 4.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        chosen = tf.where(x > 0, tf.sqrt(x), 0.0)
        selu, normal = tf.nn.selu(x), ops.normalize(x * 0)
        weighted = tf.nn.weighted_cross_entropy_with_logits(tf.ones_like(x), x, 2.0)
    np.testing.assert_array_equal(tape.gradient(chosen, x), [0, 0.5, 0, 0.25])
    np.testing.assert_allclose(tape.gradient(selu, x), [1.050701, 1.050701, 0.6467686, 1.050701], rtol=1e-6)
    assert np.array_equal(tape.gradient(normal, x), np.zeros(4))
    np.testing.assert_allclose(tape.gradient(weighted, x), [0, -0.53788286, -1.4621172, -0.0359724], rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda c: tf.reduce_sum(tf.abs(c)), [0.4472136 + 0.8944272j, 0.9486833 - 0.3162278j]),
        (lambda c: tf.reduce_sum(tf.math.real(c * c)), [2 - 4j, 6 + 2j]),
        (lambda c: tf.reduce_sum(tf.math.real(c * tf.math.conj(c))), [2 + 4j, 6 - 2j]),
        (lambda c: tf.reduce_sum(tf.math.imag(c) ** 2), [4j, -2j]),
    ],
)
def test_tapes_watch_complex_numbers(function, expected):
    c = tf.constant(np.array([1 + 2j, 3 - 1j], "complex64"))
    with tf.GradientTape() as tape:
        tape.watch(c)
        y = function(c)
    np.testing.assert_allclose(tape.gradient(y, c), expected, rtol=1e-6)


def test_gradients_of_gradients_through_a_modulus_are_refused():
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = tf.reduce_sum(tf.abs(tf.complex(x, x * 2)))
        z = tf.reduce_sum(inner.gradient(y, x) ** 2)
    with pytest.raises(NotImplementedError, match="has no gradient of its own"):
        outer.gradient(z, x)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[2, 5, 5], [1, 3, 2]]),
        ({"axis": 1, "exclusive": True}, [[5, 3, 0], [5, 2, 0]]),
        ({"axis": 1, "reverse": True}, [[1, 3, 6], [1, 4, 6]]),
        ({"axis": -1, "exclusive": True, "reverse": True}, [[0, 1, 3], [0, 1, 4]]),
    ],
)
def test_gradients_of_running_sums(options, expected):
    x, weights = tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), [[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(weights * tf.cumsum(x, **options))
    assert tape.gradient(y, x).numpy().tolist() == expected


def test_gradients_of_gradients_of_running_sums():
    x, weights = tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), [[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = tf.reduce_sum(weights * ops.cumsum(x, axis=1) ** 2)
        z = tf.reduce_sum(inner.gradient(y, x) ** 2)
    assert outer.gradient(z, x).numpy().tolist() == [[2592, 2392, 1608], [5688, 5200, 2368]]


def test_the_axis_stands_behind_the_tensors():
    with pytest.raises(TypeError, match=r"tf\.concat\(values, axis\)"):
        tf.concat(0, [[1, 2], [3]])


def test_rooms_that_are_no_modules():
    for room in ("errors", "debugging", "dtypes", "nest", "autograph", "version", "sysconfig", "config", "test", "app"):
        with pytest.raises(AttributeError, match=rf"Unknown name in tf\.{room}"):
            getattr(getattr(tf, room), "no_such_name")  # noqa: B009
    with pytest.raises(AttributeError, match=r"Unknown name in tf\.config\.experimental"):
        _ = tf.config.experimental.no_such_name
    assert not {"Any", "EagerArray", "Sequence"} & {*K.__all__}


@pytest.mark.parametrize("function", [tf.math.rsqrt, tf.math.reciprocal, tf.sqrt])
def test_behind_an_infinite_slope_nothing_stays_nothing(function):
    v = T(f32(0, 4))
    with tf.GradientTape() as tape:
        tape.watch(v)
        value = tf.reduce_sum(function(v) * f32(0, 1))
    assert tape.gradient(value, v).numpy()[0] == 0


def test_constants_of_a_shape_are_numbers_in_their_order():
    assert K.constant([1, 2, 3, 4], shape=(2, 2)).tolist() == [[1, 2], [3, 4]]
    assert K.constant(3, shape=(2,)).tolist() == [3, 3]
    with pytest.raises(ValueError, match="reshape"):
        K.constant([1, 2, 3], shape=(2, 2))


def test_limits_that_are_arrays_cross_as_numbers_do():
    assert K.clip(f32(0, 5), f32(3, 3), f32(1, 4)).tolist() == [3, 4]


def test_nothing_comes_back_from_what_was_no_number():
    v = T(f32(NAN, 2, INF))
    with tf.GradientTape() as tape:
        tape.watch(v)
        value = tf.reduce_sum(ops.nan_to_num(v, posinf=1) * 3)
    assert tape.gradient(value, v).numpy().tolist() == [0, 3, 0]


def test_moments_of_halves_have_sums_beyond_them():
    mean, variance = ops.moments(np.full(3000, 100, "float16"), 0)
    assert (float(mean), float(variance), mean.dtype) == (100, 0, "float16")


def test_the_gradient_of_the_gradient_of_lgamma():
    """At 1 it is π² / 6 (Abramowitz, Stegun, 6.4.2)."""
    v = T(f32(1))
    with tf.GradientTape() as outer:
        outer.watch(v)
        with tf.GradientTape() as tape:
            tape.watch(v)
            value = tf.math.lgamma(v)
        slope = tape.gradient(value, v)
    assert float(outer.gradient(slope, v)[0]) == pytest.approx(np.pi**2 / 6, rel=1e-5)


def test_parts_have_the_rest_or_add_up():
    assert [part.numpy().tolist() for part in tf.split([1, 2, 3], [-1, 1])] == [[1, 2], [3]]
    with pytest.raises(ValueError, match="add up to 3"):
        tf.split([1, 2, 3], [1, 1])


def test_means_of_segments_of_whole_numbers():
    data = np.array([1, 2, 5], "int32")
    assert tf.math.unsorted_segment_mean(data, [0, 0, 1], 2).numpy().tolist() == [1.5, 5]
    assert tf.math.segment_mean(data, [0, 0, 1]).numpy().tolist() == [1, 5]


def test_whole_numbers_times_a_fraction_are_refused():
    with pytest.raises(TypeError, match="whole number"):
        tf.math.scalar_mul(1.5, T([1, 2]))


def test_an_axis_that_is_not_there_is_not_another_one():
    for function in (
        lambda: K.reverse(np.ones((2, 3)), 2),
        lambda: tf.reverse_sequence(np.ones((2, 3)), [1, 1], seq_axis=3),
    ):
        with pytest.raises(IndexError):
            function()


def test_the_largest_of_neighbouring_channels(rng):
    """Windows over channels, as in Géron's DepthMaxPool: of arrays, in a model, and their gradients."""
    x = rng.normal(size=(2, 3, 4, 6)).astype("float32")
    expected = x.reshape(2, 3, 4, 2, 3).max(-1)
    np.testing.assert_array_equal(tf.nn.max_pool(x, (1, 1, 1, 3), (1, 1, 1, 3), "VALID"), expected)
    inputs = keras.Input((3, 4, 6))
    model = keras.Model(inputs, tf.nn.max_pool(inputs, ksize=(1, 1, 1, 3), strides=(1, 1, 1, 3), padding="VALID"))
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    with tf.GradientTape() as tape:
        source = tf.Variable(x)
        loss = tf.reduce_sum(tf.nn.max_pool(source, (1, 1, 1, 3), (1, 1, 1, 3), "VALID"))
    winners = np.repeat(expected, 3, axis=-1) == x
    np.testing.assert_array_equal(tape.gradient(loss, source), winners)
    for ksize, strides in (((1, 1, 1, 4), (1, 1, 1, 4)), ((1, 2, 2, 3), (1, 2, 2, 3)), ((1, 1, 1, 3), (1, 1, 1, 1))):
        with pytest.raises(ValueError, match="size divides the 6 channels"):
            tf.nn.max_pool(x, ksize, strides, "VALID")
