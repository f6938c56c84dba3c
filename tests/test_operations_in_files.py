"""Operations of keras.ops in files that are several layers here, as Keras 3.15.1 writes them: against NumPy."""

import json
import math

import numpy as np
import pytest
from oracles import assert_close

import minicnn as mc
from minicnn.errors import FileFormatError
from minicnn.keras import models  # noqa: F401  with which functions are called by name
from minicnn.saving.keras import named_recipes

RNG = np.random.default_rng(0)
X, Y = (RNG.choice([-1, 1], (3, 4, 5, 2)) * RNG.uniform(0.2, 2, (3, 4, 5, 2)).astype(np.float32) for _ in range(2))
Y[0] = X[0]


def tensor(name, dtype="float32", shape=(None, 4, 5, 2)):
    history = {"shape": list(shape), "dtype": dtype, "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": history}


def array(values):
    return {"class_name": "__numpy__", "config": {"value": np.asarray(values).tolist(), "dtype": "float32"}}


def model_of(class_name, args, *output, **config):
    """A model of inputs and one operation, from its JSON."""
    return mc.models.model_from_json(json.dumps(model_entry(class_name, args, *output, **config)))


def model_entry(class_name, args, output=0, shape=(None, 4, 5, 2), inputs=("x", "y"), **config):
    """The entry of such a model."""
    kwargs = {"constant_values": config.pop("constant_values", None)} if class_name == "Pad" else {}
    calls = [{"args": args, "kwargs": kwargs}]
    entries = [
        {
            "module": "keras.layers",
            "class_name": "InputLayer",
            "config": {"batch_shape": list(shape), "dtype": "float32", "sparse": False, "name": name},
            "name": name,
            "inbound_nodes": [],
        }
        for name in inputs
    ]
    entries.append(
        {
            "module": "keras.src.ops.numpy",
            "class_name": class_name,
            "config": {"name": "op", **config},
            "registered_name": class_name,
            "name": "op",
            "inbound_nodes": calls,
        }
    )
    ends = {"input_layers": [[name, 0, 0] for name in inputs], "output_layers": ["op", 0, output]}
    model = {"name": "model", "trainable": True, "layers": entries} | ends
    return {"class_name": "Functional", "config": model, "module": "keras.src.models.functional"}


