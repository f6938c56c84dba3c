"""Kill trainings at random moments, resume them, and compare how they end with a training that nobody disturbed.

    python tests/kill_and_resume.py --kills 200

Each run is a process of its own that trains with `callbacks.BackupAndRestore`. It is killed (SIGKILL) at a random
moment and started again with the same folder, until it comes to its end. After every kill the checkpoint has to be
readable; at the end weights, optimizer state and history have to be those of the undisturbed run, to the last bit.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import minicnn as mc
from minicnn import layers, saving
from minicnn.callbacks import checkpoints
from minicnn.saving import files, native
from minicnn.saving.formats import formats

EPOCHS, SAMPLES, BATCH = 4, 120, 16
SAVE_FREQUENCIES = ("epoch", 1, 3)
POINTS = ("half written", "before fsync", "before replace", "after replace")  # of the writing of a checkpoint
MOST_STARTS = 100  # of one run


# --------------------------------------------------------------------------------------------- the training process


class Halve(mc.callbacks.Callback):
    """Halves the learning rate when the loss has not fallen for an epoch, and freezes a layer in every third one."""

    def on_train_begin(self, logs=None):
        self.best = None

    def on_epoch_begin(self, epoch, logs=None):
        self.model.get_layer("first").trainable = epoch % 3 != 1

    def on_epoch_end(self, epoch, logs=None):
        if self.best is not None and logs["val_loss"] >= self.best:
            self.model.optimizer.learning_rate *= 0.5
        self.best = logs["val_loss"] if self.best is None else min(self.best, logs["val_loss"])

    def get_state(self):
        return {"best": self.best}

    def set_state(self, state):
        self.best = state["best"]


class Line(mc.callbacks.Callback):
    """Prints a line a batch, so that somebody can count them."""

    def on_train_begin(self, logs=None):
        print("begin", flush=True)

    def on_train_batch_end(self, batch, logs=None):
        print("batch", flush=True)


def build(backend):
    """A model with everything that has a state: two outputs, shared layers, moving averages, masks, Adam."""
    image = mc.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu", name="first")(image)
    x = layers.Flatten()(layers.BatchNormalization()(x))
    shared = layers.Dense(12, activation="tanh")
    x = layers.Add()([shared(x), shared(layers.Dropout(0.3)(x, training=True))])
    head = mc.Sequential([layers.Dropout(0.2), layers.Dense(10, activation="softmax")], name="head")
    model = mc.Model(image, [head(x), layers.Dense(1, name="size")(x)])
    model.compile(
        mc.optimizers.Adam(0.01, global_clipnorm=1.0),
        ["sparse_categorical_crossentropy", "mse"],
        [["accuracy"], ["mae"]],
        backend=backend,
    )
    return model


def train(folder, save_freq, backend, seed):
    """One process's part: train, or go on training; prints a digest of all that has to be the same."""
    mc.utils.set_random_seed(seed)
    (x, y), _ = mc.datasets.digits.load_data()
    x, y = x[:SAMPLES] / 255, y[:SAMPLES]
    model = build(backend)
    callbacks = [
        checkpoints.ModelCheckpoint(folder / "best.safetensors", save_best_only=True),
        checkpoints.BackupAndRestore(folder, save_freq, delete_checkpoint=False),
        Halve(),
        Line(),
    ]
    targets = [y, y / 10]
    history = model.fit(x, targets, BATCH, EPOCHS, verbose=0, callbacks=callbacks, validation_split=0.2)
    snapshot = model.snapshot()
    text = json.dumps([history.history, snapshot.optimizer["iterations"], callbacks[0].best, callbacks[2].best])
    digest = hashlib.sha256(text.encode())
    for arrays in (snapshot.weights, *snapshot.optimizer["slots"].values()):
        for name, array in arrays.items():
            digest.update(name.encode() + array.tobytes())
    print(f"end {digest.hexdigest()}", flush=True)


