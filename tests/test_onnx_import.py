"""Models from ONNX files that are written by hand: onnxruntime says what they should compute."""

import itertools
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_files import TOLERANCE, check_export, check_import, check_round_trip, make_file, onnx, run_file, session
from oracles import assert_close

import minicnn as mc
from minicnn.errors import FileFormatError
from minicnn.layers import Conv2D, Dense, Dropout, Embedding, ReLU
from minicnn.onnx.importer import OPERATORS
from minicnn.onnx.reader import OPSETS
from minicnn.onnx.values import Value, is_last_axis

IMAGES = "g (float[N,2,6,5] x) => (float[N,c,h,w] y)"
VECTORS = "g (float[N,6] x) => (float[N,m] y)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def arrays(**shapes):
    """Random arrays, the same in every run."""
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0.1, 1, shape).astype(np.float32) for name, shape in shapes.items()}


# Nodes between x and y, which are images (N, C, H, W); the arrays that they read; the opset, if it matters.
OF_IMAGES = {
    "conv": ("y = Conv(x, w, b)", arrays(w=(3, 2, 2, 3), b=3)),
    "conv with groups": ("y = Conv<group=2>(x, w)", arrays(w=(4, 1, 3, 3))),
    "conv with dilation": ("y = Conv<dilations=[2,1], pads=[2,1,2,1]>(x, w)", arrays(w=(3, 2, 3, 3))),
    "conv, uneven padding": ("y = Conv<pads=[0,2,1,0]>(x, w)", arrays(w=(3, 2, 3, 3))),
    "conv, auto_pad lower": ('y = Conv<auto_pad="SAME_LOWER", strides=[2,2]>(x, w)', arrays(w=(3, 2, 3, 3))),
    "conv, auto_pad upper": ('y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)', arrays(w=(3, 2, 3, 3))),
    "conv, auto_pad valid": ('y = Conv<auto_pad="VALID">(x, w)', arrays(w=(3, 2, 3, 3))),
    "conv of constant nodes": (
        "w = Constant<value = float[1,2,1,1] {2, 3}>() b = Constant<value_floats = [0.5]>() y = Conv(x, w, b)",
        {},
    ),
    "conv whose kernel is reordered": ("v = Transpose<perm=[3,2,0,1]>(w) y = Conv(x, v)", arrays(w=(2, 3, 2, 4))),
    "max pooling": ("y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)", {}),
    "max pooling, ceil": ("y = MaxPool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1>(x)", {}),
    "max pooling of what ReLU gives, padded": (
        "r = Relu(x) y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(r)",
        {},
    ),
    "max pooling of more than a byte's pixels, unevenly padded": (
        "b = Concat<axis=2>(x, x, x, x) c = Concat<axis=3>(b, b, b, b) "
        "y = MaxPool<kernel_shape=[18,17], strides=[3,2], pads=[5,0,1,16]>(c)",
        {},
    ),
    "max pooling behind -inf": (
        "p = Constant<value_ints=[0,0,0,1,0,0,1,0]>() c = Pad(x, p, v) "
        "y = MaxPool<kernel_shape=[3,2], strides=[2,2]>(c)",
        {"v": np.float32(-np.inf)},
    ),
    "max pooling behind the least number, rounded up": (
        "p = Constant<value_ints=[0,0,1,0,0,0,0,0]>() c = Pad(x, p, v) "
        "y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[0,1,1,0], ceil_mode=1>(c)",
        {"v": np.finfo(np.float32).min},
    ),
    "a large number around images": (
        "p = Constant<value_ints=[0,0,0,1,0,0,2,0]>() c = Pad(x, p, v) y = MaxPool<kernel_shape=[3,2]>(c)",
        {"v": np.float32(-1e7)},
    ),
    "one number around nothing": (
        "p = Constant<value_ints=[0,0,0,0,0,0,0,0]>() c = Pad(x, p, v) y = Conv(c, w)",
        {"v": np.float32(1)} | arrays(w=(1, 2, 1, 1)),
    ),
    "a constant picture": (
        "m = Mul(x, a) d = Sub(b, m) e = Div(d, c) y = Conv(e, w)",
        arrays(a=(6, 5), b=(1, 2, 6, 5), c=(2, 6, 1), w=(1, 2, 1, 1)),
    ),
    "one number a column": (
        "c = Conv(x, w) d = Sub(a, c) e = Max(a, d) y = Sum(e, b, c)",
        arrays(w=(3, 2, 1, 1), a=5, b=(6, 1)),
    ),
    "nothing beside a tensor": (
        "c = Concat<axis=1>(x, a, x) y = Conv(c, w)",
        {"a": np.zeros((1, 0, 6, 5), "f4")} | arrays(w=(1, 4, 1, 1)),
    ),
    "a constant channel": (
        "c = Concat<axis=1>(x, a) y = Conv(c, w)",
        arrays(w=(1, 5, 1, 1)) | {"a": np.full((3, 3, 6, 5), 0.5, "f4")},
    ),
    "channels in another order": (
        "c = Constant<value_ints=[1,0,1]>() g = Gather<axis=1>(x, c) y = Conv(g, w)",
        arrays(w=(2, 3, 1, 1)),
    ),
    "channels in another order, as PyTorch writes them": (
        "t = Transpose<perm=[1,0,2,3]>(x) g = GatherND(t, c) b = Transpose<perm=[1,0,2,3]>(g) y = Conv(b, w)",
        {"c": np.array([[1], [0], [1]])} | arrays(w=(2, 3, 1, 1)),
    ),
    "peaks": ("m = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(x) e = Equal(m, x) k = Cast<to=1>(e) y = Mul(k, x)", {}),
    "the larger of two": ("c = Conv(x, w) g = GreaterOrEqual(c, x) y = Where(g, c, x)", arrays(w=(2, 2, 1, 1))),
    "where a constant says so": (
        "i = Conv(x, w) y = Where(c, i, a)",
        {"c": np.arange(5) > 2} | arrays(a=(6, 5), w=(2, 2, 1, 1)),
    ),
    "softmax over all pixels, opset 11": ("c = Conv(x, w) y = Softmax<axis=2>(c)", arrays(w=(3, 2, 1, 1)), 11),
    "softmax of what a constant hides": (
        "c = Conv(x, w) m = Add(c, a) y = Softmax<axis=3>(m)",
        {"a": np.triu(np.full((6, 5), -np.inf, "f4"), 1)} | arrays(w=(2, 2, 1, 1)),
    ),
    "heads of attention, split as PyTorch writes it": (
        "i = Conv(x, w) s = Constant<value_ints=[0,3,2,2,30]>() q = Reshape(i, s) t = Transpose<perm=[1,0,2,4,3]>(q) "
        "zero = Constant<value_int=0>() a = Gather<axis=0>(t, zero) "
        "one = Constant<value_ints=[1,2]>() r = Gather<axis=0>(t, one) b, d = Split<axis=0, num_outputs=2>(r) "
        "n = Constant<value_ints=[0]>() k = Squeeze(b, n) v = Squeeze(d, n) "
        "f = Constant<value_ints=[-1,30,2]>() l = Reshape(k, f) m = Transpose<perm=[0,2,1]>(l) "
        "u = Constant<value_ints=[-1,2,2,30]>() o = Reshape(m, u) p = MatMul(a, o) h = Softmax(p) e = MatMul(h, v) "
        "g = Transpose<perm=[0,1,3,2]>(e) z = Constant<value_ints=[0,4,6,5]>() j = Reshape(g, z) y = Relu(j)",
        arrays(w=(12, 2, 1, 1)),
        18,
    ),
    "vectors of all pixels, counted with the samples": (
        "c = Conv(x, w) t = Transpose<perm=[0,2,3,1]>(c) s = Constant<value_ints=[-1,4]>() r = Reshape(t, s) "
        "g = Gemm(r, k, b) e = Sigmoid(g) m = Mul(g, e) a = Add(m, r) h = MatMul(a, k) "
        "z = Constant<value_ints=[-1,6,5,4]>() o = Reshape(h, z) u = Transpose<perm=[0,3,1,2]>(o) y = Conv(u, v)",
        arrays(w=(4, 2, 1, 1), k=(4, 4), b=(4,), v=(2, 4, 1, 1)),
    ),
    "one scale along an axis": (
        "d = DequantizeLinear<axis=0>(q, s) y = Conv(x, d)",
        {"q": np.array([[[[3]], [[-5]]]], np.int8), "s": np.array([0.1], np.float32)},
    ),
    "attention of channels": (
        "s = Constant<value_ints=[0,2,-1]>() i = Conv(x, w) f = Reshape(i, s) "
        "t = Transpose<perm=[0,2,1]>(f) m = MatMul(f, t) "
        "a = Softmax(m) v = MatMul(a, f) z = Constant<value_ints=[0,2,6,5]>() r = Reshape(v, z) y = Conv(r, w)",
        arrays(w=(2, 2, 1, 1)),
    ),
    "average pooling": ("y = AveragePool<kernel_shape=[3,2]>(x)", {}),
    "average pooling, padding counts": (
        "y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], count_include_pad=1>(x)",
        {},
    ),
    "average pooling, same": ('y = AveragePool<kernel_shape=[3,3], auto_pad="SAME_UPPER">(x)', {}),
    "global average": ("y = GlobalAveragePool(x)", {}),
    "global maximum": ("y = GlobalMaxPool(x)", {}),
    "mean of rows and columns": ("y = ReduceMean<axes=[2,3]>(x)", {}),
    "maximum of rows and columns": ("y = ReduceMax<axes=[-1,-2]>(x)", {}),
    "lengths of channels' pixels": ("y = ReduceL2<axes=[2,3]>(x)", {}),
    "sums of sizes over channels": ("c = Conv(x, w) y = ReduceL1<axes=[1]>(c)", arrays(w=(3, 2, 1, 1))),
    "sums of squares": ("y = ReduceSumSquare<axes=[2]>(x)", {}),
    "pixels that are repeated": (
        "p = GlobalAveragePool(x) s = Constant<value_ints=[1,2,6,5]>() e = Expand(p, s) y = Mul(e, x)",
        {},
    ),
    "a channel that is repeated": (
        "c = Conv(x, w) s = Constant<value_ints=[1,4,1,1]>() e = Expand(c, s) y = Relu(e)",
        arrays(w=(1, 2, 1, 1)),
    ),
    "tiles": ("t = Constant<value_ints=[1,2,1,3]>() e = Tile(x, t) y = Conv(e, w)", arrays(w=(2, 4, 2, 2))),
    "squeeze and excite": ("s = GlobalAveragePool(x) y = Conv(s, w)", arrays(w=(3, 2, 1, 1))),
    "batch normalization": ("y = BatchNormalization<epsilon=0.1>(x, s, b, m, v)", arrays(s=2, b=2, m=2, v=2)),
    "padding": ("p = Constant<value_ints=[0,0,1,2,0,0,0,3]>() c = Pad(x, p) y = Conv(c, w)", arrays(w=(1, 2, 1, 1))),
    "padding of named axes": (
        "p = Constant<value_ints=[1,2]>() a = Constant<value_ints=[-1]>() c = Pad(x, p, , a) y = Conv(c, w)",
        arrays(w=(1, 2, 1, 1)),
        18,
    ),
    "padding, opset 10": ("c = Pad<pads=[0,0,1,1,0,0,1,1]>(x) y = Conv(c, w)", arrays(w=(1, 2, 1, 1)), 10),
    "shortcut": ("c = Conv(x, w) s = Add(c, x) y = Relu(s)", arrays(w=(2, 2, 1, 1))),
    "sum of three": ("c = Conv(x, w) y = Sum(c, x, c)", arrays(w=(2, 2, 1, 1))),
    "concatenation of channels": ("c = Conv(x, w) y = Concat<axis=1>(c, x)", arrays(w=(3, 2, 1, 1))),
    "concatenation of rows": ("c = Conv(x, w) y = Concat<axis=-2>(c, x)", arrays(w=(2, 2, 1, 1))),
    "softmax over channels": ("c = Conv(x, w) y = Softmax<axis=1>(c)", arrays(w=(3, 2, 1, 1))),
    "layout there and back": (
        "a = Transpose<perm=[0,2,3,1]>(x) b = Transpose<perm=[0,3,1,2]>(a) c = Conv(b, w) "
        "d = Transpose<perm=[0,2,3,1]>(c) e = Relu(d) y = Transpose<perm=[0,3,1,2]>(e)",
        arrays(w=(3, 2, 1, 1)),
    ),
    "a layer used twice": ("a = Conv<pads=[1,1,1,1]>(x, w) y = Conv<pads=[1,1,1,1]>(a, w)", arrays(w=(2, 2, 3, 3))),
    "two layers with one kernel": ("a = Conv<pads=[1,1,1,1]>(x, w) y = Conv(a, w)", arrays(w=(2, 2, 3, 3))),
    "activation read twice": ("a = Conv(x, w) b = Relu(a) y = Add(a, b)", arrays(w=(2, 2, 3, 3))),
    "dropout, opset 11": ("a = Dropout<ratio=0.3>(x) y = Conv(a, w)", arrays(w=(1, 2, 1, 1)), 11),
    "matrix product over channels": (
        "a = Conv(x, v) b = Transpose<perm=[0,2,3,1]>(a) c = MatMul(b, w) y = Transpose<perm=[0,3,1,2]>(c)",
        arrays(v=(3, 2, 1, 1), w=(3, 4)),
    ),
    "max pooling with padding": ("y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)", {}),
    "padded channels": (
        "p = Constant<value_ints=[0,1,0,0,0,0,0,0]>() c = Pad(x, p) y = MaxPool<kernel_shape=[1,1]>(c)",
        {},
    ),
    "softmax over rows": ("c = Conv(x, w) y = Softmax<axis=2>(c)", arrays(w=(1, 2, 1, 1))),
    "softmax over as many rows as channels": ("c = Conv(x, w) y = Softmax<axis=2>(c)", arrays(w=(6, 2, 1, 1))),
    "softmax over columns": ("c = Conv(x, w) y = Softmax<axis=3>(c)", arrays(w=(3, 2, 1, 1))),
    "lengths of columns": ("c = Conv(x, w) y = LpNormalization<axis=3>(c)", arrays(w=(3, 2, 1, 1))),
    "flattened images as the output": ("c = Conv(x, w) y = Flatten(c)", arrays(w=(2, 2, 1, 1))),
    "batch normalization behind a convolution": (
        "c = Conv(x, w) y = BatchNormalization(c, s, b, m, v)",
        arrays(w=(3, 2, 2, 2), s=3, b=3, m=3, v=3),
    ),
}

