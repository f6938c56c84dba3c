"""The engine: memory that is shared, values and weights with several users, branches, views, batches of any size."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles import BACKENDS, assert_close, every_backend, randomize, run, softmax, tie_free

import minicnn as mc
from minicnn import backends, layers, losses, random
from minicnn.backends.base import Backend
from minicnn.gradient_check import gradcheck
from minicnn.layers import (
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    ReLU,
    Reshape,
    SeparableConv2D,
    Softmax,
    ZeroPadding2D,
)
from minicnn.parameters import ParameterStore
from minicnn.plan import arena
from minicnn.plan.plan import Plan
from minicnn.testing.running import graph_of
from minicnn.threads import compute_threads
from minicnn.training import engine

fused_or_not = pytest.mark.parametrize("fuses", [False, True], ids=["unfused", "fused"])


# ------------------------------------------------------------------------------------------------------ random graphs


@st.composite
def graphs(draw):
    """A model with branches: values read several times, layers used several times, views, several outputs."""
    inputs = [Input((4, 3, 2)) for _ in range(draw(st.integers(1, 2)))]
    images, vectors = list(inputs), []
    shared = Conv2D(2, 3, padding="same", activation=draw(st.sampled_from([None, "relu", "tanh"])))
    shared_dense = Dense(3)
    nested = mc.Sequential([Conv2D(2, 1), BatchNormalization(), ReLU()])
    for kind in draw(st.lists(st.integers(0, 14), min_size=2, max_size=9)):
        x = images[draw(st.integers(0, len(images) - 1))]
        z = images[draw(st.integers(0, len(images) - 1))]
        if kind == 0:
            images.append(Conv2D(2, 3, padding="same", activation="relu")(x))
        elif kind == 1:
            images.append(shared(x))
        elif kind == 2:
            images.append(Add()([x, z]))  # x and z may be the same
        elif kind == 3:
            images.append(Conv2D(2, 1)(Concatenate()([x, z])))
        elif kind == 4:
            images.append(Activation(draw(st.sampled_from(["tanh", "sigmoid", "softmax"])))(x))
        elif kind == 5:
            images.append(nested(x))
        elif kind == 6:
            images.append(Dropout(0.3)(x))
        elif kind == 7:
            images.append(MaxPooling2D(2, 1, "same")(Conv2D(2, 1, activation="relu")(x)))
        elif kind == 8:
            images.append(Reshape((4, 3, 2))(Reshape((12, 2))(x)))
        elif kind == 9:
            vectors.append(Flatten()(x))
        elif kind == 10:
            vectors.append(GlobalAveragePooling2D()(x))
        elif kind == 11:
            images.append(ReLU()(x))
        elif kind == 12:
            images.append(MaxPooling2D(2, 1, "same")(x))
        elif kind == 13:
            images.append(BatchNormalization()(x))
        else:
            vectors.append(shared_dense(Dense(4)(Flatten()(x))))
    values = [t for t in images[len(inputs) :] + vectors]
    outputs = [Dense(2)(Flatten()(images[-1]))]
    outputs += [values[i] for i in draw(st.lists(st.integers(0, len(values) - 1), max_size=2))]
    inputs = [t for t in inputs if depends(outputs, t)] or inputs[:1]
    return mc.Model(inputs, outputs)


def depends(outputs, tensor) -> bool:
    return any(t is tensor or depends(t.node.inputs, tensor) for t in outputs)


def data_of(model, rng, count=3):
    xs = [tie_free(rng, count, *t.shape[1:]) for t in model.inputs]
    return xs, [rng.normal(size=(count, *t.shape[1:])) for t in model.outputs]


def live_forever(intervals):
    """An arena in which nothing shares memory."""
    offset = 0
    for interval in intervals:
        interval.offset = offset
        offset += arena._padded(interval.size)
    return offset


random_graphs = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@every_backend
@given(model=graphs(), seed=st.integers(0, 2**32 - 1))
@random_graphs
def test_shared_memory_changes_nothing(backend, model, seed):
    rng = np.random.default_rng(seed)
    randomize(model.layers, rng)
    xs, dys = data_of(model, rng)
    if len({id(t) for t in model.outputs}) != len(model.outputs):
        return  # one value with two gradients: see test_one_value_as_two_outputs
    for mode in (True, False):
        actual = run(model.graph, xs, dys if mode else None, backend, mode)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("minicnn.plan.plan.pack", live_forever)
            expected = run(model.graph, xs, dys if mode else None, backend, mode)
        assert actual.plan.nbytes <= expected.plan.nbytes
        for a, b in zip(actual.outputs + actual.dxs, expected.outputs + expected.dxs, strict=True):
            np.testing.assert_array_equal(a, b)
        for path in expected.grads:
            np.testing.assert_array_equal(actual.grads[path], expected.grads[path], path)


@every_backend
@given(model=graphs(), seed=st.integers(0, 2**31 - 1), fuses=st.booleans())
@random_graphs
def test_gradients_of_random_graphs(backend, model, seed, fuses):
    rng = np.random.default_rng(seed)
    randomize(model.layers, rng)
    if len({id(t) for t in model.outputs}) == len(model.outputs):
        assert gradcheck(model, backend=backend, fuses=fuses, seed=seed, tolerance=1e-5).error <= 1e-5


@given(model=graphs(), seed=st.integers(0, 2**32 - 1), mode=st.booleans(), fuses=st.booleans())
@random_graphs
def test_memory_that_is_not_in_use_does_not_matter(model, seed, mode, fuses):
    """Before every step, all bytes that no array is using are filled with NaN."""
    rng = np.random.default_rng(seed)
    randomize(model.layers, rng)
    xs, dys = data_of(model, rng)
    if len({id(t) for t in model.outputs}) != len(model.outputs):
        return
    expected = run(model.graph, xs, dys if mode else None, training=mode, fuses=fuses)
    outputs, grads = run_with_poison(model.graph, xs, dys, mode, fuses)
    for a, b in zip(outputs, expected.outputs, strict=True):
        np.testing.assert_array_equal(a, b)
    for path in expected.grads:
        np.testing.assert_array_equal(grads[path], expected.grads[path], path)


@pytest.mark.parametrize("fuses", [False, True])
def test_a_lifetime_that_ends_one_time_too_early_is_noticed(fuses, rng):
    """The poison itself: what a backward step reads last, and a forward step of inference, may not end before it."""
    x = inputs = Input((6, 6, 2))
    first = Conv2D(3, 3, padding="same", activation="relu")
    x = MaxPooling2D()(first(x))
    x = Add()([Conv2D(3, 1, activation="tanh")(x), BatchNormalization()(x)])
    model = mc.Model(inputs, Dense(2)(Flatten()(x)))
    first.bias.assign([-1e3, 0, 0])  # ReLU passes gradients where y is NaN: some winners of pooling have to be zeros
    xs, dys = data_of(model, rng)
    checked = 0
    for mode in (True, False):
        expected = results_with_poison(model.graph, xs, dys, mode, fuses)
        assert all(np.isfinite(e).all() for e in expected)
        for index in itertools.count():
            try:
                results = results_with_poison(model.graph, xs, dys, mode, fuses, index)
            except IndexError:
                break
            checked += 1
            same = [np.array_equal(a, b) for a, b in zip(results, expected, strict=True)]
            assert not all(same), f"interval {index}, training={mode}"
    assert checked >= 11


def results_with_poison(*args):
    outputs, grads = run_with_poison(*args)
    return [*outputs, *grads.values()] if args[3] else outputs


def last_reads(plan):
    """The intervals whose last use is that a step reads them."""
    end, reads = len(plan.places), {}
    for i, wires in enumerate(plan.wiring.places):
        if plan.training and wires.dy is not None:
            step = wires.place.step
            slots = [*(wires.xs if step.uses_input else ()), *([wires.y] if step.uses_output else ()), wires.dy]
            reads |= {slot.interval: 2 * end - i for slot in slots}
        elif not plan.training and not wires.place.step.is_view:
            reads |= {slot.interval: i for slot in wires.xs}
    return [interval for interval, time in reads.items() if interval.last == time]


def run_with_poison(graph, xs, dys, mode, fuses, shortened=None):
    """(outputs, gradients) of a plan whose unused memory holds NaN at every moment.

    `shortened` is the index of one of its `last_reads`: that one ends too early.
    """
    backend = backends.get("numpy")
    weights = list(dict.fromkeys(w for layer in graph.layers for w in layer.weights))
    store = ParameterStore(weights, backend, "float32", adopt=False)
    plan = Plan(graph, store, len(xs[0]), mode, None, 7, fuses, True)
    bound, end = plan.bind(len(xs[0])), len(plan.places)
    intervals = plan.wiring.lifetimes()
    if shortened is not None:
        last_reads(plan)[shortened].last -= 1

    def poison(time):
        used = np.zeros(plan.nbytes, bool)
        for interval in intervals:
            if interval.first <= time <= interval.last:
                assert not used[interval.offset : interval.offset + interval.size].any()
                used[interval.offset : interval.offset + interval.size] = True
        plan.memory[~used] = 0xFF  # NaN in every float

    poison(-1)
    for array, x in zip(bound.inputs, xs, strict=True):
        array[...] = x
    for step in bound.forward_steps:
        poison(plan.places.index(step.place))
        step.ws.iteration = 3
        step.place.step.forward(step.ws.xs, step.ws)
    poison(end)
    outputs = [np.array(o) for o in bound.outputs]
    if mode:
        for gradient, dy in zip(bound.head_gradients, dys, strict=True):
            if gradient is not None:
                gradient[...] = dy
        for step in bound.backward_steps:
            poison(2 * end - plan.places.index(step.place))
            step.place.step.backward(step.ws.dy, step.ws)
            for total, own in step.additions:
                total += own
    return outputs, {w.path: np.array(g) for w, g in store.gradients.items() if w.trainable}


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 20), st.integers(0, 20)), max_size=20),
)
def test_arena_never_overlaps(entries):
    intervals = [arena.Interval(size, min(a, b), max(a, b)) for size, a, b in entries]
    total = arena.pack(intervals)
    for i, a in enumerate(intervals):
        assert a.offset % 64 == 0
        assert a.offset + a.size + 64 <= total  # and readable bytes behind
        for b in intervals[:i]:
            if a.meets(b) and a.size and b.size:
                assert a.offset + a.size + 64 <= b.offset or b.offset + b.size + 64 <= a.offset
    assert total <= sum(arena._padded(i.size) for i in intervals)


def test_arena_shares_memory_in_a_chain():
    """Inference of a deep chain of equal layers needs two or three arrays, however deep."""

    def plan(depth):
        model = mc.Sequential(
            [Input((8, 8, 4)), *[Conv2D(4, 3, padding="same", activation="tanh") for _ in range(depth)]]
        )
        return run(model.graph, [np.zeros((2, 8, 8, 4))], training=False).plan

    assert plan(12).nbytes == plan(4).nbytes <= 3 * (2 * 8 * 8 * 4 * 4 + 128)


def residual(x, filters, strides):
    y = BatchNormalization()(Conv2D(filters, 3, strides, padding="same", use_bias=False)(x))
    y = BatchNormalization()(Conv2D(filters, 3, padding="same", use_bias=False)(ReLU()(y)))
    if strides > 1:
        x = BatchNormalization()(Conv2D(filters, 1, strides, use_bias=False)(x))
    return ReLU()(Add()([y, x]))


def residual_network(inputs):
    x = inputs
    for filters, strides in ((8, 1), (8, 1), (16, 2), (16, 1), (32, 2), (32, 1)):
        x = residual(x, filters, strides)
    return x


def plain_network(inputs):
    """One array is much larger than the others: by life, small ones would come into its way."""
    x = MaxPooling2D()(Conv2D(64, 3, activation="relu")(Conv2D(32, 3, activation="relu", padding="same")(inputs)))
    return Dense(10)(Dense(128, activation="relu")(Flatten()(x)))


@pytest.mark.parametrize(("network", "shape"), [(residual_network, (32, 32, 8)), (plain_network, (28, 28, 1))])
def test_arena_needs_no_more_than_what_is_alive_at_once(network, shape):
    inputs = Input(shape)
    plan = run(mc.Model(inputs, network(inputs)).graph, [np.zeros((16, *shape))], training=True).plan
    lifetimes = list(plan.wiring.lifetimes())
    times = {time for i in lifetimes for time in (i.first, i.last) if abs(time) != np.inf}
    most = max(sum(arena._padded(i.size) for i in lifetimes if i.first <= time <= i.last) for time in times)
    assert plan.nbytes <= 1.005 * most


@every_backend
@pytest.mark.parametrize("mode", [True, False])
def test_buffers_are_aligned(backend, mode):
    model = mc.Sequential([Input((7, 5, 3)), Conv2D(5, 3, activation="relu"), MaxPooling2D(), Flatten(), Dense(7)])
    plan = run(model.graph, [np.zeros((3, 7, 5, 3))], backend=backend, training=mode).plan
    for _, ws, _ in plan.bind(3).forward_steps:
        for array in (*ws.xs, ws.y, *ws.buffers.values(), *ws.params.values()):
            address = array.data.ptr if plan.backend.on_device else array.ctypes.data
            assert address % 64 == 0
            assert array.flags.c_contiguous


# ----------------------------------------------------------------------------------------- branches and shared layers


@every_backend
@fused_or_not
def test_residual_block(backend, fuses, seed):
    image = Input((6, 5, 3))
    x = Conv2D(4, 3, padding="same", activation="relu")(image)
    y = ReLU()(BatchNormalization()(Conv2D(4, 3, padding="same", use_bias=False)(x)))
    y = Conv2D(4, 3, padding="same")(y)
    y = ReLU()(Add()([y, x]))
    y = ReLU()(Add()([Conv2D(4, 1, strides=2)(y), MaxPooling2D(1, 2)(y)]))
    model = mc.Model(image, Dense(3)(GlobalAveragePooling2D()(y)))
    randomize(model.layers, np.random.default_rng(seed))
    assert gradcheck(model, backend=backend, fuses=fuses, seed=seed).error <= 1e-6


@every_backend
@fused_or_not
def test_a_layer_used_three_times_adds_its_gradients(backend, fuses, rng):
    conv = Conv2D(2, 3, padding="same", activation="relu")
    image = Input((5, 5, 2))
    model = mc.Model(image, conv(conv(conv(image))))
    copies = [Conv2D(2, 3, padding="same", activation="relu") for _ in range(3)]
    apart = mc.Sequential([Input((5, 5, 2)), *copies])
    randomize([conv], rng)
    for copy in copies:
        copy.set_weights(conv.get_weights())
    xs, dys = [rng.normal(size=(3, 5, 5, 2))], [rng.normal(size=(3, 5, 5, 2))]
    shared = run(model.graph, xs, dys, backend, fuses=fuses)
    unshared = run(apart.graph, xs, dys, backend, fuses=fuses)
    assert_close(shared.dxs[0], unshared.dxs[0], 1e-6)
    for name in ("kernel", "bias"):
        total = sum(unshared.grads[getattr(copy, name).path].astype(np.float64) for copy in copies)
        assert_close(shared.grads[f"{conv.name}/{name}"], total, 1e-6)
    assert model.count_params() == conv.count_params()


@every_backend
def test_siamese_model_trains_its_shared_weights(backend, rng):
    tower = mc.Sequential([Input((4,)), Dense(3, activation="tanh"), Dense(2)])
    a, b = Input((4,)), Input((4,))
    model = mc.Model([a, b], Concatenate()([tower(a), tower(b)]))
    model.compile(mc.optimizers.SGD(0.1), "mse", backend=backend)
    single = mc.Sequential([Input((4,)), Dense(3, activation="tanh"), Dense(2)])
    single.compile(mc.optimizers.SGD(0.1), "mse", backend=backend)
    single.set_weights(model.get_weights())
    x, t = rng.normal(size=(6, 4)), rng.normal(size=(6, 2))
    model.train_on_batch([x[:3], x[3:]], np.concatenate([t[:3], t[3:]], axis=1))
    single.train_on_batch(x, t)  # mean over 12 numbers, both times
    for p, q in zip(model.get_weights(), single.get_weights(), strict=True):
        assert_close(p, q, 1e-6)
    assert len(model.trainable_weights) == 4


@every_backend
def _downsampled(x):
    """The shortcut is computed after the normalization that it is added to."""
    y = BatchNormalization()(Conv2D(4, 3, strides=2, padding="same")(x))
    return ReLU()(Add()([y, BatchNormalization()(Conv2D(4, 1, strides=2)(x))]))


NORMALIZED = {  # what follows a normalization → the steps after the first convolution and the merged ones among them
    "ReLU": (lambda x: ReLU()(BatchNormalization()(x)), 1),
    "addition": (lambda x: Add()([x, BatchNormalization()(x)]), 1),
    "addition, ReLU": (lambda x: ReLU()(Add()([BatchNormalization()(x), x])), 1),
    "a shortcut that comes later": (_downsampled, 4),
    "twice the same": (lambda x: (lambda y: Add()([y, y]))(BatchNormalization()(x)), 2),
    "three": (lambda x: Add()([x, BatchNormalization()(x), x]), 2),
    "two ReLUs": (lambda x: (lambda y: Add()([ReLU()(y), y]))(BatchNormalization()(x)), 3),
    "ReLU before": (lambda x: Add()([x, ReLU()(BatchNormalization()(x))]), 2),
    "frozen": (lambda x: ReLU()(Add()([x, BatchNormalization(trainable=False)(x)])), 1),
}


@every_backend
@pytest.mark.parametrize("kind", NORMALIZED)
def test_what_merges_with_a_normalization_in_training(kind, backend, rng):
    image = Input((6, 5, 3))
    then, steps = NORMALIZED[kind]
    model = mc.Model(image, Dense(3)(GlobalAveragePooling2D()(then(Conv2D(4, 3, padding="same")(image)))))
    randomize(model.layers, rng)
    assert gradcheck(model, backend=backend, fuses=True).error <= 1e-6
    xs, dys = data_of(model, rng)
    plain, fused = (run(model.graph, xs, dys, backend, True, fuses) for fuses in (False, True))
    assert_close(fused.outputs[0], plain.outputs[0], 1e-5, "y")
    for path, gradient in plain.grads.items():
        assert_close(fused.grads[path], gradient, 1e-5, path)
    store = ParameterStore(model.weights, backends.get(backend), "float32", adopt=False)
    plan = Plan(model.graph, store, 2, training=True, fuses=True)
    assert len(plan.places) == 1 + steps + 2


PADDED = {  # zeros and what reads them → names of the steps, in use
    "Conv2D": (lambda x: Conv2D(4, 3, strides=2)(ZeroPadding2D(((0, 1), (2, 1)))(x)), ["FusedConv2D"]),
    "dilated": (lambda x: Conv2D(4, 2, dilation_rate=2)(ZeroPadding2D((2, 0))(x)), ["FusedConv2D"]),
    "all behind": (
        lambda x: MaxPooling2D()(ReLU()(BatchNormalization()(Conv2D(5, 3)(ZeroPadding2D(2)(x))))),
        ["FusedConv2D"],
    ),
    "groups": (lambda x: Conv2D(6, 3, groups=3)(ZeroPadding2D()(x)), ["FusedConv2D"]),
    "depthwise": (lambda x: ReLU()(DepthwiseConv2D(3, strides=2)(ZeroPadding2D()(x))), ["PartConv2D"]),
    "separable": (lambda x: SeparableConv2D(4, 3)(ZeroPadding2D()(x)), ["PartConv2D"] * 2),
    "twice": (lambda x: Conv2D(4, 3)(ZeroPadding2D()(ZeroPadding2D()(x))), ["ZeroPadding2D", "FusedConv2D"]),
    "too much": (lambda x: Conv2D(4, 3)(ZeroPadding2D((1, 3))(x)), ["ZeroPadding2D", "Conv2D"]),
    "same": (lambda x: Conv2D(4, 3, padding="same")(ZeroPadding2D()(x)), ["ZeroPadding2D", "Conv2D"]),
    "read twice": (
        lambda x: (lambda y: Add()([Conv2D(3, 1)(y), y]))(ZeroPadding2D()(x)),
        ["ZeroPadding2D", "Conv2D", "Add"],
    ),
}


@every_backend
@pytest.mark.parametrize("kind", PADDED)
def test_convolutions_pad_by_themselves(kind, backend, rng):
    image = Input((6, 5, 3))
    then, steps = PADDED[kind]
    model = mc.Model(image, Dense(3)(GlobalAveragePooling2D()(then(Conv2D(3, 2, activation="tanh")(image)))))
    randomize(model.layers, rng)
    assert gradcheck(model, backend=backend, fuses=True).error <= 1e-6
    xs, dys = data_of(model, rng)
    plain, fused = (run(model.graph, xs, dys, backend, True, fuses) for fuses in (False, True))
    assert_close(fused.outputs[0], plain.outputs[0], 1e-5, "y in training")
    largest = max(np.abs(gradient).max() for gradient in plain.grads.values())
    for path, gradient in plain.grads.items():
        if np.abs(gradient).max() <= 1e-5 * largest:  # rounding alone, of a bias before a normalization
            assert kind == "all behind" and np.abs(fused.grads[path]).max() <= 1e-5 * largest
        else:
            assert_close(fused.grads[path], gradient, 1e-5, path)
    plain, fused = (run(model.graph, xs, None, backend, False, fuses) for fuses in (False, True))
    assert_close(fused.outputs[0], plain.outputs[0], 1e-5, "y")
    assert [type(place.step).__name__ for place in fused.plan.places][2:-2] == steps


@every_backend
@pytest.mark.parametrize("kind", NORMALIZED)
def test_what_merges_with_an_addition_in_use(kind, backend, rng):
    image = Input((6, 5, 3))
    y = NORMALIZED[kind][0](Conv2D(4, 3, padding="same")(image))
    model = mc.Model(image, Dense(3)(ReLU()(Add()([y, y, y]))))
    randomize(model.layers, rng)
    xs, _ = data_of(model, rng)
    plain, fused = (run(model.graph, xs, None, backend, False, fuses) for fuses in (False, True))
    assert_close(fused.outputs[0], plain.outputs[0], 1e-5, "y")
    steps = [type(place.step).__name__ for place in fused.plan.places]
    assert steps[-2:] == ["FusedAdd", "Dense"]
    assert [type(place.step).__name__ for place in plain.plan.places][-3:] == ["Add", "ReLU", "Dense"]


@every_backend
def test_add_of_one_value_twice(backend):
    x = Input((3,))
    y = Dense(2)(x)
    assert gradcheck(mc.Model(x, Add()([y, y, y])), backend=backend).error <= 1e-6
    assert gradcheck(mc.Model(x, Concatenate()([y, x, y])), backend=backend).error <= 1e-6


@every_backend
@fused_or_not
def test_flatten_of_a_branch_point(backend, fuses, seed):
    """The view's gradient may not lie in the source's gradient when the source has other readers."""
    image = Input((4, 4, 2))
    x = Conv2D(3, 3, activation="relu")(image)
    flat = Dense(3)(Flatten()(x))
    again = Dense(3)(Flatten()(x))
    pooled = Dense(3)(GlobalAveragePooling2D()(x))
    assert (
        gradcheck(mc.Model(image, Add()([flat, pooled, again])), backend=backend, fuses=fuses, seed=seed).error <= 1e-6
    )
    views = Reshape((3, 4))(Flatten()(x))
    model = mc.Model(image, [Dense(2)(views), Flatten()(x), x])
    assert gradcheck(model, backend=backend, fuses=fuses, seed=seed).error <= 1e-6


@every_backend
@fused_or_not
def test_an_intermediate_value_as_output(backend, fuses, rng, seed):
    """It is not merged away, not overwritten, and takes gradients from its own loss and from its readers."""
    image = Input((6, 6, 2))
    conv = Conv2D(3, 3)
    x = conv(image)
    y = ReLU()(x)
    model = mc.Model(image, [x, y, MaxPooling2D()(y)])
    assert gradcheck(model, backend=backend, fuses=fuses, seed=seed).error <= 1e-6
    data = rng.normal(size=(3, 6, 6, 2)).astype(np.float32)
    for mode in (True, False):
        full, positive, pooled = run(model.graph, [data], backend=backend, fuses=fuses, training=mode).outputs
        np.testing.assert_array_equal(positive, np.maximum(full, 0))
        assert_close(pooled, positive.reshape(3, 2, 2, 2, 2, 3).max(axis=(2, 4)), 1e-7)


@every_backend
@fused_or_not
@pytest.mark.parametrize("kind", [ReLU, MaxPooling2D, BatchNormalization])
def test_a_value_with_several_readers_is_not_merged_away(kind, backend, fuses, rng, seed):
    """A convolution, and a dense layer, read by what could merge with it and by something else, in either order."""
    image = Input((6, 6, 2))
    x = Conv2D(3, 3)(image)
    first, second = Dense(2)(Flatten()(kind()(x))), Dense(2)(Flatten()(x))
    z = Dense(4)(Flatten()(image))
    third = Dense(2)(Add()([ReLU()(z), z]))
    for order in ([first, second, third], [third, second, first]):
        model = mc.Model(image, Add()(order))
        assert gradcheck(model, backend=backend, fuses=fuses, seed=seed).error <= 1e-6
        data = [rng.normal(size=(3, 6, 6, 2))]
        a, b = (run(model.graph, data, None, backend, False, f, "float64").outputs[0] for f in (fuses, False))
        assert_close(a, b, 1e-10)


@every_backend
def test_outputs_and_inputs_gradients_can_be_read_after_the_backward_pass(backend, rng):
    """A caller reads the outputs when a step is over: nothing of the backward pass lies in their memory."""
    image = Input((6, 6, 2))
    y = Dense(2)(Flatten()(Conv2D(3, 3, activation="relu")(image)))
    model = mc.Model(image, [y, Dense(5)(Dense(40)(y))])
    xs, dys = data_of(model, rng)
    result = run(model.graph, xs, dys, backend)
    for after, before in zip(result.bound.outputs, result.outputs, strict=True):
        np.testing.assert_array_equal(result.backend.to_host(after), before)


def test_the_inputs_are_there_until_the_losses_are_computed(rng):
    """Though no backward step reads them: a step whose loss is not finite runs again to find the layer."""
    model = mc.Sequential([Input((40,)), *[Activation("tanh") for _ in range(4)], Dense(2)])
    x = rng.normal(size=(3, 40)).astype(np.float32)
    np.testing.assert_array_equal(run(model.graph, [x], wanted=False).inputs_after[0], x)


@pytest.mark.parametrize("remembers", [False, True])
def test_inputs_are_kept_where_somebody_reads_them(remembers):
    """In use, a backend that remembers no addresses puts other values where the inputs were."""
    graph = graph_of(mc.Sequential([Input((1000,)), *[Activation("tanh") for _ in range(4)]]), [(1000,)])
    backend = Backend("some")
    backend.remembers = remembers
    store = ParameterStore([], backend, np.dtype("float32"), adopt=False)
    plan = Plan(graph, store, 8, training=False)
    assert plan.nbytes // (8 * 1000 * 4) == (3 if remembers else 2)


def test_the_input_as_output(rng):
    x = Input((4,))
    model = mc.Model(x, [x, Dense(2)(x)])
    data = rng.normal(size=(5, 4)).astype(np.float32)
    same, _ = model.predict(data)
    np.testing.assert_array_equal(same, data)
    model.compile("sgd", "mse")
    model.fit(data, [np.zeros((5, 4)), np.zeros((5, 2))], verbose=0)
    only = mc.Model(x, Flatten()(x))
    np.testing.assert_array_equal(only.predict(data), data)


# ----------------------------------------------------------------------------------------- several inputs and outputs


def two_headed(backend=None, **options):
    a, b = Input((4,), name="a"), Input((3,), name="b")
    trunk = Dense(5, activation="tanh", name="trunk")(Concatenate(name="both")([a, b]))
    model = mc.Model([a, b], [Dense(3, activation="softmax", name="kind")(trunk), Dense(1, name="size")(trunk)])
    options.setdefault("loss", ["sparse_categorical_crossentropy", "mse"])
    model.compile(mc.optimizers.SGD(0.1), backend=backend, **options)
    return model


def two_headed_data(rng, count=6):
    return [rng.normal(size=(count, n)) for n in (4, 3)], [rng.integers(0, 3, count), rng.normal(size=(count, 1))]


@every_backend
def test_each_output_has_its_loss(backend, rng):
    model = two_headed(backend, loss_weights=[0.5, 2.0], metrics=[["accuracy"], ["mae"]])
    (a, b), (kind, size) = two_headed_data(rng)
    k, s = model.predict([a, b])
    logs = model.evaluate([a, b], [kind, size], verbose=0, return_dict=True)
    kind_loss, size_loss = -np.log(k[range(6), kind]).mean(), np.square(s - size).mean()
    assert list(logs) == ["loss", "kind_loss", "size_loss", "kind_accuracy", "size_mae"]
    assert logs["kind_loss"] == pytest.approx(kind_loss, rel=1e-5)
    assert logs["size_loss"] == pytest.approx(size_loss, rel=1e-5)
    assert logs["loss"] == pytest.approx(0.5 * kind_loss + 2 * size_loss, rel=1e-5)
    assert logs["kind_accuracy"] == (k.argmax(axis=1) == kind).mean()
    assert logs["size_mae"] == pytest.approx(np.abs(s - size).mean(), rel=1e-5)
    # gradients by hand: through both heads into the trunk
    x = np.concatenate([a, b], axis=1)
    matrix, offset, of_kind, kind_offset, of_size, _ = model.get_weights()
    hidden = np.tanh(x @ matrix + offset)
    dk = 0.5 * (softmax(hidden @ of_kind + kind_offset) - np.eye(3)[kind]) / 6
    ds = 2.0 * 2 * (s - size) / 6
    dhidden = (dk @ of_kind.T + ds @ of_size.T) * (1 - hidden**2)
    g = model.gradients([a, b], [kind, size])
    assert_close(g["kind/kernel"], hidden.T @ dk, 1e-5)
    np.testing.assert_allclose(g["size/bias"], ds.sum(axis=0), atol=1e-5 * np.abs(ds).sum())  # the sum may cancel
    assert_close(g["trunk/kernel"], x.T @ dhidden, 1e-5)


def test_list_and_dict_forms_are_the_same(rng):
    xs, ys = two_headed_data(rng)
    by_list = two_headed(metrics=[["accuracy"], []], loss_weights=[1, 0.25])
    weights = by_list.get_weights()
    by_list.fit(xs, ys, epochs=2, batch_size=4, shuffle=False, verbose=0)
    by_dict = two_headed(
        loss={"size": "mse", "kind": losses.SparseCategoricalCrossentropy()},
        metrics={"kind": "accuracy"},
        loss_weights={"kind": 1, "size": 0.25},
    )
    by_dict.set_weights(weights)
    x, y = dict(zip("ba", xs[::-1], strict=True)), {"size": ys[1], "kind": ys[0]}
    by_dict.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    assert by_list.history.history == by_dict.history.history
    for a, b in zip(by_list.get_weights(), by_dict.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(by_list.predict(xs), by_dict.predict(x), strict=True):
        np.testing.assert_array_equal(a, b)
    assert by_list.evaluate(xs, ys, verbose=0) == by_dict.evaluate(x, y, verbose=0)


@every_backend
def test_one_value_as_two_outputs(backend, rng):
    """Both losses read the same value: their gradients add up."""
    x = Input((4,))
    z = Dense(3, name="z")(x)
    data, labels, numbers = rng.normal(size=(5, 4)), rng.integers(0, 3, 5), rng.normal(size=(5, 3))
    for outputs in ([Softmax()(z), z], [z, Activation("softmax")(z)], [z, z]):
        model = mc.Model(x, outputs)
        is_softmax = [t is not z for t in outputs]
        model.compile("sgd", ["sparse_categorical_crossentropy" if s else "mse" for s in is_softmax], backend=backend)
        w, b = model.get_weights()
        value = data @ w + b
        dz = sum((softmax(value) - np.eye(3)[labels]) / 5 if s else 2 * (value - numbers) / 15 for s in is_softmax)
        g = model.gradients(data, [labels if s else numbers for s in is_softmax])
        assert_close(g["z/kernel"], data.T @ dz, 1e-5)


@every_backend
def test_logits_that_another_branch_reads_too(backend, rng):
    """The loss takes the values before the softmax; these, and the softmax's output, also feed a second output."""
    x = Input((4,))
    z = Dense(3, name="z")(x)
    p = Softmax()(z)
    model = mc.Model(x, [p, Add()([z, p])])
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"], backend=backend)
    data, labels, numbers = rng.normal(size=(5, 4)), rng.integers(0, 3, 5), rng.normal(size=(5, 3))
    w, b = model.get_weights()
    value = data @ w + b
    prob = softmax(value)
    dsum = 2 * (value + prob - numbers) / 15
    through = prob * (dsum - (dsum * prob).sum(axis=1, keepdims=True))
    dz = (prob - np.eye(3)[labels]) / 5 + dsum + through
    assert_close(model.gradients(data, [labels, numbers])["z/kernel"], data.T @ dz, 1e-5)


def test_the_same_metric_object_for_two_outputs(rng):
    model = two_headed(loss="mse", metrics=[[m := mc.metrics.MeanAbsoluteError()], [m]])
    xs, _ = two_headed_data(rng)
    ys = [rng.normal(size=(6, 3)), rng.normal(size=(6, 1))]
    logs = model.evaluate(xs, ys, verbose=0, return_dict=True)
    k, s = model.predict(xs)
    assert logs["kind_mean_absolute_error"] == pytest.approx(np.abs(k - ys[0]).mean(), rel=1e-5)
    assert logs["size_mean_absolute_error"] == pytest.approx(np.abs(s - ys[1]).mean(), rel=1e-5)


# ------------------------------------------------------------------------------------------------------ nested models


@every_backend
@fused_or_not
@pytest.mark.parametrize("built", [True, False])
def test_sequential_as_a_layer_nested_twice(backend, fuses, built, rng, seed):
    inner = mc.Sequential([Input((6, 6, 2))] * built + [Conv2D(3, 3), BatchNormalization(), ReLU()])
    middle = mc.Sequential([inner, MaxPooling2D()], name="middle")
    image = Input((6, 6, 2))
    model = mc.Model(image, Dense(2)(Flatten()(middle(image))))
    flat = mc.Sequential(
        [image, Conv2D(3, 3), BatchNormalization(), ReLU(), MaxPooling2D(), Flatten(), Dense(2)],
    )
    randomize(model.layers, rng)
    flat.set_weights(model.get_weights())
    xs, dys = [rng.normal(size=(3, 6, 6, 2))], [rng.normal(size=(3, 2))]
    for mode in (True, False):
        a, b = (run(m.graph, xs, dys if mode else None, backend, mode, fuses) for m in (model, flat))
        np.testing.assert_array_equal(a.outputs[0], b.outputs[0])
        for p, q in zip(a.grads.values(), b.grads.values(), strict=True):
            np.testing.assert_array_equal(p, q)
    assert [layer.name for layer in model.layers][1] == "middle"
    assert gradcheck(model, backend=backend, fuses=fuses, seed=seed).error <= 1e-6


