"""The GPU's kernels for small networks: against the reference in float64, outputs poisoned, threads shuffled.

And: that mistakes in them are found, and how many launches an iteration is.
"""

from functools import partial

import numpy as np
import pytest
from graph_nodes import names_of_nodes
from networks import NETWORKS
from oracles import assert_close

import minicnn as mc
from minicnn import backends
from minicnn.backends.reference import ops as reference
from minicnn.backends.reference.normalization import Affine, Moments, MovingAverages
from minicnn.geometry import make_window

pytestmark = pytest.mark.gpu

CLOSE = 2e-6  # of the largest value: float32, other orders of the sums
CONVOLUTIONS = [  # images, height, width, channels, filters, kernel size, padding, pooled, ReLU, bias
    (3, 12, 12, 1, 6, 5, "valid", True, True, True),
    (2, 13, 11, 6, 16, 5, "valid", True, True, True),
    (2, 9, 7, 3, 5, 3, "same", True, True, False),
    (1, 8, 9, 4, 32, 3, "valid", True, False, True),
    (3, 7, 9, 1, 8, 3, "same", False, True, True),
    (1, 5, 5, 8, 4, 3, "same", False, False, True),
    (1, 5, 1, 2, 3, 3, "same", False, True, True),
]
# Gradients without pooling: as above; few images have their rows shared among blocks, many do not.
UNPOOLED = [
    (2, 9, 11, 3, 16, 3, "same", False, True, True),
    (3, 8, 7, 1, 6, 3, "valid", False, False, True),
    (1, 7, 6, 2, 5, 5, "same", False, True, False),
    (2, 6, 9, 8, 8, 5, "valid", False, True, True),
    (1, 13, 4, 8, 64, 3, "same", False, False, False),
    (2, 9, 10, 1, 8, 3, "same", False, True, True),
    (130, 4, 5, 3, 32, 3, "same", False, True, True),
]
DENSE = [(5, 7, 3), (9, 130, 33), (13, 600, 10), (1, 1, 1), (33, 257, 31)]  # rows, inputs, outputs


@pytest.fixture(params=["", "1"], ids=["in order", "shuffled"])
def device(request, monkeypatch, seed):
    """The backend; on the stand-in, threads run in their order, or in one that the seed says."""
    monkeypatch.setenv("MINICNN_STANDIN_SEED", request.param and str(seed % 2**31 + 1))
    return backends.get("cupy")


def poisoned(backend, shape, dtype=np.float32):
    """An array that no test is content with."""
    return backend.asarray(np.full(shape, np.nan if dtype == np.float32 else 77, dtype))


def uploaded(backend, *arrays):
    return [None if array is None else backend.asarray(array) for array in arrays]


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


class Convolution:
    """One of `CONVOLUTIONS`, with data."""

    def __init__(self, rng, images, height, width, channels, filters, size, padding, pooled, relu, bias):
        self.window = make_window((height, width), (size, size), (1, 1), padding)
        out = self.window.out_height, self.window.out_width
        self.pool = make_window(out, (2, 2), (2, 2), "valid") if pooled else None
        self.relu, self.shape = relu, (images, *out, filters)
        if pooled:
            self.shape = images, self.pool.out_height, self.pool.out_width, filters
        self.x, self.kernel = normal(rng, images, height, width, channels), normal(rng, size, size, channels, filters)
        self.bias, self.dy = normal(rng, filters) if bias else None, normal(rng, *self.shape)

    def expected(self):
        """(y, winner or None), of the reference in float64."""
        arrays = [None if a is None else a.astype(np.float64) for a in (self.x, self.kernel, self.bias)]
        y, winner = np.empty(self.shape), np.empty(self.shape, np.uint8)
        if self.pool is None:
            reference.conv2d(*arrays, y, self.window, 1, self.relu)
            return y, None
        reference.conv2d_pool(*arrays, y, winner, self.window, self.pool, self.relu)
        return y, winner

    def forward(self, backend, x=None):
        """(y, winner or None) of the backend."""
        arrays = uploaded(backend, self.x if x is None else None, self.kernel, self.bias)
        arrays[0] = x if arrays[0] is None else arrays[0]
        y, winner = poisoned(backend, self.shape), poisoned(backend, self.shape, np.uint8)
        if self.pool is None:
            backend.ops.conv2d(*arrays, y, self.window, 1, self.relu)
            return y, None
        backend.ops.conv2d_pool(*arrays, y, winner, self.window, self.pool, self.relu)
        return y, winner

    def check_forward(self, backend):
        y, winner = self.forward(backend)
        expected, winners = self.expected()
        assert_close(backend.to_host(y), expected, CLOSE)
        if winner is not None:  # ties and near ones may go either way
            assert np.mean(backend.to_host(winner) == winners) > 0.99

    def check_backward(self, backend, with_dx):
        _, winner = self.expected()
        shapes = (self.x.shape if with_dx else None, self.kernel.shape, None if self.bias is None else self.bias.shape)
        wanted = [None if shape is None else np.empty(shape) for shape in shapes]
        arrays = [a.astype(np.float64) if a.dtype == np.float32 else a for a in (self.x, self.kernel, winner, self.dy)]
        reference.conv2d_pool_backward(*arrays, *wanted, self.window, self.pool)
        found = [None if shape is None else poisoned(backend, shape) for shape in shapes]
        arrays = uploaded(backend, self.x, self.kernel, winner, self.dy)
        backend.ops.conv2d_pool_backward(*arrays, *found, self.window, self.pool)
        for name, a, b in zip(("dx", "dkernel", "dbias"), found, wanted, strict=True):
            if a is not None:
                assert_close(backend.to_host(a), b, CLOSE, name)

    def check_plain_backward(self, backend, with_dx):
        """Without pooling; what ReLU lets through is what is above 0 in some output."""
        y = self.expected()[0].astype(np.float32)
        shapes = (self.x.shape if with_dx else None, self.kernel.shape, None if self.bias is None else self.bias.shape)
        wanted = [None if shape is None else np.empty(shape) for shape in shapes]
        wide = [a.astype(np.float64) for a in (self.x, self.kernel, y, self.dy)]
        found = [None if shape is None else poisoned(backend, shape) for shape in shapes]
        with np.errstate(invalid="ignore"):
            reference.conv2d_backward(*wide, *wanted, self.window, 1, self.relu)
        arrays = uploaded(backend, self.x, self.kernel, y, self.dy)
        backend.ops.conv2d_backward(*arrays, *found, self.window, 1, self.relu)
        for name, a, b in zip(("dx", "dkernel", "dbias"), found, wanted, strict=True):
            if a is not None:
                is_finite, a = np.isfinite(b), backend.to_host(a)
                np.testing.assert_array_equal(np.isfinite(a), is_finite)
                assert_close(a[is_finite], b[is_finite], CLOSE, name)


