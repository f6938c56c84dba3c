"""Training on several workers: the same bits on any number of them, and one sentence for whatever goes wrong."""

import argparse
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import distributed_kills
import numpy as np
import pytest

import minicnn as mc
from minicnn import processors
from minicnn.command_line import launching
from minicnn.distribution import lockstep, overlap, problems, shards, sums, wire, world
from minicnn.training import interrupts

HERE = Path(__file__).parent
MPIEXEC = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(MPIEXEC) if MPIEXEC.exists() else shutil.which("mpiexec")
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}  # Open MPI asks for it, in containers
with_mpi = pytest.mark.skipif(
    not (importlib.util.find_spec("mpi4py") and MPIEXEC),
    reason="needs mpi4py and mpiexec: pip install minicnn[distributed]",
)


def run(workers, *arguments, script="distributed_training.py", **environment):
    """What a script of this folder prints on so many workers."""
    environment = {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}", **AS_ROOT, **environment}
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    start = [MPIEXEC, "-n", str(workers)] if workers else []
    return subprocess.run([*start, *command], env=os.environ | environment, capture_output=True, text=True, timeout=500)


def outcome(workers, *arguments, **options):
    """The JSON that a training prints."""
    done = run(workers, *arguments, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert problems.MARK not in done.stderr
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


# --------------------------------------------------------------------------------------------- how batches are cut


@pytest.mark.parametrize("count", [1, 3, 4, 5, 23, 32, 100, 128, 1000])
@pytest.mark.parametrize("wanted", [1, 2, 5, 8])
def test_shards_are_the_batch_in_order_and_begin_at_multiples_of_four(count, wanted):
    parts = shards.cut(count, wanted)
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(count))
    assert all(part.start % 4 == 0 and part.stop > part.start for part in parts)
    sizes = [part.stop - part.start for part in parts]
    assert len(parts) == min(wanted, -(-count // 4))
    assert max(sizes[:-1], default=0) - min(sizes[:-1], default=0) <= 4


@pytest.mark.parametrize("count", range(1, 18))
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 20])
def test_whoever_adds_adds_along_the_same_tree(count, size):
    """Sums as text, with their brackets: the same for one worker and for several."""

    def bracket(first, second):
        return f"({first}+{second})"

    def plain(low, high):
        middle = (low + high) // 2
        return str(low) if high - low == 1 else bracket(plain(low, middle), plain(middle, high))

    leaves = {(i, i + 1): str(i) for i in range(count)}
    found, computed = {}, []
    for rank in range(size):
        own = shards.own_part(count, rank, size)
        computed += own
        for node in shards.nodes_within((0, count), own):
            assert own.start <= node[0] < node[1] <= own.stop
            found[node] = shards.total(node, leaves, bracket)
    assert computed == list(range(count))
    assert shards.total((0, count), found, bracket) == plain(0, count)


def test_shares_of_unequal_shards_add_up_to_the_mean():
    """As the engine does it: each shard counts relative to the first, the sum is scaled once."""
    for count in (5, 23, 100):
        parts = shards.cut(count, 8)
        sizes = [Fraction(part.stop - part.start) for part in parts]
        assert sum(size / sizes[0] for size in sizes) * sizes[0] / count == 1


def test_without_initialize_there_is_one_worker():
    assert (mc.distribution.rank(), mc.distribution.size()) == (0, 1)
    assert mc.distribution.distribution() is None
    assert mc.distribution.list_devices("cpu") == ["cpu:0"]


@with_mpi
def test_keras_names_of_it():
    found = outcome(0, "names", script="distributed_faults.py")
    assert found["count"] == [1, 1]
    mesh, devices, shard = found["said"]
    assert "Received: device_mesh='mesh'" in mesh
    assert "all of them: DataParallel() without device_mesh= and devices=" in devices
    assert "Received: auto_shard_dataset=False" in shard


