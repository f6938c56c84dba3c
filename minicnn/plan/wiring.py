"""Which arrays every step of a program touches, and when.

Times: step i runs forward at time i, the losses at time n, the backward pass of step i at time 2n - i, and what the
caller reads afterwards lives until 2n + 1. Arrays that are never in use at the same time may share memory.
"""

from dataclasses import dataclass, field

import numpy as np

from minicnn.parameters import BorrowedWeights, ParameterStore, Weight
from minicnn.plan.arena import Interval, Slot
from minicnn.plan.casting import stored_dtypes
from minicnn.plan.program import Place, Program
from minicnn.plan.waiting import uses_of_what_waits, waiting_gradients

START = -1  # the time at which a batch is loaded


@dataclass
class Wires:
    """What the step at one place touches.

    Attributes
    ----------
    place : Place
    xs, y : Slots
        A view's y is its x in another shape.
    buffers : dict
        Name → Slot.
    dy : Slot or None
        None: the backward pass does not run the step.
    dxs : tuple of Slot or None
        Where the step assigns the gradient of each input.
    grads : dict
        Weight → Slot where the step assigns its gradient, if a later place has assigned the weight's own already.
    additions : list of (Slot, Slot)
        (total, what is added to it after the backward step).
    """

    place: Place
    xs: tuple[Slot, ...]
    y: Slot
    buffers: dict[str, Slot]
    dy: Slot | None = None
    dxs: tuple[Slot | None, ...] = ()
    grads: dict[Weight, Slot] = field(default_factory=dict)
    additions: list[tuple[Slot, Slot]] = field(default_factory=list)

    def used_forward(self) -> list[Slot]:
        """What has to be there while the step runs forward."""
        return [*self.xs, self.y, *self.buffers.values()]

    def used_backward(self) -> list[Slot]:
        """What has to be there while the step runs backward."""
        if self.dy is None:
            return []
        step = self.place.step
        kept = [*(self.xs if step.uses_input else ()), *([self.y] if step.uses_output else ())]
        totals, assigned = [total for total, _ in self.additions], [dx for dx in self.dxs if dx is not None]
        return [*kept, *self.buffers.values(), self.dy, *totals, *assigned, *self.grads.values()]


