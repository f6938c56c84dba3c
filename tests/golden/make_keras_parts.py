"""Note down what Keras computes with its losses, metrics, optimizers and smaller parts, for test_…_as_in_keras.py.

In this folder, with Keras (3.15.1 on TensorFlow 2.21.0 wrote the files that are in the repository):

    python make_keras_parts.py [losses …]

The cases stand in tests/…_cases.py. `keras_signatures.json` has the parameters of Keras's classes and functions.
"""

import inspect
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import tensorflow as tf

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import callback_cases
import loss_cases
import metric_cases
import optimizer_cases
import small_part_cases as small
from part_cases import SIGNATURES

MODULES = "losses", "metrics", "optimizers", "schedules", "constraints", "regularizers", "initializers", "activations"


def parameters(value):
    """Parameter → repr of its default, None where it has none."""
    found = inspect.signature(value).parameters.values()
    return {p.name: None if p.default is p.empty else repr(p.default) for p in found}


def write_signatures():
    """All modules' classes and functions."""
    modules = {name: getattr(keras, name, None) or keras.optimizers.schedules for name in MODULES}
    modules["callbacks"], modules["utils"] = keras.callbacks, keras.utils
    signatures = {
        module: {n: parameters(v) for n, v in vars(home).items() if callable(v) and not n.startswith("_")}
        for module, home in modules.items()
    }
    lines = [f'"{module}": {json.dumps(found)}' for module, found in signatures.items()]
    SIGNATURES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def rounded(found):
    """The same with numbers of ten digits, which are written shorter."""
    if isinstance(found, dict):
        return {key: rounded(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [rounded(value) for value in found]
    return float(f"{found:.10g}") if isinstance(found, float) else found


def losses():
    """Case → results."""
    return {case: loss_cases.results(keras, tf, *arguments) for case, *arguments in loss_cases.each()}


def metrics():
    """Case → results, of classes and functions."""
    found = {case: metric_cases.results(keras, *arguments) for case, *arguments in metric_cases.each()}
    return found | {c: metric_cases.function_result(keras, *arguments) for c, *arguments in metric_cases.functions()}


def optimizers():
    """Case → results, of optimizers and schedules."""
    found = {}
    for case, name, options in optimizer_cases.each():
        keras.config.set_floatx("float32" if name == "Muon" else "float64")
        found[case] = optimizer_cases.results(keras, name, options)
    keras.config.set_floatx("float64")
    return found | {case: optimizer_cases.rates(keras, *rest) for case, *rest in optimizer_cases.each_schedule()}


def small_parts():
    """Case → results, of constraints, regularizers, initializers, activations and utils."""
    found = {case: small.constrained(keras, *rest) for case, *rest in small.each(small.CONSTRAINTS)}
    found |= {case: small.penalty(keras, tf, *rest) for case, *rest in small.each(small.REGULARIZERS)}
    found |= {case: small.drawn(keras, *rest) for case, *rest in small.each(small.INITIALIZERS)}
    found |= {case: small.activated(keras, tf, *rest) for case, *rest in small.each(small.ACTIVATIONS)}
    return found | {case: small.util(keras, *rest) for case, *rest in small.each_util()}


def callbacks():
    """Case → what callbacks decide, which methods are called."""
    keras.config.set_floatx("float32")
    found = {case: callback_cases.results(keras, *rest) for case, *rest in callback_cases.each()}
    found |= {what: callback_cases.calls(keras, what) for what in callback_cases.WHAT}
    found |= {f"SwapEMAWeights {swap}": callback_cases.averaged(keras, swap) for swap in (False, True)}
    return found | {f"BackupAndRestore {o}": callback_cases.gone_on(keras, o) for o in callback_cases.BACKUPS}


KINDS = {function.__name__: function for function in (losses, metrics, optimizers, small_parts, callbacks)}

if __name__ == "__main__":
    keras.config.set_floatx("float64")
    write_signatures()
    for kind in sys.argv[1:] or KINDS:
        lines = [f"{json.dumps(case)}: {json.dumps(rounded(found))}" for case, found in KINDS[kind]().items()]
        (HERE / f"keras_{kind}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
