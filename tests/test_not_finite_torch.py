"""NaN and infinity spread as in PyTorch, in float64, where it is installed: one pixel that is not finite, every layer.

The oracle is PyTorch's own layer with the same weights; compared is which outputs are NaN, which infinite, and the
numbers of the rest. `test_not_finite.py` has the gradients, and formulas for those who have no PyTorch.
"""

import contextlib

import numpy as np
import pytest

numba = pytest.importorskip("numba")
torch = pytest.importorskip("torch")

from kernel_checks import aligned
from test_not_finite import COLUMNS, PLAIN, POOLED, VALUES, assert_same, forced

import minicnn as mc
from minicnn import backends, layers
from minicnn.geometry import make_window

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::RuntimeWarning")]
F = torch.nn.functional
SHAPE = (8, 7, 4)
BACKENDS = ["numba", "numpy"]


def first(x):
    """Channels first."""
    return torch.movedim(x, -1, 1)


def last(x):
    return torch.movedim(x, 1, -1)


def bad_pixels(rng, shape, count=3):
    """(value, images with one such number), at the first pixel, the last, and any."""
    size = int(np.prod(shape))
    for value in VALUES:
        for place in (0, size - 1, *rng.integers(size, size=count - 2)):
            x = rng.standard_normal((2, *shape)).astype(np.float32)
            x[1].reshape(-1)[place] = value
            yield value, x


# ------------------------------------------------------------------------------------------- every choice of a kernel


def torch_convolution(x, kernel, bias, window):
    pads = window.pad_left, window.pad_right, window.pad_top, window.pad_bottom
    return F.conv2d(
        F.pad(first(torch.tensor(x, dtype=torch.float64)), pads),
        torch.tensor(kernel, dtype=torch.float64).permute(3, 2, 0, 1),
        torch.tensor(bias, dtype=torch.float64),
        (window.stride_y, window.stride_x),
        dilation=(window.dilation_y, window.dilation_x),
    )


FURTHER = {
    "1 x 1": (make_window((6, 7), (1, 1), (1, 1), "valid"), 5, 17, ()),
    "dilated": (make_window((9, 8), (3, 2), (1, 1), "same", (2, 3)), 4, 9, ()),
    "all by themselves": (make_window((14, 14), (3, 3), (1, 1), "same"), 64, 64, None),
    "columns of 5 x 5": (make_window((6, 6), (5, 5), (1, 1), "valid"), 8, 16, (COLUMNS,)),
}


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", [*PLAIN, *FURTHER])
def test_convolution(name, relu):
    window, channels, filters, decisions = {**PLAIN, **FURTHER}[name]
    rng = np.random.default_rng(len(name))
    kernel, bias = (
        aligned(rng.standard_normal(s).astype(np.float32))
        for s in ((window.kernel_height, window.kernel_width, channels, filters), (filters,))
    )
    for value, x in bad_pixels(rng, (window.in_height, window.in_width, channels), 6):
        expected = torch_convolution(x, kernel, bias, window)
        y = aligned(np.empty((2, window.out_height, window.out_width, filters), np.float32))
        with contextlib.nullcontext() if decisions is None else forced(*decisions):
            backends.get("numba").ops.conv2d(aligned(x), kernel, bias, y, window, relu=relu)
        assert_same(y, last(F.relu(expected) if relu else expected), f"{name}, {value}")


