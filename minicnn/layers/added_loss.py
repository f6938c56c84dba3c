"""`add_loss`, `add_metric`: numbers that a model computes itself, as parts of its loss, or to be shown in logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, Unpack

import numpy as np

from minicnn.checks import check_choice
from minicnn.graph import Tensor
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.reducing import Reduce
from minicnn.on_host import on_host
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["AddLoss", "AddMetric"]


class AddLoss(Layer):
    """Passes its first input on, and adds the mean (or the sum) of the second one's numbers to the loss.

    Parameters
    ----------
    reduction : {"mean", "sum"}, default "mean"
        Over the numbers of all samples.
    """

    uses_input = False
    has_penalty = True
    input_count: int | None = 2

    def __init__(self, reduction: str = "mean", **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.reduction: str = check_choice("reduction", reduction, ("mean", "sum"))

    def build(self, input_shapes: Shapes) -> Shape:
        return input_shapes[0]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = xs[0]
        ws.added = getattr(xs[1], self.reduction)(dtype=np.float64)  # now: others may use its memory later

    def penalty(self, ws: Workspace) -> float | np.ndarray:
        return ws.added

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.dxs[0] is not None:
            ws.dxs[0][...] = dy
        if ws.dxs[1] is not None:
            ws.dxs[1].fill(1 / ws.xs[1].size if self.reduction == "mean" else 1)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return xs[0]

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3), (2,)]
        yield cls("sum"), [(4,), (3, 2)]


class Measured:
    """What places of a model have found for one name in the logs, until it is counted.

    Attributes
    ----------
    found : dict
        Number of the place → (sum of its numbers in the last batch, how many there were).
    metric : object
        What keeps the value itself, with `result` and `reset_state`; None: `found` is counted.
    """

    def __init__(self) -> None:
        self.found: dict[int, tuple[float, int]] = {}
        self.metric: Any = None

    def put(self, place: int, numbers: Any) -> None:
        """Have an array's numbers counted with the batch; a single number counts once, whatever the batch's size."""
        numbers = on_host(numbers)
        self.found[place] = float(numbers.sum(dtype=np.float64)), numbers.size


class AddMetric(AddLoss):
    """Passes its first input on, and has the second one's numbers averaged in the logs, under a name.

    Parameters
    ----------
    metric_name : str
        The name in the logs of `fit` and `evaluate`.
    reduction : {"mean", "sum", None}, default None
        None: each number counts. Otherwise each batch counts once, with the mean or the sum of its numbers.

    Attributes
    ----------
    measured : dict
        The name → `Measured`.
    """

    has_penalty = False

    def __init__(self, metric_name: str, reduction: str | None = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(reduction or "mean", **kwargs)
        self.reduction: str | None = reduction
        self.metric_name: str = check_metric_name(metric_name)
        self.measured: dict[str, Measured] = {metric_name: Measured()}

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = xs[0]
        numbers = getattr(xs[1], self.reduction)(dtype=np.float64) if self.reduction else xs[1]
        self.measured[self.metric_name].put(ws.stream, numbers)

    def penalty(self, ws: Workspace) -> float:
        return 0.0

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.dxs[0] is not None:
            ws.dxs[0][...] = dy
        if ws.dxs[1] is not None:
            ws.dxs[1].fill(0)

    @classmethod
    def examples(cls) -> Examples:
        yield cls("mine"), [(4, 3), (2,)]
        yield cls("mine", "sum"), [(4,), (3, 2)]


def check_metric_name(name: object) -> str:
    """The name, if it is one for the logs.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"add_metric(value, name=…) needs a name for the logs, such as 'kl'. Received: name={name!r}")
    return name


_Refusing: TypeAlias = Callable[..., NoReturn]


@dataclass(frozen=True, eq=False)
class ToMeasure:
    """A value that is no part of the loss: it is averaged in the logs.

    Attributes
    ----------
    value : Tensor, BatchScalar or array
    name : str
    metric : object
        What keeps the average itself, or None.
    """

    value: Any
    name: str
    metric: Any

    @classmethod
    def of(cls, value: Any, *arguments: Any, **options: Any) -> ToMeasure:
        """What Keras 2's ``add_metric(value, name=…, aggregation=…)`` was given; TensorFlow 1's order is understood.

        Raises
        ------
        ValueError
            Without a name, and for another aggregation than the mean.
        TypeError
            For an argument that is not known.
        """
        order = ("aggregation", "name") if len(arguments) > 1 or arguments in (("mean",), (None,)) else ("name",)
        given = {**dict(zip(order, arguments, strict=False)), **options}
        check_choice("aggregation", given.pop("aggregation", "mean"), ("mean", None))
        metric = getattr(value, "metric", None)  # which has given it
        name = check_metric_name(given.pop("name", None) or getattr(metric, "name", None))
        if given:
            raise TypeError(f"add_metric takes value, name and aggregation. Received: {sorted(given)}")
        return cls(value, name, metric)

    def beside(self, output: Tensor) -> Tensor:
        """A model's output, with the layer that measures."""
        is_number = isinstance(self.value, BatchScalar)
        reduction, tensor = (self.value.reduction, self.value.tensor) if is_number else (None, self.value)
        if not isinstance(tensor, Tensor):
            raise TypeError(
                "add_metric takes what is computed of the model's tensors, e.g. keras.ops.mean(x), outside of the "
                f"call of a layer that runs on arrays. Received: {self.value!r}"
            )
        return AddMetric(self.name, reduction)([output, tensor])


