"""The optimizers outside the core: Keras 3.15.1's numbers, formulas in plain floats, averages, accumulation, files."""

import math
import types

import numpy as np
import pytest

import minicnn as mc
from minicnn import constraints, optimizers, regularizers
from minicnn.backends.reference import ops as reference
from minicnn.optimizers import schedules
from minicnn.parameters import Segments

W = np.array([[1.0, -2.0], [0.5, 3.0]])
GRADIENTS = np.array([[[0.1, -0.2], [0.3, 0.4]], [[-0.5, 0.2], [0.1, 0.1]], [[0.2, 0.2], [-0.3, 0.6]]])
FTRL = {
    "l1_regularization_strength": 0.01,
    "l2_regularization_strength": 0.02,
    "l2_shrinkage_regularization_strength": 0.03,
    "beta": 0.1,
}
# The weights after those three gradients, with learning_rate=0.05, from Keras (TensorFlow backend, float32).
KERAS = [
    (optimizers.Nadam(0.05), [[0.9799387, -2.0115519], [0.4604283, 2.8842108]]),
    (optimizers.Adamax(0.05), [[0.9778214, -1.9727424], [0.4154819, 2.8885257]]),
    (optimizers.Ftrl(0.05, **FTRL), [[0.0377092, -0.2428344], [0.0931794, 0.8524621]]),
    (optimizers.Lion(0.05), [[0.95, -2.05], [0.45, 2.85]]),
    (optimizers.Lamb(0.05), [[1.0209724, -1.9840298], [0.280042, 2.6362092]]),
    (optimizers.Adafactor(0.05), [[0.9873087, -2.0251558], [0.448579, 2.7293708]]),
    (optimizers.Muon(0.05), [[0.9898585, -1.9969972], [0.4894612, 2.9725313]]),
    (optimizers.Adam(0.05, amsgrad=True), [[0.9897788, -1.9727432], [0.4040292, 2.8639700]]),
    (optimizers.RMSprop(0.05, momentum=0.9, centered=True), [[0.7927490, -1.8645647], [0.0547346, 2.3151131]]),
]
IDS = [type(case[0]).__name__ for case in KERAS]
# Not among the numbers: on TensorFlow, Keras takes the momentum after its update for the one before.
CASES = [*(case[0] for case in KERAS), optimizers.ScheduleFreeAdamW(0.05, warmup_steps=2)]


def name(optimizer):
    return f"{type(optimizer).__name__}{' ema' if optimizer.use_ema else ''}"


def fresh(optimizer):
    return type(optimizer).from_config(optimizer.get_config())


def weight(shape=(2, 2), path="dense/kernel"):
    return types.SimpleNamespace(shape=shape, path=path)


def run(optimizer, w, gradients, dtype="float64", steps=None):
    """(theta, state) after the gradients."""
    theta = np.zeros(16, dtype)
    theta[: w.size] = w.reshape(-1)
    state = optimizer.create_state(16, dtype, np.zeros)
    segments = Segments({}).__class__.__new__(Segments)
    list.append(segments, slice(0, w.size))
    segments.weights = [weight(w.shape)]
    for g in gradients:
        grad = np.zeros(16, dtype)
        grad[: w.size] = g.reshape(-1)
        optimizer.update(theta, grad, state, segments, reference)
    return theta[: w.size].reshape(w.shape), {n: v[: w.size].reshape(w.shape) for n, v in state.items()}


@pytest.mark.parametrize(("optimizer", "expected"), KERAS, ids=IDS)
def test_the_numbers_of_keras(optimizer, expected):
    for dtype in ("float64", "float32"):
        found, _ = run(fresh(optimizer), W, GRADIENTS, dtype)
        np.testing.assert_allclose(found, expected, rtol=3e-6, atol=3e-7)


def test_a_step_of_lamb_where_a_length_is_0():
    """As biases begin: Adam's own first step, g / (|g| + ε), as there is no length to give it; and none for no g."""
    lamb, g = optimizers.Lamb(0.05, epsilon=0.01), GRADIENTS[0]
    found, _ = run(lamb, np.zeros((2, 2)), [g])
    np.testing.assert_allclose(found, -0.05 * g / (np.abs(g) + 0.01), rtol=1e-12)
    np.testing.assert_array_equal(run(fresh(lamb), W, [np.zeros((2, 2))])[0], W)


