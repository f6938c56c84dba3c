"""Operators of ONNX files that choose, count and divide, and functions of single numbers: as onnxruntime has them."""

import numpy as np
import pytest
from onnx_files import check_import, make_file, run_file
from oracles import assert_close

import minicnn as mc
from minicnn.errors import FileFormatError

ROWS = "g (float[N,4,5] x) => (float[N,a,b] y)"
VECTORS = "g (float[N,6] x) => (float[N,m] y)"
FUNCTIONS = {"Acos": "t", "Asin": "t", "Asinh": "x", "Atan": "x", "Atanh": "t", "Acosh": "o", "Cosh": "x", "Sinh": "x"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_numbers(name, path, rng):
    """Each of numbers for which it is there: from -1 to 1, from 1 on, or any."""
    nodes = f"t = Tanh(x) a = Abs(x) o = Add(a, one) y = {name}({FUNCTIONS[name]})"
    make_file(path, f"{VECTORS} {{ {nodes} }}", one=np.float32(1))
    check_import(path, (6,), rng=rng)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_arrays(name, path, rng):
    """What is computed from the file alone."""
    numbers = rng.uniform(0.1, 0.9, 6).astype(np.float32) + (name == "Acosh")
    make_file(path, f"{VECTORS} {{ c = {name}(w) y = Add(x, c) }}", w=numbers)
    check_import(path, (6,), rng=rng)


def test_one_of_two_conditions(path, rng):
    text = f"{VECTORS} {{ a = Greater(x, l) b = Less(x, h) c = Xor(a, b) y = Cast<to=1>(c) }}"
    make_file(path, text, l=np.float32(-0.3), h=np.float32(0.4))
    check_import(path, (6,), rng=rng)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_hardmax(axis, path, rng):
    make_file(path, f"{ROWS} {{ r = Round(x) y = Hardmax<axis={axis}>(r) }}")
    check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize(("axis", "largest"), [(1, 1), (2, 0), (-1, 1)])
def test_the_greatest_number_and_its_place(axis, largest, path, rng):
    text = ROWS.replace("=> (float[N,a,b] y)", "=> (float[N,a,b] v, float[N,a,b] y)")
    nodes = f"v, i = TopK<axis={axis}, largest={largest}>(x, k) y = Cast<to=1>(i)"
    make_file(path, f"{text} {{ {nodes} }}", k=np.array([1]))
    check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize("output", ["v", "i"])
@pytest.mark.parametrize(("axis", "largest", "k"), [(1, 1, 2), (2, 0, 3), (-1, 1, 5), (1, 0, 4)])
def test_the_greatest_numbers_and_their_places(axis, largest, k, output, path, rng):
    """Of equal numbers the first comes first; onnxruntime says so too where there are no further ones."""
    nodes = f"r = Round(x) v, i = TopK<axis={axis}, largest={largest}>({'x' if output == 'v' else 'r'}, k)"
    make_file(path, f"{ROWS} {{ {nodes} y = Cast<to=1>({output}) }}", k=np.array([k]))
    check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_the_greatest_numbers_of_images(axis, path, rng):
    """What the model has with its channels last."""
    text = "g (float[N,3,4,5] x) => (float[N,a,b,c] y)"
    kernel = rng.normal(size=(3, 3, 1, 1)).astype("f4")
    nodes = f"t = Conv(x, w) v, i = TopK<axis={axis}>(t, k) y = Abs(v)"
    make_file(path, f"{text} {{ {nodes} }}", k=np.array([2]), w=kernel)
    check_import(path, (3, 4, 5), rng=rng)


def test_infinite_numbers_among_the_greatest(path):
    make_file(path, f"{ROWS} {{ y, i = TopK(x, k) }}", k=np.array([3]))
    x = np.where(np.eye(4, 5), [np.inf, 2, 3, 4, 5], -np.inf)[None].astype("f4")
    (expected,) = run_file(path, [x]).values()
    np.testing.assert_array_equal(mc.import_onnx(path).predict(x), expected)


@pytest.mark.parametrize(("axis", "numbers"), [(-1, [0, 1]), (1, [0, 1]), (2, [-1, 3])])
def test_one_number_at_a_place(axis, numbers, path, rng):
    nodes = f"i = ArgMax<axis=2, keepdims=0>(x) y = OneHot<axis={axis}>(i, d, v)"
    make_file(path, f"{ROWS} {{ {nodes} }}", d=np.array(6), v=np.array(numbers, "f4"))
    check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize(("upper", "diagonal"), [(1, 0), (0, 1), (1, -2)])
def test_triangles(upper, diagonal, path, rng):
    """Infinite numbers that are cut off leave zeros."""
    make_file(
        path, f"{ROWS} {{ r = Div(x, z) y = Trilu<upper={upper}>(r, k) }}", k=np.array(diagonal), z=np.float32(0.5)
    )
    check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)
    x = np.full((2, 4, 5), np.inf, np.float32)
    (expected,) = run_file(path, [x]).values()
    np.testing.assert_array_equal(mc.import_onnx(path).predict(x), expected)


