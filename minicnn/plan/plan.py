"""A graph made ready to run: steps in order, every buffer allocated, gradients wired up.

A plan is made once for a batch size and run many times: ``forward()`` runs the steps, ``backward()`` runs them in
reverse.
Nothing is allocated in between, nothing is recorded, nothing has to be zeroed: steps assign their gradients, and the
plan knows where a value or a weight is used several times and adds there.

Times, for deciding which arrays may share memory: step i runs forward at time i, the losses at time n, the backward
pass of step i at time 2n - i, and what the caller reads afterwards lives until 2n + 1.
"""

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np

from minicnn.plan.arena import Interval, pack
from minicnn.plan.fusion import fuse, simplify
from minicnn.plan.program import lower
from minicnn.step import Workspace

START = -1  # the time at which a batch is loaded


class Plan:
    """Runs a graph for batches of up to `batch_size` samples.

    Parameters
    ----------
    graph : Graph
    store : ParameterStore
        Holds the weights; its backend computes.
    batch_size : int
    training : bool
        True: layers act as in training, and gradients can be computed.
    logits_of : sequence of collections of str, optional
        For each output: names of final activations that its loss wants to see behind, such as {"softmax", "sigmoid"}.
    seed : int
        Key of the random numbers of dropout and the like.
    clock : object, optional
        Its attribute `step` is the number of the current training step; random numbers depend on it.
    fuses : bool, optional
        Whether steps are merged; default: as the backend does.
    input_gradients : bool
        Whether `backward` computes the inputs' gradients too.

    Attributes
    ----------
    places : list of Place
        The steps that run.
    nbytes : int
        Memory of all buffers together.
    """

    def __init__(
        self,
        graph,
        store,
        batch_size,
        training,
        logits_of=None,
        seed=0,
        clock=None,
        fuses=None,
        input_gradients=False,
    ):
        self.store, self.backend, self.batch_size, self.training = store, store.backend, batch_size, training
        self.seed, self.clock = seed, clock or SimpleNamespace(step=0)
        program = lower(graph)
        self.inputs, self.outputs = program.inputs, program.outputs
        self.heads = self._find_heads(program, logits_of or [()] * len(self.outputs))
        kept = {*self.outputs, *self.heads}
        simplify(program, kept, training)
        if self.backend.fuses if fuses is None else fuses:
            fuse(program, kept, training)
        self.places, self.shapes, self._readers = program.places, program.shapes, program.readers()
        self.with_gradient = self._values_with_gradient(input_gradients) if training else set()
        self.active = [place for place in self.places if self._has_backward(place)]
        self._aliases = self._alias_views()
        self._intervals = self._lifetimes()
        self.nbytes = pack(self._intervals.values())
        self._memory = self.backend.empty((self.nbytes,), np.uint8)
        self._bound = {}
        self._extra_gradients = self._prepare_weight_gradients()
        self._extra_heads = self._prepare_head_gradients()

    # ---------------------------------------------------------------------------------------------------- analysis

    def _find_heads(self, program, logits_of):
        """For each output, the value that its loss reads: the output, or what its final activation reads."""
        heads = []
        for output, names in zip(program.outputs, logits_of, strict=True):
            behind = program.final_step(output) in names
            heads.append(program.writer(output).inputs[0] if behind else output)
        return tuple(heads)

    @property
    def acts_as_in_training(self) -> bool:
        """Whether any step does what it does in training."""
        return self.training or any(place.training for place in self.places)

    def _values_with_gradient(self, input_gradients):
        """The values whose gradient is computed: those between a trainable weight (or a wanted input) and a loss."""
        depends = set(self.inputs) if input_gradients else set()
        for place in self.places:
            if any(w.trainable for w in place.step.weights) or depends & set(place.inputs):
                depends.add(place.output)
        matters = set(self.heads)
        for place in reversed(self.places):
            if place.output in matters and place.output in depends:
                matters.update(place.inputs)
        return depends & matters

    def _has_backward(self, place) -> bool:
        """Whether the backward pass runs this step."""
        return place.output in self.with_gradient

    def _alias_views(self):
        """Value → the value whose memory it shares; ("gradient", value) the same for gradients."""
        uses = Counter(value for place in self.places for value in place.inputs)
        aliases = {}
        for place in self.places:
            if place.step.is_view:
                (source,) = place.inputs
                aliases[place.output] = aliases.get(source, source)
                if uses[source] == 1 and source not in self.heads:
                    aliases["gradient", source] = place.output
        return aliases

    def _gradient_root(self, value):
        """The value in whose gradient's memory the gradient of `value` lies."""
        while ("gradient", value) in self._aliases:
            value = self._aliases["gradient", value]
        return value

    def _is_skipped(self, place) -> bool:
        """Whether the step's backward pass is nothing but another name for the same memory."""
        return place.step.is_view and ("gradient", place.inputs[0]) in self._aliases

    # ------------------------------------------------------------------------------------------------------ memory

    def _lifetimes(self):
        """Key of an array → `Interval`."""
        intervals = {}
        end = len(self.places)
        item = self.store.dtype.itemsize

        def use(key, time, size):
            intervals.setdefault(key, Interval(size, time, time)).extend(time)

        def use_value(value, time):
            use(("value", self._aliases.get(value, value)), time, self._bytes(self.shapes[value], item))

        def use_gradient(value, time):
            use(("gradient", self._gradient_root(value)), time, self._bytes(self.shapes[value], item))

        for value in self.inputs:
            use_value(value, START)
            if self.training:
                use_value(value, end)  # so that a step whose loss is not finite can be run again to find the layer
        for index, place in enumerate(self.places):
            backward_time = 2 * end - index
            active = self._has_backward(place)
            for value in place.inputs:
                use_value(value, index)
                if active and place.step.uses_input:
                    use_value(value, backward_time)
            use_value(place.output, index)
            if active and place.step.uses_output:
                use_value(place.output, backward_time)
            for name, buffer in self._buffers(place).items():
                size = np.dtype(buffer.dtype or self.store.dtype).itemsize
                for time in (index, backward_time) if active else (index,):
                    use(("buffer", index, name), time, self._bytes(buffer.shape, size, buffer.per_sample))
            if active:
                use_gradient(place.output, backward_time)
                for value, position, _ in self._input_gradients(index):
                    use_gradient(value, backward_time)
                    if position is not None:
                        use(("extra", index, position), backward_time, self._bytes(self.shapes[value], item))
        for output, head in zip(self.outputs, self.heads, strict=True):
            for time in (end, 2 * end + 1):
                use_value(output, time)
            use_value(head, end)
            if head in self.with_gradient:
                use_gradient(head, end)
        for value in self.inputs:
            if value in self.with_gradient:
                use_gradient(value, 2 * end + 1)
        return intervals

    def _bytes(self, shape, itemsize, per_sample=True) -> int:
        return math.prod(shape) * itemsize * (self.batch_size if per_sample else 1)

    def _buffers(self, place):
        shapes = tuple(self.shapes[v] for v in place.inputs)
        return place.step.buffers(shapes, self.shapes[place.output], self.training)

    def _array(self, key, shape, dtype=None, per_sample=True):
        """The array of that key, for a full batch."""
        shape = (self.batch_size, *shape) if per_sample else shape
        dtype = np.dtype(dtype or self.store.dtype)
        start = self._intervals[key].offset
        return self._memory[start : start + math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)

    def _value(self, value):
        return self._array(("value", self._aliases.get(value, value)), self.shapes[value])

    def _gradient(self, value):
        if value not in self.with_gradient:
            return None
        return self._array(("gradient", self._gradient_root(value)), self.shapes[value])

    # --------------------------------------------------------------------------------------------------- gradients

    def _input_gradients(self, index):
        """For each wanted input gradient of a step: (value, position, input number).

        `position` is None where the step assigns the value's gradient itself: it is the first to run backward among the
        readers and no loss has assigned it. Otherwise it numbers an array of its own, which the plan then adds.
        """
        place = self.places[index]
        if self._is_skipped(place):
            return
        seen = set()
        for number, value in enumerate(place.inputs):
            if value not in self.with_gradient:
                continue
            later = [r for r in self._readers[value] if self._has_backward(r)]
            assigns = value not in self.heads and later[-1] is place and value not in seen
            seen.add(value)
            yield value, None if assigns else number, number

    def _prepare_weight_gradients(self):
        """(place's output, weight) → an array of its own where a later place has assigned the gradient."""
        extra, assigned = {}, set()
        for place in reversed(self.active):
            for weight in place.step.weights:
                if weight.trainable and weight in assigned:
                    extra[place.output, weight] = self.backend.zeros(weight.shape, self.store.dtype)
                assigned.add(weight)
        for weight, gradient in self.store.gradients.items():
            if self.training and weight not in assigned:
                gradient.fill(0)
        return extra

    def _prepare_head_gradients(self):
        """Output number → an array of its own where the loss of an earlier output reads the same value."""
        return {
            number: self.backend.empty((self.batch_size, *self.shapes[head]), self.store.dtype)
            for number, head in enumerate(self.heads)
            if head in self.with_gradient and head in self.heads[:number]
        }

    # ------------------------------------------------------------------------------------------------------ running

    def bind(self, count: int):
        """The plan's arrays for a batch of `count` samples, as a `BoundPlan`; made once for each count."""
        if count not in self._bound:
            if not 0 < count <= self.batch_size:
                raise ValueError(f"this plan takes 1 to {self.batch_size} samples. Received: {count}")
            self._bound[count] = BoundPlan(self, count)
        return self._bound[count]

    def workspace(self, index, count) -> Workspace:
        """What the step at `index` touches, for a batch of `count` samples."""
        place, ws = self.places[index], Workspace()
        ws.ops = self.backend.ops
        ws.training = self.training if place.training is None else place.training
        ws.input_shapes = tuple(self.shapes[v] for v in place.inputs)
        ws.output_shape = self.shapes[place.output]
        ws.seed, ws.stream, ws.clock = self.seed, place.stream, self.clock
        ws.xs = tuple(self._value(v)[:count] for v in place.inputs)
        ws.y = self._value(place.output)[:count]
        ws.params = {w.name: self.store.values[w] for w in place.step.weights}
        ws.buffers = {}
        for name, buffer in self._buffers(place).items():
            array = self._array(("buffer", index, name), buffer.shape, buffer.dtype, buffer.per_sample)
            ws.buffers[name] = array[:count] if buffer.per_sample else array
        ws.dy, ws.dxs, ws.grads, ws.additions = None, (None,) * len(place.inputs), {}, []
        if self._has_backward(place):
            self._wire_gradients(ws, index, count)
        place.step.bind(ws)
        return ws

    def _wire_gradients(self, ws, index, count):
        """Point a workspace's gradients at their arrays, and list what has to be added afterwards."""
        place = self.places[index]
        ws.dy = self._gradient(place.output)[:count]
        dxs = [None] * len(place.inputs)
        for value, position, number in self._input_gradients(index):
            total = self._gradient(value)[:count]
            dxs[number] = total
            if position is not None:
                dxs[number] = self._array(("extra", index, position), self.shapes[value])[:count]
                ws.additions.append((total, dxs[number]))
        ws.dxs = tuple(dxs)
        for weight in place.step.weights:
            gradient = self.store.gradients[weight] if weight.trainable else None
            extra = self._extra_gradients.get((place.output, weight))
            ws.grads[weight.name] = gradient if extra is None else extra
            if extra is not None:
                ws.additions.append((gradient, extra))


class BoundPlan:
    """A plan's arrays for one number of samples.

    Attributes
    ----------
    inputs, outputs : list of array
        Where a batch is put, and where the results are.
    heads, head_gradients : list of array
        What the losses read, and what they assign (None where no trainable weight is behind).
    from_logits : list
        For each loss: True if it reads what is before the final activation, None if that is its own affair.
    input_gradients : list of array or None
    """

    def __init__(self, plan, count):
        self.plan, self.count = plan, count
        self.inputs = [plan._value(v)[:count] for v in plan.inputs]
        self.outputs = [plan._value(v)[:count] for v in plan.outputs]
        self.heads = [plan._value(v)[:count] for v in plan.heads]
        self.head_gradients = [None if (g := plan._gradient(v)) is None else g[:count] for v in plan.heads]
        self.from_logits = [True if h != o else None for h, o in zip(plan.heads, plan.outputs, strict=True)]
        self._head_additions = []
        for number, extra in plan._extra_heads.items():
            self._head_additions.append((self.head_gradients[number], extra[:count]))
            self.head_gradients[number] = extra[:count]
        self.input_gradients = [None if (g := plan._gradient(v)) is None else g[:count] for v in plan.inputs]
        workspaces = [plan.workspace(index, count) for index in range(len(plan.places))]
        pairs = list(zip(plan.places, workspaces, strict=True))
        self._forward = [(p.step.forward, ws.xs, ws, p) for p, ws in pairs if not p.step.is_view]
        self._backward = [
            (p.step.backward, ws.dy, ws)
            for p, ws in reversed(pairs)
            if plan._has_backward(p) and not plan._is_skipped(p)
        ]

    def forward(self, iteration: int | None = None) -> None:
        """Compute the outputs from the inputs; random numbers depend on the iteration."""
        if iteration is not None:
            self.plan.clock.step = iteration
        for forward, xs, ws, _ in self._forward:
            forward(xs, ws)

    def backward(self) -> None:
        """Compute all gradients from the gradients of the heads, after `forward`."""
        for total, extra in self._head_additions:
            total += extra
        for backward, dy, ws in self._backward:
            backward(dy, ws)
            for total, extra in ws.additions:
                total += extra

    def first_non_finite(self):
        """Name of the first layer whose output is not finite; None if all are. Runs all steps again."""
        xp = self.plan.backend.xp
        for forward, xs, ws, place in self._forward:
            forward(xs, ws)
            if not xp.isfinite(ws.y).all():
                return place.layer_name
        return None