# -------------------------------------------------------------------------- one element, in plain floats; t from 1


def nadam(o, w, g, s, lr, t):
    share = lambda i: o.beta_1 * (1 - 0.5 * 0.96 ** (o.schedule_decay * i))  # noqa: E731
    product = math.prod(share(i) for i in range(1, t + 1))
    s["m"] = o.beta_1 * s.get("m", 0.0) + (1 - o.beta_1) * g
    s["v"] = o.beta_2 * s.get("v", 0.0) + (1 - o.beta_2) * g * g
    ahead = share(t + 1) * s["m"] / (1 - product * share(t + 1)) + (1 - share(t)) * g / (1 - product)
    return w - lr * ahead / (math.sqrt(s["v"] / (1 - o.beta_2**t)) + o.epsilon)


def adamax(o, w, g, s, lr, t):
    s["m"] = o.beta_1 * s.get("m", 0.0) + (1 - o.beta_1) * g
    s["u"] = max(o.beta_2 * s.get("u", 0.0), abs(g))
    return w - lr * s["m"] / ((1 - o.beta_1**t) * (s["u"] + o.epsilon))


def ftrl(o, w, g, s, lr, t):
    p, n = -o.learning_rate_power, s.get("n", o.initial_accumulator_value)
    after = n + g * g
    g += 2 * o.l2_shrinkage_regularization_strength * w
    s["z"] = s.get("z", 0.0) + g - (after**p - n**p) / lr * w
    s["n"] = after
    l1 = o.l1_regularization_strength
    l2 = o.l2_regularization_strength + o.beta / (2 * lr)
    return (min(max(s["z"], -l1), l1) - s["z"]) / (after**p / lr + 2 * l2)


def lion(o, w, g, s, lr, t):
    m = s.get("m", 0.0)
    s["m"] = o.beta_2 * m + (1 - o.beta_2) * g
    return w - lr * np.sign(o.beta_1 * m + (1 - o.beta_1) * g)


def amsgrad(o, w, g, s, lr, t):
    s["m"] = o.beta_1 * s.get("m", 0.0) + (1 - o.beta_1) * g
    s["v"] = o.beta_2 * s.get("v", 0.0) + (1 - o.beta_2) * g * g
    s["h"] = max(s.get("h", 0.0), s["v"])
    return w - lr * math.sqrt(1 - o.beta_2**t) / (1 - o.beta_1**t) * s["m"] / (math.sqrt(s["h"]) + o.epsilon)


def rmsprop(o, w, g, s, lr, t):
    s["v"] = o.rho * s.get("v", 0.0) + (1 - o.rho) * g * g
    s["a"] = o.rho * s.get("a", 0.0) + (1 - o.rho) * g
    below = s["v"] + o.epsilon - (s["a"] ** 2 if o.centered else 0)
    s["m"] = o.momentum * s.get("m", 0.0) + lr * g / math.sqrt(below)
    return w - s["m"]


def older_rmsprop(o, w, g, s, lr, t):
    """Before Keras 2.11: ε beside the root."""
    s["v"] = o.rho * s.get("v", 0.0) + (1 - o.rho) * g * g
    s["a"] = o.rho * s.get("a", 0.0) + (1 - o.rho) * g
    return w - lr * g / (math.sqrt(s["v"] - (s["a"] ** 2 if o.centered else 0)) + o.epsilon)


def older_adagrad(o, w, g, s, lr, t):
    s["G"] = s.get("G", o.initial_accumulator_value) + g * g
    return w - lr * g / (math.sqrt(s["G"]) + o.epsilon)


def schedule_free(o, w, g, s, lr, t):
    z = s.get("z", w)
    x = (w - (1 - o.beta_1) * z) / o.beta_1
    s["v"] = o.beta_2 * s.get("v", 0.0) + (1 - o.beta_2) * g * g
    rate = lr * min(t / o.warmup_steps, 1)
    s["z"] = z - rate * g / (math.sqrt(s["v"] / (1 - o.beta_2**t)) + o.epsilon)
    x = (1 - 1 / t) * x + s["z"] / t
    return (1 - o.beta_1) * s["z"] + o.beta_1 * x


