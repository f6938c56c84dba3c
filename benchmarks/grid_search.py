"""GridSearchCV of `CNNClassifier` with one process and with several.

``python benchmarks/grid_search.py [--jobs 2] [--samples 2000] [--rounds 3]``: the same search of 2 networks × 2 batch
sizes × 3 folds, on MNIST's first digits. A process of joblib gets its share of the processors (``OMP_NUM_THREADS``), so
that the number of threads is the same; the first search starts and warms the processes and is not counted.
"""

import argparse
import os
import statistics
import time

from sklearn.model_selection import GridSearchCV

import minicnn as mc
from minicnn.sklearn import CNNClassifier

GRID = {"model": ["simple", "lenet5"], "batch_size": [32, 128]}


def search(jobs, x, y, epochs):
    """(seconds, scores) of one search."""
    start = time.perf_counter()
    found = GridSearchCV(CNNClassifier(epochs=epochs, random_state=0), GRID, cv=3, n_jobs=jobs).fit(x, y)
    return time.perf_counter() - start, found.cv_results_["mean_test_score"].tolist()


def main():
    """Print the times, turn by turn, and whether the scores agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    (x, y), _ = mc.datasets.mnist.load_data()
    x, y = x[: options.samples], y[: options.samples]
    search(options.jobs, x, y, 1)
    times = {1: [], options.jobs: []}
    scores = {}
    for _ in range(options.rounds):
        for jobs, found in times.items():
            seconds, scores[jobs] = search(jobs, x, y, options.epochs)
            found.append(seconds)
    for jobs, found in times.items():
        print(f"n_jobs={jobs}: median {statistics.median(found):.1f} s of {[round(t, 1) for t in found]}")
    print(f"ratio {statistics.median(times[1]) / statistics.median(times[options.jobs]):.2f}")
    print("same scores" if scores[1] == scores[options.jobs] else f"scores differ: {scores}")
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
