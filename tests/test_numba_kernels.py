"""The Numba kernels against the reference, on geometries that Hypothesis draws."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from writable import copied

numba = pytest.importorskip("numba")

from kernel_checks import (
    DTYPES,
    Output,
    aligned,
    channel_counts,
    compare,
    few,
    filter_counts,
    in_shape,
    normal,
    out_shape,
    pooled_windows,
    run_both,
    seeds,
    windows,
)

from minicnn import backends
from minicnn.backends import memory
from minicnn.backends.numba import dense, gather
from minicnn.backends.numba.convolution import choice, winograd
from minicnn.backends.numba.machine import disk_cache, launch, pool
from minicnn.backends.numba.machine import target as tiles
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.reference import ops as reference
from minicnn.geometry import FILL_MODES, RELU_OFF, make_window

fast = backends.get("numba").ops

# ------------------------------------------------------------------------------------------------- the contract


@pytest.mark.parametrize("name", [name for name, f in vars(fast).items() if "numba" in f.__module__])
def test_signature_is_the_reference_s(name):
    assert parameters_of(getattr(fast, name)) == parameters_of(getattr(reference, name))


def parameters_of(function):
    """Name, default and kind of every parameter; annotations may differ."""
    return [(p.name, p.default, p.kind) for p in inspect.signature(function).parameters.values()]


def test_buffers_are_aligned():
    for shape in ((3, 5), (), 7):
        array = memory.zeros(shape, np.float64)
        assert array.ctypes.data % 64 == 0
        assert array.shape == np.empty(shape).shape
        assert not array.any()


# -------------------------------------------------------------------------------------------------- convolution


@DTYPES
@few
@given(windows(), channel_counts, filter_counts, st.integers(1, 5), st.booleans(), st.booleans(), seeds)
def test_conv2d(dtype, window, channels, filters, n, relu, has_bias, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    inputs = {
        "x": normal(rng, *in_shape(n, window, channels), dtype=dtype),
        "kernel": normal(rng, window.kernel_height, window.kernel_width, channels, filters, dtype=dtype),
        "bias": normal(rng, filters, dtype=dtype) if has_bias else None,
        "window": window,
    }
    run_both("conv2d", inputs, {"y": out_shape(n, window, filters)}, dtype, relu=relu)


@DTYPES
@few
@given(
    windows(),
    channel_counts,
    filter_counts,
    st.integers(1, 5),
    st.booleans(),
    st.sets(st.integers(0, 2), max_size=2),
    seeds,
)
def test_conv2d_backward(dtype, window, channels, filters, n, relu, unwanted, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    kernel = normal(rng, window.kernel_height, window.kernel_width, channels, filters, dtype=dtype)
    inputs = {
        "x": normal(rng, *in_shape(n, window, channels), dtype=dtype),
        "kernel": kernel,
        "y": normal(rng, *out_shape(n, window, filters), dtype=dtype) if relu else None,
        "dy": normal(rng, *out_shape(n, window, filters), dtype=dtype),
        "window": window,
    }
    shapes = {"dx": in_shape(n, window, channels), "dkernel": kernel.shape, "dbias": (filters,)}
    shapes = {key: None if i in unwanted else shape for i, (key, shape) in enumerate(shapes.items())}
    run_both("conv2d_backward", inputs, shapes, dtype, relu=relu)


def groups_of_a_convolution(rng, n, window, channels, filters, groups, dtype=np.float32):
    """Operands of a convolution of groups of so many channels and filters."""
    kernel = normal(rng, window.kernel_height, window.kernel_width, channels, groups * filters, dtype=dtype)
    x, bias = normal(rng, *in_shape(n, window, groups * channels), dtype=dtype), normal(rng, len(kernel.T), dtype=dtype)
    y, dy = (normal(rng, *out_shape(n, window, groups * filters), dtype=dtype) for _ in range(2))
    return {"x": x, "kernel": kernel, "bias": bias, "y": y, "dy": dy, "window": window, "groups": groups}


def check_groups(inputs, dtype, relu):
    """Against the reference; and each gradient has the same bits, whoever else is wanted."""
    shapes = {"dx": inputs["x"].shape, "dkernel": inputs["kernel"].shape, "dbias": inputs["bias"].shape}
    run_both("conv2d", inputs | ({} if relu else {"bias": None}), {"y": inputs["y"].shape}, dtype, relu=relu)
    together = run_both("conv2d_backward", inputs, shapes, dtype, relu=relu)
    for names in (["dx"], ["dkernel", "dbias"]):
        alone = {name: shape if name in names else None for name, shape in shapes.items()}
        made = run_both("conv2d_backward", inputs, alone, dtype, relu=relu)
        assert all(np.array_equal(made[name], together[name]) for name in names)


@DTYPES
@few
@given(windows(), st.integers(2, 5), st.integers(2, 17), st.integers(1, 17), st.integers(1, 9), st.booleans(), seeds)
def test_groups(dtype, window, groups, channels, filters, n, relu, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    check_groups(groups_of_a_convolution(rng, n, window, channels, filters, groups, dtype), dtype, relu)


@pytest.mark.parametrize("relu", [True, False])
def test_groups_that_are_copied(rng, relu):
    window = make_window((12, 13), (3, 3), (1, 1), "same")
    assert choice.groups_are_copied(6, window, 64, 64, 4)
    assert not choice.groups_are_copied(6, window, 16, 16, 4)
    assert not choice.groups_are_copied(1, window, 64, 64, 4)  # more kernels to transform than tiles
    assert not choice.groups_are_copied(6, make_window((12, 13), (3, 3), (2, 2), "same"), 64, 64, 4)
    inputs = groups_of_a_convolution(rng, 6, window, 64, 64, 2)
    with mock.patch.object(winograd, "conv2d", wraps=winograd.conv2d) as called:
        check_groups(inputs, np.float32, relu)
    assert called.call_count == 2


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_weight_of_a_group_that_is_not_finite(rng, bad):
    inputs = groups_of_a_convolution(rng, 2, make_window((7, 5), (3, 3), (1, 1), "same"), 3, 4, 2)
    inputs["kernel"][0, 1, 2, 6] = bad
    shapes = {"y": inputs["y"].shape, "dx": inputs["x"].shape}
    ours, theirs = ({name: np.empty(shape, np.float32) for name, shape in shapes.items()} for _ in range(2))
    for ops, made in ((fast, ours), (reference, theirs)):
        with np.errstate(invalid="ignore"):
            ops.conv2d(inputs["x"], inputs["kernel"], inputs["bias"], made["y"], inputs["window"], 2)
            given = inputs["x"], inputs["kernel"], None, inputs["dy"]
            ops.conv2d_backward(*given, made["dx"], None, None, inputs["window"], 2)
    for name, right in theirs.items():
        assert not np.isfinite(right).all()
        np.testing.assert_allclose(ours[name], right, rtol=1e-4, atol=1e-4)


def test_no_images(rng):
    """What no batch is made of, forward and backward, on both backends."""
    for groups in (1, 2):
        window = make_window((5, 4), (3, 3), (1, 1), "same")
        check_groups(groups_of_a_convolution(rng, 0, window, 4, 3, groups), np.float32, False)


@DTYPES
@few
@given(pooled_windows(), channel_counts, filter_counts, st.integers(1, 5), st.booleans(), st.booleans(), seeds)
def test_conv2d_pool(dtype, geometry, channels, filters, n, relu, has_bias, seed):
    note(f"seed {seed}")
    window, pool = geometry
    rng = np.random.default_rng(seed)

    def whole(*shape):
        # Small whole numbers: both backends compute the same sums exactly, so winners can be compared, ties included.
        return aligned(rng.integers(-3, 4, shape).astype(dtype))

    inputs = {
        "x": whole(*in_shape(n, window, channels)),
        "kernel": whole(window.kernel_height, window.kernel_width, channels, filters),
        "bias": whole(filters) if has_bias else None,
        "window": window,
        "pool": pool,
    }
    shape = out_shape(n, pool, filters)
    is_exact = not choice.pooled_winograd_is_best(window, pool, channels, filters, np.dtype(dtype).itemsize)
    for winner_shape in (shape, None) if is_exact else (None,):  # test_convolution_kernels.py looks at the others
        run_both("conv2d_pool", inputs, {"y": shape, "winner": winner_shape}, dtype, relu=relu)
    inputs["x"] = normal(rng, *in_shape(n, window, channels), dtype=dtype)
    run_both("conv2d_pool", inputs, {"y": shape, "winner": None}, dtype, relu=relu)


@DTYPES
@few
@given(
    pooled_windows(), channel_counts, filter_counts, st.integers(1, 5), st.sets(st.integers(0, 2), max_size=2), seeds
)
def test_conv2d_pool_backward(dtype, geometry, channels, filters, n, unwanted, seed):
    note(f"seed {seed}")
    window, pool = geometry
    rng = np.random.default_rng(seed)
    kernel = normal(rng, window.kernel_height, window.kernel_width, channels, filters, dtype=dtype)
    shape = out_shape(n, pool, filters)
    full = rng.standard_normal(out_shape(n, window, filters))
    winner = memory.empty(shape, np.uint8)
    reference.max_pool2d(full, np.empty(shape), winner, pool)
    winner[rng.random(shape) < 0.4] = RELU_OFF
    inputs = {
        "x": normal(rng, *in_shape(n, window, channels), dtype=dtype),
        "kernel": kernel,
        "winner": winner,
        "dy": normal(rng, *shape, dtype=dtype),
        "window": window,
        "pool": pool,
    }
    shapes = {"dx": in_shape(n, window, channels), "dkernel": kernel.shape, "dbias": (filters,)}
    shapes = {key: None if i in unwanted else shape for i, (key, shape) in enumerate(shapes.items())}
    run_both("conv2d_pool_backward", inputs, shapes, dtype)


# ------------------------------------------------------------------------------------------------------ pooling


@DTYPES
@few
@given(windows(), channel_counts | st.just(20), st.integers(1, 5), st.booleans(), seeds)
def test_pooling(dtype, window, channels, n, tied, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    x = normal(rng, *in_shape(n, window, channels), dtype=dtype)
    if tied:
        x[...] = rng.integers(-1, 2, x.shape)
    shape = out_shape(n, window, channels)
    inputs = {"x": x, "window": window}
    run_both("max_pool2d", inputs, {"y": shape, "winner": None}, dtype)
    winner = aligned(run_both("max_pool2d", inputs, {"y": shape, "winner": shape}, dtype)["winner"])
    run_both("avg_pool2d", inputs, {"y": shape}, dtype)
    winner[rng.random(shape) < 0.2] = RELU_OFF
    inputs = {"dy": normal(rng, *shape, dtype=dtype), "winner": winner, "window": window}
    run_both("max_pool2d_backward", inputs, {"dx": x.shape}, dtype)
    del inputs["winner"]
    run_both("avg_pool2d_backward", inputs, {"dx": x.shape}, dtype)


@pytest.mark.parametrize(
    ("size", "pool", "strides", "padding"),
    [
        ((6, 8), (2, 2), (2, 2), "valid"),  # every pixel is in one cell
        ((6, 8), (3, 2), (3, 2), "valid"),
        ((7, 8), (2, 2), (2, 2), "valid"),  # the last row is in none
        ((5, 8), (2, 2), (3, 2), "valid"),  # nor is the third
        ((6, 8), (2, 2), (1, 2), "valid"),  # as many taps as pixels or more, some pixels in two
        ((7, 7), (2, 2), (2, 2), "same"),
    ],
)
def test_max_pooling_s_gradient_where_cells_cover_the_image_and_where_not(size, pool, strides, padding):
    rng = np.random.default_rng(0)
    window = make_window(size, pool, strides, padding)
    shape = (3, window.out_height, window.out_width, 20)
    winner = rng.integers(0, window.taps, shape).astype(np.uint8)
    winner[rng.random(shape) < 0.2] = RELU_OFF
    inputs = {"dy": normal(rng, *shape), "winner": aligned(winner), "window": window}
    run_both("max_pool2d_backward", inputs, {"dx": (3, *size, 20)}, np.float32)


def test_nan_beats_every_number():
    rng = np.random.default_rng(0)
    x = normal(rng, 2, 8, 8, 5)
    x[rng.random(x.shape) < 0.1] = np.nan
    window = make_window((8, 8), (2, 2), (2, 2), "valid")
    results = []
    for module in (fast, reference):
        y, winner = np.empty((2, 4, 4, 5), np.float32), np.empty((2, 4, 4, 5), np.uint8)
        module.max_pool2d(x, y, winner, window)
        results.append((y, winner))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    kernel, y = normal(rng, 5, 3), np.zeros((2, 3), np.float32)
    fast.dense(aligned(np.full((2, 5), np.nan, np.float32)), kernel, None, y, relu=True)
    assert np.isnan(y).all()


# ---------------------------------------------------------------------------------------------- dense, the rest


@DTYPES
@few
@given(
    st.sampled_from([1, 2, 5, 31, 100]), st.sampled_from([1, 7, 54, 256, 601]), st.sampled_from([1, 10, 16, 54, 130]),
    st.booleans(), st.booleans(), st.sets(st.integers(0, 2), max_size=2), seeds,
)  # fmt: skip
def test_dense(dtype, n, width, units, relu, has_bias, unwanted, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    inputs = {
        "x": normal(rng, n, width, dtype=dtype),
        "kernel": normal(rng, width, units, dtype=dtype),
        "bias": normal(rng, units, dtype=dtype) if has_bias else None,
    }
    run_both("dense", inputs, {"y": (n, units)}, dtype, relu=relu)
    inputs |= {"y": normal(rng, n, units, dtype=dtype), "dy": normal(rng, n, units, dtype=dtype)}
    shapes = {"dx": (n, width), "dkernel": (width, units), "dbias": (units,)}
    shapes = {key: None if i in unwanted else shape for i, (key, shape) in enumerate(shapes.items())}
    run_both("dense_backward", inputs, shapes, dtype, relu=relu)


@DTYPES
@pytest.mark.parametrize(
    ("n", "width", "units"),
    [
        (70, 600, 300),  # everything is packed, two inner blocks and a part of a third
        (33, 130, 1031),  # a part of a panel of the kernel and of dy
        (31, 300, 600),  # too few samples to pack the kernel
        (40, 2000, 33),  # x alone
        (64, 256, 256),  # whole panels
        (7, 1700, 13),  # sums in two parts, of several blocks each
        (3, 7001, 300),  # in as many as there may be, and a kernel that would be packed
    ],
)
def test_dense_layers_with_long_rows(dtype, n, width, units):
    """What is copied side by side first gives the product that is read where it lies."""
    rng = np.random.default_rng(n)
    x, kernel, bias = normal(rng, n, width, dtype=dtype), normal(rng, width, units, dtype=dtype), normal(rng, units)
    inputs = {"x": x, "kernel": kernel, "bias": bias.astype(dtype)}
    run_both("dense", inputs, {"y": (n, units)}, dtype, relu=True)
    inputs = {"x": x, "kernel": kernel, "y": normal(rng, n, units, dtype=dtype)}
    inputs["dy"] = normal(rng, n, units, dtype=dtype)
    run_both("dense_backward", inputs, {"dx": x.shape, "dkernel": kernel.shape, "dbias": (units,)}, dtype, relu=True)


@numba.njit
def _dense_columns(task, tasks, like, t):
    return dense._columns_of(task, tasks, like, t)


@pytest.mark.parametrize("samples", [1, 2, 40])
@pytest.mark.parametrize("vectors", [1, 2, 3, 4, 5, 8, 9, 13, 16, 17, 25])
def test_tasks_of_a_dense_layer_leave_no_single_vector(samples, vectors):
    """Unless there is no other; one sample's row has blocks of up to eight, and its tasks are not evened out."""
    outputs = vectors * tiles.lanes(4) - 3
    tables = dense._matrices(samples, 7, outputs, 4)
    tasks = -(-vectors // tables.abreast)
    parts = [_dense_columns(task, tasks, np.zeros(1, np.float32), tables) for task in range(tasks)]
    assert [first for first, _ in parts] == [0, *(last for _, last in parts[:-1])]
    assert parts[-1][1] == outputs
    sizes = [tiles.vectors(last - first, 4) for first, last in parts]
    if samples > 1:
        assert vectors == 1 or 1 not in sizes
    else:
        assert sum(size % 2 for size in sizes) == vectors % 2


@DTYPES
@pytest.mark.parametrize("width", [9, 300])  # of 300, partial sums are added to what the first ones left
def test_blocks_of_registers_of_every_shape(dtype, width, rng):
    """Whichever block a number is computed in, it is the same to the bit, and nothing beside the result is written."""
    lanes = tiles.lanes(np.dtype(dtype).itemsize)
    for units in (*(u * lanes + 1 for u in range(1, 7)), 3 * lanes, 4 * lanes - 1, 4 * lanes, 9 * lanes + 2):
        x, kernel = normal(rng, 26, width, dtype=dtype), normal(rng, width, units, dtype=dtype)
        expected = np.array([x[i].astype(float) @ kernel.astype(float) for i in range(len(x))])
        alone = aligned(np.empty((len(x), units), dtype))
        for i in range(len(x)):
            fast.dense(x[i : i + 1], kernel, None, alone[i : i + 1])
        np.testing.assert_allclose(alone, expected, rtol=1e-4, atol=1e-4)  # sums of 300 terms, some of them near 0
        for n in range(1, len(x) + 1):
            kept = aligned(np.full((n + 1, units), 7, dtype))
            fast.dense(x[:n], kernel, None, kept[:n])
            np.testing.assert_array_equal(kept[:n], alone[:n])
            assert (kept[n] == 7).all()


@DTYPES
@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("has_gradient", [True, False])
def test_softmax_cross_entropy(dtype, labels, has_gradient):
    rng = np.random.default_rng(1)
    n, classes = 37, 11
    logits = aligned((rng.standard_normal((n, classes)) * 20).astype(dtype))
    target = rng.integers(0, classes, n) if labels else rng.dirichlet(np.ones(classes), n).astype(dtype)
    inputs = {"logits": logits, "target": aligned(target), "weight": aligned(rng.random(n).astype(dtype))}
    shapes = {"loss": (n,), "dlogits": logits.shape if has_gradient else None}
    run_both("softmax_cross_entropy", inputs, shapes, dtype)


def test_labels_that_are_no_class_are_an_error():
    logits, loss = np.zeros((2, 3), np.float32), np.zeros(2, np.float32)
    with pytest.raises(IndexError):
        fast.softmax_cross_entropy(logits, np.array([0, 3]), np.ones(2, np.float32), loss, None)


@DTYPES
@pytest.mark.parametrize("size", [1, 3, 4, 37, 9001])
def test_dropout_draws_the_reference_s_mask(dtype, size):
    x = normal(np.random.default_rng(2), size, dtype=dtype)
    for rate, seed, stream, step in ((0.3, 2**63 - 5, 7, 1), (0.5, 3, 2**32 - 1, 2**40 + 9), (0.0, 0, 0, 0)):
        expected, y = np.empty_like(x), Output(x.shape, dtype)
        reference.dropout(x, expected, rate, seed, stream, step)
        fast.dropout(x, y.array, rate, seed, stream, step)
        assert np.array_equal(y.array, expected)
        y.check()


@DTYPES
@pytest.mark.parametrize(
    ("name", "states", "scalars"),
    [
        ("sgd_update", 0, (0.1, 0.0, False)),
        ("sgd_update", 1, (0.1, 0.9, False)),
        ("sgd_update", 1, (0.1, 0.9, True)),
        ("adam_update", 2, (1e-3, 0.9, 0.999, 1e-7)),
        ("adagrad_update", 1, (0.1, 1e-7)),
        ("adadelta_update", 2, (1.0, 0.95, 1e-7)),
        ("rmsprop_update", 1, (0.01, 0.9, 1e-7)),
    ],
)
def test_optimizers(dtype, name, states, scalars):
    rng = np.random.default_rng(3)
    start = [normal(rng, 1003, dtype=dtype)] + [aligned(rng.random(1003).astype(dtype)) for _ in range(states)]
    grad, results = normal(rng, 1003, dtype=dtype), []
    for module in (fast, reference):
        theta, *state = (aligned(values) for values in start)
        arguments = state if states or name != "sgd_update" else [None]
        for _ in range(3):
            getattr(module, name)(theta, grad, *arguments, *scalars)
        results.append([theta, *state])
    for ours, theirs in zip(*results, strict=True):
        compare(ours, theirs, dtype, name)


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64, np.int16, ">f4"])
@pytest.mark.parametrize("layout", ["plain", "read-only", "strided", "memory map"])
def test_gather(kind, layout, tmp_path):
    rng = np.random.default_rng(4)
    source = rng.integers(0, 200, (50, 3, 7)).astype(kind)
    if layout == "strided":
        source = np.repeat(source, 2, axis=2)[:, :, ::2]
    elif layout == "memory map":
        np.save(tmp_path / "data.npy", source)
        source = np.load(tmp_path / "data.npy", mmap_mode="r")
    source.flags.writeable = False
    for dtype in (np.float32, np.float64):
        for indices in (rng.integers(0, 50, 13), rng.integers(-50, 0, 4), np.zeros(0, np.int64)):
            out = Output((len(indices), 3, 7), dtype)
            fast.gather(source, indices, out.array)
            assert np.array_equal(out.array, source[indices])
            out.check()
    with pytest.raises(IndexError):
        fast.gather(source, np.array([0, 50]), np.zeros((2, 3, 7), np.float32))


