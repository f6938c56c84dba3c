"""Where a graph of one window begins, and what depends on it; see `minicnn.keras._folded`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter

from minicnn.errors import ShapeError
from minicnn.graph import Node, Tensor


class MovesSamples(ShapeError):
    """A reshape takes out of the samples what was not folded into them in the same `call`."""


def is_of_windows(tensor: Tensor) -> bool:
    """Whether the samples of a tensor are windows of those around."""
    return all(windows_of(start) is not None for start in starts_of(tensor))


def check_of_images(tensors: Sequence[Tensor]) -> None:
    """Raise `MovesSamples` for windows beside what was repeated for each sample of a batch, maybe for each image."""
    for tensor in tensors:
        if windows_at(tensor) is not None:
            raise MovesSamples(
                "numbers that a call repeats for each sample, tile(token, (batch, 1, 1)), meet tensors of as many "
                "samples: where windows of images are samples, repeat them in the call of a layer that is called on "
                f"the windows, or let them be broadcast. Received: windows of shape {tensor.shape}"
            )


def windows_at(tensor: Tensor) -> Tensor | None:
    """The windows that a tensor depends on as samples; None if there are none."""
    return next((found for start in starts_of(tensor) if (found := windows_of(start)) is not None), None)


def windows_of(start: Tensor) -> Tensor | None:
    """The windows (N, count, …) that a graph of one window begins with; None for another input."""
    return vars(start.node.layer).get("windows")


def starts_of(tensor: Tensor) -> Iterator[Tensor]:
    """The inputs that a tensor depends on."""
    return (node.outputs[0] for node in nodes_before([tensor]) if not node.inputs)


def nodes_since(tensor: Tensor, number: int) -> list[Node]:
    """The calls that a tensor depends on, and the windows that it is made of, from a number of calls on, in order."""
    found, waiting = set(), [tensor]
    while waiting:
        start = waiting.pop()
        if start.node not in found and start.node.number >= number:
            found.add(start.node)
            windows = None if start.node.inputs else windows_of(start)
            waiting += start.node.inputs if windows is None else [windows]
    return sorted(found, key=attrgetter("number"))


def nodes_before(tensors: Sequence[Tensor]) -> Iterator[Node]:
    """The calls that tensors depend on."""
    seen, waiting = set(), list(tensors)
    while waiting:
        node = waiting.pop().node
        if node not in seen:
            seen.add(node)
            waiting += node.inputs
            yield node
