"""What happens around the training loop: history, progress, stopping."""

import sys
import time
from importlib.util import find_spec

import numpy as np

from minicnn.errors import check_choice

SECONDS_BETWEEN_DRAWS = 0.2


class Callback:
    """Base class; override what is needed.

    `logs` maps names to floats: "loss", metrics, and after an epoch the "val_…" ones.

    Attributes
    ----------
    model : Model
        Set before training starts.
    params : dict
        "epochs", "steps" (batches an epoch), "samples", "batch_size"; None where unknown.
    """

    model = None
    params = None

    def set_model(self, model) -> None:
        self.model = model

    def set_params(self, params) -> None:
        self.params = params

    def on_train_begin(self, logs=None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs=None) -> None:
        """After the last epoch, also when training was interrupted."""

    def on_epoch_begin(self, epoch, logs=None) -> None:
        """Before an epoch; `epoch` counts from 0."""

    def on_epoch_end(self, epoch, logs=None) -> None:
        """After an epoch and its validation."""

    def on_test_begin(self, logs=None) -> None:
        """Before the validation in an epoch."""

    def on_test_end(self, logs=None) -> None:
        """After the validation in an epoch."""

    def on_train_batch_begin(self, batch, logs=None) -> None:
        """Before a batch; `batch` counts from 0 in each epoch."""

    def on_train_batch_end(self, batch, logs=None) -> None:
        """After a batch; `logs` holds the epoch's averages so far."""


class CallbackList:
    """Calls several callbacks as one, and only those that override a method."""

    def __init__(self, callbacks, model, params):
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"a callback is an instance of callbacks.Callback. Received: {callback!r}")
            callback.set_model(model)
            callback.set_params(params)
        self.callbacks = callbacks

    def __call__(self, method, *args) -> None:
        """Call the method of that name of every callback that has one of its own."""
        for callback in self._with(method):
            getattr(callback, method)(*args)

    def wants(self, method) -> bool:
        """Whether any callback overrides the method; if not, its logs need not be computed."""
        return bool(self._with(method))

    def _with(self, method):
        plain = getattr(Callback, method)
        return [c for c in self.callbacks if getattr(getattr(c, method), "__func__", None) is not plain]


class History(Callback):
    """What `fit` returns.

    Attributes
    ----------
    epoch : list of int
    history : dict of list
        "loss", "accuracy", "val_loss", "val_accuracy", …: one value an epoch.
    """

    def on_train_begin(self, logs=None):
        self.epoch, self.history = [], {}

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class TerminateOnNaN(Callback):
    """Stop training, without an error, when the loss is NaN or infinite. The bad step does not change the weights.

    Without this callback a non-finite loss raises `minicnn.errors.NonFiniteError`.
    """

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is not None and not np.isfinite(loss):
            print(f"Batch {batch}: invalid loss, terminating training", file=sys.stderr)
            self.model.stop_training = True


class LambdaCallback(Callback):
    """A callback from functions.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end, on_train_begin, on_train_end, on_train_batch_begin, on_train_batch_end : callable,
    optional
    """

    _METHODS = (
        "on_epoch_begin",
        "on_epoch_end",
        "on_train_begin",
        "on_train_end",
        "on_train_batch_begin",
        "on_train_batch_end",
    )

    def __init__(self, **functions):
        unknown = sorted(set(functions) - set(self._METHODS))
        if unknown:
            raise ValueError(f"LambdaCallback takes {', '.join(self._METHODS)}. Received: {unknown}")
        for name, function in functions.items():
            if function is not None:
                setattr(self, name, function)


class EpochLines(Callback):
    """One line an epoch: seconds, images trained per second (validation not counted), loss and metrics."""

    def on_epoch_begin(self, epoch, logs=None):
        self._start, self._trained = time.perf_counter(), None

    def on_test_begin(self, logs=None):
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        seconds, samples = now - self._start, self.params["samples"]
        rate = f" - {samples / ((self._trained or now) - self._start):,.0f} images/s" if samples else ""
        print(f"Epoch {epoch + 1}/{self.params['epochs']} - {seconds:.1f}s{rate} - {_format(logs or {})}", flush=True)


class ProgressBar(EpochLines):
    """A bar with loss, metrics and images per second while an epoch runs, then its line; for terminals."""

    _bar = None

    def on_epoch_begin(self, epoch, logs=None):
        from tqdm import tqdm

        super().on_epoch_begin(epoch)
        samples = self.params["samples"]
        self._bar = tqdm(
            total=samples or self.params["steps"],
            desc=f"Epoch {epoch + 1}/{self.params['epochs']}",
            unit=" images" if samples else " batches",
            leave=False,
            dynamic_ncols=True,
        )

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self._drawn < SECONDS_BETWEEN_DRAWS:
            return
        self._drawn = time.monotonic()
        samples = self.params["samples"]
        done = min((batch + 1) * self.params["batch_size"], samples) if samples else batch + 1
        self._bar.set_postfix_str(_format(logs or {}), refresh=False)
        self._bar.update(done - self._bar.n)

    _drawn = 0.0

    def on_epoch_end(self, epoch, logs=None):
        self._close()
        super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs=None):
        self._close()

    def _close(self):
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def progress(verbose):
    """The callback for ``fit(verbose=…)``: a list of one or none.

    Parameters
    ----------
    verbose : {"auto", 0, 1, 2}
        0 shows nothing, 1 and "auto" a bar on a terminal and a line an epoch elsewhere, 2 a line an epoch.
    """
    check_choice("verbose", verbose, ("auto", 0, 1, 2, True, False))
    if not verbose:
        return []
    draws = verbose != 2 and sys.stderr.isatty() and find_spec("tqdm")
    return [ProgressBar() if draws else EpochLines()]


def _format(logs) -> str:
    """Names and values in one line."""
    return " - ".join(f"{name}: {value:.4f}" for name, value in logs.items())
