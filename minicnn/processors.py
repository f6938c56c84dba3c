"""How many processors this process may use: what the system, its container and the environment say."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path, PurePosixPath


def default_threads() -> int:
    """The number of threads where nobody has chosen one.

    The processors this process may run on; fewer, if its container may use less time than they have, or if
    OMP_NUM_THREADS says so, as joblib, Dask and torchrun do for processes that share a machine (PyTorch and BLAS follow
    it too).
    """
    quota = cpu_quota()
    limits = [most_threads(), None if quota is None else math.ceil(quota), _number("OMP_NUM_THREADS")]
    return min(limit for limit in limits if limit)


def threads_of_each(processes: int, on_these_processors: int) -> int:
    """The number of threads of each of several processes that compute on a machine at once.

    Parameters
    ----------
    processes : int
        All of them: they share the time that a container may use.
    on_these_processors : int
        Those that may run on processors of this one. A scheduler (Slurm's srun) may have given each its own.
    """
    quota = cpu_quota()
    limits = [_processors() // on_these_processors, None if quota is None else math.ceil(quota / processes)]
    return max(1, min([limit for limit in limits if limit is not None] + [default_threads()]))


def affinity() -> frozenset[int] | None:
    """The numbers of the processors this process may run on; None where the system does not say."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def most_threads() -> int:
    """The most threads that can be of use: processors this process may run on; Numba starts NUMBA_NUM_THREADS."""
    count = getattr(os, "process_cpu_count", _processors)() or 1  # Python 3.13 has it, with PYTHON_CPU_COUNT
    return min(count, _number("NUMBA_NUM_THREADS") or count)


def _processors() -> int:
    """Those of the process's affinity, where the system has one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _number(variable) -> int | None:
    """A positive number in an environment variable, the first of OpenMP's list "4,2"; None for anything else.

    Read once, as OpenMP does: for a small model, looking it up for every batch takes as long as a layer.
    """
    text = os.environ.get(variable, "").partition(",")[0].strip()
    return int(text) if text.isdecimal() and int(text) else None


@cache
def cpu_quota(root: str = "/") -> float | None:
    """How many processors' time the control groups of this process allow, e.g. 1.5; None: all there is.

    Docker's ``--cpus``, Kubernetes's limits and systemd's CPUQuota are such quotas. A fraction counts as a whole thread
    (as in Java, and in Go since 1.25): rounded down, half a processor of 1.5 would never be used.

    Parameters
    ----------
    root : str
        The folder that holds ``proc`` and what is mounted.
    """
    try:
        groups = Path(root, "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
        mounts = Path(root, "proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return None
    paths = {}  # controllers, "" for version 2 → the process's group
    for line in groups:
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)
    quotas = [quota for line in mounts for quota in _quotas_of_mount(line, paths, root)]
    return min(quotas, default=None)


def _quotas_of_mount(line, paths, root):
    """The quotas of the process's group and of those around it, if one line of mountinfo mounts them."""
    fields, _, kind = line.partition(" - ")
    (top, place), (name, _, options) = fields.split()[3:5], kind.split(None, 2)
    if name == "cgroup2" and "" in paths:
        group, read = paths[""], _quota_of_version_2
    elif name == "cgroup" and "cpu" in options.split(",") and "cpu" in paths:
        group, read = paths["cpu"], _quota_of_version_1
    else:
        return
    inside = PurePosixPath(group)  # in a container, the group as the host sees it and the mount's top are the same
    inside = inside.relative_to(top) if inside.is_relative_to(top) else PurePosixPath()
    for part in (inside, *inside.parents):
        folder = Path(root, place.lstrip("/"), str(part).lstrip("/"))
        try:
            quota, period = read(folder)
        except (OSError, ValueError):  # no such file, or "max": no quota here
            continue
        if quota > 0 and period > 0:
            yield quota / period


def _quota_of_version_2(folder):
    quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
    return int(quota), int(period)


def _quota_of_version_1(folder):
    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    return tuple(int((folder / name).read_text(encoding="utf-8")) for name in names)
