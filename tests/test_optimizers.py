"""Optimizers against formulas written again here, from Keras's text, element by element in plain Python floats."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from writable import copied

from minicnn import optimizers
from minicnn.backends.reference import ops as reference
from minicnn.errors import ContractError
from minicnn.optimizers import schedules
from minicnn.optimizers.optimizer import merge_segments

STEPS = 20
# Two neighbours with padding between them, one behind a frozen weight of 10 elements (at 32), one behind a big gap.
SEGMENTS = [slice(0, 10), slice(16, 32), slice(48, 53), slice(144, 160)]
PADDING = [slice(10, 16), slice(53, 64)]
SIZE = 160


# --------------------------------------------------------------- the rules, for one element; t counts from 1


def sgd(o, w, g, s, lr, t):
    if not o.momentum:
        return w - lr * g
    s["m"] = o.momentum * s.get("m", 0.0) - lr * g
    return w + o.momentum * s["m"] - lr * g if o.nesterov else w + s["m"]


def adam(o, w, g, s, lr, t):
    s["m"] = o.beta_1 * s.get("m", 0.0) + (1 - o.beta_1) * g
    s["v"] = o.beta_2 * s.get("v", 0.0) + (1 - o.beta_2) * g**2
    alpha = lr * math.sqrt(1 - o.beta_2**t) / (1 - o.beta_1**t)
    return w - alpha * s["m"] / (math.sqrt(s["v"]) + o.epsilon)


def adagrad(o, w, g, s, lr, t):
    s["G"] = s.get("G", o.initial_accumulator_value) + g**2
    return w - lr * g / math.sqrt(s["G"] + o.epsilon)


def adadelta(o, w, g, s, lr, t):
    s["G"] = o.rho * s.get("G", 0.0) + (1 - o.rho) * g**2
    delta = -math.sqrt(s.get("D", 0.0) + o.epsilon) / math.sqrt(s["G"] + o.epsilon) * g
    s["D"] = o.rho * s.get("D", 0.0) + (1 - o.rho) * delta**2
    return w + lr * delta


def rmsprop(o, w, g, s, lr, t):
    s["G"] = o.rho * s.get("G", 0.0) + (1 - o.rho) * g**2
    return w - lr * g / math.sqrt(s["G"] + o.epsilon)


RULES = {
    optimizers.SGD: sgd,
    optimizers.Adam: adam,
    optimizers.AdamW: adam,
    optimizers.Adagrad: adagrad,
    optimizers.Adadelta: adadelta,
    optimizers.RMSprop: rmsprop,
}


def clipped(o, g):
    """The gradient (dict of lists, one a variable) after clipping."""
    if o.clipvalue is not None:
        return {k: [min(max(x, -o.clipvalue), o.clipvalue) for x in v] for k, v in g.items()}
    if o.clipnorm is not None:
        norms = {k: math.sqrt(sum(x * x for x in v)) for k, v in g.items()}
        return {k: [x * min(1, o.clipnorm / norms[k]) for x in v] for k, v in g.items()}
    if o.global_clipnorm is not None:
        norm = math.sqrt(sum(x * x for v in g.values() for x in v))
        return {k: [x * min(1, o.global_clipnorm / norm) for x in v] for k, v in g.items()}
    return g


def expected_weights(o, theta, gradients, rate):
    """Every variable after all steps: {number: list}."""
    weights = {k: theta[s].tolist() for k, s in enumerate(SEGMENTS)}
    states = {k: [{} for _ in w] for k, w in weights.items()}
    for step, gradient in enumerate(gradients):
        lr = rate(step)
        g = clipped(o, {k: gradient[s].tolist() for k, s in enumerate(SEGMENTS)})
        for k, values in weights.items():
            decayed = [w - w * (o.weight_decay or 0) * lr for w in values]
            rows = zip(decayed, g[k], states[k], strict=True)
            weights[k] = [RULES[type(o)](o, w, x, s, lr, step + 1) for w, x, s in rows]
    return weights


def problem(dtype="float64", seed=7):
    """Weights and 20 gradients of very different sizes; zeros in the padding, numbers in the frozen parts."""
    print("seed", seed)
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal(SIZE)
    gradients = rng.standard_normal((STEPS, SIZE)) * 10 ** rng.uniform(-2, 1, (STEPS, 1))
    for part in PADDING:
        theta[part], gradients[:, part] = 0, 0
    return theta.astype(dtype), gradients.astype(dtype)


CASES = {
    "sgd": optimizers.SGD(0.1),
    "sgd momentum": optimizers.SGD(0.1, momentum=0.9),
    "sgd nesterov": optimizers.SGD(0.1, momentum=0.8, nesterov=True),
    "sgd nesterov without momentum": optimizers.SGD(0.1, nesterov=True),
    "sgd decay": optimizers.SGD(0.1, momentum=0.5, weight_decay=0.1),
    "adam": optimizers.Adam(),
    "adam options": optimizers.Adam(0.01, 0.8, 0.99, 1e-3),
    "adamw": optimizers.AdamW(0.01),
    "adamw options": optimizers.AdamW(0.01, 0.3, 0.8, 0.99, 1e-3, clipnorm=1),
    "adagrad": optimizers.Adagrad(),
    "adagrad options": optimizers.Adagrad(0.1, 0.5, 1e-2),
    "adadelta": optimizers.Adadelta(),
    "adadelta options": optimizers.Adadelta(1.0, 0.8, 1e-2),
    "rmsprop": optimizers.RMSprop(),
    "rmsprop options": optimizers.RMSprop(0.01, 0.7, epsilon=1e-2),
    "clipnorm": optimizers.SGD(0.1, clipnorm=2.5),
    "clipvalue": optimizers.Adam(clipvalue=0.3),
    "global_clipnorm": optimizers.RMSprop(global_clipnorm=5.0),
    "global_clipnorm decay": optimizers.Adagrad(global_clipnorm=5.0, weight_decay=0.2),
    "schedule": optimizers.Adam(schedules.ExponentialDecay(0.1, 5, 0.5)),
    "schedule decay": optimizers.SGD(schedules.CosineDecay(0.1, 15), 0.9, weight_decay=0.3),
}


def run(optimizer, theta, gradients, segments=SEGMENTS):
    """theta after all steps, and the state."""
    optimizer = optimizer.from_config(optimizer.get_config())
    theta = theta.copy()
    state = optimizer.create_state(theta.size, theta.dtype, np.zeros)
    for gradient in gradients:
        optimizer.update(theta, gradient.copy(), state, segments, reference)
    assert optimizer.iterations == len(gradients)
    return theta, state


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps_equal_the_formulas(case):
    optimizer = CASES[case]
    theta, gradients = problem()
    rate = optimizer.learning_rate if callable(optimizer.learning_rate) else lambda step: optimizer.learning_rate
    expected = expected_weights(optimizer, theta, gradients, rate)
    result, _ = run(optimizer, theta, gradients)
    for number, segment in enumerate(SEGMENTS):
        assert np.abs(result[segment] - expected[number]).max() < 1e-10
        assert np.abs(result[segment] - theta[segment]).max() > 1e-6


@pytest.mark.parametrize("case", CASES)
def test_frozen_weights_and_padding_keep_their_values(case):
    theta, gradients = problem()
    result, state = run(CASES[case], theta, gradients)
    frozen = np.ones(SIZE, bool)
    for segment in SEGMENTS:
        frozen[segment] = False
    assert np.array_equal(result[frozen], theta[frozen])
    fresh = CASES[case].create_state(SIZE, "float64", np.zeros)
    assert state.keys() == fresh.keys() == set(CASES[case].slots)
    outside_runs = slice(64, 144)
    assert all(np.array_equal(state[name][outside_runs], fresh[name][outside_runs]) for name in state)


@pytest.mark.parametrize("case", CASES)
def test_float32_stays_float32_and_close(case):
    theta, gradients = problem()
    wide, _ = run(CASES[case], theta, gradients)
    narrow, state = run(CASES[case], theta.astype("float32"), gradients.astype("float32"))
    assert narrow.dtype == np.float32
    assert all(v.dtype == np.float32 for v in state.values())
    assert np.abs(wide - narrow).max() < 1e-4


def test_weight_decay_is_not_lost_in_float32():
    """1 - lr · decay is rounded to a multiple of 6e-8 in float32; the decay must not be rounded with it."""
    theta = np.random.default_rng(3).uniform(1, 2, 10_000).astype("float32")
    before = theta.astype("float64")
    optimizer = optimizers.SGD(0.001, weight_decay=0.001)
    segments = [slice(0, 10_000)]
    for _ in range(10):
        optimizer.update(theta, np.zeros_like(theta), {}, segments, reference)
    assert ((before - theta) / before).mean() == pytest.approx(1e-5, rel=0.003)


def test_changing_the_rate_between_steps():
    theta, gradients = problem()
    optimizer = optimizers.SGD(0.1)
    segments = [slice(0, SIZE)]
    moved = theta.copy()
    optimizer.update(moved, gradients[0], {}, segments, reference)
    optimizer.learning_rate = 1
    optimizer.update(moved, gradients[1], {}, segments, reference)
    assert np.allclose(moved, theta - 0.1 * gradients[0] - gradients[1], rtol=0, atol=1e-13)
    assert optimizer.get_config()["learning_rate"] == 1.0
    optimizer.learning_rate = schedules.ExponentialDecay(1.0, 2, 0.25)
    assert optimizer.current_learning_rate == 0.25
    optimizer.lr = 0.5
    assert optimizer.lr == optimizer.learning_rate == optimizer.current_learning_rate == 0.5
    with pytest.raises(ValueError, match="learning_rate=-1"):
        optimizer.lr = -1


def test_another_list_of_segments_is_noticed():
    theta, gradients = problem()
    optimizer, moved = optimizers.SGD(0.1), theta.copy()
    optimizer.update(moved, gradients[0], {}, SEGMENTS, reference)
    again = moved.copy()
    optimizer.update(again, gradients[1], {}, [slice(144, 160)], reference)
    assert np.array_equal(again[:144], moved[:144])
    assert not np.array_equal(again[144:], moved[144:])


def test_nothing_to_train():
    theta, gradients = problem()
    result, _ = run(optimizers.Adam(global_clipnorm=1.0), theta, gradients, segments=[])
    assert np.array_equal(result, theta)


def test_a_zero_gradient_is_not_divided_by_its_norm():
    for clip in ("clipnorm", "global_clipnorm"):
        theta, grad = np.ones(16), np.zeros(16)
        optimizers.SGD(0.1, **{clip: 1.0}).update(theta, grad, {}, [slice(0, 16)], reference)
        assert np.array_equal(theta, np.ones(16))


def test_segments_merge_across_padding_only():
    assert merge_segments([]) == []
    assert merge_segments(SEGMENTS) == [slice(0, 32), slice(48, 53), slice(144, 160)]
    assert merge_segments([slice(0, 1), slice(16, 20)]) == [slice(0, 20)]
    assert merge_segments([slice(0, 16), slice(32, 33)]) == [
        slice(0, 16),
        slice(32, 33),
    ]  # 16 to 32 may be a frozen scalar


def test_slots():
    assert optimizers.SGD().slots == ()
    assert optimizers.SGD(momentum=0.5).slots == ("velocity",)
    assert (optimizers.Adagrad().create_state(3, "float32", np.zeros)["accumulator"] == np.float32(0.1)).all()


# ------------------------------------------------------------------------------------------- rules of a user's own


class Doubled(optimizers.Adam):
    """A rule as data: Adam's, with another rate."""

    def rate(self, learning_rate, iteration):
        return 2 * super().rate(learning_rate, iteration)


