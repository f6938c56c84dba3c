"""Rows (N, C, L) in ONNX files, and transposed convolutions with all their options, beside onnxruntime."""

import numpy as np
import pytest
from onnx_files import TOLERANCE, channels_last, check_import, make_file, run_file
from oracles import assert_close

import minicnn as mc
from minicnn.errors import FileFormatError

ROWS = "g (float[N,4,9] x) => (float[N,c,l] y)"
IMAGES = "g (float[N,4,6,5] x) => (float[N,c,h,w] y)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


OPTIONS = (
    "",
    "strides=[2]",
    "pads=[1,1]",
    "pads=[2,0], dilations=[2]",
    "pads=[1,1], strides=[2]",
    'auto_pad="SAME_UPPER"',
)


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("options", OPTIONS)
def test_convolution(options, group, path, rng):
    attributes = ", ".join(filter(None, [options, f"group={group}"]))
    constants = {"w": normal(rng, 8, 4 // group, 3), "b": normal(rng, 8)}
    make_file(path, f"{ROWS} {{ c = Conv<{attributes}>(x, w, b) y = Relu(c) }}", **constants)
    model = check_import(path, (4, 9), rng=rng)
    assert model.input_shape == (None, 9, 4)


@pytest.mark.parametrize(
    "options",
    ["", "strides=[2]", "strides=[2], pads=[1,1]", 'strides=[2], auto_pad="SAME_UPPER"', "strides=[2], ceil_mode=1"],
)
@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_pooling(operator, options, path, rng):
    attributes = ", ".join(filter(None, ["kernel_shape=[3]", options]))
    if operator == "AveragePool" and "pads" in options:
        attributes += ", count_include_pad=1"
    make_file(path, f"{ROWS} {{ r = Relu(x) y = {operator}<{attributes}>(r) }}")
    check_import(path, (4, 9), rng=rng)


@pytest.mark.parametrize("operator", ["GlobalMaxPool", "GlobalAveragePool"])
def test_global_pooling(operator, path, rng):
    make_file(path, f"{ROWS} {{ y = {operator}(x) }}")
    check_import(path, (4, 9), rng=rng)


def test_a_network_of_rows(path, rng):
    """Two convolutions, constants that follow, normalization, pooling, and a dense layer behind Flatten."""
    text = """g (float[N,4,9] x) => (float[N,m] y) {
      c = Conv<pads=[1,1]>(x, w1) n = BatchNormalization(c, s, s, s, s) r = Relu(n)
      p = MaxPool<kernel_shape=[2], strides=[2]>(r) d = Conv(p, w2) e = Add(d, k) f = Flatten(e) y = Gemm(f, g1)
    }"""
    constants = {"w1": normal(rng, 6, 4, 3), "s": np.abs(normal(rng, 6)) + 1, "w2": normal(rng, 5, 6, 2)}
    constants |= {"k": normal(rng, 5, 1), "g1": normal(rng, 15, 3)}
    make_file(path, text, **constants)
    check_import(path, (4, 9), rng=rng, images_out=False)


def test_rows_of_open_length(path, rng):
    text = 'g (float["N",4,"L"] x) => (float["N","c","l"] y) { c = Conv<pads=[1,1], strides=[2]>(x, w) y = Relu(c) }'
    make_file(path, text, w=normal(rng, 5, 4, 3))
    model = mc.import_onnx(path)
    assert model.input_shape == (None, None, 4)
    for length in (8, 9, 21):
        x = normal(rng, 2, 4, length)
        assert_close(
            model.predict(channels_last(x)), channels_last(next(iter(run_file(path, [x]).values()))), TOLERANCE
        )


TRANSPOSED = {
    "plain": "group=1",
    "groups": "group=2",
    "depthwise": "group=4, strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]",
    "groups and gaps": "group=2, dilations=[2,1], pads=[1,0,0,1]",
    "output_padding": "strides=[3,2], output_padding=[2,1]",
    "gaps and strides": "strides=[2,2], dilations=[2,3], pads=[1,2,3,0]",
    "a given size": "strides=[3,2], output_shape=[17,10]",
    "a given size, more before": 'strides=[3,2], output_shape=[17,10], auto_pad="SAME_LOWER"',
    "a row more than the windows reach": "strides=[3,2], output_shape=[19,12]",
    "same": 'strides=[2,2], auto_pad="SAME_UPPER"',
    "same, more before": 'strides=[2,3], auto_pad="SAME_LOWER"',
    "a given size and output_padding": "strides=[3,3], output_shape=[18,15], output_padding=[1,1]",
}


@pytest.mark.parametrize("case", TRANSPOSED)
def test_transposed_convolution(case, path, rng):
    groups = next((n for n in (2, 4) if f"group={n}" in TRANSPOSED[case]), 1)
    constants = {"w": normal(rng, 4, 3, 3, 3), "b": normal(rng, 3 * groups)}
    make_file(path, f"{IMAGES} {{ t = ConvTranspose<{TRANSPOSED[case]}>(x, w, b) y = Relu(t) }}", **constants)
    check_import(path, (4, 6, 5), rng=rng)


@pytest.mark.parametrize(
    "options",
    ["", "strides=[2], pads=[1,0]", "group=2, strides=[2], output_padding=[1]", "strides=[3], output_shape=[27]"],
)
def test_transposed_convolution_of_rows(options, path, rng):
    groups = 2 if "group" in options else 1
    attributes = f"<{options}>" if options else ""
    make_file(path, f"{ROWS} {{ t = ConvTranspose{attributes}(x, w) y = Relu(t) }}", w=normal(rng, 4, 3, 3))
    model = check_import(path, (4, 9), rng=rng)
    assert model.output_shape[2] == 3 * groups


REFUSED = {
    "an output beyond the windows": (
        "y = ConvTranspose<output_shape=[20,20]>(x, w)",
        {"w": np.ones((4, 3, 3, 3), "f4")},
        "no larger than the windows reach",
    ),
    "groups that do not divide": (
        "y = ConvTranspose<group=3>(x, w)",
        {"w": np.ones((4, 3, 3, 3), "f4")},
        "divides the channels",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case, path):
    nodes, constants, message = REFUSED[case]
    make_file(path, f"{IMAGES} {{ {nodes} }}", checked=False, **constants)
    with pytest.raises(FileFormatError, match=message):
        mc.import_onnx(path)