def test_a_nested_model_with_several_outputs(rng):
    x = Input((4,))
    inner = mc.Model(x, [Dense(3)(x), Dense(2)(x)])
    a, b = Input((4,)), Input((4,))
    p, _ = inner(a)
    _, q = inner(b)
    model = mc.Model([a, b], Concatenate()([p, q]))
    xs = [rng.normal(size=(3, 4)) for _ in range(2)]
    w, o, v, u = inner.get_weights()
    assert_close(model.predict(xs), np.concatenate([xs[0] @ w + o, xs[1] @ v + u], axis=1), 1e-5)
    assert gradcheck(model).error <= 1e-6
    with pytest.raises(ValueError, match="one output"):
        mc.Sequential([Input((4,)), inner])


@every_backend
def test_feature_maps_of_a_trained_model(backend, rng):
    mc.set_backend(backend)
    model = mc.Sequential([Input((8, 8, 1)), Conv2D(4, 3, activation="relu"), MaxPooling2D(), Flatten(), Dense(3)])
    model.compile("adam", "mse")
    maps = mc.Model(model.input, [layer.output for layer in model.layers])
    x, y = rng.normal(size=(6, 8, 8, 1)), rng.normal(size=(6, 3))
    for _ in range(2):
        model.fit(x, y, verbose=0)
        values = maps.predict(x)
        assert [v.shape[1:] for v in values] == [layer.output.shape[1:] for layer in model.layers]
        assert_close(values[-1], model.predict(x), 1e-6)
        assert_close(values[1], values[0].reshape(6, 3, 2, 3, 2, 4).max(axis=(2, 4)), 1e-7)


