"""What a mask chooses in ONNX files, beside NaN and infinity: none of it comes through from what is not taken."""

import numpy as np
import pytest
from onnx_files import exported, make_file, run_file

import minicnn as mc
from minicnn import layers
from minicnn.errors import FileFormatError, ShapeError

ROWS = "float[N,4,5]"
OPSET = 17


def f(number):
    return np.array(number, "f4")


def check(path, nodes, x, tmp_path, opset=OPSET, **constants):
    """The file's numbers are onnxruntime's, NaN and infinity among them, also once it is written and read again."""
    make_file(path, f"g ({ROWS} x) => ({ROWS} y) {{ {nodes} }}", opset, **constants)
    (expected,) = run_file(path, [x]).values()
    model = mc.import_onnx(path)
    np.testing.assert_allclose(model.predict(x), expected, 1e-5, 1e-6)
    again = tmp_path / "again.onnx"
    exported(model, again)
    (written,) = run_file(again, [x]).values()
    np.testing.assert_allclose(written, expected, 1e-5, 1e-6)
    np.testing.assert_allclose(mc.import_onnx(again).predict(x), expected, 1e-5, 1e-6)
    return expected


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@pytest.fixture
def x(rng):
    numbers = rng.normal(size=(3, 4, 5)).astype("f4")
    numbers[:, 0, :3] = 0, -1, 2
    return numbers


NOT_TAKEN = {
    "NaN first": "g = Greater(x, z) l = Log(x) y = Where(g, l, x)",
    "NaN behind": "g = Less(x, z) l = Log(x) y = Where(g, x, l)",
    "NaN beside a number": "g = Greater(x, z) s = Sqrt(x) y = Where(g, s, t)",
    "infinity": "g = Equal(x, z) r = Reciprocal(x) y = Where(g, x, r)",
    "infinity that is taken": "g = Equal(x, z) r = Reciprocal(x) y = Where(g, r, x)",
    "two numbers": "g = Greater(x, z) y = Where(g, p, n)",
    "an array": "l = Log(x) y = Where(c, l, x)",
    "NaN is no number's equal": "l = Log(x) g = Equal(l, l) y = Where(g, l, x)",
    "nor is it another's": "l = Log(x) g = Equal(l, x) o = Not(g) y = Where(o, x, l)",
    "NaN, asked for": "l = Log(x) o = IsNaN(l) y = Where(o, x, l)",
    "infinity, asked for": "r = Reciprocal(x) l = Log(r) o = IsInf(l) y = Where(o, x, l)",
    "NaN is True": "l = Log(x) o = Cast<to=9>(l) y = Where(o, x, l)",
    "NaN is on no side": "l = Log(x) a = Greater(l, z) b = LessOrEqual(l, z) o = Or(a, b) y = Where(o, l, x)",
}


@pytest.mark.parametrize("case", NOT_TAKEN)
def test_of_what_is_not_taken_nothing_comes_through(case, path, x, tmp_path):
    constants = {"z": f(0), "t": f(3), "p": f(np.inf), "n": f(-np.inf), "c": x[0] > 0}
    with np.errstate(all="ignore"):
        check(path, NOT_TAKEN[case], x, tmp_path, **constants)


def test_a_softmax_of_rows_that_a_mask_leaves_nothing_of(path, x, tmp_path):
    nodes = "g = Greater(x, z) s = Where(g, x, n) y = Softmax(s)"
    x[0, 1] = -abs(x[0, 1])
    found = check(path, nodes, x, tmp_path, z=f(0), n=f(-np.inf))
    assert np.isnan(found[0, 1]).all()
    nodes = nodes.replace("y = ", "p = ") + " q = IsNaN(p) y = Where(q, z, p)"
    assert check(path, nodes, x, tmp_path, z=f(0), n=f(-np.inf))[0, 1].tolist() == [0] * 5


@pytest.mark.parametrize("nodes", ["s = Add(x, m) y = Softmax(s)", "s = Add(m, x) p = Softmax(s) y = Mul(p, x)"])
def test_a_row_that_a_mask_of_the_file_leaves_nothing_of(nodes, path, x, tmp_path):
    mask = np.zeros((4, 5), "f4")
    mask[0], mask[1, 2:] = -np.inf, -np.inf
    assert np.isnan(check(path, nodes, x, tmp_path, m=mask)[:, 0]).all()


INFINITE = {
    "a sum": "y = Add(x, m)",
    "a difference": "y = Sub(m, x)",
    "one number": "y = Add(x, p)",
    "a quotient": "y = Div(x, m)",
    "an extreme": "y = Max(m, x)",
    "what a mask takes": "g = Greater(x, z) y = Where(g, x, m)",
    "a sum, and a softmax": "s = Add(x, m) r = Relu(s) y = Min(r, x)",
}


@pytest.mark.parametrize("case", INFINITE)
def test_infinite_numbers_of_the_file(case, path, x, tmp_path):
    m = np.array([1, -np.inf, np.inf, 2, -3], "f4") * np.ones((4, 1), "f4")
    check(path, INFINITE[case], x, tmp_path, m=m, p=f(np.inf), z=f(0))


