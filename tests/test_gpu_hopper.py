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

from minicnn import backends
from minicnn.geometry import make_window

pytestmark = pytest.mark.gpu
backend, nothing_twice, standin = any_kernel.backend, any_kernel.nothing_twice, any_kernel.standin


class HopperCase(Case):
    """By this kernel, which computes both directions."""

    file = "hopper_convolution"

    def choices(self, device):
        return {kind: found for kind, found in super().choices(device).items() if kind != "kernel gradient"}


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


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", [(2, 9, 11, 20, 36, (3, 3), "same"), (3, 8, 7, 40, 16, (3, 3), "valid")], ids=str)
def test_pooled(case, relu, backend, nothing_twice, rng):
    convolution = HopperCase(rng, *case, pooled=True, relu=relu)
    expected, winners = convolution.expected("forward")
    for choice in convolution.choices(h100())["forward"]:
        y, winner = convolution.computed("forward", choice, backend)
        assert_close(y, expected, CLOSE, choice.size)
        assert np.mean(winner == winners) > 0.99  # ties and near ones may go either way


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
        "wait_for_products_but<1>();\n        if (PRODUCTS == 3 && step)",
        "if (step)",
        ANYHOW,
    ),
    "no wait for the last products": ("wait_for_products_but<0>();\n        add_half", "add_half", "for its products"),
    "no fence": ("begin_products();\n#pragma", "\n#pragma", "no fence"),
    "no end of products": ("    end_products();\n}\n\n", "}\n\n", ANYHOW),
    "pixels that change too early": ("Pixels even, odd;", "Pixels even; Pixels& odd = even;", "changed during its"),
    "no wait for pixels": ("if (is_last_tap) wait_for_all_groups_but<0>();", "", "for its copies"),
    "no wait for weights": ("wait_for_copy(barriers + next * 8, (step + 1) / STAGES % 2);", "", "for its copies"),
    "a wait for another phase": ("(step + 1) / STAGES % 2", "(step + 1) % 2", ANYHOW),
    "no start of barriers": ("start_barrier(barriers + stage * 8);", ";", "nobody started"),
    "a missing barrier": ("__syncthreads();\n            load_weights", "load_weights", ANYHOW),
    "weights that are still read": ("stage == 0 ? STAGES - 1 : stage - 1);", "stage);", ANYHOW),
    "a wrong lane of a pixel": ("lane_row = lane / 16 * 16", "lane_row = lane / 8 % 2 * 16", WRONG),
    "a wrong description of weights": ("(uint64)8 << 32", "(uint64)4 << 32", WRONG),
    "weights of the other direction": ("(taps - 1 - tap) * g.filters + column", "tap * g.filters + column", WRONG),
}


def check_mistaken(mistake, patch):
    """A convolution by a kernel with the mistake, threads shuffled: an error, or the stand-in ends the process."""
    from minicnn.backends.cupy.sources import source

    right, wrong, _ = MISTAKES[mistake]
    if source(HopperCase.file).count(right) != 1:
        raise ValueError(f"the source has no such text, or several: {right}")
    rng = np.random.default_rng(0)
    convolution, kind = HopperCase(rng, 3, 9, 7, 36, 20, (3, 3), "same"), "forward"
    kind = "input gradient" if "filters" in right else "forward"
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
    """A Hopper GPU, and a choice that prefers this kernel for small layers, too."""
    from minicnn.backends.cupy import hopper_convolution, tensor_choice, tensor_cores

    monkeypatch.setattr(tensor_choice, "PREPARING", -1000)
    monkeypatch.setattr(tensor_cores, "_device", lambda index: h100())
    monkeypatch.setattr(hopper_convolution, "_refusals", [])
    tensor_choice.choose_convolution.cache_clear()
    yield
    tensor_choice.choose_convolution.cache_clear()


def both_directions(case):
    """(y, dx) by the backend's operations."""
    device = backends.get("cupy")
    x, kernel, bias, dy = (device.asarray(a) for a in (case.x, case.kernel, case.bias, case.dy))
    y, dx = device.zeros(case.dy.shape, np.float32), device.zeros(case.x.shape, np.float32)
    device.ops.conv2d(x, kernel, bias, y, case.window)
    device.ops.conv2d_backward(x, kernel, None, dy, dx, None, None, case.window)
    return device.to_host(y), device.to_host(dx)


@pytest.mark.parametrize("fails", [False, True])
def test_operations(fails, chosen_always, folder, monkeypatch, rng):
    """They use the kernel; where it cannot be compiled, others serve, and one warning says so."""
    from minicnn.backends.cupy import cubins, hopper_convolution, tensor_cores

    launched = []
    convolve = hopper_convolution.convolve
    monkeypatch.setattr(tensor_cores.hopper_convolution, "convolve", lambda *a: (launched.append(a), convolve(*a)))
    if fails:
        monkeypatch.setattr(cubins.nvrtc, "compileProgram", lambda *a: (_ for _ in ()).throw(cubins.nvrtc.NVRTCError()))
        hopper_convolution._loads.cache_clear()
        any_kernel.forget_kernels()
    case = HopperCase(rng, 2, 6, 7, 16, 20, (3, 3), "same")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        y, dx = both_directions(case)
    assert_close(y, case.expected("forward")[0], CLOSE)
    assert_close(dx, case.expected("input gradient")[0], CLOSE)
    assert len(launched) == (0 if fails else 2)
    assert [w.category for w in caught] == [RuntimeWarning] * fails


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
