"""Functions of keras.ops in functional models, as Keras 3.15.1 writes them: against NumPy."""

import json
import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_close

import minicnn as mc
from minicnn import keras
from minicnn.errors import FileFormatError, ShapeError
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

SIGNS = np.random.default_rng(0).choice([-1, 1], (3, 4, 5, 2))
X = (SIGNS * np.random.default_rng(1).uniform(0.2, 2, SIGNS.shape)).astype(np.float32)
POSITIVE = np.abs(X)


def tensor(name, dtype="float32", shape=(None, 4, 5, 2)):
    history = {"shape": shape, "dtype": dtype, "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": history}


def operation(class_name, args, module="keras.src.ops.numpy", **config):
    entry = {"module": module, "class_name": class_name, "config": {"name": "op", **config}}
    calls = [{"args": args, "kwargs": {}}]
    return entry | {"registered_name": class_name, "name": "op", "inbound_nodes": calls}


def model_of(entry, module="keras.layers"):
    """A model of an input and one function, from its JSON."""
    config = {"batch_shape": [None, 4, 5, 2], "dtype": "float32", "sparse": False, "name": "x"}
    start = {"module": module, "class_name": "InputLayer", "config": config, "name": "x", "inbound_nodes": []}
    ends = {"input_layers": ["x", 0, 0], "output_layers": ["op", 0, 0]}
    model = {"name": "model", "trainable": True, "layers": [start, entry]} | ends
    functional = {"class_name": "Functional", "config": model, "module": "keras.src.models.functional"}
    return mc.models.model_from_json(json.dumps(functional))


def as_array(values):
    return {"class_name": "__numpy__", "config": {"value": values, "dtype": "float32"}}


T = tensor("x")
OF_SAMPLE = np.random.default_rng(2).uniform(0.5, 2, (4, 1, 2))
ARRAY = as_array([OF_SAMPLE.tolist()])
NN = "keras.src.ops.nn"
OPERATIONS = {
    "x + 2": (operation("Add", [T, 2.0]), X + 2),
    "2 + x": (operation("Add", [2, T]), X + 2),
    "x - 2": (operation("Subtract", [T, 2.0]), X - 2),
    "2 - x": (operation("Subtract", [2.0, T]), 2 - X),
    "x · 3": (operation("Multiply", [T, 3.0]), X * 3),
    "x / 255": (operation("TrueDivide", [T, 255.0]), X / 255),
    "1 / x": (operation("TrueDivide", [1, T]), 1 / X),
    "x + an array": (operation("Add", [T, ARRAY]), X + OF_SAMPLE),
    "an array - x": (operation("Subtract", [ARRAY, T]), OF_SAMPLE - X),
    "x · a row": (operation("Multiply", [T, as_array([[[[2.0, -1.0]]]])]), X * [2.0, -1.0]),
    "x / an array": (operation("TrueDivide", [T, ARRAY]), X / OF_SAMPLE),
    "x^3": (operation("Power", [T, 3]), X**3),
    "max(x, 1)": (operation("Maximum", [T, 1.0]), np.maximum(X, 1)),
    "min(1, x)": (operation("Minimum", [1.0, T]), np.minimum(X, 1)),
    "-x": (operation("Negative", [T]), -X),
    "|x|": (operation("Absolute", [T]), np.abs(X)),
    "√x": (operation("Sqrt", [T]), np.sqrt(POSITIVE)),
    "x²": (operation("Square", [T]), X**2),
    "exp": (operation("Exp", [T]), np.exp(X)),
    "log": (operation("Log", [T]), np.log(POSITIVE)),
    "relu": (operation("Relu", [T], NN), np.maximum(X, 0)),
    "sigmoid": (operation("Sigmoid", [T], NN), 1 / (1 + np.exp(-X))),
    "softmax": (operation("Softmax", [T], NN, axis=-1), np.exp(X) / np.exp(X).sum(-1, keepdims=True)),
    "leaky_relu": (operation("LeakyRelu", [T], NN, negative_slope=0.3), np.where(X > 0, X, 0.3 * X)),
    "clip": (operation("Clip", [T], x_min=0.5, x_max=1.5), np.clip(X, 0.5, 1.5)),
    "elu": (operation("Elu", [T], NN, alpha=0.5), np.where(X > 0, X, 0.5 * np.expm1(X))),
    "relu6": (operation("Relu6", [T], NN), np.clip(X, 0, 6)),
    "selu": (operation("Selu", [T], NN), 1.05070098 * np.where(X > 0, X, 1.67326324 * np.expm1(X))),
    "silu": (operation("Silu", [T], NN), X / (1 + np.exp(-X))),
    "softplus": (operation("Softplus", [T], NN), np.log1p(np.exp(X))),
    "softsign": (operation("Softsign", [T], NN), X / (1 + np.abs(X))),
    "sign": (operation("Sign", [T]), np.sign(X)),
    "leaky_relu, its default": (operation("LeakyRelu", [T], NN), np.where(X > 0, X, 0.2 * X)),
    "elu, its default": (operation("Elu", [T], NN), np.where(X > 0, X, np.expm1(X))),
    "⌊x⌋": (operation("Floor", [T]), np.floor(X)),
    "⌈x⌉": (operation("Ceil", [T]), np.ceil(X)),
    "sin": (operation("Sin", [T]), np.sin(X)),
    "cos": (operation("Cos", [T]), np.cos(X)),
    "tanh": (operation("Tanh", [T]), np.tanh(X)),
    "reciprocal": (operation("Reciprocal", [T]), 1 / X),
    "reshape": (operation("Reshape", [T], newshape=[-1, 20, 2]), X.reshape(-1, 20, 2)),
    "transpose": (operation("Transpose", [T], axes=[0, 2, 1, 3]), X.transpose(0, 2, 1, 3)),
    "mean": (operation("Mean", [T], axis=[1, 2], keepdims=False), X.mean((1, 2))),
    "sum": (operation("Sum", [T], axis=-1, keepdims=True), X.sum(-1, keepdims=True)),
    "maximum": (operation("Max", [T], axis=[1, 2], keepdims=False, initial=None), X.max((1, 2))),
}


