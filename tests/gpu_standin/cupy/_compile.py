"""Kernel sources compiled for the processor: what NVRTC does for the real CuPy."""

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HEADER = Path(__file__).parents[1] / "cuda_on_host.h"
BEHIND = HEADER.with_suffix(".cpp")  # what runs what the header declares
KERNEL = re.compile(
    r'extern "C" __global__ void\s+(?:__launch_bounds__\((?P<bounds>[^;{]*?)\)\s+)?'
    r"(?P<name>\w+)\((?P<parameters>[^)]*)\)\s*\{"
)
TYPES = {  # C type → dtype
    "float": "f4",
    "double": "f8",
    "int": "i4",
    "unsigned int": "u4",
    "uint32": "u4",
    "int64": "i8",
    "long long": "i8",
    "uint64": "u8",
    "unsigned long long": "u8",
    "unsigned char": "u1",
    "signed char": "i1",
    "short": "i2",
    "unsigned short": "u2",
}
SANITIZE = os.environ.get("MINICNN_STANDIN_SANITIZE")  # "address,undefined": see docs/gpu.md
FLAGS = [
    *("-std=c++20", "-O1", "-shared", "-fPIC", "-U_FORTIFY_SOURCE", "-w", "-ffp-contract=off"),
    "-fno-gnu-unique",  # else libraries would share the static, that is, shared memory of templates of one name
]
LINKER = ["-fuse-ld=gold"] if shutil.which("ld.gold") else []  # the usual one is slow for libraries this small
FASTER = ["-O2"]  # of what is compiled once and runs for long


class CompileException(Exception):
    """The compiler refused the source."""


class Kernel:
    """One kernel of a compiled source.

    Attributes
    ----------
    parameters : list of (str, bool)
        C type without const, and whether it is a pointer.
    max_threads : int
        A block has at most so many.
    """

    def __init__(self, name, parameters, max_threads, entry):
        self.name, self.parameters, self.max_threads, self.entry = name, parameters, max_threads, entry


@functools.cache
def compile_source(code, options):
    """Name → `Kernel` of a source."""
    defines = [option for option in options if option.startswith("-D")]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernels.cpp")
        source.write_text(code)
        plain = _run(["g++", "-E", "-P", "-x", "c++", *defines, source])
    found = list(KERNEL.finditer(plain))
    real = next((d.split("=")[1] for d in defines if d.startswith("-DREAL=")), None)
    library = ctypes.CDLL(_library(code, defines, [match["name"] for match in found]))
    kernels = {}
    for match in found:
        bounds, *_ = eval(f"{match['bounds'] or 1024},", {"__builtins__": {}})  # arithmetic; threads, maybe blocks
        parameters = [_parameter(text, real) for text in match["parameters"].split(",")]
        entry = getattr(library, f"standin_{match['name']}")
        kernels[match["name"]] = Kernel(match["name"], parameters, int(bounds), entry)
    return kernels


def _parameter(text, real):
    """(type, is pointer) of 'const REAL* x'."""
    words = text.replace("*", " * ").replace("const ", "").replace("__restrict__", "").split()
    kind = " ".join(word for word in words[:-1] if word != "*")
    return real if kind == "REAL" else kind, "*" in words


def _library(code, defines, names):
    """Path of the shared library, made where it does not exist yet."""
    entries = "".join(
        f'extern "C" void standin_{name}(const unsigned* dims, void** values) '
        f"{{ standin::launch({name}, dims, values); }}\n"
        for name in names
    )
    text = f'#include "{HEADER.name}"\n{code}\n{entries}'
    flags = list(FLAGS)
    if SANITIZE:
        flags += [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g"]
    folder = Path(
        os.environ.get("MINICNN_STANDIN_CACHE") or Path(tempfile.gettempdir(), f"minicnn-standin-{os.getuid()}")
    )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{_digest(text, *_host(), *flags, *FASTER, *defines)}.so"
    if not target.exists():
        host = _precompiled_host(folder, flags)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            source, result = Path(work, "kernels.cpp"), Path(work, "kernels.so")
            source.write_text(text)
            made = [source, host / BEHIND.with_suffix(".o").name]
            _run(["g++", *flags, *LINKER, *defines, f"-I{host}", "-o", result, *made])
            result.replace(target)
    return str(target)


def _host():
    """The texts that run kernels."""
    return HEADER.read_text(), BEHIND.read_text()


def _precompiled_host(folder, flags):
    """Path of the folder with `HEADER` as g++ has read it and `BEHIND` as object file, once for all kernels."""
    target = folder / f"host-{_digest(*_host(), *flags, *FASTER)}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = Path(work, "host")
            made.mkdir()
            shutil.copy(HEADER, made)  # other compilers than GCC read it again
            _run(["g++", *flags, "-x", "c++-header", made / HEADER.name, "-o", made / f"{HEADER.name}.gch"])
            _run(["g++", *flags, *FASTER, "-c", BEHIND, "-o", made / BEHIND.with_suffix(".o").name])
            with contextlib.suppress(OSError):  # another process has made it meanwhile
                made.rename(target)
    return target


def _digest(*texts):
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:20]


def _run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise CompileException(done.stderr[-4000:])
    return done.stdout
