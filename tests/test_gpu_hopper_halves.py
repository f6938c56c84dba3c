"""Convolutions of "high" by wgmma of halves: against the reference in float64; numbers that differ much."""

import copy
import ctypes
import math
import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import test_gpu_hopper as hopper
import test_gpu_tensor_cores as any_kernel
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_close
from test_gpu_hopper import HopperCase, VariedCase
from test_gpu_tensor_cores import CASES, CLOSE, h100

import minicnn as mc
from minicnn import backends

pytestmark = pytest.mark.gpu
backend, nothing_twice, standin = any_kernel.backend, any_kernel.nothing_twice, any_kernel.standin
_on_hopper, chosen_always, folder = hopper._on_hopper, hopper.chosen_always, hopper.folder


@pytest.fixture(autouse=True)
def _high():
    mc.set_float32_precision("high")
    yield
    mc.set_float32_precision("highest")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_against_float64(case, backend, nothing_twice, rng):
    """The results do not depend on the tile, and are the same bits twice."""
    convolution = VariedCase(rng, *case)
    (expected,), choices = convolution.expected("forward"), convolution.choices(h100())["forward"]
    first, *others = (convolution.computed("forward", one, backend)[0] for one in (*choices, choices[0]))
    assert_close(first, expected, CLOSE)
    for other in others:
        np.testing.assert_array_equal(other, first)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_of_inputs_against_float64(case, backend, nothing_twice, rng):
    convolution = VariedCase(rng, *case)
    choice = convolution.choices(h100())["input gradient"][-1]
    found = convolution.computed("input gradient", choice, backend)[0]
    assert_close(found, convolution.expected("input gradient")[0], CLOSE)


@pytest.mark.parametrize("case", [(2, 9, 11, 20, 36, (3, 3), "same"), (3, 8, 7, 40, 16, (3, 3), "valid")], ids=str)
def test_pooled(case, backend, nothing_twice, rng):
    convolution = VariedCase(rng, *case, pooled=True, relu=True)
    expected, winners = convolution.expected("forward")
    for choice in convolution.choices(h100())["forward"]:
        y, winner = convolution.computed("forward", choice, backend)
        assert_close(y, expected, CLOSE, choice.size)
        assert np.mean(winner == winners) > 0.99  # ties and near ones may go either way


def test_what_is_left_to_normalizations(backend, nothing_twice, rng):
    """Moments of the results, and sums of the gradient."""
    convolution = VariedCase(rng, *CASES[0])
    convolution.bias += 100
    any_kernel.check_moments(convolution, convolution.choices(h100())["forward"][-1], backend)
    before = any_kernel.Before(VariedCase(rng, *CASES[0]), True, True, True, rng)
    before.check(before.convolution.choices(h100())["input gradient"][-1:], backend)


@settings(max_examples=6)
@given(data=st.data(), seed=st.integers(0, 2**31))
def test_odd_shapes(data, seed):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    size = draw(1, 5), draw(1, 5)
    numbers = draw(1, 3), draw(size[0] + 1, 12), draw(size[1] + 1, 12), 4 * draw(4, 18), 4 * draw(4, 20), size
    padding, pooled = data.draw(st.sampled_from(["same", "valid"])), data.draw(st.booleans())
    case = VariedCase(np.random.default_rng(seed), *numbers, padding, pooled=pooled, relu=data.draw(st.booleans()))
    for kind in ("forward",) if pooled else ("forward", "input gradient"):
        found = case.computed(kind, case.choices(h100())[kind][-1], backends.get("cupy"))[0]
        assert_close(found, case.expected(kind)[0], CLOSE)


@pytest.mark.parametrize("spread", [17, 40])
@pytest.mark.parametrize("kind", ["forward", "input gradient"])
def test_numbers_that_differ_much(kind, spread, nothing_twice, rng):
    """Of 32 channels of a pixel, and of a filter: down to 2^-17 of the largest; below that 2^-39 of it may be lost."""
    numbers = 2, 6, 7, 64, 32, (3, 3), "same"
    name, of_column = {"forward": ("x", (0, 1, 2)), "input gradient": ("dy", (0, 1, 3))}[kind]
    case = HopperCase(rng, *numbers)
    for array in (case.x, case.kernel, case.dy):
        array[...] = np.sign(array) * np.exp2(-spread * rng.random(array.shape))

    def sums(pixels, weights):
        other = HopperCase(rng, *numbers)
        other.kernel, other.bias = weights, np.abs(case.bias)
        setattr(other, name, pixels)
        return other.expected(kind)[0]

    pixels, weights = np.abs(getattr(case, name)), np.abs(case.kernel)
    slices = pixels.reshape(*pixels.shape[:3], -1, 32)
    most_of_pixel = np.repeat(slices.max(-1), 32, axis=-1)
    most_of_column = np.broadcast_to(weights.max(of_column, keepdims=True), weights.shape)
    lost = 2.0**-39 * (sums(most_of_pixel, weights) + sums(pixels, most_of_column))
    found = case.computed(kind, case.choices(h100())[kind][-1], backends.get("cupy"))[0]
    error = np.abs(found - case.expected(kind)[0])
    assert (error <= CLOSE * sums(pixels, weights) + (0 if spread == 17 else lost)).all()


