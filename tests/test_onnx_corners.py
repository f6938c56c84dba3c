"""Corners of operators that move numbers: starts before the first index, sizes of 0, negative borders, more axes."""

import numpy as np
import pytest
from onnx_files import check_import, make_file

import minicnn as mc
from minicnn.errors import FileFormatError

C = (np.arange(1, 25, dtype="f4") / 7).reshape(2, 3, 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.onnx"


def i(*numbers):
    return np.array(numbers, np.int64)


def of_constants(path, nodes, opset=17, **constants):
    """A file whose output is x times the sum of what the nodes make of constants, weighted by their places."""
    text = (
        f"g (float[N,4] x) => (float[N,m] y) {{ {nodes} n = Size(k) i = Range(zero, n, one) f = Cast<to=1>(i) "
        "w = Cos(f) last = Constant<value_ints=[-1]>() row = Reshape(k, last) all = Mul(row, w) "
        "sum = ReduceSum<keepdims=0>(all) y = Mul(x, sum) }"
    )
    return make_file(path, text, opset, False, zero=np.int64(0), one=np.int64(1), **constants)


def of_tensor(path, nodes, opset=17, **constants):
    text = f"g (float[N,4,5] x) => (float[a,b,c] y) {{ {nodes} }}"
    return make_file(path, text, opset, False, **constants)


SLICES = {  # start, end, axis, step
    "back from before the first": (-100, -200, 2, -1),
    "back to the first": (3, -(2**63), 1, -1),
    "back to before the first": (2, -50, 1, -1),
    "from before the first": (-100, 3, 2, 1),
    "every other one, back": (4, 0, -1, -2),
}


@pytest.mark.parametrize("case", SLICES)
def test_slices(case, path, rng):
    start, end, axis, step = (i(n) for n in SLICES[case])
    arrays = {"a": start, "b": end, "d": axis, "e": step}
    of_constants(path, "k = Slice(c, a, b, d, e)", c=C, **arrays)
    check_import(path, (4,), rng=rng)
    of_tensor(path, "y = Slice(x, a, b, d, e)", **arrays)
    check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize("shape", [(0, -1), (0, 0, 2, -1), (2, 0, 4), (-1, 4), (6, 4)])
def test_zeros_among_the_sizes_of_an_array(shape, path, rng):
    of_constants(path, "k = Reshape(c, s)", c=C, s=i(*shape))
    check_import(path, (4,), rng=rng)


def test_an_array_that_is_the_same_for_each_sample_counts_one(path, rng):
    nodes = "n = Shape<end=1>(x) s = Concat<axis=0>(n, t) k = Reshape(c, s) y = Add(k, x)"
    of_tensor(path, nodes, c=np.linspace(0, 1, 20, dtype="f4"), t=i(4, 5))
    model = mc.import_onnx(path)
    x = rng.normal(size=(1, 4, 5)).astype("f4")
    np.testing.assert_allclose(model.predict(x), x + np.linspace(0, 1, 20).reshape(4, 5), atol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        ("k = Reshape(c, s)", {"s": i(-2, 4)}, r"\(Reshape\): sizes are numbers from 0 on, or .* Received: \[-2, 4\]"),
        ("k = Tile(c, s)", {"s": i(2)}, r"\(Tile\): it says how often each of 3 axes is repeated. Received: \[2\]"),
        (
            "k = ScatterND(c, s, u)",
            {"s": i(0, 1).reshape(1, 2), "u": np.ones(4, "f4")},
            r"\(ScatterND\): what it puts in has the shape \(1, 4\). Received: \(4,\)",
        ),
        ("k = Trilu(c, s)", {"s": i(0, 1)}, r"\(Trilu\): "),
        ("k = Gather(c, s)", {"s": i(2)}, r"\(Gather\): .*out of bounds"),
        ("k = GatherND(c, s)", {"s": i(-3).reshape(1, 1)}, r"\(GatherND\): .*out of bounds"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(nodes, constants, message, path):
    of_constants(path, nodes, c=C, **constants)
    with pytest.raises(FileFormatError, match=message):
        mc.import_onnx(path)


def test_an_axis_is_cut_once(path):
    of_tensor(path, "y = Slice(x, a, b, d)", a=i(1, 0), b=i(3, 1), d=i(1, -2))
    with pytest.raises(FileFormatError, match=r"\(Slice\): a part begins and ends once on each axis"):
        mc.import_onnx(path)


@pytest.mark.parametrize("pads", [(0, 0, -1, 0, 0, 2), (0, 0, 2, 0, 0, -1), (0, -1, 1, 0, 1, -2), (0, 0, -3, 0, 0, 1)])
@pytest.mark.parametrize("mode", ["wrap", "reflect", "edge"])
def test_a_border_is_one_of_what_a_negative_one_leaves(mode, pads, path, rng):
    of_tensor(path, f'y = Pad<mode="{mode}">(x, p)', 19, p=i(*pads))
    check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)


MORE_AXES = {
    "a condition": ("y = Where(c, x, z)", {"c": np.full((1, 1, 1, 1), True), "z": np.float32(0)}),
    "another number": ("y = Where(c, x, z)", {"c": np.array(True), "z": np.zeros((1, 1, 1, 1), "f4")}),
    "a number of two": ("g = Greater(x, z) y = Where(g, x, c)", {"z": np.float32(0), "c": np.ones((1, 1, 1, 1), "f4")}),
    "a bound": ("y = Max(x, z)", {"z": np.zeros((1, 1, 1, 1), "f4")}),
    "what is compared with": ("g = Greater(x, z) y = Cast<to=1>(g)", {"z": np.zeros((1, 1, 1, 1), "f4")}),
    "an exponent": ("y = Pow(x, z)", {"z": np.full((1, 1, 1, 1), 2, "f4")}),
}


@pytest.mark.parametrize("case", MORE_AXES)
def test_numbers_do_not_add_axes(case, path):
    """The output would have an axis before the samples, and was given without it."""
    nodes, constants = MORE_AXES[case]
    of_tensor(path, nodes, **constants)
    with pytest.raises(FileFormatError, match=r"numbers beside a tensor of 3 axes have no more .*\(1, 1, 1, 1\)"):
        mc.import_onnx(path)


@pytest.mark.parametrize("condition", [True, False])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_a_condition_that_is_known(condition, shape, path, rng):
    of_tensor(path, "y = Where(c, x, z)", c=np.full(shape, condition), z=np.float32(3))
    if condition:
        check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)


COMPARED = {
    "not": "g = Greater(x, z) n = Not(g) y = Where(n, x, t)",
    "both": "g = Greater(x, z) l = Less(x, t) b = And(g, l) y = Where(b, x, z)",
    "either": "g = Less(x, z) l = Greater(x, t) b = Or(g, l) y = Cast<to=1>(b)",
    "an array": "g = Less(x, z) b = And(m, g) o = Or(b, m) n = Not(b) w = And(o, n) y = Where(w, x, t)",
    "any number but 0": "r = Relu(x) c = Cast<to=9>(r) n = Not(c) a = Cast<to=1>(n) y = Sub(a, x)",
    "a place": "i = ArgMax<axis=2>(x) c = Cast<to=9>(i) y = Where(c, x, t)",
    "as sums": "g = Greater(x, z) n = Not(g) a = Cast<to=1>(g) b = Cast<to=1>(n) c = Mul(a, x) e = Mul(b, t) "
    "y = Add(c, e)",
}


@pytest.mark.parametrize("case", COMPARED)
def test_what_comparisons_give_is_put_together(case, path, rng):
    """Of a condition, tf2onnx makes factors of 0 and 1, by Not and Cast."""
    numbers = {"z": np.float32(0), "t": np.float32(0.7), "m": rng.random((4, 5)) < 0.5}
    of_tensor(path, COMPARED[case], **numbers)
    check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)


