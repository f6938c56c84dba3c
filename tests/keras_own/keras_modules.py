"""A fake of the package `keras` whose modules hand out minicnn's names, so that Keras's own tests run on minicnn.

It translates names and nothing else: `keras.src.layers.reshaping.flatten.Flatten` is `minicnn.keras.layers.Flatten`. A
few files of Keras that only tests use, such as their `TestCase`, are read from Keras's source.
"""

import contextlib
import functools
import importlib.abc
import importlib.util
import os
import re
import sys
import types
import unittest
from pathlib import Path

import numpy as np
import optree  # noqa: F401 (of keras.tree)
from keras_optimizers import Variable, optimizer_names, plain

import minicnn as mc
from minicnn import keras
from minicnn.checks import check_number
from minicnn.data.elements import EagerArray
from minicnn.keras._missing import reason

FROM_KERAS = (
    *(
        "keras.src.testing",
        "keras.src.testing.test_case",
        "keras.src.testing.test_utils",
        "keras.src.backend.common.backend_utils",
    ),
    *("keras.src.tree", "keras.src.tree.tree_api", "keras.src.tree.optree_impl", "keras.src.utils.module_utils"),
)
ROOMS = (
    *("activations", "applications", "callbacks", "config", "constraints", "datasets", "initializers", "layers"),
    *("losses", "metrics", "models", "regularizers", "saving", "utils"),
)

INSIDE = {"GroupedQueryAttention": "GroupQueryAttention"}
"""What Keras calls a class inside of it → its public name."""


class Absent:
    """In the place of a name that minicnn does not have: a test that makes one is skipped, and says why."""

    def __init__(self, *args, **kwargs):
        raise unittest.SkipTest(self.why)

    def __init_subclass__(cls, why=None):
        cls.why = why or cls.why


def absent(name, why):
    """A class for the name `name` of Keras."""
    return type(name, (Absent,), {"__module__": "keras"}, why=f"absent: {why}")


class Names(types.ModuleType):
    """A module that looks names up: its own first, then the sources'."""

    def __init__(self, name, sources=(), **own):
        super().__init__(name)
        self.__path__ = []
        self.__dict__.update(own, _sources=sources)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        with contextlib.suppress(AttributeError):
            return self.find(INSIDE.get(name, name))
        if why := reason(name):
            return absent(name, why.partition(": ")[2])
        inside = self.__name__.removeprefix("keras").removeprefix(".src")
        if self.__name__.startswith("keras"):
            with contextlib.suppress(ImportError):
                return importlib.import_module(f"keras.src{inside}.{name}")
        if name in INTERNAL or name not in PUBLIC or not self._sources:
            return absent(name, INTERNAL.get(name) or f"{self.__name__}, internals of Keras")
        raise AttributeError(f"{self.__name__} has no {name}")

    def find(self, name):
        """What the module itself or its sources have; AttributeError otherwise."""
        if name in vars(self):
            return vars(self)[name]
        for source in self._sources:
            with contextlib.suppress(AttributeError, ImportError):
                found = source.find(name) if isinstance(source, Names) else getattr(source, name)
                is_minicnns = isinstance(found, types.ModuleType) and not isinstance(found, Names)
                return Names(f"keras.{name}", (found,)) if is_minicnns and found is not np else found
        raise AttributeError(name)


PUBLIC = set()  # every name of Keras that users are meant to use
INTERNAL = {
    "SeedGenerator": "seed generators: a random number is a function of seed, place, iteration and element",
    "RematScope": "rematerialization",
    "StatelessScope": "functions without state, of jax",
    "DTypePolicy": "policies of dtypes: a model has one dtype",
}


# ----------------------------------------------------------------------------------------------------- arrays


def standardize_dtype(dtype):
    dtype = {None: "float32", "int": "int32", float: "float32", int: "int32", bool: "bool"}.get(dtype, dtype)
    return dtype if isinstance(dtype, str) else np.dtype(dtype).name


