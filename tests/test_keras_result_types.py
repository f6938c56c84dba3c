"""Dtypes of results and weights, and the names of what a model measures, as Keras 3.15 with TensorFlow has them."""

import operator
import subprocess
import sys

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

CLASSES = np.array([0, 1, 2, 0])
TARGETS = np.eye(3, dtype=np.float32)[CLASSES]
OUTPUTS = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1]], np.float32)
LOSSES = ["mean_squared_error", "huber", "kl_divergence", "categorical_hinge", "cosine_similarity", "dice"]
CROSS_ENTROPIES = ["binary_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", [*LOSSES, *CROSS_ENTROPIES])
def test_a_loss_function_has_the_dtype_of_the_outputs(name, dtype):
    options = [{}, {"label_smoothing": 0.1}] if name in CROSS_ENTROPIES else [{}]
    for option in options:
        for targets in (TARGETS, TARGETS.astype(np.float64), TARGETS.astype(int)):
            losses = getattr(keras.losses, name)(targets, OUTPUTS.astype(dtype), **option)
            assert np.asarray(losses).dtype == dtype


def test_outputs_that_are_lists_or_whole_numbers_give_losses_of_models_dtype():
    assert keras.losses.mean_squared_error(TARGETS.tolist(), OUTPUTS.tolist()).dtype == np.float32
    assert keras.losses.mean_absolute_percentage_error(TARGETS + 1, OUTPUTS.astype(int)).dtype == np.float32


def test_accuracies_of_decisions_are_numbers_that_add_up():
    """Bools of NumPy would be "or"-ed by +, and have no difference and no rounded values."""
    expected = [1, 1, 0, 0]
    for dtype in ("float32", "float64"):
        outputs = OUTPUTS.astype(dtype)
        for found in (
            keras.metrics.categorical_accuracy(TARGETS, outputs),
            keras.metrics.sparse_categorical_accuracy(CLASSES, y_pred=outputs),
            keras.metrics.binary_accuracy(np.ones(4), outputs[:, 1] + [0.5, 0, -0.3, -0.8]),
        ):
            assert np.asarray(found).dtype == np.float32
            np.testing.assert_array_equal(np.round(found + found, 2), np.multiply(expected, 2))
            np.testing.assert_array_equal(1 - found, np.subtract(1, expected))


# ------------------------------------------------------------------------------------------- what a model measures


def two_outputs(**compiled):
    x = keras.Input((4,))
    model = keras.Model(x, [keras.layers.Dense(1, name="a")(x), keras.layers.Dense(1, name="b")(x)])
    model.compile("sgd", **compiled)
    return model


@pytest.mark.parametrize(
    ("compiled", "expected"),
    [
        ({"loss": "mse"}, ["loss", "a_loss", "b_loss"]),
        ({"loss": ["mse", None]}, ["loss"]),
        (
            {"loss": "mse", "metrics": {"a": "mae"}, "weighted_metrics": [["mae"], ["mse"]]},
            ["loss", "a_loss", "b_loss", "a_mae", "a_weighted_mae", "b_mse"],
        ),
        ({"loss": ["mse", None], "weighted_metrics": [["mae"], []]}, ["loss", "a_mae"]),
    ],
)
def test_names_of_metrics_are_those_of_what_evaluate_gives(compiled, expected):
    x, y = np.ones((6, 4), np.float32), np.ones((6, 1), np.float32)
    model = two_outputs(**compiled)
    found = model.evaluate(x, [y, y], verbose=0)
    assert model.metrics_names == expected and np.size(found) == len(expected)
    by_name = model.evaluate(x, [y, y], verbose=0, return_dict=True)
    np.testing.assert_allclose(np.ravel(found), [by_name[name] for name in expected])


def test_the_metrics_of_a_model_have_those_of_compile_only_if_there_are_any():
    assert [metric.name for metric in two_outputs(loss="mse").metrics] == ["loss"]
    with_metrics = two_outputs(loss="mse", weighted_metrics=[["mae"], []])
    assert [metric.name for metric in with_metrics.metrics] == ["loss", "compile_metrics"]


