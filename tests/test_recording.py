"""What a plan remembers of its steps: the kernels' calls, made again without the Python in between."""

from functools import partial
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba")

import minicnn as mc
from minicnn import backends, layers
from minicnn.backends.numba.convolution import choice, winograd
from minicnn.backends.numba.convolution.winograd_kernels import transformed_kernel, weights_of
from minicnn.backends.numba.machine import launch, recording, walking
from minicnn.backends.numba.machine.memory import scratch
from minicnn.backends.numba.machine.walking import Repeated
from minicnn.geometry import make_window
from minicnn.layers import CLASSES
from minicnn.parameters import ParameterStore
from minicnn.plan.plan import Plan
from minicnn.step import Changes
from minicnn.testing.running import graph_of

NUMBA = backends.get("numba")
ONLY_OPS = [
    pytest.param(layer, shapes, id=f"{cls.__name__}-{number}")
    for cls in CLASSES.values()
    if hasattr(cls, "examples") and cls.only_ops is not False
    for number, (layer, shapes) in enumerate(cls.examples())
]


def bound_plan(layer, shapes, count=3, dtype="float32"):
    """A plan of one layer on the default backend, with gradients of everything."""
    graph = graph_of(layer, shapes)
    weights = list(dict.fromkeys(w for each in graph.layers for w in each.weights))
    store = ParameterStore(weights, NUMBA, np.dtype(dtype), adopt=False)
    return Plan(graph, store, count, training=True, input_gradients=True).bind(count)


def put(bound, rng):
    """Other numbers everywhere: inputs, weights, moving averages, gradients."""
    store = bound.plan.store
    for array in (*bound.inputs, store.theta, *bound.head_gradients):
        array[...] = rng.uniform(-1, 1, array.shape)
    store.sigma[...] = rng.uniform(0.1, 1, store.sigma.shape)


def run(bound):
    """Everything that a run writes."""
    bound.forward()
    outputs = [y.copy() for y in bound.outputs]
    bound.backward()
    store = bound.plan.store
    return [*outputs, *(dx.copy() for dx in bound.input_gradients), store.grad.copy(), store.sigma.copy()]


@pytest.mark.parametrize(("layer", "shapes"), ONLY_OPS)
def test_what_is_remembered_is_what_is_computed(layer, shapes, request):
    """Other numbers in the arrays of a step that ran before: as a plan computes them that never ran."""
    seed = request.config.option.seed
    print(f"seed {seed}")
    remembering = bound_plan(layer, shapes)
    for turn in range(3):
        fresh = bound_plan(layer, shapes)
        put(remembering, np.random.default_rng([seed, turn]))
        put(fresh, np.random.default_rng([seed, turn]))
        for ours, expected in zip(run(remembering), run(fresh), strict=True):
            np.testing.assert_array_equal(ours, expected)


def readable(array):
    """The same numbers from the beginning of a page on: kernels read it where it is, and never a copy."""
    memory = np.zeros(array.nbytes + 4096, np.uint8)
    start = -memory.ctypes.data % 4096
    made = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    made[...] = array
    return made


def network():
    return mc.Sequential(
        [
            mc.Input(shape=(12, 12, 1)),
            layers.Conv2D(6, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(20, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(5, activation="softmax"),
        ]
    )


@pytest.fixture
def python_steps(monkeypatch):
    """Names of the ops that Python was asked for, one for each call."""
    asked = []

    def noting(name, op):
        return lambda *arguments, **options: (asked.append(name), op(*arguments, **options))[1]

    ops = backends.get("numba").ops  # now: other tests load backends anew
    for name, op in list(vars(ops).items()):
        monkeypatch.setattr(ops, name, noting(name, op))
    return asked


def test_python_is_asked_once(python_steps, rng):
    model, x = network(), rng.random((2, 12, 12, 1), np.float32)
    first = model.predict_on_batch(x)
    assert {"conv2d_pool", "dense", "fold_normalization"} <= set(python_steps)
    python_steps.clear()
    second = model.predict_on_batch(x)
    assert python_steps == []
    np.testing.assert_array_equal(first, second)


def test_what_was_predicted_before_changes_no_bit(rng):
    """Plans for many images serve a few, too: with the same steps as one that is made for a few."""
    stack = [layers.Conv2D(8, 3), layers.BatchNormalization(), layers.Conv2D(64, 3), layers.BatchNormalization()]
    model = mc.Sequential([mc.Input((6, 6, 3)), *stack, layers.Flatten(), layers.Dense(9), layers.BatchNormalization()])
    x = rng.random((90, 6, 6, 3), np.float32)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    fresh = mc.models.clone_model(model)
    fresh.set_weights(model.get_weights())
    model.predict_on_batch(x)
    np.testing.assert_array_equal(model.predict_on_batch(x[:2]), fresh.predict_on_batch(x[:2]))


def test_changed_weights_count(rng):
    """Weights that are set, trained, or changed in place between two predictions."""
    model, x = network(), rng.random((2, 12, 12, 1), np.float32)
    model.predict_on_batch(x)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1, weight.shape))
    twin = network()
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.predict_on_batch(x), twin.predict_on_batch(x))