# The same where nothing says that axis 1 is the channels': the model has the file's axes, before and behind.
OF_IMAGES |= {
    "a kernel that is standardized": (
        "n, m1, v1, m2, v2 = BatchNormalization(r, s, b, m, v) k = Reshape(n, t) y = Conv(x, k)",
        arrays(s=4, b=4)
        | {"r": (r := arrays(r=(1, 4, 18))["r"]), "m": r.mean((0, 2)), "v": r.var((0, 2)), "t": np.array([4, 2, 3, 3])},
        11,
    ),
    "a kernel that is standardized by itself": (
        "i = InstanceNormalization(r, s, b) k = Reshape(i, t) y = Conv(x, k)",
        arrays(r=(1, 4, 18), s=4, b=4) | {"t": np.array([4, 2, 3, 3])},
    ),
    "a kernel of length one": (
        "n = ReduceL2<axes=[1,2,3]>(w) k = Div(w, n) q = Relu(k) y = Conv(x, q)",
        arrays(w=(3, 2, 2, 2)),
    ),
    "a kernel of 8 bits": (
        "k = DequantizeLinear<axis=0>(q, s, z) b = DequantizeLinear(p, r) y = Conv(x, k, b)",
        {"q": np.arange(-12, 12, dtype=np.int8).reshape(3, 2, 2, 2), "z": np.array([1, -2, 0], np.int8)}
        | {"p": np.arange(3, dtype=np.int32), "r": np.full(1, 0.1, "f4")}
        | arrays(s=3),
    ),
    "a kernel with computed padding": (
        "zero = Constant<value_int=0>() n = Clip(s, zero) k = Pad(w, n) y = Conv(x, k)",
        {"s": np.array([-1, 0, 1, 0, -2, 0, 0, 2])} | arrays(w=(3, 2, 2, 1)),
    ),
    "a kernel of pieces that are multiplied": (
        "a, b = Split<axis=1>(p) m = MatMul(q, a) k = Reshape(m, t) y = Conv(x, k)",
        arrays(p=(3, 8), q=(4, 3)) | {"t": np.array([4, 2, 1, 2])},
        13,
    ),
    "like a tensor": ("l = CastLike(a, x) m = Mul(x, l) y = Conv(m, w)", {"a": 2.5} | arrays(w=(3, 2, 1, 1))),
    "as it is, over no axes": (
        "r = ReduceSum<noop_with_empty_axes=1, keepdims=0>(x, a) y = Conv(r, w)",
        {"a": np.zeros(0, np.int64)} | arrays(w=(3, 2, 1, 1)),
    ),
    "nothing near zero": (
        "c = Conv(x, w) s = Shrink<lambd=0.3, bias=0.1>(c) h = Shrink(s) y = Shrink<bias=0.5>(c)",
        arrays(w=(3, 2, 1, 1)),
    ),
    "nothing near zero, other bounds": (
        "c = Conv(x, w) s = Shrink<lambd=0.3, bias=0.1>(c) y = Shrink<lambd=0.4>(s)",
        arrays(w=(3, 2, 1, 1)),
    ),
}
OF_IMAGES |= {
    f"{operator} of a stack": (
        f"c = Conv(x, w) a = Unsqueeze(c, z) b = Unsqueeze(x, z) s = Concat<axis=0>(a, b, a) r = {node} y = Relu(r)",
        {"z": np.array([0])} | arrays(w=(2, 2, 1, 1)),
    )
    for operator, node in {
        "sum": "ReduceSum<keepdims=0>(s, z)",
        "mean": "ReduceMean<axes=[0], keepdims=0>(s)",
        "maximum": "ReduceMax<axes=[0], keepdims=0>(s)",
        "minimum": "ReduceMin<axes=[0], keepdims=0>(s)",
    }.items()
}

