"""What goes wrong among workers, in one sentence that names the worker, its machine and the reason."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
import traceback
from typing import Any, NamedTuple

from minicnn import console

PATIENCE = 1.0  # seconds that worker 0, which has most likely the same to say, gets to say it first
FAILED = 1  # exit code
MARK = "minicnn-worker"  # what `minicnn launch` knows the workers' processes by
LAUNCHED = "MINICNN_LAUNCHED"  # the environment variable by which it says that it reads: name:host, to connect to
INTERRUPTED = 130  # exit code after Ctrl-C, as of shells


class DistributionError(RuntimeError):
    """The workers of a training do not fit together, or one of them is gone."""


class Worker(NamedTuple):
    """One process of those that train together.

    Attributes
    ----------
    rank : int
    host : str
    process : int
        Its number on that machine.
    """

    rank: int
    host: str
    process: int

    @classmethod
    def here(cls, rank: int) -> Worker:
        """This process."""
        return cls(rank, socket.gethostname(), os.getpid())

    def __str__(self) -> str:
        return f"worker {self.rank} (host {self.host}, process {self.process})"


def announce(worker: Worker) -> None:
    """Tell `minicnn launch`, if it reads, who this process is; on its machine, stay connected to it until the end."""
    if LAUNCHED not in os.environ:
        return
    name, _, host = os.environ[LAUNCHED].partition(":")
    if name and host == worker.host and sys.platform == "linux":  # elsewhere another program may have that name
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            connection.connect(f"\0{name}")
        os.register_at_fork(after_in_child=connection.close)  # holds it; what may outlive this process closes it
    console.say(f"{MARK} {worker.rank} {worker.process} {worker.host};", sys.stderr)


def by_all(error: BaseException) -> BaseException:
    """`error`, marked as one that every worker raises at the same place: each ends by itself."""
    error.by_all = True
    return error


def end_all(sentence: str, comm: Any) -> None:
    """Say why, and end all workers at once: MPI has no other way once one of them does not answer.

    Parameters
    ----------
    sentence : str
    comm : mpi4py communicator
    """
    console.say(f"minicnn: {sentence}", sys.stderr)
    comm.Abort(FAILED)


def end_all_at_errors(worker: Worker, comm: Any) -> None:
    """Have an error that nobody catches end all workers; else the others would wait for this one without end."""
    previous = sys.excepthook

    def hook(kind, error, trace):
        is_interrupt = issubclass(kind, KeyboardInterrupt)
        if getattr(error, "by_all", False):  # every worker raises it, and ends by itself
            if worker.rank == 0 and is_interrupt:
                console.say("minicnn: interrupted: all workers have ended after the same batch", sys.stderr)
            elif worker.rank == 0:
                previous(kind, error, trace)
            if is_interrupt:  # else Python would kill the process by a signal, and mpiexec would take it for a fault
                raise SystemExit(INTERRUPTED)
            return
        if worker.rank:
            time.sleep(PATIENCE)
        if not is_interrupt:
            traceback.print_exception(kind, error, trace)
        reason = "it was interrupted" if is_interrupt else f"{kind.__name__}: {error}"
        end_all(f"{worker} has ended, and so the others do: {reason}", comm)

    sys.excepthook = hook
