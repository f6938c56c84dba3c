"""A long training beside programs that come and go, with another number of threads at every step: the same bits.

    python tests/soak.py --minutes 30

First LeNet-5 trains for so long while processes that compute start and end at random; then as many steps again with
nothing beside it. The weights of both have to be equal to the last bit. Exits with 1 where they are not.
"""

import argparse
import contextlib
import hashlib
import random
import subprocess
import sys
import threading
import time

import numpy as np

import minicnn as mc

BATCH, IMAGES = 128, 12_800
MOST_OTHERS, LONGEST = 4, 5.0  # processes at once, and seconds that each lives


def main():
    """Train twice and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, metavar="M", help="of the loaded training (default: 30)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the load; printed")
    options = parser.parse_args()
    print(f"seed of the load: {options.seed}", flush=True)
    chance = random.Random(options.seed)
    until = time.monotonic() + 60 * options.minutes
    with load(chance):
        loaded, epochs = train(lambda epoch: epoch == 0 or time.monotonic() < until, chance)
    alone, _ = train(lambda epoch: epoch < epochs, None)
    same = loaded == alone
    print(f"{epochs} epochs, {epochs * IMAGES // BATCH} steps: weights {loaded[:16]} loaded, {alone[:16]} alone")
    print("the same bits" if same else "OTHER BITS")
    sys.exit(not same)


def train(goes_on, chance):
    """(SHA-256 of the weights, epochs): so long as `goes_on` of the number of epochs; `chance` draws threads."""
    mc.utils.set_random_seed(0)
    layers, rng = mc.layers, np.random.default_rng(0)
    x, y = rng.random((IMAGES, 28, 28, 1), np.float32), rng.integers(0, 10, IMAGES)
    model = mc.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(6, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.25),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    cores = mc.get_num_threads()

    class Threads(mc.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if chance is not None:
                mc.set_num_threads(chance.randint(1, cores))

    epoch = 0
    while goes_on(epoch):
        model.fit(x, y, batch_size=BATCH, epochs=epoch + 1, initial_epoch=epoch, verbose=0, callbacks=[Threads()])
        epoch += 1
    mc.set_num_threads(cores)
    return hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest(), epoch


@contextlib.contextmanager
def load(chance):
    """Inside, up to `MOST_OTHERS` processes compute, each for a random time."""
    over = threading.Event()
    draws = random.Random(chance.random())

    def run():
        others = []
        while not over.is_set():
            others = [other for other in others if other.poll() is None]
            if len(others) < draws.randint(0, MOST_OTHERS):
                program = f"import time\nt = time.time()\nwhile time.time() < t + {draws.uniform(0.1, LONGEST)}: pass"
                others.append(subprocess.Popen([sys.executable, "-c", program]))
            over.wait(draws.uniform(0.05, 1.0))
        for other in others:
            other.kill()
            other.wait()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    main()
