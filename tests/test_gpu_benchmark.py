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
    environment |= {"MINICNN_CACHE": str(cwd / "cache"), "no_proxy": "", "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def test_every_part_runs(tmp_path):
    done = run("--smoke", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert not any(result["failures"].values())
    assert {"machine", "limits", "convolutions", "kernels", "networks", "accuracy"} <= set(result)
    assert all(entry["identical"] for row in result["convolutions"] for entry in row["parts"].values())
    tiles = [row["tiles"] for row in result["tensor cores"]]
    assert len(tiles) == 3  # the parts of the one that is wide enough
    assert all(tiles)
    assert result["accuracy"]["data"] == "digits, moved about"
    text = (tmp_path / "out" / "gpu.md").read_text()
    assert "of cuDNN's rate" in text
    assert "LeNet-5" in text
    done = run("--smoke", "--out", "out", "--parts", "machine", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "LeNet-5" in (tmp_path / "out" / "gpu.md").read_text()  # the other parts are kept


def test_where_the_gpu_becomes_faster(monkeypatch):
    """Also where two convolutions have equally many multiplications."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from gpu import crossover

    def rows(*entries):
        return [{"products": n, "parts": {"forward": {"gpu": 2.0} | entry}} for n, entry in entries]

    assert crossover(rows((9, {"cpu": 1.0}), (5, {"cpu": 3.0}), (9, {"cpu": 4.0}), (12, {}))) == 9
    assert crossover(rows((9, {"cpu": 5.0}), (9, {}))) is None