FURTHER_POOLED = {"by itself": (make_window((12, 12), (3, 3), (1, 1), "same"), 16, 32, None)}


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", [*POOLED, *FURTHER_POOLED])
def test_convolution_with_pooling(name, relu):
    window, channels, filters, decisions = {**POOLED, **FURTHER_POOLED}[name]
    pool = make_window((window.out_height, window.out_width), (2, 2), (2, 2), "valid")
    rng = np.random.default_rng(len(name))
    kernel, bias = (
        aligned(rng.standard_normal(s).astype(np.float32))
        for s in ((window.kernel_height, window.kernel_width, channels, filters), (filters,))
    )
    for value, x in bad_pixels(rng, (window.in_height, window.in_width, channels), 6):
        full = torch_convolution(x, kernel, bias, window)
        expected = F.max_pool2d(F.relu(full) if relu else full, 2)
        y = aligned(np.empty((2, pool.out_height, pool.out_width, filters), np.float32))
        winner = aligned(np.empty(y.shape, np.uint8))
        with contextlib.nullcontext() if decisions is None else forced(*decisions):
            backends.get("numba").ops.conv2d_pool(aligned(x), kernel, bias, y, winner, window, pool, relu)
        assert_same(y, last(expected), f"{name}, {value}")


# -------------------------------------------------------------------------------------------------------- every layer


def convolution(function, order, **options):
    """A layer's formula from PyTorch's function, and the order that it wants the kernel's axes in."""

    def formula(x, weights):
        kernel, bias = weights
        return last(function(first(x), kernel.permute(*order), bias, **options))

    return formula


def depthwise(x, weights):
    kernel, bias = weights  # (3, 3, 4, 2)
    return last(F.conv2d(first(x), kernel.permute(2, 3, 0, 1).reshape(8, 1, 3, 3), bias, groups=4, padding=1))


def separable(x, weights):
    depth, point, bias = weights
    y = F.conv2d(first(x), depth.permute(2, 3, 0, 1).reshape(4, 1, 3, 3), groups=4)
    return last(F.conv2d(y, point.permute(3, 2, 0, 1), bias))


def normalized(x, weights):
    gamma, beta, mean, variance = weights
    return last(F.batch_norm(first(x), mean, variance, gamma, beta, eps=1e-3))


def in_groups(x, weights):
    return last(F.group_norm(first(x), 2, *weights, eps=1e-3))


def pointwise(function, **options):
    return lambda x, weights: function(x, **options)


def of_images(function, *arguments, **options):
    return lambda x, weights: last(function(first(x), *arguments, **options))


def keras_activation(name):
    return layers.Activation, {"activation": name}


