"""Optimizers of one's own as Keras 2 had them: before 2.11 with `_resource_apply_dense`, after it with `update_step`.

The weights that they are compared with are formulas in NumPy, of gradients by hand.
"""

import copy
import pickle

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import tensorflow as tf

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def bases():
    from minicnn.keras.optimizers import legacy

    return legacy.Optimizer, keras.optimizers.Optimizer


class Slots(bases()[0]):
    """m ← μ · m + g; a ← a + g², from 1 on; w ← w − lr · m / √a / √t."""

    def __init__(self, learning_rate=0.01, momentum=0.9, name="Slots", **options):
        super().__init__(name, **options)
        self._set_hyper("learning_rate", options.get("lr", learning_rate))
        self._set_hyper("decay", self._initial_decay)
        self._set_hyper("momentum", momentum)

    def _create_slots(self, var_list):
        for var in var_list:
            self.add_slot(var, "m")
        for var in var_list:
            self.add_slot(var, "a", initializer="ones")

    def _resource_apply_dense(self, grad, var, apply_state=None):
        dtype = var.dtype.base_dtype
        m, a = self.get_slot(var, "m"), self.get_slot(var, "a")
        step = tf.cast(self.iterations + 1, dtype)
        new = m.assign(self._get_hyper("momentum", dtype) * m + grad, use_locking=self._use_locking)
        squares = a.assign_add(tf.square(grad))
        moved = var.assign_sub(self._decayed_lr(dtype) * new / tf.sqrt(squares) / tf.sqrt(step))
        return tf.group(*[moved, new, squares])

    def get_config(self):
        own = {name: self._serialize_hyperparameter(name) for name in ("learning_rate", "decay", "momentum")}
        return {**super().get_config(), **own}


class Prepared(Slots):
    """The same, but for √t, by what all variables share."""

    def _prepare_local(self, var_device, var_dtype, apply_state):
        super()._prepare_local(var_device, var_dtype, apply_state)
        apply_state[var_device, var_dtype]["momentum"] = tf.identity(self._get_hyper("momentum", var_dtype))

    def _resource_apply_dense(self, grad, var, apply_state=None):
        key = var.device, var.dtype.base_dtype
        shared = (apply_state or {}).get(key) or self._fallback_apply_state(*key)
        m, a = self.get_slot(var, "m"), self.get_slot(var, "a")
        new = tf.compat.v1.assign(m, shared["momentum"] * m + grad, use_locking=self._use_locking)
        squares = tf.compat.v1.assign(a, a + grad**2)
        return tf.compat.v1.assign_sub(var, shared["lr_t"] * new / tf.sqrt(squares))


class Steps(bases()[1]):
    """m ← μ · m + g; w ← w − lr · m, as Keras 2.11 to 2.15 had it."""

    def __init__(self, learning_rate=0.01, momentum=0.9, weight_decay=None, clipnorm=None, name="Steps", **options):
        super().__init__(name=name, weight_decay=weight_decay, clipnorm=clipnorm, jit_compile=False, **options)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.momentum = momentum

    def build(self, var_list):
        super().build(var_list)
        if hasattr(self, "_built") and self._built:
            return
        self._m = [self.add_variable_from_reference(model_variable=v, variable_name="m") for v in var_list]
        self._built = True

    def update_step(self, gradient, variable):
        m = self._m[self._index_dict[self._var_key(variable)]]
        m.assign(self.momentum * m + gradient)
        variable.assign_add(-tf.cast(self.learning_rate, variable.dtype) * m)

    def get_config(self):
        own = {"learning_rate": self._serialize_hyperparameter(self._learning_rate), "momentum": self.momentum}
        return {**super().get_config(), **own}


RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(4, 6, 3)).astype("f4"), RNG.normal(size=(4, 6, 2)).astype("f4")
FIRST = RNG.normal(size=(3, 2))


