"""Every kernel of a GPU and how it is compiled; and the record of what NVIDIA's compiler said of each.

`gpu_compiled.json` beside this file says of every kernel file, size and architecture how many registers its kernels use
and how many bytes they spill. A line's key stands for all that the compiler gets, and for the compiler itself: as long
as they are the same, so is what comes out, and compiling 254 files again, more than three minutes of a processor, tells
nothing new. What the record lacks is compiled by the tests, which also compile some lines anew and compare. After a
change of a kernel:

    python tests/gpu_compiled.py
"""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from minicnn.backends.cupy.sources import ARCHITECTURES as OF_FILES
from minicnn.backends.cupy.sources import options, source

RECORD = Path(__file__).with_suffix(".json")
FOLDER = Path(__file__).parents[1] / "minicnn" / "backends" / "cupy"
ARCHITECTURES = (75, 80, 86, 90, 100)  # sm_89's machine code is sm_86's
BLOCKS = {"float32": ("128x64", "64x32", "128x16"), "float64": ("64x32", "128x16")}
BEGINNINGS = {
    "common",
    "slices",
    "tensor_cores",
    "tensor_places",
    "tensor_moments",
    "correlation",
    "halves",
    "wgmma",
}  # of others
FILES = sorted({path.stem for path in FOLDER.glob("*.cu")} - BEGINNINGS)
# Files whose kernels exist for sizes that options name; few channels: what the documents' networks compile, and others.
SIZES = {
    "products": BLOCKS,
    "normalization": {"float32": ("4x8", "4x4", "1x32", "1x2"), "float64": ("2x16", "1x32")},
    "few_channels": {
        "float32": (
            "5x5x2x1",
            "5x5x2x2",
            "3x3x4x1",
            "3x3x2x2",
            "3x3x1x1",
            "5x5x1",
            "5x5x6",
            "3x3x1",
            "3x3x3",
            "5x5x8",
            "3x3x3x4x512",
            "3x3x8x4x256",
            "5x5x8x2x256",
        )
    },
    # Taps in a row, stride, dilation, padding by the stride, channels of a thread, rows of taps.
    "depthwise": {"float32": ("3x1x1x0x4x3", "3x2x1x1x4x3", "5x1x2x0x4x1", "7x1x1x0x1x5"), "float64": ("3x2x1x0x1x3",)},
    # Tiles, blocks, terms, products, direction; tiles, blocks, taps, pixels, products, several: of most registers.
    "tensor_convolution": {
        "float32": (
            "128x64x2x2x2x32x3x0",
            "128x64x2x2x2x32x3x4",
            "128x64x2x2x2x32x3x1",
            "128x64x2x2x2x32x0x1",
            "128x64x2x2x2x32x3x3",
        )
    },
    "tensor_gradient": {"float32": ("64x64x4x2x1x3x40x3x1", "64x64x4x2x1x3x40x0x0")},
    "tensor_narrow": {"float32": ("128x16x4x1x4x16x3x3x3x0", "128x16x4x1x4x16x3x3x3x4", "128x16x4x1x4x16x3x3x3x3")},
    "hopper_gradient": {
        "float32": (
            *("64x64x4x1x2x3x40x3x0", "64x64x4x1x2x3x40x3x1", "64x64x4x1x2x2x40x3x1", "32x64x4x1x2x5x40x3x1"),
            *("32x64x4x1x2x3x40x3x0", "64x64x4x1x2x3x40x0x1", "64x64x4x1x2x3x40x1x0"),
            *("64x64x4x1x2x3x80x3x0", "64x64x4x1x2x3x80x3x1", "32x64x4x1x2x5x160x3x1"),  # of most pixels
        )
    },
    "hopper_convolution": {
        "float32": (
            *("128x64x8x1x1x32x3x0", "128x64x8x1x1x32x3x1", "128x64x8x1x1x32x1x0", "128x128x8x1x1x32x3x0"),
            *("128x128x8x1x1x32x3x1", "128x128x8x1x1x32x1x1", "64x64x4x1x3x32x3x0", "64x64x4x1x3x32x3x1"),
            *("64x64x4x1x3x32x1x0", "128x64x8x1x1x32x0x0", "128x128x8x1x1x32x0x1", "64x64x4x1x3x32x0x0"),
            *("128x64x8x1x1x32x3x3", "128x128x8x1x1x32x3x3", "64x64x4x1x3x32x3x3", "128x128x8x1x1x32x0x3"),
            *("128x64x8x1x1x32x3x4", "128x128x8x1x1x32x3x4", "64x64x4x1x3x32x3x4", "128x128x8x1x1x32x0x4"),
            *("128x128x8x1x1x32x2x0", "128x128x8x1x1x32x2x3", "128x128x8x1x1x32x2x4", "64x64x4x1x3x32x2x0"),
            *("64x64x4x1x3x32x2x4", "128x64x8x1x1x32x2x0", "128x64x8x1x1x32x2x4"),
        )
    },
}
# Others, which are compiled for one GPU: each tile alone and with a normalization's sums, which take most registers,
# and one of each of the other sizes.
MORE_SIZES = {
    "tensor_convolution": (
        *("128x64x2x2x2x32x1x0", "128x64x2x2x2x16x3x0", "64x64x2x2x3x32x3x0", "64x64x2x2x3x32x3x4"),
        *("64x32x2x1x4x32x3x0", "64x32x2x1x4x32x3x4", "64x16x2x1x6x16x3x0", "64x16x2x1x6x16x3x4"),
        *("256x16x4x1x4x16x3x0", "256x16x4x1x4x16x3x4", "128x32x2x1x4x32x3x0", "128x32x2x1x4x32x3x4"),
        *("32x32x1x2x8x32x3x0", "32x32x1x2x8x32x3x4", "128x64x2x2x2x32x3x2", "64x64x2x2x3x32x3x2"),
        *("64x16x2x1x6x16x3x1", "256x16x4x1x4x32x3x2", "64x64x2x2x3x32x0x0", "64x32x2x1x4x32x0x1"),
        *("64x64x2x2x3x32x0x3", "64x64x2x2x3x32x0x4"),
    ),
    "tensor_gradient": (
        *("64x64x4x2x1x5x40x3x1", "64x64x4x2x1x1x32x3x0", "64x64x4x2x1x3x40x1x0", "32x64x2x2x2x5x72x3x1"),
        *("32x32x2x1x4x5x64x3x1", "16x16x1x1x8x3x40x3x1"),
        *("64x64x4x2x1x5x40x0x1", "32x64x2x2x2x5x72x0x0", "32x32x2x1x4x5x64x0x1"),
    ),
    "tensor_narrow": ("128x16x4x1x4x16x3x3x3x1", "128x16x4x1x4x16x5x5x3x0", "128x16x4x1x4x16x1x1x1x3"),
}
# So many sizes for those between the oldest and the newest.
FEW = {"products": 1, "normalization": 1}
FEW |= dict.fromkeys(("few_channels", "depthwise", "tensor_convolution", "tensor_narrow"), 2)
ENDS = (75, 100)
TENSOR_CORES = {"tensor_convolution", "tensor_gradient", "tensor_narrow"}
FROM_80_ON = {"prepared_weights", *TENSOR_CORES}  # their kernels are for sm_80 and later
FLOAT32_ALONE = {"dense", "few_channels", "hopper_convolution", "hopper_gradient", *FROM_80_ON}
MOST_SPILT = 16  # bytes of a thread: more than a word or two would be a kernel that does not fit into its registers