LAYERS = {
    "Conv2D": (layers.Conv2D, {"filters": 5, "kernel_size": 3}, convolution(F.conv2d, (3, 2, 0, 1))),
    "Conv2D, strides": (
        layers.Conv2D,
        {"filters": 5, "kernel_size": 3, "strides": (2, 1)},
        convolution(F.conv2d, (3, 2, 0, 1), stride=(2, 1)),
    ),
    "Conv2D, dilated": (
        layers.Conv2D,
        {"filters": 5, "kernel_size": 3, "dilation_rate": 2},
        convolution(F.conv2d, (3, 2, 0, 1), dilation=2),
    ),
    "Conv2D, groups": (
        layers.Conv2D,
        {"filters": 6, "kernel_size": 3, "groups": 2, "padding": "same"},
        convolution(F.conv2d, (3, 2, 0, 1), groups=2, padding=1),
    ),
    "Conv2D, 1 x 1": (layers.Conv2D, {"filters": 5, "kernel_size": 1}, convolution(F.conv2d, (3, 2, 0, 1))),
    "DepthwiseConv2D": (
        layers.DepthwiseConv2D,
        {"kernel_size": 3, "depth_multiplier": 2, "padding": "same"},
        depthwise,
    ),
    "SeparableConv2D": (layers.SeparableConv2D, {"filters": 5, "kernel_size": 3}, separable),
    "Conv2DTranspose": (
        layers.Conv2DTranspose,
        {"filters": 3, "kernel_size": 3},
        convolution(F.conv_transpose2d, (3, 2, 0, 1)),
    ),
    "Conv2DTranspose, strides": (
        layers.Conv2DTranspose,
        {"filters": 3, "kernel_size": 3, "strides": 2},
        convolution(F.conv_transpose2d, (3, 2, 0, 1), stride=2),
    ),
    "Dense": (layers.Dense, {"units": 6}, lambda x, w: F.linear(x, w[0].T, w[1])),
    "MaxPooling2D": (layers.MaxPooling2D, {}, of_images(F.max_pool2d, 2)),
    "MaxPooling2D, overlapping": (
        layers.MaxPooling2D,
        {"pool_size": 3, "strides": 2},
        of_images(F.max_pool2d, 3, 2),
    ),
    "AveragePooling2D": (layers.AveragePooling2D, {}, of_images(F.avg_pool2d, 2)),
    "AveragePooling2D, overlapping": (
        layers.AveragePooling2D,
        {"pool_size": 3, "strides": 1},
        of_images(F.avg_pool2d, 3, 1),
    ),
    "GlobalAveragePooling2D": (layers.GlobalAveragePooling2D, {}, lambda x, w: x.mean(dim=(1, 2))),
    "GlobalMaxPooling2D": (layers.GlobalMaxPooling2D, {}, lambda x, w: x.amax(dim=(1, 2))),
    "BatchNormalization": (layers.BatchNormalization, {}, normalized),
    "LayerNormalization": (layers.LayerNormalization, {}, lambda x, w: F.layer_norm(x, (4,), *w, eps=1e-3)),
    "GroupNormalization": (layers.GroupNormalization, {"groups": 2}, in_groups),
    "RMSNormalization": (
        layers.RMSNormalization,
        {"epsilon": 1e-3},
        lambda x, w: F.rms_norm(x, (4,), *w, eps=1e-3),
    ),
    "UnitNormalization": (layers.UnitNormalization, {}, lambda x, w: x * (x * x).sum(-1, keepdim=True).rsqrt()),
    "PReLU": (
        layers.PReLU,
        {"shared_axes": [1, 2]},
        lambda x, w: last(F.prelu(first(x), w[0].reshape(-1))),
    ),
    "LeakyReLU": (layers.LeakyReLU, {"negative_slope": 0.25}, pointwise(F.leaky_relu, negative_slope=0.25)),
    "ELU": (layers.ELU, {"alpha": 0.5}, pointwise(F.elu, alpha=0.5)),
    "ReLU6": (layers.ReLU, {"max_value": 6.0}, pointwise(F.relu6)),
    "Softmax": (layers.Softmax, {}, pointwise(F.softmax, dim=-1)),
    "LogSoftmax": (layers.LogSoftmax, {}, pointwise(F.log_softmax, dim=-1)),
    **{
        name: (*keras_activation(name), pointwise(function))
        for name, function in {
            "relu": F.relu,
            "sigmoid": torch.sigmoid,
            "tanh": torch.tanh,
            "selu": F.selu,
            "gelu": F.gelu,
            "softplus": F.softplus,
            "softsign": F.softsign,
            "silu": F.silu,
            "mish": F.mish,
            "celu": F.celu,
            "hard_sigmoid": F.hardsigmoid,
            "hard_silu": F.hardswish,
            "hard_tanh": F.hardtanh,
            "log_sigmoid": F.logsigmoid,
            "soft_shrink": F.softshrink,
            "hard_shrink": F.hardshrink,
            "tanh_shrink": F.tanhshrink,
            "exponential": torch.exp,
        }.items()
    },
    "UpSampling2D": (layers.UpSampling2D, {}, of_images(F.interpolate, scale_factor=2)),
    "ZeroPadding2D": (layers.ZeroPadding2D, {}, of_images(F.pad, (1, 1, 1, 1))),
    "Cropping2D": (layers.Cropping2D, {"cropping": 1}, lambda x, w: x[:, 1:-1, 1:-1]),
    "Flatten": (layers.Flatten, {}, lambda x, w: x.flatten(1)),
    "Permute": (layers.Permute, {"dims": (3, 1, 2)}, lambda x, w: x.permute(0, 3, 1, 2)),
    "Rescaling": (layers.Rescaling, {"scale": 2.0, "offset": 1.0}, lambda x, w: 2 * x + 1),
}
"""Layer, its arguments, and the formula (x, weights) → y with PyTorch's functions."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, backend):
    layer_class, arguments, formula = LAYERS[name]
    rng = np.random.default_rng(len(name))
    model = mc.Sequential([mc.Input(SHAPE), layer_class(**arguments)])
    weights = [rng.uniform(0.5, 1.5, w.shape) * rng.choice([1, 1 if "variance" in w.name else -1], w.shape)
               for w in model.weights]  # fmt: skip
    model.set_weights(weights)
    mc.set_backend(backend)
    tensors = [torch.tensor(w) for w in model.get_weights()]
    tensors = [t.to(torch.float64) for t in tensors]
    for value, x in bad_pixels(rng, SHAPE):
        expected = formula(torch.tensor(x, dtype=torch.float64), tensors)
        assert_same(model.predict(x), expected, f"{name}, {value}")


MERGES = {
    "Add": (layers.Add, torch.add),
    "Subtract": (layers.Subtract, torch.sub),
    "Multiply": (layers.Multiply, torch.mul),
    "Maximum": (layers.Maximum, torch.maximum),
    "Minimum": (layers.Minimum, torch.minimum),
    "Average": (layers.Average, lambda a, b: (a + b) / 2),
    "Concatenate": (layers.Concatenate, lambda a, b: torch.cat([a, b], dim=-1)),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MERGES)
def test_merging(name, backend):
    layer_class, function = MERGES[name]
    rng = np.random.default_rng(len(name))
    inputs = [mc.Input(SHAPE) for _ in range(2)]
    model = mc.Model(inputs, layer_class()(inputs))
    mc.set_backend(backend)
    for value, x in bad_pixels(rng, SHAPE):
        other = rng.standard_normal(x.shape).astype(np.float32)
        for pair in ([x, other], [other, x]):
            expected = function(*(torch.tensor(a, dtype=torch.float64) for a in pair))
            assert_same(model.predict(pair), expected, f"{name}, {value}")


@pytest.mark.parametrize("backend", BACKENDS)
def test_batch_normalization_of_a_batch(backend):
    """In training the statistics are those of the batch: of the channel with the pixel, all is NaN."""
    rng = np.random.default_rng(5)
    for value, x in bad_pixels(rng, SHAPE):
        expected = F.batch_norm(first(torch.tensor(x, dtype=torch.float64)), None, None, training=True, eps=1e-3)
        model = mc.Sequential([mc.Input(SHAPE), layers.BatchNormalization()])
        mc.set_backend(backend)
        assert_same(model(x, training=True), last(expected), f"{value}")


@pytest.mark.parametrize("stack", ["Conv2D, ReLU, pooling", "Conv2D, normalization, ReLU, pooling", "Conv2D, ELU"])
def test_fused_layers(stack):
    """What one kernel does for several layers, at sizes where each algorithm is chosen."""
    rng = np.random.default_rng(len(stack))
    for shape, filters in (((9, 8, 1), 6), ((10, 10, 3), 16), ((12, 12, 16), 32), ((7, 7, 32), 64)):
        steps = [layers.Conv2D(filters, 3, padding="same")]
        steps += [layers.BatchNormalization()] if "normalization" in stack else []
        steps += [layers.ReLU(), layers.MaxPooling2D()] if "ReLU" in stack else [layers.ELU()]
        model = mc.Sequential([mc.Input(shape), *steps])
        mc.set_backend("numba")
        model.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in model.weights])
        kernel, bias, *rest = (torch.tensor(w).to(torch.float64) for w in model.get_weights())
        for value, x in bad_pixels(rng, shape, 4):
            y = F.conv2d(first(torch.tensor(x, dtype=torch.float64)), kernel.permute(3, 2, 0, 1), bias, padding=1)
            if rest:
                gamma, beta, mean, variance = rest
                y = F.batch_norm(y, mean, variance, gamma, beta, eps=1e-3)
            y = F.max_pool2d(F.relu(y), 2) if "ReLU" in stack else F.elu(y)
            assert_same(model.predict(x), last(y), f"{stack}, {shape}, {value}")
