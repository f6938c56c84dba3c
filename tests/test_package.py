"""README and package metadata tell the truth."""

import ast
import inspect
import re
import tomllib
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import minicnn as mc

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = ROOT / ".ci" / "run"


def blocks(language):
    """The code blocks of README in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


# -------------------------------------------------------------------------------------------------------- README


@pytest.fixture(scope="module")
def after_the_first_model():
    """The names that the first block of README makes."""
    mc.utils.set_random_seed(0)
    names = {}
    exec(compile(blocks("python")[0], "README.md", "exec"), names)
    return names


def test_readme_example_learns(after_the_first_model):
    names = after_the_first_model
    assert names["accuracy"] > 0.9
    assert (names["digits"] == names["y_test"]).mean() == pytest.approx(names["accuracy"], abs=1e-6)
    assert names["history"].history["val_accuracy"][-1] > 0.9


def test_readme_data_set_trains(after_the_first_model):
    names = dict(after_the_first_model)
    exec(compile(blocks("python")[1], "README.md", "exec"), names)
    assert len(names["batches"]) == -(-len(names["x_train"]) // 32)
    assert names["model"].evaluate(names["batches"], verbose=0)[1] > 0.9


def test_readme_photos(after_the_first_model, tmp_path, monkeypatch, capsys):
    """Two classes of one colour each."""
    image = pytest.importorskip("PIL.Image")
    for name, colour in (("cats", (250, 30, 0)), ("dogs", (0, 60, 250))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(10):
            image.new("RGB", (40 + i, 30), colour).save(tmp_path / "photos" / name / f"{i}.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("python")[2], "README.md", "exec"), dict(after_the_first_model))
    assert capsys.readouterr().out.splitlines()[-1] == "cats"


def test_the_blocks_that_run_are_all_there_are():
    assert len(blocks("python")) == 3


@pytest.mark.skipif(not CI.exists(), reason="not a checkout")
def test_ci_runs_the_commands_of_readme():
    lenet5, tests, quick = blocks("sh")[:3]
    script = CI.read_text(encoding="utf-8")
    assert quick.strip() == f"{tests.strip().partition(' && ')[2]} -m quick"
    assert f"\n    {lenet5.strip()} " in script  # CI adds options
    assert f"\n    {tests.strip()}\n" in script


def test_readme_links_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_readme_lists_the_environment_variables():
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "minicnn").rglob("*.py"))
    assert set(re.findall(r"`(MINICNN_\w+)` \|", README)) == set(re.findall(r"\bMINICNN_[A-Z0-9_]+\b", source))


@pytest.mark.parametrize(
    ("module", "unlisted"),
    [
        ("layers", {"Layer", "InputLayer", "Arithmetic", "Power"}),
        ("losses", {"Loss", "FunctionLoss", "ElementwiseLoss", "RowLoss"}),
        ("metrics", {"Metric"}),
        ("optimizers", {"Optimizer"}),
        ("optimizers.schedules", {"LearningRateSchedule", "DecayByPeriods"}),
        ("regularizers", {"Regularizer"}),
        ("callbacks", {"CallbackList", "EpochLines", "NotebookProgress", "ProgressBar"}),
    ],
)
def test_readme_lists_every_class(module, unlisted):
    home = mc
    for name in module.split("."):
        home = getattr(home, name)
    classes = {
        value.__name__
        for name, value in vars(home).items()
        if inspect.isclass(value) and not name.startswith("_") and value.__module__.startswith(home.__name__)
    }
    assert unlisted <= classes
    assert {name for name in classes - unlisted if not re.search(rf"\b{name}\b", README)} == set()


# ------------------------------------------------------------------------------------------------------ metadata


def test_every_public_name_exists():
    for name in mc.__all__:
        assert getattr(mc, name) is not None
    assert set(mc.__all__) <= set(dir(mc))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = mc.no_such_name


def test_version_is_written_once_and_readable_without_importing():
    tree = ast.parse((ROOT / "minicnn" / "__init__.py").read_text(encoding="utf-8"))
    assignments = [node for node in tree.body if isinstance(node, ast.Assign)]
    values = [ast.literal_eval(node.value) for node in assignments if node.targets[0].id == "__version__"]
    assert values == [mc.__version__]
    assert metadata()["metadata"]["version"] == "attr: minicnn.__version__"


def test_installed_version_is_this_version():
    try:
        assert version("minicnn") == mc.__version__
    except PackageNotFoundError:
        pytest.skip("minicnn is not installed")


def test_python_versions_agree():
    oldest = metadata()["options"]["python_requires"].removeprefix(">=")
    assert f"Python {oldest} or newer" in README
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]
    assert ruff["target-version"] == "py" + oldest.replace(".", "")
    assert f"sys.version_info < ({oldest.replace('.', ', ')})" in (ROOT / "install.sh").read_text(encoding="utf-8")


def metadata():
    """setup.cfg."""
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser
