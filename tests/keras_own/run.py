"""Run Keras's own tests on minicnn and print a table: python tests/keras_own/run.py [--causes] [folders or files]

The environment variable KERAS_SOURCE names the folder in which Keras's source distribution was unpacked; docs/keras.md
says what has to be installed besides.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from xml.etree import ElementTree

from absent import ABSENT_FILES

HERE = Path(__file__).parent
FOLDERS = (
    *("activations", "callbacks", "constraints", "initializers", "layers", "losses", "metrics", "models"),
    *("optimizers", "regularizers"),
)


def run(source, parts):
    """The results of Keras's tests in these folders or files: a list of (file, test, outcome, reason)."""
    paths = [str(source / "keras" / "src" / part) for part in parts]
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        options = ["-q", "-c", os.devnull, f"--rootdir={source}", "--import-mode=importlib", "--tb=no"]
        plugins = ["-p", "keras_plugin", "-p", "no:cacheprovider", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *plugins, *options, *paths]
        subprocess.run(command, cwd=source, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL)
        return [read(case) for case in ElementTree.parse(report).iter("testcase")]


def why_absent(path):
    """What a file's tests are of, if minicnn does not have it."""
    return next((why for part, why in ABSENT_FILES.items() if part in path.as_posix()), None)


def read(case):
    """(file, test, outcome, reason) of an entry of the report."""
    file = case.get("classname").removeprefix("keras.src.").rpartition("_test")[0].replace(".", "/") or case.get("name")
    for outcome in ("failure", "error", "skipped"):
        if (found := case.find(outcome)) is not None:
            return file, case.get("name"), "skipped" if outcome == "skipped" else "failed", found.get("message") or ""
    return file, case.get("name"), "passed", ""


def table(results):
    """Lines: outcomes by file, then in all."""
    counts = defaultdict(Counter)
    for file, _, outcome, _ in results:
        counts[file][outcome] += 1
    counts["in all"] = sum(counts.values(), Counter())
    rows = [f"{file:70}{c['passed']:8}{c['failed']:8}{c['skipped']:8}" for file, c in counts.items()]
    return [f"{'file':70}{'passed':>8}{'failed':>8}{'skipped':>8}", *rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", default=FOLDERS, help="folders or files below keras/src")
    parser.add_argument("--causes", action="store_true", help="print why each test failed, too")
    arguments = parser.parse_args()
    if "KERAS_SOURCE" not in os.environ:
        parser.error("set KERAS_SOURCE to the folder of Keras's unpacked source distribution, see docs/keras.md")
    source = Path(os.environ["KERAS_SOURCE"]).resolve()
    results = run(source, arguments.parts)
    print(*table(results), sep="\n")
    left_out = Counter(why for why in map(why_absent, source.rglob("*_test.py")) if why)
    print("\nfiles left out, and why:", *(f"{n:8}  {why}" for why, n in left_out.most_common()), sep="\n")
    reasons = Counter(reason for *_, outcome, reason in results if outcome == "skipped")
    print("\nskipped, and why:", *(f"{count:8}  {reason}" for reason, count in reasons.most_common()), sep="\n")
    if arguments.causes:
        failed = [
            f"{file}::{test}  {reason.splitlines()[0][:200]}" for file, test, out, reason in results if out == "failed"
        ]
        print("\nfailed, and why:", *failed, sep="\n")


if __name__ == "__main__":
    main()
