"""VGG, ResNet of both versions and DenseNet: their layers without the top."""

from __future__ import annotations

from collections.abc import Sequence

from minicnn import layers
from minicnn.graph import Tensor

_EPSILON = 1.001e-5


def _with_batch_norm(x, name, relu=None):
    """Batch normalization of this name; then a ReLU of its own."""
    x = layers.BatchNormalization(epsilon=_EPSILON, name=name)(x)
    return layers.Activation("relu", name=relu)(x) if relu else x


def _beginning(x, use_bias, pooling, normalized=True):
    """Convolution 7×7 and pooling of strides 2: (N, H, W, 3) → (N, H / 4, W / 4, 64)."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = layers.Conv2D(64, 7, strides=2, use_bias=use_bias, name="conv1_conv")(x)
    x = _with_batch_norm(x, "conv1_bn", "conv1_relu") if normalized else x
    return layers.MaxPooling2D(3, strides=2, name=pooling)(layers.ZeroPadding2D(1, name="pool1_pad")(x))


def vgg(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Blocks of convolutions 3×3, each halved: Simonyan, Zisserman, 2015, arXiv 1409.1556."""
    for block, (size, filters) in enumerate(zip(sizes, (64, 128, 256, 512, 512), strict=True), 1):
        for i in range(1, size + 1):
            x = layers.Conv2D(filters, 3, activation="relu", padding="same", name=f"block{block}_conv{i}")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return x


def vgg_top(x: Tensor) -> Tensor:
    """Two dense layers."""
    x = layers.Flatten(name="flatten")(x)
    return layers.Dense(4096, activation="relu", name="fc2")(layers.Dense(4096, activation="relu", name="fc1")(x))


def resnet(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Stacks of bottlenecks: He, Zhang, Ren, Sun, 2016, arXiv 1512.03385; the strides are the first convolution's."""
    x = _beginning(x, use_bias=True, pooling="pool1_pool")
    for stack, (size, filters) in enumerate(zip(sizes, (64, 128, 256, 512), strict=True), 2):
        for block in range(1, size + 1):
            strides = 2 if block == 1 and stack > 2 else 1
            x = _bottleneck(x, filters, strides, block == 1, f"conv{stack}_block{block}")
    return x


def _bottleneck(x, filters, strides, widens, name):
    shortcut = x
    if widens:
        shortcut = layers.Conv2D(4 * filters, 1, strides=strides, name=f"{name}_0_conv")(x)
        shortcut = _with_batch_norm(shortcut, f"{name}_0_bn")
    x = layers.Conv2D(filters, 1, strides=strides, name=f"{name}_1_conv")(x)
    x = _with_batch_norm(x, f"{name}_1_bn", f"{name}_1_relu")
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = _with_batch_norm(x, f"{name}_2_bn", f"{name}_2_relu")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, _with_batch_norm(x, f"{name}_3_bn")])
    return layers.Activation("relu", name=f"{name}_out")(x)


def resnet_v2(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Bottlenecks that normalize first: He, Zhang, Ren, Sun, 2016, arXiv 1603.05027; a stack's last block halves."""
    x = _beginning(x, use_bias=True, pooling="pool1_pool", normalized=False)
    for stack, (size, filters) in enumerate(zip(sizes, (64, 128, 256, 512), strict=True), 2):
        for block in range(1, size + 1):
            strides = 2 if block == size and stack < 5 else 1
            x = _normalized_bottleneck(x, filters, strides, block == 1, f"conv{stack}_block{block}")
    return _with_batch_norm(x, "post_bn", "post_relu")


def _normalized_bottleneck(x, filters, strides, widens, name):
    active = _with_batch_norm(x, f"{name}_preact_bn", f"{name}_preact_relu")
    shortcut = layers.MaxPooling2D(1, strides=strides)(x) if strides > 1 else x
    if widens:
        shortcut = layers.Conv2D(4 * filters, 1, strides=strides, name=f"{name}_0_conv")(active)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(active)
    x = _with_batch_norm(x, f"{name}_1_bn", f"{name}_1_relu")
    x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    x = layers.Conv2D(filters, 3, strides=strides, use_bias=False, name=f"{name}_2_conv")(x)
    x = _with_batch_norm(x, f"{name}_2_bn", f"{name}_2_relu")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    return layers.Add(name=f"{name}_out")([shortcut, x])


def densenet(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Blocks whose layers see all before them: Huang, Liu, van der Maaten, Weinberger, 2017, arXiv 1608.06993."""
    x = _beginning(x, use_bias=False, pooling="pool1")
    for block, size in enumerate(sizes, 2):
        for i in range(1, size + 1):
            x = _grown(x, f"conv{block}_block{i}")
        if block <= len(sizes):
            name = f"pool{block}"
            made = _with_batch_norm(x, f"{name}_bn", f"{name}_relu")
            made = layers.Conv2D(x.shape[-1] // 2, 1, use_bias=False, name=f"{name}_conv")(made)
            x = layers.AveragePooling2D(2, name=f"{name}_pool")(made)
    return _with_batch_norm(x, "bn", "relu")


def _grown(x, name):
    """x and 32 channels more."""
    made = _with_batch_norm(x, f"{name}_0_bn", f"{name}_0_relu")
    made = layers.Conv2D(128, 1, use_bias=False, name=f"{name}_1_conv")(made)
    made = _with_batch_norm(made, f"{name}_1_bn", f"{name}_1_relu")
    made = layers.Conv2D(32, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(made)
    return layers.Concatenate(name=f"{name}_concat")([x, made])
