"""Tile registers: whether they may be used, what an instruction computes, and that the right ones are emitted."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba")

from assembly import AVX512, assembly, innermost_loops, run, stack_vectors
from kernel_checks import aligned

from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.memory import scratch
from minicnn.backends.numba.tiles import path as tiles_path
from minicnn.backends.numba.tiles.block import (
    TILES_CODE,
    Area,
    LeftTiles,
    RightTiles,
    Steps,
    Sums,
    configure,
    multiply_tiles,
    release,
)
from minicnn.backends.numba.tiles.emulation import REGISTERS_SIZE
from minicnn.backends.numba.tiles.path import EMULATED, NONE, TILES, VECTORS, has_instructions, path
from minicnn.bfloat16 import round_to_bfloat16, widen

AMX = {"+amx-tile", "+amx-bf16", "+avx512f"}
LINUX = "x86_64-unknown-linux-gnu"


# --------------------------------------------------------------------------------------------------- permission

SAY_PATH = "from minicnn.backends.numba.tiles.path import path; print(path())"


def test_the_variable_switches_tiles_off():
    assert run(SAY_PATH, MINICNN_TILES="0").stdout.strip() == NONE


def test_the_variable_asks_for_the_emulation():
    assert run(SAY_PATH, MINICNN_TILES="emulated").stdout.strip() == EMULATED


def test_code_for_another_processor_has_no_tiles():
    assert run(SAY_PATH, NUMBA_CPU_NAME="haswell").stdout.strip() == NONE


def test_another_value_of_the_variable_is_an_error():
    result = run(SAY_PATH, MINICNN_TILES="yes")
    assert result.returncode != 0
    assert "MINICNN_TILES must be 0 (off), 1 (on where the processor has them), 'vectors' (avx512_bf16" in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are none")
def test_what_has_tiles():
    assert has_instructions(LINUX, AMX)
    assert not has_instructions(LINUX, AMX - {"+amx-bf16"})
    assert not has_instructions(LINUX, AMX - {"+amx-tile"} | {"-amx-tile"})
    assert not has_instructions("aarch64-unknown-linux-gnu", AMX)
    assert not has_instructions(LINUX, {"+avx512f", "+avx512bf16"})


@pytest.mark.parametrize(("answer", "expected"), [(0, TILES), (-1, NONE), (22, NONE)])
def test_without_linux_s_permission_there_are_none(monkeypatch, answer, expected):
    monkeypatch.delenv("MINICNN_TILES", raising=False)
    monkeypatch.setattr(tiles_path, "has_instructions", lambda triple, features: True)
    monkeypatch.setattr(tiles_path.config, "CPU_NAME", None)
    monkeypatch.setattr(tiles_path, "_VECTOR_FEATURES", {"+none"})
    monkeypatch.setattr(tiles_path, "_ask_linux", lambda: answer)
    assert path.__wrapped__() == expected


@pytest.mark.parametrize(("asked", "answer", "expected"), [("", 22, VECTORS), ("vectors", 0, VECTORS), ("", 0, TILES)])
def test_vectors_are_what_is_left_without_tiles(monkeypatch, asked, answer, expected):
    monkeypatch.setenv("MINICNN_TILES", asked)
    monkeypatch.setattr(tiles_path, "has_instructions", lambda triple, features: True)
    monkeypatch.setattr(tiles_path.config, "CPU_NAME", None)
    monkeypatch.setattr(tiles_path, "_VECTOR_FEATURES", set())
    monkeypatch.setattr(tiles_path, "_ask_linux", lambda: answer)
    assert path.__wrapped__() == expected


def test_linux_is_not_asked_without_the_instructions(monkeypatch):
    monkeypatch.delenv("MINICNN_TILES", raising=False)
    monkeypatch.setattr(tiles_path, "has_instructions", lambda triple, features: False)
    monkeypatch.setattr(tiles_path, "_ask_linux", lambda: pytest.fail("asked"))
    assert path.__wrapped__() in (NONE, VECTORS)


@pytest.mark.skipif(path() != TILES, reason="has no tiles")
def test_a_forked_child_and_a_new_process_have_them_too():
    assert run(SAY_PATH).stdout.strip() == TILES
    code = f"import os; {SAY_PATH}\nif os.fork() == 0: import minicnn.backends.numba.tiles.path as p; print(p.path())"
    assert run(code).stdout.split().count(TILES) >= 2


# ------------------------------------------------------------------------------------------------- instructions

EMIT = """
from minicnn.backends.numba.tiles import block
for symbol, code in block.compiled("{way}").items():
    print("FUNCTION", symbol)
    print(code._library.get_asm_str())
