"""Samples behind other axes, or counted with others, as attention of PyTorch has them: beside onnxruntime."""

import itertools

import numpy as np
import pytest
from onnx_files import check_import, make_file, run_file

import minicnn as mc
from minicnn.errors import FileFormatError

IMAGES = "g (float[N,2,6,5] x) => (float[N,c,h,w] y)"
ROWS = "g (float[N,5,8] x) => (float[N,l,c] y)"  # 5 words of 8 numbers


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def normal(rng, *shape):
    return (rng.normal(size=shape) / 2).astype(np.float32)


def weights(rng):
    return {"w": normal(rng, 8, 24), "b": normal(rng, 24), "v": normal(rng, 8, 8), "c": normal(rng, 8)}


def attention(split, heads, back, last):
    """Two heads of four numbers, the words before the samples; the arguments are shapes."""
    return (
        f"t = Transpose<perm=[1,0,2]>(x) m = MatMul(t, w) i = Add(m, b) s0 = Constant<value_ints={split}>() "
        "r = Reshape(i, s0) a0 = Constant<value_ints=[0]>() u = Unsqueeze(r, a0) p = Transpose<perm=[3,1,2,0,4]>(u) "
        "a3 = Constant<value_ints=[-2]>() e = Squeeze(p, a3) n0 = Constant<value_int=0>() n1 = Constant<value_int=1>() "
        "n2 = Constant<value_int=2>() q0 = Gather(e, n0) k0 = Gather(e, n1) v0 = Gather(e, n2) "
        f"s1 = Constant<value_ints={heads}>() q1 = Reshape(q0, s1) k1 = Reshape(k0, s1) v1 = Reshape(v0, s1) "
        "q = Transpose<perm=[1,0,2]>(q1) k = Transpose<perm=[1,2,0]>(k1) z = Transpose<perm=[1,0,2]>(v1) "
        "f = Constant<value = float {0.5}>() qs = Mul(q, f) d = MatMul(qs, k) g = Softmax<axis=-1>(d) h = MatMul(g, z) "
        f"j = Transpose<perm=[1,0,2]>(h) s2 = Constant<value_ints={back}>() l = Reshape(j, s2) "
        f"o = Gemm(l, v, c) s3 = Constant<value_ints={last}>() y1 = Reshape(o, s3) y = Transpose<perm=[1,0,2]>(y1)"
    )


SHAPES = {
    "any number": ("N", [5, -1, 3, 8], [5, -1, 4], [-1, 8], [5, -1, 8]),
    "one": (1, [5, 1, 3, 8], [5, 2, 4], [5, 8], [5, 1, 8]),
    "three": (3, [5, 3, 3, 8], [5, 6, 4], [15, 8], [5, 3, 8]),
}


@pytest.mark.parametrize("case", ["any number", "three"])
def test_attention_over_words_before_samples(case, path, rng):
    count, *shapes = SHAPES[case]
    make_file(path, f"{ROWS.replace('N', str(count))} {{ {attention(*shapes)} }}", **weights(rng))
    model = check_import(path, (5, 8), rng=rng, images_in=False, images_out=False)
    assert model.output_shape == (None, 5, 8)


def test_a_file_of_one_sample_is_read_for_any_number(path, tmp_path, rng):
    """Where the file says 1, several axes might count samples; the numbers are those of the file for any number."""
    constants, models = weights(rng), []
    for case in ("one", "any number"):
        count, *shapes = SHAPES[case]
        make_file(path, f"{ROWS.replace('N', str(count))} {{ {attention(*shapes)} }}", **constants)
        models.append(mc.import_onnx(path))
    x = normal(rng, 3, 5, 8)
    np.testing.assert_allclose(models[0].predict(x), models[1].predict(x), 1e-6)


