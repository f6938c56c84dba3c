"""Train LeNet-5 on MNIST with several numbers of workers and threads, and compare the weights to the last bit.

    python tests/distributed_bits.py --data-dir FOLDER

FOLDER holds MNIST as `minicnn.datasets.mnist.load_data` takes it. Each training prints the SHA-256 of its weights.
"""

import argparse
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

from distributed_training import digest, lenet5

import minicnn as mc

WORKERS, THREADS = (1, 2, 4, 8), (1, 2)
BATCH_SIZE = 128


def train(options):
    """What each worker does: train, and print the digest and the accuracy."""
    mc.distribution.set_distribution(mc.distribution.DataParallel())
    mc.set_num_threads(options.threads[0])
    mc.utils.set_random_seed(1)
    (x, y), (x_test, y_test) = mc.datasets.mnist.load_data(options.data_dir)
    x, x_test = (mc.utils.normalize_images(a[: options.limit])[..., None] for a in (x, x_test))  # (N, 28, 28, 1)
    model = lenet5()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y[: options.limit], BATCH_SIZE, options.epochs, 0)
    accuracy = model.evaluate(x_test, y_test[: options.limit], BATCH_SIZE, verbose=0)[1]
    print(json.dumps({"sha256": digest(*model.get_weights()), "accuracy": round(float(accuracy), 4)}))


def started(options, workers, threads):
    """What a training on so many workers prints."""
    command = [sys.executable, "-m", "minicnn", "launch", "-n", str(workers), __file__, "--train"]
    command += ["--threads", str(threads), "--epochs", str(options.epochs)]
    command += ["--data-dir", options.data_dir] if options.data_dir else []
    command += ["--limit", str(options.limit)] if options.limit else []
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path[1:]])
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"PYTHONPATH": path}, errors="replace"
    )
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


def main(arguments=None):
    """Train with all numbers of workers and threads; returns the digests, of which there should be one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder with MNIST's files")
    parser.add_argument("--epochs", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, help="numbers of workers (%(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", default=THREADS, help="numbers of threads (%(default)s)")
    parser.add_argument("--limit", type=int, help="so many samples; all, if it is not given")
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.train:
        train(options)
        return set()
    digests = set()
    for workers, threads in product(options.workers, options.threads):
        found = started(options, workers, threads)
        digests.add(found["sha256"])
        print(f"{workers} workers, {threads} threads: {found['sha256']}, accuracy {found['accuracy']}", flush=True)
    print("all the same" if len(digests) == 1 else f"{len(digests)} different ones")
    return digests


if __name__ == "__main__":
    sys.exit(len(main()) > 1)
