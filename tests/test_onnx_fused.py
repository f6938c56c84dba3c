"""Operators of onnxruntime's optimized files, read as what they were fused from; onnxruntime runs them, too."""

import math

import numpy as np
import pytest
from onnx_files import TOLERANCE, onnx, onnxruntime, run_file
from oracles import assert_close

import minicnn as mc
from minicnn.errors import FileFormatError

DOMAIN = "com.microsoft"
PAD = {"pads": [1, 1, 1, 1]}


def fused(path, nodes, shape=(3, 6, 5), opset=17, domain=DOMAIN, **constants):
    """A file of (operator, inputs, attributes) of that domain, one after the other; "" is the output before."""
    made, before = [], "x"
    for index, (operator, inputs, attributes) in enumerate(nodes):
        given = "y" if index == len(nodes) - 1 else f"v{index}"
        names = [before if name == "" else name for name in inputs]
        made.append(onnx.helper.make_node(operator, names, [given], f"n{index}", domain=domain, **attributes))
        before = given
    kind = onnx.TensorProto.FLOAT
    ends = [onnx.helper.make_tensor_value_info("x", kind, ["N", *shape])], [onnx.ValueInfoProto(name="y")]
    arrays = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = onnx.helper.make_graph(made, "g", *ends, arrays)
    opsets = [onnx.helper.make_opsetid(*entry) for entry in ({domain: 1} | {"": opset}).items()]
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=opsets), path)
    return path


def check(path, shape, rng):
    x = rng.normal(size=(3, *shape)).astype("f4")
    (expected,) = run_file(path, [x]).values()
    y = mc.import_onnx(path).predict(np.moveaxis(x, 1, -1))
    assert_close(np.moveaxis(y, -1, 1), expected, TOLERANCE)


@pytest.mark.parametrize("has_sum", [False, True])
@pytest.mark.parametrize(
    ("activation", "numbers"),
    [
        ("Relu", []),
        ("Sigmoid", []),
        ("Tanh", []),
        ("LeakyRelu", [0.3]),
        ("Clip", [-0.5, 0.75]),
        ("HardSigmoid", [0.3, 0.4]),
    ],
)
@pytest.mark.parametrize("opset", [10, 17])
def test_convolution_sum_and_activation(activation, numbers, opset, has_sum, tmp_path, rng):
    arrays = {"w": rng.normal(size=(3, 3, 3, 3)).astype("f4"), "b": rng.normal(size=3).astype("f4")}
    inputs = ["x", "w", "b"] + (["x"] if has_sum else [])
    options = PAD | {"activation": activation} | ({"activation_params": numbers} if numbers else {})
    path = fused(tmp_path / "f.onnx", [("FusedConv", inputs, options)], opset=opset, **arrays)
    check(path, (3, 6, 5), rng)


def test_product_and_activation(tmp_path, rng):
    arrays = {"w": rng.normal(size=(4, 6)).astype("f4"), "b": rng.normal(size=4).astype("f4")}
    options = {"transB": 1, "alpha": 0.5, "activation": "LeakyRelu", "activation_alpha": 0.2}
    path = fused(tmp_path / "f.onnx", [("FusedGemm", ["x", "w", "b"], options)], (6,), **arrays)
    check(path, (6,), rng)


def test_activations_of_its_own(tmp_path, rng):
    arrays = {"w": rng.normal(size=(3, 3, 1, 1)).astype("f4"), "b": rng.normal(size=5).astype("f4")}
    nodes = [
        ("FusedConv", ["", "w"], {"activation": "Tanh"}),
        ("BiasGelu", ["", "b"], {}),
        ("Gelu", [""], {}),
        ("QuickGelu", [""], {"alpha": 1.5}),
    ]
    check(fused(tmp_path / "f.onnx", nodes, **arrays), (3, 6, 5), rng)


@pytest.mark.parametrize(
    "moves", [{}, {"transA": 1}, {"transB": 1}, {"transBatchA": 1}, {"transA": 1, "transBatchA": 1}]
)
def test_product_of_matrices_with_a_factor(moves, tmp_path, rng):
    """Of (N, heads, rows, columns), which come as (rows, N, heads, columns) where the first axis is moved."""
    perm = [2, 0, 1, 3] if "transBatchA" in moves else [0, 1, 2, 3]
    make = onnx.helper.make_node
    nodes = [
        make("Transpose", ["x"], ["a"], perm=perm),
        make("FusedMatMul", ["a", "x"], ["y"], "p", domain=DOMAIN, alpha=0.3, **moves),
    ]
    ends = [[onnx.helper.make_tensor_value_info("x", 1, ["N", 2, 4, 4])], [onnx.ValueInfoProto(name="y")]]
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid(DOMAIN, 1)]
    graph = onnx.helper.make_graph(nodes, "g", *ends)
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=opsets), tmp_path / "f.onnx")
    x = rng.normal(size=(3, 2, 4, 4)).astype("f4")
    (expected,) = run_file(tmp_path / "f.onnx", [x]).values()
    assert_close(mc.import_onnx(tmp_path / "f.onnx").predict(x), expected, TOLERANCE)


