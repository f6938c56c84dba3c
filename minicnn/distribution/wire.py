"""Messages among workers: without arithmetic on the way, and without waiting for ever.

Every wait is a loop that looks whether the message is there, gives the core to whoever needs it meanwhile, and ends
when time is up. Then the workers ask each other who is there, and whoever does not answer is named.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.distribution import problems
from minicnn.distribution.problems import Worker

GRACE = 5.0  # seconds in which a worker that is there says so
BUSY = 0.05  # seconds for which a wait looks again at once, so that large messages keep moving; after it, it pauses
PAUSE = 0.0002  # seconds
FIRST_CAPACITY = 1024  # bytes of small messages that go in one round, if no longer one was the last of its kind
SPARE = 64  # bytes that the next message of a kind may be longer, at least, and still go in one round
DIRECT = 1 << 17  # bytes of what each worker has for all: up to here they go straight, in one hop; above, as MPI likes
PRESENT, FEED, GONE = 1, 2, 3  # kinds of messages from one worker to another


_yield = getattr(os, "sched_yield", lambda: None)  # lets another process have the core, where there are too few


class Wire:
    """What workers say to each other.

    Parameters
    ----------
    mpi : module
        mpi4py's.
    comm : mpi4py communicator
    workers : list of Worker
    timeout : float
        Seconds.
    beside : Wire, optional
        The one of all workers, on which who waits in vain is asked about; default: this one.

    Attributes
    ----------
    rank, size : int
    sent : int
        Bytes that this worker has handed to MPI for others.
    """

    def __init__(
        self, mpi: Any, comm: Any, workers: Sequence[Worker], timeout: float, beside: Wire | None = None
    ) -> None:
        self.mpi: Any = mpi
        self.comm: Any = comm
        self.workers: list[Worker] = list(workers)
        self.timeout: float = timeout
        self.rank: int = comm.rank
        self.size: int = comm.size
        self.sent: int = 0
        self._among: dict[tuple[bool, ...], Wire] = {}
        self._capacities: dict[str, int] = {}
        self._under_way: list[Pending] = []
        self._beside = beside

    def among(self, are_there: Sequence[bool]) -> Wire:
        """A wire of some of the workers; all have to ask for it.

        Parameters
        ----------
        are_there : sequence of bool
            For each worker; those who are not there get a wire of their own, which is of no use.
        """
        key = tuple(are_there)
        if all(key):
            return self
        if key not in self._among:
            self.agreed(False)  # all are here, or time is up
            comm = self.comm.Split(int(key[self.rank]), self.rank)
            workers = [w for w in self.workers if key[w.rank] == key[self.rank]]
            self._among[key] = Wire(self.mpi, comm, workers, self.timeout, self)
        return self._among[key]

    # ------------------------------------------------------------------------------------------------- small messages

    def gather(self, value: Any, kind: str = "") -> list[Any]:
        """What every worker hands over, in their order.

        Parameters
        ----------
        value : object
            That can be pickled.
        kind : str, optional
            What it is: the longest message in the last round of a kind says how long those in the next one may be to
            need one round only.
        """
        if self.size == 1:
            return [value]
        message, capacity = pickle.dumps(value, protocol=5), self._capacities.get(kind, FIRST_CAPACITY)
        found, lengths = self._round(message, capacity)
        longest = max(lengths)  # all see the same lengths
        self._capacities[kind] = -(-(longest + SPARE) // FIRST_CAPACITY) * FIRST_CAPACITY
        if longest > capacity:
            found, lengths = self._round(message, longest)
        return [pickle.loads(row[:length]) for row, length in zip(found, lengths, strict=True)]

    def _round(self, message, capacity):
        """One round of messages of equal lengths: (all, how long they wanted to be)."""
        own = np.zeros(8 + capacity, np.uint8)
        own[:8].view(np.int64)[0] = len(message)
        part = message[:capacity]
        own[8 : 8 + len(part)] = np.frombuffer(part, np.uint8)
        found = np.empty((self.size, own.size), np.uint8)
        self._to_all(own, found, [own.size] * self.size).result()
        return found[:, 8:], [int(row[:8].view(np.int64)[0]) for row in found]

    def agreed(self, decision: int) -> int:
        """What any worker decides: bit by bit, whether one has it set."""
        if self.size == 1:
            return int(decision)
        own, found = np.array([decision], np.uint8), np.empty(self.size, np.uint8)
        self._to_all(own, found, [1] * self.size).result()
        return int(np.bitwise_or.reduce(found))

    def _to_all(self, own, found, counts):
        """A message by which every worker gets what all have: each of them counts[rank] numbers.

        MPI's Iallgather(v) may hand messages on from worker to worker, up to N - 1 times, each of which takes as long
        as a message takes. Those of an Ialltoallv go straight to where they belong.
        """
        self.sent += own.nbytes * (self.size - 1)
        if max(counts) * own.itemsize > DIRECT:
            return self.pending(self.comm.Iallgatherv(own, [found, counts]), found, own)
        same = [own.size] * self.size, [0] * self.size  # how many, from where: the same numbers for everybody
        return self.pending(self.comm.Ialltoallv([own, same], [found, counts]), found, own)

    def pending(self, request: Any, found: np.ndarray, sent: np.ndarray) -> Pending:
        """What waits for a request, and is kept until it is done, whoever forgets it: MPI reads and writes the arrays.

        Parameters
        ----------
        request : mpi4py request
        found, sent : array
        """
        made = Pending(self, request, found, sent)
        self._under_way = [*(one for one in self._under_way if not one.push()), made]
        return made

    def arrived(self, pending: Pending) -> None:
        """Keep a message no longer."""
        self._under_way = [one for one in self._under_way if one is not pending]

    # -------------------------------------------------------------------------------------------------------- vectors

    def gather_rows(self, own: np.ndarray, counts: Sequence[int]) -> Pending:
        """The rows of all workers, one below the other, once they are there.

        Parameters
        ----------
        own : array (counts[rank], width), C-contiguous
        counts : sequence of int
            How many each worker has.
        """
        width = own.shape[1]
        found = np.empty((sum(counts), width), own.dtype)
        return self._to_all(own, found, [c * width for c in counts])

    def exchange_columns(self, own: np.ndarray, counts: Sequence[int], parts: Sequence[slice]) -> Pending:
        """All workers' rows of the columns that are this worker's part, once they are there.

        Parameters
        ----------
        own : array (counts[rank], width), C-contiguous
        counts : sequence of int
            How many rows each worker has.
        parts : sequence of slice
            The columns of each worker.
        """
        widths = [part.stop - part.start for part in parts]
        sent = np.concatenate([own[:, part].reshape(-1) for part in parts]) if len(own) != 1 else own.reshape(-1)
        found = np.empty((sum(counts), widths[self.rank]), own.dtype)
        send = [sent, [len(own) * width for width in widths]]
        self.sent += sent.nbytes - len(own) * widths[self.rank] * own.itemsize
        receive = [found, [count * widths[self.rank] for count in counts]]
        return self.pending(self.comm.Ialltoallv(send, receive), found, sent)

    def gather_parts(self, own: np.ndarray, out: np.ndarray, parts: Sequence[slice]) -> Pending:
        """The parts of a vector, of which each worker has one, put together in `out`, once they are there.

        Parameters
        ----------
        own : vector
        out : vector, written
        parts : sequence of slice
        """
        return self._to_all(own, out, [part.stop - part.start for part in parts])

    # ---------------------------------------------------------------------------------------------------- one to many

    def feed(self, values: Sequence[Any]) -> None:
        """Hand every other worker its entry of `values`."""
        under_way = []
        for other in range(self.size):
            if other != self.rank:
                message = np.frombuffer(pickle.dumps(values[other], protocol=5), np.uint8)
                under_way.append(self.pending(self.comm.Isend(message, other, FEED), message[:0], message))
                self.sent += len(message)
        for pending in under_way:
            pending.result()

    def fed(self, by: int) -> Any:
        """What worker `by` hands over with `feed`."""
        self._until(lambda: self.comm.Iprobe(by, FEED))
        message = self.comm.Mprobe(by, FEED, status := self.mpi.Status())
        buffer = np.empty(status.Get_count(self.mpi.BYTE), np.uint8)
        return pickle.loads(self.pending(message.Irecv([buffer, self.mpi.BYTE]), buffer, buffer[:0]).result())

    # -------------------------------------------------------------------------------------------------------- waiting

    def wait(self, request: Any) -> None:
        """Wait until one of MPI's requests is done; end all workers where it never is."""
        (self._beside or self)._until(request.Test)

    def _until(self, is_done: Callable[[], bool]) -> None:
        """Wait until a message is there; end all workers where none comes."""
        start, left = time.perf_counter(), None
        while not is_done():
            waited = time.perf_counter() - start
            if waited < BUSY:
                _yield()
                continue
            time.sleep(PAUSE)
            if waited > self.timeout or (waited > 1 and self._is_asked()):
                self._end(waited)
            if left is None and waited > 1 and self._left() is not None:
                left = waited
            if left is not None and waited - left > GRACE:  # what they sent before may still have been on its way
                self._end_after(self._left())

    def _is_asked(self) -> bool:
        return self.comm.Iprobe(self.mpi.ANY_SOURCE, PRESENT)

    # --------------------------------------------------------------------------------------------------------- ending

    def leave(self) -> None:
        """Tell the others that this worker's script has ended, and wait until theirs have.

        So who still trains does not wait for one that has called `sys.exit` by itself.
        """
        if self.mpi.Is_finalized() or os.getpid() != self.workers[self.rank].process:  # or a copy that was forked
            return
        one, others = np.zeros(1, np.uint8), [other for other in range(self.size) if other != self.rank]
        requests = [self.comm.Isend(one, other, GONE) for other in others]
        requests += [self.comm.Irecv(np.empty(1, np.uint8), other, GONE) for other in others]
        while not self.mpi.Request.Testall(requests):
            time.sleep(PAUSE)

    def _left(self) -> int | None:
        """The rank of a worker whose script has ended."""
        status = self.mpi.Status()
        return status.Get_source() if self.comm.Iprobe(self.mpi.ANY_SOURCE, GONE, status) else None

    def _end_after(self, rank: int) -> None:
        """End all workers, since the script of one of them has ended."""
        if self.rank != (0 if rank else 1):
            time.sleep(GRACE)  # the first of the others speaks, and ends all
        problems.end_all(
            f"{self.workers[rank]} has ended its script, by sys.exit perhaps, while others train; and so all end. "
            "Files are whole, and fit(resume=…) goes on from the last checkpoint with any number of workers",
            self.comm,
        )

    def _end(self, waited: float) -> None:
        """Find out who is missing, and end all workers with a sentence that names them."""
        one = np.zeros(1, np.uint8)
        others = [other for other in range(self.size) if other != self.rank]
        requests = [self.comm.Isend(one, other, PRESENT) for other in others]
        present, start = {self.rank}, time.perf_counter()
        while time.perf_counter() - start < GRACE and len(present) < self.size:
            for other in others:
                if other not in present and self.comm.Iprobe(other, PRESENT):
                    present.add(other)
            time.sleep(PAUSE)
        missing = [str(worker) for worker in self.workers if worker.rank not in present]
        if min(present) != self.rank:
            time.sleep(GRACE)  # the first of those who are there speaks, and ends all
        reason = (
            f"{', '.join(missing)} did not answer for {waited:.0f} s" if missing else "the workers wait for each other"
        )
        problems.end_all(
            f"{reason}: it hangs, is gone or computes something else than the others. All workers end; files are "
            "whole, and fit(resume=…) goes on from the last checkpoint with any number of workers",
            self.comm,
        )
        del requests


class Pending:
    """A message that is under way; `Wire.pending` makes it.

    Parameters
    ----------
    wire : Wire
    request : mpi4py request
    found : array
        What comes.
    sent : array
        What goes, and must stay until it has gone.
    """

    def __init__(self, wire: Wire, request: Any, found: np.ndarray, sent: np.ndarray) -> None:
        self._wire, self._request, self._found, self._sent = wire, request, found, sent

    def push(self) -> bool:
        """Let MPI go on with it; returns whether it is there."""
        return self._request.Test()

    def result(self) -> np.ndarray:
        """What has come; waits for it."""
        self._wire.wait(self._request)
        self._wire.arrived(self)
        return self._found