def test_remainders_of_places(path, rng):
    """Rows and columns of the greatest number of a map, as PyTorch finds them."""
    nodes = "i = ArgMax<axis=1>(x) r = Mod(i, w) y = Cast<to=1>(r)"
    make_file(path, f"g (float[N,60] x) => (float[N,m] y) {{ {nodes} }}", w=np.array(7))
    x = np.zeros((60, 60), np.float32) + np.eye(60, dtype=np.float32)
    assert_close(mc.import_onnx(path).predict(x)[:, 0], np.arange(60) % 7, 0)


@pytest.mark.parametrize(
    ("axes", "keeps", "shape", "is_images"),
    [
        ([1], 0, "N,m", False),
        ([1], 1, "N,a,b", False),
        ([-1], 0, "N,m", True),  # the channels of such an input come first, as for a sum or mean
        ([-1], 1, "N,a,b", False),
        ([1, 2], 0, "N", True),
        ([1, 2], 1, "N,a,b", True),
    ],
)
def test_products(axes, keeps, shape, is_images, path, rng):
    text = f"g (float[N,4,5] x) => (float[{shape}] y)"
    make_file(path, f"{text} {{ y = ReduceProd<axes={axes}, keepdims={keeps}>(x) }}")
    check_import(path, (4, 5), rng=rng, images_in=is_images, images_out=is_images)


@pytest.mark.parametrize(
    "node",
    [
        "LpPool<kernel_shape=[2,3], strides=[2,1]>",
        "LpPool<kernel_shape=[3,3], pads=[1,1,1,1], p=3>",
        'LpPool<kernel_shape=[3,2], auto_pad="SAME_UPPER", strides=[2,2], p=1>',
        "GlobalLpPool<p=3>",
        "GlobalLpPool",
    ],
)
def test_pooling_of_powers(node, path, rng):
    make_file(path, f"g (float[N,2,6,5] x) => (float[N,c,h,w] y) {{ y = {node}(x) }}")
    check_import(path, (2, 6, 5), rng=rng)


@pytest.mark.parametrize("name", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [1, 2])
def test_the_last_of_the_greatest(name, axis, path, rng):
    nodes = f"r = Round(x) i = {name}<axis={axis}, select_last_index=1>(r) y = Cast<to=1>(i)"
    make_file(path, f"{ROWS} {{ {nodes} }}")
    check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)


@pytest.mark.parametrize("sides", ["detect_negative=0", "detect_positive=0", "detect_negative=1"])
def test_infinite_numbers_of_one_sign(sides, path):
    make_file(path, f"{VECTORS} {{ a = IsInf<{sides}>(x) y = Cast<to=1>(a) }}")
    x = np.array([[np.inf, -np.inf, np.nan, 0, 3e38, -3e38]], np.float32)
    (expected,) = run_file(path, [x]).values()
    assert_close(mc.import_onnx(path).predict(x), expected, 0)


REFUSED = {
    "too many": ("y, i = TopK(x, nine)", r"up to 64 of the greatest or least numbers along an axis of each sample"),
    "remainders of fractions": ("y = Mod<fmod=1>(x, three)", "remainders are those of whole numbers"),
    "places that are no whole numbers": ("y = OneHot(x, three, v)", "goes by places that ArgMax gives"),
    "products of samples": ("y = ReduceProd<axes=[0]>(x)", "not of the batch"),
    "powers beyond the image": ("y = LpPool<kernel_shape=[2], ceil_mode=1>(x)", "ceil_mode=0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name, path):
    nodes, message = REFUSED[name]
    constants = {"nine": np.array([9]), "three": np.float32(3), "v": np.array([0, 1], "f4")}
    used = {key: array for key, array in constants.items() if f" {key}" in nodes}
    make_file(path, f"{ROWS} {{ {nodes} }}", opset=18 if "ceil" in nodes else 17, checked=False, **used)
    with pytest.raises(FileFormatError, match=message):
        mc.import_onnx(path)


@pytest.mark.parametrize(
    ("nodes", "opset"),
    [
        ("r = Round(x) y = Hardmax(r)", 17),  # over the last axis
        ("p = ReduceProd<axes=[1], keepdims=0>(x) y = Unsqueeze<axes=[1]>(p)", 12),
        ("p = ReduceProd<axes=[1], keepdims=0>(x) one = Constant<value_ints=[1]>() y = Unsqueeze(p, one)", 17),
    ],
)
def test_axes_that_are_not_said_or_go(nodes, opset, path, rng):
    make_file(path, f"{ROWS} {{ {nodes} }}", opset)
    check_import(path, (4, 5), rng=rng, images_in=False, images_out=False)


def test_products_of_very_many_numbers_are_refused(path):
    make_file(path, "g (float[N,2,65] x) => (float[N,a,b] y) { y = ReduceProd<axes=[2]>(x) }")
    with pytest.raises(FileFormatError, match=r"\(ReduceProd\): it multiplies up to 64 numbers"):
        mc.import_onnx(path)
