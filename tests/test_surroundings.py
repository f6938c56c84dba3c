"""Where a program runs: what it may print to, how many processors it has, and processes that it starts."""

import ast
import io
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn import backends, callbacks, console, layers, processors, threads
from minicnn.errors import BackendError

PACKAGE = Path(mc.__file__).parent


def small_model():
    mc.set_backend("numpy")
    model = mc.Sequential([mc.Input((6,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


X, Y = np.random.default_rng(0).random((8, 6)), np.arange(8) % 3


def python(code, *, shell=None, timeout=120, **environment):
    """Run a program in a fresh interpreter; returns what it printed. `shell` is put behind the command."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    if shell:
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), **environment}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=timeout)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


# -------------------------------------------------------------------------------------------------------- streams


class WriteOnly:
    """What some programs put in the place of a stream."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Gone(io.StringIO):
    """A terminal that was closed, a disk that is full."""

    def write(self, text):
        raise OSError(5, "Input/output error")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def coded(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


STREAMS = {
    "none": lambda: None,
    "write only": WriteOnly,
    "closed": closed,
    "gone": Gone,
    "cp932": lambda: coded("cp932"),
    "ascii": lambda: coded("ascii"),
}


@pytest.mark.parametrize("out", STREAMS)
@pytest.mark.parametrize("err", ["none", "write only", "closed"])
def test_training_goes_on_without_streams(out, err, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdout", STREAMS[out]())
    monkeypatch.setattr(sys, "stderr", STREAMS[err]())
    talkative = [
        callbacks.EarlyStopping("loss", patience=0, min_delta=9, verbose=1, restore_best_weights=True),
        callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=9, verbose=1),
        callbacks.LearningRateScheduler(lambda epoch: 0.1, verbose=1),
        callbacks.ModelCheckpoint(tmp_path / "größe.safetensors", verbose=1),
    ]
    model = small_model()
    for verbose in ("auto", 1, 2):
        model.fit(X, Y, epochs=2, verbose=verbose, validation_data=(X, Y), callbacks=talkative)
        model.evaluate(X, Y, verbose=verbose)
        model.predict(X, verbose=verbose)
    assert len(model.history.epoch) == 2
    model.summary()
    backends.info()
    with np.errstate(invalid="ignore"):
        model.fit(X * np.inf, Y, callbacks=[callbacks.TerminateOnNaN()])
    if out == "write only":
        assert "Epoch 1/2" in sys.stdout.text
        assert "loss: " in sys.stdout.text
        assert "│" in sys.stdout.text


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp932", "ascii", "utf-8", "cp437"])
def test_a_summary_in_the_characters_of_its_stream(encoding, monkeypatch):
    """Only UTF-8 has all the lines of the table (cp437, of DOS, has some); elsewhere it is drawn in ASCII."""
    stream = coded(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    model = small_model()
    model.summary()
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding)
    assert "dense" in text
    assert text.startswith(f'Model: "{model.name}"\n')
    assert text.isascii() == (encoding != "utf-8")
    assert {len(line) for line in text.splitlines()[1:6]} == {len(text.splitlines()[1])}  # still a table


def test_a_print_fn_that_cannot_encode_gets_plain_text(tmp_path):
    path = tmp_path / "summary.txt"
    with open(path, "w", encoding="cp1252") as file:
        small_model().summary(print_fn=lambda text: file.write(text + "\n"))
    assert "| dense" in path.read_text(encoding="cp1252")
    lines = []
    small_model().summary(print_fn=lines.append)
    assert "│ dense" in lines[0]


def test_what_has_no_plain_form_is_escaped():
    assert console.printable("größe 平 …", coded("ascii")) == "gr\\xf6\\xdfe \\u5e73 ..."
    assert console.printable("größe 平 …", coded("cp1252")) == "größe \\u5e73 ..."
    assert console.printable("平", WriteOnly()) == "平"
    strange = WriteOnly()
    strange.encoding = "no such encoding"
    assert console.printable("平", strange) == "平"


def test_only_an_open_terminal_is_one():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    streams = [None, WriteOnly(), closed(), io.StringIO(), Terminal()]
    assert [console.is_terminal(stream) for stream in streams] == [False, False, False, False, True]


def calls_of(function):
    """(file, call) of a function in the package."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if f"{function}(" in text else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func) == function:
                yield path, node


def test_nothing_prints_past_the_console():
    """One place decides how; kernels that are compiled say so on their own."""
    printing = [path.relative_to(PACKAGE).as_posix() for path, _ in calls_of("print")]
    assert [path for path in printing if not path.startswith("backends/numba/")] == []


def test_nothing_is_left_to_an_assert():
    """`python -O` leaves asserts out: a model without shapes was then saved as an empty file of weights."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        nodes = ast.walk(ast.parse(text)) if "assert " in text or "__debug__" in text else ()
        assert not [node.lineno for node in nodes if isinstance(node, ast.Assert)], path
        assert "__debug__" not in text, path


@pytest.mark.parametrize("file", ["m.keras", "m.h5", "m.safetensors", "m.weights.h5"])
def test_a_model_without_shapes_is_not_saved_with_optimization_either(file, tmp_path):
    code = f"""
        import minicnn as mc
        model = mc.Sequential([mc.layers.Dense(2)])
        try:
            (model.save_weights if "weights" in {file!r} else model.save)({str(tmp_path / file)!r})
        except mc.errors.NotBuiltError:
            print("refused")
    """
    assert python(code, PYTHONOPTIMIZE="1").split() == [b"refused"]
    assert not (tmp_path / file).exists()


def test_warnings_are_ascii():
    """Python writes them to stderr as they are, and a stderr in a file of cp1252 would turn one into an error."""
    for path, call in calls_of("warnings.warn"):
        texts = [n.value for n in ast.walk(call) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        assert all(text.isascii() for text in texts), (path, texts)


# ----------------------------------------------------------------------------------------------------- processors

MOUNTS_2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
MOUNTS_1 = (
    "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 23 0:28 {top} /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
)


def system(root, group, mounts, **files):
    """A folder that looks like a system; names of files have "__" for "/"."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group)
    (root / "proc/self/mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/root rw\n" + mounts)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),  # docker run --cpus=1.5, in the container's own namespace
        ({"cpu.max": "max 100000\n"}, None),
        ({}, None),
        ({"a__b__cpu.max": "50000 100000\n", "cpu.max": "max 100000\n"}, 0.5),
        ({"a__b__cpu.max": "max 100000\n", "a__cpu.max": "200000 100000\n"}, 2.0),  # of a group around it
        ({"a__b__cpu.max": "300000 100000\n", "a__cpu.max": "200000 100000\n"}, 2.0),  # the least
        ({"a__c__cpu.max": "100000 100000\n"}, None),  # of a neighbour
        ({"cpu.max": "nonsense\n"}, None),
    ],
)
def test_quota_of_control_groups_2(files, quota, tmp_path):
    assert processors.cpu_quota.__wrapped__(system(tmp_path, "0::/a/b\n", MOUNTS_2, **files)) == quota


@pytest.mark.parametrize("top", ["/", "/docker/1f", "/elsewhere"])
@pytest.mark.parametrize(("numbers", "quota"), [(("150000", "100000"), 1.5), (("-1", "100000"), None)])
def test_quota_of_control_groups_1(top, numbers, quota, tmp_path):
    """The host sees the group below the mount's top; in a container the mount shows the group itself."""
    inside = "docker__1f__" if top == "/" else ""
    names = "cpu.cfs_quota_us", "cpu.cfs_period_us"
    files = {f"cpu,cpuacct__{inside}{name}": number for name, number in zip(names, numbers, strict=True)}
    group = "5:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n0::/docker/1f\n"
    root = system(tmp_path, group, MOUNTS_1.format(top=top), **files)
    assert processors.cpu_quota.__wrapped__(root) == quota


def test_no_control_groups(tmp_path):
    assert processors.cpu_quota.__wrapped__(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("cores", "quota", "environment", "expected"),
    [
        (8, None, {}, 8),
        (8, 1.5, {}, 2),  # rounded up, as Java and Go do
        (8, 0.1, {}, 1),
        (2, 6.0, {}, 2),
        (8, None, {"OMP_NUM_THREADS": "3"}, 3),
        (8, None, {"OMP_NUM_THREADS": "4,2"}, 4),  # OpenMP's list is by level
        (8, 2.0, {"OMP_NUM_THREADS": "5"}, 2),
        (2, None, {"OMP_NUM_THREADS": "5"}, 2),
        (8, None, {"NUMBA_NUM_THREADS": "1"}, 1),
        (8, None, {"NUMBA_NUM_THREADS": "", "OMP_NUM_THREADS": "many"}, 8),
        (8, None, {"NUMBA_NUM_THREADS": "0", "OMP_NUM_THREADS": "-1"}, 8),
    ],
)
def test_number_of_threads(cores, quota, environment, expected, monkeypatch):
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "process_cpu_count", lambda: cores, raising=False)
    monkeypatch.setattr(processors, "cpu_quota", lambda: quota)
    monkeypatch.setattr(processors, "_number", processors._number.__wrapped__)  # which reads a variable once
    threads._chosen["count"] = None
    assert mc.get_num_threads() == expected
    mc.set_num_threads(7)  # beyond quota and OMP_NUM_THREADS, which are defaults
    limit = int(environment.get("NUMBA_NUM_THREADS") or 0) or cores
    assert mc.get_num_threads() == min(7, limit)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_affinity_counts(monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert mc.get_num_threads() == 1
    finally:
        os.sched_setaffinity(0, before)


# ------------------------------------------------------------------------------------------------------ processes

TRAINS = """
import sys
import numpy as np
import minicnn as mc
from minicnn import layers
mc.utils.set_random_seed(1)
model = mc.Sequential([mc.Input((6,)), layers.Dense(3, activation="softmax")])
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
x, y = np.random.default_rng(0).random((8, 6)), np.arange(8) % 3
"""


def test_without_a_compiler_on_an_old_console():
    """NUMBA_DISABLE_JIT (debuggers, coverage), one thread, and a Windows console's encoding."""
    code = """
    model.fit(x, y, verbose=2)
    model.summary()
    print(model.engine.backend, mc.get_num_threads())
    try:
        mc.set_backend("numba")
    except mc.errors.BackendError as error:
        print(error)
    """
    settings = {"NUMBA_DISABLE_JIT": "1", "NUMBA_NUM_THREADS": "1", "PYTHONIOENCODING": "cp1252", "LC_ALL": "C"}
    settings["MINICNN_BACKEND"] = ""
    text = python(TRAINS + textwrap.dedent(code), **settings).decode("cp1252")
    assert "+-" in text
    assert "<Backend numpy> 1\n" in text
    assert "which NUMBA_DISABLE_JIT forbids: unset it, or use the backend 'numpy'" in text


def test_numba_that_compiles_nothing_is_refused_by_name(monkeypatch):
    from numba.core import config

    backends.get("numba")  # as kernels that are first imported below would stay uncompiled for all other tests
    monkeypatch.setattr(config, "DISABLE_JIT", 1)
    backends._load.cache_clear()
    try:
        assert backends.current().name == "numpy"
        with pytest.raises(BackendError, match="NUMBA_DISABLE_JIT forbids"):
            backends.get("numba")
    finally:
        backends._load.cache_clear()


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_closed_streams(tmp_path):
    """As in a service: Python sets both streams to None."""
    code = f"""
    assert sys.stdout is None and sys.stderr is None
    model.fit(x, y, verbose=1, validation_data=(x, y))
    model.summary()
    open({str(tmp_path / "done")!r}, "w").write("yes")
    """
    python(TRAINS + textwrap.dedent(code), shell=">&- 2>&-", MINICNN_BACKEND="numpy")
    assert (tmp_path / "done").read_text() == "yes"


USES = """
import sys
import numpy as np
import minicnn as mc
from minicnn import layers


def predicted(seed):
    mc.utils.set_random_seed(seed)
    model = mc.Sequential([mc.Input((64,)), layers.Dense(512, activation="relu"), layers.Dense(64)])
    return model.predict(np.ones((256, 64)), batch_size=256).sum()
"""


def test_threads_and_spawned_processes(tmp_path):
    """Several Python threads at once, then a process for each half of the work, give what one thread gives."""
    script = tmp_path / "script.py"
    script.write_text(
        USES
        + textwrap.dedent("""

    if __name__ == "__main__":
        from concurrent.futures import ThreadPoolExecutor
        from multiprocessing import get_context

        expected = predicted(1)
        with ThreadPoolExecutor(3) as pool:
            model = mc.Sequential([mc.Input((64,)), layers.Dense(512)])
            x = np.ones((256, 64))
            once = model.predict(x)
            assert all((y == once).all() for y in pool.map(lambda _: model.predict(x), range(6)))
        with get_context("spawn").Pool(1) as pool:
            assert pool.map(predicted, [1]) == [expected], "spawn"
        print("same")
    """)
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.split() == ["same"], done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_processes():
    """A child that was forked after a prediction, and a pool of such children, predict the same; no one hangs."""
    code = """
    import os, signal
    from multiprocessing import get_context

    signal.alarm(20)  # ends the process: a hang is a failure
    expected = predicted(1)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os._exit(0 if predicted(1) == expected else 3)
    assert os.waitpid(child, 0)[1] == 0, "fork"
    with get_context("fork").Pool(2) as pool:
        assert pool.map_async(predicted, [1, 1, 1]).get(10) == [expected] * 3, "pool"
    assert predicted(1) == expected, "the parent, afterwards"
    """
    python(USES + textwrap.dedent(code))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_forked_while_another_thread_computes():
    """The thread that holds the lock does not exist in the child: the child must not wait for it."""
    code = """
    import os, signal, threading
    from minicnn import threads
    from minicnn.backends import get

    def compute():
        with threads.compute_threads(get("numpy")):
            inside.set()
            forked.wait(20)

    mc.set_backend("numpy")
    signal.alarm(30)
    inside, forked = threading.Event(), threading.Event()
    thread = threading.Thread(target=compute)
    thread.start()
    inside.wait(20)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        predicted(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    forked.set()
    thread.join()
    assert status == 0, status
    with threads.compute_threads(get("numpy")):  # a fork inside leaves the child the lock that it holds
        child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    predicted(1)
    """
    python(USES + textwrap.dedent(code))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    "held",
    ["minicnn.backends.loading._importing", "numba.core.compiler_lock.global_compiler_lock"],
)
def test_a_fork_waits_while_another_thread_imports_or_compiles(held):
    """What it was about to finish stays locked in the child for ever: modules, and Numba's compiler."""
    code = f"""
    import os, signal, threading
    from pydoc import locate

    def work():
        with lock:
            inside.set()
            forking.wait(20)

    signal.alarm(60)
    predicted(1)
    lock, inside, forking = locate({held!r}), threading.Event(), threading.Event()
    os.register_at_fork(before=forking.set)  # the last one that is registered is called first
    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(20)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        with lock:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    """
    python(USES + textwrap.dedent(code))


def test_joblib_processes(tmp_path):
    pytest.importorskip("joblib")
    script = tmp_path / "script.py"
    script.write_text(
        USES
        + textwrap.dedent("""

    if __name__ == "__main__":
        from joblib import Parallel, delayed

        assert Parallel(2)(delayed(predicted)(1) for _ in range(2)) == [predicted(1)] * 2
        print("same")
    """)
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.split() == ["same"], done.stderr


def test_a_folder_called_cupy_is_not_cupy(tmp_path):
    """Python imports an empty folder of that name; what can be used is said all the same."""
    (tmp_path / "cupy").mkdir()
    program = "import sys; sys.path.insert(0, '.'); import minicnn as mc; mc.backends.info()"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "numpy  the processor" in run.stdout


# ------------------------------------------------------------------------------------------- weights and threads


class InTheMiddle(mc.optimizers.SGD):
    """Has another thread read the weights when one half of them is new, and gives it time to."""

    def __init__(self, read):
        super().__init__(0.1)
        self.read, self.readers = read, []

    def get_config(self):
        return {"read": None}

    def apply(self, ops, theta, grad, slots, learning_rate):
        theta[: theta.size // 2] -= learning_rate
        self.readers.append(threading.Thread(target=self.read))
        self.readers[-1].start()
        self.readers[-1].join(timeout=0.3)
        theta[theta.size // 2 :] -= learning_rate


READERS = {
    "get_weights": lambda model, folder: model.get_weights(),
    "save": lambda model, folder: _read_again(model.save, folder / "model.safetensors"),
    "save_weights": lambda model, folder: _read_again(model.save_weights, folder / "model.weights.h5"),
    "snapshot": lambda model, folder: list(model.snapshot().weights.values()),
}


def _read_again(save, path):
    save(path)
    other = small_model()
    other.load_weights(path)
    return other.get_weights()


@pytest.mark.parametrize("name", READERS)
def test_weights_that_another_thread_reads_belong_together(name, tmp_path):
    """They are those before an iteration or after it, not some of each."""
    seen, model = [], small_model()
    optimizer = InTheMiddle(lambda: seen.append(READERS[name](model, tmp_path)))
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    model.fit(X, Y, epochs=2, batch_size=8, verbose=0)
    for reader in optimizer.readers:
        reader.join()
    assert len(seen) == 2
    for weights in seen:
        assert len({float(value) for w in weights for value in w.ravel()}) == 1, weights


@pytest.mark.parametrize("put", ["set_weights", "load_weights"])
def test_weights_that_another_thread_sets_are_set_between_iterations(put, tmp_path):
    model, ones = small_model(), small_model()
    ones.set_weights([np.ones_like(w) for w in ones.get_weights()])
    ones.save_weights(tmp_path / "ones.weights.h5")
    calls = {
        "set_weights": lambda: model.set_weights(ones.get_weights()),
        "load_weights": lambda: model.load_weights(tmp_path / "ones.weights.h5"),
    }
    optimizer = InTheMiddle(calls[put])
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.train_on_batch(X, Y)
    optimizer.readers[0].join()
    for w in model.get_weights():
        np.testing.assert_array_equal(w, np.ones_like(w))


# ------------------------------------------------------------------------------------------------- other libraries


def test_scipy_is_not_imported_and_numba_has_its_blas_where_a_program_calls_it():
    """Numba imports SciPy to see whether there is one, which takes as long as all of minicnn."""
    pytest.importorskip("scipy")
    code = """
        import sys
        import numpy as np
        import minicnn as mc
        mc.layers.Dense(3)(np.ones((2, 4), np.float32))
        print("scipy.linalg" in sys.modules)
        import numba
        product = numba.njit(lambda a, b: np.dot(a, b))
        inverse = numba.njit(lambda a: np.linalg.inv(a))
        a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
        print((product(a, b) == a @ b).all(), product(a[0], b[:, 0].copy()) == a[0] @ b[:, 0])
        print((inverse(np.diag([2.0, 4.0])) == np.diag([0.5, 0.25])).all())
    """
    assert python(code).split() == [b"False", b"True", b"True", b"True"]
