"""Convolution, pooling, dense and their chains: values against naive loops, gradients against finite differences."""

import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from oracles import assert_close, every_backend, graph_of, ran_where_it_should, randomize, run, tie_free

import minicnn as mc
from minicnn import gradient_check, layers, losses
from minicnn.gradient_check import GradientError, gradcheck
from minicnn.layers import AveragePooling2D, BatchNormalization, Conv2D, Dense, Flatten, Input, MaxPooling2D, ReLU

ignored = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]  # a busy machine
some = settings(max_examples=25, suppress_health_check=ignored)
sizes = st.integers(1, 9)
small = st.integers(1, 3)
pairs = st.one_of(small, st.tuples(small, small))
paddings = st.sampled_from(["valid", "same"])


@st.composite
def convolutions(draw):
    """(layer, input shape): every option, odd sizes, channels around the kernels' tile sizes."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels = groups * draw(st.sampled_from([1, 2, 3, 5, 16, 17]))
    filters = groups * draw(st.sampled_from([1, 2, 4, 6, 16, 33]))
    layer = Conv2D(
        filters,
        draw(st.one_of(st.integers(1, 5), st.tuples(st.integers(1, 4), st.integers(1, 4)))),
        strides=draw(pairs),
        padding=draw(paddings),
        dilation_rate=draw(st.one_of(st.just(1), pairs)),
        groups=groups,
        use_bias=draw(st.booleans()),
        activation=draw(st.sampled_from([None, None, "relu", "tanh"])),
        bias_initializer="random_uniform",  # a window that lies in the padding gives the bias: 0 would be ReLU's kink
    )
    shape = (draw(sizes), draw(sizes), channels)
    assume(fits(layer, shape))
    return layer, shape


@st.composite
def poolings(draw):
    kind = draw(st.sampled_from([MaxPooling2D, AveragePooling2D]))
    layer = kind(draw(pairs), draw(st.one_of(st.none(), pairs)), draw(paddings))
    shape = (draw(sizes), draw(sizes), draw(st.sampled_from([1, 2, 3, 16, 17])))
    assume(fits(layer, shape))
    return layer, shape


def fits(layer, shape) -> bool:
    """Whether the window is not larger than its input."""
    try:
        layer.build_for((shape,))
    except ValueError:
        return False
    return True


def act(name, y):
    return {None: lambda y: y, "relu": lambda y: np.maximum(y, 0), "tanh": np.tanh}[name](y)


def options(layer):
    return layer.strides, layer.padding, layer.dilation_rate, layer.groups


# ----------------------------------------------------------------------------------------------------------- values


@every_backend
@given(case=convolutions(), count=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
@some
def test_conv2d_against_loops(backend, case, count, seed):
    layer, shape = case
    rng = np.random.default_rng(seed)
    layer.activation = None
    graph = graph_of(layer, [shape])
    randomize([layer], rng)
    x, kernel = rng.normal(size=(count, *shape)), layer.get_weights()[0]
    expected = oracles.conv2d(x, kernel, layer.get_weights()[1] if layer.use_bias else None, *options(layer))
    dy = rng.normal(size=expected.shape)
    dx, dkernel, dbias = oracles.conv2d_gradients(x, kernel, dy, *options(layer))
    for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-12)):
        result = run(graph, [x], [dy], backend, dtype=dtype)
        assert_close(result.outputs[0], expected, tolerance, "y")
        assert_close(result.dxs[0], dx, tolerance, "dx")
        assert_close(result.grads[layer.kernel.path], dkernel, 3 * tolerance, "dkernel")
        if layer.use_bias:
            assert_close(result.grads[layer.bias.path], dbias, 3 * tolerance, "dbias")


@every_backend
@given(case=poolings(), count=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
@some
def test_pooling_against_loops(backend, case, count, seed):
    layer, shape = case
    rng = np.random.default_rng(seed)
    graph = graph_of(layer, [shape])
    x = tie_free(rng, count, *shape)
    dy = rng.normal(size=(count, *graph.outputs[0].shape[1:]))
    kind = "max" if isinstance(layer, MaxPooling2D) else "average"
    y, dx = oracles.pool2d(x, dy, kind, layer.pool_size, layer.strides, layer.padding)
    for dtype, tolerance in (("float32", 1e-6), ("float64", 1e-13)):
        result = run(graph, [x], [dy], backend, dtype=dtype)
        assert_close(result.outputs[0], y, tolerance, "y")
        assert_close(result.dxs[0], dx, 2 * tolerance, "dx")


@every_backend
@given(
    count=st.integers(1, 40),
    inputs=st.sampled_from([1, 3, 16, 31, 130]),
    units=st.sampled_from([1, 2, 10, 16, 33]),
    bias=st.booleans(),
    middle=st.sampled_from([(), (3,)]),
    relu=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@some
def test_dense_against_loops(backend, count, inputs, units, bias, middle, relu, seed):
    rng = np.random.default_rng(seed)
    layer = Dense(units, use_bias=bias, activation="relu" if relu else None)
    graph = graph_of(layer, [(*middle, inputs)])
    randomize([layer], rng)
    x = rng.normal(size=(count, *middle, inputs))
    kernel = layer.get_weights()[0].astype(np.float64)
    y = x @ kernel + (layer.get_weights()[1] if bias else 0)
    assume(not relu or np.abs(y).min() > 1e-5)  # not where rounding decides
    dy = rng.normal(size=y.shape)
    inner = dy * (y > 0) if relu else dy
    rows = x.reshape(-1, inputs), inner.reshape(-1, units)
    for dtype, tolerance in (("float32", 1e-6), ("float64", 1e-13)):
        result = run(graph, [x], [dy], backend, dtype=dtype)
        terms = np.abs(x) @ np.abs(kernel) + (np.abs(layer.get_weights()[1]) if bias else 0)
        assert_sum(result.outputs[0], np.maximum(y, 0) if relu else y, terms, tolerance, "y")
        assert_sum(result.dxs[0], inner @ kernel.T, np.abs(inner) @ np.abs(kernel.T), tolerance, "dx")
        terms = np.abs(rows[0]).T @ np.abs(rows[1])
        assert_sum(result.grads[layer.kernel.path], rows[0].T @ rows[1], terms, tolerance, "dkernel")
        if bias:
            terms = np.abs(rows[1]).sum(axis=0)
            assert_sum(result.grads[layer.bias.path], rows[1].sum(axis=0), terms, tolerance, "dbias")


def assert_sum(actual, expected, terms, tolerance, what):
    """Sums are rounded by parts of their terms' magnitudes `terms`, and may be next to nothing themselves."""
    assert actual.shape == expected.shape, what
    error = np.abs(np.asarray(actual, np.float64) - expected).max()
    assert error <= tolerance * terms.max(), f"{what}: {error / terms.max():.1e} of the terms"


