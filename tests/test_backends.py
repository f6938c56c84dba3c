"""How a backend finds its kernels: what its package defines under a name of the reference."""

import gc
import inspect
import sys
import weakref
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from writable import copied

import minicnn as mc
from minicnn import backends, layers
from minicnn.backends import freed
from minicnn.backends.base import Backend, kernels_of
from minicnn.backends.reference import ops as reference

FOLDER = Path(backends.__file__).parent
NEW = """from minicnn.backends.reference.dense import dense

def gather(source, indices, out):
    out[...] = 7

def helper():
    pass

def not_an_op(x, y):
    y[...] = x

max_pool2d = "no function"
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes a package of the given folder's copy and of the given files; it is gone after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def make(name, source=None, **files):
        folder = tmp_path / name
        copied(source, folder) if source else folder.mkdir()
        (folder / "__init__.py").touch()
        for file, text in files.items():
            (folder / f"{file}.py").write_text(text)
        names.append(name)
        return import_module(name)

    yield make
    for module in [m for m in sys.modules if m.partition(".")[0] in names]:
        del sys.modules[module]


def test_a_new_file_is_found_without_a_list(package):
    made = package("made_backend", anything=NEW)
    backend = Backend("made", made)
    out = np.zeros(3)
    backend.ops.gather(np.arange(5.0), np.arange(3), out)
    np.testing.assert_array_equal(out, 7)
    assert backend.ops.conv2d is reference.conv2d  # what the package lacks
    assert reference.gather.__module__ == "minicnn.backends.reference.gather"  # and nothing else has changed


def test_only_names_of_the_reference_are_taken_where_they_are_written(package):
    made = package("made_backend", anything=NEW)
    assert set(kernels_of(made)) == {"gather"}  # not `dense`, which is imported, nor `helper` and `not_an_op`
    assert vars(Backend("made", made).ops).keys() == vars(reference).keys()


@pytest.mark.parametrize("name", [pytest.param("cupy", marks=pytest.mark.gpu)])
def test_a_new_file_in_a_copy_of_a_backend(name, package):
    copy = package("copied_backend", FOLDER / name, gather=NEW)
    found = kernels_of(copy)
    assert set(found) == set(kernels_of(import_module(f"minicnn.backends.{name}")))
    assert {f.__module__.partition(".")[0] for f in found.values()} == {"copied_backend"}
    (Path(copy.__file__).parent / "gather.py").rename(Path(copy.__file__).parent / "of_another_name.py")
    del sys.modules["copied_backend.gather"]
    assert kernels_of(copy)["gather"].__module__ == "copied_backend.of_another_name"


def test_the_files_of_the_reference_are_the_list():
    found = {}
    for path in (FOLDER / "reference").glob("[a-z]*.py"):
        module = import_module(f"minicnn.backends.reference.{path.stem}")
        found |= {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    assert found == vars(reference)


@pytest.mark.parametrize("name", vars(reference))
def test_an_op_has_few_parameters_and_returns_nothing(name):
    signature = inspect.signature(getattr(reference, name))
    assert len(signature.parameters) <= 10
    assert signature.return_annotation is None
    assert all(p.annotation is not p.empty for p in signature.parameters.values())


# ------------------------------------------------------------------------------------------------------------ memory


@pytest.fixture
def by_bytes_alone(monkeypatch):
    """Python's collector is not called for the number of objects, and large arrays are counted anew."""
    monkeypatch.setattr(freed, "LEAST", 24 << 20)
    monkeypatch.setattr(freed, "_sizes", {})
    monkeypatch.setattr(freed, "_left", {"bytes": 0})
    thresholds = gc.get_threshold()
    gc.set_threshold(1_000_000)
    yield
    gc.set_threshold(*thresholds)


def trained():
    """A model that takes 8 MB and more: weights of 4 MB, and their gradients."""
    model = mc.Sequential([mc.Input((1024,)), layers.Dense(1024)])
    model.compile("sgd", "mse")
    model.train_on_batch(np.zeros((2, 1024)), np.zeros((2, 1024)))
    return model


def test_models_that_nobody_has_do_not_pile_up(by_bytes_alone):
    made = [weakref.ref(trained()) for _ in range(12)]
    assert sum(model() is not None for model in made) <= 6


def test_models_that_somebody_has_are_looked_at_ever_more_rarely(by_bytes_alone, monkeypatch):
    calls = []
    monkeypatch.setattr(freed.gc, "collect", lambda: calls.append(len(freed._sizes)))
    kept = [trained() for _ in range(12)]
    assert len(kept) == 12
    assert 0 < len(calls) <= 4  # each time that they have doubled


def test_a_program_that_has_turned_the_collector_off_is_obeyed(by_bytes_alone):
    gc.disable()
    try:
        made = [weakref.ref(trained()) for _ in range(6)]
        assert all(model() is not None for model in made)
    finally:
        gc.enable()
