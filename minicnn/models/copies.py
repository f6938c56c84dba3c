"""Models for pickle and copy: joblib and multiprocessing send them so, scikit-learn copies them so.

A copy has everything: weights, what was compiled, the optimizer's state, history, the random position. Layers and
models that several models share are shared by their copies too, if these are made together.
"""

from __future__ import annotations

import copyreg
import weakref
from typing import TYPE_CHECKING, Any

from minicnn import backends
from minicnn.backends import memory
from minicnn.graph import Graph, Node, Tensor
from minicnn.layers.call_order import InCallOrder, like
from minicnn.nested import mapped, packed
from minicnn.parameters import Weight
from minicnn.training import told_metrics
from minicnn.training.engine import Engine

if TYPE_CHECKING:
    from minicnn.models.compilable import CompilableNetwork


def state_of(model: CompilableNetwork) -> dict[str, Any]:
    """A model's attributes, with its position in training instead of the engine."""
    state = vars(model) | {"nodes": [], "_engine": _position(model)}
    state |= {"_has_counted": told_metrics.have_counted(model) or None, "_last_totals": None}
    if model._structures is not None:  # whose tensors lead to all others
        state["_structures"] = tuple(mapped(lambda tensor: None, structure) for structure in model._structures)
    return state


def put_state(model: CompilableNetwork, state: dict[str, Any]) -> None:
    """Give a new object the attributes that `state_of` returned."""
    position = state["_engine"]
    vars(model).update(state | {"_engine": None})
    if model._structures is not None:
        ends = zip(model._structures, (model.graph.inputs, model.graph.outputs), strict=True)
        model._structures = tuple(packed(structure, tensors) for structure, tensors in ends)
    if position is not None:
        model._engine = engine = Engine(model, backends.get("numpy"))  # which the model's own takes over from
        engine.calls, engine._layout, engine.optimizer_state = position["calls"], position["layout"], position["state"]
        if position["owns"] and not _has_owner(model.optimizer):
            model.optimizer.owner = weakref.ref(model)


def _has_owner(optimizer) -> bool:
    """Whether a model trains with it: a shallow copy has the optimizer of the model that it was made of."""
    return optimizer.owner is not None and optimizer.owner() is not None


def _position(model):
    """What the engine keeps from one iteration to the next, in arrays on the host; None if there is no engine."""
    engine = model._engine
    if engine is None:
        return None
    state = engine.optimizer_state
    state = state and {name: engine.backend.to_host(vector) for name, vector in state.items()}
    owner = None if model.compiled is None else model.optimizer.owner
    owns = owner is not None and owner() is model
    return {"calls": engine.calls, "layout": engine._layout, "state": state, "owns": owns}


def _taken_apart(graph):
    """A graph's calls in a list: what leads from tensor to tensor would be deeper than Python's stack.

    Of a layer at whose output the graph begins, the inputs lie outside: only their shapes are kept.
    """
    numbers = {t: number for number, t in enumerate(t for node in graph.nodes for t in node.outputs)}
    given = set(graph.inputs)
    calls = [
        (
            node.layer,
            [t.shape[1:] if given & set(node.outputs) else numbers[t] for t in node.inputs],
            [t.shape[1:] for t in node.outputs],
            node.training,
        )
        for node in graph.nodes
    ]
    ends = ([numbers[t] for t in end] for end in (graph.inputs, graph.outputs))
    kept = {"remade": graph.remade, "stand_in": graph.stand_in}
    return _put_together, (calls, *ends, type(graph)), kept


def _put_together(calls, inputs, outputs, kind=Graph):
    tensors = []
    for layer, numbers, shapes, training in calls:
        sources = [tensors[n] if isinstance(n, int) else Tensor(n, None) for n in numbers]
        node = Node(layer, sources, shapes, training)
        vars(layer).setdefault("nodes", []).append(node)
        tensors += node.outputs
    ends = [tensors[number] for number in inputs], [tensors[number] for number in outputs]
    return like(kind, *ends, dict.fromkeys(tensor.node for tensor in tensors))


def _weight_taken_apart(weight):
    rest = {name: value for name, value in vars(weight).items() if name != "value"}
    return _weight, (weight.numpy(),), rest | {"store": None}


def _weight(values):
    """A weight with values of its own, where the kernels like them to be."""
    weight = Weight.__new__(Weight)
    weight.value = memory.empty(values.shape, values.dtype)
    weight.value[...] = values
    return weight


copyreg.pickle(Graph, _taken_apart)
copyreg.pickle(InCallOrder, _taken_apart)
copyreg.pickle(Weight, _weight_taken_apart)
