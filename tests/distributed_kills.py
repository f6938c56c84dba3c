"""Kill workers at random moments, go on with another number of them, and compare with a training left in peace.

    python tests/distributed_kills.py --kills 50

A training with `callbacks.BackupAndRestore` runs on 1, 2, 4 or 8 workers. One of them, any, is killed (SIGKILL) at a
random moment; the training is started again, on another number of workers, until it comes to its end. Then its weights
have to be, to the last bit, those of a training on one worker that nobody has disturbed.
"""

import argparse
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from distributed_training import digest, drawing, images

import minicnn as mc

EPOCHS = 12
WORKERS = (1, 2, 4, 8)
FREQUENCIES = ("epoch", 1, 2)  # of checkpoints


def train(folder, frequency):
    """The training process: print the digest of the weights it ends with."""
    mc.set_backend("numpy")
    mc.distribution.initialize()
    mc.distribution.set_distribution(mc.distribution.DataParallel())
    mc.utils.set_random_seed(4)
    model, (x, y) = drawing(), images((14, 14, 1), 4)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    backup = mc.callbacks.BackupAndRestore(folder, int(frequency) if frequency.isdecimal() else frequency, False, False)
    if mc.distribution.rank() == 0:
        print("begins", flush=True)
    model.fit(x, y, 32, EPOCHS, 0, callbacks=[backup])
    print("ended", digest(*model.get_weights()), flush=True)


def start(workers, folder, frequency):
    """A process that runs the training."""
    command = [sys.executable, "-m", "minicnn", "launch", "-n", str(workers), __file__]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path[1:]])}
    command += ["--train", str(folder), "--frequency", str(frequency)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, errors="replace"
    )


def below(process):
    """The processes that a process has started, and those have, from /proc."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    found, waiting = [], [process]
    while waiting:
        children = [child for child, parent in parents.items() if parent == waiting[-1]]
        waiting.pop()
        found += children
        waiting += children
    return found


def workers_of(process):
    """The workers: Python processes of this file below mpiexec."""
    found = []
    for number in below(process):
        try:
            words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"python" in words[0] and b"launch" not in words:
            found.append(number)
    return found


def run(workers, folder, frequency, delay=None):
    """(digest or None, what it has said) of one start, of which a worker is killed `delay` seconds after it begins."""
    process = start(workers, folder, frequency)
    if delay is not None and process.stdout.readline().startswith("begins"):
        time.sleep(delay)
        there = workers_of(process.pid)
        if there:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(random.choice(there), signal.SIGKILL)
    out, said = process.communicate(timeout=300)
    ended = re.search(r"ended (\w+)", out)
    return (ended and ended[1]), said


def main(arguments=None):
    """Kill and resume; returns how many kills there were."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--train")
    parser.add_argument("--frequency", default="epoch")
    options = parser.parse_args(arguments)
    if options.train:
        train(options.train, options.frequency)
        return 0
    print(f"seed {options.seed}")
    random.seed(options.seed)
    kills = 0
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, said = run(1, Path(folder, "alone"), "epoch")
        assert undisturbed, said
        for number in range(10**6):
            kills += disturbed(Path(folder, str(number)), undisturbed, options.kills - kills)
            print(f"training {number + 1} ended as it should; {kills} kills", flush=True)
            if kills >= options.kills:
                break
    print(f"{kills} kills, every training ended with the weights {undisturbed[:12]}…")
    return kills


def disturbed(folder, expected, kills):
    """Run one training to its end, with at most so many kills; returns how many there were."""
    workers, done = random.choice(WORKERS), 0
    while True:
        is_last = done >= min(kills, 4)
        ended, said = run(workers, folder, random.choice(FREQUENCIES), None if is_last else random.uniform(0, 0.8))
        if ended is not None:
            assert ended == expected, f"{workers} workers ended with other weights: {said}"
            return done
        assert not is_last, said
        assert "was killed" in said, said
        assert not [p for p in folder.glob("*") if p.suffix not in (".safetensors", ".tmp")]
        done += 1
        workers = random.choice([n for n in WORKERS if n != workers])


if __name__ == "__main__":
    main()
