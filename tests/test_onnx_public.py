"""What public ONNX files have: old opsets, 8 bits, sizes that only one image fits, many large tensors."""

import numpy as np
import pytest
from onnx_files import channels_last, check_import, make_file, onnx, run_file
from oracles import assert_close

import minicnn as mc
from minicnn.errors import FileFormatError
from minicnn.onnx.budget import MAX_TOTAL
from minicnn.onnx.values import channels_first, layout_of, same_order

IMAGES = "g (float[N,2,6,5] x) => (float[N,c,h,w] y)"
VECTORS = "g (float[N,6] x) => (float[N,m] y)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


# -------------------------------------------------------------------------------------------------- opsets before 7


def old(path, text, opset=6, **constants):
    """A file of an opset that onnxruntime has no kernels for, and that ONNX's parser knows no more."""
    return make_file(path, text, opset, checked=False, **constants)


def test_inputs_that_begin_at_an_axis(path, rng):
    b, s = normal(rng, 2), normal(rng, 6, 5)
    old(
        path,
        f"{IMAGES} {{ a = Add<broadcast=1, axis=1>(x, b) m = Mul<broadcast=1, axis=2>(a, s) "
        "d = Sub<broadcast=1>(m, c) y = MaxPool<kernel_shape=[1,1]>(d) }",
        b=b,
        s=s,
        c=normal(rng, 5),
    )
    x = normal(rng, 3, 2, 6, 5)
    c = onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[2])
    expected = (x + b[:, None, None]) * s - c
    assert_close(mc.import_onnx(path).predict(channels_last(x)), channels_last(expected), 1e-5)


def test_an_axis_behind_a_convolution(path, rng):
    """Of five channels and five columns, the bias is of the channels."""
    w, b = normal(rng, 5, 2, 1, 1), normal(rng, 5)
    old(path, f"{IMAGES} {{ c = Conv(x, w) y = Add<broadcast=1, axis=1>(c, b) }}", w=w, b=b)
    x = normal(rng, 3, 2, 6, 5)
    expected = np.einsum("nchw,fc->nhwf", x, w[:, :, 0, 0]) + b
    assert_close(mc.import_onnx(path).predict(channels_last(x)), expected, 1e-5)


def test_a_factor_for_each_sample_and_channel(path, rng):
    old(
        path,
        f"{IMAGES} {{ p = GlobalAveragePool(x) f = Flatten(p) s = Sigmoid(f) y = Mul<broadcast=1, axis=0>(x, s) }}",
    )
    x = normal(rng, 3, 2, 6, 5)
    expected = x / (1 + np.exp(-x.mean((2, 3), keepdims=True)))
    assert_close(mc.import_onnx(path).predict(channels_last(x)), channels_last(expected), 1e-5)


def test_attributes_of_opset_1(path, rng):
    w = normal(rng, 24, 3)
    old(
        path,
        f"{IMAGES.replace('float[N,c,h,w]', 'float[N,m]')} {{ n = BatchNormalization<is_test=1, "
        "consumed_inputs=[0,0,0,1,1], epsilon=0.00001>(x, g, b, m, v) d = Dropout<is_test=1, ratio=0.4>(n) "
        "u = Upsample<width_scale=2.0, height_scale=1.0>(d) k = MaxPool<kernel_shape=[3,5], strides=[3,5]>(u) "
        "r = Relu<consumed_inputs=[0]>(k) z = Pad<paddings=[0,0,0,0,0,0,1,1]>(r) j = Concat(z, z) "
        'a = Cast<to="FLOAT">(j) s = Reshape<shape=[-1,36]>(a) t = Slice<axes=[1], starts=[6], ends=[30]>(s) '
        "y = Gemm<broadcast=1>(t, w, q) }",
        opset=1,
        g=np.array([2, 0.5], "f4"),
        b=np.array([0.1, -0.2], "f4"),
        m=np.array([0.3, 0.4], "f4"),
        v=np.array([4, 0.25], "f4"),
        w=w,
        q=np.array([1, 2, 3], "f4"),
    )
    x = normal(rng, 3, 2, 6, 5)
    n = x * np.array([1, 1])[:, None, None] + np.array([0.1 - 0.3, -0.2 - 0.4])[:, None, None]
    pooled = np.maximum(n.repeat(2, 3).reshape(3, 2, 2, 3, 2, 5).max((3, 5)), 0)
    z = np.pad(pooled, ((0, 0), (0, 0), (0, 1), (0, 1)))
    expected = np.concatenate([z, z], 1).reshape(3, 36)[:, 6:30] @ w + [1, 2, 3]
    assert_close(mc.import_onnx(path).predict(channels_last(x)), expected, 1e-4)  # of epsilon