def tensor(x, dtype=None, **_):
    """An array, in 32 bits unless told, as Keras's on jax and torch; of the class that calls of layers return."""
    if keras.ops.is_keras_tensor(x):
        return x
    x = np.asarray(plain(x))
    dtype = standardize_dtype(dtype or {"float64": "float32", "int64": "int32"}.get(x.dtype.name, x.dtype))
    if dtype == "bfloat16":
        raise unittest.SkipTest("absent: bfloat16")
    return x.astype(dtype).view(EagerArray)


class OfVariables:
    """A function that takes the tests' variables too; it equals the function itself."""

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *args, **kwargs):
        return self.function(*map(plain, args), **kwargs)

    def __eq__(self, other):
        return self.function == getattr(other, "function", other)

    __hash__ = None


class Ops(Names):
    """`keras.ops`: minicnn's, and NumPy's for what tests compute with besides."""

    def find(self, name):
        function = super().find(name)
        return function if not callable(function) or isinstance(function, type) else OfVariables(function)


class Symbolic(type):
    """Of the class `KerasTensor`: what it makes is minicnn's input of a model, what is one of it minicnn's tensor."""

    def __call__(cls, shape, dtype="float32", sparse=False, ragged=False, **_):
        if sparse or ragged:
            raise unittest.SkipTest("absent: sparse and ragged tensors")
        return keras.Input(batch_shape=tuple(shape), dtype=dtype)

    def __instancecheck__(cls, instance):
        return keras.ops.is_keras_tensor(instance)


class KerasTensor(metaclass=Symbolic):
    """A symbolic tensor."""


def set_floatx(dtype):
    if dtype not in ("float32", "float64"):
        raise unittest.SkipTest("absent: half precision")
    mc.utils.set_floatx(dtype)


ops = Ops(
    "keras.ops",
    (keras.ops, np),
    convert_to_tensor=tensor,
    array=tensor,
    cast=lambda x, dtype: x if keras.ops.is_keras_tensor(x) else tensor(x, dtype),
    ones=lambda shape, dtype="float32": np.ones(shape, dtype),
    zeros=lambda shape, dtype="float32": np.zeros(shape, dtype),
    is_tensor=lambda x: isinstance(x, np.ndarray | np.generic),
    convert_to_numpy=lambda x: np.asarray(plain(x)),
)
generator = np.random.default_rng(0)
random = Names(
    "keras.random",
    (keras.random,),
    normal=lambda shape, dtype="float32", **_: generator.standard_normal(shape).astype(dtype or "float32"),
    uniform=lambda shape, minval=0.0, maxval=1.0, dtype="float32", **_: generator.uniform(minval, maxval, shape).astype(
        dtype or "float32"
    ),
    randint=lambda shape, minval, maxval, dtype="int32", **_: generator.integers(minval, maxval, shape, dtype),
)
ops.random = random
backend = Names(
    "keras.backend",
    (keras.backend, ops),
    Variable=Variable,
    KerasTensor=KerasTensor,
    backend=lambda: "minicnn",
    convert_to_tensor=tensor,
    convert_to_numpy=ops.convert_to_numpy,
    standardize_dtype=standardize_dtype,
    is_float_dtype=lambda dtype: "float" in standardize_dtype(dtype),
    is_int_dtype=lambda dtype: "int" in standardize_dtype(dtype),
    set_floatx=set_floatx,
    set_image_data_format=keras.config.set_image_data_format,
    image_data_format=keras.config.image_data_format,
    name_scope=lambda *_, **__: contextlib.nullcontext(),
    random=random,
    numpy=np,
    SUPPORTS_SPARSE_TENSORS=False,
    SUPPORTS_RAGGED_TENSORS=False,
    IS_THREAD_SAFE=True,
    clear_session=lambda free_memory=True: mc.utils.clear_session(),
    is_keras_tensor=keras.ops.is_keras_tensor,
)
backend.config = backend

