"""Training on several processes at once, on one machine or many: the same bits on any number of workers.

Each process, a *worker*, runs the same script: ``mpiexec -n 4 python script.py``, or ``python -m minicnn launch -n 4
script.py``. ``mc.distribution.set_distribution(mc.distribution.DataParallel())`` makes it one of those that MPI has
started, and has every model train on all of them. See docs/distributed.md. Needs mpi4py: ``pip install
minicnn[distributed]``.
"""

from minicnn.distribution.parallel import DataParallel, distribution, set_distribution
from minicnn.distribution.problems import DistributionError
from minicnn.distribution.world import initialize, list_devices, rank, size

__all__ = [
    "DataParallel",
    "DistributionError",
    "distribution",
    "initialize",
    "list_devices",
    "rank",
    "set_distribution",
    "size",
]
