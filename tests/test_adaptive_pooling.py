"""Pooling to a given size: against loops over the windows, and as PyTorch's exporter writes it to ONNX."""

import itertools

import numpy as np
import pytest
from oracles import assert_close

import minicnn as mc
from minicnn import keras, layers
from minicnn.errors import FileFormatError
from minicnn.keras import tensorflow as tf

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


@pytest.mark.parametrize(("kind", "name"), [("average", "adaptive_average_pool"), ("maximum", "adaptive_max_pool")])
def test_the_functions_of_keras_ops(kind, name, rng):
    function, of_window = getattr(keras.ops, name), KINDS[kind][-1]
    x = rng.normal(size=(2, 7, 5, 3)).astype(np.float32)
    expected = pooled(x, (3, 2), of_window)
    assert_close(function(x, (3, 2)), expected, 1e-6)
    assert_close(function(x[:, :, 0], 4), pooled(x[:, None, :, 0], (1, 4), of_window)[:, 0], 1e-6)
    first = function(np.moveaxis(x, -1, 1), output_size=(3, 2), data_format="channels_first")
    assert_close(first, np.moveaxis(expected, -1, 1), 1e-6)
    inputs = keras.Input((7, 5, 3))
    assert_close(keras.Model(inputs, function(inputs, (3, 2)))(x), expected, 1e-6)
    apart = 1 + rng.permutation(x.size).reshape(x.shape) / 20  # so far that a step changes no window's largest one
    watched, step = tf.constant(apart, tf.float32), rng.random(x.shape) * 1e-2
    with tf.GradientTape() as tape:
        tape.watch(watched)
        loss = tf.reduce_sum(function(watched, (3, 2)) ** 2)
    ahead, behind = ((pooled(apart + sign * step, (3, 2), of_window) ** 2).sum() for sign in (1, -1))
    assert_close((tape.gradient(loss, watched).numpy() * step).sum(), (ahead - behind) / 2, 1e-5)
    with pytest.raises(ValueError, match=r"expected inputs of 3 to 5 axes.*Received: shape \(2, 7\)"):
        function(x[:, :, 0, 0], 2)


