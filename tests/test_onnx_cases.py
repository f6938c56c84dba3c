"""The command that runs ONNX's own cases of operators, on a few of them: docs/files.md has what all give."""

import importlib
import sys
from pathlib import Path

import numpy as np
import onnx_files  # noqa: F401, skips where the package is not there
import pytest

import minicnn as mc

sys.path.append(str(Path(__file__).parent / "onnx_cases"))

import run

node = pytest.importorskip("onnx.backend.test.case.node")


@pytest.fixture(autouse=True)
def reference():
    before = mc.backends.current().name
    mc.set_backend("numpy")
    yield
    mc.set_backend(before)


def cases_of(*modules):
    """The cases that files of the package `onnx` hold, which enter them into a list."""
    for module in modules:
        importlib.import_module(f"{node.__name__}.{module}")
    return [case for case in node._NodeTestCases if run.operator_of(case).lower() in modules]


def test_few_of_onnxs_own_cases():
    results = run.run(cases_of("conv", "maxpool", "reducemean", "softmax"))
    counts = {outcome: sum(r.outcome == outcome for r in results) for outcome in (run.EQUAL, run.WRONG)}
    assert counts[run.WRONG] == 0, run.tables(results)
    assert counts[run.EQUAL] >= 32


@pytest.mark.parametrize("change", [lambda y: y + 0.01, lambda y: y[:-1], lambda y: np.full_like(y, np.nan)])
def test_other_numbers_are_wrong(change, tmp_path):
    (case,) = [case for case in cases_of("relu") if case.name == "test_relu"]
    assert run.run_case(case, tmp_path).outcome == run.EQUAL
    (inputs, outputs), *_ = case.data_sets
    changed = type(case)(**{**vars(case), "data_sets": [(inputs, [change(y) for y in outputs])]})
    result = run.run_case(changed, tmp_path)
    assert result.outcome == run.WRONG
    assert result.reason.startswith("(all) output 0: ")


def test_an_error_that_is_no_refusal_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setattr(run.mc, "import_onnx", lambda path: 1 / 0)
    (case, *_) = cases_of("relu")
    assert run.run_case(case, tmp_path).reason == "(all) ZeroDivisionError: division by zero"


def test_what_is_received_is_no_kind_of_refusal():
    message = "/tmp/x.onnx: node 'a' (Pad): its border of 3 rows (H, W) is wide. Received: 'x'"
    assert run.kind_of(message) == "its border of … rows … is wide"


def test_the_command_says_whether_something_is_wrong(monkeypatch, capsys):
    cases = cases_of("relu")
    monkeypatch.setattr(run, "all_cases", lambda: cases)
    monkeypatch.setattr(sys, "argv", ["run.py", "Relu"])
    assert run.main() == 0
    assert f"{len(cases)} cases" in capsys.readouterr().out
    monkeypatch.setattr(run, "agrees", lambda *given: False)
    assert run.main() == 1
