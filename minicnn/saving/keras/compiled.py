"""What a model was compiled with, in Keras's form and in minicnn's: losses, metrics, the optimizer."""

from itertools import chain
from typing import Any

from minicnn import metrics
from minicnn.checks import for_outputs
from minicnn.errors import FileFormatError
from minicnn.hints import Config
from minicnn.registry import is_config, to_plain
from minicnn.saving.keras.compiled_functions import (
    LOSS,
    METRIC,
    function_entry,
    function_from_keras,
    function_to_keras,
)
from minicnn.saving.keras.names import object_from_keras, part_object
from minicnn.user_warnings import warn_user

MAX_DEPTH = 20
MAX_OUTPUTS, MAX_METRICS = 10_000, 100_000  # of all outputs, each of which may have all: files come from strangers
NO_LOSS = "NoLoss"  # minicnn's class for Keras's None
OPTIMIZER_NEUTRAL = ("is_legacy_optimizer", "jit_compile", "name")


# ----------------------------------------------------------------------------------------------------------- reading

NOT_IN_KERAS = ("epsilon_in_root", "schedule_decay", "flatten_kernels")  # arguments of optimizers, left out of files


def compile_from_keras(config: Config | None, outputs: list[str]) -> Config | None:
    """`Snapshot.compile` from Keras's compile_config, or its older training_config; None if it was not compiled.

    Parameters
    ----------
    config : dict or None
    outputs : list of str
        Names of the output layers, by which dicts of losses and metrics go.
    """
    optimizer = _named_optimizer(config)
    if not optimizer and not names_no_optimizer(config):  # without a loss it is compiled all the same: add_loss is one
        return None
    if len(outputs) > MAX_OUTPUTS:
        raise FileFormatError(f"a model is compiled for at most {MAX_OUTPUTS} outputs. Received: {len(outputs)}")
    losses = _for_outputs("loss", config.get("loss"), outputs)
    weights = _for_outputs("loss_weights", config.get("loss_weights"), outputs)
    return {
        "optimizer": optimizer_from_keras(optimizer or None),
        "loss": [_loss_from_keras(loss) for loss in losses],
        "loss_weights": [1.0 if w is None else w for w in weights],
        "metrics": _metrics_from_keras(config.get("metrics"), outputs),
        "weighted_metrics": _metrics_from_keras(config.get("weighted_metrics"), outputs),
    }


def names_no_optimizer(config: Any) -> bool:
    """Whether a file says what a model was compiled with, but for the optimizer, where Keras takes its default.

    Keras 3 (3.15.1) writes such a .keras file of a model that it wrote as .h5 before, together with the state of the
    optimizer that the model has.
    """
    return isinstance(config, dict) and "loss" in config and not _named_optimizer(config)


def _named_optimizer(config):
    return config.get("optimizer", config.get("optimizer_config")) if isinstance(config, dict) else None


def optimizer_name(config: Any) -> Any:
    """How a file calls its model's optimizer, "adam" or as a script did; None if it does not say so."""
    optimizer = _named_optimizer(config)
    own = optimizer.get("config") if isinstance(optimizer, dict) else None
    return own.get("name") if isinstance(own, dict) else None


def _for_outputs(argument, value, outputs) -> list:
    """One entry for each output, from a dict by name, which may leave some out, or nested lists and dicts."""
    if isinstance(value, dict) and not is_config(value) and set(value) <= set(outputs):
        return [value.get(name) for name in outputs]
    parts = value.values() if _is_nested(value) and isinstance(value, dict) else value
    if _is_nested(value) and any(_is_nested(part) for part in parts):
        value = list(_entries(value))
    return for_outputs(argument, value, len(outputs), outputs)


def _is_nested(value) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and not is_config(value))


def _entries(value, depth=0):
    """What is in nested lists and dicts, in order."""
    if depth > MAX_DEPTH:
        raise FileFormatError(f"losses are nested more than {MAX_DEPTH} deep")
    if _is_nested(value):
        for part in value if isinstance(value, list) else [value[key] for key in sorted(value)]:
            yield from _entries(part, depth + 1)
    else:
        yield value


def _loss_from_keras(value) -> dict:
    return function_from_keras(LOSS, value) or _as_entry(NO_LOSS if value is None else object_from_keras(value))


def _metric_from_keras(value) -> str | Config:
    return function_from_keras(METRIC, value) or object_from_keras(value)


def _as_entry(value) -> dict:
    """A name as ``{"class_name", "config"}``."""
    return {"class_name": value, "config": {}} if isinstance(value, str) else value


def _metrics_from_keras(value, outputs) -> list:
    """A list of metrics for each output."""
    if not value:
        return [[] for _ in outputs]
    if isinstance(value, dict):
        lists = [value.get(name, []) for name in outputs]
    elif isinstance(value, list) and value and all(isinstance(entry, list | None) for entry in value):
        lists = value if len(value) == len(outputs) else [list(chain.from_iterable(e or [] for e in value))]
        lists = lists if len(lists) == len(outputs) else lists * len(outputs)
    else:
        lists = [value] * len(outputs)
    count = sum(len(entry) if isinstance(entry, list) else 1 for entry in lists)
    if count > MAX_METRICS:
        raise FileFormatError(f"a model has at most {MAX_METRICS} metrics, of all outputs. Received: {count}")
    return [[_metric_from_keras(m) for m in (entry if isinstance(entry, list) else [entry]) if m] for entry in lists]


