"""The plan of the house: imports point downwards, heavy libraries load late, files and functions stay short, every
public name is explained, and the core is as small as the README says."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from source_code import Sources, code_lines, functions

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "minicnn"

# From top to bottom; a module may import from its own room and from those below. A package stands for all in it.
ROOMS = (
    ("minicnn", "__main__", "command_line"),
    ("sklearn",),
    ("keras",),  # other names for what stands below
    (
        "activations",
        "activation_functions",
        "documentation",
        "functional",
        "gradient_check",
        "onnx",
        "page",
        "testing",
        "utils",
        "visualization",
    ),  # nothing below imports them
    ("networks",),
    ("models",),
    ("distribution",),
    ("training",),
    ("callbacks",),
    ("saving",),
    ("plan",),
    ("losses", "metrics", "optimizers"),
    ("layers",),
    ("last_function",),
    ("graph", "parameters", "step"),
    ("constraints", "further_initializers", "initializers", "regularizers"),
    ("named_functions",),
    ("registry",),
    ("images",),
    ("backends",),
    ("data",),
    ("dtype_policies", "geometry", "own_parts", "precision", "random", "resampling", "settings", "threads"),
    ("checks", "turns"),
    ("foreign",),
    (
        "bfloat16",
        "blas",
        "cache_folder",
        "compile_time",
        "console",
        "differentiation",
        "errors",
        "held",
        "hints",
        "keywords",
        "library_names",
        "locks",
        "nested",
        "numpy_archive",
        "on_host",
        "processors",
        "recorded_methods",
        "shown_numbers",
        "reverse_mode",
        "user_warnings",
    ),
    ("mistaken_names",),
    ("pytorch_names",),
)
BESIDE = {
    "datasets": {"datasets", "errors", "checks", "cache_folder", "console", "hints"}
}  # outside the order: what these may import

# The same inside packages that have an order of their own, whose face (``__init__``) stands above all. "*": all others.
FLOORS = {
    "minicnn.backends": (("loading",), ("numba", "cupy"), ("base",), ("reference", "memory"), ("freed",)),
    "minicnn.backends.cupy": (("backend",), ("*",), ("launch", "devices"), ("sources", "structures", "cubins")),
    "minicnn.backends.numba": (("backend",), ("*",), ("machine",)),
    "minicnn.backends.numba.convolution": (("*",), ("winograd_transforms", "choice")),
    "minicnn.backends.numba.machine": (
        ("summing", "walking", "second_compiler"),
        ("batch", "channels", "elementwise", "wide"),
        ("half",),
        ("matrix", "even"),
        ("fetching", "finite", "memory", "numbers", "offsets"),
        ("launch", "parallel", "denormals", "tables"),
        ("recording",),
        ("pool",),
        ("scheduling",),
        ("atomics", "compiled"),
        ("vectors",),
        ("claims", "disk_cache", "self_contained", "target"),
        ("packed",),
    ),
    "minicnn.backends.numba.tiles": (
        ("dense",),
        ("packing", "serving"),
        ("block",),
        ("primitives", "dots"),
        ("lanes",),
        ("emulation", "path"),
    ),
    "minicnn.backends.reference": (("convolution",), ("pooling",), ("*",), ("windows",)),
    "minicnn.callbacks": (("checkpoints", "dashboard"), ("monitor",), ("*",), ("base",), ("hooks", "drawing")),
    "minicnn.command_line": (
        ("program",),
        ("about", "evaluating", "exporting", "launching", "measuring", "predicting", "training"),
        ("report",),
        ("measures", "photos"),
        ("model_files",),
        ("arguments",),
        ("problems",),
    ),
    "minicnn.distribution": (
        ("parallel",),
        ("engine", "world"),
        ("data",),
        ("handshake", "lockstep", "overlap"),
        ("sums",),
        ("wire",),
        ("problems", "shards", "shares"),
    ),
    "minicnn.layers": (
        ("*",),
        ("kernel",),
        ("normalization",),
        ("activations", "merge"),
        ("base",),
        ("standalone",),
        ("channel_order",),
        ("policy",),
        ("one_off",),
        ("replacing",),
        ("contract", "given", "names", "rare_forms", "rare_options", "shapes", "twins"),
        ("open_sizes",),
        ("call_order",),
    ),
    "minicnn.losses": (
        ("function_loss", "further", "recorded_formulas"),
        ("hinges", "overlap", "probabilities", "regression"),
        ("binary",),
        ("crossentropy", "elementwise", "no_loss"),
        ("other_axis",),
        ("base",),
        ("functions", "reductions"),
        ("of_records",),
        ("of_calls",),
        ("targets",),
        ("label_advice",),
    ),
    "minicnn.metrics": (
        ("further",),
        ("auc", "operating_points"),
        ("accuracy", "*"),
        ("means",),
        ("base",),
        ("of_arrays",),
    ),
    "minicnn.models": (
        ("sequential", "rehearsal"),
        ("model",),
        ("again", "cloning", "subclassing"),
        ("input_gradients",),
        ("arguments", "files", "compilable"),
        ("network", "written_files", "written_compiled"),
        ("unread",),
        ("written_metrics",),
        ("alone", "config", "copies", "flops", "forms", "named_errors", "phases", "pictures", "summary"),
    ),
    "minicnn.onnx": (
        ("exporter", "files"),
        ("importer", "open_sizes"),
        ("operators",),
        ("chosen",),
        ("arithmetic", "composed", "kernels", "normalizing", "quantized", "rearranging", "sums_of_products", "writer"),
        ("parts",),
        ("activating", "pooling", "resizing"),
        ("unsupported",),
        ("adaptive", "constants", "folding", "frames", "gaps", "older", "padding", "reordering", "volumes"),
        ("computed", "reshaping"),
        ("arguments", "windows"),
        ("budget", "origins"),
        ("naming", "properties", "reader", "values"),
        ("tensors",),
        ("external", "fused", "number_types", "package"),
    ),
    "minicnn.optimizers": (
        ("by_weight",),
        ("further_rules", "more_rules"),
        ("rules",),
        ("lookahead",),
        ("optimizer",),
        ("extras", "formulas"),
        ("schedules",),
    ),
    "minicnn.page": (("exporter",), ("description",), ("attention", "operations"), ("weights",)),
    "minicnn.plan": (
        ("runs",),
        ("inside",),
        ("plan",),
        ("fusion", "non_finite", "wiring", "works"),
        ("casting", "waiting"),
        ("ends", "frozen", "order"),
        ("arena", "program"),
    ),
    "minicnn.saving": (
        ("keras_archive",),
        ("keras_weights",),
        ("keras_hdf5",),
        ("*",),
        ("keras",),
        ("hdf5",),
        ("formats",),
        ("snapshot", "files", "kinds"),
    ),
    "minicnn.saving.hdf5": (("reading", "writing"), ("contents", "messages")),
    "minicnn.saving.keras": (
        ("attributes",),
        ("groups",),
        ("state",),
        ("absent", "config", "compiled"),
        ("written_operations", "compiled_functions"),
        ("layers", "older", "operation_steps", "tf_operations"),
        ("number_recipes", "part_recipes"),
        ("axis_recipes", "named_recipes"),
        ("recipe",),
        ("functions",),
        ("calls", "names", "operations", "operation_table", "whole_inputs"),
        ("structure",),
    ),
    "minicnn.testing": (("check",), ("contracts",), ("running",)),
    "minicnn.sklearn": (("classifier", "regressor"), ("base",), ("shapes",)),
    "minicnn.training": (
        ("loop",),
        ("engines",),
        ("evaluation", "progress", "device_engine", "formed", "advice", "interrupts"),
        ("engine", "device_data", "device_totals"),
        ("last_call", "sources", "device_shortcuts"),
        ("arrays", "batches", "streams", "totals", "compiled"),
        ("outputs", "weighting"),
        ("measured_ends",),
        ("added_metrics", "class_weights", "columns", "data_advice", "kept_state", "lazy", "non_finite", "passes"),
        ("told_metrics",),
    ),
    "minicnn.visualization": (("*",), ("saliency",), ("heat",), ("asked", "rows"), ("figures", "layout")),
}

# What one needs to read, and all that runs, for the networks of the course documents on the reference backend: the
# README promises its size. Further layers, losses, metrics and optimizers, kernels and file formats stand outside.
CORE = (
    *("checks", "errors", "geometry", "hints", "random", "registry", "settings", "threads"),
    *("backends", "backends.base", "backends.memory", "backends.reference", "backends.reference.convolution"),
    *("backends.reference.cross_entropy", "backends.reference.dense", "backends.reference.gather"),
    *("backends.reference.optimizers", "backends.reference.pooling", "backends.reference.windows"),
    *("graph", "initializers", "parameters", "step"),
    *("layers", "layers.activations", "layers.base", "layers.conv", "layers.dense", "layers.flatten"),
    *("layers.input", "layers.kernel", "layers.names", "layers.one_off", "layers.pooling", "layers.shapes"),
    *("losses", "losses.base", "losses.crossentropy", "losses.targets"),
    *("metrics", "metrics.accuracy", "metrics.base"),
    *("optimizers", "optimizers.optimizer", "optimizers.rules"),
    *("plan", "plan.arena", "plan.fusion", "plan.plan", "plan.program", "plan.wiring"),
    "callbacks.base",
    *("training", "training.arrays", "training.batches", "training.compiled", "training.engine"),
    *("training.evaluation", "training.loop", "training.progress", "training.sources", "training.totals"),
    *("models", "models.compilable", "models.model", "models.network", "models.sequential"),
)
# What the core imports from outside itself, and why it can be read without it.
BESIDE_THE_CORE = {
    "backends.memory": {"backends.freed"},  # Python's collector goes by the number of objects
    "backends": {"backends.loading", "console"},  # of those that need more than NumPy; to print
    "callbacks.base": {"callbacks.hooks", "console", "keywords"},  # for misspelt names, here and below
    "checks": {"foreign"},  # for what is no NumPy array
    "errors": {"mistaken_names"},  # for names of another library or kind
    "losses": {"losses.function_loss", "losses.functions"},  # names for users
    "losses.base": {
        "losses.label_advice",
        "losses.of_calls",
        "losses.reductions",
    },  # messages; other reductions than the mean, losses of arrays
    "losses.crossentropy": {  # along another axis; classes that do not count; what messages guess
        *("losses.other_axis", "losses.reductions", "losses.label_advice"),
    },
    "metrics": {"losses.functions"},  # names for users
    "metrics.accuracy": {"metrics.means"},  # functions as metrics
    "metrics.base": {"metrics.of_arrays", "own_parts"},  # weights
    "layers.activations": {"layers.contract", "layers.rare_forms"},  # layers of one's own; rare arguments
    "layers.base": {
        *("dtype_policies", "layers.contract", "layers.policy", "layers.rare_options"),  # own layers, rare options
        *("layers.given", "layers.replacing", "layers.standalone", "regularizers", "turns"),  # what users hand over
    },
    "layers.input": {"keywords"},
    "layers.kernel": {"layers.normalization", "regularizers"},  # and one that folds into a kernel
    "losses.targets": {"losses.label_advice"},  # what messages guess
    "models": {"models.cloning", "models.files", "models.rehearsal"},  # names for users
    "models.compilable": {
        *("keywords", "models.forms", "training.advice", "training.outputs"),  # to warn; for several outputs
        *("models.copies", "training.engines"),  # to pickle; when the backend is a GPU's, or several train together
    },
    "models.model": {
        *("callbacks", "models.config", "models.files", "saving.files", "saving.snapshot"),  # to save
        *(
            "models.forms",
            "training.formed",
            "training.outputs",
            "training.passes",
        ),  # for dicts and several outputs
        "models.again",  # calls that are like the one before
        "models.subclassing",  # models with a `call`
        *("console", "keywords", "training.advice", "training.passes"),  # to print, to warn
    },
    "models.network": {
        *("models.config", "models.forms", "models.summary", "models.unread"),  # to save, to print
        *("dtype_policies", "layers.open_sizes"),  # layers of a config; for sizes that are None, here and below
    },
    "models.sequential": {"layers.standalone", "models.config", "training.streams"},  # to save; for generators
    "optimizers": {"optimizers.schedules"},  # names for users
    "optimizers.optimizer": {"optimizers.extras", "optimizers.schedules", "own_parts"},  # averages; a rate may be one
    "optimizers.rules": {"optimizers.formulas", "optimizers.schedules"},  # AMSGrad
    "parameters": {"held", "regularizers"},  # while a `with` lasts
    "layers.shapes": {"foreign", "layers.open_sizes"},  # shapes that are no tuples; messages
    "layers.one_off": {"layers.contract"},
    "plan.plan": {
        *("last_function", "layers.contract", "plan.casting", "plan.ends", "plan.works"),
    },  # which one is last; mixed precision; what a backend remembers
    "layers.pooling": {"layers.large_windows"},
    "plan.wiring": {"plan.casting", "plan.waiting"},  # bfloat16; what waits on a GPU
    "plan.program": {"layers.activity", "layers.contract", "layers.open_sizes"},
    "registry": {"held", "keywords", "mistaken_names", "own_parts"},  # losses and the like of one's own
    "threads": {"blas", "processors", "turns"},  # what the system allows; others' threads
    "plan.fusion": {  # in its rules
        *("layers.augmentation", "layers.channel_order", "layers.contract", "layers.merge", "layers.normalization"),
        *(
            "layers.padded_conv",
            "plan.frozen",
            "plan.order",
        ),  # transfer learning; averages that one layer moves at several places
    },
    "training.arrays": {
        *("layers.open_sizes", "training.data_advice", "training.lazy"),  # what messages guess; for data sets in files
    },
    "training.compiled": {"training.outputs"},  # for several outputs
    "training.engine": {
        *("layers.open_sizes", "plan.non_finite", "training.weighting", "turns"),  # messages; pixels; threads
        "training.last_call",  # calls that are like the one before
        "training.measured_ends",  # metrics of logits
    },
    "training.evaluation": {"callbacks", "training.passes"},  # the package's face, for what stands in base
    "training.loop": {
        *("callbacks", "training.advice", "training.interrupts", "training.passes"),  # warnings; Ctrl-C
        "training.told_metrics",  # objects of users that count
    },
    "training.progress": {"callbacks", "training.kept_state", "training.passes"},
    "training.sources": {
        *("training.data_advice", "training.class_weights", "training.lazy"),  # as above; an option of fit
        *("training.passes", "training.streams"),  # steps_per_epoch; for generators
    },
    "training.totals": {"training.kept_state", "training.weighting"},  # for damaged checkpoints; for weighted metrics
}
MOST_CORE_LINES = 4600
# Libraries that only one part of the package may import.
OWNERS = {
    "numba": "minicnn.backends.numba",
    "llvmlite": "minicnn.backends.numba",
    "cupy": "minicnn.backends.cupy",
    "matplotlib": "minicnn.visualization",
    "mpi4py": "minicnn.distribution",
    "onnx": "minicnn.onnx",
    "sklearn": ("minicnn.sklearn", "minicnn.keras.wrappers"),  # the second has a name of old Kerases
}
LATE = (
    *("numba", "llvmlite", "matplotlib", "tqdm", "pooch", "threadpoolctl", "cupy", "h5py", "onnx", "sklearn"),
    "mpi4py",
)
MAX_LINES = 420  # of a file, all counted
MAX_FUNCTION = 35  # lines of code
MAX_PARAMETERS = 10
KERAS_SIGNATURES = {
    "minicnn.images.augmented.ImageDataGenerator.flow",
    "minicnn.images.augmented.ImageDataGenerator.flow_from_directory",
    "minicnn.images.folders.image_dataset_from_directory",
    "minicnn.keras.applications._networks.MobileNet",
    "minicnn.keras.applications._networks._mobilenet_v3.function",
    "minicnn.keras.utils._downloads.get_file",
    "minicnn.keras.utils._timeseries.timeseries_dataset_from_array",
    "minicnn.models.model.Model.fit",
    "minicnn.visualization.diagram.plot_model",
}
MAX_UNFORMATTED = 5


def upward_imports(sources):
    """One line for each import, between rooms or inside a room with floors, that is not allowed."""
    for module in sources.trees:
        for imported in sources.inner_imports(module):
            for package, rooms in {"minicnn": ROOMS, **FLOORS}.items():
                upper, lower = room_in(package, module), room_in(package, imported)
                if upper != lower and upper and lower and not may_import(upper, lower, package, rooms, sources):
                    yield f"{module} imports {imported}"


def may_import(upper, lower, package, rooms, sources):
    """Whether a room of a package, or its face, may import from another of its rooms, or from its face."""
    if package == "minicnn":
        if upper in BESIDE or lower in BESIDE:
            return upper not in BESIDE or lower in BESIDE[upper]
    elif package in (upper, lower):  # the face stands above the rooms, unless it holds no more than a docstring
        return package == upper or not sources.inner_imports(package)
    return floor_of(upper, package, rooms) <= floor_of(lower, package, rooms)


def room_in(package, module):
    """'layers' for 'minicnn.layers.conv' in 'minicnn'; None for what is not in the package."""
    if module == package:
        return package
    return module.removeprefix(f"{package}.").split(".")[0] if module.startswith(f"{package}.") else None


def floor_of(room, package, rooms):
    """The number of a room's floor, counted from the top."""
    for name in (room, "*"):
        for floor, names in enumerate(rooms):
            if name in names:
                return floor
    raise AssertionError(f"{package}.{room} has no floor: give it one in {Path(__file__).name}")