@every_backend
@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, "valid"), (3, 2, "same"), (3, 1, "valid")])
def test_the_first_of_equal_maxima_wins(backend, size, stride, padding):
    """Constant images: every window's gradient goes to its first pixel."""
    graph = graph_of(MaxPooling2D(size, stride, padding), [(5, 6, 17)])
    x = np.ones((2, 5, 6, 17))
    dy = np.random.default_rng(0).normal(size=(2, *graph.outputs[0].shape[1:]))
    _, dx = oracles.pool2d(x, dy, "max", size, stride, padding)
    assert_close(run(graph, [x], [dy], backend).dxs[0], dx, 1e-6)


@every_backend
@pytest.mark.parametrize("order", ["relu first", "pool first"])
def test_relu_ties_pass_no_gradient(backend, order):
    """Where a whole window is at or below 0, ReLU is off; where a window's maxima tie, the first wins: fused or not."""
    rng = np.random.default_rng(1)
    conv = Conv2D(3, 1, use_bias=False)
    image = Input((6, 6, 3))
    y = conv(image)
    y = MaxPooling2D()(ReLU()(y)) if order == "relu first" else ReLU()(MaxPooling2D()(y))
    graph = mc.Model(image, y).graph
    conv.set_weights([np.eye(3)[None, None]])
    x = rng.integers(-3, 3, (4, 6, 6, 3)).astype(np.float64)
    dy = rng.normal(size=(4, 3, 3, 3))
    positive = np.maximum(x, 0)
    _, dx = oracles.pool2d(positive, dy, "max")
    dx *= x > 0
    for fuses in (False, True):
        result = run(graph, [x], [dy], backend, fuses=fuses)
        assert_close(result.outputs[0], oracles.pool2d(positive, dy, "max")[0], 1e-6)
        assert_close(result.dxs[0], dx, 1e-6, f"{fuses=}")