# --------------------------------------------------------------------------------------------------------- the kernels


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolutions_of_few_channels(case, device, rng):
    from minicnn.backends.cupy import few_channels

    convolution = Convolution(rng, *case)
    x, kernel = uploaded(device, convolution.x, convolution.kernel)
    assert few_channels.serves(x, kernel, convolution.window, 1, convolution.pool)
    convolution.check_forward(device)


@pytest.mark.parametrize("with_dx", [False, True])
@pytest.mark.parametrize("case", [case for case in CONVOLUTIONS if case[7]], ids=str)
def test_gradients_of_convolutions_of_few_channels(case, with_dx, device, rng):
    from minicnn.backends.cupy import few_channels

    convolution = Convolution(rng, *case)
    x, kernel = uploaded(device, convolution.x, convolution.kernel)
    dx = x if with_dx else None
    assert few_channels.serves_backward(x, kernel, dx, kernel, convolution.window, convolution.pool)
    convolution.check_backward(device, with_dx)


@pytest.mark.parametrize("case", UNPOOLED, ids=str)
def test_kernel_gradients_of_few_channels_without_pooling(case, device, rng):
    """Without dx, as a network's first layer, and with it; not finite where float64 is not."""
    from minicnn.backends.cupy import few_channels

    convolution = Convolution(rng, *case)
    x, kernel = uploaded(device, convolution.x, convolution.kernel)
    assert few_channels.serves_kernel_gradient(x, kernel, kernel, convolution.window, 1)
    for with_dx in (False, True):
        convolution.check_plain_backward(device, with_dx)
    convolution.x[-1, -1, -1, 0] = np.inf
    convolution.dy[0, 0, 0, -1] = np.nan
    convolution.check_plain_backward(device, False)


def test_a_convolution_gathers_the_batch(device, rng):
    """The images, in the order of the epoch, and their class numbers; what it cannot gather is gathered before."""
    from minicnn.backends.cupy.gather import Gather, gathers

    convolution = Convolution(rng, *CONVOLUTIONS[0])
    count, shape = len(convolution.x), convolution.x.shape[1:]
    source, labels, weights = normal(rng, 10, *shape), rng.integers(0, 9, 10), rng.uniform(size=10)
    order, start = rng.permutation(10), np.array([4])
    rows = order[4 : 4 + count]
    for dtype in (np.float32, np.uint8):
        source = source.astype(dtype)
        arrays = uploaded(device, source, labels, weights, order, start)
        x, label = poisoned(device, (count, *shape)), poisoned(device, (count,), np.int64)
        weight = device.asarray(np.full(count, np.nan))
        for one, out in zip(arrays[:3], (x, label, weight), strict=True):
            gathers.put_off(Gather(one, *arrays[3:], out))
        convolution.x = source[rows].astype(np.float32)
        y, _ = convolution.forward(device, x)
        assert_close(device.to_host(y), convolution.expected()[0], CLOSE)
        for out, expected in ((x, source[rows]), (label, labels[rows]), (weight, weights[rows])):
            np.testing.assert_array_equal(device.to_host(out), expected)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("size", DENSE, ids=str)
def test_dense_layers(size, relu, bias, device, rng):
    rows, inner, outer = size
    x, kernel, b = normal(rng, rows, inner), normal(rng, inner, outer), normal(rng, outer) if bias else None
    y, expected = poisoned(device, (rows, outer)), np.empty((rows, outer))
    wide = [None if a is None else a.astype(np.float64) for a in (x, kernel, b)]
    device.ops.dense(*uploaded(device, x, kernel, b), y, relu)
    reference.dense(*wide, expected, relu)
    reach = np.abs(x) @ np.abs(kernel) + (0 if b is None else np.abs(b))  # of what is added up, as it may cancel
    assert np.abs(device.to_host(y) - expected).max() <= CLOSE * reach.max()

    dy, mask = normal(rng, rows, outer), expected.astype(np.float32) if relu else None
    for shapes in ((x.shape, kernel.shape, b if b is None else b.shape), (None, kernel.shape, None)):
        found = [None if shape is None else poisoned(device, shape) for shape in shapes]
        wanted = [None if shape is None else np.empty(shape) for shape in shapes]
        device.ops.dense_backward(*uploaded(device, x, kernel, mask, dy), *found, relu)
        reference.dense_backward(*wide[:2], mask, dy.astype(np.float64), *wanted, relu)
        for name, a, e in zip(("dx", "dkernel", "dbias"), found, wanted, strict=True):
            if a is not None:
                assert_close(device.to_host(a), e, CLOSE, name)