def optimizer_from_keras(value: object) -> Config:
    """An optimizer's entry; Keras 2's `lr` and `decay` are translated."""
    entry = _as_entry(object_from_keras("RMSprop" if value is None else value))  # Keras's default where it wrote none
    inner = entry["config"].get("inner_optimizer")
    if inner is not None:  # LossScaleOptimizer, for float16
        return optimizer_from_keras(inner)
    config = {k: v for k, v in entry["config"].items() if k not in OPTIMIZER_NEUTRAL}
    config |= _rule_of_keras(entry["class_name"], entry["config"])
    if "lr" in config:
        config["learning_rate"] = config.pop("lr")
    rate = config.get("learning_rate")
    if isinstance(rate, dict):
        rate = object_from_keras(rate)
        rate["config"] = {k: v for k, v in rate["config"].items() if k != "name"}
    decay = config.pop("decay", 0)
    if decay and entry["class_name"] != "Nadam" and not isinstance(rate, dict):  # there it is not the learning rate's
        rate = {
            "class_name": "InverseTimeDecay",
            "config": {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay},
        }
    if config.get("weight_decay") in (0, False):  # early versions of Keras 2.11 wrote 0 for none
        config["weight_decay"] = None
    return {"class_name": entry["class_name"], "config": config | ({} if rate is None else {"learning_rate": rate})}


def _rule_of_keras(class_name, config) -> dict:
    """What the rule of an optimizer before Keras 2.11, or of one called legacy, has otherwise than today's.

    The new one has no ``decay``, nor had it `lr`.
    """
    if config.get("is_legacy_optimizer") or config.keys() & {"decay", "lr", "schedule_decay"}:
        if class_name == "Nadam":
            return {"schedule_decay": config.get("schedule_decay", config.get("decay", 0.004))}
        return {"epsilon_in_root": False} if class_name in ("RMSprop", "Adagrad") else {}
    if class_name == "Nadam" and "is_legacy_optimizer" in config:
        warn_user(
            "Nadam of Keras 2.11 to 2.15 goes on otherwise than it says, as in a graph it multiplies its product of "
            "momentums once for each weight; here, as in Keras 3, it is multiplied once in each step"
        )
    return {}


# ----------------------------------------------------------------------------------------------------------- writing


def compile_to_keras(compiled: Config) -> Config:
    """Keras 3's compile_config."""
    losses = [
        None if loss["class_name"] == NO_LOSS else function_to_keras(loss) or part_object("keras.losses", loss)
        for loss in compiled["loss"]
    ]
    measured, weighted = (
        [[metric_to_keras(m) for m in wanted] for wanted in compiled.get(key, [])]
        for key in ("metrics", "weighted_metrics")
    )
    weights = compiled["loss_weights"]
    one = len(losses) == 1
    return {
        "optimizer": optimizer_to_keras(compiled["optimizer"]),
        "loss": losses[0] if one else losses,
        "loss_weights": None if all(w == 1 for w in weights) else weights,
        "metrics": (measured[0] if one else measured) if any(measured) else None,
        "weighted_metrics": (weighted[0] if one else weighted) if any(weighted) else None,
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": False,
    }


def is_known(name: str) -> bool:
    """Whether a name is that of a metric of minicnn, or of a class that ``custom_objects=`` has."""
    try:
        return name.lower() == "acc" or bool(metrics.registry.lookup(name))
    except ValueError:
        return False


def metric_to_keras(value: str | Config) -> str | Config:
    """An object, but for "accuracy", which depends on the data; Keras 3 cannot read other names in .h5 files."""
    if isinstance(value, str) and value.lower() in ("accuracy", "acc"):
        return value
    value = function_entry(METRIC, value) if isinstance(value, str) and not is_known(value) else value
    if function := function_to_keras(value):  # of the user's
        return function
    entry = value if isinstance(value, dict) else to_plain(metrics.get(value))
    config = dict(entry["config"])
    if entry["class_name"] == "TopKCategoricalAccuracy" and config.pop("from_sorted_ids", False):
        warn_user("Keras's TopKCategoricalAccuracy has no from_sorted_ids, which is left out of the file")
    return part_object("keras.metrics", entry | {"config": config})


def optimizer_to_keras(entry: Config) -> Config:
    """An optimizer in Keras 3's form."""
    config = dict(entry["config"])
    left_out = {name: config.pop(name) for name in NOT_IN_KERAS if name in config}
    flattens = left_out.pop("flatten_kernels", False)
    if left_out:
        warn_user(
            f"files of Keras 3 have one {entry['class_name']}, that of today: {left_out}, as before Keras 2.11, is "
            "left out of the file; .safetensors keeps it"
        )
    if flattens:
        warn_user("Keras's Muon has no flatten_kernels, which is left out of the file")
    rate = config.get("learning_rate")
    if isinstance(rate, dict):
        config["learning_rate"] = part_object("keras.optimizers.schedules", rate)
    return part_object("keras.optimizers", entry | {"config": config})
