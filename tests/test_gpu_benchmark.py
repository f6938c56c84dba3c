"""The benchmark for GPUs runs from beginning to end: on tiny sizes, with the stand-in where there is no GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="not a checkout"),
]


def run(*arguments, cwd):
    """The script in a process of its own, which finds the same `cupy` as the tests."""
    import cupy

    path = [str(Path(cupy.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path), "MINICNN_DATA": str(cwd / "none")}
    environment |= {"no_proxy": "", "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def test_every_part_runs(tmp_path):
    done = run("--smoke", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert not any(result["failures"].values())
    parts = {"machine", "limits", "convolutions", "kernels", "networks", "tf32", "bfloat16", "first step", "chunks"}
    assert parts | {"accuracy"} <= set(result)
    assert all(entry["identical"] for row in result["convolutions"] for entry in row["parts"].values())
    tiles = [row["tiles"] for row in result["tensor cores"]]
    assert len(tiles) == 3  # the parts of the one that is wide enough
    assert all(tiles)
    assert result["accuracy"]["data"] == "digits, moved about"
    steps = [row for part in ("networks", "tf32", "bfloat16") for row in result[part]]
    assert len(steps) == 6  # two networks
    assert all(row["ours"] > 0 and row["not captured"] == [] for row in steps)
    states = [row["state"] for row in result["first step"] if row["library"] == "minicnn"]
    assert states == ["cold caches", "warm caches"] * 2
    for found in result["chunks"].values():
        assert len(found["rates"]) == 4
        assert min(*found["rates"].values(), *found["upload"].values()) > 0
    text = (tmp_path / "out" / "gpu.md").read_text()
    assert "of cuDNN's rate" in text
    assert "LeNet-5" in text


def test_parts_are_kept_and_taken_up_again(tmp_path):
    """What has failed or is missing is measured by --resume, and nothing else is."""
    file = tmp_path / "out" / "gpu.json"
    done = run("--smoke", "--out", "out", "--parts", "machine", "networks", "jax", "--minutes", "0", cwd=tmp_path)
    assert done.returncode == 1
    result = json.loads(file.read_text())
    assert len(result["failures"]["networks"]) >= 2  # of two networks, maybe in PyTorch too
    assert "no time was left" in result["failures"]["networks"][0]
    assert "**Failed**" in (tmp_path / "out" / "gpu.md").read_text()
    file.write_text(file.read_text().replace('"stand-in on', '"some stand-in on'))
    parts = "--parts", "machine", "networks", "limits"
    done = run("--smoke", "--out", "out", *parts, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(file.read_text())
    assert all(row["ours"] > 0 for row in result["networks"])
    assert result["limits"]["bytes"] > 0
    text = (tmp_path / "out" / "gpu.md").read_text()
    assert "**Failed**" not in text
    assert "LeNet-5" in text
    if "stand-in on" in result["machine"]["device"]:
        assert result["machine"]["device"].startswith("some ")  # kept


def test_a_worker_is_another_one_after_an_error(monkeypatch):
    """CUDA's errors stay with a process."""
    import cupy

    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setenv("PYTHONPATH", str(Path(cupy.__file__).parents[1]))
    from gpu_networks import GpuWorker

    with GpuWorker("minicnn", "tf32") as worker:
        first = worker.process.pid
        with pytest.raises(RuntimeError, match="KeyError: 'no such network'"):
            worker.ask("steps", name="no such network", steps=2)
        answer = worker.ask("steps", name="BatchNormalization, batch 2", steps=2)
        assert answer["seconds"] > 0
        assert worker.process.pid != first


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gpu_tables

    return gpu_tables


def test_the_tables_of_a_whole_measurement(tables):
    """Ratios, what is demanded, and whether it is so."""
    fast = {"name": "LeNet-5, batch 128", "ours": 60e-6, "not captured": [], "graph": 330e-6, "eager": 1.3e-3}
    slow = {"name": "D0, batch 32", "ours": 120e-6, "not captured": ["cuBLAS"], "graph": 300e-6}
    alone = {"name": "VGG-like, batch 128", "ours": 1e-3, "not captured": []}
    result = {
        "networks": [fast, slow, alone],
        "profile": {fast["name"]: {"launches": 11.0, "microseconds": 55.0, "copies": [], "kernels": [["f", 2.0, 9.0]]}},
        "compile": [{"name": "D0, batch 32", "max-autotune": 360e-6}],
        "jax": [{"name": "LeNet-5, batch 128", "jax": 120e-6, "device": "gpu"}],
    }
    _, _, first, second, third = tables.steps_table(result, "float32", "networks").splitlines()
    cells = [cell.strip() for cell in first.split("|")[1:-1]]
    assert cells[1:4] == ["60.0", "11", "1300 (21.7×)"]
    assert cells[4:] == ["330.0 (5.5×)", "–", "120.0 (2.0×)", "≤ 65 µs, ≥ 3.0 × graph", "yes"]
    cells = [cell.strip() for cell in second.split("|")[1:-1]]
    assert cells[1:] == [
        *("120.0 (no graph)", "–", "–", "300.0 (2.5×)", "360.0 (3.0×)", "–", "≤ 85 µs, ≥ 3.0 × graph"),
        "NO: 120 µs, 2.50 ×",
    ]
    assert third.rstrip("| ").endswith("not measured")
    assert "f 2 × 4.5" in tables.profile_table(result["profile"])
    assert "4.50 µs: f" in tables.profile_log(result["profile"])


def test_records_that_are_reached(tables):
    runs = [[0.991, 3.0], [0.99, 0.5], [0.99, 0.7]]
    cells = tables.records_table({"mnist99": {"minicnn": runs, "torch": runs[1:]}}).splitlines()[2].split("|")
    assert [cell.strip() for cell in cells[2:-1]] == ["3", "99.03%", "3.00", "0.50", "≤ 1", "yes"]
    low = tables.records_table({"mnist99": {"minicnn": [[0.98, 0.1]]}})
    assert "(too low)" in low
    assert "NO" in low


def test_where_the_gpu_becomes_faster(monkeypatch):
    """Also where two convolutions have equally many multiplications."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from gpu_convolutions import crossover

    def rows(*entries):
        return [{"products": n, "parts": {"forward": {"gpu": 2.0} | entry}} for n, entry in entries]

    assert crossover(rows((9, {"cpu": 1.0}), (5, {"cpu": 3.0}), (9, {"cpu": 4.0}), (12, {}))) == 9
    assert crossover(rows((9, {"cpu": 5.0}), (9, {}))) is None