def test_a_dense_layer_of_more_rows_than_a_grid_has(device):
    """Of blocks of four rows a grid holds 65,535; more rows go another way."""
    from minicnn.backends.cupy import dense

    kernel = device.asarray(np.ones((4, 1), np.float32))
    many = [device.empty((rows, 4), np.float32) for rows in (4 * 65535, 4 * 65535 + 1)]
    assert [dense._serves(x, kernel) for x in many] == [True, False]


def classes(device, x, kernel, bias, labels, weight):
    """What `dense_classes` writes, on the host."""
    shape = len(x), kernel.shape[1]
    outputs = [poisoned(device, s) for s in (shape, shape, shape[:1])]
    outputs += [poisoned(device, shape[:1], np.uint8), poisoned(device, shape)]
    device.dense_classes(*uploaded(device, x, kernel, bias, labels, weight), *outputs)
    return [device.to_host(output) for output in outputs]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [size for size in DENSE if size[2] <= 32], ids=str)
def test_last_layers(size, weighted, device, rng):
    rows, inner, outer = size
    x, kernel, bias = normal(rng, rows, inner), normal(rng, inner, outer), normal(rng, outer)
    labels, weight = rng.integers(0, outer, rows), rng.uniform(size=rows) if weighted else None
    z = x.astype(np.float64) @ kernel + bias
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    counts = np.ones(rows) if weight is None else weight
    right = labels == p.argmax(1)
    expected = (
        z,
        p,
        -np.log(p[range(rows), labels]) * counts,
        right,
        (p - np.eye(outer)[labels]) * counts[:, None] / rows,
    )
    found = classes(device, x, kernel, bias, labels, weight)
    terms = np.abs(x) @ np.abs(kernel) + np.abs(bias)  # a lone logit may be next to nothing beside its terms
    assert np.abs(found[0] - z).max() <= 1e-5 * terms.max()
    for name, a, b in zip(("probabilities", "loss", "hit", "dlogits"), found[1:], expected[1:], strict=True):
        assert_close(a, b, 1e-5, name)


def test_last_layers_of_ties_and_numbers_that_are_none(device):
    """The first of equal probabilities is the prediction, or the first NaN, as NumPy's argmax says."""
    x, labels = np.eye(4, dtype=np.float32), np.array([1, 0, 0, 2])
    kernel = np.array([[1, 3, 3], [np.nan, 0, 0], [0, np.inf, 0], [0, 0, -np.inf]], np.float32)[:, :3]
    with np.errstate(all="ignore"):
        _, probabilities, loss, hit, _ = classes(device, x, np.nan_to_num(kernel), None, labels, None)
    np.testing.assert_array_equal(hit, probabilities.argmax(1) == labels)
    kernel = np.array([[0, np.nan, 0]] * 4, np.float32)
    _, probabilities, loss, hit, _ = classes(device, x, kernel, None, np.array([0, 1, 2, 0]), None)
    assert np.isnan(loss).all()
    np.testing.assert_array_equal(hit, probabilities.argmax(1) == [0, 1, 2, 0])


@pytest.mark.parametrize(
    ("count", "stretch"), [(1, 300), (3, 300), (8, 300), (9, 300), (150, 300), (9, 8192), (67, 8300)]
)
def test_the_optimizer_adds_parts(count, stretch, device, rng):
    """And writes the gradient; the elements between take theirs from where they are."""
    from minicnn.backends.cupy.gradient_parts import Parts, give, left_in_parts

    size, first, stride = stretch + 400, 130, stretch + 33
    theta, grad, parts = normal(rng, size), normal(rng, size), normal(rng, count, stride)
    expected = grad.astype(np.float64)
    expected[first : first + stretch] = parts[:, :stretch].sum(0, dtype=np.float64)
    vectors = uploaded(device, theta, grad, parts)
    with left_in_parts():
        give(vectors[1][first : first + stretch], Parts(vectors[2].reshape(-1), count, stride))
        device.ops.sgd_update(*vectors[:2], None, 0.5, 0.0, False)
    assert_close(device.to_host(vectors[1]), expected, CLOSE)
    assert_close(device.to_host(vectors[0]), theta - 0.5 * expected, CLOSE)


def test_what_the_optimizer_does_not_take_is_added(device, rng):
    from minicnn.backends.cupy.gradient_parts import Parts, give, left_in_parts

    parts = normal(rng, 3, 50)
    grad, on_device = poisoned(device, (50,)), device.asarray(parts)
    with left_in_parts():
        give(grad, Parts(on_device.reshape(-1), 3, 50))
        assert np.isnan(device.to_host(grad)).all()
    assert_close(device.to_host(grad), parts.sum(0, dtype=np.float64), CLOSE)


