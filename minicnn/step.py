"""What a plan runs: steps, and what each of them touches."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from minicnn.hints import Shape

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value
    from minicnn.parameters import Weight

Shapes = tuple[Shape, ...]
Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Buffer:
    """An array that a step needs from its forward to its backward pass, e.g. the winners of max pooling.

    Attributes
    ----------
    shape : tuple of int
        Without the batch axis.
    dtype : str or None
        None is the model's dtype.
    per_sample : bool
        Whether the array gets a batch axis.
    """

    shape: Shape
    dtype: str | None = None
    per_sample: bool = True


@dataclass(eq=False)
class Workspace:
    """All that a step touches at one place of a graph, for one number of samples. A layer holds no arrays but weights.

    `Step.bind` may keep more on it: what depends on the shapes alone.

    Attributes
    ----------
    ops : namespace
        The backend's ops.
    xs, y : arrays
        Inputs and output, (N, …).
    training : bool
    params, grads : dict
        Weight name → array; a gradient is None for a frozen weight.
    buffers : dict
        Name → array.
    dy, dxs : arrays
        Gradients of y and of each x; None where nobody wants them.
    seed, stream : int
        Key of the place's random numbers, together with `iteration`.
    iteration : int
        Counts the updates of the weights, so that each of them has random numbers of its own; on a GPU a number that
        lies there.
    first : int
        The number in the batch of the first sample, where `xs` are a part of a batch; random numbers go by it.
    """

    ops: SimpleNamespace
    xs: Arrays
    y: np.ndarray
    training: bool = False
    params: Mapping[str, np.ndarray] = field(default_factory=dict)
    buffers: Mapping[str, np.ndarray] = field(default_factory=dict)
    dy: np.ndarray | None = None
    dxs: tuple[np.ndarray | None, ...] = ()
    grads: Mapping[str, np.ndarray | None] = field(default_factory=dict)
    seed: int = 0
    stream: int = 0
    iteration: int = 0
    first: int = 0

    @property
    def input_shapes(self) -> Shapes:
        """Shapes of the inputs without the batch axis."""
        return tuple(x.shape[1:] for x in self.xs)

    @property
    def output_shape(self) -> Shape:
        """Shape of the output without the batch axis."""
        return self.y.shape[1:]


class Changes:
    """Counts how often attributes of layers were set: what was remembered of steps before that is void.

    Attributes
    ----------
    count : int
        All of these times.
    replaced : int
        Those that replaced a value, but for attributes of models and `trainable`: plans made before are void, too, as
        which steps there are, which of them merge, and their shapes depend on attributes.
    """

    count: int = 0
    replaced: int = 0


class Step:
    """One entry of a plan: a formula and, beside it, its gradient.

    Most layers are their own step. A fused step stands for several layers.

    Attributes
    ----------
    uses_input, uses_output : bool
        Whether `backward` reads the step's inputs, its output. What nobody reads, the plan overwrites.
    is_view : bool
        The output is the input's memory in another shape; the plan never runs such a step.
    only_in_training : bool
        Outside training the output equals the input, as of dropout and augmentation; plans and files leave such a step
        out there.
    has_penalty : bool
        Whether `penalty` gives a part of the loss, whose gradient `backward` adds.
    draws_anew : bool
        Whether it may draw random numbers outside of training, too, other ones each time.
    only_ops : bool
        Whether `forward` and `backward` do nothing but call ops, the same ones with the same arrays of the workspace
        each time, unless an attribute of a layer has changed: backends may remember what the calls came down to.
    unread : collection of str
        Names of weights that it has, and no formula of it: `backward` assigns them no gradient.
    """

    uses_input: bool = True
    uses_output: bool = False
    is_view: bool = False
    only_in_training: bool = False
    has_penalty: bool = False
    draws_anew: bool = False
    only_ops: bool = False
    unread: Collection[str] = ()

    @property
    def weights(self) -> list[Weight]:
        """The weights that the step reads."""
        return []

    def build(self, input_shapes: Shapes) -> Shape:
        """The output's shape for these input shapes, all without the batch axis."""
        raise NotImplementedError

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        """Name → `Buffer` of what has to survive from `forward` to `backward`; ``ws.buffers[name]`` is the array."""
        return {}

    def fused(self) -> Step:
        """The step that plans merge others into."""
        return self

    def bind(self, ws: Workspace) -> None:
        """Called once for every workspace: keep on it what depends on shapes alone, e.g. a `Window`."""

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        """Compute ``ws.y`` from the inputs `xs`: ``ws.xs``, arrays that must not be modified."""
        raise NotImplementedError

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        """Assign the gradients ``ws.dxs[i]`` of input i and ``ws.grads[name]`` of a weight, if not None.

        `dy`, the gradient of the output, is ``ws.dy``.
        """
        raise NotImplementedError

    def penalty(self, ws: Workspace) -> float | np.ndarray:
        """What the step adds to the loss, after `forward`."""
        raise NotImplementedError

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        """Append what `forward` computes without training to an ONNX graph.

        Parameters
        ----------
        xs : tuple of Value
            See `minicnn.onnx.writer`.
        graph : GraphWriter

        Returns
        -------
        Value
        """
        raise NotImplementedError
