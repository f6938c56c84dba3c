"""What a training shows while it runs."""

import sys
import time
from html import escape
from numbers import Real
from typing import Literal

from minicnn.callbacks.base import Callback
from minicnn.callbacks.drawing import curves
from minicnn.checks import check_choice
from minicnn.compile_time import compile_seconds
from minicnn.console import is_terminal, printable, say
from minicnn.hints import Logs
from minicnn.saving.snapshot import as_text

SECONDS_BETWEEN_DRAWS = 0.2
LEAST_SECONDS = 0.1  # of compiling that are worth a word
LONGEST = 40  # characters of what a callback has put into the logs and is no number


class EpochLines(Callback):
    """One line an epoch: seconds, images trained per second, loss and metrics.

    Images per second are those of the training alone: neither validation counts, nor the compiling of kernels, which
    the line names where it took a tenth of a second or more.
    """

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._start, self._trained = time.perf_counter(), None
        self._compiled, self._compiled_training = compile_seconds(), None

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._trained, self._compiled_training = time.perf_counter(), compile_seconds() - self._compiled

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        seconds, rate = time.perf_counter() - self._start, self.images_per_second()
        compiling = compile_seconds() - self._compiled
        waited = f" ({compiling:.1f}s of it compiling)" if compiling >= LEAST_SECONDS else ""
        speed = f" - {rate:,.0f} images/s" if rate else ""
        say(f"Epoch {epoch + 1}/{self.params['epochs']} - {seconds:.1f}s{waited}{speed} - {in_line(logs or {})}")

    def images_per_second(self) -> float | None:
        """Of the epoch that ends; None where the number of samples is not known."""
        samples, ended = self.params["samples"], self._trained or time.perf_counter()
        compiling = compile_seconds() - self._compiled if self._compiled_training is None else self._compiled_training
        return samples / max(ended - self._start - compiling, 1e-9) if samples else None


class ProgressBar(EpochLines):
    """A bar with loss, metrics and images per second while an epoch runs, then its line; for terminals."""

    _bar = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
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

    def _close(self):
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if time.monotonic() - self._drawn < SECONDS_BETWEEN_DRAWS:
            return
        self._drawn = time.monotonic()
        samples = self.params["samples"]
        done = min((batch + 1) * self.params["batch_size"], samples) if samples else batch + 1
        self._bar.set_postfix_str(printable(in_line(logs or {}), sys.stderr), refresh=False)
        self._bar.update(done - self._bar.n)

    _drawn = 0.0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._close()
        super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._close()


class NotebookProgress(EpochLines):
    """In a notebook, one output that is drawn anew: a bar, the last epoch's line, and the curves of all logs."""

    _handle = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._history, self._line, self._drawn, self._handle = {}, "", 0.0, None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        super().on_epoch_begin(epoch)
        self._epoch = epoch
        self._show(0.0)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if time.monotonic() - self._drawn >= SECONDS_BETWEEN_DRAWS and self.params["steps"]:
            self._line = in_line(logs or {})
            self._show((batch + 1) / self.params["steps"])

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        rate = self.images_per_second()
        self._line = in_line(logs or {}) + (f" - {rate:,.0f} images/s" if rate else "")
        for name, value in (logs or {}).items():
            if isinstance(value, Real):
                self._history.setdefault(name, []).append((epoch + 1, float(value)))
        self._show(1.0)

    def _show(self, share):
        """Draw the output anew: the first time as a new one."""
        from IPython.display import HTML, display

        self._drawn = time.monotonic()
        title = f"Epoch {self._epoch + 1}/{self.params['epochs']}"
        bar = f'<progress value="{min(share, 1):.3f}" max="1" style="width:20em"></progress>'
        page = HTML(f"<div>{title} {bar} {escape(self._line)}</div><div>{curves(self._history)}</div>")
        if self._handle is None:
            self._handle = display(page, display_id=True)
        else:
            self._handle.update(page)


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this program, so that it shows HTML."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def progress(verbose: Literal["auto", 0, 1, 2] | bool) -> list[Callback]:
    """The callback for ``fit(verbose=…)``: a list of one or none.

    Parameters
    ----------
    verbose : {"auto", 0, 1, 2}
        0 shows nothing, 1 and "auto" a bar on a terminal, a bar and a live figure in a notebook, and a line an epoch
        elsewhere; 2 a line an epoch.
    """
    check_choice("verbose", verbose, ("auto", 0, 1, 2, True, False))
    if not verbose:
        return []
    if verbose != 2 and in_notebook():
        return [NotebookProgress()]
    draws = verbose != 2 and is_terminal(sys.stderr)
    return [ProgressBar() if draws else EpochLines()]


def in_line(logs: Logs) -> str:
    """Names and values in one line.

    Parameters
    ----------
    logs : dict
        Name of a loss or metric → its value.
    """
    return " - ".join(f"{name}: {_number(value)}" for name, value in logs.items())


def _number(value) -> str:
    """Four decimals; small numbers, such as learning rates, with an exponent; what is no number, in short."""
    if not isinstance(value, Real) or (
        isinstance(value, int) and abs(value) > sys.float_info.max
    ):  # no float, in short
        text = " ".join(as_text(value).split())
        return text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.4e}"