OF_ANY_AXES = {
    "sine": ("y = Sin(x)", {}),
    "reflected padding": ('p = Constant<value_ints=[0,0,1,1,0,0,1,1]>() y = Pad<mode="reflect">(x, p)', {}),
    "softmax over axis 1": ("y = Softmax<axis=1>(x)", {}),
    "softmax over axis 1, read again": ("s = Softmax<axis=1>(x) y = Add(s, x)", {}),
    "softmax over axis 2": ("y = Softmax<axis=2>(x)", {}),
    "one number a sample": (
        "f = Flatten(x) g = Gemm(f, w) a = Constant<value_ints=[1]>() y = Squeeze(g, a)",
        arrays(w=(60, 1)),
    ),
}

# The same for vectors (N, 6) → (N, m).
OF_VECTORS = {
    "products with one vector": (
        "s = Constant<value_ints=[0,2,3]>() r = Reshape(x, s) m = MatMul(r, v) y = Relu(m)",
        arrays(v=3),
    ),
    "gemm": ("y = Gemm(x, w, b)", arrays(w=(6, 3), b=3)),
    "gemm, transposed and scaled": (
        "y = Gemm<transB=1, alpha=0.5, beta=2.0>(x, w, b)",
        arrays(w=(3, 6), b=(1, 3)),
    ),
    "gemm with one bias for all": ("y = Gemm(x, w, b)", arrays(w=(6, 3), b=1)),
    "matrix product": ("y = MatMul(x, w)", arrays(w=(6, 3))),
    "matrix product and bias": ("a = MatMul(x, w) y = Add(b, a)", arrays(w=(6, 3), b=3)),
    "activations": (
        "a = Gemm(x, w) b = Tanh(a) c = Sigmoid(b) d = LeakyRelu<alpha=0.2>(c) e = Relu(d) y = Softmax(e)",
        arrays(w=(6, 3)),
    ),
    "clip": (
        "lo = Constant<value_float=0.0>() hi = Constant<value_float=0.5>() y = Clip(x, lo, hi)",
        {},
    ),
    "clip without an upper bound": ("lo = Constant<value_float=0.0>() y = Clip(x, lo)", {}),
    "clip, opset 9": ("y = Clip<min=0.0, max=0.5>(x)", {}, 9),
    "a bound in front": ("m = Constant<value_float=0.5>() y = Max(m, x)", {}),
    "minimum of what ReLU gives": ("m = Constant<value_float=0.5>() r = Relu(x) y = Min(r, m)", {}),
    "softmax, opset 11": ("y = Softmax(x)", {}, 11),
    "layer normalization of what pooling leaves": (
        "s = Constant<value_ints=[-1,1,2,3]>() i = Reshape(x, s) c = Conv(i, w) g = GlobalAveragePool(c) "
        "f = Flatten(g) y = LayerNormalization(f, a, b)",
        arrays(w=(4, 1, 2, 2), a=4, b=4),
    ),
    "batch normalization": ("y = BatchNormalization(x, s, b, m, v)", arrays(s=6, b=6, m=6, v=6)),
    "concatenation": ("a = Gemm(x, w) y = Concat<axis=-1>(a, x, a)", arrays(w=(6, 2))),
    "as an image of one channel": (
        "s = Constant<value_ints=[-1,1,2,3]>() i = Reshape(x, s) c = Conv(i, w) f = Flatten(c) y = Gemm(f, v)",
        arrays(w=(3, 1, 2, 2), v=(6, 4)),
    ),
    "shape computed from the input's": (
        "s = Shape(x) i = Constant<value_ints=[0]>() n = Gather<axis=0>(s, i) r = Constant<value_ints=[-1]>() "
        "t = Concat<axis=0>(n, r) f = Reshape(x, t) y = Gemm(f, w)",
        arrays(w=(6, 3)),
    ),
    "shape cut from the input's": (
        "s = Shape(x) a = Constant<value_ints=[0]>() b = Constant<value_ints=[1]>() n = Slice(s, a, b) "
        "r = Constant<value_ints=[6]>() t = Concat<axis=0>(n, r) f = Reshape(x, t) y = Gemm(f, w)",
        arrays(w=(6, 3)),
    ),
    "axes of size one": (
        "a = Constant<value_ints=[2,-1]>() u = Unsqueeze(x, a) s = Squeeze(u, a) y = Gemm(s, w)",
        arrays(w=(6, 3)),
    ),
    "axes of size one, opset 12": (
        "u = Unsqueeze<axes=[1]>(x) s = Squeeze<axes=[1]>(u) y = Gemm(s, w)",
        arrays(w=(6, 3)),
        12,
    ),
    "casts and identities": ("i = Identity(x) c = Cast<to=1>(i) v = Identity(w) y = Gemm(c, v)", arrays(w=(6, 3))),
}


@pytest.mark.parametrize("name", OF_IMAGES)
def test_images(name, path, rng):
    """Read, written, and read again."""
    nodes, constants, *opset = OF_IMAGES[name]
    make_file(path, f"{IMAGES} {{ {nodes} }}", *opset, **constants)
    model = check_import(path, (2, 6, 5), rng=rng)
    check_export(model, path, rng)
    check_round_trip(model, path, rng)


