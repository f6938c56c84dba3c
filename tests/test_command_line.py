"""``python -m minicnn``: from a folder of photos to a model, a report and predictions; mistakes end in one sentence."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers
from minicnn.command_line import photos as photos_of_folders
from minicnn.command_line import training
from minicnn.command_line.arguments import parser
from minicnn.command_line.program import COMMANDS, main
from minicnn.command_line.training import Lines, class_weights
from minicnn.data.splitting import stratified_split

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")

CHECKOUT = Path(__file__).parents[1]
CLASSES = ("bars", "dots", "lines")
KINDS = ("jpg", "png", "bmp", "gif", "webp")
QUICK = ("--size", "16", "--epochs", "3", "--batch-size", "8")


def draw(number, rng):
    """A picture of a class: bars upright, a dot, or lines."""
    height, width = rng.integers(40, 60, 2)
    rows, columns = np.mgrid[:height, :width]
    shapes = ((columns // 8) % 2, (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < 200, (rows // 8) % 2)
    grey = 60 + 150 * shapes[number].astype(float) + rng.normal(0, 8, (height, width))
    return np.clip(grey[..., None] * [1, 0.9, 0.8], 0, 255).astype(np.uint8)


def make_folder(folder, counts, seed=0):
    """Folders of drawn pictures, so many of each class, of mixed kinds."""
    rng = np.random.default_rng(seed)
    for number, count in enumerate(counts):
        (folder / CLASSES[number]).mkdir(parents=True)
        for index in range(count):
            name = f"{index:03d}.{KINDS[index % len(KINDS)]}"
            Image.fromarray(draw(number, rng)).save(folder / CLASSES[number] / name)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """3 × 15 pictures, of which one is damaged, one grey, one CMYK, and one has an alpha channel."""
    folder = make_folder(tmp_path_factory.mktemp("photos") / "shapes", (15, 15, 15))
    (folder / "bars" / "000.jpg").write_bytes((folder / "bars" / "005.jpg").read_bytes()[:150])
    for name, mode in (("dots/000.jpg", "L"), ("dots/005.jpg", "CMYK"), ("lines/001.png", "RGBA")):
        Image.open(folder / name).convert(mode).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """(exit code, folder with the model and the report) of one training."""
    out = tmp_path_factory.mktemp("out")
    return main(["train", str(folder), "--out", str(out / "model.safetensors"), *QUICK]), out


@pytest.fixture
def model_path(trained):
    return str(trained[1] / "model.safetensors")


# ------------------------------------------------------------------------------------------------------- train


def test_a_folder_becomes_a_model_and_a_report(trained, capsys):
    code, out = trained
    assert code == 0
    model = mc.load_model(out / "model.safetensors")
    assert model.class_names == list(CLASSES)
    assert model.input_shape == (None, 16, 16, 3)
    text = (out / "report.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings == [
        *("Curves", "What is taken for what", "The worst mistakes", "What decided", "Files that were left out"),
        "What next",
    ]
    assert "000.jpg: the file is no picture, or is damaged" in text
    assert text.count("data:image/png;base64,") >= 3
    assert not re.search(r"(?:src|href)=.?(?:http|/)", text)


def test_damaged_files_are_named_and_nothing_else_is_left_out(folder, tmp_path, capsys):
    assert main(["train", str(folder), "--out", str(tmp_path / "m.keras"), "--no-report", *QUICK]) == 0
    printed = capsys.readouterr()
    assert len(re.findall("left out .*bars.000.jpg", printed.err)) == printed.err.count("left out") == 1
    assert "photos: 44 (bars 14, dots 15, lines 15), as 16×16 pixels, in colour" in printed.err
    assert "training with 35, measuring with 9" in printed.err
    assert "accuracy on 9 photos" in printed.out
    assert not (tmp_path / "report.html").exists()


def test_the_weights_are_those_of_the_best_epoch(folder, tmp_path, capsys):
    arguments = ["train", str(folder), "--out", str(tmp_path / "m.safetensors"), "--no-augment", "--no-report", *QUICK]
    assert main(arguments) == 0
    model = mc.load_model(tmp_path / "m.safetensors")
    paths, labels, names = photos_of_folders.listed(folder)
    photos = photos_of_folders.read(paths, labels, names, model.preprocessing)
    _, held = stratified_split(photos.labels, 0.2, 0)
    loss, _ = model.evaluate(photos.pixels[held], photos.labels[held], verbose=0)
    assert loss == pytest.approx(min(model.history.history["val_loss"]), rel=1e-4)


@pytest.fixture
def heeds_ctrl_c():
    """As in a terminal; programs that a script starts in the background are told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_leaves_the_best_model(folder, tmp_path, monkeypatch, capsys):
    def press(self, epoch, logs=None):
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Lines, "on_epoch_end", press)
    path = tmp_path / "m.safetensors"
    assert main(["train", str(folder), "--out", str(path), *QUICK]) == 130
    assert mc.load_model(path).history.epoch == [0, 1]
    assert (tmp_path / "report.html").exists()
    assert "the best model so far is kept" in capsys.readouterr().err


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_before_the_first_epoch_has_ended_leaves_nothing(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Lines, "on_epoch_begin", lambda *_: signal.raise_signal(signal.SIGINT), raising=False)
    assert main(["train", str(folder), "--out", str(tmp_path / "m.safetensors"), *QUICK]) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_class_of_five_beside_a_large_one(tmp_path, capsys):
    make_folder(tmp_path / "photos", (5, 60))
    assert main(["train", str(tmp_path / "photos"), "--out", str(tmp_path / "m.safetensors"), *QUICK]) == 0
    assert "training with 52, measuring with 13" in capsys.readouterr().err