def die_while_saving(point, number):
    """Make the process kill itself at a point of the writing of the checkpoint for the `number`-th time."""
    saves = iter(range(number))

    def die(path):
        if checkpoints.CHECKPOINT in Path(path).name and next(saves, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    write, to_disk, replace = native.write, files.to_disk, os.replace

    def half_write(path, snapshot):
        write(path, snapshot)
        if point == "half written":
            size = os.stat(path).st_size
            os.truncate(path, size // 2)
            die(path)
            os.remove(path)
            write(path, snapshot)

    def observed_to_disk(path):
        if point == "before fsync":
            die(path)
        to_disk(path)

    def observed_replace(source, target):
        if point == "before replace":
            die(target)
        replace(source, target)
        if point == "after replace":
            die(target)

    formats()[".safetensors"] = dataclasses.replace(native.FORMAT, write=half_write)
    files.to_disk, os.replace = observed_to_disk, observed_replace


# ------------------------------------------------------------------------------------------------ the process above


def start(folder, save_freq, backend, seed, point=None, number=0):
    """A training process, its stdout a pipe."""
    command = [sys.executable, __file__, "--train", folder, "--save-freq", str(save_freq), "--backend", backend]
    command += ["--seed", str(seed)]
    if point is not None:
        command += ["--die", point, "--after", str(number)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(process):
    """The digest that a process prints at its end; None if it was killed.

    Raises
    ------
    RuntimeError
        If it ended in another way.
    """
    lines = process.stdout.read().split("\n")
    code = process.wait()
    if code == -signal.SIGKILL:
        return None
    ends = [line.split()[1] for line in lines if line.startswith("end ")]
    if code or not ends:
        raise RuntimeError(f"a training process ended with {code}")
    return ends[0]


def check_checkpoint(folder):
    """Read the whole checkpoint, and the best model; they need not be there yet. Raises if one is not readable."""
    for path in (folder / checkpoints.CHECKPOINT, folder / "best.safetensors"):
        if path.exists():
            with saving.open_file(path) as file:
                for name in file.tensors:
                    file._read(name)
            mc.load_model(path)


def run_and_kill(folder, save_freq, backend, seed, rng, duration):
    """(digest at the end, number of kills, unreadable files) of a run that is killed again and again."""
    kills = unreadable = 0
    for _ in range(MOST_STARTS):
        process = start(folder, save_freq, backend, seed)
        process.stdout.readline()  # training begins
        time.sleep(rng.uniform(0, duration))
        process.kill()
        digest = finish(process)
        if digest is not None:
            return digest, kills, unreadable
        kills += 1
        try:
            check_checkpoint(folder)
        except (OSError, ValueError) as error:
            print(f"unreadable: {error}")
            unreadable += 1
    return finish(start(folder, save_freq, backend, seed)), kills, unreadable


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--kills", type=int, default=200, metavar="N", help="kill so often (default: 200)")
    add("--seed", type=int, metavar="N", help="of weights and of the moments (default: drawn and printed)")
    add("--backend", default="numba", help="numba (default) or numpy")
    for hidden in ("--train", "--save-freq", "--die", "--after"):
        add(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train is not None:
        if options.die:
            die_while_saving(options.die, int(options.after))
        frequency = options.save_freq if options.save_freq == "epoch" else int(options.save_freq)
        train(Path(options.train), frequency, options.backend, options.seed)
        return 0
    seed = random.randrange(2**32) if options.seed is None else options.seed
    print(f"seed: {seed}")
    rng, reference = random.Random(seed), {}
    kills = runs = unreadable = different = 0
    with tempfile.TemporaryDirectory() as top:
        for number, frequency in enumerate(SAVE_FREQUENCIES):
            process = start(Path(top) / f"reference{number}", frequency, options.backend, seed)
            process.stdout.readline()
            begin = time.perf_counter()
            reference[frequency] = finish(process), time.perf_counter() - begin
        digests = {digest for digest, _ in reference.values()}
        while kills < options.kills:
            frequency = SAVE_FREQUENCIES[runs % len(SAVE_FREQUENCIES)]
            folder, duration = Path(top) / f"run{runs}", reference[frequency][1]
            digest, more, bad = run_and_kill(folder, frequency, options.backend, seed, rng, duration)
            runs, kills, unreadable = runs + 1, kills + more, unreadable + bad
            different += digest not in digests
            print(
                f"run {runs}: {more} kills, {kills} in all, {unreadable} unreadable, {different} different", flush=True
            )
    print(f"{kills} kills in {runs} runs: {unreadable} unreadable checkpoints, {different} different ends")
    return 1 if unreadable or different or len(digests) > 1 else 0


if __name__ == "__main__":
    sys.exit(main())