@pytest.mark.filterwarnings("ignore:minicnn has no")
def test_what_keras_lays_over_several_devices_is_refused_with_a_sentence():
    from minicnn.keras.distribution import DeviceMesh, LayoutMap, ModelParallel, TensorLayout, distribute_tensor

    for name in (DeviceMesh, LayoutMap, ModelParallel, TensorLayout, distribute_tensor):
        with pytest.raises(ImportError, match="every worker has all weights, and a part of each batch"):
            name((2, 4), ["batch", "model"])
    assert not hasattr(mc.keras.distribution, "DeviceMesh")


# -------------------------------------------------------------------------------------------------------- the bits


@pytest.fixture(scope="module")
def alone():
    """What one worker trains."""
    return outcome(0, "all")


@with_mpi
@pytest.mark.parametrize("workers, threads", [(1, 2), (2, 1), (2, 2), (4, 1), (8, 1)])
def test_any_number_of_workers_ends_with_the_same_bits(alone, workers, threads):
    assert outcome(workers, "all", 8, threads) == alone


@with_mpi
def test_workers_that_do_not_divide_the_shards(alone):
    names = ("drawing", "synchronized")  # with 6 samples in the last batch, one worker has none of its 2 shards
    assert outcome(3, ",".join(names)) == {name: alone[name] for name in names}


@with_mpi
def test_one_shard_is_training_without_distribution():
    import distributed_training

    names = ("drawing", "synchronized")
    expected = {name: json.loads(json.dumps(distributed_training.TRAININGS[name]())) for name in names}
    assert outcome(2, ",".join(names), 1) == expected


@with_mpi
def test_shards_change_no_formula():
    """Updates of shards against those of the whole batch: to 1e-6, with synchronized batch normalization in float64."""
    alone = outcome(0, "step,steps")  # two that begin at once would both compile the kernels of float64
    two = outcome(2, "step,steps")
    assert two == alone
    for done, tolerance in zip(two.values(), (1e-6, 1e-13), strict=True):
        np.testing.assert_allclose(done["shards"], done["whole"], rtol=0, atol=tolerance)
        assert done["shards"] != done["whole"]  # they are rounded otherwise


class Mirror:
    """A communicator of two workers, the other of which has what this one has; counts the messages."""

    rank, size, messages = 0, 2, 0

    def Ialltoallv(self, send, receive):
        (own, (counts, starts)), (found, lengths) = send, receive
        assert (counts, starts, lengths) == ([own.size] * 2, [0, 0], [own.size] * 2)
        found.reshape(2, -1)[...] = own
        self.messages += 1
        return self

    def Test(self):
        return True


def test_a_kind_of_message_is_long_once_before_it_needs_one_round():
    here = wire.Wire(None, Mirror(), [problems.Worker(i, "a", i) for i in range(2)], 1.0)
    rounds = []
    for value, kind in [("x", ""), ("y" * 3000, "long"), ("z" * 3000, "long"), ("x", "")]:
        before, sent = here.comm.messages, here.sent
        assert here.gather(value, kind) == [value] * 2
        rounds.append((here.comm.messages - before, here.sent - sent > 3000))
    assert rounds == [(1, False), (2, True), (1, True), (1, False)]
    assert [here.agreed(bits) for bits in (0, 1, 2, 3)] == [0, 1, 2, 3]


def test_ctrl_c_and_whether_to_stop_are_one_message():
    asked = []

    def agreed(bits):
        asked.append(bits)
        return bits | others.pop(0)

    others = [0, 1, 0, 2]  # what other workers have decided
    with pytest.raises(KeyboardInterrupt), interrupts.deferred_interrupt(agreed) as check:
        assert [check(), check(), check(True)] == [False, True, True]
        check()
    assert asked == [0, 0, 1, 0]


# ------------------------------------------------------------------------------------------------- who reads what