PLAIN = {
    "ops": ops,
    "random": random,
    "backend": backend,
    "optimizers": Names("keras.optimizers", (optimizer_names(), keras.optimizers)),
    **{name: Names(f"keras.{name}", (getattr(keras, name),)) for name in ROOMS},
}
PLAIN["losses"].Loss = keras.losses.Loss
TRACEBACKS = {"is_traceback_filtering_enabled": lambda: False}
BESIDE = {  # what is nobody's, but imported by tests
    "keras.src.api_export": {"keras_export": lambda *_, **__: lambda thing: thing},
    "conftest": {"skip_if_backend": lambda name, reason: lambda test: test},
    "keras.src.utils.traceback_utils": TRACEBACKS,
    "keras.src.utils.numerical_utils": {
        "to_categorical": keras.utils.to_categorical,
        "normalize": keras.utils.normalize,
    },
    "keras.src.backend.common.global_state": {"clear_session": backend.clear_session},
    "keras.src.initializers.random_initializers": {"compute_fans": mc.initializers.fans},
    "tensorflow": {"data": mc.data},
    "keras.src.dtype_policies": {"serialize": absent("serialize", "policies of dtypes")},
    "keras.src.dtype_policies.dtype_policy": {"dtype_policy": lambda: None, "set_dtype_policy": lambda policy: None},
    "keras.src.regularizers.regularizers": {"validate_float_arg": lambda value, name: check_number(name, value)},
    **{name: {} for name in ("tensorflow.python", "tensorflow.python.eager", "grain", "jax")},
    "keras.src.utils.file_utils": {"exists": os.path.exists, "join": os.path.join, "listdir": os.listdir},
    "keras.src.trainers.data_adapters.py_dataset_adapter": {"PyDataset": keras.utils.PyDataset},
    "keras.src.utils.backend_utils": {"DynamicBackend": absent("DynamicBackend", "other backends")},
}


def removesuffix(text, suffix):
    return text.removesuffix(suffix)


PLAIN["utils"].removesuffix = removesuffix


def source_of(name):
    """The module whose names `keras.src.<room>…` has."""
    if name.startswith("keras.src.optimizers.schedules"):
        return keras.optimizers.schedules
    if name in ("keras", "keras.src"):
        return keras
    if name == "keras.src.backend.config":
        return Names("keras.config", (backend, keras.config))
    room = name.removeprefix("keras.").removeprefix("src.").partition(".")[0]
    return PLAIN.get(room)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes the modules `keras…`."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def find_spec(self, name, path=None, target=None):
        if name in FROM_KERAS or (name.startswith("keras.") and name.endswith("_test")):
            return self._in_keras(name)
        path = self.folder.joinpath(*name.split("."))
        is_of_keras = path.is_dir() or path.with_suffix(".py").exists() or name.removeprefix("keras.") in PLAIN
        if name in BESIDE or (name.partition(".")[0] == "keras" and is_of_keras):
            return importlib.util.spec_from_loader(name, self, is_package=True)
        return None

    def _in_keras(self, name):
        path = self.folder.joinpath(*name.split("."))
        package = path.is_dir()
        path = path / "__init__.py" if package else path.with_suffix(".py")
        return importlib.util.spec_from_file_location(name, path, submodule_search_locations=[] if package else None)

    def create_module(self, spec):
        own, source = BESIDE.get(spec.name, {}), source_of(spec.name)
        return Names(spec.name, () if source is None else (source,), **own)

    def exec_module(self, module):
        if module.__name__ in ("keras", "keras.src"):
            vars(module).update(PLAIN)
        if module.__name__ == "keras.src":
            module.testing, module.tree = map(importlib.import_module, ("keras.src.testing", "keras.src.tree"))
            module.dtype_policies = importlib.import_module("keras.src.dtype_policies")


def install(folder):
    """Put the fake in the place of Keras, whose source lies in `folder`."""
    for path in Path(folder, "keras", "api").rglob("__init__.py"):
        PUBLIC.update(re.findall(r"import (?:\w+ as )?(\w+)$", path.read_text(), re.MULTILINE))
    sys.meta_path.insert(0, Finder(folder))