@pytest.fixture(scope="module")
def sources():
    return Sources(PACKAGE)


# ------------------------------------------------------------------------------------------------------- imports


def test_imports_point_downwards(sources):
    assert list(upward_imports(sources)) == []


def test_no_modules_import_each_other(sources):
    assert sources.cycle() == []


def test_modules_for_users_are_imported_by_no_other(sources):
    top = {name for room in ROOMS[:4] for name in room}
    users = defaultdict(set)
    programs = "keras", "__main__", "command_line", "sklearn"
    for module in (m for m in sources.trees if room_in("minicnn", m) not in programs):
        for imported in sources.inner_imports(module):
            room = room_in("minicnn", imported)
            if room in top and room != room_in("minicnn", module):
                users[room].add(module)
    users.pop("functional", None)  # activations lists these two's functions under Keras's module name
    users.pop("activation_functions", None)
    users.pop("gradient_check", None)  # testing calls it for layers of one's own
    users.pop("visualization", None)  # utils lists plot_model as Keras's does
    assert users == {}


@pytest.mark.parametrize("library", OWNERS)
def test_library_is_imported_by_its_owner_only(sources, library):
    importers = {m for m in sources.trees for i in sources.imports(m) if i.split(".")[0] == library}
    owners = (OWNERS[library],) if isinstance(OWNERS[library], str) else OWNERS[library]
    assert {m for m in importers if not f"{m}.".startswith(tuple(f"{owner}." for owner in owners))} == set()


