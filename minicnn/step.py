"""What a plan runs: steps, and what each of them touches."""

from dataclasses import dataclass


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

    shape: tuple
    dtype: str | None = None
    per_sample: bool = True


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
    """

    uses_input = True
    uses_output = False
    is_view = False
    only_in_training = False

    @property
    def weights(self) -> list:
        """The weights that the step reads."""
        return []

    def buffers(self, input_shapes, output_shape, training) -> dict:
        """Name → `Buffer` of what has to survive from `forward` to `backward`; ``ws.buffers[name]`` is the array."""
        return {}

    def bind(self, ws) -> None:
        """Called once for every workspace: keep on it what depends on shapes alone, e.g. a `Window`."""

    def forward(self, xs, ws) -> None:
        """Compute ``ws.y`` from the inputs `xs`, a tuple of arrays that must not be modified."""
        raise NotImplementedError

    def backward(self, dy, ws) -> None:
        """Assign the gradients ``ws.dxs[i]`` of input i and ``ws.grads[name]`` of a weight, if not None."""
        raise NotImplementedError

    def to_onnx(self, xs, graph):
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


class Workspace:
    """All that a step touches at one place of a graph, for one batch size. A layer holds no arrays but weights.

    Attributes
    ----------
    kernels : namespace
        The backend's kernels.
    training : bool
    input_shapes, output_shape : tuples
        Without the batch axis.
    xs, y : arrays
    dy, dxs : arrays
        Gradients of y and of each x; an entry of `dxs` is None where nobody wants it.
    params, grads : dict
        Weight name → array; a gradient is None for a frozen weight.
    buffers : dict
        Name → array.
    seed, stream : int
        Key of the place's random numbers, together with ``clock.step``.
    clock : object
        Its attribute `step` counts the training steps.
    """
