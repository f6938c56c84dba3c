"""Convolutions on tensor cores: against the reference in float64; what is not finite; mistakes; which are chosen."""

import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from gpu_measured_tiles import MEASURED, PROTOTYPE
from oracles import assert_close

import minicnn as mc
from minicnn import backends
from minicnn.backends.reference import ops as reference
from minicnn.backends.reference.normalization import Affine, Moments, MovingAverages
from minicnn.geometry import make_window

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _with_tensor_cores():
    """On a GPU where three products gain nothing, none of this is chosen."""
    backends.get("cupy")
    from minicnn.backends.cupy import tensor_cores

    if not tensor_cores.device().capability:
        pytest.skip("a GPU on which the kernels of products.cu serve")


CLOSE = 2e-6  # of the largest value: float32, other orders of the sums
CASES = [  # images, height, width, channels, filters, kernel height and width, padding
    (3, 9, 7, 36, 20, (3, 3), "same"),
    (2, 11, 10, 16, 68, (3, 3), "valid"),
    (1, 5, 6, 64, 36, (1, 1), "valid"),
    (1, 6, 9, 20, 32, (2, 3), "same"),
    (2, 5, 7, 16, 16, (5, 5), "same"),
]
STRIDED = [  # and strides; every remainder of sizes by strides, taps for some or none of the parts, rows without pixels
    (3, 9, 8, 16, 36, (3, 3), "same", (2, 2)),
    (2, 8, 11, 20, 16, (3, 3), "valid", (2, 2)),
    (2, 7, 9, 36, 20, (1, 1), "valid", (2, 2)),
    (2, 6, 9, 16, 20, (2, 5), "same", (2, 1)),
    (3, 7, 6, 32, 16, (2, 2), "same", (1, 2)),
    (3, 6, 21, 16, 16, (3, 3), "valid", (2, 2)),  # a tile begins in a row that lies behind the image's last one
]


def normal(rng, *shape):
    return rng.standard_normal(shape, np.float32)


class Case:
    """A convolution with data and the gradient of its output; `windows`: pooled."""

    file = "tensor_convolution"  # which has the kernels for both directions
    gradient_file = "tensor_gradient"

    def __init__(
        self, rng, images, height, width, channels, filters, size, padding, strides=(1, 1), pooled=False, relu=False
    ):
        self.window, self.relu = make_window((height, width), size, strides, padding), relu
        out = self.window.out_height, self.window.out_width
        self.pool = make_window(out, (2, 2), (2, 2), "valid") if pooled else None
        self.x, self.kernel = normal(rng, images, height, width, channels), normal(rng, *size, channels, filters)
        self.bias, self.dy = normal(rng, filters), normal(rng, images, *out, filters)

    def numbers(self):
        """Images, window, channels, filters."""
        return len(self.x), self.window, self.x.shape[3], self.dy.shape[3]

    def choices(self, device):
        """Names of kinds of computation, and all ways to do them."""
        from minicnn.backends.cupy import tensor_choice, tensor_gradient_choice, tensor_strides

        def candidates(*numbers):
            return [choice for choice in tensor_choice.candidates(*numbers, device) if choice.file == self.file]

        images, window, channels, filters = self.numbers()
        of_input = tensor_strides.candidates(images, window, filters, channels, device)
        of_kernel = tensor_gradient_choice.gradient_candidates(*self.numbers(), True, device)
        return {
            "forward": candidates(*self.numbers(), self.pool, self.relu),
            "input gradient": [choice for choice in of_input if choice.file == self.file],
            "kernel gradient": [choice for choice in of_kernel if choice.file == self.gradient_file],
        }

    def expected(self, kind, dtype=np.float64):
        """What the reference computes."""
        x, kernel, bias, dy = (a.astype(dtype) for a in (self.x, self.kernel, self.bias, self.dy))
        if kind == "forward" and self.pool:
            y = np.empty((len(x), self.pool.out_height, self.pool.out_width, dy.shape[3]), dtype)
            winner = np.empty(y.shape, np.uint8)
            reference.conv2d_pool(x, kernel, bias, y, winner, self.window, self.pool, self.relu)
            return y, winner
        if kind == "forward":
            y = np.empty(dy.shape, dtype)
            reference.conv2d(x, kernel, bias, y, self.window, 1, self.relu)
            return (y,)
        dx, dkernel, dbias = np.empty(x.shape, dtype), np.empty(kernel.shape, dtype), np.empty(bias.shape, dtype)
        reference.conv2d_backward(x, kernel, None, dy, dx, dkernel, dbias, self.window)
        return (dx,) if kind == "input gradient" else (dkernel, dbias)

    def poisoned(self, kind):
        """Arrays for what is computed, with what no result is."""
        if kind == "forward" and self.pool:
            shape = len(self.x), self.pool.out_height, self.pool.out_width, len(self.bias)
            return np.full(shape, np.nan, np.float32), np.full(shape, 77, np.uint8)
        like = {"forward": (self.dy,), "input gradient": (self.x,), "kernel gradient": (self.kernel, self.bias)}[kind]
        return [np.full(a.shape, np.nan, np.float32) for a in like]

    def computed(self, kind, choice, backend):
        """The same by a kernel, into poisoned arrays."""
        from minicnn.backends.cupy import tensor_cores, tensor_gradient

        x, kernel, bias, dy = (backend.asarray(a) for a in (self.x, self.kernel, self.bias, self.dy))
        outputs = [backend.asarray(a) for a in self.poisoned(kind)]
        if kind == "forward":
            tensor_cores.convolve(choice, x, kernel, bias, *outputs, *([] if self.pool else [None]))
        elif kind == "input gradient":
            tensor_cores.input_gradient(choice, kernel, dy, *outputs)
        else:
            tensor_gradient.compute_alone(choice, tensor_gradient.wanted(x, dy, *outputs, self.window))
        return [backend.to_host(a) for a in outputs]


def forget_kernels():
    from minicnn.backends.cupy import launch

    launch.kernel.cache_clear()
    launch._module.cache_clear()


@contextmanager
def changed(monkeypatch, *replacements):
    """Kernels compiled from sources in which something is replaced: pairs (right, wrong)."""
    from minicnn.backends.cupy import launch

    source = launch.source

    def other(name):
        text = source(name)
        for right, wrong in replacements if name.startswith(("tensor", "hopper", "prepared")) else ():
            text = text.replace(right, wrong)
        return text

    with monkeypatch.context() as patch:
        patch.setattr(launch, "source", other)
        forget_kernels()
        try:
            yield
        finally:
            forget_kernels()


