"""From a graph of layers to a flat list of steps."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from minicnn.graph import Graph
from minicnn.layers.activity import ActivityPenalty, with_penalty
from minicnn.layers.base import Layer
from minicnn.layers.contract import is_own
from minicnn.layers.open_sizes import closed, of_sizes, shape_behind
from minicnn.step import Step


@dataclass(eq=False)
class Place:
    """One step at one place: it reads some values and writes one."""

    step: Step
    inputs: tuple[int, ...]  # indices of the values it reads
    output: int  # index of the value it writes
    layer_name: str  # for messages
    stream: int  # key of its random numbers: counted before fusion, so that every backend draws the same
    training: bool | None = None  # whether it acts as in training whatever the plan does; None: as the plan does
    dtype: str = "float32"  # in which its layer computes, or multiplies where that is another one


@dataclass
class Program:
    """Steps in the order in which they run. A value is written once; `shapes` are without the batch axis."""

    places: list[Place] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()

    def new_value(self, shape: tuple[int, ...]) -> int:
        """The index of a new value."""
        self.shapes.append(tuple(shape))
        return len(self.shapes) - 1

    def append(self, layer: Layer, inputs: Sequence[int], training: bool | None) -> int:
        """Append a layer's steps; returns the value that the last one writes."""
        for step in with_penalty(layer):
            output = self.new_value(shape_behind(step.build, [self.shapes[i] for i in inputs]))
            stream, dtype = len(self.places), layer.dtype_policy.factor_dtype
            self.places.append(Place(step, tuple(inputs), output, layer.name, stream, training, dtype))
            inputs = (output,)
        return inputs[0]

    def readers(self) -> dict[int, list[Place]]:
        """Value → the places that read it, in order."""
        readers = {value: [] for value in range(len(self.shapes))}
        for place in self.places:
            for value in dict.fromkeys(place.inputs):
                readers[value].append(place)
        return readers

    def writer(self, value: int) -> Place | None:
        """The place that writes a value, before a penalty on it; None for an input."""
        place = next((place for place in self.places if place.output == value), None)
        return self.writer(place.inputs[0]) if place and isinstance(place.step, ActivityPenalty) else place

    def final_step(self, value: int) -> str:
        """Class name in lower case of the step that writes a value; "" if not ours or not over the last axis."""
        writer = self.writer(value)
        is_ours = writer is not None and not is_own(writer.step)
        is_last = is_ours and getattr(writer.step, "axis", -1) in (-1, len(self.shapes[value]))
        return type(writer.step).__name__.lower() if is_last else ""

    def values_with_gradient(self, heads: tuple[int | None, ...], input_gradients: bool) -> set[int]:
        """The values whose gradient is computed: those between a trainable weight (or a wanted input) and a loss.

        A penalty is a loss too.
        """
        depends = set(self.inputs) if input_gradients else set()
        for place in self.places:
            if any(w.trainable for w in place.step.weights) or depends & set(place.inputs):
                depends.add(place.output)
        matters = {*heads, *(place.output for place in self.places if place.step.has_penalty)}
        for place in reversed(self.places):
            if place.output in matters and place.output in depends:
                matters.update(place.inputs)
        return depends & matters


def lower(graph: Graph) -> Program:
    """The program of a graph, models that are used as layers inlined."""
    graph, program = closed(graph), Program()
    values = {tensor: program.new_value(tensor.shape[1:]) for tensor in graph.inputs}
    program.inputs, program.outputs = tuple(values.values()), tuple(_inline(graph, program, values, None))
    return program


def _inline(graph, program, values, training):
    """Append a graph's steps; `values` maps its input tensors to values. Returns its outputs' values.

    `training` is what the call of the graph said, and counts where a call inside says nothing.
    """
    for node in graph.nodes:
        if node.outputs[0] in values:  # an input
            continue
        inputs = [values[tensor] for tensor in node.inputs]
        mode = training if node.training is None else node.training
        inner = of_sizes(node.layer.graph, [program.shapes[i] for i in inputs])
        if inner is None:
            outputs = [program.append(node.layer, inputs, mode)]
        else:
            outputs = _inline(inner, program, dict(zip(inner.inputs, inputs, strict=True)), mode)
        values.update(zip(node.outputs, outputs, strict=True))
    return [values[tensor] for tensor in graph.outputs]
