"""Pooling to a given size: against loops over the windows, and as PyTorch's exporter writes it to ONNX."""

import itertools

import numpy as np
import pytest
from oracles import assert_close

import minicnn as mc
from minicnn import layers
from minicnn.errors import FileFormatError

SIZES = [(3, 2), (5, 8), (7, 5), (1, 1), (10, 3)]


def pooled(x, size, of_window):
    """By its definition: part i of n' goes from ⌊i · n / n'⌋ to ⌈(i + 1) · n / n'⌉."""
    (count, height, width, channels), (new_height, new_width) = x.shape, size
    y = np.empty((count, *size, channels))
    for i, j in itertools.product(range(new_height), range(new_width)):
        rows = slice(int(np.floor(i * height / new_height)), int(np.ceil((i + 1) * height / new_height)))
        columns = slice(int(np.floor(j * width / new_width)), int(np.ceil((j + 1) * width / new_width)))
        y[:, i, j] = of_window(x[:, rows, columns], axis=(1, 2))
    return y


KINDS = {
    "average": (layers.AdaptiveAveragePooling2D, layers.AdaptiveAveragePooling1D, np.mean),
    "maximum": (layers.AdaptiveMaxPooling2D, layers.AdaptiveMaxPooling1D, np.max),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_values(kind, size, rng):
    of_images, of_rows, of_window = KINDS[kind]
    x = rng.normal(size=(2, 7, 5, 3)).astype(np.float32)
    assert_close(of_images(size)(x), pooled(x, size, of_window), 1e-6)
    rows = x[:, :, 0]  # (2, 7, 3)
    assert_close(of_rows(size[0])(rows), pooled(rows[:, None], (1, size[0]), of_window)[:, 0], 1e-6)
    first = of_images(size, data_format="channels_first")(np.moveaxis(x, -1, 1))
    assert_close(first, np.moveaxis(pooled(x, size, of_window), -1, 1), 1e-6)


def test_the_gradient_of_equal_numbers_goes_to_the_first_one():
    x = np.zeros((1, 2, 3, 1), np.float32)
    model = mc.Sequential([mc.Input((2, 3, 1)), layers.Rescaling(1.0), layers.AdaptiveMaxPooling2D(1)])
    model.add(layers.Flatten())
    np.testing.assert_array_equal(model.input_gradients(x, np.ones((1, 1))).reshape(2, 3), [[1, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_that_is_none(kind):
    with pytest.raises(ValueError, match=r"`output_size` must be an integer of at least 1.*Received: output_size=0"):
        KINDS[kind][0](0)


# ---------------------------------------------------------------------------------------------------- PyTorch's files


def taken_apart(path, size, new_size, *, spoiled=False):
    """A file of the nodes that torch.onnx.export(dynamo=True) writes for AdaptiveAvgPool2d behind a convolution."""
    onnx_files = pytest.importorskip("onnx_files")
    spans = [_windows(n, m) for n, m in zip(size, new_size, strict=True)]
    (rows, row_counts), (columns, column_counts) = spans  # (OH, KH), (OH,), (OW, KW), (OW,)
    index = np.stack(np.broadcast_arrays(rows[:, :, None, None], columns[None, None]), axis=-1)
    taps = rows.shape[1], columns.shape[1]
    if spoiled:
        index[-1, 0, -1, 0] = 0
    constants = {
        "index": index.astype(np.int64),
        "rows": (np.arange(taps[0]) >= row_counts[:, None])[:, :, None, None],  # those that do not count
        "columns": np.arange(taps[1]) >= column_counts[:, None],
        "counts": (row_counts[:, None] * column_counts).astype(np.float32),
        "zero": np.float32(0),
        "w": np.ones((1, 2, 1, 1), np.float32),
        **{f"n{k}": np.int64(k) for k in range(max(taps))},
    }
    nodes = "c = Conv(x, w) t = Transpose<perm=[2,3,0,1]>(c) g = GatherND(t, index) "
    nodes += "b = Transpose<perm=[4,5,0,1,2,3]>(g) m = Where(rows, zero, b) k = Where(columns, zero, m) "
    total = ""
    for i, j in itertools.product(*map(range, taps)):
        nodes += f"r{i}_{j} = Gather<axis=3>(k, n{i}) p{i}_{j} = Gather<axis=4>(r{i}_{j}, n{j}) "
        if total:
            nodes += f"s{i}_{j} = Add({total}, p{i}_{j}) "
        total = f"s{i}_{j}" if total else f"p{i}_{j}"
    text = f"g (float[N,2,{size[0]},{size[1]}] x) => (float[N,1,h,w] y) {{ {nodes} y = Div({total}, counts) }}"
    onnx_files.make_file(path, text, **constants)
    return onnx_files


def _windows(size, new_size):
    """(pixels (new size, longest window), lengths of the windows), as PyTorch computes them."""
    start = np.arange(new_size) * size // new_size
    length = -(-(np.arange(new_size) + 1) * size // new_size) - start
    return np.minimum(start[:, None] + np.arange(length.max()), size - 1), length


@pytest.mark.parametrize("size, new_size", [((3, 3), (7, 7)), ((7, 5), (3, 4)), ((2, 3), (6, 2))])
def test_pytorch_takes_it_apart(size, new_size, tmp_path, rng):
    files = taken_apart(tmp_path / "model.onnx", size, new_size)
    model = files.check_import(tmp_path / "model.onnx", (2, *size), rng=rng)
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Conv2D", "AdaptiveAveragePooling2D"]


def test_what_only_looks_like_it_is_refused(tmp_path):
    taken_apart(tmp_path / "model.onnx", (7, 5), (3, 4), spoiled=True)
    with pytest.raises(FileFormatError, match=r"\(Transpose\): it should reorder the axes"):
        mc.import_onnx(tmp_path / "model.onnx")