@pytest.mark.parametrize(("added", "relu"), [(False, False), (False, True), (True, True)])
@pytest.mark.parametrize(
    ("rows", "channels", "offset"),
    [(1, 3, 0), (70, 5, 0), (97, 33, 100), (581, 1, -3), (1, 4, 0), (301, 20, 0), (160, 36, 100), (2300, 32, 1)],
)
def test_batch_normalization(rows, channels, offset, added, relu, device, rng):
    """Both directions; a mean far from zero costs no more digits than float32 has there."""
    x, dy = normal(rng, rows, channels) + np.float32(offset), normal(rng, rows, channels)
    vectors = [normal(rng, channels) for _ in range(3)] + [rng.uniform(1, 2, channels).astype(np.float32)]
    shortcut = normal(rng, rows, channels) if added else None
    if relu:  # where rounding decides on which side of ReLU's kink a value lies, no gradient comes
        wide = x.astype(np.float64)
        before_relu = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-3) * vectors[0] + vectors[1]
        before_relu += 0 if shortcut is None else shortcut
        dy[np.abs(before_relu) < 1e-4 * (1 + abs(offset))] = 0
    found, wanted = [], []
    for ops, up, empty, results in (
        (device.ops, device.asarray, lambda shape: poisoned(device, shape), found),
        (reference, lambda a: a.astype(np.float64), np.empty, wanted),
    ):
        gamma, beta, *moving = map(up, vectors)
        moments, y = Moments(empty((channels,)), empty((channels,))), empty(x.shape)
        affine = Affine(gamma, beta, relu)
        arrays = up(x), y, affine, moments, MovingAverages(*moving, 0.9)
        ops.batch_norm(*arrays, 1e-3, True, up(shortcut) if added else None)
        gradients = empty(x.shape), empty(x.shape) if added else None, empty((channels,)), empty((channels,))
        ops.batch_norm_backward(up(x), y if added else None, up(dy), affine, moments, *gradients, True)
        results += [y, *moments, *moving, *gradients]
    names = ("y", "mean", "inverse_std", "moving mean", "moving variance", "dx", "dadded", "dgamma", "dbeta")
    for name, a, b in zip(names, found, wanted, strict=True):
        if a is not None:
            assert_close(device.to_host(a), b, 1e-5 * (1 + abs(offset)), name)


@pytest.mark.parametrize("channels", [3, 8])
def test_moments_of_stretches_that_differ(channels, device, rng):
    """The first rows are zeros, the next ones 1000 ± 1: neither a first row nor a first stretch is near the mean."""
    x = 1000 + normal(rng, 500, channels)
    x[:130] = 0
    mean, inverse_std, gradient = (poisoned(device, (channels,)) for _ in range(3))
    moving = MovingAverages(*uploaded(device, *np.ones((2, channels), np.float32)), 0.5)
    y, on_device = poisoned(device, x.shape), device.asarray(x)
    device.ops.batch_norm(on_device, y, Affine(), Moments(mean, inverse_std), moving, 1e-3, True)
    wide = x.astype(np.float64)
    assert_close(device.to_host(mean), wide.mean(0), 1e-6)
    assert_close(device.to_host(inverse_std), 1 / np.sqrt(wide.var(0) + 1e-3), 1e-5)
    assert_close(device.to_host(moving.variance), 0.5 + 0.5 * wide.var(0), 1e-5)
    # The gradients of the weights alone.
    arguments = on_device, None, y, Affine(), Moments(mean, inverse_std), None, None, gradient, None, True
    device.ops.batch_norm_backward(*arguments)
    normalized = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-3)
    assert_close(device.to_host(gradient), (normalized * device.to_host(y)).sum(0), 1e-5)


PRODUCTS = [  # images, size, channels, filters, kernel size, groups, ReLU; block of 128 x 16, 64 x 32 and 128 x 64
    (3, 9, 12, 16, 3, 1, False),
    (4, 9, 10, 6, 1, 2, True),
    (5, 10, 9, 36, 2, 1, True),
    (2, 33, 12, 80, 5, 1, False),
    (7, 8, 13, 23, 3, 1, False),
]


@pytest.fixture
def plain_products(monkeypatch):
    """No tensor cores; sums of small layers are not cut, which leaves no moments."""
    from minicnn.backends.cupy import products

    monkeypatch.setenv("MINICNN_TENSOR_CORES", "0")
    monkeypatch.setattr(products, "BLOCKS_WANTED", 0)
    monkeypatch.setattr(products, "LEAST_WORK_FOR_WIDE_BLOCKS", 200)