@pytest.mark.parametrize("module", ["as it is", None])
@pytest.mark.parametrize("name", OPERATIONS)
def test_values(name, module):
    entry, expected = OPERATIONS[name]
    if module is None:  # as in .h5 files
        entry = {key: value for key, value in entry.items() if key not in ("module", "registered_name")}
    x = POSITIVE if name in ("√x", "log") else X
    assert_close(model_of(entry).predict(x, verbose=0), expected, 1e-6)


REFUSED = {
    "a softmax over samples": (operation("Softmax", [T], NN, axis=None), "Softmax"),
    "an elu of nothing": (operation("Elu", [T], NN, alpha=None), "Elu"),
    "samples": (operation("Mean", [T], axis=None, keepdims=False), "Mean"),
    "x + an array of samples": (
        operation("Add", [T, as_array(np.ones((3, 4, 5, 2)).tolist())]),
        r"'op' \(Add\): there are no layers",
    ),
    "x + lists of two lengths": (operation("Add", [T, as_array([[1.0], [2.0, 3.0]])]), "no layers.*2.0, 3.0"),
    "x / an infinite number": (operation("TrueDivide", [T, math.inf]), r"no layers.*beside tensors \[inf\]"),
    "the batch axis": (operation("Transpose", [T], axes=[1, 0, 2, 3]), "Transpose"),
    "an unknown one": (operation("FFT", [T]), "FFT"),
    "a number of 400 digits": (operation("Divide", [T, 10**400]), r"no layers.*beside tensors \[1000"),
    "a name that is none": (operation(["Sqrt"], [T]), "Sqrt"),
    "an axis that is none": (operation("Mean", [T], axis=[1, "2"], keepdims=False), "Mean"),
    "a tensor without a shape": (operation("Max", [tensor("x", shape=5)], axis=[1, 2], keepdims=False), "Max"),
    "a tensor that is none": (
        operation("Max", [{"class_name": "a", "config": [1]}], axis=[1, 2]),
        r"no layers.*'class_name': 'a'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_layer_is_refused(name):
    entry, word = REFUSED[name]
    with pytest.raises(FileFormatError, match=word) as error:
        model_of(entry)
    assert not any(text in str(error.value) for text in ("' object", "unhashable", "too large to convert"))


B = tensor("x", dtype="uint8")
WRAPPING = {
    "x + 200": operation("Add", [B, 200]),
    "x + x": operation("Add", [B, B]),
    "x - 100": operation("Subtract", [B, 100]),
    "x · 2": operation("Multiply", [B, 2]),
    "x^2": operation("Power", [B, 2]),
    "x²": operation("Square", [B]),
    "-x": operation("Negative", [B]),
}


@pytest.mark.parametrize("name", WRAPPING)
def test_bytes_that_would_wrap_around_are_refused(name):
    with pytest.raises(FileFormatError, match=r"of integers wraps around in Keras.*Received: .* of uint8"):
        model_of(WRAPPING[name])


@pytest.mark.parametrize(
    "entry, expected",
    [
        (operation("TrueDivide", [B, 255]), POSITIVE / 255),
        (operation("Add", [B, 0.5]), POSITIVE + 0.5),
        (operation("Add", [tensor("x", dtype="int32"), 1]), POSITIVE + 1),
    ],
)
def test_integers_that_become_larger_ones_or_fractions_are_read(entry, expected):
    assert_close(model_of(entry).predict(POSITIVE, verbose=0), expected, 1e-6)


class Square(mc.layers.Layer):
    """x + 7, with a config that says nothing."""

    def build(self, input_shapes):
        return input_shapes[0]

    def forward(self, xs, ws):
        ws.y[...] = xs[0] + 7

    def backward(self, dy, ws):
        ws.dxs[0][...] = dy

    def get_config(self):
        return {"name": self.name}


def test_a_layer_of_ones_own_comes_before_a_function_of_its_name():
    entry = operation("Square", [T])
    del entry["module"]
    with mc.registry.custom_object_scope({"Square": Square}):
        assert_close(model_of(entry).predict(X, verbose=0), X + 7, 1e-6)
    with pytest.raises(FileFormatError, match="Square"):  # of another package
        model_of(entry | {"registered_name": "package>Square"})


def test_a_power_of_zero_has_no_slope():
    model = model_of(operation("Power", [T, 0]))
    x = np.concatenate([X, np.zeros_like(X)])
    assert (model.predict(x, verbose=0) == 1).all() and not model.input_gradients(x, np.ones(x.shape)).any()


@pytest.mark.parametrize("order", [1, 2, 3])
def test_normalize_of_what_is_differentiated_and_of_symbolic_tensors(order):
    x = np.random.default_rng(3).normal(size=(4, 5)).astype("float32")
    expected = x / np.linalg.norm(x, order, axis=1, keepdims=True)
    inputs = keras.Input((5,))
    model = keras.Model(inputs, keras.utils.normalize(inputs, axis=1, order=order))
    assert np.allclose(model.predict(x), expected, atol=1e-5)
    small = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    small.compile("sgd", lambda y, p: keras.ops.mean(keras.utils.normalize(p, axis=1, order=order) * y))
    y, outputs = np.arange(12, dtype="float32").reshape(4, 3), small.predict(x)
    unit = outputs / np.linalg.norm(outputs, order, axis=1, keepdims=True)
    assert np.isclose(small.train_on_batch(x, y), (unit * y).mean(), atol=1e-5)
    assert not np.array_equal(small.predict(x), outputs)
    with pytest.raises(ValueError, match=r"order=1, 2, … Received: order=inf"):
        keras.utils.normalize(inputs, order=np.inf)


TINY = np.array([[3e-9, 4e-9], [0, 0], [3, 4], [3e-8, 0]], "float32")


@pytest.mark.parametrize(
    ("options", "expected"),  # of Keras 3.15 on TensorFlow
    [
        ({}, [[0.03, 0.04], [0, 0], [0.6, 0.8], [0.3, 0]]),
        ({"epsilon": None, "order": 1}, [[0.03, 0.04], [0, 0], [3 / 7, 4 / 7], [0.3, 0]]),
        ({"order": 3}, [[0.03, 0.04], [0, 0], [0.66697174, 0.8892957], [0.3, 0]]),
        ({"epsilon": 1e-3}, [[3e-6, 4e-6], [0, 0], [0.6, 0.8], [3e-5, 0]]),
    ],
)
def test_norms_of_normalize_count_as_at_least_epsilon(options, expected):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.ops.normalize(inputs, **options))
    for made in (keras.ops.normalize(TINY, **options), model.predict(TINY)):
        assert np.allclose(made, expected, rtol=1e-5, atol=0)


def test_normalize_over_two_axes_is_by_all_their_numbers():
    x = np.random.default_rng(3).normal(size=(2, 3, 4)).astype("float32")
    expected = x / np.sqrt((x**2).sum(axis=(1, 2), keepdims=True))
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, keras.ops.normalize(inputs, axis=(1, 2)))
    for made in (keras.ops.normalize(x, axis=(1, 2)), model.predict(x)):
        assert np.allclose(made, expected, atol=1e-6)


