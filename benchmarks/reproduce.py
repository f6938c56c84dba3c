"""Run the documents' networks at their published settings and write docs/results.md from what the runs leave.

Each experiment is an example in a process of its own, once for each seed. What has finished is not run again, so that
an interrupted script goes on where it was; the page and the JSON beside it are written after every run.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import harness

import minicnn as mc

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "runs" / "reproduce"
DOCS = ROOT / "docs"
DONE = "run.json"  # beside an example's result.json, when the whole run went well
TRIAL = ("--epochs", "1", "--limit", "256")
SEEDS = (0, 1, 2)
PUBLISHED_CIFAR10_LABELS = [6, 9, 9, 4, 1]  # of the first training images
SETS = {"train": "training", "test": "test", "moved": "moved test"}

DOCUMENTS = {
    "D0": "MNIST classifier (I. Maniega: MNIST_1, 2025)",
    "D1": "Fashion-MNIST (A. Pineda Cedillo: Redes Neuronales Profundas, ejercicio 2, 2023)",
    "D2": "pooling, strides and optimizers (L. Albandoz González: Redes Neuronales Convolucionales, 2023)",
    "D3": "digit recognition (Resolución de Digit Recognition usando una Red Neuronal Convolucional)",
    "D4": "from perceptrons to LeNet-5 (W. Aguilar: Redes Convolucionales, clase 8)",
}


@dataclass(frozen=True)
class Row:
    """A line of a table: one network's loss and accuracy on one set.

    Attributes
    ----------
    title : str
    low, high : float, optional
        What the mean accuracy of the seeds must reach, and stay below.
    set : {"test", "train", "moved"}
    network : str
        Its name in a result of several networks.
    """

    title: str
    low: float = 0.0
    high: float = 1.0
    set: str = "test"
    network: str = ""


@dataclass(frozen=True)
class Experiment:
    """An example with its arguments, and the lines that its results fill.

    Attributes
    ----------
    document : str
        Key of `DOCUMENTS`.
    dataset : str
        The data that it needs; nothing else may stand in.
    command : tuple of str
        The script in examples/ and its arguments.
    rows : tuple of Row
    seeds : tuple of int
    """

    document: str
    dataset: str
    command: tuple
    rows: tuple
    seeds: tuple = SEEDS


def _optimizer(name, low, high=1.0, seeds=(0,)):
    row = Row(f"net_1, CIFAR-10, {name}", low, high, network=name)
    return Experiment("D2", "CIFAR-10", ("optimizers_cifar10.py", "--optimizers", name), (row,), seeds=seeds)


EXPERIMENTS = {
    "mnist_cnn": Experiment(
        "D0", "MNIST", ("mnist_cnn.py",), (Row("MNIST classifier", 0.989), Row("MNIST classifier", set="train"))
    ),
    "fashion_mnist_cnn": Experiment(
        "D1",
        "Fashion-MNIST",
        ("fashion_mnist_cnn.py",),
        (Row("three convolutions", 0.905), Row("three convolutions", set="train")),
    ),
    "pooling_vs_stride": Experiment(
        "D2",
        "MNIST",
        ("pooling_vs_stride.py",),
        (
            Row("net_1, MNIST, Adadelta", 0.86, 0.89, network="net_1"),
            Row("net_2, MNIST, Adadelta", 0.86, 0.89, network="net_2"),
        ),
    ),
    "optimizer_adam": _optimizer("Adam", 0.65, seeds=SEEDS),  # which differ by more than the bound is below their mean
    "optimizer_adagrad": _optimizer("Adagrad", 0.47, 0.52),
    "optimizer_adadelta": _optimizer("Adadelta", 0.33, 0.38),
    "digit_recognition": Experiment(
        "D3", "MNIST", ("digit_recognition.py",), (Row("raw pixels", 0.980), Row("raw pixels", set="train"))
    ),
    "digit_recognition_scaled": Experiment(
        "D3", "MNIST", ("digit_recognition.py", "--scaled"), (Row("scaled pixels", 0.988),)
    ),
    "mlp_mnist": Experiment("D4", "MNIST", ("mlp_mnist.py",), (Row("MLP, MNIST", 0.973),)),
    "mlp_cifar10": Experiment("D4", "CIFAR-10", ("mlp_cifar10.py",), (Row("MLP, CIFAR-10", 0.47),)),
    "mlp_cifar10_gray": Experiment(
        "D4", "CIFAR-10", ("mlp_cifar10.py", "--gray"), (Row("MLP, CIFAR-10 in grey, 28×28", 0.40),)
    ),
    "translation_test": Experiment(
        "D4",
        "MNIST",
        ("translation_test.py",),
        (
            Row("MLP, digits moved 4 pixels", 0.0, 0.20, "moved", "MLP"),
            Row("LeNet-5, digits moved 4 pixels", 0.0, 0.20, "moved", "LeNet-5"),
        ),
    ),
    "lenet5_mnist": Experiment(
        "D4", "MNIST", ("lenet5_mnist.py",), (Row("LeNet-5", 0.996, set="train"), Row("LeNet-5", 0.987))
    ),
    "lenet5_augmented": Experiment(
        "D4",
        "MNIST",
        ("lenet5_augmented.py",),
        (Row("augmented LeNet-5", 0.988), Row("augmented LeNet-5", 0.85, set="moved")),
    ),
    "lenet5_augmented_0.15": Experiment(
        "D4",
        "MNIST",
        ("lenet5_augmented.py", "--translation", "0.15"),
        (Row("augmented LeNet-5, shift 0.15", 0.988), Row("augmented LeNet-5, shift 0.15", 0.978, set="moved")),
    ),
    "lenet5_cifar10": Experiment(
        "D4", "CIFAR-10", ("lenet5_cifar10.py",), (Row("LeNet-5, CIFAR-10 (the exercise)", 0.60),)
    ),
}


def main():
    """Run what is missing, and write the page after each run."""
    options = parse()
    record = read_record(options.docs)
    failed = []
    for name in options.names:
        for seed in EXPERIMENTS[name].seeds if options.seeds is None else options.seeds:
            folder = options.results / name / f"seed_{seed}"
            done = is_done(folder, options.trial)
            if options.page_only or (done and not options.again):
                print(f"{name}, seed {seed}: {'done' if done else 'not run'}")
            elif not run(name, seed, folder, options):
                failed.append(f"{name}, seed {seed}")
            if is_done(folder, options.trial):
                record.setdefault(name, {})[str(seed)] = read_run(folder)
                write_page(options.docs, record)
    write_page(options.docs, record)
    print(f"Page: {options.docs / 'results.md'}")
    if failed:
        sys.exit(f"error: {'; '.join(failed)}: see above")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXPERIMENTS)} (default: all)")
    add("--seeds", nargs="+", type=int, choices=SEEDS, help="default: 0 1 2, for Adagrad and Adadelta on CIFAR-10 0")
    add("--again", action="store_true", help="also run what has finished before")
    add("--page-only", action="store_true", help="run nothing, write the page from the results there are")
    add("--trial", action="store_true", help="does it work? One epoch of 256 images; results and page in runs/trial")
    add("--data-dir", type=Path, metavar="DIR", help="for the examples (default: MINICNN_DATA, cache, download)")
    add("--results", type=Path, metavar="DIR", help="where runs leave their results (default: runs/reproduce)")
    add("--docs", type=Path, metavar="DIR", help="folder of results.md and results.json (default: docs)")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in EXPERIMENTS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such experiment; there are {', '.join(EXPERIMENTS)}")
    options.names = options.names or list(EXPERIMENTS)
    trial = ROOT / "runs" / "trial"
    options.results = options.results or (trial if options.trial else RESULTS)
    options.docs = options.docs or (trial if options.trial else DOCS)
    if options.trial and options.docs.resolve() == DOCS:
        parser.error("argument --trial: a trial's numbers do not belong into docs/results.md")
    return options


# --------------------------------------------------------------------------------------------------------------- runs


def run(name, seed, folder, options):
    """Run an example; returns whether all went well. `DONE` is written last, when nothing is missing any more."""
    experiment = EXPERIMENTS[name]
    script, *arguments = experiment.command
    (folder / DONE).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    further = ["--backend", "numba"]
    further += ["--data-dir", str(options.data_dir.resolve())] if options.data_dir else []
    further += TRIAL if options.trial else ()
    command = [sys.executable, str(ROOT / "examples" / script), *arguments, "--seed", str(seed)]
    print(f"\n== {name}, seed {seed}: {documented(experiment, seed)}", flush=True)
    start = time.perf_counter()
    status = subprocess.run([*command, *further, "--out", str(folder)]).returncode
    took = time.perf_counter() - start
    if status:
        print(f"error: the example ended with status {status}", file=sys.stderr)
        return False
    dataset = json.loads((folder / "result.json").read_text())["dataset"]
    if dataset != experiment.dataset:
        print(f"error: {name} needs {experiment.dataset}. Received: {dataset}", file=sys.stderr)
        return False
    about = {"command": documented(experiment, seed), "took": round(took, 1), "machine": machine()}
    about |= {"trial": options.trial}
    (folder / DONE).write_text(json.dumps(about, indent=2) + "\n")
    return True


def documented(experiment, seed):
    """The command as a user types it."""
    return shlex.join(["python", f"examples/{experiment.command[0]}", *experiment.command[1:], "--seed", str(seed)])


def machine():
    """The computer and how many threads compute there."""
    threads = mc.get_num_threads()
    threads = min(threads, int(os.environ.get("NUMBA_NUM_THREADS", threads)))
    return f"{harness.machine()['processor']}, {threads} thread{'s' if threads > 1 else ''}"


def is_done(folder, trial):
    """Whether a run has finished there: a full one, or a trial."""
    path = folder / DONE
    return path.is_file() and json.loads(path.read_text())["trial"] == trial


def read_run(folder):
    """What the record keeps of a run: all but the histories."""
    result = json.loads((folder / "result.json").read_text())
    return json.loads((folder / DONE).read_text()) | _without_history(result)


def _without_history(value):
    if not isinstance(value, dict):
        return value
    return {key: _without_history(entry) for key, entry in value.items() if key != "history"}


def read_record(docs):
    """Experiment → seed → run, as it was written beside the page; empty if it was not."""
    path = docs / "results.json"
    return json.loads(path.read_text()) if path.is_file() else {}


# --------------------------------------------------------------------------------------------------------------- page


def write_page(docs, record):
    """Write results.json and results.md."""
    docs.mkdir(parents=True, exist_ok=True)
    ordered = {name: dict(sorted(record[name].items())) for name in EXPERIMENTS if name in record}
    (docs / "results.json").write_text(json.dumps(ordered, indent=1) + "\n")
    (docs / "results.md").write_text(page(ordered))


def page(record):
    """The whole page as Markdown."""
    parts = [
        "# Results",
        "Every network of the documents D0 to D4 at its published settings, on all of the data: what the document "
        "prints, and what minicnn reaches. [benchmarks/reproduce.py](../benchmarks/README.md) runs the examples and "
        "writes this page from the files they leave; nothing here is edited by hand.",
        "Scores are loss / accuracy after the last epoch. The bounds are for the accuracy, the mean of all seeds. "
        '"s an epoch" is the median epoch with its validation; other programs may have run beside it, '
        "[performance](performance.md) is what was measured alone. A dash: not published, or not run.",
    ]
    if any(is_shuffled(run) for runs in record.values() for run in runs.values()):
        parts.append(
            "The CIFAR-10 files of these runs hold the published images in a shuffled order: where `validation_split` "
            "holds back a fifth of them (the optimizers of D2), they are other images than in the document."
        )
    if any(run["trial"] for runs in record.values() for run in runs.values()):
        parts.append("**A trial: one epoch of a few images. These numbers mean nothing.**")
    machines = sorted({run["machine"] for runs in record.values() for run in runs.values()})
    parts += [f"Computed on: {'; '.join(machines)}."] if machines else []
    parts.append(summary(record))
    for document, title in DOCUMENTS.items():
        parts += section(document, title, record)
    return "\n\n".join(parts) + "\n"


def is_shuffled(run):
    """Whether a run's CIFAR-10 images came in another order than the published one."""
    labels = run.get("first_labels", PUBLISHED_CIFAR10_LABELS)
    return run["dataset"] == "CIFAR-10" and labels != PUBLISHED_CIFAR10_LABELS