# ------------------------------------------------------------------------------------------------- finite differences


@every_backend
@given(case=convolutions(), fuses=st.booleans(), seed=st.integers(0, 2**32 - 1))
@some
def test_gradcheck_of_convolutions(backend, case, fuses, seed):
    layer, shape = case
    check = gradcheck(layer, input_shape=shape, backend=backend, fuses=fuses, seed=seed)
    assert check.error <= 1e-6


@every_backend
@given(case=poolings(), seed=st.integers(0, 2**32 - 1))
@some
def test_gradcheck_of_poolings(backend, case, seed):
    layer, shape = case
    assert gradcheck(layer, input_shape=shape, backend=backend, seed=seed).error <= 1e-6


CHAINS = {
    "conv relu pool": lambda o: [Conv2D(**o, activation="relu"), MaxPooling2D()],
    "conv ReLU pool": lambda o: [Conv2D(**o), ReLU(), MaxPooling2D()],
    "conv pool relu": lambda o: [Conv2D(**o), MaxPooling2D(), ReLU()],
    "conv pool": lambda o: [Conv2D(**o), MaxPooling2D()],
    "conv relu pool relu": lambda o: [Conv2D(**o), ReLU(), MaxPooling2D(), ReLU()],
    "conv overlapping same pool": lambda o: [Conv2D(**o, activation="relu"), MaxPooling2D(3, 2, "same")],
    "conv pool without end": lambda o: [Conv2D(**o), MaxPooling2D(1), ReLU()],
    "conv bn relu": lambda o: [Conv2D(**o), BatchNormalization(), ReLU()],
    "conv bn relu pool": lambda o: [Conv2D(**o), BatchNormalization(), ReLU(), MaxPooling2D()],
    "conv bn pool relu": lambda o: [Conv2D(**o), BatchNormalization(scale=False), MaxPooling2D(), ReLU()],
    "conv relu bn": lambda o: [Conv2D(**o, activation="relu"), BatchNormalization(center=False)],
    "conv bn bn": lambda o: [Conv2D(**o), BatchNormalization(), BatchNormalization()],
    "conv pool bn": lambda o: [Conv2D(**o), MaxPooling2D(), BatchNormalization()],
    "conv max-limited relu": lambda o: [Conv2D(**o), ReLU(max_value=0.3), MaxPooling2D()],
    "conv leaky relu": lambda o: [Conv2D(**o, activation="leaky_relu"), MaxPooling2D()],
    "conv average relu": lambda o: [Conv2D(**o), AveragePooling2D(), ReLU()],
    "dense bn relu": lambda o: [Flatten(), Dense(7), BatchNormalization(), ReLU()],
    "dense relu dense relu": lambda o: [Flatten(), Dense(9, activation="relu"), Dense(4), ReLU()],
}

chain_options = st.fixed_dictionaries(
    {
        "filters": st.sampled_from([2, 4, 16, 34]),
        "kernel_size": st.sampled_from([1, 2, 3, (3, 2), 5]),
        "strides": st.sampled_from([1, 1, 2, (1, 2)]),
        "padding": paddings,
        "dilation_rate": st.sampled_from([1, 1, 2]),
        "groups": st.sampled_from([1, 1, 2]),
        "use_bias": st.booleans(),
    }
)


def chain(name, chain_options, shape, rng):
    stack = CHAINS[name](chain_options)
    model = mc.Sequential([Input(shape), *stack])
    randomize(stack, rng)
    return model