@pytest.mark.parametrize("slopes", [1, 2])
def test_slopes_of_channels(slopes, path, rng):
    a = rng.uniform(0.1, 0.9, slopes).astype(np.float32)
    old(path, f"{IMAGES} {{ y = PRelu(x, a) }}", a=a)
    x = normal(rng, 3, 2, 6, 5)
    expected = np.where(x > 0, x, x * np.broadcast_to(a, 2)[:, None, None])
    assert_close(mc.import_onnx(path).predict(channels_last(x)), channels_last(expected), 1e-6)


def test_an_axis_that_does_not_fit(path, rng):
    old(path, f"{IMAGES} {{ y = Add<broadcast=1, axis=3>(x, b) }}", b=normal(rng, 2, 6))
    with pytest.raises(FileFormatError, match=r"\(Add\): its second input begins at an axis of the first one"):
        mc.import_onnx(path)


def test_old_files_of_open_sizes(path, rng):
    """Nodes are brought into today's form once for each size that is tried."""
    b = normal(rng, 2)
    text = IMAGES.replace("6,5", "H,W")
    old(path, f"{text} {{ a = Add<broadcast=1, axis=1>(x, b) y = MaxPool<kernel_shape=[1,1]>(a) }}", b=b)
    x = normal(rng, 2, 7, 4, 2)
    assert_close(mc.import_onnx(path).predict(x), x + b, 1e-6)


# ------------------------------------------------------------------------------------------------------------ 8 bits


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("dtype", ["i1", "u1"])
def test_weights_of_8_bits(axis, dtype, path, rng):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    w = rng.integers(low, high, (3, 2, 2, 2), dtype, endpoint=True)
    scales = np.float32(0.01) if axis is None else rng.uniform(0.001, 0.1, 3).astype("f4")
    zeros = np.zeros(3, dtype) if axis is not None else np.array(3, dtype)
    attribute = "" if axis is None else f"<axis={axis}>"
    nodes = f"v = DequantizeLinear{attribute}(w, s, z) d = DequantizeLinear(b, t) y = Conv(x, v, d)"
    constants = {"b": np.array([5, -7, 900], "i4"), "t": np.float32(0.002)}
    make_file(path, f"{IMAGES} {{ {nodes} }}", w=w, s=scales, z=zeros, **constants)
    model = check_import(path, (2, 6, 5), rng=rng)
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Conv2D"]


@pytest.mark.parametrize("zero", [np.uint8(0), np.uint8(100), np.int8(-20), None], ids=str)
def test_tensors_of_8_bits(zero, path, rng):
    """A program rounds each tensor between two operators: numbers beyond 8 bits are cut off."""
    z = "" if zero is None else ", z"
    nodes = (
        f"c = Conv(x, w) q = QuantizeLinear(c, s{z}) m = MaxPool<kernel_shape=[2,2]>(q) y = DequantizeLinear(m, s{z})"
    )
    constants = {} if zero is None else {"z": zero}
    w = np.eye(2, dtype="f4")[:, :, None, None]
    make_file(path, f"{IMAGES} {{ {nodes} }}", checked=False, w=w, s=np.float32(1 / 64), **constants)
    x = (rng.integers(-1000, 1000, (3, 2, 6, 5)) / 128).astype("f4")  # half of them lie between two integers
    (expected,) = run_file(path, [x]).values()
    assert_close(mc.import_onnx(path).predict(channels_last(x)), channels_last(expected), 1e-6)


def test_weights_that_are_quantized_in_the_file(path, rng):
    w = normal(rng, 3, 2, 2, 2)
    nodes = "q = QuantizeLinear<axis=0>(w, s, z) v = DequantizeLinear<axis=0>(q, s, z) y = Conv(x, v)"
    s = np.array([0.01, 0.02, 0.5], "f4")
    make_file(path, f"{IMAGES} {{ {nodes} }}", w=w, s=s, z=np.zeros(3, "i1"))
    check_import(path, (2, 6, 5), rng=rng)


# ----------------------------------------------------------------------------------------------------- moved batch axes


