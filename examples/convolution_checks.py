"""The numbers that the documents print on convolution and pooling, or that follow from what they say.

convolution_basics.py checks them.
"""

import numpy as np

import minicnn as mc
from minicnn import functional, layers

EDGES_OF_A = [[-1.2, -0.6, 0.6, 1.2], [-1.2, 0.6, -0.6, 1.2], [-1.2, 1.2, -1.2, 1.2], [-0.6, 1.2, -1.2, 0.6]]
MAXIMA = [[12, 55, 62], [67, 53, 27], [53, 75, 62]]
MEANS = [[7.75, 18.25, 24.75], [37, 29.75, 23], [26.75, 30.75, 35]]


class Checks(dict):
    """Title of each check → whether the number is right."""

    def add(self, title, computed, expected):
        """Compare, print a line and remember whether it is right."""
        computed, expected = np.asarray(computed), np.asarray(expected)
        self[title] = computed.shape == expected.shape and bool(np.allclose(computed, expected, rtol=0, atol=1e-5))
        print(f"{'right' if self[title] else 'WRONG'}  {title}")
        if not self[title]:
            print(f"computed:\n{computed}\nexpected:\n{expected}")


def output_shape(size, layer, channels=1):
    """What a layer makes of square images, without the batch axis."""
    return mc.Sequential([mc.Input(shape=(size, size, channels)), layer]).output_shape[1:]


def check_all(letter, kernel, regions, picture, filtered, rng):
    """`Checks` of the letter A and the kernel for its edges, of the image to be pooled, and of a filtered picture."""
    checks, conv2d, conv = Checks(), functional.conv2d, layers.Conv2D
    edges = conv2d(letter, kernel)
    checks.add("kernel on the letter A: 6x6 gives 4x4", edges, EDGES_OF_A)
    checks.add("its first value is the sum of products", edges[0, 0], (letter[:3, :3] * kernel).sum())
    positive = np.where(np.array(EDGES_OF_A) > 0, EDGES_OF_A, 0)
    checks.add("ReLU keeps what is above zero", functional.relu(edges), positive)
    image, colours = rng.random((6, 6, 3)), rng.normal(size=(3, 3, 3))  # a kernel for each channel
    channels = sum(conv2d(image[..., c], colours[..., c]) for c in range(3))
    checks.add("colour: the channels' results are added", conv2d(image, colours[..., None])[..., 0], channels)

    checks.add("a grey 28x28 image has 784 inputs", output_shape(28, layers.Flatten()), (784,))
    checks.add("a colour one has 2352", output_shape(28, layers.Flatten(), 3), (2_352,))
    checks.add("28x28 without padding gives 26x26", output_shape(28, conv(1, 3)), (26, 26, 1))
    checks.add("padding='same' keeps 28x28", output_shape(28, conv(1, 3, padding="same")), (28, 28, 1))
    checks.add("two filters on 64x64", output_shape(64, conv(2, (3, 3), padding="same")), (64, 64, 2))
    checks.add("6x6 padded by 1 (8x8), stride 2: 3x3", output_shape(8, conv(1, 3, strides=2)), (3, 3, 1))
    checks.add("ten stacked kernels on 6x6: 4x4x10", output_shape(6, conv(10, 3)), (4, 4, 10))
    maps = np.prod(output_shape(28, conv(32, 3, padding="same")))
    checks.add("32 feature maps of 28x28: 25088 activations", maps, 25_088)
    checks.add("2x2 pooling leaves 6272 of them", np.prod(output_shape(28, layers.MaxPooling2D(2), 32)), 6_272)

    checks.add("max pooling of the 6x6 example", functional.max_pool2d(regions, 2), MAXIMA)
    checks.add("average pooling of it", functional.avg_pool2d(regions, 2), MEANS)
    lenet5 = mc.Sequential([mc.Input(shape=(28, 28, 1)), conv(6, 5), layers.MaxPooling2D(), conv(16, 5)])
    counts = [layer.count_params() for layer in lenet5.layers if layer.count_params()]
    checks.add("LeNet-5's filters: 156 and 2416 parameters", counts, [156, 2_416])  # (5x5xchannels + 1) a filter
    image, first, second = rng.random((9, 9)), rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    together = conv2d(np.pad(first, 2), second[::-1, ::-1])  # each tap of one times each of the other
    checks.add("two convolutions are one of 5x5", conv2d(conv2d(image, first), second), conv2d(image, together))
    checks.add("the identity kernel changes nothing", filtered["identity"], picture)
    checks.add("blur is the mean of 3x3 pixels", filtered["blur"][13, 13], picture[12:15, 12:15].mean())
    return checks
