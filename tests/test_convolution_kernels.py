"""Every algorithm of `choice.py` against the reference, wherever it can serve, chosen or not."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, note
from hypothesis import strategies as st
from kernel_checks import (
    DTYPES,
    TOLERANCE,
    Output,
    aligned,
    compare,
    few,
    in_shape,
    largest_term,
    normal,
    out_shape,
    pooled_windows,
    run_both,
    seeds,
    windows,
)
from numpy.polynomial import polynomial

from minicnn import backends
from minicnn.backends import memory
from minicnn.backends.numba.convolution import (
    choice,
    columns,
    depthwise,
    direct,
    few_filters,
    gradients,
    on_tiles,
    panels,
    pooled,
    sparse,
    winograd,
    winograd_gradient,
    winograd_rounds,
)
from minicnn.backends.numba.convolution.gradients import masked
from minicnn.backends.numba.machine import batch, offsets
from minicnn.backends.numba.machine.batch import wanted
from minicnn.backends.numba.machine.target import lanes
from minicnn.backends.numba.pooling import pooled as outputs
from minicnn.backends.reference import ops as reference
from minicnn.geometry import RELU_OFF, Window, make_window

fast = backends.get("numba").ops

counts = st.sampled_from([1, 2, 5, 8, 16, 17, 33])


@st.composite
def winograd_windows(draw, smallest=1, dilation=3, sizes=(3, 5)):
    """3 x 3 or 5 x 5 taps, steps of 1, any padding that Winograd serves, dilation up to so much along each axis."""
    d_y, d_x = draw(st.integers(1, dilation)), draw(st.integers(1, dilation))
    taps = draw(st.sampled_from(sizes))
    reach_y, reach_x = (taps - 1) * d_y, (taps - 1) * d_x
    top, bottom, left, right = (draw(st.integers(0, reach)) for reach in (reach_y, reach_y, reach_x, reach_x))
    height, width = draw(st.integers(smallest, 14)), draw(st.integers(smallest, 14))  # of the outputs
    size = max(1, height + reach_y - top - bottom), max(1, width + reach_x - left - right)
    padding = {"pad_top": top, "pad_bottom": bottom, "pad_left": left, "pad_right": right}
    window = Window(*size, taps, taps, dilation_y=d_y, dilation_x=d_x, **padding)
    assume(min(window.out_height, window.out_width) >= smallest)
    assert choice.winograd_serves(window)
    assert choice.winograd_serves(window.turned_around)
    return window


def kernel_of(rng, window, channels, filters, dtype=np.float32):
    return normal(rng, window.kernel_height, window.kernel_width, channels, filters, dtype=dtype)


@pytest.fixture
def only(monkeypatch):
    """Let one algorithm serve whatever it can, and count its calls."""

    def use(name, module, functions):
        for other in [decision for decision in dir(choice) if decision.endswith("_best")]:
            is_it = other.endswith(name)  # with pooling, too
            monkeypatch.setattr(choice, other, lambda *arguments, is_it=is_it: is_it)
        calls = []
        for function in functions:
            original = getattr(module, function)

            def counted(*arguments, original=original):
                calls.append(original.__name__)
                return original(*arguments)

            monkeypatch.setattr(module, function, counted)
        return calls

    return use


def images(rng, n, window, channels, dtype):
    return normal(rng, *in_shape(n, window, channels), dtype=dtype)


@DTYPES
@few
@given(winograd_windows(), counts, counts, st.integers(1, 5), st.booleans(), st.booleans(), seeds)
def test_winograd(dtype, window, channels, filters, n, relu, has_bias, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    x, kernel = images(rng, n, window, channels, dtype), kernel_of(rng, window, channels, filters, dtype)
    bias, dy = normal(rng, filters, dtype=dtype), normal(rng, *out_shape(n, window, filters), dtype=dtype)
    y, expected = Output(dy.shape, dtype), np.empty_like(dy)
    winograd.conv2d(x, kernel, bias if has_bias else None, y.array, window, relu)
    reference.conv2d(x, kernel, bias if has_bias else None, expected, window, relu=relu)
    y.check()
    compare(y.array, expected, dtype, "y", largest_term("y", x=x, kernel=kernel, bias=bias))
    dx, expected_dx = Output(x.shape, dtype), np.empty_like(x)
    winograd.input_gradient(kernel, expected if relu else None, dy, dx.array, window)
    reference.conv2d_backward(x, kernel, expected, dy, expected_dx, None, None, window, relu=relu)
    dx.check()
    compare(dx.array, expected_dx, dtype, "dx", largest_term("dx", dy=dy, kernel=kernel))


@DTYPES
@few
@given(winograd_windows(smallest=2, dilation=1), counts, counts, st.integers(1, 5), st.booleans(), seeds)
def test_winograd_with_pooling(dtype, window, channels, filters, n, relu, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    pool = make_window((window.out_height, window.out_width), (2, 2), (2, 2), "valid")
    x, kernel = images(rng, n, window, channels, dtype), kernel_of(rng, window, channels, filters, dtype)
    bias, shape = normal(rng, filters, dtype=dtype), out_shape(n, pool, filters)
    y, winner, expected = Output(shape, dtype), Output(shape, np.uint8), np.empty(shape, dtype)
    winograd.conv2d_pool(x, kernel, bias, outputs(y.array, winner.array), window, relu)
    reference.conv2d_pool(x, kernel, bias, expected, np.empty(shape, np.uint8), window, pool, relu)
    y.check()
    winner.check()
    compare(y.array, expected, dtype, "y", largest_term("y", x=x, kernel=kernel, bias=bias))
    assert_winners(x, kernel, bias, winner.array, expected, window, relu, dtype)
    without_winner = Output(shape, dtype)
    winograd.conv2d_pool(x, kernel, bias, outputs(without_winner.array, None), window, relu)
    assert np.array_equal(without_winner.array, y.array)


@DTYPES
@few
@given(winograd_windows(smallest=2), counts, st.integers(1, 2), st.integers(1, 5), seeds)
def test_winograd_s_input_gradient_behind_pooling(dtype, window, channels, filter_vectors, n, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    filters = 16 * filter_vectors
    pool = make_window((window.out_height, window.out_width), (2, 2), (2, 2), "valid")
    shape = out_shape(n, pool, filters)
    winner = aligned(rng.choice([0, 1, 2, 3, RELU_OFF], shape).astype(np.uint8))
    x, kernel = images(rng, n, window, channels, dtype), kernel_of(rng, window, channels, filters, dtype)
    dy, dx, expected = normal(rng, *shape, dtype=dtype), Output(x.shape, dtype), np.empty_like(x)
    winograd.pool_input_gradient(kernel, winner, dy, dx.array, window)
    reference.conv2d_pool_backward(x, kernel, winner, dy, expected, None, None, window, pool)
    dx.check()
    compare(dx.array, expected, dtype, "dx", largest_term("dx", dy=dy, kernel=kernel))


@pytest.mark.parametrize("has_winner", [False, True])
def test_winograd_s_input_gradient_of_a_fully_padded_window(has_winner):
    """Turned around it has no padding, but the gradient that is masked or spread still needs memory of its own."""
    rng = np.random.default_rng(16)
    window = Window(12, 12, 3, 3, pad_top=2, pad_bottom=2, pad_left=2, pad_right=2)
    pool = make_window((14, 14), (2, 2), (2, 2), "valid")
    x, kernel, full = normal(rng, 3, 12, 12, 16), normal(rng, 3, 3, 16, 16), normal(rng, 3, 14, 14, 16)
    dx, expected = Output(x.shape, np.float32), np.empty_like(x)
    if has_winner:
        dy, winner = normal(rng, 3, 7, 7, 16), aligned(rng.integers(0, 4, (3, 7, 7, 16)).astype(np.uint8))
        winograd.pool_input_gradient(kernel, winner, dy, dx.array, window)
        reference.conv2d_pool_backward(x, kernel, winner, dy, expected, None, None, window, pool)
    else:
        dy = normal(rng, *full.shape)
        winograd.input_gradient(kernel, full, dy, dx.array, window)
        reference.conv2d_backward(x, kernel, full, dy, expected, None, None, window, relu=True)
    dx.check()
    compare(dx.array, expected, np.float32)


def test_more_padding_than_winograd_serves():
    rng = np.random.default_rng(17)
    window = Window(9, 8, 3, 3, pad_top=3, pad_bottom=0, pad_left=1, pad_right=4)
    assert not choice.winograd_serves(window)
    assert not choice.winograd_serves(window.turned_around)
    x, kernel = normal(rng, 2, 9, 8, 32), normal(rng, 3, 3, 32, 32)
    inputs = {"x": x, "kernel": kernel, "bias": None, "y": None, "window": window}
    run_both("conv2d", inputs, {"y": out_shape(2, window, 32)}, np.float32)
    inputs["dy"] = normal(rng, *out_shape(2, window, 32))
    run_both("conv2d_backward", inputs, {"dx": x.shape, "dkernel": kernel.shape, "dbias": (32,)}, np.float32)


@pytest.mark.parametrize("taps", [(7, 1), (1, 7), (7, 7), (8, 1), (6, 1)], ids=str)
def test_tall_kernels_of_many_channels_have_no_tiles(taps, rng):
    """Inception v3 has 7 x 1 taps of 192 channels."""
    channels, window = 88, make_window((7, 7), taps, (1, 1), "same")
    x, kernel = normal(rng, 2, 7, 7, channels), normal(rng, *taps, channels, channels)
    inputs = {"x": x, "kernel": kernel, "y": None, "window": window}
    inputs["dy"] = normal(rng, *out_shape(2, window, channels))
    run_both("conv2d_backward", inputs, {"dx": x.shape, "dkernel": kernel.shape, "dbias": (channels,)}, np.float32)


def test_winograd_cuts_large_images_into_several_rounds():
    rng = np.random.default_rng(18)
    window = make_window((37, 38), (3, 3), (1, 1), "same")  # 100 tiles
    x, kernel = normal(rng, 2, 37, 38, 16), normal(rng, 3, 3, 16, 17)
    y, expected = Output((2, 37, 38, 17), np.float32), np.empty((2, 37, 38, 17), np.float32)
    winograd.conv2d(x, kernel, None, y.array, window, True)
    reference.conv2d(x, kernel, None, expected, window, relu=True)
    y.check()
    compare(y.array, expected, np.float32)


def test_winners_in_the_padding_get_no_gradient():
    """Where all pixels of a padded pooling window are -inf, its first tap wins, which is none of the image's."""
    rng = np.random.default_rng(19)
    window = make_window((9, 9), (3, 3), (1, 1), "same")
    pool = make_window((9, 9), (3, 3), (2, 2), "same")
    x, kernel = normal(rng, 2, 9, 9, 16), normal(rng, 3, 3, 16, 8)
    winner = aligned(np.zeros(out_shape(2, pool, 8), np.uint8))
    made = [Output(shape, np.float32) for shape in (x.shape, kernel.shape, (8,))]
    arrays = [output.array for output in made]
    fast.conv2d_pool_backward(x, kernel, winner, normal(rng, *winner.shape), *arrays, window, pool)
    for output in made:
        output.check()
        assert np.isfinite(output.array).all()


