"""Examples and benchmarks as users run them: a process, its files, and one clear line for what went wrong."""

import gzip
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicnn.datasets import digits, mnist

ROOT = Path(__file__).parents[1]
LENET5 = ROOT / "examples" / "lenet5_mnist.py"
VERSUS_TORCH = ROOT / "benchmarks" / "versus_torch.py"
TINY = ("--backend", "numpy", "--epochs", "2", "--limit", "64")

KEYS = {
    "name",
    "dataset",
    "params",
    "epochs",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "seconds_per_epoch",
    "backend",
    "versions",
    "seed",
    "batch_size",
    "train_images",
    "test_images",
    "history",
}


def run(script, *arguments, cwd, **environment):
    """Run a script in a process of its own: no data and no network unless given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MINICNN_")}
    environment = {"PYTHONPATH": str(ROOT), "HTTPS_PROXY": "http://127.0.0.1:9", **environment}
    command = [sys.executable, script, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=inherited | environment, capture_output=True, text=True, timeout=300)


def succeed(*arguments, **options):
    """`run`, and expect that it went well."""
    done = run(*arguments, **options)
    assert done.returncode == 0, done.stderr
    return done


def read_result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.fixture
def small_mnist(tmp_path):
    """A folder with MNIST's files, which hold 200 and 50 of the embedded digits."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    (x_train, y_train), (x_test, y_test) = digits.load_data(upscale=True)
    arrays = x_train[:200], y_train[:200], x_test[:50], y_test[:50]
    for file, array in zip(mnist.DATASET.files, arrays, strict=True):
        header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (folder / file.name).write_bytes(gzip.compress(header + array.tobytes()))
    return tmp_path


# ------------------------------------------------------------------------------------------------------------- results


def test_lenet5_writes_its_result_and_its_curves(small_mnist, tmp_path):
    imread = pytest.importorskip("matplotlib.image").imread
    out = tmp_path / "new" / "folder"
    done = succeed(LENET5, *TINY, "--data-dir", small_mnist, "--seed", 3, "--out", out, cwd=tmp_path)
    result = read_result(out)
    assert set(result) == KEYS
    expected = {"name": "lenet5_mnist", "dataset": "MNIST", "params": 44_426, "epochs": 2, "backend": "numpy"}
    expected |= {"seed": 3, "batch_size": 128, "train_images": 64, "test_images": 50}
    assert expected.items() <= result.items()
    assert set(result["versions"]) == {"python", "numpy", "numba", "minicnn"}
    history = result["history"]
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(history, 2)
    last = [history[name][-1] for name in ("loss", "accuracy", "val_loss", "val_accuracy")]
    assert last == [result[name] for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy")]
    assert result["seconds_per_epoch"] > 0
    picture = imread(out / "curves.png")
    assert picture.shape[0] > 200
    assert picture.shape[1] > 400
    assert picture.std() > 0
    assert "44,426" in done.stdout
    assert done.stdout.count("\nEpoch ") == 2  # not a terminal: a line an epoch


def test_the_seed_decides(small_mnist, tmp_path):
    losses = []
    for seed, out in ((0, "a"), (0, "b"), (1, "c")):
        succeed(LENET5, *TINY, "--data-dir", small_mnist, "--seed", seed, "--out", out, cwd=tmp_path)
        losses.append(read_result(tmp_path / out)["history"])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_without_data_and_network_it_trains_on_the_embedded_digits(tmp_path):
    done = succeed(LENET5, *TINY, cwd=tmp_path, MINICNN_CACHE=str(tmp_path / "cache"))
    lines = [line for line in done.stdout.splitlines() if "embedded" in line]
    assert len(lines) == 1
    assert "MNIST not found" in lines[0]
    result = read_result(tmp_path / "runs" / "lenet5_mnist")
    assert result["dataset"] == "digits"
    assert result["batch_size"] == 32
    assert result["test_images"] == 355


def test_the_embedded_digits_are_learned(tmp_path):
    succeed(LENET5, "--data-dir", tmp_path, "--out", tmp_path, cwd=tmp_path)
    result = read_result(tmp_path)
    assert (result["dataset"], result["backend"], result["epochs"]) == ("digits", "numba", 20)
    assert result["test_accuracy"] >= 0.97


def test_without_matplotlib_there_are_numbers_but_no_curves(tmp_path):
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "matplotlib.py").write_text("raise ImportError('not here')\n")
    path = os.pathsep.join([str(fake), str(ROOT)])
    done = succeed(LENET5, *TINY, "--data-dir", fake, "--out", tmp_path, cwd=tmp_path, PYTHONPATH=path)
    assert "pip install minicnn[plot]" in done.stderr
    assert "Traceback" not in done.stderr
    assert read_result(tmp_path)["epochs"] == 2
    assert not (tmp_path / "curves.png").exists()


def test_show_without_a_display_says_where_the_figures_are(tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ("--data-dir", tmp_path, "--out", tmp_path, "--show")
    done = succeed(LENET5, *TINY, *arguments, cwd=tmp_path, DISPLAY="", MPLBACKEND="agg")
    assert "there is no display" in done.stderr
    assert (tmp_path / "curves.png").exists()


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", "0"), "--epochs: must be an integer of at least 1, not '0'"),
        (("--epochs", "two"), "--epochs: must be an integer of at least 1, not 'two'"),
        (("--batch-size", "-1"), "--batch-size: must be"),
        (("--limit", "1.5"), "--limit: must be"),
        (("--seed", "-1"), "--seed: must be an integer of at least 0"),
        (("--backend", "torch"), "--backend: invalid choice: 'torch'"),
        (("--data-dir", "nowhere"), "--data-dir: no such folder: 'nowhere'"),
        (("--out", "file"), "--out: cannot write to file"),
        (("--epoch", "3"), "unrecognized arguments: --epoch 3"),
    ],
)
def test_bad_options_are_refused_in_one_line(tmp_path, arguments, message):
    (tmp_path / "file").touch()
    done = run(LENET5, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_an_unknown_backend_in_the_environment_is_refused_in_one_line(tmp_path):
    done = run(LENET5, cwd=tmp_path, MINICNN_BACKEND="nunba")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "numba" in done.stderr


def test_a_damaged_file_is_named_in_one_line(small_mnist, tmp_path):
    file = small_mnist / "mnist" / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-100])
    done = run(LENET5, *TINY, "--data-dir", small_mnist, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert file.name in done.stderr


# ---------------------------------------------------------------------------------------------------------- benchmarks


def test_versus_torch_leaves_out_visibly_what_is_not_installed(small_mnist, tmp_path):
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "torch.py").write_text("raise ImportError('not here')\n")
    done = succeed(
        VERSUS_TORCH,
        *("--rounds", 1, "--steps", 1, "--threads", 1, "--cases", "lenet5_b128", "--out", "result.json"),
        cwd=tmp_path,
        PYTHONPATH=os.pathsep.join([str(fake), str(ROOT)]),
        MINICNN_DATA=str(small_mnist),
        MINICNN_BACKEND="numpy",
    )
    assert "Left out: PyTorch is not installed" in done.stdout
    case = read_result(tmp_path)["cases"]["lenet5_b128"]
    assert set(case["missing"]) == {"torch", "torch_channels_last"}
    assert case["about"]["minicnn"]["params"] == 44_426
    assert np.array(case["milliseconds"]["minicnn"]).shape == (1,)
    assert case["ours"] > 0