@pytest.mark.parametrize("order", [0, 2.0, True, "euclidean"])
def test_the_order_of_ops_normalize_is_a_whole_number(order):
    for x in (TINY, keras.Input((2,))):
        with pytest.raises(ValueError, match=f"order is a whole number of at least 1. Received: order={order!r}"):
            keras.ops.normalize(x, order=order)


@pytest.mark.parametrize("order", [1, 2, 2.0, np.int64(2), np.inf])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_normalize_of_arrays_in_any_dtype(dtype, order):
    x = np.array([[200, 100], [3, 4], [0, 0]], dtype)
    norms = np.linalg.norm(x.astype(float), order, axis=1, keepdims=True)
    expected = x / np.where(norms == 0, 1, norms)
    for each in (x, tf.constant(x), keras.ops.array(x)):
        assert_close(keras.utils.normalize(each, axis=1, order=order), expected, 1e-6)
    mapped = tf.data.Dataset.from_tensor_slices(x).map(lambda row: keras.utils.normalize(row, -1, order))
    assert_close(np.stack(list(mapped)), expected, 1e-6)
    with tf.GradientTape() as tape:  # one that is watched is differentiated all the same
        watched = tf.constant([[3.0, 4.0]])
        tape.watch(watched)
        first = keras.utils.normalize(watched, axis=1)[0, 0]
    assert_close(tape.gradient(first, watched), [[16 / 125, -12 / 125]], 1e-6)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(
    ("order", "axis"),
    [
        *((order, axis) for order in (None, 0, 1, -1, 2, 2.5, 3, np.inf, -np.inf) for axis in (0, -1)),
        *((order, axes) for order in (None, 1, -1, 2, -2, np.inf, -np.inf, "nuc") for axes in ((0, 1), (2, 0))),
    ],
)
def test_norms_are_numpys(order, axis, keepdims):
    x = np.random.default_rng(6).normal(size=(3, 4, 2))
    expected = np.linalg.norm(x, order, axis, keepdims)
    assert_close(keras.ops.norm(x, order, axis, keepdims), expected, 1e-6)
    if axis == (0, 1):
        assert_close(tf.norm(x, "euclidean" if order is None else order, axis, keepdims), expected, 1e-6)
        assert_close(keras.ops.norm(x[..., 0], order), np.linalg.norm(x[..., 0], order), 1e-6)  # a matrix


