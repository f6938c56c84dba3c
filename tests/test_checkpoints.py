"""Trainings that are killed and go on, and callbacks that save models."""

import os
import re
import shutil
import signal
import subprocess
import sys
from datetime import datetime
from enum import IntEnum
from pathlib import Path, PurePosixPath
from threading import Lock

import kill_and_resume
import numpy as np
import pytest
from oracles import BACKENDS

import minicnn as mc
from minicnn import callbacks, keras, layers, saving
from minicnn.callbacks.checkpoints import CHECKPOINT
from minicnn.errors import FileFormatError
from minicnn.training.totals import Totals

X = np.random.default_rng(0).normal(size=(70, 6, 6, 1)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 4, 70)
BATCH, EPOCHS, BATCHES = 16, 4, 4  # batches of an epoch: of the 63 samples that are not held back
OPTIONS = {"batch_size": BATCH, "epochs": EPOCHS, "verbose": 0, "validation_split": 0.1}


def build(optimizer="adam"):
    """A model with masks and moving averages."""
    model = mc.Sequential(
        [
            mc.Input((6, 6, 1)),
            layers.Flatten(),
            layers.Dense(8, activation="relu", name="first"),
            layers.BatchNormalization(name="middle"),
            layers.Dropout(0.3),
            layers.Dense(4, activation="softmax", name="last"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


class Killed(Exception):
    """Stands for the end of the process."""


class Kill(callbacks.Callback):
    """Ends training after so many batches."""

    def __init__(self, batches):
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise Killed


def assert_same(model, history, reference):
    """`reference` is (model, history)."""
    assert history.history == reference[1].history
    assert history.epoch == reference[1].epoch
    for a, b in zip(model.get_weights(), reference[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def undisturbed(seed=1, own=(), x=X, y=Y, **options):
    """(model, history) of a run that nobody kills."""
    mc.utils.set_random_seed(seed)
    model = build()
    return model, model.fit(x, y, **(OPTIONS | options), callbacks=list(own))


# -------------------------------------------------------------------------------------------------- resume exactly


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("save_freq", ["epoch", 1, 3])
def test_resumed_run_ends_as_the_undisturbed_one(backend, save_freq, tmp_path):
    mc.set_backend(backend)
    reference = undisturbed()
    for kill_after in (1, 3, 4, 5, 8, 15):
        folder = tmp_path / str(kill_after)
        for kill in (kill_after, 6, None):
            if not (folder / CHECKPOINT).exists():
                mc.utils.set_random_seed(1)  # after that, other processes have other seeds, which must not matter
            model, own = build(), [callbacks.BackupAndRestore(folder, save_freq)]
            try:
                history = model.fit(X, Y, **OPTIONS, callbacks=[*own, *([Kill(kill)] if kill else [])])
                break
            except Killed:
                pass
        assert_same(model, history, reference)
        assert not folder.exists()  # the training came to its end


def test_resume_keeps_the_checkpoint_and_trains_further(tmp_path):
    reference = undisturbed(epochs=6)
    mc.utils.set_random_seed(1)
    build().fit(X, Y, **OPTIONS, resume=tmp_path)
    model = build()
    history = model.fit(X, Y, **(OPTIONS | {"epochs": 6}), resume=str(tmp_path))
    assert_same(model, history, reference)
    again = build()
    history = again.fit(X, Y, **(OPTIONS | {"epochs": 6}), resume=tmp_path)  # nothing is left to do
    assert_same(again, history, reference)


def test_generators_and_sequences_go_on(tmp_path):
    def generator():
        rng = np.random.default_rng(5)
        while True:
            index = rng.integers(0, len(X), BATCH)
            yield X[index], Y[index]

    class Batches(mc.utils.Sequence):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            return X[i * 8 : i * 8 + 8], Y[i * 8 : i * 8 + 8]

    for make, options in ((generator, {"steps_per_epoch": 5}), (Batches, {})):
        options |= {"epochs": 3, "verbose": 0, "validation_data": generator(), "validation_steps": 2}
        mc.utils.set_random_seed(1)
        reference = build()
        reference = reference, reference.fit(make(), **options)
        options["validation_data"] = generator()
        folder = tmp_path / make.__name__
        mc.utils.set_random_seed(1)
        with pytest.raises(Killed):
            build().fit(make(), **options, callbacks=[callbacks.BackupAndRestore(folder, 2), Kill(9)])
        options["validation_data"] = generator()
        model = build()
        assert_same(model, model.fit(make(), **options, callbacks=[callbacks.BackupAndRestore(folder, 2)]), reference)


class Batches:
    """Five batches, as often as somebody asks."""

    def __iter__(self):
        return iter([(X[i : i + 8], Y[i : i + 8]) for i in range(0, 40, 8)])


def shuffled(size=40, **options):
    return mc.data.Dataset.from_tensor_slices((X[:size], Y[:size])).shuffle(size, seed=3, **options).batch(8)


STREAMS = {
    "an object of the user's": (Batches, {}),
    "of which an epoch takes a part": (Batches, {"steps_per_epoch": 3}),
    "an order": (lambda: shuffled(reshuffle_each_iteration=False), {}),
    "an order for each pass": (shuffled, {}),
    "an order for each pass, of several epochs": (shuffled, {"steps_per_epoch": 2}),
    "an order for each pass, which are longer than epochs": (shuffled, {"steps_per_epoch": 3}),
    "an order for each pass, without an end": (lambda: shuffled().repeat(), {"steps_per_epoch": 3}),
    "other data in each epoch": (lambda: mc.data.by_epoch(lambda epoch: shuffled(40 - 8 * epoch)), {}),
    "other data in each epoch, which ends behind it": (
        lambda: mc.data.by_epoch(lambda epoch: shuffled(48 - 8 * epoch)),
        {"steps_per_epoch": 4},
    ),
}


@pytest.mark.filterwarnings("ignore:the input ran out of data after")
@pytest.mark.parametrize("kind", STREAMS)
def test_data_sets_and_iterables_go_on(kind, tmp_path):
    """In the middle of a pass and between two, with the numbers that would have come."""
    make, options = STREAMS[kind]
    options = {"epochs": 4, "verbose": 0} | options
    mc.utils.set_random_seed(1)
    reference = build()
    reference = reference, reference.fit(make(), **options)
    batches = int(reference[0].optimizer.iterations)
    for kill_after, save_freq in ((3, 2), (5, 4), (7, "epoch"), (min(8, batches), 3), (batches, 5)):
        folder = tmp_path / f"{kill_after} {save_freq}"
        mc.utils.set_random_seed(1)
        with pytest.raises(Killed):
            build().fit(make(), **options, callbacks=[callbacks.BackupAndRestore(folder, save_freq), Kill(kill_after)])
        assert (folder / CHECKPOINT).exists()
        model = build()
        assert_same(model, model.fit(make(), **options, resume=folder), reference)


def pairs(size=40):
    return mc.data.Dataset.from_tensor_slices((X[:size], Y[:size]))


def chosen():
    """Batches whose number nobody knows."""
    return pairs().shuffle(40, seed=3).filter(lambda x, y: y != 1).batch(8)


def joined():
    """Two halves, each with an order of its own."""
    halves = pairs().take(24).shuffle(24, seed=3).concatenate(pairs().skip(24).shuffle(16, seed=4))
    return halves.shuffle(5, seed=5, reshuffle_each_iteration=False).batch(8)


def sampled():
    halves = [pairs(20).shuffle(20, seed=6), pairs().skip(20)]
    return mc.data.Dataset.sample_from_datasets(halves, seed=7, rerandomize_each_iteration=True).batch(8)


def noisy():
    noise = mc.data.Dataset.random(seed=8, rerandomize_each_iteration=True)
    return (
        mc.data.Dataset.zip((pairs(), noise)).map(lambda pair, n: (pair[0] + np.float32(n / 2**32), pair[1])).batch(8)
    )


class Slotted:
    """A data set of a user's class, which has no other attributes than it says."""

    __slots__ = ("inner",)

    def __init__(self):
        self.inner = shuffled()

    def __iter__(self):
        return iter(self.inner)

    def as_numpy_iterator(self):
        return self.inner.as_numpy_iterator()


class Drawer:
    """A generator function that reads a data set of its own."""

    def __init__(self):
        self.inner = pairs().shuffle(40, seed=3)

    def __call__(self):
        yield from self.inner

    def draw(self):
        return self()


def evaluated(model, data):
    model.evaluate(data, verbose=0)


def fitted(model, data):
    mc.utils.set_random_seed(7)
    model.fit(data, epochs=2, verbose=0)
    model.set_weights([np.full_like(w, 0.1) for w in model.get_weights()])


ORDERS = {  # what makes the data, what is done with them before, and options of fit, some of which are made of the data
    "evaluated before": (shuffled, evaluated, {}),
    "trained with before": (shuffled, fitted, {}),
    "evaluated before, several epochs a pass": (shuffled, evaluated, {"steps_per_epoch": 2}),
    "epochs as long as passes": (shuffled, evaluated, {"steps_per_epoch": 5}),
    "validated with": (shuffled, None, {"validation_data": lambda data: data}),
    "validated with, in the middle of a pass": (
        shuffled,
        None,
        {"validation_data": lambda data: data, "validation_steps": 2, "steps_per_epoch": 3},
    ),
    "part of an own validation set": (
        shuffled,
        evaluated,
        {"validation_data": lambda data: shuffled(32), "validation_steps": 2},
    ),
    "epochs counted from another one": (shuffled, None, {"initial_epoch": 2, "epochs": 6}),
    "without a length": (chosen, evaluated, {"steps_per_epoch": 2}),
    "without a length, whole": (chosen, evaluated, {}),
    "repeated": (lambda: shuffled().repeat(2), evaluated, {}),
    "repeated, in parts": (lambda: shuffled().repeat(2), None, {"steps_per_epoch": 4}),
    "repeated for ever, made ahead": (
        lambda: shuffled().repeat().prefetch(2),
        None,
        {"steps_per_epoch": 4},
    ),
    "joined": (joined, evaluated, {}),
    "joined, in parts": (joined, evaluated, {"steps_per_epoch": 3}),
    "sampled": (sampled, evaluated, {}),
    "with random numbers": (noisy, evaluated, {"steps_per_epoch": 3}),
    "of a user's class with slots": (Slotted, evaluated, {}),
    "of a user's class with slots, in parts": (Slotted, evaluated, {"steps_per_epoch": 3}),
    "of a method": (lambda: mc.data.Dataset.from_generator(Drawer().draw).batch(8), evaluated, {}),
    "of an object": (lambda: mc.data.Dataset.from_generator(Drawer()).batch(8), evaluated, {}),
    "of a function": (lambda: in_turns([pairs(24).shuffle(24, seed=3), pairs().shuffle(9, seed=4)]), evaluated, {}),
    "of each epoch": (lambda: by_epoch_of(shuffled()), None, {}),
}


def in_turns(parts):
    return mc.data.Dataset.range(2).interleave(lambda number: parts[int(number)], cycle_length=2).batch(8)


def by_epoch_of(data):
    return mc.data.by_epoch(lambda epoch: data.take(4 + epoch % 2))


@pytest.mark.filterwarnings("ignore:the input ran out of data after")
@pytest.mark.parametrize(
    ("kind", "resumed_before"), [(k, again) for k in ORDERS for again in (True, False) if again or ORDERS[k][1]]
)
def test_the_order_that_was_to_come(kind, resumed_before, tmp_path):
    """Whoever has read the data before, and whether or not that is done again: numbers of passes are no epochs."""
    make, before, told = ORDERS[kind]

    def run(reads=True, **options):
        mc.utils.set_random_seed(1)
        model, data = build(), make()
        if before is not None and reads:
            before(model, data)
            mc.utils.set_random_seed(2)
            model = build()
        mine = {name: value(data) if callable(value) else value for name, value in told.items()}
        return model, model.fit(data, **({"epochs": 4, "verbose": 0} | mine | options))

    reference = run()
    batches = int(reference[0].optimizer.iterations)
    for kill_after, save_freq in ((3, 2), (5, 4), (batches - 1, "epoch"), (min(9, batches), 3), (batches, 5)):
        folder = tmp_path / f"{kill_after} {save_freq}"
        with pytest.raises(Killed):
            run(callbacks=[callbacks.BackupAndRestore(folder, save_freq), Kill(kill_after)])
        assert (folder / CHECKPOINT).exists()
        assert_same(*run(resumed_before, resume=folder), reference)


def test_going_on_makes_no_elements_of_passes_that_are_over(tmp_path):
    made = []

    def counted(x, y):
        made.append(0)
        return x, y

    def data():
        return pairs(12).map(counted).shuffle(12, seed=3).batch(4)

    options = {"epochs": 12, "verbose": 0}
    mc.utils.set_random_seed(1)
    reference = build()
    reference = reference, reference.fit(data(), **options)
    mc.utils.set_random_seed(1)
    with pytest.raises(Killed):
        build().fit(data(), **options, callbacks=[callbacks.BackupAndRestore(tmp_path, "epoch"), Kill(34)])
    made.clear()
    model = build()
    history = model.fit(data(), **options, resume=tmp_path)
    assert_same(model, history, reference)
    assert len(made) == 12  # of the last epoch


def test_a_checkpoint_without_numbers_of_passes_and_one_of_other_data(tmp_path, monkeypatch):
    """Files of older versions have none; a step more or less is told, since no order is known then."""
    options = {"epochs": 3, "verbose": 0}
    with pytest.raises(Killed):
        build().fit(shuffled(), **options, callbacks=[callbacks.BackupAndRestore(tmp_path, 2), Kill(7)])
    with pytest.warns(UserWarning, match=r"its data had 1 step\(s\) that may shuffle. Received: 2"):
        build().fit(shuffled().shuffle(2), **options, callbacks=[callbacks.BackupAndRestore(tmp_path)])
    with pytest.raises(Killed):
        build().fit(shuffled(), **options, callbacks=[callbacks.BackupAndRestore(tmp_path, 2), Kill(7)])
    monkeypatch.setattr("minicnn.training.progress.standing", lambda *of: None)
    build().fit(shuffled(), **options, callbacks=[callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)])
    history = build().fit(shuffled(), **(options | {"epochs": 4}), resume=tmp_path)
    assert history.epoch == [0, 1, 2, 3]
    for wrong in ([3], {"begun": None, "training": [-1], "validation": []}, {"begun": [0.5]}):
        monkeypatch.setattr("minicnn.training.progress.standing", lambda *of, wrong=wrong: wrong)
        build().fit(
            shuffled(), **options, callbacks=[callbacks.BackupAndRestore(tmp_path / "b", delete_checkpoint=False)]
        )
        with pytest.raises(FileFormatError, match="'passes' of a checkpoint are lists of numbers"):
            build().fit(shuffled(), **(options | {"epochs": 4}), resume=tmp_path / "b")
        shutil.rmtree(tmp_path / "b")


class Meddle(callbacks.Callback):
    """Changes what callbacks may change: the learning rate, which layers train; and remembers something."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate *= 0.5
        self.model.get_layer("first").trainable = epoch % 2 == 0
        self.seen.append(epoch)

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            self.model.stop_training = True

    def get_state(self):
        return {"seen": self.seen, "array": np.arange(3.0)}

    def set_state(self, state):
        self.seen = state["seen"]
        assert state["array"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("save_freq", ["epoch", 2])
@pytest.mark.parametrize("kill_after", [6, 9, 11])
def test_other_callbacks_go_on(save_freq, kill_after, tmp_path):
    meddle = Meddle()
    reference = undisturbed(own=[meddle])
    assert len(reference[1].epoch) == 3
    mc.utils.set_random_seed(1)
    with pytest.raises(Killed):
        own = [callbacks.BackupAndRestore(tmp_path, save_freq), Meddle(), Kill(kill_after)]
        build().fit(X, Y, **OPTIONS, callbacks=own)
    model, again = build(), Meddle()
    history = model.fit(X, Y, **OPTIONS, callbacks=[callbacks.BackupAndRestore(tmp_path, save_freq), again])
    assert_same(model, history, reference)
    assert again.seen == meddle.seen
    assert model.optimizer.learning_rate == reference[0].optimizer.learning_rate


def test_checkpoint_of_a_stopped_training_does_not_train_on(tmp_path):
    mc.utils.set_random_seed(1)
    first = build()
    history = first.fit(X, Y, **OPTIONS, callbacks=[Meddle()], resume=tmp_path)
    second = build()
    with pytest.warns(UserWarning, match=r"was stopped in or after epoch 3.*delete '.*checkpoint\.safetensors'"):
        again = second.fit(X, Y, **OPTIONS, callbacks=[Meddle()], resume=tmp_path)
    assert_same(second, again, (first, history))


def test_a_checkpoint_needs_a_folder(tmp_path):
    file = tmp_path / "model.safetensors"
    file.touch()
    for wrong in ("", file):
        with pytest.raises(ValueError, match=r"needs a folder.*Received: '.*'"):
            build().fit(X, Y, **OPTIONS, resume=wrong)


# ------------------------------------------------------------------------------------------- a checkpoint that is off


def make_checkpoint(folder, kill_after=7):
    with pytest.raises(Killed):
        build().fit(X, Y, **OPTIONS, callbacks=[callbacks.BackupAndRestore(folder, 2), Kill(kill_after)])
    return folder / CHECKPOINT


def resume(folder, model=None, **options):
    return (model or build()).fit(X, Y, **(OPTIONS | options), callbacks=[callbacks.BackupAndRestore(folder, 2)])


def test_checkpoint_of_something_else(tmp_path):
    path = make_checkpoint(tmp_path)
    other = build("sgd")
    before = other.get_weights()
    with pytest.raises(ValueError, match=r"optimizer is Adam.*Received: SGD"):
        resume(tmp_path, other)
    larger = build()
    larger.add(layers.Dense(4, name="more"))
    with pytest.raises(FileFormatError, match="missing: more/kernel"):
        resume(tmp_path, larger)
    with pytest.raises(ValueError, match=r"in the middle of an epoch.*Received: .*'batch_size': 10"):
        resume(tmp_path, batch_size=10)
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True))
    other.save(path)
    with pytest.raises(FileFormatError, match=re.escape(str(path)) + ".*not the checkpoint of a training"):
        resume(tmp_path, other)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(FileFormatError, match=re.escape(str(path))):
        resume(tmp_path)


@pytest.mark.parametrize(
    "part, name, value, message",
    [
        (Totals, "loss", {}, r"sums of the epoch, 'loss' of a checkpoint: expected a number. Received: \{\}"),
        (Totals, "parts", [1.0, 2.0], r"sums of the epoch, 'parts' of a checkpoint: expected 0 numbers"),
        (mc.metrics.Metric, "_sum", {}, r"metric 'accuracy', '_sum' of a checkpoint: expected a number"),
        (mc.metrics.Metric, "_count", "7", r"metric 'accuracy', '_count' of a checkpoint: expected a number"),
        (callbacks.History, "epoch", 3, r"History, 'epoch' of a checkpoint: expected a list"),
    ],
)
def test_a_checkpoint_with_something_else_in_the_place_of_a_number(part, name, value, message, tmp_path, monkeypatch):
    whole = part.get_state
    with monkeypatch.context() as patch:
        patch.setattr(part, "get_state", lambda self: whole(self) | {name: value})
        make_checkpoint(tmp_path)
    with pytest.raises(FileFormatError, match=message):
        resume(tmp_path)


def test_interrupted_training_keeps_its_checkpoint_and_leftovers_go(tmp_path):
    path = make_checkpoint(tmp_path)
    leftover = tmp_path / f".{CHECKPOINT}.0123456789abcdef.tmp"
    leftover.write_bytes(b"half")
    model = build()
    model.fit(X, Y, **OPTIONS, callbacks=[callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)])
    assert os.listdir(tmp_path) == [path.name]
    assert mc.load_model(path).optimizer.iterations == EPOCHS * BATCHES


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
def test_ctrl_c_in_the_last_epoch_keeps_the_checkpoint(tmp_path):
    press = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            build().fit(X, Y, **(OPTIONS | {"epochs": 1}), callbacks=[callbacks.BackupAndRestore(tmp_path), press])
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.listdir(tmp_path) == [CHECKPOINT]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "batch", True])
def test_bad_arguments(wrong, tmp_path):
    for make in (callbacks.BackupAndRestore, callbacks.ModelCheckpoint):
        with pytest.raises(ValueError, match="save_freq"):
            make(tmp_path / "m.safetensors", save_freq=wrong)


# ----------------------------------------------------------------------------------------------------- real processes


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_processes_end_as_undisturbed_ones(tmp_path, seed):
    seed %= 2**32
    reference = kill_and_resume.finish(kill_and_resume.start(tmp_path / "reference", 3, "numpy", seed))
    assert reference is not None
    for number, point in enumerate(kill_and_resume.POINTS):
        folder = tmp_path / str(number)
        assert kill_and_resume.finish(kill_and_resume.start(folder, 1, "numpy", seed, point, 5 * number)) is None
        kill_and_resume.check_checkpoint(folder)
        assert kill_and_resume.finish(kill_and_resume.start(folder, 3, "numpy", seed)) == reference


def test_long_version_says_what_it_takes():
    script = Path(kill_and_resume.__file__)
    text = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True).stdout
    assert "--kills" in text


# -------------------------------------------------------------------------------------------------- ModelCheckpoint


def values(callback, numbers, name="val_loss", **logs):
    """Let a callback see epochs with these values; the model only notes what it is told to save."""
    saved = []

    model = build()
    model.save = lambda path: saved.append(Path(path).name)
    model.save_weights = lambda path: saved.append(f"weights of {Path(path).name}")
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, number in enumerate(numbers):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {name: number} | logs)
    return saved


def test_every_epoch(tmp_path):
    callback = callbacks.ModelCheckpoint(tmp_path / "m-{epoch:02d}-{val_loss:.2f}.safetensors")
    assert values(callback, [3, 2]) == ["m-01-3.00.safetensors", "m-02-2.00.safetensors"]


@pytest.mark.parametrize(
    ("options", "monitor", "numbers", "epochs"),
    [
        ({}, "val_loss", [3, 2, 2, 2.5, 1], [1, 2, 5]),
        ({}, "val_accuracy", [0.1, 0.3, 0.2, 0.4], [1, 2, 4]),
        ({"mode": "max"}, "val_loss", [1, 2, 0], [1, 2]),
        ({"mode": "min"}, "acc", [1, 2, 0], [1, 3]),
        ({"initial_value_threshold": 2.5}, "loss", [3, 2, 2.4], [2]),
        ({}, "loss", [float("nan"), 2, float("nan"), 1], [2, 4]),
    ],
)
def test_best_only(options, monitor, numbers, epochs, tmp_path):
    path = tmp_path / "{epoch}.safetensors"
    callback = callbacks.ModelCheckpoint(path, monitor, save_best_only=True, save_weights_only=True, **options)
    saved = values(callback, numbers, monitor)
    assert saved == [f"weights of {epoch}.safetensors" for epoch in epochs]
    assert callback.best == numbers[epochs[-1] - 1]


def test_best_goes_by_what_the_metric_says(tmp_path):
    """Whatever its name; only where the best is kept; and before training."""
    model = build()
    model.compile("sgd", "sparse_categorical_crossentropy", [mc.metrics.SparseTopKCategoricalAccuracy(3, name="top3")])
    best = callbacks.ModelCheckpoint(tmp_path / "m.safetensors", "val_top3", save_best_only=True)
    model.fit(X, Y, **OPTIONS, callbacks=[best])
    best.best = None  # the training may have reached 1
    for epoch, value in enumerate([0.97, 0.99, 0.98]):
        best.on_epoch_end(epoch, {"val_top3": value})
    assert best.best == 0.99
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"ModelCheckpoint does not know.*loss, top3.*Received: monitor='val_auc'"):
        model.fit(X, Y, **OPTIONS, callbacks=[callbacks.ModelCheckpoint(best.filepath, "val_auc", save_best_only=True)])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    model.fit(X, Y, **OPTIONS, callbacks=[callbacks.ModelCheckpoint(best.filepath, "val_auc")])


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m-{epoch}.weights.h5"])
def test_without_h5py_the_constructor_says_so(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"writing '\..*' files needs h5py: pip install minicnn\[keras\]"):
        callbacks.ModelCheckpoint(tmp_path / name, save_weights_only=True)
    callbacks.ModelCheckpoint(tmp_path / "m.safetensors")


def test_every_so_many_batches_and_what_is_printed(tmp_path, capsys):
    callback = callbacks.ModelCheckpoint(tmp_path / "new" / "{epoch}-{batch}.safetensors", save_freq=3, verbose=1)
    model = build()
    model.fit(X, Y, BATCH, 2, verbose=0, callbacks=[callback])  # 5 batches an epoch
    assert sorted(os.listdir(tmp_path / "new")) == ["1-3.safetensors", "2-1.safetensors", "2-4.safetensors"]
    assert f"Epoch 2, batch 1: model saved to {tmp_path / 'new' / '2-1.safetensors'}" in capsys.readouterr().out
    assert mc.load_model(tmp_path / "new" / "2-4.safetensors").optimizer.iterations == 9


def test_saved_history_has_the_epoch(tmp_path):
    path = tmp_path / "{epoch}.safetensors"
    history = build().fit(X, Y, **OPTIONS, callbacks=[callbacks.ModelCheckpoint(path)])
    assert mc.load_model(tmp_path / f"{EPOCHS}.safetensors").history.history == history.history


def test_the_lists_of_the_history_stay_the_same_ones(tmp_path):
    """Callbacks that draw losses hold them."""
    seen = []

    class Look(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            history = self.model.history
            seen.append((history.history, history.epochs, history.epoch, history.history.get("loss")))

    model, save = build(), callbacks.ModelCheckpoint(tmp_path / "model.safetensors")
    history = model.fit(X, Y, epochs=4, verbose=0, callbacks=[save, Look()])
    assert history.epoch == [0, 1, 2, 3]
    assert [loss for *_, loss in seen[1:]] == [history.history["loss"]] * 3
    assert all(a is b for look in seen[2:] for a, b in zip(look, seen[1], strict=True))
    assert seen[0][0] is history.history


def test_callbacks_are_called_in_turns(tmp_path):
    own = [callbacks.BackupAndRestore(tmp_path), callbacks.ModelCheckpoint(tmp_path / "m.safetensors"), Meddle()]
    listed = callbacks.CallbackList(own, build(), {}).callbacks
    assert [type(c).__name__ for c in listed] == ["ModelCheckpoint", "Meddle", "BackupAndRestore"]


def test_best_goes_on_after_a_kill(tmp_path):
    best = tmp_path / "best.safetensors"

    def own():
        return [callbacks.ModelCheckpoint(best, save_best_only=True), callbacks.BackupAndRestore(tmp_path / "backup")]

    mc.utils.set_random_seed(1)
    with pytest.raises(Killed):
        build().fit(X, Y, **OPTIONS, callbacks=[*own(), Kill(10)])
    checkpoint, backup = own()
    history = build().fit(X, Y, **OPTIONS, callbacks=[checkpoint, backup]).history
    assert checkpoint.best == min(history["val_loss"])


def test_the_log_file_goes_on_after_a_kill(tmp_path):
    """One row an epoch, also for the epoch whose row was written and whose checkpoint was not."""

    def read(name):
        return [line.split(",")[0] for line in (tmp_path / name).read_text().splitlines()]

    class KillBeforeBackup(Kill):
        turn = 1

        def on_train_batch_end(self, batch, logs=None):
            pass

        def on_epoch_end(self, epoch, logs=None):
            if epoch == self.left:
                raise Killed

    for number, kill in enumerate((Kill(10), KillBeforeBackup(2))):
        name = f"{number}.csv"
        for last in (kill, None):
            own = [callbacks.CSVLogger(tmp_path / name), *([last] if last else [])]
            try:
                build().fit(X, Y, **OPTIONS, callbacks=own, resume=tmp_path / f"run{number}")
            except Killed:
                assert last is kill
        assert read(name) == ["epoch", "0", "1", "2", "3"]
        build().fit(X, Y, **OPTIONS, callbacks=[callbacks.CSVLogger(tmp_path / name)], resume=tmp_path / f"run{number}")
        assert read(name) == ["epoch", "0", "1", "2", "3"]


def test_bad_paths_and_names(tmp_path):
    with pytest.raises(ValueError, match="ends in"):
        callbacks.ModelCheckpoint(tmp_path / "m.ckpt")
    with pytest.raises(ValueError, match="mode"):
        callbacks.ModelCheckpoint(tmp_path / "m.safetensors", mode="best")
    with pytest.raises(ValueError, match="save_weights"):
        callbacks.ModelCheckpoint(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match=r"cannot be filled in.*'accuracy'.*known are \['epoch', 'val_loss'\]"):
        values(callbacks.ModelCheckpoint(tmp_path / "{accuracy}.safetensors"), [1])
    with pytest.warns(UserWarning, match=r"`acc` which is not available. Available metrics are: val_loss"):
        saved = values(
            callbacks.ModelCheckpoint(tmp_path / "m.safetensors", "acc", save_best_only=True, mode="max"), [1]
        )
    assert len(saved) == 1  # as in Keras


def test_keras_weights_are_a_format_for_weights_only(tmp_path):
    pytest.importorskip("h5py")
    callbacks.ModelCheckpoint(tmp_path / "m.weights.h5", save_weights_only=True)


# ------------------------------------------------------------------------------------------------------------ state


def test_state_of_any_shape_survives(tmp_path):
    tree = {"a": [1, 2.5, None, True, "x", {"b": np.float32(3)}], "c": np.arange(6).reshape(2, 3), "d": np.float64(0.1)}
    model = build()
    snapshot = model.snapshot()
    snapshot.training["run"] = tree
    saving.write(tmp_path / "t.safetensors", snapshot)
    with saving.open_file(tmp_path / "t.safetensors") as file:
        again = file.training["run"]
    assert again["a"] == tree["a"]
    assert again["a"][-1]["b"].dtype == np.float32
    np.testing.assert_array_equal(again["c"], tree["c"])
    assert isinstance(again["d"], np.float64)


ENDLESS: list = []
ENDLESS.append(ENDLESS)


class Unprintable:
    def __str__(self):
        raise RuntimeError


LOGS = {  # what a callback may put into the logs → what comes back, where files cannot hold it
    "date": (datetime(2020, 1, 2), "2020-01-02 00:00:00"),
    "path": (PurePosixPath("a/b"), "a/b"),
    "set": ({1}, [1]),
    "keys": ({1: 2, "x": {2.5: None}, "__array__": 3}, {"1": 2, "x": {"2.5": None}, "array": 3}),
    "array": (np.arange(3.0), [0.0, 1.0, 2.0]),
    "matrix": (np.eye(2, dtype=">i2"), [[1, 0], [0, 1]]),
    "ragged": ([np.arange(1), np.arange(2)], [[0], [0, 1]]),
    "objects": (np.array([None, "x"], object), "[None 'x']"),
    "scalar": (np.float32(0.5), 0.5),
    "long": (np.array([1.5], np.longdouble), [1.5]),
    "text": (np.str_("hi"), "hi"),
    "named": (IntEnum("Colour", "RED").RED, 1),
    "complex": (1j, "1j"),
    "lock": (Lock(), "unlocked"),
    "unprintable": (Unprintable(), "<Unprintable>"),
    "endless": (ENDLESS, "[[[["),
    "no float": (10**400, "1" + "0" * 400),
}


class Talkative(callbacks.Callback):
    """Puts into the logs what files cannot hold."""

    def on_epoch_end(self, epoch, logs=None):
        logs |= {name: value for name, (value, _) in LOGS.items()}


@pytest.mark.filterwarnings("ignore:a file holds numbers")
@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_what_callbacks_put_into_the_logs_loses_no_training(tmp_path, suffix):
    model, path = build(), tmp_path / f"m{suffix}"
    keep = callbacks.ModelCheckpoint(path)
    history = model.fit(X[:32], Y[:32], epochs=2, verbose=2, callbacks=[Talkative(), keep], resume=tmp_path / "run")
    again = mc.load_model(path).history.history
    assert again["loss"] == history.history["loss"]
    for name, (_, expected) in LOGS.items():
        value = again[name][1]
        if name in ("lock", "endless"):
            assert expected in str(value)
        else:
            assert str(
                np.asarray(value).tolist() if name != "ragged" else [np.asarray(v).tolist() for v in value]
            ) == str(expected)
    resumed = build()
    assert resumed.fit(X[:32], Y[:32], epochs=3, verbose=0, callbacks=[Talkative()], resume=tmp_path / "run").epoch == [
        0,
        1,
        2,
    ]


def test_what_is_saved_as_text_is_said(tmp_path):
    model = build()
    model.fit(X[:32], Y[:32], verbose=0, callbacks=[Talkative()])
    with pytest.warns(UserWarning, match=r"saved as text: datetime \(at '/training/history/history/date/0'\)"):
        model.save(tmp_path / "m.safetensors")


@pytest.mark.filterwarnings("ignore:the history is not saved")
def test_a_history_that_is_too_long_for_the_format_is_left_out(tmp_path):
    model = build()
    model.fit(X[:32], Y[:32], verbose=0)
    model.history.history["maps"] = [np.zeros(2_000_000)]
    model.save(tmp_path / "m.keras")
    again = mc.load_model(tmp_path / "m.keras")
    assert again.history is None
    assert again.epochs_trained == 1


@pytest.mark.parametrize("save_freq", ["epoch", 2])
def test_a_callback_that_had_no_best_value_goes_on(save_freq, tmp_path):
    """One that began with none, and is given a threshold, or looks at no epoch yet, when the training is resumed."""

    def checkpoint(threshold=None):
        return callbacks.ModelCheckpoint(
            tmp_path / "best.keras", "loss", save_best_only=True, initial_value_threshold=threshold
        )

    early = callbacks.EarlyStopping("loss", baseline=1e-9, patience=20, start_from_epoch=2)
    folder, options = tmp_path / "run", {**OPTIONS, "epochs": 4}
    backup = callbacks.BackupAndRestore(folder, save_freq)
    with pytest.raises(Killed):
        build().fit(X, Y, **options, callbacks=[early, checkpoint(), backup, Kill(3)])
    given = checkpoint(1e-9)
    early.best = 0.1
    backup = callbacks.BackupAndRestore(folder, save_freq)
    history = build().fit(X, Y, **options, callbacks=[early, given, backup])
    assert history.epoch == [0, 1, 2, 3] and given.best == 1e-9
    assert early.best == min(history.history["loss"][2:])


@pytest.mark.parametrize("has_pixels", [True, False])
def test_an_older_checkpoint_in_the_middle_of_an_epoch_whose_means_counted_values_is_said_to_be_one(
    has_pixels, tmp_path, monkeypatch, recwarn
):
    """Nine values a sample there; where each sample has one value, nothing has changed."""
    inputs = mc.Input((3, 3, 1))
    outputs = layers.Conv2D(1, 1)(inputs) if has_pixels else layers.Dense(1)(layers.Flatten()(inputs))
    model, x = mc.Model(inputs, outputs), np.ones((8, 3, 3, 1), "float32")
    model.compile("sgd", "mse", metrics=["mae"])
    values = 9 if has_pixels else 1

    def older(totals):
        kept = [{"_sum": m._sum * values, "_count": m._count * values} for _, _, m in totals.metrics]
        return kept_now(totals) | {"metrics": kept}

    kept_now = Totals.get_state
    arguments = {"batch_size": 2, "epochs": 1, "verbose": 0}
    y = x if has_pixels else x[:, 0, 0]
    with monkeypatch.context() as context, pytest.raises(Killed):
        context.setattr(Totals, "get_state", older)
        model.fit(x, y, callbacks=[callbacks.BackupAndRestore(tmp_path, save_freq=1), Kill(2)], **arguments)
    model.fit(x, y, callbacks=[callbacks.BackupAndRestore(tmp_path)], **arguments)
    told = [str(each.message) for each in recwarn if "an older minicnn" in str(each.message)]
    assert bool(told) == has_pixels


def test_metrics_of_ones_own_steps_forget_an_epoch_that_was_resumed_behind_its_last_batch(tmp_path):
    class Own(keras.Sequential):
        def __init__(self, *args):
            super().__init__(*args)
            self.mean = keras.metrics.Mean(name="mean")

        def train_step(self, data):
            self.mean.update_state(1.0)
            return {"count": self.mean.count}

        metrics = property(lambda self: [self.mean])

    def fitted(*further):
        model = Own([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        backup = callbacks.BackupAndRestore(tmp_path, save_freq=1)
        x = np.ones((8, 2), "float32")
        return model.fit(x, x[:, :1], batch_size=2, epochs=2, verbose=0, callbacks=[backup, *further]).history

    with pytest.raises(Killed):
        fitted(Kill(4))
    assert fitted()["count"][-1] == 4.0