@pytest.mark.parametrize("counts", [(5, 50_000), (2, 2), (1, 9), (7, 7, 7)])
def test_every_class_is_on_both_sides_of_a_split(seed, counts):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train, held = stratified_split(labels, 0.2, seed)
    assert sorted([*train, *held]) == list(range(len(labels)))
    for number, count in enumerate(counts):
        expected = 0 if count == 1 else max(1, round(0.2 * count))
        assert np.sum(labels[held] == number) == expected


def test_rare_classes_weigh_more_up_to_a_limit():
    assert class_weights(np.repeat([0, 1], [10, 12])) is None
    assert class_weights(np.repeat([0, 1, 2], [10, 40, 1])) == {0: 4.0, 1: 1.0, 2: 20.0}


def test_many_photos_lie_in_a_file(folder, monkeypatch):
    in_memory, in_file = [], []
    for limit, found in ((2**30, in_memory), (0, in_file)):
        monkeypatch.setattr(photos_of_folders, "MOST_IN_MEMORY", limit)
        paths, labels, names = photos_of_folders.listed(folder)
        found.append(photos_of_folders.read(paths, labels, names, mc.images.Preprocessing((8, 8))))
    assert isinstance(in_file[0].pixels, np.memmap)
    assert not isinstance(in_memory[0].pixels, np.memmap)
    np.testing.assert_array_equal(in_memory[0].pixels, in_file[0].pixels)


@pytest.mark.parametrize(("side", "mode", "expected"), [(40, "L", (32, "grayscale")), (90, "RGB", (64, "rgb"))])
def test_size_and_colours_go_by_the_pictures(tmp_path, side, mode, expected):
    paths = []
    for index in range(3):
        paths.append(str(tmp_path / f"{index}.png"))
        Image.new(mode, (side, side + 20)).save(paths[-1])
    assert photos_of_folders.chosen(paths) == expected


# ---------------------------------------------------------------------------------------------- the other commands


