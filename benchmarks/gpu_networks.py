"""Training on the GPU, for gpu.py: networks in minicnn, PyTorch and JAX, each library in a process of its own.

A part is measured by a function of `smoke` (tiny sizes) and `end` (by `time.monotonic`).
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import harness
from gpu_failures import check_time, go_on_after
from gpu_peers import COMPILED
from gpu_worker import NETWORKS, SMOKE_NETWORKS

ROOT = Path(__file__).resolve().parents[1]
LAYOUTS = "contiguous_format", "channels_last"  # of PyTorch; the faster one counts
MOST_SECONDS = 240  # for one answer; who takes longer is ended
STEPS = {"small": 200, "large": 60}  # of an epoch
FIRST_STEPS = 3  # kernel by kernel; captured; launched as a graph
CACHES = {"MINICNN_CACHE": "minicnn", "CUPY_CACHE_DIR": "cupy", "CUDA_CACHE_PATH": "cuda"}


class GpuWorker(harness.Worker):
    """A process of gpu_worker.py, which is started again if it has died.

    Parameters
    ----------
    library, setting : str
    variables : dict
        Further ones of the environment.
    """

    def __init__(self, library, setting="float32", variables=()):
        self.name = f"{library} {setting}"
        path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._environment = harness.inherited() | dict(variables) | {"PYTHONPATH": os.pathsep.join(path)}
        self._command = [sys.executable, str(Path(__file__).with_name("gpu_worker.py")), library, setting]
        self._start()

    def _start(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(self._command, env=self._environment, **pipes)
        hello = self._reply()
        if "missing" in hello:
            self.close()
            raise harness.Missing(hello["missing"])
        self.about = hello["ready"]

    def ask(self, do, **arguments):
        """As `harness.Worker.ask`, but not for ever.

        Raises
        ------
        harness.Missing
            If something is not installed that this needs.
        RuntimeError
            If the worker has failed, or died.
        """
        if self.process.poll() is not None:
            self._start()
        timer = threading.Timer(MOST_SECONDS, self.process.kill)
        timer.start()
        try:
            answer = super().ask(do, **arguments)
        finally:
            timer.cancel()
        if "missing" in answer:
            raise harness.Missing(answer["missing"])
        if "error" in answer:  # CUDA does not recover from some: the next answer is a new process's
            self.process.kill()
            self.close()
            raise RuntimeError(answer["error"])
        return answer


@contextmanager
def skip_missing():
    """Inside, a library or data that are not installed end the block."""
    try:
        yield
    except harness.Missing as error:
        print(f"not measured: {error}", flush=True)


def names_of(smoke):
    """The networks' names."""
    return list(SMOKE_NETWORKS if smoke else NETWORKS)


def steps_of(name, smoke):
    """How many steps an epoch has."""
    return 3 if smoke else STEPS["small" if NETWORKS[name].shape[-1] == 1 else "large"]


def first_and_normed(smoke):
    """Names of two networks: LeNet-5, and one with BatchNormalization."""
    names = names_of(smoke)
    return names[0], names[-1 if smoke else 4]


# ------------------------------------------------------------------------------------------------------ training steps


def training_steps(setting, smoke, end):
    """For every network: seconds a step of this library, and of PyTorch, eager and as a CUDA graph.

    Parameters
    ----------
    setting : str
        Of `gpu_worker.SETTINGS`.
    """
    rows = [{"name": name} for name in names_of(smoke)]
    with GpuWorker("minicnn", setting) as ours:
        for row in rows:
            with go_on_after(f"{row['name']}, {setting}"):
                check_time(end)
                answer = ours.ask("steps", name=row["name"], steps=steps_of(row["name"], smoke))
                row |= {"ours": answer["seconds"], "not captured": answer["not captured"]}
    with skip_missing(), GpuWorker("torch", setting) as torch:
        for row in rows:
            with go_on_after(f"{row['name']}, {setting}, PyTorch"):
                check_time(end)
                row |= torch_seconds(torch, row["name"], smoke)
                print(setting, row, flush=True)
    return rows


