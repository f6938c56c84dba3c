"""The kernel sources compile for the GPUs there are, with the compiler's package alone: no GPU, no CUDA toolkit."""

import re
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from minicnn.backends.cupy import structures
from minicnn.backends.cupy.sources import ARCHITECTURES as OF_FILES
from minicnn.backends.cupy.sources import options, source

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


@pytest.fixture(scope="module")
def nvrtc():
    """NVIDIA's run-time compiler."""
    module = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")
    try:
        module.nvrtcVersion()
    except Exception as error:
        pytest.skip(f"NVRTC cannot be loaded: {error}")
    return module


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


def everything(architecture):
    """(file, dtype, block) of what is compiled for an architecture; float64 at the ends alone, it takes a minute."""
    for dtype in BLOCKS if architecture in ENDS else ("float32",):
        for file in sorted(set(FILES) - set(OF_FILES)):
            if (file in FLOAT32_ALONE and dtype != "float32") or (file in FROM_80_ON and architecture < 80):
                continue
            sizes = SIZES.get(file, {dtype: [None]}).get(dtype, ())
            yield from ((file, dtype, size) for size in sizes[: None if architecture in ENDS else FEW.get(file)])
    if architecture == 90:
        yield from ((file, "float32", size) for file, sizes in MORE_SIZES.items() for size in sizes)


def test_kernels_for_an_architecture_of_their_own(nvrtc):
    """They compile, without spilling, and products stay under way: the compiler says so where it waits for each."""
    if 90 not in nvrtc.nvrtcGetSupportedArchs()[1]:
        pytest.skip("this NVRTC does not know sm_90a")

    def compiled(what):
        file, size, architecture = what
        options = [*options_for("float32", size, architecture.removeprefix("sm_"))]
        return compile_source(nvrtc, file, source(file), options)

    every = [(file, size, arch) for file, arch in OF_FILES.items() for size in SIZES[file]["float32"]]
    with ThreadPoolExecutor(2) as pool:
        for (file, size, architecture), (code, log) in zip(every, pool.map(compiled, every), strict=True):
            assert code[:4] == b"\x7fELF"
            registers = [int(count) for count in re.findall(r"Used (\d+) registers", log)]
            print(f"{architecture} {file} {size}: registers {registers}")
            assert set(re.findall(r"(\d+) bytes spill stores", log)) == {"0"}, log
            assert "serialized" not in log, log


def test_a_compiler_that_waits_for_each_product_is_noticed(nvrtc):
    """The message is there: it was for a loop whose two ways out lead to one wait."""
    file, size, text = "hopper_convolution", "64x64x4x1x3x32x3x0", source("hopper_convolution")
    last, after = (
        "        wait_for_products_but<0>();\n        add_half(sums, second, pixels, 1);\n",
        "    if (!IN_THREE) add_half",
    )
    assert text.count(last) == text.count(after) == 1
    text = text.replace(last, "").replace(after, last.replace("pixels", "even") + after)
    assert "serialized" in compile_source(nvrtc, file, text, options_for("float32", size, "90a"))[1]