def test_predict_prints_a_table_or_json(model_path, folder, capsys):
    damaged, grey, alpha = folder / "bars" / "000.jpg", folder / "dots" / "000.jpg", folder / "lines" / "001.png"
    assert main(["predict", model_path, str(damaged), str(grey), str(alpha)]) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == [str(grey), str(alpha)]
    assert f"left out {damaged}" in printed.err
    assert main(["predict", model_path, "--json", str(folder)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 45
    assert [line["file"] for line in lines if "error" in line] == [str(damaged)]
    model = mc.load_model(model_path)
    for line in [line for line in lines if "error" not in line][::10]:
        expected = model.predict_image(line["file"])
        assert line["class_name"] == expected.class_name
        assert line["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)


def test_evaluate_counts_what_predict_says(model_path, folder, capsys):
    assert main(["evaluate", model_path, str(folder), "--json"]) == 0
    measures = json.loads(capsys.readouterr().out)
    main(["predict", model_path, "--json", str(folder)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    pairs = [(Path(line["file"]).parent.name, line["class_name"]) for line in lines if "error" not in line]
    assert measures["accuracy"] == pytest.approx(np.mean([true == said for true, said in pairs]))
    for name in CLASSES:
        said, true = [pair for pair in pairs if pair[1] == name], [pair for pair in pairs if pair[0] == name]
        right = pairs.count((name, name))
        expected = {"precision": right / max(len(said), 1), "recall": right / len(true), "support": len(true)}
        assert {key: measures["classes"][name][key] for key in expected} == pytest.approx(expected)
    assert main(["evaluate", model_path, str(folder)]) == 0
    assert capsys.readouterr().out.startswith(f"accuracy {measures['accuracy']:.1%} of 44 photos")


def test_evaluate_and_predict_agree_where_the_model_wants_numbers_from_0_to_1(folder, tmp_path, capsys):
    mc.utils.set_random_seed(1)
    own = mc.Sequential([mc.Input((16, 16, 3)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    own.class_names, own.preprocessing = list(CLASSES), mc.images.Preprocessing(rescale=1 / 255)
    own.save(tmp_path / "own.safetensors")
    assert main(["evaluate", str(tmp_path / "own.safetensors"), str(folder), "--json"]) == 0
    measures = json.loads(capsys.readouterr().out)
    counts = np.zeros((3, 3), int)
    for path in folder.glob("*/*"):
        if path.name != "000.jpg" or path.parent.name != "bars":  # that one is damaged
            counts[CLASSES.index(path.parent.name), CLASSES.index(own.predict_image(path).class_name)] += 1
    assert measures["confusion"] == counts.tolist()
    assert np.count_nonzero(counts.sum(axis=0)) > 1  # else any rounding would do


def test_export_does_not_write_over_the_model_whatever_its_path_looks_like(model_path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("m.safetensors").write_bytes(Path(model_path).read_bytes())
    os.symlink("m.safetensors", "link.safetensors")
    for other in (tmp_path / "m.safetensors", "link.safetensors"):
        assert main(["export", "m.safetensors", "--safetensors", str(other)]) == 2
        assert "is the model itself" in capsys.readouterr().err
    assert Path("m.safetensors").read_bytes() == Path(model_path).read_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_pipes_are_not_waited_for_and_links_back_are_not_followed(tmp_path):
    make_folder(tmp_path, (2, 3))
    (tmp_path / "elsewhere" / "more").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "elsewhere" / "more" / "x.png")
    os.symlink(tmp_path / "elsewhere" / "more", tmp_path / "bars" / "more")  # this one is followed
    os.symlink("..", tmp_path / "bars" / "loop")
    os.mkfifo(tmp_path / "dots" / "pipe.png")
    paths, labels, names = photos_of_folders.listed(tmp_path)
    assert [(names[n], Path(path).name) for path, n in zip(paths, labels, strict=True) if names[n] != "elsewhere"] == [
        ("bars", "000.jpg"),
        ("bars", "001.png"),
        ("bars", "x.png"),
        ("dots", "000.jpg"),
        ("dots", "001.png"),
        ("dots", "002.bmp"),
    ]
    with pytest.raises(mc.errors.DataError, match="waited for without end"):
        mc.images.Preprocessing()(tmp_path / "dots" / "pipe.png")


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes there")
def test_names_that_are_no_text(tmp_path, capsys):
    folder = make_folder(tmp_path / "photos", (4, 4))
    for number in (0, 1):
        (folder / "bars" / f"00{number}.{KINDS[number]}").rename(folder / "bars" / f"\udcff<i>{number}.{KINDS[number]}")
    (folder / "bars" / "\udcfe<i>.png").write_bytes(b"no picture")
    out = str(tmp_path / "m.safetensors")
    assert main(["train", str(folder), "--out", out, "--size", "16", "--epochs", "1"]) == 0
    assert "\\udcfe&lt;i&gt;.png" in (tmp_path / "report.html").read_text(encoding="utf-8")
    (folder / "dots").rename(folder / "d\udcff")
    capsys.readouterr()
    assert main(["train", str(folder), "--out", out]) == 2
    assert "b'd\\xff'" in (told := capsys.readouterr().err)
    assert "rename it" in told


def test_export_writes_every_format_with_the_names(model_path, folder, tmp_path, capsys):
    pytest.importorskip("onnx")
    pytest.importorskip("h5py")
    paths = {name: tmp_path / f"m.{name}" for name in ("html", "onnx", "keras", "h5", "safetensors")}
    arguments = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    assert main(["export", model_path, *arguments]) == 0
    assert '"bars","dots","lines"' in paths.pop("html").read_text(encoding="utf-8")
    capsys.readouterr()
    tables = set()
    for path in paths.values():
        assert main(["predict", str(path), str(folder / "dots")]) == 0
        tables.add(re.sub(r"[\d.]+%", "", capsys.readouterr().out))
    assert len(tables) == 1


def test_info_devices_and_benchmark(model_path, capsys):
    assert main(["info", model_path]) == 0
    assert "classes (3): bars, dots, lines" in capsys.readouterr().out
    assert main(["devices"]) == 0
    assert re.search(r"\d+ processors.*\n\*? *numba", capsys.readouterr().out)
    assert main(["benchmark", model_path, "--seconds", "1", "--batch-size", "4"]) == 0
    assert len(re.findall(r"\d images a second", capsys.readouterr().out)) == 2


def test_help_lists_the_commands():
    printed = subprocess.run(
        [sys.executable, "-m", "minicnn", "--help"], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    assert [name for name in COMMANDS if not re.search(rf"^ +{name}\b", printed.stdout, re.M)] == []


def test_help_of_commands_does_not_load_what_trains():
    code = "import sys; from minicnn.command_line.arguments import parser; parser(); print('numpy' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert printed.stdout.strip() == "False"


def test_a_reader_that_goes_away_is_no_error(model_path, folder):
    command = f"{sys.executable} -m minicnn predict {model_path} {folder} 2>err.txt | head -n 1; cat err.txt >&2"
    found = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=Path(model_path).parent, env=_environment()
    )
    assert "Traceback" not in found.stderr
    assert len(found.stdout.splitlines()) == 1


def _environment():
    paths = [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


# --------------------------------------------------------------------------------------------------------- mistakes


@pytest.fixture
def scene(tmp_path, folder, model_path, monkeypatch):
    """A folder to go wrong in, as the working directory."""
    monkeypatch.chdir(tmp_path)
    os.symlink(folder, "photos")
    os.symlink(model_path, "model.safetensors")
    for name in ("empty", "one/cats", "hollow/cats", "hollow/dogs", "loose", "bad/cats", "bad/dogs", "single/a"):
        Path(name).mkdir(parents=True)
    Path("single/b").mkdir()
    good = Image.fromarray(draw(1, np.random.default_rng(0)))
    for name in ("one/cats/1", "hollow/cats/1", "loose/1", "bad/cats/1", "bad/cats/2", "single/a/1", "single/b/1"):
        good.save(f"{name}.png")
    for name in ("bad/dogs/1.png", "broken.jpg", "broken.safetensors"):
        Path(name).write_bytes(b"no picture, no model")
    Path("page.html").write_text("<!DOCTYPE html>")
    plain = mc.Sequential([mc.Input((80, 80, 3)), layers.Flatten(), layers.Dense(2, activation="softmax")])
    plain.save("plain.safetensors")
    return tmp_path


MISTAKES = [
    ("", "say what to do"),
    ("trian photos", "did you mean 'train'"),
    ("photos", "did you mean 'minicnn train photos'"),
    ("xyz", "known are train"),
    ("train", "required: FOLDER"),
    ("train phots", "there is no folder 'phots'"),
    ("train broken.jpg", "is a file"),
    ("train empty", "one folder of pictures for each class"),
    ("train loose", "side by side"),
    ("train one", "add a folder"),
    ("train hollow", "has no picture"),
    ("train bad", "no picture of class 'dogs' can be read"),
    ("train single", "put in two or more"),
    ("train photos photos", "unrecognized arguments: photos"),
    ("train photos --epoch 3", "there is no option '--epoch': did you mean '--epochs'?; 'minicnn train --help'"),
    ("train photos --ephocs=3", "there is no option '--ephocs': did you mean '--epochs'?"),
    ("train photos --zzz", "there is no option '--zzz'; 'minicnn train --help' explains"),
    ("train photos --epochs 0", "an integer of 1 or more"),
    ("train photos --epochs ten", "an integer of 1 or more"),
    ("train photos --size 4", "from 8 to 512"),
    ("train photos --batch-size -1", "an integer of 1 or more"),
    ("train photos --validation 20", "between 0 and 1"),
    ("train photos --validation many", "between 0 and 1"),
    ("train photos --network resnet", "choose from"),
    ("train photos --network lenet5 --size 8 --no-report", "12×12"),
    ("train photos --color red", "choose from"),
    ("train photos --out model", "ends in"),
    ("train photos --out model.pt", "ends in"),
    ("train photos --out none/model.keras", "make it first"),
    ("train photos --out empty/.safetensors --report empty", "is a folder"),
    ("train photos --report report.pdf", "ends in .html"),
    ("predict", "required: MODEL"),
    ("predict model.safetensors", "required: FILE|FOLDER"),
    ("predict modell.safetensors loose", "did you mean 'model.safetensors'"),
    ("predict loose/1.png model.safetensors", "is a picture"),
    ("predict model.safetensors none.jpg", "there is no file or folder 'none.jpg'"),
    ("predict model.safetensors empty", "has no picture"),
    ("predict model.safetensors broken.jpg", "none of the files"),
    ("predict broken.safetensors loose", "broken.safetensors"),
    ("predict plain.safetensors loose", "does not say how a photo becomes its input"),
    ("predict page.html loose", "cannot be read back"),
    ("predict photos loose", "'photos' is a folder"),
    ("evaluate model.safetensors", "required: FOLDER"),
    ("evaluate model.safetensors single", "a class 'a' that the model does not know; it knows bars"),
    ("export model.safetensors", "say what to write: --html"),
    ("export model.safetensors --onnx model.keras", "ends in .onnx"),
    ("export model.safetensors --safetensors", "is the model itself"),
    ("export plain.safetensors --html", "at most 64×64"),
    ("export model.safetensors --onnx none/m.onnx", "make it first"),
    ("info", "required: FILE"),
    ("info empty", "is a folder"),
    ("info loose/1.png", "is a picture"),
    ("benchmark --seconds 0", "from 1 to 3600"),
    ("devices all", "unrecognized arguments: all"),
]


@pytest.mark.parametrize(("arguments", "hint"), MISTAKES, ids=[arguments or "nothing" for arguments, _ in MISTAKES])
def test_a_mistake_is_one_sentence_that_says_how_to_mend_it(scene, capsys, arguments, hint):
    before = sorted(scene.rglob("*"))
    assert main(arguments.split()) == 2
    printed = capsys.readouterr()
    told = [line for line in printed.err.splitlines() if re.match(r"minicnn: (?!left out)", line)]
    assert len(told) == 1
    assert printed.err.splitlines()[-1] == told[0]
    assert hint in told[0]
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert sorted(scene.rglob("*")) == before


def test_a_process_ends_with_the_code(scene):
    found = subprocess.run(
        [sys.executable, "-m", "minicnn", "train", "one"], capture_output=True, text=True, env=_environment()
    )
    assert (found.returncode, found.stderr.count("\n"), found.stdout) == (2, 1, "")


def test_a_folder_that_may_not_be_read(scene, monkeypatch, capsys):
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("cats"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert main(["train", "hollow"]) == 2
    assert capsys.readouterr().err == f"minicnn: {Path('hollow/cats')}: Permission denied\n"


@pytest.mark.parametrize(
    ("module", "hint"), [("PIL", "pip install 'minicnn[images]'"), ("matplotlib", "pip install 'minicnn[plot]'")]
)
def test_a_missing_extra_is_named(scene, monkeypatch, capsys, module, hint):
    from minicnn.visualization.figures import figure_class

    figure_class.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["train", "photos"]) == 2
    printed = capsys.readouterr().err
    assert hint in printed
    assert printed.count("\n") == 1
    figure_class.cache_clear()


def test_every_option_has_a_help():
    commands = next(action for action in parser()._actions if action.choices)
    for name, command in commands.choices.items():
        missing = [a.dest for a in command._actions if not a.help and a.dest not in ("model", "folder", "file")]
        assert missing == [], name


@pytest.mark.parametrize(("last", "text"), [(3, "21 classes of 3)"), (5, "21 classes of 3 to 5)")])
def test_many_classes_are_told_by_their_sizes(last, text, capsys):
    counts = [3] * 20 + [last]
    photos = SimpleNamespace(class_names=[str(i) for i in range(21)], counts=lambda: counts, labels=[0] * sum(counts))
    parts = SimpleNamespace(train=[0] * 42, held=[0] * 21)
    training._tell_counts(photos, parts, mc.images.Preprocessing(image_size=(32, 32)))
    assert text in capsys.readouterr().err