def torch_seconds(torch, name, smoke):
    """{"graph", "eager"}: seconds of the faster layout, which is that of the graph."""
    ask = partial(torch.ask, "steps", name=name, steps=steps_of(name, smoke))
    layout, found = LAYOUTS[0], {}
    if torch.about["device"] == "cuda":
        times = {layout: ask(mode="graph", layout=layout)["seconds"] for layout in LAYOUTS}
        layout = min(times, key=times.get)
        found = {"graph": times[layout], "layout": layout}
    return found | {"eager": ask(mode="eager", layout=layout)["seconds"]}


def compiled(smoke, end):
    """For every network: seconds a step with torch.compile, in float32, by mode."""
    rows = [{"name": name} for name in names_of(smoke)]
    with skip_missing(), GpuWorker("torch") as torch:
        for row in rows:
            for mode in COMPILED:
                with go_on_after(f"{row['name']}, torch.compile, {mode}"):
                    check_time(end)
                    arguments = {"name": row["name"], "steps": steps_of(row["name"], smoke), "mode": mode}
                    times = [torch.ask("steps", layout=layout, **arguments)["seconds"] for layout in LAYOUTS]
                    row[mode] = min(times)
                    print(row, flush=True)
    return rows


def jax(smoke, end):
    """Seconds a step in JAX, in float32, of the networks without BatchNormalization."""
    rows = []
    with skip_missing(), GpuWorker("jax", variables={"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}) as worker:
        for name in names_of(smoke)[: 1 if smoke else 4]:
            with go_on_after(f"{name}, JAX"):
                check_time(end)
                seconds = worker.ask("steps", name=name, steps=steps_of(name, smoke))["seconds"]
                rows.append({"name": name, "jax": seconds, "device": worker.about["device"]})
    return rows


def profiles(smoke, end):
    """For every network: what `gpu_worker.Minicnn.profile` returns."""
    found = {}
    with skip_missing(), GpuWorker("minicnn") as ours:
        for name in names_of(smoke):
            with go_on_after(f"{name}, profile"):
                check_time(end)
                found[name] = ours.ask("profile", name=name, steps=steps_of(name, smoke))
                print(name, found[name]["launches"], found[name]["microseconds"], flush=True)
    return found


# ------------------------------------------------------------------------------------------ first steps, data, records


def first_steps(smoke, end):
    """Seconds of the first steps, in processes that find empty caches, and filled ones."""
    rows = []
    for name in first_and_normed(smoke):
        with go_on_after(f"{name}, first step"), tempfile.TemporaryDirectory() as folder:
            check_time(end)
            variables = {variable: str(Path(folder, part)) for variable, part in CACHES.items()}
            for state in ("cold caches", "warm caches"):
                rows.append(first_step(name, "minicnn", variables) | {"state": state})
                print(rows[-1], flush=True)
        with go_on_after(f"{name}, first step, PyTorch"), skip_missing():
            rows.append(first_step(name, "torch", {}) | {"state": "eager"})
            print(rows[-1], flush=True)
    return rows


def first_step(name, library, variables):
    """A row: seconds from the start of the process to the end of the first step, and what they are made of."""
    begin = time.perf_counter()
    with GpuWorker(library, variables=variables) as process:
        answer = process.ask("first", name=name, steps=FIRST_STEPS)
        seconds = time.perf_counter() - begin - sum(answer["steps"][1:])
    return {"name": name, "library": library, "seconds": seconds} | answer


def places(smoke, end):
    """For two networks: what `gpu_worker.Minicnn.places` returns."""
    found = {}
    with GpuWorker("minicnn") as ours:
        for name in first_and_normed(smoke):
            with go_on_after(f"{name}, data in chunks"):
                check_time(end)
                found[name] = ours.ask("places", name=name, steps=steps_of(name, smoke))
                print(name, found[name], flush=True)
    return found


def accuracy(smoke, end):
    """LeNet-5 until 99 %, at most 20 epochs; see `gpu_accuracy.reach`."""
    check_time(end)
    with GpuWorker("minicnn") as ours:
        return ours.ask("reach", smoke=smoke)


def records(name, seeds, libraries, smoke, end):
    """Library → the runs of a recipe, [accuracy, seconds of training] of every seed."""
    found = {}
    for library in libraries:
        with go_on_after(f"{name}, {library}"), skip_missing():
            check_time(end)
            with GpuWorker(library, variables={"MINICNN_RECORDS_LIMIT": "256"} if smoke else {}) as process:
                found[library] = process.ask("record", name=name, seeds=1 if smoke else seeds)["runs"]
                print(name, library, found[library], flush=True)
    return found
