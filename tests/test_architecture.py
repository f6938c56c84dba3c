"""The plan of the house: imports point downwards, heavy libraries load late, every public name is explained."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "minicnn"

# From top to bottom; a module may import from its own room and from those below. A package stands for all in it.
ROOMS = (
    ("minicnn", "_keras_alias"),
    ("activations", "functional", "gradient_check", "onnx", "utils", "visualization"),  # nothing imports them
    ("models",),
    ("training",),
    ("callbacks",),
    ("saving",),
    ("plan",),
    ("losses", "metrics", "optimizers"),
    ("layers",),
    ("graph", "parameters", "step"),
    ("initializers", "regularizers"),
    ("registry",),
    ("backends",),
    ("geometry", "random", "settings", "threads"),
    ("checks",),
    ("cache_folder", "errors"),
)
FLOOR = {name: floor for floor, room in enumerate(ROOMS) for name in room}
BESIDE = {"datasets": {"datasets", "errors", "checks", "cache_folder"}}  # outside the order: what these may import

# Libraries that only one part of the package may import.
OWNERS = {
    "numba": "minicnn.backends.numba",
    "llvmlite": "minicnn.backends.numba",
    "cupy": "minicnn.backends.cupy",
    "matplotlib": "minicnn.visualization",
    "onnx": "minicnn.onnx",
}
LATE = ("numba", "llvmlite", "matplotlib", "tqdm", "pooch", "threadpoolctl", "cupy", "h5py", "onnx")
MAX_LINES = 600


class Sources:
    """The modules of a package and what they import.

    Parameters
    ----------
    folder : Path
        The package.

    Attributes
    ----------
    trees : dict
        Module name → syntax tree.
    """

    def __init__(self, folder):
        self.trees, self.lines = {}, {}
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            self.trees[name], self.lines[name] = ast.parse(text), text.count("\n")

    def imports(self, module):
        """All modules that a module imports, anywhere in its text; `from a import b` is a.b where that is a module."""
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: write imports in full"
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    yield name if name in self.trees else node.module

    def upward_imports(self):
        """One line for each import between rooms that is not allowed."""
        for module in self.trees:
            for imported in self.imports(module):
                if imported in self.trees and not _may_import(_room(module), _room(imported)):
                    yield f"{module} imports {imported}"

    def cycle(self):
        """Modules that import each other in a ring, as a list; empty if there are none."""
        below = defaultdict(set)
        for module in self.trees:
            below[module] = {i for i in self.imports(module) if i in self.trees and i != module}
        free = set()
        while any(found := [m for m in self.trees if m not in free and below[m] <= free]):
            free.update(found)
        return sorted(set(self.trees) - free)


def _room(module):
    """'minicnn.layers.conv' is in 'layers'."""
    return module.split(".")[1] if "." in module else module


def _may_import(upper, lower):
    for name in (upper, lower):
        assert name in FLOOR or name in BESIDE, f"{name} has no room: give it one in {Path(__file__).name}"
    if upper in BESIDE:
        return lower in BESIDE[upper]
    return lower in BESIDE or FLOOR[upper] <= FLOOR[lower]


@pytest.fixture(scope="module")
def sources():
    return Sources(PACKAGE)


# ------------------------------------------------------------------------------------------------------- imports


def test_imports_point_downwards(sources):
    assert list(sources.upward_imports()) == []


def test_no_modules_import_each_other(sources):
    assert sources.cycle() == []


def test_modules_for_users_are_imported_by_no_other(sources):
    top = {name for room in ROOMS[:2] for name in room}
    users = defaultdict(set)
    for module in sources.trees:
        for imported in sources.imports(module):
            if _room(imported) in top and _room(imported) != _room(module):
                users[_room(imported)].add(module)
    users.pop("functional", None)  # activations lists some of its functions under Keras's module name
    users.pop("visualization", None)  # utils lists plot_model as Keras's does
    assert users == {"_keras_alias": {"minicnn"}}


@pytest.mark.parametrize("library", OWNERS)
def test_library_is_imported_by_its_owner_only(sources, library):
    importers = {m for m in sources.trees for i in sources.imports(m) if i.split(".")[0] == library}
    assert {m for m in importers if not f"{m}.".startswith(OWNERS[library] + ".")} == set()


def test_an_upward_import_and_a_ring_are_found(tmp_path):
    """The checks themselves can fail."""
    package = tmp_path / "minicnn"
    (package / "layers").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "layers" / "__init__.py").write_text("def late():\n    from minicnn import models\n")
    (package / "models.py").write_text("from minicnn import layers\nimport minicnn.errors\n")
    (package / "errors.py").touch()
    sources = Sources(package)
    assert list(sources.upward_imports()) == ["minicnn.layers imports minicnn.models"]
    assert sources.cycle() == ["minicnn.layers", "minicnn.models"]


# --------------------------------------------------------------------------------------------- what loads when


def printed_by(code):
    """The words that a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent).stdout.split()


@pytest.mark.parametrize(
    "names", ["import minicnn", "from minicnn import *", "import minicnn.models, minicnn.datasets"]
)
def test_importing_loads_no_heavy_library(names):
    assert printed_by(f"import sys\n{names}\nprint(*sorted(sys.modules.keys() & {set(LATE)!r}))") == []


def test_importing_minicnn_loads_none_of_its_modules():
    code = "import sys, minicnn; print(*sorted(m for m in sys.modules if m.startswith('minicnn')))"
    assert printed_by(code) == ["minicnn", "minicnn._keras_alias"]


# ----------------------------------------------------------------------------------------------- for the reader


def test_every_public_name_has_a_docstring(sources):
    explained = {node.name for node in public_definitions(sources.trees["minicnn.backends.reference"])}
    missing = [module for module, tree in sources.trees.items() if not ast.get_docstring(tree)]
    for module, tree in sources.trees.items():
        for node in public_definitions(tree):
            is_kernel = module.startswith("minicnn.backends.") and node.name in explained
            if not ast.get_docstring(node) and not is_kernel:
                missing.append(f"{module}.{node.name}")
    assert missing == []


def public_definitions(tree):
    """The functions and classes that a module defines for others."""
    kinds = ast.FunctionDef | ast.ClassDef
    return [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def test_no_module_is_long(sources):
    assert {module: lines for module, lines in sources.lines.items() if lines > MAX_LINES} == {}