A, B = tensor("x"), tensor("y")
BOOL = tensor("x", "bool"), tensor("y", "bool")
ROW, WEIGHTS, MATRIX = [2.0, -1.0], RNG.uniform(0.5, 2, (4, 1, 2)), RNG.normal(size=(2, 3))
ERF = np.vectorize(math.erf)
SIGMOID = 1 / (1 + np.exp(-X))
TANH_GELU = 0.5 * X * (1 + np.tanh(np.sqrt(2 / np.pi) * (X + 0.044715 * X**3)))
SIDES = [[0, 0], [1, 2], [0, 1], [2, 0]]
SUMS = {"axis": -1, "keepdims": False}
CASES = {
    "max": (("Max", [A], {"axis": -1, "keepdims": True, "initial": None}), X.max(-1, keepdims=True)),
    "max of two axes": (("Max", [A], {"axis": [1, -1], "keepdims": False, "initial": None}), X.max((1, 3))),
    "min": (("Min", [A], {"axis": 2, "keepdims": False, "initial": None}), X.min(2)),
    "prod": (("Prod", [A], {"axis": [1, 3], "keepdims": False, "dtype": None}), X.prod((1, 3))),
    "std": (("Std", [A], {"axis": [1, 2], "keepdims": False}), X.std((1, 2))),
    "var": (("Var", [A], {"axis": 1, "keepdims": True}), X.var(1, keepdims=True)),
    "logsumexp": (("Logsumexp", [A], SUMS), np.log(np.exp(X).sum(-1))),
    "norm": (("Norm", [A], SUMS | {"ord": None}), np.linalg.norm(X, axis=-1)),
    "norm, 1": (("Norm", [A], SUMS | {"ord": 1}), np.abs(X).sum(-1)),
    "norm, ∞": (("Norm", [A], SUMS | {"ord": math.inf}), np.abs(X).max(-1)),
    "normalize": (
        ("Normalize", [A], {"axis": 1, "order": 2, "epsilon": None}),
        X / np.linalg.norm(X, axis=1, keepdims=True),
    ),
    "normalize over two axes": (
        ("Normalize", [A], {"axis": [1, 2], "order": 2, "epsilon": 1e-12}),
        X / np.sqrt((X**2).sum(axis=(1, 2), keepdims=True)),
    ),
    "argmax": (("Argmax", [A], {"axis": 1, "keepdims": False}), X.argmax(1)),
    "argmin": (("Argmin", [A], {"axis": 2, "keepdims": True}), X.argmin(2, keepdims=True)),
    "any": (("Any", [BOOL[0]], SUMS), (X > 0).any(-1)),
    "all": (("All", [BOOL[0]], SUMS), (X > 0).all(-1)),
    "count": (("CountNonzero", [A], {"axis": 1}), np.count_nonzero(X, axis=1)),
    "log_softmax": (("LogSoftmax", [A], {"axis": 1}), X - np.log(np.exp(X).sum(1, keepdims=True))),
    "expand_dims": (("ExpandDims", [A], {"axis": -2}), X[:, :, :, None]),
    "split": (("Split", [A], {"indices_or_sections": 2, "axis": 1}, 1), X[:, 2:]),
    "split, at": (("Split", [A], {"indices_or_sections": [1, 3], "axis": 2}, 1), X[:, :, 1:3]),
    "unstack": (("Unstack", [A], {"num": None, "axis": 2}, 3), X[:, :, 3]),
    "stack": (("Stack", [[A, B]], {"axis": -1}), np.stack([X, Y], -1)),
    "repeat": (("Repeat", [A], {"repeats": 3, "axis": 2}), X.repeat(3, 2)),
    "tile": (("Tile", [A], {"repeats": [2, 1, 3]}), np.tile(X, (2, 1, 3))),
    "flip": (("Flip", [A], {"axis": [1, -1]}), np.flip(X, (1, 3))),
    "roll": (("Roll", [A], {"shift": -2, "axis": 2}), np.roll(X, -2, 2)),
    "swapaxes": (("Swapaxes", [A], {"axis1": 1, "axis2": -1}), X.swapaxes(1, 3)),
    "moveaxis": (("Moveaxis", [A], {"source": -1, "destination": 1}), np.moveaxis(X, -1, 1)),
    "take": (("Take", [A, [1, -1, 0]], {"axis": 1}), X.take([1, -1, 0], 1)),
    "take one": (("Take", [A, 1], {"axis": -1}), X[..., 1]),
    "pad": (("Pad", [A], {"pad_width": SIDES, "mode": "constant"}), np.pad(X, SIDES)),
    "pad, 7": (
        ("Pad", [A], {"pad_width": SIDES, "mode": "constant", "constant_values": 7}),
        np.pad(X, SIDES, constant_values=7),
    ),
    "pad, images": (
        ("Pad", [A], {"pad_width": [*SIDES[:3], [0, 0]], "mode": "constant"}),
        np.pad(X, [*SIDES[:3], [0, 0]]),
    ),
    "reflected": (
        ("Pad", [A], {"pad_width": [*SIDES[:3], [1, 1]], "mode": "reflect"}),
        np.pad(X, [*SIDES[:3], [1, 1]], mode="reflect"),
    ),
    "symmetric": (("Pad", [A], {"pad_width": SIDES, "mode": "symmetric"}), np.pad(X, SIDES, mode="symmetric")),
    "x / y": (("TrueDivide", [A, B], {}), X / Y),
    "2 / x": (("Divide", [2.0, A], {}), 2 / X),
    "an array / x": (("TrueDivide", [array(WEIGHTS), A], {}), WEIGHTS / X),
    "a list · x": (("Multiply", [[ROW], A], {}), X * ROW),
    "max(x, an array)": (("Maximum", [A, array(WEIGHTS[None])], {}), np.maximum(X, WEIGHTS)),
    "min(a row, x)": (("Minimum", [array(ROW), A], {}), np.minimum(ROW, X)),
    "2^x": (("Power", [2.0, A], {}), 2**X),
    "x // 0.5": (("FloorDivide", [A, 0.5], {}), X // 0.5),
    "x % 0.5": (("Mod", [A, 0.5], {}), X % 0.5),
    "x % -2": (("Mod", [A, -2], {}), X % -2),
    "x > 0.5": (("Greater", [A, 0.5], {}), X > 0.5),
    "0.5 > x": (("Greater", [0.5, A], {}), X < 0.5),
    "x ≥ y": (("GreaterEqual", [A, B], {}), X >= Y),
    "x < a row": (("Less", [A, array(ROW)], {}), X < ROW),
    "x ≤ y": (("LessEqual", [A, B], {}), X <= Y),
    "x = y": (("Equal", [A, B], {}), X == Y),
    "x ≠ y": (("NotEqual", [A, B], {}), X != Y),
    "and": (("LogicalAnd", BOOL, {}), (X > 0) & (Y > 0)),
    "or": (("LogicalOr", BOOL, {}), (X > 0) | (Y > 0)),
    "a sum of what is true": (("Add", BOOL, {}), (X > 0) | (Y > 0)),
    "xor": (("LogicalXor", BOOL, {}), (X > 0) ^ (Y > 0)),
    "not": (("LogicalNot", BOOL[:1], {}), X <= 0),
    "where": (("Where", [BOOL[0], B, A], {}), np.where(X > 0, Y, 0)),
    "where, numbers": (("Where", [BOOL[0], 3, -2.5], {}), np.where(X > 0, 3, -2.5)),
    "where, one number": (("Where", [BOOL[0], -1.0, B], {}), np.where(X > 0, -1, Y)),
    "where, an array": (("Where", [BOOL[0], B, array(WEIGHTS)], {}), np.where(X > 0, Y, WEIGHTS)),
    "to integers": (("Cast", [A], {"dtype": "int32"}), np.trunc(X)),
    "to float32": (("Cast", [A], {"dtype": "float32"}), X),
    "to bool": (("Cast", [A], {"dtype": "bool"}), X != 0),
    "trunc": (("Trunc", [A], {}), np.trunc(X)),
    "round": (("Round", [A], {"decimals": 0}), np.round(X)),
    "zeros": (("ZerosLike", [A], {"dtype": None}), 0 * X),
    "ones": (("OnesLike", [A], {"dtype": None}), 0 * X + 1),
    "gelu": (("Gelu", [A], {"approximate": True}), TANH_GELU),
    "gelu, exact": (("Gelu", [A], {"approximate": False}), X * (1 + ERF(X / np.sqrt(2))) / 2),
    "hard_sigmoid": (("HardSigmoid", [A], {}), np.clip(X / 6 + 0.5, 0, 1)),
    "hard_silu": (("HardSilu", [A], {}), X * np.clip(X / 6 + 0.5, 0, 1)),
    "erf": (("Erf", [A], {}), ERF(X)),
    "glu": (("Glu", [A], {"axis": -1}), X[..., :1] * SIGMOID[..., 1:]),
    "tan": (("Tan", [A], {}), np.tan(X)),
    "expm1": (("Expm1", [A], {}), np.expm1(X)),
    "triu": (("Triu", [A], {"k": -1}), np.triu(X, -1)),
    "tril": (("Tril", [A], {"k": 0}), np.tril(X)),
    "squareplus": (("Squareplus", [A], {"b": 4}), (X + np.sqrt(X**2 + 4)) / 2),
    "matmul": (("Matmul", [A, array(MATRIX)], {}), X @ MATRIX),
    "tensordot": (("Tensordot", [A, array(MATRIX)], {"axes": 1}), X @ MATRIX),
    "max_pool": (
        ("MaxPool", [A], {"pool_size": 2, "strides": 2, "padding": "valid", "data_format": "channels_last"}),
        X[:, :, :4].reshape(3, 2, 2, 2, 2, 2).max((2, 4)),
    ),
    "average_pool": (
        ("AveragePool", [A], {"pool_size": [2, 1], "strides": [2, 1], "padding": "same", "data_format": None}),
        X.reshape(3, 2, 2, 5, 2).mean(2),
    ),
    "resize": (
        ("Resize", [A], {"size": [8, 5], "interpolation": "nearest", "antialias": False, "data_format": None}),
        X.repeat(2, 1),
    ),
    "crop": (
        ("CropImages", [A], {"top_cropping": 1, "bottom_cropping": 1, "right_cropping": 1, "target_width": 3}),
        X[:, 1:3, 1:4],
    ),
}


def inputs_of(args):
    """What is 0 or 1 where the file says that it is boolean."""
    is_boolean = any(isinstance(t, dict) and t.get("config", {}).get("dtype") == "bool" for t in args)
    is_first, is_second = is_boolean, args is BOOL
    return [(X > 0).astype("float32") if is_first else X, (Y > 0).astype("float32") if is_second else Y]


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    (class_name, args, config, *output), expected = CASES[name]
    model = model_of(class_name, args, *output, **config)
    assert_close(model.predict(inputs_of(args), verbose=0), np.asarray(expected, float), 1e-5)


def test_one_hot():
    x = RNG.integers(0, 5, (3, 4)).astype(np.float32)  # 4 is none of the classes
    config = {"num_classes": 4, "axis": -1, "dtype": "float32", "sparse": False}
    model = model_of("OneHot", [tensor("x", "int32", (None, 4))], shape=(None, 4), **config)
    assert_close(model.predict([x, x], verbose=0), np.eye(5)[x.astype(int)][..., :4], 1e-6)


def test_numbers_that_are_none_are_replaced():
    x = np.array([[np.nan, 1, -np.inf, np.inf]], np.float32)
    model = model_of("NanToNum", [tensor("x", shape=(None, 4))], shape=(None, 4), nan=2.0, posinf=None, neginf=None)
    np.testing.assert_array_equal(model.predict([x, x], verbose=0), np.nan_to_num(x, nan=2))


def test_logarithms_of_little_more_than_one():
    x = np.array([[1e-9, -1e-8, 0.5, 3]], np.float32)
    found = {
        name: model_of(name, [tensor("x", shape=(None, 4))], shape=(None, 4)).predict([x, x], verbose=0)
        for name in ("Log1p", "Expm1")
    }
    np.testing.assert_allclose(found["Log1p"], np.log1p(x.astype(float)), rtol=1e-6)
    np.testing.assert_allclose(found["Expm1"], np.expm1(x.astype(float)), rtol=1e-6)


def test_products_of_matrices():
    model = model_of("Matmul", [tensor("x", shape=(None, 4, 4)), tensor("y", shape=(None, 4, 4))], shape=(None, 4, 4))
    a, b = RNG.normal(size=(2, 3, 4, 4)).astype(np.float32)
    assert_close(model.predict([a, b], verbose=0), a @ b, 1e-5)
    vectors = model_of("Matmul", [tensor("x", shape=(None, 2)), array(MATRIX)], shape=(None, 2))
    assert_close(vectors.predict([a[0, :, :2], b[0, :, :2]], verbose=0), a[0, :, :2] @ MATRIX, 1e-5)


@pytest.mark.parametrize("name", ["max", "prod", "std", "logsumexp", "normalize", "gelu", "pad, 7", "roll"])
def test_gradients(name):
    (class_name, args, config, *output), _ = CASES[name]
    mc.gradcheck(model_of(class_name, args, *output, inputs=("x",), **config))


NAMED = {
    "round": (("Round", [A], {"decimals": 1}), np.round(X, 1)),
    "mod": (("Mod", [A, 0.3], {}), np.mod(X, np.float32(0.3))),
    "squareplus": (("Squareplus", [A], {"b": 2}), (X + np.sqrt(X**2 + 2)) / 2),
    "norm": (("Norm", [A], {"axis": [1, 2], "ord": 2, "keepdims": False}), np.linalg.norm(X, 2, (1, 2))),
    "sort": (("Sort", [A], {"axis": 1}), np.sort(X, 1)),
    "argsort": (("Argsort", [A], {"axis": 1}), np.argsort(X, 1)),
    "top_k": (("TopK", [A], {"k": 2, "sorted": True}), np.sort(X)[..., ::-1]),
    "top_k, places": (("TopK", [A], {"k": 2, "sorted": True}, 1), np.argsort(X)[..., ::-1]),
    "median": (("Median", [A], {"axis": [1, 2], "keepdims": True}), np.median(X, (1, 2), keepdims=True)),
    "quantile": (
        ("Quantile", [A, 0.3], {"axis": 1, "method": "linear", "keepdims": False}),
        np.quantile(X.astype(float), 0.3, 1),
    ),
    "cumsum": (("Cumsum", [A], {"axis": 1, "dtype": None}), np.cumsum(X, 1)),
    "diff": (("Diff", [A], {"n": 1, "axis": 2}), np.diff(X, axis=2)),
    "arctan2": (("Arctan2", [A, B], {}), np.arctan2(X, Y)),
    "arctan2, of an array": (("Arctan2", [array(ROW), A], {}), np.arctan2(ROW, X)),
    "einsum": (("Einsum", [A, B], {"subscripts": "bhwc,bhwd->bcd"}), np.einsum("bhwc,bhwd->bcd", X, Y)),
    "einsum, with an array": (("Einsum", [array(MATRIX), A], {"subscripts": "cd,bhwc->bd"}), (X @ MATRIX).sum((1, 2))),
    "trace": (
        ("Trace", [A], {"offset": 1, "axis1": 1, "axis2": 2}),
        np.trace(X, 1, 1, 2),
    ),
    "average": (
        ("Average", [A], {"axis": -1, "weights": array([1.0, 3.0])}),
        (X[..., 0] + 3 * X[..., 1]) / 4,
    ),
    "dot": (("Dot", [A, array(MATRIX)], {}), X @ MATRIX),
    "average, by place": (("Average", [A, array([1.0, 3.0])], {"axis": -1}), (X[..., 0] + 3 * X[..., 1]) / 4),
    "power": (("Power", [2.0, A], {}), 2.0**X),
}
"""Operations that are called by their names, where `minicnn.keras` is."""


@pytest.mark.parametrize("name", NAMED)
def test_functions_by_name(name):
    (class_name, args, config, *output), expected = NAMED[name]
    model = model_of(class_name, args, *output, **config)
    assert_close(model.predict([X, Y], verbose=0), np.asarray(expected, float), 1e-5)


def test_functions_by_name_need_the_package_that_has_them(monkeypatch):
    monkeypatch.setattr(named_recipes, "is_known", lambda name: False)
    with pytest.raises(FileFormatError, match=r"import minicnn\.keras, which calls it by its name"):
        model_of("Sort", [A], axis=-1)


def test_an_operation_that_is_called_twice_is_layers_that_are():
    """One operation of several calls is what Keras writes of an operation that a script has made itself."""
    entry = model_entry("Std", [tensor("x")], axis=[1, 2], keepdims=True)
    entry["config"]["layers"][-1]["inbound_nodes"].append({"args": [tensor("y")], "kwargs": {}})
    entry["config"]["output_layers"] = [["op", 0, 0], ["op", 1, 0]]
    found = mc.models.model_from_json(json.dumps(entry)).predict([X, Y], verbose=0)
    for y, x in zip(found, (X, Y), strict=True):
        assert_close(y, x.std((1, 2), keepdims=True), 1e-5)
    entry["config"]["layers"][-1] |= {"class_name": "Add", "config": {"name": "op"}}
    for node, number in zip(entry["config"]["layers"][-1]["inbound_nodes"], (1, 2), strict=True):
        node["args"] = [tensor("x"), number]
    with pytest.raises(FileFormatError, match="is called several times, with arguments for which it is different"):
        mc.models.model_from_json(json.dumps(entry))


REFUSED = {
    "Split": ([A], {"indices_or_sections": 3, "axis": 0}),
    "Flip": ([A], {"axis": None}),
    "Max": ([A], {"axis": None, "keepdims": False, "initial": None}),
    "Cast": ([A], {"dtype": "uint8"}),
    "Matmul": ([A, tensor("y", shape=(None, 2))], {}),
    "Add": ([A, tensor("y", shape=(None, 2))], {}),
    "Tile": ([A], {"repeats": [2, 1, 1, 1]}),
    "Pad": ([A], {"pad_width": [[1, 1], [0, 0], [0, 0], [0, 0]], "mode": "constant"}),
    "Stack": ([[A, B]], {"axis": 0}),
    "Greater": ([A, math.inf], {}),
    "Divide": (["x", A], {}),
    "Take": ([A, [4]], {"axis": 1}),
    "Sort": ([A], {"axis": 0}),
    "Einsum": ([A, B], {"subscripts": "bhwc,xhwc->bhw"}),
    "Resize": ([tensor("x", "uint8")], {"size": [8, 5], "interpolation": "bilinear"}),
    "RGBToGrayscale": ([tensor("x", "uint8", (None, 4, 5, 3))], {"data_format": None}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_mixes_samples_or_has_no_layers_is_refused(name):
    args, config = REFUSED[name]
    with pytest.raises(FileFormatError, match=rf"operation 'op' \({name}\): there are no layers that do the same"):
        model_of(name, args, **config)


@pytest.mark.parametrize("axis", [[1, 1], [1, -3], [2, -2, 3]])
@pytest.mark.parametrize("name", ["Max", "Var"])
def test_an_axis_that_is_named_twice_is_refused(name, axis):
    options = {"axis": axis, "keepdims": False} | ({"initial": None} if name == "Max" else {})
    with pytest.raises(FileFormatError, match="there are no layers that do the same"):
        model_of(name, [A], **options)
