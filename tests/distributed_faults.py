"""What goes wrong on workers in tests/test_distribution.py.

python -m minicnn launch -n 3 tests/distributed_faults.py FAULT
"""

import itertools
import json
import os
import signal
import sys

import numpy as np
from distributed_training import digest, images

import minicnn as mc
from minicnn import layers, settings

NAN = mc.errors.NonFiniteError
EPOCHS, STEPS = 3, 3  # 70 samples in batches of 32


def model(units=4, seed=3, synchronized=None):
    """A small network, compiled."""
    mc.utils.set_random_seed(seed)
    norm = [] if synchronized is None else [layers.BatchNormalization(synchronized=synchronized)]
    made = mc.Sequential([mc.Input((6, 6, 1)), layers.Flatten(), *norm, layers.Dense(units, activation="softmax")])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def restless_order(x, y):
    """A data set that worker 1 has read once before the others do."""
    data = mc.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=1).batch(32)
    if is_second():
        next(iter(data))
    fit(model(), data, None)


def is_second():
    """Whether this is the worker that does otherwise."""
    return mc.distribution.rank() == 1


class At(mc.callbacks.Callback):
    """Calls a function of the model on worker 1 after a batch of the second epoch."""

    def __init__(self, act, batch=0):
        self._act, self._batch, self._epoch = act, batch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, batch) == (1, self._batch) and is_second():
            self._act(self.model)


def fit(made, x, y, act=None, **options):
    """Train, with something that happens on worker 1."""
    options = {"epochs": EPOCHS, "verbose": 0, "callbacks": [At(act)] if act else None} | options
    return made.fit(x, y, 32, **options) if y is not None else made.fit(x, **options)


# ------------------------------------------------------------------------------- after which all workers have ended


def killed():
    fit(model(), *images((6, 6, 1), 4), lambda model: os.kill(os.getpid(), signal.SIGKILL))


def hangs():
    fit(model(), *images((6, 6, 1), 4), lambda model: os.kill(os.getpid(), signal.SIGSTOP))


def fails():
    def act(model):
        raise RuntimeError("the disk is full")

    fit(model(), *images((6, 6, 1), 4), act)


def leaves():
    fit(model(), *images((6, 6, 1), 4), lambda model: sys.exit(0))


def interrupted():
    fit(model(), *images((6, 6, 1), 4), _interrupt)


# ------------------------------------------------------------------------------------- which all workers know of


def caught(call, *kinds):
    """The messages of the error that a call raises, one for each worker."""
    try:
        call()
    except kinds as error:
        return mc.distribution.world.world().gather(f"{type(error).__name__}: {error}")
    raise AssertionError("no error")


def with_version(version):
    """Train with another version on worker 1."""
    before, mc.__version__ = mc.__version__, version if is_second() else mc.__version__
    try:
        fit(model(), *images((6, 6, 1), 4))
    finally:
        mc.__version__ = before


def with_dtype():
    """Train with float64 on worker 1."""
    before = settings.floatx()
    mc.utils.set_floatx("float64" if is_second() else before)
    try:
        fit(model(), *images((6, 6, 1), 4))
    finally:
        mc.utils.set_floatx(before)


def broken():
    """A generator that fails in its second batch."""
    x, y = images((6, 6, 1), 4)
    yield x[:32], y[:32]
    raise OSError("no such file: photo 33")


