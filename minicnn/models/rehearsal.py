"""Kernels ahead of time."""

import copy
from dataclasses import replace

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.layers.open_sizes import sized, with_number
from minicnn.models.arguments import check_model
from minicnn.models.model import Model
from minicnn.threads import compute_threads
from minicnn.training.batches import Batch
from minicnn.training.sources import BATCH_SIZE


def warmup(model: Model, batch_size: int = BATCH_SIZE) -> None:
    """Compile, or load from the disk cache, every kernel that training and using a model needs.

    One iteration and one evaluation are computed on made-up data; weights, optimizer and random position are as before
    afterwards.

    Parameters
    ----------
    model : Model
        Built and compiled.
    batch_size : int, default 32

    Notes
    -----
    Kernels do not depend on sizes; an open one of the model's input is 64 here.
    """
    check_model(model, "warmup")._need_compiled()
    model._before_training()
    count = check_positive_int("batch_size", batch_size)
    engine = model.training_engine()
    with compute_threads(engine.backend):
        _rehearse(engine, count)


def _rehearse(engine, count):
    """Run an iteration and an evaluation on zeros, and put everything back."""
    model, store, optimizer = engine.model, engine.store, engine.optimizer
    before = store.theta.copy(), store.sigma.copy(), optimizer.iterations, optimizer.owner, engine.optimizer_state
    counted = vars(model).get("_last_totals")
    engine.optimizer_state = None
    graph = sized(model.graph, with_number([t.shape[1:] for t in model.inputs], 64))
    inputs = [np.zeros((count, *t.shape[1:]), np.float32) for t in graph.inputs]
    pairs = zip(model.compiled.losses, graph.outputs, strict=True)
    targets = [loss.placeholder_target(count, output.shape[1:]) for loss, output in pairs]
    batch, totals = Batch(inputs, targets, None, np.arange(count), count), _totals(engine, targets)
    try:
        engine.train_batch(batch, totals)
        engine.evaluate_batch(batch, totals)
    finally:
        store.theta[...], store.sigma[...], optimizer.iterations, optimizer.owner, engine.optimizer_state = before
        vars(model)["_last_totals"] = counted


def _totals(engine, targets):
    """The totals, with metrics of their own; without any where these want other targets than made-up ones."""
    compiled, none = engine.model.compiled, [[] for _ in targets]
    try:
        return _with_metrics(engine, targets, *copy.deepcopy((compiled.metrics, compiled.weighted_metrics)))
    except ValueError:
        return _with_metrics(engine, targets, none, none)


def _with_metrics(engine, targets, metrics, weighted_metrics):
    """The totals of a model that was compiled with these metrics."""
    attributes, compiled = vars(engine.model), engine.model.compiled
    attributes["compiled"] = replace(compiled, metrics=metrics, weighted_metrics=weighted_metrics)
    try:
        return engine.totals(targets)
    finally:
        attributes["compiled"] = compiled