class Changed(optimizers.Adam):
    """A rule as code, around Adam's."""

    def apply(self, ops, theta, grad, slots, learning_rate):
        super().apply(ops, theta, grad, slots, 2 * learning_rate)


@pytest.mark.parametrize("own", [Doubled, Changed])
def test_a_rule_is_data_until_somebody_writes_another_apply(own, rng):
    assert optimizers.Adam().is_data
    assert own().is_data == (own is Doubled)
    theta, gradients = rng.normal(size=SIZE), rng.normal(size=(STEPS, SIZE))
    expected, _ = run(optimizers.Adam(0.02), theta, gradients)
    result, _ = run(own(0.01), theta, gradients)
    np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_without_a_kernel_apply_has_to_be_written(rng):
    optimizer = optimizers.Optimizer(0.1)
    assert not optimizer.is_data
    with pytest.raises(ContractError, match="has no apply: write apply"):
        run(optimizer, rng.normal(size=SIZE), rng.normal(size=(1, SIZE)))


def test_names_in_files_of_tf_keras_go_with_the_slots():
    for cls in RULES:
        optimizer = cls(momentum=0.5) if cls is optimizers.SGD else cls()
        assert len(optimizer.keras_slots) == len(optimizer.slots) > 0


def test_a_new_file_with_an_optimizer_needs_no_entry(tmp_path):
    package = Path(optimizers.__file__).parents[1]
    copied(package, tmp_path / "minicnn", "*.npz", "__pycache__")
    (tmp_path / "minicnn" / "optimizers" / "slow_rules.py").write_text(
        "from minicnn.optimizers.optimizer import register\n"
        "from minicnn.optimizers.rules import SGD\n\n"
        '__all__ = ["Slow"]\n\n\n'
        "@register\n"
        "class Slow(SGD):\n"
        '    """SGD."""\n'
    )
    code = "from minicnn.optimizers import *; print(Slow.__name__, type(get('slow')).__name__, get('adamw').slots)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert result.stdout.split() == ["Slow", "Slow", "('m',", "'v')"]