def test_heads_times_samples_is_calculated(path, rng):
    """The older exporter of PyTorch multiplies the number of samples by that of heads, and by that of words."""
    nodes = (
        "t = Transpose<perm=[1,0,2]>(x) s = Shape(t) n1 = Constant<value_int=1>() n = Gather(s, n1) "
        "two = Constant<value_int=2>() five = Constant<value_int=5>() nh = Mul(n, two) ln = Mul(five, n) "
        "a = Constant<value_ints=[0]>() w5 = Constant<value_ints=[5]>() w4 = Constant<value_ints=[4]>() "
        "w8 = Constant<value_ints=[8]>() u1 = Unsqueeze(nh, a) s1 = Concat<axis=0>(w5, u1, w4) h = Reshape(t, s1) "
        "z = Transpose<perm=[1,0,2]>(h) k = Transpose<perm=[0,2,1]>(z) d = MatMul(z, k) g = Softmax<axis=-1>(d) "
        "m = MatMul(g, z) j = Transpose<perm=[1,0,2]>(m) u2 = Unsqueeze(ln, a) s2 = Concat<axis=0>(u2, w8) "
        "l = Reshape(j, s2) o = Gemm(l, v, c) u3 = Unsqueeze(n, a) s3 = Concat<axis=0>(w5, u3, w8) r = Reshape(o, s3) "
        "y = Transpose<perm=[1,0,2]>(r)"
    )
    make_file(path, f"{ROWS} {{ {nodes} }}", v=normal(rng, 8, 8), c=normal(rng, 8))
    check_import(path, (5, 8), rng=rng, images_in=False, images_out=False)


