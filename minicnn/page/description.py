"""A model as the page reads it: values, the operations between them, and which of these a layer is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from minicnn.graph import Graph
from minicnn.layers.activity import with_penalty
from minicnn.layers.base import Layer
from minicnn.models import Model
from minicnn.page.attention import taken_apart
from minicnn.page.operations import operation_of
from minicnn.page.weights import Numbers
from minicnn.plan.ends import heads
from minicnn.plan.program import Place, Program, lower
from minicnn.step import Shape

MAX_SIDE = 64  # pixels of an image
WITH_LOGITS = ("softmax", "logsoftmax", "sigmoid")  # a class is explained by what these read

Description = dict[str, Any]


def describe(model: Model, numbers: Numbers) -> Description:
    """The network of a model, as plain values.

    Parameters
    ----------
    model : Model
        Built.
    numbers : Numbers
        Gets the weights.

    Raises
    ------
    ValueError
        Naming the layer that the page cannot run, or the input that it cannot draw.
    """
    inputs = model.inputs  # raises if the model is not built
    if len(inputs) != 1:
        names = [tensor.name for tensor in inputs]
        raise ValueError(
            f"the page draws one image, so that it takes models with one input. Received: model '{model.name}' with "
            f"inputs {names}"
        )
    image = _image_shape(inputs[0].name, inputs[0].shape[1:])
    program = lower(model.graph)
    groups = [_operations(place, program, numbers) for place in program.places]
    return {
        "name": model.name,
        "parameters": model.count_params(),
        "image": image,
        "input": {"name": inputs[0].name, "value": program.inputs[0]},
        "shapes": [list(shape) for shape in program.shapes],
        "places": [operation for group in groups for operation in group],
        "layers": _layers(model, [len(group) for group in groups]),
        "outputs": [
            {"name": name, "value": value, "score": _score(program, value)}
            for name, value in zip(model.output_names, program.outputs, strict=True)
        ],
    }


def _image_shape(name: str, shape: Shape) -> list[int]:
    """[height, width, channels] of the image that an input is, in whatever shape it comes."""
    size = math.prod(shape)
    image: Shape = ()
    if len(shape) == 3 and shape[2] in (1, 3):
        image = shape
    elif len(shape) == 2:
        image = (*shape, 1)
    elif len(shape) == 1:  # rows of a square image, one behind the other
        sides = {channels: math.isqrt(size // channels) for channels in (1, 3)}
        image = next(((n, n, channels) for channels, n in sides.items() if n * n * channels == size), ())
    if not image or max(image[:2]) > MAX_SIDE:
        raise ValueError(
            f"the page draws images of at most {MAX_SIDE}×{MAX_SIDE} pixels, grey or in red, green and blue: (H, W), "
            f"(H, W, 1), (H, W, 3), or the numbers of a square one in a row. Received: input '{name}' of shape "
            f"{(None, *shape)}"
        )
    return list(image)


def _operations(place: Place, program: Program, numbers: Numbers) -> list[Description]:
    """The operation in the place of a step, or several, with what they read and write."""
    step = place.step
    differs = step.only_in_training or any(not weight.has_gradient for weight in step.weights)
    if place.training and differs:
        raise ValueError(
            f"a page shows a network as it is used, but layer '{place.layer_name}' was called with training=True: "
            f"build the model without it. Received: {step!r}"
        )
    numbers.prefix = place.layer_name
    shapes = tuple(program.shapes[i] for i in place.inputs)
    if apart := taken_apart(step, shapes, numbers):
        values = [*place.inputs, *(program.new_value(shape) for _, _, shape in apart[:-1]), place.output]
        outputs = values[len(shapes) :]
        return [
            operation | {"inputs": [values[n] for n in sources], "output": output}
            for (operation, sources, _), output in zip(apart, outputs, strict=True)
        ]
    operation = operation_of(step, shapes, numbers)
    if operation is None and max(map(len, shapes), default=0) > 3:
        raise ValueError(
            f"layer '{place.layer_name}' cannot run in a page, which computes with images (H, W, C) and does "
            "not run such a layer on samples of more axes, as volumes and frames of images are. "
            f"Received: samples of shape {', '.join(map(str, shapes))}"
        )
    if operation is None:
        raise ValueError(
            f"layer '{place.layer_name}' cannot run in a page: {type(step).__name__} is none of the layers that it "
            f"knows, or holds code. Received: {step!r}"
        )
    return [operation | {"inputs": list(place.inputs), "output": place.output}]


def _layers(model: Model, counts: list[int]) -> list[Description]:
    """Each call of a layer: its name, its class, and how many operations, one after the other, are its.

    `counts` are those of each step.
    """
    entries, first = [], 0
    for path, layer in _calls(model.graph):
        last = first + len(with_penalty(layer))
        if count := sum(counts[first:last]):
            own = {"name": path, "kind": type(layer).__name__, "count": count, "parameters": layer.count_params()}
            entries.append(own)
        first = last
    return entries


def _calls(graph: Graph | None, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """(name, layer) of all calls, in the order in which `lower` appends their steps; "inner model/layer" inside one."""
    entries = {tensor.node for tensor in graph.inputs} if graph else set()
    for node in graph.nodes if graph else ():
        if node in entries:
            continue
        if node.layer.graph is None:
            yield prefix + node.layer.name, node.layer
        else:
            yield from _calls(node.layer.graph, f"{prefix}{node.layer.name}/")


def _score(program: Program, output: int) -> int:
    """The value by which a class of an output is explained: what stands before a softmax, or the output itself."""
    found = heads(program, [WITH_LOGITS if value == output else () for value in program.outputs], False)
    head = found[program.outputs.index(output)]
    return output if head is None else head
