"""benchmarks/algorithms.py: it forces what it says, and knows every decision of `choice.py`."""

from pathlib import Path

import pytest

pytest.importorskip("numba")

from minicnn.backends.numba.machine.target import lanes

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="not a checkout")


@pytest.fixture
def algorithms(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import algorithms

    return algorithms


def test_every_layer_and_job_has_a_chosen_candidate_and_times(algorithms):
    names = set()
    for title, layer in algorithms.LAYERS.items():
        for job, run in algorithms.calls(layer, 2).items():
            candidates = layer.candidates(job)
            chosen = algorithms.chosen(run, candidates)
            assert chosen in candidates, (title, job)
            names |= set(candidates)
    if lanes(4) < 12:  # two pixels of six filters do not fit into a vector
        names.add("pairs")
    assert names == {"direct", "pairs", "Winograd", "columns", "sparse", "spread", "few filters", "panels"}


def test_winograd_is_not_forced_where_it_has_no_tiles(algorithms):
    """Of 5 x 5 taps it serves outputs and the inputs' gradient; forced for the kernel's, it read what was not there."""
    layer = algorithms.LAYERS["classic LeNet-5, second"]
    assert ["Winograd" in layer.candidates(job) for job in ("y", "dx", "dkernel")] == [True, True, False]


def test_every_decision_can_be_forced(algorithms):
    from minicnn.backends.numba.convolution import choice

    decisions = {name for name in vars(choice) if name.endswith("_best")}
    assert set(algorithms.DECISIONS) == decisions


@pytest.mark.parametrize(("decision", "job"), [("pooled_winograd_is_best", "y"), ("winograd_gradient_is_best", "dx")])
def test_what_is_forced_is_computed(algorithms, monkeypatch, decision, job):
    from minicnn.backends.numba.convolution import winograd

    function, called = {"y": "conv2d_pool", "dx": "pool_input_gradient"}[job], []
    original = getattr(winograd, function)
    monkeypatch.setattr(winograd, function, lambda *arguments: called.append(function) or original(*arguments))
    run = algorithms.calls(algorithms.LAYERS["D0, D1, second"], 2)[job]
    for forced in (False, True):
        called.clear()
        with algorithms.deciding(lambda name, own, forced=forced: lambda *a: forced and name == decision):
            run()
        assert bool(called) == forced


def test_the_report_names_what_is_faster(algorithms):
    times = {"direct": [2.0, 4.0, 8.0], "Winograd": [1.0, 2.0, 4.0]}
    result = {"layer": "L", "job": "y", "chosen": "direct", "microseconds": times}
    row = algorithms.report([result], 7).splitlines()[2]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["L", "y", "direct 4", "Winograd 2", "2.00"]