FORMULAS = [
    (optimizers.ScheduleFreeAdamW(0.05, warmup_steps=3), schedule_free),
    (optimizers.Nadam(0.02, beta_1=0.8), nadam),
    (optimizers.Adamax(0.02, beta_2=0.9), adamax),
    (optimizers.Ftrl(0.1, -0.4, **FTRL), ftrl),
    (optimizers.Lion(0.02, 0.7, 0.8), lion),
    (optimizers.Adam(0.02, 0.8, 0.6, amsgrad=True), amsgrad),
    (optimizers.RMSprop(0.02, 0.8, centered=True), rmsprop),
    (optimizers.RMSprop(0.02, 0.8, momentum=0.7), rmsprop),
    (optimizers.RMSprop(0.02, 0.8, momentum=0.7, epsilon_in_root=False), rmsprop),
    (optimizers.RMSprop(0.02, 0.8, epsilon=0.1, epsilon_in_root=False), older_rmsprop),
    (optimizers.RMSprop(0.02, 0.8, epsilon=0.1, centered=True, epsilon_in_root=False), older_rmsprop),
    (optimizers.Adagrad(0.02, epsilon=0.1, epsilon_in_root=False), older_adagrad),
    (optimizers.Nadam(0.02, beta_1=0.8, schedule_decay=0.004), nadam),
]


@pytest.mark.parametrize(("optimizer", "formula"), FORMULAS, ids=lambda case: getattr(case, "__name__", ""))
@pytest.mark.parametrize("common", [{}, {"weight_decay": 0.1, "clipvalue": 0.5}])
def test_the_formula(optimizer, formula, common):
    optimizer = type(optimizer).from_config(optimizer.get_config() | common)
    rng = np.random.default_rng(5)
    w, gradients = rng.normal(size=5), rng.normal(size=(12, 5)) * 10 ** rng.uniform(-2, 1, (12, 1))
    found, _ = run(fresh(optimizer), w, gradients)
    for i, value in enumerate(w.tolist()):
        state, lr = {}, optimizer.learning_rate
        for t, g in enumerate(gradients[:, i].tolist(), 1):
            limit = optimizer.clipvalue or math.inf
            value -= value * lr * (optimizer.weight_decay or 0)
            value = formula(optimizer, value, min(max(g, -limit), limit), state, lr, t)
        assert found[i] == pytest.approx(value, rel=1e-10)


# ------------------------------------------------------------------------------------------- averages, accumulation


def test_averaged_weights_and_accumulated_gradients_as_in_keras():
    """Keras 3.15.1: SGD(0.1, use_ema=True, ema_momentum=0.8, gradient_accumulation_steps=2) after four gradients."""
    optimizer = optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8, gradient_accumulation_steps=2)
    found, state = run(optimizer, W, [*GRADIENTS, GRADIENTS[0]])
    np.testing.assert_allclose(found, [[1.005, -2.0], [0.48, 2.925]], rtol=1e-6)
    np.testing.assert_allclose(state["average"], [[1.017, -2.0], [0.48, 2.965]], rtol=1e-6)
    assert (optimizer.iterations, optimizer.updates) == (4, 2)


def test_averages_overwrite_the_weights():
    """Keras's own test: SGD(1, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3), gradients of ones."""
    optimizer = optimizers.SGD(1.0, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3)
    found, state = run(optimizer, np.array([3.0, 4.0]), np.ones((3, 2)))
    np.testing.assert_allclose(found, [1.71, 2.71])
    np.testing.assert_allclose(state["average"], [1.71, 2.71])


@pytest.mark.parametrize("optimizer", [*CASES, optimizers.Adagrad(0.1), optimizers.SGD(0.1, 0.9)], ids=name)
def test_accumulated_gradients_are_a_larger_batch(optimizer):
    rng = np.random.default_rng(6)
    gradients = rng.normal(size=(4, 3, 2, 2))
    config = optimizer.get_config() | {"weight_decay": 0.01}
    whole, _ = run(type(optimizer).from_config(config), W, gradients.mean(axis=1))
    parts = type(optimizer).from_config(config | {"gradient_accumulation_steps": 3})
    found, _ = run(parts, W, gradients.reshape(12, 2, 2))
    np.testing.assert_allclose(found, whole, rtol=1e-9)


def test_schedules_go_by_iterations_where_gradients_accumulate():
    """Keras 3.15.1: schedules look at all steps. Moves by s(1) + s(3), where s(t) = 0.1 / 2^t."""
    optimizer = optimizers.SGD(schedules.ExponentialDecay(0.1, 1, 0.5), gradient_accumulation_steps=2)
    found, _ = run(optimizer, np.array([3.0, 4.0]), np.ones((4, 2)))
    np.testing.assert_allclose(found, [3 - 0.0625, 4 - 0.0625], rtol=1e-12)


