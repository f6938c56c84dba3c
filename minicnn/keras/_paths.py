"""Module paths that older Kerases had: ``keras.layers.core``, ``keras.utils.np_utils``."""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from minicnn.keras._missing import reason, stand_in
from minicnn.keras._warning import warn_once

_PACKAGE = "minicnn.keras"

_LAYER_MODULES = (
    *("activation", "advanced_activations", "attention", "convolutional", "core", "embeddings", "local", "merge"),
    *("merging", "noise", "normalization", "pooling", "recurrent", "regularization", "reshaping", "wrappers"),
    *("convolutional_recurrent", "normalization.batch_normalization", "preprocessing", "experimental"),
    *("experimental.preprocessing", "core.dense", "pooling.max_pooling2d", "convolutional.conv2d", "preprocessing"),
    *("preprocessing.image_preprocessing", "preprocessing.normalization", "normalization_v2", "serialization"),
    *("dense_attention", "locally_connected", "convolutional_transpose"),
)
_OPTIMIZER_FILES = ("adadelta", "adagrad", "adam", "adamax", "gradient_descent", "nadam", "rmsprop")
_RATES = "learning_rate_schedule"
# Path below keras → the one of today.
_OLD_PATHS = {f"layers.{name}": "layers" for name in _LAYER_MODULES} | {
    "backend.tensorflow_backend": "backend",
    "engine": "models",
    "engine.topology": "layers",
    "engine.training": "models",
    "engine.saving": "models",
    "engine.network": "models",
    "engine.input_layer": "layers",
    "engine.base_layer": "layers",
    "engine.sequential": "models",
    "engine.functional": "models",
    **dict.fromkeys(("engine.container", "engine.training_utils", "engine.training_v1"), "models"),
    **dict.fromkeys(("engine.input_spec", "engine.base_layer_utils"), "layers"),
    "legacy": "layers",
    "mixed_precision.experimental": "mixed_precision",
    "legacy.layers": "layers",
    "models.sequential": "models",
    "objectives": "losses",
    "optimizers.experimental": "optimizers",
    "optimizers.adam": "optimizers",
    "optimizers.sgd": "optimizers",
    "optimizers.rmsprop": "optimizers",
    "initializations": "initializers",
    "preprocessing.image_dataset": "utils",
    "wrappers.scikit_learn": "wrappers",
    "utils.np_utils": "utils",
    "utils.vis_utils": "utils",
    "utils.visualize_util": "utils",
    "utils.generic_utils": "utils",
    "utils.data_utils": "utils",
    "utils.image_utils": "utils",
    "utils.layer_utils": "utils",
    "utils.io_utils": "utils",
    **dict.fromkeys(("utils.multi_gpu_utils", "utils.training_utils", "utils.all_utils"), "utils"),
    **dict.fromkeys((f"optimizers.{name}_v2" for name in _OPTIMIZER_FILES), "optimizers"),
    **dict.fromkeys(("optimizer_v1", "optimizer_v2", "optimizers.ftrl", "optimizers.optimizer_v1"), "optimizers"),
    **dict.fromkeys(("optimizers.optimizer_v2", "optimizers.optimizer_experimental"), "optimizers"),
    **dict.fromkeys((f"optimizer_v2.{_RATES}", f"optimizers.{_RATES}"), "optimizers.schedules"),
    **dict.fromkeys((f"optimizers.{path}.{_RATES}" for path in ("schedules", "optimizer_v2")), "optimizers.schedules"),
    **dict.fromkeys(("callbacks.callbacks", "callbacks.tensorboard_v1", "callbacks.tensorboard_v2"), "callbacks"),
    **dict.fromkeys(("initializers.initializers_v1", "initializers.initializers_v2"), "initializers"),
    **dict.fromkeys(("metrics.metrics", "metrics.base_metric"), "metrics"),
    **dict.fromkeys(("backend.common", "backend.load_backend"), "backend"),
    **dict.fromkeys(("saving.save", "saving.hdf5_format", "saving.saving_api"), "models"),
}
# Folders of Keras 2 with a file for each class or some: ``keras.layers.core.dropout``, ``keras.optimizer_v2.adam``.
_FOLDERS = (
    *(f"layers.{name}" for name in _LAYER_MODULES if "." not in name and not name.startswith("merg")),  # add, dot, …
    *("optimizer_v2", "optimizers.optimizer_v2", "optimizers.optimizer_experimental"),
)


