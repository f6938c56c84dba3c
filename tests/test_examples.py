"""Examples and benchmarks as users run them: a process, its files, and one clear line for what went wrong."""

import ast
import gzip
import importlib
import io
import json
import os
import runpy
import struct
import subprocess
import sys
import tokenize
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn.datasets import cifar10, digits, fashion_mnist, mnist

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
    "published",
    "backend",
    "versions",
    "seed",
    "variant",
    "first_labels",
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
    write_idx(tmp_path / "mnist", mnist.DATASET)
    return tmp_path


def write_idx(folder, dataset):
    """The files of a data set in MNIST's format, with 200 and 50 of the embedded digits."""
    folder.mkdir()
    (x_train, y_train), (x_test, y_test) = digits.load_data(upscale=True)
    arrays = x_train[:200], y_train[:200], x_test[:50], y_test[:50]
    for file, array in zip(dataset.files, arrays, strict=True):
        header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (folder / file.name).write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def small_data(small_mnist, monkeypatch, rng):
    """A folder with small files of all three data sets; those of CIFAR-10 hold 20 random images each."""
    write_idx(small_mnist / "fashion-mnist", fashion_mnist.DATASET)
    monkeypatch.setattr(cifar10, "RECORDS", 20)
    folder = small_mnist / "cifar-10"
    folder.mkdir()
    for name in (*cifar10.BATCHES, cifar10.TEST_BATCH):
        records = rng.integers(0, 256, (20, cifar10.RECORD), dtype=np.uint8)
        records[:, 0] = np.arange(20) % 10
        (folder / name).write_bytes(records.tobytes())
    return small_mnist


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
    assert result["published"] == {"train_loss": 0.0052, "train_accuracy": 0.9986}
    assert result["variant"] == {}
    assert len(result["first_labels"]) == 5
    assert set(result["versions"]) == {"python", "numpy", "numba", "minicnn"}
    history = result["history"]
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(history, 2)
    last = [history[name][-1] for name in ("loss", "accuracy", "val_loss", "val_accuracy")]
    assert last == [result[name] for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy")]
    assert result["seconds_per_epoch"] > 0
    picture = imread(out / "curves.png")
    assert picture.shape[0] > 200
    assert picture.shape[1] > 400
    assert "44,426" in done.stdout
    assert done.stdout.count("\nEpoch ") == 2  # not a terminal: a line an epoch


# What a figure holds: axes, pictures, lines, bars or boxes and arrows.
CURVES = 2, 0, 4, 0  # loss and accuracy, of training and of validation
CURVES_OF_TWO = 2, 0, 8, 0
TEN_IMAGES = 10, 10, 0, 0
CONFUSION = 2, 1, 0, 0  # beside it the bar of its colours
PREDICTION = 2, 1, 0, 10  # one of ten classes
LENET5_FIGURES = {
    "curves": CURVES,
    "model": (1, 0, 0, 9 + 8),  # from the input on
    "filters": (2, 6, 6, 0),  # with a frame around each, and beside them the bar of their colours
    "feature_maps": (2, 1 + 6 + 6 + 16 + 16 + 13, 45 + 13, 0),  # and vectors as strips, down to the decision
    "predictions": TEN_IMAGES,
    "confusion": CONFUSION,
}
MLP_FIGURES = {"curves": CURVES, "predictions": TEN_IMAGES}
DIGIT_FIGURES = {"curves": CURVES, "digits": TEN_IMAGES, "prediction": PREDICTION}
TITLES = {  # of the first axes
    "predictions": "pred = ",
    "confusion": "accuracy ",
    "augmented": "original",
    "clothes": "T-shirt/top",
    "digits": "Digit 0",
}
CASES = [  # script, its arguments, parameters of its networks, published numbers it prints, figures
    ("lenet5_mnist", "", 44_426, "0.0052 0.9986", LENET5_FIGURES),
    ("lenet5_mnist", "--classic", 44_426, "", LENET5_FIGURES),
    ("lenet5_cifar10", "", 62_006, "", LENET5_FIGURES | {"filters": (1, 6, 6, 0)}),  # filters in colour have no bar
    ("cifar10_94", "", 1_973_944, "", {"curves": CURVES}),
    ("mlp_mnist", "", 188_660, "0.0990 0.9754", MLP_FIGURES),
    ("mlp_cifar10", "", 646_260, "1.4736 0.4788", MLP_FIGURES),
    ("mlp_cifar10", "--gray", 188_660, "1.6452 0.4127", MLP_FIGURES),
    (
        "translation_test",
        "",
        {"MLP": 188_660, "LeNet-5": 44_426},
        "0.0990 0.9754 14.5560 0.0761 0.0052 0.9986 8.9618 0.1392",
        {"curves": CURVES_OF_TWO, "moved": (4, 4, 0, 0)},
    ),
    (
        "lenet5_augmented",
        "--translation 0.15",
        198_526,
        "",
        {"curves": CURVES, "augmented": TEN_IMAGES, "moved": TEN_IMAGES},
    ),
    (
        "mnist_cnn",
        "",
        225_034,
        "0.0042 0.9989 0.0424 0.9894",
        {
            "curves": CURVES,
            "pixels": (1, 1, 0, 0),
            "first_maps": (32 + 1, 32, 0, 0),
            "feature_maps": (2, 1 + 4 * 16 + 12, 65 + 12, 0),
            "confusion": CONFUSION,
        },
    ),
    (
        "fashion_mnist_cnn",
        "",
        87_452,
        "0.1452 0.9459 0.2803 0.9065 99.78",
        {"curves": CURVES, "clothes": (25, 25, 0, 0), "prediction": PREDICTION, "confusion": CONFUSION},
    ),
    (
        "pooling_vs_stride",
        "",
        {"net_1": 1_625_866, "net_2": 1_625_866},
        "0.4901 0.8736 0.5062 0.8735",
        {"curves": CURVES_OF_TWO},
    ),
    (
        "optimizers_cifar10",
        "--optimizers Adagrad Adadelta",
        {"Adagrad": 2_117_962, "Adadelta": 2_117_962},
        "1.4304 0.4914 1.9030 0.3556",
        {"curves": CURVES_OF_TWO},
    ),
    ("draw_a_digit", "", 44_426, "", {"curves": CURVES}),
    ("digit_recognition", "", 225_034, "0.0164 0.9943 0.0631 0.9866", DIGIT_FIGURES | {"model": (1, 0, 0, 7 + 6)}),
    ("digit_recognition", "--mlp", 27_882, "", DIGIT_FIGURES | {"model": (1, 0, 0, 3 + 2)}),
]


def run_here(monkeypatch, script, *arguments):
    """Run an example in this process, which is faster; returns the names that it defines."""
    path = ROOT / "examples" / f"{script}.py"
    monkeypatch.syspath_prepend(path.parent)
    monkeypatch.setattr(sys, "argv", [path.name, *map(str, arguments)])
    return runpy.run_path(str(path), run_name="__main__")


def record_figures(monkeypatch):
    """Name of each file → the figure that is saved in it, from now on."""
    Figure = pytest.importorskip("matplotlib.figure").Figure
    saved, savefig = {}, Figure.savefig

    def record(figure, path, **options):
        saved[Path(path).stem] = figure
        savefig(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", record)
    return saved


def contents(figure):
    """How many axes, pictures, lines, bars or boxes a figure has."""
    of_axes = [(axes.images, axes.lines, axes.patches) for axes in figure.axes]
    return len(of_axes), *(sum(map(len, parts)) for parts in zip(*of_axes, strict=True))


@pytest.mark.filterwarnings("ignore:the loss has from_logits=True")
@pytest.mark.parametrize(("script", "arguments", "params", "published", "figures"), CASES)
def test_every_example(script, arguments, params, published, figures, small_data, tmp_path, monkeypatch, capsys):
    saved = record_figures(monkeypatch)
    options = "--epochs", 1, "--limit", 40, "--batch-size", 20, "--data-dir", small_data, "--seed", 1
    run_here(monkeypatch, script, *arguments.split(), *options, "--out", tmp_path / "out")
    printed = capsys.readouterr().out
    result = read_result(tmp_path / "out")
    assert (result["name"], result["seed"], result["train_images"]) == (script, 1, 40)
    assert result["dataset"] != "digits"
    assert len(result["first_labels"]) == 5
    networks = result["networks"] if isinstance(params, dict) else {None: result}
    assert {name: entry["params"] for name, entry in networks.items()} == (
        params if isinstance(params, dict) else {None: params}
    )
    for entry in networks.values():
        assert (entry["epochs"], entry["batch_size"]) == (1, 20)
        assert 0 <= entry["test_accuracy"] <= 1
        assert entry["published"].keys() <= entry.keys()
    assert [number for number in published.split() if number not in printed] == []
    assert {path.stem for path in (tmp_path / "out").glob("*.png")} == figures.keys()
    assert {name: contents(figure) for name, figure in saved.items()} == figures
    for name in figures.keys() & TITLES.keys():
        assert saved[name].axes[0].get_title().startswith(TITLES[name])
    drawn = [line.get_ydata().tolist() for line in saved["curves"].axes[0].lines]
    assert drawn == [entry["history"][name] for entry in networks.values() for name in ("loss", "val_loss")]


def test_digit_recognition_trains_on_raw_pixels_and_scores_the_loaded_copy(small_data, tmp_path, monkeypatch):
    losses = {}
    for arguments in ((), ("--scaled",)):
        options = "--epochs", 1, "--data-dir", small_data, "--out", tmp_path / "out"
        names = run_here(monkeypatch, "digit_recognition", *arguments, *options)
        (file,) = (tmp_path / "out").glob("cnn_digit_recognition.*")
        result = read_result(tmp_path / "out")
        _, (x_test, y_test) = mnist.load_data(small_data)
        x_test = x_test / 255 if arguments else x_test
        loss, accuracy = names["load_model"](file).evaluate(x_test, y_test, verbose=0)
        assert (result["test_loss"], result["test_accuracy"]) == (pytest.approx(loss), pytest.approx(accuracy))
        losses[arguments] = result["train_loss"]
        file.unlink()
    assert losses[()] > 2 * losses[("--scaled",)]  # pixels up to 255: the first steps are wild


@pytest.mark.parametrize("script", ["convolution_basics", "mlp_mnist", "translation_test", "pooling_vs_stride"])
def test_digits_stand_in_for_mnist(script, tmp_path, monkeypatch, capsys):
    run_here(monkeypatch, script, "--data-dir", tmp_path, "--epochs", 1, "--limit", 40, "--out", tmp_path / "out")
    assert read_result(tmp_path / "out")["dataset"] == "digits"
    assert "instead of MNIST" in capsys.readouterr().out


@pytest.mark.parametrize("script", ["translation_test", "lenet5_augmented"])
def test_moved_digits_are_moved_down_and_to_the_right(script, small_data, tmp_path, monkeypatch):
    evaluated, evaluate = [], mc.Model.evaluate

    def record(model, x, *arguments, **options):
        evaluated.append(x)
        return evaluate(model, x, *arguments, **options)

    monkeypatch.setattr(mc.Model, "evaluate", record)
    options = "--epochs", 1, "--limit", 20, "--data-dir", small_data, "--out", tmp_path / "out"
    run_here(monkeypatch, script, *options)
    still, moved = evaluated[-2:]
    _, (x_test, _) = mnist.load_data(small_data)
    np.testing.assert_allclose(still[..., 0], x_test / 255, rtol=1e-6)
    expected = np.zeros_like(still)
    expected[:, 4:, 4:] = still[:, :-4, :-4]
    np.testing.assert_array_equal(moved, expected)


def test_draw_a_digit_writes_a_page_with_a_digit_of_each_kind(small_data, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    options = "--epochs", 1, "--limit", 20, "--data-dir", small_data, "--out", out
    run_here(monkeypatch, "draw_a_digit", *options)
    text = (out / "draw_a_digit.html").read_text(encoding="utf-8")
    network = json.loads(text.partition('id="network">')[2].partition("</script>")[0])
    assert (network["title"], len(network["examples"]), network["range"]) == ("LeNet-5", 10, [0, 1])
    assert f"{(out / 'draw_a_digit.html').stat().st_size:,} bytes" in capsys.readouterr().out


def test_convolution_basics_checks_its_numbers(small_data, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    names = run_here(monkeypatch, "convolution_basics", "--data-dir", small_data, "--out", tmp_path / "out")
    checks = read_result(tmp_path / "out")["checks"]
    assert len(checks) >= 18
    assert all(checks.values())
    assert {path.stem for path in (tmp_path / "out").glob("*.png")} == {"kernels", "letter", "pooling"}
    numbers = importlib.import_module("convolution_checks")
    naive = [[(names["LETTER_A"][i : i + 3, j : j + 3] * names["EDGES"]).sum() for j in range(4)] for i in range(4)]
    np.testing.assert_allclose(numbers.EDGES_OF_A, naive, atol=1e-12)
    regions = np.array(names["POOLED"]).reshape(3, 2, 3, 2)
    np.testing.assert_array_equal(numbers.MAXIMA, regions.max(axis=(1, 3)))
    np.testing.assert_array_equal(numbers.MEANS, regions.mean(axis=(1, 3)))
    capsys.readouterr()
    found = numbers.Checks()
    found.add("a wrong number", [1.0, 2.0], [1.0, 2.1])
    found.add("a wrong shape", [1.0, 1.0], 1.0)
    assert found == {"a wrong number": False, "a wrong shape": False}
    assert capsys.readouterr().out.count("WRONG") == 2


def test_convolution_basics_fails_where_a_number_is_wrong(small_data, tmp_path, monkeypatch):
    monkeypatch.setattr(mc.functional, "avg_pool2d", mc.functional.max_pool2d)
    with pytest.raises(SystemExit, match=r"1 of .* numbers are wrong"):
        run_here(monkeypatch, "convolution_basics", "--data-dir", small_data, "--out", tmp_path / "out")


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
        (("--seed", str(2**63)), f"--seed: must be an integer of at least 0 and at most {2**63 - 1}, not '{2**63}'"),
        (("--backend", "torch"), "--backend: invalid choice: 'torch'"),
        (("--data-dir", "nowhere"), "--data-dir: no such folder: 'nowhere'"),
        (("--out", "file"), "--out: cannot write to file"),
        (("--epoch", "3"), "unrecognized arguments: --epoch 3"),
    ],
)
def test_bad_options_are_refused_in_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert message in refused(monkeypatch, capsys, LENET5.stem, *arguments)


def test_a_bad_option_ends_the_process_in_one_line(tmp_path):
    done = run(LENET5, "--epochs", "two", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "--epochs: must be an integer of at least 1, not 'two'" in line


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("lenet5_augmented", ("--translation", "1.5"), "--translation: must be a number from 0 to 1, not '1.5'"),
        ("lenet5_augmented", ("--translation", "-0.1"), "--translation: must be a number from 0 to 1"),
        ("lenet5_augmented", ("--translation", "nan"), "--translation: must be a number from 0 to 1, not 'nan'"),
        ("lenet5_augmented", ("--translation", "far"), "--translation: must be a number from 0 to 1, not 'far'"),
        ("optimizers_cifar10", ("--limit", "1"), "--limit: must be an integer of at least 2, not '1'"),
    ],
)
def test_bad_options_of_an_example_are_refused_in_one_line(script, arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused(monkeypatch, capsys, script, *arguments)


def refused(monkeypatch, capsys, script, *arguments):
    """The one line with which an example refuses options that are wrong."""
    with pytest.raises(SystemExit) as ended:
        run_here(monkeypatch, script, *arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("error", ["DataError", "NonFiniteError", "BackendError", "DeviceMemoryError"])
def test_what_a_user_can_cause_ends_in_one_line(error, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import common

    def fail():
        raise getattr(mc.errors, error)("too much")

    with pytest.raises(SystemExit, match=r"^error: too much$"):
        common.run(fail)


@pytest.mark.parametrize(
    ("script", "arguments", "folder"),
    [
        ("lenet5_mnist", "--classic", "lenet5_mnist_classic"),
        ("digit_recognition", "--scaled --mlp", "digit_recognition_scaled_mlp"),
        ("lenet5_augmented", "--translation 0.08", "lenet5_augmented"),  # the default is no variant
        ("optimizers_cifar10", "--optimizers Adam Adadelta", "optimizers_cifar10_optimizers_Adam_Adadelta"),
    ],
)
def test_the_names_of_variants(script, arguments, folder, tmp_path, monkeypatch):
    class Stopped(Exception):
        """Raised when the command line is read."""

    def stop(folder=None):
        raise Stopped

    monkeypatch.chdir(tmp_path)
    for dataset in (mnist, cifar10):
        monkeypatch.setattr(dataset, "load_data", stop)
    with pytest.raises(Stopped):
        run_here(monkeypatch, script, *arguments.split())
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [folder]


def test_variants_go_to_folders_of_their_own_and_say_what_they_are(small_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = "--epochs", 1, "--limit", 20, "--data-dir", small_data
    for script, arguments, variant in (
        ("mlp_cifar10", (), {}),
        ("mlp_cifar10", ("--gray",), {"gray": True}),
        ("lenet5_augmented", ("--translation", "0.15"), {"translation": 0.15}),
    ):
        run_here(monkeypatch, script, *arguments, *options)
        folder = "_".join([script, *(key if value is True else f"{key}_{value}" for key, value in variant.items())])
        assert read_result(tmp_path / "runs" / folder)["variant"] == variant


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


@pytest.mark.parametrize(
    ("script", "address"), [("mlp_cifar10", "cifar-10-binary.tar.gz"), ("fashion_mnist_cnn", "http")]
)
def test_missing_data_without_a_stand_in_is_explained_in_one_line(script, address, tmp_path):
    done = run(ROOT / "examples" / f"{script}.py", "--data-dir", tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "not found" in done.stderr
    assert address in done.stderr.partition("To get it: ")[2]


def test_a_model_is_saved_in_minicnns_own_format_where_h5py_is_missing(small_data, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "examples")
    common = importlib.import_module("common")
    monkeypatch.setattr(common, "distributions", lambda name: ())
    options = "--epochs", 1, "--limit", 20, "--data-dir", small_data, "--out", tmp_path / "out"
    run_here(monkeypatch, "digit_recognition", *options)
    assert mc.models.load_model(tmp_path / "out" / "cnn_digit_recognition.safetensors").count_params() == 225_034
    assert "pip install minicnn[keras]" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ what an example shows


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TRAINING = [
    path for path in EXAMPLES if path.stem not in ("arguments", "common", "convolution_basics", "convolution_checks")
]
SHOWN = {"load_data", "compile", "fit", "evaluate", "plot_history"}  # in the example's own lines
DOCUMENTED = ast.Module, ast.ClassDef, ast.FunctionDef
NO_CODE = tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER


def code_lines(source):
    """How many lines are neither blank nor comments nor docstrings."""
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            code -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(code)


def called_names(source):
    """The names of all functions and methods that are called, without what is before their dots."""
    functions = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = [getattr(function, "attr", getattr(function, "id", "")) for function in functions]
    return set(names)


def test_what_counts_as_code_and_as_a_call():
    source = '"""Docstring\n\nof three lines."""\n\n# comment\nx = f(\n    1,  # one\n)\ny = """a\n\nb""".fit()\n'
    assert code_lines(source) == 3 + 3
    assert called_names(source) == {"f", "fit"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_fits_on_a_screen(path):
    assert code_lines(path.read_text()) <= (120 if path.stem == "common" else 60)


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.stem)
def test_an_example_shows_what_the_library_does_in_its_own_lines(path):
    called = called_names(path.read_text())
    assert called >= SHOWN
    assert called & {"Sequential", "Model"}


def test_what_examples_share_neither_trains_nor_evaluates():
    called = called_names((ROOT / "examples" / "common.py").read_text())
    assert not called & (SHOWN - {"load_data"} | {"Sequential", "Model"})


# ---------------------------------------------------------------------------------------------------------- benchmarks


IMPATIENT = """
import harness, versus_torch
harness.MOST_WAITS, harness.MOST_ATTEMPTS = 0, 1  # beside other tests the machine is never quiet
versus_torch.main()
"""


def test_versus_torch_leaves_out_visibly_what_is_not_installed(small_mnist, tmp_path):
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "torch.py").write_text("raise ImportError('not here')\n")
    done = succeed(
        *("-c", IMPATIENT),
        *("--rounds", 1, "--steps", 1, "--threads", 1, "--cases", "lenet5_b128", "--out", "result.json"),
        cwd=tmp_path,
        PYTHONPATH=os.pathsep.join(map(str, (fake, ROOT, VERSUS_TORCH.parent))),
        MINICNN_DATA=str(small_mnist),
        MINICNN_BACKEND="numpy",
    )
    assert "Left out: PyTorch is not installed" in done.stdout
    case = read_result(tmp_path)["cases"]["lenet5_b128"]
    assert set(case["missing"]) == {"torch", "torch_channels_last"}
    assert case["about"]["minicnn"]["params"] == 44_426
    assert np.array(case["milliseconds"]["minicnn"]).shape == (1,)
    assert case["ours"] > 0