def test_weights_that_do_not_decay():
    optimizer = optimizers.SGD(0.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model = mc.Sequential([mc.layers.Input((2,)), mc.layers.Dense(2, bias_initializer="ones"), mc.layers.Dense(1)])
    model.compile(optimizer, "mse", backend="numpy")
    optimizer.learning_rate = 1e-9
    before = model.get_weights()
    optimizer.weight_decay = 1e8
    optimizer.exclude_from_weight_decay([model.layers[1].kernel], ["bias"])
    model.fit(np.zeros((2, 2)), np.zeros((2, 1)), verbose=0)
    changed = [not np.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [True, False, False, False]
    with pytest.raises(ValueError, match=r"called before training. Received"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])


def test_weights_that_are_named_one_by_one_do_not_decay_and_all_others_do():
    """Without patterns there is none that fits all."""
    optimizer = optimizers.SGD(1e-9, weight_decay=1e8)
    model = mc.Sequential([mc.layers.Input((2,)), mc.layers.Dense(2, bias_initializer="ones"), mc.layers.Dense(1)])
    model.compile(optimizer, "mse", backend="numpy")
    before = model.get_weights()
    optimizer.exclude_from_weight_decay([model.layers[1].kernel])
    model.fit(np.zeros((2, 2)), np.zeros((2, 1)), verbose=0)
    for a, b, factor in zip(before, model.get_weights(), (0.9, 0.9, 1, 0.9), strict=True):
        np.testing.assert_allclose(b, factor * a, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_constraints_leave_frozen_weights_as_they_are(backend):
    """As in Keras, which brings to their constraints what it has trained: BaseOptimizer.apply of 3.15.1."""
    frozen, trained = (mc.layers.Dense(3, kernel_constraint=mc.constraints.MaxNorm(0.1)) for _ in range(2))
    frozen.trainable = False
    model = mc.Sequential([mc.layers.Input((2,)), frozen, trained])
    model.compile("sgd", "mse", backend=backend)
    before = frozen.kernel.numpy() + 1
    frozen.kernel.assign(before)
    model.fit(np.ones((4, 2)), np.ones((4, 3)), verbose=0)
    np.testing.assert_array_equal(frozen.kernel.numpy(), before)
    assert np.linalg.norm(trained.kernel.numpy(), axis=0).max() <= 0.1 + 1e-6


def test_averages_that_never_move():
    """ema_momentum may be 1, as in Keras: the averages are the weights after the first iteration, and no more."""
    found, _ = run(
        optimizers.SGD(0.5, use_ema=True, ema_momentum=1.0, ema_overwrite_frequency=3), W, np.ones((3, 2, 2))
    )
    np.testing.assert_allclose(found, W - 0.5, rtol=1e-12)
    with pytest.raises(ValueError, match=r"`ema_momentum` lies from 0 to 1. Received: ema_momentum=1.01"):
        optimizers.SGD(0.5, use_ema=True, ema_momentum=1.01)


# ------------------------------------------------------------------------------------------------------- in models


def small_model(optimizer, backend="numpy"):
    mc.utils.set_random_seed(4)
    layers = [mc.layers.Input((3,)), mc.layers.Dense(4, "tanh"), mc.layers.Dense(2)]
    model = mc.Sequential(layers)
    model.compile(optimizer, "mse", backend=backend)
    return model


@pytest.fixture
def on_numpy(monkeypatch):
    monkeypatch.setitem(mc.backends._chosen, "name", "numpy")


DATA = np.random.default_rng(8).normal(size=(2, 6, 3)).astype("float32")
IN_MODELS = [
    *CASES,
    optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5),
    optimizers.Adam(0.05, use_ema=True, gradient_accumulation_steps=2, clipnorm=0.1),
]


def fit(model, epochs=2):
    x, y = DATA[0], DATA[1][:, :2]
    model.fit(x, y, batch_size=3, epochs=epochs, shuffle=False, verbose=0)


@pytest.mark.parametrize("suffix", ["safetensors", "keras", "h5"])
@pytest.mark.parametrize("optimizer", IN_MODELS, ids=name)
def test_saved_and_resumed(optimizer, suffix, tmp_path, on_numpy):
    straight = small_model(fresh(optimizer))
    fit(straight)
    straight.save(tmp_path / f"m.{suffix}")
    again = mc.models.load_model(tmp_path / f"m.{suffix}")
    assert again.optimizer.get_config() == straight.optimizer.get_config()
    fit(straight)
    fit(again)
    for a, b in zip(straight.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fit_ends_with_the_averages():
    """Keras's own test: one weight of ones, SGD(0.1, use_ema=True, ema_momentum=0.9), two epochs: 0.891."""
    model = mc.Sequential([mc.layers.Input((1,)), mc.layers.Dense(2, use_bias=False, kernel_initializer="ones")])
    model.compile(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9), "mse", backend="numpy")
    model.fit(np.ones((1, 1)), np.zeros((1, 2)), batch_size=1, epochs=2, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], [[0.891, 0.891]], atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", IN_MODELS, ids=name)
def test_on_the_device_as_on_the_host(optimizer):
    weights = []
    for backend in ("numpy", "cupy"):
        model = small_model(fresh(optimizer), backend)
        model.layers[0].kernel.constraint = constraints.MaxNorm(0.9)
        fit(model)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6)


