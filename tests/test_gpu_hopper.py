"""Convolutions by wgmma: against the reference in float64; mistakes; machine code for sm_90a; which are chosen.

The stand-in does as a Hopper GPU would: copies and products are under way until somebody waits for them.
"""

import errno
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import test_gpu_tensor_cores as any_kernel
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_close
from test_gpu_tensor_cores import CASES, CLOSE, NOTHING_TWICE, Case, changed, h100, random_windows

import minicnn as mc
from minicnn import backends
from minicnn.bfloat16 import rounded
from minicnn.geometry import make_window

pytestmark = pytest.mark.gpu
backend, nothing_twice, standin = any_kernel.backend, any_kernel.nothing_twice, any_kernel.standin


class HopperCase(Case):
    """By these kernels, of which one computes both directions; the gradients of some kernels are not theirs."""

    file, gradient_file = "hopper_convolution", "hopper_gradient"

    def choices(self, device):
        return {kind: found for kind, found in super().choices(device).items() if found}


class VariedCase(HopperCase):
    """With pixels, and columns of the kernel in both directions, of other sizes than their neighbours."""

    def __init__(self, rng, *case, **options):
        super().__init__(rng, *case, **options)
        for array in (self.x, self.dy):
            array *= np.exp2(rng.integers(-2, 3, (*array.shape[:3], 1))).astype(np.float32)
        channels, filters = self.kernel.shape[2:]
        self.kernel *= np.exp2(rng.integers(-2, 3, (channels, 1)) + rng.integers(-2, 3, filters)).astype(np.float32)


@pytest.fixture(autouse=True)
def _on_hopper(monkeypatch):
    """The tests of all kernels, of these: a GPU of another generation cannot run them."""
    backends.get("cupy")
    import cupy

    if cupy.__version__ != "stand-in" and cupy.cuda.Device().compute_capability != "90":
        pytest.skip("a GPU without wgmma")
    monkeypatch.setattr(any_kernel, "Case", HopperCase)


# -------------------------------------------------------------------------------------------------------- the kernel


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("kind", ["forward", "input gradient"])
def test_against_float64(kind, case, backend, nothing_twice, rng):
    """The results do not depend on the tile, and are the same bits twice."""
    convolution = HopperCase(rng, *case)
    (expected,), choices = convolution.expected(kind), convolution.choices(h100())[kind]
    first, *others = (convolution.computed(kind, one, backend)[0] for one in (*choices, choices[0]))
    assert_close(first, expected, CLOSE)
    for other in others:
        np.testing.assert_array_equal(other, first)


GRADIENTS = [*CASES[:2], *CASES[3:], (2, 6, 9, 68, 100, (1, 4), "valid")]  # kernels of 1 x 1 are not theirs


