"""benchmarks/distributed.py: the model of costs says what docs/distributed.md says."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="not a checkout")


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import distributed

    return distributed


def test_small_vectors_go_to_all(bench):
    costs = bench.Costs(alpha=1.0, beta=1e-3, gamma=1e-4)
    assert bench.exchange(costs, 4, 1000) == pytest.approx(1 + 3 * 1000 * 1.1e-3)
    assert bench.bytes_sent(4, 1000) == 3000


def test_of_large_ones_each_worker_adds_a_part(bench):
    costs, size = bench.Costs(alpha=1.0, beta=1e-3, gamma=1e-4, overhead=0.25), 8_000_000
    assert bench.exchange(costs, 4, 400_000) == pytest.approx(2 * 1.5 + 0.75 * 400_000 * 2.1e-3)
    assert bench.exchange(costs, 4, size) == pytest.approx(1.5 + 3 + 0.75 * size * 2.1e-3)
    assert bench.bytes_sent(4, size) == 12_000_000


def test_an_iteration_is_shards_rest_and_messages(bench):
    nothing = bench.Costs(0, 0, 0)
    assert bench.iteration(nothing, 1, 8, 0.5, 0.25, 10**6) == 4.25
    assert bench.iteration(nothing, 3, 8, 0.5, 0.25, 10**6) == 1.75  # three shards on some of them
    assert bench.iteration(bench.Costs(1, 0, 0), 2, 8, 0.5, 0.25, 1000) == 2.25 + 1 + 1


def test_from_the_batch_that_pays_on_half_of_the_time_is_computation(bench):
    costs, sample = bench.Costs(2e-5, 8e-10, 1e-10), 1e-4
    batch = bench.paying_batch(costs, 8, sample, 0.001, 10**7)
    compute = batch / 8 * sample
    time = bench.iteration(costs, 8, 8, compute, 0.001, 10**7)
    assert compute / time == pytest.approx(0.5, abs=0.01)


def test_each_worker_has_its_own_prefix(bench):
    assert bench.joined([["a"], ["b"]], ["run", "x"]) == ["-n", "1", "a", "run", "x", ":", "-n", "1", "b", "run", "x"]