def summary(record):
    """How many bounds are reached, and which are not."""
    verdicts = {
        f"{row.title} ({SETS[row.set]})": verdict(row, record.get(name, {}), experiment)
        for name, experiment in EXPERIMENTS.items()
        for row in experiment.rows
        if is_bounded(row)
    }
    parts = [f"{list(verdicts.values()).count('reached')} of {len(verdicts)} bounds are reached."]
    for word in ("missed", "incomplete"):
        titles = [title for title, text in verdicts.items() if text == word]
        parts += [f"**{word.capitalize()}**: {', '.join(titles)}."] if titles else []
    not_run = list(verdicts.values()).count("not run")
    parts += [f"Not run: {not_run}."] if not_run else []
    return " ".join(parts)


def section(document, title, record):
    """A document's table and commands, as a list of paragraphs."""
    experiments = {name: e for name, e in EXPERIMENTS.items() if e.document == document}
    header = ["network", "scored on", "parameters", "published", *(f"seed {n}" for n in SEEDS)]
    header += ["mean", "must reach", "", "s an epoch"]
    rows = [cells(row, e, record.get(name, {})) for name, e in experiments.items() for row in e.rows]
    parts = [f"## {document}: {title}", harness.table(header, rows)]
    parts.append("\n".join(command_line(e, record.get(name, {})) for name, e in experiments.items()))
    return parts


