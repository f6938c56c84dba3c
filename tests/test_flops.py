"""Floating-point operations of layers, counted one by one, and where they are written."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers as L
from minicnn.models.flops import graph_flops


def counted(x_shape, kernel_size, strides, padding, pairs):
    """Multiplications and additions of a convolution: a loop over its places, with `pairs` of channels and filters."""
    total, is_same = 0, padding == "same"
    sizes = [-(-n // strides) if is_same else (n - k) // strides + 1 for n, k in zip(x_shape, kernel_size, strict=True)]
    for _ in np.ndindex(*sizes):
        for _ in np.ndindex(*kernel_size):
            total += 2 * pairs
    return total, int(np.prod(sizes))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2])
def test_convolutions(padding, strides):
    for layer, pairs, channels in (
        (L.Conv2D(6, (3, 2), strides=strides, padding=padding), 4 * 6, 6),
        (L.Conv2D(6, (3, 2), strides=strides, padding=padding, groups=2), 2 * 6, 6),
        (L.DepthwiseConv2D((3, 2), strides=strides, padding=padding, depth_multiplier=3), 4 * 3, 12),
    ):
        model = mc.Sequential([mc.Input(shape=(9, 8, 4)), layer])
        products, places = counted((9, 8), (3, 2), strides, padding, pairs)
        assert graph_flops(model.graph) == products + places * channels  # and a bias for each number
    separable = mc.Sequential([mc.Input(shape=(9, 8, 4)), L.SeparableConv2D(6, 3, use_bias=False)])
    assert graph_flops(separable.graph) == counted((9, 8), (3, 3), 1, "valid", 4)[0] + 42 * 2 * 4 * 6
    transposed = mc.Sequential([mc.Input(shape=(5, 4, 3)), L.Conv2DTranspose(2, 3, use_bias=False)])
    assert graph_flops(transposed.graph) == 20 * 9 * 2 * 3 * 2


def test_other_layers():
    def of(*stack, shape=(8, 6, 4)):
        return graph_flops(mc.Sequential([mc.Input(shape=shape), *stack]).graph)

    assert of(L.Dense(5), shape=(7,)) == 2 * 7 * 5 + 5
    assert of(L.Dense(5, activation="relu", use_bias=False), shape=(3, 7)) == 3 * (2 * 7 * 5 + 5)
    assert of(L.Conv1D(5, 3), shape=(9, 2)) == 7 * (2 * 3 * 2 * 5 + 5)
    assert of(L.MaxPooling2D(2)) == 4 * 3 * 4 * 4
    assert of(L.GlobalAveragePooling2D()) == 8 * 6 * 4
    assert of(L.BatchNormalization()) == 2 * 8 * 6 * 4
    assert of(L.ReLU()) == 8 * 6 * 4
    assert of(L.Conv2DTranspose(2, (3, 5), use_bias=False), shape=(5, 4, 7)) == 5 * 4 * 2 * (3 * 5 * 7 * 2)
    assert of(L.TimeDistributed(L.Conv1D(5, 3)), shape=(6, 9, 2)) == 6 * 7 * (2 * 3 * 2 * 5 + 5)
    assert of(L.Flatten(), L.Dropout(0.5), L.Reshape((4, 48))) == 0
    assert of(L.RandomFlip(), L.ZeroPadding2D(1)) == 0


def test_channels_first_is_the_same_work():
    first = mc.Sequential([mc.Input(shape=(3, 9, 8)), L.Conv2D(4, 3, data_format="channels_first")])
    last = mc.Sequential([mc.Input(shape=(9, 8, 3)), L.Conv2D(4, 3)])
    assert graph_flops(first.graph) == graph_flops(last.graph)


class Doubled(L.Layer):
    """A layer of one's own."""

    def build(self, input_shapes):
        return input_shapes[0]

    def forward(self, xs, ws):
        ws.y[...] = 2 * xs[0]

    def backward(self, dy, ws):
        ws.dxs[0][...] = 2 * dy


class Counted(Doubled):
    """One that says what it does."""

    def flops(self, input_shapes, output_shape):
        return 7 * int(np.prod(output_shape))


def summary(model):
    lines = []
    model.summary(print_fn=lines.append, flops=True)
    return "\n".join(lines)


def test_summary_has_a_column_and_a_sum():
    inner = mc.Sequential([mc.Input(shape=(6, 6, 1)), L.Conv2D(2, 3, name="inside")], name="base")
    image = mc.Input(shape=(6, 6, 1))
    both = L.Add(name="sum")([inner(image), inner(image)])
    text = summary(mc.Model(image, L.Dense(3, name="top")(L.Flatten()(both))))
    conv = 16 * (2 * 9 * 2 + 2)
    assert f"{2 * conv:,}" in next(line for line in text.splitlines() if "base (Sequential)" in line)
    assert f"Total FLOPs: {2 * conv + 32 + 2 * 32 * 3 + 3:,} (one sample)" in text
    plain = []
    mc.Sequential([mc.Input(shape=(4,)), L.Dense(2)]).summary(print_fn=plain.append)
    assert "FLOPs" not in "\n".join(plain)


def test_what_is_not_known_is_a_question_mark():
    text = summary(mc.Sequential([mc.Input(shape=(4,)), Doubled(name="mine"), L.Dense(2)]))
    assert next(line for line in text.splitlines() if "mine" in line).rstrip(" │").endswith("?")
    assert "Total FLOPs: ?" in text
    assert "Total FLOPs: 28 " in summary(mc.Sequential([mc.Input(shape=(4,)), Counted()]))
    assert "Total FLOPs: ?" in summary(mc.Sequential([mc.Input(shape=(None, None, 1)), L.Conv2D(2, 3)]))