class Wiring:
    """The slots of a program.

    Parameters
    ----------
    program : Program
    heads : tuple of int or None
        The values that the losses read; None for an output without one.
    measured : tuple of int or None
        Those that metrics read beside the outputs.
    store : ParameterStore or BorrowedWeights
    batch_size : int
    training : bool
        Whether gradients will be computed.
    input_gradients : bool
        Whether those of the inputs are wanted too.

    Attributes
    ----------
    places : list of Wires
        What each place touches, in the order of the program.
    waiting : list of list of int, or None
        Places whose gradients by kernels are computed together, see `plan.waiting`.
    inputs, outputs, heads, measured : list of Slot
    head_gradients : list of Slot or None
        Where each loss assigns its gradient.
    zero_gradients : list of Slot
        Behind penalties whose output no loss depends on: 0 before the backward pass.
    head_additions : list of (Slot, Slot)
        (total, what is added to it after the losses): several losses may read one value.
    input_gradients : list of Slot or None
    """

    def __init__(
        self,
        program: Program,
        heads: tuple[int | None, ...],
        measured: tuple[int | None, ...],
        store: ParameterStore | BorrowedWeights,
        batch_size: int,
        training: bool,
        input_gradients: bool,
    ) -> None:
        self._program, self._heads, self._remembers = program, heads, store.backend.remembers
        self._dtype, self._batch_size, self._training = store.dtype, batch_size, training
        self._dtypes = stored_dtypes(program, (*heads, *measured), store)
        self._values = self._value_slots()
        wanted = program.values_with_gradient(heads, input_gradients) if training else set()
        self._gradients = {value: self._slot(program.shapes[value], self._dtypes.get(value)) for value in wanted}
        passed_on = self._share_gradients_of_views()
        self.zero_gradients: list[Slot] = [self._gradients[value] for value in self._read_by_no_loss()]
        active = dict.fromkeys(p for p in program.places if p.output in wanted and p not in passed_on)
        self._last_reader = {value: place for place in active for value in place.inputs}
        self._last_user = {weight: place for place in active for weight in place.step.weights}
        self.places: list[Wires] = [self._wire(place, place in active) for place in program.places]
        self.waiting: list[list[int]] | None = waiting_gradients(self.places, store.backend)
        self.inputs: list[Slot] = [self._values[value] for value in program.inputs]
        self.outputs: list[Slot] = [self._values[value] for value in program.outputs]
        self.heads: list[Slot | None] = [self._values.get(value) for value in heads]
        self.measured: list[Slot | None] = [self._values.get(value) for value in measured]
        self.head_additions: list[tuple[Slot, Slot]] = []
        self.head_gradients: list[Slot | None] = [self._head_gradient(i) for i in range(len(heads))]
        self.input_gradients: list[Slot | None] = [self._gradients.get(value) for value in program.inputs]

    def used_weights(self) -> set[Weight]:
        """The weights whose gradients the backward pass assigns."""
        return set(self._last_user)

    def lifetimes(self) -> list[Interval]:
        """The bytes of all slots, with the times at which they are in use."""
        n, intervals = len(self.places), {}
        # To the end in training: a step whose loss is not finite is run again to find the layer; and where `LastCall`
        # has inputs looked for elsewhere: nothing else lies in them.
        uses = [(START, self.inputs), (n if self._training or self._remembers else START, self.inputs)]
        for i, wires in enumerate(self.places):
            uses += [(i, wires.used_forward()), (2 * n - i, wires.used_backward())]
        uses += uses_of_what_waits(self.places, self.waiting)
        penalized = [wires.y for wires in self.places if wires.place.step.has_penalty]  # read when all steps have run
        uses += [(n, penalized), (2 * n + 1, [*self.outputs, *self.measured]), (n, self.heads)]
        uses += [(n, self.head_gradients), (n, self.zero_gradients), (2 * n + 1, self.input_gradients)]
        for time, slots in uses:
            for slot in slots:
                if slot is not None:
                    slot.interval.use(time)
                    intervals[slot.interval] = None
        return list(intervals)

    def _slot(self, shape, dtype=None, per_sample=True):
        return Slot.new(shape, np.dtype(dtype or self._dtype), self._batch_size, per_sample)

    def _value_slots(self):
        """Value → its slot, of those that are left in the program."""
        shapes = self._program.shapes
        slots = {value: self._slot(shapes[value]) for value in self._program.inputs}
        for place in self._program.places:
            shape, dtype = shapes[place.output], self._dtypes.get(place.output)
            is_view = place.step.is_view
            slots[place.output] = slots[place.inputs[0]].in_shape(shape) if is_view else self._slot(shape, dtype)
        return slots

    def _share_gradients_of_views(self):
        """Let a view's x have its y's gradient in another shape, if nobody else reads x; returns these places."""
        readers, places = self._program.readers(), set()
        for place in reversed(self._program.places):
            x = place.inputs[0] if place.inputs else None
            is_wanted = x in self._gradients and place.output in self._gradients
            if place.step.is_view and is_wanted and readers[x] == [place] and x not in self._heads:
                self._gradients[x] = self._gradients[place.output].in_shape(self._program.shapes[x])
                places.add(place)
        return places

    def _read_by_no_loss(self):
        """Values behind a penalty whose gradient nothing else assigns."""
        readers, wanted = self._program.readers(), self._gradients
        values = [p.output for p in self._program.places if p.step.has_penalty and p.output in wanted]
        read = {value for value in values for reader in readers[value] if reader.output in wanted}
        return [value for value in values if value not in read and value not in self._heads]

    def _wire(self, place, is_active):
        """The wires of one place."""
        xs, y = tuple(self._values[value] for value in place.inputs), self._values[place.output]
        buffers = place.step.buffers(tuple(x.shape for x in xs), y.shape, self._training)
        slots = {name: self._slot(b.shape, b.dtype, b.per_sample) for name, b in buffers.items()}
        wires = Wires(place, xs, y, slots, dxs=(None,) * len(xs))
        if is_active:
            wires.dy = self._gradients[place.output]
            wires.dxs = tuple(self._input_gradient(wires, i) for i in range(len(xs)))
            wires.grads = {
                weight: self._slot(weight.shape, per_sample=False)
                for weight in place.step.weights
                if weight.trainable and self._last_user[weight] is not place and weight.name not in place.step.unread
            }
        return wires

    def _input_gradient(self, wires, i):
        """Where a step assigns the gradient of its input i.

        The value's own gradient, for the first that runs backward among its readers, if no loss has assigned it;
        otherwise an array of its own, which is then added.
        """
        place = wires.place
        value = place.inputs[i]
        total = self._gradients.get(value)
        is_first = self._last_reader[value] is place and value not in place.inputs[:i] and value not in self._heads
        if total is None or is_first:
            return total
        own = self._slot(total.shape, total.dtype)
        wires.additions.append((total, own))
        return own

    def _head_gradient(self, i):
        """Where the loss of output i assigns its gradient; an array of its own if an earlier loss reads the value."""
        total = self._gradients.get(self._heads[i])
        if total is None or self._heads[i] not in self._heads[:i]:
            return total
        own = self._slot(total.shape)
        self.head_additions.append((total, own))
        return own
