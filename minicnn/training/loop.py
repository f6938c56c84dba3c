"""The loop over epochs and batches."""

from collections.abc import Container

from minicnn.callbacks import TerminateOnNaN
from minicnn.training import advice, passes, told_metrics
from minicnn.training.evaluation import evaluate_source
from minicnn.training.interrupts import deferred_interrupt
from minicnn.training.progress import Progress


def run_epochs(progress: Progress, epochs: int, shuffle: bool, validation_freq: int | Container[int]) -> None:
    """The loop of `fit`.

    Parameters
    ----------
    progress : Progress
        Of the model, its data and callbacks; where the training stands.
    epochs, shuffle, validation_freq :
        Arguments of `Model.fit`.
    """
    model, callbacks, logs = progress.model, progress.callbacks, {}
    validated = validation_freq if isinstance(validation_freq, Container) else range(0, epochs + 1, validation_freq)
    model.stop_training = False
    callbacks("on_train_begin")
    try:
        with deferred_interrupt(model.engine.agreed) as check_interrupt:
            callbacks("on_run_begin", progress)
            first = progress.epoch
            while progress.epoch < epochs and (progress.batch > 0 or not model.stop_training):
                epoch = progress.epoch
                told_metrics.forget(progress)
                callbacks("on_epoch_begin", epoch)
                _run_batches(progress, shuffle, check_interrupt)
                if progress.batch == 0:
                    passes.explain_end(epoch - first)
                    break
                logs = progress.totals.logs()
                if progress.validation is not None and epoch + 1 in validated:
                    values = evaluate_source(model, progress.validation, callbacks)
                    logs |= {f"val_{name}": value for name, value in values.items()}
                progress.epoch, progress.batch = epoch + 1, 0
                callbacks("on_epoch_end", epoch, logs)
                model.stop_training = bool(model.engine.agreed(bool(model.stop_training)))
            model.optimizer.finish(model.engine)
        progress.completed = True  # not before Ctrl-C in the last epoch has been looked at
    finally:
        callbacks("on_train_end", logs)


def _run_batches(progress, shuffle, check_interrupt):
    """The batches that an epoch has left, up to one after which a callback stops the training."""
    model, callbacks = progress.model, progress.callbacks
    stops_on_nan = any(isinstance(c, TerminateOnNaN) and not c.raise_error for c in callbacks.callbacks)
    wants_batches = callbacks.wants("on_train_batch_end")
    engine = advice.training_engine(model)  # a callback may have frozen layers
    progress.epochs_trained, progress.source.number = model.epochs_trained, progress.epoch
    if shuffle and progress.source.goes_on(progress.batch):
        model.epochs_trained -= 1  # what is left of the last order
    order = model.next_epoch_generator() if shuffle else None
    model.stop_training = check_interrupt(model.stop_training)
    batches = () if model.stop_training else engine.batches(progress.source, order, progress.batch)
    for index, batch in enumerate(batches, progress.batch):
        progress.start_totals(batch.targets)
        callbacks("on_train_batch_begin", index)
        outcome = engine.train_batch(batch, progress.totals)
        if not stops_on_nan:
            outcome.demand_finite(progress.epoch, index)
        progress.batch = index + 1
        if wants_batches:
            callbacks("on_train_batch_end", index, progress.totals.logs_when_read())
        model.stop_training = check_interrupt(model.stop_training)
        if model.stop_training:
            return
    check_interrupt()  # Ctrl-C while the source looked for one more batch
    if progress.batch > 0:
        progress.source.warn_if_short(progress.batch)
