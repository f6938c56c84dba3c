"""Kernels ahead of time."""

from minicnn.checks import check_positive_int
from minicnn.models.model import Model
from minicnn.threads import compute_threads
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
    """
    model._need_compiled()
    model._before_training()
    count = check_positive_int("batch_size", batch_size)
    engine = model.training_engine()
    with compute_threads(engine.backend):
        engine.rehearse(count)