def test_parts_in_front_of_the_batch_axis(path, rng):
    """Heads of attention as PaddlePaddle writes them: (3, N, …) is sliced, and squeezed."""
    nodes = (
        "i = Conv(x, w) s = Constant<value_ints=[0,3,2,30]>() q = Reshape(i, s) t = Transpose<perm=[1,0,3,2]>(q) "
        "n = Constant<value_ints=[0]>() one = Constant<value_ints=[1]>() two = Constant<value_ints=[2]>() "
        "a = Slice(t, n, one, n) b = Squeeze(a, n) f = Constant<value = float {0.25}>() c = Mul(b, f) "
        "d = Slice(t, one, two, n) m = Mul(d, f) r = Sigmoid(m) e = Squeeze(r, n) u = Add(c, e) "
        "j = Transpose<perm=[0,2,1]>(u) k = Constant<value_ints=[0,2,6,5]>() o = Reshape(j, k) y = Relu(o)"
    )
    make_file(path, f"{IMAGES} {{ {nodes} }}", w=normal(rng, 6, 2, 1, 1))
    check_import(path, (2, 6, 5), rng=rng)


def test_a_number_behind_an_axis_in_front(path, rng):
    nodes = (
        "c = Conv(x, w) n = Constant<value_ints=[0]>() u = Unsqueeze(c, n) f = Constant<value = float {0.5}>() "
        "a = Add(u, f) s = Squeeze(a, n) y = Relu(s)"
    )
    make_file(path, f"{IMAGES} {{ {nodes} }}", w=normal(rng, 3, 2, 1, 1))
    check_import(path, (2, 6, 5), rng=rng)


def test_the_batch_axis_is_not_cut_where_it_is(path, rng):
    nodes = (
        "t = Transpose<perm=[1,0,2,3]>(x) n = Constant<value_ints=[0]>() one = Constant<value_ints=[1]>() "
        "a = Slice(t, n, one, one) y = Transpose<perm=[1,0,2,3]>(a)"
    )
    make_file(path, f"{IMAGES} {{ {nodes} }}")
    with pytest.raises(FileFormatError, match="samples stay apart: the batch axis, axis=1, is not cut"):
        mc.import_onnx(path)


def test_joined_with_nothing(path, rng):
    nodes = "c = Conv(x, w) y = Concat<axis=1>(e, c, e, x)"
    make_file(path, f"{IMAGES} {{ {nodes} }}", checked=False, w=normal(rng, 3, 2, 1, 1), e=np.zeros((1, 0, 1, 1), "f4"))
    x = normal(rng, 3, 2, 6, 5)
    w = onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0])[:, :, 0, 0]
    expected = np.concatenate([np.einsum("nchw,fc->nhwf", x, w), channels_last(x)], -1)
    assert_close(mc.import_onnx(path).predict(channels_last(x)), expected, 1e-5)


# --------------------------------------------------------------------------------------------------------------- sizes

GRID = (
    "s = Shape(c) one = Constant<value_ints=[2]>() two = Constant<value_ints=[3]>() three = Constant<value_ints=[4]>() "
)
GRID += (
    "i = Slice(s, one, two) j = Slice(s, two, three) m = Concat<axis=0>(i, j) o = ConstantOfShape(m) p = Cast<to=1>(o) "
)
GRID += "d = Constant<value_int=0>() e = Gather(i, d) f = Constant<value_int=1>() r = Range(d, e, f) z = Cast<to=1>(r) "
GRID += "q = Constant<value_ints=[-1,1]>() v = Reshape(z, q) k = Add(v, p) y = Add(c, k)"


def test_what_depends_on_an_open_size_needs_the_size(path, rng):
    """Positions of pixels, as detectors add them, are a constant of another shape for each size of the image."""
    text = IMAGES.replace("6,5", "H,W")
    make_file(path, f"{text} {{ c = Conv(x, w) {GRID} }}", w=normal(rng, 3, 2, 1, 1))
    with pytest.raises(FileFormatError, match=r"import_onnx\(path, input_shape=\(320, 320, 3\)\)"):
        mc.import_onnx(path)
    model = mc.import_onnx(path, input_shape=(6, 5, 2))
    assert model.input_shape == (None, 6, 5, 2)
    x = normal(rng, 3, 2, 6, 5)
    assert_close(model.predict(channels_last(x)), channels_last(run_file(path, [x])["y"]), 1e-5)


def test_a_size_that_works_and_one_that_stays_open(path, rng):
    """A recognizer of text lines: their height is open in the file, and only one fits."""
    text = "g (float[N,3,H,W] x) => (float[N,l,c] y)"
    nodes = (
        "c = Conv<strides=[4,1]>(x, w) s = Constant<value_ints=[2]>() q = Squeeze(c, s) y = Transpose<perm=[0,2,1]>(q)"
    )
    make_file(path, f"{text} {{ {nodes} }}", w=normal(rng, 4, 3, 4, 2))
    with pytest.raises(FileFormatError, match=r"\(Squeeze\).*if it is for certain sizes, say which"):
        mc.import_onnx(path)
    for shape in ((4, None, 3), [4, None, 3], {"x": (4, None, 3)}):
        model = mc.import_onnx(path, input_shape=shape)
        assert model.input_shape == (None, 4, None, 3)
    x = normal(rng, 2, 3, 4, 9)
    assert_close(model.predict(channels_last(x)), run_file(path, [x])["y"], 1e-5)


