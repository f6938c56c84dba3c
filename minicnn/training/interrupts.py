"""Ctrl-C in a training."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupt(agreed: Callable[[int], int] = int) -> Iterator[Callable[..., bool]]:
    """Inside, Ctrl-C waits for the end of the batch, so that no weight is half updated; a second one does not wait.

    Yields a function to be called between batches, which raises KeyboardInterrupt if Ctrl-C was pressed. It takes
    another decision along, whether to stop, and returns what all have decided: one message for both.

    Parameters
    ----------
    agreed : callable, optional
        `Engine.agreed`, where several train together.
    """
    pressed = []
    previous = signal.getsignal(signal.SIGINT)
    # Else the program handles Ctrl-C in its own way; the other workers, if any, are asked all the same.
    listens = threading.current_thread() is threading.main_thread() and previous is signal.default_int_handler

    def remember(signum, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(signum)

    def check(stops=False):
        found = agreed(bool(stops) | 2 * bool(pressed))
        if found & 2:
            interrupt = KeyboardInterrupt()
            interrupt.by_all = True  # for `minicnn.distribution.problems`: whoever trains along raises it here, too
            raise interrupt
        return bool(found)

    if listens:
        signal.signal(signal.SIGINT, remember)
    try:
        yield check
    finally:
        if listens:
            signal.signal(signal.SIGINT, previous)
    check()