def expected(rate, t_in_root, has_squares, clipnorm=None, weight_decay=0.0):
    """The kernel of a Dense without a bias, after as many steps as there are batches; `rate(t)`, t from 1."""
    w, m, a = FIRST.copy(), 0.0, 1.0
    for t, (x, y) in enumerate(zip(X.astype(float), Y.astype(float), strict=True), 1):
        g = 2 * x.T @ (x @ w - y) / y.size
        if clipnorm is not None:
            g *= min(1, clipnorm / np.sqrt((g * g).sum()))
        w -= w * weight_decay * rate(t)
        m, a = 0.9 * m + g, a + g * g
        w -= rate(t) * m / (np.sqrt(a) if has_squares else 1) / (np.sqrt(t) if t_in_root else 1)
    return w


def trained(optimizer):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([FIRST])
    model.compile(optimizer, "mse")
    for x, y in zip(X, Y, strict=True):
        model.train_on_batch(x, y)
    return model


SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
CASES = [
    (lambda: Slots(0.05), {"rate": lambda t: 0.05, "t_in_root": True, "has_squares": True}),
    (lambda: Slots(lr=0.05), {"rate": lambda t: 0.05, "t_in_root": True, "has_squares": True}),
    (
        lambda: Slots(0.05, decay=0.2),
        {"rate": lambda t: 0.05 / (0.8 + 0.2 * t), "t_in_root": True, "has_squares": True},
    ),
    (
        lambda: Slots(0.05, clipnorm=0.2),
        {"rate": lambda t: 0.05, "t_in_root": True, "has_squares": True, "clipnorm": 0.2},
    ),
    (lambda: Slots(SCHEDULE), {"rate": lambda t: 0.1 * 0.5 ** ((t - 1) / 2), "t_in_root": True, "has_squares": True}),
    (lambda: Prepared(0.05), {"rate": lambda t: 0.05, "t_in_root": False, "has_squares": True}),
    (
        lambda: Prepared(0.05, decay=0.2),
        {"rate": lambda t: 0.05 / (0.8 + 0.2 * t), "t_in_root": False, "has_squares": True},
    ),
    (lambda: Steps(0.05), {"rate": lambda t: 0.05, "t_in_root": False, "has_squares": False}),
    (lambda: Steps(SCHEDULE), {"rate": lambda t: 0.1 * 0.5 ** ((t - 1) / 2), "t_in_root": False, "has_squares": False}),
    (
        lambda: Steps(0.05, weight_decay=0.1, clipnorm=0.2),
        {"rate": lambda t: 0.05, "t_in_root": False, "has_squares": False, "clipnorm": 0.2, "weight_decay": 0.1},
    ),
]


@pytest.mark.parametrize(("make", "rule"), CASES, ids=range(len(CASES)))
def test_a_model_is_trained_by_the_rule(make, rule):
    model = trained(make())
    np.testing.assert_allclose(model.get_weights()[0], expected(**rule), rtol=2e-5, atol=2e-6)
    assert int(model.optimizer.iterations) == len(X)
    again = type(model.optimizer).from_config(model.optimizer.get_config())
    np.testing.assert_array_equal(trained(again).get_weights()[0], model.get_weights()[0])


def test_what_variables_share_is_prepared_once_in_an_iteration():
    """As in Keras, where a product of momentums grows there."""
    calls = []

    class Counted(Prepared):
        def _prepare(self, var_list):
            calls.append(len(var_list))
            return super()._prepare(var_list)

        def _prepare_local(self, var_device, var_dtype, apply_state):
            calls.append("local")
            super()._prepare_local(var_device, var_dtype, apply_state)

    optimizer = Counted(0.1)
    for _ in range(2):
        optimizer.apply_gradients([(tf.constant([1.0]), v) for v in (VARIABLE, OTHER)])
    assert calls == [2, "local"] * 2


VARIABLE, OTHER = tf.Variable([1.0]), tf.Variable([2.0])


@pytest.mark.parametrize("make", [lambda: Slots(0.1), lambda: Prepared(0.1), lambda: Steps(0.1)])
def test_gradients_of_a_tape_are_applied(make):
    """One variable of two: only what has a gradient moves; then another model with the same object is begun anew."""
    optimizer, w = make(), tf.Variable([1.0, -2.0])
    optimizer.apply_gradients([(tf.constant([1.0, 2.0]), w)])
    step = 0.1 * np.array([1.0, 2.0])
    scale = 1 if isinstance(optimizer, Steps) else np.sqrt(1 + np.array([1.0, 4.0]))
    np.testing.assert_allclose(w.numpy(), np.array([1.0, -2.0]) - step / scale, rtol=1e-6)