def test_sizes_are_asked_for_only_where_they_may_help(path, rng):
    """A softmax over samples is refused at every size."""
    text = IMAGES.replace("6,5", "H,W")
    make_file(path, f"{text} {{ s = Softmax<axis=0>(x) y = Conv(s, w) }}", w=normal(rng, 3, 2, 1, 1))
    with pytest.raises(FileFormatError, match=r"\(Softmax\): samples are not mixed") as caught:
        mc.import_onnx(path)
    assert "input_shape" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((6, 5), r"fits the file's, \(None, None, 2\), without the batch. Received: \(6, 5\)"),
        ((6, 5, 3), r"\(None, None, 2\).*Received: \(6, 5, 3\)"),
        ((0, 5, 2), r"\(None, None, 2\).*Received: \(0, 5, 2\)"),
        ((6.0, 5, 2), r"\(None, None, 2\).*Received: \(6.0, 5, 2\)"),
        ((), r"\(None, None, 2\).*Received: \(\)"),
        (6, r"a tuple of sizes. Received: 6"),
        ({"q": (6, 5, 2)}, r"names of the inputs, \['x'\]. Received: 'q'"),
    ],
    ids=str,
)
def test_sizes_that_do_not_fit(shape, message, path, rng):
    text = IMAGES.replace("6,5", "H,W")
    make_file(path, f"{text} {{ y = Conv(x, w) }}", w=normal(rng, 3, 2, 1, 1))
    with pytest.raises(ValueError, match=message):
        mc.import_onnx(path, input_shape=shape)


def test_sizes_of_several_inputs(path, rng):
    text = "g (float[N,2,H,W] x, float[N,4] v) => (float[N,c,h,w] y, float[N,m] z)"
    nodes = "y = Conv(x, w) z = Relu(v)"
    make_file(path, f"{text} {{ {nodes} }}", w=normal(rng, 3, 2, 1, 1))
    with pytest.raises(ValueError, match=r"a dict, since the file has several inputs: \['x', 'v'\]"):
        mc.import_onnx(path, input_shape=(6, 5, 2))
    model = mc.import_onnx(path, input_shape={"x": (6, None, 2)})
    assert [t.shape for t in model.inputs] == [(None, 6, None, 2), (None, 4)]


def test_many_large_tensors_are_no_more_than_a_few(path, rng):
    """Tensors of one shape share the array that says where their numbers are; so do those of all nodes between."""
    layers, size = 40, 256
    text = f"g (float[N,8,{size},{size}] x) => (float[N,8,{size},{size}] y)"
    nodes = " ".join(f"c{n} = Conv<pads=[1,1,1,1]>(a{n}, w) a{n + 1} = Add(c{n}, a{n})" for n in range(layers))
    nodes = f"a0 = Relu(x) {nodes} y = Relu(a{layers})"
    assert 5 * layers * 8 * size**2 < MAX_TOTAL < 60 * layers * 8 * size**2
    make_file(path, f"{text} {{ {nodes} }}", w=normal(rng, 8, 8, 3, 3))
    model = mc.import_onnx(path)
    assert model.output_shape == (None, size, size, 8)


def test_layouts_are_one_array():
    a, b = channels_first((4, 5, 3)), same_order((4, 5, 3))
    assert channels_first((4, 5, 3)) is a and same_order((4, 5, 3)) is b
    assert layout_of(a) is channels_first and layout_of(b) is same_order
    assert layout_of(a.copy()) is None and layout_of(b[1:]) is None
    np.testing.assert_array_equal(a, np.arange(60).reshape(4, 5, 3).transpose(2, 0, 1))
    with pytest.raises(ValueError, match="read-only"):
        b[0] = 1


# ------------------------------------------------------------------------------------------- numbers of every type

WHOLE = ["uint8", "int8", "uint16", "int16", "int32", "int64", "uint32", "uint64"]