@pytest.mark.parametrize(("channels", "size"), [(3, 9), (64, 5)])
def test_no_images_give_no_gradient(channels, size):
    window = make_window((size, size), (3, 3), (1, 1), "valid")
    x, kernel = aligned(np.empty((0, size, size, channels), np.float32)), aligned(np.ones((3, 3, channels, 16), "f4"))
    dkernel, dbias = aligned(np.ones_like(kernel)), aligned(np.ones(16, np.float32))
    dy = aligned(np.empty(out_shape(0, window, 16), np.float32))
    fast.conv2d_backward(x, kernel, None, dy, None, dkernel, dbias, window)
    assert not dkernel.any()
    assert not dbias.any()


def assert_winners(x, kernel, bias, winner, pooled, window, relu, dtype):
    """The pixel that won has the greatest value, up to rounding; none has won where ReLU is off."""
    full = np.empty((len(x), window.out_height, window.out_width, kernel.shape[-1]), dtype)
    reference.conv2d(x, kernel, bias, full, window)
    rows, columns_ = pooled.shape[1:3]
    cells = full[:, : 2 * rows, : 2 * columns_].reshape(len(x), rows, 2, columns_, 2, -1)
    taps = cells.transpose(2, 4, 0, 1, 3, 5).reshape(4, *pooled.shape)  # (tap, N, PH, PW, F)
    tolerance = 2 * TOLERANCE[dtype] * np.abs(full).max()
    is_off = winner == RELU_OFF
    assert relu or not is_off.any()
    assert (taps.max(axis=0)[is_off] <= tolerance).all()
    chosen = np.take_along_axis(taps, np.where(is_off, 0, winner)[None].astype(np.int64), axis=0)[0]
    assert (np.where(is_off, np.inf, chosen) >= taps.max(axis=0) - tolerance).all()