@pytest.mark.parametrize("low", [-np.inf, np.finfo("f4").min, -2.0])
def test_bounds_of_infinite_numbers(low, path, x, tmp_path):
    nodes = "r = Reciprocal(x) n = Neg(r) k = Clip(n, l) y = Clip(k, l, h)"
    with np.errstate(all="ignore"):
        check(path, nodes, x, tmp_path, l=f(low), h=f(np.finfo("f4").max))


def test_numbers_that_are_none_are_refused(path):
    make_file(path, f"g ({ROWS} x) => ({ROWS} y) {{ g = Greater(x, z) y = Where(g, x, n) }}", z=f(0), n=f(np.nan))
    with pytest.raises(FileFormatError, match=r"\(Where\): .*`otherwise` must be a finite number.*nan"):
        mc.import_onnx(path)


HALVES = [1 + 2**-11, 1 + 3 * 2**-11, 65519, 65520, 1e-8, 3e-8, 2049, 2051, -1e5, np.nan, 0.1, 6.1e-5]
"""Between two numbers of float16, too large, too small and denormal ones."""


def test_float16_has_the_digits_of_float16(path, tmp_path):
    x = f(HALVES * 5)
    found = check(path, "h = Cast<to=10>(x) y = Cast<to=1>(h)", x.reshape(3, 4, 5), tmp_path)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found.ravel(), x.astype("f2"))


def test_what_is_computed_in_float16_is_rounded_before(path):
    """onnxruntime leaves both casts out there."""
    make_file(path, f"g ({ROWS} x) => ({ROWS} y) {{ h = Cast<to=10>(x) r = Relu(h) y = Cast<to=1>(r) }}")
    x = f(HALVES * 5)
    found = mc.import_onnx(path).predict(x.reshape(3, 4, 5))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found.ravel(), np.maximum(x.astype("f2"), 0))


# ---------------------------------------------------------------------------------------------------------- the layer


def test_what_is_not_taken_has_no_gradient(backend):
    """Neither NaN nor infinity of the one that is not taken comes back, nor a product of 0 with it."""
    mask, a, b, dy = f([[1, 0, -1]]), f([[2, np.nan, np.inf]]), f([[-np.inf, 3, 4]]), f([[5, 6, 7]])
    inputs = [mc.Input((3,)) for _ in range(3)]
    model = mc.Model(inputs, layers.Select()(inputs))
    np.testing.assert_array_equal(model.predict([mask, a, b]), f([[2, 3, 4]]))
    found = model.input_gradients([mask, a, b], dy)
    for gradient, expected in zip(found, ([0, 0, 0], [5, 0, 0], [0, 6, 7]), strict=True):
        np.testing.assert_array_equal(gradient, f([expected]))


def test_what_a_layer_that_selects_is_told():
    x = mc.Input((3,))
    assert layers.Select(chosen=-np.inf).get_config()["chosen"] == "-inf"
    with pytest.raises(ValueError, match=r"`otherwise` must be a finite number"):
        layers.Select(otherwise=np.nan)
    with pytest.raises(ShapeError, match=r"Select with chosen=1.0, otherwise=None needs 2 inputs, a mask first"):
        layers.Select(chosen=1.0)([x, x, x])


@pytest.mark.parametrize("suffix", ["safetensors"])
def test_infinite_numbers_in_files(suffix, tmp_path):
    x = mc.Input((3,))
    model = mc.Model(x, layers.Select(otherwise=-np.inf)([x, x]))
    model.save(tmp_path / f"m.{suffix}")
    found = mc.load_model(tmp_path / f"m.{suffix}").predict(f([[1, -1, np.nan]]))
    np.testing.assert_array_equal(found, f([[1, -np.inf, -np.inf]]))


def test_a_mask_that_is_an_input_leaves_nothing_of_a_row(path, x):
    """As PyTorch writes attention with a mask: rows of NaN become 0."""
    make_file(
        path,
        f"g ({ROWS} x, {ROWS} m) => ({ROWS} y) "
        "{ s = Add(x, m) p = Softmax<axis=-1>(s) q = IsNaN(p) y = Where(q, zero, p) }",
        OPSET,
        zero=f(0),
    )
    mask = np.zeros_like(x)
    mask[:, 1] = -np.inf
    (expected,) = run_file(path, [x, mask]).values()
    assert not expected[:, 1].any()
    np.testing.assert_allclose(mc.import_onnx(path).predict([x, mask]), expected, 1e-5, 1e-6)


@pytest.mark.parametrize("node", ["Max(x, inf)", "Min(x, low)", "Clip(x, inf)"])
def test_a_bound_that_nothing_keeps_is_refused(node, path):
    make_file(path, f"g ({ROWS} x) => ({ROWS} y) {{ y = {node} }}", OPSET, inf=f(np.inf), low=f(-np.inf))
    with pytest.raises(FileFormatError):
        mc.import_onnx(path)


def test_division_by_fewer_axes_is_written(tmp_path, rng):
    a, b = mc.Input((4, 3, 2)), mc.Input((2,))
    model = mc.Model([a, b], a / b)
    exported(model, tmp_path / "division.onnx")
    xs = [rng.normal(size=(3, 4, 3, 2)).astype("f4"), rng.uniform(1, 2, (3, 2)).astype("f4")]
    (found,) = run_file(tmp_path / "division.onnx", xs).values()
    np.testing.assert_allclose(found, xs[0] / xs[1][:, None, None], rtol=1e-5)
