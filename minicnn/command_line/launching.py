"""``minicnn launch -n 4 SCRIPT``: mpiexec, and a sentence where it says a lot."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

from minicnn.command_line.problems import Problem, tell
from minicnn.distribution.problems import LAUNCHED, MARK, Worker

_PRESENT = re.compile(rf"{MARK} (\d+) (\d+) (\S+);\n?")  # several workers' words may meet in a line
ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
SAID = "minicnn: "  # what a worker's own sentence begins with
# How MPICH and Open MPI name a process that was killed: (process, what has become of it).
_ENDS = (
    re.compile(r"PID (?P<process>\d+) RUNNING AT"),
    re.compile(r"with PID (?P<process>\d+) on node \S+ exited on"),
)


def launch(options: argparse.Namespace) -> int:
    """Run a script on several workers; returns mpiexec's exit code."""
    if not options.script.is_file():
        raise Problem(f"there is no script {str(options.script)!r}")
    program = mpiexec()
    command = [str(program), *_placing(program, options.workers, options.hosts)]
    command += [sys.executable, str(options.script), *options.arguments]
    # A session of its own: Ctrl-C comes here alone, and the workers get to end their batch together.
    words = {"encoding": "utf-8", "errors": "replace"}  # of several workers, which may meet within a character
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    watch = Watch()
    environment = os.environ | {LAUNCHED: watch.ends.name}
    with _ending() as ends:
        process = subprocess.Popen(command, **pipes, **words, env=environment, start_new_session=True)
        ends(process.terminate)
        readers = [
            threading.Thread(target=watch.read, args=pair, daemon=True)
            for pair in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
        ]
        for reader in readers:
            reader.start()
        code = _wait(process, watch)
        for reader in readers:
            reader.join()
    if code and (sentence := watch.sentence()):
        tell(f"{SAID}{sentence}")
    return code


@contextlib.contextmanager
def _ending() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Inside, `ENDINGS` come here alone, too, and call the function that what this yields is told: once for each, also
    for one that has come before there was a function. Those that are ignored, as under nohup, still are; and so are
    left those that a program in C takes, whose handler Python could not give back."""
    came, calls = [], []

    def end(number, frame):
        came.append(number)
        hand_on()

    def hand_on():
        with contextlib.suppress(IndexError):  # all are handed on: by whoever took them first
            while calls:
                came.pop()
                calls[0]()

    def told(call):
        calls.append(call)
        hand_on()

    taken = [number for number in ENDINGS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    previous = {number: signal.signal(number, end) for number in taken}
    try:
        yield told
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def mpiexec() -> Path:
    """The program that starts the workers: the environment's, as mpi4py's MPI, else the first one in PATH.

    Raises
    ------
    Problem
        If there is none.
    """
    beside = Path(sys.executable).with_name("mpiexec")
    found = beside if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise Problem("there is no mpiexec: pip install minicnn[distributed] brings mpi4py and MPICH")
    return Path(found)


def _placing(program, workers, hosts) -> list[str]:
    """mpiexec's arguments that say how many workers there are, and where: MPICH's and its relatives', or Open MPI's."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, errors="replace", check=False)
    if "Open MPI" not in version.stdout and "OpenRTE" not in version.stdout:
        return ["-n", str(workers), *(["-hosts", hosts] if hosts else [])]
    names = hosts.split(",") if hosts else []
    slots = -(-workers // max(1, len(names)))  # of each machine; without a number, one
    places = ",".join(name if ":" in name else f"{name}:{slots}" for name in names)
    return ["-n", str(workers), "-x", LAUNCHED, *(["--host", places] if names else [])]


def _wait(process, watch) -> int:
    """mpiexec's exit code; the first Ctrl-C goes to the workers, a second one ends mpiexec."""
    pressed = 0
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            pressed += 1
            if pressed == 1 and not watch.interrupt():
                process.send_signal(signal.SIGINT)
            elif pressed > 1:
                process.terminate()


class _Ends:
    """Which process of this machine ended first: mpiexec may name one that it ended itself afterwards.

    Every worker here keeps a connection open until it is gone, and the kernel keeps the order in which connections are
    closed: epoll hands them out so. A process closes what it has open before the system says that it has ended, and
    mpiexec, which sees the first connection close, may have ended another one by then. Without Linux nothing is known.

    Attributes
    ----------
    name : str
        What the workers connect to, a socket in Linux's abstract namespace, and on which machine; elsewhere that alone.
    """

    def __init__(self) -> None:
        self._processes: dict[int, int] = {}  # of the connections' file descriptors
        self._connections: list[socket.socket] = []
        self._queue, own = None, ""
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # some sandboxes have no such sockets
                self._door = socket.socket(socket.AF_UNIX)
                self._door.bind("")  # the kernel chooses a name
                self._door.listen(1024)
                self._door.setblocking(False)
                own = self._door.getsockname()[1:].decode()
                self._queue = select.epoll()
        self.name = f"{own}:{socket.gethostname()}"

    def welcome(self) -> None:
        """Take the connections that have come."""
        while self._queue:
            try:
                connection, _ = self._door.accept()
            except OSError:  # there is none, or there are more than this process may have open
                return
            process, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            self._connections.append(connection)
            self._processes[connection.fileno()] = process
            self._queue.register(connection, select.EPOLLIN)

    def first(self, workers: Container[int]) -> int | None:
        """The process that ended first, of the workers that have."""
        ended = [self._processes[descriptor] for descriptor, _ in self._queue.poll(0)] if self._queue else []
        return next((process for process in ended if process in workers), None)


class Watch:
    """Reads what mpiexec prints: hands it on, and remembers who the workers are and which one was killed."""

    def __init__(self) -> None:
        self._workers: dict[int, Worker] = {}
        self._killed: list[int] = []
        self._has_said = False
        self.ends: _Ends = _Ends()

    def read(self, stream: Any, out: Any) -> None:
        """Hand the lines of a stream on, but for those that are meant for this program."""
        for line in stream:
            for rank, process, host in _PRESENT.findall(line):
                self._workers[int(process)] = Worker(int(rank), host, int(process))
                self.ends.welcome()
            line = _PRESENT.sub("", line)
            if not line:
                continue
            self._has_said |= line.startswith(SAID)
            self._killed += [int(found["process"]) for end in _ENDS if (found := end.search(line))]
            with contextlib.suppress(OSError, ValueError):
                out.write(line)
                out.flush()

    def interrupt(self) -> bool:
        """Ctrl-C for the workers here, from whom those elsewhere hear of it; returns whether there are any."""
        here = socket.gethostname()
        own = [worker.process for worker in list(self._workers.values()) if worker.host == here]
        for process in own:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGINT)
        return bool(own)

    def sentence(self) -> str | None:
        """Who was killed; None where a worker has said why all have ended."""
        if self._has_said or not self._killed:
            return None
        process = self.ends.first(self._workers) or self._killed[0]
        who = str(self._workers.get(process, f"process {process}"))
        return (
            f"{who} was killed, and so mpiexec has ended the others. Files are whole; fit(resume=…) goes on from the "
            "last checkpoint with any number of workers"
        )