def normalized_product(case, dtype, device, rng):
    """y, what was left of it for a normalization behind it, and mean and inverse deviation that this one found."""
    from minicnn.backends.cupy.left_moments import left_moments

    images, size, channels, filters, kernel_size, groups, relu = case
    window, left = make_window((size, size), (kernel_size,) * 2, (1, 1), "same"), []
    x, kernel = (
        rng.normal(size=(images, size, size, channels)),
        rng.normal(size=(*[kernel_size] * 2, channels // groups, filters)),
    )
    x, kernel, bias, *moving = (device.asarray(a.astype(dtype)) for a in (x, kernel, *np.full((3, filters), 50.0)))
    y, mean, inverse_std = (
        device.asarray(np.full(s, np.nan, dtype)) for s in ((images, size, size, filters), *[(filters,)] * 2)
    )

    def read():
        left.extend(map(device.to_host, left_moments(y) or ()))
        averages, out = MovingAverages(*moving, 0.9), device.asarray(np.full(y.shape, np.nan, dtype))
        device.ops.batch_norm(y, out, Affine(), Moments(mean, inverse_std), averages, 1e-3, True)

    for work in device.with_moments(y, partial(device.ops.conv2d, x, kernel, bias, y, window, groups, relu), read):
        work()
    wide = [device.to_host(a).astype(np.float64) for a in (x, kernel, bias)]
    expected = np.empty(y.shape)
    reference.conv2d(*wide, expected, window, groups, relu)
    return expected, *map(device.to_host, (y, mean, inverse_std)), left


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_products_leave_moments_to_a_normalization(case, dtype, plain_products, device, rng):
    """Of each block's rows; biases are large beside the results' deviation."""
    close = CLOSE if dtype == "float32" else 1e-13
    expected, y, mean, inverse_std, left = normalized_product(case, dtype, device, rng)
    assert_close(y, expected, close)
    rows = y.reshape(-1, y.shape[-1]).astype(np.float64)
    means, squares, counts = left
    assert counts.sum() == len(rows)
    for part, own in enumerate(np.split(rows, np.cumsum(counts.astype(int))[:-1])):
        assert_close(means[part], own.mean(0), close)
        assert_close(squares[part], np.square(own - own.mean(0)).sum(0), 5 * close)
    assert_close(mean, rows.mean(0), close)
    assert_close(inverse_std, 1 / np.sqrt(rows.var(0) + 1e-3), close)


@pytest.mark.parametrize(("rows", "channels"), [(70, 5), (301, 20)])
def test_batch_normalization_in_float64_and_by_moving_averages(rows, channels, device, rng):
    x, dy, shortcut = rng.normal(size=(3, rows, channels))
    vectors = *rng.normal(size=(3, channels)), rng.uniform(1, 2, channels)
    for training in (True, False):
        found, wanted = [], []
        for ops, up, results in ((device.ops, device.asarray, found), (reference, np.array, wanted)):
            gamma, beta, *moving = map(up, vectors)
            y, dx, dadded = (up(np.full(x.shape, np.nan)) for _ in range(3))
            mean, inverse_std, dgamma, dbeta = (up(np.full(channels, np.nan)) for _ in range(4))
            affine, moments = Affine(gamma, beta, True), Moments(mean, inverse_std)
            ops.batch_norm(up(x), y, affine, moments, MovingAverages(*moving, 0.9), 1e-3, training, up(shortcut))
            weights = (dgamma, dbeta) if training else (None, None)
            ops.batch_norm_backward(up(x), y, up(dy), affine, moments, dx, dadded, *weights, training)
            results += [y, *moments, *moving, dx, dadded, *(weights if training else ())]
        for a, b in zip(found, wanted, strict=True):
            assert_close(device.to_host(a), b, 1e-12)


@pytest.mark.parametrize(("added", "training"), [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize("channels", [3, 8])
def test_a_normalization_adds_a_second_gradient(channels, added, training, device, rng):
    """The gradient is the sum of two, of which the normalization is given one with the other on its way."""
    x, shortcut, dy, more = (normal(rng, 90, channels) for _ in range(4))
    results = []
    for is_summed in (True, False):
        gamma, beta, *moving = uploaded(device, *np.ones((4, channels), np.float32))
        y, dx, dadded = (poisoned(device, x.shape) for _ in range(3))
        mean, inverse_std = (poisoned(device, (channels,)) for _ in range(2))
        arrays = device.asarray(x), y, Affine(gamma, beta, True), Moments(mean, inverse_std)
        extra, dextra = (device.asarray(shortcut), dadded) if added else (None, None)
        device.ops.batch_norm(*arrays, MovingAverages(*moving, 0.9), 1e-3, training, extra)
        given = device.asarray(dy + more if is_summed else dy)
        gradients = arrays[0], y, given, *arrays[2:], dx, dextra, None, None, training
        work = partial(device.ops.batch_norm_backward, *gradients)
        work() if is_summed else device.with_addition(given, device.asarray(more), work)
        results.append([device.to_host(array) for array in (dx, dextra) if array is not None])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(2, 8, 6, 8), (1, 7, 5, 4), (3, 2, 3, 12), (1, 7, 5, 3)], ids=str)
def test_pooling_by_pairs(shape, device, rng):
    """Of small integers, so that there are ties; rows and columns that no window covers get zeros."""
    x = rng.integers(-3, 3, shape).astype(np.float32)
    window = make_window(shape[1:3], (2, 2), (2, 2), "valid")
    small = shape[0], window.out_height, window.out_width, shape[3]
    dy, y, winner, dx = normal(rng, *small), np.empty(small, np.float32), np.empty(small, np.uint8), np.empty_like(x)
    reference.max_pool2d(x, y, winner, window)
    reference.max_pool2d_backward(dy, winner, dx, window)
    on_device = poisoned(device, small), poisoned(device, small, np.uint8), poisoned(device, shape)
    device.ops.max_pool2d(device.asarray(x), *on_device[:2], window)
    device.ops.max_pool2d_backward(device.asarray(dy), on_device[1], on_device[2], window)
    for a, b in zip(on_device, (y, winner, dx), strict=True):
        np.testing.assert_array_equal(device.to_host(a), b)


@pytest.mark.parametrize("shape", [(3, 4, 5, 33), (1, 7, 3), (5, 1, 1, 40), (2, 65, 64, 2)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_over_images(shape, dtype, device, rng):
    """The last shape has more pixels than one block adds."""
    x = rng.normal(size=shape).astype(dtype)
    small = shape[0], *[1] * (len(shape) - 2), shape[-1]
    y = device.asarray(np.full(small, np.nan, dtype))
    device.ops.pointwise_sum(y, (device.asarray(x),), "copy", factor=0.3)
    axes = tuple(range(1, len(shape) - 1))
    assert_close(device.to_host(y), 0.3 * x.sum(axes, dtype=np.float64, keepdims=True), 4e-6)


def test_what_writes_its_result_itself(device, rng):
    """Functions of two arrays, one of which may be y, or count for all of it."""
    x, other, row = normal(rng, 5, 7), normal(rng, 5, 7), normal(rng, 1, 7)
    on_device = device.asarray(x)
    device.ops.pointwise(on_device, (on_device, device.asarray(other)), "add")
    np.testing.assert_array_equal(device.to_host(on_device), x + other)
    for name, expected in (("maximum", np.maximum(x, row)), ("multiply", x * row)):
        y = poisoned(device, x.shape)
        device.ops.pointwise(y, uploaded(device, x, row), name)
        np.testing.assert_array_equal(device.to_host(y), expected)
    x[0, :3] = np.nan, 0, -0.0
    for name, inputs in (("relu", (x,)), ("relu_gradient", (x, other)), ("relu_gradient", (x, row))):
        expected = np.empty_like(x)
        reference.pointwise(expected, inputs, name)
        device.ops.pointwise(y, uploaded(device, *inputs), name)
        np.testing.assert_array_equal(device.to_host(y), expected)
    device.ops.pointwise(y, uploaded(device, row), "scale", (0.5,))
    np.testing.assert_array_equal(device.to_host(y), np.broadcast_to(row * np.float32(0.5), y.shape))


FORMULAS = {  # those of kernels of their own, in NumPy
    "relu": lambda x, _: np.maximum(x, 0),
    "relu_gradient": lambda x, dy: np.where(x <= 0, 0, dy),
    "add": np.add,
    "multiply": np.multiply,
    "added_relu": lambda x, other: np.maximum(x + other, 0),
}


@pytest.fixture
def plain_kernels(monkeypatch):
    """The names of the kernels that `pointwise` has launched itself, as it does for arrays that lie alike."""
    from minicnn.backends.cupy import pointwise

    names, launch_over = [], pointwise.launch_over

    def noted(size, file, name, *arguments):
        names.append(name)
        launch_over(size, file, name, *arguments)

    monkeypatch.setattr(pointwise, "launch_over", noted)
    return names


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 3, 4, 5, 2047, 4096, 4103])
def test_functions_of_arrays_that_lie_alike(size, dtype, name, plain_kernels, device, rng):
    """Bit for bit NumPy's, tails and addresses that are not aligned too; nothing behind the last element is written."""
    x, other = rng.normal(size=(2, size)).astype(dtype)
    special = np.array([np.nan, -0.0, 0.0, np.inf, -np.inf], dtype)
    x[-len(special) :], other[: len(special)] = special[:size], special[:size]
    with np.errstate(invalid="ignore"):
        expected = FORMULAS[name](x, other).astype(dtype)

    def check(shift, in_place):
        """Of stretches that begin so many elements after an aligned address."""
        held = [device.asarray(np.full(size + 8, 77, dtype)) for _ in range(3)]
        inputs, y = [array[shift : shift + size] for array in held[:2]], held[2][shift : shift + size]
        for to, values in zip(inputs, (x, other), strict=True):
            device.load(to, values)
        y, whole = (inputs[0], held[0]) if in_place else (y, held[2])
        device.ops.pointwise(y, tuple(inputs[: 1 if name == "relu" else 2]), name)
        found = device.to_host(whole)
        np.testing.assert_array_equal(found[shift : shift + size], expected)
        numbers = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found[shift : shift + size])[numbers], np.signbit(expected)[numbers])
        assert (found[:shift] == 77).all() and (found[shift + size :] == 77).all()

    for shift in (0, 1):
        for in_place in (False, True):
            check(shift, in_place)
    assert plain_kernels == [f"plain_{name}"] * 4


