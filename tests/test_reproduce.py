"""benchmarks/reproduce.py: what it runs, what it does not run again, and the page that it writes."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FAKE_EXAMPLE = """
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser()
for name in ("--seed", "--epochs", "--limit", "--loss"):
    parser.add_argument(name, type=float)
parser.add_argument("--out", type=pathlib.Path)
parser.add_argument("--data-dir")
parser.add_argument("--backend", choices=["numba"])
options = parser.parse_args()
with open("calls.txt", "a") as file:
    print(*sys.argv[1:], file=file)
if pathlib.Path("broken.txt").exists() and options.seed == 1:
    sys.exit("error: out of order")
score = {"params": 1234, "seconds_per_epoch": 2.0 + options.seed, "history": {"loss": [1.0]},
         "test_loss": options.loss, "test_accuracy": 0.8 + 0.01 * options.seed, "published": {}}
score["published"] = {"test_loss": 0.25, "test_accuracy": 0.9}
result = {"name": "fake", "dataset": pathlib.Path("dataset.txt").read_text(), "networks": {"net": score},
          "first_labels": [6, 9, 9, 4, int(options.seed)]}
(options.out / "result.json").write_text(json.dumps(result))
"""


@pytest.fixture
def reproduce(tmp_path, monkeypatch):
    """The module with two fake experiments: "low" reaches its bound, "high" does not."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import reproduce as module

    def experiment(low, loss, seeds):
        row = module.Row(f"network from {low}", low, network="net")
        return module.Experiment("D1", "MNIST", ("fake.py", "--loss", str(loss)), (row,), seeds)

    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "fake.py").write_text(FAKE_EXAMPLE)
    (tmp_path / "dataset.txt").write_text("MNIST")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "runs" / "reproduce")
    monkeypatch.setattr(module, "DOCS", tmp_path / "docs")
    fakes = {"low": experiment(0.805, 0.5, (0, 1, 2)), "high": experiment(0.95, 0.75, (0,))}
    monkeypatch.setattr(module, "EXPERIMENTS", fakes)
    return module


def call(reproduce, monkeypatch, *arguments):
    """Run the script's main; returns the command lines of the examples that it ran."""
    calls = Path("calls.txt")
    calls.unlink(missing_ok=True)
    monkeypatch.setattr(sys, "argv", ["reproduce.py", *arguments])
    try:
        reproduce.main()
    finally:
        lines = calls.read_text().splitlines() if calls.exists() else []
    return lines


def row(title):
    """The cells of a line of the page."""
    (line,) = (line for line in Path("docs/results.md").read_text().splitlines() if line.startswith(f"| {title}"))
    return [cell.strip() for cell in line.split("|")[1:-1]]


@pytest.mark.parametrize(("seed", "is_shuffled"), [(0, True), (1, False)])
def test_the_page_says_when_the_images_come_in_another_order(seed, is_shuffled, reproduce, monkeypatch):
    fakes = {name: replace(fake, dataset="CIFAR-10") for name, fake in reproduce.EXPERIMENTS.items()}
    monkeypatch.setattr(reproduce, "EXPERIMENTS", fakes)
    Path("dataset.txt").write_text("CIFAR-10")
    call(reproduce, monkeypatch, "low", "--seeds", str(seed))
    assert ("shuffled order" in Path("docs/results.md").read_text()) == is_shuffled


