"""Gradients of several kernels in one launch: against float64; which wait; what may not be overwritten meanwhile."""

from itertools import pairwise

import numpy as np
import pytest
from oracles import assert_close
from test_gpu_tensor_cores import (
    CASES,
    CLOSE,
    NOTHING_TWICE,
    STRIDED,
    Case,
    _with_tensor_cores,  # noqa: F401 - a fixture
    backend,  # noqa: F401 - a fixture
    changed,
    normal,
    nothing_twice,  # noqa: F401 - a fixture
    standin,  # noqa: F401 - a fixture
)

import minicnn as mc
from minicnn import backends
from minicnn.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    Input,
    ReLU,
)

pytestmark = pytest.mark.gpu

ALIKE = [  # one text of a kernel computes them: 3 taps in a row, at most 40 pixels
    (3, 9, 7, 16, 20, (3, 3), "same"),
    (2, 5, 12, 20, 16, (1, 3), "valid"),
    (1, 11, 10, 16, 28, (3, 3), "same"),
    (4, 6, 9, 28, 16, (2, 3), "same"),
]


@pytest.fixture
def always(monkeypatch):
    """Tensor cores for gradients of any size."""
    from minicnn.backends.cupy import tensor_gradient_choice

    monkeypatch.setattr(tensor_gradient_choice, "plain_microseconds", lambda *_: np.inf)
    tensor_gradient_choice.choose_gradient.cache_clear()
    yield
    tensor_gradient_choice.choose_gradient.cache_clear()


@pytest.fixture
def launched(monkeypatch):
    """A list of (file, grid) of the launches of gradients."""
    from minicnn.backends.cupy import tensor_gradient

    found, launch = [], tensor_gradient.launch

    def noted(file, name, dtype, grid, *arguments, **options):
        found.append((file, grid))
        launch(file, name, dtype, grid, *arguments, **options)

    monkeypatch.setattr(tensor_gradient, "launch", noted)
    return found


def computed(cases, device, with_bias=True):
    """[(dkernel, dbias or None)] of convolutions whose gradients wait for each other, into poisoned arrays."""
    outputs, works = [], []
    for case in cases:
        x, kernel, dy = (device.asarray(a) for a in (case.x, case.kernel, case.dy))
        dkernel, dbias = (device.asarray(a) for a in case.poisoned("kernel gradient"))
        outputs.append((dkernel, dbias if with_bias else None))
        arguments = x, kernel, None, dy, None, *outputs[-1], case.window
        works.append(lambda arguments=arguments: device.ops.conv2d_backward(*arguments))
    for i, work in enumerate(device.together(works)):
        assert np.isnan(device.to_host(outputs[0][0])).all(), i  # until the last one has run
        work()
    return [[None if a is None else device.to_host(a) for a in pair] for pair in outputs]


def check(cases, device, with_bias=True):
    for case, found in zip(cases, computed(cases, device, with_bias), strict=True):
        for a, b in zip(found, case.expected("kernel gradient"), strict=True):
            if a is not None:
                assert_close(a, b, CLOSE, str(case.numbers()))


@pytest.mark.parametrize("with_bias", [False, True])
def test_one_launch_for_those_of_one_size(with_bias, backend, nothing_twice, always, launched, rng):  # noqa: F811
    cases = [Case(rng, *case) for case in ALIKE]
    check(cases, backend, with_bias)
    ((file, (blocks,)),) = launched
    assert file.endswith("x3x40x3x1") and blocks > len(cases)


def test_the_same_bits_twice_and_none_of_neighbours(backend, always, rng):  # noqa: F811
    """The order of the sums depends on shapes, and on how many wait, not on what the others are."""
    cases, others = ([Case(rng, *case) for case in ALIKE] for _ in range(2))
    once, twice = (computed(cases, backend) for _ in range(2))
    beside = computed([cases[0], *others[1:]], backend)
    np.testing.assert_equal(once, twice)
    np.testing.assert_equal(once[0], beside[0])


def test_a_launch_for_each_size(backend, nothing_twice, always, launched, rng):  # noqa: F811
    """Strides, kernels of other widths; what is alone of its size is computed by itself."""
    cases = [Case(rng, *case) for case in (*CASES, *STRIDED)]
    check(cases, backend)
    assert 1 < len(launched) < len(cases)
    assert {file[-2:] for file, _ in launched} == {"x0", "x1"}


def test_more_than_a_launch_takes(always, launched, rng):
    from minicnn.backends.cupy.structures import MOST_CORRELATIONS

    check([Case(rng, 1, 4, 5, 16, 16, (1, 3), "same") for _ in range(MOST_CORRELATIONS + 2)], backends.get("cupy"))
    assert len(launched) == 2