@pytest.mark.parametrize("case", GRADIENTS, ids=str)
def test_gradients_of_kernels_against_float64(case, backend, nothing_twice, rng):
    """In one part, and in several; the same bits twice."""
    convolution = HopperCase(rng, *case)
    expected = convolution.expected("kernel gradient")
    for choice in convolution.choices(h100())["kernel gradient"]:
        stages = choice.parts * choice.geometry.stages_per_split
        for own in {stages, 2, 1}:
            cut = choice._replace(parts=-(-stages // own), geometry=choice.geometry._replace(stages_per_split=own))
            first, second = (convolution.computed("kernel gradient", cut, backend) for _ in range(2))
            for a, b, c in zip(first, second, expected, strict=True):
                np.testing.assert_array_equal(a, b)
                assert_close(a, c, CLOSE, choice.size)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", [(2, 9, 11, 20, 36, (3, 3), "same"), (3, 8, 7, 40, 16, (3, 3), "valid")], ids=str)
def test_pooled(case, relu, backend, nothing_twice, rng):
    convolution = HopperCase(rng, *case, pooled=True, relu=relu)
    expected, winners = convolution.expected("forward")
    for choice in convolution.choices(h100())["forward"]:
        y, winner = convolution.computed("forward", choice, backend)
        assert_close(y, expected, CLOSE, choice.size)
        assert np.mean(winner == winners) > 0.99  # ties and near ones may go either way


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", CASES[:3], ids=str)
def test_moments_for_a_normalization(case, relu, backend, nothing_twice, rng):
    any_kernel.test_moments_for_a_normalization(case, relu, backend, None, rng)


@pytest.mark.parametrize("bad", [np.inf, np.nan, 3e38])
def test_moments_of_what_is_computed_twice(bad, rng):
    any_kernel.test_moments_of_what_is_computed_twice(bad, rng)


@pytest.mark.parametrize(("relu", "added", "more"), any_kernel.BEFORE[:3])
@pytest.mark.parametrize("case", CASES[:2], ids=str)
def test_sums_for_the_gradient_of_a_normalization(case, relu, added, more, backend, nothing_twice, rng):
    any_kernel.test_sums_for_the_gradient_of_a_normalization(case, relu, added, more, backend, None, rng)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_sums_of_what_is_not_finite(bad, rng):
    any_kernel.test_sums_of_what_is_not_finite(bad, rng)


@pytest.mark.parametrize("spread", [17, 30, 45])
def test_gradients_of_kernels_whose_numbers_differ_much(spread, nothing_twice, rng):
    """Those of a channel, or filter, in one stage: down to 2^-17 of the largest; below that 2^-39 of it may be lost."""
    convolution = HopperCase(rng, 2, 6, 7, 32, 64, (3, 3), "same")
    for array in (convolution.x, convolution.dy):
        array[...] = np.sign(array) * np.exp2(-spread * rng.random(array.shape))
    (expected, _), terms = convolution.expected("kernel gradient"), HopperCase(rng, 2, 6, 7, 32, 64, (3, 3), "same")
    terms.x, terms.dy = np.abs(convolution.x), np.abs(convolution.dy)
    size = terms.expected("kernel gradient")[0]
    largest = [np.abs(a.astype(float)).reshape(-1, a.shape[3]) for a in (convolution.x, convolution.dy)]
    (x_most, x_all), (dy_most, dy_all) = ((a.max(0), a.sum(0)) for a in largest)
    lost = 2.0**-39 * (np.outer(x_most, dy_all) + np.outer(x_all, dy_most))  # (C, F)
    for choice in convolution.choices(h100())["kernel gradient"]:
        found = convolution.computed("kernel gradient", choice, backends.get("cupy"))[0]
        assert (np.abs(found - expected) <= CLOSE * size + (0 if spread == 17 else lost)).all(), choice.size


def test_several_gradients_of_kernels_in_one_launch(chosen_always, folder, monkeypatch, rng):
    """Those of one size of tiles; of other shapes, each with its part of the blocks."""
    from test_gpu_gradients_together import check

    from minicnn.backends.cupy import launch, tensor_gradient

    launched = []
    original = launch.launch
    monkeypatch.setattr(tensor_gradient, "launch", lambda *a, **o: (launched.append(a[0]), original(*a, **o)))
    sizes = (3, 9, 7, 16, 20), (5, 12, 9, 64, 36), (2, 6, 9, 40, 100)
    check([HopperCase(rng, *size, (3, 3), "same") for size in sizes], backends.get("cupy"))
    assert [(file.partition("/")[0], file[-2:]) for file in launched] == [("hopper_gradient", "x1")]


def test_several_of_which_the_compiler_refuses_the_kernel(chosen_always, folder, monkeypatch, rng):
    """Those that wait are computed in other tiles then, even where these are worth it for Hopper's kernel alone."""
    from test_gpu_gradients_together import check

    from minicnn.backends.cupy import cubins, tensor_gradient, tensor_gradient_choice, wgmma

    several, compiled = f"-DSIZE_8={tensor_gradient.TOGETHER}", cubins._compiled

    def refusing(text, options):
        if several in options:
            raise RuntimeError("no")
        return compiled(text, options)

    monkeypatch.setattr(cubins, "_compiled", refusing)
    monkeypatch.setattr(tensor_gradient_choice, "plain_microseconds", lambda *_: 1.5)  # below that of any other tile
    wgmma._loads.cache_clear()
    any_kernel.forget_kernels()
    with pytest.warns(RuntimeWarning, match="could not be compiled"):
        check(
            [HopperCase(rng, *size, (3, 3), "same") for size in ((3, 9, 7, 16, 20), (5, 12, 9, 64, 36))],
            backends.get("cupy"),
        )
    wgmma._loads.cache_clear()
    any_kernel.forget_kernels()


@settings(max_examples=6)
@given(data=st.data(), seed=st.integers(0, 2**31))
def test_odd_shapes(data, seed):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    size = draw(1, 5), draw(1, 5)
    image = draw(size[0] + 1, 12), draw(size[1] + 1, 12)
    channels, filters, padding = 4 * draw(4, 18), 4 * draw(4, 20), data.draw(st.sampled_from(["same", "valid"]))
    pooled, relu = data.draw(st.booleans()), data.draw(st.booleans())
    case = HopperCase(
        np.random.default_rng(seed), draw(1, 3), *image, channels, filters, size, padding, pooled=pooled, relu=relu
    )
    kinds = case.choices(h100())
    for kind in ("forward",) if pooled else kinds:
        for choice in data.draw(st.permutations(kinds[kind]))[:1]:
            found = case.computed(kind, choice, backends.get("cupy"))[0]
            assert_close(found, case.expected(kind)[0], CLOSE, choice.size)


def test_numbers_of_any_size(nothing_twice, rng):
    any_kernel.test_numbers_of_any_size(None, rng)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_is_as_in_float32(bad, pooled, rng):
    any_kernel.test_what_is_not_finite_is_as_in_float32(bad, pooled, rng)


def test_the_largest_numbers(rng):
    any_kernel.test_the_largest_numbers(rng)


@pytest.mark.parametrize("how", ["medium", "high"])
def test_precision(how, monkeypatch, rng):
    any_kernel.test_precision(how, monkeypatch, rng)


# --------------------------------------------------------------------------------------------------- prepared weights


def in_order(kernel, form):
    """Tiles, slices, taps, words of a step, of a kernel (taps, C, F), or (taps, F, C) if turned: one by one.

    Behind those of halves, the inverses of the scales of all columns.
    """
    tiles, width = -(-form.filters // form.columns), {3: 64, 2: 32, 1: 32, 0: 16}[form.products]
    inverses = np.full(tiles * form.columns, 2.0**-126, np.float32)
    found = np.zeros((tiles, form.slices, form.taps, form.columns * width), np.uint32)
    halves = found.view(np.uint16)
    for column in range(form.filters):
        tile, n = divmod(column, form.columns)
        largest = np.abs(kernel[:, column] if form.turned else kernel[..., column]).max()
        exponent = int(np.floor(np.log2(largest)))
        inverses[column] = 2.0 ** (exponent - 14)
        for c in range(form.channels):
            slice_, k = divmod(c, 32)
            for tap in range(form.taps):
                value = kernel[form.taps - 1 - tap, column, c] if form.turned else kernel[tap, c, column]
                to = found[tile, slice_, tap]
                if form.products == 0:
                    at = k // 8 * form.columns * 8 + n * 8 + k % 4 * 2 + k // 4 % 2
                    halves[tile, slice_, tap, at] = rounded(np.array([value])).view(np.uint32)[0] >> 16
                    continue
                if form.products == 2:
                    scaled, at = value * 2.0 ** (14 - exponent), k // 8 * form.columns * 8 + n * 8 + k % 8
                    for part, half in enumerate((np.float16(scaled), np.float16(scaled - np.float16(scaled)))):
                        halves[tile, slice_, tap, part * form.columns * 32 + at] = half.view(np.uint16)
                    continue
                at = k // 4 * form.columns * 4 + n * 4 + k % 4
                big = (value.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
                to[at] = big
                if form.products == 3:
                    to[form.columns * 32 + at] = (value - big.view(np.float32)).view(np.uint32)
    return np.concatenate([found.reshape(-1), *([inverses.view(np.uint32)] if form.products == 2 else [])])


def forms():
    from minicnn.backends.cupy.prepared_weights import Form

    return [
        Form(16, 20, 9, 1, 64, 3, 0),
        Form(36, 68, 4, 2, 64, 3, 1),
        Form(40, 132, 1, 2, 128, 1, 1),
        Form(20, 16, 6, 1, 128, 0, 0),
        Form(68, 24, 3, 3, 64, 0, 1),
        Form(68, 20, 2, 3, 64, 2, 0),
        Form(36, 132, 3, 2, 128, 2, 1),
    ]


def kernel_of(form, rng):
    """(taps, C, F), of a form's direction."""
    sides = (form.filters, form.channels) if form.turned else (form.channels, form.filters)
    return rng.normal(size=(form.taps, *sides)).astype(np.float32)


def test_weights_of_many_kernels(backend, monkeypatch, rng):
    """By the launch that sets an iteration's numbers as one by one, and as loops put them, in all forms."""
    from minicnn.backends.cupy import prepared_weights
    from minicnn.backends.cupy.graph import IterationState
    from minicnn.backends.cupy.prepared_weights import Preparation, prepared

    launched, launch = [], prepared_weights.launch
    monkeypatch.setattr(prepared_weights, "launch", lambda *a: (launched.append(a[1]), launch(*a)))
    kernels = [kernel_of(form, rng) for form in forms()]
    on_device = [backend.asarray(kernel) for kernel in kernels]
    preparation, state = Preparation(on_device), IterationState()
    one_by_one, at_once = ["prepare_weights"] * len(kernels), ["begin_iteration"]
    for index, names in enumerate((one_by_one, at_once, at_once, one_by_one)):
        launched.clear()
        if index < 3:  # else nobody has said that another iteration begins
            state.set(0.5 + index, 0.25 + index, 7 + index, 8 * index, preparation)
            numbers = state.rate(None).at[0], state.learning_rate, state.iteration.at[0], state.start[0]
            assert [float(n) for n in numbers] == [0.5 + index, 0.25 + index, 7 + index, 8 * index]
        with preparation.at_once():
            found = [prepared(*pair) for pair in zip(on_device, forms(), strict=True)]
            for array, kernel, form in zip(found, kernels, forms(), strict=True):
                expected = in_order(kernel, form)
                np.testing.assert_array_equal(backend.to_host(array).view(np.uint32), expected, str(form))
        assert launched == names
        for array, kernel in zip(on_device, kernels, strict=True):  # the weights of the next iteration
            kernel *= np.float32(1.5)
            backend.load(array, kernel)


def preparations(monkeypatch):
    """A list that is going to have, for each launch that prepares weights, the number of kernels."""
    from minicnn.backends.cupy import prepared_weights

    launched, launch = [], prepared_weights.launch
    monkeypatch.setattr(prepared_weights, "launch", lambda *a: (launched.append(int(a[-1]["count"][0])), launch(*a)))
    return launched


def test_which_weights_are_prepared_together(monkeypatch, backend, rng):
    """Those that nothing else writes, as far as there is room; outside an iteration each by itself."""
    from minicnn.backends.cupy import prepared_weights
    from minicnn.backends.cupy.graph import IterationState
    from minicnn.backends.cupy.prepared_weights import Preparation, prepared

    launched = preparations(monkeypatch)
    form = forms()[0]
    kernels = [backend.asarray(kernel_of(form, rng)) for _ in range(4)]
    preparation, state = Preparation(kernels[:3]), IterationState()

    def launches():
        launched.clear()
        state.set(0.0, 0.0, 0, 0, preparation)
        with preparation.at_once():
            for kernel in kernels:
                prepared(kernel, form)
        return launched

    monkeypatch.setattr(prepared_weights, "MOST_BYTES", 2 * form.nbytes)
    assert launches() == [1] * 4
    assert launches() == [2, 1, 1]
    monkeypatch.undo()
    launched = preparations(monkeypatch)
    assert launches() == [2, 1, 1]
    assert launches() == [3, 1]
    launched.clear()
    prepared(kernels[0], form)
    assert launched == [1]


# ------------------------------------------------------------------------------------------------- mistakes in kernels


WRONG, ANYHOW = (
    "AssertionError: ",
    "cuda_on_host: |AssertionError: ",
)  # results; or the stand-in stops it, as threads run
MISTAKES = {  # what is right, what is wrong, what is said then
    "no wait for the first half's products": (
        "stage = next;\n        wait_for_products_but<1>();",
        "stage = next;",
        ANYHOW,
    ),
    "no wait for the second half's": (
        "wait_for_products_but<1>();\n        if (IN_THREE && step)",
        "if (step)",
        ANYHOW,
    ),
    "no wait for the last products": ("wait_for_products_but<0>();\n        add_half", "add_half", "for its products"),
    "no fence": ("    begin_products();\n#pragma unroll\n    for", "#pragma unroll\n    for", "no fence"),
    "no end of products": ("    end_products();\n}\n\n", "}\n\n", ANYHOW),
    "pixels that change too early": ("Pixels even, odd;", "Pixels even; Pixels& odd = even;", "changed during its"),
    "no wait for pixels": ("if (is_last_tap) wait_for_all_groups_but<0>();", "", "for its copies"),
    "no wait for weights": ("wait_for_copy(barriers + next * 8, (step + 1) / STAGES % 2);", "", "for its copies"),
    "a wait for another phase": ("(step + 1) / STAGES % 2", "(step + 1) % 2", ANYHOW),
    "no start of barriers": ("start_barrier(barriers + stage * 8);", ";", "nobody started"),
    "a missing barrier": ("__syncthreads();\n            load_weights", "load_weights", ANYHOW),
    "weights that are still read": ("stage == 0 ? STAGES - 1 : stage - 1);", "stage);", ANYHOW),
    "a wrong lane of a pixel": ("lane_row = lane / 16 * 16", "lane_row = lane / 8 % 2 * 16", WRONG),
    "a wrong description of weights": ("BN << 16 | (uint64)8 << 32", "BN << 16 | (uint64)4 << 32", WRONG),
    "weights of the other direction": ("(w.taps - 1 - tap) * w.filters", "tap * w.filters", WRONG),
    # Of halves: what "high" computes with.
    "of halves: the scale of another row": ("__shfl_sync(0xffffffffu, mine, lane / 4 + 8)", "to.rows[0]", WRONG),
    "of halves: scales of another slice": ("inverses[slice % 2 * g.patch + pixel +", "inverses[pixel +", WRONG),
    "of halves: scales of the next step": ("add_half(sums, second, other,", "add_half(sums, second, mine,", WRONG),
    "of halves: the scale of another column": ("*= e % 2 ? columns.y : columns.x", "*= columns.x", WRONG),
    "of halves: pixels that are not there yet": ("__syncthreads();\n            load_weights", "load_weights", ANYHOW),
    "of halves: less than the largest weight": ("    __syncthreads();\n    float scale", "    float scale", ANYHOW),
    "of halves: the wrong terms": ("is_halves ? term % 8", "is_halves ? term % 4 * 2 + term / 4 % 2", WRONG),
    # Of a kernel's gradient.
    "no wait for its products": (
        "wait_for_products_but<0>();\n            const float* const of_rows",
        "const float* const of_rows",
        ANYHOW,
    ),
    "halves that nobody publishes": ("        publish();\n    };", "    };", "nobody has published"),
    "a stage that is still read": (
        "        }\n        __syncthreads();\n    }\n\n    parts +=",
        "        }\n    }\n\n    parts +=",
        WRONG,
    ),
    "no wait for what others have found": ("__syncthreads();  // what all warps have found", "", WRONG),
    "halves before all have written theirs": ("load(1);\n    __syncthreads();", "load(1);", WRONG),
    "a wrong lane of a position": ("lane % 8 + lane / 16 * 8, lane_ch", "lane % 8 + lane / 8 % 2 * 8, lane_ch", WRONG),
    "the scale of another channel": ("{of_rows[0], of_rows[8]}", "{of_rows[0], of_rows[0]}", WRONG),
    "a wrong description of dy": ("(uint64)(EIGHT >> 4) << 16", "(uint64)8 << 16", WRONG),
    "gradients of the neighbour": ("dy_line * 16 + lane % 2 * 8", "(dy_line ^ 1) * 16 + lane % 2 * 8", WRONG),
}


def check_mistaken(mistake, patch):
    """A convolution by a kernel with the mistake, threads shuffled: an error, or the stand-in ends the process."""
    from minicnn.backends.cupy.sources import source

    right, wrong, _ = MISTAKES[mistake]
    files = [file for file in (HopperCase.file, "prepared_weights", HopperCase.gradient_file) if right in source(file)]
    if [source(file).count(right) for file in files] != [1]:
        raise ValueError(f"the source has no such text, or several: {right}")
    rng = np.random.default_rng(0)
    mc.set_float32_precision("high" if mistake.startswith("of halves") else "highest")
    convolution = VariedCase(rng, 3, 9, 7, 36, 36, (3, 3), "same")  # both halves of the columns
    is_gradient = files == [HopperCase.gradient_file]
    kind = "kernel gradient" if is_gradient else "input gradient" if "filters" in right else "forward"
    with changed(patch, NOTHING_TWICE, (right, wrong)):
        found = convolution.computed(kind, convolution.choices(h100())[kind][-1], backends.get("cupy"))[0]
        assert_close(found, convolution.expected(kind)[0], CLOSE)


@pytest.fixture(scope="module")
def said():
    """Mistake → what was said to it: by processes of their own, children of one."""
    code = f"""
import json, os, sys, tempfile, traceback
sys.path[:0] = [{str(Path(__file__).with_name("gpu_standin"))!r}, {str(Path(__file__).parent)!r}]
import pytest
from test_gpu_hopper import MISTAKES, check_mistaken
said = {{}}
for mistake in MISTAKES:
    with tempfile.TemporaryFile("w+") as file:
        if not (child := os.fork()):
            os.dup2(file.fileno(), 2)
            try:
                with pytest.MonkeyPatch.context() as patch:
                    check_mistaken(mistake, patch)
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        os.waitpid(child, 0)
        file.seek(0)
        said[mistake] = file.read()
print(json.dumps(said))
"""
    environment = os.environ | {"MINICNN_STANDIN_SEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_found(mistake, standin, said):
    assert any(text in said[mistake] for text in MISTAKES[mistake][2].split("|")), said[mistake]


# ------------------------------------------------------------------------------------------------------ machine code


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path))
    return tmp_path / "cubins"


@pytest.fixture
def compiled(monkeypatch):
    """What the compiler was asked for, and gave."""
    from minicnn.backends.cupy import cubins

    asked = []

    def compile_it(text, options):
        asked.append((text, options))
        return f"{len(asked)}: {text} {options}".encode()

    monkeypatch.setattr(cubins, "_compiled", compile_it)
    return asked


def test_machine_code_is_kept(folder, compiled):
    """By source, options and architecture; what is damaged is made again."""
    from minicnn.backends.cupy.cubins import cubin

    path = cubin("a", ("-D1",), "sm_90a")
    assert path.parent == folder
    assert cubin("a", ("-D1",), "sm_90a") == path
    assert compiled == [("a", ("-D1", "-ftz=true", "-arch=sm_90a"))]
    assert len({path, cubin("b", ("-D1",), "sm_90a"), cubin("a", ("-D2",), "sm_90a"), cubin("a", (), "sm_90")}) == 4
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    assert cubin("a", ("-D1",), "sm_90a").read_bytes().startswith(b"5: a")
    assert len(list(folder.iterdir())) == 5  # nothing unfinished


def test_a_disk_that_is_full_or_gone_costs_only_time(folder, compiled, monkeypatch):
    from minicnn.backends.cupy import cubins

    replace = cubins.os.replace

    def full(unfinished, path):
        if Path(path).parent == folder:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(unfinished, path)

    with monkeypatch.context() as patch:
        patch.setattr(cubins.os, "replace", full)
        path = cubins.cubin("a", (), "sm_90a")
    assert path.read_bytes().startswith(b"1: a")
    assert path.parent != folder
    assert list(folder.iterdir()) == []
    monkeypatch.setenv("MINICNN_CACHE", str(path))  # a file
    assert cubins.cubin("a", (), "sm_90a").read_bytes().startswith(b"2: a")
    monkeypatch.delenv("MINICNN_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", lambda self: (_ for _ in ()).throw(RuntimeError("no home")))
    assert cubins.cubin("a", (), "sm_90a").read_bytes().startswith(b"3: a")


def test_what_the_compiler_says(folder, standin):
    from minicnn.backends.cupy.cubins import cubin

    with pytest.raises(RuntimeError, match="INVALID_OPTION"):
        cubin("a", (), "sm_12")


# -------------------------------------------------------------------------------------------------------- the choice


@pytest.fixture
def chosen_always(monkeypatch, standin):
    """A Hopper GPU, and a choice that prefers these kernels for small layers, too."""
    from minicnn.backends.cupy import tensor_choice, tensor_cores, tensor_gradient_choice, wgmma

    free = [tile._replace(alone=0, together=0, start=0) for tile in tensor_gradient_choice.HOPPER_GRADIENT_TILES]
    monkeypatch.setattr(tensor_choice, "PREPARING", -1000)
    monkeypatch.setattr(tensor_gradient_choice, "HOPPER_GRADIENT_TILES", free)
    monkeypatch.setattr(tensor_cores, "_device", lambda index: h100())
    monkeypatch.setattr(wgmma, "_refusals", [])
    caches = tensor_choice.choose_convolution, tensor_gradient_choice.choose_gradient
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def all_directions(case):
    """(y, dx, dkernel, dbias) by the backend's operations."""
    device = backends.get("cupy")
    arrays = case.x, case.kernel, case.bias, case.dy
    (x, kernel, bias, dy), found = map(device.asarray, arrays), [device.zeros(a.shape, np.float32) for a in arrays]
    device.ops.conv2d(x, kernel, bias, found[3], case.window)
    device.ops.conv2d_backward(x, kernel, None, dy, *found[:3], case.window)
    return [device.to_host(found[i]) for i in (3, 0, 1, 2)]


@pytest.mark.parametrize("fails", [False, True])
def test_operations(fails, chosen_always, folder, monkeypatch, rng):
    """They use the kernels; where these cannot be compiled, others serve, and one warning says so."""
    from minicnn.backends.cupy import cubins, hopper_convolution, launch, tensor_gradient, wgmma

    launched = []

    def noted(file, *arguments, **options):
        launched.append(file.partition("/")[0])
        launch.launch(file, *arguments, **options)

    monkeypatch.setattr(hopper_convolution, "launch", noted)
    monkeypatch.setattr(tensor_gradient, "launch", noted)
    if fails:
        monkeypatch.setattr(cubins.nvrtc, "compileProgram", lambda *a: (_ for _ in ()).throw(cubins.nvrtc.NVRTCError()))
        wgmma._loads.cache_clear()
        any_kernel.forget_kernels()
    case = HopperCase(rng, 2, 6, 7, 16, 20, (3, 3), "same")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = all_directions(case)
    expected = [*case.expected("forward"), *case.expected("input gradient"), *case.expected("kernel gradient")]
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, CLOSE)
    assert launched == (["tensor_gradient"] if fails else ["hopper_convolution"] * 2 + ["hopper_gradient"])
    assert [w.category for w in caught] == [RuntimeWarning] * fails


class Same(mc.layers.Layer):
    """A user's layer, of which nobody knows what it writes."""

    def build(self, input_shapes):
        return input_shapes[0]

    def forward(self, xs, ws):
        ws.y[...] = xs[0]

    def backward(self, dy, ws):
        ws.dxs[0][...] = dy


@pytest.mark.parametrize("own", [False, True])
def test_a_network_learns_as_on_the_processor(own, chosen_always, folder, monkeypatch, rng):
    """Its weights are prepared in each iteration, from the second one on by one launch; not beside a user's layer."""
    launched, L, losses = preparations(monkeypatch), mc.layers, []
    x, labels = rng.normal(size=(24, 6, 6, 16)).astype(np.float32), rng.integers(0, 10, 24)

    def network():
        parts = [L.Conv2D(filters, 3, padding="same", activation="tanh") for filters in (16, 20)]
        parts += [Same() if own else L.Dropout(0.0)]
        return mc.Sequential([L.Input((6, 6, 16)), *parts, L.GlobalAveragePooling2D(), L.Dense(10, "softmax")])

    models = [network() for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    for model, name in zip(models, ("numpy", "cupy"), strict=True):
        model.compile(mc.optimizers.SGD(1.0), "sparse_categorical_crossentropy", backend=name)
        losses.append(model.fit(x, labels, batch_size=8, epochs=4, shuffle=False, verbose=0).history["loss"])
    assert losses[0][-1] < losses[0][0]
    assert_close(*map(np.array, losses[::-1]), 1e-5)
    # Both forward, and the second one's turned, one by one; then the same, or all at once where an iteration begins.
    assert set(launched) == {1} if own else launched == [1] * 3 + [3] * 11


class Writes(mc.callbacks.Callback):
    """Writes the kernel of a layer behind every batch, each time in another way, or has somebody else write it."""

    def __init__(self, layer, other, folder, x):
        super().__init__()
        self.layer, self.other, self.folder, self.x, self.batches = layer, other, folder, x, 0

    def on_train_batch_end(self, batch, logs=None):
        ways = self.sets, self.device_array, self.loads, self.trains_other, self.predicts, self.freezes, self.assigns
        (*ways, self.freezes)[self.batches % 8]()
        self.batches += 1

    def sets(self):
        self.layer.set_weights([0.5 * w for w in self.layer.get_weights()])

    def device_array(self):
        """Nothing of the library sees this."""
        engine = self.model.training_engine()
        engine.store.values[self.layer.weights[0]][...] *= 1.5

    def loads(self):
        path = self.folder / f"{self.batches}.safetensors"
        self.model.save_weights(path)
        self.sets()
        self.model.load_weights(path)

    def trains_other(self):
        """A model that shares the layer."""
        self.other.train_on_batch(self.x, np.zeros((len(self.x), *self.other.output_shape[1:]), np.float32))

    def predicts(self):
        self.model.predict(self.x, verbose=0)

    def freezes(self):
        """Or no longer."""
        self.layer.trainable = not self.layer.trainable

    def assigns(self):
        kernel = self.layer.weights[0]
        kernel.assign(0.7 * kernel.numpy())


RULES = {
    "a rule alone": lambda: mc.optimizers.SGD(0.5),
    "all that may follow a rule": lambda: mc.optimizers.SGD(
        0.5, momentum=0.5, weight_decay=0.01, clipnorm=0.3, use_ema=True, ema_overwrite_frequency=2
    ),
    "several batches a step": lambda: mc.optimizers.SGD(0.5, gradient_accumulation_steps=2),
}


@pytest.mark.parametrize("rule", RULES)
def test_weights_are_prepared_after_whoever_wrote_them(rule, chosen_always, folder, tmp_path, monkeypatch, rng):
    """Between iterations, and behind the optimizer's own rule: each one computes with the weights as they are."""
    launched, L, losses = preparations(monkeypatch), mc.layers, []
    x, y = rng.normal(size=(2, 20, 4, 4, 16)).astype(np.float32)  # batches of 8, 8 and 4
    first = [rng.normal(size=(3, 3, 16, 16)) * 0.1, np.zeros(16)]
    for name in ("numpy", "cupy"):
        shared = L.Conv2D(16, 3, padding="same", kernel_constraint=mc.constraints.MaxNorm(1.5))
        convolutions = [L.Conv2D(16, 3, padding="same", activation="tanh"), shared]
        model, other = (mc.Sequential([L.Input((4, 4, 16)), *parts]) for parts in (convolutions, [shared]))
        for layer in convolutions:
            layer.set_weights(first)
        model.compile(RULES[rule](), "mse", backend=name)
        other.compile(mc.optimizers.SGD(0.5), "mse", backend=name)
        written = Writes(shared, other, tmp_path, x[:8])
        logged = mc.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs, to=losses: to.append(logs["loss"]))
        for _ in range(2):
            model.fit(x, y, batch_size=8, epochs=4, shuffle=False, verbose=0, callbacks=[logged, written])
    assert written.batches == 24 and 3 in launched
    assert_close(np.array(losses[24:]), np.array(losses[:24]), 1e-5)


def test_kernels_that_a_function_writes_are_those_that_count(chosen_always, folder, rng):
    """Here in each pass, after the iteration has begun."""
    L, losses = mc.layers, []
    x, y = rng.normal(size=(2, 8, 6, 6, 16)).astype(np.float32)
    weights = [rng.normal(size=(3, 3, 16, 16)) * 0.1, np.zeros(16)]
    for name in ("numpy", "cupy"):
        convolution = L.Conv2D(16, 3, padding="same")

        def clipped(t, of=convolution):
            if of.weights:
                kernel, bias = of.get_weights()
                of.set_weights([np.clip(kernel, -0.02, 0.02), bias])
            return np.array(np.asarray(t))  # no tensor of a graph is one

        model = mc.Sequential([L.Input((6, 6, 16)), L.Lambda(clipped), convolution])
        model.set_weights(weights)
        model.compile(mc.optimizers.SGD(1.0), "mse", backend=name)
        losses.append(model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0).history["loss"])
    assert_close(*map(np.array, losses[::-1]), 1e-5)


def test_kernels_that_a_layer_writes_are_not_prepared_before():
    """SpectralNormalization divides the kernel of its layer, which may have a place of its own, too."""
    from minicnn.training.device_shortcuts import steady_kernels

    L = mc.layers
    shared, alone = (L.Conv2D(4, 3, padding="same") for _ in range(2))
    model = mc.Sequential([L.Input((5, 5, 4)), shared, L.SpectralNormalization(shared), alone])
    model.compile("sgd", "mse", backend="cupy")
    bound, steady_of = [], steady_kernels
    engine = "minicnn.training.device_engine.steady_kernels"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, lambda plan: (bound.append(plan), steady_of(plan))[1])
        model.fit(np.zeros((2, 5, 5, 4)), np.zeros((2, 5, 5, 4)), verbose=0)
    (kernel,) = steady_kernels(bound[0])
    device = backends.get("cupy")
    np.testing.assert_array_equal(device.to_host(kernel), alone.get_weights()[0])


