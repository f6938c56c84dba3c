"""Mixed precision: what is rounded, what is kept as bfloat16, what stays float32, and what files say of it."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import d2
from oracles import assert_close, conv2d, conv2d_gradients, randomize, run, softmax, tie_free

import minicnn as mc
from minicnn import dtype_policies, layers
from minicnn.backends import memory
from minicnn.backends.numba.tiles.path import NONE, path
from minicnn.bfloat16 import BFLOAT16, round_to_bfloat16, widen
from minicnn.graph import Graph
from minicnn.keras import mixed_precision

BACKENDS = ["numpy", "numba"]
on_processors = pytest.mark.parametrize("backend", BACKENDS)
MIXED = "mixed_bfloat16"
HALF_A_STEP = 2.0**-8  # the largest relative error of a rounding


@pytest.fixture(autouse=True)
def plain_policy():
    yield
    dtype_policies.set_dtype_policy("float32")
    mc.set_backend("numba")


def nearest(x):
    """The nearest bfloat16 of normal numbers, as float32: 8 bits of the fraction, halves to even."""
    fraction, exponent = np.frexp(np.asarray(x, np.float32).astype(np.float64))
    return np.ldexp(np.rint(fraction * 256) / 256, exponent)


def is_decided(x):
    """Whether float32 sums, of which x are the float64 ones, are rounded as x is: none is beside a half."""
    fraction, exponent = np.frexp(x)
    to_half = np.ldexp(np.abs(fraction * 256 % 1 - 0.5) / 256, exponent)
    return to_half.min() > 1e-7 * np.abs(x).max()


def is_bfloat16(x):
    return np.array_equal(x, nearest(x))


def kept_dtypes(plan):
    """Of the value that each step writes."""
    return [wires.y.dtype for wires in plan.wiring.places]


# -------------------------------------------------------------------------------------------------------- policies


def test_policies():
    policy = mixed_precision.Policy(MIXED)
    assert (policy.name, policy.compute_dtype, policy.variable_dtype) == (MIXED, "bfloat16", "float32")
    assert policy == mc.keras.DTypePolicy.from_config(policy.get_config()) != mc.keras.DTypePolicy("float32")
    assert repr(policy) == '<DTypePolicy "mixed_bfloat16">' and len({policy, mixed_precision.DTypePolicy(MIXED)}) == 1
    double = mixed_precision.DTypePolicy("float64")
    assert (double.compute_dtype, double.variable_dtype) == ("float64", "float64")
    assert mixed_precision.DTypePolicy().name == "float32"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("float16", "weights stay float32; .float32. is the same"),
        ("bfloat16", "small updates would be rounded away"),
        ("int8", "Received: 'int8'"),
        (8, "Received: 8"),
    ],
)
def test_what_is_no_policy_here(name, why):
    for give in (lambda: layers.Dense(3, dtype=name), lambda: dtype_policies.set_dtype_policy(name)):
        with pytest.raises(ValueError, match=f"a dtype policy is one of.*{why}"):
            give()
    assert dtype_policies.dtype_policy().name == "float32"


def test_mixed_float16_says_what_it_is():
    for give in (
        lambda: layers.Dense(3, dtype="mixed_float16").dtype_policy,
        lambda: mc.keras.DTypePolicy("mixed_float16"),
        lambda: mixed_precision.set_global_policy("mixed_float16") or dtype_policies.dtype_policy(),
        lambda: mc.keras.dtype_policies.get({"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}),
    ):
        with pytest.warns(UserWarning, match="float16's 11 bits.* in float32, on a processor everything"):
            policy = give()
        assert (policy.name, policy.compute_dtype, policy.variable_dtype) == ("mixed_float16", "float32", "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing more where layers are made by the global policy
        assert layers.Dense(3).dtype_policy is dtype_policies.dtype_policy() and mixed_precision.DTypePolicy() == policy


@pytest.mark.filterwarnings("ignore:mixed_float16")
def test_mixed_float16_is_said_once_at_the_line_that_copies_or_reads(data, tmp_path):
    model = small("mixed_float16")
    model.save(tmp_path / "model.keras")
    for again in (
        lambda: mc.keras.models.clone_model(model),
        lambda: mc.load_model(tmp_path / "model.keras"),
        lambda: layers.Dense.from_config({"units": 3, "dtype": "mixed_float16"}),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            again()
        assert [one.filename for one in caught] == [__file__]


@on_processors
@pytest.mark.filterwarnings("ignore:mixed_float16")
def test_mixed_float16_is_float32_on_a_processor(backend, data):
    mc.set_backend(backend)
    weights = []
    for policy in ("float32", "mixed_float16"):
        mc.utils.set_random_seed(2)
        model = small(policy)
        model.fit(*data, epochs=2, batch_size=16, verbose=0)
        weights.append([*model.get_weights(), model.predict(data[0], verbose=0)])
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_policies_are_where_keras_has_them():
    policies = mc.keras.dtype_policies
    policy = policies.DTypePolicy(MIXED)
    assert policies.get(MIXED) == policies.deserialize(policies.serialize(policy)) == policy
    assert policies.FloatDTypePolicy is policies.DTypePolicy
    assert policies.serialize(policy)["config"] == {"name": MIXED}
    with pytest.raises(AttributeError, match="QuantizedDTypePolicy"):
        policies.QuantizedDTypePolicy  # noqa: B018


def test_the_global_policy_is_that_of_layers_that_are_made_from_then_on():
    before = layers.Dense(3)
    mixed_precision.set_global_policy(MIXED)
    layer, own = layers.Dense(3), layers.Dense(3, dtype="float32")
    assert mixed_precision.global_policy() == mc.keras.config.dtype_policy() == mixed_precision.Policy(MIXED)
    assert [x.dtype_policy.name for x in (before, layer, own)] == ["float32", MIXED, "float32"]
    assert (layer.compute_dtype, layer.variable_dtype, layer.dtype) == ("bfloat16", "float32", "float32")
    mixed_precision.set_global_policy("float64")
    assert mc.utils.floatx() == "float64" and layers.Dense(3).compute_dtype == "float64"
    with pytest.raises(ValueError, match=r"one dtype of weights, 'float64' now: .*Received: dtype='mixed_bfloat16'"):
        layers.Dense(3, dtype=MIXED)
    mixed_precision.set_global_policy(mixed_precision.Policy(MIXED))
    assert mc.utils.floatx() == "float32" and layers.Dense(3).compute_dtype == "bfloat16"
    mc.utils.set_floatx("float64")
    assert dtype_policies.dtype_policy().name == "float64"


def test_every_way_to_say_dtype():
    config = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": MIXED}, "registered_name": None}
    for dtype in (MIXED, mixed_precision.Policy(MIXED), config):
        assert layers.Conv2D(2, 3, dtype=dtype).dtype_policy == mixed_precision.Policy(MIXED)
    assert layers.Dense(2, dtype=np.float32).dtype_policy.name == "float32"


def test_tensors_have_the_dtype_in_which_they_are_computed():
    x = layers.Input((4,))
    y = layers.Dense(3, dtype=MIXED)(x)
    assert (x.dtype, y.dtype, layers.Dense(2)(y).dtype) == ("float32", "bfloat16", "float32")


def test_inputs_are_as_they_are():
    dtype_policies.set_dtype_policy(MIXED)
    x = mc.Input((4,))
    assert x.dtype == x.node.layer.compute_dtype == "float32"


def test_formulas_are_checked_in_float64():
    dtype_policies.set_dtype_policy(MIXED)
    mc.gradcheck(layers.Conv2D(3, 3, activation="tanh"), input_shape=(5, 5, 2))


def test_a_policy_that_is_replaced_makes_plans_anew(rng):
    model = mc.Sequential([mc.Input((6,)), layers.Dense(5), layers.Dense(3)])
    x = rng.normal(size=(4, 6)).astype(np.float32)
    before = model.predict(x, verbose=0)
    for layer in model.layers:
        layer.dtype_policy = MIXED
    after = model.predict(x, verbose=0)
    assert not is_bfloat16(before) and is_bfloat16(after)


# ------------------------------------------------------------------------------------------------- what is computed


def examples():
    for name, cls in layers.CLASSES.items():
        if hasattr(cls, "examples") and name != "SpectralNormalization":  # which refuses bfloat16
            for number in range(len(list(cls.examples()))):
                yield pytest.param(name, number, id=f"{name}-{number}")


def example(name, number, policy):
    dtype_policies.set_dtype_policy(policy)
    mc.utils.set_random_seed(5)
    return list(layers.CLASSES[name].examples())[number]


def between(layer, inputs, policy):
    """The graph of a layer between two others."""
    xs = [layers.Rescaling(1.0, dtype=policy)(x) for x in inputs]
    return Graph(inputs, [layers.Rescaling(1.0, dtype=policy)(layer.call_symbolically(xs).outputs[0])])


@on_processors
@pytest.mark.parametrize(("name", "number"), list(examples()))
def test_a_layer_computes_what_it_does_in_float32_from_rounded_numbers(name, number, backend, rng):
    """Between two mixed layers, so that its input and output are kept as bfloat16."""
    (layer, shapes), (twin, _) = example(name, number, MIXED), example(name, number, "float32")
    inputs = [mc.Input(shape) for shape in shapes]
    graph, plain = between(layer, inputs, MIXED), between(twin, inputs, "float32")
    randomize([layer], rng)
    weights = zip(twin.weights, layer.weights, strict=True)
    for ours, theirs in weights:
        ours.assign(nearest(theirs.numpy()) if ours.name.endswith("kernel") else theirs.numpy())
    size = 0.5 if "Attention" in name else 1  # a softmax of large numbers makes more of what is rounded in them
    xs = [size * tie_free(rng, 4, *shape) for shape in shapes]
    dys = [rng.normal(size=(4, *graph.outputs[0].shape[1:]))]

    mixed = run(graph, xs, dys, backend)
    expected = run(plain, [nearest(x) for x in xs], [nearest(dy) for dy in dys], backend)
    steps = [step for step in layer.lower() if not step.is_view]
    on_tiles = backend == "numba" and path() != NONE  # which add up in another order
    of_values = 8 * HALF_A_STEP if len(steps) > 1 else 2 * HALF_A_STEP if on_tiles else 0  # between steps it is rounded
    rounds_more = len(steps) > 1 or any(step.uses_output for step in steps)  # an output that is read was rounded
    assert_close(mixed.outputs[0], nearest(expected.outputs[0]), of_values)
    assert is_bfloat16(mixed.outputs[0])
    largest = max(np.abs(dx).max() for dx in expected.dxs)
    for actual, wanted in zip(mixed.dxs, expected.dxs, strict=True):
        wanted = nearest(wanted)
        if "Attention" in name:  # those of queries cancel: all scores of one may grow alike
            assert np.abs(actual - wanted).max() <= 32 * HALF_A_STEP * largest
            continue
        if name == "RandomColorJitter":  # its steps clip, and what is rounded between them may cross the limit
            near = np.abs(actual - wanted) <= 8 * HALF_A_STEP * np.abs(wanted).max()
            assert near.mean() >= 0.75
            actual = np.where(near, actual, wanted)
        assert_close(actual, wanted, 8 * HALF_A_STEP if rounds_more else of_values)
    for weight, wanted in expected.grads.items():
        (actual,) = [g for own, g in mixed.grads.items() if own.split("/")[1:] == weight.split("/")[1:]]
        if "Attention" in name and wanted.size == 1:
            continue  # a sum over all places, which cancels
        more = 4 if "Attention" in name else 1
        assert_close(actual, wanted, more * 8 * HALF_A_STEP if rounds_more else 1e-5 if on_tiles else 0)


@on_processors
def test_a_network_by_its_formulas(backend, rng):
    """Convolution with ReLU, a dense layer with ReLU, float32 softmax: all in float64, with explicit rounding."""
    L, weights = layers, []
    stack = [L.Conv2D(5, 3, dtype=MIXED, activation="relu"), L.Flatten(dtype=MIXED)]
    stack += [L.Dense(7, dtype=MIXED, activation="relu"), L.Dense(4, activation="softmax")]
    model = mc.Sequential([mc.Input((6, 5, 2)), *stack])
    randomize(model.layers, rng)
    model.compile("sgd", "sparse_categorical_crossentropy", backend=backend)
    exact = [np.rint(w * 16) / 16 for w in model.get_weights()[:4]]  # so that float32 adds them up exactly
    model.set_weights(exact + model.get_weights()[4:])  # the last layer's are no bfloat16 numbers, and stay as they are
    weights = [w.astype(np.float64) for w in model.get_weights()]

    k1, b1, k2, b2, k3, b3 = weights
    k1, k2 = nearest(k1), nearest(k2)
    are_decided = False
    while not are_decided:  # beside a half, sums of two orders may be a step of bfloat16 apart, and both are right
        x, labels = np.rint(rng.normal(size=(9, 6, 5, 2)) * 16).astype(np.float32) / 16, rng.integers(0, 4, 9)
        a0 = nearest(x)
        a1 = nearest(np.maximum(conv2d(a0, k1, b1), 0))
        a2 = nearest(np.maximum(a1.reshape(9, -1) @ k2 + b2, 0))
        probabilities = softmax(a2 @ k3 + b3)
        d3 = (probabilities - np.eye(4)[labels]) / 9
        t2 = d3 @ k3.T
        d2 = nearest(t2) * (a2 > 0)
        are_decided = is_decided(t2[a2 > 0])
    d1 = nearest(d2 @ k2.T).reshape(a1.shape) * (a1 > 0)
    _, dk1, db1 = conv2d_gradients(a0, k1, d1)
    expected = [dk1, db1, a1.reshape(9, -1).T @ d2, d2.sum(0), a2.T @ d3, d3.sum(0)]

    assert_close(model.predict(x, verbose=0), probabilities, 2e-6)
    model.fit(x, labels, batch_size=9, verbose=0)  # one update: w - 0.01 g
    for before, after, gradient in zip(weights, model.get_weights(), expected, strict=True):
        assert_close((before - after) / 0.01, gradient, 1e-3)  # a float32 sum may round otherwise here and there


@on_processors
def test_what_is_kept_how(backend, rng):
    dtype_policies.set_dtype_policy(MIXED)
    x = mc.Input((8, 8, 2))
    a = layers.Conv2D(4, 3, padding="same")(x)
    b = layers.BatchNormalization()(a)
    c = layers.Add()([a, b])
    d = layers.ReLU()(c)
    e = layers.Dense(3, dtype="float32")(layers.Flatten()(d))
    graph = Graph([x], [e, layers.GlobalAveragePooling2D()(d)])
    plan = run(graph, [tie_free(rng, 2, 8, 8, 2)], backend=backend, fuses=False).plan
    half, full = BFLOAT16, np.dtype("float32")
    assert kept_dtypes(plan) == [
        half,
        half,
        half,
        half,
        half,
        full,
        full,
    ]  # a view is as what it shows
    assert [wires.dy.dtype for wires in plan.wiring.places] == [half, half, half, half, half, full, full]
    buffers = [slot.dtype for wires in plan.wiring.places for slot in wires.buffers.values()]
    assert set(buffers) == {full}  # a batch's mean and deviation
    assert plan.store.grad.dtype == plan.store.theta.dtype == full


@on_processors
def test_gradients_that_meet_are_added_in_bfloat16(backend, rng):
    dtype_policies.set_dtype_policy(MIXED)
    x = mc.Input((33,))
    h = layers.Rescaling(1.0)(x)
    y = [layers.Rescaling(f)(h) for f in (0.3, 1.7, -2.9)]
    graph = Graph([x], [layers.Rescaling(1.0)(part) for part in y])
    dys = [nearest(rng.normal(size=(5, 33))) for _ in y]
    (dx,) = run(graph, [tie_free(rng, 5, 33)], dys, backend).dxs
    terms = [nearest(np.float32(f) * dy.astype(np.float32)) for f, dy in zip((0.3, 1.7, -2.9), dys, strict=True)]
    orders = [nearest(nearest(terms[i] + terms[j]) + terms[k]) for i, j, k in ((2, 1, 0), (0, 1, 2), (2, 0, 1))]
    assert any(np.array_equal(dx, total) for total in orders)


@on_processors
def test_statistics_and_weights_stay_float32(backend, rng):
    dtype_policies.set_dtype_policy(MIXED)
    layer = layers.BatchNormalization(momentum=0.5)
    x = mc.Input((5,))
    graph = Graph([x], [layers.Rescaling(1.0)(layer(layers.Rescaling(1.0)(x)))])
    data = 1 + 1e-3 * rng.normal(size=(64, 5))
    state = run(graph, [data], backend=backend).state
    rounded = nearest(data)
    assert_close(state[layer.moving_mean.path], 0.5 * rounded.mean(0), 1e-6)
    assert_close(state[layer.moving_variance.path], 0.5 + 0.5 * rounded.var(0), 1e-6)


def test_outputs_are_rounded_unless_the_last_layer_is_float32(rng):
    x = rng.normal(size=(6, 4)).astype(np.float32)
    for dtype, is_rounded in ((MIXED, True), ("float32", False)):
        stack = [layers.Dense(5, dtype=MIXED), layers.Dense(3, activation="softmax", dtype=dtype)]
        outputs = mc.Sequential([mc.Input((4,)), *stack]).predict(x, verbose=0)
        assert outputs.dtype == np.float32 and is_bfloat16(outputs) == is_rounded


@on_processors
def test_a_call_on_arrays_does_what_the_layer_does_in_a_model(backend, rng):
    mc.set_backend(backend)
    layer = layers.Conv2D(3, 3, activation="relu", dtype=MIXED)
    x = rng.normal(size=(2, 6, 6, 2)).astype(np.float32)
    x.flags.writeable = False
    y = layer(x)
    source = mc.Input((6, 6, 2))
    np.testing.assert_array_equal(y, mc.Model(source, layer(source)).predict(x, verbose=0))
    assert is_bfloat16(y)


@on_processors
def test_numbers_that_are_not_finite_and_denormal_ones(backend):
    dtype_policies.set_dtype_policy(MIXED)
    x = mc.Input((6,))
    graph = Graph([x], [layers.Rescaling(1.0)(layers.Rescaling(1.0)(x))])
    data = np.array([[np.inf, -np.inf, np.nan, 3.4e38, 1.0, 0.0]], np.float32)
    (y,) = run(graph, [data], backend=backend).outputs
    np.testing.assert_array_equal(y, [[np.inf, -np.inf, np.nan, np.inf, 1.0, 0.0]])


def test_a_loss_that_is_not_finite_names_the_layer(rng):
    dtype_policies.set_dtype_policy(MIXED)
    model = mc.Sequential([mc.Input((4,)), layers.Dense(5, name="first"), layers.Dense(5, name="second")])
    model.add(layers.Dense(1, dtype="float32"))
    weights = model.get_weights()
    weights[2][0, 0] = np.inf
    model.set_weights(weights)
    model.compile("sgd", "mse")
    with pytest.raises(mc.errors.NonFiniteError, match="'second'"):
        model.fit(rng.normal(size=(8, 4)), rng.normal(size=(8, 1)), verbose=0)


def test_a_layer_of_ones_own(rng):
    class Twice(layers.Layer):
        def build(self, input_shapes):
            return input_shapes[0]

        def forward(self, xs, ws):
            assert xs[0].dtype == ws.y.dtype == np.float32
            ws.y[...] = 2.1 * xs[0]

        def backward(self, dy, ws):
            ws.dxs[0][...] = np.float32(2.1) * dy

    dtype_policies.set_dtype_policy(MIXED)
    x = mc.Input((7,))
    graph = Graph([x], [layers.Rescaling(1.0)(Twice()(layers.Rescaling(1.0)(x)))])
    data, dy = rng.normal(size=(3, 7)), rng.normal(size=(3, 7))
    result = run(graph, [data], [dy], "numba")
    assert_close(result.outputs[0], nearest(np.float32(2.1) * nearest(data).astype(np.float32)), 0)
    assert_close(result.dxs[0], nearest(np.float32(2.1) * nearest(dy).astype(np.float32)), 0)


# ------------------------------------------------------------------------------------------- kernels that take bfloat16


@pytest.mark.parametrize("make", [lambda: layers.Add(), lambda: layers.ReLU(), lambda: layers.BatchNormalization()])
def test_kernels_that_take_bfloat16_need_no_scratch_memory(make, rng):
    dtype_policies.set_dtype_policy(MIXED)
    layer, x = make(), mc.Input((4, 4, 8))
    a, b = layers.ReLU()(layers.Conv2D(8, 1)(x)), layers.Conv2D(8, 1)(x)
    y = layer([a, b] if isinstance(layer, layers.Add) else a)
    graph = Graph([x], [layers.Conv2D(8, 1)(y)])
    plan = run(graph, [tie_free(rng, 3, 4, 4, 8)], [rng.normal(size=(3, 4, 4, 8))], "numba", fuses=False).plan
    (ws,) = [step.ws for step in plan.bind(3).forward_steps if step.place.step is layer]
    assert ws.y.dtype == ws.dy.dtype == BFLOAT16 and {array.dtype for array in ws.xs} == {BFLOAT16}


@given(shape=st.lists(st.integers(1, 9), min_size=1, max_size=4), data=st.data())
@settings(max_examples=60, deadline=None)
def test_element_by_element_of_any_shape(shape, data):
    """Of arrays, or of one with a size of 1 that counts for all; the compiled kernel, by NumPy in float32."""
    ones = data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    other = [1 if one else n for one, n in zip(ones, shape, strict=True)]
    ops = mc.backends.get("numba").ops
    rng = np.random.default_rng(sum(shape))
    values = [nearest(rng.normal(size=s)).astype(np.float32) for s in (shape, other)]
    x, z, y = *map(kept, values), kept(np.zeros(shape))
    if ops.pointwise.takes_bfloat16(y, (x, z), "multiply"):
        ops.pointwise(y, (x, z), "multiply")
        np.testing.assert_array_equal(widen(y), nearest(values[0] * values[1]))
    ops.pointwise(y, (x,), "relu")
    np.testing.assert_array_equal(widen(y), np.maximum(values[0], 0))
    ops.add_bfloat16(y, x)
    np.testing.assert_array_equal(widen(y), nearest(np.maximum(values[0], 0) + values[0]))


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=70))
@settings(max_examples=80, deadline=None)
def test_compiled_conversions(words):
    """All kinds of numbers, NaN and denormal ones among them, to the bit."""
    x = memory.empty((len(words),), np.float32)
    x.view(np.uint32)[...] = words
    ops, expected = mc.backends.get("numba").ops, round_to_bfloat16(x)
    y, wide, through = kept(np.zeros(x.shape)), np.empty_like(x), np.empty_like(x)
    ops.to_bfloat16(x, y)
    ops.from_bfloat16(y, wide)
    ops.through_bfloat16(x, through)
    np.testing.assert_array_equal(y.view(np.uint16), expected)
    for back in (wide, through):
        np.testing.assert_array_equal(back.view(np.uint32), expected.astype(np.uint32) << 16)


def kept(values):
    """Numbers as an array of bfloat16, as plans have them."""
    array = memory.empty(np.shape(values), BFLOAT16)
    array.view(np.uint16)[...] = round_to_bfloat16(np.asarray(values, np.float32))
    return array


def test_compiled_kernels_round_in_registers_as_the_definition_does():
    """NaN of both signs, infinities, ties, the largest: through the product with 1."""
    words = np.array([0x7F80, 0xFF80, 0x7FC1, 0xFFC1, 0x3F80, 0x7F7F, 0x0080], np.uint16)
    x, y = kept(widen(words)), kept(np.zeros(7))
    mc.backends.get("numba").ops.pointwise(y, (x, kept(np.ones(7))), "multiply")
    np.testing.assert_array_equal(widen(y), widen(words))
    halves = np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8, -1 - 2.0**-8]).astype(np.float32)  # between two neighbours
    y, parts = kept(np.zeros(3)), (kept([1, 1 + 2.0**-7, -1]), kept([2.0**-8, 2.0**-8, -(2.0**-8)]))
    mc.backends.get("numba").ops.pointwise(y, parts, "add")
    assert widen(y).tolist() == [1.0, 1 + 2.0**-6, -1.0] == nearest(halves).tolist()


# -------------------------------------------------------------------------------------------------------- memory


def bytes_of_values(policy, batch_size=128):
    """Of all activations and their gradients in net_1's plan for training, inputs among them."""
    dtype_policies.set_dtype_policy(policy)
    model = d2(mc)
    model.compile("adam", "sparse_categorical_crossentropy")
    slots = {}
    for wires in plan_of(model, batch_size).wiring.places:
        for slot in (*wires.xs, wires.y, wires.dy, *wires.dxs):
            if slot is not None:
                slots[id(slot.interval)] = slot.interval.size
    return sum(slots.values())


