"""What a training shows while it runs."""

import sys
import time
from numbers import Real
from typing import Literal

from minicnn.callbacks.base import Callback
from minicnn.checks import check_choice
from minicnn.console import is_terminal, printable, say
from minicnn.hints import Logs
from minicnn.saving.snapshot import as_text

SECONDS_BETWEEN_DRAWS = 0.2
LONGEST = 40  # characters of what a callback has put into the logs and is no number


class EpochLines(Callback):
    """One line an epoch: seconds, images trained per second (validation not counted), loss and metrics."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._start, self._trained = time.perf_counter(), None

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        now = time.perf_counter()
        seconds, samples = now - self._start, self.params["samples"]
        rate = f" - {samples / ((self._trained or now) - self._start):,.0f} images/s" if samples else ""
        say(f"Epoch {epoch + 1}/{self.params['epochs']} - {seconds:.1f}s{rate} - {in_line(logs or {})}")


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


def progress(verbose: Literal["auto", 0, 1, 2] | bool) -> list[Callback]:
    """The callback for ``fit(verbose=…)``: a list of one or none.

    Parameters
    ----------
    verbose : {"auto", 0, 1, 2}
        0 shows nothing, 1 and "auto" a bar on a terminal and a line an epoch elsewhere, 2 a line an epoch.
    """
    check_choice("verbose", verbose, ("auto", 0, 1, 2, True, False))
    if not verbose:
        return []
    draws = verbose != 2 and is_terminal(sys.stderr)
    return [ProgressBar() if draws else EpochLines()]


def in_line(logs: Logs) -> str:
    """Names and values in one line."""
    return " - ".join(f"{name}: {_number(value)}" for name, value in logs.items())


def _number(value) -> str:
    """Four decimals; small numbers, such as learning rates, with an exponent; what is no number, in short."""
    if not isinstance(value, Real) or (
        isinstance(value, int) and abs(value) > sys.float_info.max
    ):  # no float, in short
        text = " ".join(as_text(value).split())
        return text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.4e}"