@every_backend
def test_two_models_that_share_layers_train_in_turn(backend, rng):
    """As in an autoencoder: each model's step starts from the other's weights, each has its optimizer's state."""

    def build():
        x = Input((4,))
        trunk = Dense(5, activation="tanh", kernel_initializer=mc.initializers.GlorotUniform(seed=1))
        first = mc.Model(x, Dense(2, kernel_initializer=mc.initializers.GlorotUniform(seed=2))(trunk(x)))
        second = mc.Model(x, Dense(3, kernel_initializer=mc.initializers.GlorotUniform(seed=3))(trunk(x)))
        for model in (first, second):
            model.compile(mc.optimizers.SGD(0.1, momentum=0.9), "mse", backend=backend)
        return trunk, first, second

    x, t = rng.normal(size=(6, 4)), [rng.normal(size=(6, n)) for n in (2, 3)]
    trunk, *models = build()
    velocity = [[np.zeros_like(w) for w in model.get_weights()] for model in models]
    weights = [model.get_weights() for model in models]
    for step in range(6):
        m = step % 2
        w, b, v, c = weights[m]
        hidden = np.tanh(x @ w + b)
        dy = 2 * (hidden @ v + c - t[m]) / t[m].size
        dh = (dy @ v.T) * (1 - hidden**2)
        gradients = [x.T @ dh, dh.sum(axis=0), hidden.T @ dy, dy.sum(axis=0)]
        velocity[m] = [0.9 * u - 0.1 * g for u, g in zip(velocity[m], gradients, strict=True)]
        weights[m] = [p + u for p, u in zip(weights[m], velocity[m], strict=True)]
        weights[1 - m][:2] = weights[m][:2]
        models[m].train_on_batch(x, t[m])
    for model, expected in zip(models, weights, strict=True):
        for a, b in zip(model.get_weights(), expected, strict=True):
            assert_close(a, b, 1e-4)
    assert models[0].layers[1] is models[1].layers[1] is trunk


