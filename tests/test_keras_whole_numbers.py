"""Whole numbers among a model's tensors, and TensorFlow's shapes, texts and dtypes: the numbers are of 2.21."""

import copy
import json
import warnings

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf
from minicnn.keras.layers import Lambda

X = np.array([[1, 3, -3], [-1, 0, 0]], "float32")


def of(function, dtype, x=X, output_shape=None):
    """What a model gives that consists of this function."""
    tensor = keras.Input((3,), dtype=dtype)
    return keras.Model(tensor, function(tensor)).predict(x, verbose=0)


@pytest.mark.parametrize(
    ("function", "factor"),
    [
        (lambda x: tf.reduce_mean(x, axis=1), 1),
        (lambda x: tf.reduce_mean(tf.reshape(x, (-1, 3)), axis=1), 1),
        (lambda x: tf.reduce_mean(x + x, axis=1), 2),
        (lambda x: tf.reduce_mean(x * 2, axis=1), 2),
    ],
)
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_a_mean_of_whole_numbers_is_cut_off(dtype, function, factor):
    numbers = abs(X) if dtype == "uint8" else X
    expected = np.trunc(factor * numbers.astype("float64").sum(1) / 3)  # 2 or 4 and 0; 0 and 0
    np.testing.assert_array_equal(of(Lambda(function), dtype, numbers), expected)
    x = np.array([[1, 3, 0], [2, 1, 4] if dtype == "uint8" else [-2, -1, 4]], "float32")
    cut = [2, 1 if dtype == "uint8" else -1]
    np.testing.assert_array_equal(of(Lambda(lambda x: tf.reduce_mean(x[:, :2], axis=1)), dtype, x), cut)
    made = of(lambda x: ops.mean(x, axis=1), dtype, numbers)
    np.testing.assert_allclose(made, numbers.astype("float64").mean(1), rtol=1e-6)  # as in Keras


def test_what_is_cast_to_whole_numbers_loses_its_fractions():
    half = X / 2
    np.testing.assert_array_equal(of(lambda x: ops.cast(x, "int32"), None, half), [[0, 1, -1], [0, 0, 0]])
    np.testing.assert_array_equal(of(lambda x: tf.cast(x, tf.bool), None, half), [[1, 1, 1], [1, 0, 0]])
    steps = of(Lambda(lambda x: tf.cast(tf.cast(x * 255, tf.int32), tf.float32) / 255), None, X / 7)
    expected = [[0.14117648, 0.427451, -0.427451], [-0.14117648, 0, 0]]
    np.testing.assert_allclose(steps, expected, rtol=1e-6)
    np.testing.assert_array_equal(of(lambda x: ops.cast(x, "float32"), None, half), half)


def test_a_cast_is_in_a_file(tmp_path):
    tensor = keras.Input((3,))
    model = keras.Model(tensor, ops.cast(tensor, "int32"))
    model.save(tmp_path / "model.keras")
    made = keras.models.load_model(tmp_path / "model.keras").predict(X / 2, verbose=0)
    np.testing.assert_array_equal(made, [[0, 1, -1], [0, 0, 0]])


