"""The loop over epochs and batches, and Ctrl-C."""

import signal
import threading
import warnings
from contextlib import contextmanager

from minicnn.callbacks import TerminateOnNaN
from minicnn.errors import DataError
from minicnn.training.evaluation import evaluate_source
from minicnn.training.progress import Run


def run_epochs(model, source, validation, callbacks, epochs, initial_epoch, shuffle, validation_freq):
    """The loop of `fit`.

    Parameters
    ----------
    source, validation : ArraySource or StreamSource
        `validation` may be None.
    callbacks : CallbackList
    """
    run = Run(model, source, validation, callbacks, initial_epoch)
    stops_on_nan = any(isinstance(c, TerminateOnNaN) and not c.raise_error for c in callbacks.callbacks)
    wants_batches = callbacks.wants("on_train_batch_end")
    model.stop_training = False
    logs = {}
    callbacks("on_train_begin")
    try:
        with deferred_interrupt() as check_interrupt:
            callbacks("on_run_begin", run)
            first = run.epoch
            while run.epoch < epochs and (run.batch > 0 or not model.stop_training):
                epoch = run.epoch
                callbacks("on_epoch_begin", epoch)
                engine = model.training_engine()  # a callback may have frozen layers
                run.epochs_trained = model.epochs_trained
                order = model.next_epoch_generator() if shuffle else None
                number = run.batch - 1
                batches = () if model.stop_training else engine.batches(source, order, run.batch)
                for number, batch in enumerate(batches, run.batch):
                    check_interrupt()
                    run.start_totals(batch.targets)
                    if number == 0:
                        run.totals.reset()
                    callbacks("on_train_batch_begin", number)
                    loss, bound = engine.train_batch(batch, run.totals)
                    if not stops_on_nan:
                        engine.check_finite(loss, bound, epoch, number)
                    run.batch = number + 1
                    if wants_batches:
                        callbacks("on_train_batch_end", number, run.totals.logs_when_read())
                    if model.stop_training:
                        break
                check_interrupt()
                if number < 0:
                    _explain_empty_source(epoch, first)
                    break
                logs = run.totals.logs()
                if validation is not None and (epoch + 1) % validation_freq == 0:
                    values = evaluate_source(model, validation, callbacks)
                    logs |= {f"val_{name}": value for name, value in values.items()}
                run.epoch, run.batch = epoch + 1, 0
                callbacks("on_epoch_end", epoch, logs)
        run.completed = True  # not before Ctrl-C in the last epoch has been looked at
    finally:
        callbacks("on_train_end", logs)


def _explain_empty_source(epoch, initial_epoch) -> None:
    """Raise `DataError` if there was no data at all; warn if it has run out."""
    if epoch == initial_epoch:
        raise DataError("the generator gave no batch: expected at least one. Received: none")
    warnings.warn(
        f"the data ran out after {epoch - initial_epoch} epoch(s), training stops: give steps_per_epoch= and a "
        "generator that goes on, or a Sequence, which can be read again",
        stacklevel=4,
    )


@contextmanager
def deferred_interrupt():
    """Inside, Ctrl-C waits for the end of the batch, so that no weight is half updated; a second one does not wait.

    Yields a function to be called between batches, which raises KeyboardInterrupt if Ctrl-C was pressed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    pressed = []
    previous = signal.getsignal(signal.SIGINT)

    def remember(signum, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(signum)

    def check():
        if pressed:
            raise KeyboardInterrupt

    if previous is not signal.default_int_handler:  # the program handles Ctrl-C in its own way
        yield lambda: None
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, previous)
    check()