@with_mpi
def test_every_source_gives_the_same_and_each_worker_reads_its_part(tmp_path):
    rng = np.random.default_rng(4)
    for number in range(20):
        (tmp_path / str(number % 2)).mkdir(exist_ok=True)
        picture = mc.images.array_to_img(rng.integers(0, 256, (7, 9, 1)).astype("f4"), scale=False)
        picture.save(tmp_path / str(number % 2) / f"{number}.png")
    options = {"script": "distributed_faults.py", "PICTURES": str(tmp_path)}
    alone, three = (outcome(n, "sources", **options) for n in (0, 3))
    assert len(set(three["weights"].values())) == 1
    assert three["weights"] == alone["weights"]
    seen = three["random"].pop("seen")
    assert alone["random"].pop("seen") == [2 * 20]
    assert sum(seen) == 2 * (20 + 4)  # in two epochs; who has no shard of a batch of 8 or 4 reads one for its shape
    assert max(seen) <= 2 * 12
    assert three["random"] == alone["random"]
    batches, rows, made = zip(*three["read"], strict=True)
    assert batches == (3, 7, 7)  # of 9 in three epochs; the first of each by all, in the first epoch twice
    assert sum(made) == 2 * 3 * (70 + 1) and max(made) <= 2 * 3 * 32
    looked_at = 64 * 3 + 2  # by the handshake, in every epoch; and when shapes were looked for
    assert sum(rows) <= 3 * (70 + looked_at)
    assert max(rows) <= 3 * (32 + looked_at)


# ---------------------------------------------------------------------------------------------------------- faults


def launched(fault, workers=3, **environment):
    """(exit code, what was said on stderr) of `minicnn launch`."""
    environment = {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}", **AS_ROOT, **environment}
    command = [
        sys.executable,
        "-m",
        "minicnn",
        "launch",
        "-n",
        str(workers),
        str(HERE / "distributed_faults.py"),
        fault,
    ]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=300)
    said = [line for line in done.stderr.splitlines() if line.startswith("minicnn: ")]
    return done.returncode, said, done.stdout


@with_mpi
@pytest.mark.parametrize(
    "fault, reason",
    [
        ("killed", "was killed, and so mpiexec has ended the others"),
        ("hangs", "did not answer for "),
        ("fails", "has ended, and so the others do: RuntimeError: the disk is full"),
        ("leaves", "has ended its script, by sys.exit perhaps, while others train"),
    ],
)
def test_one_sentence_names_the_worker_and_all_end(fault, reason):
    code, said, _ = launched(fault, TIMEOUT="10" if fault == "hangs" else "120")
    assert code != 0
    (sentence,) = said
    assert re.match(rf"minicnn: worker 1 \(host {re.escape(socket.gethostname())}, process \d+\)", sentence)
    assert reason in sentence