def test_every_floor_has_a_module(sources):
    """What is gone or renamed is taken off the plan."""
    for package, rooms in FLOORS.items():
        there = {room_in(package, module) for module in sources.trees}
        assert {name for room in rooms for name in room} - there - {"*"} == set(), package


@pytest.fixture
def small_house(tmp_path):
    """Writes a package minicnn with files that are given by name, and returns its `Sources`."""

    def build(**files):
        for name, text in {"__init__": "", **files}.items():
            path = tmp_path / "minicnn" / f"{name.replace('__in__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            (path.parent / "__init__.py").touch()
        return Sources(tmp_path / "minicnn")

    return build


def test_an_upward_import_and_a_ring_are_found(small_house):
    """The checks themselves can fail."""
    sources = small_house(
        layers__in____init__="def late():\n    from minicnn import models\n",
        models="from minicnn import layers\nimport minicnn.errors\n",
        errors="",
    )
    assert list(upward_imports(sources)) == ["minicnn.layers imports minicnn.models"]
    assert sources.cycle() == ["minicnn.layers", "minicnn.models"]


def test_an_upward_import_inside_a_room_is_found(small_house):
    sources = small_house(
        backends__in__numba__in__machine__in__matrix="def late():\n    from minicnn.backends.numba import pooling\n",
        backends__in__numba__in__pooling="from minicnn.backends.numba.machine import matrix\n",
        plan__in__program="if TYPE_CHECKING:\n    from minicnn.plan import plan\n",
        plan__in__plan="",
    )
    assert list(upward_imports(sources)) == [
        "minicnn.backends.numba.machine.matrix imports minicnn.backends.numba.pooling"
    ]


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
    assert printed_by(code) == ["minicnn"]