@pytest.mark.parametrize("gives_sum", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
def test_normalized_sum(has_bias, gives_sum, tmp_path, rng):
    arrays = {name: rng.normal(size=6).astype("f4") for name in "gbc"}
    make = onnx.helper.make_node
    inputs = ["x", "r", "g", "b", *(["c"] if has_bias else [])]
    outputs = ["n", "", "", "s"] if gives_sum else ["n"]
    nodes = [
        make("Relu", ["x"], ["r"]),
        make("SkipLayerNormalization", inputs, outputs, "p", domain=DOMAIN, epsilon=0.01),
        make("FastGelu", ["n", "c"], ["h"], domain=DOMAIN),
        make("Add", ["h", "s" if gives_sum else "r"], ["y"]),
    ]
    ends = [[onnx.helper.make_tensor_value_info("x", 1, ["N", 5, 6])], [onnx.ValueInfoProto(name="y")]]
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid(DOMAIN, 1)]
    graph = onnx.helper.make_graph(nodes, "g", *ends, constants)
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=opsets), tmp_path / "f.onnx")
    x = rng.normal(size=(3, 5, 6)).astype("f4")
    (expected,) = run_file(tmp_path / "f.onnx", [x]).values()
    assert_close(mc.import_onnx(tmp_path / "f.onnx").predict(x), expected, TOLERANCE)


def test_what_onnxruntime_has_optimized(tmp_path, rng):
    """A network that onnxruntime itself has fused, on every level that does not fit one machine alone."""
    kernel = {"w": rng.normal(size=(3, 3, 3, 3)).astype("f4"), "v": rng.normal(size=(4, 3, 1, 1)).astype("f4")}
    nodes = [("Conv", ["", "w"], PAD), ("Relu", [""], {}), ("Conv", ["", "v"], {}), ("LeakyRelu", [""], {"alpha": 0.2})]
    plain = fused(tmp_path / "plain.onnx", nodes, domain="", **kernel)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    onnxruntime.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
    names = [node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node]
    assert names == ["FusedConv", "FusedConv"]
    check(tmp_path / "fused.onnx", (3, 6, 5), rng)


@pytest.mark.parametrize(
    ("node", "domain", "message"),
    [
        (("FusedConv", ["x", "w"], {"activation": "Elu"}), DOMAIN, r"'n0' \(FusedConv\): its activation is one of"),
        (("FusedConv", ["x", "w"], {"activation": "Clip", "activation_params": [1.0]}), DOMAIN, "with its numbers"),
        (("FusedConv", ["x", "w"], {"activation": "Relu", "more": 1}), DOMAIN, "attribute 'more' is not supported"),
        (("QuickGelu", ["x"], {"beta": 1.0}), DOMAIN, r"'n0' \(QuickGelu\): attribute 'beta' is not supported"),
        (("NhwcMaxPool", ["x"], {}), DOMAIN, r"'n0' \(NhwcMaxPool\): only ONNX's own operators are supported"),
        (("QGemm", ["x", "w"], {}), DOMAIN, r"'n0' \(QGemm\): it computes in integers of 8 bits.*\(QDQ\)"),
        (("QLinearAdd", ["x", "w"], {}), DOMAIN, r"'n0' \(QLinearAdd\): it computes in integers of 8 bits"),
        (("Conv", ["x", "w"], {}), f"{DOMAIN}.nchwc", r"'n0' \(Conv\): only ONNX's own operators .*one machine"),
    ],
)
def test_what_is_refused(node, domain, message, tmp_path, rng):
    path = fused(tmp_path / "f.onnx", [node], domain=domain, w=rng.normal(size=(3, 3, 1, 1)).astype("f4"))
    with pytest.raises(FileFormatError, match=message):
        mc.import_onnx(path)


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16"])
def test_rounding_that_is_onnxruntimes(kind, tmp_path, rng):
    """What its quantizer writes of 16 bits before opset 21: ONNX's own operators, under another domain."""
    zero = np.array(3, kind)
    nodes = [("QuantizeLinear", ["x", "s", "z"], {}), ("DequantizeLinear", ["", "s", "z"], {})]
    path = fused(tmp_path / "f.onnx", nodes, (6,), s=np.array(0.25, "f4"), z=zero)
    x = (rng.normal(size=(3, 6)) * 100).astype("f4")
    bounds = np.iinfo(kind)
    expected = 0.25 * (np.clip(np.rint(x / 0.25) + 3, bounds.min, bounds.max) - 3)
    (received,) = run_file(path, [x]).values()
    assert np.array_equal(received, expected)
    assert_close(mc.import_onnx(path).predict(x), expected, TOLERANCE)


