"""If in ONNX files: one of two graphs, where the sizes that a file knows decide which."""

import numpy as np
import pytest
from onnx_files import channels_last, check_import, make_file

import minicnn as mc
from minicnn.errors import FileFormatError

IMAGES = 'g (float["N",3,6,5] x) => (float["N","a","b","c"] y)'
SIZE = "s = Shape(x) n = Gather<axis=0>(s, at) "
IF = "c = Conv(x, w) q = If(k)<then_branch={}, else_branch={}> y = Relu(q)"
TWICE = "a () => (float[N,4,H,W] t) { u = Relu(c) z = Exp(u) t = Mul(u, z) }"
SAME = "b () => (float[N,4,H,W] v) { v = Identity(c) }"
NESTED = (
    "a () => (float[N,4,H,W] t) { u = Sigmoid(c) "
    "t = If(k)<then_branch=d () => (float[N,4,H,W] e) { u2 = Relu(u) e = Add(u2, f) }, else_branch=h () => "
    "(float[N,4,H,W] i) { i = Neg(c) }> }"
)


@pytest.fixture
def weights(rng):
    return {"w": rng.normal(size=(4, 3, 1, 1)).astype(np.float32), "f": np.float32(0.5), "at": np.array(2)}


@pytest.mark.parametrize("wanted", [6, 7])
@pytest.mark.parametrize("then", [TWICE, NESTED])
def test_the_sizes_decide(then, wanted, weights, tmp_path, rng):
    """The branch reads tensors from outside, as PyTorch's exporter writes it for ``squeeze(1)``."""
    text = f"{IMAGES} {{ {SIZE} k = Equal(n, six) {IF.format(then, SAME)} }}"
    path = make_file(tmp_path / "model.onnx", text, checked=False, six=np.array(wanted), **weights)
    check_import(path, (3, 6, 5), rng=rng)


def test_names_in_branches_are_their_own(weights, tmp_path, rng):
    """Branches of two Ifs, and both branches of one, call different things by one name; constants are in them, too."""
    branch = "{} () => (float[N,4,H,W] t) <float u = {{{}}}> {{ t = Mul(c, u) }}"
    second = IF.format(branch.format("a", 2), branch.format("b", 3)).replace("q = ", "r = ").partition("r = ")[2]
    nodes = f"{IF.format(branch.format('a', 5), branch.format('b', 7)).partition(' y')[0]} r = {second}"
    text = f"{IMAGES} {{ {SIZE} k = Equal(n, six) {nodes.replace('Relu(q)', 'Sub(r, q)')} }}"
    path = make_file(tmp_path / "model.onnx", text, checked=False, six=np.array(6), **weights)
    model = check_import(path, (3, 6, 5), rng=rng)
    x = rng.normal(size=(2, 3, 6, 5)).astype(np.float32)
    expected = channels_last(np.einsum("fc,nchw->nfhw", weights["w"][:, :, 0, 0], x)) * (2 - 5)
    np.testing.assert_allclose(model.predict(channels_last(x)), expected, atol=1e-5)


REFUSED = {
    "the number of samples": (SIZE.replace("at)", "first)") + "k = Equal(n, six)", "depends on the number of samples"),
    "and what comes of it": (
        SIZE.replace("at)", "first)") + "l = Equal(n, six) m = Not(l) k = Squeeze(m)",
        "depends on the number of samples",
    ),
    "in 32 bits": (
        SIZE.replace("at)", "first)") + "i = Cast<to=6>(n) l = Cast<to=6>(six) k = Equal(i, l)",
        "depends on the number of samples",
    ),
    "what tensors hold": ("m = ReduceMax<keepdims=0>(x) k = Greater(m, f)", r"\((If|ReduceMax)\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_conditions_are_refused(case, weights, tmp_path):
    nodes, message = REFUSED[case]
    text = f"{IMAGES} {{ {nodes} {IF.format(TWICE, SAME)} }}"
    numbers = {"six": np.array(6), "first": np.array(0)}
    path = make_file(tmp_path / "model.onnx", text, checked=False, **numbers, **weights)
    with pytest.raises(FileFormatError, match=message):
        mc.import_onnx(path)


CHOICES = {"six": np.array(200), "one": np.array(1), "l": np.array([False, True])}
OPEN = IMAGES.replace("6,5", '"H","W"')


@pytest.mark.parametrize(
    "condition", ["k = Greater(n, six)", "m = Mod(n, six) k = Cast<to=9>(m)", "m = Min(n, one) k = Gather(l, m)"]
)
def test_conditions_on_open_sizes_are_refused(condition, weights, tmp_path):
    """The sizes that are tried do not tell what others decide."""
    text = f"{OPEN} {{ {SIZE} {condition} {IF.format(TWICE, SAME)} }}"
    path = make_file(tmp_path / "model.onnx", text, checked=False, **CHOICES, **weights)
    with pytest.raises(FileFormatError, match=r"'n' depends on a size.*a condition \(If\) on 96 for one size and 160"):
        mc.import_onnx(path)


def test_conditions_on_channels_where_sizes_are_open(weights, tmp_path, rng):
    """PyTorch's ``squeeze(1)`` of images of any size asks for their channels alone."""
    text = f"{OPEN} {{ {SIZE} k = Equal(n, six) {IF.format(TWICE, SAME)} }}"
    path = make_file(tmp_path / "model.onnx", text, checked=False, six=np.array(3), **weights | {"at": np.array(1)})
    for size in ((6, 5), (7, 12)):
        check_import(path, (3, *size), rng=rng)
