"""benchmarks/records.py: a line of JSON a seed, nothing measured twice, tables that say what was not measured."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
KEYS = ["record", "library", "seed", "seconds", "train_seconds", "epochs", "accuracy", "machine"]

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="not a checkout")


@pytest.fixture
def records(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import records

    return records


@pytest.fixture
def options(records, tmp_path):
    return SimpleNamespace(
        records=["mnist99"], seeds=2, library="minicnn", cold=False, ablation=False, results=tmp_path / "runs.jsonl",
        write=None,
    )  # fmt: skip


def run_main(records, options, monkeypatch):
    """`main` with runs that are made up: seed n is right for 0.99 + 0.001 · n; returns the commands."""
    commands = []

    def answer(command):
        assert command[2] == "minicnn"
        commands.append(command[3:])
        return {"accuracy": 0.99 + 0.001 * int(command[4]), "train_seconds": 1.5, "epochs": 1}, 2.0 + int(command[4])

    monkeypatch.setattr(records, "answer", answer)
    monkeypatch.setattr(records, "parse", lambda: options)
    monkeypatch.setattr(records, "interpreter", lambda library, options: "python")
    records.warm.clear()
    records.main()
    return commands


def test_a_line_a_seed_and_nothing_twice(records, options, monkeypatch, capsys):
    commands = run_main(records, options, monkeypatch)
    assert commands == [["mnist99", "0"], ["mnist99", "0"], ["mnist99", "1"]]  # the first one fills the cache
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [list(line) for line in lines] == [KEYS, KEYS]
    assert [(line["seed"], line["seconds"], line["accuracy"]) for line in lines] == [(0, 2.0, 0.99), (1, 3.0, 0.991)]
    assert "2.50 s, 99.050% (reached), 2 seeds" in err
    options.seeds = 3
    assert run_main(records, options, monkeypatch) == [["mnist99", "2"], ["mnist99", "2"]]
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_tables(records, options, monkeypatch, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {n}: begin -->\n<!-- {n}: end -->\n" for n in ("records", "ablations")))
    run_main(records, options, monkeypatch)
    options.ablation, options.write = True, page
    commands = run_main(records, options, monkeypatch)
    assert commands[1:] == [["mnist99", "0", "narrower images"], ["mnist99", "1", "narrower images"]]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines() if "|" in line]
    assert ["99.0 % MNIST", "minicnn", "2.50", "1.50", "1", "**99.05 %**", "2", "1.00"] in [row[:8] for row in rows]
    assert ["99.0 % MNIST", "PyTorch", "not measured"] in [row[:3] for row in rows]
    assert ["99.0 % MNIST", "narrower images", "99.05 %", "+0.00 points", "2"] in rows
    assert sum(row[2] == "not measured" for row in rows) > 10


def test_accuracies_below_the_threshold_are_not_bold(records):
    runs = [{"seconds": 1.0, "train_seconds": 1.0, "accuracy": 0.9899, "epochs": 1, "machine": "m"}]
    assert records.figures("mnist99", runs, [])[3] == "98.99 %"


@pytest.mark.parametrize("name", ["mnist99", "mnist995", "fashion94", "cifar94"])
def test_recipes_build(records, name):
    from recipes import RECIPES, cut, tricks_of, without
    from records_minicnn import network, optimizer

    recipe = RECIPES[name]
    shape = {"cifar10": (24, 32, 32, 3)}.get(recipe.dataset, (24, 28, 28, 1))
    x = np.ascontiguousarray(cut(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), recipe.margin))
    for variant in (recipe, *(without(recipe, trick) for trick in tricks_of(recipe))):
        if variant.margin == recipe.margin:
            model = network(variant, x)
            assert model.output_shape == (None, 10)
            assert optimizer(variant, 5000).current_learning_rate == pytest.approx(recipe.rate / 10)
    assert without(recipe, None) is recipe
    assert replace(recipe) == recipe


def test_the_kernel_of_patches_stays(records):
    from recipes import RECIPES
    from records_minicnn import network, optimizer

    import minicnn as mc

    recipe = replace(RECIPES["fashion94"], batch_size=12, epochs=1)
    x = np.random.default_rng(0).integers(0, 256, (24, 28, 28, 1), dtype=np.uint8)
    model = network(recipe, x)
    before = {path: w.numpy() for path, w in model.named_weights().items()}
    model.compile(optimizer(recipe, 24), mc.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, np.arange(24) % 10, batch_size=12, verbose=0)
    changed = {path for path, w in model.named_weights().items() if not np.array_equal(w.numpy(), before[path])}
    assert set(before) - changed == {"conv0/kernel"}
