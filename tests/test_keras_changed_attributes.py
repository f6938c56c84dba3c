"""Attributes of models and layers that change after `call` was run; the numbers are those of real Keras 3.15.1."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
import types
import warnings
import weakref

import numpy as np
import pytest

from minicnn import keras

X, Y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")


class Scaled(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shifts, self.factors = 1.0, True, [1.0, 1.0]
        self.dense = keras.layers.Dense(2, kernel_initializer="ones")

    def call(self, x, training=None):
        z = self.dense(x)
        if self.shifts:
            z = z + 1.0
        return self.behind(z)

    def behind(self, z):
        return z * self.scale * self.factors[0]


class Times(keras.layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.scale, self.dense = 1.0, keras.layers.Dense(2, kernel_initializer="ones")

    def call(self, x):
        return self.dense(x) * self.scale


def first(y) -> float:
    return float(np.ravel(y)[0])


@pytest.fixture(autouse=True)
def _warnings_are_seen():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_a_call_on_arrays_sees_every_change() -> None:
    model = Scaled()
    assert first(model(X)) == 4
    model.scale = 3.0
    assert first(model(X)) == 12
    model.shifts = False
    assert first(model(X)) == 9
    model.factors[0] = 2.0
    assert first(model(X)) == 18
    assert len(model.weights) == 2


def test_what_predict_and_evaluate_run_is_of_their_first_call_after_compile() -> None:
    model = Scaled()
    model(X)
    model.scale = 3.0
    assert first(model.predict(X, verbose=0)) == 12
    model.scale = 5.0
    assert first(model(X)) == 20
    with pytest.warns(UserWarning, match=r"scale of .*call compile again"):
        assert first(model.predict(X, verbose=0)) == 12
    model.compile("sgd", "mse")
    assert first(model.evaluate(X, Y, verbose=0)) == 400
    model.shifts = False
    assert first(model(X)) == 15
    assert first(model.evaluate(X, Y, verbose=0)) == 400
    assert first(model.predict(X, verbose=0)) == 15  # not used since compile
    model.compile("sgd", "mse")
    assert first(model.evaluate(X, Y, verbose=0)) == 225


@pytest.mark.parametrize(("eagerly", "losses"), [(False, [16, 14.745599746704102]), (True, [16, 132.71038818359375])])
def test_a_change_by_a_callback_counts_where_fit_runs_eagerly(eagerly: bool, losses: list[float]) -> None:
    class Change(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.scale = 3.0
            self.seen = first(self.model(X))

    model, change = Scaled(), Change()
    model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=eagerly)
    history = model.fit(X, Y, epochs=2, verbose=0, callbacks=[change]).history
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-5)
    assert first(model(X)) == pytest.approx(change.seen)


def test_layers_of_layers_and_models_around_them() -> None:
    layer, x = Times(), keras.Input((3,))
    model = keras.Model(x, layer(x))
    assert first(model(X)) == 3
    layer.scale = 3.0
    assert (first(model(X)), first(layer(X)), first(model.predict(X, verbose=0))) == (9, 9, 9)
    layer.scale = 4.0
    assert (first(model.predict(X, verbose=0)), first(model(X))) == (9, 12)
    stack = keras.Sequential([Times()])
    stack(X)
    stack.layers[0].scale = 2.0
    assert first(stack(X)) == 6


def test_training_goes_on_with_the_weights_and_the_state_of_the_optimizer() -> None:
    model = Scaled()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    model.fit(X, Y, epochs=1, verbose=0)
    model.scale = 0.5
    model.compile(model.optimizer, "mse")
    losses = model.fit(X, Y, epochs=2, verbose=0).history["loss"]
    np.testing.assert_allclose(losses, [3.6863999366760254, 3.3445093631744385], rtol=1e-5)


def test_another_layer_in_an_attribute_is_used() -> None:  # as in Keras 2; Keras 3 refuses it
    model = Scaled()
    model(X)
    model.dense = keras.layers.Dense(2, kernel_initializer="zeros")
    assert first(model(X)) == 1


def test_copies_see_changes_of_their_own() -> None:
    model = Scaled()
    model(X)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other(X)
        other.scale = 2.0
        assert (first(other(X)), first(model(X))) == (8, 4)


def test_a_layer_that_would_give_another_shape_is_refused() -> None:
    class Wide(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    x = keras.Input((3,))
    layer = Wide()
    model = keras.Model(x, layer(x))
    layer.dense = keras.layers.Dense(5)
    with pytest.raises(ValueError, match=r"has the shape \(None, 2\).*Received: .*\(None, 5\)"):
        model(X)


@dataclasses.dataclass(slots=True)
class Slotted:
    scale: float = 1.0


class Plain:
    def __init__(self) -> None:
        self.scale, self.around = 1.0, self  # a circle


class OfClass:
    scale = 1.0


class Configured(keras.Model):
    def __init__(self, config) -> None:
        super().__init__()
        self.config, self.first = config, keras.layers.Dense(2, kernel_initializer="ones")

    def call(self, x):
        return getattr(self, "first")(x) * self.config.scale  # noqa: B009  # as loops over names do


@pytest.mark.parametrize("config", [Slotted(), Plain(), OfClass, OfClass(), types.SimpleNamespace(scale=1.0)])
def test_numbers_in_objects_of_a_users_count(config) -> None:
    model = Configured(config)
    assert first(model(X)) == 3
    config.scale = 2.0
    assert first(model(X)) == 6
    config.scale = 1.0


def test_what_is_in_a_set_counts() -> None:
    class Chosen(Scaled):
        def behind(self, z):
            return z * 2.0 if "double" in self.modes else z

    model = Chosen()
    model.modes = {"double"}
    assert first(model(X)) == 8
    model.modes.remove("double")
    assert first(model(X)) == 4


def test_what_the_library_sets_and_what_is_no_number_are_no_changes() -> None:
    class Shifted(Configured):
        def call(self, x):
            return super().call(x) + np.nan_to_num(self.shift)

    model = Shifted(OfClass())
    model.shift = np.array([np.nan, 1], "float32")
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            model.fit(X, Y, verbose=0, validation_data=(X, Y))
            model.evaluate(X, Y, verbose=0)
            model.predict(X, verbose=0)
    graph = model.graph
    model(X)
    assert model.graph is graph


def test_callbacks_by_their_place_in_fit_that_runs_eagerly() -> None:
    ends = []
    model = Scaled()
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(X, Y, 4, 2, 0, [keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(epoch))])
    assert ends == [0, 1]


def test_validation_data_of_ones_own_stay() -> None:
    class Seeing(keras.callbacks.Callback):
        def __init__(self, validation_data=None) -> None:
            super().__init__()
            self.validation_data = validation_data

        def on_epoch_end(self, epoch, logs=None) -> None:
            self.seen = self.validation_data[0]

    model, own, none = Scaled(), Seeing((X[:1], Y[:1])), Seeing()
    model.compile("sgd", "mse")
    for other in (X.copy(), X.copy()):
        model.fit(X, Y, verbose=0, validation_data=(other, Y), callbacks=[own, none])
        assert own.seen.shape == (1, 3)
        assert none.seen is other
    assert not hasattr(model, "validation_data")
    model.validation_data = "mine"
    model.fit(X, Y, verbose=0, validation_data=(X, Y))
    assert model.validation_data == "mine"


_FACTOR, _SETTINGS = 2.0, {"offset": 3.0}


def _scaled(x):
    return x * _FACTOR


class _OfGlobals(keras.Model):
    def call(self, x):
        return _scaled(x) + _SETTINGS["offset"]


class _LayerOfGlobals(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2, kernel_initializer="ones")

    def call(self, x):
        return self.dense(x) * _FACTOR


def _first(y):
    return float(np.asarray(y).ravel()[0])


def test_global_names_that_a_call_reads_are_todays_when_it_is_called_and_those_of_the_trace_in_predict(monkeypatch):
    model = _OfGlobals()
    assert (_first(model(X)), _first(model.predict(X, verbose=0))) == (5.0, 5.0)
    monkeypatch.setitem(globals(), "_FACTOR", 5.0)
    assert _first(model(X)) == 8.0
    with pytest.warns(UserWarning, match="the outer name _FACTOR of .* was changed"):
        assert _first(model.predict(X, verbose=0)) == 5.0
    monkeypatch.setitem(_SETTINGS, "offset", 0.0)
    assert _first(model(X)) == 5.0
    model.compile("sgd", "mse")
    assert _first(model.predict(X, verbose=0)) == 5.0
    monkeypatch.setitem(globals(), "_scaled", lambda x: x * 100)
    assert _first(model(X)) == 100.0


def test_global_names_that_a_layer_of_layers_reads(monkeypatch):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, _LayerOfGlobals()(inputs))
    assert _first(model(X)) == 6.0
    monkeypatch.setitem(globals(), "_FACTOR", 1.0)
    assert _first(model(X)) == 3.0


def test_names_of_a_function_around_the_class():
    factors, offset = [1.0], 2.0

    class Of(keras.Model):
        def call(self, x):
            return x * factors[0] + offset

    model = Of()
    assert _first(model(X)) == 3.0
    factors[0] = 4.0
    assert _first(model(X)) == 6.0
    offset = 9.0
    assert _first(model(X)) == 13.0


def test_numbers_of_a_module_that_a_call_reads():
    settings = types.ModuleType("settings")
    settings.factor = 2.0

    class Of(keras.Model):
        def call(self, x):
            return x * settings.factor

    model = Of()
    assert _first(model(X)) == 2.0
    settings.factor = 3.0
    assert _first(model(X)) == 3.0


def test_assigned_variables_outside_of_a_class_are_todays_everywhere():
    variable = keras.Variable(2.0)

    class Of(keras.Model):
        def call(self, x):
            return x * variable

    model = Of()
    assert (_first(model(X)), _first(model.predict(X, verbose=0))) == (2.0, 2.0)
    variable.assign(6.0)
    assert (_first(model(X)), _first(model.predict(X, verbose=0))) == (6.0, 6.0)


def _model_that_its_call_can_reach():
    around = {"factor": 1.0}

    class Of(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x) * around["factor"]

    class Behind(Of):
        def call(self, x):
            return super().call(x) + 1.0

    model = around["model"] = Behind()
    model(X)
    return weakref.ref(Behind), weakref.ref(model)


def test_classes_and_models_that_a_call_can_reach_are_not_kept():
    of_class, of_model = _model_that_its_call_can_reach()
    gc.collect()
    assert of_class() is None and of_model() is None


# ------------------------------------------------------------------------------------------ numbers beside a Lambda

SCALE = 2.0


def scaled(x):
    return keras.ops.relu(x) * SCALE


@pytest.mark.parametrize("method", ["__call__", "predict", "fit", "evaluate", "train_on_batch"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_lambda_that_keeps_a_number_says_so(method, nested, monkeypatch, recwarn):
    """Keras 3.15.1 gives 10 in a new call; what stays is said, once for each change."""
    first = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(scaled, name="scaled")])
    model = keras.Sequential([keras.Input((3,)), first]) if nested else first
    model.compile("sgd", "mse")
    ones = np.ones((2, 3), "float32")
    arguments = (ones,) if method in ("__call__", "predict") else (ones, ones)
    np.testing.assert_array_equal(model(ones), 2 * ones)
    assert not recwarn.list
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    with pytest.warns(UserWarning, match=r"SCALE has changed since .*Lambda layer 'scaled'.*Received: SCALE = 5.0"):
        getattr(model, method)(*arguments)
    recwarn.clear()
    getattr(model, method)(*arguments)
    assert not [w for w in recwarn if "SCALE" in str(w.message)]
    fresh = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(scaled)])
    np.testing.assert_array_equal(fresh(ones), 5 * ones)
    assert not [w for w in recwarn if "SCALE" in str(w.message)]


def test_what_a_lambda_reads_beside_numbers_is_left_alone(monkeypatch, recwarn):
    weights, names = np.ones(3), ["a"]
    function = lambda x: x * weights + len(names) + len(keras.__name__)  # noqa: E731
    model = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(function)])
    copied = pickle.loads(pickle.dumps(keras.Sequential([keras.Input((3,)), keras.layers.Lambda(scaled)])))
    for each in (model, copied):
        each(np.ones((2, 3)))
    assert not recwarn.list
    weights[:] = 2
    with pytest.warns(UserWarning, match="weights has changed"):
        model(np.ones((2, 3)))
    names.append("b")
    with pytest.warns(UserWarning, match="names has changed"):
        model(np.ones((2, 3)))
