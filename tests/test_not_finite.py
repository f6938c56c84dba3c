"""NaN and infinity stay where the formulas put them, whatever kernel computes.

The oracle is the formula in float64, term by term: a pixel of the padding is a zero that takes part (0 · ∞ is NaN), a
gradient that ReLU or pooling does not pass is 0. PyTorch 2.13 in float64 gives the same sets of NaN and infinities.
"""

import contextlib
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

numba = pytest.importorskip("numba")

import oracles
from kernel_checks import Output, aligned, few, seeds
from oracles import graph_of, run

import minicnn as mc
from minicnn import backends, layers
from minicnn.backends.numba.convolution import choice
from minicnn.backends.numba.machine.target import lanes
from minicnn.backends.reference import ops as reference
from minicnn.geometry import Window, make_window

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of what is not finite

fast = backends.get("numba").ops
VALUES = (np.nan, np.inf, -np.inf)

WINOGRAD, POOLED_WINOGRAD, GRADIENT, PAIRS, COLUMNS, INPUT_COLUMNS, SPREAD, FEW, FEW_GRADIENT = DECISIONS = (
    "winograd_is_best",
    "pooled_winograd_is_best",
    "winograd_gradient_is_best",
    "pairs_are_best",
    "columns_are_best",
    "input_columns_are_best",
    "spread_is_best",
    "few_filters_are_best",
    "few_filters_gradient_is_best",
)


@contextlib.contextmanager
def forced(*decisions):
    """Inside, `choice` decides for these algorithms only."""
    with contextlib.ExitStack() as stack:
        for name in DECISIONS:
            stack.enter_context(mock.patch.object(choice, name, lambda *a, is_it=name in decisions: is_it))
        yield


# ------------------------------------------------------------------------------------------------------ the oracle


def taps(window):
    """(slice of rows, of columns) of the padded image for every tap."""
    for p in range(window.kernel_height):
        for q in range(window.kernel_width):
            top, left = p * window.dilation_y, q * window.dilation_x
            yield (
                slice(top, top + (window.out_height - 1) * window.stride_y + 1, window.stride_y),
                slice(left, left + (window.out_width - 1) * window.stride_x + 1, window.stride_x),
            )


def padded(x, window):
    pads = (0, 0), (window.pad_top, window.pad_bottom), (window.pad_left, window.pad_right), (0, 0)
    return np.pad(np.asarray(x, np.float64), pads)


def convolve(x, kernel, bias, window):
    image, weights = padded(x, window), np.asarray(kernel, np.float64).reshape(-1, *kernel.shape[2:])
    windows = np.stack([image[:, rows, columns] for rows, columns in taps(window)], axis=3)  # (N, OH, OW, T, C)
    return (windows[..., None] * weights).sum(axis=(3, 4)) + bias  # (N, OH, OW, F)


def gradients(x, kernel, dy, window):
    """(dx, dkernel, dbias)"""
    image, weights = padded(x, window), np.asarray(kernel, np.float64).reshape(-1, *kernel.shape[2:])
    dx, dkernel = np.zeros_like(image), np.zeros_like(weights)
    for t, (rows, columns) in enumerate(taps(window)):
        dkernel[t] = (image[:, rows, columns][..., None] * dy[..., None, :]).sum(axis=(0, 1, 2))  # (C, F)
        dx[:, rows, columns] += (dy[..., None, :] * weights[t]).sum(axis=-1)
    inside = (
        slice(window.pad_top, window.pad_top + window.in_height),
        slice(window.pad_left, window.pad_left + window.in_width),
    )
    return dx[:, inside[0], inside[1]], dkernel.reshape(kernel.shape), dy.sum(axis=(0, 1, 2))


def pool_by_two(full):
    """(maximum of each 2 x 2 pixels, the mask of the first pixel that holds it)"""
    n, height, width, filters = full.shape
    rows, columns = height // 2, width // 2
    cells = full[:, : 2 * rows, : 2 * columns].reshape(n, rows, 2, columns, 2, filters).transpose(0, 1, 3, 5, 2, 4)
    cells = cells.reshape(n, rows, columns, filters, 4)
    best = cells.argmax(axis=-1)  # NumPy's: the first NaN, if there is one
    return np.take_along_axis(cells, best[..., None], axis=-1)[..., 0], best