# --------------------------------------------------------------------------------- constraints, penalties, schedules


@pytest.mark.parametrize(
    ("constraint", "expected"),  # Keras 3.15.1 of W
    [
        (constraints.MaxNorm(1.5), [[0.9999999, -0.8320503], [0.4999999, 1.2480755]]),
        (constraints.NonNeg(), [[1, 0], [0.5, 3]]),
        (constraints.UnitNorm(1), [[0.4472136, -0.8944272], [0.164399, 0.9863939]]),
        (constraints.MinMaxNorm(0.5, 1.5, 0.7), [[0.9999999, -1.1824352], [0.4999999, 1.7736528]]),
        (constraints.Constraint(), W),
    ],
    ids=repr,
)
def test_constraints(constraint, expected):
    before = W.copy()
    np.testing.assert_allclose(constraint(W), expected, rtol=1e-6)
    np.testing.assert_allclose(constraint(W[::-1].astype(">f4")[::-1]), expected, rtol=1e-6)
    assert (before == W).all()
    assert repr(type(constraint).from_config(constraint.get_config())) == repr(constraint)


def test_constraints_hold_after_every_update():
    model = small_model(optimizers.SGD(0.5))
    kernel = model.layers[0].kernel
    kernel.constraint = constraints.get("non_neg")
    fit(model)
    assert kernel.numpy().min() == 0 < kernel.numpy().max()
    model = small_model(optimizers.SGD(0.5))
    kernel = model.layers[0].kernel
    kernel.constraint = constraints.get(lambda w: np.clip(w, -0.1, 0.1))
    fit(model)
    assert np.abs(kernel.numpy()).max() == pytest.approx(0.1)


def test_names_of_constraints():
    for name in ("max_norm", "MaxNorm", "maxnorm"):
        assert isinstance(constraints.get(name), constraints.MaxNorm)
    assert constraints.get(None) is None
    assert constraints.unit_norm is constraints.UnitNorm
    with pytest.raises(ValueError, match=r"Unknown constraint. Did you mean 'maxnorm'.*Received: 'max_nrm'"):
        constraints.get("max_nrm")
    with pytest.raises(ValueError, match="no file can hold a function"):
        constraints.FunctionConstraint.from_config({"function": "clip"})


def test_orthogonal_penalty():
    """Keras 3.15.1: OrthogonalRegularizer(0.1) of W is 0.08087360; the gradient is a difference."""
    penalty = regularizers.OrthogonalRegularizer(0.1)
    assert penalty(W) == pytest.approx(0.0808736, rel=1e-6)
    assert penalty(W) == regularizers.OrthogonalRegularizer(0.1, "columns")(W.T)
    for mode in ("rows", "columns"):
        penalty, w = regularizers.OrthogonalRegularizer(0.1, mode), np.random.default_rng(1).normal(size=(3, 4))
        grad = np.zeros_like(w)
        penalty.add_gradient(w, grad)
        for index in np.ndindex(w.shape):
            step = np.zeros_like(w)
            step[index] = 1e-6
            assert grad[index] == pytest.approx((penalty(w + step) - penalty(w - step)) / 2e-6, abs=1e-8)
    with pytest.raises(ValueError, match=r"takes matrices.*Received: a weight of shape \(3,\)"):
        penalty(np.ones(3))