def test_arrays_that_overlap_are_none_that_lie_alike(plain_kernels, device, rng):
    """An element is read before its place in the other array is written, as in NumPy."""
    x = normal(rng, 600)
    for ahead, behind in ((slice(1, None), slice(-1)), (slice(-1), slice(1, None))):
        on_device = device.asarray(x)
        device.ops.pointwise(on_device[ahead], (on_device[behind], on_device[ahead]), "add")
        np.testing.assert_array_equal(device.to_host(on_device)[ahead], x[behind] + x[ahead])
    assert plain_kernels == []


@pytest.mark.parametrize("size", [4, 7, 2048, 2052])
def test_dropout_by_fours(size, device, rng):
    x, expected, y = normal(rng, size), np.empty(size, np.float32), poisoned(device, (size,))
    reference.dropout(x, expected, 0.3, 5, 2, 9)
    device.ops.dropout(device.asarray(x), y, 0.3, 5, 2, 9)
    np.testing.assert_array_equal(device.to_host(y), expected)


# ---------------------------------------------------------------------------------------------- mistakes in kernels


@pytest.fixture
def mistaken(monkeypatch):
    """A function that replaces a text in a kernel file, and has it compiled anew."""
    import cupy

    if cupy.__version__ != "stand-in":
        pytest.skip("what a mistake does on a device is undefined")
    from minicnn.backends.cupy import launch

    def forget():
        launch.kernel.cache_clear()
        launch._module.cache_clear()

    def replace(file, right, wrong):
        source = launch.source

        def changed(name):
            text = source(name)
            assert name != file or text.count(right) >= 1
            return text.replace(right, wrong) if name == file else text

        monkeypatch.setattr(launch, "source", changed)
        forget()

    yield replace
    monkeypatch.undo()
    forget()


LAST_BARRIER = "    wait_for_copies();\n    __syncthreads();\n    const int items"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (LAST_BARRIER, LAST_BARRIER.replace("__syncthreads();", "")),
        ("pixels[y][x] = corner[y * row + x", "pixels[y][x] = corner[x * row + y"),
        ("__shfl_xor_sync(0xffffffffu, sums[t][e], step)", "__shfl_xor_sync(0xffffffffu, sums[t][e], 2 * step)"),
    ],
    ids=["a missing barrier", "a wrong index", "a wrong lane"],
)
def test_mistakes_of_the_convolution_are_found(right, wrong, mistaken, rng, seed, monkeypatch):
    monkeypatch.setenv("MINICNN_STANDIN_SEED", str(seed % 2**31 + 1))
    mistaken("few_channels", right, wrong)
    with pytest.raises(AssertionError):
        Convolution(rng, 2, 12, 12, 6, 16, 5, "valid", True, True, True).check_forward(backends.get("cupy"))


