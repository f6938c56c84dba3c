"""The kernel sources compile for the GPUs there are, with the compiler's package alone: no GPU, no CUDA toolkit."""

import re
import struct

import numpy as np
import pytest
from gpu_compiled import (
    ARCHITECTURES,
    BLOCKS,
    FILES,
    FOLDER,
    MORE_SIZES,
    MOST_SPILT,
    SIZES,
    TENSOR_CORES,
    compile_all,
    compile_source,
    compiler,
    everything,
    kernels,
    key_of,
    name_of,
    options_for,
    read_record,
)

from minicnn.backends.cupy import structures
from minicnn.backends.cupy.sources import options, source


@pytest.fixture(scope="module")
def nvrtc():
    """NVIDIA's run-time compiler."""
    module = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")
    try:
        module.nvrtcVersion()
    except Exception as error:
        pytest.skip(f"NVRTC cannot be loaded: {error}")
    return module


def what_is_known(nvrtc, architecture):
    """(what, `Compiled`) of all kernels for an architecture: as the record says it, or compiled here."""
    (_, record), every = read_record(), [*everything(architecture)]
    yield from ((what, record[key]) for what in every if (key := key_of(what)) in record)
    yield from compile_all(nvrtc, [what for what in every if key_of(what) not in record])


def test_kernels_for_an_architecture_of_their_own(nvrtc):
    """They compile, without spilling, and products stay under way: the compiler says so where it waits for each."""
    if 90 not in nvrtc.nvrtcGetSupportedArchs()[1]:
        pytest.skip("this NVRTC does not know sm_90a")
    for what, compiled in what_is_known(nvrtc, "90a"):
        print(f"{name_of(what)}: registers {compiled.registers}")
        assert set(compiled.spilt) == {0}, name_of(what)
        assert not compiled.serialized, name_of(what)


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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(architecture, nvrtc):
    _, known = nvrtc.nvrtcGetSupportedArchs()
    if architecture not in known:
        pytest.skip(f"this NVRTC does not know sm_{architecture}")
    for what, compiled in what_is_known(nvrtc, architecture):
        print(f"{name_of(what)}: registers {compiled.registers}, bytes spilt {compiled.spilt}")
        assert compiled.registers, name_of(what)
        if "float32" in what and architecture >= 80:
            assert max(compiled.spilt, default=0) <= MOST_SPILT, name_of(what)


def test_the_record_is_what_the_compiler_says(nvrtc, rng):
    """Some of its lines, other ones in every run."""
    _, record = read_record()
    recorded = [what for key, what in kernels().items() if key in record]
    some = [recorded[index] for index in rng.choice(len(recorded), min(8, len(recorded)), replace=False)]
    for what, compiled in compile_all(nvrtc, some):
        assert compiled == record[key_of(what)], name_of(what)


def test_the_record_is_complete():
    """Of the compiler that wrote it; what another one makes of the kernels is compiled above, all of it."""
    version, record = read_record()
    if version != compiler():
        pytest.skip(f"the record is of NVRTC {version}, here is {compiler()}")
    every = kernels()
    changed = sorted(name_of(every[key]) for key in every.keys() - record.keys())
    assert not changed, "kernels have changed: run python tests/gpu_compiled.py"
    assert not record.keys() - every.keys(), "kernels are gone: run python tests/gpu_compiled.py"


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