def numbers_of(kind):
    """Six numbers with the least and the greatest that are exact in float32."""
    if kind == "bool":
        return np.array([0, 1, 1, 0, 1, 0], kind)
    if np.dtype(kind).kind == "f":
        return np.array([-2.5, 0, 0.125, 1, 3, 4], kind)
    bounds = np.iinfo(kind)
    return np.array([max(bounds.min, -(2**24)), 0, 1, 5, 100, min(bounds.max, 2**24)], kind)


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize("kind", [*WHOLE, "float16", "float32", "float64", "bool"])
def test_numbers_of_every_type(path, kind, is_raw):
    """As bytes, and in the field of their type, where those of float16 are bits as whole numbers."""
    make_file(path, f"{VECTORS} {{ f = Cast<to=1>(c) y = Add(x, f) }}", checked=False)
    proto, c = onnx.load(path, load_external_data=False), numbers_of(kind)
    dtype = onnx.helper.np_dtype_to_tensor_dtype(c.dtype)
    proto.graph.initializer.append(onnx.helper.make_tensor("c", dtype, [6], c.tobytes() if is_raw else c, raw=is_raw))
    assert proto.graph.initializer[0].HasField("raw_data") == is_raw
    onnx.save(proto, path)
    x = np.zeros((2, 6), "f4")
    assert np.array_equal(run_file(path, [x])["y"], c.astype("f4") + x)
    assert np.array_equal(mc.import_onnx(path).predict(x), c.astype("f4") + x)


def test_what_a_cast_says_of_numbers_of_8_bits(path, rng):
    """Exporters write defaults out, too: how float8 is rounded says nothing of float32."""
    nodes = 'f = Cast<to=1, saturate=1, round_mode="up">(c) g = CastLike<round_mode="up">(x, f) y = Add(g, f)'
    make_file(path, f"{VECTORS} {{ {nodes} }}", opset=24, checked=False, c=np.arange(6))
    x = normal(rng, 3, 6)
    assert_close(mc.import_onnx(path).predict(x), x + np.arange(6), 1e-6)


@pytest.mark.parametrize("kind", ["uint8", "int16", "float16"])
def test_numbers_that_their_type_does_not_hold(path, kind):
    make_file(path, f"{VECTORS} {{ f = Cast<to=1>(c) y = Add(x, f) }}", checked=False)
    proto = onnx.load(path)
    dtype = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    proto.graph.initializer.append(onnx.TensorProto(name="c", data_type=dtype, dims=[6], int32_data=[70000] * 6))
    onnx.save(proto, path)
    with pytest.raises(FileFormatError, match=f"tensor 'c' should hold numbers of {kind}"):
        mc.import_onnx(path)


@pytest.mark.parametrize(("mode", "axes"), [("DCR", (0, 3, 5, 1, 2, 4)), ("CRD", (0, 1, 3, 5, 2, 4))])
def test_blocks_that_become_channels(path, rng, mode, axes):
    """ONNX says the order since opset 28; its own operator text is the oracle, as onnxruntime is older."""
    text = f'{IMAGES} {{ s = SpaceToDepth<blocksize=2, mode="{mode}">(x) y = Conv(s, w) }}'
    make_file(path, text.replace("6,5]", "6,4]"), opset=28, checked=False, w=np.eye(8, dtype="f4")[..., None, None])
    x = normal(rng, 3, 2, 6, 4)
    expected = x.reshape(3, 2, 3, 2, 2, 2).transpose(axes).reshape(3, 8, 3, 2)
    assert_close(mc.import_onnx(path).predict(channels_last(x)), channels_last(expected), 1e-6)


# ----------------------------------------------------------------------------------------- what is refused, and by name

REFUSED = {
    "LSTM": ("s = Shape(x) h, c = LSTM<hidden_size=2>(x, w, w) y = Relu(h)", "there are no recurrent layers here"),
    "GRU": ("t = Transpose<perm=[1,0,2]>(x) y = GRU<hidden_size=2>(t, w, w)", "there are no recurrent layers here"),
    "Unique": ("t = Transpose<perm=[1,0,2]>(x) y, i = Unique(t)", "this operator is not supported: cut the file"),
    "QLinearConv": ("y = QLinearConv(x, w, w, w, w, w, w, w)", "computes in integers of 8 bits.*QDQ"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_operator_that_is_not_there_is_named_before_others_fail(name, path):
    """A network for sound prepares its LSTM with operators that mix samples: those are not what is missing."""
    nodes, message = REFUSED[name]
    make_file(path, f"g (float[N,4,3] x) => (float[a,b,c] y) {{ {nodes} }}", checked=False, w=np.ones((1, 4), "f4"))
    with pytest.raises(FileFormatError, match=rf"\({name}\): .*{message}"):
        mc.import_onnx(path)


def test_what_is_computed_of_constants_alone_is_not_for_tensors(path):
    make_file(path, f"{IMAGES} {{ y = ScatterND(x, i, x) }}", checked=False, i=np.zeros((1, 1), int))
    with pytest.raises(FileFormatError, match=r"\(ScatterND\): this operator is not supported"):
        mc.import_onnx(path)