def cells(row, experiment, runs):
    """One line of a table."""
    networks = {int(seed): _network(run, row) for seed, run in runs.items()}
    any_network = next(iter(networks.values()), None)
    own = [_score(networks.get(seed), row.set) for seed in SEEDS]
    return [
        row.title,
        SETS[row.set],
        f"{any_network['params']:,}" if any_network else "–",
        _score(any_network and any_network["published"], row.set),
        *own,
        _score(_means(networks.values()), row.set) if networks else "–",
        bound(row),
        _emphasized(verdict(row, runs, experiment)) if is_bounded(row) else "",
        f"{statistics.median(n['seconds_per_epoch'] for n in networks.values()):.1f}" if networks else "–",
    ]


def _network(run, row):
    """The network's part of a run."""
    return run["networks"][row.network] if row.network else run


def _means(networks):
    """Name of the score → mean."""
    networks = list(networks)
    names = [name for name in networks[0] if name.endswith(("_loss", "_accuracy"))]
    return {name: statistics.fmean(n[name] for n in networks) for name in names}


def _score(scores, which):
    """Loss / accuracy; a dash for what there is not."""
    if not scores or f"{which}_accuracy" not in scores:
        return "–"
    return f"{scores[f'{which}_loss']:.4f} / {scores[f'{which}_accuracy']:.4f}"