@every_backend
def test_a_submodel_that_runs_inside_fit_does_not_disturb_it(backend, rng):
    """A callback that looks at feature maps takes nothing away from the model that trains."""
    model = mc.Sequential([Input((4,)), Dense(3, activation="tanh"), Dense(2)])
    model.compile(mc.optimizers.SGD(0.1), "mse", backend=backend)
    sub = mc.Model(model.input, model.layers[0].output)
    start = model.get_weights()
    x, t = rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
    model.fit(x, t, batch_size=2, shuffle=False, verbose=0)
    expected = model.get_weights()
    model.set_weights(start)
    seen = []
    watch = mc.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(sub.predict(x)))
    model.fit(x, t, batch_size=2, shuffle=False, verbose=0, callbacks=[watch])
    for a, b in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert all((a != b).any() for a, b in itertools.pairwise(seen))


@every_backend
def test_another_model_that_shares_layers_may_train_inside_fit(backend, rng):
    """A callback trains a second head after each batch: both models see every update of the shared trunk."""

    def build():
        x = Input((4,))
        trunk = Dense(3, activation="tanh")
        models = [mc.Model(x, Dense(2)(trunk(x))) for _ in range(2)]
        for model in models:
            model.compile(mc.optimizers.SGD(0.1, momentum=0.5), "mse", backend=backend)
        return models

    x, t = rng.normal(size=(6, 4)), rng.normal(size=(6, 2))
    (first, second), (third, fourth) = build(), build()
    for a, b in ((first, third), (second, fourth)):
        b.set_weights(a.get_weights())
    train_second = mc.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: second.train_on_batch(x, -t))
    first.fit(x, t, batch_size=2, epochs=2, shuffle=False, verbose=0, callbacks=[train_second])
    for n in (0, 2, 4, 0, 2, 4):
        third.train_on_batch(x[n : n + 2], t[n : n + 2])
        fourth.train_on_batch(x, -t)
    for a, b in ((first, third), (second, fourth)):
        for p, q in zip(a.get_weights(), b.get_weights(), strict=True):
            np.testing.assert_array_equal(p, q)