# ----------------------------------------------------------------------------------------------- for the reader


def test_every_public_name_has_a_docstring(sources):
    reference = [tree for module, tree in sources.trees.items() if module.startswith("minicnn.backends.reference.")]
    explained = {node.name for tree in reference for node in public_definitions(tree)}
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


def test_no_file_is_long():
    files = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".cu", ".js")]
    lengths = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8").count("\n") for path in files}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


@pytest.fixture(scope="module")
def all_functions(sources):
    """Dotted name → (lines of code, parameters)."""
    found = {}
    for module, path in sources.paths.items():
        for name, length, parameters in functions(path.read_text(encoding="utf-8")):
            found[f"{module}.{name}"] = length, parameters
    return found


def test_no_function_is_long(all_functions):
    assert {name: length for name, (length, _) in all_functions.items() if length > MAX_FUNCTION} == {}


def test_no_function_takes_many_arguments(all_functions):
    """Constructors may, as they are called by keywords, and those whose arguments are Keras's."""
    counts = {name: count for name, (_, count) in all_functions.items() if not name.endswith(".__init__")}
    assert {name: count for name, count in counts.items() if count > MAX_PARAMETERS}.keys() - KERAS_SIGNATURES == set()
    assert counts.keys() >= KERAS_SIGNATURES


