"""`Model.summary`: the table that it prints."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from minicnn.console import hand_over
from minicnn.models.flops import graph_flops, node_flops
from minicnn.models.forms import InForm

if TYPE_CHECKING:
    from minicnn.models.network import Network


class Summarized(InForm):
    """A network that can print what it consists of."""

    def summary(
        self,
        line_length: int | None = None,
        expand_nested: bool = False,
        print_fn: Callable[[str], object] | None = None,
        flops: bool = False,
        show_trainable: bool = False,
    ) -> None:
        """Print a table of the layers, their output shapes and their numbers of parameters.

        Parameters
        ----------
        line_length :
            Accepted for Keras's sake; columns are as wide as they need to be.
        expand_nested : bool
            Whether the layers of models used as layers are listed too.
        print_fn : callable, optional
            Takes the text. Where its characters cannot be written, the table is drawn in ASCII.
        flops : bool, default False
            Whether there is a column with each layer's floating-point operations for one sample, in use; see
            docs/why.md for what counts.
        show_trainable : bool, default False
            Whether there is a column that says of each layer with weights whether they are trained: Y or N.
        """
        hand_over(summary_text(self, expand_nested, flops, show_trainable), print_fn)


def summary_text(model: Network, expand_nested: bool = False, flops: bool = False, show_trainable: bool = False) -> str:
    """Layers, output shapes and parameter counts in Keras 3's form.

    Parameters
    ----------
    model : Model
    expand_nested : bool, default False
        Whether the layers of a model that is used as a layer get rows of their own.
    flops : bool, default False
        Whether there is a column for each layer's operations.
    show_trainable : bool, default False
        Whether there is one that says which layers are trained.
    """
    functional = any(len(node.inputs) > 1 or len(node.outputs[0].node.layer.nodes) > 1 for node in _nodes(model))
    functional = functional or _branches(model)
    header = ["Layer (type)", "Output Shape", "Param #", *(["FLOPs"] if flops else [])]
    header += ["Connected to"] if functional else []
    header += ["Trainable"] if show_trainable else []
    rows = _rows(model, functional, expand_nested, flops, show_trainable)
    work = f"\n Total FLOPs: {_count(graph_flops(model.graph))} (one sample)" if flops and model.built else ""
    return f'Model: "{model.name}"\n{_table(header, rows, right={2, 3} if flops else {2})}\n{_totals(model)}{work}'


def _count(number) -> str:
    """A number of operations, where it is known."""
    return "?" if number is None else f"{number:,}"


def _nodes(model):
    return model.graph.nodes if model.built else []


def _branches(model) -> bool:
    """Whether any tensor is read twice, or the model has several inputs or outputs."""
    read = [tensor for node in _nodes(model) for tensor in node.inputs]
    several_ends = model.built and (len(model.inputs) > 1 or len(model.outputs) > 1)
    return several_ends or len(set(read)) != len(read)


def _rows(model, functional, expand_nested, flops, show_trainable, indent=""):
    """One row of cells for each layer."""
    rows = []
    for layer in model.layers:
        kind = f"{indent}{layer.name} ({type(layer).__name__})"
        count = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
        row = [kind, _output_shape(model, layer), count, *([_flops(model, layer)] if flops else [])]
        if functional:
            row.append(_connections(model, layer) if not indent else "")
        if show_trainable:
            row.append("-" if not layer.weights else "Y" if layer.trainable else "N")
        rows.append(row)
        if expand_nested and hasattr(layer, "layers") and hasattr(layer, "structure"):  # a model: no Pipeline
            rows += _rows(layer, functional, True, flops, show_trainable, indent + "  └ ")
    return rows


def _flops(model, layer) -> str:
    """The operations of all calls of a layer in this model."""
    entries = {tensor.node for tensor in model.inputs} if model.built else ()
    counts = [0 if node in entries else node_flops(node) for node in _nodes(model) if node.layer is layer]
    return _count(None if None in counts or not counts else sum(counts))


def _output_shape(model, layer) -> str:
    """The shape, or several, that the layer gives in this model."""
    shapes = [t.shape for node in _nodes(model) if node.layer is layer for t in node.outputs]
    shapes = list(dict.fromkeys(shapes))
    if not shapes:
        return "?"
    return str(shapes[0]) if len(shapes) == 1 else ", ".join(map(str, shapes))


def _connections(model, layer) -> str:
    """Names of the layers that feed this one."""
    names = [t.name for node in model.graph.nodes if node.layer is layer for t in node.inputs]
    return ", ".join(dict.fromkeys(names)) or "-"


def _table(header, rows, right) -> str:
    """A table drawn with box characters; columns in `right` are right-aligned."""
    widths = [max(len(line[c]) for line in [header, *rows]) for c in range(len(header))]

    def line(cells, edge):
        aligned = [
            cell.rjust(w) if c in right else cell.ljust(w)
            for c, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"{edge} " + f" {edge} ".join(aligned) + f" {edge}"

    def rule(left, middle, end, stroke):
        return left + middle.join(stroke * (w + 2) for w in widths) + end

    body = f"\n{rule('├', '┼', '┤', '─')}\n".join(line(row, "│") for row in rows)
    parts = [rule("┏", "┳", "┓", "━"), line(header, "┃"), rule("┡", "╇", "┩", "━"), body, rule("└", "┴", "┘", "─")]
    return "\n".join(part for part in parts if part)


def _totals(model) -> str:
    """The three lines below the table."""
    weights = model.weights
    trainable = [w for w in weights if w.trainable]
    frozen = [w for w in weights if not w.trainable]
    parts = (("Total", weights), ("Trainable", trainable), ("Non-trainable", frozen))
    return "\n".join(f" {label} params: {sum(w.size for w in part):,} ({_memory(part)})" for label, part in parts)


def _memory(weights) -> str:
    """Bytes of weights in a readable unit."""
    size = sum(w.size * w.dtype.itemsize for w in weights)
    unit = 0 if size == 0 else min(int(math.log(size, 1024)), 3)
    return f"{size / 1024**unit:.2f} {('B', 'KB', 'MB', 'GB')[unit]}"