# -------------------------------------------------------------------------------------------------------- schedules


def table(schedule, steps):
    return [schedule(step) for step in steps]


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (schedules.ExponentialDecay(0.5, 4, 0.1), {0: 0.5, 2: 0.5 * 0.1**0.5, 4: 0.05, 10: 0.5 * 0.1**2.5}),
        (schedules.ExponentialDecay(0.5, 4, 0.1, staircase=True), {0: 0.5, 3: 0.5, 4: 0.05, 7: 0.05, 8: 0.005}),
        (schedules.InverseTimeDecay(0.6, 2, 0.5), {0: 0.6, 1: 0.6 / 1.25, 2: 0.4, 4: 0.3}),
        (schedules.InverseTimeDecay(0.6, 2, 0.5, staircase=True), {0: 0.6, 1: 0.6, 3: 0.4, 4: 0.3}),
        (schedules.PiecewiseConstantDecay([3, 5], [1.0, 0.5, 0.1]), {0: 1, 3: 1, 4: 0.5, 5: 0.5, 6: 0.1, 99: 0.1}),
        (schedules.PolynomialDecay(1.0, 10, 0.2), {0: 1, 5: 0.6, 10: 0.2, 50: 0.2}),
        (schedules.PolynomialDecay(1.0, 10, 0.0, power=2), {0: 1, 5: 0.25, 9: 0.01, 10: 0}),
        (schedules.PolynomialDecay(1.0, 10, 0.0, cycle=True), {0: 1, 5: 0.5, 10: 0, 11: 0.45, 15: 0.25, 25: 1 / 6}),
        (schedules.CosineDecay(0.2, 8), {0: 0.2, 2: 0.1 + 0.1 * 0.5**0.5, 4: 0.1, 8: 0, 20: 0}),
        (schedules.CosineDecay(0.2, 8, alpha=0.5), {0: 0.2, 4: 0.15, 8: 0.1, 9: 0.1}),
        (
            schedules.CosineDecay(0.1, 8, warmup_target=0.5, warmup_steps=4),
            {0: 0.1, 1: 0.2, 3: 0.4, 4: 0.5, 8: 0.25, 12: 0, 30: 0},
        ),
        (schedules.CosineDecay(0.1, 8, warmup_target=0.5), {0: 0.5, 4: 0.25}),
    ],
    ids=repr,
)
def test_schedules(schedule, values):
    assert table(schedule, values) == pytest.approx(list(values.values()), abs=1e-12)
    again = type(schedule).from_config(schedule.get_config())
    assert table(again, range(30)) == table(schedule, range(30))
    assert all(isinstance(v, float) for v in table(schedule, range(30)))