def test_large_batches_are_copied_by_several_threads(monkeypatch, rng):
    """And what is small, of another layout or of another dtype by NumPy."""
    backend, wanted = backends.get("numba"), aligned(np.zeros((6, 100, 80), np.float32))
    taken = []
    monkeypatch.setattr(gather, "_gather", SimpleNamespace(launch=lambda *arguments: taken.append(arguments)))
    large = rng.standard_normal((6, 100, 80)).astype(np.float32)
    for source in (large.astype(np.float64), large.transpose(0, 2, 1).copy().transpose(0, 2, 1), large.tolist(), 7.0):
        backend.load(wanted, source)
        assert np.array_equal(wanted, np.broadcast_to(np.asarray(source, np.float32), wanted.shape))
    small = aligned(np.zeros((6, 10, 8), np.float32))
    backend.load(small, large[:, :10, :8].copy())
    assert np.array_equal(small, large[:, :10, :8])
    assert not taken
    monkeypatch.undo()
    for source in (large, rng.integers(0, 256, large.shape).astype(np.uint8)):
        with mock.patch.object(gather._gather, "launch", wraps=gather._gather.launch) as launch:
            backend.load(wanted, source)
        assert launch.call_count == 1
        assert np.array_equal(wanted, source.astype(np.float32))
    with pytest.raises(ValueError, match="broadcast"):
        backend.load(wanted, large[:5])