@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        (lambda: layers.LeakyReLU(0.1), "negative_slope", 0.4),
        (layers.BatchNormalization, "epsilon", 0.5),
    ],
)
def test_attributes_that_change_count(layer, name, value, rng):
    """As before steps were remembered: what a layer's attribute says now is what it computes."""
    x = rng.uniform(-1, 1, (4, 6)).astype(np.float32)
    model = mc.Sequential([mc.Input(shape=(6,)), layers.Dense(5), layer()])
    before = model.predict_on_batch(x)
    setattr(model.layers[-1], name, value)
    twin = mc.Sequential([mc.Input(shape=(6,)), layers.Dense(5), layer()])
    twin.set_weights(model.get_weights())
    setattr(twin.layers[-1], name, value)
    after = model.predict_on_batch(x)
    np.testing.assert_array_equal(after, twin.predict_on_batch(x))
    assert (after != before).any()


class OwnEpsilon(layers.BatchNormalization):
    """A user's layer that keeps an argument under another name than the library's."""

    @property
    def epsilon(self):
        return self._own

    @epsilon.setter
    def epsilon(self, value):
        self._own = value


@pytest.mark.parametrize("behind", [layers.ReLU, None], ids=["before ReLU", "folded"])
def test_what_a_users_layer_says_counts(behind, rng):
    """Merged with layers of the library, a user's is asked again every time: its attributes may be anything."""
    own, x = OwnEpsilon(), rng.uniform(0.5, 1, (2, 5, 5, 3)).astype(np.float32)
    parts = [layers.Conv2D(2, 3), own] if behind is None else [own, behind()]
    model = mc.Sequential([mc.Input(shape=(5, 5, 3)), *parts])
    model.predict_on_batch(x)
    own._own = 3.0  # 1 / sqrt(1 + 3) = 1 / 2
    before = parts[0](x) if behind is None else x
    np.testing.assert_allclose(model.predict_on_batch(x), before / 2, rtol=1e-5)


def test_changes_count_when_they_are_made():
    """A thread that computes in between must not take the old attributes for the new ones."""
    counts = []

    class Slow(layers.Flatten):
        @property
        def speed(self):
            return 1

        @speed.setter
        def speed(self, value):
            counts.append(Changes.count)

    layer = Slow()
    before = Changes.count
    layer.speed = 2
    assert counts == [before]
    assert Changes.count > before


def test_values_in_another_order_are_no_copies(rng):
    """What is computed from a weight's array of Fortran's order is what stands in it now."""
    dense, x = layers.Dense(5), rng.random((3, 6), np.float32)
    model = mc.Sequential([mc.Input(shape=(6,)), dense])
    dense.kernel.value = np.asfortranarray(rng.random((6, 5), np.float32))
    np.testing.assert_allclose(model.predict_on_batch(x), x @ dense.kernel.numpy(), rtol=1e-5)
    dense.kernel.assign(np.ones((6, 5)))
    np.testing.assert_allclose(model.predict_on_batch(x), x @ np.ones((6, 5)), rtol=1e-5)


def test_a_weight_of_any_name_is_found(rng):
    """Weights that a layer gets after the model has run."""
    dense = layers.Dense(2)
    model = mc.Sequential([mc.Input(shape=(3,)), dense])
    model.predict_on_batch(np.ones((1, 3)))
    late = dense.add_weight("_late", (1,))
    model.predict_on_batch(np.ones((1, 3)))
    assert late in model.engine.store.values


def with_relu():
    return [layers.Conv2D(8, 3), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D()]