@every_backend
@pytest.mark.parametrize("name", CHAINS)
@given(
    options=chain_options,
    shape=st.tuples(st.integers(5, 10), st.integers(5, 10), st.sampled_from([2, 4, 16])),
    seed=st.integers(0, 2**32 - 1),
)
@settings(some, max_examples=8)
def test_fused_equals_unfused(name, backend, options, shape, seed):
    """Values and gradients, in training and inference, of the chains that fusion knows and of near misses."""
    rng = np.random.default_rng(seed)
    try:
        model = chain(name, options, shape, rng)
    except ValueError:
        assume(False)
    xs = [rng.normal(size=(3, *shape))]
    dys = [rng.normal(size=(3, *model.output_shape[1:]))]
    expected = run(model.graph, xs, dys, "numpy", fuses=False, dtype="float64")
    inference = run(model.graph, xs, None, "numpy", training=False, fuses=False, dtype="float64")
    every = mc.Model(model.inputs, [layer.output for layer in model.layers])  # what a ReLU may leave little of
    steps = run(every.graph, xs, None, "numpy", training=False, fuses=False, dtype="float64").outputs
    largest_step = max(np.abs(output).max() for output in steps)
    for fuses in (False, True):
        actual = run(model.graph, xs, dys, backend, fuses=fuses, dtype="float64")
        what = f"{name}, {backend}, {fuses=}"
        assert_close(actual.outputs[0], expected.outputs[0], 1e-11, what)
        assert_close(actual.dxs[0], expected.dxs[0], 1e-9, what)
        largest = max((np.abs(g).max() for g in expected.grads.values()), default=0)
        for path in expected.grads:  # that of a bias before a normalization is 0: its terms cancel
            scale = max(np.abs(expected.grads[path]).max(), 1e-3, 1e-2 * largest)
            assert np.abs(actual.grads[path] - expected.grads[path]).max() <= 1e-9 * scale, f"{what}: {path}"
        for path in expected.state:
            assert_close(actual.state[path], expected.state[path], 1e-11, what)
        exact, single = (
            run(model.graph, xs, None, backend, training=False, fuses=fuses, dtype=dtype).outputs[0]
            for dtype in ("float64", "float32")
        )
        assert_close(exact, inference.outputs[0], 1e-10, f"{what}, inference")
        error = np.abs(single - inference.outputs[0]).max()
        assert error <= 2e-5 * largest_step, f"{what}, inference float32"


@every_backend
def test_a_normalization_folded_into_a_dense_layer(backend, rng):
    """At every place of an image: in the chains above, kernels are larger than the output, and left as they are."""
    stack = [Dense(7), BatchNormalization(epsilon=0.1), ReLU()]
    model = mc.Sequential([Input((5, 4)), *stack])
    randomize(stack, rng)
    x = rng.normal(size=(3, 5, 4))
    kernel, bias, gamma, beta, mean, variance = (w.astype(np.float64) for w in model.get_weights())
    expected = np.maximum(gamma * (x @ kernel + bias - mean) / np.sqrt(variance + 0.1) + beta, 0)
    folded = run(model.graph, [x], None, backend, training=False, fuses=True, dtype="float64")
    assert [type(place.step).__name__ for place in folded.plan.places] == ["FusedDense"]
    assert_close(folded.outputs[0], expected, 1e-10)


@every_backend
@pytest.mark.parametrize("fuses", [False, True])
@pytest.mark.parametrize("name", CHAINS)
def test_gradcheck_of_chains(name, backend, fuses, seed):
    options = {
        "filters": 4,
        "kernel_size": 3,
        "padding": "same",
        "use_bias": "bn" not in name,
    }  # bn's mean removes a bias
    model = chain(name, options, (7, 6, 3), np.random.default_rng(seed))
    check = gradcheck(model, backend=backend, fuses=fuses, seed=seed)
    fused_pool = name in (
        "conv relu pool",
        "conv ReLU pool",
        "conv pool relu",
        "conv pool",
        "conv overlapping same pool",
    )
    ran = {kernel.rsplit(".", 1)[1] for kernel in check.kernels}
    if fuses and fused_pool:
        assert ran == {"conv2d_pool", "conv2d_pool_backward"}
    elif fused_pool:
        assert {"conv2d", "conv2d_backward", "max_pool2d", "max_pool2d_backward"} == ran - {"pointwise"}  # ReLU alone
    assert all(ran_where_it_should(kernel, backend) for kernel in check.kernels)


@pytest.mark.parametrize("training", [False, True])
def test_a_relu_behind_a_normalization_of_several_places_is_merged(training):
    """Other steps stand between them where both normalizations come first."""
    norm, start = BatchNormalization(), Input((5, 4))
    made = [norm(mc.layers.Rescaling(scale)(start)) for scale in (1.0, 2.0)]
    model = mc.Model(start, mc.layers.Concatenate()([ReLU()(each) for each in made]))
    plan = run(model.graph, [np.ones((2, 5, 4))], training=training, fuses=True).plan
    steps = [type(place.step).__name__ for place in plan.places]
    assert "ReLU" not in steps and steps.count("FusedNormalization") == 2