def test_a_missing_barrier_of_a_warp_is_found(mistaken, rng, seed, monkeypatch):
    """Lanes read what others of their warp have put into shared memory."""
    monkeypatch.setenv("MINICNN_STANDIN_SEED", str(seed % 2**31 + 1))
    mistaken("dense", "    __syncwarp();\n", "")
    x, kernel, labels = normal(rng, 5, 70), normal(rng, 70, 10), rng.integers(0, 10, 5)
    logits, *_ = classes(backends.get("cupy"), x, kernel, None, labels, None)
    with pytest.raises(AssertionError):
        assert_close(logits, x.astype(np.float64) @ kernel, CLOSE)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("    __syncthreads();\n    const int channel", "    const int channel"),
        ("    }\n    __syncthreads();\n#pragma unroll", "    }\n#pragma unroll"),
        ("step = PACKS; step < 32", "step = PACKS; step < 16"),
        ("turn < PARTS_AHEAD", "turn < 1"),
    ],
    ids=["a missing barrier", "a missing second barrier", "missing lanes", "missing parts"],
)
def test_mistakes_of_batch_normalization_are_found(right, wrong, mistaken, rng, seed, monkeypatch):
    monkeypatch.setenv("MINICNN_STANDIN_SEED", str(seed % 2**31 + 1))
    mistaken("normalization", right, wrong)
    backend, x = backends.get("cupy"), normal(rng, 3000, 32)  # more parts than lines
    moments = Moments(*(poisoned(backend, (32,)) for _ in range(2)))
    moving = MovingAverages(*uploaded(backend, *np.ones((2, 32), np.float32)), 0.5)
    backend.ops.batch_norm(backend.asarray(x), poisoned(backend, x.shape), Affine(), moments, moving, 1e-3, True)
    with pytest.raises(AssertionError):
        assert_close(backend.to_host(moments.inverse_std), 1 / np.sqrt(x.var(0, dtype=np.float64) + 1e-3), 1e-6)


FIRST = "if (block.ty == 0) shift[n - block.column] = sums[0][j];\n    }\n    __syncthreads();"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (FIRST, FIRST.replace("__syncthreads();", "")),
        ("scratch[1][warp][n] = square;\n    }\n    __syncthreads();", "scratch[1][warp][n] = square;\n    }"),
        ("step = WIDTH; step < 32", "step = WIDTH; step < 16"),
        ("block.row_of(i) < span.rows ?", "block.row_of(i) <= span.rows ?"),
    ],
    ids=["a missing barrier", "a missing second barrier", "missing lanes", "a row that does not exist"],
)
def test_mistakes_of_moments_are_found(right, wrong, mistaken, plain_products, rng, seed, monkeypatch):
    monkeypatch.setenv("MINICNN_STANDIN_SEED", str(seed % 2**31 + 1))
    mistaken("products", right, wrong)
    expected, y, _, inverse_std, _ = normalized_product(
        (3, 9, 12, 20, 3, 1, False), "float32", backends.get("cupy"), rng
    )
    assert_close(y, expected, CLOSE)
    with pytest.raises(AssertionError):
        assert_close(inverse_std, 1 / np.sqrt(expected.var((0, 1, 2)) + 1e-3), CLOSE)


def test_a_missing_wait_is_found(mistaken, rng):
    """A copy that nobody waited for has not come: the stand-in ends the process, so another one tries."""
    import subprocess
    import sys
    from pathlib import Path

    code = f"""
import sys
sys.path[:0] = [{str(Path(__file__).with_name("gpu_standin"))!r}, {str(Path(__file__).parent)!r}]
from minicnn.backends.cupy import launch
source = launch.source
launch.source = lambda name: source(name).replace("    wait_for_copies();\\n    __syncthreads();\\n    const int items",
                                                  "    __syncthreads();\\n    const int items")
import numpy as np
from minicnn import backends
from test_gpu_kernels import Convolution
Convolution(np.random.default_rng(0), 1, 12, 12, 1, 4, 5, "valid", True, True, True).forward(backends.get("cupy"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "without waiting for its copies" in done.stderr


# ------------------------------------------------------------------------------------------------------------ launches


OTHERS = "cupy_", "_Z", "copy", "fill", "other"  # how names of nodes begin that are no kernels of this package


def fit_three_batches(model, batch_size, shape, **compiled):
    """The first batch runs kernel by kernel, the second one is captured."""
    x, y = np.zeros((3 * batch_size, *shape), np.float32), np.zeros(3 * batch_size, int)
    options = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile(**options | compiled, backend="cupy")
    model.fit(x, y, batch_size=batch_size, verbose=0)


@pytest.fixture
def launches(monkeypatch):
    """A function: names of the kernels that an iteration of a network launches, and the number of CuPy's launches."""
    import cupy

    yield from _on_standin(cupy, monkeypatch) if cupy.__version__ == "stand-in" else _on_device(monkeypatch)


def _on_device(monkeypatch):
    """The driver says what the graph holds."""
    from minicnn.backends.cupy.graph import CapturedGraph

    captured, capture = [], CapturedGraph.__init__

    def noted(graph, body):
        capture(graph, body)
        captured.append(names_of_nodes(graph._graph.graph))

    monkeypatch.setattr(CapturedGraph, "__init__", noted)

    def of(model, batch_size, shape, **compiled):
        captured.clear()
        fit_three_batches(model, batch_size, shape, **compiled)
        (names,) = captured
        found = ["set_iteration", *(name for name in names if not name.startswith(OTHERS))]
        return found, len(names) + 1 - len(found)

    yield of