CONNECTED = """
import os, sys
from minicnn.distribution import problems
problems.announce(problems.Worker.here(0))
if not os.fork():  # a process that outlives the worker
    os.close(1)
    os.close(2)
    os.read(int(sys.argv[1]), 1)
    os._exit(0)
print(flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is known")
def test_the_first_worker_to_end_is_known():
    ends = launching._Ends()
    environment = os.environ | {problems.LAUNCHED: ends.name, "PYTHONPATH": str(HERE.parent)}
    outlived, kept = os.pipe()
    options = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")} | {"pass_fds": [outlived]}
    command = [sys.executable, "-c", CONNECTED, str(outlived)]
    workers = [subprocess.Popen(command, **options, env=environment) for _ in range(4)]
    for worker in workers:
        worker.stdout.readline()
    ends.welcome()
    known = {worker.pid for worker in workers[:3]}
    assert ends.first(known) is None
    for number in (3, 1, 2, 0):  # of the first one nobody knows whether it is a worker
        workers[number].communicate(b"end\n")
    assert ends.first(known) == workers[1].pid
    for end in (outlived, kept):
        os.close(end)


def test_where_no_connections_are_to_be_had_nothing_is_known(monkeypatch):
    """As in some sandboxes, and on other machines than `minicnn launch`, where any program may have the name."""

    class Refused(socket.socket):
        def bind(self, address):
            raise OSError("Operation not permitted")

        def connect(self, address):
            pytest.fail("nobody listens")

    monkeypatch.setattr(socket, "socket", Refused)
    ends = launching._Ends()
    ends.welcome()
    assert ends.first({1, 2}) is None
    for name in (ends.name, "00001:elsewhere"):
        monkeypatch.setenv(problems.LAUNCHED, name)
        problems.announce(problems.Worker(0, socket.gethostname(), 1))


@with_mpi
def test_workers_that_do_not_fit_together_say_so():
    code, said, out = launched("others")
    assert (code, said) == (0, [])
    found = json.loads(out.splitlines()[-1])
    for what, texts in found.items():
        assert texts[1:] == [texts[1]] * 2, what
    generator = found.pop("generator")
    assert generator[0] == "OSError: no such file: photo 33"
    assert "worker 0 (host" in generator[1]
    assert "could not read a batch: OSError: no such file: photo 33" in generator[1]
    assert all(texts[0] == texts[1] for texts in found.values())
    for name in ("nan", "nan behind synchronized"):
        assert "in epoch 1, batch 2: the batch's input data holds NaN" in found.pop(name)[0]
    assert "must be a mean over samples or their sum" in found.pop("loss")[0]
    names = {"version": "version of minicnn", "shuffle": "position"}
    for what, texts in found.items():
        kind, _, sentence = texts[0].partition(": ")
        assert kind == "DistributionError"
        expected = (
            rf"worker 1 \(host .*\) has another {names.get(what, what)} than worker 0 \(host .*Received: (.*) and (.*)"
        )
        received = re.match(expected, sentence)
        assert received, (what, sentence)
        assert received[1] != received[2]


@with_mpi
def test_decisions_of_one_worker_are_those_of_all():
    code, said, out = launched("together")
    assert (code, said) == (0, [])
    assert json.loads(out.splitlines()[-1]) == {
        "stop": 4,
        "interrupted": 4,
        "renewed": 3,
    }  # updates: 4 are an epoch's and a batch


@with_mpi
def test_ctrl_c_ends_all_after_the_same_batch_with_one_sentence():
    code, said, _ = launched("interrupted")
    assert (code, said) == (
        problems.INTERRUPTED,
        ["minicnn: interrupted: all workers have ended after the same batch"],
    )


def test_launch_hands_signals_on_from_the_start_and_gives_them_back():
    before = [signal.getsignal(number) for number in launching.ENDINGS]
    ended = []
    with launching._ending() as ends:
        os.kill(os.getpid(), signal.SIGTERM)  # mpiexec is not there yet
        assert not ended
        ends(lambda: ended.append("first"))
        assert ended == ["first"]
        os.kill(os.getpid(), signal.SIGTERM)
        assert ended == ["first", "first"]
    assert [signal.getsignal(number) for number in launching.ENDINGS] == before


@pytest.mark.parametrize("line", [0, 1])
def test_a_signal_that_comes_while_the_function_is_told_is_handed_on_once(line):
    """Before a line of `told`, whichever."""
    ended, lines, before = [], [], sys.gettrace()

    def trace(frame, event, argument):
        if event == "line":
            lines.append(frame.f_lineno)
            if len(lines) == line + 1:
                signal.raise_signal(signal.SIGTERM)
        return trace if frame.f_code.co_name == "told" else None

    with launching._ending() as ends:
        sys.settrace(trace)
        try:
            ends(lambda: ended.append("once"))
        finally:
            sys.settrace(before)
    assert len(lines) > line
    assert ended == ["once"]


def test_launch_leaves_signals_that_are_ignored(monkeypatch):
    """As under nohup; and those of a program in C, of which Python knows nothing."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with launching._ending():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with launching._ending():
        assert signal.signal(signal.SIGTERM, before) is signal.SIG_DFL


def test_launch_ends_mpiexec_where_it_is_ended(tmp_path, monkeypatch):
    """A program in mpiexec's place that has `launch` terminated, and would not end by itself in a minute."""
    program, script = tmp_path / "mpiexec", tmp_path / "script.py"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && exit\nkill -TERM $PPID\nexec sleep 60\n')
    program.chmod(0o755)
    script.touch()
    monkeypatch.setattr(launching, "mpiexec", lambda: program)
    options = argparse.Namespace(script=script, workers=2, hosts=None, arguments=[])
    assert launching.launch(options) == -signal.SIGTERM