# -------------------------------------------------------------------------------------- threads, targets, cache


def test_the_number_of_threads_changes_no_bit():
    rng = np.random.default_rng(5)
    window, pool = make_window((12, 13), (3, 3), (1, 1), "same"), make_window((12, 13), (2, 2), (2, 2), "valid")
    x, kernel, bias = normal(rng, 11, 12, 13, 16), normal(rng, 3, 3, 16, 33), normal(rng, 33)
    dy, dy_pooled = normal(rng, 11, 12, 13, 33), normal(rng, 11, 6, 6, 33)
    flat, matrix, dy_dense = normal(rng, 70, 2500), normal(rng, 2500, 54), normal(rng, 70, 54)

    def everything():
        y, y_pooled, winner = np.empty_like(dy), np.empty_like(dy_pooled), np.empty(dy_pooled.shape, np.uint8)
        made = [np.empty_like(a) for a in (x, kernel, bias, x, kernel, bias, dy_dense, flat, matrix, dy_dense[0], flat)]
        y, y_pooled, made = aligned(y), aligned(y_pooled), [aligned(a) for a in made]
        fast.conv2d(x, kernel, bias, y, window, relu=True)
        fast.conv2d_backward(x, kernel, y, dy, *made[:3], window, relu=True)
        fast.conv2d_pool(x, kernel, bias, y_pooled, winner, window, pool, relu=True)
        fast.conv2d_pool_backward(x, kernel, winner, dy_pooled, *made[3:6], window, pool)
        fast.dense(flat, matrix, None, made[6])
        fast.dense_backward(flat, matrix, None, dy_dense, *made[7:10])
        fast.dropout(flat, made[10], 0.3, 1, 2, 3)
        return [y, y_pooled, winner, *made]

    results = []
    for count in {1, 2, os.cpu_count()}:
        with backends.get("numba").use_threads(count):
            results.append(everything())
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_work_that_is_not_worth_threads_stays_on_one(monkeypatch):
    seen, kernel = [], launch.parallel_kernel(lambda pool, x: None)
    monkeypatch.setattr(kernel, "entry", lambda arguments: lambda pool, x: seen.append((x, pool)))
    kernel.launch(launch.LEAST_PARALLEL_NANOSECONDS - 1, "short")
    kernel.launch(launch.LEAST_PARALLEL_NANOSECONDS, "long")
    kernel.launch(launch.LEAST_PARALLEL_NANOSECONDS, "one chunk", chunks=1)
    assert seen == [("short", 0), ("long", pool.pool().address), ("one chunk", 0)]