# ----------------------------------------------------------------------------------------------------------- freezing


@every_backend
def test_frozen_layers_stay(backend, rng):
    model = mc.Sequential(
        [Input((6, 6, 1)), Conv2D(3, 3), BatchNormalization(), ReLU(), MaxPooling2D(), Flatten(), Dense(4), Dense(2)]
    )
    model.compile("adam", "mse", backend=backend)
    x, y = rng.normal(size=(10, 6, 6, 1)), rng.normal(size=(10, 2))
    model.fit(x, y, verbose=0)
    model.layers[0].trainable = model.layers[1].trainable = False
    before = model.get_weights()
    gradients = model.gradients(x, y)
    assert set(gradients) == {w.path for w in model.trainable_weights}
    assert len(gradients) == 4
    model.fit(x, y, epochs=2, verbose=0)
    after = model.get_weights()
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [True] * 6 + [False] * 4  # kernel, bias, gamma, beta, averages; the dense layers
    model.trainable = False
    before = model.get_weights()
    assert model.gradients(x, y) == {}
    model.fit(x, y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    model.trainable = True
    model.fit(x, y, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert sum(changed) >= 9  # a bias before batch normalization has no gradient but rounding
    assert changed[4:6] == [True, True]


@every_backend
def test_frozen_batch_normalization_uses_the_averages(backend, rng):
    model = mc.Sequential([Input((3,)), BatchNormalization(), Dense(2)])
    model.compile(mc.optimizers.SGD(0.0), "mse", backend=backend)
    model.layers[0].set_weights([[1, 2, 3], [0, 1, 0], [1, 1, 1], [4, 4, 4]])
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    expected = np.square(model.predict(x) - y).mean()
    assert model.train_on_batch(x, y) != pytest.approx(expected, rel=1e-3)
    model.layers[0].set_weights([[1, 2, 3], [0, 1, 0], [1, 1, 1], [4, 4, 4]])
    model.layers[0].trainable = False
    assert model.train_on_batch(x, y) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(model.layers[0].get_weights()[2], [1, 1, 1])


@pytest.mark.parametrize("nested", [False, True])
def test_a_model_frozen_before_it_is_built(nested, rng):
    inner = mc.Sequential([Dense(3)])
    inner.trainable = False
    if nested:
        x = Input((4,))
        model = mc.Model(x, Dense(2)(inner(x)))
    else:
        model = inner
        model.build((None, 4))
    assert not inner.layers[0].trainable
    assert len(inner.trainable_weights) == 0
    assert len(model.trainable_weights) == (2 if nested else 0)


@every_backend
def test_gradients_stop_at_frozen_layers_below_the_first_trainable_one(backend, rng):
    """Nothing is computed for layers whose gradient nobody wants."""
    model = mc.Sequential([Input((4,)), Dense(5), Dense(5, activation="relu"), Dense(2)])
    model.compile("sgd", "mse", backend=backend)
    model.layers[0].trainable = model.layers[1].trainable = False
    model.train_on_batch(rng.normal(size=(3, 4)), rng.normal(size=(3, 2)))
    (plan,) = model._engine._plans.values()
    assert [step.place.layer_name for step in plan.bind(3).backward_steps] == [model.layers[2].name]


# -------------------------------------------------------------------------------------------------------- batch sizes


@every_backend
def test_predict_does_not_depend_on_the_batch_size(backend, rng):
    mc.set_backend(backend)
    model = mc.Sequential(
        [
            Input((6, 6, 1)),
            Conv2D(3, 3),
            BatchNormalization(),
            ReLU(),
            MaxPooling2D(),
            Dropout(0.5),
            Flatten(),
            Dense(4),
        ]
    )
    randomize(model.layers, rng)
    x = rng.normal(size=(23, 6, 6, 1))
    expected = model.predict(x, batch_size=23)
    for size in (1, 2, 3, 5, 7, 11, 13, 22, 24, 1000, 4):
        assert_close(model.predict(x, batch_size=size), expected, 1e-6)
        assert len(model._engine._plans) <= engine.Engine.max_plans <= 8
    assert_close(model.predict_on_batch(x), expected, 1e-6)
    assert_close(model(x), expected, 1e-6)
    assert_close(np.concatenate([model.predict(x[:9]), model.predict(x[9:])]), expected, 1e-6)


def test_plans_are_few_and_right_after_eviction(rng):
    model = mc.Sequential([Input((5,)), Dense(4, activation="relu"), Dense(2)])
    model.compile(mc.optimizers.SGD(0.0), "mse")
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 2))
    loss = np.square(model.predict(x) - y).mean(axis=1)
    for count in [*range(1, 40, 3), *range(39, 0, -4), 1, 40]:
        assert model.train_on_batch(x[:count], y[:count]) == pytest.approx(loss[:count].mean(), rel=1e-4)
        assert model.evaluate(x, y, batch_size=count, verbose=0) == pytest.approx(loss.mean(), rel=1e-4)
        assert len(model._engine._plans) <= engine.Engine.max_plans <= 8