def test_the_formatter_is_rarely_switched_off(sources):
    texts = [path.read_text(encoding="utf-8") for path in sources.paths.values()]
    assert sum(len(re.findall(r"# fmt: (?:skip|off)", text)) for text in texts) <= MAX_UNFORMATTED


def test_code_is_counted_without_docstrings_and_comments(tmp_path):
    path = tmp_path / "some.py"
    path.write_text('''"""A docstring
of two lines."""

# a comment
X = """not a
docstring"""


class Some:
    """Another."""

    def method(self, a, *b, **c):
        """And

        another."""
        return (  # counts
            a

        )
''')
    assert code_lines(path) == 7
    assert list(functions(path.read_text())) == [("Some.method", 4, 3)]


# ------------------------------------------------------------------------------------------------------ the core


@pytest.fixture(scope="module")
def core(sources):
    """Module → lines of code, of the core."""
    return {name: code_lines(sources.paths[f"minicnn.{name}"]) for name in CORE}


def test_the_core_stays_small(core):
    assert len(core) == len(CORE)
    assert sum(core.values()) <= MOST_CORE_LINES


def test_the_core_needs_nothing_but_the_core(sources):
    found = {}
    for name in CORE:
        imported = {module.removeprefix("minicnn.") for module in sources.inner_imports(f"minicnn.{name}")}
        if outside := imported - set(CORE):
            found[name] = outside
    assert found == BESIDE_THE_CORE


def test_the_readme_says_how_large_the_core_is(core):
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    lines, files = re.search(r"the core,\s+([\d,]+)\s+lines\s+of\s+code\s+in\s+(\d+)\s+files", text).groups()
    assert int(files) == len(core)
    assert abs(int(lines.replace(",", "")) - sum(core.values())) <= 50  # rounded to hundreds


def test_the_reading_order_of_the_readme_is_of_the_core(core):
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    order = re.findall(r"`([a-z_/]+)`", re.search(r"in this order:(.*?)\n\n", text, re.S).group(1))
    names = [name.rstrip("/").replace("/", ".") for name in order]
    assert len(names) > 8
    assert set(names) <= set(core)