@pytest.mark.parametrize("name", OF_ANY_AXES)
def test_the_axes_of_the_file(name, path, rng):
    nodes, constants = OF_ANY_AXES[name]
    make_file(path, f"{IMAGES} {{ {nodes} }}", checked=False, **constants)
    check_import(path, (2, 6, 5), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize("operator", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
@pytest.mark.parametrize("other", ["v", "r"])
@pytest.mark.parametrize("bound", [-np.inf, 0.0, np.inf])
def test_comparisons_of_infinite_numbers(operator, other, bound, path):
    """Infinity is equal to itself, and above all others: as a constant, and where both sides are computed."""
    nodes = f"r = Relu(x) c = {operator}(x, {other}) y = Cast<to=1>(c)"
    make_file(path, f"{IMAGES} {{ {nodes} }}", **({"v": np.float32(bound)} if other == "v" else {}))
    x = np.resize(np.array([np.inf, -np.inf, 0, 1, -1], np.float32), (1, 2, 6, 5))
    numpy = {"Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less}
    expected = numpy.get(operator, np.less_equal)(x, bound if other == "v" else np.maximum(x, 0))
    made = mc.import_onnx(path).predict(x, verbose=0)
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("operator", ["ArgMax", "ReduceMax", "ReduceMean", "ReduceMin"])
def test_what_is_left_of_images_has_the_axes_of_the_file(operator, axis, path, rng):
    """Without the axis that it went over, whatever the order in the model."""
    last = f"c = ArgMax<axis={axis}, keepdims=0>(i) y = Cast<to=1>(c)"
    last = last if operator == "ArgMax" else f"y = {operator}<axes=[{axis}], keepdims=0>(i)"
    make_file(path, f"{IMAGES} {{ i = Conv(x, w) {last} }}", **arrays(w=(3, 2, 1, 1)))
    check_import(path, (2, 6, 5), rng=rng, images_out=False)


WHERE = ["half_pixel", "pytorch_half_pixel", "asymmetric"]
OLD_AND_NEW = [*WHERE, "align_corners", "half_pixel_symmetric", "tf_half_pixel_for_nn"]


@pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
@pytest.mark.parametrize(
    ("where", "factors"),
    [(where, f) for where in OLD_AND_NEW for f in ((0.5, 0.6), (0.7, 1.4), (2.2, 0.2), (1.5, 0.7), (1 / 3, 1.2))],
)
def test_the_nearest_pixel(where, rounding, factors, path, rng):
    """Also where float32 and float64 find different ones.

    With align_corners the corners lie on each other, as in PyTorch, where a size by a factor is not whole, too.
    """
    mode = f'mode="nearest", coordinate_transformation_mode="{where}", nearest_mode="{rounding}"'
    make_file(path, f"{IMAGES} {{ y = Resize<{mode}>(x, , f) }}", 19, f=np.array([1, 1, *factors], np.float32))
    check_import(path, (2, 6, 5), rng=rng)


@pytest.mark.parametrize("where", OLD_AND_NEW)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    ("last", "given"),
    [("f", np.float32([1, 1, 1.1, 1.1])), ("f", np.float32([1, 1, 1.7, 1.1])), (", s", np.array([3, 2, 9, 5]))],
)
def test_rows_or_columns_whose_number_stays(last, given, mode, where, path, rng):
    """An image of the same size is copied, whatever the factors; beside other rows, columns go by their factor."""
    options = f'mode="{mode}", coordinate_transformation_mode="{where}", nearest_mode="ceil"'
    make_file(path, f"{IMAGES} {{ y = Resize<{options}>(x, , {last}) }}", 19, **{last.strip(", "): given})
    check_import(path, (2, 6, 5), rng=rng)


@pytest.mark.parametrize("where", ["half_pixel", "asymmetric"])
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil"])
@pytest.mark.parametrize(
    ("old", "new"), [((9, 10), (14, 7)), ((12, 3), (21, 10)), ((6, 11), (13, 22)), ((7, 5), (6, 3))]
)
@pytest.mark.parametrize("by", ["factors", "sizes"])
def test_pixels_halfway_between_two(by, old, new, rounding, where, path, rng):
    """The factor 0.70000005 moves 4.5 to 4.4999995, which is halfway all the same."""
    mode = f'mode="nearest", coordinate_transformation_mode="{where}", nearest_mode="{rounding}"'
    factors = np.array([1, 1, *(np.float32(n / o) for n, o in zip(new, old, strict=True))], np.float32)
    rounded_down = [o * float(f) < n for o, n, f in zip(old, new, factors[2:], strict=True)]
    factors[2:] = np.where(rounded_down, np.nextafter(factors[2:], np.float32(9)), factors[2:])
    last, given = ("f", factors) if by == "factors" else (", s", np.array([3, 2, *new]))
    images = IMAGES.replace("6,5", "{},{}".format(*old))
    make_file(path, f"{images} {{ y = Resize<{mode}>(x, , {last}) }}", **{last.strip(", "): given})
    check_import(path, (2, *old), rng=rng)


def test_what_resizing_exports_is_the_same_when_it_is_read(path, rng):
    for old, new in (((9, 10), (14, 7)), ((5, 6), (11, 13)), ((12, 20), (7, 30))):
        model = mc.Sequential([mc.Input((*old, 2)), mc.layers.Resizing(*new, interpolation="nearest")])
        mc.export_onnx(model, path)
        x = rng.standard_normal((3, *old, 2)).astype(np.float32)
        (expected,) = session(path).run(None, {session(path).get_inputs()[0].name: x})
        np.testing.assert_array_equal(model.predict(x), expected)
        np.testing.assert_array_equal(mc.import_onnx(path).predict(x), expected)


@pytest.mark.parametrize("exclude", [0, 1])
@pytest.mark.parametrize("where", OLD_AND_NEW)
def test_cubic_resizing(where, exclude, path, rng):
    """Rows become more and columns fewer; -0.75 is ONNX's and PyTorch's coefficient."""
    for coefficient in (-0.75, -0.5):
        options = f'coordinate_transformation_mode="{where}", cubic_coeff_a={coefficient}, exclude_outside={exclude}'
        make_file(path, f'{IMAGES} {{ y = Resize<mode="cubic", {options}>(x, , , s) }}', 19, s=np.array([3, 2, 11, 3]))
        check_import(path, (2, 6, 5), rng=rng)


@pytest.mark.parametrize("kind", ["uint8", "int16"])
def test_inputs_of_small_integers(kind, path, rng):
    make_file(
        path,
        f"g ({kind}[N,2,6,5] x) => (float[N,c,h,w] y) {{ i = Cast<to=1>(x) y = Conv(i, w) }}",
        **arrays(w=(3, 2, 1, 1)),
    )
    x = rng.integers(0, 200, (3, 2, 6, 5)).astype(kind)
    (expected,) = session(path).run(None, {"x": x})
    assert_close(mc.import_onnx(path).predict(np.moveaxis(x, 1, -1)), np.moveaxis(expected, 1, -1), 1e-5)


@pytest.mark.parametrize("kind", ["uint8", "int32", "int64"])
def test_images_of_integers_whose_channels_come_last(kind, path, rng):
    """As PyTorch writes ``x.permute(0, 3, 1, 2).float() / 255``; float32 is as near to large numbers here as there."""
    make_file(
        path,
        f"g ({kind}[N,6,5,2] x) => (float[N,c,h,w] y) {{ t = Transpose<perm=[0,3,1,2]>(x) i = Cast<to=1>(t) "
        "s = Div(i, d) y = Conv(s, w) }",
        **arrays(w=(3, 2, 1, 1)),
        d=np.float32(255),
    )
    x = rng.integers(0, 200 if kind == "uint8" else 2**30, (3, 6, 5, 2)).astype(kind)
    (expected,) = session(path).run(None, {"x": x})
    assert_close(mc.import_onnx(path).predict(x), np.moveaxis(expected, 1, -1), 1e-5)


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        ("t = Transpose<perm=[0,3,1,2]>(x) s = Add(t, one) y = Cast<to=1>(s)", "should be a tensor of floating-point"),
        ("t = Transpose<perm=[0,3,1,2]>(x) y = Cast<to=10>(t)", "should be a tensor of floating-point"),
    ],
)
def test_images_of_integers_that_are_computed_with_are_refused(inner, why, path):
    one = {"one": np.int64([1])} if "one" in inner else {}
    make_file(path, f"g (int64[N,6,5,2] x) => (float[N,c,h,w] y) {{ {inner} }}", **one)
    with pytest.raises(FileFormatError, match=why):
        mc.import_onnx(path)


@pytest.mark.parametrize("kind", ["int64", "int32", "float"])
@pytest.mark.parametrize("length", [(), (7,)])
def test_rows_of_a_table(length, kind, path, rng):
    """Conditions of a network, and words: a number a sample, or several."""
    shape, nodes = ",".join(["N", *map(str, length)]), "g = Gather(t, x)"
    if kind == "float":
        nodes = "i = Cast<to=7>(x) g = Gather(t, i)"
    make_file(
        path, f"g ({kind}[{shape}] x) => (float[N,m] y) {{ {nodes} y = Relu(g) }}", checked=False, **arrays(t=(5, 3))
    )
    x = rng.integers(0, 5, (4, *length))
    (expected,) = session(path).run(None, {"x": x.astype(kind.replace("float", "float32"))})
    model = mc.import_onnx(path)
    assert [type(layer) for layer in model.layers[1:2]] == [Embedding]
    np.testing.assert_array_equal(model.predict(x), expected)


def test_integers_that_are_computed_with_are_refused(path):
    make_file(path, "g (int64[N,6] x) => (float[N,m] y) { d = Add(x, x) y = Cast<to=1>(d) }")
    with pytest.raises(FileFormatError, match=r"input 'x' should be .* as node '' \(Add\) .* Received: 2 axes, INT64"):
        mc.import_onnx(path)


