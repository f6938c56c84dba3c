"""The stand-in offers nothing that CuPy does not: names and parameters, where the real package is installed."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.gpu

CODE = """
import inspect, json, sys
import cupy
found = {}
for path in json.load(sys.stdin):
    thing = cupy
    try:
        for name in path.split("."):
            thing = getattr(thing, name)
    except AttributeError:
        found[path] = "missing"
        continue
    except ImportError:  # a library of CUDA's that is not there
        found[path] = None
        continue
    try:
        found[path] = list(inspect.signature(thing).parameters) if callable(thing) else None
    except (TypeError, ValueError):
        found[path] = None
print(json.dumps(found))
"""


def public(thing, prefix):
    """Dotted names of what a module or class of the stand-in offers, and the objects."""
    for name, value in vars(thing).items():
        if not name.startswith("_") and not inspect.ismodule(value):
            yield f"{prefix}{name}", value


@pytest.fixture(scope="module")
def offered():
    """Dotted name → object, of the stand-in."""
    import cupy

    if cupy.__version__ != "stand-in":
        pytest.skip("the tests run on a GPU")
    only_here = {"device", "compute", "FUNCTIONS", "UFUNCS", "cuda.contextlib", "cuda.default_pool"}
    only_here |= {"cuda.runtime.devices", "cuda.device_module", "cuda.OutOfMemoryError"}
    things = dict(public(cupy, "")) | dict(public(cupy.cuda, "cuda."))
    classes = ("ndarray", *(f"cuda.{c}" for c in ("Stream", "Event", "Device", "MemoryPool", "Graph", "runtime")))
    for name in classes:
        things |= dict(public(things[name], f"{name}."))
    return {name: thing for name, thing in things.items() if name not in only_here}


def test_real_cupy_has_these_names_and_parameters(offered):
    run = subprocess.run([sys.executable, "-c", CODE], input=json.dumps(list(offered)), capture_output=True, text=True)
    if run.returncode:
        pytest.skip(f"CuPy is not installed: {run.stderr.strip().splitlines()[-1]}")
    real = json.loads(run.stdout)
    assert [name for name, parameters in real.items() if parameters == "missing"] == []
    for name, parameters in real.items():
        if parameters is None or not inspect.isfunction(offered[name]):
            continue
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        mine = [p.name for p in inspect.signature(offered[name]).parameters.values() if p.kind not in kinds]
        assert [p for p in mine if p not in parameters] == [], name


def test_no_test_hides_the_gpu_from_the_others():
    """Modules of tests are all imported before the first one runs: what they put into the environment is for all."""
    hides = re.compile(r"""environ(\.setdefault\(|\[)["']CUDA_VISIBLE_DEVICES""")
    assert hides.search('os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")')
    texts = {path.name: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py")}
    assert [name for name, text in texts.items() if hides.search(text) and name != Path(__file__).name] == []