def test_quotients_rounded_down_and_what_is_left():
    np.testing.assert_array_equal(of(lambda x: x // 2, "int32"), [[0, 1, -2], [-1, 0, 0]])
    np.testing.assert_array_equal(of(lambda x: x % 2, "int32"), [[1, 1, 1], [1, 0, 0]])
    third = X / 3
    np.testing.assert_array_equal(of(lambda x: x // 0.5, None, third), [[0, 2, -2], [-1, 0, 0]])
    np.testing.assert_allclose(of(lambda x: x % 0.5, None, third), [[1 / 3, 0, 0], [1 / 6, 0, 0]], atol=1e-7)
    shifted = third + np.float32(0.1)
    np.testing.assert_array_equal(of(lambda x: 2 // x, None, shifted), [[4, 1, -3], [-9, 20, 20]])
    expected = [[0.26666665, 0.9, -0.7], [-0.1, 0.09999997, 0.09999997]]
    np.testing.assert_allclose(of(lambda x: 2 % x, None, shifted), expected, atol=2e-7)
    np.testing.assert_array_equal(of(lambda x: x // 49, "int32", X * 49), X)  # 49 · (1 / 49) is less than 1


def test_sums_and_products_have_the_dtype_of_what_is_added():
    for dtype, total, product in (("uint8", 44, 32), ("int16", 300, 20000), ("int64", 300, 20000)):
        x = np.array([200, 100], dtype)
        assert (tf.reduce_sum(x).dtype, tf.reduce_sum(x).item()) == (dtype, total)
        assert (tf.reduce_prod(x).dtype, tf.reduce_prod(x).item()) == (dtype, product)
    for name in ("mean", "sum", "prod", "max", "min"):
        with pytest.raises(TypeError, match=f"tf.reduce_{name} takes numbers"):
            getattr(tf, f"reduce_{name}")(np.array([True]))
    assert tf.reduce_any([True, False]).item() is True


def gradient(function, at=1.0):
    x = tf.constant(at)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    slope = tape.gradient(y, x)
    return y.numpy(), None if slope is None else slope.numpy()


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_numbers_divided_by_zero_on_a_tape():
    for divided in (lambda x: x / 0.0, lambda x: x / 0, lambda x: tf.divide(x, 0.0), lambda x: ops.divide(x, 0)):
        assert gradient(divided) == (np.inf, np.inf)
    assert gradient(lambda x: x / -0.0) == (-np.inf, -np.inf)
    assert gradient(lambda x: 0.0**x) == (0, 0) and gradient(lambda x: (-1.0) ** x) == (-1, 0)


def test_remainders_on_a_tape():
    for rest in (lambda x: x % 0.3, lambda x: tf.math.floormod(x, 0.3), lambda x: ops.mod(x, 0.3)):
        np.testing.assert_allclose(gradient(rest), (0.09999996, 1), rtol=1e-6)
    assert gradient(lambda x: 2.5 % x) == (0.5, -2)


def test_shapes_whose_number_of_axes_is_open():
    unknown = tf.TensorShape(None)
    assert (unknown.rank, unknown.num_elements(), unknown.is_fully_defined()) == (None, None, False)
    assert unknown == tf.TensorShape(None) and unknown is not None and not unknown
    assert unknown.merge_with([1, 2]) == [1, 2] == tf.TensorShape([1, 2]).merge_with(unknown)
    assert unknown.with_rank(2) == [None, None] and unknown.is_compatible_with([1, 2])
    assert tf.TensorShape([1, 2]).is_compatible_with(unknown) and tf.TensorShape([1]).concatenate(unknown) == unknown
    assert tf.TensorShape([1]) != unknown
    for asked in (len, list, lambda shape: shape.as_list()):
        with pytest.raises(ValueError, match="no known number of axes"):
            asked(unknown)


def test_shapes_of_one_number_and_what_is_known_of_two():
    assert tf.TensorShape(3).as_list() == tf.TensorShape(np.int64(3)).as_list() == [3]
    assert tf.TensorShape([None, 2]).merge_with([3, None]) == [3, 2] and tf.TensorShape([1, 2]).with_rank(2) == [1, 2]
    for wrong in (lambda s: s.with_rank(3), lambda s: s.merge_with([1, 3]), lambda s: s.assert_has_rank(1)):
        with pytest.raises(ValueError, match=r"was expected|were expected"):
            wrong(tf.TensorShape([1, 2]))
    with pytest.raises(ValueError, match="without open sizes"):
        tf.TensorShape([1, None]).assert_is_fully_defined()
    with pytest.raises(TypeError, match="made of sizes"):
        tf.TensorShape("ab")


def test_texts_of_numbers():
    def made(numbers, **options):
        return [text.decode() for text in tf.strings.as_string(numbers, **options).numpy()]

    assert made([1.5, 22.25], width=8, fill="0") == ["1.500000", "22.250000"]
    assert made([1.5, 22.25], precision=2, width=8, fill="0") == ["00001.50", "00022.25"]
    assert made([1.5, 22.25], scientific=True) == ["1.500000e+00", "2.225000e+01"]
    assert made([1.5, 1e-10, 1e20], shortest=True) == ["1.5", "1e-10", "1e+20"]
    assert made([1, -22], width=5) == made([1, -22], width=5, fill=" ") == ["    1", "  -22"]
    assert made([1, -22], width=5, fill="0") == ["00001", "-0022"]
    assert made([1, -22], width=5, fill="+") == ["   +1", "  -22"]
    assert made([1, 22], width=5, fill="-") == ["1    ", "22   "]
    assert made([True, False], width=8) == ["true", "false"] and made(["a", "bc"], width=5) == ["    a", "   bc"]
    for options in ({"fill": "x"}, {"scientific": True, "shortest": True}):
        with pytest.raises(ValueError, match=r"fill|one of scientific and shortest"):
            made([1.5], **options)
    with pytest.raises(ValueError, match="precision of floating-point numbers"):
        made([1], precision=2)


ZEROS = "[[0 0 0 ... 0 0 0]\n  [0 0 0 ... 0 0 0]]"


def test_arrays_in_texts():
    def made(*given, template="{}", **options):
        return tf.strings.format(template, given, **options).numpy().decode()

    assert made(tf.range(20)) == "[0 1 2 ... 17 18 19]" and made(tf.range(6)) == "[0 1 2 3 4 5]"
    assert made(tf.range(8), summarize=-1) == "[0 1 2 3 4 5 6 7]"
    numbers = tf.constant([1 / 3, 1e10, 1e-5, 100.0, 1e6, 123456789.0])
    assert made(numbers) == "[0.333333343 1e+10 1e-05 100 1e+06 123456792]"
    assert made(tf.constant([1 / 3, 1e10], "float64")) == "[0.33333333333333331 10000000000]"
    assert made(tf.constant([np.nan, np.inf, -np.inf, -0.0])) == "[nan inf -inf -0]"
    assert made(tf.constant(["x", "y"])) == '["x" "y"]' and made(tf.zeros((0, 3))) == "[]"
    assert made(tf.zeros((8, 2, 8))) == f"[{ZEROS}\n\n {ZEROS}\n\n {ZEROS}\n\n ...\n\n {ZEROS}\n\n {ZEROS}\n\n {ZEROS}]"


def test_what_print_writes_of_tensors(capsys):
    for values, expected in (
        ((tf.constant("x"),), "x"),
        (("a", tf.constant("x")), 'a "x"'),
        (([tf.constant("x"), "y", 1],), "[\"x\", 'y', 1]"),
        (({"b": np.arange(2), "a": tf.constant([1.5])},), "{'a': [1.5], 'b': array([0, 1])}"),
        ((tf.constant(True), False, None), "1 False None"),
        ((tf.constant(0.1, "float16"),), "0.0999755859"),
        ((tf.Variable([[1.5, 2]]),), "[[1.5 2]]"),
        (("loss:", tf.constant(0.123456789), 0.5), "loss: 0.123456791 0.5"),
        ((tf.zeros((7, 1)),), "[[0]\n [0]\n [0]\n ...\n [0]\n [0]\n [0]]"),
    ):
        tf.print(*values)
        assert capsys.readouterr().out == expected + "\n"
    tf.print(tf.range(20), summarize=2)
    assert capsys.readouterr().out == "[0 1 ... 18 19]\n"


def test_texts_that_end_in_zeros():
    assert tf.strings.length(["ab\0", "c"]).numpy().tolist() == [3, 1]
    assert tf.strings.join(["ab\0", "c\0"]).numpy() == b"ab\0c\0" and tf.strings.upper("ab\0").numpy() == b"AB\0"
    assert tf.constant("ab\0").numpy() == b"ab\0"
    assert tf.constant(["ab\0", "c"]).numpy().tolist() == [b"ab\0", b"c"]


def test_dtypes_by_their_names():
    assert tf.dtypes.string == tf.string == tf.as_dtype("string") and tf.dtypes.double == tf.float64
    assert tf.dtypes.half == tf.float16 and tf.dtypes.uint64 == tf.uint64 and tf.as_dtype(np.float32) == tf.float32


def test_numbers_that_are_known():
    made = tf.get_static_value(tf.constant([1, 2]))
    assert type(made) is np.ndarray and made.tolist() == [1, 2]
    assert tf.get_static_value(3) == 3 and tf.get_static_value([1, 2]) == [1, 2]
    assert tf.get_static_value(tf.Variable(1.0)) is None and tf.get_static_value(keras.Input((3,))) is None


def test_seeds_with_fractions_below_zero_and_none():
    drawn = []
    for seed in (1.5, 1, -1, None):
        tf.random.set_seed(seed)
        drawn.append(tf.random.uniform((2,)).numpy().tolist())
    assert drawn[0] == drawn[1] and len({tuple(each) for each in drawn}) == 3


@pytest.mark.parametrize(
    "made", [lambda a, b: a + b, lambda a, b: keras.layers.Rescaling(255.0)(a), lambda a, b: b - a - a]
)
def test_sums_and_multiples_of_bools_are_cast_to_bools(made):
    """Keras 3.15 gives 1 for what is not 0, of a rescaled bool, too; sums of symbolic bools it refuses."""
    a, b = keras.Input((3,), dtype="bool"), keras.Input((3,), dtype="bool")
    model = keras.Model([a, b], keras.ops.cast(keras.ops.cast(made(a, b), "bool"), "float32"))
    x = np.array([[1, 1, 0]], bool)
    assert model.predict([x, np.array([[1, 0, 0]], bool)], verbose=0).tolist() == [[1, 1, 0]]


def test_a_tensor_that_is_added_to_itself_is_looked_at_once(monkeypatch):
    from minicnn.keras import _whole_numbers

    asked, found = [], _whole_numbers._found
    monkeypatch.setattr(_whole_numbers, "_found", lambda node: asked.append(node) or found(node))
    x = keras.Input((2,), dtype="int32")
    for _ in range(12):
        x = keras.layers.Add()([x, x])
    assert _whole_numbers.whole_dtype(x) == "int32" and len(asked) == 12


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_inputs_of_whole_numbers_are_cast(dtype):
    """As in Keras 3.15.1, in a model, in one around it and in training."""
    x = np.array([[1.7, 0.4, 300.2]], "float32") if dtype != "uint8" else np.array([[1.7, 0.4, 30.2]], "float32")
    expected = [[True, True, True]] if dtype == "bool" else [[1, 0, x[0, 2] // 1]]
    tensor = keras.Input((3,), dtype=dtype, name="x")
    assert tensor.dtype == dtype
    inner = keras.Model(tensor, keras.layers.Rescaling(2.0)(tensor))
    outside = keras.Input((3,), name="x")
    outer = keras.Model(outside, inner(outside))
    assert outside.dtype == "float32"
    stack = keras.Sequential(
        [keras.Input((3,)), keras.Sequential([keras.Input((3,), dtype=dtype), keras.layers.Flatten()])]
    )
    np.testing.assert_array_equal(stack.predict(x, verbose=0), expected)
    expected = 2 * np.array(expected, "float32")
    for model in (inner, outer):
        model.compile("sgd", "mse")
        for data in (x, x.astype("float64"), {"x": x}, [x], x.tolist()):
            np.testing.assert_array_equal(model.predict(data, verbose=0), expected)
        for call in (model, model.predict_on_batch):
            np.testing.assert_array_equal(call(x), expected)
        loss = np.mean(expected.astype("float64") ** 2)
        y = np.zeros((1, 3), "float32")
        np.testing.assert_allclose(model.evaluate(x, y, verbose=0), loss, rtol=1e-6)
        np.testing.assert_allclose(model.test_on_batch(x, y), loss, rtol=1e-6)
        np.testing.assert_allclose(model.train_on_batch(x, y), loss, rtol=1e-6)
        logs = model.fit(x=x, y=y, validation_data=(x, y), verbose=0).history
        np.testing.assert_allclose([*logs["loss"], *logs["val_loss"]], [loss, loss], rtol=1e-6)
    np.testing.assert_array_equal(x, np.array([[1.7, 0.4, x[0, 2]]], "float32"))


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "float64"])
def test_whole_numbers_in_an_input_of_bools_are_whether_they_are_not_0(dtype):
    """As in Keras 3.15.1."""
    x = np.array([[1, 2, 0, 7]], dtype)
    tensor = keras.Input((4,), dtype="bool")
    model = keras.Model(tensor, keras.layers.Rescaling(1.0)(tensor))
    model.compile("sgd", "mse")
    for values in (model.predict(x, verbose=0), model(x), model.predict(x.tolist(), verbose=0)):
        np.testing.assert_array_equal(values, [[1, 1, 0, 1]])
    assert model.evaluate(x, np.zeros((1, 4)), verbose=0) == 0.75
    np.testing.assert_array_equal(x, np.array([[1, 2, 0, 7]], dtype))


class _Pairs(keras.utils.Sequence):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.x[2 * index : 2 * index + 2], np.zeros((2, 2), "float32")


# What Keras 3.15.1 with TensorFlow 2.21 hands on, of each dtype.
_GIVEN = np.array([[1.7, -2.3], [255.0, 256.9], [300.0, -1.0], [0.0, 127.5]])
_TAKEN = {
    "bool": [1, 1, 1, 1, 1, 1, 0, 1],
    "uint8": [1, 254, 255, 0, 44, 255, 0, 127],
    "int8": [1, -2, -1, 0, 44, -1, 0, 127],
    "int16": [1, -2, 255, 256, 300, -1, 0, 127],
    "int32": [1, -2, 255, 256, 300, -1, 0, 127],
    "int64": [1, -2, 255, 256, 300, -1, 0, 127],
}


@pytest.mark.parametrize("given", ["float64", "float32", "int64", "int32"])
@pytest.mark.parametrize("dtype", _TAKEN)
def test_whatever_brings_an_input_of_whole_numbers_is_cast(dtype, given):
    x, expected = _GIVEN.astype(given), np.reshape(_TAKEN[dtype], (4, 2)).astype("float32")
    x.setflags(write=False)
    tensor = keras.Input((2,), dtype=dtype)
    model = keras.Model(tensor, keras.layers.Rescaling(1.0)(tensor))
    model.compile("sgd", "mse")
    data = tf.data.Dataset.from_tensor_slices((x, np.zeros((4, 2), "float32"))).batch(2)
    batches = [x[:2], x[2:]]
    made = [model(x), model(tf.constant(x)), model.predict(x, batch_size=3, verbose=0), model.predict_on_batch(x)]
    made += [model.predict(each, verbose=0) for each in (((b,) for b in batches), _Pairs(x), data)]
    for each in made:
        np.testing.assert_array_equal(each, expected)
    loss = np.mean(expected.astype("float64") ** 2)
    for each in (_Pairs(x), data):
        np.testing.assert_allclose(model.evaluate(each, verbose=0), loss, rtol=1e-6)
        logs = model.fit(each, validation_data=each, verbose=0).history
        np.testing.assert_allclose([*logs["loss"], *logs["val_loss"]], loss, rtol=1e-6)


def test_one_input_of_several_is_cast(tmp_path):
    a, b = keras.Input((1,), dtype="int32", name="a"), keras.Input((1,), name="b")
    inner = keras.Model([a, b], keras.layers.Concatenate()([a, b]))
    u, v = keras.Input((1,)), keras.Input((1,))
    outer = keras.Model([u, v], inner([u, v]))
    outer.save(tmp_path / "model.keras")
    half = np.array([[1.5]], "float32")
    for model in (inner, outer, keras.models.load_model(tmp_path / "model.keras")):
        np.testing.assert_array_equal(model.predict([half, half], verbose=0), [[1.0, 1.5]])
    np.testing.assert_array_equal(inner({"a": half, "b": half}), [[1.0, 1.5]])


_HALVES = [[0.5, 1.5, -1.5], [-0.5, 0, 130]]


def _halving(dtype):
    """x / 2 of an input that casts."""
    tensor = keras.Input((3,), dtype=dtype, name="whole")
    return keras.Model(tensor, keras.layers.Rescaling(0.5)(tensor), name="halving")


_BEGINNINGS = {
    "functional": _halving,
    "sequential": lambda dtype: keras.Sequential([keras.Input((3,), dtype=dtype), keras.layers.Rescaling(0.5)]),
    "input layer": lambda dtype: keras.Sequential(
        [keras.layers.InputLayer(shape=(3,), dtype=dtype), keras.layers.Rescaling(0.5)]
    ),
    "within a sequential": lambda dtype: keras.Sequential(
        [keras.Input((3,)), keras.layers.Rescaling(1.0), _halving(dtype)]
    ),
    "within a model": lambda dtype: (x := keras.Input((3,))) is not None and keras.Model(x, _halving(dtype)(x)),
}


def _ways_back(model, folder):
    for suffix in (".keras", ".h5", ".safetensors"):
        for times in ("once", "twice"):
            model.save(folder / f"model{suffix}")
            model = keras.models.load_model(folder / f"model{suffix}")
            yield f"{suffix} {times}", model
    yield "text", keras.models.model_from_json(model.to_json())
    yield "config", type(model).from_config(model.get_config())
    yield "clone", keras.models.clone_model(model)
    rebuilt = keras.models.clone_model(model, clone_function=lambda layer: type(layer).from_config(layer.get_config()))
    yield "clone by a function", rebuilt
    yield "copy", copy.deepcopy(model)


@pytest.mark.parametrize("beginning", _BEGINNINGS)
@pytest.mark.parametrize(
    ("dtype", "expected"), [("int32", [[0.5, 1.5, -1.5], [-0.5, 0, 130]]), ("bool", [[0.5] * 3] * 2)]
)
def test_files_configs_and_clones_hold_the_dtype_of_an_input(beginning, dtype, expected, tmp_path):
    x = np.array([[1.7, 3.9, -3.2], [-1.1, 0.2, 260.9]], "float32")
    model = _BEGINNINGS[beginning](dtype)
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    for way, back in _ways_back(model, tmp_path):
        np.testing.assert_array_equal(back.predict(x, verbose=0), expected, err_msg=way)
        if not beginning.startswith("within"):
            assert back.inputs[0].dtype == back.input.dtype == dtype, way
            assert back.get_config()["layers"][0]["config"]["dtype"] == dtype, way
            np.testing.assert_array_equal(back(x), expected, err_msg=way)


@pytest.mark.parametrize(
    ("dtype", "name", "expected"),
    [
        (np.int32, "int32", [[0.5, 1.5, -1.5]]),
        (np.dtype("int16"), "int16", [[0.5, 1.5, -1.5]]),
        (tf.int32, "int32", [[0.5, 1.5, -1.5]]),
        (int, "int64", [[0.5, 1.5, -1.5]]),
        ("int", "int64", [[0.5, 1.5, -1.5]]),
        (bool, "bool", [[0.5, 0.5, 0.5]]),
        (np.bool_, "bool", [[0.5, 0.5, 0.5]]),
    ],
)
def test_a_dtype_may_be_a_type(dtype, name, expected):
    """Of inputs, their layers and casts; numbers and names of Keras 3.15.1."""
    x = np.array([[1.7, 3.9, -3.2]], "float32")
    tensor = keras.Input((3,))
    cast = keras.Model(tensor, keras.layers.Rescaling(0.5)(ops.cast(tensor, dtype)))
    layer = keras.layers.InputLayer(shape=(3,), dtype=dtype)
    stack = keras.Sequential([layer, keras.layers.Rescaling(0.5)])
    for model in (cast, _halving(dtype), stack, keras.models.model_from_json(_halving(dtype).to_json())):
        np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    assert keras.Input((3,), dtype=dtype).dtype == keras.KerasTensor((None, 3), dtype).dtype == layer.dtype == name


@pytest.mark.parametrize("dtype", ["flaot32", "int33", 7])
@pytest.mark.parametrize("cast", [ops.cast, tf.cast])
def test_what_is_no_dtype_is_refused_for_a_tensor(cast, dtype):
    with pytest.raises(ValueError, match="a dtype is a name such as 'float32'"):
        cast(keras.Input((3,)), dtype)


def test_an_input_layer_has_the_dtype_of_its_config_and_of_its_tensor():
    layer = keras.layers.InputLayer(shape=(3,), dtype="uint8", name="whole")
    again = keras.layers.InputLayer.from_config(layer.get_config())
    assert again.dtype == again.output.dtype == again.get_config()["dtype"] == "uint8"
    around = keras.layers.InputLayer(input_tensor=keras.Input((3,), dtype="int32"))
    stack = keras.Sequential([around, keras.layers.Rescaling(0.5)])
    np.testing.assert_array_equal(stack.predict(np.array([[1.7, 3.9, -3.2]]), verbose=0), [[0.5, 1.5, -1.5]])
    assert around.dtype == around.get_config()["dtype"] == "int32"


class _Around(keras.Model):
    """Has a model that casts among its parts."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.halving = keras.Sequential([keras.Input((3,), dtype="int32"), keras.layers.Rescaling(0.5)])

    def call(self, inputs):
        return self.halving(inputs)

    def get_config(self):
        return {}


@pytest.mark.parametrize("form", [list, tuple])
def test_one_tensor_in_a_list_is_cast(form):
    tensor = keras.Input((3,))
    model = keras.Model(tensor, _halving("int32")(form([tensor])))
    x = np.array([[1.7, 3.9, -3.2], [-1.1, 0.2, 260.9]], "float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), _HALVES)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_a_class_around_a_model_that_casts_comes_back_as_it_is(suffix, tmp_path):
    x = np.array([[1.7, 3.9, -3.2], [-1.1, 0.2, 260.9]], "float32")
    model = _Around()
    model.predict(x, verbose=0)
    model.save(tmp_path / f"model{suffix}")
    back = keras.models.load_model(tmp_path / f"model{suffix}", custom_objects={"_Around": _Around})
    assert type(back) is _Around
    np.testing.assert_array_equal(back.predict(x, verbose=0), _HALVES)


def _keras_tensor(name, dtype):
    config = {"shape": [None, 3], "dtype": dtype, "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def _keras_input(name, dtype):
    config = {"batch_shape": [None, 3], "dtype": dtype, "sparse": False, "ragged": False, "name": name}
    entry = {"module": "keras.layers", "class_name": "InputLayer", "registered_name": None, "name": name}
    return entry | {"config": config, "inbound_nodes": []}


@pytest.mark.parametrize("given", ["float32", "int32"])
def test_a_model_within_a_model_of_keras_casts_what_it_is_given(given):
    """As Keras 3.15.1 writes it, which has no operation there; it gives these numbers."""

    def functional(name, entries, begin, end):
        config = {"name": name, "trainable": True, "layers": entries, "input_layers": begin, "output_layers": end}
        return {"module": "keras.src.models.functional", "class_name": "Functional", "config": config}

    halving = {"module": "keras.layers", "class_name": "Rescaling", "registered_name": None, "name": "half"}
    halving |= {"config": {"name": "half", "trainable": True, "dtype": "float32", "scale": 0.5, "offset": 0.0}}
    halving["inbound_nodes"] = [{"args": [_keras_tensor("whole", "int32")], "kwargs": {}}]
    inner = functional("inner", [_keras_input("whole", "int32"), halving], ["whole", 0, 0], ["half", 0, 0])
    inner |= {"name": "inner", "inbound_nodes": [{"args": [_keras_tensor("x", given)], "kwargs": {}}]}
    outer = functional("outer", [_keras_input("x", given), inner], ["x", 0, 0], ["inner", 1, 0])
    model = keras.models.model_from_json(json.dumps(outer | {"registered_name": "Functional"}))
    made = model.predict(np.array([[1.7, 3.9, -3.2], [-1.1, 0.2, 260.9]], "float32"), verbose=0)
    np.testing.assert_array_equal(made, _HALVES)
    assert ("inner_cast" in [layer.name for layer in model.operations]) == (given == "float32")


@pytest.mark.parametrize("given", ["float32", "int32", "int64"])
def test_a_model_within_a_model_of_keras_2_says_where_nothing_casts(given):
    """Its files do not say what calls are of, unless that is an input."""

    def functional(name, entries, end):
        ends = {"input_layers": [[entries[0]["name"], 0, 0]], "output_layers": [end]}
        return {"class_name": "Functional", "name": name, "config": {"name": name, "layers": entries, **ends}}

    def begin(name, dtype):
        config = {"batch_input_shape": [None, 3], "dtype": dtype, "sparse": False, "ragged": False, "name": name}
        return {"class_name": "InputLayer", "config": config, "name": name, "inbound_nodes": []}

    halving = {"class_name": "Rescaling", "config": {"name": "half", "scale": 0.5, "offset": 0.0}, "name": "half"}
    halving["inbound_nodes"] = [[["whole", 0, 0, {}]]]
    inner = functional("inner", [begin("whole", "int32"), halving], ["half", 0, 0])
    outer = functional("outer", [begin("x", given), inner | {"inbound_nodes": [[["x", 0, 0, {}]]]}], ["inner", 1, 0])
    text = json.dumps(outer | {"keras_version": "2.15.0", "backend": "tensorflow"})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = keras.models.model_from_json(text)
    said = [str(warning.message) for warning in told if "takes numbers of int32: Keras casts" in str(warning.message)]
    assert len(said) == (given != "int32")
    np.testing.assert_array_equal(model.predict(np.array([[1.0, 3.0, -3.0]]), verbose=0), [[0.5, 1.5, -1.5]])


@pytest.mark.parametrize("dtype", ["float16", "int3", 7, ["int32"]])
def test_a_config_with_another_dtype_of_an_input_is_refused(dtype):
    with pytest.raises(ValueError, match="input_dtype is None or one of bool, int8"):
        mc.layers.InputLayer((3,), input_dtype=dtype)


@pytest.mark.parametrize("is_read", [False, True])
def test_a_model_that_casts_within_frames(is_read, tmp_path):
    """Keras's: of 1.5 and 2.5 in a frame it takes 1 and 2, of which it makes 10 and 20."""
    part, video = keras.Input((2,), dtype="int32"), keras.Input((2, 2))
    model = keras.Model(video, keras.layers.TimeDistributed(keras.Model(part, part * 10))(video))
    if is_read:
        model.save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
    x = np.array([[[1.5, 2.5], [-0.5, -3.9]]], "float32")
    for made in (model.predict(x, verbose=0), model(x)):
        np.testing.assert_array_equal(made, [[[10, 20], [0, -30]]])


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("least", [np.float64(0.5), np.full(4, 0.5), np.full(4, 0.5, np.float32)])
def test_limits_of_whole_numbers_are_whole(dtype, least):
    """``ops.clip(np.array([0, 1, 2, 3]), np.float64(.5), 2)`` is [0 1 2 2], there."""
    x = np.arange(4).astype(dtype)
    clipped = ops.clip(x, least, np.int64(2))
    np.testing.assert_array_equal(clipped, np.minimum(x.astype(int), 2))
    assert clipped.dtype.kind in "iu"
    np.testing.assert_array_equal(ops.clip(x * 1.0, least, 2.0), np.clip(x * 1.0, 0.5, 2))  # of floats as they are