def test_what_fuses():
    """The steps of a fused plan, by name: a rule that silently stops matching is noticed here."""

    def steps(layers_, training):
        model = mc.Sequential([Input((9, 9, 2)), *layers_])
        plan = run(model.graph, [np.ones((1, 9, 9, 2))], training=training, fuses=True).plan
        return [type(place.step).__name__ for place in plan.places]

    options = {"filters": 4, "kernel_size": 3}
    expected = {  # chain → (training, inference)
        "conv relu pool": (["FusedConv2D"], ["FusedConv2D"]),
        "conv pool relu": (["FusedConv2D"], ["FusedConv2D"]),
        "conv pool": (["FusedConv2D"], ["FusedConv2D"]),
        "conv relu pool relu": (["FusedConv2D", "ReLU"], ["FusedConv2D", "ReLU"]),
        "conv bn relu": (["Conv2D", "FusedNormalization"], ["FusedConv2D"]),
        "conv bn relu pool": (["Conv2D", "FusedNormalization", "MaxPooling2D"], ["FusedConv2D"]),
        "conv relu bn": (["FusedConv2D", "BatchNormalization"], ["FusedConv2D", "BatchNormalization"]),
        "conv bn bn": (["Conv2D"] + ["BatchNormalization"] * 2, ["FusedConv2D", "BatchNormalization"]),
        "conv average relu": (["Conv2D", "AveragePooling2D", "ReLU"],) * 2,
        "conv max-limited relu": (["Conv2D", "ReLU", "MaxPooling2D"],) * 2,
        "dense bn relu": (["Flatten", "Dense", "FusedNormalization"],) * 2,
        "dense relu dense relu": (["Flatten", "FusedDense", "FusedDense"],) * 2,
    }
    for name, (training, inference) in expected.items():
        assert steps(CHAINS[name](options), True) == training, name
        assert steps(CHAINS[name](options), False) == inference, name
    narrow = {"filters": 4, "kernel_size": 1}  # 8 weights, but a factor below 0 makes the smallest pixel the largest
    assert steps(CHAINS["conv pool bn"](narrow), False) == ["FusedConv2D", "BatchNormalization"]
    large = {"filters": 4, "kernel_size": 8}  # 512 weights, 16 numbers of an image's output: what is less work
    assert steps(CHAINS["conv bn relu"](large), False) == ["Conv2D", "FusedNormalization"]


def test_grouped_convolutions_do_not_merge_with_pooling(seed):
    model = chain(
        "conv relu pool", {"filters": 4, "kernel_size": 3, "groups": 2}, (7, 7, 2), np.random.default_rng(seed)
    )
    ran = {kernel.rsplit(".", 1)[1] for kernel in gradcheck(model, fuses=True, seed=seed).kernels}
    assert ran == {"conv2d", "conv2d_backward", "max_pool2d", "max_pool2d_backward"}


@every_backend
def test_the_largest_windows_whose_winner_fits_a_byte(backend, rng, seed):
    """255 means "ReLU off": a window of 255 taps has winners up to 254, and merges like any other."""
    for size in ((15, 17), (2, 127)):
        model = mc.Sequential([Input((*size, 1)), Conv2D(2, 1), MaxPooling2D(size), ReLU()])
        randomize(model.layers, rng)
        x = tie_free(rng, 2, *size, 1)
        x[:, -1, -1] = 2.0 * np.sign(model.layers[0].get_weights()[0][0, 0, 0, 0])  # the last tap wins
        dys = [rng.normal(size=(2, 1, 1, 2))]
        fused, plain = (run(model.graph, [x], dys, backend, fuses=fuses) for fuses in (True, False))
        assert_close(fused.outputs[0], plain.outputs[0], 1e-5)
        assert_close(fused.dxs[0], plain.dxs[0], 1e-5)
        assert len(fused.plan.places) == 1


# ----------------------------------------------------------------------------------------------------- whole networks


def lenet():
    return [
        Input((12, 12, 1)),
        Conv2D(6, 5, padding="same", activation="relu"),
        MaxPooling2D(),
        Conv2D(16, 3, activation="relu"),
        MaxPooling2D(),
        Flatten(),
        Dense(20, activation="relu"),
        Dense(4),
    ]


