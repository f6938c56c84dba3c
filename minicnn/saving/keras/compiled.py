"""What a model was compiled with, in Keras's form and in minicnn's: losses, metrics, the optimizer."""

import warnings
from itertools import chain

from minicnn import metrics
from minicnn.checks import for_outputs
from minicnn.hints import Config
from minicnn.registry import to_plain
from minicnn.saving.keras.names import keras_object, object_from_keras

OPTIMIZER_NEUTRAL = ("is_legacy_optimizer", "jit_compile", "name")


# ----------------------------------------------------------------------------------------------------------- reading


def compile_from_keras(config: Config | None, outputs: list[str]) -> Config | None:
    """`Snapshot.compile` from Keras's compile_config, or its older training_config; None if it was not compiled.

    Parameters
    ----------
    config : dict or None
    outputs : list of str
        Names of the output layers, by which dicts of losses and metrics go.
    """
    if not isinstance(config, dict) or not config.get("loss"):
        return None
    if config.get("weighted_metrics"):
        warnings.warn("weighted metrics are not supported and left out", stacklevel=2)
    losses = for_outputs("loss", config["loss"], len(outputs), outputs)
    weights = for_outputs("loss_weights", config.get("loss_weights"), len(outputs), outputs)
    return {
        "optimizer": optimizer_from_keras(config.get("optimizer", config.get("optimizer_config"))),
        "loss": [_as_entry(object_from_keras(loss)) for loss in losses],
        "loss_weights": [1.0 if w is None else w for w in weights],
        "metrics": _metrics_from_keras(config.get("metrics"), outputs),
    }


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
    return [[object_from_keras(m) for m in (entry if isinstance(entry, list) else [entry]) if m] for entry in lists]


def optimizer_from_keras(value: object) -> Config:
    """An optimizer's entry; Keras 2's `lr` and `decay` are translated."""
    entry = _as_entry(object_from_keras(value))
    config = {k: v for k, v in entry["config"].items() if k not in OPTIMIZER_NEUTRAL}
    if "lr" in config:
        config["learning_rate"] = config.pop("lr")
    rate = config.get("learning_rate")
    if isinstance(rate, dict):
        rate = object_from_keras(rate)
        rate["config"] = {k: v for k, v in rate["config"].items() if k != "name"}
    decay = config.pop("decay", 0)
    if decay and not isinstance(rate, dict):
        rate = {
            "class_name": "InverseTimeDecay",
            "config": {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay},
        }
    if config.get("weight_decay") in (0, False):  # early versions of Keras 2.11 wrote 0 for none
        config["weight_decay"] = None
    return {"class_name": entry["class_name"], "config": config | ({} if rate is None else {"learning_rate": rate})}


# ----------------------------------------------------------------------------------------------------------- writing


def compile_to_keras(compiled: Config) -> Config:
    """Keras 3's compile_config."""
    losses = [_part_to_keras("keras.losses", loss) for loss in compiled["loss"]]
    measured = [[_metric_to_keras(m) for m in wanted] for wanted in compiled["metrics"]]
    weights = compiled["loss_weights"]
    one = len(losses) == 1
    return {
        "optimizer": optimizer_to_keras(compiled["optimizer"]),
        "loss": losses[0] if one else losses,
        "loss_weights": None if all(w == 1 for w in weights) else weights,
        "metrics": (measured[0] if one else measured) if any(measured) else None,
        "weighted_metrics": None,
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": False,
    }


def _part_to_keras(module, entry) -> dict:
    return keras_object(module, entry["class_name"], entry["config"])


def _metric_to_keras(value):
    """An object, but for "accuracy", which depends on the data; Keras 3 cannot read other names in .h5 files."""
    if isinstance(value, str) and value.lower() in ("accuracy", "acc"):
        return value
    return _part_to_keras("keras.metrics", value if isinstance(value, dict) else to_plain(metrics.get(value)))


def optimizer_to_keras(entry: Config) -> Config:
    """An optimizer in Keras 3's form."""
    config = dict(entry["config"])
    rate = config.get("learning_rate")
    if isinstance(rate, dict):
        config["learning_rate"] = keras_object("keras.optimizers.schedules", rate["class_name"], rate["config"])
    return keras_object("keras.optimizers", entry["class_name"], config)