def test_shapes_that_are_spread_over_each_other(path, rng):
    """Of einsum, tf2onnx makes a product of matrices, for samples and heads counted together: Max, ReduceProd."""
    nodes = (
        "s = Shape<end=2>(x) t = Shape(x) i = Constant<value_ints=[0,1]>() s2 = Gather(t, i) both = Max(s, s2) "
        "p = ReduceProd<keepdims=1>(s) rest = Constant<value_ints=[5,1]>() end = Constant<value_ints=[1,5]>() "
        "c = Concat<axis=0>(p, rest) d = Concat<axis=0>(p, end) a = Reshape(x, c) b = Reshape(x, d) m = MatMul(a, b) "
        "back = Constant<value_ints=[-1]>() e = Concat<axis=0>(both, back) y = Reshape(m, e)"
    )
    of_tensor(path, nodes)
    check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize("operator", ["Max(n, two)", "ReduceProd<keepdims=0>(c)"])
def test_numbers_of_samples_that_are_calculated_with_are_refused(operator, path):
    """The larger one of N and 2 is not known, nor are N · N samples anything."""
    nodes = (
        "n = Shape<end=1>(x) two = Constant<value_ints=[2]>() c = Concat<axis=0>(n, n) "
        f"m = {operator} u = Constant<value_ints=[-1]>() r = Reshape(m, u) s = Concat<axis=0>(r, u) y = Reshape(x, s)"
    )
    of_tensor(path, nodes)
    with pytest.raises(FileFormatError, match="it calculates with the number of samples"):
        mc.import_onnx(path)


