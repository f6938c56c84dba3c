"""Initializers and regularizers: ranges, moments, seeds, fans, configs; and the registry they share."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import checks, errors, initializers, random, regularizers, utils
from minicnn.registry import Configurable

KERNEL = (3, 3, 16, 32)  # fan_in 144, fan_out 288


def draw(name, shape=KERNEL, **config):
    return initializers.get({"class_name": name, "config": config})(shape, "float64", np.random.default_rng(5))


@pytest.mark.parametrize(
    ("name", "limit"),
    [("glorot_uniform", math.sqrt(6 / 432)), ("he_uniform", math.sqrt(6 / 144)), ("lecun_uniform", math.sqrt(3 / 144))],
)
def test_uniform_limits_and_variance(name, limit):
    values = draw(name)
    assert np.abs(values).max() <= limit
    assert np.abs(values).max() > 0.99 * limit
    assert values.var() == pytest.approx(limit**2 / 3, rel=0.05)


@pytest.mark.parametrize(
    ("name", "variance"), [("glorot_normal", 2 / 432), ("he_normal", 2 / 144), ("lecun_normal", 1 / 144)]
)
def test_scaled_normals_are_cut_at_two_deviations_and_keep_their_variance(name, variance):
    values = draw(name)
    assert np.abs(values).max() <= 2 * math.sqrt(variance) / 0.87962566103423978
    assert values.var() == pytest.approx(variance, rel=0.05)
    assert abs(values.mean()) < 4 * math.sqrt(variance / values.size)


def test_the_truncation_constant_is_that_of_the_normal_distribution():
    density = math.exp(-2) / math.sqrt(2 * math.pi)  # at 2
    inside = math.erf(2 / math.sqrt(2))
    exact = math.sqrt(1 - 4 * density / inside)
    assert abs(initializers.TRUNCATED_STANDARD_DEVIATION - exact) < 1e-12


def test_truncated_normal_is_not_rescaled():
    values = draw("truncated_normal", mean=3.0, stddev=2.0)
    assert np.abs(values - 3).max() <= 4
    assert values.std() == pytest.approx(2 * 0.8796, rel=0.05)


def test_random_uniform_and_normal():
    uniform = draw("random_uniform", minval=1, maxval=3)
    assert uniform.min() >= 1
    assert uniform.max() < 3
    normal = draw("random_normal", mean=1, stddev=0.5)
    assert (normal.mean(), normal.std()) == (pytest.approx(1, abs=0.05), pytest.approx(0.5, rel=0.05))


def test_fixed_values():
    assert (draw("zeros") == 0).all()
    assert (draw("ones") == 1).all()
    assert (draw("constant", value=-2.5) == -2.5).all()


def test_untruncated_variance_scaling_by_outputs():
    values = draw("variance_scaling", scale=3.0, mode="fan_out", distribution="untruncated_normal")
    assert values.var() == pytest.approx(3 / 288, rel=0.05)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((), (1, 1)), ((7,), (7, 7)), ((4, 9), (4, 9)), ((3, 5, 2, 8), (30, 120)), ((5, 2, 3), (10, 15))],
)
def test_fans(shape, expected):
    assert initializers.fans(shape) == expected


@given(shape=st.lists(st.integers(0, 5), max_size=4), dtype=st.sampled_from(["float32", "float64"]))
def test_every_initializer_gives_the_shape_and_dtype_asked_for(shape, dtype):
    for name in initializers.registry.names():
        if (
            name == "FunctionInitializer"
            or ("identity" in name.lower() and len(shape) != 2)
            or ("dirac" in name.lower() and len(shape) not in (3, 4))
            or ("orthogonal" in name.lower() and len(shape) < 2)
        ):
            continue
        values = initializers.get(name)(shape, dtype)
        assert isinstance(values, np.ndarray)
        assert values.shape == tuple(shape)
        assert values.dtype == dtype
        assert np.isfinite(values).all()


def test_a_seed_decides_even_against_a_given_generator():
    first = initializers.HeNormal(seed=0)(KERNEL)
    again = initializers.HeNormal(seed=0)(KERNEL, rng=np.random.default_rng(9))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, initializers.HeNormal(seed=1)(KERNEL))


def test_the_global_seed_decides_without_a_seed(monkeypatch):
    monkeypatch.setattr(random, "_state", dict(random._state))
    initializer = initializers.GlorotUniform()
    random.set_seed(3)
    first, second = initializer(KERNEL), initializer(KERNEL)
    random.set_seed(3)
    assert np.array_equal(first, initializer(KERNEL))
    assert not np.array_equal(first, second)


def test_float32_values_are_the_rounded_float64_values():
    wide, narrow = (initializers.HeUniform(seed=4)(KERNEL, d) for d in ("float64", "float32"))
    assert np.array_equal(wide.astype("float32"), narrow)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.get("glorot_unifrom"), r"Did you mean 'GlorotUniform'.*Received: 'glorot_unifrom'"),
        (lambda: initializers.HeNormal(seed=-1), r"`seed` must be.*Received: seed=-1"),
        (lambda: initializers.HeNormal(seed=2**63), r"`seed` must be None or an integer from 0 to 2\*\*63 - 1"),
        (lambda: initializers.GlorotUniform(seed=1.0), r"`seed` must be.*Received: seed=1.0"),
        (lambda: initializers.RandomNormal(seed=True), r"`seed` must be.*Received: seed=True"),
        (lambda: checks.check_seed("noise", "a"), r"`noise` must be.*Received: noise='a'"),
        (lambda: initializers.VarianceScaling(mode="in"), r"`mode` must be one of 'fan_in'.*Received: mode='in'"),
        (lambda: initializers.VarianceScaling(scale=0), r"`scale` must be a finite number greater than 0. Received"),
        (lambda: initializers.RandomNormal(stddev=-1), r"`stddev` must be a finite number at least 0. Received"),
        (lambda: initializers.RandomUniform(1, 0), r"`maxval` must be a finite number at least 1. Received: maxval=0"),
        (lambda: initializers.Constant("a"), r"`value` must be a finite number. Received: value='a'"),
        (lambda: initializers.HeNormal.from_config({"sed": 1}), r"argument of HeNormal.*'seed'.*Received: 'sed'"),
        (lambda: regularizers.L2(-0.1), r"`l2` must be a finite number at least 0. Received: l2=-0.1"),
        (lambda: regularizers.get("l3"), r"Unknown regularizer.*Received: 'l3'"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_functions_and_arrays_stand_for_initializers():
    ones = initializers.get(lambda shape, dtype=None: np.ones(shape, dtype))
    assert ones((2, 3)).tolist() == [[1, 1, 1], [1, 1, 1]]
    twos = initializers.get(lambda shape: np.full(shape, 2.0))
    assert twos((3,)).tolist() == [2, 2, 2]
    values = np.arange(6.0).reshape(2, 3)[::-1]
    assert (initializers.get(values)((2, 3)) == values).all()
    assert initializers.Constant([1, 2])((3, 2)).tolist() == [[1, 2]] * 3
    with pytest.raises(ValueError, match=r"the weight's shape \(2,\). Received: \(3,\)"):
        initializers.get(lambda shape: np.ones(3))((2,))


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (3, 3, 2, 5)])
def test_orthogonal(shape):
    """Whichever are fewer, rows or columns, are orthonormal (Saxe et al., 2014)."""
    w = initializers.Orthogonal(gain=2, seed=1)(shape, "float64").reshape(-1, shape[-1]) / 2
    w = w if w.shape[0] >= w.shape[1] else w.T
    np.testing.assert_allclose(w.T @ w, np.eye(w.shape[1]), atol=1e-12)
    with pytest.raises(ValueError, match=r"two axes or more. Received"):
        initializers.Orthogonal()((3,))


def test_identity():
    assert initializers.Identity(gain=3)((2, 3)).tolist() == [[3, 0, 0], [0, 3, 0]]
    with pytest.raises(ValueError, match=r"of two axes. Received: the shape \(2,\)"):
        initializers.Identity()((2,))


@pytest.mark.parametrize("name", ["GlorotUniform", "glorot_uniform", "GLOROT_UNIFORM", initializers.GlorotUniform])
def test_names_in_any_spelling_and_classes(name):
    assert type(initializers.get(name)) is initializers.GlorotUniform


def test_keras_function_names_are_the_classes():
    assert initializers.he_normal is initializers.HeNormal
    assert initializers.glorot_uniform(seed=3).seed == 3
    assert repr(regularizers.l2(1e-4)) == "L2(l2=0.0001)"
    assert repr(regularizers.l1_l2(l1=0.1, l2=0.2)) == "L1L2(l1=0.1, l2=0.2)"
    assert regularizers.l1 is regularizers.L1
    for module, name, message in [
        (initializers, "he_norml", r"Unknown name in minicnn.initializers. Did you mean 'HeNormal'"),
        (regularizers, "orthogonal", r"Unknown name in minicnn.regularizers.*Known names: .*Received: 'orthogonal'"),
        (initializers, "__no_such_name__", r"module 'minicnn.initializers' has no attribute '__no_such_name__'"),
    ]:
        assert not hasattr(module, name)
        with pytest.raises(AttributeError, match=message):
            getattr(module, name)


def test_seeds_are_plain_integers():
    assert checks.check_seed("seed", None) is None
    seed = initializers.HeNormal(seed=np.int64(5)).seed
    assert (type(seed), seed) == (int, 5)
    assert checks.check_seed("seed", 2**63 - 1) == 2**63 - 1


def test_config_round_trip():
    for name in initializers.registry.names():
        if name == "FunctionInitializer":  # what holds code is not for files
            continue
        first = initializers.get(name)
        config = first.get_config()
        assert repr(type(first).from_config(config)) == repr(first)
        assert all(getattr(first, argument) == value for argument, value in config.items())
    assert repr(initializers.TruncatedNormal(1, 2, seed=3)) == "TruncatedNormal(mean=1.0, stddev=2.0, seed=3)"


def test_nested_configs_are_plain_and_shown_as_calls():
    class Holder(Configurable):
        def __init__(self, part, sizes=(), table=None):
            self.part, self.sizes, self.table = part, sizes, table

    holder = Holder(initializers.HeNormal(seed=1), (np.int64(2), 3), {"a": initializers.Ones()})
    nested = {"class_name": "HeNormal", "config": {"seed": 1}}
    ones = {"class_name": "Ones", "config": {}}
    assert holder.get_config() == {"part": nested, "sizes": (2, 3), "table": {"a": ones}}
    assert repr(holder).startswith("Holder(part=HeNormal(seed=1), sizes=(2, 3)")


# -------------------------------------------------------------------------------------------------- regularizers


@pytest.mark.parametrize(
    ("regularizer", "l1", "l2"),
    [
        (regularizers.get("l1"), 0.01, 0),
        (regularizers.get("l2"), 0, 0.01),
        (regularizers.get("l1_l2"), 0, 0),
        (regularizers.L1L2(0.3, 0.2), 0.3, 0.2),
    ],
)
def test_regularizers(regularizer, l1, l2):
    w = np.random.default_rng(1).standard_normal((3, 4))
    w[1, 2] = 0
    grad = np.ones_like(w)
    regularizer.add_gradient(w, grad)
    expected = sum(l1 * abs(v) + l2 * v * v for v in w.ravel().tolist())
    assert regularizer.penalty(w) == pytest.approx(expected, rel=1e-13)
    assert np.allclose(grad, 1 + l1 * np.sign(w) + 2 * l2 * w, rtol=1e-14)


def test_no_regularizer():
    assert regularizers.get(None) is None


# ------------------------------------------------------------------------------------------------------ errors.py


@pytest.mark.parametrize(("value", "pair"), [(3, (3, 3)), ((2, 5), (2, 5)), ([np.int32(1), 4], (1, 4))])
def test_check_pair(value, pair):
    assert checks.check_pair("pool_size", value) == pair


@pytest.mark.parametrize("value", [0, (1, 2, 3), (1,), (2, -1), 2.5, "ab", None, True])
def test_check_pair_explains(value):
    with pytest.raises(ValueError, match=r"`pool_size` must be.*write for example pool_size=2.*Received: pool_size="):
        checks.check_pair("pool_size", value)


@pytest.mark.parametrize("value", [0, -3, 2.0, True, "3", None])
def test_check_positive_int_explains(value):
    with pytest.raises(ValueError, match=r"`filters` must be an integer of at least 1. Received: filters="):
        checks.check_positive_int("filters", value)


def test_unknown_name_without_a_near_one():
    message = str(errors.unknown_name("loss", "zzzz", ["mse", "mae"]))
    assert message == "Unknown loss. Known names: mae, mse. Received: 'zzzz'"


@pytest.mark.parametrize("name", ["Zeros", "Ones", "Identity", "Constant", "GlorotUniform", "Orthogonal"])
def test_dtypes_are_those_of_keras(name):
    """Python's float is float32, and None the dtype of models, as in Keras 3.15.1; to NumPy both are float64."""
    made = getattr(initializers, name)()
    for dtype, expected in ((float, "float32"), ("float", "float32"), (None, "float32"), (np.float64, "float64")):
        assert made((3, 3), dtype).dtype == made((3, 3), dtype=dtype).dtype == expected
    utils.set_floatx("float64")
    try:
        assert made((3, 3)).dtype == made((3, 3), None).dtype == "float64"
        assert made((3, 3), float).dtype == "float32"
    finally:
        utils.set_floatx("float32")


@pytest.mark.parametrize("name", ["RandomNormal", "TruncatedNormal", "GlorotUniform", "HeNormal", "Orthogonal"])
@pytest.mark.parametrize("dtype", ["int32", np.uint8, bool])
def test_fractions_are_not_cut_off_in_silence(name, dtype):
    with pytest.raises(TypeError, match=rf"{name} draws fractions.*Received: dtype="):
        getattr(initializers, name)(seed=1)((2, 2), dtype)
    assert initializers.RandomUniform(0, 10, seed=1)((100,), dtype).dtype == dtype
    assert initializers.Ones()((2,), dtype).tolist() == [1, 1]