@pytest.mark.parametrize(
    ("operator", "opset"), [("SimplifiedLayerNormalization", 17), ("RMSNormalization", 18), ("RMSNormalization", 23)]
)
def test_root_mean_square(operator, opset, tmp_path, rng):
    scale = rng.normal(size=6).astype("f4")
    nodes = [(operator, ["x", "w"], {"axis": -1, "epsilon": 0.25, "stash_type": 1})]
    path = fused(tmp_path / "f.onnx", nodes, (6,), opset, domain="", w=scale)
    x = rng.normal(size=(3, 6))
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 0.25) * scale
    assert_close(mc.import_onnx(path).predict(x.astype("f4")), expected, TOLERANCE)


def test_complement_of_the_error_function(tmp_path, rng):
    """tf2onnx leaves it of Keras's GELU; onnxruntime does not know it."""
    path = fused(tmp_path / "f.onnx", [("Erfc", ["x"], {})], (6,), domain="")
    x = rng.normal(size=(3, 6)).astype("f4")
    expected = np.vectorize(math.erfc)(x.astype("f8"))
    assert_close(mc.import_onnx(path).predict(x), expected, TOLERANCE)


@pytest.mark.parametrize("shape", [(5, 6), (5, 4, 6)])
@pytest.mark.parametrize(("operator", "opset"), [("SimplifiedLayerNormalization", 17), ("RMSNormalization", 23)])
def test_root_mean_square_leaves_the_axes_of_an_input(operator, opset, shape, tmp_path, rng):
    """(N, steps, features) became (N, features, steps), as if its parts went over images' widths."""
    nodes = [(operator, ["x", "w"], {"axis": -1, "epsilon": 0.25})]
    path = fused(tmp_path / "f.onnx", nodes, shape, opset, domain="", w=rng.normal(size=6).astype("f4"))
    model = mc.import_onnx(path)
    assert model.input_shape == (None, *shape)
    x = rng.normal(size=(3, *shape)).astype("f4")
    (expected,) = run_file(path, [x]).values()
    assert_close(model.predict(x), expected, TOLERANCE)


def test_root_mean_square_over_other_axes(tmp_path):
    nodes = [("RMSNormalization", ["x", "w"], {"axis": 1})]
    path = fused(tmp_path / "f.onnx", nodes, (5, 6), 23, domain="", w=np.ones((5, 6), "f4"))
    with pytest.raises(FileFormatError, match=r"node 'n0' \(RMSNormalization\): it normalizes the last axis"):
        mc.import_onnx(path)


def test_scaler_of_scikit_learn(tmp_path, rng):
    offset, scale = rng.normal(size=6), rng.uniform(0.5, 2, size=6)
    nodes = [("Scaler", ["x"], {"offset": offset.tolist(), "scale": scale.tolist()})]
    path = fused(tmp_path / "f.onnx", nodes, (6,), domain="ai.onnx.ml")
    x = rng.normal(size=(3, 6))
    assert_close(mc.import_onnx(path).predict(x.astype("f4")), (x - offset) * scale, TOLERANCE)


def test_scaler_of_integers(tmp_path, rng):
    """As skl2onnx writes a StandardScaler that has learnt from whole numbers."""
    path = fused(tmp_path / "f.onnx", [("Scaler", ["x"], {"offset": [3.0], "scale": [0.5]})], (6,), domain="ai.onnx.ml")
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    onnx.save(model, path)
    x = rng.integers(-50, 50, (3, 6))
    assert_close(mc.import_onnx(path).predict(x), (x - 3) * 0.5, TOLERANCE)


@pytest.mark.parametrize(("operator", "reason"), [("ZipMap", "Scaler alone is read"), ("Scaler", "lists of numbers")])
def test_of_scikit_learn_what_is_refused(operator, reason, tmp_path):
    nodes = [(operator, ["x"], {"offset": [1, 2], "scale": [1, 2]})]
    path = fused(tmp_path / "f.onnx", nodes, (2,), domain="ai.onnx.ml")
    with pytest.raises(FileFormatError, match=rf"node 'n0' \({operator}\): .*{reason}"):
        mc.import_onnx(path)


def test_files_that_say_the_version_twice(tmp_path, rng):
    path = fused(tmp_path / "f.onnx", [("Scaler", ["x"], {"offset": [0.5]})], (6,), domain="ai.onnx.ml")
    model = onnx.load(path)
    for version in (17, 18):  # skl2onnx does, and once more with another one would be nonsense
        model.opset_import.append(onnx.helper.make_opsetid("", version))
        onnx.save(model, path)
        if version == 17:
            x = rng.normal(size=(3, 6)).astype("f4")
            assert_close(mc.import_onnx(path).predict(x), x - 0.5, TOLERANCE)
    with pytest.raises(FileFormatError, match=r"one version of ONNX's operators.*\[17, 18\]"):
        mc.import_onnx(path)