@pytest.mark.parametrize(
    "version, expected",
    [
        ("HYDRA build details:", ["-n", "3", "-hosts", "a,b:2"]),
        ("mpiexec (OpenRTE) 4.1.4", ["-n", "3", "-x", problems.LAUNCHED, "--host", "a:2,b:2"]),
        ("mpirun (Open MPI) 5.0.8", ["-n", "3", "-x", problems.LAUNCHED, "--host", "a:2,b:2"]),
    ],
)
def test_launch_tells_each_mpiexec_in_its_words_where_workers_start(version, expected, tmp_path):
    program = tmp_path / "mpiexec"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    assert launching._placing(program, 3, "a,b:2") == expected
    assert launching._placing(program, 3, None) == expected[: 2 if "HYDRA" in version else 4]


@pytest.mark.parametrize(
    "said",
    [
        "=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES\n=   PID 42 RUNNING AT alpha\n",
        "mpirun noticed that process rank 1 with PID 42 on node alpha exited on signal 9 (Killed).\n",
        "prterun noticed that process rank 1 with PID 42 on node alpha exited on\nsignal 9 (Killed).\n",
    ],
)
def test_launch_reads_each_mpiexec_s_words_for_who_was_killed(said):
    watch, out = launching.Watch(), io.StringIO()
    watch.read(io.StringIO(f"{problems.MARK} 1 42 alpha;\nepoch 1\n{said}"), out)
    assert out.getvalue() == f"epoch 1\n{said}"
    assert watch.sentence().startswith("worker 1 (host alpha, process 42) was killed")


@pytest.mark.parametrize(
    "processes, sharing, quota, of_one, expected",
    [
        (4, 4, None, 16, 4),  # of 16 processors that all share
        (4, 1, None, 4, 4),  # each bound to processors of its own, as by srun
        (2, 2, 3.0, 16, 2),  # a container's time is everybody's
        (4, 1, None, 2, 2),  # OMP_NUM_THREADS is of each process
        (40, 40, 3.0, 16, 1),
    ],
)
def test_workers_divide_what_they_share(processes, sharing, quota, of_one, expected, monkeypatch):
    monkeypatch.setattr(processors, "_processors", lambda: 4 if sharing == 1 else 16)
    monkeypatch.setattr(processors, "cpu_quota", lambda: quota)
    monkeypatch.setattr(processors, "default_threads", lambda: of_one)
    assert processors.threads_of_each(processes, sharing) == expected


def test_workers_on_processors_of_their_own_do_not_share_them(monkeypatch):
    monkeypatch.setattr(processors, "affinity", lambda: frozenset({2, 3}))
    seen = []
    monkeypatch.setattr(processors, "threads_of_each", lambda *counts: seen.append(counts))
    world._own_threads([frozenset({0, 1}), frozenset({2, 3}), frozenset({3, 4})])
    world._own_threads([None, None, None])
    assert seen == [(3, 2), (3, 3)]


@with_mpi
def test_killed_trainings_go_on_with_another_number_of_workers():
    assert distributed_kills.main(["--kills", "3"]) == 3


# ------------------------------------------------------------------------------------------------------------ GPUs


@with_mpi
@pytest.mark.gpu
def test_workers_on_gpus_end_with_the_same_bits():
    """Two workers on one GPU, or on the stand-in for CuPy."""
    import cupy

    path = [str(HERE), str(HERE.parent), str(Path(cupy.__file__).parents[1])]
    environment = {"PYTHONPATH": os.pathsep.join(path), "MINICNN_BACKEND": "cupy"}
    alone, two = (outcome(n, "drawing,synchronized", **environment) for n in (0, 2))
    assert two == alone
    on_processor = outcome(0, "drawing,synchronized", MINICNN_BACKEND="numpy")
    for name, found in alone.items():
        np.testing.assert_allclose(found["logs"][0]["loss"], on_processor[name]["logs"][0]["loss"], rtol=1e-4)