def test_only_hopper_has_the_gradient(rng):
    """Its tiles are for capability 9.0 and strides of 1; no more than three products of a block fit into registers."""
    from minicnn.backends.cupy.tensor_gradient_choice import gradient_candidates

    def tiles(window, capability=90):
        found = gradient_candidates(8, window, 64, 64, False, h100()._replace(capability=capability))
        return [one.size[:5] for one in found if one.file == HopperCase.gradient_file]

    for width, expected in {1: [], 2: ["64x64"], 3: ["64x64", "32x64"], 4: ["32x64"], 5: ["32x64"]}.items():
        window = make_window((9, 11), (3, width), (1, 1), "same")
        assert tiles(window) == expected, width
        assert not any(tiles(window, capability) for capability in (80, 86, 89, 100, 103))
    assert (
        tiles(make_window((9, 11), (3, 3), (2, 1), "same")) == tiles(make_window((9, 11), (3, 3), (1, 2), "same")) == []
    )


def test_stages_of_many_pixels(rng):
    """Without padding 32 positions may see more of them than registers hold."""
    from minicnn.backends.cupy.tensor_gradient_choice import gradient_candidates

    for size, kernel, patch, expected in (
        ((7, 7), (3, 3), 80, ["64x64", "32x64"]),
        ((6, 4), (3, 3), 88, ["32x64"]),
        ((5, 4), (3, 4), 152, ["32x64"]),
        ((6, 4), (3, 4), 184, []),
    ):
        found = gradient_candidates(8, make_window(size, kernel, (1, 1), "valid"), 64, 64, False, h100())
        assert {int(one.size.split("x")[6]) for one in found} == {patch}, size
        assert [one.size[:5] for one in found if one.file == HopperCase.gradient_file] == expected, size