def test_the_node_that_computes_with_integers_is_named(path):
    """Behind others that rearrange them, beside one that makes floating-point numbers of them."""
    nodes = "f = Cast<to=1>(x) t = Identity(x) d = Add(t, x) e = Cast<to=1>(d) y = Add(e, f)"
    make_file(path, f"g (int32[N,6] x) => (float[N,m] y) {{ {nodes} }}")
    proto = onnx.load(path)
    for node in proto.graph.node:
        node.name = f"the {node.op_type}"
    onnx.save(proto, path)
    with pytest.raises(FileFormatError, match=r"as node 'the Add' \(Add\) computes with it"):
        mc.import_onnx(path)


@pytest.mark.parametrize("inner", ["Div(x, two)", "Identity(x)"])
def test_integers_that_a_branch_reads_are_refused(inner, path):
    """A branch of an If reads what is around it: there, or behind it, integers are divided without a remainder."""
    branches = f"then_branch = g1 () => (int32[N,6] a) {{ a = {inner} }}, else_branch = g2 () => (b) {{ b = Neg(x) }}"
    make_file(
        path,
        f"g (int32[N,6] x) => (float[N,m] y) {{ f = Cast<to=1>(x) z = If<{branches}>(yes) d = Div(z, two) "
        "e = Cast<to=1>(d) y = Add(e, f) }",
        **{"yes": np.bool_(True), "two": np.int32([2])},
        checked=False,
    )
    with pytest.raises(FileFormatError, match="input 'x' should be a tensor of floating-point numbers"):
        mc.import_onnx(path)


@pytest.mark.parametrize("name", OF_VECTORS)
def test_vectors(name, path, rng):
    nodes, constants, *opset = OF_VECTORS[name]
    make_file(path, f"{VECTORS} {{ {nodes} }}", *opset, **constants)
    check_import(path, (6,), rng=rng)


sizes = st.integers(1, 3)
pairs = st.tuples(sizes, sizes)


@st.composite
def windows(draw, operator):
    """Attributes of a convolution or pooling: what ONNX allows and onnxruntime can compute."""
    kernel, strides = draw(pairs), draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    attributes = {"kernel_shape": kernel, "strides": strides}
    automatic = draw(st.sampled_from(["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if automatic == "NOTSET" or (strides[0] > kernel[0] or strides[1] > kernel[1]):
        attributes["pads"] = [draw(st.integers(0, kernel[axis % 2] - 1)) for axis in range(4)]
        if max(kernel) < 4:
            attributes["dilations"] = draw(st.sampled_from([(1, 1), (2, 1), (1, 2)]))
        if operator != "Conv":
            attributes["ceil_mode"] = draw(st.integers(0, 1))
    else:
        attributes["auto_pad"] = automatic
    if operator == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    return attributes


def text_of(value):
    """An attribute's value in ONNX's text form."""
    return f'"{value}"' if isinstance(value, str) else str(value if isinstance(value, int) else list(value))


@pytest.mark.parametrize("operator", ["Conv", "MaxPool", "AveragePool"])
@given(data=st.data(), height=st.integers(5, 8), width=st.integers(5, 8), is_nonnegative=st.booleans())
def test_every_window(operator, tmp_path_factory, data, height, width, is_nonnegative):
    """Every padding is read as it is meant."""
    attributes = data.draw(windows(operator))
    path = tmp_path_factory.getbasetemp() / "window.onnx"
    first = "r = Relu(x)" if is_nonnegative else "r = Identity(x)"
    kernel = arrays(w=(2, 3, *attributes["kernel_shape"])) if operator == "Conv" else {}
    attributes = ", ".join(f"{name}={text_of(value)}" for name, value in attributes.items())
    node = f"y = {operator}<{attributes}>(r{', w' if kernel else ''})"
    text = f"g (float[N,3,{height},{width}] x) => (float[N,c,h,w] y) {{ {first} {node} }}"
    make_file(path, text, opset=19, **kernel)
    check_import(path, (3, height, width), rng=np.random.default_rng(0))


@given(data=st.data())
def test_every_rearrangement(tmp_path_factory, data):
    """Behind a convolution, any chain of Transpose and Reshape before Gemm ends in the kernel of a Dense layer."""
    path = tmp_path_factory.getbasetemp() / "rearranged.onnx"
    nodes, name, shape = ["a = Conv(x, v)"], "a", [4, 3, 2]
    for number in range(data.draw(st.integers(0, 4))):
        new = f"r{number}"
        if data.draw(st.booleans()):
            perm = data.draw(st.permutations(range(len(shape))))
            nodes.append(f"{new} = Transpose<perm={[0, *(n + 1 for n in perm)]}>({name})")
            shape = [shape[n] for n in perm]
        else:
            shape = data.draw(st.sampled_from([[24], [2, 12], [3, 2, 4], [4, 3, 2], [1, 6, 4], [2, 3, 2, 2]]))
            nodes.append(f"s{number} = Constant<value_ints={[-1, *shape]}>() {new} = Reshape({name}, s{number})")
        if data.draw(st.booleans()):
            nodes.append(f"{new}t = Tanh({new})")
            new += "t"
        name = new
    nodes.append(f"f = Flatten({name}) y = Gemm(f, w)")
    text = f"g (float[N,2,3,2] x) => (float[N,m] y) {{ {' '.join(nodes)} }}"
    make_file(path, text, **arrays(v=(4, 2, 1, 1), w=(24, 5)))
    check_import(path, (2, 3, 2), rng=np.random.default_rng(0))


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 1, 1), (2, 2, 3)])
def test_every_axis(shape, opset, path):
    """An operator with an axis computes what onnxruntime does, or is refused; over the batch axis it always is."""
    rank, computed = len(shape) + 1, 0
    for operator, axis in itertools.product(["Softmax", "Flatten", "Concat"], [None, *range(-rank, rank)]):
        if axis is None and operator == "Concat":
            continue
        attribute = "" if axis is None else f"<axis={axis}>"
        node = f"y = {operator}{attribute}(x{', x' if operator == 'Concat' else ''})"
        make_file(
            path, f"g (float[3,{','.join(map(str, shape))}] x) => (float[a] y) {{ {node} }}", opset, checked=False
        )
        x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
        try:
            model = mc.import_onnx(path)
        except FileFormatError as error:
            assert f"({operator})" in str(error)
            continue
        assert axis not in (0, -rank), node
        assert_close(model.predict(x), run_file(path, [x])["y"], 1e-5)
        computed += 1
    assert computed >= 4


def test_computing_in_float16_is_computing_in_float32(path, rng):
    """A file for float16 between two casts: its weights are exact, its sums of what it rounds are better here."""
    w = rng.normal(size=(6, 4)).astype(np.float16)
    make_file(path, f"{VECTORS} {{ h = Cast<to=10>(x) g = Gemm(h, w) y = Cast<to=1>(g) }}", w=w)
    x = rng.normal(size=(3, 6)).astype(np.float32)
    assert_close(mc.import_onnx(path).predict(x), x.astype(np.float16).astype(np.float32) @ w.astype(np.float32), 1e-5)
    assert_close(run_file(path, [x])["y"], x @ w.astype(np.float32), 5e-3)