"""


def codes(way, cpu, features, folder):
    """Symbol → the assembly of a path, which is compiled for a processor that has its instructions and never run."""
    parts = assembly(EMIT.format(way=way), cpu, features, folder).split("FUNCTION ")[1:]
    return {part.split(maxsplit=1)[0]: part for part in parts}


@pytest.fixture(scope="module")
def on_tiles(tmp_path_factory):
    """`codes` of the tile registers."""
    return codes(TILES, "sapphirerapids", AMX, tmp_path_factory.mktemp("kernels"))


def instructions(text):
    """The tile instructions of an assembly and their operands, in turn."""
    return [
        tuple(re.findall(r"[\w%()]+", line)) for line in text.splitlines() if re.match(r"\s+(ld|st)?t(ile|dp)", line)
    ]


def test_the_product_is_made_of_tile_instructions(on_tiles):
    found = instructions(on_tiles["minicnn_multiply_tiles"])
    names = {words[0] for words in found}
    assert names == {"tileloadd", "tdpbf16ps", "tilestored"}  # and LLVM has added no configuration of its own
    dots = {words for words in found if words[0] == "tdpbf16ps"}
    assert dots == {  # operands in AT&T's order: right, left, sums
        ("tdpbf16ps", "%tmm6", "%tmm4", "%tmm0"),
        ("tdpbf16ps", "%tmm7", "%tmm4", "%tmm1"),
        ("tdpbf16ps", "%tmm6", "%tmm5", "%tmm2"),
        ("tdpbf16ps", "%tmm7", "%tmm5", "%tmm3"),
    }
    loaded = {words[-1] for words in found if words[0] == "tileloadd"}
    assert loaded == {f"%tmm{number}" for number in range(8)}


def test_configuring_and_releasing_are_one_instruction_each(on_tiles):
    assert [words[0] for words in instructions(on_tiles["minicnn_configure_tiles"])] == ["ldtilecfg"]
    assert [words[0] for words in instructions(on_tiles["minicnn_release_tiles"])] == ["tilerelease"]


@pytest.mark.parametrize("cpu", ["znver4", "znver5", "cooperlake"])
def test_vectors_keep_their_sums_in_registers(tmp_path, cpu):
    """No sum is written to the stack and read again between two turns of a loop."""
    vectors = codes(VECTORS, cpu, AVX512 | {"+avx512bf16"}, tmp_path)
    loops = innermost_loops(vectors["minicnn_multiply_tiles"], "vdpbf16ps")
    assert len(loops) >= 16  # blocks of one to eight rows by one or two tiles
    assert not stack_vectors(loops)


# ------------------------------------------------------------------------------------------------ what they compute


def tile_product(a, b, c):
    """What one ``tdpbf16ps`` does, bit for bit, in NumPy: c + a (rows, 32) · b (32, 16), bfloat16 values as float32.

    Even and odd k are added up apart, each multiply-add rounded once (float64 holds the exact product, and rounds the
    sum far below float32), then odd to even, then both to c. Denormal numbers count as zero.
    """
    a, b, c = (flushed(v) for v in (a, b, c))
    sums = np.zeros((2, *c.shape), np.float32)
    for k in range(32):
        exact = sums[k % 2].astype(np.float64) + np.multiply.outer(a[:, k].astype(np.float64), b[k].astype(np.float64))
        sums[k % 2] = flushed(exact.astype(np.float32))
    return flushed(c + flushed(sums[0] + sums[1]))


def dot_product(a, b, c):
    """The same by ``vdpbf16ps``: c + pair after pair, of which odd k comes first, each multiply-add rounded once."""
    a, b, sums = (flushed(v) for v in (a, b, c))
    for k in [pair + odd for pair in range(0, 32, 2) for odd in (1, 0)]:
        exact = sums.astype(np.float64) + np.multiply.outer(a[:, k].astype(np.float64), b[k].astype(np.float64))
        sums = flushed(exact.astype(np.float32))
    return sums


PRODUCT = dot_product if path() == VECTORS else tile_product


def flushed(values):
    return np.where(np.abs(values) < np.finfo(np.float32).tiny, np.float32(0) * values, values).astype(np.float32)


def pairs_of(b):
    """(k, columns) as rows of pairs of neighbouring k."""
    return np.ascontiguousarray(b.reshape(len(b) // 2, 2, -1).transpose(0, 2, 1)).reshape(-1)


@parallel_kernel(uses=TILES_CODE)
def block_of_tiles(pool, a, b, c, steps, rows, height, width, configures):
    """c (height · rows, 32) += a (height · rows, 32 · steps) · b: rows, columns of tiles."""
    registers = scratch(REGISTERS_SIZE, np.uint8)
    registers[:] = 0
    if configures:
        configure(registers, rows)
    count, out = len(steps) // 2, Sums(c, 0, rows * 32, 32)
    left, right = LeftTiles(a, 0, rows * 32 * count, 32 * count), RightTiles(b, 0, 512)
    multiply_tiles(registers, left, right, Steps(steps, 0, count), out, out, Area(height, width))
    if configures:
        release(registers)


def numbers(rng, *shape):
    return round_to_bfloat16((rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4)).astype(np.float32))


@pytest.mark.parametrize("rows", [16, 7, 1])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_a_block_is_tile_products(rng, rows, height, width):
    for count in (1, 3):
        a = numbers(rng, height * rows, 32 * count)
        b = [[numbers(rng, 32, 16) for _ in range(width)] for _ in range(count)]
        c = aligned(rng.standard_normal((height * rows, 32)).astype(np.float32))
        expected = c.copy()
        for k in range(count):
            for j in range(width):
                columns = slice(16 * j, 16 * j + 16)
                left, right = widen(a)[:, 32 * k : 32 * k + 32], widen(b[k][j])
                expected[:, columns] = PRODUCT(left, right, expected[:, columns])
        packed = np.concatenate([pairs_of(tile) for step in b for tile in step])
        steps = np.stack([np.arange(count) * 32, np.arange(count) * 512 * width], 1).reshape(-1)
        block_of_tiles(aligned(a.reshape(-1)), aligned(packed), c.reshape(-1), steps, rows, height, width, True)
        assert np.array_equal(c.view(np.uint32), expected.view(np.uint32))


def one_product(a, b, c):
    """c + a · b by one tile product."""
    c = aligned(np.pad(c, ((0, 0), (0, 16))))
    block_of_tiles(aligned(a.reshape(-1)), aligned(pairs_of(b)), c.reshape(-1), np.zeros(2, np.int64), 16, 1, 1, True)
    return c[:, :16]


def test_rare_numbers(rng):
    """Denormal ones count as zero in factors, sums and results; NaN stays in its row, infinity is infinite."""
    a, b, c = numbers(rng, 16, 32), numbers(rng, 32, 16), np.zeros((16, 16), np.float32)
    a[0], a[1, 3], a[2, 5] = 1, round_to_bfloat16(np.float32(np.nan)), round_to_bfloat16(np.float32(np.inf))
    a[3], b[0] = round_to_bfloat16(np.float32(1e-30)), round_to_bfloat16(np.float32(1e-12))
    c[4:6] = 1e-42
    with np.errstate(invalid="ignore"):
        expected = PRODUCT(widen(a), widen(b), c)
    found = one_product(a, b, c)
    assert np.array_equal(found, expected, equal_nan=True)
    assert not found[0].any()
    assert np.isnan(found[1]).all()
    assert np.isinf(found[2]).all()
    assert np.isfinite(found[3:]).all()


@pytest.mark.skipif(path() in (TILES, VECTORS), reason="tiles would end the process, vectors need no configuration")
def test_the_emulation_notices_a_missing_configuration():
    """So that a kernel which forgot it fails here and not on the first processor with tiles."""
    c = aligned(np.zeros((16, 32), np.float32))
    a, b = aligned(np.zeros(512, np.uint16)), aligned(np.zeros(512, np.uint16))
    block_of_tiles(a, b, c.reshape(-1), np.zeros(2, np.int64), 16, 1, 1, False)
    assert np.isnan(c).any()


@pytest.mark.skipif(path() != VECTORS, reason="this whole file is run so")
def test_tiles_are_emulated_where_vectors_are_used():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        __file__,
        "-k",
        "block or rare or emulation",
    ]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"MINICNN_TILES": EMULATED})
    assert result.returncode == 0, result.stdout