def test_hyperparameters_are_attributes_and_the_rate_is_changed():
    optimizer = Slots(0.05)
    assert optimizer.momentum == 0.9
    assert optimizer.lr == pytest.approx(0.05)
    assert not hasattr(optimizer, "rho")
    keras.backend.set_value(optimizer.lr, 0.4)
    assert keras.backend.get_value(optimizer.learning_rate) == np.float32(0.4)
    optimizer.learning_rate = 0.5
    assert optimizer.get_config()["learning_rate"] == 0.5
    assert optimizer._decayed_lr("float32") == np.float32(0.5)


def test_it_is_loaded_by_its_name(tmp_path):
    pytest.importorskip("h5py")
    model = trained(Steps(0.05))
    model.save(tmp_path / "m.keras")
    back = keras.models.load_model(tmp_path / "m.keras", custom_objects={"Steps": Steps})
    assert type(back.optimizer).__name__ == "Steps"
    assert back.optimizer.learning_rate == pytest.approx(0.05)


def test_a_subclass_of_the_librarys_has_a_name_by_its_class():
    class MyAdam(keras.optimizers.Adam):
        pass

    class Named(keras.optimizers.SGD):
        def __init__(self, rate=0.1, name="mine", **kwargs):
            super().__init__(rate, name=name, **kwargs)

    keras.utils.clear_session()
    assert [MyAdam().name, MyAdam().name, Named().name] == ["my_adam", "my_adam_1", "mine"]  # Keras's
    assert MyAdam(name="other").get_config()["name"] == "other"


def test_such_rules_on_the_librarys_are_refused():
    class Faster(keras.optimizers.Adam):
        def _resource_apply_dense(self, grad, var, apply_state=None):
            return super()._resource_apply_dense(grad, var, apply_state)

    with pytest.raises(TypeError, match="would train by the library's rule"):
        trained(Faster())


# ------------------------------------------------------------------------------------------------ names of today's base


class Decays(bases()[0]):
    """w ← w − lr · (g + decay · w), where the decay is a hyperparameter, or an attribute: no base had it then."""

    def __init__(self, is_hyper, name="Decays", **options):
        super().__init__(name, **options)
        self._set_hyper("learning_rate", 0.1)
        if is_hyper:
            self._set_hyper("weight_decay", 0.5)
        else:
            self.weight_decay = 0.5

    def _resource_apply_dense(self, grad, var, apply_state=None):
        return var.assign_sub(self._decayed_lr(var.dtype) * (grad + self.weight_decay * var))


def of_ones(optimizer, layers=None):
    """A model w · x, from w = 1, that is trained by mean((w · x)²)."""
    model = keras.Sequential(layers or [keras.Input((1,)), keras.layers.Dense(1, "linear", False, "ones")])
    model.compile(optimizer, "mse")
    return model


def fitted(model, epochs=1, x=1.0):
    model.fit(np.full((4, 1), x, "f"), np.zeros((4, 1), "f"), epochs=epochs, verbose=0)
    return model.get_weights()[0].item()


@pytest.mark.parametrize("is_hyper", [True, False])
def test_a_decay_of_its_own_is_not_also_that_of_the_base(is_hyper):
    optimizer = Decays(is_hyper)
    assert optimizer.weight_decay == 0.5
    assert np.isclose(fitted(of_ones(optimizer), x=0.0), 1 - 0.1 * 0.5)


def test_assigning_to_a_hyperparameters_attribute_changes_it():
    optimizer = Slots()
    optimizer.momentum = 0.25
    assert optimizer.momentum == optimizer._get_hyper("momentum") == optimizer.get_config()["momentum"] == 0.25


