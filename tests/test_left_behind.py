"""What a test leaves changed is told, with its name: see conftest.py."""

import gc
import random
import sys
import types
import zlib

import numpy as np
import pytest
from left_behind import changes, of_modules, of_process
from registries import as_before, knowing, tables

import minicnn as mc
from minicnn import keras
from minicnn.own_parts import REGISTERED


@keras.saving.register_keras_serializable("left_behind")
class OfThisFile(mc.layers.Dense):
    """Known to the tests below."""


def test_what_was_not_changed_is_not_told():
    process, modules = of_process(), of_modules()
    assert changes(process, of_process()) == changes(modules, of_modules()) == []


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda patch, path: patch.setenv("MINICNN_LEFT", "1"), "os.environ was {b'MINICNN_LEFT': None}, is {b'M"),
        (lambda patch, path: patch.delenv("PATH"), "os.environ was {b'PATH': b"),
        (lambda patch, path: patch.chdir(path), "the working directory was '"),
        (lambda patch, path: patch.syspath_prepend("left"), "sys.path was [], is ['left']"),
        (lambda patch, path: patch.setattr(sys, "argv", ["left"]), "sys.argv was ["),
        (lambda patch, path: patch.setattr(sys, "excepthook", print), "hooks was ["),
    ],
)
def test_a_change_of_the_process_is_told(monkeypatch, tmp_path, change, said):
    before = of_process()
    change(monkeypatch, tmp_path)
    assert [line[: len(said)] for line in changes(before, of_process())] == [said]


def test_variables_that_libraries_set_when_they_are_imported_are_no_tests(monkeypatch):
    before = of_process()
    monkeypatch.setenv("CRC32C_SW_MODE", "auto")
    assert not changes(before, of_process())


def test_what_libraries_and_pytest_choose_themselves_is_no_tests(monkeypatch):
    """A folder for matplotlib's settings where that of HOME cannot be written; hooks of pytest before 8.4."""
    hook = type("Hook", (), {"__module__": "_pytest.unraisableexception"})
    monkeypatch.setattr(sys, "unraisablehook", hook())
    before = of_process()
    monkeypatch.setattr(sys, "unraisablehook", hook())
    monkeypatch.setenv("MPLCONFIGDIR", "left")
    assert before["tempfile.tempdir"] and not changes(before, of_process())


def test_a_change_of_numpy_or_of_the_collector_is_told():
    before = of_process()
    gc.disable()
    try:
        with np.errstate(over="raise"), np.printoptions(precision=3):
            told = "\n".join(changes(before, of_process()))
    finally:
        gc.enable()
    assert "NumPy's error states was {'over': 'warn'}, is {'over': 'raise'}" in told
    assert "NumPy's print options was {'precision': 8}, is {'precision': 3}" in told
    assert "garbage collection was (True, " in told


def test_a_module_function_or_method_in_anothers_place_is_told(monkeypatch):
    before = of_modules()
    monkeypatch.setitem(sys.modules, "json", types.ModuleType("json"))
    monkeypatch.setattr("minicnn.checks.check_choice", print)
    monkeypatch.setattr(mc.layers.Dense, "build", print)
    told = sorted(line.partition(" was ")[0] for line in changes(before, of_modules()))
    assert told == ["build of minicnn.layers.dense.Dense", "check_choice of minicnn.checks", "json of sys.modules"]


def test_figures_and_their_settings_are_told(monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    figure = plt.figure()  # which chooses a backend, unless there is one
    plt.close(figure)
    before = of_modules()
    monkeypatch.setitem(plt.rcParams, "backend", "svg")
    with plt.rc_context({"font.size": 3}):
        figure = plt.figure()
        told = changes(before, of_modules())
    plt.close(figure)
    assert [line.partition(" was ")[0] for line in told] == [
        "open figures",
        "matplotlib.rcParams",
        "matplotlib's backend",
    ]
    assert "is {'font.size': 3.0}" in told[1]


def test_every_test_has_random_numbers_of_its_own(request):
    """Also those that scripts draw from NumPy's and Python's generators hang on the seed and the test's name alone."""
    seed = zlib.crc32(f"{request.config.option.seed} {request.node.nodeid}".encode())
    assert np.random.random() == np.random.RandomState(seed).random_sample()
    assert random.random() == random.Random(seed).random()


def test_a_file_of_tests_knows_its_own_classes_alone():
    """Two files registered a class of one name, and what a model's file meant by it hung on which came last."""
    assert REGISTERED["left_behind>OfThisFile"] is OfThisFile
    homes = {str(getattr(thing, "__module__", "")) for table in tables() for thing in table.values()}
    assert {home for home in homes if home.startswith("test_")} == {__name__}


def test_what_is_forgotten_is_known_again_for_a_while():
    with as_before() as forgotten:
        own = keras.saving.register_keras_serializable("left_behind")(type("Left", (OfThisFile,), {}))
    assert "left_behind>Left" not in REGISTERED
    with knowing(forgotten):
        assert REGISTERED["left_behind>Left"] is own
    assert "left_behind>Left" not in REGISTERED