def compile_source(nvrtc, name, text, options):
    """(machine code, the compiler's log), or the log as an error."""
    error, program = nvrtc.nvrtcCreateProgram(text.encode(), f"{name}.cu".encode(), 0, [], [])
    assert error.value == 0
    options = [option.encode() for option in options]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    log = bytearray(nvrtc.nvrtcGetProgramLogSize(program)[1])  # written to: never bytes, of which b" " is one object
    nvrtc.nvrtcGetProgramLog(program, log)
    assert error.value == 0, log.decode()
    size = nvrtc.nvrtcGetCUBINSize(program)[1]
    code = bytearray(size)
    nvrtc.nvrtcGetCUBIN(program, code)
    nvrtc.nvrtcDestroyProgram(program)
    return code, log.decode()


def options_for(dtype, block, architecture):
    cupys = ["-ftz=true", f"-arch=sm_{architecture}"]
    return [*options(dtype, block), *cupys, "--ptxas-options=-v"]


def everything(architecture):
    """(file, dtype, size, architecture) of what is compiled for one; float64 at the ends alone, it takes a minute."""
    if architecture == "90a":
        for file in sorted(OF_FILES):
            yield from ((file, "float32", size, architecture) for size in SIZES[file]["float32"])
        return
    for dtype in BLOCKS if architecture in ENDS else ("float32",):
        for file in sorted(set(FILES) - set(OF_FILES)):
            if (file in FLOAT32_ALONE and dtype != "float32") or (file in FROM_80_ON and architecture < 80):
                continue
            sizes = SIZES.get(file, {dtype: [None]}).get(dtype, ())
            yield from (
                (file, dtype, size, architecture) for size in sizes[: None if architecture in ENDS else FEW.get(file)]
            )
    if architecture == 90:
        yield from ((file, "float32", size, 90) for file, sizes in MORE_SIZES.items() for size in sizes)


