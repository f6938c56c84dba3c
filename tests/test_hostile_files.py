"""Damaged and hostile files, of every format, for a bounded time; ``python tests/hostile.py`` is the long version."""

import os
import signal

import pytest

if os.name != "posix":
    pytest.skip("processor time and memory are limited in the way of Unix", allow_module_level=True)

import hostile

COUNT = 120  # files of each format
SECONDS = 15  # no more are tried after that


@pytest.mark.parametrize("name", hostile.FORMATS)
def test_damaged_files_are_refused_or_valid(name, seed):
    if not hostile.FORMATS[name].is_available():
        pytest.skip(f"{name} needs {', '.join(hostile.FORMATS[name].needs)}")
    outcomes, broken = hostile.try_format(name, COUNT, seed, seconds=SECONDS)
    assert broken == []
    assert outcomes["refused"] > 0


@pytest.fixture(scope="module")
def worker():
    worker = hostile.Worker("trial")
    yield worker
    worker.close()


def test_harness_lets_good_behaviour_pass(worker, tmp_path):
    for word, outcome in (("none", "read"), ("refuse", "refused")):
        (tmp_path / "file").write_text(word)
        assert worker.open(tmp_path / "file")["outcome"] == outcome


@pytest.mark.parametrize("word", hostile.MISBEHAVIOUR)
def test_harness_notices(word, tmp_path, monkeypatch):
    worker = hostile.Worker("trial")
    try:
        (tmp_path / "file").write_text(word)
        broken = worker.open(tmp_path / "file")["broken"]
    finally:
        worker.close()
    expected = {"hang": "more than", "crash": f"crash: {-signal.SIGABRT}", "raise": "KeyError", "look": "canary"}
    assert expected.get(word, {"run": "os.system"}.get(word, "memory" if "wrapped" in word else "")) in broken
