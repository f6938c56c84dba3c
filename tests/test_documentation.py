"""The site: what its reference says of each public name, its two languages, the code of its pages, `mc.help()`."""

import ast
import importlib
import inspect
import re
import shutil
import sys
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from networks import lenet5

import minicnn as mc
from minicnn import documentation

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not (DOCS / "conf.py").exists(), reason="not a checkout")
FENCE = re.compile(r"^(```|~~~)(\S*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
PICTURES = 1_000_000  # bytes, all together


@pytest.fixture(scope="module")
def reference():
    """docs/reference.py; its names include estimators."""
    pytest.importorskip("sklearn")
    sys.path.insert(0, str(DOCS))
    yield importlib.import_module("reference")
    sys.path.remove(str(DOCS))


def blocks(path, *languages):
    return [code for _, language, code in FENCE.findall(path.read_text(encoding="utf-8")) if language in languages]


# ----------------------------------------------------------------------------------------------------- reference


def test_every_public_name_has_a_page(reference, tmp_path):
    reference.write(tmp_path)
    described = {
        match[1]
        for path in tmp_path.rglob("*.rst")
        for match in re.finditer(r"^\.\. auto(?:class|function|data):: (\S+)$", path.read_text("utf-8"), re.MULTILINE)
    }
    for module in ("minicnn", *(f"minicnn.{name}" for name in mc.__all__ if inspect.ismodule(getattr(mc, name)))):
        if module == "minicnn.keras":  # a page of prose
            continue
        home = importlib.import_module(module)
        public = [name for name in getattr(home, "__all__", ()) if not inspect.ismodule(getattr(home, name))]
        for name in {*public} - {"__version__"}:
            assert ".".join(reference.page_of(module, name)) in described, f"{module}.{name}"
    paths = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.rst")]
    assert len({path.lower() for path in paths}) == len(paths) > 300


def test_pages_of_names_that_are_gone_go_too(reference, tmp_path):
    stale = tmp_path / reference.FOLDER / "minicnn.layers" / "Gone.rst"
    stale.parent.mkdir(parents=True)
    stale.write_text("Gone")
    reference.write(tmp_path)
    assert not stale.exists()


def test_every_argument_of_every_public_name_is_described(reference):
    lacking = {}
    for module in reference.modules():
        for name in reference.names(module):
            value = getattr(importlib.import_module(module), name)
            if inspect.isclass(value) or inspect.isfunction(value):
                missing = ["docstring"] if not value.__doc__ else reference.undescribed(value)
                lacking |= {f"{module}.{name}": missing} if missing else {}
    assert lacking == {}


def test_an_argument_that_is_left_out_is_found(reference):
    def found(x, y):
        """One.

        Parameters
        ----------
        x : int
        """

    assert reference.undescribed(found) == ["y"]
    assert reference.undescribed(mc.losses.Poisson) == []  # its base says what they are


# --------------------------------------------------------------------------------------------- what each layer can do


def test_the_table_of_layers_is_what_they_do():
    """`python docs/make_support.py` writes it anew."""
    pytest.importorskip("h5py")
    pytest.importorskip("onnx")
    sys.path.insert(0, str(DOCS))
    try:
        support = importlib.import_module("make_support")
    finally:
        sys.path.remove(str(DOCS))
    assert support.PAGE.read_text(encoding="utf-8") == support.table()


# ----------------------------------------------------------------------------------------------------- languages


def structure(path):
    """A page's headings, as (level,), and its code, in order."""
    text = path.read_text(encoding="utf-8")
    code = [(language, code) for _, language, code in FENCE.findall(text) if not language.startswith("{")]
    return [len(marks) for marks in re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE)], code


@pytest.mark.parametrize("spanish", sorted((DOCS / "es").rglob("*.md")), ids=lambda path: path.stem)
def test_spanish_pages_have_the_headings_and_the_code_of_the_english_ones(spanish):
    assert structure(spanish) == structure(DOCS / spanish.relative_to(DOCS / "es"))


@pytest.mark.parametrize("folder", ["learn", "tutorials"])
def test_no_page_is_missing_in_spanish(folder):
    pages = {path.name for path in (DOCS / folder).glob("*.md")}
    assert {path.name for path in (DOCS / "es" / folder).glob("*.md")} == pages
    for index in (DOCS / f"{folder}.md", DOCS / "es" / f"{folder}.md"):
        assert pages <= {
            f"{name}.md" for name in re.findall(rf"^{folder}/(\w+)$", index.read_text("utf-8"), re.MULTILINE)
        }