@pytest.mark.parametrize(("order", "axis"), [(3, -1), (-np.inf, 0), (1, (0, 1)), (-1, (1, 0)), (np.inf, (0, 1))])
def test_norms_have_gradients(order, axis):
    x = tf.constant(np.random.default_rng(7).normal(size=(3, 4)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(keras.ops.norm(x, order, axis))
    step = np.random.default_rng(8).normal(size=(3, 4)) * 1e-6
    ends = [np.sum(np.linalg.norm(np.asarray(x, float) + sign * step, order, axis)) for sign in (1, -1)]
    assert np.sum(np.asarray(tape.gradient(y, x)) * step) == pytest.approx((ends[0] - ends[1]) / 2, rel=1e-3, abs=1e-10)


@pytest.mark.parametrize("axis", [(0, 1, 2), None])
def test_norms_of_more_axes_are_refused(axis):
    with pytest.raises(ValueError, match="along two"):
        keras.ops.norm(np.ones((2, 2, 2)), 1, axis)


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_whole_numbers_stay_so_where_images_are_resized(dtype):
    x = np.random.default_rng(9).integers(0, 256, (4, 5, 2)).astype(dtype)
    made = keras.ops.image.resize(x, (7, 3), interpolation="bicubic")
    exact = keras.ops.image.resize(x.astype("float32"), (7, 3), interpolation="bicubic")
    assert made.dtype == dtype and exact.dtype == np.float32
    assert np.array_equal(made, np.clip(np.round(exact), *((0, 255) if dtype == "uint8" else (-999, 999))))


class OwnLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return np.mean((y_true - y_pred) ** 2, axis=-1)


@pytest.mark.parametrize("make", [keras.losses.MeanSquaredError, keras.losses.Huber, OwnLoss])
def test_losses_in_half_precision_are_rounded(make):
    y, p = np.random.default_rng(5).random((2, 6, 3)).astype("float32")
    exact = make(reduction="none")(y, p)
    assert make().dtype == "float32" and exact.dtype == make(dtype="float32")(y, p).dtype == np.float32
    for dtype in ("float16", np.float16, np.dtype("float16")):
        assert make(dtype=dtype).dtype == "float16" and make(dtype=dtype)(y, p).dtype == "float16"
        assert np.array_equal(make(dtype=dtype, reduction="none")(y, p), exact.astype(np.float16))
    for dtype in ("bfloat16", keras.dtype_policies.DTypePolicy("mixed_bfloat16")):
        loss = make(dtype=dtype)(y, p)
        assert make(dtype=dtype).dtype == loss.dtype == "bfloat16"
        upper = exact.view(np.uint32) >> 16 << 16  # (6,): at most the one below the nearest
        rounded = make(dtype=dtype, reduction="none")(y, p)
        assert np.all(rounded.view(np.uint32) % 2**16 == 0) and np.all(abs(rounded - exact) <= exact / 2**8)
        assert np.all((rounded.view(np.uint32) == upper) | (rounded.view(np.uint32) == upper + 2**16))
        assert loss == pytest.approx(make()(y, p), rel=2**-8) and np.float32(loss).view(np.uint32) % 2**16 == 0


def test_other_dtypes_of_losses_are_refused():
    with pytest.raises(ValueError, match="MeanSquaredError supports dtype=None or 'float32' or 'float64' only"):
        keras.losses.MeanSquaredError(dtype="int32")


def test_the_call_of_a_loss_of_the_library_gives_the_losses_of_samples():
    y_true, y_pred = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    found = keras.losses.MeanSquaredError().call(y_true, y_pred)
    assert_close(found, np.mean((y_true - y_pred) ** 2, axis=1), 1e-6)


def test_layers_that_take_masks_leave_out_what_these_do_not_let_through(rng):
    """A softmax and a mean over the rest, computed of the rest alone; other layers take none."""
    x = rng.normal(size=(2, 4, 3)).astype(np.float32)
    steps = np.array([[1, 0, 1, 1], [0, 1, 0, 0]], bool)
    means = np.stack([x[n][steps[n]].mean(axis=0) for n in range(2)])
    pool = keras.layers.GlobalAveragePooling1D()
    np.testing.assert_allclose(pool(x, mask=steps), means, rtol=1e-5)
    first = keras.layers.GlobalAveragePooling1D(data_format="channels_first", keepdims=True)
    np.testing.assert_allclose(first(x.transpose(0, 2, 1), mask=steps)[..., 0], means, rtol=1e-5)
    rows = keras.layers.Softmax()(x[..., 0], mask=steps)
    for n in range(2):
        e = np.exp(x[n, steps[n], 0].astype(np.float64))
        np.testing.assert_allclose(rows[n][steps[n]], e / e.sum(), rtol=1e-5)
    assert (rows[~steps] == 0).all()
    np.testing.assert_array_equal(keras.layers.Softmax()(x[..., 0], steps), rows)  # the second argument, as in Keras
    np.testing.assert_allclose(pool(x, steps), means, rtol=1e-5)
    inputs, mask = keras.Input((4, 3)), keras.Input((4,), dtype="bool")
    model = keras.Model([inputs, mask], keras.layers.GlobalAveragePooling1D()(inputs, mask=mask))
    np.testing.assert_allclose(model.predict([x, steps], verbose=0), means, rtol=1e-5)
    np.testing.assert_array_equal(keras.layers.Dense(2)(x, mask=None).shape, (2, 4, 2))
    with pytest.raises(NotImplementedError, match=r"leave mask_zero=True out.*mask=numbers > 0"):
        keras.layers.Embedding(5, 2, mask_zero=True)
    with pytest.raises(NotImplementedError, match="Softmax and GlobalAveragePooling1D take a mask"):
        keras.layers.Dense(2)(x, mask=steps)


def test_a_softmax_with_a_mask_is_0_where_the_mask_lets_nothing_through(rng):
    """As are infinite values behind the mask, which goes by 0.5; a mask of another shape is refused, not spread."""
    x = rng.normal(size=(3, 4)).astype(np.float32)
    mask = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0.6, 0.4, 1]])
    e = np.exp(x.astype(np.float64)) * (mask > 0.5)
    expected = e / np.where(e.any(axis=1, keepdims=True), e.sum(axis=1, keepdims=True), 1)
    x[0, 2] = np.inf
    np.testing.assert_allclose(keras.layers.Softmax()(x, mask=mask), expected, rtol=1e-5)
    inputs, masks = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([inputs, masks], keras.layers.Softmax()(inputs, mask=masks))
    np.testing.assert_allclose(model.predict([x, mask.astype(np.float32)], verbose=0), expected, rtol=1e-5)
    for shape in [(3, 4), (1, 3), (1, 1, 4)]:
        with pytest.raises(ValueError, match=r"each axis of `mask` is 1 or that of `inputs`"):
            keras.layers.Softmax()(x[:1], mask=np.ones(shape))


OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    ">": lambda a, b: (a > b) * 1.0,
    "<=": lambda a, b: (a <= b) * 1.0,
}


@given(st.data())
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("name", OPERATORS)
def test_a_tensor_beside_an_array_for_all_samples(name, data):
    """Of any shape that NumPy broadcasts with a sample, on either side, and of any dtype; the tensor may be smaller."""
    shape = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    sizes = [data.draw(st.sampled_from([n, 1] if n > 1 else [1, 2])) for n in shape][data.draw(st.integers(0, 2)) :]
    array = np.random.default_rng(data.draw(st.integers(0, 9))).integers(1, 9, sizes)
    array = np.asfortranarray(array.astype(data.draw(st.sampled_from(["uint8", "int64", "float32", "float64"]))))
    if len(sizes) == len(shape) and data.draw(st.booleans()):
        array = array[None]  # (1, …)
    x = np.random.default_rng(0).uniform(0.5, 2, (2, *shape))
    inputs, before, apply = keras.Input(tuple(shape)), array.copy(), OPERATORS[name]
    reflected = data.draw(st.booleans())
    made = apply(array, inputs) if reflected else apply(inputs, array)
    own = array.astype(float)
    expected = apply(own, x) if reflected else apply(x, own)
    assert made.shape[1:] == expected.shape[1:]
    assert_close(np.asarray(keras.Model(inputs, made).predict(x, verbose=0)), expected, 1e-5)
    assert np.array_equal(array, before)