@pytest.mark.parametrize("operator", ["ReduceL1", "ReduceL2", "ReduceSumSquare"])
def test_sums_over_no_axes(operator, path, rng):
    """onnxruntime takes moduli and squares of an array, ONNX says that it stays as it is."""
    of_constants(path, f"k = {operator}<noop_with_empty_axes=1>(c)", 18, c=C - 1)
    with pytest.raises(FileFormatError, match=rf"\({operator}\): over no axes some programs"):
        mc.import_onnx(path)
    of_constants(path, "k = ReduceSum<noop_with_empty_axes=1>(c)", 18, c=C - 1)
    check_import(path, (4,), rng=rng)


@pytest.mark.parametrize("nodes", ["y = Max(x, z)", "y = Min(z, x)", "y = Clip(x, z)", "y = Clip(x, , z)"])
def test_a_bound_is_a_number(nodes, path):
    """Of a bound that is none, onnxruntime makes outputs that are none, or takes no notice."""
    of_tensor(path, nodes, z=np.float32("nan"))
    with pytest.raises(FileFormatError, match=r"\((Max|Min|Clip)\): its bounds are numbers. Received: .*nan"):
        mc.import_onnx(path)


@pytest.mark.parametrize("keeps", [0, 1])
@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceSum", "ReduceL2"])
@pytest.mark.parametrize("axes", [(1, 2), (1, 3), (2, 4), (1, 2, 4)])
def test_sums_over_axes_that_are_apart(axes, operator, keeps, path, rng):
    """Of GroupNormalization, Keras's exporter makes means over rows, columns and a part of the channels."""
    text = f"y = {operator}<keepdims={keeps}>(s, a)"
    nodes = f"c = Conv(x, w) t = Constant<value_ints=[0,2,3,5,2]>() s = Reshape(c, t) {text}"
    graph = f"g (float[N,3,5,2] x) => (float[a] y) {{ {nodes} }}"
    arrays = {"w": rng.normal(size=(6, 3, 1, 1)).astype("f4"), "a": i(*axes)}
    make_file(path, graph, 18, False, **arrays)
    check_import(path, (3, 5, 2), rng=rng, images_out=False)


@pytest.mark.parametrize("divisor", [2, 7, 49, -3])
@pytest.mark.parametrize("shift", [0, 1, -30])
def test_integers_are_divided_towards_zero(shift, divisor, path, rng):
    """The row of the greatest number of a map is that number's place, divided by the width."""
    nodes = "r = Reshape(x, f) p = ArgMax<axis=1>(r) s = Add(p, t) q = Div(s, d) y = Cast<to=1>(q)"
    graph = f"g (float[N,21,7] x) => (float[a,b] y) {{ {nodes} }}"
    make_file(path, graph, 17, False, f=i(0, -1), t=np.int64(shift), d=np.int64(divisor))
    x = np.zeros((147, 21, 7), "f4")
    x.reshape(147, -1)[np.diag_indices(147)] = 1  # each place once
    quotients = [[int((place + shift) / divisor)] for place in range(147)]
    np.testing.assert_array_equal(mc.import_onnx(path).predict(x), quotients)


