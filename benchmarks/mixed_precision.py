"""What "mixed_bfloat16" costs in accuracy and gives in time and memory, beside float32: the documents' networks.

The recipe is in README.md beside this file.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import harness
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
POLICIES = ("float32", "mixed_bfloat16")
CASES = {  # name → (network, data set, epochs, loss)
    "D0": ("D0", "mnist", 1, "sparse_categorical_crossentropy"),
    "D1": ("D1", "fashion_mnist", 1, "binary_crossentropy"),
    "LeNet-5": ("LeNet-5", "mnist", 1, "sparse_categorical_crossentropy"),
    "net_2": ("net_2 MNIST", "mnist", 1, "sparse_categorical_crossentropy"),
    "CIFAR-10 net_1": ("net_1 CIFAR-10", "cifar10", 10, "sparse_categorical_crossentropy"),
}
BATCH = 128


def main():
    """Train, print the table, write the files."""
    harness.publish(parse(), measure, report, lambda _: "mixed_precision")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=f"of {', '.join(CASES)}")
    add("--seeds", type=int, default=3, metavar="N", help="trainings of each network with each policy (3)")
    add("--samples", type=int, metavar="N", help="train on the first N images (all)")
    add("--data-dir", type=Path, metavar="DIR", help="where the data sets are (default: MINICNN_DATA, cache, download)")
    add("--out", type=Path, metavar="FILE", help="write all numbers there as JSON")
    add("--read", type=Path, metavar="FILE", help="train nothing, take the numbers of an earlier --out")
    add("--docs", type=Path, metavar="FILE", help="put the table into this Markdown file, e.g. docs/bfloat16.md")
    return parser.parse_args()


def measure(options):
    """Case → policy → one entry a seed."""
    if options.data_dir:
        os.environ["MINICNN_DATA"] = str(options.data_dir)
    cases = {name: train(name, options) for name in options.cases}
    return {"machine": harness.machine(), "cases": cases}


def train(name, options):
    """All seeds of a case; the policies take turns, so that both have the same load."""
    from networks import NETWORKS

    import minicnn as mc

    network, dataset, epochs, loss = CASES[name]
    (x, y), (x_test, y_test) = getattr(mc.datasets, dataset).load_data()
    x, y = x[: options.samples], y[: options.samples]
    one_hot = loss == "binary_crossentropy"  # a sigmoid for each class
    runs = {policy: [] for policy in POLICIES}
    for seed in range(1, options.seeds + 1):
        for policy in POLICIES:
            mc.utils.set_random_seed(seed)
            model = mixed(NETWORKS[network](mc), policy)
            model.compile("adam", loss, metrics=["categorical_accuracy" if one_hot else "accuracy"])
            labels = [mc.utils.to_categorical(part, 10) if one_hot else part for part in (y, y_test)]
            runs[policy].append(run(model, (images(x), labels[0]), (images(x_test), labels[1]), epochs))
            print(f"{name}, {policy}, seed {seed}: {runs[policy][-1]}", flush=True)
    return runs


def mixed(model, policy):
    """The model with that policy in all its layers but the last, whose probabilities are not rounded."""
    for layer in model.layers[:-1]:
        layer.dtype_policy = policy
    return model


def images(x):
    """Pixels from 0 to 1, with an axis of channels."""
    x = (x / 255).astype(np.float32)
    return x[..., None] if x.ndim == 3 else x


def run(model, data, test, epochs):
    """Train one model: its test accuracy and loss, and the seconds of its fastest step."""
    steps = Steps()
    model.fit(*data, epochs=epochs, batch_size=BATCH, verbose=0, callbacks=[steps.callback()])
    loss, accuracy = model.evaluate(*test, batch_size=500, verbose=0)
    return {"accuracy": accuracy, "loss": loss, "step": min(steps.seconds)}


class Steps:
    """Seconds of every iteration."""

    def __init__(self):
        self.seconds, self._began = [], 0.0

    def callback(self):
        """A callback that notes them."""
        import minicnn as mc

        return mc.callbacks.LambdaCallback(on_train_batch_begin=self._begin, on_train_batch_end=self._end)

    def _begin(self, batch, logs=None):
        self._began = time.perf_counter()

    def _end(self, batch, logs=None):
        self.seconds.append(time.perf_counter() - self._began)


def report(result):
    """The table."""
    machine = result["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores. Means of the seeds and their range; "
        f"a step of {BATCH} images, the fastest.",
        "",
        "| network | policy | test accuracy | test loss | ms a step |",
        "|---|---|---|---|---|",
    ]
    for name, runs in result["cases"].items():
        for policy, entries in runs.items():
            accuracy = spread([100 * entry["accuracy"] for entry in entries], 2)
            loss = spread([entry["loss"] for entry in entries], 4)
            step = 1000 * min(entry["step"] for entry in entries)
            lines.append(f"| {name} | {policy} | {accuracy} % | {loss} | {step:.2f} |")
    return "\n".join(lines)


def spread(values, digits):
    """Mean, and the smallest and largest."""
    return f"{statistics.mean(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


if __name__ == "__main__":
    main()