def test_layers_of_a_transformer_that_has_samples_second(path, rng):
    nodes = (
        "t = Transpose<perm=[1,0,2]>(x) n = LayerNormalization<axis=-1>(t, g, c) m = MatMul(n, w) a = Add(m, b) "
        "r = Relu(a) q = MatMul(r, u) s = Add(t, q) e = LayerNormalization<axis=2>(s, c, g) p = Mul(e, s) "
        "y = Transpose<perm=[1,0,2]>(p)"
    )
    constants = {"u": normal(rng, 24, 8), "g": normal(rng, 8), "c": normal(rng, 8)}
    make_file(path, f"{ROWS} {{ {nodes} }}", w=normal(rng, 8, 24), b=normal(rng, 24), **constants)
    check_import(path, (5, 8), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_any_axes_are_counted_with_the_samples(order, at, path, rng):
    """Two neighbours become one axis, and two again."""
    sizes = [-1, 2, 6, 5]
    shape, back = [sizes[axis] for axis in order], np.argsort(order).tolist()
    joined = [*shape[:at], -1 if -1 in shape[at : at + 2] else shape[at] * shape[at + 1], *shape[at + 2 :]]
    nodes = (
        f"c = Conv(x, w) t = Transpose<perm={list(order)}>(c) s = Constant<value_ints={joined}>() j = Reshape(t, s) "
        f"g = Sigmoid(j) b = Constant<value_ints={shape}>() r = Reshape(g, b) y = Transpose<perm={back}>(r)"
    )
    make_file(path, f"{IMAGES} {{ {nodes} }}", w=np.eye(2, dtype="f4")[..., None, None])
    check_import(path, (2, 6, 5), rng=rng)


@pytest.mark.parametrize(
    ("order", "joined", "turned", "apart", "back"),
    [
        ([1, 2, 0, 3], [-1, 5], [1, 0], [5, 2, 6, -1], [3, 1, 2, 0]),
        ([2, 0, 3, 1], [-1, 2], [1, 0], [2, 6, -1, 5], [2, 0, 1, 3]),
        ([0, 3, 1, 2], [-1, 6], [1, 0], [6, -1, 5, 2], [1, 3, 0, 2]),
        ([2, 3, 0, 1], [6, -1, 2], [2, 1, 0], [2, 5, -1, 6], [2, 0, 3, 1]),
    ],
)
def test_axes_that_are_counted_together_move_together(order, joined, turned, apart, back, path, rng):
    nodes = (
        f"c = Conv(x, w) t = Transpose<perm={order}>(c) s = Constant<value_ints={joined}>() j = Reshape(t, s) "
        f"g = Transpose<perm={turned}>(j) b = Constant<value_ints={apart}>() r = Reshape(g, b) "
        f"y = Transpose<perm={back}>(r)"
    )
    make_file(path, f"{IMAGES} {{ {nodes} }}", w=normal(rng, 2, 2, 1, 1))
    check_import(path, (2, 6, 5), rng=rng)


@pytest.mark.parametrize(
    ("order", "shape", "count", "is_read"),
    [
        ([1, 0, 2], "0, 0, 8", 8, True),
        ([0, 1, 2], "-1, 8", 8, True),
        ([1, 0, 2], "0, -1, 4", 4, True),  # heads, which are no axis of the model's
        ([2, 1, 0], "0, 0, 0", 5, False),  # columns are the samples
        ([2, 0, 1], "0, 0, 0", 5, True),  # columns are the words
    ],
)
def test_a_number_for_each_column_of_samples_elsewhere(order, shape, count, is_read, path, rng):
    back, apart = np.argsort(order).tolist(), [[-1, 5, 8][axis] for axis in order]
    nodes = (
        f"t = Transpose<perm={order}>(x) s = Constant<value_ints=[{shape}]>() r = Reshape(t, s) m = Mul(r, a) "
        f"d = Sub(b, m) g = Relu(d) e = Constant<value_ints={apart}>() o = Reshape(g, e) "
        f"y = Transpose<perm={back}>(o)"
    )
    make_file(path, f"{ROWS} {{ {nodes} }}", checked=False, a=normal(rng, count), b=normal(rng, count))
    if is_read:
        check_import(path, (5, 8), rng=rng, images_in=False, images_out=False)
    else:
        with pytest.raises(FileFormatError, match=r"\(Mul\): samples stay apart"):
            mc.import_onnx(path)


@pytest.mark.parametrize("is_joined", [True, False])
def test_windows_that_are_counted_with_the_samples(is_joined, path, rng):
    """Swin: attention in each window, with an array for all windows and another for each of them."""
    split = "[-1, 4, 5, 3, 2, 4]" if is_joined else "[-1, 2, 2, 5, 3, 2, 4]"  # (N, windows, words, qkv, heads, size)
    perm = [3, 0, 1, 4, 2, 5] if is_joined else [4, 0, 1, 2, 5, 3, 6]
    nodes = (
        f"sa = Constant<value_ints={split}>() r = Reshape(x, sa) t = Transpose<perm={perm}>(r) "
        "sb = Constant<value_ints=[3, -1, 2, 5, 4]>() j = Reshape(t, sb) "  # (qkv, N · windows, heads, words, size)
        "q = Gather<axis=0>(j, n0) k = Gather<axis=0>(j, n1) sp = Slice(j, two, three, zero) v = Squeeze(sp, zero) "
        "l = ReduceL2<axes=[-1], keepdims=1>(k) lc = Clip(l, low) sl = Constant<value_ints=[1, 2, 5, 4]>() "
        "le = Expand(lc, sl) u = Div(k, le) ut = Transpose<perm=[0,1,3,2]>(u) s = MatMul(q, ut) "
        "f = Mul(s, factor) b = Add(f, bias) sc = Constant<value_ints=[-1, 4, 2, 5, 5]>() w = Reshape(b, sc) "
        "m = Add(w, mask) sd = Constant<value_ints=[-1, 2, 5, 5]>() e = Reshape(m, sd) p = Softmax<axis=-1>(e) "
        "o = MatMul(p, v) se = Constant<value_ints=[-1, 4, 2, 5, 4]>() y = Reshape(o, se)"
    )
    arrays = {f"n{n}": np.array(n) for n in range(2)}
    arrays |= {name: np.array([n]) for n, name in ((0, "zero"), (2, "two"), (3, "three"))}
    arrays |= {"bias": normal(rng, 2, 5, 5), "mask": normal(rng, 1, 4, 1, 5, 5), "factor": normal(rng, 2, 1, 1)}
    text = f"g (float[N,20,24] x) => (float[N,4,2,5,4] y) {{ {nodes} }}"
    make_file(path, text, checked=False, low=np.float32(1e-3), **arrays)
    check_import(path, (20, 24), rng=rng, images_in=False, images_out=False)


def test_numbers_for_samples_that_are_counted_with_others(path, rng):
    nodes = "s = Constant<value_ints=[-1, 8]>() r = Reshape(x, s) y = Mul(r, a)"
    make_file(path, f"{ROWS} {{ {nodes} }}", checked=False, a=normal(rng, 5, 8))
    with pytest.raises(FileFormatError, match=r"\(Mul\): its constant is the same for every sample"):
        mc.import_onnx(path)


def test_arrays_that_numbers_are_put_into(path, rng):
    """PyTorch writes ``mask[a:b] = 1`` so, and ``table[index]``."""
    nodes = "m = ScatterND(zeros, rows, ones) t = GatherND(m, rows) u = Concat<axis=0>(m, t) y = Add(x, u)"
    arrays = {"zeros": normal(rng, 3, 4), "rows": np.array([[2], [0]]), "ones": normal(rng, 2, 4)}
    make_file(path, f"g (float[N,5,4] x) => (float[N,5,4] y) {{ {nodes} }}", **arrays)
    check_import(path, (5, 4), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize("shape", [[-1], [0], [-1, 1], [0, -1]])
def test_one_number_a_sample(shape, path, rng):
    nodes = (
        f"m = ReduceMean<axes=[1,2,3], keepdims=1>(x) s = Constant<value_ints={shape}>() r = Reshape(m, s) y = Abs(r)"
    )
    axes = "N, u"[: 4 * len(shape) - 3]
    make_file(path, f"g (float[N,2,6,5] x) => (float[{axes}] y) {{ {nodes} }}", checked=False)
    check_import(path, (2, 6, 5), rng=rng)


# ------------------------------------------------------------------------------------- numbers of all samples in a row

STRIDED = "p = GlobalAveragePool(x) f = Constant<value_ints=[-1]>() r = Reshape(p, f) "
BY_NUMBER = (
    "s = Shape<end=1>(x) a = Constant<value_ints=[0]>() n = Squeeze(s, a) n0 = Constant<value_int=0>() "
    "n1 = Constant<value_int=1>() k = Range(n0, n, n1) m = Mul(k, two) "
    "b = Constant<value_ints=[1,2,3]>() u = Unsqueeze(m, b) i = Add(u, c) y = Gather<axis=0>(r, i)"
)
CHANNELS = np.arange(2).reshape(1, 2, 1, 1)


def test_pooled_images_as_the_exporter_of_pytorch_takes_them_up_again(path, rng):
    """``AdaptiveAvgPool2d(1)`` behind a ``permute``, as ConvNeXt and Swin have it: ``as_strided``."""
    make_file(path, f"{IMAGES} {{ {STRIDED} {BY_NUMBER} }}", two=np.int64(2), c=CHANNELS)
    check_import(path, (2, 6, 5), rng=rng)


@pytest.mark.parametrize("channels", [[0, 1], [1, 0]])
def test_pooled_images_of_three_samples(channels, path, rng):
    indices = np.array([[2 * n + channel for channel in channels] for n in range(3)])[..., None, None]
    w = normal(rng, 2, 3)
    text = "g (float[3,2,6,5] x) => (float[3,u] y)"
    make_file(path, f"{text} {{ {STRIDED} k = Gather<axis=0>(r, i) v = Flatten(k) y = Gemm(v, w) }}", w=w, i=indices)
    check_import(path, (2, 6, 5), rng=rng)


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        (BY_NUMBER, {"two": np.int64(3), "c": CHANNELS}, r"\(Gather\): it takes the 2 numbers of each sample"),
        (BY_NUMBER, {"two": np.int64(2), "c": CHANNELS // 2}, r"\(Gather\): it takes the 2 numbers of each sample"),
        (BY_NUMBER, {"two": np.int64(2), "c": CHANNELS + 1}, r"\(Gather\): it takes the 2 numbers of each sample"),
        (
            BY_NUMBER.replace("Add(u", "Sub(u"),
            {"two": np.int64(2), "c": CHANNELS},
            r"\(Sub\): it calculates with the num",
        ),
        (BY_NUMBER.replace("Mul(k, two)", "Mul(k, k)"), {"c": CHANNELS}, r"\(Mul\): it calculates with the numbers of"),
        ("y = Gather<axis=0>(r, i)", {"i": CHANNELS}, r"\(Gather\): it takes the 2 numbers of each sample"),
    ],
)
def test_other_numbers_of_all_samples_are_refused(nodes, constants, message, path):
    make_file(path, f"{IMAGES} {{ {STRIDED} {nodes} }}", **constants)
    with pytest.raises(FileFormatError, match=message):
        mc.import_onnx(path)


@pytest.mark.parametrize("operator", ["Tile(e, s)", "Expand(e, s)"])
def test_an_encoding_that_is_repeated_for_each_sample(operator, path, rng):
    nodes = (
        "n = Shape<end=1>(x) o = Constant<value_ints=[1]>() s = Concat<axis=0>(n, o, o, o) "
        f"t = {operator} y = Add(x, t)"
    )
    make_file(path, f"{IMAGES} {{ {nodes} }}", e=normal(rng, 1, 2, 6, 5))
    check_import(path, (2, 6, 5), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize("operator", ["Tile(e, s)", "Expand(e, s)"])
def test_a_multiple_of_the_number_of_samples_repeats_nothing(operator, path, rng):
    nodes = (
        "n = Shape<end=1>(x) two = Constant<value_ints=[2]>() m = Mul(n, two) o = Constant<value_ints=[1]>() "
        f"s = Concat<axis=0>(m, o, o, o) t = {operator} y = Add(x, t)"
    )
    make_file(path, f"{IMAGES} {{ {nodes} }}", checked=False, e=normal(rng, 1, 2, 6, 5))
    with pytest.raises(FileFormatError, match="the number of samples is one of them"):
        mc.import_onnx(path)


# ------------------------------------------------------------------------------------------------------------- Einsum

PAIR = "g (float[N,2,6,5] x, float[N,2,6,5] z) => (float[N,o1,o2,o3] y)"


@pytest.mark.parametrize(
    "equation",
    [
        "bhid,bhjd->bhij",
        "B H I D, B H J D -> B H I J",
        "bhij,bhik->bhjk",
        "bijh,bkjh->bhik",
        "bijh,bijk->bjhk",
        "bhij,bhij->bjhi",
    ],
)
def test_products_whose_axes_have_letters(equation, path, rng):
    make_file(path, f'{PAIR} {{ y = Einsum<equation="{equation}">(x, z) }}')
    check_import(path, (2, 6, 5), (2, 6, 5), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize("equation", ["bchw,bdhw->bcd", "bchw,bchw->bc", "bchw,bchw->bhw", "bchw,bchw->b"])
def test_products_that_have_fewer_axes(equation, path, rng):
    axes = ", ".join(["N", "k", "l"][: len(equation.partition(">")[2])])
    text = f'g (float[N,2,6,5] x) => (float[{axes}] y) {{ c = Conv(x, w) y = Einsum<equation="{equation}">(c, x) }}'
    make_file(path, text, w=normal(rng, 2, 2, 1, 1))
    check_import(path, (2, 6, 5), rng=rng, images_out=False)


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("bchw,bdhw", "says what comes out"),
        ("bchw,bdhh->bcd", "each is once in a term"),
        ("...hw,...dw->...hd", "each is once in a term"),
        ("nchw,ndhw->cnd", "samples stay apart: their letter comes first"),
        ("bchw,adhw->bcd", "samples stay apart: their letter comes first"),
        ("bchw,bdhe->bcde", "it sums over letters that both inputs have"),
        ("bchw,bdwh->bcd", "equal ones have equal sizes"),
        ("bchw,bdh->bcd", "letters are axes"),
    ],
)
def test_other_letters_are_refused(equation, message, path):
    make_file(path, f'{PAIR} {{ y = Einsum<equation="{equation}">(x, z) }}', checked=False)
    with pytest.raises(FileFormatError, match=rf"\(Einsum\): .*{message}.*Received: equation="):
        mc.import_onnx(path)


@pytest.mark.parametrize("operator", ["Sub", "Mul", "Div", "Add", "Max"])
def test_numbers_of_each_row_where_samples_are_second(operator, path, rng):
    """As LayerNormalization before opset 17, around PyTorch's attention with batch_first=False."""
    nodes = (
        "t = Transpose<perm=[1,0,2]>(x) a = Abs(t) m = ReduceMean<axes=[-1]>(a) "
        f"c = {operator}(t, m) d = {operator}(m, c) y = Transpose<perm=[1,0,2]>(d)"
    )
    make_file(path, f"{ROWS} {{ {nodes} }}")
    check_import(path, (5, 8), rng=rng, images_in=False, images_out=False)


VIDEOS = "g (float[N,3,2,6,5] x) => (float[N,a,b,c,d] y)"  # 3 frames of 2 channels
FRAMES = "s = Constant<value_ints=[-1,2,6,5]>() f = Reshape(x, s)"


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ("p = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],count_include_pad=1>(f)", [2, 3, 3]),
        ("i = Split<axis=1>(f, ones) p = Conv(j, k)", [4, 5, 4]),
        ('m = Conv(f, w) p = DepthToSpace<blocksize=2,mode="CRD">(m)', [1, 10, 8]),
        ("m = GlobalAveragePool(f) q = Sigmoid(m) p = Mul(f, q)", [2, 6, 5]),
        ("t = Transpose<perm=[0,1,3,2]>(f) p = MatMul(f, t)", [2, 6, 6]),
        ("h = Conv(f, w) r = Relu(h) p = MaxPool<kernel_shape=[3,2],strides=[2,1],pads=[1,0,1,1]>(r)", [4, 3, 4]),
        ("h = Conv(f, w, a) p = Clip(h, zero, six)", [4, 5, 4]),
    ],
)
def test_frames_of_videos_that_are_counted_with_the_samples(nodes, shape, path, rng):
    nodes = nodes.replace("i = Split", "i, j = Split")
    back = f"u = Constant<value_ints={[-1, 3, *shape]}>() y = Reshape(p, u)"
    weights = {
        "k": normal(rng, 4, 1, 2, 2),
        "w": normal(rng, 4, 2, 2, 2),
        "ones": np.array([1, 1]),
        "a": normal(rng, 4),
    }
    weights |= {"zero": np.float32(0), "six": np.float32(0.5)}
    make_file(path, f"{VIDEOS} {{ {FRAMES} {nodes} {back} }}", **{n: a for n, a in weights.items() if n in nodes})
    x = normal(rng, 4, 3, 2, 6, 5)
    np.testing.assert_allclose(mc.import_onnx(path).predict(x), run_file(path, [x])["y"], atol=1e-5)


def test_an_operator_on_two_tensors_of_frames_says_why_not(path):
    make_file(path, f"{VIDEOS} {{ {FRAMES} r = Relu(f) y = Concat<axis=1>(f, r) }}")
    with pytest.raises(FileFormatError, match=r"\(Concat\): samples stay apart: the first axis of input 0 counts them"):
        mc.import_onnx(path)