def plan_of(model, batch_size):
    from minicnn import backends
    from minicnn.parameters import ParameterStore
    from minicnn.plan.plan import Plan

    store = ParameterStore(model.weights, backends.get("numba"), "float32", adopt=False)
    return Plan(model.graph, store, batch_size, True, [("softmax",)])


def test_activations_and_their_gradients_take_little_more_than_half_the_memory():
    assert bytes_of_values(MIXED) <= 0.55 * bytes_of_values("float32")


# --------------------------------------------------------------------------------------------------- training, files


def small(policy, last="float32"):
    dtype_policies.set_dtype_policy(policy)
    mc.utils.set_random_seed(3)
    mc.utils.clear_session()
    L = layers
    model = mc.Sequential([mc.Input((8, 8, 1)), L.Conv2D(8, 3, activation="relu"), L.MaxPooling2D()])
    for layer in (L.BatchNormalization(), L.Dropout(0.2), L.Flatten(), L.Dense(4, activation="softmax", dtype=last)):
        model.add(layer)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    dtype_policies.set_dtype_policy("float32")
    return model


@pytest.fixture
def data(rng):
    return rng.normal(size=(48, 8, 8, 1)).astype(np.float32), rng.integers(0, 4, 48)


def test_training_is_the_same_on_one_thread_and_on_two(data):
    weights = []
    for threads in (1, 2, 2):
        mc.set_num_threads(threads)
        model = small(MIXED)
        model.fit(*data, epochs=2, batch_size=20, verbose=0)
        weights.append(model.get_weights())
    for other in weights[1:]:
        for a, b in zip(weights[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_training_goes_as_in_float32(data):
    histories = []
    for policy in ("float32", MIXED):
        model = small(policy)
        histories.append(model.fit(*data, epochs=6, batch_size=16, verbose=0).history["loss"])
    assert_close(histories[1], histories[0], 0.05)
    assert histories[0] != histories[1]


@pytest.mark.filterwarnings("ignore:mixed_float16")
@pytest.mark.parametrize("policy", [MIXED, "mixed_float16"])
@pytest.mark.parametrize("ending", [".keras", ".h5", ".safetensors"])
def test_files_keep_the_policy(ending, policy, data, tmp_path):
    if ending == ".h5":
        pytest.importorskip("h5py")
    model = small(policy)
    model.fit(*data, epochs=1, verbose=0)
    model.save(tmp_path / f"model{ending}")
    dtype_policies.set_dtype_policy(MIXED)  # what a file says counts, not the policy now
    read = mc.load_model(tmp_path / f"model{ending}")
    assert [x.dtype_policy.name for x in read.layers] == [x.dtype_policy.name for x in model.layers]
    assert read.dtype_policy == model.dtype_policy and read.dtype_policy.name == policy
    np.testing.assert_array_equal(read.predict(data[0], verbose=0), model.predict(data[0], verbose=0))
    for m in (model, read):
        m.fit(*data, epochs=1, verbose=0)
    np.testing.assert_array_equal(read.predict(data[0], verbose=0), model.predict(data[0], verbose=0))


def test_a_float32_model_stays_one_where_the_policy_is_mixed_now(tmp_path):
    model = small("float32")
    model.save(tmp_path / "model.keras")
    dtype_policies.set_dtype_policy(MIXED)
    read, pickled = mc.load_model(tmp_path / "model.keras"), pickle.loads(pickle.dumps(model))
    for copy in (read, pickled, mc.keras.models.clone_model(model)):
        assert {layer.dtype_policy.name for layer in copy.layers} == {"float32"}
    layer = layers.Dense.from_config(layers.Dense(3, dtype="float32").get_config())
    assert layer.dtype_policy.name == "float32"


@pytest.mark.filterwarnings("ignore:mixed_float16")
@pytest.mark.parametrize("policy", [MIXED, "mixed_float16"])
def test_copies_keep_the_policy(policy):
    model = small(policy)
    for copy in (mc.keras.models.clone_model(model), pickle.loads(pickle.dumps(model))):
        assert [x.dtype_policy.name for x in copy.layers] == [x.dtype_policy.name for x in model.layers]
    config = layers.Dense(3, dtype=policy).get_config()
    assert config["dtype"] == policy and layers.Dense.from_config(config).dtype_policy.name == policy
    assert "dtype" not in layers.Dense(3).get_config()


def test_keras_s_form_of_the_policy():
    from minicnn.models.config import model_config
    from minicnn.saving.keras.config import model_from_keras, model_to_keras

    written = model_to_keras(model_config(small(MIXED)))
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": MIXED}, "registered_name": None}
    dtypes = [entry["config"]["dtype"] for entry in written["config"]["layers"]]
    assert dtypes == ["float32", *[policy] * 5, "float32"] and written["config"]["dtype"] == policy
    assert model_from_keras(written)["config"]["layers"][1]["config"]["dtype"] == MIXED


def test_onnx_is_float32(data, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = small(MIXED)
    mc.export_onnx(model, tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert {tensor.data_type for tensor in graph.initializer} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    twin = small("float32")
    twin.set_weights(model.get_weights())
    read = mc.import_onnx(tmp_path / "model.onnx")
    assert_close(read.predict(data[0], verbose=0), twin.predict(data[0], verbose=0), 1e-5)


# ------------------------------------------------------------------------------------------------------------- peers


@pytest.mark.peers
def test_rounding_is_pytorch_s(rng):
    torch = pytest.importorskip("torch")
    x = rng.integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32)
    theirs = torch.from_numpy(x).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    is_number = ~np.isnan(x)
    np.testing.assert_array_equal(round_to_bfloat16(x)[is_number], theirs[is_number])


@pytest.mark.peers
def test_the_same_model_in_keras(data, tmp_path):
    keras = pytest.importorskip("keras")
    model = small(MIXED)
    model.fit(*data, epochs=1, verbose=0)
    model.save(tmp_path / "ours.keras")
    theirs = keras.models.load_model(tmp_path / "ours.keras")
    assert [x.dtype_policy.name for x in theirs.layers] == [x.dtype_policy.name for x in model.layers]
    outputs = np.asarray(theirs.predict(data[0], verbose=0), np.float32)
    assert_close(model.predict(data[0], verbose=0), outputs, 2 * HALF_A_STEP)
    theirs.save(tmp_path / "theirs.keras")
    read = mc.load_model(tmp_path / "theirs.keras", compile=False)
    assert [x.dtype_policy.name for x in read.layers] == [x.dtype_policy.name for x in model.layers]


# ------------------------------------------------------------------------------------------------------- operators


def test_operators_and_functions_go_by_their_operands():
    """As in Keras: float32 stays float32 under a mixed policy, and only tensors that are bfloat16 give others."""
    mixed_precision.set_global_policy(MIXED)
    inputs = mc.Input((3,))
    plain, mixed = layers.Dense(3, dtype="float32")(inputs), layers.Dense(3)(inputs)
    ops = mc.keras.ops
    for made in (plain * 100.0 + 1.0, -plain, plain**2, plain[:, :2], 1 - plain, ops.softmax(plain), plain + mixed):
        assert made.dtype == "float32"
    for made in (mixed * 2.0, mixed + mixed, mixed[:, :2], ops.softmax(mixed), ops.cast(mixed, "bfloat16")):
        assert made.dtype == "bfloat16"
    assert ops.cast(mixed, "float32").dtype == "float32"
    total = layers.Dense(1, dtype="float32", kernel_initializer="ones")((inputs - 1000.0) * 1.0)
    x = np.array([[1000.5, 1001.25, 1002.0]], np.float32)
    assert mc.Model(inputs, total).predict(x)[0, 0] == 3.75
    assert ops.image.resize(np.full((2, 2, 1), 257, np.float32), (4, 4)).max() == 257
    assert dtype_policies.dtype_policy().name == MIXED


def test_a_config_that_says_no_dtype_is_plain():
    config = layers.Dense(2).get_config()
    mixed_precision.set_global_policy(MIXED)
    assert layers.Dense.from_config(config).dtype_policy.name == "float32"
    assert layers.Dense.from_config(layers.Dense(2).get_config()).dtype_policy.name == MIXED


def test_an_optimizer_that_scales_losses_is_the_optimizer():
    optimizer = mc.optimizers.Adam()
    with pytest.warns(FutureWarning, match="not scaled"):
        assert mixed_precision.LossScaleOptimizer(optimizer, dynamic=True) is optimizer


def test_an_optimizer_that_scales_losses_stands_where_keras_has_it_and_leaves_gradients_as_they_are():
    keras = mc.keras
    assert keras.optimizers.LossScaleOptimizer is mixed_precision.LossScaleOptimizer
    optimizer, weight = keras.optimizers.SGD(0.5), keras.Variable([1.0, 2.0])
    assert not isinstance(optimizer, mixed_precision.LossScaleOptimizer)  # so a loop that asks scales nothing
    assert optimizer.get_scaled_loss(3.0) == optimizer.scale_loss(3.0) == 3.0
    gradients = optimizer.get_unscaled_gradients([np.array([2.0, 4.0], np.float32)])
    optimizer.apply_gradients(zip(gradients, [weight], strict=True))
    assert weight.numpy().tolist() == [0.0, 0.0]
    with pytest.raises(TypeError, match=r"stands around an optimizer.*Received: 5"):
        mixed_precision.LossScaleOptimizer(5)


def test_gradients_of_a_scaled_loss_are_divided_by_the_factor():
    """As in Keras 3: `scale_loss` multiplies, `apply_gradients` and `apply` divide."""
    optimizer, weight = mc.keras.optimizers.SGD(0.5, loss_scale_factor=64.0), mc.keras.Variable([1.0, 2.0])
    assert optimizer.scale_loss(3.0) == 192.0
    optimizer.apply_gradients([(np.array([128.0, 256.0], np.float32), weight)])
    assert weight.numpy().tolist() == [0.0, 0.0]
    optimizer.apply([np.array([64.0, -64.0], np.float32)], [weight])
    assert weight.numpy().tolist() == [-0.5, 0.5]


def test_a_layer_of_ones_own_without_autocast_computes_in_float32():
    class Twice(mc.keras.layers.Layer):
        def call(self, x):
            return x * 2.0

    mixed_precision.set_global_policy(MIXED)
    x, source = np.array([[1000.37, 257.0]], np.float32), mc.Input((2,))
    for layer, dtype in ((Twice(autocast=False), "float32"), (Twice(), "bfloat16")):
        model = mc.Model(source, layer(source))
        assert (layer.autocast, model.outputs[0].dtype) == (dtype == "bfloat16", dtype)
        assert np.array_equal(model.predict(x, verbose=0), 2 * x) == (dtype == "float32")


def test_autocast_that_is_set_again_brings_the_policy_back():
    """As in Keras 3.15.1: bfloat16, float32, bfloat16."""

    class Twice(mc.keras.layers.Layer):
        def call(self, x):
            return x * 2.0

    mixed_precision.set_global_policy(MIXED)
    x = np.array([[1000.37, 257.0]], np.float32)
    for layer in (Twice(), mc.keras.layers.Dense(2, kernel_initializer=mc.keras.initializers.Identity(2.0))):
        for is_cast in (True, False, True):
            layer.autocast = is_cast
            found = mc.keras.Sequential([mc.keras.Input((2,)), layer]).predict(x, verbose=0)
            assert np.array_equal(found, 2 * x) == (not is_cast)
            assert layer.compute_dtype == ("bfloat16" if is_cast else "float32")
