"""Seconds from the start of a process to 99.0 % and 99.5 % MNIST, 94 % Fashion-MNIST and 94 % CIFAR-10.

The recipes are in ``recipes.py``, each library's run in ``records_minicnn.py``, ``records_torch.py`` and
``records_keras.py``. On stdout there is a line of JSON for each seed and nothing else.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import harness
from cpu_vs_peers import add_interpreters, check_files, interpreter
from recipes import RECIPES, tricks_of

CHECKOUT = Path(__file__).resolve().parents[1]
LIBRARIES = {"minicnn": "minicnn", "torch": "PyTorch", "keras": "Keras"}
NO_RATES = "Keras has one learning rate for all weights, and no Lookahead: its runs leave both out"
WARM_UP = 2048  # images, before the first run: kernels are in the cache then


def main():
    """Run what is missing, print it, and write the page."""
    options = parse()
    results = read(options.results)
    for name in options.records:
        wanted = [(seed, None, False) for seed in range(options.seeds)]
        if options.ablation:
            wanted = [(seed, trick, False) for trick in tricks_of(RECIPES[name]) for seed in range(options.seeds)]
        if options.cold:
            wanted = [(seed, None, True) for seed in range(options.seeds)]
        runs = [run_of(name, *key, options, results) for key in wanted]
        for trick in dict.fromkeys(key[1] for key in wanted):
            summarize(name, trick, [r for r, key in zip(runs, wanted, strict=True) if key[1] == trick])
    if options.write:
        harness.replace_section(options.write, "records", records_table(results))
        harness.replace_section(options.write, "ablations", ablations_table(results))


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("records", nargs="*", metavar="RECORD", help=f"of {', '.join(RECIPES)}")
    add("--seeds", type=int, default=5, metavar="N", help="default: 5")
    add("--library", choices=LIBRARIES, default="minicnn", help="default: minicnn")
    add("--cold", action="store_true", help="minicnn with an empty cache of kernels")
    add("--ablation", action="store_true", help="the recipe without each of its tricks instead")
    results = Path("runs", "records.jsonl")
    add("--results", type=Path, default=results, metavar="FILE", help=f"what has been measured (default: {results})")
    add("--write", type=Path, metavar="FILE", help="put the tables into this Markdown file: docs/records.md")
    add_interpreters(parser)
    options = parser.parse_args()
    if unknown := set(options.records) - RECIPES.keys():
        parser.error(f"the records are {', '.join(RECIPES)}. Received: {', '.join(sorted(unknown))}")
    if options.seeds < 1:
        parser.error(f"argument --seeds: 1 or more. Received: {options.seeds}")
    check_files(parser, options, ("write",))
    if options.data_dir:
        os.environ["MINICNN_DATA"] = options.data_dir
    if options.cold and options.library != "minicnn":
        parser.error("argument --cold: only minicnn compiles its kernels. Received: --library " + options.library)
    return options


# --------------------------------------------------------------------------------------------------------------- runs


def read(path):
    """What has been measured: a list of {"run", "trick", "cold"}."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_of(name, seed, trick, cold, options, results):
    """The line of one seed: from the file, or measured now and appended to it. It is printed either way."""
    wanted = {"record": name, "library": options.library, "seed": seed, "machine": machine()}
    for entry in results:
        if wanted.items() <= entry["run"].items() and (entry["trick"], entry["cold"]) == (trick, cold):
            break
    else:
        entry = {"run": measured(name, seed, trick, cold, options), "trick": trick, "cold": cold}
        results.append(entry)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        with options.results.open("a") as file:
            print(json.dumps(entry), file=file)
    print(json.dumps(entry["run"]), flush=True)
    return entry["run"]


def measured(name, seed, trick, cold, options):
    """One process, by the clock of this one: from its start until it says how well it classifies the test set."""
    command = [
        interpreter(options.library, options),
        str(Path(__file__).with_name("records_seed.py")),
        *(options.library, name, str(seed), *filter(None, [trick])),
    ]
    with ExitStack() as stack:
        if cold:
            stack.enter_context(
                harness.environment("MINICNN_CACHE", stack.enter_context(tempfile.TemporaryDirectory()))
            )
        elif options.library == "minicnn" and name not in warm:
            with harness.environment("MINICNN_RECORDS_LIMIT", str(WARM_UP)):
                answer(command)
            warm.add(name)
        said, seconds = answer(command)
    return {
        **{"record": name, "library": options.library, "seed": seed, "seconds": round(seconds, 3)},
        **{"train_seconds": round(said["train_seconds"], 3), "epochs": said["epochs"]},
        **{"accuracy": said["accuracy"], "machine": machine()},
    }


