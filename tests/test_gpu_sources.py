"""The kernel sources compile for the GPUs there are, with the compiler's package alone: no GPU, no CUDA toolkit."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "minicnn" / "backends" / "cupy"
ARCHITECTURES = (75, 80, 86, 89, 90, 100)
TILES = {"float32": ("128x64", "64x32", "128x16"), "float64": ("64x32", "128x16")}
OTHERS = ("augmentation", "convolution", "pooling", "sums", "training")


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
    """Machine code, or the compiler's log as an error."""
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
    return code


def sources():
    """(file, dtype, tile) of everything that is ever compiled."""
    for dtype, tiles in TILES.items():
        yield from ((file, dtype, None) for file in OTHERS)
        yield from (("convolution", dtype, tile) for tile in tiles)


def text_of(file):
    return "\n".join((FOLDER / f"{name}.cu").read_text() for name in ("common", file))


def options_for(dtype, tile, architecture):
    """As minicnn.backends.cupy.launch has them; a test compares."""
    real = {"float32": "float", "float64": "double"}[dtype]
    own = ["-std=c++17", f"-DREAL={real}", *([f"-DTILE_{tile}"] if tile else [])]
    return [*own, "-ftz=true", f"-arch=sm_{architecture}"]  # CuPy adds these two


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(architecture, nvrtc):
    _, known = nvrtc.nvrtcGetSupportedArchs()
    if architecture not in known:
        pytest.skip(f"this NVRTC does not know sm_{architecture}")

    def compiled(source):
        file, dtype, tile = source
        return compile_source(nvrtc, file, text_of(file), options_for(dtype, tile, architecture))

    with ThreadPoolExecutor(2) as pool:
        for code in pool.map(compiled, sources()):
            assert code[:4] == b"\x7fELF"


def test_a_mistake_is_reported(nvrtc):
    text = text_of("pooling").replace("const REAL pixel", "const REAL pixl")
    with pytest.raises(AssertionError, match="pixel"):
        compile_source(nvrtc, "pooling", text, options_for("float32", None, 90))


@pytest.mark.gpu
def test_these_are_the_sources_that_are_launched():
    from minicnn import backends

    backends.get("cupy")
    from minicnn.backends.cupy import launch, products

    assert TILES == products.TILES
    for file, dtype, tile in sources():
        assert launch.source(file) == text_of(file)
        assert list(launch.options(dtype, tile)) == options_for(dtype, tile, 90)[:-2]
    assert {path.stem for path in FOLDER.glob("*.cu")} == {"common", *OTHERS}