def test_rows_come_from_the_results(reproduce, monkeypatch):
    calls = call(reproduce, monkeypatch)
    assert [c.split("--out")[0].split() for c in calls] == [
        ["--loss", "0.5", "--seed", "0", "--backend", "numba"],
        ["--loss", "0.5", "--seed", "1", "--backend", "numba"],
        ["--loss", "0.5", "--seed", "2", "--backend", "numba"],
        ["--loss", "0.75", "--seed", "0", "--backend", "numba"],
    ]
    each = ["0.5000 / 0.8000", "0.5000 / 0.8100", "0.5000 / 0.8200"]
    expected = ["network from 0.805", "test", "1,234", "0.2500 / 0.9000", *each, "0.5000 / 0.8100", "≥ 0.805"]
    assert row("network from 0.805") == [*expected, "reached", "3.0"]
    expected = ["network from 0.95", "test", "1,234", "0.2500 / 0.9000", "0.7500 / 0.8000", "–", "–"]
    assert row("network from 0.95") == [*expected, "0.7500 / 0.8000", "≥ 0.95", "**missed**", "2.0"]
    page = Path("docs/results.md").read_text()
    assert "1 of 2 bounds are reached. **Missed**: network from 0.95 (test)." in page
    assert "- `python examples/fake.py --loss 0.5 --seed 0`: " in page
    assert "trial" not in page
    record = json.loads(Path("docs/results.json").read_text())
    assert list(record) == ["low", "high"]
    assert list(record["low"]) == ["0", "1", "2"]
    assert "history" not in record["low"]["0"]["networks"]["net"]


def test_what_has_finished_is_not_run_again(reproduce, monkeypatch):
    call(reproduce, monkeypatch)
    page = Path("docs/results.md").read_text()
    assert call(reproduce, monkeypatch) == []
    assert Path("docs/results.md").read_text() == page
    (reproduce.RESULTS / "low" / "seed_1" / reproduce.DONE).unlink()
    assert [c.split()[3] for c in call(reproduce, monkeypatch)] == ["1"]
    assert len(call(reproduce, monkeypatch, "low", "--again")) == 3
    assert len(call(reproduce, monkeypatch, "low", "--again", "--seeds", "2")) == 1
    assert call(reproduce, monkeypatch, "--again", "--page-only") == []


def test_a_failure_stops_neither_the_others_nor_a_later_run(reproduce, monkeypatch, capfd):
    Path("broken.txt").touch()
    with pytest.raises(SystemExit, match="low, seed 1: see above"):
        call(reproduce, monkeypatch)
    assert "status 1" in capfd.readouterr().err
    assert row("network from 0.805")[4:] == [
        "0.5000 / 0.8000", "–", "0.5000 / 0.8200", "0.5000 / 0.8100", "≥ 0.805", "**incomplete**", "3.0",
    ]  # fmt: skip
    assert row("network from 0.95")[9] == "**missed**"
    Path("broken.txt").unlink()
    assert [c.split()[3] for c in call(reproduce, monkeypatch)] == ["1"]
    assert row("network from 0.805")[9] == "reached"
    Path("broken.txt").touch()
    with pytest.raises(SystemExit):
        call(reproduce, monkeypatch, "low", "--again", "--seeds", "1")
    Path("broken.txt").unlink()
    assert len(call(reproduce, monkeypatch)) == 1  # what it left of the run before does not count


def test_the_record_keeps_the_rows_of_other_machines(reproduce, monkeypatch):
    call(reproduce, monkeypatch, "low")
    assert row("network from 0.95")[9] == "**not run**"
    call(reproduce, monkeypatch, "high", "--results", "elsewhere")
    assert row("network from 0.805")[9] == "reached"
    assert row("network from 0.95")[9] == "**missed**"


def test_data_that_stands_in_gives_no_row(reproduce, monkeypatch, capfd):
    Path("dataset.txt").write_text("digits")
    with pytest.raises(SystemExit, match="high, seed 0"):
        call(reproduce, monkeypatch, "high")
    assert "high needs MNIST. Received: digits" in capfd.readouterr().err
    assert row("network from 0.95")[9] == "**not run**"


def test_a_trial_is_no_result(reproduce, monkeypatch, capsys):
    calls = call(reproduce, monkeypatch, "--trial", "--results", str(reproduce.RESULTS))
    assert all("--epochs 1 --limit 256" in c for c in calls)
    assert not Path("docs").exists()
    assert "These numbers mean nothing" in Path("runs/trial/results.md").read_text()
    assert len(call(reproduce, monkeypatch)) == 4  # the full runs are still to be done
    with pytest.raises(SystemExit):
        call(reproduce, monkeypatch, "--trial", "--docs", "docs")
    assert "do not belong" in capsys.readouterr().err