@pytest.mark.parametrize(
    ("parts", "index", "name", "value"),
    [
        (with_relu, 2, "max_value", 0.3),  # no kernel merges such a ReLU
        (with_relu, 2, "negative_slope", 0.5),
        (with_relu, 2, "threshold", 0.4),
        (with_relu, 0, "activation", layers.Tanh()),  # a step more
        (with_relu, 3, "pool_size", (4, 4)),  # other shapes
        (lambda: [layers.Conv2D(8, 3, strides=2)], 0, "strides", (1, 1)),
        (lambda: [layers.Conv2D(8, 3)], 0, "padding", "same"),
        (lambda: [layers.ZeroPadding2D(1)], 0, "padding", ((2, 2), (2, 2))),
    ],
)
def test_attributes_that_plans_depend_on(parts, index, name, value, rng):
    """An attribute that decides which steps there are, which merge, or shapes: as in a model that never ran before."""
    x, y = rng.standard_normal((5, 12, 12, 3)).astype(np.float32), np.arange(5) % 3
    after = layers.GlobalAveragePooling2D, lambda: layers.Dense(3, activation="softmax")
    model, twin = (mc.Sequential([mc.Input(shape=(12, 12, 3)), *parts(), *(cls() for cls in after)]) for _ in range(2))
    twin.set_weights(model.get_weights())
    for each in (model, twin):
        each.compile("sgd", "sparse_categorical_crossentropy")
    model.predict_on_batch(x[:2]), model.test_on_batch(x, y), model.gradients(x, y)  # plans for all of it
    for each in (model, twin):
        setattr(each.layers[index], name, value)
    np.testing.assert_array_equal(model.predict_on_batch(x[:2]), twin.predict_on_batch(x[:2]))
    np.testing.assert_array_equal(model.predict_on_batch(x), twin.predict_on_batch(x))  # no plan was made for five
    assert model.test_on_batch(x, y) == twin.test_on_batch(x, y)
    assert model.train_on_batch(x, y) == twin.train_on_batch(x, y)
    for ours, expected in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_plans_stay_while_layers_are_frozen_or_made(rng):
    """What GANs do in every step, what `fit` notes on a model, and one-off layers make no plan anew."""
    model = network()
    model.compile("sgd", "mse")
    x, y = rng.random((2, 12, 12, 1), np.float32), np.zeros((2, 5), np.float32)
    model.train_on_batch(x, y)
    model.predict_on_batch(x)
    plans = dict(model.engine._plans)
    model.layers[0].trainable = False
    model.predict_on_batch(x)
    model.layers[0].trainable = True
    layers.Conv2D(3, 3, activation="relu")
    model.fit(x, y, batch_size=2, epochs=2, verbose=0)
    model.train_on_batch(x, y)
    model.predict_on_batch(x)
    assert plans and all(model.engine._plans[key] is plan for key, plan in plans.items())


def test_numbers_that_are_not_finite_go_their_own_way(rng):
    """Winograd computes images with NaN and infinity again; then the fast way is taken again."""
    x = rng.standard_normal((2, 12, 12, 16)).astype(np.float32)
    model = mc.Sequential([mc.Input(shape=(12, 12, 16)), layers.Conv2D(32, 3)])
    good = model.predict_on_batch(x)
    bad = x.copy()
    bad[0, 5, 5, 0] = np.nan
    expected = mc.models.clone_model(model)
    expected.set_weights(model.get_weights())
    result = model.predict_on_batch(bad)
    np.testing.assert_array_equal(result, expected.predict_on_batch(bad))
    assert np.isnan(result[0]).any(axis=-1).sum() == 9  # the windows that hold the pixel
    np.testing.assert_array_equal(model.predict_on_batch(x), good)


def test_ops_of_the_reference_are_not_remembered():
    done = []
    y, x = np.zeros(3), np.arange(3.0)

    def work():
        done.append(1)
        recording.reference.pointwise(y, (x,), "relu")

    repeated = Repeated([work])
    for _ in range(3):
        repeated()
    assert len(done) == 3


def test_a_kernel_that_says_no_is_not_remembered():
    """False is what kernels return where another way has to be taken."""
    done, answers = [], iter([False, True, True, False, True])

    def work():
        done.append(1)
        recording.call(lambda: next(answers))

    repeated = Repeated([work])
    repeated()  # False: not kept
    repeated()  # True: kept
    assert len(done) == 2
    repeated()  # True again: without the work
    assert len(done) == 2
    repeated()  # False: anew, which takes the last answer
    assert len(done) == 3