@pytest.mark.parametrize(
    "nodes",
    [
        *("q = Div(d, p)", "q = Div(p, o)", "s = Add(p, d) q = Div(p, s)", "s = Mul(p, p) t = Add(p, p) q = Div(s, t)"),
        *("s = ReduceSum<keepdims=1>(p, a) q = Div(s, p)", "s = ReduceMax<axes=[1]>(p) q = Div(s, p)"),
        *("s = Sub(p, p) m = Max(s, p) q = Div(m, p)", "g = Greater(p, o) w = Where(g, p, d) q = Div(w, p)"),
        *("s = Neg(p) t = Abs(p) q = Div(s, t)", "m = Max(p, d) n = Relu(p) q = Div(m, n)"),
        *(
            "g = Greater(p, o) v = Where(g, d, o) w = Where(g, o, d) q = Div(v, w)",
            "c = Concat<axis=1>(p, p) q = Div(c, c)",
        ),
        *("s = Pad(p, k) q = Div(s, s)", "s = Slice(p, a, e, a) q = Div(s, s)", "t = Tile(p, r) q = Div(t, t)"),
    ],
)
def test_other_quotients_of_integers_are_refused(nodes, path):
    constants = {"d": np.int64(5), "o": np.int64(0), "a": i(1), "e": i(3), "k": i(0, 1, 0, 0, 1, 0), "r": i(1, 2, 1)}
    of_tensor(path, f"p = ArgMax<axis=2>(x) {nodes} y = Cast<to=1>(q)", **constants)
    with pytest.raises(FileFormatError, match=r"\(Div\): integers are divided by a number of the file"):
        mc.import_onnx(path)


def test_powers_of_integers(path, rng):
    x = rng.normal(size=(3, 4, 5)).astype("float32")
    nodes = "p = ArgMax<axis=2>(x) q = Pow(p, e) y = Cast<to=1>(q)"
    of_tensor(path, nodes, e=np.float32(2))
    np.testing.assert_array_equal(mc.import_onnx(path).predict(x), np.square(x.argmax(2)[..., None]))
    of_tensor(path, nodes, e=np.float32(0.5))
    with pytest.raises(FileFormatError, match=r"\(Pow\): powers of integers are cut off there"):
        mc.import_onnx(path)


@pytest.mark.parametrize(
    "nodes",
    [
        *(
            "q = Flatten(p)",
            "q = Reshape(p, r)",
            "q = Transpose<perm=[0,2,1]>(p)",
            "s = Unsqueeze(p, a) q = Squeeze(s, a)",
        ),
        *("t = Transpose<perm=[0,2,1]>(p) q = MatMul(p, t)", "q = Concat<axis=1>(p, p)", "q = CumSum(p, b)"),
        *("q, s = TopK<axis=1>(p, a)", "q = ReduceMax<axes=[2]>(p)", "q = ReduceProd<axes=[2]>(p)", "q = Sub(p, d)"),
        *("q = Mod(p, d)", "q = Trilu(p)", "q = Clip(p, d)", "q = Expand(p, e)", "q = Gather<axis=1>(p, a)"),
    ],
)
def test_what_becomes_of_integers_is_integers(nodes, path):
    """So a mean of them is refused, which ONNX cuts off."""
    constants = {"a": i(1), "b": np.array(1), "d": np.int32(2), "r": i(-1, 2, 2), "e": i(1, 4, 3)}
    read = {name: array for name, array in constants.items() if f" {name})" in nodes}
    text = f"t0 = ArgMax<axis=2>(x) p = Cast<to=6>(t0) {nodes} m = ReduceMean<axes=[1]>(q) y = Cast<to=1>(m)"
    of_tensor(path, text, **read)
    with pytest.raises(FileFormatError, match=r"\(ReduceMean\): means of integers are cut off there"):
        mc.import_onnx(path)


def test_means_of_integers_are_refused(path, rng):
    nodes = "g = Greater(x, z) i = Cast<to={}>(g) m = ReduceMean<axes=[2]>(i) y = Cast<to=1>(m)"
    of_tensor(path, nodes.format(6), z=np.float32(0))
    with pytest.raises(FileFormatError, match=r"\(ReduceMean\): means of integers are cut off there"):
        mc.import_onnx(path)
    of_tensor(path, "p = ArgMax<axis=2>(x) s = Add(p, p) a = Abs(s) m = ReduceMean<axes=[1]>(a) y = Cast<to=1>(m)")
    with pytest.raises(FileFormatError, match=r"\(ReduceMean\): means of integers are cut off there"):
        mc.import_onnx(path)
    of_tensor(path, nodes.format(1), z=np.float32(0))
    check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)