def test_documentation_lists_the_operators():
    text = (Path(__file__).parents[1] / "docs" / "files.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"with these operators:\n\n(.*?)\.\n", text, re.DOTALL)
    assert re.split(r",\s+", listed) == sorted(OPERATORS)
    assert f"opset {OPSETS[0]} to {OPSETS[-1]}" in text


def test_an_input_that_no_convolution_reads_keeps_its_axes(path, rng):
    make_file(path, "g (float[N,3,4,5] x) => (float[N,m] y) { f = Flatten(x) y = Gemm(f, w) }", **arrays(w=(60, 2)))
    model = check_import(path, (3, 4, 5), rng=rng, images_in=False)
    assert model.input_shape == (None, 3, 4, 5)


@pytest.mark.parametrize(
    "nodes",
    [  # as tf2onnx writes networks of channels last: transposed around the convolution alone
        "m = Mul(x, t) y = ReduceMean<axes=[1, 2], keepdims=0>(m)",
        "m = Mul(t, x) y = ReduceMax<axes=[1, 2], keepdims=1>(m)",
        "m = ReduceSum(x, spatial) y = Add(m, t)",
    ],
)
def test_an_input_with_channels_last_keeps_its_axes(nodes, path, rng):
    convolution = "i = Transpose<perm=[0, 3, 1, 2]>(x) c = Conv(i, w) t = Transpose<perm=[0, 2, 3, 1]>(c)"
    constants = arrays(w=(4, 4, 1, 1)) | {"spatial": np.array([1, 2])}
    make_file(path, f"g (float[N,5,6,4] x) => (y) {{ {convolution} {nodes} }}", checked=False, **constants)
    model = check_import(path, (5, 6, 4), rng=rng, images_in=False, images_out=False)
    assert model.input_shape == (None, 5, 6, 4)


TO_LAST, TO_FIRST = "Transpose<perm=[0,2,3,1]>", "Transpose<perm=[0,3,1,2]>"
ENDS = {  # what stands behind images c → whether they are images at the end
    "y = Relu(c)": True,
    f"y = {TO_LAST}(c)": False,
    f"d = {TO_LAST}(c) y = Softmax<axis=-1>(d)": False,
    f"d = {TO_LAST}(c) y = ReduceMean<axes=[1,2]>(d)": False,
    f"d = {TO_LAST}(c) y = MatMul(d, k)": False,
    f"d = {TO_LAST}(c) e = MatMul(d, k) y = {TO_FIRST}(e)": True,
    f"d = {TO_LAST}(c) e = {TO_LAST}(d) y = {TO_LAST}(e)": True,
    "d = Transpose<perm=[0,1,3,2]>(c) y = Neg(d)": True,
    "y = Transpose<perm=[0,2,1,3]>(c)": False,
    "y = Transpose<perm=[0,3,2,1]>(c)": False,
    f"y = {TO_FIRST}(c)": False,
    f"d = {TO_LAST}(c) e = ReduceProd<axes=[3]>(d) a = Constant<value_ints=[3]>() y = Squeeze(e, a)": False,
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "body",
    [
        "c = Conv(i, w)",
        "b = Conv(i, v) c = DepthToSpace<blocksize=2>(b)",
        'b = Conv(i, v) c = DepthToSpace<blocksize=2,mode="CRD">(b)',
        'b = Conv(i, w) f = Constant<value_floats=[1.0,1.0,2.0,2.0]>() c = Resize<mode="nearest">(b, , f)',
        "b = Conv(i, w) s = Constant<value_ints=[0,2,2,5,6]>() r = Reshape(b, s) t = Transpose<perm=[0,2,1,3,4]>(r) "
        "u = Constant<value_ints=[0,4,5,6]>() c = Reshape(t, u)",
        "b = Conv(i, w) s = Constant<value_ints=[0,4,6,5]>() c = Reshape(b, s)",
    ],
)
def test_images_that_are_transposed_to_channels_last_keep_the_axes_of_the_file(body, end, path, rng):
    """As tf2onnx ends ESPCN, and PyTorch's `permute` a network that shuffles channels: their axes were moved again."""
    constants = arrays(w=(4, 4, 1, 1), v=(16, 4, 1, 1), k=(4, 4))
    used = {name: array for name, array in constants.items() if re.search(rf"\b{name}\b", body + end)}
    make_file(path, f"g (float[N,5,6,4] x) => (y) {{ i = {TO_FIRST}(x) {body} {end} }}", checked=False, **used)
    check_import(path, (5, 6, 4), rng=rng, images_in=False, images_out=ENDS[end])


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ("m = ReduceMax<axes=[3]>(x) i = Transpose<perm=[0, 3, 1, 2]>(m) y = Conv(i, w)", arrays(w=(2, 1, 3, 3))),
        (
            "m = ReduceMean<axes=[1, 2]>(x) i = Transpose<perm=[0, 3, 1, 2]>(m) c = Conv(i, w) "
            "t = Transpose<perm=[0, 2, 3, 1]>(c) y = Mul(x, t)",
            arrays(w=(4, 4, 1, 1)),
        ),
        ("m = ReduceMean<axes=[1, 2], keepdims=0>(x) y = MatMul(m, w)", arrays(w=(4, 5))),
        ("m = ReduceMean<axes=[-1]>(x) s = Sub(x, m) y = MatMul(s, w)", arrays(w=(4, 5))),
        ("a = Constant<value_ints=[-1]>() m = ReduceSum(x, a) y = Sub(x, m)", {}),
    ],
)
def test_what_is_reduced_first_may_have_channels_last(nodes, constants, path, rng):
    """The input was taken for channels-first images, and (H, W, C) became (W, C, H)."""
    make_file(path, f"g (float[N,5,6,4] x) => (y) {{ {nodes} }}", checked=False, **constants)
    model = mc.import_onnx(path)
    assert model.input_shape == (None, 5, 6, 4)
    x = rng.normal(size=(3, 5, 6, 4)).astype(np.float32)
    (expected,) = run_file(path, [x]).values()
    y = model.predict(x)
    assert_close(np.moveaxis(y, -1, 1) if "y = Conv" in nodes else y, expected, TOLERANCE)


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        ("y = ReduceMean<axes=[1], keepdims=0>(x)", (5, 4)),  # Keras's GlobalAveragePooling1D
        ("y = ReduceMean<axes=[2], keepdims=0>(x)", (4, 5)),  # PyTorch's x.mean(2) of (N, C, L)
        ("m = ReduceMean<axes=[2]>(x) y = Sub(x, m)", (5, 4)),
        ("m = ReduceMean<axes=[2]>(x) s = Sub(x, m) y = MaxPool<kernel_shape=[2]>(s)", (4, 5)),
    ],
)
def test_which_axis_of_a_series_is_that_of_channels(node, shape, path):
    make_file(path, f"g (float[N,5,4] x) => (y) {{ {node} }}", checked=False)
    assert mc.import_onnx(path).input_shape == (None, *shape)


@pytest.mark.parametrize(("a", "b", "expected"), [(16, -3, 5), (-16, -3, -5), (15, -3, 5), (16, 3, -5), (-16, 3, 5)])
def test_integers_are_divided_towards_zero(a, b, expected, path, rng):
    make_file(  # the paddings that PyTorch's networks compute: -(size // -stride)
        path,
        "g (float[N,6] x) => (y) { q = Div(a, b) n = Neg(q) s = Cast<to=1>(n) y = Mul(x, s) }",
        checked=False,
        a=np.array([a]),
        b=np.array([b]),
    )
    x = rng.normal(size=(3, 6)).astype(np.float32)
    assert_close(mc.import_onnx(path).predict(x), x * expected, 1e-6)


def test_layers_of_the_model(path):
    make_file(path, f"{IMAGES} {{ {OF_IMAGES['a layer used twice'][0]} }}", **arrays(w=(2, 2, 3, 3)))
    model = mc.import_onnx(path)
    assert [type(layer) for layer in model.layers[1:]] == [Conv2D]  # one, called twice
    assert len(model.layers[1].nodes) == 2
    nodes = "a = Dropout<ratio=0.3>(x) b = MatMul(a, w) c = Sigmoid(b) y = Clip<min=0.0, max=6.0>(c)"
    make_file(path, f"{VECTORS} {{ {nodes} }}", 10, **arrays(w=(6, 4)))
    dropout, dense, relu = mc.import_onnx(path).layers[1:]
    assert (type(dropout), round(dropout.rate, 6)) == (Dropout, 0.3)
    assert (type(dense), dense.units, type(dense.activation).__name__, dense.use_bias) == (Dense, 4, "Sigmoid", False)
    assert (type(relu), relu.max_value) == (ReLU, 6)


def test_runs_of_channels():
    """Whether an axis of the file is the model's last one: every run along it counts up from a multiple of its size."""
    tensor = mc.Input((2, 2))
    for positions, expected in (([[0, 1], [2, 3]], True), ([[2, 3], [0, 1]], True), ([[2, 1], [0, 3]], False)):
        assert is_last_axis(Value(tensor, np.array(positions, np.int32)), 1) is expected
    assert not is_last_axis(Value(tensor, np.arange(4).reshape(2, 2)), 0)


def test_a_value_inside_that_is_an_output_too(path, rng):
    make_file(
        path, "g (float[N,6] x) => (float[N,m] c, float[N,m] y) { c = Gemm(x, w) y = Relu(c) }", **arrays(w=(6, 4))
    )
    check_import(path, (6,), rng=rng)