# --------------------------------------------------------------------------- weights of whole numbers and of bools


@keras.saving.register_keras_serializable("result_types")
class Counting(keras.layers.Layer):
    """Counts calls, in bits, too: floor division, bits and places need whole numbers."""

    def build(self, input_shape):
        self.count = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="count")
        self.seen = self.add_weight(shape=(3,), dtype="bool", initializer="zeros", trainable=False, name="seen")
        self.byte = self.add_weight(shape=(2,), dtype="uint8", initializer="ones", trainable=False, name="byte")
        self.scale = self.add_weight(shape=(4,), initializer="ones", name="scale")

    def call(self, x, training=False):
        if training:
            self.count.assign_add(1)
            self.seen.assign([True, False, True])
            self.byte.assign_add([250, 1])
        return x * self.scale + ops.cast(self.count // 2, "float32") * (self.count & 1)


def state(arrays):
    return [(str(array.dtype), np.asarray(array).tolist()) for array in arrays]


def test_a_layer_counts_in_the_dtype_of_its_weights():
    layer, x = Counting(), np.zeros((2, 4), np.float32)
    layer(x)
    assert state(layer.weights[1:]) == [("int32", 0), ("bool", [False] * 3), ("uint8", [1, 1])]
    for _ in range(3):
        found = layer(x, training=True)
    assert state(layer.get_weights()[1:]) == [("int32", 3), ("bool", [True, False, True]), ("uint8", [239, 4])]
    np.testing.assert_array_equal(found, np.ones((2, 4)))  # 3 // 2 · (3 & 1)
    layer.count.assign_add(4)
    assert layer.count.numpy().dtype == np.int32 and int(layer.count.numpy()) == 7


def test_whole_numbers_begin_with_zeros():
    weight = keras.layers.Layer().add_weight(shape=(50,), dtype="int8", name="n")
    assert state([weight]) == [("int8", [0] * 50)] and not weight.has_gradient


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_whole_numbers_are_trained_beside_saved_and_loaded(suffix, tmp_path):
    """Keras 3.15 gives the same state after eight batches, and reads the file."""
    x, y = np.ones((40, 4), np.float32), np.ones((40, 1), np.float32)
    model = keras.Sequential([keras.Input((4,)), Counting(), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    model.fit(x, y, batch_size=10, epochs=2, verbose=0)
    expected = [("int32", 8), ("bool", [True, False, True]), ("uint8", [209, 9])]
    assert state(model.get_weights()[1:4]) == expected
    model.save(tmp_path / f"m{suffix}")
    loaded = keras.models.load_model(tmp_path / f"m{suffix}")
    assert state(loaded.get_weights()[1:4]) == expected
    loaded.set_weights(model.get_weights())
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


TWO = {"zz": "mse", "aa": "mae"}


@pytest.mark.parametrize(
    ("as_dict", "compiled", "expected"),
    [  # as Keras 3.15.1 gives them
        ("", {"loss": "mse", "metrics": [["mape"], ["mae"]], "weighted_metrics": [["mae"], ["mape"]]}, "lists"),
        ("", {"loss": TWO, "metrics": {"aa": ["mse"], "zz": ["mape", "mae"]}}, "zz_loss aa_loss aa_mse zz_mae zz_mape"),
        ("zz aa", {"loss": "mse"}, "zz_loss aa_loss"),
        ("aa zz", {"loss": "mse"}, "aa_loss zz_loss"),
        (
            "aa zz",
            {"loss": TWO, "metrics": {"zz": ["mse", "mae"], "aa": ["mape"]}},
            "zz_loss aa_loss aa_mape zz_mae zz_mse",
        ),
    ],
)
def test_metrics_of_several_outputs_are_in_the_order_of_their_names(as_dict, compiled, expected):
    expected = "zz_loss aa_loss aa_mae aa_mape zz_mae zz_mape" if expected == "lists" else expected
    x, i = np.arange(18, dtype="float32").reshape(6, 3) / 9, keras.Input((3,))
    outputs = {n: keras.layers.Dense(k + 1, name=n, kernel_initializer="ones")(i) for k, n in enumerate(("zz", "aa"))}
    model = keras.Model(i, {n: outputs[n] for n in as_dict.split()} if as_dict else list(outputs.values()))
    model.compile("sgd", **compiled)
    y = {"zz": x[:, :1], "aa": x[:, 1:] + 1}
    y = y if as_dict else list(y.values())
    by_name = model.evaluate(x, y, verbose=0, return_dict=True)
    assert model.metrics_names == ["loss", *expected.split()]
    assert len({round(value, 5) for value in by_name.values()}) > 2
    for found in (model.evaluate(x, y, verbose=0), model.test_on_batch(x, y), model.train_on_batch(x, y)):
        np.testing.assert_allclose(found, [by_name[name] for name in model.metrics_names], rtol=1e-5)


@pytest.mark.parametrize("name", ["MeanSquaredError", "BinaryCrossentropy", "Huber", "CosineSimilarity", "Dice"])
def test_a_loss_of_float64_computes_in_it(name):
    """Of float32 numbers that are cast, as Keras 3.15.1 on TensorFlow has them."""
    y_true = np.linspace(0.1, 0.9, 6, dtype="float32").reshape(6, 1)  # (6, 1)
    y_pred = np.linspace(0.2, 0.8, 6, dtype="float32").reshape(6, 1)  # (6, 1)
    known = {
        "MeanSquaredError": 0.004666665563981033,
        "BinaryCrossentropy": 0.5415075672712887,
        "CosineSimilarity": -1.0,
    }
    known |= {"Huber": 0.0023333327819905166, "Dice": 0.3880000116056762}
    found = getattr(keras.losses, name)(dtype="float64")(y_true, y_pred)
    assert found.dtype == "float64" == found.numpy().dtype
    np.testing.assert_allclose(float(found), known[name], rtol=1e-13)


def test_so_are_the_losses_of_samples_and_those_of_ones_own():
    class Square(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.square(y_true - y_pred), -1)

    y_true, y_pred = np.float32([[0.1], [0.7]]), np.float32([[0.3], [0.2]])
    expected = (y_true.astype("float64") - y_pred.astype("float64"))[:, 0] ** 2
    for cls in (Square, keras.losses.MeanSquaredError):
        found = cls(dtype="float64", reduction=None)(y_true, y_pred)
        assert found.dtype == "float64"
        np.testing.assert_allclose(found, expected, rtol=1e-13)
        assert cls()(y_true, y_pred).dtype == "float32"


def test_another_dtype_of_a_loss_is_told_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"dtype=None or .float32. or .float64. only. Received: dtype=.int32."):
        keras.losses.MeanSquaredError(dtype="int32")


TOLERANCES = {
    "bfloat16": 4e-3,
    "float16": 2e-3,
    "float32": 1e-6,
    "float64": 1e-14,
}  # of a loss in it


def _expected_of(name, target, output):
    """The loss of each row and its slopes, written out in float64."""
    if name == "MeanSquaredError":
        return np.mean((output - target) ** 2, axis=-1), 2 * (output - target) / output.shape[-1]
    if name == "Poisson":
        return np.mean(output - target * np.log(output + 1e-7), axis=-1), (1 - target / (output + 1e-7)) / 3
    total = output.sum(axis=-1, keepdims=True)
    return -np.sum(target * np.log(output / total), axis=-1), -target / output + target.sum(-1, keepdims=True) / total


@pytest.mark.parametrize("given", ["float16", "float32", "float64"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64", None])
@pytest.mark.parametrize("name", ["MeanSquaredError", "CategoricalCrossentropy", "Poisson", "own"])
def test_a_loss_computes_on_a_tape_in_its_own_dtype(name, dtype, given):
    """Outputs are cast to it and gradients back, whatever the weights' dtype, as in Keras's `Loss.__call__`."""

    class Own(keras.losses.Loss):
        def call(self, y_true, y_pred):
            assert y_pred.dtype == ("float64" if dtype == "float64" else "float32")
            return ops.mean(ops.square(y_pred - y_true), axis=-1)

    rng = np.random.default_rng(3)
    targets, outputs = rng.uniform(0.1, 0.9, (2, 4, 3))
    outputs = outputs.astype(given)
    weights = np.array([0.5, 2.0, 0.0, 1.0])
    each, slopes = _expected_of("MeanSquaredError" if name == "own" else name, targets, outputs.astype(np.float64))
    make = Own if name == "own" else getattr(keras.losses, name)
    for reduction, weight in [("sum_over_batch_size", None), ("sum", weights), (None, weights)]:
        x = tf.convert_to_tensor(outputs)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = make(reduction=reduction, dtype=dtype)(targets, x, sample_weight=weight)
        factor = np.full(4, 1 / 4) if weight is None else weight
        assert value.dtype == ("float32" if dtype in (None, "bfloat16") else dtype)
        if dtype == "bfloat16":  # the upper half of a float32
            assert not np.any(value.numpy().view(np.uint32) & 0xFFFF)
        tolerance = TOLERANCES[dtype or "float32"]
        np.testing.assert_allclose(value, each * factor if reduction is None else (each * factor).sum(), tolerance)
        gradient = tape.gradient(value, x)
        assert gradient.dtype == given
        tolerance = max(tolerance, TOLERANCES[given])
        np.testing.assert_allclose(gradient, slopes * factor[:, None], rtol=tolerance, atol=tolerance)


BESIDE = {
    "int64": np.arange(1, 7).reshape(2, 3),
    "int32": np.arange(1, 7, dtype=np.int32).reshape(2, 3),
    "uint8": np.arange(1, 7, dtype=np.uint8).reshape(2, 3),
    "float64": np.linspace(0.5, 3, 6).reshape(2, 3),
    "list": [1, 2, 3],
    "list of floats": [0.5, 2.0, 3.0],
    "tuple": (1, 2, 3),
    "tuple of floats": (0.5, 2.0, 3.0),
    "range": range(1, 4),
    "np.int64": np.int64(3),
    "np.float64": np.float64(2.5),
    "tensor of int64": tf.convert_to_tensor(np.arange(1, 7).reshape(2, 3)),
    "int64, ()": np.array(3),
    "float64, ()": np.array(2.5),
}
OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("other", BESIDE)
@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_of_a_tensor_have_its_dtype_beside_arrays_and_lists(operator, other, dtype):
    """As TensorFlow 2.20's, on a tape or not, of variables, too; NumPy's result is float64 beside int64 and lists."""
    value, other = np.linspace(0.25, 1.5, 6).reshape(2, 3).astype(dtype), BESIDE[other]
    compute, tolerance = OPERATORS[operator], {"float16": 2e-3, "float32": 1e-6}[dtype]
    x = tf.Variable(value, dtype=dtype)
    for a, b, swapped in ((value, other, False), (other, value, True)):
        expected = compute(np.asarray(a, np.float64), np.asarray(b, np.float64))
        for make in (lambda: x * 1, lambda: x):
            tensor = make()
            found = [compute(a, tensor) if swapped else compute(tensor, b)]
            with tf.GradientTape() as tape:
                tensor = make()
                found.append(compute(a, tensor) if swapped else compute(tensor, b))
            for each in found:
                assert each.dtype == dtype
                np.testing.assert_allclose(each, expected, rtol=tolerance, atol=tolerance)
            if operator != "//":
                assert tape.gradient(found[1], x).dtype == dtype


@pytest.mark.parametrize("first", ["_operators", "_dtypes"])
def test_operators_are_the_same_in_whatever_order_modules_are_imported(first):
    code = f"""
import numpy as np
import minicnn.keras.{first}, minicnn.keras._operators, minicnn.keras._dtypes
from minicnn.data.elements import EagerArray
print((np.arange(3) / np.ones(3, "float32").view(EagerArray)).dtype)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "float32", run.stderr


ASSIGNING = {
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "*=": operator.imul,
}


@pytest.mark.parametrize("name", ASSIGNING)
@pytest.mark.parametrize("other", [np.arange(1, 4), np.linspace(0.5, 3, 3), [1, 2, 3], np.float64(2)])
def test_assigning_operators_make_tensors_of_the_same_dtype(name, other):
    value = np.array([0.5, 1.5, 2.75], np.float32)
    expected = OPERATORS[name[:-1]](value.astype(np.float64), np.asarray(other, np.float64))
    tensor = before = tf.convert_to_tensor(value)
    tensor = ASSIGNING[name](tensor, other)
    np.testing.assert_array_equal(before, value)
    x = tf.Variable(value)
    with tf.GradientTape():
        recorded = ASSIGNING[name](x * 1, other)
    for found in (tensor, recorded):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_functions_of_numpy_that_are_no_operators_keep_their_dtypes():
    """2²⁴ + 1, which float32 does not hold, is no less than 2²⁴ + 1, and more than 2²⁴."""
    whole, x = np.array([2**24 + 1]), tf.Variable(np.float32([2**24]))
    with tf.GradientTape():
        assert np.greater(whole, x * 1).item() and np.arctan2(whole.astype(float), x * 1).dtype == np.float64
    tensor = x * 1
    assert np.multiply(tensor, np.float64([2])).dtype == np.float64
    assert np.tanh(tensor).dtype == np.sum(tensor).dtype == np.float32
    assert np.add.reduce(tensor).dtype == np.float32 and np.multiply.outer(np.float64(2), tensor).dtype == np.float64


BINARY = {
    "add": np.add,
    "arctan2": np.arctan2,
    "divide_no_nan": np.divide,
    "hypot": np.hypot,
    "logaddexp": np.logaddexp,
    "logaddexp2": np.logaddexp2,
    "maximum": np.maximum,
    "multiply": np.multiply,
    "power": np.power,
}


@pytest.mark.parametrize("is_by_name", [False, True])
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_arrays_compute_on_a_tape_in_the_wider_dtype(name, is_by_name):
    """As ``keras.ops`` does: in float64 beside an array of float64, in whatever order, by place or by name."""
    x = tf.Variable(np.linspace(0.25, 1.5, 5, dtype=np.float32))
    beside = np.linspace(0.1, 2, 5)
    for is_first in (True, False):
        with tf.GradientTape() as tape:
            pair = (beside, x * 1) if is_first else (x * 1, beside)
            named = {"x1": pair[0], "x2": pair[1]}
            found = getattr(ops, name)(**named) if is_by_name else getattr(ops, name)(*pair)
        assert found.dtype == np.float64
        own = x.numpy().astype(np.float64)
        np.testing.assert_allclose(found, BINARY[name](*((beside, own) if is_first else (own, beside))), rtol=1e-14)
        assert tape.gradient(found, x).dtype == np.float32


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "power", "divide", "matmul", "outer", "inner"])
def test_functions_of_ops_on_a_tape_have_keras_s_dtypes(name):
    """``ops.f(float32, int64)`` is float32 and ``ops.f(float32, float64)`` float64, on a tape as elsewhere."""
    value = np.linspace(0.25, 1.5, 9).reshape(3, 3).astype(np.float32)
    x = tf.Variable(value)
    arrays = [np.arange(1, 10).reshape(3, 3), value]
    for other, dtype in ((np.int64, "float32"), (np.int32, "float32"), (np.float64, "float64"), (np.uint8, "float32")):
        beside = np.arange(1, 10).reshape(3, 3).astype(other)
        for swapped in (False, True):
            with tf.GradientTape() as tape:
                given = (beside, x * 1) if swapped else (x * 1, beside)
                found = getattr(ops, name)(*given)
            assert found.dtype == dtype
            expected = getattr(np, name)(*(each.astype(np.float64) for each in arrays[:: 1 if swapped else -1]))
            np.testing.assert_allclose(found, expected, rtol=1e-5)
            assert tape.gradient(found, x).dtype == "float32"