@pytest.mark.parametrize("outer", [lambda inner: inner, keras.optimizers.Lookahead])
def test_a_second_model_of_the_same_layers_begins_anew(outer):
    first = of_ones(outer(Slots(0.1)))
    fitted(first, 3)
    second, weights = of_ones(first.optimizer, first.layers), first.get_weights()
    alone = of_ones(outer(Slots(0.1)))
    alone.set_weights(weights)
    assert second.optimizer is not first.optimizer
    assert np.isclose(fitted(second, 2), fitted(alone, 2), rtol=1e-6)


def test_a_copied_model_is_trained_on():
    model = of_ones(Slots(0.1))
    fitted(model)
    copied = copy.deepcopy(model)
    assert np.isfinite(fitted(copied))


def test_slots_are_found_by_the_scripts_own_variable():
    optimizer, v = Slots(0.1), tf.Variable([1.0, 2.0])
    optimizer.apply_gradients([(tf.constant([0.5, 1.0]), v)])
    assert np.allclose(optimizer.get_slot(v, "m"), [0.5, 1.0])


def test_a_schedule_read_off_an_optimizer_serves_another_one_and_is_pickled():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    read = keras.optimizers.Adam(schedule).learning_rate
    model = of_ones(mc.optimizers.SGD(read))
    assert np.isclose(float(model.optimizer.learning_rate), 0.1)
    for copied in (pickle.loads(pickle.dumps(read)), copy.deepcopy(read)):
        assert type(copied) is type(schedule)
        assert copied.get_config() == schedule.get_config()


def test_momentum_is_a_variable_as_in_keras_2():
    """Cyclic rates with a falling momentum write it in every batch; each counts in the next step: by the formula."""
    x = np.random.RandomState(0).rand(16, 3).astype("float32")
    y = x @ np.array([[1.0], [2.0], [3.0]], "float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    w, velocity = np.array([[0.5], [0.3], [-0.2]]), 0.0
    model.set_weights([w])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    for momentum in (0.9, 0.5, 0.85):
        keras.backend.set_value(model.optimizer.momentum, momentum)
        model.train_on_batch(x, y)
        velocity = momentum * velocity - 0.1 * 2 * x.T @ (x @ w - y) / 16
        w = w + velocity
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-5)
    assert keras.backend.get_value(model.optimizer.momentum) == np.float32(0.85)
    assert (np.ones(2, "float32") * model.optimizer.momentum).dtype == np.float32
    adam = keras.optimizers.Adam()
    keras.backend.set_value(adam.beta_1, 0.8)
    assert adam.get_config()["beta_1"] == 0.8


@pytest.mark.parametrize(("momentum", "later"), [(0.0, 0.9), (0.9, 0.0)])
def test_momentum_neither_begins_nor_ends_in_a_training(momentum, later):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=momentum), "mse")
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="from the beginning or not at all"):
        keras.backend.set_value(model.optimizer.momentum, later)


def test_numbers_that_can_be_assigned_are_plain_ones_in_the_config() -> None:
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    assert type(optimizer.get_config()["momentum"]) is float
    for value in (None, "0.9", [0.5]):
        with pytest.raises(ValueError, match="`momentum` must be a finite number"):
            optimizer.momentum = value
    with pytest.raises(ValueError, match=r"`beta_1` must be .* less than 1"):
        keras.optimizers.Adam().beta_1 = 1.5


def test_the_rate_in_force_by_its_name_of_keras_2():
    """``optimizer._decayed_lr(tf.float32)``, as scripts of tf.keras show it, also as a metric."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    optimizer = keras.optimizers.SGD(schedule)
    assert optimizer._decayed_lr("float32").numpy() == np.float32(0.1)

    def rate(y_true, y_pred):
        return optimizer._decayed_lr("float32")

    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=[rate])
    history = model.fit(np.ones((12, 2)), np.ones(12), epochs=2, batch_size=4, verbose=0).history
    rates = [0.1 * 0.5 ** (step / 2) for step in range(7)]
    np.testing.assert_allclose(history["rate"], [np.mean(rates[:3]), np.mean(rates[3:6])], rtol=1e-6)
    assert optimizer._decayed_lr() == pytest.approx(rates[6])
    decayed = keras.optimizers.SGD(learning_rate=0.1, decay=0.5)
    decayed.iterations = 3
    assert decayed._decayed_lr() == pytest.approx(0.1 / (1 + 0.5 * 3))
