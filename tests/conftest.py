"""What all tests share: seeds that are printed, data, a clean state, and which tests a machine cannot run."""

import gc
import importlib.util
import os
import random as pythons_random
import secrets
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from left_behind import changes, of_modules, of_process
from quick import is_quick
from registries import as_before, knowing
from threadpoolctl import threadpool_limits

from minicnn import backends, console, dtype_policies, precision, random, settings, threads
from minicnn.backends.numba.machine.launch import Kernel
from minicnn.backends.numba.tiles.path import TILES, VECTORS, path
from minicnn.errors import DataError
from minicnn.layers import names
from minicnn.processors import default_threads
from minicnn.training import engines

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"  # beside the checkout
if DATA.is_dir():
    os.environ.setdefault("MINICNN_DATA", str(DATA))

# A process that tests start imports the package. With its bytecode that takes a quarter less, wherever it may be kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

hypothesis.settings.register_profile("minicnn", deadline=None, max_examples=50, print_blob=True)
hypothesis.settings.load_profile("minicnn")

SETTINGS = (  # all that a test may leave changed
    *(random._state, backends._chosen, threads._chosen, settings._settings, dtype_policies._chosen, precision._chosen),
    *(engines._chosen, console._state),
)
KERAS = {  # the same of the compatibility room, which is not imported for tests that do without → what it is at first
    ("minicnn.keras._warning", "_warned"): set(),  # what is said once a process
    ("minicnn.keras._missing", "_said"): set(),
    ("minicnn.keras._epsilon", "_EPSILON"): [1e-7],
    ("minicnn.keras._data_format", "_current"): ["channels_last"],
}
OWN = pytest.StashKey()  # the classes of a file of tests
BY = {TILES: "by AMX", VECTORS: "by avx512_bf16"}


# --------------------------------------------------------------------------------------------------------- seeds


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, help="of all random numbers, Hypothesis's too (default: drawn and printed)")
    parser.addoption(
        "--gpu",
        choices=("auto", "device", "standin"),
        default="auto",
        help="where tests marked gpu run: on a GPU, or on a stand-in for CuPy that runs the kernels on the processor",
    )


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads its option
def pytest_configure(config):
    if config.option.seed is None:
        config.option.seed = secrets.randbits(32)
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(config.option.seed)
    config.stash[WHERE] = _choose_cupy(config.option.gpu)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Of ``-n auto``: one more than processors, as many tests wait, for processes, files and what they have killed."""
    return default_threads() + 1


def pytest_report_header(config):
    return [
        f"seed: {config.option.seed} (repeat with --seed {config.option.seed})",
        f"tests marked gpu run on: {config.stash[WHERE] or 'nothing, they are skipped'}",
        f"products on tiles run: {BY.get(path(), 'emulated, this processor has neither AMX nor avx512_bf16')}",
    ]


@pytest.fixture(autouse=True, scope="session")
def no_second_compiler():
    """All processors run tests: a process that compiles beside them gains nothing. Its own tests ask for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minicnn.backends.numba.machine.second_compiler._can_help", lambda: False)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_downloads():
    """What Keras keeps on the network is never asked for: a test that forgets to say where it is ends at once."""
    from minicnn.keras.utils import _downloads

    fetch = _downloads._fetch

    def fetch_here(origin, path):
        if not origin.startswith(("file:", "http://127.0.0.1")):
            raise DataError(f"{origin} cannot be downloaded (a test)")
        fetch(origin, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_downloads, "_fetch", fetch_here)
        yield


@pytest.fixture(autouse=True, scope="session")
def _blas_on_one_thread():
    """Products that tests expect are small: a second thread spins for the next one, on a processor that runs tests."""
    with threadpool_limits(1, "blas"):
        yield


@pytest.fixture
def seed(request):
    """A seed for this test: a function of the run's seed and of the test's name."""
    value = zlib.crc32(f"{request.config.option.seed} {request.node.nodeid}".encode())
    print(f"seed of this test: {value} (run with --seed {request.config.option.seed})")
    return value