def test_a_plan_serves_smaller_batches(rng):
    model = mc.Sequential([Input((5,)), Dense(4), Dense(2)])
    model.compile("sgd", "mse")
    x, y = rng.normal(size=(50, 5)), rng.normal(size=(50, 2))
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    assert len(model._engine._plans) == 1


@every_backend
def test_short_last_batch_is_a_batch(backend, rng):
    """fit with 10 samples in batches of 4 equals three steps on 4, 4 and 2 samples, dropout and averages included."""

    def build():
        model = mc.Sequential([Input((5, 5, 1)), Conv2D(3, 3), BatchNormalization(), ReLU(), Flatten(), Dense(2)])
        model.compile(mc.optimizers.Adam(0.01), "mse", backend=backend)
        return model

    x, y = rng.normal(size=(10, 5, 5, 1)), rng.normal(size=(10, 2))
    whole, parts = build(), build()
    parts.set_weights(whole.get_weights())
    whole.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    for part in (slice(0, 4), slice(4, 8), slice(8, 10)):
        parts.train_on_batch(x[part], y[part])
    for a, b in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_plan_refuses_other_sizes():
    plan = run(mc.Sequential([Input((3,)), Dense(2)]).graph, [np.zeros((4, 3))]).plan
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"1 to 4 samples. Received: {count}"):
            plan.bind(count)


