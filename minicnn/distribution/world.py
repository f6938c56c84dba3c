"""The processes that MPI has started: who is here, and what they do together."""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from minicnn import console, processors, random, threads
from minicnn.checks import check_number
from minicnn.distribution import problems
from minicnn.distribution.problems import DistributionError, Worker
from minicnn.distribution.wire import Wire

TIMEOUT = 120.0  # seconds that a worker waits for another
_world: dict[str, Wire] = {}


def initialize(
    job_addresses: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    timeout: float = TIMEOUT,
) -> None:
    """Make this process a worker; call it before seeds are set and models are made. A second call changes nothing.

    Worker 0 speaks and writes: what the others print on stdout is dropped, and so are their warnings and what
    callbacks of minicnn and `Model.save` would write. All workers get a seed that worker 0 draws, and those that may
    run on the same processors have together as many threads as there are of these; OMP_NUM_THREADS is the most of each.

    Parameters
    ----------
    job_addresses : None
        Keras's; MPI knows where the processes are.
    num_processes, process_id : int, optional
        Keras's; if given, they have to be what MPI says.
    timeout : float, default 120
        Seconds that a worker waits for another one before all of them end with an error.

    Raises
    ------
    ImportError
        If mpi4py, or an MPI library for it, is not there.
    DistributionError
        If there are other workers than the arguments say.
    """
    if job_addresses is not None:
        raise ValueError(
            "minicnn leaves addresses to MPI: start the processes with mpiexec (docs/distributed.md). "
            f"Received: job_addresses={job_addresses!r}"
        )
    check_number("timeout", timeout, above=0)
    if not _world:
        _world["wire"] = _start(timeout)
    wire = _world["wire"]
    for name, given, found in (("num_processes", num_processes, wire.size), ("process_id", process_id, wire.rank)):
        if given not in (None, found):
            raise DistributionError(
                f"MPI has started this process as worker {wire.rank} of {wire.size}. Received: {name}={given}"
            )


def world() -> Wire:
    """The workers; `initialize` is called if nobody has."""
    initialize()
    return _world["wire"]


def rank() -> int:
    """The number of this worker, from 0; 0 where there is but one."""
    return _world["wire"].rank if _world else 0


def size() -> int:
    """How many workers there are; 1 before `initialize`."""
    return _world["wire"].size if _world else 1


def list_devices(device_type: str | None = None) -> list[str]:
    """What computes, one entry a worker: "cpu:0", "cpu:1", …

    Parameters
    ----------
    device_type : {"cpu", "gpu"}, optional
        Keras's; default: what the current backend computes on.
    """
    from minicnn import backends

    kind = device_type or ("gpu" if backends.get(None).on_device else "cpu")
    if kind.lower() not in ("cpu", "gpu"):
        raise ValueError(f"device_type is 'cpu' or 'gpu'. Received: device_type={device_type!r}")
    return [f"{kind.lower()}:{number}" for number in range(size())]


def _start(timeout) -> Wire:
    """The wire, and this process as one end of it."""
    mpi = _mpi()
    comm = mpi.COMM_WORLD.Dup()  # messages of ours do not meet those of the user's
    worker = Worker.here(comm.rank)
    if comm.size > 1:
        problems.announce(worker)
        problems.end_all_at_errors(worker, comm)
    random.set_seed(comm.bcast(random.next_seed()))
    neighbours = comm.Split_type(mpi.COMM_TYPE_SHARED)
    threads.set_num_threads(_own_threads(neighbours.allgather(processors.affinity())))
    if comm.rank:
        _be_silent()
    wire = Wire(mpi, comm, [Worker(*w) for w in comm.allgather(tuple(worker))], timeout)
    atexit.register(wire.leave)  # comes before mpi4py's own, which ends MPI
    return wire


def _own_threads(affinities):
    """How many threads this worker has, beside others of its machine that may run on the same processors or on others.

    Parameters
    ----------
    affinities : list of frozenset, or of None
        Of all workers of the machine: the processors that each may run on.
    """
    own = processors.affinity()
    sharing = [other for other in affinities if own is None or other is None or own & other]
    return processors.threads_of_each(len(affinities), len(sharing))


def _mpi() -> Any:
    """mpi4py's module MPI."""
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"  # one thread talks to the others
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            "training on several workers needs mpi4py and an MPI library: pip install minicnn[distributed] brings both "
            f"(a cluster's own MPI: pip install mpi4py). Received: {error}"
        ) from None
    return MPI


def _be_silent():
    """Leave printing and writing to worker 0."""
    console.leave_to_another()
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, until the process ends
    atexit.register(sys.stdout.close)
    warnings.showwarning = _drop


_drop: Callable[..., None] = lambda *args, **kwargs: None  # noqa: E731