def test_the_table_of_targets():
    avx512 = {"+avx512f", "+avx512bw", "+avx512vl", "+avx2", "+fma"}
    assert tiles.describe_target("x86_64-unknown-linux-gnu", avx512).vector_bytes == 64
    assert tiles.describe_target("x86_64-unknown-linux-gnu", {"+avx2", "+fma"}).vector_bytes == 32
    assert not tiles.describe_target("x86_64-unknown-linux-gnu", {"+avx2", "-fma"}).has_fma
    assert tiles.describe_target("aarch64-apple-darwin", set()).has_fma
    assert tiles.describe_target("x86_64-unknown-linux-gnu", {"+sse2"}).vector_bytes == 16
    assert tiles.describe_target("x86_64-unknown-linux-gnu", {"+avx2", "+fma"}).wide_block == (0, 0)
    assert tiles.describe_target("x86_64-unknown-linux-gnu", {"+avx2", "+fma"}, "alderlake").least_masked_bytes == 4
    assert tiles.describe_target("x86_64-unknown-linux-gnu", {"+avx2", "+fma"}, "znver3").least_masked_bytes > 8
    assert tiles.describe_target("x86_64-unknown-linux-gnu", avx512, "znver4").least_masked_bytes == 1
    height, width = tiles.describe_target("x86_64-unknown-linux-gnu", avx512).wide_block
    assert height * width + width + 1 <= 32