def test_what_is_not_finite(always, rng):
    """As float32 has it, in the gradient that it belongs to alone."""
    cases = [Case(rng, *case) for case in ALIKE[:3]]
    cases[1].x[1, 2, 3, 4] = np.inf
    with np.errstate(invalid="ignore"):
        expected = [case.expected("kernel gradient", np.float32)[0] for case in cases]
    for i, (found, own) in enumerate(zip(computed(cases, backends.get("cupy")), expected, strict=True)):
        finite = np.isfinite(own)
        assert finite.all() == (i != 1)
        np.testing.assert_allclose(found[0], own, 0, 2 * CLOSE * np.abs(own[finite]).max())


def test_precisions_do_not_mix(always, launched, rng):
    """Layers of mixed_bfloat16 have launches of their own: the same tiles, other products."""
    device, cases = backends.get("cupy"), [Case(rng, *ALIKE[0]) for _ in range(4)]
    outputs, works = [], []
    for i, case in enumerate(cases):
        ops = device.rounding_ops["bfloat16"] if i % 2 else device.ops
        outputs.append(device.asarray(case.poisoned("kernel gradient")[0]))
        x, kernel, dy = (device.asarray(a) for a in (case.x, case.kernel, case.dy))
        arguments = x, kernel, None, dy, None, outputs[-1], None, case.window
        works.append(lambda ops=ops, arguments=arguments: ops.conv2d_backward(*arguments))
    for work in device.together(works):
        work()
    assert sorted(file.split("x")[-2] for file, _ in launched) == ["0", "3"]
    for i, (case, found) in enumerate(zip(cases, outputs, strict=True)):
        expected = case.expected("kernel gradient")[0]
        error = np.abs(device.to_host(found) - expected).max() / np.abs(expected).max()
        assert (1e-4 < error < 1e-2) if i % 2 else error < CLOSE


def test_a_pass_that_was_broken_off_leaves_nothing(always, launched, rng):
    device, cases = backends.get("cupy"), [Case(rng, *ALIKE[0]) for _ in range(3)]
    arrays = [[device.asarray(a) for a in (c.x, c.kernel, c.dy, c.poisoned("kernel gradient")[0])] for c in cases]
    fails = [True]

    def work(i):
        if fails and i == 1:
            fails.clear()
            raise InterruptedError
        x, kernel, dy, dkernel = arrays[i]
        device.ops.conv2d_backward(x, kernel, None, dy, None, dkernel, None, cases[i].window)

    works = device.together([lambda i=i: work(i) for i in range(3)])
    works[0]()
    with pytest.raises(InterruptedError):
        works[1]()
    for each in works:
        each()
    ((_, (blocks,)),) = launched
    assert blocks % 3 == 0  # three members, not four
    for case, (*_, found) in zip(cases, arrays, strict=True):
        assert_close(device.to_host(found), case.expected("kernel gradient")[0], CLOSE)