def test_only_hopper_has_it(rng):
    """Its tiles are for capability 9.0; times are those of counting blocks; a choice has the memory that it needs."""
    from minicnn.backends.cupy import tensor_choice as choice

    for images, window in random_windows(rng, 15):
        channels, filters = (int(n) for n in rng.integers(5, 80, 2) * 4)
        numbers = images * 40, window, channels, filters, None, False
        for capability in (80, 86, 89, 100, 103):
            found = choice.candidates(*numbers, h100()._replace(capability=capability))
            assert {one.file for one in found} == {"tensor_convolution"}
        found = [one for one in choice.candidates(*numbers, h100()) if one.file == HopperCase.file]
        for tile, one in zip(choice.HOPPER_TILES, found, strict=True):
            weights, pixels = 4 * tile.columns * 32 * 4 * 2, 2 * one.geometry.patch + 1
            assert one.shared == weights + pixels * 144 + 4 * 8
            assert one.columns == tile.columns
            room, left, time = max(1, min(tile.blocks, (228 << 10) // (one.shared + 1024))), one.blocks, 0
            while left:
                resident = min(room, -(-left // 132))
                left -= min(left, 132 * room)
                share = (resident - 1) / max(1, tile.blocks - 1)
                step = tile.alone + (tile.together - tile.alone) * share
                time += (one.geometry.slices * (window.taps + choice.LOADING) + tile.start) * step
            assert one.microseconds == pytest.approx(1 + 2.8 + time)
        best = choice.choose_convolution(*numbers, h100()._replace(shared=100 << 10))
        assert best is None or best.shared <= 100 << 10


def test_it_can_be_switched_off(chosen_always, monkeypatch):
    from minicnn.backends.cupy import tensor_cores
    from minicnn.backends.cupy.tensor_choice import choose_convolution

    numbers = choose_convolution, 0, 8, make_window((8, 8), (3, 3), (1, 1), "same"), 32, 32, None, False
    assert tensor_cores._choose(*numbers).file == HopperCase.file
    monkeypatch.setenv("MINICNN_TENSOR_CORES", "0")
    assert tensor_cores._choose(*numbers) is None
