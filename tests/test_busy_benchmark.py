"""benchmarks/busy.py: shares and ratios are taken within rounds; what makes the figures worthless is said."""

from argparse import Namespace
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="not a checkout")


@pytest.fixture
def busy(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import busy

    return busy


def one_round(busy, ours, theirs, foreign_cores=0.0):
    situations = busy.ALONE, busy.BESIDE
    rates = {"minicnn": dict(zip(situations, ours, strict=True)), "torch": dict(zip(situations, theirs, strict=True))}
    return {"rates": rates, "foreign_cores": foreign_cores}


def test_shares_and_ratios_are_medians_within_rounds(busy):
    # The machine is ten times slower in the second round: 90 of 100 and 6 of 10 and 800 of 1000 are 0.9, 0.6, 0.8.
    rounds = [one_round(busy, ours, theirs) for ours, theirs in (
        ((100, 90), (50, 30)),
        ((10, 6), (4, 1)),
        ((1000, 800), (500, 200)),
    )]  # fmt: skip
    # Medians: of 90, 6, 800; of 0.9, 0.6, 0.8; of 30, 1, 200; of 0.6, 0.25, 0.4; of 90 / 30, 6 / 1, 800 / 200.
    assert busy.row(rounds, busy.BESIDE, ["minicnn", "torch"]) == [busy.BESIDE, "90", "0.80", "30", "0.40", "4.0"]


def test_figures_from_a_machine_where_others_compute_are_not_called_good(busy):
    options = Namespace(seconds=5.0, threads=2)
    for foreign_cores, said in ((0.1, False), (0.5, True)):
        rounds = [one_round(busy, (100, 90), (50, 30), cores) for cores in (0.0, foreign_cores)]
        report = busy.report(rounds, [busy.ALONE, busy.BESIDE], "Permission denied", options)
        assert ("not to be trusted" in report) == said
        assert "No quota: this system does not permit one (Permission denied)." in report


def test_a_step_that_takes_long_counts(busy):
    class Worker:
        def ask(self, do, **arguments):
            return {"seconds": [0.001] * 9 + [0.091]}  # 10 steps of 128 images in 0.1 s

    assert busy.train(Worker(), 1e-3) == pytest.approx(12800)