def options_for(dtype, block, architecture):
    cupys = ["-ftz=true", f"-arch=sm_{architecture}"]
    return [*options(dtype, block), *cupys, "--ptxas-options=-v"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(architecture, nvrtc):
    _, known = nvrtc.nvrtcGetSupportedArchs()
    if architecture not in known:
        pytest.skip(f"this NVRTC does not know sm_{architecture}")

    def compiled(what):
        file, dtype, block = what
        return compile_source(nvrtc, file, source(file), options_for(dtype, block, architecture))

    with ThreadPoolExecutor(2) as pool:
        for (file, dtype, size), (code, log) in zip(
            everything(architecture), pool.map(compiled, everything(architecture)), strict=True
        ):
            assert code[:4] == b"\x7fELF"
            spilt = [int(count) for count in re.findall(r"(\d+) bytes spill stores", log)]
            registers = [int(count) for count in re.findall(r"Used (\d+) registers", log)]
            print(f"sm_{architecture} {file} {dtype} {size or ''}: registers {registers}, bytes spilt {spilt}")
            if dtype == "float32" and architecture >= 80:
                assert max(spilt, default=0) <= MOST_SPILT, log


@pytest.mark.parametrize(
    ("file", "size"), [("depthwise", "3x1x1x0x4x3"), ("tensor_narrow", SIZES["tensor_narrow"]["float32"][1])]
)
def test_what_is_compiled_for_sm_86_is_what_sm_89_gets(file, size, nvrtc):
    """To the byte: so it needs no compiling of its own. If a compiler knows better one day, it does."""
    if not {86, 89} <= set(nvrtc.nvrtcGetSupportedArchs()[1]):
        pytest.skip("this NVRTC does not know both")
    first, second = (
        instructions(compile_source(nvrtc, file, source(file), options_for("float32", size, architecture))[0])
        for architecture in (86, 89)
    )
    assert first.keys() == second.keys() != set()
    assert first == second


def instructions(code):
    """Section of a file in ELF, ``.text.KERNEL`` → its bytes."""
    code, sections = bytes(code), {}
    (start,), (size, count, names) = struct.unpack_from("<Q", code, 0x28), struct.unpack_from("<HHH", code, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", code, start + index * size) for index in range(count)]
    for name, *_, offset, length in headers:
        begin = headers[names][4] + name
        sections[code[begin : code.index(b"\0", begin)].decode()] = code[offset : offset + length]
    return {name: text for name, text in sections.items() if name.startswith(".text")}


def test_a_mistake_is_reported(nvrtc):
    text = source("pooling").replace("const REAL pixel", "const REAL pixl")
    with pytest.raises(AssertionError, match="pixel"):
        compile_source(nvrtc, "pooling", text, options_for("float32", None, 90))


def test_every_file_stands_beside_the_python_that_launches_it():
    for file in set(FILES) - {"graph"}:
        choice = "tensor_gradient_choice" if "gradient" in file else "tensor_choice"
        python = choice if file in {"hopper_gradient", *TENSOR_CORES} else file
        assert re.search(f'"{file}["/]', (FOLDER / f"{python}.py").read_text(encoding="utf-8")), file


def test_other_types_are_refused():
    with pytest.raises(TypeError, match=r"float32 or float64. Received: float16"):
        options("float16")


@pytest.mark.gpu
def test_these_are_the_tiles_of_tensor_cores():
    """Every tile that is ever chosen is compiled here."""
    from minicnn.backends.cupy import tensor_choice, tensor_gradient_choice

    for file, tiles in (
        ("tensor_convolution", tensor_choice.TILES),
        ("tensor_gradient", tensor_gradient_choice.GRADIENT_TILES),
        ("tensor_narrow", tensor_choice.NARROW_TILES),
        ("hopper_convolution", tensor_choice.HOPPER_TILES),
        ("hopper_gradient", tensor_gradient_choice.HOPPER_GRADIENT_TILES),
    ):
        every = *SIZES[file]["float32"], *MORE_SIZES.get(file, ())
        compiled = {tuple(map(int, size.split("x")[:5])) for size in every}
        assert compiled == {tile[:5] for tile in tiles}


@pytest.mark.gpu
def test_these_are_the_blocks_that_are_launched(rng):
    from minicnn.backends.cupy import products

    assert products.BLOCKS == BLOCKS
    for dtype, blocks in BLOCKS.items():
        sizes = rng.integers(1, 1 << 12, (200, 4)).tolist()
        chosen = {products.choose_block(structures.Span(*size), np.dtype(dtype)) for size in sizes}
        assert {f"{rows}x{columns}" for rows, columns in chosen} <= set(blocks)


# ------------------------------------------------------------------------------------------------------- structures


def leaves(structure, prefix="", start=0):
    """(path in C, offset that the dtype gives it) of every int of a structure."""
    dtype = structures.dtype_of(structure)
    for name, kind, count in structures.members(structure):
        offset = start + dtype.fields[name][1]
        for index in range(count):
            path, at = f"{prefix}{name}{f'[{index}]' if count > 1 else ''}", offset + index * size_of(kind)
            if kind in (int, structures.Address):
                yield path, at
            else:
                yield from leaves(kind, f"{path}.", at)


def size_of(kind):
    """Bytes of a member."""
    return {int: 4, structures.Address: 8}.get(kind) or structures.dtype_of(kind).itemsize


def kernel_that_looks(structure):
    """A kernel that writes the size of a structure that it gets by value, and offset and value of every int in it."""
    name = structure.__name__
    paths = [path for path, _ in leaves(structure)]
    lines = [f"out[{2 * i + 1}] = (char*)&s.{p} - (char*)&s; out[{2 * i + 2}] = s.{p};" for i, p in enumerate(paths)]
    return f"""
extern "C" __global__ void look_at_{name}({name} s, long long* out) {{
    out[0] = sizeof(s);
    {chr(10).join(lines)}
}}"""


def filled(structure, numbers):
    """A structure whose ints are the next of `numbers`."""

    def one(kind):
        return next(numbers) if kind in (int, structures.Address) else filled(kind, numbers)

    return structure(
        *(one(kind) if n == 1 else tuple(one(kind) for _ in range(n)) for _, kind, n in structures.members(structure))
    )


@pytest.fixture(scope="module")
def looking():
    """The kernels that look at all structures."""
    import cupy

    code = "".join(map(structures.text_of, structures.ALL)) + "".join(map(kernel_that_looks, structures.ALL))
    return cupy.RawModule(code=code, options=("-std=c++17",), backend="nvrtc")


@pytest.mark.gpu
@pytest.mark.parametrize("structure", structures.ALL, ids=lambda s: s.__name__)
def test_structures_are_the_same_in_c_and_numpy(structure, looking):
    import cupy

    expected = list(leaves(structure))
    out = cupy.zeros(2 * len(expected) + 1, np.int64)
    value = structures.by_value(filled(structure, iter(range(100, 1000))))
    looking.get_function(f"look_at_{structure.__name__}")((1,), (1,), (value, out))
    size, *found = out.get().tolist()
    assert size == value.nbytes == structures.dtype_of(structure).itemsize
    assert found[::2] == [offset for _, offset in expected]
    assert found[1::2] == list(range(100, 100 + len(expected)))


def test_structures_are_not_mixed_up():
    """Two structures of the same numbers are equal as tuples."""
    matrix, pair = structures.Matrix(3, 4), (3, 4)
    assert matrix == pair
    assert structures.by_value(matrix).dtype == structures.dtype_of(structures.Matrix)
    span, taps = structures.Span(1, 2, 3, 4, 5, 6), structures.Window(*range(12))
    assert structures.by_value(span).dtype.names == structures.Span._fields
    assert structures.by_value(taps)["pad_left"] == 11
    with pytest.raises(ValueError, match="read-only"):
        structures.by_value(span)["rows"] = 3


def test_windows_become_structures():
    from minicnn.geometry import make_window

    window = make_window((7, 6), (3, 2), (2, 1), "same")
    numbers = structures.window_structure(window)._asdict()
    assert numbers == {name: getattr(window, name) for name in structures.Window._fields}
