"""Steps that move averages at several places move them in the order of the program, whatever is merged with them."""

from collections import Counter
from collections.abc import Callable

from minicnn.layers.activations import ReLU
from minicnn.layers.normalization import BatchNormalization
from minicnn.plan.program import Place, Program


def passing(program: Program) -> Callable[[Place, Place], bool]:
    """Whether a step would run behind another place of its layer, if it were merged into where a second one stands.

    A ReLU of such a layer is first put right behind it, where it may be merged: it reads nothing else.

    Parameters
    ----------
    program : Program
        Changed in place.
    """
    count = Counter(place.step for place in program.places if isinstance(place.step, BatchNormalization))
    shared = {layer for layer, places in count.items() if places > 1}
    if not shared:
        return lambda place, then: False
    _draw_near(program, shared)
    position = {place.output: i for i, place in enumerate(program.places)}

    def passes(place: Place, then: Place) -> bool:
        layer = getattr(place.step, "layer", place.step)
        between = program.places[position[place.output] + 1 : position[then.output]]
        return layer in shared and any(other.step is layer for other in between)

    return passes


def _draw_near(program, shared):
    """Put the only reader of such a layer's output right behind it, if it is a ReLU."""
    readers, near = program.readers(), {}
    for place in program.places:
        found = readers[place.output]
        if place.step in shared and len(found) == 1 and isinstance(found[0].step, ReLU):
            near[place] = found[0]
    moved = set(near.values())
    order = [place for place in program.places if place not in moved]
    program.places = [each for place in order for each in (place, near.get(place)) if each is not None]