@pytest.mark.parametrize(
    "features", [{"+sse2"}, {"+avx2"}, {"+avx2", "+fma"}, {"+avx512f", "+avx512bw", "+avx512vl", "+fma"}]
)
def test_three_vectors_go_abreast_in_the_registers_that_there_are(features):
    target = tiles.describe_target("x86_64-unknown-linux-gnu", features)
    needed = tiles.ODD_WIDTH + 1 + (not target.has_fma)  # vectors of the right, a number of the left, a product
    assert target.odd_heights[0] * tiles.ODD_WIDTH + needed <= target.registers
    assert target.odd_heights[0] * tiles.ODD_WIDTH >= 6  # sums: more than a single vector has
    assert target.odd_heights[-1] == target.heights[-1]  # what row tables are padded to


def test_the_cache_is_named_by_the_sources():
    folder = disk_cache.kernel_folder()
    assert folder is None or folder.name.endswith(disk_cache.sources_hash())


PACKAGE = Path(disk_cache.__file__).parents[3]
SOURCES = (
    "geometry.py",
    "backends/numba/pooling.py",
    "backends/numba/convolution/direct.py",
    "backends/numba/machine/target.py",
    "backends/reference/pooling.py",
)


@pytest.mark.parametrize("source", SOURCES)
def test_an_edit_in_any_folder_makes_the_cache_stale(source, tmp_path):
    copy = copied(PACKAGE, tmp_path / "minicnn", "__pycache__")
    assert disk_cache.hash_of_sources(copy) == disk_cache.sources_hash()
    (copy / source).write_text((copy / source).read_text() + "# edited\n")
    assert disk_cache.hash_of_sources(copy) != disk_cache.sources_hash()