@pytest.fixture
def rng(seed):
    """A NumPy generator of this test's own."""
    return np.random.default_rng(seed)


# --------------------------------------------------------------------------------------------------------- state


@pytest.fixture(params=["numpy", "numba"])
def backend(request):
    """The name of a backend, which is the current one."""
    before = backends.current().name
    backends.set_backend(request.param)
    yield request.param
    backends.set_backend(before)


@pytest.fixture(autouse=True)
def _same_state(request):
    """Every test starts from the same settings and names, and its own seed; it leaves none changed."""
    process = of_process()
    before = [dict(setting) for setting in SETTINGS]
    seed = zlib.crc32(f"{request.config.option.seed} {request.node.nodeid}".encode())
    for set_seed in (random.set_seed, np.random.seed, pythons_random.seed):
        set_seed(seed)
    names.reset_names()
    for (module, name), first in KERAS.items():
        if module in sys.modules:
            _assign(getattr(sys.modules[module], name), first)
    with as_before():
        yield
    for setting, values in zip(SETTINGS, before, strict=True):
        _assign(setting, values)
    if changed := changes(process, of_process()):
        pytest.fail("this test leaves changed, for those after it:\n" + "\n".join(changed), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """A file of tests knows its own classes alone: of another file's, one may have the same name."""
    if not isinstance(collector, pytest.Module):
        return (yield)
    with as_before(stays=lambda thing: getattr(thing, "__module__", "") != collector.path.stem) as own:
        report = yield
    collector.stash[OWN] = own
    return report


@pytest.fixture(autouse=True, scope="module")
def _same_modules(request):
    """Of what takes longer to compare, a file of tests leaves nothing changed: modules, functions, figures."""
    before = of_modules()
    with knowing(request.node.stash[OWN]):
        yield
    if changed := changes(before, of_modules()):
        pytest.fail("this file of tests leaves changed, for those after it:\n" + "\n".join(changed), pytrace=False)


def _assign(container, values):
    """Give a list, set or dict, which others have too, these values."""
    container.clear()
    getattr(container, "extend" if isinstance(container, list) else "update")(values)


def pytest_collection_finish():
    """The tests themselves stay: garbage is looked for in what they make, not in a million objects of theirs too."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _contiguous_arguments():
    """A kernel reads memory as if its arrays were C-contiguous: in every test, whoever hands it a view is told."""
    entry = Kernel.entry

    def checked(kernel, arguments):
        for number, argument in enumerate(arguments):
            for array in argument if isinstance(argument, tuple) else (argument,):
                if isinstance(array, np.ndarray) and not array.flags.c_contiguous:
                    name = kernel._dispatcher.py_func.__name__
                    raise AssertionError(f"argument {number} of {name} is not C-contiguous: {array.strides}")
        return entry(kernel, arguments)

    Kernel.entry = checked
    yield
    Kernel.entry = entry


# ------------------------------------------------------------------------------------------------------- devices

STAND_IN = Path(__file__).with_name("gpu_standin")
WHERE = pytest.StashKey()


def _choose_cupy(option) -> str:
    """Decide what ``import cupy`` means: the real one on a machine with a GPU, else the stand-in; "" for neither."""
    if option != "standin" and importlib.util.find_spec("cupy"):
        code = "import cupy; print(cupy.cuda.runtime.getDeviceProperties(0)['name'].decode())"
        asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if asked.returncode == 0:
            return asked.stdout.strip()
    if option == "device":
        raise pytest.UsageError("--gpu device: CuPy has no device that can be used here")
    if not shutil.which("g++"):
        return ""
    sys.path.insert(0, str(STAND_IN))
    return "the stand-in for CuPy (g++)"


def pytest_collection_modifyitems(config, items):
    for item in items:
        name, _, case = item.name.partition("[")
        if is_quick(item.path.stem, name, case, item.get_closest_marker("gpu") is not None):
            item.add_marker(pytest.mark.quick)
    if not config.stash[WHERE]:
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no GPU, and no g++ for the stand-in"))