def _on_standin(cupy, monkeypatch):
    """Nothing is computed: kernels are replaced by something that notes their names."""
    from cupy import _raw

    names = []

    class Kernel(_raw.RawKernel):
        def __call__(self, *args, **kwargs):
            names.append(self.name)
            cupy._core.execute(lambda: None)  # a node of the graph

    monkeypatch.setattr(_raw, "RawKernel", Kernel)
    from minicnn.backends.cupy import launch

    launch.kernel.cache_clear()

    def of(model, batch_size, shape, **compiled):
        names.clear()
        cupy.device.reset()
        fit_three_batches(model, batch_size, shape, **compiled)
        assert cupy.device.graphs == 2
        starts = [i for i, name in enumerate(names) if name in ("set_iteration", "begin_iteration")]
        found = names[starts[1] : starts[2]]
        return found, cupy.device.nodes // 2 - (len(found) - 1)

    yield of
    launch.kernel.cache_clear()


@pytest.fixture(params=["an A100", "an H100"])
def generation(request, monkeypatch):
    """On the stand-in, the choices of both; on a device, its own."""
    import cupy

    from minicnn.backends.cupy import tensor_cores, wgmma
    from minicnn.backends.cupy.tensor_choice import Device

    if cupy.__version__ == "stand-in":
        chosen = Device(80, 166848) if request.param == "an A100" else Device(90, 232384)
        monkeypatch.setattr(tensor_cores, "_device", lambda index: chosen)
        monkeypatch.setattr(wgmma, "_loads", lambda file, name: True)  # nothing is computed
    elif request.param != "an A100":
        pytest.skip("there is one device")


@pytest.mark.parametrize(
    ("network", "batch_size", "most"), [("LeNet-5", 128, 12), ("D0", 32, 14), ("net_1 MNIST", 128, 14)]
)
def test_launches_of_an_iteration(network, batch_size, most, launches, generation):
    """With the one before the graph, which sets the iteration's numbers; none of them is CuPy's own.

    On Hopper it prepares the weights of all convolutions, too.
    """
    found, others = launches(NETWORKS[network](mc), batch_size, (28, 28, 1))
    print(len(found), found)
    assert "prepare_weights" not in found
    assert len(found) <= most
    assert others == 0


@pytest.mark.parametrize("parts", ["names", "objects"])
def test_launches_of_a_network_of_the_room_of_keras(parts, launches):
    """Its classes are thin subclasses of the library's, for which the same kernels serve."""
    from minicnn import keras

    def measured(room):
        loss, metric = room.losses.SparseCategoricalCrossentropy(), room.metrics.SparseCategoricalAccuracy()
        compiled = {"loss": loss, "metrics": [metric]} if parts == "objects" else {}
        optimizer = room.optimizers.Adam()
        return launches(NETWORKS["LeNet-5"](room), 128, (28, 28, 1), optimizer=optimizer, **compiled)

    (found, others), (of_room, others_of_room) = measured(mc), measured(keras)
    assert of_room == found and others_of_room == others == 0


def residual(blocks, size=32, channels=16):
    """A network of residual blocks of two convolutions."""
    L = mc.layers
    h = x = L.Input((size, size, channels))
    for _ in range(blocks):
        y = L.ReLU()(L.BatchNormalization()(L.Conv2D(channels, 3, padding="same", use_bias=False)(h)))
        y = L.BatchNormalization()(L.Conv2D(channels, 3, padding="same", use_bias=False)(y))
        h = L.ReLU()(L.Add()([y, h]))
    return mc.Model(x, L.Dense(10, activation="softmax")(L.GlobalAveragePooling2D()(h)))


def test_launches_of_a_residual_block(launches, generation):
    """Of each convolution with its BatchNormalization two forward and two backward; none adds gradients.

    All gradients of kernels are one launch.
    """
    (found, others), (more, more_others) = (launches(residual(blocks), 128, (32, 32, 16)) for blocks in (2, 3))
    assert len(more) - len(found) <= 2 * (2 + 2)
    assert more.count("correlate") == 1
    assert "moments_of_parts" not in more
    assert more.count("norm_gradient_sums") == 1  # of the last block, behind which is no convolution
    assert more_others == others


def test_the_weights_of_all_layers_are_prepared_where_an_iteration_begins(launches, generation):
    """Those of Hopper's convolutions, forward and turned; an A100 has none to prepare."""
    (found, _), (more, _) = (launches(residual(blocks, 28, 128), 64, (28, 28, 128)) for blocks in (1, 2))
    assert "prepare_weights" not in found + more
    assert len(more) - len(found) <= 2 * (2 + 2)


@pytest.mark.parametrize("channels", [3, 8])
def test_a_residual_network_learns_as_on_the_processor(channels, monkeypatch, rng):
    """Its normalizations add the gradients of shortcuts, each but for the first block's, whose input has none."""
    x, labels, losses, left = normal(rng, 16, 5, 5, channels), rng.integers(0, 10, 16), [], []
    with_addition = backends.get("cupy").with_addition

    def noted(*arguments):
        left.append(1)
        with_addition(*arguments)

    monkeypatch.setattr(type(backends.get("cupy")), "with_addition", staticmethod(noted))
    models = [residual(3, 5, channels) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    for model, backend in zip(models, ("numpy", "cupy"), strict=True):
        model.compile(mc.optimizers.SGD(0.1), "sparse_categorical_crossentropy", backend=backend)
        losses.append(model.fit(x, labels, batch_size=16, epochs=3, shuffle=False, verbose=0).history["loss"])
    assert_close(*map(np.array, losses[::-1]), 1e-5)
    assert len(left) == 2 * 2  # two blocks; once kernel by kernel, once captured