def test_kernels_of_one_name_do_not_share_a_file_on_disk():
    """Numba names a file by the function, its line and its file's name alone."""
    sources = {}
    for name in ("pooling.py", "convolution/pooling.py", "machine/pooling.py"):
        function = {}
        exec(compile("def _conv2d(x): pass", str(PACKAGE / "backends" / "numba" / name), "exec"), function)
        locator = disk_cache._KernelLocator(function["_conv2d"], function["_conv2d"].__code__.co_filename)
        sources[locator.get_disambiguator()] = name
    assert set(sources) == {"pooling-1", "convolution-pooling-1", "machine-pooling-1"}


def test_the_machine_knows_no_kernel():
    """What kernels are made of imports no kernel; the check itself can fail."""
    machine = PACKAGE / "backends" / "numba" / "machine"
    assert {path.name: kernels_imported(path.read_text()) for path in machine.glob("*.py")} == {
        path.name: set() for path in machine.glob("*.py")
    }
    assert kernels_imported("import minicnn.backends.numba.pooling") == {"minicnn.backends.numba.pooling"}
    assert kernels_imported("def f():\n    from minicnn.backends.numba import warp") == {"minicnn.backends.numba.warp"}


def kernels_imported(source):
    """What a source imports from above machine/, anywhere in its text."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    above = {name for name in found if f"{name}.".startswith("minicnn.backends.numba.")}
    return {name for name in above if not f"{name}.".startswith("minicnn.backends.numba.machine.")}


def test_the_kernel_in_the_documentation_is_the_one_in_the_library():
    page = PACKAGE.parent / "docs" / "adding_a_kernel.md"
    if not page.exists():
        pytest.skip("not a checkout")
    section = page.read_text().split("## For processors")[1].split("## For GPUs")[0]
    shown = [text.split("```")[0] for text in section.split("```python\n")[1:]]
    assert len(shown) == 3
    source = (PACKAGE / "backends" / "numba" / "pooling.py").read_text()
    assert [text for text in shown if text not in source] == []


def _double(x):
    for i in range(len(x)):
        x[i] *= 2


def _was_cached():
    """Whether a new kernel for `_double` finds its machine code on disk; its result is right in any case."""
    kernel, x = launch.serial_kernel(_double), np.ones(3)
    kernel(x)
    assert (x == 2).all()
    return bool(kernel._dispatcher.stats.cache_hits)


@inline
def _double_one(i, x):
    x[i] *= 2


def _double_in_parallel(pool, x):
    in_parallel(pool, len(x), _double_one, (x,))


def test_no_function_of_a_kernel_can_be_replaced_by_another_of_its_name(monkeypatch):
    """Else the process that compiles would run Numba's first code of a loop's body, and not the code that is kept."""
    monkeypatch.setattr(disk_cache, "kernel_folder", lambda: None)
    kernel, x = launch.parallel_kernel(_double_in_parallel), np.ones(9)
    kernel(x)
    assert (x == 2).all()
    (code,) = kernel._dispatcher.overloads.values()
    linkage = {f.name: f.linkage.name for f in code.library._final_module.functions if not f.is_declaration}
    assert any("task" in name for name in linkage)
    assert set(linkage.values()) == {"external", "internal"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-20],
        lambda data: data[:200] + bytes(99) + data[299:],
        lambda data: data[::-1],
    ],
)
def test_a_damaged_cache_file_only_costs_time(damage, tmp_path, monkeypatch):
    monkeypatch.setattr(disk_cache, "kernel_folder", lambda: tmp_path)
    assert not _was_cached()
    assert _was_cached()
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert not _was_cached()
    assert _was_cached()


def test_processes_that_compile_at_once_do_not_take_each_others_code(tmp_path, monkeypatch):
    """Both begin before either has written; and code that lies under a wrong name is not run."""
    monkeypatch.setattr(disk_cache, "kernel_folder", lambda: tmp_path)
    kinds = [np.ones(3), np.ones(3, np.float32)]
    kernels = [launch.serial_kernel(_double) for _ in kinds]
    for kernel, x in zip(kernels, kinds, strict=True):
        kernel(x)
    first, second = tmp_path.iterdir()
    for x in kinds:
        kernel, own = launch.serial_kernel(_double), x.copy()
        kernel(own)
        assert kernel._dispatcher.stats.cache_hits and (own == 2 * x).all()
    second.write_bytes(first.read_bytes())
    hits = 0
    for x in kinds:
        kernel, own = launch.serial_kernel(_double), x.copy()
        kernel(own)
        hits += len(kernel._dispatcher.stats.cache_hits)
        assert (own == 2 * x).all()
    assert hits == 1


def test_importing_the_library_imports_no_numba():
    code = "import sys, minicnn, minicnn.backends.reference; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unwritable_cache_folder_only_costs_time(tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    code = (
        "import numpy as np; from minicnn import backends; fast = backends.get('numba').ops;"
        "from minicnn.backends.numba.machine.disk_cache import kernel_folder;"
        "theta = np.ones(4); fast.sgd_update(theta, np.ones(4), None, 1.0, 0.0, False);"
        "assert kernel_folder() is None and not theta.any()"
    )
    environment = os.environ | {"MINICNN_CACHE": str(blocked / "kernels")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_kernels_are_found_again_when_the_program_has_changed_its_folder(tmp_path):
    code = (
        "import os, sys, numpy as np; from minicnn import backends; ops = backends.get('numba').ops;"
        "from minicnn.backends.numba.machine.disk_cache import kernel_folder;"
        "kernel_folder(); os.mkdir('elsewhere'); os.chdir('elsewhere');"
        "ops.sgd_update(np.ones(4), np.ones(4), None, 1.0, 0.0, False)"
    )
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    environment = os.environ | {"MINICNN_CACHE": "kernels", "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)
    assert list(tmp_path.glob("kernels/*/*.nbc")) and not list(tmp_path.glob("elsewhere/*"))


# ------------------------------------------------------------------------------------------------------- augmentation


@DTYPES
@few
@given(
    st.tuples(st.sampled_from([1, 3, 40]), st.integers(1, 33), st.integers(1, 33), st.sampled_from([1, 2, 3, 4])),
    st.booleans(),
    st.sampled_from(FILL_MODES),
    st.sampled_from([0.0, 0.1, 1.0, 4.0]),
    seeds,
)
def test_warp(dtype, shape, bilinear, fill_mode, reach, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    matrix = np.eye(2, 3) + reach * rng.uniform(-1, 1, (shape[0], 2, 3)) * [1, 1, 10]
    inputs = {"x": normal(rng, *shape, dtype=dtype), "matrix": matrix}
    run_both("warp", inputs, {"y": shape}, dtype, bilinear=bilinear, fill_mode=fill_mode, fill_value=0.7)
    inputs = {"dy": inputs["x"], "matrix": matrix}
    run_both("warp_backward", inputs, {"dx": shape}, dtype, bilinear=bilinear, fill_mode=fill_mode)


# ------------------------------------------------------------------------------------------------- denormal numbers

DENORMAL = np.float32(1e-40)
x86_only = pytest.mark.skipif(not tiles.TARGET.has_mxcsr, reason="other processors are left as they are")


@numba.njit(parallel=True)
def halves(numbers):
    """As a user's own kernel: on the threads that minicnn's kernels run on."""
    result = np.empty_like(numbers)
    for i in numba.prange(len(numbers)):
        result[i] = numbers[i] * np.float32(0.5)
    return result


def assert_no_thread_was_changed():
    assert (halves(np.full(100_000, DENORMAL)) > 0).all()
    assert np.full(9, DENORMAL)[3] * np.float32(0.5) > 0


@x86_only
@pytest.mark.parametrize(
    ("name", "numbers", "states"),
    [
        ("sgd_update", (0.1, 0.9, False), 1),
        ("adam_update", (1e-3, 0.9, 0.999, 1e-7), 2),
        ("adagrad_update", (1e-3, 1e-7), 1),
        ("adadelta_update", (1e-3, 0.95, 1e-7), 2),
        ("rmsprop_update", (1e-3, 0.9, 1e-7), 1),
    ],
)
def test_optimizers_keep_no_denormal_number(name, numbers, states):
    """Where a gradient stays 0, moving averages would become denormal, and steps many times slower."""
    size = 100_001
    theta, grad = aligned(np.ones(size, np.float32)), aligned(np.zeros(size, np.float32))
    state = [aligned(np.full(size, DENORMAL)) for _ in range(states)]
    getattr(fast, name)(theta, grad, *state, *numbers)
    assert all((vector == 0).all() for vector in state)
    assert (theta == 1).all()
    assert_no_thread_was_changed()


@x86_only
def test_products_take_denormal_numbers_for_zero():
    x, kernel = aligned(np.full((64, 300), DENORMAL)), aligned(np.full((300, 70), np.float32(1)))
    y = aligned(np.empty((64, 70), np.float32))
    fast.dense(x, kernel, None, y)
    assert (y == 0).all()
    assert_no_thread_was_changed()


@x86_only
@pytest.mark.parametrize("algorithm", ["sparse", "spread", "winograd"])
def test_gradients_behind_pooling_take_denormal_numbers_for_zero(algorithm, monkeypatch):
    monkeypatch.setattr(choice, "winograd_gradient_is_best", lambda *arguments: algorithm == "winograd")
    monkeypatch.setattr(choice, "spread_is_best", lambda *arguments: algorithm == "spread")
    rng = np.random.default_rng(21)
    window, pool = make_window((12, 12), (3, 3), (1, 1), "same"), make_window((12, 12), (2, 2), (2, 2), "valid")
    x, kernel, winner = (
        normal(rng, 8, 12, 12, 16),
        normal(rng, 3, 3, 16, 16),
        aligned(np.zeros((8, 6, 6, 16), np.uint8)),
    )
    dy, dx = aligned(np.full(winner.shape, DENORMAL)), None if algorithm == "spread" else aligned(np.ones_like(x))
    dkernel, dbias = aligned(np.ones_like(kernel)), aligned(np.ones(16, np.float32))
    fast.conv2d_pool_backward(x, kernel, winner, dy, dx, dkernel, dbias, window, pool)
    assert all((array == 0).all() for array in (dx, dkernel, dbias) if array is not None)
    assert_no_thread_was_changed()