def test_a_new_pool_is_noticed(monkeypatch):
    """A forked child has threads of its own: what was remembered with its parent's is done anew."""
    done = []
    repeated = Repeated([lambda: done.append(1)])
    repeated(), repeated()
    assert len(done) == 1
    monkeypatch.setattr(walking.pool, "_pools", [])
    repeated()
    assert len(done) == 2


def test_other_threads_calls_are_not_recorded():
    import threading

    seen = []

    def work():
        other = threading.Thread(target=lambda: recording.call(seen.append, "other"))
        other.start()
        other.join()
        recording.call(seen.append, "own")

    repeated = Repeated([work])
    repeated(), repeated()
    assert seen == ["other", "own", "own"]


# ------------------------------------------------------------------------------------------- kernels below Python


class Table(NamedTuple):
    """Arguments of every kind that kernels have."""

    offsets: np.ndarray
    count: int
    inner: tuple


def _all_kinds(pool, x, y, has_sign, factor, table):
    for i in range(table.count):
        sign = -1 if has_sign else 1
        y[i] = sign * factor * x.reshape(-1)[table.offsets[i]] + table.inner[0] * table.inner[1][i]


def _positive(x, log):
    log[0] += 1
    return x[0] > 0


def _greedy(x, size):
    x[0] += 1
    scratch(size, x)[0] = 1


all_kinds = launch.parallel_kernel(_all_kinds, typed=2)
positive, greedy = launch.serial_kernel(_positive, typed=2), launch.serial_kernel(_greedy)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("has_sign", [False, True])
def test_packed_arguments_arrive(dtype, has_sign, rng):
    x, y = rng.random((3, 4)).astype(dtype), np.zeros(5, dtype)
    offsets, others = np.array([3, 1, 4, 1, 5]), rng.random(5)
    table = Table(offsets, 5, (-7, others))
    repeated = Repeated([lambda: all_kinds.launch(0, x, y, has_sign, 0.5, table)])
    repeated()
    x *= 2
    repeated()
    sign = -1 if has_sign else 1
    np.testing.assert_allclose(y, sign * 0.5 * x.reshape(-1)[offsets] - 7 * others, rtol=1e-6)
    assert [type(piece.run).__name__ for piece in repeated._pieces] == ["_Kernels"]


def test_works_are_one_call(rng):
    """Kernels of several works follow each other; what NumPy does in between comes in between."""
    values, log = np.ones(3), np.zeros(1)

    def numpy_work():
        recording.call(np.multiply, values, 2, values)

    kernel_work = partial(positive, values, log)
    repeated = Repeated([kernel_work, kernel_work, numpy_work, kernel_work])
    for _ in range(3):
        repeated()
    assert [piece.owners for piece in repeated._pieces] == [(0, 1), [2], (3,)]
    assert log[0] == 9
    assert (values == 8).all()


@pytest.mark.parametrize("number", range(3))
def test_the_work_whose_kernel_says_no_is_done_anew(number):
    """And those behind it, by Python; those before it are not done twice."""
    asked, signs = [], [np.ones(1) for _ in range(3)]
    logs = [np.zeros(1) for _ in range(3)]

    def work(i):
        asked.append(i)
        positive(signs[i], logs[i])

    repeated = Repeated([partial(work, i) for i in range(3)])
    repeated(), repeated()
    assert asked == [0, 1, 2]
    signs[number][0] = -1
    repeated()
    assert asked == [0, 1, 2, *range(number, 3)]
    assert [int(log[0]) for log in logs] == [3 + (i == number) for i in range(3)]
    signs[number][0] = 1
    repeated()
    assert len(asked) == 6 - number


def test_a_kernel_without_memory_raises_where_it_is_walked():
    """The error is Python's, as if the kernel had been called alone."""
    calls, size = np.zeros(1), [1]
    repeated = Repeated([lambda: greedy(calls, size[0])])
    repeated(), repeated()
    for piece in repeated._pieces:
        piece.run._words[0][-1] = size[0] = 1 << 55  # no processor has addresses for 2^58 bytes
    with pytest.raises(MemoryError):
        repeated()


