"""NASNet-A, whose cells a search has found."""

from __future__ import annotations

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.keras.applications._mobile import halving_pad


def nasnet(x: Tensor, filters: int, blocks: int, stem: int, skips: bool) -> Tensor:
    """Zoph, Vasudevan, Shlens, Le, 2018, arXiv 1707.07012.

    Parameters
    ----------
    x : Tensor (N, H, W, C)
    filters : int
        Of the last cells' output, a multiple of 96.
    blocks : int
        Cells between two that halve.
    stem : int
        Filters of the first convolution.
    skips : bool
        Whether cells behind one that halves take what was before it.
    """
    narrow = filters // 24
    x = layers.Conv2D(stem, 3, strides=2, use_bias=False, name="stem_conv1", kernel_initializer="he_normal")(x)
    x = _normalized(x, "stem_bn1")
    x, before = _reduction(x, None, narrow // 4, "stem_1")
    x, before = _reduction(x, before, narrow // 2, "stem_2")
    for stage, wide in enumerate((narrow, narrow * 2, narrow * 4)):
        if stage:
            x, last = _reduction(x, before, wide, f"reduce_{stage * blocks}")
            before = before if skips else last
        for block in range(blocks):
            x, before = _normal(x, before, wide, str(stage * blocks + block + (stage > 0)))
    return layers.Activation("relu")(x)


def _normalized(x, name):
    return layers.BatchNormalization(momentum=0.9997, epsilon=1e-3, name=name)(x)


def _projected(x, filters, name, normalized=None):
    """A convolution 1×1, and its batch normalization where that has a name."""
    options = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal", "name": name}
    x = layers.Conv2D(filters, 1, **options)(x)
    return x if normalized is None else _normalized(x, normalized)


def _separable(x, filters, kernel, name, strides=1):
    """Two separable convolutions, each behind a ReLU."""
    x, padding = layers.Activation("relu")(x), "same"
    if strides == 2:
        x, padding = layers.ZeroPadding2D(halving_pad(x, kernel), name=f"separable_conv_1_pad_{name}")(x), "valid"
    options = {"use_bias": False, "name": f"separable_conv_1_{name}"}
    x = layers.SeparableConv2D(filters, kernel, strides=strides, padding=padding, **options)(x)
    x = layers.Activation("relu")(_normalized(x, f"separable_conv_1_bn_{name}"))
    options["name"] = f"separable_conv_2_{name}"
    x = layers.SeparableConv2D(filters, kernel, padding="same", **options)(x)
    return _normalized(x, f"separable_conv_2_bn_{name}")


def _adjusted(before, x, filters, name):
    """What the cell before last gave, with the sizes and filters of this one."""
    if before is None:
        return x
    if before.shape[2] != x.shape[2]:
        before = layers.Activation("relu", name=f"adjust_relu_1_{name}")(before)
        moved = layers.Cropping2D(((1, 0), (1, 0)))(layers.ZeroPadding2D(((0, 1), (0, 1)))(before))
        parts = []
        for number, each in enumerate((before, moved), 1):
            each = layers.AveragePooling2D(1, strides=2, name=f"adjust_avg_pool_{number}_{name}")(each)
            parts.append(_projected(each, filters // 2, f"adjust_conv_{number}_{name}"))
        return _normalized(layers.Concatenate()(parts), f"adjust_bn_{name}")
    if before.shape[-1] != filters:
        before = layers.Activation("relu")(before)
        return _projected(before, filters, f"adjust_conv_projection_{name}", f"adjust_bn_{name}")
    return before


def _pooled(x, kind, name, strides=1):
    padding = "same" if strides == 1 else "valid"
    return kind(3, strides=strides, padding=padding, name=name)(x)


def _normal(x, before, filters, name):
    """A cell that keeps the size: (what it gives, what it was given)."""
    p = _adjusted(before, x, filters, name)
    h = _projected(layers.Activation("relu")(x), filters, f"normal_conv_1_{name}", f"normal_bn_1_{name}")
    mean = layers.AveragePooling2D
    made = [_separable(h, filters, 5, f"normal_left1_{name}"), _separable(p, filters, 3, f"normal_right1_{name}")]
    made += [_separable(p, filters, 5, f"normal_left2_{name}"), _separable(p, filters, 3, f"normal_right2_{name}")]
    made += [_pooled(h, mean, f"normal_left3_{name}"), p]
    made += [_pooled(p, mean, f"normal_left4_{name}"), _pooled(p, mean, f"normal_right4_{name}")]
    made += [_separable(h, filters, 3, f"normal_left5_{name}"), h]
    sums = [layers.Add(name=f"normal_add_{k + 1}_{name}")(made[2 * k : 2 * k + 2]) for k in range(5)]
    return layers.Concatenate(name=f"normal_concat_{name}")([p, *sums]), x


def _reduction(x, before, filters, name):
    """A cell that halves the size: (what it gives, what it was given)."""
    p = _adjusted(before, x, filters, name)
    h = _projected(layers.Activation("relu")(x), filters, f"reduction_conv_1_{name}", f"reduction_bn_1_{name}")
    around = layers.ZeroPadding2D(halving_pad(h, 3), name=f"reduction_pad_1_{name}")(h)
    one = [_separable(h, filters, 5, f"reduction_left1_{name}", 2), _separable(p, filters, 7, _right(1, name), 2)]
    first = layers.Add(name=f"reduction_add_1_{name}")(one)
    largest, mean = layers.MaxPooling2D, layers.AveragePooling2D
    two = [_pooled(around, largest, f"reduction_left2_{name}", 2), _separable(p, filters, 7, _right(2, name), 2)]
    second = layers.Add(name=f"reduction_add_2_{name}")(two)
    three = [_pooled(around, mean, f"reduction_left3_{name}", 2), _separable(p, filters, 5, _right(3, name), 2)]
    third = layers.Add(name=f"reduction_add3_{name}")(three)
    fourth = layers.Add()([second, _pooled(first, mean, f"reduction_left4_{name}")])
    five = [_separable(first, filters, 3, f"reduction_left4_{name}"), _pooled(around, largest, _right(5, name), 2)]
    fifth = layers.Add(name=f"reduction_add4_{name}")(five)
    return layers.Concatenate(name=f"reduction_concat_{name}")([second, third, fourth, fifth]), x


def _right(number, name):
    return f"reduction_right{number}_{name}"