def is_bounded(row):
    """Whether anything is asked of the row."""
    return (row.low, row.high) != (0.0, 1.0)


def bound(row):
    """What is asked of it, in words."""
    if not is_bounded(row):
        return "–"
    if row.high == 1.0:
        return f"≥ {row.low}"
    return f"{row.low} – {row.high}" if row.low else f"≤ {row.high}"


def verdict(row, runs, experiment):
    """ "reached" or "missed", by the mean of all seeds; "incomplete" or "not run" where seeds are missing."""
    if not runs:
        return "not run"
    if not {str(seed) for seed in experiment.seeds} <= set(runs):
        return "incomplete"
    accuracy = _means(_network(run, row) for run in runs.values())[f"{row.set}_accuracy"]
    return "reached" if row.low <= accuracy <= row.high else "missed"


def _emphasized(text):
    return text if text == "reached" else f"**{text}**"


def command_line(experiment, runs):
    """The command and how long each of its runs took."""
    took = [f"{duration(run['took'])} (seed {seed})" for seed, run in runs.items()]
    seed = experiment.seeds[0]
    return f"- `{documented(experiment, seed)}`: {', '.join(took) or 'not run'}"


def duration(seconds):
    """Seconds in words."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted: what has finished is kept; the same command goes on", file=sys.stderr)
        sys.exit(130)