def others():
    """What workers that do not fit together say."""
    x, y = images((6, 6, 1), 4)
    other, nan = images((6, 6, 1), 4, seed=6 if is_second() else 5), x.copy()
    nan[60] = np.nan
    kind = mc.distribution.DistributionError
    return {
        "data": caught(lambda: fit(model(), *other), kind),
        "model": caught(lambda: fit(model(5 if is_second() else 4), x, y), kind),
        "weights": caught(lambda: fit(model(seed=mc.distribution.rank()), x, y), kind),
        "version": caught(lambda: with_version("0.0.9"), kind),
        "dtype": caught(with_dtype, kind),
        "shuffle": caught(lambda: fit(model(), x, y, shuffle=not is_second()), kind),
        "generator": caught(lambda: fit(model(), broken(), None, steps_per_epoch=2), OSError, mc.errors.DataError),
        "nan": caught(lambda: fit(model(), nan, y, shuffle=False), NAN),
        "loss": caught(ignoring, ValueError),
        "order of samples": caught(lambda: restless_order(x, y), kind),
        "BatchNormalization": caught(lambda: fit(model(synchronized=is_second()), x, y), kind),
        "optimizer state": caught(with_state, kind),
        "seed": caught(with_seed, kind),
        "nan behind synchronized": caught(lambda: fit(model(synchronized=True), nan, y, shuffle=False), NAN),
    }


def with_state():
    """Between two batches, worker 1 alone takes over another state for the optimizer, of as many updates."""
    made, batch = model(), images((6, 6, 1), 4)
    made.train_on_batch(*batch)
    if is_second():
        state = made.engine.state_by_weight()
        made.engine.set_state({name: {w: a + 1 for w, a in arrays.items()} for name, arrays in state.items()})
    made.train_on_batch(*batch)


def with_seed():
    """Between two batches, worker 1 alone sets a seed."""
    made, batch = model(), images((6, 6, 1), 4)
    made.train_on_batch(*batch)
    made.seed += is_second()
    made.train_on_batch(*batch)


def ignoring():
    """Train with a loss that is no mean over samples."""
    made = model()
    made.compile("sgd", mc.losses.SparseCategoricalCrossentropy(ignore_class=3))
    fit(made, *images((6, 6, 1), 4))


def together():
    """Decisions that one worker takes for all: (weights, epochs) after each."""
    found, (x, y) = {}, images((6, 6, 1), 4)
    for name, act in (("stop", _stop), ("interrupt", _interrupt)):
        made = model()
        try:
            fit(made, x, y, act)
        except KeyboardInterrupt:
            name += "ed"
        states = mc.distribution.world.world().gather((digest(*made.get_weights()), int(made.optimizer.iterations)))
        assert len(set(states)) == 1, states
        found[name] = states[0][1]
    return found | {"renewed": renewed(x, y)}