# ----------------------------------------------------------------------------------------------------------- code


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A small model, what the pages call x and y, and an empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    (x, y), _ = mc.datasets.digits.load_data(upscale=True)
    x = (x[:16, ..., None] / 255).astype(np.float32)
    model = lenet5(mc)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], backend="numpy")
    names = [str(n) for n in range(10)]
    yield {"mc": mc, "model": model, "x": x, "y": y[:16], "x_train": x, "y_train": y[:16], "images": x[:1]} | {
        "x_test": x,
        "names": names,
    }


def test_the_code_of_files_md(trained):
    """Its files are those that the blocks before wrote, its trainings are of one epoch."""
    pytest.importorskip("h5py")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    results = {}
    for code in blocks(DOCS / "files.md", "python", "py"):
        names = dict(trained)
        for wanted, there in (("resnet.onnx", "digits.onnx"), ("from_keras.keras", "digits.keras")):
            if wanted in code:  # the first half of the block writes what the second half reads
                first, line, code = re.split(rf"(?m)^(.*{wanted}.*)$", code)
                exec(first, names)
                shutil.copy(there, wanted)
                code = line + code
        exec(code.replace("epochs=100", "epochs=1"), names)
        results |= names
    assert results["probabilities"].shape == (1, 10)


@pytest.mark.parametrize("page", ["README.md", "docs/page.md"])
def test_the_code_that_needs_a_model(page, trained):
    pytest.importorskip("onnx")
    for code in blocks(ROOT / page, "py"):
        exec(code.replace("epochs=100", "epochs=1"), dict(trained))
    assert Path("digits.html").stat().st_size > 100_000


@pytest.mark.gpu
def test_the_code_of_gpu_md(capsys):
    names = {}
    exec("".join(blocks(DOCS / "gpu.md", "python")), names)
    assert mc.backends.current().name == "cupy"


def test_the_code_of_why_md(capsys):
    names = {}
    exec("".join(blocks(DOCS / "why.md", "python")), names)
    assert names["model"].input_gradients(names["images"], target=[0, 2]).shape == names["images"].shape
    assert "FLOPs" in capsys.readouterr().out


def test_the_code_of_sklearn_md(tmp_path, monkeypatch):
    """All blocks are one program, as they stand."""
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks(DOCS / "sklearn.md", "python"):
        exec(code, names)
    classifier = names["classifier"]
    assert mc.load_model("digits.safetensors").class_names == [str(n) for n in classifier.classes_]
    assert classifier.score(names["x_test"], names["y_test"]) > 0.9
    assert names["search"].best_params_.keys() == {"model", "batch_size"}
    assert names["network"]((28, 28, 1), 10).output_shape == (None, 10)


def test_the_code_of_command_line_md(trained):
    image = pytest.importorskip("PIL.Image")
    ask, describe = blocks(DOCS / "command_line.md", "python")
    trained["model"] = mc.Sequential([mc.Input((8, 8, 3)), mc.layers.Flatten(), mc.layers.Dense(2)])
    exec(describe, trained)
    trained["model"].save("model.safetensors")
    image.fromarray(np.zeros((20, 30, 3), np.uint8)).save("cat.jpg")
    exec(ask, trained)
    assert mc.load_model("model.safetensors").preprocessing == mc.images.Preprocessing(rescale=1 / 255)


def test_the_code_of_bfloat16_md(capsys):
    (code,) = blocks(DOCS / "bfloat16.md", "python")
    exec(code, {})
    assert capsys.readouterr().out == "bfloat16 float32 bfloat16\n"


def test_the_code_of_pytorch_md(capsys):
    """The page's network, with its weights moved, computes what formulas for (N, C, H, W) give."""
    names = {}
    exec("".join(blocks(DOCS / "pytorch.md", "python")), names)
    assert len(capsys.readouterr().out.splitlines()) == 2
    state, x = names["state"], names["x"][:3, :, :, 0]  # (3, 12, 12)
    maps = np.empty((3, 6, 8, 8))  # (N, F, H, W)
    for row, column in np.ndindex(8, 8):
        window = x[:, row : row + 5, column : column + 5]
        maps[:, :, row, column] = (
            np.tensordot(window, state["conv1.weight"][:, 0], ((1, 2), (1, 2))) + state["conv1.bias"]
        )
    pooled = np.maximum(maps, 0).reshape(3, 6, 4, 2, 4, 2).max(axis=(3, 5))
    expected = pooled.reshape(3, -1) @ state["fc1.weight"].T + state["fc1.bias"]
    np.testing.assert_allclose(names["net"].predict(names["x"][:3]), expected, rtol=1e-4, atol=1e-4)


