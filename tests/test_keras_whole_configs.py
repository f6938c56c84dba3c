"""`get_config` of losses, metrics, optimizers and schedules has what Keras's has, and files have what they had."""

import json
from pathlib import Path

import numpy as np
import pytest
from config_cases import CASES

from minicnn import keras
from minicnn.registry import to_plain

KERAS = json.loads((Path(__file__).parent / "golden/keras_configs.json").read_text())
# What Keras's own configs lose, so that a copy has the default again.
BESIDES = {"losses.Huber": {"delta"}, "losses.CosineSimilarity": {"axis"}, "metrics.CosineSimilarity": {"axis"}}
BESIDES |= {"metrics.SparseTopKCategoricalAccuracy": {"from_sorted_ids"}, "optimizers.Muon": {"flatten_kernels"}}
BESIDES |= {"metrics.TopKCategoricalAccuracy": {"from_sorted_ids"}}


def made(case):
    return eval(f"keras.{case}")


def as_json(config):
    """Floats as 32 bits have them, in which Keras's optimizers keep some; tuples as lists."""
    return json.loads(json.dumps(config), parse_float=lambda text: float(np.float32(text)), parse_int=float)


@pytest.mark.parametrize("case", CASES)
def test_a_config_is_that_of_keras(case):
    """The numbers are of golden/make_keras_configs.py, with Keras 3.15.1."""
    config, besides = made(case).get_config(), BESIDES.get(case.partition("(")[0], set())
    assert as_json({name: value for name, value in config.items() if name not in besides}) == as_json(KERAS[case])


@pytest.mark.parametrize("case", CASES)
def test_a_config_makes_an_equal_object(case):
    first = made(case)
    again = type(first).from_config(first.get_config())
    assert again.get_config() == first.get_config()
    assert type(first).from_config(KERAS[case]).get_config() == first.get_config()


@pytest.mark.parametrize("case", CASES)
def test_what_is_serialized_makes_an_equal_object(case):
    first = made(case)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(first))
    assert type(again) is type(first)
    assert again.get_config() == first.get_config()


class Doubled(keras.losses.Loss):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, y_true, y_pred):
        return self.factor * keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    def get_config(self):
        return super().get_config() | {"factor": self.factor}


class Silent(keras.losses.Loss):
    """Whose constructor takes no name."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = factor


def test_a_users_loss_finds_name_and_reduction_in_the_config_of_the_base():
    config = Doubled(3.0, reduction="sum").get_config()
    assert config == {"name": "doubled", "reduction": "sum", "factor": 3.0}
    assert Doubled.from_config(config).get_config() == config
    assert Silent(3.0).get_config() == {"factor": 3.0}
    assert Silent.from_config(Silent(3.0).get_config()).factor == 3.0


class Step(keras.optimizers.Optimizer):
    def __init__(self, learning_rate=0.5, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, gradient * learning_rate)


class Mean(keras.metrics.MeanMetricWrapper):
    def __init__(self, **kwargs):
        super().__init__(fn=keras.losses.mean_squared_error, **kwargs)


def test_names_of_users_optimizers_and_wrapped_metrics_are_those_of_their_classes():
    """Keras 3.15.1: Step().name is "step", then "step_1"; of the wrappers "mean" and "mean_metric_wrapper"."""
    keras.utils.clear_session()
    assert [Step().name, Step().name, Step(name="own").name] == ["step", "step_1", "own"]
    assert Step().get_config().keys() == keras.optimizers.SGD().get_config().keys() - {"momentum", "nesterov"}
    assert Mean().name == "mean"
    assert keras.metrics.MeanMetricWrapper(keras.losses.mean_squared_error).name == "mean_metric_wrapper"


@keras.saving.register_keras_serializable("tests_of_configs")
class Constant(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return self.rate

    def get_config(self):
        return {"rate": self.rate}


def test_an_optimizer_is_made_of_a_config_with_a_schedule_that_is_registered():
    config = keras.optimizers.SGD(Constant(0.5)).get_config()
    assert config["learning_rate"]["registered_name"] == "tests_of_configs>Constant"
    assert type(keras.optimizers.SGD.from_config(config)._learning_rate) is Constant


def test_texts_of_objects_stay_short():
    assert repr(keras.losses.Huber()) == "Huber(delta=1.0)"
    assert "use_ema" not in repr(keras.optimizers.SGD())


def test_files_hold_what_they_held(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5), keras.losses.MeanSquaredError(), [keras.metrics.MeanAbsoluteError()])
    assert to_plain(model.loss) == {"class_name": "MeanSquaredError", "config": {}}
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config() | {"name": again.optimizer.name}


class _Counted(keras.metrics.Metric):
    def __init__(self, name="counted", factor=3):
        super().__init__(name=name)
        self.factor = factor

    def update_state(self, y_true, y_pred, sample_weight=None):
        pass

    def result(self):
        return 0.0

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class _Halved(keras.optimizers.schedules.ExponentialDecay):
    def __init__(self, rate=0.1):
        super().__init__(rate, 2, 0.5)
        self.rate = rate

    def get_config(self):
        return {"rate": self.rate} | {k: v for k, v in super().get_config().items() if k in ("name", "dtype")}


def test_metrics_and_schedules_of_ones_own_say_nothing_that_their_constructor_does_not_take():
    """As losses and optimizers: Keras's configs have it, and such objects cannot be made of theirs in Keras 3.15.1."""
    own = {"_Counted": _Counted, "_Halved": _Halved}
    made = keras.metrics.deserialize(keras.metrics.serialize(_Counted("mine", 4)), custom_objects=own)
    assert (type(made), made.name, made.factor) == (_Counted, "mine", 4)
    assert "dtype" not in made.get_config() and keras.metrics.Mean().get_config()["dtype"] == "float32"
    schedules = keras.optimizers.schedules
    assert schedules.deserialize(schedules.serialize(_Halved(0.25)), custom_objects=own).rate == 0.25
    with keras.utils.custom_object_scope(own):
        optimizer = keras.optimizers.SGD.from_config(keras.optimizers.SGD(_Halved(0.25)).get_config())
    assert optimizer.get_config()["learning_rate"]["config"] == {"rate": 0.25}
    assert schedules.ExponentialDecay(0.1, 2, 0.5).get_config()["name"] == "ExponentialDecay"