def test_a_tensor_beside_an_array_is_differentiated_and_saved(tmp_path):
    array = np.random.default_rng(2).normal(size=(3, 2))
    inputs = keras.Input((3, 1))
    hidden = keras.layers.Dense(1)(inputs)
    model = keras.Model(inputs, keras.layers.Flatten()((hidden * array - array[::-1]) / (1 + array**2)))
    mc.gradcheck(model)
    x = np.random.default_rng(3).normal(size=(4, 3, 1))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0)) and len(loaded.weights) == 2


@pytest.mark.parametrize("shape", [(7, 3, 2), (1, 1, 3, 2), (2, 3, 2)])
def test_an_array_of_several_samples_is_refused(shape):
    with pytest.raises(
        ShapeError, match=r"with no axis of samples or one of size 1\. Received: .* beside a tensor of 3"
    ):
        keras.Input((3, 2)) + np.ones(shape)


class Folding(keras.Model):
    """Pictures in rows, (N, T, H, W, C), each of which goes through one network."""

    def __init__(self):
        super().__init__()
        self.conv = keras.layers.Conv2D(2, 3, kernel_initializer="ones")
        self.pool = keras.layers.GlobalAveragePooling2D()
        self.dense = keras.layers.Dense(1, kernel_initializer="ones")

    def call(self, x):
        features = self.pool(self.conv(ops.reshape(x, (-1, 6, 6, 1))))  # (N · T, 2)
        return self.dense(ops.mean(ops.reshape(features, (-1, 4, 2)), axis=1))


@pytest.mark.filterwarnings("ignore:.*runs on arrays")
def test_an_axis_that_is_folded_into_the_samples():
    """In the call of a model, with the numbers of Keras 3.15; in a graph it is refused by what it would do."""
    x = np.arange(2 * 4 * 36, dtype="float32").reshape(2, 4, 6, 6, 1) / 100
    np.testing.assert_allclose(Folding()(x), [[12.87], [38.79]], rtol=1e-5)
    model = Folding()
    model.compile(keras.optimizers.SGD(1e-4), "mse")
    history = model.fit(x, np.ones((2, 1)), epochs=2, verbose=0).history
    np.testing.assert_allclose(history["loss"], [784.491, 646.114], rtol=1e-5)
    tensor = keras.Input((4, 6, 6, 1))
    for shape in ((-1, 6, 6, 1), (-1, 36), (-1, 288)):
        with pytest.raises(ShapeError, match=r"makes another number of them.*TimeDistributed\(layer\) calls"):
            ops.reshape(tensor, shape)
    with pytest.raises(ShapeError, match="does not fit samples of 144"):
        ops.reshape(tensor, (-1, 7))