# So that what should not have been read is not computed again, and right.
NOTHING_TWICE = ("fabsf(sums[i][j][e]) <= 3.4028234663852886e38f", "true")


@pytest.fixture
def nothing_twice(monkeypatch):
    """Kernels that do not compute again what is not finite: a mistake would be hidden."""
    with changed(monkeypatch, NOTHING_TWICE):
        yield


@pytest.fixture(params=["", "1"], ids=["in order", "shuffled"])
def backend(request, monkeypatch, seed):
    """On the stand-in, threads run in their order, or in one that the seed says."""
    monkeypatch.setenv("MINICNN_STANDIN_SEED", request.param and str(seed % 2**31 + 1))
    return backends.get("cupy")


def h100():
    from minicnn.backends.cupy.tensor_choice import Device

    return Device(90, 232448)


# -------------------------------------------------------------------------------------------------------- the kernels


@pytest.mark.parametrize("case", [*CASES, *STRIDED], ids=str)
@pytest.mark.parametrize("kind", ["forward", "input gradient", "kernel gradient"])
def test_against_float64(kind, case, backend, nothing_twice, rng):
    """The smallest and the largest tile that suits; the results of a convolution do not depend on the tile."""
    convolution = Case(rng, *case)
    expected, found = convolution.expected(kind), []
    choices = convolution.choices(h100())[kind]
    assert choices
    for choice in choices[:: max(1, len(choices) - 1)]:
        found.append(convolution.computed(kind, choice, backend))
        for a, b in zip(found[-1], expected, strict=True):
            assert_close(a, b, CLOSE, choice.size)
    if kind != "kernel gradient":
        np.testing.assert_array_equal(found[0][0], found[-1][0])


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", [(2, 9, 11, 20, 36, (3, 3), "same"), (3, 8, 7, 32, 16, (3, 3), "valid")], ids=str)
def test_pooled(case, relu, backend, nothing_twice, rng):
    convolution = Case(rng, *case, pooled=True, relu=relu)
    expected, winners = convolution.expected("forward")
    for choice in convolution.choices(h100())["forward"][1:3]:
        y, winner = convolution.computed("forward", choice, backend)
        assert_close(y, expected, CLOSE, choice.size)
        assert np.mean(winner == winners) > 0.99  # ties and near ones may go either way


def test_parts_of_a_sum_are_added_in_their_order(backend, nothing_twice, rng):
    """Several parts, the last one shorter; the same bits twice; the bias's gradient is there when it is wanted."""
    convolution = Case(rng, 5, 9, 9, 16, 16, (3, 3), "same")
    choice = convolution.choices(h100())["kernel gradient"][-1]
    choice = choice._replace(parts=3, geometry=choice.geometry._replace(stages_per_split=5))  # of 13
    first, second = (convolution.computed("kernel gradient", choice, backend) for _ in range(2))
    for a, b, expected in zip(first, second, convolution.expected("kernel gradient"), strict=True):
        np.testing.assert_array_equal(a, b)
        assert_close(a, expected, CLOSE)


def test_numbers_of_any_size(nothing_twice, rng):
    """Errors are as float32's, relative to the sum of the terms' sizes: where channels differ by 10¹², too."""
    convolution = Case(rng, 2, 7, 6, 64, 32, (3, 3), "same")
    channels = (10.0 ** np.linspace(-6, 6, 64)).astype(np.float32)
    convolution.x *= channels
    convolution.kernel /= channels[:, None]
    terms = Case(rng, 2, 7, 6, 64, 32, (3, 3), "same")
    terms.window, terms.bias = convolution.window, np.abs(convolution.bias)
    terms.x, terms.kernel, terms.dy = (np.abs(a) for a in (convolution.x, convolution.kernel, convolution.dy))
    for kind, choices in convolution.choices(h100()).items():
        found = convolution.computed(kind, choices[-1], backends.get("cupy"))
        for a, b, size in zip(found, convolution.expected(kind), terms.expected(kind), strict=True):
            assert (np.abs(a - b) <= CLOSE * size).all(), kind


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_as_in_float32(bad, pooled, rng):
    convolution = Case(rng, 2, 6, 5, 16, 32, (3, 3), "same", pooled=pooled)
    convolution.kernel[:, :, 3] = np.where(rng.random((3, 3, 32)) < 0.5, 0.25, 0)  # which leave nothing over
    convolution.x[0, 2, 1, 3] = convolution.dy[1, 3, 2, 5] = bad
    for kind, choices in convolution.choices(h100()).items():
        with np.errstate(invalid="ignore"):
            expected = convolution.expected(kind, np.float32)[0]
        assert not np.isfinite(expected).all()
        if not pooled or kind == "forward":
            found = convolution.computed(kind, choices[-1], backends.get("cupy"))[0]
            largest = np.abs(expected[np.isfinite(expected)]).max()
            np.testing.assert_allclose(found, expected, 0, CLOSE * largest, err_msg=kind)  # infinities and NaN, too


def test_the_largest_numbers(rng):
    """They are rounded to infinity on their way: sums that stay in float32's range are right, others are infinite."""
    convolution, terms = (Case(rng, 2, 6, 5, 16, 32, (3, 3), "same") for _ in range(2))
    for a in (convolution.x, convolution.dy):
        a[0, 2, 1, 3], a[1, 0, 0, 2] = 3.4028235e38, -2e38
    terms.x, terms.kernel, terms.bias, terms.dy = (
        np.abs(a) for a in (convolution.x, convolution.kernel, convolution.bias, convolution.dy)
    )
    for kind, choices in convolution.choices(h100()).items():
        found = convolution.computed(kind, choices[-1], backends.get("cupy"))[0].astype(np.float64)
        expected, size = convolution.expected(kind)[0], terms.expected(kind)[0]
        in_range, beyond = size < 3.4e38, np.abs(expected) > 3.41e38
        assert in_range.any() and beyond.any()
        assert (np.abs(found - expected)[in_range] <= CLOSE * size[in_range]).all(), kind
        assert not np.isfinite(found[beyond]).any(), kind


# ---------------------------------------------------------------------------------------------- moments that are left


