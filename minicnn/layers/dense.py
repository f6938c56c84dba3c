"""The fully connected layer."""

from minicnn import initializers, regularizers
from minicnn.checks import check_positive_int
from minicnn.errors import ShapeError
from minicnn.layers import activations
from minicnn.layers.base import Layer

__all__ = ["Dense"]


class Dense(Layer):
    """y = x · kernel + bias, over the last axis.

    Parameters
    ----------
    units : int
        Size of the output's last axis.
    activation : str or layer, optional
        Applied to the output.
    use_bias : bool, default True
    kernel_initializer, bias_initializer : str or Initializer
        Defaults "glorot_uniform" and "zeros".
    kernel_regularizer, bias_regularizer : str or Regularizer, optional

    Notes
    -----
    Input (N, …, I), output (N, …, units), kernel (I, units), bias (units,).
    """

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = check_positive_int("units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)

    def build(self, input_shapes):
        (shape,) = input_shapes
        if not shape:
            raise ShapeError("Dense needs at least one axis beside the batch. Received: (None,)")
        kernel_shape = (shape[-1], self.units)
        self.add_weight("kernel", kernel_shape, self.kernel_initializer, regularizer=self.kernel_regularizer)
        if self.use_bias:
            self.add_weight("bias", (self.units,), self.bias_initializer, regularizer=self.bias_regularizer)
        return *shape[:-1], self.units

    def forward(self, xs, ws):
        ws.ops.dense(rows(xs[0]), ws.params["kernel"], ws.params.get("bias"), rows(ws.y))

    def backward(self, dy, ws):
        dx = None if ws.dxs[0] is None else rows(ws.dxs[0])
        ws.ops.dense_backward(
            rows(ws.xs[0]), ws.params["kernel"], None, rows(dy), dx, ws.grads["kernel"], ws.grads.get("bias")
        )

    def to_onnx(self, xs, graph):
        x, kernel = graph.channels_last(xs[0]), graph.weight(self.kernel)
        bias = [graph.weight(self.bias)] if self.use_bias else []
        if len(x.shape) == 1:
            return graph.add("Gemm", [x, kernel, *bias])
        y = graph.add("MatMul", [x, kernel])
        return graph.add("Add", [y, *bias]) if bias else y

    @classmethod
    def examples(cls):
        yield cls(5), [(7,)]
        yield cls(33, activation="relu", kernel_regularizer="l1"), [(17,)]
        yield cls(4, use_bias=False, activation="softmax"), [(3, 5)]


def rows(array):
    """The array as (rows, last axis), without a copy."""
    return array if array.ndim == 2 else array.reshape(-1, array.shape[-1])