def test_long_works_are_cut():
    """Python gets back often enough to notice Ctrl-C."""
    x, y = np.ones((3, 4)), np.zeros(5)
    table = Table(np.arange(5), 5, (0, np.zeros(5)))
    half = walking._MOST_NANOSECONDS / 2
    repeated = Repeated([lambda: all_kinds.launch(half, x, y, False, 1.0, table)] * 5)
    repeated(), repeated()
    assert [len(piece.owners) for piece in repeated._pieces] == [2, 2, 1]


# ------------------------------------------------------------------------------------ inputs that are read in place


def large(kind, rng):
    """Images in so many ways: of float32, more than a page of them."""
    images = readable(rng.random((40, 12, 12, 1), np.float32))
    raw = np.zeros(images.nbytes + 8192, np.uint8)
    start = -raw.ctypes.data % 4096
    if kind == "at the end of a page":
        start -= images.nbytes % 4096
    starts = {"in a line": start + 4, "misaligned": start + 3, "at the end of a page": start % 4096}
    if kind in starts:
        view = raw[starts[kind] :][: images.nbytes].view(np.float32).reshape(images.shape)
        view[...] = images
        return view
    reverses = {"reversed": images[::-1], "every other": np.repeat(images, 2, axis=2)[:, :, ::2]}
    if kind == "read-only":
        images.flags.writeable = False
    return reverses.get(kind, np.asfortranarray(images) if kind == "Fortran" else images)


@pytest.mark.parametrize(
    "kind",
    ["plain", "in a line", "misaligned", "at the end of a page", "reversed", "every other", "read-only", "Fortran"],
)
def test_images_are_read_where_they_are(kind, rng):
    """The same outputs to the bit, from memory of any kind, which stays as it is; and the next call has its own."""
    model, x = network(), large(kind, rng)
    expected = model.predict_on_batch(x.astype(np.float64))  # cast, and so copied
    before = x.copy()
    model.predict_on_batch(np.array(x))
    other = rng.random(x.shape, np.float32)
    for images, outputs in ((x, expected), (other, model.predict_on_batch(other)), (x, expected)):
        np.testing.assert_array_equal(model.predict_on_batch(images), outputs)
    np.testing.assert_array_equal(network_of(model).predict_on_batch(other), model.predict_on_batch(other))
    np.testing.assert_array_equal(x, before)


def network_of(model):
    """Another network with the same weights."""
    twin = network()
    twin.set_weights(model.get_weights())
    return twin


def test_images_need_not_be_copied(rng, monkeypatch):
    copied = []
    monkeypatch.setattr(
        backends.get("numba"), "load", lambda array, source: copied.append(source) or array.__setitem__(..., source)
    )
    model, x = network(), large("in a line", rng)
    model.predict_on_batch(x)
    assert len(copied) == 1
    model.predict_on_batch(large("in a line", rng))
    assert len(copied) == 1
    model.predict_on_batch(large("misaligned", rng))
    model.predict_on_batch(large("reversed", rng))
    assert len(copied) == 3


def test_images_of_a_single_tap_need_not_be_copied(rng, monkeypatch):
    """A convolution of few filters without padding asks nothing of Python."""
    inputs = mc.Input((30, 30, 64))
    model = mc.Model(inputs, layers.Conv2D(1, 1)(inputs))
    model.predict_on_batch(rng.random((2, 30, 30, 64), np.float32))
    monkeypatch.setattr(backends.get("numba"), "load", None)
    x = readable(rng.random((2, 30, 30, 64), np.float32))
    expected = np.tensordot(x.astype(float), model.get_weights()[0][0, 0].astype(float), 1)
    np.testing.assert_allclose(model.predict_on_batch(x), expected, rtol=1e-4, atol=1e-4)


def test_what_is_read_elsewhere_after_a_change_of_precision(rng):
    """Calls that are recorded anew have new places."""
    model, x = network(), readable(rng.random((40, 12, 12, 1), np.float32))
    first = [model.predict_on_batch(x) for _ in range(2)][-1]
    try:
        for precision in ("medium", "highest"):
            mc.set_float32_precision(precision)
            for images in (rng.random(x.shape, np.float32), x):
                outputs = [model.predict_on_batch(images) for _ in range(3)]
                np.testing.assert_array_equal(outputs[1], outputs[0])
                np.testing.assert_array_equal(outputs[2], outputs[0])
    finally:
        mc.set_float32_precision("highest")
    np.testing.assert_array_equal(outputs[0], first)


