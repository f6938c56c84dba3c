"""What one worker of ``distributed.py`` measures; worker 0 prints a line of JSON.

mpiexec -n 2 python benchmarks/distributed_worker.py wire
mpiexec -n 2 python benchmarks/distributed_worker.py train NETWORK BATCH STEPS [THREADS]
"""

import json
import sys
import time

import numpy as np

import minicnn as mc
from minicnn import layers
from minicnn.distribution import sums
from minicnn.distribution.shards import cut, nodes_within, own_part
from minicnn.distribution.world import world

REPEATS, IN_A_ROW, MANY = 12, 4, 33
SHARDS = 8


def lenet5():
    """LeNet-5 on MNIST's images."""
    return mc.Sequential([mc.Input((28, 28, 1)), *mc.networks.lenet5((28, 28, 1), 10)])


def d0():
    """The documents' first network on MNIST's images."""
    body = [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Conv2D(64, 3, activation="relu")]
    top = [layers.MaxPooling2D(), layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(10, "softmax")]
    return mc.Sequential([mc.Input((28, 28, 1)), *body, *top])


def net_1():
    """Two convolutions, and a dense layer that has most of the weights, on CIFAR-10's images."""
    body = [layers.Conv2D(n, 3, padding="same", activation="relu") for n in (32, 64)]
    top = [layers.MaxPooling2D(), layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(10, "softmax")]
    return mc.Sequential([mc.Input((32, 32, 3)), *body, *top])


def resnet18():
    """He, Zhang, Ren, Sun (2015): ResNet-18 as it is used on CIFAR-10's images."""
    inputs = mc.Input((32, 32, 3))
    x = _normed(inputs, 64, 3, 1)
    for filters, strides in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        y = _normed(_normed(x, filters, 3, strides), filters, 3, 1, relu=False)
        shortcut = x if strides == 1 else _normed(x, filters, 1, strides, relu=False)
        x = layers.ReLU()(layers.Add()([y, shortcut]))
    return mc.Model(inputs, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def _normed(x, filters, size, strides, relu=True):
    x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(x) if relu else x


NETWORKS = {"LeNet-5": lenet5, "D0": d0, "net_1": net_1, "ResNet-18": resnet18}


def fastest(call, repeats=REPEATS):
    """The shortest time of a call that all workers make together, in seconds: of `IN_A_ROW`, the mean.

    A worker may begin earlier than another by as much as a message takes, and wait for it; in the next call the other
    one waits. So a single call may seem to take up to a message more or less.
    """
    wire, ends = world(), []
    wire.agreed(False)
    for _ in range(repeats + IN_A_ROW):
        ends.append(time.perf_counter())
        call()
    ends.append(time.perf_counter())
    return max(wire.gather(min(b - a for a, b in zip(ends, ends[IN_A_ROW:], strict=False)) / IN_A_ROW))


def wire():
    """Seconds for an empty message to all, for each further one at once, and for each further byte; for adding a byte;
    the tree and Allreduce.
    """
    there, big = world(), 1 << 22
    small = fastest(lambda: there.agreed(False))
    vector = np.ones(big // 4, np.float32)
    whole = fastest(lambda: there.gather_rows(vector[None], [1] * there.size).result())
    other = vector.copy()
    adding = fastest(lambda: np.add(vector, other, out=other))
    return {
        "alpha": small,  # in one round, whoever there is
        "overhead": max(0.0, (fastest(lambda: at_once(there, MANY)) - fastest(lambda: at_once(there, 1))) / (MANY - 1)),
        "beta": max(0.0, whole - small) / (big * max(1, there.size - 1)),
        "gamma": adding / big,
        "sums": {name: _sums(there, NETWORKS[name]().count_params()) for name in ("LeNet-5", "net_1")},
    }


def at_once(there, count):
    """Exchange so many empty messages with the next worker and the one before, all under way at once."""
    one, other = np.zeros(1, np.uint8), np.empty((count, 1), np.uint8)
    requests = [there.comm.Irecv(other[i], (there.rank - 1) % there.size) for i in range(count)]
    requests += [there.comm.Isend(one, (there.rank + 1) % there.size) for _ in range(count)]
    for request in requests:
        there.wait(request)


def _sums(there, size):
    """Seconds of the sum over all workers along the tree, and of MPI's own."""
    own = own_part(SHARDS, there.rank, there.size)
    rows = {node: np.ones(size, np.float32) for node in nodes_within((0, SHARDS), own)}
    found, dtype = np.empty(size, np.float32), np.dtype("float32")
    vector = next(iter(rows.values()))
    tree = fastest(lambda: sums.over_workers(there, rows, SHARDS, size, dtype)())
    return {"tree": tree, "allreduce": fastest(lambda: there.comm.Allreduce(vector, found))}


def train(name, batch, steps, threads=None):
    """Seconds of an iteration, of its shards and of the rest; bytes sent in one, counted and as the formula says."""
    if threads:
        mc.set_num_threads(int(threads))
    mc.utils.set_random_seed(1)
    model, batch = NETWORKS[name](), int(batch)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(batch, *model.input_shape[1:])).astype(np.float32)
    y = rng.integers(0, 10, batch)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.train_on_batch(x, y)
    there, clock, sent, store = world(), Clock(model.engine), [], model.engine.store

    def iteration():
        before = there.sent
        model.train_on_batch(x, y)
        sent.append(there.sent - before)

    step = fastest(iteration, int(steps))
    return {
        "step": step,
        "shards": clock.fastest,
        "shard": clock.fastest / max(1, len(own_part(len(cut(batch, SHARDS)), 0, there.size))),
        "bytes": (store.grad.size + store.sigma.size) * store.grad.itemsize,
        "sent": sum(sent) / len(sent),
        "params": model.count_params(),
    }


class Clock:
    """Measures how long a worker computes its shards, in every iteration of an engine."""

    def __init__(self, engine):
        self.fastest = float("inf")
        over_shards = sums.over_shards

        def timed(*arguments):
            start = time.perf_counter()
            result = over_shards(*arguments)
            self.fastest = min(self.fastest, time.perf_counter() - start)
            return result

        sums.over_shards = timed


def main():
    """Measure what the command line says."""
    mc.distribution.initialize()
    mc.distribution.set_distribution(mc.distribution.DataParallel(SHARDS))
    print(json.dumps({"wire": wire, "train": train}[sys.argv[1]](*sys.argv[2:])))


if __name__ == "__main__":
    main()