class Compiled(NamedTuple):
    """What the compiler says of a file: of each of its kernels, and whether products are waited for one by one."""

    registers: tuple[int, ...]
    spilt: tuple[int, ...]  # bytes of a thread
    serialized: bool


def compiler():
    """The version of NVRTC, to the build."""
    return metadata.version("nvidia-cuda-nvrtc")


def key_of(what):
    """What stands for a source, its options and the compiler."""
    file, dtype, size, architecture = what
    texts = (compiler(), source(file), *options_for(dtype, size, architecture))
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:20]


def compile_one(nvrtc, what):
    """`Compiled` of (file, dtype, size, architecture)."""
    file, dtype, size, architecture = what
    code, log = compile_source(nvrtc, file, source(file), options_for(dtype, size, architecture))
    assert code[:4] == b"\x7fELF"
    registers = tuple(map(int, re.findall(r"Used (\d+) registers", log)))
    spilt = tuple(map(int, re.findall(r"(\d+) bytes spill stores", log)))
    return Compiled(registers, spilt, "serialized" in log)


def compile_all(nvrtc, every):
    """(what, `Compiled`) of each, on both processors."""
    with ThreadPoolExecutor(2) as pool:
        yield from zip(every, pool.map(lambda what: compile_one(nvrtc, what), every), strict=True)


def name_of(what):
    """As the record and the tests print it."""
    file, dtype, size, architecture = what
    return f"sm_{architecture} {file} {dtype}{f' {size}' if size else ''}"


def kernels():
    """Key → (file, dtype, size, architecture) of all there are."""
    return {key_of(what): what for architecture in (*ARCHITECTURES, "90a") for what in everything(architecture)}


def read_record():
    """The compiler's version, and key → `Compiled`."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    values = ((line["key"], line["registers"], line["spilt"], line["serialized"]) for line in record["kernels"])
    return record["compiler"], {key: Compiled(tuple(used), tuple(spilt), one) for key, used, spilt, one in values}


def write_record(nvrtc):
    """Compile what the record lacks, and forget what nothing has any more."""
    _, known = read_record() if RECORD.exists() else ("", {})
    every = kernels()
    compiled = compile_all(nvrtc, [what for key, what in every.items() if key not in known])
    known |= {key_of(what): result for what, result in compiled}
    lines = (json.dumps({"what": name_of(what), "key": key, **known[key]._asdict()}) for key, what in every.items())
    text = f'{{"compiler": "{compiler()}", "kernels": [\n' + ",\n".join(lines) + "\n]}\n"
    RECORD.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    from cuda.bindings import nvrtc

    write_record(nvrtc)