def test_a_weight_can_be_the_input(rng):
    """Addresses of the weights are none of the input's, though both are the same array for a while."""
    inputs = mc.Input((300,))
    model = mc.Model(inputs, layers.Dense(300, use_bias=False)(inputs))
    kernel = model.weights[0].value
    for x in (rng.random((300, 300), np.float32), kernel, rng.random((300, 300), np.float32)):
        for _ in range(2):
            expected = x.astype(float) @ kernel.astype(float)
            np.testing.assert_allclose(model.predict_on_batch(x), expected, rtol=1e-4, atol=1e-4)


def test_outputs_that_are_inputs(rng):
    inputs = mc.Input((80, 80, 1))
    model = mc.Model(inputs, [layers.Flatten()(inputs), layers.ReLU()(inputs)])
    for _ in range(3):
        x = rng.normal(size=(2, 80, 80, 1)).astype(np.float32)
        flat, positive = model.predict_on_batch(x)
        np.testing.assert_array_equal(flat, x.reshape(2, -1))
        np.testing.assert_array_equal(positive, np.maximum(x, 0))


def two_inputs():
    first, second = mc.Input((40, 40, 1)), mc.Input((40, 40, 1))
    return mc.Model([first, second], layers.Subtract()([layers.Conv2D(3, 3)(first), layers.Conv2D(3, 3)(second)]))


@pytest.mark.parametrize("reversed_one", [None, 0, 1])
def test_several_inputs_are_read_each_in_its_way(reversed_one, rng):
    """One of them has to be copied, the other not: each is its own, in every order."""
    model, copied = two_inputs(), two_inputs()
    copied.set_weights(model.get_weights())
    for _ in range(4):
        xs = [rng.random((4, 40, 40, 1), np.float32) for _ in range(2)]
        expected = copied.predict_on_batch([x.astype(float) for x in xs])
        if reversed_one is not None:
            xs[reversed_one] = xs[reversed_one][::-1].copy()[::-1]
        np.testing.assert_array_equal(model.predict_on_batch(xs), expected)


def last_work(model):
    """The first work of the plan by which a model answered last."""
    return model.engine.last_call._bound().works[0]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_error_while_inputs_are_read_elsewhere(error, rng, monkeypatch):
    """Kernels are told anew where to read: afterwards as before, by every way."""
    model, xs = network(), [readable(rng.random((40, 12, 12, 1), np.float32)) for _ in range(3)]
    expected = [network_of(model).predict_on_batch(x) for x in xs]
    model.predict_on_batch(xs[0])
    model.predict_on_batch(xs[1])

    def failing():
        raise error

    for again in ("at its place", "copied"):
        with monkeypatch.context() as patch, pytest.raises(error):
            patch.setattr(last_work(model), "again", failing)
            model.predict_on_batch(xs[2])
        for x, outputs in zip(xs, expected, strict=True):
            x = x if again == "at its place" else x.astype(float)
            np.testing.assert_array_equal(model.predict_on_batch(x), outputs)


@pytest.mark.parametrize("way", ["again", "copied", "as at first"])
def test_a_second_error_while_addresses_are_put_back(way, rng, monkeypatch):
    """Ctrl-C, pressed twice: kernels never read what belonged to a call that is over."""
    model, xs = network(), [readable(rng.random((40, 12, 12, 1), np.float32)) for _ in range(2)]
    expected = network_of(model).predict_on_batch(xs[1])
    model.predict_on_batch(xs[0]), model.predict_on_batch(xs[0])

    def interrupted(work):
        if work._is_moved:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Repeated, "move_back", interrupted)
        model.predict_on_batch(xs[0])
    assert last_work(model)._is_moved
    xs[0][...] = 5  # no NaN, of which kernels would say that they need another way
    if way == "as at first":  # another layer has changed: no call is like the one before
        model.engine.last_call = None
    x = xs[1].astype(float) if way == "copied" else xs[1]
    np.testing.assert_array_equal(model.predict_on_batch(x), expected)


def test_a_call_within_a_call(rng, monkeypatch):
    """A handler of signals asks the same model while it computes: both get their own answers."""
    model, xs = network(), [readable(rng.random((40, 12, 12, 1), np.float32)) for _ in range(2)]
    expected, inner = [network_of(model).predict_on_batch(x) for x in xs], []
    model.predict_on_batch(xs[0])
    work, own = last_work(model), last_work(model).again

    def interrupted():
        monkeypatch.setattr(work, "again", own)
        is_done = own()
        inner.append(model.predict_on_batch(xs[1]))
        return is_done

    monkeypatch.setattr(work, "again", interrupted)
    np.testing.assert_array_equal(model.predict_on_batch(xs[0]), expected[0])
    np.testing.assert_array_equal(inner[0], expected[1])


