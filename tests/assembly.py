"""Machine code of kernels for any processor, read and never run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

from minicnn.backends.numba.tiles import path as tiles_path

CHECKOUT = Path(__file__).parents[1]
AVX512 = {"+avx512f", "+avx512bw", "+avx512vl", "+avx512dq", "+avx2", "+fma", "+bmi2"}


def run(code, **variables):
    """What a fresh interpreter prints under some environment variables."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MINICNN_TILES", "NUMBA_CPU"))} | variables
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=CHECKOUT)


def assembly(code, cpu, features, folder):
    """What `code` prints where Numba compiles for another processor, of which LLVM must know the instructions."""
    if not tiles_path.cpu_target.target_context.codegen().magic_tuple()[0].startswith("x86_64"):
        pytest.skip("LLVM here may not know the instructions")
    own = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ",".join(sorted(features)), "MINICNN_CACHE": str(folder)}
    result = run(code, **own)
    assert result.returncode == 0, result.stderr
    return result.stdout


def innermost_loops(text, instruction):
    """The loops of an assembly that hold an instruction and no other loop, as lists of lines."""
    lines, loops, labels = text.splitlines(), [], {}
    for number, line in enumerate(lines):
        words = line.split() or [""]
        if line.startswith(".L"):
            labels[line.split(":")[0]] = number
        elif words[0].startswith("j") and words[-1] in labels:
            loops.append(lines[labels[words[-1]] : number + 1])
    single = [loop for loop in loops if not any(line.startswith(".L") for line in loop[1:])]
    return [loop for loop in single if any(instruction in line for line in loop)]


def stack_vectors(loops):
    """Lines in which a vector goes to the stack or comes from there."""
    return [line for loop in loops for line in loop if "mm" in line and "(%rsp)" in line]