def unpooled(dy, best, shape):
    full = np.zeros(shape)
    for t in range(4):
        rows, columns = dy.shape[1:3]
        full[:, t // 2 : 2 * rows : 2, t % 2 : 2 * columns : 2] += np.where(best == t, dy, 0)
    return full


def after_relu(y, relu):
    return np.where(y < 0, 0, y) if relu else y


def assert_same(ours, expected, what, tolerance=1e-4):
    """The same NaN, the same infinities; and what is finite is the same number."""
    ours = np.asarray(ours, np.float64)
    expected = np.asarray(expected, np.float64)
    assert np.array_equal(np.isnan(ours), np.isnan(expected)), f"{what}: NaN"
    for infinity in (np.inf, -np.inf):
        assert np.array_equal(ours == infinity, expected == infinity), f"{what}: {infinity}"
    finite = np.isfinite(expected)
    scale = np.abs(expected[finite]).max(initial=1e-30)
    assert np.abs(ours[finite] - expected[finite]).max(initial=0) <= tolerance * scale, what


# ----------------------------------------------------------------------------------------------- every kernel choice

PLAIN = {
    "direct": (Window(7, 9, 3, 3, pad_top=1, pad_bottom=1, pad_left=1, pad_right=1), 3, 17, ()),
    "strided": (make_window((9, 8), (3, 3), (2, 2), "same"), 5, 8, ()),
    "columns": (make_window((5, 6), (3, 3), (1, 1), "valid"), 16, 20, (COLUMNS,)),
    "columns of x": (make_window((7, 8), (5, 3), (1, 1), "same"), 6, 20, (INPUT_COLUMNS,)),
    "few filters": (Window(9, 8, 3, 3, pad_top=1, pad_bottom=1, pad_left=1), 6, 2, (FEW, FEW_GRADIENT)),
    "Winograd": (Window(9, 7, 3, 3, pad_top=1, pad_bottom=1, pad_left=1, pad_right=1), 17, 18, (WINOGRAD,)),
    "Winograd, valid": (make_window((10, 11), (3, 3), (1, 1), "valid"), 3, 33, (WINOGRAD,)),
    "Winograd, 5 x 5": (make_window((8, 9), (5, 5), (1, 1), "same"), 17, 18, (WINOGRAD,)),
    "chosen": (make_window((12, 12), (3, 3), (1, 1), "same"), 32, 32, None),
}
POOLED = {
    "direct, sparse": (make_window((9, 8), (3, 3), (1, 1), "same"), 6, 17, ()),
    "pairs": (make_window((8, 10), (5, 5), (1, 1), "valid"), 1, min(6, lanes(4) // 2), (PAIRS,)),
    "spread": (make_window((9, 9), (3, 3), (1, 1), "valid"), 1, 18, (SPREAD,)),
    "Winograd": (make_window((9, 8), (3, 3), (1, 1), "same"), 6, 16, (POOLED_WINOGRAD, GRADIENT)),
    "Winograd, 5 x 5": (make_window((9, 8), (5, 5), (1, 1), "same"), 6, 16, (POOLED_WINOGRAD, GRADIENT)),
    "Winograd, pooled only": (make_window((9, 9), (3, 3), (1, 1), "valid"), 16, 32, (POOLED_WINOGRAD,)),
}


def choosing(decisions):
    return contextlib.nullcontext() if decisions is None else forced(*decisions)


def spoil(rng, array, value):
    array.reshape(-1)[rng.integers(array.size)] = value


def case(rng, window, channels, filters, out_shape):
    """Arrays of a convolution of three images."""
    shapes = {
        "x": (3, window.in_height, window.in_width, channels),
        "kernel": (window.kernel_height, window.kernel_width, channels, filters),
        "bias": (filters,),
        "dy": out_shape,
    }
    arrays = {name: aligned(rng.standard_normal(shape).astype(np.float32)) for name, shape in shapes.items()}
    return SimpleNamespace(**arrays)


@pytest.mark.parametrize("place", ["x", "kernel", "bias", "dy"])
@pytest.mark.parametrize("name", PLAIN)
def test_convolution(name, place):
    window, channels, filters, decisions = PLAIN[name]
    rng = np.random.default_rng(len(name) + len(place))
    for value in VALUES:
        for relu in (False, True):
            a = case(rng, window, channels, filters, (3, window.out_height, window.out_width, filters))
            spoil(rng, getattr(a, place), value)
            y = after_relu(convolve(a.x, a.kernel, a.bias, window), relu)
            expected = gradients(a.x, a.kernel, np.where(y <= 0, 0, a.dy) if relu else a.dy.astype(float), window)
            for ops in (fast, reference):
                out = [Output(array.shape, np.float32) for array in (a.dy, a.x, a.kernel, a.bias)]
                ours, *ours_gradients = (output.array for output in out)
                with choosing(decisions):
                    ops.conv2d(a.x, a.kernel, a.bias, ours, window, relu=relu)
                    ops.conv2d_backward(a.x, a.kernel, ours, a.dy, *ours_gradients, window, relu=relu)
                what = f"{name}, {value} in {place}, relu {relu}"
                assert_same(ours, y, f"y: {what}")
                for mine, theirs, label in zip(ours_gradients, expected, ("dx", "dkernel", "dbias"), strict=True):
                    assert_same(mine, theirs, f"{label}: {what}")
                for output in out:
                    output.check()


@pytest.mark.parametrize("place", ["x", "kernel", "bias", "dy"])
@pytest.mark.parametrize("name", POOLED)
def test_convolution_with_pooling(name, place):
    window, channels, filters, decisions = POOLED[name]
    pool = make_window((window.out_height, window.out_width), (2, 2), (2, 2), "valid")
    rng = np.random.default_rng(len(name) + len(place))
    for value in VALUES:
        for relu in (False, True):
            a = case(rng, window, channels, filters, (3, pool.out_height, pool.out_width, filters))
            spoil(rng, getattr(a, place), value)
            full = convolve(a.x, a.kernel, a.bias, window)
            best, tap = pool_by_two(full)
            y = after_relu(best, relu)
            dfull = unpooled(np.where(y <= 0, 0, a.dy) if relu else a.dy, tap, full.shape)
            expected = gradients(a.x, a.kernel, dfull, window)
            for ops in (fast, reference):
                for with_dx in (True, False):  # the spread gradient serves without it
                    out = [Output(array.shape, np.float32) for array in (a.dy, a.x, a.kernel, a.bias)]
                    ours, dx, *others = (output.array for output in out)
                    winner = Output(a.dy.shape, np.uint8).array
                    with choosing(decisions):
                        ops.conv2d_pool(a.x, a.kernel, a.bias, ours, winner, window, pool, relu)
                        wanted = dx if with_dx else None
                        ops.conv2d_pool_backward(a.x, a.kernel, winner, a.dy, wanted, *others, window, pool)
                    what = f"{name}, {value} in {place}, relu {relu}"
                    assert_same(ours, y, f"y: {what}")
                    # With such a bias all pixels of a cell are equal: the formula leaves open which one wins.
                    tolerance = np.inf if place == "bias" else 1e-4
                    for mine, theirs, label in zip(
                        [wanted, *others], expected, ("dx", "dkernel", "dbias"), strict=True
                    ):
                        if mine is not None:
                            assert_same(mine, theirs, f"{label}: {what}", tolerance)


@pytest.mark.parametrize("place", ["x", "kernel", "bias", "dy"])
def test_dense(place):
    rng = np.random.default_rng(len(place))
    for value in VALUES:
        for relu in (False, True):
            a = SimpleNamespace(
                **{
                    name: aligned(rng.standard_normal(shape).astype(np.float32))
                    for name, shape in {"x": (5, 19), "kernel": (19, 18), "bias": (18,), "dy": (5, 18)}.items()
                }
            )
            spoil(rng, getattr(a, place), value)
            x, kernel = a.x.astype(float), a.kernel.astype(float)
            y = after_relu((x[:, :, None] * kernel).sum(axis=1) + a.bias, relu)
            dy = np.where(y <= 0, 0, a.dy) if relu else a.dy.astype(float)
            expected = (dy[:, None] * kernel).sum(axis=-1), (x[:, :, None] * dy[:, None]).sum(axis=0), dy.sum(axis=0)
            for ops in (fast, reference):
                out = [Output(array.shape, np.float32) for array in (a.dy, a.x, a.kernel, a.bias)]
                ours, *ours_gradients = (output.array for output in out)
                ops.dense(a.x, a.kernel, a.bias, ours, relu)
                ops.dense_backward(a.x, a.kernel, ours, a.dy, *ours_gradients, relu)
                assert_same(ours, y, f"{value} in {place}, relu {relu}")
                for mine, theirs in zip(ours_gradients, expected, strict=True):
                    assert_same(mine, theirs, f"{value} in {place}, relu {relu}")


def test_a_bad_image_leaves_the_others_as_they_are():
    """Bit for bit: only its own convolution is computed again."""
    rng = np.random.default_rng(4)
    window = make_window((12, 12), (3, 3), (1, 1), "same")
    x, kernel = (aligned(rng.standard_normal(s).astype(np.float32)) for s in ((4, 12, 12, 32), (3, 3, 32, 32)))
    y, with_bad = np.empty((4, 12, 12, 32), np.float32), np.empty((4, 12, 12, 32), np.float32)
    fast.conv2d(x, kernel, None, y, window)
    x[2, 3, 4, 5] = np.nan
    fast.conv2d(x, kernel, None, with_bad, window)
    assert np.isnan(with_bad[2]).any()
    for image in (0, 1, 3):
        assert np.array_equal(with_bad[image], y[image])


@few
@given(st.floats(0, 38.2), st.sampled_from([-30, -3, 0]), st.booleans(), seeds)
def test_magnitudes_inside_winograd(exponent, kernel_exponent, pooled, seed):
    """Inputs up to float32's largest: whatever the formula gives in range is finite, whatever the transforms do."""
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    window = make_window((9, 10), (3, 3), (1, 1), "same")
    pool = make_window((9, 10), (2, 2), (2, 2), "valid")
    largest = min(10.0**exponent, 0.99 * np.finfo(np.float32).max)
    x = aligned((rng.uniform(-1, 1, (2, 9, 10, 16)) * largest).astype(np.float32))
    kernel = aligned((rng.uniform(-1, 1, (3, 3, 16, 16)) * 10.0**kernel_exponent / 144).astype(np.float32))
    full = convolve(x, kernel, 0, window)
    shape = (2, 4, 5, 16) if pooled else full.shape
    y, expected = np.empty(shape, np.float32), pool_by_two(full)[0] if pooled else full
    with forced(WINOGRAD, POOLED_WINOGRAD):
        if pooled:
            fast.conv2d_pool(x, kernel, None, y, None, window, pool)
        else:
            fast.conv2d(x, kernel, None, y, window)
    assert np.isfinite(y).all()
    assert np.abs(y - expected).max() <= 1e-4 * max(np.abs(expected).max(), 1e-30)


# ------------------------------------------------------------------------------------------------------- every layer


def mean_of(x):
    return np.asarray(x, float).mean(axis=(1, 2))


LAYERS = {
    "ReLU": (layers.ReLU, {}, lambda x: np.where(x < 0, 0, x), lambda x, dy: np.where(x <= 0, 0, dy)),
    "ReLU6": (
        layers.ReLU,
        {"max_value": 6},
        lambda x: np.where(x < 0, 0, np.where(x > 6, 6, x)),
        lambda x, dy: np.where((x <= 0) | (x >= 6), 0, dy),
    ),
    "leaky ReLU": (
        layers.ReLU,
        {"negative_slope": 0.25},
        lambda x: np.where(x < 0, 0.25 * x, x),
        lambda x, dy: np.where(x > 0, dy, 0.25 * dy),  # of NaN, too, as in PyTorch
    ),
    "LeakyReLU": (
        layers.LeakyReLU,
        {"negative_slope": 0.25},
        lambda x: np.where(x > 0, x, 0.25 * x),
        lambda x, dy: np.where(x > 0, dy, 0.25 * dy),
    ),
    "Sigmoid": (
        layers.Activation,
        {"activation": "sigmoid"},
        lambda x: 1 / (1 + np.exp(-x)),
        lambda x, dy: dy * (1 / (1 + np.exp(-x))) * (1 - 1 / (1 + np.exp(-x))),
    ),
    "Tanh": (layers.Activation, {"activation": "tanh"}, np.tanh, lambda x, dy: dy * (1 - np.tanh(x) ** 2)),
    "Softmax": (layers.Softmax, {}, oracles.softmax, None),
    "MaxPooling2D": (
        layers.MaxPooling2D,
        {},
        lambda x: pool_by_two(x)[0],
        lambda x, dy: unpooled(dy, pool_by_two(x)[1], x.shape),
    ),
    "AveragePooling2D": (
        layers.AveragePooling2D,
        {},
        lambda x: x.reshape(2, 3, 2, 2, 2, 3).sum(axis=(2, 4)) / 4,
        lambda x, dy: np.repeat(np.repeat(dy / 4, 2, axis=1), 2, axis=2),
    ),
    "GlobalAveragePooling2D": (
        layers.GlobalAveragePooling2D,
        {},
        mean_of,
        lambda x, dy: np.broadcast_to(dy[:, None, None] / 24, x.shape),
    ),
    "GlobalMaxPooling2D": (layers.GlobalMaxPooling2D, {}, lambda x: x.max(axis=(1, 2)), None),
    "ZeroPadding2D": (
        layers.ZeroPadding2D,
        {},
        lambda x: np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))),
        lambda x, dy: dy[:, 1:-1, 1:-1],
    ),
    "Flatten": (layers.Flatten, {}, lambda x: x.reshape(2, -1), lambda x, dy: dy.reshape(x.shape)),
    "Rescaling": (layers.Rescaling, {"scale": 2.0, "offset": 1.0}, lambda x: 2 * x + 1, lambda x, dy: 2 * dy),
}
"""Layer, arguments, and formulas for images (2, 6, 4, 3): of the output, and of the input's gradient."""