LOSSES = {
    "sparse, logits": (losses.SparseCategoricalCrossentropy(from_logits=True), None, "classes"),
    "sparse, softmax": (losses.SparseCategoricalCrossentropy(), "softmax", "classes"),
    "sparse, sigmoid": (losses.SparseCategoricalCrossentropy(from_logits=True), "sigmoid", "classes"),
    "one-hot, softmax": (losses.CategoricalCrossentropy(label_smoothing=0.1), "softmax", "one-hot"),
    "one-hot, logits": (losses.CategoricalCrossentropy(from_logits=True), None, "one-hot"),
    "binary, sigmoid": (losses.BinaryCrossentropy(), "sigmoid", "bits"),
    "binary, softmax": (losses.BinaryCrossentropy(label_smoothing=0.2), "softmax", "bits"),
    "binary, logits": (losses.BinaryCrossentropy(from_logits=True), None, "bits"),
    "mean squared": (losses.MeanSquaredError(), "tanh", "numbers"),
    "mean squared, softmax": (losses.MeanSquaredError(), "softmax", "numbers"),
    "mean absolute": (losses.MeanAbsoluteError(), None, "numbers"),
}


def targets(kind, count, rng):
    return {
        "classes": rng.integers(0, 4, count),
        "one-hot": np.eye(4)[rng.integers(0, 4, count)],
        "bits": rng.integers(0, 2, (count, 4)),
        "numbers": rng.normal(size=(count, 4)),
    }[kind]