warm = set()


def answer(command):
    """(the line of JSON that a process prints, the seconds from its start until then)."""
    environment = harness.inherited()
    paths = [str(CHECKOUT), *filter(None, [environment.get("PYTHONPATH")])]  # all of them read the data with minicnn
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        line = process.stdout.readline()
        seconds = time.perf_counter() - begin
    if process.returncode or not line:
        raise harness.WorkerError(f"{' '.join(command)} ended with status {process.returncode}: see above")
    return json.loads(line), seconds


def machine():
    """The processor and the cores that may be used, as one line."""
    about = harness.machine()
    return f"{about['processor']}, {about['cores']} cores"


def summarize(name, trick, runs):
    """The median and the mean, on stderr."""
    seconds, accuracy = statistics.median(r["seconds"] for r in runs), statistics.mean(r["accuracy"] for r in runs)
    reached = "reached" if accuracy >= RECIPES[name].accuracy else f"below {RECIPES[name].accuracy:.1%}"
    what = f"{RECIPES[name].title}, {LIBRARIES[runs[0]['library']]}" + (f", without {trick}" if trick else "")
    print(f"{what}: {seconds:.2f} s, {accuracy:.3%} ({reached}), {len(runs)} seeds", file=sys.stderr, flush=True)


# --------------------------------------------------------------------------------------------------------------- page


def records_table(results):
    """Seconds and accuracies of all records and libraries."""
    header = ["record", "library", "seconds", "of training", "epochs", "accuracy", "seeds", "÷ minicnn", "machine"]
    rows = []
    for name in RECIPES:
        base = runs_of(results, name, "minicnn")
        for library, cold in (("minicnn", False), ("minicnn", True), ("torch", False), ("keras", False)):
            runs = runs_of(results, name, library, cold=cold)
            title = LIBRARIES[library] + (", cold cache" if cold else "")
            rows.append([RECIPES[name].title, title, *figures(name, runs, base)])
    legend = f"Medians of seconds, means of accuracies, in bold where they reach the record's. {NO_RATES}."
    return f"{harness.table(header, rows)}\n\n{legend}"


def runs_of(results, name, library, trick=None, cold=False):
    """The runs of a kind, of the machine that was used last."""
    kind = [e["run"] for e in results if (e["trick"], e["cold"]) == (trick, cold)]
    runs = [run for run in kind if (run["record"], run["library"]) == (name, library)]
    return [run for run in runs if run["machine"] == runs[-1]["machine"]]


def figures(name, runs, base):
    """The cells of a row."""
    if not runs:
        return ["not measured", *["–"] * 6]
    seconds, training = (statistics.median(r[key] for r in runs) for key in ("seconds", "train_seconds"))
    comparable = base and base[0]["machine"] == runs[0]["machine"]
    ratio = f"{seconds / statistics.median(r['seconds'] for r in base):.2f}" if comparable else "–"
    accuracy = statistics.mean(r["accuracy"] for r in runs)
    text = f"{100 * accuracy:.2f} %"
    text = f"**{text}**" if accuracy >= RECIPES[name].accuracy else text
    cells = [f"{seconds:.2f}", f"{training:.2f}", str(runs[0]["epochs"]), text, str(len(runs))]
    return [*cells, ratio, runs[0]["machine"]]


def ablations_table(results):
    """What each trick gives, a line each."""
    header = ["record", "without", "accuracy", "lost", "seeds"]
    rows = []
    for name, recipe in RECIPES.items():
        base = runs_of(results, name, "minicnn")
        for trick in tricks_of(recipe):
            runs = runs_of(results, name, "minicnn", trick)
            rows.append([recipe.title, trick, *lost(runs, base)])
    return harness.table(header, rows)


def lost(runs, base):
    """The cells of a line of the ablations; accuracies are compared seed by seed, so the machine need not be idle."""
    if not runs:
        return ["not measured", "–", "–"]
    whole = {run["seed"]: run["accuracy"] for run in base}
    pairs = [whole[run["seed"]] - run["accuracy"] for run in runs if run["seed"] in whole]
    accuracy = statistics.mean(r["accuracy"] for r in runs)
    difference = f"{100 * statistics.mean(pairs):+.2f} points" if pairs else "–"
    return [f"{100 * accuracy:.2f} %", difference, str(len(runs))]


if __name__ == "__main__":
    try:
        main()
    except (harness.WorkerError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
