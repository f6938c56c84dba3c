"""Convolution."""

from minicnn import initializers, regularizers
from minicnn.checks import check_choice, check_pair, check_positive_int
from minicnn.errors import ShapeError
from minicnn.geometry import make_window
from minicnn.layers import activations
from minicnn.layers.base import Layer
from minicnn.layers.shapes import check_data_format, check_rank

__all__ = ["Conv2D"]


class Conv2D(Layer):
    """2-D convolution (cross-correlation, as everywhere in the field) over NHWC images.

    y[n,i,j,f] = bias[f] + Σ over taps (p,q) and channels c of x[n, i·s + p·d - pad, j·s + q·d - pad, c] ·
    kernel[p,q,c,f]

    (LeCun, Bottou, Bengio, Haffner: "Gradient-based learning applied to document recognition", 1998.)

    Parameters
    ----------
    filters : int
        Number of output channels F.
    kernel_size : int or (int, int)
        Height and width of the kernel.
    strides : int or (int, int), default 1
    padding : {"valid", "same"}, default "valid"
        "same" pads with zeros to ceil(size / stride) positions, the odd pixel at the end.
    data_format : {None, "channels_last"}
        Images are (N, H, W, C).
    dilation_rate : int or (int, int), default 1
        Distance between taps.
    groups : int, default 1
        The channels and the filters are cut into so many groups that do not see each other.
    activation : str or layer, optional
        Applied to the output.
    use_bias : bool, default True
    kernel_initializer, bias_initializer : str or Initializer
        Defaults "glorot_uniform" and "zeros".
    kernel_regularizer, bias_regularizer : str or Regularizer, optional

    Notes
    -----
    Input (N, H, W, C), output (N, OH, OW, F), kernel (KH, KW, C / groups, F), bias (F,).
    """

    uses_input = True

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        data_format=None,
        dilation_rate=(1, 1),
        groups=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = check_positive_int("filters", filters)
        self.kernel_size = check_pair("kernel_size", kernel_size)
        self.strides = check_pair("strides", strides)
        self.padding = check_choice("padding", str(padding).lower(), ("valid", "same"))
        self.data_format = check_data_format(data_format)
        self.dilation_rate = check_pair("dilation_rate", dilation_rate)
        self.groups = check_positive_int("groups", groups)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        if self.filters % self.groups:
            raise ValueError(f"filters must be a multiple of groups. Received: filters={filters}, groups={groups}")

    def build(self, input_shapes):
        (shape,) = input_shapes
        check_rank(self, shape, 3, "(height, width, channels)")
        channels = shape[2]
        if channels % self.groups:
            raise ShapeError(f"the channels must be a multiple of groups={self.groups}. Received: {channels} channels")
        window = self.window(shape)
        kernel_shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.add_weight("kernel", kernel_shape, self.kernel_initializer, regularizer=self.kernel_regularizer)
        if self.use_bias:
            self.add_weight("bias", (self.filters,), self.bias_initializer, regularizer=self.bias_regularizer)
        return window.out_height, window.out_width, self.filters

    def window(self, input_shape):
        """The geometry for inputs of this shape."""
        return make_window(input_shape[:2], self.kernel_size, self.strides, self.padding, self.dilation_rate)

    def bind(self, ws):
        ws.window = self.window(ws.input_shapes[0])

    def forward(self, xs, ws):
        ws.ops.conv2d(xs[0], ws.params["kernel"], ws.params.get("bias"), ws.y, ws.window, self.groups)

    def backward(self, dy, ws):
        ws.ops.conv2d_backward(
            ws.xs[0],
            ws.params["kernel"],
            None,
            dy,
            ws.dxs[0],
            ws.grads["kernel"],
            ws.grads.get("bias"),
            ws.window,
            self.groups,
        )

    def to_onnx(self, xs, graph):
        x = graph.channels_first(xs[0])
        weights = [graph.weight(self.kernel, axes=(3, 2, 0, 1))]  # (F, C / groups, KH, KW)
        weights += [graph.weight(self.bias)] if self.use_bias else []
        return graph.add("Conv", [x, *weights], group=self.groups, **graph.window(self.window(x.shape)))

    @classmethod
    def examples(cls):
        yield cls(4, 3), [(6, 7, 3)]
        yield cls(5, (3, 2), strides=2, padding="same", activation="relu"), [(7, 6, 2)]
        yield cls(4, 3, dilation_rate=2, use_bias=False, activation="tanh"), [(8, 7, 1)]
        yield cls(6, 3, groups=2, padding="same", kernel_regularizer="l2"), [(5, 5, 4)]
        yield cls(33, 1, strides=(2, 1)), [(5, 4, 17)]