# Where Keras 3 keeps its files, and names for the public: scripts that an editor completed import from there.
_INSIDE = ("src", "api", "_tf_keras")
_DEEP = (("optimizers", "schedules"), ("optimizers", "legacy"), ("ops", "image"))
_PYTHON = "tensorflow.python"  # where TensorFlow has its own
_GENERATED = "tensorflow._api"  # whose files are those of the public names, by version
_ROOMS = {"image_ops": ".image", "linalg_ops": ".linalg", "nn": ".nn", "nn_ops": ".nn", "random_ops": ".random"}
_MODULES = (
    *("activations", "applications", "backend", "callbacks", "config", "constraints", "datasets", "distillation"),
    "distribution",
    *(
        "initializers",
        "layers",
        "losses",
        "metrics",
        "models",
        "ops",
        "optimizers",
        "random",
        "regularizers",
        "saving",
        "tree",
        "utils",
    ),
)


def old_path(path: str) -> str | None:
    """``keras.layers`` for ``keras.layers.core`` and ``keras.src.layers.core.dense``; None for a path of today."""
    path = path.removeprefix("keras.")
    if path.partition(".")[0] in _INSIDE:
        return _inside(path.split(".")[1:])
    if f"{path}.".startswith(f"{_PYTHON}."):
        return _below_python(path.split(".")[2:])
    if f"{path}.".startswith(f"{_GENERATED}."):
        parts = [part for part in path.split(".")[2:] if part not in ("v1", "v2", "compat")]
        return _inside(parts[1:]) if parts[:1] == ["keras"] else ".".join(["keras.tensorflow", *parts])
    folder, _, file = path.rpartition(".")
    is_file = folder in _FOLDERS and file.islower() and not file.startswith("_")  # else it is a class there
    today = _OLD_PATHS.get(path) or (_OLD_PATHS[folder] if is_file else None)
    return None if today is None else f"keras.{today}"


def _below_python(parts):
    """Where the names of a file of TensorFlow's own are, of which it keeps those of Keras in one folder."""
    if parts[:1] == ["keras"]:
        return _inside(parts[1:])
    return f"keras.tensorflow{_ROOMS.get(parts[-1] if parts else '', '')}"


def _inside(parts):
    """Where the names of a file of Keras's own are; None for a module that it does not have."""
    while parts[:1] in (["keras"], ["_v1"], ["_v2"], ["legacy"]):
        parts = parts[1:]
    if (today := _OLD_PATHS.get(".".join(parts))) is not None:
        return f"keras.{today}"
    if parts and parts[0] not in (*_MODULES, "preprocessing"):
        return None
    is_deep = parts[:1] in (["datasets"], ["preprocessing"], ["applications"]) or tuple(parts[:2]) in _DEEP
    return ".".join(["keras", *parts[: 2 if is_deep else 1]])


class _OldModule(ModuleType):
    """Has all names of the module that took its place."""

    def __getattr__(self, name):
        if name == "np":  # no file of its own, but what Keras 2's files had imported
            return getattr(self._today(), name)
        path = f"{self.__name__.removeprefix('minicnn.')}.{name}"
        is_of_tensorflow = _PYTHON in path or _GENERATED in path
        if old_path(path) and path.split(".")[1] not in _INSIDE and not is_of_tensorflow:
            return import_module(f"minicnn.{path}")
        return getattr(self._today(), name)

    def __call__(self, *args, **kwargs):
        """What has the module's name and is no module: ``keras.optimizers.adam(lr=0.1)``, ``keras.layers.merge(…)``."""
        today, own = self._today(), self.__name__.rpartition(".")[2]
        known = [vars(today)[name] for name in today.__all__ if name.lower() == own and name != own]
        function = vars(today).get(f"_{own}_function", *known[:1])
        if function is None:
            raise TypeError(f"{self.__name__.removeprefix('minicnn.')} is a module. Received: a call of it")
        return function(*args, **kwargs)

    def _today(self):
        return import_module(f"minicnn.{old_path(self.__name__.removeprefix('minicnn.'))}")


class _MissingModule(ModuleType):
    """A module that minicnn does not have: all its names say so when they are used."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name, f"minicnn has no {name}{self.__doc__[self.__doc__.index(': ') :]}")


class _Finder(MetaPathFinder, Loader):
    """Makes the modules of `_OLD_PATHS`."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.startswith(f"{_PACKAGE}.") and old_path(fullname.removeprefix("minicnn.")):
            return ModuleSpec(fullname, self, is_package=True)
        if fullname.startswith(f"{_PACKAGE}.") and reason(fullname.rpartition(".")[2]):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        if old_path(spec.name.removeprefix("minicnn.")):
            return _OldModule(spec.name)
        return _MissingModule(spec.name, reason(spec.name.rpartition(".")[2]))

    def exec_module(self, module):
        if isinstance(module, _MissingModule):
            return
        path = module.__name__.removeprefix("minicnn.")
        warn_once(f"{path} is a module of an older Keras: today its names are in {old_path(path)}")


def install() -> None:
    """Let Python find them."""
    sys.meta_path.insert(0, _Finder())