@pytest.mark.parametrize("backend", ["numpy", "numba", pytest.param("cupy", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, backend):
    layer_class, arguments, output, gradient = LAYERS[name]
    rng = np.random.default_rng(len(name))
    for value in VALUES:
        for place in ("x", "dy"):
            x = rng.standard_normal((2, 6, 4, 3)).astype(np.float32)
            dy = rng.standard_normal(output(x.astype(float)).shape).astype(np.float32)
            spoil(rng, {"x": x, "dy": dy}[place], value)
            expected = output(x.astype(float))
            dx = gradient and gradient(x.astype(float), dy.astype(float))
            ours = run(graph_of(layer_class(**arguments), [x.shape[1:]]), [x], [dy], backend)
            assert_same(ours.outputs[0], expected, f"{value} in {place}")
            if gradient:
                assert_same(ours.dxs[0], dx, f"dx: {value} in {place}")


@pytest.mark.parametrize("backend", ["numba", pytest.param("cupy", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("place", ["x", "kernel", "dy"])
def test_fused_layers(place, backend):
    """Convolution, normalization (folded outside training), ReLU and pooling: what the reference gives in float64."""
    rng = np.random.default_rng(len(place))
    for value in VALUES:
        for training in (False, True):
            stack = [layers.Conv2D(16, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
            if not training:
                stack = [layers.Conv2D(16, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(), stack[1]]
            model = mc.Sequential([mc.Input((8, 8, 5)), *stack])
            x, dy = (rng.standard_normal(s).astype(np.float32) for s in ((3, 8, 8, 5), (3, 4, 4, 16)))
            if place != "kernel":
                spoil(rng, {"x": x, "dy": dy}[place], value)
            else:
                kernel = model.layers[0].get_weights()[0]
                spoil(rng, kernel, value)
                model.layers[0].kernel.assign(kernel)
            results = []
            for b, dtype in ((backend, "float32"), ("numpy", "float64")):
                results.append(run(model.graph, [x], [dy] if training else None, b, training, dtype=dtype))
            assert_same(results[0].outputs[0], results[1].outputs[0], f"{value} in {place}")
            if training and (place != "kernel" or backend == "numba"):  # GPU kernels multiply weights with zeros, too
                assert_same(results[0].dxs[0], results[1].dxs[0], f"dx: {value} in {place}")
                for path, expected in results[1].grads.items():
                    assert_same(results[0].grads[path], expected, f"{path}: {value} in {place}")


@pytest.mark.parametrize("backend", ["numba", pytest.param("cupy", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("bilinear", [False, True])
def test_warp(bilinear, backend):
    """An infinite pixel makes those infinite that read it, and NaN those that read it with a weight of 0."""
    rng = np.random.default_rng(9)
    for value in VALUES:
        x = rng.standard_normal((2, 6, 5, 2)).astype(np.float32)
        spoil(rng, x, value)
        matrix = np.array([[[1, 0, 0], [0, 1, 0]], [[0.75, 0.25, 0.5], [-0.125, 0.5, 1.25]]])  # nothing; a turn
        expected = np.empty(x.shape)
        reference.warp(x.astype(float), matrix, expected, bilinear, "reflect", 0.0)
        module = backends.get(backend)
        ours = module.to_host(_warped(module, x, matrix, bilinear))
        assert_same(ours, expected, f"{value}")


def _warped(module, x, matrix, bilinear):
    x, y, matrix = (module.xp.asarray(a) for a in (x, np.empty_like(x), matrix))
    module.ops.warp(x, matrix, y, bilinear, "reflect", 0.0)
    return y
