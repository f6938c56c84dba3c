"""A second process compiles kernels that are not on the disk yet, while this one does."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba")

from minicnn import backends
from minicnn.backends.numba.machine import claims, launch, recording, second_compiler

IN_ANOTHER_PROCESS = """
import json, os, sys
import numpy as np
import minicnn as mc
from minicnn.backends.numba.machine import second_compiler

model = mc.Sequential([mc.Input((8, 8, 1)), mc.layers.Conv2D(4, 3, activation="relu"), mc.layers.MaxPooling2D(),
                       mc.layers.Flatten(), mc.layers.Dense(3, activation="softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
rng = np.random.default_rng(0)
model.set_weights([rng.uniform(-1, 1, w.shape) for w in model.get_weights()])
model.fit(rng.random((8, 8, 8, 1)), np.arange(8) % 3, epochs=2, verbose=0, shuffle=False)
started = list(second_compiler._running)
codes = [process.wait() for process in started]
weights = b"".join(w.tobytes() for w in model.get_weights()).hex()
print(json.dumps({"codes": codes, "weights": weights}))
"""


def outcome(**environment):
    """What a fresh process says."""
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS]
    environment = os.environ | environment | {"OMP_NUM_THREADS": "2"}
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600, env=environment)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="no second processor")
def test_both_processes_compile_and_the_result_is_the_same(tmp_path):
    weights = outcome()["weights"]  # with kernels that are there, or compiled by any process
    assert outcome(MINICNN_CACHE=str(tmp_path)) == {"codes": [0], "weights": weights}
    assert outcome(MINICNN_CACHE=str(tmp_path)) == {"codes": [], "weights": weights}  # all is on the disk


def _double(pool, x):
    for i in range(len(x)):
        x[i] *= 2


def test_what_is_foreseen_is_not_computed():
    double = launch.parallel_kernel(_double)
    x = np.ones(3)

    def work():
        double(x)
        double.launch(1e9, x)
        recording.call(np.negative, x, x)
        recording.reference.pointwise(x, (x,), "relu")

    def failing():
        raise ValueError

    assert [kernel for kernel, _ in recording.foreseen([failing, work])] == [double]
    assert (x == 1).all()
    double(x)
    assert (x == 2).all()
    assert recording.foreseen([work]) == {}  # it is here already
    assert (x == 2).all()


def test_a_kernel_of_a_module_is_found_by_its_name():
    from minicnn.backends.numba import dense

    assert dense._dense.place == ("minicnn.backends.numba.dense", "_dense")
    assert launch.parallel_kernel(_double).place is None


CAN_HELP = second_compiler._can_help  # what conftest.py takes away


@pytest.fixture
def started(monkeypatch):
    """The lists of kernels that processes would be started for."""
    lists = []
    monkeypatch.setattr(second_compiler, "_can_help", CAN_HELP)
    monkeypatch.setattr(second_compiler, "_start", lists.append)
    monkeypatch.setattr(second_compiler, "_running", [])
    monkeypatch.setattr(second_compiler, "_is_missing", lambda kernel, kinds: True)
    monkeypatch.setattr(second_compiler, "default_threads", lambda: 2)
    return lists


def works(count=3):
    """Works that each call a kernel of its own, on arrays of so many axes; none is compiled yet."""
    kernels = [launch.parallel_kernel(_double) for _ in range(count)]
    return [lambda n=n, kernel=kernel: kernel(np.ones((2,) * n)) for n, kernel in enumerate(kernels, 1)]


def test_the_last_comes_first(started):
    second_compiler.compile_beside(works())
    assert [kinds[1].ndim for _, kinds in started[0]] == [3, 2, 1]


def test_for_few_kernels_no_process_is_started(started):
    second_compiler.compile_beside(works(2))
    assert started == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("default_threads", lambda: 1),
        ("kernel_folder", lambda: None),
        ("sys", type("sys", (), {"executable": "/usr/bin/blender"})),
        ("sys", type("sys", (), {"executable": None})),
        ("_running", [type("Process", (), {"poll": lambda self: None})()]),
    ],
    ids=["one processor", "nothing can be kept", "another program", "no program", "one runs"],
)
def test_where_a_process_cannot_help_none_is_started(name, value, started, monkeypatch):
    monkeypatch.setattr(second_compiler, name, value)
    second_compiler.compile_beside(works())
    assert started == []


def test_a_system_that_starts_no_process_is_no_error(monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError

    monkeypatch.setattr(second_compiler.subprocess, "Popen", refused)
    second_compiler._start([])


def test_other_backends_expect_nothing():
    backends.get("numpy").expect([lambda: 1 / 0])


def test_whoever_asked_and_is_gone_needs_nothing(monkeypatch):
    parents = iter([7, 1])  # at the start, and before the first kernel
    monkeypatch.setattr(second_compiler.os, "getppid", lambda: next(parents))
    second_compiler.compile_all([(("no such module", ""), ())], "")


def test_the_current_folder_is_not_where_it_imports_from(tmp_path):
    (tmp_path / "pickle.py").write_text("raise SystemExit('imported')")
    program = second_compiler._PROGRAM.partition("from ")[0]
    data = pickle.dumps(sys.path)
    done = subprocess.run([sys.executable, "-c", program], input=data, cwd=tmp_path, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A folder of two processes, of which the other one still runs when it is asked for the first three times."""
    asked = []
    monkeypatch.setattr(claims, "_shared", [str(tmp_path), lambda: bool(asked.append(1)) or len(asked) < 4])
    monkeypatch.setattr(claims, "_own", set())
    monkeypatch.setattr(claims, "_PAUSE", 0)
    return tmp_path, asked


def test_one_of_two_processes_begins_a_kernel(shared):
    folder, asked = shared
    claims.begin_or_wait(folder / "of_a_kernel")
    assert not claims.begin(str(folder), "of_a_kernel")
    assert claims.begin(str(folder), "of_another")
    assert asked == []


def test_what_the_other_process_has_begun_is_waited_for_until_it_ends(shared):
    folder, asked = shared
    claims.begin(str(folder), "kernel")
    claims.begin_or_wait(folder / "disk" / "kernel")
    assert len(asked) == 4


def test_what_the_other_process_has_finished_is_not_waited_for(shared):
    folder, asked = shared
    claims.begin(str(folder), "kernel")
    (folder / "disk").mkdir()
    (folder / "disk" / "kernel").touch()
    claims.begin_or_wait(folder / "disk" / "kernel")
    assert asked == []


def test_a_kernel_that_was_interrupted_is_begun_again_at_once(shared):
    folder, asked = shared
    for _ in range(2):  # Ctrl-C, and the cell of a notebook once more: the claim is its own
        claims.begin_or_wait(folder / "disk" / "kernel")
    assert asked == []


def test_another_thread_may_end_the_waiting(shared, monkeypatch):
    folder, _ = shared
    answers = [True, False]

    def other_runs():
        claims.forget()  # as where another plan begins, or the interpreter ends
        return answers.pop(0)

    monkeypatch.setattr(claims, "_shared", [str(folder), other_runs])
    claims.begin(str(folder), "kernel")
    claims.begin_or_wait(folder / "disk" / "kernel")
    assert answers == []


def test_a_cache_that_may_not_be_read_any_more_is_not_waited_for(shared):
    class Unreadable:
        name = "kernel"

        def exists(self):
            raise PermissionError(13, "Permission denied")

    claims.begin(str(shared[0]), "kernel")
    claims.begin_or_wait(Unreadable())
    assert shared[1] == []


def test_without_a_folder_both_compile(tmp_path):
    assert claims.begin(str(tmp_path / "gone"), "kernel")
    assert claims.begin(str(tmp_path / "gone"), "kernel")


def test_the_second_process_leaves_what_the_first_has_begun(tmp_path, monkeypatch):
    compiled, kernel = [], launch.parallel_kernel(_double)
    monkeypatch.setattr(launch.Kernel, "is_on_disk", lambda self, kinds: False)
    monkeypatch.setattr(launch.Kernel, "compiled", lambda self, kinds: compiled.append(kinds))
    monkeypatch.setattr(sys.modules[__name__], "_double", kernel)
    kinds, folder = kernel._kinds([np.ones(3)]), tmp_path / "shared"
    folder.mkdir()
    claims.begin(str(folder), kernel.file(kinds).name)
    others = kernel._kinds([np.ones(3, np.float32)])
    tasks = [((__name__, "_double"), own) for own in (kinds, others)]
    second_compiler.compile_all(tasks, str(folder))
    assert compiled == [others]
    assert not folder.exists()  # nobody else would remove it if the first one had been killed