def test_the_code_of_keras_md(capsys):
    """Its loop learns; its gradients, by maps that a dense layer reads, are the rows of that layer's kernel."""
    loop, as_tensors = blocks(DOCS / "keras.md", "python")
    (x, y), _ = mc.datasets.digits.load_data(upscale=True)
    x = (x[:256, ..., None] / 255).astype(np.float32)
    exec(loop, {"dataset": mc.data.Dataset.from_tensor_slices((x, y[:256])).batch(32)})
    losses = [float(loss) for loss in re.findall(r"epoch \d: loss (\S+), ", capsys.readouterr().out)]
    assert len(losses) == 5
    assert losses[-1] < 0.7 * losses[0]
    inputs = mc.Input((6, 5, 2))
    maps = mc.layers.Conv2D(3, 3, name="last_conv")(inputs)  # (N, 4, 3, 3)
    model = mc.Model(inputs, mc.layers.Dense(10)(mc.layers.Flatten()(maps)))
    names = {"model": model, "x": np.random.default_rng(0).random((2, 6, 5, 2), np.float32)}
    exec(as_tensors, names)
    rows = model.layers[-1].get_weights()[0][:, 7].reshape(4, 3, 3)  # (H, W, C)
    np.testing.assert_allclose(names["weights_of_map"], rows.mean(axis=(0, 1)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(names["maps"], mc.Model(inputs, maps).predict(names["x"])[0], rtol=1e-4, atol=1e-6)


def test_no_page_installs_the_package_of_this_name_on_pypi():
    """That one is another project. (Messages of errors may: pip then takes the package that is installed.)"""
    pages = [ROOT / "README.md", *DOCS.glob("*.md"), *DOCS.glob("tutorials/*.md"), *DOCS.glob("es/**/*.md")]
    foreign = re.compile(r"pip\s+install\s+(-\S+\s+)*['\"]?minicnn")
    assert [page.name for page in pages if foreign.search(page.read_text(encoding="utf-8"))] == []


def test_all_code_is_tested():
    """The pages with Python on them, and where it runs: here, or in the test that is named."""
    here = {
        "bfloat16.md",
        "command_line.md",
        "files.md",
        "gpu.md",
        "keras.md",
        "page.md",
        "pytorch.md",
        "sklearn.md",
        "why.md",
    }
    elsewhere = {"adding_a_layer.md": "own_parts", "own_parts.md": "own_parts", "adding_a_kernel.md": "numba_kernels"}
    assert {path.name for path in DOCS.glob("*.md") if blocks(path, "python", "py")} == here | elsewhere.keys()
    for page, test in elsewhere.items():
        assert page in (ROOT / "tests" / f"test_{test}.py").read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------- the site itself


def test_the_build_command_is_one():
    command = documentation.BUILD
    assert [command] == [line.strip() for line in blocks(DOCS / "site.md", "sh")]
    if (ROOT / ".ci" / "run").exists():
        assert f"\n    {command} " in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_pictures_are_small_and_all_are_shown():
    pictures = [path for path in DOCS.rglob("*.png") if "_build" not in path.parts]
    assert sum(path.stat().st_size for path in pictures) < PICTURES
    text = "".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md") if "_build" not in path.parts)
    assert [path.name for path in pictures if f"{path.name})" not in text] == []


def test_the_gallery_is_what_its_script_writes():
    tree = ast.parse((DOCS / "make_gallery.py").read_text(encoding="utf-8"))
    entries = next(
        ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "ENTRIES"
    )
    for index, page in enumerate((DOCS / "gallery.md", DOCS / "es" / "gallery.md")):
        text = page.read_text(encoding="utf-8")
        for *headings, command, figures in entries:
            assert f"## {headings[index]}\n\n```sh\n.venv/bin/python examples/{command}\n```" in text
            assert all(f"_{figure}.png)" in text and captions[index] in text for figure, captions in figures.items())


def test_the_page_to_draw_on_reads_digits(tmp_path):
    model = mc.load_model(DOCS / "lenet5.safetensors")
    _, (x, y) = mc.datasets.digits.load_data(upscale=True)
    assert (model.predict(x[..., None] / 255).argmax(axis=1) == y).mean() > 0.7  # it learned MNIST, these are blurred
    mc.export_html(model, tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 400_000


def test_help_opens_the_site(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(documentation, "CHECKOUT", tmp_path)
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or len(opened) == 1)
    mc.help()
    assert "in a copy of minicnn's repository: sh install.sh docs && " in capsys.readouterr().out
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "conf.py").touch()
    mc.help()
    assert f"in {tmp_path}: sh install.sh docs && " in capsys.readouterr().out
    (tmp_path / "docs" / "_build").mkdir()
    page = tmp_path / "docs" / "_build" / "index.html"
    page.touch()
    assert opened == []
    mc.help()
    assert opened == [page.as_uri()]
    assert capsys.readouterr().out == ""
    mc.help()  # no browser
    assert page.as_uri() in capsys.readouterr().out