def test_one_kernel_for_two_orders_of_the_same_numbers(path, rng):
    nodes = (
        "f = Flatten(x) a = Gemm(f, w) t = Transpose<perm=[0,2,3,1]>(x) g = Flatten(t) b = Gemm(g, w) "
        "c = MaxPool<kernel_shape=[1,1]>(x)"
    )
    make_file(
        path,
        f"g (float[N,2,3,2] x) => (float[N,m] a, float[N,m] b, float[N,c,h,w] c) {{ {nodes} }}",
        **arrays(w=(12, 4)),
    )
    check_import(path, (2, 3, 2), rng=rng)


def test_float64_and_float16_weights(path, rng):
    xs = rng.normal(size=(3, 6)).astype(np.float32)
    for dtype in (np.float64, np.float16):
        w = rng.normal(size=(6, 4)).astype(dtype)
        make_file(path, f"{VECTORS} {{ v = Cast<to=1>(w) y = Gemm(x, v) }}", w=w)
        np.testing.assert_allclose(mc.import_onnx(path).predict(xs), xs @ w.astype(np.float32), rtol=1e-5, atol=1e-6)


# Nodes that cannot be layers here, and what the message says.
REFUSED = {
    "as many rows as samples": (
        "n = Shape<start=0, end=1>(x) c = GlobalAveragePool(x) r = Constant<value_ints=[2]>() "
        "k = Constant<value_ints=[4]>() s = Concat<axis=0>(n, r, n, k) e = Expand(c, s) y = Relu(e)",
        {},
        r"\(Expand\): it should repeat axes of size 1",
    ),
    "no rows": (
        "c = GlobalAveragePool(x) s = Constant<value_ints=[1,2,0,1]>() e = Expand(c, s) y = Relu(e)",
        {},
        r"\(Expand\): it should repeat axes of size 1",
    ),
    "fewer than no rows": (
        "c = GlobalAveragePool(x) s = Constant<value_ints=[1,2,1,-5]>() e = Expand(c, s) y = Relu(e)",
        {},
        r"\(Expand\): it should repeat axes of size 1",
    ),
    "unknown operator": (
        "y = Det(x)",
        {},
        r"node number 0 \(Det\): this operator is not supported. Supported: Abs, Acos, ",
    ),
    "unknown attribute": (
        'y = Conv<auto_pad="VALID", alpha=1>(x, w)',
        arrays(w=(1, 2, 1, 1)),
        r"\(Conv\): attribute 'alpha' is not supported. Received: 1",
    ),
    "computed kernel": ("y = Conv(x, x)", {}, r"\(Conv\): input 1 is computed; here it is an array in the file"),
    "groups of a transposed convolution": (
        "y = ConvTranspose<group=3>(x, w)",
        arrays(w=(2, 1, 1, 1)),
        r"\(ConvTranspose\): group is 1 to 256 and divides the channels.*group=3, 2 channels",
    ),
    "samples mixed": (
        "s = Constant<value_ints=[-1,30]>() y = Reshape(x, s)",
        {},
        r"samples stay apart: the first axis of the output 'y'",
    ),
    "samples mixed for good": (
        "s = Constant<value_ints=[-1,30]>() f = Reshape(x, s) y = Softmax<axis=0>(f)",
        {},
        r"\(Softmax\): samples stay apart: .*it goes over the last axis. Received: axis=0 of 2",
    ),
    "samples mixed, by other borders": (
        "s = Constant<value_ints=[-1,12]>() y = Reshape(x, s)",
        {},
        r"samples stay apart: the first axis of the output 'y'",
    ),
    "a fixed number of samples": (
        "s = Constant<value_ints=[3,60]>() f = Reshape(x, s) y = Gemm(f, w)",
        arrays(w=(60, 2)),
        r"keep the samples .* apart.*\[3, 60\]",
    ),
    "batch axis moved": (
        "y = Transpose<perm=[1,0,2,3]>(x)",
        {},
        r"samples stay apart: the first axis of the output 'y'",
    ),
    "batch axis moved before a layer": (
        "t = Transpose<perm=[1,0,2,3]>(x) y = MaxPool<kernel_shape=[1,1]>(t)",
        {},
        r"\(MaxPool\): samples stay apart: the first axis of input 0",
    ),
    "a constant for more samples": (
        "s = Constant<value_ints=[1,60]>() f = Reshape(x, s) y = Add(f, c)",
        {"c": np.ones((3, 60), "f4")},
        r"it should keep the samples of shape|the same for every sample",
    ),
    "one constant picture a sample": (
        "y = Add(x, c)",
        arrays(c=(3, 2, 1, 1)),
        r"the same for every sample.*\(3, 2, 1, 1\)",
    ),
    "products of different numbers of axes": (
        "f = Flatten(x) y = MatMul(x, f)",
        {},
        r"multiplies vectors by a matrix of the file, or matrices.*\[\(2, 6, 5\), \(60,\)\]",
    ),
    "samples mixed by a matrix": (
        "f = Flatten(x) y = MatMul(c, f)",
        arrays(c=(4, 3)),
        r"the same for every sample. Received: shape \(4, 3\) for samples of \(60,\)",
    ),
    "minus infinity around an average": (
        "p = Constant<value_ints=[0,0,0,0,0,0,1,1]>() c = Pad(x, p, v) y = AveragePool<kernel_shape=[2,2]>(c)",
        {"v": np.float32(-np.inf)},
        r"of -inf before MaxPool alone",
    ),
    "pooling with gaps, in the padding alone": (
        "y = MaxPool<kernel_shape=[2,2], dilations=[9,9], pads=[9,9,9,9]>(x)",
        {},
        r"\(MaxPool\): .*each has pixels of the image. Received: 2 of 6, dilations=9, pads=\(9, 9\)",
    ),
    "positions of maxima": ("p, y = MaxPool<kernel_shape=[2,2]>(x)", {}, r"the output 'y' does not depend"),
    "training mode": (
        "y, a, b = BatchNormalization<training_mode=1>(x, s, t, m, v)",
        arrays(s=2, t=2, m=2, v=2),
        r"export the model in evaluation mode",
    ),
    "softmax over the samples": ("s = Softmax<axis=0>(x) y = Tanh(s)", {}, r"axis=0 is the batch axis"),
    "softmax over the samples, counted from the end": ("y = Softmax<axis=-4>(x)", {}, r"axis=0 is the batch axis"),
    "softmax over as many samples as channels": (
        "f = Flatten(x) g = Gemm(f, w) y = Softmax<axis=0>(g)",
        arrays(w=(60, 3)),
        r"\(Softmax\): samples are not mixed",
    ),
    "samples concatenated": ("y = Concat<axis=-4>(x, x)", {}, r"axis=0 is the batch axis"),
    "samples flattened": ("y = Flatten<axis=0>(x)", {}, r"samples stay apart: axis=1"),
    "mean of samples": (
        "y = ReduceMean<axes=[0,2,3]>(x)",
        {},
        r"samples stay apart: axis 0 .*Received: axes=\[0, 2, 3\]",
    ),
    "one constant a sample": (
        "f = Flatten(x) y = Gemm(f, w, c)",
        arrays(w=(60, 3), c=(3, 1)),
        r"one number a column, for all samples. Received: \(3, 1\)",
    ),
    "product with one number a sample": (
        "f = Flatten(x) g = Gemm(f, w) a = Constant<value_ints=[1]>() s = Squeeze(g, a) y = MatMul(s, v)",
        arrays(w=(60, 1), v=(1, 1)),
        r"\(MatMul\): it works on vectors",
    ),
    "no samples": (
        "s = Constant<value_ints=[0,60]>() y = Reshape<allowzero=1>(x, s)",
        {},
        r"keep the samples .* apart.*\[0, 60\]",
    ),
    "four-dimensional convolution": (
        "s = Constant<value_ints=[-1,2,2,3,5,1]>() r = Reshape(x, s) y = Conv(r, w)",
        arrays(w=(1, 2, 1, 1, 1, 1)),
        r"it works on \(N, C, H, W\) or \(N, C, L\). Received: a sample of shape \(2, 2, 3, 5, 1\)",
    ),
    "statistics of single positions": (
        "y = BatchNormalization<spatial=0>(x, s, s, s, s)",
        arrays(s=2),
        r"\(BatchNormalization\): only statistics of channels are supported, spatial=1",
    ),
    "training, as it was said before opset 14": (
        "y, a, b, c, d = BatchNormalization(x, s, s, s, s)",
        arrays(s=2),
        r"\(BatchNormalization\): only its form for inference",
    ),
    "a table of images": (
        "i = Cast<to=7>(x) y = Gather(t, i)",
        arrays(t=(4, 2, 2)),
        r"\(Gather\): input 0 is an array of floating-point numbers, 2 axes",
    ),
    "a stack over other axes": (
        "z = Constant<value_ints=[0]>() a = Unsqueeze(x, z) s = Concat<axis=0>(a, a) y = ReduceMax<axes=[0,2]>(s)",
        {},
        r"\(ReduceMax\): of tensors that are put side by side, it goes over axis 0. Received: axes=\[0, 2\]",
    ),
    "weights that are not finite": ("y = Conv(x, w)", {"w": np.full((1, 2, 1, 1), np.nan, np.float32)}, "not finite"),
    "kernel for other images": (
        "y = Conv(x, w)",
        arrays(w=(1, 3, 1, 1)),
        r"\(Conv\): it cannot be a layer here: .*shape",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_expressed_is_named(name, path):
    nodes, constants, message = REFUSED[name]
    make_file(path, f"{IMAGES} {{ {nodes} }}", checked=False, **constants)
    with pytest.raises(FileFormatError, match=rf"model\.onnx: .*{message}"):
        mc.import_onnx(path)


# ----------------------------------------------------------------------------------------------------- hostile files


def rename(messages, field, old, new):
    for message in messages:
        names = getattr(message, field)
        names[:] = [new if name == old else name for name in names]


def external(proto, location="/dev/zero", **keys):
    tensor = proto.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    for key, value in {"location": location, **keys}.items():
        tensor.external_data.add(key=key, value=str(value))


def doubled(proto):
    """Every node gives twice as much as the one before."""
    for number in range(40):
        before = f"y{number - 1}" if number else "y"
        proto.graph.node.append(onnx.helper.make_node("Concat", [before] * 2, [f"y{number}"], axis=1))
    proto.graph.output[0].name = "y39"


def repeated(proto):
    """One small kernel, many times."""
    for number in range(4000):
        pads = [number % 50, number // 50, 0, 0]  # different, so that each is a layer of its own
        proto.graph.node.append(onnx.helper.make_node("Conv", ["x", "w"], [f"z{number}"], pads=pads))


def no_dimension(proto):
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "channels"


HOSTILE = {
    "external data": (external, "'w' lies in another file, which is only opened beside the model.*'/dev/zero'"),
    "tensors that double": (doubled, "too large"),
    "a kernel used without end": (repeated, "the layers need more numbers than the file holds"),
    "a cycle": (
        lambda p: rename(p.graph.node[:1], "input", "x", "y"),
        r"node number 0 \(Conv\): it reads, through other nodes, what it gives itself",
    ),
    "a name given twice": (
        lambda p: rename(p.graph.node[1:], "output", "y", "c"),
        r"has a name that is taken\. Received: 'c'",
    ),
    "an output that nothing gives": (
        lambda p: setattr(p.graph.output[0], "name", "q"),
        r"no node gives .* Received: 'q'",
    ),
    "a newer opset": (lambda p: setattr(p.opset_import[0], "version", 99), r"1 to 28\. Received: \[99\]"),
    "another domain": (lambda p: setattr(p.graph.node[0], "domain", "my.own"), r"only ONNX's own operators .*'my.own'"),
    "channels without a number": (no_dimension, r"node number 0 \(Conv\)"),
    "a size of 0": (
        lambda p: setattr(p.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 0),
        r"input 'x' should have sizes of at least 1, or open ones. Received: \[None, 2, 0, 5\]",
    ),
    "a huge input": (
        lambda p: setattr(p.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 2**40),
        "too large",
    ),
    "a shape that is not there": (lambda p: p.graph.initializer[0].dims.append(2**40), r"'w' of shape .* instead of"),
    "an unknown dtype": (
        lambda p: setattr(p.graph.initializer[0], "data_type", 8),
        r"numbers of 8 to 64 bits.*Received: 8",
    ),
    "an attribute of another type": (
        lambda p: setattr(p.graph.node[0].attribute[0], "type", 1),
        r"attribute pads should be .*list",
    ),
    "no inputs": (lambda p: p.graph.ClearField("input"), "one or more inputs"),
    "nothing": (lambda p: p.Clear(), "an empty file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name, path):
    edit, message = HOSTILE[name]
    make_file(path, f"{IMAGES} {{ c = Conv<pads=[1,1,1,1]>(x, w) y = Relu(c) }}", **arrays(w=(2, 2, 3, 3)))
    proto = onnx.load(path)
    edit(proto)
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(FileFormatError, match=rf"model\.onnx: .*{message}"):
        mc.import_onnx(path)


@pytest.mark.parametrize("is_one_file", [True, False])
def test_numbers_in_a_file_beside_the_model(is_one_file, path, rng):
    make_file(path, f"{IMAGES} {{ c = Conv<pads=[1,1,1,1]>(x, w, b) y = Relu(c) }}", **arrays(w=(4, 2, 3, 3), b=4))
    options = {
        "all_tensors_to_one_file": is_one_file,
        "size_threshold": 0,
        "location": "numbers" if is_one_file else None,
    }
    onnx.save(onnx.load(path), path, save_as_external_data=True, **options)
    assert len(list(path.parent.iterdir())) == (2 if is_one_file else 3)
    check_import(path, (2, 6, 5), rng=rng)


def link(path):
    path.symlink_to(path.parent / "numbers")


BESIDE = {
    "above": ({"location": "../numbers"}, r"a name without folders.*'\.\./numbers'"),
    "below": ({"location": "folder/numbers"}, "a name without folders"),
    "of another system": ({"location": r"C:\numbers"}, "a name without folders"),
    "a drive": ({"location": "C:numbers"}, "a name without folders"),
    "the folder": ({"location": ".."}, "a name without folders"),
    "without a name": ({"location": ""}, "a name without folders"),
    "missing": ({"location": "others"}, "'others', which is not beside this one: put both into one folder"),
    "a link": ({"location": "link"}, "'link', which is no file but a link"),
    "a pipe": ({"location": "pipe"}, "'pipe', which is no file but a link, a folder or a pipe"),
    "too late": ({"offset": 8}, "takes 144 bytes of 'numbers', which has 144. Received: offset=8, length=136"),
    "too late, with a length": ({"offset": 8, "length": 144}, "Received: offset=8, length=144"),
    "too short": ({"length": 8}, "Received: offset=0, length=8"),
    "before the start": ({"offset": -8}, "offset is a number of bytes. Received: '-8'"),
    "no number": ({"length": "9" * 30}, "length is a number of bytes"),
}


@pytest.mark.parametrize("case", BESIDE)
def test_numbers_elsewhere_are_refused(case, path):
    keys, message = BESIDE[case]
    make_file(path, f"{IMAGES} {{ c = Conv<pads=[1,1,1,1]>(x, w) y = Relu(c) }}", **arrays(w=(2, 2, 3, 3)))
    proto = onnx.load(path)
    (path.parent / "numbers").write_bytes(proto.graph.initializer[0].raw_data)
    link(path.parent / "link")
    os.mkfifo(path.parent / "pipe")
    external(proto, **{"location": "numbers", **keys})
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(FileFormatError, match=rf"model\.onnx: tensor 'w'.*{message}"):
        mc.import_onnx(path)


def test_numbers_beside_the_model_are_taken_once(path):
    """A thousand tensors that are named of the same bytes would be a thousand times as many numbers."""
    make_file(path, f"{IMAGES} {{ c = Conv<pads=[1,1,1,1]>(x, w) y = Relu(c) }}", **arrays(w=(2, 2, 3, 3)))
    proto = onnx.load(path)
    (path.parent / "numbers").write_bytes(proto.graph.initializer[0].raw_data)
    external(proto, "numbers")
    proto.graph.initializer.add().CopyFrom(proto.graph.initializer[0])
    proto.graph.initializer[1].name = "v"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(FileFormatError, match="tensor 'v': the tensors take more bytes than 'numbers' has"):
        mc.import_onnx(path)


@pytest.mark.parametrize(
    "content", [b"\x08", b"PK\x03\x04", b"not a model", b"\xff" * 1000], ids=["cut", "zip", "text", "noise"]
)
def test_other_files_are_refused(content, path):
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"model\.onnx: "):
        mc.import_onnx(path)


def test_files_that_are_not_there(path):
    with pytest.raises(FileNotFoundError):
        mc.import_onnx(path)
    with pytest.raises(OSError, match="expected a file"):
        mc.import_onnx(path.parent)