def test_unknown_names_are_refused(reproduce, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(reproduce, monkeypatch, "lwo")
    assert "lwo: no such experiment; there are low, high" in capsys.readouterr().err


def test_bounds_are_those_of_the_mean(reproduce):
    def runs(*accuracies):
        return {str(seed): {"test_accuracy": value} for seed, value in enumerate(accuracies)}

    experiment = reproduce.Experiment("D1", "MNIST", ("fake.py",), ())
    between = reproduce.Row("", 0.86, 0.89)
    assert reproduce.verdict(between, runs(0.85, 0.87, 0.88), experiment) == "reached"
    assert reproduce.verdict(between, runs(0.85, 0.86, 0.86), experiment) == "missed"
    assert reproduce.verdict(between, runs(0.90, 0.90, 0.90), experiment) == "missed"
    assert reproduce.verdict(between, runs(0.87, 0.87), experiment) == "incomplete"
    assert reproduce.verdict(between, {}, experiment) == "not run"
    texts = [reproduce.bound(reproduce.Row("", *limits)) for limits in ((0.98,), (0.86, 0.89), (0.0, 0.2), ())]
    assert texts == ["≥ 0.98", "0.86 – 0.89", "≤ 0.2", "–"]


MUST_REACH = {  # (experiment, set, network): mean accuracy from … to …, as the task sets them
    ("mnist_cnn", "test", ""): (0.989, 1),
    ("fashion_mnist_cnn", "test", ""): (0.905, 1),
    ("pooling_vs_stride", "test", "net_1"): (0.86, 0.89),
    ("pooling_vs_stride", "test", "net_2"): (0.86, 0.89),
    ("optimizer_adam", "test", "Adam"): (0.65, 1),
    ("optimizer_adagrad", "test", "Adagrad"): (0.47, 0.52),
    ("optimizer_adadelta", "test", "Adadelta"): (0.33, 0.38),
    ("digit_recognition", "test", ""): (0.980, 1),
    ("digit_recognition_scaled", "test", ""): (0.988, 1),
    ("mlp_mnist", "test", ""): (0.973, 1),
    ("mlp_cifar10", "test", ""): (0.47, 1),
    ("mlp_cifar10_gray", "test", ""): (0.40, 1),
    ("translation_test", "moved", "MLP"): (0, 0.20),
    ("translation_test", "moved", "LeNet-5"): (0, 0.20),
    ("lenet5_mnist", "train", ""): (0.996, 1),
    ("lenet5_mnist", "test", ""): (0.987, 1),
    ("lenet5_augmented", "test", ""): (0.988, 1),
    ("lenet5_augmented", "moved", ""): (0.85, 1),
    ("lenet5_augmented_0.15", "test", ""): (0.988, 1),
    ("lenet5_augmented_0.15", "moved", ""): (0.978, 1),
    ("lenet5_cifar10", "test", ""): (0.60, 1),
}


def test_no_bound_is_lowered(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import reproduce

    bounds = {
        (name, row.set, row.network): (row.low, row.high)
        for name, experiment in reproduce.EXPERIMENTS.items()
        for row in experiment.rows
        if (row.low, row.high) != (0, 1)
    }
    assert bounds == MUST_REACH
    seeds = {name: experiment.seeds for name, experiment in reproduce.EXPERIMENTS.items()}
    of_one = {"optimizer_adagrad", "optimizer_adadelta"}
    assert seeds == {name: (0,) if name in of_one else (0, 1, 2) for name in seeds}


def test_the_committed_page_is_what_its_record_gives(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import reproduce

    record = reproduce.read_record(ROOT / "docs")
    assert (ROOT / "docs" / "results.md").read_text() == reproduce.page(record)
    assert not any(run["trial"] for runs in record.values() for run in runs.values())


def test_every_experiment_is_a_documented_command(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import reproduce

    commands = [" ".join(e.command) for e in reproduce.EXPERIMENTS.values()]
    assert len(set(commands)) == len(commands)
    for experiment in reproduce.EXPERIMENTS.values():
        assert (ROOT / "examples" / experiment.command[0]).is_file()
        assert experiment.document in reproduce.DOCUMENTS
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "reproduce.py", "--help"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0
    assert "optimizer_adadelta" in done.stdout
