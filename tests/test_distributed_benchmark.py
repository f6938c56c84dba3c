"""benchmarks/distributed.py: the model of costs says what docs/distributed.md says."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import minicnn as mc

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


def test_pieces_go_round_mpi_s_ring_from_a_piece_s_length_on(bench):
    """Of a vector, a fourth travels at once: 512 KiB of it for each worker are 128 KiB of each piece."""
    costs, edge = bench.Costs(alpha=1.0, beta=0.0, gamma=0.0), 4 * (512 << 10)
    assert bench.exchange(costs, 4, edge) == 1 + 1
    assert bench.exchange(costs, 4, edge + 4) == 1 + 3


def test_of_many_messages_32_are_under_way_at_once(bench):
    costs = bench.Costs(alpha=1.0, beta=0.0, gamma=0.0, overhead=0.25)
    found = [costs.round(workers) - (workers - 2) * 0.25 for workers in (2, 32, 33, 64, 512)]
    assert found == [1, 1, 2, 2, 16]
    assert costs.round(1) == 0


def test_alpha_is_a_round_of_messages_and_bytes_are_those_of_iterations(bench, monkeypatch):
    """What measuring itself asks the others for is not counted."""
    import distributed_worker

    sent = SimpleNamespace(size=4, rank=0, sent=0, among=None)

    def ask(value, *kind):
        sent.sent += 1000
        return [value]

    sent.agreed = sent.gather = ask
    monkeypatch.setattr(distributed_worker, "world", lambda: sent)
    monkeypatch.setattr(distributed_worker, "REPEATS", 2)

    train_on_batch = mc.Sequential.train_on_batch

    def trained(model, x, y):
        sent.sent += 7
        train_on_batch(model, x, y)

    mc.set_backend("numpy")
    monkeypatch.setattr(mc.Sequential, "train_on_batch", trained)
    monkeypatch.setattr(distributed_worker, "Clock", lambda engine: SimpleNamespace(fastest=1.0))
    monkeypatch.setitem(distributed_worker.NETWORKS, "small", small)
    assert distributed_worker.train("small", 8, 2)["sent"] == 7
    monkeypatch.setattr(distributed_worker, "fastest", lambda call, repeats=2: 3.0)
    assert distributed_worker.wire()["alpha"] == 3.0


def small():
    """A network."""
    return mc.Sequential([mc.Input((3,)), mc.layers.Dense(10, activation="softmax")])


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