def test_a_step_allocates_nothing_that_stays(rng):
    """Training again and again keeps the same plan, the same arrays, the same vectors."""
    model = mc.Sequential([Input((5,)), Dense(4, activation="relu"), Dense(2)])
    model.compile("adam", "mse")
    x, y = rng.normal(size=(8, 5)), rng.normal(size=(8, 2))
    model.train_on_batch(x, y)
    engine = model._engine
    theta, plans, state = engine.store.theta, dict(engine._plans), dict(engine.optimizer_state)
    model.fit(x, y, batch_size=8, epochs=3, verbose=0)
    assert model._engine is engine
    assert engine.store.theta is theta
    assert engine._plans == plans
    assert all(engine.optimizer_state[name] is vector for name, vector in state.items())
    assert all(np.shares_memory(w.value, theta) for w in model.weights)


# ------------------------------------------------------------------------------------------ dropout and the iteration


@every_backend
@fused_or_not
def test_dropout_draws_the_same_mask_backward(backend, fuses, rng):
    model = mc.Sequential([Input((40,)), Dropout(0.4)])
    x, dy = rng.normal(size=(5, 40)), rng.normal(size=(5, 40))
    result = run(model.graph, [x], [dy], backend, fuses=fuses)
    mask = result.outputs[0] != 0
    assert_close(result.outputs[0], np.where(mask, x / 0.6, 0), 1e-6)
    assert_close(result.dxs[0], np.where(mask, dy / 0.6, 0), 1e-6)
    assert 0.4 < mask.mean() < 0.8


def test_masks_are_the_same_on_both_backends_fused_or_not(rng):
    image = Input((8, 8, 2))
    y = MaxPooling2D()(Conv2D(4, 3, activation="relu")(image))
    y = Dropout(0.5)(Dense(6, activation="relu")(Flatten()(Dropout(0.3)(y))))
    model = mc.Model(image, y)
    x = [rng.normal(size=(5, 8, 8, 2))]
    results = [run(model.graph, x, backend=b, fuses=f).outputs[0] for b in BACKENDS for f in (False, True)]
    for result in results[1:]:
        np.testing.assert_array_equal(result == 0, results[0] == 0)
        assert_close(result, results[0], 1e-5)


@every_backend
def test_masks_differ_by_place_iteration_model_and_sample(backend):
    dropout = Dropout(0.5)
    x = Input((64,))
    model = mc.Model(x, [dropout(x), dropout(x), Dropout(0.5)(x)])
    ones = np.ones((4, 64), np.float32)

    def masks(plan_seed, iteration):
        store = ParameterStore([], backends.get(backend), "float32", adopt=False)
        plan = Plan(model.graph, store, 4, True, seed=plan_seed)
        bound = plan.bind(4)
        plan.backend.load(bound.inputs[0], ones)
        with compute_threads(plan.backend):
            bound.forward(iteration)
        outputs = [plan.backend.to_host(o) for o in bound.outputs]
        return [tuple((o[n] != 0).tolist()) for o in outputs for n in range(4)]

    everything = [*masks(1, 0), *masks(1, 1), *masks(2, 0), *masks(1, 2**32), *masks(2**40 + 1, 0)]
    assert len(set(everything)) == len(everything) == 60
    assert masks(1, 0) == everything[:12]


def test_a_seed_of_its_own_fixes_the_mask():
    def mask(**options):
        model = mc.Sequential([Input((64,)), Dropout(0.5, **options)])
        return model(np.ones((2, 64)), training=True) != 0

    assert np.array_equal(mask(seed=5), mask(seed=5))
    assert not np.array_equal(mask(seed=5), mask(seed=6))
    assert not np.array_equal(mask(), mask())


def test_calls_in_training_mode_draw_new_masks():
    """Monte-Carlo dropout: the spread of several calls is the uncertainty (Gal, Ghahramani, 2016)."""
    model = mc.Sequential([Input((64,)), Dropout(0.5)])
    x = np.ones((2, 64))
    a, b = model(x, training=True), model(x, training=True)
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(model(x), x)
    np.testing.assert_array_equal(model.predict(x), x)


@every_backend
def test_dropout_keeps_the_mean(backend):
    model = mc.Sequential([Input((1000,)), Dropout(0.25)])
    y = run(model.graph, [np.ones((50, 1000))], backend=backend).outputs[0]
    share = (y != 0).mean()
    assert abs(share - 0.75) < 5 * np.sqrt(0.75 * 0.25 / y.size)
    assert_close(y[y != 0], np.full((y != 0).sum(), 1 / 0.75), 1e-6)


def test_each_training_step_has_its_own_mask(rng):
    """Through `fit`: the inputs of a layer behind dropout differ from step to step, and repeat with the seed."""

    def losses_of(seed):
        random.set_seed(seed)
        model = mc.Sequential([Input((30,)), Dropout(0.5), Dense(1, kernel_initializer="ones")])
        model.compile(mc.optimizers.SGD(0.0), "mse")
        ones = np.ones((2, 30))
        return [model.train_on_batch(ones, np.zeros((2, 1))) for _ in range(6)]

    first = losses_of(3)
    assert len(set(first)) > 3
    assert losses_of(3) == first
    assert losses_of(4) != first


# ----------------------------------------------------------------------------------------------------------- backends


def test_a_model_moves_between_backends_in_the_middle_of_training(rng):
    """Weights, averages and the optimizer's state go along."""

    def build():
        mc.set_backend("numpy")
        model = mc.Sequential([Input((6,)), Dense(5, activation="relu"), BatchNormalization(), Dense(2)])
        model.compile(mc.optimizers.Adam(0.05), "mse")
        return model

    x, y = rng.normal(size=(12, 6)), rng.normal(size=(12, 2))
    still, moving = build(), build()
    moving.set_weights(still.get_weights())
    for step in range(6):
        mc.set_backend("numpy")
        still.train_on_batch(x, y)
        mc.set_backend(BACKENDS[step % 2])
        moving.train_on_batch(x, y)
    for a, b in zip(still.get_weights(), moving.get_weights(), strict=True):
        assert_close(a, b, 1e-4)


def test_what_runs_is_what_was_asked_for(monkeypatch):
    model = mc.Sequential([Input((3,)), Dense(2)])
    monkeypatch.delenv("MINICNN_BACKEND", raising=False)
    backends._chosen["name"] = None
    assert model.engine.backend.name == "numba"
    monkeypatch.setenv("MINICNN_BACKEND", "numpy")
    assert model.engine.backend.name == "numpy"
    mc.set_backend("numba")
    assert model.engine.backend.name == "numba"
    model.compile("sgd", "mse", backend="numpy")
    assert model.engine.backend.name == "numpy"
    assert layers.CLASSES  # the import above is for the layers' side effect of registering
