"""Workers in one process: communicators that move arrays as MPI's standard says, and threads that use them."""

import threading
from types import SimpleNamespace

import numpy as np

from minicnn.distribution import problems, wire

MPI = SimpleNamespace(ANY_SOURCE=-1, Status=lambda: None)


class Posts:
    """What the workers have posted: collective calls, in the same order on all.

    Attributes
    ----------
    names : list of str
        The calls.
    """

    def __init__(self, size):
        self.size, self.names = size, []
        self._posted, self._lock = {}, threading.Lock()

    def add(self, name, number, rank, segments, receive):
        """Worker `rank`'s call: what it sends to each, and where what it gets belongs; the last one delivers."""
        with self._lock:
            calls = self._posted.setdefault(number, {})
            calls[rank] = name, segments, receive
            if len(calls) < self.size:
                return
            self.names.append(name)
            assert {called for called, _, _ in calls.values()} == {name}
            for other, (_, _, (found, counts)) in calls.items():
                parts = [calls[sender][1][other] for sender in range(self.size)]
                assert [part.size for part in parts] == list(counts), "sent and received are not of one size"
                found.reshape(-1)[...] = np.concatenate(parts)

    def is_done(self, number):
        """Whether all have posted a call."""
        with self._lock:
            return len(self._posted[number]) == self.size


class Communicator:
    """One worker's."""

    def __init__(self, posts, rank):
        self.rank, self.size, self._posts, self._count = rank, posts.size, posts, 0

    def _post(self, name, segments, receive):
        number, self._count = self._count, self._count + 1
        self._posts.add(name, number, self.rank, segments, receive)
        return SimpleNamespace(Test=lambda: self._posts.is_done(number))

    def Ialltoallv(self, send, receive):
        own, (counts, starts) = send[0].reshape(-1), _places(send[1])
        return self._post("Ialltoallv", [own[s : s + n] for s, n in zip(starts, counts, strict=True)], receive)

    def Iallgatherv(self, send, receive):
        return self._post("Iallgatherv", [send.reshape(-1)] * self.size, receive)

    def Iprobe(self, *whence):
        return False


def _places(counts):
    """(how many, from where) of a vector message: without the latter, one behind the other."""
    if np.ndim(counts[0]):
        return counts
    return counts, [sum(counts[:rank]) for rank in range(len(counts))]


def wires(size):
    """(the wire of each worker, what they post)."""
    posts, workers = Posts(size), [problems.Worker(rank, "here", rank) for rank in range(size)]
    return [wire.Wire(MPI, Communicator(posts, rank), workers, 60.0) for rank in range(size)], posts


def together(function, *arguments):
    """What a function gives, or the error that it raises, for each worker's arguments, in a thread for each."""
    found = [None] * len(arguments[0])

    def run(rank, own):
        try:
            found[rank] = function(*own)
        except Exception as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(zip(*arguments, strict=True))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
