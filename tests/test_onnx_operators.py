"""Operators of ONNX files that few exporters write, each as onnxruntime computes it."""

import numpy as np
import pytest
from onnx_files import channels_last, check_import, make_file
from oracles import assert_close

import minicnn as mc

IMAGES = "g (float[N,3,6,5] x) => (float[N,c,h,w] y)"
VECTORS = "g (float[N,6] x) => (float[N,m] y)"
SIGNALS = "g (float[N,3,8] x) => (float[N,c,l] y)"
VOLUMES = "g (float[N,2,4,3,6] x) => (float[N,c,d,h,w] y)"
NUMBERS = np.linspace(-2, 3, 12, dtype="f4").reshape(2, 6)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def i(*numbers):
    return np.array(numbers, np.int64)


ON_IMAGES = {
    "selu of other numbers": ("y = Selu<alpha=1.2, gamma=0.7>(z)", {}),
    "selu with one other number": ("y = Selu<gamma=0.7>(z)", {}),
    "celu": ("y = Celu<alpha=0.4>(z)", {}),
    "channels beside each other": ("y = LRN<size=3, alpha=0.6, beta=0.6, bias=1.5>(z)", {}),
    "every second row": ("y = Slice(z, a, e, r, s)", {"a": i(1), "e": i(6), "r": i(2), "s": i(2)}),
    "every third column from the first": ("y = Slice(z, a, e, r, s)", {"a": i(0), "e": i(9), "r": i(3), "s": i(3)}),
    "rows and columns": ("y = Slice(z, a, e, r, s)", {"a": i(0, 1), "e": i(5, 5), "r": i(2, 3), "s": i(2, 2)}),
    "rows backwards": ("y = Slice(z, a, e, r, s)", {"a": i(-1), "e": i(-9), "r": i(2), "s": i(-2)}),
    "every second channel": ("y = Slice(z, a, e, r, s)", {"a": i(0), "e": i(3), "r": i(1), "s": i(2)}),
    "a number divided by an image": ("e = Exp(z) y = Div(k, e)", {"k": np.float32(3)}),
    "channels divided by an image": ("e = Exp(z) y = Div(k, e)", {"k": np.arange(1, 4, dtype="f4").reshape(3, 1, 1)}),
    "behind normalization": (
        "n = BatchNormalization(z, g, b, m, v) p = Mul(n, k) s = Sub(t, p) d = Div(s, q) y = Add(d, k)",
        {
            **{name: np.array([1, 2, 3], "f4") * n for name, n in zip("gbmv", (1, -1, 0.5, 0.7), strict=True)},
            **{name: np.array([2, -1, 3], "f4").reshape(3, 1, 1) * n for name, n in zip("ktq", (1, 2, 4), strict=True)},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ON_IMAGES)
@pytest.mark.parametrize("channels", ["last", "first"])
def test_on_images(case, channels, path, rng):
    """Behind a pooling, where the model's images have their channels last, and where nothing asks for that."""
    nodes, constants = ON_IMAGES[case]
    is_last = channels == "last" or "LRN" in nodes or "BatchN" in nodes
    first = "z = MaxPool<kernel_shape=[1,1]>(x)" if channels == "last" else "z = Identity(x)"
    path = make_file(path, f"{IMAGES} {{ {first} {nodes} }}", **constants)
    check_import(path, (3, 6, 5), rng=rng, images_in=is_last, images_out=is_last)


FOLDED = {
    "a reciprocal": ("k = Reciprocal(c)", {}),
    "a sigmoid": ("k = Sigmoid(c)", {}),
    "a softplus": ("k = Softplus(c)", {}),
    "a sum of sizes": ("k = ReduceL1<axes=[0], keepdims=0>(c)", {}),
    "a sum of squares": ("k = ReduceSumSquare<axes=[0], keepdims=0>(c)", {}),
    "a length": ("k = ReduceL2<axes=[0], keepdims=1>(c)", {}),
    "a remainder of the first's sign": ("k = Mod<fmod=1>(c, d)", {"d": np.full(6, 0.7, "f4")}),
    "a remainder of the second's sign": ("n = Mod(u, d) k = Cast<to=1>(n)", {"u": i(-7, 7, 8, -8, 1, 0), "d": i(3)}),
    "some of the axes of an array": ("s = Shape<start=-1>(c) n = Cast<to=1>(s) k = Mul(c, n)", {}),
    "the axes up to one": ("s = Shape<end=1>(c) n = Cast<to=1>(s) k = Mul(c, n)", {}),
    "an axis in the middle": ("s = Shape<start=1, end=2>(c) n = Cast<to=1>(s) k = Mul(c, n)", {}),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLDED)
def test_on_arrays_of_the_file(case, path, rng):
    """The first row is added, so that each number of what was computed counts."""
    nodes, constants = FOLDED[case]
    nodes = f"{nodes} r = Add(k, o) l = Slice(r, a, e, o1) y = Add(x, l)"
    constants = {"c": NUMBERS, "o": np.zeros((2, 6), "f4"), "a": i(0), "e": i(1), "o1": i(0)} | constants
    check_import(make_file(path, f"{VECTORS} {{ {nodes} }}", **constants), (6,), rng=rng)


@pytest.mark.parametrize(("starts", "ends", "axes"), [([1], [2], "axes=[0],"), ([0, 1], [1, 6], ""), ([0], [-1], "")])
def test_parts_of_arrays_before_opset_10(starts, ends, axes, path, rng):
    nodes = f"k = Slice<{axes} starts={starts}, ends={ends}>(c) s = ReduceSum<axes=[0], keepdims=0>(k) "
    nodes += "m = ReduceMax<keepdims=0>(s) y = Add(x, m)"
    check_import(make_file(path, f"{VECTORS} {{ {nodes} }}", 9, c=NUMBERS), (6,), rng=rng)


@pytest.mark.parametrize(
    ("text", "shape", "node"),
    [
        (SIGNALS, (3, 8), "MaxPool<kernel_shape=[3], strides=[2]>"),
        (SIGNALS, (3, 8), "AveragePool<kernel_shape=[3], strides=[2], pads=[1,2], count_include_pad=1>"),
        (SIGNALS, (3, 8), "AveragePool<kernel_shape=[2]>"),
        (VOLUMES, (2, 4, 3, 6), "MaxPool<kernel_shape=[1,1,2], strides=[1,1,3]>"),
        (VOLUMES, (2, 4, 3, 6), "MaxPool<kernel_shape=[3,1,1]>"),
        (VOLUMES, (2, 4, 3, 6), "AveragePool<kernel_shape=[1,2,1], pads=[0,1,0,0,0,0], count_include_pad=1>"),
    ],
)
def test_pooling_along_one_axis(text, shape, node, path, rng):
    check_import(make_file(path, f"{text} {{ y = {node}(x) }}"), shape, rng=rng)


def test_images_as_vectors_side_by_side(path, rng):
    """Rows of the product go with the numbers, whose order is another one in the model."""
    text = f"{IMAGES.replace('float[N,c,h,w]', 'float[N,m]')} {{ p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x) "
    text += "a = Flatten(x) b = Flatten(p) r = Relu(b) c = Concat<axis=1>(a, r, b) y = Gemm(c, w, q) }"
    w, q = rng.normal(size=(90 + 2 * 18, 4)).astype("f4"), rng.normal(size=4).astype("f4")
    check_import(make_file(path, text, w=w, q=q), (3, 6, 5), rng=rng)


@pytest.mark.parametrize("opset", [18, 21])
def test_normalization_of_groups(opset, path, rng):
    """One number a group before opset 21, then one a channel; the formula is ONNX's."""
    text = "g (float[N,6,4,3] x) => (float[N,6,4,3] y) { y = GroupNormalization<epsilon=0.01, num_groups=3>(x, s, b) }"
    scale, bias = (rng.normal(size=3 if opset == 18 else 6).astype("f4") for _ in range(2))
    make_file(path, text, opset, checked=False, s=scale, b=bias)  # ONNX's checker wants the newer form
    x = rng.normal(size=(2, 6, 4, 3))
    parts = x.reshape(2, 3, -1)
    parts = (parts - parts.mean(2, keepdims=True)) / np.sqrt(parts.var(2, keepdims=True) + 0.01)
    scale, bias = (np.repeat(n, 6 // n.size)[:, None, None] for n in (scale, bias))
    expected = parts.reshape(x.shape) * scale + bias
    assert_close(mc.import_onnx(path).predict(channels_last(x)), channels_last(expected), 1e-5)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_channels_beside_each_other_in_an_even_number(size, path, rng):
    """Of which onnxruntime knows none; ONNX's words: from c - floor((size - 1) / 2) to c + ceil((size - 1) / 2)."""
    node = f"LRN<size={size}, alpha=0.6, beta=1.2, bias=0.5>"
    make_file(path, f"g (float[N,5,3,2] x) => (float[N,c,h,w] y) {{ y = {node}(x) }}")
    x, expected = rng.normal(size=(2, 5, 3, 2)), np.empty((2, 5, 3, 2))
    for c in range(5):
        near = x[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1]
        expected[:, c] = x[:, c] / (0.5 + 0.6 / size * (near**2).sum(1)) ** 1.2
    assert_close(mc.import_onnx(path).predict(channels_last(x)), channels_last(expected), 1e-5)


SIGNED = {
    "an odd power": "a = Pow(z, three)",
    "an even power": "a = Pow(z, two)",
    "the opposite": "r = Relu(z) a = Neg(r)",
    "a sum": "r = Relu(z) a = Add(r, z)",
    "a sum with channels": "r = Relu(z) m = GlobalAveragePool(r) a = Add(m, z)",
    "a sum of several": "r = Relu(z) a = Sum(r, r, z)",
    "a difference": "r = Relu(z) a = Sub(q, r)",
    "a product": "r = Relu(z) a = Mul(r, z)",
    "a quotient": "e = Exp(z) a = Div(z, e)",
    "the less": "r = Relu(z) a = Min(r, z)",
    "the greater": "r = Relu(z) a = Max(z, r)",
    "one behind the other": "r = Relu(z) a = Concat<axis=1>(r, z)",
    "a shift": "r = Relu(z) a = Sub(r, three)",
    "a factor": "r = Relu(z) a = Mul(r, minus)",
    "a small slope": "a = LeakyRelu<alpha=0.3>(z)",
    "between bounds": "a = Clip(z, minus, two)",
    "above a bound": "a = Clip(z, zero, two)",
    "a root": "e = Abs(z) a = Sqrt(e)",
    "a logarithm": "e = Exp(z) r = Relu(e) a = Log(r)",
    "a mean": "r = Relu(z) m = AveragePool<kernel_shape=[1,1]>(r) a = Sub(m, three)",
    "a part": "a = Slice(z, i0, i2, i1)",
    "a choice": "g = Greater(z, zero) r = Relu(z) a = Where(g, r, z)",
}


@pytest.mark.parametrize("case", SIGNED)
def test_what_may_be_negative(case, path, rng):
    """A border of zeros is more than it, and one of nothing is not: of what is known not to be, both are the same."""
    border = "MaxPool<kernel_shape=[2,2], strides=[2,2], pads=[1,1,1,1]>"
    nodes = f"z = MaxPool<kernel_shape=[1,1]>(x) q = Relu(x) {SIGNED[case]} b = Relu(a) "
    nodes += f"p = {border}(a) l = {border}(b) y = Concat<axis=1>(p, l)"
    numbers = {"two": 2, "three": 3, "minus": -1, "zero": 0}
    numbers = {name: np.float32(number) for name, number in numbers.items() if name in nodes}
    numbers |= {"i0": i(0), "i2": i(2), "i1": i(1)} if "Slice" in nodes else {}
    check_import(make_file(path, f"{IMAGES} {{ {nodes} }}", **numbers), (3, 6, 5), rng=rng)
