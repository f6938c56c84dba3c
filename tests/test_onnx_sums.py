"""Running sums, logarithms of sums, and where the least number is, in ONNX files: beside onnxruntime."""

import numpy as np
import pytest
from onnx_files import check_import, make_file

import minicnn as mc
from minicnn.errors import FileFormatError

ROWS, IMAGES = "g (float[N,4,5] x) => (float[a,b,c] y)", "g (float[N,2,6,5] x) => (float[a,b,c,d] y)"
PLAIN = {"images_in": False, "images_out": False}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("options", ["", "exclusive=1", "reverse=1", "exclusive=1, reverse=1"])
@pytest.mark.parametrize("axis", [1, -1])
def test_running_sums(axis, options, path, rng):
    node = f"CumSum<{options}>" if options else "CumSum"
    make_file(
        path,
        f"{ROWS} {{ s = {node}(x, a) o = {node}(c, a) y = Mul(s, o) }}",
        a=np.array(axis),
        c=np.ones((1, 4, 5), "f4"),
    )
    model = check_import(path, (4, 5), rng=rng, **PLAIN)
    assert not model.trainable_weights


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_running_sums_of_images(axis, path, rng):
    nodes = "c = Conv(x, w) s = CumSum(c, a) y = Relu(s)"
    make_file(path, f"{IMAGES} {{ {nodes} }}", a=np.array(axis), w=rng.normal(size=(3, 2, 1, 1)).astype("f4"))
    check_import(path, (2, 6, 5), rng=rng)


def test_running_sums_of_samples_are_refused(path):
    make_file(path, f"{ROWS} {{ y = CumSum(x, a) }}", a=np.array(0))
    with pytest.raises(FileFormatError, match=r"\(CumSum\): samples are not added up"):
        mc.import_onnx(path)


@pytest.mark.parametrize("opset", [10, 12, 13, 18])
@pytest.mark.parametrize("keeps", [0, 1])
@pytest.mark.parametrize("operator", ["ReduceLogSumExp", "ReduceLogSum"])
def test_logarithms_of_sums(operator, keeps, opset, path, rng):
    """Large numbers among them, whose exponentials are infinite."""
    newer = f"keepdims={keeps}, noop_with_empty_axes=0", ", a"  # PyTorch writes what is the default
    options, axes = (f"axes=[1, 2], keepdims={keeps}", "") if opset < 18 else newer
    nodes = f"p = Abs(x) q = Mul(p, f) r = {operator}<{options}>(q{axes}) y = Neg(r)"
    kind = ROWS.replace("float[a,b,c]", "float[a,b,c]" if keeps else "float[a]")
    make_file(path, f"{kind} {{ {nodes} }}", opset, a=np.array([1, 2]), f=np.array(200, "f4"))
    check_import(path, (4, 5), rng=rng)


@pytest.mark.parametrize("keeps", [0, 1])
@pytest.mark.parametrize("operator", ["ArgMin", "ArgMax"])
def test_where_the_least_number_is(operator, keeps, path, rng):
    nodes = f"r = Relu(x) i = {operator}<axis=1, keepdims={keeps}>(r) y = Cast<to=1>(i)"
    make_file(path, f"{ROWS if keeps else ROWS.replace('a,b,c', 'a,b')} {{ {nodes} }}")
    check_import(path, (4, 5), rng=rng, **PLAIN)


def test_the_nearest_of_a_table_for_each_pixel(path, rng):
    """As a quantized autoencoder (VQ-VAE) takes it: pixels are counted with the samples."""
    nodes = (
        "t = Transpose<perm=[0,2,3,1]>(x) r = Reshape(t, rows) p = MatMul(r, k) i = ArgMin<axis=1, keepdims=0>(p) "
        "s = Reshape(i, back) g = Gather(table, s) y = Transpose<perm=[0,3,1,2]>(g)"
    )
    arrays = {"rows": np.array([-1, 2]), "back": np.array([-1, 6, 5]), "table": rng.normal(size=(7, 2)).astype("f4")}
    make_file(path, f"{IMAGES} {{ {nodes} }}", k=rng.normal(size=(2, 7)).astype("f4"), **arrays)
    check_import(path, (2, 6, 5), rng=rng, **PLAIN)


@pytest.mark.parametrize("index", [0, -1])
def test_one_number_of_a_vector(index, path, rng):
    """As weights of experts are taken: ``w[:, i]``."""
    nodes = "m = ReduceMean<axes=[2], keepdims=0>(x) g = Gather<axis=1>(m, i) r = Reshape(g, s) y = Mul(x, r)"
    make_file(path, f"{ROWS} {{ {nodes} }}", i=np.array(index), s=np.array([-1, 1, 1]))
    check_import(path, (4, 5), rng=rng)