# --------------------------------------------------------------------------- gradients that travel while others come


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("frozen", [False, True])
def test_pieces_are_sent_when_nothing_writes_them_any_more(frozen, backend, monkeypatch):
    """A weight used twice, one step with two weights: after its number, no piece changes."""
    monkeypatch.setattr(sums, "LARGE", 4 * 16)
    shared = mc.layers.Dense(12, activation="tanh")
    inputs = mc.Input((12,))
    x = shared(mc.layers.Dense(12)(shared(inputs)))
    model = mc.Model(inputs, mc.layers.Dense(30, activation="softmax")(x))
    shared.trainable = not frozen
    model.compile("sgd", "sparse_categorical_crossentropy", backend=backend)
    engine = model.training_engine()
    batch = model._intake().batch(np.random.default_rng(0).normal(size=(5, 12)).astype("f4"), np.arange(5) % 3)
    bound, store, seen = engine.bound(batch, training=True), engine.store, {}
    store.grad[...] = 0
    engine.compute(batch, bound, 0)
    found = overlap.pieces(bound, store, extra=7)
    assert [i for _, part in reversed(found) for i in range(part.start, part.stop)] == list(range(store.grad.size + 7))
    assert len(found) > 1
    assert [number for number, _ in found] == sorted(number for number, _ in found)

    numbers = []

    def after(number):
        numbers.append(number)
        seen.update({i: store.grad[part].copy() for i, (when, part) in enumerate(found) if when == number})

    bound.backward(after)
    assert numbers == list(range(len(bound.backward_steps)))
    for i, (_, part) in enumerate(found):
        np.testing.assert_array_equal(seen[i], store.grad[part])
    assert all(gradients.any() for gradients in seen.values())


@pytest.mark.parametrize("node", [(0, 1), (0, 8), (4, 8), (3, 8), (5, 7)])
def test_the_last_shard_is_added_in_the_order_of_the_tree(node):
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(8, 9)).astype(np.float32) * 10.0 ** rng.integers(-6, 7, (8, 9))

    def compute(i, onto=None):
        return vectors[i].copy() if onto is None else onto + vectors[i]

    above, last = overlap.before_last(node, compute)
    assert last == node[1] - 1
    own = vectors[last].copy()
    for vector in reversed(above):
        own = vector + own
    np.testing.assert_array_equal(own, sums.along_tree(node, compute))


def test_synchronized_layers_that_compute_in_bfloat16_are_refused():
    layer = mc.layers.BatchNormalization(synchronized=True, dtype="mixed_bfloat16")
    with pytest.raises(ValueError, match=r"give the layer dtype='float32'\. Received: layer 'batch_norm"):
        lockstep.wants_sums(mc.Sequential([mc.Input((3,)), layer]))
    layer.trainable = False  # goes by its moving averages
    assert not lockstep.wants_sums(mc.Sequential([mc.Input((3,)), layer]))


def test_layers_want_sums_where_they_are_synchronized_and_train():
    for synchronized in (False, True):
        trains = mc.Sequential([mc.Input((3,)), mc.layers.BatchNormalization(synchronized=synchronized)])
        assert lockstep.wants_sums(trains) is synchronized
        trains.layers[0].trainable = False
        assert not lockstep.wants_sums(trains)


def test_losses_of_a_whole_batch_are_refused():
    from types import SimpleNamespace

    from minicnn.distribution.shares import check_losses
    from minicnn.layers.added_loss import AddLoss

    for loss in (mc.losses.Dice(), mc.losses.Tversky(axis=(0, 1))):
        with pytest.raises(ValueError, match="each sample must have a loss of its own"):
            check_losses(SimpleNamespace(losses=[loss]), [])
    check_losses(SimpleNamespace(losses=[mc.losses.Dice(axis=(1, 2))]), [AddLoss("mean")])
    with pytest.raises(ValueError, match="adds a sum"):
        check_losses(SimpleNamespace(losses=[]), [AddLoss("sum")])
