"""benchmarks/image_loading.py: the photos are what it says, and a worker reads every one of them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="not a checkout")


def test_a_worker_reads_all_photos_each_time_it_is_asked(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import image_loading

    source, folder = tmp_path / "source.png", tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)).save(source)
    image_loading.make_photos(folder, [source], 7)
    files = sorted(folder.glob("*/*.jpg"))
    assert [Image.open(file).size for file in files] == [(500, 375)] * 7
    assert len({file.read_bytes() for file in files}) == 7
    command = [sys.executable, image_loading.__file__, "--worker", "minicnn", "--folder", str(folder)]
    run = subprocess.run(command, input="epoch\nepoch\n", capture_output=True, text=True, check=True)
    assert [json.loads(line)["images"] for line in run.stdout.splitlines()] == [7, 7]