class BatchScalar:
    """The mean, or the sum, of a tensor's numbers over all samples: what ``K.mean(x)`` is before there are samples.

    It is a part of a loss, so it takes what commutes with the mean: numbers as factors, and other means and sums.

    Parameters
    ----------
    tensor : Tensor (N, …)
    reduction : {"mean", "sum"}
    """

    __array_ufunc__ = None  # NumPy's numbers leave operators to this class

    def __init__(self, tensor: Tensor, reduction: str) -> None:
        self.tensor: Tensor = tensor
        self.reduction: str = reduction

    shape: tuple[int, ...] = ()

    def _plus(self, other: Any, sign: float) -> BatchScalar:
        if _is_number(other) and self.reduction == "mean":
            return BatchScalar(self.tensor + other if sign > 0 else self.tensor - other, "mean")
        if isinstance(other, Tensor) and self.reduction == "mean":
            other = BatchScalar(other, "mean")
        if not isinstance(other, BatchScalar) or other.reduction != self.reduction:
            self._refuse()
        a, b = self.tensor, other.tensor
        if a.shape != b.shape:  # what belongs to one sample is put together first
            a, b = (t if t.ndim == 1 else Reduce(self.reduction)(t) for t in (a, b))
        return BatchScalar(a + b if sign > 0 else a - b, self.reduction)

    def __add__(self, other: Any) -> BatchScalar:
        return self._plus(other, 1.0)

    def __radd__(self, other: Any) -> BatchScalar:
        return self if isinstance(other, int) and other == 0 else self._plus(other, 1.0)  # of sum()

    def __sub__(self, other: Any) -> BatchScalar:
        return self._plus(other, -1.0)

    def __rsub__(self, other: Any) -> BatchScalar:
        return (-self)._plus(other, 1.0)

    def __mul__(self, other: Any) -> BatchScalar:
        if not _is_number(other):
            self._refuse()
        return BatchScalar(self.tensor * other, self.reduction)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> BatchScalar:
        return BatchScalar(self.tensor / other, self.reduction) if _is_number(other) else self._refuse()

    def __neg__(self) -> BatchScalar:
        return self * -1.0

    def _refuse(self, *args: Any) -> NoReturn:
        raise TypeError(
            f"the {self.reduction} over all samples can be added to another one, and multiplied with a number, before "
            "it becomes a loss: compute number by number first, and take the mean at the end"
        )

    __pow__: _Refusing = _refuse
    __rtruediv__: _Refusing = _refuse
    __float__: _Refusing = _refuse
    __bool__: _Refusing = _refuse
    __array__: _Refusing = _refuse


def _is_number(value):
    """Whether it is one, or what holds one for the layer that takes it: a variable or a weight, which may change."""
    is_held = hasattr(value, "follow") or getattr(value, "meets_tensors", False)
    return isinstance(value, int | float | np.number) or (is_held and value.shape == ())


def with_losses(output: Tensor, losses: Sequence[Any]) -> Tensor:
    """A model's output, with parts of the loss that are computed beside it.

    Parameters
    ----------
    output : Tensor
    losses : sequence of Tensor, BatchScalar, or ToMeasure
        Of a tensor the numbers of all samples are added up, as in Keras; what is to be measured is no part of the loss.

    Raises
    ------
    TypeError
        For anything else.
    """
    for loss in losses:
        if isinstance(loss, ToMeasure):
            output = loss.beside(output)
            continue
        if hasattr(loss, "part_beside"):  # it is computed of weights alone
            loss = loss.part_beside(output)
        part = loss if isinstance(loss, BatchScalar) else BatchScalar(loss, "sum")
        if not isinstance(part.tensor, Tensor):
            raise TypeError(
                "add_loss takes what is computed of the model's tensors, e.g. add_loss(keras.ops.mean(x)); penalties "
                f"on weights are kernel_regularizer= of layers. Received: {loss!r}"
            )
        output = AddLoss(part.reduction)([output, part.tensor])
    return output


def source_of(tensor: Tensor) -> Tensor:
    """The tensor that `with_losses` was given; of a model's input the one that it returned."""
    source = tensor
    while isinstance(source.node.layer, AddLoss):
        source = source.node.inputs[0]
    return source if source.node.inputs else tensor