def normalized(convolution, choice, backend):
    """What a convolution leaves to a normalization behind it; y, and mean and inverse deviation that this one finds."""
    from minicnn.backends.cupy import left_moments, tensor_cores

    found, filters = [], convolution.dy.shape[3]
    x, kernel, bias = (backend.asarray(a) for a in (convolution.x, convolution.kernel, convolution.bias))
    y, out, mean, inverse_std, *moving = (
        backend.asarray(np.full(shape, np.nan, np.float32))
        for shape in (*[convolution.dy.shape] * 2, *[(filters,)] * 4)
    )

    def write():
        tensor_cores.convolve(choice, x, kernel, bias, y, None)

    def read():
        found.append(left_moments.left_moments(y))
        averages = MovingAverages(*moving, 0.9)
        backend.ops.batch_norm(y, out, Affine(), Moments(mean, inverse_std), averages, 1e-3, True)

    for work in backend.with_moments(y, write, read):
        work()
    return [found[0], *map(backend.to_host, (y, mean, inverse_std))]


def check_moments(convolution, choice, backend):
    """The moments against float64's, of parts and of all."""
    moments, y, mean, inverse_std = normalized(convolution, choice, backend)
    means, squares, counts = (backend.to_host(array).astype(np.float64) for array in moments)
    rows = y.reshape(-1, y.shape[-1]).astype(np.float64)
    assert counts.sum() == len(rows) and len(counts) == choice.parts
    assert_close(mean, rows.mean(0), CLOSE, choice.size)
    assert_close(inverse_std, 1 / np.sqrt(rows.var(0) + 1e-3), CLOSE, choice.size)
    if choice.file == "tensor_narrow":  # a block has every so-manieth tile
        return y
    stretch = int(choice.size.split("x")[0])
    for part, own in enumerate(np.split(rows, range(stretch, len(rows), stretch))):
        assert counts[part] == len(own)
        assert_close(means[part], own.mean(0), CLOSE, choice.size)
        assert_close(squares[part], np.square(own - own.mean(0)).sum(0), 2 * CLOSE, choice.size)
    return y