def test_penalties_are_functions():
    assert regularizers.L2(0.1)(W) == pytest.approx(0.1 * (W**2).sum())
    assert regularizers.L1(0.1)([1, -2]) == pytest.approx(0.3)


def test_cosine_decay_restarts():
    """Keras 3.15.1: CosineDecayRestarts(.1, 5, t_mul=2, m_mul=.9, alpha=.01) at these steps."""
    rate = schedules.CosineDecayRestarts(0.1, 5, t_mul=2.0, m_mul=0.9, alpha=0.01)
    found = [rate(step) for step in (0, 3, 5, 14, 15, 40)]
    expected = [0.1, 0.03520365, 0.0901, 0.00318043, 0.08119, 0.07042415]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    even = schedules.CosineDecayRestarts(0.1, 4, t_mul=1.0)
    assert [even(step) for step in (0, 2, 4, 6)] == pytest.approx([0.1, 0.05, 0.1, 0.05])


def test_falls_that_get_shorter_end():
    """5 + 2.5 + 1.25 + … = 10 steps; Keras gives NaN from there on."""
    rate = schedules.CosineDecayRestarts(0.1, 5, t_mul=0.5)
    assert rate(5) == pytest.approx(0.1)
    assert rate(9.9) > 0
    for step in (10, 11, 1000):
        with pytest.raises(ValueError, match=r"over after 10 steps.*Received: step="):
            rate(step)


def test_one_cycle():
    """PyTorch's OneCycleLR(max_lr=1, total_steps=10): up to step 2, down to step 9."""
    rate = schedules.OneCycle(1.0, 10)
    assert [rate(0), rate(1), rate(2)] == pytest.approx([0.04, 0.52, 1.0])
    assert [rate(9), rate(99)] == pytest.approx([0.04 / 1e4] * 2)
    assert all(rate(i) > rate(i + 1) for i in range(2, 9))
    with pytest.raises(ValueError, match="`pct_start` must be"):
        schedules.OneCycle(1.0, 10, pct_start=1)


EVERY = [
    "SGD",
    "RMSprop",
    "Adam",
    "AdamW",
    "Adadelta",
    "Adagrad",
    "Adamax",
    "Nadam",
    "Ftrl",
    "Lion",
    "Lamb",
    "Adafactor",
]


@pytest.mark.parametrize("name", [*EVERY, "Muon", "ScheduleFreeAdamW"])
def test_a_learning_rate_of_0_moves_nothing(name):
    """As a warm-up begins with. Keras 3.15.1 gives NaN with Ftrl, which divides by it."""
    model = mc.Sequential([mc.Input((2,)), mc.layers.Dense(3)])
    model.compile(getattr(optimizers, name)(learning_rate=0.0), "mse", backend="numpy")
    before = model.get_weights()
    for _ in range(2):
        model.train_on_batch(np.ones((2, 2)), np.ones((2, 3)))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [optimizers.Adafactor(0.01), optimizers.Ftrl(0.01), optimizers.Ftrl(0.01, initial_accumulator_value=0)],
    ids=["Adafactor", "Ftrl", "Ftrl from 0"],
)
def test_what_never_has_a_gradient_stays_finite(optimizer, tmp_path):
    """An input that is always 0, a unit that is never above 0 (Keras 3.15.1 gives 48 NaN with Adafactor), a file."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 6)), np.arange(8) % 3
    x[:, 2] = 0
    model = mc.Sequential(
        [mc.Input((6,)), mc.layers.Dense(8, activation="relu"), mc.layers.Dense(3, activation="softmax")]
    )
    model.compile(fresh(optimizer), "sparse_categorical_crossentropy", backend="numpy")
    values = model.get_weights()
    values[1][4] = -100
    model.set_weights(values)
    with np.errstate(invalid="raise", divide="raise"):
        model.fit(x, y, epochs=2, verbose=0)
        model.save(tmp_path / "m.safetensors")
        again = mc.load_model(tmp_path / "m.safetensors")
        again.compile(again.optimizer, again.loss, backend="numpy")
        again.fit(x, y, epochs=2, verbose=0)
    assert all(np.isfinite(w).all() for w in again.get_weights())
    if isinstance(optimizer, optimizers.Adafactor):  # no gradient, no step
        assert again.get_weights()[0][2, 4] == values[0][2, 4]