def test_two_threads_and_one_model(rng):
    """Each gets the answers to its own images, wherever they lie."""
    from concurrent.futures import ThreadPoolExecutor

    model, xs = network(), [readable(rng.random((40, 12, 12, 1), np.float32)) for _ in range(4)]
    expected = [network_of(model).predict_on_batch(x) for x in xs]
    xs[3] = xs[3][::-1].copy()[::-1]
    with ThreadPoolExecutor(2) as threads:
        for turn, outputs in enumerate(threads.map(model.predict_on_batch, xs * 10)):
            np.testing.assert_array_equal(outputs, expected[turn % len(xs)])


def test_a_number_is_no_address(rng):
    """One of a kernel's numbers that is, by chance, that of an input's address stays as it is."""
    x, other, y = rng.random((3, 4)), rng.random((3, 4)), np.zeros(1)
    table = Table(np.arange(1), 1, (x.ctypes.data, np.ones(1)))
    repeated = Repeated([lambda: all_kinds.launch(0, x, y, False, 0.0, table)])
    repeated()
    repeated.move(x, other.ctypes.data - x.ctypes.data)
    assert repeated.again()
    assert y[0] == x.ctypes.data
    repeated.move_back()


# ------------------------------------------------------------------------------------------- transformed kernels


def convolution(images, kernel):
    """Valid, 3 x 3, in float64."""
    windows = np.lib.stride_tricks.sliding_window_view(images.astype(float), (3, 3), axis=(1, 2))
    return np.einsum("nyxcpq,pqcf->nyxf", windows, kernel.astype(float))


def test_kernels_that_change_are_transformed_anew(rng):
    """By whatever way: a view that somebody has kept, one number of it, NaN, and back again."""
    inputs = mc.Input((18, 18, 16))
    model = mc.Model(inputs, layers.Conv2D(32, 3, use_bias=False)(inputs))
    x = rng.normal(size=(1, 18, 18, 16)).astype(np.float32)
    kernel = model.weights[0].value
    assert choice.keeps_winograd_kernel(16, 16, 32, 4)
    for change in ("nothing", "one number", "all", "NaN", "back", "sign of zero"):
        before = kernel.copy()
        if change == "one number":
            kernel[2, 1, 15, 31] += 100
        elif change == "all":
            kernel[...] = rng.normal(size=kernel.shape)
        elif change == "NaN":
            kernel[0, 0, 0, 0] = np.nan
        elif change == "back":
            kernel[0, 0, 0, 0] = 1
        elif change == "sign of zero":
            kernel[...] = -0.0
        for _ in range(3):
            ours, expected = model.predict_on_batch(x), convolution(x, kernel)
            np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)
        kernel[...] = before if change == "sign of zero" else kernel


@launch.parallel_kernel
def transforming(pool, kernel, weights, tiles, sizes):
    transformed_kernel(pool, kernel, weights, tiles, sizes)


@pytest.mark.parametrize("filters", [32, 256])  # by this thread; by several
def test_a_kernel_that_changes_while_it_is_transformed(filters, rng):
    """Kept is what the factors belong to, so that the next call notices: not what another thread wrote meanwhile."""
    _, tiles = winograd.tiles_of(make_window((10, 10), (3, 3), (1, 1), "valid"), 16, filters)
    sizes = winograd.transformed(tiles.count, 16, filters, 4, 1600, tiles.image_size)
    before, after = rng.random((2, 3, 3, 16, filters), np.float32)
    weights = weights_of(after, np.zeros(filters, np.float32), sizes.factor_stride, tiles.count, False)
    transforming(before.reshape(-1), weights, tiles, sizes)  # as if all had changed after the call began
    factors = weights.factors.copy()
    alone = weights_of(after, weights.bias, sizes.factor_stride, tiles.count, False)
    transforming(after.reshape(-1), alone, tiles, sizes)
    own = [f.reshape(-1, sizes.factor_stride)[:, : 16 * filters] for f in (factors, alone.factors)]
    np.testing.assert_array_equal(*own)