MISTAKES = {  # none of which leaves the arrays
    "the gradient of the first one": ("(const float*)one.dy", "(const float*)all.of[0].dy"),
    "the first part alone": ("of_one / blocks);", "0);"),
    "the first block alone": ("of_one % blocks, ", "0, "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_found(mistake, standin, always, monkeypatch, rng):  # noqa: F811
    from minicnn.backends.cupy.sources import source

    assert source("tensor_gradient").count(MISTAKES[mistake][0]) == 1
    cases = [Case(rng, 6, 9, 9, 16, 20, (3, 3), "same") for _ in range(2)]
    with changed(monkeypatch, NOTHING_TWICE, MISTAKES[mistake]), pytest.raises(AssertionError):
        check(cases, backends.get("cupy"))


# ------------------------------------------------------------------------------------------------------ whole networks


def network(blocks=3, channels=16):
    """Residual blocks behind a convolution with strides; every array of a pass is soon used for another one."""
    h = x = Input((9, 8, channels))
    h = Conv2D(channels, 3, strides=2, padding="same")(h)
    for _ in range(blocks):
        y = ReLU()(BatchNormalization()(Conv2D(channels, 3, padding="same", use_bias=False)(h)))
        h = ReLU()(Add()([BatchNormalization()(Conv2D(channels, 3, padding="same", use_bias=False)(y)), h]))
    return mc.Model(x, Dense(3, activation="softmax")(GlobalAveragePooling2D()(Conv2D(20, 1)(h))))


def trained(model, backend_name, x, labels):
    model.compile(mc.optimizers.SGD(0.05), "sparse_categorical_crossentropy", backend=backend_name)
    return model.fit(x, labels, batch_size=8, epochs=3, shuffle=False, verbose=0).history["loss"]


@pytest.mark.parametrize(("most", "count"), [(32, 1), (3, 2), (2, 2)])
def test_a_network_learns_as_on_the_processor(most, count, always, launched, monkeypatch, rng):
    """In groups of 1 + 6 + 1, of 1 + 2, 3 and 1 + 1, of 1 + 1, 2, 2 and 1 + 1; kernel by kernel, and captured.

    A number that is 0 but for rounding, one in a million, may pass a ReLU here and not there: then with other data.
    """
    from minicnn.plan import waiting

    monkeypatch.setattr(waiting, "MOST_TOGETHER", most)
    errors = []
    while not errors or (min(errors) > 1e-4 and len(errors) < 4):
        launched.clear()
        x, labels, models = normal(rng, 24, 9, 8, 16), rng.integers(0, 3, 24), [network() for _ in range(2)]
        models[1].set_weights(models[0].get_weights())
        losses = [trained(model, name, x, labels) for model, name in zip(models, ("numpy", "cupy"), strict=True)]
        assert_close(*map(np.array, losses[::-1]), 1e-4)
        pairs = zip(models[1].get_weights(), models[0].get_weights(), strict=True)
        errors.append(max(np.abs(ours - theirs).max() / np.abs(theirs).max() for ours, theirs in pairs))
        assert len([file for file, _ in launched if file.endswith("x1")]) == 2 * count
    assert min(errors) <= 1e-4, errors


def wiring(model, **options):
    """What a plan in training touches, on the GPU."""
    from minicnn.parameters import ParameterStore
    from minicnn.plan.plan import Plan

    store = ParameterStore(model.weights, backends.get("cupy"), "float32", adopt=False)
    return Plan(model.graph, store, 8, True, **options).wiring


def test_what_a_gradient_is_computed_from_stays_until_then():
    found = wiring(network())
    (group,) = found.waiting
    assert group == sorted(group, reverse=True) and len(group) == 8
    end = 2 * len(found.places) - group[-1]
    found.lifetimes()
    for i in group:
        for slot in (*found.places[i].xs, found.places[i].dy):
            assert slot.interval.last >= end


def test_which_gradients_wait():
    """Not those of a kernel with two places, of a frozen one, of groups, or behind which ReLU or pooling is merged."""
    shared, frozen = Conv2D(16, 3, padding="same"), Conv2D(16, 3, padding="same", name="frozen")
    frozen.trainable = False
    x = Input((8, 8, 16))
    h = shared(BatchNormalization()(shared(Conv2D(16, 3, padding="same", name="first")(x))))
    h = Conv2D(16, 3, activation="relu", name="relu")(BatchNormalization()(frozen(h)))
    h = DepthwiseConv2D(3)(BatchNormalization()(Conv2D(16, 3, padding="same", groups=2)(h)))
    model = mc.Model(x, GlobalAveragePooling2D()(Conv2D(16, 3, name="last")(BatchNormalization()(h))))
    found = wiring(model)
    names = [[found.places[i].place.layer_name for i in group] for group in found.waiting]
    assert names == [["last", "first"]]


@pytest.mark.parametrize("most", [25_000, 45_000, 70_000])
def test_memory_that_gradients_may_keep(most, monkeypatch):
    """A group ends where the next one would keep more than that."""
    from minicnn.plan import waiting

    monkeypatch.setattr(waiting, "MOST_BYTES", most)
    found = wiring(network())

    def kept(numbers):
        return sum(slot.interval.size for i in numbers for slot in (*found.places[i].xs, found.places[i].dy))

    assert all(kept(group) <= most for group in found.waiting)
    for group, then in pairwise(found.waiting):
        assert kept([*group, then[0]]) > most
    assert [len(group) for group in found.waiting] == {25_000: [], 45_000: [2, 2, 2], 70_000: [3, 3, 2]}[most]


def test_a_step_of_a_user_s_does_not_wait(always, launched, rng):
    """What a class of the user's does with the gradient of its kernel is not known."""

    class Doubling(Conv2D):
        def backward(self, dy, ws):
            super().backward(dy, ws)
            ws.grads["kernel"] *= 2

    x, labels, weights = normal(rng, 16, 9, 8, 16), rng.integers(0, 3, 16), []
    for backend_name in ("numpy", "cupy"):
        mc.utils.set_random_seed(3)
        layers = [Input((9, 8, 16)), Conv2D(16, 3), Doubling(16, 3), Conv2D(16, 3), GlobalAveragePooling2D()]
        model = mc.Sequential([*layers, Dense(3, activation="softmax")])
        trained(model, backend_name, x, labels)
        weights.append(model.get_weights())
    for theirs, ours in zip(*weights, strict=True):
        assert_close(ours, theirs, 1e-4)