@pytest.mark.parametrize("case", [*CASES[:2], (2, 12, 9, 16, 32, (3, 3), "same", (2, 2))], ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_moments_for_a_normalization(case, relu, backend, nothing_twice, rng):
    """Results with biases that are large beside their variance; the same bits as without moments, and twice."""
    convolution = Case(rng, *case, relu=relu)
    convolution.bias += 100
    for choice in convolution.choices(h100())["forward"]:
        y = check_moments(convolution, choice, backend)
        np.testing.assert_array_equal(y, convolution.computed("forward", choice, backend)[0])
    once, twice = (normalized(convolution, choice, backend) for _ in range(2))
    for a, b in zip(once[0], twice[0], strict=True):
        np.testing.assert_array_equal(backend.to_host(a), backend.to_host(b))
    np.testing.assert_array_equal(once[2:], twice[2:])


@pytest.mark.parametrize("bad", [np.inf, np.nan, 3e38])
def test_moments_of_what_is_computed_twice(bad, rng):
    """Of results by float32's own multiplications, as they are: numbers beside what is none, and the largest ones."""
    convolution = Case(rng, 2, 9, 7, 16, 20, (3, 3), "same")
    convolution.kernel[:, :, 3] = 0
    convolution.x[0, 2, 1, 3] = bad
    convolution.kernel[..., 4:] = 0
    choice = convolution.choices(h100())["forward"][-1]
    _, y, mean, inverse_std = normalized(convolution, choice, backends.get("cupy"))
    with np.errstate(invalid="ignore", over="ignore"):
        rows = y.reshape(-1, 20).astype(np.float64)
        finite = np.isfinite(rows).all(0)
        assert finite.all() == np.isfinite(bad)
        assert_close(mean[finite], rows.mean(0)[finite], CLOSE)
        assert_close(inverse_std[finite], 1 / np.sqrt(rows.var(0) + 1e-3)[finite], CLOSE)
        assert np.isnan(inverse_std[~finite]).all()


def test_moments_are_left_to_one_reader_alone(rng):
    """Nothing is left by who writes another array, nor for a second reader, nor where there would be too many parts."""
    from minicnn.backends.cupy import left_moments

    backend, found = backends.get("cupy"), []
    a, b = (backend.zeros((4, 3), np.float32) for _ in range(2))

    def asked(array, parts):
        found.append(left_moments.are_wanted(array, parts))
        if found[-1]:
            left_moments.moments_to_leave(array, parts)

    def read(array):
        found.append(left_moments.left_moments(array) is not None)

    most = left_moments.MOST_PARTS

    def write_all():
        asked(b, 1), asked(a, most + 1), asked(a, most)

    write, then = backend.with_moments(a, write_all, lambda: (read(b), read(a)))
    asked(a, 1), read(a)
    assert found == [False, False]
    write(), read(a), then(), then()
    assert found[2:] == [False, False, True, False, False, True, False, False]


class Before:
    """A normalization before a convolution, with what its backward pass needs; `added`: ReLU behind an addition."""

    def __init__(self, convolution, relu, added, more, rng):
        shape = convolution.x.shape
        self.convolution, self.relu, self.added = convolution, relu, added
        self.x, self.more = normal(rng, *shape), normal(rng, *shape) if more else None
        self.gamma, self.beta = normal(rng, shape[-1]), normal(rng, shape[-1])
        self.mean, self.inverse_std = normal(rng, shape[-1]), np.abs(normal(rng, shape[-1])) + 0.5
        self.y = (self.x - self.mean) * self.inverse_std * self.gamma + self.beta
        self.x[np.abs(self.y) < 1e-4] += 1  # where ReLU is no matter of rounding
        self.y = np.maximum(self.y + 0.5, 0) if added else None

    def backward(self, up, dy):
        """Arguments of ``batch_norm_backward``, the last five of which are written."""
        gamma, beta, mean, inverse_std = map(up, (self.gamma, self.beta, self.mean, self.inverse_std))
        nothing = [up(np.full(shape, np.nan, np.float32)) for shape in (*[self.x.shape] * 2, *[self.gamma.shape] * 2)]
        nothing[1] = nothing[1] if self.added else None
        y = None if self.y is None else up(self.y)
        return up(self.x), y, dy, Affine(gamma, beta, self.relu), Moments(mean, inverse_std), *nothing, True

    def expected(self):
        """dx, dadded, dgamma, dbeta in float64."""
        wide = lambda a: a.astype(np.float64)  # noqa: E731
        (dy,) = self.convolution.expected("input gradient")
        arguments = self.backward(wide, dy if self.more is None else dy + wide(self.more))
        reference.batch_norm_backward(*arguments)
        return arguments[5:9]

    def computed(self, choice, backend):
        """The same by the device, where the convolution's gradient leaves the sums; and what it left."""
        from minicnn.backends.cupy import left_sums, tensor_cores

        kernel, dconvolution = backend.asarray(self.convolution.kernel), backend.asarray(self.convolution.dy)
        gradient = backend.asarray(np.full(self.x.shape, np.nan, np.float32))
        total = gradient if self.more is None else backend.asarray(self.more)
        arguments, found = self.backward(backend.asarray, total), []

        def read():
            found.append(left_sums.left_sums(total))
            work = partial(backend.ops.batch_norm_backward, *arguments)
            work() if self.more is None else backend.with_addition(total, gradient, work)

        more = None if self.more is None else total
        write = partial(tensor_cores.input_gradient, choice, kernel, dconvolution, gradient)
        for work in backend.with_gradient_sums(gradient, more, arguments, write, read):
            work()
        return [None if a is None else backend.to_host(a) for a in arguments[5:9]], found[0]

    def check(self, choices, backend, close=2 * CLOSE):
        """By all choices; returns what the last one computed."""
        expected = self.expected()
        for choice in choices:
            found, left = self.computed(choice, backend)
            assert len(left.of_dy) == len(left.of_x) == choice.parts
            for name, a, b in zip(("dx", "dadded", "dgamma", "dbeta"), found, expected, strict=True):
                if b is not None:
                    assert_close(a, b, close, f"{name} {choice.size}")
        return found


BEFORE = [(True, False, False), (True, True, True), (False, False, True), (True, False, True), (True, True, False)]


@pytest.mark.parametrize(("relu", "added", "more"), BEFORE)
@pytest.mark.parametrize("case", CASES[:2], ids=str)
def test_sums_for_the_gradient_of_a_normalization(case, relu, added, more, backend, nothing_twice, rng):
    """With and without ReLU, behind an addition or not, and with a second gradient; the same bits twice."""
    before = Before(Case(rng, *case), relu, added, more, rng)
    choices = before.convolution.choices(h100())["input gradient"]
    found = before.check(choices, backend)
    for a, b in zip(found, before.computed(choices[-1], backend)[0], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_sums_of_what_is_not_finite(bad, rng):
    """One gradient that is none spoils its own channels, all that they share, and no other."""
    before = Before(Case(rng, 2, 9, 7, 20, 16, (1, 1), "same"), True, False, False, rng)
    before.convolution.kernel[..., 3:, 3] = 0
    before.convolution.dy[0, 2, 1, 3] = bad
    choice = before.convolution.choices(h100())["input gradient"][-1]
    found, _ = before.computed(choice, backends.get("cupy"))
    with np.errstate(invalid="ignore"):
        expected = before.expected()
    for a, b in zip(found, expected, strict=True):
        if b is not None:
            good = np.isfinite(b)
            np.testing.assert_array_equal(np.isfinite(a), good)
            assert_close(a[good], b[good], 2 * CLOSE)


@pytest.fixture
def always(monkeypatch):
    """Tensor cores for layers of any size."""
    from minicnn.backends.cupy import tensor_choice, tensor_strides

    for module in (tensor_choice, tensor_strides):
        monkeypatch.setattr(module, "plain_microseconds", lambda *_: np.inf)
    tensor_choice.choose_convolution.cache_clear()
    yield
    tensor_choice.choose_convolution.cache_clear()


def branching(policy):
    """A network whose normalizations stand behind and before convolutions, with others beside and between them."""
    L, mixed = mc.layers, {"dtype": policy}
    convolution, norm = partial(L.Conv2D, padding="same", **mixed), partial(L.BatchNormalization, **mixed)
    x = L.Input((7, 6, 16))
    a, b = (convolution(16, size, use_bias=size == 1)(x) for size in (3, 1))
    h = L.ReLU(**mixed)(L.Add(**mixed)([norm()(y) for y in (a, b, b)] + [b]))
    for _ in range(2):
        h = L.ReLU(**mixed)(L.Add(**mixed)([norm()(convolution(16, 3, use_bias=False)(h)), h]))
    h = convolution(20, 1)(norm()(convolution(36, 3, 2, activation="relu")(h)))
    return mc.Model(x, L.Dense(3, activation="softmax", dtype="float32")(L.GlobalAveragePooling2D(**mixed)(h)))


@pytest.mark.parametrize(
    ("policy", "other", "epochs", "close"), [("float32", "numpy", 3, 1e-5), ("mixed_bfloat16", "cupy", 1, 1e-2)]
)
def test_a_network_learns_as_without_what_is_left(policy, other, epochs, close, always, monkeypatch):
    """As on the processor; or, where factors are rounded, as on the GPU by launches of their own, for two steps.

    There a last bit decides how the next layer's factors are rounded, so that no more than losses are alike. Data and
    weights are named, as a last bit may also decide whether ReLU lets a gradient through.
    """
    from minicnn.backends.cupy import left_moments, left_sums, tensor_cores

    rng, left, losses = np.random.default_rng(0), [], []
    mc.random.set_seed(0)

    def note(name, module, place):
        original = getattr(module, name)
        monkeypatch.setattr(place, name, lambda *arguments: (left.append(name), original(*arguments))[1])

    note("moments_to_leave", left_moments, tensor_cores)
    note("sums_to_leave", left_sums, left_sums)
    x, labels, models = normal(rng, 16, 7, 6, 16) + 2, rng.integers(0, 3, 16), [branching(policy) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    for model, backend, most in zip(models, (other, "cupy"), (-1, left_moments.MOST_PARTS), strict=True):
        monkeypatch.setattr(left_moments, "MOST_PARTS", most)
        monkeypatch.setattr(left_sums, "MOST_PARTS", most)
        model.compile(mc.optimizers.SGD(0.05), "sparse_categorical_crossentropy", backend=backend)
        losses.append(model.fit(x, labels, batch_size=8, epochs=epochs, shuffle=False, verbose=0).history["loss"])
    assert_close(*map(np.array, losses[::-1]), close)
    if policy == "float32":
        for ours, theirs in zip(models[1].get_weights(), models[0].get_weights(), strict=True):
            assert_close(ours, theirs, 10 * close)
    # Once kernel by kernel, once captured: of the convolutions a, one of two readers of b's, two, and the strided one.
    assert left.count("moments_to_leave") == 2 * 5
    assert left.count("sums_to_leave") == 2 * 2  # by the second of the two, and by the last


def test_dense_layers_leave_to_normalizations_too(always, monkeypatch, rng):
    """Large ones: to that behind them, and to that before; of rows, and of sequences."""
    from minicnn.backends.cupy import dense, left_sums, tensor_cores

    L, left, losses = mc.layers, [], []
    monkeypatch.setattr(dense, "MOST_PRODUCTS", 0)
    for name, place in (("moments_to_leave", tensor_cores), ("sums_to_leave", left_sums)):
        original = getattr(place, name)
        monkeypatch.setattr(place, name, lambda *a, name=name, own=original: (left.append(name), own(*a))[1])
    x, labels = normal(rng, 24, 3, 20) + 2, rng.integers(0, 3, 24)

    def network():
        parts = [L.Input((3, 20)), L.Dense(32, use_bias=False), L.BatchNormalization(), L.ReLU(), L.Dense(16)]
        parts += [L.Flatten(), L.Dense(36, activation="relu"), L.BatchNormalization(), L.Dense(20)]
        return mc.Sequential([*parts, L.Dense(3, activation="softmax")])

    model, other = network(), network()
    other.set_weights(model.get_weights())
    for one, backend in ((model, "numpy"), (other, "cupy")):
        one.compile(mc.optimizers.SGD(0.05), "sparse_categorical_crossentropy", backend=backend)
        losses.append(one.fit(x, labels, batch_size=12, epochs=2, shuffle=False, verbose=0).history["loss"])
    assert left == [*["moments_to_leave"] * 2, *["sums_to_leave"] * 2] * 2  # once kernel by kernel, once captured
    assert_close(*map(np.array, losses[::-1]), 1e-5)
    for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        assert_close(ours, theirs, 1e-4)


# ------------------------------------------------------------------------------------------------- mistakes in kernels


BARRIER = "__syncthreads();\n            load_weights"
ROW = "lane % 8 + lane / 16 * 8) * WEIGHT_PITCH"
MISTAKES = {  # kind, what is right, what is wrong
    "a missing barrier": ("forward", BARRIER, BARRIER.replace("__syncthreads();", "")),
    "a wrong lane of a pixel": ("forward", "lane_row = lane / 16 * 16", "lane_row = lane / 8 % 2 * 16"),
    "a wrong lane of a weight": ("input gradient", ROW, ROW.replace("/ 16", "/ 8 % 2")),
    "a wrong lane of a channel": ("kernel gradient", "* 16 + lane / 4;", "* 16 + lane % 8;"),
}


def check_mistaken(kind, right, wrong, rng, monkeypatch):
    from minicnn.backends.cupy.sources import source

    file = "tensor_gradient" if kind == "kernel gradient" else "tensor_convolution"
    if source(file).count(right) != 1:
        raise ValueError(f"the source has no such text, or several: {right}")
    convolution = Case(rng, 3, 9, 7, 36, 20, (3, 3), "same")
    choice = convolution.choices(h100())[kind][-1]
    with changed(monkeypatch, NOTHING_TWICE, (right, wrong)):
        assert_close(convolution.computed(kind, choice, backends.get("cupy"))[0], convolution.expected(kind)[0], CLOSE)


@pytest.fixture
def standin(monkeypatch, seed):
    import cupy

    if cupy.__version__ != "stand-in":
        pytest.skip("what a mistake does on a device is undefined")
    monkeypatch.setenv("MINICNN_STANDIN_SEED", str(seed % 2**31 + 1))


MISTAKES_OF_SUMS = {
    "a missing barrier": ("__syncthreads();\n    write_gradient_sums", "write_gradient_sums"),
    "memory that others still read": ("__syncthreads();  // others may still read what", "// what"),
    "a wrong lane": ("given, STEP);", "given, STEP ^ 12);"),
    "another column": ("beta[n + e] : 0.0f", "beta[n] : 0.0f"),
    "the second gradient twice": ("more_of[e] + result", "more_of[e] + more_of[e] + result"),
}


@pytest.mark.parametrize("mistake", MISTAKES_OF_SUMS)
def test_mistakes_of_sums_are_found(mistake, standin, monkeypatch, rng):
    from minicnn.backends.cupy.sources import source

    right, wrong = MISTAKES_OF_SUMS[mistake]
    assert source("tensor_convolution").count(right) == 1
    before = Before(Case(rng, 3, 9, 7, 36, 20, (2, 2), "same"), True, False, True, rng)
    with changed(monkeypatch, NOTHING_TWICE, (right, wrong)), pytest.raises(AssertionError):
        before.check(before.convolution.choices(h100())["input gradient"], backends.get("cupy"))


MISTAKES_OF_MOMENTS = {
    "a missing barrier": ("__syncthreads();\n    write_moments", "write_moments"),
    "memory that others still read": ("__syncthreads();                        // others", "// others"),
    "a wrong lane": ("given, STEP);", "given, STEP ^ 12);"),
    "a wrong lane of the shift": ("k % 2], lane % 4)", "k % 2], lane / 8)"),
    "rows that do not exist": ("lane / 4 < all_rows", "lane / 4 < all_rows + 1"),
}


@pytest.mark.parametrize("mistake", MISTAKES_OF_MOMENTS)
def test_mistakes_of_moments_are_found(mistake, standin, monkeypatch, rng):
    from minicnn.backends.cupy.sources import source

    right, wrong = MISTAKES_OF_MOMENTS[mistake]
    assert source("tensor_convolution").count(right) == 1
    convolution = Case(rng, 3, 9, 7, 20, 36, (2, 2), "same")  # the last weights lie where the sums will
    convolution.bias += 100
    with changed(monkeypatch, NOTHING_TWICE, (right, wrong)), pytest.raises(AssertionError):
        for choice in convolution.choices(h100())["forward"]:
            y = check_moments(convolution, choice, backends.get("cupy"))
            assert_close(y, convolution.expected("forward")[0], CLOSE)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_found(mistake, standin, monkeypatch, rng):
    with pytest.raises(AssertionError):
        check_mistaken(*MISTAKES[mistake], rng, monkeypatch)


WAIT = "wait_for_all_groups_but<STAGES - 2>();"
FATAL_MISTAKES = {
    "a missing wait": ("forward", WAIT, WAIT.replace("2", "1")),
    "a missing wait of a gradient": ("kernel gradient", WAIT, WAIT.replace("2", "1")),
    "a missing barrier of a gradient": ("kernel gradient", "__syncthreads();\n        load(", "load("),
}


@pytest.mark.parametrize("mistake", FATAL_MISTAKES)
def test_fatal_mistakes_are_found(mistake, standin):
    """The stand-in ends the process where copies are not waited for: so another one tries."""
    code = f"""
import sys
sys.path[:0] = [{str(Path(__file__).with_name("gpu_standin"))!r}, {str(Path(__file__).parent)!r}]
import numpy as np, pytest
from test_gpu_tensor_cores import FATAL_MISTAKES, check_mistaken
with pytest.MonkeyPatch.context() as patch:
    check_mistaken(*FATAL_MISTAKES[{mistake!r}], np.random.default_rng(0), patch)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode < 0 or "AssertionError" in done.stderr, done.stderr
    assert "barrier" in mistake or "without waiting for its copies" in done.stderr


# --------------------------------------------------------------------------------------------- 16 channels; strides


class NarrowCase(Case):
    """By the kernels for 16 channels and filters; see `all_weights_at_once`."""

    file = "tensor_narrow"

    def choices(self, device):
        found = super().choices(device)
        return {kind: choices for kind, choices in found.items() if kind != "kernel gradient"}


NARROW = [
    (3, 9, 7, 16, 16, (3, 3), "same", (1, 1)),
    (2, 13, 10, 16, 16, (2, 3), "valid", (1, 1)),
    (3, 20, 17, 16, 16, (3, 2), "same", (2, 1)),
]


@pytest.mark.parametrize("case", NARROW, ids=str)
@pytest.mark.parametrize("kind", ["forward", "input gradient"])
def test_sixteen_channels(kind, case, backend, nothing_twice, rng):
    """A block takes several tiles, or all; a convolution has the bits of the kernel for any number of channels."""
    narrow, wide = NarrowCase(rng, *case, relu=True), Case(rng, *case, relu=True)
    wide.x, wide.kernel, wide.bias, wide.dy = narrow.x, narrow.kernel, narrow.bias, narrow.dy
    choices = narrow.choices(h100())[kind]
    if narrow.window.stride_y > 1 and kind == "input gradient":
        assert not choices
        return
    for choice in choices:
        for one in (choice, choice._replace(blocks=max(1, choice.blocks // 2))):
            found = narrow.computed(kind, one, backend)
            for a, b in zip(found, narrow.expected(kind), strict=True):
                assert_close(a, b, CLOSE, one.size)
            other = wide.computed(kind, wide.choices(h100())[kind][-1], backend)
            np.testing.assert_array_equal(found[0], other[0])
    assert choices


@pytest.mark.parametrize("case", NARROW, ids=str)
def test_moments_of_sixteen_channels(case, backend, nothing_twice, rng):
    convolution = NarrowCase(rng, *case)
    convolution.bias += 100
    (choice,) = convolution.choices(h100())["forward"]
    for one in (choice, choice._replace(blocks=max(1, choice.blocks // 2))):
        y = check_moments(convolution, one, backend)
        np.testing.assert_array_equal(y, convolution.computed("forward", one, backend)[0])


@pytest.mark.parametrize(("relu", "added", "more"), BEFORE[:3])
@pytest.mark.parametrize("case", NARROW[:2], ids=str)
def test_sums_of_sixteen_channels(case, relu, added, more, backend, nothing_twice, rng):
    before = Before(NarrowCase(rng, *case), relu, added, more, rng)
    (choice,) = before.convolution.choices(h100())["input gradient"]
    before.check((choice, choice._replace(blocks=max(1, choice.blocks // 2))), backend)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_what_is_not_finite_with_few_channels_and_with_strides(bad, strides, rng):
    for kind_of_case in (NarrowCase, Case):
        convolution = kind_of_case(rng, 2, 7, 6, 16, 16, (3, 3), "same", strides)
        convolution.kernel[:, :, 3] = np.where(rng.random((3, 3, 16)) < 0.5, 0.25, 0)  # which leave nothing over
        convolution.x[0, 2, 1, 3] = convolution.dy[1, 1, 2, 5] = bad
        for kind, choices in convolution.choices(h100()).items():
            with np.errstate(invalid="ignore"):
                expected = convolution.expected(kind, np.float32)[0]
            assert not np.isfinite(expected).all()
            for choice in choices[-1:]:
                found = convolution.computed(kind, choice, backends.get("cupy"))[0]
                largest = np.abs(expected[np.isfinite(expected)]).max()
                np.testing.assert_allclose(found, expected, 0, CLOSE * largest, err_msg=f"{kind} {choice.size}")


NARROW_MISTAKES = {
    "a missing barrier": ("tensor_narrow", "forward", "__syncthreads();\n        int next", "int next"),
    "pixels over those in use": ("tensor_narrow", "forward", "gridDim.x, 1 - stage)", "gridDim.x, stage)"),
    "a wrong lane of a weight": ("tensor_narrow", "forward", "* 8 + i % 4;", "* 8 + i % 8 / 2;"),
}


@pytest.mark.parametrize("mistake", NARROW_MISTAKES)
def test_mistakes_with_sixteen_channels_are_found(mistake, standin, monkeypatch, rng):
    from minicnn.backends.cupy.sources import source

    file, kind, right, wrong = NARROW_MISTAKES[mistake]
    assert source(file).count(right) == 1
    convolution = NarrowCase(rng, 3, 20, 17, 16, 16, (3, 3), "same")
    (choice,) = convolution.choices(h100())[kind]
    choice = choice._replace(blocks=2)
    with changed(monkeypatch, NOTHING_TWICE, (right, wrong)):
        found = convolution.computed(kind, choice, backends.get("cupy"))[0]
    with pytest.raises(AssertionError):
        assert_close(found, convolution.expected(kind)[0], CLOSE)


def test_the_parts_of_a_strided_convolution(rng):
    """Each pixel belongs to one part, which has the taps that meet it, counted one by one."""
    from minicnn.backends.cupy import tensor_strides

    for _, window in random_windows(rng, 40):
        strides = tuple(int(s) for s in rng.integers(1, 3, 2))
        size = window.in_height, window.in_width
        kernel = window.kernel_height, window.kernel_width
        window = make_window(size, kernel, strides, "same")
        found = tensor_strides.candidates(2, window, 32, 32, h100())
        if max(strides) == 1 or not found:
            continue
        parts, met = tensor_strides.parts(found[-1].geometry), {}
        for y in range(window.in_height):
            for p in range(window.kernel_height):
                row = y + window.pad_top - p
                if row % window.stride_y == 0 and 0 <= row // window.stride_y < window.out_height:
                    met.setdefault(y, []).append(row // window.stride_y)
        for y in range(window.in_height):
            (part,) = {(g.kernel_height, g.pad_top) for g in parts if g.rest_y == y % window.stride_y}
            rows = [y // window.stride_y - part[1] + a for a in range(part[0])]
            assert [r for r in rows if 0 <= r < window.out_height] == sorted(met.get(y, []))


# -------------------------------------------------------------------------------------------------------- the choice


def test_magic_numbers_divide(rng):
    from minicnn.backends.cupy.tensor_choice import magic

    divisors = [*range(1, 70), 2**20, 2**20 + 1, *rng.integers(1, 2**31 - 1, 200).tolist()]
    for divisor in divisors:
        number, shift = magic(divisor)
        n = np.concatenate([rng.integers(0, 2**31, 200), np.arange(-2, 3) % 2**31])
        n = np.concatenate([n, np.clip(n // divisor * divisor + [[-1], [0]], 0, None).ravel()])
        high = (n.astype(object) * (number % 2**32)) >> 32  # __umulhi
        found = [int(h) >> (shift - 1) for h in high] if shift else n.tolist()
        assert found == (n // divisor).tolist(), divisor


def random_windows(rng, count):
    """(images, window) of convolutions of stride 1."""
    for _ in range(count):
        size = rng.integers(1, 6, 2).tolist()
        image = (rng.integers(size, 17)).tolist()
        window = make_window(image, size, (1, 1), ["same", "valid"][rng.integers(2)])
        yield int(rng.integers(1, 5)), window.turned_around if rng.integers(2) else window


def test_patches_hold_what_a_tile_sees(rng):
    """Every pixel that a tile's positions see lies in its patch, which is hardly larger than it must be."""
    from minicnn.backends.cupy import tensor_choice
    from minicnn.backends.cupy.structures import Convolution

    for images, window in random_windows(rng, 40):
        pooled = bool(rng.integers(2)) and min(window.out_height, window.out_width) > 1
        step = 2 if pooled else 1
        height, width = window.out_height // step, window.out_width // step
        zeros = [0] * len(Convolution._fields)
        g = Convolution(*zeros)._replace(images=images, height=window.in_height, width=window.in_width, pool=pooled)
        g = g._replace(kernel_height=window.kernel_height, kernel_width=window.kernel_width)
        g = g._replace(pad_top=window.pad_top, pad_left=window.pad_left, stride_y=1, stride_x=1)
        g = g._replace(rows=images * height * width, row_height=height, row_width=width)
        longest = 0
        for first in range(0, g.rows, 64 // step**2):
            seen = []
            for row in range(first, min(first + 64 // step**2, g.rows)):
                image, y, x = row // (height * width), row // width % height, row % width
                for down in range(step + window.kernel_height - 1):
                    for right in range(step + window.kernel_width - 1):
                        p, q = y * step + down - window.pad_top, x * step + right - window.pad_left
                        if 0 <= p < window.in_height and 0 <= q < window.in_width:
                            seen.append((image * window.in_height + p) * window.in_width + q)
            longest = max(longest, max(seen) - min(seen) + 1)
        found = tensor_choice.patch_pixels(g, 64)
        ends = 2 * window.in_width + window.kernel_width  # where rows lie outside, both ends are those of a row
        assert longest <= found <= longest + ends, (window, pooled)


def test_patches_of_a_row_of_taps(rng):
    from minicnn.backends.cupy.tensor_gradient_choice import POSITIONS, gradient_candidates, patch_of_row

    for images, window in random_windows(rng, 80):
        positions = images * window.out_height * window.out_width
        if window.out_height > window.in_height or window.out_width > window.in_width:
            assert gradient_candidates(images, window, 64, 64, True, h100()) == []
            continue

        def pixel(m, window=window):
            y, x = m // window.out_width % window.out_height, m % window.out_width
            image = m // (window.out_height * window.out_width)
            return (image * window.in_height + y) * window.in_width + x

        stages = [range(m, min(m + POSITIONS, positions)) for m in range(0, positions, POSITIONS)]
        spans = [max(map(pixel, stage)) - min(map(pixel, stage)) for stage in stages]
        assert patch_of_row(window, positions) == max(spans) + window.kernel_width


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("measured", MEASURED, ids=str)
def test_the_fastest_tiles_are_chosen(measured, capability):
    """Or one that took no more than a twentieth longer; and tensor cores beat products.cu, by the estimates as well."""
    from minicnn.backends.cupy import tensor_choice, tensor_gradient_choice, tensor_strides

    (images, size, channels, filters, kernel), kind = measured
    window = make_window((size, size), (kernel, kernel), (1, 1), "same")
    device, numbers = h100()._replace(capability=capability), (images, window, channels, filters)
    found = {
        "forward": lambda: tensor_choice.candidates(*numbers, None, False, device),
        "input gradient": lambda: tensor_strides.candidates(images, window, filters, channels, device),
        "kernel gradient": lambda: tensor_gradient_choice.gradient_candidates(*numbers, False, device),
    }[kind]()

    def name(choice):
        tile = "x".join(choice.size.split("x")[:5])
        return f"hopper {tile}" if choice.file.startswith("hopper") else tile

    every = MEASURED[measured] | PROTOTYPE.get(measured, {})
    times = {name(one): every.get(name(one)) for one in found}
    known = [one for one in found if times[name(one)] is not None]
    fastest = min(times[name(one)] for one in known)
    chosen = min(known, key=lambda one: one.microseconds)
    assert times[name(chosen)] <= 1.05 * fastest
    assert fastest < MEASURED[measured]["products.cu"]
    products = images * window.out_height * window.out_width * window.taps * channels * filters
    assert min(one.microseconds for one in found) < tensor_choice.plain_microseconds(
        products, kind == "kernel gradient"
    )


def test_the_choice_is_the_best_that_fits(rng):
    """By counting blocks one by one: each multiprocessor takes as many as it has room for, again and again."""
    from minicnn.backends.cupy import tensor_choice as choice

    def waves(tile, blocks, steps, shared):
        room = max(1, min(tile.blocks, (228 << 10) // (shared + 1024)))
        time = 0
        while blocks:
            resident = [0] * 132
            for i in range(min(blocks, 132 * room)):
                resident[i % 132] += 1
            blocks -= sum(resident)
            share = (max(resident) - 1) / max(1, tile.blocks - 1)
            time += (steps + tile.start) * (tile.alone + (tile.together - tile.alone) * share)
        return time

    for images, window in random_windows(rng, 25):
        channels, filters = (int(n) for n in rng.integers(5, 80, 2) * 4)
        device = choice.Device(86, int(rng.choice([48, 64, 99])) << 10)
        tiles = [t for t in choice.TILES if t.below is None or filters < t.below]
        found = choice.candidates(images, window, channels, filters, None, False, device)
        found = [one for one in found if one.file == Case.file]
        for tile, one in zip(tiles, found, strict=bool(found)):
            terms = int(one.size.split("x")[5])
            steps = one.geometry.slices * window.taps * (1 if terms == 32 else choice.SHORT_STEP)
            steps += one.geometry.slices * choice.LOADING
            assert one.geometry.slices == -(-channels // terms)
            assert one.microseconds == pytest.approx(1 + waves(tile, one.blocks, steps, one.shared))
        best = choice.choose_convolution(images, window, channels, filters, None, False, device)
        products = images * window.out_height * window.out_width * window.taps * channels * filters
        times = [one.microseconds for one in found if one.shared <= device.shared]
        if not times or min(times) >= choice.plain_microseconds(products, False):
            assert best is None
        else:
            assert best.microseconds == min(times)


def test_parts_of_kernel_gradients(rng):
    """They cover all positions, none is empty, and none is so long that digits are lost."""
    from minicnn.backends.cupy import tensor_gradient_choice as choice

    for images, window in random_windows(rng, 40):
        images *= int(rng.choice([1, 50, 4000]))
        positions = images * window.out_height * window.out_width
        for one in choice.gradient_candidates(images, window, 64, 32, True, h100()):
            own, stages = one.geometry.stages_per_split, -(-positions // 32)
            assert (one.parts - 1) * own < stages <= one.parts * own
            assert own <= choice.MOST_STAGES


@pytest.mark.parametrize(
    ("change", "device"),
    [
        ({"strides": (3, 1)}, (90, 232448)),
        ({"dilation": (1, 2)}, (90, 232448)),
        ({"channels": 12}, (90, 232448)),
        ({"filters": 30}, (90, 232448)),
        ({"size": (7, 7)}, (90, 232448)),
        ({}, (75, 65536)),
        ({}, (0, 0)),
        ({"images": 2**20}, (90, 232448)),
    ],
    ids=str,
)
def test_the_rest_is_not_chosen(change, device):
    from minicnn.backends.cupy.tensor_choice import Device, choose_convolution
    from minicnn.backends.cupy.tensor_gradient_choice import choose_gradient

    def chosen(images=64, channels=64, filters=64, size=(3, 3), strides=(1, 1), dilation=(1, 1)):
        window = make_window((28, 28), size, strides, "same", dilation)
        numbers = images, window, channels, filters
        return choose_convolution(*numbers, None, False, Device(*device)), choose_gradient(
            *numbers, True, Device(*device)
        )

    assert chosen(**change) == (None, None)
    device = 90, 232448
    assert None not in chosen()


def test_what_arrays_must_be(monkeypatch):
    """float32, one group, 16 bytes at a time; and what switches tensor cores off."""
    from minicnn.backends.cupy import tensor_cores

    device, window = backends.get("cupy"), make_window((28, 28), (3, 3), (1, 1), "same")
    x, kernel = device.zeros((64, 28, 28, 64), np.float32), device.zeros((3 * 3 * 64 * 64 + 1,), np.float32)
    aligned, moved = kernel[:-1].reshape(3, 3, 64, 64), kernel[1:].reshape(3, 3, 64, 64)

    def choice(kernel=aligned, groups=1, dtype=np.float32):
        arrays = x.astype(dtype), kernel.astype(dtype) if dtype != np.float32 else kernel, x
        return tensor_cores.choice(*arrays, window, groups, None, True)

    assert choice()
    assert choice(kernel=moved) is choice(groups=2) is choice(dtype=np.float64) is None
    monkeypatch.setenv("MINICNN_TENSOR_CORES", "0")
    assert choice() is None


# ------------------------------------------------------------------------------------------------------- the precision


@pytest.mark.parametrize("how", ["medium", "high", "MINICNN_TF32"])
def test_precision(how, monkeypatch, rng):
    """TF32 where "medium" or MINICNN_TF32 allow it; "high" is a floor, above which these kernels stay."""
    if how == "MINICNN_TF32":
        monkeypatch.setenv(how, "1")
    else:
        mc.set_float32_precision(how)
    try:
        convolution = Case(rng, 2, 8, 8, 16, 16, (3, 3), "same")
        for kind, choices in convolution.choices(h100()).items():
            found, expected = (
                convolution.computed(kind, choices[-1], backends.get("cupy"))[0],
                convolution.expected(kind)[0],
            )
            error = np.abs(found - expected).max() / np.abs(expected).max()
            assert (error < CLOSE) if how == "high" else (2e-5 < error < 1e-3), (kind, error)
    finally:
        mc.set_float32_precision("highest")


def test_a_change_of_the_precision_counts_from_the_next_batch_on(rng):
    """Steps that were recorded with another one are recorded anew."""
    x, y = normal(rng, 32, 8, 8, 16), rng.integers(0, 3, 32)
    losses = {}
    for change in (False, True):
        mc.utils.set_random_seed(1)
        L = mc.layers
        model = mc.Sequential([L.Input((8, 8, 16)), L.Conv2D(16, 3), L.GlobalAveragePooling2D(), L.Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy", backend="cupy")
        model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
        try:
            mc.set_float32_precision("medium" if change else "highest")
            losses[change] = model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0).history["loss"][0]
        finally:
            mc.set_float32_precision("highest")
    assert losses[True] != losses[False]
    assert losses[True] == pytest.approx(losses[False], rel=1e-3)
