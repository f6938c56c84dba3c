"""Milliseconds to save and to load net_1 (1.6 million parameters) on a warm disk cache; waiting for the disk apart."""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import harness
import numpy as np

import minicnn as mc
from minicnn import layers
from minicnn.saving import files

COLUMNS = ("save", "fsync", "load")


def main():
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=15, metavar="N", help="saves and loads of each model (default: 15)"
    )
    parser.add_argument("--formats", nargs="+", default=[".safetensors"], metavar="SUFFIX", help="e.g. .keras .h5")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="where to write (default: the system's folder for it)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all numbers there as JSON")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"argument --rounds: 1 or more. Received: {options.rounds}")
    models = {"weights and structure": net_1(), "with Adam's state": trained(net_1())}
    rows = []
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        for suffix in options.formats:
            for title, model in models.items():
                times, size = measure(model, Path(folder) / f"net_1{suffix}", options.rounds)
                rows.append({"format": suffix, "model": title, "megabytes": size / 1e6, "milliseconds": times})
    print(report(rows))
    if options.out:
        options.out.write_text(json.dumps({"machine": harness.machine(), "rows": rows}, indent=2) + "\n")


def net_1():
    """Two padded convolutions and one pooling on MNIST's images."""
    return mc.Sequential(
        [
            mc.Input((28, 28, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def trained(model):
    """The model after one step, so that the optimizer has its state."""
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(np.zeros((8, 28, 28, 1), "float32"), np.zeros(8, "int64"), verbose=0)
    return model


def measure(model, path, rounds):
    """(column → milliseconds of each round, the file's size); a first round warms up."""
    waited = []

    def timed(target, to_disk=files.to_disk):
        begin = time.perf_counter()
        to_disk(target)
        waited.append(time.perf_counter() - begin)

    files.to_disk, original = timed, files.to_disk
    times = {name: [] for name in COLUMNS}
    try:
        for number in range(rounds + 1):
            waited.clear()
            begin = time.perf_counter()
            model.save(path)
            saved = time.perf_counter() - begin - sum(waited)
            begin = time.perf_counter()
            loaded = mc.load_model(path)
            seconds = saved, sum(waited), time.perf_counter() - begin
            if number:
                for name, value in zip(COLUMNS, seconds, strict=True):
                    times[name].append(1000 * value)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))
    finally:
        files.to_disk = original
    return times, path.stat().st_size


def report(rows):
    """A Markdown table: median (lowest – highest)."""
    machine = harness.machine()
    lines = ["| format | net_1 | MB | save | fsync | load |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        cells = [f"{statistics.median(t):.1f} ({min(t):.1f} – {max(t):.1f})" for t in row["milliseconds"].values()]
        lines.append(f"| `{row['format']}` | {row['model']} | {row['megabytes']:.1f} | {' | '.join(cells)} |")
    return "\n".join(
        [*lines, "", f"Milliseconds, median (lowest – highest). {machine['processor']}, Python {machine['python']}."]
    )


if __name__ == "__main__":
    main()