def test_a_schedule_of_ones_own():
    class Halving(schedules.LearningRateSchedule):
        def __init__(self, first):
            self.first = first

        def __call__(self, step):
            return self.first / 2**step

    optimizer, theta = optimizers.SGD(Halving(1.0)), np.zeros(1)
    for _ in range(3):
        optimizer.update(theta, np.ones(1), {}, [slice(0, 1)], reference)
    assert theta[0] == -1.75
    assert optimizer.get_config()["learning_rate"] == {"class_name": "Halving", "config": {"first": 1.0}}


# ------------------------------------------------------------------------------------------------- names and errors


@pytest.mark.parametrize("case", CASES)
def test_config_round_trip(case):
    config = CASES[case].get_config()
    again = optimizers.get({"class_name": type(CASES[case]).__name__, "config": config})
    assert again.get_config() == config
    assert repr(again) == repr(CASES[case])


def test_keras_arguments_that_change_nothing():
    common = {"name": None, "use_ema": False, "ema_momentum": 0.99, "ema_overwrite_frequency": None}
    for cls in RULES:
        assert repr(cls(**common, loss_scale_factor=None, jit_compile=True)) == repr(cls())
    assert repr(optimizers.Adam(amsgrad=False)) == repr(optimizers.Adam())
    assert repr(optimizers.AdamW(amsgrad=False)) == repr(optimizers.AdamW())
    assert repr(optimizers.RMSprop(momentum=0.0, centered=False)) == repr(optimizers.RMSprop())
    config = {"initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5, "staircase": False, "name": None}
    assert schedules.ExponentialDecay.from_config(config)(5) == 0.05


@pytest.mark.parametrize("name", ["adam", "Adam", "ADAM", optimizers.Adam])
def test_names(name):
    assert type(optimizers.get(name)) is optimizers.Adam


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: optimizers.Adam(lr=0.1),
            TypeError,
            r"Adam has no argument `lr`.*write `learning_rate`. Received: lr=0.1",
        ),
        (
            lambda: optimizers.SGD(0.1, decay=1e-6),
            TypeError,
            r"no argument `decay`: it no longer exists.*InverseTimeDecay.*Received: decay=1e-06",
        ),
        (
            lambda: optimizers.Adam(gradient_accumulation_steps=1),
            ValueError,
            r"`gradient_accumulation_steps` is a whole number from 2 on, or None. Received: 1",
        ),
        (
            lambda: optimizers.AdamW(use_ema=True, ema_momentum=1.5),
            ValueError,
            r"`ema_momentum` lies from 0 to 1. Received",
        ),
        (
            lambda: optimizers.RMSprop(momentum=1),
            ValueError,
            r"`momentum` must be .*less than 1. Received: momentum=1",
        ),
        (
            lambda: optimizers.AdamW(beta1=0.5),
            TypeError,
            r"argument of AdamW. Did you mean 'beta_1'.*weight_decay.*Received: 'beta1'",
        ),
        (lambda: optimizers.SGD(amsgrad=False), TypeError, r"Unknown argument of SGD.*Received: 'amsgrad'"),
        (lambda: optimizers.SGD(clipnrm=1), TypeError, r"argument of SGD. Did you mean 'clipnorm'"),
        (lambda: optimizers.Adan, AttributeError, r"in minicnn.optimizers. Did you mean 'Adam'.*Received: 'Adan'"),
        (lambda: optimizers.schedule, AttributeError, r"Did you mean 'schedules'"),
        (lambda: optimizers.__wrapped__, AttributeError, r"'minicnn.optimizers' has no attribute '__wrapped__'"),
        (lambda: schedules.CosinDecay, AttributeError, r"minicnn.optimizers.schedules. Did you mean 'CosineDecay'"),
        (
            lambda: schedules.CosineDecay(0.1, 5, warmup_step=1),
            TypeError,
            r"argument of CosineDecay. Did you mean 'warmup_steps'",
        ),
        (
            lambda: optimizers.SGD(-0.1),
            ValueError,
            r"`learning_rate` must be .*at least 0.*Received: learning_rate=-0.1",
        ),
        (lambda: optimizers.SGD("fast"), ValueError, r"`learning_rate` must be a finite number.*learning_rate='fast'"),
        (lambda: optimizers.SGD(math.nan), ValueError, r"`learning_rate`.*Received: learning_rate=nan"),
        (
            lambda: optimizers.SGD(momentum=1.0),
            ValueError,
            r"`momentum`.*at least 0 and less than 1. Received: momentum=1.0",
        ),
        (lambda: optimizers.Adam(beta_1=1), ValueError, r"`beta_1` must .* less than 1. Received: beta_1=1"),
        (lambda: optimizers.Adam(beta_2=-0.1), ValueError, r"`beta_2` must .*Received: beta_2=-0.1"),
        (lambda: optimizers.Adam(epsilon=0), ValueError, r"`epsilon` must .* greater than 0. Received: epsilon=0"),
        (lambda: optimizers.AdamW(weight_decay=None), ValueError, r"`weight_decay` must.*Received: weight_decay=None"),
        (lambda: optimizers.RMSprop(rho=2), ValueError, r"`rho` must .*Received: rho=2"),
        (lambda: optimizers.Adagrad(initial_accumulator_value=-1), ValueError, r"`initial_accumulator_value` must"),
        (lambda: optimizers.SGD(clipnorm=0), ValueError, r"`clipnorm` must .* greater than 0. Received: clipnorm=0"),
        (
            lambda: optimizers.SGD(clipnorm=1, clipvalue=2),
            ValueError,
            r"only one of .*Received: clipnorm=1, clipvalue=2",
        ),
        (lambda: optimizers.get("adm"), ValueError, r"Unknown optimizer. Did you mean 'Adam'.*Received: 'adm'"),
        (lambda: optimizers.get(3), TypeError, r"an optimizer is given as a name.*Received: 3"),
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), ValueError, r"`decay_steps` must .*Received: decay_steps=0"),
        (
            lambda: schedules.PiecewiseConstantDecay([1], [1]),
            ValueError,
            r"one element more.*Received: boundaries=\[1\]",
        ),
        (
            lambda: schedules.PiecewiseConstantDecay([2, 2], [1, 1, 1]),
            ValueError,
            r"must increase. Received: boundaries",
        ),
        (
            lambda: optimizers.SGD({"class_name": "CosinDecay", "config": {}}),
            ValueError,
            r"Unknown learning rate schedule. Did you mean 'CosineDecay'.*Received: 'CosinDecay'",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
