"""Layers with the options that users set, for what Keras computes with them. No tests here.

`golden/make_keras_layers.py` notes it down, `test_layers_as_in_keras.py` compares. The numbers of inputs and weights
are formulas, so that both have them.
"""

import numpy as np

FIRST = "channels_first"
BATCH = 2

_CONV1 = [
    ({"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "tanh"}, (8, 2)),
    ({"filters": 4, "kernel_size": 2, "dilation_rate": 2, "padding": "causal", "groups": 2, "use_bias": False}, (7, 4)),
    ({"filters": 2, "kernel_size": 2, "data_format": FIRST, "activation": "softmax"}, (3, 5)),
]
_CONV2 = [
    ({"filters": 3, "kernel_size": (3, 2), "strides": (2, 1), "padding": "same", "activation": "tanh"}, (7, 1, 2)),
    ({"filters": 4, "kernel_size": 2, "dilation_rate": (2, 1), "groups": 2, "use_bias": False}, (5, 4, 4)),
    ({"filters": 4, "kernel_size": 2, "strides": 2, "data_format": FIRST, "activation": "softmax"}, (2, 5, 6)),
    ({"filters": 4, "kernel_size": 3, "padding": "same", "dilation_rate": 2, "activation": "relu6"}, (6, 5, 3)),
]
_CONV3 = [
    (
        {"filters": 3, "kernel_size": (3, 2, 1), "strides": (2, 1, 2), "padding": "same", "activation": "tanh"},
        (5, 1, 4, 2),
    ),
    ({"filters": 4, "kernel_size": 2, "dilation_rate": (2, 1, 1), "groups": 2, "use_bias": False}, (4, 3, 3, 4)),
    ({"filters": 4, "kernel_size": 2, "strides": 2, "data_format": FIRST, "activation": "softmax"}, (2, 3, 4, 5)),
    ({"filters": 2, "kernel_size": 3, "padding": "same", "dilation_rate": 2, "activation": "relu6"}, (4, 3, 5, 3)),
]
_DEPTHWISE1 = [
    ({"kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 2, "activation": "swish"}, (8, 2)),
    ({"kernel_size": 2, "dilation_rate": 2, "data_format": FIRST, "use_bias": False}, (3, 7)),
]
_DEPTHWISE2 = [
    ({"kernel_size": (3, 2), "strides": 2, "padding": "same", "depth_multiplier": 2, "activation": "swish"}, (7, 1, 2)),
    ({"kernel_size": 2, "dilation_rate": 2, "data_format": FIRST, "use_bias": False}, (3, 6, 5)),
]
_TRANSPOSED1 = [
    ({"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "elu"}, (4, 2)),
    ({"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 1, "data_format": FIRST}, (3, 4)),
]
_TRANSPOSED2 = [
    ({"filters": 3, "kernel_size": (3, 2), "strides": 2, "padding": "same", "activation": "elu"}, (4, 1, 2)),
    ({"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 1, "data_format": FIRST}, (3, 4, 3)),
]
_TRANSPOSED3 = [
    ({"filters": 3, "kernel_size": (3, 2, 1), "strides": 2, "padding": "same", "activation": "elu"}, (2, 3, 1, 2)),
    ({"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 1, "data_format": FIRST}, (3, 2, 3, 2)),
]
_POOL1 = [
    ({"pool_size": 3, "strides": 2, "padding": "same"}, (8, 2)),
    ({"pool_size": 2, "strides": 1, "data_format": FIRST}, (3, 5)),
]
_POOL2 = [
    ({"pool_size": (3, 2), "strides": (2, 1), "padding": "same"}, (7, 1, 3)),
    ({"pool_size": 2, "strides": 1, "data_format": FIRST}, (3, 4, 5)),
    ({"pool_size": (1, 4)}, (3, 9, 1)),
]
_POOL3 = [
    ({"pool_size": (3, 2, 1), "strides": (2, 1, 2), "padding": "same"}, (5, 1, 4, 3)),
    ({"pool_size": 2, "strides": 1, "data_format": FIRST}, (3, 3, 2, 4)),
    ({"pool_size": (1, 2, 3)}, (2, 4, 7, 1)),
]
_GLOBAL1 = [({"keepdims": True}, (5, 3)), ({"data_format": FIRST}, (4, 1))]
_GLOBAL2 = [({"keepdims": True}, (5, 1, 3)), ({"data_format": FIRST}, (4, 3, 2))]
_GLOBAL3 = [({"keepdims": True}, (2, 5, 1, 3)), ({"data_format": FIRST}, (4, 2, 3, 2))]
_SCALED = {"center": False, "scale": False}
_HEADS = (3, 4), (5, 2)

_CASES = {
    "Activation": [({"activation": name}, (3, 4)) for name in ("gelu", "log_softmax", "hard_sigmoid", "mish", "celu")],
    "ReLU": [({"max_value": 0.5, "negative_slope": 0.1, "threshold": 0.2}, (3, 4))],
    "Softmax": [({"axis": 1}, (3, 4)), ({"axis": [1, 2]}, (3, 4, 2))],
    "ActivityRegularization": [({"l1": 0.05, "l2": 0.3}, (3, 4))],
    "AdaptiveAveragePooling1D": [({"output_size": 3}, (7, 2)), ({"output_size": 2, "data_format": FIRST}, (2, 5))],
    "AdaptiveAveragePooling2D": [
        ({"output_size": (3, 2)}, (7, 5, 2)),
        ({"output_size": 2, "data_format": FIRST}, (2, 5, 3)),
    ],
    "AdaptiveMaxPooling1D": [({"output_size": 3}, (7, 2)), ({"output_size": 2, "data_format": FIRST}, (2, 5))],
    "AdaptiveMaxPooling2D": [
        ({"output_size": (3, 2)}, (7, 5, 2)),
        ({"output_size": 2, "data_format": FIRST}, (2, 5, 3)),
    ],
    "AdaptiveAveragePooling3D": [
        ({"output_size": (2, 3, 2)}, (5, 4, 3, 2)),
        ({"output_size": 2, "data_format": FIRST}, (2, 3, 5, 4)),
    ],
    "AdaptiveMaxPooling3D": [
        ({"output_size": (2, 3, 2)}, (5, 4, 3, 2)),
        ({"output_size": 2, "data_format": FIRST}, (2, 3, 5, 4)),
    ],
    "MultiHeadAttention": [
        ({"num_heads": 2, "key_dim": 3, "use_bias": False, "value_dim": 2, "output_shape": 5}, *_HEADS),
        ({"num_heads": 2, "key_dim": 3, "attention_axes": (1,)}, (3, 2, 4), (3, 2, 4)),
    ],
    "GroupQueryAttention": [
        ({"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2, "use_bias": False}, (3, 4), (5, 4)),
        ({"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1}, (3, 4), (5, 4), (5, 2)),
    ],
    "AdditiveAttention": [({"use_scale": False}, (3, 4), (5, 4)), ({}, (3, 4), (5, 2), (5, 4))],
    "Attention": [
        ({"use_scale": True}, (3, 4), (5, 2), (5, 4)),
        ({"score_mode": "concat", "use_scale": True}, (3, 4), (5, 4)),
    ],
    "Conv1D": _CONV1,
    "Conv2D": _CONV2,
    "Conv3D": _CONV3,
    "Conv1DTranspose": _TRANSPOSED1,
    "Conv2DTranspose": _TRANSPOSED2,
    "Conv3DTranspose": _TRANSPOSED3,
    "DepthwiseConv1D": _DEPTHWISE1,
    "DepthwiseConv2D": _DEPTHWISE2,
    "SeparableConv1D": [({"filters": 3, **options}, shape) for options, shape in _DEPTHWISE1],
    "SeparableConv2D": [({"filters": 3, **options}, shape) for options, shape in _DEPTHWISE2],
    "Cropping1D": [({"cropping": (2, 1)}, (6, 3))],
    "Cropping2D": [({"cropping": ((0, 2), (1, 0)), "data_format": FIRST}, (3, 5, 4)), ({"cropping": 1}, (4, 3, 2))],
    "Cropping3D": [
        ({"cropping": ((0, 2), (1, 0), (1, 1)), "data_format": FIRST}, (2, 4, 3, 4)),
        ({"cropping": (1, 0, 1)}, (3, 2, 3, 2)),
    ],
    "ZeroPadding1D": [({"padding": (2, 1)}, (4, 3)), ({"padding": 2, "data_format": FIRST}, (3, 4))],
    "ZeroPadding2D": [
        ({"padding": ((0, 2), (1, 0)), "data_format": FIRST}, (3, 4, 1)),
        ({"padding": (2, 0)}, (3, 4, 2)),
    ],
    "ZeroPadding3D": [
        ({"padding": ((0, 2), (1, 0), (2, 1)), "data_format": FIRST}, (2, 3, 1, 2)),
        ({"padding": (2, 0, 1)}, (2, 3, 2, 2)),
    ],
    "Dense": [({"units": 5, "activation": "softplus", "use_bias": False}, (3, 4)), ({"units": 1}, (1,))],
    "EinsumDense": [
        ({"equation": "abc,cde->abde", "output_shape": (None, 2, 3), "bias_axes": "de", "activation": "tanh"}, (4, 3)),
        ({"equation": "...x,xy->...y", "output_shape": 6}, (5, 3)),
    ],
    "Dropout": [({"rate": 0.5, "noise_shape": (None, 1, 4)}, (3, 4))],
    "SpatialDropout1D": [({"rate": 0.5}, (3, 4))],
    "SpatialDropout2D": [({"rate": 0.5, "data_format": FIRST}, (3, 4, 2))],
    "SpatialDropout3D": [({"rate": 0.5, "data_format": FIRST}, (3, 2, 4, 2))],
    "AlphaDropout": [({"rate": 0.5}, (3, 4))],
    "GaussianDropout": [({"rate": 0.5}, (3, 4))],
    "GaussianNoise": [({"stddev": 0.5}, (3, 4))],
    "BatchNormalization": [
        ({"axis": 1, "epsilon": 0.01, "momentum": 0.5}, (3, 4, 2)),
        ({**_SCALED}, (5,)),
    ],
    "GroupNormalization": [
        ({"groups": 2, "axis": 1, "epsilon": 0.01}, (4, 3, 2)),
        ({"groups": -1, **_SCALED}, (5, 3)),
    ],
    "LayerNormalization": [
        ({"axis": [1, 2], "epsilon": 0.01}, (3, 4, 2)),
        ({**_SCALED}, (5, 3)),
        ({"axis": 1}, (4, 3)),
    ],
    "RMSNormalization": [({"axis": [1, 2], "epsilon": 0.01}, (3, 4))],
    "UnitNormalization": [({"axis": [1, 2]}, (3, 4)), ({"axis": 1}, (3, 4))],
    "Normalization": [
        ({"mean": [0.1, -0.2, 0.3], "variance": [0.5, 2.0, 1.0], "invert": True}, (2, 3)),
        ({"axis": None, "mean": 0.3, "variance": 2.0}, (2, 3)),
    ],
    "SpectralNormalization": [({"layer": ("Dense", {"units": 3, "activation": "tanh"}), "power_iterations": 2}, (4,))],
    "TimeDistributed": [
        ({"layer": ("Conv2D", {"filters": 3, "kernel_size": 2, "data_format": FIRST, "strides": 2})}, (3, 2, 5, 4)),
        ({"layer": ("BatchNormalization", {"momentum": 0.5})}, (2, 3)),
        ({"layer": ("LayerNormalization", {"axis": [1, 2]})}, (3, 4, 2)),
        ({"layer": ("MaxPooling2D", {"padding": "same"})}, (1, 5, 3, 2)),
    ],
    "Flatten": [({"data_format": FIRST}, (3, 4, 2))],
    "Permute": [({"dims": (3, 1, 2)}, (3, 4, 2))],
    "RepeatVector": [({"n": 3}, (4,))],
    "Reshape": [({"target_shape": (2, -1)}, (3, 4))],
    "Identity": [({}, (3, 4))],
    "LeakyReLU": [({"negative_slope": 0.1}, (3, 4))],
    "ELU": [({"alpha": 0.3}, (3, 4))],
    "PReLU": [({"shared_axes": [1]}, (3, 4)), ({}, (3, 4))],
    "Rescaling": [({"scale": [0.5, 2.0], "offset": -1.0}, (3, 2))],
    "GlobalAveragePooling1D": _GLOBAL1,
    "GlobalMaxPooling1D": _GLOBAL1,
    "GlobalAveragePooling2D": _GLOBAL2,
    "GlobalMaxPooling2D": _GLOBAL2,
    "GlobalAveragePooling3D": _GLOBAL3,
    "GlobalMaxPooling3D": _GLOBAL3,
    "AveragePooling1D": _POOL1,
    "MaxPooling1D": _POOL1,
    "AveragePooling2D": _POOL2,
    "MaxPooling2D": _POOL2,
    "AveragePooling3D": _POOL3,
    "MaxPooling3D": _POOL3,
    "UpSampling1D": [({"size": 2}, (4, 2))],
    "UpSampling3D": [({"size": (3, 1, 2), "data_format": FIRST}, (2, 2, 3, 2)), ({"size": 2}, (2, 1, 3, 2))],
    "UpSampling2D": [
        ({"size": (3, 2), "interpolation": "bilinear"}, (3, 4, 2)),
        ({"size": 2, "data_format": FIRST}, (2, 3, 1)),
    ],
    "Resizing": [
        ({"height": 5, "width": 3, "interpolation": "nearest", "data_format": FIRST}, (2, 4, 6)),
        ({"height": 4, "width": 4, "crop_to_aspect_ratio": True, "interpolation": "bicubic"}, (5, 7, 1)),
        ({"height": 4, "width": 3, "pad_to_aspect_ratio": True, "fill_value": 0.5}, (3, 6, 2)),
    ],
    "CenterCrop": [({"height": 3, "width": 2, "data_format": FIRST}, (2, 5, 4))],
    **{name: [({}, (3, 4), (3, 4)), ({}, (3, 4), (1, 4))] for name in ("Add", "Average", "Maximum", "Minimum")},
    "Multiply": [({}, (3, 4), (3, 1), (3, 4))],
    "Subtract": [({}, (3, 4), (1, 4))],
    "Concatenate": [({"axis": 1}, (3, 4), (1, 4), (2, 4)), ({"axis": -1}, (3, 4), (3, 1))],
    "Dot": [({"axes": (2, 1), "normalize": True}, (3, 4), (4, 2)), ({"axes": 2}, (3, 4), (5, 4))],
}

CASES = {
    f"{name} {number}": (name, *case) for name, cases in _CASES.items() for number, case in enumerate(cases)
}  # name of the case → class, options, shapes of samples


def inputs(shapes):
    """Numbers between -1 and 1 that are all different."""
    sizes = [BATCH * int(np.prod(shape)) for shape in shapes]
    return [
        np.sin(1.7 * np.arange(1, size + 1) ** 1.1 + 2 * place).reshape(BATCH, *shape)
        for place, (size, shape) in enumerate(zip(sizes, shapes, strict=True))
    ]


def weight(place, shape):
    """Positive numbers, as of variances; `place` is that of the weight in the layer."""
    return 0.6 + 0.4 * np.cos(2.3 * np.arange(int(np.prod(shape))) + place).reshape(shape)


def slope(shape):
    """The gradient of an output."""
    return np.cos(1.3 * np.arange(int(np.prod(shape))) + 0.5).reshape(shape)


def noted(array):
    """What is kept of an array: its shape, a sum in which each place has a factor of its own, and the sum of sizes."""
    array = np.asarray(array, np.float64)
    factors = np.cos(0.9 * np.arange(array.size) + 0.2).reshape(array.shape)
    return [list(array.shape), float((array * factors).sum()), float(np.abs(array).sum())]


def made(library, name, options):
    """A layer of minicnn or Keras, a wrapped one too."""
    options = dict(options)
    if isinstance(options.get("layer"), tuple):
        options["layer"] = made(library, *options["layer"])
    return getattr(library.layers, name)(**options)


def called(layer, name, values, **options):
    """The call of a layer with one value, a list of them or several arguments, as Keras has it."""
    if name in ("MultiHeadAttention", "GroupQueryAttention"):
        return layer(*values, **options)
    return layer(values if len(values) > 1 else values[0], **options)