def test_the_gradient_of_equal_numbers_goes_to_the_first_one():
    x = np.zeros((1, 2, 3, 1), np.float32)
    model = mc.Sequential([mc.Input((2, 3, 1)), layers.Rescaling(1.0), layers.AdaptiveMaxPooling2D(1)])
    model.add(layers.Flatten())
    np.testing.assert_array_equal(model.input_gradients(x, np.ones((1, 1))).reshape(2, 3), [[1, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("size", [1, (2, 1), 2])
def test_of_equal_maxima_the_first_in_reading_order_counts(size):
    x = np.float32([[0, 1], [1, 0], [0, 1], [1, 0]])
    height, width = np.broadcast_to(size, 2)
    expected = np.zeros((4, 2))
    for i, j in itertools.product(range(height), range(width)):
        part = x[4 // height * i : 4 // height * (i + 1), 2 // width * j : 2 // width * (j + 1)]
        row, column = divmod(int(part.argmax()), part.shape[1])
        expected[4 // height * i + row, 2 // width * j + column] = 1
    model = mc.Sequential([mc.Input((4, 2, 1)), layers.Rescaling(1.0), layers.AdaptiveMaxPooling2D(size)])
    model.add(layers.Flatten())
    gradient = model.input_gradients(x.reshape(1, 4, 2, 1), np.ones((1, height * width)))
    np.testing.assert_array_equal(gradient.reshape(4, 2), expected)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_no_number_reaches_another_window(value):
    x = np.zeros((1, 7, 1), np.float32)
    x[0, 3] = value
    expected = [0, 0, value, 0, 0]
    np.testing.assert_array_equal(layers.AdaptiveAveragePooling1D(5)(x).ravel(), expected)
    np.testing.assert_array_equal(layers.AdaptiveMaxPooling1D(5)(x).ravel(), expected)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_what_is_infinite_stays_so_in_shorter_windows(value):
    x = np.zeros((1, 5, 1), np.float32)
    x[0, 1] = value
    made = layers.AdaptiveAveragePooling1D(3)(x).ravel()  # of two, three and two numbers
    np.testing.assert_array_equal(made, [value, value, 0])


@pytest.mark.parametrize("size", [1, (1, 2)])
def test_maxima_of_windows_of_any_size(size, rng):
    x = rng.normal(size=(2, 300, 30, 1)).astype(np.float32)
    size = tuple(np.broadcast_to(size, 2))
    np.testing.assert_array_equal(layers.AdaptiveMaxPooling2D(size)(x), pooled(x, size, np.max).astype(np.float32))


def test_files_of_maxima_of_what_is_infinite(tmp_path, rng):
    onnx_files = pytest.importorskip("onnx_files")
    model = mc.Sequential([mc.Input((7, 5, 2)), layers.AdaptiveMaxPooling2D((3, 2))])
    mc.export_onnx(model, tmp_path / "model.onnx")
    x = rng.normal(size=(2, 7, 5, 2)).astype(np.float32)
    x[0, 3, 2, 1] = np.inf
    (y,) = onnx_files.run_file(tmp_path / "model.onnx", [x]).values()
    np.testing.assert_array_equal(y, pooled(x, (3, 2), np.max).astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_files_with_open_sizes(kind, tmp_path, rng):
    onnx_files = pytest.importorskip("onnx_files")
    of_images, _, of_window = KINDS[kind]
    model = mc.Sequential([mc.Input((None, None, 2)), of_images(1)])
    mc.export_onnx(model, tmp_path / "model.onnx")
    x = rng.normal(size=(2, 7, 5, 2)).astype(np.float32)
    (y,) = onnx_files.run_file(tmp_path / "model.onnx", [x]).values()
    assert_close(y, pooled(x, (1, 1), of_window), 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_that_is_none(kind):
    with pytest.raises(ValueError, match=r"`output_size` must be an integer of at least 1.*Received: output_size=0"):
        KINDS[kind][0](0)


# ---------------------------------------------------------------------------------------------------- PyTorch's files


def taken_apart(path, size, new_size, *, spoiled=False, steps="", by_axes=None, opset=17, **more):
    """A file of the nodes that torch.onnx.export(dynamo=True) writes for AdaptiveAvgPool2d behind a convolution.

    Where the new size divides the old one, it writes a mean over `by_axes`. `steps` go from the windows b to those d
    that the others read.
    """
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
        "w": np.array([[1, 1], [1, -1], [2, 1]], np.float32)[:, :, None, None],
        **{f"n{k}": np.int64(k) for k in range(max(taps))},
    }
    nodes = "c = Conv(x, w) t = Transpose<perm=[2,3,0,1]>(c) g = GatherND(t, index) "
    nodes += "b = Transpose<perm=[4,5,0,1,2,3]>(g) " + (steps or "d = Add(b, zero) ")
    if by_axes:
        nodes += f"y = {by_axes}"
        return _written(onnx_files, path, size, nodes, constants | more, opset)
    nodes += "m = Where(rows, zero, d) k = Where(columns, zero, m) "
    total = ""
    for i, j in itertools.product(*map(range, taps)):
        nodes += f"r{i}_{j} = Gather<axis=3>(k, n{i}) p{i}_{j} = Gather<axis=4>(r{i}_{j}, n{j}) "
        if total:
            nodes += f"s{i}_{j} = Add({total}, p{i}_{j}) "
        total = f"s{i}_{j}" if total else f"p{i}_{j}"
    return _written(onnx_files, path, size, f"{nodes} y = Div({total}, counts)", constants | more, opset)


def _written(onnx_files, path, size, nodes, constants, opset):
    text = f"g (float[N,2,{size[0]},{size[1]}] x) => (float[N,c,h,w] y) {{ {nodes} }}"
    onnx_files.make_file(path, text, opset, **constants)
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


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("size, new_size", [((6, 4), (3, 2)), ((4, 6), (4, 3))])
def test_pytorch_writes_a_mean(opset, size, new_size, tmp_path, rng):
    mean, more = "ReduceMean<keepdims=0>(d, axes)", {"axes": np.array([3, -1])}
    if opset < 18:
        mean, more = "ReduceMean<keepdims=0, axes=[3, -1]>(d)", {}
    files = taken_apart(tmp_path / "model.onnx", size, new_size, by_axes=mean, opset=opset, **more)
    model = files.check_import(tmp_path / "model.onnx", (2, *size), rng=rng)
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Conv2D", "AdaptiveAveragePooling2D"]


REFUSED = {
    "another pixel": {"spoiled": True},
    "one of three channels": {"steps": "d = Gather<axis=1>(b, list) ", "list": np.array([0])},
    "two of all samples": {"steps": "d = Gather<axis=0>(b, list) ", "list": np.array([0, 1])},
    "an index that is none": {"steps": "d = Gather<axis=9>(b, list) ", "list": np.array([0])},
    "no index": {"steps": "d = Gather<axis=3>(b, list) ", "list": np.array([99])},
    "a mask that is computed": {"steps": "d = Where(b, b, b) "},
    "shapes that do not fit": {"steps": "d = Add(b, list) ", "list": np.zeros(29, np.float32)},
    "all at once": {"by_axes": "ReduceMean<keepdims=1>(d)"},
    "too large": {
        "steps": "e = Add(b, one) d = Add(e, other) ",
        "one": np.zeros((4000, 1, 1, 1, 1, 1, 1), np.float32),
        "other": np.zeros((4000, 1, 1, 1, 1, 1, 1, 1), np.float32),
    },
    "too large an index": {"steps": "d = Gather<axis=3>(b, list) ", "list": np.zeros(2**20, np.int64)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_looks_like_it_is_refused(name, tmp_path):
    taken_apart(tmp_path / "model.onnx", (7, 5), (3, 4), **REFUSED[name])
    sentences = r"\(Transpose\): it should reorder the axes|an axis is a number from|\(GatherND\): it takes a list"
    with pytest.raises(FileFormatError, match=sentences):
        mc.import_onnx(tmp_path / "model.onnx")