@pytest.mark.parametrize("taps", [3, 5])
def test_winograd_rounds_little_more_than_a_plain_sum(taps):
    rng = np.random.default_rng(11)
    window = make_window((28, 28), (taps, taps), (1, 1), "same")
    x = aligned(np.maximum(rng.standard_normal((2, 28, 28, 64)), 0).astype(np.float32))
    kernel = normal(rng, taps, taps, 64, 32)
    y, exact = aligned(np.empty((2, 28, 28, 32), np.float32)), np.empty((2, 28, 28, 32))
    winograd.conv2d(x, kernel, None, y, window, False)
    reference.conv2d(x.astype(float), kernel.astype(float), None, exact, window)
    assert np.abs(y - exact).max() <= 3e-6 * np.abs(exact).max()


@pytest.fixture
def without_tiles(monkeypatch):
    """As on a processor that has none."""
    monkeypatch.setattr(on_tiles, "conv2d", lambda *arguments: False)
    monkeypatch.setattr(on_tiles, "conv2d_backward", lambda *arguments: False)


def all_of(ops, x, kernel, dy, window):
    """y, dx and dkernel of a convolution without ReLU, in the type of x."""
    y, dx, dkernel = (aligned(np.empty_like(array)) for array in (dy, x, kernel))
    ops.conv2d(x, kernel, None, y, window)
    ops.conv2d_backward(x, kernel, None, dy, dx, dkernel, None, window)
    return y, dx, dkernel


@pytest.mark.parametrize("is_positive", [True, False])
@pytest.mark.parametrize("channels", [32, 256])
@pytest.mark.usefixtures("without_tiles")
def test_5_x_5_taps_err_as_little_as_3_x_3(channels, is_positive, monkeypatch):
    """Against the formula in float64: y and dx by Winograd's algorithm, the kernel's gradient by sums of products."""
    rng = np.random.default_rng(channels)
    window = make_window((9, 8), (5, 5), (1, 1), "same")
    arrays = (3, 9, 8, channels), (5, 5, channels, 48), (3, 9, 8, 48)
    x, kernel, dy = (normal(rng, *shape) for shape in arrays)
    if is_positive:
        np.maximum(x, 0, out=x)
    spies = {name: mock.Mock(wraps=getattr(winograd, name)) for name in ("conv2d", "input_gradient")}
    for name, spy in spies.items():
        monkeypatch.setattr(winograd, name, spy)
    exact = all_of(reference, *(array.astype(float) for array in (x, kernel, dy)), window)
    for ours, right, name in zip(all_of(fast, x, kernel, dy, window), exact, ("y", "dx", "dkernel"), strict=True):
        assert np.abs(ours - right).max() <= 3e-6 * np.abs(right).max(), name
    assert all(spy.called for spy in spies.values())


def test_few_channels_of_5_x_5_taps_stay_with_the_direct_product():
    lenet, behind = make_window((14, 14), (5, 5), (1, 1), "valid"), make_window((10, 10), (2, 2), (2, 2), "valid")
    assert not choice.winograd_is_best(lenet, 6, 16, 4)
    assert not choice.pooled_winograd_is_best(lenet, behind, 6, 16, 4)
    assert choice.winograd_is_best(lenet, 64, 64, 4)
    for taps in ((5, 3), (3, 5), (4, 4), (7, 7), (1, 1)):
        assert not choice.winograd_serves(make_window((14, 14), taps, (1, 1), "valid"))


def textbook_transforms(points):
    """Bᵀ, G, Aᵀ of F(4, 3) evaluated at the points and infinity (Lavin and Gray, 2016), in float32."""
    size = len(points) + 1
    bt, g, at = np.zeros((size, size)), np.zeros((size, 3)), np.zeros((size - 2, size))
    for j, point in enumerate(points):
        others = np.delete(points, j)
        bt[j, :-1] = polynomial.polyfromroots(others)
        g[j] = point ** np.arange(3.0) / np.prod(point - others)
        at[:, j] = point ** np.arange(size - 2.0)
    bt[-1], g[-1, 2], at[-1, -1] = polynomial.polyfromroots(points), 1, 1
    return [matrix.astype(np.float32) for matrix in (bt, g, at)]


def test_winograd_rounds_less_than_at_the_usual_points():
    rng = np.random.default_rng(17)
    window = make_window((6, 6), (3, 3), (1, 1), "valid")
    x, kernel = normal(rng, 300, 6, 6, 64), normal(rng, 3, 3, 64, 1)
    ours, exact = aligned(np.empty((300, 4, 4, 1), np.float32)), np.empty((300, 4, 4, 1))
    winograd.conv2d(x, kernel, None, ours, window, False)
    reference.conv2d(x.astype(float), kernel.astype(float), None, exact, window)
    bt, g, at = textbook_transforms(np.array([0.0, 1, -1, 2, -2]))
    numbers = bt @ np.moveaxis(x, 3, 1) @ bt.T  # (N, C, 6, 6)
    factors = g @ np.moveaxis(kernel[..., 0], 2, 0) @ g.T  # (C, 6, 6)
    usual = (at @ np.einsum("ncij,cij->nij", numbers, factors) @ at.T)[..., None]
    our_errors, usual_errors = ours - exact, usual - exact
    assert np.abs(usual_errors).max() < 1e-4 * np.abs(exact).max()
    assert our_errors.std() < 0.6 * usual_errors.std()
    assert np.abs(our_errors).max() < 0.5 * np.abs(usual_errors).max()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_winograd_hides_no_error(bad):
    rng = np.random.default_rng(12)
    window = make_window((9, 9), (3, 3), (1, 1), "same")
    x, kernel = normal(rng, 1, 9, 9, 16), normal(rng, 3, 3, 16, 16)
    x[0, 4, 4, 3] = bad
    y = aligned(np.empty((1, 9, 9, 16), np.float32))
    winograd.conv2d(x, kernel, None, y, window, False)
    assert not np.isfinite(y[0, 3:6, 3:6]).any()  # and perhaps more of their tiles
    assert np.isfinite(y[0, 8]).all()