def renewed(x, y):
    """Updates that are made together, though one worker has used the model, or compiled it, by itself in between."""
    made, chosen = model(), mc.distribution.distribution()
    for rank in range(3):
        made.train_on_batch(x, y)
        if mc.distribution.rank() == rank:
            mc.distribution.set_distribution(None)
            made.evaluate(x, y, verbose=0)
            mc.distribution.set_distribution(chosen)
        if mc.distribution.rank() == 2 - rank:
            made.compile(made.optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    states = mc.distribution.world.world().gather((digest(*made.get_weights()), int(made.optimizer.iterations)))
    assert len(set(states)) == 1, states
    return states[0][1]


def _stop(model):
    model.stop_training = True


def _interrupt(model):
    os.kill(os.getpid(), signal.SIGINT)


def names():
    """What keras.distribution says."""
    from minicnn.keras import distribution

    chosen = distribution.DataParallel(devices=distribution.list_devices("cpu"), shards=4)
    distribution.set_distribution(chosen)
    assert distribution.distribution() is mc.distribution.distribution() is chosen
    said = []
    for options in ({"device_mesh": "mesh"}, {"devices": ["cpu:0", "cpu:1"]}, {"auto_shard_dataset": False}):
        try:
            distribution.DataParallel(**options)
        except ValueError as error:
            said.append(str(error))
    return {"said": said, "count": [chosen.num_model_replicas, distribution.get_device_count("cpu")]}


class Pictures:
    """A Sequence that counts which batches this worker has read."""

    def __init__(self):
        self.arrays, self.read = images((6, 6, 1), 4), []

    def __len__(self):
        return 3

    def __getitem__(self, index):
        self.read.append(index)
        return tuple(array[32 * index : 32 * index + 32] for array in self.arrays)


class Restless(Pictures):
    """A Sequence with an order of its own in each epoch, and other noise each time, both by NumPy's random numbers."""

    def __init__(self, seed):
        super().__init__()
        np.random.seed(seed)
        self.on_epoch_end()

    def on_epoch_end(self):
        self._order = np.random.permutation(3)

    def __getitem__(self, index):
        x, y = super().__getitem__(self._order[index])
        return x + np.random.normal(size=x.shape).astype("f4"), y


class Rows:
    """A data set in a file that counts how many rows this worker has read."""

    def __init__(self, array):
        self._array, self.shape, self.dtype, self.rows = array, array.shape, array.dtype, 0

    def __getitem__(self, key):
        self.rows += len(self._array[key])
        return self._array[key]


def sources():
    """The same samples from arrays, Sequences, a generator, a file and data sets: digests, and who has read what."""
    (x, y), found = images((6, 6, 1), 4), {}
    sequence, rows, made = Pictures(), Rows(x), []

    def sample(i, label):
        made.append(int(i))
        return x[i], label

    numbers = mc.data.Dataset.from_tensor_slices((np.arange(len(x)), y))
    generator = (tuple(a[i : i + 32] for a in (x, y)) for i in itertools.cycle((0, 32, 64)))
    for name, data, options in (
        ("arrays", (x, y), {}),
        ("sequence", (sequence, None), {}),
        ("generator", (generator if mc.distribution.rank() == 0 else iter(()), None), {"steps_per_epoch": STEPS}),
        ("file", (rows, y), {}),
        ("data set", (numbers.map(sample, num_parallel_calls=2).batch(32).prefetch(), None), {}),
        ("repeated", (numbers.map(sample, num_parallel_calls=2).batch(32).repeat(), None), {"steps_per_epoch": STEPS}),
        ("serial", (numbers.map(lambda i, label: (x[i], label)).batch(32), None), {}),
    ):
        trained = model()
        fit(trained, *data, shuffle=False, **options)
        found[name] = digest(*trained.get_weights())
    read = mc.distribution.world.world().gather((len(sequence.read), rows.rows, len(made)))
    return {"weights": found, "read": read, "random": _random(numbers, x)}


def _random(numbers, x):
    """Of data that comes in random orders: digests of weights and of predictions."""
    found, shuffled = {}, numbers.shuffle(70, seed=5).map(lambda i, label: (x[i], label), num_parallel_calls=1)
    for name, data in (("shuffled", shuffled.batch(32)), ("restless", Restless(mc.distribution.rank()))):
        trained = model()
        fit(trained, data, None)
        found[name] = digest(*trained.get_weights(), trained.predict(data, verbose=0))
    folder = os.environ.get("PICTURES")
    trained, seen = model(), []
    read = mc.images.folders.read_image
    mc.images.folders.read_image = lambda path, *options: seen.append(path) or read(path, *options)
    pictures = mc.images.image_dataset_from_directory(folder, color_mode="grayscale", image_size=(6, 6), batch_size=8)
    trained.fit(pictures, epochs=2, verbose=0)
    mc.images.folders.read_image = read
    found["pictures"] = digest(*trained.get_weights())
    found["seen"] = mc.distribution.world.world().gather(len(seen))
    return found


FAULTS = {f.__name__: f for f in (killed, hangs, fails, leaves, interrupted, others, together, sources, names)}


def main():
    """Do what the command line says."""
    mc.set_backend("numpy")
    mc.distribution.initialize(timeout=float(os.environ.get("TIMEOUT", "120")))
    mc.distribution.set_distribution(mc.distribution.DataParallel())
    print(json.dumps(FAULTS[sys.argv[1]]()))


if __name__ == "__main__":
    main()
