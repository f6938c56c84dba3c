"""Time to accuracy on the GPU, for gpu_worker.py: LeNet-5 on digits, and the records of recipes.py."""

import time

import numpy as np
from recipes import RECIPES, load

MOST_EPOCHS = 20
WANTED_ACCURACY = 0.99
WANTED_SECONDS = {"mnist99": 1.0}  # of training


def digits(mc, smoke):
    """(name, training images, labels, test images, labels): MNIST, or the package's digits moved about."""
    try:
        (x, y), (xt, yt) = mc.datasets.mnist.load_data()
        return "MNIST", x, y, xt, yt
    except Exception as error:  # not there, and no network or nothing to download with
        print(f"no MNIST ({type(error).__name__}): the package's digits, moved about")
    (x, y), (xt, yt) = mc.datasets.digits.load_data(upscale=True)
    rng = np.random.default_rng(0)
    count = 64 if smoke else 60_000
    parts = [moved(images, labels, n, rng) for images, labels, n in ((x, y, count), (xt, yt, max(count // 6, 32)))]
    return "digits, moved about", *parts[0], *parts[1]


def moved(images, labels, count, rng):
    """`count` random images, each moved by up to two pixels."""
    chosen = rng.integers(0, len(images), count)
    images, labels = np.asarray(images)[chosen], np.asarray(labels)[chosen]
    steps = rng.integers(-2, 3, (count, 2))
    for step in {tuple(s) for s in steps.tolist()}:
        mine = (steps == step).all(axis=1)
        images[mine] = np.roll(images[mine], step, axis=(1, 2))
    return images, labels


def reach(mc, model, smoke):
    """Train a model, batch 128, until the test accuracy is 99 %, for 20 epochs at most.

    Returns
    -------
    dict
        "data", "images": their name and number; "seconds" of training, "accuracies": of each epoch.
    """
    name, *arrays = digits(mc, smoke)
    x, y, xt, yt = (a[:256] for a in arrays) if smoke else arrays
    x, xt = (np.asarray(a, np.float32).reshape(-1, 28, 28, 1) / np.max(a) for a in (x, xt))
    seconds, accuracies = [], []
    for _ in range(1 if smoke else MOST_EPOCHS):
        start = time.perf_counter()
        model.fit(x, y, batch_size=128, verbose=0)
        seconds.append(time.perf_counter() - start)
        accuracies.append(model.evaluate(xt, yt, batch_size=1000, verbose=0)[1])
        if accuracies[-1] >= WANTED_ACCURACY:
            break
    return {"data": name, "seconds": seconds, "accuracies": accuracies, "images": len(x)}


def recorded(run, name, seeds):
    """A library's `run` of a recipe with some seeds: {"runs": [[accuracy, seconds of training]]}.

    {"missing": why} without the data.
    """
    try:
        data = load(RECIPES[name])
    except Exception as error:  # not there, and no network, or nothing to decompress it with
        return {"missing": f"{name}: {type(error).__name__}: {str(error)[:200]}"}
    return {"runs": [run(RECIPES[name], seed, *data) for seed in range(seeds)]}


def reach_text(result):
    """One sentence."""
    best = max(result["accuracies"])
    reached = "reached" if best >= WANTED_ACCURACY else "did not reach"
    return (
        f"LeNet-5 on {result['data']} ({result['images']:,} images, batch 128) {reached} {WANTED_ACCURACY:.0%} on the "
        f"test set in {len(result['seconds'])} epochs and {sum(result['seconds']):.1f} s of training (the first epoch, "
        f"with compiling, took {result['seconds'][0]:.1f} s, the last one {result['seconds'][-1]:.2f} s); best "
        f"accuracy: {best:.4f}."
    )


def record_row(name, library, runs):
    """A row of the table of records."""
    recipe, accuracies = RECIPES[name], [accuracy for accuracy, _ in runs]
    first, *others = (seconds for _, seconds in runs)
    best, wanted = min(others or [first]), WANTED_SECONDS.get(name)
    has_reached = np.mean(accuracies) >= recipe.accuracy
    must = "–" if library != "minicnn" or wanted is None else f"≤ {wanted:.0f}"
    met = "–" if must == "–" else "yes" if has_reached and best <= wanted else "NO"
    accuracy = f"{np.mean(accuracies):.2%}{'' if has_reached else ' (too low)'}"
    return [f"{recipe.title}, {library}", str(len(runs)), accuracy, f"{first:.2f}", f"{best:.2f}", must, met]
