"""Attention in ONNX files: the operator of opset 23, masks, and what PyTorch writes around Softmax; by onnxruntime."""

import numpy as np
import pytest
from onnx_files import TOLERANCE, check_import, make_file, onnxruntime, run_file
from oracles import assert_close

import minicnn as mc
from minicnn import layers
from minicnn.errors import FileFormatError

APART, JOINED = "float[N,2,5,4]", "float[N,5,8]"
LOWER = np.tril(np.ones((5, 5), bool))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.onnx"


def attention(kind, options, mask=""):
    """A graph of Attention with those options, of queries, keys and values that differ."""
    nodes = f"k = Tanh(x) v = Mul(x, x) y = Attention<{options}>(x, k, v{mask})"
    return f"g ({kind} x) => (float[a,b,c{',d' if kind == APART else ''}] y) {{ {nodes} }}"


def options_of(**options):
    return ", ".join(f"{name}={value}" for name, value in options.items())


@pytest.mark.parametrize("mask", [None, LOWER, np.linspace(-1, 1, 25, dtype="f4").reshape(5, 5)])
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("scale", [{}, {"scale": 0.3}])
@pytest.mark.parametrize("kind", [APART, JOINED])
def test_the_operator(kind, scale, causal, mask, tmp_path, rng):
    options = options_of(is_causal=causal, **scale, **({} if kind == APART else {"q_num_heads": 2, "kv_num_heads": 2}))
    constants = {} if mask is None else {"m": mask}
    text = attention(kind, options, "" if mask is None else ", m")
    path = make_file(tmp_path / "a.onnx", text, opset=23, checked=False, **constants)
    shape = (2, 5, 4) if kind == APART else (5, 8)
    check_import(path, shape, rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize(
    ("kind", "options", "mask", "message"),
    [
        (APART, "softcap=2.0", "", r"\(Attention\): keys and values of a call before, lengths, .* are not read"),
        (JOINED, "q_num_heads=2, kv_num_heads=1", "", r"\(Attention\): queries, keys and values have as many heads"),
        (JOINED, "is_causal=0", "", r"\(Attention\): queries, keys and values have as many heads"),
        (APART, "is_causal=0", ", m", r"\(Attention\): its mask has a number for each of 5 keys"),
    ],
)
def test_what_is_refused(kind, options, mask, message, tmp_path):
    wrong = np.ones((5, 3), bool)
    path = make_file(tmp_path / "a.onnx", attention(kind, options, mask), opset=23, checked=False, m=wrong)
    with pytest.raises(FileFormatError, match=message):
        mc.import_onnx(path)


OPEN_ROWS = "g (float[N,T,8] x) => (float[N,a,b] y)"
LENGTHS = "s = Shape(x) t = Gather(s, one) u = Unsqueeze(t, zeros) q = Concat<axis=0>(u, u)"
MASKS = {  # as PyTorch's exporters and tf2onnx write them
    "a triangle, added": "o = ConstantOfShape<value = float[1] {1.0}>(q) r = Trilu<upper=0>(o, zero) e = Equal(r, f) "
    "m = Where(e, below, f) w = Add(d, m) g = Softmax<axis=-1>(w)",
    "a triangle, and the least number": "o = ConstantOfShape<value = float[1] {1.0}>(q) r = Trilu<upper=0>(o, zero) "
    "e = Cast<to=9>(r) w = Where(e, d, least) g = Softmax<axis=-1>(w)",
    "sums of ones": "o = ConstantOfShape<value = float[1] {1.0}>(q) a = CumSum(o, zero) b = CumSum(o, one) "
    "e = GreaterOrEqual(a, b) w = Where(e, d, below) g = Softmax<axis=-1>(w)",
    "weights that are zeros": "o = ConstantOfShape<value = float[1] {1.0}>(q) r = Trilu<upper=0>(o, zero) "
    "a = Softmax<axis=-1>(d) g = Mul(a, r)",
}


def check_lengths(path, rng, size=8):
    """Any length is read; the numbers are onnxruntime's."""
    model = mc.import_onnx(path)
    for length in (5, 9):
        x = rng.normal(size=(2, length, size)).astype("f4")
        (expected,) = run_file(path, [x]).values()
        assert_close(model.predict(x), expected, TOLERANCE)


@pytest.mark.parametrize("case", MASKS)
def test_causal_masks_of_open_lengths(case, path, rng):
    nodes = f"k = Transpose<perm=[0,2,1]>(x) d = MatMul(x, k) {LENGTHS} {MASKS[case]} y = MatMul(g, x)"
    numbers = {"f": 0, "below": -np.inf, "least": np.finfo("f4").min}
    numbers = {name: np.array(n, "f4") for name, n in numbers.items()} | {"zero": np.array(0), "one": np.array(1)}
    make_file(path, f"{OPEN_ROWS} {{ {nodes} }}", zeros=np.array([0]), **numbers)
    check_lengths(path, rng)


@pytest.mark.parametrize("kind", [bool, np.float32])
def test_a_row_that_the_operators_mask_leaves_nothing_of(kind, tmp_path, rng):
    """Is of zeros."""
    mask = LOWER & (np.arange(5) != 4)[:, None]
    mask = mask if kind is bool else np.where(mask, 0, -np.inf).astype(kind)
    path = make_file(tmp_path / "a.onnx", attention(APART, "scale=0.5", ", m"), opset=23, checked=False, m=mask)
    model = check_import(path, (2, 5, 4), rng=rng, images_in=False, images_out=False)
    assert not model.predict(np.ones((1, 2, 5, 4), "f4"))[:, :, 4].any()


@pytest.mark.parametrize("options", ["is_causal=1", "is_causal=0"])
def test_the_operator_for_open_lengths(options, path, rng):
    nodes = f"k = Tanh(x) y = Attention<{options}, q_num_heads=2, kv_num_heads=2>(x, k, x)"
    make_file(path, f"{OPEN_ROWS} {{ {nodes} }}", opset=23, checked=False)
    check_lengths(path, rng)


LAYERS = {
    "GroupQueryAttention": lambda: layers.GroupQueryAttention(4, 4, 2),
    "MultiHeadAttention": lambda: layers.MultiHeadAttention(2, 4),
    "Attention": layers.Attention,
    "AdditiveAttention": layers.AdditiveAttention,
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_own_attention_of_open_lengths_is_read_again(name, causal, path, rng):
    x = mc.Input((None, 8))
    inputs = [x, x] if "Head" not in name and "Group" not in name else (x, x)
    layer = LAYERS[name]()
    call = (lambda **o: layer(inputs, **o)) if isinstance(inputs, list) else (lambda **o: layer(*inputs, **o))
    model = mc.Model(x, call(use_causal_mask=causal))
    mc.export_onnx(model, path)
    check_lengths(path, rng)


SCORES = "k = Transpose<perm=[0,1,3,2]>(x) s = MatMul(x, k)"


def test_what_is_not_a_number_behind_a_softmax(tmp_path, rng):
    """PyTorch puts 0 where a mask leaves nothing, in files of masks that leave something everywhere too."""
    nodes = f"{SCORES} t = Add(s, m) p = Softmax(t) n = IsNaN(p) w = Where(n, z, p) y = MatMul(w, x)"
    text = f"g ({APART} x) => ({APART} y) {{ {nodes} }}"
    constants = {"m": np.where(LOWER, 0, -np.inf).astype("f4"), "z": np.zeros((), "f4")}
    path = make_file(tmp_path / "a.onnx", text, **constants)
    check_import(path, (2, 5, 4), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize(("upper", "k"), [(0, 0), (1, 1), (0, -1)])
def test_a_triangle_of_constants(upper, k, tmp_path, rng):
    nodes = f"{SCORES} r = Trilu<upper={upper}>(m, d) t = Add(s, r) y = Softmax(t)"
    text = f"g ({APART} x) => (float[N,2,5,5] y) {{ {nodes} }}"
    constants = {"m": rng.normal(size=(5, 5)).astype("f4"), "d": np.array(k)}
    path = make_file(tmp_path / "a.onnx", text, **constants)
    check_import(path, (2, 5, 4), rng=rng, images_in=False, images_out=False)


# ----------------------------------------------------------------------- what PyTorch writes of InstanceNorm and Resize


def test_numbers_of_channels_that_are_counted_with_the_samples(path, rng):
    """InstanceNorm with track_running_stats=True: one image of N · C channels."""
    tiles = " ".join(f"t{name} = Tile({name}, n)" for name in "abmv")
    nodes = (
        f"c = Conv(x, k) n = Shape<start=0, end=1>(c) r = Reshape(c, s) {tiles} "
        "z = BatchNormalization(r, ta, tb, tm, tv) w = Reshape(z, q) y = Relu(w)"
    )
    arrays = {name: rng.uniform(0.5, 2, size=3).astype("f4") for name in "abmv"}
    arrays["k"] = rng.normal(size=(3, 3, 1, 1)).astype("f4")
    sizes = {"s": np.array([1, -1, 6, 4]), "q": np.array([-1, 3, 6, 4])}
    make_file(path, f"g (float[N,3,6,4] x) => (float[N,3,6,4] y) {{ {nodes} }}", **arrays, **sizes)
    check_import(path, (3, 6, 4), rng=rng)


@pytest.mark.parametrize("size", [(12, 8), (9, 7), (4, 3)])
@pytest.mark.parametrize("is_exact", [False, True])
def test_nearest_pixels_by_an_index(is_exact, size, path, rng):
    places = [np.arange(n) * old // n for n, old in zip(size, (6, 4), strict=True)]
    if is_exact:
        places = [(2 * np.arange(n) + 1) * old // (2 * n) for n, old in zip(size, (6, 4), strict=True)]
    nodes = "c = Conv(x, w) t = Transpose<perm=[2,3,0,1]>(c) g = GatherND(t, i) y = Transpose<perm=[2,3,0,1]>(g)"
    indices = np.stack(np.meshgrid(*places, indexing="ij"), -1)
    kernel = rng.normal(size=(2, 3, 1, 1)).astype("f4")
    make_file(path, f"g (float[N,3,6,4] x) => (float[N,2,a,b] y) {{ {nodes} }}", i=indices, w=kernel)
    check_import(path, (3, 6, 4), rng=rng)


def test_other_pixels_by_an_index(path, rng):
    nodes = "c = Relu(x) t = Transpose<perm=[2,3,0,1]>(c) g = GatherND(t, i) y = Transpose<perm=[2,3,0,1]>(g)"
    indices = np.stack(np.meshgrid([0, 2, 1], [0, 1], indexing="ij"), -1)
    make_file(path, f"g (float[N,3,6,4] x) => (float[N,3,a,b] y) {{ {nodes} }}", i=indices)
    with pytest.raises(FileFormatError, match=r"\(GatherND\): .* resize with Resize"):
        mc.import_onnx(path)


# -------------------------------------------------------------------------------------------- integers of 8 bits (QDQ)


def test_rounding_is_the_files_and_not_that_of_integer_kernels(path, rng):
    """onnxruntime fuses QuantizeLinear, Conv and DequantizeLinear into integer kernels, which round otherwise.

    As the file says it, in float64, is what counts; onnxruntime computes that too if it does not optimize.
    """
    scales = {"s": 0.043, "t": 0.011, "u": 0.037}
    kernel = rng.integers(-120, 120, size=(8, 3, 1, 1)).astype("i1")
    x = rng.normal(size=(3, 3, 6, 4)).astype("f4")
    nodes = (
        "a = QuantizeLinear(x, s, z) b = DequantizeLinear(a, s, z) k = DequantizeLinear(w, t, z) c = Conv(b, k, d) "
        "e = QuantizeLinear(c, u, z) y = DequantizeLinear(e, u, z)"
    )
    bias = rng.normal(size=8).astype("f4")
    arrays = {name: np.float32(scale) for name, scale in scales.items()} | {"z": np.int8(0), "w": kernel, "d": bias}
    make_file(path, f"g (float[N,3,6,4] x) => (float[N,8,6,4] y) {{ {nodes} }}", **arrays)
    s, t, u = (np.float64(np.float32(scale)) for scale in scales.values())
    rounded = np.clip(np.rint(x.astype(np.float64) / s), -128, 127) * s  # (N, C, H, W)
    y = np.einsum("nchw,fc->nfhw", rounded, kernel[:, :, 0, 0] * t) + bias.astype(np.float64)[:, None, None]
    expected = np.clip(np.rint(y / u), -128, 127) * u
    actual = np.moveaxis(mc.import_onnx(path).predict(np.moveaxis(x, 1, -1)), -1, 1)
    assert_close(actual, expected, TOLERANCE)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    assert_close(session.run(None, {"x": x})[0], expected, TOLERANCE)
