"""Ctrl-C in a training."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupt(agreed: Callable[[bool], bool] = bool) -> Iterator[Callable[[], None]]:
    """Inside, Ctrl-C waits for the end of the batch, so that no weight is half updated; a second one does not wait.

    Yields a function to be called between batches, which raises KeyboardInterrupt if Ctrl-C was pressed.

    Parameters
    ----------
    agreed : callable, optional
        `Engine.agreed`, where several train together.
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
        if agreed(bool(pressed)):
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