@pytest.mark.parametrize("tiny", ["pixels", "weights"])
@pytest.mark.parametrize("kind", ["forward", "input gradient"])
def test_pixels_and_filters_of_any_size(kind, tiny, nothing_twice, rng):
    """Below 2^-112 their power of two stays the same. Slices of two taps, under which pixels come in three parts."""
    case = HopperCase(rng, 2, 9, 10, 72, 68, (1, 2), "valid")
    sizes = {"pixels": ([-118, -70, 0, 50], [20, 55]), "weights": ([20, 55], [-118, -70, 0, 50])}[tiny]
    of_pixels, of_columns = (np.exp2(rng.choice(each, 2 * 9 * 10)) for each in sizes)
    for array in (case.x, case.kernel, case.dy):
        array[...] = rng.choice([-1, 1], array.shape) * rng.uniform(1, 2, array.shape)
    pixels = case.x if kind == "forward" else case.dy
    pixels *= of_pixels.reshape(2, 9, 10, 1)[:, :, : pixels.shape[2]].astype(np.float32)
    pixels[0, 3] = 0
    case.bias[...] = 0
    columns = of_columns[:68] if kind == "forward" else of_columns[:72, np.newaxis]
    case.kernel *= columns.astype(np.float32)
    terms = copy.copy(case)
    terms.x, terms.kernel, terms.dy = (np.abs(a) for a in (case.x, case.kernel, case.dy))
    found = case.computed(kind, case.choices(h100())[kind][-1], backends.get("cupy"))[0]
    assert (np.abs(found - case.expected(kind)[0]) <= CLOSE * terms.expected(kind)[0]).all()


def compute_at_edges(edge):
    """Convolutions whose arrays lie at the edges of memory that can be read and written."""
    from cupy import _core

    libc, page, kept = ctypes.CDLL(None), mmap.PAGESIZE, []

    def allocate(shape, dtype):
        size = math.prod((shape,) if isinstance(shape, int) else shape) * np.dtype(dtype).itemsize
        inner = -(-size // page) * page
        memory = mmap.mmap(-1, inner + 2 * page)
        kept.append(memory)
        first = np.frombuffer(memory, np.uint8).ctypes.data
        for forbidden in (first, first + page + inner):
            assert libc.mprotect(ctypes.c_void_p(forbidden), ctypes.c_size_t(page), 0) == 0
        offset = page + (0 if edge == "before" else inner - size)
        return np.frombuffer(memory, np.uint8, size, offset).view(dtype).reshape(shape)

    _core.allocate = allocate
    rng = np.random.default_rng(0)
    mc.set_float32_precision("high")
    for case in CASES:
        convolution = HopperCase(rng, *case)
        for kind in ("forward", "input gradient"):
            convolution.computed(kind, convolution.choices(h100())[kind][-1], backends.get("cupy"))


@pytest.mark.parametrize("edge", ["before", "behind"])
def test_nothing_around_arrays_is_touched(edge, standin):
    """Pixels in front of the first one and behind the last one, and what lies around the prepared weights."""
    here = Path(__file__).parent
    code = f"import sys; sys.path[:0] = {[str(here / 'gpu_standin'), str(here)]!r}\n"
    code += f"from test_gpu_hopper_halves import compute_at_edges; compute_at_edges({edge!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or f"signal {-done.returncode}"


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_is_as_in_float32(bad, pooled, rng):
    any_kernel.test_what_is_not_finite_is_as_in_float32(bad, pooled, rng)


def test_the_largest_numbers(rng):
    any_kernel.test_the_largest_numbers(rng)


def test_where_they_serve(monkeypatch, rng):
    """In "high" alone, for float32 alone, not beside MINICNN_TF32; forward and for the gradient of the input."""
    from minicnn.backends.cupy import hopper_convolution
    from minicnn.backends.cupy.tensor_cores import OF_FACTORS, in_products

    launched, launch = [], hopper_convolution.launch
    monkeypatch.setattr(hopper_convolution, "launch", lambda *a, **o: (launched.append(a[0]), launch(*a, **o)))
    case = HopperCase(rng, *CASES[0])

    def compute():
        for kind in ("forward", "input gradient"):
            case.computed(kind, case.choices(h100())[kind][-1], backends.get("cupy"))

    for precision in mc.precision.PRECISIONS:
        mc.set_float32_precision(precision)
        compute()
    mc.set_float32_precision("high")
    for of_policy in OF_FACTORS.values():
        in_products(compute, of_policy)()
    monkeypatch.setenv("MINICNN_TF32", "1")
    compute()
    products = [file[-3:].partition("x") for file in launched]
    assert [int(number) for number, _, _ in products[::2]] == [3, 2, 1, *OF_FACTORS.values(), 1]
    assert [direction for _, _, direction in products] == ["0", "1"] * 6


def test_a_change_counts_from_the_next_batch_on(chosen_always, folder, rng):
    """In training and use; back to what graphs were captured with, too. The bits are those of new models."""
    L, found = mc.layers, {}
    x, y = rng.normal(size=(2, 2, 4, 4, 16)).astype(np.float32)
    first = [rng.normal(size=(3, 3, 16, 16)) * 0.1, np.zeros(16)]
    for name, is_new in (("numpy", False), ("cupy", False), ("cupy", True)):
        model = mc.Sequential([L.Input((4, 4, 16)), *(L.Conv2D(16, 3, padding="same") for _ in range(2))])
        for precision in ("highest", "high", "medium", "high"):
            mc.set_float32_precision(precision)
            model.set_weights(first * 2)
            if is_new or precision == "highest":
                model.compile(mc.optimizers.SGD(0.5), "mse", backend=name)
            losses = [float(model.train_on_batch(x, y)) for _ in range(3)]  # op by op, then the graph's launches
            found.setdefault((name, is_new), []).append([*losses, *model.predict(x, verbose=0).ravel()])
    expected, kept, anew = found.values()
    assert kept == anew and kept[1] == kept[3] and len({tuple(one) for one in kept}) == 3
    for a, b in zip(kept[:2], expected[:2], strict=True):
        assert_close(a, b, 1e-5)