@every_backend
@pytest.mark.parametrize("fuses", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_gradcheck_with_every_loss(name, backend, fuses, rng, seed):
    loss, activation, kind = LOSSES[name]
    model = mc.Sequential([*lenet()[:-1], Dense(4, activation=activation)])
    check = gradcheck(model, y=targets(kind, 3, rng), loss=loss, backend=backend, fuses=fuses, seed=seed)
    assert check.error <= 1e-6
    cross_entropy = any("softmax_cross_entropy" in kernel for kernel in check.kernels)
    assert cross_entropy == name.startswith(("sparse", "one-hot"))


@every_backend
def test_gradients_of_a_small_network_by_loops(backend, rng):
    """Every gradient of conv → relu → pool → dense → softmax cross-entropy from the naive loops."""
    conv, dense = Conv2D(5, 3, strides=(1, 2), padding="same"), Dense(3, activation="softmax")
    model = mc.Sequential([Input((6, 7, 2)), conv, ReLU(), MaxPooling2D(2), Flatten(), dense])
    model.compile("sgd", "sparse_categorical_crossentropy", backend=backend)
    randomize(model.layers, rng)
    x, y = rng.normal(size=(4, 6, 7, 2)), rng.integers(0, 3, 4)
    (kernel, bias), (matrix, offset) = conv.get_weights(), dense.get_weights()
    full = oracles.conv2d(x, kernel, bias, (1, 2), "same")
    positive = np.maximum(full, 0)
    pooled, _ = oracles.pool2d(positive, np.zeros((4, 3, 2, 5)), "max")
    flat = pooled.reshape(4, -1)
    p = oracles.softmax(flat @ matrix + offset)
    dz = (p - np.eye(3)[y]) / 4
    dpooled = (dz @ matrix.T).reshape(pooled.shape)
    _, dpositive = oracles.pool2d(positive, dpooled, "max")
    _, dkernel, dbias = oracles.conv2d_gradients(x, kernel, dpositive * (full > 0), (1, 2), "same")
    gradients = model.gradients(x, y)
    assert list(gradients) == [w.path for w in model.trainable_weights]
    expected = {conv.kernel: dkernel, conv.bias: dbias, dense.kernel: flat.T @ dz, dense.bias: dz.sum(axis=0)}
    for weight, gradient in expected.items():
        assert_close(gradients[weight.path], gradient, 1e-5, weight.path)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(-np.log(p[range(4), y]).mean(), rel=1e-5)
    assert_close(model.predict(x), p, 1e-5)


# -------------------------------------------------------------------------------------------------- gradcheck itself


class Reciprocal(mc.layers.Layer):
    """1 / x."""

    uses_output = True

    def build(self, input_shapes):
        return input_shapes[0]

    def forward(self, xs, ws):
        np.divide(1, xs[0], out=ws.y)

    def backward(self, dy, ws):
        np.multiply(dy, -ws.y * ws.y, out=ws.dxs[0])


class TestGradcheck:
    def test_leaves_the_model_as_it_was(self, rng):
        model = mc.Sequential(
            [Input((5, 5, 1)), Conv2D(2, 3), BatchNormalization(), Flatten(), layers.Dropout(0.5), Dense(3)]
        )
        model.compile("adam", "mse")
        before, nodes = model.get_weights(), [len(layer.nodes) for layer in model.layers]
        gradcheck(model, loss="mse", y=rng.normal(size=(3, 3)))
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert [len(layer.nodes) for layer in model.layers] == nodes
        assert model.optimizer.iterations == 0
        assert model.weights[0].dtype == np.float32

    @every_backend
    def test_finds_wrong_gradients(self, backend, monkeypatch):
        from minicnn import backends

        kernels = backends.get(backend).ops
        true = kernels.conv2d_backward

        def wrong(x, kernel, y, dy, dx, dkernel, dbias, *rest, **options):
            true(x, kernel, y, dy, dx, dkernel, dbias, *rest, **options)
            dkernel[0, 0, 0, 0] *= 1.001

        monkeypatch.setattr(kernels, "conv2d_backward", wrong)
        with pytest.raises(GradientError, match="relative error"):
            gradcheck(Conv2D(2, 3), input_shape=(5, 5, 2), backend=backend)

    def test_own_data(self, rng):
        x, y = rng.normal(size=(4, 5)), rng.normal(size=(4, 2))
        model = mc.Sequential([Input((5,)), Dense(2, activation="tanh")])
        check = gradcheck(model, x, y, loss="mse")
        w = model.get_weights()
        assert check.analytic == pytest.approx(check.numeric, rel=1e-6)
        assert all(np.array_equal(a, b) for a, b in zip(w, model.get_weights(), strict=True))

    @pytest.mark.parametrize("place", [3e-4, 1e-3])
    def test_a_strong_curvature(self, place):
        """1 / x near 0, of whose differences h² / x² would be above the tolerance."""
        check = gradcheck(Reciprocal(), np.full((1, 1), place), input_shape=(1,))
        assert check.analytic == pytest.approx(check.numeric, rel=1e-8)

    def test_several_inputs_and_outputs(self):
        a, b = Input((3,)), Input((4,))
        y = layers.Concatenate()([Dense(4)(a), Dense(4, activation="tanh")(b)])
        assert gradcheck(mc.Model([a, b], [y, Dense(2)(y)])).error <= 1e-6

    def test_a_kink_everywhere_is_said(self):
        with pytest.raises(GradientError, match="kink"):
            gradcheck(ReLU(), np.zeros((3, 4)), input_shape=(4,))

    @pytest.mark.parametrize("jump", [1e-2, 1e-4, 1e-6])
    def test_a_kink_in_the_middle_is_noticed_however_small(self, jump):
        """Both steps find the same slope then, the mean of the two sides."""
        x = Input((1,))
        model = mc.Model(x, layers.Add()([x, ReLU(negative_slope=1 - jump)(x)]))
        with pytest.raises(GradientError, match="kink"):
            gradcheck(model, np.zeros((1, 1)), tolerance=jump / 100)

    def test_sums_and_differences_of_its_data_are_not_tied(self, seed):
        """As on a grid, where a maximum of them has kinks: `Add` before pooling, or a softmax."""
        inputs = Input((4, 3)), Input((4, 3))
        graph = mc.Model(inputs, layers.Add()(inputs)).graph
        a, b = (x.ravel() for x in gradient_check._data(None, graph, 2, np.random.default_rng(seed)))
        for values in (a + b[:, None], a - b[:, None], (a + a[:, None])[np.triu_indices(24)]):
            assert np.diff(np.sort(values, axis=None)).min() > 1e-12
        differences = (a - a[:, None])[np.triu_indices(24, 1)]
        assert np.diff(np.sort(differences)).min() > 1e-12
        assert np.diff(np.sort([*a, *b])).min() > 0.05 * 2 / 24 and max(abs(a).max(), abs(b).max()) <= 1

    def test_needs_a_shape(self):
        with pytest.raises(ValueError, match="input_shape"):
            gradcheck(Dense(3))