@DTYPES
@few
@given(windows(), counts, counts, st.integers(1, 7), st.booleans(), st.sets(st.integers(0, 2), max_size=2), seeds)
def test_columns(dtype, window, channels, filters, n, relu, unwanted, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    kernel = normal(rng, window.kernel_height, window.kernel_width, channels, filters, dtype=dtype)
    x, dy = images(rng, n, window, channels, dtype), normal(rng, *out_shape(n, window, filters), dtype=dtype)
    y = normal(rng, *dy.shape, dtype=dtype)
    made = [Output(a.shape, dtype) for a in (x, kernel, kernel[0, 0, 0])]
    expected = [np.empty_like(a) for a in (x, kernel, kernel[0, 0, 0])]
    arrays = [None if number in unwanted else output.array for number, output in enumerate(made)]
    columns.conv2d_backward(x, kernel, masked(dy, y if relu else None), wanted(*arrays, dtype), window)
    reference.conv2d_backward(x, kernel, y, dy, *expected, window, relu=relu)
    for number, output in enumerate(made):
        output.check()
        if number not in unwanted:
            name = ("dx", "dkernel", "dbias")[number]
            compare(output.array, expected[number], dtype, name, largest_term(name, x=x, dy=dy, kernel=kernel))


@st.composite
def turnable_windows(draw):
    """Any window without strides whose padding is less than its span, in bands of several lines or of one."""
    size, dilation = (
        draw(st.tuples(st.integers(1, 5), st.integers(1, 5))),
        draw(st.sampled_from([(1, 1), (2, 1), (1, 3)])),
    )
    spans = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    pads = [draw(st.integers(0, span - 1)) for span in (spans[0], spans[0], spans[1], spans[1])]
    padding = dict(zip(("pad_top", "pad_bottom", "pad_left", "pad_right"), pads, strict=True))
    in_size = [span + draw(st.integers(0, 12)) for span in spans]
    window = Window(*in_size, *size, dilation_y=dilation[0], dilation_x=dilation[1], **padding)
    assert choice._can_be_turned(window)
    return window


@DTYPES
@few
@given(turnable_windows(), counts, st.integers(1, 4), st.integers(1, 4), st.booleans(), st.booleans(), seeds)
def test_few_filters(dtype, window, channels, filters, n, relu, has_bias, seed):
    note(f"seed {seed}")
    rng, filters = np.random.default_rng(seed), min(filters, lanes(np.dtype(dtype).itemsize))
    kernel = normal(rng, window.kernel_height, window.kernel_width, channels, filters, dtype=dtype)
    x, bias = images(rng, n, window, channels, dtype), normal(rng, filters, dtype=dtype) if has_bias else None
    dy = normal(rng, *out_shape(n, window, filters), dtype=dtype)
    y, dkernel, dbias = (Output(shape, dtype) for shape in (dy.shape, kernel.shape, (filters,)))
    expected = [np.empty(shape, dtype) for shape in (dy.shape, kernel.shape, (filters,))]
    few_filters.conv2d(x, kernel, bias, y.array, window, relu)
    reference.conv2d(x, kernel, bias, expected[0], window, relu=relu)
    active = expected[0] if relu else None
    few_filters.kernel_gradient(x, masked(dy, active), dkernel.array, dbias.array if has_bias else None, window)
    reference.conv2d_backward(x, kernel, expected[0], dy, None, *expected[1:], window, relu=relu)
    for name, output, right in zip(("y", "dkernel", "dbias"), (y, dkernel, dbias), expected, strict=True):
        output.check()
        if name != "dbias" or has_bias:
            compare(output.array, right, dtype, name, largest_term(name, dy=dy, x=x, kernel=kernel))


def test_kernels_that_no_cache_holds_are_transformed_for_many_tiles_alone():
    """ResNet-50's and VGG-16's last convolutions: the transformed kernel has 38 MB."""
    window = make_window((10, 10), (3, 3), (1, 1), "same")
    assert choice.winograd_is_best(window, 512, 512, 4)
    assert [choice.has_tiles_enough(n, window, 512, 512, 4) for n in (1, 8, 64)] == [False, False, True]
    assert choice.has_tiles_enough(8, window, 128, 128, 4)


def test_winograd_puts_an_image_into_its_frame_once(monkeypatch):
    """Not once for every few dozen tiles that are transformed together: that took most of a large image's time."""
    loads = []
    monkeypatch.setattr(winograd, "_load_image", lambda frame, source, image, *_: loads.append(image))
    monkeypatch.setattr(winograd, "lanes_of", lambda array: 8)
    for name in ("transform_inputs", "fetch_to_write"):
        monkeypatch.setattr(winograd, name, lambda *_: None)
    x, y = np.zeros((3, 40, 40, 8), "f4"), memory.empty((3, 40, 40, 8), "f4")
    frame, tiles = winograd.tiles_of(make_window((40, 40), (3, 3), (1, 1), "same"), 8, 8)
    sizes = winograd.transformed(tiles.count, 8, 8, 4, x[0].size, y[0].size)
    room, source = winograd._Room(np.zeros(frame.size), (0, 0), x), winograd._source(x)
    loaded = -1
    for begin in range(0, 3 * tiles.count, sizes.together):
        own = begin, min(begin + sizes.together, 3 * tiles.count)
        loaded = winograd._transform_tiles.py_func(
            source, outputs(y, None), 0, own, frame, tiles, sizes, room, x, loaded
        )
    assert tiles.count > sizes.together and loads == [0, 1, 2]


@DTYPES
@few
@given(windows(), counts, st.sampled_from([1, 7, 32, 40, 65]), st.integers(0, 5), st.booleans(), st.booleans(), seeds)
def test_panels(dtype, window, channels, filters, n, relu, has_bias, seed):
    """Of few rows, and few images in frames at a time: the bits of the direct product, which has neither."""
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    x, kernel = images(rng, n, window, channels, dtype), kernel_of(rng, window, channels, filters, dtype)
    bias = normal(rng, filters, dtype=dtype) if has_bias else None
    y, plain, expected = Output(shape := out_shape(n, window, filters), dtype), *(np.empty(shape, dtype) for _ in "ab")
    with mock.patch.multiple(panels, _MOST_FRAMED=1000):
        panels._panels.cache_clear()
        panels.conv2d(x, kernel, bias, y.array, window, relu)
        panels._panels.cache_clear()
    direct.conv2d(x, kernel, bias, plain, window, relu)
    reference.conv2d(x, kernel, bias, expected, window, relu=relu)
    y.check()
    np.testing.assert_array_equal(y.array, plain)
    compare(y.array, expected, dtype, "y", largest_term("y", x=x, kernel=kernel))


def test_panels_serve_what_is_theirs(only, monkeypatch):
    monkeypatch.setattr(on_tiles, "conv2d", lambda *arguments: False)  # which are faster where there are any
    calls, window = only("panels_are_best", panels, ["conv2d"]), make_window((3, 3), (3, 3), (1, 1), "same")
    x, kernel, y = np.ones((2, 3, 3, 40), "f4"), np.ones((3, 3, 40, 300), "f4"), memory.empty((2, 3, 3, 300), "f4")
    fast.conv2d(x, kernel, None, y, window)
    assert calls == ["conv2d"] and (y[:, 1, 1] == 360).all()


def test_which_kernels_are_large():
    row, kernel = choice._LONG_ROW, choice._LARGE_KERNEL
    assert choice.panels_are_best(512, 512, 9, 4) and choice.panels_are_best(kernel // row, row // 4, 1, 4)
    assert not choice.panels_are_best(1024, row // 4 - 1, 1, 4)  # rows are not long
    assert not choice.panels_are_best(kernel // row - 1, row // 4, 1, 4)  # a near cache has room for all of it


def test_few_columns_make_as_many_tasks_as_many():
    """A part of the images is a task for each panel; the last ones may be as many as there are images."""
    frame = offsets.frame(2, 2, 3, 0, 0, 0, 0)
    width = panels._VECTORS * lanes(4)
    assert [panels._panels(50, frame, 9, n * width, 4).parts for n in (1, 4, 8, 40)] == [16, 4, 2, 2]
    assert panels._panels(3, frame, 9, width, 4).parts == 3


def test_few_filters_in_bands(monkeypatch, rng):
    """Of an image that no cache holds: each band computes the lines that its outputs reach to."""
    monkeypatch.setattr(few_filters, "_BAND_BYTES", 1 << 12)
    window = make_window((23, 9), (4, 3), (1, 1), "same", (2, 1))
    few_filters.bands.cache_clear()
    assert few_filters.bands(window, 5, 2, 4).count > 1
    x, kernel = images(rng, 3, window, 5, np.float32), normal(rng, 4, 3, 5, 2)
    y, expected = Output(out_shape(3, window, 2), np.float32), np.empty(out_shape(3, window, 2), np.float32)
    few_filters.conv2d(x, kernel, None, y.array, window, False)
    few_filters.bands.cache_clear()
    reference.conv2d(x, kernel, None, expected, window)
    y.check()
    compare(y.array, expected, np.float32, "y", largest_term("y", x=x, kernel=kernel))


def test_which_convolutions_have_few_filters():
    same = make_window((28, 28), (3, 3), (1, 1), "same")
    assert choice.few_filters_are_best(same, 16, 1, 4)
    assert choice.few_filters_gradient_is_best(same, 16, 1, 4)
    assert not choice.few_filters_are_best(same, 1, 6, 4)  # a first layer
    assert not choice.few_filters_gradient_is_best(same, 1, 6, 4)
    assert not choice.few_filters_are_best(same, 32, 32, 4)
    assert not choice.few_filters_are_best(make_window((28, 28), (3, 3), (2, 2), "same"), 16, 1, 4)
    assert not choice.few_filters_are_best(Window(9, 9, 1, 1, pad_top=1, pad_bottom=1), 64, 1, 4)
    assert choice.few_filters_are_best(Window(9, 9, 1, 1), 64, 1, 4)
    large = [
        make_window((size, size), (9, 9), (1, 1), "same") for size in (64, 512)
    ]  # what is scratch memory of a task
    assert [choice.few_filters_are_best(window, 64, 2, 4) for window in large] == [True, False]
    long = [Window(2, width, 1, 9) for width in (1000, 100_000)]  # of one row, too
    assert [choice.few_filters_are_best(window, 64, 2, 4) for window in long] == [True, False]
    assert not choice.few_filters_are_best(Window(9, 9, 1, 1), 64, 16, 4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_of_a_single_tap_that_is_not_finite(rng, bad):
    """There is no padding that it could meet: it reaches its own filter, everywhere."""
    window, x, kernel = Window(3, 7, 1, 1), normal(rng, 2, 3, 7, 64), normal(rng, 1, 1, 64, 2)
    assert choice.few_filters_are_best(window, 64, 2, 4)
    kernel[0, 0, 5, 1] = bad
    y = Output((2, 3, 7, 2), np.float32)
    fast.conv2d(x, kernel, None, y.array, window)
    np.testing.assert_allclose(y.array, np.tensordot(x, kernel[0, 0], 1), rtol=1e-4, atol=1e-4)
    assert np.isfinite(y.array).all(axis=(0, 1, 2)).tolist() == [True, False]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("channels", [5, 16, 21])
def test_a_pixel_of_a_single_tap_meets_no_neighbour(rng, bad, channels):
    """The last vector of a pixel's channels reaches into the next pixel; that of the last pixel, behind the array."""
    window = Window(3, 7, 1, 1)
    x, kernel, y = (
        images(rng, 2, window, channels, np.float32),
        normal(rng, 1, 1, channels, 2),
        Output((2, 3, 7, 2), np.float32),
    )
    for pixel in ((0, 1, 4), (1, 2, 6)):
        numbers = x.copy()
        numbers[pixel] = bad
        few_filters.conv2d(aligned(numbers), kernel, None, y.array, window, False)
        y.check()
        assert [tuple(place) for place in np.argwhere(~np.isfinite(y.array).any(axis=3))] == [pixel]


@few
@given(
    st.integers(2, 9),
    st.integers(2, 9),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, choice.lanes(4) // 2),
    seeds,
)
def test_pairs(height, width, kernel_size, channels, filters, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    window = make_window((height + kernel_size, width + kernel_size), (kernel_size, kernel_size), (1, 1), "valid")
    pool = make_window((window.out_height, window.out_width), (2, 2), (2, 2), "valid")
    assert choice.pairs_are_best(window, pool, filters, itemsize=4)
    shape = out_shape(3, pool, filters)

    def whole(*size):  # exact sums, so that winners can be compared
        return aligned(rng.integers(-3, 4, size).astype(np.float32))

    inputs = {
        "x": whole(*in_shape(3, window, channels)),
        "kernel": whole(kernel_size, kernel_size, channels, filters),
        "bias": whole(filters),
        "window": window,
        "pool": pool,
    }
    run_both("conv2d_pool", inputs, {"y": shape, "winner": shape}, np.float32, relu=True)


@pytest.mark.parametrize("algorithm", ["spread", "sparse"])
@DTYPES
@few
@given(pooled_windows(), counts, counts, st.integers(1, 5), st.booleans(), seeds)
def test_kernel_gradient_behind_pooling(algorithm, dtype, geometry, channels, filters, n, has_bias, seed):
    note(f"seed {seed}")
    window, pool = geometry
    assume(algorithm == "sparse" or choice.can_pool_by_rows(pool))
    rng = np.random.default_rng(seed)
    shape = out_shape(n, pool, filters)
    winner = memory.empty(shape, np.uint8)
    reference.max_pool2d(rng.standard_normal(out_shape(n, window, filters)), np.empty(shape), winner, pool)
    winner[rng.random(shape) < 0.4] = RELU_OFF
    x, dy = images(rng, n, window, channels, dtype), normal(rng, *shape, dtype=dtype)
    kernel = normal(rng, window.kernel_height, window.kernel_width, channels, filters, dtype=dtype)
    made = Output(kernel.shape, dtype), Output((filters,), dtype)
    expected = [np.empty_like(output.array) for output in made]
    arrays = made[0].array, made[1].array if has_bias else None
    with mock.patch.object(choice, "spread_is_best", lambda *arguments: algorithm == "spread"):
        fast.conv2d_pool_backward(x, kernel, winner, dy, None, *arrays, window, pool)
    reference.conv2d_pool_backward(x, kernel, winner, dy, None, *expected, window, pool)
    for number in range(1 + has_bias):
        made[number].check()
        name = ("dkernel", "dbias")[number]
        compare(made[number].array, expected[number], dtype, name, largest_term(name, x=x, dy=dy))


def test_the_documents_networks_get_these_algorithms():
    def conv(size, kernel, padding="valid", strides=1):
        return make_window((size, size), (kernel, kernel), (strides, strides), padding)

    def pool(window):
        return make_window((window.out_height, window.out_width), (2, 2), (2, 2), "valid")

    lenet, d0, d1, net_1 = conv(28, 5), conv(13, 3), conv(5, 3), conv(28, 3, "same")
    assert not choice.winograd_is_best(lenet, 1, 6, 4)
    assert choice.pairs_are_best(lenet, pool(lenet), 6, 4) == (choice.lanes(4) >= 12)
    if choice.lanes(4) == 16:  # the balance is another one with shorter vectors
        assert choice.winograd_is_best(d0, 32, 64, 4)
        assert not choice.winograd_gradient_is_best(d0, pool(d0), 32, 64, 4)
        assert choice.winograd_is_best(net_1, 32, 64, 4)
        assert choice.winograd_gradient_is_best(net_1, pool(net_1), 32, 64, 4)
        assert choice.winograd_is_best(d1, 64, 64, 4)
        assert not choice.has_tiles_enough(32, d1, 64, 64, 4)  # the kernel's transform is a good part of the work
        assert choice.has_tiles_enough(256, d1, 64, 64, 4)
        assert not choice.spread_is_best(lenet, pool(lenet), 1, 6, 4)
        assert choice.spread_is_best(conv(28, 3), pool(conv(28, 3)), 1, 32, 4)
        assert not choice.spread_is_best(d0, pool(d0), 32, 64, 4)
    assert not choice.winograd_is_best(net_1, 1, 32, 4)
    assert not choice.winograd_is_best(conv(28, 3, "same", 2), 32, 64, 4)
    assert choice.columns_are_best(d1)
    assert not choice.columns_are_best(net_1)


def test_sums_over_winners_serve_fewer_gradients_where_no_relu_has_killed_any():
    """ReLU leaves some of the winners alive, the others cost nothing; Winograd's products take them all."""
    window, pool = make_window((27, 27), (3, 3), (1, 1), "same"), make_window((27, 27), (2, 2), (2, 2), "valid")
    if choice.lanes(4) == 16:
        assert choice.winograd_gradient_is_best(window, pool, 8, 32, 4, relu=False)
        assert not choice.winograd_gradient_is_best(window, pool, 8, 32, 4, relu=True)


def test_input_gradients_for_few_channels_are_columns():
    """Lanes would be empty otherwise; but not those of images whose columns no cache holds."""
    lenet, large = (make_window((size, size), (5, 5), (1, 1), "valid") for size in (14, 256))
    assert choice.input_columns_are_best(lenet, 6, 16, 4)
    assert not choice.input_columns_are_best(make_window((14, 14), (5, 5), (1, 1), "same"), 64, 64, 4)
    assert not choice.input_columns_are_best(large, 6, 16, 4)


def test_convolutions_use_what_was_chosen(only):
    rng = np.random.default_rng(13)
    window = make_window((8, 8), (3, 3), (1, 1), "same")
    pool = make_window((8, 8), (2, 2), (2, 2), "valid")
    x, kernel = normal(rng, 4, 8, 8, 16), normal(rng, 3, 3, 16, 16)
    y, y_pooled = aligned(np.empty_like(x)), aligned(np.empty((4, 4, 4, 16), np.float32))
    winner, made = memory.empty(y_pooled.shape, np.uint8), (np.empty_like(x), np.empty_like(kernel), kernel[0, 0, 0])
    calls = only("winograd_is_best", winograd, ["conv2d", "conv2d_pool", "input_gradient", "pool_input_gradient"])
    fast.conv2d(x, kernel, None, y, window)
    fast.conv2d_backward(x, kernel, y, y, *map(aligned, made), window)
    fast.conv2d_pool(x, kernel, None, y_pooled, winner, window, pool)
    assert calls == ["conv2d", "input_gradient", "conv2d_pool"]
    fast.conv2d_pool_backward(x, kernel, winner, y_pooled, *map(aligned, made), window, pool)
    assert len(calls) == 3
    only("winograd_gradient_is_best", winograd, [])
    fast.conv2d_pool_backward(x, kernel, winner, y_pooled, *map(aligned, made), window, pool)
    assert calls[3:] == ["pool_input_gradient"]
    only("winograd_is_best", winograd, [])
    fast.conv2d(x[:3], kernel, None, y[:3], window)  # three images have too few tiles
    assert len(calls) == 4


ALGORITHMS = {"direct": direct.conv2d, "Winograd": winograd.conv2d, "depthwise": depthwise.conv2d}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@few
@given(winograd_windows(), counts, counts, st.integers(1, 7), st.booleans(), seeds)
def test_parts_of_images_are_computed_as_whole_ones(algorithm, window, channels, filters, n, relu, seed):
    note(f"seed {seed}")
    rng, groups = np.random.default_rng(seed), 1
    if algorithm == "depthwise":
        groups, filters = channels, channels
    x = images(rng, n, window, channels, np.float32)
    kernel, bias = kernel_of(rng, window, channels // groups, filters), normal(rng, filters)
    whole, parts = (Output(out_shape(n, window, filters), np.float32) for _ in range(2))
    ALGORITHMS[algorithm](x, kernel, bias, whole.array, window, relu)
    with mock.patch.object(batch, "_NANOSECONDS_OF_A_PART", 1):
        ALGORITHMS[algorithm](x, kernel, bias, parts.array, window, relu)
    parts.check()
    assert np.array_equal(parts.array, whole.array)
    expected = np.empty_like(whole.array)
    reference.conv2d(x, kernel, bias, expected, window, groups, relu)
    compare(parts.array, expected, np.float32, "y", largest_term("y", x=x, kernel=kernel, bias=bias))


@pytest.mark.parametrize("spreads", [True, False])
def test_the_kernel_s_gradient_behind_pooling_is_the_same_whether_dx_is_wanted_or_not(rng, spreads, monkeypatch):
    monkeypatch.setattr(choice, "spread_is_best", lambda *shapes: spreads)
    channels = 4 if spreads else 32
    window, pool = make_window((10, 12), (3, 3), (1, 1), "same"), make_window((10, 12), (2, 2), (2, 2), "valid")
    x, kernel = images(rng, 9, window, channels, np.float32), normal(rng, 3, 3, channels, 16)
    y, winner = normal(rng, 9, 5, 6, 16), memory.empty((9, 5, 6, 16), np.uint8)
    fast.conv2d_pool(x, kernel, None, y, winner, window, pool, relu=True)
    sums = []
    for dx in (None, np.empty_like(x)):
        sums.append((np.empty_like(kernel), normal(rng, 16)))
        fast.conv2d_pool_backward(x, kernel, winner, y, dx, *sums[-1], window, pool)
    for without, with_dx in zip(*sums, strict=True):
        assert np.array_equal(without, with_dx)


def test_few_images_are_cut_into_parts_that_are_worth_a_task():
    assert batch.parts_of_images(1, 1024, 150_000) == (1, 8, 8)
    assert batch.parts_of_images(3, 1024, 900_000) == (3, 6, 2)
    assert batch.parts_of_images(1, 1024, 25_000) == (1, 1, 1)
    assert batch.parts_of_images(1, 1, 150_000) == (1, 1, 1)
    assert batch.parts_of_images(8, 1024, 900_000) == (8, 8, 1)
    assert batch.parts_of_images(0, 1024, 0) == (0, 0, 1)


def test_an_image_that_is_not_finite_is_noticed_in_any_part():
    rng = np.random.default_rng(21)
    window = make_window((16, 16), (3, 3), (1, 1), "same")
    x, kernel = normal(rng, 1, 16, 16, 16), -np.abs(normal(rng, 3, 3, 16, 16))
    x[0, 12, 12] = np.inf  # behind ReLU, nothing of it is left
    y, expected = (np.empty_like(x) for _ in range(2))
    reference.conv2d(x, kernel, None, expected, window, relu=True)
    with mock.patch.object(batch, "_NANOSECONDS_OF_A_PART", 1):
        bad = winograd.conv2d(x, kernel, None, aligned(y), window, True)
    assert list(bad) == [slice(0, 1)]


@pytest.mark.parametrize("taps", [3, 5])
def test_the_number_of_threads_changes_no_bit(taps):
    rng = np.random.default_rng(14)
    window = make_window((11, 12), (taps, taps), (1, 1), "same")
    x, kernel, bias, dy = (normal(rng, *s) for s in ((9, 11, 12, 16), (taps, taps, 16, 33), (33,), (9, 11, 12, 33)))
    square = normal(rng, taps, taps, 16, 16)

    def everything():
        made = [aligned(np.empty_like(a)) for a in (dy, x, x, kernel, bias)]
        pooled, winner = aligned(np.empty((9, 5, 6, 16), np.float32)), memory.empty((9, 5, 6, 16), np.uint8)
        winograd.conv2d_pool(x, square, square[0, 0, 0], outputs(pooled, winner), window, True)
        made += [pooled, winner, aligned(np.empty_like(x))]
        winograd.pool_input_gradient(square, winner, pooled, made[-1], window)
        winograd.conv2d(x, kernel, bias, made[0], window, True)
        winograd.input_gradient(kernel, made[0], dy, made[1], window)
        columns.conv2d_backward(x, kernel, masked(dy, None), wanted(*made[2:5], np.float32), window)
        return made

    results = []
    for count in (1, 2):
        with backends.get("numba").use_threads(count):
            results.append(everything())
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_nothing_is_computed_that_nobody_wants(only, monkeypatch):
    """Winograd's input gradient of a frozen layer is not followed by a pass for gradients of its kernel."""
    rng = np.random.default_rng(14)
    window = make_window((8, 8), (3, 3), (1, 1), "same")
    pool = make_window((8, 8), (2, 2), (2, 2), "valid")
    x, kernel = normal(rng, 2, 8, 8, 16), normal(rng, 3, 3, 16, 16)
    winner = aligned(np.zeros((2, 4, 4, 16), np.uint8))
    monkeypatch.setattr(gradients, "conv2d_backward", None)
    monkeypatch.setattr(pooled, "kernel_gradient", None)
    monkeypatch.setattr(sparse, "conv2d_pool_backward", None)
    only("winograd_is_best", winograd, [])
    fast.conv2d_backward(x, kernel, None, normal(rng, 2, 8, 8, 16), aligned(x), None, None, window)
    only("winograd_gradient_is_best", winograd, [])
    fast.conv2d_pool_backward(x, kernel, winner, normal(rng, 2, 4, 4, 16), aligned(x), None, None, window, pool)


# ---------------------------------------------------------------------------- Winograd's kernel gradient, depthwise


@pytest.fixture
def small_rounds(monkeypatch):
    """Rounds of so few images that small batches need several."""
    monkeypatch.setattr(winograd_rounds, "MOST_ROUND_BYTES", 1 << 18)
    monkeypatch.setattr(winograd_rounds, "rounds_of", winograd_rounds.rounds_of.__wrapped__)


def test_rounds_end_with_a_smaller_one(small_rounds):
    rounds = winograd_rounds.rounds_of(23, 12, 33, 17, 4)
    assert 1 < rounds.together < 23  # which is a prime: the last round is a smaller one


@pytest.mark.parametrize("algorithm", [winograd_gradient, winograd_rounds])
@DTYPES
@few
@given(winograd_windows(sizes=(3,)), counts, counts, st.integers(1, 20), st.booleans(), st.booleans(), seeds)
@pytest.mark.usefixtures("small_rounds")
def test_the_kernel_gradient_by_winograd(algorithm, dtype, window, channels, filters, n, relu, has_bias, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    x, dy = images(rng, n, window, channels, dtype), normal(rng, *out_shape(n, window, filters), dtype=dtype)
    y, kernel = normal(rng, *dy.shape, dtype=dtype), kernel_of(rng, window, channels, filters, dtype)
    mine, theirs = Output(kernel.shape, dtype), np.empty_like(kernel)
    dbias = Output((filters,), dtype), np.empty(filters, dtype)
    out = wanted(None, mine.array, dbias[0].array if has_bias else None, dtype)
    algorithm.kernel_gradient(x, masked(dy, y if relu else None), out, kernel, window)
    reference.conv2d_backward(x, kernel, y, dy, None, theirs, dbias[1], window, relu=relu)
    compare(mine.array, theirs, dtype, "dkernel", largest_term("dkernel", x=x, dy=dy))
    mine.check()
    dbias[0].check()
    if has_bias:
        compare(dbias[0].array, dbias[1], dtype, "dbias", largest_term("dbias", dy=dy))


@pytest.mark.parametrize(("size", "channels", "in_rounds"), [(16, 32, False), (8, 96, True)])
def test_a_kernel_gradient_that_is_not_finite_is_the_direct_one_s(size, channels, in_rounds):
    rng = np.random.default_rng(31)
    window = make_window((size, size), (3, 3), (1, 1), "same")
    x, dy, kernel = (normal(rng, *shape, channels) for shape in ((2, size, size), (2, size, size), (3, 3, channels)))
    assert choice.winograd_kernel_gradient_is_best(window, channels, channels, 4)
    assert choice.winograd_works_in_rounds(window, channels, channels, 4) == in_rounds
    x[1, 7, 7, 3] = np.inf
    mine, theirs = aligned(np.zeros_like(kernel)), np.empty_like(kernel)
    fast.conv2d_backward(x, kernel, None, dy, None, mine, None, window)
    reference.conv2d_backward(x, kernel, None, dy, None, theirs, None, window)
    assert np.array_equal(np.isinf(mine), np.isinf(theirs))
    assert np.isfinite(np.delete(mine, 3, axis=2)).all()


@DTYPES
@few
@given(windows(), st.sampled_from([2, 5, 16, 33]), st.sampled_from([1, 1, 3]), st.integers(1, 9), st.booleans(), seeds)
def test_depthwise(dtype, window, channels, multiplier, n, relu, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    filters = channels * multiplier
    inputs = {
        "x": images(rng, n, window, channels, dtype),
        "kernel": normal(rng, window.kernel_height, window.kernel_width, 1, filters, dtype=dtype),
        "bias": normal(rng, filters, dtype=dtype) if relu else None,
        "window": window,
        "groups": channels,
    }
    with mock.patch.object(depthwise, "conv2d", wraps=depthwise.conv2d) as forward:
        y = run_both("conv2d", inputs, {"y": out_shape(n, window, filters)}, dtype, relu=relu)["y"]
    assert forward.called
    inputs |= {"y": aligned(y) if relu else None, "dy": normal(rng, *y.shape, dtype=dtype)}
    shapes = {"dx": inputs["x"].shape, "dkernel": inputs["kernel"].shape, "dbias": (filters,)}
    unwanted = rng.choice([*shapes, None])
    with mock.patch.object(depthwise, "conv2d_backward", wraps=depthwise.conv2d_backward) as backward:
        shapes = {key: None if key == unwanted else shape for key, shape in shapes.items()}
        run_both("conv2d_backward", inputs, shapes, dtype, relu=relu)
    assert backward.called


def test_the_number_of_threads_changes_no_bit_of_the_further_gradients():
    rng = np.random.default_rng(32)
    window = make_window((17, 19), (3, 3), (1, 1), "same")
    x, dy, kernel, depth_kernel = (
        normal(rng, *shape) for shape in ((20, 17, 19, 32),) * 2 + ((3, 3, 32, 32), (3, 3, 1, 32))
    )

    many, wide_kernel = normal(rng, 20, 17, 19, 96), normal(rng, 3, 3, 96, 96)
    assert choice.winograd_works_in_rounds(window, 96, 96, 4)

    def everything():
        made = [aligned(np.zeros_like(a)) for a in (kernel, x, depth_kernel, dy, wide_kernel, wide_kernel[0, 0, 0])]
        fast.conv2d_backward(x, kernel, None, dy, None, made[0], None, window)
        fast.conv2d_backward(x, depth_kernel, None, dy, made[1], made[2], None, window, 32)
        fast.conv2d(x, depth_kernel, None, made[3], window, 32)
        fast.conv2d_backward(many, wide_kernel, None, many, None, made[4], made[5], window)
        return made

    results = []
    for count in (1, 2):
        with backends.get("numba").use_threads(count):
            results.append(everything())
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))
